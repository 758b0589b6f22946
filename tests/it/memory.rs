//! Memory by what it is used for, and the ladder that keeps it below `memory_max`.

use serde_json::Value;

use crate::support::peer::{BINARY, TEXT, upgrade};
use crate::support::{Client, Frame, Peer, Server, until};

fn memory(server: &Server) -> Value {
    let response = server.ask("/debug/memory");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).unwrap()
}

fn bytes(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

#[test]
fn what_is_used_is_told_by_kind_and_adds_up() {
    let server = Server::start(&["--echo", "/echo"]);
    let before = memory(&server);
    let _raw: Vec<_> = (0..150).map(|_| Peer::open(server.address, "/echo")).collect();
    let _clients: Vec<_> = (0..50).map(|n| Client::subscribed(server.address, &[&format!("c{n}")])).collect();
    let mut hoarder = Peer::open(server.address, "/echo");
    hoarder.send_bytes(&Frame::new(BINARY, vec![0; 60_000]).bytes()[..50_000]);
    until("the half message is counted", || {
        (memory(&server)["kinds"]["partial_messages"].as_u64()? >= 49_000).then_some(())
    });
    let after = memory(&server);
    let kinds = after["kinds"].as_object().unwrap();
    let sum: u64 = kinds.values().map(|value| value.as_u64().unwrap()).sum();
    assert_eq!(sum, bytes(&after, "resident_bytes"));
    assert_eq!(bytes(&after, "connections"), 201);
    let of = |value: &Value, kind| bytes(&value["kinds"], kind);
    let each = of(&after, "connections") / 201;
    assert!((100..=256).contains(&each) && of(&after, "connections") % 201 == 0, "{each} per connection");
    assert_eq!(of(&before, "connections"), 0);
    assert_eq!(of(&after, "subscriptions") % 50, 0);
    for kind in ["subscriptions", "channels"] {
        assert!(of(&after, kind) > of(&before, kind), "{kind}");
    }
    // All but the allocator's part and the program is known.
    let known: u64 = kinds
        .iter()
        .filter(|(name, _)| !["rest", "program", "vacant"].contains(&name.as_str()))
        .map(|(_, value)| value.as_u64().unwrap())
        .sum();
    assert_eq!(known, bytes(&after, "known_bytes"));
    assert!(of(&after, "rest") > 0 && of(&after, "program") > 0);
    assert!(bytes(&after["kernel"], "tcp_sockets") >= 201, "{after:#}");
    assert!(bytes(&after["kernel"], "slab_bytes") > 0);
    assert_eq!((&after["memory_max"], &after["allowed_known_bytes"]), (&0.into(), &Value::Null));
    assert_eq!(server.metric_with("throng_memory_bytes", "kind=\"connections\""), of(&after, "connections"));
    drop((_raw, _clients, hoarder));
    server.await_metric("throng_connections", 0);
    until("the places are vacant", || {
        let value = memory(&server);
        (of(&value, "connections") == 0 && of(&value, "vacant") == 201 * each).then_some(())
    });
}

/// A server that may have so many bytes beyond those with which such a server begins.
fn server_with(bytes_more: u64, flags: &[&str]) -> Server {
    let flags = [&["--echo", "/echo", "--shards", "1"], flags].concat();
    let idle = memory(&Server::start(&flags));
    let base = bytes(&idle, "resident_bytes") - bytes(&idle["kinds"], "program");
    let max = (base + bytes_more).to_string();
    let server = Server::start(&[&flags[..], &["--memory-max", &max]].concat());
    until("the limit is known", || memory(&server)["allowed_known_bytes"].as_u64());
    server
}

const MIB: u64 = 1 << 20;

#[test]
fn newcomers_are_refused_first_then_those_that_hold_most_are_let_go() {
    let server = server_with(6 * MIB, &["--message-bytes-max", "4MiB", "--linger-ms", "500"]);
    let mut bystander = Peer::open(server.address, "/echo");
    let mut hoarder = Peer::open(server.address, "/echo");
    let mut hoarders: Vec<Peer> = (0..240).map(|_| Peer::open(server.address, "/echo")).collect();
    // Small beside a rung of the ladder.
    let piece = 25_000;
    let begin = |peer: &mut Peer| {
        let frame = Frame::new(BINARY, vec![0; 3_000_000]).bytes();
        peer.send_bytes(&frame[..piece]);
    };
    // One holds more than all others.
    begin(&mut hoarder);
    hoarder.send_bytes(&vec![0; 40 * piece]);
    let mut begun = 0;
    while server.metric("throng_memory_step") == 0 {
        assert!(begun < hoarders.len(), "newcomers are never refused: {:#}", memory(&server));
        begin(&mut hoarders[begun]);
        begun += 1;
        let known = 40 * piece + begun * piece;
        until("it is counted, and looked at", || {
            bystander.send(TEXT, "look");
            bystander.message();
            (bytes(&memory(&server)["kinds"], "partial_messages") >= known as u64
                || server.metric("throng_memory_step") > 0)
                .then_some(())
        });
    }
    let refusal = Peer::request(server.address, upgrade("/echo", "").as_bytes());
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(server.metric_with("throng_refused_total", "reason=\"memory\"") >= 1);
    while server.metric_with("throng_memory_shed_total", "slow") == 0 {
        assert!(begun < hoarders.len(), "nobody is let go: {:#}", memory(&server));
        begin(&mut hoarders[begun]);
        begun += 1;
        bystander.send(TEXT, "served");
        assert_eq!(bystander.message(), (TEXT, b"served".to_vec()));
    }
    hoarder.expect_close(3008);
    assert_eq!(server.metric_with("throng_memory_shed_total", "newest"), 0);
    // What is left is enough: it comes down again, and others come in.
    drop((hoarder, hoarders));
    server.await_metric("throng_memory_step", 0);
    Peer::open(server.address, "/echo");
}

#[test]
fn when_nothing_else_helps_the_newest_are_sent_away() {
    let server = server_with(3 * MIB, &["--channels-per-connection-max", "60000", "--linger-ms", "300"]);
    // Channels belong to those who are in them, and nothing of it waits to be read.
    let mut channel_count = 0;
    let mut fill = |client: &mut Client, count: usize| {
        for _ in 0..count {
            channel_count += 1;
            assert!(channel_count < 50_000, "memory is never short: {:#}", memory(&server));
            client.subscribe(&format!("c{channel_count}")).unwrap();
        }
    };
    let mut first = Client::open(server.address);
    let mut others: Vec<Client> = (0..8).map(|_| Client::open(server.address)).collect();
    // In small steps, and with a look after each: the server itself looks ten times a second.
    let is_short = || {
        let memory = memory(&server);
        bytes(&memory, "known_bytes") * 100 >= bytes(&memory, "allowed_known_bytes") * 91
    };
    for turn in 0.. {
        fill(&mut others[turn % 8], 50);
        if is_short() {
            break;
        }
    }
    until("newcomers are refused", || (server.metric("throng_memory_step") > 0).then_some(()));
    let refusal = Peer::request(server.address, upgrade("/connection/websocket", "").as_bytes());
    assert_eq!(refusal.status, 503, "{refusal:?}");
    // No room for another, but those who are in go on.
    while server.metric_with("throng_memory_shed_total", "newest") == 0 {
        fill(&mut first, 50);
    }
    others.pop().unwrap().expect_close(3011);
    first.sync();
    until("there is room again", || (server.metric("throng_memory_step") < 3).then_some(()));
}
