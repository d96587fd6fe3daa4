//! The wrapper: what cargo calls in place of rustc.
//!
//! ```text
//! a unit that is a proc macro    → its shim
//! a unit only macros needed      → an empty artifact
//! a unit called for nothing      → its messages again
//! any other unit                 → rustc as it is, with an expander at hand
//! a question (`-vV`, `--print`)  → rustc as it is
//! ```

pub(crate) mod afterwards;
mod ahead;
pub(crate) mod empty;
mod printed;
mod tracked;
mod unchanged;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};

use belljar_expander::{Awaited, Cache, Config, Expander, Recorder, Tape};
use belljar_guest::GuestRecord;
use belljar_guest::shim::{self, Compiled};
use belljar_plan::{CrateKind, RustcArgs, RustcCall};
use belljar_policy::{Calling, Policy, PolicyError};
use belljar_store::{Expansions, Store, StoreError};
use belljar_wire::message;
use camino::{Utf8Path, Utf8PathBuf};

use crate::own_dir::advice;
use crate::promised::{self, Guest};
use crate::session::{self, Session};
use crate::{cache, interrupt, policy, report};
use afterwards::{AfterwardsError, Compilation, Finished, Root, Stamped};
use ahead::Keys;
use printed::Printed;
use unchanged::{Begun, Call, Known};

/// First argument of an expander that a shim starts.
pub(crate) const EXPANDER: &str = "__expander";

#[derive(Debug, thiserror::Error)]
enum WrapperError {
    #[error("the compiler {compiler} could not be started: {source}")]
    Start { compiler: String, source: std::io::Error },
    #[error(
        "`{argument}`, an argument for the compiler, can't be read, so belljar can't tell what it would compile\nnext: belljar needs arguments and paths that are UTF-8, and files with arguments that it may read"
    )]
    Argument { argument: String },
    #[error("a socket for the macros of this crate could not be made: {source}")]
    Socket { source: std::io::Error },
    #[error("the current directory can't be used: {source}\nnext: belljar needs paths that are UTF-8")]
    Cwd { source: std::io::Error },
    #[error(
        "an empty artifact could not be written to {path}: {source}{}", advice(.source, "check the target directory's disk and rights")
    )]
    Empty { path: Utf8PathBuf, source: std::io::Error },
    #[error("{name}: its module was not made\nnext: `cargo belljar` says why, below or above")]
    NotMade { name: String },
    #[error(transparent)]
    Command(#[from] crate::build::CommandError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Guest(#[from] belljar_guest::GuestError),
    #[error(transparent)]
    Toolchain(#[from] belljar_guest::toolchain::ToolchainError),
    #[error(transparent)]
    Shim(#[from] shim::ShimError),
    #[error(transparent)]
    Afterwards(#[from] AfterwardsError),
}

/// Runs as cargo's wrapper: `args` is the compiler (with an inner wrapper before it, as clippy does) and its arguments.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match try_run(&args) {
        Ok(code) => code,
        Err(error) => {
            interrupt::end_if_interrupted();
            report::error(&error)
        }
    }
}

fn try_run(args: &[OsString]) -> Result<ExitCode, WrapperError> {
    // `clippy-driver /path/rustc --crate-name …`: the compiler's own arguments begin behind everything that is no flag. Only
    // `cargo fix` puts the crate root before the flags.
    let own = |arg: &OsString| {
        let arg = arg.as_encoded_bytes();
        arg.starts_with(b"-") || arg.starts_with(b"@") || arg.ends_with(b".rs")
    };
    let compilers = args.iter().take_while(|arg| !own(arg)).count().max(1);
    let (compilers, given_args) = args.split_at(compilers.min(args.len()));
    let rustc_args = &*belljar_plan::expanded(given_args);
    // Under `cargo fix` belljar is the workspace's wrapper too.
    let inner = compilers.split_first().filter(|(first, rest)| !rest.is_empty() && is_belljar(first));
    let compilers = inner.map_or(compilers, |(_, rest)| rest);
    if std::env::var_os(belljar_guest::nested::VARIABLE).is_some()
        && belljar_guest::nested::is_guest_unit(rustc_args)
    {
        // Only where macros are used is there somebody to answer. A shim could start an expander itself, but not find the
        // store: rustc is told nothing of the user's there.
        if !belljar_guest::nested::may_use_macros(rustc_args) {
            return Ok(exit_like(belljar_guest::nested::rustc(compilers, rustc_args)?));
        }
        let crate_name = match RustcArgs::read(rustc_args) {
            Ok(RustcCall::Unit(unit)) => unit.crate_name.unwrap_or_default(),
            _ => String::new(),
        };
        let (command, sources) = belljar_guest::nested::command(compilers, rustc_args)?;
        let log = belljar_guest::nested::Nested::of_environment().and_then(|nested| nested.log);
        // What a guest is made of must not depend on more than its key says: no grant of the user's holds here.
        let calling = calling(&crate_name);
        let serving = Serving::default();
        let compilation = Compilation::of_guest(calling.clone(), crate_name, log);
        let policy = || Ok(Policy::built_in(calling));
        let (status, _) = with_expander(command, &name(compilers), &serving, false, policy)?;
        if status.success() {
            sources.check()?;
        }
        compilation.finish(&serving.recorder, None, status.success())?;
        serving.settle();
        return Ok(exit_like(status));
    }
    let unit = match RustcArgs::read(rustc_args) {
        Ok(RustcCall::Unit(unit)) => *unit,
        Ok(RustcCall::Question) => return question(compilers, given_args),
        Err(argument) => {
            return Err(WrapperError::Argument { argument: argument.to_string_lossy().into_owned() });
        }
    };
    // Where cargo is ended without a word, what it started ends with it.
    let _ = interrupt::die_with_parent();
    let cwd = std::env::current_dir().and_then(|dir| {
        Utf8PathBuf::from_path_buf(dir)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "its path is not UTF-8"))
    });
    let cwd = cwd.map_err(|source| WrapperError::Cwd { source })?;
    let session = Session::of_environment();
    let known = Known::of(&unit, &cwd);
    if unit.kind == CrateKind::ProcMacro {
        return compile_shim(compilers, rustc_args, (&unit, &cwd), session.as_ref(), known.as_ref());
    }
    if let Some(session) = session.as_ref().filter(|session| session.skips(&unit, &cwd)) {
        known.as_ref().map_or(Ok(()), Known::forget)?;
        empty::write(&unit, &cwd, &session.empty_notes())
            .map_err(|(path, source)| WrapperError::Empty { path, source })?;
        return Ok(ExitCode::SUCCESS);
    }
    let compilation = compilation(compilers, rustc_args, &unit, &cwd, session.as_ref());
    let (calling, places) = (compilation.calling.clone(), compilation.places.clone());
    let probing = session.as_ref().and_then(|session| session.probing.as_ref());
    let call = known
        .as_ref()
        .filter(|_| inner.is_none() && probing.is_none())
        .and_then(|known| Call::of(known, (compilers, rustc_args), (&unit, &cwd), &compilation, &[]));
    if call.as_ref().is_some_and(Call::is_left_alone) {
        return Ok(ExitCode::SUCCESS);
    }
    let begun = begin(known.as_ref(), session.as_ref())?;
    // As it came: where it was too long for a command line, it still is.
    let command = command(compilers, given_args);
    let tape = probing.map(|probing| Arc::new(Tape::of(vec![probing.package.clone()])));
    let awaited = awaited(session.as_ref());
    let keys = compilation.belljar_dir.as_deref().map(|dir| Keys::of(dir, &compilation.unit));
    let serving = Serving { tape, awaited, keys, ..Serving::default() };
    let policy = move || Policy::load(calling, &places);
    let (status, printed) = with_expander(command, &name(compilers), &serving, call.is_some(), policy)?;
    let finished = compilation.finish(&serving.recorder, serving.expansions(), status.success())?;
    if let (Some(call), Some(begun), Some(printed), true) = (&call, begun, printed, status.success()) {
        call.record(begun, printed, finished);
    }
    // What failed or was taken down has not asked for all that the next one asks for.
    if status.success() && probing.is_none() {
        serving.keep_keys();
    }
    serving.settle();
    if let (Some(probing), Some(tape)) = (probing, serving.tape) {
        compilation.probe(probing, &tape)?;
    }
    Ok(exit_like(status))
}

/// By what an expander waits for modules that the command is still making.
fn awaited(session: Option<&Session>) -> Option<Awaited> {
    promised::awaited(session?.promises().cloned().collect())
}

/// What this process's environment, which cargo made, says of the crate.
fn calling(crate_name: &str) -> Calling {
    let name: (OsString, OsString) = ("CARGO_CRATE_NAME".into(), crate_name.into());
    let name = Some(name).filter(|_| !crate_name.is_empty());
    let mut calling = Calling::of_environment(std::env::vars_os().chain(name));
    calling.cwd = std::env::current_dir().ok().and_then(|dir| dir.into_os_string().into_string().ok());
    calling
}

fn compilation(
    compilers: &[OsString],
    args: &[OsString],
    unit: &RustcArgs,
    cwd: &Utf8Path,
    session: Option<&Session>,
) -> Compilation {
    let crate_name = unit.crate_name.clone().unwrap_or_default();
    let mut calling = calling(&crate_name);
    calling.workspace_root = policy_root(session).map(Utf8PathBuf::into_string);
    // A build script can say for its own package that it is another one: then that is what its macros see, but not what is
    // granted to them.
    let named = (calling.package.as_str(), calling.version.as_str());
    if let Some(package) = session.and_then(|session| session.package(unit, cwd, named)) {
        calling.package = package.name.clone();
        calling.version = package.version.clone();
        calling.manifest_dir = package.manifest_dir().map(Utf8PathBuf::into_string);
    }
    let places = match session {
        Some(session) => session.places.clone(),
        None => policy::places(configured_root().as_deref()),
    };
    let has = |flag: &str| args.iter().any(|arg| arg.to_str().is_some_and(|arg| arg.starts_with(flag)));
    Compilation {
        stamped: match session {
            Some(session) if is_looked_after(Some(session)) => {
                Stamped::ByCommand { variables: session.variables.clone() }
            }
            _ => Stamped::ByNobody { policy_files: policy::files(places.clone()) },
        },
        places,
        unit: Compilation::unit_of(unit),
        build: std::env::var(afterwards::BUILD).ok(),
        shares_log: false,
        root: Some(Root { file: unit.source_in(cwd), test: unit.test, edition: unit.edition.clone() }),
        program: Path::new(&name(compilers)).file_name().unwrap_or_default().to_string_lossy().into_owned(),
        dep_info: Compilation::dep_info_of(unit, cwd),
        // cargo has the compiler be silent about crates that aren't the user's.
        shows_notes: !has("--cap-lints"),
        json: has("--error-format=json"),
        belljar_dir: belljar_dir(unit, cwd, session),
        calling,
        crate_name,
    }
}

/// Whether a command looks after stamps before each build. Where plain cargo is sealed too, none may come by.
fn is_looked_after(session: Option<&Session>) -> bool {
    session.is_some() && configured_root().is_none()
}

/// A unit is compiled now, whatever is known of it.
fn begin(known: Option<&Known>, session: Option<&Session>) -> Result<Option<Begun>, AfterwardsError> {
    match known {
        None => Ok(None),
        Some(known) if is_looked_after(session) => known.forget().map(|()| None),
        Some(known) => known.begin(),
    }
}

/// The workspace that `cargo belljar init` has written into cargo's config.
fn configured_root() -> Option<Utf8PathBuf> {
    std::env::var(session::WORKSPACE).ok().map(Utf8PathBuf::from).filter(|root| root.is_absolute())
}

/// Where the project's policy is, if it has a say.
fn policy_root(session: Option<&Session>) -> Option<Utf8PathBuf> {
    session.map_or_else(configured_root, |session| session.policy_root.clone())
}

/// belljar's part of the target directory, if it is known.
pub(crate) fn belljar_dir(
    unit: &RustcArgs,
    cwd: &Utf8Path,
    session: Option<&Session>,
) -> Option<Utf8PathBuf> {
    match session {
        Some(session) => Some(session.belljar_dir.clone()),
        None => Compilation::belljar_dir_of(unit, cwd),
    }
}

/// Is this program belljar, under whatever path?
pub(crate) fn is_belljar(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == "cargo-belljar")
}

/// A call that compiles nothing. The answer to `-vV` gets a line of ours, so that cargo rebuilds when belljar changes.
fn question(compilers: &[OsString], args: &[OsString]) -> Result<ExitCode, WrapperError> {
    let mut command = command(compilers, args);
    let is_version = args.iter().any(|a| a == "-vV");
    if !is_version {
        let source = command.exec();
        return Err(WrapperError::Start { compiler: name(compilers), source });
    }
    let status =
        command.status().map_err(|source| WrapperError::Start { compiler: name(compilers), source })?;
    if status.success() {
        println!("belljar: {}", belljar_guest::version_line());
    }
    Ok(exit_like(status))
}

/// Puts the shim where cargo expects the macro crate.
fn compile_shim(
    compilers: &[OsString],
    args: &[OsString],
    (unit, cwd): (&RustcArgs, &Utf8Path),
    session: Option<&Session>,
    known: Option<&Known>,
) -> Result<ExitCode, WrapperError> {
    let store = Store::open_default()?;
    // Shims are compiled by rustc itself, also under clippy: there is nothing of the user's in them.
    let rustc = compilers.last().map(Path::new).and_then(Utf8Path::from_path).unwrap_or("rustc".into());
    let toolchain = belljar_guest::toolchain::find(&store, rustc)?;
    let record: GuestRecord = match session.and_then(|session| session.guest(unit, cwd)) {
        Some(Guest::Made(record)) => record.clone(),
        Some(Guest::Promised(promise)) => promise
            .wait(&store)?
            .ok_or_else(|| WrapperError::NotMade { name: unit.crate_name.clone().unwrap_or_default() })?,
        None => crate::build::guest_on_demand(&store, &toolchain, unit, cwd, session)?,
    };
    let host = belljar_guest::inside::host(&store, &toolchain)?;
    let exe = belljar_guest::current_exe()?;
    let (policy_root, belljar_dir) = (policy_root(session), belljar_dir(unit, cwd, session));
    let request = shim::ShimRequest {
        rustc,
        cargo_args: args,
        record: &record,
        inside: &host,
        belljar_exe: &exe,
        home: store.home(),
        policy_root: policy_root.as_deref(),
        belljar_dir: belljar_dir.as_deref(),
    };
    // With plain cargo, one that depends on crates that are called for nothing is called for nothing, too.
    let compilation = compilation(compilers, args, unit, cwd, session);
    let decides = shim::decides(&request)?;
    let call =
        known.and_then(|known| Call::of(known, (compilers, args), (unit, cwd), &compilation, &[&decides]));
    if call.as_ref().is_some_and(Call::is_left_alone) {
        return Ok(ExitCode::SUCCESS);
    }
    let begun = begin(known, session)?;
    let compiled = match &call {
        None => shim::compile(&request, &store)?.map(|()| None),
        Some(_) => shim::compile_with(&request, &store, Printed::of)?.map(Some),
    };
    let printed = match compiled {
        Compiled::Now(printed) => printed,
        Compiled::Before(messages) => {
            let printed = Printed { stdout: Some(Vec::new()), stderr: Some(messages.into_bytes()) };
            printed.again();
            Some(printed)
        }
    };
    if let (Some(call), Some(begun), Some(printed)) = (&call, begun, printed) {
        call.record(begun, printed, Finished::default());
    }
    Ok(ExitCode::SUCCESS)
}

/// What the thread that serves shims has in common with the one that waits for the compiler.
#[derive(Debug, Clone, Default)]
struct Serving {
    recorder: Arc<Recorder>,
    tape: Option<Arc<Tape>>,
    /// Modules that are still being made.
    awaited: Option<Awaited>,
    /// Which expansions are likely to be asked for.
    keys: Option<Keys>,
    cache: Arc<OnceLock<Option<Cache>>>,
}

impl Serving {
    /// Where what macros wrote is kept, if it is.
    fn expansions(&self) -> Option<&Expansions> {
        Some(&self.cache.get()?.as_ref()?.expansions)
    }

    /// Keeps what was asked for.
    fn keep_keys(&self) {
        if let (Some(keys), Some(Some(cache))) = (&self.keys, self.cache.get()) {
            keys.write(cache);
        }
    }

    /// Sees to it that what is to be remembered is written.
    fn settle(&self) {
        if let Some(cache) = self.cache.get().and_then(Option::as_ref) {
            let calls = self.recorder.recorded().calls;
            cache.expansions.count(calls.remembered, calls.run, calls.verified);
            cache.ahead.end();
            cache.expansions.settle();
        }
    }
}

/// Runs the compiler as a child and serves its shims until it ends. Gives what it printed if that is to be kept.
fn with_expander(
    mut command: Command,
    compiler: &str,
    serving: &Serving,
    keeps: bool,
    policy: impl FnOnce() -> Result<Policy, PolicyError> + Send + 'static,
) -> Result<(ExitStatus, Option<Printed>), WrapperError> {
    let socket = |source| WrapperError::Socket { source };
    let (ours, theirs) = UnixStream::pair().map_err(socket)?;
    // The one descriptor that is meant to be inherited. Nothing else runs in this process yet.
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty()).map_err(|e| socket(e.into()))?;
    // With its inode, so that a shim behind a compiler cache does not take another socket of that number for this one.
    let inode = rustix::fs::fstat(&theirs).map_err(|e| socket(e.into()))?.st_ino;
    command.env(message::SOCKET_VAR, format!("{}:{inode}", theirs.as_raw_fd()));
    // SAFETY: `prctl` may be called between fork and exec.
    unsafe { command.pre_exec(interrupt::die_with_parent) };
    let start = |source| WrapperError::Start { compiler: compiler.to_owned(), source };
    if keeps {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = command.spawn().map_err(start)?;
    drop(theirs);
    // Ends with the process: when rustc has ended, nobody is left to answer.
    let _server = std::thread::Builder::new()
        .name("expander".to_owned())
        .spawn({
            let serving = serving.clone();
            move || serve(ours, policy(), serving, Store::open_default())
        })
        .map_err(socket)?;
    let printed = keeps.then(|| Printed::of(&mut child)).transpose().map_err(start)?;
    Ok((child.wait().map_err(start)?, printed))
}

/// Answers the shims at the other end of `stream` until they are gone. Errors of single expansions are answers; what is
/// left is a broken connection, which the shim reports with the macro's name.
fn serve(
    stream: UnixStream,
    policy: Result<Policy, PolicyError>,
    serving: Serving,
    store: Result<Store, StoreError>,
) {
    let prepared =
        policy.map_err(|e| e.to_string()).and_then(|policy| Ok((policy, store.map_err(|e| e.to_string())?)));
    match prepared {
        Ok((policy, store)) => {
            let cache = serving.cache.get_or_init(|| cache::of_environment(&store)).clone();
            if let (Some(keys), Some(cache)) = (&serving.keys, &cache) {
                keys.read(cache);
            }
            let Serving { recorder, tape, awaited, .. } = serving;
            let config = Config { recorder, tape, cache, awaited, ..Config::of_environment(store, policy) };
            if let Err(error) = Expander::new(config).serve(stream) {
                report::error(&error);
            }
        }
        Err(error) => {
            if let Err(error) = belljar_expander::refuse_all(stream, &format!("belljar: {error}")) {
                report::error(&error);
            }
        }
    }
}

/// The role of a process that a shim started because it had inherited no socket: rustdoc, rust-analyzer, a compiler
/// cache in between. The socket is standard input. The arguments are those that the shim was made with: where the store is,
/// the workspace, and belljar's part of the target directory.
pub(crate) fn expander(arguments: &[OsString]) -> ExitCode {
    let argument = |i: usize| {
        let path = arguments.get(i).and_then(|path| path.to_str()).map(Utf8PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let fd = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => fd,
        Err(source) => return report::error(&WrapperError::Socket { source }),
    };
    let crate_name = std::env::var("CARGO_CRATE_NAME").unwrap_or_default();
    let socket = UnixStream::from(fd);
    let mut calling = calling(&crate_name);
    let root = configured_root().or_else(|| argument(1));
    let policy_places = policy::places(root.as_deref());
    calling.workspace_root = root.map(Utf8PathBuf::into_string);
    let policy = Policy::load(calling.clone(), &policy_places);
    let compilation = Compilation::served(calling, policy_places, crate_name, argument(2));
    let serving = Serving { awaited: awaited(Session::of_environment().as_ref()), ..Serving::default() };
    let ended = {
        let serving = serving.clone();
        move || {
            // Nobody is left to be told.
            let _ = compilation.finish(&serving.recorder, None, true);
            serving.settle();
            std::process::exit(0)
        }
    };
    if let Err(source) = end_with(&socket, ended) {
        return report::error(&WrapperError::Socket { source });
    }
    // The shim knows the store in which its module is; a guest's build hides the variables that say so.
    let store = argument(0).map_or_else(Store::open_default, |home| Store::open(&home));
    serve(socket, policy, serving, store);
    // The other thread sees the same end, and ends this process.
    loop {
        std::thread::park();
    }
}

/// Calls `ended` when the other end of the socket is closed. A guest that runs at that moment runs for nobody.
fn end_with(socket: &UnixStream, ended: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let socket = socket.try_clone()?;
    let waiting = move || {
        let mut fds = [PollFd::new(&socket, PollFlags::RDHUP)];
        while poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
        ended();
    };
    std::thread::Builder::new().name("socket".to_owned()).spawn(waiting).map(drop)
}

fn command(compilers: &[OsString], args: &[OsString]) -> Command {
    let mut command = Command::new(compilers.first().map_or_else(|| "rustc".into(), Clone::clone));
    command.args(compilers.iter().skip(1)).args(args);
    command
}

fn name(compilers: &[OsString]) -> String {
    compilers.first().map_or_else(|| "rustc".to_owned(), |c| c.to_string_lossy().into_owned())
}

/// Ends as the child ended: with its code, or by its signal, so that cargo reports what it would have reported.
pub(crate) fn exit_like(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal() {
        // Where belljar itself has a handler for it, that would only be told.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(report::FAILED))
}
