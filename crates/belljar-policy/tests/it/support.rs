use std::path::PathBuf;

use belljar_policy::{Access, Calling, Decision, Places, Policy, PolicyError, Request, Rules};

/// The crate `web` in `/ws/web` of the workspace `/ws`.
pub(crate) fn calling(package: &str) -> Calling {
    let variables = [
        ("CARGO_PKG_NAME", package),
        ("HOME", "/home/me"),
        ("DATABASE_URL", "sqlite:x"),
        ("APP_KEY", "k"),
        ("CARGO_REGISTRY_TOKEN", "secret"),
        ("RUST_BACKTRACE", "1"),
    ];
    let mut calling = Calling::of_environment(variables.map(|(n, v)| (n.into(), v.into())));
    calling.manifest_dir = Some(format!("/ws/{package}"));
    calling.workspace_root = Some("/ws".into());
    calling.cwd = Some("/ws".into());
    calling
}

/// The policy of a workspace with these files, for a crate in it. Only texts are in real files.
pub(crate) fn load(
    calling: Calling,
    workspace: Option<&str>,
    user: Option<&str>,
) -> Result<Policy, PolicyError> {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: Option<&str>| -> Option<PathBuf> {
        let path = dir.path().join(name).join("belljar.toml");
        std::fs::create_dir_all(path.parent()?).unwrap();
        std::fs::write(&path, text?).unwrap();
        Some(path)
    };
    let places = Places {
        workspace_file: file("workspace", workspace),
        user_file: file("user", user),
        mode: None,
        home: Some("/home/me".into()),
    };
    Policy::load(calling, &places)
}

pub(crate) fn rules(text: &str) -> Rules {
    load(calling("web"), Some(text), None).unwrap().rules("mac", "0.12.3")
}

/// The rules with this line in a grant.
pub(crate) fn granted(line: &str) -> Rules {
    rules(&format!("[[grant]]\nmacro = \"mac\"\n{line}\nreason = \"why\"\n"))
}

pub(crate) fn path(access: Access, path: &str) -> Request {
    Request::Path { access, path: path.into() }
}

pub(crate) fn is_granted(rules: &Rules, request: &Request) -> bool {
    matches!(rules.decide(request), Decision::Granted(_))
}
