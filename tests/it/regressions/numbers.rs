//! Numbers from outside at the ends of their types.

use std::sync::Arc;

use serde_json::{Value, json};
use throng::parts::hub::options::{ChannelOptions, Namespaces};

use crate::support::Client;
use crate::support::backend::{Backend, Running, options};

/// The last second whose milliseconds fit 64 bits, those around the powers of two beyond it, and the last of the type.
const FAR: [u64; 5] = [u64::MAX / 1000, u64::MAX / 1000 + 1, 1 << 61, (1 << 61) + 1, i64::MAX as u64];
const BAD_REQUEST: u64 = 107;

fn start() -> Running {
    let options_of = ChannelOptions { history_size: 5, history_ttl_ms: 60_000, ..ChannelOptions::default() };
    let named = [("chat".to_owned(), Arc::new(options_of))].into();
    Running::start_with(options(), Namespaces { named, ..Namespaces::default() })
}

/// The end of a term was reckoned in milliseconds and wrapped into the past: connections were closed with 3005,
/// subscriptions with 3006.
#[test]
fn a_term_that_ends_beyond_all_times_does_not_end() {
    let server = start();
    let mut client = Client::open(server.address);
    let mut backend = Backend::new(&server);
    for (n, expire_at) in FAR.into_iter().enumerate() {
        let answer = backend.ask("refresh", json!({"user": "", "expire_at": expire_at}));
        assert_eq!(answer, json!({"result": {}}), "{expire_at}");
        let push = client.push("refresh");
        assert_eq!(push["refresh"], json!({"expires": true, "ttl": 31_536_000}), "{expire_at}");
        let channel = format!("chat:{n}");
        let body = json!({"user": "", "channel": channel, "expire_at": expire_at});
        assert_eq!(backend.ask("subscribe", body), json!({"result": {}}), "{expire_at}");
        assert_eq!(client.push("subscribe")["channel"], *channel);
    }
    client.sync();
    server.end();
}

/// Each number of the API, at the ends of its type and one beyond: answered with a result or an error of its own.
#[test]
fn every_number_of_the_api_may_be_at_the_end_of_its_type() {
    let server = start();
    let mut backend = Backend::new(&server);
    let mut code = |method: &str, mut body: Value, path: &[&str], number: &str| {
        let mut place = &mut body;
        for name in path {
            place = &mut place[*name];
        }
        *place = json!("NUMBER");
        let body = body.to_string().replace("\"NUMBER\"", number);
        let (status, answer) = backend.request(&format!("POST /api/{method}"), &body);
        assert_eq!(status, 200, "{method} {path:?} {number}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["error"]["code"].as_u64().unwrap_or_default()
    };
    const I32: [&str; 2] = ["-2147483648", "2147483647"];
    const I64: [&str; 2] = ["-9223372036854775808", "9223372036854775807"];
    const U32: [&str; 2] = ["0", "4294967295"];
    const U64: [&str; 2] = ["0", "18446744073709551615"];
    let user = || json!({"user": "nobody", "channel": "chat:1"});
    let publish = || json!({"channel": "chat:1", "data": 1});
    let history = || json!({"channel": "chat:1", "limit": -1, "since": {"epoch": ""}});
    // The lowest may be refused, the highest as well where it names no time and no place.
    for (method, body, path, [low, high], codes) in [
        ("history", history(), &["limit"][..], I32, [0, 0]),
        ("history", history(), &["since", "offset"], U64, [0, 0]),
        ("publish", publish(), &["version"], U64, [0, 0]),
        ("refresh", user(), &["expire_at"], I64, [0, 0]),
        ("subscribe", user(), &["expire_at"], I64, [0, 0]),
        ("subscribe", user(), &["recover_since", "offset"], U64, [0, 0]),
        // 0 is no code, for which there is a default.
        ("disconnect", user(), &["disconnect", "code"], U32, [0, BAD_REQUEST]),
        // Beyond the type.
        ("publish", publish(), &["version"], ["-1", "18446744073709551616"], [BAD_REQUEST; 2]),
        ("history", history(), &["limit"], ["-2147483649", "2147483648"], [BAD_REQUEST; 2]),
        ("refresh", user(), &["expire_at"], ["-1", "1e300"], [0, 0]),
    ] {
        for (number, expected) in [(low, codes[0]), (high, codes[1])] {
            assert_eq!(code(method, body.clone(), path, number), expected, "{method} {path:?} {number}");
        }
    }
    server.end();
}
