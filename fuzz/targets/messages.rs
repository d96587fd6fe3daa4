//! What a shim sends to an expander and a guest's list of entry points: any bytes are read or refused, and what was read is
//! written and read again as the same.

#![no_main]

use belljar_wire::abi::Entry;
use belljar_wire::bytes::Writer;
use belljar_wire::message::{self, Expand};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut stream = bytes;
    let mut buffer = Vec::new();
    while let Ok(Some(_)) = message::receive(&mut stream, &mut buffer) {
        if let Ok(request) = Expand::read(&buffer) {
            let written = |request: &Expand<'_>| {
                let mut w = Writer::new();
                request.write(&mut w);
                w.into_bytes()
            };
            // Not the bytes that came: a number has more than one form.
            let once = written(&request);
            assert_eq!(written(&Expand::read(&once).expect("what was written can be read")), once);
        }
    }
    if let Ok(entries) = Entry::read_section(bytes) {
        let mut w = Writer::new();
        entries.iter().for_each(|entry| entry.write(&mut w));
        let again = Entry::read_section(&w.into_bytes()).expect("what was written can be read");
        assert_eq!(again.len(), entries.len());
    }
});
