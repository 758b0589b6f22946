//! One thread's subscribers: opens its share of the connections, answers heartbeats, and checks every
//! publication that arrives.
//!
//! The invariants: a waiting connection owns only its entry in the slab (and the bytes of a partial frame), and an
//! arrival allocates nothing, because the generator must hold hundreds of thousands of connections and be faster
//! than the server. Left out: publishing, and the start and the end of a run.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::bench::connections::dial;
use crate::bench::connections::plan::{self, Share};
use crate::bench::connections::receiver::{Heard, Receiver};
use crate::bench::connections::retry::{BackOff, Retries};
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::connections::wire::{Got, Scratch, Wire};
use crate::bench::messages::script::{Manner, Script};
use crate::bench::messages::socketio::Ticket;
use crate::bench::report::findings::{Failures, Latency};

/// Events per wait: small enough that arrivals are counted, and the publisher woken, without delay.
const EVENTS_PER_WAIT: usize = 512;
/// Bytes read at a time. A frame must fit.
const BUFFER_BYTES: usize = 1 << 20;
/// Maximum wait for events before a thread checks the state again.
const WAIT_OPENING: Duration = Duration::from_millis(2);
const WAIT_HOLDING: Duration = Duration::from_millis(100);
const SWEEP_NS: u64 = 500_000_000;

/// The progress of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Refused; it will retry.
    Away,
    Connecting,
    /// The upgrade request is sent.
    Upgrading,
    /// The commands are sent.
    Joining,
    /// Connected; others are not.
    Waiting,
    Live,
    Gone,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    wire: Option<Wire<TcpStream>>,
    pub(crate) phase: Phase,
    /// Attempts to connect.
    attempts: u16,
    /// Before the connection is live: time of its dial, in units of [`Client::TICK_NS`]; afterwards: number of the
    /// next expected publication.
    pub(crate) word: u32,
    partial: Option<Box<Partial>>,
}

/// The beginning of a frame whose rest has not arrived.
#[derive(Debug)]
struct Partial(Vec<u8>);

impl Client {
    /// 65 µs: a u32 of them lasts three days, and latencies of handshakes need no finer unit.
    pub(crate) const TICK_NS: u64 = 1 << 16;

    /// Sends a small message; a socket that has no room for it counts as failed.
    ///
    /// # Errors
    /// The kind of the failure.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        match wire.write(bytes) {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(_) => Err("send: no room for a small message".to_owned()),
            Err(e) => Err(dial::cause("send", &e)),
        }
    }
}

/// A thread's settings for opening connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) share: Share,
    /// Handshakes in progress at a time.
    pub(crate) concurrency: usize,
    /// Connections per second.
    pub(crate) rate: Option<f64>,
    pub(crate) timeout_ns: u64,
    /// Pause between two polls, so that not every message wakes a thread: with many threads per core, wake-ups
    /// would take most of the CPU.
    pub(crate) pause: Duration,
    /// Dial all at once when released, and again after a refusal.
    pub(crate) comeback: Option<BackOff>,
}

impl Opening {
    /// All at the same time.
    pub(crate) fn at_once(share: Share, timeout_ns: u64) -> Self {
        let (concurrency, pause) = (share.count, Duration::ZERO);
        Self { share, concurrency, rate: None, timeout_ns, pause, comeback: None }
    }
}

/// The results of one thread.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) failures: Failures,
    /// Attempts that failed and were retried.
    pub(crate) refusals: Failures,
    /// From the dial, or from the release, to the live state.
    pub(crate) opening: Latency,
    /// From the scheduled time of a publication to its arrival: all, first quarter, last quarter.
    pub(crate) arrivals: [Latency; 3],
    /// The sessions of Socket.IO that were kept, by the connection's number.
    pub(crate) tickets: Vec<Ticket>,
}

impl Findings {
    pub(crate) fn new() -> Self {
        let arrivals = [Latency::new(), Latency::new(), Latency::new()];
        Self {
            failures: Failures::default(),
            refusals: Failures::default(),
            opening: Latency::new(),
            arrivals,
            tickets: Vec::new(),
        }
    }

    /// Adds those of the next thread.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.tickets.append(&mut other.tickets);
        self.failures.merge(other.failures);
        self.refusals.merge(other.refusals);
        self.opening.merge(&other.opening);
        for (mine, theirs) in self.arrivals.iter_mut().zip(&other.arrivals) {
            mine.merge(theirs);
        }
    }
}

pub(crate) struct Audience<'a> {
    script: &'a Script,
    state: &'a RunState,
    lane: &'a Lane,
    opening: Opening,
    poll: Poll,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    scratch: Scratch,
    receiver: Receiver<'a>,
    /// All connections before this one are live or gone.
    settled: usize,
    swept_at_ns: u64,
    is_released: bool,
    retries: Retries,
}

impl<'a> Audience<'a> {
    /// # Errors
    /// The poller cannot be created.
    pub(crate) fn new(
        script: &'a Script,
        state: &'a RunState,
        lane: &'a Lane,
        opening: Opening,
    ) -> io::Result<Self> {
        Ok(Self {
            script,
            state,
            lane,
            opening,
            poll: Poll::new()?,
            clients: Vec::with_capacity(opening.share.count),
            buffer: vec![0; BUFFER_BYTES],
            scratch: Scratch::new(script.target.tls.as_ref()),
            receiver: Receiver::new(script, state, lane),
            settled: 0,
            swept_at_ns: 0,
            is_released: false,
            retries: Retries::default(),
        })
    }

    /// Runs until `state` says stop.
    ///
    /// # Errors
    /// The poller fails.
    pub(crate) fn run(mut self) -> io::Result<Findings> {
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        let started_at_ns = self.state.clock.now_ns();
        while !self.state.stopped() {
            if self.opening.comeback.is_none() || self.is_released {
                self.open(started_at_ns);
                self.come_again();
            }
            if !self.is_released && self.state.released_at_ns().is_some() {
                self.release();
            }
            let done = self.settled == self.opening.share.count;
            match self.poll.poll(&mut events, Some(if done { WAIT_HOLDING } else { WAIT_OPENING })) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let mut seen = 0;
            for event in &events {
                seen += 1;
                let index = event.token().0;
                let was_connecting = self.clients[index].phase == Phase::Connecting;
                if was_connecting {
                    self.connected(index);
                }
                // A full server answers before it is asked, and the connection's event may be the only one that
                // reports the answer.
                if !was_connecting || event.is_readable() {
                    self.read(index, event.is_read_closed() || event.is_error());
                }
            }
            self.receiver.flush();
            if !done {
                self.sweep();
            }
            if seen < EVENTS_PER_WAIT {
                self.state.clock.sleep_for(self.opening.pause);
            }
        }
        let mut tickets = self.receiver.take_tickets();
        if !tickets.is_empty() {
            tickets.resize(self.opening.share.count, Ticket::default());
        }
        let mut findings = self.receiver.findings;
        findings.tickets = tickets;
        Ok(findings)
    }

    /// Dials, up to the allowed number of concurrent handshakes.
    fn open(&mut self, started_at_ns: u64) {
        let Opening { share, concurrency, rate, .. } = self.opening;
        let now_ns = self.state.clock.now_ns();
        let allowed = match rate {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "float casts saturate"
            )]
            Some(rate) => (crate::bench::clock::seconds(now_ns - started_at_ns) * rate) as usize + 1,
            None => share.count,
        };
        while self.clients.len() < share.count.min(allowed) && self.receiver.pending < concurrency {
            let index = self.clients.len();
            self.lane.started.add(1);
            self.receiver.pending += 1;
            let word = self.receiver.ticks();
            let phase = Phase::Connecting;
            self.clients.push(Client { wire: None, phase, attempts: 0, word, partial: None });
            self.attempt(index);
        }
    }

    /// All are connected: the waiting connections continue.
    fn release(&mut self) {
        self.is_released = true;
        let ticks = self.receiver.ticks();
        self.receiver.released_at_ticks = self.opening.comeback.map(|_| ticks);
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if client.phase == Phase::Waiting {
                client.word = ticks;
            }
            if let Err(cause) = self.receiver.encore(client) {
                self.end(index, cause);
            }
        }
    }

    /// Dials again for refused connections whose delay has passed.
    fn come_again(&mut self) {
        let now_ns = self.state.clock.now_ns();
        while let Some(index) = self.retries.due(now_ns) {
            self.receiver.pending += 1;
            let word = self.receiver.ticks();
            let client = &mut self.clients[index];
            (client.phase, client.word) = (Phase::Connecting, word);
            self.attempt(index);
        }
    }

    fn attempt(&mut self, index: usize) {
        let outcome = self.dial(index);
        let client = &mut self.clients[index];
        client.attempts = client.attempts.saturating_add(1);
        if let Err(e) = outcome {
            self.end(index, dial::cause("connect", &e));
        }
    }

    fn dial(&mut self, index: usize) -> io::Result<()> {
        let number = self.script.first + self.opening.share.first + index;
        let (attempts, address) = (self.clients[index].attempts, self.script.target.address);
        let source = plan::source_of_attempt(number, attempts, address);
        let mut wire = dial::dial(&self.script.target, source)?;
        // Edge-triggered: one registration is enough.
        self.poll.registry().register(
            &mut wire.socket,
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.clients[index].wire = Some(wire);
        Ok(())
    }

    /// The first event of a connection: it is established, or the first write returns the error.
    fn connected(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let outcome = if self.script.manner == Manner::Tcp {
            let Some(wire) = &mut client.wire else { return };
            let error = wire.socket.take_error().and_then(|error| error.map_or(Ok(()), Err));
            error.and_then(|()| wire.begin()).map_err(|e| dial::cause("connect", &e))
        } else {
            client.phase = Phase::Upgrading;
            client.say(&self.script.request).map_err(|cause| cause.replacen("send", "connect", 1))
        };
        match outcome {
            Err(cause) => self.end(index, cause),
            Ok(()) if self.script.manner == Manner::Tcp => self.receiver.live(client, 0),
            Ok(()) => {}
        }
    }

    /// Sends what is left, then reads. A read that does not fill the buffer has emptied the socket (epoll(7),
    /// question 9) and needs no second call, unless the end of the stream was reported with the data.
    fn read(&mut self, index: usize, to_the_end: bool) {
        let client = &mut self.clients[index];
        if let Some(Err(e)) = client.wire.as_mut().map(Wire::flush) {
            return self.end(index, dial::cause("send", &e));
        }
        let mut kept = match client.partial.take() {
            Some(partial) => {
                self.buffer[..partial.0.len()].copy_from_slice(&partial.0);
                partial.0.len()
            }
            None => 0,
        };
        loop {
            let Some(wire) = &mut client.wire else { return };
            if kept == self.buffer.len() {
                return self.end(index, "frame larger than the buffer".to_owned());
            }
            let (read, is_short) = match wire.read(&mut self.scratch, &mut self.buffer[kept..]) {
                Ok(Got::Bytes { count, is_short }) => (count, is_short),
                Ok(Got::Nothing) => break,
                Ok(Got::End) => return self.end(index, "closed by the server".to_owned()),
                Err(e) => return self.end(index, dial::cause("receive", &e)),
            };
            self.lane.bytes.add(read as u64);
            let filled = kept + read;
            let number = self.opening.share.first + index;
            let consumed = match self.receiver.hear(index, number, client, &self.buffer[..filled]) {
                Heard::Consumed(n) => n,
                Heard::Broken(cause) => return self.end(index, cause),
            };
            self.buffer.copy_within(consumed..filled, 0);
            kept = filled - consumed;
            if is_short && !to_the_end {
                break;
            }
        }
        if kept > 0 {
            client.partial = Some(Box::new(Partial(self.buffer[..kept].to_vec())));
        }
    }

    /// Ends handshakes that exceed the timeout.
    fn sweep(&mut self) {
        while self.clients.get(self.settled).is_some_and(|c| matches!(c.phase, Phase::Live | Phase::Gone)) {
            self.settled += 1;
        }
        let now_ns = self.state.clock.now_ns();
        if now_ns - self.swept_at_ns < SWEEP_NS {
            return;
        }
        self.swept_at_ns = now_ns;
        let (ticks, limit) = (self.receiver.ticks(), self.opening.timeout_ns / Client::TICK_NS);
        for index in self.settled..self.clients.len() {
            let client = &self.clients[index];
            let kind = match client.phase {
                Phase::Connecting => "connect: timed out",
                Phase::Upgrading => "handshake: timed out",
                Phase::Joining => "reply: timed out",
                Phase::Away | Phase::Waiting | Phase::Live | Phase::Gone => continue,
            };
            if u64::from(ticks.wrapping_sub(client.word)) > limit {
                self.end(index, kind.to_owned());
            }
        }
    }

    /// Closes a connection that failed or was lost. After a refusal it may retry.
    fn end(&mut self, index: usize, cause: String) {
        let client = &mut self.clients[index];
        client.wire = None;
        client.partial = None;
        let retry_after_s = self.receiver.retry_after_s.take();
        let number = self.opening.share.first + index;
        if let Some(back_off) = self.opening.comeback
            && matches!(client.phase, Phase::Connecting | Phase::Upgrading | Phase::Joining)
            && let Some(delay_ns) = back_off.delay_ns(number, client.attempts, retry_after_s)
        {
            self.receiver.refused(client, cause);
            return self.retries.push(self.state.clock.now_ns() + delay_ns, index);
        }
        self.receiver.gone(client, cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_connection_is_small() {
        // A debug build of mio adds its own checks to each socket.
        let bytes = if cfg!(debug_assertions) { 48 } else { 32 };
        assert!(size_of::<Client>() <= bytes, "{} bytes", size_of::<Client>());
    }
}
