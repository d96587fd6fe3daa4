//! Tokens and messages as bytes, between the three parties of an expansion:
//!
//! ```text
//! rustc ── shim ──(socket: `message`)── expander ──(memory of the guest: `abi`)── guest
//!             └───────────── token streams: `tokens` ─────────────────────┘
//! ```
//!
//! Everything here is plain data with no dependency but `std`. The crate is compiled three times: into belljar, into
//! every guest (`wasm32-wasip1`) and into the client that shims link. Whoever *reads* bytes checks them: every reader
//! returns [`Malformed`] for bytes that break the format, and none of them panics or allocates more than the bytes
//! it was given can justify.

#![forbid(unsafe_code)]

pub mod abi;
pub mod bytes;
pub mod message;
pub mod place;
pub mod tokens;

pub use bytes::Malformed;

/// Version of everything in this crate. It is the first thing a shim says and a part of every module's key; a
/// difference is an error, never a guess.
pub const PROTOCOL: u16 = 4;
