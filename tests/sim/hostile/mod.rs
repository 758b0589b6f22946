//! Hostile conversations with whole shards: programs of arbitrary bytes, and the invariants after every turn.
//!
//! A program is played against one or two shards over the simulated network. It opens connections of every transport,
//! sends any command in any phase, several in one read and behind the request itself, ends connections in every way,
//! requests much and reads nothing, with orders of the server, answers from outside and passing time in between.
//! After each turn every gauge matches the real state and memory is within its limits (`stage.rs`); an innocent
//! client is connected all the time and gets its answers; and when all clients have gone, nothing is left.
//!
//! Seeds are written by hand, so a program consists of letters: the first line chooses the server's configuration
//! (`stage.rs`), then each step is a letter with its arguments, listed at [`Siege::step`]. Any other byte counts as
//! one of the letters, so that no input is wasted.

mod backend;
mod server;
mod stage;
mod words;

use super::harness::rng::Rng;
use super::harness::wire;
use stage::{Stage, Timing};

/// Plays a program; returns a hash of all events.
///
/// # Panics
/// When an invariant is violated.
pub(crate) fn play(program: &[u8]) -> u64 {
    let mut tape = Tape(program);
    let stage = Stage::new(&tape.line());
    let mut siege = Siege { stage, slots: Default::default(), rng: Rng::new(7) };
    while let Some(letter) = tape.next() {
        siege.step(letter, &mut tape);
    }
    siege.slots.iter_mut().for_each(|slot| slot.gathered.clear());
    siege.stage.check_the_end()
}

/// A random program: scenes that mostly make sense, a few bytes that do not.
pub(crate) fn program(rng: &mut Rng) -> Vec<u8> {
    let mut program: Vec<u8> = (0..rng.size(0..=4)).map(|_| rng.pick(server::MANNERS)).collect();
    program.push(b'\n');
    for _ in 0..rng.size(10..=40) {
        scene(&mut program, rng);
    }
    program
}

fn scene(out: &mut Vec<u8>, rng: &mut Rng) {
    let digit = |rng: &mut Rng, max: u64| b'0' + rng.range(0..=max) as u8;
    let slot = digit(rng, 3);
    let word = |out: &mut Vec<u8>, rng: &mut Rng| out.extend([rng.pick(words::WORDS), digit(rng, 7)]);
    match rng.range(0..=99) {
        0..45 => {
            let (path, count) = (rng.pick(words::PATHS), digit(rng, 4));
            // Most connect first, and in one of the ways of websockets.
            let path = if rng.chance(40) { b'w' } else { path };
            out.extend([b'o', slot, path, count]);
            for n in 0..count - b'0' {
                let connects = rng.pick(&words::WORDS[..words::CONNECTS]);
                let first = if rng.chance(60) { b'C' } else { connects };
                if n == 0 { out.extend([first, b'2']) } else { word(out, rng) }
            }
        }
        45..70 => {
            for _ in 0..rng.range(1..=6) {
                out.extend([if rng.chance(50) { b'g' } else { b'c' }, slot]);
                word(out, rng);
            }
            out.extend([b'c', slot, b'p', b'0']);
        }
        70..76 => {
            let channel = b'0' + rng.range(2..=3) as u8;
            out.extend([b'P', channel, digit(rng, 9), b'9', b'f', slot]);
            if rng.chance(60) {
                out.extend([rng.pick(b"hhryz"), channel])
            } else {
                word(out, rng)
            }
            out.push(digit(rng, 9));
        }
        76..82 => out.extend([b'O', rng.pick(words::ORDERS), digit(rng, 1), digit(rng, 7)]),
        82..88 => out.extend([b'a', digit(rng, 9), digit(rng, 9)]),
        88..92 => out.extend([b'm', slot, digit(rng, 3), b'1', rng.pick(words::WORDS), digit(rng, 7)]),
        92..94 => out.extend([b'j', digit(rng, 7), b'r', slot]),
        96..98 => {
            // On a new connection, or behind earlier input; alone, or several in one read.
            if rng.chance(50) {
                out.extend([b'e', slot, b'l']);
            }
            for _ in 0..rng.range(1..=6) {
                out.extend([b'k', slot, rng.pick(words::REQUESTS)]);
            }
            out.extend([b'd', slot, b't', digit(rng, 1)]);
            if rng.chance(70) {
                out.extend([b'a', digit(rng, 9), digit(rng, 9), b't', b'1']);
            }
        }
        94..96 => out.extend([b'V', digit(rng, 4)]),
        _ => out.extend(rng.bytes(12)),
    }
    if rng.chance(25) {
        out.extend([b'e', slot, rng.pick(ENDS)]);
    }
    match rng.range(0..=9) {
        0..7 => out.extend([b'd', slot, b't', digit(rng, 3)]),
        7 => out.extend([b'h', slot, digit(rng, 9), b't', b'0']),
        _ => {}
    }
    if rng.chance(30) {
        out.extend([b'r', slot]);
    }
}

/// The rest of a program.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A digit is its value, any other byte its number; 0 at the end of the tape.
    fn number(&mut self) -> usize {
        match self.next() {
            Some(digit @ b'0'..=b'9') => usize::from(digit - b'0'),
            other => usize::from(other.unwrap_or(0)),
        }
    }

    /// One of `letters`: the one that is written, else the one that the byte stands for.
    fn letter(&mut self, letters: &[u8]) -> u8 {
        one_of(letters, self.next().unwrap_or(0))
    }

    /// The rest of the line, at most eight bytes of it.
    fn line(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.next().filter(|&byte| byte != b'\n')).take(8).collect()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }
}

fn one_of(letters: &[u8], byte: u8) -> u8 {
    if letters.contains(&byte) { byte } else { letters[usize::from(byte) % letters.len()] }
}

/// Letters of steps.
const STEPS: &[u8] = b"ocgfemdhrptaAOPjxXVk";
/// Ends of connections: valid and invalid close frames, invalid frames, invalid text, an invalid command; the end of
/// input, a reset, a closed socket.
const ENDS: &[u8] = b"cCbutjfRl";
const SLOTS: usize = 8;

/// One connection of the program's.
#[derive(Default)]
struct Slot {
    link: Option<usize>,
    is_websocket: bool,
    /// Output that is not in transit yet.
    out: Vec<u8>,
    /// Commands of the message under construction.
    gathered: Vec<String>,
    /// Its input ends behind the current output.
    ends: bool,
    next_id: u32,
    /// The beginning of its received bytes, which contains its session's id.
    heard: Vec<u8>,
}

struct Siege {
    stage: Stage,
    slots: [Slot; SLOTS],
    rng: Rng,
}

impl Siege {
    /// One step. Slots and counts are digits, words are letters of `words.rs`:
    ///
    /// ```text
    /// o slot path n (word channel)*n   a connection; the commands are in its request, or behind it
    /// c slot word channel              a command, which ends the message
    /// g slot word channel              a command; more will follow in the same message
    /// f slot word channel count        16 times so many commands in one message
    /// e slot end                       an end of the connection
    /// m slot target n (word channel)*n commands posted for another connection
    /// d slot | h slot n                pending output arrives, all or n sixteenths of it
    /// r slot | p slot n                reads all, or 64 n bytes
    /// t n                              turns
    /// a which kind | A kind            answers one pending outside question, or all
    /// O kind user channel              an order of the server's
    /// P channel size count             publications of the server's, of 64 bytes times size
    /// k slot request                   a request that is answered outside, behind earlier output
    /// j n                              time passes
    /// V kind                           another configuration is loaded
    /// x slot n bytes | X slot n bytes  a text frame, or bytes, as they stand in the program
    /// ```
    fn step(&mut self, letter: u8, tape: &mut Tape<'_>) {
        if letter == b' ' || letter == b'\n' {
            return;
        }
        match one_of(STEPS, letter) {
            b'o' => self.open(tape),
            b'm' => self.post(tape),
            b'k' => self.request(tape),
            b't' => self.stage.turns(1 + tape.number() % 10),
            b'a' => {
                let (which, kind) = (tape.number(), tape.number());
                self.stage.answer(which, kind);
            }
            b'A' => {
                let kind = tape.number();
                while self.stage.answer(0, kind) {}
            }
            b'O' => {
                let (kind, user, channel) = (tape.letter(words::ORDERS), tape.number(), tape.number());
                self.stage.order(kind, user, channel);
            }
            b'P' => {
                let (channel, size, count) = (tape.number(), tape.number(), tape.number());
                self.stage.publish(channel, size % 10 * 64, count % 16 + 1);
            }
            b'j' => self.stage.pass(tape.number()),
            b'V' => self.stage.renew(tape.number()),
            letter => {
                let at = tape.number() % SLOTS;
                self.speak(letter, at, tape);
            }
        }
    }

    /// Handles a step of one connection's output or input.
    fn speak(&mut self, letter: u8, at: usize, tape: &mut Tape<'_>) {
        match letter {
            b'c' | b'g' => {
                self.gather(at, tape);
                if letter == b'c' {
                    self.say(at);
                }
            }
            b'f' => {
                let (word, channel, count) = (tape.letter(words::WORDS), tape.number(), tape.number());
                for _ in 0..count % 16 * 16 + 16 {
                    self.put_word(at, word, channel);
                }
                self.say(at);
            }
            b'e' => {
                let end = tape.letter(ENDS);
                self.end(at, end);
            }
            b'd' => self.deliver(at, 16),
            b'h' => self.deliver(at, tape.number() % 16),
            b'r' => self.hear(at, usize::MAX),
            b'p' => self.hear(at, tape.number() * 64),
            b'x' | b'X' => {
                let count = tape.number();
                let bytes = tape.bytes(count);
                match letter {
                    b'x' => wire::put_frame(&mut self.slots[at].out, true, wire::TEXT, &bytes, &mut self.rng),
                    _ => self.slots[at].out.extend(bytes),
                }
            }
            other => unreachable!("{other} is no step"),
        }
    }

    fn gather(&mut self, at: usize, tape: &mut Tape<'_>) {
        let (word, channel) = (tape.letter(words::WORDS), tape.number());
        self.put_word(at, word, channel);
    }

    fn put_word(&mut self, at: usize, word: u8, channel: usize) {
        let slot = &mut self.slots[at];
        slot.next_id += 1;
        slot.gathered.push(words::command(word, slot.next_id, channel));
    }

    /// The message that was gathered.
    fn say(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let message = std::mem::take(&mut slot.gathered).join("\n");
        if slot.is_websocket {
            wire::put_frame(&mut slot.out, true, wire::TEXT, message.as_bytes(), &mut self.rng);
        } else {
            slot.out.extend(message.as_bytes());
        }
    }

    /// A new connection in this slot; an earlier one is dropped.
    fn open(&mut self, tape: &mut Tape<'_>) {
        let (at, path, count) = (tape.number() % SLOTS, tape.letter(words::PATHS), tape.number() % 5);
        if let Some(link) = self.slots[at].link {
            self.stage.end_link(link, Timing::Gone);
        }
        self.slots[at] = Slot { is_websocket: words::is_websocket(path), ..Slot::default() };
        self.slots[at].link = self.stage.connect();
        if words::takes_commands(path) {
            self.slots[at].out = words::request(path, "");
            for _ in 0..count {
                self.gather(at, tape);
                self.say(at);
            }
            return;
        }
        // The request contains them.
        let mut said = Vec::new();
        for _ in 0..count {
            let (word, channel) = (tape.letter(words::WORDS), tape.number());
            self.slots[at].next_id += 1;
            said.push(match words::is_uni(path) {
                true => words::connect(word, channel),
                false => words::command(word, self.slots[at].next_id, channel),
            });
        }
        self.slots[at].out = words::request(path, &said.join("\n"));
    }

    /// A request that is answered outside.
    fn request(&mut self, tape: &mut Tape<'_>) {
        let (at, kind) = (tape.number() % SLOTS, tape.letter(words::REQUESTS));
        let slot = &mut self.slots[at];
        if slot.link.is_none() {
            slot.link = self.stage.connect();
        }
        slot.out.extend(words::forwarded(kind));
    }

    /// Commands for another connection, posted.
    fn post(&mut self, tape: &mut Tape<'_>) {
        let (at, target, count) = (tape.number() % SLOTS, tape.number() % SLOTS, tape.number() % 5);
        for _ in 0..count {
            let (word, channel) = (tape.letter(words::WORDS), tape.number());
            self.put_word(target, word, channel);
        }
        let data = std::mem::take(&mut self.slots[target].gathered).join("\n");
        let session = words::session_in(&self.slots[target].heard).unwrap_or_default();
        let slot = &mut self.slots[at];
        if slot.link.is_none() {
            slot.link = self.stage.connect();
        }
        slot.out.extend(words::emulation(&session, &data));
    }

    fn end(&mut self, at: usize, end: u8) {
        let slot = &mut self.slots[at];
        match end {
            b'f' => slot.ends = true,
            b'R' | b'l' => {
                if let Some(link) = slot.link.take() {
                    let timing = if end == b'R' { Timing::Reset } else { Timing::Gone };
                    self.stage.end_link(link, timing);
                }
            }
            _ => words::put_end(&mut slot.out, end, &mut self.rng),
        }
    }

    fn deliver(&mut self, at: usize, sixteenths: usize) {
        let slot = &mut self.slots[at];
        let Some(link) = slot.link else { return };
        let count = slot.out.len() * sixteenths / 16;
        let sent = self.stage.send(link, &slot.out[..count], slot.ends && sixteenths == 16);
        slot.out.drain(..sent);
    }

    fn hear(&mut self, at: usize, bytes_max: usize) {
        let slot = &mut self.slots[at];
        let Some(link) = slot.link else { return };
        let heard = self.stage.receive(link, bytes_max);
        let room = 8192_usize.saturating_sub(slot.heard.len());
        slot.heard.extend(&heard[..heard.len().min(room)]);
    }
}
