//! Subscriptions of this shard's connections, and what is delivered to them.

pub(in crate::shard) mod batch;
pub(in crate::shard) mod fanout;
pub(in crate::shard) mod groups;
pub(in crate::shard) mod subscribe;
