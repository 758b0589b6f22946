//! What a session is given with each input, and what it leaves there for its shard.

use std::net::IpAddr;
use std::ops::Range;

use super::{Action, ClientId, Endpoints, Secret};
use crate::base::networks::Networks;
use crate::base::shared::Shared;
use crate::proto::ws::{self, Kind, Press};

/// What a session is given with each input.
#[derive(Debug)]
pub struct Context<'a> {
    /// Milliseconds of the shard's clock.
    pub now_ms: u64,
    /// What the endpoint needs to know of the configuration.
    pub settings: &'a Settings,
    /// Identifies the connection in this process, for as long as it lives.
    pub client: ClientId,
    /// Who the client is; empty when anonymous.
    pub user: &'a str,
    /// What the client's verified certificate says; `None` when it was asked for none, or gave none.
    pub certificate: Option<ClientCertificate<'a>>,
    /// Bytes for this connection, ready for the wire.
    pub out: &'a mut Vec<u8>,
    /// What belongs between the bytes of `out` and is sent from where it lies, in the order of its places.
    pub apart: &'a mut Vec<Splice>,
    /// Bytes for this connection that were queued before, because it did not take them yet.
    pub waiting_bytes: usize,
    /// Commands of the client are not done that go before what the session may answer at once.
    pub is_behind: bool,
    /// A message of the input that goes back as it lies there, before `out`.
    pub in_place: Option<InPlace>,
    /// What the session asks for.
    pub actions: &'a mut Vec<Action>,
    /// Whether it counts what a request says of whom it was forwarded for, and what the last one said.
    pub forwarded: Forwarded,
    /// Compresses and inflates.
    pub press: &'a mut Press,
    /// Data messages received and sent, for the counters.
    pub counts: Counts,
}

/// A client's certificate, verified against the authorities of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate<'a> {
    /// Its first alternative name that is a URI, a DNS name or an email address, else the subject's common name. Not empty,
    /// no control characters.
    pub name: &'a str,
    /// SHA-256 of the certificate.
    pub sha256: &'a [u8; 32],
}

impl Context<'_> {
    /// Whether nothing waits to be sent.
    pub(super) fn is_silent(&self) -> bool {
        self.out.is_empty() && self.in_place.is_none()
    }
}

/// A payload that is not copied into a message.
#[derive(Clone, Debug)]
pub struct Splice {
    /// How many bytes of `out` stand before it.
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
    /// Where the payload lies in the input.
    pub payload: Range<usize>,
}

/// What requests say of whom they were forwarded for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// It does not count: who sends them may be anybody.
    #[default]
    Ignored,
    /// A trusted proxy sends them; none has come yet.
    Trusted,
    /// A request of a trusted proxy came, for the client at this address, or without a word on that.
    For(Option<IpAddr>),
}

/// What a session counts while it works.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Data messages received.
    pub messages_in: u64,
    /// Data messages sent.
    pub messages_out: u64,
    /// Pings of a flood that only the last of was answered.
    pub pings_unanswered: u64,
    /// Requests answered that opened no session.
    pub requests: u64,
}

/// The part of the configuration that sessions need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which endpoints there are, and who may come to them.
    pub endpoints: Endpoints,
    /// Bytes of a request head.
    pub head_bytes_max: usize,
    /// Sizes of frames and messages.
    pub ws: ws::Limits,
    /// Bytes of a channel's name.
    pub channel_name_bytes_max: usize,
    /// Bytes that may wait for one connection.
    pub outbox_bytes_max: usize,
    /// Whether calls are counted, so that the shard must be asked before the handler.
    pub limits_calls: bool,
    /// Signs the ids by which posted commands find their connection.
    pub secret: Secret,
    /// Proxies that may stand between the client and the one that connected here.
    pub trusted_proxies: Networks,
}
