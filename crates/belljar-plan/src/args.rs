//! What a rustc command line says about its unit.
//!
//! cargo writes these command lines (`cargo::core::compiler::build_base_args`), so only its own forms are known here:
//! `--flag value`, `--flag=value`, `-C key=value` and `-Ckey=value`. A command line that is longer than the system allows
//! comes as `@path`, with one argument a line in that file ([`expanded`]).

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

use camino::{Utf8Path, Utf8PathBuf};

/// The arguments with those of argument files in their places, as rustc reads them (`rustc_driver_impl::args`). A file that
/// can't be read stays as it is: rustc will say what is wrong with it.
#[must_use]
pub fn expanded(args: &[OsString]) -> Cow<'_, [OsString]> {
    let file = |arg: &OsString| {
        let path = arg.to_str()?.strip_prefix('@')?;
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.lines().map(OsString::from).collect::<Vec<_>>())
    };
    if !args.iter().any(|arg| arg.as_encoded_bytes().starts_with(b"@")) {
        return Cow::Borrowed(args);
    }
    Cow::Owned(args.iter().flat_map(|arg| file(arg).unwrap_or_else(|| vec![arg.clone()])).collect())
}

/// What a unit is compiled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrateKind {
    /// `--crate-type proc-macro`, not a test harness.
    ProcMacro,
    /// A library other crates link: `lib`, `rlib`.
    Library,
    /// The program made of a `build.rs`.
    BuildScript,
    /// Anything else: programs, test harnesses, dynamic and static libraries.
    Other,
}

/// A call of rustc.
#[derive(Debug, Clone)]
pub enum RustcCall {
    /// It compiles nothing that is kept: `-vV`, `--print …`, cargo's probe of what the compiler can do.
    Question,
    /// It compiles a crate.
    Unit(Box<RustcArgs>),
}

/// The parts of cargo's rustc command line that belljar acts on.
#[derive(Debug, Clone)]
pub struct RustcArgs {
    pub crate_name: Option<String>,
    pub kind: CrateKind,
    /// Whether it is a test harness.
    pub test: bool,
    pub edition: Option<String>,
    /// The crate root, as given.
    pub source: Option<Utf8PathBuf>,
    pub out_dir: Option<Utf8PathBuf>,
    pub target: Option<String>,
    /// `-C extra-filename`
    pub extra_filename: String,
    /// What `--emit` lists; empty when it is not given.
    pub emit: Vec<String>,
    /// Names of the features that are on, sorted.
    pub features: Vec<String>,
    pub opt_level: String,
    pub debuginfo: String,
    pub debug_assertions: bool,
    /// Does cargo want to hear of each artifact on standard error (`--json=artifacts`)?
    pub json_artifacts: bool,
}

impl RustcArgs {
    /// Reads the arguments behind the compiler's path.
    ///
    /// Whoever gives a crate its name or a project its flags must not be able to make a unit look like a question, for
    /// questions go to rustc as they are. So a call with a crate root is a unit, whatever else it says; only what rustc
    /// reads from standard input, which is nobody's crate, can be a probe. Whatever is a proc macro among other things is
    /// a proc macro.
    ///
    /// The error is an argument that can't be read: one that is not UTF-8, or the name of a file with arguments.
    pub fn read(args: &[OsString]) -> Result<RustcCall, &OsString> {
        let mut crate_types = Vec::new();
        let mut asks = false;
        let mut debug_assertions = None;
        let mut this = Self {
            crate_name: None,
            kind: CrateKind::Other,
            test: false,
            edition: None,
            source: None,
            out_dir: None,
            target: None,
            extra_filename: String::new(),
            emit: Vec::new(),
            features: Vec::new(),
            opt_level: "0".to_owned(),
            debuginfo: "0".to_owned(),
            debug_assertions: false,
            json_artifacts: false,
        };
        let unreadable = |arg: &&OsString| arg.to_str().is_none_or(|arg| arg.starts_with('@'));
        if let Some(arg) = args.iter().find(unreadable) {
            return Err(arg);
        }
        let mut args = args.iter().filter_map(|a| OsStr::to_str(a));
        while let Some(arg) = args.next() {
            let (flag, inline) = match arg.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
                _ => (arg, None),
            };
            let mut value = || inline.or_else(|| args.next()).unwrap_or_default().to_owned();
            match flag {
                "--crate-name" => this.crate_name = Some(value()),
                "--crate-type" => crate_types.extend(value().split(',').map(str::to_owned)),
                "--out-dir" => this.out_dir = Some(value().into()),
                "--target" => this.target = Some(value()),
                "--emit" => this.emit.extend(value().split(',').map(str::to_owned)),
                "--json" => this.json_artifacts |= value().split(',').any(|j| j == "artifacts"),
                "--test" => this.test = true,
                "--edition" => this.edition = Some(value()),
                "--print" => {
                    asks = true;
                    drop(value());
                }
                "-vV" | "-V" | "--version" | "-h" | "--help" => asks = true,
                "--cfg" => {
                    if let Some(feature) = value().strip_prefix("feature=\"") {
                        this.features.push(feature.trim_end_matches('"').to_owned());
                    }
                }
                "-C" => this.codegen(&value(), &mut debug_assertions),
                // Flags with a value that is none of our business, and must not be taken for the crate root.
                "--extern"
                | "--cap-lints"
                | "--error-format"
                | "--diagnostic-width"
                | "--check-cfg"
                | "--remap-path-prefix"
                | "--sysroot"
                | "--color"
                | "--codegen"
                | "--allow"
                | "--warn"
                | "--deny"
                | "--forbid"
                | "--force-warn"
                | "-L"
                | "-l"
                | "-A"
                | "-W"
                | "-D"
                | "-F"
                | "-Z"
                | "-o"
                | "--explain" => drop(value()),
                _ => match arg.strip_prefix("-C") {
                    Some(codegen) => this.codegen(codegen, &mut debug_assertions),
                    None if (arg == "-" || !arg.starts_with('-')) && this.source.is_none() => {
                        this.source = Some(arg.into());
                    }
                    None => {}
                },
            }
        }
        match this.source.as_deref().map(Utf8Path::as_str) {
            None => return Ok(RustcCall::Question),
            Some("-") if asks => return Ok(RustcCall::Question),
            _ => {}
        }
        let name = this.crate_name.as_deref().unwrap_or_default();
        let only = |kind: &str| crate_types.len() == 1 && crate_types[0] == kind;
        this.kind = if this.test {
            CrateKind::Other
        } else if crate_types.iter().any(|kind| kind == "proc-macro") {
            CrateKind::ProcMacro
        } else if only("lib") || only("rlib") {
            CrateKind::Library
        } else if only("bin") && name.starts_with("build_script_") {
            CrateKind::BuildScript
        } else {
            CrateKind::Other
        };
        this.features.sort_unstable();
        // rustc's own default: on exactly when nothing is optimised.
        this.debug_assertions = debug_assertions.unwrap_or(this.opt_level == "0");
        Ok(RustcCall::Unit(Box::new(this)))
    }

    fn codegen(&mut self, option: &str, debug_assertions: &mut Option<bool>) {
        let (key, value) = option.split_once('=').unwrap_or((option, "yes"));
        match key {
            "opt-level" => self.opt_level = value.to_owned(),
            "debuginfo" => self.debuginfo = value.to_owned(),
            "extra-filename" => self.extra_filename = value.to_owned(),
            "debug-assertions" => *debug_assertions = Some(matches!(value, "y" | "yes" | "on" | "true")),
            _ => {}
        }
    }

    /// The crate root as an absolute path, when rustc runs in `cwd`.
    #[must_use]
    pub fn source_in(&self, cwd: &Utf8Path) -> Utf8PathBuf {
        self.source.as_ref().map_or_else(|| cwd.to_owned(), |source| cwd.join(source))
    }

    /// Path of a file that this call would write: `lib` + name + suffix + ending, in the output directory.
    #[must_use]
    pub fn output(&self, prefix: &str, ending: &str) -> Option<Utf8PathBuf> {
        let name = self.crate_name.as_deref()?;
        Some(self.out_dir.as_ref()?.join(format!("{prefix}{name}{}{ending}", self.extra_filename)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `None` for a question.
    fn read(line: &str) -> Option<RustcArgs> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        match RustcArgs::read(&args).unwrap() {
            RustcCall::Unit(unit) => Some(*unit),
            RustcCall::Question => None,
        }
    }

    #[test]
    fn a_library_of_a_check() {
        let args = read(
            "--crate-name serde --edition=2021 src/lib.rs --error-format=json --json=diagnostic-rendered-ansi,artifacts \
             --crate-type lib --emit=dep-info,metadata -C embed-bitcode=no -C debuginfo=2 --cfg feature=\"std\" --cfg \
             feature=\"derive\" --check-cfg cfg(docsrs) -C metadata=1 -C extra-filename=-ab --out-dir /t/deps --extern a=/x",
        )
        .unwrap();
        assert_eq!(args.kind, CrateKind::Library);
        assert_eq!(args.features, ["derive", "std"]);
        assert_eq!(args.emit, ["dep-info", "metadata"]);
        assert_eq!((args.opt_level.as_str(), args.debuginfo.as_str()), ("0", "2"));
        assert!(args.json_artifacts && args.debug_assertions);
        assert_eq!(args.source.as_deref(), Some(Utf8Path::new("src/lib.rs")));
        assert_eq!(args.output("lib", ".rmeta").unwrap(), "/t/deps/libserde-ab.rmeta");
    }

    #[test]
    fn kinds() {
        let kind = |rest: &str| read(&format!("--crate-name x a.rs --out-dir /t {rest}")).unwrap().kind;
        assert_eq!(kind("--crate-type proc-macro"), CrateKind::ProcMacro);
        assert_eq!(kind("--crate-type=proc-macro --test"), CrateKind::Other);
        assert_eq!(kind("--crate-type cdylib --crate-type rlib"), CrateKind::Other);
        assert_eq!(kind("--crate-type bin"), CrateKind::Other);
        let build = read("--crate-name build_script_build build.rs --crate-type bin --out-dir /t").unwrap();
        assert_eq!(build.kind, CrateKind::BuildScript);
    }

    #[test]
    fn probes_are_no_units() {
        assert!(read("-vV").is_none());
        assert!(read("- --crate-name ___ --print=file-names --crate-type bin --out-dir /t").is_none());
        assert!(read("--crate-name probe - --out-dir /t --print cfg").is_none());
        assert!(read("").is_none());
        assert!(read("--print sysroot").is_none());
    }

    #[test]
    fn no_name_and_no_flag_makes_a_macro_a_question() {
        for line in [
            "--crate-name ___ src/lib.rs --crate-type proc-macro --out-dir /t",
            "--crate-name m src/lib.rs --crate-type proc-macro --out-dir /t --print=link-args",
            "--crate-name m src/lib.rs --crate-type proc-macro --out-dir /t -vV",
            "--crate-name m src/lib.rs --crate-type proc-macro --crate-type rlib --out-dir /t",
            "--crate-name m src/lib.rs --crate-type=rlib,proc-macro --out-dir /t",
            "src/lib.rs --crate-type proc-macro",
            "--crate-name m - --crate-type proc-macro --out-dir /t",
        ] {
            assert_eq!(read(line).map(|unit| unit.kind), Some(CrateKind::ProcMacro), "{line}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_no_question() {
        use std::os::unix::ffi::OsStringExt;
        for bad in [OsString::from("@/no/such/file"), OsString::from_vec(b"--crate-\xff".to_vec())] {
            let args = ["--print".into(), "cfg".into(), bad.clone()];
            assert_eq!(RustcArgs::read(&args).unwrap_err(), &bad);
        }
    }

    #[test]
    fn argument_files_are_read_and_what_is_none_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("args");
        std::fs::write(&path, "--crate-name\nx\na b.rs\n--out-dir\n/t\n").unwrap();
        let given = |file: &str| vec![OsString::from("-Cdebuginfo=2"), format!("@{file}").into()];
        let args = expanded(&given(path.to_str().unwrap())).into_owned();
        assert_eq!(
            args,
            ["-Cdebuginfo=2", "--crate-name", "x", "a b.rs", "--out-dir", "/t"].map(OsString::from)
        );
        let Ok(RustcCall::Unit(unit)) = RustcArgs::read(&args) else { panic!("a unit") };
        assert_eq!(unit.source.as_deref(), Some(Utf8Path::new("a b.rs")));
        assert_eq!(*expanded(&given("/no/such/file")), given("/no/such/file"));
    }

    #[test]
    fn release_has_no_debug_assertions() {
        let args = read("--crate-name x a.rs --out-dir /t -Copt-level=3").unwrap();
        assert!(!args.debug_assertions);
        let args = read("--crate-name x a.rs --out-dir /t -C opt-level=3 -C debug-assertions=on").unwrap();
        assert!(args.debug_assertions);
    }
}
