//! A cargo subcommand, sealed: plan, guests, then cargo itself with belljar as its wrapper.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use belljar_guest::nested::GuestLog;
use belljar_guest::toolchain::{self, Toolchain, ToolchainError};
use belljar_guest::{GuestError, GuestRecord, GuestRequest, Origin};
use belljar_plan::{CargoCall, MacroUnit, PackageSource, Plan, PlanError, RustcArgs, Workspace};
use belljar_store::{Store, StoreError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::log::{self, UnitLog};
use crate::own_dir::{self, advice};
use crate::probe::Probing;
use crate::promised::{Guest, Making};
use crate::report::{self, StatusLines};
use crate::session::{self, Session, SessionError};
use crate::wrapper::afterwards::BUILD;
use crate::wrapper::empty;
use crate::{cache, interrupt, other_wrapper, policy, refused, seen};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error(transparent)]
    Guest(#[from] GuestError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Init(#[from] crate::init::InitError),
    #[error(transparent)]
    Allow(#[from] crate::allow::AllowError),
    #[error(transparent)]
    Install(#[from] crate::install::InstallError),
    #[error(transparent)]
    Probe(#[from] crate::probe::ProbeError),
    #[error(transparent)]
    Expand(#[from] crate::expand::ExpandError),
    #[error(transparent)]
    Cache(#[from] belljar_store::Problem),
    #[error(transparent)]
    Verify(#[from] cache::BadVerify),
    #[error(
        "files that say which guests are still built can't be made in {path}: {source}\nnext: check the disk and the rights of belljar's store"
    )]
    Promise { path: Utf8PathBuf, source: std::io::Error },
    #[error(
        "no thread can be started to run macros: {source}\nnext: raise this machine's limit on processes or memory"
    )]
    Thread { source: std::io::Error },
    #[error("what differs can't be kept in {path}: {source}{}", advice(.source, "check its disk and rights"))]
    Difference { path: Utf8PathBuf, source: std::io::Error },
    #[error(
        "the path of the current directory can't be used: {source}\nnext: belljar needs paths that are UTF-8"
    )]
    Cwd { source: std::io::Error },
    #[error(
        "an empty artifact of an earlier build can't be removed ({path}): {source}{}", advice(.source, "check the rights of the target directory, or `cargo clean`")
    )]
    Forget { path: Utf8PathBuf, source: std::io::Error },
    #[error(transparent)]
    Policy(#[from] belljar_policy::PolicyError),
    #[error(transparent)]
    Refresh(#[from] policy::RefreshError),
    #[error("belljar's part of the target directory, {path}, can't be used: {source}{}", advice(.source, "check the target directory's disk and rights"))]
    OwnDir { path: Utf8PathBuf, source: std::io::Error },
    #[error("the access log can't be read or shown ({path}): {source}{}", advice(.source, "check its rights"))]
    Log { path: Utf8PathBuf, source: std::io::Error },
    #[error(
        "{macro_package}: `cargo clippy --fix` would compile and load this macro crate without belljar\nnext: mend the other packages with `-p`, or use `cargo belljar clippy` and mend {macro_package} by hand"
    )]
    ClippyFix { macro_package: String },
    #[error("{macro_package}: no Cargo.toml stands above its crate root {source_path}")]
    NoManifest { macro_package: String, source_path: Utf8PathBuf },
    #[error(
        "{macro_package}: no Cargo.lock was found above {from}, so the versions it must be built with aren't known\nnext: run the build as `cargo belljar …`, or write belljar into the workspace with `cargo belljar init`"
    )]
    NoLockfile { macro_package: String, from: Utf8PathBuf },
}

/// Runs `cargo <subcommand> <args>` sealed, and ends as it ends. What can't be planned takes this process's place.
pub(crate) fn run(subcommand: &str, mut args: Vec<OsString>) -> Result<ExitCode, CommandError> {
    let verify = cache::take_flag(&mut args)?;
    let call = call(subcommand, args.clone())?;
    report::choose_colours(value(&args, "--color").as_deref());
    if !quiet(&args) {
        other_wrapper::warn(&call.cwd);
        cache::warn();
    }
    interrupt::guard();
    // Guests are part of it. File systems round times.
    let began = SystemTime::now() - Duration::from_secs(2);
    let mut env = wrapper_env(None)?;
    env.extend(verify.map(|value| (cache::VERIFY.into(), value.into())));
    if subcommand == "fix" {
        // The packages to be mended are compiled by cargo itself in rustc's place. It calls no wrapper but this one, and
        // would compile and load a macro among them.
        env.push(("RUSTC_WORKSPACE_WRAPPER".into(), belljar_guest::current_exe()?.into()));
    }
    if !asks_for_help(&args)
        && let Some(planned) = planned(&call)
    {
        let prepared = planned
            .workspace()
            .map_err(CommandError::from)
            .and_then(|workspace| {
                prepare(&planned, &workspace, &workspace.root.join("Cargo.lock"), &Build::Own)
            })
            .and_then(|prepared| mends_no_macro(&call, &prepared.plan).map(|()| prepared));
        match prepared {
            // What cargo refuses to plan it refuses to build, and says why in its own words.
            Err(CommandError::Plan(PlanError::Cargo { .. })) => {}
            prepared => {
                let prepared = prepared?;
                env.extend(prepared.env);
                return supervise(&call, env, began, prepared.making);
            }
        }
    }
    env.extend(unplanned(&call));
    Err(hand_over(&call, env).into())
}

/// What a call is told that cargo can't plan: an alias, somebody's subcommand. What it builds goes where other sealed builds go,
/// and is granted what the workspace grants. Where there is no workspace, there is nothing to tell.
fn unplanned(call: &CargoCall) -> Vec<(OsString, OsString)> {
    let Ok(workspace) = call.workspace() else { return Vec::new() };
    let mut env = vec![(session::WORKSPACE.into(), workspace.root.into())];
    if !has_flag(&call.args, "--target-dir") {
        env.push(("CARGO_TARGET_DIR".into(), workspace.target_dir.join("belljar").into()));
    }
    env
}

/// `cargo clippy --fix` has cargo call clippy in rustc's place, with no wrapper around it.
fn mends_no_macro(call: &CargoCall, plan: &Plan) -> Result<(), CommandError> {
    let mends = call.subcommand == "clippy" && has_flag(&call.args, "--fix");
    match plan.root_macros.first().filter(|_| mends) {
        Some(name) => Err(CommandError::ClippyFix { macro_package: name.clone() }),
        None => Ok(()),
    }
}

/// The call as the user typed it.
pub(crate) fn call(subcommand: &str, args: Vec<OsString>) -> Result<CargoCall, CommandError> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    Ok(CargoCall {
        cargo: cargo.into(),
        cwd: cwd()?,
        global: Vec::new(),
        subcommand: subcommand.to_owned(),
        args,
        env: Vec::new(),
    })
}

/// The workspace of a manifest, or of where the user is.
pub(crate) fn workspace_of(manifest_path: Option<&impl AsRef<OsStr>>) -> Result<Workspace, CommandError> {
    let args =
        manifest_path.into_iter().flat_map(|path| ["--manifest-path".into(), path.as_ref().into()]).collect();
    Ok(call("metadata", args)?.workspace()?)
}

pub(crate) fn cwd() -> Result<Utf8PathBuf, CommandError> {
    let dir = std::env::current_dir().map_err(|source| CommandError::Cwd { source })?;
    Utf8PathBuf::from_path_buf(dir).map_err(|_| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8");
        CommandError::Cwd { source }
    })
}

/// What kind of a build it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build<'a> {
    /// Of the user's own project.
    Own,
    /// The same, in which calls of macros are run again afterwards.
    Probed(&'a Probing),
    /// Of somebody else's, who is not to say what is granted. Where it was planned on a copy, that and the original.
    Installed { moved: Option<(&'a Utf8Path, &'a Utf8Path)> },
}

/// What a build needs that is to come.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    /// The environment of the build.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Guests that are missing. Wrappers wait for them.
    pub(crate) making: Option<Making>,
}

impl Prepared {
    /// Makes all guests before anything else is done.
    pub(crate) fn guests_first(self) -> Result<(Plan, Vec<(OsString, OsString)>), CommandError> {
        self.making.map_or(Ok(()), Making::make)?;
        Ok((self.plan, self.env))
    }
}

/// Everything that happens before cargo: the plan, a look at the guests, and the session.
pub(crate) fn prepare(
    planned: &CargoCall,
    workspace: &Workspace,
    lockfile: &Utf8Path,
    build: &Build<'_>,
) -> Result<Prepared, CommandError> {
    let mut planned = planned.clone();
    let target_dir = workspace.target_dir.join("belljar");
    // Before cargo does anything there.
    own_dir::check(&target_dir)
        .map_err(|source| CommandError::OwnDir { path: target_dir.clone(), source })?;
    let own_target_dir = !has_flag(&planned.args, "--target-dir");
    if own_target_dir {
        planned.env.push(("CARGO_TARGET_DIR".into(), target_dir.clone().into()));
    }
    // Another wrapper would be asked for the compiler's version, and then not be used.
    planned.env.push(("RUSTC_WRAPPER".into(), belljar_guest::current_exe()?.into()));
    // Behind rustup's proxy, asking the compiler where it is takes as long as the plan.
    let (plan, found) = std::thread::scope(|scope| {
        let found = scope.spawn(found);
        let plan = Plan::of(&planned);
        (plan, found.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut plan = plan?;
    if let Build::Installed { moved: Some((from, to)) } = *build {
        plan.relocate(from, to);
    }
    let name = build_name();
    let log = GuestLog { belljar_dir: target_dir.clone(), build: Some(name.clone()) };
    let (guests, making) = match plan.macros.as_slice() {
        [] => (Vec::new(), None),
        _ => guests(&planned, &plan, (lockfile, workspace), &log, found?)?,
    };
    let notes = target_dir.join("empty");
    empty::forget(&notes, &plan).map_err(|(path, source)| CommandError::Forget { path, source })?;
    let (policy_root, probing) = match *build {
        Build::Own => (Some(workspace.root.clone()), None),
        Build::Probed(probing) => (Some(workspace.root.clone()), Some(probing.clone())),
        Build::Installed { .. } => (None, None),
    };
    seen::refresh(&seen::dir(&target_dir))
        .map_err(|(path, source)| policy::RefreshError::File { path, source })?;
    policy::prepare(policy_root.as_deref(), &policy::stamps(&target_dir), &plan, quiet(&planned.args))?;
    let root = workspace.root.clone();
    let session = Session::new(plan.clone(), guests, root, policy_root, target_dir.clone(), probing);
    let mut env = wrapper_env(Some((&session.write(&target_dir.join("sessions"))?, name)))?;
    env.extend(planned.env);
    Ok(Prepared { plan, env, making })
}

/// What guests are made with.
fn found() -> Result<(Store, Toolchain), CommandError> {
    let store = Store::open_default()?;
    let toolchain = toolchain::find(&store, &rustc())?;
    Ok((store, toolchain))
}

/// Looks for a module for every macro of the plan, and says who makes those that aren't there.
fn guests(
    call: &CargoCall,
    plan: &Plan,
    (lockfile, workspace): (&Utf8Path, &Workspace),
    log: &GuestLog,
    (store, toolchain): (Store, Toolchain),
) -> Result<(Vec<Guest>, Option<Making>), CommandError> {
    let requests = plan
        .macros
        .iter()
        .map(|m| {
            let request = request(m, lockfile, &workspace.root, call)?;
            Ok(GuestRequest { log: Some(log.clone()), ..request })
        })
        .collect::<Result<Vec<_>, CommandError>>()?;
    let (found, making) = Making::of(&store, &toolchain, &requests, quiet(&call.args))?;
    // Looked at only when something is to be made.
    let making = making.map(|making| making.first(&plan.awaited()));
    Ok((found, making))
}

fn request(
    unit: &MacroUnit,
    lockfile: &Utf8Path,
    workspace_root: &Utf8Path,
    call: &CargoCall,
) -> Result<GuestRequest, CommandError> {
    let manifest_path = unit.manifest_path().ok_or_else(|| CommandError::NoManifest {
        macro_package: unit.name.clone(),
        source_path: unit.source.clone(),
    })?;
    Ok(GuestRequest {
        name: unit.name.clone(),
        version: unit.version.clone(),
        origin: match unit.origin {
            PackageSource::Registry => Origin::Registry,
            PackageSource::Git => Origin::Git,
            PackageSource::Path => Origin::Path,
        },
        manifest_path,
        features: unit.features.clone(),
        debug_assertions: unit.debug_assertions,
        lockfile: lockfile.to_owned(),
        workspace_root: workspace_root.to_owned(),
        cwd: call.cwd.clone(),
        config: call.config(),
        offline: offline(&call.args),
        log: None,
        awaited: 0,
    })
}

/// The guest for a macro unit that no session knows, from what cargo tells its wrapper.
pub(crate) fn guest_on_demand(
    store: &Store,
    toolchain: &Toolchain,
    unit: &RustcArgs,
    cwd: &Utf8Path,
    session: Option<&Session>,
) -> Result<GuestRecord, CommandError> {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let name = var("CARGO_PKG_NAME");
    let nested = belljar_guest::nested::Nested::of_environment();
    let workspace_root = session
        .map(|s| s.workspace_root.clone())
        .or_else(|| nested.as_ref().map(|n| n.workspace_root.clone()))
        .or_else(|| std::env::var(session::WORKSPACE).ok().map(Utf8PathBuf::from));
    // Without a word on the workspace: the target directory usually stands in it.
    let from = workspace_root.clone().or_else(|| unit.out_dir.clone()).unwrap_or_else(|| cwd.to_owned());
    let lockfile = nested.as_ref().map(|n| n.lockfile.clone()).or_else(|| {
        cwd.join(&from).ancestors().map(|dir| dir.join("Cargo.lock")).find(|path| path.is_file())
    });
    let lockfile = lockfile
        .ok_or_else(|| CommandError::NoLockfile { macro_package: name.clone(), from: from.clone() })?;
    let root = workspace_root.or_else(|| lockfile.parent().map(Utf8Path::to_owned)).unwrap_or(from);
    let version = var("CARGO_PKG_VERSION");
    let source = unit.source_in(cwd);
    let manifest_path = Utf8PathBuf::from(var("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if !manifest_path.is_file() {
        return Err(CommandError::NoManifest { macro_package: name, source_path: source });
    }
    let here = || {
        let belljar_dir = crate::wrapper::belljar_dir(unit, cwd, session)?;
        Some(GuestLog { belljar_dir, build: std::env::var(BUILD).ok() })
    };
    let request = GuestRequest {
        log: nested.as_ref().map_or_else(here, |n| n.log.clone()),
        origin: belljar_guest::origin_of(&lockfile, &name, &version),
        manifest_path,
        features: unit.features.clone(),
        debug_assertions: unit.debug_assertions,
        lockfile,
        cwd: nested.as_ref().map_or_else(|| root.clone(), |n| n.cwd.clone()),
        config: nested.map(|n| n.config).unwrap_or_default(),
        workspace_root: root,
        // Whatever is needed, cargo has fetched for the build that is going on.
        offline: true,
        name: name.clone(),
        version,
        awaited: 0,
    };
    interrupt::guard();
    // cargo keeps what is printed here as the unit's messages, and would show each step in every build from now on.
    let mut records = belljar_guest::ensure(store, toolchain, &[request], &StatusLines::new(true))?;
    interrupt::end_if_interrupted();
    records.pop().ok_or(CommandError::NoManifest { macro_package: name, source_path: source })
}

/// The call whose unit graph is that of `call`: for most subcommands the call itself. `None` where cargo can't tell
/// beforehand; guests are then built on demand.
fn planned(call: &CargoCall) -> Option<CargoCall> {
    let mut planned = call.clone();
    let before_dashes = call.args.iter().take_while(|a| *a != "--").cloned();
    planned.args = before_dashes.collect();
    match call.subcommand.as_str() {
        "build" | "check" | "test" | "bench" | "rustc" | "doc" => {}
        // `cargo run` can't be asked (it expects a program in the end); what it compiles, build compiles.
        "run" => {
            planned.subcommand = "build".to_owned();
            planned.args.truncate(own_args(&planned.args));
        }
        // What clippy and fix compile is what check compiles.
        "clippy" | "fix" => {
            planned.subcommand = "check".to_owned();
            const OWN: [&str; 8] = [
                "--fix",
                "--no-deps",
                "--allow-dirty",
                "--allow-staged",
                "--allow-no-vcs",
                "--broken-code",
                "--edition",
                "--edition-idioms",
            ];
            planned.args.retain(|arg| !OWN.iter().any(|own| arg == own));
        }
        "nextest" => {
            planned.subcommand = "test".to_owned();
            planned.args = nextest_build_args(&planned.args)?;
        }
        _ => return None,
    }
    Some(planned)
}

/// How many of the arguments of `cargo run` are cargo's own: the first word that is neither a flag nor a flag's value is
/// the program's.
fn own_args(args: &[OsString]) -> usize {
    const WITH_VALUE: [&str; 15] = [
        "-p",
        "--package",
        "-F",
        "--features",
        "--bin",
        "--example",
        "-j",
        "--jobs",
        "--profile",
        "--target",
        "--target-dir",
        "--manifest-path",
        "--message-format",
        "--config",
        "-Z",
    ];
    let mut i = 0;
    while let Some(arg) = args.get(i) {
        let text = arg.to_string_lossy();
        if !text.starts_with('-') {
            return i;
        }
        i += if WITH_VALUE.contains(&&*text) || text == "--color" { 2 } else { 1 };
    }
    args.len()
}

/// Those of nextest's arguments that choose what is built, as `cargo test` calls them. `None` for its subcommands that
/// build nothing.
fn nextest_build_args(args: &[OsString]) -> Option<Vec<OsString>> {
    const FLAGS: [&str; 16] = [
        "--workspace",
        "--all",
        "--all-features",
        "--no-default-features",
        "--release",
        "-r",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
        "--benches",
        "--all-targets",
        "--offline",
        "--locked",
        "--frozen",
        "--ignore-rust-version",
    ];
    const WITH_VALUE: [&str; 15] = [
        "-p",
        "--package",
        "--exclude",
        "-F",
        "--features",
        "--target",
        "--manifest-path",
        "--target-dir",
        "--bin",
        "--test",
        "--example",
        "--bench",
        "--config",
        "-Z",
        "--cargo-profile",
    ];
    let mut args = args.iter();
    let subcommand = args.find(|a| !a.as_encoded_bytes().starts_with(b"-"))?;
    if !["run", "r", "list", "archive"].iter().any(|s| subcommand == s) {
        return None;
    }
    let mut build = Vec::new();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        let renamed = |text: &str| OsString::from(text.replacen("--cargo-profile", "--profile", 1));
        if FLAGS.contains(&&*text) {
            build.push(arg.clone());
        } else if WITH_VALUE.contains(&&*text) {
            build.push(renamed(&text));
            build.extend(args.next().cloned());
        } else if text.starts_with("--") && WITH_VALUE.contains(&name) {
            build.push(renamed(&text));
        }
    }
    Some(build)
}

/// What makes a cargo call a sealed one.
pub(crate) fn wrapper_env(
    session: Option<(&Utf8Path, String)>,
) -> Result<Vec<(OsString, OsString)>, CommandError> {
    let mut env: Vec<(OsString, OsString)> =
        vec![("RUSTC_WRAPPER".into(), belljar_guest::current_exe()?.into())];
    if let Some((session, build)) = session {
        env.push((session::VARIABLE.into(), session.into()));
        env.push((BUILD.into(), build.into()));
    }
    Ok(env)
}

/// A name for this run of cargo, unlike that of any other on this machine.
fn build_name() -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", time.as_millis(), std::process::id())
}

/// Replaces this process with cargo. Returns only when that fails.
pub(crate) fn hand_over(call: &CargoCall, env: Vec<(OsString, OsString)>) -> PlanError {
    interrupt::end_if_interrupted();
    let mut command = sealed(call, env);
    PlanError::Start { cargo: call.cargo.clone(), source: command.exec() }
}

/// Subcommands that run programs, which may have plans of their own for signals: tests that clear up, and nextest, which ends
/// its tests one by one. What such a program prints is not for belljar to add to, unless it was never built.
fn runs_programs(subcommand: &str) -> bool {
    matches!(subcommand, "run" | "test" | "bench" | "nextest")
}

/// Runs cargo, and says in the end what macros were refused meanwhile. Ends as cargo ends.
fn supervise(
    call: &CargoCall,
    env: Vec<(OsString, OsString)>,
    began: SystemTime,
    making: Option<Making>,
) -> Result<ExitCode, CommandError> {
    let value = |name: &str| env.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let build = value(BUILD).and_then(|name| name.into_string().ok());
    let session = value(session::VARIABLE).and_then(|path| path.into_string().ok()).map(Utf8PathBuf::from);
    let runs_programs = runs_programs(&call.subcommand);
    // A program is not to run beside compilers, nor to be ended with them.
    let making = match making {
        Some(making) if runs_programs => making.make().map(|()| None)?,
        making => making,
    };
    interrupt::end_if_interrupted();
    let mut command = sealed(call, env);
    let start = |source| PlanError::Start { cargo: call.cargo.clone(), source };
    // SAFETY: `prctl` may be called between fork and exec.
    unsafe { command.pre_exec(interrupt::die_with_parent) };
    let mut spawn = move || {
        let child = command.spawn().map_err(start)?;
        if runs_programs {
            interrupt::leave_to(&child);
        }
        Ok(child)
    };
    let status = match making {
        Some(making) => making.make_beside(spawn)?,
        None => spawn()?.wait(),
    };
    let status = status.map_err(start)?;
    interrupt::leave_to_nobody();
    if !runs_programs {
        interrupt::end_if_interrupted();
    }
    let belljar_dir = session.as_deref().and_then(Utf8Path::parent).and_then(Utf8Path::parent);
    if let (Some(build), Some(dir)) = (build, belljar_dir)
        && !(status.success() && (runs_programs || quiet(&call.args)))
    {
        let logs = log::of_build(&dir.join("log"), &build, began);
        let failed = if runs_programs { logs.iter().any(UnitLog::failed) } else { !status.success() };
        if (failed || !runs_programs)
            && let Some(text) = refused::summary(&logs, failed)
        {
            report::note(text);
        }
    }
    Ok(crate::wrapper::exit_like(status))
}

/// cargo with this environment.
pub(crate) fn sealed(call: &CargoCall, env: Vec<(OsString, OsString)>) -> Command {
    let mut command = Command::new(&call.cargo);
    command.args(&call.global).arg(&call.subcommand).args(&call.args);
    // Somebody else's, if any: of a belljar around this one, or nonsense.
    for variable in [session::VARIABLE, belljar_guest::nested::VARIABLE, belljar_wire::message::SOCKET_VAR] {
        command.env_remove(variable);
    }
    command.envs(env);
    command
}

/// The compiler that will be used, as cargo chooses it without a config file.
pub(crate) fn rustc() -> Utf8PathBuf {
    std::env::var("RUSTC").map_or_else(|_| "rustc".into(), Utf8PathBuf::from)
}

fn asks_for_help(args: &[OsString]) -> bool {
    args.iter()
        .take_while(|a| *a != "--")
        .any(|a| a == "--help" || a == "-h" || a == "--version" || a == "-V")
}

fn has_flag(args: &[OsString], flag: &str) -> bool {
    args.iter().any(|a| {
        a.to_string_lossy().strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// The value of an argument of cargo's own that is given once, as `flag value` or `flag=value`.
pub(crate) fn value(args: &[OsString], flag: &str) -> Option<String> {
    let mut args = args.iter().take_while(|a| *a != "--");
    while let Some(arg) = args.next() {
        match arg.to_string_lossy().strip_prefix(flag) {
            Some("") => return args.next().map(|value| value.to_string_lossy().into_owned()),
            Some(rest) if rest.starts_with('=') => return Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    None
}

pub(crate) fn offline(args: &[OsString]) -> bool {
    has_flag(args, "--offline") || has_flag(args, "--frozen")
}

pub(crate) fn quiet(args: &[OsString]) -> bool {
    let by_variable = std::env::var_os("CARGO_TERM_QUIET").is_some_and(|v| v == OsStr::new("true"));
    by_variable || args.iter().take_while(|a| *a != "--").any(|a| a == "-q" || a == "--quiet")
}

/// `cargo belljar setup`
pub(crate) fn setup(unwinding: bool, offline: bool, quiet: bool) -> Result<ExitCode, CommandError> {
    interrupt::guard();
    let store = Store::open_default()?;
    let progress = StatusLines::new(quiet);
    let options = toolchain::SetupOptions { rustc: rustc(), offline, unwinding };
    let toolchain = toolchain::setup(&store, &options, &progress)?;
    belljar_guest::inside::prepare(&store, &toolchain)?;
    if !quiet {
        report::status("Ready", format_args!("macros are sealed with {}", toolchain.summary()));
    }
    Ok(ExitCode::SUCCESS)
}

/// `cargo belljar doctor`
pub(crate) fn doctor() -> Result<ExitCode, CommandError> {
    let report = toolchain::doctor(&rustc());
    anstream::print!("{report}");
    Ok(if report.healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &[&str]) -> CargoCall {
        CargoCall {
            cargo: "cargo".into(),
            cwd: "/".into(),
            global: Vec::new(),
            subcommand: words[0].to_owned(),
            args: words[1..].iter().map(OsString::from).collect(),
            env: Vec::new(),
        }
    }

    #[test]
    fn what_is_planned_is_what_will_be_built() {
        for (typed, expected) in [
            (&["test", "-p", "x", "--", "--ignored"][..], Some(&["test", "-p", "x"][..])),
            (&["clippy", "--fix", "--allow-dirty", "--tests"], Some(&["check", "--tests"])),
            (
                &[
                    "nextest",
                    "run",
                    "-p",
                    "x",
                    "--cargo-profile",
                    "ci",
                    "-E",
                    "test(a)",
                    "--features=f",
                    "--retries",
                    "2",
                ],
                Some(&["test", "-p", "x", "--profile", "ci", "--features=f"]),
            ),
            (
                &["run", "-r", "--bin", "x", "-Zy", "list", "--help"],
                Some(&["build", "-r", "--bin", "x", "-Zy"]),
            ),
            (&["nextest", "self", "update"], None),
            (&["tree"], None),
        ] {
            let planned = planned(&call(typed));
            let words = planned.map(|p| {
                let args = p.args.iter().map(|a| a.to_str().unwrap().to_owned());
                std::iter::once(p.subcommand.clone()).chain(args).collect::<Vec<_>>()
            });
            assert_eq!(
                words,
                expected.map(|e| e.iter().map(|&w| w.to_owned()).collect::<Vec<_>>()),
                "{typed:?}"
            );
        }
    }
}
