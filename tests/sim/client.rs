//! Common part of all simulated clients: sending and receiving over a link, the handshake, pings and closes, and
//! stalls; `judge` checks the connection's end. A client's messages come from its [`Conduct`].

mod judge;

use std::collections::VecDeque;

use crate::conduct::{Conduct, Io};
use crate::model::Model;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::sealed::Pipe;
use crate::wire::{self, Frame};
use crate::world::{LinkId, Received, World};

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

    pub(crate) fn audit(&mut self) {
        if self.phase == ConnectionPhase::Open && self.code.is_none() && self.did_exit.is_none() {
            self.conduct.audit(&mut self.io);
        }
    }
}

fn put_close(io: &mut Io, code: u16) {
    let body = if code == 1005 { Vec::new() } else { code.to_be_bytes().to_vec() };
    wire::put_frame(&mut io.out, true, wire::CLOSE, &body, &mut io.rng);
}
