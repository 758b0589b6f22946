//! The Centrifuge client protocol, version 2, in its JSON form.
//!
//! [`command`] reads what clients send, [`reply`] writes what they get, [`codes`] lists the numbers that both sides
//! know. Payloads (`data`) pass through as the raw JSON that they arrived as.

pub mod codes;
pub mod command;
pub mod filter;
pub mod message;
pub mod reply;

pub use codes::{Disconnect, Error};
pub use command::{Command, Request};
