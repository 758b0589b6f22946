//! The first phase of every connection: an HTTP request arrives and determines the kind of session.
//!
//! A head in one piece, the usual case, is parsed in place; only an incomplete head is kept, or one whose body is
//! still arriving. Such a request is parsed once more when the body is complete.

use super::desk::{Away, Denied, Route};
use super::endpoint::{Opened, Serves};
use super::raw::{Handler, Medium, Peer, Raw};
use super::{Action, CloseReason, Context, Forwarded, Note, Session};
use crate::proto::chunked::{Decoder, Flaw};
use crate::proto::engine::EngineRefusal;
use crate::proto::forwarded;
use crate::proto::http::{Framing, Refusal, Request, Status};
use crate::proto::ws::handshake::Upgrade;

/// A connection with an incomplete HTTP request.
#[derive(Debug, Default)]
pub struct Head {
    held: Option<Box<Held>>,
    standing: Standing,
}

/// The standing of a connection after its earlier requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// There was no request yet.
    #[default]
    New,
    /// A request was answered.
    Answered,
    /// A request had a valid key.
    Trusted,
}

impl Standing {
    /// The higher of two standings.
    pub(super) fn max_of(self, other: Self) -> Self {
        if self as u8 >= other as u8 { self } else { other }
    }
}

/// The received part of an incomplete request. Boxed, so that a session without one is small.
#[derive(Debug)]
struct Held {
    /// The head, and the received part of a body with a length.
    bytes: Vec<u8>,
    /// The missing body, if the head is complete.
    awaited: Option<Awaited>,
}

/// A missing body.
#[derive(Debug)]
struct Awaited {
    body: AwaitedBody,
    /// Header lines for a later refusal of the request.
    cors: String,
}

#[derive(Debug)]
enum AwaitedBody {
    /// The body is complete at this number of bytes, including the head's.
    Until(usize),
    /// The body comes in chunks.
    Chunks(Decoder),
}

/// The result of a head.
#[derive(Debug)]
pub(super) struct Next<S> {
    pub(super) session: Session<S>,
    /// Whether the session continues.
    pub(super) outcome: Result<(), CloseReason>,
    /// The messages in the request.
    pub(super) first: Option<Vec<u8>>,
    pub(super) rest: Rest,
}

/// The place of the bytes behind the request.
#[derive(Debug)]
pub(super) enum Rest {
    /// In the input, from this position.
    Input(usize),
    /// In these bytes, taken from the kept ones.
    Held(Vec<u8>),
}

/// A session, and the messages in its request.
struct Opening<S> {
    session: Session<S>,
    /// Whether it continues: a handler may have sent more than the limit of queued bytes.
    outcome: Result<(), CloseReason>,
    first: Option<Vec<u8>>,
}

impl<S> Opening<S> {
    fn new(session: Session<S>) -> Self {
        Self { session, outcome: Ok(()), first: None }
    }

    fn next(self, rest: Rest) -> Next<S> {
        let Self { session, outcome, first } = self;
        Next { session, outcome, first, rest }
    }
}

/// The progress of a request.
enum Progress<S> {
    /// The head is incomplete.
    NoHead,
    /// This part of the body is missing; the head has so many bytes.
    NoBody(Awaited, usize),
    /// The request is complete and answered; so many bytes were consumed.
    Done(Opening<S>, usize),
}

const NOT_FOUND: Refusal = Refusal::new(Status::NotFound, "no endpoint has this path");
const NO_BODY: Refusal = Refusal::new(Status::BadRequest, "a request body is not accepted here");
const USE_GET: Refusal = Refusal::new(Status::MethodNotAllowed, "use GET");
const TOO_LARGE: Refusal = Refusal::new(Status::ContentTooLarge, "the request body is too large");
const NO_CHUNKS: Refusal = Refusal::new(Status::BadRequest, "the chunks of the body cannot be read");
/// The interim response 100 (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Head {
    /// The head of a connection after an answered request: another one may follow.
    pub(super) fn kept() -> Self {
        Self { held: None, standing: Standing::Answered }
    }

    /// The head of a connection that may send another request, with its standing.
    pub(super) fn after(standing: Standing) -> Self {
        Self { held: None, standing: standing.max_of(Standing::Answered) }
    }

    /// The standing of earlier requests.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Keeps the standing of earlier requests.
    pub(super) fn inherit(&mut self, standing: Standing) {
        self.standing = self.standing.max_of(standing);
    }

    /// Whether no input is expected: a request was answered, and none has begun since.
    pub(super) fn is_idle(&self) -> bool {
        self.standing != Standing::New && self.held.is_none()
    }

    /// Header lines with which a page may read the refusal of its incomplete request.
    pub(super) fn cors(&self) -> &str {
        self.held.as_ref().and_then(|held| held.awaited.as_ref()).map_or("", |awaited| &awaited.cors)
    }

    pub(super) fn receive<H: Handler>(
        &mut self,
        input: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<Option<Next<H::State>>, CloseReason> {
        let Some(held) = &mut self.held else {
            let (awaited, head_bytes) = match open(input, None, handler, cx)? {
                Progress::Done(opening, length) => return Ok(Some(opening.next(Rest::Input(length)))),
                Progress::NoHead if input.is_empty() => return Ok(None),
                Progress::NoHead => (None, input.len()),
                Progress::NoBody(awaited, head_bytes) => (Some(awaited), head_bytes),
            };
            // Chunks are kept without their framing, other bodies unchanged.
            let kept_bytes = if is_chunked(awaited.as_ref()) { head_bytes } else { input.len() };
            self.held = Some(Box::new(Held { bytes: input[..kept_bytes].to_vec(), awaited }));
            return self.receive_body(&input[kept_bytes..], kept_bytes, handler, cx);
        };
        if held.awaited.is_some() {
            return self.receive_body(input, 0, handler, cx);
        }
        held.bytes.extend_from_slice(input);
        match open(&held.bytes, None, handler, cx)? {
            Progress::Done(opening, length) => {
                Ok(Some(opening.next(Rest::Held(held.bytes.split_off(length)))))
            }
            Progress::NoHead => Ok(None),
            Progress::NoBody(awaited, head_bytes) => {
                let is_chunked = is_chunked(Some(&awaited));
                held.awaited = Some(awaited);
                if !is_chunked {
                    return Ok(None);
                }
                // The chunks behind the head's end are a part of this input.
                let behind = held.bytes.len() - head_bytes;
                held.bytes.truncate(head_bytes);
                let at = input.len() - behind;
                self.receive_body(&input[at..], at, handler, cx)
            }
        }
    }

    /// Takes more of a missing body. `at` is the offset of these bytes in the input.
    fn receive_body<H: Handler>(
        &mut self,
        bytes: &[u8],
        at: usize,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<Option<Next<H::State>>, CloseReason> {
        let Some(Held { bytes: kept, awaited: Some(Awaited { body, cors }) }) = self.held.as_deref_mut()
        else {
            return Ok(None);
        };
        let (progress, rest) = match body {
            AwaitedBody::Until(length) => {
                kept.extend_from_slice(bytes);
                if kept.len() < *length {
                    return Ok(None);
                }
                let rest = Rest::Held(kept.split_off(*length));
                (open(kept, None, handler, cx)?, rest)
            }
            AwaitedBody::Chunks(decoder) => {
                let length = match decoder.receive(bytes) {
                    Ok(length) => length,
                    Err(Flaw::Syntax) => return refuse(NO_CHUNKS, cors, cx),
                    Err(Flaw::TooLarge) => return refuse(TOO_LARGE, cors, cx),
                };
                if !decoder.is_done() {
                    return Ok(None);
                }
                (open(kept, Some(decoder.data()), handler, cx)?, Rest::Input(at + length))
            }
        };
        match progress {
            Progress::Done(opening, _) => Ok(Some(opening.next(rest))),
            Progress::NoHead | Progress::NoBody(..) => Ok(None),
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| {
            let chunks = match &held.awaited {
                Some(Awaited { body: AwaitedBody::Chunks(decoder), .. }) => decoder.held_bytes(),
                Some(_) | None => 0,
            };
            held.bytes.capacity() + chunks
        })
    }
}

fn is_chunked(awaited: Option<&Awaited>) -> bool {
    awaited.is_some_and(|awaited| matches!(awaited.body, AwaitedBody::Chunks(_)))
}

/// Parses the request; when it is complete, answers it and returns the session that it opens. `chunks` is the decoded
/// content of the chunks behind the head.
fn open<H: Handler>(
    bytes: &[u8],
    chunks: Option<&[u8]>,
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Progress<H::State>, CloseReason> {
    let (request, head_bytes) = match Request::parse(bytes, cx.settings.head_bytes_max) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(Progress::NoHead),
        Err(refusal) => return refuse(refusal, "", cx),
    };
    if cx.forwarded != Forwarded::Ignored {
        match forwarded::client(&request, &cx.settings.trusted_proxies) {
            Ok(client) => cx.forwarded = Forwarded::For(client),
            Err(refusal) => return refuse(refusal, "", cx),
        }
    }
    let settings = cx.settings;
    let endpoints = &settings.endpoints;
    let kind = endpoints.at(request.path);
    if kind.is_none() && !handler.serves(request.path) {
        return match endpoints.routes.find(request.path) {
            Some(route) => open_route(&request, (bytes, head_bytes), route, chunks, cx),
            None => refuse(NOT_FOUND, "", cx),
        };
    }
    let cors = match endpoints.admit(kind, &request) {
        Ok(cors) => cors,
        Err(refusal) => {
            cx.note(|| Note::ForeignOrigin(request.values("origin").collect::<Vec<_>>().join(", ").into()));
            return refuse(refusal, "", cx);
        }
    };
    let awaited = match check_body(&request, kind, head_bytes, cx) {
        Ok(body) => Awaited { body, cors },
        Err(refusal) => return refuse(refusal, &cors, cx),
    };
    let (body, length) = awaited.body.within(bytes, head_bytes, chunks);
    let Some(body) = body else { return Ok(wait_for_body(&request, awaited, (bytes, head_bytes), cx)) };
    answer(&request, kind, body, &awaited.cors, handler, cx).map(|opening| Progress::Done(opening, length))
}

impl AwaitedBody {
    /// The body, if it is complete, and the number of bytes consumed with it.
    fn within<'b>(
        &self,
        bytes: &'b [u8],
        head_bytes: usize,
        chunks: Option<&'b [u8]>,
    ) -> (Option<&'b [u8]>, usize) {
        match self {
            Self::Until(until) => (bytes.get(head_bytes..*until), *until),
            Self::Chunks(_) => (chunks, head_bytes),
        }
    }
}

fn wait_for_body<S>(
    request: &Request<'_>,
    awaited: Awaited,
    (bytes, head_bytes): (&[u8], usize),
    cx: &mut Context<'_>,
) -> Progress<S> {
    // A client that has begun to send the body does not wait for 100 (RFC 9110 §10.1.1).
    if bytes.len() == head_bytes && request.expects_continue().is_ok_and(|waits| waits) {
        cx.out.extend_from_slice(CONTINUE);
    }
    Progress::NoBody(awaited, head_bytes)
}

/// Handles a request that is answered outside the shards. Its key is checked once the head is complete, before the
/// body.
fn open_route<S>(
    request: &Request<'_>,
    (bytes, head_bytes): (&[u8], usize),
    route: &Route,
    chunks: Option<&[u8]>,
    cx: &mut Context<'_>,
) -> Result<Progress<S>, CloseReason> {
    let denied = match route.admit(request) {
        Ok(()) => None,
        Err(Denied::Key(response)) => Some(response),
        Err(Denied::Refused(refusal)) => return refuse(refusal, "", cx),
        Err(Denied::Elsewhere(place)) => {
            NOT_FOUND.write_saying(&place, cx.out);
            return Err(CloseReason::Refused(NOT_FOUND));
        }
    };
    let body = request.expects_continue().and_then(|_| body_of(request, head_bytes, route.body_bytes_max));
    let awaited = match body {
        Ok(body) => Awaited { body, cors: String::new() },
        Err(refusal) => return refuse(refusal, "", cx),
    };
    let (body, length) = awaited.body.within(bytes, head_bytes, chunks);
    let done = |away, length| Ok(Progress::Done(Opening::new(Session::Away(Box::new(away))), length));
    match (denied, body) {
        (Some(response), body) => {
            let away = Away::denied(request, Standing::New, response, body.is_some());
            cx.actions.push(Action::WrongKey);
            done(away, if body.is_some() { length } else { bytes.len() })
        }
        (None, Some(body)) => {
            let plain = route.plain(request, body, &cx.settings.endpoints.routes.headers);
            cx.actions.push(Action::HandOver(Box::new(plain)));
            let standing = if route.is_trusting() { Standing::Trusted } else { Standing::New };
            done(Away::handed(request, standing), length)
        }
        (None, None) => Ok(wait_for_body(request, awaited, (bytes, head_bytes), cx)),
    }
}

/// Checks the declared body of a request against the limits, and returns how it ends.
fn check_body(
    request: &Request<'_>,
    kind: Option<Serves>,
    head_bytes: usize,
    cx: &Context<'_>,
) -> Result<AwaitedBody, Refusal> {
    request.expects_continue()?;
    let framing = request.framing();
    if framing != Framing::Length(0) && !(request.method == "POST" && kind.is_some_and(Serves::takes_post)) {
        return Err(if request.method == "POST" && kind.is_some() { USE_GET } else { NO_BODY });
    }
    let bytes_max = match kind {
        Some(Serves::SocketIo | Serves::EngineIo) => cx.settings.socketio.payload_bytes_max,
        Some(_) | None => cx.settings.ws.message_bytes_max,
    };
    body_of(request, head_bytes, bytes_max)
}

/// How a body of at most so many bytes ends.
fn body_of(request: &Request<'_>, head_bytes: usize, bytes_max: usize) -> Result<AwaitedBody, Refusal> {
    match request.framing() {
        Framing::Length(length) if length > bytes_max => Err(TOO_LARGE),
        Framing::Length(length) => Ok(AwaitedBody::Until(head_bytes + length)),
        Framing::Chunked => Ok(AwaitedBody::Chunks(Decoder::new(bytes_max))),
    }
}

/// Answers a complete request.
fn answer<H: Handler>(
    request: &Request<'_>,
    kind: Option<Serves>,
    body: &[u8],
    cors: &str,
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Opening<H::State>, CloseReason> {
    let before = cx.out.len();
    let opened = match kind {
        Some(kind) => {
            let opened = cx.settings.endpoints.open(kind, request, body, cors, cx);
            opened.and_then(|opened| opening_of(opened, request, cors, handler, cx))
        }
        None => open_raw(request, handler, cx),
    };
    match opened {
        Ok(opening) if matches!(opening.session, Session::Head(_)) && request.is_last() => {
            Err(CloseReason::Answered)
        }
        Ok(opened) => Ok(opened),
        Err(refusal) => {
            cx.out.truncate(before);
            cx.actions.clear();
            refuse(refusal, cors, cx)
        }
    }
}

/// The next session of the connection.
fn opening_of<H: Handler>(
    opened: Opened,
    request: &Request<'_>,
    cors: &str,
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Opening<H::State>, Refusal> {
    Ok(match opened {
        Opened::Session(session, first) => Opening { first, ..Opening::new(Session::Centrifuge(session)) },
        Opened::Engine(opening) => match Session::of_engine(opening, handler, cx) {
            Some((session, outcome)) => Opening { outcome, ..Opening::new(session) },
            None => return Err(Refusal::new(Status::Forbidden, EngineRefusal::Forbidden.message())),
        },
        Opened::Poll(poll) => {
            let away = Away::polling(request, cors, &poll);
            cx.actions.push(Action::Poll(poll));
            Opening::new(Session::Away(Box::new(away)))
        }
        Opened::Upgrade(ask) => {
            cx.actions.push(Action::Upgrade(ask));
            Opening::new(Session::Away(Box::new(Away::upgrading(request))))
        }
        Opened::Answered => {
            cx.counts.requests += 1;
            Opening::new(Session::Head(Head::kept()))
        }
    })
}

fn refuse<T>(refusal: Refusal, cors: &str, cx: &mut Context<'_>) -> Result<T, CloseReason> {
    refusal.write_for_page(cors, cx.out);
    Err(CloseReason::Refused(refusal))
}

fn open_raw<H: Handler>(
    request: &Request<'_>,
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Opening<H::State>, Refusal> {
    let upgrade = Upgrade::parse(request, handler.subprotocols(), cx.press.is_on())?;
    // The answer must stand before anything that the handler sends while it opens.
    upgrade.write(cx.out);
    let deflate = upgrade.deflate();
    let mut peer = Peer::bounded(cx, Medium::Frames(deflate));
    let state = handler.open(request, upgrade.subprotocol, &mut peer)?;
    let outcome = peer.outcome();
    Ok(Opening { outcome, ..Opening::new(Session::Raw(Raw::new(state, deflate))) })
}
