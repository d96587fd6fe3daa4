//! The compiler's tokens as belljar's bytes and back, in the plainest way.

use std::rc::Rc;
use std::str::FromStr;

use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::tokens::{self, Derived, InputWriter, OutTree, SpanRef, WireSpan};
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

pub struct Input {
    stream: TokenStream,
    /// By handle; `None` for delimiters.
    trees: Vec<Option<TokenTree>>,
    spans: Vec<Span>,
    bytes: Vec<u8>,
}

impl Input {
    pub fn new(stream: &TokenStream) -> Input {
        let mut input =
            Input { stream: stream.clone(), trees: Vec::new(), spans: Vec::new(), bytes: Vec::new() };
        let mut out = InputWriter::new(1);
        out.begin_stream();
        input.add(&mut out, stream);
        out.end_stream();
        input.bytes = out.into_bytes();
        tokens::Input::check(&input.bytes).expect("a well-formed input");
        input
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    fn add(&mut self, out: &mut InputWriter, stream: &TokenStream) {
        for tree in stream.clone() {
            self.trees.push(Some(tree.clone()));
            self.spans.push(tree.span());
            match tree {
                TokenTree::Group(group) => {
                    self.trees.extend([None, None]);
                    self.spans.extend([group.span_open(), group.span_close()]);
                    out.begin_group(delimiter_to_wire(group.delimiter()));
                    self.add(out, &group.stream());
                    out.end_group();
                }
                leaf => write_leaf(out, &leaf),
            }
        }
    }

    pub fn output(&self, bytes: &[u8]) -> TokenStream {
        let shape = tokens::Shape::of(&self.bytes).expect("a well-formed input");
        tokens::check_output(bytes, &shape, |_| Ok(())).expect("a well-formed output");
        self.read(&mut Reader::new(bytes))
    }

    fn read(&self, r: &mut Reader<'_>) -> TokenStream {
        let spans = self.derived(r);
        self.read_trees(r, usize::MAX, &spans, &mut Vec::new())
    }

    fn derived(&self, r: &mut Reader<'_>) -> Vec<Span> {
        let derived = tokens::read_derived(r, self.spans.len() as u32).expect("derived spans");
        let mut spans = Vec::new();
        for one in derived {
            let at = |span| self.span(span, &spans);
            spans.push(match one {
                Derived::ResolvedAt(a, b) => at(a).resolved_at(at(b)),
                Derived::LocatedAt(a, b) => at(a).located_at(at(b)),
                Derived::Start(a) => at(a).start(),
                Derived::End(a) => at(a).end(),
            });
        }
        spans
    }

    fn read_trees(
        &self,
        r: &mut Reader<'_>,
        end: usize,
        spans: &[Span],
        texts: &mut Vec<Input>,
    ) -> TokenStream {
        let mut stream = TokenStream::new();
        while !r.is_empty() && r.pos() < end {
            let tree = tokens::read_out(r, self.spans.len() as u32, spans.len() as u32).expect("a tree");
            let (mut tree, span) = match tree {
                OutTree::RefStream(_) => {
                    stream.extend([self.stream.clone()]);
                    continue;
                }
                OutTree::RefContents(handle) => {
                    let Some(TokenTree::Group(group)) = &self.trees[handle as usize] else {
                        panic!("no group")
                    };
                    stream.extend([group.stream()]);
                    continue;
                }
                OutTree::RefTree(handle) => {
                    stream.extend(self.trees[handle as usize].clone());
                    continue;
                }
                OutTree::Text { text, lexed } => {
                    let input = Input::new(&text.parse().expect("a text that was lexed"));
                    assert_eq!(&input.bytes[2..], lexed);
                    texts.push(input);
                    continue;
                }
                OutTree::LexedStream { text } => {
                    stream.extend([texts[text as usize].stream.clone()]);
                    continue;
                }
                OutTree::LexedContents { text, handle } => {
                    let Some(TokenTree::Group(group)) = &texts[text as usize].trees[handle as usize] else {
                        panic!("no group")
                    };
                    stream.extend([group.stream()]);
                    continue;
                }
                OutTree::LexedTree { text, handle } => {
                    stream.extend(texts[text as usize].trees[handle as usize].clone());
                    continue;
                }
                OutTree::Ident { text, raw, span } => {
                    let make = if raw { Ident::new_raw } else { Ident::new };
                    (TokenTree::Ident(make(text, Span::call_site())), span)
                }
                OutTree::Literal { text, span } => {
                    (TokenTree::Literal(Literal::from_str(text).expect("a literal")), span)
                }
                OutTree::Punct { ch, joint, span } => {
                    let spacing = if joint { Spacing::Joint } else { Spacing::Alone };
                    (TokenTree::Punct(Punct::new(char::from(ch), spacing)), span)
                }
                OutTree::Group { delimiter, span, end } => {
                    let contents = self.read_trees(r, end, spans, texts);
                    (TokenTree::Group(Group::new(delimiter_from_wire(delimiter), contents)), span)
                }
            };
            tree.set_span(self.span(span, spans));
            stream.extend([tree]);
        }
        stream
    }

    fn span(&self, span: WireSpan, derived: &[Span]) -> Span {
        match span.resolve(self.spans.len() as u32) {
            SpanRef::CallSite => Span::call_site(),
            SpanRef::MixedSite => Span::mixed_site(),
            SpanRef::Handle(handle) => self.spans[handle as usize],
            SpanRef::Derived(n) => derived[n as usize],
        }
    }
}

fn write_leaf(out: &mut InputWriter, leaf: &TokenTree) {
    match leaf {
        TokenTree::Ident(ident) => {
            let text = ident.to_string();
            let name = text.strip_prefix("r#");
            out.ident(name.unwrap_or(&text), name.is_some());
        }
        TokenTree::Literal(literal) => drop(out.literal(&literal.to_string())),
        TokenTree::Punct(punct) => drop(out.punct(punct.as_char() as u8, punct.spacing() == Spacing::Joint)),
        TokenTree::Group(_) => unreachable!("a leaf"),
    }
}

fn delimiter_to_wire(delimiter: Delimiter) -> tokens::Delimiter {
    match delimiter {
        Delimiter::Parenthesis => tokens::Delimiter::Parenthesis,
        Delimiter::Brace => tokens::Delimiter::Brace,
        Delimiter::Bracket => tokens::Delimiter::Bracket,
        Delimiter::None => tokens::Delimiter::None,
    }
}

fn delimiter_from_wire(delimiter: tokens::Delimiter) -> Delimiter {
    match delimiter {
        tokens::Delimiter::Parenthesis => Delimiter::Parenthesis,
        tokens::Delimiter::Brace => Delimiter::Brace,
        tokens::Delimiter::Bracket => Delimiter::Bracket,
        tokens::Delimiter::None => Delimiter::None,
    }
}

/// Answers belljar's questions from the compiler.
pub struct Compiler(pub Rc<Input>);

impl ours::__belljar::Host for Compiler {
    fn ask(&mut self, asked: &[u8]) -> Vec<u8> {
        let (kind, rest) = asked.split_first().expect("a question");
        let mut answer = Writer::new();
        let text = || std::str::from_utf8(rest).expect("a text");
        let lexed = |answer: &mut Writer, lexed: Result<TokenStream, proc_macro::LexError>| match lexed {
            Ok(stream) => {
                answer.u8(1);
                answer.raw(&Input::new(&stream).bytes[2..]);
            }
            Err(e) => {
                answer.u8(0);
                answer.text(&e.to_string());
            }
        };
        match *kind {
            question::LEX_STREAM => lexed(&mut answer, text().parse()),
            question::LEX_LITERAL => {
                let literal = text().parse::<Literal>();
                lexed(&mut answer, literal.map(|literal| TokenTree::Literal(literal).into()));
            }
            question::NAME => {
                let name = std::panic::catch_unwind(|| Ident::new(text(), Span::call_site()).to_string());
                answer.u8(u8::from(name.is_ok()));
                if let Ok(name) = name {
                    answer.text(&name);
                }
            }
            question::PRINT => answer.text(&self.0.read(&mut Reader::new(rest)).to_string()),
            _ => self.place(*kind, rest, &mut answer),
        }
        answer.into_bytes()
    }
}

impl Compiler {
    fn place(&self, kind: u8, rest: &[u8], answer: &mut Writer) {
        let input = &self.0;
        let mut r = Reader::new(rest);
        let derived = input.derived(&mut r);
        let span = tokens::read_span(&mut r, input.spans.len() as u32, derived.len() as u32);
        let span = input.span(span.expect("a span"), &derived);
        let mut maybe = |text: Option<String>| {
            answer.u8(u8::from(text.is_some()));
            if let Some(text) = text {
                answer.text(&text);
            }
        };
        match kind {
            question::LINE => answer.varint(span.line() as u32),
            question::COLUMN => answer.varint(span.column() as u32),
            question::FILE => answer.text(&span.file()),
            question::LOCAL_FILE => maybe(span.local_file().map(|file| file.display().to_string())),
            question::SOURCE_TEXT => maybe(span.source_text()),
            _ => panic!("no such question"),
        }
    }
}
