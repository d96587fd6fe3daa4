//! What of cargo's configuration can have an influence on a guest.
//!
//! A guest is built with the user's configuration: it says where packages come from. Two of its tables could reach a
//! module: `[env]`, which build scripts and `env!` see, and `[patch]`, with the older `paths`. They are a part of a guest's
//! key, so that one project's settings can't be in another's module.
//!
//! Source: the cargo book, "Configuration": files are looked for in the directory and all above it, and in `CARGO_HOME`.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item, TableLike};

/// How deep files may include files.
const DEEPEST: usize = 8;

/// The files that make up the configuration in one directory, nearest first.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// With the directory to which paths in it are relative.
    files: Vec<(Utf8PathBuf, DocumentMut)>,
}

impl Config {
    /// What cargo finds when it runs in `cwd`. A file that can't be read is cargo's to complain about.
    pub(crate) fn of(cwd: &Utf8Path) -> Self {
        let variable = std::env::var_os("CARGO_HOME").filter(|v| !v.is_empty()).map(std::path::PathBuf::from);
        let home = variable.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
        let home = home.and_then(|home| Utf8PathBuf::from_path_buf(home).ok()).map(|home| cwd.join(home));
        Self::below(cwd, home.as_deref())
    }

    fn below(cwd: &Utf8Path, home: Option<&Utf8Path>) -> Self {
        let dirs = cwd.ancestors().map(|dir| dir.join(".cargo")).chain(home.map(Utf8Path::to_owned));
        let mut config = Self::default();
        let mut seen = BTreeSet::new();
        for dir in dirs {
            // Where both are, cargo takes the older name.
            let file =
                ["config", "config.toml"].map(|name| dir.join(name)).into_iter().find(|file| file.is_file());
            if let Some(file) = file {
                config.read(&file, &mut seen, 0);
            }
        }
        config
    }

    fn read(&mut self, file: &Utf8Path, seen: &mut BTreeSet<Utf8PathBuf>, depth: usize) {
        let real = file.canonicalize_utf8().unwrap_or_else(|_| file.to_owned());
        if depth > DEEPEST || !seen.insert(real) {
            return;
        }
        let text = std::fs::read_to_string(file).ok();
        let Some(doc) = text.and_then(|text| text.parse::<DocumentMut>().ok()) else { return };
        let dir = file.parent().unwrap_or(Utf8Path::new("/"));
        let base = dir.parent().unwrap_or(dir).to_owned();
        let included: Vec<Utf8PathBuf> = match doc.get("include").and_then(Item::as_value) {
            Some(value) => {
                let all = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
                let path = |value: &toml_edit::Value| {
                    let path =
                        value.as_inline_table().and_then(|table| table.get("path")).and_then(|v| v.as_str());
                    Some(dir.join(path.or_else(|| value.as_str())?))
                };
                all.into_iter().filter_map(path).collect()
            }
            None => Vec::new(),
        };
        self.files.push((base, doc));
        for file in included {
            self.read(&file, seen, depth + 1);
        }
    }

    /// The variables that it sets, as one text; empty when there are none.
    pub(crate) fn variables(&self) -> String {
        let mut text = String::new();
        for (base, doc) in &self.files {
            for (name, entry) in
                doc.get("env").and_then(Item::as_table_like).into_iter().flat_map(|t| t.iter())
            {
                // Belljar's own: `init` writes where the workspace is.
                if name.starts_with("BELLJAR_") {
                    continue;
                }
                let relative = entry.get("relative").and_then(Item::as_bool) == Some(true);
                let base = if relative { base.as_str() } else { "" };
                text.push_str(&format!("{name:?} {:?} {base:?}\n", text_of(entry)));
            }
        }
        text
    }

    /// What it says on where packages are taken from, as one text; empty when nothing.
    pub(crate) fn replaced(&self) -> String {
        let parts = self.files.iter().flat_map(|(_, doc)| [doc.get("patch"), doc.get("paths")]);
        parts.flatten().map(text_of).collect()
    }

    /// The entries of its `[patch]` tables, with the directory to which their paths are relative.
    pub(crate) fn patches(&self) -> impl Iterator<Item = (&Utf8Path, &dyn TableLike)> {
        self.files.iter().flat_map(|(base, doc)| {
            let sources = doc.get("patch").and_then(Item::as_table_like).into_iter().flat_map(|t| t.iter());
            sources.filter_map(move |(_, entries)| Some((base.as_path(), entries.as_table_like()?)))
        })
    }

    /// The directories of packages that replace those of the same name.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = Utf8PathBuf> {
        self.files.iter().flat_map(|(base, doc)| {
            let paths = doc.get("paths").and_then(Item::as_array).into_iter().flatten();
            paths.filter_map(|path| Some(base.join(path.as_str()?)))
        })
    }
}

/// The whole of an item. (What a table writes by itself lacks the tables in it.)
pub(crate) fn text_of(item: &Item) -> String {
    let mut doc = DocumentMut::new();
    doc["item"] = item.clone();
    doc.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_reach_a_guest_is_found_in_all_files() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        let config = || Config::below(&root.join("a/b"), Some(&root.join("home")));
        write("a/b/src/lib.rs", "");
        assert_eq!((config().variables(), config().replaced()), Default::default());
        write(
            "a/.cargo/config.toml",
            "include = [\"more.toml\", { path = \"gone.toml\", optional = true }]\n[env]\nA = \"1\"\nBELLJAR_X = \"2\"\n",
        );
        write("a/.cargo/more.toml", "paths = [\"over\"]\n[env]\nB = { value = \"x\", relative = true }\n");
        write("home/config", "[patch.crates-io]\nserde = { path = \"serde\" }\n");
        write("home/config.toml", "[env]\nC = \"not read\"\n");
        let config = config();
        let variables = config.variables();
        assert!(variables.contains("\"A\"") && variables.contains("\"B\"") && !variables.contains("\"C\""));
        assert!(!variables.contains("BELLJAR_X"));
        assert!(variables.contains(root.join("a").as_str()), "what a path is relative to counts");
        assert!(config.replaced().contains("serde") && config.replaced().contains("over"));
        assert_eq!(config.overrides().collect::<Vec<_>>(), [root.join("a/over")]);
        let patches: Vec<_> =
            config.patches().map(|(base, t)| (base.to_owned(), t.contains_key("serde"))).collect();
        assert_eq!(patches, [(root.to_owned(), true)]);
    }
}
