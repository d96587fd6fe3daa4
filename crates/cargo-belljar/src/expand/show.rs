//! Calls and what they wrote, for people and for programs.

use std::io::{self, Write};
use std::ops::Range;

use anstyle::{AnsiColor, Style};
use belljar_expander::{Ended, How, Written};
use belljar_inspect::{Class, Finding, Findings, Rust, classes, is_odd, rust};
use serde::Serialize;

use super::Shown;
use crate::refused::plain;
use crate::written::{Call, Kind, Unit};

const CRATE: Style = Style::new().bold();
const CALL: Style = AnsiColor::Cyan.on_default().bold();
const DIM: Style = Style::new().dimmed();
const FAILED: Style = AnsiColor::Red.on_default();
const FOUND: Style = AnsiColor::Yellow.on_default();

/// Findings of one kind that are named.
const NAMED: usize = 4;

/// Digits of a module's digest that are shown.
const DIGITS: usize = 12;

/// Why there is nothing to show of a call that wrote something.
const NOT_KEPT: &str = "what it wrote was not kept: it was too much, or nothing was to be remembered";
const GONE: &str = "what it wrote is not in belljar's store; have the crate compiled again to see it (`cargo belljar clean -p …`)";

/// All calls, as Rust with comments.
pub(super) fn text(
    shown: &[Shown<'_>],
    find: impl Fn(&Call) -> Option<Written>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut last = None;
    for one in shown {
        let calling = &one.unit.header.of;
        let of = (&calling.package, &calling.version, &calling.root, calling.test);
        if last != Some(of) {
            let blank = if last.is_some() { "\n" } else { "" };
            write!(out, "{blank}{CRATE}// {} {}", plain(&calling.package), plain(&calling.version))?;
            let name = &calling.crate_name;
            if *name != calling.package.replace('-', "_") {
                write!(out, " ({})", plain(name))?;
            }
            let tests = if calling.test { ", its tests" } else { "" };
            let failed = if calling.failed { ", which did not compile" } else { "" };
            writeln!(out, "{tests}{failed}{CRATE:#}")?;
            last = Some(of);
        }
        call(one, &find, out)?;
    }
    let mut units: Vec<&Unit> = shown.iter().map(|one| one.unit).collect();
    units.dedup_by(|a, b| std::ptr::eq(*a, *b));
    for unit in units.into_iter().filter(|unit| unit.header.not_listed > 0) {
        writeln!(out, "\n// {} more calls are not on record", unit.header.not_listed)?;
    }
    Ok(())
}

fn call(one: &Shown<'_>, find: impl Fn(&Call) -> Option<Written>, out: &mut impl Write) -> io::Result<()> {
    let indent = "    ".repeat(one.level.min(8));
    let of = one.macro_of();
    let (written, package, version) = (plain(&of.written()), plain(&of.package), plain(&of.version));
    let site = one.call.site.as_ref();
    let place = site.map_or_else(String::new, |at| format!("{}:{}:{} ", plain(&at.file), at.line, at.column));
    writeln!(out)?;
    write!(out, "{indent}{DIM}// {place}{DIM:#}{CALL}{written}{CALL:#}{DIM}")?;
    write!(out, " of {package} {version} ({})", of.module.get(..DIGITS).unwrap_or_default())?;
    if let Some(item) = one.item.as_deref().filter(|item| !item.is_empty()) {
        write!(out, ", in {}", plain(item))?;
    }
    let by = if one.level > 0 { ", in what is above" } else { "" };
    writeln!(out, "{by}{DIM:#}")?;
    let mut say = |what: &str| {
        let lines = what.lines().take(20).map(plain);
        lines.into_iter().try_for_each(|line| writeln!(out, "{indent}{FAILED}// {line}{FAILED:#}"))
    };
    match &one.call.ended {
        Ended::Panicked(Some(message)) => say(&format!("it panicked: {message}")),
        Ended::Panicked(None) => say("it panicked"),
        Ended::Failed(why) => say(why),
        Ended::Wrote { kept: None, .. } => say(NOT_KEPT),
        Ended::Wrote { kept: Some(_), .. } => match find(one.call) {
            None => say(GONE),
            Some(written) => match written.tokens() {
                Err(more) => say(&format!("what it wrote can't be shown: {more}")),
                Ok(tokens) if tokens.is_empty() => writeln!(out, "{indent}{DIM}// nothing{DIM:#}"),
                Ok(tokens) => {
                    found(&written.findings, &indent, out).and_then(|()| code(&rust(&tokens), &indent, out))
                }
            },
        },
    }
}

/// What generated code may do, a line for each kind, those first that are looked at first.
fn found(findings: &Findings, indent: &str, out: &mut impl Write) -> io::Result<()> {
    for kind in findings.kinds.iter() {
        let of_kind = || findings.list.iter().filter(|found| found.kind == kind);
        let named: Vec<String> = of_kind().take(NAMED).map(|found| short(&found.what)).collect();
        let more = match of_kind().count().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let style = if kind.is_usual() { DIM } else { FOUND };
        writeln!(out, "{indent}{style}// {kind}: {}{more}{style:#}", named.join(", "))?;
    }
    Ok(())
}

/// In one line, and no longer than people read.
fn short(what: &str) -> String {
    let readable = |c: char| match is_odd(c) || c == '\n' {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    };
    let line: String = what.chars().map(readable).collect();
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Rust with colours. What the macro was given is underlined.
fn code(rust: &Rust, indent: &str, out: &mut impl Write) -> io::Result<()> {
    let (mut made, classes) = (rust.made.iter().peekable(), classes(&rust.text));
    let mut classes = classes.iter().peekable();
    let mut at = 0;
    for line in rust.text.split_inclusive('\n') {
        let end = at + line.len();
        // A literal's lines stay as they are.
        while classes.peek().is_some_and(|(range, _)| range.end <= at) {
            classes.next();
        }
        let is_within = classes.peek().is_some_and(|(range, _)| range.start < at);
        if !line.trim().is_empty() && !is_within {
            out.write_all(indent.as_bytes())?;
        }
        while at < end {
            while made.peek().is_some_and(|range| range.end <= at) {
                made.next();
            }
            while classes.peek().is_some_and(|(range, _)| range.end <= at) {
                classes.next();
            }
            let class = classes.peek().copied();
            let (is_made, next_made) = step(made.peek().copied(), at);
            let (is_classed, next_class) = step(class.map(|(range, _)| range), at);
            let until = end.min(next_made).min(next_class);
            // Both are made of tokens, which begin and end with characters.
            let part = rust.text.get(at..until).unwrap_or_default();
            let class = class.filter(|_| is_classed).map(|(_, class)| *class);
            piece(part, class, is_made, out)?;
            at = until;
        }
    }
    Ok(())
}

/// Whether a place is in a range that is not before it, and where that changes.
fn step(range: Option<&Range<usize>>, at: usize) -> (bool, usize) {
    match range {
        None => (false, usize::MAX),
        Some(range) if range.start > at => (false, range.start),
        Some(range) => (true, range.end),
    }
}

fn piece(part: &str, class: Option<Class>, is_made: bool, out: &mut impl Write) -> io::Result<()> {
    let style = match class {
        Some(Class::Keyword) => AnsiColor::Magenta.on_default(),
        Some(Class::Literal) => AnsiColor::Green.on_default(),
        Some(Class::Comment) => DIM,
        None => Style::new(),
    };
    let style = if is_made { style } else { style.underline() };
    let text = part.trim();
    if text.is_empty() || style == Style::new() {
        return out.write_all(part.as_bytes());
    }
    // White space has no style: nobody wants it underlined.
    let before = part.len() - part.trim_start().len();
    let (before, rest) = part.split_at(before);
    write!(out, "{before}{style}{text}{style:#}{}", &rest[text.len()..])
}

/// One line of `--format json`.
#[derive(Serialize)]
struct Line<'a> {
    calling_package: &'a str,
    calling_version: &'a str,
    #[serde(rename = "crate")]
    crate_name: &'a str,
    test: bool,
    crate_failed: bool,
    #[serde(rename = "macro")]
    macro_name: &'a str,
    kind: Kind,
    package: &'a str,
    version: &'a str,
    module: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    column: Option<u32>,
    end_line: Option<u32>,
    end_column: Option<u32>,
    item: Option<&'a str>,
    level: usize,
    how: &'static str,
    microseconds: u64,
    #[serde(flatten)]
    ended: Came<'a>,
}

/// What came of a call.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Came<'a> {
    Wrote {
        text: String,
        formatted: bool,
        /// Parts of the text that the macro has made, as offsets in bytes. The rest it was given.
        made: Vec<(usize, usize)>,
        /// Of the bytes that the compiler was handed.
        digest: String,
        /// What it may do.
        findings: Vec<Found>,
        /// Findings that are not listed, because there were too many.
        findings_not_listed: u64,
    },
    NotShown(String),
    Panicked(Option<&'a str>),
    Failed(&'a str),
}

/// One thing that generated code may do.
#[derive(Serialize)]
struct Found {
    kind: &'static str,
    /// What shows it.
    what: String,
    times: u32,
}

impl Found {
    fn of(finding: &Finding) -> Self {
        Self { kind: finding.kind.name(), what: finding.what.clone(), times: finding.times }
    }
}

/// All calls, as JSON.
pub(super) fn json(
    shown: &[Shown<'_>],
    find: impl Fn(&Call) -> Option<Written>,
    out: &mut impl Write,
) -> io::Result<()> {
    for one in shown {
        let (calling, of, site) = (&one.unit.header.of, one.macro_of(), one.call.site.as_ref());
        let line = Line {
            calling_package: &calling.package,
            calling_version: &calling.version,
            crate_name: &calling.crate_name,
            test: calling.test,
            crate_failed: calling.failed,
            macro_name: &of.name,
            kind: of.kind,
            package: &of.package,
            version: &of.version,
            module: &of.module,
            file: site.map(|at| at.file.as_str()),
            line: site.map(|at| at.line),
            column: site.map(|at| at.column),
            end_line: site.map(|at| at.end.0),
            end_column: site.map(|at| at.end.1),
            item: one.item.as_deref(),
            level: one.level,
            how: match one.call.how {
                How::Run => "run",
                How::Remembered => "remembered",
                How::Verified => "verified",
            },
            microseconds: u64::try_from(one.call.took.as_micros()).unwrap_or(u64::MAX),
            ended: came(one.call, &find),
        };
        crate::json::line(&line, out)?;
    }
    Ok(())
}

fn came<'a>(call: &'a Call, find: impl Fn(&Call) -> Option<Written>) -> Came<'a> {
    match &call.ended {
        Ended::Panicked(message) => Came::Panicked(message.as_deref()),
        Ended::Failed(why) => Came::Failed(why),
        Ended::Wrote { kept: None, .. } => Came::NotShown(NOT_KEPT.to_owned()),
        Ended::Wrote { digest, .. } => match find(call) {
            None => Came::NotShown(GONE.to_owned()),
            Some(written) => match written.tokens() {
                Err(more) => Came::NotShown(format!("what it wrote can't be shown: {more}")),
                Ok(tokens) => {
                    let Rust { text, made, is_formatted } = rust(&tokens);
                    Came::Wrote {
                        text,
                        formatted: is_formatted,
                        made: made.into_iter().map(|range| (range.start, range.end)).collect(),
                        digest: digest.to_hex().to_string(),
                        findings: written.findings.list.iter().map(Found::of).collect(),
                        findings_not_listed: written.findings.more,
                    }
                }
            },
        },
    }
}
