//! Shims that were linked before.
//!
//! What a compiler makes of a shim is decided by its source, the library that it links, the compiler, and those of cargo's
//! arguments that it gets ([`super::kept`]), apart from the directory where it goes and how the compiler speaks. cargo's
//! `-C metadata` is among them, which is the same for a package of a registry in all projects that have the same features,
//! profile and flags. The module is part of the source, by its digest.
//!
//! Where an argument names files that a linker reads, their content would decide too: then nothing is kept. The linkers themselves
//! and the C library are known by path, size and time, which are the same in two containers of one image, and the variables of theirs
//! by value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{FLAGS, Unit};
use crate::inside::program;

/// Variables by which linkers and loaders find what they use.
const VARIABLES: [&str; 8] = [
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_RUN_PATH",
    "LIBRARY_PATH",
    "SYSROOT",
];

/// By what it is known. `None` for a unit that is compiled each time.
pub(super) fn key(unit: &Unit, more: [&str; 4]) -> Option<[u8; 32]> {
    if !(unit.dep_info && unit.links && unit.is_plain) {
        return None;
    }
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 the library that is linked of a shim");
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    more.iter().chain(&FLAGS).for_each(|text| add(text.as_bytes()));
    for name in VARIABLES {
        add(std::env::var_os(name).unwrap_or_default().as_bytes());
    }
    let linkers = ["cc", "ld"].iter().filter_map(|name| program(OsStr::new(name)));
    for file in [PathBuf::from(more[3])].into_iter().chain(linkers).chain(libraries()) {
        add(file.as_os_str().as_bytes());
        if let Ok(found) = file.metadata() {
            add(&found.len().to_le_bytes());
            add(&found.mtime().to_le_bytes());
        }
    }
    for pair in unit.kept.chunks(2) {
        let [flag, value] = pair else { return None };
        match flag.to_str()? {
            "--out-dir" | "--emit" | "--error-format" | "--json" | "--diagnostic-width" | "--color" => {}
            "--crate-name" => [flag, value].iter().for_each(|part| add(part.as_bytes())),
            // A file with a description, or one that the compiler knows by itself.
            "--target"
                if std::env::var_os("RUST_TARGET_PATH").is_none()
                    && !value.as_bytes().ends_with(b".json") =>
            {
                [flag, value].iter().for_each(|part| add(part.as_bytes()));
            }
            "-C" | "--codegen" if is_told_whole(value) => {
                [OsStr::new("-C"), value].iter().for_each(|part| add(part.as_bytes()));
                let named = value.to_str().and_then(|value| value.strip_prefix("link-arg=-fuse-ld="));
                for name in named.iter().flat_map(|name| [format!("ld.{name}"), (*name).to_owned()]) {
                    if let Some(found) = program(OsStr::new(&name)).and_then(|path| path.metadata().ok()) {
                        add(&found.len().to_le_bytes());
                        add(&found.mtime().to_le_bytes());
                    }
                }
            }
            _ => return None,
        }
    }
    Some(*hasher.finalize().as_bytes())
}

/// The C library with which this very process runs: a shim is linked with it too, and what it has a newer symbol of it needs.
fn libraries() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let is_libc = |path: &&str| {
        let name = Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with("libc.so") || name.starts_with("libc-") || name.starts_with("ld-")
    };
    let mut found: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.split_once('/').map(|(_, path)| &line[line.len() - path.len() - 1..]))
        .filter(is_libc)
        .map(PathBuf::from)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether an option of code generation says all that it decides.
fn is_told_whole(option: &OsStr) -> bool {
    let Some(option) = option.to_str() else { return false };
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match name {
        "metadata" | "extra-filename" | "prefer-dynamic" | "target-feature" => true,
        "link-arg" => value
            .strip_prefix("-fuse-ld=")
            .is_some_and(|linker| linker.bytes().all(|b| b.is_ascii_lowercase())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const ARGS: &str = "--crate-name m --edition=2021 src/lib.rs --error-format=json --json=artifacts --crate-type proc-macro \
                        --emit=dep-info,link -C prefer-dynamic -C metadata=1 -C extra-filename=-1 --out-dir /t/debug/deps";

    fn key_of(args: &str) -> Option<[u8; 32]> {
        let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
        key(&Unit::read(&args).ok()?, ["source", "2021", "/lib", "rustc"])
    }

    #[test]
    fn the_same_shim_elsewhere_is_the_same_and_another_is_another() {
        let with = |more: &str| key_of(&format!("{ARGS} {more}"));
        let own = key_of(ARGS);
        assert!(own.is_some());
        for same in
            ["--color always", "--diagnostic-width=80", "-C opt-level=3 --cap-lints allow", "-C debuginfo=2"]
        {
            assert_eq!(with(same), own, "{same}");
        }
        assert_eq!(key_of(&ARGS.replace("/t/", "/elsewhere/")), own);
        let mut others = vec![own];
        for (from, to) in [("name m", "name n"), ("metadata=1", "metadata=2"), ("filename=-1", "filename=-2")]
        {
            others.push(key_of(&ARGS.replace(from, to)));
        }
        others.extend(["--target x86_64-unknown-linux-gnu", "-C link-arg=-fuse-ld=lld"].map(with));
        let args: Vec<OsString> = ARGS.split_whitespace().map(OsString::from).collect();
        others.push(key(&Unit::read(&args).unwrap(), ["source", "2021", "/lib", "another rustc"]));
        others.push(key(&Unit::read(&args).unwrap(), ["source2021", "", "/lib", "rustc"]));
        let different: std::collections::HashSet<_> = others.iter().collect();
        assert!(different.len() == others.len() && others.iter().all(Option::is_some), "{others:?}");
    }

    #[test]
    fn what_reads_files_or_leaves_more_is_not_reused() {
        for more in [
            "-C link-arg=x.o",
            "-C link-arg=-fuse-ld=/tmp/ld",
            "-C linker=./cc",
            "-C link-args=-z,now",
            "--target /x/mine.json",
            "--sysroot /s",
            "-Z unstable-options",
            "--emit=metadata",
            "--emit=asm",
        ] {
            assert_eq!(key_of(&format!("{ARGS} {more}")), None, "{more}");
        }
        assert_eq!(key_of(&ARGS.replace("dep-info,link", "dep-info,metadata")), None);
        assert_eq!(key_of(&format!("{ARGS} --emit=link=/elsewhere")), None);
    }

    #[test]
    fn the_c_library_is_known() {
        assert!(libraries().iter().any(|path| path.is_file()), "{:?}", libraries());
    }
}
