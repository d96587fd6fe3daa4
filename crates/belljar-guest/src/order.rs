//! Which guests of a batch cargo compiles first: those that most of the user's build waits for.
//!
//! Cargo begins with what most of a build depends on, and nothing depends on a guest. So the scratch workspace has empty packages
//! that do:
//!
//! ```text
//! order-2 ── depends on ──> order-1 ──> order-0 ──> the guest that most waits for
//!    │                         └──────> the second
//!    └────────────────────────────────> the third
//! ```
//!
//! What guests are compiled to does not depend on it. What a guest is made of, such as its syn, comes with it.

use std::fmt::Write as _;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

/// How many guests are put in order. Each costs compiling an empty crate.
const MOST: usize = 3;

/// How their names begin, below the scratch workspace.
const NAME: &str = "belljar-order-";

/// A guest in a scratch workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited<'a> {
    pub(crate) package: &'a str,
    pub(crate) dir: &'a Utf8Path,
    /// Bytes of source that can't be compiled without it.
    pub(crate) bytes: u64,
}

/// Writes these packages into a directory of the scratch workspace. Returns where they are, relative to `root`.
pub(crate) fn write(root: &Utf8Path, guests: &[Awaited<'_>]) -> io::Result<Vec<Utf8PathBuf>> {
    let mut first: Vec<_> = guests.iter().filter(|guest| guest.bytes > 0).collect();
    first.sort_by(|a, b| (b.bytes, a.package).cmp(&(a.bytes, b.package)));
    // The last one comes last in any case.
    first.truncate(MOST.min(guests.len().saturating_sub(1)));
    let mut written = Vec::new();
    for (n, guest) in first.into_iter().enumerate() {
        let place = Utf8PathBuf::from(format!("{NAME}{n}"));
        let dir = root.join(&place);
        std::fs::create_dir_all(&dir)?;
        let mut manifest = format!(
            "[package]\nname = \"{NAME}{n}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = \"lib.rs\"\n\n\
             [dependencies]\n{} = {{ path = {}, default-features = false }}\n",
            guest.package,
            toml_edit::Value::from(guest.dir.as_str())
        );
        if let Some(before) = n.checked_sub(1) {
            // Writing to a string can't fail.
            let _ = writeln!(manifest, "{NAME}{before} = {{ path = \"../{NAME}{before}\" }}");
        }
        std::fs::write(dir.join("Cargo.toml"), manifest)?;
        std::fs::write(dir.join("lib.rs"), "#![no_std]\n")?;
        written.push(place);
    }
    Ok(written)
}

/// Whether a member of the scratch workspace is one of these.
pub(crate) fn is_one(member: &str) -> bool {
    member.starts_with(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_waits_for_has_most_that_depends_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let guest = |package, bytes| Awaited { package, dir: Utf8Path::new("/a \"dir\"\u{7f}"), bytes };
        let guests = [guest("a", 1), guest("b", 30), guest("c", 0), guest("d", 2), guest("e", 1)];
        let manifest = |n| std::fs::read_to_string(root.join(format!("{NAME}{n}/Cargo.toml"))).unwrap();
        assert_eq!(write(root, &guests).unwrap().len(), 3);
        for (n, guest) in ["b", "d", "a"].into_iter().enumerate() {
            let doc: toml_edit::DocumentMut = manifest(n).parse().unwrap();
            let on: Vec<_> = doc["dependencies"].as_table().unwrap().iter().map(|(name, _)| name).collect();
            let before = n.checked_sub(1).map(|before| format!("{NAME}{before}"));
            assert_eq!(on, [Some(guest), before.as_deref()].into_iter().flatten().collect::<Vec<_>>());
            assert_eq!(doc["dependencies"][guest]["path"].as_str(), Some("/a \"dir\"\u{7f}"));
        }
        // One guest has no order, and what nobody waits for has none.
        assert!(write(root, &guests[..1]).unwrap().is_empty());
        assert!(write(root, &guests[2..3]).unwrap().is_empty());
        assert!(is_one(&format!("{NAME}0")) && !is_one("serde_derive"));
    }
}
