//! Channels that the server's own code enters: handlers of raw connections, which decide about their groups
//! themselves.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::emission::{is_private, is_within};
use crate::hub::home::Joining;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Reply};
use crate::shard::World;
use crate::shard::carry::conn::{Conn, Stage};

impl<W: World> Clients<W> {
    /// Subscribes a connection to a channel for its handler, without permissions or notifications.
    pub(in crate::shard) fn enter_trusted(&mut self, key: Key, channel: &Arc<str>) {
        let outcome =
            self.channels.has_room_for(key, channel).and_then(|()| self.trusted_options(key, channel));
        let options = match outcome {
            Ok(options) => options,
            Err(denied) => return self.refused_joins.push((key, Arc::clone(channel), denied)),
        };
        let joining = Joining {
            member: self.channels.carry.member(key),
            info: None,
            in_presence: false,
            tells_join: false,
            wants_position: false,
            recover: None,
            renews: false,
        };
        self.channels.enter(key, channel, &options, 0, Box::new(joining), None);
        self.hold_back(key);
    }

    /// Holds back the output of a session while homes have not counted it in private channels that it entered: whoever
    /// was told of its entry, by an answer, may send there, and the session must get that.
    pub(in crate::shard) fn hold_back(&mut self, key: Key) {
        let is_held =
            |conn: &&mut Conn<_, _>| conn.stage == Stage::Open && conn.session.has_private_channels();
        let Some(conn) = self.channels.carry.conns.entry_mut(key).filter(is_held) else { return };
        let is_corked = conn.awaits_entry() || conn.has_left;
        let was_corked = std::mem::replace(&mut conn.is_corked, is_corked);
        if was_corked && !conn.is_corked {
            self.channels.carry.mark_dirty(key);
        }
    }

    /// The options of a channel that a connection of the server's own code may enter. Private channels have none, and are
    /// for the sessions that make their names.
    fn trusted_options(&self, key: Key, channel: &str) -> Result<Arc<ChannelOptions>, Denied> {
        let conn = self.channels.carry.conns.entry(key);
        match is_private(channel) && conn.is_some_and(|conn| conn.session.has_private_channels()) {
            true => Ok(Arc::default()),
            false => self.options(channel),
        }
    }

    /// Ends a connection's subscriptions of all private channels of a group.
    pub(in crate::shard) fn leave_group(&mut self, key: Key, group: &str) {
        let Some(conn) = self.channels.carry.conns.entry(key) else { return };
        let local = &self.channels.local;
        let names = conn.subs.iter().map(|sub| Arc::clone(local.name(sub.channel())));
        let names: Vec<_> = names.filter(|name| is_within(name, group)).collect();
        for name in names {
            self.unsubscribe(key, &name);
        }
        self.hold_back(key);
    }

    /// Tells handlers which channels their connections could not enter: in the next turn, since a handler may try
    /// another one each time, without end.
    #[inline]
    pub(in crate::shard) fn tell_refused_joins(&mut self) {
        if self.refused_joins.is_empty() {
            return;
        }
        for (key, channel, denied) in std::mem::take(&mut self.refused_joins) {
            self.tell_trusted(key, &Reply::NotEntered { channel: &channel, denied: &denied });
        }
    }

    /// Tells a handler the result of its request.
    pub(in crate::shard) fn tell_trusted(&mut self, key: Key, reply: &Reply<'_>) {
        self.tell_handler(key, |session, handler, cx| session.reply(0, reply, handler, cx));
    }
}
