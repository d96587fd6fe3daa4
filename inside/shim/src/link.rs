//! The connection to an expander.
//!
//! A rustc that belljar's wrapper started has inherited a socket, to the wrapper itself. Every shim of that rustc uses it:
//! one speaks after the other, because rustc expands one macro at a time. Where there is none (rustdoc, rust-analyzer, a
//! compiler cache in between), the shim starts an expander of its own, which ends when its end of the socket is closed, at
//! the latest with this process.

mod fd;
mod processor;

use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use belljar_wire::Malformed;
use belljar_wire::bytes::Reader;
use belljar_wire::message::{self, SOCKET_VAR, kind};
use belljar_wire::place::Place;

use crate::error::Problem;
use crate::print;

/// How an exchange ended.
pub(crate) enum Reply {
    /// An output, still in bytes.
    Done(Vec<u8>),
    Panicked(Option<String>),
    Failed(String),
}

static STATE: Mutex<State> = Mutex::new(State { link: None, inherited_lost: false });

struct State {
    link: Option<Link>,
    /// The inherited socket broke, and is not tried again.
    inherited_lost: bool,
}

struct Link {
    /// Dropped before `own`, which waits for an end that this causes.
    socket: BufReader<UnixStream>,
    /// Room for the frame being read, reused.
    frame: Vec<u8>,
    /// The expander at the other end, when it was started here.
    own: Option<Own>,
    /// The processor of which it was told last.
    at: Option<u16>,
}

struct Own {
    child: Child,
    /// Where and with what variables it was started. It answers for these only: a process that compiles several crates
    /// (rust-analyzer's) changes both from one crate to the next.
    here: Here,
}

#[derive(PartialEq, Eq)]
struct Here {
    directory: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
}

impl Here {
    fn of_process() -> Self {
        Self { directory: std::env::current_dir().ok(), variables: std::env::vars_os().collect() }
    }
}

/// Sends one request, with where the macro is called before it, has `answer` answer each question, and waits for the end. `room` is
/// where an expander's place stands, for when one has to be started.
pub(crate) fn exchange(
    room: impl FnOnce() -> Vec<u8>,
    request: [&[u8]; 2],
    answer: impl FnMut(&[u8]) -> Vec<u8>,
) -> Result<Reply, Problem> {
    // A panic while it was locked left no link: it is taken out for each exchange.
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut link = match state.link.take().filter(Link::answers_here) {
        Some(link) => link,
        None => Link::open(room, state.inherited_lost)?,
    };
    match link.exchange(request, answer) {
        Ok(reply) => {
            state.link = Some(link);
            Ok(reply)
        }
        Err(broken) => {
            state.inherited_lost |= link.own.is_none();
            Err(link.lost(broken))
        }
    }
}

/// Why a link can't be used any more.
enum Broken {
    Io(io::Error),
    Format(Malformed),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

impl From<Malformed> for Broken {
    fn from(error: Malformed) -> Self {
        Broken::Format(error)
    }
}

impl Link {
    fn open(room: impl FnOnce() -> Vec<u8>, inherited_lost: bool) -> Result<Self, Problem> {
        let inherited = if inherited_lost { None } else { fd::inherited() };
        let (socket, own) = match inherited {
            Some(socket) => (socket, None),
            None => {
                let (here, room) = (Here::of_process(), room());
                let place = Place::read(&room).map_err(|_| Problem::Unplaced)?;
                let (socket, child) = start(&place)
                    .map_err(|source| Problem::Start { belljar: place.belljar.to_owned(), source })?;
                (socket, Some(Own { child, here }))
            }
        };
        Ok(Self { socket: BufReader::with_capacity(32 << 10, socket), frame: Vec::new(), own, at: None })
    }

    /// Was this expander started for what this process compiles now?
    fn answers_here(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.here == Here::of_process())
    }

    fn exchange(
        &mut self,
        request: [&[u8]; 2],
        mut answer: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<Reply, Broken> {
        self.request(request)?;
        let reply = loop {
            match message::receive(&mut self.socket, &mut self.frame)? {
                Some(kind::ASK) => {
                    let answer = answer(&self.frame);
                    message::send(self.socket.get_mut(), kind::ANSWER, &answer)?;
                }
                Some(kind::PRINT) => print::print(&self.frame)?,
                Some(kind::DONE) => break Reply::Done(std::mem::take(&mut self.frame)),
                Some(kind::PANICKED) => break Reply::Panicked(optional(&self.frame)?),
                Some(kind::FAILED) => break Reply::Failed(text(&self.frame)?),
                Some(_) => return Err(Malformed { expected: "a kind of message", at: 0 }.into()),
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            }
        };
        // The other shims of this process share the socket, not this buffer.
        if self.socket.buffer().is_empty() {
            Ok(reply)
        } else {
            Err(Malformed { expected: "nothing after a reply", at: 0 }.into())
        }
    }

    /// Sends a request, where its macro is called, and where this thread is when that has changed.
    fn request(&mut self, [site, request]: [&[u8]; 2]) -> io::Result<()> {
        // In one call, so that the other side is woken once.
        let mut all = Vec::with_capacity(site.len() + request.len() + 24);
        let at = processor::current();
        if let Some(processor) = at.filter(|_| at != self.at) {
            self.at = at;
            message::add(&mut all, kind::AT, &processor.to_le_bytes())?;
        }
        message::add(&mut all, kind::SITE, site)?;
        message::add(&mut all, kind::EXPAND, request)?;
        self.socket.get_mut().write_all(&all)
    }

    /// Ends the connection for all who share it, and says why.
    fn lost(self, broken: Broken) -> Problem {
        let _ = self.socket.get_ref().shutdown(std::net::Shutdown::Both);
        match broken {
            Broken::Format(source) => Problem::Malformed { what: "a message", source },
            Broken::Io(source) => {
                let Self { socket, own, .. } = self;
                drop(socket);
                let ended = own.and_then(|mut own| own.end());
                Problem::Lost { source, ended: ended.map(|status| status.to_string()) }
            }
        }
    }
}

/// Starts an expander with one end of a socket pair as its standard input.
fn start(place: &Place<'_>) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(place.belljar)
        .arg("__expander")
        .args([place.home, place.policy_root, place.belljar_dir])
        .env(SOCKET_VAR, "0")
        .stdin(OwnedFd::from(theirs))
        // The compiler's standard output may be a protocol of its own.
        .stdout(Stdio::null())
        .spawn()?;
    Ok((ours, child))
}

impl Own {
    /// Waits for its end: the socket has been closed, so that is near. What doesn't end is ended.
    fn end(&mut self) -> Option<ExitStatus> {
        for _ in 0..200 {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(ended) => return ended,
                Err(_) => return None,
            }
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.end();
    }
}

fn text(frame: &[u8]) -> Result<String, Malformed> {
    let mut r = Reader::new(frame);
    let text = r.text()?.to_owned();
    r.end()?;
    Ok(text)
}

fn optional(frame: &[u8]) -> Result<Option<String>, Malformed> {
    match frame.split_first() {
        Some((0, [])) => Ok(None),
        Some((1, rest)) => text(rest).map(Some),
        _ => Err(Malformed { expected: "0, or 1 and a text", at: 0 }),
    }
}
