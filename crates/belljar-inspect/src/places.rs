//! Where in a crate a piece of its source is: from a file's line and column to the path of the item around it.
//!
//! Sources are read as they are now. Where they have changed since, places are those of now; what can't be found has none.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use proc_macro2::{LineColumn, Span};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::nesting::{self, STACK, THREAD};

/// Files of one crate that are looked at: those of a large crate.
const MAX_FILES: usize = 20_000;

/// How deep modules nest that are looked at.
const MAX_DEPTH: usize = 60;

/// The longest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// Bytes of all files that are read.
const MAX_BYTES: u64 = 256 << 20;

/// The items of a crate, by where they are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// For each file its place in the order of modules, and its items, outer ones before those in them.
    files: HashMap<PathBuf, (usize, Vec<Item>)>,
}

#[derive(Debug, Clone)]
struct Item {
    from: LineColumn,
    to: LineColumn,
    /// From the crate's root, with `::` between.
    path: String,
    /// Whether it only says that a module has a file of its own.
    is_elsewhere: bool,
}

/// A piece of a file: where it begins and where it ends. Lines count from 1, columns in characters from 0.
pub type Piece = (LineColumn, LineColumn);

impl Places {
    /// Those of the crate whose first file is `root`. A file that can't be read or parsed has none, nor have its modules.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let find = || {
            let mut places = Self::default();
            let beside = root.parent().map(Path::to_owned).unwrap_or_default();
            let whole = Module { file: root.to_owned(), beside, path: String::new(), depth: 0 };
            let (mut seen, mut next) = (Seen::default(), vec![whole]);
            while let Some(module) = next.pop() {
                let declared = places.add(&mut seen, &module);
                next.extend(declared.into_iter().rev());
                // The places of its tokens have been taken; what remembers them would keep every text.
                proc_macro2::extra::invalidate_current_thread_spans();
            }
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
            let Item { from, to, .. } = item;
            (from.line, from.column) <= (at.line, at.column) && (at.line, at.column) <= (to.line, to.column)
        };
        let (_, items) = self.files.get(file)?;
        items.iter().rfind(around).map(|item| item.path.as_str())
    }

    /// By which the crate's files are in the order of its modules; files that are none of its come last.
    #[must_use]
    pub fn order(&self, file: &Path) -> usize {
        self.files.get(file).map_or(self.files.len(), |(order, _)| *order)
    }

    /// The crate's files, in the order of its modules, each with its module's path. Those that are there but can't be read or parsed
    /// have none.
    #[must_use]
    pub fn files(&self) -> Vec<(&Path, Option<&str>)> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(_, (order, _))| *order);
        files
            .into_iter()
            .map(|(file, (_, items))| (file.as_path(), items.first().map(|whole| whole.path.as_str())))
            .collect()
    }

    /// The outermost items of a file whose paths are wanted, in order.
    #[must_use]
    pub fn pieces(&self, file: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for item in self.files.get(file).map_or(&[][..], |(_, items)| items) {
            let is_covered =
                pieces.last().is_some_and(|(_, to)| (item.to.line, item.to.column) <= (to.line, to.column));
            if !is_covered && !item.is_elsewhere && is_wanted(&item.path) {
                pieces.push((item.from, item.to));
            }
        }
        pieces
    }

    /// Adds the items of a file, and gives the modules that it declares in files of their own.
    fn add(&mut self, seen: &mut Seen, module: &Module) -> Vec<Module> {
        let mut declared = Vec::new();
        let Some(text) = seen.source(&module.file) else { return declared };
        let order = self.files.len();
        let Some(parsed) = text.and_then(|text| parsed(&text)) else {
            self.files.entry(module.file.clone()).or_insert((order, Vec::new()));
            return declared;
        };
        let end = LineColumn { line: usize::MAX, column: 0 };
        let from = LineColumn { line: 0, column: 0 };
        let whole = Item { from, to: end, path: module.path.clone(), is_elsewhere: false };
        self.files.insert(module.file.clone(), (order, vec![whole]));
        self.items(&parsed.items, module, false, &mut declared);
        declared
    }

    fn items(&mut self, items: &[syn::Item], module: &Module, is_inline: bool, declared: &mut Vec<Module>) {
        let Module { file, beside, path, depth } = module;
        if *depth > MAX_DEPTH {
            return;
        }
        for item in items {
            let Some(name) = name(item) else { continue };
            let path = joined(path, &name);
            let is_elsewhere = matches!(item, syn::Item::Mod(module) if module.content.is_none());
            self.push(file, item.span(), &path, is_elsewhere);
            match item {
                syn::Item::Mod(module) => {
                    let depth = depth + 1;
                    let (file, beside) = match (&module.content, named_file(&module.attrs)) {
                        (Some((_, items)), named) => {
                            let beside = beside.join(named.unwrap_or_else(|| PathBuf::from(&name)));
                            let module = Module { file: file.clone(), beside, path, depth };
                            self.items(items, &module, true, declared);
                            continue;
                        }
                        // Beside the file that says it; in an inline module, where that has its own.
                        (None, Some(named)) => {
                            let dir = if is_inline { beside } else { file.parent().unwrap_or(beside) };
                            let file = dir.join(named);
                            let beside = file.parent().map(Path::to_owned).unwrap_or_default();
                            (file, beside)
                        }
                        (None, None) => {
                            let beside = beside.join(&name);
                            let plain = beside.with_extension("rs");
                            (if plain.is_file() { plain } else { beside.join("mod.rs") }, beside)
                        }
                    };
                    declared.push(Module { file, beside, path, depth });
                }
                syn::Item::Impl(of) => {
                    for member in &of.items {
                        let name = match member {
                            syn::ImplItem::Fn(f) => &f.sig.ident,
                            syn::ImplItem::Const(c) => &c.ident,
                            syn::ImplItem::Type(t) => &t.ident,
                            _ => continue,
                        };
                        self.push(file, member.span(), &joined(&path, &name.unraw().to_string()), false);
                    }
                }
                syn::Item::Trait(of) => {
                    for member in &of.items {
                        if let syn::TraitItem::Fn(f) = member {
                            let name = f.sig.ident.unraw().to_string();
                            self.push(file, member.span(), &joined(&path, &name), false);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, file: &Path, span: Span, path: &str, is_elsewhere: bool) {
        if let Some((_, items)) = self.files.get_mut(file) {
            items.push(Item { from: span.start(), to: span.end(), path: path.to_owned(), is_elsewhere });
        }
    }
}

/// A module with a file of its own, or an inline one.
struct Module {
    file: PathBuf,
    /// Where the files of modules are that it declares.
    beside: PathBuf,
    path: String,
    depth: usize,
}

/// Files that were read.
#[derive(Default)]
struct Seen {
    files: HashSet<PathBuf>,
    bytes: u64,
}

impl Seen {
    /// The text of a file that was not seen before, under whatever name. `Some(None)` is a file that can't be read.
    fn source(&mut self, file: &Path) -> Option<Option<String>> {
        let found = std::fs::metadata(file).ok()?;
        if self.files.len() >= MAX_FILES || !self.files.insert(file.canonicalize().ok()?) {
            return None;
        }
        self.bytes = self.bytes.saturating_add(found.len());
        let fits = self.bytes <= MAX_BYTES;
        Some(fits.then(|| read(file)).flatten())
    }
}

/// The text of a regular file that is not too long.
pub(crate) fn read(file: &Path) -> Option<String> {
    let found = std::fs::metadata(file).ok()?;
    (found.is_file() && found.len() <= MAX_FILE).then(|| std::fs::read_to_string(file).ok())?
}

/// Whether a path is that of an item or of something in it.
#[must_use]
pub fn is_in(path: &str, item: &str) -> bool {
    path.strip_prefix(item).is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || item.is_empty())
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }
}

/// Parsed, unless it may need more stack than there is.
fn parsed(text: &str) -> Option<syn::File> {
    let tokens: proc_macro2::TokenStream = text.parse().ok()?;
    (nesting::nesting(tokens) <= nesting::MAX).then(|| syn::parse_file(text).ok())?
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
    Some(ident.unraw().to_string())
}
