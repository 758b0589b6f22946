//! Parses the input of a subscriber: the handshake's answer, frames, messages; checks each publication's number.
//!
//! The invariant: any split of the stream gives the same counts, since only whole frames are consumed. Left out:
//! reading from a socket, and storing partial frames.

use std::sync::atomic::Ordering::Relaxed;

use crate::bench::connections::audience::{Client, Findings, Phase};
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::messages::frames;
use crate::bench::messages::publication::{self, Arrival, Message, Scanner};
use crate::bench::messages::script::{self, Manner, Script, Sessions};
use crate::bench::messages::socketio::{self, Packet, Ticket};
use crate::bench::messages::unpack::Unpack;

/// The result of parsing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Consumed(usize),
    /// The connection must be closed, for this reason.
    Broken(String),
}

/// The sessions of a thread's connections, by their index.
#[derive(Debug, Default)]
pub(crate) struct Kept(pub(crate) Vec<Ticket>);

impl Kept {
    #[cold]
    fn pid(&mut self, index: usize, pid: String) {
        if self.0.len() <= index {
            self.0.resize(index + 1, Ticket::default());
        }
        self.0[index] = Ticket { pid, offset: None };
    }

    #[cold]
    fn offset(&mut self, index: usize, event: &[u8]) {
        if let (Some(ticket), Some(offset)) = (self.0.get_mut(index), socketio::offset(event)) {
            ticket.offset = Some(offset.to_owned());
        }
    }
}

/// The recovery of a session.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// The next expected publication.
    next: u32,
    /// Whether the server has said that the session is the one of before.
    is_confirmed: bool,
}

impl Recovery {
    /// That of connection `index`, which expects `next` first.
    fn of(all: &mut Vec<Self>, index: usize, next: u32) -> &mut Self {
        if all.len() <= index {
            all.resize(index + 1, Self { next, is_confirmed: false });
        }
        &mut all[index]
    }
}

/// The part of an audience without sockets.
pub(crate) struct Receiver<'a> {
    script: &'a Script,
    state: &'a RunState,
    lane: &'a Lane,
    scanner: Scanner,
    /// Connections dialled and not yet live.
    pub(crate) pending: usize,
    /// The current connection: its index in this thread, and its number in the run.
    index: usize,
    number: usize,
    /// With several subscriptions: number of the next expected publication of each channel.
    rounds: Vec<u32>,
    /// Where sessions are recovered: their state, by the connection's index.
    recoveries: Vec<Recovery>,
    /// Publications that arrived since the last flush.
    arrived: u64,
    pong: Vec<u8>,
    unpack: Unpack,
    /// The sessions of Socket.IO, where they are kept.
    kept: Option<Kept>,
    /// Time of the release, if connections waited for it.
    pub(crate) released_at_ticks: Option<u32>,
    /// `Retry-After` of the last refusal, in seconds.
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) findings: Findings,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(script: &'a Script, state: &'a RunState, lane: &'a Lane) -> Self {
        Self {
            script,
            state,
            lane,
            scanner: Scanner::new(script.data_bytes, script.form()),
            pending: 0,
            index: 0,
            number: 0,
            rounds: Vec::new(),
            recoveries: Vec::new(),
            arrived: 0,
            pong: Vec::new(),
            unpack: Unpack::new(),
            kept: matches!(script.sessions, Sessions::Kept).then(Kept::default),
            released_at_ticks: None,
            retry_after_s: None,
            findings: Findings::new(),
        }
    }

    /// Now, in units of [`Client::TICK_NS`].
    #[expect(
        clippy::cast_possible_truncation,
        reason = "wraps after three days, and differences are taken wrapping"
    )]
    pub(crate) fn ticks(&self) -> u32 {
        (self.state.clock.now_ns() / Client::TICK_NS) as u32
    }

    /// Consumes whole frames at the start of `bytes`, received by connection `index` of this thread, `number` of
    /// the run.
    pub(crate) fn hear(&mut self, index: usize, number: usize, client: &mut Client, bytes: &[u8]) -> Heard {
        (self.index, self.number) = (index, number);
        let outcome = match client.phase {
            Phase::Away | Phase::Connecting | Phase::Gone => Ok(0),
            Phase::Upgrading => self.upgrade(client, bytes),
            Phase::Joining | Phase::Waiting | Phase::Live => self.frames(client, bytes),
        };
        outcome.map_or_else(Heard::Broken, Heard::Consumed)
    }

    fn upgrade(&mut self, client: &mut Client, bytes: &[u8]) -> Result<usize, String> {
        let answer = self.script.upgrade.check(bytes);
        let answer = answer.inspect_err(|refused| self.retry_after_s = refused.retry_after_s);
        let Some(head_bytes) = answer? else { return Ok(0) };
        match self.script.manner {
            Manner::Centrifuge { .. } | Manner::SocketIo { .. } => {
                client.phase = Phase::Joining;
                client.say(&self.script.greeting(self.number))?;
            }
            Manner::Tcp | Manner::Raw => self.live(client, 0),
        }
        Ok(head_bytes + self.frames(client, &bytes[head_bytes..])?)
    }

    fn frames(&mut self, client: &mut Client, bytes: &[u8]) -> Result<usize, String> {
        let now_ns = self.state.clock.now_ns();
        let mut at = 0;
        while let Some((head, is_packed)) = self.header(&bytes[at..])? {
            let start = at + head.head_bytes;
            let Some(payload) = bytes.get(start..).and_then(|tail| tail.get(..head.payload_bytes)) else {
                break;
            };
            match head.opcode {
                frames::TEXT | frames::BINARY if head.finished && is_packed => {
                    let text = self.unpack.take(payload)?;
                    let outcome = self.messages(client, &text, now_ns);
                    self.unpack.keep(text);
                    outcome?;
                }
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

    /// The header of the next frame, and whether its payload is compressed.
    #[inline]
    fn header(&self, bytes: &[u8]) -> Result<Option<(frames::Header, bool)>, String> {
        let header = if self.script.deflate {
            frames::packed_header(bytes)
        } else {
            frames::header(bytes).map(|head| head.map(|head| (head, false)))
        };
        header.map_err(|broken| broken.cause().to_owned())
    }

    fn messages(&mut self, client: &mut Client, payload: &[u8], now_ns: u64) -> Result<(), String> {
        let mut rest = payload;
        while !rest.is_empty() {
            let (message, tail) = self.scanner.next(rest);
            rest = tail;
            match message {
                Message::Publication(number) if client.phase == Phase::Live || self.is_recovering() => {
                    self.arrival(client, number, now_ns);
                    if client.phase == Phase::Joining {
                        self.recovered(client);
                    }
                    if let Some(kept) = &mut self.kept {
                        kept.offset(self.index, payload);
                    }
                }
                // A publication from before the subscription is ignored.
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
        let (next, position) = match self.script.spread() {
            None if let Sessions::Recovered { next, .. } = self.script.sessions => {
                (&mut Recovery::of(&mut self.recoveries, self.index, next).next, number)
            }
            None => (&mut client.word, number),
            Some(spread) => {
                let Some((nth, round)) = spread.place(self.number, number) else {
                    // Of another channel.
                    return self.lane.behind.add(1);
                };
                let each = spread.each as usize;
                let at = self.index * each + nth as usize;
                if self.rounds.len() <= at {
                    self.rounds.resize((self.index + 1) * each, 0);
                }
                (&mut self.rounds[at], round)
            }
        };
        let expected = *next;
        match publication::check(next, position) {
            Arrival::InOrder => {}
            Arrival::Gap(missing) => self.lane.gaps.add(missing.into()),
            Arrival::Behind => return self.lane.behind.add(1),
        }
        self.arrived += u64::from(*next - expected);
        let Some(position) = number.checked_sub(self.state.measured_from.load(Relaxed)) else { return };
        let latency_ns = now_ns.saturating_sub(self.state.moment_ns(number));
        let [all, first, last] = &mut self.findings.arrivals;
        all.record(latency_ns);
        let count = u64::from(self.state.measured_count.load(Relaxed));
        match u64::from(position) * 4 {
            fourfold if fourfold < count => first.record(latency_ns),
            fourfold if fourfold >= 3 * count && count > 0 => last.record(latency_ns),
            _ => {}
        }
    }

    #[cold]
    fn reply(&mut self, client: &mut Client, line: &[u8]) -> Result<(), String> {
        let last_id = match self.script.manner {
            // A raw endpoint may send anything.
            Manner::Tcp | Manner::Raw => return Ok(()),
            Manner::SocketIo { rooms } => return self.packet(client, rooms, line),
            Manner::Centrifuge { last_id } => last_id,
        };
        let (id, subscribed) = script::subscribed(line)?;
        if client.phase != Phase::Joining {
            return Ok(());
        }
        let is_returning = self.script.encore.is_some();
        if is_returning && id == 1 {
            client.phase = Phase::Waiting;
            self.pending -= 1;
            self.lane.waiting.add(1);
        } else if id == last_id {
            if let Some(position) = subscribed.position() {
                self.state.position.get_or_init(|| position);
            }
            let recovered = if is_returning { subscribed.recovered()? } else { 0 };
            self.live(client, recovered);
            self.arrived += u64::from(recovered);
        }
        Ok(())
    }

    /// The connection is open once the server has confirmed its session, and it has what it missed.
    #[cold]
    fn recovered(&mut self, client: &mut Client) {
        let Sessions::Recovered { next, end, .. } = self.script.sessions else { return };
        let recovery = *Recovery::of(&mut self.recoveries, self.index, next);
        if client.phase == Phase::Joining && recovery.is_confirmed && recovery.next >= end {
            self.live(client, 0);
        }
    }

    /// Whether publications may come before the answer that opens a connection: a server may send missed ones first.
    fn is_recovering(&self) -> bool {
        matches!(self.script.sessions, Sessions::Recovered { .. })
    }

    /// Handles a packet of Socket.IO that is no publication of this run.
    fn packet(&mut self, client: &mut Client, rooms: u32, packet: &[u8]) -> Result<(), String> {
        let packet = socketio::packet(packet)?;
        if client.phase != Phase::Joining {
            return Ok(());
        }
        match packet {
            Packet::Connected { pid } => {
                if let Sessions::Recovered { next, .. } = self.script.sessions
                    && let Some(ticket) = self.script.ticket(self.number)
                {
                    if pid.as_ref() != Some(&ticket.pid) {
                        return Err("recovery: refused".to_owned());
                    }
                    Recovery::of(&mut self.recoveries, self.index, next).is_confirmed = true;
                    self.recovered(client);
                    return Ok(());
                }
                if let Some(kept) = &mut self.kept {
                    kept.pid(self.index, pid.ok_or("CONNECT: no pid; nothing can be recovered there")?);
                }
                if rooms == 0 {
                    self.live(client, 0);
                } else {
                    client.say(&self.script.join_frames(self.number))?;
                }
            }
            Packet::Ack(id) if id == rooms => self.live(client, 0),
            Packet::Open(_) | Packet::Ping | Packet::Noop | Packet::Ack(_) | Packet::Other => {}
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

    /// Continues a connection that waited for the others.
    pub(crate) fn encore(&mut self, client: &mut Client) -> Result<(), String> {
        if client.phase != Phase::Waiting {
            return Ok(());
        }
        client.phase = Phase::Joining;
        self.pending += 1;
        self.script.encore.as_ref().map_or(Ok(()), |encore| client.say(encore))
    }

    /// The connection has reached the state of the scenario; `next` is the next expected publication.
    pub(crate) fn live(&mut self, client: &mut Client, next: u32) {
        let ticks = self.ticks().wrapping_sub(self.released_at_ticks.unwrap_or(client.word));
        self.findings.opening.record(u64::from(ticks) * Client::TICK_NS);
        client.phase = Phase::Live;
        client.word = next;
        self.pending -= 1;
        self.state.join();
        self.lane.ready.add(1);
        self.lane.ready_at_ns.set(self.state.clock.now_ns());
    }

    /// Counts an attempt that will be retried.
    pub(crate) fn refused(&mut self, client: &mut Client, cause: String) {
        self.pending -= 1;
        self.lane.refused.add(1);
        self.findings.refusals.add(cause, 1);
        client.phase = Phase::Away;
    }

    /// Counts a connection that has been closed.
    pub(crate) fn gone(&mut self, client: &mut Client, cause: String) {
        match client.phase {
            Phase::Gone => return,
            Phase::Live => {
                self.flush();
                self.state.leave(client.word);
                self.lane.lost.add(1);
                self.findings.failures.add(format!("lost, {cause}"), 1);
            }
            Phase::Away | Phase::Connecting | Phase::Upgrading | Phase::Joining | Phase::Waiting => {
                self.pending -= usize::from(!matches!(client.phase, Phase::Waiting | Phase::Away));
                self.lane.failed.add(1);
                self.findings.failures.add(cause, 1);
            }
        }
        client.phase = Phase::Gone;
    }

    /// The sessions that were kept.
    pub(crate) fn take_tickets(&mut self) -> Vec<Ticket> {
        self.kept.take().map_or_else(Vec::new, |kept| kept.0)
    }

    /// Adds the arrivals to the state.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if self.arrived > 0 {
            self.lane.messages.add(self.arrived);
            self.state.deliver(std::mem::take(&mut self.arrived));
        }
    }
}
