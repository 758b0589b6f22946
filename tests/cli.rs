//! The binary as a person meets it: configuration from all its sources, its errors and exit codes; and the manual,
//! whose tables must be those of the program.

#![expect(clippy::unwrap_used, reason = "test code, also in its own small functions")]

use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use throng::config::KEYS;
use throng::control::metrics::FAMILIES;

/// The binary, without variables that someone may have set for another throng.
fn throng(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THRONG_") {
            command.env_remove(name);
        }
    }
    command
}

fn output(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A file that is gone at the end of the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("throng-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn config_json(command: &mut Command) -> Value {
    let (code, stdout, stderr) = output(command);
    assert_eq!((code, stderr.as_str()), (0, ""));
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn what_config_prints_loads_back_to_the_same() {
    let typed =
        ["config", "--listen", "0.0.0.0:1234", "--listen", "[::1]:80", "--control=off", "--pin=false"];
    let more = ["--echo", "/echo", "--message-bytes-max", "16MiB", "--ping-interval-ms", "3000"];
    let all = [&typed[..], &more[..]].concat();
    let (code, printed, _) = output(&mut throng(&all));
    assert_eq!(code, 0);
    let file = TempFile::new("round-trip.toml", &printed);
    let again = config_json(&mut throng(&["config", "--json", "--config", file.path()]));
    let first = config_json(throng(&all).arg("--json"));
    assert_eq!(again["config"], first["config"]);
    assert_eq!(again["memory"], first["memory"]);
    assert_eq!(first["config"]["listen"][1], "[::1]:80");
    assert_eq!(first["config"]["frame_bytes_max"], 16 << 20);
    assert_eq!(first["sources"]["frame_bytes_max"], "default: message_bytes_max");
    assert!(again["sources"]["frame_bytes_max"].as_str().unwrap().starts_with(file.path()));
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file() {
    let file = TempFile::new("precedence.toml", "shards = 1\ndrain_ms = 1\nlinger_ms = 1\n");
    let mut command = throng(&["config", "--json", "--config", file.path(), "--shards", "3"]);
    command
        .env("THRONG_SHARDS", "2")
        .env("THRONG_DRAIN_MS", "2")
        .env("THRONG_LISTEN", "127.0.0.1:1,127.0.0.1:2");
    let json = config_json(&mut command);
    let config = &json["config"];
    assert_eq!(
        (&config["shards"], &config["drain_ms"], &config["linger_ms"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!(config["listen"].as_array().unwrap().len(), 2);
    assert_eq!(json["sources"]["shards"], "--shards");
    assert_eq!(json["sources"]["drain_ms"], "THRONG_DRAIN_MS");
    assert_eq!(json["sources"]["linger_ms"], format!("{}:3", file.path()));
    assert_eq!(json["sources"]["handshake_ms"], "default");
}

#[test]
fn the_file_can_be_named_by_a_variable() {
    let file = TempFile::new("variable.toml", "shards = 5\n");
    let json = config_json(throng(&["config", "--json"]).env("THRONG_CONFIG", file.path()));
    assert_eq!(json["config"]["shards"], 5);
}

#[test]
fn a_bad_configuration_ends_with_2_and_names_every_fault() {
    let file = TempFile::new("faults.toml", "# none\nping_interval = 3\nshards = \"two\"\n[limits]\n");
    for command in ["config", "serve"] {
        let (code, stdout, stderr) =
            output(throng(&[command, "--config", file.path()]).env("THRONG_PIN", "maybe"));
        assert_eq!((code, stdout.as_str()), (2, ""));
        let wanted = [
            format!("throng: {}:2: ping_interval = 3: unknown key; is ping_interval_ms meant?", file.path()),
            format!(
                "throng: {}:4: limits = {{ … }}: unknown key; all keys stand at the top, without tables",
                file.path()
            ),
            "throng: THRONG_PIN=maybe: expected true or false".to_owned(),
        ];
        assert_eq!(stderr.lines().collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn faults_of_every_kind_end_with_2() {
    for (args, said) in [
        (&["--shards", "0"][..], "--shards 0: expected a whole number from 1 to 1024"),
        (&["serve", "--listen", "localhost"], "--listen localhost: expected IP addresses with their ports"),
        (&["config", "--outbox-bytes-max", "64KB"], "--outbox-bytes-max 64KB: expected bytes"),
        (&["config", "--config", "/nowhere/throng.toml"], "/nowhere/throng.toml: cannot be read"),
        (&["config", "--echo", "/connection/websocket"], "expected another path than websocket_path"),
        (&["--no-such-flag"], "unexpected argument '--no-such-flag'"),
        (&["no-such-command"], "unrecognized subcommand 'no-such-command'"),
    ] {
        let (code, _, stderr) = output(&mut throng(args));
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
}

#[test]
fn help_tells_every_key_and_the_version_is_the_crates() {
    let (code, help, _) = output(&mut throng(&["serve", "--help"]));
    assert_eq!(code, 0);
    for key in KEYS {
        assert!(help.contains(&key.flag()), "{} is missing", key.flag());
    }
    let (code, version, _) = output(&mut throng(&["--version"]));
    assert_eq!((code, version), (0, format!("throng {}\n", env!("CARGO_PKG_VERSION"))));
}

fn keys_table() -> String {
    let mut table = String::new();
    let mut group = None;
    for key in KEYS {
        if group.replace(key.group) != Some(key.group) {
            writeln!(table, "\n| {} | default | allowed | |\n|---|---|---|---|", key.group).unwrap();
        }
        let expected = key.expected();
        let allowed = expected.split_once("from ").map_or(expected.as_str(), |(_, range)| range);
        writeln!(table, "| `{}` | {} | {allowed} | {} |", key.name, key.default_text(), key.help).unwrap();
    }
    table
}

fn metrics_table() -> String {
    let mut table = "\n| metric | type | label | |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        writeln!(table, "| `{}` | {} | {} | {} |", family.name, family.kind, family.labels(), family.help)
            .unwrap();
    }
    table
}

/// Compares what stands between two marks with `wanted`, or puts it there when asked to by `UPDATE_DOCS`.
fn check_section(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATING.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: begin"), format!("\n<!-- {name}: end -->"));
    let from = text.find(&begin).expect("the mark of the beginning");
    let from = from + text[from..].find('\n').unwrap() + 1;
    let to = from - 1 + text[from - 1..].find(&end).expect("the mark of the end");
    let (head, tail) = (&text[..from], &text[to..]);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{wanted}{tail}")).unwrap();
    } else {
        let hint = "docs/OPERATING.md has another table than the program; UPDATE_DOCS=1 cargo test --test cli renews it";
        assert_eq!(text.get(from..to).unwrap_or_default(), wanted, "{hint}");
    }
}

/// One test for both: they write one file.
#[test]
fn the_manual_has_the_tables_of_the_program() {
    check_section("keys", &keys_table());
    check_section("metrics", &metrics_table());
}
