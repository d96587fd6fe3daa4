//! Questions of a running macro that only rustc can answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use belljar_wire::Malformed;
use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use proc_macro::{Ident, Literal, Span, TokenTree};

use crate::error::Problem;
use crate::input::Input;
use crate::output::{self, Spans};
use crate::text::{self, NotLexed, Text, Texts};

/// Answers one question; both forms are those of [`question`].
pub(crate) fn answer(asked: &[u8], input: &Input, texts: &mut Texts) -> Result<Vec<u8>, Problem> {
    answered(asked, input, texts).map_err(|source| Problem::Malformed { what: "a question", source })
}

fn answered(asked: &[u8], input: &Input, texts: &mut Texts) -> Result<Vec<u8>, Malformed> {
    let mut r = Reader::new(asked);
    let mut w = Writer::new();
    let kind = r.u8()?;
    match kind {
        question::PRINT => {
            w.text(&output::build_from(r, input, texts)?.to_string());
            return Ok(w.into_bytes());
        }
        question::LEX_STREAM => {
            lexed(&mut w, texts.lex(text(r)?).as_deref());
            return Ok(w.into_bytes());
        }
        question::LEX_LITERAL => {
            let text = text(r)?;
            let literal = text::guarded(|| text.parse::<Literal>());
            lexed(&mut w, literal.map(|literal| Text::new(TokenTree::from(literal).into())).as_ref());
            return Ok(w.into_bytes());
        }
        question::NAME => {
            let text = text(r)?;
            // It says no by a panic.
            let name = catch_unwind(AssertUnwindSafe(|| Ident::new(text, Span::call_site()).to_string()));
            optional(&mut w, name.ok().as_deref());
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
fn lexed(w: &mut Writer, lexed: Result<&Text, &NotLexed>) {
    match lexed {
        Ok(text) => {
            w.u8(1);
            w.raw(text.bytes());
        }
        Err(NotLexed::Error(why)) => {
            w.u8(0);
            w.text(&why.to_string());
        }
        Err(NotLexed::Panicked) => w.u8(2),
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
