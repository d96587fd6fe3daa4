//! The crate whose macros are run.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What is known of the crate that is being compiled, on which rules depend.
#[derive(Debug, Clone, Default)]
pub struct Calling {
    /// Its package; empty when nobody says so.
    pub package: String,
    pub version: String,
    /// The directory of its manifest, absolute.
    pub manifest_dir: Option<String>,
    /// The root of the workspace that is being built, absolute.
    pub workspace_root: Option<String>,
    /// The compiler's working directory, absolute.
    pub cwd: Option<String>,
    /// The environment that cargo gave to the rustc that compiles it. A variable whose value is not UTF-8 is not in it.
    pub environment: BTreeMap<String, String>,
}

impl Calling {
    /// From the environment that cargo gave to the rustc that compiles the crate. The workspace and the working directory
    /// are left open.
    #[must_use]
    pub fn of_environment(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let environment: BTreeMap<_, _> = environment.into_iter().filter_map(text).collect();
        let of = |name: &str| environment.get(name).cloned();
        Self {
            package: of("CARGO_PKG_NAME").unwrap_or_default(),
            version: of("CARGO_PKG_VERSION").unwrap_or_default(),
            manifest_dir: of("CARGO_MANIFEST_DIR").filter(|dir| dir.starts_with('/')),
            workspace_root: None,
            cwd: None,
            environment,
        }
    }
}
