//! A connection of the Centrifuge protocol, over any transport.
//!
//! The session validates commands and answers those that need neither channel nor permission; it passes the rest to
//! its shard by [`Action::Ask`], and encodes the shard's replies. Replies to the commands of one frame are joined in
//! one frame. The client's identity and permissions belong to the shard.

mod commands;
mod form;
mod held;
mod publications;
mod pushes;
mod replies;

use std::borrow::Cow;

pub use commands::WaitingCommand;
pub use form::Form;
pub use held::HeldHead;
pub use publications::HistoryForm;
pub(super) use replies::code_of;

use super::pongs::Pongs;
use super::raw::{Call, Handler, Outcome};
use super::wire::{Framing, Transport, Wire};
use super::{Action, CloseReason, Context, Deferred, Phase, Splice};
use crate::base::payload::PayloadRef;
use crate::proto::centrifuge as protocol;
use crate::proto::centrifuge::codes::{Disconnect, Error};
use crate::proto::centrifuge::message::{
    Answer, Apart, ChannelRef, Command, Connect, Encoding, Push, Request,
};
use crate::proto::ws::{Decoder, Deflate, Event, frame};

/// Data of the HTTP request that opened the connection, kept until the connect command is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Headers for hooks: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The token of the cookie, if there is one.
    pub token: String,
    /// The head of the response, where it depends on the reply to connect.
    pub held: Option<HeldHead>,
}

/// The session of a connection that speaks the Centrifuge protocol.
#[derive(Debug)]
pub struct Centrifuge {
    pub(super) decoder: Decoder,
    opening: Option<Box<Opening>>,
    wire: Wire,
    phase: Phase,
    /// Whether the client is pinged by WebSocket frames, which its library answers, instead of the protocol's
    /// messages.
    pings_by_frame: bool,
    /// Whether a connect command was refused.
    was_refused: bool,
}

impl Centrifuge {
    /// A connection whose client has sent no command yet.
    pub fn new(wire: Wire, opening: Opening) -> Self {
        let opening = (opening != Opening::default()).then(|| Box::new(opening));
        Self {
            decoder: Decoder::default(),
            opening,
            wire,
            phase: Phase::Identifying,
            pings_by_frame: false,
            was_refused: false,
        }
    }

    /// Pings the client of a WebSocket by frames from now on.
    pub(super) fn ping_by_frame(&mut self) {
        self.pings_by_frame = true;
    }

    /// The transport of the connection.
    pub fn transport(&self) -> Transport {
        self.wire.transport
    }

    /// The encoding of its messages.
    pub fn encoding(&self) -> Encoding {
        self.wire.encoding
    }

    pub(super) fn deflate(&self) -> Deflate {
        self.wire.deflate
    }

    /// Takes bytes of a WebSocket connection.
    pub(super) fn receive<H: Handler>(
        &mut self,
        mut input: &mut [u8],
        handler: &mut H,
        pongs: &mut Pongs,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.wire.transport.framing() != Framing::WebSocket {
            // After the request of a streaming response no input is expected.
            return Ok(());
        }
        let is_packed = self.wire.deflate.is_on();
        while let Some(event) = self
            .decoder
            .next(&mut input, &cx.settings.ws, is_packed.then_some(&mut *cx.press))
            .map_err(CloseReason::Violation)?
        {
            match event {
                Event::Message(_, payload) => {
                    cx.counts.messages_in += 1;
                    self.take(&payload, handler, cx)?;
                    cx.press.reclaim(payload);
                }
                Event::Ping(payload) => pongs.answer(&payload, cx),
                Event::Pong => cx.counts.pongs += 1,
                Event::Close(code) => return Err(CloseReason::Peer(code.unwrap_or(1005))),
            }
        }
        Ok(())
    }

    /// Takes the commands of one frame, or of one POST; their immediate replies are appended to `cx.out`.
    ///
    /// # Errors
    /// The reason for which the connection ends.
    pub(super) fn take<H: Handler>(
        &mut self,
        payload: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.wire.transport.is_uni() {
            return self.take_uni(payload, cx);
        }
        // Most replies are about as long as their commands.
        let begun = self.wire.begin(cx.out, payload.len());
        let start = begun.start;
        let mut count = 0;
        let mut has_connect = false;
        let mut outcome = Ok(());
        for command in protocol::commands(self.wire.encoding, payload) {
            count += 1;
            has_connect |= matches!(&command, Ok(Command { request: Request::Connect(_), .. }));
            outcome = match command {
                Ok(command) => self.command(command, start, handler, cx),
                Err(_) => Err(CloseReason::BadRequest),
            };
            if outcome.is_err() {
                break;
            }
            // It is not known yet whether the shard can reply at once.
            cx.is_behind |= matches!(cx.actions.last(), Some(Action::Ask { .. } | Action::Wait { .. }));
            if has_connect
                && let Some(Action::Wait { deferred: Deferred::Centrifuge(waiting), .. }) =
                    cx.actions.last_mut()
            {
                waiting.is_behind_connect = true;
            }
        }
        cx.counts.messages_out += u64::from(cx.out.len() > start);
        self.wire.end(cx.out, begun, cx.press);
        // A frame without commands is invalid.
        if count == 0 { Err(CloseReason::BadRequest) } else { outcome }
    }

    /// Takes the messages of a client without commands: its connect request, then nothing but pongs.
    fn take_uni(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), CloseReason> {
        if self.phase != Phase::Identifying {
            return Ok(());
        }
        let connect =
            protocol::connect_request(self.wire.encoding, payload).map_err(|_| CloseReason::BadRequest)?;
        self.identify(0, connect, cx);
        Ok(())
    }

    fn command<H: Handler>(
        &mut self,
        command: Command<'_>,
        start: usize,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Command { id, request } = command;
        let expects_reply = !matches!(request, Request::Pong | Request::Send { .. });
        // A command with a reply needs an id.
        if expects_reply == (id == 0) {
            return Err(CloseReason::BadRequest);
        }
        if self.phase == Phase::Admitting && request == Request::Pong {
            return Ok(());
        }
        // The permission to execute it depends on the reply to connect; and a command that the session answers itself
        // is deferred like all others while its client does not read. `resume` executes it.
        let is_full = cx.out.len() + cx.waiting_bytes > cx.settings.outbox_bytes_max / 2;
        let name_bytes_max = cx.settings.channel_name_bytes_max;
        let overtakes = cx.is_behind && commands::is_done_here(&request, name_bytes_max);
        if self.phase == Phase::Admitting || (is_full && expects_reply) || overtakes {
            let waiting = WaitingCommand::new(request, name_bytes_max);
            cx.actions.push(Action::Wait { id, deferred: Deferred::Centrifuge(waiting) });
            return Ok(());
        }
        self.carry_out(id, request, start, handler, cx)
    }

    /// Executes a command that need not wait for an earlier one.
    fn carry_out<H: Handler>(
        &mut self,
        id: u32,
        request: Request<'_>,
        start: usize,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        debug_assert_ne!(self.phase, Phase::Admitting, "commands behind connect wait for its answer");
        // A client must connect before any other command, and only once.
        let is_connect = matches!(request, Request::Connect(_));
        if is_connect == (self.phase == Phase::Live) {
            return Err(CloseReason::BadRequest);
        }
        let name_bytes = commands::channel_of(&request).map(str::len);
        if name_bytes == Some(0) {
            self.put_bad_request(id, "channel: missing or empty", start, cx);
            return Ok(());
        }
        if name_bytes > Some(cx.settings.channel_name_bytes_max) {
            self.put_bad_request(id, "channel: longer than channel_name_bytes_max", start, cx);
            return Ok(());
        }
        match request {
            Request::Pong => cx.counts.pongs += 1,
            Request::Send { data } => {
                handler.sent(&Call { client: cx.client, user: cx.user, method: "", data: &data });
            }
            Request::Ping => protocol::put_answer(cx.out, start, self.wire.encoding, id, &Answer::Ping),
            Request::Unknown => put_error(cx, start, self.wire.encoding, id, &Error::METHOD_NOT_FOUND),
            // An unsupported kind must not subscribe to the stream of the same name.
            Request::Subscribe(subscribe) if subscribe.kind != 0 => {
                put_error(cx, start, self.wire.encoding, id, &Error::NOT_AVAILABLE);
            }
            Request::Publish { data: None, .. } => self.put_bad_request(id, "data: missing", start, cx),
            Request::Malformed => {
                self.put_bad_request(id, "a field has the wrong type or an invalid value", start, cx);
            }
            Request::Rpc { method, data } => self.call(id, method, data, start, handler, cx),
            Request::Connect(connect) => self.identify(id, *connect, cx),
            Request::Subscribe(_)
            | Request::Unsubscribe { .. }
            | Request::Publish { .. }
            | Request::Presence { .. }
            | Request::PresenceStats { .. }
            | Request::History(_)
            | Request::Refresh { .. }
            | Request::SubRefresh { .. } => {
                let ask = commands::ask_of(request, self.wire.encoding);
                cx.actions.extend(ask.map(|ask| Action::Ask { id, ask }));
            }
        }
        Ok(())
    }

    /// Replies to a command that cannot be executed, and has the shard log its fault.
    fn put_bad_request(&self, id: u32, detail: &'static str, start: usize, cx: &mut Context<'_>) {
        put_error(cx, start, self.wire.encoding, id, &Error::BAD_REQUEST);
        cx.actions.push(Action::Misused { id, detail });
    }

    /// Passes the connect command to the shard, and waits for the reply.
    fn identify(&mut self, id: u32, connect: Connect, cx: &mut Context<'_>) {
        self.phase = Phase::Admitting;
        cx.actions.push(Action::Ask { id, ask: commands::identify(connect, self.opening.as_deref()) });
    }

    /// Executes a call: the embedder's handler is asked first, then, by the shard, the application's hook.
    fn call<H: Handler>(
        &mut self,
        id: u32,
        method: Cow<'_, str>,
        data: Cow<'_, [u8]>,
        start: usize,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) {
        // The shard refuses a client that calls too often.
        if !cx.settings.limits_calls {
            let call = Call { client: cx.client, user: cx.user, method: &method, data: &data };
            match Outcome::of(handler, &call) {
                Outcome::NotServed => {}
                Outcome::Result(result) => {
                    return protocol::put_answer(
                        cx.out,
                        start,
                        self.wire.encoding,
                        id,
                        &Answer::Rpc(PayloadRef::of(&result)),
                    );
                }
                Outcome::Error { code, message } => {
                    cx.note_error(id, code, &message);
                    return protocol::put_error(cx.out, start, self.wire.encoding, id, code, &message, false);
                }
            }
        }
        let ask = commands::ask_of(Request::Rpc { method, data }, self.wire.encoding);
        cx.actions.extend(ask.map(|ask| Action::Ask { id, ask }));
    }

    /// Executes a command that was deferred until connect was answered. If that was refused, the commands of its frame are
    /// dropped up to another connect command: the client sent them before it knew of the refusal.
    pub(super) fn resume<H: Handler>(
        &mut self,
        id: u32,
        deferred: WaitingCommand,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let WaitingCommand { request, is_behind_connect, .. } = deferred;
        if is_behind_connect && self.phase == Phase::Identifying && !matches!(request, Request::Connect(_)) {
            return Ok(());
        }
        let start = cx.out.len();
        let outcome = self.carry_out(id, request, start, handler, cx);
        cx.counts.messages_out += u64::from(cx.out.len() > start);
        self.wire.seal(cx.out, start, cx.press);
        outcome
    }

    /// Asks the handler about a call that the shard has admitted.
    pub(super) fn call_late<H: Handler>(
        &mut self,
        id: u32,
        method: &str,
        data: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> bool {
        let call = Call { client: cx.client, user: cx.user, method, data };
        match Outcome::of(handler, &call) {
            Outcome::NotServed => return false,
            Outcome::Result(result) => self.put_answer(id, &Answer::Rpc(PayloadRef::of(&result)), cx),
            Outcome::Error { code, message } => self.put_failure(id, code, &message, false, cx),
        }
        true
    }

    /// Handles the refusal of the connect command: the client may send another one, and nothing else.
    pub fn connect_refused(&mut self) {
        debug_assert_eq!(self.phase, Phase::Admitting);
        self.phase = Phase::Identifying;
        self.was_refused = true;
    }

    /// Whether a connect command was refused before.
    pub(super) fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Seals the message written since `start`, with the payloads apart from number `first` on.
    fn sent(&self, start: usize, first: usize, cx: &mut Context<'_>) {
        cx.counts.messages_out += 1;
        let apart = &mut cx.apart[first..];
        if apart.is_empty() {
            return self.wire.seal(cx.out, start, cx.press);
        }
        let bytes = apart.iter().map(|one| one.data.len()).sum();
        let moved = self.wire.seal_around(cx.out, start, bytes);
        apart.iter_mut().for_each(|one| one.at += moved);
    }

    /// The form in which the client receives publications of a history.
    pub(super) fn telling(&self, takes_deltas: bool) -> HistoryForm {
        HistoryForm { apart: self.wire.apart(), takes_deltas }
    }

    /// Writes the server's ping: an empty message, or a frame.
    pub(super) fn ping(&self, out: &mut Vec<u8>) {
        if self.pings_by_frame {
            return frame::put_ping(out);
        }
        let start = out.len();
        out.extend_from_slice(protocol::ping(self.wire.encoding));
        self.wire.seal_plain(out, start);
    }

    /// Writes the last message where there is no close frame: the reason as a push.
    pub(super) fn goodbye(&self, code: Option<u16>, reason: &str, retry_ms: Option<u64>, out: &mut Vec<u8>) {
        let framing = self.wire.transport.framing();
        if framing == Framing::WebSocket {
            return frame::put_close(out, code, reason);
        }
        if let Some(held) = self.held() {
            return held.refuse(code, reason, out);
        }
        let Some(code) = code else { return };
        // HTML, 9.2.6: the delay after which an EventSource reconnects.
        if let (Framing::Events, Some(retry_ms)) = (framing, retry_ms) {
            out.extend_from_slice(format!("retry: {retry_ms}\n").as_bytes());
        }
        let start = out.len();
        let reconnect = Disconnect { code, reason: "" }.reconnects();
        let push = Push::Disconnect { code, reason, reconnect };
        protocol::put_push(
            out,
            start,
            self.wire.encoding,
            self.wire.transport.is_uni(),
            ChannelRef::None,
            &push,
        );
        self.wire.seal_plain(out, start);
    }

    fn held(&self) -> Option<&HeldHead> {
        self.opening.as_ref()?.held.as_ref()
    }

    /// Whether the head of the response waits for the reply to connect.
    pub(super) fn is_head_held(&self) -> bool {
        self.held().is_some()
    }

    /// The form in which the connection receives the publications of one channel.
    pub(super) fn form(&self, takes_deltas: bool, is_compact: bool) -> Form {
        let Wire { transport, encoding, deflate } = self.wire;
        let (framing, is_uni) = (transport.framing(), transport.is_uni());
        Form { framing, encoding, is_uni, takes_deltas, is_compact, deflate }
    }

    /// The phase: live once the connect command is answered.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes()
    }
}

fn put_apart(apart: &Apart, cx: &mut Context<'_>) {
    cx.apart.push(Splice { at: apart.at(), data: apart.data().clone() });
}

fn put_error(cx: &mut Context<'_>, start: usize, encoding: Encoding, id: u32, error: &Error) {
    cx.note_error(id, error.code, error.message);
    protocol::put_error(cx.out, start, encoding, id, error.code, error.message, error.temporary);
}

#[cfg(test)]
mod tests {
    use super::super::raw::{Echo, NoHandler};
    use super::super::tests::{client, settings};
    use super::super::{Counts, Settings};
    use super::*;
    use crate::hub::words::{Ask, Denied, Entered, Identified, Reply};
    use crate::proto::ws::Press;
    use crate::session::Told;

    const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

    /// A session, its output and its actions.
    struct Talk {
        session: Centrifuge,
        settings: Settings,
        out: Vec<u8>,
        apart: Vec<Splice>,
        actions: Vec<Action>,
    }

    impl Talk {
        fn over(transport: Transport) -> Self {
            let wire = Wire { transport, encoding: Encoding::Json, deflate: Deflate::Off };
            let session = Centrifuge::new(wire, Opening::default());
            Self { session, settings: settings(), out: Vec::new(), apart: Vec::new(), actions: Vec::new() }
        }

        /// A connected session.
        fn connected(transport: Transport) -> Self {
            let mut talk = Self::over(transport);
            talk.take(CONNECT).unwrap();
            talk.actions.clear();
            talk.with(|session, cx| session.reply(1, &Reply::Identified(Identified::default()), cx));
            talk.out.clear();
            talk
        }

        fn with<R>(&mut self, call: impl FnOnce(&mut Centrifuge, &mut Context<'_>) -> R) -> R {
            let Self { session, settings, out, apart, actions } = self;
            let (client, counts, press) = (client(1), Counts::default(), &mut Press::new(None));
            let (now_ms, user, certificate, in_place) = (0, "", None, None);
            let mut cx = Context {
                now_ms,
                settings,
                client,
                user,
                certificate,
                out,
                apart,
                waiting_bytes: 0,
                is_behind: false,
                in_place,
                actions,
                reach: &mut crate::hub::reach::Reach::new(7.into(), 0, 1),
                press,
                forwarded: crate::session::Forwarded::default(),
                counts,
                told: &Told::default(),
                notes: &mut Vec::new(),
            };
            call(session, &mut cx)
        }

        fn take(&mut self, text: &str) -> Result<(), CloseReason> {
            self.with(|session, cx| session.take(text.as_bytes(), &mut NoHandler, cx))
        }

        /// The output since the last call.
        fn text(&mut self) -> String {
            String::from_utf8_lossy(&std::mem::take(&mut self.out)).into_owned()
        }
    }

    #[test]
    fn replies_to_one_frame_come_in_one_frame() {
        let mut talk = Talk::connected(Transport::WebSocket);
        talk.take("{\"id\":2,\"ping\":{}}\n{\"id\":3,\"dance\":{}}\n{}").unwrap();
        let text = talk.text();
        let payload = &text[text.find('{').unwrap()..];
        assert_eq!(
            payload.lines().collect::<Vec<_>>(),
            [r#"{"id":2,"ping":{}}"#, r#"{"id":3,"error":{"code":104,"message":"method not found"}}"#]
        );
        assert!(talk.actions.is_empty());
    }

    #[test]
    fn what_needs_the_shard_is_asked_of_it() {
        let mut talk = Talk::connected(Transport::WebSocket);
        for (command, is_it) in [
            (
                r#"{"id":2,"subscribe":{"channel":"a"}}"#,
                (|ask| matches!(ask, Ask::Enter(_))) as fn(&Ask) -> bool,
            ),
            (
                r#"{"id":3,"publish":{"channel":"a","data":{"x": 1}}}"#,
                |ask| matches!(ask, Ask::Publish { channel, data, .. } if **channel == *"a" && **data == *br#"{"x": 1}"#),
            ),
            (r#"{"id":4,"unsubscribe":{"channel":"a"}}"#, |ask| matches!(ask, Ask::Leave { .. })),
            (r#"{"id":5,"presence":{"channel":"a"}}"#, |ask| matches!(ask, Ask::Presence { .. })),
            (r#"{"id":6,"history":{"channel":"a"}}"#, |ask| matches!(ask, Ask::History { .. })),
            (r#"{"id":7,"rpc":{"method":"m"}}"#, |ask| matches!(ask, Ask::Call { .. })),
            (r#"{"id":8,"refresh":{"token":"t"}}"#, |ask| matches!(ask, Ask::Renew { .. })),
        ] {
            talk.take(command).unwrap();
            let [Action::Ask { ask, .. }] = &talk.actions[..] else { panic!("{:?}", talk.actions) };
            assert!(is_it(ask), "{ask:?}");
            assert!(talk.out.is_empty());
            talk.actions.clear();
        }
    }

    #[test]
    fn connect_comes_first_and_once() {
        for frames in [
            &[r#"{"id":1,"ping":{}}"#][..],
            &["{}"],
            &[CONNECT, r#"{"subscribe":{"channel":"a"}}"#],
            &[CONNECT, ""],
            &[CONNECT, "\n"],
            &["not json"],
        ] {
            let mut talk = Talk::over(Transport::WebSocket);
            let outcomes: Vec<_> = frames.iter().map(|frame| talk.take(frame)).collect();
            assert_eq!(outcomes.last(), Some(&Err(CloseReason::BadRequest)), "{frames:?}");
        }
    }

    #[test]
    fn connect_is_answered_once_and_tried_anew_after_a_refusal() {
        let mut talk = Talk::over(Transport::WebSocket);
        talk.take(&format!("{CONNECT}\n{CONNECT}")).unwrap();
        let [Action::Ask { .. }, Action::Wait { .. }] = &talk.actions[..] else {
            panic!("{:?}", talk.actions)
        };
        for is_refused in [true, false] {
            let Action::Wait { id, deferred: Deferred::Centrifuge(deferred) } = talk.actions.pop().unwrap()
            else {
                panic!()
            };
            talk.actions.clear();
            match is_refused {
                true => talk.session.connect_refused(),
                false => {
                    talk.with(|session, cx| session.reply(1, &Reply::Identified(Identified::default()), cx))
                }
            }
            let outcome = talk.with(|session, cx| session.resume(id, deferred, &mut NoHandler, cx));
            assert_eq!(outcome, if is_refused { Ok(()) } else { Err(CloseReason::BadRequest) });
            assert_eq!(matches!(talk.actions[..], [Action::Ask { .. }]), is_refused);
            if is_refused {
                talk.take(CONNECT).unwrap();
            }
        }
        assert_eq!(talk.take(CONNECT), Err(CloseReason::BadRequest));
    }

    #[test]
    fn what_waited_for_a_refused_connect_is_dropped_if_it_came_in_its_frame_and_ends_the_connection_if_not() {
        for command in
            [r#"{"id":2,"ping":{}}"#, r#"{"send":{"data":1}}"#, r#"{"id":2,"subscribe":{"channel":"a"}}"#]
        {
            let in_one = format!("{CONNECT}\n{command}");
            for (frames, expected) in
                [(vec![&in_one[..]], Ok(())), (vec![CONNECT, command], Err(CloseReason::BadRequest))]
            {
                let mut talk = Talk::over(Transport::WebSocket);
                frames.iter().for_each(|frame| talk.take(frame).unwrap());
                let Action::Wait { id, deferred: Deferred::Centrifuge(deferred) } =
                    talk.actions.pop().unwrap()
                else {
                    panic!()
                };
                talk.actions.clear();
                talk.session.connect_refused();
                let outcome = talk.with(|session, cx| session.resume(id, deferred, &mut NoHandler, cx));
                assert_eq!(outcome, expected, "{frames:?}");
                assert!(talk.actions.is_empty() && talk.out.is_empty(), "{frames:?}");
            }
        }
    }

    #[test]
    fn nothing_is_answered_before_connect_is() {
        let mut talk = Talk::over(Transport::WebSocket);
        talk.take(&format!("{CONNECT}\n{{\"id\":2,\"ping\":{{}}}}")).unwrap();
        talk.take(r#"{"id":3,"publish":{"channel":""}}"#).unwrap();
        assert!(talk.out.is_empty());
        let early: Vec<_> = std::mem::take(&mut talk.actions).into_iter().skip(1).collect();
        talk.with(|session, cx| session.reply(1, &Reply::Identified(Identified::default()), cx));
        talk.out.clear();
        for action in early {
            let Action::Wait { id, deferred: Deferred::Centrifuge(deferred) } = action else {
                panic!("{action:?}")
            };
            talk.with(|session, cx| session.resume(id, deferred, &mut NoHandler, cx)).unwrap();
        }
        let text = talk.text();
        assert!(
            text.contains(r#"{"id":2,"ping":{}}"#) && text.contains(r#"{"id":3,"error":{"code":107"#),
            "{text}"
        );
    }

    #[test]
    fn bad_requests_get_errors_and_live_on() {
        let long = format!(r#"{{"id":2,"subscribe":{{"channel":"{}"}}}}"#, "x".repeat(21));
        let mut talk = Talk::connected(Transport::WebSocket);
        for (command, detail) in [
            (r#"{"id":2,"subscribe":{"channel":""}}"#, "channel: missing or empty"),
            (&long, "channel: longer than channel_name_bytes_max"),
            (r#"{"id":2,"publish":{"channel":"a"}}"#, "data: missing"),
            (r#"{"id":2,"unsubscribe":{}}"#, "channel: missing or empty"),
            (
                r#"{"id":2,"history":{"channel":"a","limit":"all"}}"#,
                "a field has the wrong type or an invalid value",
            ),
        ] {
            assert_eq!(talk.take(command), Ok(()), "{command}");
            let text = talk.text();
            assert!(text.contains(r#"{"id":2,"error":{"code":107,"message":"bad request"}}"#), "{text}");
            assert_eq!(std::mem::take(&mut talk.actions), [Action::Misused { id: 2, detail }], "{command}");
        }
    }

    #[test]
    fn a_handler_answers_calls_at_once() {
        let mut talk = Talk::connected(Transport::WebSocket);
        let call = br#"{"id":2,"rpc":{"method":"m","data":{"a" : 1}}}"#;
        talk.with(|session, cx| session.take(call, &mut Echo::new("/echo"), cx)).unwrap();
        assert!(talk.actions.is_empty());
        assert!(talk.text().contains(r#"{"id":2,"rpc":{"data":{"a" : 1}}}"#));
        talk.settings.limits_calls = true;
        talk.with(|session, cx| session.take(call, &mut Echo::new("/echo"), cx)).unwrap();
        assert_eq!((talk.actions.len(), talk.out.len()), (1, 0), "rate-limited calls go to the shard");
    }

    #[test]
    fn who_sends_no_commands_gets_pushes_alone() {
        let mut talk = Talk::over(Transport::UniSse);
        talk.take("{}").unwrap();
        talk.with(|session, cx| {
            session.reply(0, &Reply::Identified(Identified::default()), cx);
            session.reply(0, &Reply::Entered(Entered::default()), cx);
            session.deny(0, &Denied::Internal, cx);
        });
        let text = talk.text();
        assert!(text.starts_with("data: {\"connect\":{\"client\":\""), "{text}");
        assert_eq!(text.matches("\n\n").count(), 1, "{text}");
        talk.take("whatever comes behind is not looked at").unwrap();
        let mut out = Vec::new();
        talk.session.ping(&mut out);
        talk.session.goodbye(Some(3501), "bad request", None, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "data: {}\n\ndata: {\"disconnect\":{\"code\":3501,\"reason\":\"bad request\"}}\n\n");
        let mut out = Vec::new();
        talk.session.goodbye(Some(3001), "shutdown", Some(1234), &mut out);
        assert!(out.starts_with(b"retry: 1234\ndata: {\"disconnect\":{\"code\":3001,"), "{out:?}");
        let mut out = Vec::new();
        Talk::over(Transport::HttpStream).session.goodbye(Some(3001), "shutdown", Some(1234), &mut out);
        assert!(out.starts_with(b"{\"push\""), "{out:?}");
    }
}
