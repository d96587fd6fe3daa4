//! Projects in temporary directories, and the real `cargo-belljar` run on them.
//!
//! The store is that of the user who runs the tests (`BELLJAR_HOME`): it holds the toolchain, which takes minutes to make.
//! `cargo xtask test` sets it up.

#![allow(dead_code, reason = "each test program uses some of it")]

pub mod held;
pub mod random;
pub mod store;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The root of this repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A directory with projects in it, gone when dropped.
pub struct Project {
    dir: TempDir,
    root: PathBuf,
}

impl Project {
    /// An empty one, in a directory of this name.
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join(name);
        std::fs::create_dir(&root).unwrap();
        Self { dir, root }
    }

    /// A copy of a fixture, without what was built in it.
    pub fn of_fixture(fixture: &str) -> Self {
        let this = Self::new("project");
        copy(&repository().join("fixtures").join(fixture), &this.root);
        this
    }

    /// A fixture where it stands. Nothing may be written there: it is for `--locked` and another target directory.
    pub fn in_place(fixture: &str) -> Self {
        let root = repository().join("fixtures").join(fixture);
        Self { dir: tempfile::tempdir().unwrap(), root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// `cargo belljar <args>` in the project, as cargo would start it.
    pub fn belljar(&self, args: &[&str]) -> Command {
        let mut command = clean(Command::new(env!("CARGO_BIN_EXE_cargo-belljar")));
        command.arg("belljar").args(args).current_dir(&self.root);
        command
    }

    /// Any program in the project, in the same environment.
    pub fn program(&self, path: &Path) -> Command {
        let mut command = clean(Command::new(path));
        command.current_dir(&self.root);
        command
    }

    /// Plain cargo in the project.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut command = clean(Command::new(env!("CARGO")));
        command.args(args).current_dir(&self.root);
        command
    }
}

/// Without what cargo and nextest set for this test: the project is not part of it.
fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let kept = matches!(&*text, "CARGO_HOME" | "CARGO_NET_OFFLINE" | "CARGO_HTTP_CAINFO");
        if (text.starts_with("CARGO")
            || text.starts_with("RUST") && text != "RUSTUP_HOME" && text != "RUSTUP_TOOLCHAIN")
            && !kept
        {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_TERM_COLOR", "never").env_remove("LD_LIBRARY_PATH");
    command
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "target" {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a command did, as text.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(command: &mut Command) -> Done {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Done {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn failed(self) -> Self {
        assert_eq!(self.code, Some(101), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Files below `dir`, not behind a link, whose name satisfies `wanted`.
pub fn files(dir: &Path, wanted: impl Fn(&str) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path(), wanted));
        } else if wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Is this library what rustc loads in place of a macro?
pub fn is_shim(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let mark = b"BELLJAR_SOCKET";
    bytes.windows(mark.len()).any(|window| window == mark)
}
