//! For tests: a directory that looks like `/` (removed when dropped), a plan for it, and certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::needs::Plan;

/// A root with files under `proc` and `sys`.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty root.
    pub(super) fn empty() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("throng-doctor-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    /// A machine of 24 GB with the settings of a stock kernel, without conntrack.
    pub(super) fn roomy() -> Self {
        let tree = Self::empty();
        tree.write(
            "proc/self/limits",
            "Limit  Soft  Hard\nMax open files            1024       1048576      files\n",
        );
        tree.write("proc/self/cgroup", "0::/\n");
        tree.write("sys/fs/cgroup/cgroup.controllers", "memory\n");
        tree.write("proc/meminfo", "MemTotal:       24684096 kB\nMemAvailable:   24163464 kB\n");
        tree.write("proc/net/sockstat", "sockets: used 17\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 71\n");
        tree.write(
            "proc/net/netstat",
            "TcpExt: ListenOverflows TCPMemoryPressures\nTcpExt: 7 3\nIpExt: A\nIpExt: 1\n",
        );
        tree.write("proc/net/softnet_stat", "0000c5eb 00000010 0\n000223fa 00000001 0\n");
        tree.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        let auxv: Vec<u8> = [33_usize, 1, 6, 4096, 0, 0].into_iter().flat_map(usize::to_ne_bytes).collect();
        fs::write(tree.root.join("proc/self/auxv"), auxv).unwrap();
        for (key, value) in [
            ("kernel.osrelease", "6.18.0"),
            ("fs.nr_open", "1048576"),
            ("fs.file-max", "9223372036854775807"),
            ("fs.file-nr", "595\t0\t9223372036854775807"),
            ("net.core.somaxconn", "4096"),
            ("net.core.netdev_max_backlog", "1000"),
            ("net.ipv4.tcp_max_syn_backlog", "2048"),
            ("net.ipv4.tcp_syncookies", "1"),
            ("net.ipv4.ip_local_port_range", "32768\t60999"),
            ("net.ipv4.ip_local_reserved_ports", ""),
            ("net.ipv4.tcp_mem", "287901\t383869\t575802"),
            ("net.ipv4.tcp_rmem", "4096\t131072\t33554432"),
            ("net.ipv4.tcp_wmem", "4096\t16384\t4194304"),
            ("net.ipv4.tcp_tw_reuse", "2"),
            ("net.ipv4.tcp_migrate_req", "0"),
            ("net.ipv4.tcp_ehash_entries", "262144"),
            ("vm.max_map_count", "65530"),
        ] {
            tree.set(key, value);
        }
        tree
    }

    /// A machine of 1 GB with all settings low, a full firewall table and ports in the ephemeral range.
    pub(super) fn small() -> Self {
        let tree = Self::roomy();
        tree.write("proc/self/limits", "Max open files            1024       4096      files\n");
        tree.write("proc/meminfo", "MemAvailable:   800000 kB\n");
        tree.write("sys/fs/cgroup/memory.max", "100000000\n");
        tree.write("sys/fs/cgroup/memory.current", "90000000\n");
        for (key, value) in [
            ("fs.nr_open", "8192"),
            ("fs.file-max", "10000"),
            ("net.core.somaxconn", "128"),
            ("net.ipv4.tcp_max_syn_backlog", "128"),
            ("net.ipv4.tcp_syncookies", "0"),
            ("net.ipv4.ip_local_port_range", "1024\t60999"),
            ("net.ipv4.tcp_mem", "9000\t12000\t18000"),
            ("net.ipv4.tcp_tw_reuse", "0"),
            ("net.netfilter.nf_conntrack_max", "65536"),
            ("net.netfilter.nf_conntrack_count", "65000"),
            ("vm.max_map_count", "1000"),
        ] {
            tree.set(key, value);
        }
        tree
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file, with its directories.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets a kernel setting, with the newline that the kernel shows.
    pub(super) fn set(&self, key: &str, value: &str) {
        self.write(&format!("proc/sys/{}", key.replace('.', "/")), &format!("{value}\n"));
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A directory that is left in the temporary folder does no harm.
        fs::remove_dir_all(&self.root).ok();
    }
}

/// Two shards with private tables on the default ports.
pub(super) fn plan(connections: u64) -> Plan {
    Plan {
        connections,
        shards: 2,
        private_descriptors: true,
        data_ports: vec![8000],
        control_port: 9000,
        queued_bytes_max: 256 << 20,
    }
}

/// A self-signed certificate for these names and its key, in PEM.
pub(super) fn certificate(names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    self_signed(CertificateParams::new(names).unwrap())
}

/// The certificate of a new authority, in PEM.
pub(super) fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    self_signed(params).0
}

fn self_signed(params: CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}
