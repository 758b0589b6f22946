//! Sockets, readiness and time, behind one trait.
//!
//! A shard accesses the system through [`Net`] alone: [`MioNet`] in production, a simulator in tests. Readiness is
//! edge-triggered: it is reported once, when it changes, so a reader that stops before `WouldBlock` must remember to
//! continue.
//!
//! `mio` implements [`Net`] over epoll, `listen` parses addresses, `listeners` opens sockets, `inherited` takes those
//! of systemd, `transit` passes sockets between shards, and `sys` has the system calls: it is the one file with `unsafe`.

mod inherited;
mod listen;
mod listeners;
mod mio;
pub mod sys;
mod transit;

pub use self::mio::MioNet;
pub use inherited::Inherited;
pub use listen::Listen;
pub(crate) use listeners::{Listeners, Shared};
pub(crate) use transit::Transit;

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::sync::OnceLock;

/// A readiness event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Connections may be waiting to be accepted.
    Accept,
    /// A letter may be waiting.
    Mail,
    /// A socket, by the token it was registered with.
    Socket {
        /// As given to [`Net::register`].
        token: u64,
        /// Bytes, an end or an error may be waiting.
        readable: bool,
        /// There is room to write again.
        writable: bool,
        /// The peer sends nothing more: read to the end even after a short read.
        closed: bool,
        /// The connection has failed, by a reset for example: nothing can be received or sent any more.
        failed: bool,
    },
}

/// A connection accepted from a listener.
#[derive(Debug)]
pub struct Accepted<S> {
    /// Its socket.
    pub socket: S,
    /// Address of its other end; `None` for one that came by a Unix socket.
    pub peer: Option<IpAddr>,
    /// Index of the shard's listener, counted from 0: its own, then the shared ones.
    pub listener: u16,
}

/// The system as a shard uses it. Blocks only in [`Net::poll`].
pub trait Net {
    /// A connected socket. Dropping it closes it.
    type Socket: std::fmt::Debug;

    /// Waits for readiness, at most `timeout_ms` (forever if `None`), and appends the events to `events`.
    ///
    /// # Errors
    /// When the poller itself fails; an interruption by a signal is not an error.
    fn poll(&mut self, events: &mut Vec<Ready>, timeout_ms: Option<u64>) -> io::Result<()>;

    /// A monotonic clock, in microseconds from some fixed time in this process.
    fn now_us(&mut self) -> u64;

    /// The system's wall clock: Unix time, in milliseconds; 0 before 1970. It may jump in both directions: when it is
    /// set, or when the machine has slept, which does not affect the monotonic clock.
    fn unix_ms(&mut self) -> u64;

    /// Accepts a waiting connection; `WouldBlock` when there is none on any listener.
    ///
    /// # Errors
    /// As `accept(2)`; errors that concern one connection only are skipped.
    fn accept(&mut self) -> io::Result<Accepted<Self::Socket>>;

    /// The address of a socket's peer; `None` where there is none.
    fn peer(&self, socket: &Self::Socket) -> Option<IpAddr>;

    /// Requests events, under `token`, for reading: future ones, and one now if the socket is readable.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    fn register(&mut self, socket: &mut Self::Socket, token: u64) -> io::Result<()>;

    /// Requests the events of a registered socket under another token from now on, for reading: future ones, and one now if
    /// the socket is readable.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    fn reregister(&mut self, socket: &mut Self::Socket, token: u64) -> io::Result<()>;

    /// Hands a registered socket over to another shard, which takes it by [`Net::take_over`] with this `ticket`. No event of
    /// it is reported here any more; the caller drops the socket, which does not close the connection.
    ///
    /// # Errors
    /// When it cannot be passed on; then it stays registered here under `token`.
    fn hand_over(&mut self, socket: &mut Self::Socket, token: u64, shard: u16, ticket: u64)
    -> io::Result<()>;

    /// Takes the socket that another shard has handed over with this `ticket`. It is not registered yet.
    ///
    /// # Errors
    /// When it was lost on the way, for example because no descriptor is left.
    fn take_over(&mut self, ticket: u64) -> io::Result<Self::Socket>;

    /// Requests events for writing, too.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    fn arm_writable(&mut self, socket: &mut Self::Socket, token: u64) -> io::Result<()>;

    /// Reads; 0 is the end.
    ///
    /// # Errors
    /// As `recv(2)`.
    fn read(&mut self, socket: &mut Self::Socket, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// As `send(2)`.
    fn write(&mut self, socket: &mut Self::Socket, bytes: &[u8]) -> io::Result<usize>;

    /// Writes some of `slices`.
    ///
    /// # Errors
    /// As `sendmsg(2)`.
    fn write_vectored(&mut self, socket: &mut Self::Socket, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts down writing; reading continues.
    ///
    /// # Errors
    /// As `shutdown(2)`.
    fn shutdown_write(&mut self, socket: &mut Self::Socket) -> io::Result<()>;

    /// Stops listening; connections that wait unaccepted are reset.
    fn stop_listening(&mut self);
}

/// Whether this machine has IPv6, so that a socket can be bound to all of its addresses.
pub fn has_ipv6() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    // A UDP socket: it accepts no connections meanwhile.
    *HAS.get_or_init(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok())
}

/// Whether an error of `accept` means a temporary lack of descriptors or memory (accept(2)).
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
