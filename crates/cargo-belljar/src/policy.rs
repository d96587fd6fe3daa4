//! The policy of a build: where its files are, and how cargo learns that it has changed.
//!
//! A crate does not depend on `belljar.toml` itself: most lines of it concern others. Instead there is a [stamp](crate::stamps)
//! for each macro package in each calling package, below `belljar/policy` in the target directory, with a digest of the
//! rules between the two. A crate depends on the stamps of the macros that it uses.
//!
//! Under plain cargo, where there is no command, a crate that calls macros depends on the files of the policy too, and is
//! [left as it is](crate::wrapper) where an edit does not concern it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use belljar_plan::{MacroUnit, Plan};
use belljar_policy::{Calling, Mode, Pair, Places, Policy, PolicyError, Source, Unused, unused};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::own_dir::advice;
use crate::report;
use crate::stamps::{self, Stamp};

/// The rules between a macro package and the package that calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RulesStamp {
    macro_package: String,
    macro_version: String,
    package: String,
    version: String,
    manifest_dir: Option<String>,
    rules: String,
    /// Whoever depends on it depends on the files of the policy, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_plain: bool,
}

/// Where the policy of a workspace is, by this process's environment: its root, and the user's configuration.
pub(crate) fn places(workspace_root: Option<&Utf8Path>) -> Places {
    Places::of(workspace_root.map(Utf8Path::as_std_path), |name| std::env::var_os(name))
}

/// Variables that have a say in where the policy is, and in what it is.
pub(crate) const VARIABLES: [&str; 4] =
    [belljar_policy::MODE_VARIABLE, "BELLJAR_CONFIG", "XDG_CONFIG_HOME", "HOME"];

/// The files on which such a policy depends, whether they are there or not.
pub(crate) fn files(places: Places) -> Vec<Utf8PathBuf> {
    let Places { workspace_file, user_file, .. } = places;
    [workspace_file, user_file]
        .into_iter()
        .flatten()
        .filter_map(|path| Utf8PathBuf::from_path_buf(path).ok())
        .collect()
}

/// Where stamps are, below belljar's part of the target directory.
pub(crate) fn stamps(belljar_dir: &Utf8Path) -> Utf8PathBuf {
    belljar_dir.join("policy")
}

/// The stamp for the rules with this digest, which is there and says so when this returns. Where no command looks after it, crates
/// have one of their own.
pub(crate) fn stamp(
    dir: &Utf8Path,
    calling: &Calling,
    (macro_package, macro_version): (&str, &str),
    rules: [u8; 32],
    is_plain: bool,
) -> io::Result<Utf8PathBuf> {
    let stamp = RulesStamp {
        macro_package: macro_package.to_owned(),
        macro_version: macro_version.to_owned(),
        package: calling.package.clone(),
        version: calling.version.clone(),
        manifest_dir: calling.manifest_dir.clone(),
        rules: blake3::Hash::from_bytes(rules).to_hex().to_string(),
        is_plain,
    };
    stamp.put(dir)
}

/// What a command does about the policy before cargo begins: mistakes are errors, what has no effect is said, and stamps are
/// brought up to date.
pub(crate) fn prepare(
    root: Option<&Utf8Path>,
    stamps: &Utf8Path,
    plan: &Plan,
    quiet: bool,
) -> Result<(), RefreshError> {
    let workspace_root = root.map(Utf8Path::to_string);
    let places = places(root);
    let policy =
        Policy::load(Calling { workspace_root: workspace_root.clone(), ..Calling::default() }, &places)?;
    warn(&policy, plan, quiet);
    let mut of_callers: HashMap<(String, String, Option<String>), Policy> = HashMap::new();
    let failed = |path, source| RefreshError::File { path, source };
    stamps::refresh(stamps, failed, |stamp: &RulesStamp| {
        let caller = (stamp.package.clone(), stamp.version.clone(), stamp.manifest_dir.clone());
        let policy = match of_callers.entry(caller) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (package, version, manifest_dir) = new.key().clone();
                let workspace_root = workspace_root.clone();
                let calling =
                    Calling { package, version, manifest_dir, workspace_root, ..Calling::default() };
                new.insert(Policy::load(calling, &places)?)
            }
        };
        let rules = policy.rules(&stamp.macro_package, &stamp.macro_version).digest();
        Ok(RulesStamp { rules: blake3::Hash::from_bytes(rules).to_hex().to_string(), ..stamp.clone() })
    })
}

/// Says what a person would want to know of this policy before a build.
fn warn(policy: &Policy, plan: &Plan, quiet: bool) {
    if policy.mode() == Mode::Report {
        report::warning(
            "the policy's mode is `report`: macros of this build may read what you can read, and all that they read is logged",
        );
    }
    if quiet {
        return;
    }
    // Who calls a macro is not in the plan: whatever a grant says of that may be so.
    let callers = policy.grants().iter().flat_map(|grant| grant.calling.iter().map(String::as_str));
    let callers: Vec<&str> = callers.chain([""]).collect();
    let pair = |unit: &MacroUnit, calling: &str| Pair {
        macro_package: unit.name.clone(),
        macro_version: unit.version.clone(),
        calling: calling.to_owned(),
    };
    let pairs: Vec<Pair> =
        plan.macros.iter().flat_map(|unit| callers.iter().map(move |calling| pair(unit, calling))).collect();
    for unused in unused(policy.grants(), &pairs, &[]) {
        let is_ours = unused.grant().source == Source::Workspace;
        if is_ours && matches!(unused, Unused::MatchesNothing { .. }) {
            report::note(unused);
        }
    }
}

/// The macro packages that were used, and by whom, as the stamps say.
pub(crate) fn pairs(dir: &Utf8Path) -> Vec<Pair> {
    let pair = |stamp: RulesStamp| Pair {
        macro_package: stamp.macro_package,
        macro_version: stamp.macro_version,
        calling: stamp.package,
    };
    stamps::all(dir).into_iter().map(pair).collect()
}

/// The stamps for the rules of one macro package.
pub(crate) fn of_macros(dir: &Utf8Path, macro_package: &str) -> Vec<Utf8PathBuf> {
    let all = stamps::all::<RulesStamp>(dir).into_iter();
    all.filter(|stamp| stamp.macro_package == macro_package).map(|stamp| stamp.path(dir)).collect()
}

/// Why stamps could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error(
        "what is known of the policy of earlier builds can't be brought up to date ({path}): {source}{}", advice(.source, "check the rights of the target directory, or `cargo clean`")
    )]
    File { path: Utf8PathBuf, source: io::Error },
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Stamp for RulesStamp {
    fn about(&self) -> Vec<&str> {
        let Self { macro_package, macro_version, package, version, manifest_dir, rules: _, is_plain } = self;
        let manifest_dir = manifest_dir.as_deref().unwrap_or_default();
        let mut about = vec![&**macro_package, macro_version, package, version, manifest_dir];
        about.extend(is_plain.then_some("plain"));
        about
    }

    fn is_news(&self) -> bool {
        !self.is_plain
    }
}
