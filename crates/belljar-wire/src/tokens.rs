//! Token streams as bytes.
//!
//! # Input: from rustc to the guest
//!
//! An [`Input`] is one stream (derive, function-like) or two (attribute: its arguments, then its item). Every token has
//! a *handle*: a `u32` counted up in the order the tokens stand in the text, over both streams. A leaf takes one handle,
//! a group three (the whole, its opening and its closing delimiter), then its contents follow. A handle names the token
//! and its span at once.
//!
//! ```text
//! input   = u16 number of streams, stream*
//! stream  = u32 handles in it, u32 bytes of its trees, tree*
//! tree    = IDENT text | RAW_IDENT text | LITERAL text | ALONE u8 | JOINT u8 | GROUP_x stream
//! ```
//!
//! Worked example: `a.b(-1)` as the only stream.
//!
//! ```text
//! 01 00                      one stream
//! 08 00 00 00  12 00 00 00   8 handles, 18 bytes
//! 01 01 61                   handle 0: ident `a`
//! 04 2e                      handle 1: punct `.`, alone
//! 01 01 62                   handle 2: ident `b`
//! 10                         handles 3, 4, 5: a parenthesised group
//!   02 00 00 00  05 00 00 00   2 handles, 5 bytes inside
//!   04 2d                      handle 6: punct `-`, alone
//!   03 01 31                   handle 7: literal `1`
//! ```
//!
//! A raw identifier's text comes without `r#`. A literal's text is exactly what rustc prints, suffix and quotes
//! included. Doc comments have been made attributes by rustc already.
//!
//! A stream that was *lexed* (the answer to [`crate::abi::question::LEX_STREAM`]) has the same form. Its handles count
//! from 0 within its text, and all its tokens stand at the call site.
//!
//! # Output: from the guest to rustc
//!
//! ```text
//! output  = varint number of derived spans, derived*, out*
//! derived = u8 operation, span, [span]
//! out     = REF_TREE varint handle          the input's leaf or group of that handle, as it came
//!         | REF_CONTENTS varint handle      all that stands inside the input's group of that handle
//!         | REF_STREAM u8 number            the whole input stream of that number
//!         | TEXT text stream                stands for nothing: a text, and the stream that it is lexed to
//!         | LEXED_TREE varint text, varint handle       the leaf or group of that handle in the TEXT of that number
//!         | LEXED_CONTENTS varint text, varint handle   all that stands inside that TEXT's group of that handle
//!         | LEXED_STREAM varint text                    the whole TEXT of that number
//!         | IDENT text span | RAW_IDENT text span | LITERAL text span | ALONE u8 span | JOINT u8 span
//!         | GROUP_x span, u32 bytes of its outs, out*
//! span    = varint: 0 the call site, 1 the mixed site, 2 + n the span of handle n;
//!           2 + handles + n is the n-th derived span, which only names spans before it
//! ```
//!
//! A reference *is* the input's token: hygiene, `$crate`, literal forms and the compiler's private spacing survive,
//! and no text is repeated that would have to be believed.
//!
//! TEXTs are numbered from 0 as they come, and named only after they have come. rustc lexes such a text itself, once, and
//! a reference into it is rustc's own token, with the spacing and the doc comments of the text. Whoever reads the output
//! need not lex: the stream is there; and nobody has to believe it: the expander and the shim compare it with what they
//! lex themselves.
//!
//! Worked example: `a.b` was lexed, and is returned whole with a `;` behind it.
//!
//! ```text
//! 00                                   no derived spans
//! 23  03 61 2e 62                      TEXT 0: `a.b`
//!   03 00 00 00  08 00 00 00             3 handles, 8 bytes
//!   01 01 61  04 2e  01 01 62            ident `a`, punct `.`, ident `b`
//! 26 00                                LEXED_STREAM 0
//! 04 3b 00                             punct `;`, alone, at the call site
//! ```

use crate::bytes::{Malformed, Reader, Writer};

/// First byte of a tree.
pub mod tag {
    pub const IDENT: u8 = 0x01;
    pub const RAW_IDENT: u8 = 0x02;
    pub const LITERAL: u8 = 0x03;
    pub const ALONE: u8 = 0x04;
    pub const JOINT: u8 = 0x05;
    pub const GROUP_PAREN: u8 = 0x10;
    pub const GROUP_BRACE: u8 = 0x11;
    pub const GROUP_BRACKET: u8 = 0x12;
    pub const GROUP_NONE: u8 = 0x13;
    pub const REF_TREE: u8 = 0x20;
    pub const REF_CONTENTS: u8 = 0x21;
    pub const REF_STREAM: u8 = 0x22;
    pub const TEXT: u8 = 0x23;
    pub const LEXED_TREE: u8 = 0x24;
    pub const LEXED_CONTENTS: u8 = 0x25;
    pub const LEXED_STREAM: u8 = 0x26;
}

/// Operations that make a span out of others.
pub mod derive_op {
    /// `a.resolved_at(b)`
    pub const RESOLVED_AT: u8 = 1;
    /// `a.located_at(b)`
    pub const LOCATED_AT: u8 = 2;
    /// `a.start()`
    pub const START: u8 = 3;
    /// `a.end()`
    pub const END: u8 = 4;
}

/// How deep groups may nest, counted on the output; what is lexed from a text counts, the input does not. rustc's own
/// parser overflows its stack not far beyond.
pub const MAX_DEPTH: usize = 2_000;

/// How many tokens an output may stand for once its references are followed: a few bytes could name a large group a
/// million times.
pub const MAX_TOKENS: u64 = 20_000_000;

/// What rustc's printer makes of tokens, for [`Expanded::printed`]: it begins a new line in a group, and after some 60
/// characters, indented by four for each group around (`compiler/rustc_ast_pretty/src/pp.rs`).
const LINE: u64 = 20;
const INDENT: u64 = 4;

/// What a group adds to the text of its tokens: delimiters, and up to three lines that they begin.
const GROUP_TEXT: u32 = 3 * LINE as u32;

/// The characters a `Punct` can be (`library/proc_macro/src/lib.rs`, `Punct::new`).
pub const PUNCT_CHARS: &[u8] = b"=<>!~+-*/%^&|@.,;:#$?'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delimiter {
    Parenthesis,
    Brace,
    Bracket,
    None,
}

impl Delimiter {
    #[must_use]
    pub fn tag(self) -> u8 {
        match self {
            Delimiter::Parenthesis => tag::GROUP_PAREN,
            Delimiter::Brace => tag::GROUP_BRACE,
            Delimiter::Bracket => tag::GROUP_BRACKET,
            Delimiter::None => tag::GROUP_NONE,
        }
    }

    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            tag::GROUP_PAREN => Delimiter::Parenthesis,
            tag::GROUP_BRACE => Delimiter::Brace,
            tag::GROUP_BRACKET => Delimiter::Bracket,
            tag::GROUP_NONE => Delimiter::None,
            _ => return None,
        })
    }
}

/// A span as it stands in an output or a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WireSpan(pub u32);

impl WireSpan {
    pub const CALL_SITE: WireSpan = WireSpan(0);
    pub const MIXED_SITE: WireSpan = WireSpan(1);

    /// The span of an input token. `handle` is below 2^32 - 2.
    #[must_use]
    pub fn of_handle(handle: u32) -> Self {
        WireSpan(handle.wrapping_add(2))
    }

    /// What an index means, given how many handles the input has.
    #[must_use]
    pub fn resolve(self, handles: u32) -> SpanRef {
        match self.0 {
            0 => SpanRef::CallSite,
            1 => SpanRef::MixedSite,
            n if n - 2 < handles => SpanRef::Handle(n - 2),
            n => SpanRef::Derived(n - 2 - handles),
        }
    }
}

/// What a [`WireSpan`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanRef {
    CallSite,
    MixedSite,
    /// The span of the input token with this handle.
    Handle(u32),
    /// The derived span with this number.
    Derived(u32),
}

/// A stream's place in a buffer: where its trees begin and end, and the handle of its first tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAt {
    pub start: usize,
    pub end: usize,
    /// Handle of the first tree. Without meaning for lexed streams.
    pub first_handle: u32,
    pub handles: u32,
}

/// Reads the header of a stream at the reader's place, and leaves the reader behind the stream.
pub fn read_stream(r: &mut Reader<'_>, first_handle: u32) -> Result<StreamAt, Malformed> {
    let handles = r.u32()?;
    let bytes = r.u32()? as usize;
    let start = r.pos();
    r.take(bytes, "a stream as long as it says")?;
    first_handle.checked_add(handles).ok_or_else(|| r.malformed("fewer tokens"))?;
    Ok(StreamAt { start, end: start + bytes, first_handle, handles })
}

/// One tree of an input, read shallowly: a group's contents are named, not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTree<'a> {
    Ident { text: &'a str, raw: bool },
    Literal { text: &'a str },
    Punct { ch: u8, joint: bool },
    Group { delimiter: Delimiter, contents: StreamAt },
}

impl InTree<'_> {
    /// Bytes that the tree takes when it is printed, with a space behind it and without its contents.
    fn text(&self) -> u32 {
        match self {
            InTree::Ident { text, raw } => text_of(text, if *raw { RAW_MARK } else { 0 }),
            InTree::Literal { text } => text_of(text, 0),
            InTree::Punct { .. } => 2,
            InTree::Group { .. } => GROUP_TEXT,
        }
    }

    /// How many handles the tree takes, its contents included.
    #[must_use]
    pub fn handles(&self) -> u32 {
        match self {
            InTree::Group { contents, .. } => contents.handles + 3,
            _ => 1,
        }
    }
}

/// Reads the next tree of an input stream. `handle` is the tree's own handle. O(1): a group is skipped by its length.
pub fn read_tree<'a>(r: &mut Reader<'a>, handle: u32) -> Result<InTree<'a>, Malformed> {
    let at = r.pos();
    let tag = r.u8()?;
    Ok(match tag {
        tag::IDENT | tag::RAW_IDENT => InTree::Ident { text: r.text()?, raw: tag == tag::RAW_IDENT },
        tag::LITERAL => InTree::Literal { text: r.text()? },
        tag::ALONE | tag::JOINT => InTree::Punct { ch: r.u8()?, joint: tag == tag::JOINT },
        _ => {
            let bad = Malformed { expected: "a token tag", at };
            let delimiter = Delimiter::from_tag(tag).ok_or(bad)?;
            let first = handle.checked_add(3).ok_or_else(|| r.malformed("fewer tokens"))?;
            InTree::Group { delimiter, contents: read_stream(r, first)? }
        }
    })
}

/// The streams of an input, checked whole: every later [`read_tree`] on them succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub streams: Vec<StreamAt>,
    /// Handles over all streams.
    pub handles: u32,
}

impl Input {
    /// Reads the headers only. For bytes that an expander has checked already.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let n = r.u16()?;
        if n > 2 {
            return Err(Malformed { expected: "at most two streams", at: 0 });
        }
        let mut streams = Vec::new();
        let mut handles = 0;
        for _ in 0..n {
            let stream = read_stream(&mut r, handles)?;
            handles += stream.handles;
            streams.push(stream);
        }
        r.end()?;
        Ok(Self { streams, handles })
    }

    /// Reads everything: each tree, each length and each count of handles.
    pub fn check(bytes: &[u8]) -> Result<Self, Malformed> {
        let input = Self::read(bytes)?;
        for stream in &input.streams {
            check_stream(bytes, *stream)?;
        }
        Ok(input)
    }
}

/// Checks all trees of an input or lexed stream. Iterative: depth costs memory of this call only, bounded by the bytes.
pub fn check_stream(bytes: &[u8], stream: StreamAt) -> Result<(), Malformed> {
    let mut todo = vec![stream];
    while let Some(s) = todo.pop() {
        let mut r = Reader::new(&bytes[..s.end]);
        r.take(s.start, "a stream inside the buffer")?;
        let mut handle = s.first_handle;
        while !r.is_empty() {
            let at = r.pos();
            let tree = read_tree(&mut r, handle)?;
            match tree {
                InTree::Punct { ch, .. } if !PUNCT_CHARS.contains(&ch) => {
                    return Err(Malformed { expected: "a punctuation character", at });
                }
                InTree::Group { contents, .. } => todo.push(contents),
                _ => {}
            }
            handle = handle.checked_add(tree.handles()).ok_or_else(|| r.malformed("fewer tokens"))?;
        }
        if handle - s.first_handle != s.handles {
            return Err(Malformed { expected: "as many tokens as the stream says", at: s.start });
        }
    }
    Ok(())
}

/// Writes an input (or a lexed stream) tree by tree.
///
/// ```
/// use belljar_wire::tokens::{Delimiter, Input, InputWriter};
/// let mut w = InputWriter::new(1);
/// w.begin_stream();
/// assert_eq!(w.ident("a", false), 0);
/// assert_eq!(w.begin_group(Delimiter::Parenthesis), 1);
/// assert_eq!(w.literal("1"), 4);
/// w.end_group();
/// w.end_stream();
/// assert_eq!(Input::check(&w.into_bytes()).unwrap().handles, 5);
/// ```
#[derive(Debug)]
pub struct InputWriter {
    out: Writer,
    handles: u32,
    /// For each open stream: where its header is, and the handle of its first tree.
    open: Vec<(usize, u32)>,
}

impl InputWriter {
    /// `streams` is how many streams will be written.
    #[must_use]
    pub fn new(streams: u16) -> Self {
        let mut out = Writer::with_capacity(1024);
        out.u16(streams);
        Self { out, handles: 0, open: Vec::new() }
    }

    /// A writer for a single lexed stream, without the count of streams before it.
    #[must_use]
    pub fn lexed() -> Self {
        Self { out: Writer::new(), handles: 0, open: Vec::new() }
    }

    pub fn begin_stream(&mut self) {
        let at = self.out.reserve_u32();
        self.out.u32(0);
        self.open.push((at, self.handles));
    }

    /// Ends what the last [`Self::begin_stream`] or [`Self::begin_group`] began.
    pub fn end_stream(&mut self) {
        if let Some((at, first)) = self.open.pop() {
            let bytes = self.out.len() - at - 8;
            self.out.patch_u32(at, self.handles - first);
            self.out.patch_u32(at + 4, bytes as u32);
        }
    }

    /// Returns the handle.
    pub fn ident(&mut self, text: &str, raw: bool) -> u32 {
        self.out.u8(if raw { tag::RAW_IDENT } else { tag::IDENT });
        self.out.text(text);
        self.next(1)
    }

    /// Returns the handle.
    pub fn literal(&mut self, text: &str) -> u32 {
        self.out.u8(tag::LITERAL);
        self.out.text(text);
        self.next(1)
    }

    /// Returns the handle.
    pub fn punct(&mut self, ch: u8, joint: bool) -> u32 {
        self.out.u8(if joint { tag::JOINT } else { tag::ALONE });
        self.out.u8(ch);
        self.next(1)
    }

    /// Returns the group's handle; its delimiters have the two after it.
    pub fn begin_group(&mut self, delimiter: Delimiter) -> u32 {
        self.out.u8(delimiter.tag());
        let handle = self.next(3);
        self.begin_stream();
        handle
    }

    pub fn end_group(&mut self) {
        self.end_stream();
    }

    /// Handles given out so far.
    #[must_use]
    pub fn handles(&self) -> u32 {
        self.handles
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handles == 0
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn next(&mut self, n: u32) -> u32 {
        let handle = self.handles;
        self.handles = self.handles.saturating_add(n);
        handle
    }
}

/// A span made out of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Derived {
    ResolvedAt(WireSpan, WireSpan),
    LocatedAt(WireSpan, WireSpan),
    Start(WireSpan),
    End(WireSpan),
}

pub fn write_derived(w: &mut Writer, derived: &[Derived]) {
    w.varint(derived.len() as u32);
    for d in derived {
        match *d {
            Derived::ResolvedAt(a, b) | Derived::LocatedAt(a, b) => {
                let resolved = matches!(d, Derived::ResolvedAt(..));
                w.u8(if resolved { derive_op::RESOLVED_AT } else { derive_op::LOCATED_AT });
                w.varint(a.0);
                w.varint(b.0);
            }
            Derived::Start(a) | Derived::End(a) => {
                w.u8(if matches!(d, Derived::Start(_)) { derive_op::START } else { derive_op::END });
                w.varint(a.0);
            }
        }
    }
}

/// Reads the table of derived spans and checks that each names only spans that exist before it.
pub fn read_derived(r: &mut Reader<'_>, handles: u32) -> Result<Vec<Derived>, Malformed> {
    let n = r.varint()?;
    let mut derived = Vec::new();
    for k in 0..n {
        let op = r.u8()?;
        let a = read_span(r, handles, k)?;
        derived.push(match op {
            derive_op::RESOLVED_AT => Derived::ResolvedAt(a, read_span(r, handles, k)?),
            derive_op::LOCATED_AT => Derived::LocatedAt(a, read_span(r, handles, k)?),
            derive_op::START => Derived::Start(a),
            derive_op::END => Derived::End(a),
            _ => return Err(r.malformed("an operation on spans")),
        });
    }
    Ok(derived)
}

/// Reads a span and checks that it exists, given the number of handles and of derived spans.
pub fn read_span(r: &mut Reader<'_>, handles: u32, derived: u32) -> Result<WireSpan, Malformed> {
    let at = r.pos();
    let span = WireSpan(r.varint()?);
    match span.resolve(handles) {
        SpanRef::Derived(n) if n >= derived => Err(Malformed { expected: "a span that exists", at }),
        _ => Ok(span),
    }
}

/// One piece of an output, read shallowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutTree<'a> {
    RefTree(u32),
    RefContents(u32),
    RefStream(u8),
    /// The next text, and the stream it is lexed to, header included.
    Text {
        text: &'a str,
        lexed: &'a [u8],
    },
    LexedTree {
        text: u32,
        handle: u32,
    },
    LexedContents {
        text: u32,
        handle: u32,
    },
    LexedStream {
        text: u32,
    },
    Ident {
        text: &'a str,
        raw: bool,
        span: WireSpan,
    },
    Literal {
        text: &'a str,
        span: WireSpan,
    },
    Punct {
        ch: u8,
        joint: bool,
        span: WireSpan,
    },
    /// The group's pieces follow; they end at `end`, an offset in the buffer.
    Group {
        delimiter: Delimiter,
        span: WireSpan,
        end: usize,
    },
}

/// Reads the next piece; behind a group's header the reader stands at its first piece.
pub fn read_out<'a>(r: &mut Reader<'a>, handles: u32, derived: u32) -> Result<OutTree<'a>, Malformed> {
    let at = r.pos();
    let tag = r.u8()?;
    Ok(match tag {
        tag::REF_TREE => OutTree::RefTree(r.varint()?),
        tag::REF_CONTENTS => OutTree::RefContents(r.varint()?),
        tag::REF_STREAM => OutTree::RefStream(r.u8()?),
        tag::TEXT => {
            let text = r.text()?;
            let mut behind = r.clone();
            read_stream(&mut behind, 0)?;
            OutTree::Text { text, lexed: r.take(behind.pos() - r.pos(), "a stream as long as it says")? }
        }
        tag::LEXED_TREE => OutTree::LexedTree { text: r.varint()?, handle: r.varint()? },
        tag::LEXED_CONTENTS => OutTree::LexedContents { text: r.varint()?, handle: r.varint()? },
        tag::LEXED_STREAM => OutTree::LexedStream { text: r.varint()? },
        tag::IDENT | tag::RAW_IDENT => {
            let text = r.text()?;
            OutTree::Ident { text, raw: tag == tag::RAW_IDENT, span: read_span(r, handles, derived)? }
        }
        tag::LITERAL => {
            let text = r.text()?;
            OutTree::Literal { text, span: read_span(r, handles, derived)? }
        }
        tag::ALONE | tag::JOINT => {
            let ch = r.u8()?;
            if !PUNCT_CHARS.contains(&ch) {
                return Err(Malformed { expected: "a punctuation character", at: at + 1 });
            }
            OutTree::Punct { ch, joint: tag == tag::JOINT, span: read_span(r, handles, derived)? }
        }
        _ => {
            let bad = Malformed { expected: "a token tag", at };
            let delimiter = Delimiter::from_tag(tag).ok_or(bad)?;
            let span = read_span(r, handles, derived)?;
            let bytes = r.u32()? as usize;
            if bytes > r.remaining() {
                return Err(r.malformed("a group as long as it says"));
            }
            OutTree::Group { delimiter, span, end: r.pos() + bytes }
        }
    })
}

/// Writes an output. Spans are given as [`WireSpan`]s; the table of derived spans is written first, by the caller,
/// with [`write_derived`].
#[derive(Debug, Default)]
pub struct OutputWriter {
    out: Writer,
}

impl OutputWriter {
    #[must_use]
    pub fn new() -> Self {
        Self { out: Writer::with_capacity(4096) }
    }

    pub fn ref_tree(&mut self, handle: u32) {
        self.out.u8(tag::REF_TREE);
        self.out.varint(handle);
    }

    pub fn ref_contents(&mut self, handle: u32) {
        self.out.u8(tag::REF_CONTENTS);
        self.out.varint(handle);
    }

    pub fn ref_stream(&mut self, number: u8) {
        self.out.u8(tag::REF_STREAM);
        self.out.u8(number);
    }

    /// `lexed` is the stream that the text is lexed to, as [`InputWriter::lexed`] writes it.
    pub fn text(&mut self, text: &str, lexed: &[u8]) {
        self.out.u8(tag::TEXT);
        self.out.text(text);
        self.out.raw(lexed);
    }

    pub fn lexed_tree(&mut self, text: u32, handle: u32) {
        self.out.u8(tag::LEXED_TREE);
        self.out.varint(text);
        self.out.varint(handle);
    }

    pub fn lexed_contents(&mut self, text: u32, handle: u32) {
        self.out.u8(tag::LEXED_CONTENTS);
        self.out.varint(text);
        self.out.varint(handle);
    }

    pub fn lexed_stream(&mut self, text: u32) {
        self.out.u8(tag::LEXED_STREAM);
        self.out.varint(text);
    }

    pub fn ident(&mut self, text: &str, raw: bool, span: WireSpan) {
        self.out.u8(if raw { tag::RAW_IDENT } else { tag::IDENT });
        self.out.text(text);
        self.out.varint(span.0);
    }

    pub fn literal(&mut self, text: &str, span: WireSpan) {
        self.out.u8(tag::LITERAL);
        self.out.text(text);
        self.out.varint(span.0);
    }

    pub fn punct(&mut self, ch: u8, joint: bool, span: WireSpan) {
        self.out.u8(if joint { tag::JOINT } else { tag::ALONE });
        self.out.u8(ch);
        self.out.varint(span.0);
    }

    /// Returns what [`Self::end_group`] wants.
    pub fn begin_group(&mut self, delimiter: Delimiter, span: WireSpan) -> usize {
        self.out.u8(delimiter.tag());
        self.out.varint(span.0);
        self.out.reserve_u32()
    }

    pub fn end_group(&mut self, begun: usize) {
        let bytes = self.out.len() - begun - 4;
        self.out.patch_u32(begun, bytes as u32);
    }

    /// The whole output: the table of derived spans, then the pieces.
    #[must_use]
    pub fn finish(self, derived: &[Derived]) -> Vec<u8> {
        let mut whole = Writer::with_capacity(self.out.len() + 8);
        write_derived(&mut whole, derived);
        whole.raw(self.out.as_bytes());
        whole.into_bytes()
    }
}

/// Which handles of an input or of a lexed stream begin a tree, and how much stands in each. Lets an output's references
/// be checked in constant time each.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// For each handle: [`LEAF`], [`DELIMITER`], or a group's number of handles, all of it counted.
    sizes: Vec<u32>,
    /// For each handle, and behind the last: bytes of text that stand before it, with a space behind each token. An input
    /// is a frame at most, so they fit.
    before: Vec<u32>,
    /// First handle and handles of each stream.
    streams: Vec<(u32, u32)>,
    /// How deep its groups nest.
    depth: usize,
}

const LEAF: u32 = 1;
const DELIMITER: u32 = 0;

impl Shape {
    /// Reads a whole input once. `bytes` may be unchecked: everything [`Input::check`] finds is found here too.
    pub fn of(bytes: &[u8]) -> Result<Self, Malformed> {
        let input = Input::check(bytes)?;
        Self::of_streams(bytes, &input.streams, input.handles)
    }

    /// Reads a whole lexed stream, with its header and nothing behind it. `bytes` may be unchecked.
    pub fn of_lexed(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let stream = read_stream(&mut r, 0)?;
        r.end()?;
        check_stream(bytes, stream)?;
        Self::of_streams(bytes, &[stream], stream.handles)
    }

    /// The streams have been checked.
    fn of_streams(bytes: &[u8], streams: &[StreamAt], handles: u32) -> Result<Self, Malformed> {
        // `handles` trees exist in `bytes`, so this allocation is in proportion to them.
        let mut sizes = vec![LEAF; handles as usize];
        let mut before = vec![0; handles as usize + 1];
        let mut depth = 0;
        let mut todo: Vec<(StreamAt, usize)> = streams.iter().map(|s| (*s, 0)).collect();
        while let Some((s, around)) = todo.pop() {
            depth = depth.max(around);
            let mut r = Reader::new(&bytes[..s.end]);
            r.take(s.start, "a stream inside the buffer")?;
            let mut handle = s.first_handle;
            while !r.is_empty() {
                let tree = read_tree(&mut r, handle)?;
                let h = handle as usize;
                if let InTree::Group { contents, .. } = tree {
                    sizes[h..h + 3].copy_from_slice(&[tree.handles(), DELIMITER, DELIMITER]);
                    todo.push((contents, around + 1));
                }
                before[h + 1] = tree.text();
                handle += tree.handles();
            }
        }
        let mut sum = 0u32;
        for text in &mut before {
            sum = sum.saturating_add(*text);
            *text = sum;
        }
        Ok(Self {
            sizes,
            before,
            streams: streams.iter().map(|s| (s.first_handle, s.handles)).collect(),
            depth,
        })
    }

    #[must_use]
    pub fn handles(&self) -> u32 {
        self.sizes.len() as u32
    }

    /// Handles of the leaf or group that begins with this one; [`DELIMITER`] if none does.
    fn at(&self, handle: u32) -> u32 {
        self.sizes.get(handle as usize).copied().unwrap_or(DELIMITER)
    }

    /// What stands from one handle on. `None` if no leaf or group begins there.
    fn tree(&self, handle: u32) -> Option<Piece> {
        match self.at(handle) {
            DELIMITER => None,
            handles => Some(self.piece(handle, handles)),
        }
    }

    /// What stands in a group, its delimiters counted too. `None` if none begins with this handle.
    fn group(&self, handle: u32) -> Option<Piece> {
        self.tree(handle).filter(|piece| piece.tokens > LEAF)
    }

    /// All of one stream.
    fn stream(&self, number: usize) -> Option<Piece> {
        self.streams.get(number).map(|&(first, handles)| self.piece(first, handles))
    }

    fn piece(&self, first: u32, handles: u32) -> Piece {
        let before = |handle: u32| self.before.get(handle as usize).copied().unwrap_or_default();
        let text = before(first.saturating_add(handles)).saturating_sub(before(first));
        Piece { tokens: handles, text, depth: self.depth }
    }
}

/// What a piece of an output stands for.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Tokens, a group's delimiters counted too.
    tokens: u32,
    /// Bytes of their text, as [`Shape::before`] counts them.
    text: u32,
    /// How deep groups nest in it, at most.
    depth: usize,
}

impl Piece {
    /// The error says what the piece should have referred to.
    fn of(tree: &OutTree<'_>, shape: &Shape, texts: &[Shape]) -> Result<Self, &'static str> {
        let named = |number: u32| texts.get(number as usize).ok_or("a number of a text before it");
        match *tree {
            OutTree::RefTree(handle) => shape.tree(handle).ok_or("a handle of an input token"),
            OutTree::RefContents(handle) => shape.group(handle).ok_or("a handle of an input group"),
            OutTree::RefStream(n) => shape.stream(n.into()).ok_or("a number of an input stream"),
            OutTree::LexedTree { text, handle } => {
                named(text)?.tree(handle).ok_or("a handle of a text's token")
            }
            OutTree::LexedContents { text, handle } => {
                named(text)?.group(handle).ok_or("a handle of a text's group")
            }
            OutTree::LexedStream { text } => named(text)?.stream(0).ok_or("a number of a text before it"),
            // rustc lexes it whole, whatever is used of it; its tokens are counted when they have been read.
            OutTree::Text { text, .. } => Ok(Self { tokens: 1, text: text_of(text, 0), depth: 0 }),
            OutTree::Ident { text, .. } => Ok(Self { tokens: 1, text: text_of(text, RAW_MARK), depth: 0 }),
            OutTree::Literal { text, .. } => Ok(Self { tokens: 1, text: text_of(text, 0), depth: 0 }),
            OutTree::Punct { .. } => Ok(Self { tokens: 1, text: 2, depth: 0 }),
            OutTree::Group { .. } => Ok(Self { tokens: 1, text: GROUP_TEXT, depth: 0 }),
        }
    }
}

/// Bytes of `r#`.
const RAW_MARK: u32 = 2;

/// Bytes that a token of this text takes when it is printed, with a space behind it.
fn text_of(text: &str, more: u32) -> u32 {
    (text.len() as u32).saturating_add(more + 1)
}

/// What an output stands for once its references are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expanded {
    /// Tokens, a group's delimiters counted too. At most [`MAX_TOKENS`].
    pub tokens: u64,
    /// Bytes of the tokens' text, with what stands between them on one line.
    pub text: u64,
    /// How deep its groups nest, at most; those of the input count here.
    pub depth: usize,
}

impl Expanded {
    /// How many bytes rustc's `to_string` can make of it: lines are indented.
    #[must_use]
    pub fn printed(&self) -> u64 {
        let indented = (self.text / LINE).saturating_mul(INDENT).saturating_mul(self.depth as u64);
        self.text.saturating_add(indented)
    }

    fn add(&mut self, piece: Piece, around: usize) {
        self.tokens += u64::from(piece.tokens);
        self.text += u64::from(piece.text);
        self.depth = self.depth.max(around + piece.depth);
    }
}

/// Walks an output and checks its form: tags, lengths, references, spans and depth. `new` is called for every *new* token
/// and every text, and decides whether a token's text is one token of that kind, and a text lexed to its stream (the wire
/// knows no lexical rules). Returns what the output stands for.
pub fn check_output(
    bytes: &[u8],
    shape: &Shape,
    mut new: impl FnMut(&OutTree<'_>) -> Result<(), &'static str>,
) -> Result<Expanded, Malformed> {
    let mut r = Reader::new(bytes);
    let derived = read_derived(&mut r, shape.handles())?.len() as u32;
    let mut open: Vec<usize> = Vec::new();
    let mut texts: Vec<Shape> = Vec::new();
    let mut whole = Expanded::default();
    loop {
        while open.last() == Some(&r.pos()) {
            open.pop();
        }
        if r.is_empty() && open.is_empty() {
            return Ok(whole);
        }
        let at = r.pos();
        let tree = read_out(&mut r, shape.handles(), derived)?;
        let bad = |expected| Malformed { expected, at };
        whole.add(Piece::of(&tree, shape, &texts).map_err(bad)?, open.len());
        match tree {
            OutTree::RefTree(_) | OutTree::RefContents(_) | OutTree::RefStream(_) => {}
            OutTree::Text { lexed, .. } => {
                new(&tree).map_err(bad)?;
                let text = Shape::of_lexed(lexed).map_err(|e| bad(e.expected))?;
                whole.tokens += u64::from(text.handles());
                texts.push(text);
            }
            OutTree::LexedTree { text, .. }
            | OutTree::LexedContents { text, .. }
            | OutTree::LexedStream { text } => {
                let depth = texts.get(text as usize).map_or(0, |text| text.depth);
                if open.len() + depth > MAX_DEPTH {
                    return Err(bad("groups nested less deep"));
                }
            }
            OutTree::Group { end, .. } => {
                open.push(end);
                whole.depth = whole.depth.max(open.len());
                if open.len() > MAX_DEPTH {
                    return Err(bad("groups nested less deep"));
                }
            }
            OutTree::Ident { .. } | OutTree::Literal { .. } | OutTree::Punct { .. } => {
                new(&tree).map_err(bad)?;
            }
        }
        if whole.tokens > MAX_TOKENS {
            return Err(bad("fewer tokens"));
        }
        if open.iter().next_back().is_some_and(|&end| r.pos() > end) {
            return Err(Malformed { expected: "a group as long as it says", at });
        }
        // A group can't reach beyond the one around it.
        if let [.., outer, inner] = open[..]
            && inner > outer
        {
            return Err(Malformed { expected: "a group inside the one around it", at });
        }
    }
}
