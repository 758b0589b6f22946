//! The question about an event of a socket, and its events that wait meanwhile.
//!
//! The events of a socket are handled one after the other. While one is asked about, later ones wait, up to
//! `events_waiting_max`; then nothing more is read from the connection, and what was read is kept as it came.

use std::collections::VecDeque;

use crate::base::bucket::Bucket;
use crate::proto::engine::PacketsLeft;
use crate::proto::socketio::{AttachmentStore, JsonArgs};
use crate::session::CloseReason;
use crate::session::socketio::events::{AckId, Event};
use crate::session::socketio::malformed;

/// The part of a socket that rules and hooks need; most sockets have none.
#[derive(Debug, Default)]
pub(in crate::session::socketio) struct Logic {
    /// The events that are asked about.
    pub(super) asked: Option<Asked>,
    waiting: VecDeque<Held>,
    /// Bytes of what waits and of what is asked about.
    bytes: usize,
    /// The rates of rules, by the numbers of the rules in this version.
    rates: Vec<(usize, Bucket)>,
    rules_version: u32,
    /// Effects for the time when the client was told that it is connected, a list in JSON; empty for none.
    opening: Box<str>,
}

/// A question about an event, or several, which is open.
#[derive(Debug)]
pub(super) struct Asked {
    /// Number of the question in its connection.
    pub(super) number: u32,
    /// Not empty.
    pub(super) events: Vec<HeldEvent>,
}

/// A packet behind an event that is asked about.
#[derive(Debug)]
pub(super) enum Held {
    Event(HeldEvent),
    /// It leaves the namespace.
    Leave,
}

/// An event that waits.
#[derive(Debug)]
pub(super) struct HeldEvent {
    name: Box<str>,
    /// The arguments, a list in JSON.
    list: Box<str>,
    attachments: AttachmentStore,
    ack: Option<u64>,
}

impl HeldEvent {
    pub(super) fn new(event: &Event<'_>) -> Self {
        let mut attachments = AttachmentStore::default();
        event.attachments.iter().for_each(|data| attachments.push(data));
        Self {
            name: event.name.into(),
            list: format!("[{}]", event.args.text()).into(),
            attachments,
            ack: event.ack.as_ref().map(|ack| ack.0),
        }
    }

    /// The event as it came.
    pub(super) fn event(&self) -> Result<Event<'_>, CloseReason> {
        let args = JsonArgs::of_list(&self.list).map_err(malformed)?;
        Ok(Event { name: &self.name, args, attachments: self.attachments.get(), ack: self.ack.map(AckId) })
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.list.len() + self.attachments.held_bytes()
    }
}

impl Logic {
    /// Of a new socket with these effects.
    pub(super) fn opening_with(effects: Box<str>) -> Option<Box<Self>> {
        (!effects.is_empty()).then(|| Box::new(Self { opening: effects, ..Self::default() }))
    }

    pub(super) fn take_opening(&mut self) -> Box<str> {
        std::mem::take(&mut self.opening)
    }

    /// Whether something is asked about or waits, so that what comes has to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.asked.is_some() || !self.waiting.is_empty()
    }

    /// Whether nothing of it is in use.
    pub(super) fn is_trivial(&self) -> bool {
        !self.is_busy() && self.rates.is_empty() && self.opening.is_empty()
    }

    /// Whether nothing more is to be read for the socket.
    pub(super) fn is_full(&self, count_max: usize, bytes_max: usize) -> bool {
        self.waiting.len() >= count_max || self.bytes > bytes_max
    }

    pub(super) fn ask(&mut self, asked: Asked) {
        self.bytes += asked.events.iter().map(HeldEvent::bytes).sum::<usize>();
        self.asked = Some(asked);
    }

    /// Takes the events that were asked about by this number.
    pub(super) fn answered(&mut self, number: u32) -> Option<Vec<HeldEvent>> {
        let Asked { events, .. } = self.asked.take_if(|asked| asked.number == number)?;
        self.bytes -= events.iter().map(HeldEvent::bytes).sum::<usize>();
        Some(events)
    }

    /// The first of those that wait.
    pub(super) fn first(&self) -> Option<&Held> {
        self.waiting.front()
    }

    pub(super) fn hold(&mut self, held: Held) {
        if let Held::Event(event) = &held {
            self.bytes += event.bytes();
        }
        self.waiting.push_back(held);
    }

    /// Takes what came first of what waits, unless an event is asked about.
    pub(super) fn next(&mut self) -> Option<Held> {
        if self.asked.is_some() {
            return None;
        }
        let held = self.waiting.pop_front()?;
        if let Held::Event(event) = &held {
            self.bytes -= event.bytes();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(held)
    }

    /// Whether the client's leave waits.
    pub(super) fn is_left(&self) -> bool {
        self.waiting.iter().any(|held| matches!(held, Held::Leave))
    }

    /// The number of events that are asked about or wait.
    pub(super) fn event_count(&self) -> usize {
        let waiting = self.waiting.iter().filter(|held| matches!(held, Held::Event(_)));
        waiting.count() + self.asked.as_ref().map_or(0, |asked| asked.events.len())
    }

    /// Forgets the rates of rules that a reload has replaced.
    pub(super) fn follow(&mut self, rules_version: u32) {
        if self.rules_version != rules_version {
            (self.rates, self.rules_version) = (Vec::new(), rules_version);
        }
    }

    /// Counts an event for a rule with a rate; returns false when it is one too many.
    pub(super) fn takes(&mut self, rule: usize, rate_per_s: u32, now_ms: u64) -> bool {
        let at = self.rates.iter().position(|(number, _)| *number == rule).unwrap_or_else(|| {
            self.rates.push((rule, Bucket::default()));
            self.rates.len() - 1
        });
        self.rates[at].1.take(now_ms, rate_per_s, rate_per_s)
    }

    /// Bytes of it.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.bytes
            + self.waiting.capacity() * size_of::<Held>()
            + self.rates.capacity() * size_of::<(usize, Bucket)>()
            + self.opening.len()
    }
}

/// Input that was read while sockets could take no more.
#[derive(Debug, Default)]
pub(in crate::session::socketio) struct Rest {
    /// The rest of a body with packets.
    pub(in crate::session::socketio) body: Option<PacketsLeft>,
    /// Bytes of WebSocket frames.
    pub(in crate::session::socketio) frames: Vec<u8>,
    /// Where those begin that have not been read.
    pub(in crate::session::socketio) frames_at: usize,
}

impl Rest {
    pub(super) fn held_bytes(&self) -> usize {
        let body = self.body.as_ref().map_or(0, PacketsLeft::bytes);
        size_of::<Self>() + body + self.frames.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::socketio::Attachments;

    fn event(name: &str) -> HeldEvent {
        let args = JsonArgs::of_list("[1, \"a\"]").unwrap();
        HeldEvent::new(&Event { name, args, attachments: Attachments::one(b"\x00"), ack: Some(AckId(7)) })
    }

    #[test]
    fn what_waits_comes_in_its_order_and_is_counted() {
        let mut logic = Logic::default();
        assert!(logic.is_trivial() && !logic.is_busy() && logic.next().is_none());
        logic.ask(Asked { number: 3, events: vec![event("a")] });
        logic.hold(Held::Event(event("b")));
        logic.hold(Held::Leave);
        assert!(logic.is_busy() && logic.is_left() && logic.next().is_none());
        assert_eq!(
            (logic.event_count(), logic.is_full(3, 10_000), logic.is_full(2, 10_000)),
            (2, false, true)
        );
        assert!(logic.is_full(3, 10));
        assert!(logic.answered(2).is_none());
        let asked = logic.answered(3).unwrap();
        let first = asked[0].event().unwrap();
        assert_eq!((first.name, first.args.text(), first.ack), ("a", "1, \"a\"", Some(AckId(7))));
        assert_eq!(first.attachments.get(0), Some(&b"\x00"[..]));
        assert!(matches!(logic.next(), Some(Held::Event(_))) && matches!(logic.next(), Some(Held::Leave)));
        assert!(logic.is_trivial() && logic.bytes == 0, "{logic:?}");
    }

    #[test]
    fn a_rule_takes_its_rate_and_others_have_their_own() {
        let mut logic = Logic::default();
        let taken = |logic: &mut Logic, rule, now_ms| logic.takes(rule, 2, now_ms);
        assert!(taken(&mut logic, 0, 1000) && taken(&mut logic, 0, 1000) && !taken(&mut logic, 0, 1000));
        assert!(taken(&mut logic, 1, 1000) && taken(&mut logic, 0, 2000));
        assert!(!logic.is_trivial() && !logic.is_busy());
    }
}
