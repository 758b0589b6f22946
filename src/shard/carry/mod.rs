//! Bytes between sockets and sessions: reading, records, writing, deadlines and endings.

pub(in crate::shard) mod close;
pub(in crate::shard) mod conn;
pub(in crate::shard) mod flush;
pub(in crate::shard) mod line;
pub(in crate::shard) mod receive;
pub(in crate::shard) mod seal;
pub(in crate::shard) mod time;
