//! Exhausted descriptors: no client is lost, no shard spins, and there is room again when a client leaves.

use std::thread;
use std::time::Duration;

use crate::support::peer::{TEXT, upgrade};
use crate::support::{Peer, Server, until};

/// Opens connections until one is not answered; that one waits at the listener.
fn fill(server: &Server) -> (Vec<Peer>, Peer) {
    let mut held = Vec::new();
    loop {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(upgrade("/echo", "").as_bytes());
        if peer.is_silent_for(Duration::from_millis(300)) {
            return (held, peer);
        }
        assert_eq!(peer.response_head().status, 101);
        held.push(peer);
        assert!(held.len() < 200, "the limit does not hold");
    }
}

fn the_full_house(server: &Server) {
    let (mut held, mut waiting) = fill(server);
    assert!(held.len() > 3, "only {} were let in", held.len());
    // The few turns are scrapes of the control listener.
    let before = server.metric("throng_turns_total");
    thread::sleep(Duration::from_secs(1));
    let turns = server.metric("throng_turns_total") - before;
    assert!(turns < 100, "{turns} turns in a second without anything to do");
    assert!(server.metric("throng_accept_pauses_total") > 0);
    for peer in &mut held {
        peer.send(TEXT, "alive");
        assert_eq!(peer.message(), (TEXT, b"alive".to_vec()));
    }
    assert!(waiting.is_silent_for(Duration::from_millis(50)));
    held.pop().unwrap().send_close(1000);
    assert_eq!(waiting.response_head().status, 101);
    waiting.send(TEXT, "in");
    assert_eq!(waiting.message(), (TEXT, b"in".to_vec()));
    let count = held.len() as u64 + 1;
    assert_eq!(server.metric("throng_connections"), count);
    // All leave at once: there is room for as many as before.
    drop((held, waiting));
    server.await_metric("throng_connections", 0);
    let (again, _waiting) = fill(server);
    assert_eq!(again.len() as u64, count);
}

#[test]
fn at_its_capacity_a_shard_leaves_the_rest_at_the_door() {
    let server = Server::start_with_descriptors(90, 0, &["--echo", "/echo"]);
    assert!(server.said.last().unwrap().contains("capacity 18 connections"), "{:?}", server.said);
    the_full_house(&server);
}

#[test]
fn when_the_kernel_has_no_more_descriptors_it_pauses() {
    // The table is nearly full of unknown descriptors, so the server's own count of capacity is wrong.
    for private in ["true", "false"] {
        let server = Server::start_with_descriptors(
            160,
            120,
            &["--echo=/echo", &format!("--private-descriptors={private}")],
        );
        assert!(server.said.last().unwrap().contains("capacity 88 connections"), "{:?}", server.said);
        let count = until("descriptors of the process", || {
            std::fs::read_dir(format!("/proc/{}/fd", server.pid())).ok().map(Iterator::count)
        });
        assert!(count > 120, "{count} descriptors are open");
        if private == "true" {
            the_full_house(&server);
        } else {
            // Then the control listener lives on the same table, and cannot be asked while it is full.
            let (mut held, mut waiting) = fill(&server);
            assert!(held.len() > 3 && held.len() < 40, "{} were let in", held.len());
            for peer in &mut held {
                peer.send(TEXT, "alive");
                assert_eq!(peer.message(), (TEXT, b"alive".to_vec()));
            }
            drop(held);
            assert_eq!(waiting.response_head().status, 101);
            server.await_metric("throng_connections", 1);
        }
    }
}
