//! A memory whose answers the test releases one by one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::hub::home::{Limits, Refused, in_memory};
use crate::hub::memory::held_back::{About, HeldBack, Hold};
use crate::hub::memory::{Brought, Memory};

/// The answers held back, and how the memory behaves.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) answers: VecDeque<(u64, Result<Brought, Refused>)>,
    /// Whether it fails from now on.
    pub(super) is_broken: bool,
    /// Whether it answers at once from now on.
    pub(super) is_prompt: bool,
    /// Distance between two places, as with a broker that assigns places of its own.
    pub(super) stride: u64,
    number: u64,
    /// Streams with unknown numbers.
    opening: usize,
}

/// Makes such a memory, with the answers that it holds back.
pub(super) fn slow(limits: &Limits) -> (Box<dyn Memory>, Arc<Mutex<Held>>) {
    let held = Arc::new(Mutex::new(Held { stride: 1, ..Held::default() }));
    (Box::new(HeldBack::new(in_memory(limits, (7.into(), 0)), &held)), held)
}

impl Hold for Held {
    fn fails(&mut self) -> bool {
        self.is_broken
    }

    fn is_prompt(&self) -> bool {
        self.is_prompt
    }

    fn stride(&self) -> u64 {
        self.stride
    }

    fn hold(&mut self, _: About, answer: Result<Brought, Refused>) -> u64 {
        self.opening += usize::from(matches!(answer, Ok(Brought::Opened(_))));
        self.number += 1;
        self.answers.push_back((self.number, answer));
        self.number
    }

    fn opening(&self) -> usize {
        self.opening
    }
}

impl Held {
    /// Takes the answer at this index, counted from the oldest.
    pub(super) fn take(&mut self, at: usize) -> Option<(u64, Result<Brought, Refused>)> {
        let taken = self.answers.remove(at)?;
        self.opening -= usize::from(matches!(taken.1, Ok(Brought::Opened(_))));
        Some(taken)
    }
}
