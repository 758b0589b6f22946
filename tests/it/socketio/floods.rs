//! Floods of packets and requests that are valid one by one: a limit, an answer, the metric that counts it, and a client
//! beside it that notices nothing.

use serde_json::json;

use super::malformed::{
    CONNECTS, EVENTS, Neighbour, RULES, WEBSOCKET, connected, counted, end, is_over, post, server,
};
use super::polling::Polling;
use super::text;
use crate::support::application::{Application, hook};
use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

#[test]
fn a_second_poll_ends_its_session_and_is_counted() {
    let server = server("");
    let mut neighbour = Neighbour::new(&server);
    for _ in 0..20 {
        let mut client = Polling::at(server.address);
        client.gets.send("GET", &client.target, "", "");
        server.await_metric("throng_polls_waiting", 1);
        assert_eq!(client.posts.get(&client.target).status, 400);
        assert_eq!(client.gets.answer().body, "1");
        is_over(&mut client);
    }
    assert_eq!(counted(&server, RULES, "second_poll"), 20);
    assert_eq!(server.metric("throng_polls_waiting"), 0);
    neighbour.notices_nothing();
}

/// The client's own end of a session: there is nothing to poll for any more.
#[test]
fn a_session_that_its_client_has_ended_is_unknown() {
    let server = server("");
    let mut client = Polling::at(server.address);
    assert_eq!(post(&mut client, "40").0, 200);
    client.packets(1);
    assert_eq!(post(&mut client, "1"), (200, "ok".to_owned()));
    is_over(&mut client);
    server.await_metric("throng_sessions", 0);
}

#[test]
fn floods_of_namespaces_and_of_answers_are_refused_and_counted() {
    let server = server("");
    let mut neighbour = Neighbour::new(&server);
    let mut peer = connected(&server);
    for number in 0..100 {
        peer.send(TEXT, format!("40/n{number},"));
    }
    let (mut opened, mut refused) = (0, 0);
    while opened + refused < 100 {
        let packet = text(&mut peer);
        opened += u32::from(packet.starts_with("40/n"));
        refused += u32::from(packet.contains(",{\"message\":\"too many namespaces on one connection\"}"));
    }
    assert_eq!((opened, refused, counted(&server, CONNECTS, "too_many")), (3, 97, 97));
    peer.send(TEXT, "41/n0,");
    peer.send(TEXT, format!("40/{},", "n".repeat(9000)));
    assert!(text(&mut peer).ends_with(",{\"message\":\"Invalid namespace\"}"));
    assert_eq!(counted(&server, CONNECTS, "long_name"), 1);
    for id in 0..1000 {
        peer.send(TEXT, format!("43{id}[]"));
    }
    peer.send(TEXT, "42[\"still here\"]");
    assert_eq!(text(&mut peer), "42[\"still here\"]");
    assert_eq!(counted(&server, EVENTS, "unknown_ack"), 1000);
    neighbour.notices_nothing();
}

/// Where the hook has not answered, no more wait than a connection may have.
#[test]
fn a_flood_of_connects_without_an_answer_is_bounded() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = json!(true);
        json!({
            "client": {"allow_anonymous_connect_without_token": true},
            "socketio": {"enabled": true, "insecure": true, "namespaces_max": 4, "proxy": {"connect": connect}},
        })
    });
    let mut peer = Peer::open(server.address, WEBSOCKET);
    text(&mut peer);
    for number in 0..50 {
        peer.send(TEXT, format!("40/n{number},"));
    }
    for number in 4..50 {
        let refusal = format!("44/n{number},{{\"message\":\"too many namespaces on one connection\"}}");
        assert_eq!(text(&mut peer), refusal);
    }
    assert_eq!(counted(&server, CONNECTS, "too_many"), 46);
    // Nor are more bytes kept.
    let mut peer = Peer::open(server.address, WEBSOCKET);
    text(&mut peer);
    for number in 0..4 {
        peer.send(TEXT, format!("40/n{number},{{\"a\":\"{}\"}}", "x".repeat(100_000)));
    }
    // What was asked before is answered first.
    for _ in 0..6 {
        application.answer("connect", json!({"result": {}}));
    }
    assert_eq!(end(&mut peer).0, 3013);
}

#[test]
fn a_flood_of_rooms_ends_its_connection_and_is_counted() {
    let server = Server::configured(
        "channels_per_connection_max = 10\n[client]\nallow_anonymous_connect_without_token = true\n\
         [socketio]\nenabled = true\ninsecure = true\n",
        &[],
    );
    let mut neighbour = Neighbour::new(&server);
    let mut peer = connected(&server);
    for room in 0..20 {
        peer.send(TEXT, format!("42[\"join\",\"{room}\"]"));
    }
    assert_eq!(end(&mut peer).0, 3505);
    // Later ones were on their way.
    assert!(server.metric("throng_limit_exceeded_total{limit=\"subscriptions\"}") >= 1);
    neighbour.notices_nothing();
}
