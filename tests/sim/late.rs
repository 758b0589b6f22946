//! Homes whose memory answers later: another order among channels, failures, and shards that wait meanwhile.
//!
//! Such a memory holds back the answers of the shard's own memory. They are released in any order, within a channel
//! as well: requests of a channel were executed in their order all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use throng::parts::hub::Publication;
use throng::parts::hub::home::{HistoryFilter, Now, Refused, Terms};
use throng::parts::hub::memory::{Appended, Brought, Memory, Read, Response, StreamId, Wanted};
use throng::parts::hub::options::ChannelOptions;
use throng::parts::shard::mailbox::Letter;

use crate::rng::Rng;
use held_back::{About, HeldBack, Hold};

#[path = "../../src/hub/memory/held_back.rs"]
mod held_back;

/// The answer to a numbered request.
type Answer = (u64, Result<Brought, Refused>);

/// The answers that one shard's memory holds back, by channel.
#[derive(Debug, Default)]
struct HeldAnswers {
    answers: BTreeMap<About, Vec<Answer>>,
    /// Number of streams that are not open yet.
    opening: usize,
    number: u64,
    /// How many of a hundred questions fail.
    failures: u64,
    rng: Option<Rng>,
}

/// The memories of all shards, from outside.
#[derive(Clone, Debug)]
pub(crate) struct Memories(Vec<Arc<Mutex<HeldAnswers>>>);

impl Memories {
    pub(crate) fn new(shards: u16, rng: &mut Rng) -> Self {
        let failures = rng.pick(&[0, 0, 3, 20]);
        let held = |_| HeldAnswers { failures, rng: Some(rng.fork()), ..HeldAnswers::default() };
        Self((0..shards).map(held).map(|held| Arc::new(Mutex::new(held))).collect())
    }

    /// Whether some questions fail.
    pub(crate) fn fail(&self) -> bool {
        self.0.iter().any(|held| held.lock().unwrap().failures > 0)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.0.iter().all(|held| held.lock().unwrap().answers.is_empty())
    }

    /// A shard's memory.
    fn of(&self, shard: u16, inner: Box<dyn Memory>) -> Box<dyn Memory> {
        Box::new(HeldBack::new(inner, &self.0[usize::from(shard)]))
    }

    /// Lets go an answer of some channel of some shard, if there is one there: the oldest, or any.
    pub(crate) fn answer(&self, rng: &mut Rng) -> Option<(u16, Letter)> {
        let shard = rng.size(0..=self.0.len() - 1);
        let held = &mut *self.0[shard].lock().unwrap();
        let channels: Vec<About> = held.answers.keys().copied().collect();
        if channels.is_empty() {
            return None;
        }
        let channel = rng.pick(&channels);
        let answers = held.answers.get_mut(&channel)?;
        let at = if rng.chance(50) { 0 } else { rng.size(0..=answers.len() - 1) };
        let (number, answer) = answers.remove(at);
        if answers.is_empty() {
            held.answers.remove(&channel);
        }
        held.opening -= usize::from(matches!(answer, Ok(Brought::Opened(_))));
        Some((shard as u16, Letter::Memory { number, answer: Box::new(answer) }))
    }
}

/// The memory of a shard: one that answers later, or the default.
pub(crate) fn memory_of(
    memories: &Option<(Memories, Rng)>,
    shard: u16,
    inner: Box<dyn Memory>,
) -> Box<dyn Memory> {
    match memories {
        Some((memories, _)) => memories.of(shard, inner),
        None => inner,
    }
}

impl Hold for HeldAnswers {
    fn fails(&mut self) -> bool {
        self.rng.as_mut().is_some_and(|rng| rng.chance(self.failures))
    }

    fn hold(&mut self, about: About, answer: Result<Brought, Refused>) -> u64 {
        self.number += 1;
        self.opening += usize::from(matches!(answer, Ok(Brought::Opened(_))));
        self.answers.entry(about).or_default().push((self.number, answer));
        self.number
    }

    fn opening(&self) -> usize {
        self.opening
    }
}
