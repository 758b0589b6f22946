//! Tokens: immediate answers, answers of workers, and refusals.

use super::*;
use crate::outside::check;
use crate::outside::mint;
use crate::shard::outside::{Busy, Credentials, Hook, Rejected, Token};

pub(super) fn invalid() -> Rejected {
    Rejected::TokenInvalid
}

#[track_caller]
pub(super) fn connection(verdict: Verdict) -> Result<Box<Credentials>, Rejected> {
    let Verdict::Connection(outcome) = verdict else { panic!("not about a connection: {verdict:?}") };
    outcome
}

fn connection_now(stage: &Stage, token: &str) -> Option<Result<Box<Credentials>, Rejected>> {
    stage.world.verify_now(&Token::Connection(token), NOW_UNIX_S).map(connection)
}

#[test]
fn every_algorithm_is_verified_where_it_belongs() {
    for curve in ["p256", "p384"] {
        let mut stage = Stage::new(&Options { token: all_keys(curve), ..options() });
        let other_curve = if curve == "p256" { "ES384" } else { "ES256" };
        for (algorithm, token) in &VECTORS.tokens {
            let at_once = connection_now(&stage, token);
            assert_eq!(
                at_once.is_some(),
                algorithm.starts_with("HS") || algorithm == other_curve,
                "{algorithm}"
            );
            let by_worker = connection(stage.verdict(Question::ConnectionToken(token.clone())));
            if let Some(at_once) = at_once {
                assert_eq!(at_once, by_worker);
            }
            if algorithm == other_curve {
                assert_eq!(by_worker, Err(invalid()));
                continue;
            }
            let credentials = by_worker.unwrap_or_else(|rejected| panic!("{algorithm}: {rejected:?}"));
            assert_eq!((credentials.user.as_str(), credentials.expire_at_s), ("42", 4_000_000_000));
            assert_eq!(*credentials.info, *br#"{"name": "Ann"}"#, "as it was written");
        }
    }
}

#[test]
fn a_signature_is_of_every_byte() {
    let mut stage = Stage::new(&Options { token: all_keys("p256"), ..options() });
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let token = &VECTORS.tokens[algorithm];
        let parts: Vec<&str> = token.split('.').collect();
        let [head, claims, signature] = parts[..] else { panic!("{token}") };
        let other = VECTORS.expired[algorithm].split('.').nth(1).unwrap();
        let flip = |text: &str| {
            let flipped = if text.starts_with('A') { "B" } else { "A" };
            format!("{flipped}{}", &text[1..])
        };
        for spoilt in [
            format!("{head}.{other}.{signature}"),
            format!("{head}.{claims}.{}", flip(signature)),
            format!("{head}.{claims}."),
            format!("{head}.{claims}"),
            format!("{head}.{claims}.{signature}."),
            format!("{head}.{claims}.{signature}A"),
            format!("{head}.{claims}.{signature}="),
            format!("{head}..{signature}"),
            format!(" {token}"),
            format!("{token}\n"),
        ] {
            let by_worker = connection(stage.verdict(Question::ConnectionToken(spoilt.clone())));
            assert_eq!(by_worker, Err(invalid()), "{spoilt}");
            assert!(connection_now(&stage, &spoilt).is_none_or(|at_once| at_once == Err(invalid())));
        }
    }
}

#[test]
fn a_key_is_used_with_its_own_algorithms_only() {
    // A well-known attack: signing with HMAC and the public key, which everyone has, as the secret.
    let rsa_only = TokenOptions { rsa_public_key: VECTORS.pem["rsa"].clone(), ..TokenOptions::default() };
    let hmac_only = TokenOptions { hmac_secret_key: VECTORS.secret.clone(), ..TokenOptions::default() };
    for token in [rsa_only, hmac_only.clone(), all_keys("p256")] {
        let mut stage = Stage::new(&Options { token, ..options() });
        let confused = VECTORS.confused.values().chain(VECTORS.unsupported.values());
        for text in confused {
            assert_eq!(connection_now(&stage, text), Some(Err(invalid())), "{text}");
            assert_eq!(connection(stage.verdict(Question::ConnectionToken(text.clone()))), Err(invalid()));
        }
    }
    let stage = Stage::new(&Options { token: hmac_only, ..options() });
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        assert_eq!(connection_now(&stage, &VECTORS.tokens[algorithm]), Some(Err(invalid())), "no such key");
    }
    let nothing = Stage::new(&options());
    for token in VECTORS.tokens.values() {
        assert_eq!(connection_now(&nothing, token), Some(Err(invalid())), "no key at all");
    }
}

#[test]
fn a_secret_that_is_being_replaced_is_taken_until_its_time() {
    let told = |current: &str, until_s: u64| TokenOptions {
        hmac_secret_key: current.to_owned(),
        hmac_previous_secret_key: VECTORS.secret.clone(),
        hmac_previous_secret_key_valid_until_s: until_s,
        ..TokenOptions::default()
    };
    let new = mint(b"new", b"{}");
    for (token, is_taken) in [
        (told("new", 0), true),
        (told("new", NOW_UNIX_S + 1), true),
        (told("new", NOW_UNIX_S), true),
        (told("new", NOW_UNIX_S - 1), false),
        (told("", 0), true),
    ] {
        let has_new = !token.hmac_secret_key.is_empty();
        let stage = Stage::new(&Options { token, ..options() });
        for algorithm in ["HS256", "HS384", "HS512"] {
            let old = connection_now(&stage, &VECTORS.tokens[algorithm]).unwrap();
            assert_eq!(old.is_ok(), is_taken, "{algorithm}");
        }
        assert_eq!(connection_now(&stage, &new).unwrap().is_ok(), has_new);
        for text in VECTORS.confused.values().chain([&mint(b"neither", b"{}")]) {
            assert_eq!(connection_now(&stage, text), Some(Err(invalid())), "{text}");
        }
    }
}

#[test]
fn tokens_of_no_algorithm_are_refused() {
    let stage = Stage::new(&Options { token: all_keys("p256"), ..options() });
    let part = |json: &str| data_encoding::BASE64URL_NOPAD.encode(json.as_bytes());
    for head in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        "[]",
        "",
    ] {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", part(head), part(r#"{"sub":"42"}"#));
            assert_eq!(connection_now(&stage, &token), Some(Err(invalid())), "{head}");
        }
    }
}

#[test]
fn what_is_over_is_told_apart() {
    let mut stage = Stage::new(&Options { token: all_keys("p256"), ..options() });
    for (algorithm, token) in &VECTORS.expired {
        let expected = if algorithm == "ES384" { invalid() } else { Rejected::TokenExpired };
        assert_eq!(connection(stage.verdict(Question::ConnectionToken(token.clone()))), Err(expected));
    }
}

#[test]
fn subscriptions_may_have_keys_of_their_own() {
    let secret =
        |secret: &str| TokenOptions { hmac_secret_key: secret.to_owned(), ..TokenOptions::default() };
    let token = mint(b"one", br#"{"sub":"42","channel":"$news"}"#);
    let verify = |options: &Options| {
        let mut stage = Stage::new(options);
        let at_once = stage.world.verify_now(&Token::Subscription(&token), NOW_UNIX_S).unwrap();
        let by_worker = stage.verdict(Question::SubscriptionToken(token.clone()));
        let (Verdict::Subscription(at_once), Verdict::Subscription(by_worker)) = (at_once, by_worker) else {
            panic!("not about a subscription")
        };
        assert_eq!(at_once, by_worker);
        at_once.map(|grant| grant.channel)
    };
    let two = Some(secret("two"));
    assert_eq!(verify(&Options { token: secret("one"), ..options() }), Ok("$news".to_owned()));
    assert_eq!(
        verify(&Options { token: secret("one"), subscription_token: two, ..options() }),
        Err(invalid())
    );
    let one = Some(secret("one"));
    let answer = verify(&Options { token: secret("two"), subscription_token: one, ..options() });
    assert_eq!(answer, Ok("$news".to_owned()));
}

#[test]
fn long_tokens_are_for_workers() {
    let mut stage = Stage::new(&Options { token: all_keys("p256"), ..options() });
    let claims = format!(r#"{{"sub":"42","info":"{}"}}"#, "x".repeat(5000));
    let token = mint(VECTORS.secret.as_bytes(), claims.as_bytes());
    assert_eq!(connection_now(&stage, &token), None);
    assert_eq!(connection(stage.verdict(Question::ConnectionToken(token))).unwrap().info.len(), 5002);
}

#[test]
fn each_shard_gets_the_answers_to_its_own_questions() {
    let mut stage = Stage::new(&Options { token: all_keys("p256"), ..options() });
    let tokens: Vec<_> = VECTORS.tokens.values().collect();
    for request in 0..200 {
        let token = tokens[usize::try_from(request).unwrap() % tokens.len()].clone();
        stage.ask(request, Question::ConnectionToken(token));
    }
    for shard in [0, 1] {
        let mut requests: Vec<u32> = (0..100).map(|_| stage.answer(shard).0).collect();
        requests.sort_unstable();
        assert!(requests.into_iter().eq((0..100).map(|n| n * 2 + u32::from(shard))), "each once");
    }
}

#[test]
fn no_more_questions_are_taken_than_allowed() {
    let stage = Stage::new(&Options { token: all_keys("p256"), questions_max: 0, ..options() });
    let token = Question::ConnectionToken(VECTORS.tokens["RS256"].clone());
    assert_eq!(stage.world.ask(reply_to(0), token), Err(Busy));
    assert!(connection_now(&stage, &VECTORS.tokens["HS256"]).unwrap().is_ok(), "no question");
}

#[test]
fn options_that_make_no_sense_are_named() {
    let token = |change: fn(&mut TokenOptions)| {
        let mut options = options();
        change(&mut options.token);
        options
    };
    let endpoint = |url: &str| Options { connect: Some(hook(url.to_owned())), ..options() };
    let header = |name: &str, value: &str| {
        let static_http_headers = vec![(name.to_owned(), value.to_owned())];
        Options { rpc: Some(HookOptions { static_http_headers, ..hook("http://a".into()) }), ..options() }
    };
    let twice =
        Options { subscription_token: Some(token(|t| t.rsa_public_key = "no".into()).token), ..options() };
    let table = [
        (token(|t| t.rsa_public_key = "no".into()), "token.rsa_public_key: not an RSA public key in PEM"),
        (token(|t| t.rsa_public_key = VECTORS.pem["p256"].clone()), "token.rsa_public_key: not an RSA"),
        (token(|t| t.rsa_public_key = VECTORS.pem["rsa_short"].clone()), "less than 2,048 bits"),
        (token(|t| t.ecdsa_public_key = VECTORS.pem["rsa"].clone()), "token.ecdsa_public_key: not an ECDSA"),
        (token(|t| t.ecdsa_public_key = VECTORS.pem["p521"].clone()), "only the curves P-256 and P-384"),
        (
            token(|t| t.eddsa_public_key = VECTORS.pem["p256"].clone()),
            "token.eddsa_public_key: not an Ed25519",
        ),
        (
            token(|t| t.jwks_public_endpoint = "ftp://a/".into()),
            "token.jwks_public_endpoint: not a URL with http",
        ),
        (twice, "subscription_token.rsa_public_key: not an RSA"),
        (endpoint("/connect"), "the connect hook's endpoint: not a URL with http or https"),
        (endpoint("grpc://a:1"), "the connect hook's endpoint: not a URL with http or https"),
        (endpoint("http://a b"), "the connect hook's endpoint: not a URL"),
        (endpoint("https://user:word@host/"), "send it in a static header"),
        (token(|t| t.jwks_public_endpoint = "https://user:word@host/".into()), "in it is not supported"),
        (header("a b", "c"), "the rpc hook's static header"),
        (header("a", "b\nc"), "the rpc hook's static header"),
    ];
    let (runtime, _end) = runtime();
    for (options, expected) in table {
        let [why] = &check(&options)[..] else { panic!("one fault: {options:?}") };
        assert!(why.contains(expected), "{why:?}, not {expected:?}");
        assert!(!why.contains("jwks") || !why.contains("header"), "key sets have no headers: {why}");
        let error = World::start(Arc::new(options), Arc::new([]), &runtime).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (std::io::ErrorKind::InvalidInput, why.clone()));
    }
    let pkcs1 = token(|t| t.rsa_public_key = VECTORS.pem["rsa_pkcs1"].clone());
    for sensible in
        [options(), Options { token: all_keys("p384"), ..options() }, pkcs1, endpoint("https://a/b?c")]
    {
        assert_eq!(check(&sensible), [""; 0]);
    }
}

#[test]
fn hooks_are_there_when_they_are_configured() {
    let hooks = [Hook::Connect, Hook::Refresh, Hook::Rpc, Hook::Subscribe, Hook::Publish, Hook::SubRefresh];
    let stage = Stage::new(&options());
    assert!(hooks.iter().all(|&hook| !stage.world.has_hook(hook)));
    let one = Stage::new(&Options { sub_refresh: Some(hook("http://localhost/".into())), ..options() });
    assert!(hooks.iter().all(|&hook| one.world.has_hook(hook) == (hook == Hook::SubRefresh)));
}

/// Questions are answered by the world that was asked, even if its keys, hooks or the world itself have been
/// replaced.
#[test]
fn what_was_asked_before_a_renewal_is_answered_by_whom_was_asked() {
    let mut stage = Stage::new(&Options { token: all_keys("p256"), ..options() });
    let token = &VECTORS.tokens["RS256"];
    let question = || Question::ConnectionToken(token.clone());
    (0..100).for_each(|n| stage.ask(2 * n, question()));
    let connect = Some(hook("http://127.0.0.1:1/".into()));
    stage.world = stage.world.renewed(&Options { connect, ..options() }).unwrap().begin();
    assert!(stage.world.has_hook(Hook::Connect));
    for _ in 0..100 {
        assert!(connection(stage.answer(0).1).is_ok());
    }
    assert_eq!(connection(stage.verdict(question())), Err(invalid()), "there is no key any more");
    let wrong = Options { connect: Some(hook("grpc://a".into())), ..options() };
    assert_eq!(stage.world.renewed(&wrong).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    stage.world = stage
        .world
        .renewed(&Options { questions_max: 1, token: all_keys("p256"), ..options() })
        .unwrap()
        .begin();
    assert!(connection(stage.verdict(question())).is_ok());
    assert!(!stage.world.has_hook(Hook::Connect));
}
