//! Limits of rooms: floods of them, of one socket and of one namespace; and rooms that are channels, whose permissions bind
//! what clients cause without an application.

use serde_json::json;

use super::Running;
use crate::support::centrifuge::Client as Centrifuge;
use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

/// A socket that could not enter a room must not believe that it did.
#[test]
fn one_room_too_many_ends_the_connection() {
    let running = Running::start(|config| config.limits.channels_per_connection_max = 3);
    let mut client = running.client(&["a"]);
    client.ask("join", &json!(["a"]));
    client.emit("join", &json!(["c"]));
    assert_eq!(client.peer.frame().close_code(), Some(3505));
    running.end();
}

/// All rooms of a namespace have one home, and count towards its channels.
#[test]
fn a_namespace_full_of_rooms_takes_no_more_and_keeps_those_that_it_has() {
    let running = Running::start(|config| {
        config.limits.channels_per_shard_max = 4;
        config.control = Some(([127, 0, 0, 1], 0).into());
    });
    // The namespace, the client's own room, and these.
    let mut client = running.client(&["a", "b"]);
    let connect = || {
        let mut peer = Peer::open(running.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, "40");
        peer.message();
        peer
    };
    let mut other = connect();
    other.send(TEXT, "42[\"join\",\"a\"]");
    other.send(TEXT, "42[\"say\",[\"a\"],[],1]");
    assert_eq!(other.message().1, b"42[\"said\",1]");
    assert_eq!(client.said(), 1);
    let mut one_too_many = connect();
    one_too_many.send(TEXT, "42[\"join\",\"c\"]");
    assert_eq!(one_too_many.frame().close_code(), Some(3505));
    let control = running.control.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {control}\r\nConnection: close\r\n\r\n");
    let metrics = Peer::request(control, request.as_bytes());
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("throng_limit_exceeded_total{limit=\"channels\"} 1"), "{metrics}");
    // A room that everyone has left makes place for another.
    client.ask("leave", &json!(["b"]));
    let mut third = connect();
    third.send(TEXT, "421[\"join\",\"c\"]");
    assert_eq!(third.message().1, b"431[]");
    client.has_nothing();
    running.end();
}

#[test]
fn clients_cause_nothing_in_a_channel_that_does_not_permit_it() {
    let server = Server::configured(
        r#"
[client]
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "between us"
[socketio]
enabled = true
insecure = true
[[channel.namespaces]]
name = "closed"
socketio = "/"
allow_subscribe_for_client = true
[[channel.namespaces]]
name = "silent"
socketio = "/"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[[channel.namespaces]]
name = "open"
socketio = "/"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_subscriber = true
allow_publish_for_anonymous = true
"#,
        &[],
    );
    let mut watcher = Centrifuge::subscribed(server.address, &["silent:a", "open:a"]);
    let connect = || {
        let mut peer = Peer::open(server.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, "40");
        peer.message();
        peer
    };
    let (mut peer, mut silent) = (connect(), connect());
    for room in ["closed:a", "open:a", "private"] {
        peer.send(TEXT, format!("421{}", json!(["join", room])));
        assert_eq!(peer.message().1, b"431[]");
    }
    // To the rooms that it is in: an anonymous client is not in the first.
    peer.send(TEXT, "42[\"message\",1]");
    assert_eq!(peer.message().1, b"42[\"message\",1]");
    assert_eq!(watcher.publication(), ("open:a".to_owned(), json!(1)));
    let refused = server.metric("throng_socketio_events_refused_total{reason=\"effect\"}");
    assert_eq!(refused, 1);
    // In, but without the permission to publish.
    silent.send(TEXT, "421[\"join\",\"silent:a\"]");
    assert_eq!(silent.message().1, b"431[]");
    silent.send(TEXT, "42[\"message\",2]");
    silent.send(TEXT, "421[\"leave\",\"silent:a\"]");
    assert_eq!(silent.message().1, b"431[]");
    watcher.sync();
    peer.send(TEXT, "42[\"message\",3]");
    assert_eq!(watcher.publication(), ("open:a".to_owned(), json!(3)));
}
