//! Clients of Engine.IO 3, which are those of Socket.IO 1 and 2.

use super::*;

#[test]
fn they_are_connected_to_the_root_without_asking() {
    let mut talk = Talk::old(|_| {});
    assert_eq!(talk.app.0.asked, ["/ token=t"]);
    assert_eq!(talk.texts(), ["42[\"auth\",{}]"]);
    talk.send("40/custom?a=1&b=%22&a=2,").unwrap();
    assert_eq!(talk.texts(), ["40/custom,", "42/custom,[\"auth\",{\"a\":\"2\",\"b\":\"\\\"\"}]"]);
    talk.send("40/custom-2").unwrap();
    assert_eq!(talk.texts(), ["40/custom-2,", "42/custom-2,[\"auth\",{}]"]);
    // A refusal is its data, or else its message.
    talk.send("40/no").unwrap();
    talk.send("40/unknown").unwrap();
    assert_eq!(talk.texts(), ["44/no,[\"a\",1]", "44/unknown,\"Invalid namespace\""]);
    talk.send("42/custom,[\"message\",1]").unwrap();
    talk.send("427[\"with-ack\",2]").unwrap();
    assert_eq!(talk.texts(), ["42/custom,[\"message-back\",1]", "437[2]"]);
    let ended = talk.end(&CloseReason::NoPong);
    assert_eq!(ended, ["/ ping timeout", "/custom ping timeout", "/custom-2 ping timeout"]);
}

/// Those that wait for nothing get the packet that opens the session before the answer.
#[test]
fn they_may_speak_first() {
    let mut talk = Talk::closed(|options| options.allow_eio3 = true);
    let mut head = HEAD.replace("EIO=4", "EIO=3").into_bytes();
    talk.call(|session, app, cx| session.receive(&mut head, app, cx)).unwrap();
    assert!(talk.got.is_empty());
    talk.send("2").unwrap();
    assert!(talk.text().starts_with("0{\"sid\":\""));
    assert_eq!(talk.texts(), ["3", "40", "42[\"auth\",{}]"]);
}

#[test]
fn they_ping_and_are_gone_when_they_do_not() {
    let mut talk = Talk::old(|options| {
        (options.ping_interval_ms, options.ping_timeout_ms) = (300, 200);
    });
    talk.got.clear();
    assert_eq!(talk.deadline_ms(), 1510);
    talk.now_ms = 1400;
    talk.send("2").unwrap();
    talk.send("2data").unwrap();
    assert_eq!(talk.texts(), ["3", "3data"]);
    assert_eq!(talk.deadline_ms(), 1900);
    // Other packets do not count.
    talk.now_ms = 1800;
    talk.send("42[\"message\"]").unwrap();
    talk.got.clear();
    talk.now_ms = 1899;
    talk.timer().unwrap();
    assert_eq!((talk.texts(), talk.deadline_ms()), (Vec::new(), 1900));
    talk.now_ms = 1900;
    // Not while the client's input may wait behind output that it has not read.
    talk.waiting_bytes = talk.settings.outbox_bytes_max;
    talk.timer().unwrap();
    assert_eq!(talk.deadline_ms(), 2100);
    (talk.now_ms, talk.waiting_bytes) = (2100, 0);
    assert_eq!(talk.timer(), Err(CloseReason::NoPong));
}

#[test]
fn binary_data_has_its_type_in_front() {
    let mut talk = Talk::old(|_| {});
    talk.got.clear();
    talk.send("451-[\"message\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    talk.frame(BINARY, b"\x04ab").unwrap();
    talk.send("451-[\"message\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    talk.send("b4YWI=").unwrap();
    for _ in 0..2 {
        assert_eq!(talk.text(), "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(talk.got.pop_front(), Some((BINARY, b"\x04ab".to_vec())));
    }
}

#[test]
fn what_breaks_a_rule_ends_the_connection() {
    for packet in ["3", "7", "", "b2YQ==", "40", "40/custom,{}", "44\"x\"", "42[\"connect\"]", "42{}"] {
        let mut talk = Talk::old(|_| {});
        assert!(matches!(talk.send(packet), Err(CloseReason::Malformed(_))), "{packet}");
    }
    for bytes in [&b""[..], b"\x02", b"ab", b"\x04ab"] {
        let mut talk = Talk::old(|_| {});
        assert!(matches!(talk.frame(BINARY, bytes), Err(CloseReason::Malformed(_))), "{bytes:?}");
    }
}
