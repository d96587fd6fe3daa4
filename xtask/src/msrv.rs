//! `cargo xtask msrv`: does belljar still build with the oldest Rust that it says it needs?
//!
//! The oldest is the `rust-version` of the workspace. No dependency may ask for a newer one, and the whole workspace is
//! checked by exactly that compiler: the one that is running if it is that version (as in CI), else rustup's.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use camino::Utf8PathBuf;
use cargo_metadata::semver::Version;
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::project::{self, ProjectError};

#[derive(clap::Args)]
pub(crate) struct Args {}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MsrvError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("cargo can't describe the workspace")]
    Metadata(#[from] cargo_metadata::Error),
    #[error("{0} states no `rust-version`; write `rust-version.workspace = true` into its Cargo.toml")]
    Unstated(String),
    #[error("the packages of the workspace state more than one `rust-version`: {0} and {1}")]
    Several(Version, Version),
    #[error(
        "belljar states Rust {stated}, but {}; raise `rust-version`, or choose older versions",
        .packages.join(", ")
    )]
    TooNew { stated: Version, packages: Vec<String> },
    #[error(
        "the compiler is {found}, and rustup has no {wanted} to check with; `rustup toolchain install {wanted}`"
    )]
    NoCompiler { found: String, wanted: String },
    #[error("the workspace does not build with Rust {0}; the errors are above")]
    DoesNotBuild(String),
}

pub(crate) fn run(_: &Args) -> Result<ExitCode, MsrvError> {
    let metadata = MetadataCommand::new()
        .cargo_path(project::cargo())
        .current_dir(project::root())
        .other_options(["--locked".to_owned()])
        .exec()?;
    let stated = stated(&metadata)?;
    let packages = newer(&metadata.packages, &stated);
    if !packages.is_empty() {
        return Err(MsrvError::TooNew { stated, packages });
    }
    let release = format!("{}.{}", stated.major, stated.minor);
    let (cargo, target_dir) = compiler(&release)?;
    let mut check = project::command(&cargo[0]);
    check.args(&cargo[1..]).args(["check", "--workspace", "--all-targets", "--locked"]);
    check.current_dir(project::root());
    if let Some(dir) = target_dir {
        // rustup chooses by these before it looks at what it is told.
        check.env("CARGO_TARGET_DIR", dir).env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    }
    let program = || cargo[0].to_string_lossy().into_owned();
    let status = check.status().map_err(|source| ProjectError::Start { program: program(), source })?;
    if !status.success() {
        return Err(MsrvError::DoesNotBuild(release));
    }
    eprintln!("belljar and its {} dependencies build with Rust {release}", metadata.packages.len());
    Ok(ExitCode::SUCCESS)
}

/// The `rust-version` that all packages of the workspace state.
fn stated(metadata: &Metadata) -> Result<Version, MsrvError> {
    let mut stated: Option<Version> = None;
    for package in metadata.workspace_packages() {
        let version =
            package.rust_version.clone().ok_or_else(|| MsrvError::Unstated(package.name.to_string()))?;
        match &stated {
            Some(other) if *other != version => return Err(MsrvError::Several(other.clone(), version)),
            _ => stated = Some(version),
        }
    }
    stated.ok_or_else(|| MsrvError::Unstated("the workspace".to_owned()))
}

/// The packages that ask for a newer Rust, with what they ask for.
fn newer(packages: &[Package], stated: &Version) -> Vec<String> {
    let asks = |p: &Package| {
        let wanted = p.rust_version.as_ref().filter(|wanted| *wanted > stated)?;
        Some(format!("{} {} asks for {wanted}", p.name, p.version))
    };
    packages.iter().filter_map(asks).collect()
}

/// The cargo of that release as a command, with a target directory of its own if it is not the one that is running.
fn compiler(release: &str) -> Result<(Vec<OsString>, Option<Utf8PathBuf>), MsrvError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = version_of(Command::new(&rustc).arg("--version"));
    let is = |line: &str| line.split(' ').nth(1).is_some_and(|v| v.starts_with(&format!("{release}.")));
    if found.as_deref().is_some_and(is) {
        return Ok((vec![project::cargo()], None));
    }
    if version_of(Command::new("rustup").args(["run", release, "rustc", "--version"])).is_some() {
        let cargo = ["rustup", "run", release, "cargo"].map(OsString::from).to_vec();
        return Ok((cargo, Some(project::scratch("msrv")?)));
    }
    let found = found.unwrap_or_else(|| "not found".to_owned());
    Err(MsrvError::NoCompiler { found, wanted: release.to_owned() })
}

fn version_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, rust_version: Option<&str>) -> Package {
        serde_json::from_value(serde_json::json!({
            "name": name, "version": "1.0.0", "id": name, "dependencies": [], "targets": [], "features": {},
            "manifest_path": "/none/Cargo.toml", "rust_version": rust_version,
        }))
        .unwrap()
    }

    #[test]
    fn a_dependency_that_asks_for_a_newer_rust_is_named() {
        let packages = [
            package("old", Some("1.60")),
            package("silent", None),
            package("same", Some("1.95")),
            package("new", Some("1.96")),
        ];
        assert_eq!(newer(&packages, &Version::new(1, 95, 0)), ["new 1.0.0 asks for 1.96.0"]);
        assert_eq!(newer(&packages, &Version::new(1, 94, 0)).len(), 2);
    }
}
