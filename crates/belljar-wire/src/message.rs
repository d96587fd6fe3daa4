//! Messages between a shim (inside rustc) and its expander, over a Unix stream socket.
//!
//! ```text
//! frame = u32 bytes of what follows, u8 kind, payload
//!
//! shim → expander                      expander → shim
//! EXPAND   an Expand                   ASK       a question of the guest (see `abi::question`)
//! ANSWER   the answer to the last ASK  PRINT     u8 1 (stdout) or 2 (stderr), bytes
//! AT       u16 the processor that
//!          the compiler runs on
//! SITE     a Site
//!                                      DONE      an output (see `tokens`): checked, may be built as it is
//!                                      PANICKED  0, or 1 and a text: the macro's own panic message
//!                                      FAILED    text: belljar's error, with crate, macro and next step
//! ```
//!
//! The shim speaks first, one [`Expand`] at a time, with a `SITE` before it, and an `AT` when that is another processor than it last
//! was; any number of `ASK` (each answered) and `PRINT` (not answered) follow, then exactly one of the last three. An empty `ANSWER` says that there is none: the expansion fails, and the
//! shim, who knows why, says so. A version that differs is answered with `FAILED`.

use std::io::{self, Read, Write};

use crate::abi::EntryKind;
use crate::bytes::{Malformed, Reader, Writer};

pub mod kind {
    pub const EXPAND: u8 = 1;
    pub const ANSWER: u8 = 2;
    pub const AT: u8 = 3;
    pub const SITE: u8 = 4;
    pub const ASK: u8 = 17;
    pub const PRINT: u8 = 18;
    pub const DONE: u8 = 19;
    pub const PANICKED: u8 = 20;
    pub const FAILED: u8 = 21;
}

/// Environment variable with the inherited socket, set by the wrapper for the rustc it starts: the descriptor's number,
/// or `number:inode`, so that another socket of that number is not taken for it.
pub const SOCKET_VAR: &str = "BELLJAR_SOCKET";

/// The longest frame that is read, in bytes: 256 MiB.
pub const MAX_FRAME: u32 = 256 << 20;

/// Where the macro of the next [`Expand`] is called. It decides nothing: what a macro is told of positions, it asks for.
///
/// ```text
/// site = varint line, varint column, varint end line, varint end column, text file
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site<'a> {
    /// The first character of the call, from 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is behind the last character.
    pub end_line: u32,
    pub end_column: u32,
    /// As the compiler shows it.
    pub file: &'a str,
}

impl<'a> Site<'a> {
    pub fn write(&self, w: &mut Writer) {
        for number in [self.line, self.column, self.end_line, self.end_column] {
            w.varint(number);
        }
        w.text(self.file);
    }

    pub fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let [line, column, end_line, end_column] = [r.varint()?, r.varint()?, r.varint()?, r.varint()?];
        let site = Self { line, column, end_line, end_column, file: r.text()? };
        r.end()?;
        Ok(site)
    }
}

/// A request to run one macro once.
///
/// ```text
/// expand = u16 PROTOCOL, 32 bytes module digest, u8 entry kind, text name, text package name, text package version,
///          input (see `tokens`) to the end
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expand<'a> {
    /// BLAKE3 digest of the module.
    pub module: [u8; 32],
    pub kind: EntryKind,
    /// The macro's name.
    pub name: &'a str,
    /// The macro package's name and version, for messages.
    pub package: &'a str,
    pub version: &'a str,
    pub input: &'a [u8],
}

impl<'a> Expand<'a> {
    pub fn write(&self, w: &mut Writer) {
        w.u16(crate::PROTOCOL);
        w.raw(&self.module);
        w.u8(self.kind.as_u8());
        w.text(self.name);
        w.text(self.package);
        w.text(self.version);
        w.raw(self.input);
    }

    /// `Err` with `expected` = [`OTHER_PROTOCOL`] when the other side speaks another version. The input is not
    /// checked here.
    pub fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        if r.u16()? != crate::PROTOCOL {
            return Err(Malformed { expected: OTHER_PROTOCOL, at: 0 });
        }
        let mut module = [0; 32];
        module.copy_from_slice(r.take(32, "a module digest")?);
        let kind = r.u8()?;
        let kind = EntryKind::from_u8(kind).ok_or_else(|| r.malformed("a kind of macro"))?;
        Ok(Self { module, kind, name: r.text()?, package: r.text()?, version: r.text()?, input: r.rest() })
    }
}

/// See [`Expand::read`].
pub const OTHER_PROTOCOL: &str = "the same protocol version";

/// Writes one frame in a single call to `write_all`.
pub fn send(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 5);
    add(&mut frame, kind, payload)?;
    out.write_all(&frame)
}

/// Appends one frame, so that several can be sent at once.
pub fn add(frames: &mut Vec<u8>, kind: u8, payload: &[u8]) -> io::Result<()> {
    let len = u32::try_from(payload.len() + 1).ok().filter(|&n| n <= MAX_FRAME);
    let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message over 256 MiB"))?;
    frames.extend_from_slice(&len.to_le_bytes());
    frames.push(kind);
    frames.extend_from_slice(payload);
    Ok(())
}

/// Reads one frame into `buffer` and returns its kind, or `None` at a clean end. Memory grows with what arrives, not
/// with what a length claims.
pub fn receive(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<u8>> {
    let mut head = [0; 5];
    let mut got = 0;
    while got < head.len() {
        match from.read(&mut head[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    if len == 0 || len > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message with an impossible length"));
    }
    buffer.clear();
    let want = u64::from(len) - 1;
    if from.take(want).read_to_end(buffer)? as u64 != want {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(head[4]))
}
