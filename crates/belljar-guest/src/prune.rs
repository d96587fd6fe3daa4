//! Keeps the directories in which guests are built from growing without end.
//!
//! A module is in the store when it is sealed; what stays in a target directory only makes the next guest's build
//! quicker. So a directory can go as a whole at any time when nobody builds in it:
//!
//! - one that has grown too large, by the build that finds it so;
//! - one that no build has used for long: of another compiler, std or belljar.

use std::time::{Duration, SystemTime};

use belljar_store::{Area, Store};
use camino::{Utf8Path, Utf8PathBuf};

/// Bytes that a target directory may keep: the guests of several large projects.
const LARGEST: u64 = 3 << 30;

/// After which a directory that nobody uses is removed.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);

/// In each target directory; its time is that of the last use.
const STAMP: &str = ".used-by-belljar";

/// Name of the lock under which a target directory is used.
pub(crate) fn lock_name(target_dir: &Utf8Path) -> String {
    format!("target-{}", target_dir.file_name().unwrap_or_default())
}

/// Notes that a directory is used now.
pub(crate) fn used(target_dir: &Utf8Path) -> std::io::Result<()> {
    std::fs::write(target_dir.join(STAMP), "")
}

/// Removes what is too much. The caller has the lock of `current` and builds no more. What can't be removed stays: a build
/// doesn't fail for that.
pub(crate) fn prune(store: &Store, current: &Utf8Path) {
    prune_to(store, current, LARGEST, SystemTime::now());
}

fn prune_to(store: &Store, current: &Utf8Path, largest: u64, now: SystemTime) {
    if size(current) > largest {
        let _ = store.remove_dir(current);
    }
    for entry in store.dir(Area::Target).read_dir_utf8().into_iter().flatten().flatten() {
        let dir = entry.path();
        if dir == current || !unused(dir, now) {
            continue;
        }
        // Its user could have come in between.
        if let Ok(Some(_lock)) = store.lock_if_free(&lock_name(dir))
            && unused(dir, now)
        {
            let _ = store.remove_dir(dir);
        }
    }
}

/// A directory of builds that nobody has used for long.
fn unused(dir: &Utf8Path, now: SystemTime) -> bool {
    let time = |path: Utf8PathBuf| path.metadata().and_then(|m| m.modified()).ok();
    // An older belljar left no stamp.
    let used = time(dir.join(STAMP)).or_else(|| time(dir.to_owned()));
    dir.file_name().is_some_and(|name| name.contains('-'))
        && used.and_then(|used| now.duration_since(used).ok()).is_some_and(|age| age > UNUSED)
}

fn size(dir: &Utf8Path) -> u64 {
    let mut size = 0;
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => todo.push(entry.into_path()),
                // Cargo links a file to a second place.
                Ok(found) => size += found.len() / std::os::unix::fs::MetadataExt::nlink(&found).max(1),
                Err(_) => {}
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_or_too_large_goes_unless_it_is_used() {
        let temporary = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(temporary.path()).unwrap()).unwrap();
        let target = |name: &str| {
            let dir = store.dir(Area::Target).join(name);
            std::fs::create_dir_all(dir.join("deps")).unwrap();
            std::fs::write(dir.join("deps/file"), [0; 1000]).unwrap();
            used(&dir).unwrap();
            dir
        };
        let (current, old, busy, graph) = (target("aa-1"), target("bb-1"), target("cc-2"), target("graph"));
        let now = SystemTime::now();
        prune_to(&store, &current, 2000, now);
        assert!([&current, &old, &busy, &graph].iter().all(|dir| dir.is_dir()));
        let lock = store.lock(&lock_name(&busy)).unwrap();
        let later = now + UNUSED + Duration::from_secs(60);
        prune_to(&store, &current, 2000, later);
        assert!(!old.exists() && current.is_dir() && busy.is_dir() && graph.is_dir());
        drop(lock);
        prune_to(&store, &current, 999, later);
        assert!(!current.exists() && !busy.exists() && graph.is_dir());
        assert_eq!(store.dir(Area::Tmp).read_dir().unwrap().count(), 0);
    }
}
