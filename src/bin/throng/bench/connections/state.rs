//! State that the threads of a run share: counts per thread, the stop flag, and the state of the publications.
//!
//! The invariant: each lane has one writer, its thread, and all threads read it. The few shared counters are
//! updated once per batch of events, never per message. Left out: results that are needed only at the end.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize};
use std::thread::Thread;

use crate::bench::clock::Clock;
use crate::bench::messages::script::Position;
use throng::parts::base::counters::Counter;
use throng::parts::net::sys;

/// Publications whose send time is kept; older ones are overwritten. More than can be in flight.
const MOMENTS: usize = 1 << 16;

/// The counts of one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Lane {
    thread: AtomicI32,
    /// Connections dialled.
    pub(crate) started: Counter,
    /// Connections that reached the state of the scenario.
    pub(crate) ready: Counter,
    /// Connections that wait for the others.
    pub(crate) waiting: Counter,
    /// Time at which the last of them did.
    pub(crate) ready_at_ns: Counter,
    /// Connections that failed before.
    pub(crate) failed: Counter,
    /// Attempts that failed and will be retried.
    pub(crate) refused: Counter,
    /// Connections that ended after it.
    pub(crate) lost: Counter,
    /// Messages echoed, or publications that arrived.
    pub(crate) messages: Counter,
    /// Bytes received.
    pub(crate) bytes: Counter,
    /// Heartbeats answered.
    pub(crate) heartbeats: Counter,
    /// Missing publications, detected by the number of a later one.
    pub(crate) gaps: Counter,
    /// Publications that arrived twice or too late.
    pub(crate) behind: Counter,
}

impl Lane {
    /// Assigns this lane to the calling thread: pins it, and gives it a private descriptor table if `private`.
    ///
    /// # Errors
    /// A sentence with the core or the system call that was refused.
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

    /// The thread's id in /proc/self/task; `None` before it has started.
    pub(crate) fn thread(&self) -> Option<i32> {
        Some(self.thread.load(Relaxed)).filter(|&id| id != 0)
    }
}

/// Shared by all threads of a run.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) clock: Clock,
    pub(crate) lanes: Vec<Lane>,
    /// The lane of the director's thread, which publishes.
    pub(crate) director: Lane,
    pub(crate) stop: AtomicBool,
    /// Whether echoes and handshakes are recorded at present.
    pub(crate) recording: AtomicBool,
    /// Index of the histogram for echoes: 0, and 1 in a storm.
    pub(crate) act: AtomicUsize,
    /// First publication whose latency is recorded.
    pub(crate) measured_from: AtomicU32,
    /// Number of publications to record; 0 if unknown.
    pub(crate) measured_count: AtomicU32,
    /// Connected subscribers.
    audience: AtomicU64,
    /// Publications received by these subscribers, in total.
    delivered: AtomicU64,
    /// Value of `delivered` at which the publisher is woken.
    wake_at: AtomicU64,
    publisher: OnceLock<Thread>,
    /// Time of the release of waiting connections; 0 before it.
    released_at_ns: AtomicU64,
    /// The stream's position at the first subscription.
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

    /// Releases the connections that wait for each other.
    pub(crate) fn release(&self) {
        self.released_at_ns.store(self.clock.now_ns().max(1), SeqCst);
    }

    /// Time of the release; `None` before it.
    pub(crate) fn released_at_ns(&self) -> Option<u64> {
        Some(self.released_at_ns.load(Relaxed)).filter(|&at_ns| at_ns > 0)
    }

    /// The scheduled time of publication `number`.
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

    /// A subscriber left after `received` publications: they no longer count, and none is expected for it.
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

    /// Counts the arrivals of a batch of events, and wakes the publisher if it waits for them.
    #[inline]
    pub(crate) fn deliver(&self, count: u64) {
        let before = self.delivered.fetch_add(count, SeqCst);
        let wake_at = self.wake_at.load(SeqCst);
        if before < wake_at && before + count >= wake_at {
            self.wake_publisher();
        }
    }

    /// Makes the calling thread the publisher.
    pub(crate) fn publish_from_here(&self) {
        self.publisher.get_or_init(std::thread::current);
    }

    /// Requests a wake-up when `delivered` reaches `count`; check again before parking.
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
