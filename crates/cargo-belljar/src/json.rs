//! JSON for programs, which may stand on a terminal all the same.

use std::io::{self, Write};

use belljar_inspect::is_odd;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// How a command writes what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Writes characters as escapes that a terminal obeys or nobody sees. To whoever reads JSON they are the same.
struct Plain(CompactFormatter);

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_odd(*c)) {
            self.0.write_string_fragment(out, &rest[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_string_fragment(out, rest)
    }
}

/// A value on one line.
pub(crate) fn line(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Plain(CompactFormatter)))?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_is_obeyed_and_nothing_is_lost() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\n\u{1b}\u{e0001}é\"";
        let mut out = Vec::new();
        line(&[text], &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "[\"a\\u009b31m\\u007f\\u202e\\n\\u001b\\udb40\\udc01é\\\"\"]\n");
        assert_eq!(serde_json::from_str::<Vec<String>>(&line).unwrap(), [text]);
    }
}
