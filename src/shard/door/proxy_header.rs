//! Headers of the PROXY protocol: the client's address from a trusted proxy, and unexpected headers.

use std::ops::Range;

use super::Door;
use crate::base::slots::Key;
use crate::proto::proxy;
use crate::proto::proxy::Header;
use crate::session::CloseReason;
use crate::shard::World;

/// Minimum time between two log lines about unexpected PROXY headers.
const STRAY_HEADERS_TOLD_MS: u64 = 10 * 60 * 1000;

impl<W: World> Door<W> {
    /// Takes the expected PROXY header from the start of `count` bytes of the input, and moves the rest there.
    /// Returns the size of the rest; `None` when the header is incomplete or invalid.
    pub(in crate::shard) fn take_proxy_header(&mut self, key: Key, count: usize) -> Option<usize> {
        let carry = &mut self.clients.channels.carry;
        let layers = carry.conns.entry_mut(key)?.layers.as_mut()?;
        if !layers.awaits_header() {
            return Some(count);
        }
        let Ok(header) = Header::parse(&carry.input[..count]) else {
            self.clients.channels.close(key, CloseReason::NoProxyHeader);
            return None;
        };
        let Some(Header { length, client }) = header else {
            layers.hold(&carry.input[..count]);
            carry.count_held(key);
            return None;
        };
        carry.counters.proxy_headers.add(1);
        // Another proxy may be in front of this one.
        let is_trusted = client.is_none_or(|client| carry.settings.trusted_proxies.contains(client));
        layers.note_header(client, is_trusted);
        if let Some(client) = client.filter(|_| !is_trusted)
            && !self.admits_address(client)
        {
            self.clients.channels.close(key, CloseReason::Crowded);
            return None;
        }
        let carry = &mut self.clients.channels.carry;
        carry.input.copy_within(length..count, 0);
        carry.count_held(key);
        Some(count - length).filter(|rest| *rest > 0)
    }

    /// Checks a connection that was refused because of its first `bytes`: if they are an unexpected PROXY header, the
    /// log names the key to set. At most one line in ten minutes: load balancers retry often, and so may unknown
    /// clients.
    pub(in crate::shard) fn note_stray_header(&mut self, key: Key, bytes: Range<usize>) {
        let carry = &mut self.clients.channels.carry;
        if !proxy::looks_like_header(&carry.input[bytes]) {
            return;
        }
        let is_first = self.admission.sum(|counters| &counters.proxy_headers_unexpected) == 0;
        carry.counters.proxy_headers_unexpected.add(1);
        let now_ms = carry.now_ms();
        // The shard that logged first continues to log.
        let is_due = |before_ms: u64| now_ms.saturating_sub(before_ms) >= STRAY_HEADERS_TOLD_MS;
        if !is_first && !self.stray_header_told_ms.is_some_and(is_due) {
            return;
        }
        self.stray_header_told_ms = Some(now_ms);
        let peer = carry.peer(key).map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
        if self.takes_proxy_headers {
            tracing::warn!(%peer, "connection with a PROXY header refused: its sender is not in trusted_proxies, or it sent a \
             second header");
        } else {
            tracing::warn!(%peer, "connection with a PROXY header refused: proxy_protocol is off");
        }
    }
}
