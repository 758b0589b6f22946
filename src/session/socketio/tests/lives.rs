//! Sessions over time: answers, ends, heartbeats; and the other parser.

use super::*;
use crate::proto::socketio::{Args, Assembler, PacketBody};

#[test]
fn events_are_answered_in_both_directions() {
    let mut talk = Talk::connected(|_| {});
    talk.send("4212[\"with-ack\",1,{\"a\":null}]").unwrap();
    talk.send("451-3[\"with-ack\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    talk.frame(BINARY, b"z").unwrap();
    talk.send("42[\"with-ack\"]").unwrap();
    assert_eq!(talk.text(), "4312[1,{\"a\":null}]");
    assert_eq!(talk.text(), "461-3[{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(Vec::from(std::mem::take(&mut talk.got)), [(BINARY, b"z".to_vec())]);

    talk.actions.clear();
    talk.send("42[\"ask\"]").unwrap();
    assert_eq!(talk.texts(), ["421[\"question\",\"q\"]"]);
    assert_eq!(talk.actions, [Action::SetTimer { at_ms: 1100 }]);
    assert_eq!(talk.deadline_ms(), 1100);
    for ignored in ["432[]", "43[]", "439007199254740991[1]"] {
        talk.send(ignored).unwrap();
    }
    assert_eq!(talk.texts(), [""; 0]);
    talk.send("431[\"yes\",2]").unwrap();
    assert_eq!(talk.texts(), ["42[\"acked\",7,[\"yes\",2]]"]);
    talk.send("431[\"again\"]").unwrap();
    assert_eq!(talk.texts(), [""; 0]);

    talk.send("42[\"ask\"]").unwrap();
    talk.send("42[\"ask for ever\"]").unwrap();
    assert_eq!(talk.texts(), ["422[\"question\",\"q\"]", "423[\"question\"]"]);
    talk.now_ms = 1099;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), [""; 0]);
    talk.now_ms = 1100;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), ["42[\"acked\",7,null]"]);
    talk.send("432[1]").unwrap();
    talk.send("433[]").unwrap();
    assert_eq!(talk.texts(), ["42[\"acked\",8,[]]"]);
}

#[test]
fn the_application_ends_a_socket_all_of_them_or_the_connection() {
    let both = || {
        let mut talk = Talk::connected(|_| {});
        talk.send("40/custom").unwrap();
        talk.got.clear();
        talk
    };
    let mut talk = both();
    talk.send("42[\"leave\"]").unwrap();
    talk.send("42/custom,[\"message\"]").unwrap();
    assert_eq!(talk.texts(), ["41", "42/custom,[\"message-back\"]"]);
    assert_eq!(talk.app.0.ended, ["/ server namespace disconnect"]);

    let mut talk = both();
    let reason = talk.send("42[\"leave all\"]").unwrap_err();
    assert_eq!(reason.frame().unwrap().0, Some(1000));
    assert_eq!(talk.texts(), ["41", "41/custom,"]);
    assert_eq!(talk.end(&reason), ["/ server namespace disconnect", "/custom server namespace disconnect"]);

    let mut talk = both();
    let reason = talk.send("42[\"close\"]").unwrap_err();
    assert_eq!((reason.frame().unwrap(), talk.texts().len()), ((Some(4000), "enough"), 0));
}

#[test]
fn the_server_pings_and_a_client_that_does_not_answer_is_gone() {
    let mut talk = Talk::connected(|options| {
        (options.ping_interval_ms, options.ping_timeout_ms) = (300, 200);
    });
    for _ in 0..3 {
        assert_eq!(talk.deadline_ms(), talk.now_ms + 300, "short intervals are exact");
        talk.now_ms += 300;
        talk.timer().unwrap();
        assert_eq!((talk.texts(), talk.counts.pings), (vec!["2".to_owned()], 1));
        assert_eq!(talk.deadline_ms(), talk.now_ms + 200);
        talk.now_ms += 50;
        talk.send("3").unwrap();
        assert_eq!(talk.counts.pongs, 1);
    }
    talk.now_ms += 300;
    talk.timer().unwrap();
    // Whatever a client sends shows that it lives.
    talk.send("42[\"message\"]").unwrap();
    talk.now_ms += 300;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), ["2", "42[\"message-back\"]", "2"]);
    talk.now_ms += 200;
    // Its answer may be among what is not read, while it does not read either.
    talk.waiting_bytes = talk.settings.outbox_bytes_max;
    talk.timer().unwrap();
    assert_eq!(talk.deadline_ms(), talk.now_ms + 200);
    talk.waiting_bytes = 0;
    talk.now_ms += 200;
    assert_eq!(talk.timer(), Err(CloseReason::NoPong));
    assert_eq!(talk.end(&CloseReason::NoPong), ["/ ping timeout"]);
}

/// The wheel has the end of the time for the answer, and does not look at the session before.
#[test]
fn the_next_ping_is_due_after_an_interval_also_where_the_time_for_an_answer_is_longer() {
    let mut talk = Talk::connected(|options| {
        (options.ping_interval_ms, options.ping_timeout_ms) = (400, 20_000);
    });
    talk.now_ms += 400;
    talk.timer().unwrap();
    assert_eq!(talk.deadline_ms(), (talk.now_ms + 20_000).next_multiple_of(128));
    talk.now_ms += 50;
    talk.actions.clear();
    talk.send("3").unwrap();
    assert_eq!(talk.actions, [Action::SetTimer { at_ms: talk.now_ms + 400 }]);
    assert_eq!(talk.deadline_ms(), talk.now_ms + 400);
    talk.actions.clear();
    talk.send("42[\"message\"]").unwrap();
    assert_eq!(talk.actions, [], "only the answer to a ping changes the deadline");
}

/// Heartbeats of many sessions share turns, and sessions that came together are not pinged together.
#[test]
fn long_intervals_are_rounded_up_and_begin_apart() {
    let talk = Talk::connected(|_| {});
    assert_eq!(talk.deadline_ms() % 128, 0);
    let first: Vec<_> = (0..100)
        .map(|token| {
            let talk = Talk::new(|_| {});
            let mut first_ms = 0;
            let mut settings = talk.settings.clone();
            settings.socketio.connect_timeout_ms = 100_000;
            let (mut out, mut apart, mut actions, told) =
                (Vec::new(), Vec::new(), Vec::new(), Told::default());
            let mut cx = Context {
                user: "",
                certificate: None,
                now_ms: 0,
                settings: &settings,
                client: client(token),
                out: &mut out,
                apart: &mut apart,
                waiting_bytes: 0,
                is_behind: false,
                in_place: None,
                actions: &mut actions,
                forwarded: Forwarded::default(),
                reach: &mut crate::hub::reach::Reach::new(7.into(), 0, 1),
                press: &mut Press::new(None),
                counts: Counts::default(),
                told: &told,
                notes: &mut Vec::new(),
            };
            let mut session: AnySession<Value> = AnySession::begin(Speaks::Http);
            session.receive(&mut HEAD.as_bytes().to_vec(), &mut SocketIo(App::default()), &mut cx).unwrap();
            first_ms += session.deadline_ms().unwrap();
            first_ms
        })
        .collect();
    assert!(first.iter().all(|ms| (12_500..=25_088).contains(ms)), "{first:?}");
    let early = first.iter().filter(|ms| **ms < 18_750).count();
    assert!((45..=55).contains(&early), "{early}");
}

#[test]
fn a_client_that_connects_to_nothing_is_gone_in_time() {
    let mut talk = Talk::new(|options| options.connect_timeout_ms = 1000);
    assert_eq!(talk.deadline_ms(), 2000);
    talk.send("40/unknown").unwrap();
    talk.now_ms = 2000;
    assert_eq!(talk.timer(), Err(CloseReason::Stale));
    let mut talk = Talk::connected(|options| options.connect_timeout_ms = 1000);
    talk.now_ms = 5000;
    talk.timer().unwrap();
}

/// The same conversation in msgpack: one binary message for each packet.
#[test]
fn an_endpoint_may_speak_msgpack() {
    let mut talk = Talk::new(|options| options.is_msgpack = true);
    let packet = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = Vec::new();
        write(&mut packet);
        packet
    };
    // {"type":0,"nsp":"/custom","data":{"token":"abc"}}
    let connect = b"\x83\xa4type\x00\xa3nsp\xa7/custom\xa4data\x81\xa5token\xa3abc";
    talk.frame(BINARY, connect).unwrap();
    let (kind, connected) = talk.got.pop_front().unwrap();
    let id = SocketId::new(client(1), 0);
    let expected = packet(&|out| msgpack::put_connected(out, "/custom", id.as_str(), None));
    assert_eq!((kind, connected), (BINARY, expected));
    let (_, auth) = talk.got.pop_front().unwrap();
    let PacketBody::Event(event) = msgpack::read(&auth).unwrap().body else { panic!("no event") };
    let Args::MsgPack(args) = event.args else { panic!("no msgpack") };
    assert_eq!((&*event.name, args.bytes()), ("auth", &b"\x81\xa5token\xa3abc"[..]));
    // {"type":2,"nsp":"/custom","id":5,"data":["with-ack",bin(1,2),1]}
    talk.frame(
        BINARY,
        b"\x84\xa4type\x02\xa3nsp\xa7/custom\xa2id\x05\xa4data\x93\xa8with-ack\xc4\x02\x01\x02\x01",
    )
    .unwrap();
    let (_, answer) = talk.got.pop_front().unwrap();
    let PacketBody::Ack { id, args: Args::MsgPack(args) } = msgpack::read(&answer).unwrap().body else {
        panic!()
    };
    assert_eq!((id, args.bytes()), (Some(5), &b"\xc4\x02\x01\x02\x01"[..]), "binary data is inline");
    // {"type":2,"nsp":"/custom","data":["file"]}
    talk.frame(BINARY, b"\x83\xa4type\x02\xa3nsp\xa7/custom\xa4data\x91\xa4file").unwrap();
    let (_, file) = talk.got.pop_front().unwrap();
    let PacketBody::Event(event) = msgpack::read(&file).unwrap().body else { panic!("no event") };
    let Args::MsgPack(args) = event.args else { panic!("no msgpack") };
    assert_eq!(args.bytes(), b"\xa4name\xc4\x02\x00\xff\xc4\x00");
    assert_eq!(talk.got.len(), 0);
    for wrong in [&b"\x83\xa4type\x07\xa3nsp\xa1/\xa4data\x90"[..], b"", b"\xc1"] {
        let mut talk = Talk::new(|options| options.is_msgpack = true);
        assert!(matches!(talk.frame(BINARY, wrong), Err(CloseReason::Malformed(_))), "{wrong:?}");
    }
    let mut talk = Talk::new(|options| options.is_msgpack = true);
    assert!(matches!(talk.send("40"), Err(CloseReason::Malformed(_))));
}

/// The reference's limit of attachments is the reader's too, and what it reads is what was sent.
#[test]
fn what_is_written_is_what_a_client_reads() {
    let mut talk = Talk::connected(|_| {});
    talk.send("42[\"file\"]").unwrap();
    let mut assembler = Assembler::default();
    let text = talk.text();
    let limits = AttachmentLimits::default();
    assert!(assembler.text(SocketProtocol::V5, limits, &text[1..]).unwrap().is_none());
    assert!(assembler.binary(limits, &talk.got[0].1).unwrap().is_none());
    let whole = assembler.binary(limits, &talk.got[1].1).unwrap().unwrap();
    let packet = whole.packet().unwrap();
    assert_eq!(packet.attachments.iter().collect::<Vec<_>>(), [&b"\x00\xff"[..], b""]);
}

/// A connection rests from heartbeat to heartbeat, and goes on as if it had not.
#[test]
fn a_connection_rests_with_its_heartbeat_and_loses_nothing() {
    let rests = |talk: &Talk| {
        let AnySession::SocketIo(session) = &talk.session else { panic!("it is over") };
        session.sockets.whole().is_none()
    };
    for recovery_ttl_ms in [0, 1000] {
        let mut talk = Talk::connected(|options| options.recovery_ttl_ms = recovery_ttl_ms);
        let beat = |talk: &mut Talk| {
            talk.now_ms = talk.deadline_ms();
            talk.timer().unwrap();
            assert_eq!(talk.texts().pop().as_deref(), Some("2"));
            assert!(!rests(talk), "the answer to a ping is awaited");
            talk.send("3").unwrap();
        };
        beat(&mut talk);
        assert!(rests(&talk));
        let due_ms = talk.deadline_ms();
        assert_eq!(due_ms, (talk.now_ms + 25_000).next_multiple_of(128));

        talk.send("42[\"ask for ever\"]").unwrap();
        assert_eq!(talk.texts(), ["421[\"question\"]"]);
        talk.send("431[1]").unwrap();
        assert!(talk.texts()[0].starts_with("42[\"acked\",8,[1]"));
        beat(&mut talk);
        assert!(rests(&talk));
        talk.send("42[\"ask for ever\"]").unwrap();
        assert_eq!(talk.texts(), ["422[\"question\"]"], "ids of questions go on");
        beat(&mut talk);
        assert!(!rests(&talk), "an answer is awaited");
        talk.send("432[1]").unwrap();
        beat(&mut talk);
        assert!(rests(&talk));

        // A part of a message.
        talk.bytes(&mut [0x81, 0x81]).unwrap();
        assert!(!rests(&talk));
        talk.bytes(&mut [0, 0, 0, 0, b'3']).unwrap();
        assert!(rests(&talk));
        talk.send("40/custom").unwrap();
        talk.got.clear();
        beat(&mut talk);
        assert!(!rests(&talk), "two sockets");
        talk.send("41/custom").unwrap();
        beat(&mut talk);
        assert!(rests(&talk));
        assert!(
            talk.end(&CloseReason::Hangup).contains(&"/ transport close".to_owned()) || recovery_ttl_ms > 0
        );
    }
}
