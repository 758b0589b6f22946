//! Packets in msgpack, as `socket.io-msgpack-parser` 3 reads and writes them: one binary message per packet, with binary
//! data inline.
//!
//! A packet is a map with `type` (0 to 4), `nsp`, `data` and `id`; JavaScript clients add keys of their own, which are
//! ignored. The parser encodes `undefined` as an extension, which is read as a missing value.
//!
//! Invariant: one iterative pass validates a message, no deeper than [`DEPTH_MAX`]. Left out: the choice of the parser, which
//! no packet tells.

mod convert;
mod token;

use std::borrow::Cow;

use rmp::encode;

pub use convert::{args_of_json, args_to_json, value_to_json};
use token::{Token, infallible, skip, token};

use super::args::MsgPackArgs;
use super::read::is_namespace;
use super::write::Unsendable;
use super::{ACK_ID_MAX, Args, Attachments, Packet, PacketBody, Raw, SocketError, SocketEvent, is_reserved};

/// The most levels of nested values.
pub const DEPTH_MAX: usize = 100;

/// The fields of a packet, as validated values.
#[derive(Debug, Default)]
struct Fields<'a> {
    kind: Option<&'a [u8]>,
    namespace: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
}

/// Reads a packet.
///
/// # Errors
/// When it is not msgpack, is nested too deeply, or breaks a rule of the protocol.
pub fn read(message: &[u8]) -> Result<Packet<'_>, SocketError> {
    let Fields { kind, namespace, data, id } = fields(message)?;
    let Some(Token::Unsigned(kind @ 0..=4)) = one(kind)? else { return Err(SocketError::UnknownType) };
    let namespace = match one(namespace)? {
        Some(Token::Text(name)) if is_namespace(name) => name,
        _ => return Err(SocketError::Namespace),
    };
    let id = match one(id)? {
        None => None,
        Some(Token::Unsigned(id)) if id < ACK_ID_MAX => Some(id),
        Some(_) => return Err(SocketError::AckId),
    };
    let content = one(data)?;
    let body = match kind {
        0 => {
            let is_object = matches!(content, None | Some(Token::Map(_)));
            let auth = data.filter(|_| content.is_some()).map(Raw::MsgPack);
            if !is_object {
                return Err(SocketError::ConnectPayload);
            }
            PacketBody::Connect { auth, query: None }
        }
        1 if content.is_none() => PacketBody::Disconnect,
        1 => return Err(SocketError::DisconnectPayload),
        2 => PacketBody::Event(event(id, data)?),
        3 => PacketBody::Ack { id, args: Args::MsgPack(list(data)?) },
        _ => match (content, data) {
            (Some(Token::Text(_) | Token::Map(_)), Some(data)) => {
                PacketBody::ConnectError(Raw::MsgPack(data))
            }
            _ => return Err(SocketError::ErrorPayload),
        },
    };
    Ok(Packet { namespace, body, attachments: Attachments::NONE })
}

/// Validates a message that is one packet.
fn fields(message: &[u8]) -> Result<Fields<'_>, SocketError> {
    let mut left = message;
    let Token::Map(count) = token(&mut left)? else { return Err(SocketError::MsgPack) };
    let mut fields = Fields::default();
    for _ in 0..count {
        let key = token(&mut left)?;
        let value = skip(&mut left, 1)?;
        let Token::Text(key) = key else { return Err(SocketError::MsgPack) };
        let place = match key {
            "type" => &mut fields.kind,
            "nsp" => &mut fields.namespace,
            "data" => &mut fields.data,
            "id" => &mut fields.id,
            _ => continue,
        };
        *place = Some(value);
    }
    if left.is_empty() { Ok(fields) } else { Err(SocketError::MsgPack) }
}

/// The first token of a value; `None` when the value is missing or undefined.
fn one(value: Option<&[u8]>) -> Result<Option<Token<'_>>, SocketError> {
    let Some(mut value) = value else { return Ok(None) };
    Ok(Some(token(&mut value)?).filter(|token| *token != Token::Undefined))
}

fn list(data: Option<&[u8]>) -> Result<MsgPackArgs<'_>, SocketError> {
    let Some(mut left) = data else { return Err(SocketError::NoList) };
    let Token::List(count) = token(&mut left)? else { return Err(SocketError::NoList) };
    Ok(MsgPackArgs::new(left, count as usize))
}

fn event<'a>(id: Option<u64>, data: Option<&'a [u8]>) -> Result<SocketEvent<'a>, SocketError> {
    let list = list(data)?;
    let mut left = list.bytes();
    let name = match if list.count() > 0 { Some(token(&mut left)?) } else { None } {
        Some(Token::Text(name)) if is_reserved(name) => return Err(SocketError::ReservedName),
        Some(Token::Text(name)) => Cow::Borrowed(name),
        Some(Token::Unsigned(number)) => Cow::Owned(number.to_string()),
        Some(Token::Signed(number)) => Cow::Owned(number.to_string()),
        _ => return Err(SocketError::EventName),
    };
    Ok(SocketEvent { name, id, args: Args::MsgPack(MsgPackArgs::new(left, list.count() - 1)) })
}

/// Appends the answer to CONNECT.
pub fn put_connected(out: &mut Vec<u8>, namespace: &str, sid: &str, pid: Option<&str>) {
    put_head(out, 0, namespace, None, true);
    infallible(encode::write_map_len(out, 1 + u32::from(pid.is_some())));
    put_field(out, "sid", sid);
    if let Some(pid) = pid {
        put_field(out, "pid", pid);
    }
}

/// Appends CONNECT_ERROR; `data` is one value of JSON for the application.
///
/// # Errors
/// When `data` is no JSON or nested too deeply; then nothing is appended.
pub fn put_connect_error(
    out: &mut Vec<u8>,
    namespace: &str,
    message: &str,
    data: Option<&str>,
) -> Result<(), SocketError> {
    let start = out.len();
    put_head(out, 4, namespace, None, true);
    infallible(encode::write_map_len(out, 1 + u32::from(data.is_some())));
    put_field(out, "message", message);
    if let Some(data) = data {
        infallible(encode::write_str(out, "data"));
        convert::put_value(out, data, Attachments::NONE).inspect_err(|_| out.truncate(start))?;
    }
    Ok(())
}

/// Appends DISCONNECT.
pub fn put_disconnect(out: &mut Vec<u8>, namespace: &str) {
    put_head(out, 1, namespace, None, false);
}

/// The reason why an event or an acknowledgement cannot be written in msgpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// Clients would refuse it.
    Unsendable(Unsendable),
    /// Its arguments are nested too deeply, or a placeholder refers to no attachment.
    Args(SocketError),
}

/// Appends an event. Arguments in JSON are converted, and attachments replace their placeholders; `offset` becomes the last
/// argument.
///
/// # Errors
/// When clients would refuse it, or its arguments cannot be converted; then nothing is appended.
pub fn put_event(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    (args, attachments): (Args<'_>, Attachments<'_>),
    offset: Option<&str>,
) -> Result<(), Unwritable> {
    if is_reserved(name) {
        return Err(Unwritable::Unsendable(Unsendable::ReservedName));
    }
    let start = out.len();
    put_head(out, 2, namespace, id, true);
    put_list_len(out, 1 + args.count() + usize::from(offset.is_some()));
    infallible(encode::write_str(out, name));
    put_args(out, start, args, attachments)?;
    if let Some(offset) = offset {
        infallible(encode::write_str(out, offset));
    }
    Ok(())
}

/// Appends the acknowledgement of the event with this id.
///
/// # Errors
/// When its arguments cannot be converted; then nothing is appended.
pub fn put_ack(
    out: &mut Vec<u8>,
    namespace: &str,
    id: u64,
    (args, attachments): (Args<'_>, Attachments<'_>),
) -> Result<(), Unwritable> {
    let start = out.len();
    put_head(out, 3, namespace, Some(id), true);
    put_list_len(out, args.count());
    put_args(out, start, args, attachments)
}

fn put_args(
    out: &mut Vec<u8>,
    start: usize,
    args: Args<'_>,
    attachments: Attachments<'_>,
) -> Result<(), Unwritable> {
    match args {
        Args::MsgPack(args) => out.extend_from_slice(args.bytes()),
        Args::Json(args) => args_of_json(out, args, attachments).map_err(|error| {
            out.truncate(start);
            Unwritable::Args(error)
        })?,
    }
    Ok(())
}

/// Appends the packet up to the value of `data`.
fn put_head(out: &mut Vec<u8>, kind: u8, namespace: &str, id: Option<u64>, has_data: bool) {
    infallible(encode::write_map_len(out, 2 + u32::from(id.is_some()) + u32::from(has_data)));
    infallible(encode::write_str(out, "type"));
    infallible(encode::write_pfix(out, kind));
    put_field(out, "nsp", namespace);
    if let Some(id) = id {
        infallible(encode::write_str(out, "id"));
        infallible(encode::write_uint(out, id));
    }
    if has_data {
        infallible(encode::write_str(out, "data"));
    }
}

fn put_field(out: &mut Vec<u8>, key: &str, value: &str) {
    infallible(encode::write_str(out, key));
    infallible(encode::write_str(out, value));
}

fn put_list_len(out: &mut Vec<u8>, count: usize) {
    // Each value takes a byte at least, and no message has that many bytes.
    infallible(encode::write_array_len(out, u32::try_from(count).unwrap_or(u32::MAX)));
}
