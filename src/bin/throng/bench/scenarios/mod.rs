//! The scenarios of `throng bench`, one file each: what is opened, what is sent, what is measured.
//!
//! Invariant: a scenario directs and reads; connections belong to the threads of `connections`. `subscribing` is what those
//! with subscribers have in common.

pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod handshakes;
pub(crate) mod idle;
pub(crate) mod recover;
pub(crate) mod storm;
pub(crate) mod subscribing;
