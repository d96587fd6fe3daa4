//! `std::fs::set_permissions`, which tells of the file.

use real::fs::{self, Permissions};
use real::io;
use real::path::Path;

pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    // To open it for writing is a question that the host is asked, and it has the same answer for every file.
    drop(fs::OpenOptions::new().write(true).open(&path));
    fs::set_permissions(path, perm)
}
