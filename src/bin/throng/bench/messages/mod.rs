//! What is said: frames, publications, commands and their replies, prepared before the run and checked while it lasts.
//!
//! Invariant: nothing here owns a socket, but for the publisher, which is one connection on the director's thread.

pub(crate) mod frames;
pub(crate) mod publication;
pub(crate) mod publisher;
pub(crate) mod replies;
pub(crate) mod responses;
pub(crate) mod script;
pub(crate) mod unpack;
