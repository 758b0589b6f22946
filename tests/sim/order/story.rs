//! A client of two shards, step by step, with hooks and workers that answer only when the story demands it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use throng::parts::config::Config;
use throng::parts::hub::home::StateChange;
use throng::parts::hub::home_of;
use throng::parts::hub::options::ChannelOptions;
use throng::parts::shard::counters::Counters;
use throng::parts::shard::mailbox::{Deed, Done, Letter, Order, ReplyTo, Target};
use throng::parts::shard::outside::{Busy, Credentials, Grant, Hook, Outside, Question, Token, Verdict};

use crate::rng::Rng;
use crate::small::{SEED, Small};
use crate::wire::{self, CLOSE, TEXT};
use crate::world::LinkId;

/// The client's shard, and the one that is the home of its user and its channels.
pub(super) const HERE: usize = 0;
pub(super) const THERE: usize = 1;
/// A Unix time, in seconds, long after all of these stories.
pub(super) const MUCH_LATER_S: u64 = 4_000_000_000;

/// Takes every question and leaves the answer to the story.
#[derive(Debug, Default)]
pub(super) struct Patience {
    pub(super) asked: Mutex<Vec<(ReplyTo, Question)>>,
    /// Whether clients refresh by tokens: there is no hook for it.
    pub(super) refreshes_by_tokens: AtomicBool,
}

impl Outside for Patience {
    fn verify_now(&self, _: &Token<'_>, _: u64) -> Option<Verdict> {
        None
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        self.asked.lock().unwrap().push((reply_to, question));
        Ok(())
    }

    fn tell_states(&self, _: Vec<StateChange>) {}

    fn has_hook(&self, hook: Hook) -> bool {
        match hook {
            Hook::Refresh => !self.refreshes_by_tokens.load(Relaxed),
            Hook::Connect | Hook::Subscribe | Hook::SubRefresh => true,
            Hook::Publish | Hook::Rpc | Hook::SocketConnect | Hook::SocketEvent => false,
        }
    }
}

/// A client, step by step, and the pending questions about it.
pub(super) struct Story {
    pub(super) small: Small,
    pub(super) outside: Arc<Patience>,
    pub(super) link: LinkId,
    pub(super) arrived: Vec<u8>,
    pub(super) user: String,
    pub(super) channel: String,
}

/// The phase of the channel's subscription, or of the whole connection, when the order arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A hook is asked about the subscription.
    Hook,
    /// A worker verifies its token.
    Worker,
    /// Its home is asked.
    Home,
    Active,
    /// Not answered is the connect command, which brings it: the user's home counts the connection.
    Counted,
    /// Not answered is the connect command, which brings it: the channel's home is asked.
    Entered,
    /// Not answered is the connect command, which brings it, and the subscribe command waits behind it.
    Behind,
}

pub(super) const MOMENTS: [Moment; 7] = [
    Moment::Hook,
    Moment::Worker,
    Moment::Home,
    Moment::Active,
    Moment::Counted,
    Moment::Entered,
    Moment::Behind,
];

impl Moment {
    pub(super) fn is_of_connect(self) -> bool {
        matches!(self, Self::Counted | Self::Entered | Self::Behind)
    }

    /// The client's messages for a new subscription, as the beginnings of lines.
    pub(super) fn begun(self) -> Vec<&'static str> {
        match self {
            Self::Hook | Self::Worker | Self::Home => vec![r#"{"id":2,"subscribe":{"#],
            Self::Active => vec![],
            Self::Counted | Self::Entered => vec![r#"{"id":1,"connect":{"#],
            Self::Behind => vec![r#"{"id":1,"connect":{"#, r#"{"id":2,"subscribe":{"#],
        }
    }
}

impl Story {
    pub(super) fn new() -> Self {
        let outside = Arc::<Patience>::default();
        let configure = |config: &mut Config| {
            config.client.user_connection_limit = 9;
            config.client.expired_close_delay_ms = 0;
            // So that orders meet several that are asked.
            config.client.concurrency = 4;
            config.timeouts.ping_interval_ms = 0;
            let namespaces = Arc::make_mut(&mut config.namespaces);
            let hooked = ChannelOptions { subscribe_proxy_enabled: true, ..ChannelOptions::default() };
            let options = Arc::make_mut(&mut namespaces.without_namespace);
            (options.history_size, options.history_ttl_ms) = (1, 60_000);
            namespaces.named = HashMap::from([("hooked".to_owned(), Arc::new(hooked))]);
        };
        let mut small = Small::asking(outside.clone(), configure, None, 2, 1 << 20, 1 << 20);
        let link = loop {
            let link = small.world.borrow_mut().connect().unwrap();
            small.send(link, &wire::upgrade("/connection/websocket"));
            small.turn(HERE);
            if small.counters[HERE].accepts.value() > 0 {
                break link;
            }
        };
        let mut arrived = Vec::new();
        small.receive(link, usize::MAX, &mut arrived);
        assert_eq!(wire::take_response(&mut arrived), Some(101));
        Self { small, outside, link, arrived, user: name_there("u"), channel: name_there("c") }
    }

    /// A connected client.
    pub(super) fn connected(credentials: Credentials) -> Self {
        let mut story = Self::new();
        story.say(r#"{"id":1,"connect":{}}"#);
        story.let_in(credentials);
        story.settle();
        assert!(story.heard()[0].starts_with(r#"{"id":1,"connect":"#));
        story
    }

    /// Brings the subscription into this phase.
    pub(super) fn at(moment: Moment) -> Self {
        if moment.is_of_connect() {
            let mut story = Self::new();
            story.say(r#"{"id":1,"connect":{}}"#);
            let channels = vec![(story.channel.clone(), Grant::default())];
            let credentials = Credentials { channels, ..Credentials::default() };
            match moment {
                Moment::Behind => {
                    let other = name_there("d");
                    story.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{other}"}}}}"#));
                    story.channel = other;
                    story.let_in(credentials);
                }
                Moment::Entered => {
                    story.let_in(credentials);
                    story.small.turn(THERE);
                    story.small.turn(HERE);
                }
                Moment::Counted | Moment::Hook | Moment::Worker | Moment::Home | Moment::Active => {
                    story.let_in(credentials);
                }
            }
            assert_eq!(story.heard(), [""; 0], "connect is not answered");
            return story;
        }
        let mut story = Self::connected(Credentials::default());
        let mut token = "";
        match moment {
            Moment::Hook => story.channel = name_there("hooked:c"),
            Moment::Worker => token = r#","token":"x""#,
            Moment::Home | Moment::Active | Moment::Counted | Moment::Entered | Moment::Behind => {}
        }
        story.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{}"{token}}}}}"#, story.channel));
        if moment == Moment::Active {
            story.settle();
            assert_eq!(story.heard(), [r#"{"id":2,"subscribe":{}}"#]);
        } else {
            assert_eq!(story.heard(), [""; 0], "subscribe is not answered");
        }
        story
    }

    pub(super) fn say(&mut self, command: &str) {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, command.as_bytes(), &mut Rng::new(7));
        self.small.send(self.link, &out);
        self.small.turn(HERE);
    }

    /// The client's received lines, and the code of a close frame.
    pub(super) fn heard(&mut self) -> Vec<String> {
        self.small.receive(self.link, usize::MAX, &mut self.arrived);
        let mut lines = Vec::new();
        while let Some(frame) = wire::take_frame(&mut self.arrived) {
            if frame.opcode == CLOSE {
                let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
                lines.push(format!("closed {code}"));
            } else {
                lines.extend(String::from_utf8(frame.payload).unwrap().lines().map(str::to_owned));
            }
        }
        lines
    }

    /// Answers the pending questions.
    pub(super) fn answer(&mut self, verdict: impl Fn(&Question) -> Verdict) {
        let asked = std::mem::take(&mut *self.outside.asked.lock().unwrap());
        for (reply_to, question) in asked {
            let verdict = Box::new(verdict(&question));
            self.small.mailboxes[HERE].put(&mut vec![Letter::Verdict { reply_to, verdict }]);
        }
        self.small.turn(HERE);
    }

    /// The connect hook answers with these credentials.
    pub(super) fn let_in(&mut self, credentials: Credentials) {
        let credentials = Credentials { user: self.user.clone(), ..credentials };
        self.answer(|_| Verdict::Connection(Ok(Box::new(credentials.clone()))));
    }

    /// Answers the pending outside question about the subscription.
    pub(super) fn grant(&mut self) {
        let (channel, user) = (self.channel.clone(), self.user.clone());
        let grant = Grant { channel, user, expire_at_s: MUCH_LATER_S, ..Grant::default() };
        self.answer(|_| Verdict::Subscription(Ok(Box::new(grant.clone()))));
    }

    pub(super) fn order(&mut self, deed: Deed) {
        let target = Target { user: self.user.clone(), ..Target::default() };
        let letter = Letter::Order(Arc::new(Order::new(target, deed)));
        self.small.mailboxes[HERE].put(&mut vec![letter]);
        self.small.turn(HERE);
    }

    /// Like [`Story::order`]; returns whether it is done.
    pub(super) fn order_and_wait(&mut self, deed: Deed) -> Arc<AtomicBool> {
        let told = Arc::<AtomicBool>::default();
        let tell = Arc::clone(&told);
        let target = Target { user: self.user.clone(), ..Target::default() };
        let done = Done::telling(move || tell.store(true, Relaxed));
        self.small.mailboxes[HERE].put(&mut vec![Letter::Order(Arc::new(Order { target, deed, done }))]);
        self.small.turn(HERE);
        told
    }

    /// The push of [`Story::unsubscribe`].
    pub(super) fn unsubscribed(&self) -> String {
        let words = r#""unsubscribe":{"code":2500,"reason":"enough"}"#;
        format!(r#"{{"push":{{"channel":"{}",{words}}}}}"#, self.channel)
    }

    /// The beginning of the push of [`Story::subscribe`] to the story's channel.
    pub(super) fn subscribed(&self) -> String {
        format!(r#"{{"push":{{"channel":"{}","subscribe":{{"#, self.channel)
    }

    pub(super) fn unsubscribe(&self) -> Deed {
        let channel = self.channel.as_str().into();
        Deed::Unsubscribe { channel, code: 2500, reason: "enough".to_owned() }
    }

    pub(super) fn subscribe(&self, channel: &str) -> Deed {
        let options = Arc::clone(self.small.namespaces.resolve(channel).unwrap());
        Deed::Subscribe { channel: channel.into(), options, grant: Box::default() }
    }

    /// Delivers the letters between the shards.
    pub(super) fn settle(&mut self) {
        for _ in 0..4 {
            self.small.turn(THERE);
            self.small.turn(HERE);
        }
    }

    pub(super) fn unix_s(&self) -> u64 {
        let world = self.small.world.borrow();
        (world.unix_ahead_ms + world.now_us / 1000) / 1000
    }

    pub(super) fn count(&self, read: fn(&Counters) -> u64) -> u64 {
        self.small.counters.iter().map(|counters| read(counters)).sum()
    }

    /// Subscriptions, and channels that homes know.
    pub(super) fn left(&self) -> (u64, u64) {
        (self.count(|c| c.subscriptions.value()), self.count(|c| c.channels.value()))
    }
}

/// A name whose home is the other shard.
pub(super) fn name_there(prefix: &str) -> String {
    let is_there = |name: &String| usize::from(home_of(name, SEED.into(), 2)) == THERE;
    (0..).map(|n| format!("{prefix}{n}")).find(is_there).unwrap()
}
