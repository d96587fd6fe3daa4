//! A copy of a package's files in which sources can be changed.

use std::collections::BTreeSet;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::rewrite::{self, Rules, rewrite};

/// The files of a package, relative to its directory and sorted: without version control, build output, and packages
/// of their own that lie inside it.
pub(crate) fn files(dir: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    walk(dir, Utf8Path::new(""), &mut files, &mut Vec::new())?;
    files.sort();
    Ok(files)
}

/// Files outside a package that its sources name by a path leading upward (`#[path = "../shared.rs"]`,
/// `include_str!("../../README.md")`), and for sources among them the others beside and below, which could be their
/// modules.
pub(crate) fn outside(dir: &Utf8Path) -> io::Result<BTreeSet<Utf8PathBuf>> {
    let dir = dir.canonicalize_utf8()?;
    let mut found = BTreeSet::new();
    let mut todo: Vec<Utf8PathBuf> = files(&dir)?.into_iter().map(|file| dir.join(file)).collect();
    while let Some(file) = todo.pop() {
        if file.extension() != Some("rs") {
            continue;
        }
        let Ok(source) = std::fs::read_to_string(&file) else { continue };
        for text in rewrite::upward(&source) {
            // Relative to the file, or put behind the package's directory with `concat!`.
            let near = file.parent().unwrap_or(&dir).join(text);
            let places = [near, dir.join(text.trim_start_matches('/'))];
            for named in places.iter().filter_map(|place| place.canonicalize_utf8().ok()) {
                if named.starts_with(&dir) || !named.is_file() || !found.insert(named.clone()) {
                    continue;
                }
                let above = named.parent().unwrap_or(&dir).to_owned();
                if named.extension() == Some("rs") && !dir.starts_with(&above) {
                    let beside = files(&above)?.into_iter().map(|file| above.join(file));
                    for file in beside.filter(|file| file.extension() == Some("rs")) {
                        if found.insert(file.clone()) {
                            todo.push(file);
                        }
                    }
                }
                todo.push(named);
            }
        }
    }
    Ok(found)
}

/// Puts links to those files where the copy `to` of the package in `from` looks for them, as far as that is in `root`.
pub(crate) fn link_outside(from: &Utf8Path, to: &Utf8Path, root: &Utf8Path) -> io::Result<()> {
    let real = from.canonicalize_utf8()?;
    for file in outside(from)? {
        // From the nearest directory above both.
        let Some((up, above)) = real.ancestors().enumerate().find(|(_, above)| file.starts_with(above))
        else {
            continue;
        };
        let below = file.strip_prefix(above).unwrap_or(&file);
        let Some(target) = to.ancestors().nth(up).filter(|t| t.starts_with(root)).map(|t| t.join(below))
        else {
            continue;
        };
        if target.symlink_metadata().is_err() {
            std::fs::create_dir_all(target.parent().unwrap_or(to))?;
            link(&file, &target)?;
        }
    }
    Ok(())
}

/// Directories of a package that are not in its library.
const OUTSIDE: [&str; 4] = ["tests", "test", "benches", "examples"];

/// The sources of a package's library, as texts. What can't be read can't be compiled either: the build will say so.
pub(crate) fn sources(dir: &Utf8Path) -> impl Iterator<Item = String> + use<'_> {
    let is_source = |path: &Utf8PathBuf| {
        let top = path.components().next().map_or("", |c| c.as_str());
        path.extension() == Some("rs") && path != "build.rs" && !OUTSIDE.contains(&top)
    };
    let files = files(dir).unwrap_or_default().into_iter().filter(is_source);
    files.filter_map(|path| std::fs::read_to_string(dir.join(path)).ok())
}

/// Collects files, and what is to be linked as a whole: links to directories, and packages inside this one.
fn walk(
    dir: &Utf8Path,
    below: &Utf8Path,
    files: &mut Vec<Utf8PathBuf>,
    whole: &mut Vec<Utf8PathBuf>,
) -> io::Result<()> {
    for entry in dir.join(below).read_dir_utf8()? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let absolute = entry.path();
            if entry.file_name() == ".git" || absolute.join("CACHEDIR.TAG").is_file() {
                continue;
            }
            if absolute.join("Cargo.toml").is_file() {
                whole.push(path);
            } else {
                walk(dir, &path, files, whole)?;
            }
        } else if kind.is_symlink() && entry.path().is_dir() {
            whole.push(path);
        } else if kind.is_file() || entry.path().is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Makes `to` look like the package in `from`, with changed sources; files that stay what they are become links.
/// Returns whether anything was changed.
pub(crate) fn mirror(from: &Utf8Path, to: &Utf8Path, rules: Rules) -> io::Result<bool> {
    let mut files = Vec::new();
    let mut whole = Vec::new();
    walk(from, Utf8Path::new(""), &mut files, &mut whole)?;
    let mut changed = false;
    for path in &files {
        let target = to.join(path);
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        let original = from.join(path);
        // Cargo ignores links to manifests of other workspaces, and a scratch package has a manifest of its own.
        if matches!(path.as_str(), "Cargo.toml" | "Cargo.lock") {
            continue;
        }
        let source =
            if path.extension() == Some("rs") { std::fs::read_to_string(&original).ok() } else { None };
        match source.and_then(|source| rewrite(&source, rules)) {
            Some(new) => {
                std::fs::write(&target, new)?;
                changed = true;
            }
            None => link(&original, &target)?,
        }
    }
    for path in &whole {
        let target = to.join(path);
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        link(&from.join(path), &target)?;
    }
    Ok(changed)
}

fn link(original: &Utf8Path, target: &Utf8Path) -> io::Result<()> {
    std::os::unix::fs::symlink(original.canonicalize()?, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_everything_but_output_and_history() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let from = root.join("päckage with space");
        for (path, text) in [
            ("Cargo.toml", "[package]"),
            ("src/lib.rs", "#[proc_macro]\nmod a;"),
            ("src/a.rs", "include_str!(\"../data.txt\")"),
            ("data.txt", "data"),
            ("target/CACHEDIR.TAG", ""),
            ("target/debug/x.rs", ""),
            (".git/config", ""),
            ("inner/Cargo.toml", ""),
            ("inner/src/lib.rs", ""),
        ] {
            std::fs::create_dir_all(from.join(path).parent().unwrap()).unwrap();
            std::fs::write(from.join(path), text).unwrap();
        }
        assert_eq!(files(&from).unwrap(), ["Cargo.toml", "data.txt", "src/a.rs", "src/lib.rs"]);
        let to = root.join("to");
        let rules = Rules { markers: true, ..Rules::default() };
        assert!(mirror(&from, &to, rules).unwrap());
        assert_eq!(std::fs::read_to_string(to.join("src/lib.rs")).unwrap(), "#[belljar::f]\nmod a;");
        assert_eq!(std::fs::read_to_string(to.join("src/../data.txt")).unwrap(), "data");
        assert!(to.join("inner/src/lib.rs").is_file());
        assert!(!to.join("target").exists() && !to.join(".git").exists() && !to.join("Cargo.toml").exists());
    }
}
