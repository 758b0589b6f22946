//! Asks the application's hooks: one HTTP request per question, on the control thread's runtime.
//!
//! What matters: so many questions are open at most, so many of them are out as requests at most, each is answered within its
//! hook's time or as a failure, and each is answered once. A failure of whatever kind is error 100, which tells the
//! client to try again. Left out: what the bodies say (`hook_wire`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::counts::{Counts, HOOKS, place};
use super::endpoint::{self, Endpoint};
use super::hook_wire::Asked;
use super::http::Client;
use super::options::{HookOptions, Options};
use crate::hub::words::Denied;
use crate::shard::mailbox::{Letter, Mailbox, ReplyTo};
use crate::shard::outside::{Busy, Hook, Rejected, Verdict};

/// All hooks that are configured.
#[derive(Debug)]
pub(super) struct Hooks {
    endpoints: [Option<Endpoint>; 6],
    client: Client,
    open: Arc<Open>,
    open_count_max: usize,
    mailboxes: Arc<[Mailbox]>,
}

/// What is open, whichever options it was asked by.
#[derive(Debug)]
struct Open {
    /// Questions taken and not answered.
    count: AtomicUsize,
    requests: Semaphore,
    requests_max: usize,
}

/// All hooks that are asked, in the order of [`place`].
fn all(options: &Options) -> [&Option<HookOptions>; 6] {
    let Options { connect, refresh, rpc, subscribe, publish, sub_refresh, .. } = options;
    [connect, refresh, rpc, subscribe, publish, sub_refresh]
}

/// Every option of a hook that does not make sense, and why.
pub(super) fn faults(options: &Options) -> Vec<String> {
    let configured = HOOKS.iter().zip(all(options)).filter_map(|(name, hook)| Some((name, hook.as_ref()?)));
    configured.flat_map(|(name, options)| endpoint::faults_of(name, options)).collect()
}

impl Hooks {
    /// # Errors
    /// The hook whose options do not make sense, and why.
    pub(super) fn new(
        options: &Options,
        client: Client,
        mailboxes: Arc<[Mailbox]>,
        counts: &Arc<Counts>,
    ) -> Result<Self, String> {
        let requests_max = options.hook_requests_max.clamp(1, Semaphore::MAX_PERMITS);
        let requests = Semaphore::new(requests_max);
        let open = Arc::new(Open { count: AtomicUsize::new(0), requests, requests_max });
        Self::over(open, options, client, mailboxes, counts)
    }

    /// Those of other options, beside which as many may be out as requests as before.
    ///
    /// # Errors
    /// As [`Hooks::new`].
    pub(super) fn renewed(&self, options: &Options, counts: &Arc<Counts>) -> Result<Self, String> {
        let (open, mailboxes) = (Arc::clone(&self.open), Arc::clone(&self.mailboxes));
        Self::over(open, options, self.client.clone(), mailboxes, counts)
    }

    fn over(
        open: Arc<Open>,
        options: &Options,
        client: Client,
        mailboxes: Arc<[Mailbox]>,
        counts: &Arc<Counts>,
    ) -> Result<Self, String> {
        let mut endpoints: [Option<Endpoint>; 6] = Default::default();
        for (place, (endpoint, hook)) in endpoints.iter_mut().zip(all(options)).enumerate() {
            let options = hook.as_ref();
            *endpoint =
                options.map(|options| Endpoint::new(place, options, Arc::clone(counts))).transpose()?;
        }
        Ok(Self { endpoints, client, open, open_count_max: options.questions_max, mailboxes })
    }

    /// Questions that are not answered, and those of them that are out as requests.
    pub(super) fn open(&self) -> (usize, usize) {
        let Open { count, requests, requests_max } = &*self.open;
        (count.load(Relaxed), requests_max - requests.available_permits())
    }

    pub(super) fn has(&self, hook: Hook) -> bool {
        self.endpoints[place(hook)].is_some()
    }

    /// Asks; the answer goes into the asking shard's mailbox.
    ///
    /// # Errors
    /// When too many questions are open.
    pub(super) fn ask(
        self: &Arc<Self>,
        runtime: &Handle,
        reply_to: ReplyTo,
        asked: Asked,
    ) -> Result<(), Busy> {
        let take = |count: usize| (count < self.open_count_max).then_some(count + 1);
        self.open.count.fetch_update(Relaxed, Relaxed, take).map_err(|_| Busy)?;
        let hooks = Arc::clone(self);
        runtime.spawn(async move {
            let verdict = hooks.verdict(&asked).await;
            hooks.open.count.fetch_sub(1, Relaxed);
            if let Some(mailbox) = hooks.mailboxes.get(usize::from(reply_to.shard)) {
                mailbox.put(&mut vec![Letter::Verdict { reply_to, verdict: Box::new(verdict) }]);
            }
        });
        Ok(())
    }

    async fn verdict(&self, asked: &Asked) -> Verdict {
        let Some(endpoint) = &self.endpoints[place(asked.hook)] else {
            return asked.rejected(Rejected::Denied(Denied::Internal));
        };
        let body = match asked.body(&endpoint.options) {
            Ok(body) => body,
            Err(rejected) => {
                tracing::debug!(
                    client = asked.who.client,
                    "a client's command is a bad request: its data is not JSON, and the hook has no binary_encoding"
                );
                return asked.rejected(rejected);
            }
        };
        let request = endpoint.request(body, &asked.who.headers);
        let read = |answer: &[u8]| asked.verdict(answer);
        let verdict = endpoint.ask(&self.client, &self.open.requests, request, read).await;
        verdict.unwrap_or_else(|_| asked.rejected(Rejected::Denied(Denied::Internal)))
    }
}
