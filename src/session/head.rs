//! The first phase of every connection: a request head arrives, and says what the connection becomes.
//!
//! A head that comes in one piece, the usual case, is parsed where it lies; only one in pieces is kept.

use super::centrifuge::Centrifuge;
use super::raw::{Handler, Peer, Raw};
use super::{CloseReason, Context, Session};
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
    pub(super) rest: Rest,
}

/// Where the bytes behind the head are.
#[derive(Debug)]
pub(super) enum Rest {
    /// In the input, from this position.
    Input(usize),
    /// Taken out of what was kept.
    Held(Vec<u8>),
}

const NOT_FOUND: Refusal = Refusal::new(Status::NotFound, "no endpoint has this path");

impl Head {
    pub(super) fn receive<H: Handler>(
        &mut self,
        input: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<Option<Next<H::State>>, CloseReason> {
        let bytes_max = cx.settings.head_bytes_max;
        let Some(held) = &mut self.0 else {
            let Some((session, length)) = open(input, bytes_max, handler, cx)? else {
                self.0 = Some(Box::new(Held(input.to_vec())));
                return Ok(None);
            };
            return Ok(Some(Next { session, rest: Rest::Input(length) }));
        };
        let Held(held) = held.as_mut();
        held.extend_from_slice(input);
        let Some((session, length)) = open(held, bytes_max, handler, cx)? else { return Ok(None) };
        let rest = Rest::Held(held.split_off(length));
        Ok(Some(Next { session, rest }))
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.0.capacity())
    }
}

/// A session and the length of the head that opened it.
type Opened<S> = (Session<S>, usize);

/// Parses the head; when it is whole, answers it and returns the session that it opens, and its length.
fn open<H: Handler>(
    bytes: &[u8],
    bytes_max: usize,
    handler: &mut H,
    cx: &mut Context<'_>,
) -> Result<Option<Opened<H::State>>, CloseReason> {
    let refuse = |refusal: Refusal, cx: &mut Context<'_>| {
        refusal.write(cx.out);
        Err(CloseReason::Refused(refusal))
    };
    let (request, length) = match Request::parse(bytes, bytes_max) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(None),
        Err(refusal) => return refuse(refusal, cx),
    };
    let session = if cx.settings.websocket_path.as_deref() == Some(request.path) {
        match Upgrade::parse(&request, &[]) {
            Ok(upgrade) => upgrade.write(cx.out),
            Err(refusal) => return refuse(refusal, cx),
        }
        Session::Centrifuge(Centrifuge::default())
    } else if handler.serves(request.path) {
        let upgrade = match Upgrade::parse(&request, handler.subprotocols()) {
            Ok(upgrade) => upgrade,
            Err(refusal) => return refuse(refusal, cx),
        };
        // The answer must stand before anything that the handler sends while it opens.
        let before = cx.out.len();
        upgrade.write(cx.out);
        match handler.open(&request, upgrade.subprotocol, &mut Peer::new(cx)) {
            Ok(state) => Session::Raw(Raw::new(state)),
            Err(refusal) => {
                cx.out.truncate(before);
                cx.actions.clear();
                return refuse(refusal, cx);
            }
        }
    } else {
        return refuse(NOT_FOUND, cx);
    };
    Ok(Some((session, length)))
}
