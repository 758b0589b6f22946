//! The bare programs: what the same bytes cost without WebSocket, sessions, channels or timers. Their figures
//! are the limit that `throng` is measured against, in pairs, on the same machine.
//!
//! Each is one thread with a level-triggered epoll and does per event the least that the task allows:
//!
//! * `echo`: one `recv` into one 64 KiB buffer and one `send` of what was read, per readable event.
//! * `fanout`: whoever sends something is the publisher; what one `recv` returned (one publication or several)
//!   goes to every other connection with one `send` each.
//! * `reply`: as `echo`, but what it sends are the bytes of a file, whatever was read: an HTTP server whose answer is known
//!   before the request. Each request must come in one piece, and none before the answer to the one before.
//! * `accept`: accepts, reads once, sends one short reply, and closes when the peer closes.
//! * `tls-echo`: as `echo`, over rustls' ordinary connections; needs the files of a certificate and its key.
//!
//! Two need no load, and print one JSON object: `handshakes SECONDS`, rustls' TLS 1.3 handshakes in memory, and
//! `aead BYTES SECONDS`, AES-GCM alone.
//!
//! The invariant that keeps them honest: one system call per read and per write, no copy, no allocation after
//! accept. Left out on purpose: outboxes. A peer that takes less than was sent is disconnected, which the load
//! generator reports as a lost connection, so a figure can never come from bytes that went missing.

#[path = "bare/tls.rs"]
mod tls;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::epoll;
use socket2::{Domain, Protocol, Socket, Type};

const BUFFER_BYTES: usize = 64 << 10;
const EVENTS_PER_WAIT: usize = 1024;
/// Token of the listener: no descriptor has this number.
const LISTENER: u64 = u64::MAX;
/// As long as the answer to a WebSocket handshake (101, `Upgrade`, `Connection`, `Sec-WebSocket-Accept`).
const REPLY: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Echo,
    Fanout,
    Accept,
    Reply,
}

/// One connection; `subscribed` until it sends something. Found by its descriptor number.
struct Peer {
    socket: TcpStream,
    subscribed: bool,
}

struct Bare {
    program: Program,
    epoll: OwnedFd,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    buffer: Vec<u8>,
    /// The response of `reply`.
    reply: Vec<u8>,
}

impl Bare {
    fn new(program: Program, address: SocketAddr, reply: Vec<u8>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self { program, epoll, listener, peers: Vec::new(), buffer: vec![0; BUFFER_BYTES], reply })
    }

    fn run(&mut self) -> io::Result<()> {
        let nothing = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [nothing; EVENTS_PER_WAIT];
        loop {
            let count = match epoll::wait(&self.epoll, &mut events[..], None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            for event in &events[..count] {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.readable(usize::try_from(token).unwrap_or(usize::MAX)),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (socket, _) = match self.listener.accept() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let slot = socket.as_raw_fd() as usize;
            let token = epoll::EventData::new_u64(slot as u64);
            epoll::add(&self.epoll, socket.as_fd(), token, epoll::EventFlags::IN)?;
            if self.peers.len() <= slot {
                self.peers.resize_with(slot + 1, || None);
            }
            self.peers[slot] = Some(Peer { socket, subscribed: true });
        }
    }

    fn readable(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot).and_then(Option::as_mut) else { return };
        let read = match peer.socket.read(&mut self.buffer) {
            Ok(0) => return self.peers[slot] = None,
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return self.peers[slot] = None,
        };
        let sent = match self.program {
            Program::Echo => send(peer, &self.buffer[..read]),
            Program::Accept => send(peer, REPLY),
            Program::Reply => send(peer, &self.reply),
            Program::Fanout => {
                peer.subscribed = false;
                for slot in &mut self.peers {
                    if let Some(peer) = slot
                        && peer.subscribed
                        && !send(peer, &self.buffer[..read])
                    {
                        *slot = None;
                    }
                }
                true
            }
        };
        if !sent {
            self.peers[slot] = None;
        }
    }
}

/// Whether the peer took everything.
fn send(peer: &mut Peer, bytes: &[u8]) -> bool {
    peer.socket.write(bytes).is_ok_and(|n| n == bytes.len())
}

/// The output of the programs without load; `None` for other arguments.
fn alone(words: &[&str]) -> Option<Result<String, String>> {
    let time = |text: &str| text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let outcome = match *words {
        ["handshakes", seconds] => tls::handshakes(time(seconds)?),
        ["aead", bytes, seconds] => tls::aead(bytes.parse().ok()?, time(seconds)?),
        ["tls-echo", address, chain, key] => {
            let served = tls::echo(address.parse().ok()?, chain.as_ref(), key.as_ref());
            served.map(|()| serde_json::Value::Null)
        }
        _ => return None,
    };
    Some(outcome.map(|figures| figures.to_string()).map_err(|e| e.to_string()))
}

/// The program, where it listens, and the file that it sends.
fn parse<'w>(words: &[&'w str]) -> Option<(Program, SocketAddr, Option<&'w str>)> {
    let (program, address, file) = match *words {
        ["echo", address] => (Program::Echo, address, None),
        ["fanout", address] => (Program::Fanout, address, None),
        ["accept", address] => (Program::Accept, address, None),
        ["reply", address, file] => (Program::Reply, address, Some(file)),
        _ => return None,
    };
    Some((program, address.parse().ok()?, file))
}

fn main() -> ExitCode {
    // `cargo bench` runs every bench with `--bench`: there is nothing to measure without a load.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match alone(&words) {
        None => {}
        Some(Ok(figures)) => {
            println!("{figures}");
            return ExitCode::SUCCESS;
        }
        Some(Err(error)) => {
            eprintln!("bare: {error}");
            return ExitCode::FAILURE;
        }
    }
    let Some((program, address, file)) = parse(&words) else {
        eprintln!(
            "usage: bare echo|fanout|accept ADDRESS, tls-echo ADDRESS CERT KEY (driven by `throng bench --tcp`, see \
             scripts/bench-pairs), reply ADDRESS FILE (see scripts/bench-api), handshakes SECONDS, aead BYTES SECONDS (see scripts/bench-tls)"
        );
        return ExitCode::SUCCESS;
    };
    let reply = file.map_or_else(|| Ok(Vec::new()), std::fs::read);
    let outcome = reply.and_then(|reply| Bare::new(program, address, reply)).and_then(|mut bare| {
        eprintln!("ready on {}", bare.listener.local_addr()?);
        bare.run()
    });
    if let Err(error) = outcome {
        eprintln!("bare: {error}");
    }
    ExitCode::FAILURE
}
