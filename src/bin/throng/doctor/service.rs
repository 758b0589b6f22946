//! A running service: its threads, descriptor tables, and resources. For `--pid`.
//!
//! Values that cannot be read of another user's process (its descriptors) are unknown.

use std::fs;
use std::path::{Path, PathBuf};

use super::facts::{Facts, Probe};
use super::report::{Line, Status, Value};

/// Names of shards' threads.
const SHARD: &str = "shard-";

/// One process, as its folder in /proc describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    pid: u32,
    pub(super) shards: u64,
    /// Resident bytes, and the anonymous ones of them.
    resident_bytes: Option<u64>,
    anonymous_bytes: Option<u64>,
    /// Open descriptors of each shard's table, if they can be read.
    tables: Vec<Vec<PathBuf>>,
}

impl Service {
    /// Reads the process below `root`; `None` if there is no such process.
    pub(super) fn read(root: &Path, pid: u32) -> Option<Self> {
        let folder = root.join(format!("proc/{pid}"));
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let mut service = Self { pid, ..Self::default() };
        service.resident_bytes = kib(&status, "VmRSS:");
        service.anonymous_bytes = kib(&status, "RssAnon:");
        for task in fs::read_dir(folder.join("task")).into_iter().flatten().flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.starts_with(SHARD) {
                service.shards += 1;
                service.tables.extend(open_files(&task.path().join("fd")));
            }
        }
        Some(service)
    }

    /// Whether its shards have private descriptor tables: threads that share one see the same files.
    pub(super) fn private_descriptors(&self) -> Probe {
        match &self.tables[..] {
            [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|table| table == first) => {
                Probe::Refused("its shards share one".to_owned())
            }
            [_, _, ..] => Probe::Works,
            // A single shard has its own table in any case.
            [_] => Probe::Works,
            [] => Probe::Untested,
        }
    }

    /// Lines about its present state.
    pub(super) fn lines(&self, facts: &Facts) -> Vec<Line> {
        let bytes = |value: Option<u64>| value.map_or(Value::Unknown, Value::Bytes);
        let pid = self.pid;
        let threads = Line::new(
            "shards that run",
            if self.shards == 0 { Status::Unknown } else { Status::Ok },
            Value::Count(self.shards),
            Value::Unknown,
            format!(
                "Threads of process {pid} that are called {SHARD}N; without any it is no throng, or hides them."
            ),
        );
        let fullest = self.tables.iter().map(|table| table.len() as u64).max();
        let limit = facts.descriptor_limit.as_ref().map(|limit| limit.soft);
        let is_full =
            fullest.zip(limit).is_some_and(|(open, limit)| open.saturating_mul(10) > limit.saturating_mul(9));
        let status = match fullest {
            None => Status::Unknown,
            Some(_) if is_full => Status::Short,
            Some(_) => Status::Ok,
        };
        let descriptors = Line::new(
            "descriptors in use",
            status,
            fullest.into(),
            limit.into(),
            "Of the fullest descriptor table; the limit is the process's own. To be seen by its user and by root.",
        );
        let resident = Line::new(
            "resident memory",
            if self.resident_bytes.is_some() { Status::Ok } else { Status::Unknown },
            bytes(self.resident_bytes),
            Value::Unknown,
            "Of the whole process, the pages of its program included.",
        );
        let own = Line::new(
            "own memory",
            if self.anonymous_bytes.is_some() { Status::Ok } else { Status::Unknown },
            bytes(self.anonymous_bytes),
            Value::Unknown,
            "Heap and stacks (RssAnon): what memory_max bounds.",
        );
        vec![threads, descriptors, resident, own]
    }
}

/// The files of a table's descriptors, in order; `None` without permission.
fn open_files(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).ok()?;
    let mut files: Vec<_> = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    files.sort();
    Some(files)
}

/// A field of /proc/PID/status in KiB, in bytes.
fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
