//! [`Span`]: a number that only rustc can turn into a place.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::tokens::{Derived, WireSpan, write_derived};

use crate::{call, host};

/// A region of source code, with what is known about the macros it came through.
#[derive(Copy, Clone)]
pub struct Span {
    pub(crate) wire: WireSpan,
    /// Neither `Send` nor `Sync`, as in the compiler's crate.
    local: PhantomData<*const ()>,
}

impl Span {
    pub(crate) const fn from_wire(wire: WireSpan) -> Span {
        Span { wire, local: PhantomData }
    }

    /// Where the macro was called; names resolve as if written there.
    pub fn call_site() -> Span {
        call::require();
        Span::from_wire(WireSpan::CALL_SITE)
    }

    /// Located at the call; local variables, labels and `$crate` resolve where the macro was defined, all else where it
    /// was called, as in `macro_rules`.
    pub fn mixed_site() -> Span {
        call::require();
        Span::from_wire(WireSpan::MIXED_SITE)
    }

    /// The empty span directly before this one.
    pub fn start(&self) -> Span {
        self.derive(Derived::Start(self.wire))
    }

    /// The empty span directly behind this one.
    pub fn end(&self) -> Span {
        self.derive(Derived::End(self.wire))
    }

    /// The line on which the span starts, counted from 1.
    pub fn line(&self) -> usize {
        self.number(question::LINE)
    }

    /// The column at which the span starts, counted from 1.
    pub fn column(&self) -> usize {
        self.number(question::COLUMN)
    }

    /// The source file's path, for display.
    pub fn file(&self) -> String {
        text(&mut Reader::new(&self.ask(question::FILE)))
    }

    /// The source file's path on this machine, if there is such a file.
    pub fn local_file(&self) -> Option<PathBuf> {
        self.maybe_text(question::LOCAL_FILE).map(PathBuf::from)
    }

    /// This span's place, with `other`'s way of resolving names.
    pub fn resolved_at(&self, other: Span) -> Span {
        if self.wire == other.wire {
            return *self;
        }
        self.derive(Derived::ResolvedAt(self.wire, other.wire))
    }

    /// `other`'s place, with this span's way of resolving names.
    pub fn located_at(&self, other: Span) -> Span {
        other.resolved_at(*self)
    }

    /// The source text behind the span, if it is real source code.
    pub fn source_text(&self) -> Option<String> {
        self.maybe_text(question::SOURCE_TEXT)
    }

    fn derive(self, derived: Derived) -> Span {
        call::require();
        Span::from_wire(call::derive(derived))
    }

    fn ask(self, about: u8) -> Vec<u8> {
        call::require();
        let mut question = Writer::new();
        question.u8(about);
        call::with_derived(|derived| write_derived(&mut question, derived));
        question.varint(self.wire.0);
        host::ask(question.as_bytes())
    }

    fn number(self, about: u8) -> usize {
        let answer = self.ask(about);
        Reader::new(&answer).varint().unwrap_or_else(|e| host::bad_answer(&e)) as usize
    }

    fn maybe_text(self, about: u8) -> Option<String> {
        let answer = self.ask(about);
        let mut r = Reader::new(&answer);
        match r.u8() {
            Ok(0) => None,
            Ok(_) => Some(text(&mut r)),
            Err(e) => host::bad_answer(&e),
        }
    }
}

fn text(r: &mut Reader<'_>) -> String {
    r.text().unwrap_or_else(|e| host::bad_answer(&e)).to_owned()
}

/// In the form of rustc's, but a position must not reach an output unseen: it is the same text for all spans of a call. A macro
/// that tells its calls apart by it (const-random) can do so where one instance serves all of a crate (`state = "crate"`).
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let earlier = call::earlier();
        write!(f, "#0 bytes({earlier}..{earlier})")
    }
}
