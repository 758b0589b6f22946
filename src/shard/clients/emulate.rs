//! Commands that come by POST, on their way to the connection that they are for.
//!
//! A POST may reach any shard; the session id in it has told which ([`crate::session::Secret`]).

use super::Clients;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::mailbox::Letter;

impl<W: World> Clients<W> {
    /// Sends posted commands to where their connection is, or was. Those for nobody are dropped there: its client has heard,
    /// or will, that its stream has ended.
    pub(in crate::shard) fn emulate(&mut self, (shard, conn): (u16, Key), data: Vec<u8>) {
        self.channels.carry.post.send(shard, Letter::Emulated { conn, data });
    }

    /// Posted commands for one of this shard's connections.
    pub(in crate::shard) fn emulated(&mut self, key: Key, data: &[u8]) {
        let heard = self.channels.carry.beat_now();
        match self.channels.carry.conns.entry_mut(key) {
            // Who has closed its stream says nothing more.
            Some(conn) if conn.stage == Stage::Open && !conn.has_left => {
                conn.heard = heard;
                // It does not read its own posts, so it is not by pausing that they are held back.
                let waiting = conn.client.as_ref().map_or(0, |client| client.waiting_bytes);
                if waiting > self.channels.carry.limits.outbox_bytes_max {
                    return self.channels.close(key, CloseReason::Slow);
                }
            }
            Some(_) => return,
            None => return self.channels.carry.counters.stale_ids.add(1),
        }
        let carry = &mut self.channels.carry;
        let outcome = carry.with_session(key, |session, handler, cx| {
            cx.counts.messages_in += 1;
            session.emulated(data, handler, cx)
        });
        carry.queue_out(key);
        self.channels.finish_endings();
        self.act(key);
        if let Some(Err(reason)) = outcome {
            self.close_behind(key, reason);
        }
    }
}
