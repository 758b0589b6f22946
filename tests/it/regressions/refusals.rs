//! Commands behind a connect command that is refused, for every kind of refusal, frame and transport.
//!
//! The session was still connecting while the shard was not: each command behind the refusal was queued for an answer
//! that had been given, executed at once, and queued again, until the stack of the shard overflowed.

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::{CLOSE, TEXT};
use crate::support::{Client, Peer, Server};

const INTERNAL: u64 = 100;
const UNKNOWN_CHANNEL: u64 = 102;
const TOKEN_EXPIRED: u64 = 109;
const TOO_MANY_REQUESTS: u64 = 111;

const TOKENS: &str = r#"
[client]
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "between us"
[[channel.namespaces]]
name = "open"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
[sse]
enabled = true
[http_stream]
enabled = true
"#;

fn token(claims: &Value) -> String {
    mint(b"between us", claims.to_string().as_bytes())
}

/// One of which the signature cannot be judged without a key set.
fn token_of_a_key_set() -> String {
    // {"alg":"RS256","typ":"JWT","kid":"k"} and {"sub":"ann"}
    format!("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.eyJzdWIiOiJhbm4ifQ.{}", "A".repeat(342))
}

fn connect(id: u32, token: &str) -> Value {
    json!({"id": id, "connect": {"token": token}})
}

/// Commands that expect a connection, of each kind that a client may send.
fn commands() -> Vec<Value> {
    vec![
        json!({"id": 2, "ping": {}}),
        json!({"id": 2, "subscribe": {"channel": "open:a"}}),
        json!({"id": 2, "publish": {"channel": "open:a", "data": 1}}),
        json!({"id": 2, "rpc": {"method": "m"}}),
        json!({"id": 2, "history": {"channel": "open:a"}}),
        json!({"id": 2, "unsubscribe": {"channel": "open:a"}}),
        json!({"id": 2, "refresh": {"token": "t"}}),
        json!({"id": 2, "publish": {"channel": "", "data": 1}}),
        json!({"id": 2, "dance": {}}),
        json!({"send": {"data": 1}}),
    ]
}

/// Reads up to the end; the first message must be an error with this code, and 3501 the close code.
fn expect_refusal(peer: &mut Peer, code: u64, what: &str) {
    let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(1), &json!(code)), "{what}: {reply}");
    let frame = peer.frame();
    assert_eq!((frame.opcode, frame.close_code()), (CLOSE, Some(3501)), "{what}");
    peer.expect_end();
}

/// Commands in the frame of the refused command are dropped, and the client may try again, for example with a new token.
/// The first message must be an error with this code.
fn expect_error_only(peer: &mut Peer, refused: &Value, code: u64, what: &str) {
    for _ in 0..2 {
        let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
        assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(1), &json!(code)), "{what}: {reply}");
        peer.send(TEXT, refused.to_string());
    }
}

/// Sends `refused` and each command behind it, in one frame, in two, and with much behind it.
fn commands_behind(server: &Server, refused: &Value, code: u64) {
    let mut witness = Client::open(server.address);
    for command in commands() {
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, format!("{refused}\n{command}"));
        expect_error_only(&mut peer, refused, code, &command.to_string());
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, refused.to_string());
        peer.send(TEXT, command.to_string());
        expect_refusal(&mut peer, code, &command.to_string());
        let mut peer = Peer::open(server.address, PATH);
        let many = format!("\n{command}").repeat(60);
        peer.send(TEXT, format!("{refused}{many}"));
        expect_error_only(&mut peer, refused, code, &command.to_string());
    }
    witness.sync();
}

#[test]
fn commands_behind_a_refused_token_are_dropped_or_end_the_connection() {
    let server = Server::configured(TOKENS, &[]);
    let expired = token(&json!({"sub": "ann", "exp": 1}));
    let unknown = token(&json!({"sub": "ann", "channels": ["nowhere:a"]}));
    commands_behind(&server, &connect(1, &expired), TOKEN_EXPIRED);
    commands_behind(&server, &connect(1, &unknown), UNKNOWN_CHANNEL);
}

#[test]
fn commands_behind_a_key_set_that_cannot_be_reached_are_dropped_or_end_the_connection() {
    // There is no listener at that address.
    let config = "[client]\nallow_anonymous_connect_without_token = true\n[client.token]\n\
         jwks_public_endpoint = \"http://127.0.0.1:1/jwks\"\n";
    let server = Server::configured(config, &[]);
    commands_behind(&server, &connect(1, &token_of_a_key_set()), INTERNAL);
}

#[test]
fn commands_behind_one_connect_too_many_end_the_connection() {
    let config = format!("{TOKENS}\n[rates]\nconnects_per_ip_max = 1\n");
    let server = Server::configured(&config, &["--shards", "1"]);
    let mut witness = Client::open(server.address);
    // It is one second's only client, or the second of its second: either way the server lives on.
    for command in commands() {
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, format!("{}\n{}\n{command}", connect(1, ""), connect(3, "")));
        peer.send(TEXT, command.to_string());
        while peer.try_frame().is_some_and(|frame| frame.opcode != CLOSE) {}
    }
    let mut peer = Peer::open(server.address, PATH);
    let many: String = (1..20).map(|id| format!("{}\n", connect(id, ""))).collect();
    peer.send(TEXT, many);
    let reply = String::from_utf8(peer.message().1).unwrap();
    assert!(reply.contains(&format!("{{\"code\":{TOO_MANY_REQUESTS},")), "{reply}");
    witness.sync();
}

#[test]
fn commands_behind_a_hooks_refusal_end_the_connection() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut hook = hook(application, "connect");
        hook["enabled"] = true.into();
        json!({"client": {"proxy": {"connect": hook}}})
    });
    let refusal = json!({"error": {"code": 1000, "message": "not now"}});
    for command in commands() {
        // The answer comes when the command has long been there, or has not come.
        for is_before in [true, false] {
            let mut peer = Peer::open(server.address, PATH);
            peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
            if is_before {
                peer.send(TEXT, command.to_string());
            }
            application.answer("connect", refusal.clone());
            if !is_before {
                peer.send(TEXT, command.to_string());
            }
            expect_refusal(&mut peer, 1000, &command.to_string());
        }
    }
}

#[test]
fn another_connect_is_tried_anew() {
    let server = Server::configured(TOKENS, &[]);
    let [expired, good] =
        [json!({"sub": "ann", "exp": 1}), json!({"sub": "ann"})].map(|claims| token(&claims));
    let in_one = format!("{}\n{}\n{}", connect(1, &expired), connect(2, &good), json!({"id": 3, "ping": {}}));
    let in_three = in_one.lines().map(str::to_owned).collect();
    for frames in [vec![in_one.clone()], in_three] {
        let mut peer = Peer::open(server.address, PATH);
        for frame in frames {
            peer.send(TEXT, frame);
        }
        let mut lines = Vec::new();
        while lines.len() < 3 {
            let text = String::from_utf8(peer.message().1).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        assert_eq!(lines[0]["error"]["code"], json!(TOKEN_EXPIRED), "{}", lines[0]);
        assert!(lines[1]["connect"]["client"].is_string(), "{}", lines[1]);
        assert_eq!(lines[2], json!({"id": 3, "ping": {}}));
    }
}

#[test]
fn another_connect_is_tried_anew_by_hooks_which_hear_the_same_of_the_request() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut hook = hook(application, "connect");
        hook["enabled"] = true.into();
        hook["http_headers"] = json!(["X-Room"]);
        json!({"client": {"proxy": {"connect": hook}}})
    });
    let mut peer = Peer::connect(server.address).upgraded(PATH, "X-Room: 7\r\n");
    // The second is there before the first is answered, the third is not.
    peer.send(TEXT, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"connect\":{}}");
    let mut next = |answer: Value| {
        let question = application.question("connect");
        assert_eq!(question.header("x-room").as_deref(), Some("7"));
        question.answer(answer);
        serde_json::from_slice::<Value>(&peer.message().1).unwrap()
    };
    let refusal = json!({"error": {"code": 1000, "message": "not now"}});
    for id in [1, 2] {
        let reply = next(refusal.clone());
        assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(id), &json!(1000)));
    }
    peer.send(TEXT, r#"{"id":3,"connect":{}}"#);
    let question = application.question("connect");
    assert_eq!(question.header("x-room").as_deref(), Some("7"));
    question.answer(json!({"result": {"user": "ann"}}));
    let hello: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert!(hello["connect"]["client"].is_string(), "{hello}");
    peer.send(TEXT, r#"{"id":4,"connect":{}}"#);
    peer.expect_close(3501);
}

#[test]
fn commands_behind_a_refusal_over_streams_are_dropped() {
    let server = Server::configured(TOKENS, &["--connect-ms", "300"]);
    let expired = connect(1, &token(&json!({"sub": "ann", "exp": 1}))).to_string();
    let body = format!("{expired}\n{}", json!({"id": 2, "ping": {}}));
    let encoded: String = body.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let requests = [
        format!("GET /connection/sse?cf_connect={encoded} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!(
            "POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    ];
    for request in requests {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(request.as_bytes());
        assert_eq!(peer.response_head().status, 200);
        let rest = String::from_utf8(peer.rest()).unwrap();
        assert!(rest.contains(&format!(r#""error":{{"code":{TOKEN_EXPIRED},"#)), "{rest}");
        assert!(rest.contains(r#""disconnect":{"code":3502,"#), "no other connect command came: {rest}");
    }
    Client::open(server.address).sync();
}
