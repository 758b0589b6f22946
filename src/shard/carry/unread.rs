//! Input that waits in sockets. Readiness is told only once, so whoever is not read from to the end is remembered.
//!
//! Connections that are not live yet wait apart: their TLS, request and connect command cost a hundred times what a message
//! does, and a crowd of them must not keep the live ones waiting. They are put on a stack, from which the end of the turn,
//! after all live connections were served, takes a bounded number, the newest first: who has waited longest has most likely
//! given up. What the others sent stays in the kernel's buffers and costs nothing here. On a quiet server the stack is empty
//! before and after, and a newcomer is answered in the turn in which it spoke.
//!
//! Invariant: a newcomer with unread input is on the stack, a live connection never has to be: becoming live and ending
//! both leave it. Entries of those that have left are passed over, and swept out before they outnumber the others.

use super::Carry;
use super::conn::Conn;
use crate::base::slots::Key;
use crate::shard::World;

/// Entries that are not worth a sweep.
const UNSWEPT_MAX: usize = 256;

/// Connections that are not live yet and have unread input, the newest last.
#[derive(Debug, Default)]
pub(in crate::shard) struct Newcomers {
    stack: Vec<Key>,
    /// Length of the stack at which it is swept.
    sweep_at: usize,
}

impl Newcomers {
    /// Who waits, and entries of some that no longer do.
    pub(in crate::shard) fn stack_mut(&mut self) -> &mut Vec<Key> {
        &mut self.stack
    }

    /// The newest of those on the stack; it may have left since.
    pub(in crate::shard) fn pop(&mut self) -> Option<Key> {
        self.stack.pop()
    }

    /// Whether someone waits for the next turn.
    pub(in crate::shard) fn are_waiting(&self) -> bool {
        !self.stack.is_empty()
    }
}

/// Whether a connection has yet to become live.
pub(in crate::shard) fn is_newcomer<K, S>(conn: &Conn<K, S>) -> bool {
    conn.session.phase().is_new()
}

impl<W: World> Carry<W> {
    /// Remembers that a connection has unread input, if that is not known.
    pub(in crate::shard) fn postpone(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if std::mem::replace(&mut conn.is_unread, true) {
            return;
        }
        if !is_newcomer(conn) {
            return self.unread.push(key);
        }
        let Newcomers { stack, sweep_at } = &mut self.newcomers;
        stack.push(key);
        if stack.len() > *sweep_at {
            stack
                .retain(|&key| self.conns.entry(key).is_some_and(|conn| conn.is_unread && is_newcomer(conn)));
            *sweep_at = (2 * stack.len()).max(UNSWEPT_MAX);
        }
    }

    /// A newcomer has become live: what it has sent since is read as that of all others.
    pub(in crate::shard) fn becomes_live(&mut self, key: Key) {
        if self.conns.entry(key).is_some_and(|conn| conn.is_unread) {
            self.unread.push(key);
        }
    }
}
