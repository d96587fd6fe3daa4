//! What a loaded policy says.

use belljar_policy::{Access, Decision, Mode, Outcome, Places, Policy, Reason, Request};

use crate::support::{calling, granted, is_granted, load, path, rules};

#[test]
fn a_grant_gives_what_it_names_with_its_line_and_reason() {
    let rules =
        granted("read = [\"templates/**\", \"workspace:schemas/*.graphql\", \"/usr/share/zoneinfo/**\"]");
    let because = |request| rules.decide(&request).reason().to_string();
    assert_eq!(because(path(Access::Read, "/ws/web/templates/a/b.html")), "belljar.toml:1: why");
    for good in ["/ws/web/templates/a", "/ws/schemas/x.graphql", "/usr/share/zoneinfo/Europe/Berlin"] {
        for access in [Access::Read, Access::LookAt, Access::ReadLink] {
            assert!(is_granted(&rules, &path(access, good)), "{access:?} {good}");
        }
        assert!(!is_granted(&rules, &path(Access::List, good)), "{good}");
    }
    let bad = [
        "/ws/templates/a",
        "/ws/web/templates-old/a",
        "/ws/web/Templates/a",
        "/ws/schemas/a/x.graphql",
        "/ws/web/schemas/x.graphql",
        "/usr/share/zoneinfo2",
        "/usr/share",
        "/etc/passwd",
    ];
    for bad in bad {
        for access in [Access::Read, Access::LookAt, Access::ReadLink, Access::List] {
            let decision = rules.decide(&path(access, bad));
            assert_eq!(decision, Decision::Refused(Reason::NotGranted), "{access:?} {bad}");
            assert_eq!(rules.root_of(access, bad), None);
        }
    }
    // The directory itself is there to look at, and is no file to read.
    assert!(is_granted(&rules, &path(Access::LookAt, "/ws/web/templates")));
    assert!(!is_granted(&rules, &path(Access::Read, "/ws/web/templates")));
}

#[test]
fn a_grant_to_list_is_one_for_directories_alone() {
    let rules = granted("list = [\"assets/**\", \"one\"]");
    for good in ["/ws/web/assets", "/ws/web/assets/a/b", "/ws/web/one"] {
        assert!(is_granted(&rules, &path(Access::List, good)), "{good}");
        assert!(is_granted(&rules, &path(Access::LookAt, good)), "{good}");
        assert!(!is_granted(&rules, &path(Access::Read, good)), "{good}");
        assert!(!is_granted(&rules, &path(Access::ReadLink, good)), "{good}");
    }
    assert!(!is_granted(&rules, &path(Access::List, "/ws/web/one/more")));
}

#[test]
fn nothing_grants_a_change_in_any_mode() {
    let all = "[[grant]]\nmacro = \"mac\"\nread = [\"/**\"]\nlist = [\"/**\"]\nenv = [\"*\"]\nwide = true\nreason = \"x\"";
    let accesses =
        [Access::Write, Access::MakeDirectory, Access::Link, Access::Rename, Access::Remove, Access::Touch];
    for text in [all.to_owned(), format!("mode = \"report\"\n{all}")] {
        let rules = rules(&text);
        assert!(is_granted(&rules, &path(Access::Read, "/etc/passwd")));
        let requests = accesses.map(|access| path(access, "/ws/web/x"));
        let others = [Request::Socket(None), Request::Thread, Request::Process("sh".into()), Request::Signal];
        for request in requests.into_iter().chain(others) {
            assert_eq!(rules.decide(&request), Decision::Refused(Reason::NeverGranted), "{request}");
        }
        assert_eq!(rules.root_of(Access::Write, "/ws/web/x"), None);
    }
}

#[test]
fn roots_are_the_fixed_parts() {
    let rules = granted(
        "read = [\"templates/**\", \"a/*/c/**\", \"one/file.txt\", \"*.md\"]\nlist = [\"/d/{e,f/g*}\"]",
    );
    let root = |access, path: &str| rules.root_of(access, path).unwrap_or_default();
    assert_eq!(root(Access::Read, "/ws/web/templates/x/y"), "/ws/web/templates");
    assert_eq!(root(Access::LookAt, "/ws/web/templates"), "/ws/web/templates");
    assert_eq!(root(Access::Read, "/ws/web/a/b/c/d"), "/ws/web/a");
    assert_eq!(root(Access::LookAt, "/ws/web/a/b/c"), "/ws/web/a");
    assert_eq!(root(Access::Read, "/ws/web/one/file.txt"), "/ws/web/one");
    assert_eq!(root(Access::Read, "/ws/web/x.md"), "/ws/web");
    assert_eq!(root(Access::List, "/d/e"), "/d");
    assert_eq!(root(Access::List, "/d/f/gg"), "/d/f");
    assert_eq!(root(Access::Read, "/ws/Cargo.toml"), "/ws");
    assert_eq!(root(Access::LookAt, "/ws"), "/ws");
}

#[test]
fn manifests_need_no_grant() {
    let built_in = |calling| Policy::built_in(calling).rules("proc-macro-crate", "3.0.0");
    let rules = built_in(calling("crates/web"));
    for good in ["/ws/crates/web/Cargo.toml", "/ws/Cargo.toml"] {
        for access in [Access::Read, Access::LookAt] {
            assert_eq!(rules.decide(&path(access, good)), Decision::Granted(Reason::Manifest), "{good}");
        }
    }
    for dir in ["/ws/crates/web", "/ws/crates", "/ws"] {
        assert!(is_granted(&rules, &path(Access::LookAt, dir)), "{dir}");
        assert!(!is_granted(&rules, &path(Access::List, dir)), "{dir}");
    }
    for bad in [
        "/ws/Cargo.lock",
        "/ws/crates/Cargo.toml",
        "/ws/crates/db/Cargo.toml",
        "/Cargo.toml",
        "/",
        "/ws/crates/web/src",
    ] {
        assert!(!is_granted(&rules, &path(Access::LookAt, bad)), "{bad}");
    }
    // A dependency from somewhere else.
    let mut other = calling("x");
    other.manifest_dir = Some("/home/me/.cargo/registry/src/i/x-1.0.0".into());
    let rules = built_in(other);
    assert!(is_granted(&rules, &path(Access::Read, "/home/me/.cargo/registry/src/i/x-1.0.0/Cargo.toml")));
    assert!(!is_granted(&rules, &path(Access::LookAt, "/home/me/.cargo/registry/src/i")));
    // Nobody says where the workspace is.
    let mut open = calling("x");
    (open.manifest_dir, open.workspace_root) = (Some("/home/me/code/ws/x".into()), None);
    let rules = built_in(open);
    for (dir, good) in
        [("/home/me/code/ws/x", true), ("/home/me/code", true), ("/home/me", false), ("/home", false)]
    {
        assert_eq!(is_granted(&rules, &path(Access::Read, &format!("{dir}/Cargo.toml"))), good, "{dir}");
        assert_eq!(is_granted(&rules, &path(Access::LookAt, dir)), good, "{dir}");
    }
    assert!(!is_granted(&rules, &path(Access::Read, "/Cargo.toml")));
    // Nothing is known: nothing is granted.
    assert!(!is_granted(&built_in(Default::default()), &path(Access::Read, "/Cargo.toml")));
}

#[test]
fn variables() {
    let rules = granted("env = [\"DATABASE_URL\", \"APP_*\", \"CARGO_*\"]");
    assert_eq!(rules.variable("DATABASE_URL"), Some("sqlite:x"));
    assert_eq!(rules.variable("APP_KEY"), Some("k"));
    let because = |name: &str| rules.decide(&Request::Variable(name.into()));
    assert!(matches!(because("APP_UNSET"), Decision::Granted(Reason::Grant(_))));
    assert_eq!(because("CARGO_PKG_NAME"), Decision::Granted(Reason::DescribesCrate));
    // Named by their start, cargo's secrets are not meant.
    for secret in ["CARGO_REGISTRY_TOKEN", "CARGO_REGISTRIES_MINE_TOKEN", "CARGO_REGISTRIES_MINE_SECRET_KEY"]
    {
        assert_eq!(because(secret), Decision::Refused(Reason::NotGranted), "{secret}");
        assert_eq!(rules.variable(secret), None);
    }
    assert_eq!(because("HOME"), Decision::Refused(Reason::NotGranted));
    let names: Vec<_> = rules.variables().map(|(name, _)| name).collect();
    assert_eq!(names, ["APP_KEY", "BELLJAR_WORKSPACE_MANIFEST", "CARGO_PKG_NAME", "DATABASE_URL"]);
    assert_eq!(granted("env = [\"CARGO_REGISTRY_TOKEN\"]").variable("CARGO_REGISTRY_TOKEN"), Some("secret"));
    // The macro's own wish now.
    assert_eq!(granted("env = [\"RUST_BACKTRACE\"]").variable("RUST_BACKTRACE"), Some("1"));
}

#[test]
fn report_mode_gives_what_could_be_granted_and_says_so() {
    let rules = rules("mode = \"report\"\n[[grant]]\nmacro = \"mac\"\nread = [\"x\"]\nreason = \"y\"");
    let outcome = |request| rules.decide(&request).outcome();
    assert_eq!(outcome(path(Access::Read, "/ws/web/x")), Outcome::Granted);
    for access in [Access::Read, Access::List, Access::LookAt, Access::ReadLink] {
        assert_eq!(outcome(path(access, "/etc/passwd")), Outcome::Reported);
        assert_eq!(rules.root_of(access, "/etc/passwd").as_deref(), Some("/"));
    }
    assert_eq!(rules.root_of(Access::Read, "/ws/web/x").as_deref(), Some("/"));
    assert_eq!(outcome(Request::Variable("HOME".into())), Outcome::Reported);
    assert_eq!(rules.variable("HOME"), Some("/home/me"));
    assert_eq!(rules.variable("CARGO_REGISTRY_TOKEN"), Some("secret"));
    assert_eq!(outcome(Request::Variable("RUST_BACKTRACE".into())), Outcome::Withheld);
    assert_eq!(rules.variable("RUST_BACKTRACE"), None);
    assert_eq!((outcome(Request::Clock), outcome(Request::Random)), (Outcome::Fixed, Outcome::Fixed));
}

#[test]
fn the_mode_is_the_environments_and_else_enforced_if_a_file_says_so() {
    let mode = |workspace, user, variable: Option<&str>| {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let places = Places {
            workspace_file: file("w", workspace),
            user_file: file("u", user),
            mode: variable.map(str::to_owned),
            home: None,
        };
        Policy::load(calling("web"), &places).unwrap().mode()
    };
    let report = "mode = \"report\"";
    assert_eq!(mode("", "", None), Mode::Enforce);
    assert_eq!(mode("", report, None), Mode::Report);
    assert_eq!(mode("mode = \"enforce\"", report, None), Mode::Enforce);
    assert_eq!(mode(report, "mode = \"enforce\"", None), Mode::Enforce);
    assert_eq!(mode(report, "", Some("enforce")), Mode::Enforce);
    assert_eq!(mode("", "", Some("report")), Mode::Report);
}

const FULL: &str = r#"
[[grant]]
macro = "mac"
version = "0.12"
for = ["web", "api"]
state = "crate"
random = "seed"
time = true
limits = { time = 30, memory = "2 GiB" }
reason = "scalars"
"#;

#[test]
fn scalars_and_whom_they_are_for() {
    let policy = load(calling("web"), Some(FULL), None).unwrap();
    let rules = policy.rules("mac", "0.12.3");
    assert!(rules.keeps_state() && rules.real_time());
    assert_eq!(rules.seed(), b"seed");
    let limits = rules.limits();
    assert_eq!((limits.time, limits.memory, limits.stack), (Some(30.0), Some(2 << 30), None));
    assert!(matches!(rules.decide(&Request::Clock), Decision::Granted(Reason::Grant(_))));
    assert!(matches!(rules.decide(&Request::Random), Decision::Fixed(Reason::Grant(_))));
    for (package, version) in
        [("mac", "0.13.0"), ("mac", "not a version"), ("mac2", "0.12.3"), ("Mac", "0.12.3")]
    {
        assert!(!policy.rules(package, version).keeps_state(), "{package} {version}");
    }
    let other = load(calling("db"), Some(FULL), None).unwrap();
    assert_eq!(
        other.rules("mac", "0.12.3").digest(),
        Policy::built_in(calling("db")).rules("mac", "0.12.3").digest()
    );
}

#[test]
fn the_users_lists_add_up_and_the_workspaces_scalars_win() {
    let user = r#"
        [[grant]]
        macro = "mac"
        read = ["/usr/share/zoneinfo/**"]
        random = "mine"
        time = false
        limits = { time = 5, stack = "32 MiB" }
        reason = "mine"
    "#;
    let policy = load(calling("web"), Some(FULL), Some(user)).unwrap();
    let rules = policy.rules("mac", "0.12.3");
    assert!(is_granted(&rules, &path(Access::Read, "/usr/share/zoneinfo/UTC")));
    assert_eq!(rules.seed(), b"seed");
    assert!(rules.real_time());
    assert_eq!((rules.limits().time, rules.limits().stack), (Some(30.0), Some(32 << 20)));
    assert_eq!(policy.grants().len(), 2);
    assert_eq!(policy.files().len(), 2);
}

#[test]
fn the_same_values_twice_and_grants_that_never_meet_are_no_contradiction() {
    let grant = |line: &str| format!("[[grant]]\nmacro = \"a\"\nreason = \"b\"\n{line}\n");
    for (a, b) in [
        ("time = true", "time = true"),
        ("time = true\nversion = \"1\"", "time = false\nversion = \"2\""),
        ("time = true\nfor = \"web\"", "time = false\nfor = [\"api\", \"db\"]"),
        ("random = \"x\"", "state = \"crate\""),
    ] {
        assert!(load(calling("web"), Some(&(grant(a) + &grant(b))), None).is_ok(), "{a} / {b}");
    }
}

#[test]
fn wide_grants_are_possible_and_narrow_ones_near_home_need_nothing() {
    for line in [
        "read = [\"/**\"]\nwide = true",
        "read = [\"../../**\"]\nwide = true",
        "env = [\"*\"]\nwide = true",
        "read = [\"/home/me/project/**\"]",
        "read = [\"../api/x\", \"../*.md\", \"**\", \"workspace:**\"]",
        "list = [\".\", \"./src\"]",
        "read = [\"/etc/ssl/**\"]",
    ] {
        granted(line);
    }
    // A relative pattern is looked at where it has a say.
    let other = "[[grant]]\nmacro = \"mac\"\nfor = \"deep\"\nread = [\"../../x\"]\nreason = \"y\"";
    assert!(load(calling("web"), Some(other), None).is_ok());
    assert!(load(calling("deep"), Some(other), None).is_err());
    assert!(
        load(calling("a/deep"), Some(&other.replace("deep", "a/deep")), None).is_err(),
        "no package's name"
    );
}

#[test]
fn digests_follow_what_is_said_and_nothing_else() {
    let digest = |text: &str| load(calling("web"), Some(text), None).unwrap().rules("mac", "0.12.3").digest();
    let read = |patterns: &str| {
        format!("[[grant]]\nmacro = \"mac\"\nread = [{patterns}]\nenv = [\"A\", \"B\"]\nreason = \"x\"\n")
    };
    let base = digest(&read("\"a\", \"b/**\""));
    let same = [
        read("\"b/**\", \"a\", \"a\""),
        read("\"./a\", \"{b/**,a}\""),
        format!("# a comment\n\n{}", read("\"a\", \"b/**\"").replace("\"x\"", "\"another reason\"")),
        format!("{}[[grant]]\nmacro = \"other\"\nread = [\"c\"]\nreason = \"y\"", read("\"a\", \"b/**\"")),
        format!(
            "{}[[grant]]\nmacro = \"mac\"\nfor = \"api\"\nread = [\"c\"]\nreason = \"y\"",
            read("\"a\", \"b/**\"")
        ),
        read("\"a\"") + &read("\"b/**\""),
    ];
    for text in same {
        assert_eq!(digest(&text), base, "{text}");
    }
    let others = [
        String::new(),
        read("\"a\""),
        read("\"a\", \"b/**\", \"c\""),
        read("\"a\", \"workspace:b/**\""),
        read("\"a\", \"/ws/web/b/**\""),
        read("\"a\", \"b/**\"").replace("read", "list"),
        read("\"a\", \"b/**\"").replace("\"B\"", "\"B*\""),
        read("\"a\", \"b/**\"") + "time = true",
        read("\"a\", \"b/**\"") + "state = \"crate\"",
        read("\"a\", \"b/**\"") + "random = \"r\"",
        read("\"a\", \"b/**\"") + "limits.time = 1",
        read("\"a\", \"b/**\"") + "limits.stack = \"1 MiB\"",
        format!("mode = \"report\"\n{}", read("\"a\", \"b/**\"")),
    ];
    let mut seen = vec![base];
    for text in others {
        let digest = digest(&text);
        assert!(!seen.contains(&digest), "{text}");
        seen.push(digest);
    }
}

#[test]
fn a_digest_is_the_same_in_another_checkout() {
    let text = "[[grant]]\nmacro = \"mac\"\nread = [\"a/**\", \"workspace:b\"]\nreason = \"x\"";
    let mut there = calling("web");
    (there.manifest_dir, there.workspace_root) = (Some("/elsewhere/web".into()), Some("/elsewhere".into()));
    there.environment.clear();
    let digest = |calling| load(calling, Some(text), None).unwrap().rules("mac", "1.0.0").digest();
    assert_eq!(digest(calling("web")), digest(there));
}

#[test]
fn characters_of_the_base_are_no_wildcards() {
    let mut odd = calling("web");
    odd.manifest_dir = Some("/ws/[a]*{b,c}".into());
    let text = "[[grant]]\nmacro = \"mac\"\nread = [\"*.txt\"]\nreason = \"x\"";
    let rules = load(odd, Some(text), None).unwrap().rules("mac", "1.0.0");
    assert!(is_granted(&rules, &path(Access::Read, "/ws/[a]*{b,c}/x.txt")));
    assert!(!is_granted(&rules, &path(Access::Read, "/ws/aXb/x.txt")));
}
