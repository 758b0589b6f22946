//! Access to the server API: keys, and protection against requests of foreign web pages.
//!
//! Invariant: a page of another site cannot cause anything without a key, even if no key is required. Its requests
//! carry an `Origin`, which is refused unless it names this listener by an address or by `localhost`: the owner of
//! any other name could make it resolve to this machine. A form cannot send a JSON content type.

use axum::http::{HeaderMap, StatusCode, header};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::super::gate::{self, Refusal};
use crate::config::ApiOptions;
use crate::proto::http::query_value;
use crate::session::desk::Keys;

/// The access rules for requests. Clones share them, also after a change.
#[derive(Clone)]
pub(in super::super) struct Guard {
    access: Arc<RwLock<Access>>,
    /// Whether the warning about a key in a query was logged.
    is_warned: Arc<AtomicBool>,
}

struct Access {
    keys: Keys,
    insecure: bool,
    errors_by_status: bool,
}

impl fmt::Debug for Guard {
    /// Does not print the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("insecure", &self.access().insecure).finish_non_exhaustive()
    }
}

impl Guard {
    pub(super) fn new(options: ApiOptions) -> Self {
        Self { access: Arc::new(RwLock::new(Access::of(options))), is_warned: Arc::default() }
    }

    /// Replaces the rules by those of other options.
    pub(in super::super) fn renew(&self, options: ApiOptions) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = Access::of(options);
    }

    fn access(&self) -> RwLockReadGuard<'_, Access> {
        self.access.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether errors set the HTTP status for every client.
    pub(super) fn errors_by_status(&self) -> bool {
        self.access().errors_by_status
    }

    /// Whether no key is required.
    pub(in super::super) fn is_open(&self) -> bool {
        self.access().insecure
    }

    /// Checks a request. `query` is that of the request's target.
    pub(super) fn check(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), Refusal> {
        let access = self.access();
        // A page that was made to send the request does not know a key.
        if access.keys.has(key(headers).unwrap_or_default()) {
            return Ok(());
        }
        if query
            .and_then(|query| query_value(query, "api_key"))
            .is_some_and(|key| access.keys.has(key.as_bytes()))
        {
            self.note_key_in_query();
            return Ok(());
        }
        gate::check_origin(headers)?;
        if access.insecure {
            // A form cannot send the header of a key; without a key, the content type must be one that it cannot
            // send.
            return if is_json(headers) {
                Ok(())
            } else {
                Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json\n"))
            };
        }
        Err((StatusCode::UNAUTHORIZED, "a key is needed: X-API-Key\n"))
    }
}

impl Guard {
    /// Logs a warning, once, about a key in a query, as libraries of earlier versions send it.
    pub(super) fn note_key_in_query(&self) {
        if !self.is_warned.swap(true, Relaxed) {
            tracing::warn!(
                "a request of the server API had its key in the query (api_key), where proxies may log it: send it as \
                 X-API-Key"
            );
        }
    }
}

impl Access {
    fn of(options: ApiOptions) -> Self {
        let ApiOptions { keys, insecure, errors_by_status, .. } = options;
        Self { keys: Keys::new(keys), insecure, errors_by_status }
    }
}

/// The key in a request's headers: `X-API-Key: KEY`, or `Authorization: apikey KEY`.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes());
    }
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("apikey").then(|| key.trim().as_bytes())
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn check(keys: &[&str], insecure: bool, lines: &[(&str, &str)]) -> u16 {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        let guard = Guard::new(ApiOptions { keys, insecure, ..ApiOptions::default() });
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        guard.check(&headers, None).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn a_key_may_stand_in_the_query() {
        let keys = vec!["one+two".to_owned()];
        let guard = Guard::new(ApiOptions { keys, ..ApiOptions::default() });
        for (query, is_let_in) in [
            (Some("api_key=one%2Btwo"), true),
            (Some("a=b&api_key=one%2Btwo"), true),
            (Some("api_key=one+two"), false),
            (Some("api_key="), false),
            (Some("key=one%2Btwo"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(guard.check(&HeaderMap::new(), query).is_ok(), is_let_in, "{query:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "wrong".parse().unwrap());
        assert!(guard.check(&headers, Some("api_key=one%2Btwo")).is_ok());
    }

    #[test]
    fn one_of_the_keys_opens() {
        let cases = [
            (&["one", "two"][..], &[("x-api-key", "two")][..], 200),
            (&["one", "two"], &[("x-api-key", "one")], 200),
            (&["one"], &[("authorization", "apikey one")], 200),
            (&["one"], &[("authorization", "ApiKey  one")], 200),
            (&["one"], &[("authorization", "one")], 401),
            (&["one"], &[("authorization", "bearer one")], 401),
            (&["one"], &[("x-api-key", "on")], 401),
            (&["one"], &[("x-api-key", "onee")], 401),
            (&["one"], &[("x-api-key", "")], 401),
            (&["one"], &[("x-api-key", "two"), ("authorization", "apikey one")], 401),
            (&["one"], &[], 401),
            (&[], &[("x-api-key", "")], 401),
            (&[""], &[("x-api-key", "")], 401),
            (&[], &[], 401),
        ];
        for (keys, lines, status) in cases {
            assert_eq!(check(keys, false, lines), status, "{keys:?} {lines:?}");
        }
    }

    #[test]
    fn without_keys_what_a_form_could_send_is_refused() {
        let cases = [
            (Some("application/json"), 200),
            (Some("Application/JSON; charset=utf-8"), 200),
            (Some("text/plain"), 415),
            (Some("application/x-www-form-urlencoded"), 415),
            (Some("text/plain; application/json"), 415),
            (Some(""), 415),
            (None, 415),
        ];
        for (kind, status) in cases {
            let lines: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
            assert_eq!(check(&[], true, &lines), status, "{kind:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_they_know_a_key() {
        let cases = [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", 200),
            ("http://localhost:9000", "localhost:9000", 200),
            ("http://LocalHost:9000", "localhost:9000", 200),
            ("http://[::1]:9000", "[::1]:9000", 200),
            ("https://10.1.2.3", "10.1.2.3", 200),
            ("http://127.0.0.1:8000", "127.0.0.1:9000", 403),
            ("http://localhost:9000", "127.0.0.1:9000", 403),
            ("http://evil.example", "127.0.0.1:9000", 403),
            // A foreign name that resolves to this machine.
            ("http://evil.example:9000", "evil.example:9000", 403),
            ("http://localhost.evil.example:9000", "localhost.evil.example:9000", 403),
            ("null", "127.0.0.1:9000", 403),
            ("", "127.0.0.1:9000", 403),
        ];
        for (origin, host, status) in cases {
            let lines = [("origin", origin), ("host", host), ("content-type", "application/json")];
            assert_eq!(check(&[], true, &lines), status, "{origin} {host}");
            let lines = [("origin", origin), ("host", host), ("x-api-key", "one")];
            assert_eq!(check(&["one"], false, &lines), 200, "{origin} {host} with a key");
            assert_eq!(
                check(&["one"], true, &lines),
                200,
                "{origin} {host} with a key that is not asked for"
            );
            assert_eq!(
                check(&["two"], false, &lines),
                if status == 200 { 401 } else { 403 },
                "{origin} {host}"
            );
        }
        assert_eq!(
            check(&[], true, &[("origin", "http://127.0.0.1"), ("content-type", "application/json")]),
            403
        );
    }
}
