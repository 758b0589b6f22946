//! Maps events to publications of a channel, and publications to events.
//!
//! Other protocols of a channel know data and no events. So the only argument of an event with the channel's usual name is
//! published as it is, in JSON or as binary data. Any other event is published as an envelope, `{"event":name,"args":[…]}`,
//! with `"attachments":[…]` in base64 when it has binary data.
//!
//! Invariant: [`event_of`] is the inverse of [`put_publication`]. An argument that has the form of an envelope is put into
//! an envelope, so that it is not mistaken for one. That holds for events that may be sent: with at most 10 attachments.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::args::{Args, JsonArgs};
use super::attachments::{AttachmentStore, Attachments};
use super::placeholder::{self, blank};
use super::read::name;
use super::{
    ATTACHMENTS_SENT_MAX, Packet, PacketBody, SocketError, SocketEvent, SocketProtocol, is_reserved, read,
};
use crate::proto::engine::{append_base64, put_base64_of, put_string};

/// The arguments of an event whose only argument is binary.
const SOLE_PLACEHOLDER: &str = "{\"_placeholder\":true,\"num\":0}";

/// The data of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataOf<'a> {
    /// One value of JSON.
    Json(&'a str),
    /// Any bytes.
    Binary(&'a [u8]),
}

/// The kind of data that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedAs {
    /// One value of JSON, on one line.
    Json,
    /// Any bytes.
    Binary,
}

/// Appends the data of the publication for an event, in a channel with this usual name of events. Permissions are the
/// caller's to check; an event that asks for an acknowledgement is no publication.
pub fn put_publication(
    out: &mut Vec<u8>,
    event_name: &str,
    args: JsonArgs<'_>,
    attachments: Attachments<'_>,
    usual_name: &str,
) -> PublishedAs {
    let start = out.len();
    let sole = args.sole().filter(|_| event_name == usual_name);
    match (sole, attachments.count()) {
        (Some(arg), 1) if placeholder::at(arg, 0).is_some_and(|found| found.end == arg.len()) => {
            out.extend(attachments.iter().flatten());
            return PublishedAs::Binary;
        }
        (Some(arg), 0) if envelope(arg).is_none() => out.extend_from_slice(arg.as_bytes()),
        _ => put_envelope(out, event_name, args, attachments),
    }
    // Other protocols separate messages by line ends. In JSON those occur between tokens only.
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    PublishedAs::Json
}

/// An event as a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its kind.
    pub kind: PublishedAs,
    /// Its data.
    pub data: Vec<u8>,
    /// The name of the event.
    pub event: Box<str>,
}

/// The publication for an event that is given as its packet, in a channel with this usual name of events.
///
/// # Errors
/// When the arguments are nested too deeply.
pub fn publication_of(
    packet: &str,
    attachments: Attachments<'_>,
    usual_name: &str,
) -> Result<Published, SocketError> {
    let (Packet { body, .. }, _) = read(SocketProtocol::V5, packet, ATTACHMENTS_SENT_MAX)?;
    let PacketBody::Event(SocketEvent { name, args: Args::Json(args), .. }) = body else {
        return Err(SocketError::UnknownType);
    };
    let mut data = Vec::new();
    let kind = put_publication(&mut data, &name, args, attachments, usual_name);
    Ok(Published { kind, data, event: (&*name).into() })
}

fn put_envelope(out: &mut Vec<u8>, event_name: &str, args: JsonArgs<'_>, attachments: Attachments<'_>) {
    out.extend_from_slice(b"{\"event\":");
    put_string(out, event_name);
    out.extend_from_slice(b",\"args\":[");
    out.extend_from_slice(args.text().as_bytes());
    out.push(b']');
    for (index, data) in attachments.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"attachments\":[\"" } else { b",\"" });
        put_base64_of(out, data);
        out.push(b'"');
    }
    out.extend_from_slice(if attachments.count() > 0 { b"]}" } else { b"}" });
}

/// The event of a publication.
#[derive(Clone, Debug, PartialEq)]
pub struct EventOf<'a> {
    /// Its name, which is not reserved unless the channel's usual name is.
    pub name: Cow<'a, str>,
    /// Its arguments.
    pub args: JsonArgs<'a>,
    stored: AttachmentStore,
    bare: Option<&'a [u8]>,
}

impl EventOf<'_> {
    /// The attachments to which placeholders in the arguments refer.
    pub fn attachments(&self) -> Attachments<'_> {
        self.bare.map_or_else(|| self.stored.get(), Attachments::one)
    }
}

/// The event of a publication, in a channel with this usual name of events. It can be sent, unless that name is reserved.
pub fn event_of<'a>(data: DataOf<'a>, usual_name: &'a str) -> EventOf<'a> {
    let name = Cow::Borrowed(usual_name);
    match data {
        DataOf::Binary(data) => {
            let args = JsonArgs::new(SOLE_PLACEHOLDER, 1);
            EventOf { name, args, stored: AttachmentStore::default(), bare: Some(data) }
        }
        DataOf::Json(data) => envelope(data).unwrap_or_else(|| {
            let args = JsonArgs::new(data, 1);
            EventOf { name, args, stored: AttachmentStore::default(), bare: None }
        }),
    }
}

/// The event of an envelope; `None` for any other value.
fn envelope(data: &str) -> Option<EventOf<'_>> {
    // Quick exit for values that are no objects.
    blank(blank(data).strip_prefix('{')?).starts_with('"').then_some(())?;
    let Envelope { event, args, attachments } = serde_json::from_str(data).ok()?;
    let name = event.starts_with('"').then(|| name(event).ok())?.filter(|name| !is_reserved(name))?;
    let args = JsonArgs::of_list(args).ok()?;
    let mut stored = AttachmentStore::default();
    if let Some(list) = attachments {
        let list =
            JsonArgs::of_list(list).ok().filter(|list| (1..=ATTACHMENTS_SENT_MAX).contains(&list.count()))?;
        for item in list.items() {
            let text = item.get().strip_prefix('"')?.strip_suffix('"')?;
            stored.push_with(|data| append_base64(text, data))?;
        }
        placeholder::check(args.text(), 0..list.count()).ok()?;
    }
    Some(EventOf { name, args, stored, bare: None })
}

/// The fields of an envelope; each occurs once, and there are no others.
struct Envelope<'a> {
    event: &'a str,
    args: &'a str,
    attachments: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Event,
    Args,
    Attachments,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event and its arguments")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let (mut event, mut args, mut attachments) = (None, None, None);
                while let Some(field) = map.next_key::<Field>()? {
                    let (place, name) = match field {
                        Field::Event => (&mut event, "event"),
                        Field::Args => (&mut args, "args"),
                        Field::Attachments => (&mut attachments, "attachments"),
                    };
                    if place.replace(map.next_value::<&'de RawValue>()?.get()).is_some() {
                        return Err(A::Error::duplicate_field(name));
                    }
                }
                let event = event.ok_or_else(|| A::Error::missing_field("event"))?;
                let args = args.ok_or_else(|| A::Error::missing_field("args"))?;
                Ok(Envelope { event, args, attachments })
            }
        }

        from.deserialize_map(OfObject)
    }
}
