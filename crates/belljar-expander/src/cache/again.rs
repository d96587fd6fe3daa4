//! Remembered expansions, run again apart from any build: are they what their macros write?

use std::sync::Arc;

use belljar_policy::{Calling, Policy, SOURCE_DATE_EPOCH};
use belljar_store::{ModuleDigest, Store};
use belljar_wire::message::Expand;

use super::{Cache, Chain, Entry};
use crate::channel::Channel;
use crate::error::{Cause, MacroName};
use crate::expander::{Config, Expander, different};
use crate::guest::{Arguments, Outcome, Stopped};
use crate::record::{Difference, Observation};
use crate::tape::Reply;

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    Same,
    Different(Difference),
    /// It could not be run: a limit, a machine without memory.
    Failed(MacroName, String),
    /// It is kept to be looked at: its macro is run every time.
    ToBeSeen,
    /// It depends on a project: its files, its policy, its earlier calls. A build that verifies runs it.
    OfProject,
    /// Nobody has its module any more, or it is of another version of belljar: no build finds it.
    Idle,
}

/// Runs entries again.
pub struct Rerun {
    store: Store,
    version: String,
    /// With what it has loaded, for entries that saw nothing of the world.
    expander: Expander,
}

impl Rerun {
    /// `version` is that of [`Cache::version`].
    #[must_use]
    pub fn new(store: &Store, version: &str) -> Self {
        let policy = Policy::built_in(Calling::default());
        let config = Config::of_environment(store.clone(), policy);
        Self { store: store.clone(), version: version.to_owned(), expander: Expander::new(config) }
    }

    /// Bytes of the stack that the thread needs which calls [`Self::again`].
    #[must_use]
    pub fn stack(&self) -> usize {
        self.expander.stack()
    }

    /// One entry, as [`belljar_store::Expansions::each`] gives it.
    pub fn again(&mut self, key: &[u8; 32], body: &[u8]) -> Again {
        let Ok(entry) = Entry::read(body) else { return Again::Idle };
        let request = Arc::new(entry.request);
        let Ok(expand) = Expand::read(&request) else { return Again::Idle };
        let conditions = &entry.conditions;
        if entry.made_by != super::made_by(&self.version) {
            return Again::Idle;
        }
        if super::name_to_be_seen(&request, &entry.output) == *key {
            return Again::ToBeSeen;
        }
        if conditions.place.is_some() || conditions.variables.is_some() || !conditions.values.is_empty() {
            return Again::OfProject;
        }
        let seen = conditions.observations.iter();
        let variables = seen.filter_map(|seen| match seen {
            Observation::Variable { name, value } => Some((name.into(), value.as_ref()?.into())),
            _ => None,
        });
        let policy = Policy::built_in(Calling::of_environment(variables));
        let rules = Arc::new(policy.rules(expand.package, expand.version));
        // Of another version, under other rules, or not the first of its chain: then this is another key.
        if super::key(&self.version, &request, &rules, b"", Chain::default()).0 != *key {
            return Again::OfProject;
        }
        // What is only derived from other things (belljar's own variables) may not be there for it.
        let as_then = conditions.observations.iter().all(|seen| match seen {
            Observation::Variable { name, value } if name == SOURCE_DATE_EPOCH => {
                value.as_deref() == rules.source_date_epoch()
            }
            Observation::Variable { name, value } => value.as_deref() == rules.variable(name),
            _ => false,
        });
        if !as_then {
            return Again::OfProject;
        }
        self.expander.set_time(rules.source_date_epoch());
        let module = ModuleDigest::from_bytes(expand.module);
        if !self.store.module(&module).is_ok_and(|module| module.is_some()) {
            return Again::Idle;
        }
        let name = MacroName::of(&expand);
        let limits = match self.expander.limits(&rules) {
            Ok(limits) => limits,
            Err(bad) => return Again::Failed(name, bad.to_string()),
        };
        let channel = Channel::earlier(Arc::new(conditions.answers.clone().into()));
        let mut call = match self.expander.call(&request, expand.input, &rules, limits, 0, channel) {
            Ok(call) => call,
            Err((malformed, _)) => return Again::Failed(name, Cause::Request(malformed).to_string()),
        };
        call.channel.keep_heard(super::MAX_ENTRY);
        let arguments = Arguments {
            module,
            package: expand.package,
            kind: expand.kind,
            name: expand.name,
            input: expand.input,
        };
        let (outcome, mut call) = self.expander.run(limits, None, call, &arguments);
        let printed = call.channel.heard().printed;
        let now = match outcome {
            Ok(Outcome::Done(output)) if output == entry.output && printed == entry.printed => {
                return Again::Same;
            }
            Ok(Outcome::Done(output)) => Reply::Done(output),
            Ok(Outcome::Panicked(message)) => Reply::Panicked(message),
            Err(Stopped::Failed(cause)) => return Again::Failed(name, cause.to_string()),
            Err(Stopped::Gone(error)) => return Again::Failed(name, error.to_string()),
        };
        match different(expand.input, &entry.output, &now) {
            Cause::Different { was, now, .. } => {
                Again::Different(Difference { macro_name: name, call: None, was, now })
            }
            other => Again::Failed(name, other.to_string()),
        }
    }
}

impl Cache {
    /// Which macro an entry is of, and how many bytes its output has.
    #[must_use]
    pub fn describe(body: &[u8]) -> Option<(MacroName, usize)> {
        let entry = Entry::read(body).ok()?;
        Some((MacroName::of(&Expand::read(&entry.request).ok()?), entry.output.len()))
    }
}
