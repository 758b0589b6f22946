//! Engine.IO sessions of protocols 4 and 3: open, heartbeat, close, and packets in both directions.
//!
//! * `open` answers requests: it opens a session, or refuses as the protocol demands.
//! * `opening`: the kept part of the request.
//! * `outlet`: how packets leave. Nothing else knows whether a session is a WebSocket or is polled.
//! * `input`: messages of a client's WebSocket. `messages`: sessions whose content is messages for a handler.
//!
//! Invariant: in protocol 4 the server pings every `ping_interval`, whatever else it sends: clients close when no ping has
//! come for an interval and a timeout. In protocol 3 the client pings, and the server ends a session without pings. Left
//! out: Socket.IO ([`super::socketio`]); a WebSocket before the upgrade ([`super::probe`]).

mod input;
mod messages;
mod open;
mod opening;
mod outlet;

pub(in crate::session) use input::next_message;
pub use messages::EngineClient;
pub(in crate::session) use messages::{EngineForm, Messages};
pub(in crate::session) use open::{Handshake, PollQuery, Wanted, open};
pub(in crate::session) use opening::EngineOpening;
pub(in crate::session) use outlet::{Outlet, Target, polled_body};

use super::probe::Way;
use super::socketio::SocketIoOptions;
use super::{Action, CloseReason, Context, OrderFault};
use crate::proto::engine::{Content, EnginePacket, EngineProtocol, PacketKind};

/// Intervals from this size on are rounded up to [`COARSE_MS`], so that heartbeats of many sessions share a turn.
const COARSE_FROM_MS: u64 = 2000;
/// The unit of long intervals, in milliseconds: a shard handles its other deadlines in the same steps.
const COARSE_MS: u64 = 128;

/// Time from the answer to an upgrade until a client of protocol 3 gets the packet that opens its session, in milliseconds,
/// unless it sends something before. Some of those clients lose what arrives together with that answer.
const OPENING_MS: u64 = 10;

/// The state of one session.
#[derive(Debug)]
pub(in crate::session) struct Engine {
    /// Time of the next ping, or end of the time for its answer, in milliseconds of the shard's clock; in protocol 3, end
    /// of the time for the client's next ping.
    due_ms: u64,
    awaits_pong: bool,
    /// Whether the client is still to be told that the session is open.
    is_opening: bool,
    outlet: Outlet,
}

impl Engine {
    /// A session that begins now. The first ping comes after a part of the interval that depends on the connection, so
    /// that sessions that came together are not pinged together.
    fn new(outlet: Outlet, cx: &Context<'_>) -> Self {
        if outlet.protocol == EngineProtocol::V3 {
            let is_opening = !outlet.is_polled;
            let due_ms = if is_opening { cx.now_ms + OPENING_MS } else { client_deadline(cx) };
            return Self { due_ms, awaits_pong: false, is_opening, outlet };
        }
        let interval_ms = cx.settings.socketio.ping_interval_ms;
        let first_ms = if interval_ms < COARSE_FROM_MS { interval_ms } else { spread(cx, interval_ms) };
        Self { due_ms: deadline(cx.now_ms, first_ms), awaits_pong: false, is_opening: false, outlet }
    }

    /// A session that waits for nothing until its next ping is due, or its client's.
    pub(in crate::session) fn idle(outlet: Outlet, due_ms: u64) -> Self {
        Self { due_ms, awaits_pong: false, is_opening: false, outlet }
    }

    /// Whether it waits for nothing: then [`Engine::idle`] makes it again.
    pub(in crate::session) fn is_idle(&self) -> bool {
        !self.awaits_pong && !self.is_opening
    }

    /// Whether the client is still to be told that the session is open: by [`Engine::open_now`], before anything else.
    pub(in crate::session) fn is_opening(&self) -> bool {
        self.is_opening
    }

    /// Whether the time for that has come.
    pub(in crate::session) fn is_opening_due(&self, now_ms: u64) -> bool {
        self.is_opening && self.due_ms <= now_ms
    }

    /// Tells the client that the session is open.
    pub(in crate::session) fn open_now(&mut self, cx: &mut Context<'_>) {
        self.is_opening = false;
        self.due_ms = client_deadline(cx);
        open::put_open(self.outlet, cx);
    }

    /// How packets leave.
    pub(in crate::session) fn outlet(&self) -> Outlet {
        self.outlet
    }

    /// Makes packets leave by WebSocket; those that wait for a poll come first.
    pub(in crate::session) fn upgrade(&mut self, way: Way, polled: &[u8], cx: &mut Context<'_>) {
        let Way { base64, deflate } = way;
        self.outlet = Outlet { base64, deflate, is_polled: false, ..self.outlet };
        self.outlet.put_polled(polled, &mut Target { out: cx.out, press: cx.press });
        if self.awaits_pong {
            // The client may have had the ping by a poll, and no way to answer since. The upgrade shows that it lives.
            self.hear(cx);
        }
    }

    /// Handles a sign of life of the client. The deadline in the wheel is usually earlier, and is set again then; it is
    /// later where a client may take longer to answer than the interval is.
    fn hear(&mut self, cx: &mut Context<'_>) {
        self.awaits_pong = false;
        let next_ms = deadline(cx.now_ms, cx.settings.socketio.ping_interval_ms);
        let set_ms = std::mem::replace(&mut self.due_ms, next_ms);
        if next_ms < set_ms {
            cx.actions.push(Action::SetTimer { at_ms: next_ms });
        }
    }

    /// The time of the next call of [`Engine::timer`].
    pub(in crate::session) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Takes a packet; returns the content of a message.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub(in crate::session) fn receive<'p>(
        &mut self,
        packet: EnginePacket<'p>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Content<'p>>, CloseReason> {
        if self.awaits_pong {
            // Any packet shows that the client lives.
            self.hear(cx);
        }
        match (packet.kind, self.outlet.protocol) {
            (PacketKind::Message, _) => Ok(Some(packet.content)),
            (PacketKind::Pong, EngineProtocol::V4) => {
                cx.counts.pongs += 1;
                Ok(None)
            }
            (PacketKind::Ping, EngineProtocol::V3) => {
                self.due_ms = client_deadline(cx);
                // Only messages are binary.
                let data = if let Content::Text(text) = packet.content { text } else { "" };
                self.outlet.put_control(PacketKind::Pong, data, cx.out);
                Ok(None)
            }
            (PacketKind::Close, _) => Err(CloseReason::Peer(1005)),
            (PacketKind::Ping, EngineProtocol::V4) | (PacketKind::Pong, EngineProtocol::V3) => {
                Err(CloseReason::Malformed(OrderFault::WrongPing.into()))
            }
            // Clients post a noop while they upgrade; an upgrade has its own WebSocket. Neither has an effect here.
            (PacketKind::Open | PacketKind::Upgrade | PacketKind::Noop, _) => Ok(None),
        }
    }

    /// Sends a ping, or ends the session if the last one was not answered in time; in protocol 3 if the client has not
    /// pinged. `is_unread`: input of the client is not read for now.
    ///
    /// # Errors
    /// The client did not answer, or did not ping.
    pub(in crate::session) fn timer(
        &mut self,
        is_unread: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if cx.now_ms < self.due_ms {
            return Ok(());
        }
        let SocketIoOptions { ping_timeout_ms, .. } = cx.settings.socketio;
        if self.awaits_pong || self.outlet.protocol == EngineProtocol::V3 {
            // The client's input is not read while this much waits for it: its answer may be there.
            if is_unread {
                // Nor while its earlier input waits.
            } else if self.outlet.is_polled || cx.waiting_bytes <= cx.settings.outbox_bytes_max / 2 {
                return Err(CloseReason::NoPong);
            }
        } else {
            self.awaits_pong = true;
            self.outlet.control(PacketKind::Ping, cx);
            cx.counts.pings += 1;
        }
        self.due_ms = deadline(cx.now_ms, ping_timeout_ms);
        Ok(())
    }
}

/// The end of the time for the next ping of a client, in protocol 3.
fn client_deadline(cx: &Context<'_>) -> u64 {
    let SocketIoOptions { ping_interval_ms, ping_timeout_ms, .. } = cx.settings.socketio;
    deadline(cx.now_ms, ping_interval_ms.saturating_add(ping_timeout_ms))
}

/// The time after this many milliseconds.
fn deadline(now_ms: u64, after_ms: u64) -> u64 {
    let at_ms = now_ms.saturating_add(after_ms);
    if after_ms < COARSE_FROM_MS { at_ms } else { at_ms.next_multiple_of(COARSE_MS) }
}

/// A part of the interval that differs evenly between connections, by the golden ratio.
fn spread(cx: &Context<'_>, interval_ms: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9;
    let index = cx.client.token & u64::from(u32::MAX);
    let part = (index + 1).wrapping_mul(GOLDEN) & u64::from(u32::MAX);
    let half_ms = interval_ms / 2;
    half_ms + ((half_ms * part) >> 32)
}
