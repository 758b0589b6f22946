//! A client's own headers where only those of the request are expected.

use std::thread;

use serde_json::{Value, json};

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::{Client, Peer, Server};

/// Headers that a client put into its connect command reached hooks as if they were the request's.
#[test]
fn headers_of_the_connect_command_are_no_headers_of_the_request() {
    let application = Application::start();
    let server = application.server(|application| {
        let hook = |name: &str, http: &[&str], emulated: &[&str]| {
            let mut hook = hook(application, name);
            hook["http_headers"] = json!(http);
            hook["emulated_headers"] = json!(emulated);
            hook
        };
        let mut connect = hook("connect", &["X-User-Id", "X-Real-Ip", "Authorization"], &["Authorization"]);
        connect["enabled"] = true.into();
        json!({
            "client": {"proxy": {"connect": connect}},
            "rpc": {
                "proxy": hook("rpc", &["X-User-Id"], &["X-App-Token"]),
                "without_namespace": {"proxy_enabled": true}
            }
        })
    });
    let names = ["x-user-id", "x-real-ip", "authorization", "x-app-token"];
    let said = json!({
        "x-user-ID": "admin",
        "X-User-Id": "admin",
        "X-Real-IP": "10.9.8.7",
        "Authorization": "Bearer client",
        "X-App-Token": "first",
        "x-app-token": "last"
    });
    let came = |head: &'static str| {
        let waiting = connecting(&server, head, &said);
        let question = application.question("connect");
        let told = names.map(|name| question.header(name).unwrap_or_default());
        question.answer(json!({"result": {"user": "42"}}));
        (told, waiting.join().unwrap())
    };
    let (told, mut client) = came("");
    assert_eq!(told, ["", "127.0.0.1", "Bearer client", ""]);
    for id in [100, 101] {
        client.send(&json!({"id": id, "rpc": {"method": "m"}}).to_string());
        let question = application.question("rpc");
        assert_eq!(names.map(|name| question.header(name).unwrap_or_default()), ["", "", "", "last"]);
        question.answer(json!({"result": {}}));
        client.reply(id);
    }
    let (told, _client) = came("X-User-Id: 7\r\nAuthorization: Bearer request\r\nX-App-Token: request\r\n");
    assert_eq!(told, ["7", "127.0.0.1", "Bearer request", ""]);
}

/// The headers of a refused connect command are dropped with it; those of the request are not.
#[test]
fn a_connect_command_that_is_refused_leaves_no_headers() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        connect["http_headers"] = json!(["X-User-Id"]);
        let mut rpc = hook(application, "rpc");
        rpc["http_headers"] = json!(["X-User-Id"]);
        rpc["emulated_headers"] = json!(["X-App-Token"]);
        json!({
            "client": {"proxy": {"connect": connect}},
            "rpc": {"proxy": rpc, "without_namespace": {"proxy_enabled": true}}
        })
    });
    let told = |hook: &str, answer: Value| {
        let question = application.question(hook);
        let headers = ["x-user-id", "x-app-token"].map(|name| question.header(name).unwrap_or_default());
        question.answer(answer);
        headers
    };
    for (head, user) in [("", ""), ("X-User-Id: 7\r\n", "7")] {
        let mut peer = Peer::connect(server.address).upgraded(PATH, head);
        peer.send(1, r#"{"id":1,"connect":{"headers":{"X-App-Token":"refused"}}}"#);
        assert_eq!(told("connect", json!({"error": {"code": 1000, "message": "not now"}})), [user, ""]);
        assert!(peer.message().1.starts_with(br#"{"id":1,"error":"#));
        peer.send(1, r#"{"id":2,"connect":{}}"#);
        assert_eq!(told("connect", json!({"result": {"user": "42"}})), [user, ""]);
        assert!(peer.message().1.starts_with(br#"{"id":2,"connect":"#));
        peer.send(1, r#"{"id":3,"rpc":{"method":"m"}}"#);
        assert_eq!(told("rpc", json!({"result": {}})), [user, ""]);
    }
}

/// Connects, in a thread of its own, with these headers in the request and those in the command.
fn connecting(server: &Server, head: &'static str, said: &Value) -> thread::JoinHandle<Client> {
    let (address, said) = (server.address, said.clone());
    thread::spawn(move || {
        let peer = Peer::connect(address).upgraded(PATH, head);
        Client::try_over(peer, json!({"headers": said})).unwrap()
    })
}
