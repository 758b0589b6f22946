//! The division of a run's connections among threads, descriptor tables and source addresses.
//!
//! Invariants: no thread holds more descriptors than its table allows, and no pair of source address and
//! destination gets more than [`PORTS_PER_SOURCE`] connections. Left out: opening them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Descriptors of a table that connections cannot use: standard streams, poller, libraries, /proc files.
const SPARE_DESCRIPTORS: u64 = 64;

/// Connections per source address. `connect(2)` looks for a free port among those of one parity first, about
/// 14,000 with the usual range, and searches linearly: below that number it finds one quickly, and a second
/// generator on the same box still finds room.
const PORTS_PER_SOURCE: usize = 12_000;

/// First source address towards a loopback server, away from 127.0.0.1, which everything else uses.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// Number of source addresses between two attempts of all connections: enough for 3 million.
const ATTEMPT_STRIDE: usize = 256;

/// Source addresses in rotation for short connections: their ports linger after the close (TIME_WAIT).
const CHURN_SOURCES: usize = 64;

/// One thread's part: connections `first..first + count` of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// Divides `connections` among at least `threads` threads, more if the descriptor limit requires it.
///
/// # Errors
/// A sentence, if the limit leaves no descriptor at all.
pub(crate) fn shares(
    connections: usize,
    threads: usize,
    descriptor_limit: u64,
) -> Result<Vec<Share>, String> {
    let room = descriptor_limit.saturating_sub(SPARE_DESCRIPTORS);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room == 0 {
        return Err(format!("a limit of {descriptor_limit} descriptors leaves none for connections"));
    }
    let count = threads.max(connections.div_ceil(room)).min(connections.max(1));
    let (each, more) = (connections / count, connections % count);
    let share = |i: usize| Share { first: i * each + i.min(more), count: each + usize::from(i < more) };
    Ok((0..count).map(share).collect())
}

/// The source address of connection `n` of a run that holds its connections; `None` lets the kernel choose.
pub(crate) fn source_of_held(n: usize, target: SocketAddr) -> Option<Ipv4Addr> {
    source(n / PORTS_PER_SOURCE, target)
}

/// The source address of a retry after `attempts`: another one, because the old port may linger.
pub(crate) fn source_of_attempt(n: usize, attempts: u16, target: SocketAddr) -> Option<Ipv4Addr> {
    source(n / PORTS_PER_SOURCE + usize::from(attempts) * ATTEMPT_STRIDE, target)
}

/// The first number for new connections after `count` held ones, so that no lingering address and port is reused.
pub(crate) fn after_held(count: usize) -> usize {
    count.next_multiple_of(PORTS_PER_SOURCE)
}

/// The source address of connection `n` of a run that opens and closes.
pub(crate) fn source_of_churn(n: usize, target: SocketAddr) -> Option<Ipv4Addr> {
    source(n % CHURN_SOURCES, target)
}

fn source(index: usize, target: SocketAddr) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = target.ip() else { return None };
    if !address.is_loopback() {
        return None;
    }
    let index = u32::try_from(index).ok()?;
    FIRST_SOURCE.to_bits().checked_add(index).map(Ipv4Addr::from_bits).filter(Ipv4Addr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn shares_cover_every_connection_once_and_fit_their_tables() {
        for (connections, threads, limit, expected) in [
            (1, 4, 20_000, 1),
            (10, 3, 20_000, 3),
            (50_000, 1, 20_000, 3),
            (1_000_000, 2, 20_000, 51),
            (65, 1, 65, 65),
        ] {
            let shares = shares(connections, threads, limit).unwrap();
            assert_eq!(shares.len(), expected);
            let mut next = 0;
            for share in shares {
                assert_eq!(share.first, next);
                assert!(share.count > 0 && share.count as u64 + SPARE_DESCRIPTORS <= limit);
                next += share.count;
            }
            assert_eq!(next, connections);
        }
        assert!(shares(1, 1, SPARE_DESCRIPTORS).is_err());
    }

    #[test]
    fn no_source_address_runs_out_of_ports() {
        let target = "127.0.0.1:8000".parse().unwrap();
        let mut used = BTreeMap::new();
        for n in 0..1_000_000 {
            *used.entry(source_of_held(n, target).unwrap()).or_insert(0) += 1;
        }
        assert!(used.values().all(|&count| count <= PORTS_PER_SOURCE));
        assert!(used.keys().all(|a| a.is_loopback() && *a != Ipv4Addr::LOCALHOST));
        assert_eq!(source_of_churn(5, target), source_of_churn(5 + CHURN_SOURCES, target));
        for elsewhere in ["192.0.2.1:80", "[::1]:80"] {
            assert_eq!(source_of_held(0, elsewhere.parse().unwrap()), None);
        }
    }
}
