//! The endpoint of one hook: its URL, its headers, and whether its last request failed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use data_encoding::HEXLOWER;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use ring::hmac;
use rustls::RootCertStore;
use tokio::sync::Semaphore;

use super::counts::{Counts, HOOKS, SOCKET_END, SOCKET_EVENT};
use super::http::{self, Answered, Client, Failure};
use super::options::HookOptions;
use super::{USER_AGENT, now, trust};
use crate::hub::codes::{CodeOutcome, rule_for};
use crate::shard::outside::{ADDRESS_HEADERS, Headers};

/// Headers that describe a connection or a body and are never passed on (RFC 9110, 7.6.1).
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

/// The header with the signature of a body.
const SIGNATURE: HeaderName = HeaderName::from_static("x-throng-signature");

/// The signature of a body.
fn signature(key: &hmac::Key, body: &[u8]) -> HeaderValue {
    let digits = HEXLOWER.encode(hmac::sign(key, body).as_ref());
    // Digits and letters can stand in any header.
    HeaderValue::from_str(&format!("sha256={digits}")).unwrap_or(HeaderValue::from_static(""))
}

/// The answer of a hook.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'a> {
    /// Body of an answer with status 200.
    Body(&'a [u8]),
    /// The configured outcome for the answer's status.
    Rule(&'a CodeOutcome),
}

/// The URL and headers of one hook, and whether its last request failed.
#[derive(Debug)]
pub(super) struct Endpoint {
    place: usize,
    /// Name of a named hook; empty for the hook without a name.
    name: String,
    /// A client with the hook's own TLS options; `None` if it has none.
    client: Option<Client>,
    pub(super) options: HookOptions,
    url: Uri,
    headers: HeaderMap,
    /// Signs the bodies of requests.
    signature_key: Option<hmac::Key>,
    /// Whether the last request failed: a failing hook is logged once, not once per client.
    is_failing: AtomicBool,
    counts: Arc<Counts>,
}

/// The errors in a hook's options.
pub(super) fn faults_of(name: &str, options: &HookOptions) -> Vec<String> {
    let fault = |what: &str, why: &dyn fmt::Display| format!("the {name} hook's {what}: {why}");
    // A missing endpoint is reported with the key that enables the hook.
    let url = url_of(options).err().filter(|_| !options.endpoint.is_empty());
    let url = url.map(|why| fault("endpoint", &why));
    let headers =
        options.static_http_headers.iter().filter_map(|header| static_header(options, header).err());
    let headers = headers.map(|why| fault("static header", &why));
    let names = name_faults(options).into_iter().map(|(list, why)| fault(list, &why));
    let tls = Some(&options.tls).filter(|tls| tls.enabled);
    let tls = tls.and_then(|tls| trust::of(tls, &RootCertStore::empty()).err());
    let tls = tls.map(|(option, why)| fault(option, &why));
    url.into_iter().chain(names).chain(headers).chain(tls).collect()
}

/// The URL of the hook.
///
/// # Errors
/// The reason why there is none. The text does not contain the URL, which may hold secrets.
fn url_of(options: &HookOptions) -> Result<Uri, String> {
    http::parse_url(&options.fill(&options.endpoint)?).map_err(|why| match why {
        http::USERINFO => format!("{why}; send it in a static header"),
        _ => why.to_owned(),
    })
}

/// A configured header of the hook, as it is sent.
fn static_header(
    options: &HookOptions,
    (name, value): &(String, String),
) -> Result<(HeaderName, HeaderValue), String> {
    let name = name.parse().map_err(|why: InvalidHeaderName| why.to_string())?;
    let value = options.fill(value)?.parse().map_err(|why: InvalidHeaderValue| why.to_string())?;
    Ok((name, value))
}

/// The lists of headers that contain an invalid name, each with the reason.
fn name_faults(options: &HookOptions) -> Vec<(&'static str, String)> {
    let lists = [("http_headers", &options.http_headers), ("emulated_headers", &options.emulated_headers)];
    let mut faults = Vec::new();
    for (list, names) in lists {
        let odd = names.iter().filter(|name| name.parse::<HeaderName>().is_err());
        faults.extend(odd.map(|name| (list, format!("{name:?} is not the name of a header"))));
    }
    let is_address = |name: &&String| ADDRESS_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
    faults.extend(options.emulated_headers.iter().filter(is_address).map(|name| {
        let why = "carries the client's address, which a client must not set; use http_headers";
        ("emulated_headers", format!("{name} {why}"))
    }));
    faults
}

/// A URL for the log: without its query, which may hold keys. Variables appear by their names.
pub(super) fn told(url: &str) -> &str {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    &url[..end]
}

/// The headers that are configured to be passed on, and may be.
fn passed(told: &[(String, String)], names: &[String]) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for (name, value) in told.iter().filter(|(name, _)| names.contains(name)) {
        // From bytes: parsed as text, a value may contain ASCII only.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes()))
            && !NOT_PASSED_ON.contains(&name)
        {
            passed.append(name, value);
        }
    }
    passed
}

impl Endpoint {
    /// # Errors
    /// The invalid option, and the reason.
    pub(super) fn new(
        place: usize,
        name: &str,
        options: &HookOptions,
        client: &Client,
        counts: Arc<Counts>,
    ) -> Result<Self, String> {
        let told = if name.is_empty() { HOOKS[place].to_owned() } else { format!("proxies.{name}") };
        let fault = |what: &str, why: &dyn fmt::Display| format!("the {told} hook's {what}: {why}");
        let url = url_of(options).map_err(|why| fault("endpoint", &why))?;
        if let Some((list, why)) = name_faults(options).into_iter().next() {
            return Err(fault(list, &why));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(http::ENCODINGS));
        for header in &options.static_http_headers {
            let (name, value) = static_header(options, header).map_err(|why| fault("static header", &why))?;
            headers.insert(name, value);
        }
        let tls = Some(&options.tls).filter(|tls| tls.enabled);
        let client = tls.map(|tls| client.with(tls)).transpose().map_err(|(what, why)| fault(what, &why))?;
        if options.tls.enabled && options.tls.insecure_skip_verify {
            tracing::warn!(
                hook = told,
                "the hook's certificate is not verified (http.tls.insecure_skip_verify): whoever is between can read \
                 and answer its requests"
            );
        }
        let (is_failing, name) = (AtomicBool::new(false), name.to_owned());
        let secret = Some(&options.signature_secret).filter(|secret| !secret.is_empty());
        let signature_key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        let options = options.clone();
        Ok(Self { place, name, client, options, url, headers, signature_key, is_failing, counts })
    }

    /// Whether this is a hook of the given kind.
    pub(super) fn is_of(&self, place: usize) -> bool {
        self.place == place
    }

    /// Whether this is the hook of the given kind and name.
    pub(super) fn is(&self, place: usize, name: &str) -> bool {
        self.place == place && self.name == name
    }

    /// A request with this body and with the client's headers from `told`; if that is empty, with the configured
    /// headers only.
    pub(super) fn request(&self, body: Vec<u8>, told: &Headers) -> Request<Full<Bytes>> {
        let mut headers = self.headers_for(told);
        if let Some(key) = &self.signature_key {
            headers.insert(SIGNATURE, signature(key, &body));
        }
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        request
    }

    /// The headers of a request: the configured ones, replaced by the accepted emulated headers of the client,
    /// replaced by those of the client's HTTP request.
    fn headers_for(&self, told: &Headers) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(passed(&told.emulated, &self.options.emulated_headers));
        headers.extend(passed(&told.request, &self.options.http_headers));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    /// Waits for a slot, sends a request and reads its answer ([`in_slot`]). Must be called on one thread only, since it
    /// writes counts.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(super) async fn ask<T>(
        &self,
        client: &Client,
        requests: &Semaphore,
        request: Request<Full<Bytes>>,
        read: impl FnOnce(Said<'_>) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let client = self.client.as_ref().unwrap_or(client);
        let began = now();
        let timeout = Duration::from_millis(self.options.timeout_ms);
        let answer = match in_slot(requests, timeout, client.ask(request)).await {
            Err(Failure::Status(StatusCode::NO_CONTENT)) if self.may_be_silent() => Ok(Answered::nothing()),
            other => other,
        };
        let counts = &self.counts.hooks[self.place];
        counts.retries.add(u64::from(answer.as_ref().is_ok_and(|answer| answer.is_second)));
        let rule = match &answer {
            Err(Failure::Status(status)) => rule_for(&self.options.status_rules, status.as_u16().into()),
            Ok(_) | Err(_) => None,
        };
        let read = match (rule, answer) {
            (Some(rule), _) => read(Said::Rule(rule)).map_err(Failure::Nonsense),
            (None, answer) => {
                answer.and_then(|answer| read(Said::Body(&answer.body)).map_err(Failure::Nonsense))
            }
        };
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        counts.note(took_us, read.as_ref().err());
        self.note(read.as_ref().err());
        read
    }

    /// Whether a status without content is an answer: that nothing is to be done.
    fn may_be_silent(&self) -> bool {
        matches!(self.place, SOCKET_EVENT | SOCKET_END)
    }

    /// Logs when a hook begins to fail and when it has recovered.
    fn note(&self, failure: Option<&Failure>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Relaxed);
        match failure {
            Some(failure) if !was_failing => {
                tracing::warn!(hook = HOOKS[self.place], url = told(&self.options.endpoint), %failure, "a hook fails");
            }
            None if was_failing => {
                tracing::info!(
                    hook = HOOKS[self.place],
                    url = told(&self.options.endpoint),
                    "a hook answers again"
                )
            }
            _ => {}
        }
    }
}

/// The result of `exchange`, which has its whole timeout from when it gets a slot: many requests at once must not take
/// the time of a slow backend from one another. The wait for the slot is limited by the same time.
///
/// # Errors
/// That of the exchange, or the time that has passed.
async fn in_slot<T>(
    slots: &Semaphore,
    timeout: Duration,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, slots.acquire()).await {
        // The semaphore is never closed.
        Ok(_slot) => http::within(timeout, exchange).await,
        Err(_) => Err(Failure::NoSlot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With one time for both, of 700 clients that came at once 188 were refused: the backend took two of three
    /// seconds, and there were 512 slots.
    #[tokio::test(start_paused = true)]
    async fn who_has_waited_for_a_slot_has_the_time_of_all_others() {
        let (slots, second) = (Semaphore::new(2), Duration::from_secs(1));
        let ask = |takes| {
            let exchange = async move {
                tokio::time::sleep(takes).await;
                Ok(())
            };
            in_slot(&slots, 3 * second, exchange)
        };
        let (a, b, c, d) = tokio::join!(ask(2 * second), ask(2 * second), ask(2 * second), ask(2 * second));
        assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok(), "{c:?} {d:?}");
        let (a, b, c) = tokio::join!(ask(4 * second), ask(4 * second), ask(second));
        assert!([a, b].iter().all(|silent| matches!(silent, Err(Failure::Timeout))));
        assert!(c.is_ok() || matches!(c, Err(Failure::NoSlot)), "both ends come in one moment: {c:?}");
        let held = slots.acquire_many(2).await.unwrap();
        assert!(matches!(ask(second).await, Err(Failure::NoSlot)), "it waits no longer than its timeout");
        drop(held);
        assert!(ask(second).await.is_ok());
    }

    /// The second case of RFC 4231.
    #[test]
    fn a_body_is_signed_with_the_secret() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        assert_eq!(
            signature(&key, b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn the_log_has_no_query_of_a_url() {
        for (url, wanted) in [
            ("http://h:1/hook?key=SECRET", "http://h:1/hook"),
            ("https://h?key=SECRET", "https://h"),
            ("https://h/a/b", "https://h/a/b"),
            ("https://h/${THRONG_VAR_A}/b", "https://h/${THRONG_VAR_A}/b"),
        ] {
            assert_eq!(told(url), wanted);
        }
    }
}
