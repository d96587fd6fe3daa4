//! Printing what was made here as rustc prints it.
//!
//! Macros compare printed tokens and put them into strings, so every space counts. Two parts, both after rustc:
//! which tokens get a space between them (`print_tts` and `space_between` in
//! `compiler/rustc_ast_pretty/src/pprust/state.rs`), and where a text longer than a line is broken ([`Layout`]).
//!
//! Only for streams whose every token was put there by itself. In a stream that came in or was lexed rustc knows the
//! spaces of the source, which are not told here; then the answer is `None` and rustc has to be asked.

use crate::stream::{Piece, Repr};
use crate::{Delimiter, Group, TokenStream, TokenTree};

/// The stream as rustc prints it, or `None` if it has to be asked.
pub(crate) fn stream(stream: &TokenStream) -> Option<String> {
    let mut layout = Layout::default();
    tokens(stream, &mut layout)?;
    Some(layout.finish())
}

/// A token as rustc's parser sees it: operators of several characters are one, and so is a lifetime.
#[derive(Clone, Copy)]
enum Token<'a> {
    Ident { text: &'a str, raw: bool },
    Lifetime { text: &'a str, raw: bool },
    Operator(&'static str),
    Literal(&'a str),
    Group(&'a Group),
}

/// Whether rustc looks for a reason to put a space behind a token, and glues it to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spacing {
    Alone,
    Joint,
    /// As `Joint`, but not told to macros.
    JointHidden,
}

fn tokens<'a>(stream: &'a TokenStream, layout: &mut Layout<'a>) -> Option<()> {
    let pieces = match &stream.0 {
        Repr::Empty => return Some(()),
        Repr::Unread(_) => return None,
        Repr::Made(pieces) => pieces,
    };
    let mut glued: Vec<(Token<'a>, Spacing)> = Vec::with_capacity(pieces.len());
    let mut push = |token: Token<'a>, spacing| match glued.last_mut() {
        Some((last, last_spacing)) if *last_spacing != Spacing::Alone => match glue(*last, token) {
            Some(one) => (*last, *last_spacing) = (one, spacing),
            None => glued.push((token, spacing)),
        },
        _ => glued.push((token, spacing)),
    };
    for piece in &**pieces {
        match piece {
            Piece::Unread(_) => return None,
            Piece::Negative(number) => {
                push(Token::Operator("-"), Spacing::JointHidden);
                push(Token::Literal(number.text.strip_prefix('-').unwrap_or(number.text)), Spacing::Alone);
            }
            Piece::Tree(TokenTree::Punct(punct)) => {
                let spacing = if punct.joint { Spacing::Joint } else { Spacing::Alone };
                push(Token::Operator(operator(punct.ch)), spacing);
            }
            Piece::Tree(TokenTree::Ident(ident)) => {
                push(Token::Ident { text: ident.text, raw: ident.raw }, Spacing::Alone);
            }
            Piece::Tree(TokenTree::Literal(literal)) => push(Token::Literal(literal.text), Spacing::Alone),
            Piece::Tree(TokenTree::Group(group)) => push(Token::Group(group), Spacing::Alone),
        }
    }
    let mut rest = glued.iter().peekable();
    while let Some((token, spacing)) = rest.next() {
        match *token {
            Token::Ident { text, raw } => word_with(layout, if raw { "r#" } else { "" }, text),
            Token::Lifetime { text, raw } => word_with(layout, if raw { "'r#" } else { "'" }, text),
            Token::Operator(text) | Token::Literal(text) => layout.word(text),
            Token::Group(group) => delimited(group, layout)?,
        }
        if let Some((next, _)) = rest.peek()
            && *spacing == Spacing::Alone
            && space_between(*token, *next)?
        {
            layout.space(0);
        }
    }
    Some(())
}

fn word_with<'a>(layout: &mut Layout<'a>, prefix: &'static str, text: &'a str) {
    layout.word_of(Word { prefix, text });
}

/// As `print_mac_common` there, for a group without a header.
fn delimited<'a>(group: &'a Group, layout: &mut Layout<'a>) -> Option<()> {
    let (open, close) = match group.delimiter {
        Delimiter::Brace => {
            layout.begin(INDENT, Breaks::Consistent);
            layout.word("{");
            let spaced = !group.stream.is_empty();
            if spaced {
                layout.space(0);
            }
            layout.begin(0, Breaks::Inconsistent);
            tokens(&group.stream, layout)?;
            layout.end();
            if spaced {
                layout.space(-INDENT);
            }
            layout.word("}");
            layout.end();
            return Some(());
        }
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    };
    layout.word(open);
    layout.begin(0, Breaks::Inconsistent);
    tokens(&group.stream, layout)?;
    layout.end();
    layout.word(close);
    Some(())
}

/// Is there a space between two tokens of which the first is alone? `None`: it depends on an edition not known here.
fn space_between(left: Token<'_>, right: Token<'_>) -> Option<bool> {
    use Token::{Group as Delimited, Ident, Operator};
    let is = |token, op| matches!(token, Operator(text) if text == op);
    let is_operator = |token| matches!(token, Operator(_));
    if is(left, ".") && !is_operator(right)
        || is(left, "$") && matches!(right, Ident { .. })
        || !is_operator(left) && (is(right, ",") || is(right, ";") || is(right, "."))
    {
        return Some(false);
    }
    let parenthesis = matches!(right, Delimited(group) if group.delimiter == Delimiter::Parenthesis);
    if let Ident { text, raw } = left
        && (parenthesis || is(right, "!"))
    {
        if raw || parenthesis && matches!(text, "fn" | "Self" | "pub") {
            return Some(false);
        }
        return match text {
            "async" | "await" | "dyn" | "gen" | "try" => None,
            _ => Some(is_reserved(text)),
        };
    }
    let bracket = matches!(right, Delimited(group) if group.delimiter == Delimiter::Bracket);
    Some(!(is(left, "#") && bracket))
}

/// Reserved in every edition (`compiler/rustc_span/src/symbol.rs`, `Ident::is_reserved`).
fn is_reserved(text: &str) -> bool {
    matches!(
        text,
        "$crate"
            | "_"
            | "as"
            | "break"
            | "const"
            | "continue"
            | "crate"
            | "else"
            | "enum"
            | "extern"
            | "false"
            | "fn"
            | "for"
            | "if"
            | "impl"
            | "in"
            | "let"
            | "loop"
            | "match"
            | "mod"
            | "move"
            | "mut"
            | "pub"
            | "ref"
            | "return"
            | "self"
            | "Self"
            | "static"
            | "struct"
            | "super"
            | "trait"
            | "true"
            | "type"
            | "unsafe"
            | "use"
            | "where"
            | "while"
            | "abstract"
            | "become"
            | "box"
            | "do"
            | "final"
            | "macro"
            | "override"
            | "priv"
            | "typeof"
            | "unsized"
            | "virtual"
            | "yield"
    )
}

fn operator(ch: u8) -> &'static str {
    match ch {
        b'=' => "=",
        b'<' => "<",
        b'>' => ">",
        b'!' => "!",
        b'~' => "~",
        b'+' => "+",
        b'-' => "-",
        b'*' => "*",
        b'/' => "/",
        b'%' => "%",
        b'^' => "^",
        b'&' => "&",
        b'|' => "|",
        b'@' => "@",
        b'.' => ".",
        b',' => ",",
        b';' => ";",
        b':' => ":",
        b'#' => "#",
        b'$' => "$",
        b'?' => "?",
        _ => "'",
    }
}

/// What rustc makes of two tokens that stand together (`Token::glue` in `compiler/rustc_ast/src/token.rs`).
fn glue<'a>(left: Token<'a>, right: Token<'a>) -> Option<Token<'a>> {
    let (left, right) = match (left, right) {
        (Token::Operator("'"), Token::Ident { text, raw }) => return Some(Token::Lifetime { text, raw }),
        (Token::Operator(left), Token::Operator(right)) => (left, right),
        _ => return None,
    };
    Some(Token::Operator(match (left, right) {
        ("=", "=") => "==",
        ("=", ">") => "=>",
        ("<", "=") => "<=",
        ("<", "<") => "<<",
        ("<", "-") => "<-",
        (">", "=") => ">=",
        (">", ">") => ">>",
        ("!", "=") => "!=",
        ("+", "=") => "+=",
        ("-", "=") => "-=",
        ("-", ">") => "->",
        ("*", "=") => "*=",
        ("/", "=") => "/=",
        ("%", "=") => "%=",
        ("^", "=") => "^=",
        ("&", "=") => "&=",
        ("&", "&") => "&&",
        ("|", "=") => "|=",
        ("|", "|") => "||",
        ("<<", "=") => "<<=",
        (">>", "=") => ">>=",
        (".", ".") => "..",
        ("..", ".") => "...",
        ("..", "=") => "..=",
        (":", ":") => "::",
        _ => return None,
    }))
}

/// Columns of a line (`MARGIN` in `compiler/rustc_ast_pretty/src/pp.rs`).
const MARGIN: isize = 78;
/// Columns a line has at least, however far it is indented.
const MIN_SPACE: isize = 60;
/// Columns the contents of braces are indented by.
const INDENT: isize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    /// If the box does not fit into the line, each of its spaces becomes a new line.
    Consistent,
    /// Only those become new lines behind which the next part does not fit.
    Inconsistent,
}

#[derive(Clone, Copy)]
struct Word<'a> {
    prefix: &'static str,
    text: &'a str,
}

impl Word<'_> {
    fn len(self) -> isize {
        (self.prefix.len() + self.text.len()) as isize
    }
}

enum Event<'a> {
    Word(Word<'a>),
    /// One space, or a new line indented by so much more than its box.
    Space(isize),
    Begin(isize, Breaks),
    End,
}

/// Lines for words, spaces and nested boxes: the algorithm of Derek C. Oppen, "Prettyprinting", 1980, with rustc's
/// numbers (`compiler/rustc_ast_pretty/src/pp.rs`). All of a text is known before its first line is laid out, so sizes
/// are computed for all of it first.
#[derive(Default)]
struct Layout<'a> {
    /// Each with the columns from here to where it can be decided: of a space, up to the next one in its box; of a box,
    /// up to the first space behind it.
    events: Vec<(Event<'a>, isize)>,
    /// Spaces and box ends whose size is not known yet.
    open: Vec<usize>,
    /// Columns of everything so far, on one line.
    columns: isize,
}

impl<'a> Layout<'a> {
    fn word(&mut self, text: &'a str) {
        self.word_of(Word { prefix: "", text });
    }

    fn word_of(&mut self, word: Word<'a>) {
        self.columns += word.len();
        self.events.push((Event::Word(word), 0));
    }

    fn space(&mut self, offset: isize) {
        self.settle();
        self.push_open(Event::Space(offset));
        self.columns += 1;
    }

    fn begin(&mut self, indent: isize, breaks: Breaks) {
        self.push_open(Event::Begin(indent, breaks));
    }

    fn end(&mut self) {
        self.push_open(Event::End);
    }

    fn push_open(&mut self, event: Event<'a>) {
        self.open.push(self.events.len());
        self.events.push((event, -self.columns));
    }

    /// Gives sizes to the last space of the current box and to all boxes that ended behind it.
    fn settle(&mut self) {
        let mut ended = 0;
        while let Some(&last) = self.open.last() {
            let Some((event, size)) = self.events.get_mut(last) else { return };
            match event {
                Event::Begin(..) if ended == 0 => return,
                Event::Begin(..) => ended -= 1,
                Event::End => ended += 1,
                Event::Space(_) | Event::Word(_) => {
                    if ended == 0 {
                        *size += self.columns;
                        self.open.pop();
                        return;
                    }
                }
            }
            *size += self.columns;
            self.open.pop();
        }
    }

    fn finish(mut self) -> String {
        while !self.open.is_empty() {
            let before = self.open.len();
            self.settle();
            if self.open.len() == before {
                break;
            }
        }
        let mut text = String::with_capacity(self.columns as usize);
        let mut space = MARGIN;
        let mut indent = 0;
        // Spaces are held back until a word follows.
        let mut pending = 0;
        // For each box around: `None` if it fits into the line, else how it breaks and the indent outside of it.
        let mut boxes: Vec<Option<(Breaks, isize)>> = Vec::new();
        for (event, size) in self.events {
            match event {
                Event::Word(word) => {
                    text.extend(std::iter::repeat_n(' ', pending as usize));
                    pending = 0;
                    text.push_str(word.prefix);
                    text.push_str(word.text);
                    space -= word.len();
                }
                Event::Begin(more, breaks) => {
                    if size > space {
                        boxes.push(Some((breaks, indent)));
                        indent += more;
                    } else {
                        boxes.push(None);
                    }
                }
                Event::End => {
                    if let Some(Some((_, outside))) = boxes.pop() {
                        indent = outside;
                    }
                }
                Event::Space(offset) => {
                    let fits = match boxes.last() {
                        Some(None) => true,
                        Some(Some((Breaks::Consistent, _))) => false,
                        Some(Some((Breaks::Inconsistent, _))) | None => size <= space,
                    };
                    if fits {
                        pending += 1;
                        space -= 1;
                    } else {
                        text.push('\n');
                        pending = indent + offset;
                        space = MIN_SPACE.max(MARGIN - pending);
                    }
                }
            }
        }
        text
    }
}
