//! Hooks: requests, answers, and backends that misbehave.

use std::net::TcpListener;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};

use super::backend::{Backend, Reply, json};
use super::*;
use crate::hub::codes::{CodeOutcome, CodeRule};
use crate::hub::words::Denied;
use crate::shard::outside::{Busy, Headers, Rejected, Who};

fn who() -> Who {
    Who {
        client: "c-1".to_owned(),
        user: "42".to_owned(),
        transport: "websocket",
        encoding: "json",
        headers: Headers::default(),
        meta: Vec::new(),
        certificate: None,
    }
}

fn call(method: &str) -> Question {
    Question::Rpc { who: who(), method: method.to_owned(), data: b"{}".to_vec() }
}

#[track_caller]
fn result(verdict: Verdict) -> Result<Vec<u8>, Rejected> {
    let Verdict::Rpc(outcome) = verdict else { panic!("not about a call: {verdict:?}") };
    outcome.map(|result| result.to_vec())
}

fn rpc(url: String) -> Options {
    Options { rpc: Some(hook(url)), ..options() }
}

#[test]
fn a_hook_is_asked_by_post_over_one_connection() {
    let backend = Backend::start(|seen| {
        Reply::Json(format!(r#"{{"result":{{"data":"{}"}}}}"#, seen.json()["method"].as_str().unwrap()))
    });
    let mut stage = Stage::new(&rpc(backend.url("/rpc?x=1")));
    for method in ["one", "two", "three"] {
        assert_eq!(result(stage.verdict(call(method))), Ok(format!("\"{method}\"").into_bytes()));
        let seen = backend.seen();
        assert_eq!((seen.line.as_str(), seen.connection), ("POST /rpc?x=1", 0));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert!(seen.header("user-agent").unwrap().starts_with("throng/"));
        assert_eq!(seen.header("accept-encoding"), Some("gzip"));
        assert_eq!(
            seen.body,
            format!(
                r#"{{"client":"c-1","transport":"websocket","protocol":"json","encoding":"json","user":"42","method":"{method}","data":{{}}}}"#
            )
        );
    }
}

#[test]
fn headers_are_passed_on_as_configured() {
    let backend = Backend::start(|_| json(r#"{"result":{"user":"7"}}"#));
    let name = str::to_owned;
    let options = HookOptions {
        http_headers: ["cookie", "x-own", "content-length", "host", "connection", "x-bad"].map(name).to_vec(),
        static_http_headers: vec![
            ("X-Own".to_owned(), "ours".to_owned()),
            ("Authorization".to_owned(), "Bearer us".to_owned()),
        ],
        ..hook(backend.url("/"))
    };
    let mut stage = Stage::new(&Options { connect: Some(options), ..super::options() });
    let told = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("authorization", "Bearer them"),
        ("x-other", "no"),
        ("x-own", "theirs"),
        ("content-length", "0"),
        ("host", "evil"),
        ("connection", "close"),
        ("x-bad", "a\r\nx-injected: b"),
    ];
    let headers = told.map(|(key, value)| (name(key), name(value))).to_vec();
    let question = Question::Connect {
        who: Who { headers: Headers { request: headers, emulated: Vec::new() }, ..who() },
        name: String::new(),
        version: String::new(),
        data: Vec::new(),
        channels: Vec::new(),
    };
    assert_eq!(super::tokens::connection(stage.verdict(question)).unwrap().user, "7");
    let seen = backend.seen();
    let cookies: Vec<_> = seen.headers.iter().filter(|(key, _)| key == "cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(seen.header("x-own"), Some("theirs"), "the client's, where it is asked for");
    assert_eq!(seen.header("authorization"), Some("Bearer us"));
    for absent in ["x-other", "x-bad", "x-injected", "connection"] {
        assert_eq!(seen.header(absent), None);
    }
    assert!(seen.header("host").unwrap().starts_with("127.0.0.1:"));
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
}

/// A header set by the client is passed only where configured, and never replaces a header of the request.
#[test]
fn what_clients_say_stays_apart_from_what_requests_say() {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let backend = Backend::start(|_| json("{\"result\":{}}"));
    let options = HookOptions {
        http_headers: names(&["x-request", "x-both", "x-either", "x-static"]),
        emulated_headers: names(&["x-client", "x-both", "x-either", "x-own"]),
        static_http_headers: pairs(&[("x-static", "ours"), ("x-own", "ours")]),
        ..hook(backend.url("/"))
    };
    let mut stage = Stage::new(&Options { rpc: Some(options), ..super::options() });
    let headers = Headers {
        request: pairs(&[("x-both", "request"), ("x-client", "request"), ("x-own", "request")]),
        emulated: pairs(&[
            ("x-request", "client"),
            ("x-both", "client"),
            ("x-either", "client"),
            ("x-client", "client"),
            ("x-static", "client"),
            ("x-own", "client"),
        ]),
    };
    let question =
        Question::Rpc { who: Who { headers, ..who() }, method: "m".to_owned(), data: b"{}".to_vec() };
    result(stage.verdict(question)).unwrap();
    let seen = backend.seen();
    let all = |name: &str| -> Vec<_> {
        seen.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(all("x-request"), [""; 0], "only the request's counts, and it has none");
    assert_eq!(all("x-both"), ["request"]);
    assert_eq!(all("x-either"), ["client"]);
    assert_eq!(all("x-client"), ["client"]);
    assert_eq!(all("x-static"), ["ours"]);
    assert_eq!(all("x-own"), ["client"]);
}

#[test]
fn lists_of_headers_that_cannot_be_are_refused() {
    let checked = |http: &str, emulated: &str| {
        let list = |name: &str| if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        let connect = HookOptions {
            http_headers: list(http),
            emulated_headers: list(emulated),
            ..hook("http://127.0.0.1/".to_owned())
        };
        crate::outside::check(&Options { connect: Some(connect), ..super::options() })
    };
    for name in ["x-real-ip", "X-Forwarded-For", "forwarded"] {
        let refused = checked("", name).remove(0);
        assert!(refused.starts_with("the connect hook's emulated_headers: "), "{refused}");
        assert!(refused.contains(name), "{refused}");
        assert_eq!(checked(name, ""), [""; 0]);
    }
    let refused = checked("x y", "").remove(0);
    assert_eq!(refused, "the connect hook's http_headers: \"x y\" is not the name of a header");
    let refused = checked("", "é").remove(0);
    assert_eq!(refused, "the connect hook's emulated_headers: \"é\" is not the name of a header");
}

#[test]
fn a_backend_that_fails_is_a_temporary_error() {
    let head = |head: &str, body: &[u8]| [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat();
    let large = vec![b' '; (1 << 20) + 1];
    let chunked = [b"100001\r\n", &large[..], b"\r\n0\r\n\r\n"].concat();
    let answers = [
        ("an error", head("500 Sorry\r\ncontent-length: 2", b"{}")),
        ("another success", head("201 Created\r\ncontent-length: 2", b"{}")),
        ("nothing", Vec::new()),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
        ("half a body", head("200 OK\r\ncontent-length: 20", b"{\"result\":")),
        ("no HTTP", b"\x16\x03\x01\x00 what is this".to_vec()),
        ("no JSON", head("200 OK\r\ncontent-length: 5", b"sorry")),
        ("other JSON", head("200 OK\r\ncontent-length: 2", b"[]")),
        ("a wrong type", head("200 OK\r\ncontent-length: 24", b"{\"result\":{\"b64data\":1}}")),
        (
            "a number that is no code",
            head("200 OK\r\ncontent-length: 27", b"{\"disconnect\":{\"code\":10}} "),
        ),
        ("too much, as announced", head(&format!("200 OK\r\ncontent-length: {}", large.len()), &large)),
        ("too much, in a chunk", head("200 OK\r\ntransfer-encoding: chunked", &chunked)),
        ("too large a head", head(&format!("200 OK\r\nx: {}", "x".repeat(1 << 20)), b"")),
    ];
    for (name, answer) in answers {
        let backend = Backend::start(move |_| Reply::Raw(answer.clone()));
        let mut stage = Stage::new(&rpc(backend.url("/")));
        assert_eq!(result(stage.verdict(call("m"))), Err(Rejected::Denied(Denied::Internal)), "{name}");
    }
}

/// A kept-alive connection closes without an answer: the request is sent once more over a new connection.
#[test]
fn a_request_that_a_kept_connection_swallowed_is_sent_once_more() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-le".to_vec();
    // Reply to the second request on a connection, reply to the first request on the second connection, number of
    // requests.
    for (name, swallowed, anew, outcome, count) in [
        ("nothing", Vec::new(), None, true, 3),
        ("nothing, twice", Vec::new(), Some(Vec::new()), false, 3),
        ("nothing, then an error", Vec::new(), Some(b"HTTP/1.1 500 Sorry\r\n\r\n".to_vec()), false, 3),
        ("half a head", head, None, false, 2),
    ] {
        let number = AtomicUsize::new(0);
        let backend = Backend::start(move |_| match (number.fetch_add(1, SeqCst), &anew) {
            (0, _) | (2, None) => json(r#"{"result":{"data":1}}"#),
            (1, _) => Reply::Raw(swallowed.clone()),
            (_, Some(bytes)) => Reply::Raw(bytes.clone()),
            (_, None) => json("{}"),
        });
        let mut stage = Stage::new(&rpc(backend.url("/")));
        assert_eq!(result(stage.verdict(call("m"))), Ok(b"1".to_vec()), "{name}");
        assert_eq!(result(stage.verdict(call("m"))).is_ok(), outcome, "{name}");
        let connections: Vec<usize> = (0..count).map(|_| backend.seen().connection).collect();
        assert_eq!(connections, [0, 0, 1][..count], "{name}");
        assert!(!backend.has_seen_more(), "{name}");
    }
}

#[test]
fn an_answer_of_just_a_mebibyte_is_taken() {
    let text = format!(r#"{{"result":{{"data":"{}"}}}}"#, "x".repeat((1 << 20) - 22));
    assert_eq!(text.len(), 1 << 20);
    let backend = Backend::start(move |_| json(&text));
    let mut stage = Stage::new(&rpc(backend.url("/")));
    assert_eq!(result(stage.verdict(call("m"))).map(|data| data.len()), Ok((1 << 20) - 20));
}

#[test]
fn a_backend_that_is_not_there_is_a_temporary_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for url in [url, "http://name.invalid/".to_owned()] {
        let mut stage = Stage::new(&rpc(url));
        assert_eq!(result(stage.verdict(call("m"))), Err(Rejected::Denied(Denied::Internal)));
    }
}

#[test]
fn three_redirects_are_followed() {
    let other = Backend::start(|seen| {
        Reply::Json(format!(r#"{{"result":{{"data":"{}"}}}}"#, seen.line.split(' ').next().unwrap()))
    });
    for (count, status, outcome) in
        [(1, 307, Ok("POST")), (3, 307, Ok("POST")), (3, 302, Ok("GET")), (4, 307, Err(()))]
    {
        let there = other.url("/there");
        let backend = Backend::start(move |seen| {
            let number: u32 = seen.line.rsplit('/').next().unwrap().parse().unwrap();
            let next = if number == 1 { there.clone() } else { format!("/{}", number - 1) };
            let head = format!("HTTP/1.1 {status} There\r\nlocation: {next}\r\ncontent-length: 0\r\n\r\n");
            Reply::Raw(head.into_bytes())
        });
        let mut stage = Stage::new(&rpc(backend.url(&format!("/{count}"))));
        let expected = match outcome {
            Ok(method) => Ok(format!("\"{method}\"").into_bytes()),
            Err(()) => Err(Rejected::Denied(Denied::Internal)),
        };
        assert_eq!(result(stage.verdict(call("m"))), expected, "{count} of {status}");
    }
}

#[test]
fn answers_may_be_packed_and_have_many_fields() {
    use std::io::Write as _;
    let packed = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let answer = |fields: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let text = br#"{"result":{"data":1}}"#;
    let fields: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    let vast = packed(&[b' '; (1 << 20) + 1]);
    for (bytes, is_taken) in [
        (answer("content-encoding: gzip\r\n", &packed(text)), true),
        (answer(&fields, text), true),
        (answer("content-encoding: gzip\r\n", text), false),
        (answer("content-encoding: gzip\r\n", &vast), false),
    ] {
        let backend = Backend::start(move |_| Reply::Raw(bytes.clone()));
        let mut stage = Stage::new(&rpc(backend.url("/")));
        let expected = if is_taken { Ok(b"1".to_vec()) } else { Err(Rejected::Denied(Denied::Internal)) };
        assert_eq!(result(stage.verdict(call("m"))), expected);
    }
}

#[test]
fn a_status_with_a_rule_is_an_answer() {
    let backend = Backend::start(|_| Reply::Raw(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let to = CodeOutcome::Disconnect { code: 4504, reason: "away".to_owned() };
    let status_rules = vec![CodeRule { from: 404, to }];
    let rpc = Some(HookOptions { status_rules, ..hook(backend.url("/")) });
    let mut stage = Stage::new(&Options { rpc, ..options() });
    let away = Rejected::Disconnect { code: 4504, reason: "away".to_owned() };
    assert_eq!(result(stage.verdict(call("m"))), Err(away));
}

#[test]
fn a_silent_backend_costs_no_more_than_its_time() {
    let backend = Backend::start(|_| Reply::Silence);
    let silent = HookOptions { timeout_ms: 50, ..hook(backend.url("/")) };
    // Questions that wait for a permit have the same timeout.
    let mut stage = Stage::new(&Options { rpc: Some(silent), hook_requests_max: 1, ..options() });
    for request in 0..8 {
        stage.ask(request * 2, call("m"));
    }
    for _ in 0..8 {
        assert_eq!(result(stage.answer(0).1), Err(Rejected::Denied(Denied::Internal)));
    }
}

#[test]
fn requests_and_questions_are_bounded() {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let most_seen = Arc::clone(&most);
    let gate = Arc::new(Barrier::new(2));
    let at_gate = Arc::clone(&gate);
    let backend = Backend::start(move |seen| {
        most_seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        if seen.json()["method"] == "gate" {
            at_gate.wait();
        }
        now.fetch_sub(1, SeqCst);
        json(r#"{"result":{"data":1}}"#)
    });
    let bounds = Options { questions_max: 6, hook_requests_max: 2, ..rpc(backend.url("/")) };
    let mut stage = Stage::new(&bounds);
    // One request is held; the others use the second permit, one after the other.
    stage.ask(0, call("gate"));
    for request in 1..6 {
        stage.ask(request * 2, call("m"));
    }
    assert_eq!(stage.world.ask(reply_to(12), call("m")), Err(Busy));
    for _ in 1..6 {
        assert_ne!(stage.answer(0).0, 0);
    }
    gate.wait();
    assert_eq!(stage.answer(0).0, 0);
    assert!(most.load(SeqCst) <= 2, "{most:?} at a time");
    stage.ask(0, call("m"));
    assert!(result(stage.answer(0).1).is_ok(), "there is room again");
}

#[test]
fn hooks_are_asked_over_tls_when_the_certificate_is_good() {
    let issuer_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&issuer_key).unwrap();
    let issuer = rcgen::Issuer::new(params, issuer_key);
    let serve = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        Backend::start_tls(Arc::new(config), |_| json(r#"{"result":{"data":1}}"#))
    };
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let trusting = Client::trusting(roots).unwrap();
    let (good, misnamed) = (serve("127.0.0.1"), serve("elsewhere.test"));
    let outcome = |client: &Client, backend: &Backend| {
        let mut stage = Stage::asking_by(client.clone(), &rpc(backend.url("/")));
        result(stage.verdict(call("m")))
    };
    let failed = Err(Rejected::Denied(Denied::Internal));
    assert_eq!(outcome(&trusting, &good), Ok(b"1".to_vec()));
    assert_eq!(outcome(&trusting, &misnamed), failed, "for another host");
    assert_eq!(outcome(&client(), &good), failed, "by an issuer that nobody knows");
    let by = |backend: &Backend, tls: HookTls| {
        let rpc = Some(HookOptions { tls: HookTls { enabled: true, ..tls }, ..hook(backend.url("/")) });
        let mut stage = Stage::new(&Options { rpc, ..options() });
        result(stage.verdict(call("m")))
    };
    let (server_ca_pem, server_name) = (root.pem(), "elsewhere.test".to_owned());
    assert_eq!(
        by(&good, HookTls { server_ca_pem: server_ca_pem.clone(), ..HookTls::default() }),
        Ok(b"1".to_vec())
    );
    let named = HookTls { server_ca_pem, server_name, ..HookTls::default() };
    assert_eq!(by(&misnamed, named.clone()), Ok(b"1".to_vec()), "by the name that is said");
    assert_eq!(by(&good, named), failed);
    let anyone = HookTls { insecure_skip_verify: true, ..HookTls::default() };
    assert_eq!(by(&misnamed, anyone), Ok(b"1".to_vec()));
    assert_eq!(by(&good, HookTls::default()), failed);
}

/// A backend that accepts only clients with a known certificate.
#[test]
fn a_hook_is_asked_with_a_client_certificate() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut known = RootCertStore::empty();
    known.add(own.cert.der().clone()).unwrap();
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(known.into(), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![own.cert.der().clone()],
            PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into()),
        )
        .unwrap();
    let backend = Backend::start_tls(Arc::new(config), |_| json(r#"{"result":{"data":1}}"#));
    let (pem, key_pem) = (own.cert.pem(), own.signing_key.serialize_pem());
    for (cert_pem, key_pem, is_taken) in [(pem.clone(), key_pem, true), (String::new(), String::new(), false)]
    {
        let tls =
            HookTls { enabled: true, server_ca_pem: pem.clone(), cert_pem, key_pem, ..HookTls::default() };
        let rpc = Some(HookOptions { tls, ..hook(backend.url("/")) });
        let mut stage = Stage::new(&Options { rpc, ..options() });
        assert_eq!(result(stage.verdict(call("m"))).is_ok(), is_taken);
    }
}
