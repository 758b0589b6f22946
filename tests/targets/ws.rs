//! A client's frames.

use throng::parts::proto::ws::{Decoder, Event, Kind, Limits, Violation};

use super::{cut, deflate};

const LIMITS: Limits = Limits { frame_bytes_max: 1000, message_bytes_max: 2000 };
/// Limit of a decoder's memory: a message, twice because of a vector's growth, and its own few fields.
const HELD_BYTES_MAX: usize = 2 * 2000 + 1000 + 512;

/// The first four bytes are a plan for cutting the rest, which is what a client sends.
///
/// # Panics
/// When something does not hold that must.
pub fn ws_stream(data: &[u8]) {
    let (plan, bytes) = data.split_at(data.len().min(4));
    let whole = decode(&[bytes], false);
    assert_eq!(decode(&cut(bytes, plan), false), whole);
    assert_eq!(decode(&cut(bytes, &[1]), false), whole);
}

/// The events, as values of this target, and the violated rule. `may_deflate`: compressed messages were negotiated.
pub(super) fn decode(pieces: &[&[u8]], may_deflate: bool) -> (Vec<(u8, Vec<u8>)>, Option<Violation>) {
    let (mut decoder, mut events, mut press) = (Decoder::default(), Vec::new(), deflate::press());
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = &mut bytes[..];
        loop {
            match decoder.next(&mut input, &LIMITS, may_deflate.then_some(&mut press)) {
                Ok(None) => break,
                Ok(Some(Event::Message(kind, payload))) => {
                    assert!(payload.len() <= LIMITS.message_bytes_max);
                    assert!(kind == Kind::Binary || std::str::from_utf8(&payload).is_ok(), "text is text");
                    events.push((u8::from(kind == Kind::Binary) + 1, payload.to_vec()));
                    press.reclaim(payload);
                }
                Ok(Some(Event::Ping(payload))) => {
                    assert!(payload.len() <= 125);
                    events.push((9, payload.to_vec()));
                }
                Ok(Some(Event::Pong)) => events.push((10, Vec::new())),
                Ok(Some(Event::Close(code))) => {
                    assert!(code.is_none_or(|code| (1000..5000).contains(&code)), "{code:?}");
                    events.push((8, code.unwrap_or(0).to_be_bytes().to_vec()));
                }
                Err(violation) => return (events, Some(violation)),
            }
        }
        assert!(decoder.held_bytes() <= HELD_BYTES_MAX, "{} bytes are held", decoder.held_bytes());
    }
    (events, None)
}
