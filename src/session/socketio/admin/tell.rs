//! Events for the admin page, in the shapes that it reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::AdminOptions;
use crate::hub::socket_order::{Gathered, SocketFacts};
use crate::session::Context;
use crate::session::socketio::{EmitError, Socket};

/// Characters of a connection's id that the page shows.
const CLIENT_ID_LENGTH: usize = 13;

/// The `config` event: what the page may ask for, and what it is told.
pub(super) fn features(options: &AdminOptions) -> Value {
    let mut features = Vec::new();
    if !options.is_readonly {
        features.extend(["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"]);
    }
    if options.is_development {
        features.push("ALL_EVENTS");
    }
    json!({ "supportedFeatures": features })
}

/// The `server_stats` event.
pub(super) fn statistics(gathered: &Gathered, cx: &Context<'_>) -> Value {
    let namespaces = gathered.namespaces.iter();
    let namespaces: Vec<_> =
        namespaces.map(|(name, count)| json!({ "name": name, "socketsCount": count })).collect();
    let node = &cx.settings.endpoints.node;
    json!({
        "serverId": node,
        "hostname": node,
        "pid": cx.settings.socketio.admin.pid,
        "uptime": cx.now_ms / 1000,
        "clientsCount": gathered.clients,
        "pollingClientsCount": gathered.polling,
        "aggregatedEvents": [],
        "namespaces": namespaces,
    })
}

/// The `all_sockets` event.
pub(super) fn sockets(sockets: &BTreeMap<Box<str>, SocketFacts>) -> Vec<Value> {
    sockets.values().map(socket).collect()
}

/// The events about the difference between two surveys.
pub(super) fn changes(
    before: &BTreeMap<Box<str>, SocketFacts>,
    now: &BTreeMap<Box<str>, SocketFacts>,
    page: &mut Socket<'_, '_>,
) -> Result<(), EmitError> {
    for (id, facts) in before.iter().filter(|(id, _)| !now.contains_key(*id)) {
        page.emit("socket_disconnected", &(&facts.namespace, id, "transport close"))?;
    }
    for (id, facts) in now {
        let Some(old) = before.get(id) else {
            page.emit("socket_connected", &(socket(facts),))?;
            continue;
        };
        let only = |some: &SocketFacts, other: &SocketFacts| -> Vec<Box<str>> {
            some.rooms.iter().filter(|room| !other.rooms.contains(room)).cloned().collect()
        };
        for room in only(facts, old) {
            page.emit("room_joined", &(&facts.namespace, room, id))?;
        }
        for room in only(old, facts) {
            page.emit("room_left", &(&facts.namespace, room, id))?;
        }
        if (facts.is_polled, &facts.data) != (old.is_polled, &old.data) {
            let transport = transport(facts);
            let news =
                json!({ "id": id, "nsp": facts.namespace, "transport": transport, "data": data(facts) });
            page.emit("socket_updated", &(news,))?;
        }
    }
    Ok(())
}

fn transport(facts: &SocketFacts) -> &'static str {
    if facts.is_polled { "polling" } else { "websocket" }
}

/// The application's data; the page expects an object.
fn data(facts: &SocketFacts) -> Value {
    match serde_json::from_str(&facts.data).unwrap_or_default() {
        Value::Null => json!({}),
        data @ Value::Object(_) => data,
        data @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            json!({ "data": data })
        }
    }
}

fn socket(facts: &SocketFacts) -> Value {
    let query: serde_json::Map<_, _> =
        facts.query.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    let rooms: Vec<&str> = [&*facts.id].into_iter().chain(facts.rooms.iter().map(|room| &**room)).collect();
    json!({
        "id": facts.id,
        "clientId": facts.client.get(..CLIENT_ID_LENGTH).unwrap_or(&facts.client),
        "transport": transport(facts),
        "nsp": facts.namespace,
        "data": data(facts),
        "handshake": {
            "address": facts.address,
            // The page lists them.
            "headers": {},
            "query": query,
            "issued": facts.issued_ms,
        },
        "rooms": rooms,
    })
}

/// A parameter of the query, as it was written.
fn pair(part: &str) -> (String, Value) {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (name.to_owned(), value.into())
}
