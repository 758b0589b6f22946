//! Proxies in front: PROXY headers and forwarding headers, from trusted proxies and from others. The server passes
//! the client's address to the connect hook.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::{env, fs, process, thread};

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::peer::{PATIENCE, TEXT, upgrade};
use crate::support::{Client, Peer, Server};

/// An application that admits every client, and records its address.
struct Application {
    address: SocketAddr,
    seen: Receiver<Vec<(String, String)>>,
}

impl Application {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let tell = tell.clone();
                thread::spawn(move || answer(stream.unwrap(), &tell));
            }
        });
        Self { address, seen }
    }

    fn server(&self, flags: &[&str]) -> Server {
        let names = ["x-forwarded-for", "x-real-ip", "forwarded", "x-other"];
        let hook =
            json!({"enabled": true, "endpoint": format!("http://{}/", self.address), "http_headers": names});
        let config = json!({"client": {"proxy": {"connect": hook}}, "sse": {"enabled": true}});
        let path =
            env::temp_dir().join(format!("throng-proxies-{}-{}.json", process::id(), self.address.port()));
        fs::write(&path, config.to_string()).unwrap();
        let server = Server::start(&[&["--config", path.to_str().unwrap()], flags].concat());
        fs::remove_file(path).unwrap();
        server
    }

    /// Headers of the next question.
    fn headers(&self) -> Vec<(String, String)> {
        self.seen.recv_timeout(PATIENCE).expect("a question")
    }

    /// The address in the next question.
    fn address(&self) -> String {
        let headers = self.headers();
        let mut values = headers.iter().filter(|(name, _)| name == "x-forwarded-for");
        let address = values.next().unwrap().1.clone();
        assert_eq!(values.next(), None);
        address
    }
}

/// Answers the questions of one connection.
fn answer(stream: TcpStream, tell: &Sender<Vec<(String, String)>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut headers = Vec::new();
        for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ") {
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        let Some((_, length)) = headers.iter().find(|(name, _)| name == "content-length") else { return };
        reader.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        if tell.send(headers).is_err() {
            return;
        }
        let body = r#"{"result":{"user":"u"}}"#;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    }
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n";
/// 192.0.2.3, with an extension of three bytes.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\xc0\0\x02\x03\xc0\0\x02\x02\x30\x39\0\x50\x04\0\x03abc";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// With a family, and no addresses of it.
const LOCAL_TCP4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\0";
/// With an unknown family, and two bytes of arbitrary data.
const LOCAL_UNKNOWN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\xff\0\x02ab";
/// A proxy on this machine is trusted, and one at an address of its own.
const TRUST: [&str; 2] = ["--trusted-proxies", "127.0.0.1,10.0.0.0/8"];

fn with_header(server: &Server, header: &[u8], more: &str) -> Client {
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(header);
    Client::over(peer.upgraded(PATH, more))
}

#[test]
fn a_trusted_proxy_says_in_a_header_who_connects() {
    let application = Application::start();
    let server = application.server(&[&TRUST[..], &["--proxy-protocol"]].concat());
    for (header, wanted) in [
        (V1, "192.0.2.1"),
        (V2, "192.0.2.3"),
        (LOCAL, "127.0.0.1"),
        (LOCAL_TCP4, "127.0.0.1"),
        (LOCAL_UNKNOWN, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1"),
    ] {
        let _client = with_header(&server, header, "");
        assert_eq!(application.address(), wanted);
    }
    // In one piece with the request, and byte by byte.
    for header in [V1, V2] {
        let bytes = [header, upgrade(PATH, "").as_bytes()].concat();
        let mut whole = Peer::connect(server.address);
        whole.send_bytes(&bytes);
        assert_eq!(whole.response_head().status, 101);
        let mut slow = Peer::connect(server.address);
        for byte in &bytes {
            slow.send_bytes(&[*byte]);
        }
        assert_eq!(slow.response_head().status, 101);
        drop((Client::over(whole), Client::over(slow)));
        assert_eq!(application.address(), application.address());
    }
    // The header of a client behind it is ignored; that of another trusted proxy counts.
    let _client = with_header(&server, V1, "X-Forwarded-For: 6.6.6.6\r\n");
    assert_eq!(application.address(), "192.0.2.1");
    let second = b"PROXY TCP4 10.1.1.1 192.0.2.2 12345 80\r\n";
    let _client = with_header(&server, second, "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n");
    assert_eq!(application.address(), "192.0.2.7");
    assert_eq!(server.metric("throng_proxy_headers_total"), 13);
    assert_eq!(server.metric("throng_proxy_headers_refused_total"), 0);
}

#[test]
fn without_the_header_that_is_due_a_connection_is_closed_and_counted() {
    let server = Server::start(&[
        "--development",
        "--proxy-protocol",
        "--trusted-proxies",
        "127.0.0.0/8",
        "--handshake-ms",
        "400",
    ]);
    let whole = upgrade(PATH, "");
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'a'; 100]].concat();
    let oversized: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\x09";
    for bytes in [whole.as_bytes(), b"\x16\x03\x01\x02\0\x01", b"PROXY TCP4 a b c d\r\n", &long, oversized] {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(bytes);
        assert_eq!(peer.try_frame(), None, "it is closed without a word: {bytes:?}");
    }
    assert_eq!(server.metric("throng_proxy_headers_refused_total"), 5);
    // An incomplete PROXY header has the deadline of a request.
    let mut slow = Peer::connect(server.address);
    slow.send_bytes(&V1[..10]);
    assert_eq!(slow.response_head().status, 408);
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 1);
}

#[test]
fn connections_are_counted_for_the_address_that_the_proxy_names() {
    let flags = ["--proxy-protocol", "--accepts-per-ip-max", "1", "--echo", "/echo", "--development"];
    let server = Server::start(&[&TRUST[..], &flags].concat());
    let status = |header: &[u8]| {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(&[header, upgrade("/echo", "").as_bytes()].concat());
        let response = peer.response_head();
        (response.status, response.header("retry-after").is_some())
    };
    // Far more than both shards admit at once and while this takes, even on a slow machine.
    let refused = (0..30).filter(|_| status(V1) == (503, true)).count();
    assert!(refused > 10, "{refused}");
    assert_eq!(server.metric_with("throng_refused_total", "ip_rate"), refused as u64);
    assert_eq!(status(V2), (101, false), "others are not meant");
    assert!((0..20).all(|_| status(LOCAL) == (101, false)), "nor is the proxy itself");
}

#[test]
fn a_header_of_who_is_not_trusted_is_a_bad_request() {
    for flags in [&["--proxy-protocol", "--trusted-proxies", "10.0.0.0/8"][..], &TRUST, &[]] {
        let server = Server::start(&[flags, &["--development"]].concat());
        for header in [V1, V2] {
            let response = Peer::request(server.address, &[header, upgrade(PATH, "").as_bytes()].concat());
            assert_eq!(response.status, 400, "{flags:?}");
        }
        Client::open(server.address);
        assert_eq!(server.metric("throng_proxy_headers_total"), 0);
        assert_eq!(server.metric("throng_proxy_headers_unexpected_total"), 2);
        server.signal("TERM");
        let (_, said) = server.end();
        let lines: Vec<_> =
            said.lines().filter(|line| line.contains("connection with a PROXY header refused")).collect();
        let why =
            if flags.contains(&"--proxy-protocol") { "trusted_proxies" } else { "proxy_protocol is off" };
        assert!(
            lines.len() == 1 && lines[0].contains(why) && lines[0].contains("127.0.0.1"),
            "{flags:?} {said}"
        );
    }
}

/// A client whose header was not UTF-8 was treated as the proxy: its limits were the proxy's, and vice versa.
#[test]
fn bytes_that_are_no_text_hide_nobody() {
    let application = Application::start();
    let server = application.server(&TRUST);
    for (lines, wanted) in [
        (&b"X-Forwarded-For: \xff, 203.0.113.9\r\n"[..], "203.0.113.9"),
        (b"X-Forwarded-For: \xff\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9"),
        (b"Forwarded: for=\xff, for=203.0.113.9\r\n", "203.0.113.9"),
    ] {
        let head = upgrade(PATH, "");
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(&[head.strip_suffix("\r\n").unwrap().as_bytes(), lines, b"\r\n"].concat());
        assert_eq!(peer.response_head().status, 101);
        let _client = Client::over(peer);
        assert_eq!(application.address(), wanted, "{}", lines.escape_ascii());
    }
}

/// A client that wrote the header that its proxy passes on was treated as the proxy, and on a Unix socket as a client
/// without an address.
#[test]
fn what_a_client_adds_takes_nobody_s_address_away() {
    let application = Application::start();
    let server = application.server(&TRUST);
    for lines in [
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=6.6.6.6\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=unknown\r\n",
        "X-Forwarded-For: \r\nForwarded: for=192.0.2.1\r\n",
        "Forwarded: for=6.6.6.6;by=\", for=192.0.2.1\r\n",
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(upgrade(PATH, lines).as_bytes());
        assert_eq!(peer.response_head().status, 400, "{lines}");
    }
    // From an untrusted peer, neither header counts, nor do both.
    let server = application.server(&[]);
    let _client = with_header(&server, b"", "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=6.6.6.6\r\n");
    assert_eq!(application.address(), "127.0.0.1");
}

/// Addresses are compared in their canonical form.
#[test]
fn a_network_of_mapped_addresses_is_that_of_ipv4() {
    let application = Application::start();
    let server = application.server(&["--trusted-proxies", "::ffff:127.0.0.0/104"]);
    let _client = with_header(&server, b"", "X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(application.address(), "192.0.2.1");
}

#[test]
fn what_a_request_says_counts_from_a_trusted_proxy_only() {
    let application = Application::start();
    let headers = [
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n", "192.0.2.1"),
        ("Forwarded: for=6.6.6.6, for=\"[2001:db8::1]:4711\"\r\n", "2001:db8::1"),
        ("X-Forwarded-For: unknown\r\n", "127.0.0.1"),
        ("X-Real-IP: 6.6.6.6\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ];
    for is_trusted in [true, false] {
        let server = application.server(if is_trusted { &TRUST } else { &[] });
        for (lines, wanted) in headers {
            let _client = with_header(&server, b"", lines);
            assert_eq!(application.address(), if is_trusted { wanted } else { "127.0.0.1" }, "{lines}");
        }
    }
}

#[test]
fn hooks_are_told_what_is_known_whatever_the_client_writes() {
    let application = Application::start();
    let server = application.server(&TRUST);
    let lines = "X-Forwarded-For: 2001:db8::1\r\nX-Real-IP: 6.6.6.6\r\nX-Other: kept\r\n";
    let mut peer = Peer::connect(server.address).upgraded(PATH, lines);
    let headers = json!({"x-forwarded-for": "6.6.6.6", "forwarded": "for=6.6.6.6", "x-other": "not this"});
    peer.send(TEXT, json!({"id": 1, "connect": {"headers": headers}}).to_string());
    let told = application.headers();
    let values = |wanted: &str| -> Vec<&str> {
        told.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(values("x-forwarded-for"), ["2001:db8::1"]);
    assert_eq!(values("x-real-ip"), ["2001:db8::1"]);
    assert_eq!(values("forwarded"), ["for=\"[2001:db8::1]\""]);
    assert_eq!(values("x-other"), ["kept"]);
}

#[test]
fn a_connection_that_a_proxy_keeps_serves_one_client_after_the_other() {
    let application = Application::start();
    let server = application.server(&TRUST);
    let preflight = |more: &str| format!("OPTIONS /emulation HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    for (last, wanted) in [("", "127.0.0.1"), ("X-Forwarded-For: 192.0.2.9\r\n", "192.0.2.9")] {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(preflight("X-Forwarded-For: 192.0.2.8\r\n").as_bytes());
        assert_eq!(peer.response_head().status, 204);
        let _client = Client::over(peer.upgraded(PATH, last));
        assert_eq!(application.address(), wanted, "nobody is taken for the client before");
    }
}
