//! Adding a grant to a `belljar.toml`.
//!
//! The text is changed only where something is added: what stands there keeps every comment, space and line end. The parser
//! says where that is.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Array, Document, Item, TableLike, Value};

use crate::error::{Mistake, PolicyError};
use crate::grant::Grant;
use crate::parse::File;

/// A grant to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewGrant {
    pub macro_package: String,
    pub version: Option<String>,
    /// The calling packages; all of them when empty.
    pub calling: Vec<String>,
    pub read: Vec<String>,
    pub list: Vec<String>,
    pub env: Vec<String>,
    /// Whether the macros remember from call to call.
    pub state: bool,
    pub random: Option<String>,
    pub time: bool,
    pub wide: bool,
    /// With none, it is added to a grant that has one.
    pub reason: Option<String>,
}

/// Why a grant could not be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file is wrong as it is.
    #[error("{}", show(.0))]
    Before(Vec<Mistake>),
    /// It would be wrong with the grant.
    #[error("with the new grant, the file would be wrong:\n{}", show(.0))]
    After(Vec<Mistake>),
    #[error(
        "the grant for `{macro_package}` needs a reason\n  = help: say why in a few words; it is for whoever reads the file next"
    )]
    NoReason { macro_package: String },
    #[error("the grant for `{macro_package}` grants nothing\n  = help: name what the macros may reach")]
    Nothing { macro_package: String },
    #[error(
        "line {line} says otherwise about `{key}` for `{macro_package}`\n  = help: change it there by hand"
    )]
    Contradicts { macro_package: String, key: &'static str, line: usize },
}

fn show(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// What a new file begins with.
const HEADER: &str = "\
# What the procedural macros of this workspace may reach, and why. Everything else is refused: see `cargo belljar log`.
# `cargo belljar allow` adds grants; the keys are described in docs/policy.md of belljar.
";

/// The text that is to be edited, as a build would read it: `None` if there is no such file, or a link that leads to none.
pub fn read(path: &Path) -> Result<Option<String>, PolicyError> {
    crate::policy::read_file(path)
}

/// The text of a file with this grant; a text without any grants, comments or keys gets a short explanation first.
///
/// It is added to a grant for the same macros that has the same reason (or if it has none itself), else it becomes a new one
/// at the end. `name` is how messages call the file.
pub fn add(text: &str, name: &str, new: &NewGrant) -> Result<String, EditError> {
    let before = File::parse(text, name).map_err(EditError::Before)?;
    let something = [&new.read, &new.list, &new.env].into_iter().any(|list| !list.is_empty());
    let something = something || new.state || new.time || new.random.is_some();
    if !something {
        return Err(EditError::Nothing { macro_package: new.macro_package.clone() });
    }
    let document = Document::parse(text).map_err(|_| EditError::Before(Vec::new()))?;
    let mut splices = Splices { text, list: Vec::new() };
    // Grants were read in the order in which they stand.
    let merge = before.grants.iter().position(|grant| merges(grant, new));
    let table = merge.and_then(|n| nth(document.get("grant")?, n).map(|table| (n, table)));
    match (table, &new.reason) {
        (Some((n, table)), _) => splices.merge(table, &before.grants[n], new)?,
        (None, None) => return Err(EditError::NoReason { macro_package: new.macro_package.clone() }),
        (None, Some(reason)) => match document.get("grant") {
            // `grant = [{ … }]`: a `[[grant]]` can't stand beside it.
            Some(Item::Value(Value::Array(array))) => {
                let lines = new.lines(reason);
                let pairs: Vec<_> = lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                splices.push(array, &[format!("{{ {} }}", pairs.join(", "))]);
            }
            _ => splices.append(new, reason),
        },
    }
    let after = splices.apply();
    File::parse(&after, name).map_err(EditError::After)?;
    Ok(after)
}

/// Whether a person would write it into this grant.
fn merges(grant: &Grant, new: &NewGrant) -> bool {
    let version = grant.version.as_ref().map(ToString::to_string);
    let new_version =
        new.version.as_ref().map(|v| semver::VersionReq::parse(v).map_or(v.clone(), |v| v.to_string()));
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let reason = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    grant.macro_package == new.macro_package
        && version == new_version
        && sorted(&grant.calling) == sorted(&new.calling)
        // What is added to a wide grant is wide, too.
        && grant.wide == new.wide
        && new.reason.as_ref().is_none_or(|new| grant.reason == reason(new))
}

fn nth(grants: &Item, n: usize) -> Option<&dyn TableLike> {
    match grants {
        Item::ArrayOfTables(tables) => tables.get(n).map(|table| table as &dyn TableLike),
        Item::Value(Value::Array(array)) => {
            array.get(n)?.as_inline_table().map(|table| table as &dyn TableLike)
        }
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn list(items: &[String]) -> String {
    const WIDTH: usize = 90;
    let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
    let line = format!("[{}]", items.join(", "));
    match line.len() > WIDTH && items.len() > 1 {
        true => format!("[\n    {},\n]", items.join(",\n    ")),
        false => line,
    }
}

impl NewGrant {
    /// Its keys and values, in the order in which they are written.
    fn lines(&self, reason: &str) -> Vec<(&'static str, String)> {
        let mut lines = vec![("macro", quoted(&self.macro_package))];
        lines.extend(self.version.as_ref().map(|version| ("version", quoted(version))));
        match &*self.calling {
            [] => {}
            [one] => lines.push(("for", quoted(one))),
            several => lines.push(("for", list(several))),
        }
        for (key, items) in [("read", &self.read), ("list", &self.list), ("env", &self.env)] {
            if !items.is_empty() {
                lines.push((key, list(items)));
            }
        }
        lines.extend(self.scalars());
        if self.wide {
            lines.push(("wide", "true".to_owned()));
        }
        lines.push(("reason", quoted(reason)));
        lines
    }

    fn scalars(&self) -> Vec<(&'static str, String)> {
        let state = self.state.then(|| ("state", quoted("crate")));
        let random = self.random.as_ref().map(|seed| ("random", quoted(seed)));
        let time = self.time.then(|| ("time", "true".to_owned()));
        [state, random, time].into_iter().flatten().collect()
    }
}

/// Texts to put into another text.
struct Splices<'a> {
    text: &'a str,
    /// Where, and what.
    list: Vec<(usize, String)>,
}

impl<'a> Splices<'a> {
    fn apply(mut self) -> String {
        // A stable sort: what goes to one place stays in its order.
        self.list.sort_by_key(|(at, _)| *at);
        let mut text = String::with_capacity(self.text.len() + 256);
        let mut from = 0;
        for (at, what) in self.list {
            text.push_str(&self.text[from..at]);
            text.push_str(&what);
            from = at;
        }
        text + &self.text[from..]
    }

    /// How this text ends its lines.
    fn line_end(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    /// The end of the line, before its line end.
    fn end_of_line(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = rest.find('\n').map_or(rest.len(), |end| end - usize::from(rest[..end].ends_with('\r')));
        at + end
    }

    fn start_of_line(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// The white space with which the line begins.
    fn indent(&self, at: usize) -> &'a str {
        let line = &self.text[self.start_of_line(at)..at];
        &line[..line.len() - line.trim_start().len()]
    }

    /// A new `[[grant]]` at the end.
    fn append(&mut self, new: &NewGrant, reason: &str) {
        let end = self.line_end();
        let mut block = String::new();
        if self.text.trim_start_matches('\u{feff}').trim().is_empty() {
            block.push_str(HEADER);
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            block.push('\n');
        }
        if !self.text.ends_with("\n\n") && !self.text.ends_with("\n\r\n") {
            block.push('\n');
        }
        block.push_str("[[grant]]\n");
        for (key, value) in new.lines(reason) {
            block.push_str(&format!("{key} = {value}\n"));
        }
        self.list.push((self.text.len(), block.replace('\n', end)));
    }

    /// Adds what is new to a grant.
    fn merge(&mut self, table: &dyn TableLike, grant: &Grant, new: &NewGrant) -> Result<(), EditError> {
        let mut missing = Vec::new();
        for (key, items) in [("read", &new.read), ("list", &new.list), ("env", &new.env)] {
            let there = table.get(key).and_then(Item::as_array);
            let has =
                |item: &String| there.is_some_and(|a| a.iter().any(|v| v.as_str() == Some(item.as_str())));
            let items: Vec<String> = items_of(items).filter(|item| !has(item)).cloned().collect();
            match there {
                _ if items.is_empty() => {}
                Some(array) => self.push(array, &items.iter().map(|item| quoted(item)).collect::<Vec<_>>()),
                None => missing.push((key, list(&items))),
            }
        }
        for (key, value) in new.scalars() {
            let Some(there) = table.get(key) else {
                missing.push((key, value));
                continue;
            };
            let same = match key {
                "time" => there.as_bool() == Some(true),
                "state" => there.as_str() == Some("crate"),
                _ => there.as_str() == new.random.as_deref(),
            };
            if !same {
                let macro_package = new.macro_package.clone();
                return Err(EditError::Contradicts { macro_package, key, line: grant.line });
            }
        }
        for (key, value) in missing {
            self.key(table, key, &value);
        }
        Ok(())
    }

    /// A new key after those that usually stand before it.
    fn key(&mut self, table: &dyn TableLike, key: &str, value: &str) {
        const ORDER: [&str; 9] =
            ["macro", "version", "for", "read", "list", "env", "state", "random", "time"];
        let before = ORDER.iter().rev().skip_while(|name| **name != key).skip(1);
        let spans = before.filter_map(|name| {
            let (name, item) = table.get_key_value(name)?;
            Some((name.span()?, item.as_value()?.span()?))
        });
        // `macro` is always there.
        let Some((name, span)) = spans.into_iter().next() else { return };
        let line = format!("{key} = {value}");
        let own_line = self.text[self.start_of_line(name.start)..name.start].trim().is_empty();
        let rest = self.text[span.end..self.end_of_line(span.end)].trim_start();
        if own_line && (rest.is_empty() || rest.starts_with('#')) {
            let line = format!("\n{}{line}", self.indent(name.start)).replace('\n', self.line_end());
            self.list.push((self.end_of_line(span.end), line));
        } else {
            // In an inline table.
            self.list.push((span.end, format!(", {line}")));
        }
    }

    /// New items, as they are written, at the end of a list.
    fn push(&mut self, array: &Array, items: &[String]) {
        let Some(span) = array.span() else { return };
        let Some(last) = array.iter().last().and_then(Value::span) else {
            return self.push_first(span, items);
        };
        if !self.text[span.start..last.end].contains('\n') {
            let items: String = items.iter().map(|item| format!(", {item}")).collect();
            self.list.push((last.end, items));
            return;
        }
        // One item a line: the new ones get lines of their own, after the comment on the last one's.
        let indent = self.indent(last.start);
        let own_line = self.text[self.start_of_line(last.start)..last.start].trim().is_empty();
        let comma = self.comma(last.end..span.end);
        let after = comma.map_or(last.end, |comma| comma + 1);
        let rest = self.text[after..self.end_of_line(after).min(span.end - 1)].trim_start();
        let alone =
            own_line && self.end_of_line(after) < span.end && (rest.is_empty() || rest.starts_with('#'));
        if comma.is_none() {
            self.list.push((last.end, ",".to_owned()));
        }
        if alone {
            let end = self.line_end();
            let separator = format!(",{end}{indent}");
            // The last has a comma if the last had one.
            let comma = if comma.is_some() { "," } else { "" };
            let lines = format!("{end}{indent}{}{comma}", items.join(&separator));
            self.list.push((self.end_of_line(after), lines));
        } else {
            let comma = if comma.is_some() { "," } else { "" };
            self.list.push((after, format!(" {}{comma}", items.join(", "))));
        }
    }

    fn push_first(&mut self, span: Range<usize>, items: &[String]) {
        let items = items.join(", ");
        let inside = &self.text[span.start + 1..span.end - 1];
        // A comment in an empty list ends with its line; what is added stands after it.
        match inside.contains('#') {
            true => self.list.push((span.end - 1, format!("{items}{}", self.line_end()))),
            false => self.list.push((span.start + 1, items)),
        }
    }

    /// The comma after a list's last item.
    fn comma(&self, range: Range<usize>) -> Option<usize> {
        let mut comment = false;
        self.text[range.clone()].char_indices().find_map(|(at, c)| {
            match c {
                '\n' => comment = false,
                '#' => comment = true,
                ',' if !comment => return Some(range.start + at),
                _ => {}
            }
            None
        })
    }
}

/// Each once.
fn items_of(items: &[String]) -> impl Iterator<Item = &String> {
    items.iter().enumerate().filter(|(n, item)| !items[..*n].contains(item)).map(|(_, item)| item)
}
