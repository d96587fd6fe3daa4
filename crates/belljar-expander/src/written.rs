//! What a macro was given and wrote in one call, as the store has it: the very bytes that the compiler was handed.

use belljar_inspect::Findings;
use belljar_inspect::flat::{self, Origin, Token};
use belljar_store::{Expansions, ModuleDigest};
use belljar_wire::Malformed;
use belljar_wire::message::Expand;

use crate::cache::Entry;
use crate::error::MacroName;
use crate::record::EntryName;

/// One call's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub macro_name: MacroName,
    pub module: ModuleDigest,
    input: Vec<u8>,
    output: Vec<u8>,
    /// What the output may do.
    pub findings: Findings,
}

impl Written {
    /// What the store has under that name, if it is the output of that digest. `None` if it has nothing any more, or another one.
    #[must_use]
    pub fn find(expansions: &Expansions, name: &EntryName, digest: blake3::Hash) -> Option<Self> {
        let found = expansions.find(&name.key).find(|found| found.variant == name.variant)?;
        let entry = Entry::read(&found.body).ok()?;
        if blake3::hash(&entry.output) != digest {
            return None;
        }
        let expand = Expand::read(&entry.request).ok()?;
        Some(Self {
            macro_name: MacroName::of(&expand),
            module: ModuleDigest::from_bytes(expand.module),
            input: expand.input.to_vec(),
            output: entry.output,
            findings: entry.findings,
        })
    }

    /// What it was given: the tokens of a derive's item or a function's arguments; of an attribute its arguments, and then its
    /// item.
    pub fn given(&self) -> Result<Vec<Vec<Token<'_>>>, Malformed> {
        flat::input(&self.input)
    }

    /// What it wrote, in order. An error is more than can be shown.
    pub fn tokens(&self) -> Result<Vec<(Token<'_>, Origin)>, Malformed> {
        flat::output(&self.input, &self.output)
    }
}
