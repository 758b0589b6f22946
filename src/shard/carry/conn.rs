//! What a shard keeps of each connection. An idle one is this and nothing else: no buffer, no box.

use crate::session::Speaks;
use smallvec::SmallVec;

use super::client::Client;
use super::layers::Layers;
use crate::base::outbox::Outbox;
use crate::base::segment::Freed;
use crate::hub::local::ChannelId;
use crate::session::{Session, Transport};
use crate::tls::Link;

/// Unit of the deadlines kept per connection, in milliseconds. Coarse on purpose: what is due in the same beat
/// is done in one turn: heartbeats leave in handfuls and their answers come back in handfuls, which costs a third of
/// what one by one would. 32 bits last for 17 years of uptime.
pub(in crate::shard) const BEAT_MS: u64 = 128;

/// The first beat that begins at or after this time.
#[expect(clippy::cast_possible_truncation, reason = "2^32 beats are 17 years")]
pub(in crate::shard) fn beat_at_or_after(ms: u64) -> u32 {
    ms.div_ceil(BEAT_MS) as u32
}

/// One subscription of a connection, in eight bytes: the channel, and where the connection stands in its list of
/// subscribers, or, while the home has not answered, which request asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Sub {
    channel_and_flag: u32,
    value: u32,
}

/// What [`Sub`] holds besides the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum SubState {
    /// Asked for, with this request number.
    Pending(u32),
    /// At this position of the channel's subscribers.
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

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Stage {
    /// Not at all.
    Open,
    /// What is queued is the last; then close at once: the client said goodbye first.
    LastWords,
    /// What is queued is the last; then say that no more comes and wait for the client's end.
    Linger,
    /// All is said; waiting for the client's end, throwing away what it sends.
    Discard,
    /// Refused unheard, and told so; waiting for the client's end, throwing away what it sends.
    Shed,
    /// To be freed at the end of the turn.
    Buried,
}

/// Which of the gauges of phases counts a connection. It is kept, and not read from the session: a session may pass through
/// several phases in one read, and what gives a place back must be the same that took it. (A token that does so by itself
/// would need a pointer to the counters in each connection.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) enum CountedAs {
    /// None: it was refused unheard, or has ended.
    #[default]
    Nothing,
    /// Those whose request is not complete.
    HalfOpen,
    /// Those whose requests are answered outside, one after the other.
    Asking,
    /// Those past their handshake, and of these the ones over this transport; raw endpoints have none.
    Session(Option<Transport>),
}

/// A connection: one socket and all that it owns.
#[derive(Debug)]
pub(in crate::shard) struct Conn<K, S> {
    pub(in crate::shard) socket: K,
    pub(in crate::shard) stage: Stage,
    /// Changed by [`count_as`](super::Carry::count_as) only.
    pub(in crate::shard) counted_as: CountedAs,
    /// In the list of those to flush at the end of the turn.
    pub(in crate::shard) is_dirty: bool,
    /// Room to write is told, since a write once found none.
    pub(in crate::shard) is_writable_armed: bool,
    /// The outbox is too full to read on; reading goes on when it has drained.
    pub(in crate::shard) is_read_paused: bool,
    /// Nothing is written: the connect reply must go before what is queued, or the client has left.
    pub(in crate::shard) is_corked: bool,
    /// The client said goodbye while commands of it wait: see [`leave`](super::Carry::leave).
    pub(in crate::shard) has_left: bool,
    /// In the list of those with unread input.
    pub(in crate::shard) is_unread: bool,
    /// The peer's end was seen: read on to it even after short reads.
    pub(in crate::shard) is_read_closed: bool,
    /// A heartbeat was sent and its answer is due.
    pub(in crate::shard) awaits_pong: bool,
    /// The answer has come, and its time is noted.
    pub(in crate::shard) has_pong: bool,
    /// One more than the place by which the client's program is counted; 0 while the client is not connected.
    pub(in crate::shard) named: u8,
    /// Beat of the current phase's deadline: handshake, connect, next heartbeat or its answer, linger.
    pub(in crate::shard) due: u32,
    /// Beat in which something was heard last.
    pub(in crate::shard) heard: u32,
    /// Bytes counted in the budget for a message that is still arriving.
    pub(in crate::shard) held_bytes: u32,
    /// Commands of the client that homes have yet to answer.
    pub(in crate::shard) awaited_count: u32,
    /// What lies between the socket and the session, where anything does.
    pub(in crate::shard) layers: Option<Box<Layers>>,
    pub(in crate::shard) outbox: Option<Box<Outbox>>,
    pub(in crate::shard) subs: SmallVec<[Sub; 2]>,
    /// What there is to know of a Centrifuge client, if anything.
    pub(in crate::shard) client: Option<Box<Client>>,
    pub(in crate::shard) session: Session<S>,
}

impl<K, S> Conn<K, S> {
    pub(in crate::shard) fn new(socket: K, speaks: Speaks, due: u32, heard: u32) -> Self {
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
            layers: None,
            outbox: None,
            subs: SmallVec::new(),
            client: None,
            session: Session::begin(speaks),
        }
    }

    /// The connection's TLS, if it has any.
    #[inline]
    pub(in crate::shard) fn tls(&self) -> Option<&Link> {
        self.layers.as_ref()?.tls.as_deref()
    }

    /// The connection's TLS, if it has any.
    #[inline]
    pub(in crate::shard) fn tls_mut(&mut self) -> Option<&mut Link> {
        self.layers.as_mut()?.tls.as_deref_mut()
    }

    /// Whether something lies between its socket and its session that is not TLS: a proxy, or this machine.
    pub(in crate::shard) fn is_plain_layered(&self) -> bool {
        self.layers.is_some() && self.tls().is_none()
    }

    /// What closing it gives back of what waits for it and of what has arrived of a message.
    pub(in crate::shard) fn freed(&self) -> Freed {
        let held = Freed::memory(self.held_bytes as usize);
        self.outbox.as_ref().map_or(held, |outbox| outbox.freed() + held)
    }

    /// Bytes that wait to be written.
    pub(in crate::shard) fn outbox_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Whether so much waits to be written that nothing more is asked for. What waits for who has left is not written.
    pub(in crate::shard) fn waits_for_room(&self, bytes_max: usize) -> bool {
        self.outbox_bytes() > bytes_max / 2 && !self.has_left
    }

    /// When the connection's one entry in the wheel is due, in milliseconds.
    pub(in crate::shard) fn deadline_ms(&self) -> u64 {
        let due = u64::from(self.due) * BEAT_MS;
        self.session.deadline_ms().map_or(due, |at_ms| due.min(at_ms))
    }

    /// The slot that holds the subscription to a channel.
    pub(in crate::shard) fn slot_of(&self, channel: ChannelId) -> Option<usize> {
        self.subs.iter().position(|sub| sub.channel() == channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise is 256 bytes for everything; what is not in this struct is 16 in the wheel, 8 in each channel
    /// and 8 of the slab's own.
    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of::<Conn<i32, ()>>();
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
