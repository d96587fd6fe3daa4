//! The state of the call that runs now: how many handles its input has, the spans it made, the texts it had lexed, the text
//! it wrote.

use std::cell::{Cell, RefCell};

use belljar_wire::tokens::{Derived, WireSpan};

thread_local! {
    static CALL: Call = const {
        Call {
            active: Cell::new(false),
            handles: Cell::new(0),
            derived: RefCell::new(Vec::new()),
            texts: RefCell::new(Vec::new()),
        }
    };
    /// Calls that this instance has seen, the running one included.
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// What is left of the block that new text is copied into.
    static ROOM: Cell<&'static mut [u8]> = const { Cell::new(&mut []) };
}

struct Call {
    active: Cell<bool>,
    handles: Cell<u32>,
    derived: RefCell<Vec<Derived>>,
    texts: RefCell<Vec<Text>>,
}

/// Marks the handles of tokens that were lexed: those of the input are below it. They count up over all texts of a call.
pub(crate) const LEXED: u32 = 1 << 31;

/// A text that was lexed.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub(crate) text: &'static str,
    /// Its stream as the answer gave it.
    pub(crate) lexed: &'static [u8],
    /// Handle of its first token.
    pub(crate) first: u32,
    handles: u32,
}

/// Bytes per block of text. An expansion of some thousand tokens fits into a few.
const BLOCK: usize = 16 * 1024;

/// How far back to look for a span that was made before. Macros make the same one for each token of a run.
const RECENT: usize = 16;

/// Ends the call when dropped, also by a panic.
pub(crate) struct Running(());

impl Drop for Running {
    fn drop(&mut self) {
        CALL.with(|call| call.active.set(false));
    }
}

/// Counts a call of this instance.
#[cfg(target_family = "wasm")]
pub(crate) fn count() {
    CALLS.with(|calls| calls.set(calls.get().wrapping_add(1)));
}

/// How many calls there were before in this instance: none, unless it is kept for all calls of a crate.
pub(crate) fn earlier() -> u32 {
    CALLS.with(|calls| calls.get().saturating_sub(1))
}

/// Begins a call whose input has so many handles.
pub(crate) fn begin(handles: u32) -> Running {
    CALL.with(|call| {
        call.handles.set(handles);
        call.derived.borrow_mut().clear();
        call.texts.borrow_mut().clear();
        call.active.set(true);
    });
    Running(())
}

pub(crate) fn active() -> bool {
    CALL.with(|call| call.active.get())
}

/// Panics as rustc's crate does when no macro runs.
#[inline]
pub(crate) fn require() {
    #[cold]
    fn outside() -> ! {
        panic!("procedural macro API is used outside of a procedural macro")
    }
    if !active() {
        outside()
    }
}

/// The span made in this way; the same one when it was made a short while ago.
pub(crate) fn derive(wanted: Derived) -> WireSpan {
    CALL.with(|call| {
        let mut table = call.derived.borrow_mut();
        let recent = table.len().saturating_sub(RECENT);
        let index = match table[recent..].iter().position(|made| *made == wanted) {
            Some(i) => recent + i,
            None => {
                table.push(wanted);
                table.len() - 1
            }
        };
        WireSpan(2 + call.handles.get() + index as u32)
    })
}

/// Keeps a text and what it was lexed to, and gives the handle of its first token. `None`: there are no handles left.
pub(crate) fn lexed(text: &'static str, lexed: &'static [u8], handles: u32) -> Option<u32> {
    CALL.with(|call| {
        let mut texts = call.texts.borrow_mut();
        let first = texts.last().map_or(LEXED, |last| last.first + last.handles);
        // The last handle stands for none.
        first.checked_add(handles).filter(|&end| end < u32::MAX)?;
        texts.push(Text { text, lexed, first, handles });
        Some(first)
    })
}

/// The text that a lexed token is of, and how many there are before it.
pub(crate) fn text_of(handle: u32) -> Option<(usize, Text)> {
    CALL.with(|call| {
        let texts = call.texts.borrow();
        let n = texts.partition_point(|text| text.first <= handle).checked_sub(1)?;
        Some((n, texts[n]))
    })
}

/// Runs `f` with all spans made so far.
pub(crate) fn with_derived<R>(f: impl FnOnce(&[Derived]) -> R) -> R {
    CALL.with(|call| f(&call.derived.borrow()))
}

/// Copies a text to where it stays.
pub(crate) fn keep(text: &str) -> &'static str {
    let kept = ROOM.with(|room| {
        let mut free = room.take();
        if free.len() < text.len() {
            free = Box::leak(vec![0; BLOCK.max(text.len())].into_boxed_slice());
        }
        let (kept, rest) = free.split_at_mut(text.len());
        kept.copy_from_slice(text.as_bytes());
        room.set(rest);
        kept
    });
    // Never the default: these bytes are a copy of a text.
    std::str::from_utf8(kept).unwrap_or_default()
}
