//! The built server over loopback: real sockets, real signals, real limits, one test binary.
//!
//! Each test starts its own server on ports of its own, so that tests run side by side and none sees another's
//! connections. What a client written elsewhere can judge better stands in `tests/clients`; what must not depend on
//! a kernel stands in `tests/sim`.

#![expect(clippy::unwrap_used, reason = "a test that cannot talk to its server has failed")]

mod peer;
mod support;
