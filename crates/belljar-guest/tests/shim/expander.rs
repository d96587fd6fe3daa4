//! What the shim's tests name as belljar's own program: it runs `fake.rs` on its standard input.

mod fake;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    assert_eq!(arguments, ["__expander", "/home of/belljar", "/work space", ""]);
    assert_eq!(std::env::var("BELLJAR_SOCKET").as_deref(), Ok("0"));
    if let Ok(log) = std::env::var("BELLJAR_TEST_LOG") {
        use std::io::Write as _;
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).expect("a log");
        writeln!(log, "{} {}", std::process::id(), std::env::var("CARGO_PKG_NAME").unwrap_or_default())
            .expect("a log");
    }
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
    fake::serve(UnixStream::from(stdin));
}
