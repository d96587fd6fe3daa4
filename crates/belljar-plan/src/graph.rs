//! The unit graph, and what it says about macros.
//!
//! cargo's unit graph (`cargo::core::compiler::unit_graph`) is a list of units, each with the indices of the units it
//! depends on, and the indices of the roots, which are what the user asked for. A unit is *needed* when a root reaches it
//! without passing through a macro; what only macros reach is never linked, run or read by anything that is built
//! natively, and is skipped.

use std::collections::{BTreeSet, HashMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::args::{CrateKind, RustcArgs};
use crate::cargo::{CargoCall, PlanError};

/// Feature names, sorted.
pub type Features = Vec<String>;

/// The identity of a unit that both the unit graph and a rustc command line tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// The crate root, absolute.
    pub source: Utf8PathBuf,
    pub features: Features,
    /// Is code made, or only metadata?
    pub link: bool,
    /// `--target`, if it is given.
    pub target: Option<String>,
    pub opt_level: String,
    pub debuginfo: String,
}

impl Unit {
    /// The unit that a rustc command line compiles, when rustc runs in `cwd`.
    #[must_use]
    pub fn of_args(args: &RustcArgs, cwd: &Utf8Path) -> Self {
        Self {
            source: args.source_in(cwd),
            features: args.features.clone(),
            link: args.emit.iter().any(|e| e == "link"),
            target: args.target.clone(),
            opt_level: args.opt_level.clone(),
            debuginfo: args.debuginfo.clone(),
        }
    }
}

/// Where a package comes from, as cargo's package id says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageSource {
    Registry,
    Git,
    Path,
}

/// A macro package with the features it is built with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MacroUnit {
    pub name: String,
    pub version: String,
    pub origin: PackageSource,
    /// The crate root, absolute.
    pub source: Utf8PathBuf,
    pub features: Features,
    pub debug_assertions: bool,
}

impl MacroUnit {
    /// The manifest that the crate root belongs to: the nearest `Cargo.toml` above it.
    #[must_use]
    pub fn manifest_path(&self) -> Option<Utf8PathBuf> {
        manifest_above(&self.source)
    }
}

/// What a build will need of belljar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Every macro package of the build, those that other macros use before their users.
    pub macros: Vec<MacroUnit>,
    /// Library units that only macros need, sorted.
    pub skipped: Vec<Unit>,
    /// Build scripts that only macros need, sorted.
    pub skipped_build_scripts: Vec<Unit>,
    /// Names of the macro packages that are to be built for their own sake.
    pub root_macros: Vec<String>,
    /// The packages of all crate roots that are compiled, sorted by crate root.
    pub packages: Vec<Package>,
    /// For each macro the crate roots of what can't be compiled before it is made, those aside that are to be built for their own
    /// sake. No part of what is written down.
    #[serde(skip)]
    pub awaited_by: Vec<Vec<Utf8PathBuf>>,
}

/// Whose a crate root is, as the unit graph says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// The crate root, absolute.
    pub source: Utf8PathBuf,
    pub name: String,
    pub version: String,
    /// The directory of its manifest, if the package id says it.
    pub dir: Option<Utf8PathBuf>,
}

impl Package {
    /// The directory of its manifest.
    #[must_use]
    pub fn manifest_dir(&self) -> Option<Utf8PathBuf> {
        let above = || manifest_above(&self.source)?.parent().map(Utf8Path::to_owned);
        self.dir.clone().or_else(above)
    }
}

/// Bytes of Rust in a crate root's directory and those below, as far as it can be read.
fn rust_beside(root: &Utf8Path) -> u64 {
    let mut bytes = 0;
    let mut next: Vec<_> = root.parent().map(Utf8Path::to_owned).into_iter().collect();
    let mut looked = 0;
    while let Some(dir) = next.pop() {
        for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
            looked += 1;
            if looked > MOST_FILES {
                return bytes;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => next.push(entry.into_path()),
                Ok(kind) if kind.is_file() && entry.path().extension() == Some("rs") => {
                    bytes += entry.metadata().map_or(0, |metadata| metadata.len());
                }
                _ => {}
            }
        }
    }
    bytes
}

/// Files of one crate that are looked at to say how large it is.
const MOST_FILES: usize = 2_000;

/// The nearest `Cargo.toml` above a crate root.
fn manifest_above(source: &Utf8Path) -> Option<Utf8PathBuf> {
    source.ancestors().skip(1).map(|dir| dir.join("Cargo.toml")).find(|path| path.is_file())
}

#[derive(Deserialize)]
struct Graph {
    version: u32,
    units: Vec<GraphUnit>,
    roots: Vec<usize>,
}

#[derive(Deserialize)]
struct GraphUnit {
    pkg_id: String,
    target: Target,
    profile: Profile,
    platform: Option<String>,
    mode: String,
    features: Features,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: Utf8PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    opt_level: String,
    debuginfo: serde_json::Value,
    debug_assertions: bool,
}

#[derive(Deserialize)]
struct Dependency {
    index: usize,
}

impl Plan {
    /// Asks cargo what `call` will build. `Ok` with an empty plan when no macro is among it.
    pub fn of(call: &CargoCall) -> Result<Self, PlanError> {
        Self::from_json(&call.unit_graph()?)
    }

    /// Reads cargo's unit graph, version 1.
    pub fn from_json(json: &[u8]) -> Result<Self, PlanError> {
        let graph: Graph =
            serde_json::from_slice(json).map_err(|source| PlanError::Json { what: "unit graph", source })?;
        if graph.version != 1 {
            return Err(PlanError::Graph { why: format!("version {} instead of 1", graph.version) });
        }
        let outside = |i: &usize| *i >= graph.units.len();
        if graph.roots.iter().any(outside)
            || graph.units.iter().any(|u| u.dependencies.iter().any(|d| outside(&d.index)))
        {
            return Err(PlanError::Graph { why: "an index outside the list of units".to_owned() });
        }
        Ok(graph.plan())
    }

    /// Moves every crate root below `from` to the same place below `to`.
    pub fn relocate(&mut self, from: &Utf8Path, to: &Utf8Path) {
        let sources = self.macros.iter_mut().map(|m| &mut m.source);
        for dir in self.packages.iter_mut().filter_map(|package| package.dir.as_mut()) {
            if let Ok(below) = dir.strip_prefix(from) {
                *dir = to.join(below);
            }
        }
        let sources = sources.chain(self.packages.iter_mut().map(|package| &mut package.source));
        let units = self.skipped.iter_mut().chain(&mut self.skipped_build_scripts).map(|u| &mut u.source);
        for source in sources.chain(units) {
            if let Ok(below) = source.strip_prefix(from) {
                *source = to.join(below);
            }
        }
        self.skipped.sort_unstable();
        self.skipped_build_scripts.sort_unstable();
        self.packages.sort_unstable();
    }

    /// The package whose crate this command line compiles. Where several share a crate root, it is the one that is called
    /// `named`, a name and a version.
    #[must_use]
    pub fn package(&self, args: &RustcArgs, cwd: &Utf8Path, named: (&str, &str)) -> Option<&Package> {
        let source = args.source_in(cwd);
        let first = self.packages.partition_point(|package| package.source < source);
        let of_source = || self.packages.iter().skip(first).take_while(|package| package.source == source);
        of_source().find(|p| (p.name.as_str(), p.version.as_str()) == named).or_else(|| of_source().next())
    }

    /// For each macro, how many bytes of Rust can't be compiled before it is made. Looks at the sources of all packages.
    #[must_use]
    pub fn awaited(&self) -> Vec<u64> {
        let mut sizes: HashMap<&Utf8Path, u64> = HashMap::new();
        let mut size = |root| *sizes.entry(root).or_insert_with(|| rust_beside(root));
        self.awaited_by.iter().map(|roots| roots.iter().map(|root| size(root)).sum()).collect()
    }

    /// Is this command line's unit one that only macros need?
    #[must_use]
    pub fn skips(&self, args: &RustcArgs, cwd: &Utf8Path) -> bool {
        let list = match args.kind {
            CrateKind::Library => &self.skipped,
            CrateKind::BuildScript => &self.skipped_build_scripts,
            CrateKind::ProcMacro | CrateKind::Other => return false,
        };
        list.binary_search(&Unit::of_args(args, cwd)).is_ok()
    }

    /// Is this a unit that only macros need?
    #[must_use]
    pub fn skips_unit(&self, unit: &Unit) -> bool {
        [&self.skipped, &self.skipped_build_scripts].iter().any(|list| list.binary_search(unit).is_ok())
    }

    /// Index in [`Plan::macros`] of the macro that this command line compiles.
    #[must_use]
    pub fn find_macro(&self, args: &RustcArgs, cwd: &Utf8Path) -> Option<usize> {
        let source = args.source_in(cwd);
        self.macros.iter().position(|m| {
            m.source == source && m.features == args.features && m.debug_assertions == args.debug_assertions
        })
    }
}

impl Graph {
    fn plan(&self) -> Plan {
        // Needed: reached from a root without passing through a macro. Two units that a command line can't tell apart are
        // both built, so what they depend on is needed, too.
        let keys: Vec<Unit> = self.units.iter().map(GraphUnit::key).collect();
        let mut needed = vec![false; self.units.len()];
        let mut keys_of_needed = HashSet::new();
        let mut todo = self.roots.clone();
        while !todo.is_empty() {
            while let Some(i) = todo.pop() {
                if !std::mem::replace(&mut needed[i], true) && !self.units[i].is_macro() {
                    todo.extend(self.units[i].dependencies.iter().map(|d| d.index));
                }
            }
            keys_of_needed
                .extend(keys.iter().zip(&needed).filter(|(_, needed)| **needed).map(|(key, _)| key));
            let twin = |&i: &usize| {
                !needed[i]
                    && !self.units[i].is_macro()
                    && self.units[i].mode != "run-custom-build"
                    && keys_of_needed.contains(&keys[i])
            };
            todo.extend((0..self.units.len()).filter(twin));
        }
        let only_macros = |kinds: &[&str]| {
            let mut units: Vec<Unit> = (0..self.units.len())
                .filter(|&i| !needed[i] && self.units[i].mode != "run-custom-build")
                .map(|i| &self.units[i])
                .filter(|u| matches!(&u.target.kind[..], [kind] if kinds.contains(&kind.as_str())))
                .map(GraphUnit::key)
                .collect();
            units.sort_unstable();
            units.dedup();
            units
        };
        let order = self.dependencies_first();
        let mut macros: Vec<MacroUnit> = Vec::new();
        let mut units_of: HashMap<MacroUnit, Vec<usize>> = HashMap::new();
        for &i in &order {
            let Some(unit) = self.units[i].macro_unit().filter(|_| self.units[i].is_macro()) else {
                continue;
            };
            let units = units_of.entry(unit.clone()).or_default();
            if units.is_empty() {
                macros.push(unit);
            }
            units.push(i);
        }
        let awaited_by = macros.iter().map(|unit| self.awaited_by(&order, &units_of[unit])).collect();
        let roots = self.roots.iter().map(|&i| &self.units[i]);
        let mut root_macros: Vec<String> = roots
            .filter(|u| u.target.kind.iter().any(|k| k == "proc-macro"))
            .filter_map(|u| Some(name_and_version(&u.pkg_id)?.0))
            .collect();
        root_macros.dedup();
        let mut packages: Vec<Package> = self.units.iter().filter_map(GraphUnit::package).collect();
        packages.sort_unstable();
        packages.dedup();
        Plan {
            packages,
            root_macros,
            macros,
            skipped: only_macros(&["lib", "rlib"]),
            skipped_build_scripts: only_macros(&["custom-build"]),
            awaited_by,
        }
    }

    /// The crate roots of the units that depend on one of these, by whatever way, those of the roots aside. `order` has
    /// dependencies first.
    fn awaited_by(&self, order: &[usize], of: &[usize]) -> Vec<Utf8PathBuf> {
        let mut waits = vec![false; self.units.len()];
        of.iter().for_each(|&unit| waits[unit] = true);
        let mut sources = BTreeSet::new();
        for &i in order {
            if !waits[i] && self.units[i].dependencies.iter().any(|d| waits[d.index]) {
                waits[i] = true;
                sources.insert(&self.units[i].target.src_path);
            }
        }
        self.roots.iter().for_each(|&root| {
            sources.remove(&self.units[root].target.src_path);
        });
        sources.into_iter().cloned().collect()
    }

    /// All units the roots reach, each behind those it depends on.
    fn dependencies_first(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut entered = vec![false; self.units.len()];
        let mut stack: Vec<(usize, usize)> = Vec::new();
        for &root in &self.roots {
            if !std::mem::replace(&mut entered[root], true) {
                stack.push((root, 0));
            }
            while let Some((unit, next)) = stack.last_mut() {
                match self.units[*unit].dependencies.get(*next) {
                    Some(d) => {
                        *next += 1;
                        if !std::mem::replace(&mut entered[d.index], true) {
                            stack.push((d.index, 0));
                        }
                    }
                    None => {
                        order.push(*unit);
                        stack.pop();
                    }
                }
            }
        }
        order
    }
}

impl GraphUnit {
    /// Is this a proc macro that will be loaded by rustc, rather than its tests or its documentation?
    fn is_macro(&self) -> bool {
        self.target.kind.iter().any(|k| k == "proc-macro") && matches!(self.mode.as_str(), "build" | "check")
    }

    fn key(&self) -> Unit {
        let mut features = self.features.clone();
        features.sort_unstable();
        Unit {
            source: self.target.src_path.clone(),
            features,
            link: self.mode != "check",
            target: self.platform.clone(),
            opt_level: self.profile.opt_level.clone(),
            debuginfo: match &self.profile.debuginfo {
                serde_json::Value::String(level) => level.clone(),
                serde_json::Value::Number(level) => level.to_string(),
                _ => "0".to_owned(),
            },
        }
    }

    fn package(&self) -> Option<Package> {
        let (name, version) = name_and_version(&self.pkg_id)?;
        let path = self.pkg_id.strip_prefix("path+file://").and_then(|rest| rest.split(['#', '?']).next());
        // What stands there as an URL is left to the file system.
        let dir = path.filter(|path| path.starts_with('/') && !path.contains('%')).map(Utf8PathBuf::from);
        Some(Package { source: self.target.src_path.clone(), name, version, dir })
    }

    fn macro_unit(&self) -> Option<MacroUnit> {
        let key = self.key();
        let (name, version) = name_and_version(&self.pkg_id)?;
        let origin = match self.pkg_id.split('+').next() {
            Some("path") => PackageSource::Path,
            Some("git") => PackageSource::Git,
            _ => PackageSource::Registry,
        };
        Some(MacroUnit {
            name,
            version,
            origin,
            source: key.source,
            features: key.features,
            debug_assertions: self.profile.debug_assertions,
        })
    }
}

/// Reads a package id specification: `<source>#name@version`, or `<source>/name#version` when the last part of the
/// source is the name.
fn name_and_version(id: &str) -> Option<(String, String)> {
    let (source, rest) = id.rsplit_once('#')?;
    let (name, version) = match rest.split_once('@') {
        Some((name, version)) => (name, version),
        None => (source.split('?').next()?.trim_end_matches('/').rsplit('/').next()?, rest),
    };
    Some((name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn unit(id: &str, kind: &str, mode: &str, src: &str, deps: &[usize]) -> serde_json::Value {
        json!({
            "pkg_id": id,
            "target": {"kind": [kind], "crate_types": [kind], "name": "x", "src_path": src, "edition": "2021"},
            "profile": {"name": "dev", "opt_level": "0", "debuginfo": 0, "debug_assertions": true},
            "platform": null, "mode": mode, "features": ["std", "alloc"],
            "dependencies": deps.iter().map(|i| json!({"index": i, "extern_crate_name": "x"})).collect::<Vec<_>>(),
        })
    }

    fn plan(units: &[serde_json::Value]) -> Plan {
        let graph = json!({"version": 1, "units": units, "roots": [0]});
        Plan::from_json(graph.to_string().as_bytes()).unwrap()
    }

    const MACRO: &str = "registry+https://example.org/index#mac@1.2.3";

    #[test]
    fn what_waits_for_a_macro_is_known_with_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let source = |name: &str, bytes: usize| {
            let src = dir.path().join(name).join("src");
            std::fs::create_dir_all(src.join("deeper")).unwrap();
            std::fs::write(src.join("lib.rs"), vec![b' '; bytes]).unwrap();
            std::fs::write(src.join("deeper/mod.rs"), b"1").unwrap();
            std::fs::write(src.join("picture.svg"), b"no Rust").unwrap();
            src.join("lib.rs").to_str().unwrap().to_owned()
        };
        let (app, user, over) = (source("app", 9_000), source("user", 100), source("over", 20));
        let plan = plan(&[
            unit("path+file:///app#0.1.0", "bin", "check", &app, &[1, 3, 4]),
            unit("r#user@1.0.0", "lib", "check", &user, &[2]),
            unit(MACRO, "proc-macro", "build", "/mac/lib.rs", &[]),
            unit("r#over@1.0.0", "lib", "check", &over, &[1]),
            unit("r#other_mac@1.0.0", "proc-macro", "build", "/other/lib.rs", &[]),
        ]);
        let names: Vec<_> = plan.macros.iter().map(|m| m.name.as_str()).collect();
        // That which is built for its own sake waits for all of them.
        assert_eq!((names, plan.awaited()), (vec!["mac", "other_mac"], vec![101 + 21, 0]));
    }

    #[test]
    fn what_only_a_macro_reaches_is_skipped() {
        let plan = plan(&[
            unit("path+file:///app#0.1.0", "bin", "check", "/app/main.rs", &[1, 3]),
            unit(MACRO, "proc-macro", "build", "/mac/lib.rs", &[2, 4]),
            unit("registry+https://example.org/index#syn@2.0.0", "lib", "build", "/syn/lib.rs", &[5]),
            unit("registry+https://example.org/index#libc@0.2.0", "lib", "check", "/libc/lib.rs", &[6]),
            unit("registry+https://example.org/index#both@0.2.0", "lib", "build", "/both/lib.rs", &[]),
            unit("r#pm2@1.0.0", "custom-build", "run-custom-build", "/pm2/build.rs", &[7]),
            unit("registry+https://example.org/index#both@0.2.0", "lib", "build", "/both/lib.rs", &[]),
            unit("r#pm2@1.0.0", "custom-build", "build", "/pm2/build.rs", &[]),
        ]);
        let skipped: Vec<_> = plan.skipped.iter().map(|u| u.source.as_str()).collect();
        assert_eq!(skipped, ["/syn/lib.rs"], "a unit that can't be told from a needed one is built");
        assert_eq!(plan.skipped_build_scripts.len(), 1);
        assert_eq!(plan.macros.len(), 1);
        assert_eq!((&*plan.macros[0].name, &*plan.macros[0].version), ("mac", "1.2.3"));
        assert_eq!(plan.macros[0].features, ["alloc", "std"]);
    }

    #[test]
    fn what_a_unit_that_looks_like_a_needed_one_depends_on_is_built() {
        let other = |mut unit: serde_json::Value| {
            unit["features"] = json!(["other"]);
            unit
        };
        let plan = plan(&[
            unit("path+file:///app#0.1.0", "bin", "check", "/app/main.rs", &[1, 2]),
            unit(MACRO, "proc-macro", "build", "/mac/lib.rs", &[4, 6]),
            unit("registry+https://example.org/index#many@1.0.0", "lib", "build", "/many/lib.rs", &[3]),
            unit("registry+https://example.org/index#syn@2.0.0", "lib", "build", "/syn/lib.rs", &[]),
            unit("registry+https://example.org/index#many@1.0.0", "lib", "build", "/many/lib.rs", &[5]),
            other(unit("registry+https://example.org/index#syn@2.0.0", "lib", "build", "/syn/lib.rs", &[])),
            unit("registry+https://example.org/index#heck@1.0.0", "lib", "build", "/heck/lib.rs", &[]),
        ]);
        let skipped: Vec<_> = plan.skipped.iter().map(|u| u.source.as_str()).collect();
        assert_eq!(skipped, ["/heck/lib.rs"]);
    }

    #[test]
    fn the_tests_of_a_macro_crate_need_its_dependencies() {
        let plan = plan(&[
            unit("path+file:///mac#0.1.0", "proc-macro", "test", "/mac/lib.rs", &[1]),
            unit("registry+https://example.org/index#syn@2.0.0", "lib", "build", "/syn/lib.rs", &[]),
        ]);
        assert!(plan.skipped.is_empty() && plan.macros.is_empty());
    }

    #[test]
    fn macros_of_macros_come_first() {
        let plan = plan(&[
            unit("path+file:///app#0.1.0", "bin", "check", "/app/main.rs", &[1]),
            unit(MACRO, "proc-macro", "build", "/outer/lib.rs", &[2]),
            unit("r#mid@1.0.0", "lib", "build", "/mid/lib.rs", &[3]),
            unit("git+https://example.org/inner#inner@1.0.0", "proc-macro", "build", "/inner/lib.rs", &[]),
        ]);
        let order: Vec<_> = plan.macros.iter().map(|m| (m.source.as_str(), m.origin)).collect();
        assert_eq!(
            order,
            [("/inner/lib.rs", PackageSource::Git), ("/outer/lib.rs", PackageSource::Registry)]
        );
    }

    #[test]
    fn a_command_line_finds_its_unit() {
        let plan = plan(&[
            unit("path+file:///app#0.1.0", "bin", "check", "/app/main.rs", &[1]),
            unit(MACRO, "proc-macro", "build", "/mac/lib.rs", &[2]),
            unit("registry+https://example.org/index#syn@2.0.0", "lib", "build", "/syn/lib.rs", &[]),
        ]);
        let line = |src: &str, kind: &str, more: &str| {
            let line = format!(
                "--crate-name x {src} --crate-type {kind} --emit=dep-info,metadata,link --out-dir /t --cfg \
                 feature=\"std\" --cfg feature=\"alloc\" {more}"
            );
            match RustcArgs::read(&line.split_whitespace().map(Into::into).collect::<Vec<_>>()).unwrap() {
                crate::RustcCall::Unit(unit) => *unit,
                crate::RustcCall::Question => panic!("{line} is a unit"),
            }
        };
        let cwd = Utf8Path::new("/syn");
        assert!(plan.skips(&line("lib.rs", "lib", ""), cwd));
        assert!(
            !plan.skips(&line("lib.rs", "lib", "-C opt-level=1"), cwd),
            "another profile is another unit"
        );
        assert!(!plan.skips(&line("lib.rs", "lib", "--target t"), cwd));
        assert_eq!(plan.find_macro(&line("/mac/lib.rs", "proc-macro", ""), cwd), Some(0));
        assert_eq!(plan.find_macro(&line("/mac/lib.rs", "proc-macro", "--cfg feature=\"z\""), cwd), None);
    }

    #[test]
    fn graphs_of_another_form_are_refused() {
        for bad in
            [r#"{"version":2,"units":[],"roots":[]}"#, r#"{"version":1,"units":[],"roots":[0]}"#, "{", "[]"]
        {
            assert!(Plan::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn package_ids() {
        let read = |id| name_and_version(id).map(|(n, v)| format!("{n} {v}"));
        assert_eq!(read("path+file:///a/demo#0.1.0").as_deref(), Some("demo 0.1.0"));
        assert_eq!(read("git+https://h/r?branch=x#0.1.0").as_deref(), Some("r 0.1.0"));
        assert_eq!(read("registry+https://h/i#syn@2.0.1").as_deref(), Some("syn 2.0.1"));
        assert_eq!(read("syn"), None);
    }
}
