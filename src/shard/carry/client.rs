//! The properties of a client beyond its connection: user, permissions, expiry, and its commands that wait for an
//! answer (`pending`).
//!
//! Stored in a box, which an anonymous connection without any of these does not have.

use std::collections::VecDeque;
use std::sync::Arc;

pub(in crate::shard) use super::pending::{Connecting, First, JoinedAtConnect, Pending, Questions, Witness};
use super::queued::Waiting;
use crate::base::bucket::Bucket;
use crate::base::filter::Filter;
use crate::base::heap;
use crate::hub::ClientInfo;
use crate::hub::local::ChannelId;
use crate::hub::words::Entered;
use crate::shard::mailbox::{Cause, Order, Ticket};
use crate::shard::outside::{Capability, Headers, Matching};

/// Maximum number of waiting commands of a connection; at this number nothing more is read from it.
pub(in crate::shard) const WAITING_COMMANDS_MAX: usize = 64;
/// Maximum sum of the weights of commands whose answers from homes may be large; at it, later commands wait.
pub(in crate::shard) const AWAITED_MAX: usize = 8;
/// Weight of a history or of presence: no other such command is pending at the same time.
pub(in crate::shard) const WHOLE_WEIGHT: u8 = 8;
/// Weight of a subscription with recovery: a reconnecting client sends several at once, and most have missed little.
pub(in crate::shard) const RECOVERY_WEIGHT: u8 = 1;

/// The properties of a client beyond its connection.
#[derive(Debug, Default)]
pub(in crate::shard) struct Client {
    /// Information for other clients; created at first use.
    pub(in crate::shard) info: Option<Arc<ClientInfo>>,
    /// Unix time of the connection's expiry in seconds; 0 for none.
    pub(in crate::shard) expire_at_s: u64,
    /// Whether the application, not the client, is asked to renew it.
    pub(in crate::shard) refreshes_by_hook: bool,
    /// Whether a refresh is being asked outside.
    pub(in crate::shard) is_refreshing: bool,
    /// Whether the home of its user counts it.
    pub(in crate::shard) is_counted: bool,
    /// Capabilities, which hold in addition to the channels' options.
    pub(in crate::shard) caps: Option<Arc<[Capability]>>,
    /// Metadata from connect hooks.
    pub(in crate::shard) meta: Box<[u8]>,
    /// Headers for later hooks; `None` for most clients.
    pub(in crate::shard) headers: Option<Box<Headers>>,
    /// The connect command, until it is answered.
    pub(in crate::shard) connecting: Option<Box<Connecting>>,
    /// Waiting commands, in order.
    pub(in crate::shard) waiting: VecDeque<Waiting>,
    /// Size of the waiting commands, in bytes.
    pub(in crate::shard) waiting_bytes: usize,
    /// Time until which its commands are carried out after it has left, in milliseconds of the shard's clock.
    pub(in crate::shard) leaves_by_ms: u64,
    /// Whether waiting commands are being carried out; the client must not be dropped meanwhile.
    pub(in crate::shard) is_resuming: bool,
    /// Sum of the weights of pending commands whose answers may be large.
    pub(in crate::shard) awaited_weight: usize,
    /// Commands with a question outside, each with the question's number ([`Questions`]).
    pub(in crate::shard) pending: Vec<(u32, Pending)>,
    /// Orders about channels for which an answer about a subscription is pending; carried out after the answers.
    pub(in crate::shard) late_orders: Vec<Arc<Order>>,
    /// Details of subscriptions that have any.
    pub(in crate::shard) details: Vec<Detail>,
    /// The token buckets of its rates.
    pub(in crate::shard) buckets: Option<Box<Buckets>>,
    /// Cost when it was last counted.
    pub(in crate::shard) counted_bytes: usize,
    /// Whether its cost may have changed.
    pub(in crate::shard) is_touched: bool,
}

/// Properties of a subscription beside its channel.
#[derive(Debug)]
pub(in crate::shard) struct Detail {
    pub(in crate::shard) channel: ChannelId,
    /// Information for other clients in the channel, if it differs.
    pub(in crate::shard) info: Option<Arc<ClientInfo>>,
    /// Unix time of its expiry in seconds; 0 for none.
    pub(in crate::shard) expire_at_s: u64,
    /// Whether the application, not the client, is asked to renew it.
    pub(in crate::shard) refreshes_by_hook: bool,
    /// Whether the application is being asked.
    pub(in crate::shard) is_refreshing: bool,
    /// Filter for its publications.
    pub(in crate::shard) filter: Option<Box<Filter>>,
    /// Whether the server subscribed the client.
    pub(in crate::shard) is_server_side: bool,
    /// Whether the connection token did.
    pub(in crate::shard) is_by_token: bool,
}

impl Detail {
    fn bytes(&self) -> usize {
        self.info.as_ref().map_or(0, |info| info.bytes())
            + self.filter.as_ref().map_or(0, |filter| filter.bytes())
    }

    /// Time that the client has for a new token after the expiry; 0 if the application is asked.
    pub(in crate::shard) fn delay_ms(&self, sub_delay_ms: u64) -> u64 {
        if self.refreshes_by_hook { 0 } else { sub_delay_ms }
    }
}

/// The token buckets of a connection's rates.
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

/// An action that a capability may allow.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) enum Ability {
    Subscribe,
    Publish,
    Presence,
    History,
}

impl Client {
    /// Whether all properties are default values.
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

    /// The cost, with the box. The content of waiting commands is counted like partial messages.
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

    /// The number of commands with a question outside.
    pub(in crate::shard) fn asked_outside(&self) -> usize {
        self.pending.iter().filter(|(_, one)| !matches!(one, Pending::HookRefresh { .. })).count()
    }

    /// Whether commands must be completed before later ones.
    pub(in crate::shard) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.asked_outside() > 0
    }

    /// The user; empty when anonymous.
    pub(in crate::shard) fn user(&self) -> &str {
        self.info.as_ref().map_or("", |info| &info.user)
    }

    /// Whether its capabilities allow this in a channel: the first that names the channel decides.
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

    /// The details of the subscription to a channel.
    pub(in crate::shard) fn detail(&self, channel: ChannelId) -> Option<&Detail> {
        self.details.iter().find(|detail| detail.channel == channel)
    }

    /// The details of the subscription to a channel, created as those of a client's own command.
    pub(in crate::shard) fn detail_or_new(&mut self, channel: ChannelId) -> &mut Detail {
        match self.details.iter().position(|detail| detail.channel == channel) {
            Some(at) => &mut self.details[at],
            None => self.add_detail(channel, &mut Ticket::default()),
        }
    }

    /// Stores the details of a subscription that has begun.
    pub(in crate::shard) fn add_detail(&mut self, channel: ChannelId, ticket: &mut Ticket) -> &mut Detail {
        // The client's information may have changed since the home was asked.
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

    /// Removes the details of a subscription that has ended: later answers from outside must not apply to another
    /// subscription.
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

    /// Marks pending renewals as overtaken, since an order has set the connection's expiry.
    pub(in crate::shard) fn overtake_refreshes(&mut self) {
        self.is_refreshing = false;
        for (_, one) in &mut self.pending {
            if let Pending::Refresh { is_overtaken, .. } = one {
                *is_overtaken = true;
            }
        }
    }

    /// Removes the command with this question.
    pub(in crate::shard) fn take_pending(&mut self, question: u32) -> Option<Pending> {
        let at = self.pending.iter().position(|(number, _)| *number == question)?;
        let (_, pending) = self.pending.swap_remove(at);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Some(pending)
    }

    /// Marks a pending subscription to this channel as answered, and returns its number.
    pub(in crate::shard) fn answer_otherwise(&mut self, channel: &str) -> Option<u32> {
        let at = self.pending.iter().position(|(_, one)| one.subscribes_to(channel))?;
        let asked = &mut self.pending[at].1;
        let id = asked.id();
        match asked {
            // The home's answer is still to come.
            Pending::Renewing { id, .. } => *id = 0,
            Pending::Granted { .. } => {
                self.pending.swap_remove(at);
            }
            Pending::Subscribe { .. }
            | Pending::Publish { .. }
            | Pending::HookRefresh { .. }
            | Pending::SubRefresh { .. }
            | Pending::Refresh { .. }
            | Pending::Call { .. }
            | Pending::Answered => *asked = Pending::Answered,
        }
        Some(id)
    }

    /// Whether a subscription to this channel is being asked outside, or about to change an active one.
    pub(in crate::shard) fn asks_for(&self, channel: &str) -> bool {
        self.pending.iter().any(|(_, one)| one.subscribes_to(channel))
    }

    /// Removes and returns the pending subscription to this channel of the kind that `is_it` accepts.
    pub(in crate::shard) fn take_subscribing(
        &mut self,
        channel: &str,
        is_it: impl Fn(&Pending) -> bool,
    ) -> Option<Pending> {
        let number = self.pending.iter().find(|(_, one)| one.subscribes_to(channel) && is_it(one))?.0;
        self.take_pending(number)
    }

    /// The earliest Unix time, in milliseconds, at which the connection or a subscription ends; `None` for never.
    pub(in crate::shard) fn ends_at_ms(&self, conn_delay_ms: u64, sub_delay_ms: u64) -> Option<u64> {
        if self.connecting.is_some() {
            // The connect command has a deadline of its own, and is answered before anything expires.
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

/// The reply for a subscription that has begun.
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
        // The publications begin after this offset and end at the stream's position.
        offset: joined.publications.first().map_or(offset, |first| first.offset.saturating_sub(1)),
        is_recovered: joined.recovered,
        was_recovering: ticket.was_recovering,
        publications: &joined.publications,
        data: ticket.data.get(),
        takes_deltas: ticket.takes_deltas,
        number: None,
    }
}

/// The end of a term in Unix time, in milliseconds. `expire_at_s` comes from a token, a hook or the server API: a
/// value out of range must mean "never", and not overflow into the past.
fn ends_at_ms(expire_at_s: u64, delay_ms: u64) -> u64 {
    expire_at_s.saturating_mul(1000).saturating_add(delay_ms)
}

/// Whether a term and the delay after it have ended. 0 is no term.
pub(in crate::shard) fn is_over(expire_at_s: u64, delay_ms: u64, unix_ms: u64) -> bool {
    expire_at_s > 0 && ends_at_ms(expire_at_s, delay_ms) <= unix_ms
}

/// Whether a new term has ended already, in whole seconds.
pub(in crate::shard) fn is_past(expire_at_s: u64, unix_ms: u64) -> bool {
    expire_at_s > 0 && expire_at_s < unix_ms / 1000
}

/// Maximum time to expiry that clients receive, a year: their timers are limited to some 24 days, or a few times
/// that.
const TTL_S_MAX: u64 = 31_536_000;

/// The seconds until the expiry; 0 for no expiry, otherwise 1 to a year.
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
