//! What is wrong with development mode that nobody asked for, where others than this machine come in.

use std::net::SocketAddr;

/// What is wrong with development mode behind a proxy, and the ways out.
pub(super) const OPEN_BEHIND_PROXIES: &str = "through a proxy other machines come in, but clients and channels are not configured (development mode): everyone could do everything. Configure client or channel (client.token, client.proxy.connect: docs/CONFIGURATION.md), or set development = true (--development)";

/// What is wrong with development mode at an address that other machines reach, and the ways out.
pub(super) fn open_beyond_loopback(address: SocketAddr) -> String {
    format!(
        "{address} can be reached from other machines, but clients and channels are not configured (development mode): everyone could do everything. Configure client or channel (client.token, client.proxy.connect: docs/CONFIGURATION.md), listen on loopback only, or set development = true (--development)"
    )
}
