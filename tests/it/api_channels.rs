//! The API's information about channels, and its effects on their subscribers.

use std::sync::Arc;

use serde_json::{Value, json};
use throng::parts::hub::options::{ChannelOptions, Namespaces};

use crate::support::backend::{Backend, Running, options};
use crate::support::{Client, until};

/// `chat` has all that a channel can have; the others have nothing.
fn start() -> Running {
    let full = ChannelOptions {
        presence: true,
        history_size: 5,
        history_ttl_ms: 60_000,
        force_recovery: true,
        ..ChannelOptions::default()
    };
    let named = [("chat".to_owned(), Arc::new(full)), ("bare".to_owned(), Arc::default())].into();
    Running::start_with(options(), Namespaces { named, ..Namespaces::default() })
}

fn offsets(history: &Value) -> Vec<u64> {
    let publications = history["result"]["publications"].as_array().unwrap();
    publications.iter().map(|publication| publication["offset"].as_u64().unwrap()).collect()
}

#[test]
fn a_history_is_told_and_forgotten() {
    let server = start();
    let mut backend = Backend::new(&server);
    let mut epoch = Value::Null;
    for offset in 1..=7 {
        let body = json!({"channel": "chat:1", "data": {"n": offset}, "tags": {"n": offset.to_string()}});
        let answer = backend.ask("publish", body);
        assert_eq!(answer["result"]["offset"], offset, "{answer}");
        epoch = answer["result"]["epoch"].clone();
    }
    let mut history = |more: Value| {
        let mut body = json!({"channel": "chat:1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        backend.ask("history", body)
    };
    let all = history(json!({"limit": -1}));
    assert_eq!(offsets(&all), [3, 4, 5, 6, 7]);
    let last = json!({"data": {"n": 7}, "offset": 7, "tags": {"n": "7"}});
    assert_eq!((&all["result"]["publications"][4], &all["result"]["offset"]), (&last, &json!(7)));
    assert_eq!(all["result"]["epoch"], epoch);
    assert_eq!(history(json!({})), json!({"result": {"publications": [], "offset": 7, "epoch": epoch}}));
    assert_eq!(offsets(&history(json!({"limit": 2}))), [3, 4]);
    assert_eq!(offsets(&history(json!({"limit": 2, "since": {"offset": 4, "epoch": epoch}}))), [5, 6]);
    assert_eq!(offsets(&history(json!({"limit": 2, "reverse": true}))), [7, 6]);
    let back = history(json!({"limit": -1, "since": {"offset": 6, "epoch": epoch}, "reverse": true}));
    assert_eq!(offsets(&back), [5, 4, 3]);
    let lost = history(json!({"limit": 1, "since": {"offset": 4, "epoch": "another"}}));
    assert_eq!(lost["error"], json!({"code": 112, "message": "unrecoverable position"}));
    assert_eq!(backend.ask("history_remove", json!({"channel": "chat:1"})), json!({"result": {}}));
    let after = backend.ask("history", json!({"channel": "chat:1", "limit": -1}));
    assert_eq!(after, json!({"result": {"publications": [], "offset": 7, "epoch": epoch}}));
    server.end();
}

#[test]
fn what_is_published_again_with_its_key_or_an_older_version_is_published_once() {
    let server = start();
    let mut listener = Client::subscribed(server.address, &["chat:1", "chat:2"]);
    let mut backend = Backend::new(&server);
    let body = json!({"channel": "chat:1", "data": "once", "idempotency_key": "k1"});
    let answers = [backend.ask("publish", body.clone()), backend.ask("publish", body)];
    assert_eq!((&answers[0], &answers[0]["result"]["offset"]), (&answers[1], &json!(1)));
    // The key is the channel's own.
    let body = json!({"channels": ["chat:1", "chat:2"], "data": "once", "idempotency_key": "k1"});
    let answer = backend.ask("broadcast", body);
    assert_eq!(answer["result"]["responses"][0], answers[0]);
    assert_eq!(answer["result"]["responses"][1]["result"]["offset"], 1);
    for version in [3, 2, 3, 4] {
        backend.ask("publish", json!({"channel": "chat:1", "data": version, "version": version}));
    }
    backend.ask("publish", json!({"channel": "chat:1", "data": "past", "skip_history": true}));
    let mut heard = listener.publications(5);
    heard.sort_by_key(Value::to_string);
    assert_eq!(heard, [json!("once"), json!("once"), json!("past"), json!(3), json!(4)]);
    let history = backend.ask("history", json!({"channel": "chat:1", "limit": -1}));
    assert_eq!(offsets(&history), [1, 2, 3]);
    drop(listener);
    server.end();
}

#[test]
fn presence_and_channels_tell_who_is_where() {
    let server = start();
    let mut backend = Backend::new(&server);
    let clients: Vec<_> = (0..3).map(|_| Client::subscribed(server.address, &["chat:1", "bare:1"])).collect();
    let ids: Vec<_> = clients.iter().map(|client| client.hello["client"].as_str().unwrap()).collect();
    let presence = backend.ask("presence", json!({"channel": "chat:1"}));
    let present = presence["result"]["presence"].as_object().unwrap();
    assert_eq!(present.len(), 3);
    for id in ids {
        assert_eq!(present[id], json!({"user": "", "client": id}));
    }
    let stats = backend.ask("presence_stats", json!({"channel": "chat:1"}));
    assert_eq!(stats["result"]["num_clients"], 3);
    let count = |count| json!({"num_clients": count});
    let channels = backend.ask("channels", json!({}));
    assert_eq!(channels, json!({"result": {"channels": {"bare:1": count(3), "chat:1": count(3)}}}));
    let channels = backend.ask("channels", json!({"pattern": "chat:*"}));
    assert_eq!(channels, json!({"result": {"channels": {"chat:1": count(3)}}}));
    for (method, channel, code) in
        [("presence", "bare:1", 108), ("history", "bare:1", 108), ("presence_stats", "no:1", 102)]
    {
        assert_eq!(backend.ask(method, json!({"channel": channel}))["error"]["code"], code);
    }
    drop(clients);
    until("an empty channel", || {
        let stats = backend.ask("presence_stats", json!({"channel": "chat:1"}));
        (stats["result"]["num_clients"] == 0).then_some(())
    });
    server.end();
}

#[test]
fn a_backend_subscribes_and_unsubscribes_connections() {
    let server = start();
    let mut backend = Backend::new(&server);
    let (mut one, mut other) = (Client::open(server.address), Client::open(server.address));
    let id = one.hello["client"].clone();
    backend.ask("publish", json!({"channel": "chat:1", "data": "before"}));
    let body = json!({"user": "", "client": id, "channel": "chat:1", "data": {"why": "because"}});
    assert_eq!(backend.ask("subscribe", body), json!({"result": {}}));
    let push = one.push("subscribe");
    assert_eq!(
        (&push["channel"], &push["subscribe"]["data"]),
        (&json!("chat:1"), &json!({"why": "because"}))
    );
    assert_eq!((&push["subscribe"]["offset"], &push["subscribe"]["recoverable"]), (&json!(1), &json!(true)));
    backend.ask("publish", json!({"channel": "chat:1", "data": "after"}));
    assert_eq!(one.publication(), ("chat:1".to_owned(), json!("after")));
    let body = json!({"user": "", "client": id, "channel": "chat:1"});
    assert_eq!(backend.ask("unsubscribe", body), json!({"result": {}}));
    let push = one.push("unsubscribe");
    assert_eq!(push["unsubscribe"], json!({"code": 2000, "reason": "server unsubscribe"}));
    // Neither is another connection meant, nor another user's.
    backend.ask("subscribe", json!({"user": "someone", "channel": "bare:1"}));
    backend.ask("subscribe", json!({"user": "", "client": "nobody", "channel": "bare:1"}));
    for client in [&mut one, &mut other] {
        client.sync();
        assert_eq!(client.subscribe("bare:1"), Ok(()), "it was not subscribed");
    }
    drop((one, other));
    server.end();
}

/// The push about the subscription cannot contain the missed publications: they follow, once and in order.
#[test]
fn who_is_subscribed_since_a_position_gets_what_came_after() {
    let server = start();
    let mut backend = Backend::new(&server);
    let mut client = Client::open(server.address);
    let publish = |backend: &mut Backend, data: i32| {
        backend.ask("publish", json!({"channel": "chat:1", "data": data}))["result"].clone()
    };
    let first = publish(&mut backend, 1);
    publish(&mut backend, 2);
    publish(&mut backend, 3);
    // The user is anonymous, which a request that names the connection may omit.
    let body = json!({"client": client.hello["client"], "channel": "chat:1", "recover_since": first});
    assert_eq!(backend.ask("subscribe", body), json!({"result": {}}));
    publish(&mut backend, 4);
    assert_eq!(client.push("subscribe")["subscribe"]["offset"], 1);
    let got: Vec<(Value, Value)> = (0..3)
        .map(|_| client.push("pub")["pub"].take())
        .map(|publication| (publication["data"].clone(), publication["offset"].clone()))
        .collect();
    assert_eq!(got, [2, 3, 4].map(|n| (json!(n), json!(n))));
    assert_eq!(backend.ask("disconnect", json!({}))["error"]["code"], 107, "nobody is named at all");
    drop(client);
    server.end();
}

/// In a channel whose options permit none of it.
#[test]
fn a_subscription_may_tell_and_hear_what_its_channel_does_not() {
    let server = start();
    let mut backend = Backend::new(&server);
    let mut clients = [Client::open(server.address), Client::open(server.address)];
    for client in &mut clients {
        let on = json!({"value": true});
        let overrides = json!({"presence": on, "join_leave": on, "force_push_join_leave": on});
        let body = json!({"client": client.hello["client"], "channel": "bare:1", "override": overrides});
        assert_eq!(backend.ask("subscribe", body), json!({"result": {}}));
        client.push("subscribe");
    }
    let [one, mut other] = clients;
    let ids = [&one, &other].map(|client| client.hello["client"].clone());
    let mut one = one;
    while one.push("join")["join"]["info"]["client"] != ids[1] {}
    backend.ask("unsubscribe", json!({"client": ids[1], "channel": "bare:1"}));
    assert_eq!(one.push("leave")["leave"]["info"]["client"], ids[1]);
    other.sync();
    drop((one, other));
    server.end();
}

#[test]
fn a_backend_disconnects_and_expires_connections() {
    let server = start();
    let mut backend = Backend::new(&server);
    let mut clients: Vec<_> = (0..4).map(|_| Client::open(server.address)).collect();
    let spared = clients.pop().unwrap();
    let kept = spared.hello["client"].clone();
    let one = clients.pop().unwrap();
    let body =
        json!({"user": "", "client": one.hello["client"], "disconnect": {"code": 4321, "reason": "you"}});
    assert_eq!(backend.ask("disconnect", body), json!({"result": {}}));
    one.expect_close(4321);
    backend.ask("disconnect", json!({"user": "", "whitelist": [kept]}));
    for client in clients {
        client.expect_close(3503);
    }
    backend.ask("refresh", json!({"user": "", "client": kept, "expired": true}));
    spared.expect_close(3005);
    server.end();
}
