//! The way over an expansion's tokens.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use belljar_wire::tokens::Delimiter;

use super::names::{self, Names, Path};
use super::{Findings, Kind, is_given, texts};
use crate::flat::{Origin, Token};

/// Segments of a path that are looked at.
const SEGMENTS: usize = 24;

/// Names that one `use` brings.
const LEAVES: usize = 2_000;

/// Tokens of the head of an item that are looked at.
const HEAD: usize = 256;

/// Tokens of generics in a path that are passed over.
const GENERICS: usize = 128;

/// How many numbers or characters in a row are a table.
const TABLE: usize = 64;

/// The fewest numbers in a row that are read as a text.
const SPELLED: usize = 4;

/// Looks at what a macro has made of these tokens. Takes time that grows with them, whatever they are.
#[must_use]
pub fn findings(tokens: &[(Token<'_>, Origin)]) -> Findings {
    let row = Row::of(tokens);
    let mut scan = Scan {
        row: &row,
        names: Names::of(row.tokens.len()),
        found: Findings::default(),
        judged: HashMap::new(),
        added: None,
        hasher: RandomState::new(),
        lints_until: 0,
        again: row.tokens.len().saturating_mul(2),
    };
    scan.define();
    scan.judge();
    scan.found
}

/// Tokens without groups that have no delimiters: they are no tokens for who reads.
struct Row<'r, 'a> {
    tokens: Cow<'r, [(Token<'a>, Origin)]>,
    /// Their numbers, if there are others between.
    at: Option<Vec<usize>>,
}

impl<'r, 'a> Row<'r, 'a> {
    fn of(tokens: &'r [(Token<'a>, Origin)]) -> Self {
        let is_none =
            |token: &Token<'_>| matches!(token, Token::Open(Delimiter::None) | Token::Close(Delimiter::None));
        if !tokens.iter().any(|(token, _)| is_none(token)) {
            return Self { tokens: Cow::Borrowed(tokens), at: None };
        }
        let at: Vec<usize> = (0..tokens.len()).filter(|&n| !is_none(&tokens[n].0)).collect();
        Self { tokens: Cow::Owned(at.iter().map(|&n| tokens[n]).collect()), at: Some(at) }
    }

    fn number(&self, n: usize) -> usize {
        self.at.as_ref().map_or(n, |at| at.get(n).copied().unwrap_or_default())
    }

    fn get(&self, n: usize) -> Option<Token<'a>> {
        self.tokens.get(n).map(|(token, _)| *token)
    }

    fn before(&self, n: usize) -> Option<Token<'a>> {
        n.checked_sub(1).and_then(|n| self.get(n))
    }

    fn ident(&self, n: usize) -> Option<&'a str> {
        match self.get(n) {
            Some(Token::Ident { text, .. }) => Some(text),
            _ => None,
        }
    }

    /// Whether a keyword stands there.
    fn is_word(&self, n: usize, word: &str) -> bool {
        matches!(self.get(n), Some(Token::Ident { text, raw: false }) if text == word)
    }

    /// A part of a path: no keyword, but for those that paths begin with.
    fn segment(&self, n: usize) -> Option<&'a str> {
        match self.get(n) {
            Some(Token::Ident { text, raw }) if raw || !names::is_keyword(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the name of a lifetime stands there.
    fn is_lifetime(&self, n: usize) -> bool {
        self.before(n) == Some(Token::Punct { ch: '\'', joint: true })
    }

    /// Whether a method's name stands there, or a field's. `..` is none of theirs.
    fn is_method(&self, n: usize) -> bool {
        self.punct(n.wrapping_sub(1)) == Some('.')
            && self.get(n.wrapping_sub(2)) != Some(Token::Punct { ch: '.', joint: true })
    }

    /// What is behind the generics that begin there, if they are short.
    fn generics(&self, from: usize) -> Option<usize> {
        let mut open = 0_usize;
        for n in from..from + GENERICS {
            match self.get(n)? {
                Token::Punct { ch: '<', .. } => open += 1,
                Token::Punct { ch: '>', .. }
                    if !matches!(self.before(n), Some(Token::Punct { ch: '-' | '=', joint: true })) =>
                {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        return Some(n + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Whether what stands there is a part of a path that has begun before it.
    fn goes_on(&self, n: usize) -> bool {
        self.is_after_colons(n)
            && n.checked_sub(3).is_some_and(|n| self.segment(n).is_some() && !self.is_lifetime(n))
    }

    fn punct(&self, n: usize) -> Option<char> {
        match self.get(n) {
            Some(Token::Punct { ch, .. }) => Some(ch),
            _ => None,
        }
    }

    fn is_open(&self, n: usize, delimiter: Delimiter) -> bool {
        self.get(n) == Some(Token::Open(delimiter))
    }

    /// Whether `::` stands there.
    fn colons(&self, n: usize) -> bool {
        self.get(n) == Some(Token::Punct { ch: ':', joint: true }) && self.punct(n + 1) == Some(':')
    }

    /// Whether `::` stands before it.
    fn is_after_colons(&self, n: usize) -> bool {
        n >= 2 && self.colons(n - 2)
    }

    /// Whether the macro has made these, or put them together.
    fn is_made(&self, from: usize, to: usize) -> bool {
        !is_given(self.tokens.get(from..to.min(self.tokens.len())).unwrap_or_default())
    }

    /// The same of one token, which belongs to the next one.
    fn is_made_one(&self, n: usize) -> bool {
        self.is_made(n, n + 2)
    }

    /// A path that begins there: its segments, and what is behind it.
    fn path(&self, from: usize) -> (Path<'a>, usize) {
        let mut segments = Vec::new();
        let mut n = from;
        if self.colons(n) {
            n += 2;
        }
        // Of `$name`, the name stands for whatever somebody calls the macro with.
        if self.punct(n) == Some('$') {
            n += 1;
        }
        while let Some(segment) = self.segment(n) {
            segments.push(segment);
            n += 1;
            // `std::<>::process` is a path, too.
            if self.colons(n)
                && self.punct(n + 2) == Some('<')
                && let Some(behind) = self.generics(n + 2)
                && self.colons(behind)
            {
                n = behind;
            }
            let is_variable = self.punct(n + 2) == Some('$');
            let next = n + 2 + usize::from(is_variable);
            if !self.colons(n) || self.segment(next).is_none() || segments.len() >= SEGMENTS {
                break;
            }
            n = next;
        }
        (segments, n)
    }
}

struct Scan<'r, 'a> {
    row: &'r Row<'r, 'a>,
    names: Names<'a>,
    found: Findings,
    /// Paths that were judged before, by a digest that nobody can foretell, and what was found.
    judged: HashMap<u64, Vec<usize>>,
    /// What was found of the path that is being judged.
    added: Option<Vec<usize>>,
    hasher: RandomState,
    /// Up to there, names are those of lints.
    lints_until: usize,
    /// Tokens that may still be looked at once more for attributes in attributes.
    again: usize,
}

/// Something that a `use` brings.
struct Leaf<'a> {
    path: Path<'a>,
    /// The name by which it is known; `*` for all that is in it.
    name: &'a str,
    from: usize,
    to: usize,
}

/// All that a `use` brings.
struct Leaves<'a> {
    list: Vec<Leaf<'a>>,
    end: usize,
    /// There is more of it, or something else than names.
    is_cut: bool,
}

impl<'a> Leaves<'a> {
    fn add(&mut self, path: &mut Path<'a>, name: Option<&'a str>, from: usize, to: usize) {
        let path = std::mem::take(path);
        let name = name.or_else(|| path.last().copied());
        match name {
            Some(name) if self.list.len() < LEAVES => self.list.push(Leaf { path, name, from, to }),
            _ => self.is_cut = true,
        }
    }
}

impl<'a> Scan<'_, 'a> {
    /// What names stand for.
    fn define(&mut self) {
        let row = self.row;
        let mut next = 0;
        while next < row.tokens.len() {
            let n = next;
            next += 1;
            // All of these words are short.
            let Some(word) = row.ident(n).filter(|word| word.len() <= 6 && row.is_word(n, word)) else {
                continue;
            };
            match word {
                "use" => {
                    let leaves = self.leaves(n);
                    next = next.max(leaves.end);
                    for leaf in leaves.list {
                        if leaf.name != "*" {
                            self.names.alias(leaf.name, leaf.path);
                        }
                    }
                }
                "extern" if row.ident(n + 1) == Some("crate") => {
                    if let (Some(of), Some("as"), Some(name)) =
                        (row.ident(n + 2), row.ident(n + 3), row.ident(n + 4))
                    {
                        self.names.alias(name, vec![of]);
                    }
                }
                "type" => {
                    if let Some(name) = row.ident(n + 1) {
                        self.names.item(name);
                        // Generics of its own may stand between.
                        let equals = (n + 2..n + 40).find(|&n| matches!(row.punct(n), Some('=' | ';')));
                        let of = equals.filter(|&n| row.punct(n) == Some('=')).map(|n| row.path(n + 1).0);
                        if let Some(of) = of.filter(|of| !of.is_empty()) {
                            self.names.alias(name, of);
                        }
                    }
                }
                "mod" => row.ident(n + 1).into_iter().for_each(|name| self.names.module(name)),
                "struct" | "enum" | "union" | "trait" | "fn" | "static" | "const" => {
                    row.ident(n + 1).into_iter().for_each(|name| self.names.item(name));
                }
                "let" => {
                    // `let start = std::process::Command::new;`
                    let name = n + 1 + usize::from(row.ident(n + 1) == Some("mut"));
                    if let Some(name) = row.ident(name) {
                        self.names.item(name);
                    }
                }
                _ => {}
            }
        }
    }

    /// What the `use` there brings.
    fn leaves(&self, n: usize) -> Leaves<'a> {
        let row = self.row;
        let mut leaves = Leaves { list: Vec::new(), end: n + 1, is_cut: false };
        let mut prefixes: Vec<Path<'a>> = Vec::new();
        let mut path: Path<'a> = Vec::new();
        let mut from = n + 1;
        let mut at = n + 1;
        // `use<'a>` of a type, and the word in a macro's pattern.
        if !(row.ident(at).is_some() || row.colons(at) || row.is_open(at, Delimiter::Brace)) {
            return leaves;
        }
        loop {
            let token = row.get(at);
            leaves.end = at;
            match token {
                Some(Token::Ident { text: "as", raw: false }) if !path.is_empty() => {
                    leaves.add(&mut path, row.ident(at + 1), from, at + 2);
                    at += 2;
                    // Behind a name there is a comma, or the end.
                    path = prefixes.last().cloned().unwrap_or_default();
                    from = at;
                    continue;
                }
                // What it stands in is meant.
                Some(Token::Ident { text: "self", raw: false }) if !path.is_empty() => {}
                Some(Token::Ident { text, raw })
                    if (raw || !names::is_keyword(text)) && path.len() < SEGMENTS =>
                {
                    path.push(text);
                }
                Some(Token::Punct { ch: '*', .. }) => {
                    path.push("*");
                    leaves.add(&mut path, Some("*"), from, at + 1);
                    path = prefixes.last().cloned().unwrap_or_default();
                }
                Some(Token::Open(Delimiter::Brace)) => {
                    prefixes.push(path.clone());
                    from = at + 1;
                }
                Some(Token::Punct { ch: ',', .. } | Token::Close(Delimiter::Brace)) => {
                    let is_new = !path.is_empty() && prefixes.last() != Some(&path);
                    if is_new || row.is_word(at - 1, "self") {
                        leaves.add(&mut path, None, from, at);
                    }
                    let is_end = matches!(token, Some(Token::Close(_)));
                    if is_end {
                        prefixes.pop();
                        leaves.end = at + 1;
                    }
                    // Only in braces there are several.
                    let Some(prefix) = prefixes.last() else { return leaves };
                    // Behind the braces of a path there is nothing more of it.
                    at += usize::from(is_end && row.punct(at + 1) == Some(','));
                    path.clone_from(prefix);
                    from = at + 1;
                }
                Some(Token::Punct { ch: ':', .. }) => {}
                Some(Token::Punct { ch: '$', .. }) if row.ident(at + 1).is_some() => {
                    leaves.is_cut |= row.ident(at + 1) != Some("crate");
                }
                _ => {
                    leaves.is_cut |= !prefixes.is_empty() || path.len() >= SEGMENTS;
                    if leaves.is_cut && !path.is_empty() {
                        path.push("*");
                        leaves.add(&mut path, Some("*"), from, at);
                    } else if !path.is_empty() {
                        leaves.add(&mut path, None, from, at);
                    }
                    return leaves;
                }
            }
            at += 1;
        }
    }

    fn add(&mut self, kind: Kind, what: impl std::fmt::Display, n: usize) {
        let added = self.found.add(kind, what, self.row.number(n));
        if let Some(all) = &mut self.added {
            all.extend(added);
        }
    }

    fn judge(&mut self) {
        let row = self.row;
        // Whether the braces that are open are those of an `impl` or trait, whose functions have the names that they must have.
        let mut bodies: Vec<bool> = Vec::new();
        let mut is_impl = false;
        let mut n = 0;
        while let Some(token) = row.get(n) {
            match token {
                Token::Open(delimiter) => {
                    bodies.push(delimiter == Delimiter::Brace && std::mem::take(&mut is_impl));
                    if matches!(row.get(n + 1), Some(Token::Literal(_))) {
                        self.table(n);
                    }
                }
                Token::Close(_) => drop(bodies.pop()),
                Token::Literal(text) => self.literal(text, n),
                Token::Punct { ch: '#', .. } => {
                    let open = n + 1 + usize::from(row.punct(n + 1) == Some('!'));
                    if row.is_open(open, Delimiter::Bracket) {
                        self.attribute(open + 1, 0);
                    }
                }
                Token::Punct { ch: '*', .. }
                    if matches!(row.ident(n + 1), Some("const" | "mut"))
                        && !row.is_open(n + 2, Delimiter::Brace) =>
                {
                    if row.is_made(n, n + 3) {
                        self.add(
                            Kind::RawPointer,
                            format_args!("*{}", row.ident(n + 1).unwrap_or_default()),
                            n,
                        );
                    }
                }
                Token::Punct { ch: '&', .. }
                    if row.ident(n + 1) == Some("raw")
                        && matches!(row.ident(n + 2), Some("const" | "mut")) =>
                {
                    if row.is_made_one(n) {
                        self.add(Kind::RawPointer, "&raw", n);
                    }
                }
                Token::Punct { ch: '$', .. } if row.ident(n + 1) != Some("crate") => {
                    // A path of which a part is given to a macro that the expansion defines.
                    let is_name = row.ident(n + 1).is_some();
                    let of = |name| names::is_std(name) || self.names.is_alias(name);
                    let is_part = row.is_after_colons(n)
                        || (is_name && (row.colons(n + 2) || row.punct(n + 2) == Some('!')))
                        || row.ident(n.wrapping_sub(1)).is_some_and(of)
                        || (row.punct(n.wrapping_sub(2)) == Some('#')
                            && row.is_open(n.wrapping_sub(1), Delimiter::Bracket));
                    if is_part && row.is_made(n.saturating_sub(2), n + 4) {
                        let name = row.ident(n + 1).unwrap_or_default();
                        self.add(Kind::Unresolved, format_args!("a path with ${name}"), n);
                    }
                }
                Token::Punct { .. } => {}
                // A lifetime.
                Token::Ident { .. } if row.is_lifetime(n) => {}
                Token::Ident { text, .. } => {
                    let starts = matches!(
                        row.before(n),
                        None | Some(
                            Token::Open(Delimiter::Brace)
                                | Token::Close(Delimiter::Brace | Delimiter::Bracket)
                                | Token::Punct { ch: ';', .. }
                                | Token::Ident { text: "unsafe" | "default" | "const" | "pub", .. }
                        )
                    );
                    if text == "trait" || (text == "impl" && starts) {
                        is_impl = true;
                    }
                    if row.is_word(n, "use") {
                        let end = self.used(n);
                        // One that is cut short leaves braces open.
                        for n in n..end {
                            match row.get(n) {
                                Some(Token::Open(_)) => bodies.push(false),
                                Some(Token::Close(_)) => drop(bodies.pop()),
                                _ => {}
                            }
                        }
                        n = end;
                        continue;
                    }
                    let in_impl = bodies.last().copied().unwrap_or_default();
                    self.word(text, n, in_impl);
                    let is_lint = n < self.lints_until && is_tool(text);
                    if !row.goes_on(n) && !is_lint {
                        self.name(n);
                    }
                    // `<T as Trait>::Type::function`
                    if is_type(text)
                        && row.is_after_colons(n)
                        && row.punct(n.wrapping_sub(3)) == Some('>')
                        && (row.ident(n + 1) == Some("as") || row.colons(n + 1))
                        && row.is_made(n - 3, n + 2)
                    {
                        let what = format_args!("<…>::{text}, a type that an implementation chooses");
                        self.add(Kind::Unresolved, what, n);
                    }
                    if text == "crate"
                        && row.punct(n.wrapping_sub(1)) == Some('$')
                        && row.punct(n + 1) == Some('$')
                        && row.is_made(n - 1, n + 2)
                    {
                        self.add(Kind::Unresolved, "a path with $crate and what is given", n);
                    }
                }
            }
            n += 1;
        }
    }

    fn literal(&mut self, text: &str, n: usize) {
        let row = self.row;
        if row.tokens[n].1 != Origin::Made {
            return;
        }
        let Some(value) = texts::value(text) else { return };
        self.text(&value, n);
    }

    fn text(&mut self, value: &[u8], n: usize) {
        let mut kinds = Vec::new();
        texts::kinds(value, |kind| kinds.push(kind));
        for kind in kinds {
            let text = String::from_utf8_lossy(&value[..value.len().min(400)]);
            self.add(kind, format_args!("text `{text}`"), n);
        }
    }

    /// Numbers or characters in brackets: a table, or a text that is spelled.
    fn table(&mut self, open: usize) {
        let row = self.row;
        let mut bytes = Vec::new();
        let (mut numbers, mut made) = (0_usize, false);
        let mut n = open + 1;
        loop {
            match row.get(n) {
                Some(Token::Literal(text)) => {
                    numbers += 1;
                    made |= row.tokens[n].1 == Origin::Made;
                    if bytes.len() < texts::READ {
                        match texts::value(text) {
                            Some(value) => bytes.extend(value.iter().take(texts::READ)),
                            None => bytes.extend(number(text)),
                        }
                    }
                }
                Some(Token::Punct { ch: ',' | '-', .. }) => {}
                _ => break,
            }
            n += 1;
        }
        if !made {
            return;
        }
        if numbers >= TABLE {
            self.add(Kind::LargeLiteral, format_args!("a table of {numbers}"), open);
        }
        if numbers >= SPELLED && bytes.len() >= SPELLED {
            self.text(&bytes, open);
        }
    }

    /// Attributes, from behind the bracket.
    fn attribute(&mut self, at: usize, depth: usize) {
        let row = self.row;
        let (mut path, mut end) = row.path(at);
        if row.ident(at) == Some("unsafe") {
            (path, end) = (vec!["unsafe"], at + 1);
        }
        let Some(&name) = path.first() else { return };
        // Many macros write the user's own attributes again, brackets and all. What is in them is his, but for what does much.
        let is_given = !row.is_made(at, end + 1) && !row.is_made_one(at);
        if is_given && !row.is_made(at.saturating_sub(1), end + 1) {
            return;
        }
        if path.len() > 1 && !is_tool(name) {
            self.path(&path, at, true);
        }
        // It may be known by another name; and what it is called may be what it is.
        let mut ways = self.resolved(&path, at).unwrap_or_default();
        if names::of_attribute(name).is_some() && !ways.contains(&path) {
            ways.push(path.clone());
        }
        if name == "unsafe" && row.is_open(end, Delimiter::Parenthesis) {
            if !is_given {
                self.add(Kind::Unsafe, "an unsafe attribute", at);
            }
            return if depth < 8 { self.attribute(end + 1, depth + 1) } else { self.deep(at) };
        }
        for way in &ways {
            self.attribute_of(way, (at, end), is_given);
        }
        let is_conditional = ways.iter().any(|way| way.last() == Some(&"cfg_attr"));
        if is_conditional && row.is_open(end, Delimiter::Parenthesis) {
            if depth >= 8 || self.again == 0 {
                return self.deep(at);
            }
            // What stands behind each comma at its own level is an attribute.
            let (mut open, mut n) = (0_usize, end + 1);
            while let Some(token) = row.get(n) {
                let Some(again) = self.again.checked_sub(1) else { return self.deep(at) };
                self.again = again;
                match token {
                    Token::Open(_) => open += 1,
                    Token::Close(_) if open == 0 => break,
                    Token::Close(_) => open -= 1,
                    Token::Punct { ch: ',', .. } if open == 0 => self.attribute(n + 1, depth + 1),
                    _ => {}
                }
                n += 1;
            }
        }
    }

    /// An attribute of that name.
    fn attribute_of(&mut self, path: &[&'a str], (at, end): (usize, usize), is_given: bool) {
        let row = self.row;
        let (Some(&name), Some(&last)) = (path.first(), path.last()) else { return };
        let kind = names::of_attribute(last);
        let is_harmless = kind.is_none_or(|kind| matches!(kind, Kind::Lints | Kind::Cfg | Kind::MacroRules));
        if is_given && is_harmless {
            return;
        }
        match kind {
            Some(Kind::Lints) => {
                let mut n = end + 1;
                while row.is_open(end, Delimiter::Parenthesis) && row.ident(n).is_some() {
                    let (lint, behind) = row.path(n);
                    if lint != ["reason"] {
                        self.add(Kind::Lints, format_args!("{last}({})", lint.join("::")), at);
                    }
                    n = behind + 1;
                    if row.punct(behind) != Some(',') {
                        break;
                    }
                }
                self.lints_until = self.lints_until.max(n);
            }
            Some(kind) => {
                self.add(kind, format_args!("#[{}]", path.join("::")), at);
                if matches!(last, "ctor" | "dtor" | "distributed_slice") {
                    self.add(Kind::Macro, format_args!("#[{}]", path.join("::")), at);
                }
            }
            None if last == "derive" => self.derives(end),
            None if path.len() == 1 && names::is_quiet_attribute(name) => {}
            None if path.len() > 1 && is_tool(name) => {}
            None => self.add(Kind::Macro, format_args!("#[{}]", path.join("::")), at),
        }
    }

    /// Says that what nests there was not looked at to the end.
    fn deep(&mut self, at: usize) {
        self.add(Kind::Unresolved, "what nests too deep, or too often", at);
    }

    fn derives(&mut self, open: usize) {
        let row = self.row;
        let mut n = open + 1;
        while row.is_open(open, Delimiter::Parenthesis) && (row.ident(n).is_some() || row.colons(n)) {
            let (path, behind) = row.path(n);
            let last = path.last().copied().unwrap_or_default();
            if path.len() > 1 {
                self.path(&path, n, true);
            }
            let is_std = path.len() == 1 || path.first().is_some_and(|first| names::is_std(first));
            if !(is_std && names::is_std_derive(last) && !self.names.is_known(last)) {
                self.add(Kind::Macro, format_args!("derive({})", path.join("::")), n);
            }
            n = behind + 1;
            if row.punct(behind) != Some(',') {
                break;
            }
        }
    }

    /// A `use`: what it brings, judged. Returns where it ends.
    fn used(&mut self, n: usize) -> usize {
        let Leaves { list: leaves, end, is_cut } = self.leaves(n);
        for n in n + 1..end {
            self.row.ident(n).into_iter().for_each(|word| self.word(word, n, false));
        }
        if is_cut && self.row.is_made(n, end) {
            self.add(Kind::Unresolved, "a use of which not all can be said", n);
        }
        for leaf in leaves {
            // What stands before braces belongs to all that is in them.
            if !self.row.is_made(leaf.from, leaf.to) && !self.row.is_made(n, leaf.from + 1) {
                continue;
            }
            let at = leaf.from;
            if names::is_keyword_later(leaf.name) {
                self.add(Kind::Unresolved, format_args!("use {} as {}", leaf.path.join("::"), leaf.name), at);
            }
            let is_own = |name: &str| leaf.path.last() == Some(&name);
            let from_std = leaf.path.first().is_some_and(|first| names::is_std(first));
            if names::is_prelude(leaf.name) && !(is_own(leaf.name) && (from_std || leaf.path.len() == 1)) {
                self.add(Kind::Shadow, format_args!("use {} as {}", leaf.path.join("::"), leaf.name), at);
            }
            if names::of_macro(leaf.name).is_some() && !(is_own(leaf.name) && from_std) {
                // Many functions and modules have such names.
                let is_quiet = !from_std
                    && matches!(leaf.name, "file" | "line" | "column" | "env" | "pin" | "try" | "ready");
                if !is_quiet {
                    self.add(
                        Kind::Shadow,
                        format_args!("use {} as {}!", leaf.path.join("::"), leaf.name),
                        at,
                    );
                }
            }
            if leaf.name == "*" {
                match &leaf.path[..] {
                    ["self" | "super" | "crate", ..] | [_] => {}
                    [root, rest @ ..] if names::is_std(root) && rest.contains(&"prelude") => {}
                    // Variants of an enum that is not the expansion's own.
                    path if path
                        .iter()
                        .rev()
                        .nth(1)
                        .is_some_and(|of| is_type(of) && !self.names.is_known(of)) => {}
                    path => self.add(Kind::Unresolved, format_args!("use {}", path.join("::")), at),
                }
            }
            self.path(&leaf.path, at, false);
        }
        end.max(n + 1)
    }

    /// A word by itself.
    fn word(&mut self, word: &'a str, n: usize, in_impl: bool) {
        let row = self.row;
        if !word.is_ascii() && row.tokens[n].1 == Origin::Made {
            self.add(Kind::NonAscii, format_args!("`{word}`"), n);
            if word.contains(texts::is_hidden) {
                self.add(Kind::Bidi, format_args!("`{word}`"), n);
            }
        }
        // All of these words are short, and small.
        if word.len() > 6 || !word.as_bytes().first().is_some_and(u8::is_ascii_lowercase) {
            return;
        }
        match word {
            "unsafe" if row.is_made_one(n) || self.is_head_made(n) => {
                let of = match row.get(n + 1) {
                    Some(Token::Open(_)) => "block",
                    Some(Token::Ident { text, .. }) => text,
                    _ => "",
                };
                self.add(Kind::Unsafe, format_args!("unsafe {of}"), n);
            }
            "static" if row.ident(n + 1) == Some("mut") && row.is_made(n, n + 3) => {
                self.add(Kind::Unsafe, "static mut", n);
            }
            "extern" if row.is_made(n, n + 3) => match row.get(n + 1) {
                Some(Token::Ident { text: "crate", .. }) => {
                    let of = row.ident(n + 2).unwrap_or_default();
                    let name = row.ident(n + 4).filter(|_| row.ident(n + 3) == Some("as")).unwrap_or(of);
                    if names::is_keyword_later(name) {
                        self.add(Kind::Unresolved, format_args!("extern crate {of} as {name}"), n);
                    }
                    if !names::is_std(of) && of != "self" {
                        self.add(Kind::Crate, of, n);
                    }
                    if names::is_prelude(name) && name != of {
                        self.add(Kind::Shadow, format_args!("extern crate {of} as {name}"), n);
                    }
                }
                Some(Token::Literal(abi)) => self.add(Kind::Ffi, format_args!("extern {abi}"), n),
                _ => self.add(Kind::Ffi, "extern", n),
            },
            "mod" if row.punct(n + 2) == Some(';') && row.is_made(n, n + 3) => {
                let name = row.ident(n + 1).unwrap_or_default();
                self.add(Kind::Include, format_args!("mod {name};"), n);
            }
            "macro" if row.ident(n + 1).is_some() && row.is_made_one(n) => {
                let name = row.ident(n + 1).unwrap_or_default();
                self.add(Kind::MacroRules, format_args!("macro {name}"), n);
                if names::of_macro(name).is_some() {
                    self.add(Kind::Shadow, format_args!("macro {name}"), n);
                }
            }
            _ => {}
        }
        let is_item = match word {
            "struct" | "enum" | "union" | "trait" | "mod" => true,
            // In an `impl`, these are what a trait wants.
            "fn" | "type" | "const" | "static" => !in_impl,
            _ => false,
        };
        let after = n + 1 + usize::from(row.is_word(n + 1, "mut"));
        // `*const u8` is a type.
        let is_pointer = row.punct(n.wrapping_sub(1)) == Some('*') || row.is_word(n.wrapping_sub(1), "raw");
        if is_item
            && !is_pointer
            && let Some(name) = row.ident(after)
            && names::is_prelude(name)
            && row.is_made(n, after + 1)
        {
            self.add(Kind::Shadow, format_args!("{word} {name}"), n);
        }
    }

    /// Whether what the `unsafe` there is about was put together up to its braces: an `impl`'s head, a function's.
    fn is_head_made(&self, n: usize) -> bool {
        let row = self.row;
        let is_end = |&n: &usize| row.is_open(n, Delimiter::Brace) || row.punct(n) == Some(';');
        (n + 1..n + HEAD).find(is_end).is_some_and(|end| row.is_made(n, end + 1))
    }

    /// A path or name that begins there, or a macro's call.
    fn name(&mut self, n: usize) {
        let row = self.row;
        if !row.colons(n + 1) && row.punct(n + 1) != Some('!') && !row.is_method(n) {
            return self.single(n);
        }
        let leading = row.is_after_colons(n);
        let (path, end) = row.path(n);
        let from = if leading { n - 2 } else { n };
        let Some(&last) = path.last() else { return };
        let is_made = row.is_made(from, end);
        if row.is_method(n) {
            let is_called = row.is_open(end, Delimiter::Parenthesis) || row.colons(end);
            let is_made = row.is_made(n - 1, end + 1);
            if let Some(kind) = names::of_method(last).filter(|_| is_called && is_made) {
                self.add(kind, format_args!(".{last}()"), n);
            }
            return;
        }
        if path.len() >= SEGMENTS && is_made {
            self.add(Kind::Unresolved, "a path that is too long", n);
        }
        // Whether it is joint or not: what follows is none that could belong to it.
        let is_call = row.punct(end) == Some('!')
            && matches!(row.get(end + 1), Some(Token::Open(_) | Token::Ident { .. }));
        if is_call {
            if is_made || row.is_made(end - 1, end + 2) {
                self.called(&path, n, end + 1);
            }
            return;
        }
        if !is_made {
            return;
        }
        if path.len() > 1 {
            // A part that the user has written can be anything of his.
            let given =
                (n..end).filter(|&n| row.segment(n).is_some()).position(|n| row.tokens[n].1 != Origin::Made);
            if names::is_std(path[0]) && given.is_some_and(|given| names::is_open(&path[..given])) {
                self.add(Kind::Unresolved, format_args!("{}, partly given", path.join("::")), n);
            }
            self.path(&path, n, true);
        } else {
            self.single(n);
        }
    }

    /// A name by itself.
    fn single(&mut self, n: usize) {
        let row = self.row;
        let Some(name) = row.segment(n) else { return };
        let known = self.names.is_alias(name);
        let (of_type, of_last) = (names::of_type(name), names::of_last(name));
        if !(known || of_type.is_some() || of_last.is_some()) || !row.is_made(n, n + 1) {
            return;
        }
        if known {
            self.path(&[name], n, false);
        } else if let Some(kind) = of_type.filter(|_| !self.names.is_alias(name)) {
            // A struct of that name that is made here, and a variant of an enum, are none of std's.
            let is_bound = !row.is_open(n + 1, Delimiter::Brace) && kind != Kind::Process;
            if is_bound {
                self.add(Kind::Unresolved, format_args!("{name}, which may be one of std's"), n);
            }
        } else if let Some(kind) =
            of_last.filter(|_| row.is_open(n + 1, Delimiter::Parenthesis) || row.colons(n + 1))
        {
            self.add(kind, name, n);
        }
    }

    fn resolved(&mut self, path: &[&'a str], n: usize) -> Option<Vec<Path<'a>>> {
        let ways = self.names.resolve(path);
        if ways.is_none() {
            self.add(
                Kind::Unresolved,
                format_args!("{}, which stands for too many things", path.join("::")),
                n,
            );
        }
        ways
    }

    /// A path: what it stands for, and what that is for.
    fn path(&mut self, path: &[&'a str], n: usize, is_used: bool) {
        // The same ones come again and again.
        let key = self.hasher.hash_one((path, is_used));
        if let Some(found) = self.judged.get(&key) {
            found.iter().for_each(|&n| self.found.again(n));
            return;
        }
        self.added = Some(Vec::new());
        for way in self.resolved(path, n).unwrap_or_default() {
            // A `use` of a crate's name alone uses nothing of it yet.
            if way.len() > 1 || is_used {
                self.resolved_path(&way, path, n);
            }
        }
        self.judged.insert(key, self.added.take().unwrap_or_default());
    }

    fn resolved_path(&mut self, way: &[&'a str], written: &[&'a str], n: usize) {
        let Some((&first, rest)) = way.split_first() else { return };
        let what = || match way == written {
            true => way.join("::"),
            false => format!("{} (as {})", way.join("::"), written.join("::")),
        };
        let last = way.last().copied().unwrap_or(first);
        if names::is_std(first) && !rest.is_empty() {
            if let Some(kind) = names::of_std(way) {
                self.add(kind, what(), n);
                if rest.first() == Some(&"os") && kind != Kind::Os {
                    self.add(Kind::Os, what(), n);
                }
            } else if names::of_macro(last) == Some(Some(Kind::Include)) && rest.len() == 1 {
                self.add(Kind::Include, what(), n);
            } else if let Some(kind) = names::of_method(last).filter(|_| rest.len() > 1) {
                self.add(kind, what(), n);
            } else if rest.first() == Some(&"path") && last == "metadata" {
                self.add(Kind::Fs, what(), n);
            }
            return;
        }
        let found = names::of_any(way);
        let of_last = names::of_last(last);
        if let Some(kind) = found.or(of_last) {
            self.add(kind, what(), n);
        }
        if found.is_some() {
            self.add(Kind::Unresolved, format_args!("{}, which may be std's", what()), n);
        }
        // What the crate has there was written by somebody else, or by another expansion.
        if written.first() == Some(&"crate") && found.is_none() && !self.names.is_known(first) {
            let what = format_args!("{}, of the crate that it stands in", written.join("::"));
            self.add(Kind::Unresolved, what, n);
            return;
        }
        let is_own =
            matches!(first, "self" | "super" | "crate" | "$crate" | "Self") || self.names.is_known(first);
        let is_crate =
            !is_own && !is_type(first) && first != "*" && !rest.is_empty() && !names::is_prelude(first);
        if is_crate && found.is_none() {
            self.add(Kind::Crate, first, n);
        } else if found.is_none()
            && !is_own
            && is_type(first)
            && names::of_type(first).is_some()
            && !self.names.is_alias(first)
        {
            self.add(Kind::Unresolved, format_args!("{first}, which may be one of std's"), n);
        }
    }

    /// A macro that is called there. `at` is where what it is given begins.
    fn called(&mut self, path: &[&'a str], n: usize, at: usize) {
        let row = self.row;
        let mut ways = self.resolved(path, n).unwrap_or_default();
        // What it is called may be what it is: where the alias is not in scope.
        if path.last().is_some_and(|last| names::of_macro(last).is_some())
            && !ways.iter().any(|way| way == path)
        {
            ways.push(path.to_vec());
        }
        let is_joining = |way: &Path<'_>| matches!(way.last(), Some(&("concat" | "concat_bytes")));
        if ways.iter().any(is_joining) {
            self.joined(at);
        }
        for way in ways {
            let (Some(&first), Some(&last)) = (way.first(), way.last()) else { continue };
            let of_std = (way.len() == 1 || names::is_std(first)).then(|| names::of_macro(last)).flatten();
            match of_std {
                Some(Some(Kind::MacroRules)) => {
                    let name = row.ident(at).unwrap_or_default();
                    self.add(Kind::MacroRules, name, n);
                    if names::of_macro(name).is_some() {
                        self.add(Kind::Shadow, format_args!("macro_rules! {name}"), n);
                    }
                }
                Some(Some(kind)) => self.add(kind, format_args!("{last}!"), n),
                Some(None) => {}
                None => {
                    let name = way.join("::");
                    if way.contains(&"inventory") || way.contains(&"linkme") || way.contains(&"ctor") {
                        self.add(Kind::BeforeMain, format_args!("{name}!"), n);
                    }
                    self.add(Kind::Macro, format_args!("{name}!"), n);
                    if way.len() > 1 && !matches!(first, "crate" | "$crate" | "self" | "super") {
                        self.add(Kind::Crate, first, n);
                    }
                }
            }
        }
    }

    /// Texts that are put together: what they come to, with what stands in macros that are called there.
    fn joined(&mut self, open: usize) {
        let row = self.row;
        let (mut text, mut depth) = (Vec::new(), 0_usize);
        let mut n = open;
        while let Some(token) = row.get(n) {
            let Some(again) = self.again.checked_sub(1) else { return self.deep(open) };
            self.again = again;
            match token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth = depth.saturating_sub(1),
                _ if text.len() >= texts::READ => {}
                Token::Literal(part) => match texts::value(part) {
                    Some(value) => text.extend(value.iter().take(texts::READ)),
                    None => text.extend_from_slice(part.as_bytes()),
                },
                Token::Ident { text: part, .. } if row.punct(n + 1) != Some('!') => {
                    text.extend_from_slice(part.as_bytes());
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
            n += 1;
        }
        self.text(&text, open);
    }
}

/// A tool whose attributes the compiler knows.
fn is_tool(name: &str) -> bool {
    matches!(name, "rustfmt" | "clippy" | "diagnostic" | "rustdoc")
}

/// Whether a name is written as types are.
fn is_type(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(|c: char| c.is_uppercase())
}

/// A number's text, if it is that of a byte.
fn number(text: &str) -> Option<u8> {
    const TYPES: [&str; 12] =
        ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    let digits = TYPES.iter().find_map(|of| text.strip_suffix(of)).unwrap_or(text).replace('_', "");
    let (digits, radix) = match digits.get(..2) {
        Some("0x") => (&digits[2..], 16),
        Some("0b") => (&digits[2..], 2),
        Some("0o") => (&digits[2..], 8),
        _ => (digits.as_str(), 10),
    };
    u8::from_str_radix(digits, radix).ok()
}
