//! Whole source files, with what macros wrote in its place.
//!
//! ```text
//! calls of one file ── where each stands in its text (belljar_inspect::Source) ── edits, in the order of the text ── source, edit, source…
//! ```
//!
//! What is a macro's stands between the line that names its call and a line `// end`; all else is the file, as it is now. A file that
//! has changed since it was compiled, or that the calls don't fit, is not shown: its calls are, one by one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use belljar_inspect::{Called, Class, Places, Source, Stands, classes, is_odd};
use camino::Utf8Path;

use super::Shown;
use super::show::{self, CRATE, Came, DIM, MAX_INDENTED, Outputs};
use crate::refused::plain;
use crate::written::{Kind, Unit};

/// A call, and those in what it wrote.
type Family<'s, 'a> = &'s [Shown<'a>];

/// All crates that have such calls. `is_wanted` says of which items the source is shown, by path and crate.
pub(super) fn text<'u>(
    crates: impl Iterator<Item = (&'u Unit, &'u Places)>,
    shown: &[Shown<'_>],
    is_wanted: impl Fn(&str, &Unit) -> bool,
    outputs: &Outputs,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut is_first = true;
    for (unit, places) in crates {
        let of_unit = shown.chunk_by(|a, b| std::ptr::eq(a.unit, b.unit));
        let Some(calls) = of_unit.into_iter().find(|calls| std::ptr::eq(calls[0].unit, unit)) else {
            continue;
        };
        if !std::mem::take(&mut is_first) {
            writeln!(out)?;
        }
        show::heading(unit, out)?;
        let of_crate = Crate { unit, places, outputs };
        of_crate.show(calls, |item| is_wanted(item, unit), out)?;
        show::not_listed(unit, out)?;
    }
    Ok(())
}

struct Crate<'c> {
    unit: &'c Unit,
    places: &'c Places,
    outputs: &'c Outputs,
}

impl Crate<'_> {
    fn show(
        &self,
        calls: &[Shown<'_>],
        is_wanted: impl Fn(&str) -> bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let cwd = &self.unit.header.of.cwd;
        let mut by_file: HashMap<_, Vec<Family<'_, '_>>> = HashMap::new();
        for family in calls.chunk_by(|a, b| a.root == b.root) {
            let file = family[0].call.site.as_ref().map(|site| cwd.join(&site.file).into_std_path_buf());
            by_file.entry(file).or_default().push(family);
        }
        for (file, module) in self.places.files() {
            let families = by_file.remove(&Some(file.to_owned())).unwrap_or_default();
            let pieces = self.places.pieces(file, &is_wanted);
            // Of one that can't be parsed, it isn't known what is in it.
            if pieces.is_empty() && families.is_empty() && (module.is_some() || !is_wanted("")) {
                continue;
            }
            writeln!(out, "\n{CRATE}// {}{CRATE:#}", named(file, module, cwd))?;
            if module.is_some() && pieces.is_empty() {
                self.all(&families, out)?;
                continue;
            }
            let page = Source::read(file).and_then(|source| {
                let pieces: Option<Vec<_>> = pieces.iter().map(|piece| source.piece(piece)).collect();
                Some((source, pieces?))
            });
            let Some((source, pieces)) = page else {
                self.one_by_one("it can't be read, or is no Rust that is known", &families, out)?;
                continue;
            };
            let edits = match changed_since(file, self.unit.at) {
                true => None,
                false => self.edits(&source, &families),
            };
            let Some(edits) = edits else {
                self.one_by_one("it has changed since it was compiled", &families, out)?;
                continue;
            };
            Page::new(&source, self.outputs, out).show(&pieces, edits)?;
        }
        let mut others: Vec<_> = by_file.into_values().flatten().collect();
        others.sort_by_key(|family| std::ptr::from_ref(&family[0]));
        if !others.is_empty() {
            writeln!(out, "\n{CRATE}// in no source file of this crate{CRATE:#}")?;
        }
        self.all(&others, out)
    }

    /// Calls by themselves, and why.
    fn one_by_one(&self, why: &str, families: &[Family<'_, '_>], out: &mut impl Write) -> io::Result<()> {
        let then = if families.is_empty() { "it is not shown" } else { "its calls, one by one" };
        show::said(&format!("{why}: {then}"), "", out)?;
        self.all(families, out)
    }

    fn all(&self, families: &[Family<'_, '_>], out: &mut impl Write) -> io::Result<()> {
        families
            .iter()
            .flat_map(|family| family.iter())
            .try_for_each(|one| show::call(one, self.outputs, out))
    }

    /// Where in a file's text what its calls wrote is to stand. `None` if one has a place that is none in this text.
    fn edits<'f, 'a>(&self, source: &Source, families: &[Family<'f, 'a>]) -> Option<Vec<Edit<'f, 'a>>> {
        let mut placed = Vec::with_capacity(families.len());
        let mut times: HashMap<(usize, usize), usize> = HashMap::new();
        for family in families {
            let site = family[0].call.site.as_ref()?;
            let at = source.range((site.line, site.column), site.end)?;
            if family[0].level == 0 {
                *times.entry((at.start, at.end)).or_default() += 1;
            }
            placed.push((at, *family));
        }
        let stands = |at: &Range<usize>, family: Family<'_, '_>| {
            let stands = source.stands(called(&family[0]), at);
            let is_alone = family[0].level == 0 && times.get(&(at.start, at.end)) == Some(&1);
            match &stands {
                // What is called several times in one place can't stand there, nor what another macro wrote.
                Stands::For(_) if !is_alone || !self.fits(source, at, &family[0]) => source.behind(at),
                _ if family[0].level > 0 => source.behind(at),
                _ => stands,
            }
        };
        let (mut instead, mut behind) = (Vec::new(), Vec::new());
        for (at, family) in placed {
            match stands(&at, family) {
                Stands::For(part) => instead.push((part, at, family)),
                Stands::Behind(part) => behind.push((part, at, family)),
            }
        }
        // What stands for an item has taken all that was in it: calls there are in what it wrote. Of several attributes of one item,
        // that is the first one.
        instead.sort_by_key(|(part, at, _)| (part.start, Reverse(part.end), at.start));
        let mut edits: Vec<Edit<'_, '_>> = Vec::new();
        for (part, at, family) in instead {
            match edits.last_mut().filter(|outer| part.start < outer.part.end) {
                Some(outer) => outer.calls.push((family, 1)),
                None => edits.push(Edit { part, replaces: Some(at), calls: vec![(family, 0)] }),
            }
        }
        let replacing = edits.len();
        let mut by_part: HashMap<(usize, usize), usize> = HashMap::new();
        for (part, at, family) in behind {
            let next = edits[..replacing].partition_point(|edit| edit.part.end < at.end);
            let outer = edits[..replacing].get_mut(next).filter(|edit| edit.part.start <= at.start);
            if let Some(Edit { part: outer, replaces: Some(attribute), calls }) = outer {
                // A derive before an attribute is called before it.
                let is_before = part == *outer && at.start < attribute.start && family[0].level == 0;
                calls.push((family, usize::from(!is_before)));
                continue;
            }
            let new = edits.len();
            match by_part.entry((part.start, part.end)) {
                Entry::Occupied(known) => edits[*known.get()].calls.push((family, 0)),
                Entry::Vacant(free) => {
                    free.insert(new);
                    edits.push(Edit { part, replaces: None, calls: vec![(family, 0)] });
                }
            }
        }
        for Edit { replaces, calls, .. } in &mut edits {
            let first = usize::from(replaces.is_some());
            // As they were called.
            calls[first..].sort_by_key(|(family, _)| std::ptr::from_ref(&family[0]));
        }
        edits.sort_by_key(|edit| (edit.place(), edit.replaces.is_none(), Reverse(edit.part.start)));
        Some(edits)
    }

    /// Whether the text at a place is that call, as far as that can be told.
    fn fits(&self, source: &Source, at: &Range<usize>, one: &Shown<'_>) -> bool {
        if one.macro_of().kind != Kind::Function {
            return true;
        }
        let Some(written) = self.outputs.find(one.call) else { return true };
        written.given().is_ok_and(|given| matches!(&given[..], [given] if source.has_arguments(at, given)))
    }
}

/// Calls that are shown in one place of a file's text.
struct Edit<'f, 'a> {
    /// What they stand for or behind.
    part: Range<usize>,
    /// Where the call is whose output stands for that part, which is the first one.
    replaces: Option<Range<usize>>,
    /// Each with how many calls it is written by, beside those that are on record.
    calls: Vec<(Family<'f, 'a>, usize)>,
}

impl Edit<'_, '_> {
    fn place(&self) -> usize {
        if self.replaces.is_some() { self.part.start } else { self.part.end }
    }
}

fn called(one: &Shown<'_>) -> Called {
    match one.macro_of().kind {
        Kind::Derive => Called::Derive,
        Kind::Attribute => Called::Attribute,
        Kind::Function => Called::Function,
    }
}

/// A file that is gone meanwhile has changed, too.
fn changed_since(file: &Path, at: SystemTime) -> bool {
    std::fs::metadata(file).and_then(|found| found.modified()).map_or(true, |modified| modified > at)
}

/// A file's name as the compiler writes it, and the module that it is.
fn named(file: &Path, module: Option<&str>, cwd: &Utf8Path) -> String {
    let name = plain(&file.strip_prefix(cwd).unwrap_or(file).to_string_lossy());
    match module.filter(|module| !module.is_empty()) {
        Some(module) => format!("{name}, {}", plain(module)),
        None => name,
    }
}

/// A file's text on its way out.
struct Page<'p, W> {
    text: &'p str,
    classes: Vec<(Range<usize>, Class)>,
    outputs: &'p Outputs,
    out: &'p mut W,
    /// Up to where the text is written.
    at: usize,
    /// What is before the next of it, where that does not begin a line in the file, but does here.
    indent: Option<String>,
    /// Whether what was written last ended a line.
    is_fresh: bool,
}

impl<'p, W: Write> Page<'p, W> {
    fn new(source: &'p Source, outputs: &'p Outputs, out: &'p mut W) -> Self {
        let classes = classes(source.text());
        Self { text: source.text(), classes, outputs, out, at: 0, indent: None, is_fresh: true }
    }

    /// These pieces of the text, with edits.
    fn show(mut self, pieces: &[Range<usize>], edits: Vec<Edit<'_, '_>>) -> io::Result<()> {
        let is_in = |edit: &Edit<'_, '_>, piece: &Range<usize>| {
            piece.start <= edit.part.start && edit.part.end <= piece.end
        };
        // All calls that were asked for are in what was: those that are not stand behind it all the same.
        let is_in_any = |edit: &Edit<'_, '_>| pieces.iter().any(|piece| is_in(edit, piece));
        let (edits, others): (Vec<_>, Vec<_>) = edits.into_iter().partition(is_in_any);
        let mut edits = edits.into_iter().peekable();
        for (n, piece) in pieces.iter().enumerate() {
            if n > 0 {
                writeln!(self.out)?;
            }
            let line = self.line(piece.start);
            let begins = self.text[line..piece.start].trim().is_empty();
            self.at = if begins { line } else { piece.start };
            self.indent = (!begins).then(|| self.lead(piece.start));
            while let Some(edit) = edits.next_if(|edit| is_in(edit, piece)) {
                self.edit(&edit, piece.end)?;
            }
            self.copy(piece.end)?;
            self.end_line()?;
        }
        others.iter().try_for_each(|edit| self.calls(edit, "", None))
    }

    fn edit(&mut self, edit: &Edit<'_, '_>, end: usize) -> io::Result<()> {
        if edit.replaces.is_none() {
            let (from, to) = (edit.part.start, edit.part.end);
            let rest = self.rest(to, end);
            // A comment that ends with the line is of what is before it.
            let ends = rest.trim().is_empty() || rest.trim_start().starts_with("//");
            if self.at <= to {
                self.copy(if ends { to + rest.len() } else { to })?;
                self.end_line()?;
            }
            self.calls(edit, &self.lead(from), None)?;
            return self.go_on(from, self.at.max(to), end);
        }
        let (from, to) = (edit.part.start, edit.part.end);
        let indent = self.before(from)?;
        let came = edit.calls.first().map(|(family, _)| self.outputs.of(&family[0]));
        match came {
            Some(came @ (Came::Code(..) | Came::Nothing)) => {
                let semicolon = self.text[to..end.max(to)].starts_with(';');
                self.calls(edit, &indent, Some((came, semicolon)))?;
                self.go_on(from, to + usize::from(semicolon), end)
            }
            // It stays as it was written.
            came => {
                self.calls(edit, &indent, came.map(|came| (came, false)))?;
                (self.at, self.indent) = (from, Some(indent));
                Ok(())
            }
        }
    }

    /// The text up to a part, whose line ends there if it has begun. Returns what is before the part.
    fn before(&mut self, part: usize) -> io::Result<String> {
        let line = self.line(part);
        let lead = self.lead(part);
        if self.at <= line && self.text[line..part].trim().is_empty() {
            self.copy(line)?;
        } else if self.indent.is_none() || !self.text[self.at..part].trim().is_empty() {
            self.copy(self.at + self.text[self.at..part].trim_end().len())?;
            self.end_line()?;
            return Ok(format!("{lead}    "));
        }
        Ok(self.indent.take().unwrap_or(lead))
    }

    /// The text goes on behind a place, in a line of its own if there is more in that line.
    fn go_on(&mut self, from: usize, at: usize, end: usize) -> io::Result<()> {
        self.at = at;
        let rest = self.rest(at, end);
        let is_line_end = self.at > 0 && self.text[..self.at].ends_with('\n');
        if is_line_end {
            return Ok(());
        }
        match rest.trim().is_empty() {
            true => self.at = (at + rest.len() + 1).min(end.max(at)),
            false => {
                self.at += rest.len() - rest.trim_start().len();
                self.indent = Some(self.lead(from));
            }
        }
        Ok(())
    }

    /// The calls of an edit. Of the first one it may be known what came of it, and whether a semicolon of the source follows.
    fn calls(
        &mut self,
        edit: &Edit<'_, '_>,
        indent: &str,
        mut first: Option<(Came, bool)>,
    ) -> io::Result<()> {
        let mut has_code = false;
        for (n, (family, more)) in edit.calls.iter().enumerate() {
            for (m, one) in family.iter().enumerate() {
                if n + m > 0 {
                    writeln!(self.out)?;
                }
                let level = one.level + more;
                let by = match level {
                    0 => "",
                    _ if m == 0 && *more == 0 => ", in what another macro wrote",
                    _ => ", in what is above",
                };
                let indent = format!("{indent}{}", "    ".repeat(level.min(MAX_INDENTED)));
                show::head(one, by, &indent, self.out)?;
                let (mut came, semicolon) = first.take().unwrap_or_else(|| (self.outputs.of(one), false));
                if let (Came::Code(rust, _), true) = (&mut came, semicolon) {
                    ended(&mut rust.text);
                }
                has_code |= matches!(came, Came::Code(..));
                show::came(&came, &indent, self.out)?;
            }
        }
        if has_code {
            writeln!(self.out, "{indent}{DIM}// end{DIM:#}")?;
        }
        self.is_fresh = true;
        Ok(())
    }

    /// Writes the text up to there.
    fn copy(&mut self, to: usize) -> io::Result<()> {
        if self.at >= to {
            return Ok(());
        }
        if let Some(indent) = self.indent.take() {
            self.out.write_all(indent.as_bytes())?;
        }
        let mut next = self.classes.partition_point(|(range, _)| range.end <= self.at);
        self.is_fresh = self.text[..to].ends_with('\n');
        while self.at < to {
            let (until, class) = match self.classes.get(next) {
                Some((range, class)) if range.start <= self.at => {
                    next += 1;
                    (range.end, Some(*class))
                }
                Some((range, _)) => (range.start, None),
                None => (to, None),
            };
            let until = until.min(to);
            show::piece(&escaped(&self.text[self.at..until]), class, true, self.out)?;
            self.at = until;
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_fresh, true) {
            return Ok(());
        }
        // It is at the end of the line in the file, too, or that goes on in another one here.
        self.at += usize::from(self.text[self.at..].starts_with('\n'));
        writeln!(self.out)
    }

    /// Where the line of a place begins.
    fn line(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// The spaces and tabs with which the line of a place begins.
    fn lead(&self, at: usize) -> String {
        let line = &self.text[self.line(at)..];
        line[..line.len() - line.trim_start_matches([' ', '\t']).len()].to_owned()
    }

    /// What is behind a place in its line.
    fn rest(&self, at: usize, end: usize) -> &'p str {
        self.text.get(at..end).and_then(|rest| rest.split('\n').next()).unwrap_or_default()
    }
}

/// With the semicolon that the source has behind it, if it has none of its own.
fn ended(text: &mut String) {
    let end = text.trim_end().len();
    let last = text[..end].rsplit('\n').next().unwrap_or_default();
    if !last.ends_with(';') {
        // Not in a comment.
        let at = if last.contains("//") { text.len() } else { end };
        text.insert(at, ';');
    }
}

/// With an escape for what a terminal would obey, or nobody would see.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_odd(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}
