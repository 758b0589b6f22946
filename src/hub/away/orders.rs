//! Orders to sockets, as far as they are for sockets that are away: those change their rooms, or are over.
//!
//! Left out: orders that ask something of a socket. One that is away does not count among their sockets, as at the reference.

use std::sync::Arc;

use super::keeper::{PlaceKey, key_of};
use super::{Away, Keeper, RoomChange};
use crate::hub::home::{Asker, Home};
use crate::hub::options::ChannelOptions;
use crate::hub::rooms::RoomMap;
use crate::hub::selector::namespace_channel;
use crate::hub::socket_order::{SocketDeed, SocketOrder};
use crate::hub::socket_place::SocketPlace;

/// Maximum of changes of rooms that are kept for one socket; with more it is over.
const CHANGES_MAX: usize = 1000;

/// A change of the rooms of sockets.
struct Moving<'a> {
    rooms: &'a [Arc<str>],
    is_entered: bool,
    /// The home's number.
    seq: u64,
    map: &'a RoomMap,
    /// Maximum of rooms of a socket, with that of its namespace.
    rooms_max: usize,
}

impl Away {
    fn is_meant(&self, order: &SocketOrder) -> bool {
        let is_in = |room: &Arc<str>| self.is_in(room);
        order.rooms.to.iter().any(is_in) && !order.rooms.except.iter().any(is_in)
    }

    /// Enters rooms, or leaves them; returns false when that is too much to be kept.
    fn change(&mut self, moving: &Moving<'_>, own: &Arc<str>) -> bool {
        let Moving { is_entered, seq, map, .. } = *moving;
        let mut rooms = std::mem::take(&mut self.rooms).into_vec();
        let mut seats = std::mem::take(&mut self.seats).into_vec();
        // A socket cannot leave the room of its id.
        for room in moving.rooms.iter().filter(|room| *room != own) {
            match (rooms.binary_search(room), is_entered) {
                (Err(at), true) => {
                    rooms.insert(at, Arc::clone(room));
                    if map.sharing(room).is_some() {
                        seats.push((Arc::clone(room), map.options_of(room)));
                    }
                }
                (Ok(at), false) => {
                    rooms.remove(at);
                    seats.retain(|(shared, _): &(Arc<str>, Arc<ChannelOptions>)| shared != room);
                }
                (Ok(_), true) | (Err(_), false) => continue,
            }
            self.changes.push(RoomChange { seq, room: Arc::clone(room), is_entered });
        }
        (self.rooms, self.seats) = (rooms.into(), seats.into());
        self.rooms.len() <= moving.rooms_max && self.changes.len() <= CHANGES_MAX
    }
}

impl Keeper {
    /// The sockets that are away and for which an order is.
    fn meant(&self, order: &SocketOrder) -> Vec<PlaceKey> {
        let group = namespace_channel(&order.namespace);
        if self.away_count_of(&group) == 0 {
            return Vec::new();
        }
        let is_meant = |away: &Away| away.group == group && away.is_meant(order);
        // Nearly all orders to one socket name it by its id.
        if let [room] = &*order.rooms.to
            && let Some(place) = SocketPlace::of_room(self.seed(), room)
        {
            let key = key_of(place);
            return self.away(key).filter(|away| is_meant(away)).map(|_| key).into_iter().collect();
        }
        self.all_away().filter(|away| is_meant(away)).map(|away| key_of(away.place)).collect()
    }

    fn move_all(&mut self, keys: Vec<PlaceKey>, moving: &Moving<'_>) {
        let seed = self.seed();
        for key in keys {
            let fits = self.with_away(key, |away| {
                let own = away.place.room(&away.group, seed);
                away.change(moving, &own)
            });
            if fits == Some(false) {
                self.give_up_any(key);
            }
        }
        self.keep_within_limits();
    }
}

impl<A: Asker> Home<A> {
    /// Carries out an order for the sockets that are away, which take their rooms with them when they return, or do not return.
    /// `rooms_max`: maximum of rooms of one socket.
    pub(crate) fn order_away(&mut self, order: &SocketOrder, map: &RoomMap, rooms_max: usize) {
        let seq = self.order.seq;
        let Some(keeper) = &mut self.keeper else { return };
        let (rooms, is_entered) = match &order.deed {
            SocketDeed::Join(rooms) => (rooms, true),
            SocketDeed::Leave(rooms) => (rooms, false),
            SocketDeed::Disconnect { .. } => {
                for key in keeper.meant(order) {
                    keeper.give_up_any(key);
                }
                return;
            }
            SocketDeed::Fetch | SocketDeed::Ask(_) | SocketDeed::Survey { .. } => return,
        };
        let moving = Moving { rooms, is_entered, seq, map, rooms_max };
        let keys = keeper.meant(order);
        keeper.move_all(keys, &moving);
    }

    /// Ends the sockets of a user that are away, unless they are not meant.
    pub(crate) fn end_away_of(&mut self, user: &str, is_meant: impl Fn(SocketPlace) -> bool) {
        let Some(keeper) = &mut self.keeper else { return };
        let is_its = |away: &&Away| &*away.user == user && is_meant(away.place);
        let keys: Vec<_> = keeper.all_away().filter(is_its).map(|away| key_of(away.place)).collect();
        for key in keys {
            keeper.give_up_any(key);
        }
    }
}
