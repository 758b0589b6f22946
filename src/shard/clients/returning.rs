//! Clients that return to the sockets of their earlier connections.

use super::Clients;
use crate::base::slots::Key;
use crate::hub::away::{Back, Return};
use crate::hub::home::Joined;
use crate::hub::words::Dismissed;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::{Conn, Stage, Sub};
use crate::shard::channels::memory::cost_of;
use crate::shard::mailbox::{Returning, Socket};

impl<W: World> Clients<W> {
    /// Handles a letter about a socket whose client returns to it.
    pub(in crate::shard) fn about_return(&mut self, letter: Returning) {
        match letter {
            Returning::Answered { asked, back } => self.answered_return(&asked, back),
            Returning::Wanted(socket) => self.give_away(socket),
            letter @ (Returning::Parked(_) | Returning::Asked(_) | Returning::NotHeld(_)) => {
                self.channels.about_return(letter);
            }
        }
    }

    /// Ends the connection of a socket whose client has another, and tells the home when it has ended: its events are handled
    /// before.
    fn give_away(&mut self, socket: Box<Socket>) {
        if let Some(key) = self.channels.holder_of(&socket) {
            let has_left = |conn: &Conn<_, _>| conn.has_left;
            if !self.channels.carry.conns.entry(key).is_some_and(has_left) {
                // As if the client had closed it.
                self.close_behind(key, CloseReason::Hangup);
            }
            let conn = self.channels.carry.conns.entry(key);
            if conn.is_some_and(|conn| conn.stage == Stage::Open) {
                return self.channels.wanted.push((key, socket));
            }
        }
        self.channels.tell_not_held(socket);
    }

    /// Handles the home's answer to a client that asked for its socket.
    fn answered_return(&mut self, asked: &Return, back: Option<Box<Back>>) {
        let key = Key::from_token(asked.member.conn);
        let conn = self.channels.carry.conns.entry(key);
        let awaits = conn.is_some_and(|conn| {
            conn.stage == Stage::Open && !conn.has_left && conn.session.awaits_return(asked)
        });
        match back {
            Some(back) if !awaits => return self.channels.park_again(key, back.away),
            Some(back) => {
                let Some(back) = self.reenter(key, back) else { return };
                // The bytes of what is missed are limited: they are an answer.
                self.with_answer(key, |session, handler, cx| {
                    session.returned(asked, Some(*back), handler, cx)
                });
            }
            None if !awaits => return,
            // As if the client had closed it.
            None if asked.is_overtaken => return self.channels.close(key, CloseReason::Hangup),
            None => {
                self.tell_handler(key, |session, handler, cx| session.returned(asked, None, handler, cx));
            }
        }
        self.channels.carry.arm(key);
    }

    /// Makes a connection a subscriber of all rooms of a socket, in which the home has counted it; returns `None`
    /// when the connection had to end.
    fn reenter(&mut self, key: Key, back: Box<Back>) -> Option<Box<Back>> {
        let home = self.channels.home_of(&back.away.group);
        self.channels.carry.reach.arrived(home, back.seq);
        let joined = Joined { seq: back.seq, ..Joined::default() };
        for (at, room) in back.away.rooms.iter().enumerate() {
            let id = self.channels.local.acquire(room);
            self.channels.spend(cost_of(!self.channels.local.is_of_one(id), room));
            self.channels.carry.put_sub(key, Sub::pending(id, 0));
            let slot = self.channels.carry.conns.entry(key).and_then(|conn| conn.slot_of(id));
            let is_active = slot.is_some_and(|slot| self.channels.activate(key, id, slot, &joined, None));
            if !is_active {
                for room in &back.away.rooms[at + 1..] {
                    self.channels.tell_unsubscribed(room, key);
                }
                self.channels.hand_home(back.away);
                self.channels.dismiss(key, Dismissed::Internal);
                return None;
            }
        }
        Some(back)
    }
}
