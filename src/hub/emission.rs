//! Messages to several channels at once, each delivered once to every subscriber of any of them.
//!
//! Such channels are private to the sessions of the server: their names begin with [`PRIVATE`], which no other way in
//! accepts. All channels of one group, the part of the name before the first comma, have one home, and so one order.
//!
//! Left out: history and presence, which private channels do not have; recovery (`away`); delivery (the shard's).

use std::sync::Arc;

use super::Publication;
use super::socket_place::SocketPlace;
use super::terms::Member;

/// The first character of a private channel's name.
pub(crate) const PRIVATE: char = '\u{1}';

/// Whether the channel is private.
#[inline]
pub(crate) fn is_private(channel: &str) -> bool {
    channel.as_bytes().first() == Some(&(PRIVATE as u8))
}

/// The group of a private channel; the name itself for any other.
#[inline]
pub(crate) fn group_of(channel: &str) -> &str {
    match channel.split_once(',') {
        Some((group, _)) if is_private(channel) => group,
        _ => channel,
    }
}

/// Whether a private channel is the group's own, or one of its others.
pub(crate) fn is_within(channel: &str, group: &str) -> bool {
    is_private(channel) && group_of(channel) == group
}

/// A message to several private channels of one group.
#[derive(Debug)]
pub struct Emission {
    /// The message; its channel is the first of `to`.
    pub publication: Arc<Publication>,
    /// The channels whose subscribers receive it; not empty.
    pub to: Box<[Arc<str>]>,
    /// The channels whose subscribers do not.
    pub except: Box<[Arc<str>]>,
    /// The one connection that does not.
    pub not_to: Option<Member>,
    /// The socket of that connection, which keeps its place in a later one.
    pub(crate) sender: Option<SocketPlace>,
    /// The home that has numbered it, which sets it.
    pub home: u16,
    /// Whether connections that have unsent bytes do not receive it.
    pub is_volatile: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_channels_of_a_group_are_told_from_others() {
        for (channel, group) in [
            ("\u{1}/chat", "\u{1}/chat"),
            ("\u{1}/chat,lobby", "\u{1}/chat"),
            ("\u{1}/chat,a,b", "\u{1}/chat"),
            ("\u{1}/chat,", "\u{1}/chat"),
            ("news,a", "news,a"),
            ("", ""),
        ] {
            assert_eq!(group_of(channel), group, "{channel:?}");
        }
        assert!(is_within("\u{1}/chat,lobby", "\u{1}/chat") && is_within("\u{1}/chat", "\u{1}/chat"));
        assert!(!is_within("\u{1}/chat2,lobby", "\u{1}/chat") && !is_within("/chat", "/chat"));
    }
}
