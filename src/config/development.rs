//! Error texts for implicit development mode that other machines can reach.

use std::net::SocketAddr;

/// The error for development mode behind a proxy, with its remedies.
pub(super) const OPEN_BEHIND_PROXIES: &str = "through a proxy other machines come in, but clients and channels are not configured (development mode): everyone could do everything. Configure client or channel (client.token, client.proxy.connect: docs/CONFIGURATION.md), or set development = true (--development)";

/// The error for development mode at an address that other machines reach, with its remedies.
pub(super) fn open_beyond_loopback(address: SocketAddr) -> String {
    format!(
        "{address} can be reached from other machines, but clients and channels are not configured (development mode): everyone could do everything. Configure client or channel (client.token, client.proxy.connect: docs/CONFIGURATION.md), listen on loopback only, or set development = true (--development)"
    )
}
