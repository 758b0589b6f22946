//! Listeners other than TCP listeners of the server's own: Unix sockets, and inherited sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::peer::{PATIENCE, TEXT};
use crate::support::{Client, Peer, Server, until};

/// A directory of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("throng-places-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn unix(path: &Path) -> Peer {
    Peer::over(TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap())))
}

#[test]
fn a_unix_socket_is_served_by_all_shards_and_gone_after_the_drain() {
    let folder = Folder::new();
    let path = folder.join("throng.sock");
    let listen = format!("unix:{}", path.display());
    // A server that was killed left its file.
    drop(UnixListener::bind(&path).unwrap());
    let flags =
        ["--listen", &listen, "--unix-mode", "0600", "--echo", "/echo", "--shards", "3", "--drain-ms", "300"];
    let server = Server::start(&flags);
    assert!(server.said.last().unwrap().contains(&listen), "{:?}", server.said);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut peers: Vec<_> = (0..60).map(|_| unix(&path).upgraded("/echo", "")).collect();
    peers.push(Peer::open(server.address, "/echo"));
    for (number, peer) in peers.iter_mut().enumerate() {
        let text = "x".repeat(number * 1000);
        peer.send(TEXT, text.as_bytes());
        assert_eq!(peer.message(), (TEXT, text.into_bytes()));
    }
    drop(Client::over(unix(&path).upgraded(crate::support::centrifuge::PATH, "")));
    // A second server must not take it away.
    let second = Command::new(env!("CARGO_BIN_EXE_throng"))
        .args(["serve", "--listen", &listen, "--control", "off", "--shards", "1"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {listen}")), "{said}");
    server.signal("TERM");
    until("the file is removed", || (!path.exists()).then_some(()));
    assert!(UnixStream::connect(&path).is_err());
    peers.iter_mut().for_each(|peer| peer.expect_close(1012));
    drop(peers);
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn one_descriptor_table_for_all_or_one_each_is_the_same_to_a_unix_socket() {
    let folder = Folder::new();
    for is_private in ["true", "false"] {
        let path = folder.join(is_private);
        let listen = format!("unix:{}", path.display());
        let private = format!("--private-descriptors={is_private}");
        let flags = ["--listen", &listen, &private, "--echo", "/echo", "--proxy-protocol", "--development"];
        let server = Server::start(&flags);
        let mut peer = unix(&path);
        // This peer is trusted, and must name its client.
        peer.send_bytes(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        let mut peer = peer.upgraded("/echo", "");
        peer.send(TEXT, "hello");
        assert_eq!(peer.message().1, b"hello");
        let mut silent = unix(&path);
        silent.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(silent.try_frame(), None);
        assert_eq!(server.metric("throng_proxy_headers_refused_total"), 1);
        server.signal("TERM");
        peer.expect_close(1012);
        drop(peer);
        assert_eq!(server.end().0, Some(0));
        assert!(!path.exists());
    }
}

/// A command that becomes a server with inherited sockets: `first` as descriptor 3, `second` as 4.
fn with_sockets(first: OwnedFd, second: OwnedFd, names: &str) -> Command {
    let script = r#"exec 3<&0 4<&1 0</dev/null 1>&2
        export LISTEN_FDS=2 LISTEN_PID=$$
        exec "$0" serve "$@""#;
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]);
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second)).stderr(Stdio::piped());
    command.env("LISTEN_FDNAMES", names).env("THRONG_SHARDS", "3").env("THRONG_PING_INTERVAL_MS", "0");
    command
}

#[test]
fn sockets_that_came_with_the_process_are_used_in_place_of_those_configured() {
    let folder = Folder::new();
    let notify = UnixDatagram::bind(folder.join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let state = || {
        let mut buffer = [0; 4096];
        let length = notify.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let data = TcpListener::bind("127.0.0.1:0").unwrap();
    let control = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, control_address) = (data.local_addr().unwrap(), control.local_addr().unwrap());
    let kept = data.try_clone().unwrap();
    let mut command = with_sockets(data.into(), control.into(), "throng.socket:control");
    command.env("NOTIFY_SOCKET", folder.join("notify")).args(["--echo", "/echo", "--drain-ms", "300"]);
    let server = Server::spawn_inheriting(&mut command);
    assert_eq!((server.address, server.control), (address, control_address));
    let ready = state();
    assert!(ready.contains("READY=1\n"), "{ready}");
    let mut peers: Vec<_> = (0..40).map(|_| Peer::open(address, "/echo")).collect();
    server.await_metric("throng_connections", 40);
    for peer in &mut peers {
        peer.send(TEXT, "hello");
        assert_eq!(peer.message().1, b"hello");
    }
    server.signal("TERM");
    assert!(state().contains("STOPPING=1\n"));
    peers.iter_mut().for_each(|peer| peer.expect_close(1012));
    drop(peers);
    assert_eq!(server.end().0, Some(0));
    // throng must not end the socket: a client that connects now waits for the next server.
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(b"hello").unwrap();
    let (mut accepted, _) = kept.accept().unwrap();
    let mut said = [0; 5];
    accepted.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello");
}

/// Decisions by reachability consider the inherited sockets, not the addresses that they replace: a server API
/// without a key is on loopback only, on either listener.
#[test]
fn an_api_without_a_key_is_not_served_at_inherited_sockets_beyond_loopback() {
    let body = r#"{"channel":"a","data":1}"#;
    let length = body.len();
    let lines = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let request = format!("POST /api/publish HTTP/1.1\r\n{lines}Content-Length: {length}\r\n\r\n{body}");
    for (data, control, statuses) in [
        ("127.0.0.1", "127.0.0.1", [200, 200]),
        ("0.0.0.0", "127.0.0.1", [404, 200]),
        ("127.0.0.1", "0.0.0.0", [200, 403]),
    ] {
        let [data, control] = [data, control].map(|address| TcpListener::bind((address, 0)).unwrap());
        let at = [&data, &control].map(|listener| {
            std::net::SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()))
        });
        let is_open = control.local_addr().unwrap().ip().is_unspecified();
        let mut command = with_sockets(data.into(), control.into(), "data:control");
        // Without them it would listen on loopback, and have no control listener.
        command.args(["--http_api.insecure", "--http_api.external", "--client.insecure"]);
        command.args(["--listen", "127.0.0.1:0", "--control", "off"]);
        let server = Server::spawn_inheriting(&mut command);
        assert_eq!(at.map(|address| Peer::request(address, request.as_bytes()).status), statuses);
        let is_told = server
            .said
            .iter()
            .any(|line| line.contains("the control listener is reachable from other machines"));
        assert_eq!(is_told, is_open, "{:?}", server.said);
    }
}

#[test]
fn an_inherited_unix_socket_keeps_its_file() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let data = UnixListener::bind(&path).unwrap();
    let control = TcpListener::bind("127.0.0.1:0").unwrap();
    let control_address = control.local_addr().unwrap();
    let mut command = with_sockets(control.into(), data.into(), "control:data");
    let mut child = command.args(["--echo", "/echo"]).spawn().unwrap();
    // Which answers once signals are handled.
    let request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(Peer::request(control_address, request).status, 200);
    let mut peer = unix(&path).upgraded("/echo", "");
    peer.send(TEXT, "hello");
    assert_eq!(peer.message().1, b"hello");
    let status = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    drop(peer);
    assert!(until("its end", || child.try_wait().unwrap()).success());
    assert!(path.exists());
}

#[test]
fn what_is_no_listening_socket_is_refused_by_its_name() {
    let connected = |listener: &TcpListener| TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connected(&listener);
    let output =
        with_sockets(listener.try_clone().unwrap().into(), stream.into(), "good:bad").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("inherited socket 1 (bad): not a listening stream socket"), "{said}");
}
