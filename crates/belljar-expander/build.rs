//! A digest of the sources that decide what a macro is told and what is made of its answer. Expansions that another version has
//! remembered are not taken for this one's.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let mut files = Vec::new();
    // Where the other crates are not beside this one, their versions are part of its own.
    for dir in ["src", "../belljar-wire/src", "../belljar-policy/src", "../belljar-inspect/src"] {
        if Path::new(dir).is_dir() {
            println!("cargo::rerun-if-changed={dir}");
            sources(Path::new(dir), &mut files);
        }
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    for file in files {
        let content = fs::read(&file).expect("a source of this crate");
        hasher.update(&(content.len() as u64).to_le_bytes()).update(&content);
    }
    println!("cargo::rustc-env=BELLJAR_EXPANDER_SOURCES={}", &hasher.finalize().to_hex()[..32]);
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            sources(&path, files);
        } else {
            files.push(path);
        }
    }
}
