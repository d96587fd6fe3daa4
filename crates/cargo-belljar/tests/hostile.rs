//! Macros that want in (fixtures/hostile). Each attempt ends in an answer that tells nothing, or in an error that names
//! crate and macro and says what to do; cargo and rustc go on.

mod support;

use support::{Done, Project, run};

/// A package `victim` that depends on the hostile macro crate of this name, with this `main.rs`.
fn victim(krate: &str, dir: &str, main: &str) -> Project {
    let project = Project::of_fixture(&format!("hostile/{dir}"));
    // The fixture's own copy moves to a folder of its own.
    let inner = Project::new("victim dir");
    copy_into(&project, &inner, "hostile");
    inner.file(
        "Cargo.toml",
        &format!(
            "[package]\nname = \"victim\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
             {krate} = {{ path = \"hostile\" }}\n"
        ),
    );
    inner.file("src/main.rs", main);
    inner
}

fn copy_into(from: &Project, to: &Project, below: &str) {
    for file in ["Cargo.toml", "src/lib.rs"] {
        let text = from.read(file).replace("[workspace]\n", "");
        to.file(&format!("{below}/{file}"), &text);
    }
}

/// Builds and runs a program whose macros report what they learned.
fn learned(expressions: &[(&str, &str)]) -> Vec<String> {
    let lines: String =
        expressions.iter().map(|(_, call)| format!("    println!(\"{{}}\", hostile::{call});\n")).collect();
    let project = victim("hostile", "macros", &format!("fn main() {{\n{lines}}}\n"));
    let done = run(project.belljar(&["run", "--quiet"]).stdin(std::process::Stdio::null())).ok();
    let answers: Vec<String> = done.stdout.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), expressions.len(), "{}", done.stdout);
    answers
}

#[test]
fn nothing_is_in_reach() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "secret").unwrap();
    let secret = path.to_str().unwrap().to_owned();
    let calls: Vec<(String, String)> = [
        ("read /etc/passwd", "read_file!(\"/etc/passwd\")".to_owned()),
        ("read a file that is not there", "read_file!(\"/etc/no-such-file\")".to_owned()),
        ("read its own source", "read_file!(\"src/main.rs\")".to_owned()),
        ("read its own lockfile", "read_file!(\"Cargo.lock\")".to_owned()),
        ("read through ..", "read_file!(\"../../../../../../etc/passwd\")".to_owned()),
        ("read the environment of the process", "read_file!(\"/proc/self/environ\")".to_owned()),
        ("read a secret", format!("read_file!(\"{secret}\")")),
        ("list /", "list_directory!(\"/\")".to_owned()),
        ("list a directory that is not there", "list_directory!(\"/no-such\")".to_owned()),
        ("look at /etc/passwd", "look_at!(\"/etc/passwd\")".to_owned()),
        ("look at nothing", "look_at!(\"/etc/no-such-file\")".to_owned()),
        ("write", format!("write_file!(\"{secret}\")")),
        ("write a new file", "write_file!(\"new-file\")".to_owned()),
        ("remove", format!("remove_file!(\"{secret}\")")),
        ("run a program", "run_program!()".to_owned()),
        ("open a socket", "connect!(\"127.0.0.1:1\")".to_owned()),
        ("start a thread", "start_thread!()".to_owned()),
        ("read HOME", "variable!(\"HOME\")".to_owned()),
        ("read PATH", "variable!(\"PATH\")".to_owned()),
        ("read a variable that is not set", "variable!(\"NO_SUCH_VARIABLE\")".to_owned()),
        ("read what is granted", "variable!(\"CARGO_PKG_NAME\")".to_owned()),
        ("list variables", "all_variables!()".to_owned()),
        ("read standard input", "read_stdin!()".to_owned()),
    ]
    .map(|(what, call)| (what.to_owned(), call))
    .to_vec();
    let pairs: Vec<(&str, &str)> = calls.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let answers = learned(&pairs);
    let table: String =
        pairs.iter().zip(&answers).map(|((what, _), answer)| format!("{what}: {answer}\n")).collect();
    insta::assert_snapshot!(table);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret", "neither written nor removed");
}

#[test]
fn the_same_calls_give_the_same_answers() {
    let calls = [
        ("", "clock!()"),
        ("", "random!()"),
        ("", "random!(other input)"),
        ("", "count_calls!()"),
        ("", "count_calls!()"),
        ("", "sleep!()"),
        ("", "arguments!()"),
    ];
    let first = learned(&calls);
    assert_eq!(first, learned(&calls), "in another directory, at another time");
    assert_ne!(first[1], first[2], "randomness depends on the input");
    assert_eq!(first[3], first[4], "nothing is left of an earlier call");
}

/// Checks a program with one call of one macro, which must fail.
fn fails(call: &str) -> Done {
    let project = victim("hostile", "macros", &format!("fn main() {{\n    hostile::{call};\n}}\n"));
    // The others reach another limit first, on the busiest machine too.
    let time = if call == "spin!()" { "2" } else { "3600" };
    run(project
        .belljar(&["check", "--quiet"])
        .env("BELLJAR_LIMIT_TIME", time)
        .env("BELLJAR_LIMIT_MEMORY", "128"))
    .failed()
}

macro_rules! failing {
    ($($name:ident: $call:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(fails($call).stderr);
        }
    )*};
}

failing! {
    a_macro_that_loops: "spin!()";
    a_macro_that_allocates_without_end: "grow!()";
    a_macro_that_recurses: "recurse!()";
    a_macro_that_exits: "exit!()";
    a_macro_that_aborts: "abort!()";
    a_macro_that_panics: "panics!()";
    a_macro_that_panics_while_panicking: "panics_while_panicking!()";
    a_macro_that_nests_without_end: "nests!()";
    a_macro_that_writes_too_much: "writes_much!()";
    a_macro_that_asks_from_nowhere: "asks_from_nowhere!()";
    a_macro_that_asks_nonsense: "asks_nonsense!()";
    a_macro_that_takes_to_nowhere: "takes_to_nowhere!()";
    a_macro_that_panics_with_rubbish: "panics_with_rubbish!()";
    a_refused_file_is_named_when_the_macro_fails: "read_file_or_panic!(\"/etc/passwd\")";
    a_refused_file_is_named_when_the_macro_reports_an_error: "read_file_or_report!(\"/etc/passwd\")";
}

#[test]
fn no_text_overflows_the_compilers_stack() {
    let calls = ["literal", "raw", "shebang", "guarded", "stream"];
    let lines: String =
        calls.iter().map(|call| format!("    println!(\"{{}}\", hostile::lexes_deep!({call}));\n")).collect();
    let project = victim("hostile", "macros", &format!("fn main() {{\n{lines}}}\n"));
    // In which `cr` is no prefix of a literal.
    let manifest = project.read("Cargo.toml").replace("2024", "2018");
    project.file("Cargo.toml", &manifest);
    let done = run(&mut project.belljar(&["run", "--quiet"])).ok();
    assert_eq!(done.stdout, "delimiters are nested too deeply\n".repeat(calls.len()));
}

#[test]
fn a_macro_that_has_rustc_print_without_end() {
    let stderr = fails(&format!("prints_much!(\"{}\")", "a".repeat(30_000))).stderr;
    assert!(stderr.contains("belljar: `prints_much!` of hostile 0.1.0 can't be expanded"), "{stderr}");
    assert!(stderr.contains("stands for more than 256 MiB of text"), "{stderr}");
    assert!(stderr.contains("BELLJAR_LIMIT_OUTPUT"), "{stderr}");
}

#[test]
fn a_macro_that_prints_without_end() {
    let stderr = fails("print_forever!()").stderr;
    // What it printed up to the limit stands there; the error stands on lines of its own.
    let (printed, error) = stderr.split_once("\nerror: belljar").expect("the error begins a line");
    assert!(printed.bytes().all(|b| b == b'a') && printed.len() <= 1 << 20, "{} bytes", printed.len());
    insta::assert_snapshot!(format!("error: belljar{error}"));
}

#[test]
fn a_macro_can_not_speak_as_the_compiler() {
    let done = fails("prints_messages!()");
    assert!(!done.stderr.lines().any(|line| line.starts_with("warning: forged")), "{}", done.stderr);
    assert!(done.stderr.contains("$message_type"), "what it printed is shown as what it is: {}", done.stderr);
}

#[test]
fn a_forged_entry_point_gets_nothing_into_the_shim() {
    let project = victim("forged", "forged", "fn main() { forged::honest!(); }\n");
    insta::assert_snapshot!(run(&mut project.belljar(&["check", "--quiet"])).failed().stderr);
}

#[test]
fn a_macro_that_does_not_compile_for_wasi() {
    let project = victim("not-for-wasi", "not-for-wasi", "fn main() { not_for_wasi::nothing!(); }\n");
    insta::assert_snapshot!(run(&mut project.belljar(&["check", "--quiet"])).failed().stderr);
}
