//! A server for the tests of `socket.io-client` and `engine.io-client`: the events and options that those tests expect.
//!
//! `cargo run --example socketio_client_suite -- socket.io 127.0.0.1:3210`, and `… -- engine.io 127.0.0.1:3000`; the tests
//! name these ports. `scripts/suites --clients` runs them, the former through a second port.
//!
//! * `socket.io`: `/`, `/foo`, `/timeout_socket`, `/valid`, `/asd` and `/abc` are open, `/no` is not, and neither is `/` for
//!   clients with `fail` in their query. Clients return to their sockets.
//! * `engine.io`: a new session gets `hi`, and its messages come back, but for two that are answered by binary data and by
//!   text of several bytes per character. Messages are of 100 bytes at most; clients with `deny` in their query are
//!   refused.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use throng::socketio::{Acked, Admit, Binary, Connecting, Routes, Socket, SocketIo};
use throng::{
    CloseReason, Config, Endpoint, EngineClient, Handler, Kind, Message, Peer, Refusal, Request, Server,
    Serves, SocketIoOptions, Status,
};

/// The value of a key in a query.
fn in_query<'q>(query: &'q str, key: &str) -> Option<std::borrow::Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| (name == key).then_some(value))
}

/// The state of a socket.
pub struct Client {
    /// The `auth` and `query` of the client.
    handshake: Value,
    /// Whether the first of two events with binary data has come.
    has_first: bool,
}

/// Opens the namespaces of the tests.
fn connect(connecting: &Connecting<'_>) -> Admit<Client> {
    match connecting.namespace {
        "/" if in_query(connecting.query, "fail").is_some() => Admit::out("Auth failed (main namespace)"),
        "/no" => Admit::out("Auth failed (custom namespace)"),
        "/" | "/foo" | "/timeout_socket" | "/valid" | "/asd" | "/abc" => {
            let auth: Value = serde_json::from_str(connecting.auth.unwrap_or("{}")).unwrap_or_default();
            let query: Map<String, Value> = form_urlencoded::parse(connecting.query.as_bytes())
                .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
                .collect();
            Admit::In(Client { handshake: json!({ "auth": auth, "query": query }), has_first: false })
        }
        _ => Admit::unknown_namespace(),
    }
}

/// An argument with binary data between two texts.
#[derive(serde::Deserialize)]
struct Mixed {
    hello: String,
    message: Binary,
    goodbye: String,
}

/// A date as JavaScript writes it in JSON.
const DATE: &str = "2026-01-02T03:04:05.678Z";
/// The token of the only event that wants an answer.
const ACK: u64 = 1;

/// The application. The tests want an answer to each of these events, most of them by an event.
pub fn routes() -> Routes<Client> {
    Routes::new(connect)
        .connected(|client, socket| match socket.namespace() {
            "/abc" => Ok(socket.emit("handshake", &client.handshake)?),
            _ => Ok(()),
        })
        .acked(|_, _, acked, socket| acknowledged(&acked, socket))
        .on("hi", |turn, ()| Ok(turn.socket.emit("hi", &())?))
        .on("echo", |turn, (value,): (Box<RawValue>,)| turn.ack(&(value,)))
        .on("ack", |turn, ()| Ok(turn.socket.emit_for_ack("ack", &(), ACK, None)?))
        .on("getId", |turn, ()| {
            let id = turn.socket.id();
            turn.ack(id.as_str())
        })
        .on("getHandshake", |turn, ()| {
            let handshake = turn.state.handshake.clone();
            turn.ack(&handshake)
        })
        .on("getAckDate", |turn, ()| turn.ack(DATE))
        .on("getDate", |turn, ()| Ok(turn.socket.emit("takeDate", DATE)?))
        .on("getDateObj", |turn, ()| Ok(turn.socket.emit("takeDateObj", &json!({ "date": DATE }))?))
        .on("getUtf8", |turn, ()| {
            for text in ["てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"]
            {
                turn.socket.emit("takeUtf8", text)?;
            }
            Ok(())
        })
        .on("false", |turn, ()| Ok(turn.socket.emit("false", &false)?))
        .on("doge", |turn, ()| Ok(turn.socket.emit_with("doge", &Binary(0), &[b"asdfasdf"])?))
        .on("buffa", |turn, (_,): (Binary,)| Ok(turn.socket.emit("buffack", &())?))
        .on("jsonbuff", |turn, (Mixed { hello, message, goodbye },): (Mixed,)| {
            let is_whole = turn.attachments.get(message.0).is_some_and(|data| !data.is_empty());
            match (is_whole, hello.as_str(), goodbye.as_str()) {
                (true, "lol", "gotcha") => Ok(turn.socket.emit("jsonbuff-ack", &())?),
                _ => Ok(()),
            }
        })
        .on("abuff1", |turn, (_,): (Binary,)| {
            turn.state.has_first = true;
            Ok(())
        })
        .on("abuff2", |turn, (_,): (String,)| match turn.state.has_first {
            true => Ok(turn.socket.emit("abuff2-ack", &())?),
            false => Ok(()),
        })
}

/// The client has answered with 5, and an object in which `test` is true.
fn acknowledged(acked: &Acked<'_>, socket: &mut Socket<'_, '_>) -> Result<(), throng::socketio::Ending> {
    match acked.read::<(u8, Value)>() {
        Ok(Some((5, object))) if object["test"] == true => Ok(socket.emit("got it", &())?),
        _ => Ok(()),
    }
}

/// The application without Socket.IO.
pub struct Echo;

impl Handler for Echo {
    type State = ();

    fn serves(&self, _path: &str) -> bool {
        false
    }

    fn open(
        &mut self,
        _: &Request<'_>,
        _: Option<&'static str>,
        _: &mut Peer<'_, '_>,
    ) -> Result<(), Refusal> {
        Err(Refusal::new(Status::NotFound, "no plain WebSocket is served"))
    }

    fn open_engine(&mut self, opening: &EngineClient<'_>, peer: &mut Peer<'_, '_>) -> Option<()> {
        if in_query(opening.query, "deny").is_some() {
            return None;
        }
        peer.send(Kind::Text, b"hi");
        Some(())
    }

    fn message(
        &mut self,
        (): &mut (),
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        match &*message.data {
            b"give binary" => peer.send(Kind::Binary, &[0, 1, 2, 3, 4]),
            b"give utf8" => peer.send(Kind::Text, "пойду спать всем спокойной ночи".as_bytes()),
            _ => peer.send_back(message),
        };
        Ok(())
    }
}

/// The server for the tests of `socket.io-client`.
pub fn for_socket_io(address: std::net::SocketAddr) -> Config {
    let socketio = SocketIoOptions {
        enabled: true,
        ping_interval_ms: 2000,
        recovery_ttl_ms: 120_000,
        ..SocketIoOptions::default()
    };
    Config { listen: vec![address.into()], control: None, socketio, ..Config::default() }
}

/// The server for the tests of `engine.io-client`.
pub fn for_engine_io(address: std::net::SocketAddr) -> Config {
    let socketio = SocketIoOptions {
        enabled: true,
        ping_interval_ms: 500,
        payload_bytes_max: 100,
        ..SocketIoOptions::default()
    };
    let engine = Endpoint { path: "/engine.io/".to_owned(), serves: Serves::EngineIo };
    Config {
        listen: vec![address.into()],
        control: None,
        endpoints: vec![engine],
        socketio,
        ..Config::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(which), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: socketio_client_suite socket.io|engine.io ADDRESS".into());
    };
    let mut server = match which.as_str() {
        "socket.io" => Server::start(&for_socket_io(address.parse()?), |_shard| SocketIo(routes()))?,
        "engine.io" => Server::start(&for_engine_io(address.parse()?), |_shard| Echo)?,
        other => return Err(format!("unknown argument {other}; expected socket.io or engine.io").into()),
    };
    server.handle_signals()?;
    println!("http://{}", server.addresses()[0]);
    println!("{}", server.wait()?); // until Ctrl-C
    Ok(())
}
