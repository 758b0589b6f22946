//! Output of commands: results on stdout, errors on stderr.
//!
//! The macros of the standard library panic when a line cannot be written. Here a closed pipe is not an error, and a
//! full disk is reported.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

/// Writes a result to stdout, completely. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// When writing fails for another reason.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to stderr. A failure is ignored: it could not be reported.
pub fn complain(line: &dyn Display) {
    // One write, so that no other output splits the line.
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}
