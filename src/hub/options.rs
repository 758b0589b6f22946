//! What channels are like: the options of each namespace, which namespace a channel's name is in, and what else the
//! name says.
//!
//! The rules of names are Centrifugo's: `$namespace:name#user,user`, each part but the name optional. Who may do what in
//! a channel is in [`super::permissions`].

use std::collections::HashMap;
use std::sync::Arc;

pub use super::pattern::NamePattern;

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
    /// How long it keeps them after the last of them: then all have expired.
    pub history_ttl_ms: u64,
    /// How long it keeps each of them; 0 for as long as the others.
    pub history_age_ms: u64,
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
    /// Whether subscribers are given it although they did not ask; only with `is_cache_recovery`.
    pub auto_cache_recover: bool,
    /// Whether subscribers may ask for deltas.
    pub allows_fossil_delta: bool,
    /// Whether all publications may be sent as deltas, although the publisher did not say so.
    pub delta_publish: bool,
    /// Whether subscribers may filter by tags.
    pub allow_tags_filter: bool,
    /// Clients that offer it are pushed a channel's number in place of its name.
    pub allow_channel_compaction: bool,
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
    /// Whether names of users behind `#` limit who may subscribe.
    pub allow_user_limited_channels: bool,
    /// Whether the subscribe hook is asked.
    pub subscribe_proxy_enabled: bool,
    /// Whether the publish hook is asked.
    pub publish_proxy_enabled: bool,
    /// Whether the sub_refresh hook is asked.
    pub sub_refresh_proxy_enabled: bool,
    /// The name of the subscribe hook; empty for the one that has none.
    pub subscribe_proxy_name: String,
    /// The name of the publish hook; empty for the one that has none.
    pub publish_proxy_name: String,
    /// The name of the sub_refresh hook; empty for the one that has none.
    pub sub_refresh_proxy_name: String,
    /// Whether the state hook is told when a channel gets its first subscriber and loses its last.
    pub state_proxy_enabled: bool,
    /// What a channel's name must match.
    pub channel_regex: NamePattern,
    /// Publications per second that one channel takes from clients; 0 for no limit.
    pub publications_per_second_max: u32,
    /// What may be published.
    pub publication_data_format: DataFormat,
}

/// What publications must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFormat {
    /// Anything: no format is configured.
    #[default]
    Any,
    /// A value of JSON.
    Json,
    /// An object of JSON.
    JsonObject,
    /// Anything, as the configuration says.
    Binary,
}

impl ChannelOptions {
    /// Whether channels keep what is published in them.
    pub fn keeps_history(&self) -> bool {
        self.history_size > 0 && self.history_ttl_ms > 0
    }
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

impl Namespaces {
    /// The options of a channel; `None` when its namespace is unknown (error 102).
    pub fn resolve(&self, channel: &str) -> Option<&Arc<ChannelOptions>> {
        match self.split(channel).0 {
            None => Some(&self.without_namespace),
            Some(namespace) => {
                self.named.get(namespace).or_else(|| self.takes_unknown.then_some(&self.without_namespace))
            }
        }
    }

    /// The namespace that a channel is in; empty when it is in none, and when that of its name is none.
    pub fn namespace<'a>(&self, channel: &'a str) -> &'a str {
        self.split(channel).0.filter(|namespace| self.named.contains_key(*namespace)).unwrap_or_default()
    }

    /// Whether a channel may have this name (else error 107): what follows the namespace matches the options' pattern,
    /// or the whole name is ASCII where there is none.
    pub fn takes_name(&self, channel: &str, options: &ChannelOptions) -> bool {
        if options.channel_regex.is_none() {
            return channel.is_ascii();
        }
        options.channel_regex.matches(self.split(channel).1)
    }

    /// Whether a subscription of the channel needs a token, whatever its options say.
    pub fn is_private(&self, channel: &str) -> bool {
        !self.private_prefix.is_empty() && channel.starts_with(&self.private_prefix)
    }

    /// Whether a channel that is for certain users is for this one; `None` when it is for anyone, because its name
    /// tells no users or its options do not allow such names. A user without a name is one like others: a channel whose
    /// name ends with nothing behind the boundary is for the anonymous.
    pub fn allows_user(&self, channel: &str, user: &str) -> Option<bool> {
        if self.user_boundary.is_empty() {
            return None;
        }
        let (_, users) = channel.rsplit_once(&self.user_boundary)?;
        if !self.resolve(channel)?.allow_user_limited_channels {
            return None;
        }
        let is_named = if self.user_separator.is_empty() {
            users == user
        } else {
            users.split(&self.user_separator).any(|named| named == user)
        };
        Some(is_named)
    }

    /// The namespace, if the name has one, and what comes behind it; the whole name if not.
    fn split<'a>(&self, channel: &'a str) -> (Option<&'a str>, &'a str) {
        let open = channel.strip_prefix(&self.private_prefix).unwrap_or(channel);
        let parts = match &*self.namespace_boundary {
            "" => None,
            boundary => open.split_once(boundary),
        };
        match parts {
            Some(("", rest)) => (None, rest),
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, channel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(size: usize) -> Arc<ChannelOptions> {
        Arc::new(ChannelOptions { history_size: size, ..ChannelOptions::default() })
    }

    fn namespaces() -> Namespaces {
        let named = [("chat".to_owned(), options(1)), ("a".to_owned(), options(2))].into();
        Namespaces { without_namespace: options(7), named, ..Namespaces::default() }
    }

    #[test]
    fn names_say_their_namespace() {
        let mut namespaces = namespaces();
        let size = |namespaces: &Namespaces, channel| namespaces.resolve(channel).map(|o| o.history_size);
        for (channel, expected) in [
            ("chat:room", Some(1)),
            ("chat:a:b", Some(1)),
            ("$chat:room", Some(1)),
            ("$a:room", Some(2)),
            ("chat", Some(7)),
            ("$chat", Some(7)),
            (":chat", Some(7)),
            ("", Some(7)),
            ("none:room", None),
            ("$none:room", None),
            (" chat:room", None),
        ] {
            assert_eq!(size(&namespaces, channel), expected, "{channel}");
        }
        namespaces.takes_unknown = true;
        assert_eq!(size(&namespaces, "none:room"), Some(7));
        namespaces.namespace_boundary.clear();
        assert_eq!(size(&namespaces, "chat:room"), Some(7));
        (namespaces.namespace_boundary, namespaces.private_prefix) = ("::".to_owned(), String::new());
        assert_eq!((size(&namespaces, "chat::room"), size(&namespaces, "$chat::room")), (Some(1), Some(7)));
    }

    #[test]
    fn private_is_what_begins_so() {
        let mut namespaces = namespaces();
        assert!(namespaces.is_private("$chat:room") && !namespaces.is_private("chat:$room"));
        namespaces.private_prefix.clear();
        assert!(!namespaces.is_private("$chat:room"));
    }

    #[test]
    fn names_say_their_users() {
        let mut namespaces = namespaces();
        let limited = ChannelOptions { allow_user_limited_channels: true, ..ChannelOptions::default() };
        namespaces.named.insert("chat".to_owned(), Arc::new(limited));
        for (channel, user, expected) in [
            ("chat:room#42", "42", Some(true)),
            ("chat:room#42,43", "43", Some(true)),
            ("chat:room#42,43", "4", Some(false)),
            ("chat:room#42,43", "", Some(false)),
            ("chat:room#", "", Some(true)),
            ("chat:room#", "42", Some(false)),
            ("chat:room#42,", "", Some(true)),
            ("chat:a#42#43", "42", Some(false)),
            ("chat:a#42#43", "43", Some(true)),
            ("chat:#42", "42", Some(true)),
            ("chat:room", "42", None),
            ("a:room#42", "42", None),
            ("none:room#42", "42", None),
        ] {
            assert_eq!(namespaces.allows_user(channel, user), expected, "{channel} {user}");
        }
        namespaces.user_separator.clear();
        assert_eq!(namespaces.allows_user("chat:room#42,43", "42,43"), Some(true));
        namespaces.user_boundary.clear();
        assert_eq!(namespaces.allows_user("chat:room#42", "42"), None);
    }

    #[test]
    fn patterns_are_held_against_what_follows_the_namespace() {
        let namespaces = namespaces();
        let pattern = |text| ChannelOptions {
            channel_regex: NamePattern::new(text).unwrap(),
            ..ChannelOptions::default()
        };
        let digits = pattern("^[0-9]+$");
        assert!(namespaces.takes_name("chat:42", &digits) && namespaces.takes_name("$chat:42", &digits));
        assert!(!namespaces.takes_name("chat:x", &digits) && namespaces.takes_name("42", &digits));
        assert!(!namespaces.takes_name("$42", &digits));
        assert!(namespaces.takes_name("chat:é", &pattern("é")) && !namespaces.takes_name("é", &pattern("")));
        assert!(!NamePattern::new("(").unwrap_err().is_empty());
        assert_eq!(NamePattern::new("a").unwrap(), NamePattern::new("a").unwrap());
        assert_ne!(NamePattern::new("a").unwrap(), NamePattern::default());
        assert_eq!(format!("{:?}", NamePattern::new("a+").unwrap()), "\"a+\"");
    }
}
