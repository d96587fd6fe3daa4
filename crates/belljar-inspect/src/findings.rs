//! What generated code may do: the tokens that a macro has made, judged.
//!
//! ```text
//! tokens in a row ── names: what `use`, `extern crate`, `type` and items make of names
//!        │              └── std's paths ── what they are for
//!        └── scan: keywords, attributes, paths, macro calls ── texts: literals, read as a person would
//! ```
//!
//! What the macro was given and passed on as it stood is its user's, and is not judged. It is the macro's as soon as it has put it
//! together anew: a path of which one token is made, or was taken from elsewhere, is judged whole.
//!
//! Tokens don't say everything: what a name is in the crate that the expansion lands in, what a function of another crate does, and
//! which type a method belongs to are not known here. docs/findings.md says for each kind how it is evaded.

mod names;
mod scan;
mod texts;

use std::fmt;

use crate::flat::{Origin, Token};

pub use self::scan::findings;

/// Findings of one expansion that are listed one by one.
const LISTED: usize = 200;

/// Characters of what a finding names.
const NAMED: usize = 160;

macro_rules! kinds {
    ($($kind:ident $name:literal $meaning:literal,)*) => {
        /// What a finding is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $meaning] $kind,)*
        }

        impl Kind {
            /// All there are, those first that a reviewer looks at first.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// As it is written in policy, lock and reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it means that generated code has it, in a few words.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)* }
            }
        }
    };
}

kinds! {
    Process "process" "starts or ends processes",
    Network "network" "talks to a network, or looks up names there",
    Fs "fs" "looks at, reads or writes files",
    Env "env" "reads or changes environment variables, arguments or the working directory",
    Os "os" "uses interfaces of one operating system",
    Asm "asm" "has assembly or processor instructions",
    Ffi "ffi" "declares foreign functions, or links with a library",
    Export "export" "exports a symbol by name",
    BeforeMain "before-main" "has something run before `main`, or in a section of the linker",
    Global "global" "replaces what a whole program has one of: allocator, panic hook",
    Include "include" "takes code, text or a value from outside when it is compiled",
    Unsafe "unsafe" "has `unsafe`, or a `static mut`",
    RawPointer "raw-pointer" "uses raw pointers, or takes bytes for another type",
    Threads "threads" "starts or looks at threads",
    Time "time" "reads a clock",
    Stdio "stdio" "reads or writes the standard streams",
    Bidi "bidi" "has characters that nobody sees, or that change the direction of text",
    Shell "shell" "has text that reads like a shell's command, or names a program or system file",
    CodeText "code-text" "has text that reads like code",
    Url "url" "has text with an address of a network",
    HighEntropy "high-entropy" "has text or bytes that look random or encoded",
    LargeLiteral "large-literal" "has a long text or a table of numbers",
    Shadow "shadow" "gives a name of std's or its prelude to something else",
    Unresolved "unresolved" "has a name of which it can't be said what it is",
    Unreadable "unreadable" "can't be read as Rust",
    MacroRules "macro-rules" "defines a macro",
    Lints "lints" "overrides lints",
    Cfg "cfg" "depends on how it is compiled",
    NonAscii "non-ascii" "has characters that are not ASCII",
    Macro "macro" "calls a macro, a derive or an attribute that is not std's own",
    Crate "crate" "calls, or names something of, another crate",
}

impl Kind {
    /// Whether most macros have it, and it says little by itself.
    #[must_use]
    pub fn is_usual(self) -> bool {
        matches!(self, Self::Lints | Self::Cfg | Self::Macro | Self::Crate)
    }

    /// That of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kinds, as a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u64);

impl Kinds {
    pub fn add(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u32;
    }

    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// As a number: a bit for each of [`Kind::ALL`].
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// `None` if there are bits of no kind.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits >> Kind::ALL.len() == 0).then_some(Self(bits))
    }

    /// In the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |kind| self.has(*kind))
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// One thing that an expansion may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// What shows it: `std::process::Command`, a text's beginning. As the macro has it: not fit for a terminal.
    pub what: String,
    /// How many places of the expansion show it.
    pub times: u32,
    /// The first of its tokens, as a number in the row.
    pub at: usize,
}

/// All that was found in one expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Each once, in the order of the tokens.
    pub list: Vec<Finding>,
    /// All kinds, those of findings that are not listed as well.
    pub kinds: Kinds,
    /// Findings that are not listed, because there were too many.
    pub more: u64,
}

impl Findings {
    /// Those of what can't be read at all.
    #[must_use]
    pub fn unreadable(why: &str) -> Self {
        let mut findings = Self::default();
        findings.add(Kind::Unreadable, why, 0);
        findings
    }

    /// Adds it, or counts it where it is there. Returns its number in the list.
    fn add(&mut self, kind: Kind, what: impl fmt::Display, at: usize) -> Option<usize> {
        self.kinds.add(kind);
        let what = what.to_string();
        let end = what.char_indices().nth(NAMED).map_or(what.len(), |(end, _)| end);
        let what = &what[..end];
        if let Some(n) = self.list.iter().position(|found| found.kind == kind && found.what == what) {
            self.again(n);
            return Some(n);
        }
        if self.list.len() >= LISTED {
            self.more += 1;
            return None;
        }
        self.list.push(Finding { kind, what: what.to_owned(), times: 1, at });
        Some(self.list.len() - 1)
    }

    /// Counts one of the list once more.
    fn again(&mut self, n: usize) {
        if let Some(found) = self.list.get_mut(n) {
            found.times = found.times.saturating_add(1);
        }
    }
}

/// Whether these tokens stand as they stood in what the macro was given, one behind the other.
fn is_given(tokens: &[(Token<'_>, Origin)]) -> bool {
    tokens.iter().all(|(_, origin)| *origin != Origin::Made)
        && tokens.windows(2).all(|pair| match (pair[0].1, pair[1].1) {
            (Origin::Given(a), Origin::Given(b)) => a + 1 == b,
            _ => false,
        })
}
