//! The store itself.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::digest::ContentDigest;
use crate::error::{Doing, StoreError};
use crate::lock::{self, StoreLock};
use crate::record::GuestRecord;
use crate::{GuestKey, ModuleDigest, dir, file};

/// Name of the directory below the user's root. A store of another layout is another directory, and left alone.
const LAYOUT: &str = "v1";

/// Version of the JSON files. One of another version counts as absent.
const FORMAT: u32 = 1;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Files under `tmp/` that are older were left by a process that was killed.
const LEFT_BEHIND: Duration = DAY;

/// Bytes that libraries of shims may take: some four hundred. The longest unused go first.
const SHIMS: u64 = 256 << 20;

/// After which the library of a shim goes that no build has used.
const UNUSED: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// A directory of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Area {
    /// Modules, named by digest. Written by [`Store::put_module`] only.
    Modules,
    /// Records, named by key. Written by [`Store::put_guest`] only.
    Guests,
    /// Native code. Written by [`Store::put_native`] only.
    Native,
    /// Libraries of shims. Written by [`Store::put_shim`] only.
    Shims,
    /// Sysroots for guests.
    Toolchains,
    /// What is compiled on the user's machine from sources that belljar carries.
    Inside,
    /// Scratch packages of guest builds.
    Scratch,
    /// Target directories of guest builds.
    Target,
    /// Lock files. Written by [`Store::lock`] only.
    Locks,
    /// Remembered expansions. Written by [`crate::Expansions`] only.
    Expansions,
    /// Files on their way to their place.
    Tmp,
}

impl Area {
    const ALL: [Area; 11] = [
        Area::Modules,
        Area::Guests,
        Area::Native,
        Area::Shims,
        Area::Toolchains,
        Area::Inside,
        Area::Scratch,
        Area::Target,
        Area::Locks,
        Area::Expansions,
        Area::Tmp,
    ];

    fn name(self) -> &'static str {
        match self {
            Area::Modules => "modules",
            Area::Guests => "guests",
            Area::Native => "native",
            Area::Shims => "shims",
            Area::Toolchains => "toolchains",
            Area::Inside => "inside",
            Area::Scratch => "scratch",
            Area::Target => "target",
            Area::Locks => "locks",
            Area::Expansions => "expansions",
            Area::Tmp => "tmp",
        }
    }
}

/// How much an [`Area`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub files: u64,
    pub bytes: u64,
}

/// The user's store. Several processes and threads may use one at the same time.
#[derive(Debug, Clone)]
pub struct Store {
    root: Utf8PathBuf,
    user: u32,
}

impl Store {
    /// Opens the user's store, and makes it the first time.
    pub fn open_default() -> Result<Self, StoreError> {
        Self::open(&default_home()?)
    }

    /// Opens the store in the directory `home` (the user's root, not the versioned directory in it), and makes it the
    /// first time. A store on a read-only disk can be opened and read if it is there.
    pub fn open(home: &Utf8Path) -> Result<Self, StoreError> {
        Self::open_as(home, dir::user())
    }

    fn open_as(home: &Utf8Path, user: u32) -> Result<Self, StoreError> {
        if !home.is_absolute() {
            return Err(StoreError::BadHome { variable: "BELLJAR_HOME", value: home.into() });
        }
        dir::chosen(home, user)?;
        let root = home.join(LAYOUT);
        dir::private(&root, user)?;
        let store = Self { root, user };
        for area in Area::ALL {
            match dir::private(&store.path(area), user) {
                // On a read-only disk, what is there can still be read.
                Err(StoreError::Io { doing: Doing::Create, .. }) => {}
                other => other?,
            }
        }
        store.sweep();
        Ok(store)
    }

    /// The user's root: what [`Store::open`] was given.
    #[must_use]
    pub fn home(&self) -> &Utf8Path {
        self.root.parent().unwrap_or(&self.root)
    }

    /// The versioned directory that holds everything.
    #[must_use]
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// A directory of the store. It is made if it is missing; where that fails, writing to it says why.
    #[must_use]
    pub fn dir(&self, area: Area) -> Utf8PathBuf {
        let path = self.path(area);
        let _ = dir::private(&path, self.user);
        path
    }

    /// A directory of the store, which must be the user's alone.
    pub(crate) fn private_dir(&self, area: Area) -> Result<Utf8PathBuf, StoreError> {
        let path = self.path(area);
        dir::private(&path, self.user)?;
        Ok(path)
    }

    /// What a file of the user's own holds, if there is one to be believed.
    pub(crate) fn read_own(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, StoreError> {
        file::read(path, self.user)
    }

    fn path(&self, area: Area) -> Utf8PathBuf {
        self.root.join(area.name())
    }

    /// Keeps a module.
    pub fn put_module(&self, wasm: &[u8]) -> Result<ModuleDigest, StoreError> {
        let digest = ModuleDigest::of(wasm);
        if self.module(&digest)?.is_none() {
            self.write(&self.module_path(&digest), wasm)?;
        }
        Ok(digest)
    }

    /// The module of that digest, if the store has it: its bytes are checked.
    pub fn module(&self, digest: &ModuleDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.module_path(digest);
        let Some(wasm) = file::read(&path, self.user)? else { return Ok(None) };
        if ModuleDigest::of(&wasm) != *digest {
            file::discard(&path);
            return Ok(None);
        }
        Ok(Some(wasm))
    }

    fn module_path(&self, digest: &ModuleDigest) -> Utf8PathBuf {
        self.path(Area::Modules).join(format!("{digest}.wasm"))
    }

    /// Keeps what a macro package became. Its module must have been put before.
    pub fn put_guest(&self, key: &GuestKey, record: &GuestRecord) -> Result<(), StoreError> {
        let path = self.guest_path(key);
        let checked = GuestFile { format: FORMAT, check: guest_check(key, record), record: record.clone() };
        self.write(&path, &to_json(&path, &checked)?)
    }

    /// What that key was built to, if the store has the record and its module.
    pub fn guest(&self, key: &GuestKey) -> Result<Option<GuestRecord>, StoreError> {
        let path = self.guest_path(key);
        let Some(bytes) = file::read(&path, self.user)? else { return Ok(None) };
        let sound = serde_json::from_slice::<GuestFile>(&bytes)
            .ok()
            .filter(|found| found.format == FORMAT && found.check == guest_check(key, &found.record));
        let Some(found) = sound else {
            file::discard(&path);
            return Ok(None);
        };
        Ok(self.module(&found.record.module)?.is_some().then_some(found.record))
    }

    fn guest_path(&self, key: &GuestKey) -> Utf8PathBuf {
        self.path(Area::Guests).join(format!("{key}.json"))
    }

    /// Keeps a module's native code for the engine of that name, and returns the file that holds it.
    ///
    /// The file is named by its own digest and found through an index file, so that two processes that compile the same
    /// module at once can't leave the code of one with the digest of the other.
    pub fn put_native(
        &self,
        engine: &str,
        module: &ModuleDigest,
        cwasm: &[u8],
    ) -> Result<Utf8PathBuf, StoreError> {
        if let Some(path) = self.native(engine, module)? {
            return Ok(path);
        }
        let dir = self.dir(Area::Native).join(file_name(engine));
        dir::private(&dir, self.user)?;
        let native = ContentDigest::of(cwasm);
        let path = dir.join(format!("{native}.cwasm"));
        self.write(&path, cwasm)?;
        let index = dir.join(format!("{module}.json"));
        let entry = NativeFile { format: FORMAT, engine: engine.to_owned(), module: *module, native };
        self.write(&index, &to_json(&index, &entry)?)?;
        Ok(path)
    }

    /// The file with a module's native code for that engine, if the store has it: its bytes, owner and mode are checked,
    /// and only the user can have changed it since.
    pub fn native(&self, engine: &str, module: &ModuleDigest) -> Result<Option<Utf8PathBuf>, StoreError> {
        let dir = self.path(Area::Native).join(file_name(engine));
        match fs::symlink_metadata(&dir) {
            Ok(_) => dir::private(&dir, self.user)?,
            Err(_) => return Ok(None),
        }
        let index = dir.join(format!("{module}.json"));
        let Some(bytes) = file::read(&index, self.user)? else { return Ok(None) };
        let sound = serde_json::from_slice::<NativeFile>(&bytes)
            .ok()
            .filter(|found| found.format == FORMAT && found.engine == engine && found.module == *module);
        let Some(found) = sound else {
            file::discard(&index);
            return Ok(None);
        };
        let path = dir.join(format!("{}.cwasm", found.native));
        match file::read(&path, self.user)? {
            Some(cwasm) if ContentDigest::of(&cwasm) == found.native => Ok(Some(path)),
            _ => {
                file::discard(&path);
                file::discard(&index);
                Ok(None)
            }
        }
    }

    /// Keeps the library of a shim, and removes those that no build has used for long.
    pub fn put_shim(&self, key: &[u8; 32], library: &[u8]) -> Result<(), StoreError> {
        let path = self.shim_path(key);
        let mut bytes = shim_check(key, library).as_bytes().to_vec();
        bytes.extend(library);
        dir::private(&self.path(Area::Shims), self.user)?;
        // One that is cut short is found to be, and costs nothing but its time.
        file::write_quickly(&self.dir(Area::Tmp), &path, &bytes)?;
        let mut all: Vec<_> = self
            .path(Area::Shims)
            .read_dir_utf8()
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| {
                let size = entry.metadata().map_or(0, |found| found.len());
                (file::age(entry.path()).unwrap_or_default(), size, entry.into_path())
            })
            .collect();
        all.sort_unstable();
        let mut room = SHIMS;
        for (age, size, path) in all {
            match room.checked_sub(size).filter(|_| age <= UNUSED) {
                Some(left) => room = left,
                None => file::discard(&path),
            }
        }
        Ok(())
    }

    /// The library of a shim, if the store has it: its bytes are checked.
    pub fn shim(&self, key: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.shim_path(key);
        let Some(mut bytes) = file::read(&path, self.user)? else { return Ok(None) };
        let is_sound = bytes
            .split_first_chunk::<32>()
            .is_some_and(|(check, library)| shim_check(key, library).as_bytes() == check);
        if !is_sound {
            file::discard(&path);
            return Ok(None);
        }
        if file::age(&path).is_some_and(|age| age > DAY) {
            // On a read-only disk nothing is removed either.
            let _ =
                fs::File::options().append(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        }
        bytes.drain(..32);
        Ok(Some(bytes))
    }

    fn shim_path(&self, key: &[u8; 32]) -> Utf8PathBuf {
        self.path(Area::Shims).join(blake3::Hash::from_bytes(*key).to_hex().as_str())
    }

    /// Takes the lock of that name, waiting for any process that has it. It is freed when dropped, or when this process
    /// ends in any way.
    pub fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        self.lock_or_wait(name, || {})
    }

    /// Like [`Store::lock`]; calls `waiting` once if it has to wait, so that the user can be told.
    pub fn lock_or_wait(&self, name: &str, waiting: impl FnOnce()) -> Result<StoreLock, StoreError> {
        lock::take(self.dir(Area::Locks).join(format!("{}.lock", file_name(name))), waiting)
    }

    /// Takes the lock of that name if nobody has it.
    pub fn lock_if_free(&self, name: &str) -> Result<Option<StoreLock>, StoreError> {
        lock::take_free(self.dir(Area::Locks).join(format!("{}.lock", file_name(name))))
    }

    /// Removes a directory of the store, at once for everybody: what a process leaves of it that is killed on the way
    /// goes with the next sweep.
    pub fn remove_dir(&self, dir: &Utf8Path) -> Result<(), StoreError> {
        let failed = |e| StoreError::io(Doing::Remove, dir, e);
        let grave =
            tempfile::Builder::new().prefix("removed-").tempdir_in(self.dir(Area::Tmp)).map_err(failed)?;
        let inside = Utf8Path::from_path(grave.path()).map(|grave| grave.join("dir"));
        let inside = inside.ok_or_else(|| failed(std::io::Error::other("its path is not UTF-8")))?;
        fs::rename(dir, inside).map_err(failed)?;
        grave.close().map_err(failed)
    }

    /// Fails as a write would.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        let tmp = self.dir(Area::Tmp);
        tempfile::NamedTempFile::new_in(&tmp).map(drop).map_err(|e| StoreError::io(Doing::Create, tmp, e))
    }

    /// How much an area holds now.
    #[must_use]
    pub fn usage(&self, area: Area) -> Usage {
        let mut usage = Usage::default();
        let mut dirs = vec![self.path(area)];
        while let Some(dir) = dirs.pop() {
            for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(found) if found.is_dir() => dirs.push(entry.into_path()),
                    Ok(found) => {
                        usage.files += 1;
                        usage.bytes += found.len();
                    }
                    Err(_) => {}
                }
            }
        }
        usage
    }

    fn write(&self, path: &Utf8Path, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(dir) = path.parent()
            && !dir.is_dir()
        {
            dir::private(dir, self.user)?;
        }
        file::write(&self.dir(Area::Tmp), path, bytes)
    }

    /// Removes what killed processes left under `tmp/`.
    fn sweep(&self) {
        for entry in self.path(Area::Tmp).read_dir_utf8().into_iter().flatten().flatten() {
            if file::age(entry.path()).is_some_and(|age| age > LEFT_BEHIND) {
                file::discard(entry.path());
            }
        }
    }
}

/// A record on disk. The check binds it to its key, so that a record can't stand under another one's name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestFile {
    format: u32,
    check: ContentDigest,
    record: GuestRecord,
}

fn guest_check(key: &GuestKey, record: &GuestRecord) -> ContentDigest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"belljar guest record\0").update(key.as_bytes());
    // Fields are written in the order they are declared in, so equal records have equal bytes.
    if serde_json::to_writer(&mut hasher, record).is_err() {
        // Can't happen for a record (no maps, nothing that fails); a digest that no file holds is the safe answer.
        hasher.update(b"unwritable");
    }
    hasher.finalize().into()
}

/// Binds a library to its key, so that it can't stand under another one's name.
fn shim_check(key: &[u8; 32], library: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 a shim in the store");
    hasher.update(key).update(library).finalize()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NativeFile {
    format: u32,
    engine: String,
    module: ModuleDigest,
    native: ContentDigest,
}

fn to_json(path: &Utf8Path, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut json =
        serde_json::to_vec_pretty(value).map_err(|e| StoreError::io(Doing::Write, path, e.into()))?;
    json.push(b'\n');
    Ok(json)
}

/// A file name for any text: itself if it is a plain name, else its digest.
fn file_name(text: &str) -> String {
    let plain = !text.is_empty()
        && text.len() <= 100
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
    if plain { text.to_owned() } else { ContentDigest::of(text.as_bytes()).to_string() }
}

fn default_home() -> Result<Utf8PathBuf, StoreError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |variable, value: PathBuf| match Utf8PathBuf::from_path_buf(value) {
        Ok(path) if path.is_absolute() => Ok(path),
        Ok(path) => Err(StoreError::BadHome { variable, value: path.into() }),
        Err(value) => Err(StoreError::BadHome { variable, value }),
    };
    if let Some(home) = set("BELLJAR_HOME") {
        return absolute("BELLJAR_HOME", home);
    }
    // A relative path here is to be ignored. Source: XDG Base Directory Specification.
    if let Some(cache) = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Ok(absolute("XDG_CACHE_HOME", cache)?.join("belljar"));
    }
    let home = env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(StoreError::NoHome)?;
    Ok(absolute("HOME", home)?.join(".cache/belljar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_another_user_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(home.path()).unwrap();
        Store::open(home).unwrap();
        let me = dir::user();
        // Belljar as somebody else. The directory the user chose may be root's, the store itself may not.
        let error = Store::open_as(home, me + 1).unwrap_err();
        assert!(matches!(&error, StoreError::Foreign { owner, user, .. } if *owner == me && *user == me + 1));
        assert!(error.to_string().contains("BELLJAR_HOME"), "{error}");
    }

    #[test]
    fn any_text_gives_a_file_name_inside_its_directory() {
        assert_eq!(file_name("wasmtime-48.0.1"), "wasmtime-48.0.1");
        for text in ["", ".", "..", "../x", "a/b", "a\0b", "x y", &"x".repeat(300)] {
            let name = file_name(text);
            assert_eq!(name.len(), 64, "{text:?} -> {name}");
        }
    }
}
