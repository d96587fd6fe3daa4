//! Does a crate make a hasher of std's itself?
//!
//! Then it may write code in the order of what the hasher says, and gets one that says the same as in a 64-bit program
//! (`inside/hashers`). One that also names `RandomState` is left alone: what it hashes is another number in every run, and that
//! state's hasher is the real one.

use camino::Utf8Path;

use crate::{rewrite, scratch};

const HASHERS: [&str; 2] = ["DefaultHasher", "SipHasher"];
const RANDOM: &str = "RandomState";

/// Does the code of this package, tests apart, name one of std's hashers, and no state that makes it random?
pub(crate) fn makes_its_own(dir: &Utf8Path) -> bool {
    let mut found = false;
    for source in scratch::sources(dir) {
        if rewrite::names(&source, RANDOM) {
            return false;
        }
        found = found || HASHERS.iter().any(|name| rewrite::names(&source, name));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_a_hasher_of_its_own_is_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir_all(dir.join("src")).unwrap();
        let makes = |text: &str| {
            std::fs::write(dir.join("src/lib.rs"), text).unwrap();
            makes_its_own(dir)
        };
        assert!(makes("type Hasher = std::collections::hash_map::DefaultHasher;"));
        assert!(makes("use std::hash::{Hash, SipHasher};"));
        assert!(!makes("// DefaultHasher\ntype A = std::collections::HashMap<u8, u8>;"));
        assert!(!makes("use std::hash::{DefaultHasher, RandomState};"));
    }
}
