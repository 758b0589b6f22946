//! Events for the state hook: all arrive, once and in order, however the backend behaves.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::time::timeout;

use super::backend::{Backend, Reply, Seen, json};
use super::*;
use crate::hub::home::StateChange;
use crate::outside::counts::Counts;
use crate::outside::states::EVENTS_MAX;

fn state(channel: &str, is_occupied: bool, time_ms: u64) -> StateChange {
    StateChange { channel: channel.into(), is_occupied, time_ms }
}

fn stage(backend: &Backend) -> Stage {
    Stage::new(&Options { state: Some(hook(backend.url("/states"))), ..options() })
}

/// Channels and kinds of a request's events.
fn events(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let events = body["events"].as_array().unwrap().iter();
    events.map(|e| format!("{} {}", e["channel"].as_str().unwrap(), e["type"].as_str().unwrap())).collect()
}

/// Waits until all events are accepted.
fn all_told(stage: &Stage) {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, stage.world.all_told()).await }).unwrap();
}

#[test]
fn events_are_told_as_centrifugo_tells_them() {
    let backend = Backend::start(|_| json(r#"{"result":{}}"#));
    let stage = stage(&backend);
    let told = [state("chat:index", true, 1_697_206_286_533), state("chat:lobby", false, 1_697_206_286_540)];
    stage.world.tell_states(told.to_vec());
    all_told(&stage);
    let seen = backend.seen();
    assert_eq!(seen.line, "POST /states");
    assert_eq!(seen.header("content-type"), Some("application/json"));
    let document = include_str!("../../../docs/AUTH.md");
    let (_, rest) = document.split_once("\n```json state request\n").unwrap();
    let documented: serde_json::Value = serde_json::from_str(rest.split_once("\n```").unwrap().0).unwrap();
    assert_eq!(seen.json(), documented);
    let Counts { states, hooks, .. } = stage.world.counts();
    assert_eq!((states.told.load(SeqCst), states.sent.load(SeqCst), states.waiting()), (2, 2, 0));
    assert_eq!(hooks[9].took_us.buckets().map(|(_, count)| count).sum::<u64>(), 1);
}

#[test]
fn what_fails_is_told_again_in_its_order() {
    let number = AtomicUsize::new(0);
    let backend = Backend::start(move |_| match number.fetch_add(1, SeqCst) {
        0 => json(r#"{"error":{"code":100,"message":"not now"}}"#),
        1 => Reply::Raw(b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n".to_vec()),
        _ => json("{}"),
    });
    let stage = stage(&backend);
    stage.world.tell_states(vec![state("a", true, 1)]);
    assert_eq!(events(&backend.seen()), ["a occupied"]);
    // These events come while the first is sent again.
    stage.world.tell_states(vec![state("a", false, 2), state("b", true, 3)]);
    stage.world.tell_states(vec![state("a", true, 4)]);
    all_told(&stage);
    assert_eq!(events(&backend.seen()), ["a occupied"]);
    assert_eq!(events(&backend.seen()), ["a occupied"], "until it is taken");
    let mut rest = Vec::new();
    while rest.len() < 3 {
        rest.extend(events(&backend.seen()));
    }
    assert_eq!(rest, ["a vacated", "b occupied", "a occupied"]);
    let failures: Vec<u64> = stage.world.counts().hooks[9].failures.iter().map(|c| c.value()).collect();
    assert_eq!(failures, [0, 0, 1, 0, 1, 0], "a status, and an answer that says no");
}

#[test]
fn beyond_what_may_wait_the_oldest_are_dropped_and_counted() {
    let backend = Backend::start(|_| Reply::Silence);
    let stage = stage(&backend);
    stage.world.tell_states(vec![state("first", true, 0)]);
    // That event is being sent and is no longer queued.
    assert_eq!(events(&backend.seen()), ["first occupied"]);
    stage.world.tell_states((0..EVENTS_MAX as u64 + 7).map(|n| state("a", n % 2 == 0, n)).collect());
    let states = &stage.world.counts().states;
    assert_eq!((states.dropped.load(SeqCst), states.waiting()), (7, EVENTS_MAX as u64 + 1));
}

#[test]
fn options_about_clients_are_refused() {
    let state = HookOptions { http_headers: vec!["cookie".to_owned()], ..hook("http://a/".to_owned()) };
    let faults = crate::outside::check(&Options { state: Some(state), ..options() });
    assert_eq!(faults, ["the state hook's http_headers: events of channels have no client and no data"]);
}

#[test]
fn what_waits_is_told_where_the_hook_is_after_a_renewal() {
    let first = Backend::start(|_| json(r#"{"error":{"code":100,"message":"not now"}}"#));
    let second = Backend::start(|_| json("{}"));
    let mut stage = stage(&first);
    stage.world.tell_states(vec![state("a", true, 1)]);
    assert_eq!(events(&first.seen()), ["a occupied"]);
    let elsewhere = Options { state: Some(hook(second.url("/states"))), ..options() };
    stage.world = stage.world.renewed(&elsewhere).unwrap().begin();
    stage.world.tell_states(vec![state("a", false, 2)]);
    all_told(&stage);
    assert_eq!(events(&second.seen()), ["a occupied"]);
    assert_eq!(events(&second.seen()), ["a vacated"]);
    // Without the hook, events are not queued; with it again, only new events are.
    stage.world = stage.world.renewed(&options()).unwrap().begin();
    stage.world.tell_states(vec![state("b", true, 3)]);
    assert_eq!(stage.world.counts().states.waiting(), 0);
    stage.world = stage.world.renewed(&elsewhere).unwrap().begin();
    stage.world.tell_states(vec![state("c", true, 4)]);
    all_told(&stage);
    assert_eq!(events(&second.seen()), ["c occupied"]);
}
