//! Messages behind an order to join: they wait until all shards have carried the order out, and keep their order.

use serde_json::{Value, json};
use throng::socketio::{Selector, SocketMessage};
use throng::{HistoryFilter, PublishOptions};

use super::Running;
use super::channels::share;
use crate::support::peer::TEXT;

/// A room that is a channel has one order for its sockets and in its history, whatever is sent there.
#[test]
fn events_and_publications_behind_orders_to_join_have_one_order() {
    const ROUNDS: u64 = 200;
    let running = Running::start(|config| {
        share(config, "chat", |options| (options.history_size, options.history_ttl_ms) = (1000, 60_000));
    });
    let mut socket = running.client(&["chat:a"]);
    let _others: Vec<_> = (0..4).map(|_| running.client(&[])).collect();
    let (all, room) = (Selector::of("/"), Selector::of("/").to("chat:a"));
    let mut pending = Vec::new();
    let mut counts = Vec::new();
    for n in 0..ROUNDS {
        let joined = running.node.sockets_join(&all, &["b"]).unwrap();
        let message = SocketMessage::new("said", &(json!(["event", n]),), Vec::new()).unwrap();
        pending.push(running.node.emit(&room, &message).unwrap());
        let data = json!(["publication", n]).to_string().into_bytes();
        let published = running.node.publish("chat:a", data, &PublishOptions::default());
        counts.push(running.node.history("chat:a", HistoryFilter::default()));
        joined.wait().unwrap();
        published.wait().unwrap();
    }
    pending.into_iter().for_each(|one| one.wait().unwrap());
    let heard: Vec<Value> = (0..2 * ROUNDS).map(|_| socket.said()).collect();
    let expected = (0..ROUNDS).flat_map(|n| [json!(["event", n]), json!(["publication", n])]);
    assert_eq!(heard, expected.collect::<Vec<_>>());
    let history = running.node.history("chat:a", HistoryFilter::default()).wait().unwrap();
    let kept: Vec<Value> =
        history.publications.iter().map(|one| serde_json::from_slice(&one.data).unwrap()).collect();
    assert_eq!(kept, heard);
    // A question comes in its place, too.
    for (round, count) in (1..).zip(counts) {
        assert_eq!(count.wait().unwrap().publications.len(), 2 * round);
    }
    running.end();
}

/// Questions that wait for their answers do not make a server drop orders.
#[test]
fn orders_are_carried_out_however_many_questions_wait() {
    let running = Running::start(|config| config.limits.outbox_bytes_max = 16 << 20);
    let mut socket = running.client(&["a"]);
    let message = SocketMessage::new("question", &(), Vec::new()).unwrap();
    let to = Selector::of("/").to("a");
    // At most 10,000 wait at a time.
    let mut questions = Vec::new();
    for number in 0..10_010 {
        questions.push(running.node.emit_with_ack(&to, &message, 60_000).unwrap());
        if number % 500 == 0 {
            // Requests that a busy shard has not taken yet have a limit of their own.
            running.node.fetch_sockets(&to).unwrap().wait().unwrap();
        }
    }
    let joined = running.node.sockets_join(&to, &["b"]).unwrap();
    let found = running.node.fetch_sockets(&to).unwrap();
    assert_eq!(joined.wait().unwrap(), 1);
    assert_eq!(found.wait().unwrap()[0].rooms.iter().filter(|room| ***room == *"b").count(), 1);
    socket.peer.send(TEXT, "41");
    let refused = questions.into_iter().map(throng::Pending::wait).filter(Result::is_err).count();
    assert_eq!(refused, 10, "beyond the limit of questions");
    running.end();
}
