//! Tokens as bytes: an input that is checked can be read to its end, and an output that is checked names nothing that is
//! not there.

#![no_main]

use belljar_wire::bytes::Reader;
use belljar_wire::tokens::{InTree, Input, OutTree, Shape, StreamAt, check_output, read_tree};
use libfuzzer_sys::fuzz_target;

/// Reads every tree of a stream, and of the streams in it.
fn walk(bytes: &[u8], stream: StreamAt) {
    let mut todo = vec![stream];
    while let Some(stream) = todo.pop() {
        let mut r = Reader::at(&bytes[..stream.end], stream.start);
        let mut handle = stream.first_handle;
        while r.pos() < stream.end {
            let tree = read_tree(&mut r, handle).expect("a checked tree");
            handle += tree.handles();
            if let InTree::Group { contents, .. } = tree {
                todo.push(contents);
            }
        }
        assert_eq!(handle - stream.first_handle, stream.handles);
    }
}

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes say how long the input is.
    let [a, b, rest @ ..] = bytes else { return };
    let (input, output) = rest.split_at(usize::from(u16::from_le_bytes([*a, *b])).min(rest.len()));
    if let Ok(checked) = Input::check(input) {
        checked.streams.iter().for_each(|&stream| walk(input, stream));
    }
    let Ok(shape) = Shape::of(input) else { return };
    let mut named = 0u64;
    let _ = check_output(output, &shape, |tree| {
        if matches!(tree, OutTree::Ident { .. } | OutTree::Literal { .. }) {
            named += 1;
        }
        Ok(())
    });
    assert!(named <= output.len() as u64, "a new token takes at least a byte");
});
