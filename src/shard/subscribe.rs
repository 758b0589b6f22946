//! Actions carried out, and the subscriptions of a connection.
//!
//! Invariant: an entry in a channel's list of subscribers and the slot in its connection point at each other.
//! A home hears of each subscriber that it counted, once, when that one is gone: an `Unsubscribe` goes out for an
//! active subscription that ends, and for a late `Subscribed` that nobody waits for any more.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::Shard;
use super::conn::{Conn, Stage, Sub, SubState};
use super::mailbox::{Asker, Letter, ReplyTo};
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::local::{ChannelId, Local, Subscriber};
use crate::hub::{ClientInfo, DataKind, Publication, home, home_of};
use crate::net::Net;
use crate::proto::centrifuge::Error;
use crate::session::{Action, ClientId, Handler, Session};

impl<N: Net, H: Handler> Shard<N, H> {
    /// Carries out what the session asked for.
    pub(super) fn act(&mut self, key: Key) {
        if self.conns.entry(key).is_none_or(|conn| conn.stage != Stage::Open) {
            return self.actions.clear();
        }
        // An answer may ask for more; those actions come behind.
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Subscribe { channel, request } => self.subscribe(key, &channel, request),
                    Action::Unsubscribe { channel } => self.unsubscribe(key, &channel),
                    Action::Publish { channel, is_text, data, request } => {
                        self.publish(key, channel, is_text, data, request);
                    }
                    Action::SetTimer { at_ms } => {
                        if let Some(Conn { session: Session::Raw(raw), .. }) = self.conns.entry_mut(key) {
                            raw.timer_at_ms = NonZeroU64::new(at_ms);
                            self.arm(key);
                        }
                    }
                }
            }
        }
    }

    fn home_of(&self, channel: &str) -> u16 {
        home_of(channel, self.seed, self.post.shard_count())
    }

    fn subscribe(&mut self, key: Key, channel: &Arc<str>, request: u32) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.stage != Stage::Open {
            // Closed between asking and acting: it has left its channels and must not enter another.
            return;
        }
        let is_known = self.local.channel_id(channel).is_some_and(|id| conn.slot_of(id).is_some());
        let error = if is_known {
            Error::ALREADY_SUBSCRIBED
        } else if conn.subs.len() >= self.limits.channels_per_connection_max {
            Error::LIMIT_EXCEEDED
        } else {
            let id = self.local.acquire(channel);
            conn.subs.push(Sub::pending(id, request));
            let reply_to = ReplyTo { shard: self.post.shard(), conn: key, request };
            let channel = Arc::clone(self.local.name(id));
            let home = self.home_of(&channel);
            let joining = Box::new(home::Joining {
                member: self.member(key),
                info: None,
                in_presence: false,
                tells_join: false,
                wants_position: false,
                recover: None,
            });
            let options = Arc::clone(&self.namespaces.without_namespace);
            return self.post.send(home, Letter::Subscribe { channel, options, reply_to, joining });
        };
        self.answer(key, |session, handler, cx| {
            session.subscribed(channel, request, Err(error), handler, cx)
        });
    }

    /// A home's answer to a subscription.
    pub(super) fn subscribed(
        &mut self,
        channel: &Arc<str>,
        reply_to: ReplyTo,
        outcome: Result<Box<home::Joined>, home::Refused>,
    ) {
        let key = reply_to.conn;
        let id = self.local.channel_id(channel);
        let pending = id.and_then(|id| {
            let conn = self.conns.entry_mut(key)?;
            let slot = conn.slot_of(id)?;
            (conn.subs[slot].state() == SubState::Pending(reply_to.request)).then_some((id, slot))
        });
        let Some((id, slot)) = pending else {
            if outcome.is_ok() {
                let (channel, member) = (Arc::clone(channel), self.member(key));
                self.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
            }
            return;
        };
        let outcome = match outcome {
            Ok(joined) => {
                self.activate(key, id, slot, joined.seq);
                Ok(())
            }
            Err(_) => {
                let Some(conn) = self.conns.entry_mut(key) else { return };
                remove_slot(conn, slot, &mut self.local);
                self.local.release(id);
                Err(Error::LIMIT_EXCEEDED)
            }
        };
        self.answer(key, |session, handler, cx| {
            session.subscribed(channel, reply_to.request, outcome, handler, cx);
        });
    }

    fn activate(&mut self, key: Key, id: ChannelId, slot: usize, after_seq: u64) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let format = conn.session.format() as u8;
        let slot_number = u16::try_from(slot).unwrap_or(u16::MAX);
        let subscriber = Subscriber { conn: key.index(), slot: slot_number, format, flags: 0 };
        conn.subs[slot] = Sub::active(id, self.local.add(id, subscriber, after_seq));
        self.counters.subscriptions.add(1);
    }

    fn unsubscribe(&mut self, key: Key, channel: &str) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let Some(slot) = self.local.channel_id(channel).and_then(|id| conn.slot_of(id)) else { return };
        let state = conn.subs[slot].state();
        self.end_subscription(key, slot);
        if let SubState::Pending(request) = state {
            // Nobody waits for the home's answer any more, but the client waits for one.
            self.answer(key, |session, _, cx| session.withdrawn(request, cx));
        }
    }

    /// Ends all subscriptions of a connection.
    pub(super) fn unsubscribe_all(&mut self, key: Key) {
        while let Some(last) = self.conns.entry(key).and_then(|conn| conn.subs.len().checked_sub(1)) {
            self.end_subscription(key, last);
        }
    }

    fn end_subscription(&mut self, key: Key, slot: usize) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let sub = remove_slot(conn, slot, &mut self.local);
        let id = sub.channel();
        if let SubState::Active(position) = sub.state() {
            let Self { local, conns, .. } = self;
            local.remove(id, position, |moved, to| {
                let other = conns.key_at(moved.conn).and_then(|key| conns.entry_mut(key));
                if let Some(other) = other {
                    other.subs[usize::from(moved.slot)] = Sub::active(id, to);
                }
            });
            let (channel, member) = (Arc::clone(self.local.name(id)), self.member(key));
            self.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
            self.counters.subscriptions.sub(1);
        }
        self.local.release(id);
    }

    fn publish(&mut self, key: Key, channel: Arc<str>, is_text: bool, data: Vec<u8>, request: Option<u32>) {
        let client = ClientId { seed: self.seed, shard: self.post.shard(), token: key.to_token() };
        let client = client.to_string().into_boxed_str();
        let info = Some(Arc::new(ClientInfo { client, ..ClientInfo::default() }));
        let home = self.home_of(&channel);
        let data = Shared::new(data, &self.publication_budget);
        let kind = if is_text { DataKind::Text } else { DataKind::Binary };
        let publication = Box::new(Publication { info, ..Publication::new(channel, kind, data) });
        let reply_to = request.map(|request| ReplyTo { shard: self.post.shard(), conn: key, request });
        let options = Arc::clone(&self.namespaces.without_namespace);
        let (terms, asker) = (home::Terms::default(), reply_to.map(Asker::Conn));
        self.post.send(home, Letter::Publish { publication, options, terms, asker });
    }

    fn member(&self, key: Key) -> home::Member {
        home::Member { shard: self.post.shard(), conn: key.to_token() }
    }

    /// Lets the session answer outside of its own input: what it sends is queued for the end of the turn.
    pub(super) fn answer(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Session<H::State>, &mut H, &mut crate::session::Context<'_>),
    ) {
        // Called in the middle of `act`, too: what is asked for here must not overtake what waits there.
        let waiting = std::mem::take(&mut self.actions);
        if self.with_session(key, call).is_some() {
            self.queue_out(key);
            self.act(key);
        }
        self.actions = waiting;
    }
}

/// Takes a slot out of a connection; the subscription that fills it hears of its new place.
fn remove_slot<K, S, B>(conn: &mut Conn<K, S>, slot: usize, local: &mut Local<B>) -> Sub {
    let sub = conn.subs.swap_remove(slot);
    if let Some(moved) = conn.subs.get(slot)
        && let SubState::Active(position) = moved.state()
    {
        local.set_slot(moved.channel(), position, u16::try_from(slot).unwrap_or(u16::MAX));
    }
    if conn.subs.is_empty() {
        conn.subs.shrink_to_fit();
    }
    sub
}
