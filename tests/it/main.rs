//! The built server over loopback: real sockets, real signals, real limits, one test binary.
//!
//! Each test starts its own server on ports of its own, so that tests run side by side and none sees another's
//! connections. Tests that need an independent client are in `tests/clients`; those that must not depend on a kernel
//! are in `tests/sim`.

#![expect(clippy::unwrap_used, reason = "a test that cannot talk to its server has failed")]
#![expect(clippy::disallowed_methods, reason = "these tests wait for another process, in real time")]

mod admission;
mod api;
mod api_channels;
mod bench_socketio;
mod channels;
mod deadlines;
mod deflate;
mod descriptors;
mod drain;
mod embedded;
mod forwarding;
mod from_centrifugo;
mod hooks;
mod hostile_frames;
mod hostile_http;
mod hostile_network;
mod isolation;
mod memory;
mod one_port;
mod peer;
mod places;
mod private_channels;
mod proxies;
mod rates;
mod regressions;
mod serve;
mod slow;
mod socketio;
mod socketio_api;
mod socketio_logic;
mod socketio_recovery;
mod socketio_rooms;
mod support;
mod tls;
mod tls_hostile;
mod tokens;
mod torture;
mod transcripts;
mod transports;
mod users;
mod websocket;
