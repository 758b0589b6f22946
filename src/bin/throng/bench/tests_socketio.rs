//! Storms of Socket.IO clients with recovery, against a small server that can misbehave, and refused arguments. The
//! scenarios against this crate's server are in `tests/it/bench_socketio.rs`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tungstenite::{Message, WebSocket};

use super::tests::args;
use crate::bench::args::Scenario;
use crate::bench::connections::workers::Refusal;
use crate::bench::scenarios::{echo, fanout, handshakes, idle, storm};

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

/// The server's behaviour towards clients that come back.
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
