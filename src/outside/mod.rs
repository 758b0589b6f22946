//! Answers to the questions that shards ask outside the data plane ([`crate::shard::outside`]): worker threads verify
//! tokens, and the control thread's runtime calls the application's hooks.
//!
//! Invariant: nothing here makes a shard wait. Cheap questions are answered at once; all others are queued, within
//! limits, and answered by a letter. `docs/AUTH.md` describes the same for users.
//!
//! * Tokens: `token` (claims), `keys`, `jwks` (key sets), `verifier`, `workers` (threads), `complaints` (the log),
//!   `mint`.
//! * Hooks: `hooks`, `hook_wire` (requests and answers; `socket_wire` of sockets), `endpoint`, `named` (variables in its URL and headers),
//!   `http` (the client), `redirect`, `watched`, `trust` (certificates). `states` reports channels with their first
//!   and last subscriber, `ends` Socket.IO sockets that have ended; `event_wire` has the bodies about these and about
//!   their events.
//! * `terms` is common to tokens and hooks; `options` and `counts` are the settings and the metrics of both.

#![expect(clippy::disallowed_methods, reason = "outside the data plane, where time is what a clock says")]

mod complaints;
pub(crate) mod counts;
mod endpoint;
mod ends;
mod event_wire;
mod hook_wire;
mod hooks;
mod http;
mod jwks;
mod keys;
mod mint;
mod named;
pub mod options;
mod redirect;
mod socket_wire;
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
use self::ends::Ends;
use self::hook_wire::Asked;
use self::hooks::Hooks;
use self::http::Client;
use self::options::{Options, TokenOptions};
use self::states::States;
use self::verifier::Tokens;
use self::workers::{Job, Queue};
use crate::hub::home::StateChange;
use crate::shard::mailbox::{Mailbox, ReplyTo};
use crate::shard::outside::{Busy, CallRoute, Hook, Outside, Question, SocketEnd, Token, Verdict};

pub use self::mint::mint;
pub use self::verifier::{refusal, verify};

/// User agent of requests to hooks and key sets.
const USER_AGENT: &str = concat!("throng/", env!("CARGO_PKG_VERSION"));

fn now() -> Instant {
    Instant::now()
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Answers the questions of shards, with fixed options; [`World::renewed`] makes a world with others. When the last
/// world is dropped, the threads answer what is open and end.
#[derive(Debug)]
pub(crate) struct World {
    options: Options,
    tokens: Arc<Tokens>,
    hooks: Arc<Hooks>,
    /// Queue of the state hook, if one is configured.
    states: Option<Arc<Telling>>,
    /// Queue of the hook for ends of sockets, if one is configured.
    ends: Option<Arc<Ending>>,
    counts: Arc<Counts>,
    workers: Arc<Workers>,
    client: Client,
    mailboxes: Arc<[Mailbox]>,
    runtime: Handle,
}

/// The threads that verify tokens, shared by all worlds of a process.
#[derive(Debug)]
struct Workers(Arc<Queue>);

/// The events for the state hook, shared by all worlds that have one.
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

/// The ends of sockets for their hook, shared by all worlds that have one.
#[derive(Debug)]
struct Ending(Arc<Ends>);

impl Ending {
    fn start(endpoint: Endpoint, hooks: &Hooks, world: (&Client, &Arc<Counts>, &Handle)) -> Arc<Self> {
        let (client, counts, runtime) = world;
        let ends = Arc::new(Ends::new(endpoint, client.clone(), hooks.busy(), Arc::clone(counts)));
        ends.start(runtime);
        hooks.report_late_ends_to(&ends);
        Arc::new(Self(ends))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A world that is not in use yet.
#[derive(Debug)]
pub(crate) struct Renewed {
    world: World,
    /// Endpoint of its state hook.
    state: Option<Endpoint>,
    /// Endpoint of its hook for ends of sockets.
    end: Option<Endpoint>,
    /// Whether the keys for tokens differ from the previous ones.
    has_new_keys: bool,
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl World {
    /// Starts the workers. Hooks and key sets are called on `runtime`, which must have I/O and time, and whose wakers
    /// must be older than the shards' private descriptor tables.
    ///
    /// # Errors
    /// `InvalidInput` when an option is invalid, with its name; otherwise the error that prevented a thread from
    /// starting.
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
        let end = end_hook(options, &client, &counts).map_err(invalid)?;
        let hooks = Hooks::new(options, client.clone(), Arc::clone(&mailboxes), &counts).map_err(invalid)?;
        let queue = Arc::new(Queue::new(options.questions_max, options.worker_count.clamp(1, 64)));
        workers::start(&queue, &mailboxes)?;
        let states = state.map(|endpoint| Telling::start(endpoint, &client, &counts, runtime));
        let ends = end.map(|endpoint| Ending::start(endpoint, &hooks, (&client, &counts, runtime)));
        let (options, hooks, runtime) = (options.clone(), Arc::new(hooks), runtime.clone());
        let workers = Arc::new(Workers(queue));
        Ok(Arc::new(Self {
            options,
            tokens,
            hooks,
            states,
            ends,
            counts,
            workers,
            client,
            mailboxes,
            runtime,
        }))
    }

    /// A world with other options, except for the number of threads and of concurrent requests, which stay. It takes
    /// effect with [`Renewed::begin`]. Questions to the old world are answered with its keys and hooks. Fetched key
    /// sets are kept if the options of tokens are unchanged; queued events go to the state hook that is configured
    /// when they are sent.
    ///
    /// # Errors
    /// `InvalidInput` when an option is invalid, with its name.
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
        let end = end_hook(options, client, counts).map_err(invalid)?;
        let mut world = Self {
            options: options.clone(),
            tokens,
            hooks,
            states: None,
            ends: end.is_some().then(|| self.ends.clone()).flatten(),
            counts: Arc::clone(counts),
            workers: Arc::clone(&self.workers),
            client: client.clone(),
            mailboxes: Arc::clone(&self.mailboxes),
            runtime: self.runtime.clone(),
        };
        world.states = state.is_some().then(|| self.states.clone()).flatten();
        Ok(Renewed { world, state, end, has_new_keys })
    }

    /// The counts for the metrics.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The questions without an answer.
    pub(crate) fn open(&self) -> Open {
        let (hooks, hook_requests) = self.hooks.open();
        Open { hooks, hook_requests, tokens: self.workers.0.open_count() }
    }

    /// Resolves once the application has accepted all events reported so far; that may never happen.
    pub(crate) async fn all_told(&self) {
        if let Some(Telling(states)) = self.states.as_deref() {
            states.all_sent().await;
        }
        if let Some(Ending(ends)) = self.ends.as_deref() {
            ends.all_sent().await;
        }
    }
}

/// The endpoint of the state hook, if one is configured.
fn state_hook(options: &Options, client: &Client, counts: &Arc<Counts>) -> Result<Option<Endpoint>, String> {
    let Some(options) = &options.state else { return Ok(None) };
    if let Some(fault) = states::faults(options).into_iter().next() {
        return Err(fault);
    }
    Endpoint::new(counts::STATE, "", options, client, Arc::clone(counts)).map(Some)
}

/// The endpoint of the hook for ends of sockets, if one is configured.
fn end_hook(options: &Options, client: &Client, counts: &Arc<Counts>) -> Result<Option<Endpoint>, String> {
    let Some(options) = &options.socket_end else { return Ok(None) };
    if let Some(fault) = endpoint::faults_of(counts::HOOKS[counts::SOCKET_END], options).into_iter().next() {
        return Err(fault);
    }
    Endpoint::new(counts::SOCKET_END, "", options, client, Arc::clone(counts)).map(Some)
}

impl Renewed {
    /// Puts the world in force for all later questions.
    pub(crate) fn begin(self) -> Arc<World> {
        let Self { mut world, state, end, has_new_keys } = self;
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
        world.ends = match (world.ends, end) {
            (_, None) => None,
            (Some(ending), Some(endpoint)) => {
                ending.0.renew(endpoint);
                Some(ending)
            }
            (None, Some(endpoint)) => {
                let of = (&world.client, &world.counts, &world.runtime);
                Some(Ending::start(endpoint, &world.hooks, of))
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

    fn tell_ends(&self, ends: Vec<SocketEnd>) {
        if let Some(Ending(told)) = self.ends.as_deref() {
            told.tell(ends);
        }
    }

    fn has_hook(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }

    fn route_call(&self, method: &str) -> CallRoute {
        self.hooks.route_call(method)
    }
}

/// Checks options as far as possible without network access: keys, URLs, headers. Returns the invalid options, each
/// with the reason.
pub(crate) fn check(options: &Options) -> Vec<String> {
    let mut faults = verifier::faults(options);
    faults.extend(hooks::faults(options));
    faults.extend(options.state.iter().flat_map(states::faults));
    let end_name = counts::HOOKS[counts::SOCKET_END];
    faults.extend(options.socket_end.iter().flat_map(|end| endpoint::faults_of(end_name, end)));
    faults.extend(trust::roots(&options.ca_file).err());
    faults
}
