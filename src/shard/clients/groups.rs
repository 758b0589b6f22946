//! Channels that the server's own code enters: handlers of raw connections, which decide about their groups
//! themselves.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::hub::emission::is_private;
use crate::hub::home::Joining;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Reply};
use crate::shard::World;
use crate::shard::carry::conn::{Conn, Stage};
use crate::shard::mailbox::{Letter, ReplyTo};

impl<W: World> Clients<W> {
    /// Subscribes a connection to a channel for its handler, without permissions or notifications. `info` is its identity for
    /// others in the channel, if it has one.
    pub(in crate::shard) fn enter_trusted(
        &mut self,
        key: Key,
        channel: &Arc<str>,
        info: Option<Arc<ClientInfo>>,
    ) {
        let outcome =
            self.channels.has_room_for(key, channel).and_then(|()| self.trusted_options(key, channel));
        let options = match outcome {
            Ok(options) => options,
            Err(denied) => return self.refused_joins.push((key, Arc::clone(channel), denied)),
        };
        let joining = Joining::seen(self.channels.carry.member(key), info, &options);
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

    /// Ends a connection's subscriptions of all channels of a group.
    pub(in crate::shard) fn leave_group(&mut self, key: Key, group: &str) {
        for name in self.channels.names_within(key, group) {
            self.unsubscribe(key, &name);
        }
        self.hold_back(key);
    }

    /// Tells a session which channels of a group it has entered: by a letter, so that questions that follow from
    /// answers do not nest.
    pub(in crate::shard) fn tell_rooms(&mut self, key: Key, id: u32, group: &str) {
        let channels = self.channels.names_within(key, group);
        let carry = &mut self.channels.carry;
        let (shard, reply_to) = (carry.post.shard(), carry.reply_to(key, id));
        carry.post.send(shard, Letter::Rooms { reply_to, channels });
    }

    /// Passes the channels of a group to the session that has asked for them.
    pub(in crate::shard) fn rooms_told(&mut self, reply_to: ReplyTo, channels: &[Arc<str>]) {
        self.event_answered(reply_to.conn, reply_to.request, &Reply::Rooms(channels));
    }

    /// Passes the answer to a question about an event to its session, and continues with input that waited for it.
    pub(in crate::shard) fn event_answered(&mut self, key: Key, request: u32, reply: &Reply<'_>) {
        if !self.channels.carry.conns.entry(key).is_some_and(|conn| conn.stage == Stage::Open) {
            return;
        }
        self.answer(key, request, reply);
        self.channels.carry.count_held(key);
        self.channels.finish_endings();
        self.go_on_leaving(key);
        let carry = &mut self.channels.carry;
        let goes_on = |conn: &Conn<_, _>| conn.stage == Stage::Open && !conn.session.is_full();
        if !carry.conns.entry(key).is_some_and(goes_on) {
            return;
        }
        carry.arm(key);
        carry.answer_post(key);
        self.resume_reading(key);
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
