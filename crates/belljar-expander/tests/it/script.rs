//! Guests that do some things with files, one after the other, and tell what came of each.

use std::fmt::Write;

use crate::support::{Answer, Shim, guest_with, input};

/// Where results of host functions are written, where texts lie, where the report is made.
const SCRATCH: u32 = 0x1_0000;
const USED: u32 = 0x0_f000;
const TEXTS: u32 = 0x4_0000;
const REPORT: u32 = 0x8_0000;

const PAGES: u32 = 200;

pub const ROOT: u32 = 3;

/// Rights that libc asks for when it opens a file to read it.
pub const READ: u64 = 1 << 1;
pub const WRITE: u64 = 1 << 6;
/// `oflags`.
pub const DIRECTORY: u32 = 2;
pub const CREATE: u32 = 1;

const FUNCTIONS: &[(&str, &str)] = &[
    ("fd_allocate", "i32 i64 i64"),
    ("fd_close", "i32"),
    ("fd_fdstat_get", "i32 i32"),
    ("fd_filestat_get", "i32 i32"),
    ("fd_filestat_set_size", "i32 i64"),
    ("fd_filestat_set_times", "i32 i64 i64 i32"),
    ("fd_pread", "i32 i32 i32 i64 i32"),
    ("fd_pwrite", "i32 i32 i32 i64 i32"),
    ("fd_read", "i32 i32 i32 i32"),
    ("fd_readdir", "i32 i32 i32 i64 i32"),
    ("fd_renumber", "i32 i32"),
    ("fd_seek", "i32 i64 i32 i32"),
    ("fd_tell", "i32 i32"),
    ("path_create_directory", "i32 i32 i32"),
    ("path_filestat_get", "i32 i32 i32 i32 i32"),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
    ("path_readlink", "i32 i32 i32 i32 i32 i32"),
    ("path_remove_directory", "i32 i32 i32"),
    ("path_rename", "i32 i32 i32 i32 i32 i32"),
    ("path_symlink", "i32 i32 i32 i32 i32"),
    ("path_unlink_file", "i32 i32 i32"),
];

/// What one function answered: its error, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub errno: u32,
    pub bytes: Vec<u8>,
}

impl Told {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub fn number(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    /// The entries of a directory: name, kind, number.
    pub fn entries(&self) -> Vec<(String, u8, u64)> {
        let (mut at, mut entries) = (0, Vec::new());
        while let Some(head) = self.bytes.get(at..at + 24) {
            let len = u32::from_le_bytes(head[16..20].try_into().unwrap()) as usize;
            let Some(name) = self.bytes.get(at + 24..at + 24 + len) else { break };
            let ino = u64::from_le_bytes(head[8..16].try_into().unwrap());
            entries.push((String::from_utf8(name.to_vec()).unwrap(), head[20], ino));
            at += 24 + len;
        }
        entries
    }
}

#[derive(Default)]
pub struct Script {
    texts: Vec<u8>,
    body: String,
    steps: usize,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts bytes into the guest's memory.
    pub fn put(&mut self, bytes: &[u8]) -> (u32, u32) {
        let at = TEXTS + self.texts.len() as u32;
        self.texts.extend_from_slice(bytes);
        (at, bytes.len() as u32)
    }

    /// Asks rustc something. What it answers is not told.
    pub fn ask(&mut self, question: &[u8]) -> &mut Self {
        let (at, len) = self.put(question);
        writeln!(self.body, "(drop (call $ask (i32.const {at}) (i32.const {len})))").unwrap();
        writeln!(self.body, "(call $take (i32.const {SCRATCH}))").unwrap();
        self
    }

    /// Calls a function, and tells its error and `len` bytes of what it wrote to the place for results.
    pub fn call(&mut self, name: &str, arguments: &[u64], len: u32) -> &mut Self {
        self.step(name, arguments, &format!("(i32.const {len})"))
    }

    fn step(&mut self, name: &str, arguments: &[u64], len: &str) -> &mut Self {
        let (_, types) = FUNCTIONS.iter().find(|(known, _)| *known == name).expect(name);
        let types: Vec<_> = types.split(' ').collect();
        assert_eq!(types.len(), arguments.len(), "{name}");
        let given: String = arguments.iter().zip(types).fold(String::new(), |mut out, (value, ty)| {
            let value = if ty == "i32" { value & 0xffff_ffff } else { *value };
            write!(out, "({ty}.const {value})").unwrap();
            out
        });
        writeln!(self.body, "(call $tell (call ${name} {given}) (i32.const {SCRATCH}) {len})").unwrap();
        self.steps += 1;
        self
    }

    pub fn open_with(&mut self, fd: u32, path: &[u8], how: u32, rights: u64, follow: bool) -> &mut Self {
        let (at, len) = self.put(path);
        let follow = u64::from(follow);
        let given = [fd.into(), follow, at.into(), len.into(), how.into(), rights, 0, 0, SCRATCH.into()];
        self.call("path_open", &given, 4)
    }

    pub fn open(&mut self, path: &str) -> &mut Self {
        self.open_with(ROOT, path.as_bytes(), 0, READ, true)
    }

    pub fn open_directory(&mut self, path: &str) -> &mut Self {
        self.open_with(ROOT, path.as_bytes(), DIRECTORY, READ, true)
    }

    pub fn stat_at(&mut self, fd: u32, path: &[u8], follow: bool) -> &mut Self {
        let (at, len) = self.put(path);
        let given = [fd.into(), u64::from(follow), at.into(), len.into(), SCRATCH.into()];
        self.call("path_filestat_get", &given, 64)
    }

    pub fn stat(&mut self, path: &str) -> &mut Self {
        self.stat_at(ROOT, path.as_bytes(), true)
    }

    pub fn stat_fd(&mut self, fd: u32) -> &mut Self {
        self.call("fd_filestat_get", &[fd.into(), SCRATCH.into()], 64)
    }

    pub fn read_link(&mut self, path: &str, room: u32) -> &mut Self {
        let (at, len) = self.put(path.as_bytes());
        let given = [ROOT.into(), at.into(), len.into(), SCRATCH.into(), room.into(), USED.into()];
        self.step("path_readlink", &given, &format!("(i32.load (i32.const {USED}))"))
    }

    /// Reads `len` bytes at most from where the file stands.
    pub fn read(&mut self, fd: u32, len: u32) -> &mut Self {
        let piece = [SCRATCH.to_le_bytes(), len.to_le_bytes()].concat();
        let (at, _) = self.put(&piece);
        let given = [fd.into(), at.into(), 1, USED.into()];
        self.step("fd_read", &given, &format!("(i32.load (i32.const {USED}))"))
    }

    pub fn read_at(&mut self, fd: u32, len: u32, offset: u64) -> &mut Self {
        let piece = [SCRATCH.to_le_bytes(), len.to_le_bytes()].concat();
        let (at, _) = self.put(&piece);
        let given = [fd.into(), at.into(), 1, offset, USED.into()];
        self.step("fd_pread", &given, &format!("(i32.load (i32.const {USED}))"))
    }

    pub fn list(&mut self, fd: u32, room: u32, cookie: u64) -> &mut Self {
        let given = [fd.into(), SCRATCH.into(), room.into(), cookie, USED.into()];
        self.step("fd_readdir", &given, &format!("(i32.load (i32.const {USED}))"))
    }

    pub fn close(&mut self, fd: u32) -> &mut Self {
        self.call("fd_close", &[fd.into()], 0)
    }

    /// The guest's text. It prints one line per step: the error, and the bytes in hexadecimal.
    pub fn wat(&self) -> String {
        let mut fields = String::new();
        for (name, types) in FUNCTIONS {
            let from = r#"(import "wasi_snapshot_preview1""#;
            writeln!(fields, r#"{from} "{name}" (func ${name} (param {types}) (result i32)))"#).unwrap();
        }
        let texts: String = self.texts.iter().map(|b| format!("\\{b:02x}")).collect();
        write!(
            fields,
            r#"(data (i32.const {TEXTS}) "{texts}")
            (global $pos (mut i32) (i32.const {REPORT}))
            (func $put (param $c i32)
                (i32.store8 (global.get $pos) (local.get $c))
                (global.set $pos (i32.add (global.get $pos) (i32.const 1))))
            ;; Letters from `a` on for the digits.
            (func $byte (param $b i32)
                (call $put (i32.add (i32.const 97) (i32.shr_u (local.get $b) (i32.const 4))))
                (call $put (i32.add (i32.const 97) (i32.and (local.get $b) (i32.const 15)))))
            (func $tell (param $errno i32) (param $at i32) (param $len i32)
                (call $byte (local.get $errno))
                (if (i32.eqz (local.get $errno)) (then
                    (block $done (loop $on
                        (br_if $done (i32.eqz (local.get $len)))
                        (call $byte (i32.load8_u (local.get $at)))
                        (local.set $at (i32.add (local.get $at) (i32.const 1)))
                        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
                        (br $on)))))
                (call $put (i32.const 10)))"#
        )
        .unwrap();
        let body = format!(
            "{}
             (i32.store (i32.const 32) (i32.const {REPORT}))
             (i32.store (i32.const 36) (i32.sub (global.get $pos) (i32.const {REPORT})))
             (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
             (call $same)",
            self.body
        );
        guest_with(&fields, &body)
            .replace(r#"(memory (export "memory") 2)"#, &format!(r#"(memory (export "memory") {PAGES})"#))
    }

    /// Runs it, and gives what each step was told. The expansion has to succeed.
    #[track_caller]
    pub fn run(&self, shim: &mut Shim) -> Vec<Told> {
        let replied = shim.expand(&self.wat(), &input());
        assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
        let told: Vec<_> = replied.stdout.lines().map(told).collect();
        assert_eq!(told.len(), self.steps);
        told
    }

    /// Runs it; the expansion has to fail, with this message.
    #[track_caller]
    pub fn fails(&self, shim: &mut Shim) -> String {
        shim.expand(&self.wat(), &input()).answer.failed()
    }
}

fn told(line: &str) -> Told {
    let nibble = |b: u8| b - b'a';
    let bytes: Vec<u8> = line.as_bytes().chunks(2).map(|two| nibble(two[0]) << 4 | nibble(two[1])).collect();
    Told { errno: bytes[0].into(), bytes: bytes[1..].to_vec() }
}
