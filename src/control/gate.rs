//! Access to the control listener.
//!
//! Invariant: requests need the listener's key, or, if there is none, must come from programs on this machine. A web
//! page without the key is refused, wherever it is from: a page of another site is detected by its `Origin`, and one
//! whose name was made to resolve to this machine (DNS rebinding) by its `Host`. The health check is open to all,
//! since load balancers and orchestrators seldom have a key. The metrics are open to all if there is no key and the
//! configuration enables them (`prometheus.enabled`).
//!
//! The server API has keys of its own ([`super::api`]); if any is set, requests to it do not need this key as well.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use subtle::ConstantTimeEq as _;

use crate::config::ControlPaths;
use crate::proto::authority;
use crate::proto::http::is_of_proxy;

/// Path of the readiness check.
pub(super) const READY: &str = "/ready";

/// A status with its reason.
pub(super) type Refusal = (StatusCode, &'static str);

/// The access rules for requests.
pub(super) struct Gate {
    known: RwLock<Known>,
    /// Whether only this machine can reach the listener.
    is_local: bool,
    paths: ControlPaths,
    refused: AtomicU64,
    timeouts: AtomicU64,
    displaced: AtomicU64,
}

/// The rules that may change at run time.
struct Known {
    /// The key; empty for none.
    key: String,
    /// Whether the server API has keys of its own.
    api_has_keys: bool,
}

impl fmt::Debug for Gate {
    /// Does not print the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("is_local", &self.is_local).finish_non_exhaustive()
    }
}

impl Gate {
    pub(super) fn new(key: String, is_local: bool, api_has_keys: bool) -> Self {
        Self {
            known: RwLock::new(Known { key, api_has_keys }),
            is_local,
            paths: ControlPaths::default(),
            refused: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
        }
    }

    /// A gate for a listener with these paths.
    pub(super) fn at(self, paths: ControlPaths) -> Self {
        Self { paths, ..self }
    }

    /// The paths of the listener.
    pub(super) fn paths(&self) -> &ControlPaths {
        &self.paths
    }

    /// Whether this is the path of the health check or the readiness check.
    pub(super) fn is_probe(&self, path: &str) -> bool {
        path == self.paths.health || path == READY
    }

    /// The part of a path below the path of the server API; `None` for other paths.
    pub(super) fn of_api<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.paths.api.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// Replaces the key.
    pub(super) fn renew(&self, key: String, api_has_keys: bool) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known { key, api_has_keys };
    }

    /// The number of refused requests.
    pub(super) fn refused_count(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The number of connections whose request did not arrive in time.
    pub(super) fn timeout_count(&self) -> u64 {
        self.timeouts.load(Relaxed)
    }

    /// Counts a timeout.
    pub(super) fn note_timeout(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    /// The number of connections that were closed for new ones.
    pub(super) fn displaced_count(&self) -> u64 {
        self.displaced.load(Relaxed)
    }

    /// Counts a connection that was closed for a new one.
    pub(super) fn note_displaced(&self) {
        self.displaced.fetch_add(1, Relaxed);
    }

    /// Checks a request. If the target is a whole URL, its authority replaces the `Host` (RFC 9112 §3.2.2).
    ///
    /// # Errors
    /// 400 without exactly one valid `Host`; 401 and 403 for requests without access.
    pub(super) fn check(&self, version: Version, uri: &Uri, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let outcome =
            settle_host(version, uri, headers).and_then(|()| self.decide(version, uri.path(), headers));
        self.refused.fetch_add(u64::from(outcome.is_err()), Relaxed);
        outcome
    }

    fn decide(&self, version: Version, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_of_api = self.of_api(path).is_some();
        // A client with the key is not a page that was made to send the request, whatever its `Origin` says.
        let is_right = bearer(headers).is_some_and(|key| key.ct_eq(known.key.as_bytes()).into());
        if is_of_api && known.api_has_keys || !known.key.is_empty() && is_right {
            return Ok(());
        }
        check_origin(headers)?;
        let is_open = self.paths.has_open_metrics && path == self.paths.metrics && known.key.is_empty();
        if self.is_probe(path) || is_open {
            return Ok(());
        }
        if !known.key.is_empty() {
            return Err((StatusCode::UNAUTHORIZED, "a key is needed: Authorization: Bearer KEY\n"));
        }
        if !self.is_local {
            return Err((
                StatusCode::FORBIDDEN,
                "requests from other machines need a key: set control_key\n",
            ));
        }
        check_machine(version, headers)
    }
}

/// Refuses requests from other machines, as far as headers show it: proxies on this machine forward such requests.
fn check_machine(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let forbidden = |why| Err((StatusCode::FORBIDDEN, why));
    // nginx's `proxy_pass` without further settings sends HTTP/1.0 with its own `Host`.
    if version < Version::HTTP_11 {
        return forbidden("requests by HTTP/1.0 need a key: set control_key\n");
    }
    if headers.keys().any(|name| is_of_proxy(name.as_str())) {
        return forbidden("requests through a proxy need a key: set control_key\n");
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(authority::is_loopback) {
        return forbidden("the Host header must be a loopback address or localhost, unless a key is sent\n");
    }
    Ok(())
}

/// RFC 9112 §3.2: exactly one valid `Host`; before HTTP/1.1 it may be missing.
fn settle_host(version: Version, uri: &Uri, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_good = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(|host| authority::split(host).is_some()),
        (None, None) => version < Version::HTTP_11,
        (_, Some(_)) => false,
    };
    if !is_good {
        return Err((StatusCode::BAD_REQUEST, "exactly one Host header is needed\n"));
    }
    if let Some(authority) = uri.authority() {
        let host = HeaderValue::from_str(authority.as_str())
            .ok()
            .filter(|_| authority::split(authority.as_str()).is_some());
        let host = host.ok_or((StatusCode::BAD_REQUEST, "the target names no host\n"))?;
        headers.insert(header::HOST, host);
    }
    Ok(())
}

/// The key of a request: `Authorization: Bearer KEY` (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().as_bytes())
}

/// Marks a request of a client listener, whose access a shard has checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted;

/// Whether the request's access was checked before.
pub(super) fn is_admitted(request: &axum::extract::Request) -> bool {
    request.extensions().get::<Admitted>().is_some()
}

/// Refuses requests of pages of other origins.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(header::ORIGIN).iter().all(|origin| is_own(origin, headers)) {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "requests from pages of other origins are refused\n"))
    }
}

/// Whether an origin names the host that received the request, by an address or by `localhost`.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (authority, host) {
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host) && is_address(host),
        _ => false,
    }
}

/// Whether a host, with a port or without, is an address or `localhost`, which nobody else can own.
fn is_address(host: &str) -> bool {
    authority::split(host)
        .is_some_and(|(name, _)| name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn status(gate: &Gate, path: &str, lines: &[(&str, &str)]) -> u16 {
        status_of(gate, Version::HTTP_11, path, lines)
    }

    fn status_of(gate: &Gate, version: Version, target: &str, lines: &[(&str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value);
        }
        let outcome = gate.check(version, &target.parse().unwrap(), &mut headers);
        outcome.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:9000");
    const KEY: (&str, &str) = ("authorization", "Bearer secret");

    #[test]
    fn without_a_key_programs_of_this_machine_may_ask() {
        let gate = Gate::new(String::new(), true, true);
        for (lines, expected) in [
            (&[HERE][..], 200),
            (&[("host", "localhost:9000")], 200),
            (&[("host", "[::1]:9000")], 200),
            (&[HERE, ("origin", "http://127.0.0.1:9000")], 200),
            (&[HERE, KEY], 200),
            // A foreign name that resolves to this machine.
            (&[("host", "evil.example:9000")], 403),
            (&[("host", "127.0.0.1.evil.example")], 403),
            (&[("host", "evil.example:9000"), ("origin", "http://evil.example:9000")], 403),
            (&[("host", "")], 403),
            (&[("host", "93.184.216.34")], 403),
            // A proxy forwards requests of others.
            (&[HERE, ("x-forwarded-for", "10.0.0.1")], 403),
            (&[HERE, ("x-forwarded-server", "a")], 403),
            (&[HERE, ("forwarded", "for=10.0.0.1")], 403),
            (&[HERE, ("via", "1.1 a")], 403),
            (&[HERE, ("cf-connecting-ip", "10.0.0.1")], 403),
            // Pages of other origins, including those of client listeners.
            (&[HERE, ("origin", "http://127.0.0.1:8000")], 403),
            (&[HERE, ("origin", "https://evil.example")], 403),
            (&[HERE, ("origin", "null")], 403),
            (&[HERE, ("origin", "http://127.0.0.1:9000"), ("origin", "https://evil.example")], 403),
        ] {
            assert_eq!(status(&gate, "/metrics", lines), expected, "{lines:?}");
        }
        assert_eq!(gate.refused_count(), 14);
        let old = |path: &str| status_of(&gate, Version::HTTP_10, path, &[HERE]);
        assert_eq!((old("/metrics"), old("/health")), (403, 200));
        assert_eq!(status(&gate, "/health", &[HERE, ("via", "1.1 a")]), 200, "a balancer's check");
    }

    #[test]
    fn with_a_key_it_is_asked_for_wherever_one_is() {
        for is_local in [true, false] {
            let gate = Gate::new("secret".to_owned(), is_local, true);
            for (lines, expected) in [
                (&[HERE, KEY][..], 200),
                (&[("host", "throng.internal:9000"), KEY], 200),
                (&[HERE, ("authorization", "bearer  secret")], 200),
                (&[HERE], 401),
                (&[HERE, ("authorization", "Bearer secre")], 401),
                (&[HERE, ("authorization", "Bearer secrett")], 401),
                (&[HERE, ("authorization", "Bearer ")], 401),
                (&[HERE, ("authorization", "secret")], 401),
                (&[HERE, ("authorization", "apikey secret")], 401),
                (&[HERE, KEY, ("origin", "https://evil.example")], 200),
                (&[HERE, ("origin", "https://evil.example")], 403),
            ] {
                assert_eq!(status(&gate, "/metrics", lines), expected, "{lines:?}");
                assert_eq!(status(&gate, "/", lines), expected, "{lines:?}");
                assert_eq!(status(&gate, "/nothing", lines), expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn beyond_loopback_nothing_is_told_without_a_key_but_that_it_lives() {
        let gate = Gate::new(String::new(), false, false);
        for path in ["/metrics", "/", "/api/publish", "/api"] {
            assert_eq!(status(&gate, path, &[("host", "10.0.0.1:9000")]), 403, "{path}");
        }
        for path in ["/health", "/ready"] {
            assert_eq!(status(&gate, path, &[("host", "throng.internal:9000")]), 200, "{path}");
            assert_eq!(status(&gate, path, &[HERE, ("origin", "https://evil.example")]), 403, "{path}");
        }
        // The server API has keys of its own, or it needs this one.
        assert_eq!(status(&Gate::new(String::new(), false, true), "/api/publish", &[HERE]), 200);
        assert_eq!(status(&Gate::new("secret".to_owned(), false, false), "/api/publish", &[HERE]), 401);
        assert_eq!(status(&Gate::new("secret".to_owned(), false, false), "/api/publish", &[HERE, KEY]), 200);
    }

    #[test]
    fn metrics_that_were_asked_for_are_open_while_there_is_no_key() {
        let paths = ControlPaths { has_open_metrics: true, ..ControlPaths::default() };
        for is_local in [true, false] {
            let gate = Gate::new(String::new(), is_local, false).at(paths.clone());
            for host in ["10.0.0.1:9000", "throng.internal:9000", "127.0.0.1:9000"] {
                assert_eq!(status(&gate, "/metrics", &[("host", host)]), 200, "{host}");
            }
            for path in ["/", "/metrics/x", "/api/publish"] {
                assert_eq!(status(&gate, path, &[("host", "throng.internal:9000")]), 403, "{path}");
            }
            assert_eq!(status(&gate, "/metrics", &[HERE, ("origin", "https://evil.example")]), 403);
            gate.renew("secret".to_owned(), false);
            assert_eq!(status(&gate, "/metrics", &[HERE]), 401);
            assert_eq!(status(&gate, "/metrics", &[HERE, KEY]), 200);
        }
    }

    /// For all paths and all clients.
    #[test]
    fn exactly_one_host_that_can_be_one_is_needed() {
        let open = Gate::new(String::new(), true, true);
        let keyed = Gate::new("secret".to_owned(), false, false);
        for path in ["/metrics", "/health", "/ready", "/api/publish", "/nothing"] {
            for (gate, key) in [(&open, None), (&keyed, Some(KEY))] {
                let asked = |version, hosts: &[&str]| {
                    let hosts = hosts.iter().map(|&host| ("host", host));
                    status_of(gate, version, path, &key.into_iter().chain(hosts).collect::<Vec<_>>())
                };
                assert_eq!(asked(Version::HTTP_11, &["127.0.0.1:9000"]), 200, "{path}");
                for hosts in [
                    &[][..],
                    &["127.0.0.1:9000", "127.0.0.1:9000"],
                    &["127.0.0.1", "evil.example"],
                    &["[::1].evil.com"],
                    &["[::1]evil.com:9000"],
                    &["localhost:evil.com"],
                    &["127.0.0.1:80:evil.com"],
                    &["127.0.0.1, evil.com"],
                    &["evil@127.0.0.1"],
                    &["\u{fc}"],
                ] {
                    assert_eq!(asked(Version::HTTP_11, hosts), 400, "{path} {hosts:?}");
                }
                // HTTP/1.0 needs no Host: checks of load balancers send none.
                assert_eq!(asked(Version::HTTP_10, &["127.0.0.1", "127.0.0.1"]), 400, "{path}");
                let needs_none = key.is_some() || path != "/metrics" && path != "/nothing";
                assert_eq!(asked(Version::HTTP_10, &[]), if needs_none { 200 } else { 403 }, "{path}");
            }
        }
    }

    #[test]
    fn the_host_of_a_whole_url_goes_before_the_other() {
        let gate = Gate::new(String::new(), true, true);
        let asked = |target: &str, lines: &[(&str, &str)]| status_of(&gate, Version::HTTP_11, target, lines);
        assert_eq!(asked("http://127.0.0.1:9000/metrics", &[("host", "evil.example")]), 200);
        assert_eq!(asked("http://evil.example/metrics", &[HERE]), 403);
        let page = [HERE, ("origin", "http://127.0.0.1:9000")];
        assert_eq!(asked("http://127.0.0.1:9000/metrics", &page), 200);
        assert_eq!(asked("http://127.0.0.1:9001/metrics", &page), 403);
        assert_eq!(asked("http://user@127.0.0.1/metrics", &[HERE]), 400);
    }
}
