//! Bodies of polling requests and answers: several packets in one.
//!
//! Protocol 4 puts 0x1E between packets. Protocol 3 puts each packet's length in front of it: in UTF-16 units where the
//! body is text, in bytes where it is binary. A body is binary when one of its packets is and the client can read that.
//!
//! Invariant: [`read_payload`] reads the packets that [`PayloadWriter`] wrote. Text with 0x1E in it cannot be sent in
//! protocol 4; JSON never contains that byte.

use super::put::{put_digits, put_number};
use super::{
    EngineError, EnginePacket, EngineProtocol, PacketKind, put_base64, put_text, read_binary, read_text,
};

/// Stands between the packets of a body in protocol 4.
const SEPARATOR: u8 = 0x1e;
/// The longest length that is read in protocol 3, in digits; no body is that long.
const LENGTH_DIGITS_MAX: usize = 10;
/// Stands in front of a packet of text in a binary body of protocol 3.
const TEXT: u8 = 0;
/// Stands in front of a binary packet there.
const BINARY: u8 = 1;
/// Ends the digits of a length in a binary body of protocol 3.
const LENGTH_END: u8 = 255;

/// Reads the packets of a body; a binary one is sent as `application/octet-stream`.
///
/// # Errors
/// When the body is text and not UTF-8, or binary in protocol 4. The iterator returns the error of a malformed packet.
pub fn read_payload(
    protocol: EngineProtocol,
    is_binary: bool,
    body: &[u8],
) -> Result<PacketsRead<'_>, EngineError> {
    let text = || simdutf8::basic::from_utf8(body).map_err(|_| EngineError::NotUtf8);
    let left = match (protocol, is_binary) {
        (EngineProtocol::V4, true) => return Err(EngineError::BinaryBody),
        (EngineProtocol::V4, false) => Left::Separated(Some(text()?)),
        (EngineProtocol::V3, false) => Left::Counted(text()?),
        (EngineProtocol::V3, true) => Left::Binary(body),
    };
    Ok(PacketsRead { left, is_begun: false })
}

/// The packets of a body. After an error there are none.
#[derive(Clone, Debug)]
pub struct PacketsRead<'a> {
    left: Left<'a>,
    is_begun: bool,
}

#[derive(Clone, Debug)]
enum Left<'a> {
    /// `None` behind the last.
    Separated(Option<&'a str>),
    Counted(&'a str),
    Binary(&'a [u8]),
}

impl PacketsRead<'_> {
    /// The packets that have not been read, to be read later; `None` when there are none.
    pub fn left(&self) -> Option<PacketsLeft> {
        let body = match self.left {
            Left::Separated(left) => Body::Separated(left?.to_owned()),
            Left::Counted("") | Left::Binary([]) => return None,
            Left::Counted(left) => Body::Counted(left.to_owned()),
            Left::Binary(left) => Body::Binary(left.to_vec()),
        };
        Some(PacketsLeft { body, at: 0 })
    }

    /// Bytes that have not been read; `None` behind the last packet.
    fn bytes_left(&self) -> Option<usize> {
        match self.left {
            Left::Separated(left) => left.map(str::len),
            Left::Counted(left) => Some(left.len()).filter(|&bytes| bytes > 0),
            Left::Binary(left) => Some(left.len()).filter(|&bytes| bytes > 0),
        }
    }
}

/// The rest of a body, of which packets are read from time to time: it is neither copied nor checked again.
#[derive(Debug)]
pub struct PacketsLeft {
    body: Body,
    /// Where the first packet begins that has not been read.
    at: usize,
}

#[derive(Debug)]
enum Body {
    Separated(String),
    Counted(String),
    Binary(Vec<u8>),
}

impl PacketsLeft {
    /// The packets, from the first that has not been read.
    pub fn read(&self) -> PacketsRead<'_> {
        let left = match &self.body {
            Body::Separated(body) => Left::Separated(Some(&body[self.at..])),
            Body::Counted(body) => Left::Counted(&body[self.at..]),
            Body::Binary(body) => Left::Binary(&body[self.at..]),
        };
        PacketsRead { left, is_begun: false }
    }

    /// The position in [`PacketsLeft::read`] of those that it has not read now; `None` when there are none.
    pub fn place_of(&self, packets: &PacketsRead<'_>) -> Option<usize> {
        packets.bytes_left().map(|bytes| self.bytes() - bytes)
    }

    /// Goes on at a position of [`PacketsLeft::place_of`].
    #[must_use]
    pub fn at(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// Bytes of the whole body.
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Separated(body) | Body::Counted(body) => body.len(),
            Body::Binary(body) => body.len(),
        }
    }
}

impl<'a> Iterator for PacketsRead<'a> {
    type Item = Result<EnginePacket<'a>, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let packet = match &mut self.left {
            Left::Separated(left) => {
                let rest = (*left)?;
                let (packet, behind) = match memchr::memchr(SEPARATOR, rest.as_bytes()) {
                    Some(at) => (&rest[..at], Some(&rest[at + 1..])),
                    None => (rest, None),
                };
                *left = behind;
                read_text(EngineProtocol::V4, packet)
            }
            // A body has at least one packet.
            Left::Counted("") if !is_first => return None,
            Left::Binary([]) if !is_first => return None,
            Left::Counted(left) => counted(left),
            Left::Binary(left) => binary(left),
        };
        if packet.is_err() {
            self.left = Left::Separated(None);
        }
        Some(packet)
    }
}

/// The packet at the front of a body of text of protocol 3.
fn counted<'a>(left: &mut &'a str) -> Result<EnginePacket<'a>, EngineError> {
    let (length, rest) = left.split_once(':').ok_or(EngineError::Length)?;
    let is_number =
        (1..=LENGTH_DIGITS_MAX).contains(&length.len()) && length.bytes().all(|c| c.is_ascii_digit());
    let units = length.parse::<usize>().ok().filter(|_| is_number).ok_or(EngineError::Length)?;
    let (packet, behind) = rest.split_at(end_of_units(rest, units).ok_or(EngineError::Length)?);
    *left = behind;
    read_text(EngineProtocol::V3, packet)
}

/// Where the first `units` UTF-16 units of a text end; `None` when it has fewer, or that is within a character.
fn end_of_units(text: &str, units: usize) -> Option<usize> {
    // Of plain text, which most is, units are bytes.
    if let Some(front) = text.as_bytes().get(..units)
        && front.is_ascii()
    {
        return Some(units);
    }
    let mut left = units;
    for (at, char) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(char.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// The packet at the front of a binary body of protocol 3.
fn binary<'a>(left: &mut &'a [u8]) -> Result<EnginePacket<'a>, EngineError> {
    match binary_parts(left)? {
        (TEXT, packet) => {
            let text = simdutf8::basic::from_utf8(packet).map_err(|_| EngineError::NotUtf8)?;
            read_text(EngineProtocol::V3, text)
        }
        (BINARY, packet) => read_binary(EngineProtocol::V3, packet),
        (other, _) => Err(EngineError::UnknownType(other)),
    }
}

/// The mark and the bytes of the packet at the front of a binary body of protocol 3.
fn binary_parts<'a>(left: &mut &'a [u8]) -> Result<(u8, &'a [u8]), EngineError> {
    let (&mark, rest) = left.split_first().ok_or(EngineError::Length)?;
    let digits = rest.iter().take(LENGTH_DIGITS_MAX + 1).position(|&byte| byte == LENGTH_END);
    let digits = &rest[..digits.filter(|&count| count > 0).ok_or(EngineError::Length)?];
    let length = digits.iter().try_fold(0_usize, |length, &digit| {
        if digit > 9 { None } else { length.checked_mul(10)?.checked_add(usize::from(digit)) }
    });
    let data = &rest[digits.len() + 1..];
    let (packet, behind) =
        data.split_at_checked(length.ok_or(EngineError::Length)?).ok_or(EngineError::Length)?;
    *left = behind;
    Ok((mark, packet))
}

/// Makes the bytes since `start` a packet of a binary body of protocol 3.
pub fn wrap_v3(out: &mut Vec<u8>, start: usize, is_binary: bool) {
    let end = out.len();
    put_binary_head(out, if is_binary { BINARY } else { TEXT }, end - start);
    let moved = out.len() - end;
    out[start..].rotate_right(moved);
}

/// Whether a body begins as a binary one of protocol 3 does, and no other.
pub fn is_binary_v3(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(TEXT | BINARY)))
}

/// The shortest form of a body of [`wrap_v3`]'s packets, and whether that is binary: it is text, unless a packet is binary.
pub fn shortest_v3(body: Vec<u8>) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(body.len());
    let mut writer = PayloadWriter::new(&mut text, PayloadForm::V3Text, usize::MAX);
    let mut left = &body[..];
    while let Ok((TEXT, packet)) = binary_parts(&mut left) {
        writer.packet(std::str::from_utf8(packet).unwrap_or_default());
        if left.is_empty() {
            return (text, false);
        }
    }
    (body, true)
}

/// How the packets of an answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadForm {
    /// Protocol 4.
    V4,
    /// Protocol 3 without binary packets, or for a client that asked for base64.
    V3Text,
    /// Protocol 3 with binary packets: `application/octet-stream`.
    V3Binary,
}

/// Writes packets as one body behind the bytes that a buffer already holds.
#[derive(Debug)]
pub struct PayloadWriter<'o> {
    out: &'o mut Vec<u8>,
    form: PayloadForm,
    start: usize,
    bytes_max: usize,
}

impl<'o> PayloadWriter<'o> {
    /// Begins a body at the end of `out`, of at most `bytes_max` bytes unless its first packet alone is larger.
    pub fn new(out: &'o mut Vec<u8>, form: PayloadForm, bytes_max: usize) -> Self {
        let start = out.len();
        Self { out, form, start, bytes_max }
    }

    /// The number of bytes so far.
    pub fn bytes(&self) -> usize {
        self.out.len() - self.start
    }

    /// Appends an encoded packet of text, its type in front; in protocol 4 also several that are joined already.
    /// Returns false, and appends nothing, when the limit does not allow it.
    pub fn packet(&mut self, packet: &str) -> bool {
        self.within_limit(|out, form, is_first| match form {
            PayloadForm::V4 => {
                if !is_first {
                    out.push(SEPARATOR);
                }
                out.extend_from_slice(packet.as_bytes());
            }
            PayloadForm::V3Text => {
                put_number(out, utf16_units(packet) as u64);
                out.push(b':');
                out.extend_from_slice(packet.as_bytes());
            }
            PayloadForm::V3Binary => {
                put_binary_head(out, TEXT, packet.len());
                out.extend_from_slice(packet.as_bytes());
            }
        })
    }

    /// Appends a packet of text; as [`Self::packet`].
    pub fn text(&mut self, kind: PacketKind, text: &str) -> bool {
        self.within_limit(|out, form, is_first| match form {
            PayloadForm::V4 => {
                if !is_first {
                    out.push(SEPARATOR);
                }
                put_text(out, kind, text);
            }
            PayloadForm::V3Text => {
                put_number(out, 1 + utf16_units(text) as u64);
                out.push(b':');
                put_text(out, kind, text);
            }
            PayloadForm::V3Binary => {
                put_binary_head(out, TEXT, 1 + text.len());
                put_text(out, kind, text);
            }
        })
    }

    /// Appends a binary message; as [`Self::packet`].
    pub fn binary(&mut self, data: &[u8]) -> bool {
        self.within_limit(|out, form, is_first| match form {
            PayloadForm::V4 => {
                if !is_first {
                    out.push(SEPARATOR);
                }
                put_base64(out, EngineProtocol::V4, data);
            }
            PayloadForm::V3Text => {
                put_number(out, 2 + data.len().div_ceil(3) as u64 * 4);
                out.push(b':');
                put_base64(out, EngineProtocol::V3, data);
            }
            PayloadForm::V3Binary => {
                put_binary_head(out, BINARY, 1 + data.len());
                super::put_binary(out, EngineProtocol::V3, data);
            }
        })
    }

    fn within_limit(&mut self, put: impl FnOnce(&mut Vec<u8>, PayloadForm, bool)) -> bool {
        let before = self.out.len();
        let is_first = before == self.start;
        put(self.out, self.form, is_first);
        let fits = is_first || self.bytes() <= self.bytes_max;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }
}

/// Appends the header of a packet of a binary body of protocol 3: whether it is binary, and its length in bytes.
fn put_binary_head(out: &mut Vec<u8>, mark: u8, length: usize) {
    out.push(mark);
    put_digits(out, length as u64, 0);
    out.push(LENGTH_END);
}

fn utf16_units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}
