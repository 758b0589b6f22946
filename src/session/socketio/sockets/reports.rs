//! Reports to the application's hook of sockets that have ended.

use super::{About, Entry, Stage};
use crate::hub::words::Ask;
use crate::session::socketio::SocketId;
use crate::session::socketio::events::Why;
use crate::session::socketio::hook::Of;
use crate::session::{Action, ClientId, Settings};

/// Reports the end of a socket, if its client was told that it is connected.
pub(super) fn report_end<S>(
    entry: &Entry<S>,
    client: ClientId,
    why: Why<'_>,
    (settings, actions): (&Settings, &mut Vec<Action>),
) {
    if entry.stage != Stage::Entering {
        let id = SocketId::of(entry.place(client), client.seed);
        report(entry.about.as_deref(), (id, client), (why, false), (settings, actions));
    }
}

/// Reports the end of a socket, with its last connection, the reason, and whether it was kept for its client, which has not
/// returned.
pub(super) fn report(
    about: Option<&About>,
    (id, client): (SocketId, ClientId),
    (why, was_kept): (Why<'_>, bool),
    (settings, actions): (&Settings, &mut Vec<Action>),
) {
    if !settings.socketio.reports_ends {
        return;
    }
    let identity = about.and_then(|about| about.identity.as_deref());
    let of = Of {
        sid: id.as_str(),
        namespace: About::name(about),
        user: identity.map_or("", |identity| &identity.user),
        state: About::state(about),
    };
    actions.push(Action::Ask { id: 0, ask: Ask::Ended(Box::new(of.ends(client, why, was_kept))) });
}
