//! What cargo will compile for a guest: its unit graph, on which nothing of the rest of the project has an influence.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::guests::Origin;

#[derive(Deserialize)]
struct Raw {
    units: Vec<RawUnit>,
    roots: Vec<usize>,
}

#[derive(Deserialize)]
struct RawUnit {
    pkg_id: String,
    target: RawTarget,
    profile: RawProfile,
    platform: Option<String>,
    mode: String,
    features: Vec<String>,
    dependencies: Vec<RawDependency>,
}

#[derive(Deserialize)]
struct RawTarget {
    kind: Vec<String>,
    src_path: Utf8PathBuf,
}

#[derive(Deserialize)]
struct RawProfile {
    debug_assertions: bool,
}

#[derive(Deserialize)]
struct RawDependency {
    index: usize,
}

/// A package as the unit graph names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GraphPackage {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) origin: Origin,
    /// Where its `Cargo.toml` is.
    pub(crate) dir: Utf8PathBuf,
}

/// A macro package that is used while the guest is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedMacro {
    pub(crate) package: GraphPackage,
    pub(crate) features: Vec<String>,
    pub(crate) debug_assertions: bool,
}

/// What of a unit two guests must agree on to be built by one cargo: which unit it is, and with which features.
type Features = BTreeMap<(String, Vec<String>, bool), Vec<String>>;

/// The unit graph of one guest.
#[derive(Debug)]
pub(crate) struct Graph {
    /// What ends up in the module, without the guest itself.
    pub(crate) linked: BTreeSet<GraphPackage>,
    /// In an order in which they can be built.
    pub(crate) macros: Vec<UsedMacro>,
    /// The features of what is linked, by name and version.
    linked_features: BTreeMap<(String, String), Vec<String>>,
    features: Features,
}

impl Graph {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Raw = serde_json::from_slice(json)?;
        let mut graph = Self {
            linked: BTreeSet::new(),
            macros: Vec::new(),
            linked_features: BTreeMap::new(),
            features: BTreeMap::new(),
        };
        for (i, unit) in raw.units.iter().enumerate() {
            if raw.roots.contains(&i) || unit.mode == "run-custom-build" {
                continue;
            }
            let id = (unit.pkg_id.clone(), unit.target.kind.clone(), unit.platform.is_some());
            graph.features.insert(id, unit.features.clone());
            if unit.platform.is_some()
                && let Some(package) = package(unit)
            {
                let id = (package.name.clone(), package.version.clone());
                graph.linked_features.entry(id).or_default().extend(unit.features.iter().cloned());
                graph.linked.insert(package);
            }
        }
        for i in in_order(&raw.units) {
            let unit = &raw.units[i];
            if unit.target.kind.iter().any(|k| k == "proc-macro")
                && let Some(package) = package(unit)
            {
                let (features, debug_assertions) = (unit.features.clone(), unit.profile.debug_assertions);
                graph.macros.push(UsedMacro { package, features, debug_assertions });
            }
        }
        Ok(graph)
    }

    /// The versions of a linked package, with the features of each.
    pub(crate) fn linked_as<'g>(
        &'g self,
        name: &'g str,
    ) -> impl Iterator<Item = (&'g str, &'g [String])> + 'g {
        let of_name = self.linked_features.iter().filter(move |((n, _), _)| n == name);
        of_name.map(|((_, version), features)| (version.as_str(), features.as_slice()))
    }

    /// Would each of the two be built exactly the same if cargo built both at once?
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.features.iter().all(|(id, features)| other.features.get(id).is_none_or(|f| f == features))
    }
}

/// Dependencies before what depends on them.
fn in_order(units: &[RawUnit]) -> Vec<usize> {
    let mut order = Vec::with_capacity(units.len());
    let mut seen = vec![false; units.len()];
    for root in 0..units.len() {
        let mut stack = vec![(root, false)];
        while let Some((i, done)) = stack.pop() {
            if done {
                order.push(i);
            } else if let Some(seen) = seen.get_mut(i).filter(|s| !**s) {
                *seen = true;
                stack.push((i, true));
                stack.extend(units[i].dependencies.iter().map(|d| (d.index, false)));
            }
        }
    }
    order
}

/// Reads a package id: `registry+…#name@1.0.0`, or `path+file:///…/name#1.0.0` when the directory has its name.
fn package(unit: &RawUnit) -> Option<GraphPackage> {
    let (source, fragment) = unit.pkg_id.rsplit_once('#')?;
    let (name, version) = match fragment.split_once('@') {
        Some((name, version)) => (name.to_owned(), version),
        None => {
            let path = source.split('?').next().unwrap_or(source);
            (path.trim_end_matches('/').rsplit('/').next()?.trim_end_matches(".git").to_owned(), fragment)
        }
    };
    let origin = match source.split('+').next()? {
        "path" => Origin::Path,
        "git" => Origin::Git,
        _ => Origin::Registry,
    };
    let above = unit.target.src_path.ancestors().skip(1);
    let dir = above.filter(|dir| dir.join("Cargo.toml").is_file()).map(Utf8Path::to_owned).next()?;
    Some(GraphPackage { name, version: version.to_owned(), origin, dir })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(
        dir: &Utf8Path,
        id: &str,
        kind: &str,
        wasm: bool,
        features: &[&str],
        needs: &[usize],
    ) -> serde_json::Value {
        let dependencies: Vec<_> = needs.iter().map(|i| serde_json::json!({ "index": i })).collect();
        serde_json::json!({
            "pkg_id": id, "target": {"kind": [kind], "src_path": dir.join("src/lib.rs")},
            "profile": {"debug_assertions": true}, "platform": wasm.then_some("wasm32-wasip1"), "mode": "build",
            "features": features, "dependencies": dependencies,
        })
    }

    fn graph(units: Vec<serde_json::Value>) -> Graph {
        let json = serde_json::json!({"version": 1, "units": units, "roots": [0]});
        Graph::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn linked_packages_and_macros_are_told_apart() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temporary.path()).unwrap();
        std::fs::write(dir.join("Cargo.toml"), "").unwrap();
        let registry = "registry+https://example.invalid/index";
        let graph = graph(vec![
            unit(dir, "path+file:///scratch/root#1.0.0", "cdylib", true, &[], &[1, 2]),
            unit(dir, &format!("{registry}#syn@2.0.1"), "lib", true, &["full"], &[]),
            unit(dir, &format!("{registry}#outer@0.1.0"), "proc-macro", false, &["x"], &[3]),
            unit(dir, "git+https://example.invalid/inner.git?rev=abc#0.2.0", "proc-macro", false, &[], &[]),
        ]);
        let names = |p: &GraphPackage| (p.name.clone(), p.version.clone(), p.origin);
        let linked: Vec<_> = graph.linked.iter().map(names).collect();
        assert_eq!(linked, [("syn".to_owned(), "2.0.1".to_owned(), Origin::Registry)]);
        assert_eq!(graph.linked_as("syn").collect::<Vec<_>>(), [("2.0.1", &["full".to_owned()][..])]);
        let macros: Vec<_> = graph.macros.iter().map(|m| names(&m.package)).collect();
        assert_eq!(macros[0], ("inner".to_owned(), "0.2.0".to_owned(), Origin::Git));
        assert_eq!(macros[1], ("outer".to_owned(), "0.1.0".to_owned(), Origin::Registry));
    }

    #[test]
    fn guests_agree_when_no_shared_unit_has_other_features() {
        let dir = Utf8Path::new("/nowhere");
        let root = |id: &str| unit(dir, id, "cdylib", true, &[id], &[]);
        let syn = |features: &[&str]| unit(dir, "r#syn@2.0.1", "lib", true, features, &[]);
        let heck = || unit(dir, "r#heck@0.5.0", "lib", true, &[], &[]);
        let a = graph(vec![root("a"), syn(&["full"]), heck()]);
        let b = graph(vec![root("b"), syn(&["full"])]);
        let c = graph(vec![root("c"), syn(&["derive"])]);
        assert!(a.agrees_with(&b) && b.agrees_with(&a));
        assert!(!a.agrees_with(&c) && !c.agrees_with(&b));
    }
}
