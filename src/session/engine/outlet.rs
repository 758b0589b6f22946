//! How packets leave a session: as WebSocket messages, or, by HTTP long-polling, as text with a separator behind each
//! packet. The last separator is left out when a poll takes what waits.

use crate::proto::engine::{self, Content, EngineProtocol, PacketKind, read_text};
use crate::proto::ws::{Deflate, Kind, Press, frame};
use crate::session::Context;

/// Stands between the packets of a body.
pub(super) const SEPARATOR: u8 = 0x1e;

/// The body of the answer to a poll: these packets.
pub(in crate::session) fn polled_body(mut output: Vec<u8>) -> Vec<u8> {
    if output.last() == Some(&SEPARATOR) {
        output.pop();
    }
    output
}

/// The packet that ends a session.
pub(in crate::session) fn end_of_poll() -> Vec<u8> {
    vec![PacketKind::Close.digit()]
}

/// The packet that ends a poll without output.
pub(in crate::session) fn noop_of_poll() -> Vec<u8> {
    vec![PacketKind::Noop.digit()]
}

/// How packets leave a session: all that determines their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Outlet {
    /// Whether the client reads no binary messages.
    pub(in crate::session) base64: bool,
    /// Whether messages are msgpack.
    pub(in crate::session) is_msgpack: bool,
    /// Permitted compression of WebSocket messages.
    pub(in crate::session) deflate: Deflate,
    /// Whether polls fetch the packets.
    pub(in crate::session) is_polled: bool,
}

/// Where packets go.
pub(in crate::session) struct Target<'t> {
    pub(in crate::session) out: &'t mut Vec<u8>,
    pub(in crate::session) press: &'t mut Press,
}

impl Outlet {
    /// Appends a packet without data.
    pub(in crate::session) fn control(self, kind: PacketKind, cx: &mut Context<'_>) {
        self.put_control(kind, cx.out);
    }

    /// Appends a packet without data to `out`.
    pub(in crate::session) fn put_control(self, kind: PacketKind, out: &mut Vec<u8>) {
        match self.is_polled {
            true => out.extend_from_slice(&[kind.digit(), SEPARATOR]),
            false => frame::put_frame(out, Kind::Text, &[kind.digit()]),
        }
    }

    /// Appends a message of text, of probably `likely` bytes, to the session's output.
    ///
    /// # Errors
    /// The writer's error; then nothing is appended.
    pub(in crate::session) fn text<E>(
        self,
        likely: usize,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.put_text(likely, &mut Target { out: cx.out, press: cx.press }, write)?;
        cx.counts.messages_out += 1;
        Ok(())
    }

    /// Appends a binary message to the session's output.
    pub(in crate::session) fn binary(self, data: &[u8], cx: &mut Context<'_>) {
        self.put_binary(data, &mut Target { out: cx.out, press: cx.press });
        cx.counts.messages_out += 1;
    }

    /// Appends a message of text, of probably `likely` bytes.
    ///
    /// # Errors
    /// The writer's error; then nothing is appended.
    pub(in crate::session) fn put_text<E>(
        self,
        likely: usize,
        target: &mut Target<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Target { out, press } = target;
        let before = out.len();
        let begun =
            if self.deflate.is_on() || self.is_polled { None } else { Some(frame::begin(out, likely + 1)) };
        out.push(PacketKind::Message.digit());
        if let Err(error) = write(out) {
            out.truncate(before);
            return Err(error);
        }
        match begun {
            Some(begun) => frame::end(out, begun, Kind::Text),
            None if self.is_polled => out.push(SEPARATOR),
            None => press.wrap(out, before, Kind::Text, self.deflate),
        }
        Ok(())
    }

    /// Appends a binary message.
    pub(in crate::session) fn put_binary(self, data: &[u8], target: &mut Target<'_>) {
        let Target { out, press } = target;
        let start = out.len();
        let kind = if self.base64 {
            engine::put_base64(out, EngineProtocol::V4, data);
            Kind::Text
        } else {
            engine::put_binary(out, EngineProtocol::V4, data);
            Kind::Binary
        };
        if self.is_polled {
            return out.push(SEPARATOR);
        }
        // Also an empty message is one.
        match out.len() == start {
            true => frame::put_frame(out, kind, b""),
            false if self.deflate.is_on() => press.wrap(out, start, kind, self.deflate),
            false => frame::wrap(out, start, kind),
        }
    }

    /// Appends packets, to a WebSocket, that were written for a poll.
    pub(in crate::session) fn put_polled(self, polled: &[u8], target: &mut Target<'_>) {
        for packet in polled.split(|byte| *byte == SEPARATOR).filter(|packet| !packet.is_empty()) {
            let text = std::str::from_utf8(packet).unwrap_or_default();
            let mut data = Vec::new();
            let content = read_text(EngineProtocol::V4, text).map(|packet| packet.content);
            if let Ok(Content::Base64(base64)) = content
                && base64.append_to(&mut data).is_ok()
            {
                self.put_binary(&data, target);
                continue;
            }
            let start = target.out.len();
            target.out.extend_from_slice(packet);
            target.press.wrap(target.out, start, Kind::Text, self.deflate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_poll_leaves_by_websocket_packet_by_packet() {
        let polled = Outlet { base64: true, is_msgpack: false, deflate: Deflate::Off, is_polled: true };
        let (mut waiting, mut press) = (Vec::new(), Press::new(None));
        let mut target = Target { out: &mut waiting, press: &mut press };
        let text = |target: &mut Target<'_>, text: &str| {
            let written: Result<(), ()> = polled.put_text(0, target, |out| {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            });
            written.unwrap();
        };
        text(&mut target, "2[\"a\"]");
        polled.put_binary(&[1, 2, 3], &mut target);
        polled.put_binary(&[], &mut target);
        polled.put_control(PacketKind::Ping, target.out);
        text(&mut target, "2[\"é\"]");
        let by_websocket = |base64| {
            let mut out = Vec::new();
            let outlet = Outlet { base64, is_polled: false, ..polled };
            outlet.put_polled(&waiting, &mut Target { out: &mut out, press: &mut Press::new(None) });
            out
        };
        let (first, ping) = (b"\x81\x0742[\"a\"]", b"\x81\x012");
        let last = [b"\x81\x08", "42[\"é\"]".as_bytes()].concat();
        assert_eq!(
            by_websocket(false),
            [&first[..], b"\x82\x03\x01\x02\x03", b"\x82\x00", ping, &last].concat()
        );
        assert_eq!(by_websocket(true), [&first[..], b"\x81\x05bAQID", b"\x81\x01b", ping, &last].concat());
    }
}
