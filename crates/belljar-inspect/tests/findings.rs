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
