//! Guests that mean harm, or are broken: each ends as one clear error, and the next expansion is as good as ever.

use std::time::Duration;

use belljar_expander::Limits;
use belljar_wire::bytes::Writer;
use belljar_wire::tokens::{Delimiter, InputWriter, OutputWriter, WireSpan};

use crate::support::{Answer, Shim, guest, guest_with, input, small, wat_bytes};
use crate::tree::Tree;

#[track_caller]
fn fails(shim: &mut Shim, wat: &str, needle: &str) -> String {
    let text = shim.expand(wat, &input()).answer.failed();
    assert!(text.starts_with("belljar: `m!` of evil 1.2.3 can't be expanded: "), "{text}");
    assert!(text.contains(needle), "{text}");
    assert!(text.contains("\n  help: "), "{text}");
    text
}

#[test]
fn each_limit_has_its_own_error() {
    let mut shim = Shim::new();
    let text = fails(&mut shim, &guest("(loop $on (br $on)) (call $same)"), "ran for more than 0.2 seconds");
    assert!(text.contains("BELLJAR_LIMIT_TIME"), "{text}");
    // A loop in `_initialize` is no better.
    let wat = guest("(call $same)").replace("(global.set $started (i32.const 1))", "(loop $on (br $on))");
    fails(&mut shim, &wat, "BELLJAR_LIMIT_TIME");

    let grow = "(loop $on (drop (memory.grow (i32.const 16))) (br $on)) (call $same)";
    fails(&mut shim, &guest(grow), "wanted more than 16 MiB of memory");
    let large = guest("(call $same)")
        .replace(r#"(memory (export "memory") 2)"#, r#"(memory (export "memory") 60000)"#);
    fails(&mut shim, &large, "BELLJAR_LIMIT_MEMORY");
    let table = guest_with(
        "(table $t 1 funcref)",
        "(loop $on (drop (table.grow $t (ref.null func) (i32.const 100000))) (br $on)) (call $same)",
    );
    fails(&mut shim, &table, "BELLJAR_LIMIT_MEMORY");

    fails(&mut shim, &guest("(call $m (local.get $p) (local.get $n))"), "BELLJAR_LIMIT_STACK");

    let print = guest_with(
        r#"(data (i32.const 64) "\48\00\00\00\05\00\00\00over\0a")"#,
        "(loop $on (drop (call $fd_write (i32.const 2) (i32.const 64) (i32.const 1) (i32.const 128))) (br $on))
         (call $same)",
    );
    let replied = shim.expand(&print, &input());
    assert_eq!(replied.stderr.lines().next(), Some("over"));
    assert!(replied.stderr.len() <= 10_000);
    let text = replied.answer.failed();
    assert!(text.contains("printed more than 9 KiB") && text.contains("BELLJAR_LIMIT_PRINT"), "{text}");

    let ask = guest_with(
        r#"(data (i32.const 64) "\07a + b")"#,
        "(loop $on (drop (call $ask (i32.const 64) (i32.const 6))) (br $on)) (call $same)",
    );
    fails(&mut shim, &ask, "asked more than 100 questions");

    fails(&mut shim, &guest("(call $done (i32.const 0) (i32.const 0x200000))"), "BELLJAR_LIMIT_OUTPUT");

    assert!(matches!(shim.expand(&guest("(call $same)"), &input()).answer, Answer::Done(_)));
}

#[test]
fn addresses_out_of_memory_are_errors() {
    let mut shim = Shim::new();
    for body in [
        "(call $done (i32.const -1) (i32.const 3))",
        "(call $done (i32.const 131071) (i32.const 3))",
        "(drop (call $ask (i32.const -1) (i32.const 3))) (call $same)",
        "(call $panicked (i32.const 0) (i32.const -1)) (call $same)",
        "(drop (call $getenv (i32.const 0x7fffffff) (i32.const 0x7fffffff))) (call $same)",
    ] {
        fails(&mut shim, &guest(body), "which is not in its memory of 131072 bytes");
    }
    // An answer is written nowhere else either.
    let take = guest_with(
        r#"(data (i32.const 64) "\07a")"#,
        "(drop (call $ask (i32.const 64) (i32.const 2))) (call $take (i32.const 131070)) (call $same)",
    );
    fails(&mut shim, &take, "which is not in its memory");
    let alloc = guest("(call $same)").replace("(i32.const 4096)", "(i32.const 131071)");
    fails(&mut shim, &alloc, "which is not in its memory");
    fails(&mut shim, &guest("(call $take (i32.const 0)) (call $same)"), "took an answer without a question");
}

#[test]
fn an_exit_an_abort_and_a_crash_are_told_apart() {
    let mut shim = Shim::new();
    fails(&mut shim, &guest("(call $proc_exit (i32.const 0)) (call $same)"), "it called `exit(0)`");
    let text = fails(&mut shim, &guest("unreachable"), "it aborted");
    assert!(text.contains("in m"), "{text}");
    fails(
        &mut shim,
        &guest("(i64.load (i32.const -8))"),
        "it crashed: wasm trap: out of bounds memory access",
    );
    fails(
        &mut shim,
        &guest("(i64.div_u (i64.const 1) (i64.const 0))"),
        "it crashed: wasm trap: integer divide by zero",
    );
    let named = guest("(call $f) (call $same)").replace("(func $m", "(func $f unreachable) (func $m");
    let text = fails(&mut shim, &named.replace("$f", "$_RNvCs7YWck2yZRCs_7a_macro6expand"), "it aborted");
    assert!(text.contains("in a_macro::expand\n"), "{text}");
    let thrown = guest_with("(tag $t)", "(throw $t)");
    fails(&mut shim, &thrown, "it threw something that nothing caught");
}

#[test]
fn a_stack_as_large_as_it_is_by_default_overflows_as_cleanly() {
    let mut shim = Shim::with(|config| config.limits = Ok(Limits::default()));
    fails(&mut shim, &guest("(call $m (local.get $p) (local.get $n))"), "larger than 16 MiB");
}

#[test]
fn a_guest_built_to_unwind_catches_what_it_throws() {
    let mut shim = Shim::new();
    let wat = guest_with(
        "(tag $panic (param i32))",
        "(block $caught (result i32 exnref)
            (try_table (catch_ref $panic $caught) (throw $panic (i32.const 7)))
            unreachable)
         drop
         (if (i32.ne (i32.const 7)) (then unreachable))
         (call $same)",
    );
    assert!(matches!(shim.expand(&wat, &input()).answer, Answer::Done(_)));
}

#[test]
fn a_panic_is_the_macros_own_message() {
    let mut shim = Shim::new();
    let fields = r#"(data (i32.const 64) "no field `x`") (data (i32.const 96) "again") (data (i32.const 112) "\ff\00")"#;
    let first = "(call $panicked (i32.const 64) (i32.const 12))";
    let again = "(call $panicked (i32.const 96) (i32.const 5))";
    let mut panics = |body: &str| match shim.expand(&guest_with(fields, body), &input()).answer {
        Answer::Panicked(message) => message,
        other => panic!("{other:?}"),
    };
    // A std that aborts, one that unwinds, and a panic while panicking.
    assert_eq!(panics(&format!("{first} unreachable")).as_deref(), Some("no field `x`"));
    assert_eq!(panics(&format!("{first} (i64.const -1)")).as_deref(), Some("no field `x`"));
    assert_eq!(panics(&format!("{first} {again} unreachable")).as_deref(), Some("again"));
    assert_eq!(
        panics("(call $panicked (i32.const 112) (i32.const 2)) unreachable").as_deref(),
        Some("\u{fffd}\0")
    );
    // Without a message, which is not an empty one.
    assert_eq!(panics("(call $panicked (i32.const 96) (i32.const 0)) unreachable").as_deref(), Some(""));
    assert_eq!(panics("(call $panicked (i32.const 0) (i32.const 0)) unreachable"), None);
    assert_eq!(panics(&format!("{first} (call $panicked (i32.const 0) (i32.const 0)) (i64.const -1)")), None);
    assert_eq!(panics("(i64.const -1)"), None);
    // A panic that was caught is none, and does not explain what comes after it.
    let caught = guest_with(fields, &format!("{first} (call $same)"));
    assert!(matches!(shim.expand(&caught, &input()).answer, Answer::Done(_)));
    fails(&mut shim, &guest_with(fields, &format!("{first} (call $m (i32.const 0) (i32.const 0))")), "STACK");
}

#[test]
fn malformed_tokens_never_reach_rustc() {
    let mut shim = Shim::new();
    let call_site = WireSpan::CALL_SITE;
    let leaf = |write: &dyn Fn(&mut OutputWriter)| {
        let mut w = OutputWriter::new();
        write(&mut w);
        w.finish(&[])
    };
    let mut deep = OutputWriter::new();
    let groups: Vec<_> = (0..2001).map(|_| deep.begin_group(Delimiter::Brace, call_site)).collect();
    groups.into_iter().rev().for_each(|begun| deep.end_group(begun));
    let mut many = Writer::new();
    many.varint(u32::MAX);
    for (output, expected) in [
        (vec![], "a varint"),
        (vec![0xff; 4], "a varint"),
        (many.into_bytes(), "a byte"),
        (vec![0, 0x99], "a token tag"),
        (vec![0, 0x20, 9], "a handle of an input token"),
        (vec![0, 0x20, 2], "a handle of an input token"),
        (vec![0, 0x21, 0], "a handle of an input group"),
        (vec![0, 0x22, 1], "a number of an input stream"),
        (leaf(&|w| w.ident("a b", false, call_site)), "an identifier"),
        (leaf(&|w| w.ident("", false, call_site)), "an identifier"),
        (leaf(&|w| w.ident("1a", false, call_site)), "an identifier"),
        (leaf(&|w| w.ident("r#a", false, call_site)), "an identifier"),
        (leaf(&|w| w.ident("'a", false, call_site)), "an identifier"),
        (leaf(&|w| w.ident("self", true, call_site)), "an identifier"),
        (leaf(&|w| w.ident("a}fn evil(){", false, call_site)), "an identifier"),
        (leaf(&|w| w.literal("1 + 1", call_site)), "a literal"),
        (leaf(&|w| w.literal("\"a\" /* */", call_site)), "a literal"),
        (leaf(&|w| w.literal("\"\"; evil() ; \"\"", call_site)), "a literal"),
        (leaf(&|w| w.literal("", call_site)), "a literal"),
        (leaf(&|w| w.literal("-\"a\"", call_site)), "a literal"),
        (leaf(&|w| w.literal("\"unterminated", call_site)), "a literal"),
        (leaf(&|w| w.punct(b'(', false, call_site)), "a punctuation character"),
        (leaf(&|w| w.ident("a", false, WireSpan(7))), "a span that exists"),
        (deep.finish(&[]), "groups nested less deep"),
    ] {
        let len = output.len();
        let wat = guest_with(
            &format!(r#"(data (i32.const 8192) "{}")"#, wat_bytes(&output)),
            &format!("(call $done (i32.const 8192) (i32.const {len}))"),
        );
        fails(&mut shim, &wat, &format!("its output is not a token stream: expected {expected} at byte"));
    }
}

/// A macro that returns this output.
fn returning(output: &[u8]) -> String {
    guest_with(
        &format!(r#"(data (i32.const 8192) "{}")"#, wat_bytes(output)),
        &format!("(call $done (i32.const 8192) (i32.const {}))", output.len()),
    )
}

/// What the lexer makes of `a (b)`.
fn lexed() -> Vec<u8> {
    let mut w = InputWriter::lexed();
    w.begin_stream();
    w.ident("a", false);
    w.begin_group(Delimiter::Parenthesis);
    w.ident("b", false);
    w.end_group();
    w.end_stream();
    w.into_bytes()
}

#[test]
fn a_text_and_its_tokens_reach_rustc_as_they_are() {
    let mut shim = Shim::new();
    let mut w = OutputWriter::new();
    w.text("a (b)", &lexed());
    w.lexed_stream(0);
    w.lexed_tree(0, 1);
    w.lexed_contents(0, 1);
    let output = w.finish(&[]);
    assert_eq!(shim.expand(&returning(&output), &input()).answer, Answer::Done(output));
}

#[test]
fn a_text_that_is_not_lexed_so_never_reaches_rustc() {
    let mut shim = Shim::new();
    let with = |text: &str, lexed: &[u8], put: &dyn Fn(&mut OutputWriter)| {
        let mut w = OutputWriter::new();
        w.text(text, lexed);
        put(&mut w);
        w.finish(&[])
    };
    let deep = |n| format!("{}{}", "(".repeat(n), ")".repeat(n));
    let nothing = |_: &mut OutputWriter| {};
    let wrong = "a text and what it is lexed to";
    let cut = &lexed()[..lexed().len() - 1];
    for (output, expected) in [
        (with("a (c)", &lexed(), &nothing), wrong),
        (with("a (b) + c", &lexed(), &nothing), wrong),
        (with("a (b) evil()", &lexed(), &|w| w.lexed_stream(0)), wrong),
        (with("", &lexed(), &nothing), wrong),
        // Not used, and wrong all the same: rustc would lex it.
        (with(&deep(2001), &lexed(), &nothing), wrong),
        (with("( ]", &lexed(), &nothing), wrong),
        // What only rustc can lex has to have the form at least.
        (with("\u{e9}", cut, &nothing), "a stream as long as it says"),
        (with("\u{e9}", &[9, 0, 0, 0, 0, 0, 0, 0], &nothing), "as many tokens as the stream says"),
        (with("\u{e9}", &[1, 0, 0, 0, 2, 0, 0, 0, 4, b'('], &nothing), "a punctuation character"),
        (with("a (b)", &lexed(), &|w| w.lexed_stream(1)), "a number of a text before it"),
        (with("a (b)", &lexed(), &|w| w.lexed_tree(9, 0)), "a number of a text before it"),
        (with("a (b)", &lexed(), &|w| w.lexed_tree(0, 2)), "a handle of a text's token"),
        (with("a (b)", &lexed(), &|w| w.lexed_tree(0, 99)), "a handle of a text's token"),
        (with("a (b)", &lexed(), &|w| w.lexed_contents(0, 0)), "a handle of a text's group"),
    ] {
        fails(
            &mut shim,
            &returning(&output),
            &format!("its output is not a token stream: expected {expected} at byte"),
        );
    }
    // As a question, too.
    let output = with("a (c)", &lexed(), &nothing);
    let print = guest_with(
        &format!(r#"(data (i32.const 64) "\06{}")"#, wat_bytes(&output)),
        &format!("(drop (call $ask (i32.const 64) (i32.const {}))) (call $same)", output.len() + 1),
    );
    fails(&mut shim, &print, &format!("a question: expected {wrong}"));
}

#[test]
fn a_long_text_can_not_be_named_without_end() {
    let mut shim = Shim::new();
    let commas = 60_000;
    let mut w = InputWriter::lexed();
    w.begin_stream();
    for n in 1..=commas {
        w.punct(b',', n < commas);
    }
    w.end_stream();
    let mut out = OutputWriter::new();
    out.text(&",".repeat(commas), &w.into_bytes());
    (0..400).for_each(|_| out.lexed_stream(0));
    let output = out.finish(&[]);
    let wat =
        returning(&output).replace(r#"(memory (export "memory") 2)"#, r#"(memory (export "memory") 8)"#);
    fails(&mut shim, &wat, "its output is not a token stream: expected fewer tokens at byte");
}

#[test]
fn rustc_is_not_made_to_lex_without_end() {
    let mut shim = Shim::new();
    // The rest of the memory is zeros, which the lexer has no opinion on.
    let ask = guest_with(
        r#"(data (i32.const 8192) "\07")"#,
        "(loop $on (drop (call $ask (i32.const 8192) (i32.const 60000))) (br $on)) (call $same)",
    );
    let module = shim.put(&ask);
    let mut asked = 0;
    let text = shim.call(module, &input(), |_| {
        asked += 1;
        vec![2]
    });
    let text = text.answer.failed();
    assert!(text.contains("BELLJAR_LIMIT_OUTPUT"), "{text}");
    assert_eq!(asked, (1 << 20) / 60_000);

    // Many small ones are no cheaper.
    let mut w = OutputWriter::new();
    (0..20_000u32).for_each(|n| {
        w.text(
            "\u{e9}",
            &[&[1, 0, 0, 0, 4, 0, 0, 0, 3, 2][..], &[n as u8 & 127, (n >> 7) as u8 & 127]].concat(),
        )
    });
    let output = w.finish(&[]);
    let wat =
        returning(&output).replace(r#"(memory (export "memory") 2)"#, r#"(memory (export "memory") 8)"#);
    let text = shim.expand(&wat, &input()).answer.failed();
    assert!(text.contains("BELLJAR_LIMIT_OUTPUT"), "{text}");

    // One text, printed again and again, is lexed once.
    let mut w = OutputWriter::new();
    w.text("a (b)", &lexed());
    w.lexed_stream(0);
    let output = w.finish(&[]);
    let print = guest_with(
        &format!(r#"(data (i32.const 64) "\06{}")"#, wat_bytes(&output)),
        &format!(
            "(loop $on
                (drop (call $ask (i32.const 64) (i32.const {})))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $on (i32.lt_u (local.get $i) (i32.const 90))))
             (call $same)",
            output.len() + 1
        ),
    );
    let mut shim = Shim::with(|config| config.limits = Ok(Limits { output: 128, ..small() }));
    let module = shim.put(&print);
    let replied = shim.call(module, &input(), |_| b"\x05a (b)".to_vec());
    assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
}

/// A question, to be asked some times, of a macro whose input is a literal of 10 KB.
fn asking(question: &[u8], times: u32) -> (String, Vec<u8>) {
    let mut w = InputWriter::new(1);
    w.begin_stream();
    w.literal(&format!("\"{}\"", "a".repeat(10_000)));
    w.end_stream();
    let wat = guest_with(
        &format!(r#"(data (i32.const 0x30000) "{}")"#, wat_bytes(question)),
        &format!(
            "(loop $on
                (drop (call $ask (i32.const 0x30000) (i32.const {})))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $on (i32.lt_u (local.get $i) (i32.const {times}))))
             (call $same)",
            question.len()
        ),
    );
    (wat.replace(r#"(memory (export "memory") 2)"#, r#"(memory (export "memory") 8)"#), w.into_bytes())
}

/// Names the first token of the input some times.
fn naming(times: u32) -> Vec<u8> {
    let mut w = OutputWriter::new();
    (0..times).for_each(|_| w.ref_tree(0));
    w.finish(&[])
}

fn print(output: &[u8]) -> Vec<u8> {
    [&[6], output].concat()
}

#[test]
fn what_an_output_stands_for_is_limited() {
    let mut shim = Shim::new();
    // 4 MiB at a limit of 1 MiB for what is returned, 10 KB a time: the output itself is 1 KB.
    let (too_large, input) = asking(&print(&naming(420)), 1);
    let module = shim.put(&too_large);
    let text = shim.call(module, &input, |_| panic!("it was asked")).answer.failed();
    assert!(text.contains("`m!` of evil 1.2.3"), "{text}");
    assert!(
        text.contains("stands for more than 4 MiB of text") && text.contains("BELLJAR_LIMIT_OUTPUT"),
        "{text}"
    );
    let (fits, input) = asking(&print(&naming(419)), 1);
    let module = shim.put(&fits);
    assert!(matches!(shim.call(module, &input, |_| vec![0]).answer, Answer::Done(_)));

    // Beside the input, not in its place.
    let module = shim.put(&returning(&naming(420)).replace("8192", "65536"));
    let text = shim.call(module, &input, |_| vec![]).answer.failed();
    assert!(text.contains("stands for more than 4 MiB of text"), "{text}");

    // Few tokens, but each on a line of its own behind thousands of spaces.
    let mut w = OutputWriter::new();
    let open: Vec<_> = (0..1500).map(|_| w.begin_group(Delimiter::Brace, WireSpan::CALL_SITE)).collect();
    (0..100).for_each(|_| w.ref_tree(0));
    open.into_iter().rev().for_each(|group| w.end_group(group));
    let (indented, input) = asking(&print(&w.finish(&[])), 1);
    let module = shim.put(&indented);
    let text = shim.call(module, &input, |_| panic!("it was asked")).answer.failed();
    assert!(text.contains("stands for more than 4 MiB of text"), "{text}");
}

#[test]
fn what_questions_cost_rustc_is_limited_together() {
    let limited = || Shim::with(|config| config.limits = Ok(Limits { compiler: 1 << 20, ..small() }));
    let refused = |shim: &mut Shim, question: &[u8], answer: &[u8], times: usize| {
        let (wat, input) = asking(question, 100);
        let module = shim.put(&wat);
        let mut asked = 0;
        let replied = shim.call(module, &input, |_| {
            asked += 1;
            answer.to_vec()
        });
        let text = replied.answer.failed();
        assert!(text.contains("`m!` of evil 1.2.3"), "{text}");
        assert!(text.contains("read and write more than 1 MiB"), "{text}");
        assert!(text.contains("BELLJAR_LIMIT_COMPILER"), "{text}");
        assert_eq!(asked, times);
    };
    // What tokens stand for: 100 KB a time.
    refused(&mut limited(), &print(&naming(10)), &[0], 10);
    // What is asked.
    refused(&mut limited(), &[&[9][..], "\u{e9}".repeat(50_000).as_bytes()].concat(), &[0], 10);
    // What is answered.
    let answer = [&[1, 0xa0, 0x8d, 0x06][..], &[b'a'; 100_000]].concat();
    refused(&mut limited(), &[5, 0, 2], &answer, 11);
    // What rustc would have to say: 3,000 times with 6 KB.
    refused(&mut limited(), &[&[7][..], "` ".repeat(3000).as_bytes()].concat(), &[2], 0);
    // The same, of a literal in an output.
    let mut w = OutputWriter::new();
    w.literal(&format!("\"{}\"", "\\q".repeat(3000)), WireSpan::CALL_SITE);
    refused(&mut limited(), &print(&w.finish(&[])), &[0], 0);
}

#[test]
fn time_in_which_rustc_answers_is_limited() {
    let limits = Limits { wait: Duration::from_millis(20), time: Duration::from_secs(60), ..small() };
    let mut shim = Shim::with(|config| config.limits = Ok(limits));
    let (wat, input) = asking(&[1, 0, 2], 100);
    let module = shim.put(&wat);
    let mut asked = 0;
    let replied = shim.call(module, &input, |_| {
        asked += 1;
        std::thread::sleep(Duration::from_millis(10));
        vec![1]
    });
    let text = replied.answer.failed();
    assert!(text.contains("`m!` of evil 1.2.3"), "{text}");
    assert!(
        text.contains("waited for more than 0.02 seconds") && text.contains("BELLJAR_LIMIT_WAIT"),
        "{text}"
    );
    assert!((1..=2).contains(&asked), "{asked}");
}

#[test]
fn texts_that_rustc_nests_too_deeply_never_reach_it() {
    let mut shim = Shim::new();
    let deep = "(".repeat(5_000);
    let mut cases = vec![[&[8][..], deep.as_bytes()].concat()];
    for text in ["#!\"\n", "#\"\"", "cr\"\\\""] {
        for kind in [7, 8] {
            cases.push([&[kind][..], text.as_bytes(), deep.as_bytes()].concat());
        }
    }
    for question in cases {
        let (wat, input) = asking(&question, 1);
        let module = shim.put(&wat);
        let replied = shim.call(module, &input, |_| panic!("it was asked"));
        assert!(matches!(replied.answer, Answer::Done(_)), "the macro is told that it is no text of Rust's");
    }
    // One literal since edition 2021.
    let mut w = OutputWriter::new();
    w.literal(&format!("cr#\"\"{deep}\"#"), WireSpan::CALL_SITE);
    fails(&mut shim, &returning(&w.finish(&[])), "expected a literal");
}

#[test]
fn questions_that_make_no_sense_never_reach_rustc() {
    let mut shim = Shim::new();
    for (question, expected) in [
        (&[][..], "a byte"),
        (&[0], "a kind of question"),
        (&[99], "a kind of question"),
        // The input has five handles, so spans 0 to 6.
        (&[1, 0, 7], "a span that exists"),
        (&[1, 1, 3, 8], "a span that exists"),
        (&[1, 0, 0, 0], "the end"),
        (&[5, 0], "a varint"),
        (&[6, 0, 1, 2, b'a', b' ', 0], "an identifier"),
        (&[7, 0xff, 0xfe], "UTF-8 text"),
        (&[9, 0xff, 0xfe], "UTF-8 text"),
        (&[10, b'a'], "a kind of question"),
    ] {
        let wat = guest_with(
            &format!(r#"(data (i32.const 64) "{}")"#, wat_bytes(question)),
            &format!("(drop (call $ask (i32.const 64) (i32.const {}))) (call $same)", question.len()),
        );
        fails(&mut shim, &wat, &format!("a question: expected {expected}"));
    }
}

#[test]
fn what_was_refused_is_told_when_the_expansion_fails() {
    let mut shim = Shim::new();
    let fields = r#"
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (data (i32.const 64) "etc/passwd") (data (i32.const 96) "AWS_SECRET_KEY") (data (i32.const 128) "no")
        (data (i32.const 160) "RUST_BACKTRACE")
        (import "belljar" "attempt" (func $attempt (param i32 i32 i32)))"#;
    let tries = "
        (loop $on
            (if (i32.ne (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 10) (i32.const 0) (i64.const 2)
                    (i64.const 0) (i32.const 0) (i32.const 0)) (i32.const 2)) (then unreachable))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $on (i32.lt_u (local.get $i) (i32.const 3))))
        (if (i32.ne (call $getenv (i32.const 96) (i32.const 14)) (i32.const -1)) (then unreachable))
        (call $attempt (i32.const 1) (i32.const 0) (i32.const 0))
        (if (i32.ne (call $getenv (i32.const 160) (i32.const 14)) (i32.const -1)) (then unreachable))";
    let refused = "belljar refused: read file `/etc/passwd` (3 times)\n  \
                   belljar refused: environment variable `AWS_SECRET_KEY`\n  \
                   belljar refused: start a thread";

    let text = fails(
        &mut shim,
        &guest_with(fields, &format!("{tries} (call $proc_exit (i32.const 1)) (call $same)")),
        "exit(1)",
    );
    assert!(text.ends_with(&format!("\n  {refused}")), "{text}");

    let panic =
        guest_with(fields, &format!("{tries} (call $panicked (i32.const 128) (i32.const 2)) unreachable"));
    let message = format!("no\n\n{}", refused.replace("\n  ", "\n"));
    assert_eq!(shim.expand(&panic, &input()).answer, Answer::Panicked(Some(message)));
    let panic = guest_with(fields, &format!("{tries} (i64.const -1)"));
    assert_eq!(shim.expand(&panic, &input()).answer, Answer::Panicked(Some(refused.replace("\n  ", "\n"))));

    // An expansion that does not fail says nothing.
    let fine = guest_with(fields, &format!("{tries} (call $same)"));
    assert!(matches!(shim.expand(&fine, &input()).answer, Answer::Done(_)));
}

#[test]
fn a_grant_raises_the_stack_of_its_macros_and_of_no_others() {
    // Calls itself 100,000 times.
    let fields = r#"(func $deep (param $n i32) (result i32)
        (if (result i32) (local.get $n)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))
            (else (i32.const 0))))"#;
    let wat = guest_with(fields, "(drop (call $deep (i32.const 100000))) (call $same)");
    let tree = Tree::new();
    let failed = tree.shim("").expand(&wat, &input()).answer.failed();
    assert!(failed.contains("until its stack was larger than 1 MiB"), "{failed}");
    let mut granted = tree.shim("limits = { stack = \"64 MiB\" }");
    assert!(matches!(granted.expand(&wat, &input()).answer, Answer::Done(_)));
    // What it was granted is a limit, too.
    let without_end = guest_with(fields, "(drop (call $deep (i32.const -1))) (call $same)");
    let failed = granted.expand(&without_end, &input()).answer.failed();
    assert!(failed.contains("until its stack was larger than 64 MiB"), "{failed}");
}
