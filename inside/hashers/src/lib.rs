//! The `std` of guests' crates that make a hasher of std's themselves: it hashes as a 64-bit program does.
//!
//! A guest is a 32-bit program, and std's hashers take an `isize` or `usize` as the bytes it has: four. Sequences hash
//! their length as such a number, enums their discriminant; so the same hasher over the same syntax tree gives another
//! number than natively. With `RandomState` nobody can tell, for it is another one in every run. But a macro that wants
//! the same order each time makes its own `DefaultHasher`, and the order of its hash tables (natively: that of 64 bits)
//! is then the order of the code it writes.
//!
//! This crate is all of the real `std`, by name, and in place of its hashers two that widen those numbers. What they do
//! with bytes is the real ones' work.
//!
//! What stays different: a slice of `usize` or `isize` hands over its memory as it is.

extern crate std as real;

pub use real::*;

mod wide;

pub mod hash {
    pub use real::hash::*;

    pub use crate::wide::DefaultHasher;
    #[allow(deprecated)]
    pub use crate::wide::SipHasher;
}

pub mod collections {
    pub use real::collections::*;

    pub mod hash_map {
        pub use real::collections::hash_map::*;

        pub use crate::wide::DefaultHasher;
    }
}
