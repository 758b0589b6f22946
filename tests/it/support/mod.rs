//! What the tests stand on: clients that speak bytes.

pub(crate) mod peer;

pub(crate) use peer::{Frame, Peer};
