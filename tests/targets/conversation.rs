//! Whole conversations with shards: the program of the simulator's hostile clients is the input.

/// The simulator's own, which uses more of it.
#[allow(dead_code, clippy::cast_possible_truncation, reason = "the simulator's own, which uses more of it")]
#[path = "../sim/harness/mod.rs"]
mod harness;
#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "the simulator's own, which uses more of it"
)]
#[path = "../sim/hostile/mod.rs"]
mod hostile;

/// Plays the program, see `tests/sim/hostile/mod.rs`.
///
/// # Panics
/// When something does not hold that must.
pub fn conversation(data: &[u8]) {
    hostile::play(data);
}
