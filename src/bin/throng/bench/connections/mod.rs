//! The connections of a run and the threads that own them: how they are opened, carried (plain or over TLS), divided and
//! opened again.
//!
//! Invariant: a connection belongs to one thread from its socket to its end; threads tell each other nothing but what
//! `state` counts.

pub(crate) mod audience;
pub(crate) mod dial;
pub(crate) mod plan;
pub(crate) mod pollers;
pub(crate) mod receiver;
pub(crate) mod reconnects;
pub(crate) mod retry;
pub(crate) mod secure;
pub(crate) mod senders;
pub(crate) mod state;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod wire;
pub(crate) mod workers;
