//! The state of the machine: plain values read from `/proc` and `/sys`.
//!
//! Every fact is optional: a file that is missing, unreadable or in an unexpected form leaves `None`, and the
//! report says `unknown`. This file evaluates nothing, and reads nothing outside the given root.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::cgroup::{self, Allowance};

/// Whether shards can have descriptor tables of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Probe {
    /// Not tried, or the thread for the test could not be created.
    #[default]
    Untested,
    Works,
    /// The kernel's error.
    Refused(String),
}

/// `RLIMIT_NOFILE`; `u64::MAX` is "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DescriptorLimit {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// All facts about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kernel: Option<String>,
    pub(super) page_bytes: Option<u64>,
    pub(super) private_descriptors: Probe,
    pub(super) descriptor_limit: Option<DescriptorLimit>,
    pub(super) nr_open: Option<u64>,
    pub(super) file_max: Option<u64>,
    /// Open files of the whole machine.
    pub(super) files_open_count: Option<u64>,
    pub(super) somaxconn: Option<u64>,
    pub(super) syn_backlog: Option<u64>,
    pub(super) syncookies: Option<u64>,
    pub(super) port_range: Option<(u16, u16)>,
    pub(super) reserved_ports: Option<Vec<RangeInclusive<u16>>>,
    /// Pages: low, pressure, max.
    pub(super) tcp_mem: Option<[u64; 3]>,
    pub(super) tcp_mem_used_pages: Option<u64>,
    /// Bytes: min, default, max.
    pub(super) tcp_rmem: Option<[u64; 3]>,
    pub(super) tcp_wmem: Option<[u64; 3]>,
    pub(super) tw_reuse: Option<u64>,
    pub(super) migrate_req: Option<u64>,
    pub(super) netdev_backlog: Option<u64>,
    pub(super) ehash_entries: Option<u64>,
    pub(super) conntrack_max: Option<u64>,
    pub(super) conntrack_count: Option<u64>,
    pub(super) memory_available_bytes: Option<u64>,
    pub(super) cgroup: Allowance,
    pub(super) map_count_max: Option<u64>,
    /// The chosen mode: `always`, `madvise` or `never`.
    pub(super) huge_pages: Option<String>,
    /// Connections that a full accept queue refused since boot.
    pub(super) listen_overflow_count: Option<u64>,
    /// Number of times that TCP came under memory pressure since boot.
    pub(super) memory_pressure_count: Option<u64>,
    /// Packets that a full per-CPU input queue dropped since boot.
    pub(super) backlog_drop_count: Option<u64>,
}

impl Facts {
    /// Reads `proc` and `sys` below `root` (`/` for this machine). It does not try descriptor tables: see `probe`.
    #[cfg(test)]
    pub(super) fn read(root: &Path) -> Self {
        Self::of(root, None)
    }

    /// The facts of this machine, with the limits, the group and the network of another process; of this one for `None`.
    pub(super) fn of(root: &Path, pid: Option<u32>) -> Self {
        let source = Source { root };
        let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let net = pid.map_or_else(|| "proc/net".to_owned(), |pid| format!("proc/{pid}/net"));
        let counters = source.text(&format!("{net}/netstat")).unwrap_or_default();
        Self {
            kernel: source.text("proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            page_bytes: fs::read(root.join("proc/self/auxv")).ok().and_then(|bytes| page_bytes(&bytes)),
            private_descriptors: Probe::Untested,
            descriptor_limit: source
                .text(&format!("proc/{process}/limits"))
                .and_then(|text| descriptor_limit(&text)),
            nr_open: source.number("fs/nr_open"),
            file_max: source.number("fs/file-max"),
            files_open_count: source.numbers("fs/file-nr").map(|[open, _, _]: [u64; 3]| open),
            somaxconn: source.number("net/core/somaxconn"),
            syn_backlog: source.number("net/ipv4/tcp_max_syn_backlog"),
            syncookies: source.number("net/ipv4/tcp_syncookies"),
            port_range: source.numbers("net/ipv4/ip_local_port_range").map(|[first, last]| (first, last)),
            reserved_ports: source
                .text("proc/sys/net/ipv4/ip_local_reserved_ports")
                .and_then(|text| ports(&text)),
            tcp_mem: source.numbers("net/ipv4/tcp_mem"),
            tcp_mem_used_pages: source.text(&format!("{net}/sockstat")).and_then(|text| tcp_pages(&text)),
            tcp_rmem: source.numbers("net/ipv4/tcp_rmem"),
            tcp_wmem: source.numbers("net/ipv4/tcp_wmem"),
            tw_reuse: source.number("net/ipv4/tcp_tw_reuse"),
            migrate_req: source.number("net/ipv4/tcp_migrate_req"),
            netdev_backlog: source.number("net/core/netdev_max_backlog"),
            // Negative in a network namespace that shares the table of its parent.
            ehash_entries: source.signed("net/ipv4/tcp_ehash_entries").map(i64::unsigned_abs),
            conntrack_max: source.number("net/netfilter/nf_conntrack_max"),
            conntrack_count: source.number("net/netfilter/nf_conntrack_count"),
            memory_available_bytes: source.text("proc/meminfo").and_then(|text| available_bytes(&text)),
            cgroup: cgroup::read(root, &process),
            map_count_max: source.number("vm/max_map_count"),
            huge_pages: source
                .text("sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|text| chosen(&text)),
            listen_overflow_count: counter(&counters, "ListenOverflows"),
            memory_pressure_count: counter(&counters, "TCPMemoryPressures"),
            backlog_drop_count: source
                .text(&format!("{net}/softnet_stat"))
                .and_then(|text| softnet_drops(&text)),
        }
    }
}

/// Reads files below a root; the one place that opens them.
struct Source<'a> {
    root: &'a Path,
}

impl Source<'_> {
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn setting(&self, path: &str) -> Option<String> {
        self.text(&format!("proc/sys/{path}"))
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.setting(path)?.trim().parse().ok()
    }

    fn signed(&self, path: &str) -> Option<i64> {
        self.setting(path)?.trim().parse().ok()
    }

    /// Exactly `N` numbers, separated by white space.
    fn numbers<T: FromStr, const N: usize>(&self, path: &str) -> Option<[T; N]> {
        let text = self.setting(path)?;
        let numbers: Vec<T> = text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        numbers.try_into().ok()
    }
}

/// `AT_PAGESZ` of the auxiliary vector: pairs of machine words, kind and value (getauxval(3)).
fn page_bytes(auxv: &[u8]) -> Option<u64> {
    const KIND: usize = 6;
    const WORD: usize = size_of::<usize>();
    let words: Vec<usize> =
        auxv.chunks_exact(WORD).filter_map(|bytes| bytes.try_into().ok().map(usize::from_ne_bytes)).collect();
    words.chunks_exact(2).find(|pair| pair[0] == KIND).and_then(|pair| u64::try_from(pair[1]).ok())
}

/// The line `Max open files  SOFT  HARD  files` of `/proc/self/limits`.
fn descriptor_limit(limits: &str) -> Option<DescriptorLimit> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut fields = line.split_ascii_whitespace().map(|field| match field {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(DescriptorLimit { soft: fields.next()??, hard: fields.next()?? })
}

/// `8000,9000-9010` as ranges; an empty list is valid.
fn ports(list: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let items = list.trim().split(',').filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        })
        .collect()
}

/// `mem` of the line `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3`.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut fields = line.split_ascii_whitespace();
    fields.find(|&field| field == "mem")?;
    fields.next()?.parse().ok()
}

fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The word in brackets of `always [madvise] never`.
fn chosen(modes: &str) -> Option<String> {
    let (_, rest) = modes.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// A counter of `/proc/net/netstat`: a line of names, then a line of values with the same first word.
fn counter(netstat: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = netstat.lines().collect();
    let pair = lines.chunks_exact(2).find(|pair| pair[0].starts_with("TcpExt:"))?;
    let at = pair[0].split_ascii_whitespace().position(|field| field == name)?;
    pair[1].split_ascii_whitespace().nth(at)?.parse().ok()
}

/// Second column of each CPU's line, hexadecimal.
fn softnet_drops(softnet: &str) -> Option<u64> {
    softnet.lines().map(|line| u64::from_str_radix(line.split_ascii_whitespace().nth(1)?, 16).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::Tree;

    #[test]
    fn an_empty_root_leaves_every_fact_unknown() {
        assert_eq!(Facts::read(Tree::empty().root()), Facts::default());
    }

    #[test]
    fn a_tree_is_read_as_written() {
        let tree = Tree::roomy();
        let facts = Facts::read(tree.root());
        assert_eq!(facts.kernel.as_deref(), Some("6.18.0"));
        assert_eq!(facts.descriptor_limit, Some(DescriptorLimit { soft: 1024, hard: 1_048_576 }));
        assert_eq!(facts.files_open_count, Some(595));
        assert_eq!(facts.port_range, Some((32_768, 60_999)));
        assert_eq!(facts.reserved_ports, Some(vec![]));
        assert_eq!(facts.tcp_mem, Some([287_901, 383_869, 575_802]));
        assert_eq!(facts.tcp_mem_used_pages, Some(71));
        assert_eq!(facts.memory_available_bytes, Some(24_163_464 * 1024));
        assert_eq!(facts.huge_pages.as_deref(), Some("madvise"));
        assert_eq!(facts.listen_overflow_count, Some(7));
        assert_eq!(facts.memory_pressure_count, Some(3));
        assert_eq!(facts.backlog_drop_count, Some(17));
        assert_eq!(facts.page_bytes, Some(4096));
    }

    #[test]
    fn a_file_in_an_unexpected_form_is_unknown() {
        let tree = Tree::roomy();
        tree.write("proc/sys/net/ipv4/tcp_mem", "1 2\n");
        tree.write("proc/sys/fs/nr_open", "many\n");
        tree.write("proc/sys/net/ipv4/ip_local_reserved_ports", "8000-x\n");
        tree.write("proc/self/limits", "Max open files\n");
        tree.write("proc/net/netstat", "TcpExt: ListenOverflows\n");
        tree.write("proc/net/softnet_stat", "0000 zz\n");
        tree.write("proc/meminfo", "MemAvailable: 12 pages\n");
        tree.write("proc/self/auxv", "short");
        let facts = Facts::read(tree.root());
        assert_eq!(facts.tcp_mem, None);
        assert_eq!(facts.nr_open, None);
        assert_eq!(facts.reserved_ports, None);
        assert_eq!(facts.descriptor_limit, None);
        assert_eq!(facts.listen_overflow_count, None);
        assert_eq!(facts.backlog_drop_count, None);
        assert_eq!(facts.memory_available_bytes, None);
        assert_eq!(facts.page_bytes, None);
    }

    #[test]
    fn port_lists_hold_single_ports_and_ranges() {
        assert_eq!(ports("8000,9000-9010\n"), Some(vec![8000..=8000, 9000..=9010]));
        assert_eq!(ports("\n"), Some(vec![]));
        assert_eq!(ports("70000"), None);
    }

    #[test]
    fn this_box_can_be_read() {
        let facts = Facts::read(Path::new("/"));
        // Only the hard limit: another test may raise the soft one at this moment.
        let (_, hard) = throng::parts::net::sys::descriptor_limit().unwrap();
        assert_eq!(facts.descriptor_limit.map(|limit| limit.hard), Some(hard));
        assert!(facts.page_bytes.is_some_and(u64::is_power_of_two));
        assert!(facts.memory_available_bytes.is_some());
    }
}
