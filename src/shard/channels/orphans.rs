//! Publications whose connections have ended while a hook was asked about them. The hook decides about the message, not
//! about the connection: what it allows is published, with the client's information as it was.
//!
//! Invariant: each waits for an answer that will come. The port outside limits the number of open questions.

use std::collections::HashMap;
use std::sync::Arc;

use super::Channels;
use crate::base::heap;
use crate::base::slots::Key;
use crate::hub::{ClientInfo, DataKind};
use crate::shard::World;
use crate::shard::carry::client::{Client, Pending};
use crate::shard::mailbox::ReplyTo;

/// A publication without a connection.
#[derive(Debug)]
pub(in crate::shard) struct Orphan {
    conn: Key,
    pub(in crate::shard) channel: Arc<str>,
    pub(in crate::shard) kind: DataKind,
    pub(in crate::shard) data: Vec<u8>,
    /// The client's information for others.
    pub(in crate::shard) info: Arc<ClientInfo>,
}

impl Orphan {
    /// Its cost, with that of the question outside, which is a copy.
    fn bytes(&self) -> usize {
        2 * (heap::arc(self.channel.len()) + heap::piece(self.data.len()))
    }
}

/// All of a shard, by the number of the question about each.
#[derive(Debug, Default)]
pub(in crate::shard) struct Orphans {
    asked: HashMap<u32, Orphan>,
    bytes: usize,
}

impl Orphans {
    fn insert(&mut self, question: u32, orphan: Orphan) {
        self.bytes += orphan.bytes();
        self.asked.insert(question, orphan);
    }

    /// Removes and returns the publication of this question.
    pub(in crate::shard) fn take(&mut self, question: ReplyTo) -> Option<Orphan> {
        if self.asked.get(&question.request).is_none_or(|orphan| orphan.conn != question.conn) {
            return None;
        }
        let orphan = self.asked.remove(&question.request)?;
        self.bytes -= orphan.bytes();
        heap::ease_table(&mut self.asked);
        Some(orphan)
    }

    /// The total cost.
    pub(in crate::shard) fn bytes(&self) -> usize {
        heap::table(&self.asked) + self.bytes
    }
}

impl<W: World> Channels<W> {
    /// Keeps the publications of an ended connection about which a hook is asked, before it leaves its channels. While
    /// memory is short they are dropped: connections are then closed to free them.
    pub(in crate::shard) fn keep_publications(&mut self, key: Key, client: &mut Client) {
        if self.carry.pressure.refuses() {
            return;
        }
        for (question, pending) in std::mem::take(&mut client.pending) {
            if let Pending::Publish { channel, kind, data, .. } = pending {
                let info = self.info_in(key, client, &channel);
                self.orphans.insert(question, Orphan { conn: key, channel, kind, data, info });
            }
        }
    }

    /// The client's information for others in a channel.
    fn info_in(&self, key: Key, client: &Client, channel: &str) -> Arc<ClientInfo> {
        let detail = self.local.channel_id(channel).and_then(|id| client.detail(id)?.info.as_ref());
        detail.or(client.info.as_ref()).map_or_else(
            || {
                let client = self.carry.client_id(key).to_string().into_boxed_str();
                Arc::new(ClientInfo { client, ..ClientInfo::default() })
            },
            Arc::clone,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_its_question_finds_an_orphan() {
        let orphan = |token| Orphan {
            conn: Key::from_token(token),
            channel: "a".into(),
            kind: DataKind::Json,
            data: vec![b'1'],
            info: Arc::default(),
        };
        let answer = |token, request| ReplyTo { shard: 0, weight: 0, conn: Key::from_token(token), request };
        let mut orphans = Orphans::default();
        orphans.insert(7, orphan(1));
        assert!(orphans.bytes() > 0);
        assert!(orphans.take(answer(1, 8)).is_none() && orphans.take(answer(2, 7)).is_none());
        assert_eq!(orphans.take(answer(1, 7)).map(|one| one.data), Some(vec![b'1']));
        assert!(orphans.take(answer(1, 7)).is_none());
        assert_eq!(orphans.bytes, 0);
    }
}
