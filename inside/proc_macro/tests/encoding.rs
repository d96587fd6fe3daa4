//! What is written for a stream means that stream: references where a token is still the input's, new tokens elsewhere.

use std::cell::RefCell;
use std::rc::Rc;

use belljar_wire::abi::question;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::tokens::{self, InputWriter, OutTree, OutputWriter, SpanRef, WireSpan};
use proc_macro::__belljar::{Host, run, set_host};
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use proptest::prelude::*;

/// A tree as it is compared: text and the handle it came with.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Leaf(String, SpanRef),
    Group(tokens::Delimiter, SpanRef, Vec<Plain>),
}

#[derive(Debug, Clone)]
enum Tree {
    Ident(String, bool),
    Literal(String),
    Punct(u8, bool),
    Group(tokens::Delimiter, Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        ("[a-zA-Z_][a-z0-9_]{0,8}", any::<bool>()).prop_map(|(text, raw)| Tree::Ident(text, raw)),
        "[0-9]{1,5}(u8|i64|)".prop_map(Tree::Literal),
        "\"[ -!#-Z]{0,8}\"".prop_map(Tree::Literal),
        (prop::sample::select(tokens::PUNCT_CHARS), any::<bool>())
            .prop_map(|(ch, joint)| Tree::Punct(ch, joint)),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let delimiter = prop::sample::select(vec![
            tokens::Delimiter::Parenthesis,
            tokens::Delimiter::Brace,
            tokens::Delimiter::Bracket,
            tokens::Delimiter::None,
        ]);
        (delimiter, prop::collection::vec(inner, 0..8)).prop_map(|(d, trees)| Tree::Group(d, trees))
    })
}

fn write(out: &mut InputWriter, trees: &[Tree]) {
    for tree in trees {
        match tree {
            Tree::Ident(text, raw) => drop(out.ident(text, *raw)),
            Tree::Literal(text) => drop(out.literal(text)),
            Tree::Punct(ch, joint) => drop(out.punct(*ch, *joint)),
            Tree::Group(delimiter, trees) => {
                out.begin_group(*delimiter);
                write(out, trees);
                out.end_group();
            }
        }
    }
}

fn input(streams: &[&[Tree]]) -> &'static [u8] {
    let mut out = InputWriter::new(streams.len() as u16);
    for stream in streams {
        out.begin_stream();
        write(&mut out, stream);
        out.end_stream();
    }
    out.into_bytes().leak()
}

fn leaf_text(raw: bool, text: &str) -> String {
    if raw { format!("r#{text}") } else { text.to_owned() }
}

fn punct_text(ch: u8, joint: bool) -> String {
    format!("{}{}", char::from(ch), if joint { "joint" } else { "" })
}

/// The trees of an input's stream, each with its handle.
fn input_trees(bytes: &[u8], at: tokens::StreamAt) -> Vec<Plain> {
    let mut r = Reader::at(&bytes[..at.end], at.start);
    let mut handle = at.first_handle;
    let mut trees = Vec::new();
    while !r.is_empty() {
        let tree = tokens::read_tree(&mut r, handle).unwrap();
        let span = SpanRef::Handle(handle);
        handle += tree.handles();
        trees.push(match tree {
            tokens::InTree::Ident { text, raw } => Plain::Leaf(leaf_text(raw, text), span),
            tokens::InTree::Literal { text } => Plain::Leaf(text.to_owned(), span),
            tokens::InTree::Punct { ch, joint } => Plain::Leaf(punct_text(ch, joint), span),
            tokens::InTree::Group { delimiter, contents } => {
                Plain::Group(delimiter, span, input_trees(bytes, contents))
            }
        });
    }
    trees
}

fn find(trees: &[Plain], handle: u32) -> Option<&Plain> {
    trees.iter().find_map(|tree| match tree {
        Plain::Leaf(_, span) | Plain::Group(_, span, _) if *span == SpanRef::Handle(handle) => Some(tree),
        Plain::Leaf(..) => None,
        Plain::Group(_, _, inside) => find(inside, handle),
    })
}

/// An output with its references replaced by what they mean, and how many new tokens it has.
fn meaning(input: &[u8], output: &[u8]) -> (Vec<Plain>, usize) {
    let shape = tokens::Shape::of(input).unwrap();
    tokens::check_output(output, &shape, |_| Ok(())).unwrap();
    let read = tokens::Input::read(input).unwrap();
    let streams: Vec<Vec<Plain>> = read.streams.iter().map(|at| input_trees(input, *at)).collect();
    let all: Vec<Plain> = streams.iter().flatten().cloned().collect();
    let mut r = Reader::new(output);
    let derived = tokens::read_derived(&mut r, read.handles).unwrap().len() as u32;
    let mut new = 0;
    let end = output.len();
    let trees = meanings(&mut r, end, read.handles, derived, &streams, &all, &mut new);
    (trees, new)
}

fn meanings(
    r: &mut Reader<'_>,
    end: usize,
    handles: u32,
    derived: u32,
    streams: &[Vec<Plain>],
    all: &[Plain],
    new: &mut usize,
) -> Vec<Plain> {
    let mut trees = Vec::new();
    while r.pos() < end {
        let leaf = match tokens::read_out(r, handles, derived).unwrap() {
            OutTree::RefStream(n) => {
                trees.extend(streams[usize::from(n)].iter().cloned());
                continue;
            }
            OutTree::RefTree(handle) => {
                trees.push(find(all, handle).unwrap().clone());
                continue;
            }
            OutTree::RefContents(handle) => match find(all, handle).unwrap() {
                Plain::Group(_, _, inside) => {
                    trees.extend(inside.iter().cloned());
                    continue;
                }
                Plain::Leaf(..) => panic!("the contents of a leaf"),
            },
            OutTree::Group { delimiter, span, end } => {
                *new += 1;
                let inside = meanings(r, end, handles, derived, streams, all, new);
                trees.push(Plain::Group(delimiter, span.resolve(handles), inside));
                continue;
            }
            OutTree::Text { .. }
            | OutTree::LexedTree { .. }
            | OutTree::LexedContents { .. }
            | OutTree::LexedStream { .. } => panic!("nothing was lexed"),
            OutTree::Ident { text, raw, span } => (leaf_text(raw, text), span),
            OutTree::Literal { text, span } => (text.to_owned(), span),
            OutTree::Punct { ch, joint, span } => (punct_text(ch, joint), span),
        };
        *new += 1;
        trees.push(Plain::Leaf(leaf.0, leaf.1.resolve(handles)));
    }
    trees
}

fn remade(stream: TokenStream, respan: &dyn Fn(Span) -> Span) -> TokenStream {
    let remake = |tree: TokenTree| {
        let span = respan(tree.span());
        let mut new = match tree {
            TokenTree::Group(group) => Group::new(group.delimiter(), remade(group.stream(), respan)).into(),
            TokenTree::Ident(ident) => match ident.to_string().strip_prefix("r#") {
                Some(raw) => Ident::new_raw(raw, span).into(),
                None => Ident::new(&ident.to_string(), span).into(),
            },
            TokenTree::Punct(punct) => Punct::new(punct.as_char(), punct.spacing()).into(),
            TokenTree::Literal(literal) => TokenTree::from(literal.to_string().parse::<Literal>().unwrap()),
        };
        new.set_span(span);
        new
    };
    stream.into_iter().map(remake).collect()
}

fn everything_at(trees: &[Plain], at: SpanRef) -> Vec<Plain> {
    let put = |tree: &Plain| match tree {
        Plain::Leaf(text, _) => Plain::Leaf(text.clone(), at),
        Plain::Group(delimiter, _, inside) => Plain::Group(*delimiter, at, everything_at(inside, at)),
    };
    trees.iter().map(put).collect()
}

/// Raw identifiers that can't be raw are made plain.
fn possible(trees: Vec<Tree>) -> Vec<Tree> {
    let fix = |tree| match tree {
        Tree::Ident(text, true) if ["_", "super", "self", "Self", "crate"].contains(&text.as_str()) => {
            Tree::Ident(text, false)
        }
        Tree::Group(delimiter, trees) => Tree::Group(delimiter, possible(trees)),
        tree => tree,
    };
    trees.into_iter().map(fix).collect()
}

proptest! {
    #[test]
    fn passing_on_is_referring(first in prop::collection::vec(tree(), 0..10), second in prop::collection::vec(tree(), 0..10)) {
        let input = input(&[&first, &second]);
        let read = tokens::Input::check(input).unwrap();
        let whole: Vec<Plain> = read.streams.iter().flat_map(|at| input_trees(input, *at)).collect();

        // Whole streams; trees; contents of the same groups; everything below a group taken apart.
        let output = run(input, |streams| streams.collect()).unwrap();
        prop_assert_eq!(meaning(input, &output), (whole.clone(), 0));

        let output = run(input, |streams| streams.flatten().collect()).unwrap();
        prop_assert_eq!(meaning(input, &output), (whole.clone(), 0));

        let output = run(input, |streams| {
            let back = |mut tree: TokenTree| {
                if !matches!(tree, TokenTree::Group(_)) {
                    let span = tree.span();
                    tree.set_span(Span::mixed_site());
                    tree.set_span(span);
                }
                tree
            };
            streams.flatten().map(back).collect()
        }).unwrap();
        prop_assert_eq!(meaning(input, &output), (whole.clone(), 0));

        let output = run(input, |streams| streams.map(regrouped).collect()).unwrap();
        let (trees, new) = meaning(input, &output);
        prop_assert_eq!(trees, whole.clone());
        prop_assert_eq!(new, groups(&whole));
    }

    #[test]
    fn new_tokens_are_written_out(trees in prop::collection::vec(tree(), 0..10)) {
        let trees = possible(trees);
        let input = input(&[&trees]);
        let read = tokens::Input::check(input).unwrap();
        let whole = input_trees(input, read.streams[0]);

        let output = run(input, |streams| remade(streams.next().unwrap(), &|span| span)).unwrap();
        let (same, new) = meaning(input, &output);
        prop_assert_eq!(&same, &whole);
        prop_assert_eq!(new, count(&whole));

        let mixed = |_| Span::mixed_site();
        let output = run(input, |streams| remade(streams.next().unwrap(), &mixed)).unwrap();
        prop_assert_eq!(meaning(input, &output).0, everything_at(&whole, SpanRef::MixedSite));

        // What is respanned in place is new as well, and keeps its text.
        let output = run(input, |streams| {
            streams.next().unwrap().into_iter().map(|mut tree| { tree.set_span(Span::call_site()); tree }).collect()
        }).unwrap();
        let expected: Vec<Plain> = whole.iter().map(|tree| match tree {
            Plain::Leaf(text, _) => Plain::Leaf(text.clone(), SpanRef::CallSite),
            Plain::Group(delimiter, _, inside) => Plain::Group(*delimiter, SpanRef::CallSite, inside.clone()),
        }).collect();
        prop_assert_eq!(meaning(input, &output), (expected, whole.len()));
    }

    #[test]
    fn iterators_count_right(trees in prop::collection::vec(tree(), 0..10), negatives in 0..3usize, skip in 0..12usize) {
        let input = input(&[&trees]);
        run(input, |streams| {
            let mut stream = streams.next().unwrap();
            stream.extend((0..negatives).map(|_| TokenTree::from(Literal::i8_unsuffixed(-1))));
            stream.extend([stream.clone()]);
            let all: Vec<String> = stream.clone().into_iter().map(|tree| format!("{tree:?}")).collect();
            assert_eq!(all.len(), 2 * (trees.len() + 2 * negatives));
            let mut rest = stream.into_iter();
            rest.by_ref().take(skip).for_each(drop);
            let left = all.len().saturating_sub(skip);
            assert_eq!(rest.size_hint(), (left, Some(left)));
            assert_eq!(rest.clone().count(), left);
            let rest: Vec<String> = rest.map(|tree| format!("{tree:?}")).collect();
            assert_eq!(rest, all[all.len() - left..]);
            TokenStream::new()
        }).unwrap();
    }

    #[test]
    fn every_malformed_input_ends_in_a_message(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        // An expander checks before it sends; the guest must still not read beside the bytes or hang.
        let bytes: &'static [u8] = bytes.leak();
        let outcome = run(bytes, |streams| streams.flatten().filter(|tree| !matches!(tree, TokenTree::Punct(_))).collect());
        if let Err(message) = outcome {
            prop_assert!(message.unwrap().starts_with("belljar: "));
        }
    }
}

fn regrouped(stream: TokenStream) -> TokenStream {
    let again = |tree| match tree {
        TokenTree::Group(group) => {
            let mut new = Group::new(group.delimiter(), regrouped(group.stream()));
            new.set_span(group.span());
            TokenTree::Group(new)
        }
        tree => tree,
    };
    stream.into_iter().map(again).collect()
}

fn groups(trees: &[Plain]) -> usize {
    let one = |tree: &Plain| match tree {
        Plain::Leaf(..) => 0,
        Plain::Group(_, _, inside) => 1 + groups(inside),
    };
    trees.iter().map(one).sum()
}

fn count(trees: &[Plain]) -> usize {
    let one = |tree: &Plain| match tree {
        Plain::Leaf(..) => 1,
        Plain::Group(_, _, inside) => 1 + count(inside),
    };
    trees.iter().map(one).sum()
}

/// Keeps what it was asked, and always gives the same answer.
struct Recorder {
    asked: Rc<RefCell<Vec<Vec<u8>>>>,
    answer: Vec<u8>,
}

impl Host for Recorder {
    fn ask(&mut self, question: &[u8]) -> Vec<u8> {
        self.asked.borrow_mut().push(question.to_owned());
        self.answer.clone()
    }
}

/// What `f` asked about the one identifier it is given.
fn asked(answer: Vec<u8>, f: impl Fn(TokenStream)) -> Vec<Vec<u8>> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    set_host(Some(Box::new(Recorder { asked: asked.clone(), answer })));
    run(input(&[&[Tree::Ident("a".to_owned(), false)]]), |streams| {
        f(streams.next().unwrap());
        TokenStream::new()
    })
    .unwrap();
    set_host(None);
    asked.take()
}

fn first_span(stream: TokenStream) -> Span {
    stream.into_iter().next().unwrap().span()
}

#[test]
fn nothing_is_asked_that_can_be_known() {
    let asked = asked(Vec::new(), |stream| {
        let mut made = TokenStream::new();
        made.extend(["1", "\"text\"", "x", "7u64"].map(|text| text.parse::<TokenStream>().unwrap()));
        made.extend(["1", "2i8", "\"\""].map(|text| TokenTree::from(text.parse::<Literal>().unwrap())));
        let trees: Vec<TokenTree> = stream.clone().into_iter().collect();
        made.extend(trees);
        assert_eq!(made.to_string(), "1 \"text\" x 7u64 1 2i8 \"\" a");
        let span = first_span(stream.clone());
        let _ =
            (span.resolved_at(Span::mixed_site()), span.start(), format!("{stream:?}"), stream.is_empty());
    });
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn questions_name_their_span() {
    let mut number = Writer::new();
    number.varint(300);
    let questions = asked(number.into_bytes(), |stream| {
        let span = first_span(stream);
        assert_eq!(span.line(), 300);
        assert_eq!(span.end().column(), 300);
    });
    let handle = WireSpan::of_handle(0).0 as u8;
    assert_eq!(questions[0], [question::LINE, 0, handle]);
    // One derived span, the end of the handle's; it follows the handles.
    assert_eq!(questions[1], [question::COLUMN, 1, tokens::derive_op::END, handle, handle + 1]);
}

#[test]
fn unread_parts_are_printed_by_the_compiler() {
    let mut text = Writer::new();
    text.text("printed");
    let questions = asked(text.into_bytes(), |stream| {
        assert_eq!(stream.to_string(), "printed");
        let group = Group::new(Delimiter::Brace, stream);
        assert_eq!(group.to_string(), "printed");
    });
    let stream = [tokens::tag::REF_STREAM, 0];
    assert_eq!(questions[0], [&[question::PRINT, 0][..], &stream].concat());
    assert_eq!(
        questions[1],
        [&[question::PRINT, 0, tokens::tag::GROUP_BRACE, 0, 2, 0, 0, 0][..], &stream].concat()
    );
}

/// The stream of a lexed text.
fn lexed(trees: &[Tree]) -> Vec<u8> {
    let mut w = InputWriter::lexed();
    w.begin_stream();
    write(&mut w, trees);
    w.end_stream();
    w.into_bytes()
}

/// The output of `f`, whose questions all get this answer.
fn output(answer: Vec<u8>, f: impl Fn(TokenStream) -> TokenStream) -> (Vec<Vec<u8>>, Vec<u8>) {
    let asked = Rc::new(RefCell::new(Vec::new()));
    set_host(Some(Box::new(Recorder { asked: asked.clone(), answer })));
    let output = run(input(&[&[Tree::Ident("a".to_owned(), false)]]), |streams| f(streams.next().unwrap()));
    set_host(None);
    (asked.take(), output.unwrap())
}

#[test]
fn lexed_text_is_referred_to() {
    // `x(y)z`: handles 0, 1 to 3, 4 inside, 5.
    let ident = |text: &str| Tree::Ident(text.to_owned(), false);
    let trees = [ident("x"), Tree::Group(tokens::Delimiter::Parenthesis, vec![ident("y")]), ident("z")];
    let stream = lexed(&trees);
    let answer = [&[1][..], &stream].concat();
    let parse = || "x(y)z".parse::<TokenStream>().unwrap();
    let expect = |f: &dyn Fn(TokenStream) -> TokenStream, put: &dyn Fn(&mut OutputWriter)| {
        let mut w = OutputWriter::new();
        put(&mut w);
        assert_eq!(output(answer.clone(), f).1, w.finish(&[]));
    };
    let call = WireSpan::CALL_SITE;

    // Whole, once for all that is made of it.
    expect(&|_| parse(), &|w| {
        w.text("x(y)z", &stream);
        w.lexed_stream(0);
    });
    expect(
        &|input| {
            let whole = parse();
            let group = Group::new(Delimiter::Brace, whole.clone());
            TokenStream::from_iter([input, whole, TokenTree::from(group).into()])
        },
        &|w| {
            w.ref_stream(0);
            w.text("x(y)z", &stream);
            w.lexed_stream(0);
            let begun = w.begin_group(tokens::Delimiter::Brace, call);
            w.lexed_stream(0);
            w.end_group(begun);
        },
    );
    // Taken apart: its groups and their contents are the text's, single tokens like any other.
    expect(&|_| parse().into_iter().collect(), &|w| {
        w.ident("x", false, call);
        w.text("x(y)z", &stream);
        w.lexed_tree(0, 1);
        w.ident("z", false, call);
    });
    let group = || parse().into_iter().nth(1).unwrap();
    let contents = |tree: TokenTree| match tree {
        TokenTree::Group(group) => group.stream(),
        tree => panic!("{tree}"),
    };
    expect(&|_| contents(group()), &|w| {
        w.text("x(y)z", &stream);
        w.lexed_contents(0, 1);
    });
    expect(
        &|_| {
            let mut group = group();
            group.set_span(Span::mixed_site());
            group.into()
        },
        &|w| {
            let begun = w.begin_group(tokens::Delimiter::Parenthesis, WireSpan::MIXED_SITE);
            w.text("x(y)z", &stream);
            w.lexed_contents(0, 1);
            w.end_group(begun);
        },
    );
    expect(&|_| contents(group()).into_iter().collect(), &|w| w.ident("y", false, call));
    // Texts are numbered as the output names them, whatever was lexed before.
    expect(
        &|_| {
            let [_first, second, third] = [parse(), parse(), parse()];
            let last = third.into_iter().nth(1).unwrap();
            TokenStream::from_iter([last.clone().into(), second, last.into()])
        },
        &|w| {
            w.text("x(y)z", &stream);
            w.lexed_tree(0, 1);
            w.text("x(y)z", &stream);
            w.lexed_stream(1);
            w.lexed_tree(0, 1);
        },
    );
}

#[test]
fn texts_of_one_token_are_that_token() {
    let answer = [&[1][..], &lexed(&[Tree::Literal("1.5".to_owned())])].concat();
    let (asked, output) = output(answer, |_| " 1.5".parse::<TokenStream>().unwrap());
    assert_eq!(asked, [b"\x07 1.5"]);
    let mut w = OutputWriter::new();
    w.literal("1.5", WireSpan::CALL_SITE);
    assert_eq!(output, w.finish(&[]));
    let (_, output) = self::output([&[1][..], &lexed(&[])].concat(), |_| "/* */".parse().unwrap());
    assert_eq!(output, OutputWriter::new().finish(&[]));
}

#[test]
fn a_lexer_that_panics_panics_here_without_a_message() {
    let (_, output) = output(vec![2], |_| {
        let caught = std::panic::catch_unwind(|| "'".parse::<TokenStream>().is_ok()).unwrap_err();
        assert!(!caught.is::<String>() && !caught.is::<&str>());
        assert!(std::panic::catch_unwind(|| "'".parse::<Literal>().is_ok()).is_err());
        TokenStream::new()
    });
    assert_eq!(output, OutputWriter::new().finish(&[]));
}

#[test]
fn names_beyond_ascii_are_spelled_by_the_compiler() {
    let (asked, _) = output("\x01\x02\u{e9}".into(), |_| {
        assert_eq!(Ident::new("e\u{301}", Span::call_site()).to_string(), "\u{e9}");
        TokenStream::new()
    });
    assert_eq!(asked, [&[&[question::NAME], "e\u{301}".as_bytes()].concat()[..]]);
    let (asked, _) = output(vec![0], |_| {
        let panic = |text: &str| {
            let made = std::panic::catch_unwind(|| Ident::new(text, Span::call_site()).to_string());
            *made.unwrap_err().downcast::<String>().unwrap()
        };
        assert_eq!(panic("\u{2013}"), "`\"\u{2013}\"` is not a valid identifier");
        assert_eq!(panic("a-b"), "`\"a-b\"` is not a valid identifier");
        TokenStream::new()
    });
    assert_eq!(asked.len(), 1, "what is ASCII need not be asked");
}

#[test]
fn panics_are_told() {
    let nothing = || input(&[&[]]);
    let message = |f: fn()| {
        run(nothing(), |_| {
            f();
            TokenStream::new()
        })
        .unwrap_err()
    };
    assert_eq!(message(|| panic!("plain")), Some("plain".to_owned()));
    assert_eq!(message(|| panic!("with {}", 1)), Some("with 1".to_owned()));
    assert_eq!(message(|| std::panic::panic_any(1)), None);
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again")
        }
    }
    assert_eq!(message(|| std::panic::panic_any(Bomb)), None);
}

#[test]
fn available_only_while_a_macro_runs() {
    assert!(!proc_macro::is_available());
    let inside = Rc::new(RefCell::new(false));
    run(input(&[&[]]), |_| {
        *inside.borrow_mut() = proc_macro::is_available();
        TokenStream::new()
    })
    .unwrap();
    assert!(*inside.borrow());
    assert!(!proc_macro::is_available());
    run(input(&[&[]]), |_| panic!("ends")).unwrap_err();
    assert!(!proc_macro::is_available());

    let outside: [fn() -> String; 4] = [
        || format!("{:?}", Span::call_site()),
        || Punct::new(',', Spacing::Alone).to_string(),
        || Literal::u8_suffixed(1).to_string(),
        || format!("{:?}", "a".parse::<TokenStream>()),
    ];
    for f in outside {
        let payload = std::panic::catch_unwind(f).unwrap_err();
        let message = payload.downcast_ref::<&str>().copied();
        assert_eq!(message, Some("procedural macro API is used outside of a procedural macro"));
    }
}
