//! Late answers to CONNECT: an application may ask a database or another service first, in a thread of its own.
//!
//! Invariant: each ticket is answered once. A ticket that is dropped counts as a failure of the application: the connection
//! of its client ends, and the client comes back by itself.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::events::Admit;

/// Takes late answers to the shards, from any thread.
pub trait LateAnswers: fmt::Debug + Send + Sync {
    /// Delivers an answer.
    fn put(&self, answer: LateAnswer);
}

/// A late answer.
pub struct LateAnswer {
    /// The shard of the connection.
    pub shard: u16,
    /// The connection's token in its shard.
    pub token: u64,
    /// The number of the question.
    pub id: u32,
    /// An [`Admit`] of the application's state; `None` when there is no answer.
    pub admit: Option<Box<dyn Any + Send>>,
}

impl fmt::Debug for LateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateAnswer").field("shard", &self.shard).field("id", &self.id).finish_non_exhaustive()
    }
}

/// The place of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct TicketPlace {
    pub(super) shard: u16,
    pub(super) token: u64,
    pub(super) id: u32,
}

/// The right to answer a client that asks to connect, later and from any thread: see [`Connecting::later`].
///
/// [`Connecting::later`]: super::Connecting::later
#[must_use = "a ticket that is dropped ends the connection of its client"]
pub struct Ticket<S: Send + 'static> {
    place: TicketPlace,
    /// `None` once it is answered.
    answers: Option<Arc<dyn LateAnswers>>,
    state: PhantomData<fn(S)>,
}

impl<S: Send + 'static> Ticket<S> {
    pub(super) fn new(place: TicketPlace, answers: Option<Arc<dyn LateAnswers>>) -> Self {
        Self { place, answers, state: PhantomData }
    }

    /// Answers the client. Nothing happens if it has left meanwhile; the state is dropped then.
    pub fn admit(mut self, admit: Admit<S>) {
        self.put(Some(Box::new(admit)));
    }

    fn put(&mut self, admit: Option<Box<dyn Any + Send>>) {
        let TicketPlace { shard, token, id } = self.place;
        if let Some(answers) = self.answers.take() {
            answers.put(LateAnswer { shard, token, id, admit });
        }
    }
}

impl<S: Send + 'static> Drop for Ticket<S> {
    fn drop(&mut self) {
        self.put(None);
    }
}

impl<S: Send + 'static> fmt::Debug for Ticket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("id", &self.place.id).finish_non_exhaustive()
    }
}

/// The promise of a [`Ticket`]: it is made with one.
#[derive(Clone, Copy, Debug)]
pub struct Later(pub(super) ());
