//! Events for several sockets: how they are published, and how each connection gets them.
//!
//! A publication holds the packet and its attachments ([`bundle`]). No other protocol sees these bytes: the channels are
//! private.

use std::borrow::Cow;

use crate::hub::choice::Choice;
use crate::hub::offset::Offset;
use crate::hub::{DataKind, Item, Publication};
use crate::proto::engine::EngineProtocol;
use crate::proto::socketio::{
    Args, Attachments, Packet, PacketBody, SocketEvent, SocketProtocol, bundle, packed, read, unbundle, write,
};
use crate::proto::ws::Press;
use crate::session::engine::{Outlet, Target};

/// The form in which a connection receives events for several sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form(pub(super) Outlet);

impl Form {
    /// Encodes the events.
    pub(in crate::session) fn encode(&self, items: &[Item], choice: &Choice, press: &mut Press) -> Vec<u8> {
        let Self(outlet) = *self;
        let mut out = Vec::new();
        let mut target = Target { out: &mut out, press };
        for item in choice.chosen(items) {
            let Item::Publication(publication) = item else { continue };
            let has_attachments = publication.kind == DataKind::Binary;
            let (bare, attachments) = unbundle(&publication.data, has_attachments);
            let text = match outlet.protocol {
                EngineProtocol::V4 => &*with_offset(bare, publication),
                // Clients of that time cannot return, and would take the offset for an argument.
                EngineProtocol::V3 => bare,
            };
            if outlet.is_msgpack {
                // An event was converted once before it was published; data of other protocols was not.
                let as_text =
                    || packed(&with_offset(&with_args_as_text(bare)?, publication), Attachments::NONE);
                if let Some(packet) = packed(text, attachments.get()).or_else(as_text) {
                    outlet.put_binary(&packet, &mut target);
                }
                continue;
            }
            let written: Result<(), std::convert::Infallible> =
                outlet.put_text(text.len(), &mut target, |out| {
                    out.extend_from_slice(text.as_bytes());
                    Ok(())
                });
            let Ok(()) = written;
            attachments.get().iter().for_each(|data| outlet.put_binary(data, &mut target));
        }
        out
    }
}

/// The packet with the offset of the event as its last argument, where its home has given it one: all events have one
/// then, since clients take any text at the end for an offset.
fn with_offset<'t>(text: &'t str, publication: &Publication) -> Cow<'t, str> {
    let epoch = publication.rare.as_ref().and_then(|rare| rare.epoch.as_ref());
    let (Some(epoch), Some(list)) = (epoch, text.strip_suffix(']')) else { return Cow::Borrowed(text) };
    let offset = Offset::shared(publication.offset).text(epoch);
    Cow::Owned(format!("{list},\"{offset}\"]"))
}

/// The packet of an event whose only argument is the text of its arguments in JSON: for arguments that are nested too deeply
/// for msgpack.
fn with_args_as_text(text: &str) -> Option<String> {
    let (Packet { namespace, body, .. }, _) = read(SocketProtocol::V5, text, usize::MAX).ok()?;
    let PacketBody::Event(SocketEvent { name, args: Args::Json(args), .. }) = body else { return None };
    let json = args.sole().map_or_else(|| Cow::Owned(format!("[{}]", args.text())), Cow::Borrowed);
    let mut packet = Vec::new();
    let mut writer = write::PacketWriter::event(&mut packet, namespace, None, &name, 0).ok()?;
    writer.raw(&serde_json::to_string(&json).ok()?);
    writer.finish().ok()?;
    String::from_utf8(packet).ok()
}

/// The data of a publication: the packet's text, and its attachments.
pub(super) fn data_of(text: Vec<u8>, attachments: &[&[u8]]) -> (DataKind, Vec<u8>) {
    let kind = if attachments.is_empty() { DataKind::Text } else { DataKind::Binary };
    (kind, bundle(text, attachments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use crate::hub::Rare;
    use crate::proto::ws::Deflate;
    use std::sync::Arc;

    fn encoded(form: Form, text: &str, attachments: &[&[u8]]) -> Vec<u8> {
        let (kind, data) = data_of(text.as_bytes().to_vec(), attachments);
        let data = Shared::new(data, &Budget::new(1 << 20));
        let item = Item::Publication(Arc::new(Publication::new("\u{1}/".into(), kind, data)));
        form.encode(&[item], &Choice::All, &mut Press::new(None))
    }

    #[test]
    fn an_offset_is_for_clients_that_can_return() {
        let data = Shared::new(b"2[\"a\"]".to_vec(), &Budget::new(1 << 20));
        let mut publication = Publication::new("\u{1}/".into(), DataKind::Text, data);
        publication.rare = Some(Box::new(Rare { version: 0, epoch: Some("epoch".into()) }));
        let items = [Item::Publication(Arc::new(publication))];
        let packets = [EngineProtocol::V4, EngineProtocol::V3].map(|protocol| {
            let (base64, is_msgpack, deflate) = (false, false, Deflate::Off);
            let form = Form(Outlet { protocol, base64, is_msgpack, deflate, is_polled: false });
            let bytes = form.encode(&items, &Choice::All, &mut Press::new(None));
            String::from_utf8(bytes[2..].to_vec()).unwrap()
        });
        assert!(packets[0].starts_with("42[\"a\",\"epoch"), "{packets:?}");
        assert_eq!(packets[1], "42[\"a\"]");
    }

    /// Only other protocols publish that.
    #[test]
    fn what_is_nested_too_deeply_for_msgpack_comes_as_text() {
        let (base64, is_msgpack, deflate) = (false, true, Deflate::Off);
        let form =
            Form(Outlet { protocol: EngineProtocol::V4, base64, is_msgpack, deflate, is_polled: false });
        let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
        for (args, text) in [(deep.clone(), deep.clone()), (format!("1,{deep}"), format!("[1,{deep}]"))] {
            let bytes = encoded(form, &format!("2/a,[\"said\",{args}]"), &[]);
            // Text of less than 256 bytes.
            let expected =
                [b"\xa4said\xd9", &[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
            assert!(bytes.ends_with(&expected), "{bytes:?}");
        }
        let placeholder = encoded(form, "2[\"said\",{\"_placeholder\":true,\"num\":0}]", &[]);
        assert!(placeholder.ends_with(b"\x82\xac_placeholder\xc3\xa3num\x00"), "an object: {placeholder:?}");
    }

    #[test]
    fn an_event_is_encoded_as_its_receivers_read_it() {
        let plain = Outlet {
            protocol: EngineProtocol::V4,
            base64: false,
            is_msgpack: false,
            deflate: Deflate::Off,
            is_polled: false,
        };
        assert_eq!(encoded(Form(plain), "2[\"a\"]", &[]), b"\x81\x0742[\"a\"]");
        let binary = "51-[\"a\",{\"_placeholder\":true,\"num\":0}]";
        let bytes = encoded(Form(plain), binary, &[b"\x00\x01"]);
        assert!(bytes.ends_with(b"}]\x82\x02\x00\x01"), "{bytes:?}");
        let bytes = encoded(Form(Outlet { base64: true, ..plain }), binary, &[b"\x00\x01"]);
        assert!(bytes.ends_with(b"}]\x81\x05bAAE="), "{bytes:?}");
        let polled = Outlet { base64: true, is_polled: true, ..plain };
        assert!(encoded(Form(polled), binary, &[b"\x00\x01"]).ends_with(b"}]\x1ebAAE=\x1e"));
        assert_eq!(encoded(Form(polled), "2[\"a\"]", &[]), b"42[\"a\"]\x1e");
        let old = Outlet { protocol: EngineProtocol::V3, ..plain };
        assert!(encoded(Form(old), binary, &[b"\x00\x01"]).ends_with(b"}]\x82\x03\x04\x00\x01"));
        let bytes = encoded(Form(Outlet { base64: true, ..old }), binary, &[b"\x00\x01"]);
        assert!(bytes.ends_with(b"}]\x81\x06b4AAE="), "{bytes:?}");
        let old = Outlet { is_polled: true, ..old };
        assert_eq!(encoded(Form(old), "2[\"a\"]", &[]), b"\x00\x07\xff42[\"a\"]");
        assert!(encoded(Form(old), binary, &[b"\x00\x01"]).ends_with(b"}]\x01\x03\xff\x04\x00\x01"));
        let bytes = encoded(Form(Outlet { base64: true, ..old }), binary, &[b"\x00\x01"]);
        assert!(bytes.ends_with(b"}]\x00\x06\xffb4AAE="), "{bytes:?}");
        let bytes = encoded(Form(Outlet { is_msgpack: true, ..plain }), binary, &[b"\x00\x01"]);
        assert!(bytes[0] == 0x82 && bytes.ends_with(b"\x92\xa1a\xc4\x02\x00\x01"), "{bytes:?}");
    }
}
