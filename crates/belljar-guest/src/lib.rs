//! Macro package to scratch package to module.
//!
//! ```text
//! GuestRequest            one macro package, with features and lockfile      (from the plan)
//!   │ key, config         in the store already? then that is all
//!   │ manifest, scratch   its sources with the markers replaced, and a Cargo.toml that makes it a cdylib
//!   │ lock                the user's lockfile goes in, and nothing else may come out
//!   │ graph               what will be compiled; whether something in it calls `catch_unwind`
//!   │ nested              cargo and rustc for `wasm32-wasip1`, against the `proc_macro` of `inside`
//!   │ module              entry points read, exports and imports checked
//!   ▼
//! GuestRecord             in the store, for every project of this user
//! ```
//!
//! [`ensure`] does all of it. [`toolchain`] finds the compiler and a std for WebAssembly; [`shim`] makes what rustc sees
//! in place of a macro crate.

mod build;
mod config;
mod error;
mod graph;
mod guests;
mod hashers;
pub mod inside;
mod key;
mod lock;
mod manifest;
mod module;
pub mod nested;
mod order;
mod overlay;
mod progress;
mod prune;
mod rewrite;
mod scratch;
pub mod shim;
mod sources;
pub mod toolchain;
mod trouble;
mod unwind;

pub use belljar_store::{EntryRecord, GuestKey, GuestRecord};
pub use build::REFUSED;
pub use error::GuestError;
pub use guests::{GuestRequest, Guests, Origin, Promised, ensure};
pub use inside::{current_exe, program, version_line};
pub use key::key;
pub use lock::origin_of;
pub use progress::{Progress, Silent};

/// Environment variable with the user's workspace root, for wrappers that nothing else tells; it stands in cargo's
/// configuration, and is nothing that a guest may see.
pub const WORKSPACE: &str = "BELLJAR_WORKSPACE";
