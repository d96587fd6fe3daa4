//! The `proc_macro` that guests are compiled against.
//!
//! It has the stable public API of the compiler's crate of that name, so that proc-macro2, syn, quote and the macros
//! themselves compile unmodified. Where the compiler's crate asks rustc about every token, this one holds them in the
//! guest's own memory:
//!
//! ```text
//! input bytes ──(stream: read lazily)──▶ TokenStream ⇄ TokenTree ──(stream: written once)──▶ output bytes
//!                                            │ spans are numbers (span), made from others in a table (call)
//!                                            │ printing: here if all of it was made here (print), else asked
//!                                            ▼
//!                                     questions to the host (host): positions, lexing, printing, variables
//! ```
//!
//! - An input is never unpacked before somebody looks: a stream that is passed on untouched is written as a reference,
//!   and so is every group or token that is still what came in. The forms are described in `belljar_wire::tokens`.
//! - So it is with a text that was lexed: its stream and its groups are written as references into the text, because rustc
//!   remembers the text's spaces and doc comments. A single token of a text is like any that is made here.
//! - Text is a slice of the input, or stands in memory that lives as long as the process: a guest's instance serves one
//!   expansion, so nothing is ever freed twice or counted.
//! - What rustc answers with, and how it words its panics, is mirrored from its sources: `library/proc_macro/src/lib.rs`,
//!   `library/proc_macro/src/bridge/`, `compiler/rustc_expand/src/proc_macro_server.rs` and
//!   `compiler/rustc_ast_pretty/src/`.
//!
//! Known differences from the compiler's crate, none of which a token can show:
//! - `Debug` of a span is the same text for all spans of a call, so that no position leaks into an output.
//! - Two punctuation marks that rustc would glue keep a span each when their stream is read again.

mod call;
#[cfg(target_family = "wasm")]
mod cwd;
mod entry;
mod host;
mod lexeme;
mod literal;
mod print;
mod span;
mod stream;
#[cfg(target_family = "wasm")]
mod threads;
mod tree;

pub use literal::Literal;
pub use span::Span;
pub use stream::{LexError, TokenStream};
pub use tree::{Delimiter, Group, Ident, Punct, Spacing, TokenTree};

/// Iterators over a [`TokenStream`].
pub mod token_stream {
    pub use crate::stream::IntoIter;
}

/// What entry wrappers and belljar itself call. No part of the API.
#[doc(hidden)]
pub mod __belljar {
    pub use crate::entry::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::host::{Host, set_host};
}

/// Is the API usable here, that is: does a macro run now?
pub fn is_available() -> bool {
    call::active()
}
