//! One source file as it is now, and where in it the calls of macros are that the compiler has named.
//!
//! ```text
//! #[derive(mac::Hello)]        a derive writes beside its item:      behind it
//! pub struct User;
//! #[mac::beside]               an attribute's output replaces both:  the attribute and the item it is on
//! pub fn answer() -> u8 {
//!     mac::calls!()            so does a function's:                 the invocation
//! }
//! ```
//!
//! A call whose place is in the definition of a `macro_rules!` macro replaces nothing there: it stands behind that.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::flat::Token;
use crate::nesting::{self, STACK, THREAD};
use crate::places::{self, Piece};
use crate::rust::{is_same_doc, parts, text_of};

/// How deep items nest that are looked at.
const MAX_DEPTH: usize = 60;

/// A source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    found: Found,
}

/// How a macro is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    Derive,
    Attribute,
    Function,
}

/// Where in a file what a call wrote is to stand, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// In place of this part.
    For(Range<usize>),
    /// Behind the end of this part, which is not its own.
    Behind(Range<usize>),
}

/// What the parser has found, as parts of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    /// Each item, outer ones before those in them.
    items: Vec<Range<usize>>,
    /// Attributes, each with the item that it is on.
    attributes: Vec<(Range<usize>, Range<usize>)>,
    /// Calls of macros by where they begin and end, each with its end as an item, which may be behind a semicolon.
    invocations: HashMap<(usize, usize), usize>,
    /// Definitions of `macro_rules!` macros.
    definitions: Vec<Range<usize>>,
    /// Where a token begins or ends, in order.
    bounds: Vec<usize>,
}

impl Source {
    /// A file as it is now. `None` if it can't be read, or is no Rust that is known.
    #[must_use]
    pub fn read(file: &Path) -> Option<Self> {
        Self::of(&places::read(file)?)
    }

    /// A file with this text.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        // As rustc reads it. Source: `rustc_span::normalize_src`.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let found = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK);
            thread.spawn_scoped(scope, || Found::of(&text)).ok()?.join().ok()?
        })?;
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Some(Self { text, lines, found })
    }

    /// Without a byte order mark, and with line feeds alone between lines.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The part between two places; lines and columns count from 1, columns in characters. `None` if there is none, or where it
    /// begins or ends in the midst of a token.
    #[must_use]
    pub fn range(&self, from: (u32, u32), to: (u32, u32)) -> Option<Range<usize>> {
        let range = self.offset(from.0 as usize, (from.1 as usize).checked_sub(1)?)?
            ..self.offset(to.0 as usize, (to.1 as usize).checked_sub(1)?)?;
        let is_bound = |at: &usize| self.found.bounds.binary_search(at).is_ok();
        (range.start < range.end && is_bound(&range.start) && is_bound(&range.end)).then_some(range)
    }

    /// The part that a piece is. `None` if the file has changed since that was found.
    #[must_use]
    pub fn piece(&self, (from, to): &Piece) -> Option<Range<usize>> {
        let from = if from.line == 0 { 0 } else { self.offset(from.line, from.column)? };
        let to = if to.line == usize::MAX { self.text.len() } else { self.offset(to.line, to.column)? };
        (from <= to).then_some(from..to)
    }

    fn offset(&self, line: usize, column: usize) -> Option<usize> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let line = self.text.get(start..end)?;
        let mut columns = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        Some(start + columns.nth(column)?)
    }

    /// Where what a call at this part wrote is to stand.
    #[must_use]
    pub fn stands(&self, called: Called, at: &Range<usize>) -> Stands {
        let Found { attributes, invocations, definitions, .. } = &self.found;
        let on = || {
            attributes.iter().find(|(attribute, _)| is_within(at, attribute)).map(|(_, item)| item.clone())
        };
        if definitions.iter().any(|definition| is_within(at, definition)) {
            return self.behind(at);
        }
        match called {
            Called::Function => match invocations.get(&(at.start, at.end)) {
                Some(&end) => Stands::For(at.start..end),
                None => self.behind(at),
            },
            Called::Attribute => on().map_or_else(|| self.behind(at), Stands::For),
            Called::Derive => on().map_or_else(|| self.behind(at), Stands::Behind),
        }
    }

    /// Behind the innermost item around a part.
    #[must_use]
    pub fn behind(&self, at: &Range<usize>) -> Stands {
        let around = self.found.items.iter().rfind(|item| is_within(at, item)).cloned();
        Stands::Behind(around.unwrap_or(0..self.text.len()))
    }

    /// Whether the arguments of a call of a function-like macro are these tokens.
    #[must_use]
    pub fn has_arguments(&self, call: &Range<usize>, given: &[Token<'_>]) -> bool {
        let Some(call) = self.text.get(call.clone()) else { return false };
        let Some((_, group)) = call.split_once('!') else { return false };
        let Some(mut parts) = parts(group) else { return false };
        // What remembers its places would keep the text.
        proc_macro2::extra::invalidate_current_thread_spans();
        // The delimiters, and a semicolon behind them.
        if parts.last().is_some_and(|last| last.text == ";") {
            parts.pop();
        }
        let Some(arguments) = parts.get(1..parts.len().saturating_sub(1)) else { return false };
        let mut arguments = arguments.iter().map(|part| part.text.as_str());
        let mut before = ["", ""];
        let is_same = given.iter().filter_map(|token| text_of(*token)).all(|given| {
            let Some(argument) = arguments.next() else { return false };
            let is_doc = before == ["doc", "="] && is_same_doc(&given, argument);
            before = [before[1], argument];
            given == argument || is_doc
        });
        is_same && arguments.next().is_none()
    }
}

fn is_within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

impl Found {
    fn of(text: &str) -> Option<Self> {
        let mut found = Self::default();
        // What starts a script is no Rust. What comes behind it stays where it is.
        let script = text.strip_prefix("#!").filter(|rest| !rest.trim_start().starts_with('['));
        let line = script.and(text.lines().next()).unwrap_or_default().len();
        let without = format!("{}{}", " ".repeat(line), &text[line..]);
        let text = if line == 0 { text } else { &without };
        let tokens: TokenStream = text.parse().ok()?;
        if nesting::nesting(tokens.clone()) > nesting::MAX {
            return None;
        }
        found.tokens(tokens.clone());
        let mut items = Items { found: &mut found, depth: 0 };
        items.visit_file(&syn::parse2(tokens).ok()?);
        found.bounds.sort_unstable();
        found.bounds.dedup();
        Some(found)
    }

    /// Adds what tokens tell, which may be arguments of macros: nobody parses those.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut open: Vec<(_, Row)> = vec![(tokens.into_iter(), Row::default())];
        while let Some((trees, row)) = open.last_mut() {
            let Some(tree) = trees.next() else {
                open.pop();
                continue;
            };
            let range = tree.span().byte_range();
            self.bounds.extend([range.start, range.end]);
            let TokenTree::Group(group) = tree else {
                row.0.push((tree, range.start));
                continue;
            };
            self.bounds.extend([group.span_open().byte_range().end, group.span_close().byte_range().start]);
            if let Some(start) = row.definition() {
                self.definitions.push(start..range.end);
            } else if let Some(start) = row.call() {
                self.invocations.insert((start, range.end), range.end);
            }
            row.0.clear();
            open.push((group.stream().into_iter(), Row::default()));
        }
    }

    /// What a call is as an item ends behind its semicolon.
    fn called(&mut self, call: &syn::Macro, semicolon: Option<&syn::Token![;]>) {
        if let Some(semicolon) = semicolon {
            let call = call.span().byte_range();
            self.invocations.insert((call.start, call.end), semicolon.span.byte_range().end);
        }
    }
}

/// The tokens before a group, each with where it begins.
#[derive(Default)]
struct Row(Vec<(TokenTree, usize)>);

impl Row {
    /// Where a call of a macro begins that the group ends: `a::b!(…)`.
    fn call(&self) -> Option<usize> {
        let [path @ .., (TokenTree::Ident(_), start), (bang, _)] = &self.0[..] else { return None };
        let (mut path, mut start) = (path, *start);
        while let [before @ .., (first, colons), (second, _)] = path
            && is_punct(first, ':')
            && is_punct(second, ':')
        {
            (path, start) = match before {
                [before @ .., (TokenTree::Ident(_), start)] => (before, *start),
                _ => (&path[..0], *colons),
            };
        }
        is_punct(bang, '!').then_some(start)
    }

    /// Where the definition of a macro begins that the group ends: `macro_rules! name {…}`.
    fn definition(&self) -> Option<usize> {
        match &self.0[..] {
            [.., (TokenTree::Ident(word), start), (bang, _), (TokenTree::Ident(_), _)]
                if word == "macro_rules" && is_punct(bang, '!') =>
            {
                Some(*start)
            }
            _ => None,
        }
    }
}

fn is_punct(tree: &TokenTree, ch: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ch)
}

/// Looks for items, wherever they stand.
struct Items<'a> {
    found: &'a mut Found,
    depth: usize,
}

impl Items<'_> {
    fn within(&mut self, item: Range<usize>, attributes: &[syn::Attribute], within: impl FnOnce(&mut Self)) {
        if self.depth > MAX_DEPTH {
            return;
        }
        self.depth += 1;
        let on = attributes.iter().map(|attribute| (attribute.span().byte_range(), item.clone()));
        self.found.attributes.extend(on);
        self.found.items.push(item);
        within(self);
        self.depth -= 1;
    }
}

impl<'ast> Visit<'ast> for Items<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Const(of) => &of.attrs,
            syn::Item::Enum(of) => &of.attrs,
            syn::Item::ExternCrate(of) => &of.attrs,
            syn::Item::Fn(of) => &of.attrs,
            syn::Item::ForeignMod(of) => &of.attrs,
            syn::Item::Impl(of) => &of.attrs,
            syn::Item::Macro(of) => &of.attrs,
            syn::Item::Mod(of) => &of.attrs,
            syn::Item::Static(of) => &of.attrs,
            syn::Item::Struct(of) => &of.attrs,
            syn::Item::Trait(of) => &of.attrs,
            syn::Item::TraitAlias(of) => &of.attrs,
            syn::Item::Type(of) => &of.attrs,
            syn::Item::Union(of) => &of.attrs,
            syn::Item::Use(of) => &of.attrs,
            _ => &[][..],
        };
        if let syn::Item::Macro(syn::ItemMacro { mac, semi_token, .. }) = item {
            self.found.called(mac, semi_token.as_ref());
        }
        self.within(item.span().byte_range(), attributes, |this| visit::visit_item(this, item));
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(of) => &of.attrs,
            syn::ImplItem::Fn(of) => &of.attrs,
            syn::ImplItem::Type(of) => &of.attrs,
            syn::ImplItem::Macro(of) => &of.attrs,
            _ => &[][..],
        };
        if let syn::ImplItem::Macro(syn::ImplItemMacro { mac, semi_token, .. }) = item {
            self.found.called(mac, semi_token.as_ref());
        }
        self.within(item.span().byte_range(), attributes, |this| visit::visit_impl_item(this, item));
    }

    fn visit_trait_item(&mut self, item: &'ast syn::TraitItem) {
        let attributes = match item {
            syn::TraitItem::Const(of) => &of.attrs,
            syn::TraitItem::Fn(of) => &of.attrs,
            syn::TraitItem::Type(of) => &of.attrs,
            syn::TraitItem::Macro(of) => &of.attrs,
            _ => &[][..],
        };
        if let syn::TraitItem::Macro(syn::TraitItemMacro { mac, semi_token, .. }) = item {
            self.found.called(mac, semi_token.as_ref());
        }
        self.within(item.span().byte_range(), attributes, |this| visit::visit_trait_item(this, item));
    }

    fn visit_foreign_item(&mut self, item: &'ast syn::ForeignItem) {
        let attributes = match item {
            syn::ForeignItem::Fn(of) => &of.attrs,
            syn::ForeignItem::Static(of) => &of.attrs,
            syn::ForeignItem::Type(of) => &of.attrs,
            syn::ForeignItem::Macro(of) => &of.attrs,
            _ => &[][..],
        };
        if let syn::ForeignItem::Macro(syn::ForeignItemMacro { mac, semi_token, .. }) = item {
            self.found.called(mac, semi_token.as_ref());
        }
        self.within(item.span().byte_range(), attributes, |this| visit::visit_foreign_item(this, item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a text that a call at each of these parts stands for (`=`) or behind (`+`).
    fn stands(text: &str, calls: &[(Called, &str)]) -> Vec<String> {
        let source = Source::of(text).unwrap();
        let one = |(called, at): &(Called, &str)| {
            let start = source.text.find(at).unwrap();
            match source.stands(*called, &(start..start + at.len())) {
                Stands::For(range) => format!("={}", &source.text[range]),
                Stands::Behind(range) => format!("+{}", &source.text[range]),
            }
        };
        calls.iter().map(one).collect()
    }

    #[test]
    fn calls_are_found_where_they_stand() {
        use Called::{Attribute, Derive, Function};
        let text = "\u{feff}#!/usr/bin/env run
//! é
/// Doc.
#[a] #[cfg_attr(x, c(1))]
#[derive(m::D, E)]\r
struct S;
m::item! {}
m::items!();
macro_rules! r { ($x:ident) => { #[derive(R)] struct $x; inner!() } }
fn f() { ::g::call![1]; nested!(deep::in_args!(2)); #[b] fn h() {} }
impl S { member!(3); #[d] const C: u8 = not!(4) + !(5); }
trait T { #[e] type A; }
extern \"C\" { #[f] fn x(); }
cfg_if! { #[derive(Hidden)] struct X; }
";
        let item = "/// Doc.\n#[a] #[cfg_attr(x, c(1))]\n#[derive(m::D, E)]\nstruct S;";
        let rules = "macro_rules! r { ($x:ident) => { #[derive(R)] struct $x; inner!() } }";
        let expected = [
            ((Attribute, "#[a]"), format!("={item}")),
            ((Attribute, "c(1)"), format!("={item}")),
            ((Derive, "m::D"), format!("+{item}")),
            ((Derive, "E"), format!("+{item}")),
            ((Function, "m::item! {}"), "=m::item! {}".to_owned()),
            ((Function, "m::items!()"), "=m::items!();".to_owned()),
            ((Derive, "R"), format!("+{rules}")),
            ((Function, "inner!()"), format!("+{rules}")),
            ((Function, "::g::call![1]"), "=::g::call![1]".to_owned()),
            ((Function, "deep::in_args!(2)"), "=deep::in_args!(2)".to_owned()),
            ((Attribute, "#[b]"), "=#[b] fn h() {}".to_owned()),
            ((Function, "member!(3)"), "=member!(3);".to_owned()),
            ((Attribute, "#[d]"), "=#[d] const C: u8 = not!(4) + !(5);".to_owned()),
            ((Function, "not!(4)"), "=not!(4)".to_owned()),
            ((Function, "(5)"), "+#[d] const C: u8 = not!(4) + !(5);".to_owned()),
            ((Attribute, "#[e]"), "=#[e] type A;".to_owned()),
            ((Attribute, "#[f]"), "=#[f] fn x();".to_owned()),
            ((Derive, "Hidden"), "+cfg_if! { #[derive(Hidden)] struct X; }".to_owned()),
        ];
        let (calls, expected): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
        assert_eq!(stands(text, &calls), expected);
    }

    #[test]
    fn places_that_are_none_have_no_part() {
        let source = Source::of("const É: u8 = ab!(1);\n\nfn f() {}").unwrap();
        let part = |from, to| source.range(from, to).map(|range| &source.text[range]);
        assert_eq!(part((1, 15), (1, 21)), Some("ab!(1)"));
        assert_eq!(part((3, 4), (3, 7)), Some("f()"));
        for (from, to) in [
            ((1, 16), (1, 21)),
            ((1, 15), (1, 15)),
            ((1, 21), (1, 15)),
            ((1, 0), (1, 6)),
            ((0, 1), (1, 6)),
            ((1, 15), (1, 99)),
            ((1, 15), (2, 1)),
            ((9, 1), (9, 2)),
        ] {
            assert_eq!(part(from, to), None, "{from:?} {to:?}");
        }
        assert_eq!(Source::of("fn {"), None);
        assert_eq!(Source::of(&format!("const A: bool = {}a;", "!".repeat(100_000))), None);
    }

    #[test]
    fn arguments_are_compared() {
        let source = Source::of("fn f() { m!(a /* b */ , \"x\", ); }").unwrap();
        let call = 9..source.text.find(';').unwrap();
        let ident = |text| Token::Ident { text, raw: false };
        let comma = Token::Punct { ch: ',', joint: false };
        let tokens = [ident("a"), comma, Token::Literal("\"x\""), comma];
        assert!(source.has_arguments(&call, &tokens));
        assert!(!source.has_arguments(&call, &tokens[..3]));
        assert!(!source.has_arguments(&call, &[&tokens[..], &[comma]].concat()));
        assert!(!source.has_arguments(&call, &[ident("b"), comma, Token::Literal("\"x\""), comma]));
    }
}
