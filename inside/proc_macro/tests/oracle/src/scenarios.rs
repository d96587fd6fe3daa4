// Included twice: `pm` is the compiler's `proc_macro`, or belljar's.

use pm::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

type Text = fn(TokenStream) -> String;
type Stream = fn(TokenStream) -> TokenStream;

macro_rules! scenarios {
    ($list:ident: $kind:ty; $($name:ident)*) => {
        pub const $list: &[(&str, $kind)] = &[$((stringify!($name), $name)),*];
    };
}

scenarios! { TEXTS: Text;
    printed printed_again debugged groups_printed trees_printed alternate_debug padded
    literals literal_texts literal_debug bad_floats
    texts_lexed literals_lexed lexed_printed
    good_idents bad_idents bad_raw_idents bad_puncts
    iterated hints extended
    made_streams long_streams negatives places conditional_keywords
}

scenarios! { STREAMS: Stream;
    untouched rebuilt regrouped twice inside_out contents
    respanned derived_spans spans_of_groups set_back
    new_tokens lexed_tokens lexed_wholes lexed_parts lexed_regrouped lexed_and_given mixed negative_tokens renamed empty_parts
}

fn deep(stream: &TokenStream, f: &mut impl FnMut(&TokenTree)) {
    for tree in stream.clone() {
        f(&tree);
        if let TokenTree::Group(group) = &tree {
            deep(&group.stream(), f);
        }
    }
}

/// Every token made anew, with its span.
fn remade(stream: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    for tree in stream {
        let span = tree.span();
        let mut new = match tree {
            TokenTree::Group(group) => Group::new(group.delimiter(), remade(group.stream())).into(),
            TokenTree::Ident(ident) => match ident.to_string().strip_prefix("r#") {
                Some(raw) => Ident::new_raw(raw, span).into(),
                None => Ident::new(&ident.to_string(), span).into(),
            },
            TokenTree::Punct(punct) => Punct::new(punct.as_char(), punct.spacing()).into(),
            TokenTree::Literal(literal) => TokenTree::from(literal.to_string().parse::<Literal>().unwrap()),
        };
        new.set_span(span);
        out.extend([new]);
    }
    out
}

// Texts.

fn printed(input: TokenStream) -> String {
    input.to_string()
}

fn printed_again(input: TokenStream) -> String {
    remade(input).to_string()
}

fn debugged(input: TokenStream) -> String {
    format!("{input:?}")
}

fn alternate_debug(input: TokenStream) -> String {
    format!("{input:#?}")
}

fn groups_printed(input: TokenStream) -> String {
    let mut all = Vec::new();
    deep(&input, &mut |tree| {
        if let TokenTree::Group(group) = tree {
            all.push(format!(
                "{group} {:?} {}",
                group.delimiter(),
                Group::new(Delimiter::Brace, group.stream())
            ));
        }
    });
    all.join("\n")
}

fn trees_printed(input: TokenStream) -> String {
    let mut all = Vec::new();
    deep(&input, &mut |tree| all.push(format!("{tree} {:?}", tree.span())));
    all.join("\n")
}

fn padded(input: TokenStream) -> String {
    let mut all = Vec::new();
    deep(&input, &mut |tree| {
        all.push(match tree {
            TokenTree::Group(group) => format!("{group:>40}|"),
            TokenTree::Ident(ident) => format!("{ident:>8}|{ident:.1}|{tree:>8}|"),
            TokenTree::Punct(punct) => format!("{punct:>8}|"),
            TokenTree::Literal(literal) => format!("{literal:>8}|{literal:<8}|{literal:.1}|{tree:>8}|"),
        });
    });
    all.join("\n")
}

fn made_literals() -> Vec<Literal> {
    let chars = [
        'a',
        '\'',
        '"',
        '\\',
        '\0',
        '\n',
        '\t',
        '\r',
        '\x7f',
        '\u{1}',
        'é',
        '\u{301}',
        '\u{200b}',
        '🦀',
        '\u{10ffff}',
    ];
    let strings = ["", "a\"b'c", "\\ \n\r\t\0\x1b", "é\u{301}🦀\u{feff}", "{}%"];
    let bytes: Vec<u8> = (0..=255).collect();
    let mut all: Vec<Literal> = chars.iter().map(|&c| Literal::character(c)).collect();
    all.extend(strings.iter().map(|s| Literal::string(s)));
    all.extend(bytes.iter().map(|&b| Literal::byte_character(b)));
    all.push(Literal::byte_string(&bytes));
    all.push(Literal::byte_string(b"a'\"\\\0"));
    all.push(Literal::c_string(c"a'\"\\\n\xff\xc3\xa9 \xf0\x9f"));
    all.push(Literal::c_string(c""));
    all.extend([Literal::u8_suffixed(255), Literal::u16_suffixed(0), Literal::u32_suffixed(1)]);
    all.extend([
        Literal::u64_suffixed(u64::MAX),
        Literal::u128_suffixed(u128::MAX),
        Literal::usize_suffixed(7),
    ]);
    all.extend([Literal::i8_suffixed(-128), Literal::i16_suffixed(-1), Literal::i32_suffixed(i32::MIN)]);
    all.extend([Literal::i64_suffixed(-5), Literal::i128_suffixed(i128::MIN), Literal::isize_suffixed(-7)]);
    all.extend([Literal::u8_unsuffixed(255), Literal::u16_unsuffixed(0), Literal::u32_unsuffixed(1)]);
    all.extend([
        Literal::u64_unsuffixed(u64::MAX),
        Literal::u128_unsuffixed(u128::MAX),
        Literal::usize_unsuffixed(7),
    ]);
    all.extend([
        Literal::i8_unsuffixed(-128),
        Literal::i16_unsuffixed(-1),
        Literal::i32_unsuffixed(i32::MIN),
    ]);
    all.extend([
        Literal::i64_unsuffixed(-5),
        Literal::i128_unsuffixed(i128::MIN),
        Literal::isize_unsuffixed(-7),
    ]);
    for n in [0.0, 1.0, -1.0, -0.0, 0.1, 1e30, 1e-30, 1.5e300, f64::MIN_POSITIVE] {
        all.extend([Literal::f64_suffixed(n), Literal::f64_unsuffixed(n)]);
        let n = n as f32;
        if n.is_finite() {
            all.extend([Literal::f32_suffixed(n), Literal::f32_unsuffixed(n)]);
        }
    }
    all
}

fn literals(_: TokenStream) -> String {
    made_literals().iter().map(|l| format!("{l}\n")).collect()
}

fn literal_debug(_: TokenStream) -> String {
    made_literals().iter().map(|l| format!("{l:?}\n{l:#?}\n")).collect()
}

const LITERALS: &[&str] = &[
    "0",
    "00",
    "1_000",
    "1u8",
    "1i128",
    "1usize",
    "1foo",
    "1f32",
    "1.0",
    "1.",
    "1.0f64",
    "1e10",
    "1E+3_0f32",
    "1e-7",
    "0x1F",
    "0xffu8",
    "0xABCDEFf32",
    "0o17",
    "0b1010",
    "0b1010_u8",
    "0x1e5",
    "1_f64",
    "2.5_f32",
    "123456789012345678901234567890",
    "'a'",
    "'\\''",
    "'\\n'",
    "'\\u{1F980}'",
    "'🦀'",
    "b'a'",
    "b'\\xff'",
    "\"\"",
    "\"a\"",
    "\"a\\\"b\"",
    "\"a\nb\"",
    "\"é\"",
    "\"\\\n  x\"",
    "\"a\"suffix",
    "r\"a\"",
    "r#\"a\"b\"#",
    "r##\"a\"#b\"##",
    "b\"a\"",
    "b\"\\x00\"",
    "br\"a\"",
    "br#\"\"\"#",
    "c\"a\"",
    "cr\"a\"",
    "cr#\"\"#",
    "-1",
    "-1.5",
    "-0x1u8",
    "-1f32",
    "-1e3",
    "'a'suffix",
    "b'a'suffix",
    "r\"a\"suffix",
    // None of these is a literal.
    "",
    " ",
    "a",
    "1 ",
    " 1",
    "1 2",
    "- 1",
    "--1",
    "-'a'",
    "-\"a\"",
    "true",
    "'a",
    "1+1",
    "/**/1",
    "1/**/",
    "+1",
    "(1)",
    "1,",
    "\"a\" ",
];

fn literal_texts(_: TokenStream) -> String {
    LITERALS
        .iter()
        .map(|text| format!("{text}: {:?}\n", text.parse::<Literal>().map(|l| (l.to_string(), l))))
        .collect()
}

fn literals_lexed(_: TokenStream) -> String {
    let all = LITERALS.iter().map(|text| {
        format!("{text}: {:?}\n", text.parse::<Literal>().map(|l| TokenStream::from(TokenTree::from(l))))
    });
    all.collect()
}

fn texts_lexed(_: TokenStream) -> String {
    let texts = [
        "",
        " ",
        "a",
        "_",
        "a1",
        "r#fn",
        "r#a",
        "self",
        "'a",
        "'static: 'b",
        "'a'",
        "a.b(c)[d]{e}",
        "a::<b>()",
        "x+=1",
        "x<<=2>>3..=4...5",
        "&&a||b",
        "// c\na",
        "/* c */ a /* d */",
        "/// doc\nfn f() {}",
        "//! inner\n",
        "/** block */ struct S;",
        "#![a] #[b = \"c\"]",
        "1.0.1",
        "1..2",
        "0.0",
        "a.0.1",
        "\"a\" 'b' b'c' c\"d\"",
        "$a $($b),*",
        "é ü",
        "a\u{301}",
        "?;:,@~^%!|\\",
        "{",
        "}",
        "(]",
        "\"",
        "'",
        "/*",
        "1 \"abc\" x",
        "=>->::<-",
        "()",
        "{ }",
        "[ ]",
        "a!()",
        "if !x",
        "r\"\\\"",
    ];
    let mut all = String::new();
    for text in texts {
        // Some errors are reported by the compiler as well, which would fail this build.
        if matches!(text, "{" | "}" | "(]" | "\"" | "'" | "/*" | "?;:,@~^%!|\\") {
            continue;
        }
        let lexed = text.parse::<TokenStream>();
        let empty = lexed.as_ref().map(TokenStream::is_empty);
        all.push_str(&format!("{text}: {empty:?} {lexed:?}\n"));
    }
    all
}

fn bad_floats(_: TokenStream) -> String {
    let made: [fn() -> Literal; 6] = [
        || Literal::f64_suffixed(f64::NAN),
        || Literal::f64_unsuffixed(f64::INFINITY),
        || Literal::f32_suffixed(f32::NEG_INFINITY),
        || Literal::f32_unsuffixed(f32::NAN),
        || Literal::f32_suffixed(f32::INFINITY),
        || Literal::f64_suffixed(f64::NEG_INFINITY),
    ];
    made.iter().map(|f| message(|| f().to_string())).collect()
}

fn message(f: impl FnOnce() -> String) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(text) => format!("fine: {text}\n"),
        Err(e) => match e.downcast_ref::<String>() {
            Some(text) => format!("{text}\n"),
            None => format!("{:?}\n", e.downcast_ref::<&str>()),
        },
    }
}

/// None that is beyond ASCII and still no identifier: to lex those makes the compiler report an error.
const IDENTS: &[&str] = &[
    "a",
    "_",
    "__",
    "_1",
    "A9_",
    "fn",
    "async",
    "self",
    "Self",
    "super",
    "crate",
    "true",
    "$crate",
    "dyn",
    "gen",
    "try",
    "macro_rules",
    "union",
    "é",
    "Ünïcode",
    "漢字",
    "a\u{301}",
    "e\u{301}x",
    "\u{3b1}\u{345}",
    "",
    " ",
    "a ",
    " a",
    "1",
    "1a",
    "a-b",
    "a b",
    "r#a",
    "'a",
    "a!",
    "$a",
    "$",
    "é ",
    "é\u{2028}",
    "é//",
    "é+é",
    "a\0",
    "é\u{200e}",
    "é1",
];

fn good_idents(_: TokenStream) -> String {
    IDENTS.iter().map(|text| message(|| format!("{0} {0:?}", Ident::new(text, Span::call_site())))).collect()
}

fn bad_idents(_: TokenStream) -> String {
    let ident = |text: &&str| {
        message(|| TokenStream::from(TokenTree::from(Ident::new(text, Span::mixed_site()))).to_string())
    };
    IDENTS.iter().map(ident).collect()
}

fn bad_raw_idents(_: TokenStream) -> String {
    IDENTS
        .iter()
        .map(|text| message(|| format!("{0} {0:?}", Ident::new_raw(text, Span::call_site()))))
        .collect()
}

fn bad_puncts(_: TokenStream) -> String {
    let chars = (' '..='\u{ff}').chain(['🦀', '\n', '\u{2028}']);
    chars
        .map(|c| {
            message(|| {
                format!(
                    "{:?} {}",
                    Punct::new(c, Spacing::Joint),
                    Punct::new(c, Spacing::Alone) == c && c == Punct::new(c, Spacing::Alone)
                )
            })
        })
        .collect()
}

fn iterated(input: TokenStream) -> String {
    let mut trees = input.clone().into_iter();
    let first = trees.next();
    let copy = trees.clone();
    format!("{first:?} {} {} {:?}", trees.count(), copy.collect::<TokenStream>(), input.is_empty())
}

fn hints(input: TokenStream) -> String {
    let mut both = input.clone();
    both.extend([TokenTree::from(Literal::i8_unsuffixed(-1)), Ident::new("a", Span::call_site()).into()]);
    both.extend([input]);
    let shared = both.clone();
    let mut all = String::new();
    for stream in [both, shared] {
        let mut trees = stream.into_iter();
        loop {
            all.push_str(&format!("{:?} {}, ", trees.size_hint(), trees.clone().count()));
            if trees.next().is_none() {
                break;
            }
        }
    }
    all
}

fn extended(input: TokenStream) -> String {
    let a = || Ident::new("a", Span::call_site());
    let mut s = TokenStream::default();
    s.extend([a(), a()]);
    s.extend([Punct::new(';', Spacing::Alone)]);
    s.extend([Literal::string("s")]);
    s.extend([Group::new(Delimiter::Bracket, input.into_iter().collect())]);
    s.extend(Vec::<TokenTree>::new());
    s.extend(Vec::<TokenStream>::new());
    s.extend([TokenStream::new(), s.clone(), TokenStream::new()]);
    let t: TokenStream = [s.clone(), s].into_iter().collect();
    t.to_string()
}

/// Numbers that look random, the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

const WORDS: &[&str] = &[
    "a",
    "foo",
    "x1",
    "fn",
    "Self",
    "pub",
    "let",
    "if",
    "self",
    "crate",
    "_",
    "match",
    "in",
    "struct",
    "true",
    "union",
    "default",
    "a_rather_long_identifier",
];
const LEAVES: &[&str] = &[
    "1",
    "2.5",
    "\"text\"",
    "'c'",
    "b\"bytes\"",
    "r#\"raw\"#",
    "1u8",
    "\"a text that takes a good part of a line, so that lines break\"",
];
const MARKS: &[u8] = b"=<>!~+-*/%^&|@.,;:#$?'";

fn random_stream(dice: &mut Dice, depth: usize, length: usize) -> TokenStream {
    let mut stream = TokenStream::new();
    for _ in 0..dice.roll(length + 1) {
        let tree: TokenTree = match dice.roll(12) {
            0..=3 => Ident::new(WORDS[dice.roll(WORDS.len())], Span::call_site()).into(),
            4 => Ident::new_raw(["fn", "a", "async"][dice.roll(3)], Span::call_site()).into(),
            5 => LEAVES[dice.roll(LEAVES.len())].parse::<Literal>().unwrap().into(),
            6 => Literal::i32_unsuffixed(dice.roll(100) as i32 - 50).into(),
            7..=9 => {
                let spacing = if dice.roll(2) == 0 { Spacing::Joint } else { Spacing::Alone };
                Punct::new(char::from(MARKS[dice.roll(MARKS.len())]), spacing).into()
            }
            _ if depth == 0 => Punct::new(',', Spacing::Alone).into(),
            _ => {
                let delimiters =
                    [Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket, Delimiter::None];
                Group::new(delimiters[dice.roll(4)], random_stream(dice, depth - 1, length)).into()
            }
        };
        stream.extend([tree]);
    }
    stream
}

fn made_streams(_: TokenStream) -> String {
    (0..1500).map(|seed| format!("{seed}: {}\n", random_stream(&mut Dice(seed), 3, 6))).collect()
}

fn long_streams(_: TokenStream) -> String {
    (0..300).map(|seed| format!("{seed}: {}\n", random_stream(&mut Dice(seed), 5, 22))).collect()
}

fn negatives(_: TokenStream) -> String {
    let stream: TokenStream = made_literals().into_iter().map(TokenTree::from).collect();
    let again: TokenStream = stream.clone().into_iter().collect();
    format!("{stream}\n{again}\n{stream:?}")
}

fn places(input: TokenStream) -> String {
    let mut all = Vec::new();
    deep(&input, &mut |tree| {
        let mut spans = vec![
            tree.span(),
            tree.span().start(),
            tree.span().end(),
            tree.span().resolved_at(Span::mixed_site()),
        ];
        spans.push(Span::call_site().located_at(tree.span()));
        if let TokenTree::Group(group) = tree {
            spans.extend([group.span_open(), group.span_close(), group.span_close().end()]);
        }
        for span in spans {
            all.push(format!(
                "{} {} {:?} {} {:?}",
                span.line(),
                span.column(),
                span.source_text(),
                span.file(),
                span.local_file()
            ));
        }
    });
    all.join("\n")
}

fn conditional_keywords(_: TokenStream) -> String {
    let mut all = String::new();
    for word in [
        "async", "await", "dyn", "gen", "try", "union", "auto", "raw", "safe", "yeet", "static", "do",
        "yield", "$crate",
    ] {
        let ident = || TokenTree::from(Ident::new(word, Span::call_site()));
        let group = |delimiter| TokenTree::from(Group::new(delimiter, TokenStream::new()));
        let bang = || TokenTree::from(Punct::new('!', Spacing::Alone));
        for stream in
            [[ident(), group(Delimiter::Parenthesis)], [ident(), bang()], [ident(), group(Delimiter::Brace)]]
        {
            all.push_str(&format!("{}\n", stream.into_iter().collect::<TokenStream>()));
        }
    }
    all
}

// Streams.

fn untouched(input: TokenStream) -> TokenStream {
    input
}

fn rebuilt(input: TokenStream) -> TokenStream {
    input.into_iter().collect()
}

fn regrouped(input: TokenStream) -> TokenStream {
    let trees = input.into_iter().map(|tree| match tree {
        TokenTree::Group(group) => {
            let mut new = Group::new(group.delimiter(), regrouped(group.stream()));
            new.set_span(group.span());
            new.into()
        }
        tree => tree,
    });
    trees.collect()
}

fn twice(input: TokenStream) -> TokenStream {
    let mut both = input.clone();
    both.extend([TokenTree::from(Punct::new(';', Spacing::Alone))]);
    both.extend([input.clone(), TokenStream::from(TokenTree::from(Group::new(Delimiter::Brace, input)))]);
    both
}

fn inside_out(input: TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = input.into_iter().collect();
    trees.reverse();
    trees.into_iter().collect()
}

fn contents(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    for tree in input {
        match tree {
            TokenTree::Group(group) => out.extend([group.stream(), TokenTree::from(group).into()]),
            tree => out.extend([tree]),
        }
    }
    out
}

fn respanned(input: TokenStream) -> TokenStream {
    let mut last = Span::mixed_site();
    let trees = input.into_iter().map(|mut tree| {
        let span = tree.span();
        tree.set_span(last);
        last = span;
        tree
    });
    trees.collect()
}

fn derived_spans(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    for tree in input {
        let span = tree.span();
        let call = Span::call_site();
        let mixed = Span::mixed_site();
        let made = [
            span.start(),
            span.end(),
            span.resolved_at(mixed),
            span.resolved_at(call),
            span.located_at(call),
            call.located_at(span),
            mixed.resolved_at(span).start(),
            span.resolved_at(span),
            mixed.start(),
            call.resolved_at(mixed),
            span.start().end().resolved_at(mixed).located_at(span.end()),
        ];
        out.extend(made.map(|span| TokenTree::from(Ident::new("made", span))));
        let mut tree = tree;
        tree.set_span(span.resolved_at(mixed));
        out.extend([tree]);
    }
    out
}

fn spans_of_groups(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    deep(&input, &mut |tree| {
        if let TokenTree::Group(group) = tree {
            let spans = [group.span(), group.span_open(), group.span_close()];
            out.extend(spans.map(|span| TokenTree::from(Ident::new("span", span))));
        }
    });
    out
}

fn set_back(input: TokenStream) -> TokenStream {
    let trees = input.into_iter().map(|mut tree| {
        let span = tree.span();
        tree.set_span(Span::mixed_site());
        tree.set_span(span);
        tree
    });
    trees.collect()
}

fn new_tokens(input: TokenStream) -> TokenStream {
    remade(input)
}

const LEXED: &[&str] = &[
    "fn f<'a>(x: &'a str) -> Vec<u8> { r#type::<u8>(x)[0] += -1.5e3; \"s\" } /// doc\n struct S;",
    "//! inner\n/** block */ macro_rules! m { ($e : expr) => { $e }; ($($t:tt)*) => {$($t)*} }",
    "a.b",
    "a . b",
    "(a)(b) [c] {} ( ) {x} [ ( { y+z } ) ]",
    "'a 'static: 'b",
    "#![a]#[b=c]",
    "x+=1<<=2..=3...4::<-5",
    "r#\"raw\"# b\"x\"c\"y\" 'z'",
    "-1 - 1",
    "/// doc",
    "a =",
    "= b",
    "one_token",
    "",
];

fn lex(text: &str) -> TokenStream {
    text.parse().unwrap()
}

fn lexed_tokens(input: TokenStream) -> TokenStream {
    // Token by token.
    let mut out = remade(lex(LEXED[0]));
    out.extend(input);
    out.extend(lex(LEXED[0]).into_iter().filter(|tree| !matches!(tree, TokenTree::Group(_))));
    out
}

fn lexed_wholes(_: TokenStream) -> TokenStream {
    let mut out: TokenStream = LEXED.iter().map(|text| lex(text)).collect();
    let again = lex(LEXED[4]);
    out.extend([again.clone(), again]);
    out
}

fn lexed_parts(_: TokenStream) -> TokenStream {
    LEXED.iter().flat_map(|text| lex(text).into_iter().filter(|tree| !matches!(tree, TokenTree::Ident(_)))).collect()
}

fn lexed_regrouped(_: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    for tree in LEXED.iter().flat_map(|text| lex(text)) {
        if let TokenTree::Group(group) = &tree {
            let mut other = Group::new(Delimiter::Brace, group.stream());
            out.extend([other.clone()]);
            other.set_span(Span::mixed_site());
            out.extend([other]);
            out.extend(group.stream());
            let mut respanned = group.clone();
            respanned.set_span(Span::mixed_site());
            out.extend([respanned.clone()]);
            respanned.set_span(Span::call_site());
            out.extend([respanned]);
        }
        out.extend([TokenTree::from(Group::new(Delimiter::None, TokenStream::from(tree)))]);
    }
    out
}

fn lexed_and_given(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    let texts: Vec<TokenStream> = LEXED.iter().map(|text| lex(text)).collect();
    for (n, text) in texts.into_iter().enumerate() {
        out.extend([input.clone(), text.clone()]);
        if n % 2 == 0 {
            let mut inside = text.clone();
            inside.extend(input.clone().into_iter().take(n));
            inside.extend([text]);
            out.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, inside))]);
        }
    }
    out
}

fn lexed_printed(input: TokenStream) -> String {
    let mut all = Vec::new();
    let mut print = |stream: &dyn std::fmt::Display| all.push(stream.to_string());
    for text in LEXED {
        let stream = lex(text);
        print(&stream);
        let trees: Vec<TokenTree> = stream.clone().into_iter().collect();
        for (n, tree) in trees.iter().enumerate() {
            print(tree);
            print(&trees[..n].iter().cloned().collect::<TokenStream>());
            if let TokenTree::Group(group) = tree {
                print(&group.stream());
                print(&Group::new(Delimiter::None, group.stream()));
            }
        }
        for first in ["a", "a =", "<", "(x)", "'", "#"] {
            let mut both = if first == "'" {
                TokenTree::from(Punct::new('\'', Spacing::Joint)).into()
            } else {
                lex(first)
            };
            both.extend([stream.clone()]);
            print(&both);
            let mut both = stream.clone();
            both.extend(if first == "'" { lex("'b'") } else { lex(first) });
            print(&both);
        }
    }
    print(&lexed_wholes(input.clone()));
    print(&lexed_regrouped(input.clone()));
    print(&lexed_and_given(input));
    all.join("\n")
}

fn mixed(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    for (n, tree) in input.clone().into_iter().enumerate() {
        out.extend([tree]);
        if n % 3 == 1 {
            out.extend([
                TokenTree::from(Ident::new("new", Span::mixed_site())),
                Literal::usize_suffixed(n).into(),
            ]);
        }
        if n % 4 == 2 {
            let mut group = Group::new(Delimiter::None, out.clone());
            group.set_span(Span::mixed_site());
            out = TokenTree::from(group).into();
        }
    }
    out
}

fn negative_tokens(input: TokenStream) -> TokenStream {
    let span = input.into_iter().next().map_or(Span::mixed_site(), |tree| tree.span());
    let mut literal = Literal::i32_suffixed(-3);
    literal.set_span(span);
    let once: TokenStream = TokenTree::from(literal.clone()).into();
    let mut out = once.clone();
    out.extend(once);
    out.extend([TokenTree::from(Literal::f32_unsuffixed(-0.5)), "-7u8".parse::<Literal>().unwrap().into()]);
    let inside = out.clone().into_iter().map(|mut tree| {
        tree.set_span(Span::mixed_site());
        tree
    });
    let group = Group::new(Delimiter::Parenthesis, inside.collect());
    out.extend([group]);
    out
}

fn renamed(input: TokenStream) -> TokenStream {
    let trees = input.into_iter().map(|tree| match tree {
        TokenTree::Ident(ident) => Ident::new("renamed", ident.span()).into(),
        TokenTree::Group(group) => Group::new(Delimiter::None, renamed(group.stream())).into(),
        tree => tree,
    });
    trees.collect()
}

fn empty_parts(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    out.extend([TokenStream::new(), TokenTree::from(Group::new(Delimiter::None, TokenStream::new())).into()]);
    out.extend(input.into_iter().map(|tree| match tree {
        TokenTree::Group(group) => Group::new(group.delimiter(), TokenStream::new()).into(),
        tree => tree,
    }));
    out
}
