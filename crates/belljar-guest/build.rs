//! Writes a table of the sources that belljar compiles on the user's machine (`inside/` and the wire), so that
//! `src/inside.rs` can embed them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const CRATES: [(&str, &str); 6] = [
    ("WIRE", "../belljar-wire/src"),
    ("PROC_MACRO", "../../inside/proc_macro/src"),
    ("STD", "../../inside/std/src"),
    ("HASHERS", "../../inside/hashers/src"),
    ("ENTRY", "../../inside/entry/src"),
    ("SHIM", "../../inside/shim/src"),
];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut table = String::new();
    for (name, dir) in CRATES {
        let dir = here.join(dir);
        println!("cargo::rerun-if-changed={}", dir.display());
        let mut files = Vec::new();
        walk(&dir, &mut files)?;
        files.sort();
        let _ = writeln!(table, "const {name}: Crate = &[");
        for file in files {
            let path = file.strip_prefix(&dir).unwrap_or(&file).display().to_string();
            let _ = writeln!(table, "    ({path:?}, include_str!({:?})),", file.display().to_string());
        }
        table.push_str("];\n");
    }
    fs::write(Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs"), table)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
