//! Random numbers, that are the same for the same call.

use belljar_policy::{Request, Rules};

use super::Answer;
use crate::guest::{Arguments, Call};
use crate::memory;

/// The random numbers of one call.
pub(crate) struct Random {
    /// What decides them, until the first is wanted.
    seed: blake3::Hasher,
    stream: Option<blake3::OutputReader>,
}

impl Random {
    /// `project` is the project's seed, `earlier` the number of calls that the same instance has served.
    pub(crate) fn new(project: &[u8], rules: &Rules, arguments: &Arguments<'_>, earlier: u64) -> Self {
        let mut seed = blake3::Hasher::new_derive_key("belljar 2026 random_get of a guest");
        seed.update(arguments.module.as_bytes()).update(&[arguments.kind.as_u8()]);
        for part in [project, rules.seed(), arguments.name.as_bytes()] {
            seed.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        seed.update(&earlier.to_le_bytes()).update(arguments.input);
        Self { seed, stream: None }
    }

    /// In the place of those that a call has taken with it.
    pub(crate) fn none() -> Self {
        Self { seed: blake3::Hasher::new(), stream: None }
    }
}

pub(super) fn random_get(m: &mut [u8], call: &mut Call, at: u32, len: u32) -> Answer {
    let bytes = memory::bytes_mut(m, at, len)?;
    call.granted(Request::Random);
    let random = &mut call.wasi.random;
    random.stream.get_or_insert_with(|| random.seed.finalize_xof()).fill(bytes);
    Ok(())
}
