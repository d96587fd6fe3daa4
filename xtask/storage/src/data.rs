//! Seeded pseudo-random keys and values, so that a child process can make the
//! very same data as its parent without passing it on.

use std::ops::Range;

pub type Key = [u8; 32];

/// Compilation units of 300 entries each in a full store, before the large one.
pub const SMALL_UNITS: u64 = 300;
/// Entries of a small unit.
pub const UNIT: u64 = 300;
/// The one large unit comes last, so that "the oldest 10%" are small ones.
pub const LARGE_UNIT: u64 = SMALL_UNITS;
/// Entries of the large unit.
pub const LARGE: u64 = 10_000;

/// SplitMix64: small, fast, and the same on every machine.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Uniform in (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

/// The key of the entry with this number.
pub fn key(index: u64) -> Key {
    *blake3::hash(&index.to_le_bytes()).as_bytes()
}

/// The value of the entry with this number: log-normal size, median 2 KB,
/// at most 60 KB; bytes of low entropy per byte, as compressed blobs of
/// tokens still have.
pub fn value(index: u64) -> Vec<u8> {
    let mut rng = Rng::new(index ^ 0x5eed);
    let normal = (-2.0 * rng.unit().ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos();
    let size = (2048.0 * (0.7 * normal).exp()).clamp(100.0, 60_000.0) as usize;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        let word = rng.next() & 0x3f7f_3f7f_3f7f_3f7f;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// The numbers of the entries of a unit.
pub fn unit_range(unit: u64) -> Range<u64> {
    match unit {
        LARGE_UNIT => {
            let start = SMALL_UNITS * UNIT;
            start..start + LARGE
        }
        _ if unit < LARGE_UNIT => unit * UNIT..(unit + 1) * UNIT,
        _ => {
            // Units that are not in a fresh store.
            let start = 1_000_000 + unit * UNIT;
            start..start + UNIT
        }
    }
}

/// The unit that holds this entry in a fresh store.
pub fn unit_of(index: u64) -> u64 {
    (index / UNIT).min(LARGE_UNIT)
}

/// The sum covers the key too: damage to an index can lead a look-up to a
/// whole, but other, value.
fn sum(key: &Key, value: &[u8]) -> [u8; 16] {
    let hash = blake3::Hasher::new().update(key).update(value).finalize();
    let mut sum = [0; 16];
    sum.copy_from_slice(&hash.as_bytes()[..16]);
    sum
}

/// A value as it is stored: its sum, then the value.
pub fn seal(key: &Key, value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(16 + value.len());
    sealed.extend_from_slice(&sum(key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value, if it is what was sealed under this key.
pub fn unseal<'a>(key: &Key, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (expected, value) = sealed.split_at_checked(16)?;
    (sum(key, value) == *expected).then_some(value)
}
