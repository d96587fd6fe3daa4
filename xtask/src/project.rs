//! Where things are in this repository, and how other programs are started from it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;

/// What can go wrong before a chore has begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    #[error("can't start `{program}`")]
    Start { program: String, source: io::Error },
    #[error("`cargo build -p cargo-belljar` failed; its errors are above. Mend them, or pass --belljar PATH")]
    BelljarDoesNotBuild,
    #[error("`{0}` is not a path in UTF-8, which cargo's JSON can't name")]
    NotUtf8(std::path::PathBuf),
    #[error("can't use {path}")]
    File { path: Utf8PathBuf, source: io::Error },
}

/// The root of the repository.
pub(crate) fn root() -> &'static Utf8Path {
    // xtask is run by cargo in the tree that it was compiled from.
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Utf8Path::new("."))
}

/// A folder for a chore's own files, in cargo's target directory.
pub(crate) fn scratch(name: &str) -> Result<Utf8PathBuf, ProjectError> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => {
            let dir = std::env::current_dir().map(|here| here.join(&dir)).unwrap_or_else(|_| dir.into());
            Utf8PathBuf::from_path_buf(dir).map_err(ProjectError::NotUtf8)?
        }
        None => root().join("target"),
    };
    Ok(target.join(name))
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command without the variables by which cargo describes *this* program to itself: what the command builds must not
/// see them.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "CARGO_PRIMARY_PACKAGE"
        });
        if own {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Builds `cargo-belljar` and says where it is.
pub(crate) fn build_belljar(release: bool) -> Result<Utf8PathBuf, ProjectError> {
    let program = cargo();
    let mut build = command(&program);
    build
        .current_dir(root())
        .args(["build", "--package", "cargo-belljar", "--message-format", "json-render-diagnostics"])
        .args(release.then_some("--release"))
        .stderr(Stdio::inherit());
    let output = build
        .output()
        .map_err(|source| ProjectError::Start { program: program.to_string_lossy().into_owned(), source })?;
    if !output.status.success() {
        return Err(ProjectError::BelljarDoesNotBuild);
    }
    Message::parse_stream(output.stdout.as_slice())
        .filter_map(|message| match message {
            Ok(Message::CompilerArtifact(artifact)) if artifact.target.name == "cargo-belljar" => {
                artifact.executable
            }
            _ => None,
        })
        .last()
        .ok_or(ProjectError::BelljarDoesNotBuild)
}

/// Removes a folder, if it is there.
pub(crate) fn remove(dir: &Utf8Path) -> Result<(), ProjectError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ProjectError::File { path: dir.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Copies a folder as it is, links as links, without target directories.
pub(crate) fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), ProjectError> {
    let io = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| ProjectError::File { path, source }
    };
    fs::create_dir_all(to).map_err(io(to))?;
    for entry in from.read_dir_utf8().map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io(path))?;
        if kind.is_dir() {
            if entry.file_name() != "target" || path.join("Cargo.toml").exists() {
                copy(path, &to)?;
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(io(path))?;
            if to.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(target, &to).map_err(io(&to))?;
            }
        } else {
            fs::copy(path, &to).map_err(io(path))?;
        }
    }
    Ok(())
}
