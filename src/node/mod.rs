//! Handles to a running server, for any thread: publications and queries, certificates, reloads of the configuration.
//!
//! Invariant: nothing here knows how shards are started or what serves HTTP. Requests from outside the shards (the
//! server API, an embedder, the control thread) go through these handles, and on in letters.
//!
//! `handle` has [`Node`], `publisher` [`Publisher`], `options` the parameters of a publication; `sockets` speaks to Socket.IO, `pending` returns
//! answers, `results` has their types, `shards` finds a channel's home, `post` collects the letters of a thread.
//! `certificates` and `reload` serve reloads.

mod certificates;
mod handle;
mod options;
mod pending;
mod post;
mod publisher;
mod reload;
mod results;
mod shards;
mod sockets;

pub(crate) use certificates::startup_error;
pub use certificates::{
    Certificates, check as check_certificates, is_certificate_error, now_s, read as read_pem,
};
pub use handle::Node;
pub(crate) use handle::PATTERN_RESERVED;
pub(crate) use options::IDEMPOTENCY_KEY_BYTES_MAX;
pub use options::PublishOptions;
pub use pending::{Failure, Pending};
pub(crate) use pending::{Relay, Way};
pub(crate) use post::ThreadPost;
pub use publisher::{Overloaded, Publisher};
pub use reload::{NotReloaded, Reloader};
pub(crate) use results::{History, Info, PresenceStats};
pub use shards::Wiring;
pub use sockets::{Acks, BadEmit, SocketMessage};
