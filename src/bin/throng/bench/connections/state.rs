//! What the threads of a run tell each other while it lasts: counts per thread, the stop sign, and the state
//! of the publications.
//!
//! The invariant: each lane has one writer, its thread; everybody reads. The few locked counters are touched once
//! per batch of events, never per message. Left out: results that are needed only at the end.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize};
use std::thread::Thread;

use crate::bench::clock::Clock;
use crate::bench::messages::script::Position;
use throng::parts::base::counters::Counter;
use throng::parts::net::sys;

/// Publications whose moment of sending is remembered; older ones are overwritten. More than can be under way.
const MOMENTS: usize = 1 << 16;

/// What one thread counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Lane {
    thread: AtomicI32,
    /// Connections dialled.
    pub(crate) started: Counter,
    /// Connections that got as far as the scenario wants them.
    pub(crate) ready: Counter,
    /// Connections that wait for the others before they go on.
    pub(crate) waiting: Counter,
    /// Moment of the last of those that got ready.
    pub(crate) ready_at_ns: Counter,
    /// Connections that did not get there.
    pub(crate) failed: Counter,
    /// Attempts that failed and are to be repeated.
    pub(crate) refused: Counter,
    /// Connections that ended afterwards.
    pub(crate) lost: Counter,
    /// Messages echoed, or publications that arrived.
    pub(crate) messages: Counter,
    /// Bytes received.
    pub(crate) bytes: Counter,
    /// Heartbeats answered.
    pub(crate) heartbeats: Counter,
    /// Publications that never came, known by the number of a later one.
    pub(crate) gaps: Counter,
    /// Publications that came twice or too late.
    pub(crate) behind: Counter,
}

impl Lane {
    /// Makes the calling thread the one that this lane is about: pins it, and gives it a descriptor table of
    /// its own when `private`.
    ///
    /// # Errors
    /// A sentence naming the core or the system call that was refused.
    pub(crate) fn enter(&self, core: Option<usize>, private: bool) -> Result<(), String> {
        self.thread.store(sys::thread_id(), Relaxed);
        if let Some(core) = core {
            sys::pin_to_core(core).map_err(|e| format!("cannot run on core {core}: {e}"))?;
        }
        if private {
            sys::unshare_descriptors().map_err(|e| format!("no private descriptor table (unshare): {e}"))?;
        }
        Ok(())
    }

    /// Its id in /proc/self/task; `None` before it has started.
    pub(crate) fn thread(&self) -> Option<i32> {
        Some(self.thread.load(Relaxed)).filter(|&id| id != 0)
    }
}

/// Shared by all threads of a run.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) clock: Clock,
    pub(crate) lanes: Vec<Lane>,
    /// The lane of the thread that directs and publishes.
    pub(crate) director: Lane,
    pub(crate) stop: AtomicBool,
    /// Whether echoes and handshakes that end now are recorded.
    pub(crate) recording: AtomicBool,
    /// Under which of its histograms a thread records echoes: 0, and 1 in a storm.
    pub(crate) act: AtomicUsize,
    /// First publication whose latency is recorded.
    pub(crate) measured_from: AtomicU32,
    /// How many of them there will be; 0 when nobody knows.
    pub(crate) measured_count: AtomicU32,
    /// Subscribers that are connected.
    audience: AtomicU64,
    /// Publications that those subscribers have received, all together.
    delivered: AtomicU64,
    /// The publisher wants to be woken when `delivered` reaches this.
    wake_at: AtomicU64,
    publisher: OnceLock<Thread>,
    /// When those who wait for each other may go on; 0 while they may not.
    released_at_ns: AtomicU64,
    /// Where a stream was when the first subscriber came.
    pub(crate) position: OnceLock<Position>,
    moments: Box<[AtomicU64]>,
}

impl RunState {
    pub(crate) fn new(lane_count: usize) -> Self {
        Self {
            clock: Clock::start(),
            lanes: std::iter::repeat_with(Lane::default).take(lane_count).collect(),
            director: Lane::default(),
            stop: AtomicBool::new(false),
            recording: AtomicBool::new(false),
            act: AtomicUsize::new(0),
            measured_from: AtomicU32::new(u32::MAX),
            measured_count: AtomicU32::new(0),
            audience: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            wake_at: AtomicU64::new(u64::MAX),
            publisher: OnceLock::new(),
            released_at_ns: AtomicU64::new(0),
            position: OnceLock::new(),
            moments: std::iter::repeat_with(AtomicU64::default).take(MOMENTS).collect(),
        }
    }

    /// The sum of one count over all lanes.
    pub(crate) fn sum(&self, count: impl Fn(&Lane) -> &Counter) -> u64 {
        self.lanes.iter().map(|lane| count(lane).value()).sum()
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Lets those go on who wait for each other.
    pub(crate) fn release(&self) {
        self.released_at_ns.store(self.clock.now_ns().max(1), SeqCst);
    }

    /// When that was, once it was.
    pub(crate) fn released_at_ns(&self) -> Option<u64> {
        Some(self.released_at_ns.load(Relaxed)).filter(|&at_ns| at_ns > 0)
    }

    /// When publication `number` was due.
    #[inline]
    pub(crate) fn moment_ns(&self, number: u32) -> u64 {
        self.moments[number as usize % MOMENTS].load(Relaxed)
    }

    pub(crate) fn set_moment(&self, number: u32, at_ns: u64) {
        self.moments[number as usize % MOMENTS].store(at_ns, Relaxed);
    }

    pub(crate) fn join(&self) {
        self.audience.fetch_add(1, SeqCst);
    }

    /// A subscriber left that had received so many: what it got counts no more, and nothing is waited for.
    pub(crate) fn leave(&self, received: u32) {
        self.audience.fetch_sub(1, SeqCst);
        self.delivered.fetch_sub(u64::from(received), SeqCst);
        self.wake_publisher();
    }

    pub(crate) fn audience(&self) -> u64 {
        self.audience.load(SeqCst)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(SeqCst)
    }

    /// Counts arrivals of one batch of events and wakes the publisher when it waits for these.
    #[inline]
    pub(crate) fn deliver(&self, count: u64) {
        let before = self.delivered.fetch_add(count, SeqCst);
        let wake_at = self.wake_at.load(SeqCst);
        if before < wake_at && before + count >= wake_at {
            self.wake_publisher();
        }
    }

    /// The calling thread is the publisher from now on.
    pub(crate) fn publish_from_here(&self) {
        self.publisher.get_or_init(std::thread::current);
    }

    /// Asks for a wake-up once `delivered` reaches `count`; check again before parking.
    pub(crate) fn ask_wake(&self, count: u64) {
        self.wake_at.store(count, SeqCst);
    }

    fn wake_publisher(&self) {
        if let Some(thread) = self.publisher.get() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_publisher_is_woken_when_what_it_waits_for_has_arrived() {
        let state = RunState::new(1);
        std::thread::scope(|scope| {
            state.publish_from_here();
            state.ask_wake(10);
            scope.spawn(|| {
                for _ in 0..5 {
                    state.deliver(2);
                }
            });
            while state.delivered() < 10 {
                std::thread::park_timeout(Duration::from_secs(60));
            }
        });
        assert_eq!(state.delivered(), 10);
    }

    #[test]
    fn who_leaves_is_waited_for_no_more() {
        let state = RunState::new(1);
        state.join();
        state.join();
        state.deliver(7);
        state.leave(3);
        assert_eq!((state.audience(), state.delivered()), (1, 4));
    }

    #[test]
    fn an_unknown_core_is_refused() {
        let lane = Lane::default();
        assert!(lane.thread().is_none());
        assert!(lane.enter(Some(usize::MAX), false).is_err());
        assert!(lane.thread().is_some());
    }
}
