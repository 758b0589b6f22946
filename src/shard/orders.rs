//! What the server's API does to connections: each shard looks through its own for those that are meant.
//!
//! No index of users is kept: it would cost every idle connection memory for what is done rarely. An order looks at all
//! connections of the shard once.

use super::Shard;
use super::conn::{Conn, Stage};
use super::mailbox::{Cause, Deed, Order, Target};
use crate::base::slots::Key;
use crate::net::Net;
use crate::proto::centrifuge::codes::Disconnect;
use crate::proto::centrifuge::message::{ChannelRef, Push};
use crate::session::{CloseReason, Handler, Session};

use super::client::ttl_s;

impl<N: Net, H: Handler> Shard<N, H> {
    pub(super) fn order(&mut self, order: &Order) {
        let targets: Vec<Key> = self
            .conns
            .iter()
            .filter(|(key, conn)| self.is_meant(*key, conn, &order.target))
            .map(|(key, _)| key)
            .collect();
        for key in targets {
            self.carry_out(key, &order.deed);
        }
    }

    fn is_meant(&self, key: Key, conn: &Conn<N::Socket, H::State>, target: &Target) -> bool {
        let Session::Centrifuge(session) = &conn.session else { return false };
        let user = conn.client.as_ref().map_or("", |client| client.user());
        conn.stage == Stage::Open
            && session.is_connected()
            && user == target.user
            && (target.client.is_empty() || target.client == self.client_id(key).to_string())
            && (target.session.is_empty()
                || target.session == self.settings.secret.session(self.post.shard(), key))
    }

    fn carry_out(&mut self, key: Key, deed: &Deed) {
        match deed {
            Deed::Subscribe { channel, options, grant } => {
                self.enter_granted(key, channel, options, (**grant).clone(), None, Cause::Order);
            }
            Deed::Unsubscribe { channel, code, reason } => self.end_by_server(key, channel, *code, reason),
            Deed::Message { data } => {
                self.push_to(key, ChannelRef::None, &Push::Message(data));
            }
            Deed::Disconnect { code, reason, spared } => {
                if !spared.contains(&self.client_id(key).to_string()) {
                    self.close(key, CloseReason::Ordered { code: *code, reason: reason.clone() });
                }
            }
            Deed::Refresh { expired: true, .. } => self.disconnect(key, Disconnect::CONNECTION_EXPIRED),
            Deed::Refresh { expired: false, expire_at_s } => {
                let unix_ms = self.now().unix_ms;
                let Some(client) = self.client_or_new(key) else { return };
                client.expire_at_s = *expire_at_s;
                self.trim_client(key);
                self.arm(key);
                let push = Push::Refresh { expires: *expire_at_s > 0, ttl_s: ttl_s(*expire_at_s, unix_ms) };
                self.push_to(key, ChannelRef::None, &push);
            }
        }
    }
}
