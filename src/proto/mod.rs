//! Protocols without I/O. Bytes in, values out; nothing here reads a clock or knows a socket.
//!
//! * HTTP: `http` (request heads), `chunked` (bodies), `authority`, `origin`, `forwarded`; `proxy` (PROXY protocol).
//! * `ws`: WebSocket frames, handshake, compression.
//! * `centrifuge`: messages of the Centrifuge protocol in JSON and Protobuf, codes, filters.
//! * `engine`: packets and polling bodies of Engine.IO; `socketio`: packets of Socket.IO in text and msgpack.
//! * JSON: `json` (repeated keys), `any_case` (names in any case), `last`, `payload` (JSON or base64). Deltas: `fossil`.

mod any_case;
pub(crate) mod authority;
pub mod centrifuge;
pub(crate) mod chunked;
pub mod engine;
pub(crate) mod forwarded;
pub mod fossil;
pub mod http;
pub(crate) mod json;
mod last;
pub(crate) mod origin;
pub(crate) mod payload;
pub mod proxy;
pub mod socketio;
pub mod ws;
