//! The binary's user interface: configuration from all its sources, its errors and exit codes. `manual` has the tests
//! of the manual.

#![expect(clippy::unwrap_used, reason = "test code, also in its own small functions")]

#[path = "cli/manual.rs"]
mod manual;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use throng::parts::config::KEYS;

/// The binary, without variables set for another throng.
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
        ["config", "--listen", "127.0.0.1:1234", "--listen", "[::1]:80", "--control=off", "--pin=false"];
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
    let file = TempFile::new("faults.toml", "# none\nping_interval_m = 3\nshards = \"two\"\n[limits]\n");
    for command in ["config", "serve"] {
        let (code, stdout, stderr) =
            output(throng(&[command, "--config", file.path()]).env("THRONG_PIN", "maybe"));
        assert_eq!((code, stdout.as_str()), (2, ""));
        let wanted = [
            format!(
                "throng: {}:2: ping_interval_m = …: unknown key; is ping_interval_ms meant?",
                file.path()
            ),
            format!("throng: {}:3: shards = \"two\": expected a whole number from 1 to 1024", file.path()),
            format!(
                "throng: {}:4: limits = …: unknown section; `throng config` prints all of them",
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
        (&["config", "--http-api-key", "…"], "--http-api-key …: expected a text or a list of texts"),
        (&["token", "--user", "42"], "there is no client.token.hmac_secret_key to sign with"),
        (&["token"], "there is no client.token.hmac_secret_key to sign with"),
        (&["token", "--user", "42", "--check", "x"], "cannot be used with"),
        (&["--no-such-flag"], "unexpected argument '--no-such-flag'"),
        (&["no-such-command"], "word 1 of the command line is not a command; it is not shown"),
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
    for flag in ["-h", "--help"] {
        let (_, help, _) = output(&mut throng(&[flag]));
        assert!(!help.contains("[default: ]"), "{help}");
    }
    let (_, printed, _) = output(&mut throng(&["config"]));
    let manual = std::fs::read_to_string("docs/OPERATING.md").unwrap();
    for group in ["Server", "TLS", "Limits", "Deadlines", "Logs", "Access"] {
        let count = |text: &str, line: &str| text.lines().filter(|one| one.starts_with(line)).count();
        assert!(count(&printed, &format!("# {group}")) <= 1, "{group} stands twice: {printed}");
        assert!(count(&manual, &format!("| {group} | default |")) <= 1, "{group} stands twice");
    }
    let (code, version, _) = output(&mut throng(&["--version"]));
    assert_eq!((code, version), (0, format!("throng {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn sections_are_printed_and_secrets_only_when_asked_for() {
    let text = "[client.token]\nhmac_secret_key = \"hush\"\n\n[[channel.namespaces]]\nname = \"chat\"\n\
                history_size = 10\nhistory_ttl = \"1m30s\"\n";
    let file = TempFile::new("sections.toml", text);
    let (code, hidden, _) = output(&mut throng(&["config", "--config", file.path()]));
    assert_eq!((code, hidden.contains("hush")), (0, false), "{hidden}");
    assert!(hidden.contains("\nhistory_ttl = \"1m30s\""), "{hidden}");
    let again = TempFile::new("hidden.toml", &hidden);
    let (code, _, stderr) = output(&mut throng(&["config", "--config", again.path()]));
    assert!(code == 2 && stderr.contains("hmac_secret_key = …: expected a text (not …, "), "{stderr}");
    let (_, shown, _) = output(&mut throng(&["config", "--show-secrets", "--config", file.path()]));
    let again = TempFile::new("shown.toml", &shown);
    let json = |path| config_json(&mut throng(&["config", "--json", "--show-secrets", "--config", path]));
    let (first, second) = (json(file.path()), json(again.path()));
    assert_eq!(first["config"], second["config"]);
    assert_eq!(first["config"]["client"]["token"]["hmac_secret_key"], "hush");
    assert_eq!(first["is_development"], false);
    let file = TempFile::new("sections.json", &first["config"].to_string());
    assert_eq!(json(file.path())["config"], first["config"], "what is printed as JSON loads back, too");
}

#[test]
fn a_token_is_made_and_looked_into() {
    let secret = ("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "a secret");
    let minted = |args: &[&str]| {
        let (code, token, stderr) = output(throng(args).env(secret.0, secret.1));
        assert_eq!((code, stderr.as_str(), token.lines().count()), (0, "", 1), "{args:?}");
        token.trim().to_owned()
    };
    let user = ["token", "--user", "42", "--expires", "30m"];
    let connection = minted(&[&user[..], &["--info", "{\"name\": \"Ann\"}", "--channels", "a,b"]].concat());
    let subscription = minted(&[&user[..], &["--channel", "$chat:x"]].concat());
    for (token, lines) in [
        (&connection, ["for         a connection", "sub = \"42\"", "channels = [\"a\",\"b\"]"]),
        (&subscription, ["for         a subscription", "sub = \"42\"", "channel = \"$chat:x\""]),
    ] {
        let (code, told, _) = output(throng(&["token", "--check", token]).env(secret.0, secret.1));
        assert_eq!(code, 0, "{told}");
        assert!(lines.iter().all(|line| told.contains(line)), "{told}");
        assert!(told.ends_with("valid       by client.token\n"), "{told}");
        let (code, told, _) = output(throng(&["token", "--check", token]).env(secret.0, "another"));
        assert_eq!(code, 1);
        assert!(told.ends_with("not valid   signature (by client.token)\n"), "{told}");
    }
    let (code, _, stderr) = output(throng(&["token", "--check", "nonsense"]).env(secret.0, secret.1));
    assert_eq!(code, 1);
    assert!(stderr.starts_with("throng: not a token"), "{stderr}");
}

/// A script with an empty variable must not pass a check.
#[test]
fn a_token_of_the_wrong_kind_or_none_is_refused() {
    let one = r#"{"client": {"token": {"hmac_secret_key": "a"}}}"#;
    let two = r#"{"client": {"token": {"hmac_secret_key": "a"},
        "subscription_token": {"enabled": true, "hmac_secret_key": "b"}}}"#;
    for text in [one, two] {
        let file = TempFile::new(if text == one { "kinds1.json" } else { "kinds2.json" }, text);
        let run =
            |words: &[&str]| output(&mut throng(&[&[words[0], "-c", file.path()], &words[1..]].concat()));
        for words in [
            &["checktoken"][..],
            &["checktoken", ""],
            &["checktoken", " "],
            &["checksubtoken"],
            &["checksubtoken", ""],
        ] {
            let (code, stdout, stderr) = run(words);
            assert_eq!((code, stdout.as_str()), (1, ""), "{words:?}: {stderr}");
            assert!(stderr.contains("a token is needed"), "{words:?}: {stderr}");
        }
        for words in [&["gensubtoken", "-u", "42"][..], &["gensubtoken", "-u", "42", "-s", ""]] {
            let (code, stdout, stderr) = run(words);
            assert_eq!((code, stdout.as_str()), (1, ""), "{words:?}: {stderr}");
            assert!(stderr.contains("channel is required (-s)"), "{words:?}: {stderr}");
        }
        let connection = run(&["gentoken", "-u", "42"]).1;
        let subscription = run(&["gensubtoken", "-u", "42", "-s", "chat"]).1;
        for (command, token, refusal) in [
            ("checktoken", &connection, None),
            ("checksubtoken", &subscription, None),
            ("checktoken", &subscription, Some("it is a subscription token, not a connection token")),
            ("checksubtoken", &connection, Some("it is a connection token, not a subscription token")),
        ] {
            let (code, stdout, _) = run(&[command, token.trim()]);
            assert_eq!(code, i32::from(refusal.is_some()), "{command}: {stdout}");
            assert!(stdout.contains(refusal.unwrap_or("\nvalid ")), "{command}: {stdout}");
        }
    }
}

/// As in Centrifugo: a check in a wrong folder must not pass.
#[test]
fn a_check_without_a_file_is_told() {
    let folder = std::env::temp_dir().join(format!("throng-cli-empty-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (code, _, stderr) = output(throng(&["checkconfig"]).current_dir(&folder));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("config file not found"), "{stderr}");
    std::fs::write(folder.join("config.json"), r#"{"client": {}}"#).unwrap();
    let (code, _, stderr) = output(throng(&["checkconfig"]).current_dir(&folder));
    assert_eq!(code, 0, "{stderr}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A closed stdout is no error, a full disk is one that is reported.
#[test]
fn a_reader_that_has_left_ends_every_command_quietly_and_a_full_disk_is_told() {
    let token = throng::parts::outside::mint(b"hush-8c1d", b"{}");
    let commands: [&[&str]; 7] = [
        &["config"],
        &["config", "--json"],
        &["token", "--user", "ann"],
        &["token", "--check", &token],
        &["doctor", "--connections", "1"],
        &["doctor", "--connections", "1", "--json"],
        &["doctor", "--emit", "sysctl"],
    ];
    for args in commands {
        let run = |stdout: Stdio| {
            let mut command = throng(args);
            command.env("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "hush-8c1d").stdout(stdout);
            output(&mut command)
        };
        let (seen, _, said) = run(Stdio::piped());
        assert_eq!(said, "", "{args:?}");
        let (code, _, said) = run(std::io::pipe().unwrap().1.into());
        assert_eq!((code, said.as_str()), (seen, ""), "{args:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, _, said) = run(full.into());
        assert!(code == 1 && said.contains("cannot write the "), "{args:?}: {code} {said}");
        // If stderr is full, too, there is an exit code, not an abort.
        let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = throng(args)
            .env("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "hush-8c1d")
            .stdout(full())
            .stderr(full())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1), "{args:?}");
    }
}
