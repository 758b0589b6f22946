//! The application's hooks, asked by a server about its clients: each answer has its effect, and what comes before it waits.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::{env, fs, process};

use serde_json::{Value, json};

use crate::support::centrifuge::PATH;
use crate::support::peer::{PATIENCE, TEXT};
use crate::support::{Client, Peer, Server};

/// An application: tells what it is asked, and answers what it is told to.
struct Application {
    address: SocketAddr,
    asked: Receiver<(String, Value, Sender<Value>)>,
}

impl Application {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let tell = tell.clone();
                thread::spawn(move || converse(stream.unwrap(), &tell));
            }
        });
        Self { address, asked }
    }

    /// The next question must be this hook's; it is answered so. Returns the question.
    fn answer(&self, hook: &str, answer: Value) -> Value {
        let (asked, question, reply) = self.asked.recv_timeout(PATIENCE).expect("a question");
        assert_eq!(asked, format!("/{hook}"), "{question}");
        reply.send(answer).unwrap();
        question
    }

    /// A server that asks for everything.
    fn server(&self) -> Server {
        let hook =
            |name: &str| json!({"endpoint": format!("http://{}/{name}", self.address), "timeout": "20s"});
        let enabled = |name: &str| {
            let mut hook = hook(name);
            hook["enabled"] = true.into();
            hook
        };
        let config = json!({
            "client": {"proxy": {"connect": enabled("connect"), "refresh": enabled("refresh")}},
            "rpc": {"proxy": hook("rpc"), "without_namespace": {"proxy_enabled": true}},
            "channel": {
                "proxy": {"subscribe": hook("subscribe"), "publish": hook("publish"), "sub_refresh": hook("sub_refresh")},
                "without_namespace": {
                    "subscribe_proxy_enabled": true,
                    "publish_proxy_enabled": true,
                    "sub_refresh_proxy_enabled": true,
                    "allow_publish_for_subscriber": true
                }
            }
        });
        let path =
            env::temp_dir().join(format!("throng-hooks-{}-{}.json", process::id(), self.address.port()));
        fs::write(&path, config.to_string()).unwrap();
        let server = Server::start(&["--config", path.to_str().unwrap()]);
        fs::remove_file(path).unwrap();
        server
    }
}

/// One connection of the server's, for as many requests as it likes.
fn converse(stream: TcpStream, tell: &Sender<(String, Value, Sender<Value>)>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap().to_owned();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (reply, replies) = mpsc::channel();
        if tell.send((path, serde_json::from_slice(&body).unwrap(), reply)).is_err() {
            return;
        }
        let Ok(answer) = replies.recv() else { return };
        let answer = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .unwrap();
    }
}

/// A client that the connect hook has let in as this user.
fn let_in(application: &Application, server: &Server, user: &str) -> Client {
    let address = server.address;
    let waiting = thread::spawn(move || Client::open(address));
    application.answer("connect", json!({"result": {"user": user, "info": {"name": "Ann"}}}));
    waiting.join().unwrap()
}

/// Sends a command whose hook is answered so, and returns its reply and what the hook was asked.
fn ask(
    application: &Application,
    client: &mut Client,
    id: u32,
    command: &Value,
    hook: &str,
    answer: Value,
) -> (Value, Value) {
    let mut command = command.clone();
    command["id"] = id.into();
    client.send(&command.to_string());
    let question = application.answer(hook, answer);
    (client.reply(id), question)
}

#[test]
fn what_comes_before_the_connect_hooks_answer_waits_for_it() {
    let application = Application::start();
    let server = application.server();
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, "{\"id\":1,\"connect\":{\"data\":{\"room\":7}}}\n{\"id\":2,\"ping\":{}}");
    peer.send(TEXT, r#"{"id":3,"rpc":{"method":"m","data":1}}"#);
    let question = application
        .answer("connect", json!({"result": {"user": "42", "data": {"hello": true}, "channels": ["news"]}}));
    assert_eq!((&question["data"], &question["transport"]), (&json!({"room": 7}), &json!("websocket")));
    let mut next = || serde_json::from_slice::<Value>(&peer.message().1).unwrap();
    let hello = next();
    assert_eq!((&hello["id"], &hello["connect"]["data"]), (&json!(1), &json!({"hello": true})));
    assert!(hello["connect"]["subs"]["news"].is_object(), "{hello}");
    assert_eq!(next(), json!({"id": 2, "ping": {}}));
    let question = application.answer("rpc", json!({"result": {"data": {"sum": 3}}}));
    assert_eq!((&question["user"], &question["method"]), (&json!("42"), &json!("m")));
    assert_eq!(next(), json!({"id": 3, "rpc": {"data": {"sum": 3}}}));
}

#[test]
fn an_application_says_who_gets_in() {
    let application = Application::start();
    let server = application.server();
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", json!({"disconnect": {"code": 4501, "reason": "not you"}}));
    peer.expect_close(4501);
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", json!({"error": {"code": 1000, "message": "not now"}}));
    let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!(reply["error"], json!({"code": 1000, "message": "not now"}));
}

#[test]
fn subscriptions_publications_and_calls_are_the_applications_to_allow() {
    let application = Application::start();
    let server = application.server();
    let mut client = let_in(&application, &server, "42");
    let subscribe = json!({"subscribe": {"channel": "a", "data": {"why": 1}}});
    let (reply, question) = ask(
        &application,
        &mut client,
        100,
        &subscribe,
        "subscribe",
        json!({"error": {"code": 403, "message": "no"}}),
    );
    assert_eq!((&reply["error"]["code"], &question["data"]), (&json!(403), &json!({"why": 1})));
    let granted = json!({"result": {"info": {"role": "host"}, "data": {"since": 5}}});
    let (reply, _) = ask(&application, &mut client, 101, &subscribe, "subscribe", granted);
    assert_eq!(reply["subscribe"]["data"], json!({"since": 5}));
    let publish = json!({"publish": {"channel": "a", "data": {"text": "damn"}}});
    let (reply, question) = ask(
        &application,
        &mut client,
        102,
        &publish,
        "publish",
        json!({"result": {"data": {"text": "****"}}}),
    );
    assert_eq!((&reply["publish"], &question["data"]), (&json!({}), &json!({"text": "damn"})));
    let push = client.push("pub")["pub"].take();
    assert_eq!(push["data"], json!({"text": "****"}));
    let info = &push["info"];
    assert_eq!(
        (&info["user"], &info["conn_info"], &info["chan_info"]),
        (&json!("42"), &json!({"name": "Ann"}), &json!({"role": "host"}))
    );
    let call = json!({"rpc": {"method": "m"}});
    let (reply, _) = ask(
        &application,
        &mut client,
        103,
        &call,
        "rpc",
        json!({"error": {"code": 1001, "message": "later"}}),
    );
    assert_eq!(reply["error"]["code"], 1001);
}

#[test]
fn what_ends_is_asked_about_and_goes_on() {
    let application = Application::start();
    let server = application.server();
    let address = server.address;
    let waiting = thread::spawn(move || Client::open(address));
    // Over at once: the application is asked, and the client knows nothing of it.
    application.answer("connect", json!({"result": {"user": "42", "expire_at": 1_000_000_000}}));
    application.answer("refresh", json!({"result": {"expire_at": 4_000_000_000_u64}}));
    let mut client = waiting.join().unwrap();
    assert_eq!(client.hello.get("expires"), None);
    client.sync();
    let waiting = thread::spawn(move || Client::open(address));
    application.answer("connect", json!({"result": {"user": "43", "expire_at": 1_000_000_000}}));
    application.answer("refresh", json!({"result": {"expired": true}}));
    waiting.join().unwrap().expect_close(3005);
    client.sync();
}

#[test]
fn who_is_gone_before_the_answer_is_missed_by_nobody() {
    let application = Application::start();
    let server = application.server();
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    let (_, _, reply) = application.asked.recv_timeout(PATIENCE).unwrap();
    drop(peer);
    server.await_metric("throng_connections", 0);
    reply.send(json!({"result": {"user": "42", "channels": ["a"]}})).unwrap();
    let mut client = let_in(&application, &server, "43");
    client.sync();
    server.await_metric("throng_subscriptions", 0);
}
