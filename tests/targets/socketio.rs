//! Packets of Engine.IO and Socket.IO, without a session.

use throng::parts::proto::engine::{
    Content, EnginePacket, EngineProtocol, PacketKind, PayloadForm, PayloadWriter, read_binary, read_payload,
    read_text,
};
use throng::parts::proto::socketio::publication::{DataOf, PublishedAs, event_of, put_publication};
use throng::parts::proto::socketio::write::PacketWriter;
use throng::parts::proto::socketio::{
    ATTACHMENTS_SENT_MAX, Args, Assembler, AttachmentLimits, AttachmentStore, Attachments, JsonArgs,
    MsgPackArgs, Packet, PacketBody, SocketError, SocketProtocol, is_reserved, msgpack,
};

/// The name of events that are published without an envelope.
const USUAL_NAME: &str = "message";

/// A body of polling. The first byte says in which protocol, and whether it is binary.
///
/// # Panics
/// When something does not hold that must.
pub fn engine_packets(data: &[u8]) {
    let Some((&flags, body)) = data.split_first() else { return };
    let protocol = if flags & 1 == 0 { EngineProtocol::V4 } else { EngineProtocol::V3 };
    let is_binary = flags & 2 != 0;
    let _message = read_binary(protocol, body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _message = read_text(protocol, text);
    }
    let Ok(packets) = read_payload(protocol, is_binary, body) else { return };
    let mut good = Vec::new();
    for packet in packets {
        let Ok(packet) = packet.and_then(owned) else { return };
        good.push(packet);
        assert!(good.len() <= body.len(), "a packet takes at least one byte");
    }
    let form = match (protocol, is_binary) {
        (EngineProtocol::V4, _) => PayloadForm::V4,
        (EngineProtocol::V3, false) => PayloadForm::V3Text,
        (EngineProtocol::V3, true) => PayloadForm::V3Binary,
    };
    let mut out = Vec::new();
    let mut writer = PayloadWriter::new(&mut out, form, usize::MAX);
    for (kind, text, data) in &good {
        assert!(match data {
            Some(data) => writer.binary(data),
            None => writer.text(*kind, text),
        });
    }
    let again = read_payload(protocol, is_binary, &out).expect("a written body can be read");
    let again: Result<Vec<_>, _> = again.map(|packet| packet.and_then(owned)).collect();
    assert_eq!(again, Ok(good), "written packets are read back");
}

/// Type, text and binary data of a packet.
type Owned = (PacketKind, String, Option<Vec<u8>>);

fn owned(packet: EnginePacket<'_>) -> Result<Owned, throng::parts::proto::engine::EngineError> {
    let mut data = Vec::new();
    Ok(match packet.content {
        Content::Text(text) => (packet.kind, text.to_owned(), None),
        Content::Bytes(bytes) => (packet.kind, String::new(), Some(bytes.to_vec())),
        Content::Base64(base64) => {
            base64.append_to(&mut data)?;
            assert!(data.len() <= base64.decoded_bytes_max());
            (packet.kind, String::new(), Some(data))
        }
    })
}

/// Messages of a client, each ended by a zero byte; a message that begins with the byte 1 is binary.
///
/// # Panics
/// When something does not hold that must.
pub fn socketio_packets(data: &[u8]) {
    let limits = AttachmentLimits { count_max: ATTACHMENTS_SENT_MAX, bytes_max: 1 << 11 };
    for protocol in [SocketProtocol::V4, SocketProtocol::V5] {
        let mut assembler = Assembler::default();
        for message in data.split(|&byte| byte == 0) {
            let outcome = match (message.split_first(), std::str::from_utf8(message)) {
                (Some((1, binary)), _) => assembler.binary(limits, binary).map(|whole| {
                    if let Some(whole) = whole {
                        a_packet(&whole.packet().expect("its text was read before"));
                    }
                }),
                (_, Ok(text)) => {
                    assembler.text(protocol, limits, text).map(|packet| packet.iter().for_each(a_packet))
                }
                (_, Err(_)) => continue,
            };
            assert!(assembler.held_bytes() < 1 << 13, "{} bytes", assembler.held_bytes());
            assert_eq!(assembler.is_collecting(), assembler.held_bytes() > 0);
            if let Err(error) = outcome {
                assert!(!error.reason().is_empty());
                break;
            }
        }
    }
}

fn a_packet(packet: &Packet<'_>) {
    assert!(packet.namespace.starts_with('/') && !packet.namespace.contains(','));
    let (name, id, args) = match &packet.body {
        PacketBody::Event(event) => (Some(&*event.name), event.id, event.args),
        PacketBody::Ack { id, args } => (None, *id, *args),
        PacketBody::Connect { .. } | PacketBody::Disconnect | PacketBody::ConnectError(_) => return,
    };
    let Args::Json(args) = args else { panic!("text has its arguments in JSON") };
    assert_eq!(args.items().count(), args.count());
    let count = packet.attachments.count();
    assert_eq!(packet.attachments.iter().count(), count);
    // Written again, it is the same packet.
    let mut out = Vec::new();
    let mut writer = match name {
        Some(name) => {
            assert!(!is_reserved(name));
            PacketWriter::event(&mut out, packet.namespace, id, name, count)
        }
        None => PacketWriter::ack(&mut out, packet.namespace, id.unwrap_or_default(), count),
    }
    .expect("clients send nothing that they would refuse");
    writer.raw(args.text());
    writer.end();
    let text = String::from_utf8(out).expect("packets in text are UTF-8");
    let limits = AttachmentLimits::default();
    let mut assembler = Assembler::default();
    let same = |again: &Packet<'_>| {
        let (again_name, again_args) = match &again.body {
            PacketBody::Event(event) => (Some(&*event.name), event.args),
            PacketBody::Ack { args, .. } => (None, *args),
            PacketBody::Connect { .. } | PacketBody::Disconnect | PacketBody::ConnectError(_) => {
                panic!("{again:?} in place of an event or an answer")
            }
        };
        assert_eq!((again_name, again_args), (name, Args::Json(args)));
        assert_eq!((again.namespace, again.attachments), (packet.namespace, packet.attachments));
    };
    if let Some(again) =
        assembler.text(SocketProtocol::V5, limits, &text).expect("a written packet can be read")
    {
        same(&again);
    }
    for data in packet.attachments.iter() {
        if let Some(whole) = assembler.binary(limits, data).expect("as many attachments as before") {
            same(&whole.packet().expect("its text was read before"));
        }
    }
    assert!(!assembler.is_collecting());
    if let Some(name) = name {
        a_publication(name, args, packet.attachments);
        by_msgpack(name, args, packet.attachments);
    }
}

/// The event becomes a publication, and that the same event.
fn a_publication(name: &str, args: JsonArgs<'_>, attachments: Attachments<'_>) {
    let mut out = Vec::new();
    let kind = put_publication(&mut out, name, args, attachments, USUAL_NAME);
    let event = match kind {
        PublishedAs::Binary => event_of(DataOf::Binary(&out), USUAL_NAME),
        PublishedAs::Json => {
            assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "a publication is one line");
            event_of(DataOf::Json(std::str::from_utf8(&out).expect("JSON is UTF-8")), USUAL_NAME)
        }
    };
    assert_eq!((&*event.name, event.args.count()), (name, args.count()));
    if kind == PublishedAs::Json {
        assert_eq!(event.args.text(), args.text().replace(['\n', '\r'], " "));
    }
    assert!(event.attachments().iter().eq(attachments.iter()));
}

/// The event becomes msgpack, with as many arguments and attachments.
fn by_msgpack(name: &str, args: JsonArgs<'_>, attachments: Attachments<'_>) {
    let mut out = Vec::new();
    match msgpack::put_event(&mut out, "/", None, name, (Args::Json(args), attachments), None) {
        Ok(()) => {}
        Err(msgpack::Unwritable::Args(SocketError::TooDeep)) => return assert!(out.is_empty()),
        Err(other) => panic!("{other:?}"),
    }
    let again = msgpack::read(&out);
    // The packet and the list of the event are two levels more.
    if again == Err(SocketError::TooDeep) {
        return;
    }
    let PacketBody::Event(event) = again.expect("a written packet can be read").body else {
        panic!("an event")
    };
    let Args::MsgPack(converted) = event.args else { panic!("msgpack") };
    assert_eq!((&*event.name, converted.count()), (name, args.count()));
    let (_, stored) = json_of(converted).expect("as many placeholders as attachments");
    assert_eq!(stored.get().count(), attachments.count());
}

fn json_of(args: MsgPackArgs<'_>) -> Result<(Vec<u8>, AttachmentStore), SocketError> {
    let (mut json, mut stored) = (b"[".to_vec(), AttachmentStore::default());
    msgpack::args_to_json(args, &mut json, &mut stored)?;
    json.push(b']');
    Ok((json, stored))
}

/// A message of a client that speaks msgpack.
///
/// # Panics
/// When something does not hold that must.
pub fn socketio_msgpack(data: &[u8]) {
    let Ok(packet) = msgpack::read(data) else { return };
    let (name, args) = match &packet.body {
        PacketBody::Event(event) => (&*event.name, event.args),
        PacketBody::Ack { args, .. } => ("ack", *args),
        PacketBody::Connect { .. } | PacketBody::Disconnect | PacketBody::ConnectError(_) => return,
    };
    let Args::MsgPack(values) = args else { panic!("msgpack has its arguments in msgpack") };
    // Written again, it has the same arguments.
    let mut out = Vec::new();
    msgpack::put_event(&mut out, packet.namespace, None, name, (args, Attachments::NONE), None)
        .expect("arguments in msgpack are copied");
    let again = msgpack::read(&out).expect("a written packet can be read");
    let PacketBody::Event(event) = &again.body else { panic!("an event") };
    assert_eq!((&*event.name, event.args), (name, args));
    // As JSON it has as many arguments, and they are JSON.
    let Ok((json, stored)) = json_of(values) else { return };
    let json = std::str::from_utf8(&json).expect("JSON is UTF-8");
    let converted = JsonArgs::of_list(json).expect("arguments become JSON");
    assert_eq!(converted.count(), values.count());
    if stored.get().count() <= ATTACHMENTS_SENT_MAX {
        by_msgpack(name, converted, stored.get());
    }
}
