//! Compressed messages (RFC 7692).

use throng::parts::proto::ws::press::{Options, Press};
use throng::parts::proto::ws::{Decoder, Deflate, Event, Kind, Limits, Violation};

use super::{cut, ws};

/// The first four bytes are a plan for cutting the rest, which is what a client sends that may compress; and, once
/// more, the payload of one compressed message.
///
/// # Panics
/// When something does not hold that must.
pub fn deflate(data: &[u8]) {
    let (plan, bytes) = data.split_at(data.len().min(4));
    let whole = ws::decode(&[bytes], true);
    assert_eq!(ws::decode(&cut(bytes, plan), true), whole);
    assert_eq!(ws::decode(&cut(bytes, &[1]), true), whole);

    let mut press = press();
    let Ok(message) = inflated(&mut press, bytes) else { return };
    // Whatever it was: as we compress it, it is that again.
    for form in [Deflate::Wide, Deflate::Narrow] {
        let mut frame = Vec::new();
        press.put_frame(&mut frame, Kind::Binary, &message, form);
        if frame[0] == 0xc2 {
            let head = if frame[1] < 126 { 2 } else { 4 };
            assert!(frame.len() - head < message.len());
            assert_eq!(inflated(&mut press, &frame[head..]).as_ref(), Ok(&message));
        } else {
            assert!(frame.ends_with(&message));
        }
    }
}

pub(super) fn press() -> Press {
    Press::new(Some(Options { level: 1, bytes_min: 0 }))
}

/// The inflated payload of one compressed message.
fn inflated(press: &mut Press, payload: &[u8]) -> Result<Vec<u8>, Violation> {
    const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 10_000 };
    // Unfragmented, binary, compressed, and masked with zeros, in the shortest form.
    let mut frame = vec![0xc2];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => frame.push(0x80 | short),
        _ => {
            frame.push(0xfe);
            frame.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(&payload[..payload.len().min(usize::from(u16::MAX))]);
    match Decoder::default().next(&mut &mut frame[..], &LIMITS, Some(press)) {
        Ok(Some(Event::Message(Kind::Binary, payload))) => {
            assert!(payload.len() <= LIMITS.message_bytes_max);
            let message = payload.to_vec();
            press.reclaim(payload);
            Ok(message)
        }
        Ok(other) => panic!("a whole frame is a message: {other:?}"),
        Err(violation) => Err(violation),
    }
}
