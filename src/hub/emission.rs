//! Messages to several channels at once, each delivered once to every subscriber of any of them.
//!
//! Such channels are private to the sessions of the server: their names begin with [`PRIVATE`], which no other way in
//! accepts. Or they are shared with other protocols ([`super::rooms`]): then the message is a publication of the channel,
//! too. Channels of one group, for private ones the part of the name before the first comma, have one home and so one
//! order, unless that is configured otherwise.
//!
//! Left out: history and presence, which private channels do not have; recovery (`away`); delivery (the shard's).

use std::sync::Arc;

use super::options::ChannelOptions;
use super::socket_place::SocketPlace;
use super::terms::{Member, Terms};
use super::{ClientInfo, Publication, words};
use crate::base::budget::Budget;
use crate::base::shared::Shared;

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
    if !is_private(channel) {
        return channel;
    }
    channel.split_once(',').map_or(channel, |(group, _)| group)
}

/// A message to several channels of one group.
#[derive(Debug)]
pub struct Emission {
    /// The message in the form of the group; its channel is the first of `to`, or the group's if that is shared.
    pub publication: Arc<Publication>,
    /// The message as publications of those channels of `to` that are shared; empty once their homes have them.
    pub copies: Vec<ChannelCopy>,
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

/// A message as a publication of one channel.
#[derive(Debug)]
pub struct ChannelCopy {
    /// The publication; its subscribers of the group receive the emission instead ([`Publication::is_emitted`]).
    pub publication: Box<Publication>,
    /// Options of its channel.
    pub options: Arc<ChannelOptions>,
    /// Options of the publication.
    pub terms: Terms,
}

impl ChannelCopy {
    /// A publication with these options of its channel, by this publisher with this lane.
    pub(crate) fn new(
        copy: words::Copied,
        budget: &Budget,
        options: Arc<ChannelOptions>,
        (info, lane): (Option<Arc<ClientInfo>>, u16),
        is_volatile: bool,
    ) -> Self {
        let words::Copied { channel, kind, data, event } = copy;
        let tag = options.allow_tags_filter.then(|| ("event".into(), event));
        let tags = tag.into_iter().collect();
        let bare = Publication::new(channel, kind, Shared::new(data, budget));
        let publication = Publication { info, lane, tags, is_emitted: true, ..bare };
        let terms = Terms { skip_history: is_volatile, ..Terms::default() };
        Self { publication: Box::new(publication), options, terms }
    }
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
    }
}
