//! The number of a user's connections, if configured: one limit for all shards.
//!
//! Each user has a home, found by its name like a channel's, that counts the user's connections. A connection that is
//! admitted is reported to the home and waits for its answer; one that ends is reported if it was counted. A late
//! answer for a connection that is gone is undone, as with subscriptions.
//!
//! Without a limit of users and without their metric, nothing of this has a cost.

use std::collections::HashMap;
use std::sync::Arc;

use super::Clients;
use crate::base::heap;
use crate::base::seed::Purpose;
use crate::base::slots::Key;
use crate::hub::home::Member;
use crate::hub::words::Dismissed;
use crate::session::Phase;
use crate::shard::World;
use crate::shard::carry::client::{Client, First};
use crate::shard::carry::conn::{Conn, Stage};
use crate::shard::mailbox::{Letter, ReplyTo};
use smallvec::SmallVec;

/// The connections of the users whose home is this shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct Users {
    members: HashMap<Arc<str>, SmallVec<[Member; 1]>>,
    /// Cost of names and lists.
    bytes: usize,
}

impl Users {
    /// Counts a connection of a user, unless it has `count_max` already (0: no limit).
    fn add(&mut self, user: &Arc<str>, member: Member, count_max: usize) -> bool {
        let name_bytes = heap::arc(user.len());
        let members = self.members.entry(Arc::clone(user)).or_insert_with(|| {
            self.bytes += name_bytes;
            SmallVec::new()
        });
        // Clients that share a connection may have one user: it counts once.
        if members.contains(&member) {
            return true;
        }
        let is_admitted = count_max == 0 || members.len() < count_max;
        if is_admitted {
            self.bytes -= heap::spilled(members);
            members.push(member);
            self.bytes += heap::spilled(members);
        }
        is_admitted
    }

    fn remove(&mut self, user: &str, member: Member) {
        let Some(members) = self.members.get_mut(user) else { return };
        self.bytes -= heap::spilled(members);
        members.retain(|one| *one != member);
        // A user that once had many connections must not keep their room.
        members.shrink_to_fit();
        self.bytes += heap::spilled(members);
        if members.is_empty() {
            self.members.remove(user);
            heap::ease_table(&mut self.members);
            self.bytes -= heap::arc(user.len());
        }
    }

    /// The total cost.
    pub(in crate::shard) fn bytes(&self) -> usize {
        heap::table(&self.members) + self.bytes
    }

    /// Number of users.
    pub(in crate::shard) fn count(&self) -> usize {
        self.members.len()
    }

    /// Number of connections.
    pub(in crate::shard) fn len(&self) -> usize {
        self.members.values().map(SmallVec::len).sum()
    }

    fn others(&self, user: &str, member: Member) -> SmallVec<[Member; 1]> {
        let members = self.members.get(user).map_or(&[][..], |members| members);
        members.iter().copied().filter(|one| *one != member).collect()
    }
}

impl<W: World> Clients<W> {
    /// Whether the home of a user is asked before one of its connections is admitted.
    pub(in crate::shard) fn counts_users(&self) -> bool {
        self.counts_users || self.policy.user_connection_limit > 0 || self.is_single_connection()
    }

    fn is_single_connection(&self) -> bool {
        self.policy.subscribe_to_user_personal_channel && self.policy.personal_channel_single_connection
    }

    /// Lets the user's home count the connection, if configured; continues with its first subscriptions.
    pub(in crate::shard) fn count_user(&mut self, key: Key, firsts: Vec<First>) {
        let user = self.channels.carry.client(key).map_or("", |client| client.user());
        if user.is_empty() || !self.counts_users() {
            return self.enter_from_start(key, firsts);
        }
        let (user, home) = (Arc::from(user), self.channels.home_of(user));
        let Some(connecting) = self.connecting_mut(key) else { return };
        connecting.firsts = firsts;
        let id = connecting.id;
        let carry = &mut self.channels.carry;
        let reply_to = carry.reply_to(key, id);
        carry.post.send(home, Letter::UserCame { user, reply_to });
    }

    /// At the home: handles a new connection of this user.
    pub(in crate::shard) fn user_came(&mut self, user: Arc<str>, reply_to: ReplyTo) {
        let member = Member { shard: reply_to.shard, conn: reply_to.conn.to_token() };
        // If only the newest connection stays, it is always admitted.
        let is_single = self.is_single_connection();
        let count_max = if is_single { 0 } else { self.policy.user_connection_limit };
        let is_admitted = self.users.add(&user, member, count_max);
        let carry = &mut self.channels.carry;
        carry.account.user_bytes = self.users.bytes();
        carry.counters.users.set(self.users.count() as u64);
        if is_single {
            for other in self.users.others(&user, member) {
                carry.post.send(other.shard, Letter::Displaced { conn: Key::from_token(other.conn) });
            }
        }
        carry.post.send(reply_to.shard, Letter::UserCounted { user, reply_to, is_admitted });
    }

    /// Handles a home's answer.
    pub(in crate::shard) fn user_counted(&mut self, user: &Arc<str>, reply_to: ReplyTo, is_admitted: bool) {
        let key = reply_to.conn;
        if self.channels.carry.conns.entry(key).is_some_and(|conn| conn.session.is_shared()) {
            return self.socket_counted(user, reply_to, is_admitted);
        }
        let firsts = self.connecting_mut(key).map(|connecting| std::mem::take(&mut connecting.firsts));
        match (firsts, is_admitted) {
            (Some(firsts), true) => {
                if let Some(client) = self.channels.carry.client_mut(key) {
                    client.is_counted = true;
                }
                self.enter_from_start(key, firsts);
            }
            (Some(_), false) => {
                self.channels.carry.counters.limited_user_connections.add(1);
                self.channels.dismiss(key, Dismissed::ConnectionLimit);
            }
            // The connection ended meanwhile, before it was counted, so its end was not reported.
            (None, true) => self.channels.tell_user_left(Arc::clone(user), key),
            (None, false) => {}
        }
    }

    /// At the home: handles the end of a connection of this user.
    pub(in crate::shard) fn user_left(&mut self, user: &str, member: Member) {
        self.users.remove(user, member);
        let carry = &mut self.channels.carry;
        carry.account.user_bytes = self.users.bytes();
        carry.counters.users.set(self.users.count() as u64);
    }

    /// Hashes of the users of this shard's connections, each once; the anonymous user is one. Searches all connections,
    /// as orders do: see [`super::orders`].
    pub(in crate::shard) fn user_hashes(&self) -> Vec<u64> {
        let carry = &self.channels.carry;
        let is_client = |conn: &Conn<_, _>| {
            conn.stage == Stage::Open && conn.session.phase() == Phase::Live && !conn.session.is_trusted()
        };
        let conns = || carry.conns.iter().map(|(_, conn)| conn);
        let users = conns().filter(|conn| is_client(conn));
        let users = users.map(|conn| conn.client.as_deref().map_or("", Client::user));
        let users = users.chain(conns().flat_map(|conn| conn.session.users()));
        let mut hashes: Vec<u64> =
            users.map(|user| carry.seed.hash(Purpose::User, user.as_bytes())).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Ends a connection because its user has a newer one, and may have one only.
    pub(in crate::shard) fn displaced(&mut self, key: Key) {
        self.channels.dismiss(key, Dismissed::ConnectionLimit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_forgotten_with_its_last_connection() {
        let mut users = Users::default();
        let ann: Arc<str> = "ann".into();
        let [a, b, c] = [1, 2, 3].map(|conn| Member { shard: 0, conn });
        assert!(users.add(&ann, a, 2) && users.add(&ann, b, 2) && !users.add(&ann, c, 2));
        assert_eq!(users.others("ann", a)[..], [b]);
        users.remove("ann", c);
        users.remove("ann", a);
        assert!(users.add(&ann, c, 2) && !users.add(&ann, a, 2));
        users.remove("ann", b);
        users.remove("ann", c);
        users.remove("ben", c);
        assert!(users.members.is_empty() && users.bytes == 0);
        assert!([a, b, c].into_iter().all(|member| users.add(&ann, member, 0)), "no limit");
    }
}
