//! Common part of all simulated clients: sending and receiving over a link, the handshake, pings and closes, stalls,
//! and the check of the connection's end. A client's messages come from its [`Conduct`].

use std::collections::VecDeque;

use crate::model::Model;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::sealed::Pipe;
use crate::wire::{self, Frame};
use crate::world::{Link, LinkId, Received, World};

/// A client's output.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) who: u32,
    pub(crate) now_us: u64,
    pub(crate) rng: Rng,
    /// Bytes to send.
    pub(crate) out: Vec<u8>,
    /// Payloads of pings without a pong yet.
    pings: VecDeque<Vec<u8>>,
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

/// A client's own way to end its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A close frame with this code, and waiting for the answer.
    Close(u16),
    /// An end of input, still reading.
    HalfClose,
    /// Closes the socket without a close frame.
    Leave,
    /// Resets the connection.
    Reset,
    /// Its bytes are modified in transit, which only TLS can detect.
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionPhase {
    Head,
    Open,
    /// Refused with this status: reading to the end.
    Refused(u16),
    Over,
}

/// One client and its connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) io: Io,
    pub(crate) link: LinkId,
    pub(crate) pipe: Pipe,
    pub(crate) conduct: Box<dyn Conduct>,
    phase: ConnectionPhase,
    arrived: Vec<u8>,
    sent: usize,
    opened_us: u64,
    act_at_us: u64,
    exit: Option<(u64, Exit)>,
    did_exit: Option<Exit>,
    stalled_until_us: u64,
    has_stalled: bool,
    /// The code of the server's close frame; 1005 for none.
    code: Option<u16>,
    said_close: bool,
    last_said_us: u64,
}

/// The state of the run at the time of a connection's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) is_draining: bool,
    pub(crate) is_calm: bool,
}

impl Client {
    pub(crate) fn new(
        who: u32,
        link: LinkId,
        now_us: u64,
        pipe: Pipe,
        mut rng: Rng,
        mut conduct: Box<dyn Conduct>,
        plan: &Plan,
    ) -> Self {
        let (exit_percent, stay_us) =
            if conduct.is_restless() { (85, plan.activity_us / 6) } else { (30, plan.activity_us) };
        let exit = rng.chance(exit_percent).then(|| {
            let code = rng.pick(&[1000, 1001, 3999, 4000, 1005]);
            let exit = [Exit::Close(code), Exit::HalfClose, Exit::Leave, Exit::Reset];
            (now_us + rng.range(0..=stay_us), rng.pick(&exit))
        });
        let exit = match &plan.tls {
            Some(tls) if rng.chance(tls.changed) => Some((now_us + rng.range(0..=stay_us), Exit::Changed)),
            _ => exit,
        };
        let mut io = Io { who, now_us, rng, out: Vec::new(), pings: VecDeque::new() };
        conduct.hello(&mut io);
        Self {
            io,
            link,
            pipe,
            conduct,
            phase: ConnectionPhase::Head,
            arrived: Vec::new(),
            sent: 0,
            opened_us: 0,
            act_at_us: now_us,
            exit,
            did_exit: None,
            stalled_until_us: 0,
            has_stalled: false,
            code: None,
            said_close: false,
            last_said_us: now_us,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == ConnectionPhase::Over
    }

    /// When it next wants to do something by itself.
    pub(crate) fn due_us(&self, is_calm: bool) -> u64 {
        if self.is_over() {
            return u64::MAX;
        }
        let mut due = u64::MAX;
        if self.stalled_until_us > self.io.now_us {
            due = self.stalled_until_us;
        }
        if !is_calm {
            due = due.min(self.exit.map_or(u64::MAX, |(at, _)| at)).min(self.act_at_us);
        }
        due
    }

    /// Does the work that is possible now; returns whether there was any.
    pub(crate) fn step(&mut self, world: &mut World, model: &mut Model, now: Circumstances<'_>) -> bool {
        if self.is_over() {
            return false;
        }
        self.io.now_us = world.now_us;
        let mut progress = self.send(world);
        if !now.is_calm {
            if self.io.rng.next() % 1000 < world.faults.reset {
                world.reset(self.link);
            }
            if self.io.rng.next() % 1000 < world.faults.stall {
                self.stalled_until_us = world.now_us + self.io.rng.range(0..=world.faults.stall_us_max);
                self.has_stalled = true;
            }
            progress |= self.act(world, model, now.plan);
        }
        if !self.is_over() && self.may_read(world.now_us, now.is_calm) {
            progress |= self.receive(world, model, now);
        }
        progress
    }

    fn may_read(&mut self, now_us: u64, is_calm: bool) -> bool {
        if !self.conduct.reads() && !is_calm {
            self.has_stalled = true;
            return false;
        }
        is_calm || now_us >= self.stalled_until_us
    }

    fn send(&mut self, world: &mut World) -> bool {
        if self.sent == self.io.out.len() && self.pipe.is_idle() {
            return false;
        }
        if self.code.is_none() {
            self.last_said_us = world.now_us;
        }
        let (count, has_moved) = self.pipe.send(world, self.link, &self.io.out[self.sent..]);
        self.sent += count;
        if self.sent == self.io.out.len() {
            self.io.out.clear();
            self.sent = 0;
            if self.did_exit == Some(Exit::HalfClose) && self.pipe.is_idle() {
                world.finish(self.link);
            }
        }
        has_moved
    }

    fn act(&mut self, world: &mut World, model: &mut Model, plan: &Plan) -> bool {
        if let Some((at, exit)) = self.exit
            && world.now_us >= at
            && self.code.is_none()
        {
            self.exit = None;
            self.do_exit(exit, world, model, plan);
            return true;
        }
        if world.now_us < self.act_at_us {
            return false;
        }
        self.act_at_us = world.now_us + 1 + self.io.rng.range(0..=2 * plan.pace_us);
        // A client with much unsent output waits, or its output would grow without bound.
        let is_open = self.phase == ConnectionPhase::Open && !self.said_close && self.did_exit.is_none();
        if is_open && self.io.out.len() - self.sent < 200_000 {
            self.conduct.act(&mut self.io, model);
        }
        true
    }

    fn do_exit(&mut self, exit: Exit, world: &mut World, model: &mut Model, plan: &Plan) {
        match exit {
            Exit::Close(_) | Exit::HalfClose | Exit::Changed if self.phase != ConnectionPhase::Open => return,
            Exit::Changed => {
                self.pipe.change_next();
                wire::put_frame(&mut self.io.out, true, wire::PONG, b"", &mut self.io.rng);
            }
            Exit::Close(code) => {
                self.said_close = true;
                put_close(&mut self.io, code);
            }
            Exit::HalfClose => {
                let (rng, tls) = (&mut self.io.rng, &plan.tls);
                // Data behind a close_notify is ignored.
                if self.io.out.is_empty() && tls.as_ref().is_some_and(|tls| rng.chance(tls.goodbyes)) {
                    self.pipe.say_goodbye();
                }
                if self.io.out.is_empty() && self.pipe.is_idle() {
                    world.finish(self.link);
                }
            }
            Exit::Leave | Exit::Reset => {
                if exit == Exit::Leave {
                    world.leave(self.link)
                } else {
                    world.reset(self.link)
                }
                self.end(model);
            }
        }
        self.did_exit = Some(exit);
    }

    fn end(&mut self, model: &mut Model) {
        self.phase = ConnectionPhase::Over;
        self.conduct.over(model);
    }

    fn receive(&mut self, world: &mut World, model: &mut Model, now: Circumstances<'_>) -> bool {
        let bytes_max = if self.io.rng.chance(30) { self.io.rng.size(1..=2000) } else { usize::MAX };
        match self.pipe.receive(world, self.link, bytes_max, &mut self.arrived) {
            Received::Nothing => false,
            Received::Bytes(_) => {
                self.read_all(model);
                self.send(world);
                true
            }
            end @ (Received::End | Received::Reset) => {
                self.judge(end, world, now);
                if self.io.rng.chance(80) {
                    world.leave(self.link);
                }
                world.note("end", self.io.who as usize, u64::from(self.code.unwrap_or(0)));
                self.end(model);
                true
            }
        }
    }

    fn read_all(&mut self, model: &mut Model) {
        if self.phase == ConnectionPhase::Head
            && let Some(status) = wire::take_response(&mut self.arrived)
        {
            if status == 101 {
                self.phase = ConnectionPhase::Open;
                self.opened_us = self.io.now_us;
                self.conduct.opened(&mut self.io, model);
            } else {
                self.phase = ConnectionPhase::Refused(status);
            }
        }
        if self.phase != ConnectionPhase::Open {
            return;
        }
        while let Some(frame) = wire::take_frame(&mut self.arrived) {
            assert!(self.code.is_none(), "{}: a frame after the close frame: {frame:?}", self.io.who);
            match frame.opcode {
                wire::TEXT | wire::BINARY => self.conduct.message(frame, &mut self.io, model),
                wire::PING if self.conduct.answers_pings() => {
                    wire::put_frame(&mut self.io.out, true, wire::PONG, &frame.payload, &mut self.io.rng);
                }
                wire::PING => {}
                wire::PONG => {
                    let ping = self.io.pings.pop_front();
                    assert_eq!(ping, Some(frame.payload), "{}: a pong answers its ping", self.io.who);
                }
                wire::CLOSE => self.on_close(&frame),
                other => panic!("{}: opcode {other}", self.io.who),
            }
        }
    }

    fn on_close(&mut self, frame: &Frame) {
        self.code = Some(frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
        if !self.said_close && self.did_exit.is_none() {
            self.said_close = true;
            put_close(&mut self.io, self.code.unwrap_or(1005));
        }
    }

    /// Whether the connection ended as it had to.
    fn judge(&self, end: Received, world: &World, now: Circumstances<'_>) {
        let link = &world.links[self.link];
        if link.is_reset {
            return;
        }
        let who = self.io.who;
        let plan = now.plan;
        let (expect, within_us) = self.conduct.expect();
        let is_excused = self.has_stalled || plan.jumps_far() || self.did_exit == Some(Exit::HalfClose);
        let drained = now.is_draining;
        let is_right = match (self.phase, self.code) {
            (ConnectionPhase::Refused(status), _) => {
                expect == Expect::Status(status)
                    || (status == 503 && (drained || plan.may_refuse()))
                    // A TLS client has to read before it can send its request.
                    || (status == 408 && (plan.jumps_far() || self.pipe.is_tls() && self.has_stalled))
            }
            // Over TLS, a refused client may get no answer: an answer would cost a handshake.
            (ConnectionPhase::Head, _) if self.pipe.is_tls() && (drained || plan.may_refuse()) => true,
            (ConnectionPhase::Head, _) => {
                is_excused || drained && end == Received::Reset && link.accepted_us.is_none()
            }
            (_, Some(code)) => expect == Expect::Code(code) || self.may_close(code, world, now),
            // For want of memory a frame that had begun is not ended.
            (_, None) => {
                is_excused
                    || (plan.has_small_budget || plan.has_small_memory()) && self.was_full(link)
                    || self.did_exit == Some(Exit::Changed) && self.pipe.is_change_told()
            }
        };
        assert!(
            is_right,
            "{who}: ended by {end:?} in {:?} with code {:?}, expected {expect:?}: {self:?} {link:?}",
            self.phase, self.code
        );
        assert!(
            self.arrived.is_empty() || self.phase != ConnectionPhase::Open || self.code.is_none(),
            "{who}: half a frame at the end"
        );
        let is_last_word_heard = self.pipe.heard_goodbye() || end == Received::Reset || is_excused;
        assert!(
            is_last_word_heard || self.code.is_none() && !matches!(self.phase, ConnectionPhase::Refused(_)),
            "{who}: no goodbye: {self:?} {link:?}"
        );
        let had_room = link.short_writes == 0 && !self.has_stalled && !plan.jumps_far();
        let is_rude = end == Received::End && had_room && self.pipe.awaits_goodbye();
        assert!(!is_rude, "{who}: no answer to a goodbye: {self:?} {link:?}");
        if let Some(within_us) = within_us
            && self.code.map(Expect::Code) == Some(expect)
            && !is_excused
            && link.short_writes == 0
        {
            let took_us = world.now_us - self.opened_us;
            assert!(took_us <= within_us + SLACK_US, "{who}: {expect:?} after {took_us} of {within_us} us");
        }
    }

    /// Whether the server had more output than room for it. A TLS connection treats a short write as a full socket,
    /// and does not retry.
    fn was_full(&self, link: &Link) -> bool {
        link.refused_writes > 0 || self.pipe.is_tls() && link.short_writes > 0
    }

    /// Whether the server may close any client with this code now.
    fn may_close(&self, code: u16, world: &World, now: Circumstances<'_>) -> bool {
        let plan = now.plan;
        let timeouts = &plan.config.timeouts;
        let link = &world.links[self.link];
        let silent_ms = (world.now_us - self.last_said_us) / 1000;
        let is_idle =
            timeouts.idle_ms > 0 && timeouts.ping_interval_ms == 0 && silent_ms + 300 >= timeouts.idle_ms;
        match code {
            3008 => self.was_full(link) || plan.has_small_budget || plan.has_small_memory(),
            3011 | 1013 if plan.has_small_memory() => true,
            // One of the channels that it was to have from the start had no room at its home.
            3004 if plan.may_refuse_channels() => true,
            3504 if plan.history.counts_users => true,
            3012 => self.has_stalled || plan.jumps_far() || is_idle,
            // A part of a message was in transit for that long, on either side.
            1008 => timeouts.message_ms > 0 && (self.has_stalled || plan.jumps_far()),
            3502 => self.has_stalled || plan.jumps_far(),
            _ if code == self.conduct.drain_code() => now.is_draining,
            _ => self.did_exit == Some(Exit::Close(code)) || self.conduct.obeys(code),
        }
    }

    pub(crate) fn audit(&mut self) {
        if self.phase == ConnectionPhase::Open && self.code.is_none() && self.did_exit.is_none() {
            self.conduct.audit(&mut self.io);
        }
    }

    /// Panics when something is outstanding although nothing is under way any more.
    pub(crate) fn check_settled(&self, world: &World, has_room: bool) {
        let link = &world.links[self.link];
        if self.is_over() || self.did_exit.is_some() || link.is_reset || self.code.is_some() {
            return;
        }
        assert!(link.accepted_us.is_some() || !has_room, "{}: not accepted: {link:?}", self.io.who);
        if link.accepted_us.is_none() || self.conduct.expect().0 != Expect::Life {
            return;
        }
        let who = self.io.who;
        assert_eq!(self.phase, ConnectionPhase::Open, "{who}: no answer to the handshake: {self:?} {link:?}");
        let is_all_sent = self.io.out.is_empty() && self.pipe.is_idle();
        assert!(is_all_sent, "{who}: the server does not read: {self:?} {link:?}");
        assert!(self.io.pings.is_empty(), "{who}: no pong: {self:?}");
        self.conduct.check_settled(who);
    }

    /// Panics when it should be over by now: long after `since_us`, by which it had been accepted.
    pub(crate) fn check_overdue(&self, world: &World, since_us: u64) {
        let link = &world.links[self.link];
        // A heartbeat that left in pieces passes for a sign of life: the client took the rest of it.
        let is_new = link.accepted_us.is_none_or(|at_us| at_us > since_us);
        let is_over = self.is_over() || self.did_exit.is_some() || is_new || link.short_writes > 0;
        let (expect, _) = self.conduct.expect();
        assert!(
            is_over || expect == Expect::Life,
            "{}: lives, expected {expect:?}: {self:?} {link:?}",
            self.io.who
        );
    }
}

/// Beats, turns and the way there and back.
const SLACK_US: u64 = 700_000;

fn put_close(io: &mut Io, code: u16) {
    let body = if code == 1005 { Vec::new() } else { code.to_be_bytes().to_vec() };
    wire::put_frame(&mut io.out, true, wire::CLOSE, &body, &mut io.rng);
}
