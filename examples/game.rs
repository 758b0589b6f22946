//! A small authoritative game: clients send a direction, and only the server moves them.
//!
//! `cargo run --example game`, then connect to `ws://127.0.0.1:8000/arena` and send `n`, `e`, `s`, `w` or `stop`.
//! The first message contains the client's number; then the positions of all players follow 20 times a second, in
//! one order.
//!
//! It runs one shard, so that one handler has the whole world. A timer belongs to a connection; the players'
//! timers together are the clock: the first one in a tick moves the world, and the others see that it has moved.

use std::collections::BTreeMap;

use serde_json::json;
use throng::{ClientId, CloseReason, Config, Handler, Kind, Message, Peer, Refusal, Request, Server};

/// Length of a tick in milliseconds.
const TICK_MS: u64 = 50;
/// Fields per side of the arena.
const SIDE: i32 = 100;

/// A position, and its change per tick.
#[derive(Default)]
struct Player {
    place: [i32; 2],
    step: [i32; 2],
}

/// The world, and the time of its next move.
#[derive(Default)]
pub struct Arena {
    tick: u64,
    next_tick_ms: u64,
    players: BTreeMap<u32, Player>,
    last_number: u32,
}

impl Arena {
    /// One tick. A function of the world alone: no clock, no client.
    fn advance(&mut self) {
        self.tick += 1;
        for player in self.players.values_mut() {
            for (place, step) in player.place.iter_mut().zip(player.step) {
                *place = (*place + step).clamp(0, SIDE - 1);
            }
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let places: BTreeMap<_, _> =
            self.players.iter().map(|(number, player)| (number, player.place)).collect();
        json!({ "tick": self.tick, "players": places }).to_string().into_bytes()
    }
}

impl Handler for Arena {
    /// The player's number.
    type State = u32;

    fn serves(&self, path: &str) -> bool {
        path == "/arena"
    }

    fn open(
        &mut self,
        _request: &Request<'_>,
        _subprotocol: Option<&'static str>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<u32, Refusal> {
        if self.players.is_empty() {
            self.next_tick_ms = peer.now_ms() + TICK_MS; // nobody was there to move it
        }
        self.last_number += 1;
        self.players.insert(self.last_number, Player::default());
        peer.send(Kind::Text, json!({ "you": self.last_number }).to_string().as_bytes());
        peer.join("arena");
        peer.set_timer(self.next_tick_ms.saturating_sub(peer.now_ms()));
        Ok(self.last_number)
    }

    /// Stores the direction; the next tick moves the player.
    fn message(
        &mut self,
        number: &mut u32,
        wish: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        let step = match wish.text() {
            Some("n") => [0, -1],
            Some("e") => [1, 0],
            Some("s") => [0, 1],
            Some("w") => [-1, 0],
            Some("stop") => [0, 0],
            _ => return peer.close(4000, "n, e, s, w or stop"),
        };
        if let Some(player) = self.players.get_mut(number) {
            player.step = step;
        }
        Ok(())
    }

    fn timer(&mut self, _number: &mut u32, peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        if peer.now_ms() >= self.next_tick_ms {
            // A turn that came late makes up for it: the world's speed does not depend on the load.
            while peer.now_ms() >= self.next_tick_ms {
                self.advance();
                self.next_tick_ms += TICK_MS;
            }
            peer.broadcast("arena", Kind::Text, &self.snapshot());
        }
        peer.set_timer(self.next_tick_ms - peer.now_ms());
        Ok(())
    }

    fn closed(&mut self, number: u32, _client: ClientId, _reason: &CloseReason) {
        self.players.remove(&number);
    }
}

fn main() -> std::io::Result<()> {
    let config = Config { control: None, shards: 1, ..Config::default() };
    let mut server = Server::start(&config, |_shard| Arena::default())?;
    server.handle_signals()?;
    println!("ws://{}/arena", server.addresses()[0]);
    println!("{}", server.wait()?);
    Ok(())
}
