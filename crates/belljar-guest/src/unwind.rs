//! Does a guest need a std that unwinds?
//!
//! On a std whose panics abort, `catch_unwind` never catches: a macro that reports its errors by panicking and catching
//! would trap instead. An unwinding module is larger and slower, so only a guest whose code calls it gets one.

use camino::Utf8Path;

use crate::{rewrite, scratch};

const CALL: &str = "catch_unwind";

/// Crates that name it but don't need it: proc-macro2 probed old compilers with it.
const EXEMPT: [&str; 1] = ["proc-macro2"];

/// Does the code of this package, tests apart, name `catch_unwind`?
pub(crate) fn catches(name: &str, dir: &Utf8Path) -> bool {
    if EXEMPT.contains(&name) {
        return false;
    }
    scratch::sources(dir).any(|source| rewrite::names(&source, CALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_library_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.join(path), text).unwrap();
        };
        let call = "fn a() { std::panic::catch_unwind(b); }";
        write("tests/a.rs", call);
        write("build.rs", call);
        write("src/lib.rs", "// catch_unwind\nconst A: &str = \"catch_unwind\";");
        assert!(!catches("a", dir));
        write("src/deep/er.rs", call);
        assert!(catches("a", dir));
        assert!(!catches("proc-macro2", dir));
    }
}
