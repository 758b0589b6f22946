//! Answers of the server API that meant "sent" and were read as "done": a backend's next request overtook the order.

use std::sync::Arc;

use serde_json::json;
use throng::parts::hub::options::Namespaces;

use crate::support::Client;
use crate::support::backend::{Backend, Running, options};

const ROUNDS: usize = 40;

#[test]
fn who_is_subscribed_hears_what_is_published_next() {
    let server = Running::start(options());
    let mut clients: Vec<_> = (0..6).map(|_| Client::open(server.address)).collect();
    let mut backend = Backend::new(&server);
    for n in 0..ROUNDS {
        let channel = format!("c{n}");
        let subscribe = json!({"user": "", "channel": &channel});
        let publish = json!({"channel": &channel, "data": n});
        if n % 2 == 0 {
            let commands = json!({"commands": [{"subscribe": subscribe}, {"publish": publish}]});
            assert_eq!(backend.ask("batch", commands)["replies"].as_array().unwrap().len(), 2);
        } else {
            assert_eq!(backend.ask("subscribe", subscribe), json!({"result": {}}));
            assert_eq!(backend.ask("publish", publish), json!({"result": {}}));
        }
        for client in &mut clients {
            assert_eq!(client.publication(), (channel.clone(), json!(n)));
        }
        assert_eq!(
            backend.ask("unsubscribe", json!({"user": "", "channel": &channel})),
            json!({"result": {}})
        );
    }
    server.end();
}

#[test]
fn who_is_unsubscribed_has_heard_what_was_published_before_and_nothing_later() {
    let server = Running::start(options());
    let mut clients: Vec<_> = (0..6).map(|_| Client::open(server.address)).collect();
    let mut backend = Backend::new(&server);
    for n in 0..ROUNDS {
        let order = json!({"user": "", "channel": "c"});
        backend.ask("subscribe", order.clone());
        backend.ask("publish", json!({"channel": "c", "data": n}));
        assert_eq!(backend.ask("unsubscribe", order), json!({"result": {}}));
        backend.ask("publish", json!({"channel": "c", "data": "late"}));
        for client in &mut clients {
            assert_eq!(client.publication(), ("c".to_owned(), json!(n)));
        }
    }
    server.end();
}

#[test]
fn who_is_subscribed_is_counted_by_what_is_asked_next() {
    let mut namespaces = Namespaces { takes_unknown: true, ..Namespaces::default() };
    Arc::make_mut(&mut namespaces.without_namespace).presence = true;
    let server = Running::start_with(options(), namespaces);
    let clients: Vec<_> = (0..6).map(|_| Client::open(server.address)).collect();
    let mut backend = Backend::new(&server);
    for n in 0..ROUNDS {
        let channel = format!("c{n}");
        let order = json!({"user": "", "channel": &channel});
        let count = |backend: &mut Backend| {
            backend.ask("presence_stats", json!({"channel": &channel}))["result"]["num_clients"].clone()
        };
        backend.ask("subscribe", order.clone());
        assert_eq!(count(&mut backend), json!(clients.len()));
        backend.ask("unsubscribe", order);
        assert_eq!(count(&mut backend), json!(0));
    }
    server.end();
}
