//! Files of older versions of Centrifugo, which were refused key by key, some with the name of another key.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use crate::support::Server;
use crate::support::tls::Folder;

/// The binary's exit code, stdout and stderr, without other variables.
fn throng(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    let names = env::vars_os().map(|(name, _)| name);
    let is_ours = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.starts_with("THRONG_") || name.starts_with("CENTRIFUGO_")
    };
    names.filter(is_ours).for_each(|name| {
        command.env_remove(name);
    });
    let output = command.args(args).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Centrifugo itself, where it is installed.
fn centrifugo() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    folders.into_iter().chain(home).map(|folder| folder.join("centrifugo")).find(|path| path.exists())
}

/// Whether Centrifugo takes a file, if it is installed.
fn is_taken_by_centrifugo(path: &str) {
    let Some(program) = centrifugo() else { return };
    let output = Command::new(program).args(["checkconfig", "-c", path]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{path}: {said}{}", fs::read_to_string(path).unwrap());
    assert!(!said.contains("unknown"), "{said}");
}

const OLD: [(&str, &str); 6] = [
    (
        "five.json",
        r#"{"token_hmac_secret_key": "a secret of version 5", "api_key": "a key of version 5", "admin": true,
            "admin_password": "a password", "admin_secret": "another secret", "allowed_origins": ["http://localhost:3000"],
            "namespaces": [{"name": "chat", "presence": true, "history_size": 10, "history_ttl": "300s",
                            "allow_subscribe_for_client": true}]}"#,
    ),
    (
        "three.json",
        r#"{"v3_use_offset": true, "token_hmac_secret_key": "a secret of version 3", "api_key": "a key of version 3",
            "allowed_origins": "*", "publish": true, "presence": true, "history_size": 5, "history_ttl": "60s",
            "recover": true, "namespaces": [{"name": "public", "anonymous": true}]}"#,
    ),
    (
        "hooks.toml",
        "proxy_connect_endpoint = \"http://localhost:3000/connect\"\nproxy_connect_timeout = \"2s\"\n\
         proxy_rpc_endpoint = \"http://localhost:3000/rpc\"\nproxy_http_headers = [\"X-Token\"]\n\
         allowed_origins = [\"https://a.example\"]\nport = 8000\nlog_level = \"fatal\"\n\
         [proxy_static_http_headers]\nX-Key = \"a key of headers\"\n",
    ),
    (
        "leftovers.json",
        r#"{"token_hmac_secret_key": "a secret with leftovers", "sockjs": true, "sockjs_url": "x", "tarantool_address": "y",
            "granular_proxy_mode": false, "license": "PRO", "allow_publish_for_client": true, "publish": false,
            "namespaces": [{"name": "chat", "subscribe_cel": "false"}]}"#,
    ),
    (
        "personal.json",
        r#"{"token_hmac_secret_key": "a secret of persons", "user_subscribe_to_personal": true,
            "user_personal_channel_namespace": "user", "client_channel_limit": 32, "health": true,
            "namespaces": [{"name": "user", "history_size": 1, "history_ttl": "24h", "force_recovery": true}],
            "shutdown_timeout": "5s", "websocket_compression": true, "sse": true, "http_stream": true, "uni_sse": true}"#,
    ),
    (
        "insecure.json",
        r#"{"client_insecure": true, "api_insecure": true, "address": "127.0.0.1", "port": "8000",
            "internal_port": "9000", "allow_subscribe_for_anonymous": true}"#,
    ),
];

#[test]
fn old_files_are_refused_in_one_pass_and_converted_ones_are_taken() {
    let folder = Folder::new();
    for (name, text) in OLD {
        let file = folder.put(name, text);
        let (code, _, said) = throng(&["serve", "--config", &file], &[]);
        let top = format!(
            "throng: {file}: this file is written for Centrifugo 5 or older; `throng config --convert {file}` writes it anew\n"
        );
        assert!(code == 2 && said.starts_with(&top), "{said}");
        for value in ["a secret", "a key", "a password", "another secret"] {
            assert!(!said.contains(value), "{said}");
        }
        for form in ["toml", "json"] {
            let new = folder.path(&format!("{name}.{form}"));
            let (code, printed, said) = throng(&["config", "--convert", &file, "-o", &new], &[]);
            assert_eq!((code, printed.as_str()), (0, ""), "{said}");
            assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
            let (code, _, said) = throng(&["config", "--check", "--config", &new], &[]);
            assert_eq!(code, 0, "{said}{}", fs::read_to_string(&new).unwrap());
            is_taken_by_centrifugo(&new);
            // Nothing is overwritten.
            let (code, _, said) = throng(&["config", "--convert", &file, "-o", &new], &[]);
            assert!(code == 2 && said.contains("cannot be written: File exists"), "{said}");
        }
    }
}

/// Effective values of a file, by their paths.
fn effective(file: &str, pointers: &[&str]) -> Vec<String> {
    let (code, printed, said) = throng(&["config", "--json", "--show-secrets", "--config", file], &[]);
    assert_eq!(code, 0, "{said}");
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    pointers
        .iter()
        .map(|pointer| printed.pointer(pointer).map(ToString::to_string).unwrap_or_default())
        .collect()
}

#[test]
fn what_is_converted_does_what_it_said() {
    let folder = Folder::new();
    let convert = |name: &str, text: &str| {
        let (file, new) = (folder.put(name, text), folder.path(&format!("{name}.toml")));
        let (code, _, said) = throng(&["config", "--convert", &file, "--output", &new], &[]);
        assert_eq!(code, 0, "{said}");
        new
    };
    let [five, _, hooks, _, personal, insecure] = OLD.map(|(name, text)| convert(name, text));
    let pointers = [
        "/config/client/token/hmac_secret_key",
        "/config/http_api/key/0",
        "/config/channel/namespaces/0/presence",
    ];
    assert_eq!(effective(&five, &pointers), ["\"a secret of version 5\"", "\"a key of version 5\"", "true"]);
    let pointers = [
        "/config/client/proxy/connect/enabled",
        "/config/client/proxy/connect/timeout",
        "/config/rpc/proxy/http/static_headers/X-Key",
        "/config/rpc/without_namespace/proxy_enabled",
        "/config/log_level",
    ];
    let wanted = ["true", "\"2s\"", "\"a key of headers\"", "true", "\"error\""];
    assert_eq!(effective(&hooks, &pointers), wanted);
    let pointers = [
        "/config/client/subscribe_to_user_personal_channel/personal_channel_namespace",
        "/config/channels_per_connection_max",
        "/config/drain_ms",
        "/config/compression",
        "/config/sse/enabled",
    ];
    assert_eq!(effective(&personal, &pointers), ["\"user\"", "32", "5000", "true", "true"]);
    let pointers = ["/config/client/insecure", "/config/http_api/insecure", "/is_development"];
    assert_eq!(effective(&insecure, &pointers), ["true", "true", "false"]);
}

#[test]
fn a_conversion_that_cannot_be_made_says_why() {
    let folder = Folder::new();
    let today = folder.put("today.toml", "[client]\ninsecure = true\n");
    let broken = folder.put("broken.json", "{\"api_key\": \"hush\"");
    let absent = folder.path("absent.json");
    for (args, wanted) in [
        (&["config", "--convert", &today][..], format!("throng: {today}: has no key of Centrifugo 3 to 5")),
        (&["config", "--convert", &broken], format!("throng: {broken}:1: not valid JSON")),
        (&["config", "--convert", &absent], format!("throng: {absent}: cannot be read: No such file")),
        (&["config", "--convert"], "throng: --convert: expected a file, or --env".to_owned()),
    ] {
        let (code, printed, said) = throng(args, &[]);
        assert_eq!((code, printed.as_str()), (2, ""), "{args:?}");
        assert!(said.starts_with(&wanted) && said.lines().count() == 1, "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn variables_of_older_versions_are_converted() {
    let (code, printed, said) = throng(&["config", "--convert", "--env"], &[]);
    let none = "throng: the environment has no variable of Centrifugo 3 to 5: there is nothing to convert\n";
    assert_eq!((code, printed.as_str(), said.as_str()), (1, "", none));
    let set = [("CENTRIFUGO_TOKEN_HMAC_SECRET_KEY", "hush"), ("CENTRIFUGO_ADMIN", "true")];
    let (code, printed, said) = throng(&["config", "--convert", "--env"], &set);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(printed.contains("\nCENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY=hush\n"), "{printed}");
    assert!(printed.contains("CENTRIFUGO_ADMIN_ENABLED=true\n"), "{printed}");
    let folder = Folder::new();
    let file = folder.put("five.json", OLD[0].1);
    let (code, printed, _) = throng(&["config", "--convert", &file, "--env"], &[]);
    assert!(code == 0 && printed.contains("CENTRIFUGO_HTTP_API_KEY='a key of version 5'\n"), "{printed}");
}

#[test]
fn a_process_leaves_its_id_and_its_log_in_files() {
    let folder = Folder::new();
    let (id, log) = (folder.path("throng.pid"), folder.path("throng.log"));
    let config = format!("pid_file = {id:?}\n[client]\ninsecure = true\n[log]\nlevel = \"debug\"\n");
    let server = Server::configured(&config, &[]);
    let written = fs::read_to_string(&id).unwrap();
    assert!(written.trim().parse::<u32>().is_ok(), "{written}");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    assert!(!fs::exists(&id).unwrap(), "it goes with the process");
    // A log that cannot be written stops the start.
    let nowhere = folder.put("nowhere.toml", "[client]\ninsecure = true\n[log]\nfile = \"/nowhere/x.log\"\n");
    let (code, _, said) = throng(&["serve", "--config", &nowhere], &[]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.starts_with("throng: log.file = \"/nowhere/x.log\": cannot be opened: No such file"),
        "{said}"
    );
    // One that can be is where the complaint goes.
    let port = server_port();
    let taken = format!(
        "listen = \"{port}\"\ncontrol = \"off\"\n[client]\ninsecure = true\n[log]\nfile = {log:?}\n",
        port = port.local_addr().unwrap()
    );
    let taken = folder.put("taken.toml", &taken);
    let (code, _, said) = throng(&["serve", "--config", &taken], &[]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(fs::read_to_string(&log).unwrap().contains("ERROR"), "the line is in the file");
}

fn server_port() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The first command of Centrifugo's users.
#[test]
fn a_configuration_to_begin_with_starts_a_closed_server() {
    let folder = std::env::temp_dir().join(format!("throng-new-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let throng = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_throng")).args(words).current_dir(&folder).output().unwrap()
    };
    for name in ["config.json", "other.toml", "other.yaml", "other.YML"] {
        let made = throng(&["genconfig", "-c", name]);
        assert!(made.status.success(), "{made:?}");
        assert!(throng(&["checkconfig", "-c", name]).status.success());
        let again = throng(&["genconfig", "-c", name]);
        assert_eq!(again.status.code(), Some(2), "nothing is overwritten: {again:?}");
        let shown = String::from_utf8(throng(&["config", "-c", name, "--show-secrets"]).stdout).unwrap();
        let secret = shown.split("hmac_secret_key = \"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(secret.len(), 64, "{shown}");
    }
    let defaults = throng(&["defaultconfig", "-c", "all.json"]);
    assert!(defaults.status.success(), "{defaults:?}");
    let all: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("all.json")).unwrap()).unwrap();
    assert_eq!(all["client"]["insecure"], false);
    // Centrifugo refuses a list.
    assert_eq!(all["http_api"]["key"], "");
    for name in ["all.json", "all.toml", "all.yaml", "all.yml"] {
        if name != "all.json" {
            let made = throng(&["defaultconfig", "-c", name]);
            assert!(made.status.success(), "{made:?}");
        }
        let checked = throng(&["checkconfig", "-c", name]);
        assert!(checked.status.success(), "{checked:?}");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let section = text.split("http_api").nth(1).unwrap();
        assert!(!section.lines().take(12).any(|line| line.contains("key") && line.contains("[]")), "{text}");
    }
    let elsewhere = throng(&["config", "--defaults", "--json", "-o", "wrong.toml"]);
    assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");
    assert!(!folder.join("wrong.toml").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
