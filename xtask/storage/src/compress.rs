//! Compression of single blobs: ratio over all, times for blobs near 15 KB.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::bench::median;
use crate::data::Rng;
use crate::store::Result;

const DICTIONARY: usize = 32 * 1024;
/// More blobs than this are not read.
const BLOBS: usize = 3000;

type Coder<'a> = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>> + 'a>;

struct Codec<'a> {
    name: String,
    compress: Coder<'a>,
    decompress: Coder<'a>,
}

fn find(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, extension, found)?;
        } else if path.extension().is_some_and(|name| name == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// Blobs in a random order that is the same every time.
fn blobs(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let mut rng = Rng::new(7);
    let mut paths = Vec::new();
    find(dir, "bin", &mut paths)?;
    let samples = !paths.is_empty();
    if !samples {
        find(dir, "rs", &mut paths)?;
    }
    paths.sort();
    for last in (1..paths.len()).rev() {
        paths.swap(last, rng.below(last as u64 + 1) as usize);
    }
    let mut blobs = Vec::new();
    for path in paths {
        let bytes = fs::read(path)?;
        if samples {
            blobs.push(bytes);
        } else {
            // Chunks of source text of 4 to 30 KB stand in for expansions.
            let mut rest = &bytes[..];
            while rest.len() >= 4096 {
                let size = (4096 + rng.below(26 * 1024) as usize).min(rest.len());
                let (chunk, after) = rest.split_at(size);
                blobs.push(chunk.to_vec());
                rest = after;
            }
        }
        if blobs.len() >= BLOBS {
            break;
        }
    }
    Ok(blobs)
}

fn zstd_codec(level: i32, dictionary: Option<&[u8]>) -> Result<Codec<'static>> {
    let dictionary = dictionary.unwrap_or_default();
    let mut compressor = zstd::bulk::Compressor::with_dictionary(level, dictionary)?;
    let mut decompressor = zstd::bulk::Decompressor::with_dictionary(dictionary)?;
    let tail = if dictionary.is_empty() {
        ""
    } else {
        " + dictionary"
    };
    Ok(Codec {
        name: format!("zstd -{level}{tail}"),
        compress: Box::new(move |bytes| Ok(compressor.compress(bytes)?)),
        decompress: Box::new(move |bytes| Ok(decompressor.decompress(bytes, 4 << 20)?)),
    })
}

pub fn run(dir: &Path) -> Result<()> {
    let blobs = blobs(dir)?;
    // The dictionary is trained on one half, everything is measured on the other.
    let (train, test) = blobs.split_at(blobs.len() / 2);
    let total: usize = test.iter().map(Vec::len).sum();
    let near: Vec<&Vec<u8>> = test
        .iter()
        .filter(|blob| (12 * 1024..18 * 1024).contains(&blob.len()))
        .collect();
    println!(
        "{} blobs, {:.1} MB; times for the {} blobs of 12 to 18 KB\n",
        test.len(),
        total as f64 / 1e6,
        near.len()
    );
    let dictionary = zstd::dict::from_samples(train, DICTIONARY)?;
    let text_dictionary = lz4_dictionary(train);

    let mut codecs = vec![
        Codec {
            name: "lz4_flex".into(),
            compress: Box::new(|bytes| Ok(lz4_flex::block::compress_prepend_size(bytes))),
            decompress: Box::new(|bytes| Ok(lz4_flex::block::decompress_size_prepended(bytes)?)),
        },
        Codec {
            name: "lz4_flex + dictionary".into(),
            compress: Box::new(|bytes| {
                Ok(lz4_flex::block::compress_prepend_size_with_dict(
                    bytes,
                    &text_dictionary,
                ))
            }),
            decompress: Box::new(|bytes| {
                Ok(lz4_flex::block::decompress_size_prepended_with_dict(
                    bytes,
                    &text_dictionary,
                )?)
            }),
        },
        zstd_codec(1, None)?,
        zstd_codec(3, None)?,
        zstd_codec(1, Some(&dictionary))?,
        zstd_codec(3, Some(&dictionary))?,
        Codec {
            name: "snap".into(),
            compress: Box::new(|bytes| Ok(snap::raw::Encoder::new().compress_vec(bytes)?)),
            decompress: Box::new(|bytes| Ok(snap::raw::Decoder::new().decompress_vec(bytes)?)),
        },
    ];
    for level in [1, 6] {
        codecs.push(Codec {
            name: format!("miniz_oxide -{level}"),
            compress: Box::new(move |bytes| {
                Ok(miniz_oxide::deflate::compress_to_vec(bytes, level))
            }),
            decompress: Box::new(|bytes| {
                miniz_oxide::inflate::decompress_to_vec(bytes)
                    .map_err(|error| format!("{error:?}").into())
            }),
        });
    }

    let mut sums = Vec::new();
    for blob in &near {
        let start = Instant::now();
        std::hint::black_box(blake3::hash(&blob[..blob.len() / 4]));
        sums.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    println!(
        "BLAKE3 of a quarter of such a blob: {:.1} µs\n",
        median(sums)
    );
    println!("| codec | ratio | median bytes | compress (µs) | decompress (µs) |");
    println!("| --- | --- | --- | --- | --- |");
    for codec in &mut codecs {
        let mut sizes = Vec::new();
        for blob in test {
            let packed = (codec.compress)(blob)?;
            if (codec.decompress)(&packed)? != *blob {
                return Err(format!("{}: not the same after all", codec.name).into());
            }
            sizes.push(packed.len() as f64);
        }
        let (mut compress, mut decompress) = (Vec::new(), Vec::new());
        for blob in &near {
            let start = Instant::now();
            let packed = (codec.compress)(blob)?;
            compress.push(start.elapsed().as_nanos() as f64 / 1000.0);
            let start = Instant::now();
            (codec.decompress)(&packed)?;
            decompress.push(start.elapsed().as_nanos() as f64 / 1000.0);
        }
        println!(
            "| {} | {:.2} | {:.0} | {:.1} | {:.1} |",
            codec.name,
            total as f64 / sizes.iter().sum::<f64>(),
            median(sizes.clone()),
            median(compress),
            median(decompress)
        );
    }
    Ok(())
}

/// LZ4 has no trainer in this crate: the starts of some blobs will do.
fn lz4_dictionary(train: &[Vec<u8>]) -> Vec<u8> {
    let mut dictionary = Vec::new();
    for blob in train.iter().step_by(train.len().div_ceil(32).max(1)) {
        dictionary.extend_from_slice(&blob[..blob.len().min(1024)]);
    }
    dictionary
}
