//! What an entry point says of itself: its function's name, and the attributes that matter to its users.

use proc_macro::{Delimiter, Ident, TokenStream, TokenTree};

/// A function as far as it matters here.
pub(crate) struct Item {
    pub(crate) name: Ident,
    pub(crate) hidden: bool,
    /// Text of the doc comments, joined with newlines.
    pub(crate) docs: String,
    /// Since and note of `#[deprecated]`, empty when not given.
    pub(crate) deprecated: Option<(String, String)>,
}

impl Item {
    pub(crate) fn read(item: TokenStream) -> Result<Item, String> {
        let mut trees = flat(item).into_iter().peekable();
        let mut hidden = false;
        let mut docs: Vec<String> = Vec::new();
        let mut deprecated = None;
        while let Some(tree) = trees.next() {
            match tree {
                TokenTree::Punct(p) if p == '#' => {
                    let Some(TokenTree::Group(attribute)) = trees.next() else { continue };
                    let attribute = flat(attribute.stream());
                    let Some(TokenTree::Ident(name)) = attribute.first() else { continue };
                    match name.to_string().as_str() {
                        "doc" => match (&attribute[1..], value(&attribute)) {
                            (_, Some(line)) => docs.push(line),
                            (rest, None) => hidden |= arguments(rest).iter().any(|t| is(t, "hidden")),
                        },
                        "deprecated" => deprecated = Some(deprecation(&attribute)),
                        _ => {}
                    }
                }
                TokenTree::Ident(word) if word.to_string() == "fn" => {
                    let Some(TokenTree::Ident(name)) = trees.next() else { break };
                    return Ok(Item { name, hidden, docs: docs.join("\n"), deprecated });
                }
                _ => {}
            }
        }
        Err("a procedural macro's attribute stands on something that is no function".to_owned())
    }
}

/// The trees, with those inside of invisible groups in their place: `macro_rules` puts such groups around what it was
/// given.
pub(crate) fn flat(stream: TokenStream) -> Vec<TokenTree> {
    let mut trees = Vec::new();
    for tree in stream {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                trees.extend(flat(group.stream()));
            }
            tree => trees.push(tree),
        }
    }
    trees
}

fn is(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident.to_string() == word)
}

/// What stands in the parentheses of `name(…)`, given what follows the name.
pub(crate) fn arguments(after: &[TokenTree]) -> Vec<TokenTree> {
    match after {
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::Parenthesis => flat(group.stream()),
        _ => Vec::new(),
    }
}

/// The text in `name = "text"`.
fn value(attribute: &[TokenTree]) -> Option<String> {
    match attribute {
        [_, TokenTree::Punct(eq), TokenTree::Literal(text)] if *eq == '=' => string(&text.to_string()),
        _ => None,
    }
}

fn deprecation(attribute: &[TokenTree]) -> (String, String) {
    if let Some(note) = value(attribute) {
        return (String::new(), note);
    }
    let mut found = (String::new(), String::new());
    for pair in arguments(&attribute[1..]).split(|t| matches!(t, TokenTree::Punct(p) if *p == ',')) {
        match (pair.first(), value(pair)) {
            (Some(key), Some(text)) if is(key, "since") => found.0 = text,
            (Some(key), Some(text)) if is(key, "note") => found.1 = text,
            _ => {}
        }
    }
    found
}

/// The value of a string literal. rustc has accepted it, so what this can't read is no plain string.
fn string(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        let inner = raw.trim_start_matches('#');
        let hashes = &raw[..raw.len() - inner.len()];
        return Some(inner.strip_prefix('"')?.strip_suffix(hashes)?.strip_suffix('"')?.to_owned());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut text = String::new();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next()? {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            '0' => text.push('\0'),
            'x' => text.push(code(&rest.by_ref().take(2).collect::<String>())?),
            'u' => {
                let digits: String = rest.by_ref().take_while(|&c| c != '}').collect();
                text.push(code(&digits.replace(['{', '_'], ""))?);
            }
            '\n' => rest = rest.as_str().trim_start().chars(),
            other => text.push(other),
        }
    }
    Some(text)
}

fn code(hex: &str) -> Option<char> {
    char::from_u32(u32::from_str_radix(hex, 16).ok()?)
}
