//! What a guest tried and was refused, so that an error can say it.

use belljar_policy::Request;

/// Distinct attempts that are kept; further ones are only counted.
const KEPT: usize = 200;

/// Lines that a message shows.
const SHOWN: usize = 12;

/// Refused attempts of one expansion, each distinct one once, in the order they were first made.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    kept: Vec<(Request, u64)>,
    /// Attempts after [`KEPT`] distinct ones.
    more: u64,
}

impl Attempts {
    pub(crate) fn record(&mut self, request: Request) {
        if let Some((_, times)) = self.kept.iter_mut().find(|(known, _)| *known == request) {
            *times += 1;
        } else if self.kept.len() < KEPT {
            self.kept.push((request, 1));
        } else {
            self.more += 1;
        }
    }

    /// One line per distinct attempt: `belljar refused: read file `/etc/passwd` (3 times)`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.kept.iter().take(SHOWN).map(line).collect();
        let hidden = self.kept.iter().skip(SHOWN).map(|(_, times)| times).sum::<u64>() + self.more;
        if hidden > 0 {
            lines.push(format!("belljar refused: {hidden} more attempts"));
        }
        lines
    }
}

fn line((request, times): &(Request, u64)) -> String {
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
        let home = || Request::Variable("HOME".to_owned());
        attempts.record(home());
        attempts.record(Request::Socket);
        attempts.record(home());
        assert_eq!(
            attempts.lines(),
            ["belljar refused: environment variable `HOME` (2 times)", "belljar refused: use a socket"]
        );
        for i in 0..1000 {
            attempts.record(Request::Variable(format!("V{i}")));
        }
        let lines = attempts.lines();
        assert_eq!(lines.len(), SHOWN + 1);
        assert_eq!(lines[SHOWN], "belljar refused: 990 more attempts");
    }
}
