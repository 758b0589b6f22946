//! What raw connections do: join groups, leave them, broadcast to them.

use std::sync::Arc;

use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::home::Joining;
use crate::hub::{ClientInfo, DataKind, Publication, home};
use crate::proto::centrifuge::codes::Error;
use crate::shard::mailbox::Letter;
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    /// Adds a raw connection to a group.
    pub(in crate::shard) fn join(&mut self, key: Key, channel: &Arc<str>) {
        let outcome = self.has_room_for(key, channel).and_then(|()| self.options(channel));
        let options = match outcome {
            Ok(options) => options,
            Err(error) => return self.refused_joins.push((key, Arc::clone(channel), error)),
        };
        let joining = Joining {
            member: self.member(key),
            info: None,
            in_presence: false,
            tells_join: false,
            wants_position: false,
            recover: None,
        };
        self.enter(key, channel, &options, 0, Box::new(joining), None);
    }

    /// Tells handlers which groups their connections could not join: in the turn after, since a handler may join another
    /// group at once, for ever.
    pub(in crate::shard) fn tell_refused_joins(&mut self) {
        for (key, channel, error) in std::mem::take(&mut self.refused_joins) {
            self.tell_joined(key, &channel, Err(error));
        }
    }

    /// Publishes a raw connection's message.
    pub(in crate::shard) fn broadcast(&mut self, key: Key, channel: Arc<str>, is_text: bool, data: Vec<u8>) {
        let Ok(options) = self.options(&channel) else { return };
        let client = self.client_id(key).to_string().into_boxed_str();
        let info = Some(Arc::new(ClientInfo { client, ..ClientInfo::default() }));
        let home = self.home_of(&channel);
        let data = Shared::new(data, &self.publication_budget);
        let kind = if is_text { DataKind::Text } else { DataKind::Binary };
        let publication = Box::new(Publication { info, ..Publication::new(channel, kind, data) });
        let terms = home::Terms::default();
        self.post.send(home, Letter::Publish { publication, options, terms, asker: None });
    }

    /// Tells a raw connection's handler what became of its joining.
    pub(in crate::shard) fn tell_joined(&mut self, key: Key, channel: &str, outcome: Result<(), Error>) {
        self.tell_handler(key, |session, handler, cx| session.joined(channel, outcome, handler, cx));
    }
}
