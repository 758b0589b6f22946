//! The context of a session's input, and the session's results for its shard.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::labels;
use super::{Action, ClaimRules, ClientId, Endpoints, LateAnswers, PacketRates, Secret, SocketIoOptions};
use crate::base::bucket::SharedBucket;
use crate::base::counters::ByPlace;
use crate::base::networks::Networks;
use crate::base::shared::Shared;
use crate::hub::reach::Reach;
use crate::hub::rooms::RoomMap;
use crate::proto::ws::{self, Kind, Press};

/// Maximum number of notes about one input.
const NOTES_MAX: usize = 16;

/// The context of a session's input.
#[derive(Debug)]
pub struct Context<'a> {
    /// Milliseconds of the shard's clock.
    pub now_ms: u64,
    /// The endpoint's part of the configuration.
    pub settings: &'a Settings,
    /// The id of the connection.
    pub client: ClientId,
    /// The client's user; empty when anonymous.
    pub user: &'a str,
    /// Identity of the client's verified certificate; `None` when none was requested or sent.
    pub certificate: Option<ClientCertificate<'a>>,
    /// Bytes for this connection, ready for the wire.
    pub out: &'a mut Vec<u8>,
    /// Payloads to insert between the bytes of `out` without a copy, in the order of their places.
    pub apart: &'a mut Vec<Splice>,
    /// Output of this connection that is queued from earlier, because the client has not read it yet.
    pub waiting_bytes: usize,
    /// Whether earlier commands of the client are still pending, so that the session must not reply ahead of them.
    pub is_behind: bool,
    /// A message of the input that is sent back from its place in the input, before `out`.
    pub in_place: Option<InPlace>,
    /// The session's requests to its shard.
    pub actions: &'a mut Vec<Action>,
    /// Whether forwarding headers of requests are trusted, and the address in the last ones.
    pub forwarded: Forwarded,
    /// How far what homes have sent has reached the connection.
    pub reach: &'a mut Reach,
    /// Compression and decompression.
    pub press: &'a mut Press,
    /// Counts of data messages received and sent.
    pub counts: Counts,
    /// Counters of errors and unsubscribe pushes.
    pub told: &'a Told,
    /// Events for the shard's log.
    pub notes: &'a mut Vec<Note>,
}

/// An event for the log of the shard: sessions do not log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A command was answered with an error.
    Failed {
        /// The client's number of the command.
        id: u32,
        /// The code of the error.
        code: u32,
        /// The message of the error.
        message: Box<str>,
    },
    /// A request was refused because of the origin of its page: the origin as it was sent, or several.
    ForeignOrigin(Box<str>),
    /// An event of a Socket.IO client was not handled, or not as it should be.
    EventRefused {
        /// Its name.
        event: Box<str>,
        /// The reason.
        why: Box<str>,
    },
}

/// A client's certificate, verified against the authorities of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate<'a> {
    /// The first alternative name that is a URI, a DNS name or an email address, else the subject's common name. Not
    /// empty, no control characters.
    pub name: &'a str,
    /// SHA-256 of the certificate.
    pub sha256: &'a [u8; 32],
}

impl Context<'_> {
    /// Counts an error in the reply to a command, and notes it.
    pub(super) fn note_error(&mut self, id: u32, code: u32, message: &str) {
        self.told.errors[labels::code_place(labels::ERRORS, code)].add(1);
        self.note(|| Note::Failed { id, code, message: message.into() });
    }

    /// Notes an event, unless the same input has caused many.
    pub(super) fn note(&mut self, note: impl FnOnce() -> Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note());
        }
    }

    /// Counts the end of a subscription that the client did not ask for.
    pub(super) fn count_unsubscribe(&self, code: u32) {
        self.told.unsubscribes[labels::code_place(labels::UNSUBSCRIBES, code)].add(1);
    }

    /// Whether there is no output.
    pub(super) fn is_silent(&self) -> bool {
        self.out.is_empty() && self.in_place.is_none()
    }
}

/// A payload that is not copied into its message.
#[derive(Clone, Debug)]
pub struct Splice {
    /// Number of bytes of `out` before it.
    pub at: usize,
    /// The payload.
    pub data: Shared,
}

/// A whole message in the shard's input that is sent back from there. A client's header is at least four bytes longer
/// than the server's, so there is room for that before the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Text or binary.
    pub kind: Kind,
    /// Range of the payload in the input.
    pub payload: Range<usize>,
}

/// Trust in the forwarding headers of requests, and their result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// Not trusted: any client may send them.
    #[default]
    Ignored,
    /// Trusted, because a trusted proxy sends them; no request has come yet.
    Trusted,
    /// A request of a trusted proxy came, with this client address, or without one.
    For(Option<IpAddr>),
}

/// Counters that sessions update themselves while they write.
#[derive(Debug, Default)]
pub struct Told {
    /// Errors in replies to clients, by their code.
    pub errors: ByPlace,
    /// Unsubscribe pushes, by their code.
    pub unsubscribes: ByPlace,
    /// Events of Socket.IO clients that were not handled, or not as they should be, by reason.
    pub events_refused: ByPlace,
    /// Rules that packets of Engine.IO and Socket.IO broke.
    pub packet_faults: ByPlace,
    /// CONNECT packets of Socket.IO clients that were refused, by reason, except those because of who the client is.
    pub connects_refused: ByPlace,
    /// Refused requests to an Engine.IO endpoint, by the number of the refusal.
    pub engine_refusals: ByPlace,
}

/// Counts of one session's work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Data messages received.
    pub messages_in: u64,
    /// Data messages sent.
    pub messages_out: u64,
    /// Pings of a flood that got no pong, because only the last one is answered.
    pub pings_unanswered: u64,
    /// Answered requests that opened no session.
    pub requests: u64,
    /// Answers to heartbeats.
    pub pongs: u64,
    /// Heartbeats that the session has sent by itself.
    pub pings: u64,
    /// Packets beyond the rates of their connection.
    pub limited_packets: u64,
}

/// The rate of new clients in the process. [`Default`] has no limit; clones share the tokens.
#[derive(Clone, Debug, Default)]
pub struct ConnectRate {
    bucket: SharedBucket,
    per_s: u32,
}

impl ConnectRate {
    /// At most `per_s` clients per second, 0 for no limit, with the tokens of `bucket`.
    pub(crate) fn new(bucket: &SharedBucket, per_s: u32) -> Self {
        Self { bucket: bucket.clone(), per_s }
    }

    /// Counts a client; returns false when it is one too many.
    pub(crate) fn take(&self, now_ms: u64) -> bool {
        self.per_s == 0 || self.bucket.take(now_ms.saturating_mul(1000), self.per_s)
    }
}

/// The sessions' part of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The endpoints and their access rules.
    pub endpoints: Endpoints,
    /// Maximum of bytes of a request head.
    pub head_bytes_max: usize,
    /// Maximum sizes of frames and messages.
    pub ws: ws::Limits,
    /// Maximum of bytes of a channel's name.
    pub channel_name_bytes_max: usize,
    /// Maximum of queued bytes per connection.
    pub outbox_bytes_max: usize,
    /// Whether calls are rate-limited, so that the shard must be asked before the handler.
    pub limits_calls: bool,
    /// Signs the session ids of posted commands.
    pub secret: Secret,
    /// Proxies whose PROXY and forwarding headers are trusted.
    pub trusted_proxies: Networks,
    /// Options of the Socket.IO endpoint.
    pub socketio: SocketIoOptions,
    /// Number of changes of its rules since the start.
    pub rules_version: u32,
    /// How the clients of its sockets are identified.
    pub claims: ClaimRules,
    /// The way of late answers about them; `None` where there are none.
    pub late: Option<Arc<dyn LateAnswers>>,
    /// The rates of its packets; `None` where there are none.
    pub packet_rates: Option<PacketRates>,
    /// The channels that are its rooms.
    pub rooms: RoomMap,
    /// The rate of new clients.
    pub connects: ConnectRate,
}
