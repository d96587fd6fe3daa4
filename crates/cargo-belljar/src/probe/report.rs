//! What was found of the calls in one crate: as wrappers write it down, and as the command shows it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use belljar_expander::{CallSite, Differs};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::Circumstance;
use crate::refused::plain;

/// Differing calls that are shown for one circumstance.
pub(crate) const EXAMPLES: usize = 3;

const ENDING: &str = "json";

/// The longest report that is read.
const MAX: u64 = 16 << 20;

/// What was found of one version of the macro package in one crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnitReport {
    pub(crate) calling_package: String,
    pub(crate) calling_version: String,
    #[serde(rename = "crate")]
    pub(crate) crate_name: String,
    pub(crate) package: String,
    pub(crate) version: String,
    /// Calls that gave an output, which were made again.
    pub(crate) calls: usize,
    /// Calls that failed.
    pub(crate) failed: usize,
    /// Calls for which there was no room.
    pub(crate) not_kept: u64,
    /// What gave other outputs though nothing was changed: then there is nothing to compare with.
    pub(crate) unsteady: Option<Changed>,
    pub(crate) changed: Vec<Changed>,
}

/// What came of changing one circumstance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// `None`: nothing was changed.
    pub(crate) circumstance: Option<Circumstance>,
    /// Calls that gave something else.
    pub(crate) differ: usize,
    /// The first of them.
    pub(crate) examples: Vec<Example>,
    /// Why it could not be done.
    pub(crate) not_done: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Example {
    /// As its user writes it: `name!`, `#[name]`, `derive(Name)`.
    #[serde(rename = "macro")]
    pub(crate) macro_name: String,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    #[serde(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub(crate) enum How {
    Tokens { was: String, now: String },
    Spans,
    Ended { now: String },
    Asked { what: String },
}

impl Example {
    pub(crate) fn new(macro_name: String, site: Option<CallSite>, differs: Differs) -> Self {
        let (file, line) = site.map(|site| (site.file, site.line)).unzip();
        let how = match differs {
            Differs::Tokens { was, now } => How::Tokens { was, now },
            Differs::Spans => How::Spans,
            Differs::Ended { now } => How::Ended { now },
            Differs::Asked { what } => How::Asked { what: what.to_owned() },
        };
        Self { macro_name, file, line, how }
    }
}

/// Writes the reports of one unit.
pub(crate) fn write(dir: &Utf8Path, unit: &str, reports: &[UnitReport]) -> io::Result<()> {
    for (n, report) in reports.iter().enumerate() {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(report)?)?;
        file.persist(dir.join(format!("{unit}-{n}.{ENDING}"))).map_err(|e| e.error)?;
    }
    Ok(())
}

/// All reports in this directory, by calling package.
pub(crate) fn read(dir: &Utf8Path) -> io::Result<Vec<UnitReport>> {
    let mut found = Vec::new();
    for entry in dir.read_dir_utf8()? {
        let path: Utf8PathBuf = entry?.into_path();
        if path.extension() == Some(ENDING) && path.symlink_metadata()?.len() <= MAX {
            found.push(serde_json::from_slice::<UnitReport>(&std::fs::read(&path)?)?);
        }
    }
    let key = |r: &UnitReport| {
        let of = [&r.calling_package, &r.calling_version, &r.crate_name, &r.package, &r.version];
        of.map(String::clone)
    };
    found.sort_by_key(key);
    Ok(found)
}

pub(crate) fn json(found: &[UnitReport], out: &mut impl Write) -> io::Result<()> {
    for report in found {
        crate::json::line(report, out)?;
    }
    Ok(())
}

const HEAD: Style = Style::new().bold();
const SAME: Style = AnsiColor::Green.on_default();
const OTHER: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

/// For people. `package` is what was asked about.
pub(crate) fn text(found: &[UnitReport], package: &str, out: &mut impl Write) -> io::Result<()> {
    let mut depends: BTreeSet<Option<Circumstance>> = BTreeSet::new();
    for report in found {
        unit(report, out)?;
        let all = report.unsteady.iter().chain(&report.changed);
        depends.extend(all.filter(|changed| changed.differ > 0).map(|changed| changed.circumstance));
    }
    if found.is_empty() {
        return Ok(());
    }
    let package = plain(package);
    if depends.is_empty() {
        return writeln!(out, "{HEAD}{package}{HEAD:#}: its outputs depend on none of these");
    }
    let names: Vec<&str> = depends.into_iter().map(name).collect();
    writeln!(out, "{HEAD}{package}{HEAD:#}: its outputs depend on: {}", names.join(", "))
}

fn name(circumstance: Option<Circumstance>) -> &'static str {
    circumstance.map_or("something that changes by itself", Circumstance::name)
}

fn unit(report: &UnitReport, out: &mut impl Write) -> io::Result<()> {
    let UnitReport { calling_package, calling_version, crate_name, package, version, .. } = report;
    write!(out, "{HEAD}{} {}{HEAD:#} in {} ", plain(package), plain(version), plain(calling_package))?;
    write!(out, "{}", plain(calling_version))?;
    if *crate_name != calling_package.replace('-', "_") {
        write!(out, " ({})", plain(crate_name))?;
    }
    write!(out, ": {} call{}", report.calls, if report.calls == 1 { "" } else { "s" })?;
    if report.failed > 0 {
        write!(out, ", and {} without an output", report.failed)?;
    }
    if report.not_kept > 0 {
        write!(out, ", and {} for which there was no room", report.not_kept)?;
    }
    writeln!(out)?;
    for changed in report.unsteady.iter().chain(&report.changed) {
        let name = changed.circumstance.map_or("nothing changed", Circumstance::name);
        match (&changed.not_done, changed.differ) {
            (Some(why), _) => writeln!(out, "  {name:<18}not tried: {}", plain(why))?,
            (None, 0) => writeln!(out, "  {name:<18}{SAME}same{SAME:#}")?,
            (None, n) => writeln!(
                out,
                "  {name:<18}{OTHER}{n} of {} {}{OTHER:#}",
                report.calls,
                if report.calls == 1 { "differs" } else { "differ" }
            )?,
        }
        for example in &changed.examples {
            show(example, out)?;
        }
    }
    writeln!(out)
}

fn show(example: &Example, out: &mut impl Write) -> io::Result<()> {
    write!(out, "    `{}`", plain(&example.macro_name))?;
    if let (Some(file), Some(line)) = (&example.file, example.line) {
        write!(out, " {DIM}at {}:{line}{DIM:#}", plain(file))?;
    }
    match &example.how {
        How::Tokens { was, now } => {
            writeln!(out, "\n      was  {}\n      now  {}", plain(was), plain(now))
        }
        How::Spans => writeln!(out, "\n      the same tokens, with other spans"),
        How::Ended { now } => {
            let first = now.lines().next().unwrap_or_default();
            writeln!(out, "\n      now  no output: {}", plain(first))
        }
        How::Asked { what } => {
            writeln!(out, "\n      now  it asks the compiler for something else: {}", plain(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> UnitReport {
        let example = |how| Example {
            macro_name: "derive(Template)".to_owned(),
            file: Some("src/main.rs".to_owned()),
            line: Some(12),
            how,
        };
        let changed = |circumstance, examples: Vec<Example>| Changed {
            circumstance: Some(circumstance),
            differ: examples.len(),
            examples,
            not_done: None,
        };
        UnitReport {
            calling_package: "web".to_owned(),
            calling_version: "0.1.0".to_owned(),
            crate_name: "web".to_owned(),
            package: "askama_derive".to_owned(),
            version: "0.14.0".to_owned(),
            calls: 2,
            failed: 1,
            not_kept: 0,
            unsteady: None,
            changed: vec![
                changed(Circumstance::Seed, vec![]),
                changed(Circumstance::Clock, vec![example(How::Spans)]),
                changed(
                    Circumstance::Path,
                    vec![
                        example(How::Tokens {
                            was: "include_bytes ! ( \"/ws/a\x1b[31m\" )".to_owned(),
                            now: "include_bytes ! ( \"/other/a\" )".to_owned(),
                        }),
                        example(How::Ended { now: "no such file\nmore".to_owned() }),
                    ],
                ),
                changed(
                    Circumstance::Directory,
                    vec![example(How::Asked { what: "the place of a token".to_owned() })],
                ),
                Changed {
                    circumstance: Some(Circumstance::Order),
                    differ: 0,
                    examples: vec![],
                    not_done: Some("no room".to_owned()),
                },
            ],
        }
    }

    #[test]
    fn it_reads_well() {
        let mut out = Vec::new();
        text(&[report()], "askama_derive", &mut out).unwrap();
        let steady = UnitReport { changed: vec![], calls: 1, failed: 0, ..report() };
        text(&[steady], "askama_derive", &mut out).unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
        insta::assert_snapshot!(shown, @r#"
        askama_derive 0.14.0 in web 0.1.0: 2 calls, and 1 without an output
          random seed       same
          clock             1 of 2 differ
            `derive(Template)` at src/main.rs:12
              the same tokens, with other spans
          package path      2 of 2 differ
            `derive(Template)` at src/main.rs:12
              was  include_bytes ! ( "/ws/a�[31m" )
              now  include_bytes ! ( "/other/a" )
            `derive(Template)` at src/main.rs:12
              now  no output: no such file
          working directory 1 of 2 differ
            `derive(Template)` at src/main.rs:12
              now  it asks the compiler for something else: the place of a token
          order of calls    not tried: no room

        askama_derive: its outputs depend on: clock, working directory, package path
        askama_derive 0.14.0 in web 0.1.0: 1 call

        askama_derive: its outputs depend on none of these
        "#);
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let other = UnitReport { calling_package: "a".to_owned(), ..report() };
        write(dir, "web-1", &[report(), other.clone()]).unwrap();
        std::fs::write(dir.join("half.tmp"), "{").unwrap();
        assert_eq!(read(dir).unwrap(), [other, report()]);
        std::fs::write(dir.join("half.json"), "{").unwrap();
        assert!(read(dir).is_err(), "nothing is left out silently");
    }
}
