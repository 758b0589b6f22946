//! Layer 2: channels, without protocols, sockets or a clock.
//!
//! Every channel has one [`home::Home`], in the shard that its name hashes to: it orders what is published.
//! Every shard that has subscribers of the channel keeps their list in its [`local::Local`].

pub mod home;
pub mod local;

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use crate::base::shared::Shared;

/// A message in a channel, as published. Immutable; shared by all shards that deliver it.
#[derive(Debug)]
pub struct Publication {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Whether the data is text (UTF-8); else any bytes.
    pub is_text: bool,
    /// The message. Counted as long as someone has yet to deliver it.
    pub data: Shared,
    /// Id of the connection that published it; none when the server did.
    pub client: Option<Box<str>>,
}

/// The shard that is home of the channel, of `shard_count`. `seed` is the process's: it keeps clients from choosing
/// names that all live in one shard.
pub fn home_of(channel: &str, seed: u64, shard_count: u16) -> u16 {
    if shard_count <= 1 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(channel.as_bytes());
    u16::try_from(hasher.finish() % u64::from(shard_count)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_stable_and_spread() {
        let mut counts = [0; 8];
        for i in 0..8000 {
            let name = format!("room:{i}");
            let home = home_of(&name, 7, 8);
            assert_eq!(home, home_of(&name, 7, 8));
            counts[usize::from(home)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!(home_of("anything", 7, 1), 0);
    }
}
