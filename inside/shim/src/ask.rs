//! Questions of a running macro that only rustc can answer.

use belljar_wire::Malformed;
use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use proc_macro::{LexError, Literal, TokenStream, TokenTree};

use crate::error::Problem;
use crate::input::{self, Input};
use crate::output::{self, Spans};

/// Answers one question; both forms are those of [`question`].
pub(crate) fn answer(asked: &[u8], input: &Input) -> Result<Vec<u8>, Problem> {
    answered(asked, input).map_err(|source| Problem::Malformed { what: "a question", source })
}

fn answered(asked: &[u8], input: &Input) -> Result<Vec<u8>, Malformed> {
    let mut r = Reader::new(asked);
    let mut w = Writer::new();
    let kind = r.u8()?;
    match kind {
        question::PRINT => {
            w.text(&output::build_from(r, input)?.to_string());
            return Ok(w.into_bytes());
        }
        question::LEX_STREAM => {
            lexed(&mut w, text(r)?.parse());
            return Ok(w.into_bytes());
        }
        question::LEX_LITERAL => {
            let literal = text(r)?.parse::<Literal>();
            lexed(&mut w, literal.map(|literal| TokenTree::from(literal).into()));
            return Ok(w.into_bytes());
        }
        _ => {}
    }
    let mut spans = Spans::read(&mut r, input)?;
    let span = spans.read_span(&mut r)?;
    r.end()?;
    match kind {
        question::LINE => w.varint(span.line() as u32),
        question::COLUMN => w.varint(span.column() as u32),
        question::FILE => w.text(&span.file()),
        question::LOCAL_FILE => {
            // rustc hands it over as UTF-8.
            let path = span.local_file().and_then(|path| path.into_os_string().into_string().ok());
            optional(&mut w, path.as_deref());
        }
        question::SOURCE_TEXT => optional(&mut w, span.source_text().as_deref()),
        _ => return Err(Malformed { expected: "a question for the compiler", at: 0 }),
    }
    Ok(w.into_bytes())
}

/// What the expander does not lex itself: texts that the compiler complains about, in the compiler's own words, and those
/// that mean one thing in one edition and another in the next.
fn lexed(w: &mut Writer, lexed: Result<TokenStream, LexError>) {
    match lexed {
        Ok(stream) => {
            w.u8(1);
            w.raw(&input::lexed(stream));
        }
        Err(error) => {
            w.u8(0);
            w.text(&error.to_string());
        }
    }
}

/// The rest as a text.
fn text(mut r: Reader<'_>) -> Result<&str, Malformed> {
    let at = r.pos();
    std::str::from_utf8(r.rest()).map_err(|_| Malformed { expected: "UTF-8 text", at })
}

fn optional(w: &mut Writer, text: Option<&str>) {
    w.u8(u8::from(text.is_some()));
    if let Some(text) = text {
        w.text(text);
    }
}
