//! Links on their way from one shard to another.

use super::{Edge, LinkId, World};

impl World {
    /// Puts a link on its way to another shard; no event of it is reported to the old one any more.
    pub(crate) fn hand_over(&mut self, id: LinkId, shard: usize, ticket: u64) {
        self.note("hand over", id, shard as u64);
        let link = &mut self.links[id];
        (link.is_armed, link.edge, link.is_queued) = (false, Edge::default(), false);
        let (from, before) = (link.shard, link.token.take());
        link.shard = shard;
        link.handles += 1;
        self.stations[from].ready.retain(|queued| *queued != id);
        self.stations[from].gone.extend(before);
        let replaced = self.moving.insert((shard, ticket), id);
        assert!(replaced.is_none(), "a ticket is given once");
        if self.rng.chance(self.faults.lost_hand_over) {
            self.moving.remove(&(shard, ticket));
            self.let_go(id);
        }
    }

    /// Takes a link from its way.
    pub(crate) fn take_over(&mut self, shard: usize, ticket: u64) -> Option<LinkId> {
        let id = self.moving.remove(&(shard, ticket))?;
        self.note("take over", id, shard as u64);
        Some(id)
    }

    /// Drops one socket of a link, which closes it if there is no other.
    pub(crate) fn let_go(&mut self, id: LinkId) {
        self.links[id].handles -= 1;
        if self.links[id].handles == 0 {
            self.drop_socket(id);
        }
    }

    /// Whether no link is on its way.
    pub(crate) fn is_settled(&self) -> bool {
        self.moving.is_empty()
    }
}
