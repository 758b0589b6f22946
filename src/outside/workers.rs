//! The threads that verify tokens, and their queue.
//!
//! Invariant: `queue` blocks a shard only for the time of an append, is bounded, and every job in it is answered
//! once. Workers have a slightly lower priority than shards, so a storm of tokens uses only the CPU time that live
//! connections leave. Left out: the content of a verdict (`token`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use std::{io, mem, thread};

use super::jwks::Waits;
use super::now;
use super::token::Purpose;
use super::verifier::Tokens;
use crate::net::sys;
use crate::shard::mailbox::{Letter, Mailbox, ReplyTo};
use crate::shard::outside::{Busy, Verdict};

/// Maximum number of tokens that a worker takes at a time. Their answers are sent together, so the first waits for
/// the last.
const BATCH_MAX: usize = 8;
/// Priority of a worker below the rest of the process, in steps of `nice(1)`.
const NICENESS: i32 = 5;

/// A token to verify.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) reply_to: ReplyTo,
    pub(super) purpose: Purpose,
    pub(super) token: String,
    /// Verifier of the job, even if the options change while it is queued.
    tokens: Arc<Tokens>,
    has_waited: bool,
    /// Time of the question.
    pub(super) since: Instant,
}

impl Job {
    pub(super) fn new(reply_to: ReplyTo, purpose: Purpose, token: String, tokens: Arc<Tokens>) -> Self {
        Self { reply_to, purpose, token, tokens, has_waited: false, since: now() }
    }
}

impl Waits for Job {
    fn waits(&mut self) -> bool {
        mem::replace(&mut self.has_waited, true)
    }

    fn has_waited(&self) -> bool {
        self.has_waited
    }
}

/// The queue of tokens.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    is_not_empty: Condvar,
    /// Jobs accepted and not answered: queued, waiting for a key, or being verified.
    open_count: AtomicUsize,
    open_count_max: AtomicUsize,
    worker_count: usize,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(open_count_max: usize, worker_count: usize) -> Self {
        Self {
            jobs: Mutex::default(),
            is_not_empty: Condvar::new(),
            open_count: AtomicUsize::new(0),
            open_count_max: AtomicUsize::new(open_count_max),
            worker_count,
        }
    }

    /// The number of open jobs.
    pub(super) fn open_count(&self) -> usize {
        self.open_count.load(Relaxed)
    }

    /// Sets the maximum number of open jobs.
    pub(super) fn set_open_count_max(&self, open_count_max: usize) {
        self.open_count_max.store(open_count_max, Relaxed);
    }

    /// Adds a job.
    ///
    /// # Errors
    /// When too many jobs are open.
    pub(super) fn put(&self, job: Job) -> Result<(), Busy> {
        let open_count_max = self.open_count_max.load(Relaxed);
        let take = |count: usize| (count < open_count_max).then_some(count + 1);
        self.open_count.fetch_update(Relaxed, Relaxed, take).map_err(|_| Busy)?;
        self.lock().waiting.push_back(job);
        self.is_not_empty.notify_one();
        Ok(())
    }

    /// Puts jobs back at the front of the queue: they have waited before.
    pub(super) fn put_back(&self, jobs: Vec<Job>) {
        let mut queue = self.lock();
        jobs.into_iter().rev().for_each(|job| queue.waiting.push_front(job));
        drop(queue);
        self.is_not_empty.notify_all();
    }

    /// Tells the workers to end once the queue is empty.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.is_not_empty.notify_all();
    }

    /// Waits for jobs and moves a worker's share of them into `batch`; returns false when the queue is closed and
    /// empty.
    fn take(&self, batch: &mut Vec<Job>) -> bool {
        let mut jobs = self.lock();
        while jobs.waiting.is_empty() && !jobs.is_closed {
            jobs = self.is_not_empty.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        let share = jobs.waiting.len().div_ceil(self.worker_count.max(1)).min(BATCH_MAX);
        batch.extend(jobs.waiting.drain(..share));
        share > 0 || !jobs.is_closed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the threads. They end once the queue is closed.
///
/// # Errors
/// When a thread cannot be started; threads started before end again.
pub(super) fn start(queue: &Arc<Queue>, mailboxes: &Arc<[Mailbox]>) -> io::Result<()> {
    for number in 0..queue.worker_count {
        let (for_it, mailboxes) = (Arc::clone(queue), Arc::clone(mailboxes));
        let spawned =
            thread::Builder::new().name(format!("tokens-{number}")).spawn(move || work(&for_it, &mailboxes));
        if let Err(error) = spawned {
            queue.close();
            return Err(error);
        }
    }
    Ok(())
}

fn work(queue: &Arc<Queue>, mailboxes: &[Mailbox]) {
    if let Err(error) = sys::be_nice(NICENESS) {
        tracing::debug!(%error, "a token worker keeps its priority");
    }
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut letters: Vec<Vec<Letter>> = mailboxes.iter().map(|_| Vec::new()).collect();
    while queue.take(&mut batch) {
        for job in batch.drain(..) {
            let tokens = Arc::clone(&job.tokens);
            if let Some((reply_to, verdict)) = tokens.verify(job, queue) {
                queue.open_count.fetch_sub(1, Relaxed);
                address(&mut letters, reply_to, verdict);
            }
        }
        for (letters, mailbox) in letters.iter_mut().zip(mailboxes) {
            if !letters.is_empty() {
                mailbox.put(letters);
            }
        }
    }
}

fn address(letters: &mut [Vec<Letter>], reply_to: ReplyTo, verdict: Verdict) {
    if let Some(letters) = letters.get_mut(usize::from(reply_to.shard)) {
        letters.push(Letter::Verdict { reply_to, verdict: Box::new(verdict) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slots::Key;

    fn job(request: u32) -> Job {
        let reply_to = ReplyTo { shard: 0, weight: 0, conn: Key::from_token(0), request };
        Job::new(reply_to, Purpose::Connection, String::new(), Arc::new(Tokens::without_keys()))
    }

    fn requests(batch: &[Job]) -> Vec<u32> {
        batch.iter().map(|job| job.reply_to.request).collect()
    }

    #[test]
    fn the_queue_takes_so_many_and_hands_them_out_in_shares() {
        let queue = Queue::new(20, 2);
        (0..20).for_each(|request| queue.put(job(request)).unwrap());
        assert_eq!(queue.put(job(20)), Err(Busy));
        let (mut batch, mut shares) = (Vec::new(), Vec::new());
        while shares.iter().sum::<usize>() < 20 {
            let before = batch.len();
            assert!(queue.take(&mut batch));
            shares.push(batch.len() - before);
        }
        assert_eq!(shares, [8, 6, 3, 2, 1], "half of what waits, and at most a batch");
        assert!(requests(&batch).into_iter().eq(0..20));
        assert_eq!(queue.put(job(20)), Err(Busy), "open until they are answered");
    }

    #[test]
    fn what_comes_back_goes_first() {
        let queue = Queue::new(9, 1);
        queue.put(job(5)).unwrap();
        queue.put_back(vec![job(1), job(2)]);
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch));
        assert_eq!(requests(&batch), [1, 2, 5]);
        queue.put(job(9)).unwrap();
        queue.close();
        assert!(queue.take(&mut batch), "what waits is answered first");
        assert!(!queue.take(&mut batch));
        assert_eq!(requests(&batch), [1, 2, 5, 9]);
    }
}
