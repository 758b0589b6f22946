//! Clients that request much and read nothing: one frame of commands requested gigabytes of answers, all of them
//! encoded at once. Commands wait while earlier answers are unread.

use std::fs;

use serde_json::{Value, json};

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Client, Peer, Server, until};

/// 40 publications of 50 KB in a channel: 2 MB for each that asks for them.
const COUNT: usize = 40;
const EACH: usize = 50_000;
/// A fraction of all answers at once, some hundreds of megabytes.
const SLACK_BYTES: u64 = 48 << 20;

const CONFIG: &str = r#"
[channel.without_namespace]
history_size = 100
history_ttl = "1h"
presence = true
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true
allow_presence_for_client = true
allow_presence_for_anonymous = true
[client]
allow_anonymous_connect_without_token = true
[sse]
enabled = true
"#;

fn server(flags: &[&str]) -> Server {
    let server = Server::configured(CONFIG, flags);
    let mut backend = Client::open(server.address);
    for channel in ["much", "more"] {
        for _ in 0..COUNT {
            assert_eq!(backend.publish(channel, json!("x".repeat(EACH))), Ok(()));
        }
    }
    server
}

fn resident_bytes(server: &Server) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{}/statm", server.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// As many commands as a frame holds.
fn frame_of(command: impl Fn(usize) -> Value) -> (usize, String) {
    let mut frame = String::new();
    let mut count = 0;
    while frame.len() < 60_000 {
        frame.push_str(&format!("{}\n", command(count + 2)));
        count += 1;
    }
    (count, frame)
}

/// Has a client ask by one frame and read nothing; the server lives on within its means, and serves others.
fn ask_and_do_not_read(server: &Server, witness: &mut Client, frame: &str) -> Client {
    let before = resident_bytes(server);
    let mut client = Client::open(server.address);
    client.send(frame);
    // Its answers are in transit, or wait.
    until("bytes in its outbox", || (server.metric("throng_outbox_bytes") > 0).then_some(()));
    for _ in 0..5 {
        witness.sync();
        let now = resident_bytes(server);
        assert!(now < before + SLACK_BYTES, "{before} bytes before, {now} now");
    }
    client
}

#[test]
fn commands_wait_while_their_client_does_not_read() {
    let server = server(&["--shards", "2"]);
    let mut witness = Client::open(server.address);
    // A limit that drops answers would show in later ones.
    let history = |id: usize| json!({"id": id, "history": {"channel": "much", "limit": -1}});
    let (_, frame) = frame_of(history);
    let client = ask_and_do_not_read(&server, &mut witness, &frame);
    drop(client);
    server.await_metric("throng_connections", 1);
    server.await_metric("throng_outbox_bytes", 0);
    assert_eq!(server.metric_with("throng_memory_bytes", "partial_messages"), 0);
    witness.sync();
}

#[test]
fn those_who_do_not_read_the_same_history_hold_it_once() {
    const CLIENT_COUNT: u64 = 60;
    // The history is 2 MB: a copy for each would be 120 MB.
    let server = server(&["--shards", "2", "--queued-bytes-max", "16MiB"]);
    let mut witness = Client::open(server.address);
    let before = resident_bytes(&server);
    let history = |id: usize| json!({"id": id, "history": {"channel": "much", "limit": -1}});
    let (_, frame) = frame_of(history);
    let clients: Vec<Client> = (0..CLIENT_COUNT)
        .map(|_| {
            let mut client = Client::open(server.address);
            client.send(&frame);
            client
        })
        .collect();
    let all_wait = || (server.metric("throng_outboxes") == CLIENT_COUNT).then_some(());
    until("an answer of each waits", all_wait);
    witness.sync();
    let queued = server.metric_with("throng_memory_bytes", "kind=\"queued\"");
    assert!(queued < 8 << 20, "{queued} bytes queued");
    let now = resident_bytes(&server);
    assert!(now < before + SLACK_BYTES, "{before} bytes before, {now} now");
    // No client was refused or disconnected for answers that cost nothing.
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"answers\""), 0);
    assert_eq!(server.metric("throng_budget_closes_total"), 0);
    drop(clients);
    server.await_metric("throng_connections", 1);
    server.await_metric_with("throng_memory_bytes", "kind=\"queued\"", 0);
}

#[test]
fn who_reads_gets_every_answer_in_its_order() {
    let server = server(&["--shards", "2"]);
    let mut client = Client::open(server.address);
    let mut frame = String::new();
    let count: usize = 60;
    for id in 0..count {
        let id = 2 + 3 * id;
        let history = json!({"id": id, "history": {"channel": "much", "limit": 20}});
        let presence = json!({"id": id + 1, "presence": {"channel": "much"}});
        let publish = json!({"id": id + 2, "publish": {"channel": "other", "data": id}});
        frame.push_str(&format!("{history}\n{presence}\n{publish}\n"));
    }
    client.send(&frame);
    let mut gathered = (2..2 + 3 * count).filter(|id| id % 3 != 1);
    for _ in 0..3 * count {
        let reply = client.next_reply();
        assert!(reply["error"].is_null(), "{}: {}", reply["id"], reply["error"]);
        // Publications have their home's timing; gathered answers come one after the other.
        if reply["publish"].is_null() {
            assert_eq!(reply["id"], json!(gathered.next()));
        }
        if reply["history"].is_object() {
            assert_eq!(reply["history"]["publications"].as_array().unwrap().len(), 20);
        }
    }
    assert_eq!(gathered.next(), None);
    // The server reads the client's remaining input after all.
    client.sync();
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"answers\""), 0);
}

#[test]
fn subscriptions_that_recover_wait_or_come_again() {
    let server = server(&["--shards", "2"]);
    let mut witness = Client::open(server.address);
    let epoch = witness.request(json!({"history": {"channel": "much"}}))["history"]["epoch"].clone();
    let subscribe = |id: usize| match id % 3 {
        2 => {
            json!({"id": id, "subscribe": {"channel": "much", "recover": true, "epoch": epoch, "offset": 0}})
        }
        // Commands behind it wait until it is answered, and so until the subscription is.
        0 => json!({"id": id, "presence": {"channel": "much"}}),
        _ => json!({"id": id, "unsubscribe": {"channel": "much"}}),
    };
    let (count, frame) = frame_of(subscribe);
    let mut client = ask_and_do_not_read(&server, &mut witness, &frame);
    for id in (2..2 + u32::try_from(count).unwrap()).take(30) {
        let reply = client.reply(id);
        assert!(reply["error"].is_null(), "{id}: {}", reply["error"]);
    }
}

#[test]
fn the_one_who_asks_pays_when_there_is_no_room_for_the_answer() {
    // Not even one such answer fits.
    let server = server(&["--shards", "1", "--queued-bytes-max", "2MiB"]);
    let mut witness = Client::subscribed(server.address, &["news"]);
    let mut client = Client::open(server.address);
    let reply = client.request(json!({"history": {"channel": "much", "limit": -1}}));
    assert_eq!(reply["error"], json!({"code": 111, "message": "too many requests", "temporary": true}));
    let epoch = client.request(json!({"history": {"channel": "much"}}))["history"]["epoch"].clone();
    let since = json!({"channel": "much", "recover": true, "epoch": epoch, "offset": 0});
    assert_eq!(client.request(json!({"subscribe": since}))["error"]["code"], json!(111));
    // It is not subscribed, so it may be.
    assert_eq!(client.subscribe("much"), Ok(()));
    assert_eq!(client.publish("news", json!(1)), Ok(()));
    assert_eq!(witness.publication(), ("news".to_owned(), json!(1)));
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"answers\""), 2);
    assert_eq!(server.metric("throng_budget_closes_total"), 0);
}

#[test]
fn posted_commands_wait_too_and_a_client_that_posts_on_is_slow() {
    let server = server(&["--shards", "2"]);
    let mut witness = Client::open(server.address);
    let before = resident_bytes(&server);
    let mut stream = Peer::connect(server.address);
    let connect = "%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";
    stream.send_bytes(
        format!("GET /connection/sse?cf_connect={connect} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
    );
    assert_eq!(stream.response_head().status, 200);
    let hello: Value = serde_json::from_str(stream.line().strip_prefix("data: ").unwrap()).unwrap();
    let history = |id: usize| json!({"id": id, "history": {"channel": "much", "limit": -1}});
    let (_, frame) = frame_of(history);
    let frame = &frame[..50_000];
    let frame = &frame[..frame.rfind('\n').unwrap()];
    let body =
        json!({"node": hello["connect"]["node"], "session": hello["connect"]["session"], "data": frame});
    let body = body.to_string();
    for _ in 0..40 {
        let post = format!(
            "POST /emulation HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(Peer::request(server.address, post.as_bytes()).status, 204);
        witness.sync();
        let now = resident_bytes(&server);
        assert!(now < before + SLACK_BYTES, "{before} bytes before, {now} now");
    }
    server.await_metric("throng_slow_consumers_total", 1);
}

#[test]
fn channels_from_the_start_are_told_together_or_not_at_all() {
    let server = server(&["--shards", "1", "--queued-bytes-max", "2MiB"]);
    let mut client = Client::open(server.address);
    let epoch = client.request(json!({"history": {"channel": "much"}}))["history"]["epoch"].clone();
    let mut peer = Peer::open(server.address, PATH);
    let subs = json!({"much": {"recover": true, "epoch": epoch, "offset": 0}});
    peer.send(TEXT, json!({"id": 1, "connect": {"subs": subs}}).to_string());
    peer.expect_close(3013);
    client.sync();
}

#[test]
fn posted_commands_that_are_answered_at_once_wait_too() {
    let server = Server::configured(CONFIG, &["--shards", "2"]);
    let mut witness = Client::open(server.address);
    for command in [
        r#"{"id":2,"ping":{}}"#,
        r#"{"id":2,"dance":{}}"#,
        r#"{"id":2,"publish":{"channel":"a"}}"#,
        r#"{"id":2,"presence":{"channel":""}}"#,
    ] {
        let slow_before = server.metric("throng_slow_consumers_total");
        let mut stream = Peer::connect(server.address);
        // Little room in the kernel, so that the server has to hold the answers.
        socket2::SockRef::from(&stream.stream).set_recv_buffer_size(4096).unwrap();
        let connect = "%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";
        stream.send_bytes(
            format!("GET /connection/sse?cf_connect={connect} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
        assert_eq!(stream.response_head().status, 200);
        let hello: Value = serde_json::from_str(stream.line().strip_prefix("data: ").unwrap()).unwrap();
        let data = format!("{command}\n").repeat(45_000 / (command.len() + 1));
        let body =
            json!({"node": hello["connect"]["node"], "session": hello["connect"]["session"], "data": data});
        let body = body.to_string();
        let post = format!(
            "POST /emulation HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Up to 4 MB in the kernel, and then the server's limit: the last of them exceed it.
        let mut posts = 0;
        while server.metric("throng_slow_consumers_total") == slow_before {
            assert_eq!(Peer::request(server.address, post.as_bytes()).status, 204);
            let queued = server.metric("throng_outbox_bytes");
            assert!(queued < 2 << 20, "{command}: {queued} bytes wait");
            posts += 1;
            assert!(posts < 2000, "{command}: there is no end to it");
        }
        witness.sync();
    }
}

#[test]
fn results_of_calls_are_held_to_the_outbox_as_all_answers_are() {
    let application = Application::start();
    let server = application.server(|application| {
        json!({
            "client": {"allow_anonymous_connect_without_token": true, "concurrency": 1000},
            "rpc": {"proxy": hook(application, "rpc"), "without_namespace": {"proxy_enabled": true}},
            "outbox_bytes_max": 1 << 20,
        })
    });
    let mut client = Client::open(server.address);
    // Much more than the kernel takes.
    let count = 500;
    let calls: Vec<String> =
        (0..count).map(|id| json!({"id": id + 100, "rpc": {"method": "m"}}).to_string()).collect();
    // All of them are asked before the first is answered.
    client.send(&calls.join("\n"));
    for _ in 0..count {
        application.answer("rpc", json!({"result": {"data": "x".repeat(60_000)}}));
    }
    assert!(server.metric("throng_outbox_bytes") < 2 << 20);
    let mut refused = 0;
    for _ in 0..count {
        let reply = client.next_reply();
        if reply["error"].is_object() {
            assert_eq!(reply["error"]["code"], json!(111));
            refused += 1;
        }
    }
    assert!(0 < refused && refused < count, "{refused}");
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"answers\""), refused);
}
