//! The way into and out of every session: what it is told, what it answers, and what it asks for, carried out.

use crate::base::slots::Key;
use crate::hub::words::{Denied, Dismissed, News, Reply};
use crate::session::{
    Action, ClientCertificate, ClientId, CloseReason, Context, Counts, Forwarded, Session, Telling,
};
use crate::shard::carry::conn::{Conn, Stage};
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    /// Carries out what the session asked for.
    pub(in crate::shard) fn act(&mut self, key: Key) {
        // An answer may ask for more; those actions come behind.
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                // What stands behind something that ended the connection is said by nobody.
                if self.conns.entry(key).is_none_or(|conn| conn.stage != Stage::Open) {
                    return self.actions.clear();
                }
                match action {
                    Action::Ask { id, ask } => self.ask_or_wait(key, id, ask),
                    Action::Wait { id, deferred } => self.early(key, id, deferred),
                    Action::Misused { id, detail } => self.note_bad_request(key, id, detail),
                    Action::SetTimer { at_ms } => {
                        if let Some(conn) = self.conns.entry_mut(key) {
                            conn.session.set_deadline_ms(Some(at_ms));
                            self.arm(key);
                        }
                    }
                    Action::Forward { place, data } => self.emulate(place, data),
                }
            }
        }
    }

    /// Calls a method of the connection's session. What it sends is in `out` then, what it asks for in `actions`.
    pub(in crate::shard) fn with_session<R>(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Session<W::State>, &mut W::Handler, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let conn = self.conns.entry_mut(key)?;
        let mut cx = Context {
            now_ms: self.now_us / 1000,
            settings: &self.settings,
            client: ClientId { seed: self.seed, shard: self.post.shard(), token: key.to_token() },
            user: conn.client.as_ref().map_or("", |client| client.user()),
            certificate: conn
                .line
                .as_ref()
                .and_then(|line| line.identity())
                .map(|identity| ClientCertificate { name: &identity.name, sha256: &identity.sha256 }),
            out: &mut self.out,
            apart: &mut self.apart,
            waiting_bytes: conn.outbox_bytes(),
            in_place: None,
            actions: &mut self.actions,
            forwarded: conn.forwarded(),
            press: &mut self.press,
            counts: Counts::default(),
        };
        let result = call(&mut conn.session, &mut self.handler, &mut cx);
        let (counts, forwarded) = (cx.counts, cx.forwarded);
        // Before what the request asks for is done.
        if let (Forwarded::For(client), Some(line)) = (forwarded, &mut conn.line) {
            line.note_forwarded(client);
        }
        self.counters.messages_in.add(counts.messages_in);
        self.counters.messages_out.add(counts.messages_out);
        self.counters.pings_unanswered.add(counts.pings_unanswered);
        self.counters.requests.add(counts.requests);
        Some(result)
    }

    /// Lets the session answer outside of its own input: what it sends is queued for the end of the turn. `None` when the
    /// connection is gone.
    pub(in crate::shard) fn with_answer<R>(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Session<W::State>, &mut W::Handler, &mut Context<'_>) -> R,
    ) -> Option<R> {
        // Called in the middle of `act`, too: what is asked for here must not overtake what waits there.
        let waiting = std::mem::take(&mut self.actions);
        let result = self.with_session(key, call);
        if result.is_some() {
            self.queue_out(key);
            self.act(key);
        }
        self.actions = waiting;
        result
    }

    /// How a client is told what a history keeps.
    pub(in crate::shard) fn telling(&self, key: Key, takes_deltas: bool) -> Option<Telling> {
        self.conns.entry(key)?.session.telling(takes_deltas)
    }

    /// Tells a client what became of what it asked.
    pub(in crate::shard) fn answer(&mut self, key: Key, id: u32, reply: &Reply<'_>) {
        let outcome = self.with_answer(key, |session, handler, cx| session.reply(id, reply, handler, cx));
        if let Some(Err(reason)) = outcome {
            self.close(key, reason);
        }
    }

    /// Tells a client that what it asked failed.
    pub(in crate::shard) fn deny(&mut self, key: Key, id: u32, denied: &Denied) {
        self.with_answer(key, |session, _, cx| session.deny(id, denied, cx));
    }

    /// Tells a client that its command is a bad request, and the log what is wrong with it.
    pub(in crate::shard) fn deny_bad_request(&mut self, key: Key, id: u32, detail: &str) {
        self.note_bad_request(key, id, detail);
        self.deny(key, id, &Denied::BadRequest);
    }

    /// Logs what is wrong with a command that is answered as a bad request: the answer has no room for that.
    pub(in crate::shard) fn note_bad_request(&self, key: Key, id: u32, detail: &str) {
        tracing::debug!(client = %self.client_id(key), command = id, detail, "a client's command is a bad request");
    }

    /// Tells a client something that it did not ask for: within the limit of its outbox.
    pub(in crate::shard) fn tell(&mut self, key: Key, news: &News<'_>) {
        if self.with_session(key, |session, _, cx| session.tell(news, cx)).is_some() {
            self.queue_out_unasked(key);
        }
    }

    /// Calls a raw connection's handler, which may send what its client did not ask for: within the limit of the outbox.
    pub(in crate::shard) fn tell_handler(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Session<W::State>, &mut W::Handler, &mut Context<'_>) -> Result<(), CloseReason>,
    ) {
        self.offer(key);
        if let Some(Err(reason)) = self.with_answer(key, call) {
            self.close(key, reason);
        }
    }

    /// Before more is queued that the client did not ask for: slow is who does not take what waits, not who was not offered
    /// it yet, in a turn in which several speak.
    pub(in crate::shard) fn offer(&mut self, key: Key) {
        let is_long = |conn: &Conn<_, _>| conn.outbox_bytes() > self.limits.outbox_bytes_max / 2;
        if self.conns.entry(key).is_some_and(is_long) {
            self.flush(key);
        }
    }

    /// Ends a connection because of what it asked, or of its term.
    pub(in crate::shard) fn dismiss(&mut self, key: Key, why: Dismissed) {
        self.close(key, CloseReason::Dismissed(why));
    }
}
