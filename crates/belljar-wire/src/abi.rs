//! What a guest module exports and imports, and the questions it may ask its host.
//!
//! A guest exports `memory`, `_initialize`, [`ALLOC`] and one function per entry point, named by [`Entry::export`].
//! It imports the functions named in [`import`] from the module [`IMPORT_MODULE`], and what its std takes from
//! `wasi_snapshot_preview1`.
//!
//! One expansion:
//!
//! 1. host: `_initialize()`, then `p = belljar_alloc(n)`, and writes the [input](crate::tokens) to `p`;
//! 2. host: `r = entry(p, n)`; the guest asks questions meanwhile;
//! 3. guest: returns `(pointer << 32) | length` of the [output](crate::tokens), or [`PANICKED`] after it called
//!    `panicked`. On a std that aborts it calls `panicked` and traps.

use crate::bytes::{Malformed, Reader, Writer};

pub const IMPORT_MODULE: &str = "belljar";

/// `fn belljar_alloc(len: u32) -> u32`: room for `len` bytes in the guest's memory, never freed.
pub const ALLOC: &str = "belljar_alloc";

/// What an entry function returns instead of an output when the macro panicked and the guest could catch it.
pub const PANICKED: u64 = u64::MAX;

/// Names of the imported functions.
pub mod import {
    /// `fn ask(ptr: u32, len: u32) -> u32`: asks the [question](super::question) in those bytes; returns the length
    /// of the answer, which the host keeps until `take`.
    pub const ASK: &str = "ask";
    /// `fn take(ptr: u32)`: writes the kept answer to `ptr`.
    pub const TAKE: &str = "take";
    /// `fn panicked(ptr: u32, len: u32)`: the message of the panic that ends this call, as UTF-8. A `ptr` of 0 says that
    /// it has none: its payload is no text.
    pub const PANICKED: &str = "panicked";
    /// `fn getenv(name: u32, len: u32) -> u32`: like `ask`, for one environment variable; `u32::MAX` when it is absent
    /// (or refused: the guest can't tell), else the length of its value.
    pub const GETENV: &str = "getenv";
    /// `fn getcwd() -> u32`: like `getenv`, for the compiler's working directory.
    pub const GETCWD: &str = "getcwd";
    /// `fn attempt(kind: u32, name: u32, len: u32)`: tells of something that the guest's std refuses by itself, so that it is
    /// on record. Kinds are those of [`attempt`](super::attempt); the name is that of a program, or an address.
    pub const ATTEMPT: &str = "attempt";

    /// All of them.
    pub const ALL: [&str; 6] = [ASK, TAKE, PANICKED, GETENV, GETCWD, ATTEMPT];
}

/// Where guests' libc takes the compiler's working directory to be: `/.belljar-cwd/a/b` is what it is natively to name `a/b`.
/// No real directory has this name.
pub const CWD: &str = "/.belljar-cwd";

/// What [`import::ATTEMPT`] tells of.
pub mod attempt {
    pub const THREAD: u32 = 1;
    pub const PROCESS: u32 = 2;
    pub const SOCKET: u32 = 3;
}

/// First byte of a question. All are answered by the shim, from rustc; a `LEX_*` only when the text has an error or could
/// mean something else in another edition, so that rustc itself decides and reports. The expander lexes the rest.
///
/// rustc has two ways to refuse a text: it gives its caller an error, or it reports the error itself and panics.
///
/// ```text
/// question = LINE | COLUMN | FILE | LOCAL_FILE | SOURCE_TEXT, derived table, span
///          | PRINT, output                 as in `tokens`: derived table, outs
///          | LEX_STREAM, text to the end | LEX_LITERAL, text to the end
///          | NAME, text to the end         of an identifier that is not all ASCII
/// answer   = LINE, COLUMN: varint
///          | FILE: text
///          | LOCAL_FILE, SOURCE_TEXT: 0, or 1 and a text
///          | PRINT: text                   what rustc's `to_string` gives for those tokens
///          | LEX_STREAM: 0 and a text that says why not, or 1 and a lexed stream (as in `tokens`), or 2: rustc panicked
///          | LEX_LITERAL: the same; the stream is one literal, or `-` and one
///          | NAME: 0 if it is none, or 1 and a text: the identifier as rustc spells it
/// ```
pub mod question {
    pub const LINE: u8 = 1;
    pub const COLUMN: u8 = 2;
    pub const FILE: u8 = 3;
    pub const LOCAL_FILE: u8 = 4;
    pub const SOURCE_TEXT: u8 = 5;
    pub const PRINT: u8 = 6;
    pub const LEX_STREAM: u8 = 7;
    pub const LEX_LITERAL: u8 = 8;
    pub const NAME: u8 = 9;
}

/// Name of the custom section in which a guest lists its entry points, each as [`Entry::write`] writes it, one behind
/// the other in any order. The section comes from the macro's author as much as the code does: readers check it.
pub const ENTRY_SECTION: &str = "belljar.entries";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// `#[proc_macro]`: one stream in.
    Function,
    /// `#[proc_macro_attribute]`: two streams in, the arguments and the item.
    Attribute,
    /// `#[proc_macro_derive]`: one stream in.
    Derive,
}

impl EntryKind {
    #[must_use]
    pub fn as_u8(self) -> u8 {
        match self {
            EntryKind::Function => 1,
            EntryKind::Attribute => 2,
            EntryKind::Derive => 3,
        }
    }

    #[must_use]
    pub fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            1 => EntryKind::Function,
            2 => EntryKind::Attribute,
            3 => EntryKind::Derive,
            _ => return None,
        })
    }

    /// The word used in export names and for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            EntryKind::Function => "function",
            EntryKind::Attribute => "attribute",
            EntryKind::Derive => "derive",
        }
    }

    /// How many input streams such a macro takes.
    #[must_use]
    pub fn streams(self) -> u8 {
        if self == EntryKind::Attribute { 2 } else { 1 }
    }
}

/// One entry point of a macro package.
///
/// ```text
/// entry = u8 kind, text name, varint n, n × text helper, u8 flags, text docs, [text since] [text note]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    /// The name users write: a derive's is its first argument, the others' the function's name, without `r#`.
    pub name: String,
    /// Helper attributes of a derive.
    pub helpers: Vec<String>,
    /// `#[doc(hidden)]`
    pub hidden: bool,
    /// The text of its doc comments, lines joined with newlines.
    pub docs: String,
    /// `#[deprecated]`: since and note, each empty when not given.
    pub deprecated: Option<(String, String)>,
}

impl Entry {
    /// Name of the exported function: `belljar derive Serialize`.
    #[must_use]
    pub fn export(&self) -> String {
        export_name(self.kind, &self.name)
    }

    pub fn write(&self, w: &mut Writer) {
        w.u8(self.kind.as_u8());
        w.text(&self.name);
        w.varint(self.helpers.len() as u32);
        for helper in &self.helpers {
            w.text(helper);
        }
        w.u8(u8::from(self.hidden) | (u8::from(self.deprecated.is_some()) << 1));
        w.text(&self.docs);
        if let Some((since, note)) = &self.deprecated {
            w.text(since);
            w.text(note);
        }
    }

    /// Reads one entry. Names are checked only for being text; whoever writes source from them checks that they are
    /// identifiers.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = r.u8()?;
        let kind = EntryKind::from_u8(kind).ok_or_else(|| r.malformed("a kind of macro"))?;
        let name = r.text()?.to_owned();
        let helpers = r.varint()?;
        let helpers = (0..helpers).map(|_| r.text().map(str::to_owned)).collect::<Result<_, _>>()?;
        let flags = r.u8()?;
        if flags > 3 {
            return Err(r.malformed("flags of a macro"));
        }
        let docs = r.text()?.to_owned();
        let deprecated =
            if flags & 2 != 0 { Some((r.text()?.to_owned(), r.text()?.to_owned())) } else { None };
        Ok(Self { kind, name, helpers, hidden: flags & 1 != 0, docs, deprecated })
    }

    /// Reads a whole entry section.
    pub fn read_section(bytes: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut r = Reader::new(bytes);
        let mut entries = Vec::new();
        while !r.is_empty() {
            entries.push(Self::read(&mut r)?);
        }
        Ok(entries)
    }
}

/// Name of the function a guest exports for an entry point.
#[must_use]
pub fn export_name(kind: EntryKind, name: &str) -> String {
    format!("belljar {} {name}", kind.word())
}
