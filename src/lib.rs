//! throng: a real-time connection engine for Linux.

pub mod base;
pub mod config;
pub mod control;
pub mod doctor;
pub mod hub;
pub mod load;
pub mod net;
pub mod proto;
pub mod server;
pub mod session;
pub mod shard;
