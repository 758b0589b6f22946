//! Certificates of a running server: chosen by name, reloaded under live connections, and those of clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rcgen::SanType;
use serde_json::{Value, json};
use throng::parts::config::{Config, PemText, TlsOptions};
use throng::parts::control::Outcome;
use throng::parts::proto::http::{Refusal, Request, Status};
use throng::parts::session::{CloseReason, Handler, Message, Peer as Client};

use crate::support::centrifuge::PATH;
use crate::support::peer::{PATIENCE, TEXT};
use crate::support::tls::fixtures::{Authority, leaf};
use crate::support::tls::{Folder, Pair, Socket, first, trusting};
use crate::support::{Peer, Server, until};

fn start(flags: &[String]) -> Server {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Server::start(&[&["--echo", "/echo"], &flags[..]].concat())
}

/// Each shard reads its letter in its own time.
fn await_certificate(ca: &Authority, server: &Server, pair: &Pair) {
    until("the new certificate", || {
        let socket = Socket::open(&trusting(ca, None), server.address, "one.test", "/echo").unwrap();
        (socket.certificate() == first(pair)).then_some(())
    });
}

#[test]
fn who_does_not_end_its_handshake_in_time_keeps_no_place() {
    let (folder, ca) = (Folder::new(), Authority::new());
    // One shard, since each has its part of the half-open places.
    let flags = ["--shards", "1", "--handshake-ms", "300", "--linger-ms", "60000", "--half-open-max", "3"];
    let flags = flags.map(str::to_owned);
    let server = start(&[&folder.pair("one", &ca.issue(&["one.test"]))[..], &flags].concat());
    let crowd: Vec<_> = (0..3)
        .map(|n| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            // Nothing, the head of a record, and half a hello.
            stream
                .write_all(&[&[22, 3, 1, 1, 0, 1, 0, 0, 252], &[0; 100][..]].concat()[..[0, 3, 109][n]])
                .unwrap();
            stream
        })
        .collect();
    server.await_metric("throng_handshake_timeouts_total", 3);
    // Long before the deadline of clients with unread output.
    server.await_metric("throng_connections", 0);
    drop(crowd);
    Socket::open(&trusting(&ca, None), server.address, "one.test", "/echo").unwrap();
}

#[test]
fn certificates_are_chosen_by_name_and_reloaded_under_live_connections() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let (one, two) = (ca.issue(&["one.test"]), ca.issue(&["two.test", "*.three.test"]));
    let server = start(&[folder.pair("one", &one), folder.pair("two", &two)].concat());
    let client = trusting(&ca, None);
    let open = |name: &str| Socket::open(&client, server.address, name, "/echo").unwrap();
    for (name, pair) in [("one.test", &one), ("two.test", &two), ("a.three.test", &two)] {
        assert_eq!(open(name).certificate(), first(pair), "{name}");
    }
    let (mut live, before) = (open("one.test"), server.metric("throng_tls_certificate_not_after_seconds"));
    assert!(before > 4_000_000_000, "both ends are told: {before}");

    let renewed = ca.issue(&["one.test"]);
    folder.pair("one", &renewed);
    server.signal("HUP");
    server.await_metric("throng_tls_reloads_total", 1);
    assert_eq!(live.ask("still here"), "still here");
    // An earlier client resumes its session: tickets outlive certificates.
    assert!(open("one.test").is_resumed());
    await_certificate(&ca, &server, &renewed);

    // Without a signal: the key first, which fits no more, then the certificate to it.
    let again = ca.issue(&["one.test"]);
    folder.put("one.key", &again.1);
    server.await_metric("throng_tls_reload_errors_total", 1);
    assert_eq!(open("two.test").certificate(), first(&two));
    folder.put("one.pem", &again.0);
    server.await_metric("throng_tls_reloads_total", 2);
    await_certificate(&ca, &server, &again);
    assert_eq!(live.ask("and still"), "and still");
    drop(live);
    server.signal("TERM");
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    let wanted = format!(
        "certificates not reloaded, the old ones stay in use: {}: holds the key",
        folder.path("one.key")
    );
    assert!(said.contains(&wanted) && said.contains("certificates reloaded"), "{said}");
}

#[test]
fn it_says_wss_and_whose_certificate_it_shows() {
    let server = start(&["--tls-self-signed".to_owned()]);
    assert!(server.said.last().unwrap().contains(" ready: wss://127.0.0.1:"), "{:?}", server.said);
    let told = server.said.iter().find(|line| line.contains("self-signed certificate")).unwrap();
    let fingerprint = told.rsplit(' ').next().unwrap();
    assert_eq!((fingerprint.len(), fingerprint.matches(':').count()), (95, 31), "{told}");
    // A client without the authority does not trust it.
    let refused = Socket::open(&trusting(&Authority::new(), None), server.address, "localhost", "/echo");
    assert!(refused.err().unwrap().contains("UnknownIssuer"));
}

#[test]
fn what_cannot_be_served_ends_it_with_2_and_names_the_file() {
    let (folder, pair) = (Folder::new(), leaf(&["a.test"]));
    let (chain, key) = (folder.put("a.pem", &pair.0), folder.put("a.key", &pair.1));
    let (other, empty) = (folder.put("other.key", &leaf(&["a.test"]).1), folder.put("empty", ""));
    let nothing = folder.path("nothing");
    for (flags, said) in [
        (vec![("cert", &chain), ("key", &other)], format!("{other}: holds the key of another certificate")),
        (vec![("cert", &empty), ("key", &key)], format!("{empty}: is empty")),
        (vec![("cert", &chain), ("key", &nothing)], format!("{nothing}: cannot be read: No such file")),
        (vec![("cert", &chain), ("key", &chain)], format!("{chain}: holds no private key")),
        (vec![("cert", &chain), ("key", &key), ("client-ca", &key)], format!("{key}: holds no certificate")),
        (vec![("cert", &chain)], "expected as many files as in tls_cert, which has 1".to_owned()),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--control", "off"]);
        for (flag, value) in flags {
            command.args([&format!("--tls-{flag}"), value]);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&said), "{stderr}, not {said}");
    }
}

#[test]
fn a_hangup_ends_no_server_without_certificates() {
    let server = Server::start(&["--echo", "/echo"]);
    let mut peer = Peer::open(server.address, "/echo");
    server.signal("HUP");
    peer.send(TEXT, "still here");
    assert_eq!(peer.message(), (TEXT, b"still here".to_vec()));
    drop(peer);
    server.await_metric("throng_connections", 0);
    server.signal("TERM");
    let (code, said) = server.end();
    assert!(code == Some(0) && said.contains("configuration reloaded; no reloadable key"), "{said}");
}

/// Answers one question of the connect hook, and hands it over.
fn backend(answer: Value) -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/connect", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        let length = head.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
        });
        let mut body = vec![0; length.last().unwrap()];
        reader.read_exact(&mut body).unwrap();
        tell.send(serde_json::from_slice(&body).unwrap()).unwrap();
        let answer = answer.to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    });
    (url, asked)
}

/// A server that asks clients for certificates of `clients`, with this `client` section.
fn asking(folder: &Folder, ca: &Authority, clients: &Authority, mode: &str, client: Value) -> Server {
    let pair = folder.pair("server", &ca.issue(&["localhost"]));
    let config = json!({
        "tls_client_ca": folder.put("clients.pem", clients.pem()),
        "tls_client_cert": mode,
        "client": client,
        "channel": {"without_namespace": {
            "presence": true, "allow_subscribe_for_client": true, "allow_presence_for_subscriber": true
        }}
    });
    let config = folder.put("throng.json", &config.to_string());
    start(&[&pair[..], &["--config".to_owned(), config]].concat())
}

fn ask(socket: &mut Socket, command: Value) -> Value {
    serde_json::from_str(&socket.ask(&command.to_string())).unwrap()
}

#[test]
fn a_client_with_a_certificate_is_the_user_that_it_names() {
    let (folder, ca, clients) = (Folder::new(), Authority::new(), Authority::new());
    let client = json!({"allow_certificate_connect_without_token": true});
    let server = asking(&folder, &ca, &clients, "required", client);
    let ann = clients.issue_client("Ann", vec![SanType::Rfc822Name("ann@example.com".try_into().unwrap())]);
    let known = trusting(&ca, Some(&ann));
    // Once in full, once resumed: a ticket contains the certificate's identity.
    for is_resumed in [false, true] {
        let mut socket = Socket::open(&known, server.address, "localhost", PATH).unwrap();
        assert_eq!(socket.is_resumed(), is_resumed);
        let id = ask(&mut socket, json!({"id": 1, "connect": {}}))["connect"]["client"].take();
        ask(&mut socket, json!({"id": 2, "subscribe": {"channel": "room"}}));
        let present = ask(&mut socket, json!({"id": 3, "presence": {"channel": "room"}}));
        let present = &present["presence"]["presence"][id.as_str().unwrap()];
        assert_eq!(present["user"], "ann@example.com", "{present}");
    }
    let stranger = Authority::new().issue_client("Ann", vec![]);
    for own in [None, Some(&stranger)] {
        let refused = Socket::open(&trusting(&ca, own), server.address, "localhost", PATH);
        assert!(refused.is_err(), "{own:?}");
    }
}

#[test]
fn a_connect_hook_is_told_of_the_certificate_and_who_has_none_may_be_let_in() {
    let (folder, ca, clients) = (Folder::new(), Authority::new(), Authority::new());
    let ann = clients.issue_client("Ann", vec![]);
    for own in [Some(&ann), None] {
        let (url, asked) = backend(json!({"result": {"user": "42"}}));
        let client = json!({"proxy": {"connect": {"enabled": true, "endpoint": url}}});
        let server = asking(&folder, &ca, &clients, "optional", client);
        let mut socket = Socket::open(&trusting(&ca, own), server.address, "localhost", PATH).unwrap();
        let connected = ask(&mut socket, json!({"id": 1, "connect": {}}));
        assert!(connected["connect"]["client"].is_string(), "{connected}");
        let certificate = asked.recv_timeout(PATIENCE).unwrap()["certificate"].take();
        match own {
            Some(_) => {
                assert_eq!(
                    (&certificate["name"], certificate["sha256"].as_str().unwrap().len()),
                    (&json!("Ann"), 64)
                );
            }
            None => assert_eq!(certificate, Value::Null),
        }
    }
}

/// Sends a client its identity; a client without one is refused.
struct WhoAmI;

impl Handler for WhoAmI {
    type State = ();

    fn serves(&self, path: &str) -> bool {
        path == "/who"
    }

    fn open(
        &mut self,
        _request: &Request<'_>,
        _subprotocol: Option<&'static str>,
        peer: &mut Client<'_, '_>,
    ) -> Result<(), Refusal> {
        let none = Refusal::new(Status::Forbidden, "who are you?");
        peer.certificate().map(drop).ok_or(none)
    }

    fn message(
        &mut self,
        (): &mut (),
        message: Message<'_>,
        peer: &mut Client<'_, '_>,
    ) -> Result<(), CloseReason> {
        let name = peer.certificate().map_or("", |certificate| certificate.name).to_owned();
        peer.send(message.kind, name.as_bytes());
        Ok(())
    }
}

#[test]
fn an_embedder_has_certificates_in_memory_and_reloads_them() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let pem = |(chain, key): (String, String)| vec![PemText { name: "mine".into(), chain, key }];
    let (before, after) = (ca.issue(&["a.test"]), ca.issue(&["a.test"]));
    let mut config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        control: None,
        shards: 2,
        pin: false,
        private_descriptors: false,
        tls: TlsOptions {
            pem: pem(before.clone()),
            client_ca_pem: clients.pem().to_owned(),
            requires_client_cert: false,
            only_tls13: true,
            ..TlsOptions::default()
        },
        ..Config::default()
    };
    config.timeouts.drain_ms = 50;
    let server = throng::Server::start(&config, |_shard| WhoAmI).unwrap();
    let (address, certificates) = (server.addresses()[0], server.certificates().unwrap());
    let drain = server.drainer();
    let thread = thread::spawn(|| server.wait().unwrap());
    let ann = clients.issue_client("Ann", vec![]);
    let open = |own| Socket::open(&trusting(&ca, own), address, "a.test", "/who");
    let mut socket = open(Some(&ann)).unwrap();
    assert_eq!((socket.certificate(), socket.ask("who am I?").as_str()), (first(&before), "Ann"));
    assert!(open(None).err().unwrap().contains("403"), "a handler may refuse who is nobody");
    certificates.reload_with(pem((after.0.clone(), before.1))).unwrap_err();
    certificates.reload_with(pem(after.clone())).unwrap();
    assert_eq!(certificates.facts()[0].source, "mine");
    until("the new certificate", || (open(Some(&ann)).unwrap().certificate() == first(&after)).then_some(()));
    assert_eq!(socket.ask("and now?"), "Ann");
    drop(socket);
    drain();
    assert_eq!(thread.join().unwrap(), Outcome::Drained);
}

/// `http_server.tls` of Centrifugo: each value a text in PEM, base64 of it, or a path, which is watched.
#[test]
fn a_section_names_the_certificate_in_any_form() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let pair = ca.issue(&["one.test"]);
    let (chain, key) = (folder.put("one.pem", &pair.0), folder.put("one.key", &pair.1));
    let packed = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let section = |cert: &str, key: &str, more: &str| {
        format!(
            "[client]\ninsecure = true\n[http_server]\ntls_external = true\n[http_server.tls]\nenabled = true\n\
             cert_pem = {cert:?}\nkey_pem = {key:?}\n{more}"
        )
    };
    for (cert, key) in
        [(&chain, &key), (&pair.0, &pair.1), (&packed(&pair.0), &packed(&pair.1)), (&chain, &pair.1)]
    {
        let server = Server::configured(&section(cert, key, ""), &["--echo", "/echo"]);
        let mut socket = Socket::open(&trusting(&ca, None), server.address, "one.test", "/echo").unwrap();
        assert_eq!((socket.certificate(), socket.ask("a")), (first(&pair), "a".to_owned()));
    }
    // A file is read anew when it changes.
    let server = Server::configured(&section(&chain, &key, ""), &["--echo", "/echo"]);
    let renewed = ca.issue(&["one.test"]);
    folder.pair("one", &renewed);
    server.signal("HUP");
    await_certificate(&ca, &server, &renewed);
    drop(server);
    // Clients need a certificate where their authority is named.
    let more = format!("client_ca_pem = {:?}\n", ca.pem());
    let server = Server::configured(&section(&chain, &key, &more), &["--echo", "/echo"]);
    let own = ca.issue(&["client.test"]);
    assert!(Socket::open(&trusting(&ca, Some(&own)), server.address, "one.test", "/echo").is_ok());
    assert!(Socket::open(&trusting(&ca, None), server.address, "one.test", "/echo").is_err());
}

#[test]
fn a_section_that_names_no_certificate_stops_the_start() {
    let folder = Folder::new();
    for (section, wanted) in [
        (
            "cert_pem = \"/nowhere/a.pem\"\nkey_pem = \"/nowhere/a.key\"",
            "tls.toml:5: http_server.tls.cert_pem = \"/nowhere/a.pem\": cannot be read: No such file",
        ),
        // All errors of one file at once.
        (
            "cert_pem = \"/nowhere/a.pem\"\nkey_pem = \"/nowhere/a.key\"\nzebra = 1",
            "tls.toml:6: http_server.tls.key_pem = \"/nowhere/a.key\": cannot be read: No such file",
        ),
        (
            "cert_pem = \"/nowhere/a.pem\"\nkey_pem = \"/nowhere/a.key\"\nzebra = 1",
            "tls.toml:7: http_server.tls.zebra",
        ),
        (
            "cert_pem = \"nowhere\"\nkey_pem = \"/nowhere/a.key\"",
            "tls.toml:5: http_server.tls.cert_pem = …: is neither PEM, nor its base64, nor the path of a file that can \
             be read (No such file",
        ),
        (
            "cert_pem = \"-----BEGIN PRIVATE KEY----- HUSH -----END PRIVATE KEY-----\"\nkey_pem = \"/nowhere/a.key\"",
            "tls.toml:6: http_server.tls.key_pem = \"/nowhere/a.key\": cannot be read: No such file",
        ),
        (
            "cert_pem = \"a.pem\"",
            "http_server.tls.key_pem = \"\" (default): expected a text in PEM, its base64, or a path",
        ),
    ] {
        let text = format!("[client]\ninsecure = true\n[http_server.tls]\nenabled = true\n{section}\n");
        let file = folder.put("tls.toml", &text);
        for command in [&["serve"][..], &["config", "--check"]] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_throng"));
            let output = run.args(command).args(["--control", "off", "--config", &file]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(2) && said.contains(wanted), "{said}");
            assert!(!said.contains("HUSH"), "{said}");
        }
    }
}
