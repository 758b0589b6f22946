//! Commands behind one that ends the connection, in the same frame. They were still executed, and by then the client
//! had been removed: they ran for an unknown client, which published, called hooks, and was counted for ever.

use serde_json::json;

use crate::support::{Client, Server};

#[test]
fn what_stands_behind_an_end_is_said_by_nobody() {
    let server = Server::start(&[]);
    let mut witness = Client::subscribed(server.address, &["c"]);
    for end in [r#""refresh":{"token":""}"#, r#""refresh":{"token":"none"}"#] {
        let mut client = Client::open(server.address);
        client.send(&format!(
            "{{\"id\":2,{end}}}\n{{\"id\":3,\"publish\":{{\"channel\":\"c\",\"data\":\"behind\"}}}}\n\
             {{\"id\":4,\"subscribe\":{{\"channel\":\"c\"}}}}"
        ));
        let answers = client.expect_close(if end.contains("none") { 3500 } else { 3501 });
        assert!(answers.is_empty(), "{end}: {answers:?}");
        let mut other = Client::open(server.address);
        other.publish("c", json!("later")).unwrap();
        assert_eq!(witness.publication(), ("c".to_owned(), json!("later")), "{end}");
    }
    server.await_metric("throng_connections", 1);
    server.await_metric("throng_subscriptions", 1);
}

#[test]
fn what_waited_behind_an_end_is_said_by_nobody() {
    let config = r#"
[channel.without_namespace]
history_size = 1
history_ttl = "1h"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true
[client]
allow_anonymous_connect_without_token = true
"#;
    let server = Server::configured(config, &[]);
    let mut witness = Client::subscribed(server.address, &["c"]);
    for end in [r#""refresh":{"token":""}"#, r#""refresh":{"token":"none"}"#] {
        let mut client = Client::open(server.address);
        // All of them wait until a home has gathered the history.
        client.send(&format!(
            "{{\"id\":2,\"history\":{{\"channel\":\"h\"}}}}\n{{\"id\":3,{end}}}\n\
             {{\"id\":4,\"publish\":{{\"channel\":\"c\",\"data\":\"behind\"}}}}\n\
             {{\"id\":5,\"subscribe\":{{\"channel\":\"c\"}}}}"
        ));
        let answers = client.expect_close(if end.contains("none") { 3500 } else { 3501 });
        assert!(matches!(&answers[..], [one] if one["id"] == 2), "{end}: {answers:?}");
        let mut other = Client::open(server.address);
        other.publish("c", json!("later")).unwrap();
        assert_eq!(witness.publication(), ("c".to_owned(), json!("later")), "{end}");
    }
    server.await_metric("throng_connections", 1);
    server.await_metric("throng_subscriptions", 1);
}
