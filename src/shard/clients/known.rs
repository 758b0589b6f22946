//! What is known of a client, looked up: for its commands, for hooks, and as others see it.

use std::sync::Arc;

use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::hub::home::Member;
use crate::session::{ClientId, Session, Transport};
use crate::shard::carry::conn::Stage;
use crate::shard::clients::client::Client;
use crate::shard::mailbox::ReplyTo;
use crate::shard::outside::Who;
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    pub(in crate::shard) fn client(&self, key: Key) -> Option<&Client> {
        self.conns.entry(key)?.client.as_deref()
    }

    pub(in crate::shard) fn client_mut(&mut self, key: Key) -> Option<&mut Client> {
        self.touch_client(key);
        self.conns.entry_mut(key)?.client.as_deref_mut()
    }

    /// What is known of a client, made if nothing is; nothing is known of who has ended.
    pub(in crate::shard) fn client_or_new(&mut self, key: Key) -> Option<&mut Client> {
        let conn = self.conns.entry_mut(key).filter(|conn| conn.stage == Stage::Open)?;
        self.counters.clients.add(u64::from(conn.client.is_none()));
        conn.client.get_or_insert_default();
        self.client_mut(key)
    }

    /// Forgets what is known of a client.
    pub(in crate::shard) fn forget_client(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let Some(client) = conn.client.take() else { return };
        self.counters.clients.sub(1);
        self.counters.client_bytes.sub(client.counted_bytes as u64);
    }

    /// Drops what is known of a client, if that is nothing.
    pub(in crate::shard) fn trim_client(&mut self, key: Key) {
        if self.client(key).is_some_and(Client::is_trivial) {
            self.forget_client(key);
        }
    }

    pub(in crate::shard) fn client_id(&self, key: Key) -> ClientId {
        ClientId { seed: self.seed, shard: self.post.shard(), token: key.to_token() }
    }

    pub(in crate::shard) fn reply_to(&self, key: Key, request: u32) -> ReplyTo {
        ReplyTo { shard: self.post.shard(), conn: key, request }
    }

    /// Who the client is, as others see it. Kept from then on, where `is_kept`.
    pub(in crate::shard) fn info_of(&mut self, key: Key, is_kept: bool) -> Arc<ClientInfo> {
        if let Some(info) = self.client(key).and_then(|client| client.info.as_ref()) {
            return Arc::clone(info);
        }
        let client = self.client_id(key).to_string().into_boxed_str();
        let info = Arc::new(ClientInfo { client, ..ClientInfo::default() });
        if is_kept && let Some(client) = self.client_or_new(key) {
            client.info = Some(Arc::clone(&info));
        }
        info
    }

    /// Who asks, as hooks are told.
    pub(in crate::shard) fn who(&self, key: Key) -> Who {
        let session = self.conns.entry(key).map(|conn| &conn.session);
        let transport = session.and_then(Session::transport).map_or("", Transport::name);
        let client = self.client(key);
        Who {
            client: self.client_id(key).to_string(),
            user: client.map_or("", Client::user).to_owned(),
            transport,
            encoding: session.map_or("", Session::encoding_name),
            headers: client.and_then(|client| client.headers.as_deref().cloned()).unwrap_or_default(),
            meta: client.map_or_else(Vec::new, |client| client.meta.to_vec()),
            certificate: None,
        }
    }

    pub(in crate::shard) fn member(&self, key: Key) -> Member {
        Member { shard: self.post.shard(), conn: key.to_token() }
    }
}
