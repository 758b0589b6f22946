//! A memory that answers later: what waits for it, carried out when its answers come.
//!
//! Invariant: between two calls, the first that waits in a channel has no answer yet, and the stream of a channel in which
//! something waits is attended: it is not forgotten. So is the channel.

use super::work::Start;
use super::{Asker, Done, Home, Member, Now, Refused};
use crate::hub::memory::{Appended, Brought};
use crate::hub::waiting::{Entry, Queue, State};

impl<A: Asker> Home<A> {
    /// Takes the memory's answer to what it gave a number to, and does what waited for it; [`Home::take_done`] tells what
    /// came of that. An answer that nobody waits for any more is passed over.
    pub fn handle_memory(&mut self, now: Now, number: u64, answer: Result<Brought, Refused>) {
        let Some((id, opened)) = self.waiting.answered(number, answer) else { return };
        match opened {
            Some(Ok(Brought::Opened(stream))) => {
                self.channels[id as usize].line.stream = Some(stream);
                self.order.memory.attend(stream, now, true);
            }
            Some(opened) => {
                self.waiting.fail_first(id, opened.err().unwrap_or(Refused::Unavailable));
            }
            None => {}
        }
        self.settle(now, id);
    }

    /// Forgets that a connection waits, because it is gone. What it publishes is published all the same.
    pub fn handle_gone(&mut self, now: Now, member: Member) {
        for id in self.waiting.forget(member) {
            self.settle(now, id);
        }
    }

    /// What came of something that had to wait, in the order in which it was done; call it until `None` after each
    /// [`Home::handle_memory`] and [`Home::handle_gone`].
    pub fn take_done(&mut self) -> Option<Done<A>> {
        self.done.pop_front()
    }

    /// Whether the memory answers everything at once, so that nothing ever waits.
    pub fn is_prompt(&self) -> bool {
        self.order.memory.is_prompt()
    }

    /// Subscriptions, publications and questions that wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Puts the first that waits in a channel.
    pub(super) fn put_first(&mut self, now: Now, id: u32, entry: Entry<A>) {
        if let Some(stream) = self.channels[id as usize].line.stream {
            self.order.memory.attend(stream, now, true);
        }
        self.waiting.push(id, entry);
    }

    /// Puts one behind those that wait in its channel; what it needs of the memory is asked at once, if it can be.
    pub(super) fn put_behind(&mut self, now: Now, id: u32, entry: Entry<A>) {
        self.waiting.push(id, entry);
        self.settle(now, id);
    }

    /// Does what can be done in a channel.
    fn settle(&mut self, now: Now, id: u32) {
        let mut queue = self.waiting.take(id);
        self.start_waiting(now, id, &mut queue);
        while let Some(Entry { state: State::Answered(_), .. }) = queue.entries.front()
            && let Some(entry) = queue.entries.pop_front()
        {
            self.waiting.note_gone(&entry);
            if let Some(digest) = entry.work.digest() {
                queue.digests.remove(&digest);
            }
            let Entry { work, asker, state, .. } = entry;
            if let State::Answered(answer) = state {
                let done = self.finish(now, id, work, asker, answer);
                self.done.extend(done);
            }
            self.start_waiting(now, id, &mut queue);
        }
        if !self.waiting.put(id, queue) {
            self.let_go(now, id);
        }
    }

    /// Asks the memory for what it has not been asked for yet, in order.
    fn start_waiting(&mut self, now: Now, id: u32, queue: &mut Queue<A>) {
        if queue.opening.is_some() {
            return;
        }
        let first = queue.entries.partition_point(|entry| !matches!(entry.state, State::Idle));
        for at in first..queue.entries.len() {
            let entry = &mut queue.entries[at];
            let digest = entry.work.digest();
            if let Some(position) = self.order.known(now, digest) {
                entry.state = State::Answered(Some(Ok(Brought::Appended(Appended::Known(position)))));
                continue;
            }
            if digest.is_some_and(|digest| queue.digests.contains(&digest)) {
                return;
            }
            entry.state = match self.start(now, id, &mut entry.work, entry.asker.as_ref()) {
                Start::Answered(answer) => State::Answered(answer),
                Start::Asked(number) => {
                    self.waiting.await_number(id, number);
                    State::Asked(number)
                }
                Start::Opening(number) => {
                    self.waiting.await_number(id, number);
                    queue.opening = Some(number);
                    return;
                }
            };
            queue.digests.extend(digest);
        }
    }
}

#[cfg(test)]
mod slow;
#[cfg(test)]
mod tests;
