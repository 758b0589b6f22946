//! One thread's handshakes: open a connection, close it, open the next.
//!
//! The invariant: a slot has at most one connection, and the next one starts as soon as it has ended, so that the
//! requested number is always in progress. Source addresses rotate, because a closed connection keeps its port for
//! a while (TIME_WAIT). Left out: connections that stay open.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::bench::args::Ending;
use crate::bench::connections::dial;
use crate::bench::connections::plan;
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::connections::wire::{Got, Scratch, Wire};
use crate::bench::messages::frames;
use crate::bench::messages::script::{Manner, Script};
use crate::bench::report::findings::{Failures, Latency};

const EVENTS_PER_WAIT: usize = 1024;
/// Room for the longest record.
const BUFFER_BYTES: usize = 32 << 10;
const WAIT: Duration = Duration::from_millis(20);
const SWEEP_NS: u64 = 500_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    /// CONNECT of Socket.IO is sent.
    Joining,
    /// The close frame is sent; the server closes.
    Leaving,
}

struct Slot {
    wire: Option<Wire<TcpStream>>,
    phase: Phase,
    dialled_at_ns: u64,
    /// Scheduled time of the dial: latency counts from it.
    due_at_ns: u64,
    head: Vec<u8>,
}

/// The results of one thread.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) failures: Failures,
    pub(crate) handshakes: Latency,
}

pub(crate) struct Reconnects<'a> {
    script: &'a Script,
    state: &'a RunState,
    lane: &'a Lane,
    ending: Ending,
    /// Handshakes per second of this thread.
    rate: Option<f64>,
    /// A close frame.
    goodbye: Vec<u8>,
    timeout_ns: u64,
    poll: Poll,
    slots: Vec<Slot>,
    dialled: usize,
    /// Start of the schedule.
    started_at_ns: u64,
    buffer: Vec<u8>,
    scratch: Scratch,
    findings: Findings,
}

impl<'a> Reconnects<'a> {
    /// # Errors
    /// The poller cannot be created.
    pub(crate) fn new(
        script: &'a Script,
        state: &'a RunState,
        lane: &'a Lane,
        ending: Ending,
        rate: Option<f64>,
        timeout_ns: u64,
    ) -> io::Result<Self> {
        let mut goodbye = Vec::new();
        frames::push_masked(&mut goodbye, frames::CLOSE, &1000u16.to_be_bytes());
        Ok(Self {
            script,
            state,
            lane,
            ending,
            rate,
            goodbye,
            timeout_ns,
            poll: Poll::new()?,
            slots: Vec::new(),
            dialled: 0,
            started_at_ns: 0,
            buffer: vec![0; BUFFER_BYTES],
            scratch: Scratch::new(script.target.tls.as_ref()),
            findings: Findings { failures: Failures::default(), handshakes: Latency::new() },
        })
    }

    /// Keeps `count` connections in progress until `state` says stop.
    ///
    /// # Errors
    /// The poller fails.
    pub(crate) fn run(mut self, count: usize) -> io::Result<Findings> {
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        let empty = || Slot {
            wire: None,
            phase: Phase::Connecting,
            dialled_at_ns: 0,
            due_at_ns: 0,
            head: Vec::new(),
        };
        self.slots.resize_with(count, empty);
        let mut swept_at_ns = 0;
        self.started_at_ns = self.state.clock.now_ns();
        while !self.state.stopped() {
            self.fill();
            match self.poll.poll(&mut events, Some(WAIT)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let index = event.token().0;
                if let Err(cause) = self.turn(index) {
                    self.fail(index, cause);
                }
            }
            let now_ns = self.state.clock.now_ns();
            if now_ns - swept_at_ns > SWEEP_NS {
                swept_at_ns = now_ns;
                self.sweep(now_ns);
            }
        }
        Ok(self.findings)
    }

    /// Dials in empty slots, as far as the rate allows.
    fn fill(&mut self) {
        let seconds = crate::bench::clock::seconds(self.state.clock.now_ns() - self.started_at_ns);
        for index in 0..self.slots.len() {
            if self.rate.is_some_and(|rate| self.dialled as f64 >= seconds * rate) {
                return;
            }
            if self.slots[index].wire.is_none() {
                self.dial(index);
            }
        }
    }

    fn dial(&mut self, index: usize) {
        let target = &self.script.target;
        let source = plan::source_of_churn(self.dialled, target.address);
        let now_ns = self.state.clock.now_ns();
        let due = |rate| self.started_at_ns + crate::bench::clock::ns(self.dialled as f64 / rate);
        let due_at_ns = self.rate.map_or(now_ns, due);
        self.dialled += 1;
        self.lane.started.add(1);
        let slot = &mut self.slots[index];
        slot.phase = Phase::Connecting;
        slot.dialled_at_ns = now_ns;
        slot.due_at_ns = due_at_ns;
        slot.head.clear();
        let registered = dial::dial(target, source).and_then(|mut wire| {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut wire.socket, Token(index), both).map(|()| wire)
        });
        match registered {
            Ok(wire) => slot.wire = Some(wire),
            Err(e) => self.fail(index, dial::cause("connect", &e)),
        }
    }

    fn turn(&mut self, index: usize) -> Result<(), String> {
        let slot = &mut self.slots[index];
        let Some(wire) = &mut slot.wire else { return Ok(()) };
        let sent = if slot.phase == Phase::Connecting {
            slot.phase = Phase::Upgrading;
            wire.write(&self.script.request).map(drop).map_err(|e| dial::cause("connect", &e))
        } else {
            wire.flush().map(drop).map_err(|e| dial::cause("send", &e))
        };
        // Read even if nothing could be sent: a full server answers before it is asked, and may have closed
        // already.
        loop {
            match wire.read(&mut self.scratch, &mut self.buffer) {
                Ok(Got::End) if slot.phase == Phase::Leaving => {
                    self.done(index);
                    return Ok(());
                }
                Ok(Got::End) => return Err("closed by the server".to_owned()),
                Ok(Got::Bytes { count: 0, .. }) => {}
                Ok(Got::Bytes { .. }) if slot.phase == Phase::Leaving => {}
                Ok(Got::Bytes { count, .. }) => {
                    slot.head.extend_from_slice(&self.buffer[..count]);
                    let mut answered = self.script.manner == Manner::Tcp || slot.phase == Phase::Joining;
                    if !answered && let Some(head_bytes) = self.script.upgrade.check(&slot.head)? {
                        answered = true;
                        if let Manner::SocketIo { .. } = self.script.manner {
                            slot.head.drain(..head_bytes);
                            slot.phase = Phase::Joining;
                            wire.write_all(&self.script.greeting(0)).map_err(|e| dial::cause("send", &e))?;
                        }
                    }
                    if slot.phase == Phase::Joining {
                        answered = self.script.is_opened_by(&slot.head)?;
                    }
                    match self.ending {
                        _ if !answered => {}
                        Ending::Goodbye => {
                            slot.phase = Phase::Leaving;
                            wire.write_all(&self.goodbye).map_err(|e| dial::cause("send", &e))?;
                        }
                        Ending::Close | Ending::Reset => {
                            self.done(index);
                            return Ok(());
                        }
                    }
                }
                Ok(Got::Nothing) => return sent,
                Err(e) => return Err(dial::cause("receive", &e)),
            }
        }
    }

    /// Counts one, closes it, and starts the next one, unless there is a rate.
    fn done(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if let (Ending::Reset, Some(wire)) = (self.ending, &slot.wire) {
            // If this fails, the connection is closed normally, which is slower.
            drop(SockRef::from(&wire.socket).set_linger(Some(Duration::ZERO)));
        }
        slot.wire = None;
        self.lane.ready.add(1);
        if self.state.recording.load(Relaxed) {
            self.findings.handshakes.record(self.state.clock.now_ns().saturating_sub(slot.due_at_ns));
        }
        if self.rate.is_none() {
            self.dial(index);
        }
    }

    /// Leaves the slot empty until the next pass, so that a refusing server is not flooded.
    fn fail(&mut self, index: usize, cause: String) {
        self.slots[index].wire = None;
        self.lane.failed.add(1);
        self.findings.failures.add(cause, 1);
    }

    fn sweep(&mut self, now_ns: u64) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if slot.wire.is_some() && now_ns - slot.dialled_at_ns > self.timeout_ns {
                self.fail(index, "handshake: timed out".to_owned());
            }
        }
    }
}
