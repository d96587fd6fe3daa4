//! Where a shim's expander is, for processes that inherit none.
//!
//! It differs from one project to the next, and the rest of a shim does not. So it isn't compiled into one: a shim has room for
//! it, and belljar writes it into the library that the compiler has linked.
//!
//! ```text
//! … 32 bytes: MARK … four texts, then zeros, SIZE bytes in all …
//! ```

use crate::Malformed;
use crate::bytes::{Reader, Writer};

/// Stands before the room, and nowhere else in a shim: no code that is linked into one may hold it but to make the room.
pub const MARK: [u8; 32] = *b"belljar: here is my expander\n\x00\xb3\x11";

/// Bytes of the room: for four paths, none of which the system takes when it is longer than 4096.
pub const SIZE: usize = 4 * (4096 + 5);

/// All are absolute paths; the last two are empty when they are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// belljar itself.
    pub belljar: &'a str,
    /// The directory with the store in which the module is. A guest's build hides the variables that say so from the compiler,
    /// so that they can't reach a module.
    pub home: &'a str,
    /// The workspace with the policy.
    pub policy_root: &'a str,
    /// belljar's own part of the target directory.
    pub belljar_dir: &'a str,
}

impl<'a> Place<'a> {
    /// What the room is to hold. `None` where that is too small.
    #[must_use]
    pub fn room(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::with_capacity(SIZE);
        for path in [self.belljar, self.home, self.policy_root, self.belljar_dir] {
            writer.text(path);
        }
        let mut bytes = writer.into_bytes();
        (bytes.len() <= SIZE).then(|| {
            bytes.resize(SIZE, 0);
            bytes
        })
    }

    /// Reads the room.
    pub fn read(room: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(room);
        let place =
            Self { belljar: r.text()?, home: r.text()?, policy_root: r.text()?, belljar_dir: r.text()? };
        match place.belljar {
            "" => Err(Malformed { expected: "the path of belljar", at: 0 }),
            _ => Ok(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let place =
            Place { belljar: "/bin/belljar", home: "/home of/größe", policy_root: "", belljar_dir: "/t" };
        let room = place.room().unwrap();
        assert_eq!((room.len(), Place::read(&room)), (SIZE, Ok(place)));
        assert!(Place::read(&[0; SIZE]).is_err() && Place::read(&[5]).is_err());
        assert_eq!(Place { home: &"/long".repeat(4000), ..place }.room(), None);
    }
}
