//! Look-ups of connections and of their clients' properties, and the ids of connections for others.

use super::Carry;
use super::client::Client;
use super::conn::Stage;
use crate::base::slots::Key;
use crate::hub::home::Member;
use crate::session::{ClientId, Telling};
use crate::shard::World;
use crate::shard::mailbox::ReplyTo;

impl<W: World> Carry<W> {
    pub(in crate::shard) fn client(&self, key: Key) -> Option<&Client> {
        self.conns.entry(key)?.client.as_deref()
    }

    pub(in crate::shard) fn client_mut(&mut self, key: Key) -> Option<&mut Client> {
        self.touch_client(key);
        self.conns.entry_mut(key)?.client.as_deref_mut()
    }

    /// The properties of a client, created if there are none; `None` for a connection that has ended.
    pub(in crate::shard) fn client_or_new(&mut self, key: Key) -> Option<&mut Client> {
        let conn = self.conns.entry_mut(key).filter(|conn| conn.stage == Stage::Open)?;
        self.counters.clients.add(u64::from(conn.client.is_none()));
        conn.client.get_or_insert_default();
        self.client_mut(key)
    }

    /// Removes and returns the properties of a client.
    pub(in crate::shard) fn forget_client(&mut self, key: Key) -> Option<Box<Client>> {
        let client = self.conns.entry_mut(key)?.client.take()?;
        self.counters.clients.sub(1);
        self.counters.client_bytes.sub(client.counted_bytes as u64);
        Some(client)
    }

    /// Drops the properties of a client if they are all default values.
    pub(in crate::shard) fn trim_client(&mut self, key: Key) {
        if self.client(key).is_some_and(Client::is_trivial) {
            self.forget_client(key);
        }
    }

    pub(in crate::shard) fn client_id(&self, key: Key) -> ClientId {
        ClientId { seed: self.seed, shard: self.post.shard(), token: key.to_token() }
    }

    pub(in crate::shard) fn reply_to(&self, key: Key, request: u32) -> ReplyTo {
        ReplyTo { shard: self.post.shard(), weight: 0, conn: key, request }
    }

    pub(in crate::shard) fn member(&self, key: Key) -> Member {
        Member { shard: self.post.shard(), conn: key.to_token() }
    }

    /// Whether the connection belongs to a handler of the server.
    pub(in crate::shard) fn is_trusted(&self, key: Key) -> bool {
        self.conns.entry(key).is_some_and(|conn| conn.session.is_trusted())
    }

    /// The form in which the client receives the publications of a history.
    pub(in crate::shard) fn telling(&self, key: Key, takes_deltas: bool) -> Option<Telling> {
        self.conns.entry(key)?.session.telling(takes_deltas)
    }

    /// Counts this home's pending answer to a command of the client; `id` 0 is no command.
    pub(in crate::shard) fn awaits_home(&mut self, key: Key, id: u32, home: u16) {
        if let Some(conn) = self.conns.entry_mut(key).filter(|_| id != 0) {
            conn.awaited_count = conn.awaited_count.saturating_add(1);
            conn.awaited_home = home;
        }
    }

    /// Like [`Carry::reply_to`], for an answer that may be large: other commands of the client wait for it, depending
    /// on its weight.
    pub(in crate::shard) fn reply_to_much(&mut self, key: Key, request: u32, weight: u8) -> ReplyTo {
        if let Some(client) = self.client_or_new(key) {
            client.awaited_weight += usize::from(weight);
        }
        ReplyTo { weight, ..self.reply_to(key, request) }
    }

    /// Marks a client whose cost may have changed.
    pub(in crate::shard) fn touch_client(&mut self, key: Key) {
        let Self { conns, account, .. } = self;
        let client = conns.entry_mut(key).and_then(|conn| conn.client.as_deref_mut());
        if client.is_some_and(|client| !std::mem::replace(&mut client.is_touched, true)) {
            account.touched.push(key);
        }
    }
}
