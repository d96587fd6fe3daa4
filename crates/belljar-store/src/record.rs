//! What a macro package became.

use std::ops::Deref;

use belljar_wire::abi::{Entry, EntryKind};
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::ModuleDigest;

/// A macro package that was compiled to a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestRecord {
    pub package: String,
    pub version: String,
    pub module: ModuleDigest,
    /// Whether its std was built to unwind, so that the engine must know WebAssembly exceptions.
    pub unwinds: bool,
    /// Edition of the macro crate: `2015` … `2024`.
    pub edition: String,
    pub entries: Vec<EntryRecord>,
    /// Local files it was built from (path packages only): when one of them changes, so may the module.
    pub sources: Vec<Utf8PathBuf>,
}

/// An entry point whose names are identifiers, so that source can be written from it. Reads like the [`Entry`] it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct EntryRecord(Entry);

/// An entry point was given a name that can't be one in Rust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` can't be the name of a macro or of a helper attribute", .0.escape_debug())]
pub struct BadName(pub String);

impl Deref for EntryRecord {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl TryFrom<Entry> for EntryRecord {
    type Error = BadName;

    fn try_from(entry: Entry) -> Result<Self, BadName> {
        match std::iter::once(&entry.name).chain(&entry.helpers).find(|name| !is_identifier(name)) {
            Some(name) => Err(BadName(name.clone())),
            None => Ok(Self(entry)),
        }
    }
}

impl From<EntryRecord> for Entry {
    fn from(record: EntryRecord) -> Self {
        record.0
    }
}

/// As an item can be called, with `r#` where it is a keyword.
/// Source: the Rust reference, "Identifiers"; the five at the end have no raw form.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || unicode_ident::is_xid_start(c))
        && chars.all(unicode_ident::is_xid_continue)
        && !matches!(name, "_" | "crate" | "self" | "super" | "Self")
}

/// The form on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    kind: Kind,
    name: String,
    helpers: Vec<String>,
    hidden: bool,
    docs: String,
    deprecated: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Function,
    Attribute,
    Derive,
}

impl From<EntryRecord> for Plain {
    fn from(EntryRecord(entry): EntryRecord) -> Self {
        let Entry { kind, name, helpers, hidden, docs, deprecated } = entry;
        let kind = match kind {
            EntryKind::Function => Kind::Function,
            EntryKind::Attribute => Kind::Attribute,
            EntryKind::Derive => Kind::Derive,
        };
        Self { kind, name, helpers, hidden, docs, deprecated }
    }
}

impl TryFrom<Plain> for EntryRecord {
    type Error = BadName;

    fn try_from(plain: Plain) -> Result<Self, BadName> {
        let Plain { kind, name, helpers, hidden, docs, deprecated } = plain;
        let kind = match kind {
            Kind::Function => EntryKind::Function,
            Kind::Attribute => EntryKind::Attribute,
            Kind::Derive => EntryKind::Derive,
        };
        Entry { kind, name, helpers, hidden, docs, deprecated }.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(name: &str, helper: &str) -> Entry {
        Entry {
            kind: EntryKind::Derive,
            name: name.to_owned(),
            helpers: vec![helper.to_owned()],
            hidden: false,
            docs: String::new(),
            deprecated: None,
        }
    }

    #[test]
    fn only_identifiers_can_name_a_macro_or_a_helper() {
        for good in ["Serialize", "serde", "type", "_x", "naïve", "日本"] {
            assert!(EntryRecord::try_from(derive(good, good)).is_ok(), "{good}");
        }
        for bad in ["", "_", "self", "Self", "1a", "a b", "a)", "a\n", "r#type", "a::b", "a\u{0}"] {
            assert_eq!(EntryRecord::try_from(derive(bad, "ok")), Err(BadName(bad.to_owned())));
            assert_eq!(EntryRecord::try_from(derive("ok", bad)), Err(BadName(bad.to_owned())));
        }
    }

    #[test]
    fn a_bad_name_does_not_come_in_through_json_either() {
        let good = serde_json::to_string(&EntryRecord::try_from(derive("Good", "good")).unwrap()).unwrap();
        assert!(serde_json::from_str::<EntryRecord>(&good).is_ok());
        assert!(serde_json::from_str::<EntryRecord>(&good.replace("Good", "} evil")).is_err());
    }
}
