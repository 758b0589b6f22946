//! Tests that requests arrive at the shards unchanged, that answers are returned, and that the description is
//! correct.

use super::*;

#[test]
fn publications_go_as_they_came() {
    let mut shards = Shards::new(ApiOptions::default());
    let none = "Terms { idempotency_key: None, skip_history: false, version: 0, version_epoch: None }";
    let rows = [
        (r#"{"channel":"a","data":{ "x" :1e3}}"#, "{}", format!(r#"a Json {{ \"x\" :1e3}} [] false {none}"#)),
        (r#"{"channel":"a","data":null,"tags":null,"delta":null,"b64data":null}"#, "{}", format!("a Json null [] false {none}")),
        (r#"{"channel":"a\u0062","data":"é\n"}"#, "{}", format!(r#"ab Json \"\xc3\xa9\\n\" [] false {none}"#)),
        ("{\"channel\":\"a\",\"data\":[1,\r\n2]}", "{}", format!("a Json [1,  2] [] false {none}")),
        (r#"{"channel":"a","b64data":""}"#, "{}", format!("a Binary  [] false {none}")),
        (r#"{"channel":"a","b64data":"","data":1}"#, "{}", format!("a Json 1 [] false {none}")),
        (r#"{"channel":"a","b64data":"/wA=","data":1}"#, "{}", format!(r"a Binary \xff\x00 [] false {none}")),
        (
            r#"{"channel":"chat:1","data":1,"skip_history":true,"tags":{"b":"2","a":"1"},"idempotency_key":"k",
                "delta":true,"version":18446744073709551615,"version_epoch":"v"}"#,
            r#"{"offset":8,"epoch":"Zt1a"}"#,
            r#"chat:1 Json 1 [("a", "1"), ("b", "2")] true Terms { idempotency_key: Some("k"), skip_history: true, version: 18446744073709551615, version_epoch: Some("v") }"#.to_owned(),
        ),
    ];
    for (body, result, letter) in rows {
        assert_eq!(shards.ask("publish", body).unwrap(), format!("{{\"result\":{result}}}"), "{body}");
        assert_eq!(shards.letters, [letter], "{body}");
    }
    assert_eq!(shards.budget.used(), 0, "what nobody holds any more is given back");
}

#[test]
fn a_broadcast_is_answered_channel_by_channel() {
    let mut shards = Shards::new(ApiOptions::default());
    let body = r#"{"channels":["a","chat:1","","no:such","chat:full"],"data":{"n":1}}"#;
    let answer = shards.ask("broadcast", body).unwrap();
    assert_eq!(
        answer,
        r#"{"result":{"responses":[{"result":{}},{"result":{"offset":8,"epoch":"Zt1a"}},{"error":{"code":107,"message":"bad request","detail":"channel: missing or empty"}},{"error":{"code":102,"message":"unknown channel"}},{"error":{"code":111,"message":"too many requests"}}]}}"#
    );
    assert_eq!(shards.letters.len(), 3);
    // More than are sent at once, to a mailbox without room for all: each has an outcome, in order.
    let names: Vec<_> = (0..5000).map(|n| format!("\"{}{n}\"", if n == 4321 { "no:" } else { "" })).collect();
    let answer =
        shards.ask("broadcast", &format!(r#"{{"channels":[{}],"data":1}}"#, names.join(","))).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let responses = answer["result"]["responses"].as_array().unwrap();
    let failed: Vec<_> = (0..5000).filter(|&n| responses[n]["error"].is_object()).collect();
    assert_eq!((responses.len(), failed, shards.letters.len()), (5000, vec![4321], 4999));
}

#[test]
fn homes_are_asked_and_their_answers_told() {
    let mut shards = Shards::new(ApiOptions::default());
    let rows = [
        (
            "presence",
            r#"{"channel":"chat:1"}"#,
            r#"{"presence":{"c-ann":{"user":"ann","client":"c-ann","conn_info":{"a":1}},"c-bob":{"user":"bob","client":"c-bob"}}}"#,
            "chat:1 Presence",
        ),
        (
            "presence_stats",
            r#"{"channel":"chat:1"}"#,
            r#"{"num_clients":3,"num_users":2}"#,
            "chat:1 PresenceStats",
        ),
        (
            "history",
            r#"{"channel":"chat:1","limit":-1,"since":{"offset":7,"epoch":"Zt1a"},"reverse":true}"#,
            r#"{"publications":[{"data":{ "x" :1},"info":{"user":"ann","client":"c-ann"},"offset":8,"tags":{"lang":"en"}},{"data":"words","offset":9},{"data":"/w==","offset":10}],"offset":10,"epoch":"Zt1a"}"#,
            r#"chat:1 History(HistoryFilter { limit: None, since: Some(Position { offset: 7, epoch: "Zt1a" }), reverse: true })"#,
        ),
        ("history_remove", r#"{"channel":"chat:1"}"#, "{}", "chat:1 RemoveHistory"),
    ];
    for (method, body, result, letter) in rows {
        assert_eq!(shards.ask(method, body).unwrap(), format!("{{\"result\":{result}}}"), "{method}");
        assert_eq!(shards.letters, [letter], "{method}");
    }
    for (limit, asked) in [("0", "Some(0)"), ("null", "Some(0)"), ("3", "Some(3)"), ("-5", "None")] {
        assert_eq!(shards.code("history", &format!(r#"{{"channel":"chat:1","limit":{limit}}}"#)), 0);
        assert!(shards.letters[0].contains(&format!("limit: {asked},")), "{limit}: {:?}", shards.letters);
    }
    shards.answer = |_| Answer::Refused(Refused::Unrecoverable);
    assert_eq!(shards.code("history", r#"{"channel":"chat:1"}"#), 112);
    let answer = shards.ask("channels", r#"{"pattern":"\"*"}"#).unwrap();
    assert_eq!(answer, r#"{"result":{"channels":{"\"*1":{"num_clients":1},"\"*2":{"num_clients":0}}}}"#);
    assert_eq!(shards.letters, ["\"*", "\"*"]);
    assert_eq!(shards.code("channels", "{}"), 0);
    let info: Value = serde_json::from_str(&shards.ask("info", "{}").unwrap()).unwrap();
    let node = &info["result"]["nodes"][0];
    assert_eq!((&node["name"], &node["uid"]), (&"here_8000".into(), &"0-1-2".into()));
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn orders_go_to_all_shards_as_they_were_given() {
    let mut shards = Shards::new(ApiOptions::default());
    let grant = |more: &str| format!("Grant {{ channel: \"chat:1\", user: \"u\", client: \"\", {more} }}");
    let plain = "info: , expire_at_s: 0, data: , overrides: Overrides { presence: None, join_leave: None, \
                 force_push_join_leave: None, force_recovery: None, force_positioning: None }, recover_since: None";
    let full = "info: 1, expire_at_s: 4000000000, data: 2, overrides: Overrides { presence: Some(true), join_leave: \
                Some(false), force_push_join_leave: None, force_recovery: Some(true), force_positioning: Some(false) \
                }, recover_since: Some((7, \"Zt1a\"))";
    let rows = [
        ("subscribe", r#"{"user":"u","channel":"chat:1"}"#, format!("u// subscribe chat:1 {}", grant(plain))),
        (
            "subscribe",
            r#"{"user":"u","client":"c","session":"s","channel":"chat:1","info":1,"b64data":"Mg==","expire_at":4000000000,
                "recover_since":{"offset":7,"epoch":"Zt1a"},"override":{"presence":{"value":true},
                "join_leave":{"value":false},"force_push_join_leave":null,"force_recovery":{"value":true},
                "force_positioning":{}}}"#,
            format!("u/c/s subscribe chat:1 {}", grant(full)),
        ),
        (
            "unsubscribe",
            r#"{"user":"","channel":"chat:1"}"#,
            "// unsubscribe chat:1 2000 server unsubscribe".to_owned(),
        ),
        ("disconnect", r#"{"user":"u"}"#, "u// disconnect 3503 force disconnect []".to_owned()),
        (
            "disconnect",
            r#"{"user":"u","disconnect":{}}"#,
            "u// disconnect 3503 force disconnect []".to_owned(),
        ),
        (
            "disconnect",
            r#"{"user":"u","disconnect":{"reason":"moved"}}"#,
            "u// disconnect 3503 moved []".to_owned(),
        ),
        ("disconnect", r#"{"user":"u","disconnect":{"code":3000}}"#, "u// disconnect 3000  []".to_owned()),
        (
            "disconnect",
            r#"{"user":"u","session":"s","whitelist":["a","b"],"disconnect":{"code":4999,"reason":"gone"}}"#,
            "u//s disconnect 4999 gone [\"a\", \"b\"]".to_owned(),
        ),
        ("refresh", r#"{"user":"u","expired":true}"#, "u// refresh true 0 ".to_owned()),
        (
            "refresh",
            r#"{"user":"u","client":"c","expire_at":1900000000}"#,
            "u/c/ refresh false 1900000000 ".to_owned(),
        ),
    ];
    for (method, body, letter) in rows {
        assert_eq!(shards.ask(method, body).unwrap(), r#"{"result":{}}"#, "{body}");
        assert_eq!(shards.letters, [letter], "{body}");
    }
}

#[test]
fn a_batch_answers_each_command_in_its_place() {
    let mut shards = Shards::new(ApiOptions::default());
    for parallel in ["", r#","parallel":true"#, r#","parallel":null"#] {
        let body = format!(
            r#"{{"commands":[{{"publish":{{"channel":"chat:1","data":1}}}},{{"publish":{{"channel":"no:such","data":1}}}},
            {{"nothing":{{"a":1}}}},{{}},{{"presence_stats":{{"channel":"chat:1"}},"publish":{{"channel":"a","data":2}}}},
            {{"rpc":{{"method":"echo","params":[1]}}}},{{"broadcast":{{"channels":["a"],"data":3}}}},
            {{"disconnect":{{"user":"u"}}}}]{parallel}}}"#
        );
        assert_eq!(
            shards.ask("batch", &body).unwrap(),
            r#"{"replies":[{"publish":{"offset":8,"epoch":"Zt1a"}},{"error":{"code":102,"message":"unknown channel"}},{"error":{"code":104,"message":"not found","detail":"no such method: nothing"}},{"error":{"code":104,"message":"not found","detail":"no method"}},{"presence_stats":{"num_clients":3,"num_users":2}},{"rpc":{"data":[1]}},{"broadcast":{"responses":[{"result":{}}]}},{"disconnect":{}}]}"#
        );
        assert_eq!(shards.letters.len(), 4, "{:?}", shards.letters);
    }
    for empty in ["{}", r#"{"commands":[]}"#, r#"{"commands":null}"#] {
        assert_eq!(shards.ask("batch", empty).unwrap(), "{}");
    }
}

#[test]
fn an_embedders_method_is_called_and_its_failures_stay_its_own() {
    let mut shards = Shards::new(ApiOptions::default());
    let rows = [
        (r#"{"method":"echo","params":{ "a":1}}"#, r#"{"result":{"data":{ "a":1}}}"#),
        (r#"{"method":"fails"}"#, r#"{"error":{"code":4001,"message":"not \"here\""}}"#),
        (r#"{"method":"broken"}"#, r#"{"error":{"code":100,"message":"internal server error"}}"#),
        (r#"{"method":"panics"}"#, r#"{"error":{"code":100,"message":"internal server error"}}"#),
        (r#"{"method":"echo"}"#, r#"{"error":{"code":100,"message":"internal server error"}}"#),
    ];
    for (body, answer) in rows {
        assert_eq!(shards.ask("rpc", body).unwrap(), answer);
    }
}

/// The description contains all paths and no others; every example is an accepted body.
#[test]
fn the_description_is_true() {
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    let mut described: Vec<_> = paths.keys().map(|path| path.strip_prefix("/api/").unwrap()).collect();
    let mut served: Vec<_> = METHODS.into_iter().chain([BATCH, RELOAD]).collect();
    described.sort_unstable();
    served.sort_unstable();
    assert_eq!(described, served);
    let mut shards = Shards::new(ApiOptions::default());
    // A reload has no body.
    for method in served.into_iter().filter(|method| *method != RELOAD) {
        let content = &paths[&format!("/api/{method}")]["post"]["requestBody"]["content"]["application/json"];
        let schema =
            content["schema"]["$ref"].as_str().unwrap().strip_prefix("#/components/schemas/").unwrap();
        let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
        let example = content["example"].as_object().unwrap();
        for field in example.keys() {
            assert!(properties.contains_key(field), "{method}: {field} is in no schema");
        }
        let answer = shards.ask(method, &content["example"].to_string()).unwrap();
        let is_bad = answer.contains("\"code\":107");
        assert!(!is_bad, "{method}: {answer}");
    }
    // Each reference has a target.
    let text = openapi::text();
    for rest in text.split("\"$ref\": \"#/").skip(1) {
        let pointer = format!("/{}", rest.split('"').next().unwrap());
        assert!(document.pointer(&pointer).is_some(), "{pointer}");
    }
}
