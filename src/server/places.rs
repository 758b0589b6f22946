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

/// Number of ports after the default one that the control listener may take.
const CONTROL_PORTS_NEXT: u16 = 10;

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

/// Binds the control listener, if there is one.
///
/// # Errors
/// When its address is taken, and so are the next ports where it may move.
pub(super) fn bind_control(config: &Config) -> io::Result<Option<TcpListener>> {
    let next_ports = if config.control_may_move { CONTROL_PORTS_NEXT } else { 0 };
    config.control.map(|address| bind_from(address, next_ports, TcpListener::bind)).transpose()
}

/// Binds `first`, or the same address with the next free port, if the port is taken.
///
/// # Errors
/// The reason why `first` could not be bound.
fn bind_from<T>(
    first: SocketAddr,
    next_ports: u16,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let error = match bind(first) {
        Ok(bound) => return Ok(bound),
        Err(error) => error,
    };
    let is_taken = error.kind() == io::ErrorKind::AddrInUse;
    let next = first.port().saturating_add(1)..=first.port().saturating_add(next_ports);
    let mut others = next.filter(|_| is_taken).map(|port| SocketAddr::new(first.ip(), port));
    others
        .find_map(|address| bind(address).ok())
        .ok_or_else(|| io::Error::new(error.kind(), format!("control: cannot listen on {first}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The port chosen from `first` while these are taken, or the error.
    fn chosen(first: u16, next_ports: u16, taken: &[u16]) -> Result<u16, String> {
        let first = SocketAddr::from(([127, 0, 0, 1], first));
        let bind = |address: SocketAddr| match taken.contains(&address.port()) {
            true => Err(io::ErrorKind::AddrInUse.into()),
            false => Ok(address.port()),
        };
        bind_from(first, next_ports, bind).map_err(|error| error.to_string())
    }

    #[test]
    fn a_control_listener_that_may_move_takes_the_next_free_port() {
        let refused = |port| Err(format!("control: cannot listen on 127.0.0.1:{port}: address in use"));
        assert_eq!(chosen(9000, 10, &[]), Ok(9000));
        assert_eq!(chosen(9000, 10, &[9000]), Ok(9001));
        assert_eq!(chosen(9000, 10, &[9000, 9001, 9003]), Ok(9002));
        let all: Vec<_> = (9000..=9009).collect();
        assert_eq!(chosen(9000, 10, &all), Ok(9010));
        let all: Vec<_> = (9000..=9010).collect();
        assert_eq!(chosen(9000, 10, &all), refused(9000));
        assert_eq!(chosen(9000, 0, &[9000]), refused(9000));
        assert_eq!(chosen(u16::MAX, 10, &[u16::MAX]), refused(u16::MAX));
    }

    #[test]
    fn only_a_taken_port_makes_it_move() {
        let denied = |_| -> io::Result<()> { Err(io::ErrorKind::PermissionDenied.into()) };
        let error = bind_from(([127, 0, 0, 1], 9).into(), 10, denied).unwrap_err();
        assert_eq!(error.to_string(), "control: cannot listen on 127.0.0.1:9: permission denied");
    }
}
