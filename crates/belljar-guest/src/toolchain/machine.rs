//! What this module wants to know of the process's surroundings, in one value that a test can make up.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};

#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// The directories of `PATH`.
    pub path: Vec<Utf8PathBuf>,
    /// The cargo that started this process, if one did.
    pub cargo: Option<Utf8PathBuf>,
    pub cargo_home: Option<Utf8PathBuf>,
    pub rustup_home: Option<Utf8PathBuf>,
    /// `WASI_SDK_PATH`
    pub wasi_sdk: Option<Utf8PathBuf>,
    /// Where the system keeps libraries.
    pub system_lib: Utf8PathBuf,
    pub cwd: Option<Utf8PathBuf>,
    /// `CARGO_NET_OFFLINE`
    pub offline: bool,
    /// The variables that a build of std may see.
    pub variables: Vec<(OsString, OsString)>,
}

impl Machine {
    pub(super) fn here() -> Self {
        let home = env::home_dir().and_then(utf8);
        let at_home = |variable: &str, dir: &str| {
            var(variable).map(Utf8PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(dir)))
        };
        Self {
            path: env::var_os("PATH")
                .map(|path| env::split_paths(&path).filter_map(utf8).collect())
                .unwrap_or_default(),
            cargo: var("CARGO").map(Utf8PathBuf::from),
            cargo_home: at_home("CARGO_HOME", ".cargo"),
            rustup_home: at_home("RUSTUP_HOME", ".rustup"),
            wasi_sdk: var("WASI_SDK_PATH").map(Utf8PathBuf::from),
            system_lib: Utf8PathBuf::from("/usr/lib"),
            cwd: env::current_dir().ok().and_then(utf8),
            offline: var("CARGO_NET_OFFLINE").is_some_and(|value| value == "true" || value == "1"),
            variables: env::vars_os().filter(|(name, _)| name.to_str().is_some_and(may_be_seen)).collect(),
        }
    }

    /// The file that a shell would run for that name; the path itself if it is one.
    pub(super) fn program(&self, name: &Utf8Path) -> Option<Utf8PathBuf> {
        if name.as_str().contains('/') {
            return Some(match &self.cwd {
                Some(cwd) => cwd.join(name),
                None => name.to_owned(),
            });
        }
        self.path
            .iter()
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(name))
            .find(|file| is_program(file))
    }
}

pub(super) fn is_program(file: &Utf8Path) -> bool {
    rustix::fs::access(file.as_std_path(), rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}

fn utf8(path: PathBuf) -> Option<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(path).ok()
}

fn var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What cargo, its way to a registry and the host's linker need, and nothing that could change what is built.
fn may_be_seen(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "PATH",
        "HOME",
        "USER",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "DYLD_FALLBACK_LIBRARY_PATH",
        "CARGO_HOME",
        "CARGO_BUILD_JOBS",
        "RUSTUP_HOME",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "SSH_AUTH_SOCK",
        "NIX_LDFLAGS",
        "SDKROOT",
    ];
    const PREFIXES: [&str; 4] = ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let upper = name.to_ascii_uppercase();
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || upper.ends_with("_PROXY")
        || (name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER"))
}
