//! The expander's end of the connection to a shim.

use std::io;
use std::os::unix::net::UnixStream;

use belljar_wire::bytes::Writer;
use belljar_wire::message::{self, kind};

use crate::error::ServeError;
use crate::tape::{Answers, Reply};

/// Printed bytes that are held back, to be sent in one message.
const HELD_BACK: usize = 8 << 10;

/// Largest buffer that is kept from one message to the next.
const KEPT: usize = 1 << 20;

/// A connection, with its buffers.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// `None` in the place of one that is in use elsewhere.
    stream: Option<UnixStream>,
    /// The last message received.
    received: Vec<u8>,
    /// Printed bytes behind the number of their stream, as they will be sent.
    printed: Vec<u8>,
    /// What was asked and answered, if that is to be kept.
    heard: Option<Box<Answers>>,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream: Some(stream), received: Vec::new(), printed: Vec::new(), heard: None }
    }

    fn send_to(stream: &Option<UnixStream>, kind: u8, payload: &[u8]) -> io::Result<()> {
        message::send(&mut stream.as_ref().ok_or(io::ErrorKind::NotConnected)?, kind, payload)
    }

    fn receive(&mut self) -> io::Result<Option<u8>> {
        let mut stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        message::receive(&mut stream, &mut self.received)
    }

    /// Waits for a request and gives its bytes, or `None` when the shim is done for good.
    pub(crate) fn request(&mut self) -> Result<Option<Vec<u8>>, ServeError> {
        match self.receive()? {
            None => Ok(None),
            Some(kind::EXPAND) => Ok(Some(std::mem::take(&mut self.received))),
            Some(kind) => Err(ServeError::Unexpected { kind, expected: "EXPAND" }),
        }
    }

    /// Takes back a request's bytes, to receive the next into the same room.
    pub(crate) fn recycle(&mut self, mut request: Vec<u8>) {
        if request.capacity() <= KEPT {
            request.clear();
            self.received = request;
        }
    }

    /// From now on, keeps what is asked and answered, or no longer.
    pub(crate) fn keep_heard(&mut self, keep: bool) {
        self.heard = keep.then(Box::default);
    }

    pub(crate) fn keeps_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// What was asked and answered since [`Self::keep_heard`].
    pub(crate) fn heard(&mut self) -> Answers {
        self.heard.take().map(|heard| *heard).unwrap_or_default()
    }

    /// Asks rustc's side, and gives its answer.
    pub(crate) fn ask(&mut self, question: &[u8]) -> Result<&[u8], ServeError> {
        self.flush()?;
        self.send(kind::ASK, question)?;
        match self.receive()? {
            Some(kind::ANSWER) => {
                if let Some(heard) = &mut self.heard {
                    heard.insert(question.to_vec(), self.received.clone());
                }
                Ok(&self.received)
            }
            Some(kind) => Err(ServeError::Unexpected { kind, expected: "ANSWER" }),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Passes on what was printed to standard output (1) or error (2), in its order, when there is enough of it.
    pub(crate) fn print(&mut self, to: u8, bytes: &[u8]) -> Result<(), ServeError> {
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
            Self::send_to(&self.stream, kind::PRINT, &self.printed)?;
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
        Ok(Self::send_to(&self.stream, kind, payload)?)
    }
}
