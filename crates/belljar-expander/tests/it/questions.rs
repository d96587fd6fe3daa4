//! Questions and their answers.

use belljar_expander::ServeError;

use crate::support::{Answer, Shim, guest_with, input, wat_bytes};

/// A macro that asks, takes the answer, prints it, and returns its input.
fn asking(question: &[u8]) -> String {
    guest_with(
        &format!(r#"(data (i32.const 64) "{}")"#, wat_bytes(question)),
        &format!(
            "(local.set $i (call $ask (i32.const 64) (i32.const {})))
             (call $take (i32.const 8192))
             (i32.store (i32.const 32) (i32.const 8192))
             (i32.store (i32.const 36) (local.get $i))
             (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
             (call $same)",
            question.len()
        ),
    )
}

#[test]
fn a_question_goes_to_rustc_and_its_answer_to_the_guest() {
    let mut shim = Shim::new();
    let cases: [(&[u8], &[u8]); 8] = [
        (&[1, 0, 2], &[42]),
        (&[2, 1, 3, 2, 7], &[1]),
        (&[3, 0, 0], b"\x08src/a.rs"),
        (&[4, 0, 0], &[0]),
        (&[5, 0, 1], b"\x01\x05a (1)"),
        (&[6, 0, 0x22, 0], b"\x05a (1)"),
        (b"\x09e\xcc\x81", b"\x01\x02\xc3\xa9"),
        (b"\x09\xe2\x80\x93", &[0]),
    ];
    for (question, answer) in cases {
        let module = shim.put(&asking(question));
        let replied = shim.call(module, &input(), |asked| {
            assert_eq!(asked, question);
            answer.to_vec()
        });
        assert_eq!(replied.stdout.as_bytes(), answer);
        assert!(matches!(replied.answer, Answer::Done(_)));
    }
}

#[test]
fn plain_text_is_lexed_here_and_doubtful_text_by_rustc() {
    let mut shim = Shim::new();
    let replied = shim.expand(&asking(b"\x07a+1"), &input());
    assert_eq!(replied.stdout, "\u{1}\u{3}\0\0\0\u{8}\0\0\0\u{1}\u{1}a\u{4}+\u{3}\u{1}1");

    let module = shim.put(&asking(b"\x07a )"));
    let replied = shim.call(module, &input(), |asked| {
        assert_eq!(asked, b"\x07a )");
        b"\0\x21unexpected closing delimiter: `)`".to_vec()
    });
    assert_eq!(replied.stdout, "\0!unexpected closing delimiter: `)`");

    // rustc has panicked.
    let module = shim.put(&asking(b"\x07'"));
    assert_eq!(shim.call(module, &input(), |_| vec![2]).stdout, "\u{2}");
}

#[test]
fn a_question_that_the_shim_can_not_answer_ends_the_expansion_only() {
    let mut shim = Shim::new();
    let module = shim.put(&asking(&[1, 0, 2]));
    let text = shim.call(module, &input(), |_| vec![]).answer.failed();
    assert!(text.contains("the compiler could not answer its question"), "{text}");
    assert!(matches!(shim.call(module, &input(), |_| vec![7]).answer, Answer::Done(_)));
}

#[test]
fn an_answer_that_is_none_ends_the_conversation() {
    for (question, answer) in [
        (&[1, 0, 2][..], &[0xff; 5][..]),
        (&[1, 0, 2], &[1, 2]),
        (&[4, 0, 2], &[7]),
        (&[3, 0, 2], &[9, b'a']),
        (b"\x07)", &[3]),
        (b"\x07)", &[2, 0]),
        (b"\x09\xc3\xa9", &[2]),
        (b"\x09\xc3\xa9", &[1]),
        (b"\x07)", &[0, 9, b'a']),
        (b"\x07)", &[1, 9, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut shim = Shim::new();
        let module = shim.put(&asking(question));
        shim.request(module, &input());
        assert!(shim.replied(&mut |_| answer.to_vec()).is_none());
        let error = shim.ended().unwrap_err();
        assert!(matches!(error, ServeError::Answer { .. }), "{error}");
    }
}
