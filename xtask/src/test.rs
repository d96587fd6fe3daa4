//! `cargo xtask test`: everything that must hold before a change lands, from nothing. CI runs this.

use std::process::ExitCode;

use camino::Utf8Path;

use crate::msrv::{self, MsrvError};
use crate::project::{self, ProjectError};
use crate::setup_toolchain::{self, SetupError};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for the test runner: names of tests, for instance
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Msrv(#[from] MsrvError),
    #[error("`cargo {0}` failed; what it found is above")]
    Failed(String),
}

/// The crates that are compiled on users' machines; they are packages of their own.
const INSIDE: [&str; 5] =
    ["inside/proc_macro", "inside/std", "inside/hashers", "inside/entry", "inside/shim"];

pub(crate) fn run(args: &Args) -> Result<ExitCode, TestError> {
    setup_toolchain::run(&setup_toolchain::Args::default())?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let sources = setup_toolchain::std_source()?;
    for package in INSIDE {
        let manifest = format!("{package}/Cargo.toml");
        cargo(&["fmt", "--manifest-path", &manifest, "--check"])?;
        inside(&["clippy", "--manifest-path", &manifest, "--all-targets", "--", "-D", "warnings"], &sources)?;
        inside(&["test", "--manifest-path", &manifest], &sources)?;
    }
    msrv::run(&msrv::Args {})?;
    cargo(&["test", "--workspace", "--doc"])?;
    let mut words = vec!["nextest", "run", "--workspace"];
    words.extend(args.runner.iter().map(String::as_str));
    cargo(&words)?;
    Ok(ExitCode::SUCCESS)
}

fn cargo(words: &[&str]) -> Result<(), TestError> {
    run_cargo(words, None)
}

/// For a package that is not of the workspace: its own target directory, shared by all of them, and the std's sources,
/// with which `proc_macro` is compared.
fn inside(words: &[&str], sources: &Utf8Path) -> Result<(), TestError> {
    run_cargo(words, Some(sources))
}

fn run_cargo(words: &[&str], sources: Option<&Utf8Path>) -> Result<(), TestError> {
    let typed = words.join(" ");
    eprintln!("\n$ cargo {typed}");
    let program = project::cargo();
    let mut command = project::command(&program);
    command.args(words).current_dir(project::root());
    if let Some(sources) = sources {
        command.env("BELLJAR_RUST_SRC", sources).env("CARGO_TARGET_DIR", project::scratch("inside")?);
    }
    let status = command
        .status()
        .map_err(|source| ProjectError::Start { program: program.to_string_lossy().into_owned(), source })?;
    if status.success() { Ok(()) } else { Err(TestError::Failed(typed)) }
}
