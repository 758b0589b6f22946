//! A socket with or without TLS: what the generator's connections read and write by.
//!
//! The invariants: whoever is told that a write took all of its bytes need not repeat them, though TLS may still have
//! records of them, which [`Wire::flush`] sends when there is room; and a plain connection costs a null pointer more than its
//! socket. Left out: readiness, and what the bytes mean.

use std::io::{self, ErrorKind, Read, Write};

use crate::bench::connections::secure::Secure;
use crate::bench::connections::tls::Tls;

/// Records read at a time: eight of the longest.
const SCRATCH_BYTES: usize = 128 << 10;
/// Plaintext sealed at a time: what waits for room in a socket is bounded by it.
const SEALED_BYTES_MAX: usize = 64 << 10;

/// Where a thread receives records.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// For connections that shake hands like this, if they do.
    pub(crate) fn new(tls: Option<&Tls>) -> Self {
        Self(if tls.is_some() { vec![0; SCRATCH_BYTES] } else { Vec::new() })
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes: none where records had other things to say. `is_short`: a read that leaves room has emptied the
    /// socket (epoll(7), question 9).
    Bytes { count: usize, is_short: bool },
    /// Nothing has arrived.
    Nothing,
    /// Nothing will.
    End,
}

/// The wire of one connection of the load generator.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) socket: S,
    secure: Option<Box<Secure>>,
}

impl<S> Wire<S> {
    /// # Errors
    /// That rustls cannot begin a session.
    pub(crate) fn new(socket: S, tls: Option<&Tls>) -> io::Result<Self> {
        let secure = tls.map(|tls| Secure::new(tls).map(Box::new)).transpose();
        Ok(Self { socket, secure: secure.map_err(broken)? })
    }

    /// Changes the form of the connection's socket and keeps its TLS state.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Wire<T> {
        Wire { socket: change(self.socket), secure: self.secure }
    }
}

impl<S: Read + Write> Wire<S> {
    /// Reads into `buffer`, which must not be empty.
    ///
    /// # Errors
    /// As `recv(2)` and `send(2)`; what is wrong with a record, as an error with rustls' in it; that a record may not fit.
    pub(crate) fn read(&mut self, scratch: &mut Scratch, buffer: &mut [u8]) -> io::Result<Got> {
        let Some(secure) = &mut self.secure else { return receive(&mut self.socket, buffer) };
        if secure.is_ended {
            return Ok(Got::End);
        }
        // Plaintext is shorter than its records, so that what fits the one fits the other.
        let (kept, end) = (secure.kept.len(), scratch.0.len().min(buffer.len()));
        if end <= kept {
            return Err(io::Error::new(ErrorKind::OutOfMemory, "frame larger than the buffer"));
        }
        scratch.0[..kept].copy_from_slice(&secure.kept);
        let (count, is_short) = match receive(&mut self.socket, &mut scratch.0[kept..end])? {
            Got::Bytes { count, is_short } => (count, is_short),
            other @ (Got::Nothing | Got::End) => return Ok(other),
        };
        let records = &mut scratch.0[..kept + count];
        let heard = secure.hear(records, buffer).map_err(broken)?;
        secure.kept.clear();
        secure.kept.extend_from_slice(&records[heard.consumed..]);
        if secure.kept.is_empty() {
            secure.kept = Vec::new();
        }
        // The end is told by the next read.
        let got = Got::Bytes { count: heard.plain, is_short: is_short && !secure.is_ended };
        self.flush()?;
        Ok(got)
    }

    /// Writes some of `bytes`; with TLS, begins the handshake with the first of them.
    ///
    /// # Errors
    /// As `send(2)`; an error with rustls' in it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.secure.is_none() {
            return self.socket.write(bytes);
        }
        self.flush()?;
        let taken = bytes.len().min(SEALED_BYTES_MAX);
        if let Some(secure) = &mut self.secure {
            if !secure.outgoing.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            secure.say(&bytes[..taken]).map_err(broken)?;
        }
        self.flush()?;
        Ok(taken)
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As [`Wire::write`], also that there is no room.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Begins the handshake, if there is one and it has not begun.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        if let Some(secure) = &mut self.secure {
            secure.say(&[]).map_err(broken)?;
        }
        self.flush()
    }

    /// Sends records that are left, as far as there is room.
    ///
    /// # Errors
    /// As `send(2)`.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(secure) = &mut self.secure else { return Ok(()) };
        let mut sent = 0;
        while sent < secure.outgoing.len() {
            match self.socket.write(&secure.outgoing[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if sent == secure.outgoing.len() {
            secure.outgoing = Vec::new();
        } else {
            secure.outgoing.drain(..sent);
        }
        Ok(())
    }
}

fn receive(socket: &mut impl Read, buffer: &mut [u8]) -> io::Result<Got> {
    loop {
        return match socket.read(buffer) {
            Ok(0) => Ok(Got::End),
            Ok(count) => Ok(Got::Bytes { count, is_short: count < buffer.len() }),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Got::Nothing),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
