//! Rooms of Socket.IO that are channels, and clients that return: what was published meanwhile, by whomever, comes once and
//! in order, among the other events of the socket.

use std::net::Shutdown;

use serde_json::{Value, json};

use crate::support::centrifuge::Client as Centrifuge;
use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

const OPTIONS: &str = r#"
[client]
allow_anonymous_connect_without_token = true
[socketio]
enabled = true
insecure = true
recovery_ttl = "1m"
[[channel.namespaces]]
name = "chat"
socketio = "/"
history_size = 100
history_ttl = "1m"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_subscriber = true
allow_publish_for_anonymous = true
"#;

struct Socket {
    peer: Peer,
    pid: String,
    offset: Option<String>,
}

impl Socket {
    /// A socket that has returned, if there is something to return to.
    fn connect(server: &Server, auth: &str) -> Self {
        let mut peer = Peer::open(server.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, format!("40{auth}"));
        let answer = String::from_utf8(peer.message().1).unwrap();
        let answer: Value = serde_json::from_str(answer.strip_prefix("40").unwrap()).unwrap();
        Self { peer, pid: answer["pid"].as_str().unwrap().to_owned(), offset: None }
    }

    fn ask(&mut self, event: &Value) {
        self.peer.send(TEXT, format!("421{event}"));
        assert_eq!(self.peer.message().1, b"431[]");
    }

    fn send(&mut self, event: &Value) {
        self.peer.send(TEXT, format!("42{event}"));
    }

    /// The next event, without its offset.
    fn event(&mut self) -> Value {
        let text = String::from_utf8(self.peer.message().1).unwrap();
        let mut event: Vec<Value> = serde_json::from_str(text.strip_prefix("42").unwrap_or(&text)).unwrap();
        let Some(Value::String(offset)) = event.pop() else { panic!("no offset: {text}") };
        self.offset = Some(offset);
        Value::from(event)
    }

    fn back(&self, server: &Server) -> Self {
        let auth = match &self.offset {
            Some(offset) => json!({"pid": self.pid, "offset": offset}),
            None => json!({"pid": self.pid}),
        };
        let back = Self::connect(server, &auth.to_string());
        assert_eq!(back.pid, self.pid, "recovered");
        back
    }
}

#[test]
fn what_is_published_while_a_client_is_away_comes_once_and_in_order() {
    let server = Server::configured(OPTIONS, &[]);
    let mut publisher = Centrifuge::subscribed(server.address, &["chat:a"]);
    let mut other = Socket::connect(&server, "");
    other.ask(&json!(["join", "chat:a"]));
    for round in 0..8 {
        let mut socket = Socket::connect(&server, "");
        socket.ask(&json!(["join", "chat:a"]));
        // In every second round it has got no event before it is cut.
        if round % 2 == 0 {
            publisher.publish("chat:a", json!(["before", round])).unwrap();
            assert_eq!(socket.event(), json!(["message", ["before", round]]));
            assert_eq!(other.event(), json!(["message", ["before", round]]));
        }
        // In every fourth the server does not know of the cut when the client is back.
        if round % 4 < 2 {
            socket.peer.stream.shutdown(Shutdown::Both).unwrap();
            server.await_metric("throng_socketio_sockets_away", 1);
        }
        for part in 0..5 {
            publisher.publish("chat:a", json!({"part": part})).unwrap();
            // An event of a socket, which is a publication as well; its place is between any of the others.
            other.send(&json!(["said", round, part]));
        }
        // The order is the same for all.
        let expected: Vec<Value> = (0..10).map(|_| other.event()).collect();
        for part in 0..5 {
            let both = [json!(["message", {"part": part}]), json!(["said", round, part])];
            assert!(both.iter().all(|event| expected.contains(event)), "{expected:?}");
        }
        let mut back = socket.back(&server);
        for event in &expected {
            assert_eq!(back.event(), *event, "round {round}");
        }
        // Nothing comes twice, and what is new comes behind.
        publisher.publish("chat:a", json!("after")).unwrap();
        assert_eq!(back.event(), json!(["message", "after"]), "round {round}");
        assert_eq!(other.event(), json!(["message", "after"]), "round {round}");
        back.peer.send(TEXT, "41");
        drop(back);
        server.await_metric("throng_socketio_sockets_away", 0);
    }
    assert_eq!(server.metric_with("throng_socketio_recoveries_total", "result=\"recovered\""), 8);
}
