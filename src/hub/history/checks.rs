//! The checks of streams between turns, for tests.

use super::{History, NONE, TICK_MS, bytes_of, number};
use crate::hub::memory::StreamId;

impl History {
    /// See [`crate::hub::home::Home::check_invariants`].
    pub(in crate::hub) fn check_invariants(&self) {
        let (mut bytes, mut count, mut key, mut older) = (0, 0, self.oldest, NONE);
        while let Some(entry) = self.entries.get(key as usize) {
            assert_eq!(entry.older, older, "the list in order of age is broken");
            bytes += bytes_of(&entry.publication);
            count += 1;
            (older, key) = (key, entry.newer);
        }
        assert_eq!((older, count, bytes), (self.newest, self.entries.len(), self.bytes));
        assert!(self.bytes <= self.bytes_max);
        let mut kept_count = 0;
        let stream_bytes: usize = self.streams.iter().map(|(_, stream)| stream.bytes()).sum();
        assert_eq!(stream_bytes, self.stream_bytes);
        for (id, stream) in self.streams.iter() {
            kept_count += stream.kept.len();
            for (&key, offset) in stream.kept.iter().rev().zip((1..=stream.top).rev()) {
                let entry = &self.entries[key as usize];
                assert_eq!(
                    (entry.stream as usize, entry.publication.offset),
                    (id, offset),
                    "the run is broken"
                );
                assert!(entry.publication.previous.is_none(), "one publication keeps another alive");
            }
            assert!(stream.kept.len() as u64 <= stream.top);
            let deadline_ms = self.deadline_ms(stream);
            let armed = self.wheel.deadline(number(id));
            assert!(
                armed.is_some_and(|tick| tick <= deadline_ms.div_ceil(TICK_MS)),
                "it would stay for ever"
            );
        }
        assert_eq!(kept_count, self.entries.len());
        assert_eq!(self.wheel.len(), self.streams.len());
    }

    /// See [`crate::hub::home::Home::check_invariants`].
    pub(in crate::hub) fn check_owner(&self, id: StreamId, channel: usize, is_attended: bool) {
        let stream = &self.streams[id as usize];
        assert_eq!((stream.channel as usize, stream.is_attended), (channel, is_attended));
    }
}
