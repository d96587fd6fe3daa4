//! Under which key a macro package's module is kept: a digest of everything that can have an influence on its bytes, and
//! that can be read quickly.

use std::collections::{BTreeMap, BTreeSet};

use belljar_store::GuestKey;
use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item, TableLike};

use crate::config::{self, Config, real, text_of};
use crate::guests::{GuestRequest, Origin};
use crate::inside::{field, version_line};
use crate::lock::{Lockfile, Several};
use crate::toolchain::Toolchain;
use crate::{GuestError, overlay, scratch};

/// Version of everything in this crate that decides how a guest is built and is not in the key otherwise.
const RECIPE: u32 = 6;

/// The key of a request. Runs nothing; reads the lockfile and, for packages that are here by path, their files.
pub fn key(toolchain: &Toolchain, request: &GuestRequest) -> Result<GuestKey, GuestError> {
    Ok(Keyed::new(toolchain, request)?.key)
}

/// A request with what was learnt on the way to its key.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) key: GuestKey,
    pub(crate) lock: Lockfile,
    /// The package in the lockfile, and what it reaches.
    pub(crate) root: usize,
    pub(crate) reached: BTreeSet<usize>,
    /// A digest of the files of each package by path that the guest is made of, by name, the guest itself included.
    pub(crate) local: BTreeMap<String, blake3::Hash>,
    /// What the user's configuration sets with `[env]`.
    pub(crate) variables: String,
    /// Local files that the module is made of.
    pub(crate) sources: Vec<Utf8PathBuf>,
}

impl Keyed {
    pub(crate) fn new(toolchain: &Toolchain, request: &GuestRequest) -> Result<Self, GuestError> {
        let lock = Lockfile::read(&request.lockfile)
            .map_err(|source| GuestError::Lock { guest: request.title(), source })?;
        let root = lock
            .find(&request.name, &request.version, request.origin, &request.manifest_path)
            .map_err(|Several| GuestError::Several {
                guest: request.title(),
                lockfile: request.lockfile.clone(),
            })?
            .ok_or_else(|| GuestError::NotLocked {
                guest: request.title(),
                lockfile: request.lockfile.clone(),
            })?;
        let reached = lock.reach(root);
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| field(&mut hasher, text);
        for text in [version_line(), RECIPE.to_string(), overlay::id(), belljar_wire::PROTOCOL.to_string()] {
            add(&text);
        }
        // The std that unwinds is made from the same source as the other.
        add(&toolchain.version);
        add(&toolchain.aborting.id);
        add(if request.debug_assertions { "debug assertions" } else { "" });
        let features: BTreeSet<&String> = request.features.iter().collect();
        add(&features.len().to_string());
        features.into_iter().for_each(|f| add(f));
        for &i in std::iter::once(&root).chain(&reached) {
            let package = &lock.packages[i];
            for text in [
                Some(&package.name),
                Some(&package.version),
                package.source.as_ref(),
                package.checksum.as_ref(),
            ] {
                add(text.map_or("", String::as_str));
            }
        }
        let config = Config::read(&request.cwd, &request.config);
        if let Some(name) = config.overridden().into_iter().find(|name| lock.reaches(&reached, name)) {
            let path = config.overrides.first().cloned().unwrap_or_default();
            return Err(GuestError::Replaced { guest: request.title(), package: name, path });
        }
        let variables = config.settings.join("\n");
        field(&mut hasher, &variables);
        if let Some(digest) = config.digest() {
            field(&mut hasher, &digest.to_hex());
        }
        let mut local = BTreeMap::new();
        let mut sources = Vec::new();
        for (name, dir) in local_packages(request, &lock, &reached, &config) {
            let mut files = blake3::Hasher::new();
            let unreadable = |source| GuestError::File { path: dir.clone(), source };
            for file in scratch::files(&dir).map_err(unreadable)? {
                let path = dir.join(&file);
                let content =
                    std::fs::read(&path).map_err(|source| GuestError::File { path: path.clone(), source })?;
                field(&mut files, file.as_str());
                field(&mut files, &blake3::hash(&content).to_hex());
                if file != "Cargo.lock" {
                    sources.push(path);
                }
            }
            for path in scratch::outside(&dir).map_err(unreadable)? {
                let content =
                    std::fs::read(&path).map_err(|source| GuestError::File { path: path.clone(), source })?;
                field(&mut files, path.file_name().unwrap_or_default());
                field(&mut files, &blake3::hash(&content).to_hex());
                sources.push(path);
            }
            let files = files.finalize();
            field(&mut hasher, &name);
            field(&mut hasher, &files.to_hex());
            local.insert(name, files);
        }
        if !local.is_empty() {
            field(&mut hasher, &inherited(&request.workspace_root));
        }
        Ok(Self { key: GuestKey::from(hasher.finalize()), lock, root, reached, local, variables, sources })
    }
}

/// What packages can take over from the manifest of their workspace.
fn inherited(workspace_root: &Utf8Path) -> String {
    let doc = document(workspace_root).unwrap_or_default();
    let workspace = doc.get("workspace");
    let parts = [
        workspace.and_then(|w| w.get("package")),
        workspace.and_then(|w| w.get("dependencies")),
        doc.get("patch"),
    ];
    parts.into_iter().flatten().map(text_of).collect()
}

fn document(dir: &Utf8Path) -> Option<DocumentMut> {
    std::fs::read_to_string(dir.join("Cargo.toml")).ok()?.parse().ok()
}

/// The packages by path that a guest is made of, by name. Development dependencies are not among them.
fn local_packages(
    request: &GuestRequest,
    lock: &Lockfile,
    reached: &BTreeSet<usize>,
    config: &Config,
) -> BTreeMap<String, Utf8PathBuf> {
    let by_path: BTreeSet<&str> = reached
        .iter()
        .map(|&i| &lock.packages[i])
        .filter(|p| p.source.is_none())
        .map(|p| p.name.as_str())
        .collect();
    let mut found = BTreeMap::new();
    let mut todo = Vec::new();
    if request.origin == Origin::Path
        && let Some(dir) = request.manifest_path.parent()
    {
        todo.push(dir.to_owned());
    }
    if !by_path.is_empty() {
        todo.extend(config.patches.iter().map(|dir| real(dir)));
        let root = document(&request.workspace_root).unwrap_or_default();
        for (_, entries) in root.get("patch").and_then(Item::as_table_like).into_iter().flat_map(|t| t.iter())
        {
            todo.extend(paths(entries.as_table_like(), &request.workspace_root, None));
        }
    }
    // Cargo checks a vendored package only when it compiles it as such, which for the macro package itself it doesn't.
    if request.origin != Origin::Path
        && let Some(dir) = request.manifest_path.parent().filter(|dir| !config::is_fetched(dir))
    {
        found.insert(request.name.clone(), dir.to_owned());
    }
    while let Some(dir) = todo.pop() {
        let Some(doc) = document(&dir) else { continue };
        let name = doc.get("package").and_then(|p| p.get("name")).and_then(Item::as_str).unwrap_or_default();
        let is_root = Some(dir.as_path()) == request.manifest_path.parent();
        if !(is_root || by_path.contains(name)) || found.contains_key(name) {
            continue;
        }
        found.insert(name.to_owned(), dir.clone());
        let tables = std::iter::once(doc.as_table() as &dyn TableLike).chain(
            doc.get("target")
                .and_then(Item::as_table_like)
                .into_iter()
                .flat_map(|t| t.iter())
                .filter_map(|(_, platform)| platform.as_table_like()),
        );
        for table in tables {
            for kind in ["dependencies", "build-dependencies", "build_dependencies"] {
                let dependencies = table.get(kind).and_then(Item::as_table_like);
                todo.extend(paths(dependencies, &dir, Some(&dir)));
            }
        }
    }
    found
}

/// The directories that these dependencies name; for inherited ones the workspace above `inherits` is asked.
fn paths(
    dependencies: Option<&dyn TableLike>,
    base: &Utf8Path,
    inherits: Option<&Utf8Path>,
) -> Vec<Utf8PathBuf> {
    let mut paths = Vec::new();
    for (name, dependency) in dependencies.into_iter().flat_map(|t| t.iter()) {
        if let Some(path) = dependency.get("path").and_then(Item::as_str) {
            paths.push(real(&base.join(path)));
        } else if dependency.get("workspace").and_then(Item::as_bool) == Some(true) {
            let workspace = inherits.into_iter().flat_map(Utf8Path::ancestors).find_map(|dir| {
                let doc = document(dir)?;
                doc.contains_key("workspace").then_some((dir, doc))
            });
            let path = workspace.as_ref().and_then(|(dir, doc)| {
                let path = doc.get("workspace")?.get("dependencies")?.get(name)?.get("path")?.as_str()?;
                Some(real(&dir.join(path)))
            });
            paths.extend(path);
        }
    }
    paths
}
