//! Homes and locals together, with delayed letters between them: clients subscribe, leave and recover while
//! publications never stop, and each client has every publication once and in order, or was told that it has not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::fixtures::{LIMITS, at, info, no_history, plain, publication};
use super::home::{Answer, HistoryFilter, Home, Joined, Joining, Limits, Member, Question, Terms};
use super::local::{LATE, Local, Subscriber};
use super::options::ChannelOptions;
use super::{Item, Position, Publication};

const NAME: &str = "c";
const SHARDS: u16 = 2;

#[derive(Clone, Debug)]
enum Op {
    Publish,
    /// Publishes in another channel of the same home.
    PublishElsewhere,
    Enter(u32),
    Leave(u32),
    HomeReads(u16, usize),
    ShardReads(u16, usize),
    Serve(u16, usize),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (shard, count) = (0..SHARDS, 1..6usize);
    prop_oneof![
        8 => Just(Op::Publish),
        1 => Just(Op::PublishElsewhere),
        6 => (0..10u32).prop_map(Op::Enter),
        4 => (0..10u32).prop_map(Op::Leave),
        8 => (shard.clone(), count.clone()).prop_map(|(shard, count)| Op::HomeReads(shard, count)),
        8 => (shard.clone(), count.clone()).prop_map(|(shard, count)| Op::ShardReads(shard, count)),
        6 => (shard, count).prop_map(|(shard, count)| Op::Serve(shard, count)),
        1 => (1..1500u64).prop_map(Op::Pass),
    ]
}

enum ToHome {
    Subscribe { conn: u32, request: u32, recover: Option<Position> },
    Unsubscribe { conn: u32 },
}

enum ToShard {
    Subscribed { conn: u32, request: u32, joined: Joined },
    Deliver(Arc<Publication>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Pending { request: u32 },
    Active { place: u32 },
}

/// A connection, whose shard follows from its number, and the publications of its client.
struct Client {
    state: State,
    position: Option<Position>,
}

struct Run {
    now_ms: u64,
    home: Home,
    options: Arc<ChannelOptions>,
    to_home: [VecDeque<ToHome>; SHARDS as usize],
    to_shard: [VecDeque<ToShard>; SHARDS as usize],
    locals: [Local<Vec<Arc<Publication>>>; SHARDS as usize],
    clients: BTreeMap<u32, Client>,
    request_count: u32,
}

fn shard_of(conn: u32) -> u16 {
    u16::try_from(conn).unwrap() % SHARDS
}

impl Run {
    fn new() -> Self {
        let options = ChannelOptions {
            presence: true,
            history_size: 8,
            history_ttl_ms: 1000,
            history_meta_ttl_ms: 2000,
            ..ChannelOptions::default()
        };
        let away = |conn| (conn, Client { state: State::Away, position: None });
        Self {
            now_ms: 0,
            home: Home::new(Limits { recovery_max: 6, ..LIMITS }, (0.into(), 0)),
            options: Arc::new(options),
            to_home: Default::default(),
            to_shard: Default::default(),
            locals: Default::default(),
            clients: (0..10).map(away).collect(),
            request_count: 0,
        }
    }

    fn publish(&mut self) {
        let published =
            self.home.publish(at(self.now_ms), publication(NAME, b"1"), &self.options, &Terms::default());
        let published = published.unwrap();
        if let Some((publication, shards)) = published.delivery {
            for shard in shards {
                self.to_shard[usize::from(shard)].push_back(ToShard::Deliver(Arc::clone(&publication)));
            }
        }
    }

    fn enter(&mut self, conn: u32) {
        let client = self.clients.get_mut(&conn).unwrap();
        if client.state != State::Away {
            return;
        }
        self.request_count += 1;
        let request = self.request_count;
        client.state = State::Pending { request };
        let shard = usize::from(shard_of(conn));
        self.locals[shard].acquire(&NAME.into());
        let recover = client.position.clone();
        self.to_home[shard].push_back(ToHome::Subscribe { conn, request, recover });
    }

    fn leave(&mut self, conn: u32) {
        let Self { clients, locals, to_home, .. } = self;
        let shard = usize::from(shard_of(conn));
        let (local, state) = (&mut locals[shard], clients[&conn].state);
        if state == State::Away {
            return;
        }
        let id = local.channel_id(NAME).unwrap();
        if let State::Active { place } = state {
            local.remove(id, place, |moved, place| {
                clients.get_mut(&moved.conn).unwrap().state = State::Active { place };
            });
            to_home[shard].push_back(ToHome::Unsubscribe { conn });
        }
        local.release(id);
        clients.get_mut(&conn).unwrap().state = State::Away;
    }

    fn home_reads(&mut self, shard: u16) -> bool {
        let Some(letter) = self.to_home[usize::from(shard)].pop_front() else { return false };
        match letter {
            ToHome::Subscribe { conn, request, recover } => {
                let joining = Joining {
                    info: Some(info("u", &conn.to_string())),
                    in_presence: true,
                    wants_position: true,
                    recover,
                    ..plain(shard, u64::from(conn))
                };
                let joined = self.home.subscribe(at(self.now_ms), &NAME.into(), &self.options, &joining);
                let joined = joined.unwrap();
                self.to_shard[usize::from(shard)].push_back(ToShard::Subscribed { conn, request, joined });
            }
            ToHome::Unsubscribe { conn } => {
                let member = Member { shard, conn: u64::from(conn) };
                assert!(self.home.unsubscribe(at(self.now_ms), NAME, member));
            }
        }
        self.home.check_invariants();
        true
    }

    fn shard_reads(&mut self, shard: u16) -> bool {
        let Some(letter) = self.to_shard[usize::from(shard)].pop_front() else { return false };
        let local = &mut self.locals[usize::from(shard)];
        match letter {
            ToShard::Subscribed { conn, request, joined } => {
                let client = self.clients.get_mut(&conn).unwrap();
                if client.state != (State::Pending { request }) {
                    self.to_home[usize::from(shard)].push_back(ToHome::Unsubscribe { conn });
                    return true;
                }
                let id = local.channel_id(NAME).unwrap();
                let subscriber = Subscriber { conn, slot: 0, format: 0, flags: 0 };
                client.state = State::Active { place: local.add(id, subscriber, joined.seq) };
                let position = joined.position.unwrap();
                if joined.recovered {
                    let had = client.position.take().unwrap();
                    assert_eq!(had.epoch, position.epoch);
                    let given: Vec<_> = joined.publications.iter().map(|p| p.offset).collect();
                    assert_eq!(given, (had.offset + 1..=position.offset).collect::<Vec<_>>());
                }
                client.position = Some(position);
            }
            ToShard::Deliver(publication) => {
                local.deliver(Item::Publication(publication));
            }
        }
        true
    }

    /// Delivers to one subscriber; returns false when there is nothing to deliver.
    fn serve(&mut self, shard: u16) -> bool {
        let local = &mut self.locals[usize::from(shard)];
        let Some(id) = local.front() else { return false };
        let batch = local.take_batch(id).unwrap_or_else(|| publications(local.begin_batch(id)));
        if let Some((place, subscriber)) = local.next_to_serve(id) {
            let client = self.clients.get_mut(&subscriber.conn).unwrap();
            assert_eq!(client.state, State::Active { place });
            let after = local.late_after(id, subscriber.conn);
            assert_eq!(after.is_some(), subscriber.flags & LATE != 0);
            for publication in batch.iter().filter(|p| p.seq > after.unwrap_or(0)) {
                let position = client.position.as_mut().unwrap();
                assert_eq!(publication.offset, position.offset + 1, "a gap or a repetition");
                position.offset += 1;
            }
        }
        local.put_batch(id, batch);
        true
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Publish => self.publish(),
            Op::PublishElsewhere => {
                let (name, options) = ("elsewhere", no_history());
                self.home.subscribe(at(self.now_ms), &name.into(), &options, &plain(9, 0)).unwrap();
                self.home
                    .publish(at(self.now_ms), publication(name, b""), &options, &Terms::default())
                    .unwrap();
            }
            Op::Enter(conn) => self.enter(conn),
            Op::Leave(conn) => self.leave(conn),
            Op::HomeReads(shard, count) => {
                for _ in 0..count {
                    self.home_reads(shard);
                }
            }
            Op::ShardReads(shard, count) => {
                for _ in 0..count {
                    self.shard_reads(shard);
                }
            }
            Op::Serve(shard, count) => {
                for _ in 0..count {
                    self.serve(shard);
                }
            }
            Op::Pass(ms) => {
                self.now_ms += ms;
                self.home.expire(at(self.now_ms));
            }
        }
    }

    fn settle(&mut self) {
        let mut is_busy = true;
        while is_busy {
            is_busy = false;
            for shard in 0..SHARDS {
                is_busy |= self.home_reads(shard) | self.shard_reads(shard) | self.serve(shard);
            }
        }
    }
}

proptest! {
    #[test]
    fn everyone_has_everything_or_knows(ops in prop::collection::vec(op(), 1..250)) {
        let mut run = Run::new();
        for op in ops {
            run.step(op);
        }
        run.settle();
        let mut active = BTreeSet::new();
        let asked = Question::History(HistoryFilter { limit: Some(0), ..HistoryFilter::default() });
        let asked = run.home.ask(at(run.now_ms), &NAME.into(), &run.options, &asked);
        let Answer::History { position: top, .. } = asked else { panic!("the question was another") };
        for (conn, client) in &run.clients {
            match client.state {
                State::Away => {}
                State::Pending { .. } => prop_assert!(false, "{conn} was never answered"),
                State::Active { .. } => {
                    active.insert(conn.to_string());
                    prop_assert_eq!(client.position.as_ref(), Some(&top));
                }
            }
        }
        let asked = run.home.ask(at(run.now_ms), &NAME.into(), &run.options, &Question::Presence);
        let Answer::Presence(present) = asked else { panic!("the question was another") };
        prop_assert_eq!(present.iter().map(|info| info.client.to_string()).collect::<BTreeSet<_>>(), active);
    }
}

/// The publications among the items; this test sends no others.
fn publications(items: Vec<Item>) -> Vec<Arc<Publication>> {
    let publication = |item| match item {
        Item::Publication(publication) => publication,
        Item::Membership(membership) => panic!("{membership:?}"),
    };
    items.into_iter().map(publication).collect()
}
