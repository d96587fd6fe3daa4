//! The project's chores: `cargo xtask --help`.
//!
//! Each subcommand is one module with an `Args` struct (what the user may say) and a `run` function. A chore that finds
//! something wrong says so on standard error and ends with exit code 1.

mod bench;
mod demo;
mod dictionary;
mod fidelity;
mod fuzz;
mod msrv;
mod project;
mod schema;
mod setup_toolchain;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's chores", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Measure what sealed macros cost and save, against native ones
    Bench(bench::Args),
    /// Do the main job on the sample project: set up, test and run it sealed
    Demo(demo::Args),
    /// Make the dictionary with which remembered expansions are compressed, from what published macros write
    Dictionary(dictionary::Args),
    /// Compile every fidelity fixture natively and sealed, and compare what the compiler says
    Fidelity(fidelity::Args),
    /// Feed random bytes to what machines read (needs a C++ compiler)
    Fuzz(fuzz::Args),
    /// Check that belljar builds with the oldest Rust it says it needs
    Msrv(msrv::Args),
    /// Write the reference of `belljar.toml` and its JSON schema into docs/
    Schema(schema::Args),
    /// Make what guests are compiled with, from Debian's packages alone
    SetupToolchain(setup_toolchain::Args),
    /// Set up, then check formatting and lints and run all tests; what CI runs
    Test(test::Args),
}

fn main() -> ExitCode {
    let outcome: Result<ExitCode, Box<dyn std::error::Error>> = match Cli::parse().chore {
        Chore::Demo(args) => demo::run(&args).map_err(Into::into),
        Chore::Dictionary(args) => dictionary::run(&args).map_err(Into::into),
        Chore::Bench(args) => bench::run(&args).map_err(Into::into),
        Chore::Fidelity(args) => fidelity::run(&args).map_err(Into::into),
        Chore::Fuzz(args) => fuzz::run(&args).map_err(Into::into),
        Chore::Msrv(args) => msrv::run(&args).map_err(Into::into),
        Chore::Schema(args) => schema::run(&args).map_err(Into::into),
        Chore::SetupToolchain(args) => setup_toolchain::run(&args).map_err(Into::into),
        Chore::Test(args) => test::run(&args).map_err(Into::into),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            eprintln!("  caused by: {inner}");
            cause = inner.source();
        }
        ExitCode::FAILURE
    })
}
