//! Commands that wait for a hook when their client closes the connection, at any layer. They were not executed.

use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::{CLOSE, TEXT};
use crate::support::tls::fixtures::Authority;
use crate::support::tls::{Folder, Socket, trusting};
use crate::support::{Client, Peer, Server};

fn server(application: &Application, linger_ms: u32, more: &Value) -> Server {
    application.server(|application| {
        let open = json!({
            "allow_subscribe_for_client": true,
            "allow_publish_for_subscriber": true,
            "presence": true,
        });
        let mut config = json!({
            "linger_ms": linger_ms,
            "client": {"token": {"hmac_secret_key": "between us"}},
            "channel": {
                "proxy": {"publish": hook(application, "publish")},
                "without_namespace": open,
                "namespaces": [{
                    "name": "hooked",
                    "allow_subscribe_for_client": true,
                    "publish_proxy_enabled": true,
                }],
            },
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    })
}

fn token() -> String {
    mint(b"between us", br#"{"sub":"ann"}"#)
}

fn allowed() -> Value {
    json!({"result": {}})
}

/// Two publications that a hook is asked about, and one that only a subscriber may send.
fn frame() -> String {
    let publish = |id, channel| json!({"id": id, "publish": {"channel": channel, "data": id}}).to_string();
    [publish(50, "hooked:a"), publish(51, "hooked:a"), publish(52, "plain")].join("\n")
}

fn witness(server: &Server) -> Client {
    let mut witness = Client::with_token(server.address, &token());
    for channel in ["hooked:a", "plain"] {
        witness.subscribe(channel).unwrap();
    }
    witness
}

fn speaker(server: &Server) -> Client {
    let mut client = Client::with_token(server.address, &token());
    client.subscribe("plain").unwrap();
    client.send(&frame());
    client
}

/// The way in which a client closes: its name and its function.
type Goodbye = (&'static str, fn(Client));

#[test]
fn what_waits_when_its_client_says_goodbye_is_carried_out() {
    let application = Application::start();
    let server = server(&application, 10_000, &json!({}));
    let mut witness = witness(&server);
    let goodbyes: [Goodbye; 3] = [
        ("a close frame", |mut client| {
            client.peer.send_close(1000);
            // The replies before its close frame, and nothing after them but the answering close frame.
            assert_eq!(client.peer.frame().close_code(), Some(1000));
            client.peer.expect_end();
        }),
        ("the end of its side", |mut client| {
            client.peer.stream.shutdown(Shutdown::Write).unwrap();
            assert!(client.peer.rest().is_empty());
        }),
        ("the end of its socket", drop),
    ];
    for (name, goodbye) in goodbyes {
        let client = speaker(&server);
        let question = application.question("publish");
        let gone = std::thread::spawn(move || goodbye(client));
        // Its goodbye arrives meanwhile; its subscription holds.
        witness.sync();
        std::thread::sleep(Duration::from_millis(100));
        question.answer(allowed());
        application.answer("publish", allowed());
        // Two channels may have homes in two shards: their publications arrive in any order.
        let mut heard: Vec<(String, Value)> = (0..3).map(|_| witness.publication()).collect();
        heard.sort_by_key(|(channel, _)| channel == "plain");
        let heard: Vec<Value> = heard.into_iter().map(|(_, data)| data).collect();
        assert_eq!(heard, [50, 51, 52].map(|id| json!(id)), "{name}");
        gone.join().unwrap();
        server.await_metric("throng_connections", 1);
        server.await_metric("throng_subscriptions", 2);
    }
}

#[test]
fn what_waits_when_its_client_says_goodbye_by_a_record_is_carried_out() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let [_, chain, _, key] = folder.pair("one", &ca.issue(&["one.test"]));
    let application = Application::start();
    let server = server(&application, 10_000, &json!({"tls_cert": chain, "tls_key": key}));
    let client = trusting(&ca, None);
    let connect = json!({"id": 1, "connect": {"token": token()}}).to_string();
    let subscribe = |id, channel| json!({"id": id, "subscribe": {"channel": channel}}).to_string();
    let open = || {
        let mut socket = Socket::open(&client, server.address, "one.test", PATH).unwrap();
        assert!(socket.ask(&connect).contains("\"connect\""));
        assert!(socket.ask(&subscribe(2, "plain")).contains("\"subscribe\""));
        socket
    };
    let mut witness = open();
    assert!(witness.ask(&subscribe(3, "hooked:a")).contains("\"subscribe\""));
    let mut speaker = open();
    speaker.say(&frame());
    let question = application.question("publish");
    speaker.say_goodbye();
    std::thread::sleep(Duration::from_millis(100));
    question.answer(allowed());
    application.answer("publish", allowed());
    // Two channels may have homes in two shards: their publications arrive in any order.
    let heard: Vec<String> = (0..3).map(|_| witness.hear()).collect();
    for id in 50..53 {
        assert!(heard.iter().any(|text| text.contains(&format!(r#""data":{id}"#))), "{heard:?}");
    }
    assert!(speaker.is_answered(), "a goodbye is answered by one");
    server.await_metric("throng_connections", 1);
}

/// More than the limit of waiting commands, so that the end is not read before the first of them are answered.
#[test]
fn what_waits_unread_when_its_client_is_gone_is_carried_out() {
    let application = Application::start();
    let server = server(&application, 10_000, &json!({}));
    let mut witness = witness(&server);
    let mut client = Client::with_token(server.address, &token());
    // Pushes of its own publications would find no reader.
    client.subscribe("hooked:a").unwrap();
    for id in 50..200 {
        client.send(&json!({"id": id, "publish": {"channel": "hooked:a", "data": id}}).to_string());
    }
    let question = application.question("publish");
    drop(client);
    std::thread::sleep(Duration::from_millis(100));
    question.answer(allowed());
    (51..200).for_each(|_| drop(application.answer("publish", allowed())));
    assert_eq!(witness.publications(150), (50..200).map(|id| json!(id)).collect::<Vec<_>>());
    server.await_metric("throng_connections", 1);
}

/// A client that resets its connection is removed at once. What a hook is asked about is published all the same.
#[test]
fn what_waits_when_its_connection_is_reset_is_not_carried_out() {
    let application = Application::start();
    let server = server(&application, 10_000, &json!({}));
    let mut witness = witness(&server);
    let client = speaker(&server);
    let question = application.question("publish");
    SockRef::from(&client.peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    server.await_metric("throng_connections", 1);
    question.answer(allowed());
    assert_eq!(witness.publication().1, json!(50));
    let mut other = Client::with_token(server.address, &token());
    other.subscribe("plain").unwrap();
    other.publish("plain", json!("later")).unwrap();
    assert_eq!(witness.publication().1, json!("later"));
}

/// A hook decides about a publication, not about its connection: the publication was lost with that. Commands behind it
/// have not begun.
#[test]
fn what_a_hook_allows_is_published_after_its_connection_has_ended() {
    let application = Application::start();
    let server = server(&application, 10_000, &json!({"http_api": {"key": "secret"}}));
    let mut witness = witness(&server);
    for outcome in ["published", "changed", "refused"] {
        let info = br#"{"sub":"bob","info":{"n":1}}"#;
        let mut client = Client::with_token(server.address, &mint(b"between us", info));
        client.subscribe("plain").unwrap();
        client.send(&frame());
        let question = application.question("publish");
        let body = r#"{"user":"bob"}"#;
        let request = format!(
            "POST /api/disconnect HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(Peer::request(server.control, request.as_bytes()).status, 200);
        client.expect_close(3503);
        server.await_metric("throng_connections", 1);
        question.answer(match outcome {
            "published" => allowed(),
            "changed" => json!({"result": {"data": "other"}}),
            _ => json!({"error": {"code": 1000, "message": "no"}}),
        });
        if outcome != "refused" {
            let pushed = &witness.push("pub")["pub"];
            let data = if outcome == "changed" { json!("other") } else { json!(50) };
            assert_eq!((&pushed["data"], &pushed["info"]["user"]), (&data, &json!("bob")), "{outcome}");
            assert_eq!(pushed["info"]["conn_info"], json!({"n": 1}), "{outcome}");
        }
        witness.publish("plain", json!(outcome)).unwrap();
        assert_eq!(witness.publication().1, json!(outcome), "nothing else of it");
    }
}

/// A hook that does not answer keeps a client that has left no longer than the linger.
#[test]
fn who_says_goodbye_is_gone_in_time_whatever_waits() {
    let application = Application::start();
    let server = server(&application, 300, &json!({}));
    let mut witness = witness(&server);
    let mut client = speaker(&server);
    let question = application.question("publish");
    client.peer.send_close(1000);
    assert_eq!(client.peer.frame().opcode, CLOSE);
    client.peer.expect_end();
    server.await_metric("throng_connections", 1);
    witness.publish("plain", json!("later")).unwrap();
    assert_eq!(witness.publication().1, json!("later"));
    // What the hook allows even later is published.
    question.answer(allowed());
    assert_eq!(witness.publication().1, json!(50));
}

/// Neither do many commands whose hooks answer, each in time, keep such a client for as long as they are many.
#[test]
fn who_says_goodbye_is_gone_in_time_however_much_waits() {
    let application = Application::start();
    let server = server(&application, 400, &json!({}));
    let _witness = witness(&server);
    let mut client = speaker(&server);
    let publish = |id: u32| json!({"id": id, "publish": {"channel": "hooked:a", "data": id}}).to_string();
    client.peer.send(TEXT, (100..130).map(publish).collect::<Vec<_>>().join("\n").as_str());
    let first = application.question("publish");
    client.peer.send_close(1000);
    thread::sleep(Duration::from_millis(100));
    first.answer(allowed());
    let mut count = 1;
    while server.metric("throng_connections") > 1 {
        let question = application.question("publish");
        thread::sleep(Duration::from_millis(200));
        question.answer(allowed());
        count += 1;
        assert!(count < 20, "it goes on");
    }
    assert!(count > 2, "what waited was dropped");
}
