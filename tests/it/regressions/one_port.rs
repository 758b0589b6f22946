//! Wrong keys by Unix sockets had no rate, and a redirect dropped the query, where client listeners serve the API.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::one_port::{KEY, PUBLISH, answer, ask, post, publish};
use crate::support::tls::Folder;
use crate::support::{Peer, Server};

/// A peer on a Unix socket has no address: all peers of one socket share a rate, those of another have their own, and
/// a backend on the same socket with its valid key is not slowed.
#[test]
fn wrong_keys_by_a_unix_socket_are_counted_by_listener() {
    const CONFIG: &str = "http_api = { key = \"secret\", external = true }\nclient = { insecure = true }\n";
    let folder = Folder::new();
    let paths = [folder.path("a.sock"), folder.path("b.sock")];
    let listens = paths.each_ref().map(|path| format!("unix:{path}"));
    let flags = ["--shards", "1", "--listen", listens[0].as_str(), "--listen", listens[1].as_str()];
    let server = Server::configured(CONFIG, &flags);
    let by = |at: usize| Peer::over(TcpStream::from(OwnedFd::from(UnixStream::connect(&paths[at]).unwrap())));
    let mut wrong: Vec<_> = (0..40).map(|_| by(0)).collect();
    for peer in &mut wrong {
        peer.send_bytes(publish("X-API-Key: wrong\r\n").as_bytes());
    }
    server.await_metric("throng_wrong_keys_total", 40);
    let mut backend = by(0);
    for _ in 0..100 {
        assert_eq!(ask(&mut backend, &publish(KEY)).status, 200);
    }
    let slowed = server.metric("throng_wrong_keys_slowed_total");
    assert!(slowed > 0, "ten per second are told so at once");
    assert_eq!(ask(&mut by(1), &publish("X-API-Key: wrong\r\n")).status, 401);
    assert_eq!(server.metric("throng_wrong_keys_slowed_total"), slowed, "the other socket has its own rate");
    // A proxy that names its client is not slowed for others.
    let told = publish("X-API-Key: wrong\r\nX-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(ask(&mut by(0), &told).status, 401);
    assert_eq!(server.metric("throng_wrong_keys_slowed_total"), slowed);
    for peer in &mut wrong {
        assert_eq!(answer(peer).status, 401, "in the end each is told");
    }
}

/// A path with slashes too many leads to the one that is meant, with all that follows it.
#[test]
fn a_redirect_keeps_the_query() {
    const CONFIG: &str = "http_api = { key = \"secret\", external = true }\nclient = { insecure = true }\n";
    let server = Server::configured(CONFIG, &[]);
    for address in [server.address, server.control] {
        for (target, lines, meant) in [
            ("//api//publish?api_key=secret&a=%20", "", "/api/publish?api_key=secret&a=%20"),
            ("//api/publish?", KEY, "/api/publish?"),
            ("/api//publish", KEY, "/api/publish"),
        ] {
            let response = ask(&mut Peer::connect(address), &post(target, lines, PUBLISH));
            assert_eq!((response.status, response.header("location")), (307, Some(meant)), "{target}");
        }
    }
}
