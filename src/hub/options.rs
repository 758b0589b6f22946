//! Options of channels: those of each namespace, the namespace of a channel's name, and the other parts of a name.
//!
//! The rules of names are Centrifugo's: `$namespace:name#user,user`, each part but the name optional. Permissions are
//! in [`super::permissions`].

use std::collections::HashMap;
use std::sync::Arc;

use super::emission::is_private;
pub use super::pattern::NamePattern;

/// Options of all channels of a namespace. Names and meanings are those of Centrifugo's configuration; durations are
/// in milliseconds and 0 means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct ChannelOptions {
    /// Whether homes keep presence.
    pub presence: bool,
    /// Whether homes send joins and leaves to subscribers.
    pub join_leave: bool,
    /// Whether they send joins and leaves to subscribers that did not ask for them.
    pub force_push_join_leave: bool,
    /// Maximum of kept publications per channel; 0 for no history.
    pub history_size: usize,
    /// Lifetime of a channel's history after its last publication: then all publications have expired.
    pub history_ttl_ms: u64,
    /// Lifetime of each publication; 0 for that of the history.
    pub history_age_ms: u64,
    /// Lifetime of a channel's position after its last publication; 0 for the node's default.
    pub history_meta_ttl_ms: u64,
    /// Whether subscribers receive the position although they did not ask for it.
    pub force_positioning: bool,
    /// Whether subscribers that ask for it receive the position.
    pub allow_positioning: bool,
    /// Whether subscribers can recover although they did not ask for it.
    pub force_recovery: bool,
    /// Whether subscribers that ask for it can recover.
    pub allow_recovery: bool,
    /// Whether recovery returns the last publication only.
    pub is_cache_recovery: bool,
    /// Whether subscribers receive it although they did not ask; only with `is_cache_recovery`.
    pub auto_cache_recover: bool,
    /// Whether subscribers may ask for deltas.
    pub allows_fossil_delta: bool,
    /// Whether all publications may be sent as deltas, although the publisher did not say so.
    pub delta_publish: bool,
    /// Whether subscribers may filter by tags.
    pub allow_tags_filter: bool,
    /// Whether clients that offer it receive a channel's number in place of its name.
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
    /// Whether clients with a user may ask for history.
    pub allow_history_for_client: bool,
    /// Whether clients without a user may, too.
    pub allow_history_for_anonymous: bool,
    /// Whether subscribers may ask for presence.
    pub allow_presence_for_subscriber: bool,
    /// Whether clients with a user may ask for presence.
    pub allow_presence_for_client: bool,
    /// Whether clients without a user may, too.
    pub allow_presence_for_anonymous: bool,
    /// Whether user names behind `#` limit the subscribers.
    pub allow_user_limited_channels: bool,
    /// Whether the subscribe hook is called.
    pub subscribe_proxy_enabled: bool,
    /// Whether the publish hook is called.
    pub publish_proxy_enabled: bool,
    /// Whether the sub_refresh hook is called.
    pub sub_refresh_proxy_enabled: bool,
    /// Name of the subscribe hook; empty for the unnamed one.
    pub subscribe_proxy_name: String,
    /// Name of the publish hook; empty for the unnamed one.
    pub publish_proxy_name: String,
    /// Name of the sub_refresh hook; empty for the unnamed one.
    pub sub_refresh_proxy_name: String,
    /// Whether the state hook is called when a channel gets its first subscriber and loses its last.
    pub state_proxy_enabled: bool,
    /// Pattern of a channel's name.
    pub channel_regex: NamePattern,
    /// Maximum of publications per second from clients in one channel; 0 for no limit.
    pub publications_per_second_max: u32,
    /// Permitted format of publications.
    pub publication_data_format: DataFormat,
    /// Namespace of Socket.IO whose rooms these channels are, with its slash; empty for none. Fixed at the start.
    pub socketio: String,
    /// Name of the event that carries a publication as its only argument, where channels are rooms of Socket.IO. Fixed at
    /// the start.
    pub socketio_event: EventName,
}

/// The name of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub String);

impl Default for EventName {
    fn default() -> Self {
        Self("message".to_owned())
    }
}

/// Permitted format of publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFormat {
    /// Anything: no format is configured.
    #[default]
    Any,
    /// A JSON value.
    Json,
    /// A JSON object.
    JsonObject,
    /// Anything: the configured format.
    Binary,
}

impl ChannelOptions {
    /// Whether channels keep a history.
    pub fn keeps_history(&self) -> bool {
        self.history_size > 0 && self.history_ttl_ms > 0
    }
}

/// The namespaces of a node, and the syntax of channel names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Options of channels without a namespace; `None` when there are none such.
    pub without_namespace: Arc<ChannelOptions>,
    /// Options by the namespace's name.
    pub named: HashMap<String, Arc<ChannelOptions>>,
    /// Separator between namespace and the rest of the name. Default `:`.
    pub namespace_boundary: String,
    /// Prefix of a channel that needs a token. Default `$`; empty for none.
    pub private_prefix: String,
    /// Separator before the users of a channel. Default `#`.
    pub user_boundary: String,
    /// Separator between those users. Default `,`.
    pub user_separator: String,
    /// The node's default lifetime of a channel's position after its last publication, for channels whose options
    /// have none. 30 days.
    pub history_meta_ttl_ms: u64,
    /// Whether a name with an unknown namespace counts as one without (development mode), instead of error 102.
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
    /// The options of a channel; `None` when its namespace is unknown (error 102), and for a private one.
    pub fn resolve(&self, channel: &str) -> Option<&Arc<ChannelOptions>> {
        if is_private(channel) {
            return None;
        }
        match self.split(channel).0 {
            None => Some(&self.without_namespace),
            Some(namespace) => {
                self.named.get(namespace).or_else(|| self.takes_unknown.then_some(&self.without_namespace))
            }
        }
    }

    /// The namespace of a channel; empty when it has none, and when the namespace of its name is unknown.
    pub fn namespace<'a>(&self, channel: &'a str) -> &'a str {
        self.split(channel).0.filter(|namespace| self.named.contains_key(*namespace)).unwrap_or_default()
    }

    /// Whether a channel may have this name (else error 107): the part after the namespace matches the options'
    /// pattern, or the whole name is ASCII where there is none.
    pub fn takes_name(&self, channel: &str, options: &ChannelOptions) -> bool {
        if options.channel_regex.is_none() {
            return channel.is_ascii();
        }
        options.channel_regex.matches(self.split(channel).1)
    }

    /// Whether a subscription of the channel needs a token, for any options.
    pub fn is_private(&self, channel: &str) -> bool {
        !self.private_prefix.is_empty() && channel.starts_with(&self.private_prefix)
    }

    /// Whether a channel limited to certain users permits this one; `None` when it is for any user, because its name
    /// lists no users or its options do not allow such names. An empty user is one like others: a channel whose name
    /// ends with the boundary is for anonymous clients.
    pub fn allows_user(&self, channel: &str, user: &str) -> Option<bool> {
        if self.user_boundary.is_empty() {
            return None;
        }
        let (_, users) = match single(&self.user_boundary) {
            Some(boundary) => channel.rsplit_once(boundary)?,
            None => channel.rsplit_once(&self.user_boundary)?,
        };
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

    /// The namespace, if the name has one, and the rest of the name; else the whole name.
    fn split<'a>(&self, channel: &'a str) -> (Option<&'a str>, &'a str) {
        let open = channel.strip_prefix(&self.private_prefix).unwrap_or(channel);
        let parts = match (&*self.namespace_boundary, single(&self.namespace_boundary)) {
            ("", _) => None,
            (_, Some(boundary)) => open.split_once(boundary),
            (boundary, None) => open.split_once(boundary),
        };
        match parts {
            Some(("", rest)) => (None, rest),
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, channel),
        }
    }
}

/// The character of a boundary that is one ASCII character. The preparation of a search for a string costs several
/// times as much as the search for a character in a name.
fn single(boundary: &str) -> Option<char> {
    match boundary.as_bytes() {
        [one] => Some(char::from(*one)),
        _ => None,
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
        for boundary in ["##", "é"] {
            boundary.clone_into(&mut namespaces.user_boundary);
            assert_eq!(namespaces.allows_user(&format!("chat:a{boundary}42{boundary}43"), "43"), Some(true));
            assert_eq!(namespaces.allows_user("chat:room#42", "42"), None);
        }
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
