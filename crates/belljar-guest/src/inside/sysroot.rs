//! The sysroot that guests see: a std's own files by link, but for the std itself, which is belljar's (`inside/std`).
//!
//! ```text
//! sysroot/lib/rustlib/wasm32-wasip1/lib/   libcore-….rlib, … self-contained -> those of the std
//!                                          libstd.rlib, belljar's
//! real/                                    libstd-….rlib -> the real one
//! ```
//!
//! So whoever says `std`, in whatever words, gets belljar's, and a crate without a std has none. (`--extern std=…` would be
//! a name that also crates have which are `no_std`, and which may call something of their own so.) The real one is where
//! rustc looks only for what another library was compiled against.

use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};

use crate::GuestError;
use crate::nested::relative;
use crate::toolchain::TARGET;

/// For `--sysroot`.
const SYSROOT: &str = "sysroot";

/// For `-Ldependency`.
const REAL: &str = "real";

fn libraries(dir: &Utf8Path) -> Utf8PathBuf {
    dir.join(SYSROOT).join("lib/rustlib").join(TARGET).join("lib")
}

/// What makes rustc see it.
pub(super) fn args(dir: &Utf8Path) -> [String; 2] {
    [format!("--sysroot={}", dir.join(SYSROOT)), format!("-Ldependency={}", dir.join(REAL))]
}

/// Where a std's files are, as one who stands in the store names it: the links say no more.
pub(super) fn place<'p>(store: &Utf8Path, std: &'p Utf8Path) -> &'p Utf8Path {
    std.strip_prefix(store).unwrap_or(std)
}

/// Makes it in `dir`: of the files of a std, and of belljar's `libstd.rlib`, which goes there.
pub(super) fn make(
    store: &Utf8Path,
    std: &Utf8Path,
    belljars: &Utf8Path,
    dir: &Utf8Path,
) -> Result<(), GuestError> {
    let (own, real) = (libraries(dir), dir.join(REAL));
    let failed = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| GuestError::File { path, source }
    };
    for made in [&own, &real] {
        std::fs::create_dir_all(made).map_err(failed(made))?;
    }
    for entry in std.read_dir_utf8().map_err(failed(std))? {
        let entry = entry.map_err(failed(std))?;
        let name = entry.file_name();
        let from = if name.starts_with("libstd-") { &real } else { &own };
        // Within the store as seen from the link, so that the store can be moved.
        let to = if std.starts_with(store) { relative(entry.path(), from) } else { entry.path().to_owned() };
        symlink(to, from.join(name)).map_err(failed(from))?;
    }
    std::fs::rename(belljars, own.join("libstd.rlib")).map_err(failed(belljars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_std_is_seen_and_a_store_can_be_moved() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let write = |path: &Utf8Path| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, path.file_name().unwrap()).unwrap();
        };
        for std in ["store/toolchains/a/lib", "elsewhere/lib"] {
            let (store, std) = (root.join("store"), root.join(std));
            for name in ["libcore-1.rlib", "libstd-2.rlib", "libstd_detect-3.rlib", "self-contained/libc.a"] {
                write(&std.join(name));
            }
            let dir = store.join("inside/id");
            write(&dir.join("std/libstd.rlib"));
            make(&store, &std, &dir.join("std/libstd.rlib"), &dir).unwrap();
            let moved = root.join("moved");
            std::fs::rename(&store, &moved).unwrap();
            let dir = moved.join("inside/id");
            let text = |path: Utf8PathBuf| std::fs::read_to_string(path).ok();
            for name in ["libcore-1.rlib", "libstd_detect-3.rlib", "self-contained/libc.a", "libstd.rlib"] {
                assert_eq!(
                    text(libraries(&dir).join(name)).as_deref(),
                    Utf8Path::new(name).file_name(),
                    "{name}"
                );
            }
            assert_eq!(text(dir.join("real/libstd-2.rlib")).as_deref(), Some("libstd-2.rlib"));
            assert!(!libraries(&dir).join("libstd-2.rlib").exists());
            std::fs::remove_dir_all(moved).unwrap();
        }
    }
}
