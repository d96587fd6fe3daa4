//! What the command hands to the wrappers of one cargo run: a file, named by [`VARIABLE`].
//!
//! A wrapper that finds no session (belljar set as the wrapper in a config file, an editor, an unknown subcommand)
//! works without one: it builds the guest it needs when it needs it.

use std::time::Duration;

use belljar_plan::{Package, Plan, RustcArgs};
use belljar_policy::Places;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::own_dir::{OwnDir, advice, is_digest_json};
use crate::probe::Probing;
use crate::promised::{Guest, Promise};
use crate::{policy, seen};

/// Environment variable with the path of the session file.
pub(crate) const VARIABLE: &str = "BELLJAR_SESSION";

/// Environment variable with the user's workspace root, for wrappers without a session; `cargo belljar init` writes it
/// into cargo's config, and the command into the environment of calls that can't be planned.
pub(crate) use belljar_guest::WORKSPACE;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// [`belljar_guest::version_line`] of the belljar that wrote it.
    belljar: String,
    plan: Plan,
    /// One per macro of the plan, in its order.
    guests: Vec<Guest>,
    pub(crate) workspace_root: Utf8PathBuf,
    /// Where the project's policy is, unless the project is somebody else's who is not to say what is granted.
    pub(crate) policy_root: Option<Utf8PathBuf>,
    /// belljar's part of the target directory.
    pub(crate) belljar_dir: Utf8PathBuf,
    /// What decides the policy beside the project. A build script can change the environment that a wrapper sees.
    pub(crate) places: Places,
    /// The names of the variables that the command had.
    pub(crate) variables: Vec<String>,
    /// Calls that are to be run again when a compiler has ended.
    pub(crate) probing: Option<Probing>,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the session file {path} can't be {what}: {source}{}", advice(.source, "check that the target directory can be written")
)]
pub(crate) struct SessionError {
    path: Utf8PathBuf,
    what: &'static str,
    source: std::io::Error,
}

impl Session {
    pub(crate) fn new(
        plan: Plan,
        guests: Vec<Guest>,
        workspace_root: Utf8PathBuf,
        policy_root: Option<Utf8PathBuf>,
        belljar_dir: Utf8PathBuf,
        probing: Option<Probing>,
    ) -> Self {
        let belljar = belljar_guest::version_line();
        let (places, variables) = (policy::places(policy_root.as_deref()), seen::variables());
        Self { places, variables, belljar, plan, guests, workspace_root, policy_root, belljar_dir, probing }
    }

    /// Where it is noted which units were left empty.
    pub(crate) fn empty_notes(&self) -> Utf8PathBuf {
        self.belljar_dir.join("empty")
    }

    /// Writes the session below `dir` under a name made of its content, whole or not at all, and clears away those that
    /// no build can be using any more.
    pub(crate) fn write(&self, dir: &Utf8Path) -> Result<Utf8PathBuf, SessionError> {
        let error = |what| {
            let path = dir.to_owned();
            move |source| SessionError { path, what, source }
        };
        let json = serde_json::to_vec(self).map_err(std::io::Error::from).map_err(error("written"))?;
        let own = OwnDir::make(dir).map_err(error("made"))?;
        let name = format!("{}.json", blake3::hash(&json).to_hex());
        own.write(&name, &json, None).map_err(error("written"))?;
        remove_old(&own);
        Ok(own.path(&name))
    }

    /// Reads the session of this process's environment. `None` when there is none, or when it can't be used (it is not
    /// this user's, or not what [`Session::write`] left there): it only saves work, so a wrapper can always go on without.
    pub(crate) fn of_environment() -> Option<Self> {
        let path = Utf8PathBuf::from(std::env::var(VARIABLE).ok()?);
        let json = belljar_store::own_file(&path)?;
        if path.file_stem() != Some(blake3::hash(&json).to_hex().as_str()) {
            return None;
        }
        let session: Self = serde_json::from_slice(&json).ok()?;
        let whole = session.guests.len() == session.plan.macros.len();
        (whole && session.belljar == belljar_guest::version_line()).then_some(session)
    }

    pub(crate) fn skips(&self, args: &RustcArgs, cwd: &Utf8Path) -> bool {
        self.plan.skips(args, cwd)
    }

    /// The package whose crate this command line compiles.
    pub(crate) fn package(&self, args: &RustcArgs, cwd: &Utf8Path, named: (&str, &str)) -> Option<&Package> {
        self.plan.package(args, cwd, named)
    }

    /// The guest of this macro's unit.
    pub(crate) fn guest(&self, args: &RustcArgs, cwd: &Utf8Path) -> Option<&Guest> {
        self.plan.find_macro(args, cwd).and_then(|i| self.guests.get(i))
    }

    /// The guests that were still to be built when cargo was started.
    pub(crate) fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.guests.iter().filter_map(|guest| match guest {
            Guest::Promised(promise) => Some(promise),
            Guest::Made(_) => None,
        })
    }
}

/// Removes sessions older than a week. What can't be removed stays: it is a few kilobytes.
fn remove_old(dir: &OwnDir) {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let names = dir.names().unwrap_or_default();
    for name in names.iter().filter(|name| is_digest_json(name, 64)) {
        let age = dir.modified(name).ok().and_then(|t| t.elapsed().ok());
        if age.is_some_and(|age| age > WEEK) {
            let _ = dir.remove(name);
        }
    }
}
