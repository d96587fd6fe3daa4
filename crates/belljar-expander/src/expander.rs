//! The conversation with one shim: a request in, the expansion out, until the shim is done.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use belljar_inspect::{Findings, findings, flat};
use belljar_policy::{Mode, Policy, Request, Rules};
use belljar_store::{ModuleDigest, Store};
use belljar_wire::Malformed;
use belljar_wire::message::{Expand, OTHER_PROTOCOL, kind};

use crate::attempts::Attempts;
use crate::cache::{Cache, Chain, Entry as Remembered, Hit, Key, Looked, MAX_ENTRY, Skipped};
use crate::channel::Channel;
use crate::engine::{self, ModuleError, Runtime};
use crate::error::{Cause, ExpandError, MacroName, ServeError};
use crate::files::World;
use crate::guest::{self, Arguments, Call, Kept, Outcome, Stopped};
use crate::limits::{BadLimit, Limits};
use crate::near::Near;
use crate::record::{self, Difference, EntryName, Expansion, How, Recorder};
use crate::replay;
use crate::tape::{Reply, Tape};
use crate::texts::texts;
use crate::wasi::{Clock, Random, STEP, Seed, Wasi};

/// What an expander works with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where modules are.
    pub store: Store,
    /// Decides what guests may reach.
    pub policy: Policy,
    /// A limit that can't be read fails every expansion, with its message.
    pub limits: Result<Limits, BadLimit>,
    /// Decides, with the macro and its input, the random numbers that guests see.
    pub seed: Vec<u8>,
    /// The guests' wall clock, in seconds since 1970.
    pub source_date_epoch: Option<u64>,
    /// By how much reading one of the other clocks moves it, in nanoseconds.
    pub clock_step: u64,
    /// A directory that guests see in another place than where it is.
    pub moved: Option<Moved>,
    /// Gets to know what was wanted and seen.
    pub recorder: Arc<Recorder>,
    /// Gets to know the calls themselves. What it wants is always run.
    pub tape: Option<Arc<Tape>>,
    /// What is remembered of other compilations, if anything is to be.
    pub cache: Option<Cache>,
    /// Modules that are still being made, and will be in the store.
    pub awaited: Option<Awaited>,
}

/// Waits until modules that somebody makes are in the store, or never will be.
#[derive(Clone)]
pub struct Awaited(Arc<dyn Fn(&str) + Send + Sync>);

impl Awaited {
    /// `wait` is called with the macro package whose module is not there.
    pub fn new(wait: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(wait))
    }
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awaited")
    }
}

/// What is in the directory `from` has the names beneath `to` for guests. Both are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub from: String,
    pub to: String,
}

impl Config {
    /// This policy, and what this process's environment says about limits and the clock.
    #[must_use]
    pub fn of_environment(store: Store, policy: Policy) -> Self {
        Self {
            store,
            policy,
            recorder: Arc::default(),
            limits: Limits::of_environment(),
            seed: Vec::new(),
            clock_step: STEP,
            moved: None,
            tape: None,
            cache: None,
            awaited: None,
            source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|t| t.parse().ok()),
        }
    }
}

/// Runs macros for shims. Cheap to make: the engine is started for the first expansion.
pub struct Expander {
    config: Config,
    /// The rules of each macro package that was used, by its name and version. They are few.
    rules: Vec<(String, String, Arc<Rules>)>,
    /// By the stack that their guests have.
    runtimes: HashMap<usize, Runtime>,
    /// Instances whose macros remember what they did before in this crate.
    kept: HashMap<Remembering, Memory>,
    /// What was seen of the file system.
    world: Arc<World>,
    near: Near,
    /// What was looked at to know whether remembered expansions hold.
    looked: Looked,
}

/// Whose instance it is: a macro package's name and version, and its module.
pub(crate) type Remembering = (String, String, ModuleDigest);

/// What is kept for the macros of one package.
#[derive(Default)]
struct Memory {
    kept: Option<Kept>,
    /// A call has ended an instance, and with it what was remembered.
    ended: bool,
    chain: Links,
    /// Calls whose output was remembered, so that the instance knows nothing of them.
    skipped: Vec<Skipped>,
}

impl Memory {
    /// How many calls were made before.
    fn earlier(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.calls) + self.skipped.len() as u64
    }
}

/// The calls up to now, as far as they can be a part of a key.
#[derive(Debug, Clone, Copy)]
enum Links {
    All(Chain),
    /// One of them could not be remembered.
    Broken,
}

impl Default for Links {
    fn default() -> Self {
        Self::All(Chain::default())
    }
}

/// What is told with a failure after that. Natively, what a macro remembers outlives a panic of its; here only one that its
/// std can catch. The crate is not compiled in either case, so a macro that began anew can do no harm; an editor, which goes
/// on after an error, is better served by it than by none.
const FORGOTTEN: &str = "belljar: an earlier call of this crate's ended the instance in which this macro remembers things \
    (`state = \"crate\"`); it began anew, so mind that call's error first";

impl Expander {
    #[must_use]
    pub fn new(config: Config) -> Self {
        let world = Arc::new(World::of(config.moved.clone()));
        Self {
            config,
            rules: Vec::new(),
            runtimes: HashMap::new(),
            kept: HashMap::new(),
            world,
            near: Near::default(),
            looked: Looked::default(),
        }
    }

    fn rules(&mut self, package: &str, version: &str) -> Arc<Rules> {
        if let Some((.., rules)) = self.rules.iter().find(|(p, v, _)| p == package && v == version) {
            return Arc::clone(rules);
        }
        let rules = Arc::new(self.config.policy.rules(package, version));
        self.rules.push((package.to_owned(), version.to_owned(), Arc::clone(&rules)));
        rules
    }

    /// Guests need a stack of known size, whatever thread it is: the largest that any of them may use.
    pub(crate) fn stack(&self) -> usize {
        let granted = self.config.policy.grants().iter().filter_map(|grant| grant.limits.stack).max();
        let granted = granted.and_then(|stack| usize::try_from(stack).ok());
        let usual = self.config.limits.as_ref().map_or(1 << 20, |limits| limits.stack);
        engine::thread_stack(usual.max(granted.unwrap_or(0)))
    }

    /// At what time the clocks of the next calls stand.
    pub(crate) fn set_time(&mut self, source_date_epoch: Option<&str>) {
        self.config.source_date_epoch = source_date_epoch.and_then(|time| time.parse().ok());
    }

    /// Answers the shim at the other end of `stream` until it closes its end. An expansion that fails is an answer; an
    /// error here means that the conversation itself can't go on.
    pub fn serve(&mut self, stream: UnixStream) -> Result<(), ServeError> {
        let thread = thread::Builder::new().name("belljar guests".to_owned()).stack_size(self.stack());
        thread::scope(|scope| {
            let serving = thread.spawn_scoped(scope, || self.serve_here(Channel::new(stream)));
            let serving = serving.map_err(|source| ServeError::Thread { source })?;
            serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn serve_here(&mut self, mut channel: Channel) -> Result<(), ServeError> {
        while let Some(request) = channel.request()? {
            let request = Arc::new(request);
            let tape = self.config.tape.clone().filter(|tape| tape.wants(&request));
            let (ended, back) = self.expand(&request, channel, tape.is_some());
            channel = back;
            let reply = match ended {
                Ok(Outcome::Done(output)) => Reply::Done(output),
                Ok(Outcome::Panicked(message)) => Reply::Panicked(message),
                Err(Ended::Failed(error)) => Reply::Failed(error.to_string()),
                Err(Ended::Gone(error)) => return Err(error),
            };
            // Before it is sent: the compiler may end with it.
            if let Some(tape) = tape {
                tape.add(&request, channel.heard().answers, channel.site.as_deref().cloned(), &reply);
            }
            channel.reply(&reply)?;
            self.near.keep_to(channel.at);
            if let Ok(request) = Arc::try_unwrap(request) {
                channel.recycle(request);
            }
        }
        Ok(())
    }

    fn expand(
        &mut self,
        request: &Arc<Vec<u8>>,
        channel: Channel,
        taped: bool,
    ) -> (Result<Outcome, Ended>, Channel) {
        let began = Instant::now();
        let expand = match Expand::read(request) {
            Ok(expand) => expand,
            Err(malformed) => {
                let cause = if malformed.expected == OTHER_PROTOCOL {
                    Cause::OtherProtocol
                } else {
                    Cause::Request(malformed)
                };
                return (Err(failed(None, cause, Attempts::default())), channel);
            }
        };
        let arguments = Arguments {
            module: ModuleDigest::from_bytes(expand.module),
            package: expand.package,
            kind: expand.kind,
            name: expand.name,
            input: expand.input,
        };
        let name = || Some(MacroName::of(&expand));
        let rules = self.rules(expand.package, expand.version);
        let limits = match self.limits(&rules) {
            Ok(limits) => limits,
            Err(bad) => return (Err(failed(name(), bad.into(), Attempts::default())), channel),
        };
        let remembering = rules
            .keeps_state()
            .then(|| (expand.package.to_owned(), expand.version.to_owned(), arguments.module));
        let before = remembering.as_ref().and_then(|whose| self.kept.get(whose));
        let forgotten = before.is_some_and(|memory| memory.ended);
        let earlier = before.map_or(0, Memory::earlier);
        let chain = before.map_or(Links::default(), |memory| memory.chain);
        let mut call = match self.call(request, expand.input, &rules, limits, earlier, channel) {
            Ok(call) => call,
            Err((malformed, channel)) => {
                return (Err(failed(name(), Cause::Request(malformed), Attempts::default())), channel);
            }
        };
        call.channel.keep_heard(if taped { usize::MAX } else { 0 });
        let cache = self.config.cache.clone().filter(|_| !taped && Cache::applies(&rules));
        let keyed = match (cache, chain) {
            (Some(cache), Links::All(chain)) => {
                let key = cache.key(request, &rules, &self.config.seed, chain);
                Some(Keyed { cache, key, chain })
            }
            _ => None,
        };
        let (outcome, mut call, (how, kept)) = match &keyed {
            Some(keyed) => match self.remember(keyed, request, remembering, call, &arguments) {
                Ok(done) => done,
                Err((gone, channel)) => return (Err(Ended::Gone(gone)), channel),
            },
            None => {
                let (outcome, call) = self.run(limits, remembering, call, &arguments);
                (outcome, call, (How::Run, None))
            }
        };
        if forgotten {
            call.attempts.note(FORGOTTEN);
        }
        // In report mode all macros remember: that is worth a word where there is something to remember.
        if rules.keeps_state() && (rules.mode() == Mode::Enforce || earlier > 0) {
            call.granted(Request::State);
        }
        let seen = std::mem::take(&mut call.observations);
        let recorder = &self.config.recorder;
        let differs = matches!(outcome, Err(Stopped::Failed(Cause::Different { .. })));
        let at = call.channel.site.as_deref().filter(|_| differs || call.attempts.tell());
        if call.attempts.is_empty() && seen.is_empty() {
            recorder.used((expand.package, expand.version), rules.digest(), how);
        } else {
            recorder.add(&MacroName::of(&expand), rules.digest(), &call.attempts, seen, at, how);
        }
        if let Err(Stopped::Failed(Cause::Different { was, now, .. })) = &outcome {
            recorder.differs(Difference {
                macro_name: MacroName::of(&expand),
                call: at.cloned(),
                was: was.clone(),
                now: now.clone(),
            });
        }
        let ended = match outcome {
            Ok(Outcome::Panicked(message)) => {
                let refused = call.attempts.lines().join("\n");
                let shown: Vec<String> =
                    message.into_iter().chain(Some(refused).filter(|lines| !lines.is_empty())).collect();
                Ok(Outcome::Panicked((!shown.is_empty()).then(|| shown.join("\n\n"))))
            }
            Ok(done) if call.complains => match call.tell_refused(name()) {
                Ok(()) => Ok(done),
                Err(error) => Err(Ended::Gone(error)),
            },
            Ok(done) => Ok(done),
            Err(Stopped::Failed(cause)) => Err(failed(name(), cause, std::mem::take(&mut call.attempts))),
            Err(Stopped::Gone(error)) => Err(Ended::Gone(error)),
        };
        let of_record = match &ended {
            Ok(Outcome::Done(output)) => {
                let cache = self.config.cache.as_ref();
                let to_be_seen = || cache?.keep_to_be_seen(request, output, &call.findings);
                Some(record::Ended::Wrote {
                    digest: blake3::hash(output),
                    kept: kept.or_else(to_be_seen),
                    kinds: call.findings.kinds,
                })
            }
            Ok(Outcome::Panicked(message)) => Some(record::Ended::Panicked(message.clone())),
            Err(Ended::Failed(error)) => Some(record::Ended::Failed(error.to_string())),
            Err(Ended::Gone(_)) => None,
        };
        if let Some(ended) = of_record {
            self.config.recorder.expanded(&expand, |macro_at| Expansion {
                macro_at,
                site: call.channel.site.as_deref().cloned(),
                how,
                took: began.elapsed(),
                ended,
            });
        }
        (ended, call.channel)
    }

    pub(crate) fn limits(&self, rules: &Rules) -> Result<Limits, BadLimit> {
        self.config.limits.clone().map(|limits| limits.changed(&rules.limits()))
    }

    /// What a call begins with.
    pub(crate) fn call(
        &self,
        request: &Arc<Vec<u8>>,
        input: &[u8],
        rules: &Arc<Rules>,
        limits: Limits,
        earlier: u64,
        channel: Channel,
    ) -> Result<Call, (Malformed, Channel)> {
        let wasi = Wasi {
            clock: Clock::new(rules.real_time(), self.config.source_date_epoch, self.config.clock_step),
            random: Random::new(Seed {
                project: self.config.seed.clone(),
                rules: Arc::clone(rules),
                earlier,
                request: Arc::clone(request),
            }),
        };
        Call::new(Arc::clone(rules), limits, channel, wasi, Arc::clone(&self.world), input)
    }

    /// The remembered output of this call, or else it is run, and remembered. The error is a shim that is gone.
    fn remember(
        &mut self,
        keyed: &Keyed,
        request: &Arc<Vec<u8>>,
        remembering: Option<Remembering>,
        mut call: Call,
        arguments: &Arguments<'_>,
    ) -> Result<Ran, (ServeError, Channel)> {
        let Keyed { cache, key, chain } = keyed;
        let hit = match cache.find(*key, &mut call, &mut self.looked) {
            Ok(hit) => hit,
            Err(gone) => return Err((gone, call.channel)),
        };
        let is_verified = hit.is_some() && cache.is_verified();
        if let Some(Hit { entry, found }) = hit.as_ref().filter(|_| !is_verified) {
            if let Err(gone) = call.recall(entry) {
                return Err((gone, call.channel));
            }
            if found.is_stale() {
                self.near.go_anywhere();
                cache.expansions.used(&key.0, found);
            }
            if let Some(whose) = remembering {
                let memory = self.kept.entry(whose).or_default();
                memory.chain = Links::All(chain.then(*key, &found.body));
                memory.skipped.push(Skipped {
                    key: *key,
                    variant: found.variant,
                    request: Arc::clone(request),
                    answers: entry.conditions.answers.clone(),
                    output: entry.output.clone(),
                });
            }
            let kept = EntryName { key: key.0, variant: found.variant };
            return Ok((Ok(Outcome::Done(entry.output.clone())), call, (How::Remembered, Some(kept))));
        }
        if let Some(whose) = &remembering
            && let Err(stopped) = self.catch_up(whose, &call, cache)
        {
            // What it remembers is not what the calls up to now were: nothing that comes is to be remembered as if it were.
            let memory = self.kept.entry(whose.clone()).or_default();
            *memory = Memory { ended: true, chain: Links::Broken, ..Memory::default() };
            return Ok((Err(stopped), call, (How::Run, None)));
        }
        call.channel.keep_heard(MAX_ENTRY);
        let limits = call.limits;
        let (outcome, mut call) = self.run(limits, remembering.clone(), call, arguments);
        let heard = call.channel.heard();
        let entry = match &outcome {
            Ok(Outcome::Done(output)) => cache.entry(request, &call, heard, output),
            _ => None,
        };
        let bytes = entry.as_ref().map(Remembered::to_bytes);
        if let Some(whose) = remembering {
            self.kept.entry(whose).or_default().chain = match &bytes {
                Some(bytes) => Links::All(chain.then(*key, bytes)),
                None => Links::Broken,
            };
        }
        let how = if is_verified { How::Verified } else { How::Run };
        match (hit, entry.zip(bytes)) {
            (Some(hit), now) if now.as_ref().is_none_or(|(_, now)| *now != hit.found.body) => {
                // An error of this call's own, or a shim that is gone, says nothing of the earlier one.
                if outcome.is_err() {
                    return Ok((outcome, call, (how, None)));
                }
                cache.expansions.forget(&key.0, &hit.found.variant);
                let now = match &outcome {
                    Ok(Outcome::Done(output)) => Reply::Done(output.clone()),
                    Ok(Outcome::Panicked(message)) => Reply::Panicked(message.clone()),
                    Err(_) => Reply::Failed(String::new()),
                };
                let cause = different(arguments.input, &hit.entry.output, &now);
                Ok((Err(Stopped::Failed(cause)), call, (how, None)))
            }
            (_, Some((entry, bytes))) => {
                let kept = cache.keep(*key, &entry, &bytes);
                Ok((outcome, call, (how, kept)))
            }
            (_, None) => Ok((outcome, call, (how, None))),
        }
    }

    /// Runs what was skipped because it was remembered, so that the instance knows of it as if it had run. The world has been
    /// looked at when it was skipped.
    fn catch_up(&mut self, whose: &Remembering, call: &Call, cache: &Cache) -> Result<(), Stopped> {
        let memory = self.kept.entry(whose.clone()).or_default();
        let skipped = std::mem::take(&mut memory.skipped);
        let first = memory.earlier();
        for (earlier, Skipped { key, variant, request, answers, output }) in (first..).zip(skipped) {
            let unreadable = |malformed| Stopped::Failed(Cause::Request(malformed));
            let expand = Expand::read(&request).map_err(unreadable)?;
            let arguments = Arguments {
                module: ModuleDigest::from_bytes(expand.module),
                package: expand.package,
                kind: expand.kind,
                name: expand.name,
                input: expand.input,
            };
            let channel = Channel::earlier(Arc::new(answers.into()));
            let again = self.call(&request, expand.input, &call.rules, call.limits, earlier, channel);
            let again = again.map_err(|(malformed, _)| unreadable(malformed))?;
            let (outcome, _) = self.run(call.limits, Some(whose.clone()), again, &arguments);
            let now = match outcome? {
                Outcome::Done(now) if now == output => continue,
                Outcome::Done(now) => Reply::Done(now),
                Outcome::Panicked(message) => Reply::Panicked(message),
            };
            cache.expansions.forget(&key.0, &variant);
            return Err(Stopped::Failed(different(expand.input, &output, &now)));
        }
        Ok(())
    }

    pub(crate) fn run(
        &mut self,
        limits: Limits,
        remembering: Option<Remembering>,
        call: Call,
        arguments: &Arguments<'_>,
    ) -> (Result<Outcome, Stopped>, Call) {
        let is_ready = |runtime: &Runtime| runtime.has(&arguments.module);
        if !self.runtimes.get(&limits.stack).is_some_and(is_ready) {
            // Threads will be started.
            self.near.go_anywhere();
        }
        let runtime = match self.runtimes.entry(limits.stack) {
            Entry::Occupied(runtime) => runtime.into_mut(),
            Entry::Vacant(place) => match Runtime::new(&limits) {
                Ok(runtime) => place.insert(runtime),
                Err(error) => return (Err(Stopped::Failed(error.into())), call),
            },
        };
        let mut loaded = runtime.load(&self.config.store, arguments.module);
        if let (Err(ModuleError::Missing { .. }), Some(Awaited(wait))) = (&loaded, &self.config.awaited) {
            wait(arguments.package);
            loaded = runtime.load(&self.config.store, arguments.module);
        }
        let (outcome, mut call) = match loaded {
            Ok(loaded) => match remembering {
                Some(whose) => {
                    let memory = self.kept.entry(whose).or_default();
                    let ran = guest::run(runtime, &loaded, &mut memory.kept, true, call, arguments);
                    memory.ended |= memory.kept.is_none();
                    ran
                }
                None => guest::run(runtime, &loaded, &mut None, false, call, arguments),
            },
            Err(error) => (Err(Stopped::Failed(error.into())), call),
        };
        if let Ok(Outcome::Done(output)) = &outcome {
            call.findings = judge(arguments.input, output);
        }
        (outcome, call)
    }
}

/// What an output may do, looked at before the compiler has it.
fn judge(input: &[u8], output: &[u8]) -> Findings {
    match flat::output(input, output) {
        Ok(tokens) => findings(&tokens),
        // More than is looked at: that is a finding, too.
        Err(more) => Findings::unreadable(&more.to_string()),
    }
}

/// What came of a call, with its state, how, and what its entry is found by.
type Ran = (Result<Outcome, Stopped>, Call, (How, Option<EntryName>));

/// A call that can be remembered.
struct Keyed {
    cache: Cache,
    key: Key,
    /// The calls before it that its macro remembers.
    chain: Chain,
}

/// The error for a call that did something else than what is remembered of it.
pub(crate) fn different(input: &[u8], was: &[u8], now: &Reply) -> Cause {
    let differs = replay::differing(input, was, now).map(|differs| differs.to_string());
    let as_text = |output: &[u8]| match texts(input, output) {
        Ok(texts) => texts.join("\n"),
        Err(malformed) => format!("({malformed})"),
    };
    let now = match now {
        Reply::Done(output) => as_text(output),
        Reply::Panicked(message) => message.clone().unwrap_or_default(),
        Reply::Failed(text) => text.clone(),
    };
    let how = differs.unwrap_or_else(|| "the same tokens, but other prints or requests".to_owned());
    Cause::Different { how, was: as_text(was), now }
}

/// Why a request gets no output.
enum Ended {
    Failed(Box<ExpandError>),
    Gone(ServeError),
}

fn failed(macro_name: Option<MacroName>, cause: Cause, refused: Attempts) -> Ended {
    Ended::Failed(Box::new(ExpandError { macro_name, cause, refused }))
}

/// Answers every request with the same error, for when there can be no [`Expander`].
pub fn refuse_all(stream: UnixStream, text: &str) -> Result<(), ServeError> {
    let mut channel = Channel::new(stream);
    while let Some(request) = channel.request()? {
        channel.send_text(kind::FAILED, text)?;
        channel.recycle(request);
    }
    Ok(())
}

/// Makes a module's native code ahead of time, so that its first expansion does not wait for it. A store that can't be
/// written is not an error: then it is made when it is needed.
pub fn precompile(store: &Store, module: &ModuleDigest) -> Result<(), ModuleError> {
    engine::precompile(store, *module)
}
