//! A socket's way into its namespace: from CONNECT until the application knows that its client was told.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::value::RawValue;

use super::logic::{EFFECT_PLACE, carry_out};
use super::returning::is_on;
use super::waiting::Logic;
use super::{About, Entry, ROOT, Sockets, Stage};
use crate::hub::selector::{namespace_channel, namespace_of};
use crate::hub::socket_place::ROOT_OF_SESSION;
use crate::hub::words::{Ask, Denied, Dismissed, Enter};
use crate::proto::engine::EngineProtocol;
use crate::proto::socketio::effects;
use crate::proto::socketio::{AttachmentStore, Raw, SocketError, msgpack, query_as_json, write};
use crate::session::bound::Bound;
use crate::session::labels::ConnectRefusal;
use crate::session::socketio::acks::Acks;
use crate::session::socketio::admin::NAMESPACE;
use crate::session::socketio::events::{Admit, Connecting, Why};
use crate::session::socketio::identity::Admission;
use crate::session::socketio::pid::Pid;
use crate::session::socketio::rooms::{Place, naming};
use crate::session::socketio::track::Track;
use crate::session::socketio::{SocketId, malformed};
use crate::session::{Action, CloseReason, Context, Handler};

/// Time from the answer to CONNECT until the application is told, in milliseconds, unless an event comes before. Some
/// clients lose messages that arrive together with that answer, and the reference's applications are slower, too.
pub(in crate::session::socketio) const GREETING_MS: u64 = 10;

/// A client that asks to connect.
#[derive(Clone, Copy)]
pub(super) struct Newcomer<'n> {
    pub(super) namespace: &'n str,
    pub(super) auth: Option<&'n str>,
    /// The number that its socket will have.
    pub(super) number: u8,
    /// Whether others may still get the number.
    pub(super) is_new: bool,
}

impl<S> Sockets<S> {
    /// Tells a client of Engine.IO 3 that its session is open, and connects it.
    pub(in crate::session::socketio) fn open_now<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.engine.open_now(cx);
        self.connect_root(handler, cx)
    }

    /// Connects a client to the root without its asking for that.
    pub(in crate::session::socketio) fn connect_root<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.connect(ROOT, None, None, handler, cx)
    }

    /// Handles a CONNECT. In Socket.IO 4 the namespace has a query in place of `auth`.
    pub(super) fn connect<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        auth: Option<Raw<'_>>,
        query: Option<&str>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let is_full = self.list.len() + self.pending().len() >= cx.settings.socketio.namespaces_max;
        let is_too_long = namespace.len() > cx.settings.channel_name_bytes_max;
        if is_full || is_too_long {
            self.note_refused();
            let (why, refusal) = match is_too_long {
                true => ("Invalid namespace", ConnectRefusal::LongName),
                false => ("too many namespaces on one connection", ConnectRefusal::TooMany),
            };
            cx.told.connects_refused[refusal.place()].add(1);
            self.refuse(namespace, why, None, cx);
            return Ok(());
        }
        let auth = auth_text(auth, query)?;
        if Self::is_asked(handler, cx) {
            return self.claim(namespace, auth.as_deref(), handler, cx);
        }
        let number = self.free_number(namespace);
        let newcomer = Newcomer { namespace, auth: auth.as_deref(), number, is_new: true };
        self.decide(newcomer, Admission::default(), handler, cx)
    }

    /// Asks the application whether a client may connect.
    pub(super) fn decide<H: Handler<State = S>>(
        &mut self,
        newcomer: Newcomer<'_>,
        admission: Admission,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // The middleware is skipped for a socket that returns.
        match self.ask_back(&newcomer, admission, cx) {
            Some(admission) => self.admit(&newcomer, admission, handler, cx),
            None => Ok(()),
        }
    }

    /// Connects a new socket, if the application admits it.
    pub(super) fn admit<H: Handler<State = S>>(
        &mut self,
        newcomer: &Newcomer<'_>,
        admission: Admission,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let &Newcomer { namespace, auth, number, .. } = newcomer;
        let Admission { identity, .. } = &admission;
        let (question, has_ticket) = (self.next_question(), Cell::new(false));
        let connecting = Connecting {
            namespace,
            id: SocketId::new(cx.client, number),
            client: cx.client,
            auth,
            query: self.opening.as_ref().map_or("", |opening| &opening.query),
            user: &identity.user,
            info: &identity.info,
            certificate: cx.certificate,
            is_open: cx.settings.socketio.opens(namespace),
            question,
            has_ticket: &has_ticket,
            late: cx.settings.late.as_ref(),
        };
        let admit = handler.socket_connect(&connecting);
        // The client may send more before it knows of a refusal.
        self.next_number = self.next_number.max(1);
        if matches!(admit, Admit::Later(_)) {
            self.await_decision(question, *newcomer, admission, cx);
            return Ok(());
        }
        if has_ticket.get() {
            // The application did not need it. Its answer is not one to a later question.
            self.skip_question(question);
        }
        self.decided(*newcomer, admission, admit, cx)
    }

    /// Carries out the application's decision about a client.
    pub(super) fn decided(
        &mut self,
        newcomer: Newcomer<'_>,
        admission: Admission,
        admit: Admit<S>,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Newcomer { namespace, number, is_new, .. } = newcomer;
        let Admission { identity, rooms, effects } = admission;
        let state = match admit {
            Admit::In(state) => state,
            Admit::Out { message, data } => {
                self.release(&identity, cx);
                cx.told.connects_refused[ConnectRefusal::Application.place()].add(1);
                self.refuse(namespace, &message, data.as_deref().map(RawValue::get), cx);
                return Ok(());
            }
            // An answer is no promise of another one.
            Admit::Later(_) => return Err(CloseReason::Dismissed(Dismissed::Internal)),
        };
        self.connect_by_ms = u64::MAX;
        if is_new {
            self.next_number = number.wrapping_add(1).max(1);
        }
        let (about, acks, track) = (About::new(namespace, identity), Acks::default(), Track::default());
        let logic = Logic::opening_with(effects);
        self.list.push(Entry { state, about, acks, logic, number, stage: Stage::Entering, track });
        let ask = Ask::Enter(Box::new(Enter::new(namespace_channel(namespace))));
        cx.actions.push(Action::Ask { id: 0, ask });
        let mut place = Place {
            namespace,
            id: SocketId::new(cx.client, number),
            identity: self.list.last().and_then(Entry::identity),
            naming: naming(cx.settings, cx.client),
            is_msgpack: false,
            asking: None,
            sender: None,
            actions: cx.actions,
        };
        for room in rooms {
            place.enter(&room).map_err(|_| CloseReason::Dismissed(Dismissed::Internal))?;
        }
        Ok(())
    }

    /// The socket that waits to enter this channel, if that is a namespace's.
    fn waiting_at(&self, channel: &str) -> Option<usize> {
        self.place_of(namespace_of(channel)?).filter(|&at| self.list[at].stage == Stage::Entering)
    }

    /// Tells a client that it is connected, when the channel is that of a namespace. `seq`: the number of its home.
    pub(in crate::session::socketio) fn entered(&mut self, channel: &str, seq: u64, cx: &mut Context<'_>) {
        let Some(at) = self.waiting_at(channel) else { return };
        self.list[at].stage = Stage::Connected;
        self.list[at].track.begin(seq);
        let (place, namespace) = (self.list[at].place(cx.client), self.list[at].namespace());
        let seed = cx.client.seed;
        let pid = is_on(cx.settings).then(|| Pid { place, since: seq }.seal(seed, namespace));
        self.put_connected(namespace, SocketId::of(place, seed), pid.as_deref(), cx);
        self.greet_at_ms = cx.now_ms + GREETING_MS;
        cx.actions.push(Action::SetTimer { at_ms: self.greet_at_ms });
    }

    /// Handles a namespace or a room that the socket cannot enter.
    pub(in crate::session::socketio) fn not_entered<H: Handler<State = S>>(
        &mut self,
        channel: &str,
        denied: &Denied,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if *denied == Denied::AlreadyIn {
            return Ok(());
        }
        // Not silently: the application considers the socket a member. The client comes back.
        let Some(at) = self.waiting_at(channel) else {
            let is_limit = *denied == Denied::Limit;
            let why = if is_limit { Dismissed::ChannelLimit } else { Dismissed::TooMany };
            return Err(CloseReason::Dismissed(why));
        };
        let namespace = self.list[at].namespace().to_owned();
        self.refuse(&namespace, &denied.to_string(), None, cx);
        self.remove(at, Why::Disconnected, handler, cx);
        Ok(())
    }

    /// Tells the application that a client is connected, unless it was told.
    pub(super) fn greet<H: Handler<State = S>>(
        &mut self,
        at: usize,
        bound: Bound,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let is_recovered = match self.list[at].stage {
            Stage::Connected => false,
            Stage::Returned => true,
            Stage::Entering | Stage::Greeted => return Ok(()),
        };
        self.list[at].stage = Stage::Greeted;
        let effects = self.list[at].take_opening();
        self.call(at, bound, handler, cx, |handler, state, socket| {
            socket.is_recovered = is_recovered;
            handler.socket_connected(state, socket)?;
            // They were read before they came here.
            let effects = effects::read_list(&effects).unwrap_or_default();
            effects.iter().try_for_each(|effect| carry_out(socket, EFFECT_PLACE, effect, &mut []))
        })
    }

    /// The number of a new socket: not one of those that live, or may.
    pub(super) fn free_number(&self, namespace: &str) -> u8 {
        if (self.engine.outlet().protocol, namespace) == (EngineProtocol::V3, ROOT) {
            return ROOT_OF_SESSION;
        }
        let admin = self.page().map(|admin| admin.number);
        let is_taken = |number: u8| {
            let pending = || self.pending().iter().any(|one| one.number == number);
            admin == Some(number) || self.list.iter().any(|entry| entry.number == number) || pending()
        };
        let numbers = (0..=u8::MAX).map(|ahead| self.next_number.wrapping_add(ahead));
        numbers
            .into_iter()
            .find(|number| *number != ROOT_OF_SESSION && !is_taken(*number))
            .unwrap_or_default()
    }

    /// The number of a new socket that is connected already: that of an admin page.
    pub(in crate::session::socketio) fn take_number(&mut self) -> u8 {
        let number = self.free_number(NAMESPACE);
        self.connect_by_ms = u64::MAX;
        self.next_number = number.wrapping_add(1).max(1);
        number
    }

    /// Notes a refused CONNECT: the client may have sent more behind it.
    pub(in crate::session::socketio) fn note_refused(&mut self) {
        self.next_number = self.next_number.max(1);
    }

    /// Answers CONNECT by an error.
    pub(in crate::session::socketio) fn refuse(
        &self,
        namespace: &str,
        message: &str,
        data: Option<&str>,
        cx: &mut Context<'_>,
    ) {
        let protocol = self.engine.outlet().socket_protocol();
        self.put(
            cx,
            |out| write::put_connect_error(out, protocol, namespace, message, data),
            |out| {
                // Data that is nested too deeply is left out.
                if msgpack::put_connect_error(out, namespace, message, data).is_err() {
                    msgpack::put_connect_error(out, namespace, message, None).ok();
                }
            },
        );
    }
}

/// The `auth` object of a CONNECT, as JSON. In Socket.IO 4 the namespace has a query in place of it.
pub(in crate::session::socketio) fn auth_text<'a>(
    auth: Option<Raw<'a>>,
    query: Option<&str>,
) -> Result<Option<Cow<'a, str>>, CloseReason> {
    match auth {
        None => Ok(query.map(query_as_json).map(Cow::Owned)),
        Some(Raw::Json(json)) => Ok(Some(Cow::Borrowed(json))),
        Some(Raw::MsgPack(value)) => auth_of(value).map(|auth| Some(Cow::Owned(auth))).map_err(malformed),
    }
}

/// The `auth` object of a packet in msgpack, as JSON. Binary data in it becomes a placeholder.
fn auth_of(value: &[u8]) -> Result<String, SocketError> {
    let (mut json, mut attachments) = (Vec::new(), AttachmentStore::default());
    msgpack::value_to_json(value, &mut json, &mut attachments)?;
    String::from_utf8(json).map_err(|_| SocketError::MsgPack)
}
