//! The threads of a run: started together, each with its lane, core and descriptor table, stopped together.
//!
//! The invariant: when the director returns, or a thread fails, every thread is stopped and joined. Each thread
//! opens the descriptors that it uses, since a private table hides them from all others. Left out: the work of the
//! threads.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crate::bench::connections::state::{Lane, RunState};

/// Threads only parse and poll.
const STACK_BYTES: usize = 512 << 10;

/// Why a run ended without a report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Invalid arguments: exit code 2.
    Arguments(String),
    /// A failed run: exit code 1.
    Failure(String),
}

/// Runs `work` on one thread per lane while `direct` runs on this one, and returns the results of all.
///
/// # Errors
/// The first thread's error, or the director's.
pub(crate) fn run<T: Send, R>(
    state: &RunState,
    cores: &[usize],
    work: impl Fn(usize, &Lane) -> Result<T, String> + Sync,
    direct: impl FnOnce() -> Result<R, String>,
) -> Result<(R, Vec<T>), Refusal> {
    let core = |index: usize| cores.get(index % cores.len().max(1)).copied();
    let private = state.lanes.len() > 1;
    let work = &work;
    thread::scope(|scope| {
        let start = |index: usize| {
            let lane = &state.lanes[index];
            let builder = thread::Builder::new().name(format!("bench-{index}")).stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || {
                let outcome = lane.enter(core(index), private).and_then(|()| work(index, lane));
                outcome.inspect_err(|_| state.stop.store(true, Relaxed))
            })
        };
        let threads: Result<Vec<_>, _> = (0..state.lanes.len()).map(start).collect();
        let directed = match &threads {
            Ok(_) => state.director.enter(core(0), false).and_then(|()| direct()),
            Err(e) => Err(format!("cannot start a thread: {e}")),
        };
        state.stop.store(true, Relaxed);
        let outcomes = threads.into_iter().flatten().map(|thread| {
            thread.join().unwrap_or_else(|_| Err("a thread of the generator panicked".to_owned()))
        });
        // A thread's own error is more precise than the director's.
        let found = outcomes.collect::<Result<Vec<T>, String>>().map_err(Refusal::Failure)?;
        Ok((directed.map_err(Refusal::Failure)?, found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn all_threads_stop_when_the_director_returns_or_one_fails() {
        let wait = |state: &RunState| {
            while !state.stopped() {
                thread::park_timeout(Duration::from_millis(1));
            }
        };
        let state = RunState::new(3);
        let work = |index, _: &Lane| {
            wait(&state);
            Ok(index)
        };
        assert_eq!(run(&state, &[], work, || Ok("done")), Ok(("done", vec![0, 1, 2])));
        let state = RunState::new(3);
        let work = |index, _: &Lane| {
            if index == 1 {
                return Err("broken".to_owned());
            }
            wait(&state);
            Ok(())
        };
        let direct = || {
            wait(&state);
            Ok(())
        };
        assert_eq!(run(&state, &[], work, direct), Err(Refusal::Failure("broken".to_owned())));
        let state = RunState::new(1);
        assert!(run(&state, &[usize::MAX], |_, _| Ok(()), || Ok(())).is_err());
    }
}
