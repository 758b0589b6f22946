//! Translation of the protocol's commands into [`Ask`]s; and deferred commands.

use std::borrow::Cow;
use std::sync::Arc;

use super::Opening;
use crate::hub::words::{Ask, Enter, Identify};
use crate::hub::{DataKind, Position};
use crate::proto::centrifuge::message::{
    Connect, Encoding, FLAG_COMPACTION, FLAG_UNRECOVERABLE_ERROR, HistoryRequest, Request, Subscribe,
};

/// The request of a command to the shard; `None` for a command that needs no shard.
pub(super) fn ask_of(request: Request<'_>, encoding: Encoding) -> Option<Ask> {
    Some(match request {
        Request::Subscribe(subscribe) => Ask::Enter(Box::new(enter(*subscribe))),
        Request::Unsubscribe { channel } => Ask::Leave { channel: name(&channel) },
        Request::Publish { channel, data: Some(data) } => {
            let kind = match encoding {
                Encoding::Json => DataKind::Json,
                Encoding::Protobuf => DataKind::Binary,
            };
            Ask::Publish { channel: name(&channel), kind, data: data.into_owned() }
        }
        Request::Presence { channel } => Ask::Presence { channel: name(&channel) },
        Request::PresenceStats { channel } => Ask::PresenceStats { channel: name(&channel) },
        Request::History(HistoryRequest { channel, limit, since, reverse }) => {
            let since = since.map(|(offset, epoch)| Position { offset, epoch: epoch.into() });
            // A negative limit means all.
            Ask::History { channel: name(&channel), limit: usize::try_from(limit).ok(), since, reverse }
        }
        Request::Rpc { method, data } => Ask::Call { method: method.into_owned(), data: data.into_owned() },
        Request::Refresh { token } => Ask::Renew { token },
        Request::SubRefresh { channel, token } => Ask::RenewIn { channel: channel.into(), token },
        Request::Publish { data: None, .. }
        | Request::Connect(_)
        | Request::Pong
        | Request::Ping
        | Request::Send { .. }
        | Request::Unknown
        | Request::Malformed => return None,
    })
}

fn name(channel: &str) -> Arc<str> {
    Arc::from(channel)
}

/// The request of a connect command, with the data of the HTTP request that opened the connection. The command's
/// token takes precedence over a cookie's.
pub(super) fn identify(connect: Connect, opening: Option<&Opening>) -> Ask {
    let Connect { mut token, data, name, version, headers, subs } = connect;
    let mut request_headers = Vec::new();
    if let Some(opening) = opening {
        request_headers.clone_from(&opening.headers);
        if token.is_empty() {
            token.clone_from(&opening.token);
        }
    }
    let enters = subs.into_iter().map(enter).collect();
    Ask::Identify(Box::new(Identify { token, data, name, version, headers, request_headers, enters }))
}

fn enter(subscribe: Subscribe) -> Enter {
    let Subscribe { channel, token, data, recover, epoch, offset, .. } = subscribe;
    let Subscribe { positioned, recoverable, join_leave, delta, filter, flag, .. } = subscribe;
    Enter {
        channel: channel.into(),
        token,
        data,
        since: recover.then(|| Position { offset, epoch: epoch.into() }),
        wants_position: positioned,
        wants_recovery: recoverable,
        needs_recovery: flag & FLAG_UNRECOVERABLE_ERROR != 0,
        wants_joins: join_leave,
        takes_deltas: delta == "fossil",
        takes_numbers: flag & FLAG_COMPACTION != 0,
        filter,
        info: None,
    }
}

/// A command that is not executed yet, because others precede it.
#[derive(Debug, PartialEq)]
pub struct WaitingCommand {
    pub(super) request: Request<'static>,
    /// Whether a connect command precedes it in its frame.
    pub(super) is_behind_connect: bool,
    /// Whether the session executes or refuses it without its shard.
    is_done_here: bool,
}

impl WaitingCommand {
    /// A copy of the command that does not borrow its frame.
    pub(super) fn new(request: Request<'_>, name_bytes_max: usize) -> Self {
        let is_done_here = is_done_here(&request, name_bytes_max);
        Self { request: owned(request), is_behind_connect: false, is_done_here }
    }

    /// Whether the reply may be large, as for [`Ask::is_whole`].
    pub fn is_whole(&self) -> bool {
        matches!(self.request, Request::History(_) | Request::Presence { .. })
    }

    /// The channel to subscribe to, for a subscribe command.
    pub fn enters(&self) -> Option<&str> {
        if let Request::Subscribe(subscribe) = &self.request { Some(&subscribe.channel) } else { None }
    }

    /// The channel of the command, if it has one.
    pub fn channel(&self) -> Option<&str> {
        channel_of(&self.request)
    }

    /// Whether the command may have to be answered outside the shards, as for [`Ask::may_ask`].
    pub fn may_ask(&self) -> bool {
        match &self.request {
            Request::Unsubscribe { .. }
            | Request::Pong
            | Request::Ping
            | Request::Send { .. }
            | Request::Unknown
            | Request::Malformed => false,
            Request::Connect(_)
            | Request::Subscribe(_)
            | Request::Publish { .. }
            | Request::Presence { .. }
            | Request::PresenceStats { .. }
            | Request::History(_)
            | Request::Rpc { .. }
            | Request::Refresh { .. }
            | Request::SubRefresh { .. } => true,
        }
    }

    /// Whether the channel's home executes it, as for [`Ask::is_for_home`].
    pub fn is_for_home(&self) -> bool {
        match &self.request {
            Request::Subscribe(_)
            | Request::Publish { data: Some(_), .. }
            | Request::Presence { .. }
            | Request::PresenceStats { .. }
            | Request::History(_) => !self.is_done_here,
            Request::Publish { data: None, .. }
            | Request::Connect(_)
            | Request::Unsubscribe { .. }
            | Request::Rpc { .. }
            | Request::Refresh { .. }
            | Request::SubRefresh { .. }
            | Request::Pong
            | Request::Ping
            | Request::Send { .. }
            | Request::Unknown
            | Request::Malformed => false,
        }
    }

    /// Heap bytes, beside its own size.
    pub fn owned_bytes(&self) -> usize {
        self.request.owned_bytes()
    }
}

/// Whether the session executes or refuses the request without its shard.
pub(super) fn is_done_here(request: &Request<'_>, name_bytes_max: usize) -> bool {
    let is_named = channel_of(request).is_none_or(|name| !name.is_empty() && name.len() <= name_bytes_max);
    match request {
        Request::Ping
        | Request::Send { .. }
        | Request::Rpc { .. }
        | Request::Unknown
        | Request::Malformed
        | Request::Publish { data: None, .. } => true,
        Request::Subscribe(subscribe) if subscribe.kind != 0 => true,
        Request::Pong | Request::Connect(_) => false,
        Request::Subscribe(_)
        | Request::Unsubscribe { .. }
        | Request::Publish { .. }
        | Request::Presence { .. }
        | Request::PresenceStats { .. }
        | Request::History(_)
        | Request::Refresh { .. }
        | Request::SubRefresh { .. } => !is_named,
    }
}

/// The channel of a request.
pub(super) fn channel_of<'r>(request: &'r Request<'_>) -> Option<&'r str> {
    match request {
        Request::Subscribe(subscribe) => Some(&subscribe.channel),
        Request::Unsubscribe { channel }
        | Request::Publish { channel, .. }
        | Request::Presence { channel }
        | Request::PresenceStats { channel }
        | Request::History(HistoryRequest { channel, .. }) => Some(channel),
        Request::SubRefresh { channel, .. } => Some(channel),
        Request::Pong
        | Request::Connect(_)
        | Request::Ping
        | Request::Send { .. }
        | Request::Rpc { .. }
        | Request::Refresh { .. }
        | Request::Unknown
        | Request::Malformed => None,
    }
}

/// A copy of the request that does not borrow its frame.
fn owned(request: Request<'_>) -> Request<'static> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    let bytes = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
    match request {
        Request::Pong => Request::Pong,
        Request::Connect(connect) => Request::Connect(connect),
        Request::Subscribe(subscribe) => Request::Subscribe(subscribe),
        Request::Unsubscribe { channel } => Request::Unsubscribe { channel: text(channel) },
        Request::Publish { channel, data } => {
            Request::Publish { channel: text(channel), data: data.map(bytes) }
        }
        Request::Presence { channel } => Request::Presence { channel: text(channel) },
        Request::PresenceStats { channel } => Request::PresenceStats { channel: text(channel) },
        Request::History(HistoryRequest { channel, limit, since, reverse }) => {
            Request::History(HistoryRequest { channel: text(channel), limit, since, reverse })
        }
        Request::Ping => Request::Ping,
        Request::Send { data } => Request::Send { data: bytes(data) },
        Request::Rpc { method, data } => Request::Rpc { method: text(method), data: bytes(data) },
        Request::Refresh { token } => Request::Refresh { token },
        Request::SubRefresh { channel, token } => Request::SubRefresh { channel, token },
        Request::Unknown => Request::Unknown,
        Request::Malformed => Request::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of each command, in the encoding of the connection.
    #[test]
    fn commands_become_asks() {
        let channel = || Cow::Borrowed("a");
        let publish = || Request::Publish { channel: channel(), data: Some(Cow::Borrowed(b"1")) };
        for (encoding, kind) in [(Encoding::Json, DataKind::Json), (Encoding::Protobuf, DataKind::Binary)] {
            let ask = Ask::Publish { channel: "a".into(), kind, data: b"1".to_vec() };
            assert_eq!(ask_of(publish(), encoding), Some(ask));
        }
        for (limit, expected) in [(-1, None), (0, Some(0)), (7, Some(7))] {
            let since = Some((3, "e".to_owned()));
            let request =
                Request::History(HistoryRequest { channel: channel(), limit, since, reverse: true });
            let since = Some(Position { offset: 3, epoch: "e".into() });
            let ask = Ask::History { channel: "a".into(), limit: expected, since, reverse: true };
            assert_eq!(ask_of(request, Encoding::Json), Some(ask));
        }
        for request in [Request::Pong, Request::Ping, Request::Unknown, Request::Malformed] {
            assert_eq!(ask_of(request, Encoding::Json), None);
        }
    }

    #[test]
    fn a_subscribe_command_says_how_it_enters() {
        let plain = Subscribe { channel: "a".to_owned(), ..Subscribe::default() };
        assert_eq!(enter(plain.clone()), Enter::new("a".into()));
        let flag = FLAG_COMPACTION | FLAG_UNRECOVERABLE_ERROR;
        let (delta, epoch) = ("fossil".to_owned(), "e".to_owned());
        let all = enter(Subscribe { recover: true, offset: 3, epoch, delta, flag, ..plain.clone() });
        assert_eq!(all.since, Some(Position { offset: 3, epoch: "e".into() }));
        assert!(all.takes_deltas && all.takes_numbers && all.needs_recovery);
        // A position counts only with `recover`, and a kind of delta only if it is known.
        let none = enter(Subscribe { offset: 3, delta: "other".to_owned(), ..plain });
        assert_eq!((none.since, none.takes_deltas), (None, false));
    }

    #[test]
    fn the_commands_token_goes_before_the_cookies() {
        let headers = vec![("x".to_owned(), "y".to_owned())];
        let opening = Opening { headers: headers.clone(), token: "cookie".to_owned(), held: None };
        for (said, expected) in [("", "cookie"), ("own", "own")] {
            let connect = Connect { token: said.to_owned(), ..Connect::default() };
            let Ask::Identify(identify) = identify(connect, Some(&opening)) else { panic!() };
            assert_eq!((&*identify.token, &identify.request_headers), (expected, &headers));
        }
    }

    /// A reply of the session itself must not overtake the shard's replies to earlier commands.
    #[test]
    fn what_needs_no_shard_is_known_before_it_is_done() {
        let named = |channel: &'static str| Request::Presence { channel: Cow::Borrowed(channel) };
        for (request, expected) in [
            (Request::Ping, true),
            (Request::Unknown, true),
            (Request::Malformed, true),
            (Request::Publish { channel: Cow::Borrowed("a"), data: None }, true),
            (Request::Publish { channel: Cow::Borrowed("a"), data: Some(Cow::Borrowed(b"1")) }, false),
            (Request::Pong, false),
            (
                Request::Subscribe(Box::new(Subscribe {
                    channel: "a".to_owned(),
                    kind: 1,
                    ..Subscribe::default()
                })),
                true,
            ),
            (named(""), true),
            (named("aaa"), false),
            (named("aaaa"), true),
        ] {
            assert_eq!(is_done_here(&request, 3), expected, "{request:?}");
        }
    }

    #[test]
    fn what_waits_tells_what_it_is_about() {
        let subscribe = Subscribe { channel: "a".to_owned(), ..Subscribe::default() };
        let subscribe = WaitingCommand::new(Request::Subscribe(Box::new(subscribe)), 255);
        assert_eq!((subscribe.enters(), subscribe.channel()), (Some("a"), Some("a")));
        let history = HistoryRequest { channel: Cow::Borrowed("b"), ..HistoryRequest::default() };
        let history = WaitingCommand::new(Request::History(history), 255);
        assert!(history.is_whole() && history.enters().is_none() && history.may_ask());
        assert!(history.is_for_home() && subscribe.is_for_home());
        assert_eq!(history.channel(), Some("b"));
        for channel in ["", "four"] {
            let refused = Request::Presence { channel: Cow::Borrowed(channel) };
            assert!(!WaitingCommand::new(refused, 3).is_for_home(), "the session refuses it");
        }
        let ping = WaitingCommand::new(Request::Ping, 255);
        assert!(!ping.is_whole() && !ping.may_ask() && !ping.is_for_home() && ping.channel().is_none());
    }
}
