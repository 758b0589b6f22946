//! Memory of a home, counted on every change, and how it is freed when memory is short.
//!
//! Invariant: each name is counted once: with its subscribers, or here when it has none.

use super::home::{Asker, Home};
use crate::base::heap;

impl<A: Asker> Home<A> {
    /// Sets whether memory is short. A new channel is refused then, unless the position of an unused channel can be
    /// forgotten for it.
    pub fn set_short(&mut self, is_short: bool) {
        self.is_short = is_short;
    }

    /// Frees memory: forgets unused positions, and the oldest publications beyond `history_bytes` of all histories
    /// together; at most `count_max` of each. Returns the number of freed publications.
    pub fn relieve(&mut self, history_bytes: usize, count_max: usize) -> usize {
        for _ in 0..count_max {
            let Some(idle) = self.order.memory.forget_idle() else { break };
            self.close(idle);
            self.displaced_count += 1;
        }
        // Histories first: what is left of their part is for recovery.
        let count = self.order.memory.cut(history_bytes, count_max);
        let left = history_bytes.saturating_sub(self.order.memory.bytes());
        count + self.keeper.as_mut().map_or(0, |keeper| keeper.cut(left, count_max))
    }

    /// Memory of the channels, with their streams and the idempotency keys; without histories and crowds.
    #[inline]
    pub fn channel_bytes(&self) -> usize {
        self.channels.bytes()
            + self.name_bytes
            + heap::table(&self.names)
            + self.spread.bytes()
            + self.order.memory.stream_bytes()
            + self.order.once.bytes()
            + self.waiting.bytes()
    }

    /// Memory of presence and of the subscriber counts by shard, without the members' infos.
    pub fn crowd_bytes(&self) -> usize {
        self.spread.crowd_bytes
    }

    /// Checks the invariants that hold between any two calls, in time proportional to the whole state. For tests.
    ///
    /// # Panics
    /// When one is violated.
    pub fn check_invariants(&self) {
        assert_eq!(self.names.len(), self.channels.len());
        self.order.memory.check_invariants();
        self.waiting.check_invariants();
        assert!(self.done.is_empty(), "a result is reported at once");
        for id in self.waiting.channels() {
            assert!(self.channels.get(id as usize).is_some(), "an entry waits in a channel that has ended");
        }
        let (mut present_count, mut stream_count, mut occupied_count) = (0, 0, 0);
        let (mut crowd_bytes, mut name_bytes) = (0, 0);
        for (id, channel) in self.channels.iter() {
            assert_eq!(self.names.get(&channel.name).map(|&id| id as usize), Some(id));
            let (crowd, waits) =
                (&channel.audience.crowd, self.waiting.holds(u32::try_from(id).unwrap_or(0)));
            let stream = channel.line.stream;
            assert!(
                !crowd.is_empty() || stream.is_some() || waits,
                "a channel without subscribers, stream or waiting entries"
            );
            assert!(
                !channel.audience.is_told || !crowd.is_empty(),
                "an occupied channel without subscribers"
            );
            crowd.check_invariants();
            crowd_bytes += crowd.bytes();
            occupied_count += usize::from(!crowd.is_empty());
            name_bytes += if crowd.is_empty() { heap::arc(channel.name.len()) } else { 0 };
            present_count += crowd.present_count() as usize;
            if let Some(stream) = stream {
                stream_count += 1;
                self.order.memory.check_owner(stream, id, !crowd.is_empty() || waits);
            }
        }
        assert_eq!(self.occupied_count, occupied_count);
        assert_eq!(
            (self.spread.presence_count, self.order.memory.stream_count()),
            (present_count, stream_count)
        );
        assert_eq!((self.spread.crowd_bytes, self.name_bytes), (crowd_bytes, name_bytes));
    }
}
