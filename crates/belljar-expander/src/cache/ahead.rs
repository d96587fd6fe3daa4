//! Entries that a crate is likely to need, read before it asks for them.
//!
//! A crate that is compiled again calls most macros as it did before. Finding, opening and unpacking an entry takes as long as all
//! the rest of a hit; the compiler has hundreds of milliseconds to go before it calls the first macro, and uses one processor. So
//! the keys of a compilation are kept, and the next one begins with reading their entries. Whether an entry holds is looked at
//! when it is asked for, as ever. What is read in vain costs no more than time that nobody waits for.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use belljar_store::{Expansions, Found};

/// Bytes that are read ahead and not yet asked for.
const MOST: usize = 32 << 20;

/// Keys of one compilation that are kept.
const KEYS: usize = 1 << 16;

/// What was read, and what was asked for. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Ahead(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    read: HashMap<[u8; 32], Found>,
    bytes: usize,
    asked: Vec<[u8; 32]>,
    is_asked: HashSet<[u8; 32]>,
    /// Nobody asks any more.
    is_over: bool,
}

impl Ahead {
    /// Begins to read the entries of these keys, in their order, in a thread of its own that ends by itself: nobody has to wait
    /// for it. Where none can be started, nothing is read ahead.
    pub fn read(&self, expansions: &Expansions, keys: Vec<[u8; 32]>) -> Option<JoinHandle<()>> {
        if keys.is_empty() {
            return None;
        }
        let (this, expansions) = (self.clone(), expansions.clone());
        let reading = move || {
            for key in keys {
                if !this.wants(&key) {
                    continue;
                }
                // The last used is most likely to hold; the others are found when it does not.
                let found = expansions.find(&key).next();
                if found.is_some_and(|found| !this.put(key, found)) {
                    return;
                }
            }
        };
        thread::Builder::new().name("belljar ahead".to_owned()).spawn(reading).ok()
    }

    /// The keys that were asked for so far and have an entry, in that order; each once.
    #[must_use]
    pub fn keys(&self) -> Vec<[u8; 32]> {
        self.state().asked.clone()
    }

    /// Nothing is read any more, and what was read is given back.
    pub fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        state.read = HashMap::new();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is still of use to read this one.
    fn wants(&self, key: &[u8; 32]) -> bool {
        !self.state().is_asked.contains(key)
    }

    /// False where nothing is wanted any more. What is too much is left out.
    fn put(&self, key: [u8; 32], found: Found) -> bool {
        let mut state = self.state();
        let bytes = state.bytes + found.body.len();
        if !state.is_over && bytes <= MOST && !state.read.contains_key(&key) {
            state.bytes = bytes;
            state.read.insert(key, found);
        }
        !state.is_over
    }

    /// What was read of that key.
    pub(super) fn take(&self, key: &[u8; 32]) -> Option<Found> {
        let mut state = self.state();
        let found = state.read.remove(key)?;
        state.bytes -= found.body.len();
        Some(found)
    }

    /// Notes that this key has an entry and was asked for.
    pub(super) fn asked(&self, key: [u8; 32]) {
        let mut state = self.state();
        if state.asked.len() < KEYS && state.is_asked.insert(key) {
            state.asked.push(key);
        }
    }
}
