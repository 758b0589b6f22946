//! Who comes in, how many and at which rate; who goes when memory is short; and how everybody is let go.

pub(in crate::shard) mod accept;
pub(in crate::shard) mod drain;
pub(in crate::shard) mod evict;
pub(in crate::shard) mod newcomers;
pub(in crate::shard) mod pressure;
pub(in crate::shard) mod proxy_header;
