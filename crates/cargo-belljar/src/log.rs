//! The access log: what every macro wanted, with which outcome, and where it was called.
//!
//! Each unit that rustc compiles has a file of its own, `<crate>-<hash>.jsonl` below `belljar/log` in the target directory,
//! written anew whenever the unit is compiled. So the log is, at any time, that of what stands in the target directory. Its
//! first line says which crate it is of, every other one is one thing that one macro wanted:
//!
//! ```text
//! {"belljar_log":1,"build":"…","package":"web","version":"0.1.0","crate":"web","program":"rustc","not_kept":0}
//! {"macro":"derive(Template)","package":"askama_derive","version":"0.12.5","what":"read","name":"/ws/web/templates/a.html",
//!  "outcome":"refused","reason":"nothing grants it","times":1,"calls":[{"file":"src/main.rs","line":3}],"more_calls":0}
//! ```
//!
//! A target directory can come with a project that somebody else wrote: what is read back is shown, escaped, and nothing
//! else is done with it.

pub(crate) mod show;

use std::io;
use std::time::SystemTime;

use belljar_expander::{Attempt, Recorded};
use belljar_policy::{Calling, Outcome};
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::own_dir::OwnDir;

/// Version of the format.
const FORMAT: u32 = 1;

/// The longest log of one unit that is read.
const MAX_FILE: u64 = 64 << 20;

const ENDING: &str = "jsonl";

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    belljar_log: u32,
    /// Names the run of cargo that compiled it, if one is known.
    pub(crate) build: Option<String>,
    /// The calling package.
    pub(crate) package: String,
    pub(crate) version: String,
    #[serde(rename = "crate")]
    pub(crate) crate_name: String,
    pub(crate) manifest_dir: Option<String>,
    pub(crate) workspace_root: Option<String>,
    /// What compiled it: rustc, clippy-driver, rustdoc…
    pub(crate) program: String,
    /// How many attempts are not listed, because there were too many different ones.
    pub(crate) not_kept: u64,
}

/// One thing that one macro wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// As its user writes it: `name!`, `#[name]`, `derive(Name)`.
    #[serde(rename = "macro")]
    pub(crate) macro_name: String,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) what: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) name: Option<String>,
    /// The request as a sentence says it.
    pub(crate) request: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) times: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) more_calls: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// The log of one unit.
#[derive(Debug, Clone)]
pub(crate) struct UnitLog {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
    /// When it was written.
    pub(crate) written: SystemTime,
}

impl Header {
    pub(crate) fn new(
        build: Option<String>,
        calling: &Calling,
        [crate_name, program]: [String; 2],
        recorded: &Recorded,
    ) -> Self {
        Self {
            belljar_log: FORMAT,
            build,
            package: calling.package.clone(),
            version: calling.version.clone(),
            manifest_dir: calling.manifest_dir.clone(),
            workspace_root: calling.workspace_root.clone(),
            crate_name,
            program,
            not_kept: recorded.not_kept,
        }
    }
}

impl Header {
    /// The crate, as far as paths in grants depend on it.
    pub(crate) fn calling(&self) -> Calling {
        Calling {
            package: self.package.clone(),
            version: self.version.clone(),
            manifest_dir: self.manifest_dir.clone(),
            workspace_root: self.workspace_root.clone(),
            ..Calling::default()
        }
    }
}

impl From<&Attempt> for Entry {
    fn from(attempt: &Attempt) -> Self {
        let calls = attempt.calls.iter();
        Self {
            macro_name: attempt.macro_name.written(),
            package: attempt.macro_name.package.clone(),
            version: attempt.macro_name.version.clone(),
            what: attempt.request.word().to_owned(),
            name: attempt.request.name().map(str::to_owned),
            request: attempt.request.to_string(),
            outcome: attempt.outcome.word().to_owned(),
            reason: attempt.reason.to_string(),
            times: attempt.times,
            calls: calls.map(|call| Call { file: call.file.clone(), line: call.line }).collect(),
            more_calls: attempt.more_calls,
        }
    }
}

impl Entry {
    pub(crate) fn is(&self, outcome: Outcome) -> bool {
        self.outcome == outcome.word()
    }
}

/// Writes the log of the unit `name`, whole or not at all; one with nothing in it is taken away instead.
pub(crate) fn write(dir: &Utf8Path, name: &str, header: &Header, recorded: &Recorded) -> io::Result<()> {
    let name = format!("{name}.{ENDING}");
    if recorded.attempts.is_empty() && recorded.not_kept == 0 {
        return OwnDir::open(dir)?.map_or(Ok(()), |dir| dir.remove(&name));
    }
    let dir = OwnDir::make(dir)?;
    let mut text = serde_json::to_vec(header)?;
    for attempt in &recorded.attempts {
        text.push(b'\n');
        serde_json::to_writer(&mut text, &Entry::from(attempt))?;
    }
    text.push(b'\n');
    dir.write(&name, &text, None)
}

/// What one run of cargo wrote since then, by its name. That a log can't be read is told by whoever wants to see it.
pub(crate) fn of_build(dir: &Utf8Path, build: &str, since: SystemTime) -> Vec<UnitLog> {
    let mut logs = read_since(dir, since).unwrap_or_default();
    logs.retain(|log| log.header.build.as_deref() == Some(build));
    logs
}

/// The logs of all units below `dir`, by package, crate and program. Files that are no logs are passed over: they are nobody's
/// record of anything.
pub(crate) fn read(dir: &Utf8Path) -> io::Result<Vec<UnitLog>> {
    read_since(dir, SystemTime::UNIX_EPOCH)
}

fn read_since(dir: &Utf8Path, since: SystemTime) -> io::Result<Vec<UnitLog>> {
    let Some(dir) = OwnDir::open(dir)? else { return Ok(Vec::new()) };
    let mut logs = Vec::new();
    for name in dir.names()? {
        if Utf8Path::new(&name).extension() == Some(ENDING) {
            logs.extend(read_file(&dir, &name, since));
        }
    }
    logs.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(logs)
}

impl UnitLog {
    fn key(&self) -> (&str, &str, &str, &str, SystemTime) {
        let header = &self.header;
        (&header.package, &header.version, &header.crate_name, &header.program, self.written)
    }
}

fn read_file(dir: &OwnDir, name: &str, since: SystemTime) -> Option<UnitLog> {
    let written = dir.modified(name).ok().filter(|written| *written >= since)?;
    let text = String::from_utf8(dir.read(name, MAX_FILE).ok()?).ok()?;
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next()?).ok()?;
    let entries = lines.map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
    (header.belljar_log == FORMAT).then_some(UnitLog { header, entries, written })
}
