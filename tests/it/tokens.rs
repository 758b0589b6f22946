//! Subscriptions and capabilities from tokens, at connect and at refresh, and the client's own requests beside them.

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Client, Peer, Server};

const UNKNOWN_CHANNEL: u64 = 102;
const PERMISSION_DENIED: u64 = 103;
const TOKEN_EXPIRED: u64 = 109;

const CONFIG: &str = r#"
[client]
channel_limit = 4
disallow_anonymous_connection_tokens = true
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "between us"
[channel.without_namespace]
allow_user_limited_channels = true
[[channel.namespaces]]
name = "open"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[[channel.namespaces]]
name = "heard"
allow_subscribe_for_client = true
history_size = 10
history_ttl = "1h"
join_leave = true
allow_history_for_subscriber = true
allow_presence_for_subscriber = true
presence = true
[[channel.namespaces]]
name = "deaf"
allow_subscribe_for_client = true
history_size = 10
history_ttl = "1h"
join_leave = true
presence = true
[uni_websocket]
enabled = true
[uni_sse]
enabled = true
"#;

fn token(claims: &Value) -> String {
    mint(b"between us", claims.to_string().as_bytes())
}

fn server() -> Server {
    Server::configured(CONFIG, &[])
}

fn ann(server: &Server, mut claims: Value) -> Client {
    claims["sub"] = "ann".into();
    Client::with_token(server.address, &token(&claims))
}

/// The channels in a connect reply.
fn subs(hello: &Value) -> Vec<&str> {
    hello["subs"].as_object().into_iter().flatten().map(|(channel, _)| channel.as_str()).collect()
}

/// Connects with this command; the close frame must have this code.
fn refused(server: &Server, connect: &Value, code: u16) {
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, json!({"id": 1, "connect": connect}).to_string());
    peer.expect_close(code);
}

/// Refreshes with these claims.
fn refresh(client: &mut Client, mut claims: Value) {
    claims["sub"] = "ann".into();
    let reply = client.request(json!({"refresh": {"token": token(&claims)}}));
    assert!(reply["refresh"].is_object(), "{reply}");
}

#[test]
fn the_first_capability_that_names_a_channel_decides() {
    let server = server();
    let mut client = ann(
        &server,
        json!({"caps": [
            {"channels": ["a"], "allow": ["sub"]},
            {"channels": ["*"], "match": "wildcard", "allow": ["sub", "pub"]},
            {"channels": ["b"], "allow": []}
        ]}),
    );
    for (channel, may_publish) in [("a", Err(PERMISSION_DENIED)), ("b", Ok(()))] {
        assert_eq!(client.subscribe(channel), Ok(()), "{channel}");
        assert_eq!(client.publish(channel, json!(1)), may_publish, "{channel}");
    }
}

#[test]
fn a_new_token_takes_back_what_the_old_one_allowed() {
    let server = server();
    let allow = |what: &[&str]| json!({"caps": [{"channels": ["a"], "allow": what}]});
    let mut client = ann(&server, allow(&["sub", "pub"]));
    assert_eq!((client.subscribe("a"), client.publish("a", json!(1))), (Ok(()), Ok(())));
    refresh(&mut client, allow(&["sub"]));
    assert_eq!(client.publish("a", json!(2)), Err(PERMISSION_DENIED));
    refresh(&mut client, allow(&["sub", "pub"]));
    assert_eq!(client.publish("a", json!(3)), Ok(()));
    refresh(&mut client, json!({}));
    assert_eq!(client.publish("a", json!(4)), Err(PERMISSION_DENIED));
    assert_eq!(client.subscribe("b"), Err(PERMISSION_DENIED));
}

#[test]
fn a_new_token_with_other_channels_has_its_client_connect_anew() {
    let server = server();
    let mut client = ann(&server, json!({"channels": ["a", "b"]}));
    assert_eq!(subs(&client.hello), ["a", "b"]);
    assert_eq!(client.subscribe("open:c"), Ok(()));
    // The same ones, in either form; the client's own subscriptions do not count.
    refresh(&mut client, json!({"subs": {"b": {}, "a": {}}}));
    refresh(&mut client, json!({"channels": ["a", "b", "open:c"]}));
    for channels in [json!(["a"]), json!(["a", "b", "c"]), json!([])] {
        let mut client = ann(&server, json!({"channels": ["a", "b"]}));
        let token = token(&json!({"sub": "ann", "channels": channels}));
        client.send(&json!({"id": 9, "refresh": {"token": token}}).to_string());
        client.expect_close(3010);
    }
}

/// An error would have the official clients give up for good.
#[test]
fn a_token_that_is_over_when_it_comes_has_its_client_come_back() {
    let server = server();
    let over = 1_000_000_000;
    let mut client = ann(&server, json!({}));
    let granted = |exp: u64| token(&json!({"sub": "ann", "channel": "$a", "exp": exp}));
    let first = client.request(json!({"subscribe": {"channel": "$a", "token": granted(4_000_000_000)}}));
    assert!(first["subscribe"].is_object(), "{first}");
    let reply = client.request(json!({"sub_refresh": {"channel": "$a", "token": granted(over)}}));
    assert_eq!(reply["error"]["code"], TOKEN_EXPIRED);
    assert_eq!(client.push("unsubscribe")["unsubscribe"]["code"], 2501, "it subscribes anew");
    assert_eq!(server.metric("throng_subscriptions"), 0);
    let token = token(&json!({"sub": "ann", "exp": over}));
    client.send(&json!({"id": 9, "refresh": {"token": token}}).to_string());
    client.expect_close(3005);
    let again = Client::try_over(Peer::open(server.address, PATH), json!({"token": token}));
    assert_eq!(again.err(), Some(TOKEN_EXPIRED));
}

#[test]
fn channels_that_cannot_be_had_are_not_passed_over() {
    let server = server();
    let claims = json!({"sub": "ann", "channels": ["a", "nowhere:b"]});
    let outcome = Client::try_over(Peer::open(server.address, PATH), json!({"token": token(&claims)}));
    assert_eq!(outcome.err(), Some(UNKNOWN_CHANNEL));
    let claims = json!({"sub": "ann", "channels": ["a", "b", "c", "d", "e"]});
    refused(&server, &json!({"token": token(&claims)}), 3505);
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"subscriptions\""), 1);
    server.await_metric("throng_subscriptions", 0);
    refused(&server, &json!({"token": token(&json!({}))}), 3507);
}

#[test]
fn who_asks_for_channels_gets_those_that_it_could_subscribe_to() {
    let server = server();
    let asked = json!({"open:a": {}, "$private": {}, "plain": {}, "#ann": {}, "#ben": {}, "open:\u{e9}": {}});
    let connect = json!({"token": token(&json!({"sub": "ann"})), "subs": asked});
    let client = Client::try_over(Peer::open(server.address, PATH), connect).unwrap();
    assert_eq!(subs(&client.hello), ["#ann", "open:a"]);
    let anonymous = Client::try_over(Peer::open(server.address, PATH), json!({"subs": asked})).unwrap();
    assert_eq!(subs(&anonymous.hello), ["open:a"]);
    refused(&server, &json!({"subs": {"open:a": {}, "nowhere:b": {}}}), 3501);
    let many: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("open:{n}"), json!({}))).collect();
    refused(&server, &json!({"subs": many}), 3505);
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"subscriptions\""), 1);
    // Subscriptions of its token are not repeated, and its capabilities apply to its own requests.
    let claims =
        json!({"sub": "ann", "channels": ["open:a"], "caps": [{"channels": ["plain"], "allow": ["sub"]}]});
    let connect = json!({"token": token(&claims), "subs": {"open:a": {}, "plain": {}}});
    let client = Client::try_over(Peer::open(server.address, PATH), connect).unwrap();
    assert_eq!(subs(&client.hello), ["open:a", "plain"]);
}

#[test]
fn who_sends_no_commands_asks_for_channels_in_its_request() {
    let server = server();
    let connect = r#"{"subs":{"open:a":{}},"name":"tv"}"#;
    let query: String = form_urlencoded::byte_serialize(connect.as_bytes()).collect();
    let mut publisher = ann(&server, json!({"caps": [{"channels": ["open:a"], "allow": ["pub"]}]}));
    let hello = |message: &[u8]| serde_json::from_slice::<Value>(message).unwrap()["connect"].take();
    // By WebSocket, in the URL or in the first message.
    for in_url in [true, false] {
        let path = "/connection/uni_websocket";
        let mut peer = match in_url {
            true => Peer::open(server.address, &format!("{path}?cf_connect={query}")),
            false => Peer::open(server.address, path),
        };
        if !in_url {
            peer.send(TEXT, connect);
        }
        let hello = hello(&peer.message().1);
        assert_eq!(subs(&hello), ["open:a"], "{hello}");
        assert!(hello["session"].as_str().is_some_and(|session| !session.is_empty()), "{hello}");
        assert_eq!(hello.get("node"), None, "{hello}");
        publisher.publish("open:a", json!(in_url)).unwrap();
        let push: Value = serde_json::from_slice(&peer.message().1).unwrap();
        assert_eq!((&push["channel"], &push["pub"]["data"]), (&json!("open:a"), &json!(in_url)));
    }
    // By server-sent events.
    let mut peer = Peer::connect(server.address);
    let request = format!("GET /connection/uni_sse?cf_connect={query} HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.send_bytes(request.as_bytes());
    assert_eq!(peer.response_head().status, 200);
    let event = std::iter::repeat_with(|| peer.line()).find(|line| line.starts_with("data: ")).unwrap();
    assert_eq!(subs(&hello(event.trim_start_matches("data: ").as_bytes())), ["open:a"]);
}

/// The hook has seen the client's request, and its answer is complete.
#[test]
fn where_the_application_lets_clients_in_it_alone_gives_channels() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        json!({
            "client": {"proxy": {"connect": connect}},
            "channel": {"without_namespace": {"allow_subscribe_for_client": true}}
        })
    });
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{"subs":{"a":{},"b":{}}}}"#);
    let asked = application.answer("connect", json!({"result": {"user": "42", "channels": ["b", "c"]}}));
    assert_eq!(asked["channels"], json!(["a", "b"]));
    let hello: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!(subs(&hello["connect"]), ["b", "c"]);
}

/// A position gives access to the history, and joins show the presence.
#[test]
fn what_a_subscriber_may_ask_for_beside_is_what_it_may_know() {
    let server = Server::configured(CONFIG, &["--shards", "1"]);
    for (channel, is_let) in [("heard:a", true), ("deaf:a", false)] {
        let mut client = ann(&server, json!({}));
        let wishes = json!({"channel": channel, "recoverable": true, "positioned": true, "join_leave": true});
        let mut reply = client.request(json!({"subscribe": wishes}));
        let result = reply["subscribe"].take();
        for wish in ["recoverable", "positioned"] {
            assert_eq!(result[wish] == true, is_let, "{channel} {wish}: {result}");
        }
        let mut other = ann(&server, json!({}));
        assert_eq!(other.subscribe(channel), Ok(()));
        if is_let {
            assert_eq!(client.push("join")["channel"], channel);
        } else {
            // One shard sends joins in the turn in which they happen: this comes later.
            client.send("no command");
            let lines = client.expect_close(3501);
            assert!(lines.iter().all(|line| line["push"]["join"].is_null()), "{lines:?}");
        }
    }
}
