//! `cargo belljar install`: a program from a registry, a repository or a path, built sealed.
//!
//! `cargo install` can't be asked for its unit graph, and the lockfile it resolves is in nobody's directory. So the
//! package is found as a dependency of an empty package, copied, and planned there as what it will be: a release build.
//! Then cargo installs the original, with the plan at hand.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use belljar_plan::{CargoCall, Workspace};
use belljar_store::{Area, Store};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;

use crate::build::{self, Build, CommandError};
use crate::{interrupt, other_wrapper, report};

#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("{what}: {source}\nnext: check the disk and the rights of {path}")]
    File { what: &'static str, path: Utf8PathBuf, source: std::io::Error },
    #[error("cargo's answer on {package} can't be read: {source}")]
    Metadata { package: String, source: cargo_metadata::Error },
    #[error("{package} is not among the packages cargo found for it")]
    NotFound { package: String },
    #[error("which package of {git} is meant?\nnext: name it: cargo belljar install --git {git} NAME")]
    NameWanted { git: String },
}

/// Those of `cargo install`'s arguments that say what is built; all of them are handed on as they are.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true, disable_version_flag = true, no_binary_name = true)]
struct Args {
    crates: Vec<String>,
    #[arg(long)]
    version: Option<String>,
    #[arg(long)]
    git: Option<String>,
    #[arg(long)]
    branch: Option<String>,
    #[arg(long)]
    tag: Option<String>,
    #[arg(long)]
    rev: Option<String>,
    #[arg(long)]
    path: Option<Utf8PathBuf>,
    #[arg(long)]
    registry: Option<String>,
    #[arg(long)]
    index: Option<String>,
    #[arg(long, short = 'F')]
    features: Vec<String>,
    #[arg(long)]
    all_features: bool,
    #[arg(long)]
    no_default_features: bool,
    #[arg(long)]
    bin: Vec<String>,
    #[arg(long)]
    bins: bool,
    #[arg(long)]
    example: Vec<String>,
    #[arg(long)]
    examples: bool,
    #[arg(long)]
    debug: bool,
    #[arg(long)]
    profile: Option<String>,
    #[arg(long)]
    target: Option<String>,
    #[arg(long)]
    config: Vec<String>,
    #[arg(short = 'Z')]
    unstable: Vec<String>,
    #[arg(long)]
    locked: bool,
    #[arg(long)]
    offline: bool,
    #[arg(long)]
    frozen: bool,
    #[arg(long)]
    list: bool,
}

/// Installs with the arguments that stood behind `install`.
pub(crate) fn run(args: Vec<OsString>) -> Result<ExitCode, CommandError> {
    let call = build::call("install", args.clone())?;
    report::choose_colours(build::value(&args, "--color").as_deref());
    if !build::quiet(&args) {
        other_wrapper::warn(&call.cwd);
    }
    interrupt::guard();
    // What the parser doesn't know (`--root`, `--force`, `--help`, …) chooses nothing that is built.
    let known = Args::try_parse_from(known_args(&args)).ok().filter(|a| !a.list);
    let Some(known) = known else {
        return Err(build::hand_over(&call, build::wrapper_env(None)?).into());
    };
    if let Some(path) = &known.path {
        let manifest = call.cwd.join(path).join("Cargo.toml");
        let planned = known.planned(&call, &manifest);
        let workspace = planned.workspace()?;
        let (_, env) = build::prepare(
            &planned,
            &workspace,
            &workspace.root.join("Cargo.lock"),
            &Build::Installed { moved: None },
        )?
        .guests_first()?;
        return Err(build::hand_over(&call, env).into());
    }
    if known.crates.is_empty() {
        if let Some(git) = known.git {
            return Err(InstallError::NameWanted { git }.into());
        }
        return Err(build::hand_over(&call, build::wrapper_env(None)?).into());
    }
    let scratch = scratch()?;
    for package in &known.crates {
        let one = only(&args, package, &known.crates);
        let code = install_one(&build::call("install", one)?, &known, package, &scratch)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    // As cargo does: what was built stays only where it can help to mend. What can't be removed goes with the next one.
    let _ = std::fs::remove_dir_all(&scratch);
    Ok(ExitCode::SUCCESS)
}

/// Plans one package, makes its guests, and has cargo install it.
fn install_one(
    call: &CargoCall,
    args: &Args,
    spec: &str,
    scratch: &Utf8Path,
) -> Result<ExitCode, CommandError> {
    let name = spec.split('@').next().unwrap_or(spec);
    let dir = scratch.join(name);
    let (manifest, original) = args.find(call, spec, &dir.join("find"))?;
    let copy = dir.join("copy");
    copy_tree(&original, &copy, !args.locked && !args.frozen)?;
    let manifest = copy.join(manifest.strip_prefix(&original).unwrap_or(Utf8Path::new("Cargo.toml")));
    let planned = args.planned(call, &manifest);
    let workspace = Workspace { root: copy.clone(), target_dir: dir.join("target"), build_dir: None };
    let (_, env) = build::prepare(
        &planned,
        &workspace,
        &copy.join("Cargo.lock"),
        &Build::Installed { moved: Some((&copy, &original)) },
    )?
    .guests_first()?;
    interrupt::end_if_interrupted();
    let status = build::sealed(call, env)
        .status()
        .map_err(|source| belljar_plan::PlanError::Start { cargo: call.cargo.clone(), source })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::from(report::FAILED), ExitCode::from))
}

impl Args {
    /// Finds where cargo keeps the source of a package: its manifest, and the root of its workspace.
    fn find(
        &self,
        call: &CargoCall,
        spec: &str,
        dir: &Utf8Path,
    ) -> Result<(Utf8PathBuf, Utf8PathBuf), CommandError> {
        let (name, at) = spec.split_once('@').map_or((spec, None), |(name, at)| (name, Some(at)));
        let mut manifest = toml_edit::DocumentMut::new();
        manifest["package"] = toml_edit::table();
        manifest["package"]["name"] = toml_edit::value("belljar-install");
        manifest["package"]["version"] = toml_edit::value("0.0.0");
        manifest["package"]["edition"] = toml_edit::value("2024");
        manifest["workspace"] = toml_edit::table();
        let mut dependency = toml_edit::InlineTable::new();
        if let Some(git) = &self.git {
            dependency.insert("git", git.as_str().into());
            for (key, chosen) in [("branch", &self.branch), ("tag", &self.tag), ("rev", &self.rev)] {
                if let Some(chosen) = chosen {
                    dependency.insert(key, chosen.as_str().into());
                }
            }
        } else {
            let version = at.or(self.version.as_deref()).unwrap_or("*");
            // `cargo install` takes a full version as that very version.
            let exact = version.starts_with(|c: char| c.is_ascii_digit()) && version.split('.').count() >= 3;
            let version = if exact { format!("={version}") } else { version.to_owned() };
            dependency.insert("version", version.into());
            if let Some(registry) = &self.registry {
                dependency.insert("registry", registry.as_str().into());
            }
            if let Some(index) = &self.index {
                dependency.insert("registry-index", index.as_str().into());
            }
        }
        write(&dir.join("src/lib.rs"), "")?;
        let mut found = None;
        // A package that is no library is only listed as a dependency on its programs, which cargo doesn't know on stable.
        // Nothing is compiled by this.
        for programs in [false, true] {
            let mut dependency = dependency.clone();
            if programs {
                dependency.insert("artifact", "bin".into());
            }
            let mut dependencies = toml_edit::Table::new();
            dependencies.insert(name, toml_edit::value(dependency));
            manifest["dependencies"] = toml_edit::Item::Table(dependencies);
            write(&dir.join("Cargo.toml"), &manifest.to_string())?;

            let mut command = cargo_metadata::MetadataCommand::new();
            command.cargo_path(&call.cargo).current_dir(&call.cwd).manifest_path(dir.join("Cargo.toml"));
            let mut options = self.network_args();
            if programs {
                options.push("-Zbindeps".to_owned());
                command.env("RUSTC_BOOTSTRAP", "1");
            }
            command.other_options(options);
            let failed = |source| InstallError::Metadata { package: spec.to_owned(), source };
            let metadata = command.exec().map_err(failed)?;
            found = metadata.packages.into_iter().find(|p| p.name.as_str() == name);
            if found.is_some() {
                break;
            }
        }
        let package = found.ok_or_else(|| InstallError::NotFound { package: spec.to_owned() })?;
        let manifest = package.manifest_path;
        let mut own = call.clone();
        own.args = vec!["--manifest-path".into(), manifest.clone().into()];
        Ok((manifest, own.workspace()?.root))
    }

    fn network_args(&self) -> Vec<String> {
        let flags = [("--offline", self.offline), ("--frozen", self.frozen)];
        let mut args: Vec<String> =
            flags.iter().filter(|(_, given)| *given).map(|(flag, _)| (*flag).to_owned()).collect();
        args.extend(self.config.iter().flat_map(|c| ["--config".to_owned(), c.clone()]));
        args
    }

    /// The build that `cargo install` will do, as a call of `cargo build`.
    fn planned(&self, call: &CargoCall, manifest: &Utf8Path) -> CargoCall {
        let mut planned = call.clone();
        planned.subcommand = "build".to_owned();
        let mut args: Vec<String> = vec!["--manifest-path".into(), manifest.to_string()];
        match (&self.profile, self.debug) {
            (Some(profile), _) => args.extend(["--profile".into(), profile.clone()]),
            (None, true) => {}
            (None, false) => args.push("--release".into()),
        }
        let flags = [
            ("--all-features", self.all_features),
            ("--no-default-features", self.no_default_features),
            ("--bins", self.bins || (self.bin.is_empty() && self.example.is_empty() && !self.examples)),
            ("--examples", self.examples),
            ("--locked", self.locked),
        ];
        args.extend(flags.iter().filter(|(_, given)| *given).map(|(flag, _)| (*flag).to_owned()));
        for (flag, values) in [
            ("--features", &self.features),
            ("--bin", &self.bin),
            ("--example", &self.example),
            ("-Z", &self.unstable),
        ] {
            args.extend(values.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        args.extend(self.target.iter().flat_map(|target| ["--target".to_owned(), target.clone()]));
        args.extend(self.network_args());
        planned.args = args.into_iter().map(OsString::from).collect();
        planned
    }
}

/// Leaves out the arguments of `cargo install` that choose nothing that is built.
fn known_args(args: &[OsString]) -> Vec<OsString> {
    const WITH_VALUE: [&str; 6] = ["--root", "--color", "-j", "--jobs", "--message-format", "--target-dir"];
    const FLAGS: [&str; 12] = [
        "-f",
        "--force",
        "-q",
        "--quiet",
        "-v",
        "-vv",
        "--verbose",
        "--no-track",
        "--keep-going",
        "--ignore-rust-version",
        "--timings",
        "--dry-run",
    ];
    let mut known = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        if WITH_VALUE.contains(&&*text) {
            args.next();
        } else if !FLAGS.contains(&name) && !WITH_VALUE.contains(&name) {
            known.push(arg.clone());
        }
    }
    known
}

/// The same arguments with one package instead of all.
fn only(args: &[OsString], package: &str, all: &[String]) -> Vec<OsString> {
    let other = |arg: &OsString| all.iter().any(|p| arg == p.as_str()) && arg != package;
    args.iter().filter(|arg| !other(arg)).cloned().collect()
}

/// A directory for this installation, below the store. Clears away those that an interrupted one has left.
fn scratch() -> Result<Utf8PathBuf, CommandError> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let area = Store::open_default()?.dir(Area::Scratch).join("install");
    for entry in std::fs::read_dir(&area).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_some_and(|age| age > DAY) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let dir = area.join(std::process::id().to_string());
    let error =
        |source| InstallError::File { what: "a scratch directory can't be made", path: dir.clone(), source };
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(error)?;
    }
    std::fs::create_dir_all(&dir).map_err(error)?;
    Ok(dir)
}

fn write(path: &Utf8Path, text: &str) -> Result<(), InstallError> {
    let dir = path.parent().unwrap_or(path);
    std::fs::create_dir_all(dir).and_then(|()| std::fs::write(path, text)).map_err(|source| {
        InstallError::File { what: "a file can't be written", path: path.to_owned(), source }
    })
}

/// Copies a package's sources, without its lockfile where cargo would not use it either.
fn copy_tree(from: &Utf8Path, to: &Utf8Path, without_lock: bool) -> Result<(), InstallError> {
    let error = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| InstallError::File { what: "a package's sources can't be copied", path, source }
    };
    std::fs::create_dir_all(to).map_err(error(to))?;
    for entry in from.read_dir_utf8().map_err(error(from))? {
        let entry = entry.map_err(error(from))?;
        let kind = entry.file_type().map_err(error(entry.path()))?;
        let target = to.join(entry.file_name());
        let skipped = matches!(entry.file_name(), ".git" | "target")
            || (without_lock && entry.file_name() == "Cargo.lock");
        if kind.is_dir() && !skipped {
            copy_tree(entry.path(), &target, without_lock)?;
        } else if kind.is_file() && !skipped {
            std::fs::copy(entry.path(), &target).map_err(error(entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_release_build_of_the_programs() {
        let args = os(&["hexyl@0.16.0", "--root", "/r", "--force", "-F", "x", "--locked", "--color=never"]);
        let args = Args::try_parse_from(known_args(&args)).unwrap();
        let call = build::call("install", Vec::new()).unwrap();
        let planned = args.planned(&call, Utf8Path::new("/p/Cargo.toml"));
        assert_eq!(
            planned.args,
            os(&["--manifest-path", "/p/Cargo.toml", "--release", "--bins", "--locked", "--features", "x"])
        );
    }

    #[test]
    fn one_of_several() {
        let all = ["a".to_owned(), "b".to_owned()];
        assert_eq!(only(&os(&["a", "--force", "b"]), "b", &all), os(&["--force", "b"]));
    }
}
