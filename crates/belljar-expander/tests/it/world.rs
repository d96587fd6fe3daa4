//! What a guest finds of the world.

use belljar_wire::tokens::InputWriter;

use crate::support::{Answer, Shim, guest_with, input};

/// A macro that does `body`, then prints `len` bytes of its memory from 8192 on.
fn showing(fields: &str, body: &str, len: u32) -> String {
    guest_with(
        fields,
        &format!(
            "{body}
             (i32.store (i32.const 32) (i32.const 8192))
             (i32.store (i32.const 36) (i32.const {len}))
             (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
             (call $same)"
        ),
    )
}

fn shown(shim: &mut Shim, wat: &str, input: &[u8]) -> String {
    let replied = shim.expand(wat, input);
    assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
    replied.stdout
}

const CLOCK: &str =
    r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#;

fn hex(clock: &str) -> String {
    // Sixteen digits at 8192 from the number at 512.
    format!(
        "(drop {clock})
         (local.set $i (i32.const 0))
         (loop $on
            (i32.store8 (i32.add (i32.const 8192) (local.get $i))
                (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (i64.const 15)
                    (i64.shr_u (i64.load (i32.const 512)) (i64.extend_i32_u (i32.mul (i32.const 4) (local.get $i))))))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $on (i32.lt_u (local.get $i) (i32.const 16))))"
    )
}

fn number(shown: &str) -> u64 {
    shown.bytes().rev().fold(0, |n, digit| n * 16 + u64::from(digit - b'a'))
}

#[test]
fn the_wall_clock_stands_still_where_it_is_set() {
    let wat = showing(CLOCK, &hex("(call $clock (i32.const 0) (i64.const 1) (i32.const 512))"), 16);
    let mut shim = Shim::new();
    assert_eq!(number(&shown(&mut shim, &wat, &input())), 946_684_800_000_000_000);
    let mut shim = Shim::with(|config| config.source_date_epoch = Some(1_700_000_000));
    assert_eq!(number(&shown(&mut shim, &wat, &input())), 1_700_000_000_000_000_000);
}

#[test]
fn the_other_clock_goes_by_reading_and_sleeping() {
    let monotonic = "(call $clock (i32.const 1) (i64.const 1) (i32.const 512))";
    let twice = showing(CLOCK, &format!("(drop {monotonic}) {}", hex(monotonic)), 16);
    let mut shim = Shim::new();
    assert_eq!(number(&shown(&mut shim, &twice, &input())), 2_000_000);
    // An hour's sleep takes no time.
    let poll = r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    let sleep = format!(
        "(i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 3600000000000))
         (if (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 3000)) (then unreachable))
         (if (i32.ne (i32.load (i32.const 3000)) (i32.const 1)) (then unreachable))
         {}",
        hex(monotonic)
    );
    let wat = showing(&format!("{CLOCK} {poll}"), &sleep, 16);
    assert_eq!(number(&shown(&mut shim, &wat, &input())), 3_600_001_000_000);
}

#[test]
fn random_numbers_follow_from_macro_input_and_seed() {
    let random =
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#;
    let letters = "
        (drop (call $random (i32.const 8192) (i32.const 32)))
        (loop $on
            (i32.store8 (i32.add (i32.const 8192) (local.get $i))
                (i32.add (i32.const 97) (i32.and (i32.const 15) (i32.load8_u (i32.add (i32.const 8192) (local.get $i))))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $on (i32.lt_u (local.get $i) (i32.const 32))))";
    let wat = showing(random, letters, 32);
    let other_module = showing(&format!("{random} (global $other i32 (i32.const 1))"), letters, 32);
    let mut shim = Shim::new();
    let first = shown(&mut shim, &wat, &input());
    assert_eq!(first, shown(&mut shim, &wat, &input()));
    assert_eq!(first, shown(&mut Shim::new(), &wat, &input()));
    let other_input = {
        let mut w = InputWriter::new(1);
        w.begin_stream();
        w.end_stream();
        w.into_bytes()
    };
    let others = [
        shown(&mut shim, &wat, &other_input),
        shown(&mut shim, &other_module, &input()),
        shown(&mut Shim::with(|config| config.seed = b"mine".to_vec()), &wat, &input()),
    ];
    assert!(others.iter().all(|other| *other != first), "{first} {others:?}");
}

#[test]
fn granted_variables_are_there_and_no_others() {
    let fields = r#"
        (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (data (i32.const 64) "CARGO_PKG_NAME") (data (i32.const 96) "HOME")"#;
    let body = "
        (drop (call $sizes (i32.const 512) (i32.const 516)))
        (if (i32.ne (i32.load (i32.const 512)) (i32.const 2)) (then unreachable))
        (if (i32.ne (i32.load (i32.const 516)) (i32.const 44)) (then unreachable))
        (drop (call $environ (i32.const 1024) (i32.const 8192)))
        (if (i32.ne (i32.load (i32.const 1024)) (i32.const 8192)) (then unreachable))
        (if (i32.ne (call $getenv (i32.const 96) (i32.const 4)) (i32.const -1)) (then unreachable))
        (if (i32.ne (call $getenv (i32.const 64) (i32.const 14)) (i32.const 3)) (then unreachable))
        (call $take (i32.const 8236))";
    let text = shown(&mut Shim::new(), &showing(fields, body, 47), &input());
    assert_eq!(text, "CARGO_CRATE_NAME=app_lib\0CARGO_PKG_NAME=app\0app");
}

#[test]
fn a_variable_that_is_asked_for_is_the_only_one_named() {
    let asking = |name: &str| {
        let fields = format!(r#"(data (i32.const 64) "{name}")"#);
        let body = format!("(drop (call $getenv (i32.const 64) (i32.const {}))) unreachable", name.len());
        Shim::new().expand(&guest_with(&fields, &body), &input()).answer.failed()
    };
    let refused = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("refused")).map(|line| line.trim().to_owned()).collect()
    };
    let set = asking("HOME");
    assert_eq!(refused(&set), ["belljar refused: environment variable `HOME`"]);
    assert_eq!(set.replace("HOME", "NONE"), asking("NONE"), "set or not makes no difference");
    assert_eq!(refused(&asking("CARGO_PKG_NAME")), Vec::<String>::new());
}

/// Every function, called with numbers that could hurt: none of them panics the expander or writes where it must not.
#[test]
fn every_function_bears_any_numbers() {
    let signatures: &[(&str, &str)] = &[
        ("args_get", "ii"),
        ("args_sizes_get", "ii"),
        ("clock_res_get", "ii"),
        ("clock_time_get", "iIi"),
        ("environ_get", "ii"),
        ("environ_sizes_get", "ii"),
        ("fd_advise", "iIIi"),
        ("fd_allocate", "iII"),
        ("fd_close", "i"),
        ("fd_datasync", "i"),
        ("fd_fdstat_get", "ii"),
        ("fd_fdstat_set_flags", "ii"),
        ("fd_fdstat_set_rights", "iII"),
        ("fd_filestat_get", "ii"),
        ("fd_filestat_set_size", "iI"),
        ("fd_filestat_set_times", "iIIi"),
        ("fd_pread", "iiiIi"),
        ("fd_prestat_dir_name", "iii"),
        ("fd_prestat_get", "ii"),
        ("fd_pwrite", "iiiIi"),
        ("fd_read", "iiii"),
        ("fd_readdir", "iiiIi"),
        ("fd_renumber", "ii"),
        ("fd_seek", "iIii"),
        ("fd_sync", "i"),
        ("fd_tell", "ii"),
        ("fd_write", "iiii"),
        ("path_create_directory", "iii"),
        ("path_filestat_get", "iiiii"),
        ("path_filestat_set_times", "iiiiIIi"),
        ("path_link", "iiiiiii"),
        ("path_open", "iiiiiIIii"),
        ("path_readlink", "iiiiii"),
        ("path_remove_directory", "iii"),
        ("path_rename", "iiiiii"),
        ("path_symlink", "iiiii"),
        ("path_unlink_file", "iii"),
        ("poll_oneoff", "iiii"),
        ("proc_raise", "i"),
        ("random_get", "ii"),
        ("sched_yield", ""),
        ("sock_accept", "iii"),
        ("sock_recv", "iiiiii"),
        ("sock_send", "iiiii"),
        ("sock_shutdown", "ii"),
    ];
    let mut shim = Shim::new();
    for (name, parameters) in signatures {
        let types: String =
            parameters.chars().map(|p| if p == 'i' { "(param i32)" } else { "(param i64)" }).collect();
        let fields = format!(r#"(import "wasi_snapshot_preview1" "{name}" (func $f {types} (result i32)))"#);
        let mut body = String::new();
        for value in ["0", "1", "3", "100", "131071", "-1", "-8", "0x7fffffff", "0x80000000"] {
            let same: String = parameters
                .chars()
                .map(|p| format!("({}.const {value})", if p == 'i' { "i32" } else { "i64" }))
                .collect();
            body.push_str(&format!("(drop (call $f {same}))"));
            // A descriptor that is open, then these numbers.
            if parameters.len() > 1 {
                let rest: String = parameters[1..]
                    .chars()
                    .map(|p| format!("({}.const {value})", if p == 'i' { "i32" } else { "i64" }))
                    .collect();
                let first = if parameters.starts_with('i') { "i32" } else { "i64" };
                body.push_str(&format!(
                    "(drop (call $f ({first}.const 3) {rest}))(drop (call $f ({first}.const 1) {rest}))"
                ));
            }
        }
        let replied = shim.expand(&guest_with(&fields, &format!("{body} (call $same)")), &input());
        let fine = match &replied.answer {
            Answer::Done(_) => true,
            // A write of most of the memory is too much to print, and randomness may fall on the output.
            Answer::Failed(text) => {
                text.contains("BELLJAR_LIMIT_PRINT") || text.contains("its output is not a token stream")
            }
            Answer::Panicked(_) => false,
        };
        assert!(fine, "{name}: {replied:?}");
    }
}
