//! The methods about sockets of Socket.IO: their bodies, calls and results.

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Duration, Instant};

use super::METHODS;
use super::answer::{Fields, put_each};
use super::body::Text;
use super::calls::{Wrong, answered};
use crate::hub::selector::Selector;
use crate::hub::socket_order::{SocketAnswer, SocketFacts};
use crate::node::{Acks, BadEmit, Failure, Node, Pending, SocketMessage};
use crate::proto::centrifuge::Error;
use crate::proto::centrifuge::json::{put_data, put_string};
use crate::proto::centrifuge::message::Data;
use crate::proto::json::or_default;
use crate::proto::payload;
use crate::proto::socketio::{ATTACHMENTS_SENT_MAX, JsonArgs};

/// Maximum time for the answers of clients, and the default, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 60_000;
const TIMEOUT_MS: u64 = 5_000;
/// Maximum number of ids of sockets without an answer in a result; they are counted beyond it.
const MISSING_MAX: usize = 1000;

/// A method about sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketMethod {
    Emit,
    EmitWithAck,
    Join,
    Leave,
    Disconnect,
    Fetch,
}

impl SocketMethod {
    /// All, in the order of their names at the end of [`METHODS`].
    const ALL: [Self; 6] =
        [Self::Emit, Self::EmitWithAck, Self::Join, Self::Leave, Self::Disconnect, Self::Fetch];
    /// The place of the first name.
    const FIRST: usize = METHODS.len() - Self::ALL.len();
}

/// The body of these methods.
#[derive(Debug, Deserialize)]
pub(super) struct Sockets<'a> {
    /// Empty for `/`.
    #[serde(borrow, default, deserialize_with = "or_default")]
    namespace: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    rooms: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    except: Vec<String>,
    /// For emit and emit_with_ack, with the next fields.
    #[serde(borrow, default, deserialize_with = "or_default")]
    event: Text<'a>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    attachments: Vec<Text<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    volatile: bool,
    /// For emit_with_ack.
    #[serde(default)]
    timeout_ms: Option<u64>,
    /// For sockets_join.
    #[serde(default, deserialize_with = "or_default")]
    join: Vec<String>,
    /// For sockets_leave.
    #[serde(default, deserialize_with = "or_default")]
    leave: Vec<String>,
    /// For disconnect_sockets.
    #[serde(default, deserialize_with = "or_default")]
    close: bool,
}

/// A method whose letters have been sent.
pub(super) enum BegunForSockets {
    Emitted(Pending<()>),
    /// And the time for the answers of clients.
    Asked(Pending<Acks>, Duration),
    Ordered(Pending<u64>),
    Fetched(Pending<Vec<SocketFacts>>),
}

impl From<BadEmit> for Wrong {
    fn from(bad: BadEmit) -> Self {
        let error = match bad {
            BadEmit::NotServed => Error::NOT_AVAILABLE,
            BadEmit::TooLarge => Error::LIMIT_EXCEEDED,
            BadEmit::Selector(_) | BadEmit::Event(_) | BadEmit::Args(_) => Error::BAD_REQUEST,
        };
        Self { error: error.into(), detail: bad.to_string().into() }
    }
}

impl SocketMethod {
    pub(super) fn named(name: &str) -> Option<Self> {
        let at = METHODS[Self::FIRST..].iter().position(|own| *own == name)?;
        Some(Self::ALL[at])
    }

    pub(super) fn name(self) -> &'static str {
        METHODS[Self::FIRST + self as usize]
    }

    /// Sends the letters of the method.
    pub(super) fn begin(self, node: &Node, body: &Sockets<'_>) -> Result<BegunForSockets, Wrong> {
        let to = body.selector();
        Ok(match self {
            Self::Emit => BegunForSockets::Emitted(node.emit(&to, &body.message()?)?),
            Self::EmitWithAck => {
                let timeout_ms = body.timeout_ms.unwrap_or(TIMEOUT_MS);
                if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
                    return Err(Wrong::bad("timeout_ms: not in 1–60000"));
                }
                let pending = node.emit_with_ack(&to, &body.message()?, timeout_ms)?;
                BegunForSockets::Asked(pending, Duration::from_millis(timeout_ms))
            }
            Self::Join if body.join.is_empty() => return Err(Wrong::bad("join: missing")),
            Self::Join => BegunForSockets::Ordered(node.sockets_join(&to, &body.join)?),
            Self::Leave if body.leave.is_empty() => return Err(Wrong::bad("leave: missing")),
            Self::Leave => BegunForSockets::Ordered(node.sockets_leave(&to, &body.leave)?),
            Self::Disconnect => BegunForSockets::Ordered(node.disconnect_sockets(&to, body.close)?),
            Self::Fetch => BegunForSockets::Fetched(node.fetch_sockets(&to)?),
        })
    }
}

impl Sockets<'_> {
    fn selector(&self) -> Selector {
        let namespace = if self.namespace.is_empty() { "/" } else { &*self.namespace };
        Selector { rooms: self.rooms.clone(), except: self.except.clone(), ..Selector::of(namespace) }
    }

    fn message(&self) -> Result<SocketMessage, Wrong> {
        if self.event.is_empty() {
            return Err(Wrong::bad("event: missing"));
        }
        let args = match self.args.map(RawValue::get) {
            None | Some("null") => JsonArgs::NONE,
            Some(list) => {
                JsonArgs::of_list(list).map_err(|_| Wrong::bad("args: not a list, or nested too deeply"))?
            }
        };
        if self.attachments.len() > ATTACHMENTS_SENT_MAX {
            return Err(Wrong::bad("attachments: more than 10, which clients refuse"));
        }
        let decode = |text: &Text<'_>| {
            payload::decode(text).map_err(|flaw| Wrong::bad(format!("attachments: {flaw}")))
        };
        let attachments = self.attachments.iter().map(decode).collect::<Result<_, _>>()?;
        let message = SocketMessage::raw(&self.event, args, attachments)?;
        Ok(if self.volatile { message.volatile() } else { message })
    }
}

impl BegunForSockets {
    /// Waits for the outcome, and writes the result.
    pub(super) async fn finish(self, deadline: Instant, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self {
            Self::Emitted(pending) => {
                outcome(deadline, pending).await?;
                Fields::begin(out).end();
            }
            Self::Asked(pending, time) => put_acks(out, &outcome(deadline + time, pending).await?),
            Self::Ordered(pending) => {
                let count = outcome(deadline, pending).await?;
                let mut fields = Fields::begin(out);
                fields.number("num_sockets", count);
                fields.end();
            }
            Self::Fetched(pending) => put_sockets(out, &outcome(deadline, pending).await?),
        }
        Ok(())
    }
}

async fn outcome<T>(deadline: Instant, pending: Pending<T>) -> Result<T, Wrong> {
    answered(deadline, pending).await.map_err(|failure| {
        let is_limit = failure == Failure::LimitExceeded;
        let detail = if is_limit { "too many sockets for one answer: name rooms" } else { "" };
        Wrong { error: failure.into(), detail: detail.into() }
    })
}

fn put_acks(out: &mut Vec<u8>, acks: &Acks) {
    let Acks { answers, missing, is_cut } = acks;
    let mut fields = Fields::begin(out);
    put_list(fields.field("answers"), answers, |out, answer: &SocketAnswer| {
        out.extend_from_slice(answer.data.as_bytes());
    });
    put_list(fields.field("sockets"), answers, |out, answer| put_string(out, &answer.id));
    if answers.iter().any(|answer| !answer.attachments.is_empty()) {
        put_list(fields.field("attachments"), answers, |out, answer| {
            put_list(out, &answer.attachments, |out, data| put_data(out, Data::Binary(data)));
        });
    }
    put_list(fields.field("missing"), missing.iter().take(MISSING_MAX), |out, id| put_string(out, id));
    fields.number("num_missing", missing.len() as u64);
    if *is_cut {
        fields.field("truncated").extend_from_slice(b"true");
    }
    fields.end();
}

fn put_sockets(out: &mut Vec<u8>, sockets: &[SocketFacts]) {
    let mut fields = Fields::begin(out);
    put_list(fields.field("sockets"), sockets, put_socket);
    fields.end();
}

fn put_socket(out: &mut Vec<u8>, facts: &SocketFacts) {
    let mut fields = Fields::begin(out);
    fields.text("id", &facts.id);
    put_list(fields.field("rooms"), &facts.rooms, |out, room| put_string(out, room));
    fields.text("client", &facts.client);
    fields.text("user", &facts.user);
    fields.payload_unless_empty("info", &facts.info);
    let mut handshake = Fields::begin(fields.field("handshake"));
    handshake.text("address", &facts.address);
    handshake.text("query", &facts.query);
    handshake.number("issued", facts.issued_ms);
    handshake.end();
    fields.text("transport", if facts.is_polled { "polling" } else { "websocket" });
    if !facts.data.is_empty() {
        fields.field("data").extend_from_slice(facts.data.as_bytes());
    }
    fields.end();
}

fn put_list<T>(out: &mut Vec<u8>, all: impl IntoIterator<Item = T>, put: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    put_each(out, all, put);
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::ANSWER_MAX;
    use crate::shard::desk::ANSWER_MS_MAX;

    #[test]
    fn each_method_has_its_name() {
        for (method, name) in [
            (SocketMethod::Emit, "socketio_emit"),
            (SocketMethod::EmitWithAck, "socketio_emit_with_ack"),
            (SocketMethod::Join, "socketio_sockets_join"),
            (SocketMethod::Leave, "socketio_sockets_leave"),
            (SocketMethod::Disconnect, "socketio_disconnect_sockets"),
            (SocketMethod::Fetch, "socketio_fetch_sockets"),
        ] {
            assert_eq!((SocketMethod::named(name), method.name()), (Some(method), name));
        }
        assert_eq!(SocketMethod::named("refresh"), None);
    }

    #[test]
    fn shards_wait_longer_than_the_latest_answer_takes() {
        let latest = ANSWER_MAX + Duration::from_millis(TIMEOUT_MS_MAX);
        assert!(latest < Duration::from_millis(ANSWER_MS_MAX), "{latest:?}");
    }
}
