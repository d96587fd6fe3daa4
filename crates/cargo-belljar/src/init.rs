//! `cargo belljar init`: belljar as the wrapper of plain cargo and of the editor.
//!
//! It writes three entries into the workspace's `.cargo/config.toml` and leaves everything else there as it is:
//!
//! ```toml
//! [build]
//! rustc-wrapper = "cargo-belljar"
//!
//! [env]
//! BELLJAR_WORKSPACE = { value = "", relative = true }   # this workspace's root, for the wrapper
//! RUSTC_WORKSPACE_WRAPPER = "cargo-belljar"             # for `cargo fix`, which calls no other wrapper
//! ```

use std::io::Write;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, InlineTable, Item, Table, value};

use crate::build::{self, CommandError};
use crate::report;
use crate::session::WORKSPACE;

/// What `cargo fix` calls when it compiles the packages that it mends. Cargo itself does not look at it here.
const MENDING: &str = "RUSTC_WORKSPACE_WRAPPER";

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Take out what init wrote
    #[arg(long)]
    undo: bool,
    /// Path of the workspace's Cargo.toml
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<Utf8PathBuf>,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error("{path} can't be {what}: {source}")]
    File { path: Utf8PathBuf, what: &'static str, source: std::io::Error },
    #[error("{path} is not valid TOML: {source}\nnext: mend it, then run this again; nothing was changed")]
    Toml { path: Utf8PathBuf, source: toml_edit::TomlError },
    #[error(
        "{path} already sets build.rustc-wrapper to {found}\nnext: take that line out (or keep it and use `cargo belljar …`); nothing was changed"
    )]
    OtherWrapper { path: Utf8PathBuf, found: String },
    #[error("{path}: `{table}` is not a table\nnext: mend it, then run this again; nothing was changed")]
    NotATable { path: Utf8PathBuf, table: &'static str },
}

impl Init {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let workspace = build::workspace_of(self.manifest_path.as_ref())?;
        let dir = workspace.root.join(".cargo");
        // cargo's older name wins where both exist, as in cargo itself.
        let old = dir.join("config");
        let path = if old.is_file() { old } else { dir.join("config.toml") };
        let exe = belljar_guest::current_exe()?;
        let changed = if self.undo { undo(&path)? } else { write(&path, &wrapper_name(&exe))? };
        if !self.quiet {
            match (self.undo, changed) {
                (false, true) => {
                    report::status("Sealed", format_args!("cargo and the editor, through {path}"))
                }
                (false, false) => report::status("Sealed", format_args!("already, through {path}")),
                (true, true) => report::status("Removed", format_args!("belljar from {path}")),
                (true, false) => report::status("Unchanged", format_args!("belljar is not in {path}")),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The wrapper as it should stand in a file that others may share: by name where the name finds this program.
fn wrapper_name(exe: &Utf8Path) -> String {
    let name = exe.file_name().unwrap_or("cargo-belljar");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    let same = found
        .and_then(|path| path.canonicalize().ok())
        .is_some_and(|path| exe.canonicalize_utf8().is_ok_and(|exe| exe.as_std_path() == path));
    if same { name.to_owned() } else { exe.to_string() }
}

fn read(path: &Utf8Path) -> Result<Option<DocumentMut>, InitError> {
    match std::fs::read_to_string(path) {
        Ok(text) => match text.parse() {
            Ok(document) => Ok(Some(document)),
            Err(source) => Err(InitError::Toml { path: path.to_owned(), source }),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InitError::File { path: path.to_owned(), what: "read", source }),
    }
}

fn is_ours(entry: &Item) -> bool {
    entry.as_str().is_some_and(is_belljar)
}

/// Is this wrapper belljar, under whatever path?
pub(crate) fn is_belljar(wrapper: &str) -> bool {
    Utf8Path::new(wrapper).file_name() == Some("cargo-belljar")
}

/// Adds the entries. `false` when they stand there already.
fn write(path: &Utf8Path, wrapper: &str) -> Result<bool, InitError> {
    let mut document = read(path)?.unwrap_or_default();
    let before = document.to_string();
    let build = table(&mut document, "build", path)?;
    match build.get("rustc-wrapper").and_then(Item::as_str) {
        Some(found) if !is_belljar(found) => {
            return Err(InitError::OtherWrapper { path: path.to_owned(), found: found.to_owned() });
        }
        Some(found) if found == wrapper => {}
        _ => {
            build.insert("rustc-wrapper", value(wrapper));
        }
    }
    let env = table(&mut document, "env", path)?;
    if !env.contains_key(WORKSPACE) {
        let mut entry = InlineTable::new();
        entry.insert("value", "".into());
        entry.insert("relative", true.into());
        env.insert(WORKSPACE, value(entry));
    }
    if env.get(MENDING).is_none_or(is_ours) {
        env.insert(MENDING, value(wrapper));
    }
    save(path, &before, &document)
}

/// Takes the entries out again, and the file and its folder if nothing else is in them.
fn undo(path: &Utf8Path) -> Result<bool, InitError> {
    let Some(mut document) = read(path)? else { return Ok(false) };
    let before = document.to_string();
    for (name, key) in [("build", "rustc-wrapper"), ("env", WORKSPACE), ("env", MENDING)] {
        let Some(table) = document.get_mut(name).and_then(Item::as_table_like_mut) else { continue };
        let ours = match table.get(key).and_then(Item::as_str) {
            Some(wrapper) => is_belljar(wrapper),
            None => key == WORKSPACE && table.contains_key(key),
        };
        if ours {
            table.remove(key);
            if table.is_empty() {
                document.remove(name);
            }
        }
    }
    if document.to_string().trim().is_empty() && !before.trim().is_empty() {
        let gone = std::fs::remove_file(path);
        gone.map_err(|source| InitError::File { path: path.to_owned(), what: "removed", source })?;
        if let Some(dir) = path.parent() {
            // Only succeeds when it is empty, which is what is wanted.
            let _ = std::fs::remove_dir(dir);
        }
        return Ok(true);
    }
    save(path, &before, &document)
}

fn table<'a>(
    document: &'a mut DocumentMut,
    name: &'static str,
    path: &Utf8Path,
) -> Result<&'a mut dyn toml_edit::TableLike, InitError> {
    document
        .entry(name)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut()
        .ok_or_else(|| InitError::NotATable { path: path.to_owned(), table: name })
}

/// Writes the file whole or not at all.
fn save(path: &Utf8Path, before: &str, document: &DocumentMut) -> Result<bool, InitError> {
    let text = document.to_string();
    if text == before {
        return Ok(false);
    }
    let error = |source| InitError::File { path: path.to_owned(), what: "written", source };
    let dir = path.parent().unwrap_or(Utf8Path::new("."));
    std::fs::create_dir_all(dir).map_err(error)?;
    let mut file = tempfile::Builder::new().permissions(permissions(path)).tempfile_in(dir).map_err(error)?;
    file.write_all(text.as_bytes()).map_err(error)?;
    file.persist(path).map_err(|e| error(e.error))?;
    Ok(true)
}

/// Those of the file that is replaced, or those a new file of the user's usually has.
fn permissions(path: &Utf8Path) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).map_or_else(|_| PermissionsExt::from_mode(0o644), |m| m.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_dir(text: Option<&str>) -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join(".cargo/config.toml")).unwrap();
        if let Some(text) = text {
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        (dir, path)
    }

    #[test]
    fn a_new_file_comes_and_goes() {
        let (_dir, path) = in_dir(None);
        assert!(write(&path, "cargo-belljar").unwrap());
        insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap(), @r#"
        [build]
        rustc-wrapper = "cargo-belljar"

        [env]
        BELLJAR_WORKSPACE = { value = "", relative = true }
        RUSTC_WORKSPACE_WRAPPER = "cargo-belljar"
        "#);
        assert!(!write(&path, "cargo-belljar").unwrap(), "the second time changes nothing");
        assert!(undo(&path).unwrap());
        assert!(!path.exists() && !path.parent().unwrap().exists());
        assert!(!undo(&path).unwrap());
    }

    #[test]
    fn what_else_stands_there_stays() {
        let text = "# mine\n[build]\njobs = 1 # few\n\n[alias]\nx = \"check\"\n";
        let (_dir, path) = in_dir(Some(text));
        assert!(write(&path, "cargo-belljar").unwrap());
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(
            written.contains("# mine\n[build]\njobs = 1 # few\nrustc-wrapper = \"cargo-belljar\"\n"),
            "{written}"
        );
        assert!(undo(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn another_wrapper_is_not_pushed_aside() {
        let text = "[build]\nrustc-wrapper = \"sccache\"\n";
        let (_dir, path) = in_dir(Some(text));
        assert!(matches!(write(&path, "cargo-belljar"), Err(InitError::OtherWrapper { .. })));
        assert!(!undo(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn broken_files_are_left_alone() {
        for text in ["[build", "build = 1\n"] {
            let (_dir, path) = in_dir(Some(text));
            assert!(write(&path, "cargo-belljar").is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
