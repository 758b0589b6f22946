//! How far what homes send has reached the connections of a shard: the place of an event that goes by no home, in the
//! order of its socket.
//!
//! A shard delivers what a home sent in the order of its arrival, over several turns if it has many receivers. An event
//! for one socket alone, written meanwhile, is behind all that has reached the connection, and before the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use super::home_of;
use super::offset::{Offset, epoch_of};
use crate::base::seed::Seed;
use crate::base::slots::Key;

/// A receiver: a connection, and the number of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Receiver {
    conn: u32,
    token: u64,
    pub(crate) format: u8,
}

impl Receiver {
    pub(crate) fn new(key: Key, format: u8) -> Self {
        Self { conn: key.index(), token: key.to_token(), format }
    }

    pub(crate) fn key(self) -> Key {
        Key::from_token(self.token)
    }
}

/// Items on their way to their receivers.
#[derive(Debug)]
pub(crate) struct Way {
    /// The home that sent them, and its number of the first.
    pub(crate) home: u16,
    pub(crate) first_seq: u64,
    /// The receivers, in the order of their connections.
    pub(crate) to: Arc<[Receiver]>,
    /// Number of receivers that were served.
    pub(crate) served: usize,
}

impl Way {
    /// Whether it has still to reach a connection.
    fn is_ahead_of(&self, key: Key) -> bool {
        let left = &self.to[self.served.min(self.to.len())..];
        let at = left.partition_point(|receiver| receiver.conn < key.index());
        left.get(at).is_some_and(|receiver| receiver.key() == key)
    }
}

/// How far the items of each home have reached the connections of a shard.
#[derive(Debug)]
pub struct Reach {
    seed: Seed,
    epoch: Arc<str>,
    shard: u16,
    /// The number of the last item that has arrived, by home.
    arrived: Box<[u64]>,
    /// Items on their way, in order.
    pub(crate) ways: VecDeque<Way>,
    /// Number of events for one socket alone.
    direct_count: u64,
}

impl Reach {
    /// Of a shard to which nothing has come yet. `seed` is the process's.
    pub fn new(seed: Seed, shard: u16, shard_count: u16) -> Self {
        Self {
            seed,
            epoch: epoch_of(seed),
            shard,
            arrived: vec![0; usize::from(shard_count.max(1))].into(),
            ways: VecDeque::new(),
            direct_count: 0,
        }
    }

    /// Changes the format in which a connection receives what is on its way to it.
    pub(crate) fn set_format(&mut self, key: Key, format: u8) {
        for way in &mut self.ways {
            let at = way.to.binary_search_by_key(&key.index(), |receiver| receiver.conn);
            if let Ok(at) = at
                && way.to[at].key() == key
            {
                // The list may be that of several messages.
                Arc::make_mut(&mut way.to)[at].format = format;
            }
        }
    }

    /// The name of the numbers.
    pub(crate) fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    /// Records that everything up to this number has arrived from a home.
    pub(crate) fn arrived(&mut self, home: u16, seq: u64) {
        if let Some(last) = self.arrived.get_mut(usize::from(home)) {
            *last = seq.max(*last);
        }
    }

    /// The number at the channel's home up to which a connection was sent everything.
    pub(crate) fn of(&self, channel: &str, key: Key) -> u64 {
        let home = home_of(channel, self.seed, u16::try_from(self.arrived.len()).unwrap_or(u16::MAX));
        match self.ways.iter().find(|way| way.home == home && way.is_ahead_of(key)) {
            Some(way) => way.first_seq.saturating_sub(1),
            None => self.arrived.get(usize::from(home)).copied().unwrap_or_default(),
        }
    }

    /// The offset of the next event for one socket alone.
    pub(crate) fn direct(&mut self, channel: &str, key: Key) -> Offset {
        self.direct_count += 1;
        // A socket may continue in another shard: no two shards use a number.
        let number = self.direct_count * self.arrived.len() as u64 + u64::from(self.shard);
        Offset { seq: self.of(channel, key), direct: Some(number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_still_to_reach_a_connection_is_behind() {
        let mut reach = Reach::new(Seed::from(7), 1, 2);
        let channel = "\u{1}/";
        let home = home_of(channel, Seed::from(7), 2);
        let keys: Vec<_> = (0..4_u64).map(|index| Key::from_token(5 << 32 | index)).collect();
        reach.arrived(home, 9);
        reach.arrived(home, 8);
        assert_eq!(reach.of(channel, keys[1]), 9);
        // 12 and 13 are on their way: the first two receivers have them.
        let to: Arc<[Receiver]> = keys[..3].iter().map(|key| Receiver::new(*key, 0)).collect();
        reach.arrived(home, 13);
        reach.ways.push_back(Way { home, first_seq: 12, to, served: 2 });
        let another = Key::from_token(6 << 32 | 2);
        assert_eq!([keys[0], keys[2], keys[3], another].map(|key| reach.of(channel, key)), [13, 11, 13, 13]);
        reach.ways[0].home = 1 - home;
        assert_eq!(reach.of(channel, keys[2]), 13);
    }

    #[test]
    fn no_two_shards_give_an_offset_twice() {
        let mut numbers = std::collections::BTreeSet::new();
        for shard in 0..3 {
            let mut reach = Reach::new(Seed::from(7), shard, 3);
            numbers.extend((0..10).map(|_| reach.direct("\u{1}/", Key::from_token(1)).direct));
        }
        assert_eq!(numbers.len(), 30);
    }
}
