//! Tests of the world through a shard's interface, with a backend that can misbehave.

mod backend;
mod hooks;
mod key_sets;
mod sockets;
mod states;
mod tokens;

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use super::http::Client;
use super::options::{HookOptions, HookTls, Options, TokenOptions};
use super::{World, trust};
use crate::base::slots::Key;
use crate::shard::mailbox::{Letter, Mailbox, Post, ReplyTo};
use crate::shard::outside::{Outside, Question, Verdict};

/// Timeout for events that must come; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// See `vectors.py`.
#[derive(Deserialize)]
struct Vectors {
    secret: String,
    pem: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
    named: BTreeMap<String, String>,
    expired: BTreeMap<String, String>,
    confused: BTreeMap<String, String>,
    unsupported: BTreeMap<String, String>,
    jwks: serde_json::Value,
}

static VECTORS: LazyLock<Vectors> =
    LazyLock::new(|| serde_json::from_str(include_str!("tests/vectors.json")).unwrap());

/// Time at which the vectors' tokens are valid.
const NOW_UNIX_S: u64 = 1_800_000_000;

/// A world, its runtime in a thread of its own, and the mailboxes of two shards.
struct Stage {
    world: Arc<World>,
    posts: [(Post, Receiver<()>); 2],
    _runtime_end: oneshot::Sender<()>,
}

fn runtime() -> (Handle, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel();
    let (handle, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        handle.send(runtime.handle().clone()).unwrap();
        drop(runtime.block_on(ended));
        runtime.shutdown_background();
    });
    (told.recv().unwrap(), end)
}

impl Stage {
    fn new(options: &Options) -> Self {
        Self::asking_by(client(), options)
    }

    fn asking_by(client: Client, options: &Options) -> Self {
        let (runtime, end) = runtime();
        let [(wakes_0, woken_0), (wakes_1, woken_1)] = [mpsc::channel(), mpsc::channel()];
        let wake =
            |wakes: mpsc::Sender<()>| Mailbox::new(Box::new(move || wakes.send(()).unwrap_or_default()));
        let mailboxes: Arc<[Mailbox]> = Arc::new([wake(wakes_0), wake(wakes_1)]);
        let world = World::asking_by(client, options, Arc::clone(&mailboxes), &runtime).unwrap();
        let posts = [(Post::new(0, Arc::clone(&mailboxes)), woken_0), (Post::new(1, mailboxes), woken_1)];
        Self { world, posts, _runtime_end: end }
    }

    /// Asks for shard `request % 2`.
    fn ask(&self, request: u32, question: Question) {
        self.world.ask(reply_to(request), question).unwrap();
    }

    /// The next letter to shard `shard`.
    fn answer(&mut self, shard: u16) -> (u32, Verdict) {
        let (post, woken) = &mut self.posts[usize::from(shard)];
        loop {
            match post.next_own() {
                Some(Letter::Verdict { reply_to, verdict }) => {
                    assert_eq!((reply_to.shard, reply_to.conn), (shard, Key::from_token(7)));
                    return (reply_to.request, *verdict);
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    if post.collect() == 0 {
                        woken.recv_timeout(PATIENCE).unwrap();
                    }
                }
            }
        }
    }

    /// The verdict for a question.
    fn verdict(&mut self, question: Question) -> Verdict {
        self.ask(0, question);
        self.answer(0).1
    }
}

fn reply_to(request: u32) -> ReplyTo {
    ReplyTo { shard: u16::from(request % 2 == 1), weight: 0, conn: Key::from_token(7), request }
}

fn options() -> Options {
    Options { worker_count: 2, questions_max: 1000, hook_requests_max: 16, ..Options::default() }
}

/// All keys of the vectors, with one of the two curves.
fn all_keys(curve: &str) -> TokenOptions {
    TokenOptions {
        hmac_secret_key: VECTORS.secret.clone(),
        rsa_public_key: VECTORS.pem["rsa"].clone(),
        ecdsa_public_key: VECTORS.pem[curve].clone(),
        eddsa_public_key: VECTORS.pem["ed25519"].clone(),
        ..TokenOptions::default()
    }
}

fn hook(endpoint: String) -> HookOptions {
    HookOptions {
        endpoint,
        // Only a failing test, or a test of timeouts, waits this long.
        timeout_ms: 20_000,
        ..HookOptions::default()
    }
}

/// A client that trusts the authorities that browsers trust.
fn client() -> Client {
    Client::trusting(trust::roots("").unwrap()).unwrap()
}
