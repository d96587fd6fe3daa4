//! rustc's token streams to flat bytes, keeping every token under its handle.

use std::fmt::Write as _;
use std::mem::ManuallyDrop;

use belljar_wire::tokens::{self, InputWriter};
use proc_macro::{Delimiter, Group, Spacing, Span, TokenStream, TokenTree};

/// What a handle stands for. Tokens are not dropped one by one: dropping a group is a call to the compiler, and the
/// compiler frees all that an expansion held when the expansion ends.
pub(crate) enum Node {
    Tree(ManuallyDrop<TokenTree>),
    /// The opening or closing delimiter of the group before it.
    Delimiter(Span),
}

/// The input of one expansion: as bytes for the guest, and as the tokens that references are answered with.
pub(crate) struct Input {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    streams: Vec<ManuallyDrop<TokenStream>>,
}

impl Input {
    pub(crate) fn new(streams: &[TokenStream]) -> Self {
        let mut flat = Flattener {
            out: InputWriter::new(streams.len() as u16),
            nodes: Vec::with_capacity(256),
            text: String::with_capacity(64),
        };
        for stream in streams {
            flat.stream(stream.clone());
        }
        let streams = streams.iter().cloned().map(ManuallyDrop::new).collect();
        Self { bytes: flat.out.into_bytes(), nodes: flat.nodes, streams }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn handles(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// The token of this handle, as it came.
    pub(crate) fn tree(&self, handle: u32) -> Option<&TokenTree> {
        tree(&self.nodes, handle)
    }

    /// The group of this handle.
    pub(crate) fn group(&self, handle: u32) -> Option<&Group> {
        group(&self.nodes, handle)
    }

    /// The whole stream of this number.
    pub(crate) fn stream(&self, number: u8) -> Option<TokenStream> {
        self.streams.get(usize::from(number)).map(|stream| TokenStream::clone(stream))
    }

    /// The span of the token or delimiter with this handle.
    pub(crate) fn span(&self, handle: u32) -> Option<Span> {
        Some(match self.nodes.get(handle as usize)? {
            Node::Tree(tree) => tree.span(),
            Node::Delimiter(span) => *span,
        })
    }
}

/// The token of this handle.
pub(crate) fn tree(nodes: &[Node], handle: u32) -> Option<&TokenTree> {
    match nodes.get(handle as usize)? {
        Node::Tree(tree) => Some(tree),
        Node::Delimiter(_) => None,
    }
}

/// The group of this handle.
pub(crate) fn group(nodes: &[Node], handle: u32) -> Option<&Group> {
    match tree(nodes, handle)? {
        TokenTree::Group(group) => Some(group),
        _ => None,
    }
}

/// A stream that was lexed from a text: as bytes, and by handle.
pub(crate) fn lexed(stream: TokenStream) -> (Vec<u8>, Vec<Node>) {
    let mut flat = Flattener { out: InputWriter::lexed(), nodes: Vec::new(), text: String::new() };
    flat.stream(stream);
    (flat.out.into_bytes(), flat.nodes)
}

struct Flattener {
    out: InputWriter,
    nodes: Vec<Node>,
    /// Reused for the text of each identifier and literal.
    text: String,
}

impl Flattener {
    /// Iterative: nesting costs no stack of the compiler's.
    fn stream(&mut self, stream: TokenStream) {
        self.out.begin_stream();
        let mut open = vec![stream.into_iter()];
        while let Some(trees) = open.last_mut() {
            let Some(tree) = trees.next() else {
                self.out.end_stream();
                open.pop();
                continue;
            };
            let mut delimiters = None;
            match &tree {
                TokenTree::Ident(ident) => {
                    // Formatting an identifier or a literal can't fail: writing to a `String` doesn't.
                    self.text.clear();
                    let _ = write!(self.text, "{ident}");
                    match self.text.strip_prefix("r#") {
                        Some(name) => self.out.ident(name, true),
                        None => self.out.ident(&self.text, false),
                    };
                }
                TokenTree::Punct(punct) => {
                    // rustc's punctuation is ASCII (`PUNCT_CHARS`).
                    self.out.punct(punct.as_char() as u8, punct.spacing() == Spacing::Joint);
                }
                TokenTree::Literal(literal) => {
                    self.text.clear();
                    let _ = write!(self.text, "{literal}");
                    self.out.literal(&self.text);
                }
                TokenTree::Group(group) => {
                    self.out.begin_group(delimiter(group.delimiter()));
                    open.push(group.stream().into_iter());
                    delimiters = Some((group.span_open(), group.span_close()));
                }
            }
            self.nodes.push(Node::Tree(ManuallyDrop::new(tree)));
            if let Some((opening, closing)) = delimiters {
                self.nodes.extend([Node::Delimiter(opening), Node::Delimiter(closing)]);
            }
        }
    }
}

fn delimiter(delimiter: Delimiter) -> tokens::Delimiter {
    match delimiter {
        Delimiter::Parenthesis => tokens::Delimiter::Parenthesis,
        Delimiter::Brace => tokens::Delimiter::Brace,
        Delimiter::Bracket => tokens::Delimiter::Bracket,
        Delimiter::None => tokens::Delimiter::None,
    }
}
