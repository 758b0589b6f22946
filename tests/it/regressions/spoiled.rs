//! Effects of an unreadable value on the rest of its message.

use serde_json::{Value, json};

use crate::support::backend::{Backend, Running, options};
use crate::support::centrifuge::PATH;
use crate::support::{Client, Peer, Server};

const BAD_REQUEST: &str = r#"{"code":107,"message":"bad request"}"#;

/// Text that was cut inside an emoji, and values of another type: the command fails, and no other. The connection was
/// closed with 3501, after which the official clients do not come back.
#[test]
fn a_command_that_cannot_be_read_fails_alone() {
    let server = Server::start(&[]);
    let mut client = Client::open(server.address);
    for bad in [
        r#""subscribe":{"channel":"a\ud83d"}"#,
        r#""publish":{"channel":"\ude00","data":{}}"#,
        r#""rpc":{"method":"\ud83d"}"#,
        r#""publish":{"channel":7,"data":{}}"#,
        r#""history":{"channel":"a","limit":"all"}"#,
        r#""subscribe":{"channel":"a","tf":{"op":"xor"}}"#,
    ] {
        client
            .send(&format!("{{\"id\":90,\"ping\":{{}}}}\n{{\"id\":91,{bad}}}\n{{\"id\":92,\"ping\":{{}}}}"));
        assert_eq!(client.reply(90), json!({"id": 90, "ping": {}}), "{bad}");
        let error: Value = serde_json::from_str(BAD_REQUEST).unwrap();
        assert_eq!(client.reply(91), json!({"id": 91, "error": error}), "{bad}");
        assert_eq!(client.reply(92), json!({"id": 92, "ping": {}}), "{bad}");
    }
    assert_eq!(client.subscribe("b"), Ok(()), "the connection lives on");
    assert_eq!(client.publish("b", json!("whole")), Ok(()));
    client.send(r#"{"id":93,"publish":{"channel":"b","data":"half \ud83d"}}"#);
    assert_eq!(client.reply(93), json!({"id": 93, "publish": {}}), "a payload is the application's");
}

/// A command that cannot be read, behind the connect command in one frame: it waits like any other.
#[test]
fn a_command_that_cannot_be_read_waits_for_connect() {
    let server = Server::start(&[]);
    let mut peer = Peer::open(server.address, PATH);
    peer.send(
        1,
        "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"\\ud83d\"}}\n{\"id\":3,\"ping\":{}}",
    );
    let mut replies = Vec::new();
    while replies.len() < 3 {
        let text = String::from_utf8(peer.message().1).unwrap();
        replies.extend(text.lines().map(str::to_owned));
    }
    assert!(replies[0].starts_with(r#"{"id":1,"connect":"#), "{replies:?}");
    assert_eq!(replies[1], format!(r#"{{"id":2,"error":{BAD_REQUEST}}}"#));
    assert_eq!(replies[2], r#"{"id":3,"ping":{}}"#);
}

/// In Protobuf a text that is not UTF-8 is the same; and a message without data is an empty one, which was refused.
#[test]
fn in_protobuf_bad_text_fails_alone_and_an_empty_payload_is_one() {
    let server = Server::start(&[]);
    let mut listener = Client::subscribed(server.address, &["c"]);
    let protocol = "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n";
    let mut peer = Peer::connect(server.address).upgraded(PATH, protocol);
    peer.send(2, *b"\x04\x08\x01\x22\x00");
    assert_eq!(peer.message().1[1..4], *b"\x08\x01\x2a", "the reply to connect");
    // Unsubscribe from a channel that is no text, ping, publish nothing into "c", publish "" into "c".
    peer.send(2, *b"\x07\x08\x02\x32\x03\x0a\x01\xff\x04\x08\x03\x5a\x00");
    assert_eq!(peer.message().1, b"\x13\x08\x02\x12\x0f\x08\x6b\x12\x0bbad request\x04\x08\x03\x62\x00");
    peer.send(2, *b"\x07\x08\x04\x3a\x03\x0a\x01c\x09\x08\x05\x3a\x05\x0a\x01c\x12\x00");
    for _ in 0..2 {
        assert_eq!(listener.publication(), ("c".to_owned(), json!("")), "bytes that are no JSON, in base64");
    }
}

/// One bad value refused a whole batch, or a broadcast to every channel; and a message of no bytes was refused.
#[test]
fn over_the_api_a_bad_value_spoils_its_command_or_channel_and_an_empty_payload_is_one() {
    let server = Running::start(options());
    let mut listener = Client::subscribed(server.address, &["a"]);
    let mut backend = Backend::new(&server);
    let mut codes = |path: &str, body: &str, list: &str| -> Vec<u64> {
        let (status, answer) = backend.request(path, body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let list = answer.pointer(list).and_then(Value::as_array).unwrap();
        list.iter().map(|one| one["error"]["code"].as_u64().unwrap_or_default()).collect()
    };
    let batch = r#"{"commands":[{"publish":{"channel":"a","data":1}},{"publish":{"channel":"\ud83d","data":2}},
        {"publish":{"channel":"a","data":3,"tags":{"k":"\ude00"}}},{"publish":{"channel":"a","data":4}}]}"#;
    assert_eq!(codes("POST /api/batch", batch, "/replies"), [0, 107, 107, 0]);
    let broadcast = r#"{"channels":["a\ud83d","a",7],"data":5}"#;
    assert_eq!(codes("POST /api/broadcast", broadcast, "/result/responses"), [107, 0, 107]);
    assert_eq!(listener.publications(3), [1, 4, 5]);
    assert_eq!(backend.ask("publish", json!({"channel": "a", "b64data": ""})), json!({"result": {}}));
    assert_eq!(listener.publication(), ("a".to_owned(), json!("")));
    server.end();
}
