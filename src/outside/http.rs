//! The HTTP client of hooks and key sets: one request and one answer, both of limited size, within a timeout.
//!
//! Connections are kept alive and shared. A few redirects are followed, within the scheme of the URL. TLS is rustls,
//! by default with the roots that browsers trust. A request that was certainly not answered, on a connection that the
//! other side may have closed for being idle, is sent once more ([`super::watched`]).

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;

use super::options::HookTls;
use super::redirect;
use super::trust::{self, Trust};
use super::watched::{self, Watched};

/// Maximum size of an answer's body, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The encodings of answers that are read, for `Accept-Encoding`; as Go's client, which Centrifugo uses.
pub(super) const ENCODINGS: &str = "gzip";
/// Maximum number of idle connections kept alive to one host.
const IDLE_CONNECTIONS_MAX: usize = 255;
/// Time after which an idle connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

type Connections = legacy::Client<Watched<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// Maximum number of redirects followed.
const REDIRECTS_MAX: usize = 3;
/// Maximum number of fields in an answer's head.
const FIELDS_MAX: usize = 1024;

/// A client for HTTP and HTTPS. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Certificate authorities that are trusted unless a hook has its own.
    roots: Arc<RootCertStore>,
    /// Keeps connections alive for the next requests.
    kept: Connections,
    /// Opens a connection for each request.
    fresh: Connections,
}

/// An answer's body, and whether its request had to be sent a second time.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) body: Bytes,
    pub(super) is_second: bool,
}

impl Answered {
    /// An empty object.
    pub(super) fn nothing() -> Self {
        Self { body: Bytes::from_static(b"{}"), is_second: false }
    }
}

/// The reason why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The timeout has passed.
    Timeout,
    /// The timeout has passed before there was a slot for the request.
    NoSlot,
    /// No connection, or the connection failed.
    Broken(String),
    /// A status other than 200.
    Status(StatusCode),
    /// A body larger than 1 MiB.
    TooLarge,
    /// Status 200, but not the expected content.
    Nonsense(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::NoSlot => f.write_str("no free slot in time (hook_requests_max)"),
            Self::Broken(why) => f.write_str(why),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge => write!(f, "an answer of more than {ANSWER_BYTES_MAX} bytes"),
            Self::Nonsense(why) => write!(f, "an answer that is not understood: {why}"),
        }
    }
}

impl Client {
    /// A client that trusts these roots.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn trusting(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let trust = Trust { config: trust::plain(roots.clone())?, name: None };
        Ok(Self::over(trust, Arc::new(roots)))
    }

    /// A client with connections of its own and these TLS options.
    ///
    /// # Errors
    /// The invalid option, and the reason.
    pub(super) fn with(&self, tls: &HookTls) -> Result<Self, trust::Fault> {
        Ok(Self::over(trust::of(tls, &self.roots)?, Arc::clone(&self.roots)))
    }

    fn over(trust: Trust, roots: Arc<RootCertStore>) -> Self {
        let builder = HttpsConnectorBuilder::new().with_tls_config(trust.config).https_or_http();
        let connector = match trust.name {
            Some(name) => builder.with_server_name_resolver(name).enable_http1().build(),
            None => builder.enable_http1().build(),
        };
        let client = |idle_max| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(idle_max)
                .pool_timer(TokioTimer::new())
                .http1_max_headers(FIELDS_MAX)
                .build(Watched(connector.clone()))
        };
        Self { roots, kept: client(IDLE_CONNECTIONS_MAX), fresh: client(0) }
    }

    /// Returns the body of the answer, which must have status 200. Must be awaited on a runtime with I/O.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(super) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<Answered, Failure> {
        let mut is_second = false;
        let mut redirects = 0;
        let response = loop {
            let (response, again) = self.send(request.clone()).await?;
            is_second |= again;
            match redirect::follow(&request, &response) {
                Some(next) if redirects < REDIRECTS_MAX => request = next,
                Some(_) | None => break response,
            }
            redirects += 1;
        };
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status()));
        }
        let is_packed = response.headers().get(header::CONTENT_ENCODING).is_some_and(|value| {
            value.as_bytes().eq_ignore_ascii_case(b"gzip") || value.as_bytes().eq_ignore_ascii_case(b"x-gzip")
        });
        match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) if is_packed => Ok(Answered { body: unpacked(&body.to_bytes())?, is_second }),
            Ok(body) => Ok(Answered { body: body.to_bytes(), is_second }),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
            Err(error) => Err(Failure::Broken(chain(&*error))),
        }
    }

    /// Sends one request; also returns whether it had to be sent a second time.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, bool), Failure> {
        let first = self.kept.request(request.clone()).await;
        let is_second = first.as_ref().is_err_and(watched::is_unheard);
        let response = if is_second { self.fresh.request(request).await } else { first };
        response.map(|response| (response, is_second)).map_err(|error| Failure::Broken(chain(&error)))
    }
}

/// Decompresses a gzip body (RFC 1952).
fn unpacked(body: &[u8]) -> Result<Bytes, Failure> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let read = MultiGzDecoder::new(body).take(limit).read_to_end(&mut unpacked);
    match read {
        Ok(_) if unpacked.len() > ANSWER_BYTES_MAX => Err(Failure::TooLarge),
        Ok(_) => Ok(unpacked.into()),
        Err(error) => Err(Failure::Nonsense(format!("not gzip: {error}"))),
    }
}

/// The result of `answer`, or [`Failure::Timeout`]. Must be awaited on a runtime with time.
pub(super) async fn within<T>(
    timeout: Duration,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(timeout, answer).await.unwrap_or(Err(Failure::Timeout))
}

/// An error with its causes: hyper's own text only names the step that failed.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The defect of a URL with credentials (RFC 3986, section 3.2.1).
pub(super) const USERINFO: &str = "a URL with a user name or password in it is not supported";

/// Parses a URL of the configuration.
///
/// # Errors
/// The defect of the URL.
pub(super) fn parse_url(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "not a URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("not a URL with http or https");
    }
    match uri.authority() {
        None => Err("a URL without a host"),
        Some(authority) if authority.as_str().contains('@') => Err(USERINFO),
        Some(_) => Ok(uri),
    }
}
