//! The endpoint for raw clients, and two kinds of clients: one checks its echoes, the other lives in rooms, which are
//! channels shared with the other clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use throng::Denied;
use throng::parts::proto::http::{Refusal, Request, Status};
use throng::parts::proto::ws::Kind;
use throng::parts::session::{ClientId, CloseReason, Handler, Message, Peer};
use throng::socketio::{Admit, Connecting, Ending, Event, Gone, Socket};

use crate::conduct::{Conduct, Io};
use crate::fan::{publication, publication_id};
use crate::model::{Model, SequenceId};
use crate::plan::Plan;
use crate::wire::{self, BINARY, Frame, TEXT};

const DRAIN_CODE: u16 = 1012;

/// The endpoint: `/echo`, `/room`, and `/locked` for nobody.
#[derive(Debug)]
pub(crate) struct TestHandler {
    /// Connections that were opened and not closed, in all shards.
    pub(crate) inside: Arc<AtomicI64>,
    /// Events of sockets, in all shards, in the order in which they were handled.
    pub(crate) told: Arc<Mutex<Vec<u32>>>,
}

#[derive(Debug)]
pub(crate) struct Guest {
    is_echo: bool,
    sends_back: bool,
}

impl Handler for TestHandler {
    type State = Guest;

    fn serves(&self, path: &str) -> bool {
        matches!(path, "/echo" | "/back" | "/room" | "/locked")
    }

    fn open(
        &mut self,
        request: &Request<'_>,
        _: Option<&'static str>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<Guest, Refusal> {
        if request.path == "/locked" {
            peer.join("c0");
            return Err(Refusal::new(Status::Forbidden, "nobody comes in here"));
        }
        self.inside.fetch_add(1, Relaxed);
        let sends_back = request.path == "/back";
        Ok(Guest { is_echo: request.path == "/echo" || sends_back, sends_back })
    }

    fn message(
        &mut self,
        guest: &mut Guest,
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        if guest.sends_back {
            peer.send_back(message);
            return Ok(());
        }
        if guest.is_echo {
            peer.send(message.kind, message.data);
            return Ok(());
        }
        let words = message.text().unwrap_or("").splitn(3, ' ').collect::<Vec<_>>();
        match words[..] {
            ["join", room] => peer.join(room),
            ["leave", room] => {
                peer.leave(room);
                peer.send(Kind::Text, format!("left {room}").as_bytes());
            }
            ["say", room, data] => {
                peer.broadcast(room, Kind::Text, data.as_bytes());
                peer.send(Kind::Text, format!("said {room}").as_bytes());
            }
            ["timer", ms] => peer.set_timer(ms.parse().unwrap()),
            _ => return peer.close(4999, "what?"),
        }
        Ok(())
    }

    fn timer(&mut self, _: &mut Guest, peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        peer.send(Kind::Text, b"tick");
        Ok(())
    }

    fn joined(&mut self, _: &mut Guest, room: &str, outcome: Result<(), Denied>, peer: &mut Peer<'_, '_>) {
        let word = if outcome.is_ok() { "joined" } else { "refused" };
        peer.send(Kind::Text, format!("{word} {room}").as_bytes());
    }

    fn closed(&mut self, _: Guest, _: ClientId, _: &CloseReason) {
        self.inside.fetch_sub(1, Relaxed);
    }

    fn socket_connect(&mut self, _: &Connecting<'_>) -> Admit<Guest> {
        self.inside.fetch_add(1, Relaxed);
        Admit::In(Guest { is_echo: true, sends_back: false })
    }

    /// `message` is sent back, `join` enters a room, `say` is for all of it.
    fn socket_event(
        &mut self,
        _: &mut Guest,
        event: Event<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        if event.name.starts_with("do ") {
            self.told.lock().unwrap().push(crate::returning::obey(&event, socket)?);
            return Ok(());
        }
        let Event { name, args, attachments, .. } = event;
        match name {
            "join" => Ok(socket.join("room")?),
            "say" => {
                let (number,): (u64,) = args.read().unwrap_or_default();
                Ok(socket.everyone().to("room").emit("said", &(number,))?)
            }
            _ => Ok(socket.emit_raw("back", args, attachments)?),
        }
    }

    fn socket_closed(&mut self, _: Guest, _: &mut Gone<'_>) {
        self.inside.fetch_sub(1, Relaxed);
    }
}

/// A client that checks its echoes.
#[derive(Debug)]
pub(crate) struct Caller {
    bytes_max: usize,
    expected: VecDeque<(u8, Vec<u8>)>,
}

impl Caller {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { bytes_max: plan.echo_bytes_max, expected: VecDeque::new() }
    }
}

impl Conduct for Caller {
    fn hello(&mut self, io: &mut Io) {
        let path = if io.rng.chance(50) { "/echo" } else { "/back" };
        io.out.extend(wire::upgrade(path));
    }

    fn opened(&mut self, _: &mut Io, _: &mut Model) {}

    fn message(&mut self, frame: Frame, io: &mut Io, _: &mut Model) {
        let (opcode, payload) = self.expected.pop_front().expect("an echo of something");
        assert_eq!(frame.opcode, opcode, "{}", io.who);
        assert!(frame.payload == payload, "{}: the echo differs", io.who);
    }

    fn act(&mut self, io: &mut Io, _: &mut Model) {
        let count = if io.rng.chance(10) { io.rng.size(2..=6) } else { 1 };
        for _ in 0..count {
            let length = io.rng.size(0..=self.bytes_max);
            let (opcode, payload) = match io.rng.chance(50) {
                true => (BINARY, io.rng.bytes(length)),
                false => (TEXT, "ä€x".chars().cycle().take(length / 3).collect::<String>().into_bytes()),
            };
            io.say(opcode, &payload);
            self.expected.push_back((opcode, payload));
        }
    }

    fn over(&mut self, _: &mut Model) {}

    fn check_settled(&self, who: u32) {
        assert!(self.expected.is_empty(), "{who}: {} echoes are missing", self.expected.len());
    }

    fn drain_code(&self) -> u16 {
        DRAIN_CODE
    }
}

/// Lives in rooms.
#[derive(Debug)]
pub(crate) struct Guide {
    channels: u32,
    pad_bytes_max: usize,
    may_be_refused: bool,
    /// Asked for, or in it and not yet asked to leave.
    held: BTreeSet<u32>,
    joining: BTreeSet<u32>,
    leaving: VecDeque<u32>,
    runs: BTreeMap<u32, SequenceId>,
    said: VecDeque<u32>,
    /// When the timer that was set last must have rung, at the latest and at the earliest.
    timer_us: Option<u64>,
}

impl Guide {
    pub(crate) fn new(plan: &Plan) -> Self {
        let limits = &plan.config.limits;
        Self {
            channels: plan.channels,
            pad_bytes_max: plan.pad_bytes_max,
            may_be_refused: plan.may_refuse_channels()
                || limits.channels_per_connection_max < plan.channels as usize,
            held: BTreeSet::new(),
            joining: BTreeSet::new(),
            leaving: VecDeque::new(),
            runs: BTreeMap::new(),
            said: VecDeque::new(),
            timer_us: None,
        }
    }

    fn control(&mut self, text: &str, io: &Io, model: &mut Model) {
        let who = io.who;
        let channel = || text.rsplit("c").next().and_then(|digits| digits.parse::<u32>().ok()).unwrap();
        match text.split(' ').next() {
            Some("joined") => {
                assert!(self.joining.remove(&channel()), "{who}: {text}");
                self.runs.insert(channel(), model.begin(who, channel()));
            }
            Some("refused") => {
                assert!(self.may_be_refused && self.joining.remove(&channel()), "{who}: {text}");
                self.held.remove(&channel());
            }
            Some("left") => {
                assert_eq!(self.leaving.pop_front(), Some(channel()), "{who}: {text}");
                model.end(self.runs.remove(&channel()).unwrap());
            }
            Some("said") => {
                assert_eq!(self.said.pop_front(), Some(channel()), "{who}: {text}");
                model.published(who, channel());
            }
            Some("tick") => {
                let due_us = self.timer_us.take().expect("a timer was set");
                // Milliseconds are cut off when it is set.
                assert!(io.now_us + 1000 >= due_us, "{who}: the timer rang {} us early", due_us - io.now_us);
            }
            _ => panic!("{who}: {text}"),
        }
    }
}

impl Conduct for Guide {
    fn hello(&mut self, io: &mut Io) {
        io.out.extend(wire::upgrade("/room"));
    }

    fn opened(&mut self, _: &mut Io, _: &mut Model) {}

    fn message(&mut self, frame: Frame, io: &mut Io, model: &mut Model) {
        let text = String::from_utf8(frame.payload).unwrap();
        if !text.starts_with('{') {
            return self.control(&text, io, model);
        }
        let (channel, id) = publication_id(&serde_json::from_str(&text).unwrap());
        let run = self.runs.get(&channel);
        model.deliver(*run.unwrap_or_else(|| panic!("{}: not in room {channel}: {text}", io.who)), id);
    }

    fn act(&mut self, io: &mut Io, model: &mut Model) {
        let channel = io.rng.range(0..=u64::from(self.channels) - 1) as u32;
        match io.rng.range(0..=99) {
            0..20 if !self.held.contains(&channel) && !self.leaving.contains(&channel) => {
                self.held.insert(channel);
                self.joining.insert(channel);
                io.say(TEXT, format!("join c{channel}").as_bytes());
            }
            20..28 if self.runs.contains_key(&channel) && self.held.remove(&channel) => {
                self.leaving.push_back(channel);
                io.say(TEXT, format!("leave c{channel}").as_bytes());
            }
            28..36 if self.timer_us.is_none() => {
                let ms = io.rng.range(1..=250);
                self.timer_us = Some(io.now_us + ms * 1000);
                io.say(TEXT, format!("timer {ms}").as_bytes());
            }
            36.. => {
                let number = model.publish(io.who, channel);
                let data = publication(channel, io.who, number, self.pad_bytes_max, io);
                io.say(TEXT, format!("say c{channel} {data}").as_bytes());
                self.said.push_back(channel);
            }
            _ => {}
        }
    }

    fn over(&mut self, model: &mut Model) {
        for (_, run) in std::mem::take(&mut self.runs) {
            model.end(run);
        }
    }

    fn check_settled(&self, who: u32) {
        assert!(
            self.joining.is_empty() && self.leaving.is_empty() && self.said.is_empty(),
            "{who}: {self:?}"
        );
        assert!(self.timer_us.is_none(), "{who}: the timer never rang");
    }

    fn drain_code(&self) -> u16 {
        DRAIN_CODE
    }
}
