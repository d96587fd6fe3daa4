//! What macros saw of directories and links: [stamps](crate::stamps) say what it was, and the command looks whether it still is.

use std::io;

use belljar_expander::{Observation, listing_digest};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::stamps::{self, Stamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    what: What,
    path: String,
    /// A digest, a link's target; `None` when it is not that any more.
    was: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// The names in a directory, and what they are.
    Listing,
    /// That it is a directory.
    Directory,
    /// Where a link leads.
    Link,
}

impl Seen {
    /// What of this observation cargo can't watch by itself.
    pub(crate) fn of(observation: &Observation) -> Option<Self> {
        let (what, path, was) = match observation {
            Observation::Listing { path, digest } => (What::Listing, path, digest.to_hex().to_string()),
            Observation::Directory { path } => (What::Directory, path, String::new()),
            Observation::Link { path, target } => (What::Link, path, target.clone()),
            _ => return None,
        };
        Some(Self { what, path: path.clone(), was: Some(was) })
    }

    /// As it is now.
    fn now(&self) -> Self {
        let path = Utf8Path::new(&self.path);
        let was = match self.what {
            What::Listing => {
                listing_digest(path.as_std_path()).ok().map(|digest| digest.to_hex().to_string())
            }
            What::Directory => path.symlink_metadata().is_ok_and(|m| m.is_dir()).then(String::new),
            What::Link => path.read_link_utf8().ok().map(Utf8PathBuf::into_string),
        };
        Self { was, ..self.clone() }
    }
}

impl Stamp for Seen {
    fn about(&self) -> Vec<&str> {
        let what = match self.what {
            What::Listing => "listing",
            What::Directory => "directory",
            What::Link => "link",
        };
        vec![what, &self.path]
    }
}

/// Where these stamps are, below belljar's part of the target directory.
pub(crate) fn dir(belljar_dir: &Utf8Path) -> Utf8PathBuf {
    belljar_dir.join("seen")
}

/// Looks at everything that was seen, before cargo begins.
pub(crate) fn refresh(dir: &Utf8Path) -> Result<(), (Utf8PathBuf, io::Error)> {
    stamps::refresh(dir, |path, source| (path, source), |seen: &Seen| Ok(seen.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_held_against_what_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let listed = dir.join("listed");
        std::fs::create_dir(&listed).unwrap();
        std::fs::write(listed.join("a"), "").unwrap();
        let link = dir.join("link");
        std::os::unix::fs::symlink("a", &link).unwrap();
        let path = listed.to_string();
        let digest = listing_digest(listed.as_std_path()).unwrap();
        let listing = Seen::of(&Observation::Listing { path: path.clone(), digest }).unwrap();
        let directory = Seen::of(&Observation::Directory { path: path.clone() }).unwrap();
        let leads = Seen::of(&Observation::Link { path: link.to_string(), target: "a".to_owned() }).unwrap();
        let same = |seen: &Seen| seen.now() == *seen;
        assert!(same(&listing) && same(&directory) && same(&leads));
        std::fs::write(listed.join("a"), "else").unwrap();
        assert!(same(&listing), "a file's content is no part of a listing");
        std::fs::write(listed.join("b"), "").unwrap();
        assert!(!same(&listing) && same(&directory));
        std::fs::remove_file(listed.join("b")).unwrap();
        assert!(same(&listing));
        std::fs::remove_file(listed.join("a")).unwrap();
        std::fs::create_dir(listed.join("a")).unwrap();
        assert!(!same(&listing), "what it is");
        std::fs::remove_dir_all(&listed).unwrap();
        assert!(!same(&directory));
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("b", &link).unwrap();
        assert!(!same(&leads));
        assert_eq!(Seen::of(&Observation::File { path, size: 0, digest: None }), None);
    }
}
