//! A workspace on disk, with a policy.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use belljar_expander::{Limits, Observation, Recorder};
use belljar_policy::{Access, Calling, Outcome, Places, Policy, Request};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::support::{Shim, small};

/// A workspace `ws` with the packages `web` and `other`, and a home directory, in a directory of their own.
pub struct Tree {
    pub root: Utf8PathBuf,
    pub recorder: Arc<Recorder>,
    _dir: TempDir,
}

impl Tree {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let tree = Self { root, recorder: Arc::default(), _dir: dir };
        for (path, text) in [
            ("ws/Cargo.toml", "[workspace]\n"),
            ("ws/.env", "TOKEN=secret\n"),
            ("ws/target/debug/deps/other.d", "secret\n"),
            ("ws/other/src/lib.rs", "// secret\n"),
            ("ws/web/Cargo.toml", "[package]\nname = \"web\"\n"),
            ("ws/web/.env", "TOKEN=secret\n"),
            ("ws/web/src/main.rs", "// secret\n"),
            ("ws/web/templates/b.html", "<b>two</b>\n"),
            ("ws/web/templates/a.html", "<b>one</b>\n"),
            ("ws/web/templates/sub/c.html", "<b>three</b>\n"),
            ("home/.ssh/id_rsa", "secret\n"),
            ("home/.cargo/credentials.toml", "secret\n"),
            ("home/.config/belljar/belljar.toml", ""),
        ] {
            tree.write(path, text);
        }
        tree
    }

    pub fn path(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn link(&self, target: impl AsRef<str>, path: &str) {
        symlink(target.as_ref(), self.path(path)).unwrap();
    }

    /// A template's path, as guests name it: from the root, without the first slash.
    pub fn template(&self, name: &str) -> String {
        self.guest(&format!("ws/web/templates/{name}"))
    }

    pub fn guest(&self, path: &str) -> String {
        self.path(path).as_str().trim_start_matches('/').to_owned()
    }

    /// The policy whose grant to the macro has these lines, for the crate `web`.
    pub fn policy(&self, grant: &str) -> Policy {
        self.policy_of("ws/web", "ws", grant)
    }

    /// The same, for a package in this directory that is compiled in that one.
    pub fn policy_of(&self, package: &str, cwd: &str, grant: &str) -> Policy {
        let file = self.path("ws/belljar.toml");
        let text = match grant {
            "" => String::new(),
            lines => format!("[[grant]]\nmacro = \"evil\"\n{lines}\nreason = \"a test\"\n"),
        };
        fs::write(&file, text).unwrap();
        let manifest_dir = self.path(package);
        let home = self.path("home");
        let variables = [
            ("CARGO_PKG_NAME", "web"),
            ("CARGO_MANIFEST_DIR", manifest_dir.as_str()),
            ("HOME", home.as_str()),
        ];
        let mut calling = Calling::of_environment(variables.map(|(n, v)| (n.into(), v.into())));
        calling.workspace_root = Some(self.path("ws").into());
        calling.cwd = Some(self.path(cwd).into());
        let places = Places {
            workspace_file: Some(file.into()),
            user_file: None,
            mode: None,
            home: Some(self.path("home").into()),
        };
        Policy::load(calling, &places).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub fn shim(&self, grant: &str) -> Shim {
        self.limited(grant, Limits { print: 1 << 20, ..small() })
    }

    pub fn limited(&self, grant: &str, limits: Limits) -> Shim {
        let (policy, recorder) = (self.policy(grant), Arc::clone(&self.recorder));
        Shim::with(|config| {
            config.policy = policy;
            config.recorder = recorder;
            config.limits = Ok(limits);
        })
    }

    /// What was wanted, with its outcome and how often.
    pub fn attempts(&self) -> BTreeMap<(Request, Outcome), u64> {
        let recorded = self.recorder.recorded();
        let attempts = recorded.attempts.iter();
        attempts.map(|a| ((a.request.clone(), a.outcome), a.times)).collect()
    }

    pub fn was(&self, outcome: Outcome, access: Access, path: impl AsRef<Utf8Path>) -> bool {
        let request = Request::Path { access, path: path.as_ref().to_string() };
        self.attempts().contains_key(&(request, outcome))
    }

    pub fn seen(&self) -> Vec<Observation> {
        self.recorder.recorded().observations.iter().cloned().collect()
    }
}

/// What a grant of the templates says.
pub const TEMPLATES: &str = "read = [\"templates/**\"]\nlist = [\"templates/**\"]";
