//! What a shard knows of a Centrifuge client beyond its connection: who it is, what it may do, when that ends, and
//! what of its commands still waits for an answer.
//!
//! A box that an anonymous connection without anything of this does not have.

use std::collections::VecDeque;
use std::sync::Arc;

use super::queued::Waiting;
use crate::base::bucket::Bucket;
use crate::base::filter::Filter;
use crate::base::heap;
use crate::base::payload::Payload;
use crate::hub::local::ChannelId;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Enter, Entered, Identify};
use crate::hub::{ClientInfo, DataKind};
use crate::shard::mailbox::{Cause, Order, Ticket};
use crate::shard::outside::{Capability, Grant, Headers, Matching};

/// Commands of a connection that wait for answers of others; at it nothing more is read from the connection.
pub(in crate::shard) const WAITING_COMMANDS_MAX: usize = 64;
/// Sum of the weights of the commands for which homes gather what may be much; at it, those behind them wait.
pub(in crate::shard) const AWAITED_MAX: usize = 8;
/// Weight of a history or of presence: it is gathered alone.
pub(in crate::shard) const WHOLE_WEIGHT: u8 = 8;
/// Weight of a subscription that recovers: a client that is back asks for several of them at once, and most missed little.
pub(in crate::shard) const RECOVERY_WEIGHT: u8 = 1;

/// What a shard knows of one client beyond its connection.
#[derive(Debug, Default)]
pub(in crate::shard) struct Client {
    /// As others see it; none until someone has to.
    pub(in crate::shard) info: Option<Arc<ClientInfo>>,
    /// Unix time of the connection's end in seconds; 0 for none.
    pub(in crate::shard) expire_at_s: u64,
    /// The application is asked before it ends, not the client.
    pub(in crate::shard) refreshes_by_hook: bool,
    /// A refresh is asked outside.
    pub(in crate::shard) is_refreshing: bool,
    /// Its user's home counts it.
    pub(in crate::shard) is_counted: bool,
    /// What it may do whatever the channels' options say.
    pub(in crate::shard) caps: Option<Arc<[Capability]>>,
    /// What connect hooks said to remember.
    pub(in crate::shard) meta: Box<[u8]>,
    /// Headers that hooks want to be told later; none in most.
    pub(in crate::shard) headers: Option<Box<Headers>>,
    /// Its connect command, until that is answered.
    pub(in crate::shard) connecting: Option<Box<Connecting>>,
    /// Its commands that wait for their turn, in their order.
    pub(in crate::shard) waiting: VecDeque<Waiting>,
    /// What those are in bytes.
    pub(in crate::shard) waiting_bytes: usize,
    /// Those that waited are being carried out; what is known of the client is needed for what is left of them.
    pub(in crate::shard) is_resuming: bool,
    /// Weight of its commands for which homes gather what may be much.
    pub(in crate::shard) awaited_weight: usize,
    /// Its commands that outsiders were asked about, each with the number of the question ([`Questions`]).
    pub(in crate::shard) pending: Vec<(u32, Pending)>,
    /// Orders to subscribe it to what it is about to be subscribed to: they are carried out when homes have answered.
    pub(in crate::shard) late_orders: Vec<Arc<Order>>,
    /// Its subscriptions that have more to them than a channel.
    pub(in crate::shard) details: Vec<Detail>,
    /// What its rates leave it.
    pub(in crate::shard) buckets: Option<Box<Buckets>>,
    /// What it cost when that was last counted.
    pub(in crate::shard) counted_bytes: usize,
    /// It may cost something else by now.
    pub(in crate::shard) is_touched: bool,
}

/// Who says who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Witness {
    /// Nobody: it is anonymous.
    Nobody,
    /// Its token.
    Token,
    /// Its certificate.
    Certificate,
    /// A header of its request, in which a proxy names its user.
    Header,
    /// The application's connect hook.
    Hook,
}

/// A connect command under way.
#[derive(Debug)]
pub(in crate::shard) struct Connecting {
    /// The command's number.
    pub(in crate::shard) id: u32,
    /// Who says who the client is.
    pub(in crate::shard) witness: Witness,
    /// The command.
    pub(in crate::shard) ask: Identify,
    /// The user that a proxy names, for when the connect hook names none; empty for none.
    pub(in crate::shard) header_user: String,
    /// Segments of the outbox that go before the reply: the answer to the handshake.
    pub(in crate::shard) queued_before: usize,
    /// Server-side subscriptions that homes have yet to answer.
    pub(in crate::shard) waiting_count: usize,
    /// Those that they have answered.
    pub(in crate::shard) joined: Vec<JoinedAtConnect>,
    /// Data for the reply.
    pub(in crate::shard) data: Payload,
    /// Subscriptions that it will have, while its user is counted.
    pub(in crate::shard) firsts: Vec<First>,
    /// Once its user is known, the orders for that user: they are carried out behind the reply.
    pub(in crate::shard) orders: Option<Vec<Arc<Order>>>,
}

/// A subscription that a client has from the start, before its home is asked.
#[derive(Debug)]
pub(in crate::shard) struct First {
    pub(in crate::shard) channel: Arc<str>,
    pub(in crate::shard) options: Arc<ChannelOptions>,
    pub(in crate::shard) grant: Grant,
    pub(in crate::shard) cause: Cause,
}

/// A server-side subscription that the connect reply tells.
#[derive(Debug)]
pub(in crate::shard) struct JoinedAtConnect {
    pub(in crate::shard) channel: Arc<str>,
    pub(in crate::shard) joined: Box<crate::hub::home::Joined>,
    pub(in crate::shard) ticket: Box<Ticket>,
}

/// A command that outsiders were asked about.
#[derive(Debug)]
pub(in crate::shard) enum Pending {
    /// To subscribe: a token or a hook decides.
    Subscribe { id: u32, ask: Box<Enter> },
    /// To publish: a hook decides.
    Publish { id: u32, channel: Arc<str>, kind: DataKind, data: Vec<u8> },
    /// Whether a subscription goes on: the application is asked, without the client knowing.
    HookRefresh { channel: ChannelId },
    /// To go on with a subscription. `is_over`: it has ended meanwhile, and if there is one to this channel now, it is another.
    SubRefresh { id: u32, channel: Arc<str>, is_over: bool },
    /// To go on with the connection: a new token. `is_overtaken`: an order has since said when it ends.
    Refresh { id: u32, is_overtaken: bool },
    /// A call of the application.
    Call { id: u32 },
    /// To subscribe, and that was answered otherwise meanwhile: nobody waits for the word, but outsiders are busy with it.
    Answered,
}

impl Pending {
    /// The client's number of the command; 0 for what it did not ask.
    pub(in crate::shard) fn id(&self) -> u32 {
        match self {
            Self::Subscribe { id, .. }
            | Self::Publish { id, .. }
            | Self::SubRefresh { id, .. }
            | Self::Refresh { id, .. }
            | Self::Call { id } => *id,
            Self::HookRefresh { .. } | Self::Answered => 0,
        }
    }

    /// Whether it is to begin a subscription to this channel.
    pub(in crate::shard) fn subscribes_to(&self, channel: &str) -> bool {
        matches!(self, Self::Subscribe { ask, .. } if *ask.channel == *channel)
    }

    /// What it costs beside its place. What is asked outside is a copy of it, and goes when it does.
    fn bytes(&self) -> usize {
        2 * match self {
            Self::Subscribe { ask, .. } => heap::piece(size_of::<Enter>()) + ask.bytes(),
            Self::Publish { channel, data, .. } => heap::arc(channel.len()) + heap::piece(data.len()),
            Self::SubRefresh { channel, .. } => heap::arc(channel.len()),
            Self::HookRefresh { .. } | Self::Refresh { .. } | Self::Call { .. } | Self::Answered => 0,
        }
    }
}

/// Numbers for questions to outsiders, so that each answer finds its own. A client chooses the numbers of its commands, and
/// may use one twice, or again before what was asked for it has been answered.
#[derive(Debug, Default)]
pub(in crate::shard) struct Questions(u32);

impl Questions {
    /// One that no open question has, and not 0: four thousand million later it comes again.
    pub(in crate::shard) fn next(&mut self) -> u32 {
        self.0 = self.0.checked_add(1).unwrap_or(1);
        self.0
    }
}

/// What there is to a subscription beside its channel.
#[derive(Debug)]
pub(in crate::shard) struct Detail {
    pub(in crate::shard) channel: ChannelId,
    /// As others in the channel see the client, where that differs.
    pub(in crate::shard) info: Option<Arc<ClientInfo>>,
    /// Unix time of its end in seconds; 0 for none.
    pub(in crate::shard) expire_at_s: u64,
    /// The application is asked before it ends, not the client.
    pub(in crate::shard) refreshes_by_hook: bool,
    /// It is being asked.
    pub(in crate::shard) is_refreshing: bool,
    /// Which publications it wants.
    pub(in crate::shard) filter: Option<Box<Filter>>,
    /// The server subscribed it.
    pub(in crate::shard) is_server_side: bool,
    /// Of those: because the connection's token says so.
    pub(in crate::shard) is_by_token: bool,
}

impl Connecting {
    /// What it costs, with its box. What homes have answered goes with the reply, in the same turn or the next.
    fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>())
            + self.ask.bytes()
            + heap::list::<JoinedAtConnect>(self.joined.capacity())
            + heap::piece(self.data.held_bytes())
            + heap::list::<First>(self.firsts.capacity())
    }
}

impl Detail {
    fn bytes(&self) -> usize {
        self.info.as_ref().map_or(0, |info| info.bytes())
            + self.filter.as_ref().map_or(0, |filter| filter.bytes())
    }

    /// How long its client has for a new token when it has ended; none when the application is asked.
    pub(in crate::shard) fn delay_ms(&self, sub_delay_ms: u64) -> u64 {
        if self.refreshes_by_hook { 0 } else { sub_delay_ms }
    }
}

/// What a connection's rates leave it.
#[derive(Debug, Default)]
pub(in crate::shard) struct Buckets {
    pub(in crate::shard) commands: Bucket,
    pub(in crate::shard) subscribes: Bucket,
    pub(in crate::shard) publishes: Bucket,
    pub(in crate::shard) rpcs: Bucket,
    pub(in crate::shard) presences: Bucket,
    pub(in crate::shard) histories: Bucket,
    pub(in crate::shard) others: Bucket,
}

/// What a capability may allow.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) enum Ability {
    Subscribe,
    Publish,
    Presence,
    History,
}

impl Client {
    /// Whether it is as good as none.
    pub(in crate::shard) fn is_trivial(&self) -> bool {
        self.info.is_none()
            && self.expire_at_s == 0
            && self.caps.is_none()
            && self.meta.is_empty()
            && self.headers.is_none()
            && self.connecting.is_none()
            && self.waiting.is_empty()
            && !self.is_resuming
            && self.awaited_weight == 0
            && self.pending.is_empty()
            && self.late_orders.is_empty()
            && self.details.is_empty()
            && self.buckets.is_none()
    }

    /// What it costs, with its box. What waiting commands hold is counted as partial messages are.
    pub(in crate::shard) fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>())
            + self.info.as_ref().map_or(0, |info| info.bytes())
            + self.caps.as_ref().map_or(0, |caps| caps_bytes(caps))
            + heap::piece(self.meta.len())
            + self.headers.as_ref().map_or(0, |headers| headers_bytes(headers))
            + self.connecting.as_ref().map_or(0, |connecting| connecting.bytes())
            + heap::list::<Waiting>(self.waiting.capacity())
            + heap::list::<(u32, Pending)>(self.pending.capacity())
            + self.pending.iter().map(|(_, one)| one.bytes()).sum::<usize>()
            + heap::list::<Arc<Order>>(self.late_orders.capacity())
            + heap::list::<Detail>(self.details.capacity())
            + self.details.iter().map(Detail::bytes).sum::<usize>()
            + self.buckets.as_ref().map_or(0, |_| heap::piece(size_of::<Buckets>()))
    }

    /// How many of its commands outsiders are asked about.
    pub(in crate::shard) fn asked_outside(&self) -> usize {
        self.pending.iter().filter(|(_, one)| !matches!(one, Pending::HookRefresh { .. })).count()
    }

    /// Whether commands of it that are not done may go before whatever comes next.
    pub(in crate::shard) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.asked_outside() > 0
    }

    /// Who it is; empty when anonymous.
    pub(in crate::shard) fn user(&self) -> &str {
        self.info.as_ref().map_or("", |info| &info.user)
    }

    /// Whether its capabilities allow this in a channel: the first of them that names the channel decides.
    pub(in crate::shard) fn is_able(&self, ability: Ability, channel: &str) -> bool {
        let names = |cap: &&Capability| {
            cap.channels.iter().any(|pattern| match cap.matching {
                Matching::Exact => pattern == channel,
                Matching::Wildcard => crate::base::pattern::matches(pattern, channel),
            })
        };
        let decides = self.caps.as_ref().and_then(|caps| caps.iter().find(names));
        decides.is_some_and(|cap| match ability {
            Ability::Subscribe => cap.subscribe,
            Ability::Publish => cap.publish,
            Ability::Presence => cap.presence,
            Ability::History => cap.history,
        })
    }

    /// What there is to the subscription to a channel.
    pub(in crate::shard) fn detail(&self, channel: ChannelId) -> Option<&Detail> {
        self.details.iter().find(|detail| detail.channel == channel)
    }

    /// What there is to the subscription to a channel, made if that is nothing: its client began it by a command.
    pub(in crate::shard) fn detail_or_new(&mut self, channel: ChannelId) -> &mut Detail {
        match self.details.iter().position(|detail| detail.channel == channel) {
            Some(at) => &mut self.details[at],
            None => self.add_detail(channel, &mut Ticket::default()),
        }
    }

    /// Keeps what there is to a subscription that has begun.
    pub(in crate::shard) fn add_detail(&mut self, channel: ChannelId, ticket: &mut Ticket) -> &mut Detail {
        // It may be known as somebody else since its home was asked.
        let other = |own: &ClientInfo| self.info.as_ref().filter(|info| info.conn_info != own.conn_info);
        let info = ticket.info.take().map(|own| match other(&own) {
            Some(info) => own.renewed(info, true),
            None => own,
        });
        self.details.push(Detail {
            channel,
            info,
            expire_at_s: ticket.expire_at_s,
            refreshes_by_hook: ticket.refreshes_by_hook,
            is_refreshing: false,
            filter: ticket.filter.take(),
            is_server_side: ticket.cause != Cause::Command,
            is_by_token: ticket.cause == Cause::Token,
        });
        let last = self.details.len() - 1;
        &mut self.details[last]
    }

    /// Forgets what there was to the subscription to a channel, which has ended: what outsiders say of it is not for a later
    /// one.
    pub(in crate::shard) fn forget(&mut self, channel: ChannelId, name: &str) {
        self.details.retain(|detail| detail.channel != channel);
        self.details.shrink_to_fit();
        self.pending
            .retain(|(_, one)| !matches!(one, Pending::HookRefresh { channel: of } if *of == channel));
        for (_, one) in &mut self.pending {
            if let Pending::SubRefresh { channel, is_over, .. } = one {
                *is_over |= **channel == *name;
            }
        }
    }

    /// An order says when the connection ends: what was asked about that before does not count any more.
    pub(in crate::shard) fn overtake_refreshes(&mut self) {
        self.is_refreshing = false;
        for (_, one) in &mut self.pending {
            if let Pending::Refresh { is_overtaken, .. } = one {
                *is_overtaken = true;
            }
        }
    }

    /// Takes out the command that outsiders were asked about by this question.
    pub(in crate::shard) fn take_pending(&mut self, question: u32) -> Option<Pending> {
        let at = self.pending.iter().position(|(number, _)| *number == question)?;
        let (_, pending) = self.pending.swap_remove(at);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Some(pending)
    }

    /// Takes out a command to enter this channel that outsiders were asked about: it is answered without their word.
    pub(in crate::shard) fn answer_otherwise(&mut self, channel: &str) -> Option<Pending> {
        let (_, asked) = self.pending.iter_mut().find(|(_, one)| one.subscribes_to(channel))?;
        Some(std::mem::replace(asked, Pending::Answered))
    }

    /// Unix time, in milliseconds, at which the first thing of it ends for good; `None` for nothing.
    pub(in crate::shard) fn ends_at_ms(&self, conn_delay_ms: u64, sub_delay_ms: u64) -> Option<u64> {
        if self.connecting.is_some() {
            // The connect command has a deadline of its own, and is answered before anything ends.
            return None;
        }
        let delay_ms = if self.refreshes_by_hook { 0 } else { conn_delay_ms };
        let own =
            (self.expire_at_s > 0 && !self.is_refreshing).then(|| ends_at_ms(self.expire_at_s, delay_ms));
        let subs = self.details.iter().filter(|detail| detail.expire_at_s > 0 && !detail.is_refreshing);
        subs.map(|detail| ends_at_ms(detail.expire_at_s, detail.delay_ms(sub_delay_ms))).chain(own).min()
    }
}

fn headers_bytes(Headers { request, emulated }: &Headers) -> usize {
    let bytes = |list: &[(String, String)]| {
        let each = list.iter().map(|(name, value)| heap::piece(name.len()) + heap::piece(value.len()));
        heap::list::<(String, String)>(list.len()) + each.sum::<usize>()
    };
    heap::piece(size_of::<Headers>()) + bytes(request) + bytes(emulated)
}

fn caps_bytes(caps: &[Capability]) -> usize {
    let channels = |cap: &Capability| {
        heap::list::<String>(cap.channels.len())
            + cap.channels.iter().map(|name| heap::piece(name.len())).sum::<usize>()
    };
    heap::arc(size_of_val(caps)) + caps.iter().map(channels).sum::<usize>()
}

/// What a client is told of a subscription that has begun.
pub(in crate::shard) fn entered<'a>(
    channel: &'a str,
    joined: &'a crate::hub::home::Joined,
    ticket: &'a Ticket,
    unix_ms: u64,
) -> Entered<'a> {
    let position = joined.position.as_ref();
    let offset = position.map_or(0, |position| position.offset);
    Entered {
        channel,
        ttl_s: if ticket.refreshes_by_hook { 0 } else { ttl_s(ticket.expire_at_s, unix_ms) },
        is_recoverable: ticket.recoverable,
        is_positioned: ticket.positioned,
        epoch: position.map_or("", |position| &position.epoch),
        // The publications lead from there to the stream's position.
        offset: joined.publications.first().map_or(offset, |first| first.offset.saturating_sub(1)),
        is_recovered: joined.recovered,
        was_recovering: ticket.was_recovering,
        publications: &joined.publications,
        data: ticket.data.get(),
        takes_deltas: ticket.takes_deltas,
        number: None,
    }
}

/// The end of a term in Unix time, in milliseconds. `expire_at_s` is whatever a token, a hook or the server API says: a
/// time beyond all times is one that never comes, and must not wrap into the past.
fn ends_at_ms(expire_at_s: u64, delay_ms: u64) -> u64 {
    expire_at_s.saturating_mul(1000).saturating_add(delay_ms)
}

/// Whether a term is over, and the delay after it. 0 is no term.
pub(in crate::shard) fn is_over(expire_at_s: u64, delay_ms: u64, unix_ms: u64) -> bool {
    expire_at_s > 0 && ends_at_ms(expire_at_s, delay_ms) <= unix_ms
}

/// Whether a term that is told is over already, by whole seconds.
pub(in crate::shard) fn is_past(expire_at_s: u64, unix_ms: u64) -> bool {
    expire_at_s > 0 && expire_at_s < unix_ms / 1000
}

/// What clients are told at most, a year: their timers take no more than some 24 days, or a few times that.
const TTL_S_MAX: u64 = 31_536_000;

/// Seconds until then; at least one, when there is a then at all, and at most a year.
pub(in crate::shard) fn ttl_s(expire_at_s: u64, unix_ms: u64) -> u32 {
    if expire_at_s == 0 {
        return 0;
    }
    let left_s = expire_at_s.saturating_sub(unix_ms / 1000).clamp(1, TTL_S_MAX);
    u32::try_from(left_s).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_999;

    #[test]
    fn no_term_is_so_long_that_it_is_over() {
        let cases = [
            (0, 0, false),
            (1, 0, true),
            (NOW_MS / 1000, 0, true),
            (NOW_MS / 1000, 1000, false),
            (NOW_MS / 1000 + 1, 0, false),
            (1 << 61, 0, false),
            (u64::MAX / 1000, u64::MAX, false),
            (i64::MAX as u64, 1, false),
            (u64::MAX, u64::MAX, false),
        ];
        for (expire_at_s, delay_ms, over) in cases {
            assert_eq!(is_over(expire_at_s, delay_ms, NOW_MS), over, "{expire_at_s} {delay_ms}");
            let client = Client { expire_at_s, ..Client::default() };
            let ends = client.ends_at_ms(delay_ms, 0);
            assert_eq!(ends.is_some_and(|ends_ms| ends_ms <= NOW_MS), over, "{expire_at_s} {delay_ms}");
        }
        assert_eq!((ttl_s(u64::MAX, NOW_MS), ttl_s(1, NOW_MS), ttl_s(0, NOW_MS)), (31_536_000, 1, 0));
    }
}
