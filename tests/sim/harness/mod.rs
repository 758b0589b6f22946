//! The base of the simulation: a world of links with its own time, [`throng::parts::net::Net`] over it, the clients'
//! wire format, and random numbers that follow from a seed.
//!
//! Knows no plan and no client, and nothing of this test binary: the fuzz target of whole conversations uses it, too.

pub(crate) mod layout;
pub(crate) mod net;
pub(crate) mod rng;
pub(crate) mod wire;
pub(crate) mod world;
