//! Flat keys about admission, the drain and memory.

use super::{GIB, HOUR_MS, Key, Slot, deadline, limit};

const SECOND_MS: u64 = 1000;

pub(super) const KEYS: &[Key] = &[
    limit(
        "accepts_per_turn_max",
        "Connections accepted in one turn of a shard; the rest waits for the next turn",
        |c| Slot::Count(&mut c.limits.accepts_per_turn_max, 1..=65_536),
    ),
    limit(
        "handshakes_per_turn_max",
        "Reads in one turn of a shard from connections that are not live yet (request, connect command; a TLS \
        handshake counts four times), newest first; the rest waits for the next turn",
        |c| Slot::Count(&mut c.limits.handshakes_per_turn_max, 1..=65_536),
    ),
    limit(
        "half_open_max",
        "Connections of the process whose request is incomplete; beyond it, new connections are refused (503). 0: \
        no limit",
        |c| Slot::Count(&mut c.limits.half_open_max, 0..=100_000_000),
    ),
    limit(
        "accepts_per_second_max",
        "Connections accepted per second in the process; beyond it, 503. 0: no limit",
        |c| Slot::Rate(&mut c.limits.accepts_per_second_max),
    ),
    limit(
        "accepts_per_ip_max",
        "Connections accepted per second and shard from one address; beyond it, 503. 0: no limit",
        |c| Slot::Rate(&mut c.limits.accepts_per_ip_max),
    ),
    limit(
        "accepts_per_network_max",
        "Connections accepted per second and shard from one network (/24 of IPv4, /64 of IPv6); beyond it, 503. \
        0: no limit",
        |c| Slot::Rate(&mut c.limits.accepts_per_network_max),
    ),
    limit(
        "tls_handshakes_per_second_max",
        "TLS handshakes started per second in the process; beyond it, connections are closed before the key \
        exchange. 0: no limit",
        |c| Slot::Rate(&mut c.limits.tls_handshakes_per_second_max),
    ),
    limit(
        "memory_max",
        "Bytes of the process's anonymous memory (heap and stacks, RssAnon in /proc/PID/status). Near the limit, \
        new connections (503), subscriptions and channels (error 111) are refused; then connections with queued \
        bytes are disconnected (3008), then the newest connections (3011). 0: no limit",
        |c| Slot::Bytes(&mut c.limits.memory_max, 0..=1024 * GIB),
    ),
    deadline(
        "retry_after_ms",
        "Longest retry delay for clients that are refused for lack of capacity or sent away; each client is told \
        a delay of its own",
        |c| Slot::Milliseconds(&mut c.timeouts.retry_after_ms, SECOND_MS..=HOUR_MS),
    ),
    deadline(
        "drain_delay_ms",
        "Time from the signal, when /ready starts to answer 503, until a drain stops listening and closes \
        connections",
        |c| Slot::Milliseconds(&mut c.timeouts.drain_delay_ms, 0..=HOUR_MS),
    ),
];
