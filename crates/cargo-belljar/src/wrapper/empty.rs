//! Empty artifacts, for units that only macros need.
//!
//! cargo wants to see the files it asked for, and a dep-info file to know when to ask again. Nothing ever reads them:
//! the macro that would have linked them is a shim.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use belljar_plan::{CrateKind, RustcArgs};
use camino::{Utf8Path, Utf8PathBuf};

/// Writes what `unit` asks for: empty libraries, or a build script that does nothing. The error carries the path.
pub(super) fn write(unit: &RustcArgs) -> Result<(), (Utf8PathBuf, io::Error)> {
    let emits = |what: &str| unit.emit.iter().any(|e| e == what);
    let mut made = Vec::new();
    if unit.kind == CrateKind::BuildScript {
        let script = unit.output("", "").ok_or_else(no_directory)?;
        put(&script, b"#!/bin/sh\nexit 0\n")?;
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
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err((path.to_owned(), e)),
        _ => {}
    }
    std::fs::write(path, bytes).map_err(|e| (path.to_owned(), e))
}

fn no_directory() -> (Utf8PathBuf, io::Error) {
    (Utf8PathBuf::new(), io::Error::new(io::ErrorKind::InvalidInput, "no --out-dir was given"))
}
