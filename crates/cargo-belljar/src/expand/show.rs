//! Calls and what they wrote, for people and for programs.

use std::io::{self, Write};
use std::ops::Range;

use anstyle::{AnsiColor, Style};
use belljar_expander::{Ended, How, Written};
use belljar_inspect::{Class, Finding, Findings, Origin, Rust, Token, classes, is_odd};
use belljar_store::Expansions;
use serde::Serialize;

use super::Shown;
use super::format::Formatting;
use crate::refused::plain;
use crate::written::{Call, Kind, Unit};

pub(super) const CRATE: Style = Style::new().bold();
const CALL: Style = AnsiColor::Cyan.on_default().bold();
pub(super) const DIM: Style = Style::new().dimmed();
const FAILED: Style = AnsiColor::Red.on_default();
const FOUND: Style = AnsiColor::Yellow.on_default();

/// Findings of one kind that are named.
const NAMED: usize = 4;

/// Digits of a module's digest that are shown.
const DIGITS: usize = 12;

/// Calls that are written by more others, one by the other, aren't indented further.
pub(super) const MAX_INDENTED: usize = 8;

/// Why there is nothing to show of a call that wrote something.
const NOT_KEPT: &str = "what it wrote was not kept: it was too much, or nothing was to be remembered";
const GONE: &str = "what it wrote is not in belljar's store; have the crate compiled again to see it (`cargo belljar clean -p …`)";

/// What calls wrote, as far as the store has it, and how it is formatted.
pub(super) struct Outputs {
    pub(super) expansions: Expansions,
    pub(super) formatting: Formatting,
}

/// What there is to show of a call.
pub(super) enum Came {
    /// With what it may do.
    Code(Rust, Findings),
    /// It wrote no token.
    Nothing,
    /// Why there is nothing to show, or what the macro said instead.
    Not(String),
}

impl Outputs {
    /// What a call was given and wrote.
    pub(super) fn find(&self, call: &Call) -> Option<Written> {
        match call.ended {
            Ended::Wrote { digest, kept: Some(name), .. } => Written::find(&self.expansions, &name, digest),
            _ => None,
        }
    }

    fn rust(&self, tokens: &[(Token<'_>, Origin)], unit: &Unit) -> Rust {
        self.formatting.rust(tokens, unit.header.of.edition.as_deref())
    }

    pub(super) fn of(&self, one: &Shown<'_>) -> Came {
        match &one.call.ended {
            Ended::Panicked(Some(message)) => Came::Not(format!("it panicked: {message}")),
            Ended::Panicked(None) => Came::Not("it panicked".to_owned()),
            Ended::Failed(why) => Came::Not(why.clone()),
            Ended::Wrote { kept: None, .. } => Came::Not(NOT_KEPT.to_owned()),
            Ended::Wrote { kept: Some(_), .. } => match self.find(one.call) {
                None => Came::Not(GONE.to_owned()),
                Some(written) => match written.tokens() {
                    Err(more) => Came::Not(format!("what it wrote can't be shown: {more}")),
                    Ok(tokens) if tokens.is_empty() => Came::Nothing,
                    Ok(tokens) => Came::Code(self.rust(&tokens, one.unit), written.findings.clone()),
                },
            },
        }
    }
}

/// All calls, as Rust with comments.
pub(super) fn text(shown: &[Shown<'_>], outputs: &Outputs, out: &mut impl Write) -> io::Result<()> {
    for (n, of_unit) in shown.chunk_by(|a, b| std::ptr::eq(a.unit, b.unit)).enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        heading(of_unit[0].unit, out)?;
        of_unit.iter().try_for_each(|one| call(one, outputs, out))?;
    }
    let mut units: Vec<&Unit> = shown.iter().map(|one| one.unit).collect();
    units.dedup_by(|a, b| std::ptr::eq(*a, *b));
    units.into_iter().try_for_each(|unit| not_listed(unit, out))
}

/// Says of which crate the next calls are.
pub(super) fn heading(unit: &Unit, out: &mut impl Write) -> io::Result<()> {
    let calling = &unit.header.of;
    write!(out, "{CRATE}// {} {}", plain(&calling.package), plain(&calling.version))?;
    let name = &calling.crate_name;
    if *name != calling.package.replace('-', "_") {
        write!(out, " ({})", plain(name))?;
    }
    let tests = if calling.test { ", its tests" } else { "" };
    let failed = if calling.failed { ", which did not compile" } else { "" };
    writeln!(out, "{tests}{failed}{CRATE:#}")
}

/// Says that there are more calls, where there are.
pub(super) fn not_listed(unit: &Unit, out: &mut impl Write) -> io::Result<()> {
    match unit.header.not_listed {
        0 => Ok(()),
        more => writeln!(out, "\n// {more} more calls are not on record"),
    }
}

/// A call by itself.
pub(super) fn call(one: &Shown<'_>, outputs: &Outputs, out: &mut impl Write) -> io::Result<()> {
    let indent = "    ".repeat(one.level.min(MAX_INDENTED));
    writeln!(out)?;
    let by = if one.level > 0 { ", in what is above" } else { "" };
    head(one, by, &indent, out)?;
    came(&outputs.of(one), &indent, out)
}

/// The line that names a call, and says what it stands in.
pub(super) fn head(one: &Shown<'_>, by: &str, indent: &str, out: &mut impl Write) -> io::Result<()> {
    let of = one.macro_of();
    let (written, package, version) = (plain(&of.written()), plain(&of.package), plain(&of.version));
    let site = one.call.site.as_ref();
    let place = site.map_or_else(String::new, |at| format!("{}:{}:{} ", plain(&at.file), at.line, at.column));
    write!(out, "{indent}{DIM}// {place}{DIM:#}{CALL}{written}{CALL:#}{DIM}")?;
    write!(out, " of {package} {version} ({})", of.module.get(..DIGITS).unwrap_or_default())?;
    if let Some(item) = one.item.as_deref().filter(|item| !item.is_empty()) {
        write!(out, ", in {}", plain(item))?;
    }
    writeln!(out, "{by}{DIM:#}")
}

/// What came of a call.
pub(super) fn came(came: &Came, indent: &str, out: &mut impl Write) -> io::Result<()> {
    match came {
        Came::Code(rust, findings) => {
            found(findings, indent, out)?;
            code(rust, indent, out)
        }
        Came::Nothing => writeln!(out, "{indent}{DIM}// nothing{DIM:#}"),
        Came::Not(why) => {
            let mut lines = why.lines().take(20).map(plain);
            lines.try_for_each(|line| said(&line, indent, out))
        }
    }
}

/// A line of belljar's own, which has nothing in it that a terminal obeys.
pub(super) fn said(line: &str, indent: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{indent}{FAILED}// {line}{FAILED:#}")
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

pub(super) fn piece(part: &str, class: Option<Class>, is_made: bool, out: &mut impl Write) -> io::Result<()> {
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
    ended: Outcome<'a>,
}

/// What came of a call.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<'a> {
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
pub(super) fn json(shown: &[Shown<'_>], outputs: &Outputs, out: &mut impl Write) -> io::Result<()> {
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
            ended: outcome(one, outputs),
        };
        crate::json::line(&line, out)?;
    }
    Ok(())
}

fn outcome<'a>(one: &Shown<'a>, outputs: &Outputs) -> Outcome<'a> {
    match &one.call.ended {
        Ended::Panicked(message) => Outcome::Panicked(message.as_deref()),
        Ended::Failed(why) => Outcome::Failed(why),
        Ended::Wrote { digest, .. } => {
            let (Rust { text, made, is_formatted }, findings) = match outputs.of(one) {
                Came::Not(why) => return Outcome::NotShown(why),
                Came::Nothing => (outputs.rust(&[], one.unit), Findings::default()),
                Came::Code(rust, findings) => (rust, findings),
            };
            Outcome::Wrote {
                text,
                formatted: is_formatted,
                made: made.into_iter().map(|range| (range.start, range.end)).collect(),
                digest: digest.to_hex().to_string(),
                findings: findings.list.iter().map(Found::of).collect(),
                findings_not_listed: findings.more,
            }
        }
    }
}
