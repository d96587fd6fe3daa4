//! The conversation with one shim: a request in, the expansion out, until the shim is done.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use belljar_policy::{Mode, Policy, Request, Rules};
use belljar_store::{ModuleDigest, Store};
use belljar_wire::message::{Expand, OTHER_PROTOCOL, kind};

use crate::attempts::Attempts;
use crate::channel::Channel;
use crate::engine::{self, Runtime};
use crate::error::{Cause, ExpandError, MacroName, ServeError};
use crate::files::World;
use crate::guest::{self, Arguments, Call, Kept, Outcome, Stopped};
use crate::limits::{BadLimit, Limits};
use crate::record::Recorder;
use crate::tape::{Reply, Tape};
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
    /// Gets to know the calls themselves.
    pub tape: Option<Arc<Tape>>,
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
}

/// Whose instance it is: a macro package's name and version, and its module.
type Remembering = (String, String, ModuleDigest);

/// What is kept for the macros of one package.
#[derive(Default)]
struct Memory {
    kept: Option<Kept>,
    /// A call has ended an instance, and with it what was remembered.
    ended: bool,
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
        Self { config, rules: Vec::new(), runtimes: HashMap::new(), kept: HashMap::new(), world }
    }

    fn rules(&mut self, package: &str, version: &str) -> Arc<Rules> {
        if let Some((.., rules)) = self.rules.iter().find(|(p, v, _)| p == package && v == version) {
            return Arc::clone(rules);
        }
        let rules = Arc::new(self.config.policy.rules(package, version));
        self.rules.push((package.to_owned(), version.to_owned(), Arc::clone(&rules)));
        rules
    }

    /// Answers the shim at the other end of `stream` until it closes its end. An expansion that fails is an answer; an
    /// error here means that the conversation itself can't go on.
    pub fn serve(&mut self, stream: UnixStream) -> Result<(), ServeError> {
        // Guests need a stack of known size, whatever thread this is: the largest that any of them may use.
        let granted = self.config.policy.grants().iter().filter_map(|grant| grant.limits.stack).max();
        let granted = granted.and_then(|stack| usize::try_from(stack).ok());
        let usual = self.config.limits.as_ref().map_or(1 << 20, |limits| limits.stack);
        let stack = engine::thread_stack(usual.max(granted.unwrap_or(0)));
        let thread = thread::Builder::new().name("belljar guests".to_owned()).stack_size(stack);
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
            channel.keep_heard(tape.is_some());
            let (ended, back) = self.expand(&request, channel);
            channel = back;
            let reply = match ended {
                Ok(Outcome::Done(output)) => Reply::Done(output),
                Ok(Outcome::Panicked(message)) => Reply::Panicked(message),
                Err(Ended::Failed(error)) => Reply::Failed(error.to_string()),
                Err(Ended::Gone(error)) => return Err(error),
            };
            // Before it is sent: the compiler may end with it.
            if let Some(tape) = tape {
                tape.add(&request, channel.heard(), &reply);
            }
            channel.reply(&reply)?;
            if let Ok(request) = Arc::try_unwrap(request) {
                channel.recycle(request);
            }
        }
        Ok(())
    }

    fn expand(&mut self, request: &Arc<Vec<u8>>, channel: Channel) -> (Result<Outcome, Ended>, Channel) {
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
            kind: expand.kind,
            name: expand.name,
            input: expand.input,
        };
        let name = || Some(MacroName::of(&expand));
        let limits = match &self.config.limits {
            Ok(limits) => *limits,
            Err(bad) => return (Err(failed(name(), bad.clone().into(), Attempts::default())), channel),
        };
        let rules = self.rules(expand.package, expand.version);
        let limits = limits.changed(&rules.limits());
        let remembering = rules
            .keeps_state()
            .then(|| (expand.package.to_owned(), expand.version.to_owned(), arguments.module));
        let before = remembering.as_ref().and_then(|whose| self.kept.get(whose));
        let forgotten = before.is_some_and(|memory| memory.ended);
        let earlier = before.and_then(|memory| memory.kept.as_ref()).map_or(0, |kept| kept.calls);
        let wasi = Wasi {
            clock: Clock::new(rules.real_time(), self.config.source_date_epoch, self.config.clock_step),
            random: Random::new(Seed {
                project: self.config.seed.clone(),
                rules: Arc::clone(&rules),
                earlier,
                request: Arc::clone(request),
            }),
        };
        let world = Arc::clone(&self.world);
        let call = match Call::new(Arc::clone(&rules), limits, channel, wasi, world, expand.input) {
            Ok(call) => call,
            Err((malformed, channel)) => {
                return (Err(failed(name(), Cause::Request(malformed), Attempts::default())), channel);
            }
        };
        let (outcome, mut call) = self.run(limits, remembering, call, &arguments);
        if forgotten {
            call.attempts.note(FORGOTTEN);
        }
        // In report mode all macros remember: that is worth a word where there is something to remember.
        if rules.keeps_state() && (rules.mode() == Mode::Enforce || earlier > 0) {
            call.granted(Request::State);
        }
        let lost = matches!(outcome, Err(Stopped::Gone(_) | Stopped::Failed(Cause::Unanswered)));
        let site = if lost || !(call.attempts.tell() || call.channel.keeps_heard()) {
            Ok(None)
        } else {
            call.call_site()
        };
        let seen = std::mem::take(&mut call.observations);
        let recorder = &self.config.recorder;
        if call.attempts.is_empty() && seen.is_empty() {
            recorder.used((expand.package, expand.version), rules.digest());
        } else {
            let site = site.as_ref().ok().and_then(Option::as_ref);
            recorder.add(&MacroName::of(&expand), rules.digest(), &call.attempts, seen, site);
        }
        if let Err(gone) = site {
            return (Err(Ended::Gone(gone)), call.channel);
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
        (ended, call.channel)
    }

    fn run(
        &mut self,
        limits: Limits,
        remembering: Option<Remembering>,
        call: Call,
        arguments: &Arguments<'_>,
    ) -> (Result<Outcome, Stopped>, Call) {
        let runtime = match self.runtimes.entry(limits.stack) {
            Entry::Occupied(runtime) => runtime.into_mut(),
            Entry::Vacant(place) => match Runtime::new(&limits) {
                Ok(runtime) => place.insert(runtime),
                Err(error) => return (Err(Stopped::Failed(error.into())), call),
            },
        };
        match runtime.load(&self.config.store, arguments.module) {
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
        }
    }
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
pub fn precompile(store: &Store, module: &ModuleDigest) -> Result<(), crate::ModuleError> {
    engine::precompile(store, *module)
}
