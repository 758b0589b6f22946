//! Sockets whose clients return to them: this shard as their home, and as the one where they were.

use std::sync::Arc;

use super::Channels;
use super::endings::rooms_among;
use crate::base::slots::Key;
use crate::hub::away::{Away, Back, Parked, Return, Returned};
use crate::hub::socket_order::SocketOrder;
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::Ask;
use crate::session::{Action, ClientId, end_away};
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::mailbox::{Letter, Returning, Socket};
use crate::shard::outside::SocketEnd;

impl<W: World> Channels<W> {
    /// Handles a letter to a home, or to the shard of a socket.
    pub(in crate::shard) fn about_return(&mut self, letter: Returning) {
        let now = self.carry.now();
        match letter {
            Returning::Parked(away) => {
                if let Parked::Awaited(asked, back) = self.home.park(now, away) {
                    self.answer_return(asked, back);
                }
                self.end_those_over();
            }
            Returning::Asked(asked) => {
                let (group, place) = (Arc::clone(&asked.group), asked.place);
                match self.home.handle_return(now, asked) {
                    Returned::Answered(asked, back) => self.answer_return(asked, back),
                    Returned::Asks(shard) => {
                        let letter = Returning::Wanted(Box::new(Socket { group, place }));
                        self.carry.post.send(shard, Letter::Returning(letter));
                    }
                }
                self.end_those_over();
            }
            Returning::NotHeld(socket) => {
                if let Some(asked) = self.home.not_held(socket.place) {
                    self.answer_return(asked, None);
                }
            }
            // Handled by the wing above.
            Returning::Answered { .. } | Returning::Wanted(_) => {}
        }
    }

    fn answer_return(&mut self, asked: Box<Return>, back: Option<Box<Back>>) {
        let counters = &self.carry.counters;
        match &back {
            Some(_) => counters.socket_recoveries.add(1),
            None => counters.socket_recoveries_refused.add(1),
        }
        let is_recovered = back.is_some();
        tracing::debug!(namespace = %asked.group.trim_start_matches('\u{1}'), is_recovered, "a Socket.IO client asks for its socket");
        let shard = asked.member.shard;
        self.carry.post.send(shard, Letter::Returning(Returning::Answered { asked, back }));
    }

    /// Asks the home of a namespace for a socket of an earlier connection.
    pub(in crate::shard) fn ask_back(&mut self, asked: Box<Return>) {
        let home = self.home_of(&asked.group);
        self.carry.post.send(home, Letter::Returning(Returning::Asked(asked)));
    }

    /// Tells the home of a socket that this shard does not have it, or no longer.
    pub(in crate::shard) fn tell_not_held(&mut self, socket: Box<Socket>) {
        let home = self.home_of(&socket.group);
        self.carry.post.send(home, Letter::Returning(Returning::NotHeld(socket)));
    }

    /// Tells homes of the sockets of an ended connection whose clients wait for its end.
    pub(super) fn tell_wanted(&mut self, key: Key) {
        for (_, socket) in self.wanted.extract_if(.., |(of, _)| *of == key).collect::<Vec<_>>() {
            self.tell_not_held(socket);
        }
    }

    /// The open connection of a socket, in this shard.
    pub(in crate::shard) fn holder_of(&self, socket: &Socket) -> Option<Key> {
        let Socket { group, place } = socket;
        // One that has returned is in the room of its id.
        let room = self.local.channel_id(&place.room(group, self.carry.seed));
        let returned = room.and_then(|id| self.local.subscribers(id).first());
        let key = match returned {
            Some(subscriber) => self.carry.conns.key_at(subscriber.conn)?,
            None => Key::from_token(place.conn),
        };
        self.holds(key, group, *place).then_some(key)
    }

    /// Whether a connection has the socket of this place, in the namespace of this channel.
    pub(super) fn holds(&self, key: Key, group: &str, place: SocketPlace) -> bool {
        let Some(conn) = self.carry.conns.entry(key) else { return false };
        let client = self.carry.client_id(key);
        conn.stage == Stage::Open && conn.session.place_in(group, client) == Some(place)
    }

    /// Hands a socket whose connection ends to its home, with its rooms.
    pub(super) fn park(&mut self, key: Key, mut away: Box<Away>) {
        // A server that stops keeps nothing.
        if self.carry.is_draining {
            return self.end_away(*away);
        }
        let Some(conn) = self.carry.conns.entry(key) else { return };
        let names = conn.subs.iter().map(|sub| self.local.name(sub.channel()));
        let own = away.place.room(&away.group, self.carry.seed);
        let map = &self.carry.settings.rooms;
        let rooms = names.filter(|name| map.is_within(name, &away.group) && **name != own).cloned();
        away.rooms = rooms.chain([Arc::clone(&own)]).collect();
        away.rooms.sort_unstable();
        let shared = away.rooms.iter().filter(|room| map.sharing(room).is_some());
        away.seats = shared.map(|room| (Arc::clone(room), map.options_of(room))).collect();
        self.hand_home(away);
    }

    /// Hands a socket without a connection to its home.
    pub(in crate::shard) fn hand_home(&mut self, away: Box<Away>) {
        let home = self.home_of(&away.group);
        self.carry.post.send(home, Letter::Returning(Returning::Parked(away)));
    }

    /// Carries out an order for sockets that are away, and have their home here.
    pub(in crate::shard) fn order_away(&mut self, order: &SocketOrder) {
        self.home.order_away(
            order,
            &self.carry.settings.rooms,
            self.carry.limits.channels_per_connection_max,
        );
        self.end_those_over();
    }

    /// Ends the sockets of a user that are away, and have their home here. `client`: the id of a connection or a socket, the
    /// only one that is meant; empty for all. `spared`: ids of connections that are not meant.
    pub(in crate::shard) fn end_away_of(&mut self, user: &str, client: &str, spared: &[String]) {
        let seed = self.carry.seed;
        let is_meant = |place: SocketPlace| {
            // The connection at which it connected first.
            let conn = ClientId { seed, shard: place.shard, token: place.conn }.to_string();
            let is_it = client.is_empty() || client == conn || place.seal(seed) == client.as_bytes();
            is_it && !spared.contains(&conn)
        };
        self.home.end_away_of(user, is_meant);
        self.end_those_over();
    }

    /// Gives back a socket whose client's connection has ended meanwhile.
    pub(in crate::shard) fn park_again(&mut self, key: Key, away: Box<Away>) {
        for room in &away.rooms {
            self.tell_unsubscribed(room, key);
        }
        self.hand_home(away);
    }

    /// Tells the application of sockets whose clients have not returned.
    #[inline]
    pub(in crate::shard) fn end_those_over(&mut self) {
        if self.carry.is_draining {
            self.home.give_up_all();
        }
        for away in self.home.take_over() {
            self.carry.counters.socket_recoveries_expired.add(1);
            self.end_away(away);
        }
    }

    fn end_away(&mut self, away: Away) {
        let mut actions = Vec::new();
        let rooms = away.rooms.clone();
        end_away(away, &mut self.carry.handler, (&self.carry.settings, &mut actions));
        for action in actions {
            if let Action::Ask { ask: Ask::Emit(emit), .. } = action {
                self.send_emission((None, 0), *emit);
            } else if let Action::Ask { ask: Ask::Ended(end), .. } = action {
                let rooms = rooms_among(&rooms, &end.group, &end.sid);
                // The headers were those of its connection.
                self.ends.push(SocketEnd::new(*end, rooms));
            } else if let Action::Ask { ask: Ask::OrderSockets(ask), .. } = action {
                // The socket itself is in no connection.
                self.send_order(ask.order, None);
            }
        }
    }
}
