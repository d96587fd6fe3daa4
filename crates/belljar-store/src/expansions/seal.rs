//! Entries as they are on disk: compressed, and sealed with a key of this store's.
//!
//! ```text
//! sealed = 32 bytes keyed BLAKE3 of (key, variant, what follows), u32 bytes before compression,
//!          a zstd frame that names its dictionary
//! ```

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;

use camino::Utf8Path;
use zstd::bulk::{Compressor, Decompressor};

use super::{Problem, dictionary};
use crate::error::{Doing, StoreError};
use crate::file;
use crate::store::Store;

const NAME: &str = "key";

/// The longest entry, before compression.
const MAX: usize = 16 << 20;

/// How hard it is tried to make entries small: with the dictionary this is as fast as less, and more would be slower by much.
pub(super) const LEVEL: i32 = 3;

thread_local! {
    /// Making one takes longer than using it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What makes digests that nobody makes without the store's key.
pub(super) struct DigestKey([u8; 32]);

impl DigestKey {
    pub(super) fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes()
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey")
    }
}

/// What makes and checks seals.
#[derive(Clone)]
pub(super) struct Seal {
    key: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// That of this store; made the first time. Whoever can read it is the user, as far as this store is concerned.
    pub(super) fn of(store: &Store, dir: &Utf8Path) -> Result<Self, Problem> {
        let path = dir.join(NAME);
        if let Some(bytes) = store.read_own(&path)? {
            match bytes.try_into() {
                Ok(key) => return Ok(Self { key }),
                // What it sealed is lost.
                Err(_) => file::discard(&path),
            }
        }
        let failed = |source| StoreError::io(Doing::Read, "/dev/urandom", source);
        let mut key = [0; 32];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut key))
            .map_err(failed)?;
        // Of two at the same moment the first one's stays; what the other has sealed by then is lost.
        file::write_new(dir, &path, &key)?;
        let there: Option<[u8; 32]> = store.read_own(&path)?.and_then(|bytes| bytes.try_into().ok());
        let nobody = || Problem::Database { path, cause: "its key can't be kept".to_owned() };
        Ok(Self { key: there.ok_or_else(nobody)? })
    }

    fn digest(&self, parts: [&[u8]; 3]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }

    /// `None` for an entry that is too long.
    pub(super) fn close(&self, key: &[u8; 32], variant: &[u8; 32], body: &[u8]) -> Option<Vec<u8>> {
        let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX)?;
        let compressed = COMPRESSOR.with_borrow_mut(|compressor| match compressor {
            Some(compressor) => compressor.compress(body).ok(),
            none => {
                let made = Compressor::with_prepared_dictionary(dictionary::encoder()?).ok()?;
                none.insert(made).compress(body).ok()
            }
        })?;
        let mut sealed = vec![0; 32];
        sealed.extend_from_slice(&len.to_le_bytes());
        sealed.extend_from_slice(&compressed);
        let digest = self.digest([key, variant, &sealed[32..]]);
        sealed[..32].copy_from_slice(digest.as_bytes());
        Some(sealed)
    }

    /// `None` for what was not sealed here, as this entry.
    pub(super) fn open(&self, key: &[u8; 32], variant: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
        let (digest, content) = sealed.split_first_chunk::<32>()?;
        let (len, compressed) = content.split_first_chunk::<4>()?;
        if self.digest([key, variant, content]) != *digest {
            return None;
        }
        let len = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|len| *len <= MAX)?;
        let body = DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
            Some(decompressor) => decompressor.decompress(compressed, len).ok(),
            none => {
                let made = Decompressor::with_prepared_dictionary(dictionary::decoder()?).ok()?;
                none.insert(made).decompress(compressed, len).ok()
            }
        });
        body.filter(|body| body.len() == len)
    }

    /// Another key, for digests that are no seals.
    pub(super) fn for_digests(&self) -> DigestKey {
        DigestKey(blake3::derive_key("belljar 2026 digests of what may be a secret", &self.key))
    }

    pub(super) fn close_digest(&self, path: &[u8; 32], identity: &[u8], digest: &[u8; 32]) -> Vec<u8> {
        [digest.as_slice(), self.digest([path, identity, digest]).as_bytes()].concat()
    }

    pub(super) fn open_digest(&self, path: &[u8; 32], identity: &[u8], sealed: &[u8]) -> Option<[u8; 32]> {
        let (digest, seal) = sealed.split_first_chunk::<32>()?;
        let seal: [u8; 32] = seal.try_into().ok()?;
        (self.digest([path, identity, digest]) == seal).then_some(*digest)
    }
}

/// Takes a store's key away: the next one is another.
pub(super) fn forget(dir: &Utf8Path) {
    file::discard(&dir.join(NAME));
}

/// What a file is known by: its path, of any length and encoding.
pub(super) fn file_key(path: &Path) -> [u8; 32] {
    *blake3::hash(path.as_os_str().as_encoded_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { key: [5; 32] };

    #[test]
    fn only_what_was_sealed_here_as_this_entry_is_opened() {
        let body = b"some tokens, some tokens, some tokens";
        let sealed = SEAL.close(&[1; 32], &[2; 32], body).unwrap();
        assert_eq!(SEAL.open(&[1; 32], &[2; 32], &sealed).as_deref(), Some(&body[..]));
        assert_eq!(SEAL.open(&[2; 32], &[2; 32], &sealed), None, "as another entry");
        assert_eq!(SEAL.open(&[1; 32], &[1; 32], &sealed), None, "under other conditions");
        assert_eq!(Seal { key: [6; 32] }.open(&[1; 32], &[2; 32], &sealed), None, "by somebody else");
        for end in 0..sealed.len() {
            assert_eq!(SEAL.open(&[1; 32], &[2; 32], &sealed[..end]), None, "{end} bytes");
        }
        for at in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(SEAL.open(&[1; 32], &[2; 32], &flipped), None, "bit {at}");
        }
        assert_eq!(SEAL.close(&[1; 32], &[2; 32], &vec![0; MAX + 1]), None);
        assert_eq!(
            SEAL.open(&[1; 32], &[2; 32], &SEAL.close(&[1; 32], &[2; 32], b"").unwrap()),
            Some(vec![])
        );
    }

    /// As [`Seal::close`] does it, of any frame.
    fn sealed(len: usize, frame: &[u8]) -> Vec<u8> {
        let content = [&u32::try_from(len).unwrap().to_le_bytes(), frame].concat();
        [SEAL.digest([&[1; 32], &[2; 32], &content]).as_bytes(), content.as_slice()].concat()
    }

    #[test]
    fn a_frame_with_another_dictionary_is_not_opened() {
        let body = b"impl fmt::Debug for Some { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result }"
            .repeat(9);
        let open = |frame: &[u8]| SEAL.open(&[1; 32], &[2; 32], &sealed(body.len(), frame));
        let with = |dictionary: &[u8]| {
            Compressor::with_dictionary(LEVEL, dictionary).unwrap().compress(&body).unwrap()
        };
        assert_eq!(open(&with(dictionary::BYTES)).as_deref(), Some(&body[..]));
        // The same words, by another name.
        let mut other = dictionary::BYTES.to_vec();
        other[4] ^= 1;
        assert_eq!(open(&with(&other)), None);
    }

    #[test]
    fn a_sealed_frame_that_is_none_does_no_harm() {
        let body: Vec<u8> = (0..3000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let frame = SEAL.close(&[1; 32], &[2; 32], &body).unwrap().split_off(36);
        assert_eq!(SEAL.open(&[1; 32], &[2; 32], &sealed(body.len(), &frame)).as_ref(), Some(&body));
        assert_eq!(
            SEAL.open(&[1; 32], &[2; 32], &sealed(body.len() - 1, &frame)),
            None,
            "longer than it says"
        );
        assert_eq!(SEAL.open(&[1; 32], &[2; 32], &sealed(body.len() + 1, &frame)), None, "shorter");
        assert_eq!(SEAL.open(&[1; 32], &[2; 32], &sealed(MAX + 1, &frame)), None, "longer than any");
        for at in (0..frame.len() * 8).step_by(7) {
            let mut flipped = frame.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            // The seal is what says that it is the right one; here it is only looked at what zstd does with it.
            let opened = SEAL.open(&[1; 32], &[2; 32], &sealed(body.len(), &flipped));
            assert!(opened.is_none_or(|opened| opened.len() == body.len()), "bit {at}");
        }
    }

    #[test]
    fn digests_of_secrets_are_of_this_store_only() {
        let digest = |seal: &Seal, of: &[u8]| seal.for_digests().digest(of);
        assert_eq!(digest(&SEAL, b"1234"), digest(&SEAL, b"1234"));
        assert_ne!(digest(&SEAL, b"1234"), digest(&SEAL, b"1235"));
        assert_ne!(digest(&SEAL, b"1234"), digest(&Seal { key: [6; 32] }, b"1234"));
        assert_ne!(digest(&SEAL, b"1234"), *blake3::keyed_hash(&SEAL.key, b"1234").as_bytes());
        assert_eq!(format!("{:?} {:?}", SEAL, SEAL.for_digests()), "Seal DigestKey");
    }

    #[test]
    fn digests_of_files_are_sealed_too() {
        let sealed = SEAL.close_digest(&[1; 32], b"identity", &[2; 32]);
        assert_eq!(SEAL.open_digest(&[1; 32], b"identity", &sealed), Some([2; 32]));
        assert_eq!(SEAL.open_digest(&[1; 32], b"another", &sealed), None);
        assert_eq!(SEAL.open_digest(&[3; 32], b"identity", &sealed), None);
        assert_eq!(SEAL.open_digest(&[1; 32], b"identity", &sealed[..63]), None);
    }
}
