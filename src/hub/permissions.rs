//! Permissions in a channel, by its options.
//!
//! The model is Centrifugo's. It applies only to a client's own requests: the server may do anything, and a
//! subscription's token or an application's hook decides instead of the options. The validity of the channel's name,
//! and whether the channel has presence or history at all, are checked before.

use super::options::ChannelOptions;

/// Properties of the asking client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Standing {
    /// Whether the client has a user: it is not anonymous.
    pub has_user: bool,
    /// Whether it is subscribed to the channel.
    pub is_subscribed: bool,
    /// Whether a capability of its connection or subscription permits the request in this channel.
    pub is_capable: bool,
    /// Whether the server grants every client all permissions (insecure mode).
    pub is_insecure: bool,
}

impl Standing {
    /// Whether the options for all clients, for subscribers and for anonymous clients permit it.
    fn is_let(self, for_client: bool, for_subscriber: bool, for_anonymous: bool) -> bool {
        let is_one_of_them = for_client || for_subscriber && self.is_subscribed;
        self.is_capable || self.is_insecure || is_one_of_them && (self.has_user || for_anonymous)
    }
}

/// Whether the client may subscribe without a token. `is_private` and `is_allowed_user` are the results of
/// [`super::options::Namespaces`]: a private channel always needs a token, and a channel limited to users is for
/// those only.
pub fn permits_subscribe(
    options: &ChannelOptions,
    standing: Standing,
    is_private: bool,
    is_allowed_user: Option<bool>,
) -> bool {
    let for_client = options.allow_subscribe_for_client && is_allowed_user.is_none();
    let is_let = standing.is_let(for_client, false, options.allow_subscribe_for_anonymous);
    !is_private && (is_allowed_user == Some(true) || is_let)
}

/// Whether the client may publish.
pub fn permits_publish(options: &ChannelOptions, standing: Standing) -> bool {
    standing.is_let(
        options.allow_publish_for_client,
        options.allow_publish_for_subscriber,
        options.allow_publish_for_anonymous,
    )
}

/// Whether the client may ask for history; for a subscribe request (the client then counts as subscribed), whether it
/// may ask for positions and recovery.
pub fn permits_history(options: &ChannelOptions, standing: Standing) -> bool {
    standing.is_let(
        options.allow_history_for_client,
        options.allow_history_for_subscriber,
        options.allow_history_for_anonymous,
    )
}

/// Whether the client may ask for presence; for a subscribe request (the client then counts as subscribed), whether
/// it may ask for joins and leaves.
pub fn permits_presence(options: &ChannelOptions, standing: Standing) -> bool {
    standing.is_let(
        options.allow_presence_for_client,
        options.allow_presence_for_subscriber,
        options.allow_presence_for_anonymous,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Standing =
        Standing { has_user: true, is_subscribed: false, is_capable: false, is_insecure: false };
    const SUBSCRIBER: Standing = Standing { is_subscribed: true, ..USER };
    const ANONYMOUS: Standing = Standing { has_user: false, ..USER };
    const ANONYMOUS_SUBSCRIBER: Standing = Standing { has_user: false, ..SUBSCRIBER };

    type Permits = fn(&ChannelOptions, Standing) -> bool;

    #[test]
    fn subscribing_follows_the_model() {
        let none = ChannelOptions::default();
        let client = ChannelOptions { allow_subscribe_for_client: true, ..none.clone() };
        let anyone = ChannelOptions { allow_subscribe_for_anonymous: true, ..client.clone() };
        let only_anonymous = ChannelOptions { allow_subscribe_for_anonymous: true, ..none.clone() };
        let capable = Standing { is_capable: true, ..ANONYMOUS };
        let insecure = Standing { is_insecure: true, ..ANONYMOUS };
        for (options, standing, is_private, user, expected) in [
            (&none, USER, false, None, false),
            (&client, USER, false, None, true),
            (&client, ANONYMOUS, false, None, false),
            (&anyone, ANONYMOUS, false, None, true),
            (&only_anonymous, ANONYMOUS, false, None, false),
            (&none, capable, false, None, true),
            (&none, insecure, false, None, true),
            // Limited to users: those are permitted, whatever the other options.
            (&none, USER, false, Some(true), true),
            (&anyone, USER, false, Some(false), false),
            (&none, insecure, false, Some(false), true),
            // Private: never without a token.
            (&anyone, USER, true, None, false),
            (&anyone, insecure, true, Some(true), false),
            (&anyone, capable, true, None, false),
        ] {
            let is_permitted = permits_subscribe(options, standing, is_private, user);
            assert_eq!(is_permitted, expected, "{standing:?} private {is_private} user {user:?}");
        }
    }

    #[test]
    fn the_other_three_have_one_model() {
        let none = ChannelOptions::default;
        let publish: (Permits, [ChannelOptions; 3]) = (
            permits_publish,
            [
                ChannelOptions { allow_publish_for_client: true, ..none() },
                ChannelOptions { allow_publish_for_subscriber: true, ..none() },
                ChannelOptions {
                    allow_publish_for_subscriber: true,
                    allow_publish_for_anonymous: true,
                    ..none()
                },
            ],
        );
        let history: (Permits, [ChannelOptions; 3]) = (
            permits_history,
            [
                ChannelOptions { allow_history_for_client: true, ..none() },
                ChannelOptions { allow_history_for_subscriber: true, ..none() },
                ChannelOptions {
                    allow_history_for_subscriber: true,
                    allow_history_for_anonymous: true,
                    ..none()
                },
            ],
        );
        let presence: (Permits, [ChannelOptions; 3]) = (
            permits_presence,
            [
                ChannelOptions { allow_presence_for_client: true, ..none() },
                ChannelOptions { allow_presence_for_subscriber: true, ..none() },
                ChannelOptions {
                    allow_presence_for_subscriber: true,
                    allow_presence_for_anonymous: true,
                    ..none()
                },
            ],
        );
        for (permits, [client, subscriber, anonymous]) in [publish, history, presence] {
            assert!(!permits(&none(), SUBSCRIBER));
            assert!(permits(&none(), Standing { is_capable: true, ..ANONYMOUS }));
            assert!(permits(&none(), Standing { is_insecure: true, ..ANONYMOUS }));
            assert!(permits(&client, USER) && !permits(&client, ANONYMOUS_SUBSCRIBER));
            assert!(permits(&subscriber, SUBSCRIBER) && !permits(&subscriber, USER));
            assert!(!permits(&subscriber, ANONYMOUS_SUBSCRIBER));
            assert!(permits(&anonymous, ANONYMOUS_SUBSCRIBER) && !permits(&anonymous, ANONYMOUS));
        }
    }
}
