//! TLS of one connection, without its socket: records in, plaintext out, and the reverse.
//!
//! The invariants: plaintext written during the handshake is kept and sent after its last flight, so that a caller
//! need not know the progress of the handshake; and nothing is buffered between two records. Left out: when to
//! read and write.

use std::fmt;
use std::sync::Arc;

use rustls::Error;
use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use crate::bench::connections::tls::{Tally, Tls};

/// Plaintext of the longest record (RFC 8446, 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// Upper bound for the bytes that a record adds to its plaintext in any suite.
const RECORD_OVERHEAD: usize = 64;

pub(crate) struct Secure {
    session: UnbufferedClientConnection,
    tally: Arc<Tally>,
    is_open: bool,
    /// The peer has announced the end.
    pub(crate) is_ended: bool,
    /// Plaintext that waits for the handshake.
    waiting: Vec<u8>,
    /// A partial record.
    pub(crate) kept: Vec<u8>,
    /// Records to be sent.
    pub(crate) outgoing: Vec<u8>,
}

impl fmt::Debug for Secure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_open, is_ended, .. } = self;
        out.debug_struct("Secure")
            .field("is_open", is_open)
            .field("is_ended", is_ended)
            .finish_non_exhaustive()
    }
}

/// The result of [`Secure::hear`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Consumed bytes of records; the rest must be passed again, with more.
    pub(crate) consumed: usize,
    /// Bytes of plaintext.
    pub(crate) plain: usize,
}

impl Secure {
    pub(crate) fn new(tls: &Tls) -> Result<Self, Error> {
        Ok(Self {
            session: UnbufferedClientConnection::new(Arc::clone(&tls.config), tls.name.clone())?,
            tally: Arc::clone(&tls.tally),
            is_open: false,
            is_ended: false,
            waiting: Vec::new(),
            kept: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Appends `bytes` to `outgoing`, or keeps them until the end of the handshake, which it starts if necessary.
    ///
    /// # Errors
    /// An error of the session.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.advance(&mut [], &mut [], bytes).map(drop)
    }

    /// Decrypts records to the start of `plain`, which is at least as long.
    ///
    /// # Errors
    /// Invalid records.
    pub(crate) fn hear(&mut self, records: &mut [u8], plain: &mut [u8]) -> Result<Heard, Error> {
        self.advance(records, plain, &[])
    }

    fn advance(&mut self, records: &mut [u8], plain: &mut [u8], said: &[u8]) -> Result<Heard, Error> {
        let (mut heard, mut is_said) = (Heard::default(), false);
        loop {
            let status = self.session.process_tls_records(&mut records[heard.consumed..]);
            let UnbufferedStatus { mut discard, state } = status;
            let is_settled = match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let end = heard.plain + record.payload.len();
                        plain[heard.plain..end].copy_from_slice(record.payload);
                        heard.plain = end;
                    }
                    false
                }
                ConnectionState::EncodeTlsData(flight) => {
                    encode(flight, &mut self.outgoing)?;
                    false
                }
                ConnectionState::TransmitTlsData(flight) => {
                    flight.done();
                    false
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    for bytes in [&std::mem::take(&mut self.waiting), said] {
                        seal(&mut traffic, bytes, &mut self.outgoing)?;
                    }
                    is_said = true;
                    true
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.is_ended = true;
                    true
                }
                // This includes future variants: they continue with more records.
                ConnectionState::ReadEarlyData(_) | ConnectionState::BlockedHandshake | _ => true,
            };
            heard.consumed += discard;
            if is_settled {
                break;
            }
        }
        if is_said && !self.is_open {
            self.is_open = true;
            let session = &self.session;
            self.tally.count(session.handshake_kind(), || agreed(session));
        }
        if !is_said {
            self.waiting.extend_from_slice(said);
        }
        Ok(heard)
    }
}

/// Version and cipher suite, by its IANA name.
fn agreed(session: &UnbufferedClientConnection) -> String {
    let version = session.protocol_version().and_then(|version| version.as_str());
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let version = version.unwrap_or_default().replace("TLSv1_", "TLS 1.");
    format!("{version}, {}", suite.unwrap_or_default().replace("TLS13_", "TLS_"))
}

fn encode<D>(mut flight: EncodeTlsData<'_, D>, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match flight.encode(&mut out[start..]) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(EncodeError::AlreadyEncoded) => return Err(Error::General("encoded twice".to_owned())),
        }
    }
}

fn seal<D>(traffic: &mut WriteTraffic<'_, D>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    let start = out.len();
    let mut room = bytes.len() + (bytes.len() / RECORD_BYTES_MAX + 1) * RECORD_OVERHEAD;
    loop {
        out.resize(start + room, 0);
        match traffic.encrypt(bytes, &mut out[start..]) {
            Ok(sealed) => {
                out.truncate(start + sealed);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) => room = size.required_size,
            Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
        }
    }
}
