//! Orders to the sockets of this shard.
//!
//! Invariant: an order takes its place among the events for rooms: those that its home numbered before are delivered before
//! it, and it is carried out before later ones.

use std::sync::Arc;

use super::Clients;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::hub::emission::is_private;
use crate::hub::selector::room_of;
use crate::hub::socket_order::{Gathered, SocketDeed, SocketFacts, SocketOrder, SocketQuestion};
use crate::shard::World;
use crate::shard::carry::conn::Stage;

impl<W: World> Clients<W> {
    /// Carries an order out for the sockets of this shard, and tells its home.
    pub(in crate::shard) fn sockets_ordered(&mut self, order: &SocketOrder, home: (u16, u32)) {
        if let SocketDeed::Survey { sockets_max } = order.deed {
            let part = self.survey(sockets_max);
            return self.channels.answer_order(home, part);
        }
        self.channels.deliver_all_emissions();
        let keys = self.channels.sockets_of(order);
        let mut part = Gathered::of(keys.len());
        match &order.deed {
            SocketDeed::Join(rooms) => self.enter_all(&keys, rooms, &order.namespace),
            SocketDeed::Leave(rooms) => self.leave_all(&keys, rooms),
            SocketDeed::Disconnect { close } => {
                for key in keys {
                    self.tell_handler(key, |session, handler, cx| {
                        session.disconnect_socket(&order.namespace, *close, handler, cx)
                    });
                }
            }
            SocketDeed::Fetch => {
                let facts = keys.iter().filter_map(|key| self.facts_of(*key, &order.namespace));
                facts.collect::<Vec<_>>().into_iter().for_each(|facts| part.add_socket(facts));
            }
            // Of all namespaces.
            SocketDeed::Survey { .. } => {}
            SocketDeed::Ask(question) => return self.ask_all(keys, order, question, home, part),
        }
        self.channels.answer_order(home, part);
    }

    /// Counts the sockets of all namespaces, and describes so many of them.
    fn survey(&mut self, sockets_max: usize) -> Gathered {
        let mut part = Gathered::default();
        let mut described: Vec<(Key, Box<str>)> = Vec::new();
        for (key, conn) in self.channels.carry.conns.iter() {
            if conn.stage != Stage::Open || conn.has_left {
                continue;
            }
            let is_counted = conn.session.each_namespace(|name| {
                part.count_sockets(name, 1);
                if described.len() < sockets_max {
                    described.push((key, name.into()));
                }
            });
            part.clients += u64::from(is_counted);
            part.polling += u64::from(is_counted && conn.socket.is_none());
        }
        for (key, name) in described {
            self.facts_of(key, &name).into_iter().for_each(|facts| part.add_socket(facts));
        }
        part
    }

    fn enter_all(&mut self, keys: &[Key], rooms: &[Arc<str>], namespace: &str) {
        let is_seen = rooms.iter().any(|room| !is_private(room));
        for key in keys {
            // In a channel that others share, the socket is a member with its identity.
            let facts = is_seen.then(|| self.facts_of(*key, namespace)).flatten();
            let info = facts.map(|facts| {
                let SocketFacts { id, user, info, .. } = facts;
                Arc::new(ClientInfo { user, client: id, conn_info: info, chan_info: Payload::default() })
            });
            for room in rooms {
                self.enter_trusted(*key, room, info.clone().filter(|_| !is_private(room)));
            }
        }
    }

    fn leave_all(&mut self, keys: &[Key], rooms: &[Arc<str>]) {
        for key in keys {
            for room in rooms {
                self.unsubscribe(*key, room);
            }
            self.hold_back(*key);
        }
    }

    /// Sends a question to all of the sockets, and begins to gather their answers.
    fn ask_all(
        &mut self,
        keys: Vec<Key>,
        order: &SocketOrder,
        question: &SocketQuestion,
        home: (u16, u32),
        part: Gathered,
    ) {
        let number = self.channels.begin_question(home, keys.len());
        for key in keys {
            let is_dropped = question.is_volatile && self.channels.carry.is_behind(key);
            let mut is_told = false;
            self.tell_handler(key, |session, _, cx| {
                is_told = true;
                session.ask_socket(&order.namespace, question, (number, is_dropped), cx)
            });
            if !is_told {
                self.channels.gathered(number, Gathered::default());
            }
        }
        self.channels.gathered(number, part);
    }

    /// The socket of a connection in a namespace.
    fn facts_of(&mut self, key: Key, namespace: &str) -> Option<SocketFacts> {
        let carry = &mut self.channels.carry;
        let unix_ms = carry.now().unix_ms;
        let facts = carry
            .with_session(key, |session, handler, cx| session.socket_facts(namespace, unix_ms, handler, cx));
        let mut facts = facts.flatten()?;
        facts.address = carry.peer(key).map(|address| address.to_string().into()).unwrap_or_default();
        let conn = carry.conns.entry(key)?;
        let names = conn.subs.iter().map(|sub| self.channels.local.name(sub.channel()));
        let map = &carry.settings.rooms;
        let room =
            |name| room_of(name, namespace).or_else(|| map.is_room_of(name, namespace).then_some(name));
        facts.rooms = names.filter_map(|name| room(&**name)).map(Box::from).collect();
        facts.rooms.retain(|room| *room != facts.id);
        facts.rooms.sort_unstable();
        Some(facts)
    }
}
