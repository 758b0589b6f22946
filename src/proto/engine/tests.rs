//! Packets and bodies as byte literals; the cases of the reference's parser tests; round trips of any packets.

use proptest::prelude::*;

use super::*;

const V3: EngineProtocol = EngineProtocol::V3;
const V4: EngineProtocol = EngineProtocol::V4;

fn text(kind: PacketKind, text: &str) -> EnginePacket<'_> {
    EnginePacket { kind, content: Content::Text(text) }
}

/// A packet whose binary data is as it was meant.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    Text(PacketKind, String),
    Binary(Vec<u8>),
}

fn plain(packet: EnginePacket<'_>) -> Result<Plain, EngineError> {
    Ok(match packet.content {
        Content::Text(text) => Plain::Text(packet.kind, text.to_owned()),
        Content::Bytes(data) => Plain::Binary(data.to_vec()),
        Content::Base64(base64) => {
            let mut data = Vec::new();
            base64.append_to(&mut data)?;
            Plain::Binary(data)
        }
    })
}

fn read_all(protocol: EngineProtocol, is_binary: bool, body: &[u8]) -> Result<Vec<Plain>, EngineError> {
    read_payload(protocol, is_binary, body)?.map(|packet| plain(packet?)).collect()
}

/// The same, with a wait behind each packet.
fn read_in_pieces(protocol: EngineProtocol, is_binary: bool, body: &[u8]) -> Result<Vec<Plain>, EngineError> {
    let mut packets = read_payload(protocol, is_binary, body)?;
    let mut all: Vec<Plain> =
        packets.next().map(|packet| plain(packet?)).into_iter().collect::<Result<_, _>>()?;
    let mut left = packets.left();
    while let Some(body) = left.take() {
        let mut packets = body.read();
        all.extend(packets.next().map(|packet| plain(packet?)).transpose()?);
        left = body.place_of(&packets).map(|at| body.at(at));
    }
    Ok(all)
}

fn message(text: &str) -> Plain {
    Plain::Text(PacketKind::Message, text.to_owned())
}

/// Cases of `packages/engine.io-parser/test`, without those about WebTransport or about types of JavaScript.
#[test]
fn packets_of_the_reference() {
    use PacketKind::{Close, Message, Open, Ping, Pong};
    // A message of text, and packets that are none.
    assert_eq!(read_text(V4, "4test"), Ok(text(Message, "test")));
    assert_eq!(read_text(V4, ""), Err(EngineError::Empty));
    assert_eq!(read_text(V4, "a123"), Err(EngineError::UnknownType(b'a')));
    // All types in one body.
    let all = [(Open, ""), (Close, ""), (Ping, "probe"), (Pong, "probe"), (Message, "test")];
    let mut body = Vec::new();
    let mut writer = PayloadWriter::new(&mut body, PayloadForm::V4, usize::MAX);
    assert!(all.iter().all(|(kind, text)| writer.text(*kind, text)));
    assert_eq!(body, b"0\x1e1\x1e2probe\x1e3probe\x1e4test");
    let read: Vec<_> = read_payload(V4, false, &body).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, all.map(|(kind, content)| text(kind, content)));
    // Bodies that are none: one error, and nothing behind it.
    for body in ["{", "{}", "[\"a123\", \"a456\"]"] {
        let read: Vec<_> = read_payload(V4, false, body.as_bytes()).unwrap().collect();
        assert_eq!(read, [Err(EngineError::UnknownType(body.as_bytes()[0]))], "{body}");
    }
    // Binary data: as it is in a message of its own, base64 among text; of any length, also none.
    let data = [1, 2, 3, 4];
    let packet = EnginePacket { kind: Message, content: Content::Bytes(&data) };
    assert_eq!(read_binary(V4, &data), Ok(packet));
    let mut written = Vec::new();
    put_binary(&mut written, V4, &data);
    assert_eq!(written, data);
    assert_eq!(read_text(V4, "bAQIDBA==").and_then(plain), Ok(Plain::Binary(data.to_vec())));
    assert_eq!(read_text(V4, "bAQIDBA").and_then(plain), Ok(Plain::Binary(data.to_vec())));
    for (data, body) in [(&data[..], "4test\x1ebAQIDBA=="), (&[], "4test\x1eb"), (&[2, 3], "4test\x1ebAgM=")]
    {
        let mut written = Vec::new();
        let mut writer = PayloadWriter::new(&mut written, PayloadForm::V4, usize::MAX);
        assert!(writer.text(Message, "test") && writer.binary(data));
        assert_eq!(written, body.as_bytes());
        let wanted = vec![message("test"), Plain::Binary(data.to_vec())];
        assert_eq!(read_all(V4, false, body.as_bytes()), Ok(wanted));
    }
    // A type without digit among those that there are.
    assert_eq!(read_text(V4, "7"), Err(EngineError::UnknownType(b'7')));
    assert_eq!(read_text(V4, "/"), Err(EngineError::UnknownType(b'/')));
    assert_eq!(read_text(V4, "4€"), Ok(text(Message, "€")));
    assert!(read_text(V4, "2probe").unwrap().is_probe() && !read_text(V4, "3probe").unwrap().is_probe());
}

#[test]
fn bodies_of_protocol_4_that_are_malformed() {
    for (body, why) in [
        (&b""[..], EngineError::Empty),
        (b"4a\x1e", EngineError::Empty),
        (b"\x1e4a", EngineError::Empty),
        (b"4a\x1e\x1e4b", EngineError::Empty),
        (b"4a\x1e9", EngineError::UnknownType(b'9')),
        (b"4a\x1eb!", EngineError::Base64),
        (b"bAQIDB===", EngineError::Base64),
        (b"bAQI=BA", EngineError::Base64),
        (b"bA", EngineError::Base64),
        (b"4\xff", EngineError::NotUtf8),
    ] {
        assert_eq!(read_all(V4, false, body), Err(why), "{}", body.escape_ascii());
    }
    assert_eq!(read_all(V4, true, b"4a"), Err(EngineError::BinaryBody));
}

#[test]
fn bodies_of_protocol_3() {
    let both = vec![message("hello"), Plain::Binary(vec![1, 2, 3, 4])];
    let binary = b"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04";
    for (is_binary, form, body) in
        [(false, PayloadForm::V3Text, &b"6:4hello10:b4AQIDBA=="[..]), (true, PayloadForm::V3Binary, binary)]
    {
        assert_eq!(read_all(V3, is_binary, body), Ok(both.clone()));
        let mut out = b"head".to_vec();
        let mut writer = PayloadWriter::new(&mut out, form, usize::MAX);
        assert!(writer.packet("4hello") && writer.binary(&[1, 2, 3, 4]));
        assert_eq!(writer.bytes(), body.len());
        assert_eq!(out, [b"head", body].concat());
    }
    // Lengths of text are UTF-16 units: one for the euro sign, two for what is beyond the first plane.
    let wide = vec![message("€€€€"), message("a😀"), message("")];
    assert_eq!(read_all(V3, false, "5:4€€€€4:4a😀1:4".as_bytes()), Ok(wide.clone()));
    // In a binary body they are bytes, and of two digits or more.
    let bytes =
        [&b"\x00\x01\x03\xff4"[..], "€€€€".as_bytes(), b"\x00\x06\xff4a", "😀".as_bytes(), b"\x00\x01\xff4"];
    assert_eq!(read_all(V3, true, &bytes.concat()), Ok(wide));
    // Binary messages of WebSocket have their type in front.
    assert_eq!(read_binary(V3, &[4, 9]).and_then(plain), Ok(Plain::Binary(vec![9])));
    assert_eq!(read_binary(V3, &[]), Err(EngineError::Empty));
    assert_eq!(read_binary(V3, &[2]), Err(EngineError::NotAMessage));
    assert_eq!(read_binary(V3, &[9]), Err(EngineError::UnknownType(9)));
    let mut out = Vec::new();
    put_binary(&mut out, V3, &[9]);
    assert_eq!(out, [4, 9]);
}

#[test]
fn packets_for_a_poll_of_protocol_3_become_text_unless_one_is_binary() {
    let body = |packets: &[(&[u8], bool)]| {
        let mut body = Vec::new();
        for (packet, is_binary) in packets {
            let start = body.len();
            body.extend_from_slice(packet);
            wrap_v3(&mut body, start, *is_binary);
        }
        assert!(is_binary_v3(&body));
        shortest_v3(body)
    };
    assert_eq!(body(&[(b"4hello", false)]), (b"6:4hello".to_vec(), false));
    let wide = "4a😀€".as_bytes();
    assert_eq!(body(&[(wide, false), (b"6", false)]), ("5:4a😀€1:6".as_bytes().to_vec(), false));
    let both = [(&b"4hello"[..], false), (&[4, 1, 2, 3, 4], true), (b"3", false)];
    assert_eq!(
        body(&both),
        (b"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04\x00\x01\xff3".to_vec(), true)
    );
    for other in [&b""[..], b"4a\x1eb", b"bAQ==", b"1:6"] {
        assert!(!is_binary_v3(other), "{other:?}");
    }
}

#[test]
fn bodies_of_protocol_3_that_are_malformed() {
    use EngineError::{Empty, Length, NotAMessage, UnknownType};
    let text: [(&str, EngineError); 14] = [
        ("", Length),
        ("abc", Length),
        (":4a", Length),
        ("a:4a", Length),
        ("+2:4a", Length),
        (" 2:4a", Length),
        ("3:4a", Length),
        ("2:4a7", Length),
        ("99999999999999999999:4", Length),
        ("2:4😀", Length),
        ("0:", Empty),
        ("1:b", Empty),
        ("2:b2", NotAMessage),
        ("1:x", UnknownType(b'x')),
    ];
    for (body, why) in text {
        assert_eq!(read_all(V3, false, body.as_bytes()), Err(why), "{body}");
    }
    let binary: [(&[u8], EngineError); 10] = [
        (b"", Length),
        (b"\x00", Length),
        (b"\x00\xff", Length),
        (b"\x00\x02\xff4", Length),
        (b"\x00\x0a\xff4", Length),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x09\x09\xff4", Length),
        (b"\x00\x02\xff4\xff", EngineError::NotUtf8),
        (b"\x02\x01\xff4", UnknownType(2)),
        (b"\x01\x00\xff", Empty),
        (b"\x01\x01\xff\x03", NotAMessage),
    ];
    for (body, why) in binary {
        assert_eq!(read_all(V3, true, body), Err(why), "{}", body.escape_ascii());
    }
}

#[test]
fn the_limit_of_an_answer_holds_but_for_its_first_packet() {
    for form in [PayloadForm::V4, PayloadForm::V3Text, PayloadForm::V3Binary] {
        let mut out = Vec::new();
        let mut writer = PayloadWriter::new(&mut out, form, 20);
        assert!(writer.packet("4 the first is longer than that"));
        let bytes = writer.bytes();
        assert!(!writer.packet("4a") && !writer.text(PacketKind::Message, "a") && !writer.binary(b"a"));
        assert_eq!(writer.bytes(), bytes);
        let mut out = Vec::new();
        let mut writer = PayloadWriter::new(&mut out, form, 19);
        assert!(writer.packet("4aaaaa") && writer.packet("4bbbbb") && !writer.packet("4ccccc"));
        assert!(writer.bytes() <= 19);
    }
}

#[test]
fn queries_are_read_as_clients_write_them() {
    let read = EngineQuery::read;
    let query = read("EIO=4&transport=polling&t=Pq1x&b64=1&token=a%20b");
    assert_eq!((query.protocol, query.transport), (V4, TransportAsked::Polling));
    assert_eq!((query.sid, query.base64, query.jsonp), (None, true, false));
    let query = read("transport=websocket&sid=a%2Bb&EIO=4&sid=other");
    assert_eq!((query.protocol, query.transport), (V4, TransportAsked::WebSocket));
    assert_eq!((query.sid.as_deref(), query.base64), (Some("a+b"), false));
    for (query, protocol) in [("", V3), ("EIO=3", V3), ("EIO=abc", V3), ("EIO=5", V3), ("EIO=4", V4)] {
        assert_eq!(read(query).protocol, protocol, "{query}");
    }
    for query in ["", "transport=", "transport=abc", "transport=WebSocket", "transport=webtransport"] {
        assert_eq!(read(query).transport, TransportAsked::Unknown, "{query}");
    }
    assert!(read("j=0").jsonp && read("sid=&b64=").sid.is_none() && !read("sid=&b64=").base64);
}

#[test]
fn refusals_have_the_words_that_clients_know() {
    use EngineRefusal::{
        BadMethod, BadRequest, Forbidden, UnknownSession, UnknownTransport, UnsupportedProtocol,
    };
    let table = [
        (UnknownTransport, 400, r#"{"code":0,"message":"Transport unknown"}"#),
        (UnknownSession, 400, r#"{"code":1,"message":"Session ID unknown"}"#),
        (BadMethod, 400, r#"{"code":2,"message":"Bad handshake method"}"#),
        (BadRequest, 400, r#"{"code":3,"message":"Bad request"}"#),
        (Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#),
        (UnsupportedProtocol, 400, r#"{"code":5,"message":"Unsupported protocol version"}"#),
    ];
    for (refusal, status, body) in table {
        let mut out = Vec::new();
        refusal.put_body(&mut out, None);
        assert_eq!((refusal.status(), out.as_slice()), (status, body.as_bytes()));
    }
    let mut out = Vec::new();
    Forbidden.put_body(&mut out, Some("not \"here\""));
    assert_eq!(out, br#"{"code":4,"message":"not \"here\""}"#);
}

#[test]
fn the_open_packet_has_its_five_keys() {
    let mut open = Open {
        sid: "lv_VI97HAXpY6yYWAAAC",
        may_upgrade: true,
        ping_interval_ms: 25_000,
        ping_timeout_ms: 20_000,
        payload_bytes_max: 1_000_000,
    };
    let mut out = Vec::new();
    open.put(&mut out);
    let wanted = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    assert_eq!(std::str::from_utf8(&out), Ok(wanted));
    open.may_upgrade = false;
    out.clear();
    open.put(&mut out);
    assert!(out.windows(14).any(|window| window == b"\"upgrades\":[],"));
}

/// Text without the byte that stands between packets.
fn any_plain() -> impl Strategy<Value = Plain> {
    let kinds = prop::sample::select(PacketKind::ALL.to_vec());
    let chars = prop::sample::select(vec!["a", ":", "4", "€", "😀", "\"", "\n", "é"]);
    prop_oneof![
        (kinds, prop::collection::vec(chars, 0..8)).prop_map(|(kind, text)| Plain::Text(kind, text.concat())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Plain::Binary),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(packets in prop::collection::vec(any_plain(), 1..8)) {
        for (form, protocol, is_binary) in [
            (PayloadForm::V4, V4, false),
            (PayloadForm::V3Text, V3, false),
            (PayloadForm::V3Binary, V3, true),
        ] {
            let mut body = Vec::new();
            let mut writer = PayloadWriter::new(&mut body, form, usize::MAX);
            for packet in &packets {
                let fits = match packet {
                    Plain::Text(kind, text) => writer.text(*kind, text),
                    Plain::Binary(data) => writer.binary(data),
                };
                prop_assert!(fits);
            }
            prop_assert_eq!(read_all(protocol, is_binary, &body), Ok(packets.clone()));
            prop_assert_eq!(read_in_pieces(protocol, is_binary, &body), Ok(packets.clone()));
            // Any cut of it is read or refused, and what is read of it is of the front.
            for end in 0..body.len() {
                let Ok(read) = read_payload(protocol, is_binary, &body[..end]) else { continue };
                let good = read.map_while(|packet| packet.ok().and_then(|packet| plain(packet).ok())).count();
                prop_assert!(good <= packets.len());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..40), protocol in 0..4_u8) {
        let protocol = if protocol & 1 == 0 { V3 } else { V4 };
        for is_binary in [false, true] {
            if let Ok(packets) = read_payload(protocol, is_binary, &body) {
                prop_assert!(packets.count() <= body.len() + 1);
            }
        }
        let _binary = read_binary(protocol, &body).map(plain);
        if let Ok(text) = std::str::from_utf8(&body) {
            let _text = read_text(protocol, text).map(plain);
        }
    }
}
