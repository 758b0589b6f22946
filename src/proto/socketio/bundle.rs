//! A packet with its attachments as one run of bytes, in which it goes to several connections.
//!
//! Without attachments it is the packet's text, so that connections with JSON, nearly all, get a copy of it. Otherwise each
//! part, the text and then the attachments, stands behind its length in four bytes, little-endian. The caller knows which of
//! the two it is.

use super::{AttachmentStore, Attachments, Packet, PacketBody, SocketProtocol, msgpack, read};

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// The bytes of a packet with these attachments.
pub fn bundle(text: Vec<u8>, attachments: &[&[u8]]) -> Vec<u8> {
    if attachments.is_empty() {
        return text;
    }
    let parts = || [&text[..]].into_iter().chain(attachments.iter().copied());
    let mut data = Vec::with_capacity(parts().map(|part| LENGTH_BYTES + part.len()).sum());
    for part in parts() {
        // No message has that many bytes.
        data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        data.extend_from_slice(part);
    }
    data
}

/// The inverse of [`bundle`].
pub fn unbundle(data: &[u8], has_attachments: bool) -> (&str, AttachmentStore) {
    let mut store = AttachmentStore::default();
    if !has_attachments {
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
pub fn packed(text: &str, attachments: Attachments<'_>) -> Option<Vec<u8>> {
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

    #[test]
    fn a_packet_and_its_attachments_come_out_as_they_went_in() {
        for attachments in [&[][..], &[&b"\x00\xff"[..], b"", b"\r\n"]] {
            let data = bundle(b"2[\"a\"]".to_vec(), attachments);
            let (text, store) = unbundle(&data, !attachments.is_empty());
            assert_eq!((text, store.get().iter().collect::<Vec<_>>()), ("2[\"a\"]", attachments.to_vec()));
        }
        assert_eq!(unbundle(b"\xff\xff\xff\xff", true).0, "", "broken bytes are no packet");
        assert!(packed("2[\"a\"]", Attachments::NONE).is_some() && packed("1", Attachments::NONE).is_none());
    }
}
