//! What channels are like: the options of each namespace, and which namespace a channel's name is in.

use std::collections::HashMap;
use std::sync::Arc;

/// What holds for all channels of a namespace. Names and meanings are those of Centrifugo's configuration; durations
/// are in milliseconds and 0 means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct ChannelOptions {
    /// Whether homes remember who is subscribed.
    pub presence: bool,
    /// Whether homes tell subscribers who comes and goes.
    pub join_leave: bool,
    /// Whether they tell those who did not ask to be told.
    pub force_push_join_leave: bool,
    /// Publications that a channel keeps; 0 for no history.
    pub history_size: usize,
    /// How long it keeps them.
    pub history_ttl_ms: u64,
    /// How long a channel's position outlives its last publication; 0 for the node's default.
    pub history_meta_ttl_ms: u64,
    /// Whether subscribers know the position although they did not ask.
    pub force_positioning: bool,
    /// Whether subscribers who ask for it know the position.
    pub allow_positioning: bool,
    /// Whether subscribers can recover although they did not ask.
    pub force_recovery: bool,
    /// Whether subscribers who ask for it can recover.
    pub allow_recovery: bool,
    /// Recovery gives the last publication only.
    pub is_cache_recovery: bool,
    /// Whether subscribers may ask for deltas.
    pub allows_fossil_delta: bool,
    /// Whether all publications may be sent as deltas, although the publisher did not say so.
    pub delta_publish: bool,
    /// Whether subscribers may filter by tags.
    pub allow_tags_filter: bool,
    /// Whether clients with a user may subscribe without a token.
    pub allow_subscribe_for_client: bool,
    /// Whether clients without a user may, too.
    pub allow_subscribe_for_anonymous: bool,
    /// Whether subscribers may publish.
    pub allow_publish_for_subscriber: bool,
    /// Whether clients with a user may publish.
    pub allow_publish_for_client: bool,
    /// Whether clients without a user may, too.
    pub allow_publish_for_anonymous: bool,
    /// Whether subscribers may ask for history.
    pub allow_history_for_subscriber: bool,
    /// Whether clients with a user may.
    pub allow_history_for_client: bool,
    /// Whether clients without a user may, too.
    pub allow_history_for_anonymous: bool,
    /// Whether subscribers may ask for presence.
    pub allow_presence_for_subscriber: bool,
    /// Whether clients with a user may.
    pub allow_presence_for_client: bool,
    /// Whether clients without a user may, too.
    pub allow_presence_for_anonymous: bool,
    /// Whether names of users behind `#` are heeded.
    pub allow_user_limited_channels: bool,
    /// Whether the subscribe hook is asked.
    pub subscribe_proxy_enabled: bool,
    /// Whether the publish hook is asked.
    pub publish_proxy_enabled: bool,
    /// Whether the sub_refresh hook is asked.
    pub sub_refresh_proxy_enabled: bool,
    /// What a channel's name must match, as a regular expression; empty for anything.
    pub channel_regex: String,
    /// Publications per second that one channel takes from clients; 0 for no limit.
    pub publications_per_second_max: u32,
}

/// The channels of a node, and what their names mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Of channels without a namespace; `None` when there are none such.
    pub without_namespace: Arc<ChannelOptions>,
    /// By name.
    pub named: HashMap<String, Arc<ChannelOptions>>,
    /// Between namespace and the rest of the name. Default `:`.
    pub namespace_boundary: String,
    /// What a channel that needs a token begins with. Default `$`; empty for none.
    pub private_prefix: String,
    /// Before the users that a channel is for. Default `#`.
    pub user_boundary: String,
    /// Between those users. Default `,`.
    pub user_separator: String,
    /// How long a channel's position outlives its last publication, where its options do not say: the node's default. 30 days.
    pub history_meta_ttl_ms: u64,
    /// Whether a name with an unknown namespace is taken as one without (development mode), in place of error 102.
    pub takes_unknown: bool,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            without_namespace: Arc::default(),
            named: HashMap::new(),
            namespace_boundary: ":".to_owned(),
            private_prefix: "$".to_owned(),
            user_boundary: "#".to_owned(),
            user_separator: ",".to_owned(),
            history_meta_ttl_ms: 30 * 24 * 3_600_000,
            takes_unknown: false,
        }
    }
}
