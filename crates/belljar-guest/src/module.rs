//! From what the linker wrote to a module: entry points read, exports and imports held against what they must be.
//!
//! The linker's file holds more than a guest needs: names, producers, exports of libraries that were linked. Only the
//! sections that make it run stay, and the list of entry points; nothing in it depends on when or where it was made.

use std::collections::BTreeSet;

use belljar_store::EntryRecord;
use belljar_wire::abi::{self, Entry};
use camino::Utf8Path;
use wasmparser::{ExternalKind, Parser, Payload};

use crate::error::BadModule;

/// A checked module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) wasm: Vec<u8>,
    /// Sorted by kind and name.
    pub(crate) entries: Vec<EntryRecord>,
}

const EXPORT_SECTION: u8 = 7;
const CUSTOM_SECTION: u8 = 0;

/// Exports that every guest has, with what they are.
const FIXED: [(&str, ExternalKind); 3] =
    [("memory", ExternalKind::Memory), ("_initialize", ExternalKind::Func), (abi::ALLOC, ExternalKind::Func)];

const WASI: &str = "wasi_snapshot_preview1";

pub(crate) fn finish(linked: &[u8]) -> Result<Module, BadModule> {
    let malformed = |e: wasmparser::BinaryReaderError| BadModule::NotWasm(e.to_string());
    let mut entries: Vec<EntryRecord> = Vec::new();
    let mut exports = Vec::new();
    let mut sections = Vec::new();
    let mut parser = Parser::new(0);
    // Data that is no WebAssembly at all must not be read as a component.
    parser.set_features(wasmparser::WasmFeatures::all() & !wasmparser::WasmFeatures::COMPONENT_MODEL);
    for payload in parser.parse_all(linked) {
        let payload = payload.map_err(malformed)?;
        match &payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(BadModule::NotWasm("a component".to_owned()));
            }
            Payload::ImportSection(reader) => {
                for import in reader.clone().into_imports() {
                    let import = import.map_err(malformed)?;
                    let known = match import.module {
                        WASI => true,
                        abi::IMPORT_MODULE => abi::import::ALL.contains(&import.name),
                        // A function of another host (JavaScript's, a libc's for threads): linked, and hardly ever
                        // called. The expander puts one in its place that stops the macro and says so.
                        _ => matches!(
                            import.ty,
                            wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_)
                        ),
                    };
                    if !known {
                        let (module, name) = (import.module.to_owned(), import.name.to_owned());
                        return Err(BadModule::Import { module, name });
                    }
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader.clone() {
                    exports.push(export.map_err(malformed)?);
                }
            }
            Payload::CustomSection(custom) if custom.name() == abi::ENTRY_SECTION => {
                let read =
                    Entry::read_section(custom.data()).map_err(|e| BadModule::Entries(e.to_string()))?;
                for entry in read {
                    entries.push(entry.try_into().map_err(|e| BadModule::Entries(format!("{e}")))?);
                }
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            let bytes = usize::try_from(range.start)
                .ok()
                .zip(usize::try_from(range.end).ok())
                .and_then(|(from, to)| linked.get(from..to))
                .ok_or_else(|| BadModule::NotWasm("a section beyond its end".to_owned()))?;
            let ours = matches!(&payload, Payload::CustomSection(c) if c.name() == abi::ENTRY_SECTION);
            if id != CUSTOM_SECTION || ours {
                sections.push((id, bytes));
            }
        }
    }
    entries.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    if let Some(twice) = entries.windows(2).find(|w| w[0].kind == w[1].kind && w[0].name == w[1].name) {
        return Err(BadModule::Twice { kind: twice[0].kind, name: twice[0].name.clone() });
    }
    // A package whose macros are all switched off has none; what nobody can call needs no way in either.
    let fixed = if entries.is_empty() { &[][..] } else { &FIXED[..] };
    let mut wanted: BTreeSet<(String, u8)> =
        fixed.iter().map(|&(name, kind)| (name.to_owned(), byte(kind))).collect();
    wanted.extend(entries.iter().map(|e| (e.export(), byte(ExternalKind::Func))));
    let kept: Vec<_> =
        exports.iter().filter(|e| wanted.remove(&(e.name.to_owned(), byte(e.kind)))).copied().collect();
    if let Some((missing, _)) = wanted.into_iter().next() {
        return Err(BadModule::NoExport(missing));
    }
    let exports = export_section(&kept);
    let mut wasm = linked.get(..8).unwrap_or_default().to_vec();
    for (id, bytes) in sections {
        let bytes = if id == EXPORT_SECTION { exports.as_slice() } else { bytes };
        wasm.push(id);
        leb(bytes.len(), &mut wasm);
        wasm.extend_from_slice(bytes);
    }
    Ok(Module { wasm, entries })
}

/// Source: WebAssembly core specification, "Export Section". Kinds of exports a linker makes; others get no byte of
/// their own because none of them is kept.
fn byte(kind: ExternalKind) -> u8 {
    match kind {
        ExternalKind::Func => 0,
        ExternalKind::Table => 1,
        ExternalKind::Memory => 2,
        ExternalKind::Global => 3,
        _ => 4,
    }
}

/// The first of these directories whose path stands in the module's bytes.
pub(crate) fn place_in<'p>(
    wasm: &[u8],
    dirs: impl IntoIterator<Item = &'p Utf8Path>,
) -> Option<&'p Utf8Path> {
    dirs.into_iter().find(|dir| memchr::memmem::find(wasm, dir.as_str().as_bytes()).is_some())
}

fn export_section(exports: &[wasmparser::Export<'_>]) -> Vec<u8> {
    let mut section = Vec::new();
    leb(exports.len(), &mut section);
    for export in exports {
        leb(export.name.len(), &mut section);
        section.extend_from_slice(export.name.as_bytes());
        section.push(byte(export.kind));
        leb(export.index as usize, &mut section);
    }
    section
}

fn leb(mut n: usize, out: &mut Vec<u8>) {
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use belljar_wire::abi::EntryKind;
    use belljar_wire::bytes::Writer;

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            kind: EntryKind::Function,
            name: name.to_owned(),
            helpers: Vec::new(),
            hidden: false,
            docs: String::new(),
            deprecated: None,
        }
    }

    /// A module with that import, those entries and those exported functions.
    fn linked(import: (&str, &str), entries: &[Entry], exports: &[&str]) -> Vec<u8> {
        let mut section = Writer::new();
        for entry in entries {
            entry.write(&mut section);
        }
        let escaped: String = section.into_bytes().iter().map(|b| format!("\\{b:02x}")).collect();
        let exports: String = exports.iter().map(|e| format!("(export {e:?} (func $f))")).collect();
        let text = format!(
            r#"(module $named (import "{}" "{}" (func)) (memory (export "memory") 1) (func $f)
                (export "_initialize" (func $f)) (export "belljar_alloc" (func $f)) {exports}
                (@custom "producers" "x") (@custom "belljar.entries" "{escaped}"))"#,
            import.0, import.1
        );
        wat::parse_str(text).unwrap()
    }

    const ASK: (&str, &str) = ("belljar", "ask");

    #[test]
    fn a_module_keeps_what_it_runs_by_and_nothing_else() {
        let exports = ["belljar function b", "belljar function a", "__wbindgen_malloc"];
        let module = finish(&linked(ASK, &[entry("b"), entry("a")], &exports)).unwrap();
        let names: Vec<_> = module.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let text = String::from_utf8_lossy(&module.wasm);
        assert!(!text.contains("wbindgen") && !text.contains("producers") && !text.contains("named"));
        wasmparser::validate(&module.wasm).unwrap();
        // Nothing is left to take away.
        assert_eq!(finish(&module.wasm).unwrap().wasm, module.wasm);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let a = || [entry("a")];
        let refused = |linked: Vec<u8>| finish(&linked).unwrap_err();
        assert_eq!(finish(&linked(ASK, &[], &[])).unwrap().entries, []);
        assert_eq!(refused(linked(ASK, &a(), &[])), BadModule::NoExport("belljar function a".to_owned()));
        let twice = linked(ASK, &[entry("a"), entry("a")], &["belljar function a"]);
        assert!(matches!(refused(twice), BadModule::Twice { .. }));
        let unknown = linked(("belljar", "grant"), &a(), &["belljar function a"]);
        assert!(matches!(refused(unknown), BadModule::Import { .. }));
        let memory = wat::parse_str(r#"(module (import "env" "memory" (memory 1)))"#).unwrap();
        assert!(matches!(refused(memory), BadModule::Import { .. }));
        // Functions of other hosts may be linked; the expander stops a macro that calls one.
        assert!(finish(&linked(("env", "pthread_detach"), &a(), &["belljar function a"])).is_ok());
        let bad_name = linked(ASK, &[entry("a b")], &["belljar function a b"]);
        assert!(matches!(refused(bad_name), BadModule::Entries(_)));
    }

    #[test]
    fn a_directory_that_a_module_names_is_found() {
        let dirs = || ["/home/me/registry/a-1.0.0", "/home/me/store"].map(Utf8Path::new);
        assert_eq!(
            place_in(b"..\0/home/me/store/scratch/x\0", dirs()),
            Some(Utf8Path::new("/home/me/store"))
        );
        assert_eq!(place_in(b"/home/me", dirs()), None);
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let whole = linked(ASK, &[entry("a")], &["belljar function a"]);
        for n in 0..whole.len() {
            let _ = finish(&whole[..n]);
            let mut changed = whole.clone();
            changed[n] ^= 0x55;
            let _ = finish(&changed);
        }
        assert!(finish(b"").is_err());
        assert!(matches!(finish(b"\0asm\x0d\0\x01\0"), Err(BadModule::NotWasm(_))));
    }
}
