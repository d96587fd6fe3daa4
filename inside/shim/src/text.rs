//! Texts that the macro has had lexed, as rustc's tokens.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proc_macro::{Group, LexError, TokenStream, TokenTree};

use crate::input::{self, Node};

/// A text's tokens: as bytes, and as what references into the text are answered with.
pub(crate) struct Text {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    stream: ManuallyDrop<TokenStream>,
}

impl Text {
    pub(crate) fn new(stream: TokenStream) -> Self {
        let (bytes, nodes) = input::lexed(stream.clone());
        Self { bytes, nodes, stream: ManuallyDrop::new(stream) }
    }

    /// The stream as the expander writes it, too.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The token of this handle.
    pub(crate) fn tree(&self, handle: u32) -> Option<&TokenTree> {
        input::tree(&self.nodes, handle)
    }

    /// The group of this handle.
    pub(crate) fn group(&self, handle: u32) -> Option<&Group> {
        input::group(&self.nodes, handle)
    }

    /// All of it.
    pub(crate) fn stream(&self) -> TokenStream {
        TokenStream::clone(&self.stream)
    }
}

/// The texts of one expansion. Each is lexed once: rustc keeps what it lexes as a source file, and says again what it has
/// to say about it.
#[derive(Default)]
pub(crate) struct Texts {
    known: HashMap<String, Rc<Text>>,
}

/// Why a text has no tokens.
pub(crate) enum NotLexed {
    Error(LexError),
    /// rustc has reported what is wrong, and panicked.
    Panicked,
}

impl Texts {
    /// Has rustc lex a text, because the macro does.
    pub(crate) fn lex(&mut self, text: &str) -> Result<Rc<Text>, NotLexed> {
        let stream = guarded(|| text.parse())?;
        let lexed = Rc::new(Text::new(stream));
        self.known.insert(text.to_owned(), Rc::clone(&lexed));
        Ok(lexed)
    }

    /// The tokens of a text, if these bytes say what they are.
    pub(crate) fn lexed_to(&mut self, text: &str, bytes: &[u8]) -> Option<Rc<Text>> {
        let lexed = match self.known.get(text) {
            Some(known) => Rc::clone(known),
            None => self.lex(text).ok()?,
        };
        (lexed.bytes == bytes).then_some(lexed)
    }
}

/// Lexes. After an error that is fatal for it, rustc 1.95 panics; later compilers give an error.
pub(crate) fn guarded<T>(lex: impl FnOnce() -> Result<T, LexError>) -> Result<T, NotLexed> {
    match catch_unwind(AssertUnwindSafe(lex)) {
        Ok(lexed) => lexed.map_err(NotLexed::Error),
        Err(_) => Err(NotLexed::Panicked),
    }
}
