//! Bytes between sockets and sessions: reading, records, writing, deadlines and endings; and the connections themselves, with
//! all that belongs to one.

pub(in crate::shard) mod access;
pub(in crate::shard) mod account;
pub(in crate::shard) mod client;
pub(in crate::shard) mod close;
pub(in crate::shard) mod conn;
pub(in crate::shard) mod flush;
pub(in crate::shard) mod layers;
pub mod ledger;
pub(in crate::shard) mod pressure;
pub(in crate::shard) mod receive;
pub(in crate::shard) mod speak;
pub(in crate::shard) mod time;
pub(in crate::shard) mod tls;
pub(in crate::shard) mod unread;
