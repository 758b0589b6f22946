//! The handshake: that of rustls, over the caller's buffers. It exists only until the keys are agreed on.
//!
//! rustls is given one record at a time, so that it opens none of the records behind the handshake: the agreed keys
//! are taken from it at that very record, and [`super::Link`] handles the rest.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::{Error, HandshakeKind, KeyLog, ServerConfig};

use super::Fault;
use super::keys::{Keys, Secret};
use super::record::{self, ContentType};

/// Receives the traffic secrets of a handshake when rustls derives them: it exports keys, but not the secrets of
/// later keys. One per shard, so that its lock is always free.
#[derive(Default)]
pub(super) struct Catch(Mutex<Caught>);

/// Secrets of TLS 1.3, of the client's and of the server's direction.
#[derive(Default)]
struct Caught {
    client: Option<Secret>,
    server: Option<Secret>,
}

impl fmt::Debug for Catch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catch")
    }
}

/// Maximum of bytes of an incomplete message: more than rustls accepts for one, 65,535, with the headers of its
/// records.
const UNFINISHED_BYTES_MAX: usize = 80 << 10;
/// Default alert (RFC 8446, section 6.2).
const DECODE_ERROR: u8 = 50;
/// Alert for an unexpected record or message.
const UNEXPECTED_MESSAGE: u8 = 10;
/// Alert for an error of this server.
pub(super) const INTERNAL_ERROR: u8 = 80;
/// An invalid first byte of a record: rustls answers it with an alert of its own, protected as required.
const NO_RECORD: u8 = 0xff;

const CLIENT_LABEL: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER_LABEL: &str = "SERVER_TRAFFIC_SECRET_0";

impl KeyLog for Catch {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let mut caught = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match label {
            CLIENT_LABEL => caught.client = Secret::new(secret),
            SERVER_LABEL => caught.server = Secret::new(secret),
            _ => {}
        }
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, CLIENT_LABEL | SERVER_LABEL)
    }
}

/// Common state of a shard's handshakes.
#[derive(Debug)]
pub(super) struct HandshakeSetup {
    pub(super) config: Arc<ServerConfig>,
    pub(super) catch: Arc<Catch>,
}

/// A TLS handshake in progress.
pub(super) struct Handshake {
    rustls: UnbufferedServerConnection,
    setup: Arc<HandshakeSetup>,
    caught: Caught,
    /// Bytes at the start of the input that rustls has seen and needs again.
    seen_bytes: usize,
    /// Whether something was sent: later output may have to be protected.
    has_spoken: bool,
    /// Whether the peer was told of the failure.
    is_told: bool,
}

/// The result of a handshake.
pub(super) struct Agreed {
    /// The peer's sealing keys.
    pub(super) receiving: Keys,
    /// This server's sealing keys.
    pub(super) sending: Keys,
    /// The client's certificate, if it was requested and sent.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// Whether an earlier session was resumed.
    pub(super) is_resumed: bool,
}

impl Handshake {
    /// # Errors
    /// [`Fault::Handshake`] when rustls cannot use the configuration.
    pub(super) fn new(setup: Arc<HandshakeSetup>) -> Result<Self, Fault> {
        let rustls = UnbufferedServerConnection::new(Arc::clone(&setup.config))
            .map_err(|error| Fault::Handshake(Box::new(error)))?;
        Ok(Self {
            rustls,
            setup,
            caught: Caught::default(),
            seen_bytes: 0,
            has_spoken: false,
            is_told: false,
        })
    }

    /// Continues the handshake. Output is appended to `out`, including an alert when it fails. Returns the number of
    /// consumed bytes of the input, and whether the handshake is complete: then the bytes behind them are protected.
    ///
    /// # Errors
    /// [`Fault::Handshake`] and the faults of [`record::first`]; [`Fault::TooLong`] when a message exceeds the
    /// maximum.
    pub(super) fn advance(&mut self, input: &mut [u8], out: &mut Vec<u8>) -> Result<(usize, bool), Fault> {
        let mut used = 0;
        loop {
            match record::first(&input[used + self.seen_bytes..]) {
                // A message may continue in the next record: rustls needs both then.
                Ok(Some((_, bytes))) => self.seen_bytes += bytes,
                Ok(None) if input.len() - used > UNFINISHED_BYTES_MAX => {
                    return Err(self.give_up(Fault::TooLong, out));
                }
                Ok(None) => return Ok((used, false)),
                Err(fault) => return Err(self.give_up(fault, out)),
            }
            let done = self.step(&mut input[used..used + self.seen_bytes], out)?;
            used += done;
            self.seen_bytes -= done;
            if !self.rustls.is_handshaking() {
                return Ok((used, true));
            }
        }
    }

    /// Passes these records to rustls. Returns the number of consumed bytes.
    fn step(&mut self, records: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.rustls.process_tls_records(&mut records[used..]);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.take_secrets();
                    self.is_told = self.put_alert(&mut records[used..], out);
                    return Err(self.give_up(Fault::Handshake(Box::new(error)), out));
                }
            };
            match state {
                ConnectionState::EncodeTlsData(mut data) => {
                    put(out, |room| data.encode(room));
                    self.has_spoken = true;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => {
                    used += discard;
                    self.take_secrets();
                    return Ok(used);
                }
                // The peer closes before the handshake is complete.
                ConnectionState::PeerClosed | ConnectionState::Closed => return Err(Fault::Closed),
                ConnectionState::ReadTraffic(_) | ConnectionState::ReadEarlyData(_) | _ => {
                    return Err(self.give_up(Fault::Unexpected, out));
                }
            }
            used += discard;
            self.take_secrets();
        }
    }

    /// Takes the secrets that rustls exported in this call: they belong to this connection.
    fn take_secrets(&mut self) {
        let mut caught = self.setup.catch.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = caught.client.take() {
            self.caught.client = Some(client);
        }
        if let Some(server) = caught.server.take() {
            self.caught.server = Some(server);
        }
    }

    /// Sends the alert that rustls has after an error, if there is one: not every fault has one. Returns whether
    /// there was one.
    fn put_alert(&mut self, records: &mut [u8], out: &mut Vec<u8>) -> bool {
        let before = out.len();
        while self.rustls.wants_write() {
            match self.rustls.process_tls_records(records).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => put(out, |room| data.encode(room)),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) | Err(_) => break,
            }
        }
        out.len() > before
    }

    /// Handles the failure of the handshake. The peer is told the reason, once, unless it gave up itself.
    fn give_up(&mut self, fault: Fault, out: &mut Vec<u8>) -> Fault {
        let is_peers =
            matches!(&fault, Fault::Handshake(error) if matches!(**error, Error::AlertReceived(_)));
        if std::mem::replace(&mut self.is_told, true) || is_peers {
            return fault;
        }
        let misbehaved =
            matches!(&fault, Fault::Handshake(error) if matches!(**error, Error::PeerMisbehaved(_)));
        let alert = fault.alert().unwrap_or(if misbehaved { UNEXPECTED_MESSAGE } else { DECODE_ERROR });
        if !self.has_spoken {
            put_alert_in_the_clear(alert, out);
        } else if !self.seal_alert(alert, out) {
            // rustls knows its state; its alert is the one for unreadable input.
            let mut no_record = vec![NO_RECORD; self.seen_bytes + record::HEADER_BYTES];
            if self.rustls.process_tls_records(&mut no_record).state.is_err() {
                self.put_alert(&mut no_record, out);
            }
        }
        fault
    }

    /// Sends an alert behind the server's flight of TLS 1.3: the client then expects records sealed with the server's
    /// first traffic keys, which have sealed nothing yet. Returns whether that state applies and the alert is
    /// written.
    fn seal_alert(&mut self, alert: u8, out: &mut Vec<u8>) -> bool {
        let (Some(suite), Some(secret)) = (self.rustls.negotiated_cipher_suite(), self.caught.server.take())
        else {
            return false;
        };
        let Some(mut keys) = Keys::of_secret(suite.suite(), secret) else { return false };
        let fatal = [2, alert];
        let body = [&fatal[..]].into_iter();
        keys.schedule().and_then(|schedule| keys.seal(ContentType::Alert, &schedule, body, out)).is_ok()
    }

    /// The result of a completed handshake.
    ///
    /// # Errors
    /// [`Fault::Handshake`] when it is not complete, [`Fault::Broken`] when rustls exports unknown keys.
    pub(super) fn agree(self) -> Result<Agreed, Fault> {
        let Self { rustls, caught, .. } = self;
        let is_resumed = rustls.handshake_kind() == Some(HandshakeKind::Resumed);
        let certificate = rustls.peer_certificates().and_then(<[_]>::first).cloned();
        let (secrets, _) =
            rustls.dangerous_into_kernel_connection().map_err(|error| Fault::Handshake(Box::new(error)))?;
        let receiving = Keys::new(secrets.rx.0, &secrets.rx.1, caught.client).ok_or(Fault::Broken)?;
        let sending = Keys::new(secrets.tx.0, &secrets.tx.1, caught.server).ok_or(Fault::Broken)?;
        Ok(Agreed { receiving, sending, certificate, is_resumed })
    }
}

/// Writes an unprotected fatal alert: before any keys are agreed on.
pub(super) fn put_alert_in_the_clear(alert: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[ContentType::Alert as u8, 3, 3, 0, 2, 2, alert]);
}

/// Lets rustls write to the end of `out`.
fn put(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    out.resize(start + 4096, 0);
    loop {
        match encode(&mut out[start..]) {
            Ok(count) => return out.truncate(start + count),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                out.resize(start + required_size, 0);
            }
            Err(EncodeError::AlreadyEncoded) => return out.truncate(start),
        }
    }
}
