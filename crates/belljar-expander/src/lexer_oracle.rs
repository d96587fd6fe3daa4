//! Held against the compiler: it must make the same tokens of every text that is lexed here, in every edition, without a
//! word about it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use belljar_wire::bytes::Reader;
use belljar_wire::tokens::{self, Delimiter, InTree, StreamAt};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Lexed, is_identifier, is_literal, literal, literal_shown, stream};

/// A macro that lexes the texts of a file and writes down what it got, in the form of [`show`].
const MACRO: &str = r#"
extern crate proc_macro;
use proc_macro::*;
use std::fmt::Write;

fn show(stream: TokenStream, out: &mut String) {
    for tree in stream {
        match tree {
            TokenTree::Ident(t) => write!(out, "ident {} ", t),
            TokenTree::Literal(t) => write!(out, "literal {} ", t),
            TokenTree::Punct(t) => write!(out, "{} {:?} ", t.as_char(), t.spacing()),
            TokenTree::Group(g) => {
                write!(out, "{:?}[ ", g.delimiter()).unwrap();
                show(g.stream(), out);
                write!(out, "] ")
            }
        }
        .unwrap();
    }
}

#[proc_macro]
pub fn lex_all(_: TokenStream) -> TokenStream {
    let texts = std::fs::read_to_string(std::env::var("TEXTS").unwrap()).unwrap();
    let mut out = String::new();
    for text in texts.split_terminator('\0') {
        let (kind, text) = text.split_at(1);
        match kind {
            "S" => match text.parse::<TokenStream>() {
                Ok(stream) => show(stream, &mut out),
                Err(e) => write!(out, "error {}", e).unwrap(),
            },
            "L" => match text.parse::<Literal>() {
                Ok(literal) => show(TokenTree::Literal(literal).into(), &mut out),
                Err(e) => write!(out, "error {}", e).unwrap(),
            },
            _ => {
                let new = if kind == "R" { Ident::new_raw } else { Ident::new };
                std::panic::set_hook(Box::new(|_| {}));
                let made = std::panic::catch_unwind(|| new(text, Span::call_site()));
                write!(out, "{}", if made.is_ok() { "identifier" } else { "none" }).unwrap();
                let _ = std::panic::take_hook();
            }
        }
        out.push('\0');
    }
    std::fs::write(std::env::var("TOKENS").unwrap(), out).unwrap();
    TokenStream::new()
}
"#;

/// What rustc makes of the texts, with the macro's crate and the crate that uses it in one edition.
fn by_rustc(texts: &[String], edition: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("lexing.rs"), MACRO).unwrap();
    std::fs::write(dir.join("user.rs"), "extern crate lexing; lexing::lex_all!();").unwrap();
    std::fs::write(dir.join("texts"), texts.iter().map(|t| format!("{t}\0")).collect::<String>()).unwrap();
    let rustc = |arguments: &[&str]| {
        let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(arguments)
            .args(["--edition", edition, "-Cdebuginfo=0"])
            .current_dir(dir)
            .env("TEXTS", dir.join("texts"))
            .env("TOKENS", dir.join("tokens"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "edition {edition}: {said}");
    };
    rustc(&["--crate-type=proc-macro", "lexing.rs"]);
    rustc(&["--crate-type=lib", "--emit=metadata", "-L.", "user.rs"]);
    read(&dir.join("tokens"))
}

fn read(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().split_terminator('\0').map(str::to_owned).collect()
}

fn show(lexed: &[u8]) -> String {
    fn trees(bytes: &[u8], stream: StreamAt, out: &mut String) {
        let mut r = Reader::at(&bytes[..stream.end], stream.start);
        while !r.is_empty() {
            match tokens::read_tree(&mut r, 0).unwrap() {
                InTree::Ident { text, raw } => {
                    write!(out, "ident {}{text} ", if raw { "r#" } else { "" }).unwrap()
                }
                InTree::Literal { text } => write!(out, "literal {text} ").unwrap(),
                InTree::Punct { ch, joint } => {
                    write!(out, "{} {} ", char::from(ch), if joint { "Joint" } else { "Alone" }).unwrap();
                }
                InTree::Group { delimiter, contents } => {
                    let name = match delimiter {
                        Delimiter::Parenthesis => "Parenthesis",
                        Delimiter::Brace => "Brace",
                        Delimiter::Bracket => "Bracket",
                        Delimiter::None => "None",
                    };
                    write!(out, "{name}[ ").unwrap();
                    trees(bytes, contents, out);
                    out.push_str("] ");
                }
            }
        }
    }
    let mut r = Reader::new(lexed);
    let whole = tokens::read_stream(&mut r, 0).unwrap();
    r.end().unwrap();
    tokens::check_stream(lexed, whole).unwrap();
    let mut out = String::new();
    trees(lexed, whole, &mut out);
    out
}

/// A short piece of text, most of them one token.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "a", "r", "b", "c", "br", "cr", "k", "r#type", "r#a", "_", "self", "crate", "x1", "e9", "u8", "fn", "true",
        ]),
        6 => prop::sample::select(vec![
            "0", "1", "1.", "1.5", "1e3", "1e", "1.e", "0x1f", "0b1", "0b12", "0o7", "0o9", "0x", "1_000u8", "2f32", "1__",
            "0x1.0", "1._", "1.5f64", "10.0e-7", "0e+1", "0b", "1e_", "9_",
        ]),
        6 => prop::sample::select(vec![
            "\"s\"", "\"\\n\"", "\"\\q\"", "\"\\u{1F600}\"", "\"é\"", "\"a\nb\"", "\"a\\\n  b\"", "\"a\\\n\n b\"", "'c'", "'\\''",
            "'é'", "''", "'ab'", "b'x'", "b'é'", "b\"x\"", "b\"\\xff\"", "b\"é\"", "r\"x\"", "r#\"x\"#", "r##\"\"#\"##", "br\"x\"",
            "br#\"\"\"#", "c\"x\"", "cr\"x\"", "\"s\"u8", "'c'x", "b'x'_", "\"\\0\"", "c\"\\0\"", "'\\u{d800}'", "\"\t\"", "'\t'",
        ]),
        6 => prop::sample::select(vec!["'a", "'static", "'_", "'r#a", "'1", "'a'", "'ab ", "&'a"]),
        8 => prop::sample::select(vec![
            "+", "-", "*", "/", "=", "==", "=>", "->", "<-", "<", ">", ">>=", "<<", "::", ":", ";", ",", ".", "..", "..=", "...",
            "#", "#!", "$", "?", "@", "~", "!", "!=", "&&", "||", "|", "^", "%", "&", "##", "#\"", "\\", "`",
        ]),
        4 => prop::sample::select(vec![
            "/// d\n", "//! i\n", "// n\n", "//// n\n", "/* c */", "/** d */", "/*! i */", "/*** n */", "/**/", "/* /* n */ */",
            "/// it's \"é\" \\ \t\n", "/** two\n * lines */", "/*", "/// end", "/*!*/", "//",
        ]),
        8 => prop::sample::select(vec![" ", "\n", "\t", "\u{85}", "\u{200e}", "  "]),
        3 => prop::sample::select(vec!["(", ")", "[", "]", "{", "}", "()", "{}", "[]"]),
        1 => prop::sample::select(vec!["é", "\u{feff}", "🦀", "\r", "\r\n", "\u{a0}", "名", "---", "#![a]", "#!/bin/sh"]),
    ]
    .prop_map(str::to_owned)
}

/// Pieces that meet in all ways, with and without space between.
fn texts() -> impl Strategy<Value = String> {
    let group = |inner: BoxedStrategy<String>| {
        (prop::sample::select(vec![("(", ")"), ("[", "]"), ("{", "}")]), prop::collection::vec(inner, 0..4))
            .prop_map(|((open, close), inner)| format!("{open}{}{close}", inner.concat()))
    };
    let nested = piece().boxed().prop_recursive(3, 24, 4, group);
    prop::collection::vec(nested, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn rustc_makes_the_same_tokens_of_what_is_lexed_here() {
    let mut runner = TestRunner::deterministic();
    let strategy = texts();
    let known = [
        "",
        " ",
        "a",
        "pub fn f<'a>(x: &'a str) -> i32 { x.len() as i32 - 1 }",
        "/// doc\nstruct S;",
        "#[a = \"b\"] x",
        "#![a]",
        "# [a]",
        "1.foo() 1..2 1.0.1",
        "a<<=b",
        "r#fn",
        "'a'b",
        "\"x\"y",
        "&&'a",
        "$x:expr",
        "0 .0",
        "-1",
        "- 1",
        "x\u{85}y",
        "/** a */ /*! b */",
        "//! \u{301}e \u{200b} \u{7f}\n",
    ];
    let generated = (0..6000).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    let mut asked = Vec::new();
    let mut expected = Vec::new();
    let mut all = 0;
    for text in known.into_iter().map(str::to_owned).chain(generated) {
        all += 1;
        for (kind, lexed) in [("S", stream(&text)), ("L", literal(&text))] {
            if let Lexed::Stream(bytes) = lexed {
                asked.push(format!("{kind}{text}"));
                expected.push(show(&bytes));
            }
        }
    }
    assert!(asked.len() > all / 5, "only {} of {all} were lexed here", asked.len());
    for edition in ["2015", "2018", "2021", "2024"] {
        let got = by_rustc(&asked, edition);
        assert_eq!(got.len(), asked.len());
        for ((text, got), expected) in asked.iter().zip(&got).zip(&expected) {
            assert_eq!(got, expected, "edition {edition}: {text:?}");
        }
    }
}

#[test]
fn rustc_takes_what_counts_as_one_token() {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(piece(), 1..3).prop_map(|pieces| pieces.concat());
    let known = [
        "a",
        "_",
        "self",
        "Self",
        "crate",
        "super",
        "static",
        "r#a",
        "a b",
        "é",
        "名前",
        "",
        "1",
        "a1",
        "$crate",
        "'a",
        "-",
        "a-b",
        "\u{301}",
        "a\u{301}",
        "🦀",
        "true",
        "union",
        "a\u{200d}",
        "ﬁ",
        "ª",
        "℘",
        "℮",
        "゛",
    ];
    let texts: Vec<String> = known
        .into_iter()
        .map(str::to_owned)
        .chain((0..3000).map(|_| strategy.new_tree(&mut runner).unwrap().current()))
        .filter(|text| !text.contains('\0'))
        .collect();
    let identifiers = texts.iter().flat_map(|text| [format!("I{text}"), format!("R{text}")]);
    // Of literals only those that rustc takes without a word: a complaint would be about none in particular.
    let literals =
        texts.iter().filter(|text| is_literal(text) && !matches!(literal(text), Lexed::AskRustc { .. }));
    let asked: Vec<String> = identifiers.chain(literals.map(|text| format!("L{text}"))).collect();
    for (text, got) in asked.iter().zip(by_rustc(&asked, "2021")) {
        match text.split_at(1) {
            ("L", text) => {
                assert!(got.starts_with("literal ") || got.starts_with("- Alone"), "{text:?}: {got}")
            }
            (kind, text) => {
                assert_eq!(is_identifier(text, kind == "R"), got == "identifier", "{kind} {text:?}: {got}");
            }
        }
    }
    assert!(asked.iter().filter(|text| text.starts_with('L')).count() > 100);
}

#[test]
fn numbers_and_strings_of_every_kind_are_literals() {
    for text in [
        "0",
        "1u8",
        "-1",
        "-1.5f32",
        "0xff_u16",
        "0b1010",
        "0o17",
        "1e10",
        "1.0e-7f64",
        "1_000",
        "\"\"",
        "\"a\\\"b\"",
        "\"é\\u{e9}\"",
        "'a'",
        "'\\u{10ffff}'",
        "b'a'",
        "b\"\\xff\"",
        "r\"a\"",
        "r###\"\"##\"###",
        "br#\"a\"#",
        "c\"a\"",
        "cr#\"a\"#",
        "\"a\"suffix",
        "'a'suffix",
        "1suffix",
        "\"two\nlines\"",
        // Those that rustc complains about.
        "0b12",
        "'ab'",
        "\"\\q\"",
        "-0b2",
    ] {
        assert!(is_literal(text), "{text}");
    }
    for text in ["", "-", "--1", "- 1", "a", "true", "1 ", " 1", "1 2", "\"", "/**/1", "1/**/", "\"\r\""] {
        assert!(!is_literal(text), "{text}");
    }
}

#[test]
fn no_text_is_deeper_than_rustc_bears() {
    let deep = |n: usize| format!("{}{}", "(".repeat(n), ")".repeat(n));
    assert!(matches!(stream(&deep(2000)), Lexed::Stream(_)));
    let too_deep = Lexed::Error("delimiters are nested too deeply".to_owned());
    assert_eq!(stream(&deep(2001)), too_deep);
    assert_eq!(stream(&"[".repeat(1 << 20)), too_deep);
}

#[test]
fn mismatched_delimiters_are_not_shown_to_rustc() {
    for text in ["(]", "([)", "{ ( }", "a ({) b", "(](]"] {
        let Lexed::Error(why) = stream(text) else { panic!("{text}") };
        assert!(why.starts_with("mismatched closing delimiter: `"), "{why}");
    }
    for text in ["(", ")", "(()", "a ] b"] {
        assert!(matches!(stream(text), Lexed::AskRustc { .. }), "{text}");
    }
}

#[test]
fn no_text_is_deeper_however_rustc_reads_it() {
    let many = "(".repeat(1 << 16);
    let too_deep = Lexed::Error("delimiters are nested too deeply".to_owned());
    // Each is one string, or some, to this lexer, and overflows the stack of rustc 1.95 in one edition at least.
    for text in [
        format!("#!\"\n{many}"),
        format!("\u{feff}#!\"\n{many}"),
        format!("#!'\r\n{many}"),
        format!("---\n\"\n---\n{many}"),
        format!("#\"\"{many}"),
        format!("##\"\"{many}"),
        format!("###\"\"{many}"),
        format!("## # #\"\"{many}"),
        format!("cr#\"\"{many}\"#"),
        format!("cr\"\\\"{many}"),
        format!("'r#r\"\\\"{many}"),
        format!("'\u{2ebf0}{many}'"),
        "\u{ff08}\u{ff3b}".repeat(1 << 15),
        format!("{many}\""),
        "(]".repeat(1 << 15),
    ] {
        let shown: String = text.chars().take(12).collect();
        let lexed = stream(&text);
        assert!(
            lexed == too_deep || matches!(&lexed, Lexed::Error(why) if why.starts_with("mismatched")),
            "{shown}"
        );
        assert_eq!(literal(&text), too_deep, "{shown}");
        assert!(!is_literal(&text), "{shown}");
    }
    assert_eq!(literal(&many), too_deep);
    assert!(!is_literal(&format!("cr#\"\"{many}\"#")));
}

#[test]
fn long_texts_that_nest_little_are_left_to_rustc() {
    let items = "fn f() { g([1], (2)) }\n".repeat(5_000);
    for what in [
        "c\"text\"",
        "cr#\"text\"#",
        "\u{e9}t\u{e9}",
        "##a",
        "\"\\q\"",
        "'\u{e9}'",
        "z\"prefixed\"",
        "\r\n",
        "1e",
        "// \u{2026}\r\n \u{fe}",
    ] {
        for text in
            [format!("{what} {items}"), format!("{items} {what}"), format!("#! comment\n{items} {what}")]
        {
            assert!(matches!(stream(&text), Lexed::AskRustc { .. } | Lexed::Stream(_)), "{what}");
        }
    }
}

#[test]
fn complaints_are_counted_with_the_text_that_they_show() {
    let shown = |text: &str| match stream(text) {
        Lexed::AskRustc { shown } => shown,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(shown("c\"\""), 0);
    assert_eq!(shown("\\ ` \\"), 3 * 5);
    assert_eq!(shown("\0\0\0"), 3, "a row is one");
    assert!(shown(&"\u{ff09}\u{ff3d}".repeat(1000)) >= 1000 * 6000);
    assert!(shown(&format!("\"{}\"", "\\q".repeat(1000))) >= 1000 * 2000);
    assert!(shown(&format!("0b{}", "2".repeat(1000))) >= 1000 * 1000);
    assert_eq!(literal_shown("r#\"\"\"#"), Some(0));
    assert!(literal_shown("'\\q'") > Some(0));
}
