//! Admission of connections, and the answers to refused ones. The protection of connected clients from a crowd is
//! tested turn by turn in `tests/sim/storm.rs`; this file tests that the answers reach real clients.

use std::net::Ipv4Addr;
use std::time::Instant;

use crate::support::peer::{Response, TEXT, upgrade};
use crate::support::{Peer, Server};

fn refused(server: &Server, reason: &str) -> u64 {
    server.metric_with("throng_refused_total", &format!("reason=\"{reason}\""))
}

/// Panics unless it is a refusal for want of room with a time to come back.
fn expect_refusal(response: &Response) {
    let wait = response.header("retry-after").and_then(|seconds| seconds.parse().ok());
    assert!(response.status == 503 && wait.is_some_and(|wait: u64| (1..=10).contains(&wait)), "{response:?}");
}

#[test]
fn beyond_the_bound_of_half_open_ones_others_are_refused_unheard() {
    let server = Server::start(&["--echo", "/echo", "--half-open-max", "2", "--shards", "1"]);
    let mut first = Peer::connect(server.address);
    let _second = Peer::connect(server.address);
    server.await_metric("throng_half_open", 2);
    // It has sent nothing, and gets an answer all the same.
    expect_refusal(&Peer::connect(server.address).response());
    assert_eq!(refused(&server, "half_open"), 1);
    first.send_bytes(upgrade("/echo", "").as_bytes());
    assert_eq!(first.response_head().status, 101);
    Peer::open(server.address, "/echo");
    server.await_metric("throng_refused_lingering", 0);
}

/// A refusal that was followed by a reset could get lost on the way.
#[test]
fn who_is_refused_unheard_can_read_why_whatever_it_sends_meanwhile() {
    let server = Server::start(&["--echo", "/echo", "--half-open-max", "1", "--shards", "1"]);
    let _silent = Peer::connect(server.address);
    server.await_metric("throng_half_open", 1);
    for _ in 0..50 {
        let mut peer = Peer::connect(server.address);
        for part in upgrade("/echo", "").as_bytes().chunks(40) {
            peer.send_bytes(part);
        }
        expect_refusal(&peer.response());
    }
    assert_eq!(refused(&server, "half_open"), 50);
    // All of them have gone, without waiting for the end of the linger.
    server.await_metric("throng_connections", 1);
}

/// Connects again and again; the number of admitted connections must match a rate of `per_s` over the elapsed time.
fn crowd(per_s: u32, from: &dyn Fn() -> Peer) -> usize {
    let began = Instant::now();
    let mut refused = 0;
    let mut let_in = 0;
    for _ in 0..60 {
        let mut peer = from();
        peer.send_bytes(upgrade("/echo", "").as_bytes());
        let response = peer.response_head();
        if response.status == 101 {
            let_in += 1;
        } else {
            expect_refusal(&response);
            refused += 1;
        }
    }
    let allowed = u128::from(per_s) * (1 + began.elapsed().as_millis().div_ceil(1000));
    assert!(let_in >= 1 && let_in <= allowed, "{let_in} of {allowed}");
    refused
}

#[test]
fn a_rate_of_all_accepts_holds_for_the_process() {
    let server = Server::start(&["--echo", "/echo", "--accepts-per-second-max", "2", "--shards", "1"]);
    let count = crowd(2, &|| Peer::connect(server.address));
    assert!(count > 0);
    assert_eq!(refused(&server, "node_rate"), count as u64);
}

#[test]
fn addresses_and_their_networks_have_rates_of_their_own() {
    let from = |host: [u8; 4], server: &Server| Peer::connect_from(Ipv4Addr::from(host), server.address);
    let server = Server::start(&["--echo", "/echo", "--accepts-per-ip-max", "2", "--shards", "1"]);
    let count = crowd(2, &|| from([127, 0, 0, 1], &server));
    assert!(count > 0);
    assert_eq!(refused(&server, "ip_rate"), count as u64);
    let mut other = from([127, 0, 0, 2], &server);
    other.send_bytes(upgrade("/echo", "").as_bytes());
    assert_eq!(other.response_head().status, 101, "another address is not meant");

    let server = Server::start(&["--echo", "/echo", "--accepts-per-network-max", "2", "--shards", "1"]);
    let host = std::cell::Cell::new(0);
    let neighbours = || {
        host.set(host.get() + 1);
        from([127, 0, 7, host.get()], &server)
    };
    let count = crowd(2, &neighbours);
    assert!(count > 0);
    assert_eq!(refused(&server, "network_rate"), count as u64);
    let mut other = from([127, 0, 8, 1], &server);
    other.send_bytes(upgrade("/echo", "").as_bytes());
    assert_eq!(other.response_head().status, 101, "another network is not meant");
}

#[test]
fn with_a_budget_of_one_everyone_comes_in_all_the_same() {
    let budgets = ["--handshakes-per-turn-max", "1", "--accepts-per-turn-max", "1"];
    let server = Server::start(&[&["--echo", "/echo", "--shards", "1"], &budgets[..]].concat());
    let mut crowd: Vec<Peer> = (0..100).map(|_| Peer::connect(server.address)).collect();
    for peer in &mut crowd {
        peer.send_bytes(upgrade("/echo", "").as_bytes());
    }
    for peer in &mut crowd {
        assert_eq!(peer.response_head().status, 101);
        peer.send(TEXT, "in");
    }
    for peer in &mut crowd {
        assert_eq!(peer.message(), (TEXT, b"in".to_vec()));
    }
    assert_eq!(server.metric("throng_half_open"), 0);
}
