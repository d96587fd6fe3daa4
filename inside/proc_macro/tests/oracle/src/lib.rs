//! The compiler as judge of belljar's `proc_macro`.
//!
//! [`compare!`] runs every function of `scenarios.rs` twice over its input: compiled against the compiler's crate, and
//! against belljar's with the compiler answering its questions. It expands to an array of what came of each:
//! `(name, the compiler's, belljar's)`. Streams come back through the output bytes and are shown with their real spans.

extern crate proc_macro;

mod wire;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proc_macro::TokenStream;

mod native {
    use proc_macro as pm;
    include!("scenarios.rs");
}

mod belljar {
    use ours as pm;
    include!("scenarios.rs");
}

#[proc_macro]
pub fn compare(input: TokenStream) -> TokenStream {
    let mut found = String::from("[");
    let mut add = |name: &str, native: String, belljar: String| {
        found.push_str(&format!("({name:?}, {native:?}, {belljar:?}),"));
    };
    for ((name, native), (_, belljar)) in native::TEXTS.iter().zip(belljar::TEXTS) {
        let native = caught(|| native(input.clone()));
        let text = Rc::new(RefCell::new(String::new()));
        let belljar = run(&input, |input| {
            *text.borrow_mut() = belljar(input);
            ours::TokenStream::new()
        });
        add(name, unplaced(&native), belljar.map_or_else(|e| e, |_| text.take()));
    }
    for ((name, native), (_, belljar)) in native::STREAMS.iter().zip(belljar::STREAMS) {
        let native = caught(|| shown(&native(input.clone())));
        add(name, native, run(&input, belljar).map_or_else(|e| e, |stream| shown(&stream)));
    }
    found.push(']');
    found.parse().expect("an array of strings")
}

fn shown(stream: &TokenStream) -> String {
    format!("{stream}\n{stream:?}")
}

/// Runs belljar's; what it returns is read back as the shim would.
fn run(
    input: &TokenStream,
    f: impl FnOnce(ours::TokenStream) -> ours::TokenStream,
) -> Result<TokenStream, String> {
    let input = Rc::new(wire::Input::new(input));
    ours::__belljar::set_host(Some(Box::new(wire::Compiler(input.clone()))));
    let bytes = input.bytes().leak();
    let output = ours::__belljar::run(bytes, |streams| f(streams.next().unwrap_or_default()));
    // What it holds of the compiler's must not outlive this expansion.
    ours::__belljar::set_host(None);
    output.map(|bytes| input.output(&bytes)).map_err(panicked)
}

fn caught(f: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
        panicked(text.or_else(|| payload.downcast_ref::<String>().cloned()))
    })
}

fn panicked(message: Option<String>) -> String {
    format!("panicked: {message:?}")
}

/// Without the positions that belljar never shows.
fn unplaced(text: &str) -> String {
    let mut parts = text.split("bytes(");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let context = out.rfind('#').unwrap_or(out.len());
        out.truncate(context);
        out.push_str("#0 bytes(0..0)");
        out.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    out
}
