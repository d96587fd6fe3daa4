//! The conversation: what a shim may send, and what becomes of the rest.

use std::io::Write;

use belljar_expander::ServeError;
use belljar_store::ModuleDigest;
use belljar_wire::bytes::Writer;
use belljar_wire::message::{self, kind};

use crate::support::{Answer, SITE, Shim, guest, guest_with, input};

#[test]
fn a_macro_that_returns_its_input_does() {
    let mut shim = Shim::new();
    // `_initialize` has run, and each expansion has a new instance.
    let wat = guest(
        "(if (i32.ne (global.get $started) (i32.const 1)) (then unreachable))
         (global.set $started (i32.const 2))
         (call $same)",
    );
    for _ in 0..3 {
        assert_eq!(shim.expand(&wat, &input()).answer, Answer::Done(vec![0, 0x22, 0]));
    }
    shim.end().unwrap();
}

#[test]
fn native_code_is_kept_and_used_again() {
    let mut shim = Shim::new();
    let module = shim.put(&guest("(call $same)"));
    belljar_expander::precompile(&shim.store, &module).unwrap();
    let native = shim.store.usage(belljar_store::Area::Native);
    assert!(native.bytes > 0);
    // Without the module, only its native code is left to run.
    std::fs::remove_file(shim.store.root().join(format!("modules/{module}.wasm"))).unwrap();
    assert!(matches!(shim.call(module, &input(), |_| vec![]).answer, Answer::Done(_)));
    assert_eq!(shim.store.usage(belljar_store::Area::Native), native);
}

#[test]
fn damaged_native_code_is_made_again() {
    let mut shim = Shim::new();
    let module = shim.put(&guest("(call $same)"));
    belljar_expander::precompile(&shim.store, &module).unwrap();
    let dir = shim.store.root().join("native").read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    for file in dir.read_dir_utf8().unwrap().map(|f| f.unwrap().into_path()) {
        if file.extension() == Some("cwasm") {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
    }
    assert!(matches!(shim.call(module, &input(), |_| vec![]).answer, Answer::Done(_)));
}

#[test]
fn a_store_that_cannot_be_written_is_enough_to_run() {
    use std::os::unix::fs::PermissionsExt;
    let mut shim = Shim::new();
    let module = shim.put(&guest("(call $same)"));
    let set = |mode| {
        for dir in ["native", "tmp", "locks", ""] {
            let dir = shim.store.root().join(dir);
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o500);
    shim.request(module, &input());
    let replied = shim.replied(&mut |_| vec![]).unwrap();
    // So that it can be removed.
    for dir in ["native", "tmp", "locks", ""] {
        let dir = shim.store.root().join(dir);
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
}

#[test]
fn a_module_that_is_not_there_says_what_to_do() {
    let mut shim = Shim::new();
    let text = shim.call(ModuleDigest::of(b"never put"), &input(), |_| vec![]).answer.failed();
    assert!(text.starts_with("belljar: `m!` of evil 1.2.3 can't be expanded: its module "), "{text}");
    assert!(text.contains("help: build again with `cargo belljar`"), "{text}");
}

#[test]
fn what_is_no_module_is_an_error() {
    let mut shim = Shim::new();
    let module = shim.store.put_module(b"\0asm garbage").unwrap();
    let text = shim.call(module, &input(), |_| vec![]).answer.failed();
    assert!(text.contains("is not WebAssembly that belljar can run"), "{text}");

    for (wat, needle) in [
        ("(module)", "has no memory `memory`"),
        (r#"(module (memory (export "memory") 1))"#, "has no function `belljar_alloc`"),
        (
            r#"(module (memory (export "memory") 1) (func (export "belljar_alloc") (param i32) (result i32) (i32.const 0)))"#,
            "has no function `belljar function m` of the right type",
        ),
        (
            r#"(module (import "wasi_snapshot_preview1" "sock_open" (func)) (memory (export "memory") 1))"#,
            "wants `wasi_snapshot_preview1.sock_open` from its host",
        ),
        (
            r#"(module (import "belljar" "files" (func)) (import "env" "memory" (memory 1)))"#,
            "wants `belljar.files`, `env.memory` from its host",
        ),
        (
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (memory (export "memory") 1)
                (func (export "belljar_alloc")))"#,
            "wants ",
        ),
    ] {
        let text = shim.expand(wat, &input()).answer.failed();
        assert!(text.contains(needle), "{text}");
        assert!(text.contains("help: "), "{text}");
    }
}

#[test]
fn a_function_of_another_host_fails_only_when_it_is_called() {
    let mut shim = Shim::new();
    let import = r#"(import "__wbindgen_placeholder__" "__wbindgen_describe" (func $foreign (param i32)))
                    (import "__wbindgen_placeholder__" "__wbindgen_describe" (func $again (param i32)))"#;
    let idle = guest_with(import, "(call $same)");
    assert!(matches!(shim.expand(&idle, &input()).answer, Answer::Done(_)));
    let calling = guest_with(import, "(call $foreign (i32.const 1)) (call $same)");
    let text = shim.expand(&calling, &input()).answer.failed();
    assert!(text.contains("it called `__wbindgen_placeholder__.__wbindgen_describe`"), "{text}");
}

#[test]
fn another_version_of_the_protocol_is_told_so() {
    let mut shim = Shim::new();
    message::send(&mut &shim.stream, kind::EXPAND, &[0xff, 0xff, 1, 2, 3]).unwrap();
    let text = shim.replied(&mut |_| vec![]).unwrap().answer.failed();
    assert!(text.contains("made by another version of belljar"), "{text}");
    // The conversation goes on.
    assert!(matches!(shim.expand(&guest("(call $same)"), &input()).answer, Answer::Done(_)));
}

#[test]
fn a_request_that_can_not_be_read_is_an_error_and_no_end() {
    let mut shim = Shim::new();
    let wat = guest("(call $same)");
    let module = shim.put(&wat);
    let version = belljar_wire::PROTOCOL.to_le_bytes();
    for bad in [&[][..], &version[..1], &version, &[version, [3, 3]].concat()] {
        message::send(&mut &shim.stream, kind::EXPAND, bad).unwrap();
        shim.replied(&mut |_| vec![]).unwrap().answer.failed();
    }
    let whole = input();
    for end in 0..whole.len() {
        let text = shim.call(module, &whole[..end], |_| vec![]).answer.failed();
        assert!(text.contains("what the compiler's side sent can't be read"), "{text}");
    }
    assert!(matches!(shim.call(module, &whole, |_| vec![]).answer, Answer::Done(_)));
}

#[test]
fn where_the_compiler_runs_may_be_said_before_a_request() {
    let mut shim = Shim::new();
    for at in [0_u16, 1, u16::MAX, 0] {
        message::send(&mut &shim.stream, kind::AT, &at.to_le_bytes()).unwrap();
        assert!(matches!(shim.expand(&guest("(call $same)"), &input()).answer, Answer::Done(_)));
    }
    for bad in [&[][..], &[0], &[0, 0, 0]] {
        let shim = Shim::new();
        message::send(&mut &shim.stream, kind::AT, bad).unwrap();
        assert!(matches!(shim.ended().unwrap_err(), ServeError::Unexpected { kind: kind::AT, .. }));
    }
}

#[test]
fn where_a_macro_is_called_is_said_in_whole_or_not_at_all() {
    let mut w = Writer::new();
    SITE.write(&mut w);
    let site = w.into_bytes();
    for bad in (0..site.len()).map(|end| &site[..end]).chain([&[site.as_slice(), &[0]].concat()[..]]) {
        let shim = Shim::new();
        message::send(&mut &shim.stream, kind::SITE, bad).unwrap();
        assert!(matches!(shim.ended().unwrap_err(), ServeError::Unexpected { kind: kind::SITE, .. }));
    }
}

#[test]
fn frames_that_break_off_or_claim_too_much_end_the_conversation() {
    for bytes in
        [&[1, 0][..], &[9, 0, 0, 0, kind::EXPAND, 1, 2], &[0, 0, 0, 0, 1], &[0xff, 0xff, 0xff, 0xff, 1]]
    {
        let shim = Shim::new();
        (&shim.stream).write_all(bytes).unwrap();
        let error = shim.end().unwrap_err();
        assert!(matches!(error, ServeError::Connection { .. }), "{error}");
    }
    let shim = Shim::new();
    message::send(&mut &shim.stream, kind::ANSWER, b"to nothing").unwrap();
    assert!(matches!(shim.ended().unwrap_err(), ServeError::Unexpected { kind: kind::ANSWER, .. }));
}

#[test]
fn a_shim_that_goes_away_ends_the_expander() {
    let shim = Shim::new();
    // Asks the line of the call site.
    let module = shim.put(&guest_with(
        r#"(data (i32.const 64) "\01\00\00")"#,
        "(drop (call $ask (i32.const 64) (i32.const 3))) (call $same)",
    ));
    shim.request(module, &input());
    let mut buffer = Vec::new();
    assert_eq!(message::receive(&mut &shim.stream, &mut buffer).unwrap(), Some(kind::ASK));
    assert!(matches!(shim.end().unwrap_err(), ServeError::Connection { .. }));
}

#[test]
fn a_limit_that_can_not_be_read_fails_with_its_name() {
    let bad = belljar_expander::Limits::from_variables(|name| {
        (name == "BELLJAR_LIMIT_TIME").then(|| "soon".to_owned())
    });
    let mut shim = Shim::with(|config| config.limits = bad);
    let text = shim.expand(&guest("(call $same)"), &input()).answer.failed();
    assert!(text.contains("BELLJAR_LIMIT_TIME is `soon`"), "{text}");
}
