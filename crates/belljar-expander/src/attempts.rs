//! What a guest wanted in one expansion, so that the log has it and an error can say it.

use std::collections::{BTreeMap, HashMap};

use belljar_policy::{Decision, Outcome, Reason, Request};

/// Distinct attempts of one outcome that are kept; further ones are only counted.
const KEPT: usize = 10_000;

/// Bytes of their names, and as many for the places of calls.
const BYTES: usize = 4 << 20;

/// Lines that a message shows.
const SHOWN: usize = 12;

/// Characters of a request that such a line shows.
const LENGTH: usize = 300;

/// One distinct attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempted {
    pub(crate) request: Request,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    pub(crate) times: u64,
}

/// How much is kept of one outcome, and how much wasn't. Each outcome has room of its own, and where many macros are recorded
/// each package: or one could have what it was granted, or what another one did, forgotten by asking for much.
#[derive(Debug, Default)]
pub(crate) struct Room {
    kept: usize,
    names: usize,
    places: usize,
    not_kept: u64,
}

impl Room {
    /// Takes the place of one more attempt with a name of this length, or counts how often it was made.
    pub(crate) fn takes(&mut self, bytes: usize, times: u64) -> bool {
        let fits = self.kept < KEPT && fits(&mut self.names, bytes);
        if fits {
            self.kept += 1;
        } else {
            self.leave_out(times);
        }
        fits
    }

    /// Takes the place of one more call, in a file with a name of this length.
    pub(crate) fn takes_call(&mut self, bytes: usize) -> bool {
        fits(&mut self.places, bytes)
    }

    pub(crate) fn leave_out(&mut self, times: u64) {
        self.not_kept = self.not_kept.saturating_add(times);
    }

    pub(crate) fn not_kept(&self) -> u64 {
        self.not_kept
    }
}

fn fits(taken: &mut usize, bytes: usize) -> bool {
    let fits = taken.saturating_add(bytes) <= BYTES;
    if fits {
        *taken += bytes;
    }
    fits
}

/// Attempts of one expansion, each distinct one once, in the order they were first made.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    kept: Vec<Attempted>,
    /// Where each stands in `kept`.
    known: HashMap<(Request, Outcome), usize>,
    rooms: BTreeMap<Outcome, Room>,
    /// Something else that explains a failure.
    note: Option<&'static str>,
}

impl Attempts {
    pub(crate) fn record(&mut self, request: Request, decision: &Decision) {
        let outcome = decision.outcome();
        if let Some(&at) = self.known.get(&(request.clone(), outcome)) {
            self.kept[at].times = self.kept[at].times.saturating_add(1);
        } else if self.rooms.entry(outcome).or_default().takes(request.name().map_or(0, str::len), 1) {
            self.known.insert((request.clone(), outcome), self.kept.len());
            self.kept.push(Attempted { request, outcome, reason: decision.reason().clone(), times: 1 });
        }
    }

    /// Adds what a remembered call wanted: as often, with that outcome.
    pub(crate) fn recall(&mut self, request: Request, outcome: Outcome, reason: Reason, times: u64) {
        let bytes = request.name().map_or(0, str::len);
        if self.rooms.entry(outcome).or_default().takes(bytes, times) {
            self.known.insert((request.clone(), outcome), self.kept.len());
            self.kept.push(Attempted { request, outcome, reason, times });
        }
    }

    /// Tells this too where attempts are told.
    pub(crate) fn note(&mut self, note: &'static str) {
        self.note = Some(note);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.not_kept().next().is_none()
    }

    pub(crate) fn kept(&self) -> &[Attempted] {
        &self.kept
    }

    /// How many attempts are not among the kept ones, by outcome.
    pub(crate) fn not_kept(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.rooms.iter().map(|(outcome, room)| (*outcome, room.not_kept)).filter(|(_, times)| *times > 0)
    }

    /// Whether anything was wanted that is worth to know from where.
    pub(crate) fn tell(&self) -> bool {
        self.not_kept().next().is_some()
            || self.kept.iter().any(|a| {
                a.request != Request::State && !matches!(a.outcome, Outcome::Fixed | Outcome::Withheld)
            })
    }

    /// One line per distinct refused attempt: `belljar refused: read file `/etc/passwd` (3 times)`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let refused = || self.kept.iter().filter(|attempted| attempted.outcome == Outcome::Refused);
        let mut lines: Vec<String> = refused().take(SHOWN).map(line).collect();
        let not_kept = self.rooms.get(&Outcome::Refused).map_or(0, |room| room.not_kept);
        let hidden = refused().skip(SHOWN).map(|a| a.times).fold(not_kept, u64::saturating_add);
        if hidden > 0 {
            lines.push(format!("belljar refused: {hidden} more attempts"));
        }
        lines.extend(self.note.map(str::to_owned));
        lines
    }
}

fn line(Attempted { request, times, .. }: &Attempted) -> String {
    let request = request.to_string();
    let request = match request.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", request.get(..end).unwrap_or_default()),
        None => request,
    };
    match times {
        1 => format!("belljar refused: {request}"),
        n => format!("belljar refused: {request} ({n} times)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_is_one_line_and_many_are_few_lines() {
        let mut attempts = Attempts::default();
        let refused = Decision::Refused(Reason::NotGranted);
        let home = || Request::Variable("HOME".to_owned());
        attempts.record(home(), &refused);
        attempts.record(Request::Socket(None), &refused);
        attempts.record(
            Request::Variable("CARGO_PKG_NAME".to_owned()),
            &Decision::Granted(Reason::DescribesCrate),
        );
        attempts.record(home(), &refused);
        assert_eq!(
            attempts.lines(),
            ["belljar refused: environment variable `HOME` (2 times)", "belljar refused: use a socket"]
        );
        for i in 0..20_000 {
            attempts.record(Request::Variable(format!("V{i}")), &refused);
        }
        let lines = attempts.lines();
        assert_eq!(lines.len(), SHOWN + 1);
        assert_eq!(lines[SHOWN], "belljar refused: 19990 more attempts");
        assert_eq!(attempts.kept().len(), KEPT + 1);
        assert_eq!(
            attempts.not_kept().collect::<Vec<_>>(),
            [(Outcome::Refused, 20_002 - KEPT as u64)],
            "what was granted is not among them"
        );
        attempts.record(Request::Clock, &Decision::Granted(Reason::ReportMode));
        assert_eq!(attempts.kept().last().unwrap().outcome, Outcome::Reported);
    }

    #[test]
    fn names_have_room_for_so_many_bytes() {
        let mut attempts = Attempts::default();
        let name = |n: usize| Request::Variable(format!("{n:04096}"));
        for n in 0..2_000 {
            attempts.record(name(n), &Decision::Refused(Reason::NotGranted));
        }
        let kept: usize = attempts.kept().iter().filter_map(|a| a.request.name()).map(str::len).sum();
        assert_eq!(kept, BYTES);
        assert_eq!(attempts.not_kept().collect::<Vec<_>>(), [(Outcome::Refused, 2_000 - 1_024)]);
        attempts.record(name(0), &Decision::Granted(Reason::NotGranted));
        assert_eq!(attempts.kept().len(), 1_025);
    }
}
