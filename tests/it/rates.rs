//! Rates: what is within them is done, what exceeds them is answered with error 111 and counted.
//!
//! Commands of one frame are taken up in one turn, which has one present, so that of a burst exactly the rate passes.
//! Where connections must come one after the other, only bounds are held to: what a slow machine lets pass in between.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::support::peer::{CLOSE, TEXT};
use crate::support::{Client, Peer, Server};

const TOO_MANY: u64 = 111;

/// Sends all of these commands in one frame; the codes of their errors, 0 for none, in their order.
fn at_once(client: &mut Client, commands: &[Value]) -> Vec<u64> {
    let numbered: Vec<String> = (1000..)
        .zip(commands)
        .map(|(id, command)| {
            let mut command = command.clone();
            command["id"] = id.into();
            command.to_string()
        })
        .collect();
    client.send(&numbered.join("\n"));
    (1000..).zip(commands).map(|(id, _)| client.reply(id)["error"]["code"].as_u64().unwrap_or(0)).collect()
}

fn publish(data: usize) -> Value {
    json!({"publish": {"channel": "a", "data": data}})
}

fn unsubscribe() -> Value {
    json!({"unsubscribe": {"channel": "none"}})
}

#[test]
fn commands_of_any_kind_have_one_rate() {
    let server = Server::configured("[rates]\ncommands_max = 5", &[]);
    let mut client = Client::open(server.address);
    let commands: Vec<Value> = (0..20).map(|n| if n % 2 == 0 { publish(n) } else { unsubscribe() }).collect();
    assert_eq!(at_once(&mut client, &commands), [[0; 5].as_slice(), &[TOO_MANY; 15]].concat());
    assert_eq!(server.metric("throng_rate_limited_total"), 15);
    // Another connection has a rate of its own.
    assert_eq!(at_once(&mut Client::open(server.address), &commands[..5]), [0; 5]);
}

#[test]
fn each_kind_of_command_has_its_own() {
    let rates = "[rates]\npublishes_max = 3\nsubscribes_max = 2\nrpcs_max = 1\nothers_max = 4";
    let server = Server::configured(rates, &["--echo", "/echo"]);
    let mut client = Client::open(server.address);
    let subscribe = |n: usize| json!({"subscribe": {"channel": format!("c{n}")}});
    let kinds: [(Vec<Value>, usize); 4] = [
        ((0..10).map(publish).collect(), 3),
        ((0..10).map(subscribe).collect(), 2),
        ((0..10).map(|n| json!({"rpc": {"data": n}})).collect(), 1),
        ((0..10).map(|_| unsubscribe()).collect(), 4),
    ];
    let mut refused_count = 0;
    for (commands, rate) in kinds {
        let codes = at_once(&mut client, &commands);
        assert_eq!(codes, [vec![0; rate], vec![TOO_MANY; 10 - rate]].concat(), "{}", commands[0]);
        refused_count += 10 - rate as u64;
        assert_eq!(server.metric("throng_rate_limited_total"), refused_count);
    }
}

#[test]
fn a_channel_takes_no_more_publications_of_clients_than_it_may() {
    let config = "[client]\ninsecure = true\n[channel.without_namespace]\npublications_per_second_max = 4";
    let server = Server::configured(config, &[]);
    let mut listener = Client::subscribed(server.address, &["a", "b"]);
    let mut client = Client::open(server.address);
    let commands: Vec<Value> = (0..10).map(publish).collect();
    assert_eq!(at_once(&mut client, &commands), [[0; 4].as_slice(), &[TOO_MANY; 6]].concat());
    assert_eq!(server.metric("throng_publications_refused_total"), 6);
    assert_eq!(server.metric("throng_publications_total"), 4);
    assert_eq!(server.metric("throng_rate_limited_total"), 0);
    // Another channel has not had any.
    assert_eq!(client.publish("b", json!("other")), Ok(()));
    let mut heard = listener.publications(5);
    heard.sort_by_key(Value::to_string);
    assert_eq!(heard, [json!("other"), json!(0), json!(1), json!(2), json!(3)]);
}

/// Connects as often as this over WebSocket; how many got in, and how many did not because of the rate.
fn connect(server: &Server, from: Ipv4Addr, count: usize) -> (usize, usize) {
    let outcomes: Vec<Result<Client, u64>> = (0..count)
        .map(|_| {
            let peer = Peer::connect_from(from, server.address).upgraded("/connection/websocket", "");
            Client::try_over(peer, json!({}))
        })
        .collect();
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, Err(code) if *code != TOO_MANY)));
    let in_count = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    (in_count, count - in_count)
}

#[test]
fn clients_that_connect_have_a_rate() {
    let server = Server::configured("[rates]\nconnects_max = 1", &["--shards", "1"]);
    let (in_count, refused_count) = connect(&server, [127, 0, 0, 1].into(), 40);
    assert!(in_count >= 1 && refused_count >= 1, "{in_count} of 40");
    assert_eq!(server.metric("throng_rate_limited_total"), refused_count as u64);
}

#[test]
fn an_address_has_a_rate_that_is_not_its_neighbours() {
    let server = Server::configured("[rates]\nconnects_per_ip_max = 1", &["--shards", "1"]);
    let (in_count, refused_count) = connect(&server, [127, 0, 0, 1].into(), 40);
    assert!(in_count >= 1 && refused_count >= 1, "{in_count} of 40");
    assert_eq!(connect(&server, [127, 0, 0, 2].into(), 1), (1, 0));
    assert_eq!(server.metric("throng_rate_limited_total"), refused_count as u64);
}

#[test]
fn who_cannot_be_told_an_error_is_disconnected() {
    let server = Server::configured("[rates]\nconnects_max = 1", &["--shards", "1"]);
    let frames = (0..20).map(|_| {
        let mut peer = Peer::open(server.address, "/connection/uni_websocket");
        peer.send(TEXT, "{}");
        peer.frame()
    });
    let (closed, welcomed): (Vec<_>, Vec<_>) = frames.partition(|frame| frame.opcode == CLOSE);
    assert!(!welcomed.is_empty() && !closed.is_empty(), "{} of 20 were welcome", welcomed.len());
    assert!(closed.iter().all(|frame| frame.close_code() == Some(3013)), "{closed:?}");
}
