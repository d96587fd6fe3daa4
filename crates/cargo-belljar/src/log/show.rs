//! `cargo belljar log`: the access log, for people and for programs.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use belljar_plan::Workspace;
use belljar_policy::{Calling, Outcome, Policy, Request, Source, Used, unused};
use camino::Utf8Path;
use serde::Serialize;

use super::{Entry, EntryKey, Header, Logs, NotKept, UnitLog, is_named};
use crate::build::{self, CommandError};
use crate::json::{self as lines, Format};
use crate::refused::plain;
use crate::wrapper::afterwards::SERVED;
use crate::{policy, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// Only what this macro wanted: the name of a macro (`Serialize`) or of a macro package (`serde_derive`)
    #[arg(long = "macro", value_name = "NAME")]
    macros: Vec<String>,
    /// Only what was wanted for this calling crate or package
    #[arg(long = "crate", value_name = "NAME")]
    crates: Vec<String>,
    /// Only requests with this outcome
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    outcome: Vec<Outcome>,
    /// Only what the last run of `cargo belljar` compiled
    #[arg(long)]
    last: bool,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Path of the Cargo.toml of the project
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::ALL.into_iter().find(|outcome| outcome.word() == word).ok_or_else(|| {
        let words: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.word()).collect();
        format!("one of {}", words.join(", "))
    })
}

/// One line of `--format json`.
#[derive(Serialize)]
struct Line<'a> {
    calling_package: &'a str,
    calling_version: &'a str,
    #[serde(rename = "crate")]
    crate_name: &'a str,
    program: &'a str,
    build: Option<&'a str>,
    #[serde(flatten)]
    said: Said<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Wanted {
        request: &'a str,
        #[serde(flatten)]
        entry: &'a Entry,
    },
    /// Attempts that are only counted.
    NotKept {
        what: &'static str,
        #[serde(flatten)]
        not_kept: &'a NotKept,
    },
}

impl Log {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let workspace = build::workspace_of(self.manifest_path.as_ref())?;
        let logs = super::of_workspace(&workspace)?;
        let all = !self.last && self.macros.is_empty() && self.crates.is_empty() && self.outcome.is_empty();
        logs.warn();
        let whole = logs.are_whole();
        let logs = self.chosen(logs.units);
        let mut out = anstream::stdout().lock();
        let written = match self.format {
            Format::Text => {
                text(&logs, &super::dir(&workspace.target_dir), &mut out).and_then(|()| match (all, whole) {
                    (true, true) => idle_grants(&logs, &workspace, &mut out),
                    (true, false) => {
                        writeln!(
                            out,
                            "\nnot all of what macros wanted is on record, so no grant is known to be unused"
                        )
                    }
                    (false, _) => Ok(()),
                })
            }
            Format::Json => json(&logs, &mut out),
        };
        match written {
            // Whoever reads it has read enough.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                Err(CommandError::Log { path: "standard output".into(), source: e })
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    fn chosen(&self, mut logs: Vec<UnitLog>) -> Vec<UnitLog> {
        logs = if self.last { of_last_build(logs) } else { of_last_builds(logs) };
        let named = |names: &[String], candidates: [&str; 2]| {
            names.is_empty() || names.iter().any(|name| is_named(name, candidates))
        };
        logs.retain(|log| named(&self.crates, [&log.header.package, &log.header.crate_name]));
        for log in &mut logs {
            let outcome =
                |of: &str| self.outcome.is_empty() || self.outcome.iter().any(|outcome| outcome.word() == of);
            log.entries.retain(|entry| named(&self.macros, [&entry.package, entry.plain_name()]));
            // Of which of a package's macros they were, nobody knows.
            let entries = &log.entries;
            let asked_for = |package: &str| entries.iter().any(|entry| entry.package == package);
            log.header.not_kept.retain(|of| {
                outcome(&of.outcome) && (named(&self.macros, [&of.package, ""]) || asked_for(&of.package))
            });
            log.entries.retain(|entry| outcome(&entry.outcome));
        }
        logs.retain(|log| !log.entries.is_empty() || !log.header.not_kept.is_empty());
        logs
    }
}

/// What the last run of cargo wrote that has a name.
pub(crate) fn of_last_build(mut logs: Vec<UnitLog>) -> Vec<UnitLog> {
    let newest = logs.iter().filter(|log| log.header.build.is_some()).max_by_key(|log| log.written);
    let build = newest.and_then(|log| log.header.build.clone());
    logs.retain(|log| log.header.build.is_some() && log.header.build == build);
    logs
}

impl Logs {
    /// Says which files can't be read.
    pub(crate) fn warn(&self) {
        self.unreadable.iter().for_each(report::warning);
    }

    /// Whether everything is there that was ever wanted.
    fn are_whole(&self) -> bool {
        self.unreadable.is_empty() && self.units.iter().all(|log| log.header.not_kept.is_empty())
    }
}

/// Of each crate, what the last run of cargo wrote that compiled it: a check and a build of it are two units, and one of them
/// may be of long ago. An editor, or what else has no unit of cargo's, stands beside that.
fn of_last_builds(mut logs: Vec<UnitLog>) -> Vec<UnitLog> {
    let of = |log: &UnitLog| {
        let Header { package, version, crate_name, .. } = &log.header;
        (package.clone(), version.clone(), crate_name.clone(), log.header.program == SERVED)
    };
    let mut last: BTreeMap<_, (std::time::SystemTime, Option<String>)> = BTreeMap::new();
    for log in &logs {
        let entry = last.entry(of(log)).or_insert_with(|| (log.written, log.header.build.clone()));
        if log.written > entry.0 {
            *entry = (log.written, log.header.build.clone());
        }
    }
    logs.retain(|log| last.get(&of(log)).is_some_and(|(_, build)| *build == log.header.build));
    logs
}

impl Entry {
    /// The macro's name alone.
    fn plain_name(&self) -> &str {
        let name = self.macro_name.strip_prefix("derive(").unwrap_or(&self.macro_name);
        name.trim_start_matches("#[").trim_end_matches(['!', ']', ')'])
    }
}

fn json(logs: &[UnitLog], out: &mut impl Write) -> io::Result<()> {
    for log in logs {
        let header = &log.header;
        let wanted = log.entries.iter().map(|entry| Said::Wanted { request: &entry.request, entry });
        let not_kept = header.not_kept.iter().map(|not_kept| Said::NotKept { what: "not-kept", not_kept });
        for said in wanted.chain(not_kept) {
            let line = Line {
                calling_package: &header.package,
                calling_version: &header.version,
                crate_name: &header.crate_name,
                program: &header.program,
                build: header.build.as_deref(),
                said,
            };
            lines::line(&line, out)?;
        }
    }
    Ok(())
}

/// The same request of the same macro in all units of one crate: what a check and a build wanted is one thing to its reader.
fn merged(logs: &[UnitLog]) -> BTreeMap<(&str, &str, &str), Vec<Entry>> {
    let mut crates: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
    let mut places: HashMap<((&str, &str, &str), EntryKey), usize> = HashMap::new();
    for log in logs.iter().filter(|log| !log.entries.is_empty()) {
        let Header { package, version, crate_name, .. } = &log.header;
        let of = (package.as_str(), version.as_str(), crate_name.as_str());
        let known = crates.entry(of).or_default();
        for entry in &log.entries {
            let at = *places.entry((of, entry.key())).or_insert(known.len());
            match known.get_mut(at) {
                Some(other) => {
                    // The last time it ran or was remembered in all of them.
                    other.remembered =
                        if entry.times > other.times { entry.remembered } else { other.remembered };
                    other.times = other.times.max(entry.times);
                    other.more_calls = other.more_calls.max(entry.more_calls);
                    other.calls.extend(entry.calls.iter().cloned());
                    other.calls.sort();
                    other.calls.dedup();
                }
                None => known.push(entry.clone()),
            }
        }
    }
    crates
}

const HEAD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Places of calls that are shown of one request.
const PLACES: usize = 3;

fn text(logs: &[UnitLog], dir: &Utf8Path, out: &mut impl Write) -> io::Result<()> {
    if logs.is_empty() {
        return writeln!(
            out,
            "nothing of that kind is on record ({dir}): no macro asked, or nothing was built"
        );
    }
    let mut first = true;
    for ((package, version, crate_name), entries) in merged(logs) {
        if !std::mem::take(&mut first) {
            writeln!(out)?;
        }
        let (package, version) = (plain(package), plain(version));
        write!(out, "{HEAD}{package} {version}{HEAD:#}")?;
        if crate_name != package.replace('-', "_") {
            write!(out, " ({})", plain(crate_name))?;
        }
        writeln!(out)?;
        let mut last = None;
        for entry in &entries {
            let of = (&entry.macro_name, &entry.package, &entry.version);
            if last != Some(of) {
                let (name, package) = (plain(&entry.macro_name), plain(&entry.package));
                writeln!(out, "  `{name}` of {package} {}", plain(&entry.version))?;
                last = Some(of);
            }
            write_entry(entry, out)?;
        }
    }
    let mut not_kept: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for of in logs.iter().flat_map(|log| &log.header.not_kept) {
        let times = not_kept.entry((&of.package, &of.version, &of.outcome)).or_default();
        *times = times.saturating_add(of.times);
    }
    for (n, ((package, version, outcome), times)) in not_kept.into_iter().enumerate() {
        let (package, version, outcome) = (plain(package), plain(version), plain(outcome));
        writeln!(
            out,
            "{}{package} {version}: {times} more attempts ({outcome}) are not listed, there were too many different ones",
            if n == 0 { "\n" } else { "" }
        )?;
    }
    Ok(())
}

/// Says which grants of the workspace nobody used.
fn idle_grants(logs: &[UnitLog], workspace: &Workspace, out: &mut impl Write) -> io::Result<()> {
    let root = workspace.root.to_string();
    let calling = Calling { workspace_root: Some(root), ..Calling::default() };
    let policy = Policy::load(calling, &policy::places(Some(&workspace.root)));
    // Its mistakes are for the next build to tell.
    let Ok(policy) = policy else { return Ok(()) };
    let granted: Vec<(Calling, &Entry, Request)> = logs
        .iter()
        .flat_map(|log| log.entries.iter().map(|entry| (log.header.calling(), entry)))
        .filter(|(_, entry)| entry.is(Outcome::Granted) || entry.is(Outcome::Fixed))
        .filter_map(|(calling, entry)| {
            Some((calling, entry, Request::from_word(&entry.what, entry.name.as_deref())?))
        })
        .collect();
    let used: Vec<Used<'_>> = granted
        .iter()
        .map(|(calling, entry, request)| Used {
            macro_package: &entry.package,
            macro_version: &entry.version,
            calling,
            request,
        })
        .collect();
    let dirs = workspace.built_in();
    let pairs: Vec<_> =
        dirs.iter().flat_map(|dir| policy::pairs(&policy::stamps(&dir.join("belljar")))).collect();
    let idle = unused(policy.grants(), &pairs, &used);
    let ours = idle.iter().filter(|unused| unused.grant().source == Source::Workspace);
    for (n, unused) in ours.enumerate() {
        writeln!(out, "{}{unused}", if n == 0 { "\n" } else { "" })?;
    }
    Ok(())
}

fn write_entry(entry: &Entry, out: &mut impl Write) -> io::Result<()> {
    let colour = match entry.outcome.as_str() {
        "refused" => AnsiColor::Red.on_default(),
        "reported" => AnsiColor::Yellow.on_default(),
        "granted" => AnsiColor::Green.on_default(),
        _ => Style::new(),
    };
    write!(out, "    {colour}{:<8}{colour:#} {}", plain(&entry.outcome), plain(&entry.request))?;
    match (entry.times, entry.remembered) {
        (0 | 1, 0) => {}
        (0 | 1, _) => write!(out, " (remembered)")?,
        (times, 0) => write!(out, " ({times} times)")?,
        (times, remembered) if remembered >= times => write!(out, " ({times} times, remembered)")?,
        (times, remembered) => write!(out, " ({times} times, {remembered} of them remembered)")?,
    }
    writeln!(out, " {DIM}— {}{DIM:#}", plain(&entry.reason))?;
    if !entry.calls.is_empty() {
        let place = |call: &super::Call| format!("{}:{}", plain(&call.file), call.line);
        let places: Vec<_> = entry.calls.iter().take(PLACES).map(place).collect();
        write!(out, "             at {}", places.join(", "))?;
        let more = entry.more_calls.saturating_add(entry.calls.len().saturating_sub(PLACES) as u64);
        if more > 0 {
            write!(out, " and {more} more")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(package: &str, build: &str, entries: &str) -> UnitLog {
        let header = format!(
            r#"{{"belljar_log":2,"build":"{build}","package":"{package}","version":"0.1.0","crate":"{package}","program":"rustc","began":0,"not_kept":[]}}"#
        );
        let seconds = build.parse().unwrap();
        UnitLog {
            header: serde_json::from_str(&header).unwrap(),
            entries: entries.lines().map(|line| Entry::read(line).unwrap()).collect(),
            written: std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds),
        }
    }

    const READ: &str = r#"{"macro":"derive(Template)","package":"askama_derive","version":"0.12.5","what":"read","name":"/ws/a","request":"read file `/ws/a`","outcome":"refused","reason":"nothing grants it","times":2,"calls":[{"file":"src/main.rs","line":3}],"more_calls":7}"#;
    const ENV: &str = r#"{"macro":"var!","package":"mac","version":"1.0.0","what":"env","name":"A","request":"environment variable `A`","outcome":"granted","reason":"belljar.toml:3: it is asked","times":1,"calls":[],"more_calls":0}"#;

    fn all() -> Log {
        Log {
            macros: Vec::new(),
            crates: Vec::new(),
            outcome: Vec::new(),
            last: false,
            format: Format::Text,
            manifest_path: None,
        }
    }

    fn logs() -> Vec<UnitLog> {
        vec![log("web", "1", ENV), log("web", "2", READ), log("web", "2", READ), log("other-one", "1", ENV)]
    }

    #[test]
    fn it_reads_well() {
        let mut out = Vec::new();
        text(&all().chosen(logs()), "/ws/target/belljar/log".into(), &mut out).unwrap();
        text(&[], "/ws/target/belljar/log".into(), &mut out).unwrap();
        insta::assert_snapshot!(anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string(), @r"
        other-one 0.1.0 (other-one)
          `var!` of mac 1.0.0
            granted  environment variable `A` — belljar.toml:3: it is asked

        web 0.1.0
          `derive(Template)` of askama_derive 0.12.5
            refused  read file `/ws/a` (2 times) — nothing grants it
                     at src/main.rs:3 and 7 more
        nothing of that kind is on record (/ws/target/belljar/log): no macro asked, or nothing was built
        ");
    }

    #[test]
    fn filters() {
        let count = |log: Log| log.chosen(logs()).iter().map(|log| log.entries.len()).sum::<usize>();
        assert_eq!(count(all()), 3);
        assert_eq!(count(Log { macros: vec!["Template".to_owned()], ..all() }), 2);
        assert_eq!(count(Log { macros: vec!["askama-derive".to_owned()], ..all() }), 2);
        assert_eq!(count(Log { macros: vec!["derive".to_owned()], ..all() }), 0);
        assert_eq!(count(Log { crates: vec!["other_one".to_owned()], ..all() }), 1);
        assert_eq!(count(Log { outcome: vec![Outcome::Granted], ..all() }), 1);
        assert_eq!(count(Log { last: true, ..all() }), 2, "of the last run");
        assert!(outcome("refused").is_ok());
        assert_eq!(outcome("no").unwrap_err(), "one of granted, fixed, withheld, refused, reported");
    }

    #[test]
    fn each_json_line_stands_for_itself() {
        let mut out = Vec::new();
        json(&logs(), &mut out).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1]["calling_package"], "web");
        assert_eq!(lines[1]["macro"], "derive(Template)");
        assert_eq!(lines[3]["outcome"], "granted");
    }
}
