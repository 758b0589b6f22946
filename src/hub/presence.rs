//! Members of a channel: the subscriber count of each shard, the members in presence, joins and leaves.
//!
//! Presence is exact, joins and leaves are hints. The joins and leaves of one turn are sent together: a member that
//! came and went within it is omitted, and beyond a rate per channel the rest is dropped and counted. A client that
//! needs certainty asks for presence.
//!
//! Invariant: a member counts from its subscribe letter to its unsubscribe letter. A connection that leaves and
//! enters again while its first letters are still in flight is counted twice for a moment: its seat is kept until it
//! leaves the second time.
//!
//! A seat takes 17 bytes in a table that is between 7/16 and 7/8 full: at most 39 beside the info. Flags are
//! therefore stored only for members whose flags are not the usual ones.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use smallvec::SmallVec;

use super::ClientInfo;
use super::options::ChannelOptions;
use super::terms::{Joining, Member, Shards};
use crate::base::bucket::Bucket;
use crate::base::heap;

/// A hasher without randomness: clients do not choose the keys, and the order of a run must not depend on chance.
type Fixed = BuildHasherDefault<DefaultHasher>;

/// The member counts in presence.
const PRESENT: u8 = 1;
/// The member's join and leave are sent.
const TELLS: u8 = 2;

fn flags_of(is_present: bool, tells: bool) -> u8 {
    (u8::from(is_present) * PRESENT) | (u8::from(tells) * TELLS)
}

/// Unusual properties of a seat.
#[derive(Clone, Copy, Debug)]
struct Unusual {
    flags: u8,
    /// Number of leaves before the member is gone, beside the first.
    again: u16,
}

/// The members of one shard that others may see.
#[derive(Debug)]
struct Seats {
    infos: HashMap<u64, Arc<ClientInfo>, Fixed>,
    usual_flags: u8,
    unusual: HashMap<u64, Unusual, Fixed>,
}

impl Seats {
    fn new(usual_flags: u8) -> Self {
        Self { infos: HashMap::default(), usual_flags, unusual: HashMap::default() }
    }

    fn flags(&self, conn: u64) -> u8 {
        self.unusual.get(&conn).map_or(self.usual_flags, |unusual| unusual.flags)
    }

    /// Adds a member; returns its previous entry and flags. With `renews` a present member is not counted once more.
    fn insert(
        &mut self,
        conn: u64,
        info: &Arc<ClientInfo>,
        flags: u8,
        renews: bool,
    ) -> Option<(Arc<ClientInfo>, u8)> {
        let flags_before = self.flags(conn);
        let before = self.infos.insert(conn, Arc::clone(info));
        let again = match &before {
            Some(_) => self.unusual.get(&conn).map_or(0, |unusual| unusual.again) + u16::from(!renews),
            None => 0,
        };
        if again > 0 || flags != self.usual_flags {
            self.unusual.insert(conn, Unusual { flags, again });
        } else if renews {
            self.unusual.remove(&conn);
        }
        before.map(|info| (info, flags_before))
    }

    /// Removes a member, however often it is counted; returns its entry and flags.
    fn vacate(&mut self, conn: u64) -> Option<(Arc<ClientInfo>, u8)> {
        let flags = self.flags(conn);
        let info = self.infos.remove(&conn)?;
        self.unusual.remove(&conn);
        // The seats of a crowd that has left must not be kept for ever.
        heap::ease_table(&mut self.infos);
        heap::ease_table(&mut self.unusual);
        Some((info, flags))
    }

    /// Removes a member; returns its entry and flags if it is gone.
    fn remove(&mut self, conn: u64) -> Option<(Arc<ClientInfo>, u8)> {
        if let Some(unusual) = self.unusual.get_mut(&conn)
            && unusual.again > 0
        {
            unusual.again -= 1;
            return None;
        }
        self.vacate(conn)
    }

    fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>()) + heap::table(&self.infos) + heap::table(&self.unusual)
    }

    fn present(&self) -> impl Iterator<Item = &Arc<ClientInfo>> {
        let is_present = |conn| self.flags(conn) & PRESENT != 0;
        self.infos.iter().filter(move |&(&conn, _)| is_present(conn)).map(|(_, info)| info)
    }
}

/// The subscribers of one shard.
#[derive(Debug)]
struct Audience {
    shard: u16,
    count: u32,
    seats: Option<Box<Seats>>,
}

/// Number of present connections of each user: counted on the first request, and then updated for as long as that is
/// cheaper.
#[derive(Debug)]
struct Users {
    counts: HashMap<u64, u32, Fixed>,
    hasher: RandomState,
    /// Changes since the last request.
    changes: usize,
}

impl Users {
    fn of<'a>(present: impl Iterator<Item = &'a Arc<ClientInfo>>) -> Self {
        let mut users = Self { counts: HashMap::default(), hasher: RandomState::new(), changes: 0 };
        for info in present {
            users.change(info, true);
        }
        users
    }

    fn change(&mut self, info: &ClientInfo, is_more: bool) {
        self.changes += 1;
        let user = self.hasher.hash_one(&info.user);
        let count = self.counts.entry(user).or_default();
        *count = if is_more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.counts.remove(&user);
            heap::ease_table(&mut self.counts);
        }
    }

    fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>()) + heap::table(&self.counts)
    }

    /// Whether a new count would have been cheaper by now.
    fn is_idle(&self) -> bool {
        self.changes > 4 * self.counts.len() + 1024
    }
}

/// A client, compared by its id.
#[derive(Debug)]
struct ById(Arc<ClientInfo>);

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.client
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.client.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.client == other.0.client
    }
}

impl Eq for ById {}

/// A client's unsent change.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    /// Whether a join of the client was sent before.
    was_there: bool,
}

/// Joins and leaves since the last report.
#[derive(Debug, Default)]
struct Digest {
    /// Changes; cancelled ones are `None`.
    changes: Vec<Option<(bool, Arc<ClientInfo>)>>,
    /// Each client's unsent change.
    places: HashMap<ById, Place>,
    rate: Bucket,
}

impl Digest {
    fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>())
            + heap::list::<Option<(bool, Arc<ClientInfo>)>>(self.changes.capacity())
            + heap::table(&self.places)
    }
}

/// The members of one channel.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    audiences: SmallVec<[Audience; 2]>,
    users: Option<Box<Users>>,
    digest: Option<Box<Digest>>,
    present_count: u32,
}

impl Crowd {
    /// Counts one more member, or changes the options of a counted one. Returns true when that is the channel's first
    /// unsent change.
    pub(super) fn add(&mut self, joining: &Joining, options: &ChannelOptions) -> bool {
        let Member { shard, conn } = joining.member;
        let at = match self.audiences.iter().position(|audience| audience.shard == shard) {
            Some(at) => at,
            None if joining.renews => return false,
            None => {
                self.audiences.push(Audience { shard, count: 0, seats: None });
                self.audiences.len() - 1
            }
        };
        let audience = &mut self.audiences[at];
        audience.count += u32::from(!joining.renews);
        let flags = flags_of(joining.in_presence, joining.tells_join);
        let Some(info) = joining.info.as_ref().filter(|_| flags != 0) else {
            if joining.renews {
                self.vacate(joining.member);
            }
            return false;
        };
        let seats = audience
            .seats
            .get_or_insert_with(|| Box::new(Seats::new(flags_of(options.presence, options.join_leave))));
        let before = seats.insert(conn, info, flags, joining.renews);
        let flags_before = before.as_ref().map_or(0, |(_, flags)| *flags);
        if let Some((before, _)) = before.filter(|(_, flags)| flags & PRESENT != 0) {
            self.change_present(&before, false);
        }
        if flags & PRESENT != 0 {
            self.change_present(info, true);
        }
        // A member that was present all the time does not join, unless its info has changed.
        let was_there = flags_before & TELLS != 0;
        flags & TELLS != 0 && (joining.renews || !was_there) && self.tell(true, was_there, Arc::clone(info))
    }

    /// Hides a counted member, without a leave.
    fn vacate(&mut self, Member { shard, conn }: Member) {
        let Some(audience) = self.audiences.iter_mut().find(|audience| audience.shard == shard) else {
            return;
        };
        let gone = audience.seats.as_mut().and_then(|seats| seats.vacate(conn));
        if audience.seats.as_ref().is_some_and(|seats| seats.infos.is_empty()) {
            audience.seats = None;
        }
        if let Some((info, _)) = gone.filter(|(_, flags)| flags & PRESENT != 0) {
            self.change_present(&info, false);
        }
    }

    /// Changes a member's info, if it has any. `keeps_chan_info` keeps the subscription's own part.
    pub(super) fn inform(&mut self, member: Member, info: &Arc<ClientInfo>, keeps_chan_info: bool) {
        let audience = self.audiences.iter_mut().find(|audience| audience.shard == member.shard);
        let seats = audience.and_then(|audience| audience.seats.as_mut());
        if let Some(seat) = seats.and_then(|seats| seats.infos.get_mut(&member.conn)) {
            *seat = seat.renewed(info, keeps_chan_info);
        }
    }

    /// Counts one member less: `None` when there was none, else whether that is the channel's first unsent change.
    pub(super) fn remove(&mut self, member: Member) -> Option<bool> {
        let at = self.audiences.iter().position(|audience| audience.shard == member.shard)?;
        let audience = &mut self.audiences[at];
        audience.count -= 1;
        let gone = audience.seats.as_mut().and_then(|seats| seats.remove(member.conn));
        if audience.seats.as_ref().is_some_and(|seats| seats.infos.is_empty()) {
            audience.seats = None;
        }
        if audience.count == 0 {
            self.audiences.swap_remove(at);
        }
        let Some((info, flags)) = gone else { return Some(false) };
        if flags & PRESENT != 0 {
            self.change_present(&info, false);
        }
        Some(flags & TELLS != 0 && self.tell(false, true, info))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.audiences.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.audiences.iter().map(|audience| audience.count as usize).sum()
    }

    pub(super) fn present_count(&self) -> u32 {
        self.present_count
    }

    /// The shards with subscribers.
    pub(super) fn shards(&self) -> Shards {
        self.audiences.iter().map(|audience| audience.shard).collect()
    }

    pub(super) fn present(&self) -> impl Iterator<Item = &Arc<ClientInfo>> {
        self.audiences.iter().filter_map(|audience| audience.seats.as_deref()).flat_map(Seats::present)
    }

    /// Memory of the crowd beside its own size, without the members' infos.
    pub(super) fn bytes(&self) -> usize {
        let seats = self.audiences.iter().filter_map(|audience| audience.seats.as_ref());
        heap::spilled(&self.audiences)
            + seats.map(|seats| seats.bytes()).sum::<usize>()
            + self.users.as_ref().map_or(0, |users| users.bytes())
            + self.digest.as_ref().map_or(0, |digest| digest.bytes())
    }

    /// Number of different users in presence. The first call takes time proportional to the number of members.
    pub(super) fn user_count(&mut self) -> u32 {
        if self.users.is_none() {
            self.users = Some(Box::new(Users::of(self.present())));
        }
        let Some(users) = &mut self.users else { return 0 };
        users.changes = 0;
        u32::try_from(users.counts.len()).unwrap_or(u32::MAX)
    }

    /// Takes the unsent changes, at most as many as `rate_per_s` permits; and the number of dropped ones.
    pub(super) fn take_changes(
        &mut self,
        now_ms: u64,
        rate_per_s: u32,
    ) -> (Vec<(bool, Arc<ClientInfo>)>, u32) {
        let Some(digest) = &mut self.digest else { return Default::default() };
        digest.places = HashMap::new();
        let mut changes: Vec<_> = std::mem::take(&mut digest.changes).into_iter().flatten().collect();
        let count = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let told = digest.rate.take_up_to(now_ms, rate_per_s, rate_per_s, count);
        changes.truncate(told as usize);
        (changes, count - told)
    }

    /// See [`super::home::Home::check_invariants`].
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.present().count(), self.present_count as usize);
        for audience in &self.audiences {
            assert!(audience.count > 0, "a shard without subscribers");
            let Some(seats) = &audience.seats else { continue };
            assert!(!seats.infos.is_empty() && seats.infos.len() <= audience.count as usize);
            assert!(seats.unusual.keys().all(|conn| seats.infos.contains_key(conn)));
        }
        if let Some(users) = &self.users {
            let anew: HashMap<_, u32, Fixed> = self.present().fold(HashMap::default(), |mut counts, info| {
                *counts.entry(users.hasher.hash_one(&info.user)).or_default() += 1;
                counts
            });
            assert_eq!(users.counts, anew);
        }
        if let Some(digest) = &self.digest {
            assert_eq!(digest.places.len(), digest.changes.iter().flatten().count());
        }
    }

    /// Records a join or leave; returns true when it is the first unsent one. `was_there`: whether a join was sent
    /// before, if there is no unsent change.
    fn tell(&mut self, came: bool, was_there: bool, info: Arc<ClientInfo>) -> bool {
        let digest = self.digest.get_or_insert_default();
        let is_first = digest.changes.is_empty();
        let Some(place) = digest.places.remove(&*info.client) else {
            let place = Place { at: digest.changes.len(), was_there };
            digest.places.insert(ById(Arc::clone(&info)), place);
            digest.changes.push(Some((came, info)));
            return is_first;
        };
        let has_come = digest.changes[place.at].as_ref().is_some_and(|(came, _)| *came);
        // A join and a leave cancel each other out; a renewed member leaves with the info that was sent, or joins
        // with its new one.
        if came != has_come && place.was_there == came {
            digest.changes[place.at] = None;
        } else {
            digest.places.insert(ById(Arc::clone(&info)), place);
            digest.changes[place.at] = Some((came, info));
        }
        is_first
    }

    fn change_present(&mut self, info: &ClientInfo, is_more: bool) {
        if is_more {
            self.present_count += 1;
        } else {
            self.present_count -= 1;
        }
        if let Some(users) = &mut self.users {
            users.change(info, is_more);
            if users.is_idle() {
                self.users = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
