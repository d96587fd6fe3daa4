//! Patterns of grants: globs for paths, and names of variables.
//!
//! A path pattern is read once and split into *alternatives*, one for each way through its braces, so that each has one
//! fixed part: `{a,b/*}.html` is `a.html` and `b/*.html`. What an alternative matches is then left to `globset`, with the
//! base spelled out before it: `/src/app/b/*.html`.

use std::fmt;
use std::sync::OnceLock;

use globset::{GlobBuilder, GlobMatcher};

/// Longest pattern, in bytes. A path can't be longer.
const MAX_LENGTH: usize = 4096;

/// Most ways through the braces of one pattern.
const MAX_ALTERNATIVES: usize = 100;

/// What a pattern's paths are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// The directory of the calling package's manifest.
    Package,
    /// The workspace's root: written `workspace:…`.
    Workspace,
    /// `/`
    Root,
}

/// A glob for paths, as a grant has it: `templates/**`, `workspace:schemas/*.graphql`, `/usr/share/zoneinfo/**`.
///
/// `*`, `?` and classes don't match `/`; `**` stands for any number of directories, and `X/**` is about `X` itself, too.
#[derive(Debug, Clone)]
pub struct PathPattern {
    written: String,
    base: Base,
    alternatives: Vec<Alternative>,
}

/// One way through a pattern's braces.
#[derive(Debug, Clone)]
struct Alternative {
    /// How many directories above the base it begins.
    up: usize,
    /// Its components without `.` and empty ones, as globs.
    components: Vec<String>,
    /// How many of them have no wildcard, from the first on.
    fixed: usize,
}

/// Why a text is no path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPattern {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("no path has a NUL byte")]
    Nul,
    #[error("it ends in `/`, and no path does")]
    TrailingSlash,
    #[error("`~` does not stand for a home directory here")]
    Tilde,
    #[error("variables are not put into patterns")]
    Dollar,
    #[error("`\\` stands only before one of `* ? [ ] {{ }} , \\`")]
    Backslash,
    #[error("`..` stands only at the start of a relative pattern")]
    DotDot,
    #[error("`workspace:` is followed by a relative path")]
    WorkspaceAbsolute,
    #[error("`**` is a whole component: `**/x`, `x/**/y`, `x/**`")]
    PartOfComponent,
    #[error("`[` is never closed")]
    OpenClass,
    #[error("`[…]` with a `/` in it matches nothing")]
    SlashInClass,
    #[error("`{{` is never closed")]
    OpenBrace,
    #[error("`}}` without a `{{`")]
    CloseBrace,
    #[error("with one of its braces it is absolute, with another one not")]
    Mixed,
    #[error("its braces make more than {MAX_ALTERNATIVES} patterns")]
    TooMany,
    #[error("{0}")]
    Glob(String),
}

impl BadPattern {
    /// What to write instead.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Empty => "name a file, or a directory with `/**` after it",
            Self::Mixed => "write two patterns",
            Self::TooLong | Self::TooMany => "write several shorter patterns",
            Self::Nul => "remove it",
            Self::TrailingSlash => {
                "write `dir/**` for all that is in a directory, or `dir` for the directory alone"
            }
            Self::Tilde => "write the whole path, or put the file into the package or the workspace",
            Self::Dollar => {
                "a relative path begins in the calling package, one after `workspace:` at the workspace's root"
            }
            Self::Backslash => "directories are separated by `/`",
            Self::DotDot => "write the path without it, or begin with `workspace:`",
            Self::WorkspaceAbsolute => "leave out either `workspace:` or the first `/`",
            Self::PartOfComponent => "write `*` for a part of a name",
            Self::OpenClass | Self::OpenBrace => "close it, or write `\\` before it if the name has it",
            Self::SlashInClass => "name the directories",
            Self::CloseBrace => "write `\\` before it if the name has it",
            Self::Glob(_) => "see docs/policy.md for what a pattern may have",
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for PathPattern {}

impl PathPattern {
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let (base, path) = match text.strip_prefix("workspace:") {
            Some(path) => (Base::Workspace, path),
            None if text.starts_with('/') => (Base::Root, text),
            None => (Base::Package, text),
        };
        check(base, path)?;
        let alternatives = expand_braces(path)?;
        let alternatives = alternatives.iter().map(|path| Alternative::parse(base, path));
        Ok(Self { written: text.to_owned(), base, alternatives: alternatives.collect::<Result<_, _>>()? })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    #[must_use]
    pub fn base(&self) -> Base {
        self.base
    }

    /// Whether it doesn't lead out of its base by `..`.
    pub(crate) fn stays_beneath(&self) -> bool {
        self.alternatives.iter().all(|alternative| alternative.up == 0)
    }

    /// The same for patterns that say the same, wherever the package and the workspace are.
    pub(crate) fn canonical(&self) -> impl Iterator<Item = String> {
        let base = match self.base {
            Base::Package => "package:",
            Base::Workspace => "workspace:",
            Base::Root => "/",
        };
        self.alternatives
            .iter()
            .map(move |a| format!("{base}{}{}", "../".repeat(a.up), a.components.join("/")))
    }

    /// With its base spelled out, or nothing when that is not known. One for each alternative.
    pub(crate) fn resolve(&self, bases: &Bases<'_>) -> Vec<Resolved> {
        let Some(base) = bases.of(self.base) else { return Vec::new() };
        self.alternatives.iter().map(|alternative| alternative.resolve(base)).collect()
    }
}

/// Where patterns begin; absolute and without `.` and `..`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bases<'a> {
    pub(crate) package: Option<&'a str>,
    pub(crate) workspace: Option<&'a str>,
}

impl<'a> Bases<'a> {
    pub(crate) fn of(&self, base: Base) -> Option<&'a str> {
        match base {
            Base::Package => self.package,
            Base::Workspace => self.workspace,
            Base::Root => Some("/"),
        }
    }
}

fn check(base: Base, path: &str) -> Result<(), BadPattern> {
    if path.is_empty() {
        return Err(BadPattern::Empty);
    }
    if path.len() > MAX_LENGTH {
        return Err(BadPattern::TooLong);
    }
    if path.contains('\0') {
        return Err(BadPattern::Nul);
    }
    if base == Base::Workspace && path.starts_with('/') {
        return Err(BadPattern::WorkspaceAbsolute);
    }
    if path == "~" || path.starts_with("~/") {
        return Err(BadPattern::Tilde);
    }
    let after_dollar = path.split('$').skip(1);
    if after_dollar.into_iter().any(|after| after.starts_with(|c: char| c == '{' || c.is_ascii_uppercase())) {
        return Err(BadPattern::Dollar);
    }
    if path.len() > 1 && path.ends_with('/') {
        return Err(BadPattern::TrailingSlash);
    }
    Ok(())
}

/// A character of a pattern, with what it means there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Plain(char),
    /// After a backslash.
    Escaped(char),
    /// Of a class, with its brackets.
    Class(char),
}

fn parts(path: &str) -> Result<Vec<Part>, BadPattern> {
    let mut parts = Vec::with_capacity(path.len());
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if "*?[]{},\\".contains(c) => parts.push(Part::Escaped(c)),
                _ => return Err(BadPattern::Backslash),
            },
            '[' => {
                parts.push(Part::Class('['));
                // `]` closes a class unless it is the first in it.
                let mut first = true;
                loop {
                    let c = chars.next().ok_or(BadPattern::OpenClass)?;
                    if c == '/' {
                        return Err(BadPattern::SlashInClass);
                    }
                    parts.push(Part::Class(c));
                    if first && (c == '!' || c == '^') {
                        if let Some(c) = chars.next_if_eq(&']') {
                            parts.push(Part::Class(c));
                        }
                    } else if c == ']' && !first {
                        break;
                    }
                    first = false;
                }
            }
            _ => parts.push(Part::Plain(c)),
        }
    }
    Ok(parts)
}

fn text(parts: &[Part]) -> String {
    let mut text = String::with_capacity(parts.len());
    for part in parts {
        match *part {
            Part::Plain(c) | Part::Class(c) => text.push(c),
            Part::Escaped(c) => text.extend(['\\', c]),
        }
    }
    text
}

/// Every way through the braces, each without any.
fn expand_braces(path: &str) -> Result<Vec<String>, BadPattern> {
    // Most patterns have nothing of all this.
    if !path.contains(['{', '}', '[', '\\']) {
        return Ok(vec![path.to_owned()]);
    }
    let mut open = vec![parts(path)?];
    let mut done = Vec::new();
    while let Some(path) = open.pop() {
        let Some(start) = path.iter().position(|&p| p == Part::Plain('{')) else {
            if path.contains(&Part::Plain('}')) {
                return Err(BadPattern::CloseBrace);
            }
            done.push(text(&path));
            continue;
        };
        if path[..start].contains(&Part::Plain('}')) {
            return Err(BadPattern::CloseBrace);
        }
        let (mut depth, mut choices, mut end) = (0usize, vec![start + 1], None);
        for (at, part) in path.iter().enumerate().skip(start) {
            match part {
                Part::Plain('{') => depth += 1,
                Part::Plain('}') if depth == 1 => {
                    end = Some(at);
                    break;
                }
                Part::Plain('}') => depth -= 1,
                Part::Plain(',') if depth == 1 => choices.push(at + 1),
                _ => {}
            }
        }
        let end = end.ok_or(BadPattern::OpenBrace)?;
        if open.len() + done.len() + choices.len() > MAX_ALTERNATIVES {
            return Err(BadPattern::TooMany);
        }
        // The last is looked at first: pushed in reverse, they come out in the order in which they are written.
        for (n, &from) in choices.iter().enumerate().rev() {
            let to = choices.get(n + 1).map_or(end, |next| next - 1);
            open.push([&path[..start], &path[from..to], &path[end + 1..]].concat());
        }
    }
    Ok(done)
}

impl Alternative {
    fn parse(base: Base, path: &str) -> Result<Self, BadPattern> {
        if path.starts_with('/') != (base == Base::Root) {
            return Err(BadPattern::Mixed);
        }
        let mut alternative = Self { up: 0, components: Vec::new(), fixed: 0 };
        for component in path.split('/') {
            match component {
                "" | "." => {}
                ".." if base != Base::Root && alternative.components.is_empty() => alternative.up += 1,
                ".." => return Err(BadPattern::DotDot),
                "**" if alternative.components.last().is_some_and(|last| last == "**") => {}
                "**" => alternative.components.push("**".to_owned()),
                _ => {
                    if component.contains("**") && !in_classes(component) {
                        return Err(BadPattern::PartOfComponent);
                    }
                    alternative.components.push(component.to_owned());
                }
            }
        }
        alternative.fixed = alternative.components.iter().take_while(|c| unescape(c).is_some()).count();
        // Of all that a glob can have, only classes can still be wrong.
        if alternative.components.iter().any(|c| c.contains('[')) {
            glob(&alternative.components.join("/")).map_err(BadPattern::Glob)?;
        }
        Ok(alternative)
    }

    fn resolve(&self, base: &str) -> Resolved {
        let mut fixed: Vec<String> = base.split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        fixed.truncate(fixed.len().saturating_sub(self.up));
        fixed.extend(self.components[..self.fixed].iter().filter_map(|c| unescape(c)));
        let fixed = format!("/{}", fixed.join("/"));
        let wild = &self.components[self.fixed..];
        let matching = match wild {
            [] => Matching::Path,
            // Of all patterns with wildcards the most frequent one, and a comparison is enough for it.
            [all] if all == "**" => Matching::Beneath,
            _ => Matching::Glob { rest: wild.join("/"), compiled: OnceLock::new() },
        };
        Resolved { fixed, matching }
    }
}

/// Whether each `**` of this component stands in a class.
fn in_classes(component: &str) -> bool {
    let Ok(parts) = parts(component) else { return false };
    !parts.windows(2).any(|two| two == [Part::Plain('*'), Part::Plain('*')])
}

/// The name that a component stands for, if it has no wildcard.
fn unescape(component: &str) -> Option<String> {
    if !component.contains(['*', '?', '[', '\\']) {
        return Some(component.to_owned());
    }
    let parts = parts(component).ok()?;
    parts
        .into_iter()
        .map(|part| match part {
            Part::Plain('*' | '?') | Part::Class(_) => None,
            Part::Plain(c) | Part::Escaped(c) => Some(c),
        })
        .collect()
}

fn glob(text: &str) -> Result<globset::Glob, String> {
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
    glob.map_err(|e| e.kind().to_string())
}

/// An alternative of a pattern with its base spelled out.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// What stands before the first wildcard: absolute, without `.` and `..`.
    fixed: String,
    matching: Matching,
}

/// A glob, and for `X/**` one for `X`.
type Globs = (GlobMatcher, Option<GlobMatcher>);

#[derive(Debug, Clone)]
enum Matching {
    /// The fixed part is all of it.
    Path,
    /// All beneath the fixed part.
    Beneath,
    /// What is beneath the fixed part and matches this glob there. It is compiled when a path has the fixed part.
    Glob { rest: String, compiled: OnceLock<Option<Box<Globs>>> },
}

impl Resolved {
    /// The path before the first wildcard.
    pub(crate) fn fixed(&self) -> &str {
        &self.fixed
    }

    /// The directory beneath which a path is looked for that matches.
    pub(crate) fn root(&self) -> &str {
        match self.matching {
            Matching::Path => match self.fixed.rfind('/') {
                None | Some(0) => "/",
                Some(at) => &self.fixed[..at],
            },
            _ => &self.fixed,
        }
    }

    /// Whether the path matches. With `itself`, also whether it is the `X` of an `X/**`.
    pub(crate) fn matches(&self, path: &str, itself: bool) -> bool {
        let beneath = beneath(&self.fixed, path);
        match &self.matching {
            Matching::Path => path == self.fixed,
            Matching::Beneath => beneath.is_some() || itself && path == self.fixed,
            Matching::Glob { rest, compiled } => {
                let Some(beneath) = beneath else { return false };
                let compile = || {
                    let of = |rest: &str| glob(rest).ok().map(|glob| glob.compile_matcher());
                    Some(Box::new((of(rest)?, rest.strip_suffix("/**").and_then(of))))
                };
                // A glob that can't be compiled was refused when the file was read; here it would match nothing.
                let Some(globs) = compiled.get_or_init(compile) else { return false };
                let (all, up_to) = &**globs;
                all.is_match(beneath) || itself && up_to.as_ref().is_some_and(|x| x.is_match(beneath))
            }
        }
    }
}

/// What remains of a path that is beneath a directory.
pub(crate) fn beneath<'a>(dir: &str, path: &'a str) -> Option<&'a str> {
    let rest = match dir {
        "/" => path.strip_prefix('/')?,
        _ => path.strip_prefix(dir)?.strip_prefix('/')?,
    };
    (!rest.is_empty()).then_some(rest)
}

/// A variable's name, or the start of names: `DATABASE_URL`, `APP_*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariablePattern {
    name: String,
    /// Whether a `*` stands after it.
    prefix: bool,
}

/// Why a text is no pattern for variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadVariable {
    #[error("it is empty")]
    Empty,
    #[error("`*` stands only at the end")]
    Star,
    #[error("a name has no `$`")]
    Dollar,
    #[error("values can't be given")]
    Value,
    #[error("`{0}` can't be in a name")]
    Character(char),
}

impl BadVariable {
    /// What to write instead.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Empty => "name a variable, as in `DATABASE_URL` or `APP_*`",
            Self::Star => {
                "write `APP_*` for all variables whose names begin with `APP_`, or the names one by one"
            }
            Self::Dollar => "leave it out",
            Self::Value => {
                "name the variable alone, and set it where the build is started or in `[env]` of cargo's config"
            }
            Self::Character(_) => "name each variable by itself, as in `[\"DATABASE_URL\", \"APP_*\"]`",
        }
    }
}

impl VariablePattern {
    pub fn parse(text: &str) -> Result<Self, BadVariable> {
        if text.is_empty() {
            return Err(BadVariable::Empty);
        }
        let (name, prefix) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        for c in name.chars() {
            match c {
                '*' | '?' => return Err(BadVariable::Star),
                '$' => return Err(BadVariable::Dollar),
                '=' => return Err(BadVariable::Value),
                c if c.is_control() || c.is_whitespace() || ",;\"'[]{}|\\/%".contains(c) => {
                    return Err(BadVariable::Character(c));
                }
                _ => {}
            }
        }
        Ok(Self { name: name.to_owned(), prefix })
    }

    /// Whether it is about this variable. What cargo keeps secrets in must be named in full.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.prefix {
            true => name.starts_with(&self.name) && !cargo_secret(name),
            false => name == self.name,
        }
    }

    /// The one variable that it is about, unless it may be about several.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (!self.prefix).then_some(self.name.as_str())
    }

    /// Whether it is about all variables: `*`.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.prefix && self.name.is_empty()
    }
}

impl fmt::Display for VariablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.prefix { "*" } else { "" })
    }
}

/// Source: the cargo book, "Registry Authentication": tokens and keys that can be given by variables.
fn cargo_secret(name: &str) -> bool {
    let of_registry = name.strip_prefix("CARGO_REGISTRY_").or_else(|| name.strip_prefix("CARGO_REGISTRIES_"));
    of_registry.is_some_and(|rest| rest.ends_with("TOKEN") || rest.ends_with("SECRET_KEY"))
}
