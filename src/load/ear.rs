//! What a subscriber makes of the bytes that arrive: the handshake's answer, frames, messages, and the check of
//! each publication's number.
//!
//! The invariant: any split of the stream leads to the same counts, since only whole frames are consumed. Left
//! out: reading them from a socket, and keeping what is not yet whole.

use std::sync::atomic::Ordering::Relaxed;

use super::audience::{Client, Findings, Phase};
use super::board::{Board, Lane};
use super::frames;
use super::publication::{self, Arrival, Message, Scanner};
use super::script::{self, Manner, Script};

/// What became of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Consumed(usize),
    /// The connection is to be ended, for this reason.
    Broken(String),
}

/// The part of an audience that is not about sockets.
pub(super) struct Ear<'a> {
    script: &'a Script,
    board: &'a Board,
    lane: &'a Lane,
    scanner: Scanner,
    /// Connections dialled and not yet live.
    pub(super) pending: usize,
    /// Publications that arrived since the last flush.
    arrived: u64,
    pong: Vec<u8>,
    pub(super) findings: Findings,
}

impl<'a> Ear<'a> {
    pub(super) fn new(script: &'a Script, board: &'a Board, lane: &'a Lane) -> Self {
        Self {
            script,
            board,
            lane,
            scanner: Scanner::new(script.data_bytes),
            pending: 0,
            arrived: 0,
            pong: Vec::new(),
            findings: Findings::new(),
        }
    }

    /// Now, in units of [`Client::TICK_NS`].
    #[expect(
        clippy::cast_possible_truncation,
        reason = "wraps after three days, and differences are taken wrapping"
    )]
    pub(super) fn ticks(&self) -> u32 {
        (self.board.clock.now_ns() / Client::TICK_NS) as u32
    }

    /// Consumes whole frames at the start of `bytes`.
    pub(super) fn hear(&mut self, client: &mut Client, bytes: &[u8]) -> Heard {
        let outcome = match client.phase {
            Phase::Connecting | Phase::Gone => Ok(0),
            Phase::Upgrading => self.upgrade(client, bytes),
            Phase::Joining | Phase::Live => self.frames(client, bytes),
        };
        outcome.map_or_else(Heard::Broken, Heard::Consumed)
    }

    fn upgrade(&mut self, client: &mut Client, bytes: &[u8]) -> Result<usize, String> {
        let Some(head_bytes) = self.script.upgrade.check(bytes)? else { return Ok(0) };
        if let Manner::Centrifuge { .. } = self.script.manner {
            client.phase = Phase::Joining;
            client.say(&self.script.greeting)?;
        } else {
            self.live(client);
        }
        Ok(head_bytes + self.frames(client, &bytes[head_bytes..])?)
    }

    fn frames(&mut self, client: &mut Client, bytes: &[u8]) -> Result<usize, String> {
        let now_ns = self.board.clock.now_ns();
        let mut at = 0;
        while let Some(head) = frames::header(&bytes[at..]).map_err(|broken| broken.cause().to_owned())? {
            let start = at + head.head_bytes;
            let Some(payload) = bytes.get(start..).and_then(|tail| tail.get(..head.payload_bytes)) else {
                break;
            };
            match head.opcode {
                frames::TEXT | frames::BINARY if head.finished => self.messages(client, payload, now_ns)?,
                frames::PING => self.pong(client, payload)?,
                frames::PONG => {}
                frames::CLOSE => return Err(script::close_cause(payload)),
                _ => return Err("fragmented message".to_owned()),
            }
            at = start + payload.len();
        }
        Ok(at)
    }

    fn messages(&mut self, client: &mut Client, payload: &[u8], now_ns: u64) -> Result<(), String> {
        let mut rest = payload;
        while !rest.is_empty() {
            let (message, tail) = self.scanner.next(rest);
            rest = tail;
            match message {
                Message::Publication(number) if client.phase == Phase::Live => {
                    self.arrival(client, number, now_ns)
                }
                // A publication from before it subscribed is nobody's.
                Message::Publication(_) => {}
                Message::Heartbeat => {
                    self.lane.heartbeats.add(1);
                    client.say(&self.script.heartbeat)?;
                }
                Message::Other(line) => self.reply(client, line)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn arrival(&mut self, client: &mut Client, number: u32, now_ns: u64) {
        let expected = client.word;
        match publication::check(&mut client.word, number) {
            Arrival::InOrder => {}
            Arrival::Gap(missing) => self.lane.gaps.add(missing.into()),
            Arrival::Behind => return self.lane.behind.add(1),
        }
        self.arrived += u64::from(client.word - expected);
        let Some(position) = number.checked_sub(self.board.measured_from.load(Relaxed)) else { return };
        let latency_ns = now_ns.saturating_sub(self.board.moment_ns(number));
        let [all, first, last] = &mut self.findings.arrivals;
        all.record(latency_ns);
        let count = u64::from(self.board.measured_count.load(Relaxed));
        match u64::from(position) * 4 {
            fourfold if fourfold < count => first.record(latency_ns),
            fourfold if fourfold >= 3 * count && count > 0 => last.record(latency_ns),
            _ => {}
        }
    }

    #[cold]
    fn reply(&mut self, client: &mut Client, line: &[u8]) -> Result<(), String> {
        // A raw endpoint may say what it likes.
        let Manner::Centrifuge { last_id } = self.script.manner else { return Ok(()) };
        if script::reply_id(line)? == last_id && client.phase == Phase::Joining {
            self.live(client);
        }
        Ok(())
    }

    #[cold]
    fn pong(&mut self, client: &mut Client, payload: &[u8]) -> Result<(), String> {
        self.lane.heartbeats.add(1);
        self.pong.clear();
        frames::push_masked(&mut self.pong, frames::PONG, payload);
        client.say(&self.pong)
    }

    /// The connection is where the scenario wants it.
    pub(super) fn live(&mut self, client: &mut Client) {
        let ticks = self.ticks().wrapping_sub(client.word);
        self.findings.opening.record(u64::from(ticks) * Client::TICK_NS);
        client.phase = Phase::Live;
        client.word = 0;
        self.pending -= 1;
        self.board.join();
        self.lane.ready.add(1);
        self.lane.ready_at_ns.set(self.board.clock.now_ns());
    }

    /// Counts a connection that has been closed.
    pub(super) fn gone(&mut self, client: &mut Client, cause: String) {
        match client.phase {
            Phase::Gone => return,
            Phase::Live => {
                self.flush();
                self.board.leave(client.word);
                self.lane.lost.add(1);
                self.findings.failures.add(format!("lost, {cause}"), 1);
            }
            Phase::Connecting | Phase::Upgrading | Phase::Joining => {
                self.pending -= 1;
                self.lane.failed.add(1);
                self.findings.failures.add(cause, 1);
            }
        }
        client.phase = Phase::Gone;
    }

    /// Tells the board what arrived.
    #[inline]
    pub(super) fn flush(&mut self) {
        if self.arrived > 0 {
            self.lane.messages.add(self.arrived);
            self.board.deliver(std::mem::take(&mut self.arrived));
        }
    }
}
