//! Calls of Centrifuge clients to a handler, and their results.

use std::borrow::Cow;

use super::Handler;
use crate::proto::centrifuge::codes::Error;
use crate::session::ClientId;

/// A call of a Centrifuge client.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The connection.
    pub client: ClientId,
    /// The client's user; empty when anonymous.
    pub user: &'c str,
    /// Name of the method; may be empty.
    pub method: &'c str,
    /// The argument: JSON from clients of the JSON protocol, any bytes from those of the Protobuf protocol.
    pub data: &'c [u8],
}

/// The result of a call.
#[derive(Clone, Debug)]
pub enum Outcome<'c> {
    /// The handler serves no such call.
    NotServed,
    /// The result: JSON for clients of the JSON protocol.
    Result(Cow<'c, [u8]>),
    /// An error of the application.
    Error {
        /// 400–1999 for the application's errors, 100–399 for the protocol's. Any other code becomes error 100.
        code: u32,
        /// The error's message.
        message: Cow<'static, str>,
    },
}

impl<'c> Outcome<'c> {
    /// The handler's result of a call; an error with an invalid code becomes an internal error.
    pub(in crate::session) fn of<H: Handler>(handler: &mut H, call: &Call<'c>) -> Self {
        match handler.call(call) {
            Self::Error { code, .. } if !(100..2000).contains(&code) => {
                Self::Error { code: Error::INTERNAL.code, message: Error::INTERNAL.message.into() }
            }
            outcome @ (Self::NotServed | Self::Result(_) | Self::Error { .. }) => outcome,
        }
    }
}
