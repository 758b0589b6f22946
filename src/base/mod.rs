//! Data structures without I/O, clock or domain words.
//!
//! * Connections and time: `slots` (a slab with generations), `pool`, `wheel` (deadlines), `numbered`.
//! * Bytes: `shared` (reference-counted messages), `segment`, `outbox`, `budget`, `payload` (JSON or other bytes).
//! * Rates: `bucket`, `by_address`.
//! * Matching: `pattern` (`*`), `filter`, `networks`.
//! * Accounts: `counters`, `heap` (sizes of allocations). Names: `seed`, the key of all hashes.

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
