//! Does a guest need a std that unwinds?
//!
//! On a std whose panics abort, `catch_unwind` never catches: a macro that reports its errors by panicking and catching
//! would trap instead. An unwinding module is larger and slower, so only a guest whose code calls it gets one.

use camino::{Utf8Path, Utf8PathBuf};

use crate::{rewrite, scratch};

const CALL: &str = "catch_unwind";

/// Crates that name it but don't need it: proc-macro2 probed old compilers with it.
const EXEMPT: [&str; 1] = ["proc-macro2"];

/// Directories of a package that are not in its library.
const OUTSIDE: [&str; 4] = ["tests", "test", "benches", "examples"];

/// Does the code of this package, tests apart, name `catch_unwind`?
pub(crate) fn catches(name: &str, dir: &Utf8Path) -> bool {
    if EXEMPT.contains(&name) {
        return false;
    }
    let is_source = |path: &Utf8PathBuf| {
        let top = path.components().next().map_or("", |c| c.as_str());
        path.extension() == Some("rs") && path != "build.rs" && !OUTSIDE.contains(&top)
    };
    // What can't be read can't be compiled either: the build will say so.
    scratch::files(dir)
        .unwrap_or_default()
        .iter()
        .filter(|path| is_source(path))
        .any(|path| std::fs::read_to_string(dir.join(path)).is_ok_and(|source| rewrite::names(&source, CALL)))
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
