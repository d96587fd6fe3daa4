//! What can be said of a single token's text without a lexer.

use crate::{Ident, Literal, Span, TokenTree};

/// Letters, digits and `_`, no digit first. Keywords too.
pub(crate) fn is_ascii_ident(text: &str) -> bool {
    match text.as_bytes() {
        [first, rest @ ..] => {
            (first.is_ascii_alphabetic() || *first == b'_')
                && rest.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        }
        [] => false,
    }
}

/// The token of a text that is one without doubt: a plain identifier, integer or string. `None` says nothing.
pub(crate) fn obvious(text: &str) -> Option<TokenTree> {
    let is_string =
        |inner: &[u8]| inner.iter().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'));
    match text.as_bytes() {
        [b'"', inner @ .., b'"'] if is_string(inner) => Some(TokenTree::Literal(Literal::of_text(text))),
        [b'0'..=b'9', ..] if is_integer(text) => Some(TokenTree::Literal(Literal::of_text(text))),
        _ if is_ascii_ident(text) => Some(TokenTree::Ident(Ident::new(text, Span::call_site()))),
        _ => None,
    }
}

fn is_integer(text: &str) -> bool {
    let suffix = text.trim_start_matches(|c: char| c.is_ascii_digit());
    matches!(
        suffix,
        "" | "u8"
            | "u16"
            | "u32"
            | "u64"
            | "u128"
            | "usize"
            | "i8"
            | "i16"
            | "i32"
            | "i64"
            | "i128"
            | "isize"
    )
}

/// rustc's kinds of literals, by the names it shows (`LitKind` in `library/proc_macro/src/bridge/mod.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Byte,
    Char,
    Integer,
    Float,
    Str,
    StrRaw(u8),
    ByteStr,
    ByteStrRaw(u8),
    CStr,
    CStrRaw(u8),
}

/// A literal's text taken apart.
pub(crate) struct Parts<'a> {
    pub(crate) kind: Kind,
    /// What stands between the quotes; a number without its suffix.
    pub(crate) symbol: &'a str,
    pub(crate) suffix: Option<&'a str>,
    /// The parts as rustc prints them one by one.
    pub(crate) shown: Vec<&'a str>,
}

/// Takes the text of a literal apart. For what is none the answer is some number.
pub(crate) fn parts(text: &str) -> Parts<'_> {
    type OfHashes = fn(u8) -> Kind;
    let prefixes: [(&str, OfHashes); 8] = [
        ("b'", |_| Kind::Byte),
        ("'", |_| Kind::Char),
        ("\"", |_| Kind::Str),
        ("b\"", |_| Kind::ByteStr),
        ("c\"", |_| Kind::CStr),
        ("r", Kind::StrRaw),
        ("br", Kind::ByteStrRaw),
        ("cr", Kind::CStrRaw),
    ];
    for (prefix, kind) in prefixes {
        if let Some(rest) = text.strip_prefix(prefix)
            && let Some(parts) = quoted(text, prefix, rest, kind)
        {
            return parts;
        }
    }
    let at = number_end(text);
    let (symbol, suffix) = text.split_at(at);
    let float = !is_radix(symbol) && symbol.contains(['.', 'e', 'E']);
    let kind = if float { Kind::Float } else { Kind::Integer };
    Parts { kind, symbol, suffix: some(suffix), shown: vec![symbol, suffix] }
}

fn some(suffix: &str) -> Option<&str> {
    (!suffix.is_empty()).then_some(suffix)
}

/// `rest` is what follows the prefix, which ends with the quote unless the literal is raw.
fn quoted<'a>(text: &'a str, prefix: &'a str, rest: &'a str, kind: fn(u8) -> Kind) -> Option<Parts<'a>> {
    let raw = prefix.ends_with('r');
    let (quote, hashes, inner) = if raw {
        let inner = rest.trim_start_matches('#');
        ("\"", &rest[..rest.len() - inner.len()], inner.strip_prefix('"')?)
    } else {
        (&prefix[prefix.len() - 1..], "", rest)
    };
    // No suffix holds a quote, so the last one closes.
    let close = inner.rfind(quote)?;
    let suffix = inner[close + 1..].strip_prefix(hashes)?;
    let symbol = &inner[..close];
    let shown = if raw {
        vec![prefix, hashes, quote, symbol, quote, hashes, suffix]
    } else {
        vec![&text[..prefix.len()], symbol, quote, suffix]
    };
    Some(Parts { kind: kind(hashes.len() as u8), symbol, suffix: some(suffix), shown })
}

fn is_radix(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    ["0x", "0o", "0b"].iter().any(|radix| digits.starts_with(radix))
}

/// Where a number ends and its suffix begins (`compiler/rustc_lexer/src/lib.rs`, `number`).
fn number_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |from: usize, is: fn(&u8) -> bool| {
        from + bytes[from.min(bytes.len())..].iter().take_while(|b| is(b)).count()
    };
    let digit: fn(&u8) -> bool = |b| b.is_ascii_digit() || *b == b'_';
    let start = usize::from(text.starts_with('-'));
    if is_radix(text) {
        let hex = bytes.get(start + 1) == Some(&b'x');
        return run(start + 2, if hex { |b| b.is_ascii_hexdigit() || *b == b'_' } else { digit });
    }
    let mut at = run(start, digit);
    if bytes.get(at) == Some(&b'.') {
        at = run(at + 1, digit);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let signed = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = run(signed, digit);
        if bytes[signed..end].iter().any(u8::is_ascii_digit) {
            at = end;
        }
    }
    at
}
