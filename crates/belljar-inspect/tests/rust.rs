//! Tokens as Rust that people can read, whatever they are.

use belljar_inspect::{Formatter, Origin, Rust, Token, rust, rust_by};
use belljar_wire::tokens::Delimiter;
use proc_macro2::{Spacing, TokenStream, TokenTree};
use proptest::prelude::*;

/// Tokens of a text; names that begin with `g_` were given to the macro, without that.
struct Row {
    /// Text, and what it is.
    tokens: Vec<(String, Kind, Origin)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Ident,
    Raw,
    Literal,
    Punct(bool),
    Open(Delimiter),
    Close(Delimiter),
}

impl Row {
    fn of(text: &str) -> Self {
        let mut row = Self { tokens: Vec::new() };
        row.add(text.parse().unwrap());
        row
    }

    fn add(&mut self, stream: TokenStream) {
        let origin = Origin::Made;
        for tree in stream {
            match tree {
                TokenTree::Group(group) => {
                    let delimiter = match group.delimiter() {
                        proc_macro2::Delimiter::Parenthesis => Delimiter::Parenthesis,
                        proc_macro2::Delimiter::Brace => Delimiter::Brace,
                        proc_macro2::Delimiter::Bracket => Delimiter::Bracket,
                        proc_macro2::Delimiter::None => Delimiter::None,
                    };
                    self.tokens.push((String::new(), Kind::Open(delimiter), origin));
                    self.add(group.stream());
                    self.tokens.push((String::new(), Kind::Close(delimiter), origin));
                }
                TokenTree::Punct(punct) => self.tokens.push((
                    punct.as_char().to_string(),
                    Kind::Punct(punct.spacing() == Spacing::Joint),
                    origin,
                )),
                TokenTree::Ident(ident) => {
                    let text = ident.to_string();
                    let of = |text: &str, kind, origin| (text.to_owned(), kind, origin);
                    self.tokens.push(match (text.strip_prefix("r#"), text.strip_prefix("g_")) {
                        (Some(text), _) => of(text, Kind::Raw, origin),
                        (_, Some(text)) => of(text, Kind::Ident, Origin::Given(0)),
                        _ => of(&text, Kind::Ident, origin),
                    });
                }
                TokenTree::Literal(literal) => {
                    self.tokens.push((literal.to_string(), Kind::Literal, origin));
                }
            }
        }
    }

    fn tokens(&self) -> Vec<(Token<'_>, Origin)> {
        let token = |(text, kind, origin): &'_ (String, Kind, Origin)| -> (Token<'static>, Origin) {
            // Leaked: a test's.
            let text: &'static str = text.clone().leak();
            let token = match *kind {
                Kind::Ident => Token::Ident { text, raw: false },
                Kind::Raw => Token::Ident { text, raw: true },
                Kind::Literal => Token::Literal(text),
                Kind::Punct(joint) => Token::Punct { ch: text.chars().next().unwrap(), joint },
                Kind::Open(delimiter) => Token::Open(delimiter),
                Kind::Close(delimiter) => Token::Close(delimiter),
            };
            (token, *origin)
        };
        self.tokens.iter().map(token).collect()
    }
}

fn shown(text: &str) -> Rust {
    rust(&Row::of(text).tokens())
}

/// The text with what was given between `«` and `»`.
fn marked(rust: &Rust) -> String {
    let mut out = String::new();
    let mut at = 0;
    let end = std::iter::once(rust.text.len()..rust.text.len());
    for range in rust.made.iter().cloned().chain(end) {
        let given = &rust.text[at..range.start];
        let (before, after) = (given.len() - given.trim_start().len(), given.trim_end().len());
        match given.get(before..after) {
            Some(text) if !text.is_empty() => {
                out.extend([&given[..before], "«", text, "»", &given[after..]]);
            }
            _ => out.push_str(given),
        }
        out.push_str(&rust.text[range.clone()]);
        at = range.end;
    }
    out
}

#[test]
fn items_are_formatted_and_each_part_has_its_author() {
    let rust = shown(
        "#[automatically_derived] impl g_Name for a::__private::g_Thing<'a> where T: Copy { /// Says it.
         fn f(&self) -> u8 { match self { g_Thing::g_A => 1u8, _ => 2 } } }",
    );
    assert!(rust.is_formatted);
    insta::assert_snapshot!(marked(&rust), @r"
    #[automatically_derived]
    impl «Name» for a::__private::«Thing»<'a>
    where
        T: Copy,
    {
        /// Says it.
        fn f(&self) -> u8 {
            match self {
                «Thing»::«A» => 1u8,
                _ => 2,
            }
        }
    }
    ");
}

#[test]
fn what_is_no_item_is_formatted_as_what_it_is() {
    let all: String = [
        "let a = g_b; a.f()",
        "g_a.b(|x| x)",
        "if g_a { b } else { c }",
        "g_pub fn f(&self) {} const A: u8 = 1;",
        "fn f(&self) -> g_u8;",
        "(u8, g_T)",
        "Vec<dyn Fn() -> u8 + Send>",
    ]
    .map(|text| {
        let rust = shown(text);
        assert!(rust.is_formatted, "{text}: {rust:?}");
        marked(&rust) + "--\n"
    })
    .concat();
    insta::assert_snapshot!(all, @r"
    let a = «b»;
    a.f()
    --
    «a».b(|x| x)
    --
    if «a» { b } else { c }
    --
    «pub» fn f(&self) {}
    const A: u8 = 1;
    --
    fn f(&self) -> «u8»;
    --
    (u8, «T»)
    --
    Vec<dyn Fn() -> u8 + Send>
    --
    ");
    assert_eq!(shown("").text, "");
}

#[test]
fn what_is_not_rust_is_shown_all_the_same() {
    let rust = shown("( ; g_a :: = b , { c ; { d } } [ e ] => ) fn ;");
    assert!(!rust.is_formatted);
    insta::assert_snapshot!(marked(&rust), @r"
    ( ;
    «a» :: = b , {
        c ;
        {
            d
        }
    }
    [ e ] => ) fn ;
    ");
}

#[test]
fn nothing_shown_is_obeyed_by_a_terminal() {
    let rust = rust(&[
        (Token::Ident { text: "let", raw: false }, Origin::Made),
        (Token::Ident { text: "_", raw: false }, Origin::Made),
        (Token::Punct { ch: '=', joint: false }, Origin::Made),
        (Token::Literal("\"\u{1b}[2J\u{202e}\u{200b}\r\u{7}é\""), Origin::Given(0)),
        (Token::Punct { ch: ';', joint: false }, Origin::Made),
    ]);
    insta::assert_snapshot!(marked(&rust), @r#"let _ = «"\u{1b}[2J\u{202e}\u{200b}\u{d}\u{7}é"» ;"#);
}

#[test]
fn the_crate_of_a_macro_is_written_as_the_compiler_writes_it() {
    let token = |text| (Token::Ident { text, raw: false }, Origin::Made);
    let colon = |joint| (Token::Punct { ch: ':', joint }, Origin::Made);
    let end = (Token::Punct { ch: ';', joint: false }, Origin::Made);
    let rust = rust(&[
        token("use"),
        token("$crate"),
        colon(true),
        colon(false),
        (Token::Ident { text: "a", raw: false }, Origin::Given(0)),
        end,
    ]);
    assert_eq!(marked(&rust), "use $crate::«a»;\n");
}

/// The formatter may add and leave out what means the same, and nothing may hide behind that.
#[test]
fn what_is_shown_is_all_that_was_written() {
    // An attribute that would be shown as a comment, what is left out of an enum, and generics without any.
    for text in ["#[comment = \"gone\"] fn f() {}", "enum E { pub A }", "impl A<> for B {}"] {
        let rust = shown(text);
        assert!(!rust.is_formatted || !rust.text.contains("gone"), "{rust:?}");
        let row = Row::of(text);
        for (text, ..) in row.tokens.iter().filter(|(text, ..)| text.len() > 1) {
            assert!(rust.text.contains(text.trim_matches('"')), "{text} in {rust:?}");
        }
    }
    assert!(shown("impl A<> for B<> { fn f<>() -> C<> {} }").is_formatted);
    let exact = shown("enum E { pub A }");
    assert_eq!((exact.is_formatted, exact.text.as_str()), (false, "enum E {\n    pub A\n}\n"));
    // A given comma where one was added hides no tokens before it.
    let mut row = Row::of("struct S { a: u8 } fn evil(x: T, y: U) {}");
    let comma = row.tokens.iter().position(|(text, ..)| text == ",").unwrap();
    row.tokens[comma].2 = Origin::Given(0);
    assert!(
        marked(&rust(&row.tokens())).contains("}\nfn evil(x: T«,» y: U) {}"),
        "{}",
        marked(&rust(&row.tokens()))
    );
    // A comment in which a macro has made one token is the macro's.
    let mut row = Row::of("#[doc = \" Says it.\"] fn f() {}");
    for token in row.tokens.iter_mut().filter(|(_, kind, _)| !matches!(kind, Kind::Literal)) {
        token.2 = Origin::Given(0);
    }
    assert_eq!(marked(&rust(&row.tokens())), "/// Says it.\n«fn f() {}»\n");
    // Nor does a name that stands for another one.
    for text in ["__belljar_dollar_crate__::a();", "const A: &str = \"__belljar_dollar_crate__\";"] {
        let rust = shown(text);
        assert!(!rust.is_formatted && !rust.text.contains("$crate"), "{rust:?}");
    }
    assert!(marked(&shown("const A: i8 = -1; fn f() { g_a(-2.5f32) }")).contains("«a»(-2.5f32)"));
}

#[test]
fn the_lines_of_a_literal_stay_as_they_are() {
    let rust = shown("let q = \"SELECT\n    a\n        b\"; f(r#\"\n    c\"#);");
    assert!(rust.is_formatted);
    assert!(
        rust.text.contains("\"SELECT\n    a\n        b\"") && rust.text.contains("r#\"\n    c\"#"),
        "{}",
        rust.text
    );
}

#[test]
fn a_text_that_is_no_token_is_shown_unformatted() {
    let rust = rust(&[(Token::Ident { text: "a b", raw: false }, Origin::Made)]);
    assert_eq!((rust.text.as_str(), rust.is_formatted), ("a b\n", false));
    let unclosed = [(Token::Open(Delimiter::Brace), Origin::Made)];
    assert!(!belljar_inspect::rust(&unclosed).is_formatted);
    assert!(!belljar_inspect::rust(&[(Token::Close(Delimiter::Brace), Origin::Made)]).is_formatted);
}

/// None of these may overflow a stack, and all must end soon.
#[test]
fn however_deep_it_nests_it_is_shown() {
    let ident = |text| (Token::Ident { text, raw: false }, Origin::Made);
    let punct = |ch, joint| (Token::Punct { ch, joint }, Origin::Made);
    let many = |unit: &[(Token<'static>, Origin)], n: usize| unit.repeat(n);
    let rows = [
        [many(&[punct('!', false)], 49_000), vec![ident("a")]].concat(),
        [many(&[punct('-', false), punct('*', false)], 24_000), vec![ident("a")]].concat(),
        [many(&[ident("return")], 49_000), vec![ident("a")]].concat(),
        [many(&[ident("a"), punct('=', false)], 24_000), vec![ident("a")]].concat(),
        [many(&[punct('|', false), ident("a"), punct('|', false)], 16_000), vec![ident("a")]].concat(),
        [
            vec![ident("type"), ident("A"), punct('=', false)],
            many(&[ident("B"), punct('<', false)], 12_000),
            vec![ident("C")],
            many(&[punct('>', true)], 12_000),
            vec![punct(';', false)],
        ]
        .concat(),
        [
            many(&[(Token::Open(Delimiter::Parenthesis), Origin::Made)], 24_000),
            many(&[(Token::Close(Delimiter::Parenthesis), Origin::Made)], 24_000),
        ]
        .concat(),
        [
            many(&[(Token::Open(Delimiter::Brace), Origin::Made)], 24_000),
            many(&[(Token::Close(Delimiter::Brace), Origin::Made)], 24_000),
        ]
        .concat(),
        many(
            &[
                ident("if"),
                ident("a"),
                (Token::Open(Delimiter::Brace), Origin::Made),
                (Token::Close(Delimiter::Brace), Origin::Made),
                ident("else"),
            ],
            9_000,
        ),
        many(&[ident("a"), punct('+', false)], 24_000),
        many(&[punct('-', false), ident("return"), ident("a"), punct('=', false)], 12_000),
        // Arrows are no angles, and a length in an array ends none.
        [
            vec![ident("type"), ident("A"), punct('=', false)],
            many(
                &[
                    ident("B"),
                    punct('<', false),
                    ident("fn"),
                    (Token::Open(Delimiter::Parenthesis), Origin::Made),
                    (Token::Close(Delimiter::Parenthesis), Origin::Made),
                    punct('-', true),
                    punct('>', false),
                ],
                7_000,
            ),
            vec![ident("C")],
            many(&[punct('>', true)], 7_000),
            vec![punct(';', false)],
        ]
        .concat(),
        many(&[ident("a"), punct('.', false)], 24_000),
        many(&[ident("mod"), ident("a"), (Token::Open(Delimiter::Brace), Origin::Made)], 12_000),
        many(&[ident("a")], 1_000_000),
    ];
    for row in rows {
        let rust = rust(&row);
        assert!(rust.text.len() >= row.len() / 2 && rust.text.ends_with('\n'));
    }
}

proptest! {
    #[test]
    fn all_that_is_written_is_shown_and_ranges_fit(words in prop::collection::vec("(fn|a|r#type|\\{\\}|\\(a\\)|\\[1\\]|;|,|=>|::|<|>|'b |\"c\"|1u8|#|!|&|-|\\.|g_a|\\(g_b, c\\))", 0..40)) {
        let row = Row::of(&words.join(" "));
        let rust = rust(&row.tokens());
        let mut at = 0;
        for range in &rust.made {
            prop_assert!(at <= range.start && range.start < range.end && range.end <= rust.text.len());
            prop_assert!(rust.text.is_char_boundary(range.start) && rust.text.is_char_boundary(range.end));
            at = range.end;
        }
        for (text, kind, _) in &row.tokens {
            if matches!(kind, Kind::Ident | Kind::Raw | Kind::Literal) {
                prop_assert!(rust.text.contains(text.as_str()), "{text} in {}", rust.text);
            }
        }
    }
}

#[test]
fn another_formatter_is_believed_where_the_tokens_are_the_same() {
    let by = |text: &str, format: &(dyn Fn(&str) -> Option<String> + Sync)| {
        rust_by(&Row::of(text).tokens(), Formatter::Other(format)).text
    };
    // It is handed a source file, whatever it is that is formatted.
    for (text, file) in [
        ("struct A;", "struct A;\n"),
        ("a! ( 1 )", "fn __belljar_around__() {\n    a!(1)\n}\n"),
        ("[ u8 ; 2 ]", "fn __belljar_around__() {\n    [u8; 2]\n}\n"),
        ("dyn A + B", "type __belljar_around__ = dyn A + B;\n"),
    ] {
        let expected = rust(&Row::of(text).tokens()).text;
        let asked = std::sync::Mutex::new(String::new());
        let told = by(text, &|text| {
            asked.lock().unwrap().push_str(text);
            None
        });
        assert_eq!((asked.into_inner().unwrap().as_str(), told), (file, expected));
    }
    let spaced = |text: &str| Some(text.replace("    ", "\t").replace(" {", "\n{"));
    assert_eq!(by("fn f() { g(1) }", &spaced), "fn f()\n{\n\tg(1)\n}\n");
    assert_eq!(by("let a = 1; a", &|text| Some(text.replace("    ", "  "))), "let a = 1;\na\n");
    let honest = "fn f() {\n    g(1, 2)\n}\n";
    for lie in [
        "fn f() { g(2, 2) }",
        "fn f() { g(1, 2); h() }",
        "fn f() { g(1) }",
        "fn f() { g(1, 2) } // end",
        "fn f() { /* fn h() {} */ g(1, 2) }",
        "/* a */ fn f() { g(1, 2) }",
        "fn f() { g(1, 2) }\nfn h() {}",
        "fn f() {",
        "",
    ] {
        assert_eq!(by("fn f() { g(1, 2) }", &|_| Some(lie.to_owned())), honest, "{lie}");
    }
    let odd = by("const A: &str = \"\u{202e}\";", &|text| Some(text.to_owned()));
    assert_eq!(odd, "const A: &str = \"\\u{202e}\";\n");
    assert_eq!(rust_by(&Row::of("fn f() {}").tokens(), Formatter::None).text, "fn f ( ) {\n}\n");
}
