//! The terms of a subscription: the request, limited by the channel's options, and changed by a token, a hook or the
//! server API.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::home::Joining;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Dismissed, Enter};
use crate::hub::{ClientInfo, Position};
use crate::session::Transport;
use crate::shard::World;
use crate::shard::carry::client::Ability;
use crate::shard::mailbox::{Cause, Ticket};
use crate::shard::outside::{Grant, Hook, Overrides};

/// The kinds of data that a subscriber gets beside publications.
struct Told {
    /// Missed publications after a reconnect.
    recoverable: bool,
    /// Its position in the stream.
    positioned: bool,
    /// Joins and leaves.
    hears_joins: bool,
}

impl<W: World> Clients<W> {
    /// The data about a subscription for the home and for the shard. `ask`: empty if the server subscribes.
    pub(in crate::shard) fn terms(
        &mut self,
        key: Key,
        options: &ChannelOptions,
        grant: Grant,
        since: Option<Position>,
        ask: Option<Enter>,
        cause: Cause,
    ) -> (Box<Joining>, Box<Ticket>) {
        let Grant { info: chan_info, expire_at_s, data, overrides, .. } = grant;
        let ask = ask.unwrap_or_default();
        let Told { recoverable, positioned, hears_joins } = self.told(key, options, &overrides, &ask);
        // A delta refers to the previous publication, which a filter may have removed.
        let takes_deltas =
            positioned && options.allows_fossil_delta && ask.takes_deltas && ask.filter.is_none();
        let in_presence = overrides.presence.unwrap_or(options.presence);
        let tells_join = overrides.join_leave.unwrap_or(options.join_leave);
        let is_uni = self.is_uni(key);
        let own = (!chan_info.is_empty()).then(|| {
            let info = self.info_of(key, true);
            Arc::new(ClientInfo { chan_info, ..ClientInfo::clone(&info) })
        });
        let info = (in_presence || tells_join).then(|| match &own {
            Some(info) => Arc::clone(info),
            None => self.info_of(key, true),
        });
        let is_given_latest = recoverable && options.auto_cache_recover && options.is_cache_recovery;
        let since = since.or_else(|| is_given_latest.then(Position::default));
        // Also without recovery: a client that is told of no success reloads its state.
        let was_recovering = since.is_some();
        let joining = Joining {
            member: self.channels.carry.member(key),
            info,
            in_presence,
            tells_join,
            wants_position: positioned,
            recover: since.filter(|_| recoverable),
            renews: false,
        };
        let ticket = Ticket {
            cause,
            recoverable,
            positioned,
            was_recovering,
            // A cache contains all that can be missed.
            needs_recovery: ask.needs_recovery && recoverable && !options.is_cache_recovery,
            hears_joins,
            takes_deltas,
            takes_numbers: options.allow_channel_compaction && ask.takes_numbers && !is_uni,
            filter: ask.filter,
            info: own,
            expire_at_s,
            refreshes_by_hook: cause == Cause::Command
                && options.sub_refresh_proxy_enabled
                && self.outside.has_hook(Hook::SubRefresh),
            data,
            renews: false,
        };
        (Box::new(joining), Box::new(ticket))
    }

    /// The data beside publications: what is forced, and what is requested and permitted.
    fn told(&self, key: Key, options: &ChannelOptions, overrides: &Overrides, ask: &Enter) -> Told {
        let may = |ability| self.may_then(key, &ask.channel, options, ability);
        let has_history = options.history_size > 0 && options.history_ttl_ms > 0;
        let recoverable = has_history
            && (overrides.force_recovery.unwrap_or(options.force_recovery)
                || (ask.wants_recovery && (options.allow_recovery || may(Ability::History))));
        let positioned = has_history
            && (recoverable
                || overrides.force_positioning.unwrap_or(options.force_positioning)
                || (ask.wants_position && (options.allow_positioning || may(Ability::History))));
        // An override may enable it for a subscription where the channel does not.
        let hears_joins = overrides.force_push_join_leave == Some(true)
            || options.join_leave
                && (overrides.force_push_join_leave.unwrap_or(options.force_push_join_leave)
                    || (ask.wants_joins && may(Ability::Presence)));
        Told { recoverable, positioned, hears_joins }
    }

    /// Whether the client sends no commands.
    fn is_uni(&self, key: Key) -> bool {
        let transport = self.channels.carry.conns.entry(key).and_then(|conn| conn.session.transport());
        transport.is_some_and(Transport::is_uni)
    }

    /// Subscribes a client on behalf of the server; returns whether a home was asked. An order also changes the terms
    /// of an active subscription.
    pub(in crate::shard) fn enter_granted(
        &mut self,
        key: Key,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        mut grant: Grant,
        since: Option<Position>,
        cause: Cause,
    ) -> bool {
        let renews = cause == Cause::Order && self.is_subscribed(key, channel);
        let has_room = match cause {
            // A command of the client may have asked for it, and continues.
            Cause::Order if !renews => self.channels.has_room_for_one(key),
            Cause::Order | Cause::Command | Cause::Connect | Cause::Token => {
                self.channels.has_room_for(key, channel)
            }
        };
        match has_room {
            Ok(()) => {}
            Err(_) if renews => {}
            // Not silently: the application considers it subscribed.
            Err(Denied::Limit) if cause == Cause::Order => {
                self.channels.dismiss(key, Dismissed::ChannelLimit);
                return false;
            }
            Err(_) => return false,
        }
        let granted = grant.recover_since.take();
        let since = since.or_else(|| granted.map(|(offset, epoch)| Position { offset, epoch: epoch.into() }));
        let (joining, ticket) = self.terms(key, options, grant, since, None, cause);
        if renews {
            self.channels.ask_anew(key, channel, options, 0, (joining, ticket));
        } else {
            self.channels.enter(key, channel, options, 0, joining, Some(ticket));
        }
        true
    }
}
