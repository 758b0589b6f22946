//! Connections whose request and end arrive in one read. They counted as incomplete requests permanently: when the
//! limit was reached, every new connection was refused, although none was open.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, CLOSE, PATIENCE, TEXT, upgrade};
use crate::support::tls::fixtures::Authority;
use crate::support::tls::{Folder, trusting};
use crate::support::{Client, Frame, Peer, Server};

/// More than there are places.
const COUNT: usize = 12;
const FLAGS: [&str; 6] = ["--shards", "1", "--half-open-max", "4", "--echo", "/echo"];

/// Requests followed by the end of their connection.
fn lives() -> Vec<(&'static str, Vec<u8>)> {
    let close = Frame::new(CLOSE, 1000u16.to_be_bytes()).bytes();
    // An unmasked frame, and a reserved opcode.
    let broken = [vec![0x81, 0x01, b'x'], Frame::new(3, "x").bytes()];
    let commands =
        ["nonsense", r#"{"id":1,"ping":{}}"#, "", "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"connect\":{}}"];
    let mut lives = Vec::new();
    for path in [PATH, "/echo"] {
        let request = upgrade(path, "").into_bytes();
        for end in
            [close.clone(), broken[0].clone(), broken[1].clone(), Frame::new(BINARY, [0; 200_000]).bytes()]
        {
            lives.push((path, [request.clone(), end].concat()));
        }
    }
    for command in commands {
        lives.push((command, [upgrade(PATH, "").into_bytes(), Frame::new(TEXT, command).bytes()].concat()));
    }
    for body in ["nonsense", r#"{"id":1,"ping":{}}"#] {
        let request = format!(
            "POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        lives.push(("stream", request.into_bytes()));
    }
    lives
}

/// No client is connected, and the gauges show that, after any history.
fn expect_nobody(server: &Server, what: &str) {
    server.await_metric("throng_connections", 0);
    for gauge in ["throng_half_open", "throng_sessions"] {
        assert_eq!(server.metric(gauge), 0, "{gauge}: {what}");
    }
}

#[test]
fn a_request_and_its_end_in_one_read_leave_nothing() {
    let server = Server::start(&FLAGS);
    for (what, bytes) in lives() {
        for _ in 0..COUNT {
            let mut peer = Peer::connect(server.address);
            peer.send_bytes(&bytes);
            peer.rest();
        }
        expect_nobody(&server, what);
    }
    Client::open(server.address).sync();
}

#[test]
fn a_request_and_its_end_in_one_record_leave_nothing() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let pair = folder.pair("one", &ca.issue(&["one.test"]));
    let flags: Vec<&str> = pair.iter().map(String::as_str).chain(FLAGS).collect();
    let server = Server::start(&flags);
    for (what, bytes) in lives() {
        for _ in 0..COUNT {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let name = ServerName::try_from("one.test").unwrap();
            let mut tls = ClientConnection::new(trusting(&ca, None), name).unwrap();
            while tls.is_handshaking() {
                tls.complete_io(&mut stream).unwrap();
            }
            tls.writer().write_all(&bytes[..bytes.len().min(16_000)]).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut stream).unwrap();
            }
            if bytes.len() > 16_000 {
                // For a too long message, the header was enough.
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            }
            // An end without a goodbye, or with a reset, is one too.
            stream.read_to_end(&mut Vec::new()).ok();
        }
        expect_nobody(&server, what);
    }
}
