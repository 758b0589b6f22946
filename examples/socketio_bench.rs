//! An application for `throng bench --protocol socketio`: it answers as little as a measurement needs.
//!
//! `cargo run --release --example socketio_bench -- 127.0.0.1:8000 [shards [ping interval [recovery]]]`, both in ms, then
//! `throng bench echo --protocol socketio`. `join` with a room enters it and is acknowledged, `echo` is acknowledged
//! with its arguments, and `publish` with a room and data is emitted to the room as it is. A server on another stack
//! that does the same can be measured as well.

use throng::socketio::{Admit, Connecting, Ending, Event, Events, Socket, SocketIo};
use throng::{Config, Server, SocketIoOptions};

/// The application. Each shard has its own, so it needs no lock.
pub struct Bench;

impl Events for Bench {
    type State = ();

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<()> {
        if connecting.namespace == "/" { Admit::In(()) } else { Admit::unknown_namespace() }
    }

    fn event(&mut self, (): &mut (), event: Event<'_>, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        let Event { name, args, attachments, ack } = event;
        match name {
            "join" => {
                let Ok((room,)) = args.read::<(String,)>() else { return Ok(()) };
                socket.join(&room)?;
            }
            "publish" => {
                let Ok((room,)) = args.read::<(String,)>() else { return Ok(()) };
                socket.everyone().to(&room).emit_raw(name, args, attachments)?;
            }
            "echo" => {
                return Ok(ack.map_or(Ok(()), |ack| socket.ack_raw(ack, args, attachments))?);
            }
            _ => {}
        }
        Ok(ack.map_or(Ok(()), |ack| socket.ack(ack, &()))?)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address = words.first().map_or("127.0.0.1:8000", String::as_str).parse::<std::net::SocketAddr>()?;
    let shards = words.get(1).map(|count| count.parse()).transpose()?;
    let mut socketio = SocketIoOptions { enabled: true, ..SocketIoOptions::default() };
    if let Some(interval) = words.get(2) {
        socketio.ping_interval_ms = interval.parse()?;
    }
    if let Some(ttl) = words.get(3) {
        socketio.recovery_ttl_ms = ttl.parse()?;
    }
    let config = Config { listen: vec![address.into()], control: None, socketio, ..Config::default() };
    let config = Config { shards: shards.unwrap_or(config.shards), ..config };
    let mut server = Server::start(&config, |_shard| SocketIo(Bench))?;
    server.handle_signals()?;
    println!("throng ready: {}", server.addresses()[0]); // scripts wait for this line
    println!("{}", server.wait()?); // until Ctrl-C
    Ok(())
}
