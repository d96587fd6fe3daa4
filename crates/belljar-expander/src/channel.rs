//! The expander's end of the connection to a shim.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use belljar_wire::bytes::Writer;
use belljar_wire::message::{self, Site, kind};

use crate::cache::Answered;
use crate::error::ServeError;
use crate::record::CallSite;
use crate::tape::Reply;

/// Printed bytes that are held back, to be sent in one message.
const HELD_BACK: usize = 8 << 10;

/// Largest buffer that is kept from one message to the next.
const KEPT: usize = 1 << 20;

/// Questions and what rustc answered, in the order in which they were asked first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pairs: Vec<Answered>,
    /// Where each question stands.
    known: HashMap<Vec<u8>, usize>,
}

impl Answers {
    fn insert(&mut self, question: &[u8], answer: &[u8]) {
        match self.known.get(question) {
            Some(&at) => self.pairs[at].1 = answer.to_vec(),
            None => {
                self.known.insert(question.to_vec(), self.pairs.len());
                self.pairs.push((question.to_vec(), answer.to_vec()));
            }
        }
    }

    pub(crate) fn get(&self, question: &[u8]) -> Option<&[u8]> {
        self.known.get(question).map(|&at| self.pairs[at].1.as_slice())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pairs.iter().map(|(question, answer)| question.len() + answer.len()).sum()
    }

    pub(crate) fn into_pairs(self) -> Vec<Answered> {
        self.pairs
    }
}

impl From<Vec<Answered>> for Answers {
    fn from(pairs: Vec<Answered>) -> Self {
        let known = pairs.iter().enumerate().map(|(at, (question, _))| (question.clone(), at)).collect();
        Self { pairs, known }
    }
}

/// What went through a channel in one call.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) answers: Answers,
    /// What was printed to standard output (1) or error (2).
    pub(crate) printed: Vec<(u8, Vec<u8>)>,
    /// It was more than was to be kept, and is gone.
    pub(crate) overflown: bool,
    /// Bytes that may still be kept.
    room: usize,
}

impl Heard {
    /// Whether so much more is to be kept. If not, nothing is.
    fn has_room(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes) {
            Some(left) if !self.overflown => self.room = left,
            _ => *self = Self { overflown: true, ..Self::default() },
        }
        !self.overflown
    }
}

/// Where questions go.
#[derive(Debug, Default)]
enum Peer {
    /// Nowhere: this one is in the place of one that is in use elsewhere.
    #[default]
    None,
    Shim(UnixStream),
    /// To nobody: what rustc answered when the call was made. What is printed has been printed then.
    Earlier(Arc<Answers>),
}

/// A connection, with its buffers.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    peer: Peer,
    /// The last message received.
    received: Vec<u8>,
    /// Printed bytes behind the number of their stream, as they will be sent.
    printed: Vec<u8>,
    /// The processor that the compiler was on at the last request, if it says so.
    pub(crate) at: Option<u16>,
    /// Where the macro of the last request is called, if it says so.
    pub(crate) site: Option<Box<CallSite>>,
    /// What goes through it, if that is to be kept.
    heard: Option<Box<Heard>>,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { peer: Peer::Shim(stream), ..Self::default() }
    }

    /// One in which everything is answered as it was in an earlier call.
    pub(crate) fn earlier(answers: Arc<Answers>) -> Self {
        Self { peer: Peer::Earlier(answers), ..Self::default() }
    }

    fn send_to(peer: &Peer, kind: u8, payload: &[u8]) -> io::Result<()> {
        match peer {
            Peer::Shim(stream) => message::send(&mut &*stream, kind, payload),
            Peer::Earlier(_) if kind == kind::PRINT => Ok(()),
            Peer::Earlier(_) | Peer::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn receive(&mut self) -> io::Result<Option<u8>> {
        match &self.peer {
            Peer::Shim(stream) => message::receive(&mut &*stream, &mut self.received),
            Peer::Earlier(_) | Peer::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits for a request and gives its bytes, or `None` when the shim is done for good.
    pub(crate) fn request(&mut self) -> Result<Option<Vec<u8>>, ServeError> {
        self.site = None;
        loop {
            return match self.receive()? {
                None => Ok(None),
                Some(kind::EXPAND) => Ok(Some(std::mem::take(&mut self.received))),
                Some(kind::AT) => match *self.received {
                    [low, high] => {
                        self.at = Some(u16::from_le_bytes([low, high]));
                        continue;
                    }
                    _ => Err(ServeError::Unexpected { kind: kind::AT, expected: "a processor" }),
                },
                Some(kind::SITE) => match Site::read(&self.received) {
                    Ok(site) => {
                        self.site = Some(Box::new(CallSite::of(&site)));
                        continue;
                    }
                    Err(_) => Err(ServeError::Unexpected { kind: kind::SITE, expected: "a place" }),
                },
                Some(kind) => Err(ServeError::Unexpected { kind, expected: "EXPAND" }),
            };
        }
    }

    /// Takes back a request's bytes, to receive the next into the same room.
    pub(crate) fn recycle(&mut self, mut request: Vec<u8>) {
        if request.capacity() <= KEPT {
            request.clear();
            self.received = request;
        }
    }

    /// From now on, keeps so many bytes of what goes through.
    pub(crate) fn keep_heard(&mut self, bytes: usize) {
        self.heard = (bytes > 0).then(|| Box::new(Heard { room: bytes, ..Heard::default() }));
    }

    /// What went through since [`Self::keep_heard`].
    pub(crate) fn heard(&mut self) -> Heard {
        self.heard.take().map(|heard| *heard).unwrap_or_default()
    }

    /// Asks rustc's side, and gives its answer.
    pub(crate) fn ask(&mut self, question: &[u8]) -> Result<&[u8], ServeError> {
        if let Peer::Earlier(answers) = &self.peer {
            // None is what a shim says that has no answer.
            self.received = answers.get(question).unwrap_or_default().to_vec();
            return Ok(&self.received);
        }
        self.flush()?;
        self.send(kind::ASK, question)?;
        match self.receive()? {
            Some(kind::ANSWER) => {
                if let Some(heard) = &mut self.heard
                    && heard.has_room(question.len() + self.received.len())
                {
                    heard.answers.insert(question, &self.received);
                }
                Ok(&self.received)
            }
            Some(kind) => Err(ServeError::Unexpected { kind, expected: "ANSWER" }),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Passes on what was printed to standard output (1) or error (2), in its order, when there is enough of it.
    pub(crate) fn print(&mut self, to: u8, bytes: &[u8]) -> Result<(), ServeError> {
        if let Some(heard) = &mut self.heard
            && heard.has_room(bytes.len())
        {
            match heard.printed.last_mut() {
                Some((last, printed)) if *last == to => printed.extend_from_slice(bytes),
                _ => heard.printed.push((to, bytes.to_vec())),
            }
        }
        if self.printed.first().is_some_and(|&last| last != to) {
            self.flush()?;
        }
        if self.printed.is_empty() {
            self.printed.push(to);
        }
        self.printed.extend_from_slice(bytes);
        if self.printed.len() >= HELD_BACK { self.flush() } else { Ok(()) }
    }

    /// Passes on what is held back.
    pub(crate) fn flush(&mut self) -> Result<(), ServeError> {
        if !self.printed.is_empty() {
            Self::send_to(&self.peer, kind::PRINT, &self.printed)?;
            self.printed.clear();
        }
        Ok(())
    }

    /// Sends a message that is a text.
    pub(crate) fn send_text(&mut self, kind: u8, text: &str) -> Result<(), ServeError> {
        let mut payload = Writer::with_capacity(text.len() + 5);
        payload.text(text);
        self.send(kind, payload.as_bytes())
    }

    /// Sends a message that is a text, or that there is none.
    fn send_optional(&mut self, kind: u8, text: Option<&str>) -> Result<(), ServeError> {
        let mut payload = Writer::with_capacity(text.map_or(0, str::len) + 6);
        payload.u8(u8::from(text.is_some()));
        if let Some(text) = text {
            payload.text(text);
        }
        self.send(kind, payload.as_bytes())
    }

    /// Sends what ends a call.
    pub(crate) fn reply(&mut self, reply: &Reply) -> Result<(), ServeError> {
        match reply {
            Reply::Done(output) => self.send(kind::DONE, output),
            Reply::Panicked(message) => self.send_optional(kind::PANICKED, message.as_deref()),
            Reply::Failed(text) => self.send_text(kind::FAILED, text),
        }
    }

    pub(crate) fn send(&mut self, kind: u8, payload: &[u8]) -> Result<(), ServeError> {
        self.flush()?;
        Ok(Self::send_to(&self.peer, kind, payload)?)
    }
}
