//! The client that generated shims link.
//!
//! A shim is the native proc-macro crate that cargo and rustc see in place of a real one: one function per entry point,
//! each a single call to [`derive`], [`attribute`] or [`function`]. What such a call does:
//!
//! ```text
//! rustc's token streams ── input: flat bytes, and a table handle → the original token
//!        EXPAND ─────────── link: the socket to the expander, inherited from the wrapper or to one started here
//!        ASK, PRINT ─────── ask: questions of the running macro, answered from rustc
//!        DONE ───────────── output: bytes → tokens; a reference becomes a clone of the original token
//!                           text: what the macro had lexed is lexed by rustc, for references into it
//!        PANICKED ───────── a panic with the macro's own message, which rustc reports as it reports any
//!        FAILED ─────────── `compile_error!` at the call site
//! ```
//!
//! A token that a macro passes on is never made again from text: rustc's private spacing, `$crate`, hygiene, raw
//! identifiers and literal forms survive because it *is* the token that rustc handed over.
//!
//! This code runs inside rustc. It never panics but to report a macro's panic, and never trusts a length, a handle or a
//! text of a reply.

#![deny(unsafe_code)]

extern crate proc_macro;

mod ask;
mod error;
mod input;
mod link;
mod literal;
mod output;
mod print;
mod text;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, Ordering};

use belljar_wire::abi::EntryKind;
use belljar_wire::bytes::Writer;
use belljar_wire::message::{Expand, Site};
use belljar_wire::place::{MARK, SIZE};
use proc_macro::{Span, TokenStream};

use crate::error::Error;
use crate::input::Input;
use crate::link::Reply;
use crate::text::Texts;

/// One entry point of a macro crate, as a generated shim states it.
#[derive(Debug)]
pub struct Macro {
    /// BLAKE3 digest of the module.
    pub module: [u8; 32],
    /// The name that users write.
    pub name: &'static str,
    /// The macro crate's package, for messages.
    pub package: &'static str,
    pub version: &'static str,
}

/// Room for [where its expander is](belljar_wire::place), in the library that is linked of a shim.
#[derive(Debug)]
#[repr(C)]
pub struct Room {
    mark: [AtomicU8; MARK.len()],
    /// Written before this is loaded. By its type, no compiler takes it for what stands here.
    bytes: [AtomicU8; SIZE],
}

impl Room {
    /// What belljar looks for in the library.
    #[must_use]
    pub const fn empty() -> Self {
        let mut mark = [const { AtomicU8::new(0) }; MARK.len()];
        let mut i = 0;
        while i < MARK.len() {
            mark[i] = AtomicU8::new(MARK[i]);
            i += 1;
        }
        Self { mark, bytes: [const { AtomicU8::new(0) }; SIZE] }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }
}

/// Expands a `#[derive]`.
#[must_use]
pub fn derive(entry: &Macro, room: &Room, input: TokenStream) -> TokenStream {
    expand((entry, room), EntryKind::Derive, Input::new(&[input]))
}

/// Expands an attribute macro.
#[must_use]
pub fn attribute(entry: &Macro, room: &Room, arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand((entry, room), EntryKind::Attribute, Input::new(&[arguments, item]))
}

/// Expands a function-like macro.
#[must_use]
pub fn function(entry: &Macro, room: &Room, input: TokenStream) -> TokenStream {
    expand((entry, room), EntryKind::Function, Input::new(&[input]))
}

fn expand((entry, room): (&Macro, &Room), kind: EntryKind, input: Input) -> TokenStream {
    let expanded = try_expand((entry, room), kind, &input);
    print::end_lines();
    match expanded {
        Ok(stream) => stream,
        Err(Error::Panicked(Some(message))) => resume_unwind(Box::new(message)),
        // Any payload that is no text will do.
        Err(Error::Panicked(None)) => resume_unwind(Box::new(())),
        Err(Error::Failed(message)) => output::compile_error(&message),
        Err(Error::Here(problem)) => output::compile_error(&problem.message(entry, kind)),
    }
}

fn try_expand((entry, room): (&Macro, &Room), kind: EntryKind, input: &Input) -> Result<TokenStream, Error> {
    let request = Expand {
        module: entry.module,
        kind,
        name: entry.name,
        package: entry.package,
        version: entry.version,
        input: input.bytes(),
    };
    let mut payload = Writer::with_capacity(input.bytes().len() + 128);
    request.write(&mut payload);
    let (site, mut place) = (Span::call_site(), Writer::with_capacity(64));
    let (end, file) = (site.end(), site.file());
    let [line, column, end_line, end_column] =
        [site.line(), site.column(), end.line(), end.column()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    Site { line, column, end_line, end_column, file: &file }.write(&mut place);
    // A question that can't be answered must not leave the expander waiting: it gets an empty answer, which it refuses,
    // and the reason is told here, where the reason is known.
    let mut unanswered = None;
    let mut texts = Texts::default();
    let reply = link::exchange(
        || room.bytes(),
        [place.as_bytes(), payload.as_bytes()],
        |question| match guarded(|| ask::answer(question, input, &mut texts)) {
            Ok(answer) => answer,
            Err(error) => {
                unanswered.get_or_insert(error);
                Vec::new()
            }
        },
    )?;
    if let Some(error) = unanswered {
        return Err(error);
    }
    match reply {
        Reply::Done(bytes) => guarded(|| output::build(&bytes, input, &mut texts)),
        Reply::Panicked(message) => Err(Error::Panicked(message)),
        Reply::Failed(message) => Err(Error::Failed(message)),
    }
}

/// Runs what calls into `proc_macro` on a reply's behalf: that panics for a text that is no identifier, for example, and
/// such a reply is an error like any other that breaks the format.
fn guarded<T>(f: impl FnOnce() -> Result<T, error::Problem>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(Error::Here),
        Err(panic) => Err(Error::Here(error::Problem::refused(&*panic))),
    }
}
