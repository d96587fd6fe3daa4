//! The engine that runs modules: how it is set up, how a module becomes code that can run.
//!
//! ```text
//! store: native code for this engine, checked ── map ──┐
//! store: module, checked ── compile ── put native ─ map┤→ imports checked → ready to be instantiated
//!                                └── no place to write ┘
//! ```
//!
//! Everything that could make two runs differ is off or pinned: NaNs have one form, relaxed SIMD is the deterministic
//! kind, there are no threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use belljar_store::{ModuleDigest, Store, StoreError};
use belljar_wire::abi::{ALLOC, IMPORT_MODULE, import};
use camino::Utf8Path;
use wasmtime::{Caller, Collector, Config, Engine, ExternType, InstancePre, Linker, Module, OptLevel, Val};

use crate::error::Cause;
use crate::guest::{self, Call};
use crate::limits::{Limits, Ticker};
use crate::wasi;

/// Room of the thread that runs guests, beyond a guest's own stack: for the functions a guest calls.
const HOST_STACK: usize = 2 << 20;

/// Why a module can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    #[error(
        "its module {digest} is not in belljar's store\n  \
         help: build again with `cargo belljar`, which makes what is missing"
    )]
    Missing { digest: ModuleDigest },

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error(
        "its module {digest} is not WebAssembly that belljar can run: {cause}\n  \
         help: this is a fault of belljar's or of the toolchain for guests (`cargo belljar doctor`), please report it"
    )]
    Invalid { digest: ModuleDigest, cause: String },

    #[error(
        "its module wants {} from its host, which belljar does not provide\n  \
         help: a macro with code for another host can't be sealed; please report which crate it is", .names.join(", ")
    )]
    Imports { names: Vec<String> },

    #[error(
        "its module has no {name}\n  \
         help: it was not made by this version of belljar; build again with `cargo belljar`, and report it if that does not help"
    )]
    Export { name: String },

    #[error(
        "belljar's engine can't be started: {cause}\n  help: please report this, with what kind of machine it is"
    )]
    Engine { cause: String },
}

/// A module that is ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) pre: InstancePre<Call>,
}

/// The engine and the modules it has loaded.
pub(crate) struct Runtime {
    engine: Engine,
    /// Names the engine's area of native code.
    id: String,
    linker: Linker<Call>,
    modules: HashMap<ModuleDigest, Arc<Loaded>>,
    ticker: Ticker,
}

impl Runtime {
    pub(crate) fn new(limits: &Limits) -> Result<Self, ModuleError> {
        let fault = |cause: String| ModuleError::Engine { cause };
        let engine = engine(limits.stack).map_err(|e| fault(format!("{e:#}")))?;
        let mut linker = Linker::new(&engine);
        guest::add_to(&mut linker).map_err(|e| fault(format!("{e:#}")))?;
        wasi::add_to(&mut linker).map_err(|e| fault(format!("{e:#}")))?;
        let ticker = Ticker::start(&engine).map_err(|e| fault(e.to_string()))?;
        Ok(Self { id: engine_id(&engine), engine, linker, modules: HashMap::new(), ticker })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    /// Whether the module of that digest is in memory.
    pub(crate) fn has(&self, digest: &ModuleDigest) -> bool {
        self.modules.contains_key(digest)
    }

    /// The module of that digest, from memory, the store's native code, or compiled now.
    pub(crate) fn load(&mut self, store: &Store, digest: ModuleDigest) -> Result<Arc<Loaded>, ModuleError> {
        match self.modules.entry(digest) {
            Entry::Occupied(known) => Ok(Arc::clone(known.get())),
            Entry::Vacant(place) => {
                let module = module(store, &self.engine, &self.id, digest)?;
                let pre = link(&self.linker, &module)?;
                Ok(Arc::clone(place.insert(Arc::new(Loaded { pre }))))
            }
        }
    }
}

/// Makes sure that the store has a module's native code for this machine, so that the first expansion finds it. Where the
/// store can't be written, nothing is kept and nothing fails.
pub(crate) fn precompile(store: &Store, digest: ModuleDigest) -> Result<(), ModuleError> {
    let engine =
        engine(Limits::default().stack).map_err(|e| ModuleError::Engine { cause: format!("{e:#}") })?;
    module(store, &engine, &engine_id(&engine), digest).map(drop)
}

/// Stack of a thread that runs guests which may use that much themselves.
pub(crate) fn thread_stack(guests: usize) -> usize {
    guests.saturating_add(HOST_STACK)
}

fn engine(stack: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // The same on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        // What Rust's std for guests is built with, and exceptions for the one that unwinds. Exceptions are
        // garbage-collected values, so a collector is needed: one that never collects, for calls this short.
        .wasm_exceptions(true)
        .wasm_gc(false)
        .wasm_function_references(false)
        .collector(Collector::Null)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .concurrency_support(false)
        // A runaway guest is stopped by the `Ticker`.
        // Nobody looks at guests with a native debugger.
        .generate_address_map(false)
        .native_unwind_info(false)
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        // Not used, but it may not be the smaller one.
        .async_stack_size(stack)
        // Measured (docs/bench.md): a fifth less to compile, and guests run 2 to 5 % longer.
        .cranelift_opt_level(OptLevel::None)
        .memory_init_cow(true);
    Engine::new(&config)
}

/// The engine's version, its settings and the processor's features, as one name: native code made under another name
/// would not run or not be the same.
fn engine_id(engine: &Engine) -> String {
    struct Blake3(blake3::Hasher);
    impl Hasher for Blake3 {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let digest = self.0.finalize();
            let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        }
    }
    let mut hasher = Blake3(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("wasmtime-{}", &hasher.0.finalize().to_hex()[..32])
}

fn module(store: &Store, engine: &Engine, id: &str, digest: ModuleDigest) -> Result<Module, ModuleError> {
    if let Some(path) = store.native(id, &digest)?
        && let Some(module) = map(engine, &path)
    {
        return Ok(module);
    }
    // Others may be compiling it right now. Where no lock can be had, the worst is that it is compiled twice.
    let _lock = store.lock(&format!("native-{digest}"));
    if let Some(path) = store.native(id, &digest)?
        && let Some(module) = map(engine, &path)
    {
        return Ok(module);
    }
    let wasm = store.module(&digest)?.ok_or(ModuleError::Missing { digest })?;
    let invalid = |e: wasmtime::Error| ModuleError::Invalid { digest, cause: format!("{e:#}") };
    let native = engine.precompile_module(&wasm).map_err(invalid)?;
    if let Ok(path) = store.put_native(id, &digest, &native)
        && let Some(module) = map(engine, &path)
    {
        return Ok(module);
    }
    in_memory(engine, &native).map_err(invalid)
}

/// Maps native code of the store. `None` when the engine finds that it is not for it.
fn map(engine: &Engine, path: &Utf8Path) -> Option<Module> {
    // SAFETY: the file must be what `Engine::precompile_module` wrote, and stay as it is. The store found its bytes to
    // have the digest that was recorded when this crate put them there, and both files to be writable for nobody but the
    // user as whom this process runs; nobody writes to such a file again, a new one is renamed over it.
    unsafe { Module::deserialize_file(engine, path) }.ok()
}

/// Native code that has no place on disk.
fn in_memory(engine: &Engine, native: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: these are the bytes that `Engine::precompile_module` of this engine just returned.
    unsafe { Module::deserialize(engine, native) }
}

/// Checks what the module wants and has, and puts the host's functions in.
fn link(linker: &Linker<Call>, module: &Module) -> Result<InstancePre<Call>, ModuleError> {
    let mut linker = linker.clone();
    let mut unknown = Vec::new();
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        let known = [IMPORT_MODULE, wasi::MODULE].contains(&from);
        match import.ty() {
            // Crates such as wasm-bindgen link functions of their own host into a macro, and never call them there.
            ExternType::Func(ty) if !known => {
                let import = format!("{from}.{name}");
                let stub = move |_: Caller<'_, Call>, _: &[Val], _: &mut [Val]| {
                    Err(guest::stop(Cause::Unprovided { import: import.clone() }))
                };
                // It fails only when the same import was met before, which then has its stub.
                let _ = linker.func_new(from, name, ty, stub);
            }
            ExternType::Func(_) if provided(from, name) => {}
            _ => unknown.push(format!("`{from}.{name}`")),
        }
    }
    if !unknown.is_empty() {
        return Err(ModuleError::Imports { names: unknown });
    }
    match module.get_export("memory") {
        Some(ExternType::Memory(_)) => {}
        _ => return Err(ModuleError::Export { name: "memory `memory`".to_owned() }),
    }
    if module.get_export(ALLOC).is_none() {
        return Err(ModuleError::Export { name: format!("function `{ALLOC}`") });
    }
    linker.instantiate_pre(module).map_err(|e| ModuleError::Imports { names: vec![format!("{e:#}")] })
}

fn provided(from: &str, name: &str) -> bool {
    match from {
        IMPORT_MODULE => import::ALL.contains(&name),
        _ => wasi::FUNCTIONS.contains(&name),
    }
}
