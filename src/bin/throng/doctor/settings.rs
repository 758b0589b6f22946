//! The kernel settings of a profile: key, value, reason, and scope in a cluster.
//!
//! The one list for the checks, `--emit sysctl`, `--emit kubernetes` and the files under `tuning/`. A profile is a
//! minimum: `tuning/apply` keeps higher values of the machine.

use super::needs::{self, PORT_RANGE, Plan};

/// The scope of a key for a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every Pod may set it.
    Safe,
    /// Belongs to the network namespace, but kubelet must permit it.
    Unsafe,
    /// Belongs to the node: a Pod cannot have its own value.
    Node,
}

/// One line of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) value: String,
    /// Some kernels lack the key (module not loaded, older kernel), which is not an error.
    pub(super) optional: bool,
    pub(super) scope: Scope,
    /// One line of comment.
    pub(super) why: &'static str,
}

/// The settings for `plan`, in the order in which they should be set.
pub(super) fn settings(plan: &Plan) -> Vec<Setting> {
    let mut list = descriptor_settings(plan);
    list.extend(accept_settings(plan));
    list.extend(port_settings(plan));
    list.extend(queue_settings(plan));
    list
}

fn required(key: &'static str, scope: Scope, value: String, why: &'static str) -> Setting {
    Setting { key, value, optional: false, scope, why }
}

fn optional(key: &'static str, scope: Scope, value: String, why: &'static str) -> Setting {
    Setting { key, value, optional: true, scope, why }
}

fn descriptor_settings(plan: &Plan) -> Vec<Setting> {
    vec![
        required(
            "fs.nr_open",
            Scope::Node,
            needs::nofile(plan.connections).to_string(),
            "No descriptor limit (LimitNOFILE, ulimit -n) can be higher than this; each connection is a descriptor.",
        ),
        required(
            "fs.file-max",
            Scope::Node,
            needs::file_max(plan.connections).to_string(),
            "Open files of the whole box: both ends of each connection if the load runs here too, and the rest.",
        ),
    ]
}

fn accept_settings(plan: &Plan) -> Vec<Setting> {
    let queue = needs::accept_queue(plan.connections).to_string();
    vec![
        required(
            "net.core.somaxconn",
            Scope::Unsafe,
            queue.clone(),
            "Connections that wait to be accepted, per listener: room for one client in 16 to come back at once.",
        ),
        required(
            "net.ipv4.tcp_max_syn_backlog",
            Scope::Unsafe,
            queue,
            "Half-open connections; counts only where SYN cookies are off, and then as much as somaxconn.",
        ),
        optional(
            "net.ipv4.tcp_migrate_req",
            Scope::Unsafe,
            "1".to_owned(),
            "When a listener closes, what waits in its queue goes to another shard's listener instead of a reset.",
        ),
    ]
}

fn port_settings(plan: &Plan) -> Vec<Setting> {
    let ports: Vec<String> = plan.ports().iter().map(u16::to_string).collect();
    vec![
        required(
            "net.ipv4.ip_local_reserved_ports",
            Scope::Safe,
            ports.join(","),
            "Listening ports: never given to an outgoing connection, which would keep throng from starting.",
        ),
        required(
            "net.ipv4.ip_local_port_range",
            Scope::Safe,
            format!("{} {}", PORT_RANGE.0, PORT_RANGE.1),
            "Ports for outgoing connections (load generators, proxies); a server that only listens needs none.",
        ),
        required(
            "net.ipv4.tcp_tw_reuse",
            Scope::Unsafe,
            "1".to_owned(),
            "An outgoing connection may take a port that is in TIME_WAIT (safe with timestamps, the default).",
        ),
    ]
}

fn queue_settings(plan: &Plan) -> Vec<Setting> {
    let [low, pressure, max] = needs::tcp_mem(plan.connections);
    vec![
        required(
            "net.ipv4.tcp_mem",
            Scope::Node,
            format!("{low} {pressure} {max}"),
            "Pages of queued TCP data: a message to everyone takes one page per connection. Idle sockets take none.",
        ),
        required(
            "net.core.netdev_max_backlog",
            Scope::Node,
            needs::packet_queue(plan.connections).to_string(),
            "Packets that wait for a CPU after loopback, veth (containers) or RPS; a full queue drops them.",
        ),
        optional(
            "net.netfilter.nf_conntrack_max",
            Scope::Node,
            needs::conntrack(plan.connections).to_string(),
            "Where a firewall tracks connections, a full table drops new ones; closed ones stay two minutes.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::plan;

    #[test]
    fn every_key_stands_once_and_has_a_reason_that_fits_a_line() {
        let list = settings(&plan(1_000_000));
        for (at, setting) in list.iter().enumerate() {
            assert!(list[at + 1..].iter().all(|other| other.key != setting.key), "{}", setting.key);
            assert!((30..=110).contains(&setting.why.len()), "{}: {}", setting.key, setting.why.len());
        }
    }
}
