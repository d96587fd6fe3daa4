//! Directories that only their owner can write.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

use camino::Utf8Path;

use crate::error::{Doing, StoreError};

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The user that files must belong to.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes the directory that the user chose, if it isn't there. It may be reached through links, as a cache that was
/// moved to another disk is; what counts is who can replace its entries.
pub(crate) fn chosen(path: &Utf8Path, user: u32) -> Result<(), StoreError> {
    let found = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|e| StoreError::io(Doing::Create, path, e))?;
            fs::metadata(path)
        }
        other => other,
    }
    .map_err(|e| StoreError::io(Doing::Read, path, e))?;
    if !found.is_dir() {
        return Err(StoreError::NotADirectory { path: path.to_owned() });
    }
    if found.uid() != user && found.uid() != 0 {
        return Err(StoreError::Foreign { path: path.to_owned(), owner: found.uid(), user });
    }
    if others_replace(found.mode(), found.gid(), user) {
        return Err(StoreError::Exposed { path: path.to_owned(), mode: found.mode() & 0o777 });
    }
    Ok(())
}

/// Can somebody else put another entry in the place of one in such a directory of the user's?
fn others_replace(mode: u32, group: u32, user: u32) -> bool {
    // Where umask is 002 everyone has a group of their own, and a directory writable by that group is usual. Such a group
    // has the user's own number; any other may have more members.
    let exposed = if group == user { OTHERS_WRITE } else { OTHERS_WRITE | GROUP_WRITES };
    mode & exposed != 0 && mode & STICKY == 0
}

/// Makes a directory of the store, or checks the one that is there: a real directory, the user's own, for nobody else.
pub(crate) fn private(path: &Utf8Path, user: u32) -> Result<(), StoreError> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            match fs::DirBuilder::new().mode(0o700).create(path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::io(Doing::Create, path, e));
                }
                _ => fs::symlink_metadata(path),
            }
        }
        other => other,
    }
    .map_err(|e| StoreError::io(Doing::Read, path, e))?;
    if !found.is_dir() {
        return Err(StoreError::NotADirectory { path: path.to_owned() });
    }
    if found.uid() != user {
        return Err(StoreError::Foreign { path: path.to_owned(), owner: found.uid(), user });
    }
    if found.mode() & (GROUP_WRITES | OTHERS_WRITE) != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|_| StoreError::Exposed { path: path.to_owned(), mode: found.mode() & 0o777 })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::others_replace;

    #[test]
    fn only_a_group_of_ones_own_may_write() {
        let (user, shared) = (1000, 100);
        assert!(!others_replace(0o755, shared, user) && !others_replace(0o775, user, user));
        assert!(others_replace(0o775, shared, user) && others_replace(0o757, user, user));
        assert!(!others_replace(0o1777, shared, user));
    }
}
