//! Locks between belljar's processes. The kernel holds them, so they end with the process that took them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Doing, StoreError};
use crate::file;

/// Held until dropped.
#[derive(Debug)]
#[must_use = "the lock is freed as soon as this is dropped"]
pub struct StoreLock {
    _file: File,
    path: Utf8PathBuf,
}

impl StoreLock {
    /// The file that is locked. It stays when the lock is freed: removing it would let two others lock different files.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }
}

/// Takes the lock if it is free now.
pub(crate) fn take_free(path: Utf8PathBuf) -> Result<Option<StoreLock>, StoreError> {
    let file = open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(StoreLock { _file: file, path })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(StoreError::io(Doing::Lock, path, e)),
    }
}

fn open(path: &Utf8Path) -> Result<File, StoreError> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
    };
    match open() {
        // A directory or a link is held by nobody, so it can go. (A file never can: others may wait for it.)
        Err(e)
            if e.raw_os_error()
                .is_some_and(|e| [Errno::ISDIR, Errno::LOOP].contains(&Errno::from_raw_os_error(e))) =>
        {
            file::discard(path);
            open()
        }
        other => other,
    }
    .map_err(|e| StoreError::io(Doing::Lock, path, e))
}

/// Takes the lock; calls `waiting` once before it has to wait for another process.
pub(crate) fn take(path: Utf8PathBuf, waiting: impl FnOnce()) -> Result<StoreLock, StoreError> {
    let failed = |e| StoreError::io(Doing::Lock, path.clone(), e);
    let file = open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            waiting();
            loop {
                match file.lock() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => break other.map_err(failed)?,
                }
            }
        }
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    Ok(StoreLock { _file: file, path })
}
