//! Codes that the application must not choose.

use serde_json::{Value, json};

use crate::support::Peer;
use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;

/// A hook could disconnect a client with 3005, after which the client requests a new token, or fail a command with
/// 103. A code outside of the application's range makes the answer invalid: error 100, and a log line.
#[test]
fn a_hook_that_uses_the_protocols_numbers_has_failed() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        json!({
            "client": {"proxy": {"connect": connect}},
            "channel": {
                "proxy": {"subscribe": hook(application, "subscribe")},
                "without_namespace": {"subscribe_proxy_enabled": true}
            }
        })
    });
    for no in [
        json!({"disconnect": {"code": 3005, "reason": "connection expired"}}),
        json!({"disconnect": {"code": 99, "reason": "no such code"}}),
        json!({"error": {"code": 108, "message": "not available"}}),
    ] {
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
        application.answer("connect", no);
        let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
        assert_eq!(reply["error"]["code"], 100, "{reply}");
    }
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", json!({"result": {"user": "42"}}));
    peer.message();
    for (no, told) in [
        (json!({"error": {"code": 103, "message": "permission denied"}}), 100),
        (json!({"error": {"code": 399, "message": "no"}}), 100),
        (json!({"error": {"code": 400, "message": "no"}}), 400),
        (json!({"error": {"code": 109, "message": "token expired"}}), 109),
    ] {
        peer.send(TEXT, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
        application.answer("subscribe", no);
        let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
        assert_eq!(reply["error"]["code"], told, "{reply}");
    }
    drop(peer);
    let (_, said) = {
        server.signal("TERM");
        server.end()
    };
    assert!(said.contains("disconnect code 3005, which is not in 4000–4999"), "{said}");
}

/// The credentials of a client may have expired for the connect hook: the client reconnects with new ones, as after an
/// expired token.
#[test]
fn a_connect_hook_may_say_that_what_it_looked_at_has_expired() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        json!({"client": {"proxy": {"connect": connect}}, "uni_websocket": {"enabled": true}})
    });
    let expired = json!({"error": {"code": 109, "message": "token expired"}});
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", expired.clone());
    let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!(reply["error"], json!({"code": 109, "message": "token expired"}));
    for (no, code) in [(expired, 3005), (json!({"error": {"code": 1000, "message": "no"}}), 3004)] {
        let mut peer = Peer::open(server.address, "/connection/uni_websocket");
        peer.send(TEXT, "{}");
        application.answer("connect", no);
        peer.expect_close(code);
    }
}
