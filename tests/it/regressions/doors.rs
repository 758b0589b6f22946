//! The configuration sources of a Centrifugo deployment: variables, flags, files of the working directory. A server
//! that Centrifugo would have closed was open, because none of them was read or noticed.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs, process};

use crate::support::centrifuge::PATH;
use crate::support::peer::{CLOSE, TEXT};
use crate::support::{Peer, Server};

/// The arguments of the command line.
type Flags<'a> = &'a [&'a str];
/// Variables, each with its value.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A folder that is gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("throng-doors-{}-{}", process::id(), FOLDERS.fetch_add(1, Relaxed));
        let folder = Self(env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.0.join(name), text).unwrap());
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The binary in this folder, without variables that were meant for the tests or for another server.
fn throng(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.current_dir(&folder.0).stdin(Stdio::null());
    let is_ours = |name: &str| name.starts_with("THRONG_") || name.starts_with("CENTRIFUGO_");
    env::vars().map(|(name, _)| name).filter(|name| is_ours(name)).for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// Whether any client may connect without a token, and call the server API without a key.
fn is_open(server: &Server) -> bool {
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id": 1, "connect": {}}"#);
    let answer = peer.frame();
    let connects = match answer.opcode {
        TEXT => String::from_utf8_lossy(&answer.payload).contains("\"client\""),
        CLOSE => false,
        other => panic!("opcode {other}"),
    };
    let call = "POST /api/info HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                Connection: close\r\n\r\n{}";
    let calls = Peer::request(server.control, call.as_bytes()).status == 200;
    assert_eq!(connects, calls, "half open");
    connects
}

#[test]
fn no_way_in_leaves_a_server_open_that_centrifugo_would_close() {
    let nothing = Folder::new(&[]);
    let files = Folder::new(&[
        ("flat.toml", "shards = 1\n"),
        ("empty.json", "{}"),
        ("port.json", "{\"http_server\": {}}"),
    ]);
    let local = ["--listen", "127.0.0.1:0"];
    let open: [(Flags<'_>, Pairs<'_>); 6] = [
        (&local, &[]),
        (&["--config", "flat.toml", "--listen", "127.0.0.1:0"], &[]),
        (&local, &[("THRONG_SHARDS", "1"), ("THRONG_LOG_LEVEL", "info")]),
        (&local, &[("CENTRIFUGO_VAR_KEY", "x"), ("CENTRIFUGO_PORT", "tcp://10.0.0.1:80")]),
        (
            &local,
            &[("CENTRIFUGO_X_SERVICE_HOST", "10.0.0.1"), ("CENTRIFUGO_X_PORT_80_TCP", "tcp://10.0.0.1:80")],
        ),
        (&["--development", "--health.enabled", "--listen", "127.0.0.1:0"], &[]),
    ];
    let closed: [(Flags<'_>, Pairs<'_>); 17] = [
        (&local, &[("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", "9")]),
        (&local, &[("CENTRIFUGO_HTTP_API_KEY", "")]),
        (&local, &[("CENTRIFUGO_NOBODY_KNOWS", "x")]),
        (&local, &[("THRONG_CLIENT_CHANNEL_LIMIT", "9")]),
        (&local, &[("THRONG_SSE_ENABLED", "true")]),
        (&["-p", "0"], &[]),
        (&["-a", "127.0.0.1", "-p", "0"], &[]),
        (&["serve", "--http_server.port=0", "--http_server.address", "127.0.0.1"], &[]),
        (&["--health.enabled", "--listen", "127.0.0.1:0"], &[]),
        (&["--log.level", "info", "--listen", "127.0.0.1:0"], &[]),
        (&["--http-api-key", "k", "--listen", "127.0.0.1:0"], &[]),
        (&["-c", "flat.toml", "--listen", "127.0.0.1:0"], &[]),
        (&["-c", "empty.json", "--listen", "127.0.0.1:0"], &[]),
        (&["--config", "empty.json", "--listen", "127.0.0.1:0"], &[]),
        (&["--config=port.json", "--listen", "127.0.0.1:0"], &[]),
        (&local, &[("THRONG_CONFIG", "port.json")]),
        (&["serve", "--config", "flat.toml", "-p", "0", "-a", "127.0.0.1"], &[]),
    ];
    let run = |folder: &Folder, flags: &[&str], variables: &[(&str, &str)]| {
        let mut command = throng(folder);
        command.args(flags).args(["--control", "127.0.0.1:0"]).envs(variables.iter().copied());
        is_open(&Server::spawn_inheriting(&mut command))
    };
    for (cases, wanted) in [(&open[..], true), (&closed[..], false)] {
        for (flags, variables) in cases {
            assert_eq!(run(&files, flags, variables), wanted, "{flags:?} {variables:?}");
        }
    }
    for (name, text) in [
        ("config.json", "{\"client\": {}}"),
        ("config.toml", "[http_server]\naddress = '127.0.0.1'\n"),
        ("config.yaml", "engine:\n  type: memory\n"),
        ("config.yml", "channel: {}\n"),
    ] {
        let folder = Folder::new(&[(name, text)]);
        let local: &[&str] = if name == "config.toml" { &["-p", "0"] } else { &local };
        assert!(!run(&folder, local, &[]), "{name}");
    }
    let alike = Folder::new(&[("config.json", "{\"log\": {\"level\": \"info\"}}")]);
    assert!(!run(&alike, &local, &[]), "Centrifugo would have read it");
    let other = Folder::new(&[("config.json", "{\"compilerOptions\": {}}")]);
    assert!(run(&other, &local, &[]), "a file of another program says nothing");
    assert!(run(&nothing, &local, &[]));
}

/// Outside development mode it listened on loopback, which other machines cannot reach.
#[test]
fn a_server_of_its_own_listens_on_all_addresses_and_says_so() {
    let folder = Folder::new(&[]);
    let mut command = throng(&folder);
    command.args(["-p", "0", "--client.insecure", "--control", "127.0.0.1:0"]);
    let server = Server::spawn_inheriting(&mut command);
    let ready = server.said.last().unwrap();
    assert!(ready.contains("ws://0.0.0.0:"), "{ready}");
    assert_eq!(ready.contains("ws://[::]:"), throng::parts::net::has_ipv6(), "{ready}");
    let warned =
        server.said.iter().any(|line| line.contains("client.insecure is on, reachable from other machines"));
    assert!(warned, "{:#?}", server.said);
}

/// One clear line, exit code 2, nothing opened, and no secret.
#[test]
fn what_cannot_be_read_is_told_in_one_line() {
    let mut bomb = "client: {token: {hmac_secret_key: hush}}\na: &a [hush, hush]\n".to_owned();
    bomb.push_str("b: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n");
    let folder = Folder::new(&[
        ("bomb.yaml", &bomb),
        ("two.yaml", "client: {}\n---\nchannel: {}\n"),
        ("number.yaml", "http_api:\n  key: 12345\n"),
        ("other.json", "{\"compilerOptions\": {\"secret\": \"hush\"}}"),
        ("large.json", &format!("{{\"client\": \"{}\"}}", "hush".repeat(2_600_000))),
        ("half.toml", "[client.token]\nhmac_secret_key = \"hush\n"),
    ]);
    fs::create_dir(folder.0.join("folder.json")).unwrap();
    let cases: [(Flags<'_>, Pairs<'_>, &str); 18] = [
        (&["-c", "bomb.yaml"], &[], "bomb.yaml:3: aliases (*name) in YAML are not supported"),
        (&["-c", "two.yaml"], &[], "two.yaml:2: several documents in YAML are not supported"),
        (&["-c", "number.yaml"], &[], ": put it in quotes"),
        (&["-c", "other.json"], &[], "other.json:1: compilerOptions = …: unknown"),
        (&["-c", "large.json"], &[], "large.json: is larger than 4 MiB"),
        (&["-c", "folder.json"], &[], "folder.json: is a directory, not a file"),
        (&["-c", "missing.json"], &[], "missing.json: cannot be read: No such file"),
        (&["-c", "half.toml"], &[], "half.toml:2: not valid TOML: "),
        (&["--client.token", "hush"], &[], "--client.token …: unknown key; is --client.token"),
        (&["--client.token.hmac_secret", "hush"], &[], "is --client.token.hmac_secret_key meant?"),
        (&["--client.channel_limit"], &[], "--client.channel_limit expected a value"),
        (&["--client.channel_limit=9", "--client.channel_limit=8"], &[], "--client.channel_limit"),
        (
            &["--listen", "127.0.0.1:0", "-p", "0"],
            &[],
            "-p 0: duplicates listen (--listen); remove one of them",
        ),
        (
            &[],
            &[("CENTRIFUGO_CHANNEL_NAMESPACES", "[{\"hush\"")],
            "CENTRIFUGO_CHANNEL_NAMESPACES=…: not valid JSON: ",
        ),
        (
            &[],
            &[("CENTRIFUGO_TOKEN_HMAC_SECRET_KEY", "hush")],
            "today it is CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY",
        ),
        (
            &[],
            &[("CENTRIFUGO_CLIENT_INSECURE", "yes")],
            "CENTRIFUGO_CLIENT_INSECURE=yes: expected true or false",
        ),
        (
            &[],
            &[("THRONG_CLIENT_PING_INTERVAL", "5s"), ("THRONG_PING_INTERVAL_MS", "5000")],
            "duplicates client.ping_interval",
        ),
        (
            &["--client.proxy.connect.enabled"],
            &[("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT", "http://a/${CENTRIFUGO_VAR_HUSH_}")],
            "the variable CENTRIFUGO_VAR_HUSH_ is not set",
        ),
    ];
    for (flags, variables, wanted) in cases {
        let command = &mut throng(&folder);
        let Output { status, stdout, stderr } =
            command.args(flags).envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{flags:?} {variables:?}: {said}");
        assert!(said.contains(wanted) && !said.contains("hush"), "{flags:?} {variables:?}: {said}");
        let lines = said.lines().filter(|line| line.starts_with("throng: ")).count();
        assert!((1..=2).contains(&lines), "{said}");
    }
}

/// A file in the working directory is read by the commands that need it, and only by those.
#[test]
fn every_command_reads_the_file_of_the_working_directory() {
    let text = "{\"client\": {\"token\": {\"hmac_secret_key\": \"a secret of the tests\"}}}";
    let folder = Folder::new(&[("config.json", text)]);
    for command in [&["config"][..], &["config", "--check"], &["token", "--user", "a"]] {
        let Output { status, stderr, .. } = throng(&folder).args(command).output().unwrap();
        assert_eq!(status.code(), Some(0), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    }
    let Output { stdout, .. } = throng(&folder).arg("config").output().unwrap();
    let printed = String::from_utf8(stdout).unwrap();
    assert!(printed.contains("# config.json:1"), "{printed}");
    let Output { stdout, .. } = throng(&folder).args(["config", "--flags"]).output().unwrap();
    assert!(String::from_utf8(stdout).unwrap().contains("\n--client.channel_limit=VALUE\n"));
}

/// Flags that Centrifugo had until version 5, and an image that is only exchanged still passes.
#[test]
fn flags_of_older_versions_are_taken_or_told_what_they_are_today() {
    let folder = Folder::new(&[]);
    let config = |flags: &[&str]| {
        let Output { status, stdout, stderr } = throng(&folder).arg("config").args(flags).output().unwrap();
        let [printed, said] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
        (status.code(), printed, said)
    };
    let flags =
        ["--port", "8123", "--address=localhost", "--health", "--admin", "--client_insecure", "-n", "here"];
    let (code, printed, said) = config(&flags);
    assert_eq!(code, Some(0), "{said}");
    for line in ["listen = [\"127.0.0.1:8123\"]", "# --health", "# --client_insecure", "name = \"here\""] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(!printed.contains("Development mode") && said.contains("--admin has no effect"), "{said}");
    for (flags, wanted) in [
        (&["--tls"][..], "--tls is of Centrifugo 5 or older; today it is --http_server.tls.enabled"),
        (&["--sockjs"], "--sockjs is of Centrifugo 5 or older; it has no counterpart: clients use"),
        (&["--nats_url=nats://u:HUSH@h"], "--nats_url …: is of Centrifugo 5"),
        (&["--redis_address", "HUSH"], "today it is --engine.redis.address"),
        (&["-e", "redis"], "--engine: engine.type is not supported as \"redis\""),
    ] {
        let (code, _, said) = config(flags);
        assert!(code == Some(2) && said.contains(wanted) && !said.contains("HUSH"), "{flags:?}: {said}");
    }
}

/// The doctor judges the server that would start here: with Centrifugo's variables and the working directory's file.
#[test]
fn the_doctor_looks_at_what_would_start() {
    let folder = Folder::new(&[
        ("config.json", r#"{"http_server": {"port": 8123}, "client": {}}"#),
        ("other.toml", "[http_server]\nport = 8125\n"),
    ]);
    let ports = |arguments: &[&str], variables: Pairs<'_>| {
        let mut command = throng(&folder);
        command
            .args(["doctor", "--json", "--connections", "10"])
            .args(arguments)
            .envs(variables.iter().copied());
        let Output { stdout, stderr, .. } = command.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
        report["ports"].clone()
    };
    let port = ("CENTRIFUGO_HTTP_SERVER_PORT", "8124");
    assert_eq!(ports(&[], &[]), serde_json::json!([8123, 9000]));
    assert_eq!(ports(&[], &[port]), serde_json::json!([8124, 9000]));
    assert_eq!(ports(&["-c", "other.toml"], &[]), serde_json::json!([8125, 9000]));
    fs::write(folder.0.join("config.json"), r#"{"client": {"insecur": true}}"#).unwrap();
    let Output { status, stderr, .. } = throng(&folder).arg("doctor").output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(2) && said.contains("is client.insecure meant?"), "{said}");
}
