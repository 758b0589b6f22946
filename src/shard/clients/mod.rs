//! Who clients are, what they ask for, what they may, and what the server orders about them.

pub(in crate::shard) mod answers;
pub(in crate::shard) mod command;
pub(in crate::shard) mod connect;
pub(in crate::shard) mod emulate;
pub(in crate::shard) mod entering;
pub(in crate::shard) mod expiry;
pub(in crate::shard) mod from_start;
pub(in crate::shard) mod groups;
pub(in crate::shard) mod headers;
pub(in crate::shard) mod known;
pub(in crate::shard) mod orders;
pub(in crate::shard) mod permits;
pub(in crate::shard) mod speak;
pub(in crate::shard) mod subscribing;
pub(in crate::shard) mod terms;
pub(in crate::shard) mod users;
pub(in crate::shard) mod verdict;
pub(in crate::shard) mod waiting;
