//! A compiler wrapper that the user has set, such as a compiler cache. There is one place for one, and belljar takes it:
//! that is said, so that nobody wonders why the other one does nothing. (`RUSTC_WORKSPACE_WRAPPER` is another place.)

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item};

use crate::init::is_belljar;
use crate::report;

/// Says so when a wrapper that is not belljar is set for builds in `cwd`.
pub(crate) fn warn(cwd: &Utf8Path) {
    if let Some((place, wrapper)) = found(cwd)
        && !is_belljar(&wrapper)
    {
        report::warning(format_args!(
            "{place} sets the compiler's wrapper to `{wrapper}`, which is not used: in a sealed build it is belljar\n  \
             help: take it out for this build (`RUSTC_WRAPPER=`) to see this no more; \
             a wrapper in RUSTC_WORKSPACE_WRAPPER is still used"
        ));
    }
}

/// The wrapper that plain cargo would use, and where it is set. The order is cargo's: `RUSTC_WRAPPER`, where empty stands
/// for none, then the configuration, of which variables come first and then the nearest file.
fn found(cwd: &Utf8Path) -> Option<(String, String)> {
    for name in ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"] {
        if let Some(value) = std::env::var_os(name) {
            let value = value.to_string_lossy().into_owned();
            return (!value.is_empty()).then(|| (name.to_owned(), value));
        }
    }
    let home = std::env::var("CARGO_HOME").map(Utf8PathBuf::from).ok();
    let home = home.or_else(|| Utf8PathBuf::from_path_buf(std::env::home_dir()?.join(".cargo")).ok());
    let dirs = cwd.ancestors().map(|dir| dir.join(".cargo")).chain(home);
    dirs.flat_map(|dir| ["config", "config.toml"].map(|name| dir.join(name)))
        .find_map(|path| Some((path.to_string(), of_file(&path)?)))
        .filter(|(_, wrapper)| !wrapper.is_empty())
}

fn of_file(path: &Utf8Path) -> Option<String> {
    let document: DocumentMut = std::fs::read_to_string(path).ok()?.parse().ok()?;
    document.get("build")?.get("rustc-wrapper").and_then(Item::as_str).map(str::to_owned)
}
