//! The publisher of a run: one connection, on the director's thread, that publishes on a schedule or keeps a
//! number of publications in flight.
//!
//! Invariants: latency counts from the *scheduled* time of a publication, even if the server or the publisher was
//! late (no coordinated omission); replies are read while waiting to write, so that two full sockets cannot block
//! each other. A publication is in flight until all subscribers have it: the next one is sent when the outstanding
//! deliveries are at least one publication's worth below in_flight × subscribers. Left out: measuring; the
//! director sets its marks around these calls.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::bench::clock;
use crate::bench::connections::dial;
use crate::bench::connections::state::RunState;
use crate::bench::connections::wire::{Got, Scratch, Wire};
use crate::bench::messages::frames;
use crate::bench::messages::publication::{FIRST_COMMAND, Message, Scanner, Template};
use crate::bench::messages::script::{self, Manner, Script};
use crate::bench::messages::socketio::{self, Packet};
use crate::bench::report::progress::Progress;

/// Maximum of publications in one write when the publisher is late.
const BURST_MAX: u32 = 256;
/// Maximum wait before it checks for other work.
const NAP_NS: u64 = 20_000_000;
const NAP_FULL: Duration = Duration::from_micros(100);
/// Stands for Socket.IO's answer to CONNECT, which has no id; commands have higher ones.
const CONNECTED: u32 = 0;
/// Larger than any message to a publisher.
const INBOX_BYTES: usize = 64 << 10;

pub(crate) struct Publisher<'a> {
    state: &'a RunState,
    manner: Manner,
    heartbeat: Vec<u8>,
    wire: Wire<TcpStream>,
    scratch: Scratch,
    template: Template,
    scanner: Scanner,
    out: Vec<u8>,
    inbox: Vec<u8>,
    /// Publications sent so far, and the number of the next one.
    published: u32,
    /// Number of channels, and of channels per subscriber.
    channels: (u64, u64),
    timeout_ns: u64,
}

impl<'a> Publisher<'a> {
    /// Connects and waits until it may publish; the calling thread is the publisher from now on.
    ///
    /// # Errors
    /// A sentence with the failure.
    pub(crate) fn connect(
        script: &Script,
        state: &'a RunState,
        channel: &str,
        timeout_ns: u64,
    ) -> Result<Self, String> {
        state.publish_from_here();
        let template = Template::new(channel, script.data_bytes).spread_over(script.spread());
        let template = template.written_as(script.form());
        let template = if script.deflate { template.of_records() } else { template };
        let channels =
            script.spread().map_or((1, 1), |spread| (spread.channel_count.into(), spread.each.into()));
        let script = script.of_publisher();
        let failed = |e: io::Error| dial::cause("publisher", &e);
        let wire = dial::dial(&script.target, None).map_err(failed)?.map(TcpStream::from);
        wire.socket.set_nonblocking(false).map_err(failed)?;
        wire.socket.set_read_timeout(Some(Duration::from_nanos(timeout_ns.max(1)))).map_err(failed)?;
        let mut publisher = Self {
            state,
            manner: script.manner,
            heartbeat: script.heartbeat.clone(),
            wire,
            scratch: Scratch::new(script.target.tls.as_ref()),
            template,
            scanner: Scanner::new(script.data_bytes, script.form()),
            out: Vec::new(),
            inbox: Vec::new(),
            published: 0,
            channels,
            timeout_ns,
        };
        if script.manner != Manner::Tcp {
            publisher.shake_hands(&script).map_err(|cause| format!("publisher: {cause}"))?;
        }
        publisher.wire.socket.set_nonblocking(true).map_err(failed)?;
        Ok(publisher)
    }

    fn shake_hands(&mut self, script: &Script) -> Result<(), String> {
        let cause = |e: io::Error| dial::cause("handshake", &e);
        self.wire.write_all(&script.request).map_err(cause)?;
        let head_bytes = loop {
            if let Some(bytes) = script.upgrade.check(&self.inbox)? {
                break bytes;
            }
            self.receive().map_err(cause)?;
        };
        self.inbox.drain(..head_bytes);
        let last_id = match self.manner {
            Manner::Centrifuge { last_id } => last_id,
            Manner::SocketIo { .. } => CONNECTED,
            Manner::Tcp | Manner::Raw => {
                return Err(format!("{} is no endpoint with channels", script.target.url));
            }
        };
        self.wire.write_all(&script.greeting(0)).map_err(cause)?;
        while self.digest()? != Some(last_id) {
            self.receive().map_err(cause)?;
        }
        Ok(())
    }

    /// See [`Template::pad_deliveries`].
    pub(crate) fn pad_deliveries(&mut self, wire_bytes: usize) {
        self.template.pad_deliveries(wire_bytes);
    }

    /// Starts recording latencies with the next publication and returns its number; `count`: publications to come,
    /// 0 if unknown.
    pub(crate) fn measure_from_here(&self, count: u32) -> u32 {
        self.state.measured_count.store(count, SeqCst);
        self.state.measured_from.store(self.published, SeqCst);
        self.published
    }

    /// Subscribers that one publication reaches, on average.
    fn reach(&self) -> u64 {
        let (channels, each) = self.channels;
        self.state.audience() * each / channels
    }

    /// Continues after `published` earlier publications of this run, which all present subscribers have.
    pub(crate) fn go_on_from(&mut self, published: u32) {
        self.published = published;
    }

    /// Publishes `count` times, one after the other, and waits for the answer to the last.
    ///
    /// # Errors
    /// As [`Publisher::on_schedule`]; and if the last one is not acknowledged within `timeout_ns`.
    pub(crate) fn publish_surely(&mut self, count: u32, timeout_ns: u64) -> Result<(), String> {
        let cause = |e: io::Error| dial::cause("publish", &e);
        if count == 0 {
            return Ok(());
        }
        self.template.is_acked = true;
        let sent = self.publish(count, |_| 0);
        self.template.is_acked = false;
        sent?;
        self.wire.socket.set_nonblocking(false).map_err(cause)?;
        let clock = clock::Clock::start();
        while self.digest().map_err(|cause| format!("publish: {cause}"))?
            != Some(self.published - 1 + FIRST_COMMAND)
        {
            // Heartbeats may come for ever.
            let left_ns = timeout_ns.saturating_sub(clock.now_ns());
            if left_ns == 0 {
                return Err("publish: no acknowledgement of the last publication in time".to_owned());
            }
            self.wire.socket.set_read_timeout(Some(Duration::from_nanos(left_ns))).map_err(cause)?;
            match self.receive() {
                Err(late) if late.kind() == ErrorKind::WouldBlock => {}
                outcome => outcome.map_err(cause)?,
            }
        }
        self.wire.socket.set_nonblocking(true).map_err(cause)
    }

    /// Publications sent so far.
    pub(crate) fn published(&self) -> u32 {
        self.published
    }

    /// Outstanding deliveries, if all subscribers stay.
    pub(crate) fn outstanding(&self) -> u64 {
        (u64::from(self.published) * self.reach()).saturating_sub(self.state.delivered())
    }

    /// Publishes `count` times, `rate` per second.
    ///
    /// # Errors
    /// The server's error, or the failure of the connection.
    pub(crate) fn on_schedule(
        &mut self,
        rate: f64,
        count: u32,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let first = self.published;
        let started_at_ns = self.state.clock.now_ns();
        let due = |n: u32| started_at_ns + clock::ns(f64::from(n - first) / rate);
        while self.published - first < count {
            let now_ns = self.state.clock.now_ns();
            let left = count - (self.published - first);
            let burst = (0..left.min(BURST_MAX)).take_while(|i| due(self.published + i) <= now_ns).count();
            if burst > 0 {
                self.publish(u32::try_from(burst).unwrap_or(BURST_MAX), due)?;
            } else {
                self.state.clock.sleep_until(due(self.published).min(now_ns + NAP_NS));
            }
            self.listen()?;
            self.report(progress);
        }
        Ok(())
    }

    /// Keeps `in_flight` publications in flight until `until_ns`, or until `count_max` are sent.
    ///
    /// # Errors
    /// Those of [`Publisher::on_schedule`], and no subscribers.
    pub(crate) fn saturate(
        &mut self,
        in_flight: u32,
        until_ns: u64,
        count_max: u32,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let last = self.published.saturating_add(count_max);
        loop {
            let now_ns = self.state.clock.now_ns();
            if now_ns >= until_ns || self.published >= last {
                return Ok(());
            }
            let audience = self.reach();
            if audience == 0 {
                return Err("publisher: nobody is subscribed".to_owned());
            }
            let outstanding = self.outstanding();
            let room = (u64::from(in_flight) * audience).saturating_sub(outstanding) / audience;
            let burst = u32::try_from(room).unwrap_or(BURST_MAX).min(BURST_MAX).min(last - self.published);
            if burst > 0 {
                self.publish(burst, |_| now_ns)?;
            } else {
                self.wait_for((u64::from(self.published) + 1).saturating_sub(in_flight.into()) * audience);
            }
            self.listen()?;
            self.report(progress);
        }
    }

    /// Waits until all deliveries have arrived; false if nothing arrives during the timeout.
    ///
    /// # Errors
    /// As [`Publisher::on_schedule`].
    pub(crate) fn settle(&mut self, progress: &mut Progress) -> Result<bool, String> {
        let mut left = self.outstanding();
        let mut moved_at_ns = self.state.clock.now_ns();
        while left > 0 {
            self.wait_for(u64::from(self.published) * self.reach());
            self.listen()?;
            self.report(progress);
            let now_ns = self.state.clock.now_ns();
            let now_left = self.outstanding();
            if now_left != left {
                (left, moved_at_ns) = (now_left, now_ns);
            } else if now_ns - moved_at_ns > self.timeout_ns {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sleeps until `delivered` deliveries are counted, or for a short time.
    fn wait_for(&self, delivered: u64) {
        self.state.ask_wake(delivered);
        if self.state.delivered() < delivered {
            std::thread::park_timeout(Duration::from_nanos(NAP_NS));
        }
    }

    fn report(&self, progress: &mut Progress) {
        progress.tick(|| {
            format!("published {}, delivered {}", self.published, self.state.sum(|lane| &lane.messages))
        });
    }

    /// Sends the next `count` publications, with their scheduled times `due`, in one write.
    fn publish(&mut self, count: u32, due: impl Fn(u32) -> u64) -> Result<(), String> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        for number in self.published..self.published + count {
            self.state.set_moment(number, due(number));
            if self.manner == Manner::Tcp {
                self.template.push_delivery(&mut out, number);
            } else {
                self.template.push_command(&mut out, number);
            }
        }
        self.published += count;
        let sent = self.send(&out);
        self.out = out;
        sent
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.wire.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.listen()?;
                    self.state.clock.sleep_for(NAP_FULL);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(dial::cause("publish", &e)),
            }
        }
        Ok(())
    }

    /// Reads the server's messages, without waiting.
    fn listen(&mut self) -> Result<(), String> {
        self.wire.flush().map_err(|e| dial::cause("publish", &e))?;
        loop {
            match self.receive() {
                Ok(()) => self.digest().map_err(|cause| format!("publish: {cause}"))?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(dial::cause("publish", &e)),
            };
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let kept = self.inbox.len();
        self.inbox.resize(kept + INBOX_BYTES, 0);
        let outcome = self.wire.read(&mut self.scratch, &mut self.inbox[kept..]);
        let count = if let Ok(Got::Bytes { count, .. }) = outcome { count } else { 0 };
        self.inbox.truncate(kept + count);
        match outcome? {
            Got::Bytes { .. } => Ok(()),
            Got::Nothing => Err(ErrorKind::WouldBlock.into()),
            Got::End => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The id of a reply.
    fn reply_id(&self, line: &[u8]) -> Result<Option<u32>, String> {
        if !matches!(self.manner, Manner::SocketIo { .. }) {
            return script::reply_id(line).map(Some);
        }
        Ok(match socketio::packet(line)? {
            Packet::Connected { .. } => Some(CONNECTED),
            Packet::Ack(id) => Some(id),
            Packet::Open(_) | Packet::Ping | Packet::Noop | Packet::Other => None,
        })
    }

    /// Consumes whole frames; returns the id of the last reply among them.
    fn digest(&mut self) -> Result<Option<u32>, String> {
        let (mut at, mut last_id, mut answers) = (0, None, Vec::new());
        while let Some(head) =
            frames::header(&self.inbox[at..]).map_err(|broken| broken.cause().to_owned())?
        {
            let start = at + head.head_bytes;
            let Some(payload) = self.inbox.get(start..start + head.payload_bytes) else { break };
            at = start + payload.len();
            match head.opcode {
                frames::CLOSE => return Err(script::close_cause(payload)),
                frames::PING => frames::push_masked(&mut answers, frames::PONG, payload),
                frames::PONG => {}
                _ => {
                    let mut rest = payload;
                    while !rest.is_empty() {
                        let (message, tail) = self.scanner.next(rest);
                        rest = tail;
                        match message {
                            Message::Heartbeat => answers.extend_from_slice(&self.heartbeat),
                            Message::Other(line) => last_id = self.reply_id(line)?.or(last_id),
                            Message::Publication(_) => {}
                        }
                    }
                }
            }
        }
        self.inbox.drain(..at);
        if answers.is_empty() {
            return Ok(last_id);
        }
        self.wire.write_all(&answers).map_err(|e| dial::cause("send", &e))?;
        Ok(last_id)
    }
}
