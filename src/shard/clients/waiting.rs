//! Waiting commands, and limits of answers.
//!
//! A client decides how much it requests, and with one frame it may request gigabytes. So its commands are carried
//! out one after another, in order, and only while there is room for the answers: they wait for the answer to
//! connect, while homes gather large answers for it, and while its outbox is more than half full. Meanwhile nothing
//! more is read from it. No answer is encoded before there is known to be room for it; otherwise the client gets a
//! temporary error, and no other client is affected.
//!
//! A question outside about a command (a hook, a token worker) may affect the next command. So the next one waits for
//! its answer, unless `client.concurrency` allows several at a time; then the order is that of the answers. While a
//! home is asked for a subscription, commands about the same channel wait for it, and the end of the connection waits
//! for all answers. A few commands may wait for others while input is still read, so that a pong or the client's end
//! is noticed; beyond [`WAITING_COMMANDS_MAX`] nothing is read.
//!
//! Commands, and the replies to them, keep their order. A home carries out requests in order, so commands for the home
//! that is being asked follow at once, without waiting: a client that publishes to one channel pays nothing. All else
//! waits until homes have answered: commands for other homes, commands that no home carries out (an unsubscription
//! must not overtake an earlier publication), questions outside, and refusals. `client.concurrency` above 1 gives up
//! this order.
//!
//! Invariant: waiting commands wait for an event that will come: see `check_invariants`.

use std::collections::VecDeque;
use std::iter::Sum;
use std::ops::Add;
use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::words::{Ask, Denied, Dismissed, Ended, Entered, News, Reply};
use crate::hub::{ClientInfo, Publication};
use crate::session::Telling;
use crate::session::{CloseReason, Deferred, Phase};
use crate::shard::World;
use crate::shard::carry::client::{AWAITED_MAX, Client, Pending, WAITING_COMMANDS_MAX};
use crate::shard::carry::conn::{Conn, Sub, SubState, UNANSWERED_MAX};
use crate::shard::carry::queued::{Waiting, What};
use crate::shard::mailbox::ReplyTo;
use crate::shard::options::Limits;
use crate::shard::outside::Question;

/// Maximum size that the protocol adds to the content of a publication or an entry of presence, in bytes: field
/// names, numbers, escapes.
const ITEM_BYTES: usize = 160;
/// Memory of an answer's outbox for each payload that it does not copy, in bytes.
const LENT_BYTES: usize = 64;
/// Size of answers for which the ledger is not read, in bytes.
const SMALL_BYTES: usize = 64 << 10;

/// The turn of a command, which need not wait.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// The home of its channel, if the check has computed it.
    home: Option<u16>,
}

impl<W: World> Clients<W> {
    /// Handles a command that the session has not decoded: after a connect command, it waits until that is answered
    /// or refused, otherwise for its turn.
    pub(in crate::shard) fn early(&mut self, key: Key, id: u32, deferred: Deferred) {
        self.take_up_or_wait(key, id, What::Early(deferred));
    }

    /// Carries out a command of an admitted client or of one that connects, or lets it wait for its turn. Commands of
    /// handlers never wait.
    pub(in crate::shard) fn ask_or_wait(&mut self, key: Key, id: u32, ask: Ask) {
        if matches!(ask, Ask::Identify(_)) || self.channels.carry.is_trusted(key) {
            return self.command(key, id, ask, None);
        }
        self.take_up_or_wait(key, id, What::Ask(ask));
    }

    /// Ends a connection because of its client's input, after all earlier commands.
    pub(in crate::shard) fn close_behind(&mut self, key: Key, reason: CloseReason) {
        if matches!(reason, CloseReason::Peer(_) | CloseReason::Hangup) {
            return self.part_with(key, reason);
        }
        self.take_up_or_wait(key, 0, What::End(reason));
    }

    /// Ends a connection because of the command whose turn it is, after the answers to earlier ones.
    pub(in crate::shard) fn close_in_turn(&mut self, key: Key, reason: CloseReason) {
        let end = What::End(reason);
        if self.turn(key, &end).is_none() {
            self.wait(key, Waiting { id: 0, what: end }, true);
        } else if let What::End(reason) = end {
            self.end_in_turn(key, reason);
        }
    }

    /// Refuses the command whose turn it is, after the answers to earlier ones.
    pub(in crate::shard) fn deny_in_turn(&mut self, key: Key, id: u32, denied: Denied) {
        match self.is_behind_homes(key) {
            true => self.wait(key, Waiting { id, what: What::Denied(denied) }, true),
            false => self.deny(key, id, &denied),
        }
    }

    /// Asks a question outside about the command whose turn it is, after homes have carried out earlier ones.
    pub(in crate::shard) fn ask_outside(&mut self, key: Key, question: Question, pending: Pending) {
        if !self.is_behind_homes(key) {
            return self.ask_outside_now(key, question, pending);
        }
        let id = pending.id();
        self.wait(key, Waiting { id, what: What::Question(Box::new((question, pending))) }, true);
    }

    /// Whether a command that no home carries out would overtake earlier ones.
    fn is_behind_homes(&self, key: Key) -> bool {
        let is_awaited = |conn: &Conn<_, _>| conn.awaited_count > 0;
        self.policy.concurrency <= 1 && self.channels.carry.conns.entry(key).is_some_and(is_awaited)
    }

    /// Ends a connection whose commands are done: their publications are delivered to it, too.
    fn end_in_turn(&mut self, key: Key, reason: CloseReason) {
        self.channels.deliver_before(key, None);
        self.channels.close(key, reason);
    }

    /// Ends a connection because of a verdict about one of its commands: in its turn, or, if several questions are
    /// allowed at a time, at once, as with all answers.
    pub(in crate::shard) fn close_by_word(&mut self, key: Key, reason: CloseReason) {
        match self.policy.concurrency {
            0 | 1 => self.close_in_turn(key, reason),
            _ => self.end_in_turn(key, reason),
        }
    }

    /// Like [`Clients::close_by_word`], for a reason of the server.
    pub(in crate::shard) fn dismiss_by_word(&mut self, key: Key, why: Dismissed) {
        self.close_by_word(key, CloseReason::Dismissed(why));
    }

    pub(in crate::shard) fn take_up_or_wait(&mut self, key: Key, id: u32, what: What) {
        let waiting = Waiting { id, what };
        let client = self.channels.carry.client(key);
        // The command whose turn it is goes before those that continue to wait.
        let is_resuming = client.is_some_and(|client| client.is_resuming);
        let is_behind = !is_resuming && client.is_some_and(|client| !client.waiting.is_empty());
        match self.turn(key, &waiting.what).filter(|_| !is_behind) {
            Some(turn) => self.take_up(key, waiting, turn),
            None => self.wait(key, waiting, is_resuming),
        }
    }

    /// Lets the command wait, before or after the others, and may pause reading.
    fn wait(&mut self, key: Key, waiting: Waiting, is_first: bool) {
        let carry = &mut self.channels.carry;
        let Some(client) = carry.client_or_new(key) else { return };
        client.waiting_bytes += waiting.bytes();
        match is_first {
            true => client.waiting.push_front(waiting),
            false => client.waiting.push_back(waiting),
        }
        carry.count_held(key);
        self.channels.finish_endings();
        self.pause_reading_behind_commands(key);
    }

    /// Pauses reading while commands wait for room, or many wait for answers of others.
    pub(in crate::shard) fn pause_reading_behind_commands(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        let Limits { message_bytes_max, outbox_bytes_max, .. } = carry.limits;
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        if conn.is_read_paused && conn.is_read_closed && conn.session.is_full() {
            return self.leave(key);
        }
        let Some(client) = conn.client.as_ref().filter(|client| !client.waiting.is_empty()) else { return };
        let waits_for_room = client.awaited_weight > 0 || conn.waits_for_room(outbox_bytes_max);
        let are_many =
            client.waiting.len() >= WAITING_COMMANDS_MAX || client.waiting_bytes > message_bytes_max;
        let is_end = |one: Option<&Waiting>| one.is_some_and(|one| matches!(one.what, What::End(_)));
        let ends = is_end(client.waiting.front()) || is_end(client.waiting.back());
        conn.is_read_paused |= waits_for_room || are_many || ends;
        // The client's end is in the input, and would not be found before all commands are done.
        if conn.is_read_paused && conn.is_read_closed && !conn.waits_for_room(outbox_bytes_max) {
            self.leave(key);
        }
    }

    fn is_connecting(&self, key: Key) -> bool {
        self.channels.carry.conns.entry(key).is_some_and(|conn| conn.session.phase() == Phase::Admitting)
    }

    /// The turn of this command; `None` if it must wait. A history or presence is requested alone: there must be room
    /// for the answer.
    fn turn(&self, key: Key, what: &What) -> Option<Turn> {
        let carry = &self.channels.carry;
        let Some(conn) = carry.conns.entry(key) else { return Some(Turn::default()) };
        let asked = conn.client.as_ref().map_or(0, |client| client.asked_outside());
        if matches!(what, What::End(_)) {
            let waits =
                self.is_connecting(key) || conn.awaited_count > 0 || asked > 0 || conn.has_events_left();
            return (!waits).then(Turn::default);
        }
        let awaited_max = if what.is_whole() { 1 } else { AWAITED_MAX };
        let asked_max = self.policy.concurrency.max(1);
        let waits = self.is_connecting(key)
            || conn.waits_for_room(carry.limits.outbox_bytes_max)
            || conn.client.as_ref().is_some_and(|client| client.awaited_weight >= awaited_max)
            || asked >= asked_max && (asked_max == 1 || what.may_ask())
            || conn.awaited_count >= UNANSWERED_MAX
            || self.is_entering(conn, what);
        match waits {
            true => None,
            false if asked_max == 1 && conn.awaited_count > 0 => self.turn_behind_homes(conn, what),
            false => Some(Turn::default()),
        }
    }

    /// The turn of a command while a home is asked about earlier ones: at once if it is for the same home.
    fn turn_behind_homes(&self, conn: &Conn<W::Socket, W::State>, what: &What) -> Option<Turn> {
        let channel = what.channel().filter(|_| what.is_for_home())?;
        let home = self.channels.home_of(channel);
        (home == conn.awaited_home).then_some(Turn { home: Some(home) })
    }

    /// See [`check_invariants`](crate::shard::Shard::check_invariants).
    pub(in crate::shard) fn check_waiting(&self, key: Key, conn: &Conn<W::Socket, W::State>) {
        let Some(first) = conn.client.as_ref().and_then(|client| client.waiting.front()) else { return };
        // These two resume waiting commands.
        let comes_back = conn.outbox.is_some() || conn.is_unread;
        assert!(comes_back || self.turn(key, &first.what).is_none(), "who need not wait does not: {key:?}");
    }

    /// Whether the client has requested a subscription to this command's channel, and its home has not answered.
    fn is_entering(&self, conn: &Conn<W::Socket, W::State>, what: &What) -> bool {
        let is_asked = |sub: &Sub| matches!(sub.state(), SubState::Pending(request) if request != 0);
        if conn.awaited_count == 0 || !conn.subs.iter().any(is_asked) {
            return false;
        }
        let id = what.channel().and_then(|channel| self.channels.local.channel_id(channel));
        id.is_some_and(|id| conn.subs.iter().any(|sub| sub.channel() == id && is_asked(sub)))
    }

    /// Carries out waiting commands, up to one that must wait longer, or that ends the connection.
    pub(in crate::shard) fn resume_waiting(&mut self, key: Key) {
        // A connect command among them that is refused at once calls this again, with nothing to do.
        let is_idle = |client: &&mut Client| !client.waiting.is_empty() && !client.is_resuming;
        let Some(client) = self.channels.carry.client_mut(key).filter(is_idle) else { return };
        client.is_resuming = true;
        let mut is_going_on = false;
        while let Some((one, turn)) = self.next_waiting(key) {
            self.take_up(key, one, turn);
            is_going_on = true;
        }
        let carry = &mut self.channels.carry;
        // An ended client is removed with its waiting commands, which are dropped.
        let Some(client) = carry.client_mut(key) else { return };
        client.is_resuming = false;
        let is_over = client.waiting.is_empty();
        if is_going_on && carry.conns.entry(key).is_some_and(|conn| conn.has_left) {
            carry.await_commands(key);
        }
        carry.count_held(key);
        self.channels.finish_endings();
        if is_over {
            self.resume_reading(key);
            self.channels.carry.trim_client(key);
        }
    }

    /// Removes and returns the first waiting command, if it need not wait longer.
    fn next_waiting(&mut self, key: Key) -> Option<(Waiting, Turn)> {
        let first = self.channels.carry.client(key)?.waiting.front()?;
        let turn = self.turn(key, &first.what)?;
        let client = self.channels.carry.client_mut(key)?;
        let one = client.waiting.pop_front()?;
        client.waiting_bytes -= one.bytes();
        if client.waiting.is_empty() {
            client.waiting = VecDeque::new();
        }
        Some((one, turn))
    }

    fn take_up(&mut self, key: Key, Waiting { id, what }: Waiting, turn: Turn) {
        let deferred = match what {
            What::Ask(ask) => return self.command(key, id, ask, turn.home),
            What::Denied(denied) => return self.deny(key, id, &denied),
            What::Question(asked) => return self.ask_outside_now(key, asked.0, asked.1),
            What::Early(deferred) => deferred,
            What::Withdrawn { channel, code, reason } => {
                self.answer(key, id, &Reply::Entered(Entered { channel: &channel, ..Entered::default() }));
                let why = Ended::Ordered { code, reason: &reason };
                return self.channels.tell(key, &News::Ended { channel: &channel, why });
            }
            What::End(reason) => return self.end_in_turn(key, reason),
        };
        let outcome = self.with_answer(key, |session, handler, cx| session.resume(id, deferred, handler, cx));
        if let Some(Err(reason)) = outcome {
            self.close_in_turn(key, reason);
        }
    }

    /// Withdraws waiting subscriptions to this channel: in their turn, they are answered as if they had begun,
    /// followed by the unsubscribe push. Returns whether there are any.
    pub(in crate::shard) fn withdraw_waiting(
        &mut self,
        key: Key,
        channel: &str,
        code: u32,
        reason: &str,
    ) -> bool {
        let carry = &mut self.channels.carry;
        let Some(client) = carry.client_mut(key) else { return false };
        let mut are_some = false;
        for one in client.waiting.iter_mut().filter(|one| one.enters(channel)) {
            client.waiting_bytes -= one.bytes();
            one.what = What::Withdrawn { channel: channel.into(), code, reason: reason.into() };
            client.waiting_bytes += one.bytes();
            are_some = true;
        }
        carry.count_held(key);
        self.channels.finish_endings();
        are_some
    }

    /// Resumes reading after no command waits any more, unless the outbox is too full.
    pub(in crate::shard) fn resume_reading(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        let bytes_max = carry.limits.outbox_bytes_max;
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        if conn.is_read_paused && !conn.waits_for_room(bytes_max) {
            conn.is_read_paused = false;
            carry.restart_message(key);
            carry.postpone(key);
        }
    }

    /// Continues with commands that waited for a home's answer to a command of the client.
    pub(in crate::shard) fn home_has_answered(&mut self, reply_to: ReplyTo) {
        let ReplyTo { conn: key, weight, request, .. } = reply_to;
        let carry = &mut self.channels.carry;
        let Some(conn) = carry.conns.entry_mut(key).filter(|_| request != 0) else { return };
        conn.awaited_count = conn.awaited_count.saturating_sub(1);
        if conn.client.is_none() {
            return;
        }
        if weight > 0
            && let Some(client) = carry.client_mut(key)
        {
            client.awaited_weight = client.awaited_weight.saturating_sub(weight.into());
        }
        self.resume_waiting(key);
        self.channels.carry.trim_client(key);
    }

    /// Whether an answer of about this size may be queued for a client. Limits: its outbox, which accepts one answer
    /// of any size while it is at most half full, and small ones, of which few are pending at a time; the queued
    /// bytes of all clients, of which answers leave a quarter for publications of others; and the memory of the
    /// process. Counts a refusal.
    pub(in crate::shard) fn has_room_for_answer(&self, key: Key, needs: Needs) -> bool {
        let carry = &self.channels.carry;
        let Needs { queued: bytes, fresh } = needs;
        let Some(conn) = carry.conns.entry(key) else { return false };
        let (queued, bytes_max) = (conn.outbox_bytes(), carry.limits.outbox_bytes_max);
        let is_small = bytes <= SMALL_BYTES;
        let fits_outbox = is_small || queued <= bytes_max / 2 || queued + bytes <= bytes_max;
        let has_room = fits_outbox
            && carry.budget.has_room_for(fresh)
            && (is_small || carry.pressure.has_room_for(fresh));
        carry.counters.limited_answers.add(u64::from(!has_room));
        has_room
    }
}

impl<W: World> Clients<W> {
    /// Whether there is room for the result of a call. A client may have any number of pending calls: small results
    /// count, too, after queued data was offered to the client.
    pub(in crate::shard) fn has_room_for_result(&mut self, key: Key, bytes: usize) -> bool {
        self.channels.offer(key);
        let carry = &mut self.channels.carry;
        let queued = carry.conns.entry(key).map_or(0, Conn::outbox_bytes);
        let bytes_max = carry.limits.outbox_bytes_max;
        if queued > bytes_max / 2 && queued + bytes > bytes_max {
            carry.counters.limited_answers.add(1);
            return false;
        }
        self.has_room_for_answer(key, Needs::new(bytes))
    }
}

/// The approximate size of an answer, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct Needs {
    /// In the client's outbox.
    pub(in crate::shard) queued: usize,
    /// In the memory of the process, beyond bytes that others share.
    pub(in crate::shard) fresh: usize,
}

impl Needs {
    /// The needs of an answer that shares no bytes.
    pub(in crate::shard) fn new(bytes: usize) -> Self {
        Self { queued: bytes, fresh: bytes }
    }
}

impl Add for Needs {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { queued: self.queued + other.queued, fresh: self.fresh + other.fresh }
    }
}

impl Sum for Needs {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The needs of publications in an answer.
pub(in crate::shard) fn needs_of(telling: Option<Telling>, publications: &[Arc<Publication>]) -> Needs {
    let needs = |one: &Arc<Publication>| {
        let tags: usize = one.tags.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let around = tags + one.info.as_deref().map_or(0, bytes_of_info) + ITEM_BYTES;
        let length = one.data.len();
        if telling.is_some_and(|telling| telling.leaves_out(one)) {
            let lent = if one.data.is_lent() { 0 } else { length };
            return Needs { queued: length + around, fresh: lent + LENT_BYTES + around };
        }
        // In JSON, bytes that are not JSON grow by half at most.
        Needs::new(length + length / 2 + around)
    };
    publications.iter().map(needs).sum()
}

/// The approximate size of an entry of presence in an answer, in bytes.
pub(in crate::shard) fn bytes_of_info(info: &ClientInfo) -> usize {
    // The client's id appears twice.
    info.user.len()
        + 2 * info.client.len()
        + info.conn_info.held_bytes()
        + info.chan_info.held_bytes()
        + ITEM_BYTES
}
