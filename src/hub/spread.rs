//! Whom a home sends to: who subscribes from which shard, and what is told of who came and went.
//!
//! Invariant: a crowd changes here only, and what all crowds cost and how many are present is counted as they do.

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
    /// It was told that the channel is occupied.
    pub(super) is_told: bool,
}

/// Whom a home sends to, and what it has yet to tell of them.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Channels with changes to tell. One that has ended since, or whose number is another's by now, is passed over.
    changed: VecDeque<u32>,
    /// First and last subscribers to tell, in their order.
    states: Vec<StateChange>,
    pub(super) presence_count: usize,
    /// What crowds cost.
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

    /// Knows a subscriber that is counted by other terms.
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

    /// Counts one subscriber less; false when there was none.
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
            // Nobody is left to hear who went.
            self.with_crowd(audience, |crowd| *crowd = Crowd::default());
        } else if has_news {
            self.changed.push_back(id);
        }
        true
    }

    /// The number of the next channel that has changes to tell.
    #[inline]
    pub(super) fn next_changed(&mut self) -> Option<u32> {
        let id = self.changed.pop_front()?;
        heap::ease_queue(&mut self.changed);
        Some(id)
    }

    /// Whether some channel has changes to tell.
    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes what is to be told of a channel's members, at most so many per second.
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

    /// What is kept here of channels, without their crowds.
    pub(super) fn bytes(&self) -> usize {
        heap::list::<u32>(self.changed.capacity())
    }

    /// Changes a crowd, and counts what that changes.
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
