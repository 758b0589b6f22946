//! Who is in a channel: how many subscribers each shard has, who of them is present, and who came and went.
//!
//! Presence is the truth, joins and leaves are hints. Those of one turn are told together: who came and went within it
//! is not told at all, and beyond a rate per channel the rest is dropped and counted. Whoever needs to be certain asks
//! for presence.
//!
//! Invariant: a member counts from its subscribe letter to its unsubscribe letter. A connection that leaves and enters
//! again while its first letters are still under way is there twice for a moment: its seat is kept until the second
//! time it goes.
//!
//! A seat costs 17 bytes in a table that is between 7/16 and 7/8 full: at most 39 beside the info. Flags are therefore
//! kept for those only whose flags are not the usual ones.

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

/// Its keys are not chosen by clients, and the order of a run must not depend on chance.
type Fixed = BuildHasherDefault<DefaultHasher>;

/// Counts in presence.
const PRESENT: u8 = 1;
/// Its coming and going is told.
const TELLS: u8 = 2;

fn flags_of(is_present: bool, tells: bool) -> u8 {
    (u8::from(is_present) * PRESENT) | (u8::from(tells) * TELLS)
}

/// What is not as usual about a seat.
#[derive(Clone, Copy, Debug)]
struct Unusual {
    flags: u8,
    /// Times that it has to go before it is gone, beside the first.
    again: u16,
}

/// The members of one shard that others may hear of.
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

    /// Takes a seat; returns who had it before, and its flags. `renews`: who has it has it no second time.
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

    /// Leaves a seat for good, however often it was taken; returns who is gone, and its flags.
    fn vacate(&mut self, conn: u64) -> Option<(Arc<ClientInfo>, u8)> {
        let flags = self.flags(conn);
        let info = self.infos.remove(&conn)?;
        self.unusual.remove(&conn);
        // A crowd that is gone must not keep its seats for ever.
        heap::ease_table(&mut self.infos);
        heap::ease_table(&mut self.unusual);
        Some((info, flags))
    }

    /// Leaves a seat; returns who is gone, and its flags.
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

/// How many of those present each user is: counted once when someone asks, and then kept up to date as long as it pays.
#[derive(Debug)]
struct Users {
    counts: HashMap<u64, u32, Fixed>,
    hasher: RandomState,
    /// Changes since someone asked.
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

    /// Whether counting anew would by now have been cheaper.
    fn is_idle(&self) -> bool {
        self.changes > 4 * self.counts.len() + 1024
    }
}

/// A client by its id.
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

/// A client's change among those that wait to be told.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    /// It was told before that the client is there.
    was_there: bool,
}

/// Who came and who went since it was last told.
#[derive(Debug, Default)]
struct Digest {
    /// Those that cancelled out are `None`.
    changes: Vec<Option<(bool, Arc<ClientInfo>)>>,
    /// Each client's change.
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

/// The crowd of one channel.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    audiences: SmallVec<[Audience; 2]>,
    users: Option<Box<Users>>,
    digest: Option<Box<Digest>>,
    present_count: u32,
}

impl Crowd {
    /// Counts one more, or knows one that is counted by other terms. True when that is the first change in the channel that
    /// waits to be told.
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
        // Who was there all the time does not come, unless it is somebody else now.
        let was_there = flags_before & TELLS != 0;
        flags & TELLS != 0 && (joining.renews || !was_there) && self.tell(true, was_there, Arc::clone(info))
    }

    /// A member that is counted is not to be seen any more; nobody is told.
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

    /// A member is somebody else to others from now on, if they see it. `keeps_chan_info`: but for what is said of its
    /// subscription.
    pub(super) fn inform(&mut self, member: Member, info: &Arc<ClientInfo>, keeps_chan_info: bool) {
        let audience = self.audiences.iter_mut().find(|audience| audience.shard == member.shard);
        let seats = audience.and_then(|audience| audience.seats.as_mut());
        if let Some(seat) = seats.and_then(|seats| seats.infos.get_mut(&member.conn)) {
            *seat = seat.renewed(info, keeps_chan_info);
        }
    }

    /// Counts one less: `None` when there was none, else whether that is the first change that waits to be told.
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

    /// The shards that have subscribers.
    pub(super) fn shards(&self) -> Shards {
        self.audiences.iter().map(|audience| audience.shard).collect()
    }

    pub(super) fn present(&self) -> impl Iterator<Item = &Arc<ClientInfo>> {
        self.audiences.iter().filter_map(|audience| audience.seats.as_deref()).flat_map(Seats::present)
    }

    /// What the crowd costs beside its place, without what is told of its members.
    pub(super) fn bytes(&self) -> usize {
        let seats = self.audiences.iter().filter_map(|audience| audience.seats.as_ref());
        heap::spilled(&self.audiences)
            + seats.map(|seats| seats.bytes()).sum::<usize>()
            + self.users.as_ref().map_or(0, |users| users.bytes())
            + self.digest.as_ref().map_or(0, |digest| digest.bytes())
    }

    /// Different users among those present. The first call takes time in proportion to their number.
    pub(super) fn user_count(&mut self) -> u32 {
        if self.users.is_none() {
            self.users = Some(Box::new(Users::of(self.present())));
        }
        let Some(users) = &mut self.users else { return 0 };
        users.changes = 0;
        u32::try_from(users.counts.len()).unwrap_or(u32::MAX)
    }

    /// Takes the changes that wait, at most as many as `rate_per_s` allows; and how many were dropped.
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

    /// Notes that someone came or went; true when it is the first who waits to be told. `was_there`: whether it was told to be
    /// there, unless it waits to be told.
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
        // Who came and went, or went and came, is where it was; who is renewed goes as whoever is there, or has come as somebody
        // else.
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
