//! Channels that are rooms of a group as well, the homes of rooms, and what clients of rooms may do.
//!
//! A group is a namespace of Socket.IO. Its rooms are private channels, except those whose options
//! name it: such a room is the channel of its name, which all protocols share.
//!
//! Invariant: the homes of channels, and the channels that are rooms, are those of the start: a reload does not change
//! them, since subscribers are counted at homes. All shards and nodes of a process agree about them.

use std::sync::Arc;

use super::emission::{PRIVATE, group_of, is_private};
use super::options::{ChannelOptions, Namespaces};
use super::permissions::{Standing, permits_publish, permits_subscribe};
use super::words::Copied;
use super::{DataKind, home_of, home_of_name};
use crate::base::seed::Seed;

/// Which channels are rooms, and where rooms have their homes.
#[derive(Clone, Debug, Default)]
pub struct RoomMap {
    /// The namespaces of channels in force.
    namespaces: Arc<Namespaces>,
    /// Those of the start, if some of their channels are rooms.
    shared: Option<Arc<Namespaces>>,
    /// Whether each room has a home of its own; else all of a group have one.
    is_apart: bool,
    /// Whether the server grants every client all permissions (insecure mode).
    is_insecure: bool,
}

/// The properties of a client that decide about its permissions in a channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visitor<'a> {
    /// Its user; empty for an anonymous client.
    pub user: &'a str,
    /// Whether it is in the channel.
    pub is_subscribed: bool,
}

impl RoomMap {
    /// Whether groups are served does not matter: a reload may change that, and the homes of channels stay.
    pub fn new(namespaces: &Arc<Namespaces>, is_apart: bool, is_insecure: bool) -> Self {
        let is_shared = |options: &Arc<ChannelOptions>| !options.socketio.is_empty();
        let mut all = namespaces.named.values().chain([&namespaces.without_namespace]);
        let shared = all.any(is_shared).then(|| Arc::clone(namespaces));
        Self { namespaces: Arc::clone(namespaces), shared, is_apart, is_insecure }
    }

    /// These rooms, with options of channels and permissions that `other` has.
    pub fn renewed(&self, other: &Self) -> Self {
        let Self { namespaces, is_insecure, .. } = other.clone();
        Self { namespaces, is_insecure, ..self.clone() }
    }

    /// Whether some channels are rooms.
    #[inline]
    pub fn are_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether each room has a home of its own.
    pub fn are_apart(&self) -> bool {
        self.is_apart
    }

    /// The options at the start of a channel that is a room: its group, and the usual name of its events.
    pub fn sharing(&self, channel: &str) -> Option<&ChannelOptions> {
        let options = self.shared.as_ref()?.resolve(channel)?;
        (!options.socketio.is_empty() && !channel.is_empty()).then_some(options)
    }

    /// Whether the channel is a room of this group, the name of which has no character of private channels.
    pub fn is_room_of(&self, channel: &str, group: &str) -> bool {
        self.sharing(channel).is_some_and(|options| options.socketio == group)
    }

    /// Whether a channel is a group's own, one of its private rooms, or one that it shares.
    pub fn is_within(&self, channel: &str, group: &str) -> bool {
        match is_private(channel) {
            true => group_of(channel) == group,
            false => group.strip_prefix(PRIVATE).is_some_and(|group| self.is_room_of(channel, group)),
        }
    }

    /// A message to these channels as publications of those that are rooms, each once. `make` gets the usual name of events,
    /// and returns the kind and the data of the publication, and the name of the event.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn copies<E>(
        &self,
        to: &[Arc<str>],
        mut make: impl FnMut(&str) -> Result<(DataKind, Vec<u8>, Box<str>), E>,
    ) -> Result<Vec<Copied>, E> {
        let mut copies: Vec<Copied> = Vec::new();
        if !self.are_shared() {
            return Ok(copies);
        }
        for channel in to {
            let Some(options) = self.sharing(channel) else { continue };
            if copies.iter().all(|copy| copy.channel != *channel) {
                let (kind, data, event) = make(&options.socketio_event.0)?;
                copies.push(Copied { channel: Arc::clone(channel), kind, data, event });
            }
        }
        Ok(copies)
    }

    /// The options in force of a room that is a channel. After a reload that has removed them, those of no feature.
    pub fn options_of(&self, channel: &str) -> Arc<ChannelOptions> {
        self.namespaces.resolve(channel).map(Arc::clone).unwrap_or_default()
    }

    /// Whether a client may subscribe to a channel without a token.
    pub fn may_subscribe(&self, channel: &str, visitor: Visitor<'_>) -> bool {
        let Some(options) = self.options_for_client(channel) else { return false };
        let (standing, names) = (self.standing(visitor), &self.namespaces);
        let allowed = names.allows_user(channel, visitor.user);
        permits_subscribe(options, standing, names.is_private(channel), allowed)
    }

    /// Whether a client may publish in a channel.
    pub fn may_publish(&self, channel: &str, visitor: Visitor<'_>) -> bool {
        self.options_for_client(channel)
            .is_some_and(|options| permits_publish(options, self.standing(visitor)))
    }

    /// The options of a channel, if clients may name it.
    fn options_for_client(&self, channel: &str) -> Option<&Arc<ChannelOptions>> {
        self.namespaces.resolve(channel).filter(|options| self.namespaces.takes_name(channel, options))
    }

    fn standing(&self, Visitor { user, is_subscribed }: Visitor<'_>) -> Standing {
        Standing {
            has_user: !user.is_empty(),
            is_subscribed,
            is_capable: false,
            is_insecure: self.is_insecure,
        }
    }

    /// The shard, of `shard_count`, that is home of the channel.
    #[inline]
    pub fn home_of(&self, channel: &str, seed: Seed, shard_count: u16) -> u16 {
        if self.is_apart {
            return home_of_name(channel, seed, shard_count);
        }
        let shared = self.sharing(channel);
        home_of(shared.map_or(channel, |options| &options.socketio), seed, shard_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces() -> Namespaces {
        let of = |socketio: &str| {
            Arc::new(ChannelOptions { socketio: socketio.to_owned(), ..ChannelOptions::default() })
        };
        let named = [("chat".to_owned(), of("/chat")), ("news".to_owned(), of(""))].into();
        Namespaces { named, without_namespace: of("/"), ..Namespaces::default() }
    }

    fn rooms() -> RoomMap {
        RoomMap::new(&Arc::new(namespaces()), false, false)
    }

    #[test]
    fn a_room_is_a_channel_where_its_options_name_the_group() {
        let rooms = rooms();
        for (channel, group) in [
            ("chat:a", Some("/chat")),
            ("$chat:a", Some("/chat")),
            ("news:a", None),
            ("unknown:a", None),
            ("a", Some("/")),
            ("", None),
            ("\u{1}/chat", None),
            ("\u{1}/chat,chat:a", None),
            ("\u{1}", None),
        ] {
            let sharing = rooms.sharing(channel).map(|options| options.socketio.as_str());
            assert_eq!(sharing, group, "{channel:?}");
            for one in ["/", "/chat", "/news", ""] {
                assert_eq!(rooms.is_room_of(channel, one), group == Some(one), "{channel:?} {one}");
            }
        }
        assert!(rooms.is_within("chat:a", "\u{1}/chat") && rooms.is_within("\u{1}/chat,b", "\u{1}/chat"));
        assert!(!rooms.is_within("chat:a", "\u{1}/") && !rooms.is_within("\u{1}/chat2", "\u{1}/chat"));
        assert!(!rooms.is_within("news:a", "\u{1}/news") && !rooms.is_within("chat:a", "/chat"));
        let none = RoomMap::new(&Arc::default(), false, false);
        assert!(!none.are_shared() && none.sharing("chat:a").is_none() && none.sharing("a").is_none());
    }

    #[test]
    fn all_rooms_of_a_group_have_one_home_unless_they_are_apart() {
        let (rooms, seed) = (rooms(), Seed::from(7));
        let home = |rooms: &RoomMap, channel: &str| rooms.home_of(channel, seed, 64);
        for n in 0..100 {
            for channel in [format!("\u{1}/chat,{n}"), format!("chat:{n}"), "\u{1}/chat".to_owned()] {
                assert_eq!(home(&rooms, &channel), home(&rooms, "\u{1}/chat"), "{channel:?}");
            }
            assert_eq!(home(&rooms, &n.to_string()), home(&rooms, "\u{1}/"));
        }
        let spread = |rooms: &RoomMap, name: fn(u32) -> String| {
            let mut homes: Vec<_> = (0..100).map(|n| home(rooms, &name(n))).collect();
            homes.sort_unstable();
            homes.dedup();
            homes.len()
        };
        assert!(spread(&rooms, |n| format!("news:{n}")) > 10);
        let apart = RoomMap { is_apart: true, ..rooms };
        assert!(apart.are_apart());
        for name in [|n| format!("\u{1}/chat,{n}"), |n| format!("chat:{n}"), |n: u32| format!("news:{n}")] {
            assert!(spread(&apart, name) > 10);
        }
    }

    #[test]
    fn a_reload_changes_options_and_no_home() {
        let (old, seed) = (rooms(), Seed::from(7));
        let mut namespaces = namespaces();
        let open =
            ChannelOptions { socketio: "/other".to_owned(), history_size: 5, ..ChannelOptions::default() };
        namespaces.named.insert("chat".to_owned(), Arc::new(open));
        namespaces.named.remove("news");
        let new = old.renewed(&RoomMap::new(&Arc::new(namespaces), true, true));
        assert!(new.is_room_of("chat:a", "/chat") && !new.is_room_of("chat:a", "/other") && !new.are_apart());
        for channel in ["chat:a", "news:a", "a", "\u{1}/chat,a"] {
            assert_eq!(old.home_of(channel, seed, 64), new.home_of(channel, seed, 64));
        }
        assert_eq!(new.options_of("chat:a").history_size, 5);
        assert_eq!(new.options_of("news:a"), Arc::default());
        assert!(
            new.may_publish("chat:a", Visitor::default()) && !old.may_publish("chat:a", Visitor::default())
        );
    }

    #[test]
    fn clients_of_rooms_have_the_permissions_of_the_channel() {
        let mut namespaces = namespaces();
        let options = ChannelOptions {
            allow_subscribe_for_client: true,
            allow_publish_for_subscriber: true,
            allow_user_limited_channels: true,
            ..ChannelOptions::default()
        };
        namespaces.named.insert("chat".to_owned(), Arc::new(options));
        let rooms = RoomMap::new(&Arc::new(namespaces), false, false);
        let [nobody, ann] = ["", "ann"].map(|user| Visitor { user, is_subscribed: false });
        let member = Visitor { is_subscribed: true, ..ann };
        assert!(rooms.may_subscribe("chat:a", ann) && !rooms.may_subscribe("chat:a", nobody));
        assert!(rooms.may_subscribe("chat:a#ann", ann) && !rooms.may_subscribe("chat:a#ben", ann));
        for refused in ["$chat:a", "chat:é", "unknown:a", "\u{1}/chat", "news:a"] {
            assert!(!rooms.may_subscribe(refused, ann), "{refused:?}");
        }
        assert!(rooms.may_publish("chat:a", member) && !rooms.may_publish("chat:a", ann));
        assert!(!rooms.may_publish("\u{1}/chat,a", member) && !rooms.may_publish("chat:é", member));
    }
}
