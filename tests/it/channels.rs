//! The Centrifuge protocol: commands and replies, channels over several shards, limits.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, TEXT};
use crate::support::{Client, Peer, Server};

#[test]
fn connect_tells_who_one_is_and_how_often_to_expect_a_ping() {
    let server = Server::start(&["--ping-interval-ms", "2500"]);
    let (one, two) = (Client::open(server.address), Client::open(server.address));
    assert_ne!(one.hello["client"], two.hello["client"]);
    assert_eq!((&one.hello["ping"], &one.hello["pong"]), (&json!(3), &json!(true)));
    assert!(one.hello["version"].as_str().unwrap().starts_with("throng "));
    let quiet = Server::start(&["--ping-interval-ms", "0"]);
    assert_eq!(Client::open(quiet.address).hello.get("ping"), None);
}

#[test]
fn replies_to_one_frame_come_in_one_frame() {
    let server = Server::start(&[]);
    let mut peer = Peer::open(server.address, PATH);
    let mut replies = |text: &str, frame_count: usize| -> Vec<String> {
        peer.send(TEXT, text);
        let frames = (0..frame_count).map(|_| {
            let (opcode, payload) = peer.message();
            assert_eq!(opcode, TEXT);
            let text = String::from_utf8(payload).unwrap();
            text.lines().map(|line| line[..8].to_owned()).collect::<Vec<_>>().join(" ")
        });
        frames.collect()
    };
    // Commands behind connect wait for its reply, which is sent alone.
    let connected = replies("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"ping\":{}}", 2);
    assert_eq!(connected, [r#"{"id":1,"#, r#"{"id":2,"#]);
    let rest = "{\"id\":3,\"ping\":{}}\n{\"id\":4,\"dance\":{}}\n{\"id\":5,\"publish\":{}}\n";
    assert_eq!(replies(rest, 1), [r#"{"id":3, {"id":4, {"id":5,"#]);
}

#[test]
fn commands_of_one_frame_are_carried_out_in_their_order() {
    let server = Server::start(&[]);
    let mut client = Client::over(Peer::open(server.address, PATH));
    let commands: Vec<String> = (0..50)
        .map(|n| {
            let channel = format!("c{}", n / 2);
            let data = n.to_string();
            match n % 2 {
                0 => json!({"id": 100 + n, "subscribe": {"channel": channel}}).to_string(),
                _ => json!({"id": 100 + n, "publish": {"channel": channel, "data": data}}).to_string(),
            }
        })
        .collect();
    client.send(&commands.join("\n"));
    for n in 0..50 {
        let reply = client.reply(100 + n);
        assert!(reply.get("error").is_none(), "{reply}");
    }
    // Each subscription stood before the publication behind it.
    let mut data: Vec<String> = client.publications(25).iter().map(|v| v.as_str().unwrap().into()).collect();
    data.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(data, (0..25).map(|n| (2 * n + 1).to_string()).collect::<Vec<_>>());
}

#[test]
fn a_publication_is_passed_on_as_it_was_written() {
    let server = Server::start(&[]);
    let mut subscriber = Client::subscribed(server.address, &["news"]);
    let mut publisher = Client::open(server.address);
    let raw = r#"{ "b" : [1.50, 1e2, "\u00e9\n"],"a":null}"#;
    publisher.send(&format!(r#"{{"id":9,"publish":{{"data":{raw},"channel":"news"}}}}"#));
    publisher.reply(9);
    let (_, payload) = subscriber.peer.message();
    let id = publisher.hello["client"].as_str().unwrap();
    let expected = format!(
        r#"{{"push":{{"channel":"news","pub":{{"data":{raw},"info":{{"user":"","client":"{id}"}}}}}}}}"#
    );
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
}

#[test]
fn what_fails_has_the_protocols_error_and_the_connection_lives_on() {
    let server = Server::start(&[]);
    let mut client = Client::open(server.address);
    let long = "x".repeat(256);
    for (command, code) in [
        (json!({"history": {"channel": "a"}}), 108),
        (json!({"presence": {"channel": "a"}}), 108),
        (json!({"presence_stats": {"channel": "a"}}), 108),
        (json!({"rpc": {"method": "m", "data": 1}}), 108),
        (json!({"sub_refresh": {"channel": "a", "token": "t"}}), 103),
        (json!({"subscribe": {"channel": "a", "type": 1}}), 108),
        (json!({"history": {"channel": "a", "reverse": true, "since": {"offset": 0}}}), 108),
        (json!({"history": {"channel": "a", "since": [1, "e"]}}), 107),
        (json!({"subscribe": ["a"]}), 107),
        (json!({"dance": {}}), 104),
        (json!({}), 104),
        (json!({"subscribe": {"channel": ""}}), 107),
        (json!({"subscribe": {}}), 107),
        (json!({"subscribe": {"channel": long}}), 107),
        (json!({"unsubscribe": {"channel": long}}), 107),
        (json!({"publish": {"channel": "", "data": 1}}), 107),
        (json!({"publish": {"channel": "a"}}), 107),
    ] {
        let reply = client.request(command.clone());
        assert_eq!(reply["error"]["code"], code, "{command}");
        assert!(reply["error"]["message"].is_string());
    }
    assert_eq!(client.subscribe(&long[1..]), Ok(()));
    assert_eq!(client.subscribe(&long[1..]), Err(105));
    assert_eq!(client.unsubscribe("never subscribed"), Ok(()));
    client.send(r#"{"send":{"data":"no reply to this"}}"#);
    client.sync();
}

#[test]
fn who_does_not_speak_the_protocol_is_a_bad_request() {
    let server = Server::start(&[]);
    for (connects, text) in [
        (true, "{"),
        (true, "nothing"),
        (true, ""),
        (true, "[]"),
        (true, r#"{"id":"one"}"#),
        (true, r#"{"id":7,"connect":{}}"#),
        (true, r#"{"subscribe":{"channel":"a"}}"#),
        (false, r#"{"id":1,"subscribe":{"channel":"a"}}"#),
        (false, r#"{"id":1,"ping":{}}"#),
        (false, "{}"),
        (false, "\u{feff}{}"),
    ] {
        let mut peer = Peer::open(server.address, PATH);
        if connects {
            peer = Client::over(peer).peer;
        }
        peer.send(TEXT, text);
        assert_eq!(peer.frame().close_code(), Some(3501), "{text}");
        peer.expect_end();
    }
    server.await_metric("throng_connections", 0);
}

#[test]
fn commands_before_a_broken_one_are_still_carried_out() {
    let server = Server::start(&[]);
    let mut subscriber = Client::subscribed(server.address, &["last"]);
    let mut client = Client::open(server.address);
    client.send("{\"id\":5,\"publish\":{\"channel\":\"last\",\"data\":\"words\"}}\nbroken");
    client.expect_close(3501);
    assert_eq!(subscriber.publication(), ("last".into(), json!("words")));
}

#[test]
fn a_frame_may_be_binary_or_in_parts() {
    let server = Server::start(&[]);
    let mut client = Client::open(server.address);
    client.peer.send(BINARY, r#"{"id":50,"ping":{}}"#);
    client.reply(50);
    client.peer.send_part(TEXT, r#"{"id":51,"#, false);
    client.peer.send_part(0, r#""ping":{}}"#, true);
    client.reply(51);
}

/// The promise of a home: one order for all, for subscribers and publishers of any shard.
#[test]
fn all_subscribers_of_four_shards_see_one_order() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 200;
    let server = Server::start(&["--shards", "4"]);
    let subscribers: Vec<_> = (0..24).map(|_| Client::subscribed(server.address, &["order"])).collect();
    let hosts =
        (0..4).filter(|shard| server.metric_with("throng_subscriptions", &format!("shard=\"{shard}\"")) > 0);
    assert!(hosts.count() > 1, "24 connections on one of four shards");
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|by| {
            let mut client = Client::open(server.address);
            thread::spawn(move || {
                // One by one, in pairs, in tens: so that some travel together.
                let (mut next, mut sizes) = (0, [1, 2, 10].into_iter().cycle());
                while next < EACH {
                    let end = EACH.min(next + sizes.next().unwrap());
                    let publish = |n| {
                        json!({"id": n + 10, "publish": {"channel": "order", "data": [by, n]}}).to_string()
                    };
                    client.send(&(next..end).map(publish).collect::<Vec<_>>().join("\n"));
                    client.reply(u32::try_from(end - 1 + 10).unwrap());
                    next = end;
                }
            })
        })
        .collect();
    let sent = PUBLISHERS * EACH;
    let seen: Vec<_> =
        subscribers.into_iter().map(|mut client| thread::spawn(move || client.publications(sent))).collect();
    publishers.into_iter().for_each(|thread| thread.join().unwrap());
    let seen: Vec<Vec<Value>> = seen.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(seen.iter().all(|one| one == &seen[0]), "another order");
    for by in 0..PUBLISHERS {
        let own: Vec<_> = seen[0].iter().filter(|data| data[0] == by).map(|data| &data[1]).collect();
        assert!(own.iter().enumerate().all(|(n, data)| **data == n), "a publisher's own order: {own:?}");
        assert_eq!(own.len(), EACH);
    }
    assert_eq!(server.metric("throng_publications_total"), sent as u64);
    assert_eq!(server.metric("throng_deliveries_total"), (sent * 24) as u64);
}

#[test]
fn publications_of_one_turn_travel_in_one_frame() {
    let server = Server::start(&["--shards", "1"]);
    let mut subscriber = Client::subscribed(server.address, &["joined"]);
    let mut publisher = Client::open(server.address);
    let publish = |n| json!({"id": n, "publish": {"channel": "joined", "data": n}}).to_string();
    publisher.send(&(10..20).map(publish).collect::<Vec<_>>().join("\n"));
    let lines = subscriber.frame_lines();
    let data: Vec<_> = lines.iter().map(|line| line["push"]["pub"]["data"].as_u64().unwrap()).collect();
    assert_eq!(data, (10..20).collect::<Vec<_>>());
}

#[test]
fn a_subscriber_of_many_channels_gets_each_ones_own() {
    let server = Server::start(&["--shards", "3"]);
    let names: Vec<String> = (0..100).map(|n| format!("room:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut subscriber = Client::subscribed(server.address, &names);
    let mut publisher = Client::open(server.address);
    for name in &names {
        assert_eq!(publisher.publish(name, json!(name)), Ok(()));
    }
    let mut got: Vec<(String, Value)> = names.iter().map(|_| subscriber.publication()).collect();
    assert!(got.iter().all(|(channel, data)| data == channel));
    got.sort_by(|a, b| a.0.cmp(&b.0));
    got.dedup();
    assert_eq!(got.len(), names.len());
}

#[test]
fn after_an_unsubscribe_nothing_arrives() {
    let server = Server::start(&[]);
    let mut client = Client::subscribed(server.address, &["left", "kept"]);
    let mut publisher = Client::open(server.address);
    assert_eq!(client.unsubscribe("left"), Ok(()));
    publisher.publish("left", json!(1)).unwrap();
    publisher.publish("kept", json!(2)).unwrap();
    assert_eq!(client.publication(), ("kept".into(), json!(2)));
    assert!(client.peer.is_silent_for(Duration::from_millis(50)));
    assert_eq!(client.subscribe("left"), Ok(()));
    publisher.publish("left", json!(3)).unwrap();
    assert_eq!(client.publication(), ("left".into(), json!(3)));
    drop(client);
    server.await_metric("throng_subscriptions", 0);
    server.await_metric("throng_channels", 0);
}

#[test]
fn limits_of_subscriptions_hold_and_room_comes_back() {
    let server = Server::start(&["--channels-per-connection-max", "2", "--shards", "1"]);
    let mut client = Client::subscribed(server.address, &["a", "b"]);
    assert_eq!(client.subscribe("c"), Err(106));
    client.unsubscribe("a").unwrap();
    assert_eq!(client.subscribe("c"), Ok(()));

    let server = Server::start(&["--channels-per-shard-max", "1", "--shards", "1"]);
    let mut one = Client::subscribed(server.address, &["a"]);
    let mut two = Client::subscribed(server.address, &["a"]);
    assert_eq!(two.subscribe("b"), Err(106));
    assert_eq!(two.publish("b", json!("published all the same")), Ok(()));
    one.unsubscribe("a").unwrap();
    two.unsubscribe("a").unwrap();
    assert_eq!(two.subscribe("b"), Ok(()));
}
