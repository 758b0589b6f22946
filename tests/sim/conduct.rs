//! The messages of a simulated client, and its handling of the answers: a [`Conduct`] writes to an [`Io`].

use std::collections::VecDeque;

use crate::model::Model;
use crate::rng::Rng;
use crate::wire::{self, Frame};

/// A client's output.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) who: u32,
    pub(crate) now_us: u64,
    pub(crate) rng: Rng,
    /// Bytes to send.
    pub(crate) out: Vec<u8>,
    /// Payloads of pings without a pong yet.
    pub(crate) pings: VecDeque<Vec<u8>>,
}

impl Io {
    pub(crate) fn say(&mut self, opcode: u8, payload: &[u8]) {
        self.pings.extend(wire::put_message(&mut self.out, opcode, payload, &mut self.rng));
    }
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Not before its time.
    Life,
    /// With this HTTP status.
    Status(u16),
    /// With this close code.
    Code(u16),
}

/// A client's messages, and its handling of the answers.
pub(crate) trait Conduct: std::fmt::Debug {
    /// Sends the first bytes, as soon as the connection exists.
    fn hello(&mut self, io: &mut Io);
    /// Called when the handshake is complete.
    fn opened(&mut self, io: &mut Io, model: &mut Model);
    /// A data message arrived.
    fn message(&mut self, frame: Frame, io: &mut Io, model: &mut Model);
    /// Time to do something.
    fn act(&mut self, io: &mut Io, model: &mut Model);
    /// The connection is over.
    fn over(&mut self, model: &mut Model);
    /// Panics when something is outstanding although nothing is under way any more.
    fn check_settled(&self, who: u32);
    /// How it must end, and until when, counted from the first byte of its time.
    fn expect(&self) -> (Expect, Option<u64>) {
        (Expect::Life, None)
    }
    /// Called when the run has settled: sends requests whose results can be compared now.
    fn audit(&mut self, _: &mut Io) {}
    /// Whether it usually leaves soon.
    fn is_restless(&self) -> bool {
        false
    }
    /// Whether the server may be ordered to close it with this code.
    fn obeys(&self, _code: u16) -> bool {
        false
    }
    /// The close code of a drain.
    fn drain_code(&self) -> u16;
    /// Whether it answers pings of the WebSocket protocol.
    fn answers_pings(&self) -> bool {
        true
    }
    /// Whether it reads at all.
    fn reads(&self) -> bool {
        true
    }
}
