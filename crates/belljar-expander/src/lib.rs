//! Runs guest modules and answers shims.
//!
//! ```text
//! shim ── socket ── expander: request → cache: remembered? → engine: module, ready to run → guest: one call → answer
//!                                                                        │ imports
//!                                                                        ├ guest: questions → rustc, through the shim
//!                                                                        │                  → lexer
//!                                                                        └ wasi: nothing but what policy grants
//!                                                                           └ files: reading, each name as policy says
//! ```
//!
//! An [`Expander`] lives in the process that is rustc's parent, or in one that a shim has started, and ends with the
//! connection. It trusts nothing it is sent: not the shim's request, not the module, not what the guest asks, prints or
//! returns. What it answers with has been checked token by token.
//!
//! The same module, macro, input and answers give the same output, on every machine. [`Limits`] can only make it an error.

mod attempts;
mod cache;
mod channel;
mod engine;
mod error;
mod expander;
mod files;
mod guest;
mod lexer;
mod limits;
mod memory;
mod near;
mod record;
mod replay;
mod tape;
mod texts;
mod wasi;
mod written;

pub use cache::{Ahead, Cache, Rechecked, Rerun, Verify, file_identity, is_absence};
pub use engine::ModuleError;
pub use error::{Cause, ExpandError, Frames, MacroName, ServeError};
pub use expander::{Awaited, Config, Expander, Moved, precompile, refuse_all};
pub use files::listing_digest;
pub use limits::{BadLimit, Exceeded, Limit, Limits};
pub use memory::OutOfMemory;
pub use record::{
    Attempt, CallSite, Calls, Difference, Ended, EntryName, Expansion, How, Observation, Recorded, Recorder,
};
pub use replay::{Again, Differs, replay};
pub use tape::{Reply, Tape, Taped, TapedCall};
pub use written::Written;
