//! One expansion: a fresh instance, the macro's call, and the questions it asks meanwhile.
//!
//! The steps are those of [`belljar_wire::abi`]. Nothing that comes from the guest is believed: addresses and lengths,
//! questions, the output and every token in it are checked here, and what is not as it should be ends the expansion.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar_inspect::Findings;
use belljar_policy::{Decision, Reason, Request, Rules};
use belljar_store::ModuleDigest;
use belljar_wire::Malformed;
use belljar_wire::abi::{self, EntryKind, attempt, import, question};
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::message::MAX_FRAME;
use belljar_wire::tokens::{self, Expanded, OutTree, Shape};
use wasmtime::{
    Caller, Extern, Instance, Linker, Memory, ResourceLimiter, Store, Trap, UpdateDeadline, WasmBacktrace,
};

use crate::attempts::Attempts;
use crate::channel::Channel;
use crate::engine::{Loaded, Runtime};
use crate::error::{Cause, Frames, MacroName, ServeError};
use crate::files::{Files, World};
use crate::lexer::{self, Lexed};
use crate::limits::{self, Exceeded, Limit, Limits};
use crate::memory;
use crate::record::Observation;
use crate::wasi::{Random, Wasi};

/// Longest name of a variable or path that is looked at; what is longer is refused by its beginning.
pub(crate) const MAX_NAME: usize = 4096;

/// Elements of all tables of a guest. Real ones have some thousand.
const MAX_TABLE: usize = 1 << 20;

/// Bytes that a text costs beside its own: what rustc and this process know of it.
const TEXT_OVERHEAD: usize = 64;

/// Functions shown when a guest crashed.
const SHOWN_FRAMES: usize = 5;

/// How a macro's call ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The output's bytes, checked.
    Done(Vec<u8>),
    /// The macro's own message, if its panic had one that can be shown.
    Panicked(Option<String>),
}

/// Why it did not end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// This expansion failed.
    Failed(Cause),
    /// The shim is gone.
    Gone(ServeError),
}

impl From<ServeError> for Stopped {
    fn from(error: ServeError) -> Self {
        Self::Gone(error)
    }
}

impl<C: Into<Cause>> From<C> for Stopped {
    fn from(cause: C) -> Self {
        Self::Failed(cause.into())
    }
}

/// What belongs to one call of a macro: the state behind the functions that the guest imports.
pub(crate) struct Call {
    pub(crate) rules: Arc<Rules>,
    pub(crate) limits: Limits,
    pub(crate) channel: Channel,
    pub(crate) attempts: Attempts,
    /// What it saw of the world.
    pub(crate) observations: HashSet<Observation>,
    /// In which way things were missing, by name.
    pub(crate) absences: BTreeMap<String, u32>,
    /// It saw all variables, or how many there are.
    pub(crate) lists_variables: bool,
    /// It saw something that nothing will tell to be otherwise the next time.
    pub(crate) of_the_moment: bool,
    pub(crate) wasi: Wasi,
    pub(crate) files: Files,
    /// What this call shares with all others of the compilation.
    pub(crate) world: Arc<World>,
    shape: Shape,
    memory: Option<Memory>,
    /// What the last question was answered, until the guest takes it.
    answer: Option<Vec<u8>>,
    /// Set by a panic: its message, if it has one.
    panic: Option<Option<String>>,
    /// Texts that rustc is given to lex, by what [`Self::check_text`] knows them by.
    texts: HashSet<blake3::Hash>,
    /// Bytes of all of them.
    lexed: usize,
    questions: u32,
    /// Names of files that it asked for or was told.
    names: u64,
    /// Bytes that rustc reads and writes for this call's questions.
    compiler: u64,
    /// Time in which rustc answered them.
    waited: Duration,
    printed: usize,
    table: usize,
    /// Whether the macro writes a `compile_error!`: an expansion that fails in its own words.
    pub(crate) complains: bool,
    /// What its output may do.
    pub(crate) findings: Findings,
}

/// The macro by which a macro says what is wrong.
const COMPLAINT: &str = "compile_error";

/// What a macro is called with.
pub(crate) struct Arguments<'a> {
    pub(crate) module: ModuleDigest,
    /// The macro's package.
    pub(crate) package: &'a str,
    pub(crate) kind: EntryKind,
    pub(crate) name: &'a str,
    pub(crate) input: &'a [u8],
}

impl Call {
    pub(crate) fn new(
        rules: Arc<Rules>,
        limits: Limits,
        channel: Channel,
        wasi: Wasi,
        world: Arc<World>,
        input: &[u8],
    ) -> Result<Self, (Malformed, Channel)> {
        let shape = match Shape::of(input) {
            Ok(shape) => shape,
            Err(malformed) => return Err((malformed, channel)),
        };
        Ok(Self {
            rules,
            limits,
            channel,
            attempts: Attempts::default(),
            observations: HashSet::new(),
            absences: BTreeMap::new(),
            lists_variables: false,
            of_the_moment: false,
            wasi,
            files: Files::default(),
            world,
            shape,
            memory: None,
            answer: None,
            panic: None,
            texts: HashSet::new(),
            lexed: 0,
            questions: 0,
            names: 0,
            compiler: 0,
            waited: Duration::ZERO,
            printed: 0,
            complains: false,
            findings: Findings::default(),
            table: 0,
        })
    }

    /// Goes on in an instance that an earlier call has used.
    fn go_on(&mut self, earlier: Call) {
        self.files = earlier.files;
        self.memory = earlier.memory;
        self.table = earlier.table;
        self.wasi.clock = self.wasi.clock.after(earlier.wasi.clock);
    }

    /// What an instance has between two calls: all that is not one call's.
    fn idle(&mut self) -> Call {
        Call {
            rules: Arc::clone(&self.rules),
            limits: self.limits,
            channel: Channel::default(),
            attempts: Attempts::default(),
            observations: HashSet::new(),
            absences: BTreeMap::new(),
            lists_variables: false,
            of_the_moment: false,
            wasi: Wasi { clock: self.wasi.clock, random: Random::default() },
            files: std::mem::take(&mut self.files),
            world: Arc::clone(&self.world),
            shape: Shape::default(),
            memory: self.memory,
            answer: None,
            panic: None,
            texts: HashSet::new(),
            lexed: 0,
            questions: 0,
            names: 0,
            compiler: 0,
            waited: Duration::ZERO,
            printed: 0,
            table: self.table,
            complains: false,
            findings: Findings::default(),
        }
    }

    pub(crate) fn exceeded(&self, limit: Limit) -> Exceeded {
        self.limits.exceeded(limit)
    }

    /// Prints what was refused, if anything was: what the macro complains of may come from that, and its words don't say so.
    pub(crate) fn tell_refused(&mut self, macro_name: Option<MacroName>) -> Result<(), ServeError> {
        let lines = self.attempts.lines();
        let (Some(name), false) = (macro_name, lines.is_empty()) else { return Ok(()) };
        let text =
            format!("note: belljar: {name} reports an error\n{:>10}{}\n", "", lines.join("\n          "));
        self.channel.print(2, text.as_bytes())
    }

    /// Sends on what the guest prints to standard output (1) or error (2).
    pub(crate) fn print(&mut self, stream: u8, bytes: &[u8]) -> wasmtime::Result<()> {
        self.printed = self.printed.saturating_add(bytes.len());
        if self.printed > self.limits.print {
            return Err(stop(self.exceeded(Limit::Print)));
        }
        Ok(self.channel.print(stream, bytes)?)
    }

    /// Records that something was wanted, and says whether it is granted.
    pub(crate) fn granted(&mut self, request: Request) -> bool {
        let decision = self.rules.decide(&request);
        let granted = matches!(decision, Decision::Granted(_) | Decision::Fixed(_));
        self.attempts.record(request, &decision);
        granted
    }

    /// Records that something was wanted that no grant can give.
    pub(crate) fn refused(&mut self, request: Request) {
        let decision = match self.rules.decide(&request) {
            refused @ Decision::Refused(_) => refused,
            _ => Decision::Refused(Reason::NeverGranted),
        };
        self.attempts.record(request, &decision);
    }

    /// The compiler's working directory, which the guest gets to know.
    pub(crate) fn working_directory(&mut self) -> Option<String> {
        let Some(path) = self.rules.cwd().map(str::to_owned) else {
            self.of_the_moment = true;
            return None;
        };
        self.observations.insert(Observation::WorkingDirectory { path: path.clone() });
        Some(path)
    }

    fn count_question(&mut self) -> wasmtime::Result<()> {
        self.questions = self.questions.saturating_add(1);
        if self.questions > self.limits.questions {
            return Err(stop(self.exceeded(Limit::Questions)));
        }
        Ok(())
    }

    /// Counts names of files that the guest asks for or is told: what is known of each is kept.
    pub(crate) fn count_names(&mut self, names: u64) -> wasmtime::Result<()> {
        if names > self.names_left() {
            return Err(stop(self.exceeded(Limit::Names)));
        }
        self.names += names;
        Ok(())
    }

    pub(crate) fn names_left(&self) -> u64 {
        u64::from(self.limits.names).saturating_sub(self.names)
    }

    /// Answers a question; see [`question`] for the forms.
    fn answer_to(&mut self, asked: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let malformed_question = |e| Cause::Protocol { what: format!("a question: {e}") };
        let malformed = |e| stop(malformed_question(e));
        let mut r = Reader::new(asked);
        let kind = r.u8().map_err(malformed)?;
        match kind {
            question::LINE..=question::SOURCE_TEXT => {
                let handles = self.shape.handles();
                let derived = tokens::read_derived(&mut r, handles).map_err(malformed)?;
                tokens::read_span(&mut r, handles, derived.len() as u32).map_err(malformed)?;
                r.end().map_err(malformed)?;
            }
            question::PRINT => {
                let printed = self.check_output(r.rest(), malformed_question)?.printed();
                if printed > self.limits.expanded() {
                    return Err(stop(self.exceeded(Limit::Expanded)));
                }
                self.count_compiler(printed)?;
            }
            question::LEX_STREAM | question::LEX_LITERAL => {
                let expected = |_| malformed(Malformed { expected: "UTF-8 text", at: 1 });
                let text = std::str::from_utf8(r.rest()).map_err(expected)?;
                let lexed =
                    if kind == question::LEX_STREAM { lexer::stream(text) } else { lexer::literal(text) };
                match lexed {
                    Lexed::Stream(stream) => return Ok([&[1], stream.as_slice()].concat()),
                    Lexed::Error(why) => {
                        let mut w = Writer::new();
                        w.u8(0);
                        w.text(&why);
                        return Ok(w.into_bytes());
                    }
                    Lexed::AskRustc { shown } => {
                        self.count_text(text.len())?;
                        self.count_compiler(shown)?;
                    }
                }
            }
            question::NAME => {
                let expected = |_| malformed(Malformed { expected: "UTF-8 text", at: 1 });
                std::str::from_utf8(r.rest()).map_err(expected)?;
            }
            _ => return Err(malformed(Malformed { expected: "a kind of question", at: 0 })),
        }
        self.count_compiler(asked.len() as u64)?;
        let began = Instant::now();
        let answer = self.channel.ask(asked)?;
        self.waited = self.waited.saturating_add(began.elapsed());
        // The shim could not answer, and says itself why.
        if answer.is_empty() {
            return Err(stop(Cause::Unanswered));
        }
        check_answer(kind, answer).map_err(|malformed| ServeError::Answer { malformed })?;
        let answer = answer.to_vec();
        self.count_compiler(answer.len() as u64)?;
        // rustc can't be interrupted: each question is limited in size, so that its answer is not far.
        if self.waited > self.limits.wait {
            return Err(stop(self.exceeded(Limit::Wait)));
        }
        Ok(answer)
    }

    /// Checks an output, or a question that is one, and says what it stands for.
    fn check_output(
        &mut self,
        output: &[u8],
        malformed: impl FnOnce(Malformed) -> Cause,
    ) -> wasmtime::Result<Expanded> {
        let mut exceeded = None;
        // The walk needs the shape, and what is checked on the way the rest.
        let shape = std::mem::take(&mut self.shape);
        let checked = tokens::check_output(output, &shape, |new| {
            self.check_new(new).map_err(|why| match why {
                Bad::Wrong(expected) => expected,
                Bad::TooMuch(error) => {
                    exceeded = Some(error);
                    "less of this"
                }
            })
        });
        self.shape = shape;
        if let Some(error) = exceeded {
            return Err(error);
        }
        let expanded = checked.map_err(|e| stop(malformed(e)))?;
        if expanded.text > self.limits.expanded() {
            return Err(stop(self.exceeded(Limit::Expanded)));
        }
        Ok(expanded)
    }

    /// Whether a new token's text is one token of that kind, and a text lexed to its stream.
    fn check_new(&mut self, new: &OutTree<'_>) -> Result<(), Bad> {
        match *new {
            OutTree::Text { text, .. } if text.contains(COMPLAINT) => self.complains = true,
            OutTree::Ident { text: COMPLAINT, .. } => self.complains = true,
            _ => {}
        }
        match *new {
            OutTree::Text { text, lexed } => self.check_text(text, lexed),
            OutTree::Ident { text, raw, .. } if !lexer::is_identifier(text, raw) => {
                Err(Bad::Wrong("an identifier"))
            }
            OutTree::Literal { text, .. } => match lexer::literal_shown(text) {
                Some(0) => Ok(()),
                Some(shown) => self.count_compiler(shown).map_err(Bad::TooMuch),
                None => Err(Bad::Wrong("a literal")),
            },
            _ => Ok(()),
        }
    }

    /// Whether a text is lexed to this stream. Of what only rustc can lex, the shim finds out: it compares as well.
    fn check_text(&mut self, text: &str, claimed: &[u8]) -> Result<(), Bad> {
        let mut known_by = blake3::Hasher::new();
        known_by.update(&text.len().to_le_bytes()).update(text.as_bytes()).update(claimed);
        if !self.texts.insert(known_by.finalize()) {
            return Ok(());
        }
        self.count_text(text.len()).map_err(Bad::TooMuch)?;
        match lexer::stream(text) {
            Lexed::Stream(stream) if stream == claimed => Ok(()),
            Lexed::AskRustc { shown } => self.count_compiler(shown).map_err(Bad::TooMuch),
            Lexed::Stream(_) | Lexed::Error(_) => Err(Bad::Wrong("a text and what it is lexed to")),
        }
    }

    /// Counts what rustc reads or writes to answer this call's questions.
    fn count_compiler(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.compiler = self.compiler.saturating_add(bytes);
        if self.compiler > self.limits.compiler as u64 {
            return Err(stop(self.exceeded(Limit::Compiler)));
        }
        Ok(())
    }

    /// Counts a text that rustc will lex: it keeps each as long as it runs.
    fn count_text(&mut self, len: usize) -> wasmtime::Result<()> {
        self.lexed = self.lexed.saturating_add(len.saturating_add(TEXT_OVERHEAD));
        if self.lexed > self.limits.output {
            return Err(stop(self.exceeded(Limit::Output)));
        }
        Ok(())
    }
}

/// Why a text can't be in an output.
enum Bad {
    /// It is not what is expected.
    Wrong(&'static str),
    /// rustc would have to lex or complain too much.
    TooMuch(wasmtime::Error),
}

/// Checks the form of rustc's answer.
fn check_answer(kind: u8, answer: &[u8]) -> Result<(), Malformed> {
    let mut r = Reader::new(answer);
    match kind {
        question::LINE | question::COLUMN => drop(r.varint()?),
        question::LOCAL_FILE | question::SOURCE_TEXT | question::NAME => match r.u8()? {
            0 => {}
            1 => drop(r.text()?),
            _ => return Err(r.malformed("0 or 1")),
        },
        question::LEX_STREAM | question::LEX_LITERAL => match r.u8()? {
            0 => drop(r.text()?),
            1 => {
                let stream = tokens::read_stream(&mut r, 0)?;
                tokens::check_stream(answer, stream)?;
            }
            2 => {}
            _ => return Err(r.malformed("0, 1 or 2")),
        },
        _ => drop(r.text()?),
    }
    r.end()
}

/// An error that ends the guest's call.
pub(crate) fn stop(cause: impl Into<Cause>) -> wasmtime::Error {
    wasmtime::Error::new(cause.into())
}

/// The guest's memory and the state of its call, to be used side by side.
pub(crate) fn parts<'a>(caller: &'a mut Caller<'_, Call>) -> wasmtime::Result<(&'a mut [u8], &'a mut Call)> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        // A function that runs at instantiation.
        None => match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => memory,
            _ => return Err(stop(Cause::Protocol { what: "it has no memory".to_owned() })),
        },
    };
    Ok(memory.data_and_store_mut(caller))
}

/// Puts the functions of [`abi::IMPORT_MODULE`] into a linker.
pub(crate) fn add_to(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    let from = abi::IMPORT_MODULE;
    linker.func_wrap(from, import::ASK, |mut caller: Caller<'_, Call>, at: u32, len: u32| {
        let (memory, call) = parts(&mut caller)?;
        call.count_question()?;
        if len as usize > call.limits.output {
            return Err(stop(call.exceeded(Limit::Output)));
        }
        let answer = call.answer_to(memory::bytes(memory, at, len).map_err(stop)?)?;
        let len = u32::try_from(answer.len()).unwrap_or(MAX_FRAME);
        call.answer = Some(answer);
        Ok(len)
    })?;
    linker.func_wrap(from, import::TAKE, |mut caller: Caller<'_, Call>, at: u32| {
        let (memory, call) = parts(&mut caller)?;
        let nothing = || stop(Cause::Protocol { what: "it took an answer without a question".to_owned() });
        let answer = call.answer.take().ok_or_else(nothing)?;
        memory::write(memory, at, &answer).map_err(stop)
    })?;
    linker.func_wrap(from, import::GETENV, |mut caller: Caller<'_, Call>, at: u32, len: u32| {
        let (memory, call) = parts(&mut caller)?;
        call.count_question()?;
        let name = memory::bytes(memory, at, len).map_err(stop)?;
        let name = name_from(name);
        if !call.granted(Request::Variable(name.clone())) {
            return Ok(u32::MAX);
        }
        let value = call.rules.variable(&name).map(str::to_owned);
        call.answer = value.as_ref().map(|value| value.as_bytes().to_vec());
        call.observations.insert(Observation::Variable { name, value });
        Ok(call.answer.as_ref().map_or(u32::MAX, |value| u32::try_from(value.len()).unwrap_or(u32::MAX)))
    })?;
    linker.func_wrap(from, import::GETCWD, |mut caller: Caller<'_, Call>| {
        let (_, call) = parts(&mut caller)?;
        call.count_question()?;
        call.answer = call.working_directory().map(String::into_bytes);
        Ok(call.answer.as_ref().map_or(u32::MAX, |path| u32::try_from(path.len()).unwrap_or(u32::MAX)))
    })?;
    linker.func_wrap(
        from,
        import::ATTEMPT,
        |mut caller: Caller<'_, Call>, kind: u32, at: u32, len: u32| {
            let (memory, call) = parts(&mut caller)?;
            call.count_question()?;
            let name = name_from(memory::bytes(memory, at, len).map_err(stop)?);
            call.refused(match kind {
                attempt::THREAD => Request::Thread,
                attempt::PROCESS => Request::Process(name),
                attempt::SOCKET => Request::Socket((len > 0).then_some(name)),
                _ => return Err(stop(Cause::Protocol { what: format!("an attempt of kind {kind}") })),
            });
            Ok(())
        },
    )?;
    linker.func_wrap(from, import::PANICKED, |mut caller: Caller<'_, Call>, at: u32, len: u32| {
        let (memory, call) = parts(&mut caller)?;
        let message = memory::bytes(memory, at, len).map_err(stop)?;
        let shown = message.len().min(call.limits.print);
        let text = || String::from_utf8_lossy(&message[..shown]).into_owned();
        call.panic = Some((at != 0).then(text));
        Ok(())
    })?;
    Ok(())
}

/// A name of bounded length from a guest's bytes.
pub(crate) fn name_from(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME)]).into_owned()
}

impl ResourceLimiter for Call {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // An error, not a refusal that the guest could see: what it does must not depend on the limit.
        if desired > self.limits.memory { Err(stop(self.exceeded(Limit::Memory))) } else { Ok(true) }
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(if error.is::<Cause>() { error } else { stop(Cause::NoMemory) })
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table = self.table.saturating_add(desired.saturating_sub(current));
        if self.table > MAX_TABLE { Err(stop(self.exceeded(Limit::Memory))) } else { Ok(true) }
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(if error.is::<Cause>() { error } else { stop(Cause::NoMemory) })
    }
}

/// An instance whose macros remember what they did before in this crate.
pub(crate) struct Kept {
    store: Store<Call>,
    instance: Instance,
    /// Room for inputs: where, and how much. Guests give no memory back.
    room: (u32, u32),
    /// Calls that it has served.
    pub(crate) calls: u64,
}

/// Runs a macro once, in the instance of earlier calls if there is one, and gives back its call's state. Prints that are
/// still held back are the caller's to send. With `keep`, the instance is kept, unless the call has ended it.
pub(crate) fn run(
    runtime: &Runtime,
    loaded: &Loaded,
    kept: &mut Option<Kept>,
    keep: bool,
    mut call: Call,
    arguments: &Arguments<'_>,
) -> (Result<Outcome, Stopped>, Call) {
    let limits = call.limits;
    let (mut store, before) = match kept.take() {
        Some(Kept { mut store, instance, room, calls }) => {
            // The earlier state takes the place of this call's for a moment: there is always one.
            std::mem::swap(store.data_mut(), &mut call);
            store.data_mut().go_on(call);
            (store, Some((instance, room, calls)))
        }
        None => {
            let mut store = Store::new(runtime.engine(), call);
            store.limiter(|call| call);
            (store, None)
        }
    };
    store.set_epoch_deadline(1);
    let mut started = None;
    store.epoch_deadline_callback(move |_| {
        let now = limits::thread_time();
        // Counting begins at the first tick: that is exact enough, and most expansions never see one.
        let begun = *started.get_or_insert(now);
        if now.saturating_sub(begun) >= limits.time {
            Err(stop(limits.exceeded(Limit::Time)))
        } else {
            Ok(UpdateDeadline::Continue(1))
        }
    });
    let _ticking = runtime.ticker().running();
    let calls = before.map_or(0, |(.., calls)| calls);
    let at = before.map(|(instance, room, _)| (instance, room));
    let called = enter(&mut store, loaded, at, keep, arguments);
    let outcome = match called {
        Ok((outcome, _, _)) if !keep => Ok(outcome),
        Ok((outcome, instance, room)) => {
            let idle = store.data_mut().idle();
            let call = std::mem::replace(store.data_mut(), idle);
            *kept = Some(Kept { store, instance, room, calls: calls + 1 });
            return (Ok(outcome), call);
        }
        Err(Failure::Cause(cause)) => Err(Stopped::Failed(cause)),
        Err(Failure::Engine(error)) => ended(error, store.data_mut()),
    };
    (outcome, store.into_data())
}

/// What [`enter`] fails with: something found here, or something the engine returned.
enum Failure {
    Cause(Cause),
    Engine(wasmtime::Error),
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

/// The instance of earlier calls, with its room for inputs, is `before`.
fn enter(
    store: &mut Store<Call>,
    loaded: &Loaded,
    before: Option<(Instance, (u32, u32))>,
    keep: bool,
    arguments: &Arguments<'_>,
) -> Result<(Outcome, Instance, (u32, u32)), Failure> {
    let (instance, mut room) = match before {
        Some(before) => before,
        None => {
            let instance = loaded.pre.instantiate(&mut *store)?;
            store.data_mut().memory = instance.get_memory(&mut *store, "memory");
            if instance.get_export(&mut *store, "_initialize").is_some() {
                instance.get_typed_func::<(), ()>(&mut *store, "_initialize")?.call(&mut *store, ())?;
            }
            (instance, (0, 0))
        }
    };
    let missing = |name: &str| {
        let name = format!("function `{name}` of the right type");
        Failure::Cause(Cause::Module(crate::engine::ModuleError::Export { name }))
    };
    let export = abi::export_name(arguments.kind, arguments.name);
    let entry =
        instance.get_typed_func::<(u32, u32), u64>(&mut *store, &export).map_err(|_| missing(&export))?;
    let alloc =
        instance.get_typed_func::<u32, u32>(&mut *store, abi::ALLOC).map_err(|_| missing(abi::ALLOC))?;
    // A frame's length, so it fits.
    let len = u32::try_from(arguments.input.len()).unwrap_or(MAX_FRAME);
    if room.1 < len || !keep {
        // For an instance that goes on, some more: so that rooms of growing inputs take no more than twice the last.
        let wanted = if keep { len.checked_next_power_of_two().unwrap_or(len) } else { len };
        room = (alloc.call(&mut *store, wanted)?, wanted);
    }
    let at = room.0;
    let memory = store.data().memory.ok_or_else(|| missing("memory"))?;
    memory::write(memory.data_mut(&mut *store), at, arguments.input).map_err(|e| Failure::Cause(e.into()))?;

    let returned = entry.call(&mut *store, (at, len))?;
    if returned == abi::PANICKED {
        let message = store.data_mut().panic.take().unwrap_or_default();
        return Ok((Outcome::Panicked(message), instance, room));
    }
    let (at, len) = ((returned >> 32) as u32, returned as u32);
    let (bytes, call) = memory.data_and_store_mut(&mut *store);
    if len as usize > call.limits.output {
        return Err(Failure::Cause(call.exceeded(Limit::Output).into()));
    }
    let output = memory::bytes(bytes, at, len).map_err(|e| Failure::Cause(e.into()))?;
    call.check_output(output, Cause::Output)?;
    Ok((Outcome::Done(output.to_vec()), instance, room))
}

/// What it means that the guest's call ended with an error.
fn ended(error: wasmtime::Error, call: &mut Call) -> Result<Outcome, Stopped> {
    let error = match error.downcast::<Cause>() {
        Ok(cause) => return Err(Stopped::Failed(cause)),
        Err(error) => error,
    };
    let error = match error.downcast::<ServeError>() {
        Ok(gone) => return Err(Stopped::Gone(gone)),
        Err(error) => error,
    };
    let at = frames(&error);
    Err(Stopped::Failed(match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => match call.panic.take() {
            // A std that aborts ends so after a panic.
            Some(message) => return Ok(Outcome::Panicked(message)),
            None => Cause::Aborted { at },
        },
        Some(Trap::StackOverflow) => call.exceeded(Limit::Stack).into(),
        Some(trap) => Cause::Trap { what: trap.to_string(), at },
        None if error.is::<wasmtime::ThrownException>() => {
            Cause::Trap { what: "it threw something that nothing caught".to_owned(), at }
        }
        None => Cause::Start { cause: format!("{error:#}") },
    }))
}

fn frames(error: &wasmtime::Error) -> Frames {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Frames::default() };
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name()).map(|name| {
        let name = format!("{:#}", rustc_demangle::demangle(name));
        name_from(name.as_bytes()).escape_debug().to_string()
    });
    // How std ends a program is of no interest.
    let std = |name: &String| {
        let name = name.trim_start_matches('<');
        name == "abort" || ["std::", "core::", "alloc::", "__rustc"].iter().any(|of| name.starts_with(of))
    };
    Frames(names.skip_while(std).take(SHOWN_FRAMES).collect())
}
