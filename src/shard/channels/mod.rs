//! This shard as home of channels and as host of subscribers: subscriptions of its connections, what is delivered to them,
//! and what a connection leaves when it ends.

pub(in crate::shard) mod batch;
pub(in crate::shard) mod endings;
pub(in crate::shard) mod fanout;
pub(in crate::shard) mod homes;
pub(in crate::shard) mod memory;
pub(in crate::shard) mod subscribe;
