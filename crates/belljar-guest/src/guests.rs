//! What is asked for, and what the store has of it.

use std::collections::BTreeSet;

use belljar_store::{GuestKey, GuestRecord, Store};
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::build::Builder;
use crate::key::Keyed;
use crate::nested::{GuestLog, Nested};
use crate::toolchain::Toolchain;
use crate::{GuestError, Progress};

/// How deep macros may use macros.
const DEEPEST: usize = 16;

/// Where a package comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Registry,
    Git,
    Path,
}

/// A macro package to be built, as the build that uses it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestRequest {
    pub name: String,
    pub version: String,
    pub origin: Origin,
    pub manifest_path: Utf8PathBuf,
    /// All that are enabled, by whatever way.
    pub features: Vec<String>,
    pub debug_assertions: bool,
    /// The lockfile that names the versions of its dependencies.
    pub lockfile: Utf8PathBuf,
    /// Where the manifest with `[patch]` and `[workspace.dependencies]` is.
    pub workspace_root: Utf8PathBuf,
    /// The user's directory: cargo's configuration is looked for from there.
    pub cwd: Utf8PathBuf,
    /// Values of the user's `--config` arguments.
    pub config: Vec<String>,
    pub offline: bool,
    /// Where it is written down what macros wanted that are used in the macro's own sources.
    pub log: Option<GuestLog>,
    /// Bytes of the user's sources that can't be compiled without it: what most waits for is made first.
    pub awaited: u64,
}

impl GuestRequest {
    /// `serde_derive 1.0.229`
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Requests, held against what the store has.
#[derive(Debug)]
pub struct Guests {
    store: Store,
    toolchain: Toolchain,
    depth: usize,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    request: GuestRequest,
    /// `None` when it is there.
    keyed: Option<Keyed>,
    promised: Promised,
    record: Option<GuestRecord>,
}

/// A guest that somebody is going to build: enough to find it when it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    pub key: GuestKey,
    /// Local files that the module is made of.
    sources: Vec<Utf8PathBuf>,
}

impl Promised {
    /// Its record, when the store has it and its module.
    pub fn look(&self, store: &Store) -> Result<Option<GuestRecord>, GuestError> {
        Ok(known(store, &self.key)?.map(|record| GuestRecord { sources: self.sources.clone(), ..record }))
    }
}

/// Returns the records of all requests, in their order, after building what the store doesn't have.
pub fn ensure(
    store: &Store,
    toolchain: &Toolchain,
    requests: &[GuestRequest],
    progress: &dyn Progress,
) -> Result<Vec<GuestRecord>, GuestError> {
    Guests::find(store, toolchain, requests)?.make(progress)
}

impl Guests {
    /// Looks for the module of each of them. Nothing is built.
    pub fn find(store: &Store, toolchain: &Toolchain, requests: &[GuestRequest]) -> Result<Self, GuestError> {
        let around = Nested::of_environment().map_or(0, |n| n.depth);
        Self::find_at(store, toolchain, requests, around + 1)
    }

    pub(crate) fn find_at(
        store: &Store,
        toolchain: &Toolchain,
        requests: &[GuestRequest],
        depth: usize,
    ) -> Result<Self, GuestError> {
        if let Some(request) = requests.first()
            && depth > DEEPEST
        {
            return Err(GuestError::TooDeep { package: request.title(), limit: DEEPEST });
        }
        let find = |request: &GuestRequest| {
            let keyed = Keyed::new(toolchain, request)?;
            let promised = Promised { key: keyed.key, sources: keyed.sources.clone() };
            let record = promised.look(store)?;
            let keyed = record.is_none().then_some(keyed);
            Ok(Found { request: request.clone(), record, keyed, promised })
        };
        let found = requests.iter().map(find).collect::<Result<_, GuestError>>()?;
        Ok(Self { store: store.clone(), toolchain: toolchain.clone(), depth, found })
    }

    /// What is known of each, in the order of the requests: its record, or under which key it will be when it is made.
    pub fn each(&self) -> impl Iterator<Item = Result<&GuestRecord, &Promised>> {
        self.found.iter().map(|found| found.record.as_ref().ok_or(&found.promised))
    }

    /// Has those made first that most waits for: `bytes` has for each request how much can't be compiled without it.
    pub fn make_first(&mut self, bytes: &[u64]) {
        for (found, bytes) in self.found.iter_mut().zip(bytes) {
            found.request.awaited = *bytes;
        }
    }

    /// Builds those that the store did not have. Returns the records of all, in their order.
    pub fn make(mut self, progress: &dyn Progress) -> Result<Vec<GuestRecord>, GuestError> {
        let mut missing: Vec<(Keyed, &GuestRequest)> = Vec::new();
        for found in &mut self.found {
            let keyed = found.keyed.take();
            missing.extend(keyed.map(|keyed| (keyed, &found.request)));
        }
        let mut keys = BTreeSet::new();
        missing.retain(|(keyed, _)| keys.insert(keyed.key));
        let (store, toolchain) = (&self.store, &self.toolchain);
        if !missing.is_empty() {
            // Reading it all takes a moment, so only where something is compiled with it.
            toolchain.aborting.check()?;
            let total = missing.len();
            Builder::new((store, toolchain), progress, self.depth, total).build(missing)?;
        }
        let record = |found: &Found| match &found.record {
            Some(record) => Ok(record.clone()),
            // Under the key of then: somebody may have edited its sources meanwhile.
            None => found
                .promised
                .look(store)?
                .ok_or_else(|| GuestError::NoModule { guest: found.request.title() }),
        };
        self.found.iter().map(record).collect()
    }
}

/// The record of that key, if its module is there too. It has no sources: they are where each project has them.
pub(crate) fn known(store: &Store, key: &GuestKey) -> Result<Option<GuestRecord>, GuestError> {
    let Some(record) = store.guest(key)? else { return Ok(None) };
    Ok(store.module(&record.module)?.map(|_| record))
}
