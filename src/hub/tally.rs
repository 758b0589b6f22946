//! Counts by namespace, of a shard's homes and of its own subscribers, where that is configured.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::home::Home;
use super::local::Local;
use super::options::Namespaces;
use crate::base::counters::Counter;

/// Counters of one namespace in one shard: of the channels whose home the shard is, and of its own deliveries.
#[derive(Debug, Default)]
pub struct NamespaceCounters {
    /// Gauge: channels with subscribers.
    pub channels: Counter,
    /// Gauge: subscriptions of clients in all shards.
    pub subscriptions: Counter,
    /// Publications accepted.
    pub publications: Counter,
    /// Deliveries to clients of this shard, for channels of any home.
    pub deliveries: Counter,
}

/// Counters by namespace. There are as many as configured namespaces; the lock is held to add one and to read them.
#[derive(Debug, Default)]
pub struct ByNamespace(Mutex<BTreeMap<Box<str>, Arc<NamespaceCounters>>>);

impl ByNamespace {
    /// The counters of this namespace.
    pub fn of(&self, namespace: &str) -> Arc<NamespaceCounters> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(namespace.into()).or_default())
    }

    /// All namespaces with counters, in the order of their names.
    pub fn all(&self) -> Vec<(Box<str>, Arc<NamespaceCounters>)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, counters)| (name.clone(), Arc::clone(counters))).collect()
    }
}

/// Finds the counters of a channel's namespace.
#[derive(Debug)]
pub(super) struct Tally {
    namespaces: Arc<Namespaces>,
    counters: Arc<ByNamespace>,
    known: HashMap<Box<str>, Arc<NamespaceCounters>>,
}

impl<A> Home<A> {
    /// Counts channels, subscriptions and publications by namespace from now on; to be called before there are any.
    pub fn count_by_namespace(&mut self, namespaces: Arc<Namespaces>, counters: Arc<ByNamespace>) {
        self.tally = Some(Tally::new(namespaces, counters));
    }
}

impl<B> Local<B> {
    /// Counts deliveries by namespace from now on; to be called before there are any channels.
    pub fn count_by_namespace(&mut self, namespaces: Arc<Namespaces>, counters: Arc<ByNamespace>) {
        self.tally = Some(Tally::new(namespaces, counters));
    }
}

impl Tally {
    fn new(namespaces: Arc<Namespaces>, counters: Arc<ByNamespace>) -> Self {
        Self { namespaces, counters, known: HashMap::new() }
    }

    /// Applies other namespaces from now on; existing channels keep their counters.
    pub(super) fn renew(&mut self, namespaces: Arc<Namespaces>) {
        self.namespaces = namespaces;
    }

    /// The counters of a channel's namespace. There are as many as namespaces.
    pub(super) fn of(&mut self, channel: &str) -> Arc<NamespaceCounters> {
        let namespace = self.namespaces.namespace(channel);
        if let Some(counters) = self.known.get(namespace) {
            return Arc::clone(counters);
        }
        let counters = self.counters.of(namespace);
        self.known.insert(namespace.into(), Arc::clone(&counters));
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, history, home, no_history, plain, publish};
    use super::super::home::Member;
    use super::super::options::ChannelOptions;
    use super::*;

    #[test]
    fn deliveries_are_counted_where_the_subscribers_are_also_after_a_reload() {
        let counters: Arc<ByNamespace> = Arc::default();
        let named = |name: &str| [(name.to_owned(), no_history())].into();
        let mut local = Local::<()>::new();
        let old = local.acquire(&"chat:before".into());
        local.count_deliveries(old, 1);
        local.count_by_namespace(
            Arc::new(Namespaces { named: named("chat"), ..Namespaces::default() }),
            Arc::clone(&counters),
        );
        let [chat, plain] = ["chat:a", "a"].map(|name| local.acquire(&name.into()));
        local.renew(&Arc::new(Namespaces { named: named("news"), ..Namespaces::default() }));
        let news = local.acquire(&"news:a".into());
        for (id, count) in [(chat, 3), (chat, 4), (plain, 5), (news, 6), (news, 0)] {
            local.count_deliveries(id, count);
        }
        let counted = counters.all().into_iter().map(|(name, c)| (name.to_string(), c.deliveries.value()));
        let expected = [("", 5), ("chat", 7), ("news", 6)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_namespace_is_counted_and_no_more_than_there_are() {
        let counters: Arc<ByNamespace> = Arc::default();
        let counted = || {
            let counts =
                |c: &NamespaceCounters| [c.channels.value(), c.subscriptions.value(), c.publications.value()];
            counters.all().iter().map(|(name, c)| (name.to_string(), counts(c))).collect::<Vec<_>>()
        };
        let named = [("chat", history(10, 1000)), ("news", no_history())];
        let named = named.map(|(name, options)| (name.to_owned(), options)).into();
        let mut home = home();
        let namespaces = Namespaces { named, takes_unknown: true, ..Namespaces::default() };
        home.count_by_namespace(Arc::new(namespaces), Arc::clone(&counters));
        let subscribe = |home: &mut Home, conn, name: &str, options: &Arc<ChannelOptions>| {
            home.subscribe(at(0), &name.into(), options, &plain(0, conn)).unwrap();
        };
        let (kept, plain_options) = (history(10, 1000), no_history());
        subscribe(&mut home, 1, "chat:a", &kept);
        subscribe(&mut home, 2, "chat:a", &kept);
        subscribe(&mut home, 3, "$chat:b#1", &kept);
        subscribe(&mut home, 4, "a", &plain_options);
        subscribe(&mut home, 5, "whatever:a", &plain_options);
        publish(&mut home, 0, "chat:a", &kept);
        publish(&mut home, 0, "news:nobody", &plain_options);
        let row = |name: &str, counts| (name.to_owned(), counts);
        assert_eq!(counted(), [row("", [2, 2, 0]), row("chat", [2, 3, 1]), row("news", [0, 0, 1])]);
        for (conn, name) in [(1, "chat:a"), (2, "chat:a"), (3, "$chat:b#1"), (4, "a"), (5, "whatever:a")] {
            assert!(home.unsubscribe(at(1), name, Member { shard: 0, conn }));
        }
        assert_eq!(counted()[1], row("chat", [0, 0, 1]), "a channel with only a history is not counted");
        home.expire(at(1_000_000_000_000));
        assert_eq!(counted(), [row("", [0, 0, 0]), row("chat", [0, 0, 1]), row("news", [0, 0, 1])]);
    }
}
