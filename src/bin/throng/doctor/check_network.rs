//! Accepting, ports, and the queues and tables for packets.
//!
//! Each line states when its setting matters: half of the settings in tuning guides have no effect on a server
//! that only accepts.

use std::ops::RangeInclusive;

use super::facts::Facts;
use super::needs::{self, PORT_RANGE, Plan};
use super::report::{Line, Status, Value, at_least, sysctl};
use super::text::count_text;

const RESERVED_PORTS: &str = "net.ipv4.ip_local_reserved_ports";

pub(super) fn accept_lines(plan: &Plan, facts: &Facts) -> Vec<Line> {
    vec![somaxconn(plan, facts), syn_backlog(plan, facts), migrate_req(facts)]
}

pub(super) fn port_lines(plan: &Plan, facts: &Facts) -> Vec<Line> {
    vec![reserved_ports(plan, facts), port_range(plan, facts), tw_reuse(facts)]
}

pub(super) fn packet_lines(plan: &Plan, facts: &Facts) -> Vec<Line> {
    vec![netdev_backlog(plan, facts), conntrack(plan, facts), ehash(plan, facts)]
}

fn somaxconn(plan: &Plan, facts: &Facts) -> Line {
    let need = needs::accept_queue(plan.connections);
    let mut why =
        "Connections waiting to be accepted, per listener. When it is full, a SYN is dropped and the client \
        tries again after 1, then 3 seconds: a storm of reconnects takes longer."
            .to_owned();
    if let Some(count) = facts.listen_overflow_count.filter(|&count| count > 0) {
        why += &format!(" Overflowed {} times since boot.", count_text(count));
    }
    Line::new(
        "net.core.somaxconn",
        at_least(facts.somaxconn, need, Status::Short),
        facts.somaxconn.into(),
        Value::Count(need),
        why,
    )
    .mended_by(sysctl("net.core.somaxconn", need))
}

fn syn_backlog(plan: &Plan, facts: &Facts) -> Line {
    let need = needs::accept_queue(plan.connections);
    // With cookies the kernel ignores this setting: the listener's own backlog bounds half-open connections.
    let (failing, cookies) = match facts.syncookies {
        Some(0) => (Status::Short, "SYN cookies are off, so this counts"),
        Some(_) => (Status::Advice, "SYN cookies are on, so somaxconn counts instead of this"),
        None => (Status::Advice, "it counts only where SYN cookies are off"),
    };
    let why = format!(
        "Half-open connections, per listener; beyond three quarters of it new ones are dropped. Here {cookies}."
    );
    let status = at_least(facts.syn_backlog, need, failing);
    Line::new("net.ipv4.tcp_max_syn_backlog", status, facts.syn_backlog.into(), Value::Count(need), why)
        .mended_by(sysctl("net.ipv4.tcp_max_syn_backlog", need))
}

fn migrate_req(facts: &Facts) -> Line {
    let why = "When a listener closes (a restart with the new process already listening), what waits in its queue \
        goes to another listener of the port; without it those clients see a reset. From Linux 5.14 on.";
    let status = at_least(facts.migrate_req, 1, Status::Advice);
    Line::new("net.ipv4.tcp_migrate_req", status, facts.migrate_req.into(), Value::Count(1), why)
        .mended_by(sysctl("net.ipv4.tcp_migrate_req", 1))
}

/// Reserved ports as the kernel writes them.
fn listed(reserved: &[RangeInclusive<u16>]) -> Vec<String> {
    reserved
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect()
}

/// Listening ports that an outgoing connection may get if ports come from `range`.
fn exposed(plan: &Plan, reserved: &[RangeInclusive<u16>], range: RangeInclusive<u16>) -> Vec<String> {
    let is_reserved = |port: &u16| reserved.iter().any(|range| range.contains(port));
    let exposed = plan.ports().into_iter().filter(|port| range.contains(port) && !is_reserved(port));
    exposed.map(|port| port.to_string()).collect()
}

fn reserved_ports(plan: &Plan, facts: &Facts) -> Line {
    const WHY: &str = "An outgoing connection may be given any port of the ephemeral range, also one that throng listens on; \
        throng then cannot start. Listening ports in the range must be reserved.";
    let (Some((first, last)), Some(reserved)) = (facts.port_range, &facts.reserved_ports) else {
        return Line::new(RESERVED_PORTS, Status::Unknown, Value::Unknown, Value::Unknown, WHY);
    };
    let exposed = exposed(plan, reserved, first..=last);
    let listed = listed(reserved);
    let value = Value::Text(if listed.is_empty() { "none".to_owned() } else { listed.join(",") });
    if exposed.is_empty() {
        let ports: Vec<String> = plan.ports().iter().map(u16::to_string).collect();
        let why = format!("{WHY} {} lie outside {first}-{last} or are reserved.", ports.join(" and "));
        return Line::new(RESERVED_PORTS, Status::Ok, value, Value::Unknown, why);
    }
    let needed = Value::Text(exposed.join(","));
    let why = format!("{WHY} The range here is {first}-{last}.");
    Line::new(RESERVED_PORTS, Status::Short, value, needed, why)
        .mended_by(sysctl(RESERVED_PORTS, [listed, exposed].concat().join(",")))
}

fn port_range(plan: &Plan, facts: &Facts) -> Line {
    const NAME: &str = "net.ipv4.ip_local_port_range";
    let wanted = u64::from(PORT_RANGE.1 - PORT_RANGE.0) + 1;
    let needed = Value::Text(format!("{}-{}", PORT_RANGE.0, PORT_RANGE.1));
    const WHY: &str = "Accepting takes no port. A load generator, a proxy or a backplane on this box does: one source \
        address reaches one listening address only as often as there are ports.";
    let Some((first, last)) = facts.port_range else {
        return Line::new(NAME, Status::Unknown, Value::Unknown, needed, WHY);
    };
    let count = u64::from(last.saturating_sub(first)) + 1;
    let why = format!(
        "{WHY} {} ports here: {} connections from this box need {} source addresses (throng bench uses 127.0.0.0/8).",
        count_text(count),
        count_text(plan.connections),
        count_text(plan.connections.div_ceil(count))
    );
    let status = at_least(Some(count), wanted, Status::Advice);
    let (first_wide, last_wide) = (first.min(PORT_RANGE.0), last.max(PORT_RANGE.1));
    let mut mend = sysctl(NAME, format!("{first_wide} {last_wide}"));
    // A wider range must not include a listening port that was outside of it: reserve ports first.
    let reserved = facts.reserved_ports.as_deref().unwrap_or_default();
    let exposed = exposed(plan, reserved, first_wide..=last_wide);
    if !exposed.is_empty() {
        let all = [listed(reserved), exposed].concat().join(",");
        mend = format!("{} && {mend}", sysctl(RESERVED_PORTS, all));
    }
    Line::new(NAME, status, Value::Text(format!("{first}-{last}")), needed, why).mended_by(mend)
}

fn tw_reuse(facts: &Facts) -> Line {
    const NAME: &str = "net.ipv4.tcp_tw_reuse";
    let (status, here) = match facts.tw_reuse {
        None => (Status::Unknown, ""),
        Some(1) => (Status::Ok, " 1: for all of them."),
        Some(2) => (Status::Advice, " 2: for loopback only, which is enough for a load run on this box."),
        Some(_) => (Status::Advice, " 0: for none."),
    };
    let why = format!(
        "Lets an outgoing connection take a port that is still in TIME_WAIT, so that repeated load runs and \
         reconnecting proxies do not run out of ports. Accepted connections need nothing of it.{here}"
    );
    Line::new(NAME, status, facts.tw_reuse.into(), Value::Count(1), why).mended_by(sysctl(NAME, 1))
}

fn netdev_backlog(plan: &Plan, facts: &Facts) -> Line {
    let need = needs::packet_queue(plan.connections);
    let mut why = "Packets waiting for a CPU on the way through loopback, veth (containers) or RPS; a network card's own \
        driver does not use this queue. What does not fit is dropped and sent again after 200 ms or more."
        .to_owned();
    if let Some(count) = facts.backlog_drop_count.filter(|&count| count > 0) {
        why += &format!(" Dropped {} packets since boot.", count_text(count));
    }
    let status = at_least(facts.netdev_backlog, need, Status::Advice);
    Line::new("net.core.netdev_max_backlog", status, facts.netdev_backlog.into(), Value::Count(need), why)
        .mended_by(sysctl("net.core.netdev_max_backlog", need))
}

fn conntrack(plan: &Plan, facts: &Facts) -> Line {
    const NAME: &str = "net.netfilter.nf_conntrack_max";
    let need = needs::conntrack(plan.connections);
    const WHY: &str = "Where a firewall or NAT tracks connections, each takes an entry, closed ones for two minutes more; a \
        full table drops new connections without a word to throng.";
    let Some(most) = facts.conntrack_max else {
        // Another setting of the same tree can be read, so this one is missing because the module is not loaded.
        return if facts.somaxconn.is_some() {
            let value = Value::Text("not loaded".to_owned());
            Line::new(NAME, Status::Ok, value, Value::Unknown, format!("{WHY} Nothing tracks here."))
        } else {
            Line::new(NAME, Status::Unknown, Value::Unknown, Value::Count(need), WHY)
        };
    };
    let count = facts.conntrack_count.unwrap_or(0);
    // A loaded module without a rule tracks nothing; its small table is not yet a limit then.
    let (failing, here) = if count == 0 && facts.conntrack_count.is_some() {
        (Status::Advice, "The module is there but tracks nothing now.".to_owned())
    } else {
        (Status::Short, format!("{} entries now.", count_text(count)))
    };
    let status = at_least(Some(most), need, failing);
    Line::new(NAME, status, Value::Count(most), Value::Count(need), format!("{WHY} {here}"))
        .mended_by(sysctl(NAME, need))
}

fn ehash(plan: &Plan, facts: &Facts) -> Line {
    const NAME: &str = "net.ipv4.tcp_ehash_entries";
    // Four sockets per bucket: a lookup per packet still touches only a few cache lines.
    let need = (plan.connections / 4).next_power_of_two();
    let why = "Buckets of the kernel's table of connections, looked up for every packet; fixed at boot from the size of \
        memory. More than four connections to a bucket cost time, not connections.";
    let status = at_least(facts.ehash_entries, need, Status::Advice);
    Line::new(NAME, status, facts.ehash_entries.into(), Value::Count(need), why).mended_by(format!(
        "grubby --update-kernel=ALL --args=thash_entries={need}   # or GRUB_CMDLINE_LINUX; then reboot"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::{Tree, plan};

    fn line(tree: &Tree, plan: &Plan, name: &str) -> Line {
        let facts = Facts::read(tree.root());
        let all = [accept_lines(plan, &facts), port_lines(plan, &facts), packet_lines(plan, &facts)].concat();
        all.into_iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn the_syn_backlog_falls_short_only_without_cookies() {
        let tree = Tree::roomy();
        tree.set("net.ipv4.tcp_max_syn_backlog", "128");
        assert_eq!(line(&tree, &plan(50_000), "net.ipv4.tcp_max_syn_backlog").status, Status::Advice);
        tree.set("net.ipv4.tcp_syncookies", "0");
        let short = line(&tree, &plan(50_000), "net.ipv4.tcp_max_syn_backlog");
        assert_eq!(short.status, Status::Short);
        assert_eq!(short.mend.as_deref(), Some("sysctl -w net.ipv4.tcp_max_syn_backlog=4096"));
    }

    #[test]
    fn a_listening_port_in_the_ephemeral_range_must_be_reserved() {
        let tree = Tree::roomy();
        let plan = Plan { data_ports: vec![40_000], ..plan(50_000) };
        tree.set("net.ipv4.ip_local_reserved_ports", "33000,35000-35010");
        let short = line(&tree, &plan, "net.ipv4.ip_local_reserved_ports");
        assert_eq!(short.status, Status::Short);
        assert_eq!(short.needed, Value::Text("40000".to_owned()));
        let mend = "sysctl -w net.ipv4.ip_local_reserved_ports=33000,35000-35010,40000";
        assert_eq!(short.mend.as_deref(), Some(mend), "what is reserved already stays reserved");
        tree.set("net.ipv4.ip_local_reserved_ports", "39990-40010");
        assert_eq!(line(&tree, &plan, "net.ipv4.ip_local_reserved_ports").status, Status::Ok);
    }

    #[test]
    fn a_narrow_port_range_is_no_obstacle_to_a_server() {
        let tree = Tree::roomy();
        let advice = line(&tree, &plan(50_000), "net.ipv4.ip_local_port_range");
        assert_eq!(advice.status, Status::Advice);
        assert!(
            advice.why.contains("28,232 ports") && advice.why.contains("need 2 source"),
            "{}",
            advice.why
        );
        let mend = "sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"";
        assert_eq!(advice.mend.as_deref(), Some(mend));
        tree.set("net.ipv4.ip_local_reserved_ports", "50000");
        let exposing = Plan { data_ports: vec![8000, 20_000], ..plan(50_000) };
        let advice = line(&tree, &exposing, "net.ipv4.ip_local_port_range");
        let reserve = "sysctl -w net.ipv4.ip_local_reserved_ports=50000,20000";
        assert_eq!(
            advice.mend,
            Some(format!("{reserve} && {mend}")),
            "what the wider range exposes is reserved first"
        );
    }

    #[test]
    fn conntrack_is_judged_by_whether_it_tracks() {
        let tree = Tree::roomy();
        let n = plan(1_000_000);
        const NAME: &str = "net.netfilter.nf_conntrack_max";
        assert_eq!(line(&tree, &n, NAME).value, Value::Text("not loaded".to_owned()));
        tree.set(NAME, "262144");
        tree.set("net.netfilter.nf_conntrack_count", "0");
        assert_eq!(line(&tree, &n, NAME).status, Status::Advice);
        tree.set("net.netfilter.nf_conntrack_count", "12");
        assert_eq!(line(&tree, &n, NAME).status, Status::Short);
    }

    #[test]
    fn counters_since_boot_are_told() {
        let tree = Tree::roomy();
        assert!(line(&tree, &plan(1), "net.core.somaxconn").why.contains("Overflowed 7 times"));
        assert!(line(&tree, &plan(1), "net.core.netdev_max_backlog").why.contains("Dropped 17 packets"));
    }
}
