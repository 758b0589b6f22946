//! Bodies of requests, parsed once and borrowed: published data is not copied until it is shared.
//!
//! Unknown fields are ignored and `null` is the same as a missing field, as in Centrifugo; but `"data": null` is a
//! message. Of a repeated field the last counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::METHODS;
use super::sockets::{SocketMethod, Sockets};
use crate::proto::json::{self, NumericDate, or_default};

/// A string, borrowed if nothing in it is escaped.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

/// The name of a channel in a list. An invalid name becomes the empty one, which no channel has.
#[derive(Debug, Default)]
pub(super) struct Name<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(from)?.get();
        Ok(Self(serde_json::from_str(text).unwrap_or_default()))
    }
}

impl AsRef<str> for Name<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Any value, `null` included.
pub(super) fn any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// Tags; a tag with the value `null` is empty.
fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Box<str>, Box<str>>, D::Error> {
    let told: BTreeMap<Box<str>, Option<Box<str>>> = or_default(from)?;
    Ok(told.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

/// The body of publish and broadcast.
#[derive(Debug, Deserialize)]
pub(super) struct Publish<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) channel: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) channels: Vec<Name<'a>>,
    #[serde(borrow, default, deserialize_with = "any")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) b64data: Option<Text<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) skip_history: bool,
    #[serde(default, deserialize_with = "tags")]
    pub(super) tags: BTreeMap<Box<str>, Box<str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) idempotency_key: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) delta: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) version: u64,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) version_epoch: Text<'a>,
}

/// The body of methods about connections. A user must be given, unless a connection is: the empty user is the
/// anonymous one.
#[derive(Debug, Deserialize)]
pub(super) struct Connections<'a> {
    #[serde(borrow, default)]
    pub(super) user: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) client: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) session: Text<'a>,
    /// For subscribe and unsubscribe.
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) channel: Text<'a>,
    /// For subscribe, with the next fields.
    #[serde(borrow, default, deserialize_with = "any")]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) b64info: Text<'a>,
    #[serde(borrow, default, deserialize_with = "any")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) b64data: Text<'a>,
    #[serde(borrow, default)]
    pub(super) recover_since: Option<StreamPosition<'a>>,
    #[serde(default, rename = "override", deserialize_with = "or_default")]
    pub(super) overrides: Overrides,
    /// For subscribe and refresh.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expire_at: NumericDate,
    /// For refresh.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expired: bool,
    /// For disconnect, with the next field.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) whitelist: Vec<String>,
    #[serde(borrow, default)]
    pub(super) disconnect: Option<Disconnect<'a>>,
}

/// The code and reason with which connections are closed.
#[derive(Debug, Deserialize)]
pub(super) struct Disconnect<'a> {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) code: u32,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) reason: Text<'a>,
}

/// Options in which a subscription differs from its channel.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Overrides {
    pub(super) presence: Option<Switch>,
    pub(super) join_leave: Option<Switch>,
    pub(super) force_push_join_leave: Option<Switch>,
    pub(super) force_positioning: Option<Switch>,
    pub(super) force_recovery: Option<Switch>,
}

/// A boolean that can be missing, in the form of Protobuf.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Switch {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) value: bool,
}

/// A position in a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamPosition<'a> {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) offset: u64,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) epoch: Text<'a>,
}

/// The body of methods about one channel.
#[derive(Debug, Deserialize)]
pub(super) struct Channel<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) channel: Text<'a>,
    /// For history, with the next fields.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) limit: i32,
    #[serde(borrow, default)]
    pub(super) since: Option<StreamPosition<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reverse: bool,
}

/// The body of channels.
#[derive(Debug, Deserialize)]
pub(super) struct Channels<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) pattern: Text<'a>,
}

/// The body of info.
#[derive(Debug, Deserialize)]
pub(super) struct Empty {}

/// The body of rpc.
#[derive(Debug, Deserialize)]
pub(super) struct Rpc<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) method: Text<'a>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
}

/// A parsed body, by its method.
#[derive(Debug)]
pub(super) enum Command<'a> {
    Publish(Box<Publish<'a>>),
    Broadcast(Box<Publish<'a>>),
    Subscribe(Box<Connections<'a>>),
    Unsubscribe(Box<Connections<'a>>),
    Disconnect(Box<Connections<'a>>),
    Refresh(Box<Connections<'a>>),
    Presence(Channel<'a>),
    PresenceStats(Channel<'a>),
    History(Channel<'a>),
    HistoryRemove(Channel<'a>),
    Channels(Channels<'a>),
    Info,
    Rpc(Rpc<'a>),
    /// A method about sockets, with its body.
    Sockets(SocketMethod, Box<Sockets<'a>>),
    /// An unknown method, with its name.
    Unknown(String),
}

/// Maximum number of unknown fields that are reported for one body.
const UNKNOWN_MAX: usize = 16;

/// The paths of unknown fields.
pub(super) type Unknown = Vec<String>;

/// Checks the text of a body: all of it must be UTF-8, ignored parts included, and it must begin like an object;
/// `null` is an object without fields.
///
/// # Errors
/// When the check fails.
pub(super) fn text(body: &[u8]) -> Result<&str, serde_json::Error> {
    let text = simdutf8::basic::from_utf8(body).map_err(serde_json::Error::custom)?;
    if text.trim_ascii() == "null" {
        return Ok("{}");
    }
    if text.trim_ascii_start().starts_with('{') {
        Ok(text)
    } else {
        Err(serde_json::Error::custom("a body is a JSON object"))
    }
}

/// Checks whether a body that could not be read is JSON.
///
/// # Errors
/// When it is not JSON.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ())
}

/// Parses a value. Errors and unknown fields are reported with their paths.
fn read<'de, T: Deserialize<'de>>(text: &'de str, unknown: &mut Unknown) -> Result<T, String> {
    let note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < UNKNOWN_MAX {
            // For an optional value, the path contains an extra `?`.
            unknown.push(path.to_string().replace(".?", ""));
        }
    };
    if !text.trim_ascii_start().starts_with('{') {
        return Err("not an object".to_owned());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_ignored::deserialize(json::in_any_case(&mut json), note);
    let value = value.and_then(|value| json.end().map(|()| value));
    // A repeated key makes the first parser fail, but not the second.
    value.or_else(|_| json::from_str(text)).map_err(|error| {
        // Finding the path of an error costs more, so it happens only after one.
        let mut json = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(json::in_any_case(&mut json)) {
            Err(told) if told.path().iter().next().is_some() => {
                format!("{}: {}", told.path(), words(told.inner()))
            }
            Err(_) | Ok(_) => words(&error),
        }
    })
}

/// The text of an error, without line and column: in a batch they would be those of a part.
fn words(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.rsplit_once(" at line ").map_or(told.as_str(), |(words, _)| words).to_owned()
}

impl<'a> Command<'a> {
    /// Parses the body of a request to `/api/METHOD`, or of a command in a batch.
    ///
    /// # Errors
    /// The defect of the body.
    pub(super) fn parse(method: &str, body: &'a str, unknown: &mut Unknown) -> Result<Self, String> {
        Ok(match method {
            "publish" => Self::Publish(read(body, unknown)?),
            "broadcast" => Self::Broadcast(read(body, unknown)?),
            "subscribe" => Self::Subscribe(read(body, unknown)?),
            "unsubscribe" => Self::Unsubscribe(read(body, unknown)?),
            "disconnect" => Self::Disconnect(read(body, unknown)?),
            "refresh" => Self::Refresh(read(body, unknown)?),
            "presence" => Self::Presence(read(body, unknown)?),
            "presence_stats" => Self::PresenceStats(read(body, unknown)?),
            "history" => Self::History(read(body, unknown)?),
            "history_remove" => Self::HistoryRemove(read(body, unknown)?),
            "channels" => Self::Channels(read(body, unknown)?),
            "info" => {
                read::<Empty>(body, unknown)?;
                Self::Info
            }
            "rpc" => Self::Rpc(read(body, unknown)?),
            other => match SocketMethod::named(other) {
                Some(method) => Self::Sockets(method, read(body, unknown)?),
                None => Self::Unknown(other.to_owned()),
            },
        })
    }

    /// Parses a command of a batch: an object with the method's name and its body. The first known method counts.
    ///
    /// # Errors
    /// The defect of the command.
    pub(super) fn parse_entry(entry: &'a RawValue, unknown: &mut Unknown) -> Result<Self, String> {
        let Entry(fields) = read(entry.get(), unknown)?;
        let known = |name: &str| METHODS.into_iter().find(|method| method.eq_ignore_ascii_case(name));
        let is_method = |(name, body): &&(Text<'a>, &RawValue)| known(name).is_some() && body.get() != "null";
        let Some((name, _)) = fields.iter().find(is_method) else {
            let none = fields.first().map(|(name, _)| name.to_string());
            return Ok(Self::Unknown(none.unwrap_or_default()));
        };
        // Of a repeated method, the last body counts.
        let body =
            fields.iter().rfind(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, body)| body.get());
        Self::parse(known(name).unwrap_or_default(), body.unwrap_or_default(), unknown)
    }

    /// The method's name, as repeated in the replies of a batch; empty for an unknown method.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::Broadcast(_) => "broadcast",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Disconnect(_) => "disconnect",
            Self::Refresh(_) => "refresh",
            Self::Presence(_) => "presence",
            Self::PresenceStats(_) => "presence_stats",
            Self::History(_) => "history",
            Self::HistoryRemove(_) => "history_remove",
            Self::Channels(_) => "channels",
            Self::Info => "info",
            Self::Rpc(_) => "rpc",
            Self::Sockets(method, _) => method.name(),
            Self::Unknown(_) => "",
        }
    }
}

/// The fields of an object, in order.
struct Entry<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a method and its body")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Entry(fields))
            }
        }

        from.deserialize_map(Fields)
    }
}

/// The body of batch.
#[derive(Debug, Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) commands: Vec<&'a RawValue>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) parallel: bool,
}

impl<'a> Batch<'a> {
    /// # Errors
    /// The defect of the body; errors in a command fail only that command.
    pub(super) fn parse(body: &'a str, unknown: &mut Unknown) -> Result<Self, String> {
        read(body, unknown)
    }
}
