//! What decides a compilation apart from files of the project: its arguments, its environment, and the compiler.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use belljar_guest::program;
use belljar_plan::RustcArgs;
use belljar_policy::Calling;
use camino::{Utf8Path, Utf8PathBuf};

use super::looking::identity;
use crate::wrapper::afterwards::Compilation;
use crate::{policy, session};

/// Version of what is written down.
const FORMAT: &[u8] = b"2";

/// What a compiler is told to use beside sources, and how many files come of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Other crates' artifacts.
    pub(super) externs: Vec<Utf8PathBuf>,
    /// Where native libraries are looked for, and files that a linker is told to use. What isn't there may come to be there.
    pub(super) native: Vec<Utf8PathBuf>,
    /// Programs that link.
    linkers: Vec<String>,
    /// Libraries and programs that are left.
    pub(super) links: usize,
}

/// `None` where an argument is not one of those with which cargo calls a compiler, or has it read or write what neither cargo nor
/// the dep-info tells of and no argument names.
pub(super) fn used(args: &[OsString]) -> Option<Used> {
    let all: Vec<&str> = args.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let Ok(belljar_plan::RustcCall::Unit(unit)) = RustcArgs::read(args) else { return None };
    let checks = !unit.emit.iter().any(|emit| emit == "link");
    let (mut used, mut kinds, mut has_source) = (Used::default(), BTreeSet::new(), false);
    let mut named = Named::default();
    let mut args = all.into_iter();
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (arg, None),
        };
        let mut value = || inline.or_else(|| args.next());
        let is_known = match flag {
            "--crate-name"
            | "--edition"
            | "--error-format"
            | "--json"
            | "--diagnostic-width"
            | "--out-dir"
            | "--cfg"
            | "--check-cfg"
            | "--cap-lints"
            | "--allow"
            | "--warn"
            | "--deny"
            | "--forbid"
            | "--force-warn"
            | "--remap-path-prefix"
            | "-A"
            | "-W"
            | "-D"
            | "-F"
            | "-l" => value().is_some(),
            "--crate-type" => value()?.split(',').all(|kind| {
                kinds.insert(if kind == "lib" { "rlib" } else { kind });
                matches!(kind, "lib" | "rlib" | "bin" | "dylib" | "cdylib" | "staticlib" | "proc-macro")
            }),
            "--emit" => value()?.split(',').all(|emit| matches!(emit, "dep-info" | "metadata" | "link")),
            "--target" => !value()?.ends_with(".json"),
            "--test" | "-g" | "-O" => inline.is_none(),
            "--extern" => {
                // Without a path it is one of the compiler's own crates.
                if let Some((name, path)) = value()?.split_once('=') {
                    used.externs.push(path.into());
                    name.chars().all(|c| c.is_alphanumeric() || c == '_')
                } else {
                    true
                }
            }
            "-L" => named.search(value()?, checks),
            "-C" | "--codegen" => named.codegen(value()?),
            _ if arg.starts_with("-C") => named.codegen(&arg[2..]),
            _ if ["-A", "-W", "-D", "-F", "-l"].iter().any(|flag| arg.starts_with(flag)) => true,
            _ => !arg.starts_with('-') && !std::mem::replace(&mut has_source, true),
        };
        if !is_known {
            return None;
        }
    }
    // A harness is a program, of whatever kind the crate is.
    used.links = usize::from(!checks) * kinds.len().max(1);
    used.native = named.searched;
    if !checks && kinds.iter().ne(["rlib"].iter()) {
        // Where other files than those stand beside what is linked (`.dwp`, `.pdb`, `.dll.a`, `.wasm`), no message tells of them.
        const BESIDE: [&str; 5] = ["windows", "uefi", "emscripten", "cygwin", "apple"];
        let target = unit.target.as_deref().unwrap_or_default();
        if named.is_odd || BESIDE.iter().any(|system| target.contains(system)) {
            return None;
        }
        used.native.append(&mut named.given);
        used.linkers = named.linkers;
        if !named.has_linker {
            used.linkers.push("cc".to_owned());
        }
        used.linkers.push("ld".to_owned());
    }
    has_source.then_some(used)
}

/// What arguments name that a linker or a compiler reads.
#[derive(Debug, Default)]
struct Named {
    /// By the compiler itself, too.
    searched: Vec<Utf8PathBuf>,
    /// By a linker.
    given: Vec<Utf8PathBuf>,
    linkers: Vec<String>,
    has_linker: bool,
    /// A linker is given more, or leaves more, than can be told.
    is_odd: bool,
}

impl Named {
    /// A place where crates or native libraries are looked for. cargo's own are `dependency`: what is in them is known by
    /// `--extern`, and by what those depended on in turn.
    fn search(&mut self, value: &str, checks: bool) -> bool {
        let (kind, path) = match value.split_once('=') {
            Some((kind @ ("dependency" | "crate" | "native" | "framework" | "all"), path)) => (kind, path),
            _ => ("all", value),
        };
        // A check reads no native library.
        if kind == "all" || kind == "native" && !checks {
            self.searched.push(path.into());
        }
        matches!(kind, "all" | "native" | "dependency")
    }

    /// An option of code generation. False where more than it says decides what comes of it.
    fn codegen(&mut self, option: &str) -> bool {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key.replace('_', "-").as_str() {
            "opt-level"
            | "code-model"
            | "codegen-units"
            | "debug-assertions"
            | "debuginfo"
            | "default-linker-libraries"
            | "dwarf-version"
            | "embed-bitcode"
            | "extra-filename"
            | "force-frame-pointers"
            | "force-unwind-tables"
            | "incremental"
            | "instrument-coverage"
            | "link-dead-code"
            | "linker-flavor"
            | "lto"
            | "metadata"
            | "overflow-checks"
            | "panic"
            | "prefer-dynamic"
            | "relocation-model"
            | "rpath"
            | "strip"
            | "symbol-mangling-version"
            | "target-cpu"
            | "target-feature" => true,
            "split-debuginfo" => {
                self.is_odd |= value == "packed";
                true
            }
            "profile-use" => {
                self.searched.push(value.into());
                true
            }
            "linker" => {
                self.has_linker = true;
                self.linkers.push(value.to_owned());
                true
            }
            "link-arg" => {
                self.link_argument(value);
                true
            }
            "link-args" => {
                value.split(' ').for_each(|argument| self.link_argument(argument));
                true
            }
            _ => false,
        }
    }

    /// `-fuse-ld=lld`, `-Wl,-T,layout.ld`, `-L/opt/lib`, `/opt/lib/start.o`: whatever in it may be a path is taken for one.
    fn link_argument(&mut self, argument: &str) {
        self.is_odd |= argument.starts_with('@');
        if let Some(linker) = argument.strip_prefix("-fuse-ld=") {
            self.linkers.extend([format!("ld.{linker}"), linker.to_owned()]);
        }
        for part in argument.split(',') {
            self.is_odd |= part.starts_with('@');
            let path = match part.strip_prefix('-') {
                None => part,
                Some(flag) => match flag.split_once('=') {
                    Some((_, value)) => value,
                    None => flag.strip_prefix(['L', 'T', 'B']).unwrap_or_default(),
                },
            };
            if !path.is_empty() {
                self.given.push(path.into());
            }
        }
    }
}

/// A digest of what decides a compilation apart from files of the project, and of `more`.
pub(super) fn key(
    (compilers, args): (&[OsString], &[OsString]),
    cwd: &Utf8Path,
    compilation: &Compilation,
    used: &Used,
    more: &[&[u8]],
) -> Option<String> {
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 a unit that is called again");
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    add(FORMAT);
    add(belljar_guest::version_line().as_bytes());
    let links = !used.linkers.is_empty();
    let linkers = used.linkers.iter().filter_map(|name| program(OsStr::new(name)));
    let compilers = compilers.iter().map(|name| program(name)).collect::<Option<Vec<_>>>()?;
    let is_clippy = compilers.len() > 1;
    for program in compilers.into_iter().chain([std::env::current_exe().ok()?]) {
        // One of rustup's can be another compiler tomorrow.
        let found = identity(&program.metadata().ok()?);
        let rustup = program.with_file_name("rustup").metadata();
        if rustup.is_ok_and(|rustup| rustup.len() == found[2]) {
            return None;
        }
        add(program.as_os_str().as_bytes());
        found.iter().for_each(|part| add(&part.to_le_bytes()));
    }
    for linker in linkers {
        add(linker.as_os_str().as_bytes());
        linker.metadata().iter().flat_map(identity).for_each(|part| add(&part.to_le_bytes()));
    }
    more.iter().for_each(|more| add(more));
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
        let externs_with = |more: &str| used(&args(&format!("{CHECK} {more}"))).map(|used| used.externs);
        assert_eq!(externs_with(""), Some(Vec::new()));
        let paths = ["/t/liba.rmeta", "/t/b=/libb.so"].map(Utf8PathBuf::from).to_vec();
        assert_eq!(
            externs_with("--extern a=/t/liba.rmeta --extern proc_macro --extern=b=/t/b=/libb.so"),
            Some(paths)
        );
        for harmless in [
            "--cap-lints allow",
            "-C incremental=/t/i -C lto=thin -Ctarget-cpu=native --codegen panic=abort",
            "-C link-arg=-fuse-ld=lld -C link-arg=@arguments -C linker=clang -L native=/t/out",
            "-Aunused -D warnings --test",
            "-l z -lstatic=z --remap-path-prefix /a=/b",
            "--crate-type cdylib",
        ] {
            assert!(externs_with(harmless).is_some(), "{harmless}");
        }
        for other in [
            "-L",
            "-L framework=/t",
            "-L crate=/t",
            "-Z unstable-options",
            "-Zself-profile",
            "-C llvm-args=-x",
            "-C save-temps",
            "-C linker-plugin-lto",
            "-C",
            "--sysroot /s",
            "--target /x/mine.json",
            "--crate-type other",
            "--emit asm",
            "--emit=metadata=/elsewhere",
            "--print link-args",
            "--extern priv:a=/t/liba.rmeta",
            "-o /t/a",
            "another.rs",
            "--verbose",
        ] {
            assert_eq!(externs_with(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_linked_is_told_by_arguments() {
        let build = CHECK.replace("dep-info,metadata", "dep-info,metadata,link");
        let program = CHECK.replace("dep-info,metadata", "dep-info,link").replace("type lib", "type bin");
        let test = program.replace("--crate-type bin", "--test");
        let of = |line: &str, more: &str| used(&args(&format!("{line} {more}")));
        let paths = |paths: &str| paths.split_whitespace().map(Utf8PathBuf::from).collect::<Vec<_>>();
        for (more, of_check, of_library, of_program) in [
            ("-L native=/out", "", "/out", "/out"),
            ("-L /lib -L all=/a=b", "/lib /a=b", "/lib /a=b", "/lib /a=b"),
            ("-C profile-use=/p", "/p", "/p", "/p"),
            ("-L dependency=/deps", "", "", ""),
            ("-C link-arg=-fuse-ld=lld", "", "", "lld"),
            ("-C link-arg=-Wl,-T,layout.ld -C link_arg=-L/opt", "", "", "layout.ld /opt"),
            ("-C link-arg=-Wl,--dynamic-list=/list -C link-arg=/start.o", "", "", "/list /start.o"),
        ] {
            let of = |line: &str| of(line, more).unwrap().native;
            assert_eq!(of(CHECK), paths(of_check), "{more}");
            assert_eq!(of(&build), paths(of_library), "{more}");
            assert_eq!(of(&program), paths(of_program), "{more}");
            assert_eq!(of(&test), paths(of_program), "{more}");
        }
        let linkers = |more: &str| of(&program, more).unwrap().linkers;
        assert_eq!(linkers(""), ["cc", "ld"]);
        assert_eq!(linkers("-C linker=clang -C link-arg=-fuse-ld=mold"), ["clang", "ld.mold", "mold", "ld"]);
        assert!(of(&build, "-C linker=clang").unwrap().linkers.is_empty());
        for odd in [
            "-C link-arg=@arguments",
            "-C link-arg=-Wl,@more",
            "-C split-debuginfo=packed",
            "-Csplit_debuginfo=packed",
            "--target x86_64-pc-windows-gnu",
            "--target aarch64-apple-darwin",
        ] {
            assert!(of(&build, odd).is_some() && of(&program, odd).is_none(), "{odd}");
        }
        let links = |line: &str, more: &str| of(line, more).unwrap().links;
        assert_eq!(
            (links(CHECK, ""), links(&build, ""), links(&program, ""), links(&test, "")),
            (0, 1, 1, 1)
        );
        assert_eq!(links(&build, "--crate-type rlib --crate-type cdylib,staticlib"), 3);
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
