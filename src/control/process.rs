//! Resident memory, CPU time and descriptors of this process, from `/proc/self`.
//!
//! Missing without `/proc`: no metric is better than a wrong one.

use std::path::Path;

/// Prefix of the names of shards' threads.
const SHARD_THREADS: &str = "shard-";

/// Clock ticks per second in `/proc/self/stat`: `USER_HZ`, fixed at 100 in the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory of the process in bytes, and the part that belongs to no file: heap and stacks.
pub(super) fn resident_and_anonymous_bytes() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some((kib_of("VmRSS:", &status)?, kib_of("RssAnon:", &status)?))
}

/// User and system CPU time of all threads, in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    cpu_seconds_of(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Number of open descriptors of the process: in the shared table, and in those of shards if these are private.
pub(super) fn open_descriptors(has_private_tables: bool) -> Option<u64> {
    let mut count = count_in("/proc/self/fd".as_ref())?;
    if has_private_tables {
        for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.starts_with(SHARD_THREADS) {
                // The thread may have ended meanwhile.
                count += count_in(&task.path().join("fd")).unwrap_or(0);
            }
        }
    }
    Some(count)
}

/// Number of entries in a folder of descriptors: its size since Linux 6.2, otherwise they are counted.
fn count_in(folder: &Path) -> Option<u64> {
    match std::fs::metadata(folder).ok()?.len() {
        0 => Some(std::fs::read_dir(folder).ok()?.count() as u64),
        count => Some(count),
    }
}

/// Maximum number of descriptors in one table (soft limit); `None` without a limit.
pub(super) fn descriptors_max() -> Option<u64> {
    descriptors_max_of(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn descriptors_max_of(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The bytes of a line such as `VmRSS:  2048 kB`.
fn kib_of(name: &str, status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn cpu_seconds_of(stat: &str) -> Option<f64> {
    // The name in parentheses may contain blanks and parentheses; fields are counted after the last one (proc(5)).
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(kib_of("VmRSS:", "Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(kib_of("VmRSS:", "Name:\tx\n"), None);
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 7 7 20 0 3 0 123 456 78";
        assert_eq!(cpu_seconds_of(stat), Some(2.0));
        assert_eq!(cpu_seconds_of("42 (a"), None);
    }

    #[test]
    fn descriptors_are_counted_in_each_table() {
        let before = open_descriptors(false).unwrap();
        let files: Vec<_> = (0..500).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        // Concurrent tests open and close some, too.
        assert!(open_descriptors(false).unwrap() > before + 250);
        drop(files);
        assert!(open_descriptors(true) >= open_descriptors(false).map(|count| count / 2));
        assert!(descriptors_max().is_none_or(|max| max > before));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(descriptors_max_of(limits), Some(1024));
        assert_eq!(
            descriptors_max_of("Max open files            unlimited            unlimited            files\n"),
            None
        );
    }

    #[test]
    fn this_process_has_both() {
        let (resident, anonymous) = resident_and_anonymous_bytes().unwrap();
        assert!(anonymous > 100_000 && anonymous < resident);
        assert!(cpu_seconds().is_some());
    }
}
