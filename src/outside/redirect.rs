//! The next request after a redirect (RFC 9110, 15.4), as Go's client makes it.
//!
//! Invariant: the scheme stays, so an encrypted request stays encrypted. A request to another host carries only the
//! headers of its body: the others may be credentials for the first host.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::{Parts, PathAndQuery};
use hyper::{Method, Request, Response, StatusCode, Uri};

/// The request that follows an answer; `None` unless that is a redirect that can be followed.
pub(super) fn follow<B>(asked: &Request<Full<Bytes>>, answer: &Response<B>) -> Option<Request<Full<Bytes>>> {
    let keeps_method = match answer.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return None,
    };
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    let url = resolve(asked.uri(), location)?;
    let is_same_host = url.authority() == asked.uri().authority();
    let mut next = if keeps_method || asked.method() == Method::GET {
        asked.clone()
    } else {
        let mut next = asked.clone();
        *next.method_mut() = Method::GET;
        *next.body_mut() = Full::default();
        next.headers_mut().remove(header::CONTENT_TYPE);
        next
    };
    if !is_same_host {
        let mut headers = HeaderMap::new();
        for name in [header::USER_AGENT, header::CONTENT_TYPE, header::ACCEPT] {
            headers.extend(next.headers().get(&name).map(|value| (name, value.clone())));
        }
        *next.headers_mut() = headers;
    }
    *next.uri_mut() = url;
    Some(next)
}

/// Resolves a reference to a URL; `None` if its scheme differs.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") {
        let url: Uri = location.parse().ok()?;
        let is_plain = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        return (url.scheme() == base.scheme() && is_plain).then_some(url);
    }
    if let Some(rest) = location.strip_prefix("//") {
        return resolve(base, &format!("{}://{rest}", base.scheme_str()?));
    }
    let path = match location.bytes().next() {
        None => return None,
        Some(b'/') => location.to_owned(),
        Some(b'?') => format!("{}{location}", base.path()),
        Some(_) => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        }
    };
    let mut parts = Parts::default();
    parts.scheme = base.scheme().cloned();
    parts.authority = base.authority().cloned();
    parts.path_and_query = Some(path.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(status: u16, location: &str) -> Option<Request<Full<Bytes>>> {
        let asked = Request::post("http://a:1/x/y?q")
            .header("authorization", "secret")
            .header("x-key", "secret")
            .header("content-type", "application/json")
            .body(Full::from("{}"))
            .unwrap();
        let answer = Response::builder().status(status).header("location", location).body(()).unwrap();
        follow(&asked, &answer)
    }

    #[test]
    fn references_are_resolved_within_the_scheme() {
        for (location, url) in [
            ("/z", Some("http://a:1/z")),
            ("z?b#c", Some("http://a:1/x/z?b")),
            ("?b", Some("http://a:1/x/y?b")),
            ("//b/z", Some("http://b/z")),
            ("http://a:1/z", Some("http://a:1/z")),
            ("https://a/z", None),
            ("http://u:p@b/z", None),
            ("ftp://a", None),
            ("", None),
        ] {
            let next = redirected(302, location).map(|next| next.uri().to_string());
            assert_eq!(next.as_deref(), url, "{location}");
        }
        assert!(redirected(200, "/z").is_none() && redirected(304, "/z").is_none());
    }

    #[test]
    fn a_redirect_says_whether_it_is_asked_as_before() {
        for (status, method, has_type) in [
            (301, Method::GET, false),
            (302, Method::GET, false),
            (303, Method::GET, false),
            (307, Method::POST, true),
            (308, Method::POST, true),
        ] {
            let next = redirected(status, "/z").unwrap();
            assert_eq!((next.method(), next.headers().contains_key("content-type")), (&method, has_type));
            assert!(next.headers().contains_key("x-key"));
            let elsewhere = redirected(status, "http://b/z").unwrap();
            assert!(!elsewhere.headers().contains_key("x-key"), "{status}");
            assert!(!elsewhere.headers().contains_key("authorization"), "{status}");
        }
    }
}
