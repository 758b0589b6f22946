//! Sockets that are away: publications of channels that are rooms, and orders.

use serde_json::{Value, json};
use throng::socketio::{Selector, SocketMessage};
use throng::{PublishOptions, Target};

use super::Running;
use super::channels::share;
use crate::support::peer::TEXT;
use crate::support::{Peer, until};

/// A client that can return.
struct Comer {
    peer: Peer,
    sid: String,
    pid: String,
}

impl Comer {
    fn new(running: &Running, auth: &Value) -> Self {
        let mut peer = Peer::open(running.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, format!("40{auth}"));
        let connected = peer.message().1;
        let connected: Value = serde_json::from_slice(connected.strip_prefix(b"40").unwrap()).unwrap();
        let [sid, pid] = ["sid", "pid"].map(|key| connected[key].as_str().unwrap().to_owned());
        Self { peer, sid, pid }
    }

    /// In these rooms.
    fn within(running: &Running, rooms: &[&str]) -> Self {
        let mut client = Self::new(running, &json!({}));
        client.peer.send(TEXT, format!("421{}", json!([&["join"], rooms].concat())));
        assert_eq!(client.peer.message().1, b"431[]");
        client
    }

    /// The argument of the next event, which has an offset.
    fn said(&mut self) -> Value {
        let message = self.peer.message().1;
        let mut event: Vec<Value> = serde_json::from_slice(message.strip_prefix(b"42").unwrap()).unwrap();
        assert_eq!((event.len(), &event[0]), (3, &json!("said")), "{event:?}");
        event.remove(1)
    }

    /// Cuts the connection, and waits until the home knows; returns the rest.
    fn cut(self, running: &Running) -> (String, Value) {
        let Self { peer, sid, pid } = self;
        drop(peer);
        let all = || running.node.fetch_sockets(&Selector::of("/")).unwrap().wait().unwrap();
        until("it is away", || all().iter().all(|facts| *facts.id != *sid).then_some(()));
        (sid, json!({"pid": pid}))
    }
}

fn start() -> Running {
    Running::start(|config| {
        share(config, "chat", |options| (options.history_size, options.history_ttl_ms) = (10, 60_000));
        config.socketio.recovery_ttl_ms = 60_000;
    })
}

/// Also where nobody is in the channel meanwhile: what is published once, or in its version, is recovered once.
#[test]
fn publications_with_keys_and_versions_are_recovered() {
    let running = start();
    let (sid, auth) = Comer::within(&running, &["chat:a"]).cut(&running);
    let publish = |n: u64, change: &dyn Fn(&mut PublishOptions)| {
        let mut options = PublishOptions::default();
        change(&mut options);
        running.node.publish("chat:a", n.to_string().into_bytes(), &options).wait().unwrap();
    };
    publish(1, &|_| {});
    for _ in 0..2 {
        publish(2, &|options| options.idempotency_key = Some("key".into()));
        publish(3, &|options| options.version = 7);
    }
    publish(4, &|_| {});
    let mut back = Comer::new(&running, &auth);
    assert_eq!(back.sid, sid, "it is recovered");
    assert_eq!([(); 4].map(|()| back.said()), [1, 2, 3, 4]);
    publish(5, &|_| {});
    assert_eq!(back.said(), 5);
    running.end();
}

#[test]
fn orders_are_for_sockets_that_are_away_as_well() {
    let running = Running::start(|config| {
        config.client.insecure = true;
        config.socketio.recovery_ttl_ms = 60_000;
    });
    let emit = |room: &str, n: u64| {
        let message = SocketMessage::new("said", &(n,), Vec::new()).unwrap();
        running.node.emit(&Selector::of("/").to(room), &message).unwrap().wait().unwrap();
    };
    let (sid, auth) = Comer::within(&running, &["a"]).cut(&running);
    let order = |count: u64| assert_eq!(count, 0, "it is no socket for others");
    order(running.node.sockets_join(&Selector::of("/").to("a"), &["b"]).unwrap().wait().unwrap());
    order(running.node.sockets_leave(&Selector::of("/").to(sid.as_str()), &["a"]).unwrap().wait().unwrap());
    let mut back = Comer::new(&running, &auth);
    assert_eq!(back.sid, sid, "it is recovered");
    emit("a", 1);
    emit("b", 2);
    assert_eq!(back.said(), 2);
    // Made to leave the namespace; then by its user, who is nobody.
    let (sid, auth) = back.cut(&running);
    order(running.node.disconnect_sockets(&Selector::of("/").to("b"), false).unwrap().wait().unwrap());
    let other = Comer::new(&running, &auth);
    assert_ne!(other.sid, sid);
    let (sid, auth) = other.cut(&running);
    let target = |client: &str| Target { client: client.to_owned(), ..Target::default() };
    let disconnect = |client: &str, code| {
        running.node.disconnect(target(client), code, "gone", Vec::new()).wait().unwrap();
    };
    // Another socket; and a code after which clients come back.
    disconnect("another", 3503);
    disconnect(&sid, 3000);
    let back = Comer::new(&running, &auth);
    assert_eq!(back.sid, sid, "it is recovered");
    let (_, auth) = back.cut(&running);
    disconnect(&sid, 3503);
    assert_ne!(Comer::new(&running, &auth).sid, sid);
    running.end();
}
