//! What shards are simulated over: a world of links with its own time, [`throng::parts::net::Net`] over it, the wire as clients
//! speak it, and random numbers that follow from a seed.
//!
//! Knows no plan and no client, and nothing of this test binary: the fuzz target of whole conversations stands on it, too.

pub(crate) mod layout;
pub(crate) mod net;
pub(crate) mod rng;
pub(crate) mod wire;
pub(crate) mod world;
