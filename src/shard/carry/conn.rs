//! The state of a connection. An idle one has no buffer and no box.

use crate::session::Speaks;
use smallvec::SmallVec;

use super::client::Client;
use super::layers::Layers;
use crate::base::outbox::Outbox;
use crate::base::segment::Freed;
use crate::hub::local::ChannelId;
use crate::session::{Session, SessionKind};
use crate::tls::Link;

/// Unit of the deadlines stored per connection, in milliseconds. It is coarse on purpose: deadlines in the same beat
/// are handled in one turn, so heartbeats leave and return in batches, which costs a third of single ones. 32 bits
/// last for 17 years of uptime.
pub(in crate::shard) const BEAT_MS: u64 = 128;

/// Number of commands without an answer from their homes at which later commands of the connection wait. Some may be
/// added behind it, for hooks that were asked before.
pub(in crate::shard) const UNANSWERED_MAX: u16 = 60_000;

/// The first beat that begins at or after this time.
#[expect(clippy::cast_possible_truncation, reason = "2^32 beats are 17 years")]
pub(in crate::shard) fn beat_at_or_after(ms: u64) -> u32 {
    ms.div_ceil(BEAT_MS) as u32
}

/// A subscription of a connection, in eight bytes: the channel, and its position in the channel's list of
/// subscribers, or, before the home's answer, the number of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Sub {
    channel_and_flag: u32,
    value: u32,
}

/// The state of a [`Sub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum SubState {
    /// Requested with this request number.
    Pending(u32),
    /// Active, at this position in the channel's list of subscribers.
    Active(u32),
}

impl Sub {
    const PENDING: u32 = 1 << 31;

    pub(in crate::shard) fn pending(channel: ChannelId, request: u32) -> Self {
        debug_assert!(channel < Self::PENDING);
        Self { channel_and_flag: channel | Self::PENDING, value: request }
    }

    pub(in crate::shard) fn active(channel: ChannelId, position: u32) -> Self {
        debug_assert!(channel < Self::PENDING);
        Self { channel_and_flag: channel, value: position }
    }

    pub(in crate::shard) fn channel(self) -> ChannelId {
        self.channel_and_flag & !Self::PENDING
    }

    pub(in crate::shard) fn state(self) -> SubState {
        if self.channel_and_flag & Self::PENDING == 0 {
            SubState::Active(self.value)
        } else {
            SubState::Pending(self.value)
        }
    }
}

/// The stage of a connection's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Stage {
    /// The connection is open.
    Open,
    /// The queued data is the last; then the socket is closed: the client sent its close first.
    LastWords,
    /// The queued data is the last; then the sending side is closed, and the client's end is awaited.
    Linger,
    /// Everything is sent; waiting for the client's end and discarding its input.
    Discard,
    /// Refused before any input, and answered; waiting for the client's end and discarding its input.
    Shed,
    /// Freed at the end of the turn.
    Buried,
}

/// The gauge that counts a connection. It is stored, not derived from the session: a session may pass several phases
/// in one read, and the gauge that is decremented must be the one that was incremented. (A guard that does so by
/// itself would need a pointer to the counters in each connection.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) enum CountedAs {
    /// None: the connection was refused before any input, or has ended.
    #[default]
    Nothing,
    /// Connections with an incomplete request.
    HalfOpen,
    /// Connections whose requests are answered outside the shard.
    Asking,
    /// WebSockets that are to replace the polls of a session.
    Probe,
    /// Connections past their handshake, also counted by kind.
    Session(SessionKind),
}

/// A connection: a socket and all its state; or a session without a socket.
#[derive(Debug)]
pub(in crate::shard) struct Conn<K, S> {
    /// `None` for a session whose output is fetched by polls.
    pub(in crate::shard) socket: Option<K>,
    pub(in crate::shard) stage: Stage,
    /// Changed only by [`count_as`](super::Carry::count_as).
    pub(in crate::shard) counted_as: CountedAs,
    /// Whether it is in the list to flush at the end of the turn.
    pub(in crate::shard) is_dirty: bool,
    /// Whether writable events are enabled, after a write found no room.
    pub(in crate::shard) is_writable_armed: bool,
    /// Whether reading is paused because the outbox is too full; it resumes after the flush.
    pub(in crate::shard) is_read_paused: bool,
    /// Whether writes are held back: the connect reply must go before queued data, homes have not counted a session in its
    /// private channels, or the client has left.
    pub(in crate::shard) is_corked: bool,
    /// Whether the client closed while its commands wait: see [`leave`](super::Carry::leave).
    pub(in crate::shard) has_left: bool,
    /// Whether it is in the list of connections with unread input.
    pub(in crate::shard) is_unread: bool,
    /// Whether the peer's end was announced: reading continues to it even after short reads.
    pub(in crate::shard) is_read_closed: bool,
    /// Whether a heartbeat was sent and its answer is due.
    pub(in crate::shard) awaits_pong: bool,
    /// Whether the answer has come, and its time was recorded.
    pub(in crate::shard) has_pong: bool,
    /// One more than the index by which the client's program is counted; 0 while the client is not connected.
    pub(in crate::shard) named: u8,
    /// Beat of the phase's deadline: handshake, connect, next heartbeat or its answer, linger.
    pub(in crate::shard) due: u32,
    /// Beat of the last input.
    pub(in crate::shard) heard: u32,
    /// Bytes of an incomplete message that are charged to the budget.
    pub(in crate::shard) held_bytes: u32,
    /// Number of the client's commands that homes have not answered: see [`UNANSWERED_MAX`].
    pub(in crate::shard) awaited_count: u16,
    /// The home that was asked last; the one that all of them wait for, where commands keep their order.
    pub(in crate::shard) awaited_home: u16,
    /// Layers between the socket and the session, if any.
    pub(in crate::shard) layers: Option<Box<Layers>>,
    pub(in crate::shard) outbox: Option<Box<Outbox>>,
    pub(in crate::shard) subs: SmallVec<[Sub; 2]>,
    /// The properties of the client, if any.
    pub(in crate::shard) client: Option<Box<Client>>,
    pub(in crate::shard) session: Session<S>,
}

impl<K, S> Conn<K, S> {
    pub(in crate::shard) fn new(socket: Option<K>, speaks: Speaks, due: u32, heard: u32) -> Self {
        Self {
            socket,
            stage: Stage::Open,
            counted_as: CountedAs::Nothing,
            is_dirty: false,
            is_writable_armed: false,
            is_read_paused: false,
            is_corked: false,
            has_left: false,
            is_unread: false,
            is_read_closed: false,
            awaits_pong: false,
            has_pong: false,
            named: 0,
            due,
            heard,
            held_bytes: 0,
            awaited_count: 0,
            awaited_home: 0,
            layers: None,
            outbox: None,
            subs: SmallVec::new(),
            client: None,
            session: Session::begin(speaks),
        }
    }

    /// The connection's TLS, if any.
    #[inline]
    pub(in crate::shard) fn tls(&self) -> Option<&Link> {
        self.layers.as_ref()?.tls.as_deref()
    }

    /// The connection's TLS, if any.
    #[inline]
    pub(in crate::shard) fn tls_mut(&mut self) -> Option<&mut Link> {
        self.layers.as_mut()?.tls.as_deref_mut()
    }

    /// Whether it has layers without TLS: it is a proxy's, or came by a Unix socket.
    pub(in crate::shard) fn is_plain_layered(&self) -> bool {
        self.layers.is_some() && self.tls().is_none()
    }

    /// The bytes that closing it frees: queued data, and parts of a message.
    pub(in crate::shard) fn freed(&self) -> Freed {
        let held = Freed::memory(self.held_bytes as usize);
        self.outbox.as_ref().map_or(held, |outbox| outbox.freed() + held)
    }

    /// Number of bytes in the outbox.
    pub(in crate::shard) fn outbox_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Whether the outbox is so full that no further commands are accepted. Data for a client that has left does not
    /// count.
    pub(in crate::shard) fn waits_for_room(&self, bytes_max: usize) -> bool {
        self.outbox_bytes() > bytes_max / 2 && !self.has_left
    }

    /// The time of the connection's one entry in the wheel, in milliseconds.
    pub(in crate::shard) fn deadline_ms(&self) -> u64 {
        let due = u64::from(self.due) * BEAT_MS;
        self.session.deadline_ms().map_or(due, |at_ms| due.min(at_ms))
    }

    /// Whether a home has not answered yet to a subscription.
    pub(in crate::shard) fn awaits_entry(&self) -> bool {
        self.subs.iter().any(|sub| matches!(sub.state(), SubState::Pending(_)))
    }

    /// The slot of the subscription to a channel.
    pub(in crate::shard) fn slot_of(&self, channel: ChannelId) -> Option<usize> {
        self.subs.iter().position(|sub| sub.channel() == channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented limit is 256 bytes in total; outside this struct are 16 in the wheel, 8 in each channel and 8
    /// of the slab itself.
    #[test]
    fn an_idle_connection_is_small() {
        // As a socket, its absence needs no byte.
        let size = size_of::<Conn<std::os::fd::OwnedFd, ()>>();
        assert!(size <= 104, "{size}");
    }

    #[test]
    fn a_subscription_packs_and_unpacks() {
        assert_eq!(size_of::<Sub>(), 8);
        let pending = Sub::pending(7, u32::MAX);
        assert_eq!((pending.channel(), pending.state()), (7, SubState::Pending(u32::MAX)));
        let active = Sub::active(7, 3);
        assert_eq!((active.channel(), active.state()), (7, SubState::Active(3)));
    }

    #[test]
    fn beats_round_up() {
        assert_eq!([0, 1, 128, 129].map(beat_at_or_after), [0, 1, 1, 2]);
    }
}
