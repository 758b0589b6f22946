//! Layer 5: the shard.
