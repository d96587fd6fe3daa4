//! Grants that do nothing are told.

use belljar_policy::{Access, Calling, File, Pair, Request, Used, unused};

use crate::support::{calling, path};

const TEXT: &str = r#"
[[grant]]
macro = "askama_derive"
for = "web"
read = ["templates/**", "askama.toml"]
env = ["APP_*"]
reason = "templates"

[[grant]]
macro = "askama-derive"
read = ["x"]
reason = "misspelt"

[[grant]]
macro = "pest"
read = ["x"]
reason = "the library, not its macros"

[[grant]]
macro = "askama_derive"
version = "0.11"
read = ["x"]
reason = "an old version"

[[grant]]
macro = "askama_derive"
for = "api"
read = ["x"]
reason = "nobody there calls it"

[[grant]]
macro = "enum_dispatch"
state = "crate"
reason = "nobody can tell"

[[grant]]
macro = "pest_derive"
time = true
random = "x"
list = ["src/**"]
reason = "unused altogether"
"#;

fn told(used: &[(&str, &Calling, Request)]) -> String {
    let grants = File::parse(TEXT, "belljar.toml").unwrap().grants;
    let pair = |name: &str, version: &str| Pair {
        macro_package: name.into(),
        macro_version: version.into(),
        calling: "web".into(),
    };
    let pairs =
        [pair("askama_derive", "0.14.0"), pair("pest_derive", "2.9.6"), pair("enum_dispatch", "0.3.13")];
    let used: Vec<_> = used
        .iter()
        .map(|(macro_package, calling, request)| Used {
            macro_package,
            macro_version: "0.14.0",
            calling,
            request,
        })
        .collect();
    unused(&grants, &pairs, &used).iter().map(|u| format!("{u}\n")).collect()
}

#[test]
fn what_matches_nothing_and_what_nobody_used() {
    let (web, api) = (calling("web"), calling("api"));
    let read = || path(Access::Read, "/ws/web/templates/a.html");
    let used = [
        ("askama_derive", &web, read()),
        ("askama_derive", &web, Request::Variable("APP_KEY".into())),
        // Of another crate, another macro, or by another way.
        ("askama_derive", &api, path(Access::Read, "/ws/web/askama.toml")),
        ("pest_derive", &web, path(Access::Read, "/ws/web/src/x")),
    ];
    insta::assert_snapshot!(told(&used));
    insta::assert_snapshot!("nothing_was_used", told(&[]));
    let all = [
        ("askama_derive", &web, read()),
        ("askama_derive", &web, path(Access::LookAt, "/ws/web/askama.toml")),
        ("askama_derive", &web, Request::Variables),
        ("pest_derive", &web, Request::Clock),
        ("pest_derive", &web, Request::Random),
        ("pest_derive", &web, path(Access::List, "/ws/web/src")),
    ];
    assert!(!told(&all).contains("nobody used"), "{}", told(&all));
}
