//! Messages of a client's WebSocket.

use crate::proto::ws::{self, Decoder, Deflate, Kind, Payload};
use crate::session::pongs::Pongs;
use crate::session::{CloseReason, Context};

/// Takes the next whole message from the input; pings before it are answered. `None`: there is none yet. The caller returns
/// the payload by [`ws::Press::reclaim`].
///
/// # Errors
/// The reason for which the session ends.
pub(in crate::session) fn next_message<'i>(
    decoder: &mut Decoder,
    input: &mut &'i mut [u8],
    deflate: Deflate,
    pongs: &mut Pongs,
    cx: &mut Context<'_>,
) -> Result<Option<(Kind, Payload<'i>)>, CloseReason> {
    let bytes_max = cx.settings.socketio.payload_bytes_max;
    let limits = ws::Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max };
    while let Some(event) = decoder
        .next(input, &limits, deflate.is_on().then_some(&mut *cx.press))
        .map_err(CloseReason::Violation)?
    {
        match event {
            ws::Event::Message(kind, payload) => {
                cx.counts.messages_in += 1;
                return Ok(Some((kind, payload)));
            }
            ws::Event::Ping(payload) => pongs.answer(&payload, cx),
            ws::Event::Pong => {}
            ws::Event::Close(code) => return Err(CloseReason::Peer(code.unwrap_or(1005))),
        }
    }
    Ok(None)
}
