//! The outside of the shards: hooks that answer late, in any order, or not at all.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use throng::parts::hub::home::StateChange;
use throng::parts::hub::words::Denied;
use throng::parts::shard::mailbox::{Letter, ReplyTo};
use throng::parts::shard::outside::{
    Busy, Credentials, Grant, Hook, Nobody, Outside, Question, Rejected, Replaced, Token, Verdict,
};

use crate::plan::HistoryPlan;
use crate::rng::{Rng, mix};
use crate::world::fingerprint;

/// The questions that wait for an answer, and which hooks there are.
#[derive(Debug)]
pub(crate) struct Oracle {
    hooks_connect: bool,
    hooks_subscribe: bool,
    hooks_publish: bool,
    counts_users: bool,
    asked: Mutex<Vec<(ReplyTo, Question)>>,
    /// A hash of all questions: equal for equal runs.
    hash: AtomicU64,
}

impl Oracle {
    pub(crate) fn new(plan: &HistoryPlan) -> Self {
        Self {
            hooks_connect: plan.hooks_connect,
            hooks_subscribe: plan.hooks_subscribe,
            hooks_publish: plan.hooks_publish,
            counts_users: plan.counts_users,
            asked: Mutex::default(),
            hash: AtomicU64::new(0),
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.load(Relaxed)
    }

    fn note(&self, words: &[&[u8]]) {
        let mixed = words.iter().fold(self.hash(), |sum, word| mix(sum.rotate_left(7) ^ fingerprint(word)));
        self.hash.store(mixed, Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.asked.lock().unwrap().is_empty()
    }

    /// Answers one of the questions, if there is one: to which shard, and the answer.
    pub(crate) fn answer(&self, rng: &mut Rng) -> Option<(u16, Letter)> {
        let mut asked = self.asked.lock().unwrap();
        let last = asked.len().checked_sub(1)?;
        let (reply_to, question) = asked.swap_remove(rng.size(0..=last));
        let denied = Rejected::Denied(Denied::NotPermitted);
        let verdict = match question {
            Question::Connect { name, .. } => {
                // A few users, some of them anonymous and not counted.
                let users = if self.counts_users { &["", "ann", "ben"][..] } else { &[""] };
                let user = rng.pick(users).to_owned();
                Verdict::Connection(Ok(Box::new(Credentials { user, ..credentials(&name) })))
            }
            Question::Subscribe { .. } if rng.chance(5) => Verdict::Subscription(Err(denied)),
            Question::Subscribe { .. } => Verdict::Subscription(Ok(Box::default())),
            Question::Publish { .. } if rng.chance(5) => Verdict::Publish(Err(denied)),
            Question::Publish { .. } => Verdict::Publish(Ok(Replaced::default())),
            other @ (Question::ConnectionToken(_)
            | Question::SubscriptionToken(_)
            | Question::Refresh { .. }
            | Question::Rpc { .. }
            | Question::SocketConnect { .. }
            | Question::SocketEvents { .. }
            | Question::SubRefresh { .. }) => panic!("nobody has a hook for {other:?}"),
        };
        Some((reply_to.shard, Letter::Verdict { reply_to, verdict: Box::new(verdict) }))
    }
}

/// A client's name contains its server-side subscriptions.
fn credentials(name: &str) -> Credentials {
    let channels = name.strip_prefix("subs ").unwrap_or("").split(',').filter(|name| !name.is_empty());
    let channels = channels.map(|name| (name.to_owned(), Grant::default())).collect();
    Credentials { channels, ..Credentials::default() }
}

impl Outside for Oracle {
    fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict> {
        // Some tokens name their verdict.
        match token {
            Token::Connection("expired") => Some(Verdict::Connection(Err(Rejected::TokenExpired))),
            Token::Connection("denied") => {
                Some(Verdict::Connection(Err(Rejected::Denied(Denied::NotPermitted))))
            }
            Token::Connection(_) | Token::Subscription(_) => Nobody.verify_now(token, now_unix_s),
        }
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        match &question {
            Question::Connect { who, name, version, data, channels } => {
                self.note(&[b"connect", who.client.as_bytes(), name.as_bytes(), version.as_bytes(), data]);
                channels.iter().for_each(|channel| self.note(&[channel.as_bytes()]));
            }
            Question::Subscribe { who, channel, data } => {
                let said = [who.client.as_bytes(), who.user.as_bytes(), channel.as_bytes(), data];
                self.note(&[b"subscribe"]);
                self.note(&said);
            }
            Question::Publish { who, channel, data } => {
                let said = [who.client.as_bytes(), who.user.as_bytes(), channel.as_bytes(), data];
                self.note(&[b"publish"]);
                self.note(&said);
            }
            // There is no hook for these; `answer` returns that.
            Question::ConnectionToken(_)
            | Question::SubscriptionToken(_)
            | Question::Refresh { .. }
            | Question::Rpc { .. }
            | Question::SocketConnect { .. }
            | Question::SocketEvents { .. }
            | Question::SubRefresh { .. } => {}
        }
        self.asked.lock().unwrap().push((reply_to, question));
        Ok(())
    }

    fn tell_states(&self, changes: Vec<StateChange>) {
        for StateChange { channel, is_occupied, time_ms } in changes {
            self.note(&[channel.as_bytes(), &[u8::from(is_occupied)], &time_ms.to_be_bytes()]);
        }
    }

    fn has_hook(&self, hook: Hook) -> bool {
        match hook {
            Hook::Connect => self.hooks_connect,
            Hook::Subscribe => self.hooks_subscribe,
            Hook::Publish => self.hooks_publish,
            Hook::Refresh | Hook::Rpc | Hook::SubRefresh | Hook::SocketConnect | Hook::SocketEvent => false,
        }
    }
}
