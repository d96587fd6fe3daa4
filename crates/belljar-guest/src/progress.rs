//! How long work is shown while it goes on.

use belljar_store::GuestRecord;

/// Told about each step, as cargo tells it: a verb, and what it is about.
pub trait Progress: Sync {
    fn step(&self, verb: &str, what: &str);

    /// Macros that are used in a guest's own sources were refused something: a note for the user.
    fn refused(&self, _note: &str) {}

    /// A guest is in the store from now on.
    fn sealed(&self, _guest: &GuestRecord) {}
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _verb: &str, _what: &str) {}
}
