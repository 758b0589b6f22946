//! Commands of POST requests, on their way to their connection.
//!
//! A POST may reach any shard; the session id in it names the connection's shard ([`crate::session::Secret`]).

use super::Clients;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::mailbox::Letter;

impl<W: World> Clients<W> {
    /// Sends posted commands to the shard of their connection. Commands for a connection that has ended are dropped
    /// there: its client learns of the end from its stream.
    pub(in crate::shard) fn emulate(&mut self, (shard, conn): (u16, Key), data: Vec<u8>) {
        self.channels.carry.post.send(shard, Letter::Emulated { conn, data });
    }

    /// Handles posted commands for a connection of this shard.
    pub(in crate::shard) fn emulated(&mut self, key: Key, data: &[u8]) {
        let heard = self.channels.carry.beat_now();
        match self.channels.carry.conns.entry_mut(key) {
            // A client that has closed its stream sends nothing more.
            Some(conn) if conn.stage == Stage::Open && !conn.has_left => {
                conn.heard = heard;
                // Posts do not arrive through the connection, so a read pause does not hold them back.
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
