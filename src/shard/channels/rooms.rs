//! This shard as home of rooms: messages to several of them, and publications of channels that are rooms.
//!
//! A message to a room that is a channel is a publication of the channel, for its history and its other subscribers; a
//! publication of such a channel is a message to the room. Both take their place in the home's one order, and each
//! socket gets either as an emission ([`super::emissions`]).

use std::sync::Arc;

use super::Channels;
use crate::base::shared::Shared;
use crate::hub::emission::{ChannelCopy, Emission};
use crate::hub::home::{Answer, Done, Published, Refused};
use crate::hub::options::ChannelOptions;
use crate::hub::selector::namespace_channel;
use crate::hub::socket_place::SocketPlace;
use crate::hub::{Position, Publication};
use crate::session::socketio::event_of;
use crate::shard::World;
use crate::shard::channels::homes::Waiter;
use crate::shard::mailbox::{Asker, Letter};

impl<W: World> Channels<W> {
    /// Handles a message to several channels, the first of which has its home here. Where a channel refuses it as a
    /// publication, the message is not for that channel.
    pub(in crate::shard) fn asked_to_emit(&mut self, mut emission: Box<Emission>, asker: Option<Asker>) {
        if self.gatherings.is_held() {
            return self.gatherings.hold(emission, asker);
        }
        // A message that is a publication is counted as one.
        let is_counted = emission.publication.is_emitted || !emission.copies.is_empty();
        let mut refusal = None;
        for copy in std::mem::take(&mut emission.copies) {
            let channel = Arc::clone(&copy.publication.channel);
            if let Err(refused) = self.publish_copy(copy, &emission) {
                refusal = Some(refused);
                emission.to = emission.to.iter().filter(|to| **to != channel).map(Arc::clone).collect();
            }
        }
        let answer = match refusal.filter(|_| emission.to.is_empty()) {
            Some(refused) => Answer::Refused(refused),
            None => {
                self.carry.counters.publications.add(u64::from(!is_counted));
                self.emit_here(emission);
                Answer::Published(Position::default())
            }
        };
        if let Some(asker) = asker {
            self.reply(Waiter::Asker(asker), answer);
        }
    }

    /// Publishes a message in a channel that is a room.
    ///
    /// # Errors
    /// The refusal of the channel.
    fn publish_copy(&mut self, copy: ChannelCopy, emission: &Emission) -> Result<(), Refused> {
        let ChannelCopy { publication, options, terms } = copy;
        let home = self.home_of(&publication.channel);
        if home != self.carry.post.shard() {
            let (from, asker) = (emission.not_to, None);
            self.carry.post.send(home, Letter::Publish { publication, options, terms, from, asker });
            return Ok(());
        }
        match self.home.handle_publish(self.carry.now(), publication, options, terms, (emission.not_to, None))
        {
            Some(Done::Published { outcome: Ok(Published { delivery, .. }), .. }) => {
                self.carry.counters.publications.add(1);
                self.send_out(delivery);
                Ok(())
            }
            Some(Done::Published { outcome: Err(refused), .. }) => {
                self.count_refused_publication(&refused);
                Err(refused)
            }
            // `None`: its memory answers later. The others are no answers to a publication.
            None | Some(Done::Subscribed { .. } | Done::Answered { .. }) => Ok(()),
        }
    }

    /// Sends a publication of a channel that is a room to the sockets in it.
    pub(in crate::shard) fn emit_publication(&mut self, publication: &Publication) {
        let Some(options) = self.carry.settings.rooms.sharing(&publication.channel) else { return };
        let group = namespace_channel(&options.socketio);
        let is_known = self.carry.settings.rooms.are_apart() || self.home.subscriber_count(&group) > 0;
        // Sockets that are away may return, and then get what they missed.
        if !is_known && !self.keeps_for_return() {
            return;
        }
        let emission = self.emission_of(publication, options, group);
        self.asked_to_emit(Box::new(emission), None);
    }

    fn keeps_for_return(&self) -> bool {
        self.carry.settings.socketio.recovery_ttl_ms > 0
    }

    fn emission_of(&self, publication: &Publication, options: &ChannelOptions, group: Arc<str>) -> Emission {
        let (kind, data) = event_of(publication, options);
        let data = Shared::new(data, &self.publication_budget);
        let message = Publication { is_emitted: true, ..Publication::new(group, kind, data) };
        Emission {
            publication: Arc::new(message),
            copies: Vec::new(),
            to: [Arc::clone(&publication.channel)].into(),
            except: Box::default(),
            not_to: None,
            sender: None,
            home: self.carry.post.shard(),
            is_volatile: false,
        }
    }

    /// Gives a message its place in the order of this home, and sends it to the shards with subscribers.
    fn emit_here(&mut self, mut emission: Box<Emission>) {
        let here = self.carry.post.shard();
        emission.home = here;
        let mut shards = self.home.handle_emission(self.carry.now(), &mut emission);
        for place in emission.to.iter().filter_map(|room| SocketPlace::of_room(self.carry.seed, room)) {
            if !shards.contains(&place.shard) {
                shards.push(place.shard);
            }
        }
        // Members of rooms with other homes may be anywhere.
        let is_partial = self.carry.settings.rooms.are_apart()
            && emission.to.iter().any(|channel| self.home_of(channel) != here);
        let shards = if is_partial { (0..self.carry.post.shard_count()).collect() } else { shards };
        let emission: Arc<Emission> = Arc::from(emission);
        for shard in shards {
            self.carry.post.send(shard, Letter::Emitted(Arc::clone(&emission)));
        }
    }
}
