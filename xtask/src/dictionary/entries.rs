//! Remembered expansions, with the macro that each is of.

use std::collections::HashSet;

use belljar_store::{Area, Expansions, ModuleDigest, Store};
use belljar_wire::PROTOCOL;
use belljar_wire::message::Expand;
use camino::Utf8PathBuf;

use super::DictionaryError;
use crate::project;

/// One entry, as it is before it is compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The macro's package.
    pub(super) package: String,
    pub(super) body: Vec<u8>,
    /// Where the request in it begins, see [`Expand`].
    request: usize,
}

impl Entry {
    /// `None` for one whose module is not in the store.
    fn new(body: Vec<u8>, modules: &HashSet<ModuleDigest>) -> Option<Self> {
        // What is before the request (conditions) is the expander's own affair. How a request begins can't be mistaken: with the
        // protocol's version and the digest of a module.
        let protocol = PROTOCOL.to_le_bytes();
        let begins = |bytes: &[u8]| {
            bytes
                .strip_prefix(&protocol)
                .and_then(|rest| rest.first_chunk())
                .is_some_and(|digest| modules.contains(&ModuleDigest::from_bytes(*digest)))
        };
        let request = (0..body.len()).find(|at| begins(&body[*at..]))?;
        let package = Expand::read(&body[request..]).ok()?.package.to_owned();
        Some(Self { package, body, request })
    }

    /// What a dictionary may know: all that comes behind the digests of belljar's version and of the module, which nobody sees
    /// again.
    pub(super) fn content(&self) -> &[u8] {
        self.body.get(self.request + 2 + 32..).unwrap_or_default()
    }

    /// A number that is the same for the same content, by which entries are put in order and kept out.
    pub(super) fn lot(&self) -> usize {
        let digest = blake3::hash(self.content());
        digest.as_bytes().iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
}

pub(super) fn of(store: &Store) -> Result<Vec<Entry>, DictionaryError> {
    let dir = store.dir(Area::Modules);
    let file = |source| DictionaryError::File { path: dir.clone(), source };
    let mut modules = HashSet::new();
    for module in dir.read_dir_utf8().map_err(file)? {
        let module = module.map_err(file)?;
        modules.extend(module.path().file_stem().and_then(|name| name.parse::<ModuleDigest>().ok()));
    }
    let mut entries = Vec::new();
    Expansions::of(store).each(|_, found| entries.extend(Entry::new(found.body, &modules)))?;
    Ok(entries)
}

/// In an order that depends on nothing but what they are.
pub(super) fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_cached_key(|entry| (entry.lot(), entry.body.clone()));
    // Of the same call by the same macro there may be several, in several worlds.
    entries.dedup_by(|a, b| a.content() == b.content());
    entries
}

/// Paths that say where this machine keeps its things.
pub(super) fn of_this_machine() -> Vec<String> {
    let homes = ["HOME", "CARGO_HOME", "BELLJAR_HOME", "CARGO_TARGET_DIR"];
    let homes =
        homes.iter().filter_map(|name| Utf8PathBuf::from_path_buf(std::env::var_os(name)?.into()).ok());
    // Short ones are part of other things.
    let all = homes.chain([project::root().to_owned()]).map(Utf8PathBuf::into_string);
    all.filter(|path| path.len() > 3).collect()
}

#[cfg(test)]
mod tests {
    use belljar_wire::abi::EntryKind;
    use belljar_wire::bytes::Writer;

    use super::*;

    #[test]
    fn an_entry_is_told_by_the_request_in_it() {
        let expand = Expand {
            module: [7; 32],
            kind: EntryKind::Derive,
            name: "Deserialize",
            package: "serde_derive",
            version: "1.0.0",
            input: b"tokens",
        };
        let mut w = Writer::new();
        w.raw(&[0, 1, 2, PROTOCOL as u8, 0]);
        expand.write(&mut w);
        let body = w.into_bytes();
        let known = HashSet::from([ModuleDigest::from_bytes([7; 32])]);
        let entry = Entry::new(body.clone(), &known).unwrap();
        assert_eq!((entry.package.as_str(), entry.request), ("serde_derive", 5));
        assert!(entry.content().ends_with(b"tokens") && !entry.content().contains(&7));
        assert_eq!(Entry::new(body, &HashSet::new()), None);
    }
}
