//! `cargo xtask dictionary`: makes the dictionary with which remembered expansions are compressed, and says what it is worth.
//!
//! What is learned from is what published macros wrote for `fixtures/fidelity`: most of a macro's output is its own idioms, and
//! many macros share theirs. What is measured is never what was learned:
//!
//! - of each macro's expansions every fifth, by digest, is kept out,
//! - expansions of *unseen macros* are measured with dictionaries made in the same way without any of these macros' (five
//!   times, a fifth of the macros each),
//! - those of *other projects*, whose calls are none of the fixtures', are only measured; so are `derive(Deserialize)`s of eight
//!   fields, with the committed dictionary and with one that knows nothing of serde's.
//!
//! A dictionary is part of the store's format: docs/cache.md says what else changes with it.

mod entries;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use belljar_store::{Area, Expansions, Problem, Store, StoreError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::bench::subject;
use crate::project::{self, ProjectError};
use entries::Entry;
use table::{Codec, Sizes};

/// What the user may say.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only measure: write nothing
    #[arg(long)]
    dry: bool,
    /// Kilobytes that the dictionary may have
    #[arg(long, value_name = "KB", default_value_t = 112, value_parser = clap::value_parser!(u32).range(1..=1024))]
    size: u32,
    /// Learn from what is remembered in these homes of belljar, instead of compiling fixtures
    #[arg(long, value_name = "DIR")]
    home: Vec<Utf8PathBuf>,
    /// Measure what is remembered in these homes as well
    #[arg(long, value_name = "DIR")]
    other: Vec<Utf8PathBuf>,
    /// The `cargo-belljar` to use, instead of building it
    #[arg(long, value_name = "PATH")]
    belljar: Option<Utf8PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DictionaryError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("can't find belljar's store")]
    Store(#[from] StoreError),
    #[error("can't look at what is remembered")]
    Expansions(#[from] Problem),
    #[error("can't use {path}")]
    File { path: Utf8PathBuf, source: std::io::Error },
    #[error("`cargo belljar check` failed in {project}; what it said is above")]
    Check { project: Utf8PathBuf },
    #[error("zstd makes no dictionary of {entries} expansions; there must be hundreds")]
    Train { entries: usize, source: std::io::Error },
    #[error("zstd can't use the dictionary that it made")]
    Codec(#[source] std::io::Error),
    #[error("the dictionary names `{path}`, which is of this machine")]
    Machine { path: String },
}

/// Where the dictionary belongs.
const FILE: &str = "crates/belljar-store/src/expansions/dictionary.zst";

/// What is learned from.
const TRAINED: &str = "fixtures/fidelity";

/// What is only measured.
const OTHERS: [&str; 3] = ["fixtures/sample", "fixtures/service", "fixtures/workspace"];

/// Of each macro's expansions the n-th is kept out, and of the macros at a time.
const FOLDS: usize = 5;

/// Bytes of one macro package that are learned from: else the one that writes most would fill the dictionary.
const OF_ONE_MACRO: usize = 256 << 10;

/// Kilobytes that are measured.
const SIZES: [u32; 4] = [16, 32, 64, 112];

/// Levels of zstd that are measured, and that of the store.
const LEVELS: [i32; 2] = [1, LEVEL];
const LEVEL: i32 = 3;

/// Entries by what is done with them.
#[derive(Default)]
struct Found {
    known: Vec<Entry>,
    others: Vec<Entry>,
    eight_fields: Vec<Entry>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, DictionaryError> {
    let found = match args.home.as_slice() {
        [] => compiled(args)?,
        homes => Found { known: remembered(homes)?, ..Found::default() },
    };
    let Found { known, mut others, eight_fields } = found;
    let more = remembered(&args.other)?;
    others.extend(more.into_iter().filter(|entry| !known.contains(entry)));
    let (test, train): (Vec<&Entry>, Vec<&Entry>) =
        known.iter().partition(|entry| entry.lot().is_multiple_of(FOLDS));
    let mut macros: Vec<&str> = known.iter().map(|entry| entry.package.as_str()).collect();
    macros.sort_unstable();
    macros.dedup();
    println!(
        "{} expansions of {} macro packages, {} of other projects\n",
        known.len(),
        macros.len(),
        others.len()
    );

    let all: Vec<&Entry> = known.iter().collect();
    let others: Vec<&Entry> = others.iter().collect();
    let eight: Vec<&Entry> = eight_fields.iter().collect();
    for level in LEVELS {
        let plain = Codec::new(level, None)?;
        let against_plain = |codec: &Codec, of: &[&Entry]| Ok((codec.sizes(of)?, plain.sizes(of)?));
        table::begin(&format!("zstd {level}"));
        table::row(
            "without",
            [&train, &test, &all, &others, &eight, &eight].map(|of| against_plain(&plain, of)),
        )?;
        for size in SIZES {
            let made = Codec::new(level, Some(&trained(&train, size)?))?;
            let unseen = Unseen::measure(&macros, &train, &all, size, level)?;
            let unseen_eight = Unseen::measure(&macros, &train, &eight, size, level)?;
            let [train, test, others, eight] =
                [&train, &test, &others, &eight].map(|of| against_plain(&made, of));
            let unseen = Ok(unseen.against(&plain)?);
            let unseen_eight = Ok(unseen_eight.against(&plain)?);
            table::row(&format!("{size} kB"), [train, test, unseen, others, eight, unseen_eight])?;
        }
    }

    let dictionary = trained(&train, args.size)?;
    let (plain, made) = (Codec::new(LEVEL, None)?, Codec::new(LEVEL, Some(&dictionary))?);
    let unseen = Unseen::measure(&macros, &train, &all, args.size, LEVEL)?;
    table::macros(&plain, &made, &all, &unseen.by_macro())?;
    for level in LEVELS {
        table::times(level, &dictionary, &all)?;
    }

    if !args.dry {
        let path = project::root().join(FILE);
        fs::write(&path, &dictionary)
            .map_err(|source| DictionaryError::File { path: path.clone(), source })?;
        println!("\n{path}: {} bytes", dictionary.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Entries with their sizes under a dictionary that knows nothing of their macros.
struct Unseen<'a>(Vec<(&'a Entry, usize)>);

impl<'a> Unseen<'a> {
    fn measure(
        macros: &[&str],
        train: &[&Entry],
        measured: &[&'a Entry],
        size: u32,
        level: i32,
    ) -> Result<Self, DictionaryError> {
        let mut found = Vec::new();
        for fold in 0..FOLDS {
            let is_out = |entry: &Entry| {
                macros.iter().position(|name| *name == entry.package).is_some_and(|at| at % FOLDS == fold)
            };
            let out: Vec<&Entry> = measured.iter().copied().filter(|entry| is_out(entry)).collect();
            if out.is_empty() {
                continue;
            }
            let rest: Vec<&Entry> = train.iter().copied().filter(|entry| !is_out(entry)).collect();
            let codec = Codec::new(level, Some(&trained(&rest, size)?))?;
            for entry in out {
                found.push((entry, codec.size(entry)?));
            }
        }
        Ok(Self(found))
    }

    fn against(&self, plain: &Codec) -> Result<Sizes, DictionaryError> {
        let (entries, sizes): (Vec<&Entry>, Vec<usize>) = self.0.iter().copied().unzip();
        Ok((sizes, plain.sizes(&entries)?))
    }

    fn by_macro(&self) -> BTreeMap<&'a str, Vec<usize>> {
        let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (entry, size) in &self.0 {
            found.entry(&entry.package).or_default().push(*size);
        }
        found
    }
}

/// A dictionary of so many kilobytes.
fn trained(from: &[&Entry], size: u32) -> Result<Vec<u8>, DictionaryError> {
    let places = entries::of_this_machine();
    let mut of_macro: BTreeMap<&str, usize> = BTreeMap::new();
    let mut samples = Vec::new();
    for entry in from {
        let content = entry.content();
        let bytes = of_macro.entry(&entry.package).or_default();
        if *bytes + content.len() <= OF_ONE_MACRO && !places.iter().any(|place| contains(content, place)) {
            *bytes += content.len();
            samples.push(content);
        }
    }
    // zstd takes its words from the first three quarters, and chooses between several such dictionaries by the rest. Given twice,
    // all of them are in the first three quarters.
    let twice = [samples.as_slice(), samples.as_slice()].concat();
    let dictionary = zstd::dict::from_samples(&twice, size as usize * 1000)
        .map_err(|source| DictionaryError::Train { entries: samples.len(), source })?;
    match places.iter().find(|place| contains(&dictionary, place)) {
        Some(place) => Err(DictionaryError::Machine { path: place.clone() }),
        None => Ok(dictionary),
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn remembered(homes: &[Utf8PathBuf]) -> Result<Vec<Entry>, DictionaryError> {
    let mut all = Vec::new();
    for home in homes {
        all.extend(entries::of(&Store::open(home)?)?);
    }
    Ok(entries::sorted(all))
}

/// What the fixtures' macros write, and what those of other projects do beyond that; in a home of its own.
fn compiled(args: &Args) -> Result<Found, DictionaryError> {
    let belljar = match &args.belljar {
        Some(path) => {
            path.canonicalize_utf8().map_err(|source| DictionaryError::File { path: path.clone(), source })?
        }
        None => project::build_belljar(false)?,
    };
    let scratch = project::scratch("dictionary")?;
    let home = scratch.join("home");
    let store = Store::open(&home)?;
    project::copy(&Store::open_default()?.dir(Area::Toolchains), &store.dir(Area::Toolchains))?;
    Expansions::of(&store).clear()?;
    let generated = scratch.join("generated");
    project::copy(&project::root().join("fixtures/bench"), &generated)?;
    let path = generated.join("derives/src/lib.rs");
    fs::write(&path, subject::derives(subject::DERIVES, 0))
        .map_err(|source| DictionaryError::File { path, source })?;

    let check = |project: &Utf8Path, targets: &[&str]| -> Result<(), DictionaryError> {
        let target = scratch.join("target");
        project::remove(&target)?;
        let mut command = project::command(&belljar);
        command.current_dir(project).args(["belljar", "check", "--locked", "--keep-going"]).args(targets);
        command.env("BELLJAR_HOME", &home).env("CARGO_TARGET_DIR", &target).env("BELLJAR_CACHE", "on");
        let status = command
            .status()
            .map_err(|source| ProjectError::Start { program: belljar.to_string(), source })?;
        if status.success() { Ok(()) } else { Err(DictionaryError::Check { project: project.to_owned() }) }
    };
    let mut found = Found::default();
    // Some macros expand in a test target only.
    check(&project::root().join(TRAINED), &["--workspace", "--lib", "--test", "expanded"])?;
    found.known = entries::sorted(entries::of(&store)?);
    for project in OTHERS {
        check(&project::root().join(project), &["--workspace"])?;
    }
    found.others = entries::sorted(entries::of(&store)?);
    found.others.retain(|entry| !found.known.contains(entry));
    check(&generated, &["--package", "derives"])?;
    found.eight_fields = entries::sorted(entries::of(&store)?);
    found.eight_fields.retain(|entry| !found.known.contains(entry) && !found.others.contains(entry));
    Ok(found)
}
