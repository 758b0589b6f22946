//! Metrics of Socket.IO: sessions by their transport, polls that wait, and refused requests.

use super::polling::{Http, POLLING, Polling};
use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

#[test]
fn sessions_are_counted_by_their_transport_and_refusals_by_their_reason() {
    let server = Server::start(&["--socketio"]);
    let sessions = |server: &Server, kind: &str| {
        server.metric_with("throng_transport_sessions", &format!("transport=\"{kind}\""))
    };
    let mut client = Polling::at(server.address);
    assert_eq!((sessions(&server, "socketio_polling"), sessions(&server, "socketio")), (1, 0));
    client.gets.send("GET", &client.target, "", "");
    server.await_metric("throng_polls_waiting", 1);

    // The session moves to a WebSocket.
    let mut peer = Peer::open(server.address, &client.target.replace("polling", "websocket"));
    peer.send(TEXT, "2probe");
    assert_eq!(peer.message(), (TEXT, b"3probe".to_vec()));
    assert_eq!(client.gets.answer().body, "6");
    peer.send(TEXT, "5");
    server.await_metric("throng_upgrades_total", 1);
    server.await_metric("throng_polls_waiting", 0);
    assert_eq!((sessions(&server, "socketio_polling"), sessions(&server, "socketio")), (0, 1));
    assert_eq!(client.posts.get(&client.target).status, 400);
    drop(peer);
    server.await_metric("throng_transport_sessions", 0);

    let refused = |server: &Server, reason: &str| {
        server.metric_with("throng_polls_refused_total", &format!("reason=\"{reason}\""))
    };
    assert_eq!(refused(&server, "bad_request"), 1, "the poll of a session on WebSocket");
    let mut http = Http::at(server.address);
    // A session of another server, as behind a load balancer that does not keep clients on theirs, and one that has ended.
    assert_eq!(http.get(&format!("{POLLING}&sid=another")).status, 400);
    assert_eq!(Http::at(server.address).get(&client.target).status, 400);
    assert_eq!(Http::at(server.address).get("/socket.io/?transport=polling").status, 400);
    assert_eq!(Http::at(server.address).get("/socket.io/?EIO=4&transport=pigeon").status, 400);
    assert_eq!((refused(&server, "unknown_session"), refused(&server, "unknown_transport")), (2, 1));
    assert_eq!(refused(&server, "unsupported_version"), 1);
}
