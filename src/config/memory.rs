//! The number of connections that the limits allow, and the maximum process memory that they imply: memory allocated
//! by the process, without the kernel's memory for its sockets. Calculation on a [`Config`] only; nothing is
//! measured.
//!
//! The engine enforces every limit as an upper bound, so their sum is an upper bound too; a server in ordinary use
//! stays far below it.

use super::Config;
use crate::base::figures::grouped;
use crate::shard::mailbox::Letter;
use crate::shard::{INPUT_BYTES, ledger};

/// Process memory of an idle connection with a subscription to one channel.
pub const IDLE_CONNECTION_BYTES: usize = 256;
/// Process memory of each further subscription: its entries at the connection and at the channel.
pub const SUBSCRIPTION_BYTES: usize = ledger::SUBSCRIPTION_BYTES;
/// Process memory of a channel, at its home and at one shard with subscribers, without its name.
pub const CHANNEL_BYTES: usize = ledger::CHANNEL_BYTES;
/// Process memory of one letter in a mailbox; its content counts as queued bytes.
pub const LETTER_BYTES: usize = size_of::<Letter>();
/// Kernel memory of one idle socket with its file and its place in the poller: 4.0 to 4.95 KB on Linux 6.18. Not part
/// of the sum.
pub const KERNEL_SOCKET_BYTES: usize = 5000;
/// Memory of a shard's compressor, which inflates and compresses in both forms, as allocated by zlib-rs 0.6, with the
/// buffers that it keeps.
pub const PRESS_BYTES: usize = 1536 << 10;
/// Descriptors of the process that are not client connections: standard streams, the control listener and its
/// connections.
const DESCRIPTORS_OF_PROCESS: u64 = 64;
/// Poller, waker, listeners, and the two ends of the way for sockets of one shard. Every table starts with a copy of those
/// made before it.
const DESCRIPTORS_OF_SHARD: u64 = 8;

/// Descriptors of one table that are reserved, not used for connections.
pub fn descriptors_reserved(shards: usize) -> u64 {
    DESCRIPTORS_OF_PROCESS + DESCRIPTORS_OF_SHARD * shards as u64
}

/// The number of connections that the limits allow.
///
/// `descriptors` is the descriptor limit (`RLIMIT_NOFILE`), which applies to each shard when descriptor tables are
/// private, otherwise to the process.
pub fn capacity(config: &Config, descriptors: u64) -> u64 {
    let tables = if config.private_descriptors { config.shards as u64 } else { 1 };
    let by_descriptors =
        tables.saturating_mul(descriptors.saturating_sub(descriptors_reserved(config.shards)));
    match config.limits.connections_max as u64 {
        0 => by_descriptors,
        max => max.min(by_descriptors),
    }
}

/// The number of connections of one shard: its share of the descriptors, not of `connections_max`, since the kernel
/// does not spread connections evenly.
pub fn shard_capacity(config: &Config, descriptors: u64) -> u64 {
    let free = descriptors.saturating_sub(descriptors_reserved(config.shards));
    if config.private_descriptors { free } else { free / config.shards as u64 }
}

/// One line of the calculation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The use of the memory.
    pub what: &'static str,
    /// The formula of the number.
    pub how: String,
    /// Maximum size in bytes.
    pub bytes: u64,
}

/// The maximum process memory that the limits imply for `connections` connections, itemised.
pub fn worst_case(config: &Config, connections: u64) -> Vec<Item> {
    let limits = &config.limits;
    let shards = config.shards as u64;
    let per_connection = limits.channels_per_connection_max as u64;
    let channels = (limits.channels_per_shard_max as u64)
        .saturating_mul(shards)
        .min(connections.saturating_mul(per_connection));
    let n = grouped;
    let mut items = vec![
        item(
            "idle connections",
            &[connections, IDLE_CONNECTION_BYTES as u64],
            &format!("{} × {IDLE_CONNECTION_BYTES} B, one subscription included", n(connections)),
        ),
        item(
            "further subscriptions",
            &[connections, per_connection - 1, SUBSCRIPTION_BYTES as u64],
            &format!("{} × {} × {SUBSCRIPTION_BYTES} B", n(connections), n(per_connection - 1)),
        ),
        item(
            "channels",
            &[channels, CHANNEL_BYTES as u64 + limits.channel_name_bytes_max as u64],
            &format!("{} × ({CHANNEL_BYTES} B + a name of {} B)", n(channels), limits.channel_name_bytes_max),
        ),
        item(
            "unfinished request heads",
            &[connections, limits.head_bytes_max as u64],
            &format!("{} × head_bytes_max", n(connections)),
        ),
        item("queued and partly received messages", &[limits.queued_bytes_max as u64], "queued_bytes_max"),
        item("histories", &[limits.history_bytes_max as u64], "history_bytes_max"),
        item(
            "input buffers",
            &[shards, INPUT_BYTES as u64],
            &format!("{} shards × {} B", n(shards), n(INPUT_BYTES as u64)),
        ),
        item(
            "mailboxes",
            &[shards, limits.mailbox_letters_max as u64, LETTER_BYTES as u64],
            &format!("{} shards × {} × {LETTER_BYTES} B", n(shards), n(limits.mailbox_letters_max as u64)),
        ),
    ];
    if config.compression {
        let each = PRESS_BYTES + limits.message_bytes_max;
        let how = format!("{} shards × ({PRESS_BYTES} B + message_bytes_max)", n(shards));
        items.push(item("compression", &[shards, each as u64], &how));
    }
    items
}

fn item(what: &'static str, factors: &[u64], how: &str) -> Item {
    let bytes = factors.iter().fold(1, |product: u64, factor| product.saturating_mul(*factor));
    Item { what, how: how.to_owned(), bytes }
}

/// The sum of all items, in bytes.
pub fn total(items: &[Item]) -> u64 {
    items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(shards: usize) -> Config {
        Config { shards, ..Config::default() }
    }

    #[test]
    fn capacity_counts_tables_and_keeps_some_back() {
        assert_eq!(capacity(&config(2), 20_000), 39_840);
        assert_eq!(capacity(&Config { private_descriptors: false, ..config(2) }, 20_000), 19_920);
        assert_eq!(capacity(&config(2), 50), 0);
        let mut bounded = config(2);
        bounded.limits.connections_max = 1000;
        assert_eq!(capacity(&bounded, 20_000), 1000);
        bounded.limits.connections_max = 50_000;
        assert_eq!(capacity(&bounded, 20_000), 39_840);
    }

    #[test]
    fn items_grow_with_their_limits_and_never_overflow() {
        let small = worst_case(&Config { compression: true, ..config(1) }, 10);
        let mut config = Config { compression: true, ..config(2) };
        config.limits.queued_bytes_max *= 2;
        config.limits.history_bytes_max *= 2;
        let large = worst_case(&config, 1000);
        for (a, b) in small.iter().zip(&large) {
            assert!(a.bytes < b.bytes, "{a:?} {b:?}");
        }
        assert_eq!(total(&worst_case(&config, u64::MAX)), u64::MAX);
        assert_eq!(small[0].bytes, 2560);
        assert_eq!(
            small[2].bytes,
            10 * 128 * (CHANNEL_BYTES as u64 + 255),
            "channels exist only while someone is subscribed"
        );
    }
}
