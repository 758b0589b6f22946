//! Layer 1: protocols without I/O. Bytes in, values out; time is never read, sockets are never seen.

mod any_case;
pub mod authority;
pub mod centrifuge;
pub mod chunked;
pub mod forwarded;
pub mod fossil;
pub mod http;
pub mod json;
mod last;
pub mod origin;
pub mod proxy;
pub mod ws;
