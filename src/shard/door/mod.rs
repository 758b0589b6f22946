//! Who comes in, how many, at which rate and at what cost in memory; and how everybody is let go.

pub(in crate::shard) mod accept;
pub(in crate::shard) mod account;
pub(in crate::shard) mod drain;
pub mod ledger;
pub(in crate::shard) mod newcomers;
pub(in crate::shard) mod pressure;
pub(in crate::shard) mod rates;
pub(in crate::shard) mod relief;
