//! Secrets that were printed: in the log, in an error, in the printed configuration.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::{env, fs, thread};

use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::tls::Folder;
use crate::support::{Peer, Server};

/// The binary with these variables, without those meant for the tests.
fn throng(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    let is_ours = |name: &str| name.starts_with("THRONG_") || name.starts_with("CENTRIFUGO_");
    env::vars().map(|(name, _)| name).filter(|name| is_ours(name)).for_each(|name| {
        command.env_remove(name);
    });
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// Its exit code, stdout and stderr.
fn said(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    (status.code().unwrap(), stdout + &stderr)
}

/// A hook that fails, and records the requested paths.
fn failing_hook() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, paths) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let line = BufReader::new(&stream).lines().next().unwrap().unwrap();
            sender.send(line.split(' ').nth(1).unwrap().to_owned()).unwrap();
            stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    (port, paths)
}

/// The value of a variable in the path of a hook, or in a header, is visible to the backend only: logs, errors and
/// the printed configuration show the variable's name.
#[test]
fn variables_in_texts_of_hooks_are_told_by_name() {
    let folder = Folder::new();
    let (port, paths) = failing_hook();
    let file = folder.path("throng.toml");
    let endpoint = format!("http://127.0.0.1:{port}/${{CENTRIFUGO_VAR_HUSH}}/connect?k=${{THRONG_VAR_KEY}}");
    let hook = format!("enabled = true\nendpoint = '{endpoint}'\n");
    let headers = "http.static_headers = { X-Key = 'apikey ${THRONG_VAR_KEY}' }\n";
    fs::write(&file, format!("[client.proxy.connect]\n{hook}{headers}")).unwrap();
    let variables = [("CENTRIFUGO_VAR_HUSH", "SECRET"), ("THRONG_VAR_KEY", "SECRET")];

    let server = Server::spawn(throng(&variables).args(["serve", "--log-level", "trace", "--config", &file]));
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id": 1, "connect": {}}"#);
    assert_eq!(paths.recv().unwrap(), "/SECRET/connect?k=SECRET");
    peer.frame();
    server.signal("HUP");
    let metrics = String::from_utf8(server.ask("/metrics").body).unwrap();
    server.signal("TERM");
    let (_, log) = server.end();
    assert!(log.contains("/${CENTRIFUGO_VAR_HUSH}/connect"), "{log}");
    assert!(!log.contains("SECRET") && !metrics.contains("SECRET"), "{log}{metrics}");

    for flags in [&[][..], &["--json"], &["--check"], &["--show-secrets"], &["--json", "--show-secrets"]] {
        let (code, text) = said(throng(&variables).args(["config", "--config", &file]).args(flags));
        assert!(code == 0 && !text.contains("SECRET"), "{flags:?}: {text}");
        let is_printed = flags != ["--check"];
        assert_eq!(text.contains(&endpoint.replace("?k=${THRONG_VAR_KEY}", "")), is_printed, "{text}");
    }
    // Values that no URL and no header can have.
    for (name, value, place) in [
        ("CENTRIFUGO_VAR_HUSH", "a SECRET", "client.proxy.connect.endpoint"),
        ("THRONG_VAR_KEY", "a\nSECRET", "client.proxy.connect.http.static_headers"),
    ] {
        let mut command = throng(&variables);
        let (code, text) = said(command.env(name, value).args(["config", "--check", "--config", &file]));
        assert!(code == 2 && text.contains(place) && !text.contains("SECRET"), "{text}");
    }
}

/// A value with an unquoted blank ends up as an unexpected argument.
#[test]
fn a_word_too_many_is_not_repeated() {
    for (words, place) in [
        ("--http_api.key a SECRET", "--http_api.key: word 3"),
        ("serve --client.insecure SECRET", "--client.insecure: word 3"),
        ("config --control-key=a SECRET", "--control-key: word 3"),
        ("checkconfig -c x.json SECRET", "-c: word 4"),
        ("gentoken -u 42 SECRET", "-u: word 4"),
        ("bench idle --connections 1 SECRET", "--connections: word 5"),
    ] {
        let (code, text) = said(throng(&[]).args(words.split(' ')));
        assert!(code == 2 && text.contains(place) && !text.contains("SECRET"), "{words}: {text}");
    }
    let (code, text) = said(throng(&[]).arg("srve"));
    assert!(code == 2 && text.contains("is serve meant?"), "a command that was meant is named: {text}");
}

/// `changeme` and its like are taken, since a deployment may have them already, with a warning that names the key.
#[test]
fn secrets_that_others_can_guess_are_told_of() {
    let folder = Folder::new();
    let file = folder.path("throng.toml");
    let text = "control_key = 'change-me'\n[http_api]\nkey = ['Secret', 'c9b1e0f3']\n[client.token]\nhmac_secret_key = 'my_secret'\n\
                [client.proxy.connect]\nenabled = true\nendpoint = 'http://a'\n\
                http.static_headers = { X-Key = 'apikey ${THRONG_VAR_KEY}', X-Stage = 'test' }\n";
    fs::write(&file, text).unwrap();
    let variables = [
        ("THRONG_VAR_KEY", "changeme"),
        // The nearer source has a good one.
        (
            "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY",
            "b14361404c078ffd549c03db443c3fede2f3e534d73f78f77301ed97d4a436a9",
        ),
    ];
    let (code, text) = said(throng(&variables).args(["config", "--check", "--config", &file]));
    let warned: Vec<_> =
        text.lines().filter(|line| line.contains("a placeholder that others can guess")).collect();
    let keys = ["1: control_key", "3: http_api.key", "9: client.proxy.connect.http.static_headers"];
    assert!(code == 0 && warned.len() == keys.len(), "{text}");
    for key in keys {
        let wanted = format!("WARNING: {file}:{key} is a placeholder");
        assert!(warned.iter().any(|line| line.contains(&wanted)), "{wanted}: {text}");
    }
    for value in ["change-me", "Secret", "changeme", "my_secret"] {
        assert!(!text.contains(value), "{text}");
    }
    let server = Server::spawn(throng(&variables).args(["serve", "--config", &file]));
    assert!(
        server.said.iter().any(|line| line.contains("control_key is a placeholder")),
        "{:?}",
        server.said
    );
}
