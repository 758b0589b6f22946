//! Fixtures of the hub's tests: a home, members and publications with minimal settings.

use std::sync::Arc;

use super::home::{Home, Joining, Limits, Member, Now, Published, Terms};
use super::options::ChannelOptions;
use super::{ClientInfo, DataKind, Publication};
use crate::base::budget::Budget;
use crate::base::shared::Shared;

pub(super) const LIMITS: Limits = Limits {
    recovery: None,
    channels_max: 100,
    history_bytes_max: usize::MAX,
    join_leave_per_second_max: u32::MAX,
    history_meta_ttl_ms: 600_000,
    recovery_max: usize::MAX,
    waiting_max: 100,
};

pub(super) fn home() -> Home {
    Home::new(LIMITS, (7.into(), 0))
}

/// A time whose Unix time is far from the shard's time, so that a test notices when one is used for the other.
pub(super) fn at(ms: u64) -> Now {
    Now { ms, unix_ms: ms + 1_700_000_000_000 }
}

pub(super) fn no_history() -> Arc<ChannelOptions> {
    Arc::default()
}

pub(super) fn history(size: usize, ttl_ms: u64) -> Arc<ChannelOptions> {
    Arc::new(ChannelOptions { history_size: size, history_ttl_ms: ttl_ms, ..ChannelOptions::default() })
}

pub(super) fn info(user: &str, client: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo { user: user.into(), client: client.into(), ..ClientInfo::default() })
}

/// A member without options, whose join and leave are not announced.
pub(super) fn plain(shard: u16, conn: u64) -> Joining {
    Joining {
        member: Member { shard, conn },
        info: None,
        in_presence: false,
        tells_join: false,
        wants_position: false,
        recover: None,
        renews: false,
    }
}

pub(super) fn publication(channel: &str, data: &[u8]) -> Box<Publication> {
    let data = Shared::new(data.to_vec(), &Budget::new(usize::MAX));
    Box::new(Publication::new(channel.into(), DataKind::Json, data))
}

pub(super) fn publish(home: &mut Home, ms: u64, channel: &str, options: &Arc<ChannelOptions>) -> Published {
    home.publish(at(ms), publication(channel, b"1"), options, &Terms::default()).unwrap()
}
