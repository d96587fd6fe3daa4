//! How long work is shown while it goes on.

/// Told about each step, as cargo tells it: a verb, and what it is about.
pub trait Progress: Sync {
    fn step(&self, verb: &str, what: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _verb: &str, _what: &str) {}
}
