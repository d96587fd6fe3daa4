//! Macros that remember what they did before in the same crate.

use belljar_wire::tokens::InputWriter;

use crate::support::{Answer, Replied, Shim, guest_with, input};
use crate::tree::Tree;

const STATE: &str = "state = \"crate\"";

/// A macro that counts its calls, prints the number as a letter, and then does this.
pub fn counting(fields: &str, body: &str) -> String {
    let fields = format!("{fields} (global $count (mut i32) (i32.const 0))");
    let body = format!(
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (i32.store8 (i32.const 512) (i32.add (i32.const 64) (global.get $count)))
         (i32.store (i32.const 32) (i32.const 512)) (i32.store (i32.const 36) (i32.const 1))
         (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
         {body}"
    );
    guest_with(&fields, &body)
}

fn call(shim: &mut Shim, wat: &str) -> Replied {
    shim.expand(wat, &input())
}

#[test]
fn all_calls_in_one_crate_share_what_is_remembered_if_that_is_granted() {
    let tree = Tree::new();
    let wat = counting("", "(call $same)");
    let numbers = |shim: &mut Shim| -> String { (0..3).map(|_| call(shim, &wat).stdout).collect() };
    assert_eq!(numbers(&mut tree.shim("")), "AAA");
    let mut shim = tree.shim(STATE);
    assert_eq!(numbers(&mut shim), "ABC");
    // Of another module, something else is remembered; another compilation begins anew.
    assert_eq!(call(&mut shim, &counting("(global $other i32 (i32.const 1))", "(call $same)")).stdout, "A");
    assert_eq!(numbers(&mut shim), "DEF");
    assert_eq!(numbers(&mut tree.shim(STATE)), "ABC");
}

#[test]
fn a_panic_that_is_caught_forgets_nothing() {
    let tree = Tree::new();
    let mut shim = tree.shim(STATE);
    let fields = r#"(data (i32.const 64) "no")"#;
    let wat = counting(
        fields,
        "(if (i32.eq (global.get $count) (i32.const 2)) (then
            (call $panicked (i32.const 64) (i32.const 2)) (return (i64.const -1))))
         (call $same)",
    );
    assert!(matches!(call(&mut shim, &wat).answer, Answer::Done(_)));
    assert_eq!(call(&mut shim, &wat).answer, Answer::Panicked(Some("no".into())));
    let third = call(&mut shim, &wat);
    assert!(matches!(third.answer, Answer::Done(_)));
    assert_eq!(third.stdout, "C");
}

#[test]
fn an_instance_that_ended_begins_anew_and_that_is_told_with_what_fails_then() {
    let tree = Tree::new();
    let mut shim = tree.shim(STATE);
    let fields = r#"(data (i32.const 64) "no")"#;
    let wat = counting(
        fields,
        "(if (i32.eq (global.get $count) (i32.const 2)) (then
            (call $panicked (i32.const 64) (i32.const 2)) unreachable))
         (call $same)",
    );
    call(&mut shim, &wat);
    assert_eq!(call(&mut shim, &wat).answer, Answer::Panicked(Some("no".into())));
    let anew = call(&mut shim, &wat);
    assert!(matches!(anew.answer, Answer::Done(_)));
    assert_eq!(anew.stdout, "A");
    let Answer::Panicked(Some(text)) = call(&mut shim, &wat).answer else { panic!() };
    assert!(text.starts_with("no\n\nbelljar: an earlier call") && text.contains("it began anew"), "{text}");

    // Where nothing is remembered, there is nothing to tell.
    let mut shim = tree.shim("");
    let wat = guest_with(fields, "(call $panicked (i32.const 64) (i32.const 2)) unreachable");
    for _ in 0..2 {
        assert_eq!(call(&mut shim, &wat).answer, Answer::Panicked(Some("no".into())));
    }
}

#[test]
fn a_limit_ends_the_instance_and_each_call_has_limits_of_its_own() {
    let tree = Tree::new();
    let mut shim = tree.shim(STATE);
    let fields = r#"(data (i32.const 64) "\07a")"#;
    // 60 questions a call, of 100.
    let wat = counting(
        fields,
        "(local.set $i (i32.const 0))
         (loop $on
            (drop (call $ask (i32.const 64) (i32.const 2)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $on (i32.lt_u (local.get $i) (i32.const 60))))
         (if (i32.eq (global.get $count) (i32.const 3)) (then (loop $for_ever (br $for_ever))))
         (call $same)",
    );
    assert_eq!(call(&mut shim, &wat).stdout, "A");
    assert_eq!(call(&mut shim, &wat).stdout, "B");
    assert!(call(&mut shim, &wat).answer.failed().contains("BELLJAR_LIMIT_TIME"));
    assert_eq!(call(&mut shim, &wat).stdout, "A");
}

#[test]
fn clocks_and_random_numbers_go_on_with_the_instance() {
    let tree = Tree::new();
    let fields = r#"
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (global $last (mut i64) (i64.const 0)) (global $number (mut i64) (i64.const 0))"#;
    let wat = counting(
        fields,
        "(drop (call $clock (i32.const 1) (i64.const 1) (i32.const 600)))
         (if (i64.le_u (i64.load (i32.const 600)) (global.get $last)) (then unreachable))
         (global.set $last (i64.load (i32.const 600)))
         (drop (call $random (i32.const 608) (i32.const 8)))
         (if (i64.eq (i64.load (i32.const 608)) (global.get $number)) (then unreachable))
         (global.set $number (i64.load (i32.const 608)))
         (call $same)",
    );
    let mut shim = tree.shim(STATE);
    let numbers: String = (0..3).map(|_| call(&mut shim, &wat).stdout).collect();
    assert_eq!(numbers, "ABC");
}

#[test]
fn ten_thousand_inputs_take_no_more_room_than_the_largest() {
    let tree = Tree::new();
    let mut shim = tree.shim(STATE);
    // All that is ever given out, added up. Its memory is 128 KiB.
    let wat = guest_with("(global $given (mut i32) (i32.const 4096))", "(call $same)").replace(
        "(param i32) (result i32) (i32.const 4096)",
        "(param i32) (result i32) (global.get $given)
         (global.set $given (i32.add (global.get $given) (local.get 0)))",
    );
    let module = shim.put(&wat);
    for n in 0..10_000u32 {
        let mut w = InputWriter::new(1);
        w.begin_stream();
        w.literal(&format!("\"{}\"", "a".repeat((n * 7919 % 10_000) as usize)));
        w.end_stream();
        let replied = shim.call(module, &w.into_bytes(), |_| vec![]);
        assert!(matches!(replied.answer, Answer::Done(_)), "{n}: {replied:?}");
    }
}
