//! The socket of a generator's connection, with or without TLS.
//!
//! The invariants: bytes that a write has accepted need not be repeated, though TLS may still hold records of
//! them, which [`Wire::flush`] sends when the socket has room; and a plain connection takes a null pointer more
//! than its socket. Left out: readiness, and the meaning of the bytes.

use std::io::{self, ErrorKind, Read, Write};

use crate::bench::connections::secure::Secure;
use crate::bench::connections::tls::Tls;

/// Size of a read of records: eight of maximum length.
const SCRATCH_BYTES: usize = 128 << 10;
/// Plaintext sealed at a time: it bounds the bytes that wait for room in a socket.
const SEALED_BYTES_MAX: usize = 64 << 10;

/// A thread's buffer for records.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// The buffer for connections with these settings; empty without TLS.
    pub(crate) fn new(tls: Option<&Tls>) -> Self {
        Self(if tls.is_some() { vec![0; SCRATCH_BYTES] } else { Vec::new() })
    }
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// Bytes read; zero if the records contained no data. `is_short`: a read that does not fill the buffer has
    /// emptied the socket (epoll(7), question 9).
    Bytes { count: usize, is_short: bool },
    /// Nothing has arrived yet.
    Nothing,
    /// The end of the stream.
    End,
}

/// A connection of the load generator, plain or with TLS.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) socket: S,
    secure: Option<Box<Secure>>,
}

impl<S> Wire<S> {
    /// # Errors
    /// rustls cannot start a session.
    pub(crate) fn new(socket: S, tls: Option<&Tls>) -> io::Result<Self> {
        let secure = tls.map(|tls| Secure::new(tls).map(Box::new)).transpose();
        Ok(Self { socket, secure: secure.map_err(broken)? })
    }

    /// Converts the socket and keeps the TLS state.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Wire<T> {
        Wire { socket: change(self.socket), secure: self.secure }
    }
}

impl<S: Read + Write> Wire<S> {
    /// Reads into `buffer`, which must not be empty.
    ///
    /// # Errors
    /// Those of `recv(2)` and `send(2)`; an invalid record, as an error that wraps rustls'; a buffer that may be
    /// too small for a record.
    pub(crate) fn read(&mut self, scratch: &mut Scratch, buffer: &mut [u8]) -> io::Result<Got> {
        let Some(secure) = &mut self.secure else { return receive(&mut self.socket, buffer) };
        if secure.is_ended {
            return Ok(Got::End);
        }
        // Plaintext is shorter than its records, so it fits a buffer of the same size.
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
        // The next read reports the end.
        let got = Got::Bytes { count: heard.plain, is_short: is_short && !secure.is_ended };
        self.flush()?;
        Ok(got)
    }

    /// Writes some of `bytes`; with TLS, the first write starts the handshake.
    ///
    /// # Errors
    /// Those of `send(2)`; an error that wraps rustls'.
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
    /// Those of [`Wire::write`], and a socket without room.
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

    /// Starts the handshake, if there is one and it has not started.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        if let Some(secure) = &mut self.secure {
            secure.say(&[]).map_err(broken)?;
        }
        self.flush()
    }

    /// Sends remaining records, as far as the socket has room.
    ///
    /// # Errors
    /// Those of `send(2)`.
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
