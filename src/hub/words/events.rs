//! Questions and reports of the server's own session to the application's hooks, about its sockets.

use std::sync::Arc;

/// A request to the application's hook for events.
#[derive(Debug, PartialEq)]
pub struct EventAsk {
    /// The id of the socket.
    pub sid: Box<str>,
    /// Name of its group.
    pub group: Arc<str>,
    /// Members of the request's object, in JSON.
    pub fields: String,
    /// The number of events.
    pub count: usize,
    /// Whether the hook gets the private channels of the group that the connection has entered.
    pub wants_rooms: bool,
}

/// The end of a socket, for the application's hook.
#[derive(Debug, PartialEq)]
pub struct EventEnd {
    /// The id of its connection.
    pub client: Box<str>,
    /// The id of the socket.
    pub sid: Box<str>,
    /// Name of its group.
    pub group: Arc<str>,
    /// Members of the report's object, in JSON.
    pub fields: String,
    /// The application's data of the socket, JSON.
    pub state: Option<String>,
}
