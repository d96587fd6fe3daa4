//! What decides a compilation apart from files of the project: its arguments, its environment, and the compiler.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use belljar_plan::{CrateKind, RustcArgs};
use belljar_policy::Calling;
use camino::{Utf8Path, Utf8PathBuf};

use super::looking::identity;
use crate::wrapper::afterwards::Compilation;
use crate::{policy, session};

/// Version of what is written down.
const FORMAT: &[u8] = b"1";

/// The artifacts of other crates that a compiler is told to use. `None` where an argument is not one of those with which cargo
/// calls it, or has it read or write what neither cargo nor the dep-info tells of.
pub(super) fn used(args: &[OsString]) -> Option<Vec<Utf8PathBuf>> {
    let all: Vec<&str> = args.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let Ok(belljar_plan::RustcCall::Unit(unit)) = RustcArgs::read(args) else { return None };
    let checks = !unit.emit.iter().any(|emit| emit == "link");
    let links = !checks && unit.kind != CrateKind::Library;
    let (mut externs, mut has_source) = (Vec::new(), false);
    let mut args = all.into_iter();
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (arg, None),
        };
        let mut value = || inline.or_else(|| args.next());
        let is_known = match flag {
            "--crate-name" | "--edition" | "--error-format" | "--json" | "--diagnostic-width"
            | "--out-dir" | "--cfg" | "--check-cfg" | "--cap-lints" | "--allow" | "--warn" | "--deny"
            | "--forbid" | "--force-warn" | "-A" | "-W" | "-D" | "-F" => value().is_some(),
            "--crate-type" => value()?.split(',').all(|kind| matches!(kind, "lib" | "rlib" | "bin")),
            "--emit" => value()?.split(',').all(|emit| matches!(emit, "dep-info" | "metadata" | "link")),
            "--target" => !value()?.ends_with(".json"),
            "--test" | "-g" | "-O" => inline.is_none(),
            "--extern" => {
                // Without a path it is one of the compiler's own crates.
                if let Some((name, path)) = value()?.split_once('=') {
                    externs.push(path.into());
                    name.chars().all(|c| c.is_alphanumeric() || c == '_')
                } else {
                    true
                }
            }
            // A check reads no native library.
            "-L" => value()
                .is_some_and(|path| path.starts_with("dependency=") || checks && path.starts_with("native=")),
            "-C" | "--codegen" => is_codegen(value()?, links),
            _ if arg.starts_with("-C") => is_codegen(&arg[2..], links),
            _ if ["-A", "-W", "-D", "-F"].iter().any(|lint| arg.starts_with(lint)) => true,
            _ => !arg.starts_with('-') && !std::mem::replace(&mut has_source, true),
        };
        if !is_known {
            return None;
        }
    }
    has_source.then_some(externs)
}

/// Whether an option of code generation has nothing to do with files but those that cargo knows.
fn is_codegen(option: &str, links: bool) -> bool {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    match key.replace('_', "-").as_str() {
        "opt-level"
        | "debuginfo"
        | "debug-assertions"
        | "overflow-checks"
        | "panic"
        | "codegen-units"
        | "lto"
        | "embed-bitcode"
        | "metadata"
        | "extra-filename"
        | "incremental"
        | "strip"
        | "rpath"
        | "target-cpu"
        | "target-feature"
        | "force-frame-pointers"
        | "force-unwind-tables"
        | "symbol-mangling-version"
        | "relocation-model"
        | "code-model" => true,
        // Otherwise there are more artifacts than the compiler tells of.
        "split-debuginfo" => value == "off",
        "linker" | "link-arg" | "link-args" => !links,
        _ => false,
    }
}

/// A digest of what decides a compilation apart from files of the project.
pub(super) fn key(
    compilers: &[OsString],
    args: &[OsString],
    cwd: &Utf8Path,
    compilation: &Compilation,
    links: bool,
) -> Option<String> {
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 a unit that is called again");
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    add(FORMAT);
    add(belljar_guest::version_line().as_bytes());
    let linkers = ["cc", "ld"].iter().filter(|_| links).filter_map(|name| program(OsStr::new(name)));
    let compilers = compilers.iter().map(|name| program(name)).collect::<Option<Vec<_>>>()?;
    let is_clippy = compilers.len() > 1;
    for program in compilers.into_iter().chain([std::env::current_exe().ok()?]).chain(linkers) {
        add(program.as_os_str().as_bytes());
        identity(&program.metadata().ok()?).iter().for_each(|part| add(&part.to_le_bytes()));
    }
    for path in of_clippy(&compilation.calling).filter(|_| is_clippy) {
        add(path.as_os_str().as_bytes());
        add(&[u8::from(path.exists())]);
        path.metadata().iter().flat_map(identity).for_each(|part| add(&part.to_le_bytes()));
    }
    add(cwd.as_str().as_bytes());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        // A terminal of another size is nothing to cargo either.
        match arg.as_bytes() {
            b"--diagnostic-width" => drop(args.next()),
            arg if arg.starts_with(b"--diagnostic-width=") => {}
            arg => add(arg),
        }
    }
    let calling = &compilation.calling;
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    for text in [
        &calling.package,
        &calling.version,
        &optional(&calling.manifest_dir),
        &optional(&calling.workspace_root),
    ] {
        add(text.as_bytes());
    }
    add(format!("{:?}", compilation.places).as_bytes());
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| matters(name, links)).collect();
    variables.sort_unstable();
    for (name, value) in variables {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// Files that clippy looks for and reads. Those that it finds are in the dep-info, but not those that it would find, and neither what
/// `cargo metadata` reads for some lints. Source: `clippy_config::lookup_conf_file`, `clippy_lints::cargo`.
fn of_clippy(calling: &Calling) -> impl Iterator<Item = PathBuf> {
    let dir = calling.manifest_dir.as_deref().map(Path::new);
    let root = calling.workspace_root.as_deref().map(Path::new);
    let conf = dir.into_iter().flat_map(Path::ancestors);
    let conf = conf.flat_map(|dir| ["clippy.toml", ".clippy.toml"].map(|name| dir.join(name)));
    let of_cargo = dir.into_iter().chain(root);
    conf.chain(of_cargo.flat_map(|dir| ["Cargo.toml", "Cargo.lock"].map(|name| dir.join(name))))
}

/// Whether a variable may have a say in what is compiled beside those that a dep-info names. Two differ in each run of cargo's; one
/// says only whether the package was named on the command line.
fn matters(name: &OsStr, links: bool) -> bool {
    const NOT: [&str; 5] = [
        "CARGO_MAKEFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        crate::wrapper::afterwards::BUILD,
        session::VARIABLE,
        belljar_wire::message::SOCKET_VAR,
    ];
    const BEGINNINGS: [&str; 8] =
        ["CARGO", "__CARGO", "RUST", "BELLJAR_", "LD_", "DYLD_", "CLIPPY_", "__CLIPPY"];
    const NAMES: [&str; 3] = ["OUT_DIR", "SOURCE_DATE_EPOCH", "SDKROOT"];
    const OF_LINKERS: [&str; 6] =
        ["PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LDFLAGS", "SYSROOT"];
    let is = |names: &[&str]| names.iter().any(|n| name == *n);
    !is(&NOT)
        && (BEGINNINGS.iter().any(|beginning| name.as_bytes().starts_with(beginning.as_bytes()))
            || is(&NAMES)
            || is(&policy::VARIABLES)
            || links && is(&OF_LINKERS))
}

/// Where a program is, as the system finds it.
fn program(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    const CHECK: &str = "--crate-name a --edition=2024 src/lib.rs --error-format=json --json=diagnostic-rendered-ansi,artifacts \
                         --crate-type lib --emit=dep-info,metadata --cfg feature=\"std\" --check-cfg cfg(docsrs) -C metadata=1 \
                         -C extra-filename=-ab -Cdebuginfo=2 --out-dir /t/debug/deps -L dependency=/t/debug/deps --warn=unused";

    #[test]
    fn what_is_used_is_told_by_cargos_own_arguments() {
        let used_with = |more: &str| used(&args(&format!("{CHECK} {more}")));
        assert_eq!(used_with(""), Some(Vec::new()));
        let paths = ["/t/liba.rmeta", "/t/b=/libb.so"].map(Utf8PathBuf::from).to_vec();
        assert_eq!(
            used_with("--extern a=/t/liba.rmeta --extern proc_macro --extern=b=/t/b=/libb.so"),
            Some(paths)
        );
        for harmless in [
            "--cap-lints allow",
            "-C incremental=/t/i -C lto=thin -Ctarget-cpu=native --codegen panic=abort",
            "-C link-arg=-fuse-ld=lld -C linker=clang -L native=/t/out",
            "-Aunused -D warnings --test",
        ] {
            assert!(used_with(harmless).is_some(), "{harmless}");
        }
        for other in [
            "-l z",
            "-lz",
            "-L /usr/lib",
            "-L all=/usr/lib",
            "-L",
            "-Z unstable-options",
            "-Zself-profile",
            "-C profile-use=/p",
            "-C llvm-args=-x",
            "-C save-temps",
            "-C split-debuginfo=unpacked",
            "-C linker-plugin-lto",
            "-C",
            "--sysroot /s",
            "--target /x/mine.json",
            "--crate-type cdylib",
            "--crate-type proc-macro",
            "--emit asm",
            "--emit=metadata=/elsewhere",
            "--print link-args",
            "--remap-path-prefix /a=/b",
            "--extern priv:a=/t/liba.rmeta",
            "-o /t/a",
            "another.rs",
            "--verbose",
        ] {
            assert_eq!(used_with(other), None, "{other}");
        }
    }

    #[test]
    fn what_links_reads_what_nobody_watches() {
        let build = CHECK.replace("dep-info,metadata", "dep-info,metadata,link");
        let program = CHECK.replace("dep-info,metadata", "dep-info,link").replace("type lib", "type bin");
        let is = |line: &str, more: &str| used(&args(&format!("{line} {more}"))).is_some();
        assert!(is(&build, "") && is(&program, ""));
        for (more, of_library) in [
            ("-C link-arg=-lz", true),
            ("-C link_args=-lz", true),
            ("-C linker=/x", true),
            ("-L native=/t/out", false),
        ] {
            assert_eq!(is(&build, more), of_library, "{more}");
            assert!(!is(&program, more), "{more}");
        }
        assert!(!is(&program, "-C link-self-contained=y") && !is(&build, "-C link-dead-code"));
    }

    #[test]
    fn variables_that_matter() {
        let is = |name: &str, links| matters(OsStr::new(name), links);
        for name in [
            "CARGO_PKG_NAME",
            "RUSTFLAGS",
            "RUSTC_BOOTSTRAP",
            "BELLJAR_MODE",
            "HOME",
            "OUT_DIR",
            "LD_PRELOAD",
        ] {
            assert!(is(name, false), "{name}");
        }
        for name in ["CARGO_MAKEFLAGS", "BELLJAR_BUILD", "BELLJAR_SESSION", "BELLJAR_SOCKET", "TERM", "PWD"] {
            assert!(!is(name, true), "{name}");
        }
        assert!(is("PATH", true) && !is("PATH", false));
    }
}
