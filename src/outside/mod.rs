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
pub mod options;
mod terms;
mod token;
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
use self::jwks::{Found, Jwks};
use self::keys::{Key, Keys};
use self::options::{Options, TokenOptions};
use self::token::{Purpose, Refused, Rules, Unverified};
use self::workers::{Job, Queue};
use crate::shard::mailbox::{Mailbox, ReplyTo};
use crate::shard::outside::{Busy, Hook, Outside, Question, Token, Verdict};

pub use self::token::mint;

/// How requests to hooks and key sets name their sender.
const USER_AGENT: &str = concat!("throng/", env!("CARGO_PKG_VERSION"));
/// A longer token is not verified in a shard's thread, however cheap its algorithm.
const TOKEN_BYTES_AT_ONCE_MAX: usize = 4096;

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
        let (purpose, text) = match *token {
            Token::Connection(text) => (Purpose::Connection, text),
            Token::Subscription(text) => (Purpose::Subscription, text),
        };
        self.tokens.of(purpose).verify_now(purpose, text, now_unix_s)
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        match question {
            Question::ConnectionToken(token) => {
                self.queue.put(Job::new(reply_to, Purpose::Connection, token))
            }
            Question::SubscriptionToken(token) => {
                self.queue.put(Job::new(reply_to, Purpose::Subscription, token))
            }
            Question::Connect { .. }
            | Question::Refresh { .. }
            | Question::Subscribe { .. }
            | Question::Publish { .. }
            | Question::Rpc { .. }
            | Question::SubRefresh { .. } => match Asked::new(question) {
                Some(asked) => self.hooks.ask(&self.runtime, reply_to, asked),
                None => Ok(()),
            },
        }
    }

    fn has_hook(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }
}

/// Checks what can be checked of options without asking anyone: keys, URLs, headers.
///
/// # Errors
/// The option that does not make sense, and why.
pub fn check(options: &Options) -> Result<(), String> {
    Source::check("token", &options.token)?;
    if let Some(token) = &options.subscription_token {
        Source::check("subscription_token", token)?;
    }
    let client = Client::new().map_err(|error| error.to_string())?;
    Hooks::new(options, client, Arc::new([])).map(drop)
}

/// How tokens of both kinds are verified.
#[derive(Debug)]
struct Tokens {
    connection: Verifier,
    /// `None`: as those of connections.
    subscription: Option<Verifier>,
}

impl Tokens {
    fn new(options: &Options, client: &Client, runtime: &Handle) -> Result<Self, String> {
        let verifier = |name, token: &TokenOptions| Verifier::new(name, token, client, runtime);
        Ok(Self {
            connection: verifier("token", &options.token)?,
            subscription: match &options.subscription_token {
                Some(token) => Some(verifier("subscription_token", token)?),
                None => None,
            },
        })
    }

    fn of(&self, purpose: Purpose) -> &Verifier {
        match (purpose, &self.subscription) {
            (Purpose::Subscription, Some(verifier)) => verifier,
            _ => &self.connection,
        }
    }

    /// What the job's token comes to; `None` when it waits for its key, and will come back.
    fn verify(&self, job: Job, queue: &Arc<Queue>) -> Option<(ReplyTo, Verdict)> {
        let (reply_to, purpose) = (job.reply_to, job.purpose);
        let judged = self.of(purpose).verify(job, queue)?;
        Some((reply_to, judged.unwrap_or_else(|refused| purpose.refused(refused))))
    }
}

/// How tokens of one kind are verified.
#[derive(Debug)]
struct Verifier {
    source: Source,
    rules: Rules,
}

/// Where keys come from. A set behind a URL stands alone, as in Centrifugo.
#[derive(Debug)]
enum Source {
    Configured(Keys),
    Published(Arc<Jwks>),
}

impl Source {
    fn check(name: &str, options: &TokenOptions) -> Result<(Keys, Option<hyper::Uri>), String> {
        let keys = Keys::new(options).map_err(|why| format!("{name}.{why}"))?;
        let url = match options.jwks_public_endpoint.as_str() {
            "" => None,
            url => Some(http::parse_url(url).map_err(|why| format!("{name}.jwks_public_endpoint: {why}"))?),
        };
        Ok((keys, url))
    }
}

impl Verifier {
    fn new(name: &str, options: &TokenOptions, client: &Client, runtime: &Handle) -> Result<Self, String> {
        let source = match Source::check(name, options)? {
            (keys, None) => Source::Configured(keys),
            (_, Some(url)) => Source::Published(Arc::new(Jwks::new(url, client.clone(), runtime.clone()))),
        };
        Ok(Self { source, rules: Rules::new(options) })
    }

    /// In a shard's thread: what is cheap, which is a refusal that needs no signature, or an HMAC.
    fn verify_now(&self, purpose: Purpose, text: &str, now_unix_s: u64) -> Option<Verdict> {
        if text.len() > TOKEN_BYTES_AT_ONCE_MAX {
            return None;
        }
        let judged = match (Unverified::parse(text), &self.source) {
            (Err(refused), _) => Err(refused),
            (Ok(token), Source::Published(_)) if keys::is_public(token.algorithm) => return None,
            (Ok(_), Source::Published(_)) => Err(Refused::Invalid("no algorithm of a public key")),
            (Ok(token), Source::Configured(keys)) => match keys.of(token.algorithm) {
                None => Err(Refused::Invalid("no key for its algorithm")),
                Some(key @ Key::Hmac(_)) => self.judge(purpose, &token, key, now_unix_s),
                Some(_) => return None,
            },
        };
        Some(judged.unwrap_or_else(|refused| purpose.refused(refused)))
    }

    /// In a worker's thread; `None` when the token waits for its key.
    fn verify(&self, job: Job, queue: &Arc<Queue>) -> Option<Result<Verdict, Refused>> {
        let purpose = job.purpose;
        match &self.source {
            Source::Configured(keys) => Some(Unverified::parse(&job.token).and_then(|token| {
                let key = keys.of(token.algorithm).ok_or(Refused::Invalid("no key for its algorithm"))?;
                self.judge(purpose, &token, key, now_unix_s())
            })),
            Source::Published(jwks) => {
                let (algorithm, key_id) = match Unverified::parse(&job.token) {
                    Ok(token) if keys::is_public(token.algorithm) => (token.algorithm, token.key_id),
                    Ok(_) => return Some(Err(Refused::Invalid("no algorithm of a public key"))),
                    Err(refused) => return Some(Err(refused)),
                };
                let (found, job) = jwks.find(key_id.as_deref(), algorithm, job, queue, now())?;
                Some(match found {
                    Found::Key(published) => Unverified::parse(&job.token)
                        .and_then(|token| self.judge(purpose, &token, &published.key, now_unix_s())),
                    Found::None => Err(Refused::Invalid("no such key in the set")),
                    Found::Unknowable => Err(Refused::Unknowable),
                })
            }
        }
    }

    fn judge(
        &self,
        purpose: Purpose,
        token: &Unverified<'_>,
        key: &Key,
        now_unix_s: u64,
    ) -> Result<Verdict, Refused> {
        self.rules.judge(purpose, &token.verify(key)?, now_unix_s)
    }
}
