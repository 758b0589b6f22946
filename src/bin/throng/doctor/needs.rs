//! The needs of N connections: arithmetic only.
//!
//! Every number of a profile or a check is computed here, so that they cannot disagree. Nothing depends on the
//! machine. Sizes per connection are measured (see the constants); a need that is a choice has its reason beside
//! it.

use super::Args;
use throng::parts::config::Config;
use throng::parts::net::Listen;

/// The default ports.
const DATA_PORT: u16 = 8000;
const CONTROL_PORT: u16 = 9000;

/// Process memory of one idle subscribed connection, bytes; the engine's own target is 300.
pub(super) const OWN_BYTES_PER_CONNECTION: u64 = 300;

/// Kernel slab of one idle TCP socket with its file and epoll item, bytes. Measured on Linux 6.18: 4.0 to 4.95 KB.
pub(super) const KERNEL_BYTES_PER_SOCKET: u64 = 5_000;

/// Memory without connections: binary, stacks, input buffers, histograms, bytes.
pub(super) const BASE_BYTES: u64 = 32 << 20;

/// Blocks from this size on are mapped one by one (see `net::sys::tune_allocator`), bytes.
const MAPPED_BLOCK_BYTES: u64 = 128 << 10;

/// Descriptors other than connections: standard streams, logs, the control listener and its clients.
const DESCRIPTORS_OF_PROCESS: u64 = 64;

/// Poller, waker and listeners of one shard. Every table starts with a copy of earlier ones.
const DESCRIPTORS_OF_SHARD: u64 = 8;

/// Maximum number of shards.
pub(super) const SHARDS_MAX: u64 = 1024;

/// The kernel's default of `fs.nr_open`: the highest limit that every machine allows without a setting.
const NR_OPEN_DEFAULT: u64 = 1 << 20;

/// The range of ephemeral ports in a profile. Nearly all services use ports below 10,240.
pub(super) const PORT_RANGE: (u16, u16) = (10_240, 65_535);

/// The target load of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) connections: u64,
    pub(super) shards: u64,
    pub(super) private_descriptors: bool,
    /// Ports of the data listeners, ascending, each once.
    pub(super) data_ports: Vec<u16>,
    pub(super) control_port: u16,
    /// Maximum of bytes in throng's own queues.
    pub(super) queued_bytes_max: u64,
}

impl Plan {
    /// Takes missing values from a running service with `running` shards, and from the configuration. If that has
    /// no TCP port, or lets the kernel choose, the default port is used.
    pub(super) fn new(args: &Args, config: &Config, running: Option<u64>) -> Self {
        let mut data_ports = args.data_port.clone();
        if data_ports.is_empty() {
            let addresses = config.listen.iter().filter_map(Listen::address);
            data_ports.extend(addresses.map(|address| address.port()).filter(|&port| port > 0));
        }
        if data_ports.is_empty() {
            data_ports.push(DATA_PORT);
        }
        data_ports.sort_unstable();
        data_ports.dedup();
        let configured = config.control.map(|address| address.port()).filter(|&port| port > 0);
        let shards = args.shards.or(running);
        Self {
            connections: args.connections,
            shards: shards.unwrap_or_else(|| u64::try_from(config.shards).unwrap_or(1)),
            private_descriptors: args.private_descriptors.unwrap_or(config.private_descriptors),
            data_ports,
            control_port: args.control_port.or(configured).unwrap_or(CONTROL_PORT),
            queued_bytes_max: u64::try_from(config.limits.queued_bytes_max).unwrap_or(u64::MAX),
        }
    }

    /// All listening ports, ascending, each once.
    pub(super) fn ports(&self) -> Vec<u16> {
        let mut ports = self.data_ports.clone();
        ports.push(self.control_port);
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Process and kernel memory of N connections with full queues, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        BASE_BYTES + self.own_bytes() + self.kernel_bytes() + self.queued_bytes_max
    }

    pub(super) fn own_bytes(&self) -> u64 {
        self.connections * OWN_BYTES_PER_CONNECTION
    }

    pub(super) fn kernel_bytes(&self) -> u64 {
        self.connections * KERNEL_BYTES_PER_SOCKET
    }

    /// Mappings: one per large block in a queue, and some for libraries, stacks and arenas.
    pub(super) fn map_count(&self) -> u64 {
        self.queued_bytes_max / MAPPED_BLOCK_BYTES + 4 * self.shards + 512
    }
}

/// Descriptors other than connections in one table.
pub(super) fn descriptors_reserved(shards: u64) -> u64 {
    DESCRIPTORS_OF_PROCESS + DESCRIPTORS_OF_SHARD * shards
}

/// Descriptors of the fullest table if `shards` tables share the connections.
///
/// `SO_REUSEPORT` selects a listener by a hash of the addresses, so a shard's share has a binomial distribution:
/// this adds five standard deviations to the mean.
pub(super) fn descriptors_per_private_table(connections: u64, shards: u64) -> u64 {
    let mean = connections.div_ceil(shards);
    let spread = if shards > 1 { 5 * (mean.isqrt() + 1) } else { 0 };
    connections.min(mean + spread) + descriptors_reserved(shards)
}

/// Descriptors of one table for all shards.
pub(super) fn descriptors_of_process(connections: u64, shards: u64) -> u64 {
    connections + descriptors_reserved(shards)
}

/// Minimum number of shards whose private tables hold the connections under `limit`; `None` if 1024 do not.
pub(super) fn shards_needed(connections: u64, limit: u64) -> Option<u64> {
    (1..=SHARDS_MAX).find(|&shards| descriptors_per_private_table(connections, shards) <= limit)
}

/// Maximum of connections in `shards` private tables under `limit`.
pub(super) fn capacity(limit: u64, shards: u64) -> u64 {
    let fits = |connections| descriptors_per_private_table(connections, shards) <= limit;
    let (mut held, mut beyond) = (0, limit.saturating_mul(shards).min(1 << 40) + 1);
    while held + 1 < beyond {
        let middle = held + (beyond - held) / 2;
        if fits(middle) { held = middle } else { beyond = middle }
    }
    held
}

/// `RLIMIT_NOFILE` of a profile: enough for all connections in one table, so that it suffices if private tables
/// are refused, and never below the limit that every kernel allows.
pub(super) fn nofile(connections: u64) -> u64 {
    descriptors_of_process(connections, SHARDS_MAX).next_multiple_of(65_536).max(NR_OPEN_DEFAULT)
}

/// `fs.file-max` of a profile: both ends of each connection, if the load runs on the same machine, and other
/// programs.
pub(super) fn file_max(connections: u64) -> u64 {
    2 * connections + 65_536
}

/// `net.core.somaxconn`: one in 16 clients may wait for accept when all reconnect at once. A shard accepts some
/// 25,000 a second, and the kernel of a refused client retries after 1, then 3 seconds. The kernel keeps 16 bits
/// of some of these counts, and its default since 5.4 is the floor.
pub(super) fn accept_queue(connections: u64) -> u64 {
    (connections / 16).next_power_of_two().clamp(4_096, 65_535)
}

/// `net.core.netdev_max_backlog`, packets per CPU on their way through loopback, veth or RPS.
pub(super) fn packet_queue(connections: u64) -> u64 {
    (connections / 64).next_power_of_two().clamp(4_096, 16_384)
}

/// `net.ipv4.tcp_mem`, pages. One queued message takes a whole page, so a publication to all clients takes one
/// page each: pressure begins at that amount, and data is refused at twice that.
pub(super) fn tcp_mem(connections: u64) -> [u64; 3] {
    let pressure = connections.max(16_384);
    [pressure / 4 * 3, pressure, 2 * pressure]
}

/// `nf_conntrack_max`: a closed connection stays in the table for two minutes, so a quarter more than N.
pub(super) fn conntrack(connections: u64) -> u64 {
    (connections + connections / 4).next_multiple_of(65_536).max(262_144)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_thousand_fit_three_tables_of_twenty_thousand() {
        assert_eq!(shards_needed(50_000, 20_000), Some(3));
        assert_eq!(descriptors_per_private_table(50_000, 3), 16_667 + 5 * 130 + 64 + 24);
        assert_eq!(shards_needed(50_000, 1_048_576), Some(1));
    }

    #[test]
    fn capacity_is_the_edge_of_what_fits() {
        for (limit, shards) in [(1_024, 1), (20_000, 2), (20_000, 3), (4_096, 64), (1_048_576, 8)] {
            let held = capacity(limit, shards);
            assert!(descriptors_per_private_table(held, shards) <= limit, "{limit} {shards}");
            assert!(descriptors_per_private_table(held + 1, shards) > limit, "{limit} {shards}");
        }
        assert_eq!(capacity(10, 4), 0);
        assert_eq!(shards_needed(100_000_000, 100), None);
    }

    #[test]
    fn a_profile_of_up_to_a_million_needs_no_larger_nr_open() {
        assert_eq!(nofile(50_000), 1 << 20);
        assert_eq!(nofile(1_000_000), 1 << 20);
        assert!(nofile(1_100_000) >= 1_100_000 + descriptors_reserved(SHARDS_MAX));
    }

    #[test]
    fn needs_grow_with_the_connections() {
        let sizes = [1, 1_000, 50_000, 250_000, 1_000_000, 100_000_000];
        for need in [nofile, file_max, accept_queue, packet_queue, conntrack] {
            assert!(sizes.windows(2).all(|pair| need(pair[0]) <= need(pair[1])));
        }
        for n in sizes {
            let [low, pressure, max] = tcp_mem(n);
            assert!(low < pressure && pressure < max && pressure >= n);
            assert!(conntrack(n) > n && file_max(n) > n && nofile(n) > n);
        }
        assert_eq!(accept_queue(1_000_000), 65_535);
    }
}
