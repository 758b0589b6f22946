//! Asks the application's hooks: one HTTP request per question, on the control thread's runtime.
//!
//! What matters: so many questions are open at most, so many of them are out as requests at most, each is answered within its
//! hook's time or as a failure, and each is answered once. A failure of whatever kind is error 100, which tells the
//! client to try again. Left out: what the bodies say (`hook_wire`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::USER_AGENT;
use super::hook_wire::Asked;
use super::http::{self, Client, Failure};
use super::options::{HookOptions, Options};
use crate::proto::centrifuge::Error;
use crate::shard::mailbox::{Letter, Mailbox, ReplyTo};
use crate::shard::outside::{ADDRESS_HEADERS, Busy, Headers, Hook, Rejected, Verdict};

/// Headers that belong to a connection or a body, not to what a client says; never passed on (RFC 9110, 7.6.1).
const NOT_PASSED_ON: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// All hooks that are configured.
#[derive(Debug)]
pub(super) struct Hooks {
    endpoints: [Option<Endpoint>; 6],
    client: Client,
    /// Questions taken and not answered.
    open_count: AtomicUsize,
    open_count_max: usize,
    requests: Semaphore,
    mailboxes: Arc<[Mailbox]>,
}

/// Where one hook is asked.
#[derive(Debug)]
struct Endpoint {
    name: &'static str,
    options: HookOptions,
    url: Uri,
    headers: HeaderMap,
    /// Whether the last request failed: a hook that is down is told once, not once per client.
    is_failing: AtomicBool,
}

fn place(hook: Hook) -> usize {
    match hook {
        Hook::Connect => 0,
        Hook::Refresh => 1,
        Hook::Rpc => 2,
        Hook::Subscribe => 3,
        Hook::Publish => 4,
        Hook::SubRefresh => 5,
    }
}

/// All hooks, each with its name, in the order of [`place`].
fn named(options: &Options) -> [(&'static str, &Option<HookOptions>); 6] {
    let Options { connect, refresh, rpc, subscribe, publish, sub_refresh, .. } = options;
    [
        ("connect", connect),
        ("refresh", refresh),
        ("rpc", rpc),
        ("subscribe", subscribe),
        ("publish", publish),
        ("sub_refresh", sub_refresh),
    ]
}

/// Every option of a hook that does not make sense, and why.
pub(super) fn faults(options: &Options) -> Vec<String> {
    let configured = named(options).into_iter().filter_map(|(name, hook)| Some((name, hook.as_ref()?)));
    configured.flat_map(|(name, options)| faults_of(name, options)).collect()
}

fn faults_of(name: &str, options: &HookOptions) -> Vec<String> {
    let fault = |what: &str, why: &dyn fmt::Display| format!("the {name} hook's {what}: {why}");
    // That one is missing is told beside the key that asks for the hook.
    let url = Some(options.endpoint.as_str()).filter(|url| !url.is_empty());
    let url = url.and_then(|url| http::parse_url(url).err()).map(|why| fault("endpoint", &why));
    let headers = options.static_http_headers.iter().filter_map(|(name, value)| {
        let named = name.parse::<HeaderName>().err().map(|why| fault("static header", &why));
        named.or_else(|| value.parse::<HeaderValue>().err().map(|why| fault("static header", &why)))
    });
    let names = name_faults(options).into_iter().map(|(list, why)| fault(list, &why));
    url.into_iter().chain(names).chain(headers).collect()
}

impl Hooks {
    /// # Errors
    /// The hook whose options do not make sense, and why.
    pub(super) fn new(options: &Options, client: Client, mailboxes: Arc<[Mailbox]>) -> Result<Self, String> {
        let mut endpoints: [Option<Endpoint>; 6] = Default::default();
        for (endpoint, (name, hook)) in endpoints.iter_mut().zip(named(options)) {
            *endpoint = hook.as_ref().map(|options| Endpoint::new(name, options)).transpose()?;
        }
        Ok(Self {
            endpoints,
            client,
            open_count: AtomicUsize::new(0),
            open_count_max: options.questions_max,
            requests: Semaphore::new(options.hook_requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            mailboxes,
        })
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
        self.open_count.fetch_update(Relaxed, Relaxed, take).map_err(|_| Busy)?;
        let hooks = Arc::clone(self);
        runtime.spawn(async move {
            let verdict = hooks.verdict(&asked).await;
            hooks.open_count.fetch_sub(1, Relaxed);
            if let Some(mailbox) = hooks.mailboxes.get(usize::from(reply_to.shard)) {
                mailbox.put(&mut vec![Letter::Verdict { reply_to, verdict: Box::new(verdict) }]);
            }
        });
        Ok(())
    }

    async fn verdict(&self, asked: &Asked) -> Verdict {
        let Some(endpoint) = &self.endpoints[place(asked.hook)] else {
            return asked.rejected(Rejected::Error(Error::INTERNAL));
        };
        let request = match endpoint.request(asked) {
            Ok(request) => request,
            Err(rejected) => return asked.rejected(rejected),
        };
        let exchange = async {
            // Never closed, so there always is a permit in the end; the wait for it is part of the hook's time.
            let _permit = self.requests.acquire().await;
            self.client.ask(request).await
        };
        let answer = http::within(Duration::from_millis(endpoint.options.timeout_ms), exchange).await;
        let verdict = answer.and_then(|answer| asked.verdict(&answer).map_err(Failure::Nonsense));
        endpoint.note(verdict.as_ref().err());
        verdict.unwrap_or_else(|_| asked.rejected(Rejected::Error(Error::INTERNAL)))
    }
}

/// The lists of headers with a name that cannot be in them, and why.
fn name_faults(options: &HookOptions) -> Vec<(&'static str, String)> {
    let lists = [("http_headers", &options.http_headers), ("emulated_headers", &options.emulated_headers)];
    let mut faults = Vec::new();
    for (list, names) in lists {
        let odd = names.iter().filter(|name| name.parse::<HeaderName>().is_err());
        faults.extend(odd.map(|name| (list, format!("{name:?} is not the name of a header"))));
    }
    let is_address = |name: &&String| ADDRESS_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
    faults.extend(options.emulated_headers.iter().filter(is_address).map(|name| {
        let why = "tells the client's address, which is not the client's to say; put it in http_headers";
        ("emulated_headers", format!("{name} {why}"))
    }));
    faults
}

/// Those of the headers that are to be passed on and can be.
fn passed(told: &[(String, String)], names: &[String]) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for (name, value) in told.iter().filter(|(name, _)| names.contains(name)) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            && !NOT_PASSED_ON.contains(&name)
        {
            passed.append(name, value);
        }
    }
    passed
}

impl Endpoint {
    fn new(name: &'static str, options: &HookOptions) -> Result<Self, String> {
        let fault = |what: &str, why: &dyn fmt::Display| format!("the {name} hook's {what}: {why}");
        let url = http::parse_url(&options.endpoint).map_err(|why| fault("endpoint", &why))?;
        if let Some((list, why)) = name_faults(options).into_iter().next() {
            return Err(fault(list, &why));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in &options.static_http_headers {
            let key: HeaderName = name.parse().map_err(|why| fault("static header", &why))?;
            headers.insert(key, value.parse().map_err(|why| fault("static header", &why))?);
        }
        Ok(Self { name, options: options.clone(), url, headers, is_failing: AtomicBool::new(false) })
    }

    fn request(&self, asked: &Asked) -> Result<Request<Full<hyper::body::Bytes>>, Rejected> {
        let mut request = Request::new(Full::from(asked.body(&self.options)?));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers_for(&asked.who.headers);
        Ok(request)
    }

    /// The hook's own headers, in their place the client's own that it takes, and in the place of both those of the request.
    fn headers_for(&self, told: &Headers) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(passed(&told.emulated, &self.options.emulated_headers));
        headers.extend(passed(&told.request, &self.options.http_headers));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    /// Tells the log when a hook begins to fail and when it has recovered.
    fn note(&self, failure: Option<&Failure>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Relaxed);
        match failure {
            Some(failure) if !was_failing => {
                tracing::warn!(hook = self.name, url = %self.url, %failure, "a hook fails");
            }
            None if was_failing => tracing::info!(hook = self.name, url = %self.url, "a hook answers again"),
            _ => {}
        }
    }
}
