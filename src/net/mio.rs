//! [`Net`] over mio's epoll.
//!
//! Poller and wakers are made by the main thread before any shard has its own descriptor table; listeners and
//! all that follows by the shard itself, afterwards. A listener that another table still held would stay in the
//! SO_REUSEPORT group and swallow connections that nobody accepts.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Accepted, Net, Ready};

/// Tokens from here on are not sockets of clients: a client's token is a slot index (below 2^32 − 2^20) and a generation.
const MAIL: Token = Token(usize::MAX);
const FIRST_LISTENER: usize = usize::MAX - 4096;
/// Events taken from the kernel at once; more wait for the next turn.
const EVENTS_PER_POLL_MAX: usize = 1024;

/// Wakes the poller of a [`MioNet`] from any thread.
pub type PollWaker = Waker;

/// The production world of one shard.
#[derive(Debug)]
pub struct MioNet {
    poll: Poll,
    events: Events,
    listeners: Listeners,
    epoch: Instant,
}

/// The listening sockets of one shard, and the one to ask next.
#[derive(Debug, Default)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    next: usize,
}

impl MioNet {
    /// A poller and its waker. `epoch` is where the clock begins; shards that compare times share it.
    ///
    /// # Errors
    /// When the kernel gives no more descriptors.
    pub fn new(epoch: Instant) -> io::Result<(Self, PollWaker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), MAIL)?;
        let events = Events::with_capacity(EVENTS_PER_POLL_MAX);
        Ok((Self { poll, events, listeners: Listeners::default(), epoch }, waker))
    }

    /// Starts to accept from these listeners.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn listen(&mut self, mut listeners: Listeners) -> io::Result<()> {
        for (index, socket) in listeners.sockets.iter_mut().enumerate() {
            self.poll.registry().register(socket, Token(FIRST_LISTENER + index), Interest::READABLE)?;
        }
        self.listeners = listeners;
        Ok(())
    }
}

impl Listeners {
    /// Binds every address with SO_REUSEPORT, so that each shard has sockets of its own and the kernel spreads
    /// connections over them.
    ///
    /// # Errors
    /// The first address that cannot be bound, and why.
    pub fn bind(addresses: &[SocketAddr], backlog: i32) -> io::Result<Self> {
        let bind = |address: &SocketAddr| -> io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            // Accepted sockets inherit it: one system call less for each.
            socket.set_tcp_nodelay(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.bind(&(*address).into())?;
            socket.listen(backlog)?;
            Ok(TcpListener::from_std(socket.into()))
        };
        let bound = addresses.iter().map(|address| {
            bind(address)
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
        });
        Ok(Self { sockets: bound.collect::<io::Result<_>>()?, next: 0 })
    }

    /// Has the kernel give up a connection whose peer acknowledges nothing, or whose window stays shut, for this long
    /// (`TCP_USER_TIMEOUT`, RFC 5482). Accepted sockets inherit it from their listener.
    ///
    /// # Errors
    /// As `setsockopt(2)`.
    pub fn give_up_after(&self, timeout: Duration) -> io::Result<()> {
        self.sockets.iter().try_for_each(|socket| SockRef::from(socket).set_tcp_user_timeout(Some(timeout)))
    }

    /// Checks that nobody else listens on these addresses. SO_REUSEPORT would let a second server of the same user
    /// share them in silence, and take a part of the clients.
    ///
    /// # Errors
    /// The first address that is taken or cannot be bound.
    pub fn check_free(addresses: &[SocketAddr]) -> io::Result<()> {
        addresses.iter().filter(|address| address.port() != 0).try_for_each(|address| {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.bind(&(*address).into()).map_err(|error| cannot_listen(*address, &error))
        })
    }

    /// The addresses that were bound, with the ports that the kernel chose.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

/// Errors of `accept` that concern the connection that was to be accepted, not the listener (accept(2)).
fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}

impl Net for MioNet {
    type Socket = TcpStream;

    fn poll(&mut self, events: &mut Vec<Ready>, timeout_ms: Option<u64>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout_ms.map(Duration::from_millis)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        events.extend(self.events.iter().map(|event| match event.token() {
            MAIL => Ready::Mail,
            Token(FIRST_LISTENER..) => Ready::Accept,
            Token(token) => Ready::Socket {
                token: token as u64,
                readable: event.is_readable() || event.is_error(),
                writable: event.is_writable(),
                closed: event.is_read_closed() || event.is_error(),
            },
        }));
        Ok(())
    }

    fn now_us(&mut self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let Listeners { sockets, next } = &mut self.listeners;
        for _ in 0..sockets.len() {
            let listener = &sockets[*next % sockets.len()];
            loop {
                match listener.accept() {
                    Ok((socket, peer)) => return Ok(Accepted { socket, peer: Some(peer.ip()) }),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if is_connections_own(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            *next = (*next + 1) % sockets.len();
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "usize has 64 bits on every target with a million sockets"
    )]
    fn register(&mut self, socket: &mut TcpStream, token: u64) -> io::Result<()> {
        self.poll.registry().register(socket, Token(token as usize), Interest::READABLE)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "usize has 64 bits on every target with a million sockets"
    )]
    fn arm_writable(&mut self, socket: &mut TcpStream, token: u64) -> io::Result<()> {
        self.poll.registry().reregister(
            socket,
            Token(token as usize),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    #[inline]
    fn read(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        socket.read(buffer)
    }

    #[inline]
    fn write(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        socket.write(bytes)
    }

    #[inline]
    fn write_vectored(&mut self, socket: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        socket.write_vectored(slices)
    }

    fn shutdown_write(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        socket.shutdown(Shutdown::Write)
    }

    fn peer(&self, socket: &TcpStream) -> Option<IpAddr> {
        socket.peer_addr().ok().map(|address| address.ip())
    }

    fn stop_listening(&mut self) {
        self.listeners = Listeners::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_four_bytes() {
        assert_eq!(size_of::<TcpStream>(), if cfg!(debug_assertions) { 16 } else { 4 });
    }

    #[test]
    fn an_address_with_a_listener_is_not_free() {
        let taken = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 16).unwrap();
        let addresses = taken.addresses().unwrap();
        assert_eq!(Listeners::check_free(&addresses).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(taken);
        Listeners::check_free(&addresses).unwrap();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock begins somewhere")]
    fn what_is_accepted_has_its_listeners_timeout() {
        let (mut net, _waker) = MioNet::new(Instant::now()).unwrap();
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 16).unwrap();
        listeners.give_up_after(Duration::from_millis(1234)).unwrap();
        let address = listeners.addresses().unwrap()[0];
        net.listen(listeners).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        net.poll(&mut Vec::new(), Some(5000)).unwrap();
        let Accepted { socket, .. } = net.accept().unwrap();
        let timeout = SockRef::from(&socket).tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_millis(1234)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock begins somewhere")]
    fn readiness_is_told_and_bytes_flow() {
        let (mut net, waker) = MioNet::new(Instant::now()).unwrap();
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 16).unwrap();
        let address = listeners.addresses().unwrap()[0];
        net.listen(listeners).unwrap();
        let mut events = Vec::new();
        waker.wake().unwrap();
        net.poll(&mut events, Some(5000)).unwrap();
        assert_eq!(events, [Ready::Mail]);

        let mut client = std::net::TcpStream::connect(address).unwrap();
        events.clear();
        net.poll(&mut events, Some(5000)).unwrap();
        assert_eq!(events, [Ready::Accept]);
        let Accepted { mut socket, peer } = net.accept().unwrap();
        assert_eq!(peer, Some(address.ip()));
        assert_eq!(net.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        net.register(&mut socket, 42).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut closed = false;
        while !closed {
            events.clear();
            net.poll(&mut events, Some(5000)).unwrap();
            let [Ready::Socket { token: 42, readable: true, closed: is_closed, .. }] = events[..] else {
                panic!("{events:?}")
            };
            closed = is_closed;
        }
        let mut buffer = [0; 10];
        assert_eq!(net.read(&mut socket, &mut buffer).unwrap(), 5);
        assert_eq!(net.read(&mut socket, &mut buffer).unwrap(), 0);
    }
}
