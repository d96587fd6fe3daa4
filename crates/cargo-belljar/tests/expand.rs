//! `cargo belljar expand`: what is shown is what was compiled, of all crates or of one call.

mod support;

use support::store::Store;
use support::{Done, Project, run};

/// A macro of each kind, one whose output calls another, and one that can't be shown as it is.
const MACROS: &str = r##"
use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// `impl Hello for T`, with its name from the input.
#[proc_macro_derive(Hello)]
pub fn hello(input: TokenStream) -> TokenStream {
    let name = input.into_iter().filter_map(|tree| match tree {
        TokenTree::Ident(ident) if ident.to_string() != "struct" && ident.to_string() != "pub" => Some(ident),
        _ => None,
    }).next().unwrap();
    let text = format!("#[automatically_derived] impl Hello for X {{ /// Says hello.\nfn hello(&self) -> &'static str {{ \"hello\" }} }}");
    let stream: TokenStream = text.parse().unwrap();
    // The type's name is the user's token.
    stream.into_iter().map(|tree| match tree {
        TokenTree::Ident(ident) if ident.to_string() == "X" => TokenTree::Ident(name.clone()),
        other => other,
    }).collect()
}

/// The item, with a constant beside it.
#[proc_macro_attribute]
pub fn beside(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut out = item;
    out.extend("pub const BESIDE: u8 = 1;".parse::<TokenStream>().unwrap());
    out
}

/// Another macro's call.
#[proc_macro]
pub fn calls(_: TokenStream) -> TokenStream {
    "mac::number!(2)".parse().unwrap()
}

#[proc_macro]
pub fn number(input: TokenStream) -> TokenStream {
    let group = Group::new(Delimiter::Parenthesis, input);
    let mut out: TokenStream = "40 +".parse().unwrap();
    out.extend([TokenTree::Group(group)]);
    out
}

/// A text that would turn a terminal red, with something in it that nobody sees.
#[proc_macro]
pub fn odd(_: TokenStream) -> TokenStream {
    "\"\u{1b}[31m\u{200b}\"".parse().unwrap()
}

#[proc_macro]
pub fn panics(_: TokenStream) -> TokenStream {
    panic!("so \u{1b}[31mmuch")
}
"##;

const LIBRARY: &str = "pub mod models;
pub trait Hello {
    fn hello(&self) -> &'static str;
}
#[mac::beside]
pub fn answer() -> u8 {
    mac::calls!()
}
";

const MODELS: &str = "use crate::Hello;
#[derive(mac::Hello)]
pub struct User;
pub mod inner {
    pub const ODD: &str = mac::odd!();
}
";

fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
}

fn workspace() -> Project {
    let project = Project::new("expand");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"mac\"]\n")
        .file("app/Cargo.toml", &package("app", "[dependencies]\nmac = { path = \"../mac\" }\n"))
        .file("app/src/lib.rs", LIBRARY)
        .file("app/src/models.rs", MODELS)
        .file("mac/Cargo.toml", &package("mac", "[lib]\nproc-macro = true\n"))
        .file("mac/src/lib.rs", MACROS);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// Without digests, which change with every compiler.
fn shown(done: &Done) -> String {
    let mut out = String::new();
    for line in done.stdout.lines() {
        match line.find(" 0.1.0 (").filter(|_| line.trim_start().starts_with("// ")) {
            Some(at) => {
                let (head, rest) = line.split_at(at + 8);
                let (digest, rest) = rest.split_at(rest.find(')').unwrap());
                assert!(digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
                out.push_str(&format!("{head}DIGEST{rest}\n"));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[test]
fn what_is_shown_is_what_was_compiled() {
    let store = Store::with_toolchain();
    let project = workspace();
    let expand = |args: &[&str]| run(store.of(&mut project.belljar(&[&["expand"], args].concat())));

    let nothing = expand(&[]).failed();
    insta::assert_snapshot!(nothing.stderr, @r"
    error: nothing is on record of what macros wrote here
    next: compile it, with `cargo belljar check`, and ask again
    ");
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let first = expand(&[]).ok();
    assert_eq!(first.stderr, "");
    insta::assert_snapshot!(shown(&first), @r#"
    // app 0.1.0

    // app/src/lib.rs:5:1 #[beside] of mac 0.1.0 (DIGEST), in answer
    pub fn answer() -> u8 {
        mac::calls!()
    }
    pub const BESIDE: u8 = 1;

    // app/src/lib.rs:7:5 calls! of mac 0.1.0 (DIGEST), in answer
    // macro: mac::number!
    // crate: mac
    mac::number!(2)

        // app/src/lib.rs:7:5 number! of mac 0.1.0 (DIGEST), in answer, in what is above
        40 + (2)

    // app/src/models.rs:2:10 derive(Hello) of mac 0.1.0 (DIGEST), in models::User
    #[automatically_derived]
    impl Hello for User {
        /// Says hello.
        fn hello(&self) -> &'static str {
            "hello"
        }
    }

    // app/src/models.rs:5:27 odd! of mac 0.1.0 (DIGEST), in models::inner::ODD
    // bidi: text `\u{1b}[31m\u{200b}`
    // non-ascii: text `\u{1b}[31m\u{200b}`
    "\u{1b}[31m\u{200b}"
    "#);

    // What is remembered is shown as what was run, and nothing was compiled or run to show it.
    project.file("app/src/lib.rs", &format!("{LIBRARY}\n"));
    run(store.of(&mut project.belljar(&["check"]))).ok();
    assert_eq!(shown(&expand(&[]).ok()), shown(&first));

    // A part of it.
    let calls = |args: &[&str]| -> Vec<String> {
        let json = expand(&[&["--format", "json"], args].concat()).ok().stdout;
        let call = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("macro"), word("item"), line["level"])
        };
        json.lines().map(call).collect()
    };
    assert_eq!(
        calls(&[]),
        [
            "beside answer 0",
            "calls answer 0",
            "number answer 1",
            "Hello models::User 0",
            "odd models::inner::ODD 0"
        ]
    );
    assert_eq!(calls(&["models"]), ["Hello models::User 0", "odd models::inner::ODD 0"]);
    assert_eq!(calls(&["crate::models::inner"]), ["odd models::inner::ODD 0"]);
    assert_eq!(calls(&["app::models::User"]), ["Hello models::User 0"]);
    assert_eq!(calls(&["--macro", "number"]), ["number answer 1"]);
    assert_eq!(calls(&["--macro", "mac"]).len(), 5);
    assert_eq!(calls(&["--level", "one"]).len(), 4);
    assert_eq!(calls(&["--crate", "app"]).len(), 5);
    for (args, expected) in [
        (
            &["nowhere"][..],
            "there is no `nowhere` in which a macro was called\nnext: choose of answer, models::",
        ),
        (&["--macro", "x"], "no macro `x` was called\nnext: choose of Hello, beside, calls, number, odd"),
        (&["--crate", "x"], "no crate `x` is on record\nnext: choose of app"),
        (
            &["--test"],
            "nothing is on record of what macros wrote here, in tests\nnext: compile it, with `cargo belljar test --no-run`",
        ),
    ] {
        let stderr = expand(args).failed().stderr;
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
    let untested = expand(&["--test", "--crate", "app"]).failed().stderr;
    assert!(untested.contains("compile it, with `cargo belljar test --no-run`"), "{untested}");
    run(store.of(&mut project.belljar(&["test", "--no-run"]))).ok();
    assert_eq!(calls(&["--test"]).len(), 5);

    // Colours tell whose a token is, and only belljar's are there.
    let coloured =
        run(store.of(&mut project.belljar(&["expand", "models"])).env("CARGO_TERM_COLOR", "always"))
            .ok()
            .stdout;
    assert!(coloured.contains("\u{1b}[4mUser\u{1b}[0m"), "{coloured:?}");
    assert!(!coloured.contains("\u{1b}[31m") && !coloured.contains('\u{200b}'), "{coloured:?}");
}

#[test]
fn a_call_that_failed_is_shown_as_that() {
    let store = Store::with_toolchain();
    let project = workspace();
    project.file("app/src/lib.rs", "mac::panics!();\n");
    run(store.of(&mut project.belljar(&["check"]))).failed();
    let json = run(store.of(&mut project.belljar(&["expand", "--format", "json"]))).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["crate_failed"], &json["panicked"]), (&true.into(), &"so \u{1b}[31mmuch".into()));
    let done = run(store.of(&mut project.belljar(&["expand"]))).ok();
    insta::assert_snapshot!(shown(&done), @r"
    // app 0.1.0, which did not compile

    // app/src/lib.rs:1:1 panics! of mac 0.1.0 (DIGEST)
    // it panicked: so �[31mmuch
    ");
}

/// The compiler names the place of what `macro_rules!` writes: the same for all that one writes.
#[test]
fn calls_of_one_place_are_no_calls_of_each_other() {
    let store = Store::with_toolchain();
    let project = workspace();
    let library = "pub trait Hello { fn hello(&self) -> &'static str; }
macro_rules! types { ($($name:ident)*) => { $(#[derive(mac::Hello)] pub struct $name;)* } }
types!(A B);
types!(C);
pub const CALLED: u8 = mac::calls!();
";
    project.file("app/src/lib.rs", library);
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let done = run(store.of(&mut project.belljar(&["expand", "--level", "one", "--format", "json"]))).ok();
    let calls = |macro_name: &str| {
        let of = format!("\"macro\":\"{macro_name}\"");
        done.stdout.lines().filter(|line| line.contains(&of)).count()
    };
    assert_eq!((calls("Hello"), calls("calls"), calls("number")), (3, 1, 0), "{}", done.stdout);
}

#[test]
fn what_is_not_remembered_is_kept_to_be_seen() {
    let store = Store::with_toolchain();
    let project = workspace();
    project.file("belljar.toml", "mode = \"report\"\n");
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let shown = run(store.of(&mut project.belljar(&["expand", "--macro", "number"]))).ok().stdout;
    assert!(shown.contains("40 + (2)"), "{shown}");
    let verified = run(store.of(&mut project.belljar(&["cache", "verify"]))).ok();
    assert!(verified.stderr.contains("5 are not remembered, only kept for"), "{}", verified.stderr);
    // Nor is it taken for what is.
    run(project.program(std::path::Path::new("touch")).arg("app/src/lib.rs")).ok();
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let stats = run(store.of(&mut project.belljar(&["cache", "stats"]))).ok().stdout;
    assert!(stats.contains("remembered     0 (0 %)"), "{stats}");
    // With nothing kept, there is nothing to see, and nothing of before.
    project.file("app/src/lib.rs", &format!("{LIBRARY}\n"));
    run(store.of(project.belljar(&["check"]).env("BELLJAR_CACHE", "off"))).ok();
    let done = run(store.of(&mut project.belljar(&["expand"]))).failed();
    assert!(done.stderr.contains("nothing is on record"), "{}", done.stderr);
}

#[test]
fn only_what_this_store_has_sealed_is_shown() {
    let store = Store::with_toolchain();
    let project = workspace();
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let expand = || run(store.of(&mut project.belljar(&["expand"])));
    let dir = project.root().join("target/belljar/written");
    let files = support::files(&dir, |name| name.ends_with(".jsonl"));
    let [path] = &files[..] else { panic!("{files:?}") };
    let good = std::fs::read_to_string(path).unwrap();
    for bad in [
        good.replace("src/lib.rs", "src/lie.rs"),
        good.replace("\"macro\":1", "\"macro\":0"),
        good.lines().take(2).map(|line| format!("{line}\n")).collect(),
        good[..good.len() - 5].to_owned(),
        String::new(),
    ] {
        assert_ne!(bad, good);
        std::fs::write(path, bad).unwrap();
        let done = expand().failed();
        assert!(
            done.stderr.contains("jsonl can't be used: ") && done.stderr.contains("nothing is on record"),
            "{}",
            done.stderr
        );
    }
    // Of another store, too.
    std::fs::write(path, &good).unwrap();
    expand().ok();
    let other = Store::with_toolchain();
    let done = run(other.of(&mut project.belljar(&["expand"]))).failed();
    assert!(done.stderr.contains("it was not written with this store"), "{}", done.stderr);
    // What is forgotten can't be shown, which is said.
    run(store.of(&mut project.belljar(&["cache", "gc", "--max-size", "0"]))).ok();
    let done = expand().ok();
    assert!(
        done.stdout.contains("what it wrote is not in belljar's store; have the crate compiled again"),
        "{}",
        done.stdout
    );
    run(store.of(&mut project.belljar(&["clean", "-p", "app"]))).ok();
    run(store.of(&mut project.belljar(&["check"]))).ok();
    assert!(expand().ok().stdout.contains("40 + (2)"));
    // A name is shown as one.
    let odd = dir.join("\u{1b}[31m\u{9b}x.jsonl");
    std::fs::write(&odd, "").unwrap();
    let done = expand().ok();
    assert!(
        done.stderr.contains("x.jsonl can't be used") && !done.stderr.contains(['\u{1b}', '\u{9b}']),
        "{:?}",
        done.stderr
    );
    std::fs::remove_file(odd).unwrap();
    // A link leads nowhere.
    let outside = project.root().join("outside");
    std::fs::rename(&dir, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &dir).unwrap();
    let done = expand().failed();
    assert!(done.stderr.contains("is a symbolic link"), "{}", done.stderr);
}

const WHOLE: &str = r##"//! A crate.
pub mod models;
#[path = "../src/inline.rs"]
mod elsewhere;

/// Something to say.
pub trait Hello {
    fn hello(&self) -> &'static str;
}

/// What is replaced.
#[mac::beside]
#[must_use]
pub fn answer() -> u8 {
    // As it was written:   two
    mac::number!(1) + mac::calls!()
}

pub fn more() -> u8 {
    let one = mac::number!(3) * 2; let two = mac::number!(4); // why
    mac::nothing!();
    println!("{}", mac::number!(5));
    one + two
}

macro_rules! types {
    ($($name:ident)*) => { $(#[derive(mac::Hello)] pub struct $name;)* };
}
types!(A B);
mac::nothing!();
"##;

const INLINE: &str = "pub struct Before; #[derive(mac::Hello)] pub struct One; pub struct After;
use crate::Hello;
#[mac::beside] pub mod twice {
    pub const INNER: u8 = mac::number!(6);
}
";

const WHOLE_MODELS: &str = "use crate::Hello;

/// Who does it.
#[derive(mac::Hello, Clone, mac::Hello2)] // twice
pub struct User;

pub mod inner {
    pub const ODD: &str = mac::odd!();
    pub const NEXT: u8 = 1;
}
";

fn whole_workspace() -> Project {
    let project = workspace();
    let more = "
#[proc_macro]
pub fn nothing(_: TokenStream) -> TokenStream { TokenStream::new() }

#[proc_macro_derive(Hello2)]
pub fn hello2(_: TokenStream) -> TokenStream { \"mac::items! { 7 }\".parse().unwrap() }

#[proc_macro]
pub fn items(_: TokenStream) -> TokenStream { \"pub const SEVEN: u8 = 7;\".parse().unwrap() }
";
    project
        .file("mac/src/lib.rs", &format!("{MACROS}{more}"))
        .file("app/src/lib.rs", WHOLE)
        .file("app/src/inline.rs", INLINE)
        .file("app/src/models.rs", WHOLE_MODELS);
    project
}

#[test]
fn whole_files_have_what_macros_wrote_in_its_place() {
    let store = Store::with_toolchain();
    let project = whole_workspace();
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let whole = |args: &[&str]| run(store.of(&mut project.belljar(&[&["expand", "--whole"], args].concat())));
    let all = whole(&[]).ok();
    assert_eq!(all.stderr, "");
    insta::assert_snapshot!(shown(&all), @r#"
    // app 0.1.0

    // app/src/lib.rs
    //! A crate.
    pub mod models;
    #[path = "../src/inline.rs"]
    mod elsewhere;

    /// Something to say.
    pub trait Hello {
        fn hello(&self) -> &'static str;
    }

    // app/src/lib.rs:12:1 #[beside] of mac 0.1.0 (DIGEST), in answer
    /// What is replaced.
    #[must_use]
    pub fn answer() -> u8 {
        mac::number!(1) + mac::calls!()
    }
    pub const BESIDE: u8 = 1;

        // app/src/lib.rs:16:5 number! of mac 0.1.0 (DIGEST), in answer, in what is above
        40 + (1)

        // app/src/lib.rs:16:23 calls! of mac 0.1.0 (DIGEST), in answer, in what is above
        // macro: mac::number!
        // crate: mac
        mac::number!(2)

            // app/src/lib.rs:16:23 number! of mac 0.1.0 (DIGEST), in answer, in what is above
            40 + (2)
    // end

    pub fn more() -> u8 {
        let one =
            // app/src/lib.rs:20:15 number! of mac 0.1.0 (DIGEST), in more
            40 + (3)
            // end
        * 2; let two =
            // app/src/lib.rs:20:46 number! of mac 0.1.0 (DIGEST), in more
            40 + (4);
            // end
        // why
        // app/src/lib.rs:21:5 nothing! of mac 0.1.0 (DIGEST), in more
        // nothing
        println!("{}",
            // app/src/lib.rs:22:20 number! of mac 0.1.0 (DIGEST), in more
            40 + (5)
            // end
        );
        one + two
    }

    macro_rules! types {
        ($($name:ident)*) => { $(#[derive(mac::Hello)] pub struct $name;)* };
    }
    // app/src/lib.rs:27:39 derive(Hello) of mac 0.1.0 (DIGEST)
    #[automatically_derived]
    impl Hello for A {
        /// Says hello.
        fn hello(&self) -> &'static str {
            "hello"
        }
    }

    // app/src/lib.rs:27:39 derive(Hello) of mac 0.1.0 (DIGEST)
    #[automatically_derived]
    impl Hello for B {
        /// Says hello.
        fn hello(&self) -> &'static str {
            "hello"
        }
    }
    // end
    types!(A B);
    // app/src/lib.rs:30:1 nothing! of mac 0.1.0 (DIGEST)
    // nothing

    // app/src/models.rs, models
    use crate::Hello;

    /// Who does it.
    #[derive(mac::Hello, Clone, mac::Hello2)] // twice
    pub struct User;
    // app/src/models.rs:4:10 derive(Hello) of mac 0.1.0 (DIGEST), in models::User
    #[automatically_derived]
    impl Hello for User {
        /// Says hello.
        fn hello(&self) -> &'static str {
            "hello"
        }
    }

    // app/src/models.rs:4:29 derive(Hello2) of mac 0.1.0 (DIGEST), in models::User
    // macro: mac::items!
    // crate: mac
    mac::items! {
        7
    }

        // app/src/models.rs:4:29 items! of mac 0.1.0 (DIGEST), in models::User, in what is above
        pub const SEVEN: u8 = 7;
    // end

    pub mod inner {
        pub const ODD: &str =
            // app/src/models.rs:8:27 odd! of mac 0.1.0 (DIGEST), in models::inner::ODD
            // bidi: text `\u{1b}[31m\u{200b}`
            // non-ascii: text `\u{1b}[31m\u{200b}`
            "\u{1b}[31m\u{200b}";
            // end
        pub const NEXT: u8 = 1;
    }

    // app/src/../src/inline.rs, elsewhere
    pub struct Before; #[derive(mac::Hello)] pub struct One;
    // app/src/../src/inline.rs:1:29 derive(Hello) of mac 0.1.0 (DIGEST), in elsewhere::One
    #[automatically_derived]
    impl Hello for One {
        /// Says hello.
        fn hello(&self) -> &'static str {
            "hello"
        }
    }
    // end
    pub struct After;
    use crate::Hello;
    // app/src/../src/inline.rs:3:1 #[beside] of mac 0.1.0 (DIGEST), in elsewhere::twice
    pub mod twice {
        pub const INNER: u8 = mac::number!(6);
    }
    pub const BESIDE: u8 = 1;

        // app/src/../src/inline.rs:4:27 number! of mac 0.1.0 (DIGEST), in elsewhere::twice::INNER, in what is above
        40 + (6)
    // end
    "#);
    insta::assert_snapshot!(shown(&whole(&["models::inner", "--level", "one"]).ok()), @r#"
    // app 0.1.0

    // app/src/models.rs, models
    pub mod inner {
        pub const ODD: &str =
            // app/src/models.rs:8:27 odd! of mac 0.1.0 (DIGEST), in models::inner::ODD
            // bidi: text `\u{1b}[31m\u{200b}`
            // non-ascii: text `\u{1b}[31m\u{200b}`
            "\u{1b}[31m\u{200b}";
            // end
        pub const NEXT: u8 = 1;
    }
    "#);
    // What is not asked for stays as it was written.
    insta::assert_snapshot!(shown(&whole(&["more", "--macro", "nothing"]).ok()), @r#"
    // app 0.1.0

    // app/src/lib.rs
    pub fn more() -> u8 {
        let one = mac::number!(3) * 2; let two = mac::number!(4); // why
        // app/src/lib.rs:21:5 nothing! of mac 0.1.0 (DIGEST), in more
        // nothing
        println!("{}", mac::number!(5));
        one + two
    }
    "#);
    insta::assert_snapshot!(shown(&whole(&["answer", "--macro", "calls", "--macro", "number"]).ok()), @r"
    // app 0.1.0

    // app/src/lib.rs
    /// What is replaced.
    #[mac::beside]
    #[must_use]
    pub fn answer() -> u8 {
        // As it was written:   two
        // app/src/lib.rs:16:5 number! of mac 0.1.0 (DIGEST), in answer
        40 + (1)
        // end
        +
            // app/src/lib.rs:16:23 calls! of mac 0.1.0 (DIGEST), in answer
            // macro: mac::number!
            // crate: mac
            mac::number!(2)

                // app/src/lib.rs:16:23 number! of mac 0.1.0 (DIGEST), in answer, in what is above
                40 + (2)
            // end
    }
    ");
    let done = whole(&["--format", "json"]);
    assert_eq!(done.code, Some(2));
    insta::assert_snapshot!(done.stderr, @r"
    error: the argument '--whole' cannot be used with '--format json'
    ");

    // A macro's part is told apart, and of the source nothing is underlined.
    let coloured = run(store
        .of(&mut project.belljar(&["expand", "--whole", "models"]))
        .env("CARGO_TERM_COLOR", "always"))
    .ok()
    .stdout;
    assert!(coloured.contains("\u{1b}[35mfor\u{1b}[0m \u{1b}[4mUser\u{1b}[0m {"), "{coloured:?}");
    assert_eq!(coloured.matches("\u{1b}[4m").count(), 2, "{coloured:?}");
    assert!(coloured.contains("\u{1b}[35mpub\u{1b}[0m \u{1b}[35mstruct\u{1b}[0m User;\n"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[2m// end\u{1b}[0m\n"), "{coloured:?}");
}

#[test]
fn a_file_that_is_not_what_was_compiled_is_not_shown() {
    let store = Store::with_toolchain();
    let project = workspace();
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let whole = || shown(&run(store.of(&mut project.belljar(&["expand", "--whole"]))).ok());
    let path = project.root().join("app/src/models.rs");
    let was = std::fs::metadata(&path).unwrap().modified().unwrap();
    let at = |time| std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();

    let changed = "  // app/src/models.rs, models
// it has changed since it was compiled: its calls, one by one

// app/src/models.rs:2:10 derive(Hello) of mac 0.1.0 (DIGEST)";
    for (text, is_older, expected) in [
        (format!("\n{MODELS}"), false, changed),
        // With a time from before, it is seen by its places.
        (format!("\n{MODELS}"), true, changed),
        (MODELS.replace("mac::Hello", "mac :: Hello"), true, "app/src/models.rs, models\n// it has changed"),
        (
            "pub mod inner {".to_owned(),
            true,
            "app/src/models.rs\n// it can't be read, or is no Rust that is known: its calls, one by one\n\n// app/src/models.rs:2:10 derive(Hello)",
        ),
        // What stands there is another call.
        (MODELS.replace("odd!()", "od!(1)"), true, "mac::od!(1);\n    // app/src/models.rs:5:27 odd!"),
    ] {
        std::fs::write(&path, text).unwrap();
        if is_older {
            at(was);
        }
        let text = whole();
        assert!(text.contains(expected.trim_start()), "{text}");
        // The other file is.
        assert!(text.contains("pub mod models;\npub trait Hello {\n"), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    let text = whole();
    assert!(
        text.contains("// in no source file of this crate\n\n// app/src/models.rs:2:10 derive"),
        "{text}"
    );
}

#[test]
fn nothing_in_a_source_file_is_obeyed_by_a_terminal() {
    let store = Store::with_toolchain();
    let project = workspace();
    let odd = "o\u{1b}[31m\u{202e}dd.rs";
    let library = "#![allow(text_direction_codepoint_in_comment)]\r
#[path = \"o\\u{1b}[31m\\u{202e}dd.rs\"]\r
pub mod odd;\r
";
    let module = "/* \u{1b}[31m \u{9b}1m */ pub const A: u8 = mac::number!(1); // \u{202e} \u{200b}\r\n";
    project.file("app/src/lib.rs", library).file(&format!("app/src/{odd}"), module);
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let done = run(store.of(&mut project.belljar(&["expand", "--whole"]))).ok();
    assert!(!done.stdout.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{200b}', '\r']), "{:?}", done.stdout);
    insta::assert_snapshot!(shown(&done), @r#"
    // app 0.1.0

    // app/src/lib.rs
    #![allow(text_direction_codepoint_in_comment)]
    #[path = "o\u{1b}[31m\u{202e}dd.rs"]
    pub mod odd;

    // app/src/o�[31m�dd.rs, odd
    /* \u{1b}[31m \u{9b}1m */ pub const A: u8 =
        // app/src/o�[31m�dd.rs:1:35 number! of mac 0.1.0 (DIGEST), in odd::A
        40 + (1);
        // end
    // \u{202e} \u{200b}
    "#);
}

#[test]
fn rustfmt_formats_what_has_the_same_tokens() {
    let store = Store::with_toolchain();
    let project = workspace();
    project.file("rustfmt.toml", "tab_spaces = 2\nreorder_imports = true\n");
    run(store.of(&mut project.belljar(&["check"]))).ok();
    let expand = |formatter: &str, rustfmt: Option<&std::path::Path>| {
        let mut command = project.belljar(&["expand", "models::User", "--formatter", formatter]);
        rustfmt.map(|rustfmt| command.env("RUSTFMT", rustfmt));
        run(store.of(&mut command))
    };
    let by_rustfmt = expand("rustfmt", None).ok();
    assert_eq!(by_rustfmt.stderr, "");
    insta::assert_snapshot!(shown(&by_rustfmt), @r#"
    // app 0.1.0

    // app/src/models.rs:2:10 derive(Hello) of mac 0.1.0 (DIGEST), in models::User
    #[automatically_derived]
    impl Hello for User {
      /// Says hello.
      fn hello(&self) -> &'static str {
        "hello"
      }
    }
    "#);
    insta::assert_snapshot!(shown(&expand("none", None).ok()), @r#"
    // app 0.1.0

    // app/src/models.rs:2:10 derive(Hello) of mac 0.1.0 (DIGEST), in models::User
    # [ automatically_derived ] impl Hello for User {
        # [ doc = " Says hello." ] fn hello ( & self ) -> & 'static str {
            "hello"
        }
    }
    "#);
    let by_prettyplease = shown(&expand("prettyplease", None).ok());

    let script = |text: &str| {
        let path = project.root().join("fake");
        std::fs::write(&path, format!("#!/bin/sh\n[ $1 = --version ] && exit 0\n{text}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        path
    };
    // With a token changed, left out or added, or with a comment: that is not what was compiled.
    for text in ["sed s/hello/bye/", "sed s/self//", "cat; echo 'fn more() {}'", "cat; echo // end", "exit 0"]
    {
        let done = expand("rustfmt", Some(&script(text))).ok();
        assert_eq!(shown(&done), by_prettyplease, "{text}");
    }
    let done = expand("rustfmt", Some(&script("exit 3"))).ok();
    assert_eq!(shown(&done), by_prettyplease);
    insta::assert_snapshot!(done.stderr, @r"
    warning: rustfmt failed (exit status: 3) for some of it: prettyplease formats that instead
    ");
    // There may be none.
    let done = expand("rustfmt", Some(std::path::Path::new("/nowhere/rustfmt"))).failed();
    insta::assert_snapshot!(done.stderr, @r"
    error: rustfmt can't be used (`/nowhere/rustfmt`): it can't be run: No such file or directory (os error 2)
    next: install it (`rustup component add rustfmt`), name another one in RUSTFMT, or leave `--formatter rustfmt` out
    ");
    let done = expand("rustfmt", Some(&script("").with_file_name("false"))).failed();
    assert!(done.stderr.contains("can't be run"), "{}", done.stderr);
}
