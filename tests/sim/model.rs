//! The model of channels without history, and the checks that follow from it.
//!
//! A publication contains its publisher and its number among that publisher's publications in the channel. So every
//! subscriber's sequence shows a gap by itself; and all sequences together must be parts of one order, the home's: a
//! publication's successor must be the same in every sequence. And publications known to any client when another one was
//! sent precede it: a home has ordered everything that it answers or sends.

use std::collections::{BTreeMap, BTreeSet};

use crate::streams::Streams;

/// Publisher, and the number of its publication in the channel.
pub(crate) type PublicationId = (u32, u32);

/// Number of a sequence.
pub(crate) type SequenceId = usize;

/// The publications of one subscription, in order.
#[derive(Debug)]
struct Sequence {
    who: u32,
    channel: u32,
    /// When the subscription was known to hold, on the model's own clock.
    began: u64,
    seen: Vec<PublicationId>,
    last: BTreeMap<u32, u32>,
    is_open: bool,
}

/// Publications of one publisher to one channel.
#[derive(Debug, Default)]
struct Sent {
    /// Time of each publication, on the model's own clock.
    at: Vec<u64>,
    /// Number of answered ones.
    answered: u32,
}

/// All publications that clients sent and received in a run.
#[derive(Debug, Default)]
pub(crate) struct Model {
    clock: u64,
    sequences: Vec<Sequence>,
    sent: BTreeMap<(u32, u32), Sent>,
    /// All publications that a client has received in a channel, in any subscription.
    seen: BTreeSet<(u32, u32, PublicationId)>,
    /// By channel: the time at which a publication was first received, or answered by its home, on the model's own
    /// clock.
    known: BTreeMap<(u32, PublicationId), u64>,
    pub(crate) deliveries: u64,
    pub(crate) streams: Streams,
}

impl Model {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A client is about to publish; returns the publication's number.
    pub(crate) fn publish(&mut self, who: u32, channel: u32) -> u32 {
        let now = self.tick();
        let sent = self.sent.entry((channel, who)).or_default();
        sent.at.push(now);
        sent.at.len() as u32
    }

    /// The server answered a client's next publication, before its home had it; returns its number.
    pub(crate) fn published(&mut self, who: u32, channel: u32) -> u32 {
        let sent = self.sent.get_mut(&(channel, who)).expect("an answer to something said");
        sent.answered += 1;
        assert!(sent.answered as usize <= sent.at.len());
        sent.answered
    }

    /// The home answered a client's next publication.
    pub(crate) fn ordered(&mut self, who: u32, channel: u32) {
        let number = self.published(who, channel);
        self.learn(channel, (who, number));
    }

    fn learn(&mut self, channel: u32, id: PublicationId) {
        let now = self.tick();
        self.known.entry((channel, id)).or_insert(now);
    }

    /// A subscription is known to hold.
    pub(crate) fn begin(&mut self, who: u32, channel: u32) -> SequenceId {
        let began = self.tick();
        let sequence =
            Sequence { who, channel, began, seen: Vec::new(), last: BTreeMap::new(), is_open: true };
        self.sequences.push(sequence);
        self.sequences.len() - 1
    }

    /// A subscriber got a publication.
    pub(crate) fn deliver(&mut self, sequence: SequenceId, id: PublicationId) {
        let Sequence { who, channel, began, seen, last, is_open } = &mut self.sequences[sequence];
        assert!(*is_open, "{who}: a publication after the end of the subscription to {channel}: {id:?}");
        let (by, number) = id;
        let said: &[u64] = self.sent.get(&(*channel, by)).map_or(&[], |sent| &sent.at);
        assert!(number >= 1 && number as usize <= said.len(), "{who}: nobody said {id:?} in {channel}");
        match last.get(&by) {
            Some(&before) => {
                assert_eq!(number, before + 1, "{who}: a gap in {channel}, after {before} of {by}")
            }
            None => {
                let missed = number >= 2 && said[number as usize - 2] > *began;
                assert!(!missed, "{who}: missed what {by} said in {channel} before {id:?}");
            }
        }
        assert!(self.seen.insert((*who, *channel, id)), "{who}: {id:?} came twice in {channel}");
        last.insert(by, number);
        seen.push(id);
        self.deliveries += 1;
        let channel = *channel;
        self.learn(channel, id);
    }

    /// A subscription has ended.
    pub(crate) fn end(&mut self, sequence: SequenceId) {
        self.sequences[sequence].is_open = false;
    }

    /// Checks, once everything has settled, that every subscriber has all publications answered since its
    /// subscription began.
    pub(crate) fn check_complete(&self) {
        for sequence in self.sequences.iter().filter(|sequence| sequence.is_open) {
            for ((_, by), sent) in self.sent.range((sequence.channel, 0)..(sequence.channel + 1, 0)) {
                // Answers come in the order of the commands.
                let answered = &sent.at[..sent.answered as usize];
                let must = answered.iter().rposition(|&at| at > sequence.began).map_or(0, |last| last + 1);
                let has = sequence.last.get(by).copied().unwrap_or(0) as usize;
                let (who, channel) = (sequence.who, sequence.channel);
                assert!(has >= must, "{who}: has {has} of {must} publications of {by} in {channel}");
            }
        }
    }

    /// The channels of the subscriptions that hold.
    pub(crate) fn open(&self) -> impl Iterator<Item = u32> {
        self.sequences.iter().filter(|sequence| sequence.is_open).map(|sequence| sequence.channel)
    }

    /// Checks that no client received a publication before one that was known when it was sent.
    fn check_causes(&self) {
        for Sequence { who, channel, seen, .. } in &self.sequences {
            let mut latest = 0;
            for &(by, number) in seen {
                let known = self.known[&(*channel, (by, number))];
                assert!(known > latest, "{who}: heard {number} of {by} in {channel} behind an answer to it");
                latest = latest.max(self.sent[&(*channel, by)].at[number as usize - 1]);
            }
        }
    }

    /// Checks that all sequences are parts of one order for each channel.
    pub(crate) fn check_order(&self) {
        self.check_causes();
        let mut next: BTreeMap<(u32, PublicationId), (PublicationId, u32)> = BTreeMap::new();
        let mut before: BTreeMap<(u32, PublicationId), (PublicationId, u32)> = BTreeMap::new();
        for sequence in &self.sequences {
            for pair in sequence.seen.windows(2) {
                let &mut (after, by) =
                    next.entry((sequence.channel, pair[0])).or_insert((pair[1], sequence.who));
                assert_eq!(
                    after, pair[1],
                    "{} and {by} differ in {} after {:?}",
                    sequence.who, sequence.channel, pair[0]
                );
                let &mut (first, by) =
                    before.entry((sequence.channel, pair[1])).or_insert((pair[0], sequence.who));
                assert_eq!(
                    first, pair[0],
                    "{} and {by} differ in {} before {:?}",
                    sequence.who, sequence.channel, pair[1]
                );
            }
        }
        // Each has one successor and one predecessor: publications unreachable from a beginning form a circle.
        let mut reached = 0;
        for start in next.keys().filter(|id| !before.contains_key(id)) {
            let mut at = *start;
            while let Some((after, _)) = next.get(&at) {
                at.1 = *after;
                reached += 1;
            }
        }
        assert_eq!(reached, next.len(), "some channel's order runs in a circle");
    }
}
