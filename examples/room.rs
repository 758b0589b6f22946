//! Chat rooms over plain WebSocket: every client in a room receives every message, in one order.
//!
//! `cargo run --example room`, then connect any WebSocket clients to `ws://127.0.0.1:8000/room/lobby?name=ada`.
//! The clients of a room may be on any shard; the code does not depend on the number of shards.

use throng::{CloseReason, Config, Handler, Kind, Message, Peer, Refusal, Request, Server, Status};

/// The endpoint. Each shard has its own, so it needs no lock.
pub struct Rooms;

/// The state of a connection, stored inside the connection.
pub struct Member {
    room: Box<str>,
    name: Box<str>,
}

impl Handler for Rooms {
    type State = Member;

    fn serves(&self, path: &str) -> bool {
        path.starts_with("/room/")
    }

    /// Accepts the client, or refuses it with a status and one sentence before the WebSocket handshake.
    fn open(
        &mut self,
        request: &Request<'_>,
        _subprotocol: Option<&'static str>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<Member, Refusal> {
        let name =
            request.query.and_then(|query| query.strip_prefix("name=")).filter(|name| !name.is_empty());
        let name = name.ok_or(Refusal::new(Status::Forbidden, "say who you are: ?name=ada"))?;
        peer.join(request.path); // a group is a channel, here named like the path
        peer.broadcast(request.path, Kind::Text, format!("{name} comes in").as_bytes());
        Ok(Member { room: request.path.into(), name: name.into() })
    }

    /// Copied once and encoded once, for any number of members.
    fn message(
        &mut self,
        who: &mut Member,
        said: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        let Some(text) = said.text() else { return peer.close(4000, "text only") };
        peer.broadcast(&who.room, Kind::Text, format!("{}: {text}", who.name).as_bytes());
        Ok(())
    }
}

fn main() -> std::io::Result<()> {
    let config = Config { control: None, ..Config::default() };
    let mut server = Server::start(&config, |_shard| Rooms)?;
    server.handle_signals()?;
    println!("ws://{}/room/lobby?name=ada", server.addresses()[0]);
    println!("{}", server.wait()?); // until Ctrl-C; then everyone is asked to come back later
    Ok(())
}
