//! The application's side of Socket.IO: the trait [`Events`], and the plain values of its methods.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::rooms::Place;
use super::socket::EmitError;
use super::ticket::{LateAnswers, Later, Ticket, TicketPlace};
use super::{Socket, SocketId};
use crate::hub::socket_order::SocketAnswer;
use crate::proto::http::{Refusal, Request, Status};
use crate::proto::socketio::{Attachments, JsonArgs};
use crate::session::raw::{Handler, Message, Peer};
use crate::session::{ClientCertificate, ClientId, CloseReason};

/// A Socket.IO application: one value per shard, called in that shard's thread, never concurrently. Give it to a server
/// as [`SocketIo`]. [`Routes`](super::Routes) is one with a table of functions.
///
/// The events of one socket are handled one after the other, in the order in which the client sent them. A method must
/// not block: all connections of the shard wait for it.
pub trait Events: Send + 'static {
    /// The application's data of each socket, stored in its connection.
    type State: Send + 'static;

    /// Called when a client asks to connect to a namespace: the place of a middleware in the reference.
    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<Self::State>;

    /// Called when the client was told that it is connected: 10 ms later, or before its first event.
    ///
    /// # Errors
    /// How the socket ends.
    fn connected(&mut self, _state: &mut Self::State, _socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        Ok(())
    }

    /// Called for an event of the client.
    ///
    /// # Errors
    /// How the socket ends.
    fn event(
        &mut self,
        state: &mut Self::State,
        event: Event<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending>;

    /// Called for the answer to an event that was sent by [`Socket::emit_for_ack`], or for its absence, and for the
    /// answers to one that was sent by [`Emit::emit_for_ack`](super::Emit::emit_for_ack); not once the socket has ended.
    /// If a socket has asked several, and returns at another connection before it was told, that question has timed out.
    ///
    /// # Errors
    /// How the socket ends.
    fn acked(
        &mut self,
        _state: &mut Self::State,
        _token: u64,
        _acked: Acked<'_>,
        _socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        Ok(())
    }

    /// The data of a socket for lists of sockets, `socket.data` of the reference; `None` for none.
    fn data(&mut self, _state: &Self::State) -> Option<Box<RawValue>> {
        None
    }

    /// Called when the connection of a socket has ended, where its client may return (`recovery_ttl`). If it does,
    /// [`Events::connected`] is called again, with [`Socket::is_recovered`], and [`Events::connect`] is not; otherwise
    /// [`Events::closed`] is, once the time is over. Both may be called by another shard: the state moves with its socket.
    fn away(&mut self, _state: &mut Self::State, _gone: &mut Gone<'_>) {}

    /// Called when the socket has ended; its state is returned. Others can be told by [`Gone::to`].
    fn closed(&mut self, _state: Self::State, _gone: &mut Gone<'_>) {}
}

/// The answer to a client that asks to connect.
#[derive(Clone, Debug)]
pub enum Admit<S> {
    /// It is connected, with this state.
    In(S),
    /// It is refused: its client gets `connect_error`, and does not try again by itself.
    Out {
        /// The message of the error.
        message: Cow<'static, str>,
        /// The `data` of the error.
        data: Option<Box<RawValue>>,
    },
    /// It is answered later, by a ticket: see [`Connecting::later`].
    Later(Later),
}

impl<S> Admit<S> {
    /// A refusal with this message.
    pub fn out(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Out { message: message.into(), data: None }
    }

    /// A refusal with this message and data.
    ///
    /// # Errors
    /// When the data cannot be JSON.
    pub fn out_with(
        message: impl Into<Cow<'static, str>>,
        data: &(impl Serialize + ?Sized),
    ) -> serde_json::Result<Self> {
        Ok(Self::Out { message: message.into(), data: Some(to_raw_value(data)?) })
    }

    /// The refusal of an unknown namespace, as the reference words it.
    pub fn unknown_namespace() -> Self {
        Self::out("Invalid namespace")
    }
}

impl Connecting<'_> {
    /// Lets the application answer later, from any thread: by the ticket, while it returns the other value now. Other
    /// namespaces of the client go on meanwhile. If the ticket is dropped, or `connect_timeout` has passed, the client's
    /// connection is closed (3004), and the client comes back by itself.
    ///
    /// ```
    /// use std::thread;
    /// use throng::socketio::{Admit, Routes};
    ///
    /// fn name_of(token: &str) -> Option<String> {
    ///     // Asks a database, and may take its time.
    ///     token.strip_prefix("t-").map(str::to_owned)
    /// }
    ///
    /// let routes = Routes::new(|connecting| {
    ///     let token = connecting.query.to_owned();
    ///     let (ticket, later) = connecting.later();
    ///     thread::spawn(move || match name_of(&token) {
    ///         Some(name) => ticket.admit(Admit::In(name)),
    ///         None => ticket.admit(Admit::out("unknown token")),
    ///     });
    ///     later
    /// });
    /// # drop(routes);
    /// ```
    pub fn later<S: Send + 'static>(&self) -> (Ticket<S>, Admit<S>) {
        self.has_ticket.set(true);
        let place = TicketPlace { shard: self.client.shard, token: self.client.token, id: self.question };
        (Ticket::new(place, self.late.cloned()), Admit::Later(Later(())))
    }
}

/// A client that asks to connect to a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Connecting<'a> {
    /// The namespace, with its slash.
    pub namespace: &'a str,
    /// The id that the socket will have.
    pub id: SocketId,
    /// The connection, which all sockets of one client share.
    pub client: ClientId,
    /// The `auth` object of the client, JSON; `None` when it sent none.
    pub auth: Option<&'a str>,
    /// The application's part of the query of the request that opened the connection, as it was written; may be empty.
    pub query: &'a str,
    /// The user by the client's token, certificate or proxy, or by the connect hook; empty when anonymous.
    pub user: &'a str,
    /// The client's information for others, from its token or hook: JSON, unless that gave other bytes; empty for none.
    pub info: &'a [u8],
    /// Identity of the client's certificate, where TLS requests one (`tls_client_ca`).
    pub certificate: Option<ClientCertificate<'a>>,
    /// Whether the configuration opens the namespace, by its rules for example. It does not bind an application.
    pub is_open: bool,
    /// The number of the question that a late answer answers.
    pub(super) question: u32,
    /// Whether there is a ticket, which will be answered.
    pub(super) has_ticket: &'a Cell<bool>,
    pub(super) late: Option<&'a Arc<dyn LateAnswers>>,
}

/// An event of a client.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its arguments, validated JSON. A binary argument is a placeholder, see [`Binary`].
    pub args: JsonArgs<'a>,
    /// The binary data to which placeholders refer.
    pub attachments: Attachments<'a>,
    /// Where its answer goes, if the client wants one: see [`Socket::ack`].
    pub ack: Option<AckId>,
}

impl Event<'_> {
    /// Deserializes the arguments into a tuple or a list; surplus arguments are ignored.
    ///
    /// # Errors
    /// When an argument has another type, or is missing.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        self.args.read()
    }
}

/// The event that an answer is for. It can be kept, to answer later, and used once.
#[derive(Debug, PartialEq, Eq)]
pub struct AckId(pub(super) u64);

/// The outcome of an event that wanted an answer.
#[derive(Debug)]
pub enum Acked<'a> {
    /// The client's answer.
    Answer {
        /// The arguments, validated JSON.
        args: JsonArgs<'a>,
        /// The binary data to which placeholders refer.
        attachments: Attachments<'a>,
    },
    /// The client did not answer in time.
    TimedOut,
    /// The answers of several sockets to an event that was sent by [`Emit::emit_for_ack`](super::Emit::emit_for_ack).
    Many(Answers<'a>),
}

/// The answers of several sockets to an event.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// The answers, in the order in which they came.
    pub list: &'a [SocketAnswer],
    /// Number of sockets that did not answer in time, have ended, or did not get a volatile event.
    pub missing: usize,
    /// Whether answers beyond 16 MiB were left out.
    pub is_cut: bool,
}

impl Answers<'_> {
    /// Deserializes the first argument of each answer.
    ///
    /// # Errors
    /// When one has another type.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<Vec<T>> {
        self.list.iter().map(|answer| serde_json::from_str(&answer.data)).collect()
    }
}

impl Acked<'_> {
    /// Deserializes the arguments of an answer; `None` without one, and for the answers of several sockets.
    ///
    /// # Errors
    /// When an argument has another type, or is missing.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<Option<T>> {
        match self {
            Self::Answer { args, .. } => args.read().map(Some),
            Self::TimedOut | Self::Many(_) => Ok(None),
        }
    }
}

/// How the application ends a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client is disconnected from the namespace, and does not come back by itself.
    Disconnect,
    /// The client is disconnected from all its namespaces, its connection is closed, and it does not come back by
    /// itself.
    DisconnectAll,
    /// The connection is closed, with all its sockets. The client comes back by itself.
    Close {
        /// Code of the close frame, as for [`Peer::close`].
        code: u16,
        /// Reason in the close frame; at most 123 bytes are sent.
        reason: String,
    },
}

/// A failed emit is a mistake of the application: the connection is closed with 1011, and its client comes back.
impl From<EmitError> for Ending {
    fn from(error: EmitError) -> Self {
        const INTERNAL_ERROR: u16 = 1011;
        Self::Close { code: INTERNAL_ERROR, reason: error.to_string() }
    }
}

/// A socket that has ended, and has left its rooms.
#[derive(Debug)]
pub struct Gone<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its id.
    pub id: SocketId,
    /// Its connection, which may continue with other namespaces.
    pub client: ClientId,
    /// The user; empty when anonymous.
    pub user: &'a str,
    /// The client's information for others; empty for none.
    pub info: &'a [u8],
    /// The reason.
    pub why: Why<'a>,
    pub(super) place: Place<'a>,
}

/// The reason for which a socket has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// The client left the namespace.
    ClientLeft,
    /// The application disconnected it.
    Disconnected,
    /// The connection ended, for this reason.
    ConnectionEnded(&'a CloseReason),
}

impl Why<'_> {
    /// The reason in the words of the reference.
    pub fn as_str(self) -> &'static str {
        let Self::ConnectionEnded(reason) = self else {
            let is_client = self == Self::ClientLeft;
            return if is_client { "client namespace disconnect" } else { "server namespace disconnect" };
        };
        match reason {
            CloseReason::NoPong | CloseReason::Idle => "ping timeout",
            CloseReason::Malformed(_) | CloseReason::Violation(_) => "parse error",
            CloseReason::Transport | CloseReason::Tls => "transport error",
            CloseReason::Shutdown => "server shutting down",
            CloseReason::Peer(_) | CloseReason::Hangup => "transport close",
            CloseReason::Handler { .. } | CloseReason::Ordered { .. } => "forced server close",
            CloseReason::Worn
            | CloseReason::NoProxyHeader
            | CloseReason::Crowded
            | CloseReason::Refused(_)
            | CloseReason::HandshakeTimeout
            | CloseReason::Stale
            | CloseReason::BadRequest
            | CloseReason::Dismissed(_)
            | CloseReason::Answered
            | CloseReason::MessageTimeout
            | CloseReason::Slow
            | CloseReason::Budget
            | CloseReason::Memory => "forced close",
        }
    }
}

/// An argument that is binary data: in JSON, a placeholder with the number of its attachment.
///
/// `event.read::<(String, Binary)>()` finds it in received arguments, and `event.attachments.get(binary.0)` is the data.
/// In sent arguments it stands for one of the attachments given to [`Socket::emit_with`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary(
    /// The number of the attachment, from 0.
    pub usize,
);

#[derive(Serialize, Deserialize)]
struct Placeholder {
    #[serde(rename = "_placeholder")]
    is_placeholder: bool,
    num: usize,
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Placeholder { is_placeholder: true, num: self.0 }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Placeholder::deserialize(from).map(|placeholder| Self(placeholder.num))
    }
}

/// A Socket.IO application as the handler of a server.
#[derive(Clone, Debug, Default)]
pub struct SocketIo<E>(
    /// The application.
    pub E,
);

impl<E: Events> Handler for SocketIo<E> {
    type State = E::State;

    fn serves(&self, _path: &str) -> bool {
        false
    }

    fn open(
        &mut self,
        _: &Request<'_>,
        _: Option<&'static str>,
        _: &mut Peer<'_, '_>,
    ) -> Result<E::State, Refusal> {
        Err(Refusal::new(Status::NotFound, "no endpoint has this path"))
    }

    fn message(&mut self, _: &mut E::State, _: Message<'_>, _: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        Ok(())
    }

    fn socket_connect(&mut self, connecting: &Connecting<'_>) -> Admit<E::State> {
        self.0.connect(connecting)
    }

    fn socket_connected(&mut self, state: &mut E::State, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        self.0.connected(state, socket)
    }

    fn socket_event(
        &mut self,
        state: &mut E::State,
        event: Event<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.0.event(state, event, socket)
    }

    fn socket_acked(
        &mut self,
        state: &mut E::State,
        token: u64,
        acked: Acked<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.0.acked(state, token, acked, socket)
    }

    fn socket_data(&mut self, state: &E::State) -> Option<Box<RawValue>> {
        self.0.data(state)
    }

    fn socket_away(&mut self, state: &mut E::State, gone: &mut Gone<'_>) {
        self.0.away(state, gone);
    }

    fn socket_closed(&mut self, state: E::State, gone: &mut Gone<'_>) {
        self.0.closed(state, gone);
    }
}
