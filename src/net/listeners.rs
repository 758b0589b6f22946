//! Listening sockets. Each shard has its own for each TCP address, and the kernel spreads connections over them
//! (SO_REUSEPORT); a Unix socket, and an inherited one, is shared by all shards, and the first shard to wake accepts.
//!
//! A shared socket is made before the shards' descriptor tables are separated, so every table has it, under one
//! number. No table can close it for the others: it is shut down in place, which refuses new connections at once, and
//! its file is removed.
//!
//! SO_REUSEPORT would also let a second server of the same user share an address unnoticed, and take a part of the
//! clients. Checking an address before binding it leaves a moment in which another process does the same. So the
//! first shard of a server listens twice ([`Listeners::bind_first`]): once without the option, which the kernel
//! grants to one socket only, and while that one exists, with it.

use std::fs::{self, Permissions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::{Accepted, Listen};

/// Attempts before an address counts as taken, and the longest pause between two of them.
const LISTEN_ATTEMPTS: usize = 4;
const LISTEN_AGAIN_US_MAX: u64 = 10_000;

/// The listening sockets of one shard, and the index of the next to accept from.
#[derive(Debug, Default)]
pub struct Listeners {
    own: Vec<TcpListener>,
    shared: Vec<Arc<Shared>>,
    next: usize,
}

/// A listening socket shared by all shards.
#[derive(Debug)]
pub struct Shared {
    socket: SharedSocket,
    listen: Listen,
    /// `None` for an inherited one, which another process may still hold.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum SharedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket. It is removed once, and only while it is still the one that this server made: another
/// server may make its own, perhaps with the same inode, as soon as this one is gone.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    is_removed: AtomicBool,
}

impl Listeners {
    /// Binds every address with SO_REUSEPORT, so that each shard has sockets of its own and the kernel spreads
    /// connections over them.
    ///
    /// # Errors
    /// The first address that cannot be bound, and the reason.
    pub fn bind(addresses: &[SocketAddr], backlog: i32) -> io::Result<Self> {
        let bound = addresses.iter().map(|address| {
            bind_tcp(*address, backlog).map_err(|error| cannot_listen(&Listen::Tcp(*address), &error))
        });
        Ok(Self { own: bound.collect::<io::Result<_>>()?, ..Self::default() })
    }

    /// Adds shared sockets.
    #[must_use]
    pub fn with_shared(self, shared: Vec<Arc<Shared>>) -> Self {
        Self { shared, ..self }
    }

    /// Binds the listeners of the first shard of a server: no other server may listen on these addresses, from this
    /// moment on.
    ///
    /// # Errors
    /// The first address that is taken or cannot be bound.
    pub fn bind_first(addresses: &[SocketAddr], backlog: i32) -> io::Result<Self> {
        // All servers use the same order: of two that want several addresses, one gets the first and then all.
        let mut sorted: Vec<_> = addresses.iter().copied().filter(|address| address.port() != 0).collect();
        sorted.sort_unstable();
        let alone = |address: &SocketAddr| {
            listen_alone(*address).map_err(|error| cannot_listen(&Listen::Tcp(*address), &error))
        };
        let guards: Vec<Socket> = sorted.iter().map(alone).collect::<io::Result<_>>()?;
        // The guards listen: a bind without the option fails, before this and after. With the option set on both, the
        // remaining sockets may be bound beside the guards; from then on they exclude other servers.
        guards.iter().try_for_each(|guard| guard.set_reuse_port(true))?;
        Self::bind(addresses, backlog)
    }

    /// Sets the time after which the kernel gives up a connection whose peer acknowledges nothing, or whose window
    /// stays closed (`TCP_USER_TIMEOUT`, RFC 5482). Accepted sockets inherit it from their listener. Unix sockets
    /// have no such option.
    ///
    /// # Errors
    /// As `setsockopt(2)`.
    pub fn give_up_after(&self, timeout: Duration) -> io::Result<()> {
        let shared = self.shared.iter().filter_map(|shared| match &shared.socket {
            SharedSocket::Tcp(socket) => Some(socket),
            SharedSocket::Unix(_) => None,
        });
        self.own
            .iter()
            .chain(shared)
            .try_for_each(|socket| SockRef::from(socket).set_tcp_user_timeout(Some(timeout)))
    }

    /// The addresses of this shard's own sockets, with the ports that the kernel chose.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.own.iter().map(TcpListener::local_addr).collect()
    }

    /// Registers the sockets with a poller, under tokens from `first` on.
    pub(super) fn register(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        let mut tokens = (first..).map(Token);
        for (socket, token) in self.own.iter_mut().zip(&mut tokens) {
            registry.register(socket, token, Interest::READABLE)?;
        }
        for (shared, token) in self.shared.iter().zip(&mut tokens) {
            registry.register(&mut SourceFd(&shared.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Accepts a waiting connection from any socket; the sockets take turns.
    pub(super) fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let count = self.own.len() + self.shared.len();
        for _ in 0..count {
            let at = self.next % count;
            let accepted = loop {
                let accepted = match self.own.get(at) {
                    Some(socket) => accept_tcp(socket),
                    None => self.shared[at - self.own.len()].accept(),
                };
                match accepted {
                    Err(error) if is_connections_own(&error) => {}
                    other => break other,
                }
            };
            match accepted {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(|accepted| Accepted { listener: number(at), ..accepted }),
            }
            self.next = (self.next + 1) % count;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Stops accepting: own sockets close, shared ones end for all shards, except inherited ones.
    pub(super) fn stop(&mut self, registry: &Registry) {
        let Self { own, shared, .. } = std::mem::take(self);
        drop(own);
        for shared in shared {
            registry.deregister(&mut SourceFd(&shared.as_fd().as_raw_fd())).ok();
            shared.end();
        }
    }
}

impl Shared {
    /// Listens at a path, with these permissions of the file. The file of a server that no longer runs is replaced.
    ///
    /// # Errors
    /// When another server listens there, when the path is not a socket, and as `bind(2)`.
    pub fn at_path(path: &Path, mode: u32, backlog: i32) -> io::Result<Self> {
        let listen = Listen::Unix(path.to_owned());
        let bind = || -> io::Result<Self> {
            remove_stale(path)?;
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::unix(path)?)?;
            let made = fs::symlink_metadata(path)?;
            let file = SocketFile {
                path: path.to_owned(),
                device: made.dev(),
                inode: made.ino(),
                is_removed: AtomicBool::new(false),
            };
            // Set before it listens: the umask does not matter.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            socket.listen(backlog)?;
            let socket = SharedSocket::Unix(UnixListener::from_std(OwnedFd::from(socket).into()));
            Ok(Self { socket, listen: listen.clone(), file: Some(file) })
        };
        bind().map_err(|error| cannot_listen(&listen, &error))
    }

    /// An inherited listening socket: of TCP, or of a Unix path.
    ///
    /// # Errors
    /// When it is not a listening stream socket of these families.
    pub fn inherited(socket: OwnedFd) -> io::Result<Self> {
        let view = SockRef::from(&socket);
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if view.r#type()? != Type::STREAM || !view.is_listener()? {
            return wrong("not a listening stream socket (in the unit: ListenStream=, Accept=no)");
        }
        view.set_nonblocking(true)?;
        let address = view.local_addr()?;
        let (socket, listen) = if let Some(address) = address.as_socket() {
            // Accepted sockets inherit the option: one system call less for each.
            view.set_tcp_nodelay(true)?;
            (SharedSocket::Tcp(TcpListener::from_std(socket.into())), Listen::Tcp(address))
        } else if let Some(path) = address.as_pathname() {
            let listen = Listen::Unix(path.to_owned());
            (SharedSocket::Unix(UnixListener::from_std(socket.into())), listen)
        } else {
            return wrong("neither a socket of TCP nor one with a path");
        };
        Ok(Self { socket, listen, file: None })
    }

    /// The address or path of the socket.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The socket itself, for a user other than the shards.
    ///
    /// # Errors
    /// When it is not a TCP socket.
    pub(super) fn into_tcp(self) -> io::Result<std::net::TcpListener> {
        match self.socket {
            SharedSocket::Tcp(socket) => Ok(OwnedFd::from(socket).into()),
            SharedSocket::Unix(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the control listener is of TCP, not of a path",
            )),
        }
    }

    fn accept(&self) -> io::Result<Accepted<TcpStream>> {
        let accepted = match &self.socket {
            SharedSocket::Tcp(socket) => accept_tcp(socket),
            // Reads, writes and ends of a stream are the same for both kinds.
            SharedSocket::Unix(socket) => {
                socket.accept().map(|(stream, _)| accepted(TcpStream::from(OwnedFd::from(stream)), None))
            }
        };
        match accepted {
            // Another shard has shut it down.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(io::ErrorKind::WouldBlock.into()),
            other => other,
        }
    }

    /// Refuses new connections from now on and closes the waiting ones, in all shards; removes the file. An inherited
    /// socket is left alone: its new connections wait for the next server.
    pub fn end(&self) {
        let Some(file) = &self.file else { return };
        file.remove();
        // Fails only when it is already shut down.
        SockRef::from(self).shutdown(Shutdown::Both).ok();
        while self.accept().is_ok() {}
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            SharedSocket::Tcp(socket) => socket.as_fd(),
            SharedSocket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl SocketFile {
    fn remove(&self) {
        if self.is_removed.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = fs::symlink_metadata(&self.path);
        if now.is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode)) {
            // If that fails, the next server replaces it.
            fs::remove_file(&self.path).ok();
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes the socket file of a server that no longer runs.
fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there"));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Also when it is too busy, or this user may not connect to it.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Listens on an address that no other socket listens on. Without SO_REUSEPORT the kernel decides: `bind(2)` only
/// considers listening sockets, so that an address is free again right after a restart, and `listen(2)` checks once
/// more.
///
/// Two processes that call `listen` at the same instant can refuse each other; each then retries after a delay of its
/// own.
#[expect(clippy::disallowed_methods, reason = "a shard that has not begun keeps nobody waiting")]
fn listen_alone(address: SocketAddr) -> io::Result<Socket> {
    let listen = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(1)?;
        Ok(socket)
    };
    for _ in 1..LISTEN_ATTEMPTS {
        match listen() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let moment = RandomState::new().build_hasher().finish() % LISTEN_AGAIN_US_MAX;
                thread::sleep(Duration::from_micros(moment));
            }
            other => return other,
        }
    }
    listen()
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit the option: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A connection from a listener whose number the caller sets.
fn accepted(socket: TcpStream, peer: Option<IpAddr>) -> Accepted<TcpStream> {
    Accepted { socket, peer, listener: 0 }
}

/// The index of a listener as its number: descriptors end long before the numbers do.
fn number(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

fn accept_tcp(socket: &TcpListener) -> io::Result<Accepted<TcpStream>> {
    socket.accept().map(|(socket, peer)| accepted(socket, Some(peer.ip())))
}

fn cannot_listen(listen: &Listen, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
}

/// Whether an error of `accept` concerns the accepted connection, not the listener (accept(2)).
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::sync::Barrier;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("throng-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The kernel chose the ports, and may have given one to another process for a moment.
    #[expect(clippy::disallowed_methods, reason = "a test waits for others on this machine")]
    fn assert_is_free(addresses: &[SocketAddr]) {
        let is_free = (0..200).any(|_| {
            let outcome = Listeners::bind_first(addresses, 16);
            if outcome.is_err() {
                thread::sleep(std::time::Duration::from_millis(10));
            }
            outcome.is_ok()
        });
        assert!(is_free, "{addresses:?}");
    }

    #[test]
    fn an_address_with_a_listener_is_not_free() {
        let any = "127.0.0.1:0".parse().unwrap();
        let taken = Listeners::bind_first(&[any, any], 16).unwrap();
        let addresses = taken.addresses().unwrap();
        let kind = |addresses: &[SocketAddr]| Listeners::bind_first(addresses, 16).unwrap_err().kind();
        assert_eq!(kind(&addresses), io::ErrorKind::AddrInUse);
        assert_eq!(kind(&[SocketAddr::from(([0, 0, 0, 0], addresses[0].port()))]), io::ErrorKind::AddrInUse);
        // The other shards of the server share the address, and keep it when the first has ended.
        let others = Listeners::bind(&addresses, 16).unwrap();
        drop(taken);
        assert_eq!(kind(&addresses[1..]), io::ErrorKind::AddrInUse);
        drop(others);
        assert_is_free(&addresses);
    }

    /// A former client leaves the address in TIME_WAIT, which is not a listener.
    #[test]
    fn an_address_is_free_again_after_a_restart() {
        let mut first = Listeners::bind_first(&["127.0.0.1:0".parse().unwrap()], 16).unwrap();
        let addresses = first.addresses().unwrap();
        let mut client = std::net::TcpStream::connect(addresses[0]).unwrap();
        drop(first.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop((client, first));
        assert_is_free(&addresses);
    }

    #[test]
    fn of_several_that_start_in_one_moment_one_gets_the_addresses() {
        for _ in 0..25 {
            let free =
                Listeners::bind(&[([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into()], 16).unwrap();
            let addresses = free.addresses().unwrap();
            drop(free);
            let start = Barrier::new(4);
            let outcomes: Vec<_> = thread::scope(|scope| {
                let servers = [(); 4].map(|()| {
                    scope.spawn(|| {
                        start.wait();
                        Listeners::bind_first(&addresses, 16)
                    })
                });
                servers.map(|server| server.join().unwrap()).into()
            });
            let kinds: Vec<_> =
                outcomes.iter().map(|o| o.as_ref().map(drop).map_err(io::Error::kind)).collect();
            assert_eq!(kinds.iter().filter(|kind| kind.is_ok()).count(), 1, "{kinds:?}");
            assert!(
                kinds.iter().all(|kind| matches!(kind, Ok(()) | Err(io::ErrorKind::AddrInUse))),
                "{kinds:?}"
            );
        }
    }

    #[test]
    fn a_socket_at_a_path_is_everybodys_and_ends_for_everybody() {
        let folder = folder("shared");
        let path = folder.join("a.sock");
        let shared = Arc::new(Shared::at_path(&path, 0o640, 16).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let taken = Shared::at_path(&path, 0o640, 16).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{taken}");
        let mut shards = [(); 2].map(|()| Listeners::default().with_shared(vec![Arc::clone(&shared)]));
        let waiting = |shard: &mut Listeners| shard.accept().unwrap_err().kind() == io::ErrorKind::WouldBlock;
        // One connection was the second server's check.
        assert_eq!(shards[0].accept().unwrap().peer, None);
        let client = StdUnixStream::connect(&path).unwrap();
        assert_eq!(shards[1].accept().unwrap().peer, None);
        assert!(shards.iter_mut().all(waiting));
        drop(client);
        let mut unheard = StdUnixStream::connect(&path).unwrap();
        shards[0].stop(mio::Poll::new().unwrap().registry());
        assert!(!path.exists());
        assert_eq!(unheard.read(&mut [0]).unwrap_or(0), 0, "it ends, it does not wait");
        assert!(waiting(&mut shards[1]), "not an error for shards that notice it later");
        // A file that another server has made since stays.
        let next = Shared::at_path(&path, 0o600, 16).unwrap();
        drop((shards, shared));
        assert!(path.exists());
        drop(next);
        assert!(!path.exists());
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn only_a_socket_of_the_dead_is_replaced() {
        let folder = folder("stale");
        let path = folder.join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Shared::at_path(&path, 0o600, 16).unwrap());
        fs::write(&path, "somebody's").unwrap();
        assert_eq!(Shared::at_path(&path, 0o600, 16).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_inherited_socket_listens_or_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::inherited(listener.into()).unwrap());
        assert_eq!(shared.listen(), &Listen::Tcp(address));
        let mut shard = Listeners::default().with_shared(vec![Arc::clone(&shared)]);
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(shard.accept().unwrap().peer, Some(address.ip()));
        shard.stop(mio::Poll::new().unwrap().registry());
        assert!(
            std::net::TcpStream::connect(address).is_ok(),
            "the process that made it decides when it ends"
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Shared::inherited(socket.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
