//! [`Net`] over mio's epoll.
//!
//! Poller and wakers are made by the main thread before any shard has its own descriptor table; a shard's own
//! listeners and all later descriptors by the shard itself, afterwards. A listener that another table still held
//! would stay in the SO_REUSEPORT group and receive connections that no shard accepts.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::{Accepted, Listeners, Net, Ready, Transit};

/// Tokens from here on are not sockets of clients: a client's token is a slot index (below 2^32 − 2^20) and a
/// generation.
const MAIL: Token = Token(usize::MAX);
const FIRST_LISTENER: usize = usize::MAX - 4096;
/// Maximum of events taken from the kernel at once; more wait for the next turn.
const EVENTS_PER_POLL_MAX: usize = 1024;

/// Wakes the poller of a [`MioNet`] from any thread.
pub(crate) type PollWaker = Waker;

/// The [`Net`] of one shard in production.
#[derive(Debug)]
pub struct MioNet {
    poll: Poll,
    events: Events,
    listeners: Listeners,
    epoch: Instant,
    /// The way of sockets between shards; `None` for a shard that is alone.
    transit: Option<Transit>,
}

/// The token of a socket in the poller.
#[expect(
    clippy::cast_possible_truncation,
    reason = "usize has 64 bits on every target with a million sockets"
)]
fn token_of(token: u64) -> Token {
    Token(token as usize)
}

impl MioNet {
    /// Makes a poller and its waker. `epoch` is the zero of the clock; shards that compare times share it.
    ///
    /// # Errors
    /// When the kernel gives no more descriptors.
    pub fn new(epoch: Instant) -> io::Result<(Self, PollWaker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), MAIL)?;
        let events = Events::with_capacity(EVENTS_PER_POLL_MAX);
        Ok((Self { poll, events, listeners: Listeners::default(), epoch, transit: None }, waker))
    }

    /// Makes sockets go from and to other shards this way.
    pub(crate) fn with_transit(self, transit: Transit) -> Self {
        Self { transit: Some(transit), ..self }
    }

    /// Starts accepting from these listeners.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn listen(&mut self, mut listeners: Listeners) -> io::Result<()> {
        listeners.register(self.poll.registry(), FIRST_LISTENER)?;
        self.listeners = listeners;
        Ok(())
    }
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
                failed: event.is_error(),
            },
        }));
        Ok(())
    }

    fn now_us(&mut self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "the wall clock enters here")]
    fn unix_ms(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        self.listeners.accept()
    }

    fn register(&mut self, socket: &mut TcpStream, token: u64) -> io::Result<()> {
        self.poll.registry().register(socket, token_of(token), Interest::READABLE)
    }

    fn reregister(&mut self, socket: &mut TcpStream, token: u64) -> io::Result<()> {
        // The change reports what is readable at this time.
        self.poll.registry().reregister(socket, token_of(token), Interest::READABLE)
    }

    fn hand_over(&mut self, socket: &mut TcpStream, token: u64, shard: u16, ticket: u64) -> io::Result<()> {
        let Some(transit) = &self.transit else { return Err(io::ErrorKind::NotFound.into()) };
        // Before it is sent: a poller holds the file, not the number, and would go on to report it.
        self.poll.registry().deregister(socket)?;
        let outcome = transit.send(shard, ticket, socket.as_fd());
        if outcome.is_err() {
            self.register(socket, token)?;
        }
        outcome
    }

    fn take_over(&mut self, ticket: u64) -> io::Result<TcpStream> {
        let Some(transit) = &mut self.transit else { return Err(io::ErrorKind::NotFound.into()) };
        // What it is, TCP or Unix, makes no difference to the calls that are made.
        Ok(TcpStream::from_std(transit.take(ticket)?.into()))
    }

    fn arm_writable(&mut self, socket: &mut TcpStream, token: u64) -> io::Result<()> {
        self.poll.registry().reregister(socket, token_of(token), Interest::READABLE | Interest::WRITABLE)
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
        self.listeners.stop(self.poll.registry());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[test]
    fn a_socket_is_four_bytes() {
        assert_eq!(size_of::<TcpStream>(), if cfg!(debug_assertions) { 16 } else { 4 });
        assert_eq!(size_of::<Option<TcpStream>>(), size_of::<TcpStream>());
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
        let Accepted { mut socket, peer, listener } = net.accept().unwrap();
        assert_eq!((peer, listener), (Some(address.ip()), 0));
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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock begins somewhere")]
    fn a_socket_that_is_handed_over_is_reported_by_its_new_poller_alone() {
        let nets: Vec<_> = (0..2).map(|_| MioNet::new(Instant::now()).unwrap()).collect();
        let transits = Transit::between(2).unwrap();
        let mut nets = nets.into_iter().zip(transits).map(|((net, _), transit)| net.with_transit(transit));
        let (mut from, mut to) = (nets.next().unwrap(), nets.next().unwrap());
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 16).unwrap();
        let address = listeners.addresses().unwrap()[0];
        from.listen(listeners).unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        from.poll(&mut Vec::new(), Some(5000)).unwrap();
        let Accepted { mut socket, .. } = from.accept().unwrap();
        from.register(&mut socket, 42).unwrap();
        // To a shard that there is not: it stays.
        assert!(from.hand_over(&mut socket, 42, 9, 1).is_err());
        client.write_all(b"one").unwrap();
        let mut events = Vec::new();
        from.poll(&mut events, Some(5000)).unwrap();
        assert!(matches!(events[..], [Ready::Socket { token: 42, .. }]), "{events:?}");
        from.hand_over(&mut socket, 42, 1, 7).unwrap();
        drop(socket);
        let mut socket = to.take_over(7).unwrap();
        to.register(&mut socket, 43).unwrap();
        to.reregister(&mut socket, 44).unwrap();
        events.clear();
        to.poll(&mut events, Some(5000)).unwrap();
        assert!(matches!(events[..], [Ready::Socket { token: 44, readable: true, .. }]), "{events:?}");
        let mut buffer = [0; 10];
        assert_eq!(to.read(&mut socket, &mut buffer).unwrap(), 3);
        client.write_all(b"two").unwrap();
        events.clear();
        from.poll(&mut events, Some(100)).unwrap();
        assert_eq!(events, []);
        assert_eq!(to.take_over(8).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock begins somewhere")]
    fn a_connection_tells_by_which_listener_it_came() {
        let (mut net, _waker) = MioNet::new(Instant::now()).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let path = std::env::temp_dir().join(format!("throng-listener-{}", std::process::id()));
        let shared = vec![std::sync::Arc::new(crate::net::Shared::at_path(&path, 0o600, 16).unwrap())];
        let listeners = Listeners::bind(&[any, any], 16).unwrap().with_shared(shared);
        let addresses = listeners.addresses().unwrap();
        net.listen(listeners).unwrap();
        let _second = std::net::TcpStream::connect(addresses[1]).unwrap();
        assert_eq!(net.accept().unwrap().listener, 1);
        let _local = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let accepted = net.accept().unwrap();
        assert_eq!((accepted.listener, accepted.peer), (2, None));
        let _first = std::net::TcpStream::connect(addresses[0]).unwrap();
        assert_eq!(net.accept().unwrap().listener, 0);
    }
}
