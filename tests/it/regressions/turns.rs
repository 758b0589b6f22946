//! Commands in turn. A command that waited for a hook was overtaken by later ones, and beyond 32 questions the rest
//! was refused with 111.

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Client, Frame, Peer, Server};

fn server(application: &Application, concurrency: u32) -> Server {
    server_with(application, concurrency, 30_000)
}

fn server_with(application: &Application, concurrency: u32, message_ms: u64) -> Server {
    application.server(|application| {
        json!({
            "message_ms": message_ms,
            "client": {"token": {"hmac_secret_key": "between us"}, "concurrency": concurrency},
            "channel": {
                "proxy": {"publish": hook(application, "publish"), "subscribe": hook(application, "subscribe")},
                "without_namespace": {
                    "publish_proxy_enabled": true,
                    "subscribe_proxy_enabled": true,
                    "allow_presence_for_subscriber": true,
                    "presence": true,
                    "history_size": 100,
                    "history_ttl": "60s",
                    "allow_history_for_subscriber": true,
                },
            },
        })
    })
}

fn ann(server: &Server) -> Client {
    Client::with_token(server.address, &mint(b"between us", br#"{"sub":"ann"}"#))
}

fn allowed() -> serde_json::Value {
    json!({"result": {}})
}

#[test]
fn fifty_publications_in_a_frame_are_asked_about_one_by_one_and_arrive_in_order() {
    let application = Application::start();
    let server = server(&application, 0);
    let mut client = ann(&server);
    let frame = |first: u32, count: u32| {
        let publish = |id| json!({"id": id, "publish": {"channel": "a", "data": id}}).to_string();
        (first..first + count).map(publish).collect::<Vec<_>>().join("\n")
    };
    client.send(&format!("{}\n{}", json!({"id": 100, "subscribe": {"channel": "a"}}), frame(101, 50)));
    // More than wait unread, in frames of their own.
    (0..100).for_each(|n| client.send(&frame(151 + n, 1)));
    application.answer("subscribe", allowed());
    for id in 101..251 {
        assert_eq!(application.answer("publish", allowed())["data"], id);
    }
    let expected: Vec<_> = (101..251).map(|id| json!(id)).collect();
    assert_eq!(client.publications(150), expected);
    for id in 100..251 {
        let reply = client.reply(id);
        assert!(reply["error"].is_null(), "{reply}");
    }
}

#[test]
fn what_follows_a_subscription_that_a_hook_decides_on_is_answered_as_it_decides() {
    let application = Application::start();
    let server = server(&application, 1);
    let commands = [
        json!({"id": 50, "subscribe": {"channel": "a"}}),
        json!({"id": 51, "presence": {"channel": "a"}}),
        json!({"id": 52, "history": {"channel": "a", "limit": 1}}),
        json!({"id": 53, "unsubscribe": {"channel": "a"}}),
        json!({"id": 54, "presence": {"channel": "a"}}),
    ];
    let frame = commands.map(|command| command.to_string()).join("\n");
    for (word, code) in
        [(allowed(), json!(null)), (json!({"error": {"code": 403, "message": "no"}}), json!(103))]
    {
        let mut client = ann(&server);
        client.send(&frame);
        application.answer("subscribe", word);
        client.reply(50);
        for id in [51, 52] {
            assert_eq!(client.reply(id)["error"]["code"], code, "{id}");
        }
        client.reply(53);
        assert_eq!(client.reply(54)["error"]["code"], json!(103));
    }
}

/// Several may be asked about at a time, and no more than that.
#[test]
fn as_many_are_asked_about_at_a_time_as_may_be() {
    let application = Application::start();
    let server = server(&application, 2);
    let mut client = ann(&server);
    for id in 50..53 {
        client.send(&json!({"id": id, "publish": {"channel": "a", "data": id}}).to_string());
    }
    let [first, second] = [application.any_question(), application.any_question()];
    let mut ids = [&first, &second].map(|question| question.body["data"].as_u64().unwrap());
    ids.sort_unstable();
    assert_eq!(ids, [50, 51], "the third waits");
    let (one, other) = if first.body["data"] == 51 { (first, second) } else { (second, first) };
    one.answer(allowed());
    assert!(client.reply(51)["error"].is_null());
    assert_eq!(application.answer("publish", allowed())["data"], 52);
    assert!(client.reply(52)["error"].is_null());
    other.answer(allowed());
    assert!(client.reply(50)["error"].is_null());
}

#[test]
fn what_was_asked_before_the_end_is_answered_before_the_close() {
    let application = Application::start();
    let server = server(&application, 0);
    let mut client = ann(&server);
    client.send("{\"id\":50,\"publish\":{\"channel\":\"a\",\"data\":1}}\n{\"id\":51,\"connect\":{}}");
    application.answer("publish", allowed());
    assert!(client.reply(50)["publish"].is_object());
    client.expect_close(3501);
}

/// A second connect command, read before the first was answered, ended the connection before the answers to the
/// commands between.
#[test]
fn what_stands_between_two_connect_commands_is_answered_before_the_close() {
    let application = Application::start();
    let server = server(&application, 0);
    let mut peer = Peer::open(server.address, PATH);
    let commands = [
        json!({"id": 1, "connect": {"token": mint(b"between us", br#"{"sub":"ann"}"#)}}),
        json!({"id": 2, "publish": {"channel": "a", "data": 1}}),
        json!({"id": 3, "connect": {}}),
    ];
    peer.send(TEXT, commands.map(|command| command.to_string()).join("\n"));
    application.answer("publish", allowed());
    for id in [1, 2] {
        let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
        assert_eq!(reply["id"], id, "{reply}");
    }
    peer.expect_close(3501);
}

/// The deadline of a message that is arriving began only when nothing waited.
#[test]
fn a_message_that_does_not_come_to_its_end_has_a_deadline_while_commands_wait() {
    let application = Application::start();
    let server = server_with(&application, 0, 300);
    let mut client = ann(&server);
    let publish = |id| json!({"id": id, "publish": {"channel": "a", "data": id}}).to_string();
    client.send(&format!("{}\n{}", publish(50), publish(51)));
    let question = application.question("publish");
    client.peer.send_bytes(&Frame::new(TEXT, "begun").bytes()[..8]);
    client.peer.expect_close(1008);
    question.answer(allowed());
}

/// With several questions at a time, none waits for the others: the end came behind their answers.
#[test]
fn a_hooks_disconnect_waits_for_no_other_hook_where_several_are_asked() {
    let application = Application::start();
    let server = server(&application, 2);
    let mut client = ann(&server);
    client.send(&json!({"id": 50, "publish": {"channel": "a", "data": 50}}).to_string());
    let _unanswered = application.question("publish");
    client.send(&json!({"id": 51, "publish": {"channel": "a", "data": 51}}).to_string());
    application.answer("publish", json!({"disconnect": {"code": 4444, "reason": "go"}}));
    client.expect_close(4444);
    server.await_metric("throng_connections", 0);
}

/// The subscription ended before the client's earlier publication was delivered to it, and its reply came first.
#[test]
fn who_publishes_and_unsubscribes_gets_its_own_publication_and_the_answers_in_order() {
    let server = Server::start(&[]);
    for n in 0..20 {
        let channel = format!("c{n}");
        let mut client = Client::subscribed(server.address, &[&channel]);
        let commands = [
            json!({"id": 50, "publish": {"channel": channel, "data": n}}),
            json!({"id": 51, "unsubscribe": {"channel": channel}}),
            json!({"id": 52, "ping": {}}),
        ];
        client.send(&commands.map(|command| command.to_string()).join("\n"));
        assert_eq!([50, 51, 52].map(|_| client.next_reply()["id"].take()), [50, 51, 52]);
        assert_eq!(client.publication(), (channel, json!(n)));
    }
}

/// The channels had different homes: a publication overtook an earlier one in another channel, and a refusal the reply
/// to an earlier command. In one shard, publications of a channel overtook those of others between them.
#[test]
fn publications_in_many_channels_and_their_replies_come_in_the_order_in_which_they_were_sent() {
    const CHANNELS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const FRAMES: u32 = 30;
    const COUNT: u32 = 40;
    for shards in ["1", "2"] {
        let server = Server::start(&["--shards", shards]);
        let mut watchers: Vec<_> = (0..3).map(|_| Client::subscribed(server.address, &CHANNELS)).collect();
        let mut client = Client::open(server.address);
        let mut id = 100;
        let mut expected = Vec::new();
        for frame in 0..FRAMES {
            let commands = (0..COUNT).map(|n| {
                id += 1;
                match n % 10 {
                    3 => json!({"id": id, "publish": {"channel": "", "data": 0}}),
                    6 => json!({"id": id, "presence": {"channel": "a"}}),
                    8 => json!({"id": id, "ping": {}}),
                    _ => {
                        expected.push(json!(id));
                        let channel = CHANNELS[((id * 7 + frame) % 8) as usize];
                        json!({"id": id, "publish": {"channel": channel, "data": id}})
                    }
                }
            });
            let frame = commands.map(|command| command.to_string()).collect::<Vec<_>>().join("\n");
            client.send(&frame);
        }
        for id in 101..=100 + FRAMES * COUNT {
            let reply = client.next_reply();
            assert_eq!(reply["id"], id, "{shards} shards: {reply}");
            let code = match id % 10 {
                4 => Some(107),
                7 => Some(108),
                _ => None,
            };
            assert_eq!(reply["error"]["code"].as_u64(), code, "{reply}");
        }
        for watcher in &mut watchers {
            assert_eq!(watcher.publications(expected.len()), expected, "{shards} shards");
        }
    }
}
