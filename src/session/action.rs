//! What sessions ask of their shards.

use std::sync::Arc;

use crate::base::slots::Key;
use crate::proto::centrifuge::message::Request;

/// What a session asks its shard to do: all that a client can cause.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Add a raw connection to a group; the answer comes as [`super::Session::joined`].
    Join {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// Take a raw connection out of a group, if it is in it.
    Leave {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// Put a raw connection's message into a channel.
    Broadcast {
        /// Name of the channel.
        channel: Arc<str>,
        /// Whether the data is text (UTF-8).
        is_text: bool,
        /// The message.
        data: Vec<u8>,
    },
    /// Call the handler's timer at this time, in milliseconds of the shard's clock; replaces an earlier one.
    SetTimer {
        /// When.
        at_ms: u64,
    },
    /// Carry out a command of the Centrifuge protocol; the answer comes as [`super::Session::answer`] or [`super::Session::fail`].
    Command {
        /// The command's number; 0 where no reply is wanted.
        id: u32,
        /// What is asked for.
        request: Request<'static>,
    },
    /// Give this back, by [`super::Session::resume`], once the connect command before it is answered or refused, and there is
    /// room for its answer.
    Early {
        /// The command's number.
        id: u32,
        /// What is asked for.
        request: Request<'static>,
    },
    /// Hand commands that came by POST to the connection that they are for.
    Emulate {
        /// The shard of that connection, and its key there.
        place: (u16, Key),
        /// Encoded commands.
        data: Vec<u8>,
    },
}
