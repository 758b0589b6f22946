//! The client `rust_socketio`, unmodified, against the example for test suites.
//!
//! `scripts/test` runs it, with `THRONG_BIN` for the binary in whose folder `examples` the example is.
#![cfg(test)]

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rust_socketio::client::Client;
use rust_socketio::{ClientBuilder, Event, Payload, TransportType};
use serde_json::{Value, json};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ways in which the client connects: by polling, then WebSocket; by WebSocket; by polling for good.
const TRANSPORTS: [fn() -> TransportType; 3] =
    [|| TransportType::WebsocketUpgrade, || TransportType::Websocket, || TransportType::Polling];

/// The example, on a port of its own.
struct Example {
    process: Child,
    port: u16,
}

impl Example {
    fn start() -> Self {
        // The port is free again once the listener is dropped.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { process: Self::spawn(port), port }
    }

    fn spawn(port: u16) -> Child {
        let throng =
            PathBuf::from(std::env::var("THRONG_BIN").expect("THRONG_BIN names the server's binary"));
        let program = throng.parent().unwrap().join("examples/socketio_conformance");
        let process = Command::new(&program)
            .args([format!("127.0.0.1:{port}").as_str(), "slow"])
            .stdout(Stdio::null())
            .spawn()
            .expect("the example is built");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{} does not listen", program.display());
            sleep(Duration::from_millis(20));
        }
        process
    }

    /// Ends it without a word, and starts it anew at the same port.
    fn restart(&mut self) {
        self.kill();
        self.process = Self::spawn(self.port);
    }

    fn kill(&mut self) {
        self.process.kill().ok(); // it may have ended
        self.process.wait().unwrap();
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client, and what it hears: names of events with their payload.
struct Peer {
    client: Client,
    heard: Receiver<(String, Payload)>,
}

impl Peer {
    fn connect(example: &Example, transport: TransportType, namespace: &str, auth: Option<Value>) -> Self {
        let (told, heard) = channel();
        let connected = told.clone();
        let mut builder = ClientBuilder::new(format!("http://127.0.0.1:{}", example.port))
            .namespace(namespace)
            .transport_type(transport)
            .reconnect(true)
            .reconnect_delay(20, 100)
            .on(Event::Connect, move |payload, _| {
                connected.send(("connect".to_owned(), payload)).unwrap_or(())
            })
            .on_any(move |event, payload, _| told.send((event.into(), payload)).unwrap_or(()));
        if let Some(auth) = &auth {
            builder = builder.auth(auth.clone());
        }
        let peer = Self { client: builder.connect().unwrap(), heard };
        peer.expect_connected(auth);
        peer
    }

    /// The server tells the client that it is connected, and then what it gave for authentication.
    fn expect_connected(&self, auth: Option<Value>) {
        assert_eq!(self.next().0, "connect");
        assert_eq!(self.next(), ("auth".to_owned(), Payload::Text(vec![auth.unwrap_or(json!({}))])));
    }

    fn next(&self) -> (String, Payload) {
        self.heard.recv_timeout(PATIENCE).expect("an event")
    }

    /// Sends an event that comes back.
    fn check_back(&self, payload: Payload) {
        self.client.emit("message", payload.clone()).unwrap();
        assert!(self.next() == ("message-back".to_owned(), payload), "it comes back unchanged");
    }

    /// Sends an event whose answer has the same arguments.
    fn check_answer(&self, args: Vec<Value>) {
        let (told, answer) = channel();
        let callback = move |payload, _| told.send(payload).unwrap_or(());
        self.client
            .emit_with_ack("message-with-ack", Payload::Text(args.clone()), PATIENCE, callback)
            .unwrap();
        // The client hands over all arguments as one list.
        assert_eq!(answer.recv_timeout(PATIENCE).expect("an answer"), Payload::Text(vec![args.into()]));
    }
}

fn values() -> Vec<Value> {
    vec![json!(1), json!("zwei €😀"), json!({"drei": [true, null]}), json!("x".repeat(50_000))]
}

/// Binary data. Over WebSocket this client divides it at the byte 0x1E, the separator of polling, so there is none.
fn binary() -> Vec<u8> {
    (0..=255).filter(|byte| *byte != 0x1E).cycle().take(20_000).collect()
}

#[test]
fn events_come_back_and_are_answered() {
    let example = Example::start();
    for transport in TRANSPORTS {
        for (namespace, auth) in [("/", None), ("/custom", Some(json!({"token": "abc"})))] {
            let peer = Peer::connect(&example, transport(), namespace, auth);
            peer.check_back(Payload::Text(values()));
            peer.check_back(Payload::from(binary()));
            peer.check_answer(values());
            peer.client.disconnect().unwrap();
        }
    }
}

#[test]
fn events_of_others_come_in_order() {
    let example = Example::start();
    let peers: Vec<_> =
        TRANSPORTS.iter().map(|transport| Peer::connect(&example, transport(), "/", None)).collect();
    for number in 0..100 {
        peers[number % 3].client.emit("broadcast", json!(number)).unwrap();
        for (at, peer) in peers.iter().enumerate() {
            if at != number % 3 {
                assert_eq!(peer.next(), ("message-back".to_owned(), Payload::Text(vec![json!(number)])));
            }
        }
    }
    // Many at once.
    for number in 0..200 {
        peers[0].client.emit("broadcast", json!(number)).unwrap();
    }
    for peer in &peers[1..] {
        for number in 0..200 {
            assert_eq!(peer.next(), ("message-back".to_owned(), Payload::Text(vec![json!(number)])));
        }
    }
}

#[test]
fn an_unknown_namespace_is_refused() {
    let example = Example::start();
    let (told, heard) = channel();
    let client = ClientBuilder::new(format!("http://127.0.0.1:{}", example.port))
        .namespace("/unknown")
        .on("error", move |payload, _| told.send(payload).unwrap_or(()))
        .connect()
        .unwrap();
    let Payload::Text(said) = heard.recv_timeout(PATIENCE).expect("an error") else { panic!("no text") };
    assert!(said[0].as_str().unwrap().contains("Invalid namespace"), "{said:?}");
    client.disconnect().ok(); // the server has nothing to end
}

#[test]
fn clients_come_back_to_a_server_that_was_killed() {
    let mut example = Example::start();
    let peers: Vec<_> =
        TRANSPORTS.iter().map(|transport| Peer::connect(&example, transport(), "/", None)).collect();
    example.restart();
    for peer in &peers {
        peer.expect_connected(None);
        peer.check_back(Payload::Text(values()));
        peer.check_answer(values());
    }
}
