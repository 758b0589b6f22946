//! The way between the shards and one thread with many requests: letters written together leave together, and answers
//! arrive together, so that neither side is woken for each.
//!
//! Invariant: the letters of a thread leave in the order in which they were written, if it uses this way alone.
//! Arrivals wake the thread once, at the end of the shard's turn, or at once where there is no later turn.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

use super::pending::Errand;
use crate::shard::desk::Handed;
use crate::shard::mailbox::{Letter, Mailbox};

/// The way of one thread to the shards and back.
pub(crate) struct ThreadPost {
    mailboxes: Arc<[Mailbox]>,
    /// Letters, by shard.
    outgoing: Mutex<Vec<Vec<Letter>>>,
    arrived: Mutex<Vec<Arrival>>,
    /// Whether there are arrivals that the thread was not woken for.
    is_unnoticed: AtomicBool,
    notify: Notify,
}

/// An arrival from a shard.
enum Arrival {
    /// An answer, to be delivered in the thread.
    Answer(Errand),
    /// A request of a client listener.
    Request(Handed),
}

impl fmt::Debug for ThreadPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPost").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ThreadPost {
    /// A way to these shards.
    pub(crate) fn new(mailboxes: Arc<[Mailbox]>) -> Self {
        let outgoing = Mutex::new(mailboxes.iter().map(|_| Vec::new()).collect());
        let (arrived, is_unnoticed, notify) = Default::default();
        Self { mailboxes, outgoing, arrived, is_unnoticed, notify }
    }

    /// Sends a letter, together with the others that the thread writes now.
    pub(crate) fn send(&self, shard: usize, letter: Letter) {
        let mut outgoing = lock(&self.outgoing);
        let is_first = outgoing.iter().all(Vec::is_empty);
        outgoing[shard].push(letter);
        drop(outgoing);
        if is_first {
            self.notify.notify_one();
        }
    }

    /// Adds an answer; [`ThreadPost::wake`] wakes the thread.
    pub(super) fn leave(&self, errand: Errand) {
        lock(&self.arrived).push(Arrival::Answer(errand));
        self.is_unnoticed.store(true, Relaxed);
    }

    /// Adds a request; [`ThreadPost::wake`] wakes the thread.
    pub(crate) fn leave_request(&self, request: Handed) {
        lock(&self.arrived).push(Arrival::Request(request));
        self.is_unnoticed.store(true, Relaxed);
    }

    /// Wakes the thread if there are new arrivals.
    pub(crate) fn wake(&self) {
        // The arrival was added before, in this thread.
        if self.is_unnoticed.load(Relaxed) && self.is_unnoticed.swap(false, Relaxed) {
            self.notify.notify_one();
        }
    }

    /// Delivers arrivals and sends letters until the thread's runtime ends. `take` is called with each request, and
    /// must not block.
    pub(crate) async fn run(&self, take: impl Fn(Handed)) {
        let mut arrived = Vec::new();
        loop {
            self.notify.notified().await;
            mem::swap(&mut *lock(&self.arrived), &mut arrived);
            for arrival in arrived.drain(..) {
                match arrival {
                    Arrival::Answer(errand) => errand(),
                    Arrival::Request(request) => take(request),
                }
            }
            if arrived.capacity() > ARRIVED_KEPT {
                arrived = Vec::new();
            }
            let_others_go_first().await;
            self.hand_over();
        }
    }

    fn hand_over(&self) {
        for (letters, mailbox) in lock(&self.outgoing).iter_mut().zip(self.mailboxes.iter()) {
            if !letters.is_empty() {
                mailbox.put(letters);
            }
        }
    }
}

/// Maximum capacity that is kept for arrivals after a burst.
const ARRIVED_KEPT: usize = 4096;

/// Resolves when all tasks that are ready have run. (The runtime's own function polls for events first.)
async fn let_others_go_first() {
    let mut was_polled = false;
    poll_fn(|cx| {
        if mem::replace(&mut was_polled, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::mailbox::{Asker, Look};
    use std::sync::atomic::AtomicUsize;

    fn letter() -> Letter {
        let asker = Asker::Outside(Box::new(|_| {}));
        Letter::Look { what: Look::Channels { pattern: String::new() }, asker }
    }

    #[test]
    fn what_is_written_in_one_go_leaves_together_and_wakes_each_shard_once() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let woken = Arc::clone(&wakes);
        let wake = move || {
            woken.fetch_add(1, Relaxed);
        };
        let mailboxes: Arc<[Mailbox]> =
            vec![Mailbox::new(Box::new(wake)), Mailbox::new(Box::new(|| {}))].into();
        let post = Arc::new(ThreadPost::new(Arc::clone(&mailboxes)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let own = Arc::clone(&post);
            tokio::spawn(async move { own.run(drop).await });
            for _ in 0..3 {
                let writer = Arc::clone(&post);
                tokio::spawn(async move { (0..2).for_each(|_| writer.send(0, letter())) });
            }
            assert_eq!(mailboxes[0].len(), 0, "nothing leaves before all have written");
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!((mailboxes[0].len(), mailboxes[1].len(), wakes.load(Relaxed)), (6, 0, 1));
        });
    }

    #[test]
    fn answers_are_handed_on_together_once_the_turn_has_ended() {
        let post = Arc::new(ThreadPost::new(Arc::new([])));
        let told = Arc::new(AtomicUsize::new(0));
        let leave = || {
            let told = Arc::clone(&told);
            post.leave(Box::new(move || {
                told.fetch_add(1, Relaxed);
            }));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let own = Arc::clone(&post);
            tokio::spawn(async move { own.run(drop).await });
            (0..3).for_each(|_| leave());
            tokio::task::yield_now().await;
            assert_eq!(told.load(Relaxed), 0);
            post.wake();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(told.load(Relaxed), 3);
        });
    }
}
