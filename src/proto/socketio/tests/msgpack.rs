//! msgpack: bytes written by the JavaScript parser, malformed packets, and conversions to JSON and back.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde_json::json;

use super::super::msgpack::{
    DEPTH_MAX, Unwritable, args_of_json, put_ack, put_connect_error, put_connected, put_disconnect,
    put_event, read,
};
use super::super::write::Unsendable;
use super::any::{any_args, any_name, list};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.replace(' ', "").as_bytes()).unwrap()
}

/// One value of msgpack, of JSON.
fn packed(value: &serde_json::Value) -> Vec<u8> {
    let (list, mut out) = (format!("[{value}]"), Vec::new());
    args_of_json(&mut out, JsonArgs::of_list(&list).unwrap(), Attachments::NONE).unwrap();
    out
}

fn json_of(value: &[u8]) -> Result<String, SocketError> {
    let (mut out, mut store) = (Vec::new(), AttachmentStore::default());
    super::super::msgpack::value_to_json(value, &mut out, &mut store)?;
    Ok(String::from_utf8(out).unwrap())
}

/// Written by `socket.io-msgpack-parser` 3.0.2.
#[test]
fn packets_of_the_parser_for_javascript() {
    let said_of = |kind, id, name: &str, json: serde_json::Value| Said {
        kind,
        namespace: "/".to_owned(),
        id,
        name: name.to_owned(),
        json: json.as_array().unwrap().clone(),
        attachments: Vec::new(),
    };
    let hold = json!({"_placeholder": true, "num": 0});
    for (bytes, wanted) in PACKETS.iter().zip([
        said_of("connect", None, "", json!([{"token": "abc"}])),
        said_of("connect", None, "", json!([])),
        said_of("event", Some(7), "hello", json!([1, -5, 1.5, null, {"a": [true]}])),
        Said {
            attachments: vec![vec![1, 2, 3]],
            ..said_of("event", None, "bin", json!([[], {"a": "b"}, hold]))
        },
        said_of("ack", Some(300), "", json!([42])),
        said_of("disconnect", None, "", json!([])),
        said_of("event", None, "when", json!(["2020-02-29T12:34:56.789Z", null])),
    ]) {
        let packet = hex(bytes);
        assert_eq!(read(&packet).map(|packet| said(&packet)), Ok(wanted), "{bytes}");
        for end in 0..packet.len() {
            assert!(read(&packet[..end]).is_err(), "{end} bytes of {bytes}");
        }
    }
}

const PACKETS: [&str; 7] = [
    "83a47479706500a46461746181a5746f6b656ea3616263a36e7370a12f",
    "83a47479706500a464617461d40000a36e7370a12f",
    "85a47479706502a46461746196a568656c6c6f01fbcb3ff8000000000000c081a16191c3a76f7074696f6e7381a8636f6d7072657373c3a2696407a36e7370a12f",
    "84a47479706502a46461746194a362696e9081a161a162c403010203a76f7074696f6e7381a8636f6d7072657373c3a36e7370a12f",
    "84a47479706503a26964cd012ca464617461912aa36e7370a12f",
    "82a47479706501a36e7370a12f",
    "84a47479706502a46461746193a47768656ed7000000017090f14895d40000a36e7370a12fa26964d40000",
];

#[test]
fn each_rule_has_its_error() {
    use SocketError as E;
    let packet = |value: serde_json::Value| packed(&value);
    for (value, error) in [
        (json!({"nsp": "/"}), E::UnknownType),
        (json!({"type": 5, "nsp": "/"}), E::UnknownType),
        (json!({"type": -1, "nsp": "/"}), E::UnknownType),
        (json!({"type": "2", "nsp": "/"}), E::UnknownType),
        (json!({"type": 1}), E::Namespace),
        (json!({"type": 1, "nsp": 1}), E::Namespace),
        (json!({"type": 1, "nsp": ""}), E::Namespace),
        (json!({"type": 1, "nsp": "/a,b"}), E::Namespace),
        (json!({"type": 0, "nsp": "/", "data": []}), E::ConnectPayload),
        (json!({"type": 0, "nsp": "/", "data": null}), E::ConnectPayload),
        (json!({"type": 1, "nsp": "/", "data": {}}), E::DisconnectPayload),
        (json!({"type": 2, "nsp": "/"}), E::NoList),
        (json!({"type": 2, "nsp": "/", "data": {}}), E::NoList),
        (json!({"type": 2, "nsp": "/", "data": []}), E::EventName),
        (json!({"type": 2, "nsp": "/", "data": [[]]}), E::EventName),
        (json!({"type": 2, "nsp": "/", "data": ["connect"]}), E::ReservedName),
        (json!({"type": 2, "nsp": "/", "data": ["a"], "id": "1"}), E::AckId),
        (json!({"type": 2, "nsp": "/", "data": ["a"], "id": -1}), E::AckId),
        (json!({"type": 2, "nsp": "/", "data": ["a"], "id": ACK_ID_MAX}), E::AckId),
        (json!({"type": 4, "nsp": "/", "data": []}), E::ErrorPayload),
        (json!([1]), E::MsgPack),
        (json!("a"), E::MsgPack),
    ] {
        assert_eq!(read(&packet(value.clone())), Err(error), "{value}");
    }
    let good = packet(json!({"type": 2, "nsp": "/", "data": ["a"]}));
    assert!(read(&good).is_ok());
    assert_eq!(read(&[&good[..], &[0]].concat()), Err(E::MsgPack), "one packet per message");
    for (bytes, error) in [
        ("", E::MsgPack),
        ("c1", E::MsgPack),
        // Lengths larger than the input: of a map, of text, of a list within.
        ("dfffffffff", E::MsgPack),
        ("81a474797065dbffffffff", E::MsgPack),
        ("81a464617461ddffffffff", E::MsgPack),
        // Text that is not UTF-8, a key that is a list, extensions of others.
        ("81a474797065a1ff", E::MsgPack),
        ("8190c0", E::MsgPack),
        ("81a46461746181c2c0", E::MsgPack),
        ("81a464617461d40500", E::MsgPack),
        ("81a464617461c70105aa", E::MsgPack),
        ("81a464617461d5ff0000", E::MsgPack),
    ] {
        assert_eq!(read(&hex(bytes)), Err(error), "{bytes}");
    }
}

#[test]
fn depth_is_bounded_and_everything_within_it_becomes_json() {
    let nested = |depth: usize| {
        let mut packet = hex("83 a474797065 02 a36e7370 a12f a464617461 92 a161");
        packet.extend(vec![0x91; depth]);
        packet.push(0xc0);
        packet
    };
    // The packet and its list are two of them.
    let deepest = nested(DEPTH_MAX - 2);
    let packet = read(&deepest).unwrap();
    assert_eq!(said(&packet).json.len(), 1);
    assert_eq!(read(&nested(DEPTH_MAX - 1)), Err(SocketError::TooDeep));
    assert_eq!(read(&nested(100_000)), Err(SocketError::TooDeep));
    let json = format!("[{}{}]", "[".repeat(DEPTH_MAX + 2), "]".repeat(DEPTH_MAX + 2));
    let args = JsonArgs::of_list(&json).unwrap();
    let mut out = b"before".to_vec();
    let refused = put_event(&mut out, "/", None, "a", (Args::Json(args), Attachments::NONE), None);
    assert_eq!(refused, Err(Unwritable::Args(SocketError::TooDeep)));
    assert_eq!(out, b"before");
}

#[test]
fn what_a_server_sends_is_read_again() {
    let said = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        super::said(&read(&out).unwrap())
    };
    let connected = said(&|out| put_connected(out, "/a", "x", Some("p")));
    assert_eq!((connected.kind, &connected.json[0]), ("connect", &json!({"sid": "x", "pid": "p"})));
    assert_eq!(said(&|out| put_connected(out, "/", "x", None)).json, [json!({"sid": "x"})]);
    let error = said(&|out| put_connect_error(out, "/", "no", Some(r#"{"code":1}"#)).unwrap());
    assert_eq!((error.kind, &error.json[0]), ("error", &json!({"message": "no", "data": {"code": 1}})));
    let left = said(&|out| put_disconnect(out, "/a"));
    assert_eq!((left.kind, left.namespace.as_str()), ("disconnect", "/a"));
    let mut out = Vec::new();
    let none = (Args::Json(JsonArgs::NONE), Attachments::NONE);
    let refused = put_event(&mut out, "/", None, "disconnect", none, None);
    assert_eq!(refused, Err(Unwritable::Unsendable(Unsendable::ReservedName)));
    assert!(put_connect_error(&mut out, "/", "no", Some("{")).is_err() && out.is_empty());
    let hold = JsonArgs::of_list(r#"[{"_placeholder":true,"num":1}]"#).unwrap();
    let refused = put_ack(&mut out, "/", 1, (Args::Json(hold), Attachments::one(b"a")));
    assert_eq!((refused, out.len()), (Err(Unwritable::Args(SocketError::Placeholders)), 0));
    // Without attachments it is plain data.
    assert!(put_ack(&mut out, "/", 1, (Args::Json(hold), Attachments::NONE)).is_ok());
}

#[test]
fn arguments_are_deserialized_by_way_of_json() {
    let packet = hex(PACKETS[2]);
    let PacketBody::Event(event) = read(&packet).unwrap().body else { panic!("an event") };
    let Args::MsgPack(args) = event.args else { panic!("msgpack") };
    assert_eq!(args.read::<(u8, i8, f64)>().unwrap(), (1, -5, 1.5));
    assert!(args.read::<(String,)>().is_err());
}

#[test]
fn values_that_json_has_not_become_what_javascript_makes_of_them() {
    for (bytes, json) in [
        ("cb7ff8000000000000", "null"),
        ("cb7ff0000000000000", "null"),
        ("ca3fc00000", "1.5"),
        ("d40000", "null"),
        ("d7000000000000000000", "\"1970-01-01T00:00:00.000Z\""),
        ("d700ffffffffffffffff", "\"1969-12-31T23:59:59.999Z\""),
        ("d7007fffffffffffffff", "null"),
        ("d6ff5e5a5bb0", "\"2020-02-29T12:40:16.000Z\""),
        ("d7ffbc1cbd005e5a5bb0", "\"2020-02-29T12:40:16.789Z\""),
        ("c70cff00000000fffffff138702dc0", "\"-000042-06-23T04:00:00.000Z\""),
        ("c70cff000000000000003afff44180", "\"+010000-01-01T00:00:00.000Z\""),
        ("c70cff00000000fffffff186da9dff", "\"0000-02-29T23:59:59.000Z\""),
        ("c70cff00000000ffffffff7ca34a00", "\"1900-03-01T00:00:00.000Z\""),
        ("c70cff00000000ffffffffffffffff", "\"1969-12-31T23:59:59.000Z\""),
        ("8101a161", "{\"1\":\"a\"}"),
        ("81ffa161", "{\"-1\":\"a\"}"),
        ("c4020102", "{\"_placeholder\":true,\"num\":0}"),
        ("c702000102", "{\"_placeholder\":true,\"num\":0}"),
    ] {
        assert_eq!(json_of(&hex(bytes)).as_deref(), Ok(json), "{bytes}");
    }
    // Half of a character is text in JSON, and none in msgpack.
    let mut out = Vec::new();
    args_of_json(&mut out, JsonArgs::of_list(r#"["\ud83d",1e400]"#).unwrap(), Attachments::NONE).unwrap();
    assert!(out.starts_with(&hex("a9efbfbdefbfbdefbfbd")) || out.starts_with(&hex("a3efbfbd")), "{out:?}");
}

#[test]
fn no_client_can_make_up_a_placeholder_for_those_who_read_json() {
    let fake = packed(&json!([{"_placeholder": true, "num": 0}]));
    // Alone it is plain data, beside binary data it would stand for that.
    assert_eq!(json_of(&fake).as_deref(), Ok(r#"[{"_placeholder":true,"num":0}]"#));
    for (fake, data) in [(&fake, "c40101"), (&packed(&json!({"_placeholder": true})), "c40101")] {
        let list = [&hex("92")[..], fake, &hex(data)].concat();
        assert_eq!(json_of(&list), Err(SocketError::Placeholders));
    }
    let many = [&hex("dc0041")[..], &hex("c400").repeat(65)].concat();
    assert_eq!(json_of(&many), Err(SocketError::Placeholders));
}

proptest! {
    // Each case tries every cut of a packet.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_json_stays_the_same_by_way_of_msgpack(
        id in prop::option::of(0..ACK_ID_MAX),
        name in any_name(),
        (values, attachments) in any_args(),
        offset in prop::option::of("[a-z]{0,3}"),
    ) {
        let text = format!("[{}]", list(&values));
        let args = JsonArgs::of_list(&text).unwrap();
        let mut store = AttachmentStore::default();
        attachments.iter().for_each(|data| store.push(data));
        let mut out = Vec::new();
        put_event(&mut out, "/a", id, &name, (Args::Json(args), store.get()), offset.as_deref()).unwrap();
        let mut wanted = Said {
            kind: "event", namespace: "/a".to_owned(), id, name, json: values.clone(), attachments: attachments.clone(),
        };
        wanted.json.extend(offset.map(serde_json::Value::from));
        // In msgpack the order of the text is that of the attachments.
        let packet = read(&out).unwrap();
        let got = said(&packet);
        prop_assert_eq!(got.attachments.len(), wanted.attachments.len());
        if attachments.len() < 2 {
            prop_assert_eq!(&got, &wanted);
        }
        // And from msgpack to msgpack it is copied.
        let PacketBody::Event(event) = &packet.body else { panic!("{packet:?}") };
        let mut again = Vec::new();
        put_event(&mut again, packet.namespace, event.id, &event.name, (event.args, Attachments::NONE), None).unwrap();
        prop_assert_eq!(said(&read(&again).unwrap()), got);
        for end in 0..out.len() {
            prop_assert!(read(&out[..end]).is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        head in prop::sample::select(vec!["", "83a47479706502a36e7370a12fa46461746192a161"]),
        tail in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xa4_u8, 0xc0..=0xdf_u8], 0..24),
    ) {
        let bytes = [hex(head), tail].concat();
        if let Ok(packet) = read(&bytes) {
            let _said = said(&packet);
        }
    }
}
