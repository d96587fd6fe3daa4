//! The `Cargo.toml` of a scratch package.
//!
//! It is made from what cargo itself reads in the macro package's manifest (`cargo metadata --no-deps`), so workspace
//! inheritance, renamed, git, path and other registries' dependencies are resolved already. It differs from the original
//! in this:
//!
//! - a `cdylib` in place of a proc-macro crate; nothing but the library;
//! - no development dependencies, and of the optional ones those that the enabled features switch on: the others need not
//!   be in the user's lockfile;
//! - the crates that nearly every macro uses get a fixed set of features ([`SHARED`]), so that guests can share one build
//!   of them. The set never depends on the project: a guest is the same wherever it is built.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Dependency, DependencyKind, Package, Target, TargetKind};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::graph::Graph;
use crate::lock::Lockfile;

/// Crates with a fixed set of features, by name and the beginning of their version.
const SHARED: [(&str, &str, &[&str]); 5] = [
    ("proc-macro2", "1.", &["default"]),
    ("quote", "1.", &["default"]),
    ("syn", "1.", SYN),
    ("syn", "2.", SYN),
    ("syn", "3.", SYN),
];

/// What most macros use of syn. The rest of it takes a quarter longer to compile, so it is there only for guests that
/// ask for some of it: [`WholeSyn`].
const SYN: &[&str] = &["default", "full", "visit-mut"];
const SYN_REST: [&str; 3] = ["extra-traits", "fold", "visit"];

/// The versions of syn that a guest needs more of than [`SYN`]; it then gets all. Nothing but the guest itself decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum WholeSyn {
    /// Of none, as far as is known.
    #[default]
    No,
    /// Of those that its packages ask for.
    Asked(BTreeSet<String>),
    /// Of all: it is used without being asked for, which natively works where another crate of the build asks.
    All,
}

impl WholeSyn {
    /// What a guest with that graph asks for.
    pub(crate) fn of(graph: &Graph) -> Self {
        let more = |features: &[String]| features.iter().any(|f| SYN_REST.contains(&f.as_str()));
        let asked: BTreeSet<String> =
            graph.linked_as("syn").filter(|(_, f)| more(f)).map(|(version, _)| version.to_owned()).collect();
        if asked.is_empty() { Self::No } else { Self::Asked(asked) }
    }

    fn covers(&self, version: &str) -> bool {
        match self {
            Self::No => false,
            Self::Asked(versions) => versions.contains(version),
            Self::All => true,
        }
    }
}

/// Names under which the scratch package depends on the [`SHARED`] crates begin with this.
pub(crate) const SHARED_PREFIX: &str = "belljar_shared_";

/// What a macro package's manifest says, and what of it is enabled.
#[derive(Debug)]
pub(crate) struct Manifest {
    package: Package,
    library: Target,
    build_script: Option<Target>,
    features: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cargo can't read {path}: {source}")]
    Metadata { path: Utf8PathBuf, source: cargo_metadata::Error },
    #[error("cargo found no package at {path}")]
    NoPackage { path: Utf8PathBuf },
    #[error("the package at {path} has no proc-macro library")]
    NoMacro { path: Utf8PathBuf },
    #[error(
        "{file} lies outside its package, at {path}; belljar can only build packages that hold their own crate root"
    )]
    Outside { path: Utf8PathBuf, file: Utf8PathBuf },
}

impl Manifest {
    /// Reads the manifest at `path`, with `features` enabled.
    pub(crate) fn read(
        cargo: &Utf8Path,
        cwd: &Utf8Path,
        path: &Utf8Path,
        features: &[String],
    ) -> Result<Self, ManifestError> {
        let metadata = cargo_metadata::MetadataCommand::new()
            .cargo_path(cargo)
            .current_dir(cwd)
            .manifest_path(path)
            .no_deps()
            .other_options(["--offline".to_owned()])
            .exec()
            .map_err(|source| ManifestError::Metadata { path: path.to_owned(), source })?;
        let same = |p: &Package| {
            p.manifest_path == path
                || p.manifest_path.canonicalize_utf8().ok() == path.canonicalize_utf8().ok()
        };
        let package = metadata.packages.into_iter().find(same);
        Self::new(package.ok_or_else(|| ManifestError::NoPackage { path: path.to_owned() })?, features)
    }

    fn new(package: Package, features: &[String]) -> Result<Self, ManifestError> {
        let path = || package.manifest_path.clone();
        let target = |kind: TargetKind| package.targets.iter().find(|t| t.kind.contains(&kind)).cloned();
        let library = target(TargetKind::ProcMacro).ok_or_else(|| ManifestError::NoMacro { path: path() })?;
        let build_script = target(TargetKind::CustomBuild);
        let manifest = Self { library, build_script, features: closure(&package, features), package };
        for target in [Some(&manifest.library), manifest.build_script.as_ref()].into_iter().flatten() {
            if manifest.relative(target).is_none() {
                let file = target.src_path.clone();
                return Err(ManifestError::Outside { path: manifest.package.manifest_path, file });
            }
        }
        Ok(manifest)
    }

    /// The package's directory.
    pub(crate) fn dir(&self) -> &Utf8Path {
        self.package.manifest_path.parent().unwrap_or(Utf8Path::new("/"))
    }

    /// Edition of the macro crate: `2015` … `2024`.
    pub(crate) fn edition(&self) -> &str {
        self.library.edition.as_str()
    }

    /// The crate's name as rustc knows it.
    pub(crate) fn crate_name(&self) -> String {
        self.library.name.replace('-', "_")
    }

    /// For cargo's `--features`.
    pub(crate) fn features(&self) -> &[String] {
        &self.features
    }

    /// The crate root, relative to the package's directory.
    pub(crate) fn root(&self) -> &Utf8Path {
        self.relative(&self.library).unwrap_or(&self.library.src_path)
    }

    fn relative<'t>(&self, target: &'t Target) -> Option<&'t Utf8Path> {
        target.src_path.strip_prefix(self.dir()).ok()
    }

    /// The scratch package's manifest. `lock` and `reached` say what of [`SHARED`] is there to be shared, `root` which of
    /// the lockfile's packages this one is.
    pub(crate) fn scratch(
        &self,
        lock: &Lockfile,
        root: usize,
        reached: &BTreeSet<usize>,
        whole_syn: &WholeSyn,
    ) -> String {
        let source = lock.packages.get(root).and_then(|p| p.source.as_deref());
        let repository = source.filter(|s| s.starts_with("git+"));
        let mut doc = DocumentMut::new();
        doc["package"] = Item::Table(self.package_table());
        doc["lib"] = Item::Table(self.lib_table());
        let active = self.active();
        let enabled: BTreeSet<&str> = self.features.iter().map(String::as_str).collect();
        let mut features = Table::new();
        for &feature in &enabled {
            let mut list = Array::new();
            if active.contains_key(feature) && self.is_optional(feature) {
                list.push(format!("dep:{feature}"));
            }
            features[feature] = value(list);
        }
        doc["features"] = Item::Table(features);
        let mut shared = self.shared(lock, reached, whole_syn);
        let mut there = BTreeSet::new();
        for dependency in &self.package.dependencies {
            let section = match dependency.kind {
                DependencyKind::Normal => "dependencies",
                DependencyKind::Build if self.build_script.is_some() => "build-dependencies",
                _ => continue,
            };
            let name = key(dependency);
            if dependency.optional && !active.contains_key(name) {
                continue;
            }
            // Under a feature of its own name it must stay optional, so that the feature can be there.
            let optional = dependency.optional && enabled.contains(name);
            let mut more: Vec<&str> = active.get(name).into_iter().flatten().map(String::as_str).collect();
            for (n, shared) in shared.iter_mut().enumerate().filter(|(_, s)| s.is_meant_by(dependency)) {
                // Cargo wants one name for a package, however often it is depended on.
                shared.key = Some(name.to_owned());
                if dependency.kind == DependencyKind::Normal {
                    more.extend(shared.features.iter().copied());
                    there.insert(n);
                }
            }
            let entry = entry(dependency, more.into_iter(), optional, repository);
            let mut at = doc.as_table_mut();
            if let Some(platform) = &dependency.target {
                at = table(table(at, "target"), &platform.to_string());
            }
            table(at, section)[name] = value(entry);
        }
        for (n, shared) in shared.into_iter().enumerate().filter(|(n, _)| !there.contains(n)) {
            let mut entry = InlineTable::new();
            entry.insert("package", shared.name.into());
            entry.insert("version", format!("={}", shared.version).into());
            entry.insert("features", shared.features.iter().copied().collect::<Array>().into());
            let key = shared.key.unwrap_or_else(|| format!("{SHARED_PREFIX}{n}"));
            table(doc.as_table_mut(), "dependencies")[&key] = value(entry);
        }
        doc.to_string()
    }

    fn package_table(&self) -> Table {
        let p = &self.package;
        let mut t = Table::new();
        t["name"] = value(p.name.as_str());
        t["version"] = value(p.version.to_string());
        t["edition"] = value(p.edition.as_str());
        t["authors"] = value(p.authors.iter().map(String::as_str).collect::<Array>());
        let texts = [
            ("description", p.description.as_deref()),
            ("license", p.license.as_deref()),
            ("license-file", p.license_file.as_deref().map(Utf8Path::as_str)),
            ("readme", p.readme.as_deref().map(Utf8Path::as_str)),
            ("repository", p.repository.as_deref()),
            ("homepage", p.homepage.as_deref()),
            ("links", p.links.as_deref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                t[name] = value(text);
            }
        }
        if let Some(version) = &p.rust_version {
            t["rust-version"] = value(format!("{}.{}.{}", version.major, version.minor, version.patch));
        }
        match self.build_script.as_ref().and_then(|b| self.relative(b)) {
            Some(path) => t["build"] = value(path.as_str()),
            None => t["build"] = value(false),
        }
        for auto in ["autobins", "autoexamples", "autotests", "autobenches"] {
            t[auto] = value(false);
        }
        if let Some(metadata) = toml_of(&p.metadata) {
            t["metadata"] = value(metadata);
        }
        t
    }

    fn lib_table(&self) -> Table {
        let mut t = Table::new();
        t["name"] = value(self.crate_name());
        if let Some(path) = self.relative(&self.library) {
            t["path"] = value(path.as_str());
        }
        t["edition"] = value(self.edition());
        t["crate-type"] = value(Array::from_iter(["cdylib"]));
        for flag in ["test", "doctest", "bench", "doc"] {
            t[flag] = value(false);
        }
        t
    }

    fn is_optional(&self, name: &str) -> bool {
        self.package.dependencies.iter().any(|d| d.optional && key(d) == name)
    }

    /// The dependencies that are switched on by the enabled features, and the features these ask of them.
    fn active(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut active: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut weak = Vec::new();
        for dependency in &self.package.dependencies {
            if !dependency.optional {
                active.entry(key(dependency).to_owned()).or_default();
            }
        }
        let asked = self.features.iter().filter_map(|f| self.package.features.get(f)).flatten();
        for asked in asked {
            if let Some(name) = asked.strip_prefix("dep:") {
                active.entry(name.to_owned()).or_default();
            } else if let Some((name, feature)) = asked.split_once("?/") {
                weak.push((name, feature));
            } else if let Some((name, feature)) = asked.split_once('/') {
                active.entry(name.to_owned()).or_default().insert(feature.to_owned());
            }
        }
        for (name, feature) in weak {
            if let Some(features) = active.get_mut(name) {
                features.insert(feature.to_owned());
            }
        }
        active
    }

    fn shared<'l>(
        &self,
        lock: &'l Lockfile,
        reached: &BTreeSet<usize>,
        whole_syn: &WholeSyn,
    ) -> Vec<Shared<'l>> {
        let mut shared = Vec::new();
        for &i in reached {
            let package = &lock.packages[i];
            // A git or path version is found by its patch only.
            let by_version = package.source.as_deref().is_some_and(|s| s.starts_with("registry+"));
            let rule = SHARED
                .iter()
                .find(|(name, version, _)| package.name == *name && package.version.starts_with(version));
            // Without `quote` in the lockfile, nothing in the project uses syn's printing; switching it on would bring
            // in a package that the user doesn't have.
            let complete = package.name != "syn" || lock.lists(i, "quote");
            if let Some((_, _, features)) = rule
                && by_version
                && complete
            {
                let mut features = features.to_vec();
                if package.name == "syn" && whole_syn.covers(&package.version) {
                    features.extend(SYN_REST);
                }
                shared.push(Shared { name: &package.name, version: &package.version, features, key: None });
            }
        }
        shared
    }
}

/// A crate of [`SHARED`] in the version that the lockfile has.
struct Shared<'l> {
    name: &'l str,
    version: &'l str,
    features: Vec<&'static str>,
    /// By which the macro package already depends on it.
    key: Option<String>,
}

impl Shared<'_> {
    fn is_meant_by(&self, dependency: &Dependency) -> bool {
        let version = semver::Version::parse(self.version);
        dependency.name == self.name
            && dependency.path.is_none()
            && version.is_ok_and(|version| dependency.req.matches(&version))
    }
}

/// The name by which a dependency is known in its manifest.
fn key(dependency: &Dependency) -> &str {
    dependency.rename.as_deref().unwrap_or(&dependency.name)
}

/// The enabled features, with those that they enable.
fn closure(package: &Package, features: &[String]) -> Vec<String> {
    let mut closed = BTreeSet::new();
    let mut todo: Vec<&str> = features.iter().map(String::as_str).collect();
    while let Some(feature) = todo.pop() {
        let Some(asked) = package.features.get(feature) else { continue };
        if closed.insert(feature.to_owned()) {
            // `dep/feature` also enables the feature `dep`, where there is one.
            todo.extend(asked.iter().filter(|a| !a.contains("?/")).map(|a| a.split('/').next().unwrap_or(a)));
        }
    }
    closed.into_iter().collect()
}

/// `repository` is the source of the package that has this dependency, when that is a git repository.
fn entry<'a>(
    dependency: &'a Dependency,
    more: impl Iterator<Item = &'a str>,
    optional: bool,
    repository: Option<&str>,
) -> InlineTable {
    let mut entry = InlineTable::new();
    if dependency.rename.is_some() {
        entry.insert("package", dependency.name.as_str().into());
    }
    let source = dependency.source.as_ref().map(|s| s.repr.as_str());
    // By path, a package of a repository means another one of that repository.
    let source = if dependency.path.is_some() { repository } else { source };
    if let Some(path) = dependency.path.as_ref().filter(|_| repository.is_none()) {
        entry.insert("path", path.as_str().into());
    } else {
        let source = source.and_then(|s| s.split('#').next()).unwrap_or_default();
        if let Some(git) = source.strip_prefix("git+") {
            let (url, query) = git.split_once('?').unwrap_or((git, ""));
            entry.insert("git", url.into());
            for (name, of) in query.split('&').filter_map(|pair| pair.split_once('=')) {
                if matches!(name, "branch" | "tag" | "rev") {
                    entry.insert(name, percent_decoded(of).into());
                }
            }
        } else if let Some(registry) = &dependency.registry {
            entry.insert("registry-index", registry.as_str().into());
        }
    }
    let any = dependency.req.comparators.is_empty();
    if !any || (dependency.path.is_none() && !entry.contains_key("git")) {
        entry.insert("version", dependency.req.to_string().into());
    }
    let features: BTreeSet<&str> = dependency.features.iter().map(String::as_str).chain(more).collect();
    if !features.is_empty() {
        entry.insert("features", features.into_iter().collect::<Array>().into());
    }
    if !dependency.uses_default_features {
        entry.insert("default-features", false.into());
    }
    if optional {
        entry.insert("optional", true.into());
    }
    entry
}

/// Cargo writes the reference of a git source as the query of a URL.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        (out, rest) = match byte {
            Some(byte) => (pushed(out, byte), &after[2..]),
            None => (pushed(out, *first), after),
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn pushed(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

/// The table of that name, made when it isn't there.
fn table<'t>(parent: &'t mut Table, name: &str) -> &'t mut Table {
    let item = parent.entry(name).or_insert_with(|| Item::Table(Table::new()));
    if !item.is_table() {
        *item = Item::Table(Table::new());
    }
    match item {
        Item::Table(table) => table,
        // Made one line above.
        _ => unreachable!("a table was put there"),
    }
}

/// A JSON value as TOML; what TOML doesn't have is left out.
fn toml_of(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(b) => (*b).into(),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(n) => n.into(),
            None => n.as_f64()?.into(),
        },
        serde_json::Value::String(s) => s.as_str().into(),
        serde_json::Value::Array(a) => a.iter().filter_map(toml_of).collect::<Array>().into(),
        serde_json::Value::Object(o) => {
            o.iter().filter_map(|(k, v)| Some((k.as_str(), toml_of(v)?))).collect::<InlineTable>().into()
        }
    })
}

/// The part of the user's `[patch]` that concerns the packages in `names`, with paths made absolute.
pub(crate) fn patches(workspace_root: &Utf8Path, names: &BTreeSet<&str>) -> Option<Item> {
    let text = std::fs::read_to_string(workspace_root.join("Cargo.toml")).ok()?;
    let doc: DocumentMut = text.parse().ok()?;
    let mut patches = Table::new();
    patches.set_implicit(true);
    for (source, entries) in doc.get("patch")?.as_table_like()?.iter() {
        let mut kept = Table::new();
        for (name, entry) in entries.as_table_like().into_iter().flat_map(|t| t.iter()) {
            let package = entry.get("package").and_then(Item::as_str).unwrap_or(name);
            if names.contains(package) {
                let mut entry = entry.clone();
                if let Some(path) = entry.get("path").and_then(Item::as_str) {
                    let path = workspace_root.join(path);
                    entry["path"] = value(path.as_str());
                }
                kept[name] = entry;
            }
        }
        if !kept.is_empty() {
            patches[source] = Item::Table(kept);
        }
    }
    (!patches.is_empty()).then_some(Item::Table(patches))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(json: serde_json::Value, features: &[&str]) -> Manifest {
        let features: Vec<_> = features.iter().map(|f| (*f).to_owned()).collect();
        Manifest::new(serde_json::from_value(json).unwrap(), &features).unwrap()
    }

    fn package(features: serde_json::Value, dependencies: serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "name": "my-macros", "version": "1.2.3", "id": "path+file:///p#my-macros@1.2.3",
            "license": null, "license_file": null, "description": "says \"hello\"", "source": null,
            "dependencies": dependencies, "features": features,
            "targets": [{
                "kind": ["proc-macro"], "crate_types": ["proc-macro"], "name": "my_macros",
                "src_path": "/p/source/lib.rs", "edition": "2021", "doc": true, "doctest": true, "test": true,
            }],
            "manifest_path": "/p/Cargo.toml", "metadata": {"a": {"b": [1, true, null]}}, "publish": null,
            "authors": ["A <a@example.invalid>"], "categories": [], "keywords": [], "readme": null, "repository": null,
            "homepage": null, "documentation": null, "edition": "2018", "links": null, "default_run": null,
            "rust_version": "1.60",
        })
    }

    fn dependency(name: &str, change: serde_json::Value) -> serde_json::Value {
        let mut dependency = serde_json::json!({
            "name": name, "source": "registry+https://example.invalid/index", "req": "^1", "kind": null, "rename": null,
            "optional": false, "uses_default_features": true, "features": [], "target": null, "registry": null,
        });
        for (key, value) in change.as_object().unwrap() {
            dependency[key] = value.clone();
        }
        dependency
    }

    fn scratch(manifest: &Manifest) -> DocumentMut {
        manifest.scratch(&Lockfile::default(), 0, &BTreeSet::new(), &WholeSyn::No).parse().unwrap()
    }

    #[test]
    fn what_the_crate_can_see_of_its_manifest_stays() {
        let doc = scratch(&manifest(package(serde_json::json!({}), serde_json::json!([])), &[]));
        let p = &doc["package"];
        assert_eq!(p["name"].as_str(), Some("my-macros"));
        assert_eq!(p["description"].as_str(), Some("says \"hello\""));
        assert_eq!(p["rust-version"].as_str(), Some("1.60.0"));
        assert_eq!(p["edition"].as_str(), Some("2018"));
        assert_eq!(p["metadata"]["a"]["b"][1].as_bool(), Some(true));
        assert_eq!(doc["lib"]["edition"].as_str(), Some("2021"));
        assert_eq!(doc["lib"]["path"].as_str(), Some("source/lib.rs"));
        assert_eq!(doc["lib"]["name"].as_str(), Some("my_macros"));
    }

    #[test]
    fn optional_dependencies_are_there_only_when_enabled() {
        let features = serde_json::json!({
            "default": ["a"], "a": ["dep:one", "two/x", "three?/y"], "two": ["dep:two"], "b": ["dep:three", "four?/z"],
            "four": ["dep:four"],
        });
        let optional = serde_json::json!({"optional": true});
        let dependencies: Vec<_> =
            ["one", "two", "three", "four"].iter().map(|n| dependency(n, optional.clone())).collect();
        let package = package(features, dependencies.into());
        let with = |features: &[&str]| {
            let doc = scratch(&manifest(package.clone(), features));
            let names = |item: &Item| -> Vec<String> {
                item.as_table().into_iter().flat_map(|t| t.iter()).map(|(k, _)| k.to_owned()).collect()
            };
            (names(&doc["features"]), doc.get("dependencies").map(names).unwrap_or_default(), doc)
        };
        let (features, dependencies, doc) = with(&["default"]);
        assert_eq!(features, ["a", "default", "two"]);
        assert_eq!(dependencies, ["one", "two"]);
        assert_eq!(doc["features"]["two"][0].as_str(), Some("dep:two"));
        assert_eq!(doc["dependencies"]["two"]["features"][0].as_str(), Some("x"));
        assert!(doc["dependencies"]["one"].get("optional").is_none());
        let (_, dependencies, doc) = with(&["a", "b"]);
        assert_eq!(dependencies, ["one", "two", "three"]);
        assert_eq!(doc["dependencies"]["three"]["features"][0].as_str(), Some("y"));
        assert_eq!(with(&[]).1, Vec::<String>::new());
    }

    #[test]
    fn dependencies_of_every_kind() {
        let dependencies = serde_json::json!([
            dependency("real", serde_json::json!({"rename": "alias", "uses_default_features": false})),
            dependency(
                "local",
                serde_json::json!({"source": null, "path": "/elsewhere/local dir", "req": "*"})
            ),
            dependency(
                "git",
                serde_json::json!({"source": "git+https://example.invalid/g?branch=a%2Fb", "req": "*"})
            ),
            dependency("company", serde_json::json!({"registry": "sparse+https://example.invalid/"})),
            dependency("wasi", serde_json::json!({"target": "cfg(target_os = \"wasi\")"})),
            dependency("tests", serde_json::json!({"kind": "dev"})),
            dependency("builds", serde_json::json!({"kind": "build"})),
        ]);
        let doc = scratch(&manifest(package(serde_json::json!({}), dependencies), &[]));
        let d = &doc["dependencies"];
        assert_eq!(d["alias"]["package"].as_str(), Some("real"));
        assert_eq!(d["alias"]["default-features"].as_bool(), Some(false));
        assert_eq!(d["local"]["path"].as_str(), Some("/elsewhere/local dir"));
        assert_eq!(d["git"]["branch"].as_str(), Some("a/b"));
        assert_eq!(d["company"]["registry-index"].as_str(), Some("sparse+https://example.invalid/"));
        assert_eq!(
            doc["target"]["cfg(target_os = \"wasi\")"]["dependencies"]["wasi"]["version"].as_str(),
            Some("^1")
        );
        assert!(d.get("tests").is_none() && doc.get("dev-dependencies").is_none());
        // It has no build script.
        assert!(doc.get("build-dependencies").is_none());
    }

    #[test]
    fn a_guest_gets_all_of_the_syn_that_it_asks_more_of() {
        let graph = |features: &[&str]| {
            let temporary = tempfile::tempdir().unwrap();
            let dir = Utf8Path::from_path(temporary.path()).unwrap();
            std::fs::write(dir.join("Cargo.toml"), "").unwrap();
            let json = serde_json::json!({"version": 1, "roots": [], "units": [{
                "pkg_id": "registry+https://example.invalid/index#syn@2.0.1", "mode": "build",
                "target": {"kind": ["lib"], "src_path": dir.join("src/lib.rs")},
                "profile": {"debug_assertions": true}, "platform": "wasm32-wasip1",
                "features": features, "dependencies": [],
            }]});
            WholeSyn::of(&Graph::parse(json.to_string().as_bytes()).unwrap())
        };
        assert_eq!(graph(&["default", "full", "printing", "visit-mut"]), WholeSyn::No);
        let asked = WholeSyn::Asked(BTreeSet::from(["2.0.1".to_owned()]));
        assert_eq!(graph(&["default", "visit"]), asked);

        let lock = "version = 4\n[[package]]\nname = \"quote\"\nversion = \"1.0.0\"\n\
             source = \"registry+https://example.invalid/index\"\n\
             [[package]]\nname = \"syn\"\nversion = \"2.0.1\"\ndependencies = [\"quote\"]\n\
             source = \"registry+https://example.invalid/index\"\n";
        let lock = Lockfile::parse(lock).unwrap();
        let reached = BTreeSet::from([0, 1]);
        let dependencies = serde_json::json!([dependency("syn", serde_json::json!({"req": "^2"}))]);
        let manifest = manifest(package(serde_json::json!({}), dependencies), &[]);
        let features = |whole: &WholeSyn| -> Vec<String> {
            let doc: DocumentMut = manifest.scratch(&lock, 0, &reached, whole).parse().unwrap();
            let list = doc["dependencies"]["syn"]["features"].as_array().unwrap();
            list.iter().filter_map(|f| f.as_str().map(str::to_owned)).collect()
        };
        assert_eq!(features(&WholeSyn::No), ["default", "full", "visit-mut"]);
        for whole in [asked, WholeSyn::All] {
            assert_eq!(features(&whole), ["default", "extra-traits", "fold", "full", "visit", "visit-mut"]);
        }
        let other = WholeSyn::Asked(BTreeSet::from(["1.0.0".to_owned()]));
        assert_eq!(features(&other), ["default", "full", "visit-mut"]);
    }
}
