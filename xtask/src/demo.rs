//! `cargo xtask demo`: the main job, on the sample project, as a new user would do it.

use std::process::{Command, ExitCode};

use camino::Utf8Path;

use crate::project::{self, ProjectError};
use crate::setup_toolchain::{self, SetupError};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The project to seal
    #[arg(long, default_value = "fixtures/sample", value_name = "DIR")]
    project: camino::Utf8PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("`{command}` failed in {dir}; what it printed is above")]
    Failed { command: String, dir: camino::Utf8PathBuf },
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, DemoError> {
    setup_toolchain::run(&setup_toolchain::Args::default())?;
    let belljar = project::build_belljar(false)?;
    let dir = project::root().join(&args.project);
    for words in [&["test"][..], &["run"]] {
        step(&belljar, &dir, words)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `cargo belljar <words>` in the project, shown as the user would type it.
fn step(belljar: &Utf8Path, dir: &Utf8Path, words: &[&str]) -> Result<(), DemoError> {
    let typed = format!("cargo belljar {}", words.join(" "));
    println!("\n$ {typed}");
    let mut command: Command = project::command(belljar);
    command.arg("belljar").args(words).current_dir(dir).env_remove("CARGO_TARGET_DIR");
    let program = || belljar.to_string();
    let status = command.status().map_err(|source| ProjectError::Start { program: program(), source })?;
    if status.success() { Ok(()) } else { Err(DemoError::Failed { command: typed, dir: dir.to_owned() }) }
}
