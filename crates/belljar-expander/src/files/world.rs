//! What all expansions of one compilation share of the file system: handles, and what was seen.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::name::beneath;
use super::snapshot::Seen;
use crate::error::Cause;
use crate::expander::Moved;

/// Names of which it is known what was seen there. Past that, the compilation is ended: there is no crate with so many.
const MAX_SEEN: usize = 2_000_000;

#[derive(Debug, Default)]
pub(crate) struct World {
    state: Mutex<State>,
    moved: Option<Moved>,
}

#[derive(Debug, Default)]
struct State {
    /// Directories beneath which files are looked for, by the name that they were opened by.
    roots: HashMap<String, Arc<OwnedFd>>,
    seen: HashMap<String, Seen>,
    /// The kernel has no `openat2`, or something forbids it.
    no_openat2: bool,
}

impl World {
    pub(crate) fn of(moved: Option<Moved>) -> Self {
        Self { moved, ..Self::default() }
    }

    /// Where a directory of this name really is.
    pub(super) fn real<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let moved = self.moved.as_ref().and_then(|moved| Some((beneath(&moved.to, name)?, moved)));
        moved.map_or(name.into(), |(rest, moved)| format!("{}/{rest}", moved.from).into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-written by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle of a directory, which is held from now on.
    pub(super) fn root(
        &self,
        name: &str,
        open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
    ) -> rustix::io::Result<Arc<OwnedFd>> {
        let mut state = self.state();
        if let Some(root) = state.roots.get(name) {
            return Ok(Arc::clone(root));
        }
        let root = Arc::new(open()?);
        state.roots.insert(name.to_owned(), Arc::clone(&root));
        Ok(root)
    }

    pub(super) fn openat2(&self) -> bool {
        !self.state().no_openat2
    }

    pub(super) fn no_openat2(&self) {
        self.state().no_openat2 = true;
    }

    /// Keeps what was seen. An error when it contradicts what was seen before.
    pub(crate) fn see(&self, name: &str, now: Seen) -> Result<(), Cause> {
        let mut state = self.state();
        let full = state.seen.len() >= MAX_SEEN;
        match state.seen.entry(name.to_owned()) {
            Entry::Occupied(mut before) => match before.get().and(&now) {
                Some(both) => drop(before.insert(both)),
                None => {
                    return Err(Cause::Changed {
                        path: name.to_owned(),
                        before: before.get().to_string(),
                        now: now.to_string(),
                    });
                }
            },
            Entry::Vacant(_) if full => return Err(Cause::TooManySeen { allowed: MAX_SEEN }),
            Entry::Vacant(place) => drop(place.insert(now)),
        }
        Ok(())
    }
}
