//! The access log: what every macro wanted, with which outcome, and where it was called.
//!
//! Each unit that rustc compiles has a file of its own, `<crate>-<hash>.jsonl` below `belljar/log` in the target directory,
//! written anew whenever the unit is compiled. So the log is, at any time, that of what stands in the target directory. Its
//! first line says which crate it is of, every other one is one thing that one macro wanted:
//!
//! ```text
//! {"belljar_log":2,"build":"…","began":1790000000,"package":"web","version":"0.1.0","crate":"web","program":"rustc","failed":false,"not_kept":[]}
//! {"macro":"derive(Template)","package":"askama_derive","version":"0.12.5","what":"read","name":"/ws/web/templates/a.html",
//!  "outcome":"refused","reason":"nothing grants it","times":1,"calls":[{"file":"src/main.rs","line":3}],"more_calls":0}
//! ```
//!
//! Processes that no unit of cargo's stands for (of a documentation's examples, of an editor, of macros that are built) add to one
//! log as long as they belong to one build; where none is named, for a day.
//!
//! A target directory can come with a project that somebody else wrote: what is read back is shown, escaped, and nothing
//! else is done with it.

pub(crate) mod show;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::SystemTime;

use belljar_expander::{Attempt, Recorded};
use belljar_plan::Workspace;
use belljar_policy::{Calling, Outcome, Request};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::build::CommandError;
use crate::own_dir::OwnDir;
use crate::refused::plain;

/// Version of the format.
const FORMAT: u32 = 2;

/// The longest log of one unit that is read.
const MAX_FILE: u64 = 64 << 20;

/// Bytes of the entries of one unit's log. Each macro package has an equal share of them for each outcome, so that none can have
/// others left out.
const ROOM: usize = 16 << 20;

/// Places of calls in one entry.
const CALLS: usize = 50;

const ENDING: &str = "jsonl";

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    belljar_log: u32,
    /// Names the run of cargo that compiled it, if one is known.
    pub(crate) build: Option<String>,
    /// When the first of it was written, in seconds since 1970.
    began: u64,
    /// The calling package.
    pub(crate) package: String,
    pub(crate) version: String,
    #[serde(rename = "crate")]
    pub(crate) crate_name: String,
    pub(crate) manifest_dir: Option<String>,
    pub(crate) workspace_root: Option<String>,
    /// What compiled it: rustc, clippy-driver, rustdoc…
    pub(crate) program: String,
    /// Whether the compiler failed.
    #[serde(default)]
    pub(crate) failed: bool,
    /// How many attempts are not listed, because there were too many different ones.
    pub(crate) not_kept: Vec<NotKept>,
}

/// Attempts of one macro package with one outcome that are only counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotKept {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) outcome: String,
    pub(crate) times: u64,
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
    /// The request as a sentence says it. Not written down: it says what `what` and `name` say.
    #[serde(skip)]
    pub(crate) request: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) times: u64,
    /// How often of these the macro did not run: what it wrote was remembered, and this with it.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) remembered: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) more_calls: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) file: String,
    pub(crate) line: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
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
            failed: false,
            began: seconds(SystemTime::now()),
            not_kept: recorded
                .not_kept()
                .map(|((package, version, outcome), times)| NotKept {
                    package: package.to_owned(),
                    version: version.to_owned(),
                    outcome: outcome.word().to_owned(),
                    times,
                })
                .collect(),
        }
    }

    fn leave_out(&mut self, of: &NotKept) {
        let same = |other: &&mut NotKept| {
            (&other.package, &other.version, &other.outcome) == (&of.package, &of.version, &of.outcome)
        };
        match self.not_kept.iter_mut().find(same) {
            Some(other) => other.times = other.times.saturating_add(of.times),
            None => self.not_kept.push(of.clone()),
        }
    }

    /// Whether what is written now belongs to what was written before.
    fn continues(&self, earlier: &Self) -> bool {
        const DAY: u64 = 24 * 3600;
        self.build == earlier.build
            && (self.build.is_some() || self.began.saturating_sub(earlier.began) < DAY)
    }

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

impl UnitLog {
    /// Whether the compiler of the unit failed.
    pub(crate) fn failed(&self) -> bool {
        self.header.failed
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
            remembered: attempt.remembered,
            calls: calls.map(|call| Call { file: call.file.clone(), line: call.line }).collect(),
            more_calls: attempt.more_calls,
        }
    }
}

impl Entry {
    pub(crate) fn is(&self, outcome: Outcome) -> bool {
        self.outcome == outcome.word()
    }

    /// A line of a log.
    pub(crate) fn read(line: &str) -> Result<Self, String> {
        let entry: Self = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let request = Request::from_word(&entry.what, entry.name.as_deref());
        let request = request.ok_or("there is no such request")?.to_string();
        Ok(Self { request, ..entry })
    }

    /// Entries with the same key are one for their reader: the same macro wanted the same, with the same outcome.
    pub(crate) fn key(&self) -> EntryKey {
        let macro_name = (self.macro_name.clone(), self.package.clone(), self.version.clone());
        (macro_name, self.what.clone(), self.name.clone(), self.outcome.clone())
    }

    /// Adds what was wanted in other calls.
    fn add(&mut self, other: Self) {
        self.times = self.times.saturating_add(other.times);
        self.remembered = self.remembered.saturating_add(other.remembered);
        self.more_calls = self.more_calls.saturating_add(other.more_calls);
        for call in other.calls {
            match self.calls.contains(&call) {
                true => {}
                false if self.calls.len() < CALLS => self.calls.push(call),
                false => self.more_calls = self.more_calls.saturating_add(1),
            }
        }
    }
}

/// The macro with its package and version, what it wanted, its name, and the outcome.
pub(crate) type EntryKey = ((String, String, String), String, Option<String>, String);

/// Writes the log of the unit `name`, whole or not at all; one with nothing in it is taken away instead.
pub(crate) fn write(dir: &Utf8Path, name: &str, header: Header, recorded: &Recorded) -> io::Result<()> {
    let name = format!("{name}.{ENDING}");
    if recorded.attempts.is_empty() && header.not_kept.is_empty() {
        return OwnDir::open(dir)?.map_or(Ok(()), |dir| dir.remove(&name));
    }
    let text = text(header, recorded.attempts.iter().map(Entry::from))?;
    OwnDir::make(dir)?.write(&name, text.as_bytes(), None)
}

/// Adds to the log of that name what another process of the same build wanted. What an earlier build left is taken away.
pub(crate) fn add(dir: &Utf8Path, name: &str, mut header: Header, recorded: &Recorded) -> io::Result<()> {
    let name = format!("{name}.{ENDING}");
    let nothing = recorded.attempts.is_empty() && header.not_kept.is_empty();
    let dir = match OwnDir::open(dir)? {
        Some(dir) => dir,
        None if nothing => return Ok(()),
        None => OwnDir::make(dir)?,
    };
    // Where a file system knows no locks, the last one of two at the same moment wins.
    let _ = rustix::fs::flock(&dir, FlockOperation::LockExclusive);
    let earlier = read_file(&dir, &name, SystemTime::UNIX_EPOCH).ok().flatten();
    let earlier = earlier.filter(|earlier| header.continues(&earlier.header));
    match (nothing, earlier) {
        (true, Some(_)) => Ok(()),
        (true, None) => dir.remove(&name),
        (false, None) => {
            dir.write(&name, text(header, recorded.attempts.iter().map(Entry::from))?.as_bytes(), None)
        }
        (false, Some(UnitLog { header: earlier, mut entries, .. })) => {
            header.began = earlier.began;
            header.failed |= earlier.failed;
            earlier.not_kept.iter().for_each(|of| header.leave_out(of));
            let mut known: HashMap<_, usize> = HashMap::new();
            for (at, entry) in entries.iter().enumerate() {
                known.insert(entry.key(), at);
            }
            for entry in recorded.attempts.iter().map(Entry::from) {
                match known.get(&entry.key()).and_then(|&at| entries.get_mut(at)) {
                    Some(there) => there.add(entry),
                    None => entries.push(entry),
                }
            }
            dir.write(&name, text(header, entries.into_iter())?.as_bytes(), None)
        }
    }
}

/// The text of a log with as many of the entries as there is room for.
fn text(mut header: Header, entries: impl Iterator<Item = Entry> + Clone) -> io::Result<String> {
    let group = |entry: &Entry| (entry.package.clone(), entry.version.clone(), entry.outcome.clone());
    let mut groups: BTreeMap<_, Share> =
        entries.clone().map(|entry| (group(&entry), Share::default())).collect();
    let room = ROOM / groups.len().max(1);
    let mut lines = String::new();
    for entry in entries {
        let line = serde_json::to_string(&entry)?;
        let share = groups.entry(group(&entry)).or_default();
        if share.bytes.saturating_add(line.len()) <= room {
            share.bytes += line.len();
            lines.push_str(&line);
            lines.push('\n');
        } else {
            share.left_out = share.left_out.saturating_add(entry.times);
        }
    }
    for ((package, version, outcome), Share { left_out: times, .. }) in groups {
        if times > 0 {
            header.leave_out(&NotKept { package, version, outcome, times });
        }
    }
    Ok(format!("{}\n{lines}", serde_json::to_string(&header)?))
}

/// What one macro package with one outcome has of a log.
#[derive(Default)]
struct Share {
    bytes: usize,
    /// How often was wanted what had no room.
    left_out: u64,
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The logs below one directory.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pub(crate) units: Vec<UnitLog>,
    /// What can't be read. Nobody knows what macros wanted there.
    pub(crate) unreadable: Vec<Unreadable>,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{} can't be read as a log: {}\n  what macros wanted there is not known; remove the file, and compile its crate again (`cargo clean -p …`)",
    plain(.path.as_str()), plain(.why)
)]
pub(crate) struct Unreadable {
    path: Utf8PathBuf,
    why: String,
}

/// What one run of cargo wrote since then, by its name. That a log can't be read is told by whoever wants to see it.
pub(crate) fn of_build(dir: &Utf8Path, build: &str, since: SystemTime) -> Vec<UnitLog> {
    let mut logs = read_since(dir, since).unwrap_or_default().units;
    logs.retain(|log| log.header.build.as_deref() == Some(build));
    logs
}

/// Whether a user means one of these by a name: packages are written with `-` where their crates have `_`.
pub(crate) fn is_named(name: &str, candidates: [&str; 2]) -> bool {
    candidates.iter().any(|candidate| candidate.replace('-', "_") == name.replace('-', "_"))
}

/// Where the logs are of what goes into this directory of cargo's.
pub(crate) fn dir(target_dir: &Utf8Path) -> Utf8PathBuf {
    target_dir.join("belljar/log")
}

/// The logs of all units of a workspace, wherever cargo puts them.
pub(crate) fn of_workspace(workspace: &Workspace) -> Result<Logs, CommandError> {
    let mut all = Logs::default();
    for path in workspace.built_in().into_iter().map(dir) {
        let mut logs = read(&path).map_err(|source| CommandError::Log { path, source })?;
        all.units.append(&mut logs.units);
        all.unreadable.append(&mut logs.unreadable);
    }
    all.units.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(all)
}

/// The logs of all units below `dir`, by package, crate and program. Those of another version of belljar's are passed over.
fn read(dir: &Utf8Path) -> io::Result<Logs> {
    read_since(dir, SystemTime::UNIX_EPOCH)
}

fn read_since(dir: &Utf8Path, since: SystemTime) -> io::Result<Logs> {
    let mut logs = Logs::default();
    let Some(dir) = OwnDir::open(dir)? else { return Ok(logs) };
    for name in dir.names()? {
        if Utf8Path::new(&name).extension() != Some(ENDING) {
            continue;
        }
        match read_file(&dir, &name, since) {
            Ok(log) => logs.units.extend(log),
            Err(why) => logs.unreadable.push(Unreadable { path: dir.path(&name), why }),
        }
    }
    logs.units.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(logs)
}

impl UnitLog {
    fn key(&self) -> (&str, &str, &str, &str, SystemTime) {
        let header = &self.header;
        (&header.package, &header.version, &header.crate_name, &header.program, self.written)
    }
}

/// A log that was written since then, and by this version.
fn read_file(dir: &OwnDir, name: &str, since: SystemTime) -> Result<Option<UnitLog>, String> {
    #[derive(Deserialize)]
    struct Version {
        belljar_log: u32,
    }
    let written = dir.modified(name).map_err(|e| e.to_string())?;
    if written < since {
        return Ok(None);
    }
    let bytes = dir.read(name, MAX_FILE).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string())?;
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let version: Version = serde_json::from_str(first).map_err(|e| e.to_string())?;
    if version.belljar_log != FORMAT {
        return Ok(None);
    }
    let header = serde_json::from_str(first).map_err(|e| e.to_string())?;
    Ok(Some(UnitLog { header, entries: lines.map(Entry::read).collect::<Result<_, _>>()?, written }))
}

#[cfg(test)]
mod tests {
    use belljar_expander::{CallSite, MacroName};
    use belljar_policy::Reason;
    use belljar_wire::abi::EntryKind;

    use super::*;

    fn header(build: Option<&str>) -> Header {
        let calling = Calling { package: "web".to_owned(), ..Calling::default() };
        let of = ["web".to_owned(), "served".to_owned()];
        Header::new(build.map(str::to_owned), &calling, of, &Recorded::default())
    }

    fn attempt(package: &str, name: &str, outcome: Outcome) -> Attempt {
        let macro_name = MacroName {
            kind: EntryKind::Function,
            name: "var".to_owned(),
            package: package.to_owned(),
            version: "1.0.0".to_owned(),
        };
        Attempt {
            macro_name,
            request: Request::Variable(name.to_owned()),
            outcome,
            reason: Reason::NotGranted,
            times: 1,
            remembered: 0,
            calls: vec![CallSite { file: "src/main.rs".to_owned(), line: 1, column: 1, end: (1, 2) }],
            more_calls: 0,
        }
    }

    fn recorded(attempts: Vec<Attempt>) -> Recorded {
        let mut recorded = Recorded::default();
        recorded.attempts = attempts;
        recorded
    }

    fn dir() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("target/belljar/log");
        (dir, path)
    }

    #[test]
    fn a_log_is_never_longer_than_what_is_read() {
        let (_keep, dir) = dir();
        // Each of these bytes is many in a log.
        let flood =
            (0..10_000).map(|n| attempt("flood", &format!("{n}{}", "\u{1}".repeat(4_000)), Outcome::Refused));
        let mut attempts: Vec<_> = flood.collect();
        attempts.push(attempt("flood", "granted", Outcome::Granted));
        attempts.push(attempt("other", "refused", Outcome::Refused));
        write(&dir, "web-1", header(None), &recorded(attempts)).unwrap();
        let logs = read(&dir).unwrap();
        assert!(logs.unreadable.is_empty());
        let [log] = &logs.units[..] else { panic!("{} logs", logs.units.len()) };
        let last: Vec<_> = log.entries.iter().rev().take(2).map(|e| e.name.as_deref().unwrap()).collect();
        assert_eq!(last, ["refused", "granted"]);
        let [not_kept] = &log.header.not_kept[..] else { panic!("{:?}", log.header.not_kept) };
        assert_eq!((&*not_kept.package, &*not_kept.outcome), ("flood", "refused"));
        assert_eq!(not_kept.times + log.entries.len() as u64, 10_002);
    }

    #[test]
    fn processes_of_one_build_add_to_one_log() {
        let (_keep, dir) = dir();
        let read_one = || read(&dir).unwrap().units.pop();
        let add = |build, attempts| add(&dir, "web-served", header(build), &recorded(attempts)).unwrap();
        let names = || {
            let log = read_one().unwrap();
            log.entries
                .iter()
                .map(|e| format!("{} {}", e.name.as_deref().unwrap(), e.times))
                .collect::<Vec<_>>()
        };
        let wanted = |name| vec![attempt("mac", name, Outcome::Refused)];
        for build in [Some("1"), None] {
            add(build, Vec::new());
            assert!(read_one().is_none(), "there was nothing, or it was of another build");
            add(build, wanted("A"));
            add(build, Vec::new());
            add(build, wanted("B"));
            add(build, wanted("A"));
            assert_eq!(names(), ["A 2", "B 1"], "{build:?}");
        }
        add(Some("2"), wanted("C"));
        assert_eq!(names(), ["C 1"]);

        let mut yesterday = header(None);
        yesterday.began -= 25 * 3600;
        write(&dir, "web-served", yesterday, &recorded(wanted("A"))).unwrap();
        add(None, wanted("B"));
        assert_eq!(names(), ["B 1"], "an editor's log is of a day");
    }

    #[test]
    fn what_cant_be_read_is_named() {
        let (_keep, dir) = dir();
        write(&dir, "web-1", header(None), &recorded(vec![attempt("mac", "A", Outcome::Refused)])).unwrap();
        let good = std::fs::read_to_string(dir.join("web-1.jsonl")).unwrap();
        let large = std::fs::File::create(dir.join("large.jsonl")).unwrap();
        large.set_len(MAX_FILE + 1).unwrap();
        for (name, text) in [
            ("empty.jsonl", String::new()),
            ("cut.jsonl", good[..good.len() - 9].to_owned()),
            ("what.jsonl", good.replace("\"env\"", "\"nothing\"")),
            ("older.jsonl", good.replacen("\"belljar_log\":2", "\"belljar_log\":1", 1)),
            ("note.txt", String::new()),
        ] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let logs = read(&dir).unwrap();
        assert_eq!(logs.units.len(), 1);
        let named: Vec<_> = logs.unreadable.iter().map(|u| u.path.file_name().unwrap()).collect();
        assert_eq!(named, ["cut.jsonl", "empty.jsonl", "large.jsonl", "what.jsonl"]);
    }

    #[test]
    fn a_request_is_told_as_what_it_is() {
        let line = Entry::from(&attempt("mac", "HOME", Outcome::Refused));
        let line = serde_json::to_string(&line).unwrap();
        let forged = line.replacen('{', "{\"request\":\"nothing at all\",", 1);
        assert_eq!(Entry::read(&forged).unwrap().request, "environment variable `HOME`");
    }
}
