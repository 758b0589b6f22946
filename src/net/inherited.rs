//! Listening sockets that came with the process: systemd's socket activation (`sd_listen_fds(3)`).
//!
//! Whoever starts the process makes the sockets and says by variables how many there are and what they are called. So
//! a port below 1024 needs no right here, and whoever comes during a restart waits instead of being refused.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::{Listen, Shared, sys};

/// The name of the one that is for the control listener (`FileDescriptorName=` of a socket unit).
const CONTROL: &str = "control";

/// What was inherited.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For clients, in place of the addresses of the configuration.
    pub data: Vec<Arc<Shared>>,
    /// In place of the control address.
    pub control: Option<TcpListener>,
}

impl Inherited {
    /// Takes what the environment tells of. Nothing, the second time. Children of this process inherit none of it.
    ///
    /// # Errors
    /// When what is told is not there, or is no listening socket of TCP or (for clients) of a Unix path.
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

    /// The addresses of TCP at which they listen for clients.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listens().filter_map(Listen::address).collect()
    }

    /// The address of the one for the control listener.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().and_then(|control| control.local_addr().ok())
    }

    /// Where they listen for clients.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> {
        self.data.iter().map(|shared| shared.listen())
    }
}
