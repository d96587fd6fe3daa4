//! One remembered expansion as bytes.
//!
//! ```text
//! entry    = conditions, rest
//! conditions = u8 0 or 1 + 32 bytes place (see `Conditions::place`), u8 0 or 1 + 32 bytes variables,
//!            varint n, n × (text name, 32 bytes digest of the value), varint n, n × (text name, varint errno),
//!            varint n, n × (blob question, blob answer), varint n, n × (u8 kind, fields)
//! rest     = 32 bytes belljar's version, blob request, varint n, n × attempt, varint n, n × (u8 stream, blob printed), u8 complains,
//!            findings, output to the end
//! findings = varint n, n × (u8 kind, text what, varint times, varint token), u64 kinds, u64 not listed
//! attempt  = text word, u8 0 or 1 + text name, u8 outcome, u8 reason, varint times
//! ```

use belljar_inspect::{Finding, Findings, Kind, Kinds};
use belljar_policy::{Outcome, Reason, Request};
use belljar_wire::Malformed;
use belljar_wire::bytes::{Reader, Writer};

use crate::attempts::Attempted;
use crate::record::Observation;

/// A question of the macro's to rustc, and what it was answered.
pub(crate) type Answered = (Vec<u8>, Vec<u8>);

/// What the macro saw, which must be so again for its output to be what it would write now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// A digest of the directories to which grants and names are relative, for a macro that wanted anything with a path.
    pub(crate) place: Option<[u8; 32]>,
    /// A digest of all variables that it may see, for one that listed them.
    pub(crate) variables: Option<[u8; 32]>,
    /// Variables of the user's, by digests of their values that only this store can make: they may be secrets, which are none of
    /// the disk's business.
    pub(crate) values: Vec<(String, [u8; 32])>,
    /// Names of things that were missing, and in which way: a macro can tell.
    pub(crate) absences: Vec<(String, u32)>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) observations: Vec<Observation>,
}

/// An attempt, as it can be told again. The text of a grant is not kept: the rules of the day say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) request: Request,
    pub(crate) outcome: Outcome,
    /// One that does not follow from the rules.
    pub(crate) reason: Option<Reason>,
    pub(crate) times: u64,
}

/// A remembered expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) conditions: Conditions,
    /// A digest of the version of belljar that made it.
    pub(crate) made_by: [u8; 32],
    /// What the shim sent.
    pub(crate) request: Vec<u8>,
    pub(crate) attempts: Vec<Wanted>,
    /// What it printed to standard output (1) or error (2).
    pub(crate) printed: Vec<(u8, Vec<u8>)>,
    /// Whether there is a `compile_error!` in the output.
    pub(crate) complains: bool,
    /// What the output may do.
    pub(crate) findings: Findings,
    pub(crate) output: Vec<u8>,
}

/// Reasons that are not the rules' own, by their number in an entry.
const REASONS: [Reason; 3] = [Reason::NeverGranted, Reason::NeitherFileNorDirectory, Reason::Above];

impl Wanted {
    pub(crate) fn of(attempted: &Attempted) -> Self {
        let Attempted { request, outcome, reason, times } = attempted;
        let reason = REASONS.iter().find(|known| *known == reason).cloned();
        Self { request: request.clone(), outcome: *outcome, reason, times: *times }
    }
}

impl Conditions {
    fn write(&self, w: &mut Writer) {
        for digest in [&self.place, &self.variables] {
            w.u8(u8::from(digest.is_some()));
            w.raw(digest.as_ref().map_or(&[][..], |digest| digest));
        }
        let mut values: Vec<_> = self.values.iter().collect();
        values.sort_unstable();
        count(w, values.len());
        for (name, digest) in values {
            w.text(name);
            w.raw(digest);
        }
        let mut absences: Vec<_> = self.absences.iter().collect();
        absences.sort_unstable();
        count(w, absences.len());
        for (name, errno) in absences {
            w.text(name);
            w.varint(*errno);
        }
        count(w, self.answers.len());
        for (question, answer) in &self.answers {
            w.blob(question);
            w.blob(answer);
        }
        // Their order is of no meaning, so they are sorted: equal conditions are equal bytes.
        let mut observations: Vec<Vec<u8>> = self.observations.iter().map(observation).collect();
        observations.sort_unstable();
        count(w, observations.len());
        observations.iter().for_each(|bytes| w.raw(bytes));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let place = optional(r, |r| digest(r))?;
        let variables = optional(r, |r| digest(r))?;
        let values = many(r, |r| Ok((r.text()?.to_owned(), digest(r)?)))?;
        let absences = many(r, |r| Ok((r.text()?.to_owned(), r.varint()?)))?;
        let answers = many(r, |r| Ok((r.blob()?.to_vec(), r.blob()?.to_vec())))?;
        let observations = many(r, read_observation)?;
        Ok(Self { place, variables, values, absences, answers, observations })
    }

    /// By what a key's entries are told apart: of those with the same conditions there is one.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut w = Writer::new();
        self.write(&mut w);
        *blake3::hash(w.as_bytes()).as_bytes()
    }
}

impl Entry {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(self.request.len() + self.output.len() + 256);
        self.conditions.write(&mut w);
        w.raw(&self.made_by);
        w.blob(&self.request);
        count(&mut w, self.attempts.len());
        for Wanted { request, outcome, reason, times } in &self.attempts {
            w.text(request.word());
            w.u8(u8::from(request.name().is_some()));
            if let Some(name) = request.name() {
                w.text(name);
            }
            w.u8(position(&Outcome::ALL, outcome));
            w.u8(reason.as_ref().map_or(u8::MAX, |reason| position(&REASONS, reason)));
            w.varint(u32::try_from(*times).unwrap_or(u32::MAX));
        }
        count(&mut w, self.printed.len());
        for (stream, bytes) in &self.printed {
            w.u8(*stream);
            w.blob(bytes);
        }
        w.u8(u8::from(self.complains));
        write_findings(&mut w, &self.findings);
        w.raw(&self.output);
        w.into_bytes()
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        Ok(Self {
            conditions: Conditions::read(&mut r)?,
            made_by: digest(&mut r)?,
            request: r.blob()?.to_vec(),
            attempts: many(&mut r, wanted)?,
            printed: many(&mut r, |r| match r.u8()? {
                stream @ (1 | 2) => Ok((stream, r.blob()?.to_vec())),
                _ => Err(r.malformed("1 or 2")),
            })?,
            complains: flag(&mut r)?,
            findings: findings(&mut r)?,
            output: r.rest().to_vec(),
        })
    }
}

fn write_findings(w: &mut Writer, findings: &Findings) {
    let Findings { list, kinds, more } = findings;
    count(w, list.len());
    for Finding { kind, what, times, at } in list {
        w.u8(position(Kind::ALL, kind));
        w.text(what);
        w.varint(*times);
        count(w, *at);
    }
    w.u64(kinds.bits());
    w.u64(*more);
}

fn findings(r: &mut Reader<'_>) -> Result<Findings, Malformed> {
    let list = many(r, |r| {
        let kind = usize::from(r.u8()?);
        let kind = *Kind::ALL.get(kind).ok_or_else(|| r.malformed("a kind of finding"))?;
        Ok(Finding { kind, what: r.text()?.to_owned(), times: r.varint()?, at: r.varint()? as usize })
    })?;
    let kinds = Kinds::from_bits(r.u64()?).ok_or_else(|| r.malformed("kinds of findings"))?;
    Ok(Findings { list, kinds, more: r.u64()? })
}

fn wanted(r: &mut Reader<'_>) -> Result<Wanted, Malformed> {
    let word = r.text()?;
    let name = optional(r, Reader::text)?;
    let request = Request::from_word(word, name).ok_or_else(|| r.malformed("a request"))?;
    let outcome = usize::from(r.u8()?);
    let outcome = *Outcome::ALL.get(outcome).ok_or_else(|| r.malformed("an outcome"))?;
    let reason = match r.u8()? {
        u8::MAX => None,
        n => Some(REASONS.get(usize::from(n)).cloned().ok_or_else(|| r.malformed("a reason"))?),
    };
    Ok(Wanted { request, outcome, reason, times: r.varint()?.into() })
}

fn observation(seen: &Observation) -> Vec<u8> {
    let mut w = Writer::new();
    let mut texts = |kind: u8, texts: &[&str]| {
        w.u8(kind);
        texts.iter().for_each(|text| w.text(text));
    };
    match seen {
        Observation::Variable { name, value: None } => texts(0, &[name]),
        Observation::Variable { name, value: Some(value) } => texts(1, &[name, value]),
        Observation::Names { pattern } => texts(2, &[pattern]),
        Observation::WorkingDirectory { path } => texts(3, &[path]),
        Observation::File { path, size, digest } => {
            texts(if digest.is_some() { 5 } else { 4 }, &[path]);
            w.u64(*size);
            if let Some(digest) = digest {
                w.raw(digest.as_bytes());
            }
        }
        Observation::Directory { path } => texts(6, &[path]),
        Observation::Listing { path, digest } => {
            texts(7, &[path]);
            w.raw(digest.as_bytes());
        }
        Observation::Link { path, target } => texts(8, &[path, target]),
        Observation::Special { path } => texts(9, &[path]),
        Observation::Absent { path } => texts(10, &[path]),
        Observation::Failed { path } => texts(11, &[path]),
    }
    w.into_bytes()
}

fn read_observation(r: &mut Reader<'_>) -> Result<Observation, Malformed> {
    let kind = r.u8()?;
    let path = r.text()?.to_owned();
    Ok(match kind {
        0 => Observation::Variable { name: path, value: None },
        1 => Observation::Variable { name: path, value: Some(r.text()?.to_owned()) },
        2 => Observation::Names { pattern: path },
        3 => Observation::WorkingDirectory { path },
        4 => Observation::File { path, size: r.u64()?, digest: None },
        5 => {
            let size = r.u64()?;
            Observation::File { path, size, digest: Some(digest(r)?.into()) }
        }
        6 => Observation::Directory { path },
        7 => Observation::Listing { path, digest: digest(r)?.into() },
        8 => Observation::Link { path, target: r.text()?.to_owned() },
        9 => Observation::Special { path },
        10 => Observation::Absent { path },
        11 => Observation::Failed { path },
        _ => return Err(r.malformed("a kind of observation")),
    })
}

fn count(w: &mut Writer, n: usize) {
    w.varint(u32::try_from(n).unwrap_or(u32::MAX));
}

fn position<T: PartialEq>(all: &[T], of: &T) -> u8 {
    all.iter().position(|one| one == of).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// So many of them as the number before them says; memory grows with what is there.
fn many<'a, T>(
    r: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let n = r.varint()?;
    (0..n).map(|_| one(r)).collect()
}

fn optional<'a, T>(
    r: &mut Reader<'a>,
    one: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    Ok(if flag(r)? { Some(one(r)?) } else { None })
}

fn flag(r: &mut Reader<'_>) -> Result<bool, Malformed> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(r.malformed("0 or 1")),
    }
}

fn digest(r: &mut Reader<'_>) -> Result<[u8; 32], Malformed> {
    let mut digest = [0; 32];
    digest.copy_from_slice(r.take(32, "a digest")?);
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use belljar_policy::Access;
    use proptest::prelude::*;

    use super::*;

    mod findings {
        use belljar_inspect::{Finding, Findings, Kind, Kinds};

        pub(super) fn example() -> Findings {
            let mut kinds = Kinds::default();
            kinds.add(Kind::Process);
            kinds.add(Kind::Crate);
            let list = vec![Finding { kind: Kind::Crate, what: "serde".to_owned(), times: 3, at: 40 }];
            Findings { list, kinds, more: 2 }
        }
    }

    fn entry() -> Entry {
        let path = || "/ws/a".to_owned();
        let request = |access| Request::Path { access, path: path() };
        Entry {
            conditions: Conditions {
                place: Some([1; 32]),
                variables: Some([2; 32]),
                values: vec![("SECRET".to_owned(), [5; 32])],
                absences: vec![("/ws/none".to_owned(), 44)],
                answers: vec![(vec![1, 0, 0], vec![42]), (vec![9], vec![])],
                observations: vec![
                    Observation::Variable { name: "A".to_owned(), value: None },
                    Observation::Variable { name: "A".to_owned(), value: Some(String::new()) },
                    Observation::Names { pattern: "A_*".to_owned() },
                    Observation::WorkingDirectory { path: path() },
                    Observation::File { path: path(), size: 3, digest: None },
                    Observation::File { path: path(), size: 3, digest: Some([3; 32].into()) },
                    Observation::Directory { path: path() },
                    Observation::Listing { path: path(), digest: [4; 32].into() },
                    Observation::Link { path: path(), target: "b".to_owned() },
                    Observation::Special { path: path() },
                    Observation::Absent { path: path() },
                    Observation::Failed { path: path() },
                ],
            },
            made_by: [6; 32],
            request: vec![7; 100],
            attempts: vec![
                Wanted { request: request(Access::Read), outcome: Outcome::Granted, reason: None, times: 2 },
                Wanted {
                    request: Request::Socket(None),
                    outcome: Outcome::Refused,
                    reason: Some(Reason::NeverGranted),
                    times: 1,
                },
            ],
            printed: vec![(1, b"out".to_vec()), (2, b"err".to_vec())],
            findings: findings::example(),
            complains: true,
            output: vec![1, 2, 3],
        }
    }

    /// Observations come back in the order of their bytes.
    fn sorted(mut entry: Entry) -> Entry {
        entry.conditions.observations.sort_by_key(observation);
        entry
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let entry = sorted(entry());
        assert_eq!(Entry::read(&entry.to_bytes()), Ok(entry));
    }

    #[test]
    fn equal_conditions_are_equal_bytes() {
        let (a, mut b) = (entry(), entry());
        b.conditions.observations.reverse();
        assert_eq!((a.conditions.digest(), a.to_bytes()), (b.conditions.digest(), b.to_bytes()));
        b.conditions.answers.reverse();
        assert_ne!(a.conditions.digest(), b.conditions.digest(), "the order of questions is one");
    }

    #[test]
    fn no_end_of_an_entry_is_taken_for_one() {
        let entry = sorted(entry());
        let bytes = entry.to_bytes();
        let whole = bytes.len() - entry.output.len();
        for end in 0..whole {
            assert!(Entry::read(&bytes[..end]).is_err(), "{end} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Entry::read(&bytes);
        }

        #[test]
        fn flipped_bits_do_no_harm(at in 0..1_000_usize, bit in 0..8_u32) {
            let mut bytes = entry().to_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1_u8 << bit;
            let _ = Entry::read(&bytes);
        }
    }
}
