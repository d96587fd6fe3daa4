//! A `belljar.toml`, read.
//!
//! The file's tree is walked by hand: every mistake has its place, and one does not hide the others.

use std::ops::Range;
use std::sync::Arc;

use semver::VersionReq;
use toml_edit::{Array, Document, Item, Key, TableLike, Value};

use crate::decision::Mode;
use crate::error::{Covers, MAX_GRANTS, Mistake, Problem};
use crate::grant::{Grant, Source, State};
use crate::keys::{self, FILE, GRANT, Kind, LIMITS};
use crate::pattern::{Base, Bases, PathPattern, VariablePattern};
use crate::places::above_home;
use crate::rules::LimitChanges;
use crate::size;

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct File {
    pub mode: Option<Mode>,
    pub grants: Vec<Grant>,
}

/// What is known of the build for which a file is read. Only what is known is checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    pub(crate) calling: Option<&'a str>,
    pub(crate) bases: Bases<'a>,
    pub(crate) home: Option<&'a str>,
}

impl File {
    /// Reads the text of a file. `name` is how messages call it.
    ///
    /// Whether relative patterns lead out of package and workspace is not checked, since it depends on the package.
    pub fn parse(text: &str, name: &str) -> Result<Self, Vec<Mistake>> {
        read(text, Source::Workspace, name, name, &Context::default())
    }
}

/// `name` is the file's whole name, `short` the one that reasons have.
pub(crate) fn read(
    text: &str,
    source: Source,
    name: &str,
    short: &str,
    context: &Context<'_>,
) -> Result<File, Vec<Mistake>> {
    let mut reader = Reader {
        text,
        lines: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        source,
        name,
        short: short.into(),
        context,
        of: None,
        mistakes: Vec::new(),
    };
    let file = reader.file();
    if reader.mistakes.is_empty() {
        return Ok(file);
    }
    reader.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    Err(reader.mistakes)
}

struct Reader<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    source: Source,
    name: &'a str,
    short: Arc<str>,
    context: &'a Context<'a>,
    /// The macro package of the grant that is read.
    of: Option<String>,
    mistakes: Vec<Mistake>,
}

type Span = Range<usize>;

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at)
    }

    fn mistake(&mut self, span: Span, problem: Problem) {
        let at = (0..=span.start.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at));
        let at = at.unwrap_or(0);
        let line = self.line(at);
        let start = self.lines[line - 1];
        let text = self.text[start..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let column = self.text[start..at].chars().count();
        let meant = self.text.get(at..span.end).unwrap_or_default();
        let length = meant.split('\n').next().unwrap_or_default().chars().count();
        self.mistakes.push(Mistake {
            file: self.name.to_owned(),
            line,
            column: column + 1,
            text: text.to_owned(),
            length: length.max(1),
            of: self.of.clone(),
            problem,
        });
    }

    fn file(&mut self) -> File {
        let mut file = File::default();
        let document = match Document::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                self.mistake(error.span().unwrap_or(0..0), Problem::Syntax(message));
                return file;
            }
        };
        let table = document.as_table();
        for (name, item) in table.iter() {
            let at = span_of(table.key(name), item, 0..0);
            match name {
                "mode" => file.mode = self.word(FILE, "mode", item, at, &[Mode::Enforce, Mode::Report]),
                "grant" => file.grants = self.grants(item, at),
                _ => self.unknown(FILE, name, at),
            }
        }
        file
    }

    fn unknown(&mut self, keys: &[keys::Key], name: &str, at: Span) {
        let quoted = |name: &str| format!("`{name}`");
        let elsewhere = |keys: &[keys::Key], place: &str| {
            let key = keys.iter().find(|key| key.name == name)?;
            Some(format!("`{}` {place}", key.name))
        };
        let similar = keys::similar(keys, name).map(quoted);
        let similar = similar.or_else(|| elsewhere(GRANT, "in a `[[grant]]`"));
        let similar = similar.or_else(|| elsewhere(LIMITS, "in `limits` of a grant"));
        let known: Vec<_> = keys.iter().map(|key| quoted(key.name)).collect();
        self.mistake(at, Problem::UnknownKey { key: name.to_owned(), similar, known: known.join(", ") });
    }

    fn wrong_type(&mut self, keys: &'static [keys::Key], name: &str, item: &Item, at: Span) {
        let key = keys::key(keys, name);
        let example = match (key.kind, item.as_str()) {
            // What was meant is clear.
            (Kind::Paths | Kind::Variables, Some(text)) => format!("{} = [{text:?}]", key.name),
            _ => key.example.lines().next().unwrap_or_default().to_owned(),
        };
        let problem =
            Problem::WrongType { key: key.name, expected: key.kind.words(), example, found: type_of(item) };
        self.mistake(item.span().unwrap_or(at), problem);
    }

    fn string<'i>(
        &mut self,
        keys: &'static [keys::Key],
        name: &str,
        item: &'i Item,
        at: Span,
    ) -> Option<&'i str> {
        match item.as_str() {
            None => {
                self.wrong_type(keys, name, item, at);
                None
            }
            Some(text) if text.trim().is_empty() => {
                let key = keys::key(keys, name);
                let problem = Problem::Empty { key: key.name, example: key.example };
                self.mistake(item.span().unwrap_or(at), problem);
                None
            }
            Some(text) => Some(text),
        }
    }

    fn flag(&mut self, name: &str, item: &Item, at: Span) -> Option<bool> {
        let flag = item.as_bool();
        if flag.is_none() {
            self.wrong_type(GRANT, name, item, at);
        }
        flag
    }

    fn word<T: Copy + ToString>(
        &mut self,
        keys: &'static [keys::Key],
        name: &str,
        item: &Item,
        at: Span,
        words: &[T],
    ) -> Option<T> {
        let Some(text) = item.as_str() else {
            self.wrong_type(keys, name, item, at);
            return None;
        };
        let found = words.iter().copied().find(|word| word.to_string() == text);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|word| format!("`\"{}\"`", word.to_string())).collect();
            let (key, allowed) = (keys::key(keys, name).name, allowed.join(" or "));
            let problem = Problem::Word { key, value: text.to_owned(), allowed };
            self.mistake(item.span().unwrap_or(at), problem);
        }
        found
    }

    /// The strings of a list, each with its place.
    fn strings<'i>(&mut self, name: &str, item: &'i Item, at: Span) -> Vec<(&'i str, Span)> {
        let Some(array) = item.as_array() else {
            self.wrong_type(GRANT, name, item, at);
            return Vec::new();
        };
        self.strings_of(name, array, at)
    }

    fn strings_of<'i>(&mut self, name: &str, array: &'i Array, at: Span) -> Vec<(&'i str, Span)> {
        let mut strings = Vec::with_capacity(array.len());
        for value in array {
            let span = value.span().unwrap_or(at.clone());
            match value.as_str() {
                Some(text) => strings.push((text, span)),
                None => self.wrong_type(GRANT, name, &Item::Value(value.clone()), span),
            }
        }
        strings
    }

    fn grants(&mut self, item: &Item, at: Span) -> Vec<Grant> {
        let mut read = Vec::new();
        if let Some(tables) = item.as_array_of_tables() {
            for table in tables {
                let span = table.span().unwrap_or(at.clone());
                read.push((self.grant(table, span.clone()), span));
            }
        } else if let Some(array) = item.as_array() {
            for value in array {
                let span = value.span().unwrap_or(at.clone());
                match value {
                    Value::InlineTable(table) => read.push((self.grant(table, span.clone()), span)),
                    _ => self.wrong_type(FILE, "grant", &Item::Value(value.clone()), span),
                }
            }
        } else {
            self.wrong_type(FILE, "grant", item, at);
        }
        if read.len() > MAX_GRANTS {
            self.mistake(read[MAX_GRANTS].1.clone(), Problem::TooMany);
            read.truncate(MAX_GRANTS);
        }
        self.contradictions(&read);
        read.into_iter().filter_map(|(grant, _)| grant).collect()
    }

    fn contradictions(&mut self, read: &[(Option<Grant>, Span)]) {
        for (n, (later, span)) in read.iter().enumerate() {
            let Some(later) = later.as_ref().filter(|g| g.scalars().iter().any(|(_, said)| said.is_some()))
            else {
                continue;
            };
            for earlier in read[..n].iter().filter_map(|(grant, _)| grant.as_ref()) {
                if !earlier.overlaps(later) {
                    continue;
                }
                for ((key, here), (_, there)) in later.scalars().into_iter().zip(earlier.scalars()) {
                    if let (Some(here), Some(there)) = (here, there)
                        && here != there
                    {
                        self.of = Some(later.macro_package.clone());
                        let problem = Problem::Contradiction { key, here, there, line: earlier.line };
                        self.mistake(span.clone(), problem);
                        self.of = None;
                    }
                }
            }
        }
    }

    fn grant(&mut self, table: &dyn TableLike, whole: Span) -> Option<Grant> {
        let before = self.mistakes.len();
        let name = table.get("macro").and_then(Item::as_str);
        self.of = name.filter(|name| !name.trim().is_empty()).map(str::to_owned);
        let mut grant = Grant {
            source: self.source,
            file: Arc::clone(&self.short),
            line: self.line(whole.start),
            macro_package: String::new(),
            version: None,
            calling: Vec::new(),
            read: Vec::new(),
            list: Vec::new(),
            env: Vec::new(),
            state: None,
            random: None,
            time: None,
            limits: LimitChanges::default(),
            wide: false,
            reason: String::new(),
        };
        // Where each pattern stands that may need `wide`.
        let (mut paths, mut all_variables) = (Vec::new(), Vec::new());
        for (name, item) in table.iter() {
            let at = span_of(table.key(name), item, whole.clone());
            let value = item.span().unwrap_or(at.clone());
            match name {
                "macro" => {
                    if let Some(text) = self.string(GRANT, "macro", item, at) {
                        self.package(text, value);
                        text.clone_into(&mut grant.macro_package);
                    }
                }
                "version" => {
                    if let Some(text) = self.string(GRANT, "version", item, at) {
                        match VersionReq::parse(text.trim()) {
                            Ok(version) => grant.version = Some(version),
                            Err(e) => {
                                let problem = Problem::Version { text: text.to_owned(), why: e.to_string() };
                                self.mistake(value, problem);
                            }
                        }
                    }
                }
                "for" => grant.calling = self.calling(item, at),
                "read" | "list" => {
                    for (text, span) in self.strings(name, item, at) {
                        match PathPattern::parse(text) {
                            Ok(pattern) => {
                                let list = if name == "read" { &mut grant.read } else { &mut grant.list };
                                paths.push((name == "read", list.len(), span));
                                list.push(pattern);
                            }
                            Err(why) => {
                                self.mistake(span, Problem::Pattern { pattern: text.to_owned(), why })
                            }
                        }
                    }
                }
                "env" => {
                    for (text, span) in self.strings(name, item, at) {
                        match VariablePattern::parse(text) {
                            Ok(pattern) => {
                                if pattern.is_all() {
                                    all_variables.push(span);
                                }
                                grant.env.push(pattern);
                            }
                            Err(why) => {
                                self.mistake(span, Problem::Variable { pattern: text.to_owned(), why })
                            }
                        }
                    }
                }
                "state" => grant.state = self.word(GRANT, "state", item, at, &[State::Call, State::Crate]),
                "random" => grant.random = self.string(GRANT, "random", item, at).map(str::to_owned),
                "time" => grant.time = self.flag("time", item, at),
                "limits" => match item.as_table_like() {
                    Some(table) => grant.limits = self.limits(table, value),
                    None => self.wrong_type(GRANT, "limits", item, at),
                },
                "wide" => grant.wide = self.flag("wide", item, at).unwrap_or_default(),
                "reason" => {
                    let reason = self.string(GRANT, "reason", item, at).unwrap_or_default();
                    // On one line, wherever it is shown.
                    grant.reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
                }
                _ => self.unknown(GRANT, name, at),
            }
        }
        for name in ["macro", "reason"] {
            if !table.contains_key(name) {
                let key = keys::key(GRANT, name);
                let problem = Problem::Missing { key: key.name, example: key.example };
                self.mistake(whole.clone(), problem);
            }
        }
        if !grant.wide {
            self.narrow(&grant, paths, all_variables);
        }
        self.of = None;
        (self.mistakes.len() == before).then_some(grant)
    }

    fn package(&mut self, name: &str, at: Span) {
        // Cargo allows all letters; what is not ASCII is left to it.
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii();
        if !name.chars().all(good) {
            let version = name.contains(['@', ' ', '=']) && name.chars().any(|c| c.is_ascii_digit());
            self.mistake(at, Problem::Name { name: name.to_owned(), version });
        }
    }

    fn calling(&mut self, item: &Item, at: Span) -> Vec<String> {
        let value = item.span().unwrap_or(at.clone());
        let names = match item.as_array() {
            Some(array) => self.strings_of("for", array, at.clone()),
            None => self
                .string(GRANT, "for", item, at.clone())
                .map(|name| (name, value.clone()))
                .into_iter()
                .collect(),
        };
        if item.as_array().is_some_and(Array::is_empty) {
            let key = keys::key(GRANT, "for");
            self.mistake(value, Problem::Empty { key: key.name, example: key.example });
        }
        for (name, span) in &names {
            match name.is_empty() {
                true => {
                    let key = keys::key(GRANT, "for");
                    self.mistake(span.clone(), Problem::Empty { key: key.name, example: key.example });
                }
                false => self.package(name, span.clone()),
            }
        }
        names.into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    fn limits(&mut self, table: &dyn TableLike, whole: Span) -> LimitChanges {
        const MIB: u64 = 1 << 20;
        let mut limits = LimitChanges::default();
        for (name, item) in table.iter() {
            let at = span_of(table.key(name), item, whole.clone());
            match name {
                "time" => {
                    let seconds = item.as_float().or_else(|| item.as_integer().map(|n| n as f64));
                    match seconds {
                        None => self.wrong_type(LIMITS, "time", item, at),
                        Some(seconds) if seconds > 0.0 && seconds <= 86_400.0 => limits.time = Some(seconds),
                        Some(_) => {
                            let range = "more than 0 and up to 86400 seconds".to_owned();
                            self.mistake(item.span().unwrap_or(at), Problem::Limit { key: "time", range });
                        }
                    }
                }
                // The largest are those that the expander can set.
                "memory" => limits.memory = self.size("memory", item, at, MIB..=4096 * MIB),
                "stack" => limits.stack = self.size("stack", item, at, MIB..=1024 * MIB),
                "output" => limits.output = self.size("output", item, at, MIB..=255 * MIB),
                _ => self.unknown(LIMITS, name, at),
            }
        }
        limits
    }

    fn size(
        &mut self,
        name: &'static str,
        item: &Item,
        at: Span,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = item.span().unwrap_or(at.clone());
        let Some(text) = item.as_str() else {
            self.wrong_type(LIMITS, name, item, at);
            return None;
        };
        match size::parse(text) {
            Ok(bytes) if range.contains(&bytes) => return Some(bytes),
            Ok(_) => {
                let range = format!("from {} to {}", size::show(*range.start()), size::show(*range.end()));
                self.mistake(value, Problem::Limit { key: name, range });
            }
            Err(why) => self.mistake(value, Problem::Size { text: text.to_owned(), why }),
        }
        None
    }

    /// Complains of patterns that cover more than anybody grants by accident.
    fn narrow(&mut self, grant: &Grant, paths: Vec<(bool, usize, Span)>, all_variables: Vec<Span>) {
        for span in all_variables {
            self.mistake(span, Problem::Wide { pattern: "*".to_owned(), covers: Covers::Variables });
        }
        let Context { calling, bases, home } = *self.context;
        for (read, n, span) in paths {
            let pattern = if read { &grant.read[n] } else { &grant.list[n] };
            // What relative ones cover depends on the package; they have a say only where the grant has.
            let concerned = calling.is_some_and(|calling| grant.is_called_by(calling));
            if pattern.base() != Base::Root && !concerned {
                continue;
            }
            // Beneath a directory that is not above a home there is none.
            if pattern.stays_beneath() && bases.of(pattern.base()).is_some_and(|base| !above_home(base, home))
            {
                continue;
            }
            let inside = |path: &str, base: Option<&str>| {
                base.is_some_and(|base| path == base || crate::pattern::beneath(base, path).is_some())
            };
            let covers = pattern.resolve(&bases).iter().find_map(|resolved| match resolved.fixed() {
                "/" => Some(Covers::Everything),
                path if above_home(path, home) => Some(Covers::Home),
                _ if pattern.base() == Base::Root => None,
                path if inside(path, bases.package) || inside(path, bases.workspace) => None,
                _ => Some(Covers::Outside),
            });
            if let Some(covers) = covers {
                let pattern = pattern.as_str().to_owned();
                self.mistake(span, Problem::Wide { pattern, covers });
            }
        }
    }
}

fn span_of(key: Option<&Key>, item: &Item, or: Span) -> Span {
    key.and_then(Key::span).or_else(|| item.span()).unwrap_or(or)
}

fn type_of(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Table(_) => "a table",
        Item::ArrayOfTables(_) => "a list of tables",
        Item::Value(Value::String(_)) => "a string",
        Item::Value(Value::Integer(_) | Value::Float(_)) => "a number",
        Item::Value(Value::Boolean(_)) => "`true` or `false`",
        Item::Value(Value::Datetime(_)) => "a date",
        Item::Value(Value::Array(_)) => "a list",
        Item::Value(Value::InlineTable(_)) => "a table",
    }
}
