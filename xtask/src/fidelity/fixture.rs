//! The fixtures: which packages there are, which macro crate each is about, and what each must do natively.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

use super::side::Observed;

/// Packages of the fixture workspace that are fixtures begin with this; the rest of the name is the macro crate's.
const PREFIX: &str = "fidelity-";

#[derive(Debug, thiserror::Error)]
pub(crate) enum FixtureError {
    #[error("can't read the fixture workspace {workspace}")]
    Metadata { workspace: Utf8PathBuf, source: cargo_metadata::Error },
    #[error("no fixture is called `{name}`; there are: {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("the fixture `{package}` is about `{subject}`, which the lockfile does not have")]
    NoSubject { package: String, subject: String },
}

/// One package that uses a macro crate richly.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) package: String,
    /// The macro crate that it is about.
    pub(crate) subject: String,
    pub(crate) version: String,
    /// Integration tests: some macros expand in test targets only.
    pub(crate) test_targets: Vec<String>,
    /// Numbers of its expansion are others in every native build (`random = true` below `[package.metadata.fidelity]`).
    pub(crate) random: bool,
    /// Inputs that must fail to compile.
    pub(crate) failing: Vec<String>,
}

impl Fixture {
    fn read(package: &Package, metadata: &Metadata) -> Result<Fixture, FixtureError> {
        let named = package.metadata.pointer("/fidelity/subject").and_then(|subject| subject.as_str());
        let subject = named.unwrap_or_else(|| package.name.trim_start_matches(PREFIX)).to_owned();
        let version = metadata
            .packages
            .iter()
            .filter(|candidate| candidate.name.as_str() == subject)
            .map(|candidate| &candidate.version)
            .max()
            .ok_or_else(|| FixtureError::NoSubject {
                package: package.name.to_string(),
                subject: subject.clone(),
            })?;
        let targets = |kind: TargetKind| {
            package
                .targets
                .iter()
                .filter(|target| target.kind.contains(&kind))
                .map(|target| target.name.clone())
                .collect()
        };
        Ok(Fixture {
            package: package.name.to_string(),
            version: version.to_string(),
            subject,
            random: package.metadata.pointer("/fidelity/random").is_some_and(|random| random == true),
            test_targets: targets(TargetKind::Test),
            failing: targets(TargetKind::Example),
        })
    }

    /// What is wrong with the fixture when it does not even do natively what it is for.
    pub(crate) fn complaints(&self, native: &Observed) -> Vec<String> {
        let mut complaints = Vec::new();
        if native.expansion.trim().is_empty() {
            complaints.push("it does not expand natively".to_owned());
        }
        for target in &self.failing {
            if !native.diagnostics.has_error(target) {
                complaints.push(format!("examples/{target}.rs must fail to compile, and does not natively"));
            }
        }
        if !native.tests_passed {
            complaints.push("its tests fail natively".to_owned());
        }
        if let (false, Some(failure)) = (complaints.is_empty(), &native.failure) {
            complaints.extend(super::compare::first_error(failure).map(str::to_owned));
        }
        complaints
    }
}

/// A workspace of fixtures.
#[derive(Debug)]
pub(crate) struct Fixtures {
    pub(crate) workspace: Utf8PathBuf,
    pub(crate) all: Vec<Fixture>,
    /// Source directories of the proc-macro packages in the graph, as rustc writes them: absolute for packages from
    /// elsewhere, relative to the workspace for its own.
    pub(crate) macro_sources: Vec<Utf8PathBuf>,
    /// What `RUSTC_BOOTSTRAP` is set to: the names of the crates that are expanded, so that `-Zunpretty` is allowed for
    /// them while macro crates and inputs that must fail see the stable compiler that users have.
    pub(crate) expanded_crates: String,
}

impl Fixtures {
    /// Finds all fixtures of a workspace, or those about the macro crates in `only`.
    pub(crate) fn read(workspace: &Utf8Path, only: &[String]) -> Result<Fixtures, FixtureError> {
        let metadata = MetadataCommand::new()
            .current_dir(workspace)
            .other_options(["--locked".to_owned()])
            .exec()
            .map_err(|source| FixtureError::Metadata { workspace: workspace.to_owned(), source })?;
        let mut all = metadata
            .workspace_packages()
            .into_iter()
            .filter(|package| package.name.starts_with(PREFIX))
            .map(|package| Fixture::read(package, &metadata))
            .collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|a, b| a.subject.cmp(&b.subject));
        let mut crates: Vec<String> = Vec::new();
        for fixture in &all {
            crates.push(fixture.package.replace('-', "_"));
            crates.extend(fixture.test_targets.iter().map(|target| target.replace('-', "_")));
        }
        crates.sort();
        crates.dedup();
        if let Some(name) = only.iter().find(|name| !all.iter().any(|fixture| fixture.subject == **name)) {
            let known = all.into_iter().map(|fixture| fixture.subject).collect();
            return Err(FixtureError::Unknown { name: name.clone(), known });
        }
        all.retain(|fixture| only.is_empty() || only.contains(&fixture.subject));
        let macro_sources = metadata
            .packages
            .iter()
            .filter(|package| package.targets.iter().any(|target| target.is_proc_macro()))
            .filter_map(|package| package.manifest_path.parent())
            .map(|dir| dir.strip_prefix(&metadata.workspace_root).unwrap_or(dir).to_owned())
            .collect();
        Ok(Fixtures {
            workspace: workspace.to_owned(),
            all,
            macro_sources,
            expanded_crates: crates.join(","),
        })
    }
}
