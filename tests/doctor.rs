//! The doctor and `tuning/` from outside: arguments in, text and exit out, and the script on a copy of a system.
//!
//! Nothing here needs root or touches this box's settings: both take a root directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory that looks like `/`; removed when dropped.
struct Tree(PathBuf);

impl Tree {
    /// The settings of a stock kernel on a box of 24 GB.
    fn stock() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("throng-tuning-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        tree.write("proc/self/limits", "Max open files            1024       1048576      files\n");
        tree.write("proc/self/cgroup", "0::/\n");
        tree.write("proc/meminfo", "MemAvailable:   24163464 kB\n");
        for (key, value) in [
            ("fs.nr_open", "1048576"),
            ("fs.file-max", "9223372036854775807"),
            ("fs.file-nr", "595\t0\t9223372036854775807"),
            ("net.core.somaxconn", "4096"),
            ("net.core.netdev_max_backlog", "1000"),
            ("net.ipv4.tcp_max_syn_backlog", "2048"),
            ("net.ipv4.ip_local_port_range", "32768\t60999"),
            ("net.ipv4.ip_local_reserved_ports", ""),
            ("net.ipv4.tcp_mem", "287901\t383869\t575802"),
            ("net.ipv4.tcp_tw_reuse", "2"),
            ("net.ipv4.tcp_migrate_req", "0"),
            ("vm.max_map_count", "65530"),
        ] {
            tree.set(key, value);
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn set(&self, key: &str, value: &str) {
        self.write(&format!("proc/sys/{}", key.replace('.', "/")), &format!("{value}\n"));
    }

    /// A setting, its fields separated by one space.
    fn setting(&self, key: &str) -> String {
        let text = fs::read_to_string(self.0.join("proc/sys").join(key.replace('.', "/"))).unwrap();
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Every file with its bytes, every directory with none.
    fn snapshot(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        fn visit(directory: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, found);
                    found.insert(path, None);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    found.insert(path, Some(bytes));
                }
            }
        }
        let mut found = BTreeMap::new();
        visit(&self.0, &mut found);
        found
    }

    /// `tuning/apply` on this tree.
    fn apply(&self, arguments: &[&str]) -> Output {
        self.apply_with(arguments, "")
    }

    fn apply_with(&self, arguments: &[&str], input: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/apply");
        let mut child = Command::new(script)
            .args(arguments)
            .env("THRONG_TUNING_ROOT", &self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that refuses its arguments does not read.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn done(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// `throng doctor` without variables set for a server.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.arg("doctor").args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THRONG_") {
            command.env_remove(name);
        }
    }
    command
}

/// Whether all checks pass, and the output.
fn doctor(arguments: &[&str]) -> (bool, String) {
    let output = command(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)) && complaint.is_empty(), "{complaint}");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn report(tree: &Tree, connections: &str) -> serde_json::Value {
    let root = tree.0.to_str().unwrap();
    let (sound, text) = doctor(&["--connections", connections, "--shards", "2", "--root", root, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["sound"], sound);
    report
}

fn status<'a>(report: &'a serde_json::Value, name: &str) -> &'a str {
    let lines = report["lines"].as_array().unwrap();
    lines.iter().find(|line| line["name"] == name).unwrap()["status"].as_str().unwrap()
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would_change() {
    let tree = Tree::stock();
    let before = tree.snapshot();
    let text = done(&tree.apply(&["1m"]));
    assert!(text.contains("dry run"), "{text}");
    assert!(text.contains("4096 -> 65535"), "{text}");
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn write_raises_and_never_lowers() {
    let tree = Tree::stock();
    tree.set("net.core.somaxconn", "60000");
    tree.set("net.ipv4.ip_local_reserved_ports", "33000-33010,9000");
    tree.set("net.ipv4.ip_local_port_range", "1024\t50000");
    tree.set("net.ipv4.tcp_mem", "1\t383869\t400000");
    done(&tree.apply(&["250k", "--write"]));
    assert_eq!(tree.setting("net.core.somaxconn"), "60000");
    assert_eq!(tree.setting("fs.file-max"), "9223372036854775807");
    assert_eq!(tree.setting("net.ipv4.tcp_max_syn_backlog"), "16384");
    assert_eq!(tree.setting("net.ipv4.ip_local_reserved_ports"), "33000-33010,9000,8000");
    assert_eq!(tree.setting("net.ipv4.ip_local_port_range"), "1024 65535");
    assert_eq!(tree.setting("net.ipv4.tcp_mem"), "187500 383869 500000", "field by field");
    assert_eq!(tree.setting("net.ipv4.tcp_tw_reuse"), "1");
    let boot = fs::read_to_string(tree.0.join("etc/sysctl.d/60-throng.conf")).unwrap();
    assert!(boot.contains("net.ipv4.tcp_mem = 187500 383869 500000\n"), "{boot}");
    assert!(!boot.contains("somaxconn ="), "what was not changed is left to whoever set it: {boot}");
    let limits = fs::read(tree.0.join("etc/security/limits.d/60-throng.conf")).unwrap();
    assert_eq!(limits, include_bytes!("../tuning/throng-limits.conf"));
}

#[test]
fn undo_restores_every_byte_after_several_profiles() {
    let tree = Tree::stock();
    tree.write("etc/sysctl.d/60-throng.conf", "# the owner's own\nnet.core.somaxconn = 4096\n");
    let before = tree.snapshot();
    done(&tree.apply(&["50k", "--write"]));
    done(&tree.apply(&["1m", "--write"]));
    assert_eq!(tree.setting("net.core.somaxconn"), "65535");
    let boot = fs::read_to_string(tree.0.join("etc/sysctl.d/60-throng.conf")).unwrap();
    assert!(
        boot.contains("tcp_tw_reuse = 1"),
        "what the first profile changed is kept for the next boots: {boot}"
    );
    let after = tree.snapshot();
    done(&tree.apply(&["--undo", "--dry-run"]));
    assert_eq!(tree.snapshot(), after);
    done(&tree.apply(&["--undo"]));
    assert_eq!(tree.snapshot(), before);
    assert!(done(&tree.apply(&["--undo"])).contains("nothing to undo"));
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn writing_twice_changes_nothing_the_second_time() {
    let tree = Tree::stock();
    done(&tree.apply(&["250k", "--write"]));
    let once = tree.snapshot();
    assert!(done(&tree.apply(&["250k", "--write"])).contains("Settings changed: 0"));
    assert_eq!(tree.snapshot(), once);
}

#[test]
fn a_run_that_broke_off_can_be_undone() {
    let tree = Tree::stock();
    let before = tree.snapshot();
    // A required setting that this kernel lacks: the others are set, the run fails.
    fs::remove_file(tree.0.join("proc/sys/net/ipv4/tcp_mem")).unwrap();
    let output = tree.apply(&["1m", "--write"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(tree.setting("net.core.somaxconn"), "65535");
    tree.set("net.ipv4.tcp_mem", "287901\t383869\t575802");
    done(&tree.apply(&["--undo"]));
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn a_descriptor_limit_above_the_ceiling_is_not_installed() {
    let tree = Tree::stock();
    tree.set("fs.nr_open", "65536");
    let profile = "net.core.somaxconn = 8192\n";
    let output = tree.apply_with(&["-", "--write"], profile);
    assert_eq!(output.status.code(), Some(1));
    assert!(!tree.0.join("etc/security/limits.d/60-throng.conf").exists(), "logins would fail");
    assert_eq!(tree.setting("net.core.somaxconn"), "8192");
}

#[test]
fn what_is_no_profile_is_refused_before_anything_changes() {
    let tree = Tree::stock();
    let before = tree.snapshot();
    for input in [
        "",
        "# only a comment\n",
        "net.core.somaxconn = 8192\nnet/ipv4/../x = 1\n",
        "net.core.somaxconn = 8192\nnonsense\n",
        "net.core.somaxconn = $(id)\n",
        "net.core..somaxconn = 1\n",
    ] {
        let output = tree.apply_with(&["-", "--write"], input);
        assert_eq!(output.status.code(), Some(2), "{input:?}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(tree.snapshot(), before, "{input:?}");
    }
    for arguments in
        [&["77k"][..], &[], &["50k", "1m"], &["--undo", "50k"], &["--frobnicate"], &["50k", "--dry-run"]]
    {
        assert_eq!(tree.apply(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn what_the_doctor_prints_can_be_applied_and_then_satisfies_it() {
    let tree = Tree::stock();
    let before = report(&tree, "400000");
    assert_eq!(status(&before, "net.core.somaxconn"), "short");
    assert_eq!(status(&before, "net.ipv4.tcp_mem"), "short");
    let (_, profile) = doctor(&["--connections", "400000", "--emit", "sysctl"]);
    done(&tree.apply_with(&["-", "--write"], &profile));
    let after = report(&tree, "400000");
    assert_eq!(after["counts"]["short"], 0, "{after:#}");
    for line in profile.lines().filter(|line| line.contains(" = ")) {
        let key = line.trim_start_matches('-').split(" = ").next().unwrap();
        assert_eq!(status(&after, key), "ok", "{key}");
    }
}

#[test]
fn arguments_out_of_range_are_refused() {
    for arguments in [
        &["--connections", "0"][..],
        &["--connections", "many"],
        &["--shards", "0"],
        &["--shards", "1025"],
        &["--private-descriptors", "perhaps"],
        &["--emit", "windows"],
        &["--emit", "sysctl", "--json"],
        &["--data-port", "0"],
        &["--data-port", "70000"],
    ] {
        assert_eq!(command(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn ports_and_table_sharing_can_be_chosen() {
    let (_, profile) = doctor(&[
        "--data-port",
        "9001,443",
        "--data-port",
        "8443",
        "--control-port",
        "8001",
        "--emit",
        "sysctl",
    ]);
    assert!(profile.contains("net.ipv4.ip_local_reserved_ports = 443,8001,8443,9001\n"), "{profile}");
    let (_, pod) = doctor(&["--data-port", "9001", "--control-port", "8001", "--emit", "kubernetes"]);
    assert!(pod.contains("--listen, \"0.0.0.0:9001\", --control, \"0.0.0.0:8001\""), "{pod}");
    let tree = Tree::stock();
    let root = tree.0.to_str().unwrap();
    let (_, text) = doctor(&["--private-descriptors", "false", "--root", root]);
    assert!(text.contains("one descriptor table"), "{text}");
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(&["--emit", "limits"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// Missing arguments have the values of the server's configuration.
#[test]
fn shards_and_ports_are_those_of_the_configuration() {
    let tree = Tree::stock();
    let file = tree.0.join("throng.toml");
    fs::write(
        &file,
        "listen = [\"127.0.0.1:7001\", \"127.0.0.1:7002\"]\ncontrol = \"127.0.0.1:7003\"\nshards = 7\n",
    )
    .unwrap();
    let doctor = |more: &[&str]| -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
        command.args(["doctor", "--json", "--root"]).arg(&tree.0).arg("--config").arg(&file).args(more);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let report = doctor(&[]);
    assert_eq!((&report["shards"], &report["ports"]), (&7.into(), &serde_json::json!([7001, 7002, 7003])));
    let report = doctor(&["--shards", "2", "--data-port", "80", "--control-port", "81"]);
    assert_eq!((&report["shards"], &report["ports"]), (&2.into(), &serde_json::json!([80, 81])));
}

/// A running service has limits and shards of its own, independent of the doctor's shell.
#[test]
fn a_service_that_runs_is_looked_at_by_its_process() {
    let script = r#"ulimit -n 500; exec "$0" serve --shards 3 --listen 127.0.0.1:0 --control off"#;
    let mut service = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_throng")])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(service.stderr.take().unwrap()));
    let is_ready = lines.by_ref().any(|line| line.unwrap().contains(" ready: "));
    let pid = service.id().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_throng"))
        .args(["doctor", "--json", "--connections", "100", "--pid", &pid])
        .output()
        .unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(is_ready);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["shards"], 3, "{report}");
    let text = report.to_string();
    assert!(text.contains("descriptors in use") && text.contains("500"), "{text}");
    let gone = Command::new(env!("CARGO_BIN_EXE_throng")).args(["doctor", "--pid", &pid]).output().unwrap();
    assert_eq!(gone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no such process"));
}
