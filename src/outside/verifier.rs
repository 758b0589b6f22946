//! Verification of both kinds of tokens with their keys: cheap cases in a shard's thread, all others in a worker's.
//!
//! Invariant: a shard's thread spends only microseconds, whatever a client sends. If keys come from a URL, only these
//! are used, as in Centrifugo.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jsonwebtoken::Algorithm;
use tokio::runtime::Handle;

use super::complaints::Complaints;
use super::counts::{Counts, KeySetCounts};
use super::http::{self, Client};
use super::jwks::{self, Found, Jwks, KeySets};
use super::keys::{self, Key, Keys};
use super::options::{Options, TokenOptions};
use super::token::{Purpose, Refused, Rules, Unverified};
use super::workers::{Job, Queue};
use super::{now, now_unix_s};
use crate::shard::mailbox::ReplyTo;
use crate::shard::outside::{Token, Verdict};

/// Maximum size of a token that is verified in a shard's thread, even with a cheap algorithm.
const TOKEN_BYTES_AT_ONCE_MAX: usize = 4096;

const NO_KEY: Refused = Refused::Invalid("no key for its algorithm");

/// The verifiers of both kinds of tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    counts: Arc<Counts>,
    connection: Verifier,
    /// `None`: the same as for connections.
    subscription: Option<Verifier>,
    complaints: Complaints,
}

/// The verifier of one kind of tokens.
#[derive(Debug)]
struct Verifier {
    source: Source,
    rules: Rules,
    /// Whether tokens are accepted with any signature: for development.
    skips_signatures: bool,
}

/// The source of keys.
#[derive(Debug)]
enum Source {
    Configured(Keys),
    Published(Box<KeySets>),
}

/// The errors in the options of tokens.
pub(super) fn faults(options: &Options) -> Vec<String> {
    let subscription = options.subscription_token.as_ref().map(|token| ("subscription_token", token));
    let tables = std::iter::once(("token", &options.token)).chain(subscription);
    tables.flat_map(|(name, token)| faults_of(name, token)).collect()
}

fn faults_of(name: &str, options: &TokenOptions) -> Vec<String> {
    let mut faults = Keys::faults(options);
    for (claim, whole, pattern) in [
        ("audience", &options.audience, &options.audience_regex),
        ("issuer", &options.issuer, &options.issuer_regex),
    ] {
        if !whole.is_empty() && !pattern.as_str().is_empty() {
            faults.push(format!("{claim}_regex: does not go together with {claim}"));
        }
    }
    let url = options.jwks_public_endpoint.as_str();
    let plain = jwks::placeholders(url)
        .fold(url.to_owned(), |url, name| url.replace(&format!("{{{{{name}}}}}"), "x"));
    if let Some(why) = Some(&*plain).filter(|url| !url.is_empty()).and_then(|url| http::parse_url(url).err())
    {
        faults.push(format!("jwks_public_endpoint: {why}"));
    }
    let patterns = [("issuer_regex", &options.issuer_regex), ("audience_regex", &options.audience_regex)];
    let skips_check = options.insecure_skip_jwks_endpoint_safety_check;
    for name in jwks::placeholders(url) {
        let with_group = patterns.iter().find(|(_, pattern)| pattern.groups().any(|group| group == name));
        match with_group {
            None => faults.push(format!(
                "jwks_public_endpoint: expected a group {name} in issuer_regex or audience_regex"
            )),
            // The claim is read before the token is verified, so a client could choose the server from which keys are
            // fetched.
            Some((option, pattern)) if !skips_check && !pattern.lists_values(name) => faults.push(format!(
                "{option}: expected the values of the group {name} one by one, as in (?P<{name}>one|two), and no classes, \
                 since jwks_public_endpoint names it"
            )),
            Some(_) => {}
        }
    }
    faults.into_iter().map(|fault| format!("{name}.{fault}")).collect()
}

/// The keys in the options, and the URL that replaces them, if any.
fn configured<'a>(name: &str, options: &'a TokenOptions) -> Result<(Keys, Option<&'a str>), String> {
    if let Some(fault) = faults_of(name, options).into_iter().next() {
        return Err(fault);
    }
    let url = match options.jwks_public_endpoint.as_str() {
        "" => None,
        url => Some(url),
    };
    Ok((Keys::new(options)?, url))
}

/// Verifies one token in the caller's thread, with the keys in `options`. For tools; a program with many tokens starts
/// a `World`.
///
/// # Errors
/// When the options are invalid, or refer to a URL for keys, which is not fetched here.
pub fn verify(options: &TokenOptions, token: &Token<'_>, now_unix_s: u64) -> Result<Verdict, String> {
    let (purpose, text) = parts(token);
    let (keys, None) = configured("token", options)? else {
        return Err("the keys are published elsewhere".to_owned());
    };
    let judged = with_own_keys(&keys, &Rules::new(options), purpose, text, now_unix_s);
    Ok(judged.unwrap_or_else(|refused| purpose.refused(refused)))
}

/// The reason why a token is refused, as a text; `None` when it is accepted. Verifies like [`verify`].
///
/// # Errors
/// Like [`verify`].
pub fn refusal(
    options: &TokenOptions,
    token: &Token<'_>,
    now_unix_s: u64,
) -> Result<Option<&'static str>, String> {
    let (purpose, text) = parts(token);
    let (keys, None) = configured("token", options)? else {
        return Err("the keys are published elsewhere".to_owned());
    };
    Ok(match with_own_keys(&keys, &Rules::new(options), purpose, text, now_unix_s) {
        Ok(_) => None,
        Err(refused) => Some(refused.why()),
    })
}

fn parts<'a>(token: &Token<'a>) -> (Purpose, &'a str) {
    match *token {
        Token::Connection(text) => (Purpose::Connection, text),
        Token::Subscription(text) => (Purpose::Subscription, text),
    }
}

fn with_own_keys(
    keys: &Keys,
    rules: &Rules,
    purpose: Purpose,
    text: &str,
    now_unix_s: u64,
) -> Result<Verdict, Refused> {
    let token = Unverified::parse(text)?;
    rules.judge(purpose, &claims(&token, keys, now_unix_s)?, now_unix_s)
}

/// The claims, if one of the keys made the signature.
fn claims(token: &Unverified<'_>, keys: &Keys, now_unix_s: u64) -> Result<Vec<u8>, Refused> {
    let mut refused = NO_KEY;
    for key in keys.of(token.algorithm, now_unix_s) {
        match token.verify(key) {
            Ok(claims) => return Ok(claims),
            Err(why) => refused = why,
        }
    }
    Err(refused)
}

impl Tokens {
    /// A verifier without keys, which accepts no token.
    #[cfg(test)]
    pub(super) fn without_keys() -> Self {
        let verifier = Verifier {
            source: Source::Configured(Keys::default()),
            rules: Rules::new(&TokenOptions::default()),
            skips_signatures: false,
        };
        Self {
            connection: verifier,
            subscription: None,
            counts: Arc::default(),
            complaints: Complaints::default(),
        }
    }

    pub(super) fn new(
        options: &Options,
        client: &Client,
        runtime: &Handle,
        counts: &Arc<Counts>,
    ) -> Result<Self, String> {
        let verifier = |name, token: &TokenOptions, place: usize| {
            let mut verifier = Verifier::new(name, token, client, runtime, &counts.key_sets[place])?;
            verifier.skips_signatures = options.skips_signatures;
            Ok::<_, String>(verifier)
        };
        if options.skips_signatures {
            tracing::warn!(
                "tokens are taken whoever signed them (client.insecure_skip_token_signature_verify): anyone can be any user"
            );
        }
        let subscription = options.subscription_token.as_ref();
        Ok(Self {
            counts: Arc::clone(counts),
            connection: verifier("token", &options.token, 0)?,
            subscription: subscription.map(|token| verifier("subscription_token", token, 1)).transpose()?,
            complaints: Complaints::default(),
        })
    }

    fn count(&self, judged: &Result<Verdict, Refused>) {
        let counts = &self.counts.tokens;
        let count = match judged {
            Ok(_) => &counts.taken,
            Err(Refused::Expired) => &counts.expired,
            Err(Refused::Invalid(_)) => &counts.invalid,
            Err(Refused::Unknowable) => &counts.unknowable,
        };
        count.fetch_add(1, Relaxed);
    }

    fn of(&self, purpose: Purpose) -> &Verifier {
        match (purpose, &self.subscription) {
            (Purpose::Subscription, Some(verifier)) => verifier,
            _ => &self.connection,
        }
    }

    fn refused(&self, purpose: Purpose, refused: Refused) -> Verdict {
        self.complaints.tell(purpose, refused);
        purpose.refused(refused)
    }

    /// Verifies cheap cases in a shard's thread: refusals that need no signature, and HMAC. `None` for all others.
    pub(super) fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict> {
        let (purpose, text) = parts(token);
        if text.len() > TOKEN_BYTES_AT_ONCE_MAX {
            return None;
        }
        let judged = self.of(purpose).verify_now(purpose, text, now_unix_s)?;
        self.count(&judged);
        Some(judged.unwrap_or_else(|refused| self.refused(purpose, refused)))
    }

    /// Verifies any token in a worker's thread. `None` when the token waits for its key; it comes back then.
    pub(super) fn verify(&self, job: Job, queue: &Arc<Queue>) -> Option<(ReplyTo, Verdict)> {
        let (reply_to, purpose, since) = (job.reply_to, job.purpose, job.since);
        let judged = self.of(purpose).verify(job, queue)?;
        self.count(&judged);
        let took_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.tokens.took_us.record_shared(took_us);
        Some((reply_to, judged.unwrap_or_else(|refused| self.refused(purpose, refused))))
    }
}

impl Verifier {
    fn new(
        name: &str,
        options: &TokenOptions,
        client: &Client,
        runtime: &Handle,
        counts: &Arc<KeySetCounts>,
    ) -> Result<Self, String> {
        let source = match configured(name, options)? {
            (keys, None) => Source::Configured(keys),
            (keys, Some(url)) => {
                if !keys.is_empty() {
                    tracing::warn!(
                        "{name}: keys in the configuration are not used beside jwks_public_endpoint"
                    );
                }
                Source::Published(Box::new(KeySets::new(
                    url,
                    client.clone(),
                    runtime.clone(),
                    Arc::clone(counts),
                )))
            }
        };
        Ok(Self { source, rules: Rules::new(options), skips_signatures: false })
    }

    fn verify_now(&self, purpose: Purpose, text: &str, now_unix_s: u64) -> Option<Result<Verdict, Refused>> {
        let token = match Unverified::parse(text) {
            Ok(token) => token,
            Err(refused) => return Some(Err(refused)),
        };
        if self.skips_signatures {
            return Some(token.unsigned().and_then(|claims| self.rules.judge(purpose, &claims, now_unix_s)));
        }
        let keys = match &self.source {
            Source::Configured(keys) => keys,
            Source::Published(_) if keys::is_public(token.algorithm) => return None,
            Source::Published(_) => return Some(Err(NO_KEY)),
        };
        let is_dear = keys.of(token.algorithm, now_unix_s).any(|key| !matches!(key, Key::Hmac(_)));
        (!is_dear).then(|| {
            claims(&token, keys, now_unix_s).and_then(|claims| self.rules.judge(purpose, &claims, now_unix_s))
        })
    }

    /// The algorithm and key id that a token names, and the set that should contain the key.
    fn set_of(&self, sets: &KeySets, token: &str) -> Result<(Algorithm, Option<String>, Arc<Jwks>), Refused> {
        let token = Unverified::parse(token)?;
        if !keys::is_public(token.algorithm) {
            return Err(NO_KEY);
        }
        let claims = if sets.is_template() { token.unsigned()? } else { Vec::new() };
        let values = if sets.is_template() { self.rules.values(&claims)? } else { Vec::new() };
        let set = sets.of(&values).ok_or(Refused::Invalid("no URL of a key set"))?;
        Ok((token.algorithm, token.key_id, set))
    }

    fn verify(&self, job: Job, queue: &Arc<Queue>) -> Option<Result<Verdict, Refused>> {
        let purpose = job.purpose;
        if self.skips_signatures {
            return self.verify_now(purpose, &job.token, now_unix_s());
        }
        let sets = match &self.source {
            Source::Configured(keys) => {
                return Some(with_own_keys(keys, &self.rules, purpose, &job.token, now_unix_s()));
            }
            Source::Published(sets) => sets,
        };
        let (algorithm, key_id, jwks) = match self.set_of(sets, &job.token) {
            Ok(found) => found,
            Err(refused) => return Some(Err(refused)),
        };
        let (found, job) = jwks.find(key_id.as_deref(), algorithm, job, queue, now())?;
        Some(match found {
            Found::Key(published) => Unverified::parse(&job.token)
                .and_then(|token| token.verify(&published.key))
                .and_then(|claims| self.rules.judge(purpose, &claims, now_unix_s())),
            Found::None => Err(Refused::Invalid("no such key in the set")),
            Found::Unknowable => Err(Refused::Unknowable),
        })
    }
}
