//! What shards ask of the world outside the data plane ([`crate::shard::outside`]) is answered here: tokens are verified by worker
//! threads, the application's hooks are asked from the control thread's runtime.
//!
//! What matters: nothing here makes a shard wait. What is cheap is answered at once, everything else is queued, within
//! bounds, and answered by a letter. `docs/AUTH.md` tells the same from outside.

#![expect(clippy::disallowed_methods, reason = "outside the data plane, where time is what a clock says")]

pub mod counts;
mod endpoint;
mod hook_wire;
mod hooks;
mod http;
mod jwks;
mod keys;
mod mint;
pub mod options;
mod states;
mod terms;
mod token;
mod verifier;
mod watched;
mod workers;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;

use self::counts::{Counts, Open};
use self::endpoint::Endpoint;
use self::hook_wire::Asked;
use self::hooks::Hooks;
use self::http::Client;
use self::options::Options;
use self::states::States;
use self::verifier::Tokens;
use self::workers::{Job, Queue};
use crate::hub::home::StateChange;
use crate::shard::mailbox::{Mailbox, ReplyTo};
use crate::shard::outside::{Busy, Hook, Outside, Question, Token, Verdict};

pub use self::mint::mint;
pub use self::verifier::{refusal, verify};

/// How requests to hooks and key sets name their sender.
const USER_AGENT: &str = concat!("throng/", env!("CARGO_PKG_VERSION"));

fn now() -> Instant {
    Instant::now()
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Answers what shards ask. One per process. When it is dropped, its threads end, and what is still open gets no answer.
#[derive(Debug)]
pub struct World {
    tokens: Arc<Tokens>,
    queue: Arc<Queue>,
    hooks: Arc<Hooks>,
    /// Where there is a state hook.
    states: Option<Arc<States>>,
    counts: Arc<Counts>,
    runtime: Handle,
}

impl World {
    /// Starts the workers. Hooks and key sets are asked on `runtime`, which must have I/O and time, and whose wakers must be
    /// older than the shards' own descriptor tables.
    ///
    /// # Errors
    /// `InvalidInput` when the options do not make sense, with the option's name; else what keeps threads from starting.
    pub fn start(
        options: Arc<Options>,
        mailboxes: Arc<[Mailbox]>,
        runtime: &Handle,
    ) -> io::Result<Arc<Self>> {
        let client = Client::new().map_err(io::Error::other)?;
        Self::asking_by(client, &options, mailboxes, runtime)
    }

    fn asking_by(
        client: Client,
        options: &Options,
        mailboxes: Arc<[Mailbox]>,
        runtime: &Handle,
    ) -> io::Result<Arc<Self>> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let counts: Arc<Counts> = Arc::default();
        let tokens = Arc::new(Tokens::new(options, &client, runtime, &counts).map_err(invalid)?);
        let states = state_hook(options, &client, &counts).map_err(invalid)?.map(Arc::new);
        let hooks = Hooks::new(options, client, Arc::clone(&mailboxes), &counts).map_err(invalid)?;
        let queue = Arc::new(Queue::new(options.questions_max, options.worker_count.clamp(1, 64)));
        workers::start(&queue, &tokens, &mailboxes)?;
        if let Some(states) = &states {
            runtime.spawn(Arc::clone(states).send());
        }
        let (hooks, runtime) = (Arc::new(hooks), runtime.clone());
        Ok(Arc::new(Self { tokens, queue, hooks, states, counts, runtime }))
    }

    /// What is counted of it.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What waits now.
    pub fn open(&self) -> Open {
        let (hooks, hook_requests) = self.hooks.open();
        Open { hooks, hook_requests, tokens: self.queue.open_count() }
    }

    /// Resolves once the application has taken all that was told to the state hook until now; it may never do so.
    pub async fn all_told(&self) {
        if let Some(states) = &self.states {
            states.all_sent().await;
        }
    }
}

/// Where the state hook is told, if it is configured.
fn state_hook(options: &Options, client: &Client, counts: &Arc<Counts>) -> Result<Option<States>, String> {
    let Some(options) = &options.state else { return Ok(None) };
    if let Some(fault) = states::faults(options).into_iter().next() {
        return Err(fault);
    }
    let endpoint = Endpoint::new(counts::STATE, options, Arc::clone(counts))?;
    Ok(Some(States::new(endpoint, client.clone(), Arc::clone(counts))))
}

impl Drop for World {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(states) = &self.states {
            states.close();
        }
    }
}

impl Outside for World {
    fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict> {
        self.tokens.verify_now(token, now_unix_s)
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        match Asked::new(question) {
            Ok(asked) => self.hooks.ask(&self.runtime, reply_to, asked),
            Err((purpose, token)) => self.queue.put(Job::new(reply_to, purpose, token)),
        }
    }

    fn tell_states(&self, states: Vec<StateChange>) {
        if let Some(told) = &self.states {
            told.tell(states);
        }
    }

    fn has_hook(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }
}

/// Checks what can be checked of options without asking anyone: keys, URLs, headers. Each option that does not make sense,
/// and why; nothing when all do.
pub fn check(options: &Options) -> Vec<String> {
    let mut faults = verifier::faults(options);
    faults.extend(hooks::faults(options));
    faults.extend(options.state.iter().flat_map(states::faults));
    faults
}
