//! Answers that differed from those of Centrifugo, on which applications rely.

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, Response, TEXT, upgrade};
use crate::support::{Client, Peer, Server};

const SECRET: &str = "a secret between us, of thirty-two characters";

const CONFIG: &str = r#"
[client]
channel_limit = 3
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "a secret between us, of thirty-two characters"
[channel.without_namespace]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
presence = true
[[channel.namespaces]]
name = "hist"
allow_subscribe_for_client = true
allow_history_for_client = true
history_size = 10
history_ttl = "1h"
[[channel.namespaces]]
name = "cache"
allow_subscribe_for_client = true
history_size = 1
history_ttl = "1h"
force_recovery = true
force_recovery_mode = "cache"
[[channel.namespaces]]
name = "strict"
channel_regex = "^[a-z]+$"
[[channel.namespaces]]
name = "lim"
allow_user_limited_channels = true
[http_api]
key = "secret"
[sse]
enabled = true
[uni_websocket]
enabled = true
[uni_sse]
enabled = true
[uni_http_stream]
enabled = true
"#;

fn server() -> Server {
    Server::configured(CONFIG, &[])
}

fn token(claims: &Value) -> String {
    mint(SECRET.as_bytes(), claims.to_string().as_bytes())
}

fn ann(server: &Server, mut claims: Value) -> Client {
    claims["sub"] = "ann".into();
    Client::with_token(server.address, &token(&claims))
}

fn post(server: &Server, target: &str, headers: &str, body: &str) -> Response {
    let length = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.control);
    let request = format!("{head}{headers}Content-Length: {length}\r\n\r\n{body}");
    Peer::request(server.control, request.as_bytes())
}

fn call(server: &Server, method: &str, body: &Value) -> Value {
    let answer = post(server, &format!("/api/{method}"), "X-API-Key: secret\r\n", &body.to_string());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The lines of the answer to commands in one body.
fn commands(server: &Server, body: &str) -> Vec<Value> {
    let answer = post(server, "/api", "X-API-Key: secret\r\n", body);
    assert_eq!(answer.status, 200, "{body}");
    let text = String::from_utf8(answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Libraries for earlier versions send all methods to one path, with the method's name beside its parameters.
#[test]
fn commands_that_name_their_method_are_taken_at_one_path() {
    let server = server();
    let mut client = ann(&server, json!({"channels": ["news"]}));
    let body = concat!(
        r#"{"method":"publish","params":{"channel":"news","data":1}}{"id":7,"method":"PUBLISH","params":{"channel":"news","data":2}}"#,
        "\n\n  ",
        r#"{"id":8,"method":"dance"} {"id":9,"method":"presence_stats"}"#,
        "\n",
        r#"{"id":10,"method":5,"params":{"channel":"news"}}{"method":"info"}{"params":{"channel":"news","data":3,"tag":1}}"#,
    );
    let lines = commands(&server, body);
    assert_eq!(client.publications(3), [json!(1), json!(2), json!(3)]);
    assert_eq!(lines[..2], [json!({"result": {}}), json!({"id": 7, "result": {}})]);
    assert_eq!((&lines[2]["id"], &lines[2]["error"]["code"]), (&json!(8), &json!(104)));
    assert_eq!((&lines[3]["id"], &lines[3]["error"]["code"]), (&json!(9), &json!(107)), "no params");
    assert_eq!(lines[4], json!({"id": 10, "result": {"num_clients": 1, "num_users": 1}}));
    assert!(lines[5]["result"]["nodes"].is_array());
    assert_eq!(lines[6], json!({"result": {}, "warnings": ["unknown field: tag"]}));
    assert_eq!(lines.len(), 7);
    // An unreadable body is refused as a whole, and no part of it is executed.
    for body in
        ["", "{", "[]", r#"{"method":"publish","params":{"channel":"news","data":4}} x"#, r#"{"id":"1"}"#]
    {
        assert_eq!(post(&server, "/api", "X-API-Key: secret\r\n", body).status, 400, "{body}");
    }
    assert_eq!(post(&server, "/api", "", "{}").status, 401);
    assert_eq!(post(&server, "/api?api_key=wrong", "", "{}").status, 401);
    let answer = post(&server, "/api?api_key=secret", "", r#"{"method":"info"}"#);
    assert_eq!(answer.status, 200, "any type of body will do with a key");
    post(&server, "/api/info?api_key=secret", "", "{}");
    client.sync();
    server.signal("TERM");
    let (_, said) = server.end();
    assert_eq!(said.matches("api_key").count(), 1, "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn bodies_are_read_as_go_reads_them() {
    let server = server();
    let mut client = ann(&server, json!({"channels": ["news"]}));
    assert_eq!(
        call(&server, "publish", &json!({"Channel": "news", "DATA": 1, "tags": {"a": null}}))["result"],
        json!({})
    );
    assert_eq!(client.push("pub")["pub"]["tags"], json!({"a": ""}));
    assert!(call(&server, "info", &Value::Null)["result"]["nodes"].is_array());
    assert_eq!(call(&server, "batch", &Value::Null), json!({}));
    let batch = call(
        &server,
        "batch",
        &json!({"Commands": [null, {"publish": null}, {"Publish": {"channel": "news", "data": 1}}]}),
    );
    let codes: Vec<_> =
        batch["replies"].as_array().unwrap().iter().map(|one| one["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(107), json!(104), Value::Null], "{batch}");
    assert_eq!(
        call(&server, "subscribe", &json!({"user": "ann", "channel": "a", "data": null}))["result"],
        json!({})
    );
    assert_eq!(client.push("subscribe")["subscribe"].get("data"), Some(&Value::Null));
    assert_eq!(post(&server, "/api/disconnect", "X-API-Key: secret\r\n", r#"["ann"]"#).status, 400);
    assert_eq!(
        call(&server, "disconnect", &json!({"user": "ann", "disconnect": [3000, "x"]}))["error"]["code"],
        107
    );
    client.sync();
    assert_eq!(call(&server, "history", &json!({"channel": "hist:none"}))["result"]["offset"], 0);
    let answer = post(&server, "//api/publish?a=b", "X-API-Key: secret\r\n", "{}");
    assert_eq!((answer.status, answer.header("location")), (307, Some("/api/publish?a=b")));
}

/// Tokens and hooks give channels names that clients may not ask for; the API refused them.
#[test]
fn names_are_looked_at_where_clients_ask() {
    let server = server();
    let long = format!("long-{}", "x".repeat(300));
    let mut client = ann(&server, json!({"channels": ["café", "strict:BAD", long]}));
    for name in ["café", "strict:BAD", &long] {
        assert_eq!(
            call(&server, "publish", &json!({"channel": name, "data": 1}))["result"],
            json!({}),
            "{name}"
        );
        assert_eq!(client.publication(), (name.to_owned(), json!(1)));
        assert_eq!(client.publish(name, json!(1)), Err(107), "{name}");
        assert_eq!(
            call(&server, "unsubscribe", &json!({"user": "ann", "channel": name}))["result"],
            json!({})
        );
        assert_eq!(client.push("unsubscribe")["channel"], name);
    }
}

#[test]
fn who_asks_to_recover_is_told_that_it_did() {
    let server = server();
    let mut client = ann(&server, json!({}));
    let ask = |channel: &str| json!({"subscribe": {"channel": channel, "recover": true, "offset": 1, "epoch": "x", "flag": 2}});
    assert_eq!(client.request(ask("news"))["subscribe"], json!({"was_recovering": true}));
    assert_eq!(client.request(ask("hist:a"))["subscribe"]["was_recovering"], true, "though not recoverable");
    let told = client.request(ask("cache:a"))["subscribe"].take();
    assert_eq!(
        (&told["recoverable"], &told["was_recovering"], &told["recovered"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    let subs = json!({"news": {"recover": true, "offset": 1, "epoch": "x"}});
    let connect = json!({"token": token(&json!({"sub": "ann", "channels": ["news", ""]})), "subs": subs});
    let client = Client::try_over(Peer::open(server.address, PATH), connect).unwrap();
    assert_eq!(
        client.hello["subs"],
        json!({"news": {"was_recovering": true}}),
        "and no channel without a name"
    );
}

#[test]
fn an_order_beyond_the_limit_of_channels_ends_the_connection() {
    let server = server();
    let mut client = ann(&server, json!({"channels": ["a", "b", "c"]}));
    assert_eq!(call(&server, "subscribe", &json!({"user": "ann", "channel": "c"}))["result"], json!({}));
    client.sync();
    assert_eq!(call(&server, "subscribe", &json!({"user": "ann", "channel": "d"}))["result"], json!({}));
    client.expect_close(3505);
}

#[test]
fn a_channel_for_nobody_in_particular_is_for_the_anonymous() {
    let server = server();
    let mut client = Client::open(server.address);
    assert_eq!(client.subscribe("lim:#"), Ok(()));
    assert_eq!(client.subscribe("lim:#ann"), Err(103));
    assert_eq!(ann(&server, json!({})).subscribe("lim:#"), Err(103));
}

#[test]
fn a_websocket_may_say_in_its_query_what_it_speaks() {
    let server = server();
    for query in ["cf_protocol=protobuf", "format=protobuf"] {
        let mut peer = Peer::open(server.address, &format!("{PATH}?{query}"));
        // id 1, connect.
        peer.send(BINARY, b"\x04\x08\x01\x22\x00".to_vec());
        let (opcode, reply) = peer.message();
        assert_eq!((opcode, &reply[1..4]), (BINARY, &b"\x08\x01\x2a"[..]), "{query}");
    }
    let fast = Server::configured(CONFIG, &["--ping-interval-ms", "1000", "--pong-timeout-ms", "300"]);
    let mut peer = Peer::open(fast.address, &format!("{PATH}?cf_ws_frame_ping_pong=true"));
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!((&reply["connect"]["ping"], &reply["connect"]["pong"]), (&Value::Null, &Value::Null));
    for _ in 0..2 {
        let frame = peer.frame();
        assert_eq!(frame.opcode, crate::support::peer::PING);
        peer.send(crate::support::peer::PONG, frame.payload);
    }
}

/// An `EventSource` reconnects at once, for ever, after a response that ends.
#[test]
fn requests_that_are_no_connect_are_refused_by_their_status() {
    let server = server();
    let status = |request: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(request.as_bytes());
        peer.response_head().status
    };
    let get = |target: &str| status(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!((get("/connection/sse"), get("/connection/sse?cf_connect=")), (400, 400));
    // A value that cannot be decoded is none.
    assert_eq!(
        ["%zz", "%7", "a%"].map(|value| get(&format!("/connection/sse?cf_connect={value}"))),
        [400; 3]
    );
    let connect = r#"{"id":1,"connect":{}}"#;
    let head =
        format!("POST /connection/sse HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", connect.len());
    assert_eq!(status(&(head + connect)), 200, "an SSE client may post its connect command");
    assert_eq!(
        (get("/connection/uni_sse?cf_connect=%7B"), get("/connection/uni_sse?cf_connect=x")),
        (400, 400)
    );
    assert_eq!((get("/connection/uni_sse"), get("/connection/uni_sse?cf_connect=null")), (200, 200));
    for path in ["/connection/uni_sse", "/connection/uni_http_stream"] {
        for (body, expected) in
            [("hello", 400), ("[]", 400), ("", 400), (" \n", 400), ("{}", 200), ("null", 200)]
        {
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
            assert_eq!(status(&(head + body)), expected, "{path} {body}");
        }
    }
    // A token with a channel that there is not: its client comes back, as that may change.
    let mut peer = Peer::open(server.address, "/connection/uni_websocket");
    peer.send(TEXT, json!({"token": token(&json!({"sub": "ann", "channels": ["none:a"]}))}).to_string());
    loop {
        let frame = peer.frame();
        if let Some(code) = frame.close_code() {
            assert_eq!(code, 3004);
            break;
        }
    }
}

/// Without a list, no page may connect; with one, only the listed ones. The server's own host was permitted under any
/// name: a page whose name resolves to this server has such an origin.
#[test]
fn pages_come_from_where_the_list_says_and_from_nowhere_else() {
    let status = |server: &Server, host: &str, origin: &str| {
        let mut peer = Peer::connect(server.address);
        let head = upgrade(PATH, &format!("Origin: {origin}\r\n"));
        let own = head.lines().find(|line| line.starts_with("Host: ")).unwrap().to_owned();
        peer.send_bytes(head.replacen(&own, &format!("Host: {host}"), 1).as_bytes());
        peer.response_head().status
    };
    let listed =
        Server::configured("[client]\ninsecure = true\nallowed_origins = [\"https://app.example\"]\n", &[]);
    let unlisted = Server::configured("[client]\ninsecure = true\n", &[]);
    let development = Server::start(&[]);
    for (host, origin, expected) in [
        ("app.example", "https://app.example", [101, 403, 403]),
        ("localhost:8000", "http://localhost:8000", [403, 403, 101]),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", [403, 403, 101]),
        ("rebound.test", "http://rebound.test", [403, 403, 403]),
        ("localhost:8000", "http://other.test", [403, 403, 403]),
    ] {
        let told = [&listed, &unlisted, &development].map(|server| status(server, host, origin));
        assert_eq!(told, expected, "{host} {origin}");
    }
}

/// A client without a position, or with another stream's, learns the stream from the first publication.
#[test]
fn publications_tell_their_version_and_the_first_one_its_stream() {
    let server = server();
    let mut client = ann(&server, json!({}));
    let told =
        client.request(json!({"subscribe": {"channel": "hist:a", "positioned": true}}))["subscribe"].take();
    let mut publish = |version: u64| {
        let answer =
            call(&server, "publish", &json!({"channel": "hist:a", "data": version, "version": version}));
        assert_eq!(answer["result"]["epoch"], told["epoch"], "{answer}");
        client.push("pub")["pub"].take()
    };
    let (first, second) = (publish(7), publish(8));
    assert_eq!((&first["epoch"], &first["version"]), (&told["epoch"], &json!(7)));
    assert_eq!((&second["epoch"], &second["version"]), (&Value::Null, &json!(8)));
    let history = client.request(json!({"history": {"channel": "hist:a", "limit": -1}}));
    let kept = &history["history"]["publications"];
    assert_eq!(
        (&kept[0]["epoch"], &kept[0]["version"], &kept[1]["version"]),
        (&told["epoch"], &json!(7), &json!(8))
    );
}

/// A history without permission is refused for that reason, for any request.
#[test]
fn a_history_is_refused_for_want_of_permission_before_its_position_is_looked_at() {
    let server = server();
    let mut client = Client::with_token(server.address, &token(&json!({"sub": "ann"})));
    let mut code = |channel: &str| {
        let since = json!({"offset": 0, "epoch": ""});
        let ask = json!({"channel": channel, "limit": 1, "since": since, "reverse": true});
        client.request(json!({"history": ask}))["error"]["code"].as_u64()
    };
    assert_eq!(["hist:a", "cache:a", "a"].map(&mut code), [Some(107), Some(103), Some(108)]);
}

/// Behind the error the connection was closed with 3501. A client that sends its subscriptions in the frame of the
/// connect command has not yet heard that its token has expired.
#[test]
fn what_follows_a_refused_connect_command_in_its_frame_is_dropped_and_ends_nothing() {
    let server = server();
    let connect = |id: u32, exp: u64| {
        let claims = json!({"sub": "ann", "exp": exp});
        json!({"id": id, "connect": {"token": token(&claims)}}).to_string()
    };
    let subscribe = |id: u32| json!({"id": id, "subscribe": {"channel": "news"}}).to_string();
    let ping = json!({"id": 9, "ping": {}}).to_string();
    let far = u64::from(u32::MAX);
    let mut peer = Peer::open(server.address, PATH);
    let next = |peer: &mut Peer| serde_json::from_slice::<Value>(&peer.message().1).unwrap();
    peer.send(TEXT, [connect(1, 1), subscribe(2), ping.clone(), "{}".to_owned()].join("\n"));
    let reply = next(&mut peer);
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(1), &json!(109)));
    // Another connect command is taken, and what follows that is carried out.
    peer.send(TEXT, [connect(3, 1), subscribe(4), connect(5, far), subscribe(6)].join("\n"));
    let reply = next(&mut peer);
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(3), &json!(109)));
    let reply = next(&mut peer);
    assert!(reply["id"] == 5 && reply["connect"]["client"].is_string(), "{reply}");
    assert_eq!(next(&mut peer), json!({"id": 6, "subscribe": {}}));
    // A frame that begins with another command is refused as before.
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, connect(1, 1));
    assert_eq!(next(&mut peer)["error"]["code"], 109);
    peer.send(TEXT, subscribe(2));
    peer.expect_close(3501);
}

/// Such a token removed the end, and its information was taken.
#[test]
fn a_refresh_token_without_an_end_extends_nothing() {
    let server = Server::configured(CONFIG, &["--client.expired_close_delay", "1ms"]);
    let now_s = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for has_end in [true, false] {
        let mut claims = json!({"info": "old"});
        if has_end {
            claims["exp"] = (now_s() + 3).into();
        }
        let mut client = ann(&server, claims);
        client.subscribe("news").unwrap();
        let refresh = token(&json!({"sub": "ann", "info": "new"}));
        let reply = client.request(json!({"refresh": {"token": refresh}}))["refresh"].take();
        assert!(reply.is_object() && reply.get("expires").is_none() && reply.get("ttl").is_none(), "{reply}");
        let present = call(&server, "presence", &json!({"channel": "news"}))["result"]["presence"].take();
        let infos: Vec<_> = present.as_object().unwrap().values().map(|one| &one["conn_info"]).collect();
        assert_eq!(infos, [&json!("old")]);
        if has_end {
            client.expect_close(3005);
            server.await_metric("throng_connections", 0);
        }
    }
}
