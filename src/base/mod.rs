//! Layer 0: data structures without I/O, clock or domain words.

pub mod counters;
