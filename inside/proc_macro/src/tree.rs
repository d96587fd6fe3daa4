//! [`TokenTree`] and its kinds but literals.

use std::fmt;

use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::tokens::{self, PUNCT_CHARS, WireSpan};

use crate::{Literal, Span, TokenStream, call, host, lexeme};

/// In the place of a handle: this token is none of the input's, nor a group of a lexed text.
pub(crate) const NOT_INPUT: u32 = u32::MAX;

/// The handle of a token that still has the span it came with. Its text can't have changed.
macro_rules! input_handle {
    () => {
        pub(crate) fn input_handle(&self) -> Option<u32> {
            let same = self.handle != $crate::tree::NOT_INPUT
                && self.span.wire == belljar_wire::tokens::WireSpan::of_handle(self.handle);
            same.then_some(self.handle)
        }
    };
}
pub(crate) use input_handle;

/// One token, or the tokens between two delimiters.
#[derive(Clone)]
pub enum TokenTree {
    /// Tokens between two delimiters.
    Group(Group),
    /// An identifier or keyword.
    Ident(Ident),
    /// One punctuation character.
    Punct(Punct),
    /// A number, character or string.
    Literal(Literal),
}

impl TokenTree {
    /// The token's or the whole group's span.
    pub fn span(&self) -> Span {
        match self {
            TokenTree::Group(t) => t.span(),
            TokenTree::Ident(t) => t.span(),
            TokenTree::Punct(t) => t.span(),
            TokenTree::Literal(t) => t.span(),
        }
    }

    /// Sets the span of this token only: of a group, that of its delimiters.
    pub fn set_span(&mut self, span: Span) {
        match self {
            TokenTree::Group(t) => t.set_span(span),
            TokenTree::Ident(t) => t.set_span(span),
            TokenTree::Punct(t) => t.set_span(span),
            TokenTree::Literal(t) => t.set_span(span),
        }
    }
}

impl fmt::Debug for TokenTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenTree::Group(t) => t.fmt(f),
            TokenTree::Ident(t) => t.fmt(f),
            TokenTree::Punct(t) => t.fmt(f),
            TokenTree::Literal(t) => t.fmt(f),
        }
    }
}

/// Prints the tree as rustc does. Widths and the like are not passed on, as there.
impl fmt::Display for TokenTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenTree::Group(t) => write!(f, "{t}"),
            TokenTree::Ident(t) => write!(f, "{t}"),
            TokenTree::Punct(t) => write!(f, "{t}"),
            TokenTree::Literal(t) => write!(f, "{t}"),
        }
    }
}

macro_rules! tree_from {
    ($($kind:ident)*) => {
        $(impl From<$kind> for TokenTree {
            fn from(tree: $kind) -> TokenTree {
                TokenTree::$kind(tree)
            }
        })*
    };
}

tree_from!(Group Ident Punct Literal);

/// How a group is delimited.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// `( ... )`
    Parenthesis,
    /// `{ ... }`
    Brace,
    /// `[ ... ]`
    Bracket,
    /// Nothing that is seen; around what came from a `$variable` of `macro_rules`, for example.
    None,
}

impl Delimiter {
    pub(crate) fn to_wire(self) -> tokens::Delimiter {
        match self {
            Delimiter::Parenthesis => tokens::Delimiter::Parenthesis,
            Delimiter::Brace => tokens::Delimiter::Brace,
            Delimiter::Bracket => tokens::Delimiter::Bracket,
            Delimiter::None => tokens::Delimiter::None,
        }
    }

    fn from_wire(delimiter: tokens::Delimiter) -> Delimiter {
        match delimiter {
            tokens::Delimiter::Parenthesis => Delimiter::Parenthesis,
            tokens::Delimiter::Brace => Delimiter::Brace,
            tokens::Delimiter::Bracket => Delimiter::Bracket,
            tokens::Delimiter::None => Delimiter::None,
        }
    }
}

/// A delimited stream.
#[derive(Clone)]
pub struct Group {
    pub(crate) delimiter: Delimiter,
    pub(crate) stream: TokenStream,
    pub(crate) entire: WireSpan,
    open: WireSpan,
    close: WireSpan,
    handle: u32,
}

impl Group {
    /// A group at the call site.
    pub fn new(delimiter: Delimiter, stream: TokenStream) -> Group {
        let span = Span::call_site().wire;
        Group { delimiter, stream, entire: span, open: span, close: span, handle: NOT_INPUT }
    }

    /// A group that was read, from the input or from a lexed text.
    pub(crate) fn read(
        delimiter: tokens::Delimiter,
        stream: TokenStream,
        entire: WireSpan,
        handle: u32,
    ) -> Group {
        let delimiter = Delimiter::from_wire(delimiter);
        let (open, close) = if handle >= call::LEXED { (entire, entire) } else { delimiter_spans(handle) };
        Group { delimiter, stream, entire, open, close, handle }
    }

    /// The delimiter.
    pub fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// What stands between the delimiters.
    pub fn stream(&self) -> TokenStream {
        self.stream.clone()
    }

    /// The span of the whole group.
    pub fn span(&self) -> Span {
        Span::from_wire(self.entire)
    }

    /// The span of the opening delimiter.
    pub fn span_open(&self) -> Span {
        Span::from_wire(self.open)
    }

    /// The span of the closing delimiter.
    pub fn span_close(&self) -> Span {
        Span::from_wire(self.close)
    }

    /// Sets the span of the delimiters and the whole, not of what stands between.
    pub fn set_span(&mut self, span: Span) {
        self.entire = span.wire;
        self.open = span.wire;
        self.close = span.wire;
    }

    /// The group's handle if it is the input's group as it came.
    pub(crate) fn input_handle(&self) -> Option<u32> {
        let same = self.handle < call::LEXED
            && self.entire == WireSpan::of_handle(self.handle)
            && (self.open, self.close) == delimiter_spans(self.handle);
        same.then_some(self.handle)
    }

    /// The group's handle if it is a lexed group as it came.
    pub(crate) fn lexed_handle(&self) -> Option<u32> {
        let same = (call::LEXED..NOT_INPUT).contains(&self.handle)
            && [self.entire, self.open, self.close] == [WireSpan::CALL_SITE; 3];
        same.then_some(self.handle)
    }
}

/// The spans of an input group's delimiters: their handles follow its own.
fn delimiter_spans(handle: u32) -> (WireSpan, WireSpan) {
    (WireSpan::of_handle(handle.wrapping_add(1)), WireSpan::of_handle(handle.wrapping_add(2)))
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", TokenStream::from(TokenTree::from(self.clone())))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("delimiter", &self.delimiter())
            .field("stream", &self.stream())
            .field("span", &self.span())
            .finish()
    }
}

/// One punctuation character. An operator of several is several of them.
#[derive(Clone)]
pub struct Punct {
    pub(crate) ch: u8,
    pub(crate) joint: bool,
    pub(crate) span: Span,
    pub(crate) handle: u32,
}

/// Does a punctuation character belong together with what follows it?
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// It may form an operator with the next punctuation character, or a lifetime with the next identifier.
    Joint,
    /// It stands for itself.
    Alone,
}

impl Punct {
    /// A punctuation character at the call site. Panics if it is none.
    pub fn new(ch: char, spacing: Spacing) -> Punct {
        let ch = match u8::try_from(ch) {
            Ok(byte) if PUNCT_CHARS.contains(&byte) => byte,
            _ => panic!("unsupported character `{ch:?}`"),
        };
        Punct { ch, joint: spacing == Spacing::Joint, span: Span::call_site(), handle: NOT_INPUT }
    }

    /// The character.
    pub fn as_char(&self) -> char {
        char::from(self.ch)
    }

    /// Whether it belongs together with what follows.
    pub fn spacing(&self) -> Spacing {
        if self.joint { Spacing::Joint } else { Spacing::Alone }
    }

    /// The span.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Sets the span.
    pub fn set_span(&mut self, span: Span) {
        self.span = span;
    }

    input_handle!();
}

impl fmt::Display for Punct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

impl fmt::Debug for Punct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Punct")
            .field("ch", &self.as_char())
            .field("spacing", &self.spacing())
            .field("span", &self.span())
            .finish()
    }
}

impl PartialEq<char> for Punct {
    fn eq(&self, rhs: &char) -> bool {
        self.as_char() == *rhs
    }
}

impl PartialEq<Punct> for char {
    fn eq(&self, rhs: &Punct) -> bool {
        *self == rhs.as_char()
    }
}

/// An identifier or keyword.
#[derive(Clone)]
pub struct Ident {
    /// Without `r#`.
    pub(crate) text: &'static str,
    pub(crate) raw: bool,
    pub(crate) span: Span,
    pub(crate) handle: u32,
}

impl Ident {
    /// An identifier or keyword. Panics if the text is none.
    pub fn new(string: &str, span: Span) -> Ident {
        Ident { text: name(string, false), raw: false, span, handle: NOT_INPUT }
    }

    /// A raw identifier, its text given without `r#`. Panics if the text is none or can't be raw.
    pub fn new_raw(string: &str, span: Span) -> Ident {
        Ident { text: name(string, true), raw: true, span, handle: NOT_INPUT }
    }

    /// The span.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Sets the span, and with it how the name resolves.
    pub fn set_span(&mut self, span: Span) {
        self.span = span;
    }

    input_handle!();
}

/// Checks an identifier and keeps it, in Unicode's normal form C as everywhere in rustc (`Symbol::new_ident` in
/// `library/proc_macro/src/bridge/symbol.rs`).
fn name(string: &str, raw: bool) -> &'static str {
    if lexeme::is_ascii_ident(string) || string == "$crate" {
        if raw && matches!(string, "_" | "super" | "self" | "Self" | "crate" | "$crate") {
            panic!("`{string}` cannot be a raw identifier");
        }
        return call::keep(string);
    }
    non_ascii_name(string).unwrap_or_else(|| panic!("`{string:?}` is not a valid identifier"))
}

/// rustc knows the tables.
fn non_ascii_name(string: &str) -> Option<&'static str> {
    if string.is_ascii() {
        return None;
    }
    let mut question = Writer::with_capacity(string.len() + 1);
    question.u8(question::NAME);
    question.raw(string.as_bytes());
    let answer = host::ask(question.as_bytes());
    let mut r = Reader::new(&answer);
    let read = r.u8().and_then(|is| if is == 0 { Ok(None) } else { r.text().map(Some) });
    read.unwrap_or_else(|e| host::bad_answer(&e)).map(call::keep)
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.raw {
            f.write_str("r#")?;
        }
        fmt::Display::fmt(self.text, f)
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ident").field("ident", &self.to_string()).field("span", &self.span()).finish()
    }
}
