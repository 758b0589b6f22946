//! What shards ask of the world outside the data plane ([`crate::shard::outside`]) is answered here: tokens are verified by worker
//! threads, the application's hooks are asked from the control thread's runtime.

pub mod options;
