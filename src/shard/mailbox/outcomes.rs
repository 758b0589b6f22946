//! What is told outside when the letters of a turn are handed over, and not before.
//!
//! Whoever hears that something is done may ask for the next thing at once, of any shard. Its letter must not overtake those
//! that were written for the first one: a publication that was answered is on its way to all who are subscribed, and
//! connections that an order has subscribed are counted by their channel's home before anything else reaches it.

use std::fmt;
use std::sync::Arc;

use super::{Order, OutsideReply};
use crate::base::heap;
use crate::hub::home::Answer;

/// See the module documentation.
#[derive(Default)]
pub(super) struct Outcomes {
    answers: Vec<(OutsideReply, Answer)>,
    /// Who waits for one hears of it when all shards have dropped it.
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

    /// Gives back the room of a burst that is over.
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
