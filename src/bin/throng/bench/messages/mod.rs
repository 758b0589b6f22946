//! The messages of a run: frames, publications, commands and replies, prepared before the run and checked during
//! it.
//!
//! Invariant: nothing here owns a socket, except the publisher, which is one connection on the director's thread.

pub(crate) mod frames;
pub(crate) mod publication;
pub(crate) mod publisher;
pub(crate) mod replies;
pub(crate) mod responses;
pub(crate) mod script;
pub(crate) mod socketio;
pub(crate) mod unpack;
