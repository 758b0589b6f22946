//! A second definition of the protocol's messages, from its public definition: read and written by prost's and
//! serde's derives, independent of the codecs under test. Names that the codecs must not use are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `bytes` fields: raw JSON in JSON.
mod raw {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let json = String::from_utf8(bytes.to_vec()).unwrap();
        RawValue::from_string(json).unwrap().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| raw.get().as_bytes().to_vec())
    }
}

macro_rules! messages {
    ($derives:tt; $($(#[$outer:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$outer])*
        #[derive $derives]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$meta])* pub(crate) $field: $type,)*
        }
    )*};
}

// Messages of clients.
messages! {
    (Clone, PartialEq, prost::Message, Serialize);

    EmulationRequest {
        #[prost(string, tag = "1")] node: String,
        #[prost(string, tag = "2")] session: String,
        #[prost(bytes = "vec", tag = "3")] #[serde(skip)] data: Vec<u8>,
    }
    Command {
        #[prost(uint32, tag = "1")] id: u32,
        #[prost(message, tag = "4")] connect: Option<ConnectRequest>,
        #[prost(message, tag = "5")] subscribe: Option<SubscribeRequest>,
        #[prost(message, tag = "6")] unsubscribe: Option<OfChannel>,
        #[prost(message, tag = "7")] publish: Option<PublishRequest>,
        #[prost(message, tag = "8")] presence: Option<OfChannel>,
        #[prost(message, tag = "9")] presence_stats: Option<OfChannel>,
        #[prost(message, tag = "10")] history: Option<HistoryRequest>,
        #[prost(message, tag = "11")] ping: Option<Empty>,
        #[prost(message, tag = "12")] send: Option<Payload>,
        #[prost(message, tag = "13")] rpc: Option<RpcRequest>,
        #[prost(message, tag = "14")] refresh: Option<RefreshRequest>,
        #[prost(message, tag = "15")] sub_refresh: Option<SubRefreshRequest>,
    }
    ConnectRequest {
        #[prost(string, tag = "1")] token: String,
        #[prost(bytes = "vec", tag = "2")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(btree_map = "string, message", tag = "3")] subs: BTreeMap<String, SubscribeRequest>,
        #[prost(string, tag = "4")] name: String,
        #[prost(string, tag = "5")] version: String,
        #[prost(btree_map = "string, string", tag = "6")] headers: BTreeMap<String, String>,
        #[prost(int64, tag = "7")] flag: i64,
    }
    RefreshRequest {
        #[prost(string, tag = "1")] token: String,
    }
    SubscribeRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(string, tag = "2")] token: String,
        #[prost(bool, tag = "3")] recover: bool,
        #[prost(string, tag = "6")] epoch: String,
        #[prost(uint64, tag = "7")] offset: u64,
        #[prost(bytes = "vec", tag = "8")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(bool, tag = "9")] positioned: bool,
        #[prost(bool, tag = "10")] recoverable: bool,
        #[prost(bool, tag = "11")] join_leave: bool,
        #[prost(string, tag = "12")] delta: String,
        #[prost(message, tag = "13")] tf: Option<FilterNode>,
        #[prost(int64, tag = "14")] flag: i64,
        #[prost(int32, tag = "15")] r#type: i32,
    }
    SubRefreshRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(string, tag = "2")] token: String,
    }
    /// Requests with nothing but a channel.
    OfChannel {
        #[prost(string, tag = "1")] channel: String,
    }
    PublishRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(bytes = "vec", tag = "2")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
    }
    StreamPosition {
        #[prost(uint64, tag = "1")] offset: u64,
        #[prost(string, tag = "2")] epoch: String,
    }
    HistoryRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(int32, tag = "7")] limit: i32,
        #[prost(message, tag = "8")] since: Option<StreamPosition>,
        #[prost(bool, tag = "9")] reverse: bool,
    }
    RpcRequest {
        #[prost(bytes = "vec", tag = "1")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(string, tag = "2")] method: String,
    }
    FilterNode {
        #[prost(string, tag = "1")] op: String,
        #[prost(string, tag = "2")] key: String,
        #[prost(string, tag = "3")] cmp: String,
        #[prost(string, tag = "4")] val: String,
        #[prost(string, repeated, tag = "5")] vals: Vec<String>,
        #[prost(message, repeated, tag = "6")] nodes: Vec<FilterNode>,
    }
}

// Messages to clients.
messages! {
    (Clone, PartialEq, prost::Message, Deserialize);

    Error {
        #[prost(uint32, tag = "1")] code: u32,
        #[prost(string, tag = "2")] message: String,
        #[prost(bool, tag = "3")] temporary: bool,
    }
    Reply {
        #[prost(uint32, tag = "1")] id: u32,
        #[prost(message, tag = "2")] error: Option<Error>,
        #[prost(message, tag = "4")] push: Option<Push>,
        #[prost(message, tag = "5")] connect: Option<ConnectResult>,
        #[prost(message, tag = "6")] subscribe: Option<SubscribeResult>,
        #[prost(message, tag = "7")] unsubscribe: Option<Empty>,
        #[prost(message, tag = "8")] publish: Option<Empty>,
        #[prost(message, tag = "9")] presence: Option<PresenceResult>,
        #[prost(message, tag = "10")] presence_stats: Option<PresenceStatsResult>,
        #[prost(message, tag = "11")] history: Option<HistoryResult>,
        #[prost(message, tag = "12")] ping: Option<Empty>,
        #[prost(message, tag = "13")] rpc: Option<Payload>,
        #[prost(message, tag = "14")] refresh: Option<RefreshResult>,
        #[prost(message, tag = "15")] sub_refresh: Option<Expiry>,
    }
    Push {
        #[prost(int64, tag = "1")] id: i64,
        #[prost(string, tag = "2")] channel: String,
        #[prost(message, tag = "4")] #[serde(rename = "pub")] publication: Option<Publication>,
        #[prost(message, tag = "5")] join: Option<Join>,
        #[prost(message, tag = "6")] leave: Option<Join>,
        #[prost(message, tag = "7")] unsubscribe: Option<Unsubscribe>,
        #[prost(message, tag = "8")] message: Option<Payload>,
        #[prost(message, tag = "9")] subscribe: Option<Subscribe>,
        #[prost(message, tag = "10")] connect: Option<Connect>,
        #[prost(message, tag = "11")] disconnect: Option<Disconnect>,
        #[prost(message, tag = "12")] refresh: Option<Expiry>,
    }
    ClientInfo {
        #[prost(string, tag = "1")] user: String,
        #[prost(string, tag = "2")] client: String,
        #[prost(bytes = "vec", tag = "3")] #[serde(with = "raw")] conn_info: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")] #[serde(with = "raw")] chan_info: Vec<u8>,
    }
    Publication {
        #[prost(bytes = "vec", tag = "4")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(message, tag = "5")] info: Option<ClientInfo>,
        #[prost(uint64, tag = "6")] offset: u64,
        #[prost(btree_map = "string, string", tag = "7")] tags: BTreeMap<String, String>,
        #[prost(bool, tag = "8")] delta: bool,
        #[prost(string, tag = "14")] epoch: String,
        #[prost(uint64, tag = "16")] version: u64,
    }
    Join {
        #[prost(message, tag = "1")] info: Option<ClientInfo>,
    }
    Unsubscribe {
        #[prost(uint32, tag = "2")] code: u32,
        #[prost(string, tag = "3")] reason: String,
    }
    Subscribe {
        #[prost(bool, tag = "1")] recoverable: bool,
        #[prost(string, tag = "4")] epoch: String,
        #[prost(uint64, tag = "5")] offset: u64,
        #[prost(bool, tag = "6")] positioned: bool,
        #[prost(bytes = "vec", tag = "7")] #[serde(with = "raw")] data: Vec<u8>,
    }
    Connect {
        #[prost(string, tag = "1")] client: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(bytes = "vec", tag = "3")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(btree_map = "string, message", tag = "4")] subs: BTreeMap<String, SubscribeResult>,
        #[prost(bool, tag = "5")] expires: bool,
        #[prost(uint32, tag = "6")] ttl: u32,
        #[prost(uint32, tag = "7")] ping: u32,
        #[prost(bool, tag = "8")] pong: bool,
        #[prost(string, tag = "9")] session: String,
        #[prost(string, tag = "10")] node: String,
        #[prost(int64, tag = "11")] time: i64,
    }
    Disconnect {
        #[prost(uint32, tag = "1")] code: u32,
        #[prost(string, tag = "2")] reason: String,
        #[prost(bool, tag = "3")] reconnect: bool,
    }
    /// Refresh, and SubRefreshResult.
    Expiry {
        #[prost(bool, tag = "1")] expires: bool,
        #[prost(uint32, tag = "2")] ttl: u32,
    }
    ConnectResult {
        #[prost(string, tag = "1")] client: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(bool, tag = "3")] expires: bool,
        #[prost(uint32, tag = "4")] ttl: u32,
        #[prost(bytes = "vec", tag = "5")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(btree_map = "string, message", tag = "6")] subs: BTreeMap<String, SubscribeResult>,
        #[prost(uint32, tag = "7")] ping: u32,
        #[prost(bool, tag = "8")] pong: bool,
        #[prost(string, tag = "9")] session: String,
        #[prost(string, tag = "10")] node: String,
        #[prost(int64, tag = "11")] time: i64,
    }
    RefreshResult {
        #[prost(bool, tag = "3")] expires: bool,
        #[prost(uint32, tag = "4")] ttl: u32,
    }
    SubscribeResult {
        #[prost(bool, tag = "1")] expires: bool,
        #[prost(uint32, tag = "2")] ttl: u32,
        #[prost(bool, tag = "3")] recoverable: bool,
        #[prost(string, tag = "6")] epoch: String,
        #[prost(message, repeated, tag = "7")] publications: Vec<Publication>,
        #[prost(bool, tag = "8")] recovered: bool,
        #[prost(uint64, tag = "9")] offset: u64,
        #[prost(bool, tag = "10")] positioned: bool,
        #[prost(bytes = "vec", tag = "11")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(bool, tag = "12")] was_recovering: bool,
        #[prost(bool, tag = "13")] delta: bool,
        #[prost(int64, tag = "14")] id: i64,
    }
    PresenceResult {
        #[prost(btree_map = "string, message", tag = "1")] presence: BTreeMap<String, ClientInfo>,
    }
    PresenceStatsResult {
        #[prost(uint32, tag = "1")] num_clients: u32,
        #[prost(uint32, tag = "2")] num_users: u32,
    }
    HistoryResult {
        #[prost(message, repeated, tag = "1")] publications: Vec<Publication>,
        #[prost(string, tag = "2")] epoch: String,
        #[prost(uint64, tag = "3")] offset: u64,
    }
}

// Messages in both directions.
messages! {
    (Clone, PartialEq, prost::Message, Serialize, Deserialize);

    Empty {}
    /// RPCResult, SendRequest and Message.
    Payload {
        #[prost(bytes = "vec", tag = "1")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
    }
}
