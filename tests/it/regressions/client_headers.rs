//! The client's own word where only the request's is expected.

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

/// Connects, in a thread of its own, with these headers in the request and those in the command.
fn connecting(server: &Server, head: &'static str, said: &Value) -> thread::JoinHandle<Client> {
    let (address, said) = (server.address, said.clone());
    thread::spawn(move || {
        let peer = Peer::connect(address).upgraded(PATH, head);
        Client::try_over(peer, json!({"headers": said})).unwrap()
    })
}
