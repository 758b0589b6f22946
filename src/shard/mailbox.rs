//! Letters between shards, and the queues that carry them.
//!
//! A shard writes to the others only through its [`Post`], which hands over once per turn: one lock and at most
//! one wake-up per receiver, however many letters. Letters from one shard to another keep their order; the order
//! of a channel's publications rests on that. The lock of a mailbox is the only one in the data plane.

mod order;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::Renewal;
use super::outside::Verdict;
use crate::base::filter::Filter;
use crate::base::heap;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::memory::Brought;
use crate::hub::options::ChannelOptions;
use crate::hub::{ClientInfo, Publication, home};

pub use order::{Deed, Order, Target};

/// What a letter carries in boxes of its own, at most of the time: who joins, and on which terms.
const CONTENT_BYTES: usize = heap::piece(size_of::<home::Joining>()) + heap::piece(size_of::<Ticket>());

/// Where an answer goes: a connection's shard, its key, and the session's number for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// Number of the shard.
    pub shard: u16,
    /// The connection there.
    pub conn: Key,
    /// The session's number.
    pub request: u32,
}

/// Who waits for a home's answer.
pub enum Asker {
    /// A connection.
    Conn(ReplyTo),
    /// Someone outside the shards. Called in the home's thread, so it must not block. It holds the place for the answer itself,
    /// and its drop tells that there is none: a number in a table of those who wait would need a lock that shards take.
    Outside(Box<dyn FnOnce(home::Answer) + Send>),
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conn(reply_to) => write!(f, "Conn({reply_to:?})"),
            Self::Outside(_) => f.write_str("Outside"),
        }
    }
}

/// What a shard has to remember of a subscription until the home answers. The letters carry it there and back, so that
/// nothing of it is kept in a connection that may be gone by then.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each was asked for or granted by itself")]
pub struct Ticket {
    /// Who asked for it.
    pub cause: Cause,
    /// Whether the subscriber can recover.
    pub recoverable: bool,
    /// Whether it is told the position.
    pub positioned: bool,
    /// Whether it asked to recover now.
    pub was_recovering: bool,
    /// Whether it is not to be without what was missed.
    pub needs_recovery: bool,
    /// Whether it is told who comes and goes.
    pub hears_joins: bool,
    /// Whether it takes deltas.
    pub takes_deltas: bool,
    /// Whether it takes channels by number.
    pub takes_numbers: bool,
    /// Which publications it wants.
    pub filter: Option<Box<Filter>>,
    /// Who it is in this channel, where that differs.
    pub info: Option<Arc<ClientInfo>>,
    /// Unix time of its end in seconds; 0 for none.
    pub expire_at_s: u64,
    /// The application is asked before it ends, not the client.
    pub refreshes_by_hook: bool,
    /// For the reply.
    pub data: Payload,
}

/// Who asked for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// The client, by a command.
    #[default]
    Command,
    /// What was said of the client when it connected, or what it asked for then.
    Connect,
    /// The token with which it connected.
    Token,
    /// The server's API.
    Order,
}

/// What someone wants to see of a shard as a whole. Each takes time in proportion to what the shard holds: it is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The channels whose home it is, answered by [`home::Answer::Channels`].
    Channels {
        /// `*` stands for any run of characters; empty for all.
        pattern: String,
    },
}

/// A message between shards.
pub enum Letter {
    /// From the control plane: handshakes from here on go by this.
    Tls(Arc<rustls::ServerConfig>),
    /// From the control plane: what all shards go by from here on.
    Renew(Arc<Renewal>),
    /// To a home: count one more subscriber; answered by [`Letter::Subscribed`].
    Subscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// Who asks.
        reply_to: ReplyTo,
        /// What the home has to know of the subscriber.
        joining: Box<home::Joining>,
        /// Comes back with the answer.
        ticket: Option<Box<Ticket>>,
    },
    /// From a home: every publication after this one in the mailbox is for the subscriber.
    Subscribed {
        /// Name of the channel.
        channel: Arc<str>,
        /// Who asked.
        reply_to: ReplyTo,
        /// Whether the home took the subscriber, and what it has for it.
        outcome: Result<Box<home::Joined>, home::Refused>,
        /// As it was sent.
        ticket: Option<Box<Ticket>>,
    },
    /// To a home: count one subscriber less.
    Unsubscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// Who it was.
        member: home::Member,
    },
    /// To a home: number this and send it to all subscribers; answered by [`Letter::Answered`] if wanted.
    Publish {
        /// What to publish.
        publication: Box<Publication>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// What else the publisher wishes.
        terms: home::Terms,
        /// Which connection publishes; none when the server does.
        from: Option<home::Member>,
        /// Who asks, if an answer is wanted.
        asker: Option<Asker>,
    },
    /// To a home: answer this.
    Ask {
        /// Name of the channel.
        channel: Arc<str>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// What to answer.
        question: home::Question,
        /// Who asks.
        asker: Asker,
    },
    /// To a home, from its memory: the answer to what it gave a number to.
    Memory {
        /// The number.
        number: u64,
        /// The answer.
        answer: Box<Result<Brought, home::Refused>>,
    },
    /// To a home whose memory may answer later: a connection is gone, and waits for nothing any more.
    Gone(home::Member),
    /// From a home: the answer to a publication or a question.
    Answered {
        /// Who asked.
        reply_to: ReplyTo,
        /// The answer.
        answer: Box<home::Answer>,
    },
    /// From a home: hand this to the subscribers in your shard.
    Deliver(Arc<Publication>),
    /// From a home: tell the subscribers in your shard who came and went.
    Membership(Arc<home::Membership>),
    /// From outside: tell what there is.
    Look {
        /// Of what.
        what: Look,
        /// Who asks.
        asker: Asker,
    },
    /// From outside: do this to the connections that are meant.
    Order(Arc<Order>),
    /// From outside: the answer to what the shard asked there.
    Verdict {
        /// Who asked.
        reply_to: ReplyTo,
        /// The answer.
        verdict: Box<Verdict>,
    },
    /// From whichever shard a client's request reached: commands for a connection that cannot send any itself.
    Emulated {
        /// The connection.
        conn: Key,
        /// Encoded commands.
        data: Vec<u8>,
    },
    /// To a user's home: one more connection of the user wants to be let in; answered by [`Letter::UserCounted`].
    UserCame {
        /// The user.
        user: Arc<str>,
        /// Who asks.
        reply_to: ReplyTo,
    },
    /// From a user's home: whether the user may have this connection. It is counted if so.
    UserCounted {
        /// The user.
        user: Arc<str>,
        /// Who asked.
        reply_to: ReplyTo,
        /// Whether it may.
        is_admitted: bool,
    },
    /// To a user's home: a connection that was counted is gone.
    UserLeft {
        /// The user.
        user: Arc<str>,
        /// Which it was.
        member: home::Member,
    },
    /// From a user's home: the user has a newer connection, and may have one.
    Displaced {
        /// The older one.
        conn: Key,
    },
    /// From the control thread: stop listening, close everyone over `drain_ms`, then end.
    Drain,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::Renew(_) => "Renew",
            Self::Subscribe { .. } => "Subscribe",
            Self::Subscribed { .. } => "Subscribed",
            Self::Unsubscribe { .. } => "Unsubscribe",
            Self::Publish { .. } => "Publish",
            Self::Ask { .. } => "Ask",
            Self::Memory { .. } => "Memory",
            Self::Gone(_) => "Gone",
            Self::Answered { .. } => "Answered",
            Self::Deliver(_) => "Deliver",
            Self::Membership(_) => "Membership",
            Self::Look { .. } => "Look",
            Self::Order(_) => "Order",
            Self::Verdict { .. } => "Verdict",
            Self::Emulated { .. } => "Emulated",
            Self::UserCame { .. } => "UserCame",
            Self::UserCounted { .. } => "UserCounted",
            Self::UserLeft { .. } => "UserLeft",
            Self::Displaced { .. } => "Displaced",
            Self::Drain => "Drain",
        })
    }
}

/// Wakes the shard that owns a mailbox.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// One shard's queue of letters from the others.
pub struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    /// Letters that wait, plus whatever else keeps the shard from taking more.
    load: AtomicUsize,
    /// Changes under the lock only.
    is_closed: AtomicBool,
    wake: Wake,
}

impl Mailbox {
    /// An empty mailbox; `wake` is called when it stops being empty.
    pub fn new(wake: Wake) -> Self {
        Self { letters: Mutex::default(), load: AtomicUsize::new(0), is_closed: AtomicBool::new(false), wake }
    }

    /// Appends letters, leaving `letters` empty. Whoever waits for an answer to one that comes too late, behind
    /// [`Mailbox::close`], learns it from the drop of what would have been called with it.
    pub fn put(&self, letters: &mut Vec<Letter>) {
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed.load(Relaxed) {
            drop(queue);
            return letters.clear();
        }
        let was_empty = queue.is_empty();
        queue.append(letters);
        self.load.store(queue.len(), Relaxed);
        drop(queue);
        if was_empty {
            (self.wake)();
        }
    }

    /// Takes all letters into `letters`, which must be empty.
    fn take(&self, letters: &mut Vec<Letter>) {
        debug_assert!(letters.is_empty());
        if self.load.load(Relaxed) == 0 {
            return;
        }
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *queue, letters);
        self.load.store(0, Relaxed);
    }

    /// The shard has ended: drops the letters that wait, and all that are still to come.
    pub fn close(&self) {
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_closed.store(true, Relaxed);
        self.load.store(0, Relaxed);
        let unread = mem::take(&mut *queue);
        drop(queue);
        // Outside the lock: what a letter carries may do anything when it is dropped.
        drop(unread);
    }

    /// Letters that wait.
    pub fn len(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Whether no letter waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} letters)", self.len())
    }
}

/// A shard's way to itself and the others.
#[derive(Debug)]
pub struct Post {
    shard: u16,
    mailboxes: Arc<[Mailbox]>,
    outgoing: Vec<Vec<Letter>>,
    outgoing_count: u64,
    own: VecDeque<Letter>,
    taken: Vec<Letter>,
}

impl Post {
    /// The way of shard number `shard`; there is one mailbox per shard.
    pub fn new(shard: u16, mailboxes: Arc<[Mailbox]>) -> Self {
        let outgoing = mailboxes.iter().map(|_| Vec::new()).collect();
        Self { shard, mailboxes, outgoing, outgoing_count: 0, own: VecDeque::new(), taken: Vec::new() }
    }

    /// Number of this shard.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Number of all shards.
    pub fn shard_count(&self) -> u16 {
        u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX)
    }

    /// Sends a letter: to this shard itself for this turn, to others with the next [`Post::hand_over`].
    #[inline]
    pub fn send(&mut self, shard: u16, letter: Letter) {
        if shard == self.shard {
            self.own.push_back(letter);
        } else {
            self.outgoing[usize::from(shard)].push(letter);
            self.outgoing_count += 1;
        }
    }

    /// The next letter to this shard from itself.
    pub fn next_own(&mut self) -> Option<Letter> {
        self.own.pop_front()
    }

    /// Queues all letters from the mailbox behind this shard's own; returns how many.
    pub fn collect(&mut self) -> usize {
        self.mailboxes[usize::from(self.shard)].take(&mut self.taken);
        let count = self.taken.len();
        self.own.extend(self.taken.drain(..));
        // A burst must not keep its memory for ever.
        if self.taken.capacity() > 4096 {
            self.taken = Vec::new();
        }
        count
    }

    /// Hands the letters of this turn to their receivers; returns how many.
    pub fn hand_over(&mut self) -> u64 {
        let count = mem::take(&mut self.outgoing_count);
        if count > 0 {
            for (letters, mailbox) in self.outgoing.iter_mut().zip(self.mailboxes.iter()) {
                if !letters.is_empty() {
                    mailbox.put(letters);
                }
            }
        }
        count
    }

    /// What the queues cost, and the letters that wait for this shard with what they carry beside counted bytes.
    pub fn bytes(&self) -> usize {
        let waiting = self.mailboxes[usize::from(self.shard)].len();
        let room = self.outgoing.iter().map(Vec::capacity).sum::<usize>();
        let room = room + self.own.capacity() + self.taken.capacity() + waiting;
        room * size_of::<Letter>() + (waiting + self.own.len()) * CONTENT_BYTES
    }

    /// Gives back the room of a burst that is over.
    pub fn ease(&mut self) {
        heap::ease_queue(&mut self.own);
        self.outgoing.iter_mut().for_each(heap::ease_list);
    }

    /// Whether some other shard has more than `letters_max` letters waiting.
    pub fn is_congested(&self, letters_max: usize) -> bool {
        self.mailboxes.len() > 1
            && self
                .mailboxes
                .iter()
                .enumerate()
                .any(|(shard, m)| shard != usize::from(self.shard) && m.len() > letters_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_order_and_wake_once() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&wakes);
        let count = move || {
            seen.fetch_add(1, Relaxed);
        };
        let mailboxes: Arc<[Mailbox]> =
            vec![Mailbox::new(Box::new(|| {})), Mailbox::new(Box::new(count))].into();
        let (mut a, mut b) = (Post::new(0, Arc::clone(&mailboxes)), Post::new(1, mailboxes));
        for turn in 0..2 {
            for i in 0..3u16 {
                let member = home::Member { shard: turn * 3 + i, conn: 0 };
                a.send(1, Letter::Unsubscribe { channel: "c".into(), member });
            }
            assert_eq!(a.hand_over(), 3);
        }
        assert_eq!(wakes.load(Relaxed), 1);
        assert!(a.is_congested(5) && !a.is_congested(6) && !b.is_congested(0));
        assert_eq!(b.collect(), 6);
        for i in 0..6 {
            assert!(matches!(b.next_own(), Some(Letter::Unsubscribe { member, .. }) if member.shard == i));
        }
        assert_eq!((b.collect(), b.next_own().is_none(), a.hand_over()), (0, true, 0));
    }

    #[test]
    fn a_burst_of_letters_does_not_keep_its_room() {
        let mailboxes: Arc<[Mailbox]> = (0..2).map(|_| Mailbox::new(Box::new(|| {}))).collect();
        let (mut a, mut b) = (Post::new(0, Arc::clone(&mailboxes)), Post::new(1, mailboxes));
        let empty = b.bytes();
        for _ in 0..10_000 {
            a.send(1, Letter::Displaced { conn: Key::from_token(7) });
        }
        a.hand_over();
        assert!(b.bytes() >= 10_000 * (size_of::<Letter>() + CONTENT_BYTES), "what waits is counted");
        b.collect();
        while b.next_own().is_some() {}
        for post in [&mut a, &mut b] {
            assert!(post.bytes() >= 10_000 * size_of::<Letter>());
            post.ease();
            assert_eq!(post.bytes(), empty);
        }
    }

    #[test]
    fn a_closed_mailbox_drops_what_waits_and_what_comes() {
        let mailbox = Mailbox::new(Box::new(|| {}));
        let alive = Arc::new(());
        let letter = || {
            let held = Arc::clone(&alive);
            let asker = Asker::Outside(Box::new(move |_| drop(held)));
            vec![Letter::Look { what: Look::Channels { pattern: String::new() }, asker }]
        };
        mailbox.put(&mut letter());
        assert_eq!((mailbox.len(), Arc::strong_count(&alive)), (1, 2));
        mailbox.close();
        assert_eq!((mailbox.len(), Arc::strong_count(&alive)), (0, 1));
        let mut late = letter();
        mailbox.put(&mut late);
        assert_eq!((mailbox.len(), late.len(), Arc::strong_count(&alive)), (0, 0, 1));
    }
}
