//! What is done about a request, and why.

use std::fmt;
use std::sync::Arc;

/// What happens to what nothing grants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is given if a grant could allow it, and listed.
    Report,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Enforce => "enforce",
            Mode::Report => "report",
        })
    }
}

/// What to do about a [`Request`](crate::Request), with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It gets the real thing.
    Granted(Reason),
    /// It gets an answer that is the same in every build: a clock that stands still, random numbers from a seed.
    Fixed(Reason),
    /// Not granted, and not worth a word to anybody.
    Withheld(Reason),
    /// Not granted. That it was wanted is told.
    Refused(Reason),
}

/// Why a [`Decision`] is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Cargo sets it to describe the crate that is being compiled.
    DescribesCrate,
    /// It is the manifest of the crate that is being compiled, or of its workspace.
    Manifest,
    /// It is a directory above something that may be reached, which follows from that thing's name.
    Above,
    /// Rust's std asks for it when a macro panics, to choose how to print that. The macro did not ask.
    AskedByStd,
    /// A grant of this text: where it stands, and the reason it gives.
    Grant(Arc<str>),
    /// Nothing grants it, but the mode is to report only.
    ReportMode,
    /// The same inputs give the same output.
    Deterministic,
    /// There can be no such thing: a variable without a name.
    Impossible,
    /// Nothing grants it.
    NotGranted,
    /// Nothing can grant it.
    NeverGranted,
    /// Its name is granted, but it is a device, a FIFO or a socket.
    NeitherFileNorDirectory,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::DescribesCrate => "it describes the crate that is being compiled",
            Reason::Manifest => "it is the manifest of the crate that is being compiled, or its workspace's",
            Reason::Above => "it is a directory above something that may be reached",
            Reason::AskedByStd => "Rust's std asks for it, not the macro",
            Reason::Grant(text) => return f.write_str(text),
            Reason::ReportMode => "nothing grants it, and the mode is `report`",
            Reason::Deterministic => "the same in every build",
            Reason::Impossible => "there can be no such thing",
            Reason::NotGranted => "nothing grants it",
            Reason::NeverGranted => "no macro gets this",
            Reason::NeitherFileNorDirectory => "it is neither a file nor a directory",
        })
    }
}

/// A [`Decision`] without its reason, as logs have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Granted,
    Fixed,
    Withheld,
    Refused,
    /// Nothing grants it; it was given because the mode is to report only.
    Reported,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 5] =
        [Outcome::Granted, Outcome::Fixed, Outcome::Withheld, Outcome::Refused, Outcome::Reported];

    /// The word for it in logs and filters.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Granted => "granted",
            Outcome::Fixed => "fixed",
            Outcome::Withheld => "withheld",
            Outcome::Refused => "refused",
            Outcome::Reported => "reported",
        }
    }
}

impl Decision {
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Decision::Granted(Reason::ReportMode) => Outcome::Reported,
            Decision::Granted(_) => Outcome::Granted,
            Decision::Fixed(_) => Outcome::Fixed,
            Decision::Withheld(_) => Outcome::Withheld,
            Decision::Refused(_) => Outcome::Refused,
        }
    }

    #[must_use]
    pub fn reason(&self) -> &Reason {
        match self {
            Decision::Granted(reason)
            | Decision::Fixed(reason)
            | Decision::Withheld(reason)
            | Decision::Refused(reason) => reason,
        }
    }
}
