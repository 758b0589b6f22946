//! Support of the tests: a server of their own, and clients that send bytes.

pub(crate) mod application;
pub(crate) mod backend;
pub(crate) mod centrifuge;
pub(crate) mod peer;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod tls;
pub(crate) mod transcript;

pub(crate) use centrifuge::Client;
pub(crate) use peer::{Frame, Peer};
pub(crate) use server::{Server, until};
