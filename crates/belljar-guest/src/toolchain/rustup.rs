//! Rustup, where the compiler is one of its toolchains.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::TARGET;
use super::compiler::Compiler;
use super::machine::Machine;

#[derive(Debug, Clone)]
pub(super) struct Rustup {
    exe: Utf8PathBuf,
    toolchain: String,
}

/// The rustup that manages this compiler.
pub(super) fn of(machine: &Machine, compiler: &Compiler) -> Option<Rustup> {
    let toolchain = compiler.sysroot.strip_prefix(machine.rustup_home.as_ref()?.join("toolchains")).ok()?;
    let mut parts = toolchain.components();
    let toolchain = parts.next().filter(|_| parts.next().is_none())?.as_str().to_owned();
    Some(Rustup { exe: exe(machine)?, toolchain })
}

pub(super) fn exe(machine: &Machine) -> Option<Utf8PathBuf> {
    machine.program(Utf8Path::new("rustup")).or_else(|| {
        let at_home = machine.cargo_home.as_ref()?.join("bin/rustup");
        super::machine::is_program(&at_home).then_some(at_home)
    })
}

impl Rustup {
    pub(super) fn add_target_command(&self) -> String {
        format!("rustup target add --toolchain {} {TARGET}", self.toolchain)
    }

    pub(super) fn add_source_command(&self) -> String {
        format!("rustup component add --toolchain {} rust-src", self.toolchain)
    }

    pub(super) fn add_target(&self) -> Result<(), String> {
        self.run(&["target", "add", "--toolchain", &self.toolchain, TARGET])
    }

    pub(super) fn add_source(&self) -> Result<(), String> {
        self.run(&["component", "add", "--toolchain", &self.toolchain, "rust-src"])
    }

    /// Runs rustup with the user's own settings (`RUSTUP_DIST_SERVER`, `RUSTUP_AUTO_INSTALL`, proxies). An error is the
    /// last thing rustup said.
    fn run(&self, args: &[&str]) -> Result<(), String> {
        let output =
            Command::new(&self.exe).args(args).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let errors = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let line =
            errors.clone().find(|line| line.starts_with("error:")).or_else(|| errors.clone().next_back());
        Err(line.map_or_else(
            || format!("{}", output.status),
            |line| line.trim_start_matches("error: ").to_owned(),
        ))
    }
}
