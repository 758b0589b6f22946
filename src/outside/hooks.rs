//! Calls the application's hooks: one HTTP request per question, on the control thread's runtime.
//!
//! Invariant: the number of open questions is limited, and so is the number of concurrent requests; each question
//! gets one answer or failure within its hook's timeout, and as much for the wait before it. Every failure is error 100, which tells the client to try
//! again. Left out: the bodies (`hook_wire`).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::counts::{Counts, HOOKS, place};
use super::endpoint::{self, Endpoint, Said};
use super::ends::{self, Ends};
use super::event_wire;
use super::hook_wire::Asked;
use super::http::Client;
use super::options::{Calls, HookOptions, Options};
use crate::hub::options::Namespaces;
use crate::hub::words::Denied;
use crate::shard::mailbox::{Letter, Mailbox, ReplyTo};
use crate::shard::outside::{Busy, CallRoute, Hook, Rejected, Verdict};

/// All configured hooks.
#[derive(Debug)]
pub(super) struct Hooks {
    endpoints: Vec<Endpoint>,
    /// Selects the hook for a channel.
    namespaces: Arc<Namespaces>,
    /// Selects the hook for a call.
    calls: Option<Calls>,
    client: Client,
    open: Arc<Open>,
    open_count_max: usize,
    mailboxes: Arc<[Mailbox]>,
}

/// Open questions and requests, across changes of options.
#[derive(Debug)]
struct Open {
    /// Questions accepted and not answered.
    count: AtomicUsize,
    requests: Semaphore,
    requests_max: usize,
    /// Socket.IO sockets about whose events a question is open.
    busy: Arc<ends::Busy>,
    /// Where ends of sockets go that waited for such a question.
    late_ends: Mutex<Weak<Ends>>,
    counts: Arc<Counts>,
}

/// All unnamed hooks, in the order of [`place`].
fn all(options: &Options) -> [&Option<HookOptions>; 8] {
    let Options { connect, refresh, rpc, subscribe, publish, sub_refresh, .. } = options;
    let Options { socket_connect, socket_event, .. } = options;
    [connect, refresh, rpc, subscribe, publish, sub_refresh, socket_connect, socket_event]
}

/// The errors in the options of all hooks.
pub(super) fn faults(options: &Options) -> Vec<String> {
    let configured = HOOKS.iter().zip(all(options)).filter_map(|(name, hook)| Some((name, hook.as_ref()?)));
    let configured = configured.map(|(name, hook)| ((*name).to_owned(), hook));
    let named = options.proxies.iter().map(|(name, hook)| (format!("proxies.{name}"), hook));
    configured.chain(named).flat_map(|(name, options)| endpoint::faults_of(&name, options)).collect()
}

/// All hooks in use, each by its kind and its name; the name is empty for the unnamed hook.
fn asked(options: &Options) -> Vec<(usize, &str, &HookOptions)> {
    let unnamed = all(options).into_iter().enumerate();
    let unnamed = unnamed.filter_map(|(place, hook)| Some((place, "", hook.as_ref()?)));
    let mut asked: Vec<_> = unnamed.collect();
    for (name, hook) in &options.proxies {
        let kinds = [Hook::Subscribe, Hook::Publish, Hook::SubRefresh, Hook::Rpc];
        let kinds = kinds.into_iter().filter(|kind| options.names(*kind).contains(name.as_str()));
        asked.extend(kinds.map(|kind| (place(kind), name.as_str(), hook)));
    }
    asked
}

impl Hooks {
    /// # Errors
    /// The first invalid option with its hook, and the reason.
    pub(super) fn new(
        options: &Options,
        client: Client,
        mailboxes: Arc<[Mailbox]>,
        counts: &Arc<Counts>,
    ) -> Result<Self, String> {
        let requests_max = options.hook_requests_max.clamp(1, Semaphore::MAX_PERMITS);
        let requests = Semaphore::new(requests_max);
        let open = Arc::new(Open {
            count: AtomicUsize::new(0),
            requests,
            requests_max,
            busy: Arc::default(),
            late_ends: Mutex::new(Weak::new()),
            counts: Arc::clone(counts),
        });
        Self::over(open, options, client, mailboxes, counts)
    }

    /// Hooks with other options; they share the limit of concurrent requests with the previous ones.
    ///
    /// # Errors
    /// Like [`Hooks::new`].
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
        let endpoint = |(place, name, hook)| Endpoint::new(place, name, hook, &client, Arc::clone(counts));
        let endpoints = asked(options).into_iter().map(endpoint).collect::<Result<_, _>>()?;
        let (namespaces, calls) = (Arc::clone(&options.namespaces), options.calls.clone());
        Ok(Self {
            endpoints,
            namespaces,
            calls,
            client,
            open,
            open_count_max: options.questions_max,
            mailboxes,
        })
    }

    /// The number of unanswered questions, and the number of requests among them.
    pub(super) fn open(&self) -> (usize, usize) {
        let Open { count, requests, requests_max, .. } = &*self.open;
        (count.load(Relaxed), requests_max - requests.available_permits())
    }

    /// The sockets about whose events a question is open.
    pub(super) fn busy(&self) -> Arc<ends::Busy> {
        Arc::clone(&self.open.busy)
    }

    /// Sets where ends of sockets go that waited for the answer about an event.
    pub(super) fn report_late_ends_to(&self, to: &Arc<Ends>) {
        *self.open.late_ends.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(to);
    }

    /// Handles the end of a question about events of a socket.
    fn socket_answered(&self, asked: &Asked, verdict: &Verdict) {
        let (Some(events), Verdict::SocketEvents(outcome)) = (&asked.events, verdict) else { return };
        let state = outcome.as_ref().ok().and_then(|result| event_wire::state_of(result, events.count));
        let Some(end) = self.open.busy.finish(&events.sid, state) else { return };
        let to = self.open.late_ends.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        match to {
            Some(to) => to.tell_late(end),
            // A reload has removed the hook.
            None => {
                drop(end);
                self.open.counts.ends.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn has(&self, hook: Hook) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_of(place(hook)))
    }

    /// The destination of calls of this method.
    pub(super) fn route_call(&self, method: &str) -> CallRoute {
        match &self.calls {
            Some(calls) => calls.route(method).map_or_else(|route| route, |_| CallRoute::Hook),
            None if self.has(Hook::Rpc) => CallRoute::Hook,
            None => CallRoute::NotAvailable,
        }
    }

    /// The hook for this question.
    fn endpoint(&self, asked: &Asked) -> Option<&Endpoint> {
        let channel = || asked.channel.as_deref().and_then(|channel| self.namespaces.resolve(channel));
        let name = match asked.hook {
            Hook::Connect | Hook::SocketConnect | Hook::Refresh => "",
            Hook::Rpc => match &self.calls {
                Some(calls) => calls.route(asked.method.as_deref().unwrap_or_default()).ok()?,
                None => "",
            },
            Hook::Subscribe => channel().map_or("", |options| &options.subscribe_proxy_name),
            Hook::Publish => channel().map_or("", |options| &options.publish_proxy_name),
            Hook::SubRefresh => channel().map_or("", |options| &options.sub_refresh_proxy_name),
            Hook::SocketEvent => "",
        };
        self.endpoints.iter().find(|endpoint| endpoint.is(place(asked.hook), name))
    }

    /// Asks the hook; the answer goes to the asking shard's mailbox.
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
        if let Some(events) = &asked.events {
            self.open.busy.begin(&events.sid);
        }
        runtime.spawn(async move {
            let verdict = hooks.verdict(&asked).await;
            hooks.socket_answered(&asked, &verdict);
            hooks.open.count.fetch_sub(1, Relaxed);
            if let Some(mailbox) = hooks.mailboxes.get(usize::from(reply_to.shard)) {
                mailbox.put(&mut vec![Letter::Verdict { reply_to, verdict: Box::new(verdict) }]);
            }
        });
        Ok(())
    }

    async fn verdict(&self, asked: &Asked) -> Verdict {
        let Some(endpoint) = self.endpoint(asked) else {
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
        let mut failed = Rejected::Denied(Denied::Internal);
        let read = |said: Said<'_>| match said {
            Said::Rule(rule) => Ok(asked.by_rule(rule)),
            Said::Body(answer) => asked.verdict(answer).map_err(|unusable| {
                failed = asked.failed(&unusable);
                unusable.to_string()
            }),
        };
        let verdict = endpoint.ask(&self.client, &self.open.requests, request, read).await;
        verdict.unwrap_or_else(|_| asked.rejected(failed))
    }
}
