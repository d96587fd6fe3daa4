//! Builds all guests of a project and prints their modules: `seal <project> [cargo arguments]`.
//!
//! `BELLJAR_HOME` says which store, `SEAL_ABORTING` and `SEAL_UNWINDING` where sysroots are, `SEAL_LOCKFILE` which
//! lockfile if not the project's. It is also its own compiler wrapper, without the sealing of macros that macros use;
//! the tests of guest builds run it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use belljar_guest::toolchain::{Sysroot, Toolchain};
use belljar_guest::{GuestRequest, Origin, Progress, nested, toolchain};
use belljar_store::Store;
use camino::{Utf8Path, Utf8PathBuf};

struct Lines(Instant);

impl Progress for Lines {
    fn step(&self, verb: &str, what: &str) {
        eprintln!("{:7.2}s {verb:>12} {what}", self.0.elapsed().as_secs_f32());
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if std::env::var_os(nested::VARIABLE).is_some() {
        return wrapper(&args);
    }
    match seal(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wrapper(args: &[OsString]) -> ExitCode {
    let Some((compiler, rest)) = args.split_first() else { return ExitCode::FAILURE };
    if nested::is_guest_unit(rest) {
        match nested::rustc(std::slice::from_ref(compiler), rest) {
            Ok(status) if status.success() => return ExitCode::SUCCESS,
            Ok(_) => {}
            Err(error) => eprintln!("error: {error}"),
        }
    } else {
        eprintln!("error: {}", Command::new(compiler).args(rest).exec());
    }
    ExitCode::FAILURE
}

fn seal(args: &[OsString]) -> Result<(), Box<dyn std::error::Error>> {
    let project = args.first().and_then(|a| a.to_str()).ok_or("which project?")?;
    let project = Utf8Path::new(project).canonicalize_utf8()?;
    let store = Store::open_default()?;
    let toolchain = toolchain(&store)?;
    let mut cargo = Command::new(&toolchain.cargo);
    cargo.current_dir(&project).args(["check", "--unit-graph", "-Zunstable-options"]).args(&args[1..]);
    let output = cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC_WRAPPER", "").output()?;
    let graph: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let mut requests = Vec::new();
    for unit in graph["units"].as_array().into_iter().flatten() {
        if unit["target"]["kind"][0] == "proc-macro" && unit["mode"] == "build" {
            requests.push(request(unit, &project).ok_or("a unit that can't be understood")?);
        }
    }
    let start = Instant::now();
    let records = belljar_guest::ensure(&store, &toolchain, &requests, &Lines(start))?;
    for record in records {
        let size = store.module(&record.module)?.map_or(0, |m| m.len());
        let unwinds = if record.unwinds { " unwinds" } else { "" };
        println!(
            "{} {} {} {size} bytes, {} entry points{unwinds}",
            record.package,
            record.version,
            record.module,
            record.entries.len()
        );
    }
    eprintln!("{:7.2}s", start.elapsed().as_secs_f32());
    Ok(())
}

/// The toolchain as belljar finds it, or with the sysroots that are given.
fn toolchain(store: &Store) -> Result<Toolchain, Box<dyn std::error::Error>> {
    let given = |name: &str, unwinds| {
        let path = std::env::var(name).ok()?.into();
        Some(Sysroot { path: Some(path), unwinds, id: name.to_owned() })
    };
    let unwinding = given("SEAL_UNWINDING", true);
    let Some(aborting) = given("SEAL_ABORTING", false) else {
        let found = toolchain::find(store, "rustc".into())?;
        return Ok(Toolchain { unwinding: unwinding.or(found.unwinding.clone()), ..found });
    };
    let ask = |arg: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        Ok(String::from_utf8(Command::new("rustc").args(arg).output()?.stdout)?.trim().to_owned())
    };
    let sysroot = Utf8PathBuf::from(ask(&["--print", "sysroot"])?);
    let version = ask(&["-vV"])?;
    let field = |name: &str| {
        version.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
    };
    Ok(Toolchain {
        rustc: sysroot.join("bin/rustc"),
        cargo: sysroot.join("bin/cargo"),
        release: field("release"),
        host: field("host"),
        version,
        sysroot,
        aborting,
        unwinding,
    })
}

fn request(unit: &serde_json::Value, project: &Utf8Path) -> Option<GuestRequest> {
    let src = Utf8PathBuf::from(unit["target"]["src_path"].as_str()?);
    let dir = src.ancestors().skip(1).find(|d| d.join("Cargo.toml").is_file())?.to_owned();
    let (source, fragment) = unit["pkg_id"].as_str()?.rsplit_once('#')?;
    let (name, version) = fragment.split_once('@').unwrap_or((source.rsplit('/').next()?, fragment));
    let lockfile = project.ancestors().map(|d| d.join("Cargo.lock")).find(|l| l.is_file())?;
    let root = lockfile.parent()?.to_owned();
    Some(GuestRequest {
        name: name.to_owned(),
        version: version.to_owned(),
        origin: match source.split('+').next()? {
            "path" => Origin::Path,
            "git" => Origin::Git,
            _ => Origin::Registry,
        },
        manifest_path: dir.join("Cargo.toml"),
        features: unit["features"].as_array()?.iter().filter_map(|f| f.as_str().map(str::to_owned)).collect(),
        debug_assertions: unit["profile"]["debug_assertions"].as_bool()?,
        workspace_root: root,
        lockfile: std::env::var("SEAL_LOCKFILE").map_or(lockfile, Utf8PathBuf::from),
        cwd: project.to_owned(),
        config: Vec::new(),
        offline: false,
        log: None,
        awaited: 0,
    })
}
