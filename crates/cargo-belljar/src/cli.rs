//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{allow, build, cache, expand, init, install, interrupt, log, probe, report};

/// Runs every procedural macro of a cargo build sealed
///
/// Macros are compiled to WebAssembly and run outside the compiler, deterministically, with nothing in reach.
///
/// Every cargo subcommand can stand behind `cargo belljar`, with its own arguments: build, check, test, run, bench,
/// clippy, doc, rustc, fix, install, nextest, and those installed or aliased on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo belljar", bin_name = "cargo belljar", version, styles = clap_cargo_styles())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find or make the WASI std that macros are compiled against
    Setup(Setup),
    /// Say what was found on this machine, what is missing, and how to mend it
    Doctor,
    /// Write belljar into this workspace's cargo config, so that plain cargo and the editor are sealed too
    Init(init::Init),
    /// Show what every macro asked for, and with which outcome
    Log(log::show::Log),
    /// Show what macros wrote, as it was compiled
    Expand(expand::Expand),
    /// Let a macro package reach something: adds a grant to belljar.toml
    Allow(allow::Allow),
    /// Find out what a macro's outputs depend on beside its tokens
    Probe(probe::Probe),
    /// Show, check or forget what is remembered of expansions
    Cache(cache::Command),
    /// Print completions for a shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Install a program, built sealed
    #[command(disable_help_flag = true)]
    Install(Passed),
    #[command(flatten)]
    Cargo(Cargo),
    /// Any other cargo subcommand
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// cargo's subcommands that compile, listed so that they stand in the help and in completions.
#[derive(Debug, Subcommand)]
enum Cargo {
    /// Compile the current package, sealed
    #[command(visible_alias = "b", disable_help_flag = true)]
    Build(Passed),
    /// Check the current package for errors, sealed
    #[command(visible_alias = "c", disable_help_flag = true)]
    Check(Passed),
    /// Build sealed, and run the tests
    #[command(visible_alias = "t", disable_help_flag = true)]
    Test(Passed),
    /// Build sealed, and run the program
    #[command(visible_alias = "r", disable_help_flag = true)]
    Run(Passed),
    /// Build sealed, and run the benchmarks
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Lint, sealed
    #[command(disable_help_flag = true)]
    Clippy(Passed),
    /// Document, sealed
    #[command(visible_alias = "d", disable_help_flag = true)]
    Doc(Passed),
    /// Compile with extra flags for rustc, sealed
    #[command(disable_help_flag = true)]
    Rustc(Passed),
    /// Apply the compiler's suggestions, sealed
    #[command(disable_help_flag = true)]
    Fix(Passed),
    /// Build sealed, and run the tests with nextest
    #[command(disable_help_flag = true)]
    Nextest(Passed),
}

/// Arguments that are cargo's.
#[derive(Debug, clap::Args)]
struct Passed {
    /// Arguments of the cargo subcommand of this name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CARGO ARGUMENTS")]
    args: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct Setup {
    /// Also make the std that unwinds, which macros that call `catch_unwind` need
    #[arg(long)]
    unwinding: bool,
    /// Use only what is on this machine
    #[arg(long)]
    offline: bool,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

impl Cargo {
    fn call(self) -> (&'static str, Vec<OsString>) {
        match self {
            Cargo::Build(passed) => ("build", passed.args),
            Cargo::Check(passed) => ("check", passed.args),
            Cargo::Test(passed) => ("test", passed.args),
            Cargo::Run(passed) => ("run", passed.args),
            Cargo::Bench(passed) => ("bench", passed.args),
            Cargo::Clippy(passed) => ("clippy", passed.args),
            Cargo::Doc(passed) => ("doc", passed.args),
            Cargo::Rustc(passed) => ("rustc", passed.args),
            Cargo::Fix(passed) => ("fix", passed.args),
            Cargo::Nextest(passed) => ("nextest", passed.args),
        }
    }
}

/// Runs the command with the arguments behind `cargo belljar`.
pub(crate) fn run(mut args: Vec<OsString>) -> ExitCode {
    // `cargo belljar +nightly …` can't choose a toolchain (rustup reads that before any subcommand); say so.
    if let Some(chosen) = args.first().filter(|a| a.as_encoded_bytes().starts_with(b"+")) {
        let chosen = chosen.to_string_lossy();
        anstream::eprintln!("error: a toolchain is chosen before the subcommand: cargo {chosen} belljar …");
        return ExitCode::from(2);
    }
    args.insert(0, "cargo belljar".into());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let result = match cli.command {
        Command::Setup(setup) => build::setup(setup.unwinding, setup.offline, setup.quiet),
        Command::Doctor => build::doctor(),
        Command::Init(init) => init.run(),
        Command::Log(log) => log.run(),
        Command::Expand(expand) => expand.run(),
        Command::Allow(allow) => allow.run(),
        Command::Probe(probe) => probe.run(),
        Command::Cache(cache) => cache.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "cargo-belljar", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Install(passed) => install::run(passed.args),
        Command::Cargo(cargo) => {
            let (subcommand, args) = cargo.call();
            build::run(subcommand, args)
        }
        Command::Other(mut words) => {
            let subcommand = words.remove(0).to_string_lossy().into_owned();
            build::run(&subcommand, words)
        }
    };
    result.unwrap_or_else(|error| {
        interrupt::end_if_interrupted();
        report::error(&error)
    })
}

/// Colours of help texts, as cargo's own are.
fn clap_cargo_styles() -> clap::builder::Styles {
    use anstyle::AnsiColor::{BrightCyan, BrightGreen, BrightRed, Cyan, Yellow};
    clap::builder::Styles::styled()
        .header(BrightGreen.on_default().bold())
        .usage(BrightGreen.on_default().bold())
        .literal(BrightCyan.on_default().bold())
        .placeholder(Cyan.on_default())
        .error(BrightRed.on_default().bold())
        .valid(BrightCyan.on_default().bold())
        .invalid(Yellow.on_default().bold())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    fn passed(words: &[&str]) -> (String, Vec<OsString>) {
        let words = std::iter::once("cargo belljar").chain(words.iter().copied());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Cargo(cargo) => {
                let (name, args) = cargo.call();
                (name.to_owned(), args)
            }
            Command::Other(mut words) => (words.remove(0).into_string().unwrap(), words),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_reach_cargo_as_they_are() {
        for words in [
            &["test", "-p", "x", "--", "--nocapture", "--help"][..],
            &["build", "--help"],
            &["check", "-Zunstable-options", "--message-format", "json", "-q"],
            &["run", "--release", "arg", "--version"],
            &["hack", "check", "--feature-powerset"],
        ] {
            let (name, args) = passed(words);
            assert_eq!(name, words[0]);
            assert_eq!(args, words[1..].iter().map(OsString::from).collect::<Vec<_>>());
        }
        assert_eq!(passed(&["t", "--lib"]).0, "test");
    }
}
