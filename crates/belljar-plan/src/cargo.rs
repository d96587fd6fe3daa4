//! Asking cargo: where the workspace is, and what it is about to build.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

/// What went wrong between belljar and cargo.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("cargo could not be started ({cargo}): {source}")]
    Start { cargo: Utf8PathBuf, source: std::io::Error },
    /// cargo refused; it would refuse the call itself in the same way, and say why.
    #[error("cargo {what} failed: {stderr}")]
    Cargo { what: &'static str, stderr: String },
    #[error(
        "cargo's {what} can't be read: {source}\nnext: this cargo may be newer than belljar knows; please report it"
    )]
    Json { what: &'static str, source: serde_json::Error },
    #[error(
        "cargo's unit graph has a form that is not known: {why}\nnext: this cargo may be newer than belljar knows; please report it"
    )]
    Graph { why: String },
}

/// A cargo call that is coming, as the user typed it.
#[derive(Debug, Clone)]
pub struct CargoCall {
    pub cargo: Utf8PathBuf,
    /// The directory it runs in.
    pub cwd: Utf8PathBuf,
    /// `+toolchain` has been dealt with; flags of cargo that stand before the subcommand are here.
    pub global: Vec<OsString>,
    pub subcommand: String,
    /// Arguments of the subcommand, up to a `--`.
    pub args: Vec<OsString>,
    /// Environment variables that the call will have beyond the process's own.
    pub env: Vec<(OsString, OsString)>,
}

/// Where the user's workspace is.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub root: Utf8PathBuf,
    pub target_dir: Utf8PathBuf,
    /// Where units go, if that is another place (`build.build-dir`).
    pub build_dir: Option<Utf8PathBuf>,
}

impl Workspace {
    /// The directories into which cargo may put what it compiles.
    #[must_use]
    pub fn built_in(&self) -> Vec<&Utf8Path> {
        std::iter::once(&self.target_dir).chain(&self.build_dir).map(Utf8PathBuf::as_path).collect()
    }
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: Utf8PathBuf,
    target_directory: Utf8PathBuf,
    /// cargo says it since 1.91.
    #[serde(default)]
    build_directory: Option<Utf8PathBuf>,
}

impl CargoCall {
    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&self.cwd).args(&self.global).arg(subcommand);
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, mut command: Command, what: &'static str) -> Result<Vec<u8>, PlanError> {
        let output =
            command.output().map_err(|source| PlanError::Start { cargo: self.cargo.clone(), source })?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(PlanError::Cargo { what, stderr })
        }
    }

    /// Asks `cargo metadata` for the workspace. Compiles nothing, resolves nothing.
    pub fn workspace(&self) -> Result<Workspace, PlanError> {
        let mut command = self.command("metadata");
        command.args(["--no-deps", "--format-version", "1"]).args(self.manifest_args());
        let json = self.output(command, "metadata")?;
        let metadata: Metadata =
            serde_json::from_slice(&json).map_err(|source| PlanError::Json { what: "metadata", source })?;
        let Metadata { workspace_root: root, target_directory: target_dir, build_directory } = metadata;
        let build_dir = build_directory.filter(|dir| *dir != target_dir);
        Ok(Workspace { root, target_dir, build_dir })
    }

    /// Asks cargo for the unit graph of this call, as JSON. `RUSTC_BOOTSTRAP` is set for this one call: `--unit-graph`
    /// is not stable, and nothing is compiled by it.
    pub(crate) fn unit_graph(&self) -> Result<Vec<u8>, PlanError> {
        let mut command = self.command(&self.subcommand);
        command.args(["--unit-graph", "-Z", "unstable-options"]).args(&self.args);
        // Quiet by variable: as an argument it could meet the user's own. What cargo would say now, it says again in the build.
        command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TERM_QUIET", "true").env_remove("CARGO_TERM_VERBOSE");
        self.output(command, "--unit-graph")
    }

    /// The arguments that choose the manifest and whether the network may be used.
    fn manifest_args(&self) -> Vec<OsString> {
        let mut found = Vec::new();
        let mut args = self.args.iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy();
            if matches!(&*text, "--offline" | "--locked" | "--frozen") || text.starts_with("--manifest-path=")
            {
                found.push(arg.clone());
            } else if matches!(&*text, "--manifest-path" | "--config")
                && let Some(value) = args.next()
            {
                found.extend([arg.clone(), value.clone()]);
            } else if text.starts_with("--config=") {
                found.push(arg.clone());
            }
        }
        found
    }

    /// The values of its `--config` arguments.
    #[must_use]
    pub fn config(&self) -> Vec<String> {
        let mut args = self.global.iter().chain(&self.args).map(|a| a.to_string_lossy());
        let mut values = Vec::new();
        while let Some(arg) = args.next() {
            match arg.strip_prefix("--config") {
                Some("") => values.extend(args.next().map(|value| value.into_owned())),
                Some(value) => values.extend(value.strip_prefix('=').map(str::to_owned)),
                None => {}
            }
        }
        values
    }

    /// The manifest the call names, if any.
    #[must_use]
    pub fn manifest_path(&self) -> Option<Utf8PathBuf> {
        let args: Vec<_> = self.args.iter().map(|a| a.to_string_lossy()).collect();
        let named =
            args.iter().enumerate().find_map(|(i, arg)| match arg.strip_prefix("--manifest-path") {
                Some("") => args.get(i + 1).map(|a| a.clone().into_owned()),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            })?;
        Some(self.cwd.join(Utf8Path::new(&named)))
    }
}
