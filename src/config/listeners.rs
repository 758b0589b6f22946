//! The listeners of clients and of the control plane, merged from all sources: the flat keys `listen` and `control`,
//! and Centrifugo's separate addresses and ports.
//!
//! Invariant: the nearer source wins, for address and port separately. A part from a nearer source replaces that part
//! of a whole listener: with `listen = "127.0.0.1:8000"` in the file, `-p 9000` means 127.0.0.1:9000, not all
//! addresses. A standalone server that is not in development mode listens on all addresses unless one is named, and
//! otherwise on loopback.

use super::file::{Halves, Layer, address, port};
use super::value::Entry;
use super::{Config, ConfigError};
use crate::net::{self, Listen};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Centrifugo's default port for clients.
const PORT: u16 = 8000;

/// The parts in force, each with its key.
#[derive(Default)]
struct Nearest<'a> {
    address: Option<(IpAddr, &'a Entry)>,
    port: Option<(u16, &'a Entry)>,
}

impl<'a> Nearest<'a> {
    /// Merges all sources, the nearest last; a whole listener in a nearer source replaces both parts. Errors in parts
    /// of any source are reported.
    fn of(
        layers: &'a [Layer],
        flat: &str,
        halves: fn(&Layer) -> &Halves,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut nearest = Self::default();
        for layer in layers {
            if layer.typed.iter().any(|typed| typed.target.is_flat(flat)) {
                nearest = Self::default();
            }
            let said = halves(layer);
            match said.address.as_ref().map(|half| (address(half), half)) {
                Some((Ok(address), half)) => nearest.address = Some((address, half)),
                Some((Err(error), _)) => errors.push(error),
                None => {}
            }
            match said.port.as_ref().map(|half| (port(half), half)) {
                Some((Ok(port), half)) => nearest.port = Some((port, half)),
                Some((Err(error), _)) => errors.push(error),
                None => {}
            }
        }
        nearest
    }

    /// The entry for error messages: the port, which is typed more often, or else the address.
    fn entry(&self) -> Option<&'a Entry> {
        self.port.map(|(_, entry)| entry).or(self.address.map(|(_, entry)| entry))
    }
}

/// A listener that was set by parts: its flat key, and the entry that gives its place.
pub(super) struct Settled<'a> {
    pub(super) flat: &'static str,
    pub(super) by: &'a Entry,
}

/// Sets the listeners in `config` from the layers, the nearest last, over the values of flat keys. `is_open_to_all`:
/// without an address, listen on all addresses.
pub(super) fn settle<'a>(
    config: &mut Config,
    layers: &'a [Layer],
    is_open_to_all: bool,
    errors: &mut Vec<ConfigError>,
) -> Vec<Settled<'a>> {
    let is_whole =
        |flat: &str| layers.iter().any(|layer| layer.typed.iter().any(|typed| typed.target.is_flat(flat)));
    let mut settled = Vec::new();
    let clients = Nearest::of(layers, "listen", |layer| &layer.listen, errors);
    let whole = is_whole("listen");
    if let Some(by) = clients.entry() {
        settled.push(Settled { flat: "listen", by });
    }
    config.listen = listen(&config.listen, whole, &clients, is_open_to_all);
    let internal = Nearest::of(layers, "control", |layer| &layer.control, errors);
    if let Some(by) = internal.entry() {
        let whole = config.control.filter(|_| is_whole("control"));
        match control(&config.listen, whole, &clients, &internal, is_open_to_all) {
            Ok(Some(address)) => {
                config.control = Some(address);
                settled.push(Settled { flat: "control", by });
            }
            Ok(None) => {}
            Err(complaint) => errors.push(by.error(complaint)),
        }
    }
    if is_open_to_all && internal.entry().is_none() && !is_whole("control") {
        config.control = config.control.map(|control| beside(&config.listen, control));
    }
    settled
}

/// The default control listener, moved if its port is a port of client listeners.
fn beside(listen: &[Listen], control: SocketAddr) -> SocketAddr {
    let is_taken = |port: u16| listen.iter().filter_map(Listen::address).any(|one| one.port() == port);
    let port = (control.port()..=u16::MAX).find(|port| !is_taken(*port)).unwrap_or(control.port());
    SocketAddr::new(control.ip(), port)
}

/// The listeners for clients. `known` is the value of the flat key, if `is_whole`, or else the default.
fn listen(known: &[Listen], is_whole: bool, halves: &Nearest<'_>, is_open_to_all: bool) -> Vec<Listen> {
    let address = halves.address.map(|(address, _)| address);
    let first = known.iter().find_map(Listen::address);
    let otherwise = first.map_or(PORT, |one| one.port());
    let port = halves.port.map(|(port, _)| port);
    match address {
        // In Centrifugo, this means all addresses, those of IPv4 included.
        Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => everywhere(port.unwrap_or(otherwise)),
        Some(address) => vec![SocketAddr::new(address, port.unwrap_or(otherwise)).into()],
        None if !is_whole && is_open_to_all => everywhere(port.unwrap_or(otherwise)),
        None => {
            let with_port = |one: &Listen| match (one.address(), port) {
                (Some(address), Some(port)) => SocketAddr::new(address.ip(), port).into(),
                _ => one.clone(),
            };
            known.iter().map(with_port).collect()
        }
    }
}

/// The control listener; `None` where the parts name the client listener itself. `whole` is the value of the flat
/// key, if it is set.
fn control(
    listen: &[Listen],
    whole: Option<SocketAddr>,
    clients: &Nearest<'_>,
    internal: &Nearest<'_>,
    is_open_to_all: bool,
) -> Result<Option<SocketAddr>, String> {
    let of_clients = listen.iter().find_map(Listen::address);
    let all: IpAddr = match (is_open_to_all, net::has_ipv6()) {
        (true, true) => Ipv6Addr::UNSPECIFIED.into(),
        (true, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, _) => Ipv4Addr::LOCALHOST.into(),
    };
    let named = internal.address.map(|(address, _)| address);
    let otherwise = whole.map(|whole| whole.ip()).or(clients.address.map(|(address, _)| address));
    let address = named.or(otherwise).unwrap_or(all);
    let own = internal.port.map(|(port, _)| port).or(whole.map(|whole| whole.port()));
    let Some(port) = own.or(of_clients.map(|one| one.port())) else { return Ok(None) };
    let is_theirs = |one: SocketAddr| {
        one.port() == port
            && port != 0
            && (one.ip() == address || one.ip().is_unspecified() && address == all)
    };
    if listen.iter().filter_map(Listen::address).any(is_theirs) {
        return Ok(None);
    }
    let is_covered =
        |one: SocketAddr| one.port() == port && (one.ip().is_unspecified() || address.is_unspecified());
    if own.is_none() && listen.iter().filter_map(Listen::address).any(is_covered) {
        return Err("expected http_server.internal_port with it".to_owned());
    }
    Ok(Some(SocketAddr::new(address, port)))
}

/// All addresses of the machine: one socket for IPv4 and one for IPv6, since an IPv6 socket accepts no IPv4 here.
fn everywhere(port: u16) -> Vec<Listen> {
    let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let count = if net::has_ipv6() { 2 } else { 1 };
    all[..count].iter().map(|address| SocketAddr::new(*address, port).into()).collect()
}

/// Whether two listeners would get the same connections. Port 0 is a new port each time.
pub(super) fn overlap(a: &Listen, b: &Listen) -> bool {
    let (Listen::Tcp(a), Listen::Tcp(b)) = (a, b) else { return a == b };
    let [a_ip, b_ip] = [a, b].map(|address| address.ip().to_canonical());
    let same_family = a_ip.is_ipv4() == b_ip.is_ipv4();
    let same_ip = a_ip == b_ip || (same_family && (a_ip.is_unspecified() || b_ip.is_unspecified()));
    a.port() == b.port() && a.port() != 0 && same_ip
}
