//! `cargo belljar expand`: what macros wrote in the crates that were built, as it was compiled.
//!
//! ```text
//! records of units (written) ── of the newest build of each crate ── calls that are asked for ── tokens from the store ── as Rust
//! ```
//!
//! Nothing is compiled and no macro is run: what is shown is what the compiler was handed. With `--whole`, the calls stand in the source
//! files, as these are now.

mod format;
mod pager;
mod show;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use belljar_expander::CallSite;
use belljar_inspect::{Places, is_in};
use belljar_plan::Workspace;
use belljar_store::{Expansions, Store};
use camino::Utf8Path;

use self::format::{Formatter, Formatting};
use self::show::Outputs;
use crate::build::{self, CommandError};
use crate::json::Format;
use crate::log::is_named;
use crate::refused::plain;
use crate::report;
use crate::written::{self, Call, Macro, Of, Unit};

#[derive(Debug, clap::Args)]
pub(crate) struct Expand {
    /// Only what was written in this module or item, as a path from the crate's root: `models::User`
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Only what this macro wrote: the name of a macro (`Serialize`) or of a macro package (`serde_derive`)
    #[arg(long = "macro", value_name = "NAME")]
    macros: Vec<String>,
    /// Of this crate or package, which may be a dependency. Without it: those of the workspace
    #[arg(long = "crate", value_name = "NAME")]
    crates: Vec<String>,
    /// Of the crates as they are compiled for their tests
    #[arg(long)]
    test: bool,
    /// Whether calls in what macros wrote are shown, too
    #[arg(long, value_enum, default_value = "all")]
    level: Level,
    /// Whole source files, of each crate or of PATH, with what macros wrote in its place
    #[arg(long)]
    whole: bool,
    /// What formats what macros wrote
    #[arg(long, value_enum, default_value = "prettyplease")]
    formatter: Formatter,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write to the terminal as it is, through no pager
    #[arg(long)]
    no_pager: bool,
    /// Path of the Cargo.toml of the project
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    /// Only calls that stand in the source
    One,
    /// All calls
    All,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("nothing is on record of what macros wrote here{}\nnext: {}", test(*.tests), how_to_build(*.tests))]
    Nothing { tests: bool },
    #[error("no crate `{name}` is on record\nnext: {known}")]
    NoCrate { name: String, known: String },
    #[error("no macro `{name}` was called\nnext: {known}")]
    NoMacro { name: String, known: String },
    #[error("there is no `{path}` in which a macro was called\nnext: {known}")]
    NoPath { path: String, known: String },
    #[error("what macros wrote can't be read: {source}{}", crate::own_dir::advice(.source, "check the target directory's rights"))]
    Read { source: io::Error },
    #[error(
        "rustfmt can't be used (`{program}`): {why}\nnext: install it (`rustup component add rustfmt`), name another one in RUSTFMT, or leave `--formatter rustfmt` out"
    )]
    NoRustfmt { program: String, why: String },
    #[error("what macros wrote can't be shown: {source}")]
    Show { source: io::Error },
}

fn test(tests: bool) -> &'static str {
    if tests { ", in tests" } else { "" }
}

fn how_to_build(tests: bool) -> &'static str {
    match tests {
        true => "compile it, with `cargo belljar test --no-run`, and ask again",
        false => "compile it, with `cargo belljar check`, and ask again",
    }
}

/// A call that is to be shown.
pub(crate) struct Shown<'a> {
    pub(crate) unit: &'a Unit,
    pub(crate) call: &'a Call,
    /// How many calls it is written by, one by the other.
    pub(crate) level: usize,
    /// The first of these, or itself: one of the unit's calls.
    pub(crate) root: usize,
    /// The item in which it stands.
    pub(crate) item: Option<String>,
}

impl Shown<'_> {
    pub(crate) fn macro_of(&self) -> &Macro {
        self.unit.macro_of(self.call)
    }
}

impl Expand {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        if self.whole && self.format == Format::Json {
            let message = "the argument '--whole' cannot be used with '--format json'\n";
            clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, message).exit();
        }
        let workspace = build::workspace_of(self.manifest_path.as_ref())?;
        let expansions = Expansions::of(&Store::open_default()?);
        let dirs: Vec<_> = workspace.built_in().into_iter().map(|dir| dir.join("belljar")).collect();
        let (units, unreadable) = written::read(dirs.iter().map(AsRef::as_ref), &expansions)
            .map_err(|source| ExpandError::Read { source })?;
        unreadable.iter().for_each(report::warning);
        let units = self.chosen(units, &workspace)?;
        belljar_inspect::quiet_panics();
        let places: Vec<Places> =
            units.iter().map(|unit| Places::of(unit.header.of.root.as_std_path())).collect();
        let shown = self.calls(&units, &places)?;
        let formatting = Formatting::of(self.formatter, &workspace.root)?;
        let outputs = Outputs { expansions, formatting };
        let text = |mut out: &mut dyn Write| match self.whole {
            true => {
                let crates = units.iter().zip(&places);
                let is_wanted =
                    |item: &str, unit: &Unit| self.path.as_deref().is_none_or(|path| is_at(item, path, unit));
                whole::text(crates, &shown, is_wanted, &outputs, &mut out)
            }
            false => show::text(&shown, &outputs, &mut out),
        };
        let result = match self.format {
            Format::Json => show::json(&shown, &outputs, &mut anstream::stdout().lock()),
            Format::Text if self.no_pager => text(&mut anstream::stdout().lock()),
            Format::Text => pager::show(text),
        };
        match result {
            // Whoever reads it has read enough.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(ExpandError::Show { source: e }.into()),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    /// Of each crate that is asked for, the newest.
    fn chosen(&self, units: Vec<Unit>, workspace: &Workspace) -> Result<Vec<Unit>, ExpandError> {
        let of = units.iter().map(|unit| &unit.header.of).filter(|of| of.test == self.test);
        let names: BTreeSet<String> = of.map(|of| plain(&of.package)).collect();
        let mut newest: BTreeMap<_, Unit> = BTreeMap::new();
        for unit in units {
            let Of { package, version, crate_name, root, test, .. } = &unit.header.of;
            let of = (package.clone(), version.clone(), crate_name.clone(), root.clone(), *test);
            let wanted = match &self.crates[..] {
                [] => is_of(workspace, &unit.header.of),
                crates => crates.iter().any(|name| is_named(name, [package, crate_name])),
            };
            if !wanted || *test != self.test {
                continue;
            }
            match newest.get(&of) {
                Some(other) if other.at >= unit.at => {}
                _ => drop(newest.insert(of, unit)),
            }
        }
        let units: Vec<Unit> = newest.into_values().collect();
        match self.crates.first() {
            _ if !units.is_empty() => Ok(units),
            Some(name) if !names.is_empty() => {
                Err(ExpandError::NoCrate { name: plain(name), known: one_of(names) })
            }
            _ => Err(ExpandError::Nothing { tests: self.test }),
        }
    }

    /// The calls that are asked for.
    fn calls<'a>(&self, units: &'a [Unit], places: &[Places]) -> Result<Vec<Shown<'a>>, ExpandError> {
        let mut all: Vec<Shown<'a>> =
            units.iter().zip(places).flat_map(|(unit, places)| in_order(unit, places)).collect();
        if self.level == Level::One {
            all.retain(|shown| shown.level == 0);
        }
        for name in &self.macros {
            if !all.iter().any(|shown| is_macro(name, shown.macro_of())) {
                let known = all.iter().map(|shown| plain(&shown.macro_of().name)).collect();
                return Err(ExpandError::NoMacro { name: plain(name), known: one_of(known) });
            }
        }
        all.retain(|shown| {
            self.macros.is_empty() || self.macros.iter().any(|name| is_macro(name, shown.macro_of()))
        });
        if let Some(path) = &self.path {
            let known = all.iter().filter_map(|shown| shown.item.as_deref()).map(plain).collect();
            all.retain(|shown| shown.item.as_deref().is_some_and(|item| is_at(item, path, shown.unit)));
            if all.is_empty() {
                return Err(ExpandError::NoPath { path: plain(path), known: one_of(known) });
            }
        }
        Ok(all)
    }
}

/// Whether an item is that of a path, or in it. The path may begin with the crate's name, or `crate`.
fn is_at(item: &str, path: &str, unit: &Unit) -> bool {
    let whole = ["crate", unit.header.of.crate_name.as_str()];
    let within = whole.iter().find_map(|name| path.strip_prefix(name)?.strip_prefix("::"));
    is_in(item, path) || within.is_some_and(|path| is_in(item, path)) || whole.contains(&path)
}

fn is_macro(name: &str, of: &Macro) -> bool {
    is_named(name, [&of.package, &of.name])
}

/// Whether a unit is of a package of the workspace.
fn is_of(workspace: &Workspace, of: &Of) -> bool {
    let built = |dir: &Utf8Path| of.root.starts_with(dir);
    of.root.starts_with(&workspace.root) && !workspace.built_in().into_iter().any(built)
}

/// What there is to choose from.
fn one_of(names: BTreeSet<String>) -> String {
    const SHOWN: usize = 12;
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).take(SHOWN).collect();
    match (shown.is_empty(), more) {
        (true, _) => "leave it out, to see all".to_owned(),
        (false, 0) => format!("choose of {}", shown.join(", ")),
        (false, more) => format!("choose of {} and {more} more", shown.join(", ")),
    }
}

/// All calls of a unit as they stand in its source, each with those that it has written behind it.
fn in_order<'a>(unit: &'a Unit, places: &Places) -> Vec<Shown<'a>> {
    let mut written: Vec<Vec<usize>> = vec![Vec::new(); unit.calls.len()];
    let mut in_source = Vec::new();
    for (n, writer) in writers(&unit.calls).into_iter().enumerate() {
        match writer {
            Some(writer) => written[writer].push(n),
            None => in_source.push(n),
        }
    }
    let file = |call: &Call| call.site.as_ref().map(|site| unit.header.of.cwd.join(&site.file));
    in_source.sort_by_cached_key(|&n| {
        let call = &unit.calls[n];
        let site = call.site.as_ref().map(|site| (site.line, site.column));
        file(call).map(|file| (places.order(file.as_std_path()), file, site))
    });
    let mut shown = Vec::with_capacity(unit.calls.len());
    // The next one is the last.
    let mut next: Vec<(usize, usize, usize)> = in_source.into_iter().rev().map(|n| (n, 0, n)).collect();
    while let Some((n, level, root)) = next.pop() {
        let call = &unit.calls[n];
        let site = call.site.as_ref().zip(file(call));
        let item = site.and_then(|(site, file)| places.path(file.as_std_path(), site.line, site.column));
        shown.push(Shown { unit, call, level, root, item: item.map(str::to_owned) });
        next.extend(written[n].iter().rev().map(|&n| (n, level + 1, root)));
    }
    shown
}

/// By which earlier call each one is written, if it is. What a macro writes stands where it was called, as the compiler has it; so
/// a call that stands in an earlier one's place was written by that one, or stood in its arguments. Two calls of one macro in one
/// place are of the same writer: what calls them is written in one place, and used in several (`macro_rules!`).
fn writers(calls: &[Call]) -> Vec<Option<usize>> {
    let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut firsts: BTreeMap<_, usize> = BTreeMap::new();
    let mut writers: Vec<Option<usize>> = Vec::with_capacity(calls.len());
    for (n, call) in calls.iter().enumerate() {
        let Some(site) = &call.site else {
            writers.push(None);
            continue;
        };
        let earlier = by_file.entry(&site.file).or_default();
        let around =
            |&&other: &&usize| calls[other].site.as_ref().is_some_and(|around| is_within(site, around));
        let last = earlier.iter().rev().take(MAX_LOOKED_AT).find(around).copied();
        // Of those in the same place, the first is the one that has written the others.
        let same = last.filter(|&last| calls[last].site.as_ref() == Some(site));
        firsts.entry((site.file.as_str(), site.line, site.column, site.end)).or_insert(n);
        let first =
            same.and_then(|_| firsts.get(&(site.file.as_str(), site.line, site.column, site.end)).copied());
        writers.push(match first {
            Some(first) if calls[first].macro_at == call.macro_at => writers[first],
            Some(first) => Some(first),
            None => last,
        });
        earlier.push(n);
    }
    writers
}

/// Earlier calls of a file that are looked at for one around another: a macro's calls come soon after it.
const MAX_LOOKED_AT: usize = 5_000;

fn is_within(site: &CallSite, around: &CallSite) -> bool {
    (around.line, around.column) <= (site.line, site.column) && site.end <= around.end
}
