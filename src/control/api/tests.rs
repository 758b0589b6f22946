//! Every method against shards that only write down their letters, and answer as they are told.

use std::future::poll_fn;
use std::task::Poll;

use serde_json::Value;

use super::*;
use crate::base::budget::Budget;
use crate::base::shared::Shared;
use crate::config::ApiOptions;
use crate::config::Config;
use crate::hub::home::{Answer, Question, Refused};
use crate::hub::options::{ChannelOptions, Namespaces};
use crate::hub::{ClientInfo, DataKind, Position, Publication};
use crate::server::Wiring;
use crate::shard::mailbox::{Asker, Deed, Letter, Mailbox, Order, Post};

/// Two shards, and all that was asked of them.
struct Shards {
    api: Api,
    posts: Vec<Post>,
    /// Letters in the order of arrival, without those orders that are the same for both.
    letters: Vec<String>,
    answer: fn(&Question) -> Answer,
    budget: Budget,
    mailboxes: Arc<[Mailbox]>,
}

fn position(offset: u64) -> Position {
    Position { offset, epoch: "Zt1a".into() }
}

fn usual(question: &Question) -> Answer {
    let client = |user: &str, info: &[u8]| {
        let (user, client) = (user.into(), format!("c-{user}").into());
        Arc::new(ClientInfo { user, client, conn_info: info.into(), chan_info: Box::default() })
    };
    match question {
        Question::Presence => Answer::Presence(vec![client("ann", b"{\"a\":1}"), client("b\"b", b"")]),
        Question::PresenceStats => Answer::PresenceStats { client_count: 3, user_count: 2 },
        Question::History(_) => {
            let budget = Budget::new(1000);
            let publication = |kind, data: &[u8], offset| Publication {
                offset,
                ..Publication::new("chat:1".into(), kind, Shared::new(data.to_vec(), &budget))
            };
            let said = Publication {
                info: Some(client("ann", b"")),
                tags: [("lang".into(), "en".into())].into(),
                ..publication(DataKind::Json, b"{ \"x\" :1}", 8)
            };
            let others =
                [publication(DataKind::Text, b"words", 9), publication(DataKind::Binary, &[255], 10)];
            let publications = [said].into_iter().chain(others).map(Arc::new).collect();
            Answer::History { publications, position: position(10) }
        }
        Question::RemoveHistory => Answer::Removed,
    }
}

impl Shards {
    fn new(options: ApiOptions) -> Self {
        let full = ChannelOptions {
            presence: true,
            history_size: 10,
            history_ttl_ms: 1000,
            ..ChannelOptions::default()
        };
        let namespaces = Namespaces {
            without_namespace: Arc::default(),
            named: [("chat".to_owned(), Arc::new(full))].into(),
            takes_unknown: false,
            ..Namespaces::default()
        };
        let mut config = Config { namespaces: Arc::new(namespaces), ..Config::default() };
        config.limits.channel_name_bytes_max = 20;
        config.limits.outbox_bytes_max = 2000;
        config.limits.mailbox_letters_max = 3000;
        let mailboxes: Arc<[Mailbox]> = (0..2).map(|_| Mailbox::new(Box::new(|| {}))).collect();
        let budget = Budget::new(100_000);
        let wiring = Wiring {
            mailboxes: Arc::clone(&mailboxes),
            counters: (0..2).map(|_| Arc::default()).collect(),
            publication_budget: budget.clone(),
            seed: 7,
            name: "here_8000".to_owned(),
        };
        let mut methods = Methods::default();
        methods.insert("echo", |params| async move { Ok(params) });
        methods.insert("broken", |_| async { Ok(b"no json".to_vec()) });
        methods.insert("never", |_| std::future::pending());
        methods.insert("panics", |_| async { panic!("planted") });
        methods.insert("fails", |_| async { Err(ApiError { code: 4001, message: "not \"here\"".into() }) });
        let api = Api::new(Node::over(&config, wiring), options, methods);
        let posts = (0..2).map(|shard| Post::new(shard, Arc::clone(&mailboxes))).collect();
        Self { api, posts, letters: Vec::new(), answer: usual, budget, mailboxes }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// The answer to a body; the shards take their turns whenever it waits.
    fn ask(&mut self, method: &str, body: &str) -> Result<String, serde_json::Error> {
        let Self { api, posts, letters, answer, .. } = self;
        letters.clear();
        let mut responding = Box::pin(api.respond(method, body.as_bytes()));
        Self::runtime().block_on(poll_fn(|cx| {
            let polled = responding.as_mut().poll(cx);
            for (shard, post) in posts.iter_mut().enumerate() {
                post.collect();
                while let Some(letter) = post.next_own() {
                    letters.extend(take(shard, letter, *answer));
                }
            }
            match polled {
                Poll::Ready(answer) => Poll::Ready(answer.map(|answer| String::from_utf8(answer).unwrap())),
                Poll::Pending => Poll::Pending,
            }
        }))
    }

    /// The code in the answer to a body; 0 when it tells no error.
    fn code(&mut self, method: &str, body: &str) -> u64 {
        let answer: Value = serde_json::from_str(&self.ask(method, body).unwrap()).unwrap();
        assert_eq!(answer["error"].is_object(), answer.get("result").is_none(), "{answer}");
        answer["error"]["code"].as_u64().unwrap_or(0)
    }
}

/// Writes a letter down and answers it.
fn take(shard: usize, letter: Letter, answer: fn(&Question) -> Answer) -> Option<String> {
    match letter {
        Letter::Publish { publication: p, terms, asker, .. } => {
            let Some(Asker::Outside(reply)) = asker else { panic!("an answer is wanted") };
            reply(match &*p.channel {
                "chat:full" => Answer::Refused(Refused::TooManyPublications),
                name if name.starts_with("chat:") => Answer::Published(position(8)),
                _ => Answer::Published(Position::default()),
            });
            let data = p.data.escape_ascii();
            Some(format!("{} {:?} {data} {:?} {} {terms:?}", p.channel, p.kind, p.tags, p.is_delta))
        }
        Letter::Ask { channel, question, asker, .. } => {
            let Asker::Outside(reply) = asker else { panic!("not from a connection") };
            reply(answer(&question));
            Some(format!("{channel} {question:?}"))
        }
        Letter::Channels { pattern, reply } => {
            reply(vec![(format!("{pattern}{}", 2 - shard).into(), shard)]);
            Some(pattern)
        }
        Letter::Order(order) => {
            let Order { target, deed } = &*order;
            let told = match deed {
                Deed::Subscribe { channel, grant, .. } => format!("subscribe {channel} {grant:?}"),
                Deed::Unsubscribe { channel, code, reason } => {
                    format!("unsubscribe {channel} {code} {reason}")
                }
                Deed::Disconnect { code, reason, spared } => format!("disconnect {code} {reason} {spared:?}"),
                Deed::Refresh { expired, expire_at_s } => format!("refresh {expired} {expire_at_s}"),
            };
            let whom = format!("{}/{}/{}", target.user, target.client, target.session);
            (shard == 0).then(|| format!("{whom} {told}"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn publications_go_as_they_came() {
    let mut shards = Shards::new(ApiOptions::default());
    let none = "Terms { idempotency_key: None, skip_history: false, version: 0, version_epoch: None }";
    let rows = [
        (r#"{"channel":"a","data":{ "x" :1e3}}"#, "{}", format!(r#"a Json {{ \"x\" :1e3}} [] false {none}"#)),
        (r#"{"channel":"a","data":null,"tags":null,"delta":null,"b64data":null}"#, "{}", format!("a Json null [] false {none}")),
        (r#"{"channel":"a\u0062","data":"é\n"}"#, "{}", format!(r#"ab Json \"\xc3\xa9\\n\" [] false {none}"#)),
        ("{\"channel\":\"a\",\"data\":[1,\r\n2]}", "{}", format!("a Json [1,  2] [] false {none}")),
        (r#"{"channel":"a","b64data":"/wA=","data":1}"#, "{}", format!(r"a Binary \xff\x00 [] false {none}")),
        (
            r#"{"channel":"chat:1","data":1,"skip_history":true,"tags":{"b":"2","a":"1"},"idempotency_key":"k",
                "delta":true,"version":18446744073709551615,"version_epoch":"v","unknown":[{}]}"#,
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
        r#"{"result":{"responses":[{"result":{}},{"result":{"offset":8,"epoch":"Zt1a"}},{"error":{"code":107,"message":"bad request"}},{"error":{"code":102,"message":"unknown channel"}},{"error":{"code":111,"message":"too many requests"}}]}}"#
    );
    assert_eq!(shards.letters.len(), 3);
    // More than go at once, in a mailbox that would not hold them all: as many outcomes, in order.
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
            r#"{"presence":{"c-ann":{"user":"ann","client":"c-ann","conn_info":{"a":1}},"c-b\"b":{"user":"b\"b","client":"c-b\"b"}}}"#,
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
    let answer = shards.ask("channels", r#"{"pattern":"a*"}"#).unwrap();
    assert_eq!(answer, r#"{"result":{"channels":{"a*1":{"num_clients":1},"a*2":{"num_clients":0}}}}"#);
    assert_eq!(shards.letters, ["a*", "a*"]);
    assert_eq!(shards.code("channels", "{}"), 0);
    let info: Value = serde_json::from_str(&shards.ask("info", "{}").unwrap()).unwrap();
    let node = &info["result"]["nodes"][0];
    assert_eq!((&node["name"], node["uid"].as_str().unwrap().len()), (&"here_8000".into(), 36));
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn orders_go_to_all_shards_as_they_were_given() {
    let mut shards = Shards::new(ApiOptions::default());
    let grant = |more: &str| format!("Grant {{ channel: \"chat:1\", user: \"u\", client: \"\", {more} }}");
    let plain = "info: [], expire_at_s: 0, data: [], overrides: Overrides { presence: None, join_leave: None, \
                 force_push_join_leave: None, force_recovery: None, force_positioning: None }, recover_since: None";
    let full = "info: [49], expire_at_s: 9, data: [50], overrides: Overrides { presence: Some(true), join_leave: \
                Some(false), force_push_join_leave: None, force_recovery: Some(true), force_positioning: Some(false) \
                }, recover_since: Some((7, \"Zt1a\"))";
    let rows = [
        ("subscribe", r#"{"user":"u","channel":"chat:1"}"#, format!("u// subscribe chat:1 {}", grant(plain))),
        (
            "subscribe",
            r#"{"user":"u","client":"c","session":"s","channel":"chat:1","info":1,"b64data":"Mg==","expire_at":9,
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
            r#"{"user":"u","session":"s","whitelist":["a","b"],"disconnect":{"code":4999,"reason":"gone"}}"#,
            "u//s disconnect 4999 gone [\"a\", \"b\"]".to_owned(),
        ),
        ("refresh", r#"{"user":"u","expired":true}"#, "u// refresh true 0".to_owned()),
        (
            "refresh",
            r#"{"user":"u","client":"c","expire_at":1900000000}"#,
            "u/c/ refresh false 1900000000".to_owned(),
        ),
    ];
    for (method, body, letter) in rows {
        assert_eq!(shards.ask(method, body).unwrap(), r#"{"result":{}}"#, "{body}");
        assert_eq!(shards.letters, [letter], "{body}");
    }
}

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
        ("publish", r#"{"channel":"a","channel":"b","data":1}"#),
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
            r#"{"replies":[{"publish":{"offset":8,"epoch":"Zt1a"}},{"error":{"code":102,"message":"unknown channel"}},{"error":{"code":104,"message":"method not found"}},{"error":{"code":104,"message":"method not found"}},{"presence_stats":{"num_clients":3,"num_users":2}},{"rpc":{"data":[1]}},{"broadcast":{"responses":[{"result":{}}]}},{"disconnect":{}}]}"#
        );
        assert_eq!(shards.letters.len(), 4, "{:?}", shards.letters);
    }
    for empty in ["{}", r#"{"commands":[]}"#, r#"{"commands":null}"#] {
        assert_eq!(shards.ask("batch", empty).unwrap(), r#"{"replies":[]}"#);
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

/// The description: every path is there, and nothing else; every example is a body that is taken.
#[test]
fn the_description_is_true() {
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    let mut described: Vec<_> = paths.keys().map(|path| path.strip_prefix("/api/").unwrap()).collect();
    let mut served: Vec<_> = METHODS.into_iter().chain([BATCH]).collect();
    described.sort_unstable();
    served.sort_unstable();
    assert_eq!(described, served);
    let mut shards = Shards::new(ApiOptions::default());
    for method in served {
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
    // Each reference leads somewhere.
    let text = openapi::text();
    for rest in text.split("\"$ref\": \"#/").skip(1) {
        let pointer = format!("/{}", rest.split('"').next().unwrap());
        assert!(document.pointer(&pointer).is_some(), "{pointer}");
    }
}
