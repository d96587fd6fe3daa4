//! Stores of a test's own, quick to have: with the toolchain of the user's store, and what belljar compiles for itself.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Project, run};

/// A store that a test may do anything to.
pub struct Store(TempDir);

impl Store {
    /// In a directory whose name has everything in it that a path can have and still be UTF-8.
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("größer store, ").tempdir().unwrap())
    }

    /// With a toolchain, and nothing else.
    pub fn with_toolchain() -> Self {
        let this = Self::new();
        link_toolchains(&this.root());
        this
    }

    /// With a toolchain, what belljar compiles for itself, and the module of [`tiny`], its native code included.
    pub fn small() -> Self {
        let this = Self::new();
        clone(&base(), &this.root(), true);
        this
    }

    pub fn home(&self) -> &Path {
        self.0.path()
    }

    pub fn root(&self) -> PathBuf {
        self.0.path().join("v1")
    }

    /// The files below a directory of the store. (Not what a test has put in a file's place.)
    pub fn files(&self, area: &str) -> Vec<PathBuf> {
        let mut files = super::files(&self.root().join(area), |_| true);
        files.retain(|file| fs::symlink_metadata(file).is_ok_and(|found| found.is_file()));
        files
    }

    /// The same command, with this store.
    pub fn of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("BELLJAR_HOME", self.home())
    }
}

/// A program that says what its macro says. The macro crate has a dependency with a build script.
pub fn tiny(name: &str) -> Project {
    let project = Project::new(name);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"mac\", \"helper\"]\n")
        .file("app/Cargo.toml", &package("app", "[dependencies]\nmac = { path = \"../mac\" }\n"))
        .file("app/src/main.rs", "fn main() {\n    println!(\"{}\", mac::say!());\n}\n")
        .file(
            "mac/Cargo.toml",
            &package("mac", "[lib]\nproc-macro = true\n[dependencies]\nhelper = { path = \"../helper\" }\n"),
        )
        .file(
            "mac/src/lib.rs",
            "use proc_macro::TokenStream;\n\n#[proc_macro]\npub fn say(_: TokenStream) -> TokenStream {\n    \
             format!(\"{:?}\", helper::TEXT).parse().unwrap()\n}\n",
        )
        .file("helper/Cargo.toml", &package("helper", ""))
        .file("helper/build.rs", "fn main() {\n    println!(\"cargo::rustc-env=TEXT=sealed\");\n}\n")
        .file("helper/src/lib.rs", "pub const TEXT: &str = env!(\"TEXT\");\n");
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// The store that all [`Store::small`] of this build of belljar are copies of.
fn base() -> PathBuf {
    let belljar = fs::metadata(env!("CARGO_BIN_EXE_cargo-belljar")).unwrap();
    let mut hasher = DefaultHasher::new();
    (belljar.len(), belljar.modified().unwrap(), users_store()).hash(&mut hasher);
    let area = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stores");
    fs::create_dir_all(&area).unwrap();
    let base = area.join(format!("{:016x}", hasher.finish()));
    // Each test is a process; the first one makes it.
    let lock = File::create(area.join("lock")).unwrap();
    lock.lock().unwrap();
    if !base.is_dir() {
        for entry in fs::read_dir(&area).unwrap().flatten().filter(|e| e.path().is_dir()) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
        let store = Store::with_toolchain();
        let project = tiny("base");
        run(store.of(&mut project.belljar(&["check", "-q"]))).ok();
        // What depends on paths is of no use to a copy, and what is written in place is not to be shared.
        for area in ["target", "scratch", "locks", "tmp", "expansions"] {
            fs::remove_dir_all(store.root().join(area)).unwrap();
        }
        let making = area.join("making");
        clone(&store.root(), &making, false);
        fs::rename(making, &base).unwrap();
    }
    base
}

fn users_store() -> PathBuf {
    let home = std::env::var_os("BELLJAR_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("belljar")));
    home.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache/belljar")).join("v1")
}

fn link_toolchains(root: &Path) {
    fs::create_dir_all(root.join("toolchains")).unwrap();
    for entry in fs::read_dir(users_store().join("toolchains")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().contains("-aborting-") || name.to_string_lossy().contains("-unwinding-") {
            clone(&entry.path(), &root.join("toolchains").join(name), true);
        }
    }
}

/// Copies a directory; files are shared by hard links where that is possible and wanted, so nobody may write into them.
fn clone(from: &Path, to: &Path, share: bool) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            clone(&from, &to, share);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else if !share || fs::hard_link(&from, &to).is_err() {
            fs::copy(from, to).unwrap();
        }
    }
}
