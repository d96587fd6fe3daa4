//! Files that are whole or absent.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;

use crate::error::{Doing, StoreError};

/// Puts `bytes` at `path`: readers see what was there before, or all of it.
pub(crate) fn write(tmp: &Utf8Path, path: &Utf8Path, bytes: &[u8]) -> Result<(), StoreError> {
    put(tmp, path, bytes, true)
}

/// The same, without waiting for the disk: after a crash it may be there and cut short.
pub(crate) fn write_quickly(tmp: &Utf8Path, path: &Utf8Path, bytes: &[u8]) -> Result<(), StoreError> {
    put(tmp, path, bytes, false)
}

fn put(tmp: &Utf8Path, path: &Utf8Path, bytes: &[u8], waits: bool) -> Result<(), StoreError> {
    let failed = |e| StoreError::io(Doing::Write, path, e);
    // Mode 0600, a name nobody can guess, and removed on drop: a failure leaves nothing behind.
    let mut file = NamedTempFile::new_in(tmp).map_err(|e| StoreError::io(Doing::Create, tmp, e))?;
    file.write_all(bytes).map_err(failed)?;
    if waits {
        file.as_file().sync_all().map_err(failed)?;
    }
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(e) => {
            // A directory in the way can't be renamed over.
            discard(path);
            e.file.persist(path).map(drop).map_err(|e| failed(e.error))
        }
    }
}

/// Puts `bytes` at `path`, whole, unless something is there.
pub(crate) fn write_new(tmp: &Utf8Path, path: &Utf8Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |e| StoreError::io(Doing::Write, path, e);
    let mut file = NamedTempFile::new_in(tmp).map_err(|e| StoreError::io(Doing::Create, tmp, e))?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(path) {
        Err(e) if e.error.kind() != io::ErrorKind::AlreadyExists => Err(failed(e.error)),
        _ => Ok(()),
    }
}

/// The content of a file that an environment variable names: `None` unless it is a plain file that this user alone can write.
/// Neither waits for the other end of a pipe nor follows a link.
#[must_use]
pub fn own_file(path: &Utf8Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::open(path.as_std_path(), flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    let own = found.is_file() && found.uid() == crate::dir::user() && found.mode() & 0o022 == 0;
    let mut bytes = Vec::new();
    (own && file.read_to_end(&mut bytes).is_ok()).then_some(bytes)
}

/// What a file of the store holds, or `None` when there is none to be believed: one that isn't the user's own plain file
/// is removed.
pub(crate) fn read(path: &Utf8Path, user: u32) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |e| StoreError::io(Doing::Read, path, e);
    // Neither follows a link nor waits for the other end of a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = match rustix::fs::open(path.as_std_path(), flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(e) => {
            return match e {
                rustix::io::Errno::NOENT => Ok(None),
                rustix::io::Errno::LOOP | rustix::io::Errno::NXIO => {
                    discard(path);
                    Ok(None)
                }
                e => Err(failed(e.into())),
            };
        }
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.uid() != user || found.mode() & 0o022 != 0 {
        discard(path);
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0).min(1 << 30));
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// How long ago it was written. `None` for what isn't there, or is of the future.
pub(crate) fn age(path: &Utf8Path) -> Option<Duration> {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    SystemTime::now().duration_since(modified).ok()
}

/// Removes what can't be believed. Where that fails (a read-only disk), it stays and is not believed the next time either.
pub(crate) fn discard(path: &Utf8Path) {
    if let Err(e) = fs::remove_file(path)
        && matches!(e.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied)
    {
        let _ = fs::remove_dir_all(path);
    }
}
