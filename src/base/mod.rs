//! Layer 0: data structures without I/O, clock or domain words.

pub mod bucket;
pub mod budget;
pub mod by_address;
pub mod counters;
pub mod filter;
pub mod heap;
pub mod networks;
pub mod numbered;
pub mod outbox;
pub mod pattern;
pub mod payload;
pub mod pool;
pub mod seed;
pub mod segment;
pub mod shared;
pub mod slots;
pub mod wheel;
