//! Letters read: this shard as home of channels, and as host of subscribers.

use std::sync::Arc;

use super::Shard;
use super::mailbox::Letter;
use crate::net::Net;
use crate::session::Handler;

impl<N: Net, H: Handler> Shard<N, H> {
    /// Handles all letters that have arrived, and those that this shard wrote to itself meanwhile.
    pub(super) fn handle_letters(&mut self) {
        let count = self.post.collect();
        self.counters.letters_in.add(count as u64);
        self.handle_own_letters();
    }

    /// Handles the letters that this shard wrote to itself.
    pub(super) fn handle_own_letters(&mut self) {
        while let Some(letter) = self.post.next_own() {
            self.handle(letter);
        }
    }

    fn handle(&mut self, letter: Letter) {
        match letter {
            Letter::Subscribe { channel, reply_to } => {
                let outcome = self.home.subscribe(&channel, reply_to.shard);
                self.counters.channels.set(self.home.len() as u64);
                self.post.send(reply_to.shard, Letter::Subscribed { channel, reply_to, outcome });
            }
            Letter::Subscribed { channel, reply_to, outcome } => self.subscribed(&channel, reply_to, outcome),
            Letter::Unsubscribe { channel, shard } => {
                let was_counted = self.home.unsubscribe(&channel, shard);
                debug_assert!(was_counted, "a home hears only of subscribers that it counted");
                self.counters.channels.set(self.home.len() as u64);
            }
            Letter::Publish { publication, reply_to } => {
                self.counters.publications.add(1);
                if let Some((_, shards)) = self.home.publish(&publication.channel) {
                    for shard in shards {
                        self.post.send(shard, Letter::Deliver(Arc::clone(&publication)));
                    }
                }
                if let Some(reply_to) = reply_to {
                    self.post.send(reply_to.shard, Letter::Published { reply_to });
                }
            }
            Letter::Published { reply_to } => {
                self.answer(reply_to.conn, |session, _, cx| session.published(reply_to.request, Ok(()), cx));
            }
            Letter::Deliver(publication) => {
                self.local.deliver(publication);
            }
            Letter::Drain => self.begin_drain(),
        }
    }
}
