//! Unread input in sockets. Readiness is reported only once, so connections that are not read to the end are listed.
//!
//! Connections that are not live yet have a list of their own: their TLS, request and connect command cost a hundred
//! times as much as a message, and many of them must not delay the live ones. The list is a stack; at the end of the
//! turn, after all live connections, a bounded number is taken from it, the newest first: the oldest have most likely
//! given up. The input of the others stays in the kernel's buffers and costs nothing here. On a quiet server the
//! stack is empty before and after each turn, and a new connection is answered in the turn in which its input
//! arrived.
//!
//! Invariant: a connection that is not live and has unread input is on the stack, a live one need not be: it leaves
//! the stack when it becomes live or ends. Entries of connections that have left are skipped, and removed before they
//! outnumber the others.

use super::Carry;
use super::conn::Conn;
use crate::base::slots::Key;
use crate::shard::World;

/// Number of entries below which no sweep is worthwhile.
const UNSWEPT_MAX: usize = 256;

/// Connections that are not live yet and have unread input, the newest last.
#[derive(Debug, Default)]
pub(in crate::shard) struct Newcomers {
    stack: Vec<Key>,
    /// Length of the stack at which it is swept.
    sweep_at: usize,
}

impl Newcomers {
    /// The waiting connections, and entries of some that no longer wait.
    pub(in crate::shard) fn stack_mut(&mut self) -> &mut Vec<Key> {
        &mut self.stack
    }

    /// Takes the newest entry from the stack; its connection may have left since.
    pub(in crate::shard) fn pop(&mut self) -> Option<Key> {
        self.stack.pop()
    }

    /// Whether connections wait for the next turn.
    pub(in crate::shard) fn are_waiting(&self) -> bool {
        !self.stack.is_empty()
    }
}

/// Whether a connection is not live yet.
pub(in crate::shard) fn is_newcomer<K, S>(conn: &Conn<K, S>) -> bool {
    conn.session.phase().is_new()
}

impl<W: World> Carry<W> {
    /// Adds a connection to the list of those with unread input, if it is not there.
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

    /// Records that a connection has become live: its further input is read like that of all live ones.
    pub(in crate::shard) fn becomes_live(&mut self, key: Key) {
        if self.conns.entry(key).is_some_and(|conn| conn.is_unread) {
            self.unread.push(key);
        }
    }
}
