//! [`TokenStream`]: an input or a lexed text not yet read, or pieces put together here; and all of them as bytes.

use std::marker::PhantomData;
use std::rc::Rc;
use std::str::FromStr;
use std::{error, fmt};

use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::tokens::{self, InTree, Input, OutputWriter, StreamAt, WireSpan};

use crate::tree::NOT_INPUT;
use crate::{Group, Ident, Literal, Punct, Span, TokenTree, call, host, lexeme, print};

/// A sequence of token trees.
#[derive(Clone, Default)]
pub struct TokenStream(pub(crate) Repr);

#[derive(Clone, Default)]
pub(crate) enum Repr {
    #[default]
    Empty,
    /// Never without a tree.
    Unread(Unread),
    /// Never without a piece.
    Made(Rc<Vec<Piece>>),
}

/// A part of a stream that was put together here.
#[derive(Clone)]
pub(crate) enum Piece {
    Tree(TokenTree),
    /// A number below zero. rustc makes two tokens of it as soon as it is in a stream, and remembers only for printing
    /// that there is no space between them.
    Negative(Literal),
    /// A whole stream that came in or was lexed. Never without a tree.
    Unread(Unread),
}

/// Trees as bytes, complete in themselves.
#[derive(Clone, Copy)]
pub(crate) struct Unread {
    trees: &'static [u8],
    /// Handle of the first tree.
    handle: u32,
    pub(crate) whole: Whole,
}

/// What an [`Unread`] is the whole of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    /// The input stream of this number.
    Stream(u8),
    /// A lexed text.
    Text,
    /// What stands in the group, of the input or a text, whose contents begin with this handle.
    Contents,
}

impl Unread {
    fn new(bytes: &'static [u8], at: &StreamAt, whole: Whole) -> Unread {
        let trees = bytes.get(at.start..at.end).unwrap_or_default();
        Unread { trees, handle: at.first_handle, whole }
    }

    fn stream(self) -> TokenStream {
        TokenStream(if self.trees.is_empty() { Repr::Empty } else { Repr::Unread(self) })
    }

    fn read(self) -> Cursor {
        Cursor { trees: self.trees, handle: self.handle }
    }
}

/// Reads the trees of an [`Unread`] one by one.
#[derive(Clone)]
struct Cursor {
    trees: &'static [u8],
    handle: u32,
}

impl Cursor {
    const END: Cursor = Cursor { trees: &[], handle: 0 };

    fn next(&mut self) -> Option<TokenTree> {
        if self.trees.is_empty() {
            return None;
        }
        let mut r = Reader::new(self.trees);
        let tree = tokens::read_tree(&mut r, self.handle).unwrap_or_else(|e| host::bad_answer(&e));
        // A single lexed token is what the same token is that was made here: its handle is of no use.
        let (handle, wire) = if self.handle >= call::LEXED {
            (NOT_INPUT, WireSpan::CALL_SITE)
        } else {
            (self.handle, WireSpan::of_handle(self.handle))
        };
        let span = Span::from_wire(wire);
        let made = match tree {
            InTree::Ident { text, raw } => TokenTree::Ident(Ident { text, raw, span, handle }),
            InTree::Literal { text } => TokenTree::Literal(Literal { text, float: false, span, handle }),
            InTree::Punct { ch, joint } => TokenTree::Punct(Punct { ch, joint, span, handle }),
            InTree::Group { delimiter, contents } => {
                let contents = Unread::new(self.trees, &contents, Whole::Contents);
                TokenTree::Group(Group::read(delimiter, contents.stream(), wire, self.handle))
            }
        };
        self.handle = self.handle.wrapping_add(tree.handles());
        self.trees = &self.trees[r.pos()..];
        Some(made)
    }

    /// How many trees are left.
    fn count(&self) -> usize {
        let mut r = Reader::new(self.trees);
        let mut n = 0;
        while !r.is_empty() && tokens::read_tree(&mut r, 0).is_ok() {
            n += 1;
        }
        n
    }
}

/// The streams of an input.
pub(crate) fn of_input<'a>(
    bytes: &'static [u8],
    read: &'a Input,
) -> impl Iterator<Item = TokenStream> + use<'a> {
    let numbered = (0u8..).zip(&read.streams);
    numbered.map(move |(n, at)| Unread::new(bytes, at, Whole::Stream(n)).stream())
}

/// The output for a stream.
pub(crate) fn to_output(stream: &TokenStream) -> Vec<u8> {
    let mut out = Output { tokens: OutputWriter::new(), texts: Vec::new(), named: 0 };
    stream.write(&mut out);
    call::with_derived(|derived| out.tokens.finish(derived))
}

/// An output being written.
struct Output {
    tokens: OutputWriter,
    /// For each text of the call its number in this output, [`UNNAMED`] if it has none yet. Only as long as needed.
    texts: Vec<u32>,
    /// Texts that have a number.
    named: u32,
}

const UNNAMED: u32 = u32::MAX;

impl Output {
    /// What a lexed token is called in this output: its text and its handle there.
    fn lexed(&mut self, handle: u32) -> (u32, u32) {
        let Some((n, text)) = call::text_of(handle) else {
            panic!("belljar: a token of another call was returned");
        };
        if self.texts.len() <= n {
            self.texts.resize(n + 1, UNNAMED);
        }
        if self.texts[n] == UNNAMED {
            self.tokens.text(text.text, text.lexed);
            self.texts[n] = self.named;
            self.named += 1;
        }
        (self.texts[n], handle - text.first)
    }
}

impl TokenStream {
    /// An empty stream.
    pub fn new() -> TokenStream {
        TokenStream(Repr::Empty)
    }

    /// Has it no trees?
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    fn of_pieces(pieces: Vec<Piece>) -> TokenStream {
        TokenStream(if pieces.is_empty() { Repr::Empty } else { Repr::Made(Rc::new(pieces)) })
    }

    /// The pieces, to add to. The stream is empty until they are put back.
    fn take_pieces(&mut self) -> Vec<Piece> {
        match std::mem::take(&mut self.0) {
            Repr::Empty => Vec::new(),
            Repr::Unread(unread) => vec![Piece::Unread(unread)],
            Repr::Made(pieces) => Rc::unwrap_or_clone(pieces),
        }
    }

    fn append_to(self, pieces: &mut Vec<Piece>) {
        match self.0 {
            Repr::Empty => {}
            Repr::Unread(unread) => pieces.push(Piece::Unread(unread)),
            Repr::Made(made) => match Rc::try_unwrap(made) {
                Ok(mut own) => pieces.append(&mut own),
                Err(shared) => pieces.extend_from_slice(&shared),
            },
        }
    }

    fn write(&self, out: &mut Output) {
        match &self.0 {
            Repr::Empty => {}
            Repr::Unread(unread) => unread.write(out),
            Repr::Made(pieces) => {
                for piece in &**pieces {
                    match piece {
                        Piece::Tree(tree) => tree.write(out),
                        Piece::Negative(literal) => literal.write(out),
                        Piece::Unread(unread) => unread.write(out),
                    }
                }
            }
        }
    }

    /// rustc's own printing, for what holds parts whose spaces are not known here.
    fn ask_to_print(&self) -> String {
        let mut question = Writer::new();
        question.u8(question::PRINT);
        question.raw(&to_output(self));
        let answer = host::ask(question.as_bytes());
        Reader::new(&answer).text().unwrap_or_else(|e| host::bad_answer(&e)).to_owned()
    }
}

impl Unread {
    fn write(self, out: &mut Output) {
        match self.whole {
            Whole::Stream(n) => out.tokens.ref_stream(n),
            Whole::Text => {
                let (text, _) = out.lexed(self.handle);
                out.tokens.lexed_stream(text);
            }
            Whole::Contents if self.handle >= call::LEXED => {
                let (text, handle) = out.lexed(self.handle.wrapping_sub(3));
                out.tokens.lexed_contents(text, handle);
            }
            Whole::Contents => out.tokens.ref_contents(self.handle.wrapping_sub(3)),
        }
    }
}

impl TokenTree {
    fn write(&self, out: &mut Output) {
        match self {
            TokenTree::Group(group) => group.write(out),
            TokenTree::Ident(t) => match t.input_handle() {
                Some(handle) => out.tokens.ref_tree(handle),
                None => out.tokens.ident(t.text, t.raw, t.span.wire),
            },
            TokenTree::Punct(t) => match t.input_handle() {
                Some(handle) => out.tokens.ref_tree(handle),
                None => out.tokens.punct(t.ch, t.joint, t.span.wire),
            },
            TokenTree::Literal(t) => t.write(out),
        }
    }
}

impl Literal {
    fn write(&self, out: &mut Output) {
        match self.input_handle() {
            Some(handle) => out.tokens.ref_tree(handle),
            None => out.tokens.literal(self.text, self.span.wire),
        }
    }
}

impl Group {
    fn write(&self, out: &mut Output) {
        if let Some(handle) = self.input_handle() {
            return out.tokens.ref_tree(handle);
        }
        if let Some(handle) = self.lexed_handle() {
            let (text, handle) = out.lexed(handle);
            return out.tokens.lexed_tree(text, handle);
        }
        let begun = out.tokens.begin_group(self.delimiter.to_wire(), self.entire);
        self.stream.write(out);
        out.tokens.end_group(begun);
    }
}

/// Why a text is no token stream or literal.
#[non_exhaustive]
pub struct LexError {
    message: String,
    /// rustc panicked in the place of this error.
    panics: bool,
    /// Neither `Send` nor `Sync`, as in the compiler's crate.
    local: PhantomData<*const ()>,
}

impl LexError {
    fn new(why: &str) -> LexError {
        LexError { message: why.to_owned(), panics: false, local: PhantomData }
    }
}

impl fmt::Debug for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.panics {
            host::panic_without_message();
        }
        f.debug_tuple("LexError").field(&self.message).finish()
    }
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for LexError {}

/// Asks whether a text is lexed, and to what: the answer, and the stream in it.
fn ask_to_lex(question: &[u8]) -> Result<(&'static [u8], StreamAt), LexError> {
    let answer: &'static [u8] = host::ask(question).leak();
    let mut r = Reader::new(answer);
    let read = r.u8().and_then(|how| match how {
        0 => r.text().map(|why| Err(LexError::new(why))),
        1 => tokens::read_stream(&mut r, 0).map(Ok),
        _ => Ok(Err(lexer_panicked())),
    });
    Ok((answer, read.unwrap_or_else(|e| host::bad_answer(&e))?))
}

/// Asks for the tokens of a text. All get the call site's span.
fn lex(text: &str) -> Result<TokenStream, LexError> {
    let mut question = Writer::with_capacity(text.len() + 1);
    question.u8(question::LEX_STREAM);
    question.raw(text.as_bytes());
    let (answer, mut at) = ask_to_lex(question.as_bytes())?;
    if at.handles > 1 {
        let question: &'static [u8] = question.into_bytes().leak();
        let text = std::str::from_utf8(&question[1..]).unwrap_or_default();
        if let Some(first) = call::lexed(text, &answer[1..], at.handles) {
            at.first_handle = first;
            return Ok(Unread::new(answer, &at, Whole::Text).stream());
        }
    }
    // One token is the same whoever makes it.
    let mut trees = Cursor { trees: answer.get(at.start..at.end).unwrap_or_default(), handle: call::LEXED };
    Ok(std::iter::from_fn(|| trees.next()).collect())
}

/// Asks whether a text is a literal.
pub(crate) fn lex_literal(text: &str) -> Result<(), LexError> {
    let mut question = Writer::with_capacity(text.len() + 1);
    question.u8(question::LEX_LITERAL);
    question.raw(text.as_bytes());
    ask_to_lex(question.as_bytes()).map(drop)
}

/// After an error that is fatal for its lexer, rustc 1.95 panics, without a message. Where a panic can't be caught, a macro
/// can still have done that to go on with an error, as older versions of proc-macro2 do: such a macro gets the error. One
/// that shows the error for its author, as `unwrap` does, did not expect it, and panics then.
fn lexer_panicked() -> LexError {
    if host::PANICS_ABORT {
        LexError {
            message: "cannot parse string into token stream".to_owned(),
            panics: true,
            local: PhantomData,
        }
    } else {
        // What rustc's crate makes of a panic that it can't pass on.
        struct NoMessage;
        std::panic::panic_any(NoMessage)
    }
}

/// Breaks a text into tokens, all at the call site.
impl FromStr for TokenStream {
    type Err = LexError;

    fn from_str(src: &str) -> Result<TokenStream, LexError> {
        call::require();
        // quote asks for each literal in its templates: don't leave the module for those.
        if let Some(tree) = lexeme::obvious(src) {
            return Ok(TokenStream::from(tree));
        }
        lex(src)
    }
}

/// Prints the stream as rustc does.
impl fmt::Display for TokenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        match print::stream(self) {
            Some(text) => f.write_str(&text),
            None => f.write_str(&self.ask_to_print()),
        }
    }
}

impl fmt::Debug for TokenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenStream ")?;
        f.debug_list().entries(self.clone()).finish()
    }
}

fn piece(tree: TokenTree) -> Piece {
    match tree {
        TokenTree::Literal(literal) if literal.is_negative() => Piece::Negative(literal),
        tree => Piece::Tree(tree),
    }
}

impl From<TokenTree> for TokenStream {
    fn from(tree: TokenTree) -> TokenStream {
        TokenStream::of_pieces(vec![piece(tree)])
    }
}

impl FromIterator<TokenTree> for TokenStream {
    fn from_iter<I: IntoIterator<Item = TokenTree>>(trees: I) -> Self {
        TokenStream::of_pieces(trees.into_iter().map(piece).collect())
    }
}

impl FromIterator<TokenStream> for TokenStream {
    fn from_iter<I: IntoIterator<Item = TokenStream>>(streams: I) -> Self {
        let mut whole = TokenStream::new();
        whole.extend(streams);
        whole
    }
}

impl Extend<TokenTree> for TokenStream {
    fn extend<I: IntoIterator<Item = TokenTree>>(&mut self, trees: I) {
        let mut trees = trees.into_iter().map(piece).peekable();
        if trees.peek().is_none() {
            return;
        }
        match &mut self.0 {
            Repr::Made(pieces) => Rc::make_mut(pieces).extend(trees),
            _ => {
                let mut pieces = self.take_pieces();
                pieces.extend(trees);
                *self = TokenStream::of_pieces(pieces);
            }
        }
    }
}

impl Extend<TokenStream> for TokenStream {
    fn extend<I: IntoIterator<Item = TokenStream>>(&mut self, streams: I) {
        for stream in streams {
            if self.is_empty() {
                *self = stream;
            } else if !stream.is_empty() {
                let mut pieces = self.take_pieces();
                stream.append_to(&mut pieces);
                *self = TokenStream::of_pieces(pieces);
            }
        }
    }
}

macro_rules! extend_by_leaves {
    ($($leaf:ident)*) => {
        $(impl Extend<$leaf> for TokenStream {
            fn extend<I: IntoIterator<Item = $leaf>>(&mut self, leaves: I) {
                self.extend(leaves.into_iter().map(TokenTree::$leaf));
            }
        })*
    };
}

extend_by_leaves!(Group Literal Punct Ident);

/// The trees of a stream, one by one; a group is one tree.
#[derive(Clone)]
pub struct IntoIter {
    pieces: Pieces,
    /// Trees of the unread piece that is being read.
    unread: Cursor,
    /// The number that belongs to the `-` given out last.
    number: Option<Literal>,
}

#[derive(Clone)]
enum Pieces {
    Own(std::vec::IntoIter<Piece>),
    Shared(Rc<Vec<Piece>>, usize),
}

impl Pieces {
    fn next(&mut self) -> Option<Piece> {
        match self {
            Pieces::Own(pieces) => pieces.next(),
            Pieces::Shared(pieces, at) => {
                let piece = pieces.get(*at)?.clone();
                *at += 1;
                Some(piece)
            }
        }
    }

    fn rest(&self) -> &[Piece] {
        match self {
            Pieces::Own(pieces) => pieces.as_slice(),
            Pieces::Shared(pieces, at) => pieces.get(*at..).unwrap_or_default(),
        }
    }
}

impl Iterator for IntoIter {
    type Item = TokenTree;

    #[inline]
    fn next(&mut self) -> Option<TokenTree> {
        loop {
            if let Some(tree) = self.unread.next() {
                return Some(tree);
            }
            if let Some(number) = self.number.take() {
                return Some(TokenTree::Literal(number));
            }
            match self.pieces.next()? {
                Piece::Tree(tree) => return Some(tree),
                Piece::Unread(unread) => self.unread = unread.read(),
                Piece::Negative(literal) => {
                    let (minus, number) = split_negative(literal);
                    self.number = Some(number);
                    return Some(TokenTree::Punct(minus));
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let pieces = self.pieces.rest().iter().map(|piece| match piece {
            Piece::Tree(_) => 1,
            Piece::Negative(_) => 2,
            Piece::Unread(unread) => unread.read().count(),
        });
        let n = self.unread.count() + usize::from(self.number.is_some()) + pieces.sum::<usize>();
        (n, Some(n))
    }

    fn count(self) -> usize {
        self.size_hint().0
    }
}

impl IntoIterator for TokenStream {
    type Item = TokenTree;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        let (pieces, unread) = match self.0 {
            Repr::Empty => (Pieces::Own(Vec::new().into_iter()), Cursor::END),
            Repr::Unread(unread) => (Pieces::Own(Vec::new().into_iter()), unread.read()),
            Repr::Made(pieces) => {
                let pieces = Rc::try_unwrap(pieces)
                    .map_or_else(|shared| Pieces::Shared(shared, 0), |own| Pieces::Own(own.into_iter()));
                (pieces, Cursor::END)
            }
        };
        IntoIter { pieces, unread, number: None }
    }
}

/// The two tokens that rustc makes of a number below zero (`to_internal` in `proc_macro_server.rs`).
fn split_negative(literal: Literal) -> (Punct, Literal) {
    let minus = Punct { ch: b'-', joint: false, span: literal.span, handle: NOT_INPUT };
    let text = literal.text.strip_prefix('-').unwrap_or(literal.text);
    (minus, Literal { text, handle: NOT_INPUT, ..literal })
}
