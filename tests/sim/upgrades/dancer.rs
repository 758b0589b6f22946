//! A client of Socket.IO that begins with polls, and moves to a WebSocket in one of the ways that real clients have.

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, CLOSE, TEXT};
use crate::world::{LinkId, Received};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A connection, and what it has received.
#[derive(Debug)]
struct Line {
    link: LinkId,
    arrived: Vec<u8>,
    is_over: bool,
}

impl Line {
    fn open(small: &Small) -> Self {
        let link = small.world.borrow_mut().connect().unwrap();
        Self { link, arrived: Vec::new(), is_over: false }
    }

    fn receive(&mut self, small: &Small) {
        let received = small.world.borrow_mut().receive(self.link, usize::MAX, &mut self.arrived);
        self.is_over |= matches!(received, Received::End | Received::Reset);
    }

    /// A whole response: its status and its body.
    fn take_answer(&mut self) -> Option<(u16, String)> {
        let end = self.arrived.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.arrived[..end]).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let status = head[9..12].parse().unwrap();
        let body = self.arrived.get(end..end + length)?.to_vec();
        self.arrived.drain(..end + length);
        Some((status, String::from_utf8(body).unwrap()))
    }
}

/// How far the WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Requested.
    Asked,
    /// Accepted, and the probe is sent.
    Probed,
    /// The probe is answered: the client waits for the end of its poll.
    Tested,
    /// All that is sent from now on goes by it.
    Moved,
}

#[derive(Debug)]
pub(super) struct Dancer {
    gets: Option<Line>,
    posts: Option<Line>,
    websocket: Option<(Line, Step)>,
    /// WebSockets that the server must close.
    needless: Vec<Line>,
    target: Option<String>,
    /// Whether a poll is not answered.
    polls: bool,
    /// Whether a post is not answered.
    has_posted: bool,
    is_connected: bool,
    has_joined: bool,
    is_dead: bool,
    is_speaker: bool,
    /// Whether it keeps polling.
    stays: bool,
    /// Whether it requests WebSockets that must change nothing: where the server gives up none of those that it has.
    asks_in_vain: bool,
    /// Percent of acts that cut a connection.
    cuts: u64,
    sent: u64,
    spoken: u64,
    owes_pong: bool,
    backs: Vec<u64>,
    saids: Vec<u64>,
    polls_sent: u64,
    polls_answered: u64,
    relieved: u64,
    at_once: u64,
}

impl Dancer {
    pub(super) fn new(is_speaker: bool, stays: bool, cuts: u64, asks_in_vain: bool) -> Self {
        let (gets, posts, websocket, needless, target) = Default::default();
        let (polls, has_posted, is_connected, has_joined, is_dead, owes_pong) = Default::default();
        let (sent, spoken, backs, saids, polls_sent, polls_answered, relieved, at_once) = Default::default();
        Self {
            gets,
            posts,
            websocket,
            needless,
            target,
            polls,
            has_posted,
            is_connected,
            has_joined,
            is_dead,
            is_speaker,
            stays,
            asks_in_vain,
            cuts,
            sent,
            spoken,
            owes_pong,
            backs,
            saids,
            polls_sent,
            polls_answered,
            relieved,
            at_once,
        }
    }

    pub(super) fn target(&self) -> Option<String> {
        self.target.clone()
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.is_dead
    }

    pub(super) fn last_said(&self) -> Option<u64> {
        self.saids.last().copied()
    }

    pub(super) fn counts(&self) -> [(&'static str, u64); 5] {
        let has_moved = self.step() == Some(Step::Moved);
        [
            ("relieved", self.relieved),
            ("at_once", self.at_once),
            ("dead", self.is_dead.into()),
            ("moved_alive", (has_moved && !self.is_dead).into()),
            ("polling_to_the_end", (self.websocket.is_none() && !self.is_dead).into()),
        ]
    }

    fn step(&self) -> Option<Step> {
        self.websocket.as_ref().map(|(_, step)| *step)
    }

    fn has_moved(&self) -> bool {
        self.step() == Some(Step::Moved)
    }

    // What it does.

    /// Does something, or nothing.
    pub(super) fn act(&mut self, small: &Small, rng: &mut Rng) {
        if self.is_dead {
            return;
        }
        if rng.chance(self.cuts) {
            return self.cut(small, rng);
        }
        if self.target.is_none() {
            if !self.polls {
                self.poll(small);
            }
            return;
        }
        match rng.range(0..=9) {
            // Clients wait for the end of their poll before they move, and do not poll again.
            0..=3 => self.keep_polling(small),
            4..=5 => self.say_something(small, rng),
            6 if self.step() == Some(Step::Tested) => self.move_when_quiet(small, rng),
            6 => self.ask(small, rng),
            7 => self.go_on(small, rng),
            8 if rng.chance(20) => self.ask_in_vain(small, rng),
            _ => {}
        }
    }

    /// Only what must be done for all to arrive.
    pub(super) fn finish(&mut self, small: &Small, rng: &mut Rng) {
        if self.is_dead || self.target.is_none() {
            return;
        }
        self.go_on(small, rng);
        if self.step() == Some(Step::Tested) {
            self.move_when_quiet(small, rng);
        }
        self.keep_polling(small);
        if self.owes_pong {
            self.send(small, "3", rng);
        }
    }

    fn keep_polling(&mut self, small: &Small) {
        if !self.polls && !self.has_moved() {
            self.poll(small);
        }
    }

    fn poll(&mut self, small: &Small) {
        let target = self.target.clone().unwrap_or_else(|| POLLING.to_owned());
        let line = self.gets.get_or_insert_with(|| Line::open(small));
        small.send(line.link, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        self.polls = true;
        self.polls_sent += 1;
    }

    /// Sends packets, by the transport that the client uses; returns whether it could.
    fn send(&mut self, small: &Small, packets: &str, rng: &mut Rng) -> bool {
        if self.has_moved() {
            for packet in packets.split('\u{1e}') {
                self.frame(small, packet, rng);
            }
        } else if self.has_posted {
            return false;
        } else {
            let target = self.target.as_ref().unwrap();
            let line = self.posts.get_or_insert_with(|| Line::open(small));
            let length = packets.len();
            let request =
                format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{packets}");
            small.send(line.link, request.as_bytes());
            self.has_posted = true;
        }
        self.owes_pong &= packets != "3";
        true
    }

    fn frame(&mut self, small: &Small, packet: &str, rng: &mut Rng) {
        let Some((line, _)) = &self.websocket else { return };
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, packet.as_bytes(), rng);
        small.send(line.link, &out);
    }

    fn say_something(&mut self, small: &Small, rng: &mut Rng) {
        if self.owes_pong {
            self.send(small, "3", rng);
        } else if !self.is_connected {
            if self.sent == 0 && self.send(small, "40", rng) {
                // Sent once.
                self.sent = 1;
            }
        } else if !self.has_joined {
            self.has_joined = self.send(small, "42[\"join\"]", rng);
        } else if self.is_speaker && rng.chance(50) {
            if self.send(small, &format!("42[\"say\",{}]", self.spoken), rng) {
                self.spoken += 1;
            }
        } else {
            let count = rng.range(1..=3);
            let event = |n: u64| format!("42[\"message\",{}]", self.sent + n);
            let packets: Vec<String> = (0..count).map(event).collect();
            if self.send(small, &packets.join("\u{1e}"), rng) {
                self.sent += count;
            }
        }
    }

    /// Requests a WebSocket, and perhaps sends with the request what others send later.
    fn ask(&mut self, small: &Small, rng: &mut Rng) {
        if self.websocket.is_some() || self.stays {
            return;
        }
        let path = self.target.as_ref().unwrap().replace("transport=polling", "transport=websocket");
        let line = Line::open(small);
        small.send(line.link, &wire::upgrade(&path));
        self.websocket = Some((line, Step::Asked));
        // Some move at once. A post under way would race with what follows by the WebSocket.
        if rng.chance(25) && !self.has_posted {
            self.frame(small, "5", rng);
            self.at_once += 1;
            self.websocket.as_mut().unwrap().1 = Step::Moved;
        }
    }

    /// Sends the probe once the WebSocket is accepted; some post a noop behind the answer.
    fn go_on(&mut self, small: &Small, rng: &mut Rng) {
        match self.step() {
            Some(Step::Probed) => {}
            Some(Step::Tested) if rng.chance(20) => {
                self.send(small, "6", rng);
            }
            _ => {}
        }
    }

    /// Moves when no request is under way.
    fn move_when_quiet(&mut self, small: &Small, rng: &mut Rng) {
        if !self.polls && !self.has_posted {
            self.frame(small, "5", rng);
            self.websocket.as_mut().unwrap().1 = Step::Moved;
        }
    }

    /// Requests another WebSocket, which must change nothing.
    fn ask_in_vain(&mut self, small: &Small, rng: &mut Rng) {
        if !self.asks_in_vain || self.websocket.is_none() || self.step() == Some(Step::Asked) {
            return;
        }
        let path = self.target.as_ref().unwrap().replace("transport=polling", "transport=websocket");
        let line = Line::open(small);
        small.send(line.link, &wire::upgrade(&path));
        let mut out = Vec::new();
        let packet = if rng.chance(50) { "5" } else { "2probe" };
        wire::put_frame(&mut out, true, TEXT, packet.as_bytes(), rng);
        small.send(line.link, &out);
        self.needless.push(line);
    }

    /// Cuts one of its connections. Polling survives the loss of a WebSocket that it did not use yet.
    fn cut(&mut self, small: &Small, rng: &mut Rng) {
        let reset = |line: &Line| small.world.borrow_mut().reset(line.link);
        match rng.range(0..=9) {
            0 if self.polls => {
                self.gets.as_ref().inspect(|line| reset(line));
                self.is_dead = true;
            }
            1 if self.has_posted => {
                self.posts.as_ref().inspect(|line| reset(line));
                self.is_dead = true;
            }
            _ => {
                if let Some((line, step)) = self.websocket.take() {
                    reset(&line);
                    self.is_dead |= step == Step::Moved;
                }
            }
        }
    }

    // What it hears.

    pub(super) fn listen(&mut self, small: &Small) {
        self.listen_to_polls(small);
        self.listen_to_posts(small);
        self.listen_to_websocket(small);
        for line in &mut self.needless {
            line.receive(small);
        }
    }

    fn listen_to_polls(&mut self, small: &Small) {
        let Some(line) = &mut self.gets else { return };
        line.receive(small);
        let Some((status, body)) = line.take_answer() else {
            assert!(self.is_dead || !line.is_over, "a connection of polls ends: {line:?}");
            return;
        };
        assert!(self.polls, "an answer without a poll: {status} {body}");
        self.polls = false;
        self.polls_answered += 1;
        if status != 200 {
            assert!(self.is_dead || self.has_moved(), "{status} {body}");
            return;
        }
        self.relieved += u64::from(body == "6");
        body.split('\u{1e}').for_each(|packet| self.hear(packet));
    }

    fn listen_to_posts(&mut self, small: &Small) {
        let Some(line) = &mut self.posts else { return };
        line.receive(small);
        if let Some((status, body)) = line.take_answer() {
            assert!(self.has_posted, "an answer without a post: {status} {body}");
            self.has_posted = false;
            assert!(self.is_dead || (status, body.as_str()) == (200, "ok"), "{status} {body}");
        }
    }

    fn listen_to_websocket(&mut self, small: &Small) {
        // Output that was on its way to a poll comes first.
        let waits_for_poll = self.polls && !self.is_dead;
        let Some((line, step)) = &mut self.websocket else { return };
        line.receive(small);
        if let Some(end) = line.arrived.starts_with(b"HTTP").then(|| position(&line.arrived)).flatten() {
            let head = String::from_utf8(line.arrived[..end].to_vec()).unwrap();
            if !head.starts_with("HTTP/1.1 101") {
                // Refused: polling goes on.
                assert!(head.starts_with("HTTP/1.1 503") || self.is_dead, "{head}");
                self.is_dead |= *step == Step::Moved;
                self.websocket = None;
                return;
            }
            line.arrived.drain(..end);
            if *step == Step::Asked {
                *step = Step::Probed;
                let mut out = Vec::new();
                wire::put_frame(&mut out, true, TEXT, b"2probe", &mut Rng::new(1));
                small.send(line.link, &out);
            }
        }
        if line.arrived.starts_with(b"H") {
            return;
        }
        while let Some((line, step)) = &mut self.websocket
            && !(waits_for_poll && *step == Step::Moved)
            && let Some(frame) = wire::take_frame(&mut line.arrived)
        {
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            match (frame.opcode, *step) {
                (CLOSE, Step::Moved) => return self.is_dead = true,
                (CLOSE, _) => return self.websocket = None,
                (_, Step::Probed) => {
                    assert_eq!(text, "3probe");
                    *step = Step::Tested;
                }
                (_, Step::Moved) => self.hear(&text),
                (_, Step::Asked | Step::Tested) => panic!("nobody asked for {text}"),
            }
        }
        if let Some((line, step)) = &self.websocket
            && line.is_over
            && line.arrived.is_empty()
        {
            self.is_dead |= *step == Step::Moved;
            self.websocket = None;
        }
    }

    fn hear(&mut self, packet: &str) {
        let number = |packet: &str, name: &str| -> Option<u64> {
            packet.strip_prefix(name)?.strip_suffix(']')?.parse().ok()
        };
        if let Some(open) = packet.strip_prefix("0{\"sid\":\"") {
            self.target = Some(format!("{POLLING}&sid={}", &open[..open.find('"').unwrap()]));
        } else if packet.starts_with("40{") {
            self.is_connected = true;
            self.sent = 0;
        } else if packet == "2" {
            self.owes_pong = true;
        } else if let Some(number) = number(packet, "42[\"back\",") {
            assert_eq!(self.backs.len() as u64, number, "none is lost, and none comes twice");
            self.backs.push(number);
        } else if let Some(number) = number(packet, "42[\"said\",") {
            assert!(
                self.saids.last().is_none_or(|last| last + 1 == number),
                "{number} behind {:?}",
                self.saids
            );
            self.saids.push(number);
        } else {
            assert!(packet == "6" || packet == "1" && self.is_dead, "{packet}");
        }
    }

    /// Checks what it has heard in the end. `said`: the last that anyone of the room has heard.
    pub(super) fn check(&self, said: Option<u64>) {
        if self.is_dead || !self.is_connected {
            return;
        }
        assert_eq!(self.backs.len() as u64, self.sent, "all is sent back: {self:?}");
        assert!(self.saids.is_empty() || self.last_said() == said, "all hear the same: {said:?} {self:?}");
        let waiting = u64::from(self.polls);
        assert_eq!(self.polls_answered + waiting, self.polls_sent, "each poll has one answer");
        assert!(!self.has_moved() || waiting == 0, "no poll waits behind the move: {self:?}");
    }
}

/// The end of a response head.
fn position(bytes: &[u8]) -> Option<usize> {
    Some(bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4)
}
