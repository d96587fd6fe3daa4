//! Tokens in a row: what a macro was given, or what it wrote with its references followed. Spans are left out; what is told of each
//! token is whether it is one that the macro was given.

use std::ops::Range;

use belljar_wire::Malformed;
use belljar_wire::bytes::Reader;
use belljar_wire::tokens::{self, Delimiter, InTree, Input, OutTree, StreamAt};

/// A token, a group's delimiters each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// The text is without `r#`.
    Ident {
        text: &'a str,
        raw: bool,
    },
    /// As rustc prints it.
    Literal(&'a str),
    Punct {
        ch: char,
        /// Whether the next token is a `Punct` that belongs to it.
        joint: bool,
    },
    Open(Delimiter),
    Close(Delimiter),
}

/// Whose a token of an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It is one that the macro was given: the one of that number, all streams of the input in a row.
    Given(u32),
    /// The macro has made it, perhaps with the text of one that it was given.
    Made,
}

/// The most tokens that are put in a row.
const MAX: usize = 2 << 20;

/// The tokens of all streams of an input: that of a derive or function, an attribute's arguments and item.
pub fn input(bytes: &[u8]) -> Result<Vec<Vec<Token<'_>>>, Malformed> {
    let input = Input::read(bytes)?;
    let flat = Flat::of(bytes, &input.streams, input.handles)?;
    Ok((0..input.streams.len()).map(|number| flat.tokens(|flat| flat.stream(number)).to_vec()).collect())
}

/// The tokens of an output, each with whose it is. Both have been checked before; what does not fit all the same is an error.
pub fn output<'a>(input: &'a [u8], output: &'a [u8]) -> Result<Vec<(Token<'a>, Origin)>, Malformed> {
    let streams = Input::read(input)?;
    let flat = Flat::of(input, &streams.streams, streams.handles)?;
    let mut lexed: Vec<Flat<'a>> = Vec::new();
    let mut r = Reader::new(output);
    let derived = tokens::read_derived(&mut r, streams.handles)?.len() as u32;
    // A token takes some six bytes of an output.
    let mut out: Vec<(Token<'a>, Origin)> = Vec::with_capacity(output.len() / 6);
    let mut open: Vec<(usize, Delimiter)> = Vec::new();
    loop {
        while let Some((_, closing)) = open.pop_if(|(end, _)| r.pos() >= *end) {
            out.push((Token::Close(closing), Origin::Made));
        }
        if r.is_empty() {
            return Ok(out);
        }
        if out.len() > MAX {
            return Err(Malformed { expected: "fewer tokens", at: r.pos() });
        }
        let mut given = |range: Range<usize>| {
            let tokens = flat.tokens.get(range.clone()).unwrap_or_default();
            out.extend((range.start as u32..).zip(tokens).map(|(at, token)| (*token, Origin::Given(at))));
        };
        match tokens::read_out(&mut r, streams.handles, derived)? {
            OutTree::RefTree(handle) => given(flat.tree(handle)),
            OutTree::RefContents(handle) => given(flat.contents(handle)),
            OutTree::RefStream(number) => given(flat.stream(number.into())),
            OutTree::Text { lexed: bytes, .. } => {
                let stream = tokens::read_stream(&mut Reader::new(bytes), 0)?;
                lexed.push(Flat::of(bytes, &[stream], stream.handles)?);
            }
            OutTree::LexedTree { text, handle } => {
                made(&mut out, of(&lexed, text)?.tokens(|flat| flat.tree(handle)))
            }
            OutTree::LexedContents { text, handle } => {
                made(&mut out, of(&lexed, text)?.tokens(|flat| flat.contents(handle)))
            }
            OutTree::LexedStream { text } => made(&mut out, of(&lexed, text)?.tokens(|flat| flat.stream(0))),
            OutTree::Ident { text, raw, .. } => made(&mut out, &[Token::Ident { text, raw }]),
            OutTree::Literal { text, .. } => made(&mut out, &[Token::Literal(text)]),
            OutTree::Punct { ch, joint, .. } => made(&mut out, &[Token::Punct { ch: ch.into(), joint }]),
            OutTree::Group { delimiter, end, .. } => {
                made(&mut out, &[Token::Open(delimiter)]);
                open.push((end, delimiter));
            }
        }
    }
}

fn made<'a>(out: &mut Vec<(Token<'a>, Origin)>, tokens: &[Token<'a>]) {
    out.extend(tokens.iter().map(|token| (*token, Origin::Made)));
}

fn of<'f, 'a>(lexed: &'f [Flat<'a>], text: u32) -> Result<&'f Flat<'a>, Malformed> {
    lexed.get(text as usize).ok_or(Malformed { expected: "a number of a text before it", at: 0 })
}

/// The tokens of an input or of a lexed text, with what each handle stands for.
struct Flat<'a> {
    tokens: Vec<Token<'a>>,
    /// For each handle, where its tree begins and ends in `tokens`.
    trees: Vec<(usize, usize)>,
    streams: Vec<(usize, usize)>,
}

impl<'a> Flat<'a> {
    fn of(bytes: &'a [u8], streams: &[StreamAt], handles: u32) -> Result<Self, Malformed> {
        let mut flat =
            Self { tokens: Vec::new(), trees: vec![(0, 0); handles as usize], streams: Vec::new() };
        for stream in streams {
            let began = flat.tokens.len();
            flat.add(bytes, *stream)?;
            flat.streams.push((began, flat.tokens.len()));
        }
        Ok(flat)
    }

    fn add(&mut self, bytes: &'a [u8], stream: StreamAt) -> Result<(), Malformed> {
        // What is read, the next handle, and the group around with what closes it.
        let mut open = vec![(stream.start, stream.end, stream.first_handle, None)];
        while let Some((at, end, handle, around)) = open.pop() {
            let mut r = Reader::at(&bytes[..end.min(bytes.len())], at);
            if r.is_empty() {
                if let Some((group, close)) = around {
                    self.tokens.push(Token::Close(close));
                    self.end(group);
                }
                continue;
            }
            let tree = tokens::read_tree(&mut r, handle)?;
            open.push((r.pos(), end, handle.saturating_add(tree.handles()), around));
            let began = self.tokens.len();
            if let Some(tree) = self.trees.get_mut(handle as usize) {
                *tree = (began, began);
            }
            match tree {
                InTree::Ident { text, raw } => self.tokens.push(Token::Ident { text, raw }),
                InTree::Literal { text } => self.tokens.push(Token::Literal(text)),
                InTree::Punct { ch, joint } => self.tokens.push(Token::Punct { ch: ch.into(), joint }),
                InTree::Group { delimiter, contents } => {
                    self.tokens.push(Token::Open(delimiter));
                    open.push((
                        contents.start,
                        contents.end,
                        contents.first_handle,
                        Some((handle, delimiter)),
                    ));
                    continue;
                }
            }
            self.end(handle);
        }
        Ok(())
    }

    fn end(&mut self, handle: u32) {
        let now = self.tokens.len();
        if let Some(tree) = self.trees.get_mut(handle as usize) {
            tree.1 = now;
        }
    }

    /// What stands at that place.
    fn tokens(&self, place: impl Fn(&Self) -> Range<usize>) -> &[Token<'a>] {
        self.tokens.get(place(self)).unwrap_or_default()
    }

    fn tree(&self, handle: u32) -> Range<usize> {
        self.trees.get(handle as usize).map_or(0..0, |&(from, to)| from..to)
    }

    /// What stands between a group's delimiters.
    fn contents(&self, handle: u32) -> Range<usize> {
        let tree = self.tree(handle);
        if tree.len() < 2 { 0..0 } else { tree.start + 1..tree.end - 1 }
    }

    fn stream(&self, number: usize) -> Range<usize> {
        self.streams.get(number).map_or(0..0, |&(from, to)| from..to)
    }
}
