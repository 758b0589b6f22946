//! Rates: commands within them are executed, those beyond them are answered with error 111 and counted.
//!
//! Commands of one frame are handled in one turn, which has one present, so that of a burst exactly the rate passes.
//! Where connections must come one after the other, only bounds are checked: a slow machine admits more in between.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::centrifuge::PATH;
use crate::support::peer::{CLOSE, TEXT, upgrade};
use crate::support::{Client, Peer, Server};

const TOO_MANY: u64 = 111;

/// Sends all of these commands in one frame; returns the codes of their errors, 0 for none, in their order.
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

/// How much exceeded this rate.
fn limited(server: &Server, rate: &str) -> u64 {
    server.metric_with("throng_rate_limited_total", &format!("rate=\"{rate}\""))
}

fn unsubscribe() -> Value {
    json!({"unsubscribe": {"channel": "none"}})
}

#[test]
fn commands_of_any_kind_have_one_rate() {
    let server = Server::configured("development = true\n[rates]\ncommands_max = 5", &[]);
    let mut client = Client::open(server.address);
    let commands: Vec<Value> = (0..20).map(|n| if n % 2 == 0 { publish(n) } else { unsubscribe() }).collect();
    assert_eq!(at_once(&mut client, &commands), [[0; 5].as_slice(), &[TOO_MANY; 15]].concat());
    assert_eq!(limited(&server, "commands"), 15);
    // Another connection has a rate of its own.
    assert_eq!(at_once(&mut Client::open(server.address), &commands[..5]), [0; 5]);
}

#[test]
fn each_kind_of_command_has_its_own() {
    let rates = "development = true\n[rates]\npublishes_max = 3\nsubscribes_max = 2\nrpcs_max = 1\npresences_max = 5\nhistories_max = 6\n\
                 others_max = 4";
    let server = Server::configured(rates, &["--echo", "/echo"]);
    let mut client = Client::open(server.address);
    let many = |command: &dyn Fn(usize) -> Value| (0..10).map(command).collect::<Vec<Value>>();
    let of_chat = |command: &str| json!({command: {"channel": "chat:a"}});
    for (rate, commands, count) in [
        ("publishes", many(&publish), 3),
        ("subscribes", many(&|n| json!({"subscribe": {"channel": format!("c{n}")}})), 2),
        ("rpcs", many(&|n| json!({"rpc": {"data": n}})), 1),
        ("presences", many(&|n| of_chat(if n % 2 == 0 { "presence" } else { "presence_stats" })), 5),
        ("histories", many(&|_| of_chat("history")), 6),
        ("others", many(&|_| unsubscribe()), 4),
    ] {
        let codes = at_once(&mut client, &commands);
        assert_eq!(codes, [vec![0; count], vec![TOO_MANY; 10 - count]].concat(), "{rate}");
        assert_eq!(limited(&server, rate), 10 - count as u64, "{rate}");
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
    assert_eq!(limited(&server, "publishes"), 0);
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

/// Requests of new clients in one moment, over any transport: some open a stream or a WebSocket, the others get 503.
#[test]
fn new_clients_have_a_rate() {
    let enabled = "sse.enabled = true\nhttp_stream.enabled = true\nuni_websocket.enabled = true\nuni_sse.enabled = true\n\
                   uni_http_stream.enabled = true\ninit.enabled = true";
    let server = Server::configured(
        &format!("development = true\n{enabled}\n[rates]\nconnects_max = 1"),
        &["--shards", "2"],
    );
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let requests = [
        upgrade("/connection/websocket", ""),
        upgrade("/connection/uni_websocket", ""),
        get("/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D"),
        get("/connection/uni_sse"),
        post("/connection/http_stream", r#"{"id":1,"connect":{}}"#),
        post("/connection/uni_http_stream", "{}"),
        get("/connection/init"),
    ];
    for request in &requests {
        let statuses: Vec<u16> = (0..4)
            .map(|_| {
                let mut peer = Peer::connect(server.address);
                peer.send_bytes(request.as_bytes());
                peer.response_head().status
            })
            .collect();
        assert!(statuses.iter().all(|status| [101, 200, 503].contains(status)), "{request}: {statuses:?}");
        assert!(statuses.contains(&503), "{request}: {statuses:?}");
    }
    assert!(limited(&server, "connects") >= requests.len() as u64);
}

/// A client that was refused takes a token for each further attempt: it has an open connection, and would ask a hook
/// each time.
#[test]
fn attempts_after_a_refused_one_have_the_rate_of_new_clients() {
    let config = "[client.token]\nhmac_secret_key = \"between us\"\n[rates]\nconnects_max = 1";
    let server = Server::configured(config, &["--shards", "1"]);
    let expired = mint(b"between us", br#"{"sub":"ann","exp":1}"#);
    let mut peer = Peer::open(server.address, PATH);
    let codes: Vec<Value> = (1..10)
        .map(|id| {
            peer.send(TEXT, json!({"id": id, "connect": {"token": expired}}).to_string());
            let mut reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
            reply["error"]["code"].take()
        })
        .collect();
    assert_eq!(codes[0], 109);
    assert!(codes.contains(&json!(TOO_MANY)), "{codes:?}");
    assert!(codes.iter().all(|code| *code == 109 || *code == TOO_MANY), "{codes:?}");
}

#[test]
fn an_address_has_a_rate_that_is_not_its_neighbours() {
    let server =
        Server::configured("development = true\n[rates]\nconnects_per_ip_max = 1", &["--shards", "1"]);
    let (in_count, refused_count) = connect(&server, [127, 0, 0, 1].into(), 40);
    assert!(in_count >= 1 && refused_count >= 1, "{in_count} of 40");
    assert_eq!(connect(&server, [127, 0, 0, 2].into(), 1), (1, 0));
    assert_eq!(limited(&server, "connects_per_ip"), refused_count as u64);
}

#[test]
fn who_cannot_be_told_an_error_is_disconnected() {
    let server =
        Server::configured("development = true\n[rates]\nconnects_per_ip_max = 1", &["--shards", "1"]);
    let frames = (0..20).map(|_| {
        let mut peer = Peer::open(server.address, "/connection/uni_websocket");
        peer.send(TEXT, "{}");
        peer.frame()
    });
    let (closed, welcomed): (Vec<_>, Vec<_>) = frames.partition(|frame| frame.opcode == CLOSE);
    assert!(!welcomed.is_empty() && !closed.is_empty(), "{} of 20 were welcome", welcomed.len());
    assert!(closed.iter().all(|frame| frame.close_code() == Some(3013)), "{closed:?}");
}

/// Refusals are counted by their limit.
#[test]
fn limits_are_told_apart() {
    let config = "channels_per_connection_max = 2\nchannels_per_shard_max = 3\nmessage_bytes_max = 1000";
    let server = Server::configured(config, &["--shards", "1"]);
    let counts = || {
        ["subscriptions", "channels", "message_bytes"]
            .map(|limit| server.metric_with("throng_limit_exceeded_total", &format!("limit=\"{limit}\"")))
    };
    let mut client = Client::subscribed(server.address, &["a", "b"]);
    assert_eq!(client.subscribe("c"), Err(106));
    assert_eq!(counts(), [1, 0, 0]);
    let mut other = Client::subscribed(server.address, &["c"]);
    assert_eq!(other.subscribe("d"), Err(106));
    assert_eq!(counts(), [1, 1, 0]);
    other.send(&"x".repeat(1001));
    other.expect_close(1009);
    assert_eq!(counts(), [1, 1, 1]);
}
