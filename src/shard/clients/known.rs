//! Properties of a client, for its commands, for hooks, and for other clients.

use std::sync::Arc;

use super::Clients;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::hub::local::ChannelId;
use crate::session::Session;
use crate::shard::World;
use crate::shard::carry::client::Client;
use crate::shard::outside::Who;

impl<W: World> Clients<W> {
    /// The client's information for others. Stored for later use if `is_kept`.
    pub(in crate::shard) fn info_of(&mut self, key: Key, is_kept: bool) -> Arc<ClientInfo> {
        let carry = &mut self.channels.carry;
        if let Some(info) = carry.client(key).and_then(|client| client.info.as_ref()) {
            return Arc::clone(info);
        }
        let client = carry.client_id(key).to_string().into_boxed_str();
        let info = Arc::new(ClientInfo { client, ..ClientInfo::default() });
        if is_kept && let Some(client) = carry.client_or_new(key) {
            client.info = Some(Arc::clone(&info));
        }
        info
    }

    /// Changes a client's information for others in all of its channels; empty for no change.
    pub(in crate::shard) fn inform(&mut self, key: Key, conn_info: Payload) {
        if conn_info.is_empty() {
            return;
        }
        let before = self.info_of(key, true);
        if conn_info == before.conn_info {
            return;
        }
        let info = Arc::new(ClientInfo { conn_info, ..ClientInfo::clone(&before) });
        let Some(client) = self.channels.carry.client_mut(key) else { return };
        client.info = Some(Arc::clone(&info));
        for own in client.details.iter_mut().filter_map(|detail| detail.info.as_mut()) {
            *own = own.renewed(&info, true);
        }
        let conn = self.channels.carry.conns.entry(key);
        let ids: Vec<ChannelId> =
            conn.into_iter().flat_map(|conn| &conn.subs).map(|sub| sub.channel()).collect();
        for id in ids {
            self.channels.tell_informed(key, id, &info, true);
        }
    }

    /// Changes the information of a client's subscription for others in the channel; empty for none.
    pub(in crate::shard) fn inform_in(&mut self, key: Key, channel: ChannelId, chan_info: Payload) {
        let all = self.info_of(key, true);
        let own =
            (!chan_info.is_empty()).then(|| Arc::new(ClientInfo { chan_info, ..ClientInfo::clone(&all) }));
        let client = self.channels.carry.client_mut(key);
        let detail = client.and_then(|client| client.details.iter_mut().find(|one| one.channel == channel));
        let Some(detail) = detail.filter(|detail| detail.info != own) else { return };
        detail.info.clone_from(&own);
        self.channels.tell_informed(key, channel, &own.unwrap_or(all), false);
    }

    /// The client's properties for a hook.
    pub(in crate::shard) fn who(&self, key: Key) -> Who {
        let carry = &self.channels.carry;
        let session = carry.conns.entry(key).map(|conn| &conn.session);
        let transport = session.map_or("", Session::transport_name);
        let client = carry.client(key);
        Who {
            client: carry.client_id(key).to_string(),
            user: client.map_or("", Client::user).to_owned(),
            transport,
            encoding: session.map_or("", Session::encoding_name),
            headers: client.and_then(|client| client.headers.as_deref().cloned()).unwrap_or_default(),
            meta: client.map_or_else(Vec::new, |client| client.meta.to_vec()),
            certificate: None,
        }
    }

    /// Reports to the application which of this shard's channels got their first subscriber or lost their last in
    /// this turn.
    pub(in crate::shard) fn tell_states(&mut self) {
        let states = self.channels.home.take_states();
        if !states.is_empty() {
            self.outside.tell_states(states);
        }
    }
}
