//! Bodies of the server's API, against shards that answer whatever they are asked.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use serde_json::Value;
use serde_json::value::RawValue;
use throng::Config;
use throng::parts::base::budget::Budget;
use throng::parts::base::shared::Shared;
use throng::parts::config::ApiOptions;
use throng::parts::control::api::{Api, METHODS, Methods};
use throng::parts::hub::home::{Answer, Question, Refused};
use throng::parts::hub::options::{ChannelOptions, Namespaces};
use throng::parts::hub::{ClientInfo, DataKind, Position, Publication};
use throng::parts::node::{Node, Wiring};
use throng::parts::shard::mailbox::{Asker, Letter, Look, Mailbox, Post};

const CHANNEL_NAME_BYTES_MAX: usize = 20;

/// The first byte chooses the method, the rest is its body.
///
/// # Panics
/// When something does not hold that must.
pub fn api_bodies(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else { return };
    let at = usize::from(first) % (METHODS.len() + 1);
    let mut shard = FakeShard::new();
    let Some(&method) = METHODS.get(at) else {
        shard.respond("batch", body);
        return;
    };
    let alone = shard.respond(method, body);
    // In a batch it comes to the same.
    let batch = [br#"{"commands":[{""#, method.as_bytes(), br#"":"#, body, br#"}]}"#].concat();
    let in_batch = shard.respond("batch", &batch);
    let Some(alone) = alone else { return };
    let in_batch = in_batch.expect("what is taken alone is taken in a batch");
    let reply = &in_batch["replies"][0];
    assert_eq!(reply.get("error"), alone.get("error"));
    if method != "info" {
        assert_eq!(reply.get(method), alone.get("result"));
    }
}

/// One shard, home of every channel.
struct FakeShard {
    api: Api,
    post: Post,
    budget: Budget,
}

impl FakeShard {
    fn new() -> Self {
        let full = ChannelOptions {
            presence: true,
            history_size: 1,
            history_ttl_ms: 1,
            ..ChannelOptions::default()
        };
        let named = HashMap::from([("full".to_owned(), Arc::new(full))]);
        let mut config = Config {
            namespaces: Arc::new(Namespaces { named, ..Namespaces::default() }),
            ..Config::default()
        };
        config.socketio.enabled = true;
        config.limits.channel_name_bytes_max = CHANNEL_NAME_BYTES_MAX;
        let mailboxes: Arc<[Mailbox]> = vec![Mailbox::new(Box::new(|| {}))].into();
        let budget = Budget::new(1 << 20);
        let wiring = Wiring {
            mailboxes: Arc::clone(&mailboxes),
            counters: vec![Arc::default()].into(),
            publication_budget: budget.clone(),
            seed: 1.into(),
        };
        let mut methods = Methods::default();
        methods.insert("echo", |params| async move { Ok(params) });
        let api = Api::new(Node::over(&config, wiring, "0-1-2", "here_8000"), ApiOptions::default(), methods);
        Self { api, post: Post::new(0, mailboxes), budget }
    }

    /// The answer, which is JSON and of the form that the method has; `None` when the body is none.
    fn respond(&mut self, method: &str, body: &[u8]) -> Option<Value> {
        let Self { api, post, budget } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let mut letter_count = 0;
        let answer = runtime.expect("a runtime").block_on(async {
            let mut responding = pin!(api.respond(method, body));
            poll_fn(|cx| {
                let polled = responding.as_mut().poll(cx);
                post.collect();
                while let Some(letter) = post.next_own() {
                    letter_count += 1;
                    answer_letter(letter, budget);
                }
                match polled {
                    Poll::Ready(answer) => Poll::Ready(answer),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        });
        assert_eq!(budget.used(), 0, "nothing is held when all is answered");
        let Ok(answer) = answer else {
            assert_eq!(letter_count, 0, "a body that is refused does nothing");
            return None;
        };
        assert!(is_json(&answer), "{}", answer.escape_ascii());
        assert!(is_json(body), "what is taken is JSON");
        // An answer may repeat what is well formed and yet no value, such as half a surrogate.
        let value: Value = serde_json::from_slice(&answer).ok()?;
        if method == "batch" {
            // A batch without commands has no replies.
            assert!(value.get("replies").is_none_or(Value::is_array));
        } else {
            assert_ne!(value.get("result").is_some(), value.get("error").is_some());
        }
        Some(value)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "letters that nobody outside sends")]
fn answer_letter(letter: Letter, budget: &Budget) {
    match letter {
        Letter::Publish { publication, asker: Some(Asker::Outside(reply)), .. } => {
            let Publication { channel, kind, data, .. } = &*publication;
            assert!(!channel.is_empty() && channel.len() <= CHANNEL_NAME_BYTES_MAX);
            if *kind == DataKind::Json {
                assert!(is_json(data));
                assert!(!data.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "JSON is one line");
            }
            reply(Answer::Published(Position { offset: 3, epoch: "e\"".into() }));
        }
        Letter::Ask { question, asker: Asker::Outside(reply), .. } => reply(match question {
            Question::Presence => Answer::Presence(vec![Arc::new(ClientInfo::default())]),
            Question::PresenceStats => Answer::PresenceStats { client_count: 1, user_count: 1 },
            Question::History(filter) if filter.since.is_some() => Answer::Refused(Refused::Unrecoverable),
            Question::History(_) => {
                let data = Shared::new(b"\xff \"".to_vec(), budget);
                let publication = Publication::new("full:a".into(), DataKind::Text, data);
                Answer::History { publications: vec![Arc::new(publication)], position: Position::default() }
            }
            Question::RemoveHistory => Answer::Removed,
        }),
        Letter::Look { what: Look::Channels { pattern }, asker: Asker::Outside(reply) } => {
            reply(Answer::Channels(vec![(pattern.into(), 1)]));
        }
        Letter::Look { what: Look::Users, asker: Asker::Outside(reply) } => reply(Answer::Users(vec![1])),
        // There is no answer to them.
        Letter::Order(_) | Letter::Emit { .. } | Letter::OrderSockets { .. } => {}
        other => panic!("{other:?}"),
    }
}

fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(data).is_ok()
}
