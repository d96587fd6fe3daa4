//! The [room](belljar_wire::place) in a shim's library, into which it is written where its expander is.

use belljar_wire::place::{MARK, Place, SIZE};
use memchr::memmem;

/// Writes it. `None` where there is no room, or more than one, or it is too small: then the library is as it was.
pub(super) fn fill(library: &mut [u8], place: &Place<'_>) -> Option<()> {
    let mut marks = memmem::find_iter(library, &MARK);
    let at = marks.next()?.checked_add(MARK.len())?;
    if marks.next().is_some() {
        return None;
    }
    let bytes = place.room()?;
    library.get_mut(at..at.checked_add(SIZE)?)?.copy_from_slice(&bytes);
    Some(())
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
    fn what_is_filled_is_read() {
        let mut library = library(1, SIZE);
        let before = library.clone();
        fill(&mut library, &PLACE).unwrap();
        let at = memmem::find(&library, &MARK).unwrap() + MARK.len();
        assert_eq!(Place::read(&library[at..at + SIZE]), Ok(PLACE));
        assert!(library.starts_with(&before[..at]) && library.ends_with(b"the end"));
        // A place that is shorter leaves nothing of the one before.
        let other = Place { home: "/", ..PLACE };
        fill(&mut library, &other).unwrap();
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
            assert_eq!(fill(&mut library, &place), None);
            assert_eq!(library, before);
        }
    }
}
