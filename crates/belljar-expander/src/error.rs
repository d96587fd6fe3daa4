//! What can go wrong, in the words that reach the user: which macro, why, and what to do.

use std::fmt;
use std::io;

use belljar_wire::Malformed;
use belljar_wire::abi::EntryKind;
use belljar_wire::message::Expand;

use crate::attempts::Attempts;
use crate::engine::ModuleError;
use crate::limits::{BadLimit, Exceeded};
use crate::memory::OutOfMemory;

/// The conversation with a shim can't go on. Errors of single expansions are told to the shim and are not among these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error(
        "the connection to the compiler broke: {source}\n  help: build again; if it stays so, please report it"
    )]
    Connection { source: io::Error },

    #[error(
        "the compiler's side sent message {kind} where {expected} was due\n  \
         help: something else writes to belljar's socket, or the macros were built by another belljar: run `cargo clean`"
    )]
    Unexpected { kind: u8, expected: &'static str },

    #[error(
        "the compiler's side sent an answer that can't be read: {malformed}\n  \
         help: the macros were built by another belljar: run `cargo clean`"
    )]
    Answer { malformed: Malformed },

    #[error(
        "no thread can be started to run macros: {source}\n  help: raise this machine's limit on processes or memory"
    )]
    Thread { source: io::Error },
}

impl From<io::Error> for ServeError {
    fn from(source: io::Error) -> Self {
        Self::Connection { source }
    }
}

/// The macro that an error is about, as its user knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MacroName {
    pub kind: EntryKind,
    pub name: String,
    pub package: String,
    pub version: String,
}

impl MacroName {
    pub(crate) fn of(expand: &Expand<'_>) -> Self {
        Self {
            kind: expand.kind,
            name: expand.name.to_owned(),
            package: expand.package.to_owned(),
            version: expand.version.to_owned(),
        }
    }

    /// Whether that is the macro that is wanted.
    pub(crate) fn is(&self, expand: &Expand<'_>) -> bool {
        (self.kind, &*self.name) == (expand.kind, expand.name)
            && (&*self.package, &*self.version) == (expand.package, expand.version)
    }

    /// As its user writes it: `name!`, `#[name]`, `derive(Name)`.
    #[must_use]
    pub fn written(&self) -> String {
        // From the shim, which has it from the macro's author: printed without surprises.
        let name = self.name.escape_debug();
        match self.kind {
            EntryKind::Function => format!("{name}!"),
            EntryKind::Attribute => format!("#[{name}]"),
            EntryKind::Derive => format!("derive({name})"),
        }
    }
}

impl fmt::Display for MacroName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (package, version) = (self.package.escape_debug(), self.version.escape_debug());
        write!(f, "`{}` of {package} {version}", self.written())
    }
}

/// An expansion that gave no output, and not because the macro panicked.
#[derive(Debug)]
pub struct ExpandError {
    /// `None` when the request could not even be read.
    pub macro_name: Option<MacroName>,
    pub cause: Cause,
    pub(crate) refused: Attempts,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.macro_name {
            Some(name) => write!(f, "belljar: {name} can't be expanded: {}", self.cause)?,
            None => write!(f, "belljar: a macro can't be expanded: {}", self.cause)?,
        }
        for line in self.refused.lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ExpandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

const HOSTILE: &str = "\n  help: a macro can't do this by the means that Rust gives it; look at what the crate does, or report \
     it as a fault of belljar's";

/// Why an expansion gave no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    #[error("its shim was made by another version of belljar\n  help: run `cargo clean`, then build again")]
    OtherProtocol,

    #[error("what the compiler's side sent can't be read: {0}\n  help: run `cargo clean`, then build again")]
    Request(Malformed),

    #[error("{0}")]
    Limits(#[from] BadLimit),

    #[error("{0}")]
    Module(#[from] ModuleError),

    #[error("{0}")]
    Exceeded(#[from] Exceeded),

    #[error("`{}`: {exceeded}", .path.escape_debug())]
    LargeFile { path: String, exceeded: Exceeded },

    #[error(
        "`{}` changed while it was compiled: it was {before}, and is now {now}\n  help: build again", .path.escape_debug()
    )]
    Changed { path: String, before: String, now: String },

    #[error("`{}` changed while it was read\n  help: build again", .path.escape_debug())]
    Changing { path: String },

    #[error(
        "`{}`, which it may read, can't be read: {cause}\n  help: look whether the file is whole and its file system in order",
        .path.escape_debug()
    )]
    Unreadable { path: String, cause: String },

    #[error(
        "the macros of this crate have looked at more than {allowed} files and directories\n  \
         help: grant fewer of them; nothing of a sealed macro goes on without a limit"
    )]
    TooManySeen { allowed: usize },

    #[error(
        "the machine has no memory left for it\n  help: close something, or build with fewer jobs (`-j`)"
    )]
    NoMemory,

    #[error(
        "it can't be started: {cause}\n  help: look whether memory is limited (`ulimit -v`) or used up; else please report this"
    )]
    Start { cause: String },

    #[error(
        "it called `exit({code})`\n  help: natively this would have ended the compiler; look at what the crate prints above"
    )]
    Exit { code: i32 },

    #[error(
        "it called `{import}`, a function of another host that belljar does not provide\n  \
         help: such a macro can't be sealed; please report which crate it is"
    )]
    Unprovided { import: String },

    #[error(
        "it aborted{at}\n  help: if the macro prints why, it stands above; natively this would have ended the compiler"
    )]
    Aborted { at: Frames },

    #[error(
        "it crashed: {what}{at}\n  help: very deep recursion or `unsafe` code in the macro can do this; please report it"
    )]
    Trap { what: String, at: Frames },

    #[error("{0}{HOSTILE}")]
    Pointer(#[from] OutOfMemory),

    #[error("it broke belljar's protocol: {what}{HOSTILE}")]
    Protocol { what: String },

    #[error(
        "the compiler could not answer its question\n  help: what the compiler says beside this tells why"
    )]
    Unanswered,

    #[error("its output is not a token stream: {0}{HOSTILE}")]
    Output(Malformed),

    /// Its output was remembered, and it was run to look whether that is right.
    #[error(
        "it does not write what belljar remembers of this very call: {how}\n  \
         help: what was remembered is forgotten, so build again; if this comes back, the macro depends on something that belljar \
         does not see, or the cache was tampered with: `cargo belljar cache verify` looks at all of it"
    )]
    Different {
        how: String,
        /// The tokens of both, one in a line.
        was: String,
        now: String,
    },
}

/// The functions that were running, innermost first, if the module has their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames(pub Vec<String>);

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((first, rest)) = self.0.split_first() {
            write!(f, "\n  in {first}")?;
            for name in rest {
                write!(f, "\n     {name}")?;
            }
        }
        Ok(())
    }
}
