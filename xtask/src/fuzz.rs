//! `cargo xtask fuzz`: feeds libFuzzer's bytes to what machines read, for a while.
//!
//! The targets are in `fuzz/`. They are built by the stable compiler: LLVM's coverage pass is asked for by flags, so no
//! nightly and no `cargo fuzz` is needed. (With these installed, `cargo fuzz run tokens` works as well.)

use std::process::ExitCode;

use crate::project::{self, ProjectError};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this target
    #[arg(long, value_name = "NAME")]
    only: Option<String>,

    /// How long each target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FuzzError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("the folder {path} can't be used")]
    Folder { path: camino::Utf8PathBuf, source: std::io::Error },
    #[error("the targets in fuzz/ don't build; the errors are above (libFuzzer itself needs a C++ compiler)")]
    DoesNotBuild,
    #[error("there is no target `{0}`; there are {targets}", targets = TARGETS.join(", "))]
    NoTarget(String),
    #[error("{target} found something, printed above; the input is in {artifacts}")]
    Found { target: String, artifacts: camino::Utf8PathBuf },
}

const TARGETS: [&str; 2] = ["tokens", "messages"];

/// What `cargo fuzz` passes, without a sanitizer: belljar's readers are safe code.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

pub(crate) fn run(args: &Args) -> Result<ExitCode, FuzzError> {
    if let Some(unknown) = args.only.as_ref().filter(|only| !TARGETS.contains(&only.as_str())) {
        return Err(FuzzError::NoTarget(unknown.clone()));
    }
    let host = host()?;
    let target_dir = project::scratch("fuzz")?;
    let cargo = project::cargo();
    let start = |program: String| move |source| ProjectError::Start { program, source };
    let mut build = project::command(&cargo);
    build
        .current_dir(project::root().join("fuzz"))
        // With a target, the flags don't reach build scripts.
        .args(["build", "--release", "--bins", "--locked", "--target", &host])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTFLAGS", FLAGS);
    let status = build.status().map_err(start(cargo.to_string_lossy().into_owned()))?;
    if !status.success() {
        return Err(FuzzError::DoesNotBuild);
    }
    for target in TARGETS.iter().filter(|t| args.only.as_ref().is_none_or(|only| only == *t)) {
        let [corpus, artifacts] = ["corpus", "artifacts"].map(|kind| target_dir.join(kind).join(target));
        for path in [&corpus, &artifacts] {
            std::fs::create_dir_all(path)
                .map_err(|source| FuzzError::Folder { path: path.clone(), source })?;
        }
        let program = target_dir.join(&host).join("release").join(target);
        let mut fuzzer = project::command(&program);
        fuzzer
            .arg(&corpus)
            .arg(format!("-artifact_prefix={artifacts}/"))
            .arg(format!("-max_total_time={}", args.seconds))
            .args(["-max_len=16384", "-print_final_stats=1"]);
        let status = fuzzer.status().map_err(start(program.into_string()))?;
        if !status.success() {
            return Err(FuzzError::Found { target: (*target).to_owned(), artifacts });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The target that this machine's programs are compiled for.
fn host() -> Result<String, FuzzError> {
    let program = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = std::process::Command::new(&program)
        .args(["--print", "host-tuple"])
        .output()
        .map_err(|source| ProjectError::Start { program, source })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
