//! [`Events`] by a table of functions: one for each name of an event.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::events::{AckId, Acked, Admit, Connecting, Ending, Event, Events, Gone};
use super::{EmitError, Socket};
use crate::proto::socketio::{Attachments, JsonArgs};

type Connect<S> = Box<dyn FnMut(&Connecting<'_>) -> Admit<S> + Send>;
type Connected<S> = Box<dyn FnMut(&mut S, &mut Socket<'_, '_>) -> Result<(), Ending> + Send>;
type OnAcked<S> = Box<dyn FnMut(&mut S, u64, Acked<'_>, &mut Socket<'_, '_>) -> Result<(), Ending> + Send>;
type Data<S> = Box<dyn FnMut(&S) -> Option<Box<RawValue>> + Send>;
type Away<S> = Box<dyn FnMut(&mut S, &mut Gone<'_>) + Send>;
type Closed<S> = Box<dyn FnMut(S, &mut Gone<'_>) + Send>;
/// Takes an event; false when its arguments have another type.
type Route<S> = Box<dyn FnMut(&mut Turn<'_, '_, '_, S>) -> Result<bool, Ending> + Send>;

/// A Socket.IO application made of functions. Each shard has one; what all shards share is for the application to share.
///
/// ```
/// use throng::socketio::{Admit, Routes};
///
/// let routes = Routes::new(|connecting| match connecting.namespace {
///     "/" => Admit::In(0_u32), // the state of a socket: how much it has said
///     _ => Admit::unknown_namespace(),
/// })
/// .on("say", |turn, (text,): (String,)| {
///     *turn.state += 1;
///     turn.socket.emit("said", &(&text, *turn.state))?;
///     turn.ack(&("ok",))
/// })
/// .fallback(|turn| turn.ack(&("unknown event", turn.name)));
/// # drop(routes);
/// ```
pub struct Routes<S> {
    connect: Connect<S>,
    connected: Option<Connected<S>>,
    table: BTreeMap<String, Route<S>>,
    fallback: Option<Route<S>>,
    acked: Option<OnAcked<S>>,
    data: Option<Data<S>>,
    away: Option<Away<S>>,
    closed: Option<Closed<S>>,
}

/// An event on its route: the state of the socket, the socket, and the event.
#[derive(Debug)]
pub struct Turn<'t, 'a, 'b, S> {
    /// The application's data of the socket.
    pub state: &'t mut S,
    /// The socket.
    pub socket: &'t mut Socket<'a, 'b>,
    /// The event's name.
    pub name: &'t str,
    /// The event's arguments, validated JSON.
    pub args: JsonArgs<'t>,
    /// The binary data to which placeholders in the arguments refer.
    pub attachments: Attachments<'t>,
    /// Where the event's answer goes, if the client wants one and has none yet. Take it to answer later.
    pub ack: Option<AckId>,
}

impl<S> Turn<'_, '_, '_, S> {
    /// Answers the event; does nothing if the client wants no answer, or has one.
    ///
    /// # Errors
    /// When the arguments cannot be JSON: the connection ends.
    pub fn ack(&mut self, args: &(impl Serialize + ?Sized)) -> Result<(), Ending> {
        let Some(ack) = self.ack.take() else { return Ok(()) };
        self.socket.ack(ack, args).map_err(|error: EmitError| error.into())
    }
}

impl<S: Send + 'static> Routes<S> {
    /// An application without events. `connect` decides who may connect to which namespace; it returns the state of
    /// the new socket.
    pub fn new(connect: impl FnMut(&Connecting<'_>) -> Admit<S> + Send + 'static) -> Self {
        Self {
            connect: Box::new(connect),
            connected: None,
            table: BTreeMap::new(),
            fallback: None,
            acked: None,
            data: None,
            away: None,
            closed: None,
        }
    }

    /// Calls a function for each new socket, once its client was told that it is connected.
    #[must_use]
    pub fn connected(
        mut self,
        call: impl FnMut(&mut S, &mut Socket<'_, '_>) -> Result<(), Ending> + Send + 'static,
    ) -> Self {
        self.connected = Some(Box::new(call));
        self
    }

    /// Calls a function for each event of this name, in any namespace, with its arguments: a tuple of what they are.
    /// Surplus arguments are ignored. An event with arguments of other types goes to the fallback.
    #[must_use]
    pub fn on<T: DeserializeOwned>(
        mut self,
        name: impl Into<String>,
        mut call: impl FnMut(&mut Turn<'_, '_, '_, S>, T) -> Result<(), Ending> + Send + 'static,
    ) -> Self {
        let route = move |turn: &mut Turn<'_, '_, '_, S>| match turn.args.read::<T>() {
            Ok(args) => call(turn, args).map(|()| true),
            Err(_) => Ok(false),
        };
        self.table.insert(name.into(), Box::new(route));
        self
    }

    /// Calls a function for each event without a route of its own. Without a fallback, such events are ignored.
    #[must_use]
    pub fn fallback(
        mut self,
        mut call: impl FnMut(&mut Turn<'_, '_, '_, S>) -> Result<(), Ending> + Send + 'static,
    ) -> Self {
        self.fallback = Some(Box::new(move |turn| call(turn).map(|()| true)));
        self
    }

    /// Calls a function for each answer to an event that was sent by [`Socket::emit_for_ack`], or for its absence, and for
    /// the answers of several sockets.
    #[must_use]
    pub fn acked(
        mut self,
        call: impl FnMut(&mut S, u64, Acked<'_>, &mut Socket<'_, '_>) -> Result<(), Ending> + Send + 'static,
    ) -> Self {
        self.acked = Some(Box::new(call));
        self
    }

    /// Gives the data of each socket for lists of sockets, `socket.data` of the reference.
    #[must_use]
    pub fn data<T: Serialize>(mut self, mut call: impl FnMut(&S) -> T + Send + 'static) -> Self {
        self.data = Some(Box::new(move |state| to_raw_value(&call(state)).ok()));
        self
    }

    /// Calls a function for each socket whose connection has ended and whose client may return: see [`Events::away`].
    #[must_use]
    pub fn away(mut self, call: impl FnMut(&mut S, &mut Gone<'_>) + Send + 'static) -> Self {
        self.away = Some(Box::new(call));
        self
    }

    /// Calls a function for each socket that has ended.
    #[must_use]
    pub fn closed(mut self, call: impl FnMut(S, &mut Gone<'_>) + Send + 'static) -> Self {
        self.closed = Some(Box::new(call));
        self
    }
}

impl<S: Send + 'static> Events for Routes<S> {
    type State = S;

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<S> {
        (self.connect)(connecting)
    }

    fn connected(&mut self, state: &mut S, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        self.connected.as_mut().map_or(Ok(()), |call| call(state, socket))
    }

    fn event(&mut self, state: &mut S, event: Event<'_>, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        let Event { name, args, attachments, ack } = event;
        let mut turn = Turn { state, socket, name, args, attachments, ack };
        let own = self.table.get_mut(name);
        for route in own.into_iter().chain(&mut self.fallback) {
            if route(&mut turn)? {
                break;
            }
        }
        Ok(())
    }

    fn acked(
        &mut self,
        state: &mut S,
        token: u64,
        acked: Acked<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.acked.as_mut().map_or(Ok(()), |call| call(state, token, acked, socket))
    }

    fn data(&mut self, state: &S) -> Option<Box<RawValue>> {
        self.data.as_mut().and_then(|call| call(state))
    }

    fn away(&mut self, state: &mut S, gone: &mut Gone<'_>) {
        if let Some(call) = &mut self.away {
            call(state, gone);
        }
    }

    fn closed(&mut self, state: S, gone: &mut Gone<'_>) {
        if let Some(call) = &mut self.closed {
            call(state, gone);
        }
    }
}

impl<S> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events: Vec<_> = self.table.keys().collect();
        f.debug_struct("Routes").field("events", &events).finish_non_exhaustive()
    }
}
