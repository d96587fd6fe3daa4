//! Where in a crate a piece of its source is: from a file's line and column to the path of the item around it.
//!
//! Sources are read as they are now. Where they have changed since, places are those of now; what can't be found has none.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;

use crate::rust::THREAD;

/// Files of one crate that are looked at: those of a large crate.
const MAX_FILES: usize = 20_000;

/// How deep modules nest that are looked at.
const MAX_DEPTH: usize = 60;

/// The longest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// How deep the parser may call itself, at most, and room for that. Only what is used is taken.
const MAX_NESTING: usize = 100_000;
const STACK: usize = 1 << 30;

/// The items of a crate, by where they are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Outer ones before those in them.
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    file: PathBuf,
    from: LineColumn,
    to: LineColumn,
    /// From the crate's root, with `::` between.
    path: String,
}

impl Places {
    /// Those of the crate whose first file is `root`. A file that can't be read or parsed has none, nor have its modules.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let find = || {
            let mut places = Self::default();
            let beside = root.parent().map(Path::to_owned).unwrap_or_default();
            places.file(&mut HashSet::new(), root, &beside, "", 0);
            places
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK);
            thread.spawn_scoped(scope, find).ok().and_then(|finding| finding.join().ok()).unwrap_or_default()
        })
    }

    /// The path of the innermost item around a place; `line` and `column` count from 1. The crate's root has an empty one.
    #[must_use]
    pub fn path(&self, file: &Path, line: u32, column: u32) -> Option<&str> {
        let at = LineColumn { line: line as usize, column: (column as usize).saturating_sub(1) };
        let around = |item: &&Item| {
            let Item { file: of, from, to, .. } = item;
            of == file
                && (from.line, from.column) <= (at.line, at.column)
                && (at.line, at.column) <= (to.line, to.column)
        };
        self.items.iter().rfind(around).map(|item| item.path.as_str())
    }

    /// By which the crate's files are in the order of its modules; files that are none of its come last.
    #[must_use]
    pub fn order(&self, file: &Path) -> usize {
        self.items.iter().position(|item| item.file == file).unwrap_or(self.items.len())
    }

    /// `beside` is where files of modules are that this one declares.
    fn file(&mut self, seen: &mut HashSet<PathBuf>, file: &Path, beside: &Path, path: &str, depth: usize) {
        if depth > MAX_DEPTH || seen.len() >= MAX_FILES || !seen.insert(file.to_owned()) {
            return;
        }
        let Some(parsed) = source(file).and_then(|text| parsed(&text)) else { return };
        let end = LineColumn { line: usize::MAX, column: 0 };
        let from = LineColumn { line: 0, column: 0 };
        self.items.push(Item { file: file.to_owned(), from, to: end, path: path.to_owned() });
        self.items(seen, &parsed.items, file, beside, path, depth);
    }

    fn items(
        &mut self,
        seen: &mut HashSet<PathBuf>,
        items: &[syn::Item],
        file: &Path,
        beside: &Path,
        path: &str,
        depth: usize,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        for item in items {
            let Some(name) = name(item) else { continue };
            let path = joined(path, &name);
            self.push(file, item.span(), &path);
            match item {
                syn::Item::Mod(module) => {
                    let named = named_file(&module.attrs);
                    match (&module.content, named) {
                        (Some((_, items)), named) => {
                            let beside = beside.join(named.unwrap_or_else(|| PathBuf::from(&name)));
                            self.items(seen, items, file, &beside, &path, depth + 1);
                        }
                        // Beside the file that says it, whatever module it is in: but for inline ones, where rustc has it
                        // as here.
                        (None, Some(named)) => {
                            let dir = file.parent().unwrap_or(beside);
                            let file = dir.join(named);
                            let beside = file.parent().map(Path::to_owned).unwrap_or_default();
                            self.file(seen, &file, &beside, &path, depth + 1);
                        }
                        (None, None) => {
                            let beside = beside.join(&name);
                            let plain = beside.with_extension("rs");
                            let file = if plain.is_file() { plain } else { beside.join("mod.rs") };
                            self.file(seen, &file, &beside, &path, depth + 1);
                        }
                    }
                }
                syn::Item::Impl(of) => {
                    for member in &of.items {
                        let name = match member {
                            syn::ImplItem::Fn(f) => Some(f.sig.ident.to_string()),
                            syn::ImplItem::Const(c) => Some(c.ident.to_string()),
                            syn::ImplItem::Type(t) => Some(t.ident.to_string()),
                            _ => None,
                        };
                        if let Some(name) = name {
                            self.push(file, member.span(), &joined(&path, &name));
                        }
                    }
                }
                syn::Item::Trait(of) => {
                    for member in &of.items {
                        if let syn::TraitItem::Fn(f) = member {
                            self.push(file, member.span(), &joined(&path, &f.sig.ident.to_string()));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, file: &Path, span: Span, path: &str) {
        self.items.push(Item {
            file: file.to_owned(),
            from: span.start(),
            to: span.end(),
            path: path.to_owned(),
        });
    }
}

/// Whether a path is that of an item or of something in it.
#[must_use]
pub fn is_in(path: &str, item: &str) -> bool {
    path.strip_prefix(item).is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || item.is_empty())
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }
}

/// A regular file's text.
fn source(file: &Path) -> Option<String> {
    let found = std::fs::metadata(file).ok()?;
    (found.is_file() && found.len() <= MAX_FILE).then(|| std::fs::read_to_string(file).ok())?
}

/// Parsed, unless it may need more stack than there is: sources can be somebody else's.
fn parsed(text: &str) -> Option<syn::File> {
    (nesting(text) <= MAX_NESTING).then(|| syn::parse_file(text).ok())?
}

/// No parser of Rust calls itself deeper than this while it reads a text: it does so only for what it has begun and not ended.
fn nesting(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut begun, mut around, mut deepest) = (0_usize, 0_usize, 0);
    let mut open: Vec<usize> = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b';' | b',' => begun = 0,
            b'(' | b'[' | b'{' => {
                open.push(begun);
                around += begun + 1;
                begun = 0;
            }
            b')' | b']' | b'}' => {
                let before = open.pop().unwrap_or(0);
                around = around.saturating_sub(before + 1);
                // An item or a statement ends with its braces, but not what goes on with `else`.
                let goes_on = *byte != b'}' || text[at + 1..].trim_start().starts_with("else");
                begun = if goes_on { before + 1 } else { 0 };
            }
            _ => begun += 1,
        }
        deepest = deepest.max(around + begun);
    }
    deepest
}

/// The name of a module's file, where it is given.
fn named_file(attrs: &[syn::Attribute]) -> Option<PathBuf> {
    attrs.iter().filter(|attr| attr.path().is_ident("path")).find_map(|attr| match &attr.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }),
            ..
        }) => Some(path.value().into()),
        _ => None,
    })
}

fn name(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(of) => &of.ident,
        syn::Item::Enum(of) => &of.ident,
        syn::Item::Fn(of) => &of.sig.ident,
        syn::Item::Mod(of) => &of.ident,
        syn::Item::Static(of) => &of.ident,
        syn::Item::Struct(of) => &of.ident,
        syn::Item::Trait(of) => &of.ident,
        syn::Item::TraitAlias(of) => &of.ident,
        syn::Item::Type(of) => &of.ident,
        syn::Item::Union(of) => &of.ident,
        syn::Item::Impl(of) => match &*of.self_ty {
            syn::Type::Path(path) => return path.path.segments.last().map(|last| last.ident.to_string()),
            _ => return None,
        },
        _ => return None,
    };
    Some(ident.to_string())
}
