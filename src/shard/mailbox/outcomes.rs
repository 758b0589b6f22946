//! Results for callers outside the shards, sent after the letters of a turn are handed over.
//!
//! A caller that receives a result may send its next request at once, to any shard. Its letter must not overtake
//! those of the first request: an answered publication is on its way to all subscribers, and connections that an
//! order has subscribed are counted by their channel's home before anything else reaches it.

use std::fmt;
use std::sync::Arc;

use super::{Order, OutsideReply};
use crate::base::heap;
use crate::hub::home::Answer;

/// Results that wait for the end of the turn.
#[derive(Default)]
pub(super) struct Outcomes {
    answers: Vec<(OutsideReply, Answer)>,
    /// Carried-out orders: their callers are told when all shards have dropped them.
    orders: Vec<Arc<Order>>,
}

impl Outcomes {
    pub(super) fn answer(&mut self, reply: OutsideReply, answer: Answer) {
        self.answers.push((reply, answer));
    }

    pub(super) fn carried_out(&mut self, order: Arc<Order>) {
        self.orders.push(order);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.orders.is_empty()
    }

    pub(super) fn tell(&mut self) {
        for (reply, answer) in self.answers.drain(..) {
            reply(answer);
        }
        self.orders.clear();
    }

    /// Frees unused room after a burst.
    pub(super) fn ease(&mut self) {
        heap::ease_list(&mut self.answers);
        heap::ease_list(&mut self.orders);
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outcomes({} answers, {} orders)", self.answers.len(), self.orders.len())
    }
}
