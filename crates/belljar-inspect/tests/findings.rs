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
    evades: bool,
    source: String,
}

fn planted() -> Vec<Planted> {
    let mut files: Vec<PathBuf> = fixtures().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let (mut expects, mut evades) = (BTreeSet::new(), false);
        let mut source = String::new();
        for line in text.lines() {
            if let Some(kinds) = line.strip_prefix("//! expects:") {
                let kind =
                    |name: &str| Kind::of_name(name.trim()).unwrap_or_else(|| panic!("{path:?}: {name}"));
                expects.extend(kinds.split(',').map(|name| kind(name).name()));
            } else if line.starts_with("//! evades:") {
                evades = true;
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
        let lacks: Vec<_> = expects.difference(&kinds).collect();
        assert!(!expects.is_empty(), "{name} expects nothing");
        if !lacks.is_empty() && !evades {
            missed.push(format!("{name}: not {lacks:?}, but {:?}", found.list));
        }
        // What the user has written himself is his.
        let own = findings(&Row::of(source).tokens(true));
        assert_eq!(own, Findings::default(), "{name}");
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
