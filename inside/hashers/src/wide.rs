//! Hashers for which every number of a pointer's size has 64 bits.

use real::fmt;
use real::hash::{self, Hasher};

macro_rules! widened {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Default)]
        pub struct $name(hash::$name);

        #[allow(deprecated)]
        impl $name {
            #[inline]
            #[must_use]
            pub fn new() -> Self {
                Self(hash::$name::new())
            }
        }

        #[allow(deprecated)]
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        #[allow(deprecated)]
        impl Hasher for $name {
            #[inline]
            fn finish(&self) -> u64 {
                self.0.finish()
            }

            // The other numbers come here as the bytes they have.
            #[inline]
            fn write(&mut self, bytes: &[u8]) {
                self.0.write(bytes);
            }

            #[inline]
            fn write_usize(&mut self, n: usize) {
                self.0.write_u64(n as u64);
            }

            #[inline]
            fn write_isize(&mut self, n: isize) {
                self.0.write_i64(n as i64);
            }
        }
    };
}

widened! {
    /// `std::hash::DefaultHasher`
    DefaultHasher
}

widened! {
    /// `std::hash::SipHasher`
    #[deprecated]
    #[allow(deprecated)]
    SipHasher
}

#[allow(deprecated)]
impl SipHasher {
    /// The hasher with these keys.
    #[inline]
    #[must_use]
    pub fn new_with_keys(key0: u64, key1: u64) -> Self {
        Self(hash::SipHasher::new_with_keys(key0, key1))
    }
}
