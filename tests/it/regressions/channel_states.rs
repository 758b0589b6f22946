//! The application is told of channels that get their first subscriber and lose their last.

use serde_json::{Value, json};

use crate::support::Client;
use crate::support::application::{Application, hook};

fn states(question: &Value) -> Vec<(String, String)> {
    let events = question["events"].as_array().unwrap();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    assert!(events.iter().all(|event| event["time_ms"].as_u64().unwrap() > 1_700_000_000_000));
    events.iter().map(|event| (text(event, "channel"), text(event, "type"))).collect()
}

#[test]
fn first_and_last_subscribers_are_told_over_all_shards() {
    let application = Application::start();
    let server = application.server(|application| {
        json!({
            "shards": 3,
            "metrics_by_namespace": true,
            "client": {"insecure": true},
            "channel": {
                "proxy": {"state": hook(application, "state")},
                "namespaces": [{"name": "told", "state_proxy_enabled": true}, {"name": "other"}]
            }
        })
    });
    let told = |channel: &str, kind: &str| (channel.to_owned(), kind.to_owned());
    let next = || states(&application.answer("state", json!({"result": {}})));
    let mut clients: Vec<Client> = (0..6).map(|_| Client::open(server.address)).collect();
    for client in &mut clients {
        assert_eq!((client.subscribe("other:a"), client.subscribe("told:a")), (Ok(()), Ok(())));
    }
    assert_eq!(next(), [told("told:a", "occupied")]);
    assert_eq!(clients[0].publish("told:a", json!(1)), Ok(()));
    assert_eq!(server.metric_with("throng_namespace_subscriptions", "namespace=\"told\""), 6);
    assert_eq!(server.metric_with("throng_namespace_publications_total", "namespace=\"told\""), 1);
    server.await_metric_with("throng_namespace_deliveries_total", "namespace=\"told\"", 6);
    assert_eq!(server.metric_with("throng_namespace_deliveries_total", "namespace=\"other\""), 0);
    assert_eq!(server.metric_with("throng_namespace_channels", "namespace=\"other\""), 1);
    assert_eq!(server.metric_with("throng_transport_sessions", "transport=\"websocket\""), 6);
    for client in &mut clients[1..] {
        assert_eq!(client.unsubscribe("told:a"), Ok(()));
    }
    drop(clients);
    assert_eq!(next(), [told("told:a", "vacated")], "by the last, whichever way it goes");
    let mut client = Client::open(server.address);
    assert_eq!(client.subscribe("told:b"), Ok(()));
    assert_eq!(next(), [told("told:b", "occupied")]);
    server.await_metric("throng_channel_states_waiting", 0);
    assert_eq!(server.metric("throng_channel_states_total"), 3);
    assert_eq!(server.metric_with("throng_hook_seconds_count", "hook=\"state\""), 3);
    assert_eq!(server.metric_with("throng_hook_failures_total", "hook=\"state\",reason=\"timeout\""), 0);
}
