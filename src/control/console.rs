//! What commands print: results on stdout, complaints on stderr.
//!
//! The macros of the standard library panic when a line cannot be written. Here a reader that has left is no fault, and
//! a disk that is full is one that is told.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

/// Writes a result to stdout, whole. A reader that has left (`| head`) has seen what it wanted.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to stderr. When that cannot be done, there is nobody left to tell.
pub fn complain(line: &dyn Display) {
    // One write: half a line tells nothing.
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}
