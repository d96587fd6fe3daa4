//! Which expansions a crate's compilation asked for, kept for the next one, which reads them ahead.
//!
//! `belljar/ahead/<unit>` in the target directory: keys of 32 bytes. They name what is in the store, and are of use to nobody who
//! can't read that.

use belljar_expander::Cache;
use camino::{Utf8Path, Utf8PathBuf};

use crate::own_dir::OwnDir;

/// The longest file that is read.
const MAX: u64 = 2 << 20;

/// Where it is written down of one unit.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    dir: Utf8PathBuf,
    unit: String,
}

impl Keys {
    pub(super) fn of(belljar_dir: &Utf8Path, unit: &str) -> Self {
        Self { dir: belljar_dir.join("ahead"), unit: unit.to_owned() }
    }

    /// Begins to read what the last compilation asked for.
    pub(super) fn read(&self, cache: &Cache) {
        let bytes = self.bytes();
        let (keys, rest) = bytes.as_chunks::<32>();
        if rest.is_empty() {
            // Nobody waits for it.
            let _ = cache.ahead.read(&cache.expansions, keys.to_vec());
        }
    }

    /// Writes down what this one asked for. Where that can't be, the next one begins with nothing.
    pub(super) fn write(&self, cache: &Cache) {
        let keys = cache.ahead.keys();
        let bytes = keys.as_flattened();
        if bytes == self.bytes() {
            return;
        }
        if let Ok(dir) = OwnDir::make(&self.dir) {
            let _ = match bytes {
                [] => dir.remove(&self.unit),
                bytes => dir.write(&self.unit, bytes, None),
            };
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let read = OwnDir::open(&self.dir).ok().flatten().and_then(|dir| dir.read(&self.unit, MAX).ok());
        read.unwrap_or_default()
    }
}
