//! Hooks of Socket.IO: questions about events, and reports of ends, however the backend behaves.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::time::timeout;

use super::backend::{Backend, Reply, json};
use super::*;
use crate::shard::outside::{Rejected, SocketEnd, SocketEvents, Who};

fn events(sid: &str) -> Question {
    let events = SocketEvents {
        sid: sid.to_owned(),
        fields: format!("\"sid\":\"{sid}\",\"event\":\"a\""),
        count: 1,
        rooms: None,
    };
    Question::SocketEvents { who: Who { client: "c".to_owned(), ..Who::default() }, events: Box::new(events) }
}

fn end(sid: &str) -> SocketEnd {
    let fields = format!("\"sid\":\"{sid}\",\"reason\":\"ping timeout\"");
    SocketEnd { sid: sid.to_owned(), fields, state: Some("1".to_owned()), ..SocketEnd::default() }
}

fn stage(backend: &Backend) -> Stage {
    Stage::new(&Options {
        socket_event: Some(hook(backend.url("/event"))),
        socket_end: Some(HookOptions { signature_secret: "s3cret".to_owned(), ..hook(backend.url("/end")) }),
        ..options()
    })
}

fn all_told(stage: &Stage) {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, stage.world.all_told()).await }).unwrap();
}

#[test]
fn an_answer_is_a_result_or_nothing_or_a_failure() {
    let number = AtomicUsize::new(0);
    let backend = Backend::start(move |_| match number.fetch_add(1, SeqCst) {
        0 => json(r#"{"result":{"ack":[1]}}"#),
        1 => Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        2 => json(r#"{"result":{"do":[{"emit":{"event":"connect"}}]}}"#),
        3 => json(&format!(r#"{{"result":{{"state":"{}"}}}}"#, "x".repeat(2 << 20))),
        4 => json(r#"{"disconnect":{"code":4001,"reason":"go"}}"#),
        _ => Reply::Raw(b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n".to_vec()),
    });
    let mut stage = stage(&backend);
    let mut ask = || {
        let Verdict::SocketEvents(outcome) = stage.verdict(events("s")) else { panic!("of another hook") };
        outcome
    };
    assert_eq!(ask().unwrap(), r#"{"ack":[1]}"#);
    assert_eq!(backend.seen().json(), serde_json::json!({ "client": "c", "sid": "s", "event": "a" }));
    assert_eq!(ask().unwrap(), "{}");
    for _ in 2..4 {
        assert!(matches!(ask(), Err(Rejected::Denied(_))));
    }
    assert_eq!(ask(), Err(Rejected::Disconnect { code: 4001, reason: "go".to_owned() }));
    assert!(matches!(ask(), Err(Rejected::Denied(_))));
    let failures: Vec<u64> = stage.world.counts().hooks[7].failures.iter().map(|c| c.value()).collect();
    assert_eq!(failures, [0, 0, 1, 1, 1, 0], "a status, a large answer, and one that cannot be carried out");
}

#[test]
fn an_end_is_reported_until_it_is_accepted_and_signed() {
    let number = AtomicUsize::new(0);
    let backend = Backend::start(move |_| match number.fetch_add(1, SeqCst) {
        0 => Reply::Raw(b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n".to_vec()),
        1 => json(r#"{"error":{"code":1}}"#),
        _ => Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
    });
    let stage = stage(&backend);
    stage.world.tell_ends(vec![end("s")]);
    all_told(&stage);
    for _ in 0..3 {
        let seen = backend.seen();
        let told = serde_json::json!({ "client": "", "sid": "s", "reason": "ping timeout", "state": 1, "rooms": [] });
        assert_eq!((seen.line.as_str(), seen.json()), ("POST /end", told));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cret");
        let sign = data_encoding::HEXLOWER.encode(ring::hmac::sign(&key, seen.body.as_bytes()).as_ref());
        assert_eq!(seen.header("x-throng-signature"), Some(format!("sha256={sign}").as_str()));
    }
    assert!(!backend.has_seen_more());
    let ends = &stage.world.counts().ends;
    assert_eq!((ends.told.load(SeqCst), ends.waiting(), ends.dropped.load(SeqCst)), (1, 0, 0));
}

#[test]
fn the_end_of_a_socket_comes_behind_its_last_event_with_the_new_state() {
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = std::sync::Mutex::new(goes_on);
    let backend = Backend::start(move |seen| {
        if seen.line == "POST /event" {
            goes_on.lock().unwrap().recv().unwrap();
        }
        json(r#"{"result":{"state":2}}"#)
    });
    let mut stage = stage(&backend);
    stage.ask(0, events("s"));
    stage.world.tell_ends(vec![end("s"), end("other")]);
    // The request about the event is shown when it is answered.
    assert_eq!(backend.seen().json()["sid"], "other");
    assert!(stage.world.counts().ends.waiting() > 0, "a stop waits for the end behind the question");
    go_on.send(()).unwrap();
    stage.answer(0);
    assert_eq!(backend.seen().line, "POST /event");
    let last = backend.seen();
    all_told(&stage);
    assert_eq!((last.json()["sid"].clone(), last.json()["state"].clone()), ("s".into(), 2.into()));
}

#[test]
fn ends_that_are_never_accepted_do_not_hold_up_others() {
    let backend = Backend::start(|seen| {
        let is_good = seen.json()["sid"] == "good";
        json(if is_good { "{}" } else { r#"{"error":{"code":1000,"message":"no"}}"# })
    });
    let stage = stage(&backend);
    let bad = (0..super::super::ends::REQUESTS_MAX).map(|number| end(&format!("bad{number}")));
    stage.world.tell_ends(bad.chain([end("good")]).collect());
    while backend.seen().json()["sid"] != "good" {}
}
