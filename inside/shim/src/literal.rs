//! Literals from their text, without asking the compiler.
//!
//! `Literal::from_str` is a call into the compiler, which makes a source file of the text and parses it. The constructors
//! are local. A literal is constructed here only where the constructor gives back exactly the text; all other forms (raw
//! strings, underscores, hexadecimal, unusual escapes and suffixes) are left to the compiler.

use std::ffi::CString;

use proc_macro::Literal;

/// The literal with this text, or `None` when only the compiler can tell.
pub(crate) fn construct(text: &str) -> Option<Literal> {
    let first = *text.as_bytes().first()?;
    match first {
        b'"' => string(text),
        b'0'..=b'9' | b'-' => number(text),
        b'\'' => {
            let mut inside = quoted(text, "'", '\'')?.chars();
            let ch = inside.next().filter(|ch| ch.is_ascii_graphic() && *ch != '\\' && *ch != '\'')?;
            inside.next().is_none().then(|| Literal::character(ch))
        }
        b'b' => {
            if let Some(inside) = quoted(text, "b\"", '"') {
                return is_plain(inside).then(|| Literal::byte_string(inside.as_bytes()));
            }
            match *quoted(text, "b'", '\'')?.as_bytes() {
                [byte] if byte.is_ascii_graphic() && byte != b'\\' && byte != b'\'' => {
                    Some(Literal::byte_character(byte))
                }
                _ => None,
            }
        }
        b'c' => {
            let inside = quoted(text, "c\"", '"').filter(|inside| is_plain(inside))?;
            Some(Literal::c_string(&CString::new(inside).ok()?))
        }
        _ => None,
    }
}

/// What stands between `open` and `close`.
fn quoted<'a>(text: &'a str, open: &str, close: char) -> Option<&'a str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

/// Printable ASCII without anything that is, or needs, an escape in double quotes.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
}

fn string(text: &str) -> Option<Literal> {
    let inside = quoted(text, "\"", '"')?;
    if is_plain(inside) {
        return Some(Literal::string(inside));
    }
    let literal = Literal::string(&unescaped(inside)?);
    (literal.to_string() == text).then_some(literal)
}

/// Undoes the escapes that `Literal::string` writes most.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '"' => return None,
            '\\' => out.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '0' => '\0',
                other @ ('\\' | '"' | '\'') => other,
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    Some(out)
}

fn number(text: &str) -> Option<Literal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    let canonical =
        digits.starts_with(|c: char| c.is_ascii_digit()) && (end == 1 || !digits.starts_with('0'));
    if !canonical {
        return None;
    }
    let (value, suffix) = text.split_at(text.len() - digits.len() + end);
    // Kept to what is exact: `-0` would lose its sign.
    if value == "-0" {
        return None;
    }
    macro_rules! suffixed {
        ($($name:literal $constructor:ident)*) => {
            match suffix {
                "" => match value.parse::<u64>() {
                    Ok(n) => Some(Literal::u64_unsuffixed(n)),
                    Err(_) => value.parse().ok().map(Literal::i64_unsuffixed),
                },
                $($name => value.parse().ok().map(Literal::$constructor),)*
                _ => float(text),
            }
        };
    }
    suffixed! {
        "u8" u8_suffixed "u16" u16_suffixed "u32" u32_suffixed "u64" u64_suffixed
        "u128" u128_suffixed "usize" usize_suffixed
        "i8" i8_suffixed "i16" i16_suffixed "i32" i32_suffixed "i64" i64_suffixed
        "i128" i128_suffixed "isize" isize_suffixed
    }
}

/// `1.5`, `1.5f32`, `1.5f64`. Without a point the compiler reads an integer with a float's suffix: another token.
fn float(text: &str) -> Option<Literal> {
    let value = text.strip_suffix("f32").or_else(|| text.strip_suffix("f64")).unwrap_or(text);
    if !value.contains('.') || value.contains(['e', 'E', '_']) {
        return None;
    }
    let literal = match &text[value.len()..] {
        "f32" => Literal::f32_suffixed(value.parse().ok().filter(|n: &f32| n.is_finite())?),
        "f64" => Literal::f64_suffixed(value.parse().ok().filter(|n: &f64| n.is_finite())?),
        _ => Literal::f64_unsuffixed(value.parse().ok().filter(|n: &f64| n.is_finite())?),
    };
    (literal.to_string() == text).then_some(literal)
}
