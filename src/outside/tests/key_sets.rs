//! Keys from key sets behind a URL.

use super::backend::{Backend, Reply, json};
use super::tokens::{connection, invalid};
use super::*;
use crate::base::counters::Counter;
use crate::hub::options::NamePattern;
use crate::hub::words::Denied;
use crate::shard::outside::{Credentials, Rejected, Token};
use std::sync::atomic::Ordering::Relaxed;

fn published_at(url: String) -> Options {
    // The other keys are ignored then.
    let token = TokenOptions { jwks_public_endpoint: url, ..all_keys("p256") };
    Options { token, ..options() }
}

/// Counts of the set for connections: fetches, failures by reason, and the time at which the set in use was fetched.
fn counted(stage: &Stage) -> (u64, Vec<u64>, u64) {
    let counts = &stage.world.counts().key_sets[0];
    assert!(counts.is_configured.load(Relaxed));
    let fetches = counts.took_us.buckets().map(|(_, count)| count).sum();
    (fetches, counts.failures.iter().map(Counter::value).collect(), counts.fetched_unix_s.load(Relaxed))
}

fn verify(stage: &mut Stage, token: &str) -> Result<Box<Credentials>, Rejected> {
    connection(stage.verdict(Question::ConnectionToken(token.to_owned())))
}

#[test]
fn keys_are_found_by_their_names_and_fetched_once() {
    let backend = Backend::start(|_| Reply::Json(VECTORS.jwks.to_string()));
    let mut stage = Stage::new(&published_at(backend.url("/certs?v=1")));
    let (secret, public): (Vec<_>, Vec<_>) =
        VECTORS.named.iter().partition(|(algorithm, _)| algorithm.starts_with("HS"));
    for (_, token) in secret {
        assert_eq!(verify(&mut stage, token), Err(invalid()), "no secret is ever published");
    }
    for (_, token) in &public {
        assert!(stage.world.verify_now(&Token::Connection(token), NOW_UNIX_S).is_none(), "not in a shard");
        stage.ask(0, Question::ConnectionToken((*token).clone()));
    }
    for _ in public {
        assert_eq!(connection(stage.answer(0).1).map(|who| who.user), Ok("42".to_owned()));
    }
    let (fetches, failures, fetched_at) = counted(&stage);
    assert_eq!((fetches, failures.iter().sum::<u64>()), (1, 0));
    assert!(fetched_at.abs_diff(crate::outside::now_unix_s()) < 3600);
    let seen = backend.seen();
    assert_eq!((seen.line.as_str(), seen.header("accept")), ("GET /certs?v=1", Some("application/json")));
    // An unknown key is not in the set that was just fetched.
    let unknown = VECTORS.named["RS256"].replacen(
        VECTORS.named["RS256"].split('.').next().unwrap(),
        &data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"RS256","kid":"nobody's"}"#),
        1,
    );
    assert_eq!(verify(&mut stage, &unknown), Err(invalid()));
    assert!(!backend.has_seen_more());
}

/// The token determines its key set before it is verified, by one of the values that the configuration lists.
#[test]
fn a_token_says_by_its_issuer_which_set_has_its_key() {
    let [one, two] = ["one", "two"].map(|_| rcgen::KeyPair::generate().unwrap());
    let set = |key: &rcgen::KeyPair| {
        let point = key.public_key_raw();
        let part = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let (x, y) = (part(&point[1..33]), part(&point[33..65]));
        serde_json::json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y}]}).to_string()
    };
    let sets = [set(&one), set(&two)];
    let backend =
        Backend::start(move |seen| Reply::Json(sets[usize::from(seen.line.contains("/two/"))].clone()));
    let token = TokenOptions {
        jwks_public_endpoint: backend.url("/{{tenant}}/keys"),
        issuer_regex: NamePattern::new(r"^https://(?P<tenant>one|two)\.test$").unwrap(),
        ..TokenOptions::default()
    };
    let mut stage = Stage::new(&Options { token, ..options() });
    let signed = |key: &rcgen::KeyPair, issuer: &str| {
        let part = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let claims = format!(r#"{{"sub":"42","iss":"https://{issuer}.test"}}"#);
        let text = format!("{}.{}", part(br#"{"alg":"ES256","kid":"k"}"#), part(claims.as_bytes()));
        let random = ring::rand::SystemRandom::new();
        let by = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = ring::signature::EcdsaKeyPair::from_pkcs8(by, &key.serialize_der(), &random).unwrap();
        format!("{text}.{}", part(key.sign(&random, text.as_bytes()).unwrap().as_ref()))
    };
    for (key, issuer, is_taken) in
        [(&one, "one", true), (&two, "two", true), (&two, "one", false), (&one, "three", false)]
    {
        let outcome = verify(&mut stage, &signed(key, issuer));
        assert_eq!(outcome.is_ok(), is_taken, "{issuer}: {outcome:?}");
    }
    let mut asked = [backend.seen().line, backend.seen().line];
    asked.sort_unstable();
    assert_eq!(asked, ["GET /one/keys", "GET /two/keys"]);
    assert!(!backend.has_seen_more(), "each set is fetched once");
}

#[test]
fn a_key_that_is_not_in_the_set_is_none() {
    let backend = Backend::start(|_| json(r#"{"keys":[]}"#));
    let mut stage = Stage::new(&published_at(backend.url("/")));
    assert_eq!(verify(&mut stage, &VECTORS.named["RS256"]), Err(invalid()));
}

#[test]
fn a_token_that_names_no_key_has_the_only_one() {
    let keys = &VECTORS.jwks["keys"];
    let one = serde_json::json!({ "keys": [keys[3]] }).to_string();
    let two = serde_json::json!({ "keys": [keys[3], keys[3]] }).to_string();
    for (set, is_found) in [(one, true), (two, false)] {
        let backend = Backend::start(move |_| Reply::Json(set.clone()));
        let mut stage = Stage::new(&published_at(backend.url("/")));
        assert_eq!(verify(&mut stage, &VECTORS.tokens["ES256"]).is_ok(), is_found);
    }
}

#[test]
fn what_is_no_key_for_signatures_is_passed_over() {
    let mut keys = VECTORS.jwks["keys"].as_array().unwrap().clone();
    keys[0]["use"] = "enc".into();
    keys[1]["alg"] = "RS256".into();
    keys[3]["crv"] = "P-384".into();
    for odd in [
        serde_json::json!({"kty": "oct", "kid": "key of RS256", "k": "AAAA"}),
        serde_json::json!({"kty": "new", "kid": "key of RS256"}),
        serde_json::json!({"kty": "RSA", "kid": "key of RS256", "n": "AQ", "e": "AQAB"}),
        serde_json::json!({"kty": "RSA", "kid": "key of RS256", "n": "!", "e": "AQAB"}),
        serde_json::json!("no key"),
        serde_json::json!(null),
    ] {
        keys.insert(0, odd);
    }
    let set = serde_json::json!({ "keys": keys }).to_string();
    let backend = Backend::start(move |_| Reply::Json(set.clone()));
    let mut stage = Stage::new(&published_at(backend.url("/")));
    // All wait for the one fetch, so that the answers are about the set.
    for algorithm in ["RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"] {
        stage.ask(0, Question::ConnectionToken(VECTORS.named[algorithm].clone()));
    }
    let good = (0..6).filter(|_| connection(stage.answer(0).1).is_ok()).count();
    assert_eq!(good, 3, "RS512, ES384 and EdDSA");
}

#[test]
fn an_endpoint_that_does_not_work_is_not_the_clients_fault() {
    type Answer = (fn() -> Reply, [u64; 5]);
    let answers: [Answer; 4] = [
        (|| Reply::Raw(b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n".to_vec()), [0, 0, 1, 0, 0]),
        (|| Reply::Raw(Vec::new()), [0, 1, 0, 0, 0]),
        (|| json("nonsense"), [0, 0, 0, 0, 1]),
        (|| json(r#"{"keys":1}"#), [0, 0, 0, 0, 1]),
    ];
    for (answer, failures) in answers {
        let backend = Backend::start(move |_| answer());
        let mut stage = Stage::new(&published_at(backend.url("/")));
        assert_eq!(verify(&mut stage, &VECTORS.named["RS256"]), Err(Rejected::Denied(Denied::Internal)));
        backend.seen();
        assert_eq!(
            verify(&mut stage, &VECTORS.named["RS256"]),
            Err(Rejected::Denied(Denied::Internal)),
            "at once"
        );
        assert!(!backend.has_seen_more(), "it is given a rest");
        assert_eq!(counted(&stage), (1, failures.to_vec(), 0));
    }
}

#[test]
fn of_a_set_that_is_another_from_now_on_nothing_has_been_fetched() {
    let backend = Backend::start(|_| Reply::Json(VECTORS.jwks.to_string()));
    let mut stage = Stage::new(&published_at(backend.url("/one")));
    assert!(verify(&mut stage, &VECTORS.named["RS256"]).is_ok());
    assert_ne!(counted(&stage).2, 0);
    let same = stage.world.renewed(&published_at(backend.url("/one"))).unwrap().begin();
    assert_ne!(same.counts().key_sets[0].fetched_unix_s.load(Relaxed), 0, "what was fetched is kept");
    stage.world = stage.world.renewed(&published_at(backend.url("/two"))).unwrap().begin();
    assert_eq!(counted(&stage).2, 0);
    assert!(verify(&mut stage, &VECTORS.named["RS256"]).is_ok());
    let (fetches, _, fetched_at) = counted(&stage);
    assert!(fetches == 2 && fetched_at != 0);
    stage.world = stage.world.renewed(&options()).unwrap().begin();
    assert!(!stage.world.counts().key_sets[0].is_configured.load(Relaxed));
}
