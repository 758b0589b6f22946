//! Messages and orders of the server's own sessions to several connections.

use std::sync::Arc;

use crate::hub::socket_order::SocketOrder;
use crate::hub::socket_place::SocketPlace;
use crate::hub::{ClientInfo, DataKind};

/// A message to several channels of one group: each subscriber of any of them receives it once.
#[derive(Debug, Default, PartialEq)]
pub struct Emit {
    /// The channels; not empty.
    pub to: Box<[Arc<str>]>,
    /// The channels whose subscribers do not receive it.
    pub except: Box<[Arc<str>]>,
    /// Whether the connection itself does not.
    pub is_to_others: bool,
    /// The socket of that connection which sends it.
    pub(crate) sender: Option<SocketPlace>,
    /// Whether connections that have unsent bytes do not.
    pub is_volatile: bool,
    /// Classification of `data`.
    pub kind: DataKind,
    /// The message.
    pub data: Vec<u8>,
    /// The message as publications of those channels of `to` that other protocols share.
    pub copies: Vec<Copied>,
    /// The sender, as publisher of `copies`.
    pub info: Option<Arc<ClientInfo>>,
}

/// A message as a publication of one channel.
#[derive(Debug, PartialEq)]
pub struct Copied {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Classification of `data`.
    pub kind: DataKind,
    /// The message.
    pub data: Vec<u8>,
    /// The value of the tag `event`.
    pub event: Box<str>,
}

/// An order to the sockets of a namespace.
#[derive(Debug, PartialEq)]
pub struct OrderSockets {
    /// The order.
    pub order: SocketOrder,
    /// Whether the connection itself does not receive it.
    pub is_to_others: bool,
}
