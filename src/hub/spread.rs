//! The receivers of a home's items: its subscribers by shard, and their unsent joins and leaves.
//!
//! Invariant: a crowd changes here only, and the memory and members of all crowds are counted with each change.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ClientInfo;
use super::options::ChannelOptions;
use super::presence::Crowd;
use super::terms::{Joining, Member, Now, StateChange};
use crate::base::heap;

/// The subscribers of one channel.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) crowd: Crowd,
    /// Whether the channel was reported as occupied.
    pub(super) is_told: bool,
}

/// The receivers of a home's items, and unsent changes among them.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Channels with unsent changes. One that has ended since, or whose number was reused, is skipped.
    changed: VecDeque<u32>,
    /// First and last subscribers to report, in order.
    states: Vec<StateChange>,
    pub(super) presence_count: usize,
    /// Memory of the crowds.
    pub(super) crowd_bytes: usize,
    pub(super) suppressed_count: u64,
}

impl Spread {
    /// Counts one more subscriber of channel number `id`.
    pub(super) fn enter(
        &mut self,
        now: Now,
        (id, name): (u32, &Arc<str>),
        audience: &mut Audience,
        (joining, options): (&Joining, &ChannelOptions),
    ) {
        if options.state_proxy_enabled && !audience.is_told {
            audience.is_told = true;
            self.states.push(StateChange::new(name, true, now));
        }
        if self.with_crowd(audience, |crowd| crowd.add(joining, options)) {
            self.changed.push_back(id);
        }
    }

    /// Changes the options of a counted subscriber.
    pub(super) fn renew(
        &mut self,
        id: u32,
        audience: &mut Audience,
        (joining, options): (&Joining, &ChannelOptions),
    ) {
        if self.with_crowd(audience, |crowd| crowd.add(joining, options)) {
            self.changed.push_back(id);
        }
    }

    /// Counts one subscriber less; returns false when there was none.
    pub(super) fn leave(
        &mut self,
        now: Now,
        (id, name): (u32, &Arc<str>),
        audience: &mut Audience,
        member: Member,
    ) -> bool {
        let Some(has_news) = self.with_crowd(audience, |crowd| crowd.remove(member)) else { return false };
        if audience.crowd.is_empty() {
            if std::mem::take(&mut audience.is_told) {
                self.states.push(StateChange::new(name, false, now));
            }
            // There is no subscriber left to receive the leaves.
            self.with_crowd(audience, |crowd| *crowd = Crowd::default());
        } else if has_news {
            self.changed.push_back(id);
        }
        true
    }

    /// The number of the next channel with unsent changes.
    #[inline]
    pub(super) fn next_changed(&mut self) -> Option<u32> {
        let id = self.changed.pop_front()?;
        heap::ease_queue(&mut self.changed);
        Some(id)
    }

    /// Whether some channel has unsent changes.
    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes the unsent changes of a channel, at most so many per second.
    pub(super) fn take_changes(
        &mut self,
        now: Now,
        audience: &mut Audience,
        rate_per_s: u32,
    ) -> Vec<(bool, Arc<ClientInfo>)> {
        let (changes, dropped) = self.with_crowd(audience, |crowd| crowd.take_changes(now.ms, rate_per_s));
        self.suppressed_count += u64::from(dropped);
        changes
    }

    pub(super) fn take_states(&mut self) -> Vec<StateChange> {
        std::mem::take(&mut self.states)
    }

    /// Memory of the queues here, without crowds.
    pub(super) fn bytes(&self) -> usize {
        heap::list::<u32>(self.changed.capacity())
    }

    /// Changes a crowd, and updates the counts.
    pub(super) fn with_crowd<R>(
        &mut self,
        audience: &mut Audience,
        change: impl FnOnce(&mut Crowd) -> R,
    ) -> R {
        let crowd = &mut audience.crowd;
        let (bytes, present_count) = (crowd.bytes(), crowd.present_count() as usize);
        let result = change(crowd);
        self.crowd_bytes = self.crowd_bytes + crowd.bytes() - bytes;
        self.presence_count = self.presence_count + crowd.present_count() as usize - present_count;
        result
    }
}
