//! `POST /api/reload`: reloads the configuration; the answer names the changes, and those that need a restart.
//!
//! It has the keys and errors of the API, but is not allowed in a batch: it changes the access rules.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{Api, ApiError, asks_for_status, status_of};
use crate::control::gate::is_admitted;
use crate::node::Reloader;
use crate::proto::centrifuge::Error;

/// The answer to a request; its body is ignored.
pub(super) async fn handle(api: Arc<Api>, reloader: Option<Reloader>, request: Request) -> Response {
    if !is_admitted(&request)
        && let Err(refusal) = api.guard.check(request.headers(), request.uri().query())
    {
        api.counts.refused.fetch_add(1, Relaxed);
        return refusal.into_response();
    }
    api.counts.requests.fetch_add(1, Relaxed);
    let tells_by_status = api.guard.errors_by_status() || asks_for_status(request.headers());
    let outcome = match reloader.map(|reloader| reloader.reload()) {
        // An embedder has set no function for reading the configuration.
        None => Err(Error::NOT_AVAILABLE.into()),
        Some(Ok(changes)) => Ok(changes),
        Some(Err(why)) => Err(ApiError { message: Cow::Owned(why.to_string()), ..Error::BAD_REQUEST.into() }),
    };
    match outcome {
        Ok(changes) => {
            let result = json!({ "changed": changes.taken, "needs_restart": changes.needs_restart });
            answer(StatusCode::OK, &json!({ "result": result }))
        }
        Err(ApiError { code, message }) => {
            api.counts.count_error(code);
            let error = json!({ "code": code, "message": message });
            if tells_by_status {
                answer(status_of(code), &error)
            } else {
                answer(StatusCode::OK, &json!({ "error": error }))
            }
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
