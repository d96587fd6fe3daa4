//! Expansions that are remembered: what is answered without running a macro is what running it would have given.

use std::sync::Arc;
use std::time::Duration;

use belljar_expander::{
    Ahead, Cache, Calls, Config, Limits, Observation, Rechecked, Recorder, Rerun, Verify,
};
use belljar_policy::{Access, Calling, Outcome, Policy, Request};
use belljar_store::{Expansions, Store};
use belljar_wire::abi::question;
use belljar_wire::tokens::{InputWriter, OutputWriter};
use camino::Utf8Path;

use crate::script::Script;
use crate::state::counting;
use crate::support::{Answer, Replied, Shim, guest, guest_with, input, nobody, small, wat_bytes};
use crate::tree::{TEMPLATES, Tree};

/// What one user remembers.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Store {
        Store::open(Utf8Path::from_path(self.home.path()).unwrap()).unwrap()
    }

    fn expansions(&self) -> Expansions {
        Expansions::of(&self.store())
    }

    fn cache(&self, verify: Verify) -> Cache {
        Cache { expansions: self.expansions(), version: "test".into(), verify, ahead: Ahead::default() }
    }

    /// One compilation, of a crate in this environment.
    fn compile(&self, variables: &[(&str, &str)]) -> Compilation {
        let calling = Calling::of_environment(variables.iter().map(|(n, v)| (n.into(), v.into())));
        let policy = Policy::built_in(calling);
        self.compile_with(Verify::None, |config| config.policy = policy)
    }

    fn verify(&self, verify: Verify) -> Compilation {
        self.compile_with(verify, |_| {})
    }

    /// One compilation of `web` in a tree, where the macro is granted this.
    fn compile_in(&self, tree: &Tree, grant: &str) -> Compilation {
        let policy = tree.policy(grant);
        self.compile_with(Verify::None, |config| config.policy = policy)
    }

    fn compile_with(&self, verify: Verify, change: impl FnOnce(&mut Config)) -> Compilation {
        let cache = self.cache(verify);
        let recorder: Arc<Recorder> = Arc::default();
        let (of_config, expansions) = (Arc::clone(&recorder), cache.expansions.clone());
        let shim = Shim::with(|config| {
            config.cache = Some(cache);
            config.recorder = of_config;
            config.limits = Ok(Limits { print: 1 << 20, ..small() });
            change(config);
        });
        Compilation { shim, recorder, expansions }
    }
}

struct Compilation {
    shim: Shim,
    recorder: Arc<Recorder>,
    expansions: Expansions,
}

impl Compilation {
    fn call(&mut self, wat: &str) -> Replied {
        self.shim.expand(wat, &input())
    }

    fn calls(&self) -> Calls {
        self.recorder.recorded().calls
    }

    /// The end of it: what came of its calls.
    fn end(self) -> Calls {
        self.expansions.settle();
        self.calls()
    }
}

fn run(run: u64) -> Calls {
    Calls { run, ..Calls::default() }
}

fn remembered(remembered: u64) -> Calls {
    Calls { remembered, ..Calls::default() }
}

/// Prints to both streams, in turn.
fn printing() -> String {
    let print = |stream: u32, at: u32| {
        format!(
            "(i32.store (i32.const 32) (i32.const {at})) (i32.store (i32.const 36) (i32.const 1))
             (drop (call $fd_write (i32.const {stream}) (i32.const 32) (i32.const 1) (i32.const 40)))"
        )
    };
    let body = [print(1, 64), print(2, 65), print(1, 66), "(call $same)".to_owned()].concat();
    guest_with(r#"(data (i32.const 64) "abc")"#, &body)
}

#[test]
fn a_second_compilation_gets_the_same_without_running_anything() {
    let user = User::new();
    let first = {
        let mut first = user.compile(&[]);
        let replied = first.call(&printing());
        assert_eq!((replied.stdout.as_str(), replied.stderr.as_str()), ("ac", "b"));
        assert_eq!(first.end(), run(1));
        replied
    };
    let mut second = user.compile(&[]);
    let again = second.call(&printing());
    assert_eq!((again.answer, again.stdout, again.stderr), (first.answer, first.stdout, first.stderr));
    assert_eq!(second.end(), remembered(1));
}

#[test]
fn what_is_read_ahead_is_what_the_store_had() {
    let user = User::new();
    let wat = guest("(call $same)");
    let cache = user.cache(Verify::None);
    let (ahead, expansions) = (cache.ahead.clone(), cache.expansions.clone());
    let mut first = user.compile_with(Verify::None, |config| config.cache = Some(cache));
    let same = first.call(&wat).answer;
    expansions.settle();
    first.call(&wat);
    assert_eq!(first.end(), Calls { run: 1, remembered: 1, ..Calls::default() });
    let keys = ahead.keys();
    assert_eq!(keys.len(), 1, "each once");

    let cache = user.cache(Verify::None);
    let wanted = [vec![[7; 32]], keys.clone(), keys].concat();
    cache.ahead.read(&cache.expansions, wanted).unwrap().join().unwrap();
    poison(&user);
    let ahead = cache.ahead.clone();
    let mut second = user.compile_with(Verify::None, |config| config.cache = Some(cache));
    assert_eq!(second.call(&wat).answer, same, "as it was when it was read");
    assert_ne!(second.call(&wat).answer, same, "it was given away, and the store has another");
    assert_eq!(second.end(), remembered(2));
    ahead.end();
    assert!(ahead.read(&user.expansions(), Vec::new()).is_none());
}

#[test]
fn what_was_read_ahead_must_hold_when_it_is_asked_for() {
    let user = User::new();
    let macro_of = reading("CARGO_PKG_VERSION");
    let cache = user.cache(Verify::None);
    let (ahead, expansions) = (cache.ahead.clone(), cache.expansions.clone());
    let policy = |value: &str| {
        let variables = [("CARGO_PKG_VERSION", value)];
        Policy::built_in(Calling::of_environment(variables.map(|(n, v)| (n.into(), v.into()))))
    };
    let mut first = user.compile_with(Verify::None, |config| {
        config.cache = Some(cache);
        config.policy = policy("1.0.0");
    });
    let one = first.call(&macro_of).stdout;
    first.end();
    expansions.settle();
    let cache = user.cache(Verify::None);
    cache.ahead.read(&cache.expansions, ahead.keys()).unwrap().join().unwrap();
    let mut second = user.compile_with(Verify::None, |config| {
        config.cache = Some(cache);
        config.policy = policy("2.0.0");
    });
    let two = second.call(&macro_of).stdout;
    assert_eq!((one.as_str(), two.as_str(), second.end()), ("1.0.0", "2.0.0", run(1)));
}

#[test]
fn another_module_input_version_or_rule_is_another_call() {
    let user = User::new();
    user.compile(&[]).tap(|c| drop(c.call(&printing())));
    let other = guest("(call $same)");
    let mut compilation = user.compile(&[]);
    compilation.call(&other);
    let module = compilation.shim.put(&printing());
    let mut w = InputWriter::new(1);
    w.begin_stream();
    w.ident("b", false);
    w.end_stream();
    compilation.shim.call(module, &w.into_bytes(), |_| Vec::new());
    assert_eq!(compilation.end(), run(2));
    let mut another = user.compile_with(Verify::None, |config| {
        let cache = config.cache.take();
        config.cache = cache.map(|cache| Cache { version: "another".into(), ..cache });
    });
    another.call(&printing());
    assert_eq!(another.end(), run(1));
    let tree = Tree::new();
    let mut granted = user.compile_in(&tree, TEMPLATES);
    granted.call(&printing());
    assert_eq!(granted.end(), run(1));
}

impl Compilation {
    fn tap(mut self, run: impl FnOnce(&mut Self)) -> Calls {
        run(&mut self);
        self.end()
    }
}

/// Prints the value of a variable, if it is granted and set.
fn reading(variable: &str) -> String {
    guest_with(
        &format!(r#"(data (i32.const 64) "{}")"#, wat_bytes(variable.as_bytes())),
        &format!(
            "(local.set $i (call $getenv (i32.const 64) (i32.const {})))
             (if (i32.ne (local.get $i) (i32.const -1)) (then
                (call $take (i32.const 8192))
                (i32.store (i32.const 32) (i32.const 8192))
                (i32.store (i32.const 36) (local.get $i))
                (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))))
             (call $same)",
            variable.len()
        ),
    )
}

#[test]
fn a_variable_must_have_the_same_value() {
    let user = User::new();
    let wat = reading("CARGO_PKG_NAME");
    let says = |variables: &[(&str, &str)]| {
        let mut compilation = user.compile(variables);
        let said = compilation.call(&wat).stdout;
        (said, compilation.end())
    };
    assert_eq!(says(&[("CARGO_PKG_NAME", "a")]), ("a".to_owned(), run(1)));
    assert_eq!(says(&[("CARGO_PKG_NAME", "a"), ("HOME", "/x")]), ("a".to_owned(), remembered(1)));
    assert_eq!(says(&[("CARGO_PKG_NAME", "b")]), ("b".to_owned(), run(1)));
    assert_eq!(says(&[]), (String::new(), run(1)));
    // All of them are remembered: going back and forth runs nothing.
    for (variables, said) in
        [(&[("CARGO_PKG_NAME", "a")][..], "a"), (&[], ""), (&[("CARGO_PKG_NAME", "b")], "b")]
    {
        assert_eq!(says(variables), (said.to_owned(), remembered(1)));
    }
}

#[test]
fn rustc_must_answer_the_same() {
    let user = User::new();
    let question = [question::LINE, 0, 2];
    let wat = guest_with(
        &format!(r#"(data (i32.const 64) "{}")"#, wat_bytes(&question)),
        "(local.set $i (call $ask (i32.const 64) (i32.const 3)))
         (call $take (i32.const 8192))
         (i32.store (i32.const 32) (i32.const 8192))
         (i32.store (i32.const 36) (local.get $i))
         (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
         (call $same)",
    );
    let says = |line: u8| {
        let mut compilation = user.compile(&[]);
        let module = compilation.shim.put(&wat);
        let mut asked = 0;
        let replied = compilation.shim.call(module, &input(), |_| {
            asked += 1;
            vec![line]
        });
        assert_eq!(replied.stdout.as_bytes(), [line]);
        (asked, compilation.end())
    };
    assert_eq!(says(7), (1, run(1)));
    assert_eq!(says(7), (1, remembered(1)));
    assert_eq!(says(8), (2, run(1)), "asked for what is remembered, and by the macro");
    // Of several entries, all want to know the same thing, once.
    assert_eq!(says(7), (1, remembered(1)));
    assert_eq!(says(8), (1, remembered(1)));
}

#[test]
fn files_listings_and_absences_must_be_the_same() {
    let (user, tree) = (User::new(), Tree::new());
    let mut script = Script::new();
    script.open(&tree.template("a.html")).read(4, 100);
    script.stat(&tree.template("none.html"));
    script.open_directory(&tree.template("sub")).list(5, 1000, 0);
    let grant = "read = [\"templates/**\"]\nlist = [\"templates/**\"]";
    let says = || {
        let mut compilation = user.compile_in(&tree, grant);
        let module = compilation.shim.put(&script.wat());
        let replied = compilation.shim.call(module, &input(), nobody);
        assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
        (replied.stdout, compilation.end())
    };
    let (first, calls) = says();
    assert_eq!(calls, run(1));
    assert_eq!(says(), (first.clone(), remembered(1)));
    // What it did not look at changes nothing.
    tree.write("ws/web/templates/b.html", "another");
    assert_eq!(says().1, remembered(1));
    tree.write("ws/web/templates/a.html", "<b>ONE</b>\n");
    let (second, calls) = says();
    assert!(calls == run(1) && second != first);
    tree.write("ws/web/templates/none.html", "here");
    assert_eq!(says().1, run(1));
    tree.write("ws/web/templates/sub/d.html", "more");
    assert_eq!(says().1, run(1));
    // And back.
    std::fs::remove_file(tree.path("ws/web/templates/none.html")).unwrap();
    std::fs::remove_file(tree.path("ws/web/templates/sub/d.html")).unwrap();
    tree.write("ws/web/templates/a.html", "<b>one</b>\n");
    assert_eq!(says(), (first, remembered(1)));
}

#[test]
fn what_one_project_is_granted_another_one_is_not() {
    let user = User::new();
    let (one, other) = (Tree::new(), Tree::new());
    // The macro has the path of a file from its input, as it were: in one project it is granted, in the other it isn't.
    let mut script = Script::new();
    script.open(&one.template("a.html"));
    let says = |tree: &Tree| {
        let mut compilation = user.compile_in(tree, TEMPLATES);
        let module = compilation.shim.put(&script.wat());
        let replied = compilation.shim.call(module, &input(), nobody);
        (replied.stdout, compilation.end())
    };
    let (granted, _) = says(&one);
    assert_eq!(says(&one), (granted.clone(), remembered(1)));
    let (refused, calls) = says(&other);
    assert!(refused != granted && calls == run(1), "the same rules, in another place");
}

#[test]
fn what_a_macro_wanted_is_on_record_and_says_that_it_was_remembered() {
    let (user, tree) = (User::new(), Tree::new());
    let mut script = Script::new();
    script.open("etc/passwd").open(&tree.template("a.html"));
    let wanted = || {
        let mut compilation = user.compile_in(&tree, TEMPLATES);
        let module = compilation.shim.put(&script.wat());
        compilation.shim.call(module, &input(), nobody);
        let recorded = compilation.recorder.recorded();
        let attempts = recorded
            .attempts
            .iter()
            .map(|a| (a.request.clone(), a.outcome, a.reason.to_string(), a.times, a.calls.clone()));
        let (attempts, remembered): (Vec<_>, Vec<u64>) =
            (attempts.collect(), recorded.attempts.iter().map(|a| a.remembered).collect());
        let seen = recorded.observations.clone();
        drop(recorded);
        compilation.end();
        (attempts, seen, remembered)
    };
    let (first, again) = (wanted(), wanted());
    assert_eq!((&first.0, &first.1), (&again.0, &again.1), "all of it, with the place of this call");
    assert_eq!((first.2, again.2), (vec![0, 0], vec![1, 1]));
    let passwd = Request::Path { access: Access::Read, path: "/etc/passwd".to_owned() };
    assert!(first.0.iter().any(|(request, outcome, ..)| *request == passwd && *outcome == Outcome::Refused));
}

#[test]
fn errors_and_panics_are_never_remembered() {
    let user = User::new();
    let panics = guest_with(
        r#"(data (i32.const 64) "no")"#,
        "(call $panicked (i32.const 64) (i32.const 2)) (return (i64.const -1))",
    );
    let loops = guest("(loop $on (br $on)) unreachable");
    for (wat, times) in [(panics, 2), (loops, 1), (guest("unreachable"), 2)] {
        for _ in 0..times {
            let mut compilation = user.compile_with(Verify::None, |config| {
                config.limits = Ok(Limits { time: Duration::from_millis(50), ..small() });
            });
            assert!(!matches!(compilation.call(&wat).answer, Answer::Done(_)));
            assert_eq!(compilation.end(), run(1));
        }
    }
    assert_eq!(user.expansions().stats().unwrap().entries, 0);
}

#[test]
fn a_real_clock_is_never_remembered() {
    let (user, tree) = (User::new(), Tree::new());
    let clock = r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#;
    let wat =
        guest_with(clock, "(drop (call $clock (i32.const 0) (i64.const 0) (i32.const 512))) (call $same)");
    for (grant, calls) in [("time = true", [run(1), run(1)]), ("", [run(1), remembered(1)])] {
        for expected in calls {
            let mut compilation = user.compile_in(&tree, grant);
            let module = compilation.shim.put(&wat);
            compilation.shim.call(module, &input(), nobody);
            assert_eq!(compilation.end(), expected, "{grant}");
        }
    }
}

#[test]
fn a_macro_that_remembers_earlier_calls_has_a_key_of_them_all() {
    let (user, tree) = (User::new(), Tree::new());
    let wat = counting("", "(call $same)");
    let says = |inputs: &[&str]| {
        let mut compilation = user.compile_in(&tree, "state = \"crate\"");
        let module = compilation.shim.put(&wat);
        let mut said = String::new();
        for name in inputs {
            let mut w = InputWriter::new(1);
            w.begin_stream();
            w.ident(name, false);
            w.end_stream();
            said += &compilation.shim.call(module, &w.into_bytes(), nobody).stdout;
        }
        (said, compilation.end())
    };
    let calls = |run, remembered| Calls { run, remembered, ..Calls::default() };
    assert_eq!(says(&["a", "b", "c"]), ("ABC".to_owned(), calls(3, 0)));
    assert_eq!(says(&["a", "b", "c"]), ("ABC".to_owned(), calls(0, 3)));
    // The third call is new, so its instance must know of the two before it.
    assert_eq!(says(&["a", "b", "d", "e"]), ("ABCD".to_owned(), calls(2, 2)));
    assert_eq!(says(&["a", "b", "d", "e", "f"]), ("ABCDE".to_owned(), calls(1, 4)));
    // Another beginning is another chain, though the rest is the same.
    assert_eq!(says(&["b", "c"]), ("AB".to_owned(), calls(2, 0)));
    assert_eq!(says(&["x", "b", "c"]), ("ABC".to_owned(), calls(3, 0)));
}

#[test]
fn calls_that_are_run_again_for_a_later_one_get_rustcs_old_answers() {
    let (user, tree) = (User::new(), Tree::new());
    let question = [question::LINE, 0, 2];
    // Adds up the lines of all its calls, and prints the sum.
    let fields =
        format!(r#"(data (i32.const 64) "{}") (global $sum (mut i32) (i32.const 0))"#, wat_bytes(&question));
    let wat = guest_with(
        &fields,
        "(drop (call $ask (i32.const 64) (i32.const 3)))
         (call $take (i32.const 8192))
         (global.set $sum (i32.add (global.get $sum) (i32.load8_u (i32.const 8192))))
         (i32.store8 (i32.const 512) (global.get $sum))
         (i32.store (i32.const 32) (i32.const 512)) (i32.store (i32.const 36) (i32.const 1))
         (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
         (call $same)",
    );
    let says = |lines: &[u8]| {
        let mut compilation = user.compile_in(&tree, "state = \"crate\"");
        let module = compilation.shim.put(&wat);
        let mut said = Vec::new();
        for &line in lines {
            let answer = |asked: &[u8]| if asked == question { vec![line] } else { nobody(asked) };
            said.extend(compilation.shim.call(module, &input(), answer).stdout.into_bytes());
        }
        (said, compilation.end())
    };
    let calls = |run, remembered| Calls { run, remembered, ..Calls::default() };
    assert_eq!(says(&[10, 20]), (vec![10, 30], calls(2, 0)));
    assert_eq!(says(&[10, 20, 40]), (vec![10, 30, 70], calls(1, 2)));
    assert_eq!(says(&[11, 20, 40]), (vec![11, 31, 71], calls(3, 0)));
}

/// Writes another output into the only entry there is.
fn poison(user: &User) {
    let expansions = user.expansions();
    let mut all = Vec::new();
    assert_eq!(expansions.each(|key, found| all.push((*key, found))).unwrap(), 0);
    let [(key, found)] = &all[..] else { panic!("{} entries", all.len()) };
    let mut body = found.body.clone();
    // `\0\x22\0`, the whole input, becomes an empty output.
    assert_eq!(body.split_off(body.len() - 3), [0, 0x22, 0]);
    body.extend(OutputWriter::new().finish(&[]));
    expansions.keep(key, &found.variant, &body);
    expansions.settle();
}

#[test]
fn a_poisoned_entry_is_caught_by_verification() {
    let user = User::new();
    let wat = guest("(call $same)");
    assert_eq!(user.verify(Verify::All).tap(|c| drop(c.call(&wat))), run(1));
    let verified = Calls { verified: 1, ..Calls::default() };
    assert_eq!(user.verify(Verify::All).tap(|c| drop(c.call(&wat))), verified);
    poison(&user);
    // Without it, it is what is compiled: an entry has the seal of this user's store.
    let Answer::Done(output) = user.verify(Verify::None).tap_reply(&wat) else { panic!() };
    assert_ne!(output, [0, 0x22, 0]);
    let mut compilation = user.verify(Verify::Percent(100.0));
    let text = compilation.shim.call(compilation.shim.put(&wat), &input(), nobody);
    let text = text.answer.failed();
    assert!(
        text.contains("`m!` of evil 1.2.3") && text.contains("does not write what belljar remembers"),
        "{text}"
    );
    {
        let recorded = compilation.recorder.recorded();
        let [difference] = &recorded.differences[..] else { panic!("{:?}", recorded.differences) };
        assert_eq!((difference.was.as_str(), difference.call.as_ref().map(|call| call.line)), ("", Some(7)));
        assert_eq!(difference.now, "a\n(\n1\n)");
    }
    compilation.end();
    // It is forgotten, and what is right is kept.
    assert_eq!(user.verify(Verify::None).tap(|c| drop(c.call(&wat))), run(1));
    assert_eq!(user.verify(Verify::All).tap(|c| drop(c.call(&wat))), verified);
}

impl Compilation {
    fn tap_reply(mut self, wat: &str) -> Answer {
        let answer = self.call(wat).answer;
        self.end();
        answer
    }
}

#[test]
fn entries_are_run_again_apart_from_a_build() {
    let user = User::new();
    let wats = [guest("(call $same)"), printing(), reading("CARGO_PKG_NAME")];
    for wat in &wats {
        user.compile(&[("CARGO_PKG_NAME", "a")]).tap(|c| drop(c.call(wat)));
        user.store().put_module(&wat::parse_str(wat).unwrap()).unwrap();
    }
    let tree = Tree::new();
    let mut script = Script::new();
    script.open(&tree.template("a.html"));
    let mut compilation = user.compile_in(&tree, TEMPLATES);
    let module = compilation.shim.put(&script.wat());
    compilation.shim.call(module, &input(), nobody);
    compilation.end();
    let again = |version: &str| {
        let mut rerun = Rerun::new(&user.store(), version);
        let (mut same, mut of_project, mut idle) = (0, 0, 0);
        let damaged = user.expansions().each(|key, found| match rerun.again(key, &found.body) {
            Rechecked::Same => same += 1,
            Rechecked::OfProject => of_project += 1,
            Rechecked::Idle => idle += 1,
            other => panic!("{other:?}"),
        });
        (same, of_project, idle, damaged.unwrap())
    };
    assert_eq!(again("test"), (3, 1, 0, 0));
    assert_eq!(again("another"), (0, 0, 4, 0));

    let other = User::new();
    other.compile(&[]).tap(|c| drop(c.call(&wats[0])));
    other.store().put_module(&wat::parse_str(&wats[0]).unwrap()).unwrap();
    poison(&other);
    let mut rerun = Rerun::new(&other.store(), "test");
    let mut came = Vec::new();
    other.expansions().each(|key, found| came.push(rerun.again(key, &found.body))).unwrap();
    let [Rechecked::Different(difference)] = &came[..] else { panic!("{came:?}") };
    assert_eq!(difference.now, "a\n(\n1\n)");
}

#[test]
fn a_probe_runs_everything() {
    let user = User::new();
    let wat = guest("(call $same)");
    user.compile(&[]).tap(|c| drop(c.call(&wat)));
    let tape = Arc::new(belljar_expander::Tape::of(vec!["evil".to_owned()]));
    let mut compilation = user.compile_with(Verify::None, |config| config.tape = Some(Arc::clone(&tape)));
    let module = compilation.shim.put(&wat);
    compilation.shim.call(module, &input(), nobody);
    assert_eq!(compilation.end(), run(1));
    assert_eq!(tape.taped().calls.len(), 1);
}

#[test]
fn the_value_of_a_users_variable_is_not_kept() {
    let (user, tree) = (User::new(), Tree::new());
    // It says whether there is one, and no more.
    let wat = guest_with(
        r#"(data (i32.const 64) "HOME")"#,
        "(drop (call $getenv (i32.const 64) (i32.const 4))) (call $take (i32.const 8192)) (call $same)",
    );
    for calls in [run(1), remembered(1)] {
        let mut compilation = user.compile_in(&tree, "env = [\"HOME\"]");
        let module = compilation.shim.put(&wat);
        compilation.shim.call(module, &input(), nobody);
        let home = tree.path("home").into_string();
        let seen = Observation::Variable { name: "HOME".to_owned(), value: Some(home.clone()) };
        assert!(compilation.recorder.recorded().observations.contains(&seen));
        assert_eq!(compilation.end(), calls);
        let mut entries = 0;
        let each = user.expansions().each(|_, found| {
            entries += 1;
            assert!(!found.body.windows(home.len()).any(|window| window == home.as_bytes()));
        });
        assert_eq!((entries, each.unwrap()), (1, 0));
    }
}

/// A stream of one identifier.
fn word(name: &str) -> Vec<u8> {
    let mut w = InputWriter::new(1);
    w.begin_stream();
    w.ident(name, false);
    w.end_stream();
    w.into_bytes()
}

#[test]
fn when_earlier_calls_cannot_be_run_again_nothing_that_comes_is_remembered() {
    let (user, tree) = (User::new(), Tree::new());
    let path = tree.template("a.html");
    // The first call reads a file, and the others know that it was.
    let fields = format!(
        r#"(import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
           (data (i32.const 1024) "{path}")"#
    );
    let wat = counting(
        &fields,
        &format!(
            "(if (i32.eq (global.get $count) (i32.const 1)) (then
                (drop (call $open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const {})
                    (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 600)))))
             (call $same)",
            path.len()
        ),
    );
    let grant = format!("state = \"crate\"\n{TEMPLATES}");
    let expand = |compilation: &mut Compilation, name: &str| {
        let module = compilation.shim.put(&wat);
        compilation.shim.call(module, &word(name), nobody)
    };
    let mut first = user.compile_in(&tree, &grant);
    expand(&mut first, "a");
    assert_eq!(first.end(), run(1));

    let mut second = user.compile_in(&tree, &grant);
    assert!(matches!(expand(&mut second, "a").answer, Answer::Done(_)));
    // Now the file that was looked at is another one: this compilation would be made of two worlds.
    tree.write("ws/web/templates/a.html", "another");
    let failed = expand(&mut second, "b").answer.failed();
    assert!(failed.contains("changed while it was compiled"), "{failed}");
    // An editor goes on after an error.
    tree.write("ws/web/templates/a.html", "<b>one</b>\n");
    let after = expand(&mut second, "c");
    assert!(matches!(after.answer, Answer::Done(_)), "{after:?}");
    second.end();
    // What it wrote then knows nothing of the first call.
    let mut third = user.compile_in(&tree, &grant);
    expand(&mut third, "a");
    expand(&mut third, "c");
    assert_eq!(third.end(), Calls { run: 1, remembered: 1, ..Calls::default() });
}

#[test]
fn a_clock_that_stood_still_is_set_when_an_entry_is_run_again() {
    let user = User::new();
    let clock = r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#;
    // Prints the clock.
    let wat = guest_with(
        clock,
        "(drop (call $clock (i32.const 0) (i64.const 0) (i32.const 512)))
         (i32.store8 (i32.const 512) (i32.add (i32.const 65) (i32.and (i32.const 15) (i32.load8_u (i32.const 517)))))
         (i32.store (i32.const 32) (i32.const 512)) (i32.store (i32.const 36) (i32.const 1))
         (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
         (call $same)",
    );
    user.store().put_module(&wat::parse_str(&wat).unwrap()).unwrap();
    for time in ["1", "1700000000"] {
        let calling = Calling::of_environment([("SOURCE_DATE_EPOCH".into(), time.into())]);
        let mut compilation = user.compile_with(Verify::None, |config| {
            config.policy = Policy::built_in(calling);
            config.source_date_epoch = time.parse().ok();
        });
        compilation.call(&wat);
        assert_eq!(compilation.end(), run(1));
    }
    let mut rerun = Rerun::new(&user.store(), "test");
    let mut came = Vec::new();
    user.expansions().each(|key, found| came.push(rerun.again(key, &found.body))).unwrap();
    assert_eq!(came, [Rechecked::Same, Rechecked::Same]);
}
