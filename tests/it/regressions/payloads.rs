//! The application's bytes that are not JSON, by every input and every output: clients of the JSON protocol see a
//! base64 string, clients of the Protobuf protocol the bytes; no payload ends a message or begins another one.

use std::thread;

use data_encoding::BASE64;
use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, TEXT};
use crate::support::{Client, Peer, Server};

const SECRET: &str = "a secret between us, of thirty-two characters";

/// Bytes, and their JSON for readers of JSON, if they are JSON.
const PAYLOADS: [(&[u8], Option<&str>); 9] = [
    (b"hello", None),
    (b"\xff\xfe", None),
    (b"{}\n{\"id\":7,\"rpc\":{}}", None),
    (b"1}},\"push\":{\"x\":{\"y\":2", None),
    (b"\n", None),
    (b"\0{}", None),
    (b"\"\xff\"", None),
    (b"{\n\"a\":\r\n[1]\n}", Some(r#"{"a":[1]}"#)),
    (b"\n\"text\"\n", Some(r#""text""#)),
];

fn seen(bytes: &[u8], json: Option<&str>) -> Value {
    json.map_or_else(|| BASE64.encode(bytes).into(), |json| serde_json::from_str(json).unwrap())
}

fn server(application: &Application) -> Server {
    application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        let open = json!({
            "name": "open",
            "presence": true,
            "join_leave": true,
            "force_push_join_leave": true,
            "force_recovery": true,
            "history_size": 10,
            "history_ttl": "1h",
            "allow_subscribe_for_client": true,
            "allow_publish_for_client": true,
            "allow_presence_for_client": true,
            "allow_history_for_client": true,
            "allowed_delta_types": ["fossil"]
        });
        let mut hooked = open.clone();
        hooked["name"] = "hooked".into();
        hooked["subscribe_proxy_enabled"] = true.into();
        hooked["publish_proxy_enabled"] = true.into();
        json!({
            "client": {
                "proxy": {"connect": connect, "refresh": hook(application, "refresh")},
                "token": {"hmac_secret_key": SECRET}
            },
            "rpc": {"proxy": hook(application, "rpc"), "without_namespace": {"proxy_enabled": true}},
            "channel": {
                "proxy": {"subscribe": hook(application, "subscribe"), "publish": hook(application, "publish")},
                "namespaces": [open, hooked]
            },
            "http_api": {"key": "secret"},
            "uni_websocket": {"enabled": true}
        })
    })
}

fn call(server: &Server, method: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head =
        format!("POST /api/{method} HTTP/1.1\r\nHost: x\r\nX-API-Key: secret\r\nConnection: close\r\n");
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = Peer::request(server.control, request.as_bytes());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer
}

/// A client with this token, whose claims are expected in its messages.
fn ann(server: &Server, claims: &Value) -> Client {
    Client::with_token(server.address, &mint(SECRET.as_bytes(), claims.to_string().as_bytes()))
}

fn presence(client: &mut Client, server: &Server, channel: &str) -> [Value; 2] {
    let id = client.hello["client"].as_str().unwrap().to_owned();
    let mut told = client.request(json!({"presence": {"channel": channel}}));
    let mut answer = call(server, "presence", &json!({"channel": channel}));
    [told["presence"]["presence"][&id].take(), answer["result"]["presence"][&id].take()]
}

#[test]
fn what_tokens_say() {
    let application = Application::start();
    let server = server(&application);
    for (n, (bytes, json)) in PAYLOADS.into_iter().enumerate() {
        let (told, seen, channel) = (BASE64.encode(bytes), seen(bytes, json), format!("open:{n}"));
        let subs = json!({&channel: {"b64info": told, "b64data": told}});
        let mut client = ann(&server, &json!({"sub": "ann", "b64info": told, "subs": subs}));
        assert_eq!(client.hello["subs"][&channel]["data"], seen, "{seen}");
        for info in presence(&mut client, &server, &channel) {
            assert_eq!((&info["conn_info"], &info["chan_info"]), (&seen, &seen), "{seen}");
        }
        assert_eq!(client.push("join")["join"]["info"]["conn_info"], seen);
        let channel = format!("open:{n}-by-token");
        let claims = json!({"sub": "ann", "channel": channel, "b64info": told, "b64data": told}).to_string();
        let token = mint(SECRET.as_bytes(), claims.as_bytes());
        let reply = client.request(json!({"subscribe": {"channel": channel, "token": token}}));
        assert_eq!(reply["subscribe"]["data"], seen, "{seen}");
        for info in presence(&mut client, &server, &channel) {
            assert_eq!(info["chan_info"], seen, "{seen}");
        }
        // Its info for other clients, also in its publications.
        assert_eq!(client.publish(&channel, json!(1)), Ok(()));
        assert_eq!(client.push("pub")["pub"]["info"]["chan_info"], seen);
        let history = client.request(json!({"history": {"channel": channel, "limit": -1}}));
        assert_eq!(history["history"]["publications"][0]["info"]["conn_info"], seen);
        let history = call(&server, "history", &json!({"channel": channel, "limit": -1}));
        assert_eq!(history["result"]["publications"][0]["info"]["chan_info"], seen);
    }
}

#[test]
fn what_hooks_say() {
    let application = Application::start();
    let server = server(&application);
    for (n, (bytes, json)) in PAYLOADS.into_iter().enumerate() {
        let (told, seen) = (BASE64.encode(bytes), seen(bytes, json));
        let said = json!({"result": {"user": "ann", "b64info": told, "b64data": told}});
        for path in ["/connection/uni_websocket", PATH] {
            let address = server.address;
            let connect = thread::spawn(move || {
                let mut peer = Peer::open(address, path);
                let connect = if path == PATH { r#"{"id":1,"connect":{}}"# } else { "{}" };
                peer.send(TEXT, connect);
                serde_json::from_slice::<Value>(&peer.message().1).unwrap()
            });
            application.answer("connect", said.clone());
            assert_eq!(connect.join().unwrap()["connect"]["data"], seen, "{path}");
        }
        let mut client = ann(&server, &json!({"sub": "ann"}));
        client.send(r#"{"id":100,"rpc":{"method":"m"}}"#);
        application.answer("rpc", json!({"result": {"b64data": told}}));
        assert_eq!(client.reply(100), json!({"id": 100, "rpc": {"data": seen}}));
        let channel = format!("hooked:{n}");
        client.send(&json!({"id": 101, "subscribe": {"channel": channel}}).to_string());
        application.answer("subscribe", json!({"result": {"b64info": told, "b64data": told}}));
        assert_eq!(client.reply(101)["subscribe"]["data"], seen);
        for info in presence(&mut client, &server, &channel) {
            assert_eq!(info["chan_info"], seen);
        }
        client.send(&json!({"id": 102, "publish": {"channel": channel, "data": 1}}).to_string());
        application.answer("publish", json!({"result": {"b64data": told}}));
        client.reply(102);
        told_everywhere(&server, &mut client, &channel, &seen);
    }
}

/// A publication of `client`'s channel, in a push, in a recovery, and in the history.
fn told_everywhere(server: &Server, client: &mut Client, channel: &str, seen: &Value) {
    assert_eq!(client.publication(), (channel.to_owned(), seen.clone()));
    let mut history = client.request(json!({"history": {"channel": channel, "limit": 1, "reverse": true}}));
    let told = history["history"].take();
    assert_eq!(told["publications"][0]["data"], *seen);
    let answer = call(server, "history", &json!({"channel": channel, "limit": 1, "reverse": true}));
    assert_eq!(answer["result"]["publications"][0]["data"], *seen);
    let since = told["offset"].as_u64().unwrap() - 1;
    let token = json!({"sub": "ann", "channel": channel}).to_string();
    let token = mint(SECRET.as_bytes(), token.as_bytes());
    // With deltas, all data are texts.
    for (delta, seen_of) in [("", None), ("fossil", Some(seen))] {
        let mut other = ann(server, &json!({"sub": "ann"}));
        let reply = other.request(json!({"subscribe": {
            "channel": channel, "token": token, "recover": true, "offset": since, "epoch": told["epoch"],
            "delta": delta,
        }}));
        let data = &reply["subscribe"]["publications"][0]["data"];
        match seen_of {
            None => assert_eq!(data, seen),
            Some(seen) => assert_eq!(serde_json::from_str::<Value>(data.as_str().unwrap()).unwrap(), *seen),
        }
    }
}

#[test]
fn what_the_server_api_says() {
    let application = Application::start();
    let server = server(&application);
    for (n, (bytes, json)) in PAYLOADS.into_iter().enumerate() {
        let (told, seen, channel) = (BASE64.encode(bytes), seen(bytes, json), format!("open:{n}"));
        let mut client = ann(&server, &json!({"sub": "ann"}));
        let order = json!({"user": "ann", "channel": channel, "b64info": told, "b64data": told});
        call(&server, "subscribe", &order);
        assert_eq!(client.push("subscribe")["subscribe"]["data"], seen);
        for info in presence(&mut client, &server, &channel) {
            assert_eq!(info["chan_info"], seen);
        }
        let publish = json!({"channel": channel, "b64data": told});
        call(&server, "publish", &publish);
        told_everywhere(&server, &mut client, &channel, &seen);
        call(&server, "broadcast", &json!({"channels": [channel], "b64data": told}));
        told_everywhere(&server, &mut client, &channel, &seen);
        call(&server, "batch", &json!({"commands": [{"publish": publish}]}));
        told_everywhere(&server, &mut client, &channel, &seen);
    }
}

/// A Protobuf client's bytes, to readers of JSON.
#[test]
fn what_protobuf_clients_publish() {
    let application = Application::start();
    let server = server(&application);
    for (n, (bytes, json)) in PAYLOADS.into_iter().enumerate() {
        let (seen, channel) = (seen(bytes, json), format!("open:{n}"));
        let mut client = ann(&server, &json!({"sub": "ann"}));
        client.subscribe(&channel).unwrap();
        let token = mint(SECRET.as_bytes(), br#"{"sub":"bob"}"#);
        let mut other =
            Peer::connect(server.address).upgraded(PATH, "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n");
        let field = |number: u8, bytes: &[u8]| {
            let length = bytes.len();
            let varint = [u8::try_from(length & 127 | 128).unwrap(), u8::try_from(length >> 7).unwrap()];
            [&[number << 3 | 2], &varint[..], bytes].concat()
        };
        let command = |id: u8, number: u8, request: &[u8]| {
            let command = [&[8, id][..], &field(number, request)].concat();
            field(0, &command)[1..].to_vec()
        };
        other.send(BINARY, command(1, 4, &field(1, token.as_bytes())));
        other.message();
        let publish = [field(1, channel.as_bytes()), field(2, bytes)].concat();
        other.send(BINARY, command(2, 7, &publish));
        told_everywhere(&server, &mut client, &channel, &seen);
    }
}
