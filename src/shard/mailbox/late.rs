//! The way of late answers to the shards: see [`LateAnswers`].

use std::fmt;
use std::sync::Arc;

use super::{Letter, Mailbox};
use crate::session::{LateAnswer, LateAnswers};

/// The mailboxes of all shards, for answers from any thread.
pub(in crate::shard) struct LateMail(Arc<[Mailbox]>);

impl LateMail {
    pub(in crate::shard) fn of(mailboxes: Arc<[Mailbox]>) -> Arc<dyn LateAnswers> {
        Arc::new(Self(mailboxes))
    }
}

impl LateAnswers for LateMail {
    fn put(&self, answer: LateAnswer) {
        if let Some(mailbox) = self.0.get(usize::from(answer.shard)) {
            mailbox.put(&mut vec![Letter::Late(Box::new(answer))]);
        }
    }
}

impl fmt::Debug for LateMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateMail").field("shards", &self.0.len()).finish()
    }
}
