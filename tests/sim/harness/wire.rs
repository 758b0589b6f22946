//! The clients' wire format, byte by byte: upgrade requests, masked frames out, plain frames in (RFC 6455).

use super::rng::Rng;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The example key of RFC 6455 §1.3, and the answer that it calls for.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// One frame of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// An upgrade request.
pub(crate) fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Appends one frame, masked.
pub(crate) fn put_frame(out: &mut Vec<u8>, fin: bool, opcode: u8, payload: &[u8], rng: &mut Rng) {
    out.push(u8::from(fin) << 7 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let key = (rng.next() as u32).to_be_bytes();
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends a message, now and then in fragments with a ping between them; the pings' payloads are returned.
pub(crate) fn put_message(out: &mut Vec<u8>, opcode: u8, payload: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut pings = Vec::new();
    let (mut rest, mut opcode) = (payload, opcode);
    while rng.chance(15) {
        let (part, behind) = rest.split_at(rng.size(0..=rest.len()));
        put_frame(out, false, opcode, part, rng);
        (rest, opcode) = (behind, CONTINUATION);
        if rng.chance(30) {
            let length = rng.size(0..=20);
            let ping = rng.bytes(length);
            put_frame(out, true, PING, &ping, rng);
            pings.push(ping);
        }
    }
    put_frame(out, true, opcode, rest, rng);
    pings
}

/// Takes the first frame out of the received bytes; `None` while it is incomplete.
pub(crate) fn take_frame(arrived: &mut Vec<u8>) -> Option<Frame> {
    let [first, second] = *arrived.first_chunk()?;
    assert_eq!(first & 0x70, 0, "a reserved bit is set");
    assert_eq!(first & 0x80, 0x80, "this server does not fragment");
    assert_eq!(second & 0x80, 0, "a server must not mask (RFC 6455 §5.1)");
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(*arrived[2..].first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*arrived[2..].first_chunk()?)).unwrap(), 10),
        length => (usize::from(length), 2),
    };
    let payload = arrived.get(start..start + length)?.to_vec();
    arrived.drain(..start + length);
    Some(Frame { opcode: first & 0x0f, payload })
}

/// Takes a response head out of the received bytes and returns its status.
pub(crate) fn take_response(arrived: &mut Vec<u8>) -> Option<u16> {
    let end = arrived.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(arrived.drain(..end).collect()).unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok());
    let status = status.expect("a status line");
    assert!(status != 101 || head.contains(ACCEPT), "the wrong accept key: {head}");
    Some(status)
}
