//! A changed configuration had no effect until a restart, except for certificates.

use serde_json::{Value, json};
use throng::parts::config::ApiOptions;
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::backend::Running;
use crate::support::centrifuge::PATH;
use crate::support::peer::{CLOSE, TEXT, upgrade};
use crate::support::tls::Folder;
use crate::support::tls::fixtures::Authority;
use crate::support::{Client, Peer, Server};

const FIRST: &str = r#"
connections_max = 1000
[client]
allowed_origins = ["https://first.example"]
[client.token]
hmac_secret_key = "first secret"
[http_api]
key = "first key"
[[channel.namespaces]]
name = "chat"
allow_subscribe_for_client = true
"#;

/// All that is in the first, but other values; and one that cannot change.
const SECOND: &str = r#"
connections_max = 2000
[client]
allowed_origins = ["https://second.example"]
[client.token]
hmac_secret_key = "second secret"
[http_api]
key = "second key"
[[channel.namespaces]]
name = "chat"
[[channel.namespaces]]
name = "news"
allow_subscribe_for_client = true
[rates]
presences_max = 1
"#;

/// A server with a replaceable configuration.
struct Stage {
    server: Server,
    folder: Folder,
}

impl Stage {
    fn start(toml: &str, flags: &[&str]) -> Self {
        let folder = Folder::new();
        let path = folder.put("throng.toml", toml);
        Self { server: Server::start(&[&["--config", &path], flags].concat()), folder }
    }

    fn write(&self, toml: &str) {
        self.folder.put("throng.toml", toml);
    }

    /// Writes another, and has it read by a signal.
    fn reload(&self, toml: &str) {
        self.write(toml);
        let before = self.server.metric("throng_config_reloads_total");
        self.server.signal("HUP");
        self.server.await_metric("throng_config_reloads_total", before + 1);
    }

    /// Calls the server API.
    fn call(&self, key: &str, method: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let request = format!(
            "POST /api/{method} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = Peer::request(self.server.control, request.as_bytes());
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    fn connect(&self, secret: &str) -> Result<Client, u16> {
        let token = mint(secret.as_bytes(), br#"{"sub":"ann"}"#);
        let mut peer = Peer::open(self.server.address, PATH);
        peer.send(TEXT, json!({"id": 1, "connect": {"token": token}}).to_string());
        let frame = peer.frame();
        if frame.opcode == CLOSE {
            return Err(frame.close_code().unwrap());
        }
        Ok(Client::of(peer, &frame))
    }

    /// The status of a handshake by a page of this origin.
    fn status(&self, origin: &str) -> u16 {
        let mut peer = Peer::connect(self.server.address);
        peer.send_bytes(upgrade(PATH, &format!("Origin: {origin}\r\n")).as_bytes());
        peer.response_head().status
    }

    /// That all of the first configuration holds, or all of the second.
    fn expect(&self, name: &str, other: &str) {
        assert_eq!(self.call(&format!("{name} key"), "info", &json!({})).0, 200);
        assert_eq!(self.call(&format!("{other} key"), "info", &json!({})).0, 401);
        assert_eq!(self.status(&format!("https://{name}.example")), 101);
        assert_eq!(self.status(&format!("https://{other}.example")), 403);
        assert_eq!(self.connect(&format!("{other} secret")).err(), Some(3500));
        let mut client = self.connect(&format!("{name} secret")).unwrap();
        let (chat, news) = if name == "first" { (Ok(()), Err(102)) } else { (Err(103), Ok(())) };
        assert_eq!((client.subscribe("chat:1"), client.subscribe("news:1")), (chat, news));
    }
}

#[test]
fn keys_origins_and_channels_change_and_who_is_connected_stays() {
    let stage = Stage::start(FIRST, &[]);
    stage.expect("first", "second");
    let mut ann = stage.connect("first secret").unwrap();
    assert_eq!(ann.subscribe("chat:1"), Ok(()));
    stage.reload(SECOND);
    stage.expect("second", "first");
    // She keeps the subscription that she has; the rates hold for her, too.
    let publication = json!({"channel": "chat:1", "data": {"still": "here"}});
    assert_eq!(stage.call("second key", "publish", &publication).0, 200);
    assert_eq!(ann.publication(), ("chat:1".to_owned(), json!({"still": "here"})));
    assert_eq!(ann.subscribe("chat:2"), Err(103));
    assert_eq!(ann.subscribe("news:1"), Ok(()));
    let presence = json!({"presence": {"channel": "news:1"}});
    let codes = [(); 2].map(|()| ann.request(presence.clone())["error"]["code"].as_u64());
    assert_eq!(codes, [Some(108), Some(111)], "there is none, and asked for too often");
    stage.reload(FIRST);
    stage.expect("first", "second");
    ann.sync();
}

#[test]
fn a_request_reloads_and_is_told_what_changed_and_what_could_not() {
    let stage = Stage::start(FIRST, &[]);
    let nothing = json!({"result": {"changed": [], "needs_restart": []}});
    assert_eq!(stage.call("first key", "reload", &json!({})), (200, nothing));
    stage.write(SECOND);
    assert_eq!(stage.call("second key", "reload", &json!({})).0, 401);
    let changed = [
        "channel.namespaces.chat.allow_subscribe_for_client",
        "channel.namespaces.news",
        "channel.namespaces.news.allow_subscribe_for_client",
        "client.allowed_origins",
        "client.token.hmac_secret_key",
        "http_api.key",
        "rates.presences_max",
    ];
    let answer = stage.call("first key", "reload", &json!({}));
    let told = |changed: &[&str]| {
        (200, json!({"result": {"changed": changed, "needs_restart": ["connections_max"]}}))
    };
    assert_eq!(answer, told(&changed));
    stage.expect("second", "first");
    assert_eq!(stage.call("second key", "reload", &json!({})), told(&[]), "it still has its old value");
    stage.server.signal("TERM");
    let (code, said) = stage.server.end();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("configuration reloaded; changed: channel.namespaces.chat.allow_subscribe"),
        "{said}"
    );
    assert!(said.contains("these keys keep their old value until a restart: connections_max"), "{said}");
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    let stage = Stage::start(FIRST, &[]);
    let wrong = [
        (
            SECOND.replace("key = \"second key\"", "kee = \"x\""),
            "http_api.kee = …: unknown key; is http_api.key meant?",
        ),
        (SECOND.replace("second secret", "replace it"), "client.token.hmac_secret_key = …: is a placeholder"),
        (
            SECOND.replace("https://second.example", "https://{a}.example"),
            "\"https://{a}.example\" has no host",
        ),
        (
            format!("outbox_bytes_max = '1GiB'\n{SECOND}"),
            "expected at least outbox_bytes_max, which is \"1GiB\"",
        ),
        ("[".to_owned(), "not valid TOML"),
    ];
    for (count, (toml, why)) in (1..).zip(&wrong) {
        stage.write(toml);
        let (status, answer) = stage.call("first key", "reload", &json!({}));
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!((status, answer["error"]["code"].as_u64()), (200, Some(107)));
        assert!(message.contains(why), "{message}");
        assert_eq!(stage.server.metric("throng_config_reload_errors_total"), count);
        stage.expect("first", "second");
    }
    stage.server.signal("HUP");
    stage.server.await_metric("throng_config_reload_errors_total", 6);
    assert_eq!(stage.server.metric("throng_config_reloads_total"), 0);
    stage.server.signal("TERM");
    let (_, said) = stage.server.end();
    assert!(said.contains("configuration not reloaded, the old one stays in force: "), "{said}");
    assert!(said.contains("throng.toml:8: http_api.kee"), "{said}");
}

/// Half of a reload would be certificates without their configuration, or the other way round.
#[test]
fn a_certificate_that_cannot_be_used_keeps_the_whole_reload_from_happening() {
    let folder = Folder::new();
    let pair = folder.pair("server", &Authority::new().issue(&["localhost"]));
    let stage = Stage::start(FIRST, &pair.each_ref().map(String::as_str));
    folder.put("server.key", "no key");
    stage.write(SECOND);
    let (_, answer) = stage.call("first key", "reload", &json!({}));
    assert!(answer["error"]["message"].as_str().unwrap().contains("server.key"), "{answer}");
    assert_eq!(stage.call("first key", "info", &json!({})).0, 200);
    assert_eq!(stage.call("second key", "info", &json!({})).0, 401);
}

#[test]
fn hooks_are_asked_where_the_new_configuration_says() {
    let [first, second] = [Application::start(), Application::start()];
    let config = |application: &Application| {
        let connect = hook(application, "connect");
        format!(
            "[client.proxy.connect]\nenabled = true\nendpoint = {}\ntimeout = '20s'\nhttp_headers = ['X-Who']\n",
            connect["endpoint"]
        )
    };
    let stage = Stage::start(&config(&first), &[]);
    let connect = || {
        let mut peer = Peer::open(stage.server.address, PATH);
        peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
        peer
    };
    let asked_before = connect();
    let question = first.question("connect");
    stage.reload(&config(&second));
    let asked_after = connect();
    second.answer("connect", json!({"result": {"user": "after"}}));
    // The endpoint that got the request answers it.
    question.answer(json!({"result": {"user": "before"}}));
    for mut peer in [asked_before, asked_after] {
        let (_, reply) = peer.message();
        assert!(serde_json::from_slice::<Value>(&reply).unwrap()["connect"]["client"].is_string());
    }
}

/// An embedder without a configuration source gets an error, and a signal ends nothing.
#[test]
fn without_a_configuration_to_read_there_is_nothing_to_reload() {
    let running = Running::start(ApiOptions { insecure: true, ..ApiOptions::default() });
    let request = "POST /api/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let response = Peer::request(running.control, request.as_bytes());
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer["error"]["code"], 108, "{answer}");
    running.end();
}
