//! Sockets that end and return: what is handed to the home of the namespace, and what it hands back.

use std::borrow::Cow;

use serde::Deserialize;

use super::connecting::{GREETING_MS, Newcomer};
use super::pending::Pending;
use super::reports::{report, report_end};
use super::{About, Entry, Sockets, Stage, return_state};
use crate::base::slots::Key;
use crate::hub::away::{Away, Back, Parcel, Return};
use crate::hub::choice::Choice;
use crate::hub::home::Member;
use crate::hub::offset::Offset;
use crate::hub::selector::namespace_channel;
use crate::hub::words::Ask;
use crate::proto::engine::EngineProtocol;
use crate::proto::socketio::{msgpack, write};
use crate::session::engine::Outlet;
use crate::session::socketio::SocketId;
use crate::session::socketio::acks::Acks;
use crate::session::socketio::events::{Gone, Why};
use crate::session::socketio::form::Form;
use crate::session::socketio::identity::{Admission, Identity};
use crate::session::socketio::orders;
use crate::session::socketio::pid::Pid;
use crate::session::socketio::rooms::{Place, naming};
use crate::session::socketio::track::Track;
use crate::session::{Action, ClientId, CloseReason, Context, Handler, Settings};

/// The state of a socket without a connection, for the session that continues it.
struct Kept<S> {
    state: S,
    acks: Acks,
    /// Whether the application knows that it was connected.
    is_greeted: bool,
    outlet: Outlet,
    about: Option<Box<About>>,
    /// Its last connection, and why that ended.
    client: ClientId,
    reason: CloseReason,
}

/// The fields of an `auth` object by which a client recovers its socket.
#[derive(Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    pid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    offset: Option<Cow<'a, str>>,
}

impl<S> Sockets<S> {
    /// Asks for the socket of an earlier connection, if that is what a CONNECT is about; otherwise returns the knowledge
    /// about its client.
    pub(super) fn ask_back(
        &mut self,
        newcomer: &Newcomer<'_>,
        admission: Admission,
        cx: &mut Context<'_>,
    ) -> Option<Admission> {
        let &Newcomer { namespace, auth, number, is_new } = newcomer;
        let can_return = can_return(cx.settings, self.engine.outlet());
        let asked = auth.filter(|_| can_return).and_then(|auth| return_of(namespace, auth, cx));
        let Some(mut asked) = asked else { return Some(admission) };
        let id = self.next_question();
        let waiting = self.waiting.get_or_insert_default();
        waiting.last_id = id;
        (asked.request, asked.user) = (id, admission.identity.user.clone());
        let until_ms = cx.now_ms.saturating_add(cx.settings.socketio.connect_timeout_ms);
        let (namespace, auth) = (namespace.into(), auth.map(Into::into));
        waiting.list.push(Pending { namespace, auth, id, number, until_ms, admission });
        if is_new {
            self.next_number = number.wrapping_add(1).max(1);
        }
        cx.actions.push(Action::SetTimer { at_ms: until_ms });
        cx.actions.push(Action::Ask { id: 0, ask: Ask::Return(Box::new(asked)) });
        None
    }

    /// Whether the CONNECT with this number waits.
    pub(in crate::session::socketio) fn awaits(&self, request: u32) -> bool {
        self.pending().iter().any(|one| one.id == request)
    }

    /// Takes the home's answer to a client that asked for its socket.
    pub(in crate::session::socketio) fn returned<H: Handler<State = S>>(
        &mut self,
        asked: &Return,
        back: Option<Back>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason>
    where
        S: Send + 'static,
    {
        let Some(known) = self.take_pending(|one| one.id == asked.request) else { return Ok(()) };
        self.trim_pending();
        match back {
            Some(back) => {
                self.give_back(&asked.pid, known, back, cx);
                Ok(())
            }
            None => {
                let Pending { namespace, auth, number, admission, .. } = known;
                let newcomer =
                    Newcomer { namespace: &namespace, auth: auth.as_deref(), number, is_new: false };
                self.admit(&newcomer, admission, handler, cx)
            }
        }
    }

    /// Continues the socket of an earlier connection, and sends its client what it missed.
    fn give_back(&mut self, pid: &str, known: Pending, back: Back, cx: &mut Context<'_>)
    where
        S: Send + 'static,
    {
        let Back { away, seq: _, missed } = back;
        let Away { place, proved, directs, parcel, .. } = *away;
        let Ok(kept) = parcel.content.downcast::<Kept<S>>() else { return };
        let Kept { state, acks, is_greeted, about, .. } = *kept;
        let Pending { namespace, number, admission, .. } = known;
        // The backend's data is the socket's, not the connection's.
        let of_hook = About::state(about.as_deref()).as_bytes().into();
        let about = About::new(&namespace, Identity { state: of_hook, ..admission.identity });
        let track = Track::of(place, proved, directs);
        let stage = if is_greeted { Stage::Returned } else { Stage::Connected };
        self.list.push(Entry { state, about, acks, logic: None, number, stage, track });
        self.connect_by_ms = u64::MAX;
        self.put_connected(&namespace, SocketId::of(place, cx.client.seed), Some(pid), cx);
        let events = Form(self.engine.outlet()).encode(&missed, &Choice::All, cx.press);
        cx.out.extend_from_slice(&events);
        cx.counts.messages_out += missed.len() as u64;
        self.greet_at_ms = cx.now_ms + GREETING_MS;
        cx.actions.push(Action::SetTimer { at_ms: self.greet_at_ms });
    }

    /// Records a ping.
    pub(super) fn mark(&mut self, cx: &mut Context<'_>) {
        if !is_on(cx.settings) {
            return;
        }
        // The answer to an earlier one would prove too much.
        self.has_mark = self.pings_unanswered == 0;
        self.pings_unanswered = self.pings_unanswered.saturating_add(1);
        if self.has_mark {
            for entry in &mut self.list {
                let seq =
                    cx.reach.of(&namespace_channel(entry.namespace()), Key::from_token(cx.client.token));
                entry.track.mark(seq);
            }
        }
    }

    /// Records the answer to a ping.
    pub(in crate::session::socketio) fn ponged(&mut self) {
        self.pings_unanswered = self.pings_unanswered.saturating_sub(1);
        if std::mem::take(&mut self.has_mark) {
            self.list.iter_mut().for_each(|entry| entry.track.prove());
        }
    }

    /// Appends the answer to CONNECT.
    pub(in crate::session::socketio) fn put_connected(
        &self,
        namespace: &str,
        id: SocketId,
        pid: Option<&str>,
        cx: &mut Context<'_>,
    ) {
        let protocol = self.engine.outlet().socket_protocol();
        self.put(
            cx,
            |out| write::put_connected(out, protocol, namespace, id.as_str(), pid),
            |out| msgpack::put_connected(out, namespace, id.as_str(), pid),
        );
    }
}

/// Whether sockets can return.
pub(super) fn is_on(settings: &Settings) -> bool {
    settings.socketio.recovery_ttl_ms > 0
}

/// Whether the sockets of a client can return. Clients of Engine.IO 3 get no private id to return by.
fn can_return(settings: &Settings, outlet: Outlet) -> bool {
    is_on(settings) && outlet.protocol == EngineProtocol::V4
}

/// The socket for which a client asks. `None` for a private id that is not of this process or namespace, and for an offset
/// that is none.
fn return_of(namespace: &str, auth: &str, cx: &Context<'_>) -> Option<Return> {
    let Credentials { pid, offset } = serde_json::from_str(auth).ok()?;
    let (pid, client) = (pid?, cx.client);
    let Pid { place, since } = Pid::open(client.seed, namespace, &pid)?;
    let offset = match offset.as_deref() {
        // That of another process is left from before this socket: it has got no event since.
        Some(offset) => Offset::read(offset, cx.reach.epoch())?,
        None => None,
    };
    Some(Return {
        member: Member { shard: client.shard, conn: client.token },
        group: namespace_channel(namespace),
        place,
        since,
        offset,
        pid: (*pid).into(),
        user: Box::default(),
        request: 0,
        is_overtaken: false,
    })
}

/// Ends a socket whose connection has ended: its client may return, or its state is returned to the application.
pub(super) fn part<H: Handler>(
    entry: Entry<H::State>,
    client: ClientId,
    reason: &CloseReason,
    handler: &mut H,
    (settings, outlet, actions): (&Settings, Outlet, &mut Vec<Action>),
) {
    let is_told = match entry.stage {
        Stage::Entering => false,
        Stage::Connected | Stage::Returned | Stage::Greeted => true,
    };
    let has_left = entry.is_left();
    // The state of a server that stops is lost with it.
    if !can_return(settings, outlet) || !is_told || has_left || *reason == CloseReason::Shutdown {
        let why = if has_left { Why::ClientLeft } else { Why::ConnectionEnded(reason) };
        report_end(&entry, client, why, (settings, actions));
        return return_state(entry, client, why, handler, (settings, outlet, actions));
    }
    let (place, is_greeted) = (entry.place(client), entry.stage != Stage::Connected);
    let id = SocketId::of(place, client.seed);
    let Entry { mut state, about, mut acks, track, .. } = entry;
    if is_greeted {
        let mut gone = gone(about.as_deref(), id, client, reason, (settings, outlet.is_msgpack, actions));
        handler.socket_away(&mut state, &mut gone);
    }
    while let Some(question) = acks.take_order() {
        orders::unanswered(question, id.as_str().into(), actions);
    }
    acks.give_up_many();
    let (proved, directs) = track.into_parts();
    let group = namespace_channel(About::name(about.as_deref()));
    let identity = about.as_deref().and_then(|about| about.identity.as_deref());
    let (user, info) = identity.map_or_else(Default::default, |one| (one.user.clone(), one.info.clone()));
    let bytes = size_of::<Kept<H::State>>() + acks.held_bytes() + identity.map_or(0, Identity::bytes);
    let kept = Kept { state, acks, is_greeted, outlet, about, client, reason: reason.clone() };
    let parcel = Parcel { content: Box::new(kept), bytes };
    let (rooms, seats) = (Box::default(), Box::default());
    let changes = Vec::new();
    let away = Away { group, place, user, info, rooms, seats, changes, proved, directs, parcel };
    actions.push(Action::Park(Box::new(away)));
}

/// Returns the state of a socket whose client has not returned to the application.
pub(crate) fn end_away<H: Handler>(
    away: Away,
    handler: &mut H,
    (settings, actions): (&Settings, &mut Vec<Action>),
) {
    let Ok(kept) = away.parcel.content.downcast::<Kept<H::State>>() else { return };
    let Kept { state, outlet, about, client, reason, .. } = *kept;
    let id = SocketId::of(away.place, client.seed);
    let was_kept = reason != CloseReason::Shutdown;
    report(about.as_deref(), (id, client), (Why::ConnectionEnded(&reason), was_kept), (settings, actions));
    let mut gone = gone(about.as_deref(), id, client, &reason, (settings, outlet.is_msgpack, actions));
    handler.socket_closed(state, &mut gone);
}

fn gone<'g>(
    about: Option<&'g About>,
    id: SocketId,
    client: ClientId,
    reason: &'g CloseReason,
    (settings, is_msgpack, actions): (&'g Settings, bool, &'g mut Vec<Action>),
) -> Gone<'g> {
    let namespace = About::name(about);
    let identity = about.and_then(|about| about.identity.as_deref());
    let (user, info) = identity.map_or(("", &[][..]), |identity| (&*identity.user, &*identity.info));
    let (identity, naming) = (about.and_then(|about| about.identity.as_deref()), naming(settings, client));
    let place = Place { namespace, id, identity, naming, is_msgpack, asking: None, sender: None, actions };
    Gone { namespace, id, client, user, info, why: Why::ConnectionEnded(reason), place }
}
