//! What belljar knows about macros.

use belljar_policy::{Access, File, Policy, Request, profiles};

use crate::support::{calling, is_granted, load, path};

#[test]
fn every_profile_is_right_and_about_its_package() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut files = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let file = File::parse(&text, name).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
        assert!(!file.grants.is_empty() && file.mode.is_none(), "{name}");
        assert!(
            text.starts_with("# Read in") || text.contains("\n# Read in") || text.contains("`src/"),
            "{name}"
        );
        for grant in &file.grants {
            assert_eq!(grant.macro_package, name);
            assert!(grant.calling.is_empty(), "{name}");
        }
        assert!(profiles::names().any(|known| known == name), "{name} is not in the table");
        files += 1;
    }
    assert_eq!(files, profiles::names().len());
    let names: Vec<_> = profiles::names().collect();
    assert!(names.is_sorted(), "they are found by bisection");
}

#[test]
fn only_what_gives_no_access_holds_by_itself() {
    let automatic = |name: &str| {
        profiles::suggest(name, "99.0.0").or(profiles::suggest(name, "0.1.0")).unwrap().automatic
    };
    let by_themselves: Vec<_> = profiles::names().filter(|name| automatic(name)).collect();
    assert_eq!(
        by_themselves,
        ["const-random-macro", "enum_dispatch", "napi-derive", "pyo3-macros", "wasm-bindgen-macro"]
    );
    for name in profiles::names() {
        let rules = Policy::built_in(calling("web")).rules(name, "1.0.0");
        assert_eq!(rules.keeps_state(), automatic(name), "{name}");
        for file in ["/ws/web/templates/x", "/ws/web/assets/x", "/ws/.env", "/ws/web/x.pest"] {
            assert!(!is_granted(&rules, &path(Access::Read, file)), "{name} {file}");
        }
        assert!(!is_granted(&rules, &Request::Variable("OUT_DIR".into())), "{name}");
        assert_eq!(rules.seed(), b"", "{name}");
    }
}

#[test]
fn a_profile_says_why_and_a_grant_wins() {
    let rules = Policy::built_in(calling("web")).rules("enum_dispatch", "0.3.13");
    let why = rules.why_state().unwrap().to_string();
    assert!(why.starts_with("belljar's profile of enum_dispatch: "), "{why}");
    let grant = |line: &str| {
        let text = format!("[[grant]]\nmacro = \"enum_dispatch\"\n{line}\nreason = \"x\"");
        load(calling("web"), Some(&text), None).unwrap().rules("enum_dispatch", "0.3.13")
    };
    assert!(!grant("state = \"call\"").keeps_state());
    assert!(grant("state = \"crate\"").keeps_state());
    assert!(grant("time = true").keeps_state(), "it says nothing of state");
}

#[test]
fn versions_have_profiles_of_their_own() {
    let wide = |version| profiles::suggest("sqlx-macros", version).unwrap().grant.wide;
    assert!(wide("0.9.0") && !wide("0.8.6"));
    assert!(profiles::suggest("askama_derive", "0.14.0").is_some());
    assert!(profiles::suggest("askama_derive", "0.16.0").is_none(), "a library by then");
    assert!(profiles::suggest("serde_derive", "1.0.0").is_none());
}
