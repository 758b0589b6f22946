//! What a home costs, counted as it changes, and how it gives way when memory is short.
//!
//! Invariant: each name is counted once: where its subscribers are, or here when it has none.

use super::home::Home;
use super::presence::Crowd;
use crate::base::heap;

impl Home {
    /// Says whether memory is short. A channel that would be new is refused then, unless the position of one that nobody
    /// uses can be forgotten for it.
    pub fn set_short(&mut self, is_short: bool) {
        self.is_short = is_short;
    }

    /// Gives memory back: forgets positions that nobody uses, and the oldest publications beyond `history_bytes` of all
    /// histories together; at most `count_max` of each. Returns how many publications went.
    pub fn relieve(&mut self, history_bytes: usize, count_max: usize) -> usize {
        for _ in 0..count_max {
            let Some(idle) = self.history.forget_idle() else { break };
            self.close(idle);
            self.displaced_count += 1;
        }
        self.history.cut(history_bytes, count_max)
    }

    /// What the channels cost, with their streams, and what is remembered of publications; without histories and crowds.
    pub fn channel_bytes(&self) -> usize {
        self.channels.bytes()
            + self.name_bytes
            + heap::table(&self.names)
            + heap::list::<u32>(self.changed.capacity())
            + self.history.stream_bytes()
            + self.once.bytes()
    }

    /// What presence costs, and counting who subscribes from which shard, without what is told of members.
    pub fn crowd_bytes(&self) -> usize {
        self.crowd_bytes
    }

    /// Changes a crowd, and counts what that changes.
    pub(super) fn with_crowd<R>(&mut self, id: u32, change: impl FnOnce(&mut Crowd) -> R) -> R {
        let crowd = &mut self.channels[id as usize].crowd;
        let (bytes, present_count) = (crowd.bytes(), crowd.present_count() as usize);
        let result = change(crowd);
        self.crowd_bytes = self.crowd_bytes + crowd.bytes() - bytes;
        self.presence_count = self.presence_count + crowd.present_count() as usize - present_count;
        result
    }

    /// Checks what must hold between any two calls, in time proportional to all that there is. For tests.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        assert_eq!(self.names.len(), self.channels.len());
        self.history.check_invariants();
        let (mut present_count, mut stream_count) = (0, 0);
        let (mut crowd_bytes, mut name_bytes) = (0, 0);
        for (id, channel) in self.channels.iter() {
            assert_eq!(self.names.get(&channel.name).map(|&id| id as usize), Some(id));
            assert!(!channel.crowd.is_empty() || channel.stream.is_some(), "a channel without a reason");
            assert!(!channel.is_told || !channel.crowd.is_empty(), "occupied by nobody");
            channel.crowd.check_invariants();
            crowd_bytes += channel.crowd.bytes();
            name_bytes += if channel.crowd.is_empty() { heap::arc(channel.name.len()) } else { 0 };
            present_count += channel.crowd.present_count() as usize;
            if let Some(stream) = channel.stream {
                stream_count += 1;
                self.history.check_owner(stream, id, !channel.crowd.is_empty());
            }
        }
        assert_eq!((self.presence_count, self.history.streams.len()), (present_count, stream_count));
        assert_eq!((self.crowd_bytes, self.name_bytes), (crowd_bytes, name_bytes));
    }
}
