//! Headers of the PROXY protocol: whom a trusted proxy speaks for, and headers that nobody awaited.

use std::ops::Range;

use super::Door;
use crate::base::slots::Key;
use crate::proto::proxy;
use crate::proto::proxy::Header;
use crate::session::CloseReason;
use crate::shard::World;

/// How long nothing is said of PROXY headers that nobody awaited, after a line about one.
const STRAY_HEADERS_TOLD_MS: u64 = 10 * 60 * 1000;

impl<W: World> Door<W> {
    /// Takes the header of the PROXY protocol that is awaited from the start of `count` bytes of the input; what is behind
    /// it moves there. Returns how much that is; `None` when the header is not whole or is none.
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
        // Before this proxy there may be another.
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

    /// A connection from which no PROXY header was awaited began with `bytes`, and was refused for them: if they are such a
    /// header, the log says what would have to be set. One line in ten minutes: balancers try again and again, and so may
    /// strangers.
    pub(in crate::shard) fn note_stray_header(&mut self, key: Key, bytes: Range<usize>) {
        let carry = &mut self.clients.channels.carry;
        if !proxy::looks_like_header(&carry.input[bytes]) {
            return;
        }
        let is_first = self.admission.sum(|counters| &counters.proxy_headers_unexpected) == 0;
        carry.counters.proxy_headers_unexpected.add(1);
        let now_ms = carry.now_ms();
        // Of all shards, the one that was the first goes on to tell.
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
