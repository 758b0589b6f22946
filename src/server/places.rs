//! The listeners of a server: the configured ones, or inherited ones in their place.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::Config;
use crate::net::{Inherited, Listen, Shared};
use crate::shard::options::Listener;

/// Maximum number of connections that wait to be accepted, per listener; the kernel reduces it to
/// `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 65_535;

/// The listeners for clients, and the control listener, if it was inherited.
pub(super) struct Places {
    /// Addresses that each shard binds for itself.
    pub(super) addresses: Vec<SocketAddr>,
    /// Listeners that are made before the shards part.
    pub(super) shared: Vec<Arc<Shared>>,
    pub(super) control: Option<TcpListener>,
    /// Properties of the listeners, by number: the addresses, then the shared ones.
    pub(super) listeners: Arc<[Listener]>,
}

impl Places {
    /// Makes the listeners that all shards share. Inherited ones replace the configured ones.
    pub(super) fn take(config: &Config, inherited: Inherited) -> io::Result<Self> {
        let Inherited { data, control } = inherited;
        if !data.is_empty() {
            return Ok(Self {
                listeners: table(config, &[], &data),
                addresses: Vec::new(),
                shared: data,
                control,
            });
        }
        let addresses: Vec<_> = config.listen.iter().filter_map(Listen::address).collect();
        let paths = config.listen.iter().filter_map(Listen::path);
        let shared = paths.map(|path| Shared::at_path(path, config.unix_mode, BACKLOG).map(Arc::new));
        let shared = shared.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { listeners: table(config, &addresses, &shared), addresses, shared, control })
    }
}

/// Properties of each shard's listeners: a client of a Unix socket is on this machine, and not encrypted.
fn table(config: &Config, addresses: &[SocketAddr], shared: &[Arc<Shared>]) -> Arc<[Listener]> {
    let is_tls = config.tls.is_on();
    let own = addresses.iter().map(|_| Listener::http(is_tls));
    let shared = shared.iter().map(|shared| Listener::http(is_tls && shared.listen().address().is_some()));
    own.chain(shared).collect()
}

/// Binds the control listener.
pub(super) fn bind_control(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        io::Error::new(error.kind(), format!("control: cannot listen on {address}: {error}"))
    })
}
