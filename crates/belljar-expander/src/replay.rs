//! Calls of a [tape](crate::tape), run again: under other circumstances, in another order, with rustc's old answers.
//!
//! An expander that knows nothing of it does the work. Here is the shim's side: requests as they were, and for each question
//! what rustc answered when it was asked the same in the same call. A question that rustc never heard has no answer. The
//! expansion then fails, and that it was asked is what is found out: the macro did something else than before.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::thread;

use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::message::{self, Expand, kind};

use crate::error::ServeError;
use crate::expander::{Config, Expander, Moved};
use crate::tape::{Reply, TapedCall};
use crate::texts::texts;

/// Tokens that are shown before and behind those that differ, and at most of those.
const AROUND: usize = 8;
const SHOWN: usize = 24;

/// The longest token that is shown whole.
const LONG: usize = 200;

/// How a call went when it was run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Which call of the tape it is.
    pub call: usize,
    pub reply: Reply,
    /// It asked what it had not asked before.
    pub asked: Option<&'static str>,
}

/// How that differs from what it gave first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differs {
    /// In these tokens, with some around them.
    Tokens { was: String, now: String },
    /// In spans alone: the tokens have the same texts.
    Spans,
    /// It ended in another way: with this message.
    Ended { now: String },
    /// It asked the compiler something that it had not asked before.
    Asked { what: &'static str },
}

/// Runs calls of a tape again, in this order, each as often as it stands there. `config` decides the circumstances.
pub fn replay(
    config: Config,
    calls: &[TapedCall],
    order: impl IntoIterator<Item = usize>,
) -> Result<Vec<Again>, ServeError> {
    let (ours, theirs) = UnixStream::pair()?;
    let moved = config.moved.clone();
    thread::scope(|scope| {
        let serving = scope.spawn(move || Expander::new(config).serve(theirs));
        let mut shim = Shim { stream: ours, moved, buffer: Vec::new() };
        let order = order.into_iter().filter_map(|call| Some((call, calls.get(call)?)));
        let all: io::Result<Vec<Again>> = order.map(|(at, call)| shim.call(at, call)).collect();
        drop(shim);
        // If it ended with an error, that is the cause of ours.
        serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(all?)
    })
}

struct Shim {
    stream: UnixStream,
    moved: Option<Moved>,
    buffer: Vec<u8>,
}

impl Shim {
    fn call(&mut self, at: usize, call: &TapedCall) -> io::Result<Again> {
        let mut asked = None;
        message::send(&mut &self.stream, kind::EXPAND, &call.request)?;
        let reply = loop {
            let Some(kind) = message::receive(&mut &self.stream, &mut self.buffer)? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            match kind {
                kind::ASK => {
                    let answer = call.answers.get(&self.buffer).map(|answer| self.moved(answer));
                    if answer.is_none() {
                        asked = asked.or(Some(asked_for(&self.buffer)));
                    }
                    message::send(&mut &self.stream, kind::ANSWER, &answer.unwrap_or_default())?;
                }
                kind::DONE => break Reply::Done(std::mem::take(&mut self.buffer)),
                kind::PANICKED => {
                    let mut r = Reader::new(&self.buffer);
                    let text = r.u8().is_ok_and(|is| is == 1).then(|| r.text());
                    break Reply::Panicked(text.and_then(Result::ok).map(str::to_owned));
                }
                kind::FAILED => {
                    break Reply::Failed(Reader::new(&self.buffer).text().unwrap_or_default().to_owned());
                }
                _ => {}
            }
        };
        Ok(Again { call: at, reply, asked })
    }

    /// rustc's answer to the question in the buffer, if what is elsewhere now were elsewhere for rustc too.
    fn moved(&self, answer: &[u8]) -> Vec<u8> {
        let unchanged = || answer.to_vec();
        let Some(Moved { from, to }) = &self.moved else { return unchanged() };
        let head: &[u8] = match self.buffer.first() {
            Some(&question::FILE) => &[],
            Some(&question::LOCAL_FILE) if answer.first() == Some(&1) => &[1],
            _ => return unchanged(),
        };
        let Ok(path) = Reader::at(answer, head.len()).text() else { return unchanged() };
        let Some(rest) = path.strip_prefix(from.as_str()).filter(|rest| rest.starts_with('/')) else {
            return unchanged();
        };
        let mut w = Writer::new();
        w.raw(head);
        w.text(&format!("{to}{rest}"));
        w.into_bytes()
    }
}

fn asked_for(asked: &[u8]) -> &'static str {
    match asked.first() {
        Some(&question::PRINT) => "the text of some tokens",
        Some(&(question::LEX_STREAM | question::LEX_LITERAL)) => "the tokens of a text",
        Some(&question::NAME) => "the spelling of a name",
        _ => "the place of a token",
    }
}

impl TapedCall {
    /// What is different now. `None` for a call that gave no output the first time, or the same.
    #[must_use]
    pub fn differs(&self, again: &Again) -> Option<Differs> {
        let Reply::Done(was) = &self.reply else { return None };
        if let Some(what) = again.asked {
            return Some(Differs::Asked { what });
        }
        let input = Expand::read(&self.request).map(|expand| expand.input).unwrap_or_default();
        differing(input, was, &again.reply)
    }
}

/// In what the reply to a call with this input differs from an output that it gave before.
pub(crate) fn differing(input: &[u8], was: &[u8], now: &Reply) -> Option<Differs> {
    let now = match now {
        Reply::Done(now) if now == was => return None,
        Reply::Done(now) => now,
        Reply::Panicked(message) => {
            let now = message.clone().unwrap_or_else(|| "a panic without a message".to_owned());
            return Some(Differs::Ended { now });
        }
        Reply::Failed(now) => return Some(Differs::Ended { now: now.clone() }),
    };
    Some(match (texts(input, was), texts(input, now)) {
        (Ok(was), Ok(now)) if was != now => tokens(&was, &now),
        _ => Differs::Spans,
    })
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Differs::Tokens { was, now } => {
                write!(f, "`{}` is now `{}`", was.escape_debug(), now.escape_debug())
            }
            Differs::Spans => f.write_str("the same tokens with other spans"),
            Differs::Ended { now } => write!(f, "it ends with an error: {}", now.escape_debug()),
            Differs::Asked { what } => write!(f, "it asks for {what}"),
        }
    }
}

/// Where two sequences of tokens begin and end to differ.
fn tokens(was: &[String], now: &[String]) -> Differs {
    let same = |(a, b): &(&String, &String)| a == b;
    let before = was.iter().zip(now).take_while(same).count();
    let behind = was[before..].iter().rev().zip(now[before..].iter().rev()).take_while(same).count();
    let shown = |all: &[String]| {
        let (from, to) = (before.saturating_sub(AROUND), all.len() - behind);
        let shown_to = (to + AROUND).min(all.len()).min(before + SHOWN + AROUND);
        let mut words: Vec<String> = all[from..shown_to].iter().map(|text| short(text)).collect();
        if from > 0 {
            words.insert(0, "…".to_owned());
        }
        if shown_to < all.len() {
            words.push("…".to_owned());
        }
        words.join(" ")
    };
    Differs::Tokens { was: shown(was), now: shown(now) }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(was: &str, now: &str) -> (String, String) {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        match tokens(&words(was), &words(now)) {
            Differs::Tokens { was, now } => (was, now),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_differs_is_shown_with_a_little_around_it() {
        let (was, now) = differ("a b c 1 d e", "a b c 2 3 d e");
        assert_eq!((was.as_str(), now.as_str()), ("a b c 1 d e", "a b c 2 3 d e"));
        let long = |middle: &str| {
            let words: Vec<String> = (0..100).map(|n| n.to_string()).collect();
            words.join(" ").replace(" 50 ", &format!(" {middle} "))
        };
        let (was, now) = differ(&long("x"), &long("y z"));
        assert_eq!(was, "… 42 43 44 45 46 47 48 49 x 51 52 53 54 55 56 57 58 …");
        assert_eq!(now, "… 42 43 44 45 46 47 48 49 y z 51 52 53 54 55 56 57 58 …");
        // One is the other with more behind it; many differ.
        assert_eq!(differ("a", "a b"), ("a".to_owned(), "a b".to_owned()));
        let (_, now) = differ("a", &long("x"));
        assert!(now.starts_with("0 1 2") && now.ends_with("31 …"), "{now}");
        assert_eq!(differ("a a", "a a a"), ("a a".to_owned(), "a a a".to_owned()));
    }
}
