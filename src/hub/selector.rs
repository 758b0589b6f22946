//! The sockets that a message or an order is for: a namespace, rooms, and rooms that are left out.
//!
//! A room belongs to its namespace; each socket is in a room of its own id as well. A selector is a plain value, the same in
//! every process. The channels of rooms are the business of [`super::emission`]; here are their names.

use std::fmt;
use std::sync::Arc;

use super::emission::PRIVATE;
use super::rooms::RoomMap;
use super::socket_place::{ID_LENGTH, SocketPlace};
use crate::base::seed::Seed;

/// Maximum number of rooms in a selector, `rooms` and `except` together.
pub(crate) const ROOMS_MAX: usize = 1000;

/// Sockets of a namespace: those in any of `rooms`, or all of them without any, but not those in any of `except`.
///
/// A room may be the id of a socket. Build one by [`Selector::of`], [`Selector::to`] and [`Selector::except`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The namespace, with its slash.
    pub namespace: String,
    /// Rooms and ids of sockets; empty for all of the namespace.
    pub rooms: Vec<String>,
    /// Rooms and ids of the sockets that are left out.
    pub except: Vec<String>,
}

/// The defect of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSelector {
    /// The namespace does not begin with a slash, has a comma, or is too long.
    Namespace,
    /// The name of a room, with that of its namespace, is too long (`channel_name_bytes_max`).
    RoomName,
    /// More than 1,000 rooms, `rooms` and `except` together.
    TooManyRooms,
}

impl fmt::Display for BadSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace => f.write_str(
                "namespace: it begins with a slash, has no comma, and at most channel_name_bytes_max bytes",
            ),
            Self::RoomName => f.write_str("the room's name is longer than channel_name_bytes_max"),
            Self::TooManyRooms => write!(f, "more than {ROOMS_MAX} rooms"),
        }
    }
}

impl std::error::Error for BadSelector {}

/// The channels of a selector's rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rooms {
    /// Not empty.
    pub(crate) to: Box<[Arc<str>]>,
    pub(crate) except: Box<[Arc<str>]>,
}

impl Rooms {
    /// The channels of rooms of a namespace; without any, all of it.
    pub(crate) fn of(namespace: &str, mut to: Vec<Arc<str>>, except: Vec<Arc<str>>) -> Self {
        if to.is_empty() {
            to.push(namespace_channel(namespace));
        }
        Self { to: to.into(), except: except.into() }
    }
}

impl Selector {
    /// All sockets of a namespace.
    pub fn of(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), ..Self::default() }
    }

    /// Adds a room, or the id of a socket.
    #[must_use]
    pub fn to(mut self, room: impl Into<String>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// Leaves out the sockets of a room, or the one with this id.
    #[must_use]
    pub fn except(mut self, room: impl Into<String>) -> Self {
        self.except.push(room.into());
        self
    }

    /// The channels of its rooms.
    ///
    /// # Errors
    /// Its defect.
    pub(crate) fn resolve(&self, naming: Naming<'_>) -> Result<Rooms, BadSelector> {
        let Self { namespace, rooms, except } = self;
        if !is_namespace(namespace, naming.name_bytes_max) {
            return Err(BadSelector::Namespace);
        }
        if rooms.len() + except.len() > ROOMS_MAX {
            return Err(BadSelector::TooManyRooms);
        }
        let channels = |rooms: &[String]| -> Result<Vec<_>, _> {
            rooms.iter().map(|room| naming.channel(namespace, room)).collect()
        };
        Ok(Rooms::of(namespace, channels(rooms)?, channels(except)?))
    }
}

/// Whether a namespace can have this name.
pub(crate) fn is_namespace(name: &str, bytes_max: usize) -> bool {
    name.starts_with('/') && !name.contains(',') && name.len() <= bytes_max
}

/// The channel of a namespace.
pub(crate) fn namespace_channel(namespace: &str) -> Arc<str> {
    format!("{PRIVATE}{namespace}").into()
}

/// The names of rooms in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming<'a> {
    pub(crate) rooms: &'a RoomMap,
    /// The seed of ids of sockets, each of which names a room of its own.
    pub(crate) seed: Seed,
    /// Maximum of bytes of a channel's name.
    pub(crate) name_bytes_max: usize,
}

impl Naming<'_> {
    /// Whether the room is a channel that other protocols share. A room of a socket's own is none.
    pub(crate) fn is_shared(&self, namespace: &str, room: &str) -> bool {
        self.rooms.is_room_of(room, namespace) && SocketPlace::open(self.seed, room).is_none()
    }

    /// The channel of a room.
    ///
    /// # Errors
    /// [`BadSelector::RoomName`] when its name is too long.
    pub(crate) fn channel(&self, namespace: &str, room: &str) -> Result<Arc<str>, BadSelector> {
        if self.is_shared(namespace, room) {
            return (room.len() <= self.name_bytes_max).then(|| room.into()).ok_or(BadSelector::RoomName);
        }
        // With the comma between them. The first character is no part of the name, and an id always fits.
        if namespace.len() + 1 + room.len() > self.name_bytes_max && room.len() != ID_LENGTH {
            return Err(BadSelector::RoomName);
        }
        Ok(format!("{PRIVATE}{namespace},{room}").into())
    }
}

/// The namespace of a channel that is a namespace's own.
pub(crate) fn namespace_of(channel: &str) -> Option<&str> {
    channel.strip_prefix(PRIVATE).filter(|name| !name.contains(','))
}

/// The room of this namespace whose channel it is.
pub(crate) fn room_of<'c>(channel: &'c str, namespace: &str) -> Option<&'c str> {
    channel.strip_prefix(PRIVATE)?.strip_prefix(namespace)?.strip_prefix(',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::options::{ChannelOptions, Namespaces};

    fn naming(rooms: &RoomMap) -> Naming<'_> {
        Naming { rooms, seed: Seed::from(7), name_bytes_max: 20 }
    }

    #[test]
    fn a_room_that_is_a_channel_has_its_name_and_an_id_is_no_channel() {
        let shared = ChannelOptions { socketio: "/".to_owned(), ..ChannelOptions::default() };
        let namespaces = Namespaces { without_namespace: Arc::new(shared), ..Namespaces::default() };
        let rooms = RoomMap::new(&Arc::new(namespaces), false, false);
        let channel = |namespace: &str, room: &str| {
            naming(&rooms).channel(namespace, room).map(|name| name.to_string())
        };
        let id = SocketPlace { shard: 0, conn: 1, number: 0 }.seal(Seed::from(7));
        let id = std::str::from_utf8(&id).unwrap();
        assert_eq!(channel("/", "a"), Ok("a".to_owned()));
        assert_eq!(channel("/x", "a"), Ok("\u{1}/x,a".to_owned()));
        assert_eq!(channel("/", "other:a"), Ok("\u{1}/,other:a".to_owned()));
        let naming = Naming { name_bytes_max: 30, ..naming(&rooms) };
        assert_eq!(naming.channel("/", id).unwrap().to_string(), format!("\u{1}/,{id}"));
        // Another id of that length is a name as any.
        assert_eq!(channel("/", &"x".repeat(20)), Ok("x".repeat(20)));
        assert_eq!(channel("/", &"x".repeat(21)), Err(BadSelector::RoomName));
    }

    #[test]
    fn rooms_are_channels_of_their_namespace_and_none_means_all() {
        let names = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = Selector::of("/").resolve(naming(&RoomMap::default())).unwrap();
        assert_eq!((names(&all.to), all.except.len()), (vec!["\u{1}/".to_owned()], 0));
        let some =
            Selector::of("/chat").to("a").to("b,c").except("d").resolve(naming(&RoomMap::default())).unwrap();
        assert_eq!(names(&some.to), ["\u{1}/chat,a", "\u{1}/chat,b,c"]);
        assert_eq!(names(&some.except), ["\u{1}/chat,d"]);
        assert_eq!(room_of("\u{1}/chat,b,c", "/chat"), Some("b,c"));
        assert_eq!((room_of("\u{1}/chat", "/chat"), room_of("\u{1}/chat2,a", "/chat")), (None, None));
        assert_eq!((namespace_of("\u{1}/chat"), namespace_of("\u{1}/chat,a")), (Some("/chat"), None));
    }

    #[test]
    fn defects_are_told_apart() {
        for namespace in ["", "chat", "/a,b", "/a name that is too long"] {
            assert_eq!(
                Selector::of(namespace).resolve(naming(&RoomMap::default())),
                Err(BadSelector::Namespace),
                "{namespace}"
            );
        }
        // 20 bytes fit.
        assert!(Selector::of("/").to("x".repeat(18)).resolve(naming(&RoomMap::default())).is_ok());
        // As does an id.
        assert!(
            Selector::of("/a name of 20 bytes")
                .to("x".repeat(20))
                .resolve(naming(&RoomMap::default()))
                .is_ok()
        );
        let long = "x".repeat(19);
        assert_eq!(
            Selector::of("/").to(&*long).resolve(naming(&RoomMap::default())),
            Err(BadSelector::RoomName)
        );
        assert_eq!(
            Selector::of("/").except(long).resolve(naming(&RoomMap::default())),
            Err(BadSelector::RoomName)
        );
        let many = |count| Selector { except: vec!["a".to_owned(); count], ..Selector::of("/").to("b") };
        assert!(many(999).resolve(naming(&RoomMap::default())).is_ok());
        assert_eq!(many(1000).resolve(naming(&RoomMap::default())), Err(BadSelector::TooManyRooms));
    }
}
