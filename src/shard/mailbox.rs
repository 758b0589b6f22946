//! Letters between shards, and their queues.
//!
//! A shard writes to the others only through its [`Post`], which hands over once per turn: one lock and at most one
//! wake-up per receiver, for any number of letters. Letters from one shard to another keep their order, on which the
//! order of a channel's publications depends. Those of a turn are handed over to all receivers at once, on which the
//! order of one client's publications in several channels depends: an answer does not arrive before the deliveries to
//! other shards that it is about. The lock of a mailbox is the only one in the data plane.

mod late;
mod letter;
mod order;
mod outcomes;
mod returning;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

use crate::base::heap;
use crate::hub::home;

pub(in crate::shard) use late::LateMail;
pub use letter::{Asker, Cause, Letter, Look, Moved, OutsideReply, ReplyTo, Ticket};
pub use order::{Deed, Done, Order, Target};
use outcomes::Outcomes;
pub use returning::{Returning, Socket};

/// Maximum size of a typical letter's boxed content: a subscriber and its terms.
const CONTENT_BYTES: usize = heap::piece(size_of::<home::Joining>()) + heap::piece(size_of::<Ticket>());

/// Wakes the shard that owns a mailbox.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// One shard's queue of letters from the others.
pub struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    /// Number of queued letters, plus other load of the shard.
    load: AtomicUsize,
    /// Changed under the lock only.
    is_closed: AtomicBool,
    wake: Wake,
}

impl Mailbox {
    /// An empty mailbox; `wake` is called when it stops being empty.
    pub fn new(wake: Wake) -> Self {
        Self { letters: Mutex::default(), load: AtomicUsize::new(0), is_closed: AtomicBool::new(false), wake }
    }

    /// Appends letters, leaving `letters` empty. After [`Mailbox::close`], letters are dropped, and the drop of a
    /// callback tells its owner that there is no answer.
    pub fn put(&self, letters: &mut Vec<Letter>) {
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed.load(Relaxed) {
            drop(queue);
            return letters.clear();
        }
        let was_empty = queue.is_empty();
        queue.append(letters);
        self.load.store(queue.len(), Relaxed);
        drop(queue);
        if was_empty {
            (self.wake)();
        }
    }

    /// Appends the letters of a sender to several mailboxes at once: a receiver that writes to another one because of
    /// its letters does not overtake the letters for that one. Leaves `letters` empty, as [`Mailbox::put`] does.
    fn put_all(mailboxes: &[Self], letters: &mut [Vec<Letter>]) {
        let mut to_wake: SmallVec<[&Self; 16]> = SmallVec::new();
        // All senders lock them in the same order.
        let mut locked: SmallVec<[_; 16]> = SmallVec::new();
        for (mailbox, letters) in
            mailboxes.iter().zip(&mut *letters).filter(|(_, letters)| !letters.is_empty())
        {
            let queue = mailbox.letters.lock().unwrap_or_else(PoisonError::into_inner);
            locked.push((mailbox, queue, letters));
        }
        for (mailbox, queue, letters) in &mut locked {
            if mailbox.is_closed.load(Relaxed) {
                continue;
            }
            if queue.is_empty() {
                to_wake.push(mailbox);
            }
            queue.append(letters);
            mailbox.load.store(queue.len(), Relaxed);
        }
        drop(locked);
        // Those for mailboxes that are closed.
        letters.iter_mut().for_each(Vec::clear);
        to_wake.iter().for_each(|mailbox| (mailbox.wake)());
    }

    /// Takes all letters into `letters`, which must be empty.
    fn take(&self, letters: &mut Vec<Letter>) {
        debug_assert!(letters.is_empty());
        if self.load.load(Relaxed) == 0 {
            return;
        }
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *queue, letters);
        self.load.store(0, Relaxed);
    }

    /// Closes the mailbox of a shard that has ended: drops queued letters, and all later ones.
    pub fn close(&self) {
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_closed.store(true, Relaxed);
        self.load.store(0, Relaxed);
        let unread = mem::take(&mut *queue);
        drop(queue);
        // Outside the lock: the drop of a letter's content may run any code.
        drop(unread);
    }

    /// Number of queued letters.
    pub fn len(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Whether no letter is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} letters)", self.len())
    }
}

/// A shard's sender of letters, to itself and the others.
#[derive(Debug)]
pub struct Post {
    shard: u16,
    mailboxes: Arc<[Mailbox]>,
    outgoing: Vec<Vec<Letter>>,
    outgoing_count: u64,
    own: VecDeque<Letter>,
    taken: Vec<Letter>,
    outcomes: Outcomes,
}

impl Post {
    /// The sender of shard number `shard`; there is one mailbox per shard.
    pub fn new(shard: u16, mailboxes: Arc<[Mailbox]>) -> Self {
        let outgoing = mailboxes.iter().map(|_| Vec::new()).collect();
        Self {
            shard,
            mailboxes,
            outgoing,
            outgoing_count: 0,
            own: VecDeque::new(),
            taken: Vec::new(),
            outcomes: Outcomes::default(),
        }
    }

    /// Number of this shard.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Number of shards.
    pub fn shard_count(&self) -> u16 {
        u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX)
    }

    /// Sends a letter: to this shard itself for this turn, to others with the next [`Post::hand_over`].
    #[inline]
    pub fn send(&mut self, shard: u16, letter: Letter) {
        if shard == self.shard {
            self.own.push_back(letter);
        } else {
            self.outgoing[usize::from(shard)].push(letter);
            self.outgoing_count += 1;
        }
    }

    /// The next letter to this shard from itself.
    #[inline]
    pub fn next_own(&mut self) -> Option<Letter> {
        self.own.pop_front()
    }

    /// Queues all letters from the mailbox after this shard's own; returns their number.
    #[inline]
    pub fn collect(&mut self) -> usize {
        self.mailboxes[usize::from(self.shard)].take(&mut self.taken);
        let count = self.taken.len();
        if count == 0 {
            return 0;
        }
        self.own.extend(self.taken.drain(..));
        // Frees the memory of a burst.
        if self.taken.capacity() > 4096 {
            self.taken = Vec::new();
        }
        count
    }

    /// Answers an outside caller, after the letters of this turn: the caller's next request must not overtake them.
    pub fn answer_outside(&mut self, reply: OutsideReply, answer: home::Answer) {
        self.outcomes.answer(reply, answer);
    }

    /// Drops an order that this shard has carried out, after the letters that it caused.
    pub fn carried_out(&mut self, order: Arc<Order>) {
        self.outcomes.carried_out(order);
    }

    /// Whether no outside caller waits for this turn's results.
    pub fn has_told_all(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Hands the letters of this turn to their receivers, then sends results to outside callers; returns the number
    /// of letters.
    pub fn hand_over(&mut self) -> u64 {
        let count = mem::take(&mut self.outgoing_count);
        if count > 0 {
            Mailbox::put_all(&self.mailboxes, &mut self.outgoing);
        }
        self.outcomes.tell();
        count
    }

    /// Cost of the queues, and of letters queued for this shard with their uncounted content.
    pub fn bytes(&self) -> usize {
        let waiting = self.mailboxes[usize::from(self.shard)].len();
        let room = self.outgoing.iter().map(Vec::capacity).sum::<usize>();
        let room = room + self.own.capacity() + self.taken.capacity() + waiting;
        room * size_of::<Letter>() + (waiting + self.own.len()) * CONTENT_BYTES
    }

    /// Frees unused room after a burst.
    pub fn ease(&mut self) {
        heap::ease_queue(&mut self.own);
        self.outgoing.iter_mut().for_each(heap::ease_list);
        self.outcomes.ease();
    }

    /// Whether another shard has more than `letters_max` queued letters.
    pub fn is_congested(&self, letters_max: usize) -> bool {
        self.mailboxes.len() > 1
            && self
                .mailboxes
                .iter()
                .enumerate()
                .any(|(shard, m)| shard != usize::from(self.shard) && m.len() > letters_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slots::Key;

    #[test]
    fn letters_keep_their_order_and_wake_once() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&wakes);
        let count = move || {
            seen.fetch_add(1, Relaxed);
        };
        let mailboxes: Arc<[Mailbox]> =
            vec![Mailbox::new(Box::new(|| {})), Mailbox::new(Box::new(count))].into();
        let (mut a, mut b) = (Post::new(0, Arc::clone(&mailboxes)), Post::new(1, mailboxes));
        for turn in 0..2 {
            for i in 0..3u16 {
                let member = home::Member { shard: turn * 3 + i, conn: 0 };
                a.send(1, Letter::Unsubscribe { channel: "c".into(), member });
            }
            assert_eq!(a.hand_over(), 3);
        }
        assert_eq!(wakes.load(Relaxed), 1);
        assert!(a.is_congested(5) && !a.is_congested(6) && !b.is_congested(0));
        assert_eq!(b.collect(), 6);
        for i in 0..6 {
            assert!(matches!(b.next_own(), Some(Letter::Unsubscribe { member, .. }) if member.shard == i));
        }
        assert_eq!((b.collect(), b.next_own().is_none(), a.hand_over()), (0, true, 0));
    }

    /// A receiver that is woken and writes to another must not overtake the letters for that one.
    #[test]
    fn letters_of_a_turn_reach_all_their_receivers_at_once() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (note, mailboxes) = (Arc::clone(&seen), Arc::<std::sync::OnceLock<Arc<[Mailbox]>>>::default());
        let all = Arc::clone(&mailboxes);
        let wake = move || {
            let lengths = all.get().map(|all| all.iter().map(Mailbox::len).collect::<Vec<_>>());
            note.lock().unwrap().extend(lengths);
        };
        let made: Arc<[Mailbox]> = (0..4).map(|_| Mailbox::new(Box::new(wake.clone()))).collect();
        mailboxes.set(Arc::clone(&made)).unwrap();
        made[3].close();
        let mut post = Post::new(0, made);
        for shard in [1, 2, 2, 3] {
            post.send(shard, Letter::Displaced { conn: Key::from_token(7) });
        }
        assert_eq!(post.hand_over(), 4);
        assert_eq!(*seen.lock().unwrap(), [[0, 1, 2, 0], [0, 1, 2, 0]]);
        assert!(post.outgoing.iter().all(Vec::is_empty), "a closed mailbox drops its letters");
    }

    #[test]
    fn a_burst_of_letters_does_not_keep_its_room() {
        let mailboxes: Arc<[Mailbox]> = (0..2).map(|_| Mailbox::new(Box::new(|| {}))).collect();
        let (mut a, mut b) = (Post::new(0, Arc::clone(&mailboxes)), Post::new(1, mailboxes));
        let empty = b.bytes();
        for _ in 0..10_000 {
            a.send(1, Letter::Displaced { conn: Key::from_token(7) });
        }
        a.hand_over();
        assert!(b.bytes() >= 10_000 * (size_of::<Letter>() + CONTENT_BYTES), "what waits is counted");
        b.collect();
        while b.next_own().is_some() {}
        for post in [&mut a, &mut b] {
            assert!(post.bytes() >= 10_000 * size_of::<Letter>());
            post.ease();
            assert_eq!(post.bytes(), empty);
        }
    }

    #[test]
    fn a_closed_mailbox_drops_what_waits_and_what_comes() {
        let mailbox = Mailbox::new(Box::new(|| {}));
        let alive = Arc::new(());
        let letter = || {
            let held = Arc::clone(&alive);
            let asker = Asker::Outside(Box::new(move |_| drop(held)));
            vec![Letter::Look { what: Look::Channels { pattern: String::new() }, asker }]
        };
        mailbox.put(&mut letter());
        assert_eq!((mailbox.len(), Arc::strong_count(&alive)), (1, 2));
        mailbox.close();
        assert_eq!((mailbox.len(), Arc::strong_count(&alive)), (0, 1));
        let mut late = letter();
        mailbox.put(&mut late);
        assert_eq!((mailbox.len(), late.len(), Arc::strong_count(&alive)), (0, 0, 1));
    }
}
