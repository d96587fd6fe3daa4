//! Makes what macros wrote readable.
//!
//! ```text
//! input and output, as the compiler was handed them ── flat: tokens in a row, each with whose it is
//!                                                        └── rust: formatted, as far as it is Rust
//! a place in a source file ── places: the path of the item around it
//!                           └── source: the part of the file that a call's output stands for
//! ```
//!
//! What is shown is what is compiled: of what macros wrote, nothing here reads anything but those bytes. They come from macros, whose authors may want
//! that nobody can read them: whatever is in them, what comes out is text with nothing in it that a terminal obeys.

pub mod findings;
pub mod flat;
mod nesting;
mod places;
mod rust;
mod source;

pub use findings::{Finding, Findings, Kind, Kinds, findings};
pub use flat::{Origin, Token};
pub use places::{Piece, Places, is_in};
pub use rust::{Class, Formatter, Rust, classes, is_odd, quiet_panics, rust, rust_by};
pub use source::{Called, Source, Stands};
