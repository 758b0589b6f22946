//! Layer 4: sockets, readiness and time.

pub mod sys;
