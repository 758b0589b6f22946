//! Messages of Engine.IO without Socket.IO, for the server's handler.

use throng::SocketIoOptions;

use super::polling::Http;
use super::{Running, conformance};
use crate::support::Peer;
use crate::support::peer::{BINARY, CLOSE, TEXT};

#[test]
fn messages_come_back_over_both_transports() {
    let running = Running::start(conformance::options());
    let mut peer = Peer::open(running.address, "/engine.io?EIO=4&transport=websocket");
    let (_, open) = peer.message();
    assert!(open.starts_with(b"0{\"sid\":\""), "{}", open.escape_ascii());
    for (opcode, message) in [(TEXT, &b"4hello"[..]), (BINARY, &[1, 2, 3, 4]), (TEXT, b"4"), (BINARY, b"")] {
        peer.send(opcode, message);
        assert_eq!(peer.message(), (opcode, message.to_vec()));
    }
    peer.send(TEXT, "1");
    assert_eq!(peer.frame().opcode, CLOSE);

    let mut http = Http::new(&running);
    let target = "/engine.io/?EIO=4&transport=polling";
    http.send_bytes("GET", target, "", b"");
    let (status, _, open) = http.answer_bytes();
    let open = String::from_utf8(open).unwrap();
    assert!(status == 200 && open.starts_with("0{"), "{open}");
    let target = format!("{target}&sid={}", open.split('"').nth(3).unwrap());
    let packets = b"4one\x1ebAQIDBA==\x1e4\x1eb";
    http.send_bytes("POST", &target, "", packets);
    assert_eq!(http.answer_bytes().2, b"ok");
    http.send_bytes("GET", &target, "", b"");
    assert_eq!(http.answer_bytes().2, packets);
    http.send_bytes("POST", &target, "", b"abc");
    assert_eq!(http.answer_bytes().0, 400);
    // The session has ended.
    http.send_bytes("GET", &target, "", b"");
    assert_eq!(http.answer_bytes().0, 400);
    running.end();
}

#[test]
fn silence_ends_a_session() {
    let running = Running::start(conformance::options());
    let mut peer = Peer::open(running.address, "/engine.io/?EIO=4&transport=websocket");
    peer.message();
    assert_eq!(peer.message(), (TEXT, b"2".to_vec()));
    assert_eq!(peer.frame().close_code(), Some(3012));
    running.end();
}

#[test]
fn the_first_page_knows_the_path() {
    let place = |socketio: SocketIoOptions| {
        let running = Running::start_with(socketio, |config| config.first_page = true);
        let answer = Http::new(&running).get("/");
        running.end();
        assert!(answer.body.trim_end().ends_with("</html>"), "{answer:?}");
        let at = answer.body.find("data-socketio=").expect("the page has a place for it");
        answer.body[at..].split('"').nth(1).unwrap().to_owned()
    };
    let at = |path: &str| SocketIoOptions { path: path.to_owned(), ..conformance::options() };
    assert_eq!(place(conformance::options()), "/socket.io/");
    assert_eq!(place(at("/chat")), "/chat/");
    assert_eq!(place(at("/a'b")), "", "a path that HTML or JavaScript would read as something else");
    assert_eq!(place(SocketIoOptions { enabled: false, ..conformance::options() }), "");
}
