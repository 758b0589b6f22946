//! Who holds a connection to the control listener, who goes when another comes, and whose request is worked on.
//!
//! Invariant: who comes finds a seat. When all are taken, of those on whom no work is spent the one that was silent for
//! longest goes; and work is spent on fewer at a time than there are seats, so that there always is one. What asks whether
//! the server lives is no such work: however much else is asked, a probe finds a seat, and its answer.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turnstile, Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::Instant;

/// One in so many seats is for those on whom no work is spent.
const SPARE_PART: usize = 8;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// It sends a request, takes an answer, or does neither.
    Open = 0,
    /// Its whole request waits for those before it.
    Waiting = 1,
    /// Its request is worked on.
    Working = 2,
}

/// The connection slots of the control listener. Clones are the same seats.
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
    /// When its client was last heard, or took something, in milliseconds since the room began.
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
    /// So many seats, at least two.
    pub(super) fn new(seat_count: usize) -> Self {
        let seat_count = seat_count.max(2);
        let work = seat_count - (seat_count / SPARE_PART).max(1);
        Self(Arc::new(Room {
            seat_count,
            taken: Mutex::default(),
            left: Notify::new(),
            work: Arc::new(Semaphore::new(work)),
            turnstile: Turnstile::default(),
            began: Instant::now(),
        }))
    }

    /// Takes a seat, if need be another's.
    pub(super) async fn take(&self) -> Seat {
        loop {
            if let Some(seat) = self.try_take() {
                return seat;
            }
            self.0.left.notified().await;
        }
    }

    /// `None` only while work is spent on all, which there are too few turns for.
    fn try_take(&self) -> Option<Seat> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= self.0.seat_count {
            let idle = taken.iter().enumerate().filter(|(_, place)| !place.is(Phase::Working));
            // Who waits for its turn has said all that it has to say, and goes last.
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
    /// How many are worked for, and how many wait for that.
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

/// One connection's seat, free again when its last clone is gone.
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
    /// Its client was heard, or took a part of its answer.
    pub(super) fn note_life(&self) {
        self.0.place.heard_ms.store(self.0.room.now_ms(), Relaxed);
    }

    /// Ends when another has the seat.
    pub(super) async fn displaced(&self) {
        // Fails only without its sender, which the place holds.
        self.0.place.is_displaced.subscribe().wait_for(|is_displaced| *is_displaced).await.ok();
    }

    /// Whether its whole request waits for its turn: who is displaced then is told so.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.place.is(Phase::Waiting)
    }

    /// Waits until the request may be worked on; `None` when another has the seat.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let Held { room, place } = &*self.0;
        // Mostly there is one, and nobody has to be woken for it.
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
                // Fails only on a closed semaphore, and nobody closes it.
                Some(Turn { seat: self.clone(), _permit: permit.ok() })
            }
        }
    }
}

impl Turn {
    /// Waits until everybody was looked at since the last request came through here. Work that does not wait for anything
    /// holds the only thread, and one packet may ask for hundreds of pages of metrics.
    pub(super) async fn pace(&self) {
        let _alone = self.seat.0.room.turnstile.lock().await;
        yield_now().await;
    }
}

/// Work on a request, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    seat: Seat,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.seat.0.place.set(Phase::Open);
        self.seat.note_life();
        // Who waits for a seat may have this one now.
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

    /// So many seats, whose clients were heard one after the other.
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
            // Who is displaced gives nothing back: its seat is another's.
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
