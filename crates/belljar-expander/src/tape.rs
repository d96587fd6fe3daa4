//! The calls of one compilation, kept with all that rustc answered meanwhile, so that they can be run again when rustc has
//! ended (see [`crate::replay`]).

use std::sync::{Mutex, MutexGuard, PoisonError};

use belljar_wire::message::Expand;

use crate::channel::Answers;
use crate::error::MacroName;
use crate::record::CallSite;

/// Bytes of requests, answers and replies that are kept of one compilation; further calls are only counted.
const MAX: usize = 256 << 20;

/// What a shim is told at the end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The output's bytes, checked.
    Done(Vec<u8>),
    /// The macro panicked, perhaps with a message.
    Panicked(Option<String>),
    /// belljar's error.
    Failed(String),
}

/// One call.
#[derive(Debug, Clone)]
pub struct TapedCall {
    pub macro_name: MacroName,
    /// As the shim sent it.
    pub(crate) request: Vec<u8>,
    pub(crate) answers: Answers,
    /// Where the macro was called, if the shim says it.
    pub site: Option<CallSite>,
    pub reply: Reply,
}

/// What was kept.
#[derive(Debug, Default)]
pub struct Taped {
    /// In the order in which they were made.
    pub calls: Vec<TapedCall>,
    /// Calls for which there was no room.
    pub not_kept: u64,
    bytes: usize,
}

/// Keeps the calls of some macro packages.
#[derive(Debug, Default)]
pub struct Tape {
    packages: Vec<String>,
    taped: Mutex<Taped>,
}

impl Tape {
    /// For the macros of the packages of these names.
    #[must_use]
    pub fn of(packages: Vec<String>) -> Self {
        Self { packages, taped: Mutex::default() }
    }

    /// What is on it up to now.
    pub fn taped(&self) -> MutexGuard<'_, Taped> {
        // Nothing is left half-written by a panic.
        self.taped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wants(&self, request: &[u8]) -> bool {
        Expand::read(request)
            .is_ok_and(|expand| self.packages.iter().any(|package| package == expand.package))
    }

    pub(crate) fn add(&self, request: &[u8], answers: Answers, site: Option<CallSite>, reply: &Reply) {
        let Ok(expand) = Expand::read(request) else { return };
        let of_reply = match reply {
            Reply::Done(bytes) => bytes.len(),
            Reply::Panicked(text) => text.as_ref().map_or(0, String::len),
            Reply::Failed(text) => text.len(),
        };
        let bytes = request.len() + of_reply + answers.bytes();
        let mut taped = self.taped();
        if taped.bytes.saturating_add(bytes) > MAX {
            taped.not_kept += 1;
            return;
        }
        taped.bytes += bytes;
        taped.calls.push(TapedCall {
            macro_name: MacroName::of(&expand),
            request: request.to_vec(),
            answers,
            site,
            reply: reply.clone(),
        });
    }
}
