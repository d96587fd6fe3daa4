//! Rust's lexical rules, on rustc's own lexer.
//!
//! [`stream`] and [`literal`] answer `TokenStream::from_str` and `Literal::from_str` for guests. They lex only what every
//! edition lexes alike and rustc would not say a word about. All else, errors above all, is handed to rustc itself through
//! the shim ([`Lexed::AskRustc`]): so its message is rustc's, in the compiler's own output, and the edition is the right
//! one (a stream is lexed in the edition of the macro's crate, a literal in that of the crate being compiled).
//!
//! What a token becomes for a macro follows `compiler/rustc_parse/src/lexer/mod.rs` (`next_token_from_cursor`) and
//! `compiler/rustc_expand/src/proc_macro_server.rs` (`from_internal`) of rustc 1.95:
//!
//! | in the text | for the macro |
//! |---|---|
//! | `+=`, `::`, … | one `Punct` per character; *joint* when the next character is an operator's too |
//! | `'a` | `'`, joint, and the identifier `a` |
//! | `/// it's` | `#` and the group `[doc = " it\'s"]`, escaped with `char::escape_debug` |
//! | `r#type` | a raw identifier without its `r#` |
//! | `1_u8`, `"a"suffix` | one literal, as it stands |
//!
//! [`is_identifier`] and [`is_literal`] decide whether a text in a guest's output is one token of that kind.
//!
//! What rustc itself lexes may be something else for it than for this lexer: it strips a `#!` line, editions and versions
//! of Unicode differ in where a literal begins. [`Survey`] says what it can come to at most, whichever way it is lexed.

use std::borrow::Cow;

use belljar_wire::tokens::{Delimiter, InputWriter, MAX_DEPTH, PUNCT_CHARS};
use ra_ap_rustc_lexer::{Base, DocStyle, FrontmatterAllowed, LiteralKind, TokenKind, is_ident, tokenize};
use rustc_literal_escaper as escape;

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lexed {
    /// A lexed stream, as `belljar_wire::tokens` writes it.
    Stream(Vec<u8>),
    /// It has an error, or means something else in another edition.
    AskRustc {
        /// Bytes that rustc may show with what it has to say about the text, at most.
        shown: u64,
    },
    /// An error of this kind, which rustc must not see: it overflows its stack on delimiters nested too deeply (however it
    /// may read the text), and 1.95 panics on mismatched ones.
    Error(String),
}

/// Lexes a text as `TokenStream::from_str` does.
pub(crate) fn stream(text: &str) -> Lexed {
    // Line ends are normalised before lexing; a byte order mark, a `#!` line and front matter are special at the start.
    let shebang = text.starts_with("#!") && !text.starts_with("#![");
    let special = shebang
        || text.contains('\r')
        || text.trim_start().starts_with(['\u{feff}'])
        || text.trim_start().starts_with("---");
    let mut lexer =
        Lexer { text, at: 0, out: InputWriter::lexed(), open: Vec::new(), ask: special, mismatched: None };
    lexer.out.begin_stream();
    let mut deepest = 0;
    let mut tokens = tokenize(text, FrontmatterAllowed::No).peekable();
    while let Some(token) = tokens.next() {
        let len = token.len as usize;
        let next_is_operator = || tokens.peek().is_some_and(|next| operator(next.kind).is_some());
        if !lexer.token(token.kind, len, next_is_operator) {
            lexer.ask = true;
        }
        lexer.at += len;
        deepest = deepest.max(lexer.open.len());
    }
    if deepest > MAX_DEPTH {
        return too_deep();
    }
    if let Some(delimiter) = lexer.mismatched {
        return Lexed::Error(format!("mismatched closing delimiter: `{delimiter}`"));
    }
    if lexer.ask || !lexer.open.is_empty() {
        return ask(text);
    }
    lexer.out.end_stream();
    Lexed::Stream(lexer.out.into_bytes())
}

fn too_deep() -> Lexed {
    Lexed::Error("delimiters are nested too deeply".to_owned())
}

/// Has rustc lex a text, if it can bear to.
fn ask(text: &str) -> Lexed {
    let survey = Survey::of(text);
    if survey.depth > MAX_DEPTH { too_deep() } else { Lexed::AskRustc { shown: survey.shown(text) } }
}

/// Lexes a text as `Literal::from_str` does: one literal, or `-` and a number, and nothing else.
pub(crate) fn literal(text: &str) -> Lexed {
    let (minus, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let plain = one_literal(rest).is_some_and(|(kind, suffix_start)| {
        literal_is_sound(rest, kind, suffix_start) && !edition_matters(kind) && (!minus || is_number(kind))
    });
    if !plain {
        return ask(text);
    }
    let mut out = InputWriter::lexed();
    out.begin_stream();
    if minus {
        out.punct(b'-', false);
    }
    out.literal(rest);
    out.end_stream();
    Lexed::Stream(out.into_bytes())
}

struct Lexer<'a> {
    text: &'a str,
    /// Where the current token starts.
    at: usize,
    out: InputWriter,
    open: Vec<Delimiter>,
    /// Something was found that only rustc can decide. Lexing goes on to see how deep the text is.
    ask: bool,
    /// The first closing delimiter of another kind than the one it should close.
    mismatched: Option<&'a str>,
}

impl<'a> Lexer<'a> {
    /// Writes what a token becomes. `false` when only rustc can decide.
    fn token(&mut self, kind: TokenKind, len: usize, next_is_operator: impl FnOnce() -> bool) -> bool {
        let text = self.text.get(self.at..self.at + len).unwrap_or_default();
        if let Some(ch) = operator(kind) {
            self.out.punct(ch, next_is_operator());
            return true;
        }
        match kind {
            TokenKind::Whitespace
            | TokenKind::LineComment { doc_style: None }
            | TokenKind::BlockComment { doc_style: None, terminated: true } => true,
            TokenKind::LineComment { doc_style: Some(style) } => self.doc_comment(style, text.get(3..)),
            TokenKind::BlockComment { doc_style: Some(style), terminated: true } => {
                self.doc_comment(style, text.get(3..len - 2))
            }
            // Others may be changed by normalisation, or be known to only one of two versions of Unicode.
            TokenKind::Ident if text.is_ascii() => {
                self.out.ident(text, false);
                true
            }
            TokenKind::RawIdent if text.is_ascii() => match text.get(2..) {
                Some(name) if can_be_raw(name) => {
                    self.out.ident(name, true);
                    true
                }
                _ => false,
            },
            TokenKind::Lifetime { starts_with_number: false } if text.is_ascii() => match text.get(1..) {
                Some(name) => {
                    self.out.punct(b'\'', true);
                    self.out.ident(name, false);
                    true
                }
                None => false,
            },
            TokenKind::Literal { kind, suffix_start } => {
                let sound = literal_is_sound(text, kind, suffix_start) && !edition_matters(kind);
                let (_, suffix) = text.split_at_checked(suffix_start as usize).unwrap_or_default();
                self.out.literal(text);
                sound && suffix.is_ascii()
            }
            TokenKind::OpenParen => self.begin(Delimiter::Parenthesis),
            TokenKind::OpenBrace => self.begin(Delimiter::Brace),
            TokenKind::OpenBracket => self.begin(Delimiter::Bracket),
            TokenKind::CloseParen => self.end(Delimiter::Parenthesis, text),
            TokenKind::CloseBrace => self.end(Delimiter::Brace, text),
            TokenKind::CloseBracket => self.end(Delimiter::Bracket, text),
            _ => false,
        }
    }

    fn begin(&mut self, delimiter: Delimiter) -> bool {
        self.open.push(delimiter);
        self.out.begin_group(delimiter);
        true
    }

    fn end(&mut self, delimiter: Delimiter, text: &'a str) -> bool {
        match self.open.pop() {
            Some(opened) => {
                self.out.end_group();
                if opened != delimiter {
                    self.mismatched.get_or_insert(text);
                }
                true
            }
            None => false,
        }
    }

    fn doc_comment(&mut self, style: DocStyle, content: Option<&str>) -> bool {
        let Some(content) = content else { return false };
        self.out.punct(b'#', false);
        if style == DocStyle::Inner {
            self.out.punct(b'!', false);
        }
        self.out.begin_group(Delimiter::Bracket);
        self.out.ident("doc", false);
        self.out.punct(b'=', false);
        let escaped: String = content.chars().flat_map(char::escape_debug).collect();
        self.out.literal(&format!("\"{escaped}\""));
        self.out.end_group();
        true
    }
}

/// The character of a token that is part of an operator. (`'` never stands alone in a text.)
fn operator(kind: TokenKind) -> Option<u8> {
    Some(match kind {
        TokenKind::Semi => b';',
        TokenKind::Comma => b',',
        TokenKind::Dot => b'.',
        TokenKind::At => b'@',
        TokenKind::Pound => b'#',
        TokenKind::Tilde => b'~',
        TokenKind::Question => b'?',
        TokenKind::Colon => b':',
        TokenKind::Dollar => b'$',
        TokenKind::Eq => b'=',
        TokenKind::Bang => b'!',
        TokenKind::Lt => b'<',
        TokenKind::Gt => b'>',
        TokenKind::Minus => b'-',
        TokenKind::And => b'&',
        TokenKind::Or => b'|',
        TokenKind::Plus => b'+',
        TokenKind::Star => b'*',
        TokenKind::Slash => b'/',
        TokenKind::Caret => b'^',
        TokenKind::Percent => b'%',
        _ => return None,
    })
}

/// Source: `Symbol::can_be_raw` in `compiler/rustc_span/src/symbol.rs`.
fn can_be_raw(name: &str) -> bool {
    !matches!(name, "" | "_" | "crate" | "self" | "super" | "Self")
}

/// C string literals are two tokens before edition 2021.
fn edition_matters(kind: LiteralKind) -> bool {
    matches!(kind, LiteralKind::CStr { .. } | LiteralKind::RawCStr { .. })
}

fn is_number(kind: LiteralKind) -> bool {
    matches!(kind, LiteralKind::Int { .. } | LiteralKind::Float { .. })
}

/// Whether a text is one identifier, as `proc_macro::Ident::new` (or `new_raw`) takes it. Keywords and `_` are. So is
/// `$crate`, which rustc gives to macros as one identifier.
pub(crate) fn is_identifier(text: &str, raw: bool) -> bool {
    let bytes = text.as_bytes();
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let sound = match bytes {
        [first, rest @ ..] if text.is_ascii() => {
            (first.is_ascii_alphabetic() || *first == b'_') && rest.iter().all(word) || text == "$crate"
        }
        _ => is_ident(text),
    };
    sound && (!raw || can_be_raw(text) && text != "$crate")
}

/// Whether a text is one literal, or `-` and a number. It may be one that rustc complains about, such as `0b2`: a macro
/// can get such a one from rustc, and rustc has complained, and will again.
#[cfg(test)]
pub(crate) fn is_literal(text: &str) -> bool {
    literal_shown(text).is_some()
}

/// For a text that is one literal, or `-` and a number, how many bytes rustc may show with its complaints. `None` if it is
/// no literal, or is one that rustc may take for more.
pub(crate) fn literal_shown(text: &str) -> Option<u64> {
    match text.as_bytes() {
        // Most are a short number or a string without escapes.
        [b'0'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => return Some(0),
        [b'"', inner @ .., b'"'] if !inner.iter().any(|b| matches!(b, b'"' | b'\\' | b'\r')) => {
            return Some(0);
        }
        _ => {}
    }
    let (minus, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (kind, suffix_start) = one_literal(rest).filter(|(kind, _)| !minus || is_number(*kind))?;
    if literal_is_sound(rest, kind, suffix_start) && !matches!(kind, LiteralKind::RawCStr { .. }) {
        return Some(0);
    }
    let survey = Survey::of(text);
    (survey.depth <= MAX_DEPTH).then(|| survey.shown(text))
}

/// The kind of the one literal that makes up the whole text, and where its suffix starts.
fn one_literal(text: &str) -> Option<(LiteralKind, u32)> {
    let token = tokenize(text, FrontmatterAllowed::No).next()?;
    match token.kind {
        TokenKind::Literal { kind, suffix_start }
            // rustc makes `\n` of `\r\n`, wherever it stands.
            if token.len as usize == text.len() && is_terminated(kind) && !text.contains('\r') =>
        {
            Some((kind, suffix_start))
        }
        _ => None,
    }
}

/// Whether the literal has an end. A raw one without `n_hashes` has none.
fn is_terminated(kind: LiteralKind) -> bool {
    match kind {
        LiteralKind::Int { .. } | LiteralKind::Float { .. } => true,
        LiteralKind::Char { terminated }
        | LiteralKind::Byte { terminated }
        | LiteralKind::Str { terminated }
        | LiteralKind::ByteStr { terminated }
        | LiteralKind::CStr { terminated } => terminated,
        LiteralKind::RawStr { n_hashes }
        | LiteralKind::RawByteStr { n_hashes }
        | LiteralKind::RawCStr { n_hashes } => n_hashes.is_some(),
    }
}

/// Whether rustc makes a literal of it without an error or a warning.
/// Source: `cook_lexer_literal` in `compiler/rustc_parse/src/lexer/mod.rs`.
fn literal_is_sound(text: &str, kind: LiteralKind, suffix_start: u32) -> bool {
    let Some((body, suffix)) = text.split_at_checked(suffix_start as usize) else { return false };
    if suffix == "_" {
        return false;
    }
    // What is between the quotes, given how long the parts around it are.
    let inner =
        |before: usize, after: usize| body.len().checked_sub(after).and_then(|end| body.get(before..end));
    let mut sound = true;
    let content = match kind {
        LiteralKind::Int { base, empty_int } => {
            let mut digits = body.get(2..).unwrap_or_default().chars();
            let any = !matches!(base, Base::Binary | Base::Octal);
            return !empty_int && (any || digits.all(|c| c == '_' || c.is_digit(base as u32)));
        }
        LiteralKind::Float { base, empty_exponent } => return base == Base::Decimal && !empty_exponent,
        LiteralKind::Char { terminated } => inner(1, 1).filter(|_| terminated).map(|s| {
            sound = escape::unescape_char(s).is_ok();
        }),
        LiteralKind::Byte { terminated } => inner(2, 1).filter(|_| terminated).map(|s| {
            sound = escape::unescape_byte(s).is_ok();
        }),
        LiteralKind::Str { terminated } => inner(1, 1).filter(|_| terminated).map(|s| {
            escape::unescape_str(s, |_, unit| sound &= unit.is_ok());
        }),
        LiteralKind::ByteStr { terminated } => inner(2, 1).filter(|_| terminated).map(|s| {
            escape::unescape_byte_str(s, |_, unit| sound &= unit.is_ok());
        }),
        LiteralKind::CStr { terminated } => inner(2, 1).filter(|_| terminated).map(|s| {
            escape::unescape_c_str(s, |_, unit| sound &= unit.is_ok());
        }),
        LiteralKind::RawStr { n_hashes } => {
            n_hashes.and_then(|n| inner(2 + n as usize, 1 + n as usize)).map(|s| {
                escape::check_raw_str(s, |_, unit| sound &= unit.is_ok());
            })
        }
        LiteralKind::RawByteStr { n_hashes } => {
            n_hashes.and_then(|n| inner(3 + n as usize, 1 + n as usize)).map(|s| {
                escape::check_raw_byte_str(s, |_, unit| sound &= unit.is_ok());
            })
        }
        LiteralKind::RawCStr { n_hashes } => {
            n_hashes.and_then(|n| inner(3 + n as usize, 1 + n as usize)).map(|s| {
                escape::check_raw_c_str(s, |_, unit| sound &= unit.is_ok());
            })
        }
    };
    content.is_some() && sound
}

/// What a text can come to in rustc, at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Survey {
    /// How deep delimiters nest.
    depth: usize,
    /// What rustc complains about, each with the line it stands in.
    complaints: usize,
}

impl Survey {
    /// Over all the ways in which some rustc reads the text: as it stands, and without a byte order mark, carriage returns
    /// or a `#!` line (`StripTokens` in `compiler/rustc_parse/src/lib.rs`, `SourceFile::new`).
    fn of(text: &str) -> Self {
        let normal = text.strip_prefix('\u{feff}').unwrap_or(text);
        let normal: Cow<'_, str> =
            if normal.contains('\r') { normal.replace("\r\n", "\n").into() } else { normal.into() };
        let behind_shebang =
            normal.strip_prefix("#!").map(|rest| rest.split_once('\n').map_or("", |(_, rest)| rest));
        let other = (*normal != *text).then_some(&*normal);
        let ways = [Some(text), other, behind_shebang].into_iter().flatten().map(Self::of_way);
        ways.fold(Self::default(), |a, b| Self {
            depth: a.depth.max(b.depth),
            complaints: a.complaints.max(b.complaints),
        })
    }

    /// Over all editions and versions of Unicode.
    fn of_way(text: &str) -> Self {
        // Front matter, which later compilers may strip.
        if text.trim_start().starts_with("---") {
            return Self::of_characters(text);
        }
        let mut survey = Self::default();
        let mut open = Vec::new();
        let (mut at, mut unknown, mut pounds) = (0, None, false);
        for token in tokenize(text, FrontmatterAllowed::No) {
            let from = at;
            at += token.len as usize;
            let part = text.get(from..at).unwrap_or_default();
            let before = unknown.take();
            let guarded = std::mem::take(&mut pounds) && part.starts_with('"');
            match token.kind {
                TokenKind::OpenParen | TokenKind::OpenBrace | TokenKind::OpenBracket => {
                    open.push(token.kind);
                    survey.depth = survey.depth.max(open.len());
                }
                TokenKind::CloseParen => survey.close(&mut open, TokenKind::OpenParen),
                TokenKind::CloseBrace => survey.close(&mut open, TokenKind::OpenBrace),
                TokenKind::CloseBracket => survey.close(&mut open, TokenKind::OpenBracket),
                TokenKind::Literal { kind, suffix_start } => {
                    let sound = literal_is_sound(part, kind, suffix_start);
                    let suffix = part.get(suffix_start as usize..).unwrap_or_default();
                    let doubted = match kind {
                        LiteralKind::Char { terminated } => !(sound || terminated && part.is_ascii()),
                        LiteralKind::RawCStr { .. } => !is_plain_raw_c_string(part),
                        _ => !suffix.is_ascii(),
                    };
                    if doubted || guarded {
                        return Self::of_characters(text);
                    }
                    if !sound {
                        // One complaint for each bad escape or digit.
                        survey.complaints += 1 + doubtful(part);
                    }
                }
                // Two `#`, unless a string follows.
                TokenKind::GuardedStrPrefix if part == "##" => pounds = true,
                // From edition 2024 on, `#"…"#` is one error; before, a string begins behind the `#`. Before edition
                // 2021, `'r#` is not the beginning of a lifetime's name.
                TokenKind::GuardedStrPrefix | TokenKind::RawLifetime => return Self::of_characters(text),
                // What a name may consist of depends on the version of Unicode, and so what a quote behind it or before
                // it begins. And rustc takes characters that look like a delimiter for one.
                TokenKind::Lifetime { .. }
                | TokenKind::UnknownPrefix
                | TokenKind::UnknownPrefixLifetime
                | TokenKind::InvalidIdent
                | TokenKind::Unknown
                    if !part.is_ascii() =>
                {
                    return Self::of_characters(text);
                }
                // It complains once about a row.
                TokenKind::Unknown => {
                    survey.complaints += usize::from(before != Some(part));
                    unknown = Some(part);
                }
                TokenKind::LineComment { doc_style: Some(_) } | TokenKind::BlockComment { .. } => {
                    survey.complaints += part.bytes().filter(|&b| b == b'\r').count();
                }
                TokenKind::Whitespace | TokenKind::LineComment { .. } | TokenKind::Ident => {}
                TokenKind::Lifetime { starts_with_number: false } => {}
                kind if operator(kind).is_some() => {}
                _ => survey.complaints += 1,
            }
        }
        survey
    }

    /// A closing delimiter. One that fits nothing is not believed to close anything.
    fn close(&mut self, open: &mut Vec<TokenKind>, opened: TokenKind) {
        if open.last() == Some(&opened) {
            open.pop();
        } else {
            self.complaints += 1;
        }
    }

    /// Of a text whose tokens begin here or there: what all its characters come to.
    fn of_characters(text: &str) -> Self {
        let delimiters =
            text.chars().filter(|&c| matches!(c, '(' | '[' | '{') || !c.is_ascii() && !c.is_alphanumeric());
        Self { depth: delimiters.count(), complaints: doubtful(text) }
    }

    /// Bytes that rustc shows with its complaints.
    fn shown(&self, text: &str) -> u64 {
        (self.complaints as u64).saturating_mul(text.len() as u64)
    }
}

/// Characters that rustc may complain about one by one, in some place or other.
fn doubtful(text: &str) -> usize {
    let harmless = |b: u8| b.is_ascii_alphabetic() || b == b' ' || b == b'\n' || b == b'_';
    let plain = |b: u8| harmless(b) || PUNCT_CHARS.contains(&b) && b != b'#' && b != b'\'';
    text.bytes().filter(|&b| !plain(b)).count()
}

/// Whether this has the same end as `cr`, some `#` and a string, which it is before edition 2021.
fn is_plain_raw_c_string(text: &str) -> bool {
    text.bytes().filter(|&b| b == b'"').count() == 2 && !text.contains('\\')
}

#[cfg(test)]
#[path = "lexer_oracle.rs"]
mod oracle;
