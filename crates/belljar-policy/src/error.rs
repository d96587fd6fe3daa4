//! What can be wrong with a policy, as it is told.

use std::fmt;
use std::path::PathBuf;

use crate::pattern::{BadPattern, BadVariable};
use crate::size::BadSize;

/// Largest file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// Most grants in one file.
pub(crate) const MAX_GRANTS: usize = 1000;

/// Characters of a line that an error shows.
const SHOWN: usize = 100;

/// Why there is no policy. Nothing is granted then, and the build fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    #[error("`{}` can't be read: {error}\n  = help: make it readable, or remove it: without it nothing is granted", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("`{}` is {what}\n  = help: a policy is a file; move what is there to another place", path.display())]
    NoFile { path: PathBuf, what: &'static str },
    #[error("`{}` is larger than {} bytes\n  = help: no policy is; see whether it is the right file", path.display(), MAX_FILE)]
    TooLarge { path: PathBuf },
    #[error("`{}` is not UTF-8, on line {line}\n  = help: save it as UTF-8", path.display())]
    NotUtf8 { path: PathBuf, line: usize },
    #[error("{}", Mistakes(mistakes))]
    Mistakes { mistakes: Vec<Mistake> },
    #[error("BELLJAR_MODE is `{}`\n  = help: set it to `enforce` or `report`, or not at all", value.escape_debug())]
    Mode { value: String },
}

/// One mistake in a file, with the place. Its text shows the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file as it is shown.
    pub file: String,
    /// Both count from 1.
    pub line: usize,
    pub column: usize,
    /// The line's text, without its end.
    pub text: String,
    /// How many characters of it are meant, at least 1.
    pub length: usize,
    /// The macro package of the grant in which it is.
    pub of: Option<String>,
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("this is not TOML: {0}")]
    Syntax(String),
    #[error("unknown key `{}`", key.escape_debug())]
    UnknownKey { key: String, similar: Option<String>, known: String },
    #[error("`{key}` is {expected}, not {found}")]
    WrongType { key: &'static str, expected: &'static str, example: String, found: &'static str },
    #[error("the grant has no `{key}`")]
    Missing { key: &'static str, example: &'static str },
    #[error("`{key}` is empty")]
    Empty { key: &'static str, example: &'static str },
    #[error("`{key}` can't be `{}`", value.escape_debug())]
    Word { key: &'static str, value: String, allowed: String },
    #[error("`{}` is not the name of a package", name.escape_debug())]
    Name { name: String, version: bool },
    #[error("`{}` is not a version requirement: {why}", text.escape_debug())]
    Version { text: String, why: String },
    #[error("`{}` is not a pattern for paths: {why}", pattern.escape_debug())]
    Pattern { pattern: String, why: BadPattern },
    #[error("`{}` is not a pattern for variables: {why}", pattern.escape_debug())]
    Variable { pattern: String, why: BadVariable },
    #[error("`{}` is not a size: {why}", text.escape_debug())]
    Size { text: String, why: BadSize },
    #[error("`limits.{key}` is out of range")]
    Limit { key: &'static str, range: String },
    #[error("`{}` {covers}", pattern.escape_debug())]
    Wide { pattern: String, covers: Covers },
    #[error("`{key}` is {here} here and {there} on line {line}, for the same macros in the same crate")]
    Contradiction { key: &'static str, here: String, there: String, line: usize },
    #[error("there are more than {MAX_GRANTS} grants")]
    TooMany,
}

/// What a pattern covers that needs `wide = true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Covers {
    Everything,
    Home,
    Outside,
    Variables,
}

impl fmt::Display for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "covers `/`",
            Self::Home => "covers a home directory",
            Self::Outside => "leads out of both the package and the workspace",
            Self::Variables => "covers all variables",
        })
    }
}

impl Problem {
    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Syntax(_) => "see https://toml.io for how it is written".to_owned(),
            Self::UnknownKey { similar: Some(similar), .. } => format!("did you mean {similar}?"),
            Self::UnknownKey { similar: None, known, .. } => format!("the keys here are {known}"),
            Self::WrongType { example, .. } => format!("write `{example}`"),
            Self::Missing { example, .. } | Self::Empty { example, .. } => format!("write, say, `{example}`"),
            Self::Word { allowed, .. } => format!("write {allowed}"),
            Self::Name { version: true, .. } => "put the version into `version`".to_owned(),
            Self::Name { version: false, .. } => "write it as in Cargo.lock".to_owned(),
            Self::Version { .. } => {
                "write it as in Cargo.toml: `0.12`, `>=1.2, <1.5`; without one, all versions are meant"
                    .to_owned()
            }
            Self::Pattern { why, .. } => why.next_step().to_owned(),
            Self::Variable { why, .. } => why.next_step().to_owned(),
            Self::Size { .. } => "write it as `512 MiB`".to_owned(),
            Self::Limit { range, .. } => format!("it can be {range}"),
            Self::Wide { .. } => {
                "grant less, or add `wide = true` to the grant if that is what you want".to_owned()
            }
            Self::Contradiction { .. } => {
                "remove one of the two, or tell the grants apart with `version` or `for`".to_owned()
            }
            Self::TooMany => "let grants cover more: `for` and patterns can be lists".to_owned(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "\n{margin}--> {}:{number}:{}", self.file, self.column)?;
        // Long lines are cut on both sides of what is meant.
        let chars: Vec<char> =
            self.text.chars().map(|c| if c.is_control() || c == '\u{feff}' { ' ' } else { c }).collect();
        let at = self.column.saturating_sub(1);
        let from = if at > SHOWN * 3 / 4 { at - SHOWN / 2 } else { 0 };
        let shown: String = chars.iter().skip(from).take(SHOWN).collect();
        let before = if from > 0 { "…" } else { "" };
        let after = if chars.len() > from + SHOWN { "…" } else { "" };
        let indent = " ".repeat(at - from + before.chars().count());
        let carets = "^".repeat(self.length.clamp(1, SHOWN.saturating_sub(at - from).max(1)));
        writeln!(f, "{margin} |\n{number} | {before}{}{after}", shown.trim_end())?;
        writeln!(f, "{margin} | {indent}{carets}")?;
        if let Some(of) = &self.of {
            writeln!(f, "{margin} = note: in the grant for `{}`", of.escape_debug())?;
        }
        write!(f, "{margin} = help: {}", self.problem.next_step())
    }
}

impl std::error::Error for Mistake {}

/// How many mistakes of a file are told.
const TOLD: usize = 10;

struct Mistakes<'a>(&'a [Mistake]);

impl fmt::Display for Mistakes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().take(TOLD).enumerate() {
            write!(f, "{}{mistake}", if n > 0 { "\n\n" } else { "" })?;
        }
        match self.0.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "\n\n…and {more} more"),
        }
    }
}
