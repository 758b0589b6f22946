//! Free memory, and the limits of TCP queues.
//!
//! Two kinds of memory are often confused. An idle socket takes slab, which no TCP setting bounds and which
//! control groups count; queued data takes pages, which `tcp_mem` bounds. The report has both separately.

use super::cgroup::Allowance;
use super::facts::Facts;
use super::needs::{self, Plan};
use super::report::{Line, Status, Value, at_least, sysctl};
use super::text::{bytes, count_text};

/// The kernel's default buffers of a new socket, bytes: (`tcp_rmem`, `tcp_wmem`).
const BUFFER_DEFAULTS: (u64, u64) = (131_072, 16_384);

pub(super) fn lines(plan: &Plan, facts: &Facts) -> Vec<Line> {
    vec![
        available(plan, facts),
        cgroup(plan, facts),
        tcp_mem(plan, facts),
        receive_buffer(facts),
        send_buffer(facts),
        map_count(plan, facts),
        huge_pages(facts),
    ]
}

fn parts(plan: &Plan) -> String {
    format!(
        "{} connections take {} of kernel slab (some {} B a socket, which ps and top do not show) and {} of throng's \
         own memory ({} B each), besides {} that may wait in queues",
        count_text(plan.connections),
        bytes(plan.kernel_bytes()),
        count_text(needs::KERNEL_BYTES_PER_SOCKET),
        bytes(plan.own_bytes()),
        needs::OWN_BYTES_PER_CONNECTION,
        bytes(plan.queued_bytes_max),
    )
}

fn available(plan: &Plan, facts: &Facts) -> Line {
    let need = plan.memory_bytes();
    let have = facts.memory_available_bytes;
    let value = have.map_or(Value::Unknown, Value::Bytes);
    let why = format!("{}. tcp_mem's pages come on top while data is queued.", parts(plan));
    Line::new("memory available", at_least(have, need, Status::Short), value, Value::Bytes(need), why)
        .mended_by(
            "ps -eo rss,comm --sort=-rss | head   # who holds the memory; else a larger box or a smaller N",
        )
}

fn cgroup(plan: &Plan, facts: &Facts) -> Line {
    const NAME: &str = "memory of the control group";
    const WHY: &str = "A control group (container, systemd slice) counts sockets' slab and queued data too, not only \
        what ps shows; beyond its limit the kernel kills throng.";
    let need = plan.memory_bytes();
    match facts.cgroup {
        Allowance::Unknown => Line::new(NAME, Status::Unknown, Value::Unknown, Value::Bytes(need), WHY),
        Allowance::Unlimited => {
            Line::new(NAME, Status::Ok, Value::Text("no limit".to_owned()), Value::Bytes(need), WHY)
        }
        Allowance::Limited { limit_bytes, left_bytes } => {
            let why = format!("{WHY} The limit is {}, and this much of it is left.", bytes(limit_bytes));
            let status = at_least(Some(left_bytes), need, Status::Short);
            let missing = need.saturating_sub(left_bytes);
            let mib = (limit_bytes + missing).div_ceil(1 << 20);
            Line::new(NAME, status, Value::Bytes(left_bytes), Value::Bytes(need), why).mended_by(format!(
                "systemctl set-property throng MemoryMax={mib}M   # docker run --memory {mib}m"
            ))
        }
    }
}

fn tcp_mem(plan: &Plan, facts: &Facts) -> Line {
    const NAME: &str = "net.ipv4.tcp_mem";
    let need = needs::tcp_mem(plan.connections);
    let page = facts.page_bytes.unwrap_or(4096);
    let mut why = format!(
        "Pages of {page} B that all sockets may queue: low, pressure, max. An idle socket takes none (its slab is above), \
         but one waiting message takes a page, so a publication to everyone charges {} pages ({}).",
        count_text(plan.connections),
        bytes(plan.connections * page)
    );
    if let Some(used) = facts.tcp_mem_used_pages {
        why += &format!(" In use: {}.", count_text(used));
    }
    if let Some(count) = facts.memory_pressure_count.filter(|&count| count > 0) {
        why += &format!(" Under pressure {} times since boot.", count_text(count));
    }
    let status = facts.tcp_mem.map_or(Status::Unknown, |have| {
        // The low mark only ends the pressure; a machine may keep its own value.
        if have[1] >= need[1] && have[2] >= need[2] { Status::Ok } else { Status::Short }
    });
    let mut merged = need;
    if let Some(have) = facts.tcp_mem {
        for (wanted, have) in merged.iter_mut().zip(have) {
            *wanted = have.max(*wanted);
        }
    }
    let [low, pressure, max] = merged;
    Line::new(NAME, status, facts.tcp_mem.into(), Value::Counts(need.to_vec()), why)
        .mended_by(sysctl(NAME, format!("{low} {pressure} {max}")))
}

fn receive_buffer(facts: &Facts) -> Line {
    let why = "Receive buffer of a socket, bytes: min, default, max. A bound, not an allocation: idle sockets take nothing \
        of it. With a default raised for bulk transfers every sender may fill that much before throng has read it.";
    buffer("net.ipv4.tcp_rmem", facts.tcp_rmem, BUFFER_DEFAULTS.0, why)
}

fn send_buffer(facts: &Facts) -> Line {
    let why = "Send buffer, in the same way. A client that has stopped reading holds up to the max of it in the kernel \
        before throng's own outbox limit begins to count.";
    buffer("net.ipv4.tcp_wmem", facts.tcp_wmem, BUFFER_DEFAULTS.1, why)
}

fn buffer(name: &'static str, have: Option<[u64; 3]>, default: u64, why: &str) -> Line {
    let status = match have {
        None => Status::Unknown,
        Some([_, middle, _]) if middle <= default => Status::Ok,
        Some(_) => Status::Advice,
    };
    let needed = Value::Text(format!("default <= {}", count_text(default)));
    let [min, _, max] = have.unwrap_or_default();
    Line::new(name, status, have.into(), needed, why)
        .mended_by(sysctl(name, format!("{min} {default} {max}")))
}

fn map_count(plan: &Plan, facts: &Facts) -> Line {
    let need = plan.map_count();
    let why = "Memory mappings of a process. Connections take none; blocks of 128 KiB and more (outboxes of slow \
        clients, large messages) are mapped one by one so that they can be given back.";
    Line::new(
        "vm.max_map_count",
        at_least(facts.map_count_max, need, Status::Short),
        facts.map_count_max.into(),
        Value::Count(need),
        why,
    )
    .mended_by(sysctl("vm.max_map_count", need.next_power_of_two()))
}

fn huge_pages(facts: &Facts) -> Line {
    let why = "With `always` the kernel backs sparsely used memory with 2 MiB pages: throng's memory then grows in steps \
        that look like a leak. With `madvise` and `never` it does not.";
    let status = match facts.huge_pages.as_deref() {
        None => Status::Unknown,
        Some("always") => Status::Advice,
        Some(_) => Status::Ok,
    };
    let value = facts.huge_pages.clone().map_or(Value::Unknown, Value::Text);
    Line::new("transparent huge pages", status, value, Value::Text("madvise or never".to_owned()), why)
        .mended_by("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::{Tree, plan};

    fn line(tree: &Tree, connections: u64, name: &str) -> Line {
        let all = lines(&plan(connections), &Facts::read(tree.root()));
        all.into_iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn memory_needed_is_slab_and_own_memory_and_queues() {
        let plan = plan(1_000_000);
        assert_eq!(plan.memory_bytes(), (32 << 20) + 5_300_000_000 + plan.queued_bytes_max);
        let tree = Tree::roomy();
        assert_eq!(line(&tree, 1_000_000, "memory available").status, Status::Ok);
        tree.write("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    4000000 kB\n");
        assert_eq!(line(&tree, 1_000_000, "memory available").status, Status::Short);
        assert_eq!(line(&tree, 50_000, "memory available").status, Status::Ok);
    }

    #[test]
    fn a_control_group_counts_like_the_box() {
        let tree = Tree::roomy();
        tree.write("sys/fs/cgroup/memory.max", "300000000\n");
        tree.write("sys/fs/cgroup/memory.current", "100000000\n");
        let short = line(&tree, 50_000, "memory of the control group");
        assert_eq!((short.status, short.value), (Status::Short, Value::Bytes(200_000_000)));
        assert!(short.mend.is_some_and(|mend| mend.contains("MemoryMax=637M")));
    }

    #[test]
    fn tcp_mem_is_raised_field_by_field_and_never_lowered() {
        let tree = Tree::roomy();
        assert_eq!(line(&tree, 250_000, "net.ipv4.tcp_mem").status, Status::Ok);
        let short = line(&tree, 300_000, "net.ipv4.tcp_mem");
        assert_eq!(short.status, Status::Short);
        assert_eq!(short.mend.as_deref(), Some("sysctl -w net.ipv4.tcp_mem=\"287901 383869 600000\""));
    }

    #[test]
    fn buffers_raised_for_bulk_transfers_are_advised_against() {
        let tree = Tree::roomy();
        assert_eq!(line(&tree, 1, "net.ipv4.tcp_wmem").status, Status::Ok);
        tree.set("net.ipv4.tcp_wmem", "4096\t16777216\t33554432");
        let advice = line(&tree, 1, "net.ipv4.tcp_wmem");
        assert_eq!(advice.status, Status::Advice);
        assert_eq!(advice.mend.as_deref(), Some("sysctl -w net.ipv4.tcp_wmem=\"4096 16384 33554432\""));
    }

    #[test]
    fn huge_pages_for_everything_are_advised_against() {
        let tree = Tree::roomy();
        tree.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
        assert_eq!(line(&tree, 1, "transparent huge pages").status, Status::Advice);
    }
}
