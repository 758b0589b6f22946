//! The connections of the control listener: which one is closed for a new one, and whose request is processed.
//!
//! Invariant: a new connection always finds a seat. When all are taken, the connection is closed that was idle for
//! longest among those whose request is not being processed; and fewer requests are processed at a time than there
//! are seats, so there is always one. Health checks do not count as such requests: they are answered under any other
//! load.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turnstile, Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::Instant;

/// One in this many seats is reserved for connections without a request in processing.
const SPARE_PART: usize = 8;

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// It sends a request, reads an answer, or is idle.
    Open = 0,
    /// Its complete request waits for others.
    Waiting = 1,
    /// Its request is being processed.
    Working = 2,
}

/// The number of requests that are processed at a time with so many seats, at least two.
pub(super) fn turn_count(seat_count: usize) -> usize {
    seat_count - (seat_count / SPARE_PART).max(1)
}

/// The connection slots of the control listener. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Seats(Arc<Room>);

#[derive(Debug)]
struct Room {
    seat_count: usize,
    taken: Mutex<Vec<Arc<Place>>>,
    left: Notify,
    work: Arc<Semaphore>,
    turnstile: Turnstile<()>,
    began: Instant,
}

#[derive(Debug)]
struct Place {
    phase: AtomicU8,
    /// Time of the client's last activity, in milliseconds since the start.
    heard_ms: AtomicU64,
    is_displaced: watch::Sender<bool>,
}

impl Place {
    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }
}

impl Seats {
    /// Makes a number of seats, at least two.
    pub(super) fn new(seat_count: usize) -> Self {
        let seat_count = seat_count.max(2);
        Self(Arc::new(Room {
            seat_count,
            taken: Mutex::default(),
            left: Notify::new(),
            work: Arc::new(Semaphore::new(turn_count(seat_count))),
            turnstile: Turnstile::default(),
            began: Instant::now(),
        }))
    }

    /// Takes a seat, if necessary that of another connection.
    pub(super) async fn take(&self) -> Seat {
        loop {
            if let Some(seat) = self.try_take() {
                return seat;
            }
            self.0.left.notified().await;
        }
    }

    /// `None` only while all seats have a request in processing, which the number of turns prevents.
    fn try_take(&self) -> Option<Seat> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= self.0.seat_count {
            let idle = taken.iter().enumerate().filter(|(_, place)| !place.is(Phase::Working));
            // A connection that waits for its turn has sent its whole request, and is closed last.
            let of = |place: &Place| (place.is(Phase::Waiting), place.heard_ms.load(Relaxed));
            let (longest, _) = idle.min_by_key(|(_, place)| of(place))?;
            taken.remove(longest).is_displaced.send_replace(true);
        }
        let place = Arc::new(Place {
            phase: AtomicU8::new(Phase::Open as u8),
            heard_ms: AtomicU64::new(self.0.now_ms()),
            is_displaced: watch::Sender::new(false),
        });
        taken.push(Arc::clone(&place));
        Some(Seat(Arc::new(Held { room: Arc::clone(&self.0), place })))
    }
}

#[cfg(test)]
impl Seats {
    /// The numbers of requests in processing, and of requests that wait.
    pub(super) fn busy(&self) -> (usize, usize) {
        let taken = self.0.taken.lock().unwrap();
        let count = |phase| taken.iter().filter(|place| place.is(phase)).count();
        (count(Phase::Working), count(Phase::Waiting))
    }
}

impl Room {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The seat of a connection; free again when its last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Held>);

#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    place: Arc<Place>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|place| !Arc::ptr_eq(place, &self.place));
        drop(taken);
        self.room.left.notify_one();
    }
}

impl Seat {
    /// Records that the client sent data, or read a part of its answer.
    pub(super) fn note_life(&self) {
        self.0.place.heard_ms.store(self.0.room.now_ms(), Relaxed);
    }

    /// Resolves when another connection has taken the seat.
    pub(super) async fn displaced(&self) {
        // Fails only without the sender, which the place holds.
        self.0.place.is_displaced.subscribe().wait_for(|is_displaced| *is_displaced).await.ok();
    }

    /// Whether the connection's complete request waits for its turn: then its client gets an answer before the end.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.place.is(Phase::Waiting)
    }

    /// Waits until the request may be processed; `None` when another connection has taken the seat.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let Held { room, place } = &*self.0;
        // Usually a permit is free, and no wait is needed.
        if !*place.is_displaced.borrow()
            && let Ok(permit) = Arc::clone(&room.work).try_acquire_owned()
        {
            place.set(Phase::Working);
            return Some(Turn { seat: self.clone(), _permit: Some(permit) });
        }
        place.set(Phase::Waiting);
        tokio::select! {
            biased;
            () = self.displaced() => None,
            permit = Arc::clone(&room.work).acquire_owned() => {
                place.set(Phase::Working);
                // Fails only if the semaphore is closed, which never happens.
                Some(Turn { seat: self.clone(), _permit: permit.ok() })
            }
        }
    }
}

impl Turn {
    /// Waits until all connections were polled since the last request came through here. Processing that never waits
    /// occupies the only thread, and one packet may contain hundreds of requests for metrics.
    pub(super) async fn pace(&self) {
        let _alone = self.seat.0.room.turnstile.lock().await;
        yield_now().await;
    }
}

/// The permission to process a request, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    seat: Seat,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.seat.0.place.set(Phase::Open);
        self.seat.note_life();
        // A connection that waits for a seat may take this one now.
        self.seat.0.room.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(test);
    }

    fn is_displaced(seat: &Seat) -> bool {
        *seat.0.place.is_displaced.borrow()
    }

    /// Seats that are all taken, by clients that were active one after the other.
    async fn full(count: usize) -> (Seats, Vec<Seat>) {
        let seats = Seats::new(count);
        let mut taken = Vec::new();
        for heard_ms in 0..count as u64 {
            let seat = seats.take().await;
            seat.0.place.heard_ms.store(heard_ms, Relaxed);
            taken.push(seat);
        }
        (seats, taken)
    }

    #[test]
    fn the_longest_silent_goes() {
        run(async {
            let (seats, taken) = full(3).await;
            taken[0].0.place.heard_ms.store(7, Relaxed);
            let newcomer = seats.take().await;
            assert_eq!(taken.iter().map(is_displaced).collect::<Vec<_>>(), [false, true, false]);
            taken[1].displaced().await;
            // The guard of a lost seat frees nothing: the seat belongs to another.
            drop(taken);
            assert_eq!(seats.0.taken.lock().unwrap().len(), 1);
            drop(newcomer);
            assert_eq!(seats.0.taken.lock().unwrap().len(), 0);
        });
    }

    #[test]
    fn who_is_worked_for_stays_and_who_waits_goes_last() {
        run(async {
            let (seats, taken) = full(3).await;
            let _turns = [taken[0].turn().await.unwrap(), taken[1].turn().await.unwrap()];
            let waiting = taken[2].clone();
            let waiting = tokio::spawn(async move { waiting.turn().await.is_some() });
            tokio::task::yield_now().await;
            assert!(taken[2].is_waiting());
            let newcomer = seats.take().await;
            assert_eq!(taken.iter().map(is_displaced).collect::<Vec<_>>(), [false, false, true]);
            assert!(!waiting.await.unwrap(), "its turn never comes");
            seats.take().await;
            assert!(is_displaced(&newcomer), "it had not asked yet");
        });
    }

    #[test]
    fn there_are_fewer_turns_than_seats() {
        run(async {
            for count in [2, 8, 64] {
                let (seats, taken) = full(count).await;
                let mut turns = Vec::new();
                for seat in &taken {
                    match tokio::time::timeout(Duration::ZERO, seat.turn()).await {
                        Ok(turn) => turns.push(turn.unwrap()),
                        Err(_) => seat.0.place.set(Phase::Open),
                    }
                }
                assert!(turns.len() < count && turns.len() >= count / 2, "{} of {count}", turns.len());
                assert!(seats.try_take().is_some());
                turns.clear();
                assert!(taken.iter().all(|seat| seat.0.place.is(Phase::Open)));
            }
        });
    }
}
