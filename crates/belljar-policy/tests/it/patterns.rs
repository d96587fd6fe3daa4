//! Globs against a model that is simple enough to be seen to be right.

use belljar_policy::{Access, PathPattern};
use proptest::prelude::*;

use crate::support::{calling, is_granted, load, path};

/// Whether a name matches a component of a pattern, character by character.
fn name_matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            name_matches(&pattern[1..], name) || !name.is_empty() && name_matches(pattern, &name[1..])
        }
        (Some('?'), Some(_)) => name_matches(&pattern[1..], &name[1..]),
        (Some('['), Some(c)) => {
            // Classes are `[ab]` or `[!ab]` here.
            let end = pattern.iter().position(|c| *c == ']').unwrap();
            let (negated, members) = match pattern[1] {
                '!' => (true, &pattern[2..end]),
                _ => (false, &pattern[1..end]),
            };
            (members.contains(c) != negated) && name_matches(&pattern[end + 1..], &name[1..])
        }
        (Some(p), Some(c)) => p == c && name_matches(&pattern[1..], &name[1..]),
        _ => false,
    }
}

fn path_matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.first(), path.first()) {
        (None, None) => true,
        // At the end it stands for one name at least.
        (Some(&"**"), _) if pattern.len() == 1 => !path.is_empty(),
        (Some(&"**"), _) => {
            path_matches(&pattern[1..], path) || !path.is_empty() && path_matches(pattern, &path[1..])
        }
        (Some(component), Some(name)) => {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            name_matches(&chars(component), &chars(name)) && path_matches(&pattern[1..], &path[1..])
        }
        _ => false,
    }
}

fn component() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ab.]",
        1 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => "\\[!?[ab]{1,2}\\]",
    ];
    let name = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.concat().replace("**", "*"));
    prop_oneof![4 => name, 1 => Just("**".to_owned())]
        .prop_filter("no `.` and `..`", |c| !matches!(c.as_str(), "." | ".."))
}

/// With braces that hold one component or two, and what they stand for.
fn pattern() -> impl Strategy<Value = (String, Vec<String>)> {
    let components = || proptest::collection::vec(component(), 1..4).prop_map(|c| c.join("/"));
    let choices = proptest::collection::vec(components(), 1..3);
    prop_oneof![
        3 => components().prop_map(|c| (c.clone(), vec![c])),
        1 => (components(), choices).prop_map(|(before, choices)| {
            let all = choices.iter().map(|choice| format!("{before}/{choice}")).collect();
            (format!("{before}/{{{}}}", choices.join(",")), all)
        }),
    ]
}

fn file() -> impl Strategy<Value = String> {
    let name = "[ab.]{1,3}".prop_filter("no `.` and `..`", |n| !matches!(n.as_str(), "." | ".."));
    proptest::collection::vec(name, 1..5).prop_map(|names| names.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn globs_match_what_the_model_matches((pattern, alternatives) in pattern(), file in file()) {
        let text = format!("[[grant]]\nmacro = \"mac\"\nread = [{pattern:?}]\nreason = \"x\"");
        let rules = load(calling("web"), Some(&text), None).unwrap().rules("mac", "1.0.0");
        let names: Vec<_> = file.split('/').collect();
        let expected = alternatives.iter().any(|a| path_matches(&a.split('/').collect::<Vec<_>>(), &names));
        let granted = |base: &str| is_granted(&rules, &path(Access::Read, &format!("{base}{file}")));
        prop_assert_eq!(granted("/ws/web/"), expected, "{} {}", pattern, file);
        prop_assert!(!granted("/ws/x") && !granted("/ws/webs/") && !granted("/"));
        // What is granted is beneath its root.
        if expected {
            let whole = format!("/ws/web/{file}");
            let root = rules.root_of(Access::Read, &whole).unwrap();
            let beneath = format!("{root}/");
            prop_assert!(whole.starts_with(&beneath) && root.starts_with("/ws/web"));
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in "[a*?/.{},!\\[\\]\\\\~$\\-w:]{0,20}|.{0,10}") {
        if let Ok(pattern) = PathPattern::parse(&text) {
            prop_assert_eq!(pattern.as_str(), &text);
        }
    }

    #[test]
    fn any_file_is_right_or_an_error(text in "[a-z=\"\\[\\]{}\\n#., 0-9]{0,60}|.{0,20}") {
        if let Err(mistakes) = belljar_policy::File::parse(&text, "x") {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes {
                prop_assert!(mistake.to_string().contains("help: "));
            }
        }
    }
}
