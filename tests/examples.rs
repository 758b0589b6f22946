//! The examples, run: what their comments promise is what a client written elsewhere sees.
//!
//! Each is included as a module and served on a free port; what is left out is its `main`, which listens on the
//! usual one.

#![expect(clippy::unwrap_used, reason = "a test that cannot talk to its server has failed")]

#[path = "../examples/game.rs"]
#[expect(dead_code, unreachable_pub, reason = "elsewhere it is a program of its own")]
mod game;
#[path = "../examples/room.rs"]
#[expect(dead_code, unreachable_pub, reason = "elsewhere it is a program of its own")]
mod room;

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use throng::{Config, Handler, Outcome, Server};
use tungstenite::{HandshakeError, Message, WebSocket};

/// Long enough for a busy machine, short enough that a hanging test is noticed.
const PATIENCE: Duration = Duration::from_secs(10);

fn serve<H: Handler>(shards: usize, make: impl FnMut(u16) -> H) -> Server {
    let config =
        Config { listen: vec![([127, 0, 0, 1], 0).into()], control: None, shards, ..Config::default() };
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
