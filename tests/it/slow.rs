//! Slow consumers and the budget of queued bytes: a client that does not read is closed, without an effect on others.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, TEXT};
use crate::support::tls::fixtures::Authority;
use crate::support::tls::{Folder, Socket, trusting};
use crate::support::{Client, Frame, Peer, Server, until};

/// Size of publications, in bytes: a few hundred fill the kernel's buffers of a client that does not read.
const BYTES: usize = 20_000;
const PUBLICATIONS_MAX: usize = 2000;

/// Publishes to these channels in turn until `metric` is no longer 0, while `readers` of the first one read along.
fn publish_until(server: &Server, metric: &str, channels: &[&str], readers: &mut [Client]) {
    let mut publisher = Client::open(server.address);
    let text = "x".repeat(BYTES);
    for n in 0..PUBLICATIONS_MAX {
        for channel in channels {
            publisher.publish(channel, json!([n, text])).unwrap();
        }
        for reader in &mut *readers {
            assert_eq!(reader.publication().1[0], n);
        }
        if n % 4 == 0 && server.metric(metric) > 0 {
            return;
        }
    }
    panic!("{metric} stays 0");
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["push"]["pub"]["data"][0].as_u64().unwrap()).collect()
}

#[test]
fn a_slow_consumer_is_told_so_when_it_reads_again_and_its_memory_is_returned() {
    let server = Server::start(&["--outbox-bytes-max", "256KiB"]);
    let slow = Client::subscribed(server.address, &["crowd"]);
    let mut others: Vec<_> = (0..3).map(|_| Client::subscribed(server.address, &["crowd"])).collect();
    publish_until(&server, "throng_slow_consumers_total", &["crowd"], &mut others);
    // Queued bytes are dropped at once, except for the rest of a partly sent frame.
    assert!(server.metric("throng_outbox_bytes") < 2 * BYTES as u64);
    assert_eq!(server.metric("throng_subscriptions"), 3);
    let seen = numbers(&slow.expect_close(3008));
    assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>(), "a gap before the end");
    server.await_metric("throng_outbox_bytes", 0);
    server.await_metric("throng_outboxes", 0);
    server.await_metric("throng_connections", 3);
    for client in &mut others {
        client.sync();
    }
    assert_eq!(server.metric("throng_slow_consumers_total"), 1);
}

#[test]
fn who_does_not_read_over_tls_holds_a_batch_of_its_own_and_shares_the_rest() {
    const MESSAGE: usize = 900_000;
    const COUNT: u64 = 20;
    let (folder, ca) = (Folder::new(), Authority::new());
    let pair = folder.pair("one", &ca.issue(&["one.test"]));
    let more = ["--message-bytes-max", "1MiB", "--outbox-bytes-max", "64MiB", "--ping-interval-ms", "60000"];
    let flags: Vec<_> = more.into_iter().chain(pair.iter().map(String::as_str)).collect();
    let server = Server::start(&flags);
    let open = || Socket::open(&trusting(&ca, None), server.address, "one.test", PATH).unwrap();
    let _readers: Vec<_> = (0..COUNT)
        .map(|_| {
            let mut reader = open();
            assert!(reader.ask(r#"{"id":1,"connect":{}}"#).contains("connect"));
            assert!(reader.ask(r#"{"id":2,"subscribe":{"channel":"crowd"}}"#).contains("subscribe"));
            reader
        })
        .collect();
    let mut publisher = open();
    publisher.ask(r#"{"id":1,"connect":{}}"#);
    let text = "x".repeat(MESSAGE);
    let mut publish = |id: usize| {
        let command = format!(r#"{{"id":{id},"publish":{{"channel":"crowd","data":"{text}"}}}}"#);
        assert!(publisher.ask(&command).contains("publish"));
    };
    let mut id = 2;
    while server.metric("throng_outboxes") < COUNT {
        publish(id);
        id += 1;
        assert!(id < 100, "they take everything");
    }
    let published = (id - 2) as u64;
    let memory: Value = serde_json::from_slice(&server.ask("/debug/memory").body).unwrap();
    let queued = memory["kinds"]["queued"].as_u64().unwrap();
    // One copy of each publication for all of them, and a batch for each.
    assert!(queued <= published * (MESSAGE as u64 + 1000) + COUNT * (33 << 10), "{queued}, {published}");
    assert!(queued > MESSAGE as u64 / 2, "{queued}");
}

#[test]
fn one_that_never_reads_again_is_gone_after_the_linger() {
    let server = Server::start(&["--outbox-bytes-max", "64KiB", "--linger-ms", "300"]);
    let _slow = Client::subscribed(server.address, &["crowd"]);
    publish_until(&server, "throng_slow_consumers_total", &["crowd"], &mut []);
    server.await_metric("throng_connections", 0);
    server.await_metric("throng_outbox_bytes", 0);
    server.await_metric("throng_outboxes", 0);
}

#[test]
fn when_the_process_has_no_bytes_left_to_queue_those_that_hold_some_are_let_go() {
    // Neither outbox alone reaches its limit: together they reach the process's.
    let server = Server::start(&["--queued-bytes-max", "256KiB", "--outbox-bytes-max", "256KiB"]);
    let slow = ["left", "right"].map(|channel| Client::subscribed(server.address, &[channel]));
    let mut others: Vec<_> = (0..3).map(|_| Client::subscribed(server.address, &["crowd"])).collect();
    publish_until(&server, "throng_budget_closes_total", &["crowd", "left", "right"], &mut others);
    // One of them is enough: the other has not asked for anything since, and there is room again.
    assert_eq!(server.metric("throng_budget_closes_total"), 1);
    server.await_metric("throng_subscriptions", 4);
    for client in &mut others {
        client.sync();
    }
    drop(slow);
    server.await_metric("throng_connections", 3);
    server.await_metric("throng_outbox_bytes", 0);
    assert_eq!(server.metric("throng_slow_consumers_total"), 0);
    let mut publisher = Client::open(server.address);
    assert_eq!(publisher.publish("crowd", json!(["goes", "on"])), Ok(()));
    assert_eq!(others[0].publication().1[0], "goes");
}

#[test]
fn messages_that_never_end_count_in_the_same_budget() {
    let limits = ["--queued-bytes-max=256KiB", "--outbox-bytes-max=256KiB", "--message-bytes-max=128KiB"];
    let server = Server::start(&[&limits[..], &["--echo", "/echo", "--shards", "1"]].concat());
    let mut bystander = Peer::open(server.address, "/echo");
    let mut hoarders: Vec<Peer> = Vec::new();
    while server.metric("throng_budget_closes_total") == 0 {
        let mut peer = Peer::open(server.address, "/echo");
        let frame = Frame::new(BINARY, vec![0; 100_000]).bytes();
        peer.send_bytes(&frame[..90_000]);
        hoarders.push(peer);
        assert!(hoarders.len() < 20, "the budget does not hold");
        let bytes = hoarders.len() as u64 * 90_000;
        until("all bytes read", || (server.metric("throng_received_bytes_total") > bytes).then_some(()));
    }
    bystander.send(TEXT, "served");
    assert_eq!(bystander.message(), (TEXT, b"served".to_vec()));
    // The client that requested too much gets an error; the others may finish.
    let refused =
        hoarders.iter_mut().position(|peer| !peer.is_silent_for(Duration::from_millis(50))).unwrap();
    hoarders.swap_remove(refused).expect_close(3008);
    let mut first = hoarders.swap_remove(0);
    first.send_bytes(&Frame::new(BINARY, vec![0; 100_000]).bytes()[90_000..]);
    assert_eq!(first.message().1.len(), 100_000);
}
