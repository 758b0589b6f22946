//! What shards ask of the world outside the data plane ([`crate::shard::outside`]) is answered here: tokens are verified by worker
//! threads, the application's hooks are asked from the control thread's runtime.
//!
//! What matters: nothing here makes a shard wait. What is cheap is answered at once, everything else is queued, within
//! bounds, and answered by a letter. `docs/AUTH.md` tells the same from outside.

#![expect(clippy::disallowed_methods, reason = "outside the data plane, where time is what a clock says")]

mod hook_wire;
mod hooks;
mod http;
mod jwks;
mod keys;
mod mint;
pub mod options;
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

use self::hook_wire::Asked;
use self::hooks::Hooks;
use self::http::Client;
use self::options::Options;
use self::verifier::Tokens;
use self::workers::{Job, Queue};
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
        let tokens = Arc::new(Tokens::new(options, &client, runtime).map_err(invalid)?);
        let hooks = Hooks::new(options, client, Arc::clone(&mailboxes)).map_err(invalid)?;
        let queue = Arc::new(Queue::new(options.questions_max, options.worker_count.clamp(1, 64)));
        workers::start(&queue, &tokens, &mailboxes)?;
        Ok(Arc::new(Self { tokens, queue, hooks: Arc::new(hooks), runtime: runtime.clone() }))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.queue.close();
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

    fn has_hook(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }
}

/// Checks what can be checked of options without asking anyone: keys, URLs, headers. Each option that does not make sense,
/// and why; nothing when all do.
pub fn check(options: &Options) -> Vec<String> {
    let mut faults = verifier::faults(options);
    faults.extend(hooks::faults(options));
    faults
}
