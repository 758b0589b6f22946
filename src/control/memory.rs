//! What memory is used for: what shards count, what the kernel says of the process, and what it keeps for sockets. And
//! the watch that makes `memory_max` a number of bytes that shards can compare with.
//!
//! Resident memory does not fall when something is freed: the allocator keeps it for the next. A ladder that looked at
//! it would never come down again. So shards look at what they count themselves, and resident memory tells what a counted
//! byte costs: at its highest when more of them are counted than ever since memory was last given back, because then
//! none of it is kept for later; and never more than it would seem to at any other time. What is allowed is `memory_max`,
//! less what the process has before the first client, divided by that.
//!
//! When much has been freed and nothing more happens, the allocator is asked to give it back, seldom: it holds up whoever
//! allocates meanwhile.
//!
//! What the kernel keeps is not in `memory_max`, and some of it is not told per process; it is told all the same.

use super::process;
use crate::net::sys;
use crate::shard::ledger::{Kind, Ledger};
use serde_json::{Map, Value, json};
use std::fs;
use std::time::Duration;

/// How often resident memory is compared with what is counted.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Counted bytes below which nothing is learned about their cost.
const TELLING_BYTES: u64 = 8 << 20;
/// A counted byte never costs less than itself, nor more than twice that: what things cost is counted by their pieces, so
/// more would be something else.
const COST_MAX_THOUSANDTHS: u64 = 2 * THOUSAND;
/// Freed bytes that are worth being given back, and the least time between two times, in looks.
const SPARE_BYTES_MIN: u64 = 12 << 20;
const LOOKS_BETWEEN_TRIMS: u32 = 10;
const THOUSAND: u64 = 1000;
const PAGE_BYTES: u64 = 4096;
/// Caches of the kernel's slab of which every connection has an object or more.
const SOCKET_CACHES: [&str; 8] =
    ["TCP", "TCPv6", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq", "tw_sock_TCP", "dentry"];

/// What there is to look at.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// What shards count, and what they may.
    pub ledger: Ledger,
    /// Bytes that the process may allocate for itself; 0: no limit.
    pub memory_max: u64,
}

/// Of resident memory and of counted bytes, what is learned about each other.
#[derive(Debug)]
struct Calibration {
    memory_max: u64,
    /// Bytes before the first client; none until the first look.
    base: Option<u64>,
    /// The most that was counted since memory was last given back.
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

    /// How many counted bytes make `memory_max`, going by what is counted now and what the process has.
    fn look(&mut self, known: u64, anonymous: u64) -> u64 {
        let base = self.base(known, anonymous);
        if known >= TELLING_BYTES {
            let cost = anonymous.saturating_sub(base).saturating_mul(THOUSAND) / known;
            let cost = cost.clamp(THOUSAND, COST_MAX_THOUSANDTHS);
            let is_highest = known > self.known_most;
            self.known_most = self.known_most.max(known);
            // Below the highest some of it may be kept for later: it tells what a byte costs at most.
            self.cost_thousandths = if is_highest { cost } else { cost.min(self.cost_thousandths) };
        }
        self.memory_max.saturating_sub(base).saturating_mul(THOUSAND) / self.cost_thousandths
    }

    /// Nothing is kept for later any more: what comes now tells its cost anew.
    fn begin_anew(&mut self, known: u64) {
        self.known_most = known.max(TELLING_BYTES);
        if known < TELLING_BYTES {
            self.cost_thousandths = THOUSAND;
        }
    }
}

/// Whether freed memory is given back.
#[derive(Debug, Default)]
struct Thrift {
    known_before: u64,
    /// What could not be given back the last time, because it lies between what is still used.
    stuck: u64,
    looks_left: u32,
}

impl Thrift {
    /// Whether the allocator is to give back what it keeps: much, and nothing happens.
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

/// Watches until the runtime ends: says what is allowed, if there is a limit, and has freed memory given back.
pub(super) async fn watch(memory: Memory) {
    let mut calibration = Calibration::new(memory.memory_max);
    let mut thrift = Thrift::default();
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    loop {
        ticks.tick().await;
        let known = memory.distinct_bytes();
        // Without /proc, what is counted is all that is known.
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
    /// What shards count, each byte once: the process has what is lent only one time.
    fn distinct_bytes(&self) -> u64 {
        self.ledger.known_bytes().saturating_sub(self.ledger.lent_bytes())
    }

    /// Resident memory by what it is used for: what answers borrow from a history counts there alone. Its sum is the
    /// process's resident memory, as far as that is known.
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

    /// What the kernel keeps, of the whole machine or network namespace.
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

/// A field of the line on TCP in `/proc/net/sockstat`: `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1`.
fn tcp_field(sockstat: &str, field: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == field)?;
    words.next()?.parse().ok()
}

/// Bytes that wait in sockets; the kernel counts pages.
fn tcp_bytes(sockstat: &str) -> Option<u64> {
    Some(tcp_field(sockstat, "mem")? * PAGE_BYTES)
}

/// Bytes of the slab, and whose they are: of the caches that sockets need where they may be read, else of all of it.
fn slab_bytes() -> Option<(u64, &'static str)> {
    let caches = fs::read_to_string("/proc/slabinfo").ok().and_then(|text| socket_slab_bytes(&text));
    let all = || slab_bytes_of(&fs::read_to_string("/proc/meminfo").ok()?);
    caches.map(|bytes| (bytes, "slabinfo")).or_else(|| Some((all()?, "meminfo")))
}

/// slabinfo(5): name, active objects, objects, bytes per object.
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
    use crate::base::counters::Counters;
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_allowed_is_what_is_left_at_what_it_costs() {
        let mut calibration = Calibration::new(100 * MIB);
        assert_eq!(calibration.look(0, 20 * MIB), 80 * MIB, "before the first client");
        assert_eq!(calibration.look(MIB, 24 * MIB), 80 * MIB, "a little of it tells nothing");
        assert_eq!(calibration.look(40 * MIB, 80 * MIB), 80 * MIB * 1000 / 1500, "60 for 40");
        // Half of them have gone, and the allocator has kept everything: nothing is learned of that.
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
        // A history stays, all else has gone, and the allocator keeps what it had.
        assert_eq!(calibration.look(30 * MIB, 100 * MIB), 40 * MIB);
        // It gives it back: what is left tells what a byte costs at most, though less is counted than before.
        assert_eq!(calibration.look(30 * MIB, 56 * MIB), 80 * MIB * 1000 / 1200);
        assert_eq!(calibration.look(30 * MIB, 80 * MIB), 80 * MIB * 1000 / 1200, "and is not forgotten");
        // What comes then tells its cost as if it were the first.
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
        // A history, of which each byte costs 1.3.
        counters[0].history_bytes.set(40 * MIB);
        assert_eq!(allowed(72 * MIB), 76);
        budget.charge_lent(40 << 20);
        assert_eq!((memory.ledger.known_bytes(), memory.distinct_bytes()), (80 * MIB, 40 * MIB));
        assert_eq!(allowed(72 * MIB), 76, "what answers borrow is there once");
        let kinds = memory.resident_kinds();
        assert_eq!(kinds.iter().find(|kind| kind.name == "queued").unwrap().bytes, 0);
        budget.release_lent(40 << 20);
        assert_eq!(allowed(72 * MIB), 76);
        // What the history lets go while it is lent is no longer there twice.
        budget.charge_lent(40 << 20);
        counters[0].history_bytes.set(10 * MIB);
        assert_eq!(memory.distinct_bytes(), 40 * MIB);
        assert_eq!(allowed(72 * MIB), 76);
    }
}
