//! Packets, one by one: the bytes that are taken, refused and written.

use super::*;
use crate::hub::words::Enter;

#[test]
fn a_session_opens_with_exactly_five_keys() {
    let mut talk = Talk::closed(|_| {});
    talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
    let open = talk.text();
    let mut value: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let sid = value.as_object_mut().unwrap().remove("sid").unwrap();
    assert_eq!(sid.as_str().unwrap().len(), 52, "a secret");
    let rest = serde_json::json!({"upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1_000_000});
    assert_eq!(value, rest);
}

/// The bytes are those that the protocol's test suite expects.
#[test]
fn namespaces_are_connected_refused_and_left_one_by_one() {
    let mut talk = Talk::new(|_| {});
    talk.send("40").unwrap();
    let id = SocketId::new(client(1), 0);
    assert_eq!(talk.texts(), [format!("40{{\"sid\":\"{id}\"}}"), "42[\"auth\",{}]".to_owned()]);
    talk.send("40/custom,{\"token\":\"abc\"}").unwrap();
    let custom = SocketId::new(client(1), 1);
    assert_eq!(
        talk.texts(),
        [
            format!("40/custom,{{\"sid\":\"{custom}\"}}"),
            "42/custom,[\"auth\",{\"token\":\"abc\"}]".to_owned()
        ]
    );
    assert_eq!(talk.app.0.asked, ["/ token=t", "/custom token=t"]);
    talk.send("40/random").unwrap();
    talk.send("40/no,").unwrap();
    assert_eq!(
        talk.texts(),
        [
            "44/random,{\"message\":\"Invalid namespace\"}",
            "44/no,{\"message\":\"not you\",\"data\":[\"a\",1]}"
        ]
    );
    talk.send("41/custom,").unwrap();
    // What crosses with the end of a namespace is ignored.
    for late in ["41/custom,", "42/custom,[\"message\",1]", "43/custom,1[]", "42/never,[\"message\"]"] {
        talk.send(late).unwrap();
    }
    assert_eq!(talk.texts(), [""; 0]);
    // A socket that comes back is another one.
    talk.send("40/custom,").unwrap();
    let id = SocketId::new(client(1), 2);
    assert_eq!(talk.text(), format!("40/custom,{{\"sid\":\"{id}\"}}"));
    talk.got.clear();
    talk.send("42[\"message\",1,\"2\",{\"3\":[true]}]").unwrap();
    assert_eq!(talk.texts(), ["42[\"message-back\",1,\"2\",{\"3\":[true]}]"]);
    let ended = talk.end(&CloseReason::Peer(1001));
    assert_eq!(
        ended,
        ["/custom client namespace disconnect", "/ transport close", "/custom transport close"]
    );
}

/// Some clients lose messages that arrive together with the answer to CONNECT: the application is told a little later,
/// but before any event.
#[test]
fn the_answer_to_connect_comes_alone() {
    let mut talk = Talk::new(|_| {});
    talk.call(|session, app, cx| session.receive(&mut b"\x81\x82\0\0\0\x0040".to_vec(), app, cx)).unwrap();
    let enter = Ask::Enter(Box::new(Enter::new("\u{1}/".into())));
    assert_eq!(std::mem::take(&mut talk.actions), [Action::Ask { id: 0, ask: enter }]);
    // Nothing is told before the namespace's home has counted the socket, and events are ignored.
    talk.bytes(&mut b"\x81\x8d\0\0\0\x0042[\"message\"]".to_vec()).unwrap();
    assert_eq!(talk.texts(), [""; 0]);
    talk.entered("\u{1}/").unwrap();
    assert_eq!((talk.texts().len(), talk.deadline_ms()), (1, talk.now_ms + 10));
    assert_eq!(talk.actions, [Action::SetTimer { at_ms: talk.now_ms + 10 }]);
    talk.timer().unwrap();
    assert_eq!(talk.texts(), [""; 0], "too early");
    talk.now_ms += 10;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), ["42[\"auth\",{}]"]);
    assert!(talk.deadline_ms() > talk.now_ms + 1000);

    let mut talk = Talk::new(|_| {});
    talk.call(|session, app, cx| session.receive(&mut b"\x81\x82\0\0\0\x0040".to_vec(), app, cx)).unwrap();
    talk.entered("\u{1}/").unwrap();
    talk.bytes(&mut b"\x81\x8d\0\0\0\x0042[\"message\"]".to_vec()).unwrap();
    assert_eq!(talk.texts()[1..], ["42[\"auth\",{}]", "42[\"message-back\"]"]);
}

/// Each rule of the protocol, broken: the connection ends, as at the reference.
#[test]
fn what_is_malformed_ends_the_connection() {
    for (is_connected, packet) in [
        (false, "42[\"message\"]"),
        (false, "41"),
        (false, "43[]"),
        (true, ""),
        (true, "x"),
        (true, "7"),
        (true, "2"),
        (true, "2probe"),
        (true, "4"),
        (true, "4abc"),
        (true, "40"),
        (true, "40/custom,[]"),
        (true, "40/custom,null"),
        (true, "41{}"),
        (true, "42{}"),
        (true, "42[]"),
        (true, "42[null]"),
        (true, "42[\"message\""),
        (true, "42abc[\"message\"]"),
        (true, "42[\"connect\"]"),
        (true, "42[\"disconnecting\"]"),
        (true, "43{}"),
        (true, "44{\"message\":\"no\"}"),
        (true, "451-[\"message\"]"),
        (true, "4511-[\"message\"]"),
        (true, "bAAA"),
        (true, "b!!!!"),
    ] {
        let mut talk = if is_connected { Talk::connected(|_| {}) } else { Talk::new(|_| {}) };
        let outcome = talk.send(packet);
        let is_malformed = matches!(outcome, Err(CloseReason::Malformed(_)));
        assert!(is_malformed, "{packet}: {outcome:?}");
        let (code, text) = outcome.as_ref().unwrap_err().frame().unwrap();
        assert!(code == Some(1002) && !text.is_empty() && text.len() <= 123, "{packet}: {text}");
        let ended = talk.end(&outcome.unwrap_err());
        assert_eq!(ended.len(), usize::from(is_connected), "{packet}");
    }
    // After a refused CONNECT a client may have sent more.
    let mut talk = Talk::new(|_| {});
    talk.send("40/no").unwrap();
    talk.send("42/no,[\"message\"]").unwrap();
    assert_eq!(talk.texts().len(), 1);
    // An attachment that nothing announced, and text where one is due.
    let mut talk = Talk::connected(|_| {});
    assert!(matches!(talk.frame(BINARY, b"x"), Err(CloseReason::Malformed(_))));
    let mut talk = Talk::connected(|_| {});
    talk.send("451-[\"message\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    assert!(matches!(talk.send("42[\"message\"]"), Err(CloseReason::Malformed(_))));
    // The end by the client's own packet.
    assert_eq!(Talk::connected(|_| {}).send("1"), Err(CloseReason::Peer(1005)));
}

#[test]
fn limits_end_the_connection_or_refuse_the_namespace() {
    let mut talk = Talk::connected(|options| options.payload_bytes_max = 100);
    talk.frame(TEXT, format!("42[\"message\",\"{}\"]", "x".repeat(80)).as_bytes()).unwrap();
    assert_eq!(talk.texts().len(), 1);
    let outcome = talk.frame(TEXT, format!("42[\"message\",\"{}\"]", "x".repeat(100)).as_bytes());
    assert_eq!(outcome.unwrap_err().frame().unwrap().0, Some(1009));
    let mut talk = Talk::connected(|options| options.payload_bytes_max = 100);
    talk.send("452-[\"message\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")
        .unwrap();
    assert!(talk.session.held_bytes() > 60, "what waits for attachments counts");
    assert!(matches!(talk.frame(BINARY, &[1; 90]), Err(CloseReason::Malformed(_))));

    let mut talk = Talk::connected(|options| options.namespaces_max = 2);
    for (packet, answer) in [
        ("40/custom1", "40/custom1,{\"sid\""),
        ("40/custom2", "44/custom2,{\"message\":\"too many namespaces"),
        ("41", ""),
        ("40/custom2", "40/custom2,{\"sid\""),
    ] {
        talk.send(packet).unwrap();
        let answered = talk.texts().first().cloned().unwrap_or_default();
        assert!(
            answered.starts_with(answer) && answered.is_empty() == answer.is_empty(),
            "{packet}: {answered}"
        );
    }
    let long = format!("40/custom{}", "x".repeat(20));
    talk.send(&long).unwrap();
    assert!(talk.text().ends_with(",{\"message\":\"Invalid namespace\"}"));
}

#[test]
fn attachments_travel_behind_their_packet_in_both_directions() {
    let mut talk = Talk::connected(|_| {});
    talk.send(
        "452-[\"message\",{\"_placeholder\":true,\"num\":1},{\"a\":{\"_placeholder\":true,\"num\":0}}]",
    )
    .unwrap();
    talk.frame(BINARY, b"\x01\x02").unwrap();
    assert!(talk.got.is_empty());
    talk.send("bAwQ=").unwrap();
    assert_eq!(
        talk.text(),
        "452-[\"message-back\",{\"_placeholder\":true,\"num\":1},{\"a\":{\"_placeholder\":true,\"num\":0}}]"
    );
    assert_eq!(Vec::from(talk.got), [(BINARY, vec![1, 2]), (BINARY, vec![3, 4])]);

    let mut talk = Talk::connected(|_| {});
    talk.send("42[\"file\"]").unwrap();
    assert_eq!(
        talk.text(),
        "452-[\"file\",\"name\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]"
    );
    assert_eq!(Vec::from(talk.got), [(BINARY, vec![0, 255]), (BINARY, Vec::new())]);

    // A client that reads no binary messages gets text.
    let mut talk = Talk::closed(|_| {});
    let head = HEAD.replace("&token=t", "&b64=1");
    talk.call(|session, app, cx| session.receive(&mut head.as_bytes().to_vec(), app, cx)).unwrap();
    talk.send("40").unwrap();
    talk.got.clear();
    talk.send("42[\"file\"]").unwrap();
    assert_eq!(talk.texts()[1..], ["bAP8=", "b"]);
}

/// A mistake of the application must not make clients close their connection without a reason.
#[test]
fn what_clients_would_refuse_is_not_sent_and_ends_the_connection_with_the_reason() {
    for (event, why) in [
        ("reserved", "the event's name is reserved by Socket.IO"),
        ("wrong file", "the placeholders do not refer to each attachment once"),
    ] {
        let mut talk = Talk::connected(|_| {});
        let outcome = talk.send(&format!("42[\"{event}\"]"));
        assert_eq!(outcome, Err(CloseReason::Handler { code: 1011, reason: why.to_owned() }));
        assert!(talk.got.is_empty(), "{event}");
    }
}
