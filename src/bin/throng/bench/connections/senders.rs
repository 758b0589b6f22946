//! One thread's senders: connections that send messages, wait for their echoes, and send as many again.
//!
//! The invariant: without a schedule each connection has exactly the requested number of messages in flight
//! (closed loop: a slow server gets fewer). On a schedule (open loop) messages are sent at their times, one
//! connection after the other, and latency counts from the scheduled time. Left out: the form of an echo.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::bench::connections::dial;
use crate::bench::connections::plan::{self, Share};
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::connections::wire::{Got, Scratch, Wire};
use crate::bench::messages::replies::{Replies, Ring};
use crate::bench::messages::script::{Manner, Script};
use crate::bench::report::findings::{Failures, Latency};

const EVENTS_PER_WAIT: usize = 1024;
const BUFFER_BYTES: usize = 256 << 10;
/// Separate histograms of echoes.
const ACTS: usize = 2;
const WAIT: Duration = Duration::from_millis(20);
/// Sleep between two looks on a schedule: waiting for events has a unit of milliseconds, and spinning would take
/// the core from others. With the kernel's slack, messages may be sent and seen about 0.1 ms late.
const NAP: Duration = Duration::from_micros(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    /// The first commands are sent.
    Joining,
    Playing,
    Gone,
}

struct Sender {
    wire: Wire<TcpStream>,
    phase: Phase,
    dialled_at_ns: u64,
    /// The incomplete answer to the handshake, or the first replies.
    head: Vec<u8>,
    sent_bytes: u64,
    due_bytes: usize,
    replies: Replies,
}

/// The pace of messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages in flight per connection: the exact number, or the maximum if there is a rate.
    pub(crate) in_flight: usize,
    /// Messages per second of this thread.
    pub(crate) rate: Option<f64>,
}

/// The results of one thread.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) failures: Failures,
    pub(crate) opening: Latency,
    /// By `act` of the state.
    pub(crate) echoes: [Latency; ACTS],
}

impl Findings {
    pub(crate) fn new() -> Self {
        let echoes = [Latency::new(), Latency::new()];
        Self { failures: Failures::default(), opening: Latency::new(), echoes }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.failures.merge(other.failures);
        self.opening.merge(&other.opening);
        for (mine, theirs) in self.echoes.iter_mut().zip(&other.echoes) {
            mine.merge(theirs);
        }
    }
}

pub(crate) struct Senders<'a> {
    script: &'a Script,
    state: &'a RunState,
    lane: &'a Lane,
    ring: &'a Ring,
    pace: Pace,
    /// Start of the schedule, and messages due so far.
    scheduled: (Option<u64>, u64),
    /// Number of the first connection.
    first: usize,
    poll: Poll,
    senders: Vec<Sender>,
    /// Send times of the messages in flight: `in_flight` per sender.
    sent_at_ns: Vec<u64>,
    buffer: Vec<u8>,
    scratch: Scratch,
    findings: Findings,
}

impl<'a> Senders<'a> {
    /// # Errors
    /// The poller cannot be created.
    pub(crate) fn new(
        script: &'a Script,
        state: &'a RunState,
        lane: &'a Lane,
        ring: &'a Ring,
        pace: Pace,
    ) -> io::Result<Self> {
        Ok(Self {
            script,
            state,
            lane,
            ring,
            pace,
            scheduled: (None, 0),
            first: 0,
            poll: Poll::new()?,
            senders: Vec::new(),
            sent_at_ns: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            scratch: Scratch::new(script.target.tls.as_ref()),
            findings: Findings::new(),
        })
    }

    /// Opens its share of the connections and sends until `state` says stop.
    ///
    /// # Errors
    /// The poller fails.
    pub(crate) fn run(mut self, share: Share, timeout_ns: u64) -> io::Result<Findings> {
        self.first = share.first;
        for n in share.first..share.first + share.count {
            self.dial(n)?;
        }
        let give_up_at_ns = self.state.clock.now_ns().saturating_add(timeout_ns);
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        while !self.state.stopped() {
            self.keep_schedule(share.count);
            let on_schedule = self.scheduled.0.is_some();
            let wait = if on_schedule { Duration::ZERO } else { WAIT };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if on_schedule && events.is_empty() {
                self.state.clock.sleep_for(NAP);
            }
            for event in &events {
                let index = event.token().0;
                if let Err(cause) = self.turn(index, event.is_readable(), event.is_read_closed()) {
                    self.end(index, cause);
                }
            }
            let opened = self.lane.ready.value() + self.lane.failed.value();
            if opened < share.count as u64 && self.state.clock.now_ns() > give_up_at_ns {
                for index in 0..self.senders.len() {
                    if matches!(
                        self.senders[index].phase,
                        Phase::Connecting | Phase::Upgrading | Phase::Joining
                    ) {
                        self.end(index, "handshake: timed out".to_owned());
                    }
                }
            }
        }
        Ok(self.findings)
    }

    /// Sends the messages that are due, once all are connected.
    fn keep_schedule(&mut self, count: usize) {
        let Some(rate) = self.pace.rate else { return };
        if self.lane.ready.value() + self.lane.failed.value() < count as u64 {
            return;
        }
        let now_ns = self.state.clock.now_ns();
        let started_at_ns = *self.scheduled.0.get_or_insert(now_ns);
        loop {
            let due_at_ns = started_at_ns + crate::bench::clock::ns(self.scheduled.1 as f64 / rate);
            if due_at_ns > now_ns {
                return;
            }
            let index = usize::try_from(self.scheduled.1 % self.senders.len().max(1) as u64).unwrap_or(0);
            let Some(sender) = self.senders.get_mut(index).filter(|sender| sender.phase == Phase::Playing)
            else {
                self.scheduled.1 += 1;
                continue;
            };
            let in_flight = self.pace.in_flight as u64;
            let begun = (sender.sent_bytes + sender.due_bytes as u64) / self.ring.frame_bytes() as u64;
            if begun - sender.replies.count >= in_flight {
                // The maximum is in flight; the message stays due.
                return;
            }
            let slot = usize::try_from(begun % in_flight).unwrap_or(0);
            self.sent_at_ns[index * self.pace.in_flight + slot] = due_at_ns;
            sender.due_bytes += self.ring.frame_bytes();
            self.scheduled.1 += 1;
            if let Err(cause) = self.send(index) {
                self.end(index, cause);
            }
        }
    }

    fn dial(&mut self, n: usize) -> io::Result<()> {
        let target = &self.script.target;
        self.lane.started.add(1);
        let mut wire = match dial::dial(target, plan::source_of_held(n, target.address)) {
            Ok(wire) => wire,
            Err(e) => {
                self.lane.failed.add(1);
                self.findings.failures.add(dial::cause("connect", &e), 1);
                return Ok(());
            }
        };
        let token = Token(self.senders.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut wire.socket, token, both)?;
        self.senders.push(Sender {
            wire,
            phase: Phase::Connecting,
            dialled_at_ns: self.state.clock.now_ns(),
            head: Vec::new(),
            sent_bytes: 0,
            due_bytes: 0,
            replies: Replies::default(),
        });
        self.sent_at_ns.resize(self.senders.len() * self.pace.in_flight, 0);
        Ok(())
    }

    /// Handles one event.
    fn turn(&mut self, index: usize, readable: bool, to_the_end: bool) -> Result<(), String> {
        let sender = &mut self.senders[index];
        match sender.phase {
            Phase::Gone => return Ok(()),
            Phase::Connecting if self.script.manner == Manner::Tcp => {
                if let Ok(Some(e)) = sender.wire.socket.take_error() {
                    return Err(dial::cause("connect", &e));
                }
                return self.ready(index);
            }
            Phase::Connecting => {
                sender.phase = Phase::Upgrading;
                let sent = sender.wire.write(&self.script.request);
                // A full server answers before it is asked, and this event may be the only one that reports the
                // answer.
                if readable {
                    self.read(index, to_the_end)?;
                }
                return sent.map(drop).map_err(|e| dial::cause("connect", &e));
            }
            Phase::Upgrading | Phase::Joining | Phase::Playing => {}
        }
        if readable {
            self.read(index, to_the_end)?;
        }
        self.send(index)
    }

    /// The connection is open: sends the first messages.
    fn ready(&mut self, index: usize) -> Result<(), String> {
        let now_ns = self.state.clock.now_ns();
        let sender = &mut self.senders[index];
        sender.phase = Phase::Playing;
        let in_flight = self.pace.in_flight;
        if self.pace.rate.is_none() {
            sender.due_bytes = in_flight * self.ring.frame_bytes();
        }
        self.sent_at_ns[index * in_flight..][..in_flight].fill(now_ns);
        self.findings.opening.record(now_ns - sender.dialled_at_ns);
        self.lane.ready.add(1);
        self.lane.ready_at_ns.set(now_ns);
        self.send(index)
    }

    fn read(&mut self, index: usize, to_the_end: bool) -> Result<(), String> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = loop {
            match self.senders[index].wire.read(&mut self.scratch, &mut buffer) {
                Ok(Got::Bytes { count, is_short }) => match self.hear(index, &buffer[..count]) {
                    Ok(()) if is_short && !to_the_end => break Ok(()),
                    Ok(()) => {}
                    Err(cause) => break Err(cause),
                },
                Ok(Got::Nothing) => break Ok(()),
                Ok(Got::End) => break Err("closed by the server".to_owned()),
                Err(e) => break Err(dial::cause("receive", &e)),
            }
        };
        self.buffer = buffer;
        outcome
    }

    fn hear(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        if self.senders[index].phase != Phase::Playing {
            return self.shake_hands(index, bytes);
        }
        let sender = &mut self.senders[index];
        let before = sender.replies.count;
        let heard = sender.replies.hear(self.ring, bytes)?;
        self.lane.bytes.add(bytes.len() as u64);
        if heard == 0 {
            return Ok(());
        }
        self.lane.messages.add(heard);
        let now_ns = self.state.clock.now_ns();
        let recording = self.state.recording.load(Relaxed);
        let act = self.state.act.load(Relaxed).min(ACTS - 1);
        let in_flight = self.pace.in_flight;
        let moments = &mut self.sent_at_ns[index * in_flight..][..in_flight];
        let mut slot = usize::try_from(before % in_flight as u64).unwrap_or(0);
        for _ in 0..heard {
            if recording {
                self.findings.echoes[act].record(now_ns.saturating_sub(moments[slot]));
            }
            if self.pace.rate.is_none() {
                moments[slot] = now_ns;
                sender.due_bytes += self.ring.frame_bytes();
            }
            slot = if slot + 1 == in_flight { 0 } else { slot + 1 };
        }
        Ok(())
    }

    /// Handles input before the first answer.
    fn shake_hands(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let sender = &mut self.senders[index];
        sender.head.extend_from_slice(bytes);
        if sender.phase == Phase::Upgrading {
            let Some(head_bytes) = self.script.upgrade.check(&sender.head)? else { return Ok(()) };
            sender.head.drain(..head_bytes);
            if self.script.manner == Manner::Raw {
                sender.head = Vec::new();
                return self.ready(index);
            }
            sender.phase = Phase::Joining;
            let number = self.first + index;
            let sent = sender.wire.write(&self.script.greeting(number));
            sent.map_err(|e| dial::cause("send", &e))?;
        }
        if self.script.is_opened_by(&sender.head)? {
            sender.head = Vec::new();
            return self.ready(index);
        }
        Ok(())
    }

    /// Sends the messages that are due, in one call if the socket accepts it; answers to pings go between two
    /// messages.
    fn send(&mut self, index: usize) -> Result<(), String> {
        let sender = &mut self.senders[index];
        sender.wire.flush().map_err(|e| dial::cause("send", &e))?;
        while sender.due_bytes > 0 {
            match sender.wire.write(self.ring.due(sender.sent_bytes, sender.due_bytes)) {
                Ok(n) => {
                    sender.sent_bytes += n as u64;
                    sender.due_bytes -= n;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(dial::cause("send", &e)),
            }
        }
        if !sender.replies.pongs.is_empty() {
            let pongs = std::mem::take(&mut sender.replies.pongs);
            self.lane.heartbeats.add(1);
            sender.wire.write_all(&pongs).map_err(|e| dial::cause("send", &e))?;
        }
        Ok(())
    }

    fn end(&mut self, index: usize, cause: String) {
        let sender = &mut self.senders[index];
        match sender.phase {
            Phase::Gone => return,
            Phase::Connecting | Phase::Upgrading | Phase::Joining => {
                self.lane.failed.add(1);
                self.findings.failures.add(cause, 1);
            }
            Phase::Playing => {
                self.lane.lost.add(1);
                self.findings.failures.add(format!("lost, {cause}"), 1);
            }
        }
        sender.phase = Phase::Gone;
        // The socket keeps its place until the end of the run, without further events.
        drop(self.poll.registry().deregister(&mut sender.wire.socket));
    }
}
