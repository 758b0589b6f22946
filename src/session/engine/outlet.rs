//! How packets leave a session: here the framing of WebSocket messages.

use crate::proto::engine::{self, EngineProtocol, PacketKind};
use crate::proto::ws::{Deflate, Kind, frame};
use crate::session::Context;

/// How packets leave a session.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Outlet {
    /// Whether the client reads no binary messages.
    pub(in crate::session) base64: bool,
    /// Permitted compression of WebSocket messages.
    pub(in crate::session) deflate: Deflate,
}

impl Outlet {
    /// Appends a packet without data.
    pub(in crate::session) fn control(self, kind: PacketKind, cx: &mut Context<'_>) {
        frame::put_frame(cx.out, Kind::Text, &[kind.digit()]);
    }

    /// Appends a message of text, of probably `likely` bytes.
    ///
    /// # Errors
    /// The writer's error; then nothing is appended.
    pub(in crate::session) fn text<E>(
        self,
        likely: usize,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = cx.out.len();
        let begun = if self.deflate.is_on() { None } else { Some(frame::begin(cx.out, likely + 1)) };
        cx.out.push(PacketKind::Message.digit());
        if let Err(error) = write(cx.out) {
            cx.out.truncate(before);
            return Err(error);
        }
        match begun {
            Some(begun) => frame::end(cx.out, begun, Kind::Text),
            None => cx.press.wrap(cx.out, before, Kind::Text, self.deflate),
        }
        cx.counts.messages_out += 1;
        Ok(())
    }

    /// Appends a binary message.
    pub(in crate::session) fn binary(self, data: &[u8], cx: &mut Context<'_>) {
        let start = cx.out.len();
        let kind = if self.base64 {
            engine::put_base64(cx.out, EngineProtocol::V4, data);
            Kind::Text
        } else {
            engine::put_binary(cx.out, EngineProtocol::V4, data);
            Kind::Binary
        };
        // Also an empty message is one.
        match cx.out.len() == start {
            true => frame::put_frame(cx.out, kind, b""),
            false if self.deflate.is_on() => cx.press.wrap(cx.out, start, kind, self.deflate),
            false => frame::wrap(cx.out, start, kind),
        }
        cx.counts.messages_out += 1;
    }
}
