//! What is wrong is told, and nothing is done.

use super::*;

#[test]
fn what_is_wrong_is_told_by_its_code_and_nothing_is_done() {
    let mut shards = Shards::new(ApiOptions::default());
    let long = format!(r#"{{"channel":"{}","data":1}}"#, "x".repeat(21));
    let large = format!(r#"{{"channel":"a","data":"{}"}}"#, "x".repeat(1000));
    let key = format!(r#"{{"channel":"a","data":1,"idempotency_key":"{}"}}"#, "x".repeat(513));
    let rows = [
        ("publish", "{}", 107),
        ("publish", r#"{"channel":"a"}"#, 107),
        ("publish", r#"{"data":1}"#, 107),
        ("publish", r#"{"channel":"","data":1}"#, 107),
        ("publish", r#"{"channel":"a","b64data":"*"}"#, 107),
        ("publish", r#"{"channel":"a","b64data":""}"#, 107),
        ("publish", r#"{"channel":"no:such","data":1}"#, 102),
        ("publish", &long, 107),
        ("publish", &large, 106),
        ("publish", &key, 107),
        ("broadcast", r#"{"data":1}"#, 107),
        ("broadcast", r#"{"channels":[],"data":1}"#, 107),
        ("broadcast", r#"{"channels":["a"]}"#, 107),
        ("subscribe", r#"{"channel":"a"}"#, 107),
        ("subscribe", r#"{"user":null,"channel":"a"}"#, 107),
        ("subscribe", r#"{"user":"u"}"#, 107),
        ("subscribe", r#"{"user":"u","channel":"no:such"}"#, 102),
        ("subscribe", r#"{"user":"u","channel":"a","b64info":"*"}"#, 107),
        ("subscribe", r#"{"user":"u","channel":"a","b64info":"eA=="}"#, 107),
        ("subscribe", r#"{"user":"u","channel":"a","expire_at":-1}"#, 107),
        ("unsubscribe", r#"{"channel":"a"}"#, 107),
        ("unsubscribe", r#"{"user":"u"}"#, 107),
        ("unsubscribe", r#"{"user":"u","channel":"no:such"}"#, 102),
        ("disconnect", "{}", 107),
        ("disconnect", r#"{"user":"u","disconnect":{}}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":{"code":2999}}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":{"code":5000}}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":{"code":68536}}"#, 107),
        ("refresh", "{}", 107),
        ("refresh", r#"{"user":"u","expire_at":-1}"#, 107),
        ("presence", "{}", 107),
        ("presence", r#"{"channel":"a"}"#, 108),
        ("presence", r#"{"channel":"no:such"}"#, 102),
        ("presence_stats", "{}", 107),
        ("presence_stats", r#"{"channel":"a"}"#, 108),
        ("history", "{}", 107),
        ("history", r#"{"channel":"a"}"#, 108),
        ("history_remove", "{}", 107),
        ("history_remove", r#"{"channel":"a"}"#, 108),
        ("channels", r#"{"pattern":"a?"}"#, 107),
        ("channels", r#"{"pattern":"{a,b}"}"#, 107),
        ("rpc", "{}", 107),
        ("rpc", r#"{"method":"none"}"#, 104),
    ];
    for (method, body, code) in rows {
        assert_eq!(shards.code(method, body), code, "{method} {body}");
        assert_eq!(shards.letters, [""; 0], "{method} {body}");
    }
    assert_eq!(shards.budget.used(), 0);
}

#[test]
fn what_is_no_body_of_the_method_is_refused_whole() {
    let mut shards = Shards::new(ApiOptions::default());
    let rows = [
        ("publish", ""),
        ("publish", "{"),
        ("publish", "{} {}"),
        ("publish", "1"),
        ("publish", "null"),
        ("publish", r#"{"channel":1,"data":1}"#),
        ("publish", r#"{"channel":"a","channel":1,"data":1}"#),
        ("publish", r#"{"channel":"a","data":1,"version":-1}"#),
        ("publish", r#"{"channel":"a","data":1,"tags":{"a":1}}"#),
        ("publish", r#"{"channel":"a","data":{]}"#),
        ("info", ""),
        ("history", r#"{"channel":"a","limit":1e99}"#),
        ("batch", r#"{"commands":{}}"#),
        ("batch", r#"{"commands":[1]}"#),
        ("batch", r#"{"commands":[{"publish":1}]}"#),
    ];
    for (method, body) in rows {
        shards.ask(method, body).unwrap_err();
        assert_eq!(shards.letters, [""; 0], "{method} {body}");
    }
}

#[test]
fn who_is_never_answered_is_told_so_when_the_time_is_up() {
    let shards = Shards::new(ApiOptions::default());
    let bodies = [
        ("publish", r#"{"channel":"a","data":1}"#),
        ("broadcast", r#"{"channels":["a"],"data":1}"#),
        ("presence", r#"{"channel":"chat:1"}"#),
        ("history_remove", r#"{"channel":"chat:1"}"#),
        ("channels", "{}"),
        ("rpc", r#"{"method":"never"}"#),
    ];
    Shards::runtime().block_on(async {
        for (method, body) in bodies {
            let begun = shards.api.calls.begin(Command::parse(method, body.as_bytes()).unwrap());
            let mut out = Vec::new();
            let outcome = shards.api.calls.finish(begun, Instant::now(), &mut out).await;
            assert_eq!((outcome, out.len()), (Err(ApiError::from(Failure::NoAnswer)), 0), "{method}");
        }
    });
}

#[test]
fn shards_that_have_ended_or_hold_too_much_are_an_internal_error() {
    let mut shards = Shards::new(ApiOptions::default());
    let publish = r#"{"channel":"a","data":1}"#;
    shards.budget.charge(100_001);
    assert_eq!(shards.code("publish", publish), 100);
    assert_eq!(shards.code("broadcast", r#"{"channels":["a","b"],"data":1}"#), 0, "told per channel");
    shards.budget.release(100_001);
    for mailbox in shards.mailboxes.iter() {
        mailbox.put(&mut (0..3001).map(|_| Letter::Drain).collect());
    }
    let mut out = Vec::new();
    let command = Command::parse("publish", publish.as_bytes()).unwrap();
    let begun = shards.api.calls.begin(command);
    let outcome = Shards::runtime().block_on(shards.api.calls.finish(begun, Instant::now(), &mut out));
    assert_eq!(outcome.unwrap_err().code, 100);
    assert_eq!(shards.mailboxes.iter().map(Mailbox::len).sum::<usize>(), 6002, "nothing was added");
    shards.mailboxes.iter().for_each(Mailbox::close);
    for (method, body) in [("publish", publish), ("presence", r#"{"channel":"chat:1"}"#), ("channels", "{}")]
    {
        assert_eq!(shards.code(method, body), 100, "{method}");
    }
}

#[test]
fn statuses_tell_errors_to_those_who_ask_for_it() {
    let rows =
        [(100, 500), (102, 404), (104, 404), (106, 500), (107, 400), (108, 400), (111, 429), (112, 416)];
    for (code, status) in rows {
        assert_eq!(status_of(code).as_u16(), status);
    }
}
