//! What the macros of one compilation wanted, got and saw: for the log, and for cargo, which is to know what the crate
//! depends on.
//!
//! It is shared between the thread that runs guests and whoever writes it down when the compiler has ended. An expansion
//! is in it before its reply is sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use belljar_inspect::Kinds;
use belljar_policy::{Outcome, Reason, Request};
use belljar_store::ModuleDigest;
use belljar_wire::message::{Expand, Site};

use crate::attempts::{Attempts, Room};
use crate::error::MacroName;
use crate::guest::name_from;

/// Places of calls that are kept for one attempt; further ones are only counted.
const CALLS: usize = 50;

/// Calls of one compilation that are on record one by one. Further ones are only counted.
pub const EXPANSIONS: usize = 1 << 20;

/// Bytes of a message that are on record.
const MESSAGE: usize = 4 << 10;

/// Where a macro was called. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSite {
    /// As rustc names it.
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// What is behind its last character.
    pub end: (u32, u32),
}

impl CallSite {
    pub(crate) fn of(site: &Site<'_>) -> Self {
        Self {
            file: name_from(site.file.as_bytes()),
            line: site.line,
            column: site.column,
            end: (site.end_line, site.end_column),
        }
    }
}

/// Something that one macro wanted, with one outcome, in all its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub macro_name: MacroName,
    pub request: Request,
    pub outcome: Outcome,
    pub reason: Reason,
    pub times: u64,
    /// How often of these it was remembered of an earlier compilation, and not asked for again.
    pub remembered: u64,
    /// The calls in which it was wanted, the first of them; and how many there are besides.
    pub calls: Vec<CallSite>,
    pub more_calls: u64,
}

/// One thing that a macro saw of the world, on which the crate depends from then on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Observation {
    /// A variable, with its value if it is set (or granted: the guest can't tell).
    Variable { name: String, value: Option<String> },
    /// Which variables are set of those that this pattern of `belljar.toml` is about.
    Names { pattern: String },
    /// The compiler's working directory.
    WorkingDirectory { path: String },
    /// A file, and the digest of its content if that was read. The paths of all these are absolute.
    File { path: String, size: u64, digest: Option<blake3::Hash> },
    /// That something is a directory.
    Directory { path: String },
    /// The names in a directory and what they are, as [`listing_digest`](crate::listing_digest) has them.
    Listing { path: String, digest: blake3::Hash },
    /// Where a link leads.
    Link { path: String, target: String },
    /// Something that is none of these: a pipe, a device. It was not opened.
    Special { path: String },
    /// Nothing was there.
    Absent { path: String },
    /// Something that policy grants, and that the user may not read.
    Failed { path: String },
}

/// How a call came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Run,
    /// Its output was remembered.
    Remembered,
    /// Its output was remembered, and it was run to compare.
    Verified,
}

/// One call of a macro, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// Which of [`Recorded::macros`] was called.
    pub macro_at: usize,
    /// If the shim says it.
    pub site: Option<CallSite>,
    pub how: How,
    /// From the request to the reply.
    pub took: Duration,
    pub ended: Ended,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// An output.
    Wrote {
        /// Of its bytes, as the compiler was handed them.
        digest: blake3::Hash,
        /// What it is found by in the store, if it is kept there.
        kept: Option<EntryName>,
        /// What kinds of findings there are in it.
        kinds: Kinds,
    },
    Panicked(Option<String>),
    Failed(String),
}

/// What an entry of the store is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryName {
    pub key: [u8; 32],
    pub variant: [u8; 32],
}

/// How many calls came to their end in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    pub run: u64,
    /// Not run: their output was remembered.
    pub remembered: u64,
    /// Run though their output was remembered, to compare.
    pub verified: u64,
}

/// A call that wrote something else than what was remembered of it: the tokens of both, one in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub macro_name: MacroName,
    pub call: Option<CallSite>,
    pub was: String,
    pub now: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Recorded {
    pub calls: Calls,
    /// The macros that were called, each with its module.
    pub macros: Vec<(MacroName, ModuleDigest)>,
    /// The calls, in their order: the first [`EXPANSIONS`] of them.
    pub expansions: Vec<Expansion>,
    pub differences: Vec<Difference>,
    pub attempts: Vec<Attempt>,
    pub observations: HashSet<Observation>,
    /// The macro packages that were used, by name and version, each with the digest of its rules.
    pub packages: BTreeMap<(String, String), [u8; 32]>,
    /// Where each attempt stands.
    known: HashMap<(MacroName, Request, Outcome), usize>,
    rooms: BTreeMap<(String, String, Outcome), Room>,
}

impl Calls {
    fn count(&mut self, how: How) {
        match how {
            How::Run => self.run += 1,
            How::Remembered => self.remembered += 1,
            How::Verified => self.verified += 1,
        }
    }
}

impl Recorded {
    /// How many attempts are not in `attempts`, because there were too many different ones: by macro package, its version, and
    /// outcome.
    pub fn not_kept(&self) -> impl Iterator<Item = ((&str, &str, Outcome), u64)> {
        let not_kept = self.rooms.iter().filter(|(_, room)| room.not_kept() > 0);
        not_kept.map(|((package, version, outcome), room)| {
            ((package.as_str(), version.as_str(), *outcome), room.not_kept())
        })
    }
}

/// [`Recorded`], while it is being written.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Recorded>);

impl Recorder {
    /// What is in it up to now.
    pub fn recorded(&self) -> MutexGuard<'_, Recorded> {
        // Nothing is left half-written by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds that a macro of this package ran, and wanted and saw nothing.
    pub(crate) fn used(&self, (package, version): (&str, &str), rules: [u8; 32], how: How) {
        let mut recorded = self.recorded();
        recorded.calls.count(how);
        // A crate uses few, and this is met at every call: no text is copied for it.
        if !recorded.packages.keys().any(|(p, v)| p == package && v == version) {
            recorded.packages.insert((package.to_owned(), version.to_owned()), rules);
        }
    }

    /// Adds a call that has come to its end.
    pub(crate) fn expanded(&self, expand: &Expand<'_>, expansion: impl FnOnce(usize) -> Expansion) {
        let mut recorded = self.recorded();
        if recorded.expansions.len() >= EXPANSIONS {
            return;
        }
        // A crate calls few different ones.
        let known = recorded
            .macros
            .iter()
            .position(|(name, module)| name.is(expand) && *module.as_bytes() == expand.module);
        let macro_at = known.unwrap_or_else(|| {
            recorded.macros.push((MacroName::of(expand), ModuleDigest::from_bytes(expand.module)));
            recorded.macros.len() - 1
        });
        let mut expansion = expansion(macro_at);
        if let Ended::Panicked(Some(text)) | Ended::Failed(text) = &mut expansion.ended
            && text.len() > MESSAGE
        {
            text.truncate(text.floor_char_boundary(MESSAGE));
        }
        recorded.expansions.push(expansion);
    }

    /// Adds that a call did not do what was remembered of it.
    pub(crate) fn differs(&self, difference: Difference) {
        self.recorded().differences.push(difference);
    }

    /// Adds what one expansion wanted and saw.
    pub(crate) fn add(
        &self,
        macro_name: &MacroName,
        rules: [u8; 32],
        attempts: &Attempts,
        observations: HashSet<Observation>,
        call: Option<&CallSite>,
        how: How,
    ) {
        let mut recorded = self.recorded();
        let recorded = &mut *recorded;
        recorded.calls.count(how);
        let package = (macro_name.package.clone(), macro_name.version.clone());
        let (package_name, version) = package.clone();
        let of = |outcome| (package_name.clone(), version.clone(), outcome);
        recorded.packages.entry(package).or_insert(rules);
        recorded.observations.extend(observations);
        for (outcome, times) in attempts.not_kept() {
            recorded.rooms.entry(of(outcome)).or_default().leave_out(times);
        }
        for attempted in attempts.kept() {
            let key = (macro_name.clone(), attempted.request.clone(), attempted.outcome);
            let room = recorded.rooms.entry(of(attempted.outcome)).or_default();
            // A macro's name is its author's: it may be long, and is kept with each attempt.
            let names = attempted.request.name().map_or(0, str::len).saturating_add(macro_name.name.len());
            let at = match recorded.known.get(&key) {
                Some(&at) => at,
                None if !room.takes(names, attempted.times) => continue,
                None => {
                    recorded.attempts.push(Attempt {
                        macro_name: macro_name.clone(),
                        request: attempted.request.clone(),
                        outcome: attempted.outcome,
                        reason: attempted.reason.clone(),
                        times: 0,
                        remembered: 0,
                        calls: Vec::new(),
                        more_calls: 0,
                    });
                    recorded.known.insert(key, recorded.attempts.len() - 1);
                    recorded.attempts.len() - 1
                }
            };
            let attempt = &mut recorded.attempts[at];
            attempt.times = attempt.times.saturating_add(attempted.times);
            if how == How::Remembered {
                attempt.remembered = attempt.remembered.saturating_add(attempted.times);
            }
            match call {
                Some(call) if attempt.calls.contains(call) => {}
                Some(call) if attempt.calls.len() < CALLS && room.takes_call(call.file.len()) => {
                    attempt.calls.push(call.clone());
                }
                Some(_) => attempt.more_calls = attempt.more_calls.saturating_add(1),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use belljar_policy::Decision;
    use belljar_wire::abi::EntryKind;

    use super::*;

    #[test]
    fn an_attempt_is_counted_over_all_calls_and_told_from_another_macros() {
        let recorder = Recorder::default();
        let named = |name: &str| MacroName {
            kind: EntryKind::Derive,
            name: name.to_owned(),
            package: "mac".to_owned(),
            version: "1.0.0".to_owned(),
        };
        let mut attempts = Attempts::default();
        attempts.record(Request::Socket(None), &Decision::Refused(Reason::NeverGranted));
        for line in 0..100 {
            let call = CallSite { file: "src/main.rs".to_owned(), line, column: 1, end: (line, 2) };
            recorder.add(&named("A"), [1; 32], &attempts, HashSet::new(), Some(&call), How::Run);
        }
        recorder.add(&named("B"), [1; 32], &attempts, HashSet::new(), None, How::Run);
        let recorded = recorder.recorded();
        let [a, b] = &recorded.attempts[..] else { panic!("{:?}", recorded.attempts) };
        assert_eq!((a.times, a.calls.len(), a.more_calls), (100, CALLS, 50));
        assert_eq!((b.times, b.calls.len(), b.more_calls), (1, 0, 0));
        assert_eq!(recorded.packages.len(), 1);
    }

    #[test]
    fn a_flood_displaces_nothing_of_another_outcome_or_package() {
        let recorder = Recorder::default();
        let of = |package: &str| MacroName {
            kind: EntryKind::Function,
            name: "a".to_owned(),
            package: package.to_owned(),
            version: "1.0.0".to_owned(),
        };
        let add = |package: &str, variables: std::ops::Range<u32>, decision: &Decision| {
            let mut attempts = Attempts::default();
            for i in variables {
                attempts.record(Request::Variable(format!("V{i}")), decision);
            }
            recorder.add(&of(package), [1; 32], &attempts, HashSet::new(), None, How::Run);
        };
        let refused = Decision::Refused(Reason::NotGranted);
        for part in 0..4 {
            add("flood", part * 5_000..(part + 1) * 5_000, &refused);
        }
        add("flood", 0..1, &Decision::Granted(Reason::DescribesCrate));
        add("flood", 0..1, &Decision::Granted(Reason::ReportMode));
        add("other", 0..1, &refused);
        let recorded = recorder.recorded();
        let last: Vec<_> =
            recorded.attempts.iter().rev().take(3).map(|a| (&*a.macro_name.package, a.outcome)).collect();
        assert_eq!(
            last,
            [("other", Outcome::Refused), ("flood", Outcome::Reported), ("flood", Outcome::Granted)]
        );
        assert_eq!(recorded.not_kept().collect::<Vec<_>>(), [(("flood", "1.0.0", Outcome::Refused), 10_000)]);
    }
}
