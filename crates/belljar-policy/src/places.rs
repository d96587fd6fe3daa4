//! Where the files of the policy are, and what else of the environment has a say in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file's name, at a workspace's root and in the user's configuration.
pub const FILE_NAME: &str = "belljar.toml";

/// The variable that sets the mode, whatever the files say.
pub const MODE_VARIABLE: &str = "BELLJAR_MODE";

/// Where the policy of a build comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Places {
    /// `belljar.toml` at the workspace's root, whether it is there or not.
    pub workspace_file: Option<PathBuf>,
    /// The user's own defaults: `$BELLJAR_CONFIG`, else `$XDG_CONFIG_HOME/belljar/belljar.toml`, else
    /// `~/.config/belljar/belljar.toml`; whether they are there or not.
    pub user_file: Option<PathBuf>,
    /// What `BELLJAR_MODE` says.
    pub mode: Option<String>,
    /// The user's home directory: no pattern covers it by accident.
    pub home: Option<PathBuf>,
}

impl Places {
    /// For a workspace, with the value of each variable in this environment. An empty `BELLJAR_CONFIG` means that there are
    /// no defaults.
    #[must_use]
    pub fn of(workspace_root: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let home = set("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        // Source: XDG Base Directory Specification: a relative path is to be ignored.
        let config = set("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = config.or_else(|| Some(home.as_ref()?.join(".config")));
        let user_file = match env("BELLJAR_CONFIG") {
            Some(path) if path.is_empty() => None,
            // A compiler's working directory is now this, now that.
            Some(path) => Some(workspace_root.map_or_else(|| PathBuf::from(&path), |root| root.join(&path))),
            None => config.map(|dir| dir.join("belljar").join(FILE_NAME)),
        };
        Self {
            workspace_file: workspace_root.map(|root| root.join(FILE_NAME)),
            user_file,
            mode: set(MODE_VARIABLE).map(|value| value.to_string_lossy().into_owned()),
            home,
        }
    }
}

/// Whether a path is `/`, a home directory, or a directory above one.
pub(crate) fn above_home(path: &str, home: Option<&str>) -> bool {
    if matches!(path, "/" | "/root" | "/var") {
        return true;
    }
    // Where systems keep them: nobody's home is more of a secret than another's.
    let common = ["/home", "/Users", "/var/home"];
    let is_one = |parent: &str| {
        path == parent
            || crate::pattern::beneath(parent, path)
                .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    };
    common.into_iter().any(is_one)
        || home.is_some_and(|home| home == path || crate::pattern::beneath(path, home).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(env: &[(&str, &str)]) -> Places {
        let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Places::of(Some(Path::new("/ws")), get)
    }

    #[test]
    fn the_users_file_is_where_the_documentation_says() {
        let user = |env: &[(&str, &str)]| of(env).user_file.map(|p| p.to_str().unwrap().to_owned());
        let home = ("HOME", "/home/me");
        assert_eq!(user(&[home]).as_deref(), Some("/home/me/.config/belljar/belljar.toml"));
        assert_eq!(user(&[home, ("XDG_CONFIG_HOME", "/c")]).as_deref(), Some("/c/belljar/belljar.toml"));
        let relative = user(&[home, ("XDG_CONFIG_HOME", "c")]);
        assert_eq!(relative.as_deref(), Some("/home/me/.config/belljar/belljar.toml"));
        let chosen = user(&[home, ("XDG_CONFIG_HOME", "/c"), ("BELLJAR_CONFIG", "ci/belljar.toml")]);
        assert_eq!(chosen.as_deref(), Some("/ws/ci/belljar.toml"));
        assert_eq!(user(&[home, ("BELLJAR_CONFIG", "")]), None);
        assert_eq!(user(&[]), None);
        assert_eq!(of(&[]).workspace_file.unwrap(), Path::new("/ws/belljar.toml"));
    }

    #[test]
    fn home_directories_and_what_is_above_them() {
        for path in [
            "/",
            "/home",
            "/home/you",
            "/root",
            "/Users/x",
            "/srv",
            "/srv/me",
            "/var",
            "/var/home",
            "/var/home/me",
        ] {
            assert!(above_home(path, Some("/srv/me")), "{path}");
        }
        for path in ["/home/you/x", "/srv/m", "/srv/me/x", "/srvx", "/usr", "/var/lib", "/rootfs"] {
            assert!(!above_home(path, Some("/srv/me")), "{path}");
        }
    }
}
