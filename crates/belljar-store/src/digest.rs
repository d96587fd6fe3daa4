//! The 32-byte names of what is in the store. Each kind is a type of its own, so that one can't stand for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Text that should have been 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 64 lowercase hexadecimal digits")]
pub struct NotADigest(String);

macro_rules! hex_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotADigest;

            fn from_str(s: &str) -> Result<Self, NotADigest> {
                unhex(s).map(Self)
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_name! {
    /// The BLAKE3 digest of a module's bytes, by which the module is named everywhere.
    ModuleDigest
}

hex_name! {
    /// A digest over everything a guest is built from: two equal keys give equal modules.
    GuestKey
}

hex_name! {
    /// The BLAKE3 digest of any file's bytes.
    ContentDigest
}

macro_rules! open_name {
    ($($name:ident)*) => {$(
        impl $name {
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }
    )*};
}

open_name!(ModuleDigest GuestKey);

impl ModuleDigest {
    #[must_use]
    pub fn of(wasm: &[u8]) -> Self {
        blake3::hash(wasm).into()
    }
}

impl ContentDigest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }
}

/// Only the one spelling that `Display` writes is taken, so that a name on disk has one form.
fn unhex(s: &str) -> Result<[u8; 32], NotADigest> {
    if s.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(NotADigest(s.to_owned()));
    }
    blake3::Hash::from_hex(s).map(|hash| *hash.as_bytes()).map_err(|_| NotADigest(s.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_and_has_one_spelling() {
        let digest = ModuleDigest::of(b"wasm");
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(serde_json::from_str::<ModuleDigest>(&format!("\"{text}\"")).unwrap(), digest);
        for bad in
            ["", "00", &text[1..], &text.to_uppercase(), &text.replace(&text[..1], "g"), &format!(" {text}")]
        {
            assert!(bad.parse::<ModuleDigest>().is_err(), "{bad:?}");
        }
    }
}
