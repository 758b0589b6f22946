//! All parameters of one run, drawn from its seed: very small limits, deadlines, buffers and faults.

use std::sync::Arc;

use throng::parts::config::{Config, Limits, Timeouts};
use throng::parts::hub::options::{ChannelOptions, Namespaces};
use throng::parts::shard::INPUT_BYTES;

use crate::harness::layout::{Faults, Layout};
use crate::rng::Rng;
use crate::sealed::TlsPlan;

/// The parameters of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shards: u16,
    pub(crate) clients: u32,
    pub(crate) channels: u32,
    pub(crate) capacity: usize,
    pub(crate) config: Config,
    pub(crate) faults: Faults,
    /// Bytes that a server's socket takes before it has no room.
    pub(crate) down_bytes_max: usize,
    /// Bytes that a server's socket holds unread.
    pub(crate) inbox_bytes_max: usize,
    /// How long clients arrive and act.
    pub(crate) activity_us: u64,
    /// Mean time between two actions of a client.
    pub(crate) pace_us: u64,
    /// How many of a client's commands end a subscription, in percent.
    pub(crate) churn: u64,
    /// Largest padding of a publication.
    pub(crate) pad_bytes_max: usize,
    /// Largest message of an echo client.
    pub(crate) echo_bytes_max: usize,
    /// The process-wide budget is small: any connection may be closed for it, or wait unread while it is exhausted.
    pub(crate) has_small_budget: bool,
    /// Limit of counted bytes; `u64::MAX` for none.
    pub(crate) memory_allowed: u64,
    /// Homes take few channels.
    pub(crate) has_small_homes: bool,
    pub(crate) history: HistoryPlan,
    /// The memories of histories may fail.
    pub(crate) memories_fail: bool,
    /// `None` when connections are plain.
    pub(crate) tls: Option<TlsPlan>,
}

/// The channels with history, their clients, and the events outside.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
pub(crate) struct HistoryPlan {
    pub(crate) devices: u32,
    pub(crate) channels: u32,
    pub(crate) size: usize,
    pub(crate) ttl_ms: u64,
    pub(crate) meta_ttl_ms: u64,
    pub(crate) recovery_max: usize,
    /// Publications may be gone by age; by want of room.
    pub(crate) expires: bool,
    pub(crate) evicts: bool,
    /// Positions may be forgotten.
    pub(crate) forgets: bool,
    pub(crate) hooks_connect: bool,
    pub(crate) hooks_subscribe: bool,
    pub(crate) hooks_publish: bool,
    pub(crate) has_orders: bool,
    pub(crate) pad_bytes_max: usize,
    /// Users have a limit of connections; the connect hook names the users.
    pub(crate) counts_users: bool,
}

const HOUR_MS: u64 = 3_600_000;

impl HistoryPlan {
    fn new(rng: &mut Rng, config: &mut Config, is_roomy: bool, has_small_homes: bool) -> Self {
        let is_generous = rng.chance(50);
        // Drawn independently: one reason for a loss must not always come with another.
        let draw = |rng: &mut Rng, most: u64, others: &[u64]| {
            if is_generous || rng.chance(40) { most } else { rng.pick(others) }
        };
        let size = draw(rng, 100_000, &[1, 3, 10, 100, 100_000]) as usize;
        let ttl_ms = draw(rng, HOUR_MS, &[300, 2000, HOUR_MS, HOUR_MS]);
        let meta_ttl_ms = draw(rng, 24 * HOUR_MS, &[500, 5000, 24 * HOUR_MS]);
        let recovery_max = draw(rng, u64::MAX, &[1, 10, 300, u64::MAX]);
        if is_generous || rng.chance(50) {
            config.limits.history_bytes_max = 1 << 30;
        }
        if rng.chance(60) {
            config.limits.join_leave_per_second_max = 1_000_000;
        }
        config.client.recovery_max_publication_limit =
            if recovery_max == u64::MAX { 0 } else { recovery_max as usize };
        let mut plan = Self {
            devices: rng.range(2..=6) as u32,
            channels: rng.range(1..=4) as u32,
            size,
            ttl_ms,
            meta_ttl_ms,
            recovery_max: recovery_max as usize,
            expires: ttl_ms < HOUR_MS,
            evicts: config.limits.history_bytes_max < 1 << 30,
            forgets: meta_ttl_ms < HOUR_MS || has_small_homes,
            hooks_connect: rng.chance(40),
            hooks_subscribe: rng.chance(40),
            hooks_publish: rng.chance(30),
            has_orders: rng.chance(50),
            pad_bytes_max: if is_roomy { rng.pick(&[0, 40, 1000]) } else { 0 },
            counts_users: rng.chance(50),
        };
        // Orders name no user, so they would match no connection.
        plan.counts_users &= plan.hooks_connect && !plan.has_orders;
        if plan.counts_users {
            config.client.user_connection_limit = rng.size(1..=2);
        }
        config.namespaces = Arc::new(plan.namespaces(&config.namespaces));
        plan
    }

    /// The channels of before, and `h:`.
    fn namespaces(&self, others: &Namespaces) -> Namespaces {
        let options = ChannelOptions {
            presence: true,
            join_leave: true,
            force_push_join_leave: true,
            history_size: self.size,
            history_ttl_ms: self.ttl_ms,
            history_age_ms: self.ttl_ms,
            history_meta_ttl_ms: self.meta_ttl_ms,
            force_recovery: true,
            subscribe_proxy_enabled: self.hooks_subscribe,
            publish_proxy_enabled: self.hooks_publish,
            ..ChannelOptions::clone(&others.without_namespace)
        };
        let mut namespaces = others.clone();
        namespaces.named.insert("h".to_owned(), Arc::new(options));
        namespaces
    }
}

/// Counted bytes of an idle shard: its input buffer, and the slots of its wheel of positions.
const IDLE_BYTES: u64 = INPUT_BYTES as u64 + (12 << 10);

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x7468_726f_6e67);
        let shards = rng.range(1..=4) as u16;
        let clients = rng.range(8..=40) as u32;
        let has_small_budget = rng.chance(10);
        let has_small_homes = rng.chance(15);
        let memory_allowed = match rng.chance(10) {
            // The shards' own buffers are counted, too.
            true => (u64::from(shards) * IDLE_BYTES + rng.range(2 << 10..=60 << 10)) * 10 / 9,
            false => u64::MAX,
        };
        let limits = limits(rng, clients, has_small_budget, has_small_homes);
        let timeouts = timeouts(rng);
        // Messages larger than one read, and sockets that hold several of them.
        let is_bulky = rng.chance(6);
        let echo_bytes_max = match is_bulky || rng.chance(20) {
            true => limits.frame_bytes_max,
            false => limits.frame_bytes_max.min(300),
        };
        let is_roomy = rng.chance(70);
        let capacity = if rng.chance(12) { (clients as usize / usize::from(shards)).max(2) } else { 200 };
        let faults = faults(rng, &timeouts);
        let mut config = Config { shards: usize::from(shards), limits, timeouts, ..Config::default() };
        let mut history = HistoryPlan::new(&mut rng.fork(), &mut config, is_roomy, has_small_homes);
        // Histories and positions give way when memory is short.
        history.evicts |= memory_allowed < u64::MAX;
        history.forgets |= memory_allowed < u64::MAX;
        Self {
            history,
            memories_fail: false,
            shards,
            clients,
            channels: rng.range(1..=5) as u32,
            capacity,
            config,
            faults,
            down_bytes_max: if is_roomy { 256 << 10 } else { rng.pick(&[200, 1 << 10, 16 << 10]) },
            inbox_bytes_max: if is_bulky {
                600 << 10
            } else {
                rng.pick(&[300, 4 << 10, 64 << 10, 600 << 10])
            },
            activity_us: rng.range(1_000_000..=6_000_000),
            pace_us: if is_bulky { 300_000 } else { rng.pick(&[20_000, 80_000, 300_000]) },
            churn: rng.pick(&[8, 8, 35]),
            pad_bytes_max: rng.pick(&[0, 40, 1000, 8000]),
            echo_bytes_max,
            has_small_budget,
            memory_allowed,
            has_small_homes,
            tls: TlsPlan::new(seed),
        }
    }

    /// The world that it is played in.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            shards: self.shards,
            faults: self.faults.clone(),
            down_bytes_max: self.down_bytes_max,
            inbox_bytes_max: self.inbox_bytes_max,
            is_sealed: self.tls.is_some(),
        }
    }

    /// Whether a client may be refused for want of room, however it behaves.
    pub(crate) fn may_refuse(&self) -> bool {
        let limits = &self.config.limits;
        limits.connections_max > 0
            || limits.half_open_max > 0
            || limits.accepts_per_second_max > 0
            || self.has_small_memory()
            || self.has_small_budget
    }

    /// Whether a home may not take a channel.
    pub(crate) fn may_refuse_channels(&self) -> bool {
        self.has_small_homes || self.has_small_memory() || self.memories_fail
    }

    /// Whether memory may get short.
    pub(crate) fn has_small_memory(&self) -> bool {
        self.memory_allowed < u64::MAX
    }

    /// Whether there may be no room for a client's answers, although it reads.
    pub(crate) fn may_lack_room(&self) -> bool {
        self.has_small_budget || self.has_small_memory()
    }

    /// Whether there is a place for every client.
    pub(crate) fn has_room(&self) -> bool {
        self.capacity > self.clients as usize
    }

    /// Whether the clock jumps so far that deadlines pass unseen.
    pub(crate) fn jumps_far(&self) -> bool {
        self.faults.jump > 0
    }
}

fn limits(rng: &mut Rng, clients: u32, has_small_budget: bool, has_small_homes: bool) -> Limits {
    let message_bytes_max = rng.pick(&[10 << 10, 20 << 10, 64 << 10, 200 << 10]);
    Limits {
        connections_max: if rng.chance(12) { clients as usize / 2 + 1 } else { 0 },
        head_bytes_max: rng.pick(&[512, 1024, 8192]),
        message_bytes_max,
        frame_bytes_max: message_bytes_max,
        outbox_bytes_max: rng.pick(&[1 << 10, 16 << 10, 128 << 10, 1 << 20, 1 << 20]),
        queued_bytes_max: if has_small_budget { rng.size(8 << 10..=128 << 10) } else { 256 << 20 },
        channels_per_connection_max: rng.pick(&[1, 2, 3, 128, 128]),
        channel_name_bytes_max: 16,
        channels_per_shard_max: if has_small_homes { rng.size(1..=2) } else { 1_000_000 },
        accepts_per_turn_max: rng.pick(&[1, 2, 64]),
        handshakes_per_turn_max: rng.pick(&[1, 2, 16]),
        half_open_max: if rng.chance(15) { rng.size(1..=8) } else { 0 },
        tls_handshakes_per_second_max: 0,
        accepts_per_second_max: if rng.chance(15) { rng.range(1..=20) as u32 } else { 0 },
        accepts_per_ip_max: 0,
        accepts_per_network_max: 0,
        memory_max: 0,
        read_bytes_per_turn_max: rng.pick(&[4 << 10, 64 << 10, 256 << 10]),
        deliveries_per_turn_max: rng.pick(&[1, 2, 5, 30, 2048]),
        mailbox_letters_max: rng.pick(&[0, 1, 5, 65_536]),
        history_bytes_max: rng.pick(&[0, 1 << 10, 1 << 20]),
        join_leave_per_second_max: rng.pick(&[0, 1, 5, 100]),
    }
}

fn timeouts(rng: &mut Rng) -> Timeouts {
    let ping_interval_ms = rng.range(2_000..=12_000);
    let pong_timeout_ms = rng.range(600..=ping_interval_ms / 2);
    let (ping_interval_ms, idle_ms) = match rng.range(0..=9) {
        0 => (0, 0),
        1 => (0, rng.range(1_000..=4_000)),
        2 => (ping_interval_ms, ping_interval_ms * 2 + pong_timeout_ms),
        _ => (ping_interval_ms, 0),
    };
    Timeouts {
        handshake_ms: rng.range(400..=4_000),
        connect_ms: rng.range(400..=4_000),
        message_ms: rng.pick(&[0, 0, 4_000, 30_000]),
        tcp_user_timeout_ms: 0,
        ping_interval_ms,
        pong_timeout_ms,
        idle_ms,
        linger_ms: rng.range(100..=3_000),
        drain_ms: rng.pick(&[0, 50, 1_000, 4_000]),
        drain_closes_per_second_min: rng.pick(&[1, 20, 500]),
        drain_delay_ms: rng.pick(&[0, 0, 300]),
        retry_after_ms: 10_000,
    }
}

fn faults(rng: &mut Rng, timeouts: &Timeouts) -> Faults {
    let mut sometimes = |percent: u64, rate: u64| if rng.chance(percent) { rng.range(1..=rate) } else { 0 };
    Faults {
        short_write: sometimes(50, 60),
        cut_arrival: sometimes(60, 80),
        spurious: sometimes(20, 10),
        stale: sometimes(60, 20),
        partial_poll: sometimes(50, 60),
        exhausted_accept: sometimes(40, 30),
        stuck_hand_over: 0,
        lost_hand_over: 0,
        reset: sometimes(50, 4),
        stall: sometimes(70, 12),
        stall_us_max: sometimes(100, timeouts.pong_timeout_ms * 2) * 1000,
        skip_shard: sometimes(70, 90),
        jump: sometimes(20, 20),
        jump_us_max: 20_000_000,
    }
}
