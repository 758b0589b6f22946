//! One thread's players: connections that send messages, wait for their echoes, and send as many again.
//!
//! The invariant: each has exactly the asked number of messages under way, so the load is closed: a slow server
//! is asked less. Left out: what an echo must look like.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::board::{Board, Lane};
use super::dial;
use super::echoes::{Echoes, Ring};
use super::findings::{Failures, Latency};
use super::plan::{self, Share};
use super::script::{Manner, Script};

const EVENTS_PER_WAIT: usize = 1024;
const BUFFER_BYTES: usize = 256 << 10;
const WAIT: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    Playing,
    Gone,
}

struct Player {
    socket: TcpStream,
    phase: Phase,
    dialled_at_ns: u64,
    /// The handshake's answer, while it is incomplete.
    head: Vec<u8>,
    sent_bytes: u64,
    due_bytes: usize,
    echoes: Echoes,
}

/// What one thread brings home.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) failures: Failures,
    pub(super) opening: Latency,
    pub(super) echoes: Latency,
}

pub(super) struct Volley<'a> {
    script: &'a Script,
    board: &'a Board,
    lane: &'a Lane,
    ring: &'a Ring,
    in_flight: usize,
    poll: Poll,
    players: Vec<Player>,
    /// When each message under way was sent: `in_flight` moments per player.
    sent_at_ns: Vec<u64>,
    buffer: Vec<u8>,
    findings: Findings,
}

impl<'a> Volley<'a> {
    /// # Errors
    /// What making the poller says.
    pub(super) fn new(
        script: &'a Script,
        board: &'a Board,
        lane: &'a Lane,
        ring: &'a Ring,
        in_flight: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            script,
            board,
            lane,
            ring,
            in_flight,
            poll: Poll::new()?,
            players: Vec::new(),
            sent_at_ns: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            findings: Findings {
                failures: Failures::default(),
                opening: Latency::new(),
                echoes: Latency::new(),
            },
        })
    }

    /// Opens its share of the connections and plays until the board says stop.
    ///
    /// # Errors
    /// What the poller says.
    pub(super) fn run(mut self, share: Share, timeout_ns: u64) -> io::Result<Findings> {
        for n in share.first..share.first + share.count {
            self.dial(n)?;
        }
        let give_up_at_ns = self.board.clock.now_ns().saturating_add(timeout_ns);
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        while !self.board.stopped() {
            match self.poll.poll(&mut events, Some(WAIT)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let index = event.token().0;
                if let Err(cause) = self.turn(index, event.is_readable(), event.is_read_closed()) {
                    self.end(index, cause);
                }
            }
            let opened = self.lane.ready.value() + self.lane.failed.value();
            if opened < share.count as u64 && self.board.clock.now_ns() > give_up_at_ns {
                for index in 0..self.players.len() {
                    if matches!(self.players[index].phase, Phase::Connecting | Phase::Upgrading) {
                        self.end(index, "handshake: timed out".to_owned());
                    }
                }
            }
        }
        Ok(self.findings)
    }

    fn dial(&mut self, n: usize) -> io::Result<()> {
        let address = self.script.target.address;
        self.lane.started.add(1);
        let mut socket = match dial::dial(address, plan::source_of_held(n, address)) {
            Ok(socket) => socket,
            Err(e) => {
                self.lane.failed.add(1);
                self.findings.failures.add(dial::cause("connect", &e), 1);
                return Ok(());
            }
        };
        let token = Token(self.players.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        self.players.push(Player {
            socket,
            phase: Phase::Connecting,
            dialled_at_ns: self.board.clock.now_ns(),
            head: Vec::new(),
            sent_bytes: 0,
            due_bytes: 0,
            echoes: Echoes::default(),
        });
        self.sent_at_ns.resize(self.players.len() * self.in_flight, 0);
        Ok(())
    }

    /// What one event asks for.
    fn turn(&mut self, index: usize, readable: bool, to_the_end: bool) -> Result<(), String> {
        let player = &mut self.players[index];
        match player.phase {
            Phase::Gone => return Ok(()),
            Phase::Connecting if self.script.manner == Manner::Tcp => {
                if let Ok(Some(e)) = player.socket.take_error() {
                    return Err(dial::cause("connect", &e));
                }
                return self.ready(index);
            }
            Phase::Connecting => {
                player.phase = Phase::Upgrading;
                let sent = player.socket.write(&self.script.request);
                return sent.map(drop).map_err(|e| dial::cause("connect", &e));
            }
            Phase::Upgrading | Phase::Playing => {}
        }
        if readable {
            self.read(index, to_the_end)?;
        }
        self.send(index)
    }

    /// The connection is open: the first messages go out.
    fn ready(&mut self, index: usize) -> Result<(), String> {
        let now_ns = self.board.clock.now_ns();
        let player = &mut self.players[index];
        player.phase = Phase::Playing;
        player.due_bytes = self.in_flight * self.ring.frame_bytes();
        self.sent_at_ns[index * self.in_flight..][..self.in_flight].fill(now_ns);
        self.findings.opening.record(now_ns - player.dialled_at_ns);
        self.lane.ready.add(1);
        self.lane.ready_at_ns.set(now_ns);
        self.send(index)
    }

    fn read(&mut self, index: usize, to_the_end: bool) -> Result<(), String> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = loop {
            match self.players[index].socket.read(&mut buffer) {
                Ok(0) => break Err("closed by the server".to_owned()),
                Ok(n) => match self.hear(index, &buffer[..n]) {
                    // A read that leaves room has emptied the socket (epoll(7), question 9).
                    Ok(()) if n < buffer.len() && !to_the_end => break Ok(()),
                    Ok(()) => {}
                    Err(cause) => break Err(cause),
                },
                Err(e) if e.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break Err(dial::cause("receive", &e)),
            }
        };
        self.buffer = buffer;
        outcome
    }

    fn hear(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let player = &mut self.players[index];
        if player.phase == Phase::Upgrading {
            player.head.extend_from_slice(bytes);
            if self.script.upgrade.check(&player.head)?.is_some() {
                player.head = Vec::new();
                return self.ready(index);
            }
            return Ok(());
        }
        let before = player.echoes.count;
        let heard = player.echoes.hear(self.ring, bytes)?;
        self.lane.bytes.add(bytes.len() as u64);
        if heard == 0 {
            return Ok(());
        }
        self.lane.messages.add(heard);
        let now_ns = self.board.clock.now_ns();
        let recording = self.board.recording.load(Relaxed);
        let moments = &mut self.sent_at_ns[index * self.in_flight..][..self.in_flight];
        let mut slot = usize::try_from(before % self.in_flight as u64).unwrap_or(0);
        for _ in 0..heard {
            if recording {
                self.findings.echoes.record(now_ns - moments[slot]);
            }
            moments[slot] = now_ns;
            slot = if slot + 1 == self.in_flight { 0 } else { slot + 1 };
            player.due_bytes += self.ring.frame_bytes();
        }
        Ok(())
    }

    /// Sends what is due, in one call when the socket takes it; answers to pings go between two messages.
    fn send(&mut self, index: usize) -> Result<(), String> {
        let player = &mut self.players[index];
        while player.due_bytes > 0 {
            match player.socket.write(self.ring.due(player.sent_bytes, player.due_bytes)) {
                Ok(n) => {
                    player.sent_bytes += n as u64;
                    player.due_bytes -= n;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(dial::cause("send", &e)),
            }
        }
        if !player.echoes.pongs.is_empty() {
            let pongs = std::mem::take(&mut player.echoes.pongs);
            self.lane.heartbeats.add(1);
            player.socket.write_all(&pongs).map_err(|e| dial::cause("send", &e))?;
        }
        Ok(())
    }

    fn end(&mut self, index: usize, cause: String) {
        let player = &mut self.players[index];
        match player.phase {
            Phase::Gone => return,
            Phase::Connecting | Phase::Upgrading => {
                self.lane.failed.add(1);
                self.findings.failures.add(cause, 1);
            }
            Phase::Playing => {
                self.lane.lost.add(1);
                self.findings.failures.add(format!("lost, {cause}"), 1);
            }
        }
        player.phase = Phase::Gone;
        // The socket stays in its place until the run ends, but has no more events.
        drop(self.poll.registry().deregister(&mut player.socket));
    }
}
