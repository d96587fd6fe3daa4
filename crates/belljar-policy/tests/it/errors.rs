//! Every error as a user reads it.

use std::fmt::Write as _;

use belljar_policy::{Places, Policy, PolicyError};

use crate::support::calling;

/// What is said of this file at the workspace's root.
fn error(text: &[u8]) -> PolicyError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("belljar.toml");
    std::fs::write(&path, text).unwrap();
    let places = Places { workspace_file: Some(path), home: Some("/home/me".into()), ..Places::default() };
    match Policy::load(calling("web"), &places) {
        Ok(policy) => panic!("{:?} is no error: {policy:?}", String::from_utf8_lossy(text)),
        Err(error) => error,
    }
}

fn without_dir(text: &str) -> String {
    let mut words = Vec::new();
    for line in text.lines() {
        match (line.find("/tmp"), line.find("belljar.toml")) {
            (Some(from), Some(to)) if from < to => words.push(format!("{}{}", &line[..from], &line[to..])),
            _ => words.push(line.to_owned()),
        }
    }
    words.join("\n")
}

/// The errors for each of these lines in a grant that is right without it.
fn in_a_grant(lines: &[&str]) -> String {
    let mut all = String::new();
    for line in lines {
        let text = format!("[[grant]]\nmacro = \"askama_derive\"\n{line}\nreason = \"why\"\n");
        writeln!(all, "{}\n", without_dir(&error(text.as_bytes()).to_string())).unwrap();
    }
    all
}

fn files(texts: &[&str]) -> String {
    let mut all = String::new();
    for text in texts {
        writeln!(all, "{}\n", without_dir(&error(text.as_bytes()).to_string())).unwrap();
    }
    all
}

#[test]
fn syntax_and_keys() {
    insta::assert_snapshot!(files(&[
        "[[grant]\nmacro = \"a\"",
        "mode = ",
        "a = 1\na = 2",
        "mod = \"report\"",
        "moode = 1",
        "zzz = 1",
        "read = [\"a\"]",
        "mode = \"Report\"",
        "mode = true",
        "[grant]\nmacro = \"a\"\nreason = \"b\"",
        "[[grants]]\nmacro = \"a\"",
        "grant = [1]",
        "grant = [{ macro = \"a\", raed = [], reason = \"b\" }]",
        "[[grant]]",
        "# nothing else\n\n[[grant]]\nmacro = \"a\"\nreason = \"\"",
        "[[grant]]\nmacro = \"\"\nreason = \"  \"",
        "[[grant]]\nmacro = \"a\"\nreason = \"b\"\nread = [\"x\", \"**x\"]\nlist = \"y\"\nfoo = 1",
    ]));
}

#[test]
fn values() {
    insta::assert_snapshot!(in_a_grant(&[
        "version = \"latest\"",
        "version = 0.12",
        "version = \"\"",
        "for = []",
        "for = [\"web\", \"\"]",
        "for = 1",
        "for = [1]",
        "for = \"web 1.0\"",
        "for = \"web/src\"",
        "files = [\"x\"]",
        "Read = [\"x\"]",
        "memory = \"1 GiB\"",
        "env = [\"$HOME\"]",
        "env = [\"A=b\"]",
        "env = [\"A_*_B\"]",
        "env = [\"A, B\"]",
        "env = [\"\"]",
        "env = [\"*\"]",
        "env = [\"A\", 1]",
        "state = \"global\"",
        "state = true",
        "random = 7",
        "random = \"\"",
        "time = \"yes\"",
        "wide = 1",
        "limits = 5",
        "limits = { time = 0 }",
        "limits = { time = -1.5 }",
        "limits = { time = nan }",
        "limits = { time = \"30 s\" }",
        "limits = { memory = 1024 }",
        "limits = { memory = \"1024\" }",
        "limits = { memory = \"lots\" }",
        "limits = { memory = \"5 GiB\" }",
        "limits = { stack = \"1 KiB\" }",
        "limits = { output = \"1 GB\" }",
        "limits = { memory = \"1 gb\" }",
        "limits = { heap = \"1 GiB\" }",
        "limits.memory = \"9 TiB\"",
    ]));
}

#[test]
fn patterns() {
    insta::assert_snapshot!(in_a_grant(&[
        "read = \"templates/**\"",
        "read = [\"\"]",
        "read = [\"templates/\"]",
        "read = [\"~/x\"]",
        "read = [\"$CARGO_MANIFEST_DIR/templates/**\"]",
        "read = ['templates\\index.html']",
        "read = [\"a/../b\"]",
        "read = [\"/usr/../etc/passwd\"]",
        "read = [\"workspace:/x\"]",
        "read = [\"workspace:\"]",
        "read = [\"a**b\"]",
        "read = [\"a[bc\"]",
        "read = [\"a[b/c]\"]",
        "read = [\"a[z-a]\"]",
        "read = [\"{a,b\"]",
        "read = [\"a}b\"]",
        "read = [\"{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}\"]",
        "list = [\"a\\u0000\"]",
    ]));
}

#[test]
fn too_wide() {
    insta::assert_snapshot!(in_a_grant(&[
        "read = [\"/**\"]",
        "read = [\"/*/passwd\"]",
        "list = [\"/\"]",
        "read = [\"/home/**\"]",
        "read = [\"/home/*/.ssh/id\"]",
        "read = [\"/home/me/**\"]",
        "read = [\"/home/me/*\", \"/home/you/**\"]",
        "read = [\"{x,/home}/**\"]",
        "read = [\"/{home,usr}/**\"]",
        "read = [\"../../**\"]",
        "read = [\"../../other/x\"]",
        "list = [\"workspace:..\"]",
        "read = [\"../../home/me/**\"]",
    ]));
}

#[test]
fn contradictions() {
    let grant = |line: &str| format!("[[grant]]\nmacro = \"a\"\nreason = \"b\"\n{line}\n");
    let two = |a: &str, b: &str| grant(a) + &grant(b);
    insta::assert_snapshot!(files(&[
        &two("time = true", "time = false"),
        &two("random = \"x\"", "random = \"y\"\nfor = \"web\""),
        &two("state = \"crate\"\nversion = \"1\"", "state = \"call\"\nversion = \"1.2\""),
        &two("limits.memory = \"1 GiB\"", "limits.memory = \"2 GiB\""),
    ]));
}

#[test]
fn long_lines_and_odd_characters() {
    let long = format!(
        "x = \"{}\"\nread = [\"{}\", \"a**b\", \"{}\"]",
        "y".repeat(5),
        "z".repeat(300),
        "z".repeat(300)
    );
    insta::assert_snapshot!(in_a_grant(&[
        &long,
        "read = [\"ü\u{1b}\"]",
        "read = [\"größe\", \"x**\"]",
        "\tread = [\"\tü\", \"x**\"]",
    ]));
    insta::assert_snapshot!(
        "crlf",
        files(&["[[grant]]\r\nmacro = \"a\"\r\nraed = []\r\nreason = \"b\"\r\n"])
    );
}

#[test]
fn files_that_are_none() {
    let large = vec![b'#'; (1 << 20) + 1];
    let mut all = String::new();
    for text in [&large[..], b"mode = \"report\"\n# \xff\n"] {
        writeln!(all, "{}\n", without_dir(&error(text).to_string())).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &std::path::Path, mode: Option<&str>| {
        let places = Places {
            workspace_file: Some(path.to_owned()),
            mode: mode.map(str::to_owned),
            ..Places::default()
        };
        Policy::load(calling("web"), &places).map_err(|error| without_dir(&error.to_string()))
    };
    let directory = dir.path().join("belljar.toml");
    assert!(load(&directory, None).is_ok(), "a missing file says nothing");
    std::fs::create_dir(&directory).unwrap();
    writeln!(all, "{}\n", load(&directory, None).unwrap_err()).unwrap();
    std::fs::remove_dir(&directory).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&directory).status().unwrap().success());
    writeln!(all, "{}\n", load(&directory, None).unwrap_err()).unwrap();
    std::fs::remove_file(&directory).unwrap();
    std::os::unix::fs::symlink("belljar.toml", &directory).unwrap();
    writeln!(all, "{}\n", load(&directory, None).unwrap_err()).unwrap();
    assert!(load(&directory.join("beneath-a-file"), None).is_err(), "a loop of links");
    std::fs::remove_file(&directory).unwrap();
    std::fs::write(&directory, "").unwrap();
    assert!(load(&directory.join("beneath-a-file"), None).is_ok());
    for mode in ["Report", "off", "1\n2"] {
        writeln!(all, "{}\n", load(&directory, Some(mode)).unwrap_err()).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn many_mistakes_and_many_grants() {
    let many = "[[grant]]\nmacro = \"a\"\nreason = \"b\"\n".repeat(1001);
    assert!(many.len() < 1 << 20);
    let wrong = "[[grant]]\nmacro = \"a\"\n".repeat(12);
    let text = files(&[&many]) + files(&[&wrong]).trim_end().lines().last().unwrap();
    insta::assert_snapshot!(text);
}
