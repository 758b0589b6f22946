//! The outside of the shards under siege: requests that are answered when the program demands it, tokens whose text
//! is the verdict, and hooks that answer when the program demands it, with the program's verdict.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use throng::parts::hub::home::StateChange;
use throng::parts::hub::words::Denied;
use throng::parts::session::PlainResponse;
use throng::parts::shard::desk::{Desk, Handed};
use throng::parts::shard::mailbox::{Letter, ReplyTo};
use throng::parts::shard::outside::{
    Busy, Credentials, Grant, Hook, Outside, Question, Rejected, Replaced, SocketRejected, SocketTerms,
    Token, Verdict,
};

use super::super::harness::rng::mix;
use super::super::harness::world::fingerprint;
use super::server::BODY_BYTES_MAX;

/// Limit of pending questions for programs that want few.
const FEW: usize = 2;

/// The pending questions, and the limit of accepted ones.
#[derive(Debug)]
pub(super) struct Backend {
    hooks_connect: bool,
    /// Takes few questions at a time.
    is_narrow: bool,
    asked: Mutex<Vec<(ReplyTo, Question)>>,
    handed: Mutex<Vec<Handed>>,
    /// Mixed from all that was asked: equal for equal programs.
    hash: AtomicU64,
}

impl Backend {
    pub(super) fn new(hooks_connect: bool, is_narrow: bool) -> Self {
        Self {
            hooks_connect,
            is_narrow,
            asked: Mutex::default(),
            handed: Mutex::default(),
            hash: AtomicU64::new(0),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.load(Relaxed)
    }

    fn note(&self, question: &Question) {
        let (kind, client, about): (u8, &str, &str) = match question {
            Question::ConnectionToken(token) => (0, "", token),
            Question::SubscriptionToken(token) => (1, "", token),
            Question::Connect { who, name, .. } => (2, &who.client, name),
            Question::Refresh { who } => (3, &who.client, &who.user),
            Question::Subscribe { who, channel, .. } => (4, &who.client, channel),
            Question::Publish { who, channel, .. } => (5, &who.client, channel),
            Question::Rpc { who, method, .. } => (6, &who.client, method),
            Question::SubRefresh { who, channel } => (7, &who.client, channel),
            Question::SocketConnect { who, claim } => (8, &who.client, &claim.namespace),
            Question::SocketEvents { who, events } => (9, &who.client, &events.sid),
        };
        let word = fingerprint(client.as_bytes()) ^ mix(fingerprint(about.as_bytes())) ^ u64::from(kind);
        self.hash.store(mix(self.hash().rotate_left(7) ^ word), Relaxed);
    }

    /// Requests that were handed over and are not answered.
    pub(super) fn handed_count(&self) -> u64 {
        self.handed.lock().unwrap().len() as u64
    }

    /// Answers one of the questions and requests, if there is one: to which shard, and the answer.
    pub(super) fn answer(&self, which: usize, kind: usize) -> Option<(u16, Letter)> {
        let mut asked = self.asked.lock().unwrap();
        let mut handed = self.handed.lock().unwrap();
        let at = which % (asked.len() + handed.len()).max(1);
        if let Some(at) = at.checked_sub(asked.len()).filter(|at| *at < handed.len()) {
            let Handed { receipt, .. } = handed.remove(at);
            let body = "x".repeat(kind % 10 * 4096);
            let response = Some(Box::new(PlainResponse::text("200 OK", &body)));
            return Some((receipt.shard, Letter::Served { receipt, response }));
        }
        let (reply_to, question) = (at < asked.len()).then(|| asked.remove(at))?;
        let no = rejection(kind);
        let verdict = match question {
            Question::ConnectionToken(_) | Question::Connect { .. } | Question::Refresh { .. } => {
                Verdict::Connection(no.map_or_else(|| Ok(Box::new(credentials(kind))), Err))
            }
            Question::SocketConnect { .. } => Verdict::Socket(match no {
                None => {
                    Ok(Box::new(SocketTerms { credentials: credentials(kind), ..SocketTerms::default() }))
                }
                Some(rejected) => Err(SocketRejected { rejected, data: Vec::new() }),
            }),
            Question::SubscriptionToken(_) => {
                let grant = Grant { channel: "c0".to_owned(), ..Grant::default() };
                Verdict::Subscription(no.map_or_else(|| Ok(Box::new(grant)), Err))
            }
            Question::Subscribe { .. } | Question::SubRefresh { .. } => {
                Verdict::Subscription(no.map_or_else(|| Ok(Box::default()), Err))
            }
            Question::Publish { .. } => Verdict::Publish(no.map_or_else(|| Ok(Replaced::default()), Err)),
            Question::SocketEvents { .. } => {
                Verdict::SocketEvents(no.map_or_else(|| Ok("{}".to_owned()), Err))
            }
            Question::Rpc { .. } => Verdict::Rpc(no.map_or_else(|| Ok(b"{}".to_vec().into()), Err)),
        };
        Some((reply_to.shard, Letter::Verdict { reply_to, verdict: Box::new(verdict) }))
    }
}

/// The kinds of refusal; `None` is an acceptance.
fn rejection(kind: usize) -> Option<Rejected> {
    Some(match kind % 10 {
        3 => Rejected::Denied(Denied::NotPermitted),
        4 => Rejected::Denied(Denied::Internal),
        5 => Rejected::Denied(Denied::Custom { code: 1000, message: "no".into(), temporary: false }),
        6 => Rejected::Denied(Denied::Custom { code: 1001, message: "later".into(), temporary: true }),
        7 => Rejected::Disconnect { code: 4500, reason: "out".to_owned() },
        8 => Rejected::TokenExpired,
        9 => Rejected::TokenInvalid,
        _ => return None,
    })
}

/// An anonymous client, a user, or one with a channel that does not exist.
fn credentials(kind: usize) -> Credentials {
    let with = |user: &str, channels: &[&str]| Credentials {
        user: user.to_owned(),
        channels: channels.iter().map(|&name| (name.to_owned(), Grant::default())).collect(),
        ..Credentials::default()
    };
    match kind % 10 {
        0 => with("", &[]),
        1 => with("ann", &["h:2", "c1"]),
        _ => with("ann", &["nowhere:x"]),
    }
}

impl Desk for Backend {
    fn hand_over(&self, requests: &mut Vec<Handed>) {
        for Handed { request, body, .. } in &*requests {
            assert!(request.path.starts_with("/api") && request.is_trusted || request.path == "/health");
            assert!(body.len() <= BODY_BYTES_MAX, "{} bytes of a body", body.len());
            let word = fingerprint(request.path.as_bytes()) ^ mix(fingerprint(body));
            self.hash.store(mix(self.hash().rotate_left(7) ^ word), Relaxed);
        }
        self.handed.lock().unwrap().append(requests);
    }
}

impl Outside for Backend {
    fn verify_now(&self, token: &Token<'_>, _: u64) -> Option<Verdict> {
        let (text, is_connection) = match token {
            Token::Connection(text) => (text, true),
            Token::Subscription(text) => (text, false),
        };
        let (word, of) = text.split_once(' ').unwrap_or((text, ""));
        let no = match word {
            "slow" | "busy" => return None,
            "ok" | "nowhere" => None,
            "expired" => Some(Rejected::TokenExpired),
            "denied" => Some(Rejected::Denied(Denied::NotPermitted)),
            "out" => Some(Rejected::Disconnect { code: 4500, reason: "out".to_owned() }),
            _ => Some(Rejected::TokenInvalid),
        };
        Some(if is_connection {
            let who = if word == "nowhere" { credentials(2) } else { credentials(0) };
            let who = if word == "ok" { Credentials { user: of.to_owned(), ..who } } else { who };
            Verdict::Connection(no.map_or_else(|| Ok(Box::new(who)), Err))
        } else {
            let grant = Grant { channel: of.to_owned(), ..Grant::default() };
            Verdict::Subscription(no.map_or_else(|| Ok(Box::new(grant)), Err))
        })
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        let mut asked = self.asked.lock().unwrap();
        let is_refused = matches!(&question, Question::ConnectionToken(token) if token == "busy");
        if is_refused || self.is_narrow && asked.len() >= FEW {
            return Err(Busy);
        }
        self.note(&question);
        asked.push((reply_to, question));
        Ok(())
    }

    fn tell_states(&self, _: Vec<StateChange>) {}

    fn has_hook(&self, hook: Hook) -> bool {
        hook != Hook::Connect || self.hooks_connect
    }
}
