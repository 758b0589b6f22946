//! Handlers of the library: none, an echo, and an optional one.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Call, Handler, Message, Outcome, Peer};
use crate::hub::words::Denied;
use crate::proto::http::{Refusal, Request, Status};
use crate::session::engine::EngineClient;
use crate::session::socketio::{Acked, Admit, Connecting, Ending, Event, Gone, Socket};
use crate::session::{ClientId, CloseReason};

/// The handler of a server without raw endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHandler;

impl Handler for NoHandler {
    type State = ();

    fn serves(&self, _path: &str) -> bool {
        false
    }

    fn open(
        &mut self,
        _: &Request<'_>,
        _: Option<&'static str>,
        _: &mut Peer<'_, '_>,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), _: Message<'_>, _: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        Ok(())
    }

    fn serves_sockets(&self) -> bool {
        false
    }

    fn socket_connect(&mut self, connecting: &Connecting<'_>) -> Admit<()> {
        by_configuration(connecting)
    }
}

/// Admits a client of Socket.IO to the namespaces that the configuration opens.
fn by_configuration(connecting: &Connecting<'_>) -> Admit<()> {
    if connecting.is_open { Admit::In(()) } else { Admit::unknown_namespace() }
}

/// Sends every message back to its sender, at one path or none. Namespaces of Socket.IO are open as configured.
#[derive(Clone, Debug)]
pub struct Echo {
    path: Option<String>,
}

impl Echo {
    /// An echo endpoint at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: Some(path.into()) }
    }

    /// An echo endpoint at `path`, if there is one.
    pub fn at(path: Option<&str>) -> Self {
        Self { path: path.map(str::to_owned) }
    }
}

impl Handler for Echo {
    type State = ();

    fn serves(&self, path: &str) -> bool {
        self.path.as_deref() == Some(path)
    }

    fn open(
        &mut self,
        _: &Request<'_>,
        _: Option<&'static str>,
        _: &mut Peer<'_, '_>,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    fn open_engine(&mut self, _: &EngineClient<'_>, _: &mut Peer<'_, '_>) -> Option<()> {
        Some(())
    }

    #[inline]
    fn message(
        &mut self,
        (): &mut (),
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        peer.send_back(message);
        Ok(())
    }

    fn serves_sockets(&self) -> bool {
        false
    }

    /// The argument of any call is its result.
    fn call<'c>(&mut self, call: &Call<'c>) -> Outcome<'c> {
        match self.path {
            Some(_) => Outcome::Result(Cow::Borrowed(call.data)),
            None => Outcome::NotServed,
        }
    }

    fn socket_connect(&mut self, connecting: &Connecting<'_>) -> Admit<()> {
        by_configuration(connecting)
    }
}

/// An optional handler: `None` serves no path.
impl<A: Handler> Handler for Option<A> {
    type State = A::State;

    fn serves(&self, path: &str) -> bool {
        self.as_ref().is_some_and(|handler| handler.serves(path))
    }

    fn subprotocols(&self) -> &[&'static str] {
        self.as_ref().map_or(&[], |handler| handler.subprotocols())
    }

    fn open(
        &mut self,
        request: &Request<'_>,
        subprotocol: Option<&'static str>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<Self::State, Refusal> {
        match self {
            Some(handler) => handler.open(request, subprotocol, peer),
            None => Err(Refusal::new(Status::NotFound, "no endpoint has this path")),
        }
    }

    #[inline]
    fn message(
        &mut self,
        state: &mut Self::State,
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        match self {
            Some(handler) => handler.message(state, message, peer),
            None => Ok(()),
        }
    }

    fn open_engine(&mut self, opening: &EngineClient<'_>, peer: &mut Peer<'_, '_>) -> Option<Self::State> {
        self.as_mut().and_then(|handler| handler.open_engine(opening, peer))
    }

    fn timer(&mut self, state: &mut Self::State, peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        match self {
            Some(handler) => handler.timer(state, peer),
            None => Ok(()),
        }
    }

    fn joined(
        &mut self,
        state: &mut Self::State,
        channel: &str,
        outcome: Result<(), Denied>,
        peer: &mut Peer<'_, '_>,
    ) {
        if let Some(handler) = self {
            handler.joined(state, channel, outcome, peer);
        }
    }

    fn call<'c>(&mut self, call: &Call<'c>) -> Outcome<'c> {
        self.as_mut().map_or(Outcome::NotServed, |handler| handler.call(call))
    }

    fn sent(&mut self, call: &Call<'_>) {
        if let Some(handler) = self {
            handler.sent(call);
        }
    }

    fn closed(&mut self, state: Self::State, client: ClientId, reason: &CloseReason) {
        if let Some(handler) = self {
            handler.closed(state, client, reason);
        }
    }

    fn serves_sockets(&self) -> bool {
        self.as_ref().is_some_and(|handler| handler.serves_sockets())
    }

    fn socket_connect(&mut self, connecting: &Connecting<'_>) -> Admit<Self::State> {
        self.as_mut().map_or_else(Admit::unknown_namespace, |handler| handler.socket_connect(connecting))
    }

    fn socket_connected(
        &mut self,
        state: &mut Self::State,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.as_mut().map_or(Ok(()), |handler| handler.socket_connected(state, socket))
    }

    fn socket_event(
        &mut self,
        state: &mut Self::State,
        event: Event<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.as_mut().map_or(Ok(()), |handler| handler.socket_event(state, event, socket))
    }

    fn socket_acked(
        &mut self,
        state: &mut Self::State,
        token: u64,
        acked: Acked<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.as_mut().map_or(Ok(()), |handler| handler.socket_acked(state, token, acked, socket))
    }

    fn socket_data(&mut self, state: &Self::State) -> Option<Box<RawValue>> {
        self.as_mut().and_then(|handler| handler.socket_data(state))
    }

    fn socket_away(&mut self, state: &mut Self::State, gone: &mut Gone<'_>) {
        if let Some(handler) = self {
            handler.socket_away(state, gone);
        }
    }

    fn socket_closed(&mut self, state: Self::State, gone: &mut Gone<'_>) {
        if let Some(handler) = self {
            handler.socket_closed(state, gone);
        }
    }
}
