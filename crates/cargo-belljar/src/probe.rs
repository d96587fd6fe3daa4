//! `cargo belljar probe`: what do the outputs of a macro depend on beside its tokens?
//!
//! ```text
//! probe: the crates that call the macro are to be compiled again → cargo check
//!                                        wrapper: the calls of the macro, on tape
//!                                                 rustc has ended: each call again, with one circumstance changed
//!                                                 what differs → a report ┐
//! probe: reports of all crates ←──────────────────────────────────────────┘
//! ```
//!
//! The crates are those that cargo finds stale once the [stamps](crate::stamps) between them and the macro look new. The
//! stamps get back the times that they had, so that no other build is disturbed.

pub(crate) mod report;
pub(crate) mod rerun;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use belljar_plan::Plan;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::build::{self, Build, CommandError};
use crate::json::Format;
use crate::own_dir::{self, OwnDir, advice};
use crate::{interrupt, policy, report as output, stamps};
use report::UnitReport;

/// A circumstance that can be another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Circumstance {
    /// The seed of its random numbers
    Seed,
    /// Its clocks, and the times of files
    Clock,
    /// The compiler's working directory
    Directory,
    /// Where the calling package or its workspace is
    Path,
    /// The order of its calls
    Order,
}

impl Circumstance {
    const ALL: [Self; 5] = [Self::Seed, Self::Clock, Self::Directory, Self::Path, Self::Order];

    /// As a person says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seed => "random seed",
            Self::Clock => "clock",
            Self::Directory => "working directory",
            Self::Path => "package path",
            Self::Order => "order of calls",
        }
    }
}

/// What wrappers are told of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Probing {
    /// The package of the macros.
    pub(crate) package: String,
    pub(crate) circumstances: Vec<Circumstance>,
    /// Where reports go.
    pub(crate) reports: Utf8PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Probe {
    /// The macro package, as Cargo.lock names it
    #[arg(value_name = "MACRO PACKAGE")]
    package: String,
    /// Change only this; can be given several times
    #[arg(long = "with", value_name = "WHAT", value_enum)]
    with: Vec<Circumstance>,
    /// How to write it; as JSON, one object for each crate and version of the macro package
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Arguments for `cargo check`, which compiles the crates that call the macro
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CARGO ARGUMENTS")]
    cargo: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error(
        "{package}: no macro package of this name is part of this build{}\nnext: name the package that has `proc-macro = true`; `cargo belljar log` and Cargo.lock name it", near(.nearest)
    )]
    Unknown { package: String, nearest: Option<String> },
    #[error(
        "{package}: no crate that was compiled calls a macro of it\nnext: only crates of the workspace are compiled again; name more of them, or their tests, behind the package: `cargo belljar probe {package} --workspace --all-targets`"
    )]
    NoCalls { package: String },
    #[error(
        "{path}, which belljar needs to find what {package} depends on, can't be used: {source}{}", advice(.source, "check the target directory's disk and rights")
    )]
    File { package: String, path: Utf8PathBuf, source: io::Error },
    #[error("{package}: what was found can't be written to standard output: {source}")]
    Show { package: String, source: io::Error },
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; there is {name}")).unwrap_or_default()
}

impl Probe {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        interrupt::guard();
        let call = build::call("check", self.cargo.clone())?;
        output::choose_colours(build::value(&self.cargo, "--color").as_deref());
        let workspace = call.workspace()?;
        let belljar_dir = workspace.target_dir.join("belljar");
        let failed = |path: &Utf8Path| {
            let (package, path) = (self.package.clone(), path.to_owned());
            move |source| ProbeError::File { package, path, source }
        };
        own_dir::check(&belljar_dir).map_err(failed(&belljar_dir))?;
        let all = belljar_dir.join("probe");
        OwnDir::make(&all).map_err(failed(&all))?;
        let reports = tempfile::tempdir_in(&all).map_err(failed(&all))?;
        let reports_dir = &*Utf8Path::from_path(reports.path()).unwrap_or(&belljar_dir).to_owned();
        let circumstances = match self.with.is_empty() {
            true => Circumstance::ALL.to_vec(),
            false => Circumstance::ALL.into_iter().filter(|c| self.with.contains(c)).collect(),
        };
        let probing =
            Probing { package: self.package.clone(), circumstances, reports: reports_dir.to_owned() };
        let lockfile = workspace.root.join("Cargo.lock");
        let (plan, env) =
            build::prepare(&call, &workspace, &lockfile, &Build::Probed(&probing))?.guests_first()?;
        self.is_in(&plan)?;

        let dir = policy::stamps(&belljar_dir);
        let stamps = policy::of_macros(&dir, &self.package);
        let renewed = stamps::Renewed::of(stamps).map_err(|(path, source)| failed(&path)(source))?;
        let compiled = build::sealed(&call, env).status();
        let back = renewed.restore();
        let found = report::read(reports_dir).map_err(failed(reports_dir));
        // Nothing of it stays, whatever comes now.
        let gone = reports.close();
        interrupt::end_if_interrupted();
        let status = compiled
            .map_err(|source| belljar_plan::PlanError::Start { cargo: call.cargo.clone(), source })
            .map_err(CommandError::from)?;
        back.map_err(|(path, source)| failed(&path)(source))?;
        gone.map_err(failed(&belljar_dir))?;
        let found = found?;
        if found.is_empty() && status.success() {
            return Err(ProbeError::NoCalls { package: self.package }.into());
        }
        self.show(&found).map_err(|source| ProbeError::Show { package: self.package.clone(), source })?;
        Ok(crate::wrapper::exit_like(status))
    }

    fn is_in(&self, plan: &Plan) -> Result<(), ProbeError> {
        let names = || plan.macros.iter().map(|unit| unit.name.as_str());
        if names().any(|name| name == self.package) {
            return Ok(());
        }
        let like = |name: &&str| name.replace('-', "_").starts_with(&self.package.replace('-', "_"));
        let nearest = names().find(like).map(str::to_owned);
        Err(ProbeError::Unknown { package: self.package.clone(), nearest })
    }

    fn show(&self, found: &[UnitReport]) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        let written = match self.format {
            Format::Text => report::text(found, &self.package, &mut out),
            Format::Json => report::json(found, &mut out),
        };
        match written.and_then(|()| out.flush()) {
            // Whoever reads it has read enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
