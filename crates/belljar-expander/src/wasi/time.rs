//! Clocks, and waiting for them.

use std::time::{SystemTime, UNIX_EPOCH};

use belljar_policy::{Request, SOURCE_DATE_EPOCH};

use super::{Answer, Refusal, errno, error};
use crate::guest::Call;
use crate::memory;
use crate::record::Observation;

/// Nanoseconds by which reading a clock advances it.
pub(crate) const STEP: u64 = 1_000_000;

/// 2000-01-01T00:00:00Z in seconds.
const EPOCH: u64 = 946_684_800;

/// The number of the wall clock.
const WALL: u32 = 0;

/// Things that one poll may wait for.
const MAX_EVENTS: u32 = 4096;

/// The clocks of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Nanoseconds since 1970 at which the wall clock stands; `None` when it is the real one.
    wall: Option<u64>,
    /// Nanoseconds on the other clocks.
    elapsed: u64,
    step: u64,
}

impl Clock {
    /// `source_date_epoch` in seconds, `step` in nanoseconds.
    pub(crate) fn new(real: bool, source_date_epoch: Option<u64>, step: u64) -> Self {
        Self { wall: (!real).then(|| stands_at(source_date_epoch)), elapsed: 0, step }
    }

    /// The same, in a later call of the same instance: what counts up goes on.
    pub(crate) fn after(self, earlier: Self) -> Self {
        Self { elapsed: earlier.elapsed, ..self }
    }

    /// When every file was changed, for a guest that does not see real times.
    pub(crate) fn fixed(&self) -> Option<u64> {
        self.wall
    }

    fn wall(&self) -> u64 {
        self.wall.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
        })
    }

    fn now(&mut self, clock: u32) -> Result<u64, Refusal> {
        match clock {
            WALL => Ok(self.wall()),
            1..=3 => {
                self.elapsed = self.elapsed.saturating_add(self.step);
                Ok(self.elapsed)
            }
            _ => error(errno::INVAL),
        }
    }
}

impl Call {
    /// The guest sees the time at which clocks stand, if they do.
    pub(super) fn see_fixed_time(&mut self) {
        if self.wasi.clock.fixed().is_some() {
            let value = self.rules.source_date_epoch().map(str::to_owned);
            self.observations.insert(Observation::Variable { name: SOURCE_DATE_EPOCH.to_owned(), value });
        }
    }
}

fn stands_at(source_date_epoch: Option<u64>) -> u64 {
    source_date_epoch.unwrap_or(EPOCH).saturating_mul(1_000_000_000)
}

pub(super) fn clock_res_get(m: &mut [u8], call: &mut Call, clock: u32, at: u32) -> Answer {
    call.wasi.clock.now(clock)?;
    Ok(memory::write_u64(m, at, STEP)?)
}

pub(super) fn clock_time_get(m: &mut [u8], call: &mut Call, clock: u32, _precision: u64, at: u32) -> Answer {
    let now = call.wasi.clock.now(clock)?;
    call.granted(Request::Clock);
    if clock == WALL {
        call.see_fixed_time();
    }
    Ok(memory::write_u64(m, at, now)?)
}

/// Waits for nothing: the clocks are moved to the first timeout, and all that is due by then has happened.
pub(super) fn poll_oneoff(
    m: &mut [u8],
    call: &mut Call,
    wanted: u32,
    happened: u32,
    count: u32,
    events: u32,
) -> Answer {
    const WANTED: u32 = 48;
    const HAPPENED: u32 = 32;
    const CLOCK: u8 = 0;
    const READ: u8 = 1;
    const WRITE: u8 = 2;
    const ABSOLUTE: u8 = 1;

    struct Wanted {
        user_data: [u8; 8],
        kind: u8,
        /// When it happens, on the clocks that move; `None` for never.
        due: Option<u64>,
        errno: u32,
    }

    if count == 0 || count > MAX_EVENTS {
        return error(errno::INVAL);
    }
    let now = call.wasi.clock.elapsed;
    let mut all = Vec::with_capacity(count as usize);
    let (list, _) = memory::bytes(m, wanted, WANTED * count)?.as_chunks::<{ WANTED as usize }>();
    for entry in list {
        let kind = entry[8];
        let number = memory::read_u32(entry, 16)?;
        let (due, errno) = match kind {
            CLOCK => {
                let timeout = memory::read_u64(entry, 24)?;
                let due = match (entry[40] & ABSOLUTE != 0, number) {
                    (false, 0..=3) => Some(now.saturating_add(timeout)),
                    // A time that is not yet there will come after so long, though the wall clock may stand still.
                    (true, 0) => {
                        // When it is due tells what time it is.
                        call.granted(Request::Clock);
                        call.see_fixed_time();
                        Some(now.saturating_add(timeout.saturating_sub(call.wasi.clock.wall())))
                    }
                    (true, 1..=3) => Some(timeout),
                    _ => return error(errno::INVAL),
                };
                (due, errno::SUCCESS)
            }
            READ | WRITE => match (kind, number) {
                (READ, 0) | (WRITE, 1 | 2) => (Some(now), errno::SUCCESS),
                (READ, _) if call.files.file(number).is_some() => (Some(now), errno::SUCCESS),
                _ => (Some(now), errno::BADF),
            },
            _ => return error(errno::INVAL),
        };
        let mut user_data = [0; 8];
        user_data.copy_from_slice(&entry[..8]);
        all.push(Wanted { user_data, kind, due, errno });
    }
    let first = all.iter().filter_map(|w| w.due).min().unwrap_or(now).max(now);
    call.wasi.clock.elapsed = first;
    let mut n = 0;
    for event in all.iter().filter(|w| w.due.is_some_and(|due| due <= first)) {
        let mut out = [0; HAPPENED as usize];
        out[..8].copy_from_slice(&event.user_data);
        out[8..10].copy_from_slice(&(event.errno as u16).to_le_bytes());
        out[10] = event.kind;
        let at = happened.checked_add(HAPPENED * n).ok_or(Refusal::Errno(errno::FAULT))?;
        memory::write(m, at, &out)?;
        n += 1;
    }
    Ok(memory::write_u32(m, events, n)?)
}
