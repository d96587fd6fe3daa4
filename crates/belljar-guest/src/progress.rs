//! How long work is shown while it goes on.

use belljar_store::{GuestKey, GuestRecord};

/// Told about each step, as cargo tells it: a verb, and what it is about.
pub trait Progress: Sync {
    fn step(&self, verb: &str, what: &str);

    /// Macros that are used in a guest's own sources were refused something: a note for the user.
    fn refused(&self, _note: &str) {}

    /// Guests are being compiled from now on; all that comes before has been done. Called by the thread that asked for them, and
    /// more than once.
    fn compiling(&self) {}

    /// A guest is in the store from now on.
    fn sealed(&self, _guest: &GuestRecord) {}

    /// The guest of this key is in the store, whoever put it there.
    fn ready(&self, _key: &GuestKey) {}
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _verb: &str, _what: &str) {}
}
