//! Remembered expansions: what a macro wrote when it was called like this, and what it saw of the world then.
//!
//! ```text
//! request ── key: version, module, macro, tokens, rules, earlier calls ──> entries of that key (belljar_store)
//!                                                                            │ is all that it saw still so?
//!                                                           no: run it <─────┤
//!                                                        keep what it saw    └─> yes: its output, prints and attempts again
//! ```
//!
//! Positions are no part of a key: a macro that asks for one has been answered, and the answer must be the same again. What is
//! only so at one moment is never kept: a real clock, an error, a limit, a file that could not be read.
//!
//! A macro that remembers earlier calls (`state = "crate"`) has a key that is a chain over all of them. As long as every call is
//! remembered its instance is not even made; when one isn't, those before it are run again first, with rustc's old answers.

mod again;
mod ahead;
pub(crate) mod entry;
mod holds;

use std::sync::Arc;

use belljar_inspect::Findings;
use belljar_policy::{Mode, Outcome, Request, Rules, SOURCE_DATE_EPOCH, describes_crate};
use belljar_store::{Expansions, Found};

pub use self::again::{Again as Rechecked, Rerun};
pub use self::ahead::Ahead;
pub use self::holds::{file_identity, is_absence};

pub(crate) use self::entry::{Answered, Entry};
use self::entry::{Conditions, Wanted};
pub(crate) use self::holds::Looked;
use self::holds::{Asked, digest_of_value, digest_of_variables};
use crate::attempts::Attempts;
use crate::channel::{Channel, Heard};
use crate::error::ServeError;
use crate::guest::Call;
use crate::record::{EntryName, Observation};

/// A digest of this crate's sources and of the wire format's: what they do is part of what a macro is told.
const SOURCES: &str = env!("BELLJAR_EXPANDER_SOURCES");

/// The longest entry that is kept, in bytes before it is compressed.
pub(crate) const MAX_ENTRY: usize = 8 << 20;

/// Remembered expansions, and how far they are trusted.
#[derive(Debug, Clone)]
pub struct Cache {
    pub expansions: Expansions,
    /// What decides the output beside what is in the key by itself: the version of belljar.
    pub version: Arc<str>,
    pub verify: Verify,
    pub ahead: Ahead,
}

/// How many of the remembered expansions are run all the same, and compared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Verify {
    #[default]
    None,
    /// So many of a hundred, chosen by chance.
    Percent(f64),
    All,
}

/// What names one call of one macro, in one state of the world as far as that is known before it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// All earlier calls of a macro package that remembers them, with what they saw and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Chain([u8; 32]);

impl Chain {
    /// With one call more. Equal entries are equal bytes, so it is the same whether the call was run or remembered.
    pub(crate) fn then(self, key: Key, entry: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 chain of calls of one instance");
        hasher.update(&self.0).update(&key.0).update(blake3::hash(entry).as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

/// An entry that holds.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) entry: Entry,
    pub(crate) found: Found,
}

impl Cache {
    /// Whether calls under these rules can be remembered at all.
    pub(crate) fn applies(rules: &Rules) -> bool {
        // In report mode all is granted so that it is seen what is wanted. That is not what anybody builds with twice.
        rules.mode() == Mode::Enforce
    }

    pub(crate) fn key(&self, request: &[u8], rules: &Rules, seed: &[u8], chain: Chain) -> Key {
        key(&self.version, request, rules, seed, chain)
    }

    /// The entry of that key whose conditions hold, if there is one. Asks rustc what its macro asked.
    pub(crate) fn find(
        &self,
        key: Key,
        call: &mut Call,
        looked: &mut Looked,
    ) -> Result<Option<Hit>, ServeError> {
        let mut asked = Asked::default();
        // Where none of those holds, there may be others by now.
        let read = self.ahead.take(&key.0).into_iter();
        for found in read.chain(std::iter::once_with(|| self.expansions.find(&key.0)).flatten()) {
            // What has the store's own seal and can't be read is of another version, which its key excludes.
            let Ok(entry) = Entry::read(&found.body) else { continue };
            let names = u64::from(call.limits.names);
            if entry.conditions.hold(&call.rules, &call.world, names, looked, &self.expansions)
                && answers_hold(&entry.conditions, &mut asked, &mut call.channel)?
                && entry.attempts.iter().all(|wanted| wanted.is_as_then(&call.rules))
            {
                self.ahead.asked(key.0);
                return Ok(Some(Hit { entry, found }));
            }
        }
        Ok(None)
    }

    /// Whether this one is to be run all the same.
    pub(crate) fn is_verified(&self) -> bool {
        match self.verify {
            Verify::None => false,
            Verify::All => true,
            Verify::Percent(percent) => chance() * 100.0 < percent,
        }
    }

    /// The entry of a call that was run, unless that can't be remembered, here or at all.
    pub(crate) fn entry(&self, request: &[u8], call: &Call, heard: Heard, output: &[u8]) -> Option<Entry> {
        let (rules, observations) = (&call.rules, &call.observations);
        let attempts = &call.attempts;
        let of_the_moment = call.of_the_moment || observations.iter().any(is_of_the_moment);
        if of_the_moment || heard.overflown || attempts.not_kept().next().is_some() {
            return None;
        }
        let has_path = attempts.kept().iter().any(|a| matches!(a.request, Request::Path { .. }));
        let wants_time = attempts.kept().iter().any(|a| a.request == Request::Clock);
        if rules.real_time() && (wants_time || has_path) {
            return None;
        }
        let mut values = Vec::new();
        let mut plain = Vec::new();
        for seen in observations {
            match seen {
                Observation::Variable { name, value: Some(value) } if is_the_users(name) => {
                    values.push((name.clone(), digest_of_value(&self.expansions, name, value)?));
                }
                // With what the guest was told of it.
                Observation::Absent { path } if call.absences.contains_key(path) => {}
                seen => plain.push(seen.clone()),
            }
        }
        let variables = match call.lists_variables {
            true => Some(digest_of_variables(&self.expansions, rules)?),
            false => None,
        };
        let entry = Entry {
            conditions: Conditions {
                place: (has_path || observations.iter().any(is_of_a_place)).then(|| rules.place()),
                variables,
                values,
                absences: call.absences.iter().map(|(name, errno)| (name.clone(), *errno)).collect(),
                answers: heard.answers.into_pairs(),
                observations: plain,
            },
            made_by: made_by(&self.version),
            request: request.to_vec(),
            attempts: attempts.kept().iter().map(Wanted::of).collect(),
            printed: heard.printed,
            complains: call.complains,
            findings: call.findings.clone(),
            output: output.to_vec(),
        };
        // One whose reason for an outcome can't be said again would never be taken for it.
        entry.attempts.iter().all(|wanted| wanted.is_as_then(rules)).then_some(entry)
    }

    /// Keeps it, if it is not too large.
    pub(crate) fn keep(&self, key: Key, entry: &Entry, bytes: &[u8]) -> Option<EntryName> {
        let variant = entry.conditions.digest();
        (bytes.len() <= MAX_ENTRY).then(|| {
            self.ahead.asked(key.0);
            self.expansions.keep(&key.0, &variant, bytes);
            EntryName { key: key.0, variant }
        })
    }

    /// Keeps a call that is not to be remembered, under a name by which no call looks for one: so that what was compiled can be
    /// looked at.
    pub(crate) fn keep_to_be_seen(
        &self,
        request: &[u8],
        output: &[u8],
        findings: &Findings,
    ) -> Option<EntryName> {
        let key = name_to_be_seen(request, output);
        let entry = Entry {
            conditions: Conditions::default(),
            made_by: made_by(&self.version),
            request: request.to_vec(),
            attempts: Vec::new(),
            printed: Vec::new(),
            complains: false,
            findings: findings.clone(),
            output: output.to_vec(),
        };
        let (bytes, variant) = (entry.to_bytes(), entry.conditions.digest());
        (bytes.len() <= MAX_ENTRY).then(|| {
            self.expansions.keep(&key, &variant, &bytes);
            EntryName { key, variant }
        })
    }
}

/// By what an expansion is found that is not remembered.
fn name_to_be_seen(request: &[u8], output: &[u8]) -> [u8; 32] {
    let mut hasher =
        blake3::Hasher::new_derive_key("belljar 2026 name of an expansion that is not remembered");
    for part in [request, output] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// A digest of belljar's version, as far as expansions depend on it.
fn made_by(version: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 version that remembers expansions");
    hasher.update(SOURCES.as_bytes()).update(b" ").update(version.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Everything that decides an output and is known before the macro runs. Positions are none of it.
fn key(version: &str, request: &[u8], rules: &Rules, seed: &[u8], chain: Chain) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 key of a remembered expansion");
    hasher.update(&made_by(version));
    for part in [request, seed] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.update(&rules.digest()).update(&chain.0);
    Key(*hasher.finalize().as_bytes())
}

fn answers_hold(
    conditions: &Conditions,
    asked: &mut Asked,
    channel: &mut Channel,
) -> Result<bool, ServeError> {
    for answered in &conditions.answers {
        if !asked.same(channel, answered)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What may be otherwise the next time, without anything that tells.
fn is_of_the_moment(seen: &Observation) -> bool {
    matches!(seen, Observation::Special { .. } | Observation::Failed { .. })
}

/// Whether a variable is none of those by which a build describes a crate.
fn is_the_users(name: &str) -> bool {
    name != SOURCE_DATE_EPOCH && !describes_crate(name)
}

fn is_of_a_place(seen: &Observation) -> bool {
    !matches!(seen, Observation::Variable { .. } | Observation::Names { .. })
}

impl Wanted {
    /// Whether the rules of today say the same of it.
    fn is_as_then(&self, rules: &Rules) -> bool {
        self.reason.is_some() || rules.decide(&self.request).outcome() == self.outcome
    }
}

impl Call {
    /// Does again what a remembered call did beside its output.
    pub(crate) fn recall(&mut self, entry: &Entry) -> Result<(), ServeError> {
        for (stream, bytes) in &entry.printed {
            self.channel.print(*stream, bytes)?;
        }
        let mut attempts = Attempts::default();
        for Wanted { request, outcome, reason, times } in &entry.attempts {
            let reason = reason.clone().unwrap_or_else(|| self.rules.decide(request).reason().clone());
            attempts.recall(request.clone(), *outcome, reason, *times);
        }
        self.attempts = attempts;
        // They have the values that they had then.
        let values = entry.conditions.values.iter().map(|(name, _)| Observation::Variable {
            name: name.clone(),
            value: self.rules.variable(name).map(str::to_owned),
        });
        let absences =
            entry.conditions.absences.iter().map(|(path, _)| Observation::Absent { path: path.clone() });
        self.observations =
            entry.conditions.observations.iter().cloned().chain(values).chain(absences).collect();
        self.complains = entry.complains;
        self.findings = entry.findings.clone();
        Ok(())
    }
}

/// What is needed to run a call again that was not run, because it was remembered.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) key: Key,
    pub(crate) variant: [u8; 32],
    pub(crate) request: Arc<Vec<u8>>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) output: Vec<u8>,
}

/// A number from 0 to 1 that nobody can foretell.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8);
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// The outcome word is part of entries.
const _: () = assert!(Outcome::ALL.len() == 5);
