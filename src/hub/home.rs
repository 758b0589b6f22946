//! The channels whose home is this shard: who subscribes from which shard, and the order of what is published.
//!
//! Invariant: a channel exists as long as some shard has subscribers of it, and its counts are those of the
//! subscribe and unsubscribe letters that arrived. What is published is numbered here and nowhere else.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

/// Why a home does not take a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The shard is home of as many channels as its limit allows.
    TooManyChannels,
}

/// How many subscribers a shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Presence {
    shard: u16,
    count: u32,
}

#[derive(Debug, Default)]
struct Channel {
    /// Number of publications so far; each has its own.
    offset: u64,
    shards: SmallVec<[Presence; 2]>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Home {
    channels: HashMap<Arc<str>, Channel>,
    channels_max: usize,
}

impl Home {
    /// A home of at most `channels_max` channels.
    pub fn new(channels_max: usize) -> Self {
        Self { channels: HashMap::new(), channels_max }
    }

    /// Counts one more subscriber of `shard`.
    ///
    /// # Errors
    /// When the channel would be one too many.
    pub fn subscribe(&mut self, channel: &Arc<str>, shard: u16) -> Result<(), Refused> {
        if !self.channels.contains_key(channel) {
            if self.channels.len() >= self.channels_max {
                return Err(Refused::TooManyChannels);
            }
            self.channels.insert(Arc::clone(channel), Channel::default());
        }
        let Some(home) = self.channels.get_mut(channel) else { return Ok(()) };
        match home.shards.iter_mut().find(|presence| presence.shard == shard) {
            Some(presence) => presence.count += 1,
            None => home.shards.push(Presence { shard, count: 1 }),
        }
        Ok(())
    }

    /// Counts one subscriber of `shard` less; the channel ends with its last. False when there was none: a letter
    /// was lost or came twice, which must not happen.
    pub fn unsubscribe(&mut self, channel: &str, shard: u16) -> bool {
        let Some(home) = self.channels.get_mut(channel) else { return false };
        let Some(at) = home.shards.iter().position(|presence| presence.shard == shard) else { return false };
        home.shards[at].count -= 1;
        if home.shards[at].count == 0 {
            home.shards.swap_remove(at);
        }
        if home.shards.is_empty() {
            self.channels.remove(channel);
        }
        true
    }

    /// Numbers a publication and says which shards have subscribers; `None` when nobody subscribes.
    pub fn publish(&mut self, channel: &str) -> Option<(u64, impl Iterator<Item = u16> + '_)> {
        let home = self.channels.get_mut(channel)?;
        home.offset += 1;
        Some((home.offset, home.shards.iter().map(|presence| presence.shard)))
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether this shard is home of no channel.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Number of subscribers of a channel, in all shards.
    pub fn subscriber_count(&self, channel: &str) -> usize {
        self.channels.get(channel).map_or(0, |home| home.shards.iter().map(|p| p.count as usize).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_lives_as_long_as_its_subscribers() {
        let mut home = Home::new(10);
        let name: Arc<str> = "news".into();
        assert!(home.publish("news").is_none());
        for shard in [0, 1, 1] {
            home.subscribe(&name, shard).unwrap();
        }
        assert_eq!(home.subscriber_count("news"), 3);
        let (offset, shards) = home.publish("news").unwrap();
        assert_eq!((offset, shards.collect::<Vec<_>>()), (1, vec![0, 1]));
        assert!(home.unsubscribe("news", 0) && home.unsubscribe("news", 1));
        let (offset, shards) = home.publish("news").unwrap();
        assert_eq!((offset, shards.collect::<Vec<_>>()), (2, vec![1]));
        assert!(home.unsubscribe("news", 1));
        assert!(home.is_empty() && !home.unsubscribe("news", 1));
    }

    #[test]
    fn the_limit_counts_channels_not_subscribers() {
        let mut home = Home::new(1);
        assert_eq!(home.subscribe(&"a".into(), 0), Ok(()));
        assert_eq!(home.subscribe(&"a".into(), 0), Ok(()));
        assert_eq!(home.subscribe(&"b".into(), 0), Err(Refused::TooManyChannels));
        assert_eq!(home.len(), 1);
    }
}
