//! Text, case by case.

use serde_json::json;

use super::super::write::{Unsendable, put_connect_error, put_connected, put_disconnect, put_sid_of_v4};
use super::*;

const V4: SocketProtocol = SocketProtocol::V4;
const V5: SocketProtocol = SocketProtocol::V5;

fn said_of(
    kind: &'static str,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    json: serde_json::Value,
) -> Said {
    let serde_json::Value::Array(json) = json else { panic!("a list of arguments, not {json}") };
    Said { kind, namespace: namespace.to_owned(), id, name: name.to_owned(), json, attachments: Vec::new() }
}

/// Cases of `packages/socket.io-parser/test/parser.js`, without those about its options or objects of JavaScript.
#[test]
fn packets_of_the_reference() {
    for (text, said) in [
        (r#"0/woot,{"token":"123"}"#, said_of("connect", "/woot", None, "", json!([{"token": "123"}]))),
        ("1/woot,", said_of("disconnect", "/woot", None, "", json!([]))),
        (r#"2["a",1,{}]"#, said_of("event", "/", None, "a", json!([1, {}]))),
        (r#"2[1,"a",{}]"#, said_of("event", "/", None, "1", json!(["a", {}]))),
        (r#"2/test,1["a",1,{}]"#, said_of("event", "/test", Some(1), "a", json!([1, {}]))),
        (r#"3123["a",1,{}]"#, said_of("ack", "/", Some(123), "", json!(["a", 1, {}]))),
        (r#"4"Unauthorized""#, said_of("error", "/", None, "", json!(["Unauthorized"]))),
        (
            r#"4{"message":"Unauthorized"}"#,
            said_of("error", "/", None, "", json!([{"message": "Unauthorized"}])),
        ),
        // As the protocol's text has them, and as clients write them.
        ("0", said_of("connect", "/", None, "", json!([]))),
        ("0/admin", said_of("connect", "/admin", None, "", json!([]))),
        ("0/admin,", said_of("connect", "/admin", None, "", json!([]))),
        ("1", said_of("disconnect", "/", None, "", json!([]))),
        ("1/admin", said_of("disconnect", "/admin", None, "", json!([]))),
        (r#"2["foo"]"#, said_of("event", "/", None, "foo", json!([]))),
        (r#"2 [ "foo" , 1 , [ 2 , 3 ] ] "#, said_of("event", "/", None, "foo", json!([1, [2, 3]]))),
        (r#"2/admin,12["a\"b\u00e9","],["]"#, said_of("event", "/admin", Some(12), "a\"bé", json!(["],["]))),
        (r#"20["a"]"#, said_of("event", "/", Some(0), "a", json!([]))),
        (r#"29007199254740991["a"]"#, said_of("event", "/", Some(9_007_199_254_740_991), "a", json!([]))),
        ("31[]", said_of("ack", "/", Some(1), "", json!([]))),
        ("3/a,1[]", said_of("ack", "/a", Some(1), "", json!([]))),
        ("31", said_of("ack", "/", Some(1), "", json!([]))),
        ("3[1]", said_of("ack", "/", None, "", json!([1]))),
        (r#"50-["a",1]"#, said_of("event", "/", None, "a", json!([1]))),
        (r#"60-1[1]"#, said_of("ack", "/", Some(1), "", json!([1]))),
        // Without attachments, an object with the form of a placeholder is plain data.
        (
            r#"2["a",{"_placeholder":true,"num":0}]"#,
            said_of("event", "/", None, "a", json!([{"_placeholder": true, "num": 0}])),
        ),
        (r#"2["message",[[[]]]]"#, said_of("event", "/", None, "message", json!([[[[]]]]))),
    ] {
        assert_eq!(one(text), Ok(said), "{text}");
    }
}

#[test]
fn each_rule_has_its_error() {
    use SocketError as E;
    let deep = format!("2[\"a\",{}]", "[".repeat(1000) + &"]".repeat(1000));
    for (text, error) in [
        // Those of the reference.
        (r#"442["some","data""#, E::ErrorPayload),
        (r#"0/admin,"invalid""#, E::ConnectPayload),
        ("0[]", E::ConnectPayload),
        ("1/admin,{}", E::DisconnectPayload),
        (r#"2/admin,"invalid"#, E::NoList),
        ("2/admin,{}", E::NoList),
        (r#"2[{"toString":"foo"}]"#, E::EventName),
        (r#"2[true,"foo"]"#, E::EventName),
        (r#"2[null,"bar"]"#, E::EventName),
        (r#"2["connect"]"#, E::ReservedName),
        (r#"2["disconnect","123"]"#, E::ReservedName),
        ("5", E::AttachmentCount),
        ("51", E::AttachmentCount),
        ("5a-", E::AttachmentCount),
        ("51.23-", E::AttachmentCount),
        ("999", E::UnknownType),
        // More of the kind.
        ("", E::UnknownType),
        ("7", E::UnknownType),
        ("/", E::UnknownType),
        ("é", E::UnknownType),
        ("5-[\"a\"]", E::AttachmentCount),
        ("6-1-[]", E::AttachmentCount),
        ("511-[\"a\"]", E::TooManyAttachments),
        ("599999999999999999999999-[\"a\"]", E::TooManyAttachments),
        ("0null", E::ConnectPayload),
        ("0{", E::Json),
        ("0{} {}", E::Json),
        ("0/a\u{1e}b,", E::Namespace),
        ("1/a\n,", E::Namespace),
        ("1 null", E::DisconnectPayload),
        ("1/a,b", E::DisconnectPayload),
        ("4", E::ErrorPayload),
        ("4[]", E::ErrorPayload),
        ("4{\"a\"", E::Json),
        ("2", E::NoList),
        ("2null", E::NoList),
        (r#"2-1["a"]"#, E::NoList),
        ("2[]", E::EventName),
        ("2[[\"a\"]]", E::EventName),
        (r#"2["\ud800"]"#, E::EventName),
        ("2[", E::Json),
        ("2[\"a\"", E::Json),
        ("2[\"a\",]", E::Json),
        ("2[\"a\"]]", E::Json),
        ("2[\"a\"]\u{a0}", E::Json),
        ("2[\"a\",01]", E::Json),
        ("3{}", E::NoList),
        ("3 null", E::NoList),
        ("31[1", E::Json),
        (&deep, E::TooDeep),
        ("29007199254740992[\"a\"]", E::AckId),
        ("299999999999999999999999[\"a\"]", E::AckId),
    ] {
        assert_eq!(one(text), Err(error), "{text}");
        assert!(!error.reason().is_empty() && error.to_string().starts_with("a Socket.IO packet"));
    }
    for name in RESERVED {
        assert_eq!(one(&format!("2[{name:?},1]")), Err(E::ReservedName));
        let mut out = Vec::new();
        assert_eq!(PacketWriter::event(&mut out, "/", None, name, 0).unwrap_err(), Unsendable::ReservedName);
        assert!(out.is_empty());
    }
}

/// `test/buffer.js`, `arraybuffer.js`, `blob.js`: binary data of any JavaScript type, in any place.
#[test]
fn packets_with_attachments_of_the_reference() {
    let hold = |num: usize| json!({"_placeholder": true, "num": num});
    let table: [(&str, &[&[u8]], Said); 7] = [
        (
            r#"51-/cool,23["a",{"_placeholder":true,"num":0}]"#,
            &[b"abc"],
            said_of("event", "/cool", Some(23), "a", json!([hold(0)])),
        ),
        (
            r#"51-/cool,23["a",{"b":["c",{"_placeholder":true,"num":0}]}]"#,
            &[b"abc"],
            said_of("event", "/cool", Some(23), "a", json!([{"b": ["c", hold(0)]}])),
        ),
        (
            r#"61-/back,127["a",{"_placeholder":true,"num":0},{}]"#,
            &[b"xxx"],
            said_of("ack", "/back", Some(127), "", json!(["a", hold(0), {}])),
        ),
        (
            r#"51-0["a",{"_placeholder":true,"num":0}]"#,
            &[&[0, 0]],
            said_of("event", "/", Some(0), "a", json!([hold(0)])),
        ),
        (
            r#"51-["a",{"array":{"_placeholder":true,"num":0}}]"#,
            &[&[]],
            said_of("event", "/", None, "a", json!([{"array": hold(0)}])),
        ),
        (
            r#"52-/deep,999["a",{"a":"hi","b":{"why":{"_placeholder":true,"num":0}},"c":{"a":"bye","b":{"a":{"_placeholder":true,"num":1}}}}]"#,
            &[&[0; 3], &[0; 6]],
            said_of(
                "event",
                "/deep",
                Some(999),
                "a",
                json!([{"a": "hi", "b": {"why": hold(0)}, "c": {"a": "bye", "b": {"a": hold(1)}}}]),
            ),
        ),
        (
            r#"51-600["a",{"a":"b","c":4,"e":{"g":null},"h":{"_placeholder":true,"num":0}}]"#,
            &[&[0; 9]],
            said_of(
                "event",
                "/",
                Some(600),
                "a",
                json!([{"a": "b", "c": 4, "e": {"g": null}, "h": hold(0)}]),
            ),
        ),
    ];
    for (text, attachments, said) in table {
        a_packet_with_attachments(text, attachments, said);
    }
}

#[test]
fn placeholders_are_read_in_any_form_that_clients_write() {
    let hold = |num: usize| json!({"_placeholder": true, "num": num});
    let table: [(&str, &[&[u8]], Said); 2] = [
        // Keys in the other order, blanks, and numbers in another order than the text.
        (
            r#"52-["a", { "num" : 1 , "_placeholder" : true } ,{"_placeholder":true,"num":0}]"#,
            &[b"0", b"1"],
            said_of("event", "/", None, "a", json!([hold(1), hold(0)])),
        ),
        // Braces and marks within strings are text, and so is the mark without `true`.
        (
            r#"51-["a","{\"_placeholder\":true}",{"_placeholder":false,"x":"\\"},{"_placeholder":true,"num":0}]"#,
            &[b"abc"],
            said_of(
                "event",
                "/",
                None,
                "a",
                json!(["{\"_placeholder\":true}", {"_placeholder": false, "x": "\\"}, hold(0)]),
            ),
        ),
    ];
    for (text, attachments, said) in table {
        a_packet_with_attachments(text, attachments, said);
    }
}

/// A packet is read when its last attachment has arrived, and not before.
fn a_packet_with_attachments(text: &str, attachments: &[&[u8]], mut said: Said) {
    said.attachments = attachments.iter().map(|data| data.to_vec()).collect();
    let mut messages = vec![Sent::Text(text)];
    messages.extend(attachments.iter().map(|data| Sent::Binary(data)));
    for count in 1..messages.len() {
        let so_far = assemble(V5, &messages[..count]);
        assert_eq!(so_far, Ok(vec![]), "{text} and {} of its attachments", count - 1);
    }
    messages.push(Sent::Text("1"));
    let wanted = vec![said, said_of("disconnect", "/", None, "", json!([]))];
    assert_eq!(assemble(V5, &messages), Ok(wanted), "{text}");
}

#[test]
fn attachments_that_do_not_match_are_malformed() {
    use SocketError as E;
    for (text, error) in [
        (r#"51-["hello",{"_placeholder":true,"num":"splice"}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true,"num":1}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true,"num":-1}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true,"num":0.5}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true,"num":0,"more":1}]"#, E::Placeholders),
        (r#"51-["hello",{"more":{},"num":0,"_placeholder":true}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true,"_placeholder":true}]"#, E::Placeholders),
        (r#"51-["hello",{"num":0,"num":0}]"#, E::Placeholders),
        (r#"51-["hello"]"#, E::Placeholders),
        (r#"52-["hello",{"_placeholder":true,"num":0}]"#, E::Placeholders),
        (r#"52-["hello",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#, E::Placeholders),
        (r#"50-["hello",{"_placeholder":true,"num":0}]"#, E::Placeholders),
        (r#"51-["hello",{"_placeholder":true,"num":99999999999999999999}]"#, E::Placeholders),
    ] {
        assert_eq!(one(text), Err(error), "{text}");
    }
    let begun = r#"51-["hello",{"_placeholder":true,"num":0}]"#;
    assert_eq!(assemble(V5, &[Sent::Binary(b"world")]), Err(E::StrayBinary));
    assert_eq!(assemble(V5, &[Sent::Text(begun), Sent::Text(r#"2["hello"]"#)]), Err(E::TextForAttachment));
    assert_eq!(
        assemble(V5, &[Sent::Text(begun), Sent::Binary(b""), Sent::Binary(b"")]),
        Err(E::StrayBinary),
        "one more than was said"
    );
}

#[test]
fn what_is_collected_is_bounded_in_number_and_bytes() {
    let three = r#"53-["hello",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]"#;
    let limits = AttachmentLimits { count_max: 2, bytes_max: 1000 };
    let mut assembler = Assembler::default();
    assert_eq!(assembler.text(V5, limits, three), Err(SocketError::TooManyAttachments));
    let limits = AttachmentLimits { count_max: 3, bytes_max: three.len() + 10 };
    assert_eq!(assembler.text(V5, limits, three), Ok(None));
    assert!(assembler.binary(limits, &[0; 5]).is_ok_and(|whole| whole.is_none()));
    assert_eq!(assembler.binary(limits, &[0; 6]).unwrap_err(), SocketError::AttachmentBytes);
    assert!(!assembler.is_collecting());
    let limits = AttachmentLimits { count_max: usize::MAX, bytes_max: three.len() - 1 };
    assert_eq!(assembler.text(V5, limits, three), Err(SocketError::AttachmentBytes));
    let many = format!("565-[\"a\",{}]", vec![r#"{"_placeholder":true,"num":0}"#; 65].join(","));
    assert_eq!(assembler.text(V5, limits, &many), Err(SocketError::TooManyAttachments));
    assert_eq!(size_of::<Assembler>(), 8, "between two packets it is a null pointer");
}

#[test]
fn protocol_4_has_its_query_behind_the_namespace() {
    let read = |text| super::super::read(V4, text, 10).map(|(packet, _)| packet);
    let connect = |namespace, query| Packet {
        namespace,
        body: PacketBody::Connect { auth: None, query },
        attachments: Attachments::NONE,
    };
    assert_eq!(read("0/admin?token=1&b=%2C,"), Ok(connect("/admin", Some("token=1&b=%2C"))));
    assert_eq!(read("0/admin"), Ok(connect("/admin", None)));
    assert_eq!(read("0"), Ok(connect("/", None)));
    assert_eq!(read("0/?a=1"), Ok(connect("/", Some("a=1"))));
    assert_eq!(read("0{}"), Err(SocketError::ConnectPayload));
    assert_eq!(read("1/admin?token=1,").map(|packet| packet.namespace), Ok("/admin"));
    // In protocol 5 it would be a part of the name.
    assert_eq!(one("0/admin?token=1,").unwrap().namespace, "/admin?token=1");
    let mut sid = Vec::new();
    put_sid_of_v4(&mut sid, "/admin", "abc");
    assert_eq!(sid, b"/admin#abc");
    sid.clear();
    put_sid_of_v4(&mut sid, "/", "abc");
    assert_eq!(sid, b"abc");
}

#[test]
fn what_a_server_sends_is_as_suites_ask_for_it() {
    for (text, wanted) in [
        (written(|out| put_connected(out, V5, "/", "x", None)), r#"0{"sid":"x"}"#),
        (
            written(|out| put_connected(out, V5, "/custom", "x", Some("p"))),
            r#"0/custom,{"sid":"x","pid":"p"}"#,
        ),
        (written(|out| put_connected(out, V4, "/", "x", None)), "0"),
        (written(|out| put_connected(out, V4, "/custom", "x", None)), "0/custom,"),
        (
            written(|out| put_connect_error(out, V5, "/random", "Invalid namespace", None)),
            r#"4/random,{"message":"Invalid namespace"}"#,
        ),
        (
            written(|out| put_connect_error(out, V5, "/", "no \"way\"", Some(r#"{"code":7}"#))),
            r#"4{"message":"no \"way\"","data":{"code":7}}"#,
        ),
        (
            written(|out| put_connect_error(out, V4, "/a", "Invalid namespace", None)),
            r#"4/a,"Invalid namespace""#,
        ),
        (written(|out| put_connect_error(out, V4, "/", "m", Some("[1]"))), "4[1]"),
        (written(|out| put_disconnect(out, "/")), "1"),
        (written(|out| put_disconnect(out, "/a")), "1/a,"),
        (event("/", None, "auth", "{}", 0), r#"2["auth",{}]"#),
        (event("/a", Some(7), "é\n", "1,2", 0), r#"2/a,7["é\n",1,2]"#),
        (event("/", None, "a", "", 0), r#"2["a"]"#),
        (ack("/a", 456, "", 0), "3/a,456[]"),
        (ack("/", 0, "1", 0), "30[1]"),
        (ack("/", 0, r#"{"_placeholder":true,"num":0}"#, 1), r#"61-0[{"_placeholder":true,"num":0}]"#),
    ] {
        assert_eq!(text, wanted);
    }
}

#[test]
fn arguments_are_raw_or_serdes_with_the_offset_behind_them() {
    let text = written(|out| {
        let mut writer = PacketWriter::event(out, "/", None, "a", 2).unwrap();
        writer.raw("1").values(&("b", [2])).unwrap().placeholder().values(&[(); 0]).unwrap();
        writer.value(&[3]).unwrap().values("d").unwrap().raw("").placeholder().offset("o-1");
        writer.end();
    });
    let hold = |num| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
    assert_eq!(text, format!(r#"52-["a",1,"b",[2],{},[3],"d",{},"o-1"]"#, hold(0), hold(1)));
    let text = written(|out| {
        let mut writer = PacketWriter::ack(out, "/", 1, 0).unwrap();
        // A map with such keys is none in JSON: nothing of it stays.
        assert!(writer.value(&std::collections::BTreeMap::from([((1, 2), 3)])).is_err());
        writer.values(&[1, 2]).unwrap();
        writer.end();
    });
    assert_eq!(text, "31[1,2]");
    let mut out = Vec::new();
    let refused = PacketWriter::event(&mut out, "/", None, "a", ATTACHMENTS_SENT_MAX + 1).map(|_| ());
    assert_eq!(refused, Err(Unsendable::TooManyAttachments));
    assert_eq!(PacketWriter::ack(&mut out, "/", 1, 11).map(|_| ()), Err(Unsendable::TooManyAttachments));
    assert!(out.is_empty());
    let (packet, _) = super::super::read(V5, r#"2["a","b",2,{"c":[3]},4]"#, 0).unwrap();
    let PacketBody::Event(SocketEvent { args: Args::Json(args), .. }) = packet.body else {
        panic!("{packet:?}")
    };
    assert_eq!(args.text(), r#""b",2,{"c":[3]},4"#);
    assert_eq!(args.read::<(&str, u8)>().unwrap(), ("b", 2), "what is behind is passed over");
    args.read::<()>().unwrap();
    assert!(args.read::<(u8,)>().is_err() && args.read::<(&str, u8, serde_json::Value, u8, u8)>().is_err());
    assert_eq!((args.sole(), JsonArgs::of_list("[ {} ]").unwrap().sole()), (None, Some("{}")));
}
