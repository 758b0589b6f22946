//! A WebSocket that is to replace the polls of a session.
//!
//! The client of a polling session tests a WebSocket (`2probe`, answered by `3probe`) and then moves to it (`5`); some move
//! without a test. Until then the session's output belongs to polling, and its polls are ended by `6`, so that the client
//! need not wait for output before it moves.
//!
//! Invariant: nothing behind the `5` is read here: it belongs to the session. Left out: the session itself, which the
//! shard knows by its key.

use std::num::NonZeroU64;

use super::pongs::Pongs;
use super::{Action, CloseReason, Context, OrderFault};
use crate::base::slots::Key;
use crate::proto::engine::{EngineProtocol, PROBE, PacketKind, read_message};
use crate::proto::ws::{self, Decoder, Deflate, Kind, frame};

/// Maximum of bytes of a message: only `2probe` and `5` are expected.
const MESSAGE_BYTES_MAX: usize = 125;

/// The request of a client to replace the polls of a session by a WebSocket.
#[derive(Debug, PartialEq)]
pub struct UpgradeAsk {
    /// Shard of the session, and its key there.
    pub place: (u16, Key),
    /// The response that accepts the WebSocket.
    pub(crate) accepting: Vec<u8>,
    pub(super) way: Way,
}

/// How messages travel on the WebSocket of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Whether the client reads no binary messages.
    pub(super) base64: bool,
    pub(super) deflate: Deflate,
}

/// The progress of a WebSocket that is to replace polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeStep {
    /// Its client has tested it: every poll is ended from now on.
    Begun,
    /// The time to end a parked poll has come.
    Due,
    /// Its client uses it alone from now on.
    Done,
}

/// The state of such a WebSocket.
#[derive(Debug)]
pub struct Probe {
    pub(super) decoder: Decoder,
    session: Key,
    way: Way,
    /// The time to end a parked poll, in milliseconds of the shard's clock.
    due_ms: Option<NonZeroU64>,
    /// Input for the session.
    rest: Vec<u8>,
    is_done: bool,
}

impl Probe {
    pub(super) fn new(ask: &UpgradeAsk) -> Self {
        let (decoder, rest) = Default::default();
        Self { decoder, session: ask.place.1, way: ask.way, due_ms: None, rest, is_done: false }
    }

    /// The session, in the shard of the probe.
    pub(super) fn session(&self) -> Key {
        self.session
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due_ms.map(NonZeroU64::get)
    }

    pub(super) fn set_due_ms(&mut self, at_ms: Option<u64>) {
        self.due_ms = at_ms.and_then(NonZeroU64::new);
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes() + self.rest.capacity()
    }

    /// The input behind the `5`.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn receive(
        &mut self,
        mut input: &mut [u8],
        pongs: &mut Pongs,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.is_done {
            self.rest.extend_from_slice(input);
            return Ok(());
        }
        let limits = ws::Limits { frame_bytes_max: MESSAGE_BYTES_MAX, message_bytes_max: MESSAGE_BYTES_MAX };
        let is_packed = self.way.deflate.is_on();
        while let Some(event) = self
            .decoder
            .next(&mut input, &limits, is_packed.then_some(&mut *cx.press))
            .map_err(CloseReason::Violation)?
        {
            match event {
                ws::Event::Message(kind, payload) => {
                    let packet = read_message(EngineProtocol::V4, kind == Kind::Text, &payload)
                        .map_err(|error| CloseReason::Malformed(error.into()))?;
                    if packet.is_probe() {
                        let answer = [&[PacketKind::Pong.digit()], PROBE.as_bytes()].concat();
                        frame::put_frame(cx.out, Kind::Text, &answer);
                        self.push(ProbeStep::Begun, cx);
                    } else if packet.kind == PacketKind::Upgrade {
                        self.rest = input.to_vec();
                        self.is_done = true;
                        self.push(ProbeStep::Done, cx);
                        return Ok(());
                    } else {
                        return Err(CloseReason::Malformed(OrderFault::NoProbe.into()));
                    }
                }
                ws::Event::Ping(payload) => pongs.answer(&payload, cx),
                ws::Event::Pong => {}
                ws::Event::Close(code) => return Err(CloseReason::Peer(code.unwrap_or(1005))),
            }
        }
        Ok(())
    }

    /// Handles the time to end a parked poll.
    pub(super) fn timer(&self, cx: &mut Context<'_>) {
        self.push(ProbeStep::Due, cx);
    }

    fn push(&self, step: ProbeStep, cx: &mut Context<'_>) {
        cx.actions.push(Action::Probe { session: self.session, step });
    }
}
