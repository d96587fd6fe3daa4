//! Expansions that are remembered: bytes by key, shared by all projects of the user.
//!
//! ```text
//! expansions/
//! ├── key            a random key of this store's, under which each entry is sealed
//! └── <n>.db (-wal, -shm)   SQLite, the newest (highest n) is used; a damaged one is followed by the next
//! ```
//!
//! docs/cache.md says why it is SQLite, with what was measured. What matters here:
//!
//! - **It is a cache.** Nothing here is an error to anybody who looks for an expansion or keeps one: what can't be read is not
//!   there, what can't be written is forgotten. [`Expansions::problem`] says why, for whoever tells the user.
//! - **Nothing is believed without its seal**: a keyed digest of key, conditions and content. An entry that was altered, cut
//!   short, swapped with another one or made by another user's belljar is not there.
//! - **Nobody waits for it.** Entries are compressed and written by a thread of their own, many in one transaction.
//! - **It is bounded.** When it is larger than allowed, those that were not used for longest go.
//!
//! On a file system of the network nothing is remembered: SQLite's log needs memory that all its users share.

mod database;
mod dictionary;
mod seal;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::thread::{CpuSet, sched_getaffinity};

use self::database::Database;
use self::seal::{DigestKey, Seal};
use self::writer::{Change, Writer};
use crate::error::{Doing, StoreError};
use crate::store::{Area, Store};

/// Bytes that it may take on disk, unless `BELLJAR_CACHE_SIZE` says otherwise.
pub const USUAL_SIZE: u64 = 1 << 30;

/// What changes with a file's content: device, number, size, and the seconds and nanoseconds of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity(pub [u64; 5]);

impl FileIdentity {
    fn to_bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|part| part.to_le_bytes()).collect()
    }
}

/// One entry of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Tells entries of one key apart.
    pub variant: [u8; 32],
    pub body: Vec<u8>,
    /// It was last used long ago, and is to be told apart from what nobody uses any more.
    stale: bool,
}

impl Found {
    /// It was last used long ago: that it is used is worth to be kept.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }
}

/// What is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpansionStats {
    pub entries: u64,
    /// Bytes of all entries, compressed.
    pub bytes: u64,
    /// Bytes of its files.
    pub on_disk: u64,
    /// Bytes that it may take on disk.
    pub allowed: u64,
    /// Calls that were answered from it since it was made, calls that were run, and calls that were run to compare.
    pub remembered: u64,
    pub run: u64,
    pub verified: u64,
}

/// Why nothing is remembered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error(
        "`{path}` is on a file system of the network, where nothing can be remembered\n  \
         help: set BELLJAR_HOME to a directory on a local disk"
    )]
    Network { path: Utf8PathBuf },
    #[error("{0}")]
    Store(Arc<StoreError>),
    #[error(
        "what is remembered in `{path}` can't be used: {cause}\n  \
         help: `cargo belljar cache clear` makes a new one; if that does not help, set BELLJAR_HOME to a directory on another disk"
    )]
    Database { path: Utf8PathBuf, cause: String },
    #[error(
        "BELLJAR_CACHE_SIZE is `{value}`, which is no size\n  help: write bytes, or a number with K, M, G or T behind it, as in `2G`"
    )]
    Size { value: String },
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// The expansions that one store remembers. Opened when it is first needed; clones share one.
#[derive(Debug, Clone)]
pub struct Expansions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    state: Mutex<State>,
    /// A new file was made in place of a damaged one. Where the next one is no better, it is left at that.
    replaced: AtomicBool,
    for_digests: OnceLock<Option<DigestKey>>,
}

/// `None` until it is first needed, and when it is to be opened anew.
type State = Option<Result<Box<Opened>, Problem>>;

#[derive(Debug)]
struct Opened {
    database: Database,
    seal: Seal,
    writing: Writing,
    allowed: u64,
    /// Those that the writer may use: the thread that starts it may keep to one of them by then.
    processors: Option<CpuSet>,
}

#[derive(Debug, Default)]
enum Writing {
    /// Nothing has changed yet.
    #[default]
    NotYet,
    By(Writer),
    /// It can only be read.
    Impossible,
}

impl Expansions {
    /// Those of a store. Touches nothing yet.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self(Arc::new(Shared {
            store: store.clone(),
            state: Mutex::default(),
            replaced: AtomicBool::new(false),
            for_digests: OnceLock::new(),
        }))
    }

    /// The entries of a key, the last used first. Each is opened when it is looked at.
    pub fn find(&self, key: &[u8; 32]) -> impl Iterator<Item = Found> + use<> {
        let found = self.with(|opened| Ok((opened.seal.clone(), opened.database.find(key)?)));
        let key = *key;
        found.into_iter().flat_map(move |(seal, rows)| {
            rows.into_iter().filter_map(move |row| {
                let body = seal.open(&key, &row.variant, &row.sealed)?;
                Some(Found { variant: row.variant, body, stale: row.stale })
            })
        })
    }

    /// Keeps an entry. There is one for each key and variant.
    pub fn keep(&self, key: &[u8; 32], variant: &[u8; 32], body: &[u8]) {
        self.change(|| Change::Keep { key: *key, variant: *variant, body: body.to_vec() });
    }

    /// Remembers that an entry was used.
    pub fn used(&self, key: &[u8; 32], found: &Found) {
        if found.stale {
            self.change(|| Change::Used { key: *key, variant: found.variant });
        }
    }

    pub fn forget(&self, key: &[u8; 32], variant: &[u8; 32]) {
        self.change(|| Change::Forget { key: *key, variant: *variant });
    }

    /// A digest that nobody can make without this store's key: of what could be guessed, were it an ordinary one. `None` where
    /// nothing is remembered.
    #[must_use]
    pub fn digest_of(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        // One key as long as the process lives: what was compared once can be compared again, whatever becomes of the store.
        let key = || self.with(|opened| Ok(opened.seal.for_digests()));
        Some(self.0.for_digests.get_or_init(key).as_ref()?.digest(bytes))
    }

    /// The digest of a file's content, if it is known of this very version.
    #[must_use]
    pub fn file_digest(&self, path: &Path, identity: &FileIdentity) -> Option<[u8; 32]> {
        let (path, identity) = (seal::file_key(path), identity.to_bytes());
        self.with(|opened| {
            let sealed = opened.database.file(&path, &identity)?;
            Ok(sealed.and_then(|sealed| opened.seal.open_digest(&path, &identity, &sealed)))
        })?
    }

    pub fn keep_file(&self, path: &Path, identity: &FileIdentity, digest: [u8; 32]) {
        let (path, identity) = (seal::file_key(path), identity.to_bytes());
        self.change(|| Change::File { path, identity, digest });
    }

    /// Counts how calls came to their end.
    pub fn count(&self, remembered: u64, run: u64, verified: u64) {
        if remembered + run + verified > 0 {
            self.change(|| Change::Count { remembered, run, verified });
        }
    }

    /// Waits until what was kept is written.
    pub fn settle(&self) {
        let writing = match &mut *self.state() {
            Some(Ok(opened)) => std::mem::take(&mut opened.writing),
            Some(Err(_)) | None => Writing::NotYet,
        };
        if let Writing::By(writer) = writing {
            writer.finish();
        }
    }

    /// Why nothing is remembered, if that is so.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        self.with(|opened| opened.database.check());
        match &*self.state() {
            Some(Err(problem)) => Some(problem.clone()),
            Some(Ok(_)) | None => None,
        }
    }

    /// What is in it.
    pub fn stats(&self) -> Result<ExpansionStats, Problem> {
        self.settle();
        self.required(|opened| {
            let stats = opened.database.stats()?;
            Ok(ExpansionStats { allowed: opened.allowed, ..stats })
        })
    }

    /// Every entry with its key, one after the other; and how many are damaged. Damaged ones are forgotten by the time it
    /// returns: what is kept under their keys afterwards stays.
    pub fn each(&self, mut one: impl FnMut(&[u8; 32], Found)) -> Result<u64, Problem> {
        self.settle();
        let mut damaged = 0;
        let mut after = 0;
        loop {
            let rows = self.required(|opened| opened.database.after(after, 16))?;
            let Some(last) = rows.last() else {
                self.settle();
                return Ok(damaged);
            };
            after = last.id;
            for row in rows {
                let body =
                    self.with(|opened| Ok(opened.seal.open(&row.key, &row.variant, &row.sealed))).flatten();
                match body {
                    Some(body) => one(&row.key, Found { variant: row.variant, body, stale: row.stale }),
                    None => {
                        damaged += 1;
                        self.forget(&row.key, &row.variant);
                    }
                }
            }
        }
    }

    /// Forgets what was not used for longest until `allowed` bytes are enough, and gives the room back.
    pub fn shrink(&self, allowed: Option<u64>) -> Result<(), Problem> {
        self.settle();
        self.required(|opened| opened.database.shrink(allowed.unwrap_or(opened.allowed)))
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<(), Problem> {
        self.settle();
        *self.state() = None;
        let dir = self.dir();
        seal::forget(&dir);
        database::start_anew(&dir).map_err(|cause| Problem::Database { path: dir, cause: cause.to_string() })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> Utf8PathBuf {
        self.0.store.dir(Area::Expansions)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-done by a panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce() -> Change) {
        self.with(|opened| {
            if let Writing::NotYet = opened.writing {
                let (processors, allowed) = (opened.processors, opened.allowed);
                let writer = Writer::start(&opened.database, &opened.seal, allowed, processors);
                opened.writing = writer.map_or(Writing::Impossible, Writing::By);
            }
            if let Writing::By(writer) = &opened.writing {
                writer.send(change());
            }
            Ok(())
        });
    }

    /// Does something with it, if that can be done.
    fn with<T>(&self, run: impl FnOnce(&mut Opened) -> rusqlite::Result<T>) -> Option<T> {
        self.required(run).ok()
    }

    fn required<T>(&self, run: impl FnOnce(&mut Opened) -> rusqlite::Result<T>) -> Result<T, Problem> {
        let mut state = self.state();
        let opened = match state.get_or_insert_with(|| open(&self.0.store).map(Box::new)) {
            Ok(opened) => opened,
            Err(problem) => return Err(problem.clone()),
        };
        let failed = match run(opened) {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let path = opened.database.path().to_owned();
        let problem = Problem::Database { path, cause: failed.to_string() };
        if database::is_damaged(&failed) {
            // From now on there is another one, for everybody.
            let first = !self.0.replaced.swap(true, Ordering::Relaxed);
            let anew = first && opened.database.replace().is_ok();
            *state = (!anew).then(|| Err(problem.clone()));
        } else if database::is_busy(&failed) {
            // Whoever has it may have been stopped. No compiler waits for it again.
            *state = Some(Err(problem.clone()));
        }
        Err(problem)
    }
}

fn open(store: &Store) -> Result<Opened, Problem> {
    let allowed = allowed()?;
    let dir = store.private_dir(Area::Expansions)?;
    // The store may be reached through a link. What is in it may not.
    let real = dir.canonicalize_utf8().map_err(|source| StoreError::io(Doing::Read, &dir, source))?;
    let dir = real;
    if on_network(&dir) {
        return Err(Problem::Network { path: dir });
    }
    let seal = Seal::of(store, &dir)?;
    let database =
        Database::open(&dir).map_err(|cause| Problem::Database { path: dir, cause: cause.to_string() })?;
    Ok(Opened { database, seal, writing: Writing::NotYet, allowed, processors: sched_getaffinity(None).ok() })
}

/// Bytes that it may take.
fn allowed() -> Result<u64, Problem> {
    match std::env::var("BELLJAR_CACHE_SIZE") {
        Ok(value) => size(&value).ok_or(Problem::Size { value }),
        Err(_) => Ok(USUAL_SIZE),
    }
}

/// A size as people write it: bytes, or a number with K, M, G or T behind it.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &*text[digits.len()..].to_ascii_uppercase() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1_u64 << 40,
        _ => return None,
    };
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// Source: statfs(2), and linux/magic.h.
fn on_network(dir: &Utf8Path) -> bool {
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517b;
    const CIFS: u64 = 0xff53_4d42;
    const SMB2: u64 = 0xfe53_4d42;
    const AFS: u64 = 0x5346_414f;
    const CODA: u64 = 0x7375_7245;
    const CEPH: u64 = 0x00c3_6400;
    const LUSTRE: u64 = 0x0bd0_0bd0;
    const OCFS2: u64 = 0x7461_636f;
    const GFS2: u64 = 0x0116_1970;
    rustix::fs::statfs(dir.as_std_path()).is_ok_and(|found| {
        // Some are negative where the field has a sign.
        let kind = found.f_type as u64 & 0xffff_ffff;
        matches!(kind, NFS | SMB | CIFS | SMB2 | AFS | CODA | CEPH | LUSTRE | OCFS2 | GFS2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("1000", Some(1000)),
            ("2G", Some(2 << 30)),
            (" 500 MiB", Some(500 << 20)),
            ("1k", Some(1024)),
            ("", None),
            ("G", None),
            ("-1", None),
            ("1X", None),
            ("99999999999999999999", None),
            ("99999999T", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }
}
