//! [`Literal`]: kept as the text rustc would print.

use std::ffi::CStr;
use std::fmt;
use std::str::FromStr;

use crate::stream::{self, LexError};
use crate::tree::{NOT_INPUT, input_handle};
use crate::{Span, TokenTree, call, lexeme};

/// A number, character or string, with its suffix if it has one. `true` and `false` are identifiers.
#[derive(Clone)]
pub struct Literal {
    /// Quotes and suffix included. Only a number's begins with `-`.
    pub(crate) text: &'static str,
    /// Was it made from a float? The text of `f32_suffixed(1.0)` does not tell.
    pub(crate) float: bool,
    pub(crate) span: Span,
    pub(crate) handle: u32,
}

macro_rules! integers {
    ($($suffixed:ident, $unsuffixed:ident: $int:ident;)*) => {
        $(
            /// An integer with its type as suffix, at the call site.
            pub fn $suffixed(n: $int) -> Literal {
                Literal::new(&format!(concat!("{}", stringify!($int)), n), false)
            }

            /// An integer without suffix, at the call site.
            pub fn $unsuffixed(n: $int) -> Literal {
                Literal::new(&n.to_string(), false)
            }
        )*
    };
}

macro_rules! floats {
    ($($suffixed:ident, $unsuffixed:ident: $float:ident;)*) => {
        $(
            /// A float with its type as suffix, at the call site. Panics if it is infinite or not a number.
            pub fn $suffixed(n: $float) -> Literal {
                if !n.is_finite() {
                    panic!("Invalid float literal {n}");
                }
                Literal::new(&format!(concat!("{}", stringify!($float)), n), true)
            }

            /// A float without suffix, at the call site. Panics if it is infinite or not a number.
            pub fn $unsuffixed(n: $float) -> Literal {
                if !n.is_finite() {
                    panic!("Invalid float literal {n}");
                }
                let mut text = n.to_string();
                if !text.contains('.') {
                    text.push_str(".0");
                }
                Literal::new(&text, true)
            }
        )*
    };
}

impl Literal {
    fn new(text: &str, float: bool) -> Literal {
        Literal { span: Span::call_site(), text: call::keep(text), float, handle: NOT_INPUT }
    }

    /// A literal whose text is known to be one.
    pub(crate) fn of_text(text: &str) -> Literal {
        Literal::new(text, false)
    }

    integers! {
        u8_suffixed, u8_unsuffixed: u8;
        u16_suffixed, u16_unsuffixed: u16;
        u32_suffixed, u32_unsuffixed: u32;
        u64_suffixed, u64_unsuffixed: u64;
        u128_suffixed, u128_unsuffixed: u128;
        usize_suffixed, usize_unsuffixed: usize;
        i8_suffixed, i8_unsuffixed: i8;
        i16_suffixed, i16_unsuffixed: i16;
        i32_suffixed, i32_unsuffixed: i32;
        i64_suffixed, i64_unsuffixed: i64;
        i128_suffixed, i128_unsuffixed: i128;
        isize_suffixed, isize_unsuffixed: isize;
    }

    floats! {
        f32_suffixed, f32_unsuffixed: f32;
        f64_suffixed, f64_unsuffixed: f64;
    }

    /// A string.
    pub fn string(string: &str) -> Literal {
        Literal::quoted("\"", '"', Escape::Chars, string.as_bytes())
    }

    /// A character.
    pub fn character(ch: char) -> Literal {
        Literal::quoted("'", '\'', Escape::Chars, ch.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// A byte written as a character, `b'a'`.
    pub fn byte_character(byte: u8) -> Literal {
        Literal::quoted("b'", '\'', Escape::Bytes, &[byte])
    }

    /// A byte string.
    pub fn byte_string(bytes: &[u8]) -> Literal {
        Literal::quoted("b\"", '"', Escape::Bytes, bytes)
    }

    /// A C string.
    pub fn c_string(string: &CStr) -> Literal {
        Literal::quoted("c\"", '"', Escape::Chars, string.to_bytes())
    }

    fn quoted(open: &str, quote: char, escape: Escape, contents: &[u8]) -> Literal {
        let mut text = String::with_capacity(open.len() + contents.len() + 1);
        text.push_str(open);
        escape.push(&mut text, contents, quote);
        text.push(quote);
        Literal::new(&text, false)
    }

    /// The span.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Sets the span.
    pub fn set_span(&mut self, span: Span) {
        self.span = span;
    }

    input_handle!();

    pub(crate) fn is_negative(&self) -> bool {
        self.text.starts_with('-')
    }
}

/// How rustc writes the contents of a literal (`library/proc_macro/src/escape.rs`).
#[derive(Clone, Copy)]
enum Escape {
    /// What is UTF-8 as characters, the rest as bytes.
    Chars,
    /// All as bytes.
    Bytes,
}

impl Escape {
    fn push(self, text: &mut String, contents: &[u8], quote: char) {
        match self {
            Escape::Bytes => contents.iter().for_each(|&b| push_byte(text, b, quote)),
            Escape::Chars => {
                for chunk in contents.utf8_chunks() {
                    for ch in chunk.valid().chars() {
                        // The quote that doesn't close this literal stays as it is.
                        if matches!(ch, '\'' | '"') && ch != quote {
                            text.push(ch);
                        } else {
                            text.extend(ch.escape_debug());
                        }
                    }
                    chunk.invalid().iter().for_each(|&b| push_byte(text, b, quote));
                }
            }
        }
    }
}

fn push_byte(text: &mut String, byte: u8, quote: char) {
    match byte {
        0 => text.push_str("\\0"),
        b'\'' | b'"' if char::from(byte) != quote => text.push(char::from(byte)),
        _ => text.extend(byte.escape_ascii().map(char::from)),
    }
}

/// Reads one literal and nothing beside it; a number may have a `-` directly before it.
impl FromStr for Literal {
    type Err = LexError;

    fn from_str(src: &str) -> Result<Self, LexError> {
        call::require();
        if let Some(TokenTree::Literal(literal)) = lexeme::obvious(src) {
            return Ok(literal);
        }
        stream::lex_literal(src)?;
        // It is one literal, so its text is what was asked about.
        Ok(Literal::of_text(src))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() && f.precision().is_none() {
            return f.write_str(self.text);
        }
        // rustc applies a width to each part by itself.
        lexeme::parts(self.text).shown.iter().try_for_each(|part| fmt::Display::fmt(part, f))
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = lexeme::parts(self.text);
        let kind = if self.float { lexeme::Kind::Float } else { parts.kind };
        f.debug_struct("Literal")
            // Kind and suffix stay on one line in `{:#?}`.
            .field("kind", &format_args!("{kind:?}"))
            .field("symbol", &parts.symbol)
            .field("suffix", &format_args!("{:?}", parts.suffix))
            .field("span", &self.span)
            .finish()
    }
}
