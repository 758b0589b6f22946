//! The answers of a node's queries.

use std::sync::Arc;

use crate::hub::{Position, Publication};

/// Publications of a channel's history.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The requested publications.
    pub publications: Vec<Arc<Publication>>,
    /// The stream's position.
    pub position: Position,
}

/// Numbers of connections and users in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Number of connections.
    pub client_count: u32,
    /// Number of different users.
    pub user_count: u32,
}

/// Properties and counts of a node. Counts are sums of the shards' counts, each read at a recent moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Unique id of this process; a restart changes it. Clients receive it as well.
    pub uid: String,
    /// The host name and the port of the first listener.
    pub name: String,
    /// The server's version.
    pub version: &'static str,
    /// Number of connections past their handshake.
    pub client_count: u64,
    /// Number of channels.
    pub channel_count: u64,
    /// Number of subscriptions of all connections.
    pub subscription_count: u64,
    /// Time since the start, in seconds.
    pub uptime_s: u64,
}
