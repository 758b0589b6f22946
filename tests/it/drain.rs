//! The end of a server: clients are told, queued bytes are sent, and the exit code reports the result.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::one_port::{KEY, ask, post};
use crate::support::peer::{TEXT, upgrade};
use crate::support::{Client, Peer, Server, until};

/// Waits until the drain has begun.
fn draining(server: &Server) {
    until("the drain", || (server.ask("/ready").status == 503).then_some(()));
}

#[test]
fn everyone_is_told_to_come_back_and_it_ends_with_0() {
    let server = Server::start(&["--echo", "/echo", "--drain-ms", "200"]);
    let mut raw: Vec<_> = (0..10).map(|_| Peer::open(server.address, "/echo")).collect();
    let clients: Vec<_> = (0..10).map(|_| Client::subscribed(server.address, &["a"])).collect();
    let mut half = Peer::connect(server.address);
    half.send_bytes(&upgrade("/echo", "").as_bytes()[..30]);
    server.await_metric("throng_connections", 21);
    server.signal("TERM");
    raw.iter_mut().for_each(|peer| peer.expect_close(1012));
    clients.into_iter().for_each(|client| drop(client.expect_close(3001)));
    let refused = half.response();
    assert_eq!((refused.status, &refused.body[..]), (503, &b"the server is shutting down; try later\n"[..]));
    // The client's own ends are closed here: nothing is left to wait for.
    drop((raw, half));
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drained"), "{said}");
}

#[test]
fn an_interrupt_is_the_same_and_an_idle_server_ends_at_once() {
    let server = Server::start(&["--drain-ms", "60000"]);
    let began = Instant::now();
    server.signal("INT");
    assert_eq!(server.end().0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// The drain took the whole of `drain_ms`, and then of `linger_ms`, for one silent client.
#[test]
fn who_waits_for_one_silent_client_waits_a_moment() {
    let patient = ["--drain-ms", "60000", "--linger-ms", "60000"];
    let development: [&[&str]; 3] = [&[], &["--shards", "4"], &["--linger-ms", "60000"]];
    let flags = development.map(|flags| (flags, 3)).into_iter().chain([(&patient[..], 1)]);
    for (flags, count) in flags {
        let server = Server::start(&[&["--echo", "/echo", "--ping-interval-ms", "0"], flags].concat());
        let idle: Vec<_> = (0..count).map(|_| Peer::open(server.address, "/echo")).collect();
        let began = Instant::now();
        server.signal("TERM");
        let (code, said) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(began.elapsed() < Duration::from_secs(5), "{flags:?}: {:?}", began.elapsed());
        for mut peer in idle {
            peer.expect_close(1012);
        }
    }
}

#[test]
fn closes_are_spread_over_the_time_that_was_given() {
    let server = Server::start(&["--echo", "/echo", "--drain-ms", "1000", "--shards", "1"]);
    let peers: Vec<_> = (0..20).map(|_| Peer::open(server.address, "/echo")).collect();
    server.signal("TERM");
    draining(&server);
    let began = Instant::now();
    let times: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            peer.expect_close(1012);
            began.elapsed()
        })
        .collect();
    assert!(times[19] - times[0] > Duration::from_millis(500), "{times:?}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn during_a_drain_nobody_is_let_in_and_those_inside_are_served() {
    let server = Server::start(&["--drain-ms", "1500", "--echo", "/echo"]);
    // So many that the drain takes its whole time.
    let mut peers: Vec<_> = (0..80).map(|_| Peer::open(server.address, "/echo")).collect();
    let mut late = Peer::connect(server.address);
    server.await_metric("throng_connections", 81);
    server.signal("TERM");
    draining(&server);
    // Each shard learns of the drain at its own time.
    until("it listens no more", || TcpStream::connect(server.address).is_err().then_some(()));
    late.send_bytes(upgrade("/echo", "").as_bytes());
    let refused = late.response();
    assert_eq!((refused.status, &refused.body[..]), (503, &b"the server is shutting down; try later\n"[..]));
    let mut echoed = 0;
    for peer in &mut peers {
        peer.send(TEXT, "served");
        echoed += usize::from(peer.frame().opcode == TEXT);
    }
    assert!(echoed > 0, "all were closed at once");
    drop((peers, late));
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn what_is_queued_is_sent_before_the_end() {
    let server = Server::start(&[
        "--shards",
        "1",
        "--drain-ms",
        "0",
        "--outbox-bytes-max",
        "64MiB",
        "--linger-ms",
        "10000",
    ]);
    let subscriber = Client::subscribed(server.address, &["burst"]);
    let mut publisher = Client::open(server.address);
    let (text, mut count) = ("x".repeat(50_000), 0);
    // More than the kernel takes for a client that does not read.
    while server.metric("throng_outbox_bytes") < 1 << 20 {
        publisher.publish("burst", json!(text)).unwrap();
        count += 1;
        assert!(count < 1000, "where do the bytes go?");
    }
    server.signal("TERM");
    let lines = subscriber.expect_close(3001);
    assert_eq!(lines.len(), count);
    publisher.expect_close(3001);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once_with_1() {
    let server = Server::start(&["--echo", "/echo", "--drain-ms", "60000"]);
    let _peers: Vec<_> = (0..5).map(|_| Peer::open(server.address, "/echo")).collect();
    server.signal("TERM");
    draining(&server);
    let began = Instant::now();
    server.signal("TERM");
    let (code, said) = server.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn readiness_ends_first_and_until_then_everyone_is_let_in() {
    let server = Server::start(&["--echo", "/echo", "--drain-delay-ms", "3000", "--drain-ms", "0"]);
    let mut early = Peer::open(server.address, "/echo");
    server.signal("TERM");
    draining(&server);
    let mut late = Peer::open(server.address, "/echo");
    for peer in [&mut early, &mut late] {
        peer.send(TEXT, "served");
        assert_eq!(peer.message(), (TEXT, b"served".to_vec()));
    }
    early.expect_close(1012);
    late.expect_close(1012);
    drop((early, late));
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("begins after a delay"), "{said}");
}

#[test]
fn everyone_is_told_when_to_come_back() {
    let server = Server::start(&["--echo", "/echo", "--drain-ms", "0", "--retry-after-ms", "60000"]);
    let mut raw: Vec<_> = (0..8).map(|_| Peer::open(server.address, "/echo")).collect();
    let mut streams: Vec<_> = (0..8).map(|_| Peer::connect(server.address)).collect();
    for stream in &mut streams {
        stream.send_bytes(b"GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(stream.response_head().status, 200);
    }
    server.await_metric("throng_sessions", 16);
    server.signal("TERM");
    let in_frames = raw.iter_mut().map(|peer| {
        let frame = peer.frame();
        assert_eq!(frame.close_code(), Some(1012));
        let text = String::from_utf8(frame.payload[2..].to_vec()).unwrap();
        text.strip_prefix("service restart; retry after ")
            .unwrap()
            .strip_suffix(" ms")
            .unwrap()
            .parse()
            .unwrap()
    });
    let in_events = streams.iter_mut().map(|stream| {
        let text = String::from_utf8(stream.rest()).unwrap();
        let (_, said) = text.split_once("retry: ").unwrap_or_else(|| panic!("{text}"));
        assert!(said.contains("\"disconnect\":{\"code\":3001"), "{said}");
        said.split('\n').next().unwrap().parse().unwrap()
    });
    let waits: Vec<u64> = in_frames.chain(in_events).collect();
    assert!(waits.iter().all(|wait| (1..=60_000).contains(wait)), "{waits:?}");
    let spread = waits.iter().max().unwrap() - waits.iter().min().unwrap();
    assert!(spread > 10_000, "each has a time of its own: {waits:?}");
    drop((raw, streams));
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_drain_says_how_far_it_is_once_a_second_for_all_shards() {
    let server = Server::start(&["--echo", "/echo", "--drain-ms", "2500", "--shards", "4"]);
    let began = Instant::now();
    // So many that the drain takes its whole time.
    let peers: Vec<_> = (0..240).map(|_| Peer::open(server.address, "/echo")).collect();
    server.signal("TERM");
    until("some are closed, some are not", || {
        let closed = server.metric("throng_drain_closes_total");
        (closed > 0 && server.metric("throng_drain_left") == 240 - closed).then_some(())
    });
    for mut peer in peers {
        peer.expect_close(1012);
    }
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    let lines = said.lines().filter(|line| line.contains("to_close=")).count() as u64;
    assert!((1..=began.elapsed().as_secs() + 1).contains(&lines), "{said}");
}

/// Of two clients in one shard the second was closed after half of `drain_ms`, and each idle connection of the server
/// API took its part of that time, too.
#[test]
fn a_few_clients_and_kept_connections_of_the_server_api_do_not_delay_the_end() {
    const CONFIG: &str = "http_api = { key = \"secret\", external = true }\nclient = { insecure = true }\n";
    let patient = ["--drain-ms", "120000", "--linger-ms", "120000"];
    let server = Server::configured(CONFIG, &patient);
    let clients: Vec<_> = (0..5).map(|_| Client::open(server.address)).collect();
    let kept: Vec<_> = [server.address, server.control]
        .into_iter()
        .flat_map(|address| [address; 5])
        .map(|address| {
            let mut peer = Peer::connect(address);
            assert_eq!(ask(&mut peer, &post("/api/info", KEY, "{}")).status, 200);
            peer
        })
        .collect();
    let began = Instant::now();
    server.signal("TERM");
    // Their own ends stay open.
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    for client in clients {
        client.expect_close(3001);
    }
    for mut peer in kept {
        peer.expect_end();
    }
}
