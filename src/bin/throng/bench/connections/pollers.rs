//! One thread's clients of Socket.IO over HTTP long-polling, and their upgrade to WebSocket.
//!
//! The invariant: a client has one request under way, as its next packet waits for the answer to the last. A client
//! that waits for events has a GET parked; a ping ends that, and the answer is posted before the next GET. Left out:
//! a second connection for POSTs beside a parked GET, as no client here sends while it waits; attachments.

mod probe;

use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::bench::connections::audience::Opening;
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::connections::wire::{Got, Scratch, Wire};
use crate::bench::connections::{dial, plan};
use crate::bench::messages::script::{Manner, Script};
use crate::bench::messages::socketio::{self, Packet};
use crate::bench::messages::{replies, responses};
use crate::bench::report::findings::{Failures, Latency};
use probe::Probe;

const EVENTS_PER_WAIT: usize = 1024;
const BUFFER_BYTES: usize = 256 << 10;
const WAIT: std::time::Duration = std::time::Duration::from_millis(20);
const SWEEP_NS: u64 = 500_000_000;
/// Different events of an echo, so that an answer to another one is detected.
const VARIANTS: u64 = 4;
/// The behaviour of the clients once they are connected and in their room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Wait for events, answering pings.
    Hold,
    /// Send an event with data of this size, get its answer, and send the next.
    Echo { size: usize },
    /// Close, and begin again; before that, upgrade to WebSocket, or not.
    Churn { upgrade: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connecting,
    /// GET without a session.
    Opening,
    /// POST of CONNECT, then GET of the answer.
    Entering,
    Entered,
    /// POST of `join`, then GET of the answer.
    Joining,
    Joined,
    /// GET, parked.
    Waiting,
    /// POST of a pong.
    Ponging,
    /// POST of an event, then GET of the answer.
    Asking,
    Hearing,
    /// GET, parked, while the WebSocket probes.
    Probing,
    /// POST of the close packet.
    Leaving,
    Gone,
}

impl Step {
    fn is_before_ready(self) -> bool {
        matches!(
            self,
            Self::Connecting | Self::Opening | Self::Entering | Self::Entered | Self::Joining | Self::Joined
        )
    }
}

struct Client {
    wire: Option<Wire<TcpStream>>,
    step: Step,
    owes_pong: bool,
    sid: Box<str>,
    input: Vec<u8>,
    probe: Option<Box<Probe>>,
    /// Time of the dial, or of the last event.
    since_ns: u64,
    /// Events that were answered.
    count: u64,
}

/// The results of one thread.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) failures: Failures,
    pub(crate) opening: Latency,
    /// Answered events, or whole lives of `Course::Churn`.
    pub(crate) served: Latency,
}

pub(crate) struct Pollers<'a> {
    script: &'a Script,
    state: &'a RunState,
    lane: &'a Lane,
    opening: Opening,
    course: Course,
    rooms: u32,
    /// The bodies of the events, and their answers.
    events: Vec<(String, String)>,
    poll: Poll,
    clients: Vec<Client>,
    /// Connections dialled: their numbers determine source addresses.
    dialled: usize,
    pending: usize,
    buffer: Vec<u8>,
    request: Vec<u8>,
    scratch: Scratch,
    findings: Findings,
}

impl<'a> Pollers<'a> {
    /// # Errors
    /// The poller cannot be created.
    pub(crate) fn new(
        script: &'a Script,
        state: &'a RunState,
        lane: &'a Lane,
        opening: Opening,
        course: Course,
    ) -> io::Result<Self> {
        let size = if let Course::Echo { size } = course { size } else { 0 };
        let event = |variant: u64| {
            let id = 10 + usize::try_from(variant).unwrap_or(0);
            let letter = char::from(b'a' + u8::try_from(variant).unwrap_or(0));
            let data = format!("\"{}\"", letter.to_string().repeat(size.saturating_sub(2)));
            (replies::event(id, &data), replies::acknowledgement(id, &data))
        };
        Ok(Self {
            script,
            state,
            lane,
            opening,
            course,
            rooms: if let Manner::SocketIo { rooms } = script.manner { rooms } else { 0 },
            events: (0..VARIANTS).map(event).collect(),
            poll: Poll::new()?,
            clients: Vec::with_capacity(opening.share.count),
            dialled: 0,
            pending: 0,
            buffer: vec![0; BUFFER_BYTES],
            request: Vec::new(),
            scratch: Scratch::new(script.target.tls.as_ref()),
            findings: Findings {
                failures: Failures::default(),
                opening: Latency::new(),
                served: Latency::new(),
            },
        })
    }

    /// Runs until `state` says stop.
    ///
    /// # Errors
    /// The poller fails.
    pub(crate) fn run(mut self) -> io::Result<Findings> {
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        let (started_at_ns, mut swept_at_ns) = (self.state.clock.now_ns(), 0);
        while !self.state.stopped() {
            self.open(started_at_ns);
            match self.poll.poll(&mut events, Some(WAIT)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let (index, is_probe) = (event.token().0 / 2, event.token().0 % 2 == 1);
                let outcome = if is_probe { self.probe(index) } else { self.turn(index) };
                if let Err(cause) = outcome {
                    self.end(index, cause);
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

    /// Dials, up to the allowed number of clients that are not ready yet, and again for those that have ended.
    fn open(&mut self, started_at_ns: u64) {
        let Opening { share, concurrency, rate, .. } = self.opening;
        let seconds = crate::bench::clock::seconds(self.state.clock.now_ns() - started_at_ns);
        let may = |dialled: usize| rate.is_none_or(|rate| (dialled as f64) < seconds * rate + 1.0);
        while self.clients.len() < share.count && self.pending < concurrency && may(self.dialled) {
            let (input, sid, step) = (Vec::new(), "".into(), Step::Gone);
            let index = self.clients.len();
            let (owes_pong, since_ns, count) = (false, 0, 0);
            self.clients.push(Client {
                wire: None,
                step,
                owes_pong,
                sid,
                input,
                probe: None,
                since_ns,
                count,
            });
            self.begin(index);
        }
        if let Course::Churn { .. } = self.course {
            for index in 0..self.clients.len() {
                if self.clients[index].step == Step::Gone && may(self.dialled) {
                    self.begin(index);
                }
            }
        }
    }

    fn begin(&mut self, index: usize) {
        self.lane.started.add(1);
        self.pending += 1;
        let client = &mut self.clients[index];
        client.step = Step::Connecting;
        client.since_ns = self.state.clock.now_ns();
        client.input.clear();
        match self.dial(Token(2 * index)) {
            Ok(wire) => self.clients[index].wire = Some(wire),
            Err(e) => self.end(index, dial::cause("connect", &e)),
        }
    }

    fn dial(&mut self, token: Token) -> io::Result<Wire<TcpStream>> {
        let (number, address) = (self.dialled, self.script.target.address);
        self.dialled += 1;
        let source = match self.course {
            Course::Churn { .. } => plan::source_of_churn(number, address),
            Course::Hold | Course::Echo { .. } => {
                plan::source_of_held(self.script.first + self.opening.share.first + number, address)
            }
        };
        let mut wire = dial::dial(&self.script.target, source)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut wire.socket, token, both)?;
        Ok(wire)
    }

    /// Handles one event of a polling connection.
    fn turn(&mut self, index: usize) -> Result<(), String> {
        if self.clients[index].step == Step::Connecting {
            self.get(index, Step::Opening).map_err(|cause| cause.replacen("send", "connect", 1))?;
        } else if let Some(wire) = &mut self.clients[index].wire {
            wire.flush().map_err(|e| dial::cause("send", &e))?;
        }
        loop {
            let client = &mut self.clients[index];
            let Some(wire) = &mut client.wire else { return Ok(()) };
            match wire.read(&mut self.scratch, &mut self.buffer) {
                Ok(Got::Bytes { count, .. }) => {
                    client.input.extend_from_slice(&self.buffer[..count]);
                    self.lane.bytes.add(count as u64);
                    self.hear(index)?;
                }
                Ok(Got::Nothing) => return Ok(()),
                Ok(Got::End) => return Err("closed by the server".to_owned()),
                Err(e) => return Err(dial::cause("receive", &e)),
            }
        }
    }

    /// Handles the answer, once it is whole.
    fn hear(&mut self, index: usize) -> Result<(), String> {
        let input = std::mem::take(&mut self.clients[index].input);
        let Some(answer) = responses::answer(&input)? else {
            self.clients[index].input = input;
            return Ok(());
        };
        if answer.status != 200 {
            let body: String = String::from_utf8_lossy(answer.body).chars().take(60).collect();
            return Err(format!("poll: status {} {body}", answer.status));
        }
        if answer.length < input.len() {
            return Err("poll: more than an answer".to_owned());
        }
        match self.clients[index].step {
            Step::Opening => self.opened(index, answer.body),
            Step::Entering => self.posted(index, answer.body, Step::Entered),
            Step::Joining => self.posted(index, answer.body, Step::Joined),
            Step::Ponging => self.posted(index, answer.body, Step::Waiting),
            Step::Asking => self.posted(index, answer.body, Step::Hearing),
            Step::Leaving => {
                self.done(index);
                Ok(())
            }
            Step::Entered | Step::Joined | Step::Waiting | Step::Hearing | Step::Probing => {
                self.polled(index, answer.body)
            }
            Step::Connecting | Step::Gone => Err("poll: an answer to nothing".to_owned()),
        }?;
        let mut input = input;
        input.clear();
        if let Course::Echo { .. } = self.course {
            self.clients[index].input = input;
        }
        Ok(())
    }

    fn opened(&mut self, index: usize, body: &[u8]) -> Result<(), String> {
        let Packet::Open(sid) = socketio::packet(body)? else {
            return Err("poll: no open packet".to_owned());
        };
        self.clients[index].sid = sid.into_owned().into();
        let number = self.opening.share.first + index;
        let connect = self.script.socketio_connect(number);
        self.post(index, &connect, Step::Entering)
    }

    /// A POST was answered: polls.
    fn posted(&mut self, index: usize, body: &[u8], next: Step) -> Result<(), String> {
        if body != b"ok" {
            return Err("poll: a POST without ok".to_owned());
        }
        self.get(index, next)
    }

    /// Packets came: what the step waits for, pings, and others.
    fn polled(&mut self, index: usize, body: &[u8]) -> Result<(), String> {
        let step = self.clients[index].step;
        let mut is_done = false;
        for packet in body.split(|&byte| byte == socketio::SEPARATOR) {
            if step == Step::Hearing && packet.starts_with(b"43") {
                is_done = self.answered(index, packet)?;
                continue;
            }
            match socketio::packet(packet)? {
                Packet::Ping => self.clients[index].owes_pong = true,
                Packet::Connected { .. } => is_done |= step == Step::Entered,
                Packet::Ack(id) => is_done |= step == Step::Joined && id == self.rooms,
                Packet::Noop => is_done |= step == Step::Probing,
                Packet::Open(_) | Packet::Other => {}
            }
        }
        match (step, is_done) {
            (Step::Entered, true) if self.rooms > 0 => {
                let joins = self.script.join_packets(self.opening.share.first + index);
                self.post(index, &joins, Step::Joining)
            }
            (Step::Entered | Step::Joined, true) => self.entered(index),
            (Step::Hearing, true) => self.ask(index),
            (Step::Probing, true) => self.released(index),
            (Step::Waiting, _) if std::mem::take(&mut self.clients[index].owes_pong) => {
                self.lane.heartbeats.add(1);
                self.post(index, socketio::PONG, Step::Ponging)
            }
            _ => self.get(index, step),
        }
    }

    /// Whether this is the answer to the client's event.
    fn answered(&mut self, index: usize, packet: &[u8]) -> Result<bool, String> {
        let client = &mut self.clients[index];
        let (_, answer) = &self.events[usize::try_from(client.count % VARIANTS).unwrap_or(0)];
        if packet != answer.as_bytes() {
            return Err("echo: other content than what was sent".to_owned());
        }
        client.count += 1;
        let since_ns = client.since_ns;
        self.lane.messages.add(1);
        if self.state.recording.load(Relaxed) {
            self.findings.served.record(self.state.clock.now_ns().saturating_sub(since_ns));
        }
        Ok(true)
    }

    /// The client is connected and in its rooms.
    fn entered(&mut self, index: usize) -> Result<(), String> {
        self.pending -= 1;
        let now_ns = self.state.clock.now_ns();
        match self.course {
            Course::Churn { upgrade: false } => return self.post(index, socketio::CLOSE, Step::Leaving),
            Course::Churn { upgrade: true } => {
                self.get(index, Step::Probing)?;
                return self.begin_upgrade(index);
            }
            Course::Hold | Course::Echo { .. } => {}
        }
        self.findings.opening.record(now_ns - self.clients[index].since_ns);
        self.lane.ready.add(1);
        self.lane.ready_at_ns.set(now_ns);
        self.state.join();
        match self.course {
            Course::Hold if std::mem::take(&mut self.clients[index].owes_pong) => {
                self.lane.heartbeats.add(1);
                self.post(index, socketio::PONG, Step::Ponging)
            }
            Course::Hold => self.get(index, Step::Waiting),
            Course::Echo { .. } | Course::Churn { .. } => self.ask(index),
        }
    }

    /// Posts the next event, and a pong in front of it, if one is due.
    fn ask(&mut self, index: usize) -> Result<(), String> {
        let client = &mut self.clients[index];
        client.since_ns = self.state.clock.now_ns();
        let (event, _) = &self.events[usize::try_from(client.count % VARIANTS).unwrap_or(0)];
        if std::mem::take(&mut client.owes_pong) {
            self.lane.heartbeats.add(1);
            let both = format!("{}{}{event}", socketio::PONG, char::from(socketio::SEPARATOR));
            return self.post(index, &both, Step::Asking);
        }
        let event = event.clone();
        self.post(index, &event, Step::Asking)
    }

    fn get(&mut self, index: usize, next: Step) -> Result<(), String> {
        self.send(index, "GET", None, next)
    }

    fn post(&mut self, index: usize, body: &str, next: Step) -> Result<(), String> {
        self.send(index, "POST", Some(body), next)
    }

    fn send(&mut self, index: usize, method: &str, body: Option<&str>, next: Step) -> Result<(), String> {
        let target = &self.script.target;
        let client = &mut self.clients[index];
        client.step = next;
        self.request.clear();
        let out = &mut self.request;
        let sid: &[&str] = if client.sid.is_empty() { &[] } else { &["&sid=", &client.sid] };
        let written =
            write!(out, "{method} {}{} HTTP/1.1\r\nHost: {}\r\n", target.path, sid.concat(), target.host)
                .and_then(|()| match body {
                    Some(body) => {
                        let (kind, length) = ("text/plain;charset=UTF-8", body.len());
                        write!(out, "Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
                    }
                    None => out.write_all(b"\r\n"),
                });
        written.unwrap_or_else(|_| unreachable!("writing to memory does not fail"));
        let Some(wire) = &mut client.wire else { return Ok(()) };
        wire.write_all(&self.request).map_err(|e| dial::cause("send", &e))
    }

    /// Counts a life of `Course::Churn`.
    fn done(&mut self, index: usize) {
        let now_ns = self.state.clock.now_ns();
        self.lane.ready.add(1);
        if self.state.recording.load(Relaxed) {
            self.findings.served.record(now_ns.saturating_sub(self.clients[index].since_ns));
        }
        self.close(index);
    }

    fn close(&mut self, index: usize) {
        let client = &mut self.clients[index];
        (client.wire, client.probe, client.input) = (None, None, Vec::new());
        (client.sid, client.step, client.owes_pong) = ("".into(), Step::Gone, false);
    }

    /// Counts a client that failed or was lost, and closes it.
    fn end(&mut self, index: usize, cause: String) {
        let step = self.clients[index].step;
        if step == Step::Gone {
            return;
        }
        self.pending -= usize::from(step.is_before_ready());
        if step.is_before_ready() || matches!(self.course, Course::Churn { .. }) {
            self.lane.failed.add(1);
            self.findings.failures.add(cause, 1);
        } else {
            self.state.leave(0);
            self.lane.lost.add(1);
            self.findings.failures.add(format!("lost, {cause}"), 1);
        }
        self.close(index);
    }

    fn sweep(&mut self, now_ns: u64) {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            let may_last = client.step == Step::Gone || client.step == Step::Waiting;
            if !may_last && now_ns.saturating_sub(client.since_ns) > self.opening.timeout_ns {
                let cause =
                    if client.step.is_before_ready() { "handshake: timed out" } else { "poll: timed out" };
                // A ping of a held client is answered long after its dial.
                if client.step.is_before_ready() || self.course != Course::Hold {
                    self.end(index, cause.to_owned());
                }
            }
        }
    }
}
