//! Commands that come by POST, on their way to the connection that they are for.
//!
//! A POST may reach any shard. The session id that it names tells the shard and the connection, and proves that its
//! sender was told it: it is signed with keys that only this process has.

use std::hash::{BuildHasher, RandomState};

use super::Shard;
use super::conn::Stage;
use super::mailbox::Letter;
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{CloseReason, Handler};

/// The keys that session ids are signed with: two of `SipHash`, from the system's randomness.
#[derive(Clone, Debug, Default)]
pub struct Secret([RandomState; 2]);

impl Secret {
    /// The session id of a connection: its place, and 128 bits that prove it.
    pub fn session(&self, shard: u16, conn: Key) -> String {
        let token = conn.to_token();
        let proof = self.0.each_ref().map(|keys| keys.hash_one((shard, token)));
        format!("{shard:04x}{token:016x}{:016x}{:016x}", proof[0], proof[1])
    }

    /// The place that a session id names; `None` for what this process never gave out.
    pub fn place(&self, session: &str) -> Option<(u16, Key)> {
        let shard = u16::from_str_radix(session.get(..4)?, 16).ok()?;
        let token = u64::from_str_radix(session.get(4..20)?, 16).ok()?;
        let conn = Key::from_token(token);
        // Not in constant time: a guess would have to be right in 128 bits of a connection's life.
        (self.session(shard, conn) == session).then_some((shard, conn))
    }
}

impl<N: Net, H: Handler> Shard<N, H> {
    /// Sends posted commands to where their connection is. Those for nobody are dropped: its client has heard, or will, that
    /// its stream has ended.
    pub(super) fn emulate(&mut self, session: &str, data: Vec<u8>) {
        match self.secret.place(session).filter(|(shard, _)| *shard < self.post.shard_count()) {
            Some((shard, conn)) => self.post.send(shard, Letter::Emulated { conn, data }),
            None => self.counters.stale_ids.add(1),
        }
    }

    /// Posted commands for one of this shard's connections.
    pub(super) fn emulated(&mut self, key: Key, data: &[u8]) {
        let heard = self.beat_now();
        match self.conns.entry_mut(key) {
            Some(conn) if conn.stage == Stage::Open => conn.heard = heard,
            Some(_) => return,
            None => return self.counters.stale_ids.add(1),
        }
        let outcome = self.with_session(key, |session, handler, cx| {
            cx.counts.messages_in += 1;
            session.emulated(data, handler, cx)
        });
        self.queue_out(key);
        self.act(key);
        if let Some(Err(reason)) = outcome {
            self.close(key, reason);
        } else if self.conns.entry(key).is_some_and(|conn| conn.outbox_bytes() > self.limits.outbox_bytes_max)
        {
            // Its answers cannot be held back by not reading: it does not read them itself.
            self.close(key, CloseReason::Slow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_names_its_place_and_cannot_be_made_up() {
        let secret = Secret::default();
        let key = Key::from_token(7 << 32 | 9);
        let session = secret.session(3, key);
        assert_eq!((session.len(), secret.place(&session)), (52, Some((3, key))));
        let other = Key::from_token(7 << 32 | 10);
        let forged = format!("{}{}", &secret.session(3, other)[..20], &session[20..]);
        for wrong in
            ["", "0003", &session[..51], &forged, &Secret::default().session(3, key), "éééééééééééééééééé"]
        {
            assert_eq!(secret.place(wrong), None, "{wrong}");
        }
    }
}
