//! An expander's output to rustc's tokens.
//!
//! Calls into the compiler are what costs here, so new tokens are collected and handed over one level of a group at a
//! time. Literals are made by `Literal`'s own constructors where those give the same token: parsing one is a call that
//! also leaves a source file in the compiler's memory. So does a text that the macro had lexed, but natively it would, too.

use std::collections::HashMap;
use std::rc::Rc;

use belljar_wire::Malformed;
use belljar_wire::bytes::Reader;
use belljar_wire::tokens::{self, Derived, MAX_DEPTH, OutTree, SpanRef, WireSpan};
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::error::Problem;
use crate::input::Input;
use crate::literal;
use crate::text::{Text, Texts};

/// Builds a whole output.
pub(crate) fn build(bytes: &[u8], input: &Input, texts: &mut Texts) -> Result<TokenStream, Problem> {
    build_from(Reader::new(bytes), input, texts)
        .map_err(|source| Problem::Malformed { what: "an output", source })
}

/// Builds the output that is the rest of what `r` reads.
pub(crate) fn build_from(
    mut r: Reader<'_>,
    input: &Input,
    texts: &mut Texts,
) -> Result<TokenStream, Malformed> {
    let handles = input.handles();
    let mut spans = Spans::read(&mut r, input)?;
    let derived = spans.derived.len() as u32;
    let mut idents = Idents::new();
    let mut literals = HashMap::new();
    let mut named: Vec<Rc<Text>> = Vec::new();
    let mut open = Vec::new();
    let mut level = Level::new(None, r.pos() + r.remaining());
    loop {
        // Every level that ends here. The outermost ends where the bytes do.
        while r.pos() == level.end {
            let stream = level.stream();
            let (Some((delimiter, span)), Some(outer)) = (level.group, open.pop()) else {
                return Ok(stream);
            };
            let mut group = Group::new(delimiter, stream);
            group.set_span(span);
            level = outer;
            level.trees.push(TokenTree::Group(group));
        }
        let at = r.pos();
        let bad = |expected| Malformed { expected, at };
        match tokens::read_out(&mut r, handles, derived)? {
            OutTree::RefTree(handle) => {
                let tree = input.tree(handle).ok_or_else(|| bad("a handle of an input token"))?;
                level.trees.push(tree.clone());
            }
            OutTree::RefContents(handle) => {
                let group = input.group(handle).ok_or_else(|| bad("a handle of an input group"))?;
                level.extend(group.stream());
            }
            OutTree::RefStream(number) => {
                level.extend(input.stream(number).ok_or_else(|| bad("a number of an input stream"))?);
            }
            OutTree::Text { text, lexed } => {
                let text = texts.lexed_to(text, lexed);
                named.push(text.ok_or_else(|| bad("a text and what it is lexed to"))?);
            }
            OutTree::LexedTree { text, handle } => {
                let tree = named.get(text as usize).and_then(|text| text.tree(handle));
                level.trees.push(tree.ok_or_else(|| bad("a handle of a text's token"))?.clone());
            }
            OutTree::LexedContents { text, handle } => {
                let group = named.get(text as usize).and_then(|text| text.group(handle));
                level.extend(group.ok_or_else(|| bad("a handle of a text's group"))?.stream());
            }
            OutTree::LexedStream { text } => {
                let text = named.get(text as usize);
                level.extend(text.ok_or_else(|| bad("a number of a text before it"))?.stream());
            }
            OutTree::Ident { text, raw, span } => {
                let ident = idents.made(text, raw, spans.get(span)?);
                level.trees.push(TokenTree::Ident(ident));
            }
            OutTree::Punct { ch, joint, span } => {
                let spacing = if joint { Spacing::Joint } else { Spacing::Alone };
                let mut punct = Punct::new(char::from(ch), spacing);
                punct.set_span(spans.get(span)?);
                level.trees.push(TokenTree::Punct(punct));
            }
            OutTree::Literal { text, span } => {
                let mut literal = match literal::construct(text) {
                    Some(literal) => literal,
                    None => parsed(text, &mut literals).ok_or_else(|| bad("a literal"))?,
                };
                literal.set_span(spans.get(span)?);
                level.trees.push(TokenTree::Literal(literal));
            }
            OutTree::Group { delimiter, span, end } => {
                if end > level.end {
                    return Err(bad("a group inside the one around it"));
                }
                if open.len() >= MAX_DEPTH {
                    return Err(bad("groups nested less deep"));
                }
                let group = (to_rustc(delimiter), spans.get(span)?);
                open.push(std::mem::replace(&mut level, Level::new(Some(group), end)));
            }
        }
        if r.pos() > level.end {
            return Err(bad("a group as long as it says"));
        }
    }
}

/// Identifiers of this output that were made before. A macro writes few different ones many times, and each is checked and
/// interned when it is made; a copy is not.
struct Idents<'a> {
    /// One for each [`Idents::slot`]: the last one made.
    made: Vec<Option<(&'a str, Ident)>>,
}

impl<'a> Idents<'a> {
    /// Enough for an output of serde's; a power of two.
    const SLOTS: usize = 256;

    fn new() -> Self {
        Self { made: vec![const { None }; Self::SLOTS] }
    }

    fn made(&mut self, text: &'a str, raw: bool, span: Span) -> Ident {
        if raw {
            return Ident::new_raw(text, span);
        }
        let made = &mut self.made[Self::slot(text)];
        match made {
            Some((there, ident)) if *there == text => {
                let mut ident = ident.clone();
                ident.set_span(span);
                ident
            }
            _ => made.insert((text, Ident::new(text, span))).1.clone(),
        }
    }

    /// Names of one output mostly differ in their length, their beginning and their end.
    fn slot(text: &str) -> usize {
        let bytes = text.as_bytes();
        let at = |i: usize| bytes.get(i).map_or(0, |byte| usize::from(*byte));
        let (len, last) = (bytes.len(), bytes.len().wrapping_sub(1));
        let mixed = at(0) ^ (at(last) << 3) ^ (at(len / 2) << 1) ^ (len << 4) ^ at(2);
        mixed % Self::SLOTS
    }
}

/// A literal as rustc's own parser reads it; each text once.
fn parsed<'a>(text: &'a str, seen: &mut HashMap<&'a str, Literal>) -> Option<Literal> {
    if let Some(literal) = seen.get(text) {
        return Some(literal.clone());
    }
    let literal: Literal = text.parse().ok()?;
    seen.insert(text, literal.clone());
    Some(literal)
}

/// The contents of one group, or of the whole output.
struct Level {
    group: Option<(Delimiter, Span)>,
    /// Offset of the byte behind its last piece.
    end: usize,
    /// What has been handed to the compiler.
    done: TokenStream,
    /// What has not.
    trees: Vec<TokenTree>,
}

impl Level {
    fn new(group: Option<(Delimiter, Span)>, end: usize) -> Self {
        Self { group, end, done: TokenStream::new(), trees: Vec::new() }
    }

    /// Appends a stream as it is: its tokens are not taken apart, which would lose their spacing.
    fn extend(&mut self, stream: TokenStream) {
        self.flush();
        self.done.extend([stream]);
    }

    fn flush(&mut self) {
        if !self.trees.is_empty() {
            self.done.extend(self.trees.drain(..));
        }
    }

    fn stream(&mut self) -> TokenStream {
        self.flush();
        std::mem::take(&mut self.done)
    }
}

/// The spans an output or a question can name. Derived ones are made when first used.
pub(crate) struct Spans<'a> {
    input: &'a Input,
    derived: Vec<Derived>,
    made: Vec<Option<Span>>,
    /// Kept, for to ask for one takes longer than all else here.
    call_site: Span,
    mixed_site: Span,
}

impl<'a> Spans<'a> {
    /// Reads the table of derived spans.
    pub(crate) fn read(r: &mut Reader<'_>, input: &'a Input) -> Result<Self, Malformed> {
        let derived = tokens::read_derived(r, input.handles())?;
        let made = vec![None; derived.len()];
        Ok(Self { input, derived, made, call_site: Span::call_site(), mixed_site: Span::mixed_site() })
    }

    /// Reads one span and finds it.
    pub(crate) fn read_span(&mut self, r: &mut Reader<'_>) -> Result<Span, Malformed> {
        let span = tokens::read_span(r, self.input.handles(), self.derived.len() as u32)?;
        self.get(span)
    }

    fn get(&mut self, span: WireSpan) -> Result<Span, Malformed> {
        if let Some(span) = self.known(span) {
            return Ok(span);
        }
        if let SpanRef::Derived(n) = span.resolve(self.input.handles()) {
            self.derive(n);
        }
        self.known(span).ok_or(Malformed { expected: "a span that exists", at: 0 })
    }

    /// A span that is there already.
    fn known(&self, span: WireSpan) -> Option<Span> {
        match span.resolve(self.input.handles()) {
            SpanRef::CallSite => Some(self.call_site),
            SpanRef::MixedSite => Some(self.mixed_site),
            SpanRef::Handle(handle) => self.input.span(handle),
            SpanRef::Derived(n) => *self.made.get(n as usize)?,
        }
    }

    /// Makes a derived span and those it needs. A span names only spans before it, so this ends; a chain of them may be
    /// long, so it doesn't recurse.
    fn derive(&mut self, n: u32) {
        let mut todo = vec![n];
        while let Some(&n) = todo.last() {
            let Some(&derived) = self.derived.get(n as usize) else { return };
            let (a, b) = match derived {
                Derived::ResolvedAt(a, b) | Derived::LocatedAt(a, b) => (a, b),
                Derived::Start(a) | Derived::End(a) => (a, a),
            };
            let before = todo.len();
            for span in [a, b] {
                if let (SpanRef::Derived(m), None) = (span.resolve(self.input.handles()), self.known(span)) {
                    todo.push(m);
                }
            }
            if todo.len() > before {
                continue;
            }
            todo.pop();
            let (Some(a), Some(b)) = (self.known(a), self.known(b)) else { return };
            self.made[n as usize] = Some(match derived {
                Derived::ResolvedAt(..) => a.resolved_at(b),
                Derived::LocatedAt(..) => a.located_at(b),
                Derived::Start(_) => a.start(),
                Derived::End(_) => a.end(),
            });
        }
    }
}

fn to_rustc(delimiter: tokens::Delimiter) -> Delimiter {
    match delimiter {
        tokens::Delimiter::Parenthesis => Delimiter::Parenthesis,
        tokens::Delimiter::Brace => Delimiter::Brace,
        tokens::Delimiter::Bracket => Delimiter::Bracket,
        tokens::Delimiter::None => Delimiter::None,
    }
}

/// `compile_error! { "…" }` at the call site. In braces it is an item, a statement, an expression, a type and a pattern.
pub(crate) fn compile_error(message: &str) -> TokenStream {
    let text = TokenStream::from(TokenTree::Literal(Literal::string(message)));
    TokenStream::from_iter([
        TokenTree::Ident(Ident::new("compile_error", Span::call_site())),
        TokenTree::Punct(Punct::new('!', Spacing::Alone)),
        TokenTree::Group(Group::new(Delimiter::Brace, text)),
    ])
}
