//! Tokens as Rust that people can read.
//!
//! ```text
//! tokens ── parsed as items, as statements, as members of an impl, as a type ── formatted ── lexed again: whose is each part?
//!    └───────────────────────── none of these, or too much of it ── one line for each `;` and brace
//! ```
//!
//! Groups without delimiters, which rustc keeps an expression together with, have no text. `$crate` is written as rustc prints it.

use std::ops::Range;

use belljar_wire::tokens::Delimiter;
use proc_macro2::{TokenStream, TokenTree};

use crate::flat::{Origin, Token};
use crate::nesting::{self, STACK, THREAD};

/// The longest row of tokens that is parsed. The parser's stack grows with what it reads.
const MAX_PARSED: usize = 50_000;

/// How deep what is formatted may nest. Each level is indented, so deeper ones make more text than anybody reads.
const MAX_DEPTH: usize = 250;

/// The longest text in which it is looked for keywords and literals.
const MAX_CLASSED: usize = 1 << 20;

/// What stands for `$crate` while it is parsed: an identifier that nobody writes.
const CRATE: &str = "__belljar_dollar_crate__";

/// What is around tokens that are no items, while they are formatted.
const AROUND: &str = "__belljar_around__";

/// What makes tokens readable.
#[derive(Clone, Copy)]
pub enum Formatter<'a> {
    /// Nothing: one line for each `;` and brace.
    None,
    Prettyplease,
    /// Prettyplease, and then this: from the text of a source file to the same tokens as another text. Where it has none, or has
    /// other tokens in it, the first text stays. It is called in a thread of its own.
    Other(Other<'a>),
}

/// Tokens as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rust {
    /// With a line break at its end, unless it is empty.
    pub text: String,
    /// Parts of the text that the macro has made, in order. The rest it was given, or is white space.
    pub made: Vec<Range<usize>>,
    /// Whether it is formatted. If not, it is no Rust that is known here, or too much.
    pub is_formatted: bool,
}

/// The text of these tokens.
#[must_use]
pub fn rust(tokens: &[(Token<'_>, Origin)]) -> Rust {
    rust_by(tokens, Formatter::Prettyplease)
}

/// The text of these tokens, as a formatter writes them.
#[must_use]
pub fn rust_by(tokens: &[(Token<'_>, Origin)], formatter: Formatter<'_>) -> Rust {
    let other = match formatter {
        Formatter::None => return without_odd(plain(tokens)),
        Formatter::Prettyplease => None,
        Formatter::Other(other) => Some(other),
    };
    let is_moderate = tokens.len() <= MAX_PARSED && depth(tokens) <= MAX_DEPTH;
    let formatted = is_moderate.then(|| in_a_thread(tokens, other)).flatten();
    without_odd(formatted.unwrap_or_else(|| plain(tokens)))
}

/// How deep groups nest, and what stands between `<` and `>` as if it were a group.
fn depth(tokens: &[(Token<'_>, Origin)]) -> usize {
    // The angles that are open, of each group that is.
    let mut levels = vec![0_usize];
    let (mut open, mut deepest) = (0_usize, 0);
    let mut is_arrow = false;
    for (token, _) in tokens {
        match (token, levels.last_mut()) {
            (Token::Open(_), _) => levels.push(0),
            (Token::Close(_), _) => open -= levels.pop().unwrap_or(0).min(open),
            (Token::Punct { ch: '<', .. }, Some(level)) => {
                *level += 1;
                open += 1;
            }
            (Token::Punct { ch: '>', .. }, Some(level)) if *level > 0 && !is_arrow => {
                *level -= 1;
                open -= 1;
            }
            // Comparisons and shifts end with the statement.
            (Token::Punct { ch: ';', .. }, Some(level)) => open -= std::mem::take(level),
            _ => {}
        }
        is_arrow = matches!(token, Token::Punct { ch: '-' | '=', joint: true });
        deepest = deepest.max(levels.len() + open);
    }
    deepest
}

/// A formatter that is not built in.
type Other<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

fn in_a_thread(tokens: &[(Token<'_>, Origin)], other: Option<Other<'_>>) -> Option<Rust> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, || formatted(tokens, other)).ok()?.join().ok()?
    })
}

/// Has panics of threads that format say nothing: they are no fault, and have a consequence. For a process that calls [`rust`], once.
pub fn quiet_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(THREAD) {
            before(panic);
        }
    }));
}

fn formatted(tokens: &[(Token<'_>, Origin)], other: Option<Other<'_>>) -> Option<Rust> {
    // What stands for `$crate` must stand for nothing else.
    let is_taken = |token: &Token<'_>| match token {
        Token::Ident { text, .. } | Token::Literal(text) => text.contains(CRATE),
        _ => false,
    };
    if tokens.iter().any(|(token, _)| is_taken(token)) {
        return None;
    }
    let stream = stream(tokens)?;
    if nesting::nesting(stream.clone()) > nesting::MAX {
        return None;
    }
    let (within, whole) = Within::ALL.iter().find_map(|within| {
        let whole = within.whole(&stream)?;
        within.contents(&whole).is_some().then_some((within, whole))
    })?;
    let checked = |whole: &str| {
        let text = within.contents(whole)?;
        let made = origins(&text, tokens)?;
        Some((text, made))
    };
    let by_other = other.and_then(|other| checked(&other(&whole)?));
    let (text, made) = by_other.or_else(|| checked(&whole))?;
    Some(changed(Rust { text, made, is_formatted: true }, |rest| {
        rest.starts_with(CRATE).then(|| (CRATE.len(), "$crate".to_owned()))
    }))
}

/// What is around tokens while they are formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Nothing: they are items.
    Nothing,
    /// The braces of an item that begins like this.
    Braces(&'static str),
    /// What says that they are a type.
    Type,
}

impl Within {
    const ALL: [Self; 5] =
        [Self::Nothing, Self::Braces("fn"), Self::Braces("impl"), Self::Braces("trait"), Self::Type];

    /// The text of a source file with these tokens in it. `None` if they are none of that.
    fn whole(self, stream: &TokenStream) -> Option<String> {
        let whole = match self {
            Self::Nothing => stream.clone(),
            Self::Braces(word) => {
                let arguments = if word == "fn" { "()" } else { "" };
                let mut item: TokenStream = format!("{word} {AROUND}{arguments}").parse().ok()?;
                let braces = proc_macro2::Group::new(proc_macro2::Delimiter::Brace, stream.clone());
                item.extend([TokenTree::from(braces)]);
                item
            }
            Self::Type => {
                let mut item: TokenStream = format!("type {AROUND} =").parse().ok()?;
                item.extend(stream.clone());
                item.extend([TokenTree::from(proc_macro2::Punct::new(';', proc_macro2::Spacing::Alone))]);
                item
            }
        };
        Some(prettyplease::unparse(&syn::parse2(whole).ok()?))
    }

    /// The tokens' own part of such a text.
    fn contents(self, whole: &str) -> Option<String> {
        match self {
            Self::Nothing => Some(whole.to_owned()),
            Self::Braces(word) => {
                let (head, rest) = whole.split_once("{\n")?;
                let is_head = head.starts_with(word) && head.contains(AROUND);
                is_head.then(|| rest.strip_suffix("}\n").map(dedented))?
            }
            Self::Type => {
                let text = whole.strip_prefix(&format!("type {AROUND} ="))?.strip_suffix(";\n")?;
                Some(format!("{}\n", text.trim_start()))
            }
        }
    }
}

/// Without the space that is before the first line, before any line but those that begin within a token.
fn dedented(text: &str) -> String {
    let parts = parts(text).unwrap_or_default();
    let mut long = parts
        .into_iter()
        .map(|part| part.range)
        .filter(|range| text[range.clone()].contains('\n'))
        .peekable();
    let indent = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        while long.peek().is_some_and(|range| range.end <= at) {
            long.next();
        }
        let is_within = long.peek().is_some_and(|range| range.start < at);
        out.push_str(if is_within { line } else { line.strip_prefix(indent).unwrap_or(line) });
        at += line.len();
    }
    out
}

/// As the parser's tokens.
fn stream(tokens: &[(Token<'_>, Origin)]) -> Option<TokenStream> {
    let mut open: Vec<Vec<TokenTree>> = vec![Vec::new()];
    for (token, _) in tokens {
        match *token {
            Token::Open(_) => open.push(Vec::new()),
            Token::Close(delimiter) => {
                let inner = open.pop()?.into_iter().collect();
                let delimiter = match delimiter {
                    Delimiter::Parenthesis => proc_macro2::Delimiter::Parenthesis,
                    Delimiter::Brace => proc_macro2::Delimiter::Brace,
                    Delimiter::Bracket => proc_macro2::Delimiter::Bracket,
                    Delimiter::None => proc_macro2::Delimiter::None,
                };
                open.last_mut()?.push(proc_macro2::Group::new(delimiter, inner).into());
            }
            Token::Punct { ch, joint } => {
                let spacing = if joint { proc_macro2::Spacing::Joint } else { proc_macro2::Spacing::Alone };
                open.last_mut()?.push(proc_macro2::Punct::new(ch, spacing).into());
            }
            // Texts are lexed, which says no to what is none; making an identifier of them would panic.
            Token::Ident { text: "$crate", .. } => open.last_mut()?.extend(lexed(CRATE)?),
            Token::Ident { text, raw: false } => open.last_mut()?.extend(lexed(text)?),
            Token::Ident { text, raw: true } => open.last_mut()?.extend(lexed(&format!("r#{text}"))?),
            Token::Literal(text) => open.last_mut()?.extend(lexed(text)?),
        }
    }
    let whole = open.pop().filter(|_| open.is_empty())?;
    Some(whole.into_iter().collect())
}

fn lexed(text: &str) -> Option<TokenStream> {
    text.parse().ok()
}

/// A token's text. A group without delimiters has none.
pub(crate) fn text_of(token: Token<'_>) -> Option<String> {
    Some(match token {
        Token::Ident { text, raw } => format!("{}{text}", if raw { "r#" } else { "" }),
        Token::Literal(text) => text.to_owned(),
        Token::Punct { ch, .. } => ch.to_string(),
        Token::Open(delimiter) => delimiters(delimiter)?.0.to_string(),
        Token::Close(delimiter) => delimiters(delimiter)?.1.to_string(),
    })
}

fn delimiters(delimiter: Delimiter) -> Option<(char, char)> {
    match delimiter {
        Delimiter::Parenthesis => Some(('(', ')')),
        Delimiter::Brace => Some(('{', '}')),
        Delimiter::Bracket => Some(('[', ']')),
        Delimiter::None => None,
    }
}

/// What the formatter adds or leaves out where it means the same.
fn is_free(text: &str) -> bool {
    matches!(text, "," | ";" | "(" | ")" | "{" | "}")
}

/// Which parts of a formatted text the macro has made. `None` if it is not the text of these tokens, whatever the formatter has made
/// of them: then what is shown would not be what is compiled.
fn origins(text: &str, tokens: &[(Token<'_>, Origin)]) -> Option<Vec<Range<usize>>> {
    let parts = parts(text)?;
    let mut flat: Vec<(String, Origin)> = Vec::with_capacity(tokens.len());
    for (token, origin) in tokens {
        let Some(text) = text_of(*token) else { continue };
        match (token, text.strip_prefix('-')) {
            (Token::Ident { text: "$crate", .. }, _) => flat.push((CRATE.to_owned(), *origin)),
            // One token for a macro, two for a lexer.
            (Token::Literal(_), Some(positive)) => {
                flat.extend([("-".to_owned(), *origin), (positive.to_owned(), *origin)]);
            }
            _ => flat.push((text, *origin)),
        }
    }
    let mut made: Vec<Range<usize>> = Vec::new();
    let (mut at, mut origin) = (0, Origin::Made);
    // The last tokens before, for doc comments.
    let mut before = ["", ""];
    // Where the last token ended. Between tokens there is white space: no comment of anybody's.
    let mut ended = 0;
    for (n, part) in parts.iter().enumerate() {
        if text.get(ended..part.range.start).is_some_and(|between| !between.trim().is_empty()) {
            return None;
        }
        ended = ended.max(part.range.end);
        let next = |text: &str| parts.get(n + 1).is_some_and(|part| part.text == text);
        loop {
            let Some((token, of)) = flat.get(at) else {
                if is_free(&part.text) { break } else { return None }
            };
            let is_doc = before == ["doc", "="] && is_same_doc(token, &part.text);
            // What is free on both sides may be another one.
            let is_added = is_free(&part.text) && *token != part.text && next(token) && !is_free(token);
            if *token == part.text || is_doc {
                origin = *of;
                at += 1;
                break;
            }
            let is_empty = token == "<" && flat.get(at + 1).is_some_and(|(token, _)| token == ">");
            match (is_free(token), is_free(&part.text)) {
                _ if is_added => break,
                // Generics without any.
                _ if is_empty => at += 2,
                (true, _) => at += 1,
                (false, true) => break,
                (false, false) => return None,
            }
        }
        before = [before[1], &part.text];
        // What the formatter has added is of whoever wrote what is before it. A doc comment is several tokens in one place: where the
        // macro has made one of them, it has made the comment.
        if origin == Origin::Made {
            let covered = made.last().map_or(0, |last| last.end);
            let range = part.range.start.max(covered)..part.range.end;
            match made.last_mut() {
                _ if range.is_empty() => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => made.push(range),
            }
        }
    }
    let is_rest_free = flat.get(at..)?.iter().all(|(token, _)| is_free(token));
    (is_rest_free && text.get(ended..)?.trim().is_empty()).then_some(made)
}

/// Whether two literals are the same documentation: it is written in another form as a comment, and without space around it.
pub(crate) fn is_same_doc(a: &str, b: &str) -> bool {
    let value =
        |text: &str| syn::parse_str::<syn::LitStr>(text).ok().map(|text| text.value().trim().to_owned());
    value(a).is_some_and(|a| value(b) == Some(a))
}

/// A token of a text.
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
}

pub(crate) fn parts(text: &str) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut open = vec![text.parse::<TokenStream>().ok()?.into_iter()];
    let mut closing: Vec<Part> = Vec::new();
    let mut push = |text: String, range: Range<usize>| parts.push(Part { text, range });
    while let Some(trees) = open.last_mut() {
        let Some(tree) = trees.next() else {
            open.pop();
            if let Some(Part { text, range }) = closing.pop() {
                push(text, range);
            }
            continue;
        };
        let range = tree.span().byte_range();
        match tree {
            TokenTree::Group(group) => {
                let (opening, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ('(', ')'),
                    proc_macro2::Delimiter::Brace => ('{', '}'),
                    proc_macro2::Delimiter::Bracket => ('[', ']'),
                    // No text has any.
                    proc_macro2::Delimiter::None => return None,
                };
                push(opening.to_string(), group.span_open().byte_range());
                closing.push(Part { text: close.to_string(), range: group.span_close().byte_range() });
                open.push(group.stream().into_iter());
            }
            tree => push(tree.to_string(), range),
        }
    }
    Some(parts)
}

/// What a part of a text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Keyword,
    Literal,
    /// A doc comment: others are no tokens.
    Comment,
}

/// Source: the reference's strict and reserved keywords, and those of the weak ones that are never a name here.
pub(crate) const KEYWORDS: [&str; 39] = [
    "Self", "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "unsafe", "use", "where",
    "while",
];

/// What parts of a text are, in order. Of a text that is not Rust's tokens, nothing is known.
#[must_use]
pub fn classes(text: &str) -> Vec<(Range<usize>, Class)> {
    let mut classes: Vec<(Range<usize>, Class)> = Vec::new();
    if text.len() > MAX_CLASSED {
        return classes;
    }
    for Part { text: part, range } in parts(text).unwrap_or_default() {
        if classes.last().is_some_and(|(last, _)| range.start < last.end) {
            continue;
        }
        let source = text.get(range.clone()).unwrap_or_default();
        let first = part.chars().next().unwrap_or(' ');
        if source.starts_with("//") || source.starts_with("/*") {
            classes.push((range, Class::Comment));
        } else if KEYWORDS.binary_search(&part.as_str()).is_ok() {
            classes.push((range, Class::Keyword));
        } else if first == '"' || first.is_ascii_digit() || part.ends_with(['"', '\'']) && part.len() > 1 {
            classes.push((range, Class::Literal));
        }
    }
    // Else all texts would be kept, for their places.
    proc_macro2::extra::invalidate_current_thread_spans();
    classes
}

/// Tokens in lines, for what can't be formatted: a space between any two that aren't one operator, a new line behind `;` and braces.
fn plain(tokens: &[(Token<'_>, Origin)]) -> Rust {
    const INDENT: usize = 4;
    /// Deeper ones aren't indented further.
    const DEEPEST: usize = 20;
    let mut rust = Rust { text: String::new(), made: Vec::new(), is_formatted: false };
    let (mut depth, mut begins, mut joins) = (0_usize, true, true);
    for (token, origin) in tokens {
        let Some(text) = text_of(*token) else { continue };
        if matches!(token, Token::Close(Delimiter::Brace)) {
            depth = depth.saturating_sub(1);
            if !begins {
                rust.text.push('\n');
                begins = true;
            }
        }
        match (begins, joins) {
            (true, _) => rust.text.extend(std::iter::repeat_n(' ', INDENT * depth.min(DEEPEST))),
            (false, false) => rust.text.push(' '),
            (false, true) => {}
        }
        let from = rust.text.len();
        rust.text.push_str(&text);
        if *origin == Origin::Made {
            rust.made.push(from..rust.text.len());
        }
        begins = matches!(
            token,
            Token::Open(Delimiter::Brace) | Token::Close(Delimiter::Brace) | Token::Punct { ch: ';', .. }
        );
        if begins {
            rust.text.push('\n');
        }
        if matches!(token, Token::Open(Delimiter::Brace)) {
            depth += 1;
        }
        joins = matches!(token, Token::Punct { joint: true, .. });
    }
    if !begins {
        rust.text.push('\n');
    }
    rust
}

/// With an escape for what a terminal would obey, or nobody would see.
fn without_odd(rust: Rust) -> Rust {
    if !rust.text.chars().any(is_odd) {
        return rust;
    }
    changed(rust, |rest| {
        let c = rest.chars().next().filter(|c| is_odd(*c))?;
        Some((c.len_utf8(), c.escape_unicode().to_string()))
    })
}

/// With other texts in some places: `change` says of what begins a rest how long it is, and what is there instead. Ranges move along.
fn changed(rust: Rust, change: impl Fn(&str) -> Option<(usize, String)>) -> Rust {
    let Rust { text, made, is_formatted } = rust;
    let mut out = String::with_capacity(text.len());
    let mut bounds: Vec<usize> = made.iter().flat_map(|range| [range.start, range.end]).collect();
    bounds.dedup();
    // Where each of them is in the new text.
    let mut moved = std::collections::HashMap::new();
    let mut wanted = bounds.into_iter().peekable();
    let mut at = 0;
    while at <= text.len() {
        while wanted.peek().is_some_and(|&bound| bound <= at) {
            moved.extend(wanted.next().map(|bound| (bound, out.len())));
        }
        let rest = &text[at..];
        let Some(c) = rest.chars().next() else { break };
        match change(rest) {
            Some((len, other)) => {
                out.push_str(&other);
                at += len;
            }
            None => {
                out.push(c);
                at += c.len_utf8();
            }
        }
    }
    let place = |bound: usize| moved.get(&bound).copied().unwrap_or(out.len());
    let made = made.iter().map(|range| place(range.start)..place(range.end)).collect();
    Rust { made, text: out, is_formatted }
}

/// What a terminal obeys, what changes the direction in which the rest is shown, and what can't be seen; but line breaks and tabs.
/// Source: Unicode's `Default_Ignorable_Code_Point`, its line separators, and letters and signs that are blank.
#[must_use]
pub fn is_odd(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
