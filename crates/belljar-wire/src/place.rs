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

/// Stands before the room, and nowhere else in a shim.
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
    /// Writes it into a library, where its room is. `None` where that is not there once, or too small.
    #[must_use]
    pub fn put(&self, library: &mut [u8]) -> Option<()> {
        let mut marks = library.windows(MARK.len()).enumerate().filter(|(_, found)| *found == MARK);
        let (at, _) = marks.next()?;
        if marks.next().is_some() {
            return None;
        }
        let mut writer = Writer::with_capacity(SIZE);
        for path in [self.belljar, self.home, self.policy_root, self.belljar_dir] {
            writer.text(path);
        }
        let mut bytes = writer.into_bytes();
        if bytes.len() > SIZE {
            return None;
        }
        bytes.resize(SIZE, 0);
        let at = at.checked_add(MARK.len())?;
        library.get_mut(at..at.checked_add(SIZE)?)?.copy_from_slice(&bytes);
        Some(())
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

    const PLACE: Place<'_> =
        Place {
            belljar: "/bin/belljar", home: "/home of/größe", policy_root: "", belljar_dir: "/t/belljar"
        };

    fn library(marks: usize, room: usize) -> Vec<u8> {
        let mut library = b"\x7fELF belljar: here is my expander, or is it?".to_vec();
        for _ in 0..marks {
            library.extend(MARK);
            library.resize(library.len() + room, 0);
        }
        library.extend(b"the end");
        library
    }

    #[test]
    fn what_is_put_is_read() {
        let mut library = library(1, SIZE);
        let before = library.clone();
        PLACE.put(&mut library).unwrap();
        let at = library.windows(32).position(|found| found == MARK).unwrap() + 32;
        assert_eq!(Place::read(&library[at..at + SIZE]), Ok(PLACE));
        assert!(library.starts_with(&before[..at]) && library.ends_with(b"the end"));
        // A place that is shorter leaves nothing of the one before.
        let other = Place { home: "/", ..PLACE };
        other.put(&mut library).unwrap();
        assert_eq!(Place::read(&library[at..at + SIZE]), Ok(other));
        assert!(library[at + 64..at + SIZE].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_library_without_the_room_is_left_as_it_is() {
        let long = "/long".repeat(4000);
        for (mut library, place) in [
            (library(0, 0), PLACE),
            (library(2, SIZE), PLACE),
            (library(1, 100), PLACE),
            (library(1, SIZE), Place { home: &long, ..PLACE }),
            (Vec::new(), PLACE),
        ] {
            let before = library.clone();
            assert_eq!(place.put(&mut library), None);
            assert_eq!(library, before);
        }
        assert!(Place::read(&[0; SIZE]).is_err() && Place::read(&[5]).is_err());
    }
}
