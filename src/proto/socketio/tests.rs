//! Packets as literals: the cases of the reference's parser tests, malformed packets, and round trips of any packets.

pub(super) mod any;
mod cases;
mod msgpack;
mod publication;

use super::write::PacketWriter;
use super::*;

/// A packet in a form that can be compared: arguments are JSON, also those of msgpack.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    kind: &'static str,
    namespace: String,
    id: Option<u64>,
    name: String,
    json: Vec<serde_json::Value>,
    attachments: Vec<Vec<u8>>,
}

fn said(packet: &Packet<'_>) -> Said {
    let mut store = AttachmentStore::default();
    packet.attachments.iter().for_each(|data| store.push(data));
    let mut json = |raw: Raw<'_>| match raw {
        Raw::Json(text) => serde_json::from_str(text).unwrap(),
        Raw::MsgPack(bytes) => {
            let mut out = Vec::new();
            super::msgpack::value_to_json(bytes, &mut out, &mut store).unwrap();
            serde_json::from_slice(&out).unwrap()
        }
    };
    let (kind, id, name, json) = match &packet.body {
        PacketBody::Connect { auth, .. } => ("connect", None, "", auth.map(&mut json).into_iter().collect()),
        PacketBody::Disconnect => ("disconnect", None, "", Vec::new()),
        PacketBody::ConnectError(raw) => ("error", None, "", vec![json(*raw)]),
        PacketBody::Event(event) => ("event", event.id, &*event.name, args(event.args, &mut store)),
        PacketBody::Ack { id, args: values } => ("ack", *id, "", args(*values, &mut store)),
    };
    let attachments = store.get().iter().map(<[u8]>::to_vec).collect();
    Said { kind, namespace: packet.namespace.to_owned(), id, name: name.to_owned(), json, attachments }
}

fn args(args: Args<'_>, store: &mut AttachmentStore) -> Vec<serde_json::Value> {
    let values: Vec<_> = match args {
        Args::Json(args) => args.items().map(|raw| serde_json::from_str(raw.get()).unwrap()).collect(),
        Args::MsgPack(args) => {
            let mut out = b"[".to_vec();
            super::msgpack::args_to_json(args, &mut out, store).unwrap();
            out.push(b']');
            serde_json::from_slice(&out).unwrap()
        }
    };
    assert_eq!(values.len(), args.count());
    values
}

/// A message of a client.
enum Sent<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// The packets of these messages, one after the other.
fn assemble(protocol: SocketProtocol, messages: &[Sent<'_>]) -> Result<Vec<Said>, SocketError> {
    let (mut assembler, limits) = (Assembler::default(), AttachmentLimits::default());
    let mut packets = Vec::new();
    for message in messages {
        match message {
            Sent::Text(text) => {
                packets.extend(assembler.text(protocol, limits, text)?.map(|packet| said(&packet)))
            }
            Sent::Binary(data) => {
                if let Some(whole) = assembler.binary(limits, data)? {
                    packets.push(said(&whole.packet()?));
                }
            }
        }
        assert_eq!(assembler.is_collecting(), assembler.held_bytes() > 0);
    }
    Ok(packets)
}

fn one(text: &str) -> Result<Said, SocketError> {
    assemble(SocketProtocol::V5, &[Sent::Text(text)]).map(|mut packets| packets.remove(0))
}

/// The bytes that `write` appends behind those that are there.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out.split_off(6)).unwrap()
}

fn event(namespace: &str, id: Option<u64>, name: &str, args: &str, attachments: usize) -> String {
    written(|out| {
        let mut writer = PacketWriter::event(out, namespace, id, name, attachments).unwrap();
        writer.raw(args);
        writer.end();
    })
}

fn ack(namespace: &str, id: u64, args: &str, attachments: usize) -> String {
    written(|out| {
        let mut writer = PacketWriter::ack(out, namespace, id, attachments).unwrap();
        writer.raw(args);
        writer.end();
    })
}
