//! Data structures without I/O or clock, which know nothing of channels. The one list with words of upper layers is
//! that of the purposes of hashes (`seed::Purpose`): they must differ, so they stand together.
//!
//! * Connections and time: `slots` (a slab with generations), `pool`, `wheel` (deadlines), `numbered`.
//! * Bytes: `shared` (reference-counted messages), `segment`, `outbox`, `budget`, `payload` (JSON or other bytes).
//! * Rates: `bucket`, `by_address`.
//! * Matching: `pattern` (`*`), `filter`, `networks`.
//! * Accounts: `counters`, `heap` (sizes of allocations). Names: `seed`, the key of all hashes; `sealed` (places as text). Text: `figures`.

pub(crate) mod bucket;
pub mod budget;
pub(crate) mod by_address;
pub mod counters;
pub mod figures;
pub(crate) mod filter;
pub(crate) mod heap;
pub mod networks;
pub(crate) mod numbered;
pub mod outbox;
pub(crate) mod pattern;
pub mod payload;
pub(crate) mod pool;
pub(crate) mod sealed;
pub mod seed;
pub(crate) mod segment;
pub mod shared;
pub mod slots;
pub mod wheel;
