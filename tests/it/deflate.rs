//! permessage-deflate (RFC 7692) over real connections: negotiation, compressed output, and refusals.

use std::net::SocketAddr;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};

use crate::support::peer::{BINARY, CONTINUATION, RSV1, TEXT, upgrade};
use crate::support::{Client, Frame, Peer, Server, centrifuge};

/// "Hello", compressed (RFC 7692, 7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// A WebSocket whose upgrade requests these extensions, and the answer.
fn open(address: SocketAddr, path: &str, extensions: &str) -> (Peer, Option<String>) {
    let mut peer = Peer::connect(address);
    peer.send_bytes(upgrade(path, &format!("Sec-WebSocket-Extensions: {extensions}\r\n")).as_bytes());
    let response = peer.response_head();
    assert_eq!(response.status, 101, "{}", response.head);
    let answer = response.header("sec-websocket-extensions").map(str::to_owned);
    (peer, answer)
}

fn packed(text: &[u8]) -> Vec<u8> {
    let (mut compress, mut out) =
        (Compress::new(Compression::new(6), false), Vec::with_capacity(text.len() + 100));
    compress.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
    out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

fn unpacked(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(100_000);
    let stream = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut inflate = Decompress::new_with_window_bits(false, window_bits);
    inflate.decompress_vec(&stream, &mut out, FlushDecompress::Sync).unwrap();
    out
}

#[test]
fn an_echo_comes_back_compressed_where_that_is_shorter() {
    let server = Server::start(&["--echo", "/echo", "--compression"]);
    let (mut peer, answer) = open(server.address, "/echo", "permessage-deflate; client_max_window_bits");
    let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answer.as_deref(), Some(always));
    // Whole, in fragments, and not at all.
    peer.send(TEXT | RSV1, HELLO);
    assert_eq!(peer.message(), (TEXT, "Hello".into()));
    peer.send_part(TEXT | RSV1, &HELLO[..2], false);
    peer.send_part(CONTINUATION, &HELLO[2..], true);
    assert_eq!(peer.message(), (TEXT, "Hello".into()));
    peer.send(TEXT, "Hello");
    assert_eq!(peer.message(), (TEXT, "Hello".into()));
    // Long enough to be compressed, from either kind of input, and large enough to be returned from the input buffer.
    for text in ["to be repeated ".repeat(30), "and so on, ".repeat(5000)] {
        for (opcode, payload) in
            [(BINARY, text.clone().into_bytes()), (BINARY | RSV1, packed(text.as_bytes()))]
        {
            peer.send(opcode, payload);
            let Frame { opcode, payload, .. } = peer.frame();
            assert_eq!(opcode, BINARY | RSV1);
            assert!(payload.len() * 4 < text.len());
            assert_eq!(unpacked(&payload, 15), text.as_bytes());
        }
    }
}

#[test]
fn nothing_is_negotiated_unless_it_is_turned_on() {
    let server = Server::start(&["--echo", "/echo"]);
    let (mut peer, answer) = open(server.address, "/echo", "permessage-deflate");
    assert_eq!(answer, None);
    peer.send(TEXT, "x".repeat(1000));
    assert_eq!(peer.message(), (TEXT, "x".repeat(1000).into()));
    peer.send(TEXT | RSV1, HELLO);
    peer.expect_close(1002);
    // Nor are extensions looked at.
    open(server.address, "/echo", "=;=");
}

#[test]
fn offers_that_cannot_be_met_are_declined_and_nonsense_is_refused() {
    let server = Server::start(&["--echo", "/echo", "--compression"]);
    let (mut peer, answer) = open(server.address, "/echo", "permessage-deflate; server_max_window_bits=8");
    assert_eq!(answer, None);
    peer.send(TEXT | RSV1, HELLO);
    peer.expect_close(1002);
    let refused = upgrade("/echo", "Sec-WebSocket-Extensions: permessage-deflate; =\r\n");
    assert_eq!(Peer::request(server.address, refused.as_bytes()).status, 400);
}

/// A thousandfold expansion, invalid text, a truncated message, and the compression bit on a wrong frame.
#[test]
fn what_clients_compress_has_its_limits() {
    let server = Server::start(&["--echo", "/echo", "--compression"]);
    for (opcode, payload, code) in [
        (BINARY | RSV1, packed(&vec![0; 10 << 20]), 1009),
        (TEXT | RSV1, packed(&[0xff; 100]), 1007),
        (BINARY | RSV1, packed("cut off ".repeat(10).as_bytes())[..5].to_vec(), 1007),
        (CONTINUATION | RSV1, HELLO.to_vec(), 1002),
        (TEXT | 0x20, HELLO.to_vec(), 1002),
    ] {
        let (mut peer, _) = open(server.address, "/echo", "permessage-deflate");
        peer.send(opcode, payload);
        peer.expect_close(code);
    }
}

/// A subscriber whose upgrade requests these extensions.
fn subscriber(server: &Server, extensions: &str) -> Peer {
    let (peer, _) = open(server.address, centrifuge::PATH, extensions);
    let mut client = Client::over(peer);
    assert_eq!(client.subscribe("news"), Ok(()));
    client.peer
}

#[test]
fn a_publication_is_compressed_once_for_all_who_take_it() {
    let server = Server::start(&["--compression", "--shards", "1"]);
    let mut plain = subscriber(&server, "x-nothing");
    let mut wide = [(); 2].map(|()| subscriber(&server, "permessage-deflate"));
    let mut narrow = subscriber(&server, "permessage-deflate; server_max_window_bits=10");
    let data = json!({"rows": (0..40).map(|n| json!({"name": "a name", "value": n})).collect::<Vec<_>>()});
    let mut publisher = Client::open(server.address);
    assert_eq!(publisher.publish("news", data.clone()), Ok(()));

    let Frame { opcode, payload, .. } = plain.frame();
    assert_eq!(opcode, TEXT);
    let push: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(push["push"]["pub"]["data"], data);
    let [one, two] = wide.each_mut().map(Peer::frame);
    assert_eq!(one, two);
    assert_eq!(one.opcode, TEXT | RSV1);
    assert!(one.payload.len() * 3 < payload.len());
    assert_eq!(unpacked(&one.payload, 15), payload);
    let short = narrow.frame();
    assert_eq!(short.opcode, TEXT | RSV1);
    assert_eq!(unpacked(&short.payload, 9), payload);

    // A short message is sent uncompressed to all.
    assert_eq!(publisher.publish("news", json!("short")), Ok(()));
    let frame = plain.frame();
    assert_eq!(frame.opcode, TEXT);
    for peer in wide.iter_mut().chain([&mut narrow]) {
        assert_eq!(peer.frame(), frame);
    }
}

#[test]
fn long_replies_are_compressed_too() {
    let server = Server::start(&["--compression", "--compression-min-bytes", "100"]);
    let (mut peer, _) = open(server.address, centrifuge::PATH, "permessage-deflate");
    let unknown = json!({"id": 2, "rpc": {"method": "x"}}).to_string();
    let commands = json!({"id": 1, "connect": {}}).to_string();
    peer.send(TEXT | RSV1, packed(commands.as_bytes()));
    let reply = |frame: Frame| match frame.opcode {
        TEXT => frame.payload,
        _ => unpacked(&frame.payload, 15),
    };
    let hello: Value = serde_json::from_slice(&reply(peer.frame())).unwrap();
    assert!(hello["connect"]["client"].is_string());
    let pings: String = (2..50).map(|id| format!("{{\"id\":{id},\"ping\":{{}}}}\n")).collect();
    peer.send(TEXT, pings.clone());
    let frame = peer.frame();
    assert_eq!(frame.opcode, TEXT | RSV1);
    assert_eq!(reply(frame), pings.trim_end().as_bytes());
    peer.send(TEXT, unknown);
    assert_eq!(peer.frame().opcode, TEXT, "too short");
}
