//! The sockets of one connection, by namespace, and the packets for each.
//!
//! * `resting`: the small form of a connection that waits for nothing.
//! * `access`: their parts, for others.
//! * `pending`: from CONNECT until it is known who the client is; `connecting`: until the application knows of the socket.
//! * `members`: users of the connection, and their expiry.
//! * `returning`: sockets that outlive their connection.
//! * `rates`: the rates of its packets. `plain`: arguments of either parser, as the application reads them.
//! * `logic`: events by the configuration; `hooked`: those that go to a hook; `waiting`: those that wait.
//! * `reports`: of sockets that have ended.

mod access;
mod connecting;
mod hooked;
mod logic;
mod members;
mod pending;
mod plain;
mod rates;
mod reports;
mod resting;
mod returning;
mod waiting;

use smallvec::SmallVec;

use super::acks::{Acks, Asker};
use super::admin;
use super::events::{AckId, Acked, Ending, Event, Gone, Why};
use super::identity::Identity;
use super::rooms::{Place, naming};
use super::track::Track;
use super::{Socket, SocketId, orders};
use crate::hub::selector::namespace_channel;
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::{Ask, Dismissed};
use crate::proto::socketio::{Args, Assembler, Attachments, Packet, PacketBody, SocketEvent, msgpack, write};
use crate::proto::ws::Decoder;
use crate::session::bound::Bound;
use crate::session::engine::{Engine, EngineOpening, Handshake, Outlet};
use crate::session::labels::EventRefusal;
use crate::session::{Action, ClientId, CloseReason, Context, Handler, OrderFault, PacketFault, Settings};
use connecting::Newcomer;
pub(super) use connecting::{GREETING_MS, auth_text};
use pending::{Pending, Waiting};
pub(super) use plain::Plain;
use rates::ignore;
use reports::report_end;
pub(super) use resting::Stored;
pub(crate) use returning::end_away;
pub(super) use waiting::Rest;
use waiting::{Held, Logic};

/// The root namespace.
const ROOT: &str = "/";
const SECOND_CONNECT: CloseReason = CloseReason::Malformed(PacketFault::Order(OrderFault::SecondConnect));

/// The state of a connection, except for its WebSocket.
#[derive(Debug)]
pub(in crate::session) struct Sockets<S> {
    pub(super) decoder: Decoder,
    pub(super) engine: Engine,
    pub(super) assembler: Assembler,
    list: SmallVec<[Entry<S>; 1]>,
    /// The kept part of the request.
    opening: Option<Box<EngineOpening>>,
    /// CONNECT packets without an answer.
    waiting: Option<Box<Waiting>>,
    /// End of the time to connect to a first namespace, in milliseconds of the shard's clock; `u64::MAX` once it has.
    connect_by_ms: u64,
    /// The time at which the application is told of sockets that are connected, in milliseconds of the shard's clock.
    greet_at_ms: u64,
    /// The time at which the connection was opened, in seconds of the shard's clock.
    opened_s: u32,
    /// The number of the next socket.
    next_number: u8,
    /// Pings whose answers have not come, where recovery is on.
    pings_unanswered: u8,
    /// Whether the next answer proves what was sent before its ping.
    has_mark: bool,
    /// The number of the last question about an event.
    last_question: u32,
    /// Input that was read while sockets could take no more.
    pub(super) rest: Option<Box<Rest>>,
}

/// A socket in a namespace.
#[derive(Debug)]
struct Entry<S> {
    state: S,
    /// `None` for an anonymous client in the root: most sockets.
    about: Option<Box<About>>,
    acks: Acks,
    logic: Option<Box<Logic>>,
    number: u8,
    stage: Stage,
    track: Track,
}

/// The properties of a socket that most do not have.
#[derive(Debug)]
struct About {
    /// Empty for the root.
    namespace: Box<str>,
    identity: Option<Box<Identity>>,
}

impl About {
    /// The properties, if there are any.
    fn new(namespace: &str, identity: Identity) -> Option<Box<Self>> {
        let namespace = if namespace == ROOT { "" } else { namespace };
        let identity = (identity != Identity::default()).then(|| Box::new(identity));
        let is_plain = namespace.is_empty() && identity.is_none();
        (!is_plain).then(|| Box::new(Self { namespace: namespace.into(), identity }))
    }

    /// The data of the application's backend, JSON; empty for none.
    fn state(about: Option<&Self>) -> &str {
        let identity = about.and_then(|about| about.identity.as_deref());
        std::str::from_utf8(identity.map_or(&[][..], |identity| &identity.state)).unwrap_or_default()
    }

    fn name(about: Option<&Self>) -> &str {
        about.map(|about| &*about.namespace).filter(|name| !name.is_empty()).unwrap_or(ROOT)
    }
}

/// The beginning of a socket's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The namespace's home has not counted it yet.
    Entering,
    /// The client was told that it is connected, the application will be.
    Connected,
    /// The same of a socket that has returned.
    Returned,
    /// Both know.
    Greeted,
}

impl<S> Entry<S> {
    fn namespace(&self) -> &str {
        About::name(self.about.as_deref())
    }

    /// The identity of its client; `None` for an anonymous one.
    fn identity(&self) -> Option<&Identity> {
        self.about.as_ref()?.identity.as_deref()
    }

    /// The place that its id names: that in its first connection.
    fn place(&self, client: ClientId) -> SocketPlace {
        let ClientId { shard, token, .. } = client;
        let own = SocketPlace { shard, conn: token, number: self.number };
        self.track.origin().unwrap_or(own)
    }

    /// The parts of the socket that one method of the application gets.
    fn parts<'e, 'b>(
        &'e mut self,
        outlet: Outlet,
        bound: Bound,
        cx: &'e mut Context<'b>,
    ) -> (&'e mut S, Socket<'e, 'b>) {
        let place = self.place(cx.client);
        let Self { state, about, acks, number, track, .. } = self;
        let about = about.as_deref();
        let (namespace, identity) = (About::name(about), about.and_then(|about| about.identity.as_deref()));
        let number = *number;
        (
            state,
            Socket {
                cx,
                outlet,
                namespace,
                number,
                place,
                identity,
                acks,
                track: Some(track),
                bound,
                is_recovered: false,
            },
        )
    }
}

impl<S> Sockets<S> {
    pub(super) fn new(opening: Handshake, cx: &Context<'_>) -> Self {
        let Handshake { engine, opening, .. } = opening;
        Self {
            connect_by_ms: cx.now_ms.saturating_add(cx.settings.socketio.connect_timeout_ms),
            // 2^32 seconds are 136 years.
            opened_s: u32::try_from(cx.now_ms / 1000).unwrap_or(u32::MAX),
            ..Self::of(engine, opening)
        }
    }

    /// A connection without sockets.
    fn of(engine: Engine, opening: Option<Box<EngineOpening>>) -> Self {
        Self {
            decoder: Decoder::default(),
            engine,
            assembler: Assembler::default(),
            list: SmallVec::new(),
            opening,
            waiting: None,
            connect_by_ms: u64::MAX,
            greet_at_ms: 0,
            opened_s: 0,
            next_number: 0,
            pings_unanswered: 0,
            has_mark: false,
            last_question: 0,
            rest: None,
        }
    }

    pub(super) fn deadline_ms(&self) -> u64 {
        let of = |entry: &Entry<S>| match entry.stage {
            Stage::Entering => u64::MAX,
            Stage::Connected | Stage::Returned => self.greet_at_ms,
            Stage::Greeted => entry.acks.due_ms(),
        };
        let sockets = self.list.iter().map(of).min().unwrap_or(u64::MAX);
        let due = self.engine.due_ms().min(self.connect_by_ms).min(self.pending_until_ms());
        due.min(sockets).min(self.admin_due_ms())
    }

    /// Takes a packet.
    pub(super) fn packet<H: Handler<State = S>>(
        &mut self,
        packet: Packet<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Packet { namespace, body, attachments } = packet;
        self.count(&body, cx)?;
        if namespace == admin::NAMESPACE && cx.settings.socketio.admin.is_served() {
            return self.admin_packet(body, attachments, cx);
        }
        let at = self.place_of(namespace);
        match (body, at) {
            (PacketBody::Connect { .. }, None) if self.is_pending(namespace) => Err(SECOND_CONNECT),
            (PacketBody::Disconnect, None) if self.is_pending(namespace) => {
                self.withdraw(namespace, cx);
                Ok(())
            }
            (PacketBody::Connect { auth, query }, None) => self.connect(namespace, auth, query, handler, cx),
            (PacketBody::Connect { .. }, Some(_)) => Err(SECOND_CONNECT),
            (PacketBody::ConnectError(_), _) => Err(CloseReason::Malformed(OrderFault::ConnectError.into())),
            (PacketBody::Disconnect | PacketBody::Event(_) | PacketBody::Ack { .. }, None)
                if self.next_number == 0 =>
            {
                Err(CloseReason::Malformed(OrderFault::BeforeConnect.into()))
            }
            // They may have crossed with a DISCONNECT of the server, or follow a refused CONNECT.
            (PacketBody::Disconnect, None) => Ok(()),
            (PacketBody::Event(_) | PacketBody::Ack { .. }, None) => ignore(EventRefusal::NotConnected, cx),
            (PacketBody::Disconnect, Some(at)) => {
                match self.list[at].is_busy() {
                    true => self.list[at].logic_mut().hold(Held::Leave),
                    false => self.remove(at, Why::ClientLeft, handler, cx),
                }
                Ok(())
            }
            // Clients wait for the answer to CONNECT.
            (PacketBody::Event(_) | PacketBody::Ack { .. }, Some(at))
                if self.list[at].stage == Stage::Entering =>
            {
                ignore(EventRefusal::NotConnected, cx)
            }
            (PacketBody::Event(event), Some(at)) => {
                self.greet(at, Bound::answer(), handler, cx)?;
                self.event(namespace, event, attachments, handler, cx)
            }
            (PacketBody::Ack { id, args }, Some(at)) => self.ack(at, id, args, attachments, handler, cx),
        }
    }

    /// The place of the socket in a namespace.
    pub(super) fn place_of(&self, namespace: &str) -> Option<usize> {
        self.list.iter().position(|entry| entry.namespace() == namespace)
    }

    /// Appends a packet without arguments of the application, in the endpoint's form.
    fn put(&self, cx: &mut Context<'_>, text: impl FnOnce(&mut Vec<u8>), packed: impl FnOnce(&mut Vec<u8>)) {
        let outlet = self.engine.outlet();
        if outlet.is_msgpack {
            let mut packet = Vec::new();
            packed(&mut packet);
            return outlet.binary(&packet, cx);
        }
        let written: Result<(), std::convert::Infallible> = outlet.text(60, cx, |out| {
            text(out);
            Ok(())
        });
        let Ok(()) = written;
    }

    fn event<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        event: SocketEvent<'_>,
        attachments: Attachments<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // The application may have ended it just now.
        let Some(at) = self.place_of(namespace) else { return Ok(()) };
        let SocketEvent { name, id, args } = event;
        let plain = Plain::of(args)?;
        let (args, attachments) = plain.read(args, attachments)?;
        let event = Event { name: &name, args, attachments, ack: id.map(AckId) };
        if cx.settings.socketio.has_logic() || self.list[at].logic.is_some() {
            return self.take_event(at, event, handler, cx);
        }
        self.call(at, Bound::answer(), handler, cx, |handler, state, socket| {
            handler.socket_event(state, event, socket)
        })
    }

    fn ack<H: Handler<State = S>>(
        &mut self,
        at: usize,
        id: Option<u64>,
        args: Args<'_>,
        attachments: Attachments<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // An answer that nobody waits for, or waits for no longer, is ignored.
        let Some(id) = id.filter(|id| self.list[at].acks.is_awaited(*id)) else {
            return ignore(EventRefusal::UnknownAck, cx);
        };
        let plain = Plain::of(args)?;
        let (args, attachments) = plain.read(args, attachments)?;
        match self.list[at].acks.answered(id) {
            Some(Asker::App(token)) => {
                self.call(at, Bound::answer(), handler, cx, |handler, state, socket| {
                    handler.socket_acked(state, token, Acked::Answer { args, attachments }, socket)
                })
            }
            Some(Asker::Order(question)) => {
                let id = SocketId::of(self.list[at].place(cx.client), cx.client.seed);
                orders::answered(question, id, args, attachments, cx.actions);
                Ok(())
            }
            Some(Asker::Many(_)) | None => Ok(()),
        }
    }

    /// Calls the application for a socket, and ends that if it says so.
    pub(super) fn call<H: Handler<State = S>>(
        &mut self,
        at: usize,
        bound: Bound,
        handler: &mut H,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut H, &mut S, &mut Socket<'_, '_>) -> Result<(), Ending>,
    ) -> Result<(), CloseReason> {
        let outlet = self.engine.outlet();
        let (state, mut socket) = self.list[at].parts(outlet, bound, cx);
        let outcome = call(handler, state, &mut socket);
        socket.outcome()?;
        match outcome {
            Ok(()) => Ok(()),
            Err(Ending::Disconnect) => {
                self.put_disconnect(at, cx);
                self.remove(at, Why::Disconnected, handler, cx);
                Ok(())
            }
            Err(Ending::DisconnectAll) => {
                for at in 0..self.list.len() {
                    self.put_disconnect(at, cx);
                }
                // As at the reference: they are disconnected before the connection is closed, and do not return.
                while !self.list.is_empty() {
                    self.remove(0, Why::Disconnected, handler, cx);
                }
                Err(CloseReason::Handler { code: 1000, reason: "disconnected by the server".to_owned() })
            }
            Err(Ending::Close { code, reason }) => Err(CloseReason::Handler { code, reason }),
        }
    }

    fn put_disconnect(&self, at: usize, cx: &mut Context<'_>) {
        let namespace = self.list[at].namespace();
        self.put(
            cx,
            |out| write::put_disconnect(out, namespace),
            |out| msgpack::put_disconnect(out, namespace),
        );
    }

    /// Removes a socket, and returns its state to the application.
    fn remove<H: Handler<State = S>>(
        &mut self,
        at: usize,
        why: Why<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) {
        let entry = self.list.remove(at);
        if let Some(logic) = &entry.logic {
            cx.told.events_refused[EventRefusal::Gone.place()].add(logic.event_count() as u64);
        }
        if let Some(identity) = entry.identity() {
            self.release(identity, cx);
        }
        report_end(&entry, cx.client, why, (cx.settings, cx.actions));
        let ask = Ask::LeaveGroup { group: namespace_channel(entry.namespace()) };
        cx.actions.push(Action::Ask { id: 0, ask });
        let outlet = self.engine.outlet();
        return_state(entry, cx.client, why, handler, (cx.settings, outlet, cx.actions));
    }

    pub(super) fn timer<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if cx.now_ms >= self.connect_by_ms {
            return Err(CloseReason::Stale);
        }
        if cx.now_ms >= self.pending_until_ms() {
            return Err(CloseReason::Dismissed(Dismissed::Internal));
        }
        if self.engine.is_opening_due(cx.now_ms) {
            self.open_now(handler, cx)?;
        }
        self.report_to_admin(cx)?;
        let pings = cx.counts.pings;
        self.engine.timer(self.rest.is_some(), cx)?;
        if cx.counts.pings > pings {
            self.mark(cx);
        }
        let mut at = 0;
        while let Some(entry) = self.list.get_mut(at) {
            if matches!(entry.stage, Stage::Connected | Stage::Returned) && self.greet_at_ms <= cx.now_ms {
                let bound = Bound::unasked(cx);
                self.greet(at, bound, handler, cx)?;
                continue;
            }
            // The application may remove the socket: then another is at its place.
            match entry.acks.take_due(cx.now_ms) {
                Some(Asker::Order(question)) => {
                    let id = SocketId::of(entry.place(cx.client), cx.client.seed);
                    orders::unanswered(question, id.as_str().into(), cx.actions);
                }
                // Those of several sockets have no time, unless their question was of an earlier connection.
                Some(Asker::App(token) | Asker::Many(token)) => {
                    let bound = Bound::unasked(cx);
                    self.call(at, bound, handler, cx, |handler, state, socket| {
                        handler.socket_acked(state, token, Acked::TimedOut, socket)
                    })?;
                }
                None => at += 1,
            }
        }
        Ok(())
    }

    pub(super) fn closed<H: Handler<State = S>>(
        self,
        handler: &mut H,
        client: ClientId,
        reason: &CloseReason,
        (settings, actions): (&Settings, &mut Vec<Action>),
    ) {
        let outlet = self.engine.outlet();
        self.release_all(actions);
        for entry in self.list {
            returning::part(entry, client, reason, handler, (settings, outlet, actions));
        }
    }
}

/// Returns the state of a socket that has ended.
fn return_state<H: Handler>(
    entry: Entry<H::State>,
    client: ClientId,
    why: Why<'_>,
    handler: &mut H,
    (settings, outlet, actions): (&Settings, Outlet, &mut Vec<Action>),
) {
    let id = SocketId::of(entry.place(client), client.seed);
    let Entry { state, about, mut acks, .. } = entry;
    let namespace = About::name(about.as_deref());
    let identity = about.as_deref().and_then(|about| about.identity.as_deref());
    let (user, info) = identity.map_or(("", &[][..]), |identity| (&*identity.user, &*identity.info));
    while let Some(question) = acks.take_order() {
        orders::unanswered(question, id.as_str().into(), actions);
    }
    let (naming, is_msgpack) = (naming(settings, client), outlet.is_msgpack);
    let place = Place { namespace, id, identity, naming, is_msgpack, asking: None, sender: None, actions };
    handler.socket_closed(state, &mut Gone { namespace, id, client, user, info, why, place });
}
