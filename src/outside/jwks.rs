//! JSON Web Key Sets behind URLs, and the tokens that wait for them.
//!
//! There is one set for each URL that a template yields ([`KeySets`]); the following holds for each.
//!
//! One fetch at a time, and at least [`PAUSE`] between two, however many tokens name unknown keys. A set is fetched
//! again once it is [`FRESH`] old; until that succeeds, the old keys stay in use, so an endpoint that is down affects
//! no client whose key is known. Left out: verification (`workers`).

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::{Request, Uri, header};
use jsonwebtoken::Algorithm;
use tokio::runtime::Handle;

use super::counts::KeySetCounts;
use super::endpoint::told;
use super::http::{self, Client, Failure};
use super::keys::{self, PublishedKey};
use super::workers::{Job, Queue};

/// Age at which a set is fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// Minimum time from the end of one fetch to the start of the next.
const PAUSE: Duration = Duration::from_secs(3);
/// Timeout of a fetch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of one endpoint.
#[derive(Debug)]
pub(super) struct Jwks {
    url: Uri,
    client: Client,
    runtime: Handle,
    counts: Arc<KeySetCounts>,
    state: Mutex<State<Job>>,
}

/// Maximum number of sets; beyond it, the least recently used set is dropped.
const SETS_MAX: usize = 64;

/// The key sets of a URL template with claims of the token as placeholders: `https://test/{{tenant}}/keys`.
#[derive(Debug)]
pub(super) struct KeySets {
    template: String,
    client: Client,
    runtime: Handle,
    counts: Arc<KeySetCounts>,
    /// Sets by URL, the most recently used last.
    sets: Mutex<Vec<(String, Arc<Jwks>)>>,
}

/// The placeholder names in a URL, written in double braces.
pub(super) fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0))
}

/// The template with its placeholders replaced by `values`.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let mut url = template.to_owned();
    for (name, value) in values {
        url = url.replace(&format!("{{{{{name}}}}}"), value);
    }
    url
}

/// Parses a URL. Its path must not have segments that are empty, `.` or `..`.
fn parse(url: &str) -> Option<Uri> {
    let uri = http::parse_url(url).ok()?;
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let is_odd = |part: &str| part.is_empty() || part == "." || part == "..";
    (path.is_empty() || !path.split('/').any(is_odd)).then_some(uri)
}

impl KeySets {
    pub(super) fn new(template: &str, client: Client, runtime: Handle, counts: Arc<KeySetCounts>) -> Self {
        Self { template: template.to_owned(), client, runtime, counts, sets: Mutex::default() }
    }

    /// Whether the URL depends on claims.
    pub(super) fn is_template(&self) -> bool {
        placeholders(&self.template).next().is_some()
    }

    /// The set for a token whose claims have these values; `None` when they make no valid URL.
    pub(super) fn of(&self, values: &[(&str, String)]) -> Option<Arc<Jwks>> {
        let url = filled(&self.template, values);
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sets.iter().position(|(known, _)| *known == url);
        let set = match known {
            Some(at) => sets.remove(at).1,
            None => {
                let uri = if values.is_empty() { http::parse_url(&url).ok()? } else { parse(&url)? };
                let (client, runtime) = (self.client.clone(), self.runtime.clone());
                Arc::new(Jwks::new(uri, client, runtime, Arc::clone(&self.counts)))
            }
        };
        if sets.len() >= SETS_MAX {
            sets.remove(0);
        }
        sets.push((url, Arc::clone(&set)));
        Some(set)
    }
}

/// The outcome of the search for a key.
#[derive(Debug)]
pub(super) enum Found {
    Key(Arc<PublishedKey>),
    /// The set was fetched after the token came, or a moment before, and does not contain the key.
    None,
    /// The set could not be fetched.
    Unknowable,
}

impl Jwks {
    pub(super) fn new(url: Uri, client: Client, runtime: Handle, counts: Arc<KeySetCounts>) -> Self {
        Self { url, client, runtime, counts, state: Mutex::new(State::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State<Job>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up the key for `job`. Returns `None` and keeps the job when a fetch may bring the key; the job then goes
    /// back into the queue.
    pub(super) fn find(
        self: &Arc<Self>,
        key_id: Option<&str>,
        algorithm: Algorithm,
        job: Job,
        queue: &Arc<Queue>,
        now: Instant,
    ) -> Option<(Found, Job)> {
        let mut state = self.state();
        let found = state.find(key_id, algorithm, job, now);
        let starts = state.wants_fetch(now);
        drop(state);
        if starts {
            self.runtime.spawn(Arc::clone(self).fetch(Arc::clone(queue)));
        }
        found
    }

    async fn fetch(self: Arc<Self>, queue: Arc<Queue>) {
        let since = super::now();
        let answer = self.download().await;
        let took_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.note(took_us, answer.as_ref().err(), super::now_unix_s());
        let url = self.url.to_string();
        match &answer {
            Ok(set) => tracing::debug!(url = told(&url), keys = set.len(), "key set fetched"),
            Err(failure) => tracing::warn!(url = told(&url), %failure, "key set not fetched"),
        }
        let waiting = self.state().fetched(answer.ok(), super::now());
        queue.put_back(waiting);
    }

    async fn download(&self) -> Result<Vec<PublishedKey>, Failure> {
        let request = Request::get(&self.url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, super::USER_AGENT)
            .header(header::ACCEPT_ENCODING, http::ENCODINGS)
            .body(Full::default())
            .map_err(|error| Failure::Broken(error.to_string()))?;
        let answer = http::within(TIMEOUT, self.client.ask(request)).await?;
        keys::parse_set(&answer.body).map_err(|error| Failure::Nonsense(error.to_string()))
    }
}

/// Waiting tokens and the schedule of fetches, without a clock or a network. `J` is a waiting job.
#[derive(Debug)]
struct State<J> {
    keys: Vec<Arc<PublishedKey>>,
    /// Time at which `keys` arrived.
    fetched_at: Option<Instant>,
    /// Time at which the last fetch ended, and whether it returned keys.
    tried: Option<(Instant, bool)>,
    is_fetching: bool,
    waiting: Vec<J>,
}

impl<J> Default for State<J> {
    fn default() -> Self {
        Self { keys: Vec::new(), fetched_at: None, tried: None, is_fetching: false, waiting: Vec::new() }
    }
}

/// A job that looks for a key, and may wait once for a fetch.
pub(super) trait Waits {
    /// Records that the job has waited; returns whether it had before.
    fn waits(&mut self) -> bool;
    /// Whether the job has waited.
    fn has_waited(&self) -> bool;
}

impl<J: Waits> State<J> {
    fn find(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        mut job: J,
        now: Instant,
    ) -> Option<(Found, J)> {
        if let Some(key) = self.key(key_id, algorithm) {
            return Some((Found::Key(Arc::clone(key)), job));
        }
        if job.has_waited() {
            let is_certain = self.tried.is_some_and(|(_, brought_keys)| brought_keys);
            return Some((if is_certain { Found::None } else { Found::Unknowable }, job));
        }
        if !self.is_fetching && !self.has_paused(now) {
            // A set that was just fetched is current.
            let is_certain = self.tried.is_some_and(|(_, brought_keys)| brought_keys);
            return Some((if is_certain { Found::None } else { Found::Unknowable }, job));
        }
        job.waits();
        self.waiting.push(job);
        None
    }

    /// The key with this id; for a token without a key id, the only suitable key.
    fn key(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<&Arc<PublishedKey>> {
        let mut suitable = self
            .keys
            .iter()
            .filter(|key| key.suits(algorithm) && (key_id.is_none() || key.id.as_deref() == key_id));
        let first = suitable.next()?;
        (key_id.is_some() || suitable.next().is_none()).then_some(first)
    }

    fn has_paused(&self, now: Instant) -> bool {
        self.tried.is_none_or(|(ended, _)| now.saturating_duration_since(ended) >= PAUSE)
    }

    /// Whether the caller must start a fetch; it counts as started then.
    fn wants_fetch(&mut self, now: Instant) -> bool {
        let is_old = self.fetched_at.is_none_or(|at| now.saturating_duration_since(at) >= FRESH);
        let begins = !self.is_fetching && self.has_paused(now) && (is_old || !self.waiting.is_empty());
        self.is_fetching |= begins;
        begins
    }

    /// Records the end of a fetch, with keys or without; returns the jobs that waited for it.
    fn fetched(&mut self, keys: Option<Vec<PublishedKey>>, now: Instant) -> Vec<J> {
        self.is_fetching = false;
        self.tried = Some((now, keys.is_some()));
        if let Some(keys) = keys {
            self.keys = keys.into_iter().map(Arc::new).collect();
            self.fetched_at = Some(now);
        }
        mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_with_what_leads_somewhere() {
        let template = "https://{{zone}}.test/{{tenant}}/keys";
        assert_eq!(placeholders(template).collect::<Vec<_>>(), ["zone", "tenant"]);
        assert_eq!(placeholders("https://a/{{b").count(), 0);
        let url =
            |tenant: &str| filled(template, &[("zone", "eu".to_owned()), ("tenant", tenant.to_owned())]);
        assert_eq!(url("one"), "https://eu.test/one/keys");
        assert!(parse(&url("one")).is_some());
        for odd in ["..", ".", "", "a/../b"] {
            assert!(parse(&url(odd)).is_none(), "{odd:?}");
        }
    }

    const RS256: Algorithm = Algorithm::RS256;

    #[derive(Debug, Default, PartialEq)]
    struct Waiter {
        name: u32,
        has_waited: bool,
    }

    impl Waits for Waiter {
        fn waits(&mut self) -> bool {
            mem::replace(&mut self.has_waited, true)
        }

        fn has_waited(&self) -> bool {
            self.has_waited
        }
    }

    fn set(names: &[&str]) -> Vec<PublishedKey> {
        let n = "x".repeat(341) + "A";
        let key = |name: &&str| format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","kid":"{name}"}}"#);
        let keys: Vec<String> = names.iter().map(key).collect();
        let set = keys::parse_set(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap();
        assert_eq!(set.len(), names.len());
        set
    }

    /// Looks up `name`: a letter for the outcome, and whether a fetch starts.
    fn look(state: &mut State<Waiter>, name: &str, now: Instant) -> (&'static str, bool) {
        let found = state.find(Some(name), RS256, Waiter::default(), now);
        let outcome = match found {
            None => "waits",
            Some((Found::Key(_), _)) => "key",
            Some((Found::None, _)) => "none",
            Some((Found::Unknowable, _)) => "unknowable",
        };
        (outcome, state.wants_fetch(now))
    }

    #[test]
    fn there_is_one_fetch_at_a_time_with_a_pause_between() {
        let (mut state, start) = (State::default(), crate::outside::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(look(&mut state, "a", at(0)), ("waits", true));
        assert_eq!(look(&mut state, "b", at(1)), ("waits", false), "for the fetch that is on its way");
        assert_eq!(state.fetched(Some(set(&["a"])), at(2)).len(), 2);
        assert_eq!(look(&mut state, "a", at(2)), ("key", false));
        assert_eq!(look(&mut state, "b", at(4)), ("none", false), "the set has just come");
        assert_eq!(look(&mut state, "b", at(5)), ("waits", true), "keys change");
        assert_eq!(state.fetched(Some(set(&["b"])), at(5)).len(), 1);
        assert_eq!(look(&mut state, "b", at(6)), ("key", false));
        assert_eq!(look(&mut state, "a", at(6)).0, "none", "it is gone");
        state.fetched(None, at(9));
        assert_eq!(look(&mut state, "c", at(10)), ("unknowable", false), "too early to ask again");
    }

    #[test]
    fn who_has_waited_is_not_sent_away_again() {
        let (mut state, start) = (State::default(), crate::outside::now());
        for (keys, expected) in
            [(None, "Unknowable"), (Some(set(&["b"])), "None"), (Some(set(&["a"])), "Key")]
        {
            let waiter = Waiter { name: 1, has_waited: false };
            assert!(state.find(Some("a"), RS256, waiter, start).is_none());
            let waited = state.fetched(keys, start).pop().unwrap();
            assert_eq!(waited, Waiter { name: 1, has_waited: true });
            let (found, _) = state.find(Some("a"), RS256, waited, start).unwrap();
            assert!(format!("{found:?}").starts_with(expected), "{found:?}");
            state.tried = None;
        }
    }

    #[test]
    fn old_keys_are_used_until_there_are_new_ones() {
        let (mut state, start) = (State::default(), crate::outside::now());
        state.fetched(Some(set(&["a"])), start);
        let almost = start + FRESH - Duration::from_secs(1);
        assert_eq!(look(&mut state, "a", almost), ("key", false));
        assert_eq!(look(&mut state, "a", start + FRESH), ("key", true), "fetched beside it");
        state.fetched(None, start + FRESH);
        assert_eq!(look(&mut state, "a", start + FRESH), ("key", false), "the endpoint is down");
        assert_eq!(look(&mut state, "a", start + FRESH + PAUSE), ("key", true));
        state.fetched(Some(set(&[])), start + FRESH + PAUSE);
        assert_eq!(look(&mut state, "a", start + FRESH + PAUSE).0, "none", "withdrawn");
    }

    #[test]
    fn a_key_is_for_its_algorithm() {
        let (mut state, now) = (State::default(), crate::outside::now());
        state.fetched(Some(set(&["a"])), now);
        let mut suits = |algorithm| {
            let found = state.find(Some("a"), algorithm, Waiter::default(), now);
            matches!(found, Some((Found::Key(_), _)))
        };
        assert!(suits(Algorithm::RS512) && !suits(Algorithm::ES256) && !suits(Algorithm::HS256));
    }
}
