//! Empty artifacts, for units that only macros need.
//!
//! cargo wants to see the files it asked for, and a dep-info file to know when to ask again. In a build whose plan skips
//! the unit nothing reads them: the macro that would have linked them is a shim.
//!
//! A later build may need the unit for its own sake, and cargo would take the empty files for fresh. So each unit left
//! empty is noted first, and [`forget`] removes the files of those that a new plan does not skip. A target directory can
//! come with a project that somebody else wrote, so a note is not believed: only files that are what belljar leaves
//! behind, below the target directory, are removed.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use belljar_plan::{CrateKind, Plan, RustcArgs, Unit};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::own_dir::{OwnDir, is_digest_json};

/// A unit that was left empty.
#[derive(Serialize, Deserialize)]
struct Note {
    unit: Unit,
    /// What was written for it.
    files: Vec<Utf8PathBuf>,
}

/// The longest note that is read.
const MAX: u64 = 1 << 20;

/// A note's name is a digest of so many digits.
const DIGITS: usize = 64;

/// Removes the artifacts noted in `notes` whose unit `plan` does not skip, so that cargo makes them. The error carries
/// the path.
pub(crate) fn forget(notes: &Utf8Path, plan: &Plan) -> Result<(), (Utf8PathBuf, io::Error)> {
    let failed = |e| (notes.to_owned(), e);
    let Some(dir) = OwnDir::open(notes).map_err(failed)? else { return Ok(()) };
    let names = dir.names().map_err(failed)?;
    for name in names.iter().filter(|name| is_digest_json(name, DIGITS)) {
        // A note is written whole before its artifacts: one that can't be read is nobody's.
        let text = dir.read(name, MAX).unwrap_or_default();
        let note: Option<Note> = serde_json::from_slice(&text).ok();
        if note.as_ref().is_some_and(|note| plan.skips_unit(&note.unit)) {
            continue;
        }
        for file in note.into_iter().flat_map(|note| note.files) {
            if is_ours(&file, notes) {
                remove(&file)?;
            }
        }
        dir.remove(name).map_err(|e| (dir.path(name), e))?;
    }
    Ok(())
}

/// What a build script is that was left empty.
const SCRIPT: &[u8] = b"#!/bin/sh\nexit 0\n";

/// Is this a file as belljar leaves it, in the target directory that `notes` is in? What isn't is kept: at the worst cargo
/// takes it for fresh.
fn is_ours(file: &Utf8Path, notes: &Utf8Path) -> bool {
    let real = |path: &Utf8Path| path.canonicalize_utf8().ok();
    let Some((dir, target_dir)) = file.parent().and_then(real).zip(notes.parent().and_then(real)) else {
        return false;
    };
    let Ok(metadata) = file.symlink_metadata() else { return false };
    let empty = || match metadata.len() {
        0 => true,
        n if n == SCRIPT.len() as u64 => std::fs::read(file).is_ok_and(|content| content == SCRIPT),
        _ => false,
    };
    dir.starts_with(target_dir) && metadata.is_file() && empty()
}

fn remove(path: &Utf8Path) -> Result<(), (Utf8PathBuf, io::Error)> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err((path.to_owned(), e)),
        _ => Ok(()),
    }
}

/// Notes, below `notes`, that these files are to be empty.
fn note(notes: &Utf8Path, unit: Unit, files: Vec<Utf8PathBuf>) -> Result<(), (Utf8PathBuf, io::Error)> {
    let error = |e| (notes.to_owned(), e);
    let json = serde_json::to_vec(&Note { unit, files }).map_err(|e| error(e.into()))?;
    let name = format!("{}.json", blake3::hash(&json).to_hex());
    OwnDir::make(notes).and_then(|dir| dir.write(&name, &json, None)).map_err(error)
}

/// Writes what `unit`, compiled in `cwd`, asks for: empty libraries, or a build script that does nothing, once that stands
/// in `notes`. The error carries the path.
pub(super) fn write(
    unit: &RustcArgs,
    cwd: &Utf8Path,
    notes: &Utf8Path,
) -> Result<(), (Utf8PathBuf, io::Error)> {
    let emits = |what: &str| unit.emit.iter().any(|e| e == what);
    let endings: &[(&str, &str)] = &[("lib", ".rmeta"), ("lib", ".rlib"), ("", "")];
    let files = endings.iter().filter_map(|(prefix, ending)| unit.output(prefix, ending));
    note(notes, Unit::of_args(unit, cwd), files.map(|file| cwd.join(file)).collect())?;
    let mut made = Vec::new();
    if unit.kind == CrateKind::BuildScript {
        let script = unit.output("", "").ok_or_else(no_directory)?;
        put(&script, SCRIPT)?;
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))
            .map_err(|e| (script.clone(), e))?;
        made.push(("link", script));
    } else {
        for (emit, ending) in [("metadata", ".rmeta"), ("link", ".rlib")] {
            if emits(emit) {
                let path = unit.output("lib", ending).ok_or_else(no_directory)?;
                put(&path, b"")?;
                made.push((emit, path));
            }
        }
    }
    if emits("dep-info") {
        let path = unit.output("", ".d").ok_or_else(no_directory)?;
        // A make rule; cargo reads back the paths (`cargo::core::compiler::fingerprint::dep_info`).
        let source = unit.source.as_deref().unwrap_or(Utf8Path::new("")).as_str().replace(' ', "\\ ");
        put(&path, format!("{}: {source}\n\n{source}:\n", path.as_str().replace(' ', "\\ ")).as_bytes())?;
        made.push(("dep-info", path));
    }
    if unit.json_artifacts {
        for (emit, path) in made {
            let line = serde_json::json!({"$message_type": "artifact", "artifact": path, "emit": emit});
            writeln!(io::stderr(), "{line}").map_err(|e| (path.clone(), e))?;
        }
    }
    Ok(())
}

fn put(path: &Utf8Path, bytes: &[u8]) -> Result<(), (Utf8PathBuf, io::Error)> {
    // A file of an earlier real build may be shared by a hard link: replaced, never written into.
    remove(path)?;
    std::fs::write(path, bytes).map_err(|e| (path.to_owned(), e))
}

fn no_directory() -> (Utf8PathBuf, io::Error) {
    (Utf8PathBuf::new(), io::Error::new(io::ErrorKind::InvalidInput, "no --out-dir was given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belljar_leaves_behind_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temporary.path()).unwrap();
        let (target, outside) = (dir.join("target/belljar"), dir.join("outside"));
        let notes = target.join("empty");
        for dir in [&notes, &outside, &target.join("debug/deps")] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let written = |path: Utf8PathBuf, content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            path
        };
        let empty = written(target.join("debug/deps/liba.rmeta"), b"");
        let script = written(target.join("debug/deps/build-script"), SCRIPT);
        assert!(is_ours(&empty, &notes) && is_ours(&script, &notes));
        let full = written(target.join("debug/deps/libb.rmeta"), b"rust");
        let key = written(outside.join("key"), b"");
        let linked = target.join("link");
        std::os::unix::fs::symlink(&outside, &linked).unwrap();
        let link = target.join("debug/deps/libc.rmeta");
        std::os::unix::fs::symlink(&key, &link).unwrap();
        let around = target.join("../../outside/key");
        for kept in [full, key, linked.join("key"), link, around, target.join("debug/deps/none")] {
            assert!(!is_ours(&kept, &notes), "{kept}");
        }
    }
}
