//! Questions of a running macro that only rustc can answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

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
            let text = text(r)?;
            lexed(&mut w, || text.parse());
            return Ok(w.into_bytes());
        }
        question::LEX_LITERAL => {
            let text = text(r)?;
            lexed(&mut w, || text.parse::<Literal>().map(|literal| TokenTree::from(literal).into()));
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
fn lexed(w: &mut Writer, lex: impl FnOnce() -> Result<TokenStream, LexError>) {
    let why = match catch_unwind(AssertUnwindSafe(lex)) {
        Ok(Ok(stream)) => {
            w.u8(1);
            w.raw(&input::lexed(stream));
            return;
        }
        Ok(Err(error)) => error.to_string(),
        // After an error that is fatal for it, rustc 1.95 panics here. proc-macro2 makes this error of that, and later
        // compilers one like it.
        Err(_) => "cannot parse string into token stream".to_owned(),
    };
    w.u8(0);
    w.text(&why);
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
