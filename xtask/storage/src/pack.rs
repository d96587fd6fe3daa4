//! One packed file per compilation unit, or a few.
//!
//! Layout, little-endian: magic (8), number of entries (8), first 16 bytes of
//! the BLAKE3 sum of the index, the index sorted by key (key 32, time of use 8,
//! offset 8, length 8), the values. A file is never changed in place: it is
//! written anew and renamed. Two writers at once lose the entries of one of
//! them, which are then missing once more.
//!
//! Options: none (read whole), `pread` (read the index, then each value when
//! asked for), `mmap`; `layers`: up to four files per unit, each eight times as
//! large as the one before, so that one new entry does not rewrite them all.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::data::Key;
use crate::files;
use crate::store::{Entry, Result, Store};

const MAGIC: &[u8; 8] = b"packed\0\x01";
const HEAD: usize = 32;
const ROW: usize = 56;
/// Files per unit, with `layers`.
const LAYERS: u32 = 4;
/// The first layer is at most this large.
const FIRST_LAYER: usize = 256 * 1024;

#[derive(Clone, Copy)]
enum Mode {
    Whole,
    Pread,
    Mmap,
}

pub struct Packs {
    dir: PathBuf,
    mode: Mode,
    layers: u32,
    /// The units read so far; mostly one. The newest layer comes first.
    open: HashMap<u64, Vec<Pack>>,
}

enum Source {
    Bytes(Vec<u8>),
    File(File),
    Map(Mmap),
}

struct Pack {
    index: Vec<u8>,
    source: Source,
}

struct Row {
    key: Key,
    used: i64,
    offset: u64,
    len: u64,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX)
}

impl Pack {
    /// `None` where there is no file, or none that can be used.
    fn read(path: &Path, mode: Mode) -> Result<Option<Pack>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size = file.metadata()?.len();
        let source = match mode {
            Mode::Whole => Source::Bytes(fs::read(path)?),
            Mode::Pread => Source::File(file),
            // SAFETY: no one changes these files in place; what other programs
            // do to them is undefined behaviour (or SIGBUS).
            Mode::Mmap => Source::Map(unsafe { Mmap::map(&file)? }),
        };
        let mut pack = Pack {
            index: Vec::new(),
            source,
        };
        let Some(head) = pack.part(0, HEAD as u64) else {
            return Ok(None);
        };
        let rows = number(&head[8..16]);
        if head[..8] != *MAGIC || rows > size / ROW as u64 {
            return Ok(None);
        }
        let Some(index) = pack.part(HEAD as u64, rows * ROW as u64) else {
            return Ok(None);
        };
        if blake3::hash(&index).as_bytes()[..16] != head[16..] {
            return Ok(None);
        }
        pack.index = index;
        Ok(Some(pack))
    }

    fn part(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let bytes: &[u8] = match &self.source {
            Source::File(file) => {
                let mut part = vec![0; usize::try_from(len).ok()?];
                file.read_exact_at(&mut part, offset).ok()?;
                return Some(part);
            }
            Source::Bytes(bytes) => bytes,
            Source::Map(map) => map,
        };
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        bytes.get(start..end).map(<[u8]>::to_vec)
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.index.chunks_exact(ROW).map(row)
    }

    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let (mut low, mut high) = (0, self.index.len() / ROW);
        while low < high {
            let middle = (low + high) / 2;
            let bytes = &self.index[middle * ROW..(middle + 1) * ROW];
            match bytes[..32].cmp(&key[..]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let row = row(bytes);
                    return self.part(row.offset, row.len);
                }
            }
        }
        None
    }
}

fn row(bytes: &[u8]) -> Row {
    let mut key = [0; 32];
    key.copy_from_slice(&bytes[..32]);
    Row {
        key,
        used: number(&bytes[32..40]) as i64,
        offset: number(&bytes[40..48]),
        len: number(&bytes[48..56]),
    }
}

/// The bytes of a packed file; `entries` must be sorted by key.
fn encode(entries: &[(Key, i64, Vec<u8>)]) -> Vec<u8> {
    let mut index = Vec::with_capacity(entries.len() * ROW);
    let mut offset = (HEAD + entries.len() * ROW) as u64;
    for (key, used, value) in entries {
        index.extend_from_slice(key);
        index.extend_from_slice(&used.to_le_bytes());
        index.extend_from_slice(&offset.to_le_bytes());
        index.extend_from_slice(&(value.len() as u64).to_le_bytes());
        offset += value.len() as u64;
    }
    let mut bytes = Vec::with_capacity(offset as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&blake3::hash(&index).as_bytes()[..16]);
    bytes.extend_from_slice(&index);
    for (_, _, value) in entries {
        bytes.extend_from_slice(value);
    }
    bytes
}

impl Packs {
    pub fn open(dir: &Path, options: &[&str]) -> Result<Self> {
        let has = |name| options.contains(&name);
        let mode = if has("pread") {
            Mode::Pread
        } else if has("mmap") {
            Mode::Mmap
        } else {
            Mode::Whole
        };
        Ok(Packs {
            dir: dir.to_path_buf(),
            mode,
            layers: if has("layers") { LAYERS } else { 1 },
            open: HashMap::new(),
        })
    }

    fn path(&self, unit: u64, layer: u32) -> PathBuf {
        self.dir.join(format!("{unit:016x}-{layer}"))
    }

    /// How many bytes a layer may have; the last may have any number.
    fn limit(&self, layer: u32) -> usize {
        if layer + 1 == self.layers {
            usize::MAX
        } else {
            FIRST_LAYER << (3 * layer)
        }
    }
}

impl Store for Packs {
    fn get(&mut self, unit: u64, key: &Key) -> Result<Option<Vec<u8>>> {
        if !self.open.contains_key(&unit) {
            let mut packs = Vec::new();
            for layer in 0..self.layers {
                packs.extend(Pack::read(&self.path(unit, layer), self.mode)?);
            }
            self.open.insert(unit, packs);
        }
        Ok(self
            .open
            .get(&unit)
            .and_then(|packs| packs.iter().find_map(|pack| pack.get(key))))
    }

    fn insert(&mut self, unit: u64, entries: &[Entry], now: i64) -> Result<()> {
        let mut all: Vec<_> = entries
            .iter()
            .map(|(key, value)| (*key, now, value.clone()))
            .collect();
        self.open.remove(&unit);
        // Down to the first layer that holds itself and all above it.
        let mut layer = 0;
        loop {
            // Read anew: another process may have rewritten it meanwhile.
            if let Some(pack) = Pack::read(&self.path(unit, layer), Mode::Whole)? {
                for row in pack.rows() {
                    if let Some(value) = pack.part(row.offset, row.len) {
                        all.push((row.key, row.used, value));
                    }
                }
            }
            let size: usize = all.iter().map(|entry| ROW + entry.2.len()).sum();
            if size <= self.limit(layer) {
                break;
            }
            layer += 1;
        }
        // A stable sort, so that a new value comes before the old one of its key.
        all.sort_by_key(|entry| entry.0);
        all.dedup_by_key(|entry| entry.0);
        files::write_atomically(&self.path(unit, layer), &encode(&all))?;
        for above in 0..layer {
            let _ = fs::remove_file(self.path(unit, above));
        }
        Ok(())
    }

    fn touch(&mut self, unit: u64, _keys: &[Key], _now: i64) -> Result<()> {
        for layer in 0..self.layers {
            match files::touch(&self.path(unit, layer)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn evict(&mut self, count: u64) -> Result<()> {
        let mut removed = 0;
        for (_, _, path) in files::oldest_first(&self.dir)? {
            if removed >= count {
                break;
            }
            let mut head = [0; HEAD];
            if File::open(&path)?.read_exact_at(&mut head, 0).is_ok() {
                removed += number(&head[8..16]).min(1 << 20);
            }
            fs::remove_file(path)?;
        }
        Ok(())
    }
}
