//! The examples, run: an independent client sees the behaviour that their comments describe.
//!
//! Each is included as a module and served on a free port; their `main`, which listens on the usual one, is left out.

#![expect(clippy::unwrap_used, reason = "a test that cannot talk to its server has failed")]

#[path = "../examples/chat.rs"]
#[expect(dead_code, unreachable_pub, reason = "elsewhere it is a program of its own")]
mod chat;
#[path = "../examples/game.rs"]
#[expect(dead_code, unreachable_pub, reason = "elsewhere it is a program of its own")]
mod game;
#[path = "../examples/room.rs"]
#[expect(dead_code, unreachable_pub, reason = "elsewhere it is a program of its own")]
mod room;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use throng::{Config, Handler, NoHandler, Outcome, Server};
use tungstenite::{HandshakeError, Message, WebSocket};

/// Long enough for a busy machine, short enough that a hanging test is noticed.
const PATIENCE: Duration = Duration::from_secs(10);

fn serve<H: Handler>(shards: usize, make: impl FnMut(u16) -> H) -> Server {
    serve_as(Config::default(), shards, make)
}

fn serve_as<H: Handler>(config: Config, shards: usize, make: impl FnMut(u16) -> H) -> Server {
    let config = Config { listen: vec![([127, 0, 0, 1], 0).into()], control: None, shards, ..config };
    Server::start(&config, make).unwrap()
}

fn drain(server: Server) {
    server.drain();
    assert_eq!(server.wait().unwrap(), Outcome::Drained);
}

/// A client, or the status with which it was refused.
fn connect(server: &Server, target: &str) -> Result<WebSocket<TcpStream>, u16> {
    let address = server.addresses()[0];
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match tungstenite::client(format!("ws://{address}{target}"), stream) {
        Ok((client, _)) => Ok(client),
        Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// The next message that is no heartbeat.
fn read(client: &mut WebSocket<TcpStream>) -> Message {
    loop {
        let message = client.read().unwrap();
        if !message.is_ping() {
            return message;
        }
    }
}

fn close_code(client: &mut WebSocket<TcpStream>) -> u16 {
    loop {
        if let Message::Close(Some(frame)) = read(client) {
            return frame.code.into();
        }
    }
}

#[test]
fn a_room_is_heard_by_all_who_are_in_it() {
    // More shards than clients: some are likely to be in different ones.
    let server = serve(4, |_shard| room::Rooms);
    let mut members = Vec::new();
    for name in ["ada", "ben", "eve"] {
        members.push(connect(&server, &format!("/room/lobby?name={name}")).unwrap());
        for member in &mut members {
            assert_eq!(read(member), format!("{name} comes in").as_str().into());
        }
    }
    let mut elsewhere = connect(&server, "/room/attic?name=zoe").unwrap();
    assert_eq!(read(&mut elsewhere), "zoe comes in".into());
    for (speaker, text) in [(0, "hello"), (2, "hi"), (1, "")] {
        let name = ["ada", "ben", "eve"][speaker];
        members[speaker].send(text.into()).unwrap();
        for member in &mut members {
            assert_eq!(read(member), format!("{name}: {text}").as_str().into());
        }
    }
    elsewhere.send("alone".into()).unwrap();
    assert_eq!(read(&mut elsewhere), "zoe: alone".into(), "what was said elsewhere did not come here");
    members[0].send(Message::binary(vec![1])).unwrap();
    assert_eq!(close_code(&mut members[0]), 4000);
    for refused in ["/room/lobby", "/room/lobby?name=", "/room/lobby?age=7"] {
        assert_eq!(connect(&server, refused).err(), Some(403), "{refused}");
    }
    assert_eq!(connect(&server, "/elsewhere?name=ada").err(), Some(404));
    drop((members, elsewhere));
    drain(server);
}

fn snapshot(client: &mut WebSocket<TcpStream>) -> Value {
    serde_json::from_str(read(client).to_text().unwrap()).unwrap()
}

#[test]
fn only_the_server_moves_the_world() {
    let server = serve(1, |_shard| game::Arena::default());
    let mut east = connect(&server, "/arena").unwrap();
    let mut south = connect(&server, "/arena").unwrap();
    assert_eq!((snapshot(&mut east), snapshot(&mut south)), (json!({ "you": 1 }), json!({ "you": 2 })));
    east.send("e".into()).unwrap();
    south.send("s".into()).unwrap();
    let (mut last, mut moved) = (0, Value::Null);
    while moved["players"]["1"][0].as_i64() < Some(3) || moved["players"]["2"][1].as_i64() < Some(3) {
        moved = snapshot(&mut east);
        let tick = moved["tick"].as_u64().unwrap();
        assert!(tick > last, "ticks come in order, each once");
        last = tick;
    }
    assert_eq!((&moved["players"]["1"][1], &moved["players"]["2"][0]), (&json!(0), &json!(0)));
    let same = loop {
        let seen = snapshot(&mut south);
        if seen["tick"].as_u64() >= Some(last) {
            break seen;
        }
    };
    assert_eq!(same, moved, "everyone sees the same world");
    south.send("teleport".into()).unwrap();
    assert_eq!(close_code(&mut south), 4000);
    while snapshot(&mut east)["players"].get("2").is_some() {}
    drop(east);
    drain(server);
}

/// A client of the Centrifuge protocol: commands and replies as JSON, pushes set aside.
struct Chatter {
    socket: WebSocket<TcpStream>,
    lines: VecDeque<Value>,
    pushes: VecDeque<Value>,
}

impl Chatter {
    fn connect(server: &Server) -> Self {
        let socket = connect(server, "/connection/websocket").unwrap();
        let mut chatter = Self { socket, lines: VecDeque::new(), pushes: VecDeque::new() };
        assert!(chatter.ask(json!({ "connect": {} }))["connect"]["client"].is_string());
        chatter
    }

    /// Several messages may share a frame.
    fn line(&mut self) -> Value {
        while self.lines.is_empty() {
            let message = read(&mut self.socket);
            let lines = message.to_text().unwrap().lines();
            self.lines.extend(lines.map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        self.lines.pop_front().unwrap()
    }

    /// The reply to a command.
    fn ask(&mut self, mut command: Value) -> Value {
        command["id"] = json!(1);
        self.socket.send(command.to_string().into()).unwrap();
        loop {
            let line = self.line();
            if line["id"] == 1 {
                return line;
            }
            self.pushes.push_back(line["push"].clone());
        }
    }

    /// The next push of this kind.
    fn push(&mut self, kind: &str) -> Value {
        loop {
            let push = self.pushes.pop_front().unwrap_or_else(|| self.line()["push"].clone());
            if push.get(kind).is_some() {
                return push[kind].clone();
            }
        }
    }

    fn say(&mut self, text: &str) {
        let reply = self.ask(json!({ "publish": { "channel": "chat:lobby", "data": { "text": text } } }));
        assert!(reply.get("publish").is_some(), "{reply}");
    }
}

/// The texts of publications.
fn texts(publications: &Value) -> Vec<&str> {
    publications.as_array().unwrap().iter().map(|one| one["data"]["text"].as_str().unwrap()).collect()
}

#[test]
fn a_chat_remembers_what_its_members_miss() {
    let server = serve_as(chat::config(), 3, |_shard| NoHandler);
    let enter = json!({ "subscribe": { "channel": "chat:lobby" } });
    let mut ada = Chatter::connect(&server);
    assert_eq!(ada.ask(enter.clone())["subscribe"]["recoverable"], true);
    ada.push("join"); // her own
    let mut ben = Chatter::connect(&server);
    let entered = ben.ask(enter)["subscribe"].clone();
    let who = ada.push("join")["info"]["client"].clone();
    let presence = ada.ask(json!({ "presence": { "channel": "chat:lobby" } }));
    assert_eq!(presence["presence"]["presence"].as_object().unwrap().len(), 2);

    ada.say("seen");
    let seen = ben.push("pub");
    assert_eq!(seen["data"]["text"], "seen");
    drop(ben);
    assert_eq!(ada.push("leave")["info"]["client"], who);
    for text in ["one", "two", "three"] {
        ada.say(text);
    }
    let mut ben = Chatter::connect(&server);
    let mut recover = json!({ "channel": "chat:lobby", "recover": true });
    (recover["epoch"], recover["offset"]) = (entered["epoch"].clone(), seen["offset"].clone());
    let back = ben.ask(json!({ "subscribe": recover }))["subscribe"].clone();
    assert_eq!(back["recovered"], true, "{back}");
    assert_eq!(texts(&back["publications"]), ["one", "two", "three"]);

    for (channel, code) in [("lobby", 103), ("elsewhere:lobby", 102)] {
        let refused = ben.ask(json!({ "subscribe": { "channel": channel } }));
        assert_eq!(refused["error"]["code"], code, "{channel}: {refused}");
    }
    drop((ada, ben));
    drain(server);
}

#[test]
fn a_chat_serves_its_own_page() {
    let server = serve_as(chat::config(), 1, |_shard| NoHandler);
    let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    drop(stream); // the server has said its last word and waits for that
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/html; charset=utf-8"), "{head}");
    assert_eq!(body, include_str!("../examples/chat.html"));
    drain(server);
}
