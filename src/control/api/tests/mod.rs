//! Tests of all methods with shards that record letters and give prepared answers.

mod answers;
mod documents;
mod refusals;

use std::future::poll_fn;
use std::task::Poll;

use serde_json::Value;

use super::*;
use crate::base::budget::Budget;
use crate::base::payload::Payload;
use crate::base::shared::Shared;
use crate::config::Config;
use crate::hub::emission::Emission;
use crate::hub::home::{Answer, Question, Refused};
use crate::hub::options::{ChannelOptions, Namespaces};
use crate::hub::socket_order::{Gathered, SocketAnswer, SocketDeed, SocketFacts, SocketOrder};
use crate::hub::{ClientInfo, DataKind, Position, Publication};
use crate::node::Wiring;
use crate::shard::counters::Counters;
use crate::shard::mailbox::{Asker, Deed, Letter, Look, Mailbox, Order, Post};

/// Two shards with their recorded letters.
struct Shards {
    api: Api,
    posts: Vec<Post>,
    /// Letters in the order of arrival; an order for all shards appears once.
    letters: Vec<String>,
    answer: fn(&Question) -> Answer,
    budget: Budget,
    counters: Arc<[Arc<Counters>]>,
    mailboxes: Arc<[Mailbox]>,
}

fn position(offset: u64) -> Position {
    Position { offset, epoch: "Zt1a".into() }
}

fn usual(question: &Question) -> Answer {
    let client = |user: &str, info: &[u8]| {
        let (user, client) = (user.into(), format!("c-{user}").into());
        Arc::new(ClientInfo { user, client, conn_info: info.to_vec().into(), chan_info: Payload::default() })
    };
    match question {
        Question::Presence => Answer::Presence(vec![client("ann", b"{\"a\":1}"), client("bob", b"")]),
        Question::PresenceStats => Answer::PresenceStats { client_count: 3, user_count: 2 },
        Question::History(_) => {
            let budget = Budget::new(1000);
            let publication = |kind, data: &[u8], offset| Publication {
                offset,
                ..Publication::new("chat:1".into(), kind, Shared::new(data.to_vec(), &budget))
            };
            let said = Publication {
                info: Some(client("ann", b"")),
                tags: [("lang".into(), "en".into())].into(),
                ..publication(DataKind::Json, b"{ \"x\" :1}", 8)
            };
            let others =
                [publication(DataKind::Text, b"words", 9), publication(DataKind::Binary, &[255], 10)];
            let publications = [said].into_iter().chain(others).map(Arc::new).collect();
            Answer::History { publications, position: position(10) }
        }
        Question::RemoveHistory => Answer::Removed,
    }
}

impl Shards {
    fn new(options: ApiOptions) -> Self {
        let full = ChannelOptions {
            presence: true,
            history_size: 10,
            history_ttl_ms: 1000,
            ..ChannelOptions::default()
        };
        let namespaces = Namespaces {
            without_namespace: Arc::default(),
            named: [("chat".to_owned(), Arc::new(full))].into(),
            takes_unknown: false,
            ..Namespaces::default()
        };
        let mut config = Config { namespaces: Arc::new(namespaces), ..Config::default() };
        config.socketio.enabled = true;
        config.limits.channel_name_bytes_max = 20;
        config.limits.outbox_bytes_max = 2000;
        config.limits.mailbox_letters_max = 3000;
        let mailboxes: Arc<[Mailbox]> = (0..2).map(|_| Mailbox::new(Box::new(|| {}))).collect();
        let budget = Budget::new(100_000);
        let counters: Arc<[Arc<Counters>]> = (0..2).map(|_| Arc::default()).collect();
        let wiring = Wiring {
            mailboxes: Arc::clone(&mailboxes),
            counters: Arc::clone(&counters),
            publication_budget: budget.clone(),
            seed: 7.into(),
        };
        let mut methods = Methods::default();
        methods.insert("echo", |params| async move { Ok(params) });
        methods.insert("broken", |_| async { Ok(b"no json".to_vec()) });
        methods.insert("never", |_| std::future::pending());
        methods.insert("panics", |_| async { panic!("planted") });
        methods.insert("fails", |_| async { Err(ApiError { code: 4001, message: "not \"here\"".into() }) });
        let api = Api::new(Node::over(&config, wiring, "0-1-2", "here_8000"), options, methods);
        let posts = (0..2).map(|shard| Post::new(shard, Arc::clone(&mailboxes))).collect();
        Self { api, posts, letters: Vec::new(), answer: usual, budget, counters, mailboxes }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// The answer to a body; the shards run while it is pending.
    fn ask(&mut self, method: &str, body: &str) -> Result<String, serde_json::Error> {
        let Self { api, posts, letters, answer, .. } = self;
        letters.clear();
        let mut responding = Box::pin(api.respond(method, body.as_bytes()));
        Self::runtime().block_on(poll_fn(|cx| {
            let polled = responding.as_mut().poll(cx);
            for (shard, post) in posts.iter_mut().enumerate() {
                post.collect();
                while let Some(letter) = post.next_own() {
                    letters.extend(take(shard, letter, *answer));
                }
            }
            match polled {
                Poll::Ready(answer) => Poll::Ready(answer.map(|answer| String::from_utf8(answer).unwrap())),
                Poll::Pending => Poll::Pending,
            }
        }))
    }

    /// The code in the answer to a body; 0 without an error.
    fn code(&mut self, method: &str, body: &str) -> u64 {
        let answer: Value = serde_json::from_str(&self.ask(method, body).unwrap()).unwrap();
        assert_eq!(answer["error"].is_object(), answer.get("result").is_none(), "{answer}");
        answer["error"]["code"].as_u64().unwrap_or(0)
    }
}

/// The result of an order to sockets.
fn carried_out(order: &SocketOrder) -> Answer {
    let mut gathered = Gathered::of(2);
    let id = "Yg1DrJVBX4WqAAAAAAAB";
    if order.deed == SocketDeed::Fetch {
        gathered.add_socket(SocketFacts {
            id: id.into(),
            rooms: vec!["lobby".into()],
            client: "b1f1".into(),
            user: "42".into(),
            address: "203.0.113.7".into(),
            query: "token=t".into(),
            issued_ms: 1_764_500_000_000,
            data: "{\"name\":\"ann\"}".into(),
            ..SocketFacts::default()
        });
    } else if matches!(order.deed, SocketDeed::Ask(_)) {
        let answer = SocketAnswer { id: id.into(), data: "\"yes\"".into(), attachments: Vec::new() };
        gathered.add_answer(Ok(answer));
        gathered.add_answer(Err("pT5tTkk3mKbbAAAAAAAC".into()));
    }
    Answer::Gathered(Box::new(gathered))
}

/// Records a letter and answers it.
#[expect(clippy::wildcard_enum_match_arm, reason = "letters that nobody outside sends")]
fn take(shard: usize, letter: Letter, answer: fn(&Question) -> Answer) -> Option<String> {
    match letter {
        Letter::Publish { publication: p, terms, asker, .. } => {
            let Some(Asker::Outside(reply)) = asker else { panic!("an answer is wanted") };
            reply(match &*p.channel {
                "chat:full" => Answer::Refused(Refused::TooManyPublications),
                name if name.starts_with("chat:") => Answer::Published(position(8)),
                _ => Answer::Published(Position::default()),
            });
            let data = p.data.escape_ascii();
            Some(format!("{} {:?} {data} {:?} {} {terms:?}", p.channel, p.kind, p.tags, p.is_delta))
        }
        Letter::Ask { channel, question, asker, .. } => {
            let Asker::Outside(reply) = asker else { panic!("not from a connection") };
            reply(answer(&question));
            Some(format!("{channel} {question:?}"))
        }
        Letter::Look { what: Look::Channels { pattern }, asker } => {
            let Asker::Outside(reply) = asker else { panic!("not from a connection") };
            reply(Answer::Channels(vec![(format!("{pattern}{}", 2 - shard).into(), shard)]));
            Some(pattern)
        }
        Letter::Look { what: Look::Users, asker } => {
            let Asker::Outside(reply) = asker else { panic!("not from a connection") };
            reply(Answer::Users(Vec::new()));
            None
        }
        Letter::Emit { emission, asker } => {
            let Some(Asker::Outside(reply)) = asker else { panic!("an answer is wanted") };
            reply(Answer::Published(Position::default()));
            let Emission { publication, to, except, is_volatile, .. } = &*emission;
            let data = publication.data.escape_ascii();
            Some(format!("emit {data} to {to:?} except {except:?} volatile {is_volatile}"))
        }
        Letter::OrderSockets { order, asker } => {
            let Some(Asker::Outside(reply)) = asker else { panic!("an answer is wanted") };
            reply(carried_out(&order));
            let SocketOrder { namespace, rooms, deed, .. } = &*order;
            Some(format!("{namespace} {:?} except {:?} {deed:?}", rooms.to, rooms.except))
        }
        Letter::Order(order) => {
            let Order { target, deed, .. } = &*order;
            let told = match deed {
                Deed::Subscribe { channel, grant, .. } => format!("subscribe {channel} {grant:?}"),
                Deed::Unsubscribe { channel, code, reason } => {
                    format!("unsubscribe {channel} {code} {reason}")
                }
                Deed::Message { data } => format!("message {}", String::from_utf8_lossy(data)),
                Deed::Disconnect { code, reason, spared } => format!("disconnect {code} {reason} {spared:?}"),
                Deed::Refresh { expired, expire_at_s, info } => {
                    format!("refresh {expired} {expire_at_s} {info:?}")
                }
            };
            let whom = format!("{}/{}/{}", target.user, target.client, target.session);
            (shard == 0).then(|| format!("{whom} {told}"))
        }
        other => panic!("{other:?}"),
    }
}
