//! Inherited listening sockets: systemd's socket activation (`sd_listen_fds(3)`).
//!
//! The parent process makes the sockets and passes their number and names in environment variables. So a port below
//! 1024 needs no privilege here, and clients that connect during a restart wait instead of being refused.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::{Listen, Shared, sys};

/// Name of the socket of the control listener (`FileDescriptorName=` of a socket unit).
const CONTROL: &str = "control";

/// The inherited sockets.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listeners for clients, instead of the configured addresses.
    pub data: Vec<Arc<Shared>>,
    /// Listener that replaces the control address.
    pub control: Option<TcpListener>,
}

impl Inherited {
    /// Takes the sockets named in the environment; a second call returns none. Child processes inherit none of them.
    ///
    /// # Errors
    /// When a named socket does not exist, or is not a listening socket of TCP or (for clients) of a Unix path.
    pub fn take() -> io::Result<Self> {
        let mut inherited = Self::default();
        for (at, (descriptor, name)) in sys::inherited_descriptors()?.into_iter().enumerate() {
            let shared = Shared::inherited(descriptor).map_err(|error| {
                io::Error::new(error.kind(), format!("inherited socket {at} ({name}): {error}"))
            })?;
            if name != CONTROL {
                inherited.data.push(Arc::new(shared));
            } else if inherited.control.is_some() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "two inherited sockets are called control",
                ));
            } else {
                inherited.control = Some(shared.into_tcp()?);
            }
        }
        Ok(inherited)
    }

    /// The TCP addresses of the clients' listeners.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listens().filter_map(Listen::address).collect()
    }

    /// The address of the one for the control listener.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().and_then(|control| control.local_addr().ok())
    }

    /// The addresses and paths of the clients' listeners.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> {
        self.data.iter().map(|shared| shared.listen())
    }
}
