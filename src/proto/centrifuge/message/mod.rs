//! The protocol's messages, independent of the encoding: [`super::json`] and [`super::protobuf`] read and write them.
//!
//! `request` has those from clients, `reply` those to clients, `apart` the payloads of publications. A payload is one
//! JSON value in the JSON encoding and any bytes in Protobuf; an empty one is none.

mod apart;
mod reply;
mod request;

pub use apart::{Apart, Data};
pub use reply::{Answer, ChannelRef, ClientInfo, ConnectResult, Publication, Push, SubscribeResult};
pub use request::{
    Command, Connect, FLAG_COMPACTION, FLAG_UNRECOVERABLE_ERROR, HistoryRequest, Request, Subscribe,
};

/// The encoding of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// One JSON object per line.
    #[default]
    Json,
    /// Each message preceded by its length as a varint.
    Protobuf,
}

impl Encoding {
    /// Name of the encoding for hooks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}
