//! Orders of the server API, given while a hook call is pending.

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use crate::support::application::{Application, Question, hook};
use crate::support::{Client, Peer, Server};

fn server(application: &Application) -> Server {
    application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        json!({
            "client": {"proxy": {"connect": connect}},
            "channel": {
                "proxy": {"subscribe": hook(application, "subscribe")},
                "without_namespace": {"subscribe_proxy_enabled": true, "allow_publish_for_subscriber": true}
            },
            "http_api": {"key": "secret"}
        })
    })
}

fn order(server: &Server, method: &str, body: &Value) {
    order_at(server.control, method, body);
}

fn order_at(control: SocketAddr, method: &str, body: &Value) {
    let body = body.to_string();
    let request = format!(
        "POST /api/{method} HTTP/1.1\r\nHost: {}\r\nX-API-Key: secret\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        control,
        body.len()
    );
    let answer = Peer::request(control, request.as_bytes());
    assert!(answer.status == 200 && answer.body.starts_with(br#"{"result":"#), "{method}");
}

/// User 42, whose subscribe command waits for its hook.
fn asking(application: &Application, server: &Server) -> (Client, Question) {
    let address = server.address;
    let waiting = thread::spawn(move || Client::open(address));
    application.answer("connect", json!({"result": {"user": "42"}}));
    let mut client = waiting.join().unwrap();
    client.send(r#"{"id":1000,"subscribe":{"channel":"a"}}"#);
    let question = application.question("subscribe");
    (client, question)
}

/// An order that met a subscription which a hook was still asked about was lost: the client ended up subscribed.
#[test]
fn who_is_unsubscribed_while_the_hook_is_asked_is_not_subscribed_by_its_answer() {
    let application = Application::start();
    let server = server(&application);
    let (mut client, question) = asking(&application, &server);
    let control = server.control;
    thread::scope(|scope| {
        // Answered after the hook.
        scope.spawn(move || order_at(control, "unsubscribe", &json!({"user": "42", "channel": "a"})));
        question.answer(json!({"result": {"data": 7}}));
        assert_eq!(client.reply(1000)["subscribe"], json!({"data": 7}));
        assert_eq!(client.push("unsubscribe")["unsubscribe"]["code"], 2000);
    });
    client.sync();
    assert_eq!(server.metric("throng_subscriptions"), 0);
    // It may come back, and the hook is asked again.
    client.send(r#"{"id":1001,"subscribe":{"channel":"a"}}"#);
    application.answer("subscribe", json!({"result": {}}));
    assert!(client.reply(1001)["subscribe"].is_object());
}

#[test]
fn who_is_subscribed_while_the_hook_is_asked_is_so_whatever_it_says() {
    let application = Application::start();
    let server = server(&application);
    let (mut client, question) = asking(&application, &server);
    order(&server, "subscribe", &json!({"user": "42", "channel": "a", "data": {"by": "order"}}));
    assert_eq!(client.push("subscribe")["subscribe"]["data"], json!({"by": "order"}));
    question.answer(json!({"error": {"code": 403, "message": "no"}}));
    assert_eq!(client.reply(1000)["error"]["code"], 403);
    order(&server, "publish", &json!({"channel": "a", "data": 1}));
    assert_eq!(client.publication(), ("a".to_owned(), json!(1)));
}

/// The hook's answer replaced nothing: its data and information were lost.
#[test]
fn what_the_hook_says_after_an_order_holds() {
    let application = Application::start();
    let server = server(&application);
    let (mut client, question) = asking(&application, &server);
    order(&server, "subscribe", &json!({"user": "42", "channel": "a", "info": {"by": "order"}}));
    client.push("subscribe");
    question.answer(json!({"result": {"data": 7, "info": {"by": "hook"}}}));
    assert_eq!(client.reply(1000)["subscribe"], json!({"data": 7}));
    client.send(r#"{"id":1001,"publish":{"channel":"a","data":1}}"#);
    let info = &client.push("pub")["pub"]["info"];
    assert_eq!(info["chan_info"], json!({"by": "hook"}), "{info}");
}

#[test]
fn who_is_disconnected_while_a_hook_is_asked_is_gone() {
    let application = Application::start();
    let server = server(&application);
    let (client, question) = asking(&application, &server);
    order(&server, "disconnect", &json!({"user": "42"}));
    client.expect_close(3503);
    question.answer(json!({"result": {}}));
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_subscriptions"), 0);
}
