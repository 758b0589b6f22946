//! A memory that answers when it is told to: what it would answer at once it keeps, and gives out one by one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::hub::home::{Limits, Refused, in_memory};
use crate::hub::memory::held_back::{About, HeldBack, Hold};
use crate::hub::memory::{Brought, Memory};

/// What it holds back, and whether it works.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) answers: VecDeque<(u64, Result<Brought, Refused>)>,
    /// Fails from now on.
    pub(super) is_broken: bool,
    /// Answers at once from now on.
    pub(super) is_prompt: bool,
    /// A broker that gives places of its own: by how much the next one is ahead of the last.
    pub(super) stride: u64,
    number: u64,
    /// Streams whose numbers are not known yet.
    opening: usize,
}

/// One, and what it holds back.
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
    /// Takes the answer that is so many behind the oldest.
    pub(super) fn take(&mut self, at: usize) -> Option<(u64, Result<Brought, Refused>)> {
        let taken = self.answers.remove(at)?;
        self.opening -= usize::from(matches!(taken.1, Ok(Brought::Opened(_))));
        Some(taken)
    }
}
