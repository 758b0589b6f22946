//! Bodies of requests, read once and borrowed throughout: what is published stays where it lies until it is shared.
//!
//! Fields that are not known are passed over, `null` is the same as nothing, as it is for Centrifugo; but `"data": null`
//! is a message. Of a field that stands twice the last counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

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

/// Whatever is there, also `null`.
fn any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
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
    pub(super) channels: Vec<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "any")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) b64data: Text<'a>,
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
    #[serde(borrow, default)]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) b64info: Text<'a>,
    #[serde(borrow, default)]
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
    /// A method that there is not.
    Unknown,
}

/// All of a body is UTF-8, also what is passed over.
fn utf8(body: &[u8]) -> Result<&str, serde_json::Error> {
    simdutf8::basic::from_utf8(body).map_err(serde::de::Error::custom)
}

/// Reads the body of a method, from whatever holds it.
trait Source<'de> {
    type Error;
    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error>;
}

struct Whole<'de>(&'de str);

impl<'de> Source<'de> for Whole<'de> {
    type Error = serde_json::Error;
    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error> {
        json::from_str(self.0)
    }
}

struct Entry<'m, M>(&'m mut M);

impl<'de, M: MapAccess<'de>> Source<'de> for Entry<'_, M> {
    type Error = M::Error;
    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error> {
        self.0.next_value()
    }
}

impl<'a> Command<'a> {
    /// The body of a request to `/api/METHOD`.
    pub(super) fn parse(method: &str, body: &'a [u8]) -> Result<Self, serde_json::Error> {
        Self::read(method, Whole(utf8(body)?))
    }

    fn read<S: Source<'a>>(method: &str, body: S) -> Result<Self, S::Error> {
        Ok(match method {
            "publish" => Self::Publish(body.read()?),
            "broadcast" => Self::Broadcast(body.read()?),
            "subscribe" => Self::Subscribe(body.read()?),
            "unsubscribe" => Self::Unsubscribe(body.read()?),
            "disconnect" => Self::Disconnect(body.read()?),
            "refresh" => Self::Refresh(body.read()?),
            "presence" => Self::Presence(body.read()?),
            "presence_stats" => Self::PresenceStats(body.read()?),
            "history" => Self::History(body.read()?),
            "history_remove" => Self::HistoryRemove(body.read()?),
            "channels" => Self::Channels(body.read()?),
            "info" => {
                body.read::<Empty>()?;
                Self::Info
            }
            "rpc" => Self::Rpc(body.read()?),
            _ => {
                body.read::<IgnoredAny>()?;
                Self::Unknown
            }
        })
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
            Self::Unknown => "",
        }
    }
}

/// In a batch: an object with the method's name and its body. The first method that there is counts, with the last of its bodies.
impl<'de> Deserialize<'de> for Command<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfOne;

        impl<'de> Visitor<'de> for OfOne {
            type Value = Command<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a method and its body")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut command = Command::Unknown;
                while let Some(method) = map.next_key::<Text<'de>>()? {
                    let counts = matches!(command, Command::Unknown) || *method == *command.name();
                    command = if counts {
                        Command::read(&method, Entry(&mut map))?
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        command
                    };
                }
                Ok(command)
            }
        }

        from.deserialize_map(OfOne)
    }
}

/// Of batch.
#[derive(Debug, Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub(super) commands: Vec<Command<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) parallel: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        json::from_str(utf8(body)?)
    }
}
