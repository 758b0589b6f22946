//! Sockets whose connection has ended and whose clients may return: what the home of their namespace keeps for them.
//!
//! * This file: the values that travel between shards. `directs`: events for one socket alone.
//! * `log`: the events of one namespace. `keeper`: all that one home keeps, and its limits. `orders`: what orders to sockets
//!   do with them.
//!
//! Invariant: who returns gets every event behind its offset, once, in order, or is refused. Left out: what a socket
//! is to the application, which travels as a [`Parcel`]; a live socket, which the home does not know.

mod directs;
mod keeper;
mod log;
mod orders;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::home::Member;
use super::offset::Offset;
use super::options::ChannelOptions;
use super::socket_place::SocketPlace;
use super::{ClientInfo, Item};
use crate::base::heap;
use crate::base::payload::Payload;
use crate::base::seed::Seed;

pub(crate) use directs::{Direct, Directs};
pub(super) use keeper::Keeper;
pub(crate) use keeper::{Parked, Returned};

/// Limits of recovery at one home.
#[derive(Clone, Debug)]
pub struct RecoveryLimits {
    /// Time for which a socket is kept, in milliseconds.
    pub ttl_ms: u64,
    /// Time for which an event is kept, in milliseconds: longer, because the end of a connection is noticed late.
    pub log_ms: u64,
    /// Bytes of the events of one namespace, and of all sockets that are kept.
    pub bytes_max: usize,
    /// Sockets that are kept.
    pub sockets_max: usize,
    /// Bytes of the events that one client may have missed.
    pub missed_bytes_max: usize,
}

/// The application's part of a socket, for the session that continues it.
pub(crate) struct Parcel {
    pub(crate) content: Box<dyn Any + Send>,
    /// Bytes of the content.
    pub(crate) bytes: usize,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({} bytes)", self.bytes)
    }
}

/// A socket without a connection.
#[derive(Debug)]
pub struct Away {
    /// The channel of its namespace.
    pub(crate) group: Arc<str>,
    /// Its first place, which its id names.
    pub(crate) place: SocketPlace,
    /// The user of its client; empty when anonymous.
    pub(crate) user: Box<str>,
    /// Its information for others; empty for none.
    pub(crate) info: Payload,
    /// The channels in which it is, with that of its namespace and the room of its id; sorted.
    pub(crate) rooms: Box<[Arc<str>]>,
    /// Those of them that other protocols share, with their options: there others see it.
    pub(crate) seats: Box<[(Arc<str>, Arc<ChannelOptions>)]>,
    /// Changes of its rooms since it is away, in their order.
    pub(crate) changes: Vec<RoomChange>,
    /// The lower half of the home's number up to which its client has all events.
    pub(crate) proved: u32,
    /// Events for it alone that its client may not have.
    pub(crate) directs: Directs,
    pub(crate) parcel: Parcel,
}

/// A room that a socket has entered or left while it is away.
#[derive(Debug)]
pub(crate) struct RoomChange {
    /// The home's number then.
    pub(crate) seq: u64,
    pub(crate) room: Arc<str>,
    /// Whether it has entered the room.
    pub(crate) is_entered: bool,
}

impl PartialEq for Away {
    fn eq(&self, other: &Self) -> bool {
        (&self.group, self.place) == (&other.group, other.place)
    }
}

impl Away {
    /// Whether a client may have it.
    fn is_of(&self, asked: &Return) -> bool {
        (&self.group, &self.user) == (&asked.group, &asked.user)
    }

    /// Whether it is in a room.
    fn is_in(&self, room: &Arc<str>) -> bool {
        self.rooms.binary_search(room).is_ok()
    }

    /// Whether it was in a room when its home gave this number.
    fn was_in(&self, room: &Arc<str>, seq: u64) -> bool {
        let later = self.changes.iter().find(|change| change.seq >= seq && change.room == *room);
        later.map_or_else(|| self.is_in(room), |change| !change.is_entered)
    }

    /// Its identity for others in a channel.
    fn as_member(&self, seed: Seed) -> ClientInfo {
        let id = self.place.seal(seed);
        let client = std::str::from_utf8(&id).unwrap_or_default().into();
        ClientInfo {
            user: self.user.clone(),
            client,
            conn_info: self.info.clone(),
            chan_info: Payload::default(),
        }
    }

    /// Memory in bytes.
    fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>())
            + heap::list::<Arc<str>>(self.rooms.len())
            + self.rooms.iter().map(|room| heap::arc(room.len())).sum::<usize>()
            + heap::piece(self.user.len())
            + heap::piece(self.info.held_bytes())
            + heap::list::<(Arc<str>, Arc<ChannelOptions>)>(self.seats.len())
            + heap::list::<RoomChange>(self.changes.capacity())
            + self.directs.bytes()
            + heap::piece(self.parcel.bytes)
    }
}

/// A client that asks for its socket.
#[derive(Debug, PartialEq)]
pub struct Return {
    /// Its new connection.
    pub(crate) member: Member,
    /// The channel of its namespace.
    pub(crate) group: Arc<str>,
    /// The first place of its socket.
    pub(crate) place: SocketPlace,
    /// The home's number when the socket connected.
    pub(crate) since: u64,
    /// The offset of the last event that it has.
    pub(crate) offset: Option<Offset>,
    /// The private id by which it asks, for the answer.
    pub(crate) pid: Box<str>,
    /// The user that it is known to be; empty when anonymous.
    pub(crate) user: Box<str>,
    /// The session's number of the request.
    pub(crate) request: u32,
    /// Set by the home: its client asks at a newer connection.
    pub(crate) is_overtaken: bool,
}

/// The home's answer to a client that gets its socket back.
#[derive(Debug)]
pub struct Back {
    pub(crate) away: Box<Away>,
    /// The home's number: events with a higher one are sent to the new connection.
    pub(crate) seq: u64,
    /// The missed events.
    pub(crate) missed: Vec<Item>,
}

/// The home's full number, from its lower half: one that is not later than `seq`.
fn whole(low: u32, seq: u64) -> u64 {
    seq - u64::from(half(seq).wrapping_sub(low)).min(seq)
}

/// The lower half of a number.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
pub(crate) fn half(seq: u64) -> u32 {
    seq as u32
}
