//! The results of orders to sockets: a home gathers them from all shards, a shard from its sockets that have to answer.
//!
//! A home holds back what comes behind an order to join until all shards have carried that out and it has counted their
//! subscriptions: what is emitted to a room right behind the order reaches the sockets that have entered it.
//!
//! Invariant: each gathering ends, since each part comes: a shard answers an order in the turn in which it arrives, and a
//! question when its last socket has answered, has ended, or has had its time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Channels;
use super::homes::Waiter;
use crate::base::budget::Budget;
use crate::base::heap;
use crate::base::slots::Key;
use crate::hub::Publication;
use crate::hub::emission::Emission;
use crate::hub::home::{Answer, Member, Question, Refused, Terms};
use crate::hub::options::ChannelOptions;
use crate::hub::socket_order::{Gathered, SocketDeed, SocketOrder};
use crate::hub::words::OrderSockets;
use crate::session::SocketReply;
use crate::shard::World;
use crate::shard::mailbox::{Asker, Letter};

/// Maximum number of gatherings of a home at a time for a further question to clients, whose answers take time. Other
/// orders are carried out in the turns in which they arrive, and none is dropped.
const GATHERINGS_MAX: usize = 10_000;

/// The receiver of what is gathered.
#[derive(Debug)]
pub(in crate::shard) enum Receiver {
    /// Nobody wants it.
    Nobody,
    /// The sender of the order.
    Asker(Asker),
    /// The home that sent the order on: its shard, and its number of the order.
    Home(u16, u32),
}

#[derive(Debug)]
struct Gathering {
    receiver: Receiver,
    /// Number of parts that are to come.
    left: usize,
    sum: Gathered,
    /// Bytes charged to the budget of publications.
    charged: usize,
    /// Whether a part of the answer is of no use.
    is_whole: bool,
    /// Whether later messages wait for its end.
    holds: bool,
}

/// A message or a question that waits for the end of an order to join.
#[derive(Debug)]
enum Held {
    Emission(Box<Emission>, Option<Asker>),
    Order(Box<SocketOrder>, Option<Asker>),
    Publication(Box<Publication>, Arc<ChannelOptions>, Box<Terms>, (Option<Member>, Option<Asker>)),
    Question(Arc<str>, Arc<ChannelOptions>, Box<Question>, Asker),
}

/// The gatherings of a shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct Gatherings {
    open: HashMap<u32, Gathering>,
    /// Number of those in which this shard is the home, and gathers the parts of all shards.
    of_home: usize,
    last: u32,
    /// Whether an order to join is being carried out.
    is_joining: bool,
    held: VecDeque<Held>,
}

impl Gatherings {
    /// Whether what comes now must wait for the end of an order to join.
    #[inline]
    pub(in crate::shard) fn is_held(&self) -> bool {
        self.is_joining
    }

    /// Keeps a message until the order to join has ended.
    pub(in crate::shard) fn hold(&mut self, emission: Box<Emission>, asker: Option<Asker>) {
        self.held.push_back(Held::Emission(emission, asker));
    }

    /// Keeps a publication of a room until then.
    pub(in crate::shard) fn hold_publication(
        &mut self,
        publication: Box<Publication>,
        options: Arc<ChannelOptions>,
        terms: Terms,
        who: (Option<Member>, Option<Asker>),
    ) {
        self.held.push_back(Held::Publication(publication, options, Box::new(terms), who));
    }

    /// Keeps a question about a room until then: it may be about a publication before it.
    pub(in crate::shard) fn hold_question(
        &mut self,
        channel: Arc<str>,
        options: Arc<ChannelOptions>,
        question: Question,
        asker: Asker,
    ) {
        self.held.push_back(Held::Question(channel, options, Box::new(question), asker));
    }

    /// Begins to gather so many parts; returns the number of the gathering.
    fn begin(&mut self, receiver: Receiver, left: usize) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.open.contains_key(&self.last) {
                break;
            }
        }
        self.of_home += usize::from(!matches!(receiver, Receiver::Home(..)));
        let sum = Gathered::default();
        let gathering = Gathering { receiver, left, sum, charged: 0, is_whole: false, holds: false };
        self.open.insert(self.last, gathering);
        self.last
    }

    /// Adds a part; returns the gathering once it was the last one.
    fn add(&mut self, number: u32, part: Gathered, budget: &Budget) -> Option<Gathering> {
        let gathering = self.open.get_mut(&number)?;
        let before = gathering.sum.bytes();
        // Rather a short answer than a process without memory.
        let part = if budget.is_exhausted() { part.cut() } else { part };
        gathering.sum.add(part);
        let more = gathering.sum.bytes() - before;
        budget.charge(more);
        gathering.charged += more;
        gathering.left -= 1;
        if gathering.left > 0 {
            return None;
        }
        let ended = self.open.remove(&number)?;
        self.of_home -= usize::from(!matches!(ended.receiver, Receiver::Home(..)));
        heap::ease_table(&mut self.open);
        budget.release(ended.charged);
        Some(ended)
    }
}

impl<W: World> Channels<W> {
    /// Whether what comes for a channel must wait for the end of an order to join: the channel is a room, and has its place
    /// in the order of rooms.
    #[inline]
    pub(in crate::shard) fn is_held(&self, channel: &str) -> bool {
        self.gatherings.is_held() && self.carry.settings.rooms.sharing(channel).is_some()
    }

    /// Sends an order of a session to the sockets of a namespace; the answer is for request `id`, if that is not 0.
    pub(in crate::shard) fn order_sockets(&mut self, key: Key, id: u32, ask: OrderSockets) {
        let OrderSockets { mut order, is_to_others } = ask;
        order.not_to = is_to_others.then(|| self.carry.member(key));
        let asker = (id != 0).then(|| Asker::Conn(self.carry.reply_to(key, id)));
        self.send_order(order, asker);
    }

    /// Sends an order to its home.
    pub(super) fn send_order(&mut self, order: SocketOrder, asker: Option<Asker>) {
        let Some(home) = order.rooms.to.first().map(|room| self.home_of(room)) else { return };
        self.carry.post.send(home, Letter::OrderSockets { order: Box::new(order), asker });
    }

    /// Passes an order on to all shards, and gathers what comes of it.
    pub(in crate::shard) fn asked_to_order(&mut self, order: Box<SocketOrder>, asker: Option<Asker>) {
        if self.gatherings.is_held() {
            return self.gatherings.held.push_back(Held::Order(order, asker));
        }
        let asks = matches!(order.deed, SocketDeed::Ask(_));
        if asks && self.gatherings.of_home >= GATHERINGS_MAX {
            return match asker {
                None => {}
                Some(asker @ Asker::Outside(_)) => {
                    self.reply(Waiter::Asker(asker), Answer::Refused(Refused::TooManyWaiting));
                }
                // A handler gets an answer to each of its questions.
                Some(asker @ Asker::Conn(_)) => {
                    self.reply(Waiter::Asker(asker), Answer::Gathered(Gathered::default().cut().into()));
                }
            };
        }
        self.order_away(&order);
        let (shard_count, charged) = (self.carry.post.shard_count(), order.bytes());
        self.publication_budget.charge(charged);
        let receiver = asker.map_or(Receiver::Nobody, Receiver::Asker);
        let number = self.gatherings.begin(receiver, shard_count.into());
        let holds = matches!(order.deed, SocketDeed::Join(_));
        if let Some(gathering) = self.gatherings.open.get_mut(&number) {
            gathering.charged = charged;
            gathering.is_whole = order.deed == SocketDeed::Fetch;
            gathering.holds = holds;
        }
        self.gatherings.is_joining = holds;
        let (order, home) = (Arc::<SocketOrder>::from(order), (self.carry.post.shard(), number));
        for shard in 0..shard_count {
            self.carry.post.send(shard, Letter::SocketsOrdered { order: Arc::clone(&order), home });
        }
    }

    /// Tells a home what came of its order in this shard.
    pub(in crate::shard) fn answer_order(&mut self, (home, number): (u16, u32), part: Gathered) {
        self.carry.post.send(home, Letter::Gathered { number, part: Box::new(part) });
    }

    /// Begins to gather the answers of so many sockets for a home; returns the number of the question.
    pub(in crate::shard) fn begin_question(&mut self, (home, number): (u16, u32), sockets: usize) -> u32 {
        // And the part of this shard itself, which comes last if no socket has to answer.
        self.gatherings.begin(Receiver::Home(home, number), sockets + 1)
    }

    /// Takes the answer of a socket, or the news that there will be none.
    pub(in crate::shard) fn socket_answered(&mut self, reply: SocketReply) {
        let mut part = Gathered::default();
        part.add_answer(reply.answer);
        self.gathered(reply.question, part);
    }

    /// Continues with the messages behind an order to join that has ended, up to the next one.
    fn release_held(&mut self) {
        self.gatherings.is_joining = false;
        while !self.gatherings.is_held()
            && let Some(held) = self.gatherings.held.pop_front()
        {
            match held {
                Held::Emission(emission, asker) => self.asked_to_emit(emission, asker),
                Held::Order(order, asker) => self.asked_to_order(order, asker),
                Held::Publication(publication, options, terms, who) => {
                    self.asked_to_publish(publication, options, *terms, who);
                }
                Held::Question(channel, options, question, asker) => {
                    self.asked_question(&channel, options, *question, asker);
                }
            }
        }
        heap::ease_queue(&mut self.gatherings.held);
    }

    /// Takes a part; the last one completes the gathering.
    pub(in crate::shard) fn gathered(&mut self, number: u32, part: Gathered) {
        let Some(gathering) = self.gatherings.add(number, part, &self.publication_budget) else { return };
        let Gathering { receiver, sum, is_whole, holds, .. } = gathering;
        if holds {
            self.release_held();
        }
        match receiver {
            Receiver::Nobody => {}
            Receiver::Home(home, number) => self.answer_order((home, number), sum),
            Receiver::Asker(asker) => {
                let answer = match sum.is_cut && is_whole {
                    true => Answer::Refused(Refused::TooMuch),
                    false => Answer::Gathered(Box::new(sum)),
                };
                self.reply(Waiter::Asker(asker), answer);
            }
        }
    }
}
