//! Calls of sessions, with their context.

use super::Carry;
use crate::base::slots::Key;
use crate::session::{ClientCertificate, ClientId, Context, Counts, Forwarded, Session};
use crate::shard::World;

impl<W: World> Carry<W> {
    /// Calls a method of the connection's session. Its output is in `out` then, its actions in `actions`.
    #[inline]
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
                .layers
                .as_ref()
                .and_then(|layers| layers.identity())
                .map(|identity| ClientCertificate { name: &identity.name, sha256: &identity.sha256 }),
            out: &mut self.out,
            apart: &mut self.apart,
            waiting_bytes: conn.outbox_bytes(),
            is_behind: conn.awaited_count > 0 || conn.client.as_ref().is_some_and(|client| client.is_busy()),
            in_place: None,
            actions: &mut self.actions,
            forwarded: conn.forwarded(),
            reach: &mut self.reach,
            press: &mut self.press,
            counts: Counts::default(),
            told: &self.counters.told,
            notes: self.notes.pending(),
        };
        let result = call(&mut conn.session, &mut self.handler, &mut cx);
        let (counts, forwarded) = (cx.counts, cx.forwarded);
        // Before the request is carried out.
        if let (Forwarded::For(client), Some(layers)) = (forwarded, &mut conn.layers) {
            layers.note_forwarded(client);
        }
        self.counters.messages_in.add(counts.messages_in);
        self.counters.messages_out.add(counts.messages_out);
        self.counters.pings_unanswered.add(counts.pings_unanswered);
        self.counters.requests.add(counts.requests);
        self.counters.heartbeats_sent.add(counts.pings);
        self.counters.rate_limited_commands.add(counts.limited_packets);
        if counts.pongs > 0 {
            self.pong_came(key);
        }
        if !self.notes.is_empty() {
            self.tell_notes(key);
        }
        Some(result)
    }

    /// Logs the defect of a command that is answered as a bad request: the answer has no room for it.
    pub(in crate::shard) fn note_bad_request(&self, key: Key, id: u32, detail: &str) {
        tracing::debug!(client = %self.client_id(key), command = id, detail, "a client's command is a bad request");
    }
}
