//! Errors are reported, and nothing is executed.

use super::*;

#[test]
fn what_is_wrong_is_told_by_its_code_and_nothing_is_done() {
    let mut shards = Shards::new(ApiOptions::default());
    let large = format!(r#"{{"channel":"a","data":"{}"}}"#, "x".repeat(1000));
    let key = format!(r#"{{"channel":"a","data":1,"idempotency_key":"{}"}}"#, "x".repeat(513));
    let rows = [
        ("publish", "{}", 107),
        ("publish", r#"{"channel":"a"}"#, 107),
        ("publish", r#"{"data":1}"#, 107),
        ("publish", r#"{"channel":"","data":1}"#, 107),
        ("publish", r#"{"channel":"a","b64data":"*"}"#, 107),
        ("publish", r#"{"channel":"no:such","data":1}"#, 102),
        ("history", r#"{"channel":"chat:1","reverse":true,"since":{"offset":0,"epoch":"e"}}"#, 107),
        ("history", r#"{"channel":"chat:1","since":[1,"e"]}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":[3000,"x"]}"#, 107),
        ("subscribe", r#"{"user":"u","channel":"a","override":[]}"#, 107),
        ("publish", "null", 107),
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
        ("unsubscribe", r#"{"channel":"a"}"#, 107),
        ("unsubscribe", r#"{"user":"u"}"#, 107),
        ("unsubscribe", r#"{"user":"u","channel":"no:such"}"#, 102),
        ("disconnect", "{}", 107),
        ("publish", r#"{"channel":1,"data":1}"#, 107),
        ("publish", r#"{"channel":"a\ud83d","data":1}"#, 107),
        ("publish", r#"{"channel":"a","channel":1,"data":1}"#, 107),
        ("publish", r#"{"channel":"a","data":1,"version":-1}"#, 107),
        ("publish", r#"{"channel":"a","data":1,"tags":{"a":1}}"#, 107),
        ("publish", r#"{"channel":"a","data":1,"tags":{"a":"\ude00"}}"#, 107),
        ("history", r#"{"channel":"chat:1","limit":1e99}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":{"code":2999}}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":{"code":5000}}"#, 107),
        ("disconnect", r#"{"user":"u","disconnect":{"code":68536}}"#, 107),
        ("refresh", "{}", 107),
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
fn what_is_wrong_in_methods_about_sockets_is_told_and_nothing_is_done() {
    let mut shards = Shards::new(ApiOptions::default());
    let large_event = format!(r#"{{"event":"a","args":["{}"]}}"#, "x".repeat(1000));
    let many_rooms = format!(r#"{{"event":"a","rooms":["a"{}]}}"#, r#","a""#.repeat(1000));
    let rows = [
        ("socketio_emit", "{}", 107),
        ("socketio_emit", r#"{"event":"connect"}"#, 107),
        ("socketio_emit", r#"{"event":"a","args":{}}"#, 107),
        ("socketio_emit", r#"{"event":"a","attachments":["AA=="]}"#, 107),
        ("socketio_emit", r#"{"event":"a","args":[{"_placeholder":true,"num":0}],"attachments":["*"]}"#, 107),
        ("socketio_emit", r#"{"event":"a","namespace":"chat"}"#, 107),
        ("socketio_emit", r#"{"event":"a","namespace":"/a,b"}"#, 107),
        ("socketio_emit", r#"{"event":"a","rooms":["a room that is too long"]}"#, 107),
        ("socketio_emit", r#"{"event":"a","rooms":"a"}"#, 107),
        ("socketio_emit", &many_rooms, 107),
        ("socketio_emit", &large_event, 106),
        ("socketio_emit_with_ack", "{}", 107),
        ("socketio_emit_with_ack", r#"{"event":"a","timeout_ms":0}"#, 107),
        ("socketio_emit_with_ack", r#"{"event":"a","timeout_ms":60001}"#, 107),
        ("socketio_emit_with_ack", r#"{"event":"newListener"}"#, 107),
        ("socketio_sockets_join", "{}", 107),
        ("socketio_sockets_join", r#"{"join":["a room that is too long"]}"#, 107),
        ("socketio_sockets_leave", r#"{"rooms":["a"]}"#, 107),
        ("socketio_disconnect_sockets", r#"{"close":1}"#, 107),
        ("socketio_fetch_sockets", r#"{"namespace":"chat"}"#, 107),
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
        ("publish", "nul"),
        ("disconnect", r#"["u1"]"#),
        ("publish", r#"{"channel":"a","data":{]}"#),
        ("publish", r#"["a"]"#),
        ("info", ""),
        ("info", "[]"),
        ("batch", r#"{"commands":{}}"#),
    ];
    for (method, body) in rows {
        shards.ask(method, body).unwrap_err();
        assert_eq!(shards.letters, [""; 0], "{method} {body}");
    }
}

/// The error in an answer.
fn error(shards: &mut Shards, method: &str, body: &str) -> Value {
    let answer: Value = serde_json::from_str(&shards.ask(method, body).unwrap()).unwrap();
    answer["error"].clone()
}

#[test]
fn a_bad_request_tells_the_field() {
    let mut shards = Shards::new(ApiOptions::default());
    let rows = [
        ("publish", r#"{"data":1}"#, "channel: missing or empty"),
        ("publish", r#"{"channel":"a"}"#, "data: missing"),
        ("publish", r#"{"channel":"a","b64data":"*"}"#, "b64data: not base64"),
        ("publish", r#"{"channel":"a\ud83d","data":1}"#, "channel: unexpected end of hex escape"),
        ("publish", r#"{"channel":7,"data":1}"#, "channel: invalid type: integer `7`, expected a string"),
        (
            "publish",
            r#"{"channel":"a","data":1,"tags":{"x":1}}"#,
            "tags.x: invalid type: integer `1`, expected a string",
        ),
        ("broadcast", r#"{"data":1}"#, "channels: missing"),
        ("subscribe", r#"{"channel":"a"}"#, "user: missing"),
        ("subscribe", r#"{"user":"u","channel":"a","b64info":"*"}"#, "b64info: not base64"),
        ("subscribe", r#"{"user":"u","channel":"a","expire_at":1700000000}"#, "expire_at: in the past"),
        ("disconnect", r#"{"user":"u","disconnect":{"code":2999}}"#, "disconnect.code: not in 3000–4999"),
        ("channels", r#"{"pattern":"a?"}"#, "pattern: only * stands for other characters"),
        ("rpc", "{}", "method: missing"),
    ];
    for (method, body, detail) in rows {
        let expected = serde_json::json!({"code": 107, "message": "bad request", "detail": detail});
        assert_eq!(error(&mut shards, method, body), expected, "{method} {body}");
    }
    let unknown = serde_json::json!({"code": 104, "message": "not found", "detail": "no such method: none"});
    assert_eq!(error(&mut shards, "rpc", r#"{"method":"none"}"#), unknown);
    // The text of the protocol's error is enough.
    let unknown = serde_json::json!({"code": 102, "message": "unknown channel"});
    assert_eq!(error(&mut shards, "history", r#"{"channel":"no:such"}"#), unknown);
}

#[test]
fn what_cannot_be_read_spoils_no_more_than_itself() {
    let mut shards = Shards::new(ApiOptions::default());
    let broadcast = r#"{"channels":["a","b\ud83d",7,null,{"c":1},"chat:1"],"data":"\ud83d"}"#;
    let bad = r#"{"error":{"code":107,"message":"bad request"}}"#;
    let told = shards.ask("broadcast", broadcast).unwrap();
    let bad_one = bad.replace("}}", &format!(",\"detail\":\"{}\"}}}}", "channel: missing or empty"));
    let good = [r#"{"result":{}}"#, r#"{"result":{"offset":8,"epoch":"Zt1a"}}"#];
    let responses = [good[0], &bad_one, &bad_one, &bad_one, &bad_one, good[1]].join(",");
    assert_eq!(told, format!(r#"{{"result":{{"responses":[{responses}]}}}}"#));
    assert_eq!(shards.letters.len(), 2);
    for parallel in ["", r#","parallel":true"#] {
        let batch = format!(
            r#"{{"commands":[{{"publish":{{"channel":"a","data":1}}}},{{"publish":{{"channel":"\ud83d","data":1}}}},
            {{"publish":1}},null,7,[],{{"\ud83d":{{}}}},{{"history":{{"channel":"chat:1","limit":"x"}}}},
            {{"publish":{{"channel":"chat:1","data":2}}}}]{parallel}}}"#
        );
        let told: Value = serde_json::from_str(&shards.ask("batch", &batch).unwrap()).unwrap();
        let replies = told["replies"].as_array().unwrap();
        let codes: Vec<_> =
            replies.iter().map(|reply| reply["error"]["code"].as_u64().unwrap_or(0)).collect();
        assert_eq!(codes, [0, 107, 107, 107, 107, 107, 107, 107, 0], "{told}");
        assert_eq!(shards.letters.len(), 2, "{parallel}");
    }
}

#[test]
fn fields_that_are_not_known_are_told() {
    let mut shards = Shards::new(ApiOptions::default());
    let rows = [
        (
            "publish",
            r#"{"channel":"a","data":{"any":1},"tag":{},"key":null}"#,
            r#"{"result":{},"warnings":["unknown field: tag","unknown field: key"]}"#,
        ),
        ("history", r#"{"channel":"chat:full","since":{"offset":1,"epoc":"a"},"limit":0}"#, ""),
        ("publish", r#"{"chanel":"a","data":1}"#, ""),
        (
            "batch",
            r#"{"commands":[{"publish":{"channel":"a","data":1,"x":1}},{"info":{"y":1}}],"paralel":1}"#,
            "",
        ),
        ("publish", r#"{"channel":"a","data":1}"#, r#"{"result":{}}"#),
    ];
    let mut told = rows.map(|(method, body, _)| shards.ask(method, body).unwrap());
    assert_eq!((&*told[0], &*told[4]), (rows[0].2, rows[4].2));
    assert!(told[1].ends_with(r#","warnings":["unknown field: since.epoc"]}"#), "{}", told[1]);
    assert!(told[2].starts_with(r#"{"error":{"code":107,"#), "{}", told[2]);
    assert!(told[2].ends_with(r#","warnings":["unknown field: chanel"]}"#), "{}", told[2]);
    let batch = std::mem::take(&mut told[3]);
    assert!(
        batch.starts_with(r#"{"replies":[{"publish":{},"warnings":["unknown field: x"]},{"info":{"#),
        "{batch}"
    );
    assert!(
        batch.ends_with(r#","warnings":["unknown field: y"]}],"warnings":["unknown field: paralel"]}"#),
        "{batch}"
    );
    let many: String = (0..100).map(|n| format!(r#""f{n}":1,"#)).collect();
    let told = shards.ask("info", &format!("{{{}}}", many.trim_end_matches(','))).unwrap();
    assert_eq!(told.matches("unknown field").count(), 16);
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
            let begun = shards
                .api
                .calls
                .begin(Command::parse(method, body, &mut Unknown::new()).unwrap(), &mut Asking::default());
            let mut out = Vec::new();
            let outcome = shards.api.calls.finish(begun, Instant::now(), &mut out).await;
            assert_eq!((outcome, out.len()), (Err(Wrong::from(Failure::NoAnswer)), 0), "{method}");
        }
    });
}

#[test]
fn few_requests_wait_for_clients_and_each_counts_once() {
    let options = ApiOptions::default();
    let mut shards = Shards::new(options);
    shards.api = shards.api.with_asking_max(1);
    let other_thread = shards.api.calls.by(Way::Straight);
    let ask = || Command::parse("socketio_emit_with_ack", r#"{"event":"a"}"#, &mut Unknown::new()).unwrap();
    let failed = |begun: Begun<'_>| {
        let Begun::Failed(wrong) = begun else { return None };
        Some(wrong.error.code)
    };
    let (mut first, mut second) = (Asking::default(), Asking::default());
    assert_eq!(failed(shards.api.calls.begin(ask(), &mut first)), None);
    assert_eq!(failed(other_thread.begin(ask(), &mut first)), None, "of the same request");
    assert_eq!(failed(other_thread.begin(ask(), &mut second)), Some(111));
    let emit = Command::parse("socketio_emit", r#"{"event":"a"}"#, &mut Unknown::new()).unwrap();
    assert_eq!(failed(shards.api.calls.begin(emit, &mut second)), None);
    drop(first);
    assert_eq!(failed(shards.api.calls.begin(ask(), &mut second)), None);
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
    let command = Command::parse("publish", publish, &mut Unknown::new()).unwrap();
    let begun = shards.api.calls.begin(command, &mut Asking::default());
    let outcome = Shards::runtime().block_on(shards.api.calls.finish(begun, Instant::now(), &mut out));
    assert_eq!(outcome.unwrap_err().error.code, 100);
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

/// Shards drop subscriptions without memory for them: the caller must receive an error.
#[test]
fn an_order_to_subscribe_is_refused_while_memory_is_short() {
    let mut shards = Shards::new(ApiOptions::default());
    let order = r#"{"user":"u","channel":"a"}"#;
    shards.counters[1].memory_step.set(1);
    assert_eq!(shards.code("subscribe", order), 111);
    assert_eq!(shards.letters, Vec::<String>::new(), "no shard hears of it");
    // Orders that need no memory are executed.
    for method in ["unsubscribe", "disconnect"] {
        assert_eq!(shards.code(method, order), 0, "{method}");
    }
    shards.counters[1].memory_step.set(0);
    assert_eq!(shards.code("subscribe", order), 0);
    assert!(shards.letters[0].starts_with("u// subscribe a "), "{:?}", shards.letters);
}
