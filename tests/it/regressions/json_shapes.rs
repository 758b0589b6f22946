//! Unusual but sensible JSON: `null` instead of an object, times with a fraction, repeated keys. It means the same to
//! every reader.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::backend::{self, Running};
use crate::support::centrifuge::PATH;
use crate::support::{Client, Peer, Server};

const SECRET: &str = "a secret between us, of thirty-two characters";

fn server(application: &Application) -> Server {
    application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        json!({
            "client": {"proxy": {"connect": connect}, "token": {"hmac_secret_key": SECRET}},
            "rpc": {"proxy": hook(application, "rpc"), "without_namespace": {"proxy_enabled": true}}
        })
    })
}

fn ends(claims: &str) -> String {
    let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    claims.replace("SOON", &in_an_hour.to_string())
}

/// Every reader of JSON takes the last of a key, at every depth: serde's refuse an object in which one stands twice.
#[test]
fn of_a_key_that_stands_twice_the_last_counts_for_every_reader() {
    let application = Application::start();
    let server = server(&application);
    // The token.
    let token = mint(
        SECRET.as_bytes(),
        br#"{"sub":"eve","sub":"ann","subs":{"a":{"data":1,"data":2},"a":{"data":3,"data":4}},"meta":1,"meta":2}"#,
    );
    // The commands, in a frame with others.
    let mut peer = Peer::open(server.address, PATH);
    peer.send(
        1,
        format!("{{\"id\":9,\"id\":1,\"connect\":{{\"token\":\"no\",\"token\":\"{token}\"}}}}\n{{\"id\":2,\"ping\":{{}}}}"),
    );
    let replies = String::from_utf8(peer.message().1).unwrap();
    let mut replies = replies.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hello = replies.next().unwrap();
    assert_eq!((&hello["id"], &hello["connect"]["subs"]), (&json!(1), &json!({"a": {"data": 4}})), "{hello}");
    let reply = replies.next().unwrap_or_else(|| serde_json::from_slice(&peer.message().1).unwrap());
    assert_eq!(reply, json!({"id": 2, "ping": {}}));
    peer.send(1, r#"{"id":3,"rpc":{"method":"no","method":"yes"},"rpc":{"method":"x","method":"m"}}"#);
    // The hook's answer.
    let question = application.question("rpc");
    assert_eq!((&question.body["method"], &question.body["user"]), (&json!("m"), &json!("ann")));
    question.answer_text(r#"{"result":{"data":1},"result":{"data":2,"data":{"a":1,"a":2}}}"#);
    assert_eq!(
        peer.message().1,
        br#"{"id":3,"rpc":{"data":{"a":1,"a":2}}}"#,
        "payloads pass as they are written"
    );
}

#[test]
fn the_server_api_takes_the_last_of_a_key() {
    let server = Running::start(backend::options());
    let mut asked = backend::Backend::new(&server);
    let mut listener = Client::subscribed(server.address, &["b"]);
    let (status, answer) = asked.request(
        "POST /api/publish",
        r#"{"channel":"a","data":1,"channel":"b","data":{"n":2},"tags":{"x":null,"y":"1","y":"2"}}"#,
    );
    assert_eq!((status, answer.as_str()), (200, r#"{"result":{}}"#));
    assert_eq!(listener.push("pub")["pub"], json!({"data": {"n": 2}, "tags": {"x": "", "y": "2"}}));
    let (status, answer) = asked.request(
        "POST /api/batch",
        r#"{"commands":[],"commands":[{"publish":{"channel":"a"},"publish":{"channel":"a","channel":"b","data":3}}]}"#,
    );
    assert_eq!((status, answer.as_str()), (200, r#"{"replies":[{"publish":{}}]}"#));
    assert_eq!(listener.push("pub")["pub"]["data"], 3);
    drop(listener);
    server.end();
}

/// Backends write times of tokens in their own precision, and `null` for missing ones.
#[test]
fn times_may_have_a_fraction_and_null_is_nothing() {
    let application = Application::start();
    let server = server(&application);
    let token = |claims: &str| mint(SECRET.as_bytes(), ends(claims).as_bytes());
    let client = Client::with_token(
        server.address,
        &token(
            r#"{"sub":"ann","exp":SOON.25,"nbf":1.5,"iat":1.5,"subs":{"a":null},"caps":[null,{"channels":null,"allow":null}]}"#,
        ),
    );
    assert!(client.hello["subs"]["a"].is_object(), "{:?}", client.hello);
    assert!((3590..=3600).contains(&client.hello["ttl"].as_u64().unwrap()), "{:?}", client.hello);
    let client = Client::with_token(server.address, &token(r#"{"sub":"ann","expire_at":SOON.5}"#));
    assert!((3590..=3600).contains(&client.hello["ttl"].as_u64().unwrap()), "{:?}", client.hello);
    let waiting = {
        let address = server.address;
        std::thread::spawn(move || Client::open(address))
    };
    application.question("connect").answer_text(&ends(
        r#"{"result":{"user":"ben","expire_at":SOON,"subs":{"a":null,"b":{"override":{"presence":{"value":null}}}}},"error":null}"#,
    ));
    let client = waiting.join().unwrap();
    assert!(client.hello["subs"]["a"].is_object() && client.hello["subs"]["b"].is_object());
    assert!((3590..=3600).contains(&client.hello["ttl"].as_u64().unwrap()), "{:?}", client.hello);
}
