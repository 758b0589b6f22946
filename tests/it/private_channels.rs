//! Channels with restricted access, and clients' identities: tokens of connections and subscriptions, users in names,
//! invalid names, and subscribers with filters.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::centrifuge::PATH;
use crate::support::peer::{TEXT, upgrade};
use crate::support::{Client, Peer, Server};

const PERMISSION_DENIED: u64 = 103;
const BAD_REQUEST: u64 = 107;
const SECRET: &str = "between us";

const CONFIG: &str = r#"
[client]
token_cookie = "session"
allowed_origins = ["https://app.example"]
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "between us"
[channel.without_namespace]
allow_subscribe_for_client = true
allow_user_limited_channels = true
channel_regex = '^\$?[a-z#0-9,]+$'
"#;

fn token(claims: &Value) -> String {
    mint(SECRET.as_bytes(), claims.to_string().as_bytes())
}

/// A client that is this user.
fn user(server: &Server, name: &str) -> Client {
    Client::with_token(server.address, &token(&json!({"sub": name})))
}

/// Subscribes with a token; `Err`: the error's code.
fn subscribe_with(client: &mut Client, channel: &str, claims: &Value) -> Result<Value, u64> {
    let reply = client.request(json!({"subscribe": {"channel": channel, "token": token(claims)}}));
    reply["error"]["code"].as_u64().map_or_else(|| Ok(reply["subscribe"].clone()), Err)
}

#[test]
fn a_private_channel_needs_a_token_for_this_channel_and_this_user() {
    let server = Server::configured(CONFIG, &[]);
    let mut ann = user(&server, "ann");
    assert_eq!(ann.subscribe("open"), Ok(()));
    assert_eq!(ann.subscribe("$private"), Err(PERMISSION_DENIED));
    // A token for another channel, or for another user, is not a client's mistake.
    for claims in [json!({"sub": "ann", "channel": "$other"}), json!({"sub": "ben", "channel": "$private"})] {
        let mut other = user(&server, "ann");
        let ask = json!({"id": 7, "subscribe": {"channel": "$private", "token": token(&claims)}});
        other.send(&ask.to_string());
        other.expect_close(3500);
    }
    let expired = json!({"sub": "ann", "channel": "$private", "exp": 1_000_000_000});
    assert_eq!(subscribe_with(&mut ann, "$private", &expired), Err(109));
    let granted = json!({"sub": "ann", "channel": "$private", "info": {"role": "host"}});
    assert!(subscribe_with(&mut ann, "$private", &granted).is_ok());
    assert_eq!(server.metric("throng_subscriptions"), 2);
    // One that someone else signed is no token at all, nor is a connection's: no reason to end the connection.
    let forged = mint(b"someone else's", br#"{"sub":"ann","channel":"$other"}"#);
    for token in [forged, token(&json!({"sub": "ann"})), "no token".to_owned()] {
        let reply = ann.request(json!({"subscribe": {"channel": "$other", "token": token}}));
        assert_eq!(reply["error"]["code"], PERMISSION_DENIED);
    }
    // In place of the one that a subscription has, it is.
    let forged = mint(b"someone else's", br#"{"sub":"ann","channel":"$private"}"#);
    ann.send(&json!({"id": 99, "sub_refresh": {"channel": "$private", "token": forged}}).to_string());
    ann.expect_close(3500);
}

#[test]
fn a_client_is_told_the_time_where_that_is_configured() {
    let told = |config: &str| user(&Server::configured(config, &[]), "ann").hello["time"].clone();
    assert_eq!(told(CONFIG), Value::Null);
    let config = CONFIG.replace("[client]", "[client]\nconnect_include_server_time = true");
    let before_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let time_ms = u128::from(told(&config).as_u64().unwrap());
    let after_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    // The server's clock is its own: it counts whole milliseconds from its start.
    assert!((before_ms - 10..=after_ms + 10).contains(&time_ms), "{before_ms} {time_ms} {after_ms}");
}

#[test]
fn a_key_that_is_being_replaced_is_taken_until_its_time() {
    let change =
        "[client.token]\nhmac_previous_secret_key = \"between us\"\nhmac_previous_secret_key_valid_until = ";
    for (until, is_taken) in [("0", true), ("4000000000", true), ("1000000000", false)] {
        let config = CONFIG
            .replace("between us", "of late")
            .replace("[client.token]\n", &format!("{change}{until}\n"));
        let server = Server::configured(&config, &[]);
        let new = mint(b"of late", br#"{"sub":"ann"}"#);
        drop(Client::with_token(server.address, &new));
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, json!({"id": 1, "connect": {"token": token(&json!({"sub": "ben"}))}}).to_string());
        if is_taken {
            let (_, reply) = peer.message();
            assert!(String::from_utf8(reply).unwrap().contains("\"client\""));
        } else {
            peer.expect_close(3500);
        }
    }
}

#[test]
fn a_subscription_that_runs_out_ends_or_is_refreshed() {
    let config = CONFIG.replace("[client]", "[client]\nexpired_sub_close_delay = \"0s\"");
    let server = Server::configured(&config, &[]);
    let mut ann = user(&server, "ann");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let brief = |channel: &str| json!({"sub": "ann", "channel": channel, "exp": now_s + 3});
    for channel in ["$kept", "$lost"] {
        let result = subscribe_with(&mut ann, channel, &brief(channel)).unwrap();
        assert_eq!(result["expires"], true, "{result}");
    }
    let longer = token(&json!({"sub": "ann", "channel": "$kept", "exp": now_s + 600}));
    let reply = ann.request(json!({"sub_refresh": {"channel": "$kept", "token": longer}}));
    assert_eq!(reply["sub_refresh"]["expires"], true, "{reply}");
    let push = ann.push("unsubscribe");
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!("$lost"), &json!(2501)));
    assert_eq!(server.metric("throng_subscriptions"), 1);
}

#[test]
fn a_channel_for_certain_users_is_for_them() {
    let server = Server::configured(CONFIG, &[]);
    let mut ann = user(&server, "ann");
    let mut anonymous = Client::open(server.address);
    for (channel, for_ann) in [
        ("dialog#ann,ben", true),
        ("#ann", true),
        ("dialog#ben,cid", false),
        ("dialog#", false),
        ("#an", false),
    ] {
        assert_eq!(
            ann.subscribe(channel),
            if for_ann { Ok(()) } else { Err(PERMISSION_DENIED) },
            "{channel}"
        );
        // An anonymous client may use the name with nothing behind its boundary.
        let is_for_nobody = channel.ends_with('#');
        let expected = if is_for_nobody { Ok(()) } else { Err(PERMISSION_DENIED) };
        assert_eq!(anonymous.subscribe(channel), expected, "{channel}");
    }
    // With a dollar in front, being named is not enough.
    assert_eq!(ann.subscribe("$dialog#ann"), Err(PERMISSION_DENIED));
}

#[test]
fn a_name_that_does_not_match_is_none() {
    let server = Server::configured(CONFIG, &[]);
    let mut ann = user(&server, "ann");
    for channel in ["Upper", "under_score", "d\u{e9}j\u{e0}", "with space"] {
        assert_eq!(ann.subscribe(channel), Err(BAD_REQUEST), "{channel}");
        assert_eq!(ann.publish(channel, json!(1)), Err(BAD_REQUEST), "{channel}");
        let reply = ann.request(json!({"history": {"channel": channel}}));
        assert_eq!(reply["error"]["code"], BAD_REQUEST, "{channel}");
    }
    assert_eq!(ann.subscribe("lower"), Ok(()));
    // Counted at the end of the turn that answered.
    server.await_metric("throng_channels", 1);
}

#[test]
fn a_cookie_may_hold_the_token_where_the_origin_is_the_applications() {
    let server = Server::configured(CONFIG, &[]);
    let headers = |origin: &str| {
        let token = token(&json!({"sub": "ann"}));
        format!("Cookie: theme=dark; session={token}\r\nOrigin: {origin}\r\n")
    };
    let peer = Peer::connect(server.address).upgraded(PATH, &headers("https://app.example"));
    let mut ann = Client::try_over(peer, json!({})).unwrap();
    assert_eq!(ann.subscribe("#ann"), Ok(()), "the cookie says who it is");
    // The command's token takes precedence over the cookie.
    let peer = Peer::connect(server.address).upgraded(PATH, &headers("https://app.example"));
    let mut ben = Client::try_over(peer, json!({"token": token(&json!({"sub": "ben"}))})).unwrap();
    assert_eq!((ben.subscribe("#ben"), ben.subscribe("#ann")), (Ok(()), Err(PERMISSION_DENIED)));
    // A browser would send the cookie for any page.
    let request = upgrade(PATH, &headers("https://evil.example"));
    assert_eq!(Peer::request(server.address, request.as_bytes()).status, 403);
}

/// Cookies of others are in the same header, and may contain any bytes; a cookie may be quoted (RFC 6265 §4.1.1).
#[test]
fn a_cookies_token_is_found_beside_whatever_else_is_there() {
    let server = Server::configured(CONFIG, &[]);
    let token = token(&json!({"sub": "ann"}));
    let open = |cookies: &[u8]| {
        let head = upgrade(PATH, "Origin: https://app.example\r\n");
        let head = head.strip_suffix("\r\n").unwrap().as_bytes();
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(&[head, b"Cookie: ", cookies, b"\r\n\r\n"].concat());
        assert_eq!(peer.response_head().status, 101);
        peer
    };
    for [before, behind] in
        [[&b"theme=\xff; "[..], b""], [b"", b"; theme=\xc3\xa9\xff"], [b"\xff; a; ", b" ;\xfe=\xfe"]]
    {
        for quote in [&b""[..], b"\""] {
            let cookies = [before, b"session=", quote, token.as_bytes(), quote, behind].concat();
            let mut ann = Client::try_over(open(&cookies), json!({})).unwrap();
            assert_eq!(ann.subscribe("#ann"), Ok(()), "{}", cookies.escape_ascii());
        }
    }
    // An unreadable token is an invalid one, not a missing one.
    for bad in [&b"session=\xff"[..], &[b"session=", token.as_bytes(), b"\xff"].concat()] {
        let mut peer = open(bad);
        peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
        peer.expect_close(3500);
    }
}

#[test]
fn asymmetric_tokens_are_verified_on_workers_and_their_clients_wait() {
    let vectors: Value = serde_json::from_str(include_str!("../../src/outside/tests/vectors.json")).unwrap();
    let pem = vectors["pem"]["rsa"].as_str().unwrap();
    let config = format!(
        "[client.token]\nrsa_public_key = '''\n{pem}'''\n[channel.without_namespace]\nallow_subscribe_for_client = true\n\
         allow_user_limited_channels = true\n"
    );
    let server = Server::configured(&config, &[]);
    let good = vectors["tokens"]["RS256"].as_str().unwrap();
    let mut peer = Peer::open(server.address, PATH);
    // Commands behind connect wait for the worker.
    let commands = [
        json!({"id": 1, "connect": {"token": good}}),
        json!({"id": 2, "subscribe": {"channel": "#42"}}),
        json!({"id": 3, "ping": {}}),
    ];
    peer.send(TEXT, commands.map(|command| command.to_string()).join("\n"));
    let mut next = || serde_json::from_slice::<Value>(&peer.message().1).unwrap();
    assert!(next()["connect"]["client"].is_string());
    let mut rest = [next(), next()];
    rest.sort_by_key(|reply| reply["id"].as_u64());
    assert!(rest[0]["subscribe"].is_object() && rest[1]["ping"].is_object(), "{rest:?}");
    let expired = vectors["expired"]["RS256"].as_str().unwrap();
    let outcome = Client::try_over(Peer::open(server.address, PATH), json!({"token": expired}));
    assert_eq!(outcome.err(), Some(109));
    // The public key used as a secret: a token that anyone can forge.
    for wrong in
        [vectors["confused"]["HS256"].as_str().unwrap(), &format!("{}A", &good[..good.len() - 1]), "x.y.z"]
    {
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, json!({"id": 1, "connect": {"token": wrong}}).to_string());
        peer.expect_close(3500);
    }
}

#[test]
fn pushes_name_a_channel_by_its_number_for_those_who_offer_it() {
    let config = "[client]\ninsecure = true\n[channel.without_namespace]\nallow_channel_compaction = true\n";
    let server = Server::configured(config, &[]);
    let mut compact = Client::open(server.address);
    let mut numbers = Vec::new();
    for channel in ["first", "second"] {
        let reply = compact.request(json!({"subscribe": {"channel": channel, "flag": 1}}));
        numbers.push(reply["subscribe"]["id"].as_u64().unwrap());
    }
    assert!(numbers[0] != numbers[1] && numbers.iter().all(|&number| number > 0), "{numbers:?}");
    let mut plain = Client::subscribed(server.address, &["second"]);
    plain.publish("second", json!("x")).unwrap();
    let push = compact.push("pub");
    assert_eq!((&push["id"], push.get("channel")), (&json!(numbers[1]), None), "{push}");
    let push = plain.push("pub");
    assert_eq!((&push["channel"], push.get("id")), (&json!("second"), None), "{push}");
    // Without the namespace's option, an offer is ignored.
    let server = Server::start(&[]);
    let mut client = Client::open(server.address);
    let reply = client.request(json!({"subscribe": {"channel": "first", "flag": 1}}));
    assert_eq!(reply["subscribe"].get("id"), None, "{reply}");
}

#[test]
fn a_cache_with_a_filter_gives_the_last_that_passes() {
    let config = "[client]\ninsecure = true\n[http_api]\ninsecure = true\n[channel.without_namespace]\n\
                  history_size = 10\nhistory_ttl = \"1h\"\nforce_recovery = true\nforce_recovery_mode = \"cache\"\n\
                  allow_tags_filter = true\n";
    let server = Server::configured(config, &[]);
    for (n, kind) in ["goal", "card", "goal", "card", "card"].into_iter().enumerate() {
        let body = json!({"channel": "match", "data": n, "tags": {"kind": kind}}).to_string();
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            server.control,
            body.len()
        );
        assert_eq!(Peer::request(server.control, request.as_bytes()).status, 200);
    }
    let ask = |kind: &str| {
        let filter = json!({"key": "kind", "cmp": "eq", "val": kind});
        let mut client = Client::open(server.address);
        let command = json!({"subscribe": {"channel": "match", "recover": true, "tf": filter}});
        let result = client.request(command)["subscribe"].take();
        let data: Vec<Value> = result["publications"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|publication| publication["data"].clone())
            .collect();
        (result["recovered"] == true, data)
    };
    // Without a recovery request there are no publications, except by the namespace's option.
    let mut client = Client::open(server.address);
    let result = client.request(json!({"subscribe": {"channel": "match"}}))["subscribe"].take();
    assert_eq!(result.get("publications"), None, "{result}");
    assert_eq!(ask("card"), (true, vec![json!(4)]));
    assert_eq!(ask("goal"), (true, vec![json!(2)]));
    assert_eq!(ask("none"), (false, vec![]));
}

#[test]
fn a_cache_that_is_given_to_all_is_given_to_who_does_not_ask() {
    let config = "[client]\ninsecure = true\n[http_api]\ninsecure = true\n[uni_sse]\nenabled = true\n\
                  [channel.without_namespace]\nhistory_size = 10\nhistory_ttl = \"1h\"\nforce_recovery = true\n\
                  force_recovery_mode = \"cache\"\nauto_cache_recover = true\n";
    let server = Server::configured(config, &[]);
    let ask = |ask: Value| {
        let mut client = Client::open(server.address);
        client.request(json!({ "subscribe": ask }))["subscribe"].take()
    };
    let empty = ask(json!({"channel": "match"}));
    assert_eq!((&empty["was_recovering"], empty.get("recovered")), (&json!(true), None), "{empty}");
    for n in [1, 2] {
        let body = json!({"channel": "match", "data": n}).to_string();
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            server.control,
            body.len()
        );
        assert_eq!(Peer::request(server.control, request.as_bytes()).status, 200);
    }
    let given = ask(json!({"channel": "match"}));
    let told = (&given["was_recovering"], &given["recovered"], &given["publications"][0]["data"]);
    assert_eq!(told, (&json!(true), &json!(true), &json!(2)), "{given}");
    assert_eq!(given["publications"].as_array().map(Vec::len), Some(1), "{given}");
    // A client with the latest publication does not get it again.
    let has = json!({"channel": "match", "recover": true, "epoch": given["epoch"], "offset": 2});
    let again = ask(has);
    assert_eq!((&again["recovered"], again.get("publications")), (&json!(true), None), "{again}");
}
