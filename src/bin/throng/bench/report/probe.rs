//! Figures from /proc about the server, the kernel and the generator's own threads.
//!
//! CPU is read from `schedstat` in nanoseconds; `stat` counts in hundredths of a second, which is too coarse.
//! Memory is `Rss` of `smaps_rollup`, which is exact; `VmRSS` is counted lazily per core. The invariant: a figure
//! that cannot be read is absent, never zero. Left out: arithmetic on the figures.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// CPU time of each thread of the watched processes, in nanoseconds, by thread id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu(BTreeMap<u32, u64>);

impl Cpu {
    /// Reads all threads of `pids`; `None` without processes to watch.
    ///
    /// # Errors
    /// Their files cannot be opened: most likely the process has ended.
    pub(crate) fn read(pids: &[u32]) -> io::Result<Option<Self>> {
        let mut threads = BTreeMap::new();
        for pid in pids {
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let entry = entry?;
                // A thread may end between listing and reading.
                let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
                if let (Some(id), Some(ns)) =
                    (entry.file_name().to_str().and_then(first_number), first_number(&text))
                {
                    threads.insert(u32::try_from(id).unwrap_or(u32::MAX), ns);
                }
            }
        }
        Ok((!pids.is_empty()).then_some(Self(threads)))
    }

    /// Nanoseconds used since `earlier`, by all threads.
    pub(crate) fn used_since(&self, earlier: &Self) -> u64 {
        self.each_since(earlier).sum()
    }

    /// Nanoseconds used since `earlier` by the busiest thread.
    pub(crate) fn busiest_since(&self, earlier: &Self) -> u64 {
        self.each_since(earlier).max().unwrap_or(0)
    }

    fn each_since<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.0.iter().map(|(id, ns)| ns.saturating_sub(earlier.0.get(id).copied().unwrap_or(0)))
    }
}

/// CPU time of one thread of this process, in nanoseconds.
pub(crate) fn own_thread_cpu_ns(thread: i32) -> Option<u64> {
    first_number(&fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?)
}

/// Memory at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident memory of the watched processes.
    pub(crate) server: Option<u64>,
    /// The part of that which no file is behind: without the pages of the program that it has run so far.
    pub(crate) server_anonymous: Option<u64>,
    /// Total slab of the kernel.
    pub(crate) slab: Option<u64>,
    /// Resident memory of this process.
    pub(crate) own: Option<u64>,
}

impl Memory {
    pub(crate) fn read(pids: &[u32]) -> Self {
        let sum = |of: fn(&str) -> Option<u64>| {
            let sum = pids.iter().map(|pid| of(&pid.to_string())).sum::<Option<u64>>();
            sum.filter(|_| !pids.is_empty())
        };
        Self {
            server: sum(resident_bytes),
            server_anonymous: sum(anonymous_bytes),
            slab: fs::read_to_string("/proc/meminfo").ok().and_then(|text| kib_line(&text, "Slab:")),
            own: resident_bytes("self"),
        }
    }
}

fn resident_bytes(pid: &str) -> Option<u64> {
    process_line(pid, "Rss:", "VmRSS:")
}

fn anonymous_bytes(pid: &str) -> Option<u64> {
    process_line(pid, "Anonymous:", "RssAnon:")
}

/// Bytes of a line of `smaps_rollup`, or of one of `status` where there is no such file.
fn process_line(pid: &str, exact: &str, coarse: &str) -> Option<u64> {
    let read =
        |file: &str, name: &str| kib_line(&fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?, name);
    read("smaps_rollup", exact).or_else(|| read("status", coarse))
}

/// Bytes of the line that starts with `name` and counts in kB.
fn kib_line(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    first_number(value.trim_start())?.checked_mul(1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let text = "Rss:                2124 kB\nPss:  1 kB\nSlab:           36 kB\n";
        assert_eq!(kib_line(text, "Rss:"), Some(2124 * 1024));
        assert_eq!(kib_line(text, "Slab:"), Some(36 * 1024));
        assert_eq!(kib_line(text, "None:"), None);
        assert_eq!(first_number("12 34 5\n"), Some(12));
    }

    #[test]
    fn this_process_can_be_watched() {
        let me = [std::process::id()];
        let before = Cpu::read(&me).unwrap().unwrap();
        let mut sum = 0u64;
        while Cpu::read(&me).unwrap().unwrap().used_since(&before) == 0 {
            sum = std::hint::black_box((0..100_000u64).fold(sum, u64::wrapping_add));
        }
        let after = Cpu::read(&me).unwrap().unwrap();
        assert!(after.busiest_since(&before) > 0);
        assert!(after.busiest_since(&before) <= after.used_since(&before));
        let memory = Memory::read(&me);
        assert!(memory.server > memory.server_anonymous && memory.server_anonymous.unwrap() > 50_000);
        assert!(memory.server.unwrap() > 100_000 && memory.slab.is_some() && memory.own.is_some());
        assert!(Memory::read(&[]).server.is_none() && Cpu::read(&[]).unwrap().is_none());
        assert!(Cpu::read(&[u32::MAX]).is_err());
    }
}
