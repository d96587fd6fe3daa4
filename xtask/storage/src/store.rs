//! What every candidate offers, and how it is opened by name.

use std::error::Error;
use std::path::Path;

use crate::data::Key;

pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// An entry as given to the store: key and sealed value.
pub type Entry = (Key, Vec<u8>);

/// One opened store. `unit` names the compilation unit of the calling process;
/// only the packed files use it. `now` is a coarse clock for eviction.
pub trait Store {
    fn get(&mut self, unit: u64, key: &Key) -> Result<Option<Vec<u8>>>;
    fn insert(&mut self, unit: u64, entries: &[Entry], now: i64) -> Result<()>;
    /// Notes that the entries were used, as coarsely as the store can.
    fn touch(&mut self, unit: u64, keys: &[Key], now: i64) -> Result<()>;
    /// Removes the least recently used entries, at least `count` of them.
    fn evict(&mut self, count: u64) -> Result<()>;
}

/// The stores of the comparison; names are explained in RESULTS.md.
pub const KINDS: &[&str] = &[
    "sqlite-rowid-4k-off",
    "sqlite-rowid-4k-normal",
    "sqlite-rowid-8k-off",
    "sqlite-rowid-16k-off",
    "sqlite-rowid-4k-off-mmap",
    "sqlite-worowid-4k-off",
    "sqlite-worowid-16k-off",
    "sqlite-rowid-4k-off-vacuum",
    "lmdb-nosync",
    "lmdb-nometasync",
    "redb",
    "pack",
    "pack-pread",
    "pack-mmap",
    "pack-pread-layers",
    "files",
];

/// Opens the store of this kind below `dir`, creating it if need be.
pub fn open(kind: &str, dir: &Path) -> Result<Box<dyn Store>> {
    let mut parts = kind.split('-');
    let family = parts.next().unwrap_or_default();
    let options: Vec<&str> = parts.collect();
    Ok(match family {
        "sqlite" => Box::new(crate::sqlite::Sqlite::open(dir, &options)?),
        "lmdb" => Box::new(crate::lmdb::Lmdb::open(dir, &options)?),
        "redb" => Box::new(crate::redb_store::Redb::open(dir)?),
        "pack" => Box::new(crate::pack::Packs::open(dir, &options)?),
        "files" => Box::new(crate::files::Files::open(dir)?),
        _ => return Err(format!("no store is called {kind}").into()),
    })
}
