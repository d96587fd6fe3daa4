//! When two observations are equal.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde_json::Value;

use super::side::Diagnostics;

/// The outcome of one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Equal,
    Differs,
    /// Neither side has anything to compare.
    None,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Equal => "equal",
            Verdict::Differs => "differs",
            Verdict::None => "none",
        })
    }
}

/// Byte for byte.
pub(crate) fn texts(native: &str, other: &str) -> Verdict {
    match (native.is_empty() && other.is_empty(), native == other) {
        (true, _) => Verdict::None,
        (false, true) => Verdict::Equal,
        (false, false) => Verdict::Differs,
    }
}

/// The first line, counted from 1, that is not the same, on both sides.
pub(crate) fn first_difference<'a>(native: &'a str, other: &'a str) -> Option<(usize, &'a str, &'a str)> {
    if native == other {
        return None;
    }
    let (mut left, mut right) = (native.split('\n'), other.split('\n'));
    let mut line = 1;
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) if a == b => line += 1,
            (a, b) => return Some((line, a.unwrap_or("(ends here)"), b.unwrap_or("(ends here)"))),
        }
    }
}

/// The lines of cargo's standard error from the first error on, as many as one can take in.
pub(crate) fn first_error(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.lines().skip_while(|line| !line.starts_with("error")).take(12)
}

/// Hides the *numbers of symbols* in a text with hygiene. rustc writes `name /* 3128#9 */`: 9 is the identifier's syntax
/// context, which is its hygiene; 3128 is the place that `name` happens to have in the table of all strings of this run
/// of the compiler. It moves when anything at all is interned earlier, and says nothing that the name beside it doesn't.
/// Nor do line breaks within the comment, which come with the number's width.
pub(crate) fn mask_symbols(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match annotation(rest) {
            Some((context, after)) => {
                out.push_str("/*");
                out.push_str(context);
                out.push_str("*/");
                rest = after;
            }
            None => {
                out.push_str("/*");
                rest = &rest["/*".len()..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Takes `/* 3128#9 */` apart: `#9`, or nothing where the compiler writes no context, and what follows the comment.
fn annotation(text: &str) -> Option<(&str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let inner = text.strip_prefix("/*")?.trim_start();
    let after_symbol = inner.trim_start_matches(is_digit);
    if after_symbol.len() == inner.len() {
        return None;
    }
    let after_context =
        after_symbol.strip_prefix('#').map_or(after_symbol, |rest| rest.trim_start_matches(is_digit));
    let context = &after_symbol[..after_symbol.len() - after_context.len()];
    Some((context, after_context.trim_start().strip_prefix("*/")?))
}

/// WASI's numbers for errors of the system, in preview 1 of its specification, and Linux's for the same errors.
const ERRORS: [(&str, &str); 8] = [
    ("2", "13"),  // access
    ("20", "17"), // exists
    ("28", "22"), // invalid
    ("31", "21"), // is a directory
    ("32", "40"), // loop
    ("44", "2"),  // no entry
    ("54", "20"), // not a directory
    ("63", "1"),  // not permitted
];

/// Writes Linux's numbers of errors for WASI's: the names and texts beside them are compared as they are.
pub(crate) fn number_errors(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, lead)) =
        ["(os error ", "Os { code: "].iter().filter_map(|lead| Some((rest.find(lead)?, lead))).min()
    {
        let (before, number) = rest.split_at(at + lead.len());
        let digits = number.len() - number.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = number.split_at(digits);
        out.push_str(before);
        out.push_str(ERRORS.iter().find(|(wasi, _)| *wasi == number).map_or(number, |(_, linux)| linux));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Hides what a second native build has otherwise, for macros that draw random numbers: the words that differ between the two,
/// in all three texts. The rest stays, and where there are more words or less nothing is hidden.
pub(crate) fn mask_random(native: &mut String, again: &str, other: &mut String) {
    let parts = |text: &str| -> Vec<String> {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut parts: Vec<String> = Vec::new();
        let mut inside = false;
        for c in text.chars().filter(|c| !c.is_whitespace()) {
            match parts.last_mut() {
                Some(last) if inside && word(c) || last == "-" && c.is_ascii_digit() => last.push(c),
                _ => parts.push(c.to_string()),
            }
            inside = word(c);
        }
        parts
    };
    let (mut left, again, mut right) = (parts(native), parts(again), parts(other));
    if left.len() != again.len() || left.len() != right.len() {
        return;
    }
    for ((left, again), right) in left.iter_mut().zip(&again).zip(&mut right) {
        // Its type stays: `<random>u64`.
        let random = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
            (rest.len() < digits.len()).then(|| format!("<random>{rest}"))
        };
        if let (true, Some(a), Some(b)) = (left != again, random(left), random(right)) {
            (*left, *right) = (a, b);
        }
    }
    *native = left.join("\n");
    *other = right.join("\n");
}

/// Hides where a *macro* is defined: `def_site_span` in the expansions that a span came out of points at the macro's own
/// entry function, in the file that rustc compiled for it. Natively that is the macro crate's source, sealed it is the
/// shim's. It is hidden only where the native side has a file of a proc-macro package there, or the other side a shim (a
/// macro of another package can write an entry function): definitions of `macro_rules!` macros stay.
pub(crate) fn mask_definitions(
    native: &mut Diagnostics,
    other: &mut Diagnostics,
    macro_sources: &[Utf8PathBuf],
) {
    for (target, messages) in &mut native.0 {
        for (left, right) in messages.iter_mut().zip(other.0.get_mut(target).into_iter().flatten()) {
            mask(left, right, macro_sources);
        }
    }
}

fn mask(native: &mut Value, other: &mut Value, macro_sources: &[Utf8PathBuf]) {
    match (native, other) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, left) in left {
                let Some(right) = right.get_mut(key) else { continue };
                let is_macro = || defined_in_macro_package(left, macro_sources) || defined_in_shim(right);
                if key == "def_site_span" && is_macro() {
                    *left = "the macro's definition".into();
                    *right = left.clone();
                } else {
                    mask(left, right, macro_sources);
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for (left, right) in left.iter_mut().zip(right) {
                mask(left, right, macro_sources);
            }
        }
        _ => {}
    }
}

fn defined_in_macro_package(span: &Value, macro_sources: &[Utf8PathBuf]) -> bool {
    let file = span["file_name"].as_str().map(Utf8Path::new);
    file.is_some_and(|file| macro_sources.iter().any(|dir| file.starts_with(dir)))
}

/// Shims alone are compiled from standard input, and hold nothing but procedural macros.
fn defined_in_shim(span: &Value) -> bool {
    span["file_name"] == "<anon>"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(message: Value) -> Diagnostics {
        Diagnostics([("example a".to_owned(), vec![message])].into())
    }

    #[test]
    fn only_what_is_random_natively_is_hidden() {
        let masked = |native: &str, again: &str, other: &str| {
            let (mut native, mut other) = (native.to_owned(), other.to_owned());
            mask_random(&mut native, again, &mut other);
            texts(&native, &other)
        };
        assert_eq!(
            masked("A: u8 = 7u8; B = 1", "A: u8 = 9u8; B = 1", "A: u8 =\n  -10u8; B = 1"),
            Verdict::Equal
        );
        assert_eq!(
            masked("A: u8 = 7u8; B = 1", "A: u8 = 9u8; B = 1", "A: u8 = 10u8; B = 2"),
            Verdict::Differs
        );
        assert_eq!(masked("A: u8 = 7u8;", "A: u8 = 9u8;", "A: u8 = 10u16;"), Verdict::Differs);
        assert_eq!(masked("A: u8 = 7u8;", "A: u8 = 7u8;", "A: u8 = 10u8;"), Verdict::Differs);
        assert_eq!(masked("A = 7u8;", "A = 9u8;", "A = 10u8 + 1;"), Verdict::Differs);
    }

    #[test]
    fn errors_of_the_system_have_linux_s_numbers() {
        let text = "not there (os error 44), Os { code: 2, kind: x }, (os error 7), 44";
        assert_eq!(number_errors(text), "not there (os error 2), Os { code: 13, kind: x }, (os error 7), 44");
        assert_eq!(number_errors("(os error "), "(os error ");
    }

    #[test]
    fn one_byte_is_a_difference() {
        assert_eq!(texts("a\nb", "a\nb"), Verdict::Equal);
        assert_eq!(texts("a\nb", "a\nb\n"), Verdict::Differs);
        assert_eq!(texts("a", ""), Verdict::Differs);
        assert_eq!(texts("", ""), Verdict::None);
        assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), Some((2, "b", "x")));
        assert_eq!(first_difference("a\nb", "a"), Some((2, "b", "(ends here)")));
    }

    #[test]
    fn symbols_are_hidden_and_contexts_are_not() {
        let text = "fn a /*\n    12#3 */(x /* 4 */: u8 /* 0\n*/) {} /* 5 of them */ /* x */ /* 7#";
        assert_eq!(mask_symbols(text), "fn a /*#3*/(x /**/: u8 /**/) {} /* 5 of them */ /* x */ /* 7#");
        assert_ne!(mask_symbols("a /* 1#2 */"), mask_symbols("a /* 1#3 */"));
        assert_ne!(mask_symbols("a /* 1#2 */"), mask_symbols("b /* 1#2 */"));
    }

    #[test]
    fn only_where_a_proc_macro_is_defined_is_hidden() {
        let span = |file: &str, site: &str| json!({ "file_name": site, "expansion": { "def_site_span": { "file_name": file } } });
        let sources = [Utf8PathBuf::from("/registry/serde_derive-1.0.0")];
        let compare = |native: Value, other: Value| {
            let (mut native, mut other) = (one(native), one(other));
            mask_definitions(&mut native, &mut other, &sources);
            texts(&native.to_text(), &other.to_text())
        };
        let derive = "/registry/serde_derive-1.0.0/src/lib.rs";
        assert_eq!(compare(span(derive, "a.rs"), span("/shims/serde_derive.rs", "a.rs")), Verdict::Equal);
        assert_eq!(compare(span(derive, "a.rs"), span("/shims/serde_derive.rs", "b.rs")), Verdict::Differs);
        assert_eq!(compare(span("/std/macros.rs", "a.rs"), span("/other.rs", "a.rs")), Verdict::Differs);
        assert_eq!(compare(span("/synstructure/macros.rs", "a.rs"), span("<anon>", "a.rs")), Verdict::Equal);
        assert_eq!(
            compare(span("/registry/serde_derive-1.0.0x/lib.rs", "a.rs"), span("/o.rs", "a.rs")),
            Verdict::Differs
        );
    }
}
