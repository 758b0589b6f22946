//! Bodies of requests, read once and borrowed throughout: what is published stays where it lies until it is shared.
//!
//! Fields that are not known are passed over, `null` is the same as nothing, as it is for Centrifugo; but `"data": null`
//! is a message. Of a field that stands twice the last counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::METHODS;
use crate::proto::json::{self, NumericDate, or_default};

/// A string, borrowed where nothing in it is escaped.
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

/// The name of a channel among others. One that cannot be read is the empty one, which no channel has.
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

/// Whatever is there, also `null`.
pub(super) fn any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// Tags, of which one that is `null` is empty.
fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Box<str>, Box<str>>, D::Error> {
    let told: BTreeMap<Box<str>, Option<Box<str>>> = or_default(from)?;
    Ok(told.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

/// Of publish, and of broadcast.
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

/// Of all that is about connections. A user must be named, unless one connection is: an empty one is the anonymous user.
#[derive(Debug, Deserialize)]
pub(super) struct Connections<'a> {
    #[serde(borrow, default)]
    pub(super) user: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) client: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) session: Text<'a>,
    /// Of subscribe and unsubscribe.
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) channel: Text<'a>,
    /// Of subscribe, as the next ones.
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
    /// Of subscribe and refresh.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expire_at: NumericDate,
    /// Of refresh.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expired: bool,
    /// Of disconnect, as the next one.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) whitelist: Vec<String>,
    #[serde(borrow, default)]
    pub(super) disconnect: Option<Disconnect<'a>>,
}

/// With which words connections are closed.
#[derive(Debug, Deserialize)]
pub(super) struct Disconnect<'a> {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) code: u32,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) reason: Text<'a>,
}

/// What a subscription has otherwise than its channel.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Overrides {
    pub(super) presence: Option<Switch>,
    pub(super) join_leave: Option<Switch>,
    pub(super) force_push_join_leave: Option<Switch>,
    pub(super) force_positioning: Option<Switch>,
    pub(super) force_recovery: Option<Switch>,
}

/// A boolean that can be missing, as Protobuf writes it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Switch {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) value: bool,
}

/// A place in a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamPosition<'a> {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) offset: u64,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) epoch: Text<'a>,
}

/// Of all that asks a channel.
#[derive(Debug, Deserialize)]
pub(super) struct Channel<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) channel: Text<'a>,
    /// Of history, as the next ones.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) limit: i32,
    #[serde(borrow, default)]
    pub(super) since: Option<StreamPosition<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reverse: bool,
}

/// Of channels.
#[derive(Debug, Deserialize)]
pub(super) struct Channels<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) pattern: Text<'a>,
}

/// Of info.
#[derive(Debug, Deserialize)]
pub(super) struct Empty {}

/// Of rpc.
#[derive(Debug, Deserialize)]
pub(super) struct Rpc<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) method: Text<'a>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
}

/// A body, by its method.
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
    /// A method that there is not: its name.
    Unknown(String),
}

/// Fields that are told of one body, of those that are not known.
const UNKNOWN_MAX: usize = 16;

/// The names of fields that are not known, by where they stand.
pub(super) type Unknown = Vec<String>;

/// The text of a body. All of it is UTF-8, also what is passed over, and it begins as an object does; `null` is one without
/// fields.
///
/// # Errors
/// When it is not.
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

/// Whether it is JSON that could not be read as a method's body.
///
/// # Errors
/// When it is not even that.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ())
}

/// Reads a value. What cannot be read is told by its place; so are fields that are not known.
fn read<'de, T: Deserialize<'de>>(text: &'de str, unknown: &mut Unknown) -> Result<T, String> {
    let note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < UNKNOWN_MAX {
            // A value that may be missing is a place of its own there.
            unknown.push(path.to_string().replace(".?", ""));
        }
    };
    if !text.trim_ascii_start().starts_with('{') {
        return Err("not an object".to_owned());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_ignored::deserialize(json::in_any_case(&mut json), note);
    let value = value.and_then(|value| json.end().map(|()| value));
    // What a key that stands twice stops is read all the same.
    value.or_else(|_| json::from_str(text)).map_err(|error| {
        // The place costs more to know, so it is looked for when it is asked for.
        let mut json = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(json::in_any_case(&mut json)) {
            Err(told) if told.path().iter().next().is_some() => {
                format!("{}: {}", told.path(), words(told.inner()))
            }
            Err(_) | Ok(_) => words(&error),
        }
    })
}

/// What an error says, without line and column: in a batch they would be those of a part.
fn words(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.rsplit_once(" at line ").map_or(told.as_str(), |(words, _)| words).to_owned()
}

impl<'a> Command<'a> {
    /// The body of a request to `/api/METHOD`, or of a command in a batch.
    ///
    /// # Errors
    /// What cannot be read.
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
            other => Self::Unknown(other.to_owned()),
        })
    }

    /// A command of a batch: an object with the method's name and its body. The first method that there is counts.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn parse_entry(entry: &'a RawValue, unknown: &mut Unknown) -> Result<Self, String> {
        let Entry(fields) = read(entry.get(), unknown)?;
        let known = |name: &str| METHODS.into_iter().find(|method| method.eq_ignore_ascii_case(name));
        let is_method = |(name, body): &&(Text<'a>, &RawValue)| known(name).is_some() && body.get() != "null";
        let Some((name, _)) = fields.iter().find(is_method) else {
            let none = fields.first().map(|(name, _)| name.to_string());
            return Ok(Self::Unknown(none.unwrap_or_default()));
        };
        // Of a method that stands twice, the last body counts.
        let body =
            fields.iter().rfind(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, body)| body.get());
        Self::parse(known(name).unwrap_or_default(), body.unwrap_or_default(), unknown)
    }

    /// Its name, as replies in a batch repeat it; empty for a method that there is not.
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
            Self::Unknown(_) => "",
        }
    }
}

/// The fields of an object, in their order.
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

/// Of batch.
#[derive(Debug, Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) commands: Vec<&'a RawValue>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) parallel: bool,
}

impl<'a> Batch<'a> {
    /// # Errors
    /// What cannot be read, but for the commands: they fail by themselves.
    pub(super) fn parse(body: &'a str, unknown: &mut Unknown) -> Result<Self, String> {
        read(body, unknown)
    }
}
