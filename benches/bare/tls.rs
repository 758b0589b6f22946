//! Cost of TLS alone: handshakes in memory, the AEAD alone, and an echo server over rustls' ordinary connections.
//!
//! The invariant: only the server's side is timed, by the CPU clock of its thread, so that neither clients nor other
//! programs are in the figures. Sessions are configured as those of `throng`: P-256, one ticket, nothing kept in memory.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use rustix::event::epoll;
use rustix::time::{ClockId, clock_gettime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnectionData, Resumption, UnbufferedClientConnection};
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedConnectionCommon, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, ServerConfig, ServerConnection,
    SignatureScheme,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// CPU time of this thread, in nanoseconds.
fn cpu_ns() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Outcome<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Believes everything: the client's side is not measured.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// One side of a connection in memory: processes records, as rustls has them for either side.
trait Side {
    type Data;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedConnectionCommon<ServerConnectionData> {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }
}

impl Side for UnbufferedConnectionCommon<ClientConnectionData> {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }
}

/// Takes what is in `inbox` and puts the answer into `outbox`; whether the handshake is over.
fn turn(side: &mut impl Side, inbox: &mut Vec<u8>, outbox: &mut Vec<u8>) -> Outcome<bool> {
    loop {
        let UnbufferedStatus { discard, state } = side.process(inbox);
        let settled = match state? {
            ConnectionState::EncodeTlsData(mut flight) => {
                let start = outbox.len();
                outbox.resize(start + 4096, 0);
                let mut written = flight.encode(&mut outbox[start..]);
                if let Err(EncodeError::InsufficientSize(size)) = written {
                    outbox.resize(start + size.required_size, 0);
                    written = flight.encode(&mut outbox[start..]);
                }
                outbox.truncate(start + written?);
                None
            }
            ConnectionState::TransmitTlsData(flight) => {
                flight.done();
                None
            }
            ConnectionState::WriteTraffic(_) => Some(true),
            ConnectionState::ReadTraffic(_)
            | ConnectionState::PeerClosed
            | ConnectionState::Closed
            | ConnectionState::ReadEarlyData(_)
            | ConnectionState::BlockedHandshake
            | _ => Some(false),
        };
        inbox.drain(..discard);
        if let Some(is_open) = settled {
            return Ok(is_open);
        }
    }
}

/// One handshake; what the server's side of it took, in nanoseconds, and of which kind it was.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Outcome<(f64, Option<HandshakeKind>)> {
    let name = ServerName::try_from("localhost")?;
    let mut client = UnbufferedClientConnection::new(Arc::clone(client), name)?;
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut spent_ns = -cpu_ns();
    let mut server = UnbufferedServerConnection::new(Arc::clone(server))?;
    spent_ns += cpu_ns();
    let mut is_open = [false; 2];
    while is_open != [true; 2] || !to_client.is_empty() {
        is_open[0] = turn(&mut *client, &mut to_client, &mut to_server)?;
        spent_ns -= cpu_ns();
        is_open[1] = turn(&mut *server, &mut to_server, &mut to_client)?;
        spent_ns += cpu_ns();
    }
    Ok((spent_ns, client.handshake_kind()))
}

/// The median of full and of resumed handshakes, each measured for so long, in turns.
pub(crate) fn handshakes(time: Duration) -> Outcome<serde_json::Value> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = Arc::new(server_config(vec![made.cert.der().clone()], key)?);
    let client = |resumption: Resumption| -> Outcome<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13])?.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(Credulous));
        let mut config = builder.with_no_client_auth();
        config.resumption = resumption;
        Ok(Arc::new(config))
    };
    let clients = [client(Resumption::disabled())?, client(Resumption::in_memory_sessions(4))?];
    let kinds = [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)];
    // The first one brings a ticket.
    handshake(&server, &clients[1])?;
    let mut spent_us = [Vec::new(), Vec::new()];
    let started_ns = cpu_ns();
    while cpu_ns() - started_ns < time.as_nanos() as f64 * 2.0 {
        for (which, client) in clients.iter().enumerate() {
            let (ns, kind) = handshake(&server, client)?;
            if kind != kinds[which] {
                return Err(format!("{kind:?} in place of {:?}", kinds[which]).into());
            }
            spent_us[which].push(ns / 1e3);
        }
    }
    let [full, resumed] = spent_us.map(|mut all| {
        all.sort_by(f64::total_cmp);
        (all.len(), all[all.len() / 2], all.iter().sum::<f64>() / all.len() as f64)
    });
    Ok(serde_json::json!({
        "full_us": full.1, "full_mean_us": full.2, "full_count": full.0,
        "resumed_us": resumed.1, "resumed_mean_us": resumed.2, "resumed_count": resumed.0,
    }))
}

/// Time to seal and open so many bytes, in nanoseconds, by algorithm.
pub(crate) fn aead(bytes: usize, time: Duration) -> Outcome<serde_json::Value> {
    let cost = |algorithm: &'static Algorithm| -> Outcome<serde_json::Value> {
        let key = UnboundKey::new(algorithm, &vec![7; algorithm.key_len()]).map_err(|_| "no key")?;
        let key = LessSafeKey::new(key);
        let mut buffer = vec![b'x'; bytes + algorithm.tag_len()];
        // A record's header is the additional data (RFC 8446, 5.2).
        let header = [23, 3, 3, 0, 0];
        let mut number = 0u64;
        let mut once = |opens: bool| -> Outcome<()> {
            number += 1;
            let nonce = || {
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&number.to_be_bytes());
                Nonce::assume_unique_for_key(nonce)
            };
            let (text, tag) = buffer.split_at_mut(bytes);
            let sealed = key.seal_in_place_separate_tag(nonce(), Aad::from(header), text);
            tag.copy_from_slice(sealed.map_err(|_| "not sealed")?.as_ref());
            if opens {
                key.open_in_place(nonce(), Aad::from(header), &mut buffer).map_err(|_| "not opened")?;
            }
            Ok(())
        };
        let mut each = [0.0; 2];
        for (opens, each) in [false, true].into_iter().zip(&mut each) {
            let (started_ns, mut count) = (cpu_ns(), 0.0);
            while cpu_ns() - started_ns < time.as_nanos() as f64 / 4.0 {
                for _ in 0..64 {
                    once(opens)?;
                }
                count += 64.0;
            }
            *each = (cpu_ns() - started_ns) / count;
        }
        Ok(serde_json::json!({ "seal_ns": each[0], "open_ns": each[1] - each[0] }))
    };
    Ok(serde_json::json!({ "bytes": bytes, "aes128": cost(&AES_128_GCM)?, "aes256": cost(&AES_256_GCM)? }))
}

const EVENTS_PER_WAIT: usize = 1024;
const BUFFER_BYTES: usize = 64 << 10;
const LISTENER: u64 = u64::MAX;

/// An echo server with rustls' ordinary connections, one thread, level-triggered; ends only with an error.
pub(crate) fn echo(address: SocketAddr, chain: &Path, key: &Path) -> Outcome<()> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(chain)?.collect();
    let config = Arc::new(server_config(chain?, PrivateKeyDer::from_pem_file(key)?)?);
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    eprintln!("ready on {}", listener.local_addr()?);
    let nothing = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
    let mut events = [nothing; EVENTS_PER_WAIT];
    let mut peers: Vec<Option<(TcpStream, ServerConnection)>> = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match epoll::wait(&epoll, &mut events[..], None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        for event in &events[..count] {
            let token = event.data.u64();
            if token == LISTENER {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    socket.set_nodelay(true)?;
                    let slot = socket.as_raw_fd() as usize;
                    let token = epoll::EventData::new_u64(slot as u64);
                    epoll::add(&epoll, socket.as_fd(), token, epoll::EventFlags::IN)?;
                    peers.resize_with(peers.len().max(slot + 1), || None);
                    peers[slot] = Some((socket, ServerConnection::new(Arc::clone(&config))?));
                }
            } else if let Some(slot) = peers.get_mut(usize::try_from(token)?)
                && let Some((socket, session)) = slot
                && !readable(socket, session, &mut buffer).unwrap_or(false)
            {
                *slot = None;
            }
        }
    }
}

/// Whether the peer stays: it must take everything at once.
fn readable(socket: &mut TcpStream, session: &mut ServerConnection, buffer: &mut [u8]) -> io::Result<bool> {
    match session.read_tls(socket) {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
        Err(e) => return Err(e),
    }
    session.process_new_packets().map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
    loop {
        match session.reader().read(buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => session.writer().write_all(&buffer[..read])?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    while session.wants_write() {
        session.write_tls(socket)?;
    }
    Ok(true)
}
