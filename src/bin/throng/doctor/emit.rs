//! Profiles as files: sysctl.d, limits.d, a systemd unit (Kubernetes has its own file).
//!
//! The output depends on the plan alone, never on the machine, so the files under `tuning/` are exactly this
//! output; a test compares them. Change a profile here, then print the files again (`docs/TUNING.md` has the
//! commands).

use super::Emit;
use super::needs::{self, Plan};
use super::settings::settings;
use super::text::count_text;

/// The profile of `kind` for `plan`.
pub(super) fn emit(kind: Emit, plan: &Plan) -> String {
    match kind {
        Emit::Sysctl => sysctl(plan),
        Emit::Limits => limits(plan),
        Emit::Systemd => systemd(plan),
        Emit::Kubernetes => super::kubernetes::pod(plan),
    }
}

/// A sysctl.d file: a comment with the reason, then the line. A leading `-` permits a missing key.
fn sysctl(plan: &Plan) -> String {
    let mut file = format!(
        "# Kernel settings for {} connections on one box.\n\
         # Printed by: throng doctor --connections {} --emit sysctl\n\
         # Install with tuning/apply, which never lowers what a box has more of and can undo it;\n\
         # sysctl --load sets the values as they stand.\n",
        count_text(plan.connections),
        plan.connections
    );
    for setting in settings(plan) {
        let dash = if setting.optional { "-" } else { "" };
        file += &format!("\n# {}\n{dash}{} = {}\n", setting.why, setting.key, setting.value);
    }
    file
}

/// A limits.d file. Only the hard limit is raised: throng raises its soft one itself, and programs that use
/// `select` or close every possible descriptor suffer from a high soft limit.
fn limits(plan: &Plan) -> String {
    let nofile = needs::nofile(plan.connections);
    format!(
        "# Descriptors that a process may open: /etc/security/limits.d, read by pam_limits at login.\n\
         # Printed by: throng doctor --emit limits\n\
         # Services take no notice of this file; their limit is LimitNOFILE in the unit.\n\
         # Never set it above fs.nr_open: logins fail then.\n\
         \n\
         # Each connection is a descriptor; throng raises its soft limit to this hard one by itself.\n\
         *     hard  nofile  {nofile}\n\
         \n\
         # The star leaves root out.\n\
         root  hard  nofile  {nofile}\n"
    )
}

const UNIT: &str = "\
# throng as a hardened service: /etc/systemd/system/throng.service
# Printed by: throng doctor --emit systemd

[Unit]
Description=throng, real-time connection engine
After=network-online.target
Wants=network-online.target

[Service]
# It says itself when all its listeners are there, and when a drain begins.
Type=notify
NotifyAccess=main
ExecStart=/usr/local/bin/throng serve --config /etc/throng/throng.toml
# The configuration and certificates are read again.
ExecReload=/bin/kill -HUP $MAINPID

# For listen = [\"unix:/run/throng/throng.sock\"]. Who may connect is a matter of unix_mode and of the group.
RuntimeDirectory=throng

# Each connection is a descriptor. A unit's default hard limit is 524,288.
LimitNOFILE=@NOFILE@

# SIGTERM drains: connections are closed over at most drain_ms (10 s), stragglers after linger_ms (5 s).
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=30

# A bad configuration (exit 2) does not get better by trying again.
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=2

# When memory runs out, let the kernel look elsewhere first: every client would come back at once.
# There is no MemoryMax here; `throng doctor` says what N connections take, kernel slab included.
OOMScoreAdjust=-500

# No rights, no files, no devices: throng needs its sockets and its configuration.
DynamicUser=yes
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
UMask=0077

# To listen below port 1024, let systemd make the socket (throng.socket); or take PrivateUsers=yes out and put
# CAP_NET_BIND_SERVICE into both capability lines above.

# Listeners and clients of TCP, local listeners, and the local sockets of the system log and of systemd.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

# @system-service holds unshare(2), which gives each shard a descriptor table of its own;
# RestrictNamespaces still refuses it every namespace. Of the calls that set limits and priorities, three are needed:
# shards are pinned to cores, workers step back behind them, the soft descriptor limit is raised to the hard one.
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=sched_setaffinity setpriority prlimit64
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
";

fn systemd(plan: &Plan) -> String {
    UNIT.replace("@NOFILE@", &needs::nofile(plan.connections).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::plan;

    #[test]
    fn the_files_under_tuning_are_what_is_printed() {
        let profiles = [
            (50_000, include_str!("../../../../tuning/50k.conf")),
            (250_000, include_str!("../../../../tuning/250k.conf")),
            (1_000_000, include_str!("../../../../tuning/1m.conf")),
        ];
        for (connections, file) in profiles {
            let plan = plan(connections);
            assert_eq!(emit(Emit::Sysctl, &plan), file, "tuning/ for {connections}");
            assert_eq!(emit(Emit::Limits, &plan), include_str!("../../../../tuning/throng-limits.conf"));
            assert_eq!(emit(Emit::Systemd, &plan), include_str!("../../../../tuning/throng.service"));
        }
    }

    #[test]
    fn every_line_of_a_profile_has_a_reason_above_it() {
        let file = sysctl(&plan(1_000_000));
        let lines: Vec<&str> = file.lines().collect();
        let mut count = 0;
        for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ")) {
            assert!(pair[0].starts_with("# "), "{}", pair[1]);
            count += 1;
        }
        assert_eq!(count, settings(&plan(1_000_000)).len());
    }

    #[test]
    fn what_is_printed_does_not_depend_on_the_shards() {
        for kind in [Emit::Sysctl, Emit::Limits, Emit::Systemd, Emit::Kubernetes] {
            let many = Plan { shards: 64, private_descriptors: false, ..plan(50_000) };
            assert_eq!(emit(kind, &many), emit(kind, &plan(50_000)));
        }
    }

    #[test]
    fn beyond_a_million_the_limits_grow_with_the_ceiling() {
        let plan = plan(2_000_000);
        let nofile = needs::nofile(plan.connections).to_string();
        assert!(emit(Emit::Sysctl, &plan).contains(&format!("fs.nr_open = {nofile}\n")));
        assert!(emit(Emit::Limits, &plan).contains(&format!("nofile  {nofile}\n")));
        assert!(emit(Emit::Systemd, &plan).contains(&format!("LimitNOFILE={nofile}\n")));
    }
}
