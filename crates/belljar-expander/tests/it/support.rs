//! A store with a module in it, an expander, and the shim's end of its socket.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use belljar_expander::{Config, Expander, Limits, ServeError};
use belljar_policy::{Calling, Policy};
use belljar_store::{ModuleDigest, Store};
use belljar_wire::abi::EntryKind;
use belljar_wire::bytes::{Reader, Writer};
use belljar_wire::message::{self, Expand, Site, kind};
use belljar_wire::tokens::InputWriter;
use camino::Utf8Path;
use tempfile::TempDir;

/// The parts of a guest that all tests need: memory, room for the input from 4096 on, and `body` as the macro `m!`.
/// `$p` and `$n` are the input's place and length; the body leaves the `i64` that the entry returns.
pub fn guest(body: &str) -> String {
    guest_with("", body)
}

/// Like [`guest`], with imports and other fields before the body.
pub fn guest_with(fields: &str, body: &str) -> String {
    format!(
        r#"(module
            (import "belljar" "ask" (func $ask (param i32 i32) (result i32)))
            (import "belljar" "take" (func $take (param i32)))
            (import "belljar" "panicked" (func $panicked (param i32 i32)))
            (import "belljar" "getenv" (func $getenv (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            {fields}
            (memory (export "memory") 2)
            ;; 16: the output that is the whole input
            (data (i32.const 16) "\00\22\00")
            (global $started (mut i32) (i32.const 0))
            (func (export "_initialize") (global.set $started (i32.const 1)))
            (func (export "belljar_alloc") (param i32) (result i32) (i32.const 4096))
            (func $done (param $at i32) (param $len i32) (result i64)
                (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
                        (i64.extend_i32_u (local.get $len))))
            (func $same (result i64) (call $done (i32.const 16) (i32.const 3)))
            (func $m (export "belljar function m") (param $p i32) (param $n i32) (result i64)
                (local $i i32)
                {body}))"#
    )
}

/// What an expander answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Done(Vec<u8>),
    Panicked(Option<String>),
    Failed(String),
}

impl Answer {
    #[track_caller]
    pub fn failed(self) -> String {
        match self {
            Answer::Failed(text) => text,
            other => panic!("expected an error, got {other:?}"),
        }
    }
}

/// An answer and what came before it.
#[derive(Debug)]
pub struct Replied {
    pub answer: Answer,
    pub stdout: String,
    pub stderr: String,
}

/// The shim's side of one conversation.
pub struct Shim {
    pub store: Store,
    pub stream: UnixStream,
    expander: Option<JoinHandle<Result<(), ServeError>>>,
    _home: TempDir,
}

/// Limits that a test reaches soon.
pub fn small() -> Limits {
    Limits {
        time: Duration::from_millis(200),
        memory: 16 << 20,
        stack: 1 << 20,
        output: 1 << 20,
        print: 10_000,
        questions: 100,
        ..Limits::default()
    }
}

impl Shim {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(home.path()).unwrap()).unwrap();
        Self::on(home, store, change)
    }

    pub fn on(home: TempDir, store: Store, change: impl FnOnce(&mut Config)) -> Self {
        let variables = [("CARGO_PKG_NAME", "app"), ("CARGO_CRATE_NAME", "app_lib"), ("HOME", "/home/me")];
        let mut config = Config {
            store: store.clone(),
            policy: Policy::built_in(Calling::of_environment(variables.map(|(n, v)| (n.into(), v.into())))),
            limits: Ok(small()),
            seed: Vec::new(),
            source_date_epoch: None,
            clock_step: 1_000_000,
            moved: None,
            recorder: Arc::default(),
            tape: None,
            awaited: None,
            cache: None,
        };
        change(&mut config);
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let expander = thread::spawn(move || Expander::new(config).serve(theirs));
        Self { store, stream, expander: Some(expander), _home: home }
    }

    pub fn put(&self, wat: &str) -> ModuleDigest {
        self.store.put_module(&wat::parse_str(wat).unwrap()).unwrap()
    }

    /// Expands `m!(input)` with the module that this text makes.
    pub fn expand(&mut self, wat: &str, input: &[u8]) -> Replied {
        let module = self.put(wat);
        self.call(module, input, nobody)
    }

    pub fn request(&self, module: ModuleDigest, input: &[u8]) {
        let request = Expand {
            module: *module.as_bytes(),
            kind: EntryKind::Function,
            name: "m",
            package: "evil",
            version: "1.2.3",
            input,
        };
        let mut w = Writer::new();
        request.write(&mut w);
        let mut site = Writer::new();
        SITE.write(&mut site);
        message::send(&mut &self.stream, kind::SITE, site.as_bytes()).unwrap();
        message::send(&mut &self.stream, kind::EXPAND, w.as_bytes()).unwrap();
    }

    pub fn call(
        &mut self,
        module: ModuleDigest,
        input: &[u8],
        mut rustc: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Replied {
        self.request(module, input);
        self.replied(&mut rustc).expect("the expander hung up")
    }

    pub fn replied(&mut self, rustc: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Option<Replied> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut buffer = Vec::new();
        let answer = loop {
            let kind = message::receive(&mut &self.stream, &mut buffer).unwrap()?;
            let text = |from: usize| {
                let mut r = Reader::at(&buffer, from);
                let text = r.text().unwrap().to_owned();
                r.end().unwrap();
                text
            };
            match kind {
                kind::ASK => {
                    let answer = rustc(&buffer);
                    message::send(&mut &self.stream, kind::ANSWER, &answer).unwrap();
                }
                kind::PRINT if buffer[0] == 1 => stdout.extend_from_slice(&buffer[1..]),
                kind::PRINT => stderr.extend_from_slice(&buffer[1..]),
                kind::DONE => break Answer::Done(buffer),
                kind::PANICKED if buffer == [0] => break Answer::Panicked(None),
                kind::PANICKED => {
                    assert_eq!(buffer[0], 1);
                    break Answer::Panicked(Some(text(1)));
                }
                kind::FAILED => break Answer::Failed(text(0)),
                other => panic!("message {other}"),
            }
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Some(Replied { answer, stdout: text(stdout), stderr: text(stderr) })
    }

    /// Hangs up, and gives what the expander ended with.
    pub fn end(mut self) -> Result<(), ServeError> {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        self.expander.take().unwrap().join().unwrap()
    }

    /// Waits until the expander ends by itself.
    pub fn ended(mut self) -> Result<(), ServeError> {
        self.expander.take().unwrap().join().unwrap()
    }
}

/// rustc's answers for a macro that asks nothing.
pub fn nobody(asked: &[u8]) -> Vec<u8> {
    panic!("it asked {asked:?}")
}

/// A call in line 7 of `src/a.rs`.
pub const SITE: Site<'static> = Site { line: 7, column: 5, end_line: 7, end_column: 9, file: "src/a.rs" };

/// The input `a (1)`: handles 0, and 1 to 4.
pub fn input() -> Vec<u8> {
    let mut w = InputWriter::new(1);
    w.begin_stream();
    w.ident("a", false);
    w.begin_group(belljar_wire::tokens::Delimiter::Parenthesis);
    w.literal("1");
    w.end_group();
    w.end_stream();
    w.into_bytes()
}

/// Bytes as a string of a text module.
pub fn wat_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("\\{b:02x}")).collect()
}
