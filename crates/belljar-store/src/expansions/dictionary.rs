//! The dictionary with which entries are compressed: what macros write again and again, learned from many published ones.
//!
//! `cargo xtask dictionary` makes the file. Every entry names the dictionary that it was compressed with (zstd's frames do), and
//! zstd refuses another. It is part of the format: with another dictionary goes another [`super::database::VERSION`].
//!
//! Preparing it takes longer than using it, so it is prepared at most once in a process, and only when there is an entry.

use std::sync::OnceLock;

use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::seal::LEVEL;

pub(super) static BYTES: &[u8] = include_bytes!("dictionary.zst");

/// For who writes. `None` if zstd has no memory for it.
pub(super) fn encoder() -> Option<&'static EncoderDictionary<'static>> {
    static PREPARED: OnceLock<Option<EncoderDictionary<'static>>> = OnceLock::new();
    PREPARED.get_or_init(|| EncoderDictionary::try_copy(BYTES, LEVEL).ok()).as_ref()
}

/// For who reads.
pub(super) fn decoder() -> Option<&'static DecoderDictionary<'static>> {
    static PREPARED: OnceLock<Option<DecoderDictionary<'static>>> = OnceLock::new();
    PREPARED.get_or_init(|| DecoderDictionary::try_copy(BYTES).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expansions::database::VERSION;

    /// Source: zstd's doc/zstd_compression_format.md, "Dictionary Format".
    const MAGIC: [u8; 4] = 0xEC30_A437_u32.to_le_bytes();

    #[test]
    fn another_dictionary_is_another_version() {
        let id = u32::from_le_bytes(*BYTES[4..].first_chunk().unwrap());
        assert!(BYTES.starts_with(&MAGIC));
        // Who makes a new dictionary raises the version of the tables: entries of the old one are not found then.
        assert_eq!((id, VERSION), (1_121_784_799, 2));
        assert!(encoder().is_some() && decoder().is_some());
    }
}
