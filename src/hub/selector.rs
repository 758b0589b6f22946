//! The sockets that a message or an order is for: a namespace, rooms, and rooms that are left out.
//!
//! A room belongs to its namespace; each socket is in a room of its own id as well. A selector is a plain value, the same in
//! every process. The channels of rooms are the business of [`super::emission`]; here are their names.

use std::fmt;
use std::sync::Arc;

use super::emission::PRIVATE;
use super::socket_place::ID_LENGTH;

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
    pub(crate) fn resolve(&self, name_bytes_max: usize) -> Result<Rooms, BadSelector> {
        let Self { namespace, rooms, except } = self;
        if !namespace.starts_with('/') || namespace.contains(',') || namespace.len() > name_bytes_max {
            return Err(BadSelector::Namespace);
        }
        if rooms.len() + except.len() > ROOMS_MAX {
            return Err(BadSelector::TooManyRooms);
        }
        let channels = |rooms: &[String]| -> Result<Vec<_>, _> {
            rooms.iter().map(|room| room_channel(namespace, room, name_bytes_max)).collect()
        };
        Ok(Rooms::of(namespace, channels(rooms)?, channels(except)?))
    }
}

/// The channel of a namespace.
pub(crate) fn namespace_channel(namespace: &str) -> Arc<str> {
    format!("{PRIVATE}{namespace}").into()
}

/// The channel of a room.
///
/// # Errors
/// [`BadSelector::RoomName`] when its name is too long.
pub(crate) fn room_channel(
    namespace: &str,
    room: &str,
    name_bytes_max: usize,
) -> Result<Arc<str>, BadSelector> {
    // With the comma between them. The first character is no part of the name, and an id always fits.
    if namespace.len() + 1 + room.len() > name_bytes_max && room.len() != ID_LENGTH {
        return Err(BadSelector::RoomName);
    }
    Ok(format!("{PRIVATE}{namespace},{room}").into())
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

    #[test]
    fn rooms_are_channels_of_their_namespace_and_none_means_all() {
        let names = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = Selector::of("/").resolve(20).unwrap();
        assert_eq!((names(&all.to), all.except.len()), (vec!["\u{1}/".to_owned()], 0));
        let some = Selector::of("/chat").to("a").to("b,c").except("d").resolve(20).unwrap();
        assert_eq!(names(&some.to), ["\u{1}/chat,a", "\u{1}/chat,b,c"]);
        assert_eq!(names(&some.except), ["\u{1}/chat,d"]);
        assert_eq!(room_of("\u{1}/chat,b,c", "/chat"), Some("b,c"));
        assert_eq!((room_of("\u{1}/chat", "/chat"), room_of("\u{1}/chat2,a", "/chat")), (None, None));
        assert_eq!((namespace_of("\u{1}/chat"), namespace_of("\u{1}/chat,a")), (Some("/chat"), None));
    }

    #[test]
    fn defects_are_told_apart() {
        for namespace in ["", "chat", "/a,b", "/a name that is too long"] {
            assert_eq!(Selector::of(namespace).resolve(20), Err(BadSelector::Namespace), "{namespace}");
        }
        // 20 bytes fit.
        assert!(Selector::of("/").to("x".repeat(18)).resolve(20).is_ok());
        // As does an id.
        assert!(Selector::of("/a name of 20 bytes").to("x".repeat(20)).resolve(20).is_ok());
        let long = "x".repeat(19);
        assert_eq!(Selector::of("/").to(&*long).resolve(20), Err(BadSelector::RoomName));
        assert_eq!(Selector::of("/").except(long).resolve(20), Err(BadSelector::RoomName));
        let many = |count| Selector { except: vec!["a".to_owned(); count], ..Selector::of("/").to("b") };
        assert!(many(999).resolve(20).is_ok());
        assert_eq!(many(1000).resolve(20), Err(BadSelector::TooManyRooms));
    }
}
