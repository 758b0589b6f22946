//! A server for test suites of Socket.IO: it sends back what it gets, as those suites demand.
//!
//! `cargo run --release --example socketio_conformance -- 127.0.0.1:3000`, then run the suite of the protocol's text. The
//! namespaces `/` and `/custom` are open. A new socket gets the event `auth` with what it gave for authentication;
//! `message` is answered by the event `message-back`, `message-with-ack` by its acknowledgement; `broadcast` becomes
//! `message-back` for all others.
//!
//! With `recovery` behind the address, clients return to their sockets; the suites expect it off.

use serde_json::value::RawValue;
use throng::socketio::{Admit, Connecting, Ending, Event, Events, Socket, SocketIo};
use throng::{Config, Server, SocketIoOptions};

/// The application. Each shard has its own, so it needs no lock.
pub struct Echo;

impl Events for Echo {
    /// The client's `auth`.
    type State = Box<RawValue>;

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<Box<RawValue>> {
        match (connecting.namespace, RawValue::from_string(connecting.auth.unwrap_or("{}").to_owned())) {
            ("/" | "/custom", Ok(auth)) => Admit::In(auth),
            _ => Admit::unknown_namespace(),
        }
    }

    fn connected(&mut self, auth: &mut Box<RawValue>, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        match socket.is_recovered() {
            true => Ok(()),
            false => Ok(socket.emit("auth", &(&*auth,))?),
        }
    }

    fn event(
        &mut self,
        _auth: &mut Box<RawValue>,
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: std::net::SocketAddr =
        std::env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned()).parse()?;
    let recovers = std::env::args().any(|word| word == "recovery");
    let socketio = SocketIoOptions { recovery_ttl_ms: if recovers { 60_000 } else { 0 }, ..options() };
    let config = Config { listen: vec![address.into()], control: None, socketio, ..Config::default() };
    let mut server = Server::start(&config, |_shard| SocketIo(Echo))?;
    server.handle_signals()?;
    println!("http://{}/socket.io/", server.addresses()[0]);
    println!("{}", server.wait()?); // until Ctrl-C
    Ok(())
}
