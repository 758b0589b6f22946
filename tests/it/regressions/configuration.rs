//! Configuration that was accepted without effect, or had the opposite effect.

use std::process::{Command, Output};
use std::{env, fs};

use throng::parts::config;

use crate::support::Server;
use crate::support::tls::Folder;
use crate::support::tls::fixtures::Authority;

/// The binary's exit code, stdout and stderr, without variables meant for the tests.
fn throng(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    let of_others = env::vars_os().map(|(name, _)| name);
    of_others.filter(|name| name.to_string_lossy().starts_with("THRONG_")).for_each(|name| {
        command.env_remove(name);
    });
    let Output { status, stdout, stderr } =
        command.args(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Each was passed over, and left the server in open development mode.
#[test]
fn a_variable_that_means_nothing_ends_every_command_and_says_what_was_meant() {
    for command in
        [&["serve"][..], &["config"], &["config", "--check"], &["token", "--user", "a"], &["doctor"]]
    {
        let (code, _, said) = throng(command, &[("THRONG_CLIENT_TOKEN_HMAC_SECRET_KE", "hush")]);
        let wanted = "throng: THRONG_CLIENT_TOKEN_HMAC_SECRET_KE=…: unknown variable; is \
                      THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY meant?\n";
        assert_eq!((code, said.as_str()), (2, wanted), "{command:?}");
    }
    let of_a_service = [
        ("THRONG_SERVICE_HOST", "10.0.0.1"),
        ("THRONG_PORT", "tcp://10.0.0.1:8000"),
        ("THRONG_EDGE_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("THRONG_BIN", "/usr/bin/throng"),
    ];
    let (code, _, said) = throng(&["config"], &of_a_service);
    assert_eq!((code, said.as_str()), (0, ""));
}

/// Users with keys of a newer version in a file cannot always remove them. A key that may be meant to restrict access
/// is refused.
#[test]
fn unknown_keys_are_passed_over_where_that_is_asked_for_and_opens_nothing() {
    let folder = Folder::new();
    let file = folder.put("newer.toml", "zebra = \"hush\"\n[rates]\nzebras_max = 5\n");
    let (code, _, said) = throng(&["config", "--config", &file], &[]);
    assert!(code == 2 && said.lines().count() == 2 && !said.contains("hush"), "{said}");
    for (args, variables) in
        [(&["--unknown-keys", "warn"][..], &[][..]), (&[], &[("THRONG_UNKNOWN_KEYS", "warn")])]
    {
        let (code, _, said) = throng(&[&["config", "--check", "--config", &file], args].concat(), variables);
        let wanted = format!(
            "throng: WARNING: {file}:1: zebra is ignored: unknown key; `throng config` prints all of them"
        );
        assert!(code == 0 && said.lines().any(|line| line == wanted) && !said.contains("hush"), "{said}");
    }
    let only = folder.put("only.toml", "zebra = 1\n");
    let (_, printed, _) = throng(&["config", "--json", "--unknown-keys", "warn", "--config", &only], &[]);
    assert!(printed.contains("\"is_development\": false"), "{printed}");
    for closing in [
        "clientt = {}",
        "[client]\nallowed_origin = []",
        "[client.token]\nhmac_secret = 'hush'",
        "[http_api]\nkeyy = 'hush'",
    ] {
        let file = folder.put("closing.toml", &format!("{closing}\n"));
        let (code, _, said) =
            throng(&["config", "--check", "--unknown-keys", "warn", "--config", &file], &[]);
        assert!(code == 2 && said.contains("unknown") && !said.contains("hush"), "{closing}: {said}");
    }
    let (code, _, said) = throng(&["config"], &[("THRONG_UNKNOWN_KEYS", "loud")]);
    assert_eq!((code, said.as_str()), (2, "throng: THRONG_UNKNOWN_KEYS=…: expected refuse or warn\n"));
}

/// `throng --listen 0.0.0.0:8000` let the whole world in.
#[test]
fn beyond_loopback_development_mode_is_asked_for_by_its_name() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        for command in ["serve", "config"] {
            let (code, _, said) = throng(&[command, "--listen", listen], &[]);
            assert_eq!(code, 2, "{said}");
            assert!(
                said.starts_with(&format!("throng: --listen [\"{listen}\"]: {listen} can be reached from")),
                "{said}"
            );
            for way_out in ["client.token", "client.proxy.connect", "loopback", "--development"] {
                assert!(said.contains(way_out), "{way_out} in {said}");
            }
        }
        for way_out in ["--development", "--client-insecure"] {
            let (code, _, said) = throng(&["config", "--listen", listen, way_out], &[]);
            assert_eq!((code, said.as_str()), (0, ""), "{way_out}");
        }
    }
    let (code, _, said) = throng(&["config", "--listen", "127.0.0.2:0,[::1]:0,[::ffff:127.0.0.1]:0"], &[]);
    assert_eq!((code, said.as_str()), (0, ""), "all of it is loopback");
    let (_, printed, _) = throng(&["config", "--json", "--development=false"], &[]);
    assert!(printed.contains("\"is_development\": false"), "{printed}");
    let server = Server::start(&[]);
    assert!(server.said[0].starts_with("throng: development mode: any client on this machine"));
}

/// The printed configuration of an explicit development mode loads back to the same.
#[test]
fn development_mode_is_printed_so_that_it_loads_back() {
    let flags = ["config", "--listen", "0.0.0.0:8000", "--development"];
    let (_, printed, _) = throng(&flags, &[]);
    let folder = Folder::new();
    let file = folder.put("development.toml", &printed);
    let json = |args: &[&str]| -> serde_json::Value { serde_json::from_str(&throng(args, &[]).1).unwrap() };
    let again = json(&["config", "--json", "--config", &file]);
    let first = json(&[&flags[..], &["--json"]].concat());
    assert_eq!((&again["config"], &again["is_development"]), (&first["config"], &true.into()));
}

/// The documents' places for keys were taken for keys, which all the world could read.
#[test]
fn the_placeholders_of_the_documents_are_no_keys() {
    for (text, key) in [
        ("[client.token]\nhmac_secret_key = 'replace it, or set X'", "client.token.hmac_secret_key"),
        ("[client.token]\nhmac_previous_secret_key = 'replace-me'", "client.token.hmac_previous_secret_key"),
        ("[http_api]\nkey = ['good', 'Replace-Me']", "http_api.key"),
        ("control_key = 'replace it'", "control_key"),
        (
            "[rpc.proxy]\nhttp.static_headers = { Authorization = 'apikey replace-it' }",
            "rpc.proxy.http.static_headers",
        ),
    ] {
        let folder = Folder::new();
        let file = folder.put("placeholders.toml", text);
        let (code, _, said) = throng(&["serve", "--config", &file], &[]);
        assert!(
            code == 2 && said.contains(&format!("{key} = …: is a placeholder from the documentation")),
            "{said}"
        );
        assert!(!said.contains("replace"), "{said}");
    }
    let (code, _, said) = throng(&["config"], &[("THRONG_HTTP_API_KEY", "replace it")]);
    assert!(code == 2 && said.starts_with("throng: THRONG_HTTP_API_KEY=…: is a placeholder"), "{said}");
}

/// Every key in the documents' examples is refused as a placeholder.
#[test]
fn every_key_in_the_documents_is_a_placeholder() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let mut seen = 0;
    for entry in fs::read_dir(docs).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let text = fs::read_to_string(entry.path()).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('|')) {
            for name in ["hmac_secret_key", "hmac_previous_secret_key", "control_key", "key"] {
                let json = line.split_once(&format!("\"{name}\": \"")).map(|(_, rest)| rest);
                let toml = line.strip_prefix(&format!("{name} = \""));
                let Some((value, _)) = json.or(toml).and_then(|rest| rest.split_once('"')) else { continue };
                seen += 1;
                assert!(config::is_placeholder(value), "{}: {line}", entry.path().display());
            }
        }
    }
    assert!(seen >= 6, "only {seen} keys seen: the search is broken");
}

/// Patterns that match no browser's origin were accepted without a word, and admitted nobody; then they stopped the
/// start, while Centrifugo starts with them and their neighbours work.
#[test]
fn origins_that_no_browser_sends_are_told_with_what_to_write() {
    let origins = "https://chat.example.com/,example.com,https://example.com:443,https://Example.com";
    let (code, _, said) = throng(&["config", "--check", "--client-allowed-origins", origins], &[]);
    assert_eq!(code, 0, "{said}");
    for wanted in [
        "\"https://chat.example.com/\" has a path, and an origin ends with its host and port: write \"https://chat.example.com\"",
        "\"example.com\" has no scheme: write \"https://example.com\"",
        "\"https://example.com:443\" has the scheme's own port, which browsers leave out: write \"https://example.com\"",
        "\"https://Example.com\" holds capitals, and browsers send none: write \"https://example.com\"",
    ] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert_eq!(said.lines().filter(|line| line.contains("matches: ")).count(), 4, "{said}");
}

/// Unknown keys hid invalid values, and those hid contradictions.
#[test]
fn errors_of_every_kind_are_told_at_once() {
    let text = "unknwon = 1\nshards = 'two'\nlisten = '0.0.0.0:8000'\ncontrol = '127.0.0.1:8000'\n\
                tls_cert = '/nowhere/a.pem'\ntls_key = '/nowhere/a.key'\n[client]\nallowed_origins = ['https://{a}.example']\n\
                [client.token]\nhmac_secret_key = 'replace it'\naudience = 'a'\naudience_regex = 'b'\n[client.proxy.connect]\n\
                enabled = true\nendpoint = 'http://'\n[channel.without_namespace]\nhistory_size = 5\nhistory_ttl = 5\n\
                [[channel.namespaces]]\nname = 'chat'\nforce_recovery = true\n";
    let folder = Folder::new();
    let file = folder.put("every-kind.toml", text);
    let (code, printed, said) = throng(&["config", "--check", "--config", &file], &[("THRONG_PINN", "x")]);
    assert_eq!((code, printed.as_str()), (2, ""));
    for wanted in [
        "unknwon = …: unknown key",
        "shards = \"two\": expected a whole number",
        "control = \"127.0.0.1:8000\": expected another port than listen",
        "client.allowed_origins = [\"https://{a}.example\"]: \"https://{a}.example\" has no host",
        "client.token.hmac_secret_key = …: is a placeholder",
        "client.token.audience_regex = \"b\": does not go together with audience",
        "client.proxy.connect.endpoint = \"http://\": expected an http:// or https:// URL",
        "channel.without_namespace.history_ttl = 5: expected a duration",
        "channel.namespaces.chat.force_recovery = true: expected history_size and history_ttl with it",
        "THRONG_PINN=…: unknown variable; is THRONG_PIN meant?",
        "/nowhere/a.pem",
        "/nowhere/a.key",
    ] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    // The invalid `history_ttl` is reported once, and not also as a conflict with its default.
    assert_eq!(said.lines().count(), 12, "{said}");
}

/// Invalid flags and variables were reported only after the file could be read.
#[test]
fn a_file_that_cannot_be_read_hides_no_other_error() {
    let (code, _, said) =
        throng(&["config", "--config", "/nowhere/t.toml", "--shards", "0"], &[("THRONG_PIN", "x")]);
    assert_eq!((code, said.lines().count()), (2, 3), "{said}");
}

/// `throng config --check` prints errors, including those of certificates, and nothing else.
#[test]
fn a_check_prints_errors_and_warnings_alone() {
    let tokens = [("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "between us")];
    let (code, printed, said) = throng(&["config", "--check"], &tokens);
    assert_eq!((code, printed.as_str(), said.as_str()), (0, "", ""));
    let (code, printed, said) = throng(&["config", "--check"], &[]);
    assert_eq!((code, printed.as_str()), (0, ""));
    assert!(said.starts_with("throng: development mode: "), "{said}");
    let folder = Folder::new();
    let [_, cert, _, key] = folder.pair("server", &Authority::new().issue(&["localhost"]));
    let tls =
        |cert: &str, key: &str| throng(&["config", "--check", "--tls-cert", cert, "--tls-key", key], &tokens);
    let (code, _, said) = tls(&cert, &key);
    assert_eq!((code, said.as_str()), (0, ""));
    let (code, _, said) = tls(&cert, &cert);
    assert!(code == 2 && said.contains(&cert), "{said}");
    let (code, _, said) = tls("/nowhere/a.pem", &key);
    assert!(code == 2 && said.contains("/nowhere/a.pem"), "{said}");
    let file = folder.put("authority.pem", "no certificate");
    let args = ["config", "--check", "--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &file];
    let (code, _, said) = throng(&args, &tokens);
    assert!(code == 2 && said.contains(&file), "{said}");
}

/// `control_key` was printed as it is, and repeated in errors.
#[test]
fn no_secret_is_printed_unless_it_is_asked_for() {
    let args = ["config", "--control-key", "hush"];
    for more in [&[][..], &["--json"]] {
        let (code, printed, _) = throng(&[&args[..], more].concat(), &[]);
        assert!(code == 0 && !printed.contains("hush"), "{printed}");
        let (_, printed, _) = throng(&[&args[..], more, &["--show-secrets"]].concat(), &[]);
        assert!(printed.contains("hush"), "{printed}");
    }
}
