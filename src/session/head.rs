//! The first phase of every connection: a request arrives, and says what the connection becomes.
//!
//! A head that comes in one piece, the usual case, is parsed where it lies; only one in pieces is kept, and one whose
//! body is still arriving.

use super::endpoint::{self, Opened};
use super::raw::{Handler, Peer, Raw};
use super::{CloseReason, Context, Forwarded, Session};
use crate::proto::forwarded;
use crate::proto::http::{Refusal, Request, Status};
use crate::proto::ws::handshake::Upgrade;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Head(Option<Box<Held>>);

/// Bytes of a head in pieces. In a box, so that a session without them is small.
#[derive(Debug)]
struct Held(Vec<u8>);

/// What the head led to.
#[derive(Debug)]
pub(super) struct Next<S> {
    pub(super) session: Session<S>,
    /// Whether the session goes on.
    pub(super) outcome: Result<(), CloseReason>,
    /// What the session was told with the request.
    pub(super) first: Option<Vec<u8>>,
    pub(super) rest: Rest,
}

/// Where the bytes behind the request are.
#[derive(Debug)]
pub(super) enum Rest {
    /// In the input, from this position.
    Input(usize),
    /// Taken out of what was kept.
    Held(Vec<u8>),
}

/// What a request led to, and the length of that request.
type Begun<S> = (Opening<S>, usize);

/// A session, and what it was told with the request.
struct Opening<S> {
    session: Session<S>,
    /// Whether it goes on: a handler may have sent more than may wait.
    outcome: Result<(), CloseReason>,
    first: Option<Vec<u8>>,
}

impl<S> Opening<S> {
    fn new(session: Session<S>) -> Self {
        Self { session, outcome: Ok(()), first: None }
    }
}

const NOT_FOUND: Refusal = Refusal::new(Status::NotFound, "no endpoint has this path");
const NO_BODY: Refusal = Refusal::new(Status::BadRequest, "a request body is not accepted here");
const TOO_LARGE: Refusal = Refusal::new(Status::ContentTooLarge, "the request body is too large");

impl Head {
    pub(super) fn receive<H: Handler>(
        &mut self,
        input: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<Option<Next<H::State>>, CloseReason> {
        let Some(held) = &mut self.0 else {
            let Some((Opening { session, outcome, first }, length)) = open(input, handler, cx)? else {
                if !input.is_empty() {
                    self.0 = Some(Box::new(Held(input.to_vec())));
                }
                return Ok(None);
            };
            return Ok(Some(Next { session, outcome, first, rest: Rest::Input(length) }));
        };
        let Held(held) = held.as_mut();
        held.extend_from_slice(input);
        let Some((Opening { session, outcome, first }, length)) = open(held, handler, cx)? else {
            return Ok(None);
        };
        let rest = Rest::Held(held.split_off(length));
        Ok(Some(Next { session, outcome, first, rest }))
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.0.capacity())
    }
}

/// Parses the request; when it is whole, answers it and returns the session that it opens, and its length.
fn open<H: Handler>(
    bytes: &[u8],
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Option<Begun<H::State>>, CloseReason> {
    let (request, length) = match Request::parse(bytes, cx.settings.head_bytes_max) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(None),
        Err(refusal) => return refuse(refusal, cx),
    };
    if cx.forwarded != Forwarded::Ignored {
        cx.forwarded = Forwarded::For(forwarded::client(&request, &cx.settings.trusted_proxies));
    }
    let endpoints = &cx.settings.endpoints;
    if !endpoint::is_served(endpoints, handler, request.path) {
        return refuse(NOT_FOUND, cx);
    }
    let body_length = request.body_length();
    let takes_body = request.method == "POST" && endpoints.at(request.path).is_some();
    if body_length > 0 && !takes_body {
        return refuse(NO_BODY, cx);
    }
    if body_length > cx.settings.ws.message_bytes_max {
        return refuse(TOO_LARGE, cx);
    }
    let Some(body) = bytes.get(length..length + body_length) else { return Ok(None) };
    let before = cx.out.len();
    let opened = match endpoints.at(request.path) {
        Some(kind) => endpoints.open(kind, &request, body, cx).map(|opened| match opened {
            Opened::Session(session, first) => {
                Opening { first, ..Opening::new(Session::Centrifuge(session)) }
            }
            Opened::Answered => {
                cx.counts.requests += 1;
                Opening::new(Session::new())
            }
        }),
        None => open_raw(&request, handler, cx),
    };
    match opened {
        Ok(opening) => {
            if opening.session.is_head() && request.has_token("connection", "close") {
                return Err(CloseReason::Answered);
            }
            Ok(Some((opening, length + body_length)))
        }
        Err(refusal) => {
            cx.out.truncate(before);
            cx.actions.clear();
            refuse(refusal, cx)
        }
    }
}

fn refuse<T>(refusal: Refusal, cx: &mut Context<'_>) -> Result<T, CloseReason> {
    refusal.write(cx.out);
    Err(CloseReason::Refused(refusal))
}

fn open_raw<H: Handler>(
    request: &Request<'_>,
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Opening<H::State>, Refusal> {
    cx.settings.endpoints.check_origin(request)?;
    let upgrade = Upgrade::parse(request, handler.subprotocols(), cx.press.is_on())?;
    // The answer must stand before anything that the handler sends while it opens.
    upgrade.write(cx.out);
    let deflate = upgrade.deflate();
    let mut peer = Peer::bounded(cx, deflate);
    let state = handler.open(request, upgrade.subprotocol, &mut peer)?;
    let outcome = peer.outcome();
    Ok(Opening { outcome, ..Opening::new(Session::Raw(Raw::new(state, deflate))) })
}
