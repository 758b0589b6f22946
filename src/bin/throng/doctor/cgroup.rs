//! The memory that the control group leaves: versions 1 and 2.
//!
//! The limit of any parent group applies, so the walk goes from the process' own group to the root and keeps the
//! smallest free amount. File pages that the kernel can drop at once do not count as used, as in kubelet.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory that the control groups allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Allowance {
    /// `/proc/self/cgroup` could not be read, or the groups' files are not at their usual place.
    #[default]
    Unknown,
    /// No group sets a limit.
    Unlimited,
    /// The tightest group.
    Limited {
        /// The limit.
        limit_bytes: u64,
        /// The free part of it.
        left_bytes: u64,
    },
}

/// One of the two ways the kernel presents memory groups.
struct Version {
    /// Mount point of its hierarchy.
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    droppable: &'static str,
}

const VERSION_1: Version = Version {
    mount: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
};

const VERSION_2: Version = Version {
    mount: "sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    droppable: "inactive_file",
};

/// Version 1 writes "no limit" as the largest multiple of a page; no machine has 4 EiB.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// Reads the groups of a process (`self`, or its number) below `root`.
pub(super) fn read(root: &Path, process: &str) -> Allowance {
    let Ok(groups) = fs::read_to_string(root.join(format!("proc/{process}/cgroup"))) else {
        return Allowance::Unknown;
    };
    let mut found = Allowance::Unknown;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let version = match controllers {
            "" => &VERSION_2,
            list if list.split(',').any(|name| name == "memory") => &VERSION_1,
            _ => continue,
        };
        found = tighter(found, walk(root, version, path));
    }
    found
}

/// From the group up to its root. A container may see a path of the host without files; the root of the mount is
/// its own group then.
fn walk(root: &Path, version: &Version, path: &str) -> Allowance {
    let mount = root.join(version.mount);
    // Without the mount the limit is unknown; the root group of version 2 has no limit file, which means no limit.
    if !mount.is_dir() {
        return Allowance::Unknown;
    }
    let mut group = PathBuf::from(path.trim_start_matches('/'));
    let mut found = Allowance::Unlimited;
    loop {
        found = tighter(found, allowance(&mount.join(&group), version));
        if !group.pop() {
            return found;
        }
    }
}

fn allowance(group: &Path, version: &Version) -> Allowance {
    let number =
        |name: &str| -> Option<u64> { fs::read_to_string(group.join(name)).ok()?.trim().parse().ok() };
    // `max` is not a number: no limit.
    let Some(limit_bytes) = number(version.limit).filter(|&bytes| bytes < UNLIMITED_BYTES) else {
        return Allowance::Unlimited;
    };
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let droppable = stat.lines().find_map(|line| line.strip_prefix(version.droppable)?.trim().parse().ok());
    let used = number(version.usage).unwrap_or(0).saturating_sub(droppable.unwrap_or(0));
    Allowance::Limited { limit_bytes, left_bytes: limit_bytes.saturating_sub(used) }
}

/// The one with less free memory; a limit takes precedence over none, and none over unknown.
fn tighter(one: Allowance, other: Allowance) -> Allowance {
    use Allowance::{Limited, Unknown, Unlimited};
    match (one, other) {
        (Limited { left_bytes: a, .. }, Limited { left_bytes: b, .. }) => {
            if b < a {
                other
            } else {
                one
            }
        }
        (Limited { .. }, Unknown | Unlimited) | (Unlimited, Unknown | Unlimited) => one,
        (Unknown, _) | (Unlimited, Limited { .. }) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::Tree;

    #[test]
    fn version_2_takes_the_tightest_group_up_to_the_root() {
        let tree = Tree::empty();
        tree.write("proc/self/cgroup", "0::/kube/pod/throng\n");
        tree.write("sys/fs/cgroup/kube/pod/throng/memory.max", "max\n");
        tree.write("sys/fs/cgroup/kube/pod/memory.max", "1000000\n");
        tree.write("sys/fs/cgroup/kube/pod/memory.current", "600000\n");
        tree.write("sys/fs/cgroup/kube/pod/memory.stat", "anon 1\ninactive_file 100000\n");
        tree.write("sys/fs/cgroup/kube/memory.max", "9000000\n");
        assert_eq!(
            read(tree.root(), "self"),
            Allowance::Limited { limit_bytes: 1_000_000, left_bytes: 500_000 }
        );
    }

    #[test]
    fn version_1_is_read_at_the_mount_when_the_path_is_the_hosts() {
        let tree = Tree::empty();
        tree.write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n");
        tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n");
        tree.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "2500\n");
        assert_eq!(read(tree.root(), "self"), Allowance::Limited { limit_bytes: 2000, left_bytes: 0 });
    }

    #[test]
    fn no_limit_and_no_knowledge_are_told_apart() {
        let tree = Tree::empty();
        assert_eq!(read(tree.root(), "self"), Allowance::Unknown);
        tree.write("proc/self/cgroup", "0::/\nnonsense\n");
        assert_eq!(read(tree.root(), "self"), Allowance::Unknown);
        tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(read(tree.root(), "self"), Allowance::Unlimited);
    }
}
