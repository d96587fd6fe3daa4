//! What a dictionary is worth, as tables for docs/cache.md.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::DictionaryError;
use super::entries::Entry;

/// zstd, with or without a dictionary.
pub(super) struct Codec(RefCell<Compressor<'static>>);

impl Codec {
    pub(super) fn new(level: i32, dictionary: Option<&[u8]>) -> Result<Self, DictionaryError> {
        let made = Compressor::with_dictionary(level, dictionary.unwrap_or_default());
        Ok(Self(RefCell::new(made.map_err(DictionaryError::Codec)?)))
    }

    /// Bytes of an entry, compressed.
    pub(super) fn size(&self, entry: &Entry) -> Result<usize, DictionaryError> {
        Ok(self.0.borrow_mut().compress(&entry.body).map_err(DictionaryError::Codec)?.len())
    }

    pub(super) fn sizes(&self, entries: &[&Entry]) -> Result<Vec<usize>, DictionaryError> {
        entries.iter().map(|entry| self.size(entry)).collect()
    }
}

/// Bytes of some entries, and of the same ones without a dictionary.
pub(super) type Sizes = (Vec<usize>, Vec<usize>);

/// The middle one in kilobytes, and how much that is of what they take without a dictionary, on average.
fn cell((sizes, plain): &Sizes) -> String {
    if sizes.is_empty() {
        return "–".to_owned();
    }
    let mut sorted = sizes.clone();
    sorted.sort_unstable();
    let ratios = sizes.iter().zip(plain).map(|(size, plain)| *size as f64 / *plain as f64);
    let ratio = ratios.sum::<f64>() / sizes.len() as f64;
    format!("{:.2} ({:.0} %)", sorted[sorted.len() / 2] as f64 / 1e3, ratio * 100.0)
}

fn mean(sizes: &[usize]) -> f64 {
    sizes.iter().sum::<usize>() as f64 / sizes.len().max(1) as f64 / 1e3
}

/// What is measured, in the order of a row's cells.
const COLUMNS: [&str; 6] = [
    "learned from",
    "kept out",
    "unseen macros",
    "other projects",
    "eight fields",
    "eight fields, serde unseen",
];

pub(super) fn begin(title: &str) {
    println!("\nkB of an expansion, median, and how much of what it takes without, on average\n");
    println!("| {title} | {} |", COLUMNS.join(" | "));
    println!("|{}", "---|".repeat(COLUMNS.len() + 1));
}

pub(super) fn row(
    name: &str,
    columns: [Result<Sizes, DictionaryError>; COLUMNS.len()],
) -> Result<(), DictionaryError> {
    let cells = columns.into_iter().map(|sizes| Ok(cell(&sizes?)));
    let cells: Vec<String> = cells.collect::<Result<_, DictionaryError>>()?;
    println!("| {name} | {} |", cells.join(" | "));
    Ok(())
}

/// Each macro package by itself.
pub(super) fn macros(
    plain: &Codec,
    made: &Codec,
    all: &[&Entry],
    unseen: &BTreeMap<&str, Vec<usize>>,
) -> Result<(), DictionaryError> {
    let mut by_macro: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in all {
        by_macro.entry(&entry.package).or_default().push(entry);
    }
    println!("\n| macro package | expansions | raw kB | without | with | with one that does not know it |");
    println!("|---|---|---|---|---|---|");
    for (name, entries) in by_macro {
        let raw: Vec<usize> = entries.iter().map(|entry| entry.body.len()).collect();
        println!(
            "| {name} | {} | {:.1} | {:.2} | {:.2} | {:.2} |",
            entries.len(),
            mean(&raw),
            mean(&plain.sizes(&entries)?),
            mean(&made.sizes(&entries)?),
            mean(unseen.get(name).map_or(&[], Vec::as_slice)),
        );
    }
    Ok(())
}

/// How often each time is taken; the middle one counts.
const ROUNDS: usize = 51;

/// Bytes of expansions whose times are taken.
const TYPICAL: std::ops::Range<usize> = 12_000..20_000;

/// What it costs, for the expansions near that size.
pub(super) fn times(level: i32, dictionary: &[u8], all: &[&Entry]) -> Result<(), DictionaryError> {
    let encoder = EncoderDictionary::try_copy(dictionary, level).map_err(DictionaryError::Codec)?;
    let decoder = DecoderDictionary::try_copy(dictionary).map_err(DictionaryError::Codec)?;
    let typical: Vec<&[u8]> =
        all.iter().map(|entry| entry.body.as_slice()).filter(|body| TYPICAL.contains(&body.len())).collect();
    let codecs = [
        ("without", Compressor::new(level), Decompressor::new()),
        (
            "with",
            Compressor::with_prepared_dictionary(&encoder),
            Decompressor::with_prepared_dictionary(&decoder),
        ),
    ];
    println!("\n| µs, zstd {level}, {} expansions of 12 to 20 kB | compress | decompress |", typical.len());
    println!("|---|---|---|");
    for (name, compressor, decompressor) in codecs {
        let mut compressor = compressor.map_err(DictionaryError::Codec)?;
        let mut decompressor = decompressor.map_err(DictionaryError::Codec)?;
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for body in &typical {
            let packed = compressor.compress(body).map_err(DictionaryError::Codec)?;
            there.push(middle(|| drop(black_box(compressor.compress(black_box(body))))));
            back.push(middle(|| drop(black_box(decompressor.decompress(black_box(&packed), body.len())))));
        }
        println!("| {name} | {:.1} | {:.1} |", micros(median(there)), micros(median(back)));
    }
    let encoder = middle(|| drop(black_box(EncoderDictionary::try_copy(black_box(dictionary), level))));
    let decoder = middle(|| drop(black_box(DecoderDictionary::try_copy(black_box(dictionary)))));
    println!(
        "| the dictionary itself, once in a process | {:.1} | {:.1} |",
        micros(encoder),
        micros(decoder)
    );
    Ok(())
}

fn middle(mut run: impl FnMut()) -> Duration {
    median((0..ROUNDS).map(|_| timed(&mut run)).collect())
}

fn timed(run: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
