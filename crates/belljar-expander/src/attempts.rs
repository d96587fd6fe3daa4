//! What a guest wanted in one expansion, so that the log has it and an error can say it.

use std::collections::HashMap;

use belljar_policy::{Decision, Outcome, Reason, Request};

/// Distinct attempts that are kept; further ones are only counted.
pub(crate) const KEPT: usize = 10_000;

/// Lines that a message shows.
const SHOWN: usize = 12;

/// One distinct attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempted {
    pub(crate) request: Request,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    pub(crate) times: u64,
}

/// Attempts of one expansion, each distinct one once, in the order they were first made.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    kept: Vec<Attempted>,
    /// Where each stands in `kept`.
    known: HashMap<(Request, Outcome), usize>,
    /// Attempts after [`KEPT`] distinct ones, refused and other ones.
    more_refused: u64,
    more: u64,
    /// Something else that explains a failure.
    note: Option<&'static str>,
}

impl Attempts {
    pub(crate) fn record(&mut self, request: Request, decision: &Decision) {
        let outcome = decision.outcome();
        if let Some(&at) = self.known.get(&(request.clone(), outcome)) {
            self.kept[at].times += 1;
        } else if self.kept.len() < KEPT {
            self.known.insert((request.clone(), outcome), self.kept.len());
            self.kept.push(Attempted { request, outcome, reason: decision.reason().clone(), times: 1 });
        } else if outcome == Outcome::Refused {
            self.more_refused += 1;
        } else {
            self.more += 1;
        }
    }

    /// Tells this too where attempts are told.
    pub(crate) fn note(&mut self, note: &'static str) {
        self.note = Some(note);
    }

    pub(crate) fn kept(&self) -> &[Attempted] {
        &self.kept
    }

    /// How many attempts are not among the kept ones.
    pub(crate) fn not_kept(&self) -> u64 {
        self.more.saturating_add(self.more_refused)
    }

    /// Whether anything was wanted that is worth to know from where.
    pub(crate) fn tell(&self) -> bool {
        self.not_kept() > 0
            || self.kept.iter().any(|a| {
                a.request != Request::State && !matches!(a.outcome, Outcome::Fixed | Outcome::Withheld)
            })
    }

    /// One line per distinct refused attempt: `belljar refused: read file `/etc/passwd` (3 times)`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let refused = || self.kept.iter().filter(|attempted| attempted.outcome == Outcome::Refused);
        let mut lines: Vec<String> = refused().take(SHOWN).map(line).collect();
        let hidden = refused().skip(SHOWN).map(|a| a.times).sum::<u64>().saturating_add(self.more_refused);
        if hidden > 0 {
            lines.push(format!("belljar refused: {hidden} more attempts"));
        }
        lines.extend(self.note.map(str::to_owned));
        lines
    }
}

fn line(Attempted { request, times, .. }: &Attempted) -> String {
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
        assert_eq!(attempts.kept().len(), KEPT);
        assert_eq!(attempts.not_kept(), 20_003 - KEPT as u64);
    }
}
