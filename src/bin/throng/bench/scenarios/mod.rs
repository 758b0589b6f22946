//! The scenarios of `throng bench`, one file each: connections, messages, measurement.
//!
//! Invariant: a scenario directs and reads; connections belong to the threads of `connections`. `subscribing` is
//! common to the scenarios with subscribers.

pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod handshakes;
pub(crate) mod idle;
pub(crate) mod recover;
pub(crate) mod storm;
pub(crate) mod subscribing;
