//! What is known of a client, looked up: for its commands, for hooks, and as others see it.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::session::{Session, Transport};
use crate::shard::World;
use crate::shard::carry::client::Client;
use crate::shard::outside::Who;

impl<W: World> Clients<W> {
    /// Who the client is, as others see it. Kept from then on, where `is_kept`.
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

    /// Who asks, as hooks are told.
    pub(in crate::shard) fn who(&self, key: Key) -> Who {
        let carry = &self.channels.carry;
        let session = carry.conns.entry(key).map(|conn| &conn.session);
        let transport = session.and_then(Session::transport).map_or("", Transport::name);
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

    /// Tells the application which of this shard's channels were occupied and vacated in this turn.
    pub(in crate::shard) fn tell_states(&mut self) {
        let states = self.channels.home.take_states();
        if !states.is_empty() {
            self.outside.tell_states(states);
        }
    }
}
