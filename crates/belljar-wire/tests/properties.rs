//! What every reader of the wire must keep: what was written is read back, and no bytes whatever make it panic, hang or
//! accept something that later reading would trip over.

use belljar_wire::abi::{Entry, EntryKind};
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::message::{self, Expand};
use belljar_wire::tokens::{
    Delimiter, Derived, InTree, Input, InputWriter, OutTree, OutputWriter, PUNCT_CHARS, Shape, SpanRef,
    StreamAt, WireSpan, check_output, read_out, read_stream, read_tree,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Ident(String, bool),
    Literal(String),
    Punct(u8, bool),
    Group(Delimiter, Vec<Tree>),
}

fn delimiter() -> impl Strategy<Value = Delimiter> {
    prop_oneof![
        Just(Delimiter::Parenthesis),
        Just(Delimiter::Brace),
        Just(Delimiter::Bracket),
        Just(Delimiter::None)
    ]
}

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let leaf = prop_oneof![
        ("[a-z_é]{1,9}", any::<bool>()).prop_map(|(text, raw)| Tree::Ident(text, raw)),
        ".{0,200}".prop_map(Tree::Literal),
        (0..PUNCT_CHARS.len(), any::<bool>()).prop_map(|(i, joint)| Tree::Punct(PUNCT_CHARS[i], joint)),
    ];
    let tree = leaf.prop_recursive(5, 60, 8, |inner| {
        (delimiter(), vec(inner, 0..8)).prop_map(|(delimiter, trees)| Tree::Group(delimiter, trees))
    });
    vec(tree, 0..12)
}

fn write(w: &mut InputWriter, trees: &[Tree]) {
    for tree in trees {
        match tree {
            Tree::Ident(text, raw) => drop(w.ident(text, *raw)),
            Tree::Literal(text) => drop(w.literal(text)),
            Tree::Punct(ch, joint) => drop(w.punct(*ch, *joint)),
            Tree::Group(delimiter, inner) => {
                w.begin_group(*delimiter);
                write(w, inner);
                w.end_group();
            }
        }
    }
}

fn input_of(streams: &[Vec<Tree>]) -> Vec<u8> {
    let mut w = InputWriter::new(streams.len() as u16);
    for stream in streams {
        w.begin_stream();
        write(&mut w, stream);
        w.end_stream();
    }
    w.into_bytes()
}

fn read(bytes: &[u8], stream: StreamAt) -> Vec<Tree> {
    let mut r = Reader::at(&bytes[..stream.end], stream.start);
    let mut handle = stream.first_handle;
    let mut trees = Vec::new();
    while !r.is_empty() {
        let tree = read_tree(&mut r, handle).unwrap();
        handle += tree.handles();
        trees.push(match tree {
            InTree::Ident { text, raw } => Tree::Ident(text.to_owned(), raw),
            InTree::Literal { text } => Tree::Literal(text.to_owned()),
            InTree::Punct { ch, joint } => Tree::Punct(ch, joint),
            InTree::Group { delimiter, contents } => Tree::Group(delimiter, read(bytes, contents)),
        });
    }
    assert_eq!(handle, stream.first_handle + stream.handles);
    trees
}

fn lexed_of(trees: &[Tree]) -> Vec<u8> {
    let mut w = InputWriter::lexed();
    w.begin_stream();
    write(&mut w, trees);
    w.end_stream();
    w.into_bytes()
}

/// The handles at which trees begin, groups and leaves apart.
fn handles(trees: &[Tree]) -> (Vec<u32>, Vec<u32>) {
    fn walk(trees: &[Tree], next: &mut u32, found: &mut (Vec<u32>, Vec<u32>)) {
        for tree in trees {
            match tree {
                Tree::Group(_, inner) => {
                    found.0.push(*next);
                    *next += 3;
                    walk(inner, next, found);
                }
                _ => {
                    found.1.push(*next);
                    *next += 1;
                }
            }
        }
    }
    let mut found = (Vec::new(), Vec::new());
    walk(trees, &mut 0, &mut found);
    found
}

/// Bytes made by breaking good ones: most random bytes fail at the first tag and try nothing.
fn broken(good: Vec<u8>, edits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let mut bytes = good;
    for (at, value) in edits {
        if let Some(len) = std::num::NonZero::new(bytes.len()) {
            bytes[*at % len] = *value;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes
}

fn any_output(bytes: &[u8], shape: &Shape) {
    if check_output(bytes, shape, |_| Ok(())).is_ok() {
        // What passed can be walked without a surprise, by a reader that trusts it.
        let mut r = Reader::new(bytes);
        let derived = belljar_wire::tokens::read_derived(&mut r, shape.handles()).unwrap();
        let mut texts = 0;
        while !r.is_empty() {
            match read_out(&mut r, shape.handles(), derived.len() as u32).unwrap() {
                OutTree::Group { end, .. } => assert!(end <= bytes.len()),
                OutTree::Text { lexed, .. } => {
                    let mut r = Reader::new(lexed);
                    let stream = read_stream(&mut r, 0).unwrap();
                    r.end().unwrap();
                    read(lexed, stream);
                    texts += 1;
                }
                OutTree::LexedTree { text, .. }
                | OutTree::LexedContents { text, .. }
                | OutTree::LexedStream { text } => assert!(text < texts),
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn inputs_come_back(first in trees(), second in trees()) {
        let streams = [first, second];
        let bytes = input_of(&streams);
        let input = Input::check(&bytes).unwrap();
        prop_assert_eq!(input.streams.len(), 2);
        for (stream, trees) in input.streams.iter().zip(&streams) {
            prop_assert_eq!(&read(&bytes, *stream), trees);
        }
        let shape = Shape::of(&bytes).unwrap();
        prop_assert_eq!(shape.handles(), input.handles);
    }

    #[test]
    fn broken_inputs_are_refused_or_read(
        trees in trees(), edits in vec((any::<usize>(), any::<u8>()), 0..4), cut in 0usize..9,
    ) {
        let bytes = broken(input_of(&[trees]), &edits, cut);
        if let Ok(input) = Input::check(&bytes) {
            for stream in &input.streams {
                read(&bytes, *stream);
            }
        }
        prop_assert_eq!(Shape::of(&bytes).is_ok(), Input::check(&bytes).is_ok());
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Input::check(&bytes);
        let _ = Expand::read(&bytes);
        let _ = Entry::read_section(&bytes);
        let shape = Shape::of(&input_of(&[vec![Tree::Group(Delimiter::Brace, vec![])]])).unwrap();
        any_output(&bytes, &shape);
        let mut buffer = Vec::new();
        let mut from = &bytes[..];
        while let Ok(Some(_)) = message::receive(&mut from, &mut buffer) {}
    }

    #[test]
    fn broken_outputs_are_refused_or_walked(
        new in trees(), edits in vec((any::<usize>(), any::<u8>()), 0..4), cut in 0usize..9,
    ) {
        fn put(w: &mut OutputWriter, trees: &[Tree]) {
            for tree in trees {
                match tree {
                    Tree::Ident(text, raw) => w.ident(text, *raw, WireSpan::CALL_SITE),
                    Tree::Literal(text) => w.literal(text, WireSpan::of_handle(1)),
                    Tree::Punct(ch, joint) => w.punct(*ch, *joint, WireSpan::MIXED_SITE),
                    Tree::Group(delimiter, inner) => {
                        let begun = w.begin_group(*delimiter, WireSpan::of_handle(3));
                        put(w, inner);
                        w.end_group(begun);
                    }
                }
            }
        }
        let shape = Shape::of(&input_of(&[vec![Tree::Group(Delimiter::Brace, vec![])]])).unwrap();
        let mut w = OutputWriter::new();
        w.ref_tree(0);
        w.ref_contents(0);
        w.ref_stream(0);
        w.text("a text", &lexed_of(&new));
        let group = w.begin_group(Delimiter::None, WireSpan::CALL_SITE);
        w.lexed_stream(0);
        w.end_group(group);
        let (groups, leaves) = handles(&new);
        leaves.iter().for_each(|leaf| w.lexed_tree(0, *leaf));
        w.text("", &lexed_of(&[]));
        groups.iter().for_each(|group| {
            w.lexed_tree(0, *group);
            w.lexed_contents(0, *group);
        });
        w.lexed_stream(1);
        put(&mut w, &new);
        let good = w.finish(&[Derived::ResolvedAt(WireSpan(0), WireSpan::of_handle(2))]);
        prop_assert!(check_output(&good, &shape, |_| Ok(())).is_ok());
        any_output(&broken(good, &edits, cut), &shape);
    }

    #[test]
    fn texts_come_back(text in ".{0,40}", trees in trees()) {
        let lexed = lexed_of(&trees);
        let mut w = OutputWriter::new();
        w.text(&text, &lexed);
        w.lexed_stream(0);
        w.lexed_tree(300, 70_000);
        w.lexed_contents(1, 2);
        let bytes = w.finish(&[]);
        let mut r = Reader::at(&bytes, 1);
        let mut next = || read_out(&mut r, 0, 0).unwrap();
        prop_assert_eq!(next(), OutTree::Text { text: &text, lexed: &lexed });
        prop_assert_eq!(next(), OutTree::LexedStream { text: 0 });
        prop_assert_eq!(next(), OutTree::LexedTree { text: 300, handle: 70_000 });
        prop_assert_eq!(next(), OutTree::LexedContents { text: 1, handle: 2 });
        prop_assert!(r.is_empty());
        let shape = Shape::of_lexed(&lexed).unwrap();
        let (groups, leaves) = handles(&trees);
        prop_assert_eq!(shape.handles() as usize, 3 * groups.len() + leaves.len());
    }

    #[test]
    fn broken_lexed_streams_are_refused(
        trees in trees(), edits in vec((any::<usize>(), any::<u8>()), 0..4), cut in 0usize..9,
    ) {
        let bytes = broken(lexed_of(&trees), &edits, cut);
        let good = Shape::of_lexed(&bytes).is_ok();
        let shape = Shape::of(&input_of(&[vec![]])).unwrap();
        let mut w = OutputWriter::new();
        w.text("a", &bytes);
        let output = w.finish(&[]);
        // In an output, what is cut off can be what follows.
        prop_assert!(!good || check_output(&output, &shape, |_| Ok(())).is_ok());
        any_output(&output, &shape);
    }

    #[test]
    fn messages_come_back(payload in vec(any::<u8>(), 0..500), kind in any::<u8>()) {
        let mut frame = Vec::new();
        message::send(&mut frame, kind, &payload).unwrap();
        let mut buffer = Vec::new();
        let mut from = &frame[..];
        prop_assert_eq!(message::receive(&mut from, &mut buffer).unwrap(), Some(kind));
        prop_assert_eq!(buffer, payload);
        prop_assert_eq!(message::receive(&mut from, &mut Vec::new()).unwrap(), None);
        for cut in 1..frame.len() {
            prop_assert!(message::receive(&mut &frame[..cut], &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn entries_come_back(name in "[A-Za-z]{1,9}", helpers in vec("[a-z]{1,5}", 0..4), docs in ".{0,40}",
                         hidden in any::<bool>(), deprecated in proptest::option::of((".{0,9}", ".{0,9}"))) {
        let entry = Entry { kind: EntryKind::Derive, name, helpers, hidden, docs, deprecated };
        let mut w = Writer::new();
        entry.write(&mut w);
        entry.write(&mut w);
        prop_assert_eq!(Entry::read_section(w.as_bytes()).unwrap(), vec![entry.clone(), entry]);
    }

    #[test]
    fn varints_come_back(n in any::<u32>()) {
        let mut w = Writer::new();
        w.varint(n);
        let mut r = Reader::new(w.as_bytes());
        prop_assert_eq!(r.varint().unwrap(), n);
        prop_assert!(r.end().is_ok());
    }
}

#[test]
fn references_must_exist() {
    let bytes = input_of(&[vec![Tree::Ident("a".into(), false), Tree::Group(Delimiter::Brace, vec![])]]);
    let shape = Shape::of(&bytes).unwrap();
    let check = |put: &dyn Fn(&mut OutputWriter)| {
        let mut w = OutputWriter::new();
        put(&mut w);
        check_output(&w.finish(&[]), &shape, |_| Ok(()))
    };
    assert!(check(&|w| w.ref_tree(0)).is_ok());
    assert!(check(&|w| w.ref_tree(1)).is_ok());
    assert!(check(&|w| w.ref_contents(1)).is_ok());
    assert!(check(&|w| w.ref_tree(2)).is_err(), "a delimiter is no tree");
    assert!(check(&|w| w.ref_contents(0)).is_err(), "a leaf has no contents");
    assert!(check(&|w| w.ref_tree(4)).is_err());
    assert!(check(&|w| w.ref_stream(1)).is_err());
    assert!(check(&|w| w.ident("x", false, WireSpan::of_handle(3))).is_ok());
    assert!(check(&|w| w.ident("x", false, WireSpan::of_handle(4))).is_err(), "no derived span");
}

#[test]
fn references_into_texts_must_exist() {
    let shape = Shape::of(&input_of(&[vec![Tree::Punct(b',', false); 9]])).unwrap();
    let lexed = lexed_of(&[Tree::Ident("a".into(), false), Tree::Group(Delimiter::Brace, vec![])]);
    let check = |put: &dyn Fn(&mut OutputWriter)| {
        let mut w = OutputWriter::new();
        w.text("a{}", &lexed);
        put(&mut w);
        check_output(&w.finish(&[]), &shape, |_| Ok(()))
    };
    assert!(check(&|_| {}).is_ok(), "a text need not be used");
    assert!(check(&|w| w.lexed_stream(0)).is_ok());
    assert!(check(&|w| w.lexed_tree(0, 0)).is_ok());
    assert!(check(&|w| w.lexed_tree(0, 1)).is_ok());
    assert!(check(&|w| w.lexed_contents(0, 1)).is_ok());
    assert!(check(&|w| w.lexed_tree(0, 2)).is_err(), "a delimiter is no tree");
    assert!(check(&|w| w.lexed_contents(0, 0)).is_err(), "a leaf has no contents");
    assert!(check(&|w| w.lexed_contents(0, 3)).is_err());
    assert!(check(&|w| w.lexed_tree(0, 4)).is_err(), "the input has such a handle, the text has not");
    assert!(check(&|w| w.lexed_tree(0, u32::MAX)).is_err());
    for number in [1, u32::MAX] {
        assert!(check(&|w| w.lexed_stream(number)).is_err());
        assert!(check(&|w| w.lexed_tree(number, 0)).is_err());
        assert!(check(&|w| w.lexed_contents(number, 1)).is_err());
    }
    assert!(check(&|w| w.ident("x", false, WireSpan::of_handle(9))).is_err(), "its tokens name no span");
    // A text is there from where it stands on.
    let mut w = OutputWriter::new();
    w.lexed_stream(0);
    w.text("a{}", &lexed);
    assert!(check_output(&w.finish(&[]), &shape, |_| Ok(())).is_err());
}

#[test]
fn whoever_checks_decides_about_texts() {
    let shape = Shape::of(&input_of(&[vec![]])).unwrap();
    let lexed = lexed_of(&[Tree::Ident("a".into(), false)]);
    let mut w = OutputWriter::new();
    w.text("a", &lexed);
    let output = w.finish(&[]);
    let mut seen = None;
    let checked = check_output(&output, &shape, |new| {
        seen = Some(matches!(*new, OutTree::Text { text: "a", lexed: of } if of == lexed));
        Err("another text")
    });
    assert_eq!(seen, Some(true));
    assert_eq!(checked.unwrap_err().expected, "another text");
}

#[test]
fn derived_spans_name_only_earlier_ones() {
    let shape = Shape::of(&input_of(&[vec![]])).unwrap();
    let derived = |d: &[Derived]| check_output(&OutputWriter::new().finish(d), &shape, |_| Ok(()));
    let itself = WireSpan::of_handle(0);
    assert_eq!(itself.resolve(0), SpanRef::Derived(0));
    assert!(derived(&[Derived::Start(WireSpan::CALL_SITE), Derived::End(itself)]).is_ok());
    assert!(derived(&[Derived::Start(itself)]).is_err());
}

#[test]
fn references_can_not_be_multiplied_without_end() {
    let many = vec![Tree::Punct(b',', false); 100_000];
    let shape = Shape::of(&input_of(&[many])).unwrap();
    let repeated = |times: usize| {
        let mut w = OutputWriter::new();
        (0..times).for_each(|_| w.ref_stream(0));
        check_output(&w.finish(&[]), &shape, |_| Ok(()))
    };
    assert!(repeated(200).is_ok());
    assert!(repeated(201).is_err());
}

#[test]
fn texts_can_not_be_multiplied_without_end() {
    let shape = Shape::of(&input_of(&[vec![]])).unwrap();
    let lexed = lexed_of(&vec![Tree::Punct(b',', false); 100_000]);
    let repeated = |times: usize| {
        let mut w = OutputWriter::new();
        w.text("a long one", &lexed);
        (0..times).for_each(|_| w.lexed_stream(0));
        check_output(&w.finish(&[]), &shape, |_| Ok(()))
    };
    // The text itself counts, too.
    assert!(repeated(198).is_ok());
    assert!(repeated(200).is_err());
    let group = lexed_of(&[Tree::Group(Delimiter::Brace, vec![Tree::Punct(b',', false); 1_000_000])]);
    for put in [OutputWriter::lexed_tree, OutputWriter::lexed_contents] {
        let repeated = |times: usize| {
            let mut w = OutputWriter::new();
            w.text("a group", &group);
            (0..times).for_each(|_| put(&mut w, 0, 0));
            check_output(&w.finish(&[]), &shape, |_| Ok(()))
        };
        assert!(repeated(18).is_ok());
        assert!(repeated(20).is_err());
    }
}

#[test]
fn the_depth_of_texts_counts() {
    let shape = Shape::of(&input_of(&[vec![]])).unwrap();
    let deep = |depth| (0..depth).fold(vec![], |inner, _| vec![Tree::Group(Delimiter::Brace, inner)]);
    let nested = |around: usize, within: usize| {
        let mut w = OutputWriter::new();
        w.text("deep", &lexed_of(&deep(within)));
        let begun: Vec<_> =
            (0..around).map(|_| w.begin_group(Delimiter::Parenthesis, WireSpan::CALL_SITE)).collect();
        w.lexed_stream(0);
        begun.into_iter().rev().for_each(|b| w.end_group(b));
        check_output(&w.finish(&[]), &shape, |_| Ok(()))
    };
    let most = belljar_wire::tokens::MAX_DEPTH;
    assert!(nested(most - 500, 500).is_ok());
    assert!(nested(most - 499, 500).is_err());
}

#[test]
fn depth_is_limited() {
    let shape = Shape::of(&input_of(&[vec![]])).unwrap();
    let nested = |depth: usize| {
        let mut w = OutputWriter::new();
        let begun: Vec<_> =
            (0..depth).map(|_| w.begin_group(Delimiter::Parenthesis, WireSpan::CALL_SITE)).collect();
        begun.into_iter().rev().for_each(|b| w.end_group(b));
        check_output(&w.finish(&[]), &shape, |_| Ok(()))
    };
    assert!(nested(belljar_wire::tokens::MAX_DEPTH).is_ok());
    assert!(nested(belljar_wire::tokens::MAX_DEPTH + 1).is_err());
}

#[test]
fn a_length_can_not_claim_memory() {
    // 256 MiB announced, one byte sent: refused without making room for it.
    let mut frame = (256u32 << 20).to_le_bytes().to_vec();
    frame.push(1);
    frame.push(0);
    let mut buffer = Vec::new();
    assert!(message::receive(&mut &frame[..], &mut buffer).is_err());
    assert!(buffer.capacity() < 1 << 16);
}

#[test]
fn an_output_is_as_large_as_what_it_refers_to() {
    let bytes = input_of(&[
        vec![Tree::Ident("abc".into(), true)],
        vec![
            Tree::Literal("12".into()),
            Tree::Group(Delimiter::Brace, vec![Tree::Ident("ab".into(), false)]),
        ],
    ]);
    let shape = Shape::of(&bytes).unwrap();
    let lexed = lexed_of(&[Tree::Ident("a".into(), false), Tree::Group(Delimiter::Brace, vec![])]);
    let of = |put: &dyn Fn(&mut OutputWriter)| {
        let mut w = OutputWriter::new();
        put(&mut w);
        let expanded = check_output(&w.finish(&[]), &shape, |_| Ok(())).unwrap();
        (expanded.tokens, expanded.text)
    };
    // A space stands behind each token, and a group counts as 60.
    assert_eq!(of(&|w| w.ref_tree(0)), (1, 6));
    assert_eq!(of(&|w| w.ref_stream(0)), (1, 6));
    assert_eq!(of(&|w| w.ref_tree(1)), (1, 3));
    assert_eq!(of(&|w| w.ref_tree(2)), (4, 63));
    assert_eq!(of(&|w| w.ref_contents(2)), (4, 63));
    assert_eq!(of(&|w| w.ref_tree(5)), (1, 3));
    assert_eq!(of(&|w| w.ref_stream(1)), (5, 66));
    assert_eq!(of(&|w| (0..1000).for_each(|_| w.ref_stream(1))), (5000, 66_000));
    assert_eq!(of(&|w| w.punct(b',', false, WireSpan::CALL_SITE)), (1, 2));
    assert_eq!(of(&|w| w.text("a{}", &lexed)), (5, 4));
    let twice = |w: &mut OutputWriter| {
        w.text("a{}", &lexed);
        w.lexed_stream(0);
        w.lexed_tree(0, 1);
    };
    assert_eq!(of(&twice), (5 + 4 + 3, 4 + 62 + 60));
}

#[test]
fn what_is_printed_is_longer_the_deeper_it_stands() {
    let bytes = input_of(&[vec![Tree::Group(Delimiter::Brace, vec![Tree::Ident("a".into(), false)])]]);
    let shape = Shape::of(&bytes).unwrap();
    let mut w = OutputWriter::new();
    let group = w.begin_group(Delimiter::Brace, WireSpan::CALL_SITE);
    w.ref_tree(0);
    w.end_group(group);
    let expanded = check_output(&w.finish(&[]), &shape, |_| Ok(())).unwrap();
    assert_eq!(expanded.depth, 2);
    assert_eq!(expanded.printed(), 122 + 6 * 4 * 2);
}
