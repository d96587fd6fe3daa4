//! What generated code may do: planted backdoors are found, and what is the user's is not judged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use belljar_inspect::{Findings, Kind, Origin, Token, findings};
use belljar_wire::tokens::Delimiter;
use proc_macro2::{Spacing, TokenStream, TokenTree};

/// Tokens with texts of their own.
#[derive(Default)]
struct Row(Vec<(Kept, bool)>);

enum Kept {
    Ident(String, bool),
    Literal(String),
    Punct(char, bool),
    Open(Delimiter),
    Close(Delimiter),
}

impl Row {
    fn of(source: &str) -> Self {
        let mut row = Self::default();
        row.add(source.parse().unwrap_or_else(|error| panic!("{error}: {source}")));
        row
    }

    fn add(&mut self, stream: TokenStream) {
        for tree in stream {
            match tree {
                TokenTree::Ident(ident) => {
                    let text = ident.to_string();
                    let given = text.starts_with("given_");
                    let name = text.strip_prefix("r#");
                    self.0.push((Kept::Ident(name.unwrap_or(&text).to_owned(), name.is_some()), given));
                }
                TokenTree::Literal(literal) => self.0.push((Kept::Literal(literal.to_string()), false)),
                TokenTree::Punct(punct) => {
                    self.0.push((Kept::Punct(punct.as_char(), punct.spacing() == Spacing::Joint), false));
                }
                TokenTree::Group(group) => {
                    let delimiter = match group.delimiter() {
                        proc_macro2::Delimiter::Parenthesis => Delimiter::Parenthesis,
                        proc_macro2::Delimiter::Brace => Delimiter::Brace,
                        proc_macro2::Delimiter::Bracket => Delimiter::Bracket,
                        proc_macro2::Delimiter::None => Delimiter::None,
                    };
                    self.0.push((Kept::Open(delimiter), false));
                    self.add(group.stream());
                    self.0.push((Kept::Close(delimiter), false));
                }
            }
        }
    }

    /// The row. Given tokens are each from a place of its own, or all as they stood.
    fn tokens(&self, all_given: bool) -> Vec<(Token<'_>, Origin)> {
        let mut tokens = Vec::with_capacity(self.0.len());
        for (n, (kept, given)) in self.0.iter().enumerate() {
            let token = match kept {
                Kept::Ident(text, raw) => Token::Ident { text, raw: *raw },
                Kept::Literal(text) => Token::Literal(text),
                Kept::Punct(ch, joint) => Token::Punct { ch: *ch, joint: *joint },
                Kept::Open(delimiter) => Token::Open(*delimiter),
                Kept::Close(delimiter) => Token::Close(*delimiter),
            };
            let n = n as u32;
            tokens.push(match (given, all_given) {
                (_, true) => (token, Origin::Given(n)),
                (true, false) => (token, Origin::Given(n * 2)),
                (false, false) => (token, Origin::Made),
            });
        }
        tokens
    }
}

fn found(source: &str) -> Findings {
    findings(&Row::of(source).tokens(false))
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/backdoors")
}

/// A planted backdoor: what it is for, what must be found, and why not all of it can be.
struct Planted {
    name: String,
    expects: BTreeSet<&'static str>,
    /// What can't be seen from the tokens.
    evades: BTreeSet<&'static str>,
    source: String,
}

fn planted() -> Vec<Planted> {
    let mut files: Vec<PathBuf> = fixtures().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let kind =
            |name: &str| Kind::of_name(name.trim()).unwrap_or_else(|| panic!("{path:?}: {name}")).name();
        let (mut expects, mut evades) = (BTreeSet::new(), BTreeSet::new());
        let mut source = String::new();
        for line in text.lines() {
            if let Some(kinds) = line.strip_prefix("//! expects:") {
                expects.extend(kinds.split(',').map(kind));
            } else if let Some(by) = line.strip_prefix("//! evades: (") {
                evades.extend(by.split(')').next().unwrap().split(',').map(kind));
            } else if !line.starts_with("//!") {
                source.push_str(line);
                source.push('\n');
            }
        }
        Planted { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), expects, evades, source }
    };
    files.iter().map(read).collect()
}

#[test]
fn planted_backdoors_are_found() {
    let planted = planted();
    assert!(planted.len() >= 60, "{}", planted.len());
    let mut missed = Vec::new();
    for Planted { name, expects, evades, source } in &planted {
        let found = found(source);
        let kinds: BTreeSet<&str> = found.kinds.iter().map(Kind::name).collect();
        let lacks: Vec<_> = expects.difference(&kinds).filter(|kind| !evades.contains(*kind)).collect();
        // What is found after all is no evasion any more, and docs/findings.md is to be mended.
        assert!(evades.is_disjoint(&kinds), "{name}: {kinds:?}");
        assert!(!expects.is_empty(), "{name} expects nothing");
        if !lacks.is_empty() {
            missed.push(format!("{name}: not {lacks:?}, but {:?}", found.list));
        }
        // What the user has written himself is his.
        let own = findings(&Row::of(source).tokens(true));
        assert_eq!(own, Findings::default(), "{name}");
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What macros of good will write, and what must not be said of it.
#[test]
fn ordinary_code_has_few_findings() {
    let kinds = |source: &str| found(source).kinds.iter().map(Kind::name).collect::<Vec<_>>().join(" ");
    let derive = r#"
        #[automatically_derived]
        impl<'a, T: ::core::clone::Clone> ::core::clone::Clone for given_Config<'a, T> where T: 'static {
            #[inline]
            fn clone(&self) -> Self {
                let Self { name, items: drop } = self;
                Self { name: ::core::clone::Clone::clone(name), items: Option::None }
            }
        }
        impl Drop for given_Config { fn drop(&mut self) {} }
        impl ::std::fmt::Display for given_Config {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::write!(f, "{} of {:?}", self.name, &self.items[..])
            }
        }
        pub(crate) enum Field { Some, None }
        use ::core::option::Option;
        use std::{collections::HashMap, fmt::{self, Write as _}, sync::Arc};
        const NAMES: &[&str] = &["name", "items", "first_name"];
        type Item = u8;
        fn run(a: usize, b: usize) -> usize { a * const_of(b) != 0 && !a as usize }
    "#;
    assert_eq!(kinds(derive), "");
    // Of a module of std's in which nothing is a finding, the user may choose what he likes.
    assert_eq!(kinds("impl ::std::hash::given_Hash for A {}"), "");
    assert_eq!(kinds(r#"const A: &str = "is [Shape::Circle], like `with(function(f))`";"#), "");
    assert_eq!(
        kinds("impl serde::Serialize for A { fn f() { _serde::__private::Ok(serde::to(1)) } }"),
        "crate"
    );
    assert_eq!(kinds("#[derive(Debug, Clone, serde::Serialize)] struct A;"), "macro crate");
    assert_eq!(kinds("#[allow(clippy::all, unused)] #[cfg(test)] mod a {}"), "lints cfg");
}

/// What a review has found that was overlooked.
#[test]
fn ways_around_are_closed() {
    let cases = [
        ("fn f() { g(..std::process::id()) }", "process"),
        ("fn f() { (0..env!(\"X\").len()) }", "include"),
        ("fn f() { 'a: loop { break 'a ::std::process::exit(0) } }", "process"),
        ("fn f(a: &'a ::std::process::Command) {}", "process"),
        ("fn f() { std::<>::process::<>::exit(0) }", "process"),
        ("extern crate std as x; fn f() { x::<>::fs::<>::read(p) }", "fs"),
        (
            "mod z { pub mod s {} pub mod process {} } use ::std as s; fn f() { s::process::exit(0) }",
            "process",
        ),
        ("fn f() { h!{ use x unsafe { g() } } }", "unsafe"),
        ("fn f() { h!{ use x extern { fn system(); } } }", "ffi"),
        ("macro_rules! m { ($p:ident) => { use ::std::$p::exit as q; } }", "unresolved"),
        ("macro_rules! m { ($p:ident) => { use ::std::process::{$($p,)? exit as q}; } }", "process"),
        ("mod z { use ::std::vec as env; } const K: &str = env!(\"HOME\");", "include"),
        ("mod n { use ::core::prelude::v1::derive as no_mangle; } #[unsafe(no_mangle)] fn f() {}", "export"),
        ("fn f(p: &::std::path::Path) { ::std::path::Path::read_dir(p); }", "fs"),
        ("use std::path::Path; fn f() { Path::is_file(p) }", "fs"),
        ("use super::*; fn f() { transmute::<A, B>(x) }", "raw-pointer"),
        ("enum E { Ok(u8), Err } use E::*;", "unresolved"),
        ("fn f(x: &(impl Sized)) { fn Ok() {} }", "shadow"),
        // Names in edition 2015.
        ("use std as dyn; fn f() { dyn::process::exit(0) }", "unresolved"),
        ("extern crate std as async; fn f() { async::process::exit(0) }", "unresolved"),
        ("static mut None: u8 = 0;", "shadow"),
        ("impl A { fn f() { h!{ use a::{ unsafe {} } } fn Ok() {} } }", "shadow"),
        ("use crate::v\u{430}lidate as validate;", "non-ascii"),
        ("const A: &str = \"sh\";", "shell"),
        ("const A: &str = concat!(\"/bi\", concat!(\"n/s\", \"h\"));", "shell"),
        ("const A: &str = concat!(\"/b\", stringify!(in), \"/sh\");", "shell"),
        ("const A: [u64; 7] = [47u64, 98, 105, 110, 47, 115, 104];", "shell"),
        ("fn f() { vec!(47u8, 98, 105, 110, 47, 115, 104) }", "shell"),
        ("const A: &str = \"://  http://intern/\";", "url"),
        ("const A: &str = \"2001:db8::1\";", "url"),
        ("const A: &str = \"COLLECT.EXAMPLE.COM\";", "url"),
        ("macro_rules! m { ($m:ident) => { const A: &str = $m!(\"x\"); } }", "unresolved"),
        ("macro_rules! m { ($m:ident) => { #[$m] fn f() {} } }", "unresolved"),
        ("macro_rules! m { ($($c:tt)*) => { std $($c)* process $($c)* exit(0) } }", "unresolved"),
        ("use super::*; mod z { struct File; } fn f() { File::open(p); }", "unresolved"),
    ];
    let mut missed = Vec::new();
    for (source, kind) in cases {
        let kind = Kind::of_name(kind).unwrap();
        let found = found(source);
        if !found.kinds.has(kind) {
            missed.push(format!("{kind} in {source}: {:?}", found.list));
        }
    }
    let long: String = (0..2_000).map(|n| format!("vec as a{n}, ")).collect();
    let many = [
        (format!("use ::std::{{{long} process::exit as q}};"), Kind::Unresolved),
        (format!("use a::{}s::process::{{exit as q}};", "a::".repeat(22)), Kind::Unresolved),
        (format!("const A: &str = \"{} /bin/sh\u{202e}\";", "a ".repeat(9_000)), Kind::Shell),
    ];
    for (source, kind) in many {
        let found = found(&source);
        if !found.kinds.has(kind) {
            missed.push(format!("{kind}: {:?}", found.kinds.iter().collect::<Vec<_>>()));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What the user wrote, put together anew with what the macro has made.
#[test]
fn given_tokens_may_be_parts_of_something_else() {
    // How many of the first tokens are given, one behind the other.
    for (source, given, kind) in [
        ("include!(\"x\")", 2, Kind::Include),
        ("mod foo;", 2, Kind::Include),
        ("unsafe impl Send for X {}", 2, Kind::Unsafe),
        ("unsafe fn x() {}", 3, Kind::Unsafe),
        ("extern \"C\" { fn system(); }", 2, Kind::Ffi),
        ("static mut X: u8 = 0;", 2, Kind::Unsafe),
    ] {
        let row = Row::of(source);
        let mut tokens = row.tokens(false);
        for (n, (_, origin)) in tokens.iter_mut().enumerate().take(given) {
            *origin = Origin::Given(n as u32);
        }
        let found = findings(&tokens);
        assert!(found.kinds.has(kind), "{source}: {:?}", found.list);
    }
    let row = Row::of("#[path = \"x.rs\"] mod a {}");
    let mut tokens = row.tokens(false);
    for (n, (_, origin)) in tokens.iter_mut().enumerate().take(5).skip(2) {
        *origin = Origin::Given(n as u32);
    }
    assert!(findings(&tokens).kinds.has(Kind::Include));
    // Attributes of the user's that are written again are his.
    let row = Row::of("#[allow(unused)] mod a {}");
    let mut tokens = row.tokens(false);
    for (n, (_, origin)) in tokens.iter_mut().enumerate().take(6).skip(2) {
        *origin = Origin::Given(n as u32);
    }
    assert_eq!(findings(&tokens), Findings::default());
}

/// Tokens that would be looked at again and again.
#[test]
fn time_grows_with_the_tokens_alone() {
    const MANY: usize = 30_000;
    let repeated = |part: &str| Row::of(&part.repeat(MANY));
    let rows = [
        repeated("use {} "),
        repeated("use {a} "),
        repeated("use a, "),
        repeated("use b as a; a!{} "),
        Row::of(&format!("use a::x{}as a; {}", "::x".repeat(20) + " ", "a!{} ".repeat(MANY))),
        Row::of(&format!("#[cfg_attr(a, {})] mod a {{}}", "derive(A) x, ".repeat(MANY))),
        Row::of(&format!("#[cfg_attr(a, {})] mod a {{}}", "allow(A) x, ".repeat(MANY))),
        Row::of(&(0..MANY).map(|n| format!("use b{} as a; a::q{n}(); ", n % 40)).collect::<String>()),
        Row::of(&format!("const A: [u8; 3] = [{}];", "\"abc\", ".repeat(MANY))),
        Row::of(&format!("{}{}", "concat!(".repeat(400), ")".repeat(400))),
    ];
    for row in &rows {
        let found = findings(&row.tokens(false));
        assert!(found.list.len() < 1_000);
    }
}

/// A macro may say of a `!` that it belongs to what follows: to the compiler it calls a macro all the same.
#[test]
fn marks_of_calls_may_be_joint() {
    let mut row = Row::of("const A: &str = ::core::include_str!(\"a\");");
    for (kept, _) in &mut row.0 {
        if let Kept::Punct('!', joint) = kept {
            *joint = true;
        }
    }
    assert!(findings(&row.tokens(false)).kinds.has(Kind::Include));
}

#[test]
fn what_is_found_is_named_once_with_its_number() {
    let found = found("fn a() { std::fs::read(a); std::fs::read(b); p::spawn(); use std::thread as p; }");
    let list: Vec<_> = found.list.iter().map(|f| (f.kind, f.what.as_str(), f.times)).collect();
    let expected = [
        (Kind::Fs, "std::fs::read", 2),
        (Kind::Threads, "std::thread::spawn (as p::spawn)", 1),
        (Kind::Threads, "std::thread", 1),
    ];
    assert_eq!(list, expected);
    assert_eq!(found.more, 0);
}

/// However many there are, what is kept of them is bounded, and so is the time.
#[test]
fn much_is_not_too_much() {
    let many: String = (0..2_000).map(|n| format!("std::fs::f{n}(); use std::process as p{n}; ")).collect();
    let look = found;
    let found = look(&many);
    assert!(found.list.len() < 1_000 && found.more > 1_000, "{} {}", found.list.len(), found.more);
    assert!(found.kinds.has(Kind::Fs) && found.kinds.has(Kind::Process));
    // Names that stand for each other without end, and for more and more.
    let doubling: String =
        (0..60).map(|n| format!("use a{n} as a{0}; use b{n} as a{0}; use a{n} as b{0};", n + 1)).collect();
    assert!(look(&format!("{doubling} a60::x();")).kinds.has(Kind::Unresolved));
    look("use a::x as b; use b::x as a; a::x();");
    // As deep as tokens go.
    for part in ["#[", "use a::{", "$", "#[cfg_attr(", "::", "<"] {
        let deep = part.repeat(50_000);
        let token = |ch| match ch {
            '[' => Token::Open(Delimiter::Bracket),
            '{' => Token::Open(Delimiter::Brace),
            '(' => Token::Open(Delimiter::Parenthesis),
            'u' => Token::Ident { text: "use", raw: false },
            'c' => Token::Ident { text: "cfg_attr", raw: false },
            ch => Token::Punct { ch, joint: true },
        };
        let deep: Vec<_> = deep.chars().map(|ch| (token(ch), Origin::Made)).collect();
        let _ = findings(&deep);
    }
}

const WORDS: [Token<'static>; 40] = {
    const fn word(text: &str) -> Token<'_> {
        Token::Ident { text, raw: false }
    }
    const fn punct(ch: char, joint: bool) -> Token<'static> {
        Token::Punct { ch, joint }
    }
    [
        word("use"),
        word("std"),
        word("process"),
        word("as"),
        word("self"),
        word("crate"),
        word("a"),
        word("type"),
        word("extern"),
        word("mod"),
        word("macro_rules"),
        word("concat"),
        word("cfg_attr"),
        word("unsafe"),
        word("derive"),
        word("impl"),
        word("fn"),
        word("static"),
        word("mut"),
        word("raw"),
        punct(':', true),
        punct(':', false),
        punct('#', false),
        punct('!', false),
        punct('$', false),
        punct('*', false),
        punct('<', false),
        punct('>', false),
        punct(';', false),
        punct(',', false),
        punct('.', false),
        punct('=', false),
        Token::Open(Delimiter::Brace),
        Token::Close(Delimiter::Brace),
        Token::Open(Delimiter::Bracket),
        Token::Close(Delimiter::Bracket),
        Token::Open(Delimiter::Parenthesis),
        Token::Close(Delimiter::None),
        Token::Literal("b\"\\x\""),
        Token::Literal("r#\""),
    ]
};

proptest::proptest! {
    /// Whatever a macro writes, it can be looked at.
    #[test]
    fn any_tokens_are_looked_at(words in proptest::collection::vec(0_usize..WORDS.len(), 0..60)) {
        let token = |(n, &word): (usize, &usize)| {
            let origin = if word % 3 == 0 { Origin::Given(n as u32) } else { Origin::Made };
            (WORDS[word], origin)
        };
        let tokens: Vec<_> = words.iter().enumerate().map(token).collect();
        let found = findings(&tokens);
        proptest::prop_assert!(found.list.iter().all(|finding| finding.at < tokens.len()));
        proptest::prop_assert!(found.list.iter().all(|finding| found.kinds.has(finding.kind)));
    }

    /// And whatever a literal says it is.
    #[test]
    fn any_literal_is_looked_at(text in "[brc]{0,2}#{0,2}[\"']?(\\\\[xu{}0-9a-f\"n]|[^\u{0}]){0,20}[\"']?#{0,2}") {
        let _ = findings(&[(Token::Literal(&text), Origin::Made)]);
    }
}

/// Each kind has a page, and what evades is listed.
#[test]
fn documentation_has_all_of_it() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for kind in Kind::ALL {
        assert!(docs.contains(&format!("\n### `{kind}`\n\n")), "no page of {kind}");
    }
    let planted = planted();
    for Planted { name, .. } in planted.iter().filter(|planted| !planted.evades.is_empty()) {
        assert!(docs.contains(&format!("`{name}`")), "{name} is not listed");
    }
    assert!(docs.contains(&format!("{} planted", planted.len())), "{}", planted.len());
}
