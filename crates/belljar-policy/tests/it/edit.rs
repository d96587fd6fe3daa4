//! Adding a grant to a file.

use belljar_policy::edit::{EditError, NewGrant, add};
use belljar_policy::{File, Grant, State};
use proptest::prelude::*;

fn new(read: &[&str], reason: Option<&str>) -> NewGrant {
    NewGrant {
        macro_package: "askama_derive".into(),
        read: read.iter().map(|&p| p.into()).collect(),
        reason: reason.map(Into::into),
        ..NewGrant::default()
    }
}

fn edited(text: &str, new: &NewGrant) -> String {
    add(text, "belljar.toml", new).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_new_file_says_what_it_is() {
    let grant = NewGrant {
        version: Some("0.14".into()),
        calling: vec!["web".into()],
        list: vec!["templates/**".into()],
        env: vec!["APP_*".into()],
        state: true,
        random: Some("seed".into()),
        time: true,
        ..new(&["templates/**", "askama.toml"], Some("HTML \"templates\""))
    };
    insta::assert_snapshot!(edited("", &grant));
}

#[test]
fn a_grant_goes_to_the_end_or_where_a_person_would_write_it() {
    let cases = [
        // At the end, with an empty line before it.
        ("# mine\nmode = \"report\" # for now", new(&["x"], Some("r"))),
        ("[[grant]]\nmacro = \"other\"\nreason = \"r\"\n\n", new(&["x"], Some("r"))),
        // Another reason is another grant.
        (
            "[[grant]]\nmacro = \"askama_derive\"\nread = [\"a\"]\nreason = \"other\"\n",
            new(&["x"], Some("r")),
        ),
        // Into the one for the same macros and with the same reason, or when none is given.
        (
            "[[grant]] # one\nmacro = \"askama_derive\"\nread = [\"a\"]  # files\nreason = \"r\"\n\n# end\n",
            new(&["a", "x", "x"], Some("r")),
        ),
        (
            "[[grant]]\nmacro = \"askama_derive\"\nreason = \"r\" # last\nread = [\n  \"a\", # the a\n  \"b\" # the b\n  # more\n]\n[[grant]]\nmacro = \"b\"\nreason = \"c\"\n",
            new(&["x", "y"], None),
        ),
        (
            "[[grant]]\nmacro = \"askama_derive\"\nread = [\n  \"a\",\n  \"b\",   # the b\n]\nreason = \"r\"\n",
            new(&["x", "y"], None),
        ),
        (
            "[[grant]]\nmacro = \"askama_derive\"\nread = [\n  \"a\", \"b\" ]\nreason = \"r\"",
            new(&["x"], None),
        ),
        ("[[grant]]\nmacro = \"askama_derive\"\nread = [ ]\nreason = \"r\"", new(&["x"], None)),
        ("[[grant]]\nmacro = \"askama_derive\"\nread = [ # none yet\n]\nreason = \"r\"", new(&["x"], None)),
        ("[[grant]]\nmacro = \"askama_derive\"\nread = [\"a\",]\nreason = \"r\"", new(&["x"], None)),
        // Keys that are not there yet.
        (
            "[[grant]]\n  macro = \"askama_derive\" # here\n  reason = \"r\"\n  [grant.limits]\n  time = 5\n",
            NewGrant { state: true, time: true, ..new(&["x"], None) },
        ),
        // Inline.
        (
            "grant = [{ macro = \"askama_derive\", reason = \"r\" }]",
            NewGrant { state: true, ..new(&["x"], None) },
        ),
        ("grant = [\n  { macro = \"b\", reason = \"r\" },\n]", new(&["x"], Some("r"))),
        ("grant = []\n", new(&["x"], Some("r"))),
        // As its lines end.
        ("mode = \"report\"\r\n", new(&["x"], Some("r"))),
    ];
    let mut all = String::new();
    for (text, grant) in cases {
        let after = edited(text, &grant);
        assert_eq!(after.contains('\r'), text.contains('\r'));
        assert!(!after.contains('\r') || after.lines().count() == after.matches("\r\n").count());
        all += &format!("{}\n--------\n", after.replace('\r', ""));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn version_calling_package_and_width_tell_grants_apart() {
    let text = "[[grant]]\nmacro = \"askama_derive\"\nversion = \"0.14\"\nfor = [\"b\", \"a\"]\nread = [\"x\"]\nreason = \"r\"\n";
    let same = NewGrant {
        version: Some("^0.14".into()),
        calling: vec!["a".into(), "b".into()],
        ..new(&["y"], None)
    };
    assert_eq!(edited(text, &same), text.replace("[\"x\"]", "[\"x\", \"y\"]"));
    for other in [
        NewGrant { version: None, ..same.clone() },
        NewGrant { calling: vec!["a".into()], ..same.clone() },
        NewGrant { wide: true, ..same.clone() },
    ] {
        assert!(matches!(add(text, "x", &other), Err(EditError::NoReason { .. })));
        let after = edited(text, &NewGrant { reason: Some("r".into()), ..other });
        assert!(after.starts_with(text));
        assert_eq!(File::parse(&after, "x").unwrap().grants.len(), 2);
    }
}

#[test]
fn errors() {
    let text = "[[grant]]\nmacro = \"askama_derive\"\ntime = false\nrandom = \"a\"\nreason = \"r\"\n";
    let cases = [
        ("mod = 1", new(&["x"], Some("r"))),
        ("", new(&["x"], None)),
        ("", new(&[], Some("r"))),
        ("", new(&["x"], Some(" "))),
        ("", new(&["/**"], Some("r"))),
        (text, NewGrant { time: true, ..new(&[], None) }),
        (text, NewGrant { random: Some("b".into()), ..new(&[], Some("another")) }),
        ("", NewGrant { version: Some("new".into()), ..new(&["x"], Some("r")) }),
    ];
    let all: String = cases
        .iter()
        .map(|(text, new)| format!("{}\n\n", add(text, "belljar.toml", new).unwrap_err()))
        .collect();
    insta::assert_snapshot!(all);
}

/// Lines of a file, each right at its place.
fn text() -> impl Strategy<Value = String> {
    let list = prop_oneof![
        Just("[\"a\"]".to_owned()),
        Just("[ ]".to_owned()),
        Just("[ # c, \"d\"\n ]".to_owned()),
        Just("[\n    \"a\",\n    'b', # c, ]\n]".to_owned()),
        Just("[\n  \"a\" # c\n  , \"b\"\n  # ]\n]".to_owned()),
        Just("[\"a\",\n  \"b\"]".to_owned()),
        Just("[\"\"\"a\"\"\", ]".to_owned()),
    ];
    let key = prop_oneof![
        3 => (prop_oneof![Just("read"), Just("list"), Just("env")], list).prop_map(|(k, v)| (k, v)),
        1 => Just(("time", "true".to_owned())),
        1 => Just(("state", "\"crate\"".to_owned())),
        1 => Just(("version", "\"0.14\"".to_owned())),
        1 => Just(("limits", "{ time = 5 }".to_owned())),
    ];
    let comment = prop_oneof![3 => Just(""), 1 => Just("  # a comment"), 1 => Just(" #\"")];
    let line = (key, comment.clone(), prop_oneof![Just(" = "), Just("=")]);
    let grant = (
        prop_oneof![Just("askama_derive"), Just("b")],
        proptest::collection::vec(line, 0..5),
        comment,
        prop_oneof![Just("r"), Just("other")],
        any::<bool>(),
    );
    let grants = proptest::collection::vec(grant, 0..4);
    (grants, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(grants, mode, crlf, end)| {
        let mut text = String::new();
        if mode {
            text += "# head\n\nmode = \"enforce\"\n\n";
        }
        for (name, lines, comment, reason, reason_first) in grants {
            text += &format!("[[grant]]{comment}\nmacro = {name:?}{comment}\n");
            let reason = format!("reason = {reason:?}{comment}\n");
            if reason_first {
                text += &reason;
            }
            let mut seen = Vec::new();
            for ((key, value), comment, equals) in lines {
                if !seen.contains(&key) {
                    text += &format!("{key}{equals}{value}{comment}\n");
                    seen.push(key);
                }
            }
            if !reason_first {
                text += &reason;
            }
            text += "\n";
        }
        let text = if end { text } else { text.trim_end().to_owned() };
        if crlf { text.replace('\n', "\r\n") } else { text }
    })
}

/// Whether nothing was taken away and nothing moved.
fn is_beneath(old: &str, new: &str) -> bool {
    let mut new = new.chars();
    old.chars().all(|c| new.any(|n| n == c))
}

fn says(grant: &Grant, wanted: &NewGrant) -> bool {
    let strings =
        |list: &[belljar_policy::PathPattern]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let env: Vec<_> = grant.env.iter().map(ToString::to_string).collect();
    let all = |wanted: &[String], there: &[String]| wanted.iter().all(|item| there.contains(item));
    grant.macro_package == wanted.macro_package
        && all(&wanted.read, &strings(&grant.read))
        && all(&wanted.list, &strings(&grant.list))
        && all(&wanted.env, &env)
        && (!wanted.time || grant.time == Some(true))
        && (!wanted.state || grant.state == Some(State::Crate))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn the_grant_is_there_and_all_else_is_untouched(
        text in text(),
        read in proptest::collection::vec("[a-d]", 0..3),
        list in proptest::collection::vec("[a-d]", 0..3),
        env in proptest::collection::vec("[A-D]", 0..3),
        (time, state, again) in any::<(bool, bool, bool)>(),
    ) {
        let wanted = NewGrant { list, env, time, state, read, ..new(&[], Some("r")) };
        let Ok(before) = File::parse(&text, "x") else { panic!("{text}") };
        match add(&text, "x", &wanted) {
            Ok(after) => {
                let file = File::parse(&after, "x").unwrap();
                prop_assert!(file.grants.iter().any(|grant| says(grant, &wanted)), "{}", after);
                // Only the header of a file that had nothing is not the text as it was.
                prop_assert!(is_beneath(&text, &after), "{}\n---\n{}", text, after);
                prop_assert_eq!(text.contains("\r\n"), after.contains("\r\n"));
                prop_assert!(!text.contains("\r\n") || after.matches('\n').count() == after.matches("\r\n").count());
                prop_assert!(file.grants.len() <= before.grants.len() + 1);
                prop_assert_eq!(file.mode, before.mode);
                // The other grants say what they said.
                let changed = before.grants.iter().filter(|old| {
                    !file.grants.iter().any(|new| Grant { line: old.line, ..new.clone() } == **old)
                }).count();
                prop_assert!(changed <= usize::from(file.grants.len() == before.grants.len()));
                if again {
                    prop_assert_eq!(add(&after, "x", &wanted).unwrap(), after);
                }
            }
            Err(EditError::Nothing { .. }) => {
                prop_assert!(!time && !state && wanted.read.is_empty() && wanted.list.is_empty() && wanted.env.is_empty());
            }
            Err(error) => prop_assert!(false, "{}\n{}", text, error),
        }
    }
}
