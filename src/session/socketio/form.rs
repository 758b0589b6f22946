//! Events for several sockets: how they are published, and how each connection gets them.
//!
//! A publication holds the packet as text, so that connections with JSON, nearly all, get a copy of it. Attachments follow
//! the text, each behind its length. No other protocol sees these bytes: the channels are private.

use crate::hub::choice::Choice;
use crate::hub::{DataKind, Item, Publication};
use crate::proto::socketio::{
    AttachmentStore, Attachments, Packet, PacketBody, SocketProtocol, msgpack, read,
};
use crate::proto::ws::Press;
use crate::session::engine::{Outlet, Target};

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

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
            let (text, attachments) = content(publication);
            if outlet.is_msgpack {
                // It was converted once before it was published.
                if let Some(packet) = packed(text, attachments.get()) {
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

/// The data of a publication: the packet's text, and its attachments.
pub(super) fn data_of(text: Vec<u8>, attachments: &[&[u8]]) -> (DataKind, Vec<u8>) {
    if attachments.is_empty() {
        return (DataKind::Text, text);
    }
    let put = |data: &mut Vec<u8>, part: &[u8]| {
        // No message has that many bytes.
        data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        data.extend_from_slice(part);
    };
    let mut data = Vec::new();
    put(&mut data, &text);
    attachments.iter().for_each(|attachment| put(&mut data, attachment));
    (DataKind::Binary, data)
}

/// The inverse of [`data_of`].
fn content(publication: &Publication) -> (&str, AttachmentStore) {
    let (mut store, data) = (AttachmentStore::default(), &publication.data[..]);
    if publication.kind != DataKind::Binary {
        return (std::str::from_utf8(data).unwrap_or_default(), store);
    }
    let mut left = data;
    let mut next = || {
        let (length, rest) = left.split_first_chunk::<LENGTH_BYTES>()?;
        let (part, behind) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        left = behind;
        Some(part)
    };
    let text = next().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    while let Some(attachment) = next() {
        store.push(attachment);
    }
    (text, store)
}

/// An event of text as a packet of msgpack; `None` when it is nested too deeply for that.
pub(super) fn packed(text: &str, attachments: Attachments<'_>) -> Option<Vec<u8>> {
    let (Packet { namespace, body, .. }, _) = read(SocketProtocol::V5, text, usize::MAX).ok()?;
    let PacketBody::Event(event) = body else { return None };
    let mut packet = Vec::new();
    msgpack::put_event(&mut packet, namespace, event.id, &event.name, (event.args, attachments), None)
        .ok()?;
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use crate::proto::ws::Deflate;
    use std::sync::Arc;

    fn encoded(form: Form, text: &str, attachments: &[&[u8]]) -> Vec<u8> {
        let (kind, data) = data_of(text.as_bytes().to_vec(), attachments);
        let data = Shared::new(data, &Budget::new(1 << 20));
        let item = Item::Publication(Arc::new(Publication::new("\u{1}/".into(), kind, data)));
        form.encode(&[item], &Choice::All, &mut Press::new(None))
    }

    #[test]
    fn an_event_is_encoded_as_its_receivers_read_it() {
        let plain = Outlet { base64: false, is_msgpack: false, deflate: Deflate::Off, is_polled: false };
        assert_eq!(encoded(Form(plain), "2[\"a\"]", &[]), b"\x81\x0742[\"a\"]");
        let binary = "51-[\"a\",{\"_placeholder\":true,\"num\":0}]";
        let bytes = encoded(Form(plain), binary, &[b"\x00\x01"]);
        assert!(bytes.ends_with(b"}]\x82\x02\x00\x01"), "{bytes:?}");
        let bytes = encoded(Form(Outlet { base64: true, ..plain }), binary, &[b"\x00\x01"]);
        assert!(bytes.ends_with(b"}]\x81\x05bAAE="), "{bytes:?}");
        let polled = Outlet { base64: true, is_polled: true, ..plain };
        assert!(encoded(Form(polled), binary, &[b"\x00\x01"]).ends_with(b"}]\x1ebAAE=\x1e"));
        assert_eq!(encoded(Form(polled), "2[\"a\"]", &[]), b"42[\"a\"]\x1e");
        let bytes = encoded(Form(Outlet { is_msgpack: true, ..plain }), binary, &[b"\x00\x01"]);
        assert!(bytes[0] == 0x82 && bytes.ends_with(b"\x92\xa1a\xc4\x02\x00\x01"), "{bytes:?}");
    }
}
