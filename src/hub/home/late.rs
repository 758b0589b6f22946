//! A memory that answers later: requests wait for it, and are carried out when its answers come.
//!
//! Invariant: between two calls, the first entry that waits in a channel has no answer yet, and the stream of a
//! channel with waiting entries is attended: it is not forgotten. Neither is the channel.

use super::work::Start;
use super::{Asker, Done, Home, Member, Now, Refused};
use crate::hub::memory::{Appended, Brought};
use crate::hub::waiting::{Entry, Queue, State};

impl<A: Asker> Home<A> {
    /// Takes the memory's answer to a numbered request, and completes the requests that waited for it;
    /// [`Home::take_done`] returns their results. An answer that no request waits for any more is ignored.
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

    /// Removes the waiting requests of a closed connection. Its publications are published all the same.
    pub fn handle_gone(&mut self, now: Now, member: Member) {
        for id in self.waiting.forget(member) {
            self.settle(now, id);
        }
    }

    /// The result of a request that had to wait, in the order of completion; to be called until `None` after each
    /// [`Home::handle_memory`] and [`Home::handle_gone`].
    pub fn take_done(&mut self) -> Option<Done<A>> {
        self.done.pop_front()
    }

    /// Whether the memory answers everything at once, so that no request ever waits.
    pub fn is_prompt(&self) -> bool {
        self.order.memory.is_prompt()
    }

    /// Number of waiting subscriptions, publications and questions.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Adds the first entry that waits in a channel.
    pub(super) fn put_first(&mut self, now: Now, id: u32, entry: Entry<A>) {
        if let Some(stream) = self.channels[id as usize].line.stream {
            self.order.memory.attend(stream, now, true);
        }
        self.waiting.push(id, entry);
    }

    /// Appends an entry to its channel's queue; asks the memory at once for the data that it needs, if possible.
    pub(super) fn put_behind(&mut self, now: Now, id: u32, entry: Entry<A>) {
        self.waiting.push(id, entry);
        self.settle(now, id);
    }

    /// Completes the entries of a channel that have their answers.
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

    /// Asks the memory on behalf of the entries that have not asked yet, in order.
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
