//! Memory use: the bytes that shards count, the process memory that the kernel reports, and the kernel's memory for
//! sockets. Also the watch that converts `memory_max` to a limit that shards can compare with their counts.
//!
//! Resident memory does not fall when memory is freed: the allocator keeps it for later use. Measures that depend on
//! resident memory would never end. So shards compare counted bytes, and resident memory gives the cost of a counted
//! byte: it is measured when more bytes are counted than ever since memory was last returned, since then the
//! allocator keeps none; at other times a measured cost can only lower it. The limit for counted bytes is
//! `memory_max`, less the process's memory before the first client, divided by that cost.
//!
//! When much memory has been freed and use is stable, the allocator is told to return it to the kernel. This is done
//! seldom, since it blocks threads that allocate.
//!
//! Kernel memory is not part of `memory_max`, and some of it is not available per process; it is reported all the
//! same.

use super::process;
use crate::net::sys;
use crate::shard::ledger::{Kind, Ledger};
use serde_json::{Map, Value, json};
use std::fs;
use std::time::Duration;

/// Interval at which resident memory is compared with counted bytes.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Counted bytes below which their cost is not measured.
const TELLING_BYTES: u64 = 8 << 20;
/// Maximum cost of a counted byte, in thousandths of a byte; the minimum is one byte. Shards count allocator blocks,
/// so a higher value has another cause.
const COST_MAX_THOUSANDTHS: u64 = 2 * THOUSAND;
/// Freed bytes that are worth returning, and the minimum number of looks between two returns.
const SPARE_BYTES_MIN: u64 = 12 << 20;
const LOOKS_BETWEEN_TRIMS: u32 = 10;
const THOUSAND: u64 = 1000;
const PAGE_BYTES: u64 = 4096;
/// Slab caches of the kernel with one or more objects per connection.
const SOCKET_CACHES: [&str; 8] =
    ["TCP", "TCPv6", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq", "tw_sock_TCP", "dentry"];

/// The inputs of the watch.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// The counts of shards, and their limit.
    pub ledger: Ledger,
    /// Maximum size of the process's own memory, in bytes; 0 for no limit.
    pub memory_max: u64,
}

/// The measured relation of resident memory and counted bytes.
#[derive(Debug)]
struct Calibration {
    memory_max: u64,
    /// Process memory before the first client, in bytes; `None` until the first look.
    base: Option<u64>,
    /// The highest number of counted bytes since memory was last returned.
    known_most: u64,
    cost_thousandths: u64,
}

impl Calibration {
    fn new(memory_max: u64) -> Self {
        Self { memory_max, base: None, known_most: TELLING_BYTES, cost_thousandths: THOUSAND }
    }

    fn base(&mut self, known: u64, anonymous: u64) -> u64 {
        *self.base.get_or_insert(anonymous.saturating_sub(known))
    }

    /// The limit of counted bytes for `memory_max`, from the current counts and process memory.
    fn look(&mut self, known: u64, anonymous: u64) -> u64 {
        let base = self.base(known, anonymous);
        if known >= TELLING_BYTES {
            let cost = anonymous.saturating_sub(base).saturating_mul(THOUSAND) / known;
            let cost = cost.clamp(THOUSAND, COST_MAX_THOUSANDTHS);
            let is_highest = known > self.known_most;
            self.known_most = self.known_most.max(known);
            // Below the highest count the allocator may keep memory: then the measured cost is an upper limit.
            self.cost_thousandths = if is_highest { cost } else { cost.min(self.cost_thousandths) };
        }
        self.memory_max.saturating_sub(base).saturating_mul(THOUSAND) / self.cost_thousandths
    }

    /// The allocator has returned its memory: the cost is measured anew.
    fn begin_anew(&mut self, known: u64) {
        self.known_most = known.max(TELLING_BYTES);
        if known < TELLING_BYTES {
            self.cost_thousandths = THOUSAND;
        }
    }
}

/// Decides when freed memory is returned.
#[derive(Debug, Default)]
struct Thrift {
    known_before: u64,
    /// Bytes that could not be returned the last time, because they lie between used ones.
    stuck: u64,
    looks_left: u32,
}

impl Thrift {
    /// Whether the allocator should return memory: it keeps much, and use is stable.
    fn wants_trim(&mut self, known: u64, spare: u64) -> bool {
        let is_quiet = known.abs_diff(self.known_before) <= known / 16 + (1 << 20);
        self.known_before = known;
        self.looks_left = self.looks_left.saturating_sub(1);
        self.stuck = self.stuck.min(spare);
        is_quiet && self.looks_left == 0 && spare - self.stuck >= SPARE_BYTES_MIN.max(known / 4)
    }

    fn trimmed(&mut self, spare: u64) {
        (self.stuck, self.looks_left) = (spare, LOOKS_BETWEEN_TRIMS);
    }
}

/// Updates the limit, if there is one, and has freed memory returned, until the runtime ends.
pub(super) async fn watch(memory: Memory) {
    let mut calibration = Calibration::new(memory.memory_max);
    let mut thrift = Thrift::default();
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    loop {
        ticks.tick().await;
        let known = memory.distinct_bytes();
        // Without /proc, only the counted bytes are known.
        let anonymous = || process::resident_and_anonymous_bytes().map_or(known, |(_, anonymous)| anonymous);
        let mut resident = anonymous();
        let base = calibration.base(known, resident);
        let vacant = memory.ledger.vacant_bytes();
        let spare = |resident: u64| resident.saturating_sub(base + known + vacant);
        if thrift.wants_trim(known, spare(resident)) && sys::trim_allocator() {
            let before = resident;
            resident = anonymous();
            thrift.trimmed(spare(resident));
            calibration.begin_anew(known);
            tracing::debug!(before, now = resident, known, "freed memory was given back");
        }
        if memory.memory_max > 0 {
            memory.ledger.allow(calibration.look(known, resident));
        }
    }
}

impl Memory {
    /// The bytes that shards count, without lent ones, which are counted twice.
    fn distinct_bytes(&self) -> u64 {
        self.ledger.known_bytes().saturating_sub(self.ledger.lent_bytes())
    }

    /// Resident memory by use: bytes that answers borrow from a history count for the history only. The sum is the
    /// process's resident memory, if that is known.
    pub(super) fn resident_kinds(&self) -> Vec<Kind> {
        let mut kinds = self.ledger.kinds().to_vec();
        let lent_bytes = self.ledger.lent_bytes();
        for queued in kinds.iter_mut().filter(|kind| kind.name == "queued") {
            queued.bytes = queued.bytes.saturating_sub(lent_bytes);
        }
        kinds.push(Kind { name: "vacant", bytes: self.ledger.vacant_bytes() });
        if let Some((resident, anonymous)) = process::resident_and_anonymous_bytes() {
            let known = sum(&kinds);
            kinds.push(Kind { name: "rest", bytes: anonymous.saturating_sub(known) });
            kinds.push(Kind { name: "program", bytes: resident.saturating_sub(anonymous) });
        }
        kinds
    }

    /// Kernel memory of the whole machine or network namespace, by use.
    pub(super) fn kernel_kinds() -> Vec<Kind> {
        let tcp = fs::read_to_string("/proc/net/sockstat").ok().and_then(|text| tcp_bytes(&text));
        let slab = slab_bytes();
        let named = [("kernel_tcp", tcp), ("kernel_slab", slab.map(|(bytes, _)| bytes))];
        named.into_iter().filter_map(|(name, bytes)| Some(Kind { name, bytes: bytes? })).collect()
    }

    /// The answer to `/debug/memory`.
    pub(super) fn debug(&self, connections: u64) -> Value {
        let kinds = self.resident_kinds();
        let known = self.ledger.known_bytes();
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let slab = slab_bytes();
        let allowed = Some(self.ledger.allowed_bytes()).filter(|&bytes| bytes < u64::MAX);
        json!({
            "resident_bytes": sum(&kinds),
            "known_bytes": known,
            "kinds": named(&kinds),
            "connections": connections,
            "known_bytes_per_connection": known.checked_div(connections),
            "memory_max": self.memory_max,
            "allowed_known_bytes": allowed,
            "kernel": {
                "tcp_bytes": tcp_bytes(&sockstat),
                "tcp_sockets": tcp_field(&sockstat, "inuse"),
                "slab_bytes": slab.map(|(bytes, _)| bytes),
                "slab_source": slab.map(|(_, source)| source),
            },
        })
    }
}

fn sum(kinds: &[Kind]) -> u64 {
    kinds.iter().fold(0, |sum, kind| sum.saturating_add(kind.bytes))
}

fn named(kinds: &[Kind]) -> Map<String, Value> {
    kinds.iter().map(|kind| (kind.name.to_owned(), kind.bytes.into())).collect()
}

/// A field of the TCP line in `/proc/net/sockstat`: `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1`.
fn tcp_field(sockstat: &str, field: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == field)?;
    words.next()?.parse().ok()
}

/// Bytes buffered in sockets; the kernel counts pages.
fn tcp_bytes(sockstat: &str) -> Option<u64> {
    Some(tcp_field(sockstat, "mem")? * PAGE_BYTES)
}

/// Bytes of the slab with their description: of the caches for sockets if they can be read, otherwise of the whole
/// slab.
fn slab_bytes() -> Option<(u64, &'static str)> {
    let caches = fs::read_to_string("/proc/slabinfo").ok().and_then(|text| socket_slab_bytes(&text));
    let all = || slab_bytes_of(&fs::read_to_string("/proc/meminfo").ok()?);
    caches.map(|bytes| (bytes, "slabinfo")).or_else(|| Some((all()?, "meminfo")))
}

/// Sums caches from slabinfo(5): name, active objects, objects, bytes per object.
fn socket_slab_bytes(slabinfo: &str) -> Option<u64> {
    let mut total = None;
    for line in slabinfo.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
        let [name, _, objects, size] = fields[..] else { continue };
        let (Ok(objects), Ok(size)) = (objects.parse::<u64>(), size.parse::<u64>()) else { continue };
        if SOCKET_CACHES.contains(&name) {
            total = Some(total.unwrap_or(0) + objects * size);
        }
    }
    total
}

fn slab_bytes_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::shard::counters::Counters;
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_allowed_is_what_is_left_at_what_it_costs() {
        let mut calibration = Calibration::new(100 * MIB);
        assert_eq!(calibration.look(0, 20 * MIB), 80 * MIB, "before the first client");
        assert_eq!(calibration.look(MIB, 24 * MIB), 80 * MIB, "a little of it tells nothing");
        assert_eq!(calibration.look(40 * MIB, 80 * MIB), 80 * MIB * 1000 / 1500, "60 for 40");
        // Half of it is freed, and the allocator keeps all: the cost is not measured.
        assert_eq!(calibration.look(20 * MIB, 80 * MIB), 80 * MIB * 1000 / 1500);
        assert_eq!(calibration.look(50 * MIB, 80 * MIB), 80 * MIB * 1000 / 1200, "a new height, a new cost");
        assert_eq!(calibration.look(60 * MIB, 30 * MIB), 80 * MIB, "a byte costs one at least");
        assert_eq!(calibration.look(61 * MIB, 900 * MIB), 80 * MIB / 2, "and two at most");
        assert_eq!(Calibration::new(10 * MIB).look(0, 20 * MIB), 0, "less than the process itself");
    }

    #[test]
    fn a_cost_that_was_learned_falls_when_less_is_seen() {
        let mut calibration = Calibration::new(100 * MIB);
        calibration.look(0, 20 * MIB);
        assert_eq!(calibration.look(40 * MIB, 100 * MIB), 40 * MIB, "two for each");
        // A history stays, the rest is freed, and the allocator keeps its memory.
        assert_eq!(calibration.look(30 * MIB, 100 * MIB), 40 * MIB);
        // The allocator returns memory: the rest gives an upper limit of the cost, though less is counted than
        // before.
        assert_eq!(calibration.look(30 * MIB, 56 * MIB), 80 * MIB * 1000 / 1200);
        assert_eq!(calibration.look(30 * MIB, 80 * MIB), 80 * MIB * 1000 / 1200, "and is not forgotten");
        // After a return, the cost is measured as at the beginning.
        calibration.begin_anew(30 * MIB);
        assert_eq!(calibration.look(40 * MIB, 80 * MIB), 80 * MIB * 1000 / 1500);
        calibration.begin_anew(MIB);
        assert_eq!(calibration.look(MIB, 22 * MIB), 80 * MIB, "with nobody there nothing is left of it");
        assert_eq!(calibration.look(10 * MIB, 35 * MIB), 80 * MIB * 1000 / 1500);
    }

    #[test]
    fn memory_is_given_back_when_much_was_freed_and_nothing_happens() {
        let mut thrift = Thrift::default();
        assert!(!thrift.wants_trim(300 * MIB, 40 * MIB), "what comes and goes is not quiet");
        assert!(!thrift.wants_trim(100 * MIB, 240 * MIB));
        assert!(!thrift.wants_trim(MIB, 339 * MIB));
        assert!(thrift.wants_trim(MIB, 339 * MIB));
        thrift.trimmed(20 * MIB);
        for look in 1..LOOKS_BETWEEN_TRIMS {
            assert!(!thrift.wants_trim(MIB, 200 * MIB), "not so soon: {look}");
        }
        assert!(!thrift.wants_trim(MIB, 21 * MIB), "what was stuck is not asked for again");
        assert!(!thrift.wants_trim(MIB, 5 * MIB));
        assert!(thrift.wants_trim(MIB, 18 * MIB), "but what was freed since");
        assert!(!thrift.wants_trim(100 * MIB, 24 * MIB));
        assert!(!thrift.wants_trim(100 * MIB, 24 * MIB), "little beside what is used");
    }

    #[test]
    fn the_kernels_files_are_read() {
        let sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 3\nUDP: inuse 1 mem 8\n";
        assert_eq!((tcp_bytes(sockstat), tcp_field(sockstat, "inuse")), (Some(3 * 4096), Some(5)));
        assert_eq!(tcp_bytes("UDP: inuse 1 mem 8\n"), None);
        let slabinfo = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n\
                        TCPv6  10 20 2432 13 8\nTCP  5 10 2240 14 8\nxfs_inode 7 7 1000 1 1\nfilp 3 4 256 1 1\n";
        assert_eq!(socket_slab_bytes(slabinfo), Some(20 * 2432 + 10 * 2240 + 4 * 256));
        assert_eq!(socket_slab_bytes("nothing that is known\n"), None);
        assert_eq!(slab_bytes_of("MemTotal: 5 kB\nSlab:   12 kB\nSReclaimable: 7 kB\n"), Some(12 << 10));
    }

    #[test]
    fn what_is_lent_does_not_make_a_byte_seem_cheap() {
        let counters: Arc<[Arc<Counters>]> = Arc::new([Arc::default()]);
        let budget = Budget::new(1 << 30);
        let ledger = Ledger::new(Arc::clone(&counters), budget.clone(), Budget::new(1 << 30));
        let memory = Memory { ledger, memory_max: 120 * MIB };
        let mut calibration = Calibration::new(120 * MIB);
        let mut allowed = |anonymous| calibration.look(memory.distinct_bytes(), anonymous) / MIB;
        assert_eq!(allowed(20 * MIB), 100, "before the first client");
        // A history whose bytes cost 1.3 each.
        counters[0].history_bytes.set(40 * MIB);
        assert_eq!(allowed(72 * MIB), 76);
        budget.charge_lent(40 << 20);
        assert_eq!((memory.ledger.known_bytes(), memory.distinct_bytes()), (80 * MIB, 40 * MIB));
        assert_eq!(allowed(72 * MIB), 76, "what answers borrow is there once");
        let kinds = memory.resident_kinds();
        assert_eq!(kinds.iter().find(|kind| kind.name == "queued").unwrap().bytes, 0);
        budget.release_lent(40 << 20);
        assert_eq!(allowed(72 * MIB), 76);
        // Bytes that the history drops while they are lent are no longer counted twice.
        budget.charge_lent(40 << 20);
        counters[0].history_bytes.set(10 * MIB);
        assert_eq!(memory.distinct_bytes(), 40 * MIB);
        assert_eq!(allowed(72 * MIB), 76);
    }
}
