//! Opening one connection: the socket, the upgrade request and the check of its answer.
//!
//! The invariant: nothing here blocks. Left out: the time of a dial, and the use of the open connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use tungstenite::handshake::derive_accept_key;

use crate::bench::args::Target;
use crate::bench::connections::wire::Wire;
use throng::parts::net::sys;

/// One key for all connections: it defeats caches, and there are none here.
const KEY: &str = "dGhyb25nIGJlbmNoIGtleQ==";

/// Starts a connection from `source` (`None`: the kernel chooses) and returns before it is established.
///
/// # Errors
/// Errors of the system calls, except that the connection is still in progress.
pub(crate) fn dial(target: &Target, source: Option<Ipv4Addr>) -> io::Result<Wire<TcpStream>> {
    let address = target.address;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(source) = source {
        sys::bind_address_no_port(socket.as_fd())?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Wire::new(TcpStream::from_std(socket.into()), target.tls.as_ref()),
    }
}

/// The upgrade request for `target`; with `deflate`, it offers compression as browsers do.
pub(crate) fn request(target: &Target, deflate: bool) -> Vec<u8> {
    let offer = if deflate {
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits\r\n"
    } else {
        ""
    };
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n",
        target.path, target.host
    )
    .into_bytes()
}

/// The upgrade request for another path of `target`.
pub(crate) fn request_to(target: &Target, path: &str) -> Vec<u8> {
    request(&Target { path: path.to_owned(), ..target.clone() }, false)
}

/// A refused upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The kind under which the failure is counted.
    pub(crate) cause: String,
    /// `Retry-After`, in seconds (RFC 9110, 10.2.3).
    pub(crate) retry_after_s: Option<u64>,
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        refused.cause
    }
}

fn refused(cause: &str) -> Refused {
    Refused { cause: cause.to_owned(), retry_after_s: None }
}

/// Checks answers to [`request`].
#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    accept: String,
    deflate: bool,
}

impl Upgrade {
    pub(crate) fn new(deflate: bool) -> Self {
        Self { accept: derive_accept_key(KEY.as_bytes()), deflate }
    }

    /// The length of the answer's head; `None` while it is incomplete.
    ///
    /// # Errors
    /// The answer refuses the upgrade or is invalid.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<Option<usize>, Refused> {
        const HEAD_BYTES_MAX: usize = 16 << 10;
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            let endless = bytes.len() > HEAD_BYTES_MAX;
            return if endless { Err(refused("handshake: endless head")) } else { Ok(None) };
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            let cause = format!("handshake: {}", status.chars().take(60).collect::<String>());
            let mut fields = lines.filter_map(|line| line.split_once(':'));
            let retry_after = fields.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
            let retry_after_s = retry_after.and_then(|(_, value)| value.trim().parse().ok());
            return Err(Refused { cause, retry_after_s });
        }
        let (mut accepted, mut extensions) = (false, "");
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            accepted |= name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == self.accept;
            if name.eq_ignore_ascii_case("sec-websocket-extensions") {
                extensions = value;
            }
        }
        // With a window that outlives the message, each client would get different bytes.
        let deflates =
            extensions.contains("permessage-deflate") && extensions.contains("server_no_context_takeover");
        match () {
            () if !accepted => Err(refused("handshake: wrong Sec-WebSocket-Accept")),
            () if self.deflate && !deflates => Err(refused("handshake: no permessage-deflate")),
            () => Ok(Some(end + 4)),
        }
    }
}

/// The kind under which a transport error during `doing` is counted.
pub(crate) fn cause(doing: &str, error: &io::Error) -> String {
    if let Some(broken) = error.get_ref() {
        // Our own or rustls': few kinds, with a full message.
        return format!("{doing}: {broken}");
    }
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => format!("{doing}: out of descriptors"),
        Some(libc::EADDRNOTAVAIL) => format!("{doing}: no free source port"),
        Some(libc::ENOBUFS | libc::ENOMEM) => format!("{doing}: out of kernel memory"),
        _ => format!("{doing}: {}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_checked_once_it_is_complete() {
        let upgrade = Upgrade::new(false);
        let good = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-accept: {}\r\n\r\n",
            upgrade.accept
        );
        for cut in 0..good.len() {
            assert_eq!(upgrade.check(&good.as_bytes()[..cut]), Ok(None));
        }
        assert_eq!(upgrade.check(format!("{good}\x01\x02").as_bytes()), Ok(Some(good.len())));
        let refused = upgrade.check(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(refused.cause, "handshake: HTTP/1.1 503 Service Unavailable");
        assert_eq!(refused.retry_after_s, None);
        let refused = upgrade.check(b"HTTP/1.1 503 No\r\nA: 1\r\nretry-after: 7\r\n\r\n").unwrap_err();
        assert_eq!(refused.retry_after_s, Some(7));
        assert!(upgrade.check(good.replace(&upgrade.accept, "x").as_bytes()).is_err());
        assert!(upgrade.check(&[b'x'; 20 << 10]).is_err());
        assert!(Upgrade::new(true).check(good.as_bytes()).is_err());
        let extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";
        let good = format!("{}{extension}", good.strip_suffix("\r\n").unwrap());
        assert_eq!(Upgrade::new(true).check(good.as_bytes()), Ok(Some(good.len())));
    }

    #[test]
    fn causes_group_what_is_the_same() {
        let error = |code| cause("connect", &io::Error::from_raw_os_error(code));
        assert_eq!(error(libc::EMFILE), "connect: out of descriptors");
        assert_eq!(error(libc::ECONNREFUSED), "connect: connection refused");
    }
}
