//! WebSocket frames of a client: parsing headers of a server's frames, and writing masked frames.
//!
//! The invariant: a header is returned only when it is complete, and `Ok(None)` consumes nothing, so any split of
//! the stream gives the same frames. Left out: payloads and fragments, which differ per scenario, and UTF-8, which
//! the server guarantees.

/// Opcodes (RFC 6455, 5.2).
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Bytes that masking adds to a frame (RFC 6455, 5.2: Masking-key).
pub(crate) const MASK_BYTES: usize = 4;

/// The mask of every frame that the generator sends. A real client draws one per frame; the server's work is the
/// same for any value except zero, and a constant costs the generator nothing.
pub(crate) const MASK: [u8; MASK_BYTES] = [0x37, 0xfa, 0x21, 0x3d];

/// The header of one server frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) finished: bool,
    pub(crate) opcode: u8,
    pub(crate) head_bytes: usize,
    pub(crate) payload_bytes: usize,
}

/// An invalid frame of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// RFC 6455, 5.1: a server must not mask.
    Masked,
    /// RFC 6455, 5.2: no extension was negotiated, so RSV bits must be 0.
    Reserved,
    /// A length that does not fit the address space.
    TooLong,
}

impl Broken {
    /// The kind under which a failed connection is counted.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Masked => "masked frame",
            Self::Reserved => "frame with reserved bits",
            Self::TooLong => "impossible frame length",
        }
    }
}

/// Reads the header at the start of `bytes`; `None` while it is incomplete.
#[inline]
pub(crate) fn header(bytes: &[u8]) -> Result<Option<Header>, Broken> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(Broken::Masked);
    }
    if first & 0x70 != 0 {
        return Err(Broken::Reserved);
    }
    let (head_bytes, payload_bytes) = match second & 0x7f {
        126 => {
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            (4, usize::from(u16::from_be_bytes(*length)))
        }
        127 => {
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| Broken::TooLong)?;
            (10, length)
        }
        length => (2, usize::from(length)),
    };
    Ok(Some(Header { finished: first & 0x80 != 0, opcode: first & 0x0f, head_bytes, payload_bytes }))
}

/// As [`header`], with permessage-deflate: RSV1 marks a compressed payload (RFC 7692, 6).
#[inline]
pub(crate) fn packed_header(bytes: &[u8]) -> Result<Option<(Header, bool)>, Broken> {
    const RSV1: u8 = 0x40;
    let mut head = [0; 10];
    let length = bytes.len().min(head.len());
    head[..length].copy_from_slice(&bytes[..length]);
    let is_packed = head[0] & RSV1 != 0;
    head[0] &= !RSV1;
    Ok(header(&head[..length])?.map(|header| (header, is_packed)))
}

/// Appends the head of a final frame, without the mask's key; `masked` sets its bit.
#[expect(clippy::cast_possible_truncation, reason = "each cast is guarded by the range of its arm")]
fn push_head(out: &mut Vec<u8>, opcode: u8, payload_bytes: usize, masked: bool) {
    let bit = u8::from(masked) << 7;
    out.push(0x80 | opcode);
    match payload_bytes {
        0..=125 => out.push(bit | payload_bytes as u8),
        126..=0xffff => {
            out.push(bit | 126);
            out.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

/// Appends one final, masked frame.
pub(crate) fn push_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len(), true);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends one final frame as a server writes it, for the bare send loop.
pub(crate) fn push_unmasked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len(), false);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_reported_once_it_is_complete() {
        for (bytes, head_bytes, payload_bytes) in [
            (&[0x81, 5][..], 2, 5),
            (&[0x82, 126, 1, 0][..], 4, 256),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], 10, 65_536),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(header(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
            let seen = header(bytes).unwrap().unwrap();
            assert_eq!(
                (seen.head_bytes, seen.payload_bytes, seen.finished),
                (head_bytes, payload_bytes, true)
            );
        }
        assert!(!header(&[0x01, 0]).unwrap().unwrap().finished);
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(header(&[0x81, 0x80]), Err(Broken::Masked));
        assert_eq!(header(&[0xc1, 0]), Err(Broken::Reserved));
        let (head, is_packed) = packed_header(&[0xc1, 126, 1, 0]).unwrap().unwrap();
        assert_eq!((head, is_packed), (header(&[0x81, 126, 1, 0]).unwrap().unwrap(), true));
        assert!(!packed_header(&[0x81, 0]).unwrap().unwrap().1);
        assert_eq!(packed_header(&[0xc1, 126, 1]), Ok(None));
        assert_eq!(packed_header(&[0xa1, 0]), Err(Broken::Reserved));
    }

    #[test]
    fn a_masked_frame_reads_back_as_its_payload() {
        for size in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..=250).cycle().take(size).collect();
            let (mut masked, mut plain) = (Vec::new(), Vec::new());
            push_masked(&mut masked, BINARY, &payload);
            push_unmasked(&mut plain, BINARY, &payload);
            assert_eq!(masked.len(), plain.len() + MASK_BYTES);
            let head = header(&plain).unwrap().unwrap();
            assert_eq!((head.opcode, head.payload_bytes), (BINARY, size));
            assert_eq!(plain[head.head_bytes..], payload);
            let body = &masked[head.head_bytes + MASK_BYTES..];
            assert!(masked[1] & 0x80 != 0);
            assert!(body.iter().enumerate().all(|(i, b)| b ^ MASK[i % 4] == payload[i]));
        }
    }
}
