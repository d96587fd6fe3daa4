//! What macros saw: [stamps](crate::stamps) say what it was, and the command looks whether it still is.
//!
//! cargo holds the times of files against that of the last build. A file that comes with an old time (`mv`, `cp -p`, `tar`) is
//! nothing new to it, and directories, links and names of variables it can't watch at all.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;

use belljar_expander::{Observation, file_identity, is_absence, listing_digest};
use belljar_policy::VariablePattern;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::stamps::{self, Stamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    what: What,
    path: String,
    /// A digest, a link's target; `None` when it is not that any more.
    was: Option<String>,
    /// By what a file is known to be the one that was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_by: Option<String>,
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
    /// A file's content.
    Content,
    /// That it is a file, of this size.
    File,
    /// That nothing is there.
    Absent,
    /// Which variables are set whose names a pattern is about. The pattern has the place of the path.
    Names,
}

impl Seen {
    /// What of this observation cargo can't watch by itself. `variables` are the names of those that the command had.
    pub(crate) fn of(observation: &Observation, variables: &[String]) -> Option<Self> {
        let (what, path, was) = match observation {
            Observation::Listing { path, digest } => (What::Listing, path, digest.to_hex().to_string()),
            Observation::Directory { path } => (What::Directory, path, String::new()),
            Observation::Link { path, target } => (What::Link, path, target.clone()),
            Observation::File { path, digest: Some(digest), .. } => {
                (What::Content, path, digest.to_hex().to_string())
            }
            Observation::File { path, size, digest: None } => (What::File, path, size.to_string()),
            Observation::Absent { path } => (What::Absent, path, String::new()),
            Observation::Names { pattern } => (What::Names, pattern, names(pattern, variables)),
            Observation::Variable { .. }
            | Observation::WorkingDirectory { .. }
            | Observation::Special { .. }
            | Observation::Failed { .. } => return None,
        };
        Some(Self { what, path: path.clone(), was: Some(was), known_by: None })
    }

    /// Whether it is still so. `variables` are the names of those that are set.
    pub(crate) fn is_so(&self, variables: &[String]) -> bool {
        self.now(variables).says_the_same(self)
    }

    /// As it is now.
    fn now(&self, variables: &[String]) -> Self {
        let path = Utf8Path::new(&self.path);
        let metadata = || path.symlink_metadata().ok();
        let mut known_by = None;
        let was = match self.what {
            What::Listing => {
                listing_digest(path.as_std_path()).ok().map(|digest| digest.to_hex().to_string())
            }
            What::Directory => metadata().is_some_and(|m| m.is_dir()).then(String::new),
            What::Link => path.read_link_utf8().ok().map(Utf8PathBuf::into_string),
            What::File => metadata().filter(|m| m.is_file()).map(|m| m.len().to_string()),
            What::Content => {
                known_by = metadata().filter(|m| m.is_file()).map(|m| identity(&m));
                match &known_by {
                    Some(_) if known_by == self.known_by => self.was.clone(),
                    Some(_) => digest(path),
                    None => None,
                }
            }
            What::Absent => path.symlink_metadata().is_err_and(|e| is_absence(&e)).then(String::new),
            What::Names => Some(names(&self.path, variables)),
        };
        Self { was, known_by, ..self.clone() }
    }
}

/// What changes with a file's content, whatever becomes of its time of modification.
fn identity(metadata: &Metadata) -> String {
    file_identity(metadata).0.map(|part| part.to_string()).join(" ")
}

fn digest(path: &Utf8Path) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).ok()?).ok()?;
    Some(hasher.finalize().to_hex().to_string())
}

/// A digest of the names that a pattern is about.
fn names(pattern: &str, variables: &[String]) -> String {
    let of = VariablePattern::parse(pattern);
    let mut matching: Vec<&str> = variables
        .iter()
        .map(String::as_str)
        .filter(|name| of.as_ref().is_ok_and(|p| p.matches(name)))
        .collect();
    matching.sort_unstable();
    stamps::digest(&matching)
}

/// A digest of all variables, with their values, whose names one of these patterns is about.
pub(crate) fn values(patterns: &[String]) -> String {
    let patterns: Vec<_> =
        patterns.iter().filter_map(|pattern| VariablePattern::parse(pattern).ok()).collect();
    let is_about = |name: &OsString| {
        let name = name.to_string_lossy();
        !name.starts_with(OWN) && patterns.iter().any(|pattern| pattern.matches(&name))
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| is_about(name)).collect();
    variables.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for text in variables.iter().flat_map(|(name, value)| [name, value]) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Each build has variables of this beginning, and they are of no interest to a macro.
const OWN: &str = "BELLJAR_";

/// The names of this process's variables.
pub(crate) fn variables() -> Vec<String> {
    let own = |name: &String| !name.starts_with(OWN);
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(own).collect()
}

impl Stamp for Seen {
    fn about(&self) -> Vec<&str> {
        let what = match self.what {
            What::Listing => "listing",
            What::Directory => "directory",
            What::Link => "link",
            What::Content => "content",
            What::File => "file",
            What::Absent => "absent",
            What::Names => "names",
        };
        vec![what, &self.path]
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (self.what, &self.path, &self.was) == (other.what, &other.path, &other.was)
    }
}

/// Where these stamps are, below belljar's part of the target directory.
pub(crate) fn dir(belljar_dir: &Utf8Path) -> Utf8PathBuf {
    belljar_dir.join("seen")
}

/// Looks at everything that was seen, before cargo begins.
pub(crate) fn refresh(dir: &Utf8Path) -> Result<(), (Utf8PathBuf, io::Error)> {
    let variables = variables();
    stamps::refresh(dir, |path, source| (path, source), |seen: &Seen| Ok(seen.now(&variables)))
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
        let of = |observation: Observation| Seen::of(&observation, &[]).unwrap();
        let listing = of(Observation::Listing { path: path.clone(), digest });
        let directory = of(Observation::Directory { path: path.clone() });
        let leads = of(Observation::Link { path: link.to_string(), target: "a".to_owned() });
        let same = |seen: &Seen| seen.now(&[]).says_the_same(seen);
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
    }

    #[test]
    fn a_file_is_read_again_only_when_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let file = dir.join("file");
        std::fs::write(&file, "one").unwrap();
        let path = file.to_string();
        let digest = Some(blake3::hash(b"one"));
        let content =
            Seen::of(&Observation::File { path: path.clone(), size: 3, digest }, &[]).unwrap().now(&[]);
        let size = Seen::of(&Observation::File { path: path.clone(), size: 3, digest: None }, &[]).unwrap();
        let absent = Seen::of(&Observation::Absent { path: path.clone() }, &[]).unwrap();
        let same = |seen: &Seen| seen.now(&[]).says_the_same(seen);
        assert!(content.known_by.is_some() && same(&content) && same(&size) && !same(&absent));
        // As long, as old, and another one.
        let old = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(dir.join("new"), "two").unwrap();
        std::fs::File::options().write(true).open(dir.join("new")).unwrap().set_modified(old).unwrap();
        std::fs::rename(dir.join("new"), &file).unwrap();
        assert!(!same(&content) && same(&size));
        std::fs::write(&file, "one").unwrap();
        assert!(same(&content));
        std::fs::remove_file(&file).unwrap();
        assert!(!same(&content) && !same(&size) && same(&absent));
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        assert!(!same(&absent), "a link that leads nowhere is something");
    }

    #[test]
    fn names_of_variables_count_as_far_as_the_pattern_goes() {
        let variables = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let before = variables(&["APP_B", "HOME", "APP_A"]);
        let seen = Seen::of(&Observation::Names { pattern: "APP_*".to_owned() }, &before).unwrap();
        let same = |names: &[&str]| seen.now(&variables(names)).says_the_same(&seen);
        assert!(same(&["APP_A", "APP_B", "OTHER"]));
        assert!(!same(&["APP_A"]) && !same(&["APP_A", "APP_B", "APP_C"]));
    }
}
