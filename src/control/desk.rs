//! The threads that answer requests of the control listener and requests handed over by shards.
//!
//! Invariant: their runtimes are made before any shard has a descriptor table of its own, since shards wake them; and
//! each request that is handed over is answered once, even if its task ends early.
//!
//! One thread answers all requests of a connection, so that they are executed in order.

use std::io;
use std::sync::Arc;
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tower_service::Service as _;

use super::api::{self, Api, ERROR_MODE, ERRORS_BY_STATUS};
use super::gate::{Admitted, Gate};
use super::http::redirected;
use super::{ControlRuntime, runtime};
use crate::node::{ThreadPost, Way};
use crate::session::{PlainRequest, PlainResponse};
use crate::shard::desk::{Desk, Handed, Receipt};
use crate::shard::mailbox::{Letter, Mailbox};

/// Threads that have not started.
#[derive(Debug)]
pub(crate) struct ApiThreads(Vec<Prepared>);

#[derive(Debug)]
struct Prepared {
    runtime: ControlRuntime,
    post: Arc<ThreadPost>,
}

/// Takes requests from shards.
#[derive(Debug)]
struct Front(Vec<Arc<ThreadPost>>);

impl Desk for Front {
    fn hand_over(&self, requests: &mut Vec<Handed>) {
        for request in requests.drain(..) {
            let at = request.receipt.conn.index() as usize % self.0.len();
            self.0[at].leave_request(request);
        }
        self.0.iter().for_each(|post| post.wake());
    }
}

impl ApiThreads {
    /// Prepares `count` threads, at least one.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub(crate) fn prepare(count: usize, mailboxes: &Arc<[Mailbox]>) -> io::Result<Self> {
        let one = |_| {
            let post = Arc::new(ThreadPost::new(Arc::clone(mailboxes)));
            Ok(Prepared { runtime: runtime()?, post })
        };
        (0..count.max(1)).map(one).collect::<io::Result<_>>().map(Self)
    }

    /// The desk for shards. Requests that are handed over before the threads start are queued.
    pub(crate) fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(Front(self.0.iter().map(|one| Arc::clone(&one.post)).collect()))
    }

    /// Starts the threads. `paths` makes the routes of a thread, from the API for that thread.
    pub(super) fn begin(
        self,
        api: Option<Api>,
        gate: &Arc<Gate>,
        paths: impl Fn(Option<Arc<Api>>) -> Router,
    ) -> io::Result<Serving> {
        let mut serving = Serving { servers: Vec::new(), ends: Vec::new() };
        for (number, Prepared { runtime, post }) in self.0.into_iter().enumerate() {
            let api = api.as_ref().map(|api| Arc::new(api.by(Way::Together(Arc::clone(&post)))));
            let router = paths(api.clone());
            serving.servers.push(Server {
                handle: runtime.handle().clone(),
                router: router.clone(),
                api: api.clone(),
            });
            let (end, ended) = oneshot::channel();
            serving.ends.push(end);
            let clerk = Arc::new(Clerk { api, router, gate: Arc::clone(gate), post: Arc::clone(&post) });
            let run = move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = post.run(|request| clerk.take(request)) => {}
                        // The sender was dropped.
                        _ = ended => {}
                    }
                });
            };
            thread::Builder::new().name(format!("api-{number}")).spawn(run)?;
        }
        Ok(serving)
    }
}

/// Running threads; they end when this is dropped.
pub(super) struct Serving {
    servers: Vec<Server>,
    ends: Vec<oneshot::Sender<()>>,
}

impl Serving {
    /// The servers for connections of the control listener.
    pub(super) fn servers(&self) -> Vec<Server> {
        self.servers.clone()
    }
}

/// A thread's runtime, its routes and its API, for connections of the control listener.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) handle: Handle,
    pub(super) router: Router,
    pub(super) api: Option<Arc<Api>>,
}

/// Answers the requests that shards hand over to one thread.
struct Clerk {
    api: Option<Arc<Api>>,
    router: Router,
    gate: Arc<Gate>,
    post: Arc<ThreadPost>,
}

/// A pending answer; when dropped, an error is sent.
struct Debt {
    receipt: Option<Receipt>,
    post: Arc<ThreadPost>,
}

impl Debt {
    fn pay(mut self, response: PlainResponse) {
        self.settle(response);
    }

    fn settle(&mut self, response: PlainResponse) {
        if let Some(receipt) = self.receipt.take() {
            let letter = Letter::Served { receipt, response: Some(Box::new(response)) };
            self.post.send(usize::from(receipt.shard), letter);
        }
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.settle(PlainResponse::text("500 Internal Server Error", "the request was not answered\n"));
    }
}

const JSON: &str = "200 OK\r\nContent-Type: application/json\r\n";

impl Clerk {
    /// Starts to answer a request.
    fn take(self: &Arc<Self>, Handed { receipt, request, body }: Handed) {
        let debt = Debt { receipt: Some(receipt), post: Arc::clone(&self.post) };
        let clerk = Arc::clone(self);
        tokio::spawn(async move { debt.pay(clerk.answer(&request, &body).await) });
    }

    async fn answer(&self, request: &PlainRequest, body: &[u8]) -> PlainResponse {
        let method = self.gate.of_api(&request.path).and_then(api::method_named);
        match (&self.api, method) {
            // A shorter way for most requests.
            (Some(api), Some(method)) if request.method == "POST" => {
                if request.has_key_in_query {
                    api.note_key_in_query();
                }
                let wants = |(name, value): &(&str, String)| *name == ERROR_MODE && value == ERRORS_BY_STATUS;
                match api.answer(method, request.headers.iter().any(wants), body).await {
                    Ok((StatusCode::OK, body)) => PlainResponse { head: JSON.into(), body },
                    Ok((status, body)) => PlainResponse {
                        head: head(status, &[("Content-Type", "application/json")]).into(),
                        body,
                    },
                    Err(broken) => PlainResponse::text("400 Bad Request", &broken),
                }
            }
            _ => self.route(request, body).await,
        }
    }

    /// Answers a request like one of the control listener.
    async fn route(&self, request: &PlainRequest, body: &[u8]) -> PlainResponse {
        // No route has two slashes in a row; the redirect keeps the query, which the router would drop.
        if let Some(meant) = redirected(&request.path, request.query.as_deref()) {
            let head = head(StatusCode::TEMPORARY_REDIRECT, &[("Location", &meant)]);
            return PlainResponse { head: head.into(), body: Vec::new() };
        }
        // A HEAD request has the answer of GET, without the body, which is left out on writing.
        let method = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
        let mut plain = Request::builder().method(method).uri(request.path.as_str());
        for (name, value) in &request.headers {
            plain = plain.header(*name, value.as_str());
        }
        let Ok(plain) = plain.extension(Admitted).body(Body::from(body.to_vec())) else {
            return PlainResponse::text("400 Bad Request", "this request cannot be answered\n");
        };
        let Ok(response) = self.router.clone().call(plain).await;
        plain_response(response).await
    }
}

/// The status line and the header lines.
fn head(status: StatusCode, lines: &[(&str, &str)]) -> String {
    let mut head = format!("{} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    for (name, value) in lines {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    head
}

async fn plain_response(response: Response<Body>) -> PlainResponse {
    let (parts, body) = response.into_parts();
    let kept = [header::CONTENT_TYPE, header::ALLOW, header::RETRY_AFTER, header::LOCATION];
    let lines = kept.iter().filter_map(|name| {
        let value: &HeaderValue = parts.headers.get(name)?;
        Some((name.as_str(), value.to_str().ok()?))
    });
    let head = head(parts.status, &lines.collect::<Vec<_>>());
    // Answers of routes are complete and in memory.
    let body = axum::body::to_bytes(body, usize::MAX).await.map_or_else(|_| Vec::new(), Into::into);
    PlainResponse { head: head.into(), body }
}
