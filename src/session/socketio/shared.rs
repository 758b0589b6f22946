//! Rooms that are channels: an event for one is a publication, and a publication is an event for its sockets.
//!
//! Invariant: the two directions are inverse (`proto::socketio::publication`), so sockets get the same event whichever way
//! it came. Left out: the delivery of both (the shard's).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::EmitError;
use super::form::data_of;
use crate::hub::options::ChannelOptions;
use crate::hub::rooms::RoomMap;
use crate::hub::words::Copied;
use crate::hub::{DataKind, Publication};
use crate::proto::socketio::publication::{
    DataOf, EventOf, Published, PublishedAs, event_of as read_event, publication_of,
};
use crate::proto::socketio::unbundle;
use crate::proto::socketio::write::{PacketWriter, Unsendable};

/// An event, in the form of an event for several, as publications of those of the channels that are shared.
///
/// # Errors
/// When the arguments are nested too deeply to be read.
pub(super) fn copies_of(
    rooms: &RoomMap,
    to: &[Arc<str>],
    kind: DataKind,
    data: &[u8],
) -> Result<Vec<Copied>, EmitError> {
    rooms.copies(to, |usual_name| {
        let (packet, attachments) = unbundle(data, kind == DataKind::Binary);
        let Published { kind, data, event } = publication_of(packet, attachments.get(), usual_name)
            .map_err(|_| EmitError::Args("they are nested too deeply".to_owned()))?;
        Ok((kind_of(kind), data, event))
    })
}

fn kind_of(kind: PublishedAs) -> DataKind {
    match kind {
        PublishedAs::Json => DataKind::Json,
        PublishedAs::Binary => DataKind::Binary,
    }
}

/// A publication of a channel with these options as an event for its sockets, in the form of an event for several.
pub(crate) fn event_of(publication: &Publication, options: &ChannelOptions) -> (DataKind, Vec<u8>) {
    let (namespace, usual_name) = (options.socketio.as_str(), options.socketio_event.0.as_str());
    let bytes = &publication.data[..];
    let text = match publication.kind {
        DataKind::Binary => None,
        DataKind::Json | DataKind::Text => std::str::from_utf8(bytes).ok(),
    };
    let json = text.map(|text| match publication.kind {
        DataKind::Text if !is_json(text) => Cow::Owned(Value::from(text).to_string()),
        // No data.
        DataKind::Json | DataKind::Text | DataKind::Binary if text.is_empty() => Cow::Borrowed("null"),
        DataKind::Json | DataKind::Text | DataKind::Binary => Cow::Borrowed(text),
    });
    let event = read_event(json.as_deref().map_or(DataOf::Binary(bytes), DataOf::Json), usual_name);
    let mut packet = Vec::new();
    if write_event(&mut packet, namespace, &event).is_err() {
        // The usual name is reserved, which the configuration refuses.
        packet.clear();
    }
    let attachments: Vec<_> = event.attachments().iter().collect();
    data_of(packet, &attachments)
}

fn write_event(packet: &mut Vec<u8>, namespace: &str, event: &EventOf<'_>) -> Result<(), Unsendable> {
    let mut writer = PacketWriter::event(packet, namespace, None, &event.name, event.attachments().count())?;
    writer.raw(event.args.text());
    writer.finish()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use crate::hub::options::{EventName, Namespaces};

    fn options(event: &str) -> ChannelOptions {
        let socketio_event = EventName(event.to_owned());
        ChannelOptions { socketio: "/chat".to_owned(), socketio_event, ..ChannelOptions::default() }
    }

    fn rooms() -> RoomMap {
        let named = [("chat", "message"), ("feed", "item")];
        let named = named.map(|(name, event)| (name.to_owned(), Arc::new(options(event))));
        RoomMap::new(&Arc::new(Namespaces { named: named.into(), ..Namespaces::default() }), false, false)
    }

    fn copied(
        rooms: &RoomMap,
        to: &[Arc<str>],
        packet: &[u8],
        attachments: &[&[u8]],
    ) -> Result<Vec<Copied>, EmitError> {
        let (kind, data) = data_of(packet.to_vec(), attachments);
        copies_of(rooms, to, kind, &data)
    }

    fn publication(kind: DataKind, data: &[u8]) -> Publication {
        Publication::new("chat:a".into(), kind, Shared::new(data.to_vec(), &Budget::new(1 << 20)))
    }

    /// The event of a publication: its packet, and its attachments.
    fn event(kind: DataKind, data: &[u8], usual_name: &str) -> (String, Vec<Vec<u8>>) {
        let (kind, data) = event_of(&publication(kind, data), &options(usual_name));
        let as_sent = publication(kind, &data);
        let (text, attachments) = unbundle(&as_sent.data, kind == DataKind::Binary);
        (text.to_owned(), attachments.get().iter().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn a_publication_is_an_event() {
        let hold = r#"{"_placeholder":true,"num":0}"#;
        let many = (0..11).map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#));
        let many = many.collect::<Vec<_>>().join(",");
        let crowded =
            format!(r#"{{"event":"x","args":[{many}],"attachments":[{}]}}"#, [r#""AQI=""#; 11].join(","));
        for (kind, data, text) in [
            (DataKind::Json, r#"{"a":1}"#.to_owned(), r#"2/chat,["message",{"a":1}]"#.to_owned()),
            (DataKind::Text, r#"[1]"#.to_owned(), r#"2/chat,["message",[1]]"#.to_owned()),
            (DataKind::Text, "say \"hi\"".to_owned(), r#"2/chat,["message","say \"hi\""]"#.to_owned()),
            (DataKind::Json, String::new(), r#"2/chat,["message",null]"#.to_owned()),
            (DataKind::Text, String::new(), r#"2/chat,["message",""]"#.to_owned()),
            (DataKind::Json, r#"{"event":"x","args":[1,2]}"#.to_owned(), r#"2/chat,["x",1,2]"#.to_owned()),
            (
                DataKind::Json,
                r#"{"event":"connect","args":[]}"#.to_owned(),
                r#"2/chat,["message",{"event":"connect","args":[]}]"#.to_owned(),
            ),
            (DataKind::Json, hold.to_owned(), format!(r#"2/chat,["message",{hold}]"#)),
            // More attachments than clients take.
            (DataKind::Json, crowded.clone(), format!(r#"2/chat,["message",{crowded}]"#)),
        ] {
            assert_eq!(event(kind, data.as_bytes(), "message"), (text, Vec::new()), "{kind:?} {data}");
        }
        let text = format!(r#"51-/chat,["item",{hold}]"#);
        assert_eq!(event(DataKind::Binary, b"\xff", "item"), (text.clone(), vec![vec![0xff]]));
        // Bytes that only claim to be text.
        assert_eq!(event(DataKind::Text, b"\xff", "item"), (text, vec![vec![0xff]]));
        let enveloped = format!(r#"{{"event":"x","args":["n",{hold}],"attachments":["AQI="]}}"#);
        let text = format!(r#"51-/chat,["x","n",{hold}]"#);
        assert_eq!(event(DataKind::Json, enveloped.as_bytes(), "item"), (text, vec![vec![1, 2]]));
    }

    #[test]
    fn an_event_is_a_publication_of_each_shared_channel_once() {
        let rooms = rooms();
        let to = ["\u{1}/chat,b", "chat:a", "feed:a", "chat:a"].map(Arc::from);
        let copies = copied(&rooms, &to, br#"2/chat,["message",{"a":1}]"#, &[]).unwrap();
        let of = |channel: &str, data: &str| Copied {
            channel: channel.into(),
            kind: DataKind::Json,
            data: data.as_bytes().to_vec(),
            event: "message".into(),
        };
        // Each in the form of its own usual event.
        let enveloped = r#"{"event":"message","args":[{"a":1}]}"#;
        assert_eq!(copies, [of("chat:a", r#"{"a":1}"#), of("feed:a", enveloped)]);
        let packet = br#"51-/chat,["item",{"_placeholder":true,"num":0}]"#;
        let copies = copied(&rooms, &to[2..3], packet, &[b"\x01"]).unwrap();
        assert_eq!(
            (copies[0].kind, &*copies[0].data, &*copies[0].event),
            (DataKind::Binary, &b"\x01"[..], "item")
        );
        assert!(copied(&rooms, &to[..1], packet, &[b"\x01"]).unwrap().is_empty());
        let deep = format!("2[\"a\",{}{}]", "[".repeat(200), "]".repeat(200));
        assert!(matches!(copied(&rooms, &to, deep.as_bytes(), &[]), Err(EmitError::Args(_))));
        assert!(copied(&rooms, &to[..1], deep.as_bytes(), &[]).unwrap().is_empty());
    }

    /// Sockets get the same event from elsewhere: by a history, or another node.
    #[test]
    fn an_event_that_was_a_publication_is_itself() {
        let rooms = rooms();
        for (text, attachments) in [
            (r#"2/chat,["message",{"a":[1,"é"]}]"#, vec![]),
            (r#"2/chat,["message"]"#, vec![]),
            (r#"2/chat,["other",1,null,"x"]"#, vec![]),
            (r#"2/chat,["message",{"event":"x","args":[]}]"#, vec![]),
            (r#"51-/chat,["message",{"_placeholder":true,"num":0}]"#, vec![&b"\x00\xff"[..]]),
            (
                r#"52-/chat,["f",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#,
                vec![&b"a"[..], b""],
            ),
        ] {
            for (channel, usual_name) in [("chat:a", "message"), ("feed:a", "item")] {
                let copies = copied(&rooms, &[channel.into()], text.as_bytes(), &attachments).unwrap();
                let [Copied { kind, data, .. }] = &copies[..] else { panic!("{copies:?}") };
                let owned: Vec<_> = attachments.iter().map(|data| data.to_vec()).collect();
                assert_eq!(event(*kind, data, usual_name), (text.to_owned(), owned));
            }
        }
    }
}
