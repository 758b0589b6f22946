//! What shards ask of the world outside the data plane ([`crate::shard::outside`]) is answered here: tokens are verified by worker
//! threads, the application's hooks are asked from the control thread's runtime.
//!
//! What matters: nothing here makes a shard wait. What is cheap is answered at once, everything else is queued, within
//! bounds, and answered by a letter. `docs/AUTH.md` tells the same from outside.
//!
//! * Tokens: `token` (claims), `keys`, `jwks` (key sets), `verifier`, `workers` (threads), `complaints` (the log), `mint`.
//! * Hooks: `hooks`, `hook_wire` (requests and answers), `endpoint`, `named` (variables in its URL and headers), `http`
//!   (the client), `redirect`, `watched`, `trust` (certificates). `states` reports channels with their first and last subscriber.
//! * `terms` is common to tokens and hooks; `options` and `counts` are the settings and the metrics of both.

#![expect(clippy::disallowed_methods, reason = "outside the data plane, where time is what a clock says")]

mod complaints;
pub(crate) mod counts;
mod endpoint;
mod hook_wire;
mod hooks;
mod http;
mod jwks;
mod keys;
mod mint;
mod named;
pub mod options;
mod redirect;
mod states;
mod terms;
mod token;
mod trust;
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
use self::options::{Options, TokenOptions};
use self::states::States;
use self::verifier::Tokens;
use self::workers::{Job, Queue};
use crate::hub::home::StateChange;
use crate::shard::mailbox::{Mailbox, ReplyTo};
use crate::shard::outside::{Busy, CallRoute, Hook, Outside, Question, Token, Verdict};

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

/// Answers what shards ask, by options that do not change: [`World::renewed`] is one with others. When the last of them is
/// dropped, the threads end, once they have answered what is open.
#[derive(Debug)]
pub(crate) struct World {
    options: Options,
    tokens: Arc<Tokens>,
    hooks: Arc<Hooks>,
    /// Where there is a state hook.
    states: Option<Arc<Telling>>,
    counts: Arc<Counts>,
    workers: Arc<Workers>,
    client: Client,
    mailboxes: Arc<[Mailbox]>,
    runtime: Handle,
}

/// The threads that verify tokens, shared by all worlds of a process.
#[derive(Debug)]
struct Workers(Arc<Queue>);

/// What is told to the state hook, by all worlds that have one.
#[derive(Debug)]
struct Telling(Arc<States>);

impl Telling {
    fn start(endpoint: Endpoint, client: &Client, counts: &Arc<Counts>, runtime: &Handle) -> Arc<Self> {
        let states = Arc::new(States::new(endpoint, client.clone(), Arc::clone(counts)));
        runtime.spawn(Arc::clone(&states).send());
        Arc::new(Self(states))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A world that has not begun.
#[derive(Debug)]
pub(crate) struct Renewed {
    world: World,
    /// Where its state hook is.
    state: Option<Endpoint>,
    /// Tokens are verified by other keys than before.
    has_new_keys: bool,
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl World {
    /// Starts the workers. Hooks and key sets are asked on `runtime`, which must have I/O and time, and whose wakers must be
    /// older than the shards' own descriptor tables.
    ///
    /// # Errors
    /// `InvalidInput` when the options do not make sense, with the option's name; else what keeps threads from starting.
    pub(crate) fn start(
        options: Arc<Options>,
        mailboxes: Arc<[Mailbox]>,
        runtime: &Handle,
    ) -> io::Result<Arc<Self>> {
        let roots = trust::roots(&options.ca_file).map_err(invalid)?;
        let client = Client::trusting(roots).map_err(io::Error::other)?;
        Self::asking_by(client, &options, mailboxes, runtime)
    }

    fn asking_by(
        client: Client,
        options: &Options,
        mailboxes: Arc<[Mailbox]>,
        runtime: &Handle,
    ) -> io::Result<Arc<Self>> {
        let counts: Arc<Counts> = Arc::default();
        counts.note_configured(options);
        let tokens = Arc::new(Tokens::new(options, &client, runtime, &counts).map_err(invalid)?);
        let state = state_hook(options, &client, &counts).map_err(invalid)?;
        let hooks = Hooks::new(options, client.clone(), Arc::clone(&mailboxes), &counts).map_err(invalid)?;
        let queue = Arc::new(Queue::new(options.questions_max, options.worker_count.clamp(1, 64)));
        workers::start(&queue, &mailboxes)?;
        let states = state.map(|endpoint| Telling::start(endpoint, &client, &counts, runtime));
        let (options, hooks, runtime) = (options.clone(), Arc::new(hooks), runtime.clone());
        let workers = Arc::new(Workers(queue));
        Ok(Arc::new(Self { options, tokens, hooks, states, counts, workers, client, mailboxes, runtime }))
    }

    /// A world with other options, but for the number of its threads and of requests at a time, which are the same. Nothing
    /// goes by it before it begins. What was asked of this one is answered by this one's keys and hooks; fetched key sets are
    /// kept where nothing new is said of tokens, and events that wait for the state hook go where it is then.
    ///
    /// # Errors
    /// `InvalidInput` when the options do not make sense, with the option's name.
    pub(crate) fn renewed(&self, options: &Options) -> io::Result<Renewed> {
        let tokens_of = |options: &Options| {
            (options.token.clone(), options.subscription_token.clone(), options.skips_signatures)
        };
        let hooks_of = |options: &Options| Options {
            token: TokenOptions::default(),
            subscription_token: None,
            ..options.clone()
        };
        let (client, counts) = (&self.client, &self.counts);
        let has_new_keys = tokens_of(options) != tokens_of(&self.options);
        let tokens = if has_new_keys {
            Arc::new(Tokens::new(options, client, &self.runtime, counts).map_err(invalid)?)
        } else {
            Arc::clone(&self.tokens)
        };
        let hooks = if hooks_of(options) == hooks_of(&self.options) {
            Arc::clone(&self.hooks)
        } else {
            Arc::new(self.hooks.renewed(options, counts).map_err(invalid)?)
        };
        let state = state_hook(options, client, counts).map_err(invalid)?;
        let mut world = Self {
            options: options.clone(),
            tokens,
            hooks,
            states: None,
            counts: Arc::clone(counts),
            workers: Arc::clone(&self.workers),
            client: client.clone(),
            mailboxes: Arc::clone(&self.mailboxes),
            runtime: self.runtime.clone(),
        };
        world.states = state.is_some().then(|| self.states.clone()).flatten();
        Ok(Renewed { world, state, has_new_keys })
    }

    /// What is counted of it.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What waits now.
    pub(crate) fn open(&self) -> Open {
        let (hooks, hook_requests) = self.hooks.open();
        Open { hooks, hook_requests, tokens: self.workers.0.open_count() }
    }

    /// Resolves once the application has taken all that was told to the state hook until now; it may never do so.
    pub(crate) async fn all_told(&self) {
        if let Some(Telling(states)) = self.states.as_deref() {
            states.all_sent().await;
        }
    }
}

/// Where the state hook is told, if it is configured.
fn state_hook(options: &Options, client: &Client, counts: &Arc<Counts>) -> Result<Option<Endpoint>, String> {
    let Some(options) = &options.state else { return Ok(None) };
    if let Some(fault) = states::faults(options).into_iter().next() {
        return Err(fault);
    }
    Endpoint::new(counts::STATE, "", options, client, Arc::clone(counts)).map(Some)
}

impl Renewed {
    /// Puts it in force for what is asked from now on.
    pub(crate) fn begin(self) -> Arc<World> {
        let Self { mut world, state, has_new_keys } = self;
        world.workers.0.set_open_count_max(world.options.questions_max);
        world.counts.note_configured(&world.options);
        if has_new_keys {
            world.counts.forget_key_sets();
        }
        world.states = match (world.states, state) {
            (_, None) => None,
            (Some(telling), Some(endpoint)) => {
                telling.0.renew(endpoint);
                Some(telling)
            }
            (None, Some(endpoint)) => {
                Some(Telling::start(endpoint, &world.client, &world.counts, &world.runtime))
            }
        };
        Arc::new(world)
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl Outside for World {
    fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict> {
        self.tokens.verify_now(token, now_unix_s)
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        match Asked::new(question) {
            Ok(asked) => self.hooks.ask(&self.runtime, reply_to, asked),
            Err((purpose, token)) => {
                self.workers.0.put(Job::new(reply_to, purpose, token, Arc::clone(&self.tokens)))
            }
        }
    }

    fn tell_states(&self, states: Vec<StateChange>) {
        if let Some(Telling(told)) = self.states.as_deref() {
            told.tell(states);
        }
    }

    fn has_hook(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }

    fn route_call(&self, method: &str) -> CallRoute {
        self.hooks.route_call(method)
    }
}

/// Checks what can be checked of options without asking anyone: keys, URLs, headers. Each option that does not make sense,
/// and why; nothing when all do.
pub(crate) fn check(options: &Options) -> Vec<String> {
    let mut faults = verifier::faults(options);
    faults.extend(hooks::faults(options));
    faults.extend(options.state.iter().flat_map(states::faults));
    faults.extend(trust::roots(&options.ca_file).err());
    faults
}
