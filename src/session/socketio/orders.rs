//! Orders to sockets: those of others, which a session carries out for its own, and those of its application.

use serde::Serialize;

use super::acks::Acks;
use super::events::{Acked, Answers, Ending};
use super::rooms::Emit;
use super::sockets::Sockets;
use super::{EmitError, Socket, SocketId};
use crate::hub::DataKind;
use crate::hub::selector::Rooms;
use crate::hub::socket_order::{
    Gathered, SocketAnswer, SocketDeed, SocketFacts, SocketOrder, SocketQuestion,
};
use crate::hub::words::{Ask, OrderSockets};
use crate::proto::socketio::{
    Args, Attachments, JsonArgs, Packet, PacketBody, SocketProtocol, read, unbundle,
};
use crate::session::bound::Bound;
use crate::session::{Action, CloseReason, Context, Handler, SocketReply};

/// The beginning of the answers to a question of an application: the events that wait, and the socket's number.
#[derive(Debug)]
pub(super) struct Asking<'p> {
    pub(super) acks: &'p mut Acks,
    pub(super) number: u8,
}

/// Bits of a request's number for the question, below those for the socket.
const QUESTION_BITS: u32 = 24;

/// The number of a request of a socket with this number.
pub(super) fn request_of(number: u8, question: u32) -> u32 {
    u32::from(number) << QUESTION_BITS | question
}

impl Asking<'_> {
    /// The number of the request whose reply has the answers to a question with this token.
    fn request(&mut self, token: u64) -> u32 {
        request_of(self.number, self.acks.wait_for_many(token, (1 << QUESTION_BITS) - 1))
    }
}

impl Emit<'_> {
    /// Sends an event that each of the sockets is to answer within `timeout_ms`. [`Events::acked`](super::Events::acked)
    /// gets all answers at once, with this token, when the last one has come or the time is over: the first argument of
    /// each, and the number of sockets without an answer. Volatile: those that do not get the event count as such.
    ///
    /// # Errors
    /// As [`Emit::emit`]; and for a socket that has ended, which cannot get the answers.
    pub fn emit_for_ack(
        self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        token: u64,
        timeout_ms: u64,
    ) -> Result<(), EmitError> {
        self.emit_for_ack_with(name, args, &[], token, timeout_ms)
    }

    /// Sends an event with attachments that each of the sockets is to answer, as [`Emit::emit_for_ack`].
    ///
    /// # Errors
    /// As [`Emit::emit_with`] and [`Emit::emit_for_ack`].
    pub fn emit_for_ack_with(
        mut self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: &[&[u8]],
        token: u64,
        timeout_ms: u64,
    ) -> Result<(), EmitError> {
        let (kind, data) = self.encoded(name, args, attachments)?;
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let asking = self.place.asking.as_mut().ok_or(EmitError::Gone)?;
        let request = asking.request(token);
        let is_volatile = self.is_volatile;
        self.order(request, SocketDeed::Ask(SocketQuestion { kind, data, timeout_ms, is_volatile }))
    }

    /// Makes the sockets enter a room: `socketsJoin` of the reference. As with [`Socket::join`], what is sent to the room
    /// by any of them later reaches them.
    ///
    /// # Errors
    /// When the name of a room is too long, or there are too many. Then nothing is done.
    pub fn sockets_join(self, room: &str) -> Result<(), EmitError> {
        let rooms = [self.place.room(room)?].into();
        self.order(0, SocketDeed::Join(rooms))
    }

    /// Makes the sockets leave a room: `socketsLeave` of the reference.
    ///
    /// # Errors
    /// As [`Emit::sockets_join`].
    pub fn sockets_leave(self, room: &str) -> Result<(), EmitError> {
        let rooms = [self.place.room(room)?].into();
        self.order(0, SocketDeed::Leave(rooms))
    }

    /// Disconnects the sockets from the namespace; with `close`, their connections are closed, with all their sockets. Their
    /// clients do not come back by themselves. `disconnectSockets` of the reference.
    ///
    /// # Errors
    /// As [`Emit::sockets_join`].
    pub fn disconnect_sockets(self, close: bool) -> Result<(), EmitError> {
        self.order(0, SocketDeed::Disconnect { close })
    }

    fn order(self, id: u32, deed: SocketDeed) -> Result<(), EmitError> {
        let (place, is_to_others) = (self.place, self.is_to_others);
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let rooms = Rooms::of(place.namespace, self.to, self.except);
        let order = SocketOrder { namespace: place.namespace.into(), rooms, not_to: None, deed };
        let ask = Ask::OrderSockets(Box::new(OrderSockets { order, is_to_others }));
        place.actions.push(Action::Ask { id, ask });
        Ok(())
    }
}

impl Socket<'_, '_> {
    /// Sends an event of an order, and waits for the answer on the order's behalf.
    fn put_question(&mut self, question: &SocketQuestion, number: u32) -> Result<(), EmitError> {
        let (text, store) = unbundle(&question.data, question.kind == DataKind::Binary);
        let event = read(SocketProtocol::V5, text, usize::MAX).ok().and_then(|(packet, _)| match packet {
            Packet { body: PacketBody::Event(event), .. } => Some(event),
            _ => None,
        });
        let Some((event, Args::Json(args))) = event.as_ref().map(|event| (event, event.args)) else {
            return Err(EmitError::Args("they cannot be read".to_owned()));
        };
        self.ask_raw(&event.name, args, store.get())?;
        let at_ms = self.cx.now_ms.saturating_add(question.timeout_ms);
        self.acks.wait_for_order(number, at_ms);
        self.cx.actions.push(Action::SetTimer { at_ms });
        Ok(())
    }
}

impl<S> Sockets<S> {
    /// Carries out an order to end a socket.
    pub(super) fn disconnect<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        close: bool,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Some(at) = self.place_of(namespace) else { return Ok(()) };
        let ending = if close { Ending::DisconnectAll } else { Ending::Disconnect };
        self.call(at, Bound::unasked(cx), handler, cx, |_, _, _| Err(ending))
    }

    /// Sends the event of an order, unless it is to be dropped.
    pub(super) fn ask(
        &mut self,
        namespace: &str,
        question: &SocketQuestion,
        (number, is_dropped): (u32, bool),
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Some(at) = self.place_of(namespace) else {
            unanswered(number, Box::default(), cx.actions);
            return Ok(());
        };
        let bound = Bound::unasked(cx);
        let (_, mut socket) = self.parts_of(at, bound, cx);
        if is_dropped || socket.put_question(question, number).is_err() {
            let id = socket.id().as_str().into();
            unanswered(number, id, socket.cx.actions);
        }
        socket.outcome()
    }

    /// Takes the answers to a question of the application.
    pub(super) fn gathered<H: Handler<State = S>>(
        &mut self,
        request: u32,
        gathered: &Gathered,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let (number, question) = (request >> QUESTION_BITS, request & ((1 << QUESTION_BITS) - 1));
        if self.page().is_some_and(|admin| u32::from(admin.number) == number) {
            return self.surveyed(gathered, cx);
        }
        // The socket may have ended.
        let Some(at) = self.place_of_number(number) else { return Ok(()) };
        let Some(token) = self.acks_of(at).gathered(question) else { return Ok(()) };
        let Gathered { answers, missing, is_cut, .. } = gathered;
        let answers = Answers { list: answers, missing: missing.len(), is_cut: *is_cut };
        self.call(at, Bound::unasked(cx), handler, cx, |handler, state, socket| {
            handler.socket_acked(state, token, Acked::Many(answers), socket)
        })
    }

    /// The socket in a namespace, as far as the session knows it.
    pub(super) fn facts<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        unix_ms: u64,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Option<SocketFacts> {
        let at = self.place_of(namespace)?;
        let (is_polled, query) = (self.engine.outlet().is_polled, self.query().into());
        let issued_ms = unix_ms.saturating_sub(cx.now_ms.saturating_sub(self.opened_ms()));
        let (user, info) =
            self.identity_of(at).map(|own| (own.user.clone(), own.info.clone())).unwrap_or_default();
        let bound = Bound::unasked(cx);
        let (state, socket) = self.parts_of(at, bound, cx);
        let data = handler.socket_data(state).map(|data| data.get().into()).unwrap_or_default();
        Some(SocketFacts {
            id: socket.id().as_str().into(),
            namespace: socket.namespace.into(),
            client: socket.cx.client.to_string().into(),
            user,
            info,
            query,
            issued_ms,
            is_polled,
            data,
            ..SocketFacts::default()
        })
    }
}

/// The first argument of a client's answer, on the way to the order that asked for it.
pub(super) fn answered(
    question: u32,
    id: SocketId,
    args: JsonArgs<'_>,
    attachments: Attachments<'_>,
    actions: &mut Vec<Action>,
) {
    let data: Box<str> = args.items().next().map_or("null", |first| first.get()).into();
    let attachments = if data.contains("_placeholder") { attachments } else { Attachments::NONE };
    let attachments = attachments.iter().map(Box::from).collect();
    let answer = Ok(SocketAnswer { id: id.as_str().into(), data, attachments });
    actions.push(Action::SocketAnswered(Box::new(SocketReply { question, answer })));
}

/// Tells an order that a socket does not answer.
pub(super) fn unanswered(question: u32, id: Box<str>, actions: &mut Vec<Action>) {
    actions.push(Action::SocketAnswered(Box::new(SocketReply { question, answer: Err(id) })));
}
