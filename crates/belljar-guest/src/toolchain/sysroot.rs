//! A std for guests: the one installed with rustc, or an overlay that was built.
//!
//! ```text
//! toolchains/1.95.0-aborting-<digest>/
//!   lib/rustlib/wasm32-wasip1/lib/*.rlib, self-contained/{crt1-*.o, libc.a}
//!   lib/rustlib/<host> -> that of the rustc, where its linker is
//!   sysroot.json              what it was built from, and size and digest of every file
//! ```
//!
//! The directory gets its name only when it is complete. [`made`] compares names and sizes, which is quick;
//! [`Sysroot::check`] also compares digests, and runs before a guest is built; [`remove_damaged`] does so whenever something
//! is set up.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use belljar_store::{Area, Store, tree};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::compiler::{Compiler, rustlib};
use super::error::ToolchainError;
use super::{TARGET, Toolchain};

/// Version of the way a std is built. Another one gives other directories.
pub(super) const RECIPE: u32 = 1;

const STAMP: &str = "sysroot.json";

/// A std for `wasm32-wasip1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysroot {
    /// For `--sysroot`, when compiling for `wasm32-wasip1` only. `None`: the rustc's own has it.
    pub path: Option<Utf8PathBuf>,
    /// Whether `catch_unwind` works in it.
    pub unwinds: bool,
    /// A digest over what it is, the same on every machine that has the same.
    pub id: String,
}

impl Sysroot {
    /// What rustc must be given to compile with it, for `wasm32-wasip1` only.
    #[must_use]
    pub fn rustc_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if let Some(path) = &self.path {
            args.extend(["--sysroot".to_owned(), path.to_string()]);
        }
        args.extend(self.codegen_args());
        args
    }

    /// The part of it that says how code is made.
    pub(crate) fn codegen_args(&self) -> Vec<String> {
        if self.unwinds { UNWINDING_FLAGS.map(str::to_owned).into() } else { Vec::new() }
    }

    /// Where its libraries are, and the C library's.
    pub(crate) fn libraries(&self, toolchain: &Toolchain) -> Utf8PathBuf {
        match &self.path {
            Some(overlay) => libraries(overlay),
            None => rustlib(&toolchain.sysroot).join(TARGET).join("lib"),
        }
    }

    /// Compares every file of a std that was built here with its digest. What is installed with the rustc is as good as
    /// the rustc.
    pub fn check(&self) -> Result<(), ToolchainError> {
        let Some(dir) = &self.path else { return Ok(()) };
        match Stamp::read(dir) {
            Some(stamp) if stamp.digests_match(dir) => Ok(()),
            _ => Err(ToolchainError::Damaged { kind: Self::kind(self.unwinds), path: dir.clone() }),
        }
    }

    pub(super) fn kind(unwinds: bool) -> &'static str {
        if unwinds { "unwinding" } else { "aborting" }
    }
}

/// Unwinding by WebAssembly exceptions in their standard form (with `exnref`), which engines have settled on. Std and
/// what is compiled against it both need these.
pub(super) const UNWINDING_FLAGS: [&str; 2] = ["-Cpanic=unwind", "-Cllvm-args=-wasm-use-legacy-eh=false"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stamp {
    pub recipe: u32,
    /// `rustc -vV`
    pub rustc: String,
    pub host: String,
    pub unwinds: bool,
    /// Digest of `library`.
    pub source: String,
    /// Digest of the C library's files.
    pub libc: String,
    /// Below `lib/rustlib/wasm32-wasip1/lib`.
    pub files: BTreeMap<String, FileStamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileStamp {
    pub len: u64,
    pub digest: String,
}

impl Stamp {
    /// Name of the directory.
    pub(super) fn name(&self, release: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.recipe.to_le_bytes()).update(&[u8::from(self.unwinds)]);
        for text in [&self.rustc, &self.source, &self.libc] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        let digest = hasher.finalize().to_hex();
        format!("{release}-{}-{}", Sysroot::kind(self.unwinds), &digest[..16])
    }

    /// A digest over the files alone: what they were built from shows in them or doesn't matter.
    fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(Sysroot::kind(self.unwinds).as_bytes());
        for (name, file) in &self.files {
            hasher.update(format!("\0{name}\0{}", file.digest).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn read(dir: &Utf8Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(STAMP)).ok()?).ok()
    }

    pub(super) fn write(&self, dir: &Utf8Path) -> Result<(), ToolchainError> {
        let path = dir.join(STAMP);
        let failed = |e| ToolchainError::io("write", path.clone())(e);
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        json.push(b'\n');
        fs::write(&path, json).map_err(failed)
    }

    fn sizes_match(&self, dir: &Utf8Path) -> bool {
        let lib = libraries(dir);
        self.files.iter().all(|(name, file)| {
            fs::symlink_metadata(lib.join(name)).is_ok_and(|found| found.is_file() && found.len() == file.len)
        })
    }

    fn digests_match(&self, dir: &Utf8Path) -> bool {
        let lib = libraries(dir);
        self.files.iter().all(|(name, file)| digest(&lib.join(name)).is_ok_and(|found| found == *file))
    }
}

/// Where the libraries are in an overlay.
pub(super) fn libraries(dir: &Utf8Path) -> Utf8PathBuf {
    dir.join("lib/rustlib").join(TARGET).join("lib")
}

pub(super) fn digest(path: &Utf8Path) -> std::io::Result<FileStamp> {
    let bytes = fs::read(path)?;
    Ok(FileStamp { len: bytes.len() as u64, digest: blake3::hash(&bytes).to_hex().to_string() })
}

/// The target that was installed into the rustc's own sysroot.
///
/// Its identity is taken from the names of its files, which have in them what cargo knows of their origin, and from their
/// sizes: reading them all would take too long for something that runs once per unit.
pub(super) fn installed(sysroot: &Utf8Path) -> Option<Sysroot> {
    let lib = rustlib(sysroot).join(TARGET).join("lib");
    let mut files = BTreeMap::new();
    for entry in lib.read_dir_utf8().ok()?.flatten() {
        if entry.file_name().ends_with(".rlib") {
            files.insert(entry.file_name().to_owned(), entry.metadata().ok()?.len());
        }
    }
    let has = |name: &str| files.keys().any(|file| file.starts_with(name));
    if !has("libcore-") || !has("libstd-") {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"installed");
    for (name, len) in &files {
        hasher.update(format!("\0{name}\0{len}").as_bytes());
    }
    Some(Sysroot { path: None, unwinds: false, id: hasher.finalize().to_hex().to_string() })
}

/// An overlay that was built for that compiler. Where there are several (from different C libraries), the first by name.
pub(super) fn made(store: &Store, compiler: &Compiler, unwinds: bool) -> Option<Sysroot> {
    for dir in overlays(store, compiler, unwinds) {
        let Some(stamp) = Stamp::read(&dir) else { continue };
        let fits = stamp.recipe == RECIPE && stamp.rustc == compiler.version && stamp.unwinds == unwinds;
        if fits && stamp.sizes_match(&dir) && link_host(&dir, compiler).is_ok() {
            return Some(Sysroot { id: stamp.id(), path: Some(dir), unwinds });
        }
    }
    None
}

/// Removes the overlays for that compiler that are not what their stamps say, so that they are built again.
pub(super) fn remove_damaged(store: &Store, compiler: &Compiler) {
    for unwinds in [false, true] {
        for dir in overlays(store, compiler, unwinds) {
            if !Stamp::read(&dir).is_some_and(|stamp| stamp.digests_match(&dir)) {
                tree::discard(&dir);
            }
        }
    }
}

fn overlays(store: &Store, compiler: &Compiler, unwinds: bool) -> Vec<Utf8PathBuf> {
    let prefix = format!("{}-{}-", compiler.release, Sysroot::kind(unwinds));
    let entries = store.dir(Area::Toolchains).read_dir_utf8().into_iter().flatten().flatten();
    let mut dirs: Vec<_> = entries
        .filter(|entry| entry.file_name().starts_with(&prefix))
        .map(camino::Utf8DirEntry::into_path)
        .collect();
    dirs.sort();
    dirs
}

/// Links the rustc's own libraries and tools for the host into an overlay; again when the rustc they were in is gone.
pub(super) fn link_host(dir: &Utf8Path, compiler: &Compiler) -> std::io::Result<()> {
    let link = dir.join("lib/rustlib").join(&compiler.host);
    let target = compiler.rustlib().join(&compiler.host);
    if link.read_link_utf8().is_ok_and(|to| to == target) {
        return Ok(());
    }
    if fs::symlink_metadata(&link).is_ok_and(|found| found.is_dir()) {
        tree::discard(&link);
    }
    let new = link.with_file_name(format!(".link-{}", std::process::id()));
    let _ = fs::remove_file(&new);
    symlink(target, &new)?;
    fs::rename(&new, &link)
}
