//! Forwarded requests of misbehaving clients: too many at a time, halves, too large ones, bytes of another request
//! behind one, and clients that leave before the answer. Their places, counts and bytes are freed.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::Peer;
use crate::support::backend::{Running, options};
use crate::support::peer::Response;
use crate::support::server::until;

const KEY: &str = "X-API-Key: secret\r\n";
/// Limit of queued bytes of the whole process: few of the large bodies here.
const QUEUED_BYTES_MAX: usize = 4 << 20;
/// A large body, below the limit of the API's.
const LARGE: usize = 400_000;

fn post(method: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /api/{method} HTTP/1.1\r\nHost: localhost\r\n{KEY}{lines}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn wait() -> String {
    post("rpc", "", r#"{"method":"wait"}"#)
}

fn publish() -> String {
    post("publish", "", r#"{"channel":"a","data":1}"#)
}

fn answer(peer: &mut Peer) -> Response {
    let mut response = peer.response_head();
    let length = response.header("content-length").unwrap().parse().unwrap();
    response.body = peer.bytes(length);
    response
}

fn ask(peer: &mut Peer, request: &str) -> Response {
    peer.send_bytes(request.as_bytes());
    answer(peer)
}

fn metric(server: &Running, name: &str) -> u64 {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let text = String::from_utf8(Peer::request(server.control, request.as_bytes()).body).unwrap();
    let samples =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn await_metric(server: &Running, name: &str, wanted: u64) {
    until(&format!("{name} is {wanted}"), || (metric(server, name) == wanted).then_some(()));
}

/// One shard, few places, and little that may be queued.
fn small() -> Running {
    let mut api = options();
    api.requests_max = 2;
    Running::configured(api, |config| {
        config.shards = 1;
        config.limits.queued_bytes_max = QUEUED_BYTES_MAX;
        config.limits.outbox_bytes_max = 1 << 20;
    })
}

/// Nothing is left of former clients, and new ones are served.
fn expect_nothing_left(server: &Running) {
    await_metric(server, "throng_connections", 0);
    for gauge in
        ["throng_forwarding", "throng_forwarded_in_progress", "throng_half_open", "throng_outbox_bytes"]
    {
        assert_eq!(metric(server, gauge), 0, "{gauge}");
    }
    let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
    for peer in &mut peers {
        assert_eq!(ask(peer, &publish()).status, 200);
    }
    drop(peers);
    await_metric(server, "throng_connections", 0);
}

#[test]
fn beyond_requests_max_there_is_a_503_and_the_connection_goes_on() {
    let server = small();
    let mut busy = [Peer::connect(server.address), Peer::connect(server.address)];
    for peer in &mut busy {
        peer.send_bytes(wait().as_bytes());
    }
    await_metric(&server, "throng_forwarded_in_progress", 2);
    let mut late = Peer::connect(server.address);
    for refused in 1..=3 {
        let response = ask(&mut late, &publish());
        assert_eq!(response.status, 503, "{response:?}");
        let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=10).contains(&seconds), "{seconds}");
        assert_eq!(metric(&server, "throng_forwarded_busy_total"), refused);
    }
    // The control listener has seats of its own, and so have requests that need no key.
    assert_eq!(
        Peer::request(server.control, post("info", "Connection: close\r\n", "{}").as_bytes()).status,
        200
    );
    assert_eq!(metric(&server, "throng_forwarded_in_progress"), 2);
    server.gate.add_permits(2);
    for peer in &mut busy {
        assert_eq!(answer(peer).body, br#"{"result":{"data":1}}"#);
    }
    assert_eq!(ask(&mut late, &publish()).status, 200, "there is room again");
    drop((busy, late));
    expect_nothing_left(&server);
    server.end();
}

/// More of them than there are places, again and again, each with a large body.
#[test]
fn who_leaves_before_the_answer_leaves_nothing() {
    let server = small();
    for _ in 0..3 * QUEUED_BYTES_MAX / LARGE {
        let body = json!({"method": "wait", "params": "x".repeat(LARGE)}).to_string();
        let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
        for peer in &mut peers {
            peer.send_bytes(post("rpc", "", &body).as_bytes());
        }
        await_metric(&server, "throng_forwarded_in_progress", 2);
        // Behind it, the beginning of another request.
        peers[0].send_bytes(&publish().as_bytes()[..40]);
        drop(peers);
        assert_eq!(metric(&server, "throng_forwarded_in_progress"), 2, "the work goes on");
        server.gate.add_permits(2);
        await_metric(&server, "throng_forwarded_in_progress", 0);
        await_metric(&server, "throng_connections", 0);
    }
    assert_eq!(
        metric(&server, "throng_forwarded_busy_total"),
        0,
        "each found a place, and room for its body"
    );
    expect_nothing_left(&server);
    server.end();
}

/// When a drain begins, a request under way is answered, as the last of its connection.
#[test]
fn what_is_under_way_when_a_drain_begins_is_answered_and_then_the_connection_ends() {
    let server = small();
    let (address, gate) = (server.address, Arc::clone(&server.gate));
    let mut peers: Vec<_> = (0..2).map(|_| Peer::connect(address)).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, &publish()).status, 200);
        peer.send_bytes(wait().as_bytes());
    }
    await_metric(&server, "throng_forwarded_in_progress", 2);
    let ending = thread::spawn(move || server.end());
    until("it listens no more", || TcpStream::connect(address).is_err().then_some(()));
    gate.add_permits(2);
    for mut peer in peers {
        let response = answer(&mut peer);
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        peer.expect_end();
    }
    ending.join().unwrap();
}

/// Ten times as much as may be queued, in halves.
#[test]
fn halves_of_requests_leave_nothing() {
    let server = small();
    let whole = post("publish", "", &json!({"channel": "a", "data": "x".repeat(LARGE)}).to_string());
    let chunked = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n{LARGE:x}\r\n{}",
        "x".repeat(LARGE / 2)
    );
    let again = [publish(), whole[..LARGE / 2].to_owned()].concat();
    for round in 0..10 * QUEUED_BYTES_MAX / LARGE {
        let half = [&whole[..LARGE / 2], &chunked, &whole[..60], &again][round % 4];
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(half.as_bytes());
        if round % 4 == 3 {
            assert_eq!(answer(&mut peer).status, 200, "what came whole is answered");
        }
        // Not before it has arrived.
        assert!(peer.is_silent_for(Duration::from_millis(5)));
    }
    assert_eq!(metric(&server, "throng_forwarded_busy_total"), 0);
    expect_nothing_left(&server);
    server.end();
}

#[test]
fn what_is_beyond_the_limit_is_refused_and_leaves_nothing() {
    let server = small();
    let limit = options().body_bytes_max;
    for _ in 0..2 * QUEUED_BYTES_MAX / limit {
        let announced = format!(
            "POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{KEY}Content-Length: {}\r\n\r\n",
            limit + 1
        );
        assert_eq!(Peer::request(server.address, announced.as_bytes()).status, 413);
        // A chunked body has no declared length.
        let head = format!(
            "POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n"
        );
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(head.as_bytes());
        (0..=limit / 0x10000).for_each(|_| peer.send_bytes(chunk.as_bytes()));
        let response = peer.response_head();
        assert_eq!(response.status, 413, "{response:?}");
    }
    expect_nothing_left(&server);
    server.end();
}
