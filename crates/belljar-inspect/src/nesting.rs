//! How deep a parser of Rust can call itself for some tokens. Sources and expansions are other people's, and a stack that is
//! exceeded ends the process.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The deepest that is parsed, with a stack of [`STACK`] bytes. Only what is used of it is taken.
pub(crate) const MAX: usize = 100_000;
pub(crate) const STACK: usize = 1 << 30;

/// How a thread is called that may panic: what can't be parsed or formatted is shown in another way.
pub(crate) const THREAD: &str = "belljar parses";

/// One group, or the whole.
struct Level {
    trees: std::iter::Peekable<proc_macro2::token_stream::IntoIter>,
    /// Tokens since the last one that surely ended what was begun.
    begun: usize,
    /// Whether a comma may be in the midst of something: in generic arguments, or those of a closure.
    is_open: bool,
    is_brace: bool,
}

impl Level {
    fn new(stream: TokenStream, is_brace: bool) -> Self {
        Self { trees: stream.into_iter().peekable(), begun: 0, is_open: false, is_brace }
    }

    fn end(&mut self) {
        (self.begun, self.is_open) = (0, false);
    }
}

/// No parser calls itself deeper than this: it does so only for tokens that it has begun with and not ended.
pub(crate) fn nesting(stream: TokenStream) -> usize {
    let mut levels = vec![Level::new(stream, false)];
    let (mut around, mut deepest) = (0, 0);
    while let Some(level) = levels.last_mut() {
        let Some(tree) = level.trees.next() else {
            let was_brace = level.is_brace;
            levels.pop();
            let Some(level) = levels.last_mut() else { break };
            around -= level.begun;
            // An item or a statement ends with its braces, but not what goes on with `else`.
            let goes_on = level
                .trees
                .peek()
                .is_some_and(|next| matches!(next, TokenTree::Ident(word) if *word == "else"));
            if was_brace && !goes_on {
                level.end();
            }
            continue;
        };
        level.begun += 1;
        match tree {
            TokenTree::Punct(punct) => match punct.as_char() {
                '<' | '|' => level.is_open = true,
                ';' => level.end(),
                ',' if !level.is_open => level.end(),
                _ => {}
            },
            TokenTree::Group(group) => {
                around += level.begun;
                levels.push(Level::new(group.stream(), group.delimiter() == Delimiter::Brace));
            }
            _ => {}
        }
        let begun = levels.last().map_or(0, |level| level.begun);
        deepest = deepest.max(around + begun);
    }
    deepest
}
