//! What the macros of the shim's tests do when they are compiled natively. `fake.rs` does the same in bytes.

extern crate proc_macro;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

fn run(name: &str, input: TokenStream) -> TokenStream {
    match name {
        "whole" => input,
        "by_tree" => input.into_iter().collect(),
        "contents" => input
            .into_iter()
            .map(|tree| match tree {
                TokenTree::Group(group) => {
                    let mut new = Group::new(group.delimiter(), group.stream());
                    new.set_span(group.span());
                    TokenTree::Group(new)
                }
                leaf => leaf,
            })
            .collect(),
        "rebuilt" => rebuild(input, &|span| span),
        "called" => rebuild(input, &|_| Span::call_site()),
        "mixed" => rebuild(input, &|_| Span::mixed_site()),
        "derived" => rebuild(input, &|span| {
            let mixed = span.resolved_at(Span::mixed_site());
            Span::call_site().located_at(mixed).resolved_at(span.start()).located_at(mixed.end())
        }),
        "opened" => {
            let mut spans = Vec::new();
            for tree in input {
                if let TokenTree::Group(group) = tree {
                    spans.extend([group.span_open(), group.span_close()]);
                }
            }
            spans.into_iter().map(|span| spanned(Literal::u8_unsuffixed(1).into(), span)).collect()
        }
        "asked" => {
            let mut text = String::new();
            for tree in input {
                let span = tree.span();
                text += &format!(
                    "{}:{} {} {:?} {:?}\n",
                    span.line(),
                    span.column(),
                    span.file(),
                    span.local_file(),
                    span.source_text()
                );
            }
            string(&text)
        }
        "printed" => string(&input.to_string()),
        "literals" => {
            let mut out = TokenStream::new();
            for literal in [
                Literal::u8_suffixed(255),
                Literal::i8_suffixed(-128),
                Literal::i128_unsuffixed(-5),
                Literal::u128_unsuffixed(u128::MAX),
                Literal::usize_suffixed(0),
                Literal::f64_unsuffixed(1.5),
                Literal::f64_unsuffixed(-2.0),
                Literal::f32_suffixed(0.25),
                Literal::f64_suffixed(3.0),
                Literal::string("it's \"quoted\" \\ \n\t\r\0 é 日本 \u{200b}"),
                Literal::string("plain"),
                Literal::character('x'),
                Literal::character('\''),
                Literal::character('é'),
                Literal::byte_character(b'"'),
                Literal::byte_string(b"bytes \xff"),
                Literal::c_string(c"see"),
                "0xff_u8".parse().unwrap(),
                "r##\"raw \"# \"##".parse().unwrap(),
                "1e3".parse().unwrap(),
                "1_000".parse().unwrap(),
                "b'\\n'".parse().unwrap(),
            ] {
                out.extend([TokenTree::from(literal), Punct::new(',', Spacing::Alone).into()]);
            }
            TokenTree::from(Group::new(Delimiter::Parenthesis, out)).into()
        }
        "lexed" => {
            let text = |text: &str| text.parse::<TokenStream>().unwrap();
            let whole = text(TEXT);
            let mut out = input;
            out.extend([whole.clone()]);
            for tree in whole {
                if let TokenTree::Group(mut group) = tree {
                    let contents = Group::new(Delimiter::Brace, group.stream());
                    out.extend([contents, group.clone()].map(macro_rules));
                    group.set_span(Span::mixed_site());
                    out.extend(macro_rules(group));
                }
            }
            out
        }
        "panics_silently" => std::panic::panic_any(5u8),
        "panics" => panic!("the {} is\nwrong", "input"),
        "prints" => {
            println!("to stdout");
            eprintln!("to stderr");
            input
        }
        _ => unreachable!(),
    }
}

const TEXT: &str = "/// documented\nmacro_rules! m { ($a : expr,$($b:tt)*) => { $a+ 1;$($b)* /* gone */ // gone
    }; (/** block */ 'a r#fn) => { \"x\"b'y' [ ] } }";

/// `macro_rules! n group`, the name at the call site.
fn macro_rules(group: Group) -> TokenStream {
    let mut out = TokenStream::from_iter([
        TokenTree::from(Ident::new("macro_rules", Span::call_site())),
        Punct::new('!', Spacing::Alone).into(),
        Ident::new("n", Span::call_site()).into(),
    ]);
    out.extend([group]);
    out
}

fn spanned(mut tree: TokenTree, span: Span) -> TokenTree {
    tree.set_span(span);
    tree
}

fn string(text: &str) -> TokenStream {
    TokenTree::from(Literal::string(text)).into()
}

fn rebuild(input: TokenStream, spans: &dyn Fn(Span) -> Span) -> TokenStream {
    input
        .into_iter()
        .map(|tree| {
            let span = spans(tree.span());
            let new = match tree {
                TokenTree::Ident(ident) => match ident.to_string().strip_prefix("r#") {
                    Some(name) => Ident::new_raw(name, span).into(),
                    None => Ident::new(&ident.to_string(), span).into(),
                },
                TokenTree::Literal(literal) => literal.to_string().parse::<Literal>().unwrap().into(),
                TokenTree::Punct(punct) => Punct::new(punct.as_char(), punct.spacing()).into(),
                TokenTree::Group(group) => {
                    Group::new(group.delimiter(), rebuild(group.stream(), spans)).into()
                }
            };
            spanned(new, span)
        })
        .collect()
}

/// `const _: &str = stringify! { … };`
fn stringified(tokens: TokenStream) -> TokenStream {
    let mut out: TokenStream = "const _: &str = stringify!".parse().unwrap();
    out = out.into_iter().map(|tree| spanned(tree, Span::call_site())).collect();
    out.extend([
        TokenTree::from(Group::new(Delimiter::Brace, tokens)),
        TokenTree::from(Punct::new(';', Spacing::Alone)),
    ]);
    out
}

macro_rules! entries {
    ($($name:ident $derive:ident $attribute:ident;)*) => {$(
        #[proc_macro]
        pub fn $name(input: TokenStream) -> TokenStream {
            run(stringify!($name), input)
        }

        #[proc_macro_attribute]
        pub fn $attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
            let _ = arguments;
            run(stringify!($name), item)
        }

        #[proc_macro_derive($derive, attributes(help, r#type))]
        pub fn $derive(input: TokenStream) -> TokenStream {
            stringified(run(stringify!($name), input))
        }
    )*};
}

entries! {
    whole Whole whole_attr;
    by_tree ByTree by_tree_attr;
    contents Contents contents_attr;
    rebuilt Rebuilt rebuilt_attr;
    called Called called_attr;
    mixed Mixed mixed_attr;
    derived Derived derived_attr;
    opened Opened opened_attr;
    asked Asked asked_attr;
    printed Printed printed_attr;
    literals Literals literals_attr;
    lexed Lexed lexed_attr;
    panics Panics panics_attr;
    panics_silently PanicsSilently panics_silently_attr;
    prints Prints prints_attr;
}

/// An attribute that gives its arguments back.
#[proc_macro_attribute]
pub fn arguments(arguments: TokenStream, _item: TokenStream) -> TokenStream {
    arguments
}
