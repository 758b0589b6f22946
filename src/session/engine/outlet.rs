//! How packets leave a session: as WebSocket messages, or queued until a poll takes them.
//!
//! The queue of protocol 4 is text with a separator behind each packet; the last is left out when a poll takes what waits.
//! That of protocol 3 is a binary body, which becomes text when no packet is binary. So the first byte of a queue tells
//! which protocol it is of.

use crate::base::slots::Key;
use crate::proto::engine::{self, Content, EnginePacket, EngineProtocol, PacketKind, read_payload};
use crate::proto::socketio::SocketProtocol;
use crate::proto::ws::{Deflate, Kind, Press, frame};
use crate::session::{Context, Secret};

/// Stands between the packets of a body.
pub(super) const SEPARATOR: u8 = 0x1e;

/// The body of the answer to a poll, these packets, and whether it is binary.
pub(in crate::session) fn polled_body(mut output: Vec<u8>) -> (Vec<u8>, bool) {
    if engine::is_binary_v3(&output) {
        return engine::shortest_v3(output);
    }
    if output.last() == Some(&SEPARATOR) {
        output.pop();
    }
    (output, false)
}

/// How packets leave a session: all that determines their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Outlet {
    /// The protocol of the client.
    pub(in crate::session) protocol: EngineProtocol,
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
    /// The id of the session.
    pub(in crate::session) fn sid(self, secret: &Secret, shard: u16, conn: Key) -> String {
        match self.protocol {
            // Its clients take it for the id of their socket.
            EngineProtocol::V3 => String::from_utf8_lossy(&secret.short_session(shard, conn)).into_owned(),
            EngineProtocol::V4 => secret.session(shard, conn),
        }
    }

    /// The protocol of Socket.IO that such clients speak.
    pub(in crate::session) fn socket_protocol(self) -> SocketProtocol {
        match self.protocol {
            EngineProtocol::V3 => SocketProtocol::V4,
            EngineProtocol::V4 => SocketProtocol::V5,
        }
    }

    /// Appends a packet without data.
    pub(in crate::session) fn control(self, kind: PacketKind, cx: &mut Context<'_>) {
        self.put_control(kind, "", cx.out);
    }

    /// Appends a packet that is no message to `out`.
    pub(in crate::session) fn put_control(self, kind: PacketKind, data: &str, out: &mut Vec<u8>) {
        let start = out.len();
        engine::put_text(out, kind, data);
        self.end_plain(out, start);
    }

    /// Makes the bytes since `start` a packet of text, uncompressed.
    pub(super) fn end_plain(self, out: &mut Vec<u8>, start: usize) {
        match self.is_polled {
            true => self.end_queued(out, start, false),
            false => frame::wrap(out, start, Kind::Text),
        }
    }

    /// Makes the bytes since `start` a packet that waits for a poll.
    fn end_queued(self, out: &mut Vec<u8>, start: usize, is_binary: bool) {
        match self.protocol {
            EngineProtocol::V3 => engine::wrap_v3(out, start, is_binary),
            EngineProtocol::V4 => out.push(SEPARATOR),
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
            None if self.is_polled => self.end_queued(out, before, false),
            None => press.wrap(out, before, Kind::Text, self.deflate),
        }
        Ok(())
    }

    /// Appends a message of a handler.
    pub(in crate::session) fn put_message(self, kind: Kind, data: &[u8], target: &mut Target<'_>) {
        if kind == Kind::Binary {
            return self.put_binary(data, target);
        }
        let written: Result<(), std::convert::Infallible> = self.put_text(data.len(), target, |out| {
            out.extend_from_slice(data);
            Ok(())
        });
        let Ok(()) = written;
    }

    /// Appends a binary message.
    pub(in crate::session) fn put_binary(self, data: &[u8], target: &mut Target<'_>) {
        let Target { out, press } = target;
        let start = out.len();
        let kind = if self.base64 {
            engine::put_base64(out, self.protocol, data);
            Kind::Text
        } else {
            engine::put_binary(out, self.protocol, data);
            Kind::Binary
        };
        if self.is_polled {
            return self.end_queued(out, start, kind == Kind::Binary);
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
        if polled.is_empty() {
            return;
        }
        let polled = match self.protocol {
            EngineProtocol::V3 => polled,
            EngineProtocol::V4 => polled.strip_suffix(&[SEPARATOR]).unwrap_or(polled),
        };
        let packets = read_payload(self.protocol, self.protocol == EngineProtocol::V3, polled);
        for EnginePacket { kind, content } in packets.into_iter().flatten().flatten() {
            match content {
                Content::Bytes(data) => self.put_binary(data, target),
                Content::Base64(base64) => {
                    let mut data = Vec::with_capacity(base64.decoded_bytes_max());
                    if base64.append_to(&mut data).is_ok() {
                        self.put_binary(&data, target);
                    }
                }
                Content::Text(text) => {
                    let start = target.out.len();
                    engine::put_text(target.out, kind, text);
                    target.press.wrap(target.out, start, Kind::Text, self.deflate);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_poll_leaves_by_websocket_packet_by_packet() {
        let polled = Outlet {
            protocol: EngineProtocol::V4,
            base64: true,
            is_msgpack: false,
            deflate: Deflate::Off,
            is_polled: true,
        };
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
        polled.put_control(PacketKind::Ping, "", target.out);
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

    #[test]
    fn so_it_does_for_clients_of_protocol_3() {
        for base64 in [false, true] {
            let outlet = Outlet {
                protocol: EngineProtocol::V3,
                base64,
                is_msgpack: false,
                deflate: Deflate::Off,
                is_polled: true,
            };
            let (mut waiting, mut press) = (Vec::new(), Press::new(None));
            let mut target = Target { out: &mut waiting, press: &mut press };
            outlet.put_message(Kind::Text, "2[\"é\"]".as_bytes(), &mut target);
            outlet.put_message(Kind::Binary, &[1, 2, 3], &mut target);
            outlet.put_control(PacketKind::Pong, "data", target.out);
            let mut out = Vec::new();
            let outlet = Outlet { is_polled: false, ..outlet };
            outlet.put_polled(&waiting, &mut Target { out: &mut out, press: &mut press });
            let binary: &[u8] = if base64 { b"\x81\x06b4AQID" } else { b"\x82\x04\x04\x01\x02\x03" };
            let first = [b"\x81\x08", "42[\"é\"]".as_bytes()].concat();
            assert_eq!(out, [&first[..], binary, b"\x81\x053data"].concat(), "{base64}");
        }
    }
}
