//! The API's own description, as OpenAPI 3.1: a file, with this version put in.

use axum::http::header;
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("openapi.json");
/// What stands in the file in place of the version.
const VERSION: &str = "0.0.0";

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text())
}

/// The document.
pub(super) fn text() -> String {
    DOCUMENT.replacen(VERSION, env!("CARGO_PKG_VERSION"), 1)
}
