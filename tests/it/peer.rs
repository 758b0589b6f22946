//! The test client itself, verified by tungstenite's server: another implementation must understand its messages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use crate::support::peer::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::support::{Frame, Peer};

/// An echo server for one connection, by tungstenite.
fn reference() -> (SocketAddr, JoinHandle<Vec<Message>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let mut seen = Vec::new();
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message.clone()).unwrap();
            }
            seen.push(message);
        }
        seen
    });
    (address, server)
}

#[test]
fn frames_of_every_length_are_understood_elsewhere() {
    let (address, server) = reference();
    let mut peer = Peer::open(address, "/");
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
        peer.send(BINARY, vec![7; length]);
        assert_eq!(peer.message(), (BINARY, vec![7; length]));
    }
    peer.send(TEXT, "Grüße");
    assert_eq!(peer.frame(), Frame::new(TEXT, "Grüße"));
    peer.send_close(4000);
    assert_eq!(peer.frame().close_code(), Some(4000));
    assert_eq!(server.join().unwrap().len(), 10);
}

#[test]
fn parts_and_control_frames_are_understood_elsewhere() {
    let (address, server) = reference();
    let mut peer = Peer::open(address, "/");
    peer.send_part(TEXT, "one ", false);
    peer.send(PING, "now");
    assert_eq!(peer.frame(), Frame::new(PONG, "now"));
    peer.send_part(CONTINUATION, "two", true);
    assert_eq!(peer.message(), (TEXT, b"one two".to_vec()));
    assert!(peer.is_silent_for(Duration::from_millis(20)));
    peer.send(CLOSE, "");
    assert_eq!(peer.frame().close_code(), None);
    drop(peer);
    assert!(server.join().unwrap().contains(&Message::Ping("now".into())));
}

#[test]
fn the_end_of_a_connection_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let reason = CloseFrame { code: 3001.into(), reason: "shutdown".into() };
        socket.close(Some(reason)).unwrap();
        socket.flush().unwrap();
    });
    Peer::open(address, "/").expect_close(3001);
    server.join().unwrap();
}

#[test]
fn a_refusal_is_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 10];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n\r\nno").unwrap();
        request
    });
    let response = Peer::request(address, b"0123456789");
    assert_eq!((response.status, response.body.as_slice()), (426, &b"no"[..]));
    assert_eq!(response.header("sec-websocket-version"), Some("13"));
    assert_eq!(response.header("connection"), None);
    assert_eq!(&server.join().unwrap(), b"0123456789");
}
