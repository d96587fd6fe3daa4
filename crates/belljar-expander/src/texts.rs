//! An output as the texts of its tokens, for people who want to see where two differ.

use belljar_inspect::flat::{self, Token};
use belljar_wire::Malformed;
use belljar_wire::tokens::Delimiter;

/// Tokens after which a text ends: nobody reads so many.
const MAX: usize = 1 << 20;

/// The texts of an output's tokens, in order.
pub(crate) fn texts(input: &[u8], output: &[u8]) -> Result<Vec<String>, Malformed> {
    let tokens = flat::output(input, output)?;
    Ok(joined(tokens.into_iter().take(MAX).map(|(token, _)| text(token))))
}

/// A token's text, and whether the next one belongs to it.
fn text(token: Token<'_>) -> (String, bool) {
    match token {
        Token::Ident { text, raw } => (format!("{}{text}", if raw { "r#" } else { "" }), false),
        Token::Literal(text) => (text.to_owned(), false),
        Token::Punct { ch, joint } => (ch.to_string(), joint),
        Token::Open(delimiter) => (delimiters(delimiter).0.to_owned(), false),
        Token::Close(delimiter) => (delimiters(delimiter).1.to_owned(), false),
    }
}

fn delimiters(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// Puts punctuation that belongs together (`::`) into one text, and leaves out what has none.
fn joined(texts: impl Iterator<Item = (String, bool)>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut joint = false;
    for (text, joins) in texts {
        match out.last_mut().filter(|_| joint) {
            Some(last) => last.push_str(&text),
            None if text.is_empty() => {}
            None => out.push(text),
        }
        joint = joins;
    }
    out
}

#[cfg(test)]
mod tests {
    use belljar_wire::tokens::{InputWriter, OutputWriter, WireSpan};

    use super::*;

    fn words(input: &[u8], output: &[u8]) -> String {
        texts(input, output).unwrap().join(" ")
    }

    #[test]
    fn references_are_followed() {
        let mut w = InputWriter::new(2);
        w.begin_stream();
        w.ident("first", false);
        w.end_stream();
        w.begin_stream();
        let raw = w.ident("type", true);
        let group = w.begin_group(Delimiter::Brace);
        w.punct(b':', true);
        w.punct(b':', false);
        w.begin_group(Delimiter::None);
        w.literal("1u8");
        w.end_group();
        w.end_group();
        w.end_stream();
        let input = w.into_bytes();

        let at = WireSpan::CALL_SITE;
        let mut w = OutputWriter::new();
        w.ref_stream(0);
        w.ref_tree(raw);
        w.ref_tree(group);
        w.punct(b'=', true, at);
        w.punct(b'>', false, at);
        let begun = w.begin_group(Delimiter::Bracket, at);
        w.ref_contents(group);
        w.ident("x", false, at);
        w.literal("\"s\"", at);
        w.end_group(begun);
        let mut lexed = InputWriter::lexed();
        lexed.begin_stream();
        lexed.ident("a", false);
        let b = lexed.begin_group(Delimiter::Parenthesis);
        lexed.ident("b", false);
        lexed.end_group();
        lexed.end_stream();
        w.text("a (b)", &lexed.into_bytes());
        w.lexed_stream(0);
        w.lexed_contents(0, b);
        w.lexed_tree(0, 0);
        assert_eq!(
            words(&input, &w.finish(&[])),
            "first r#type { :: 1u8 } => [ :: 1u8 x \"s\" ] a ( b ) b a"
        );
    }
}
