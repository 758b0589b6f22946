//! Parameters of a simulated world: its buffers, and its faults.

/// The faults and their frequency, in percent unless named otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// A write takes less than there is room for.
    pub(crate) short_write: u64,
    /// Data in transit arrives in pieces.
    pub(crate) cut_arrival: u64,
    /// Events for healthy sockets without a cause. Rare: they heal a lost edge.
    pub(crate) spurious: u64,
    /// Events for closed sockets.
    pub(crate) stale: u64,
    /// A poll reports only some of the ready sockets.
    pub(crate) partial_poll: u64,
    /// `accept` fails because descriptors ran out.
    pub(crate) exhausted_accept: u64,
    /// A socket cannot be handed over to another shard.
    pub(crate) stuck_hand_over: u64,
    /// A socket is lost on its way to another shard.
    pub(crate) lost_hand_over: u64,
    /// Per mille: the network resets a connection that a client steps with.
    pub(crate) reset: u64,
    /// Per mille: a client stops reading for a while.
    pub(crate) stall: u64,
    /// How long a stall lasts at most.
    pub(crate) stall_us_max: u64,
    /// A shard that could run does not get the processor in this round.
    pub(crate) skip_shard: u64,
    /// Per ten thousand rounds: the clock jumps by as much as this.
    pub(crate) jump: u64,
    pub(crate) jump_us_max: u64,
}

impl Faults {
    /// No faults at all.
    pub(crate) fn never() -> Self {
        Self {
            short_write: 0,
            cut_arrival: 0,
            spurious: 0,
            stale: 0,
            partial_poll: 0,
            exhausted_accept: 0,
            stuck_hand_over: 0,
            lost_hand_over: 0,
            reset: 0,
            stall: 0,
            stall_us_max: 0,
            skip_shard: 0,
            jump: 0,
            jump_us_max: 0,
        }
    }

    /// Only the faults that always occur.
    pub(crate) fn calmed(&self) -> Self {
        let &Self { short_write, cut_arrival, partial_poll, stale, .. } = self;
        Self { short_write, cut_arrival, partial_poll, stale, ..Self::never() }
    }
}

/// Parameters of a world.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) shards: u16,
    pub(crate) faults: Faults,
    /// Bytes that a server's socket takes before it has no room.
    pub(crate) down_bytes_max: usize,
    /// Bytes that a server's socket holds unread.
    pub(crate) inbox_bytes_max: usize,
    /// Data on links is sealed, and different in each run.
    pub(crate) is_sealed: bool,
}
