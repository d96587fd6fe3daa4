//! The user's lockfile: what goes into a guest's build, and what may come out of it.
//!
//! A scratch package is a package of its own, so its lockfile is a new one: the part of the user's that the macro package
//! reaches ([`Lockfile::seed`]). Cargo keeps what fits. Where something did not fit, it would quietly choose another
//! version, perhaps one that nobody has looked at; [`Lockfile::strangers`] finds that.

use std::collections::BTreeSet;
use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item, Table};

use crate::guests::Origin;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "the lockfile {path} can't be read: {source}\nnext: run `cargo generate-lockfile` in the workspace"
    )]
    Read { path: Utf8PathBuf, source: std::io::Error },
    #[error(
        "the lockfile {path} is damaged: {what}\nnext: restore it from version control, or run `cargo generate-lockfile`"
    )]
    Damaged { path: Utf8PathBuf, what: String },
}

/// A `Cargo.lock`, of any version that cargo reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lockfile {
    /// The number at its top; the two oldest formats have none.
    version: Option<i64>,
    pub(crate) packages: Vec<Locked>,
}

/// One package of a lockfile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `None` for packages that are on this machine by path.
    pub(crate) source: Option<String>,
    pub(crate) checksum: Option<String>,
    /// As cargo writes them: `name`, `name version` or `name version (source)`, as short as is unambiguous.
    dependencies: Vec<String>,
}

impl Locked {
    pub(crate) fn origin(&self) -> Origin {
        match self.source.as_deref() {
            None => Origin::Path,
            Some(source) if source.starts_with("git+") => Origin::Git,
            Some(_) => Origin::Registry,
        }
    }

    /// As unambiguous as a lockfile can say it.
    fn reference(&self) -> String {
        match &self.source {
            Some(source) => format!("{} {} ({source})", self.name, self.version),
            None => format!("{} {}", self.name, self.version),
        }
    }
}

/// Several packages of a lockfile can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Several;

impl Locked {
    /// Whether this is the checkout of a git package, which has the first digits of its commit in the path
    /// (`cargo::sources::git`).
    fn is_checked_out_in(&self, dir: &Utf8Path) -> bool {
        const DIGITS: usize = 7;
        let commit = self.source.as_deref().and_then(|source| Some(source.rsplit_once('#')?.1));
        commit.is_some_and(|commit| {
            dir.components().any(|c| c.as_str().len() >= DIGITS && commit.starts_with(c.as_str()))
        })
    }
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl Lockfile {
    pub(crate) fn read(path: &Utf8Path) -> Result<Self, LockError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LockError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|what| LockError::Damaged { path: path.to_owned(), what })
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let doc: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| e.message().to_owned())?;
        let mut lock = Self { version: doc.get("version").and_then(Item::as_integer), packages: Vec::new() };
        let tables = doc.get("package").and_then(Item::as_array_of_tables);
        for table in tables.into_iter().flatten() {
            lock.packages.push(package(table)?);
        }
        // The oldest format keeps checksums in a table at the end.
        if let Some(old) = doc.get("metadata").and_then(Item::as_table) {
            for package in &mut lock.packages {
                let sum = old.get(&format!("checksum {}", package.reference())).and_then(Item::as_str);
                package.checksum = package.checksum.take().or_else(|| sum.map(str::to_owned));
            }
        }
        Ok(lock)
    }

    /// The package of this name and version that has this origin, else any of that name and version. Where several sources
    /// have such a package, the one that was checked out in `dir`.
    pub(crate) fn find(
        &self,
        name: &str,
        version: &str,
        origin: Origin,
        dir: &Utf8Path,
    ) -> Result<Option<usize>, Several> {
        let same = || (0..self.packages.len()).filter(|&i| self.is(i, name, version));
        let of_origin: Vec<usize> = same().filter(|&i| self.packages[i].origin() == origin).collect();
        match of_origin[..] {
            [] => Ok(same().next()),
            [one] => Ok(Some(one)),
            _ => {
                let mut there = of_origin.iter().filter(|&&i| self.packages[i].is_checked_out_in(dir));
                match (there.next(), there.next()) {
                    (Some(&one), None) => Ok(Some(one)),
                    _ => Err(Several),
                }
            }
        }
    }

    fn is(&self, i: usize, name: &str, version: &str) -> bool {
        self.packages[i].name == name && self.packages[i].version == version
    }

    /// The package that a dependency's text means.
    fn meant(&self, dependency: &str) -> Option<usize> {
        let mut words = dependency.splitn(3, ' ');
        let name = words.next()?;
        let version = words.next();
        let source = words.next().map(|s| s.trim_start_matches('(').trim_end_matches(')'));
        self.packages.iter().position(|p| {
            p.name == name
                && version.is_none_or(|v| v == p.version)
                && source.is_none_or(|s| p.source.as_deref() == Some(s))
        })
    }

    /// What the lockfile says `root` depends on, directly or not, without `root` itself unless it is reached again.
    /// Development dependencies of path packages are among them: the lockfile doesn't tell them apart.
    pub(crate) fn reach(&self, root: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut todo = vec![root];
        while let Some(i) = todo.pop() {
            for dependency in &self.packages[i].dependencies {
                if let Some(d) = self.meant(dependency)
                    && reached.insert(d)
                {
                    todo.push(d);
                }
            }
        }
        reached
    }

    /// Is a package of that name among these?
    pub(crate) fn reaches(&self, reached: &BTreeSet<usize>, name: &str) -> bool {
        reached.iter().any(|&i| self.packages[i].name == name)
    }

    /// Does this package list a dependency of that name?
    pub(crate) fn lists(&self, package: usize, dependency: &str) -> bool {
        self.packages[package].dependencies.iter().any(|d| d.split(' ').next() == Some(dependency))
    }

    /// A lockfile for a workspace whose members are `roots`, as path packages.
    pub(crate) fn seed(&self, roots: &[usize]) -> String {
        let mut text = String::new();
        if let Some(version) = self.version {
            let _ = writeln!(text, "version = {version}\n");
        }
        let mut reached = BTreeSet::new();
        for &root in roots {
            reached.extend(self.reach(root));
        }
        for &root in roots {
            let member = Locked { source: None, checksum: None, ..self.packages[root].clone() };
            self.write(&member, &mut text);
        }
        // A package by path that reaches itself (a development dependency may lead back) is the member.
        for i in reached.into_iter().filter(|i| !(roots.contains(i) && self.packages[*i].source.is_none())) {
            self.write(&self.packages[i], &mut text);
        }
        text
    }

    fn write(&self, package: &Locked, text: &mut String) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "[[package]]\nname = {:?}\nversion = {:?}", package.name, package.version);
        if let Some(source) = &package.source {
            let _ = writeln!(text, "source = {source:?}");
        }
        if let Some(checksum) = &package.checksum {
            let _ = writeln!(text, "checksum = {checksum:?}");
        }
        if !package.dependencies.is_empty() {
            text.push_str("dependencies = [\n");
            for dependency in &package.dependencies {
                if let Some(d) = self.meant(dependency) {
                    let _ = writeln!(text, " {:?},", self.packages[d].reference());
                }
            }
            text.push_str("]\n");
        }
        text.push('\n');
    }

    /// What is in `result` but not in this lockfile, apart from the `members` of the scratch workspace.
    pub(crate) fn strangers<'a>(&self, result: &'a Lockfile, members: &[(&str, &str)]) -> Vec<&'a Locked> {
        let known = |p: &Locked| {
            self.packages.iter().any(|u| {
                u.name == p.name
                    && u.version == p.version
                    && u.source == p.source
                    && u.checksum.as_ref().is_none_or(|sum| p.checksum.as_ref() == Some(sum))
            })
        };
        let member = |p: &Locked| {
            p.source.is_none()
                && members.iter().any(|&(name, version)| p.name == name && p.version == version)
        };
        result.packages.iter().filter(|p| !member(p) && !known(p)).collect()
    }
}

fn package(table: &Table) -> Result<Locked, String> {
    let text = |key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
    let needed = |key: &str| text(key).ok_or_else(|| format!("a package has no {key}"));
    let dependencies = table.get("dependencies").and_then(Item::as_array);
    Ok(Locked {
        name: needed("name")?,
        version: needed("version")?,
        source: text("source"),
        checksum: text("checksum").filter(|sum| sum != "<none>"),
        dependencies: dependencies
            .into_iter()
            .flatten()
            .filter_map(|d| d.as_str().map(str::to_owned))
            .collect(),
    })
}

/// Where a package comes from, by its lockfile. `Path` for a package that isn't in it.
#[must_use]
pub fn origin_of(lockfile: &Utf8Path, name: &str, version: &str) -> Origin {
    let Ok(lock) = Lockfile::read(lockfile) else { return Origin::Path };
    let mut same = lock.packages.iter().filter(|p| p.name == name && p.version == version);
    same.next().map_or(Origin::Path, Locked::origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["m", "other"]

[[package]]
name = "m"
version = "1.0.0"
source = "registry+https://example.invalid/index"
checksum = "aa"
dependencies = ["syn 1.0.0"]

[[package]]
name = "other"
version = "1.0.0"
source = "git+https://example.invalid/other?branch=a#0123"
dependencies = ["syn 2.0.0"]

[[package]]
name = "syn"
version = "1.0.0"
source = "registry+https://example.invalid/index"
checksum = "bb"

[[package]]
name = "syn"
version = "2.0.0"
source = "registry+https://example.invalid/index"
checksum = "cc"
"#;

    fn lock(text: &str) -> Lockfile {
        Lockfile::parse(text).unwrap()
    }

    #[test]
    fn a_seed_has_what_the_macro_reaches_and_nothing_else() {
        let user = lock(LOCK);
        let m = user.find("m", "1.0.0", Origin::Registry, "/m".into()).unwrap().unwrap();
        let seed = lock(&user.seed(&[m]));
        let names: Vec<_> = seed.packages.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["m 1.0.0", "syn 1.0.0 (registry+https://example.invalid/index)"]);
        assert_eq!(seed.packages[1].checksum.as_deref(), Some("bb"));
        assert!(user.strangers(&seed, &[("m", "1.0.0")]).is_empty());
    }

    #[test]
    fn packages_of_one_name_and_version_are_told_apart_by_their_checkouts() {
        let git = |commit: &str| {
            format!(
                "[[package]]\nname = \"m\"\nversion = \"1.0.0\"\nsource = \"git+https://example.invalid/m#{commit}\"\n\n"
            )
        };
        let user = lock(&(git("0123456789abcdef") + &git("fedcba9876543210")));
        let find = |dir: &str| user.find("m", "1.0.0", Origin::Git, dir.into());
        assert_eq!(find("/git/checkouts/m-0a0a/0123456/m"), Ok(Some(0)));
        assert_eq!(find("/git/checkouts/m-0a0a/fedcba9/m"), Ok(Some(1)));
        assert_eq!(find("/git/checkouts/m-0a0a/0000000/m"), Err(Several));
        assert_eq!(user.find("n", "1.0.0", Origin::Git, "/".into()), Ok(None));
    }

    #[test]
    fn a_member_is_in_the_seed_once() {
        let user = lock(
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\"b\"]\n\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\ndependencies = [\"a\"]\n",
        );
        let names = |roots: &[usize]| -> Vec<String> {
            lock(&user.seed(roots)).packages.into_iter().map(|p| p.name).collect()
        };
        assert_eq!(names(&[0]), ["a", "b"]);
        assert_eq!(names(&[1, 0]), ["b", "a"]);
    }

    #[test]
    fn every_kind_of_stranger_is_found() {
        let user = lock(LOCK);
        let changed = |from: &str, to: &str| {
            let result = lock(&LOCK.replace(from, to));
            user.strangers(&result, &[]).into_iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(changed("", "").is_empty());
        assert_eq!(changed("name = \"other\"", "name = \"evil\"").len(), 1);
        assert_eq!(changed("version = \"2.0.0\"", "version = \"2.0.1\"").len(), 1);
        assert_eq!(changed("checksum = \"cc\"", "checksum = \"dd\"").len(), 1);
        assert_eq!(changed("checksum = \"cc\"", "").len(), 1);
        assert_eq!(changed("#0123", "#4567").len(), 1);
        assert_eq!(
            changed("name = \"m\"\nversion = \"1.0.0\"\nsource", "name = \"m\"\nversion = \"1.0.0\"\n_")
                .len(),
            1
        );
    }

    #[test]
    fn origins() {
        let user = lock(LOCK);
        let origins: Vec<_> = user.packages.iter().take(3).map(Locked::origin).collect();
        assert_eq!(origins, [Origin::Path, Origin::Registry, Origin::Git]);
    }

    #[test]
    fn the_oldest_format_is_understood() {
        let old = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n\n[metadata]\n\"checksum a 1.0.0 (registry+x)\" = \"ee\"\n";
        let user = lock(old);
        assert_eq!(user.packages[0].checksum.as_deref(), Some("ee"));
        assert!(!user.seed(&[0]).contains("version = 4"));
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Lockfile::parse("[[package]]\nversion = \"1\"").is_err());
        assert!(Lockfile::parse("[[package").is_err());
    }
}
