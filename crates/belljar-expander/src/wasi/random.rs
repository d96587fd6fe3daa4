//! Random numbers, that are the same for the same call.

use std::sync::Arc;

use belljar_policy::{Request, Rules};
use belljar_wire::message::Expand;

use super::Answer;
use crate::guest::Call;
use crate::memory;

/// The random numbers of one call.
#[derive(Default)]
pub(crate) struct Random {
    /// What decides them. Nothing is made of it until the first is wanted: most macros want none.
    seed: Option<Seed>,
    stream: Option<blake3::OutputReader>,
}

pub(crate) struct Seed {
    /// The project's seed.
    pub(crate) project: Vec<u8>,
    pub(crate) rules: Arc<Rules>,
    /// Calls that the same instance has served.
    pub(crate) earlier: u64,
    /// An [`Expand`].
    pub(crate) request: Arc<Vec<u8>>,
}

impl Seed {
    fn stream(&self) -> blake3::OutputReader {
        let mut seed = blake3::Hasher::new_derive_key("belljar 2026 random_get of a guest");
        // It has been read before.
        if let Ok(expand) = Expand::read(&self.request) {
            seed.update(&expand.module).update(&[expand.kind.as_u8()]);
            for part in [&self.project, self.rules.seed(), expand.name.as_bytes()] {
                seed.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
            seed.update(&self.earlier.to_le_bytes()).update(expand.input);
        }
        seed.finalize_xof()
    }
}

impl Random {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { seed: Some(seed), stream: None }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let seed = &self.seed;
        let stream = self.stream.get_or_insert_with(|| match seed {
            Some(seed) => seed.stream(),
            // Of an instance between two calls; no guest runs then.
            None => blake3::Hasher::new().finalize_xof(),
        });
        stream.fill(bytes);
    }
}

pub(super) fn random_get(m: &mut [u8], call: &mut Call, at: u32, len: u32) -> Answer {
    let bytes = memory::bytes_mut(m, at, len)?;
    call.granted(Request::Random);
    call.wasi.random.fill(bytes);
    Ok(())
}
