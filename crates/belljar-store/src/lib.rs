//! What belljar keeps on disk for one user, shared by all of that user's projects.
//!
//! ```text
//! $BELLJAR_HOME, else $XDG_CACHE_HOME/belljar, else ~/.cache/belljar
//! └── v1/                            another layout gets another number; nothing is ever converted
//!     ├── modules/<digest>.wasm      a module, named by the BLAKE3 digest of its bytes
//!     ├── guests/<key>.json          which module a macro package became, and its entry points
//!     ├── native/<engine>/<module>.json and <digest>.cwasm    a module as native code for one engine
//!     ├── shims/<key>                what is linked of a shim, with its digest before it
//!     ├── toolchains/ inside/ scratch/ target/    directories that belong to their makers
//!     │                              (what they keep there is checked by [`tree`] or by digests of their own, but `target/`:
//!     │                              that is cargo's, and thrown away when a build in it fails as a damaged one does)
//!     ├── expansions/                what macros wrote, see [`Expansions`]
//!     ├── locks/<name>.lock          held by `flock`, so a crash frees them
//!     └── tmp/                       files on their way to their place
//! ```
//!
//! Three rules hold for everything that [`Store`] itself reads and writes:
//!
//! - **Whole or not at all.** A file is written under `tmp/`, flushed to the disk and renamed to its place.
//! - **Nothing is believed without its digest.** What is truncated, altered, of another version, of another owner, a
//!   link or not even a file counts as absent and is removed, so that it is made again.
//! - **Only its owner may write it.** Directories are `0700` and must belong to the user; native code is mapped
//!   into belljar's own process, so this is what makes it safe to do so.

#![forbid(unsafe_code)]

mod digest;
mod dir;
mod error;
mod expansions;
mod file;
mod lock;
mod record;
mod store;
pub mod tree;

pub use digest::{GuestKey, ModuleDigest, NotADigest};
pub use error::{Doing, StoreError};
pub use expansions::{ExpansionStats, Expansions, FileIdentity, Found, Problem, USUAL_SIZE, size};
pub use file::own_file;
pub use lock::StoreLock;
pub use record::{BadName, EntryRecord, GuestRecord};
pub use store::{Area, Store, Usage};
