//! Scenarios of Socket.IO: over this crate's server, and storms with recovery against a small server that can
//! misbehave.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use throng::socketio::{Admit, Routes, SocketIo};
use throng::{Config, Server, SocketIoOptions};
use tungstenite::{Message, WebSocket};

use super::tests::args;
use crate::bench::args::Scenario;
use crate::bench::connections::workers::Refusal;
use crate::bench::scenarios::{echo, fanout, handshakes, idle, storm};

/// The application that the scenarios need, over this crate's server.
fn server() -> (Server, SocketAddr) {
    let routes = || {
        Routes::new(|_| Admit::In(()))
            .on("join", |turn, (room,): (String,)| {
                turn.socket.join(&room)?;
                turn.ack(&())
            })
            .on("echo", |turn, (data,): (String,)| turn.ack(&data))
            .on("publish", |turn, (room, data): (String, String)| {
                turn.socket.everyone().to(&room).emit("publish", &(&room, data))?;
                turn.ack(&())
            })
    };
    // Pings come while the scenarios run.
    let socketio = SocketIoOptions { enabled: true, ping_interval_ms: 50, ..SocketIoOptions::default() };
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let config = Config { listen, control: None, socketio, shards: 2, ..Config::default() };
    let server = Server::start(&config, move |_| SocketIo(routes())).unwrap();
    let address = server.addresses()[0].to_string().parse().unwrap();
    (server, address)
}

fn run(line: &str, address: SocketAddr) -> Result<bool, Refusal> {
    match args(&format!("{line} --json --protocol socketio --url ws://{address}/socket.io/")) {
        Scenario::Idle(args) => idle::run(&args),
        Scenario::Echo(args) => echo::run(&args),
        Scenario::Fanout(args) => fanout::run(&args),
        Scenario::Handshakes(args) => handshakes::run(&args),
        Scenario::Storm(args) => storm::run(&args),
        Scenario::Rpc(args) => echo::call(&args),
        Scenario::Publish(args) => echo::publish(&args),
        Scenario::Recover(args) => crate::bench::scenarios::recover::run(&args),
    }
}

#[test]
fn every_scenario_of_socketio_runs_against_a_server() {
    let (_server, address) = server();
    for line in [
        "idle --connections 7 --hold 0.2 --subscribe bench --publish 3",
        "idle --connections 7 --hold 0.2 --subscribe bench --transport polling --threads 2",
        "echo --connections 3 --seconds 0.2 --warmup 0",
        "echo --connections 3 --seconds 0.2 --warmup 0 --size 5000 --in-flight 5 --threads 2",
        "echo --connections 3 --seconds 0.2 --warmup 0 --transport polling",
        "echo --connections 3 --seconds 0.2 --warmup 0 --size 20000 --transport polling --threads 2",
        "fanout --connections 5 --seconds 0.2 --warmup 0 --threads 2 --in-flight 3",
        "fanout --connections 6 --channels 6 --each 2 --channel some --seconds 0.2 --warmup 0 --in-flight 6",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0 --ending goodbye",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0 --transport polling",
        "storm --connections 20 --live 3 --live-rate 200 --quiet 0.1 --subscribe bench",
    ] {
        assert_eq!(run(line, address), Ok(true), "{line}");
    }
}

#[test]
fn what_socketio_does_not_have_is_refused() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    for line in [
        "rpc",
        "publish",
        "publish --api",
        "recover --connections 1",
        "echo --tcp",
        "echo --text",
        "echo --size 1",
        "echo --transport upgrade",
        "echo --transport polling --in-flight 2",
        "echo --transport polling --rate 1",
        "idle --connections 1 --transport upgrade",
        "idle --connections 1 --transport polling --subscribe a --publish 1",
        "fanout --connections 1 --transport polling",
        "fanout --connections 1 --tcp",
        "handshakes --tcp",
        "handshakes --transport polling --ending reset",
        "storm --transport polling",
    ] {
        assert!(matches!(run(line, nobody), Err(Refusal::Arguments(_))), "{line}");
    }
}

/// What a server does with clients that come back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Good,
    /// As good, but missed events are sent before the answer to CONNECT, as the reference does.
    Early,
    /// All sessions are new.
    None,
    /// One missed event is left out, or sent twice.
    Gap,
    Twice,
}

/// A server with recovery: one thread per connection, sessions that never expire.
struct Recovering {
    memory: Memory,
    rooms: Mutex<Vec<TcpStream>>,
    events: Mutex<Vec<String>>,
    sessions: Mutex<usize>,
}

impl Recovering {
    fn start(memory: Memory) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (rooms, events, sessions) = Default::default();
        let server = Arc::new(Self { memory, rooms, events, sessions });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = Arc::clone(&server);
                thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        address
    }

    fn serve(&self, stream: TcpStream) {
        let raw = stream.try_clone().unwrap();
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        let say = |socket: &mut WebSocket<TcpStream>, text: String| drop(socket.send(Message::text(text)));
        say(&mut socket, "0{\"sid\":\"e\",\"upgrades\":[],\"pingInterval\":25000}".to_owned());
        while let Ok(message) = socket.read() {
            let Ok(text) = message.into_text() else { continue };
            let (digits, rest) = text.split_at(text.find(['[', '{']).unwrap_or(text.len()));
            let json: serde_json::Value = serde_json::from_str(rest).unwrap_or_default();
            if digits == "40" {
                self.connect(&json, &mut socket, &raw);
                continue;
            }
            if json[0] == "join" {
                self.rooms.lock().unwrap().push(raw.try_clone().unwrap());
            } else if json[0] == "publish" {
                self.publish(&json);
            } else {
                say(&mut socket, format!("43{}[{}]", &digits[2..], json[1]));
                continue;
            }
            if digits.len() > 2 {
                say(&mut socket, format!("43{}[]", &digits[2..]));
            }
        }
    }

    fn connect(&self, auth: &serde_json::Value, socket: &mut WebSocket<TcpStream>, raw: &TcpStream) {
        let mut say = |text: &str| drop(socket.send(Message::text(text.to_owned())));
        let pid = auth["pid"].as_str().filter(|_| self.memory != Memory::None);
        let Some(pid) = pid else {
            let mut sessions = self.sessions.lock().unwrap();
            *sessions += 1;
            return say(&format!("40{{\"sid\":\"s\",\"pid\":\"p{sessions}\"}}"));
        };
        let seen: usize = auth["offset"].as_str().unwrap().parse().unwrap();
        let events = self.events.lock().unwrap();
        let mut missed: Vec<&str> = events[seen + 1..].iter().map(String::as_str).collect();
        match self.memory {
            Memory::Gap => drop(missed.remove(1)),
            Memory::Twice => missed.insert(1, missed[0]),
            Memory::Good | Memory::Early | Memory::None => {}
        }
        let answer = format!("40{{\"sid\":\"s\",\"pid\":\"{pid}\"}}");
        if self.memory == Memory::Early {
            missed.into_iter().for_each(&mut say);
            return say(&answer);
        }
        say(&answer);
        missed.into_iter().for_each(say);
        self.rooms.lock().unwrap().push(raw.try_clone().unwrap());
    }

    fn publish(&self, event: &serde_json::Value) {
        let mut events = self.events.lock().unwrap();
        let text = format!("42[\"publish\",{},{},\"{}\"]", event[1], event[2], events.len());
        let mut frame = Vec::new();
        crate::bench::messages::frames::push_unmasked(&mut frame, 1, text.as_bytes());
        for mut member in self.rooms.lock().unwrap().iter() {
            drop(std::io::Write::write_all(&mut member, &frame));
        }
        events.push(text);
    }
}

#[test]
fn a_storm_with_recovery_demands_every_session_and_every_event_once() {
    for (memory, is_good) in [
        (Memory::Good, true),
        (Memory::Early, true),
        (Memory::None, false),
        (Memory::Gap, false),
        (Memory::Twice, false),
    ] {
        let line = "storm --connections 9 --live 2 --live-rate 100 --quiet 0.1 --subscribe bench --recover \
                    --missed 5 --threads 2 --within 3 --attempts 1";
        assert_eq!(run(line, Recovering::start(memory)), Ok(is_good), "{}", memory as u8);
    }
}

#[test]
fn a_server_without_recovery_is_said_to_have_none() {
    let (_server, address) = server();
    let line = "storm --connections 2 --live 1 --quiet 0.1 --subscribe bench --recover --timeout 1";
    let Err(Refusal::Failure(text)) = run(line, address) else { panic!("no failure") };
    assert!(text.contains("no pid"), "{text}");
}
