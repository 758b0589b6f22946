//! The reader of packets in text.
//!
//! Invariant: one pass over the JSON validates it, finds the end of its first value and counts the values.

use std::borrow::Cow;

use super::args::JsonArgs;
use super::attachments::ATTACHMENTS_READ_MAX;
use super::{
    ACK_ID_MAX, Args, Attachments, Packet, PacketBody, Raw, SocketError, SocketEvent, SocketProtocol,
    is_reserved,
};
use super::{placeholder, scan};

/// Digits of an id below 2^53.
const ID_DIGITS_MAX: usize = 16;
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Reads a packet with at most `attachments_max` attachments. Returns the number of attachments that follow; the packet
/// itself has none yet.
///
/// # Errors
/// When it breaks a rule of the protocol.
pub fn read(
    protocol: SocketProtocol,
    text: &str,
    attachments_max: usize,
) -> Result<(Packet<'_>, usize), SocketError> {
    let kind = *text
        .as_bytes()
        .first()
        .filter(|kind| (b'0'..=b'6').contains(kind))
        .ok_or(SocketError::UnknownType)?;
    let mut left = &text[1..];
    let count = if kind >= b'5' { attachment_count(&mut left, attachments_max)? } else { 0 };
    let namespace = namespace(&mut left)?;
    let (namespace, query) = match namespace.split_once('?') {
        Some((name, query)) if protocol == SocketProtocol::V4 => (name, Some(query)),
        _ => (namespace, None),
    };
    let id = ack_id(&mut left)?;
    let payload = left.trim_matches(BLANKS);
    let body = match kind {
        b'0' => PacketBody::Connect { auth: auth(protocol, payload)?, query },
        b'1' if payload.is_empty() => PacketBody::Disconnect,
        b'1' => return Err(SocketError::DisconnectPayload),
        b'4' => PacketBody::ConnectError(Raw::Json(refusal(payload)?)),
        b'2' | b'5' => PacketBody::Event(event(id, payload)?),
        _ => PacketBody::Ack { id, args: Args::Json(answer(payload)?) },
    };
    if let PacketBody::Event(SocketEvent { args: Args::Json(args), .. })
    | PacketBody::Ack { args: Args::Json(args), .. } = &body
        && kind >= b'5'
    {
        placeholder::check(args.text(), 0..count)?;
    }
    Ok((Packet { namespace, body, attachments: Attachments::NONE }, count))
}

/// Takes the count of attachments with its hyphen.
fn attachment_count(left: &mut &str, max: usize) -> Result<usize, SocketError> {
    let (digits, behind) = left.split_once('-').ok_or(SocketError::AttachmentCount)?;
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(SocketError::AttachmentCount);
    }
    *left = behind;
    // A count with too many digits for a number is too large as well.
    let count = digits.parse().unwrap_or(usize::MAX);
    if count > max.min(ATTACHMENTS_READ_MAX) { Err(SocketError::TooManyAttachments) } else { Ok(count) }
}

/// Takes the namespace with its comma, which may be missing at the end of the packet.
fn namespace<'a>(left: &mut &'a str) -> Result<&'a str, SocketError> {
    if !left.starts_with('/') {
        return Ok("/");
    }
    let (name, behind) = left.split_once(',').unwrap_or((left, ""));
    *left = behind;
    if is_namespace(name) { Ok(name) } else { Err(SocketError::Namespace) }
}

/// Whether the name of a namespace can be written into any packet: it has no separator and no control character.
pub(super) fn is_namespace(name: &str) -> bool {
    name.starts_with('/') && !name.bytes().any(|byte| byte < b' ' || byte == b',' || byte == 0x7f)
}

/// Takes the id of an acknowledgement.
fn ack_id(left: &mut &str) -> Result<Option<u64>, SocketError> {
    let digits = left.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok(None);
    }
    let (id, behind) = left.split_at(digits);
    *left = behind;
    let id = id.parse().ok().filter(|&id: &u64| digits <= ID_DIGITS_MAX && id < ACK_ID_MAX);
    id.map(Some).ok_or(SocketError::AckId)
}

fn auth(protocol: SocketProtocol, payload: &str) -> Result<Option<Raw<'_>>, SocketError> {
    match payload.as_bytes().first() {
        None => Ok(None),
        Some(b'{') if protocol == SocketProtocol::V5 => {
            scan::value(payload).map(|()| Some(Raw::Json(payload)))
        }
        Some(_) => Err(SocketError::ConnectPayload),
    }
}

fn refusal(payload: &str) -> Result<&str, SocketError> {
    match payload.as_bytes().first() {
        Some(b'{' | b'"') => scan::value(payload).map(|()| payload),
        _ => Err(SocketError::ErrorPayload),
    }
}

/// The name and the arguments behind it.
fn event(id: Option<u64>, payload: &str) -> Result<SocketEvent<'_>, SocketError> {
    let shape = scan::list(payload)?;
    let first = shape.first.ok_or(SocketError::EventName)?;
    let name = name(first)?;
    if is_reserved(&name) {
        return Err(SocketError::ReservedName);
    }
    let behind = payload[shape.first_end..payload.len() - 1].trim_start_matches(BLANKS);
    let args = behind.strip_prefix(',').unwrap_or(behind);
    Ok(SocketEvent { name, id, args: Args::Json(JsonArgs::new(args, shape.count - 1)) })
}

/// The name of an event: text, borrowed unless it has escapes, or a number.
pub(super) fn name(json: &str) -> Result<Cow<'_, str>, SocketError> {
    match json.as_bytes().first() {
        Some(b'"') if !json.contains('\\') => Ok(Cow::Borrowed(&json[1..json.len() - 1])),
        Some(b'"') => serde_json::from_str(json).map(Cow::Owned).map_err(|_| SocketError::EventName),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(json)),
        _ => Err(SocketError::EventName),
    }
}

/// The arguments of an acknowledgement. The reference takes an empty payload for none, too.
fn answer(payload: &str) -> Result<JsonArgs<'_>, SocketError> {
    if payload.is_empty() {
        return Ok(JsonArgs::NONE);
    }
    let shape = scan::list(payload)?;
    Ok(JsonArgs::new(&payload[1..payload.len() - 1], shape.count))
}
