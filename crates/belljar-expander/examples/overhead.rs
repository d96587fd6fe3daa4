//! What an expansion costs, shim to shim: `cargo run --example overhead [only=run|kept|remembered] [MODULE.wasm ENTRY KIND]`.
//!
//! Without arguments a macro that returns its input at once; else `derive` (or `function`) `ENTRY` of a module, on a struct
//! of eight fields. Each expansion is the whole way: request over the socket, instance, call, checks, answer.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use belljar_expander::{Ahead, Cache, Config, Expander, Verify};
use belljar_policy::Policy;
use belljar_store::{Expansions, Store};
use belljar_wire::abi::EntryKind;
use belljar_wire::bytes::Writer;
use belljar_wire::message::{self, Expand, kind};
use belljar_wire::tokens::{Delimiter, InputWriter};

const SAME: &str = r#"(module
    (memory (export "memory") 17)
    (data (i32.const 16) "\00\22\00")
    (func (export "belljar_alloc") (param i32) (result i32) (i32.const 65536))
    (func (export "belljar function m") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 3))))"#;

fn input() -> Vec<u8> {
    let mut w = InputWriter::new(1);
    w.begin_stream();
    for word in ["pub", "struct", "Example"] {
        w.ident(word, false);
    }
    w.begin_group(Delimiter::Brace);
    for i in 0..8 {
        w.ident("pub", false);
        w.ident(&format!("field_{i}"), false);
        w.punct(b':', false);
        for (at, word) in ["std", "option", "Option"].iter().enumerate() {
            if at > 0 {
                w.punct(b':', true);
                w.punct(b':', false);
            }
            w.ident(word, false);
        }
        w.punct(b'<', false);
        w.ident("String", false);
        w.punct(b'>', true);
        w.punct(b',', false);
    }
    w.end_group();
    w.end_stream();
    w.into_bytes()
}

fn memory_of(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let only = arguments.first().and_then(|first| first.strip_prefix("only=")).map(str::to_owned);
    arguments.drain(..usize::from(only.is_some()));
    let wanted = |word: &str| only.as_deref().is_none_or(|only| only == word);
    // Compiling takes memory that a wrapper does not need, so it has a process of its own.
    if let [word, home, module] = &arguments[..]
        && word == "compile"
    {
        return Ok(belljar_expander::precompile(&Store::open(home.as_str().into())?, &module.parse()?)?);
    }
    let (wasm, name, entry) = match &arguments[..] {
        [] => (wat::parse_str(SAME)?, "m".to_owned(), EntryKind::Function),
        [path, name, word] => {
            let entry = if word == "derive" { EntryKind::Derive } else { EntryKind::Function };
            (std::fs::read(path)?, name.clone(), entry)
        }
        _ => {
            return Err(
                "usage: overhead [only=run|kept|remembered] [MODULE.wasm ENTRY derive|function]".into()
            );
        }
    };
    let home = tempfile::tempdir()?;
    let store =
        Store::open(camino::Utf8Path::from_path(home.path()).ok_or("the temporary directory is not UTF-8")?)?;
    let module = store.put_module(&wasm)?;
    let began = Instant::now();
    let compiler = Command::new(std::env::current_exe()?)
        .arg("compile")
        .arg(home.path())
        .arg(module.to_string())
        .status()?;
    if !compiler.success() {
        return Err("the module can't be compiled".into());
    }
    println!("compile                {:>10.1?}", began.elapsed());

    let input = input();
    let request = Expand {
        module: *module.as_bytes(),
        kind: entry,
        name: &name,
        package: "measured",
        version: "0.0.0",
        input: &input,
    };
    let mut payload = Writer::new();
    request.write(&mut payload);

    // Not remembered; then remembered, with everything there from an earlier compilation.
    let plain = Config::of_environment(store.clone(), Policy::default());
    if wanted("run") {
        measure("run", plain.clone(), payload.as_bytes())?;
    }
    let cache = || Cache {
        expansions: Expansions::of(&store),
        version: "measured".into(),
        verify: Verify::None,
        ahead: Ahead::default(),
    };
    let earlier = cache();
    // To be remembered, it has to be kept first.
    if wanted("kept") || wanted("remembered") {
        measure(
            "run and kept",
            Config { cache: Some(earlier.clone()), ..plain.clone() },
            payload.as_bytes(),
        )?;
        earlier.expansions.settle();
    }
    if wanted("remembered") {
        measure("remembered", Config { cache: Some(cache()), ..plain }, payload.as_bytes())?;
    }
    Ok(())
}

/// One compilation with a thousand and one calls.
fn measure(what: &str, config: Config, payload: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let (ours, theirs) = UnixStream::pair()?;
    let expander = thread::spawn(move || Expander::new(config).serve(theirs));
    let mut buffer = Vec::new();
    let mut expand = || -> Result<Duration, Box<dyn std::error::Error>> {
        let began = Instant::now();
        message::send(&mut &ours, kind::EXPAND, payload)?;
        loop {
            match message::receive(&mut &ours, &mut buffer)? {
                Some(kind::DONE) => return Ok(began.elapsed()),
                Some(kind::PRINT) => {}
                _ => return Err(String::from_utf8_lossy(&buffer).into_owned().into()),
            }
        }
    };
    println!("{what}");
    println!("  first, engine and all  {:>10.1?}", expand()?);
    println!("  memory after the first {:>10}", memory_of("VmRSS"));
    let mut times = (0..1000).map(|_| expand()).collect::<Result<Vec<_>, _>>()?;
    times.sort();
    println!("  median of 1000         {:>10.1?}", times[times.len() / 2]);
    println!("  fastest, 90 %          {:>10.1?} {:.1?}", times[0], times[times.len() * 9 / 10]);
    println!("  memory, at most        {:>10}  {}", memory_of("VmRSS"), memory_of("VmHWM"));
    drop(ours);
    expander.join().map_err(|_| "the expander panicked")??;
    Ok(())
}
