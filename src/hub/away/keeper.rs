//! The store of one home for recovery: the last events of its namespaces, and the sockets that are away.
//!
//! Everything is bounded, by time, number and bytes; the oldest goes first. A socket that is not kept any more is over:
//! [`Home::take_over`] returns it, and the application is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::log::{Log, Logged, in_order};
use super::{Away, Back, RecoveryLimits, Return, half, whole};
use crate::base::budget::Budget;
use crate::base::heap;
use crate::base::seed::Seed;
use crate::base::shared::Shared;
use crate::hub::emission::{Emission, group_of};
use crate::hub::home::{Asker, Home, Joining, Member, Now, Refused};
use crate::hub::offset::epoch_of;
use crate::hub::options::ChannelOptions;
use crate::hub::socket_place::SocketPlace;
use crate::hub::{Item, Publication, Rare};

/// Minimum and maximum time between two looks for what has expired, in milliseconds.
const LOOK_MS: [u64; 2] = [20, 1000];

/// A place in order.
pub(super) type PlaceKey = (u64, u16, u8);

pub(super) fn key_of(place: SocketPlace) -> PlaceKey {
    (place.conn, place.shard, place.number)
}

/// A socket that is away.
#[derive(Debug)]
struct Kept {
    away: Box<Away>,
    /// The end of its time.
    until_ms: u64,
    bytes: usize,
}

/// The home's answer to a socket whose connection has ended.
#[derive(Debug)]
pub(crate) enum Parked {
    /// It is kept, or over.
    Kept,
    /// Its client was waiting for it.
    Awaited(Box<Return>, Option<Box<Back>>),
}

/// The home's answer to a client that asks for its socket.
#[derive(Debug)]
pub(crate) enum Returned {
    /// The answer, to this client or to one that asked before it; `None`: it becomes a new socket.
    Answered(Box<Return>, Option<Box<Back>>),
    /// The socket may still have a connection in this shard, which has to give it away.
    Asks(u16),
}

/// The store of a home for recovery.
#[derive(Debug)]
pub(in crate::hub) struct Keeper {
    limits: RecoveryLimits,
    seed: Seed,
    epoch: Arc<str>,
    /// Counts the data of logged events, also while a recovery sends them.
    budget: Budget,
    logs: BTreeMap<Arc<str>, Log>,
    away: BTreeMap<PlaceKey, Kept>,
    /// The sockets in the order of their expiry. One that has returned is skipped.
    order: VecDeque<(u64, PlaceKey)>,
    away_bytes: usize,
    /// Clients that wait for the end of their old connection.
    asked: BTreeMap<PlaceKey, Box<Return>>,
    /// Sockets that are over, of which the application must be told.
    over: Vec<Away>,
    look_at_ms: Option<u64>,
}

impl Keeper {
    pub(in crate::hub) fn new(limits: RecoveryLimits, seed: Seed) -> Box<Self> {
        Box::new(Self {
            limits,
            seed,
            epoch: epoch_of(seed),
            budget: Budget::new(usize::MAX),
            logs: BTreeMap::new(),
            away: BTreeMap::new(),
            order: VecDeque::new(),
            away_bytes: 0,
            asked: BTreeMap::new(),
            over: Vec::new(),
            look_at_ms: None,
        })
    }

    /// Memory in bytes.
    pub(in crate::hub) fn bytes(&self) -> usize {
        let logs: usize = self.logs.values().map(Log::bytes).sum();
        logs + self.away_bytes + heap::list::<(u64, PlaceKey)>(self.order.capacity())
    }

    pub(in crate::hub) fn next_expiry_ms(&self) -> Option<u64> {
        self.look_at_ms
    }

    /// Drops what has expired. `is_present`: whether a namespace has sockets.
    pub(in crate::hub) fn expire(&mut self, now: Now, is_present: impl Fn(&str) -> bool) {
        if self.look_at_ms.is_none_or(|at_ms| at_ms > now.ms) {
            return;
        }
        while let Some(&(until_ms, key)) = self.order.front()
            && until_ms <= now.ms
        {
            self.order.pop_front();
            self.give_up(until_ms, key);
        }
        heap::ease_queue(&mut self.order);
        let before_ms = now.ms.saturating_sub(self.limits.log_ms);
        self.logs.retain(|group, log| {
            log.expire(before_ms);
            !log.is_empty() || log.away_count > 0 || is_present(group)
        });
        let is_idle = self.away.is_empty() && self.logs.values().all(Log::is_empty);
        self.look_at_ms = (!is_idle).then(|| now.ms + self.look_ms());
    }

    /// Frees memory: the oldest events of the largest logs, then the sockets that are away for the longest time, beyond
    /// `bytes_max`; at most `count_max` of each. Returns the number of events.
    pub(in crate::hub) fn cut(&mut self, bytes_max: usize, count_max: usize) -> usize {
        let mut count = 0;
        while count < count_max
            && self.bytes() > bytes_max
            && let Some(log) = self.logs.values_mut().max_by_key(|log| log.bytes())
            && log.drop_oldest()
        {
            count += 1;
        }
        for _ in 0..count_max {
            if self.bytes() <= bytes_max || !self.give_up_oldest() {
                break;
            }
        }
        count
    }

    fn look_ms(&self) -> u64 {
        let [min, max] = LOOK_MS;
        (self.limits.ttl_ms / 4).clamp(min, max)
    }

    fn look_soon(&mut self, now: Now) {
        let at_ms = now.ms + self.look_ms();
        self.look_at_ms.get_or_insert(at_ms);
    }

    /// Gives a numbered message its offset.
    pub(in crate::hub) fn mark(&self, publication: &mut Publication) {
        publication.offset = publication.seq;
        publication.rare = Some(Box::new(Rare { version: 0, epoch: Some(Arc::clone(&self.epoch)) }));
    }

    /// Keeps a marked message, if there may be sockets that miss it.
    pub(in crate::hub) fn log(&mut self, now: Now, emission: &Emission, is_present: bool) {
        let Emission { publication, to, except, sender, is_volatile, .. } = emission;
        let group = group_of(&publication.channel);
        let is_known = self.logs.contains_key(group);
        if *is_volatile || !(is_present || is_known) {
            return;
        }
        let kept = Publication {
            seq: publication.seq,
            offset: publication.offset,
            rare: publication.rare.clone(),
            ..Publication::new(
                Arc::clone(&publication.channel),
                publication.kind,
                Shared::new(publication.data.to_vec(), &self.budget),
            )
        };
        let logged = Logged {
            at_ms: now.ms,
            publication: Arc::new(kept),
            to: to.clone(),
            except: except.clone(),
            not_to: *sender,
        };
        let bytes_max = self.limits.bytes_max;
        self.log_of(&group.into()).push(logged, bytes_max);
        self.look_soon(now);
    }

    fn log_of(&mut self, group: &Arc<str>) -> &mut Log {
        self.logs.entry(Arc::clone(group)).or_default()
    }

    /// Keeps a socket, in the place of others at the limits.
    fn keep(&mut self, now: Now, away: Box<Away>) {
        let (key, bytes) = (key_of(away.place), away.bytes());
        self.give_up_any(key);
        self.log_of(&away.group).away_count += 1;
        self.away_bytes += bytes;
        let until_ms = now.ms + self.limits.ttl_ms;
        self.order.push_back((until_ms, key));
        self.away.insert(key, Kept { away, until_ms, bytes });
        self.keep_within_limits();
        self.look_soon(now);
    }

    /// Ends the oldest sockets beyond the limits.
    pub(super) fn keep_within_limits(&mut self) {
        while self.away.len() > self.limits.sockets_max || self.away_bytes > self.limits.bytes_max {
            if !self.give_up_oldest() {
                break;
            }
        }
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    /// Number of the sockets of a namespace that are away.
    pub(super) fn away_count_of(&self, group: &str) -> usize {
        self.logs.get(group).map_or(0, |log| log.away_count)
    }

    pub(super) fn all_away(&self) -> impl Iterator<Item = &Away> {
        self.away.values().map(|kept| &*kept.away)
    }

    pub(super) fn away(&self, key: PlaceKey) -> Option<&Away> {
        self.away.get(&key).map(|kept| &*kept.away)
    }

    /// Changes a socket that is away.
    pub(super) fn with_away<T>(&mut self, key: PlaceKey, change: impl FnOnce(&mut Away) -> T) -> Option<T> {
        let kept = self.away.get_mut(&key)?;
        let outcome = change(&mut kept.away);
        let before = std::mem::replace(&mut kept.bytes, kept.away.bytes());
        self.away_bytes = self.away_bytes - before + kept.bytes;
        Some(outcome)
    }

    fn give_up_oldest(&mut self) -> bool {
        while let Some((until_ms, key)) = self.order.pop_front() {
            if self.give_up(until_ms, key) {
                return true;
            }
        }
        false
    }

    /// Ends a socket that is away since a time; returns whether there was one.
    fn give_up(&mut self, until_ms: u64, key: PlaceKey) -> bool {
        self.away.get(&key).is_some_and(|kept| kept.until_ms == until_ms) && self.give_up_any(key)
    }

    pub(super) fn give_up_any(&mut self, key: PlaceKey) -> bool {
        let away = self.take(key);
        let is_there = away.is_some();
        self.over.extend(away.map(|away| *away));
        is_there
    }

    /// Takes a socket that is away.
    fn take(&mut self, key: PlaceKey) -> Option<Box<Away>> {
        let Kept { away, bytes, .. } = self.away.remove(&key)?;
        self.away_bytes -= bytes;
        if let Some(log) = self.logs.get_mut(&away.group) {
            log.away_count -= 1;
        }
        Some(away)
    }

    /// The missed events of a client, which from here on counts as having what it told; `None` when some are lost.
    fn missed(&self, away: &mut Away, asked: &Return, seq: u64) -> Option<Vec<Item>> {
        let Return { since, offset, .. } = asked;
        // A client keeps the offset of an earlier socket until it gets an event.
        let offset = offset.filter(|offset| offset.seq >= *since && offset.seq <= seq);
        let has_all = [offset.map_or(0, |offset| offset.seq), *since, whole(away.proved, seq)];
        let after_seq = has_all.into_iter().max().unwrap_or_default();
        if !away.directs.received(offset) {
            return None;
        }
        let missed = match self.logs.get(&away.group) {
            Some(log) => log.missed(away, after_seq, self.limits.missed_bytes_max)?,
            None => Vec::new(),
        };
        let missed = in_order(missed, away, |data| Shared::new(data.to_vec(), &self.budget));
        away.proved = half(after_seq);
        Some(missed)
    }
}

impl<A: Asker> Home<A> {
    /// Number of sockets that are away.
    pub(crate) fn away_count(&self) -> usize {
        self.keeper.as_ref().map_or(0, |keeper| keeper.away.len())
    }

    /// Handles the end of a socket's connection: its client may return.
    pub(crate) fn park(&mut self, now: Now, away: Box<Away>) -> Parked {
        let Some(keeper) = &mut self.keeper else { return Parked::Kept };
        match keeper.asked.remove(&key_of(away.place)) {
            Some(asked) if away.is_of(&asked) => {
                let back = self.give_back(now, away, &asked);
                Parked::Awaited(asked, back)
            }
            Some(stranger) => {
                keeper.keep(now, away);
                Parked::Awaited(stranger, None)
            }
            None => {
                keeper.keep(now, away);
                Parked::Kept
            }
        }
    }

    /// Handles a client that asks for its socket.
    pub(crate) fn handle_return(&mut self, now: Now, asked: Box<Return>) -> Returned {
        let Some(keeper) = &mut self.keeper else { return Returned::Answered(asked, None) };
        let key = key_of(asked.place);
        if let Some(kept) = keeper.away.get(&key) {
            let is_its = kept.until_ms > now.ms && kept.away.is_of(&asked);
            if is_its && let Some(away) = keeper.take(key) {
                let back = self.give_back(now, away, &asked);
                return Returned::Answered(asked, back);
            }
            return Returned::Answered(asked, None);
        }
        // The newest connection is the client's; an earlier one has been cut meanwhile, as a rule.
        if let Some(earlier) = keeper.asked.get_mut(&key) {
            let mut earlier = std::mem::replace(earlier, asked);
            earlier.is_overtaken = true;
            return Returned::Answered(earlier, None);
        }
        // A socket that has returned before is in the room of its id.
        let own_room = asked.place.room(&asked.group, keeper.seed);
        let id = self.names.get(&*own_room);
        let shards = id.map(|id| self.channels[*id as usize].audience.crowd.shards());
        let shard = shards.and_then(|shards| shards.first().copied()).unwrap_or(asked.place.shard);
        keeper.asked.insert(key, asked);
        Returned::Asks(shard)
    }

    /// Handles the answer of a shard that has no such socket; returns the client that waits for it.
    pub(crate) fn not_held(&mut self, place: SocketPlace) -> Option<Box<Return>> {
        self.keeper.as_mut()?.asked.remove(&key_of(place))
    }

    /// The sockets that are over since the last call: the application must be told.
    pub(crate) fn take_over(&mut self) -> Vec<Away> {
        self.keeper.as_mut().map(|keeper| std::mem::take(&mut keeper.over)).unwrap_or_default()
    }

    /// Ends all sockets that are away.
    pub(crate) fn give_up_all(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            while keeper.give_up_oldest() {}
        }
    }

    /// Continues a socket at its client's new connection; without it, the socket is over.
    fn give_back(&mut self, now: Now, mut away: Box<Away>, asked: &Return) -> Option<Box<Back>> {
        let (member, seq) = (asked.member, self.order.seq);
        let keeper = self.keeper.as_mut()?;
        let missed = keeper.missed(&mut away, asked, seq);
        if let Some(missed) = missed
            && self.rejoin(now, &away, member).is_ok()
        {
            return Some(Box::new(Back { away, seq, missed }));
        }
        self.keeper.as_mut()?.over.push(*away);
        None
    }

    /// Counts a connection in all its rooms, or in none.
    fn rejoin(&mut self, now: Now, away: &Away, member: Member) -> Result<(), Refused> {
        let (rooms, private) = (&away.rooms, ChannelOptions::default());
        let seed = self.keeper.as_ref().map(|keeper| keeper.seed);
        let info = seed.filter(|_| !away.seats.is_empty()).map(|seed| Arc::new(away.as_member(seed)));
        for (count, room) in rooms.iter().enumerate() {
            let seat = away.seats.iter().find(|(shared, _)| shared == room);
            let options = seat.map_or(&private, |(_, options)| &**options);
            let joining = Joining::seen(member, info.clone().filter(|_| seat.is_some()), options);
            match self.open(room) {
                Ok(id) => self.count_in(now, id, (options, &joining)),
                Err(refused) => {
                    for room in &rooms[..count] {
                        self.unsubscribe(now, room, member);
                    }
                    return Err(refused);
                }
            }
        }
        Ok(())
    }
}
