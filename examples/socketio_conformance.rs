//! A server for test suites of Socket.IO and Engine.IO: it sends back what it gets, as those suites demand.
//!
//! `cargo run --release --example socketio_conformance -- 127.0.0.1:3000`, then run the suites of the protocols' texts
//! (`scripts/suites`). A further argument `eio3` serves clients of Engine.IO 3 as well, for the suite of that version; the
//! other suites want them refused. The argument `msgpack` is for clients with `socket.io-msgpack-parser`; with `recovery`,
//! clients return to their sockets, which the suites expect off; with `slow`, heartbeats are as seldom as by default.
//!
//! * `/socket.io/`: the namespaces `/` and `/custom` are open. A new socket gets the event `auth` with what it gave for
//!   authentication; `message` is answered by the event `message-back`, `message-with-ack` by its acknowledgement;
//!   `broadcast` becomes `message-back` for all others.
//! * `/engine.io/`: every message of Engine.IO comes back.

use serde_json::value::RawValue;
use throng::socketio::{Admit, Connecting, Ending, Event, Socket};
use throng::{
    CloseReason, Config, Endpoint, EngineClient, Handler, Message, Peer, Refusal, Request, Server, Serves,
    SocketIoOptions, Status,
};

/// The application. Each shard has its own, so it needs no lock.
pub struct Echo;

/// The state of a socket, or of a session of bare messages.
pub enum State {
    /// The client's `auth`.
    Socket(Box<RawValue>),
    /// None.
    Messages,
}

impl Handler for Echo {
    type State = State;

    fn serves(&self, _path: &str) -> bool {
        false
    }

    fn open(
        &mut self,
        _: &Request<'_>,
        _: Option<&'static str>,
        _: &mut Peer<'_, '_>,
    ) -> Result<State, Refusal> {
        Err(Refusal::new(Status::NotFound, "no plain WebSocket is served"))
    }

    fn open_engine(&mut self, _: &EngineClient<'_>, _: &mut Peer<'_, '_>) -> Option<State> {
        Some(State::Messages)
    }

    fn message(
        &mut self,
        _: &mut State,
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        peer.send_back(message);
        Ok(())
    }

    fn socket_connect(&mut self, connecting: &Connecting<'_>) -> Admit<State> {
        match (connecting.namespace, RawValue::from_string(connecting.auth.unwrap_or("{}").to_owned())) {
            ("/" | "/custom", Ok(auth)) => Admit::In(State::Socket(auth)),
            _ => Admit::unknown_namespace(),
        }
    }

    fn socket_connected(&mut self, state: &mut State, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        if let (State::Socket(auth), false) = (state, socket.is_recovered()) {
            socket.emit("auth", &(&*auth,))?;
        }
        Ok(())
    }

    fn socket_event(
        &mut self,
        _: &mut State,
        event: Event<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        let Event { name, args, attachments, ack } = event;
        match (name, ack) {
            ("message", _) => socket.emit_raw("message-back", args, attachments)?,
            ("broadcast", _) => socket.others().emit_raw("message-back", args, attachments)?,
            ("message-with-ack", Some(ack)) => socket.ack_raw(ack, args, attachments)?,
            _ => {}
        }
        Ok(())
    }
}

/// Options as the suites expect them: short intervals, and one second to connect to a namespace.
pub fn options() -> SocketIoOptions {
    SocketIoOptions {
        enabled: true,
        ping_interval_ms: 300,
        ping_timeout_ms: 200,
        connect_timeout_ms: 1000,
        ..SocketIoOptions::default()
    }
}

/// The server at this address.
pub fn config(address: std::net::SocketAddr, socketio: SocketIoOptions) -> Config {
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
    let address = args.next().unwrap_or("127.0.0.1:3000".to_owned()).parse()?;
    let mut options = options();
    match args.next().as_deref() {
        None => {}
        Some("eio3") => options.allow_eio3 = true,
        Some("msgpack") => options.is_msgpack = true,
        Some("recovery") => options.recovery_ttl_ms = 60_000,
        Some("slow") => options = SocketIoOptions { enabled: true, ..SocketIoOptions::default() },
        Some(other) => {
            return Err(format!("unknown argument {other}; expected eio3, msgpack, recovery or slow").into());
        }
    }
    let mut server = Server::start(&config(address, options), |_shard| Echo)?;
    server.handle_signals()?;
    println!("http://{}/socket.io/", server.addresses()[0]);
    println!("{}", server.wait()?); // until Ctrl-C
    Ok(())
}
