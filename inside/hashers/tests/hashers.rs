//! On a 64-bit machine, these hashers are std's.

use std::hash::{Hash, Hasher};

#[derive(Hash)]
#[repr(i64)]
#[allow(dead_code)]
enum Kind {
    Below = -5,
    Above = 1 << 40,
}

fn everything(hasher: &mut impl Hasher) -> u64 {
    (1u8, -2i16, 3u32, 4u64, -5i128, 6usize, -7isize, 'c', true, "text").hash(hasher);
    (vec!["a", "b"], Some(Box::new([1u8, 2])), [0i32; 3], Kind::Below, Kind::Above).hash(hasher);
    hasher.write(b"bytes");
    hasher.finish()
}

#[test]
fn the_same_numbers_as_natively() {
    let ours = everything(&mut belljar_hashers::hash::DefaultHasher::new());
    assert_eq!(ours, everything(&mut std::hash::DefaultHasher::new()));
    assert_eq!(ours, everything(&mut belljar_hashers::collections::hash_map::DefaultHasher::default()));
}

#[test]
#[allow(deprecated)]
fn the_old_hasher_too() {
    let (ours, stds) = (belljar_hashers::hash::SipHasher::new(), std::hash::SipHasher::new());
    assert_eq!(everything(&mut ours.clone()), everything(&mut stds.clone()));
    let ours = &mut belljar_hashers::hash::SipHasher::new_with_keys(1, 2);
    assert_eq!(everything(ours), everything(&mut std::hash::SipHasher::new_with_keys(1, 2)));
}

#[test]
fn they_look_alike() {
    let (ours, stds) = (belljar_hashers::hash::DefaultHasher::new(), std::hash::DefaultHasher::new());
    assert_eq!(format!("{ours:?}"), format!("{stds:?}"));
}

#[test]
fn everything_else_of_std_is_there() {
    use belljar_hashers::collections::{BTreeMap, HashMap, hash_map::Entry};
    let mut map: HashMap<u8, BTreeMap<u8, u8>> = std::collections::HashMap::new();
    assert!(matches!(map.entry(1), Entry::Vacant(_)));
    belljar_hashers::assert!(belljar_hashers::vec![1].len() == 1);
}
