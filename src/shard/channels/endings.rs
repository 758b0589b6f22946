//! Cleanup after ended connections: channels, the home of the user, and homes that were asked.
//!
//! Any write to a connection may end it. The lower wing only records that ([`Ended`]); callers in upper wings call
//! [`Channels::finish_endings`] before anything else, so that no code meets an ended subscriber.

use std::sync::Arc;

use super::Channels;
use crate::base::slots::Key;
use crate::hub::emission::is_private;
use crate::hub::words::{Ask, Dismissed, EventEnd, News};
use crate::session::{Action, CloseReason};
use crate::shard::World;
use crate::shard::carry::client::Client;
use crate::shard::carry::close::Ended;
use crate::shard::carry::conn::{Conn, Sub, SubState};
use crate::shard::mailbox::Letter;
use crate::shard::outside::SocketEnd;

/// The rooms of a group among these channels, without that of the socket's own id.
pub(in crate::shard) fn rooms_among(channels: &[Arc<str>], group: &str, sid: &str) -> Vec<String> {
    let room = |channel: &Arc<str>| match is_private(channel) {
        true => channel.strip_prefix(group)?.strip_prefix(',').map(str::to_owned),
        false => Some(channel.to_string()),
    };
    channels.iter().filter_map(room).filter(|room| room != sid).collect()
}

impl<W: World> Channels<W> {
    /// Ends a connection. The bytes in `out`, its outbox and a close frame are still sent, unless the client is gone.
    pub(in crate::shard) fn close(&mut self, key: Key, reason: CloseReason) {
        self.carry.end(key, reason);
        self.finish_endings();
    }

    /// Ends a connection because of a command or an expiry.
    pub(in crate::shard) fn dismiss(&mut self, key: Key, why: Dismissed) {
        self.close(key, CloseReason::Dismissed(why));
    }

    /// Removes ended connections from everything that refers to them.
    #[inline]
    pub(in crate::shard) fn finish_endings(&mut self) {
        while let Some(ended) = self.carry.ended.pop_front() {
            self.finish(ended);
        }
    }

    fn finish(&mut self, ended: Ended) {
        let Ended { key, mut client, actions } = ended;
        if let Some(client) = client.as_deref_mut() {
            self.keep_publications(key, client);
        }
        let client = client.as_deref();
        self.tell_gone(key, client);
        // Before the home hears that the connection has left its rooms.
        let is_parting =
            |action: &Action| matches!(action, Action::Park(_) | Action::Ask { ask: Ask::Ended(_), .. });
        let (parting, actions): (Vec<_>, Vec<_>) = actions.into_iter().partition(is_parting);
        for action in parting {
            if let Action::Park(away) = action {
                self.park(key, away);
            } else if let Action::Ask { ask: Ask::Ended(end), .. } = action {
                self.note_end(key, *end, client);
            }
        }
        self.tell_wanted(key);
        self.unsubscribe_all(key);
        if let Some(client) = client.filter(|client| client.is_counted) {
            self.tell_user_left(client.user().into(), key);
        }
        for action in actions {
            match action {
                Action::Ask { ask: Ask::Emit(emit), .. } => self.emit(key, *emit),
                Action::Ask { ask: Ask::OrderSockets(order), .. } => self.order_sockets(key, 0, *order),
                Action::SocketAnswered(reply) => self.socket_answered(*reply),
                Action::UserLeft { user } => self.tell_user_left(user, key),
                // Before.
                Action::Park(_)
                | Action::Ask { .. }
                | Action::Wait { .. }
                | Action::Misused { .. }
                | Action::SetTimer { .. }
                | Action::Forward { .. }
                | Action::Poll(_)
                | Action::Upgrade(_)
                | Action::Probe { .. }
                | Action::HandOver(_)
                | Action::WrongKey => {}
            }
        }
    }

    /// Notes the end of a socket, with the rooms that it is in, for the application. `client`: that of an ended connection.
    pub(in crate::shard) fn note_end(&mut self, key: Key, end: EventEnd, client: Option<&Client>) {
        let rooms = rooms_among(&self.names_within(key, &end.group), &end.group, &end.sid);
        let headers = client.or_else(|| self.carry.client(key)).and_then(|client| client.headers.as_deref());
        let headers = headers.cloned().unwrap_or_default();
        self.ends.push(SocketEnd { headers, ..SocketEnd::new(end, rooms) });
    }

    /// The channels of a group that a connection has entered, the group's own among them.
    pub(in crate::shard) fn names_within(&self, key: Key, group: &str) -> Vec<Arc<str>> {
        let rooms = &self.carry.settings.rooms;
        let subs = self.carry.conns.entry(key).into_iter().flat_map(|conn| conn.subs.iter());
        let names =
            subs.map(|sub| self.local.name(sub.channel())).filter(|name| rooms.is_within(name, group));
        names.map(Arc::clone).collect()
    }

    /// Tells homes whose memory may answer later that the connection no longer waits.
    fn tell_gone(&mut self, key: Key, client: Option<&Client>) {
        let Some(conn) = self.carry.conns.entry(key) else { return };
        let is_pending = |sub: &Sub| matches!(sub.state(), SubState::Pending(_));
        let awaits = client.is_some_and(|client| client.awaited_weight > 0);
        if self.home.is_prompt() || !(awaits || conn.subs.iter().any(is_pending)) {
            return;
        }
        let member = self.carry.member(key);
        for shard in 0..self.carry.post.shard_count() {
            self.carry.post.send(shard, Letter::Gone(member));
        }
    }

    /// Ends all subscriptions of a connection.
    pub(in crate::shard) fn unsubscribe_all(&mut self, key: Key) {
        while let Some(last) = self.carry.conns.entry(key).and_then(|conn| conn.subs.len().checked_sub(1)) {
            self.end_subscription(key, last);
        }
    }

    pub(in crate::shard) fn tell_user_left(&mut self, user: Arc<str>, key: Key) {
        let (home, member) = (self.home_of(&user), self.carry.member(key));
        self.carry.post.send(home, Letter::UserLeft { user, member });
    }

    pub(in crate::shard) fn home_of(&self, channel: &str) -> u16 {
        self.carry.settings.rooms.home_of(channel, self.carry.seed, self.carry.post.shard_count())
    }

    /// Sends a client unsolicited news: the limit of its outbox applies.
    pub(in crate::shard) fn tell(&mut self, key: Key, news: &News<'_>) {
        if self.carry.with_session(key, |session, _, cx| session.tell(news, cx)).is_some() {
            self.carry.queue_out_unasked(key);
            self.finish_endings();
        }
    }

    /// Flushes an outbox before more unsolicited data is queued: a client is slow only if it does not read data that
    /// was offered to its socket, also in a turn with several deliveries.
    pub(in crate::shard) fn offer(&mut self, key: Key) {
        let is_long = |conn: &Conn<_, _>| conn.outbox_bytes() > self.carry.limits.outbox_bytes_max / 2;
        if self.carry.conns.entry(key).is_some_and(is_long) {
            self.carry.flush(key);
            self.finish_endings();
        }
    }
}
