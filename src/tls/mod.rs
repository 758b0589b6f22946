//! Layer 1: TLS without buffers.
//!
//! Bytes in, bytes out: an [`Acceptor`] makes a [`Link`] for each connection, which turns records into plaintext in
//! place and plaintext into records. rustls shakes hands; what is left of a connection afterwards is a pair of keys.

pub mod certificates;
#[cfg(test)]
pub(crate) mod fixtures;
mod identity;
mod names;
mod terms;
mod tickets;

use std::sync::Arc;

use rustls::ServerConfig;

pub use certificates::{CertificateError, Facts, Pem, PemPair};
pub use identity::{Identity, identity};
pub use terms::{Serving, Terms};
pub use tickets::{ROTATION_S_MAX, ticketer};

/// What a shard's handshakes go by.
#[derive(Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// From a configuration that says which certificates, clients and tickets there are.
    pub fn new(config: &ServerConfig) -> Self {
        Self { config: Arc::new(config.clone()) }
    }
}

/// The TLS of one connection.
#[derive(Debug)]
pub struct Link {}
