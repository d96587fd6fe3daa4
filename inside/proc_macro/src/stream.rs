//! [`TokenStream`]: an input not yet read, or pieces put together here; and both of them as bytes.

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
    /// A whole stream that came in. Never without a tree.
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
    /// What stands in the input group whose contents begin with this handle.
    Contents,
    /// A lexed text, or what stands in a group of one: no part of the input.
    Lexed,
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
        Cursor { trees: self.trees, handle: self.handle, lexed: self.whole == Whole::Lexed }
    }
}

/// Reads the trees of an [`Unread`] one by one.
#[derive(Clone)]
struct Cursor {
    trees: &'static [u8],
    handle: u32,
    lexed: bool,
}

impl Cursor {
    const END: Cursor = Cursor { trees: &[], handle: 0, lexed: true };

    fn next(&mut self) -> Option<TokenTree> {
        if self.trees.is_empty() {
            return None;
        }
        let mut r = Reader::new(self.trees);
        let tree = tokens::read_tree(&mut r, self.handle).unwrap_or_else(|e| host::bad_answer(&e));
        let (handle, wire) = if self.lexed {
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
                let whole = if self.lexed { Whole::Lexed } else { Whole::Contents };
                let contents = Unread::new(self.trees, &contents, whole);
                TokenTree::Group(Group::read(delimiter, contents.stream(), wire, handle))
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
    let mut out = OutputWriter::new();
    stream.write(&mut out);
    call::with_derived(|derived| out.finish(derived))
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

    fn write(&self, out: &mut OutputWriter) {
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
    fn write(self, out: &mut OutputWriter) {
        match self.whole {
            Whole::Stream(n) => out.ref_stream(n),
            Whole::Contents => out.ref_contents(self.handle.wrapping_sub(3)),
            Whole::Lexed => {
                let mut trees = self.read();
                while let Some(tree) = trees.next() {
                    tree.write(out);
                }
            }
        }
    }
}

impl TokenTree {
    fn write(&self, out: &mut OutputWriter) {
        match self {
            TokenTree::Group(group) => group.write(out),
            TokenTree::Ident(t) => match t.input_handle() {
                Some(handle) => out.ref_tree(handle),
                None => out.ident(t.text, t.raw, t.span.wire),
            },
            TokenTree::Punct(t) => match t.input_handle() {
                Some(handle) => out.ref_tree(handle),
                None => out.punct(t.ch, t.joint, t.span.wire),
            },
            TokenTree::Literal(t) => t.write(out),
        }
    }
}

impl Literal {
    fn write(&self, out: &mut OutputWriter) {
        match self.input_handle() {
            Some(handle) => out.ref_tree(handle),
            None => out.literal(self.text, self.span.wire),
        }
    }
}

impl Group {
    fn write(&self, out: &mut OutputWriter) {
        if let Some(handle) = self.input_handle() {
            return out.ref_tree(handle);
        }
        let begun = out.begin_group(self.delimiter.to_wire(), self.entire);
        self.stream.write(out);
        out.end_group(begun);
    }
}

/// Why a text is no token stream or literal.
#[non_exhaustive]
pub struct LexError {
    message: String,
    /// Neither `Send` nor `Sync`, as in the compiler's crate.
    local: PhantomData<*const ()>,
}

impl fmt::Debug for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LexError").field(&self.message).finish()
    }
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for LexError {}

/// Asks for the tokens of a text. All get the call site's span.
pub(crate) fn lex(about: u8, text: &str) -> Result<TokenStream, LexError> {
    call::require();
    let mut question = Writer::with_capacity(text.len() + 1);
    question.u8(about);
    question.raw(text.as_bytes());
    let answer: &'static [u8] = host::ask(question.as_bytes()).leak();
    let mut r = Reader::new(answer);
    let read = r
        .u8()
        .and_then(|ok| if ok == 0 { r.text().map(Err) } else { tokens::read_stream(&mut r, 0).map(Ok) });
    match read.unwrap_or_else(|e| host::bad_answer(&e)) {
        Ok(at) => Ok(Unread::new(answer, &at, Whole::Lexed).stream()),
        Err(why) => Err(LexError { message: why.to_owned(), local: PhantomData }),
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
        lex(question::LEX_STREAM, src)
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
