//! One grant, as it stands in a file.

use std::fmt;
use std::sync::Arc;

use semver::{Comparator, Op, Version, VersionReq};

use crate::pattern::{PathPattern, VariablePattern};
use crate::rules::LimitChanges;

/// Where a grant comes from. In this order they count when two say different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The workspace's `belljar.toml`.
    Workspace,
    /// The user's own defaults.
    User,
    /// Shipped with belljar; see [`profiles`](crate::profiles).
    Profile,
}

/// How long macros remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Call,
    Crate,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Call => "call",
            State::Crate => "crate",
        })
    }
}

/// One `[[grant]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub source: Source,
    /// The file as messages name it.
    pub file: Arc<str>,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The macro package.
    pub macro_package: String,
    pub version: Option<VersionReq>,
    /// The calling packages; all of them when empty.
    pub calling: Vec<String>,
    pub read: Vec<PathPattern>,
    pub list: Vec<PathPattern>,
    pub env: Vec<VariablePattern>,
    pub state: Option<State>,
    pub random: Option<String>,
    pub time: Option<bool>,
    pub limits: LimitChanges,
    pub wide: bool,
    pub reason: String,
}

/// `belljar.toml:12: the reason`
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Profile => write!(f, "belljar's profile of {}: {}", self.macro_package, self.reason),
            _ => write!(f, "{}:{}: {}", self.file, self.line, self.reason),
        }
    }
}

impl Grant {
    /// Whether it is about the macros of this package in this calling package.
    #[must_use]
    pub fn is_for(&self, macro_package: &str, macro_version: &str, calling: &str) -> bool {
        self.macro_package == macro_package && self.has_version(macro_version) && self.is_called_by(calling)
    }

    /// Whether it is about this version of its macro package. A version that nobody can read is none that was asked for.
    #[must_use]
    pub fn has_version(&self, version: &str) -> bool {
        match &self.version {
            None => true,
            Some(required) => Version::parse(version).is_ok_and(|version| required.matches(&version)),
        }
    }

    #[must_use]
    pub fn is_called_by(&self, calling: &str) -> bool {
        self.calling.is_empty() || self.calling.iter().any(|name| name == calling)
    }

    /// Whether both can be about the same macros in the same crate.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let versions = || match (&self.version, &other.version) {
            (Some(a), Some(b)) => versions_overlap(a, b),
            _ => true,
        };
        self.macro_package == other.macro_package
            && (self.calling.is_empty()
                || other.calling.is_empty()
                || self.calling.iter().any(|name| other.calling.contains(name)))
            && versions()
    }

    /// What it says that can be said only once.
    pub(crate) fn scalars(&self) -> [(&'static str, Option<String>); 7] {
        let LimitChanges { time, memory, stack, output } = self.limits;
        let size = |bytes: Option<u64>| bytes.map(|bytes| format!("`\"{}\"`", crate::size::show(bytes)));
        [
            ("state", self.state.map(|state| format!("`\"{state}\"`"))),
            ("random", self.random.as_ref().map(|seed| format!("`{seed:?}`"))),
            ("time", self.time.map(|time| format!("`{time}`"))),
            ("limits.time", time.map(|time| format!("`{time}`"))),
            ("limits.memory", size(memory)),
            ("limits.stack", size(stack)),
            ("limits.output", size(output)),
        ]
    }

    /// Whether all that it says is how long macros remember, which gives access to nothing.
    #[must_use]
    pub fn gives_no_authority(&self) -> bool {
        self.read.is_empty()
            && self.list.is_empty()
            && self.env.is_empty()
            && self.time != Some(true)
            && self.random.is_none()
            && self.limits == LimitChanges::default()
    }
}

type Triple = (u64, u64, u64);

fn versions_overlap(a: &VersionReq, b: &VersionReq) -> bool {
    let (mut from, mut to): (Triple, Option<Triple>) = ((0, 0, 0), None);
    for comparator in a.comparators.iter().chain(&b.comparators) {
        let (low, high) = range(comparator);
        from = from.max(low);
        to = match (to, high) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    to.is_none_or(|to| from < to)
}

/// The versions that a comparator allows, from the first one to before the second one, without those before a release.
fn range(comparator: &Comparator) -> (Triple, Option<Triple>) {
    let Comparator { op, major, minor, patch, .. } = *comparator;
    let from = (major, minor.unwrap_or(0), patch.unwrap_or(0));
    // The first version after all that begin like this one.
    let next = match (minor, patch) {
        (Some(minor), Some(patch)) => (major, minor, patch.saturating_add(1)),
        (Some(minor), None) => (major, minor.saturating_add(1), 0),
        (None, _) => (major.saturating_add(1), 0, 0),
    };
    let compatible = match (major, minor, patch) {
        (0, Some(0), Some(_) | None) | (0, None, _) => next,
        (0, Some(minor), _) => (0, minor.saturating_add(1), 0),
        _ => (major.saturating_add(1), 0, 0),
    };
    match op {
        Op::Exact | Op::Wildcard => (from, Some(next)),
        Op::Greater => (next, None),
        Op::GreaterEq => (from, None),
        Op::Less => ((0, 0, 0), Some(from)),
        Op::LessEq => ((0, 0, 0), Some(next)),
        Op::Tilde if patch.is_some() => (from, Some((major, from.1.saturating_add(1), 0))),
        Op::Tilde => (from, Some(next)),
        Op::Caret => (from, Some(compatible)),
        _ => ((0, 0, 0), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_semver() {
        let versions =
            ["0.0.0", "0.0.1", "0.0.2", "0.1.0", "0.1.5", "0.2.0", "1.0.0", "1.2.0", "1.2.3", "2.0.0"];
        let requirements = [
            "*",
            "0",
            "0.0",
            "0.0.1",
            "0.1",
            "0.1.5",
            "1",
            "1.2",
            "1.2.3",
            "=1",
            "=1.2",
            "=1.2.3",
            ">1",
            ">1.2",
            ">0.0.1",
            ">=1.2",
            "<1",
            "<1.2.3",
            "<=1",
            "<=0.1",
            "<=0.0.1",
            "~1",
            "~1.2",
            "~1.2.3",
            "~0.1.5",
            "1.*",
            "1.2.*",
            ">=0.1, <1",
        ];
        let parse = |text: &str| VersionReq::parse(text).unwrap();
        for a in requirements {
            for v in versions {
                let version = Version::parse(v).unwrap();
                let exact = parse(&format!("={v}"));
                assert_eq!(versions_overlap(&parse(a), &exact), parse(a).matches(&version), "{a} and {v}");
            }
        }
        assert!(!versions_overlap(&parse("0.11"), &parse("0.12")));
        assert!(versions_overlap(&parse(">=0.11"), &parse("0.12")));
    }
}
