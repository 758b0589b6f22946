//! The description of the API as OpenAPI 3.1: a file, with the version inserted.

use axum::http::header;
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("openapi.json");
/// The placeholder for the version in the file.
const VERSION: &str = "0.0.0";

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text())
}

/// The description with the version of this build.
pub(super) fn text() -> String {
    DOCUMENT.replacen(VERSION, env!("CARGO_PKG_VERSION"), 1)
}
