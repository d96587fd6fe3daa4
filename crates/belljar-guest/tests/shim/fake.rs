//! An expander without an engine: it knows what the macros of `native.rs` do, and how to misbehave.

use std::os::unix::net::UnixStream;

use belljar_wire::abi::{EntryKind, question};
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::message::{self, Expand, Site, kind};
use belljar_wire::tokens::{
    Delimiter, Derived, InTree, Input, InputWriter, OutputWriter, StreamAt, WireSpan, check_stream,
    read_stream, read_tree,
};

/// Answers until the other end is closed.
pub fn serve(mut socket: UnixStream) {
    let mut frame = Vec::new();
    while let Ok(Some(kind @ (kind::EXPAND | kind::AT | kind::SITE))) =
        message::receive(&mut socket, &mut frame)
    {
        if kind == kind::AT {
            assert_eq!(frame.len(), 2, "a processor");
            continue;
        }
        if kind == kind::SITE {
            let site = Site::read(&frame).expect("a place");
            assert!((site.line, site.column) < (site.end_line, site.end_column), "{site:?}");
            assert!(site.line > 0 && site.column > 0 && !site.file.is_empty(), "{site:?}");
            continue;
        }
        let request = std::mem::take(&mut frame);
        let request = Expand::read(&request).expect("a request in the format");
        let input = Input::check(request.input).expect("an input in the format");
        let reply = expand(&mut socket, &request, &input);
        match reply {
            Some((kind, payload)) => message::send(&mut socket, kind, &payload).expect("a shim that listens"),
            None => return,
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(text);
    w.into_bytes()
}

fn some_text(some: &str) -> Vec<u8> {
    [vec![1], text(some)].concat()
}

/// `None` to hang up.
fn expand(socket: &mut UnixStream, request: &Expand<'_>, input: &Input) -> Option<(u8, Vec<u8>)> {
    let name = request.name;
    let ours = |s: &str| (kind::DONE, s.as_bytes().to_vec());
    Some(match name {
        "fails" => (kind::FAILED, text("belljar: it is \"refused\"\nnext: nothing")),
        "hangs_up" => return None,
        "half_a_frame" => {
            use std::io::Write as _;
            let _ = socket.write_all(&[9, 0, 0, 0, kind::DONE, 1]);
            return None;
        }
        "unknown_kind" => (99, Vec::new()),
        "two_replies" => {
            let frames = [8, 0, 0, 0, kind::PANICKED, 1, 5, b'w', b'r', b'o', b'n', b'g'];
            use std::io::Write as _;
            let _ = socket.write_all(&[&frames[..], &frames[..]].concat());
            return None;
        }
        "lexes" => {
            let mut lex = |kind: u8, text: &str| ask(socket, &[&[kind], text.as_bytes()].concat());
            let stream = |answer: Vec<u8>| {
                let Some((1, lexed)) = answer.split_first().map(|(&flag, rest)| (flag, rest)) else {
                    return String::from_utf8_lossy(&answer[2..]).into_owned();
                };
                let mut r = Reader::new(lexed);
                let stream = read_stream(&mut r, 0).expect("a stream");
                r.end().expect("nothing behind it");
                check_stream(lexed, stream).expect("a checked stream");
                format!("{} tokens", stream.handles)
            };
            let answers = [
                stream(lex(question::LEX_STREAM, "fn f(r#x: &'a u8) { c\"é\" }")),
                stream(lex(question::LEX_STREAM, "( [ ) ]")),
                stream(lex(question::LEX_LITERAL, "-1.5f32")),
                stream(lex(question::LEX_LITERAL, "1 2")),
            ];
            (kind::FAILED, text(&answers.join("; ")))
        }
        "no_text" => (kind::PANICKED, vec![1, 200]),
        "bad_flag" => (kind::PANICKED, vec![2, 1, b'a']),
        "flag_and_text" => (kind::PANICKED, vec![0, 1, b'a']),
        "bad_question" => {
            let answer = ask(socket, &[77, 0, 0]);
            assert!(answer.is_empty());
            (kind::FAILED, text("belljar: it was not answered"))
        }
        "names" => {
            let name = |text: &str| {
                let answer = ask(socket, &[&[question::NAME], text.as_bytes()].concat());
                let mut r = Reader::new(&answer);
                let name = (r.u8().expect("a flag") == 1).then(|| r.text().expect("a text").to_owned());
                format!("{name:?}")
            };
            let names = ["e\u{301}", "名前", "é b", "\u{1f980}", "\u{2013}"].map(name);
            (kind::FAILED, text(&names.join("; ")))
        }
        "refused_once" => {
            let answer = ask(socket, &[&[question::LEX_STREAM], "0b2 + 1".as_bytes()].concat());
            assert_eq!(answer[0], 1);
            let mut out = OutputWriter::new();
            out.text("0b2 + 1", &answer[1..]);
            out.lexed_stream(0);
            let out = out.finish(&[]);
            let printed = ask(socket, &[&[question::PRINT], out.as_slice()].concat());
            assert_eq!(printed, text("0b2 + 1"));
            (kind::DONE, out)
        }
        // Texts: the number, handles and tokens have to be right.
        "bad_text_number" => texts(&["a (b)"], |out| out.lexed_stream(1)),
        "later_text" => {
            let mut out = OutputWriter::new();
            out.lexed_stream(0);
            put_text(&mut out, "a (b)", "a (b)");
            (kind::DONE, out.finish(&[]))
        }
        "bad_text_handle" => texts(&["a (b)"], |out| out.lexed_tree(0, 2)),
        "bad_text_group" => texts(&["a", "a (b)"], |out| out.lexed_contents(1, 0)),
        "other_tokens" => {
            let mut out = OutputWriter::new();
            put_text(&mut out, "a (c)", "a (b)");
            (kind::DONE, out.finish(&[]))
        }
        "fewer_tokens" => {
            let mut out = OutputWriter::new();
            put_text(&mut out, "a (b) + c", "a (b)");
            (kind::DONE, out.finish(&[]))
        }
        "unlexable" => {
            let mut out = OutputWriter::new();
            put_text(&mut out, "( ", "a (b)");
            (kind::DONE, out.finish(&[]))
        }
        "reported" => {
            let mut out = OutputWriter::new();
            put_text(&mut out, "a (b) \"", "a (b)");
            (kind::DONE, out.finish(&[]))
        }
        // Outputs that no checked reply can be. Derived spans: none (0), then the pieces.
        "empty" => ours(""),
        "bad_tag" => ours("\0\x7f"),
        "bad_handle" => ours("\0\x20\x7f"),
        "bad_group_handle" => ours("\0\x21\0"),
        "bad_stream" => ours("\0\x22\x07"),
        "bad_ident" => ours("\0\x01\x031 2\0"),
        "bad_unicode_ident" => ours("\0\x01\x03\u{20ac}\0"),
        "bad_raw" => ours("\0\x02\x04self\0"),
        "bad_punct" => ours("\0\x04a\0"),
        "bad_literal" => ours("\0\x03\x031 2\0"),
        "unclosed_literal" => ours("\0\x03\x02\"a\0"),
        "bad_span" => ours("\0\x01\x01a\x7f"),
        "bad_derived" => ours("\x01\x01\x7f\x00"),
        "many_derived" => (kind::DONE, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        "long_group" => ours("\0\x10\0\x05\0\0\0\x04"),
        "crossing_groups" => {
            // The outer group ends inside the inner one.
            let inner = [0x10, 0, 6, 0, 0, 0, 0x01, 1, b'a', 0, 0x04, b';'];
            let mut bytes = vec![0, 0x10, 0, 9, 0, 0, 0];
            bytes.extend(inner);
            bytes.push(0);
            (kind::DONE, bytes)
        }
        "deep" => {
            let mut groups = Vec::new();
            for n in 0..100_000u32 {
                groups.extend([0x10, 0]);
                groups.extend(((99_999 - n) * 6).to_le_bytes());
            }
            groups.insert(0, 0);
            (kind::DONE, groups)
        }
        "chain" => {
            // Each derived span names the one before it.
            let first = 2 + input.handles;
            let mut derived = vec![Derived::Start(WireSpan(2))];
            derived
                .extend((0..200_000).map(|n| Derived::ResolvedAt(WireSpan(first + n), WireSpan::CALL_SITE)));
            let mut out = OutputWriter::new();
            out.literal("1", WireSpan(first + derived.len() as u32 - 1));
            (kind::DONE, out.finish(&derived))
        }
        _ => return Some(behave(socket, request, input)),
    })
}

/// As in `native.rs`.
const TEXT: &str =
    "/// documented\nmacro_rules! m { ($a : expr,$($b:tt)*) => { $a+ 1;$($b)* /* gone */ // gone
    }; (/** block */ 'a r#fn) => { \"x\"b'y' [ ] } }";

/// Its tokens: this expander has no lexer.
fn native_text(socket: &mut UnixStream) -> Vec<u8> {
    let answer = ask(socket, &[&[question::LEX_STREAM], TEXT.as_bytes()].concat());
    assert_eq!(answer[0], 1);
    answer[1..].to_vec()
}

/// Says of a text that it is lexed to words and at most one group, those of another text.
fn put_text(out: &mut OutputWriter, text: &str, lexed: &str) {
    let mut w = InputWriter::lexed();
    w.begin_stream();
    for part in lexed.split(' ') {
        match part.strip_prefix('(') {
            Some(inside) => {
                w.begin_group(Delimiter::Parenthesis);
                w.ident(inside.trim_end_matches(')'), false);
                w.end_group();
            }
            None => drop(w.ident(part, false)),
        }
    }
    w.end_stream();
    out.text(text, &w.into_bytes());
}

fn texts(texts: &[&str], put: impl FnOnce(&mut OutputWriter)) -> (u8, Vec<u8>) {
    let mut out = OutputWriter::new();
    texts.iter().for_each(|text| put_text(&mut out, text, text));
    put(&mut out);
    (kind::DONE, out.finish(&[]))
}

/// What the macros of `native.rs` do.
fn behave(socket: &mut UnixStream, request: &Expand<'_>, input: &Input) -> (u8, Vec<u8>) {
    let stream = input.streams.len() - 1;
    let mut out =
        Out { bytes: request.input, handles: input.handles, out: OutputWriter::new(), derived: Vec::new() };
    let name = request.name.trim_end_matches("_attr");
    let name = match request.kind {
        EntryKind::Derive => {
            let mut snake = String::new();
            for (n, ch) in name.chars().enumerate() {
                if ch.is_uppercase() && n > 0 {
                    snake.push('_');
                }
                snake.extend(ch.to_lowercase());
            }
            snake
        }
        _ => name.to_owned(),
    };
    let group = (request.kind == EntryKind::Derive).then(|| {
        let o = &mut out.out;
        o.ident("const", false, WireSpan::CALL_SITE);
        o.ident("_", false, WireSpan::CALL_SITE);
        o.punct(b':', false, WireSpan::CALL_SITE);
        o.punct(b'&', false, WireSpan::CALL_SITE);
        o.ident("str", false, WireSpan::CALL_SITE);
        o.punct(b'=', false, WireSpan::CALL_SITE);
        o.ident("stringify", false, WireSpan::CALL_SITE);
        o.punct(b'!', false, WireSpan::CALL_SITE);
        o.begin_group(Delimiter::Brace, WireSpan::CALL_SITE)
    });
    match name.as_str() {
        "whole" => out.out.ref_stream(stream as u8),
        "arguments" => out.out.ref_stream(0),
        "prints" => {
            message::send(socket, kind::PRINT, b"\x01to stdout\n").expect("a shim that listens");
            message::send(socket, kind::PRINT, b"\x02to stderr\n").expect("a shim that listens");
            out.out.ref_stream(stream as u8);
        }
        "by_tree" => out.each(input.streams[stream], |out, handle, _| out.out.ref_tree(handle)),
        "contents" => out.each(input.streams[stream], |out, handle, tree| match tree {
            InTree::Group { delimiter, .. } => {
                let group = out.out.begin_group(delimiter, WireSpan::of_handle(handle));
                out.out.ref_contents(handle);
                out.out.end_group(group);
            }
            _ => out.out.ref_tree(handle),
        }),
        "rebuilt" => out.rebuild(input.streams[stream], &|_, handle| WireSpan::of_handle(handle)),
        "called" => out.rebuild(input.streams[stream], &|_, _| WireSpan::CALL_SITE),
        "mixed" => out.rebuild(input.streams[stream], &|_, _| WireSpan::MIXED_SITE),
        "derived" => out.rebuild(input.streams[stream], &|out, handle| {
            let span = WireSpan::of_handle(handle);
            let mixed = out.derive(Derived::ResolvedAt(span, WireSpan::MIXED_SITE));
            let located = out.derive(Derived::LocatedAt(WireSpan::CALL_SITE, mixed));
            let start = out.derive(Derived::Start(span));
            let resolved = out.derive(Derived::ResolvedAt(located, start));
            let end = out.derive(Derived::End(mixed));
            out.derive(Derived::LocatedAt(resolved, end))
        }),
        "opened" => out.each(input.streams[stream], |out, handle, tree| {
            if let InTree::Group { .. } = tree {
                for delimiter in [handle + 1, handle + 2] {
                    out.out.literal("1", WireSpan::of_handle(delimiter));
                }
            }
        }),
        "asked" => {
            let mut all = String::new();
            let mut handles = Vec::new();
            out.each(input.streams[stream], |_, handle, _| handles.push(handle));
            for handle in handles {
                all += &asked(socket, handle);
            }
            out.string(&all);
        }
        "printed" => {
            let mut print = OutputWriter::new();
            print.ref_stream(stream as u8);
            let question = [vec![question::PRINT], print.finish(&[])].concat();
            let answer = ask(socket, &question);
            let printed = Reader::new(&answer).text().expect("a text").to_owned();
            out.string(&printed);
        }
        "literals" => {
            let group = out.out.begin_group(Delimiter::Parenthesis, WireSpan::CALL_SITE);
            for literal in [
                "255u8",
                "-128i8",
                "-5",
                "340282366920938463463374607431768211455",
                "0usize",
                "1.5",
                "-2.0",
                "0.25f32",
                "3f64",
                r#""it's \"quoted\" \\ \n\t\r\0 é 日本 \u{200b}""#,
                r#""plain""#,
                "'x'",
                r"'\''",
                "'é'",
                r#"b'"'"#,
                r#"b"bytes \xff""#,
                r#"c"see""#,
                "0xff_u8",
                "r##\"raw \"# \"##",
                "1e3",
                "1_000",
                r"b'\n'",
            ] {
                out.out.literal(literal, WireSpan::CALL_SITE);
                out.out.punct(b',', false, WireSpan::CALL_SITE);
            }
            out.out.end_group(group);
        }
        "lexed" => {
            out.out.ref_stream(stream as u8);
            let lexed = native_text(socket);
            let o = &mut out.out;
            o.text(TEXT, &lexed);
            o.lexed_stream(0);
            // Doc comment (`#`, and a group of 6), `macro_rules`, `!`, `m`, the group; the doc comment's `[…]` comes first.
            for group in [1, 10] {
                let mut named = |write: &dyn Fn(&mut OutputWriter)| {
                    o.ident("macro_rules", false, WireSpan::CALL_SITE);
                    o.punct(b'!', false, WireSpan::CALL_SITE);
                    o.ident("n", false, WireSpan::CALL_SITE);
                    write(o);
                };
                let contents = |delimiter, span| {
                    move |o: &mut OutputWriter| {
                        let begun = o.begin_group(delimiter, span);
                        o.lexed_contents(0, group);
                        o.end_group(begun);
                    }
                };
                let delimiter = if group == 1 { Delimiter::Bracket } else { Delimiter::Brace };
                named(&contents(Delimiter::Brace, WireSpan::CALL_SITE));
                named(&|o| o.lexed_tree(0, group));
                named(&contents(delimiter, WireSpan::MIXED_SITE));
            }
        }
        "panics_silently" => return (kind::PANICKED, vec![0]),
        "panics" => return (kind::PANICKED, some_text("the input is\nwrong")),
        other => panic!("no macro `{other}`"),
    }
    if let Some(group) = group {
        out.out.end_group(group);
        out.out.punct(b';', false, WireSpan::CALL_SITE);
    }
    (kind::DONE, out.out.finish(&out.derived))
}

/// What `native.rs` writes about the span of one token.
fn asked(socket: &mut UnixStream, handle: u32) -> String {
    let mut put = |kind: u8| {
        let mut question = Writer::new();
        question.u8(kind);
        question.varint(0);
        question.varint(WireSpan::of_handle(handle).0);
        ask(socket, question.as_bytes())
    };
    let number = |answer: Vec<u8>| Reader::new(&answer).varint().expect("a number");
    let optional = |answer: Vec<u8>| {
        let mut r = Reader::new(&answer);
        (r.u8().expect("a flag") == 1).then(|| r.text().expect("a text").to_owned())
    };
    let (line, column) = (number(put(question::LINE)), number(put(question::COLUMN)));
    let file = put(question::FILE);
    let file = Reader::new(&file).text().expect("a text").to_owned();
    let (local_file, source) = (optional(put(question::LOCAL_FILE)), optional(put(question::SOURCE_TEXT)));
    format!("{line}:{column} {file} {local_file:?} {source:?}\n")
}

fn ask(socket: &mut UnixStream, question: &[u8]) -> Vec<u8> {
    message::send(socket, kind::ASK, question).expect("a shim that listens");
    let mut answer = Vec::new();
    let kind = message::receive(socket, &mut answer).expect("an answer");
    assert_eq!(kind, Some(kind::ANSWER));
    answer
}

struct Out<'a> {
    bytes: &'a [u8],
    handles: u32,
    out: OutputWriter,
    derived: Vec<Derived>,
}

impl Out<'_> {
    fn derive(&mut self, derived: Derived) -> WireSpan {
        self.derived.push(derived);
        WireSpan(2 + self.handles + self.derived.len() as u32 - 1)
    }

    fn each(&mut self, stream: StreamAt, mut f: impl FnMut(&mut Self, u32, InTree<'_>)) {
        let mut r = Reader::at(&self.bytes[..stream.end], stream.start);
        let mut handle = stream.first_handle;
        while !r.is_empty() {
            let tree = read_tree(&mut r, handle).expect("a checked input");
            f(self, handle, tree);
            handle += tree.handles();
        }
    }

    fn rebuild(&mut self, stream: StreamAt, spans: &dyn Fn(&mut Self, u32) -> WireSpan) {
        self.each(stream, |out, handle, tree| {
            let span = spans(out, handle);
            match tree {
                InTree::Ident { text, raw } => out.out.ident(text, raw, span),
                InTree::Literal { text } => out.out.literal(text, span),
                InTree::Punct { ch, joint } => out.out.punct(ch, joint, span),
                InTree::Group { delimiter, contents } => {
                    let group = out.out.begin_group(delimiter, span);
                    out.rebuild(contents, spans);
                    out.out.end_group(group);
                }
            }
        });
    }

    /// A string literal, escaped as `Literal::string` does.
    fn string(&mut self, text: &str) {
        let escaped: String = text
            .chars()
            .flat_map(|ch| match ch {
                '\'' => vec!['\''],
                ch => ch.escape_debug().collect(),
            })
            .collect();
        self.out.literal(&format!("\"{escaped}\""), WireSpan::CALL_SITE);
    }
}
