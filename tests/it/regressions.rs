//! Former bugs, one test each, with their symptoms.

mod after_the_end;
mod answers;
mod bench;
mod channel_states;
mod client_headers;
mod codes;
mod configuration;
mod control_listener;
mod conversion;
mod doors;
mod gauges;
mod goodbyes;
mod hooks;
mod http_requests;
mod json_shapes;
mod labels;
mod log_of_clients;
mod logs;
mod numbers;
mod one_port;
mod orders;
mod orders_done;
mod payloads;
mod questions;
mod raw_endpoints;
mod reference;
mod refusals;
mod reload;
mod renewed_terms;
mod secrets;
mod socketio_shared_recovery;
mod spoiled;
mod starting;
mod switching;
mod turns;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::{Client, Peer, Server};

/// The control plane's own descriptors were made after the shards' tables had been separated. A shard that ended woke
/// it through a number that was invalid in its table, panicked, and a clean drain exited with 1.
#[test]
fn a_drain_with_private_descriptor_tables_ends_in_order() {
    for private in ["true", "false"] {
        let flag = format!("--private-descriptors={private}");
        let server = Server::start(&[flag.as_str(), "--drain-ms=0", "--shards=4"]);
        server.signal("TERM");
        let (code, said) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// A signal's handler writes to a descriptor by its number, in any thread that the kernel chooses: in a shard, that
/// number was invalid, or a client's socket. Shards leave signals to others.
#[test]
fn no_shard_handles_a_signal() {
    let server = Server::start(&["--shards", "2"]);
    let mut shards = 0;
    for task in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        if field("Name:").starts_with("shard-") {
            shards += 1;
            let blocked = u64::from_str_radix(field("SigBlk:"), 16).unwrap();
            let [interrupt, terminate] = [2, 15].map(|signal: u32| blocked >> (signal - 1) & 1);
            assert_eq!((interrupt, terminate), (1, 1), "{status}");
        }
    }
    assert_eq!(shards, 2);
}

/// Signals were handled only after the ready line: a signal sent as soon as the line was there killed the server.
#[test]
fn a_signal_right_after_the_ready_line_is_a_drain() {
    for _ in 0..10 {
        let server = Server::start(&[]);
        server.signal("TERM");
        assert_eq!(server.end().0, Some(0));
    }
}

/// The first connection of a shard had no part of the interval to wait for and was pinged the moment it opened.
#[test]
fn the_first_connection_is_not_pinged_at_once() {
    let server = Server::start(&["--echo=/echo", "--ping-interval-ms=25000", "--shards=1"]);
    for _ in 0..3 {
        let mut peer = Peer::open(server.address, "/echo");
        assert!(peer.is_silent_for(Duration::from_millis(50)));
        peer.send_close(1000);
        peer.expect_close(1000);
        server.await_metric("throng_connections", 0);
    }
}

/// `null` was taken for a publish command without data.
#[test]
fn null_is_published() {
    let server = Server::start(&[]);
    let mut client = Client::subscribed(server.address, &["a"]);
    assert_eq!(client.publish("a", json!(null)), Ok(()));
    assert_eq!(client.publication(), ("a".into(), json!(null)));
}

/// A subscription that was taken back before its home had answered never got a reply.
#[test]
fn every_command_is_answered_even_when_the_next_one_undoes_it() {
    let server = Server::start(&["--shards", "4"]);
    let mut client = Client::over(Peer::open(server.address, PATH));
    for channel in 0..20 {
        let [first, second, third] = [1, 2, 3].map(|n| 1000 + 10 * channel + n);
        let subscribe = |id| json!({"id": id, "subscribe": {"channel": channel.to_string()}}).to_string();
        let unsubscribe = json!({"id": second, "unsubscribe": {"channel": channel.to_string()}}).to_string();
        client.send(&[subscribe(first), unsubscribe, subscribe(third)].join("\n"));
        for (id, result) in [(first, "subscribe"), (second, "unsubscribe"), (third, "subscribe")] {
            let reply = client.reply(id);
            assert!(reply[result].is_object(), "{reply}");
        }
        let began = Instant::now();
        client.publish(&channel.to_string(), json!(channel)).unwrap();
        assert_eq!(client.publications(1), [json!(channel)], "subscribed once, after {:?}", began.elapsed());
    }
    assert_eq!(server.metric("throng_subscriptions"), 20);
    drop(client);
    server.await_metric("throng_subscriptions", 0);
    server.await_metric("throng_channels", 0);
}
