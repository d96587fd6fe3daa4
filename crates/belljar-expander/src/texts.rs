//! An output as the texts of its tokens, for people who want to see where two differ. Its references are followed; spans are
//! left out.

use belljar_wire::Malformed;
use belljar_wire::bytes::Reader;
use belljar_wire::tokens::{self, Delimiter, InTree, Input, OutTree, StreamAt};

/// Tokens after which a text ends: nobody reads so many.
const MAX: usize = 1 << 20;

/// The tokens of an input or of a lexed text, with what each handle stands for.
struct Flat {
    texts: Vec<String>,
    /// For each handle, where its tree begins and ends in `texts`.
    trees: Vec<(usize, usize)>,
    streams: Vec<(usize, usize)>,
}

fn delimiters(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

fn identifier(text: &str, raw: bool) -> String {
    format!("{}{text}", if raw { "r#" } else { "" })
}

impl Flat {
    fn of(bytes: &[u8], streams: &[StreamAt], handles: u32) -> Result<Self, Malformed> {
        let mut flat = Self { texts: Vec::new(), trees: vec![(0, 0); handles as usize], streams: Vec::new() };
        for stream in streams {
            let began = flat.texts.len();
            flat.add(bytes, *stream)?;
            flat.streams.push((began, flat.texts.len()));
        }
        Ok(flat)
    }

    fn add(&mut self, bytes: &[u8], stream: StreamAt) -> Result<(), Malformed> {
        // What is read, the next handle, and the group around with what closes it.
        let mut open = vec![(stream.start, stream.end, stream.first_handle, None)];
        while let Some((at, end, handle, around)) = open.pop() {
            let mut r = Reader::at(&bytes[..end.min(bytes.len())], at);
            if r.is_empty() {
                if let Some((group, close)) = around {
                    self.texts.push(close);
                    self.end(group);
                }
                continue;
            }
            let tree = tokens::read_tree(&mut r, handle)?;
            open.push((r.pos(), end, handle.saturating_add(tree.handles()), around));
            let began = self.texts.len();
            if let Some(tree) = self.trees.get_mut(handle as usize) {
                *tree = (began, began);
            }
            match tree {
                InTree::Ident { text, raw } => self.texts.push(identifier(text, raw)),
                InTree::Literal { text } => self.texts.push(text.to_owned()),
                // Each has its own handle, so each is a text of its own.
                InTree::Punct { ch, joint } => {
                    self.texts.push(format!("{}{}", char::from(ch), if joint { "\0" } else { "" }));
                }
                InTree::Group { delimiter, contents } => {
                    let (opening, closing) = delimiters(delimiter);
                    self.texts.push(opening.to_owned());
                    let around = Some((handle, closing.to_owned()));
                    open.push((contents.start, contents.end, contents.first_handle, around));
                    continue;
                }
            }
            self.end(handle);
        }
        Ok(())
    }

    fn end(&mut self, handle: u32) {
        let now = self.texts.len();
        if let Some(tree) = self.trees.get_mut(handle as usize) {
            tree.1 = now;
        }
    }

    fn tree(&self, handle: u32) -> &[String] {
        self.trees.get(handle as usize).and_then(|&(from, to)| self.texts.get(from..to)).unwrap_or_default()
    }

    /// What stands between a group's delimiters.
    fn contents(&self, handle: u32) -> &[String] {
        match self.tree(handle) {
            [_, contents @ .., _] => contents,
            _ => &[],
        }
    }

    fn stream(&self, number: usize) -> &[String] {
        self.streams.get(number).and_then(|&(from, to)| self.texts.get(from..to)).unwrap_or_default()
    }
}

/// The texts of an output's tokens, in order. Both have been checked before; what does not fit all the same is an error.
pub(crate) fn texts(input: &[u8], output: &[u8]) -> Result<Vec<String>, Malformed> {
    let streams = Input::read(input)?;
    let flat = Flat::of(input, &streams.streams, streams.handles)?;
    let mut lexed: Vec<Flat> = Vec::new();
    let mut r = Reader::new(output);
    let derived = tokens::read_derived(&mut r, streams.handles)?.len() as u32;
    let mut out: Vec<String> = Vec::new();
    let mut open: Vec<(usize, &str)> = Vec::new();
    loop {
        while let Some((_, closing)) = open.pop_if(|(end, _)| r.pos() >= *end) {
            out.push(closing.to_owned());
        }
        if r.is_empty() || out.len() > MAX {
            break;
        }
        match tokens::read_out(&mut r, streams.handles, derived)? {
            OutTree::RefTree(handle) => out.extend_from_slice(flat.tree(handle)),
            OutTree::RefContents(handle) => out.extend_from_slice(flat.contents(handle)),
            OutTree::RefStream(number) => out.extend_from_slice(flat.stream(number.into())),
            OutTree::Text { lexed: bytes, .. } => {
                let stream = tokens::read_stream(&mut Reader::new(bytes), 0)?;
                lexed.push(Flat::of(bytes, &[stream], stream.handles)?);
            }
            OutTree::LexedTree { text, handle } => out.extend_from_slice(of(&lexed, text)?.tree(handle)),
            OutTree::LexedContents { text, handle } => {
                out.extend_from_slice(of(&lexed, text)?.contents(handle));
            }
            OutTree::LexedStream { text } => out.extend_from_slice(of(&lexed, text)?.stream(0)),
            OutTree::Ident { text, raw, .. } => out.push(identifier(text, raw)),
            OutTree::Literal { text, .. } => out.push(text.to_owned()),
            OutTree::Punct { ch, joint, .. } => {
                out.push(format!("{}{}", char::from(ch), if joint { "\0" } else { "" }));
            }
            OutTree::Group { delimiter, end, .. } => {
                let (opening, closing) = delimiters(delimiter);
                out.push(opening.to_owned());
                open.push((end, closing));
            }
        }
    }
    Ok(joined(out))
}

fn of(lexed: &[Flat], text: u32) -> Result<&Flat, Malformed> {
    lexed.get(text as usize).ok_or(Malformed { expected: "a number of a text before it", at: 0 })
}

/// Puts punctuation that belongs together (`::`) into one text, and leaves out what has none.
fn joined(texts: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(texts.len());
    let mut joint = false;
    for mut text in texts {
        let joins = text.ends_with('\0') && text.len() == 2;
        if joins {
            text.pop();
        }
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
