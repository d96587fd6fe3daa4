//! The policy of a build: where its files are, and how cargo learns that it has changed.
//!
//! cargo compiles a crate again when a file that it depends on has changed. `belljar.toml` itself is not such a file: most
//! lines of it concern other crates. Instead there is a *stamp* for each macro package in each calling package, below
//! `belljar/policy` in the target directory, with a digest of the rules between the two. A crate depends on the stamps of the
//! macros that it uses. The command looks at all stamps before cargo does, and writes those anew whose rules have changed.
//!
//! Under plain cargo, where there is no command, a crate whose macros asked for something depends on the files of the policy
//! too.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use belljar_policy::{Calling, Policy};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// The rules between a macro package and the package that calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    macro_package: String,
    macro_version: String,
    package: String,
    version: String,
    manifest_dir: Option<String>,
    rules: String,
}

/// The policy for the macros of a crate. Files are looked for at the workspace's root and in the user's configuration.
pub(crate) fn load(calling: Calling) -> Policy {
    Policy::built_in(calling)
}

/// The files on which the policy of such a crate depends, whether they are there or not.
pub(crate) fn files(calling: &Calling) -> Vec<Utf8PathBuf> {
    let _ = calling;
    Vec::new()
}

/// Where stamps are, below belljar's part of the target directory.
pub(crate) fn stamps(belljar_dir: &Utf8Path) -> Utf8PathBuf {
    belljar_dir.join("policy")
}

/// The stamp for the rules with this digest, which is there and says so when this returns.
pub(crate) fn stamp(
    stamps: &Utf8Path,
    calling: &Calling,
    (macro_package, macro_version): (&str, &str),
    rules: [u8; 32],
) -> io::Result<Utf8PathBuf> {
    let stamp = Stamp {
        macro_package: macro_package.to_owned(),
        macro_version: macro_version.to_owned(),
        package: calling.package.clone(),
        version: calling.version.clone(),
        manifest_dir: calling.manifest_dir.clone(),
        rules: blake3::Hash::from_bytes(rules).to_hex().to_string(),
    };
    let path = stamps.join(stamp.file_name());
    match Stamp::read(&path) {
        Some(there) if there == stamp => {}
        Some(_) => stamp.write(&path, SystemTime::now())?,
        // Older than any build, or cargo would take it for something that changed while it compiled.
        None => stamp.write(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1))?,
    }
    Ok(path)
}

/// Writes anew the stamps whose rules are others now, so that cargo compiles again what depends on them.
pub(crate) fn refresh(
    stamps: &Utf8Path,
    mut rules: impl FnMut(Calling, &str, &str) -> [u8; 32],
) -> Result<(), (Utf8PathBuf, io::Error)> {
    let entries = match stamps.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err((stamps.to_owned(), e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| (stamps.to_owned(), e))?.into_path();
        // What is no stamp goes: what depends on it is compiled again.
        let stamp = Stamp::read(&path).filter(|stamp| path.file_name() == Some(&stamp.file_name()));
        let Some(stamp) = stamp else {
            remove(&path)?;
            continue;
        };
        let calling = Calling {
            package: stamp.package.clone(),
            version: stamp.version.clone(),
            manifest_dir: stamp.manifest_dir.clone(),
            ..Calling::default()
        };
        let now = rules(calling, &stamp.macro_package, &stamp.macro_version);
        let now = Stamp { rules: blake3::Hash::from_bytes(now).to_hex().to_string(), ..stamp.clone() };
        if now != stamp {
            now.write(&path, SystemTime::now()).map_err(|e| (path.clone(), e))?;
        }
    }
    Ok(())
}

fn remove(path: &Utf8Path) -> Result<(), (Utf8PathBuf, io::Error)> {
    let removed = if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err((path.to_owned(), e)),
        _ => Ok(()),
    }
}

impl Stamp {
    fn file_name(&self) -> String {
        let of = [
            &*self.macro_package,
            &*self.macro_version,
            &*self.package,
            &*self.version,
            self.manifest_dir.as_deref().unwrap_or_default(),
        ];
        let mut hasher = blake3::Hasher::new();
        for text in of {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        format!("{}.json", &hasher.finalize().to_hex()[..32])
    }

    fn read(path: &Utf8Path) -> Option<Self> {
        const MAX: u64 = 64 << 10;
        path.symlink_metadata().ok().filter(|m| m.is_file() && m.len() <= MAX)?;
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    fn write(&self, path: &Utf8Path, time: SystemTime) -> io::Result<()> {
        let dir = path.parent().unwrap_or(Utf8Path::new("."));
        std::fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.as_file().set_modified(time)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(path: &Utf8Path) -> SystemTime {
        path.metadata().unwrap().modified().unwrap()
    }

    #[test]
    fn a_stamp_is_new_only_when_its_rules_are() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap().join("policy");
        let calling = |name: &str| Calling { package: name.to_owned(), ..Calling::default() };
        let of = |name: &str, rules: u8| stamp(&dir, &calling(name), ("mac", "1.0.0"), [rules; 32]).unwrap();
        let (a, b) = (of("a", 1), of("b", 1));
        assert_ne!(a, b);
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!((modified(&a), modified(&b)), (old, old));
        of("a", 1);
        assert_eq!(modified(&a), old, "nothing has changed");
        std::fs::write(dir.join("junk"), "{").unwrap();
        refresh(&dir, |calling, _, _| [if calling.package == "a" { 2 } else { 1 }; 32]).unwrap();
        assert!(modified(&a) > old);
        assert_eq!(modified(&b), old, "it is not concerned");
        assert!(!dir.join("junk").exists());
        let now = modified(&a);
        of("a", 2);
        assert_eq!(modified(&a), now, "the command has written it already");
    }

    #[test]
    fn a_stamp_under_another_name_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap().join("policy");
        let path = stamp(&dir, &Calling::default(), ("mac", "1.0.0"), [1; 32]).unwrap();
        let moved = dir.join("other.json");
        std::fs::rename(&path, &moved).unwrap();
        refresh(&dir, |_, _, _| [1; 32]).unwrap();
        assert!(!moved.exists());
        refresh(&dir.join("none"), |_, _, _| [1; 32]).unwrap();
    }
}
