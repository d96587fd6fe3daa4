//! What cargo's configuration says that can change a module.
//!
//! A guest's cargo runs in the user's directory, so that registries, mirrors and vendored packages are where the user's
//! configuration says. The same configuration can put other code in a package's place, and hand values to compilers and
//! build scripts, without a word in the lockfile. The store is shared by all projects: so whatever could make another
//! module of the same lockfile is found here, and goes into the key.
//!
//! Read as cargo reads it: `--config` arguments, `.cargo/config.toml` in the directory and those above it, and
//! `config.toml` in cargo's home. Source: the Cargo Book, "Configuration"; `cargo::util::context`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item, TableLike};

use crate::inside::field;

/// What was found; empty in most projects.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Packages by path that are put in others' places by `[patch]`.
    pub(crate) patches: Vec<Utf8PathBuf>,
    /// Packages that are put in others' places by `paths`, of which the lockfile says nothing.
    pub(crate) overrides: Vec<Utf8PathBuf>,
    /// Directories of vendored packages. Cargo checks those against lists in the same directory only.
    pub(crate) vendored: Vec<Utf8PathBuf>,
    /// What else compilers and build scripts of guests would see, as text.
    pub(crate) settings: Vec<String>,
}

/// Variables that `cargo belljar init` sets. A guest's build never sees them, and is the same with and without them.
const OF_INIT: [&str; 2] = [crate::WORKSPACE, "RUSTC_WORKSPACE_WRAPPER"];

/// Files that include files: more than anybody writes, fewer than a circle.
const DEEPEST: usize = 16;

impl Config {
    /// What holds in `cwd` with the values of these `--config` arguments. Files that can't be read hold nothing: cargo
    /// itself says what is wrong with them.
    pub(crate) fn read(cwd: &Utf8Path, arguments: &[String]) -> Self {
        Self::read_with_home(cwd, arguments, cargo_home().map(|home| cwd.join(home)).as_deref())
    }

    fn read_with_home(cwd: &Utf8Path, arguments: &[String], home: Option<&Utf8Path>) -> Self {
        let mut config = Self::default();
        for argument in arguments {
            let path = cwd.join(argument);
            if path.is_file() {
                config.file(&path, 0);
            } else if let Ok(document) = argument.parse::<DocumentMut>() {
                config.add(&document, cwd);
            }
        }
        let above = cwd.ancestors().map(|dir| dir.join(".cargo"));
        for dir in above.chain(home.map(Utf8Path::to_owned)) {
            // The older name wins.
            let names = ["config", "config.toml"].map(|name| dir.join(name));
            if let Some(path) = names.iter().find(|path| path.is_file()) {
                config.file(path, 0);
            }
        }
        for list in [&mut config.patches, &mut config.overrides, &mut config.vendored].into_iter() {
            list.sort();
            list.dedup();
        }
        config
    }

    fn file(&mut self, path: &Utf8Path, depth: usize) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let Ok(document) = text.parse::<DocumentMut>() else { return };
        let dir = path.parent().unwrap_or(path);
        for included in document.get("include").into_iter().flat_map(includes) {
            if depth < DEEPEST {
                self.file(&dir.join(included), depth + 1);
            }
        }
        // Relative paths in a file start above the directory that it is in.
        self.add(&document, dir.parent().unwrap_or(dir));
    }

    fn add(&mut self, document: &DocumentMut, base: &Utf8Path) {
        let path = |item: &Item, key: &str| item.get(key).and_then(Item::as_str).map(|p| base.join(p));
        for (_, source) in entries(document.get("patch")) {
            self.patches.extend(entries(Some(source)).filter_map(|(_, entry)| path(entry, "path")));
        }
        let overrides = document.get("paths").and_then(Item::as_array);
        self.overrides.extend(overrides.into_iter().flatten().filter_map(|p| Some(base.join(p.as_str()?))));
        self.vendored
            .extend(entries(document.get("source")).filter_map(|(_, source)| path(source, "directory")));
        for (name, value) in entries(document.get("env")).filter(|(name, _)| !OF_INIT.contains(name)) {
            let relative = value.get("relative").and_then(Item::as_bool) == Some(true);
            let base = if relative { base.as_str() } else { "" };
            self.settings.push(format!("env {name} = {} {base}", text_of(value)));
        }
        // `target.<triple>.<links>` stands for what a build script would say.
        for (triple, target) in entries(document.get("target")) {
            let said = entries(Some(target)).filter(|(_, value)| value.as_table_like().is_some());
            self.settings
                .extend(said.map(|(links, value)| format!("target {triple} {links} = {}", text_of(value))));
        }
        if let Some(profile) = document.get("profile").and_then(|p| p.get(crate::build::PROFILE)) {
            self.settings.push(format!("profile {}", text_of(profile)));
        }
    }

    /// Everything but the patches, which are packages by path like others, as one digest; `None` for nothing.
    pub(crate) fn digest(&self) -> Option<blake3::Hash> {
        if self.vendored.is_empty() && self.settings.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for dir in &self.vendored {
            field(&mut hasher, &checksums(dir).to_hex());
        }
        for setting in &self.settings {
            field(&mut hasher, setting);
        }
        Some(hasher.finalize())
    }

    /// Names of packages that `paths` puts in others' places. Cargo takes the directory's package, or all those below it.
    pub(crate) fn overridden(&self) -> Vec<String> {
        let mut names = Vec::new();
        for dir in &self.overrides {
            let below = dir.read_dir_utf8().into_iter().flatten().flatten().map(|e| e.into_path());
            for dir in std::iter::once(dir.clone()).chain(below) {
                let text = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
                let document = text.parse::<DocumentMut>().unwrap_or_default();
                let name = document.get("package").and_then(|p| p.get("name")).and_then(Item::as_str);
                names.extend(name.map(str::to_owned));
            }
        }
        names
    }
}

/// Where cargo keeps what it fetches.
pub(crate) fn cargo_home() -> Option<Utf8PathBuf> {
    let home = std::env::var("CARGO_HOME").ok().filter(|h| !h.is_empty()).map(Utf8PathBuf::from);
    home.or_else(|| Some(Utf8PathBuf::from_path_buf(std::env::home_dir()?).ok()?.join(".cargo")))
}

/// The path without links and `..`: the same directory must be found again under the same name. As it is where there is
/// nothing.
pub(crate) fn real(path: &Utf8Path) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned())
}

/// Is this where cargo itself puts what it has fetched, under a name that stands for the content?
pub(crate) fn is_fetched(dir: &Utf8Path) -> bool {
    let Some(home) = cargo_home() else { return false };
    ["registry/src", "git/checkouts"].iter().any(|area| real(dir).starts_with(real(&home.join(area))))
}

/// The whole of an item. (What a table writes by itself lacks the tables in it.)
pub(crate) fn text_of(item: &Item) -> String {
    let mut doc = DocumentMut::new();
    doc["item"] = item.clone();
    doc.to_string()
}

fn entries(item: Option<&Item>) -> impl Iterator<Item = (&str, &Item)> {
    item.and_then(Item::as_table_like).into_iter().flat_map(TableLike::iter)
}

/// `include = "path"`, or a list of such and of `{ path = "path", … }`.
fn includes(item: &Item) -> Vec<String> {
    let one = item.as_str().map(str::to_owned);
    let text = |value: &toml_edit::Value| {
        value.as_str().or_else(|| value.as_inline_table()?.get("path")?.as_str()).map(str::to_owned)
    };
    let list = item.as_array().into_iter().flatten().filter_map(text);
    let tables = item.as_array_of_tables().into_iter().flatten();
    let tables = tables.filter_map(|t| t.get("path").and_then(Item::as_str).map(str::to_owned));
    one.into_iter().chain(list).chain(tables).collect()
}

/// A digest of the lists that a directory's vendored packages are checked against. One for a process: it is asked for every
/// macro of a build.
fn checksums(dir: &Utf8Path) -> blake3::Hash {
    static KNOWN: Mutex<BTreeMap<Utf8PathBuf, blake3::Hash>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(dir.to_owned()).or_insert_with(|| {
        let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
        let mut packages: Vec<_> = entries.map(|e| e.into_path()).collect();
        packages.sort();
        let mut hasher = blake3::Hasher::new();
        for package in packages {
            let list = std::fs::read(package.join(".cargo-checksum.json")).unwrap_or_default();
            field(&mut hasher, package.file_name().unwrap_or_default());
            field(&mut hasher, &blake3::hash(&list).to_hex());
        }
        hasher.finalize()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Utf8Path, path: &str, text: &str) {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_can_change_a_module_is_found_wherever_it_stands() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        write(
            root,
            "home/config.toml",
            "[source.vendored]\ndirectory = \"vendor\"\n[net]\noffline = true\n[build]\njobs = 1\n",
        );
        write(
            root,
            "ws/.cargo/config.toml",
            "include = [\"more.toml\", { path = \"other.toml\" }]\npaths = [\"mine\"]\n[target.x86_64-unknown-linux-gnu]\n\
             linker = \"cc\"\n[env]\nBELLJAR_WORKSPACE = { value = \"\", relative = true }\n",
        );
        write(root, "ws/.cargo/more.toml", "patch.crates-io.a.path = \"a\"\n");
        write(root, "ws/.cargo/other.toml", "[env]\nSEEN = \"by build scripts\"\n");
        // Wins over the file beside it.
        write(root, "ws/app/.cargo/config", "[target.wasm32-wasip1.ssl]\nrustc-cfg = [\"x\"]\n");
        write(root, "ws/app/.cargo/config.toml", "paths = [\"unseen\"]\n");
        write(root, "ws/mine/Cargo.toml", "[package]\nname = \"own\"\n");
        write(root, "args/more/file.toml", "patch.x = { b = { path = \"b\" }, c = { git = \"c\" } }\n");
        let arguments = ["../../args/more/file.toml", "patch.crates-io.d.path=\"d\""].map(str::to_owned);
        let home = root.join("home");
        let config = Config::read_with_home(&root.join("ws/app"), &arguments, Some(&home));
        let mut patches: Vec<_> =
            config.patches.iter().map(|p| p.as_str().replace(root.as_str(), "")).collect();
        patches.sort();
        assert_eq!(patches, ["/ws/a", "/ws/app/../../args/b", "/ws/app/d"]);
        assert_eq!(config.vendored, [root.join("vendor")]);
        assert_eq!(config.overridden(), ["own"]);
        let settings = config.settings.join("\n");
        assert!(settings.contains("SEEN") && settings.contains("ssl"), "{settings}");
        assert!(!settings.contains("linker") && !settings.contains("BELLJAR_WORKSPACE"), "{settings}");
        assert!(config.digest().is_some());
    }

    #[test]
    fn most_projects_have_nothing_of_it() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        write(root, ".cargo/config.toml", "[build]\nrustflags = [\"-g\"]\n[alias]\nx = \"check\"\n[broken\n");
        let config = Config::read_with_home(root, &["not = toml = at all".to_owned()], None);
        assert!(config.digest().is_none() && config.patches.is_empty() && config.overrides.is_empty());
    }

    #[test]
    fn vendored_packages_are_told_apart_by_their_lists() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        for (dir, list) in [("one", "{}"), ("two", "{}"), ("three", "{ }")] {
            write(root, &format!("{dir}/syn/.cargo-checksum.json"), list);
        }
        let of = |dir: &str| checksums(&root.join(dir));
        assert_eq!(of("one"), of("two"));
        assert_ne!(of("one"), of("three"));
    }
}
