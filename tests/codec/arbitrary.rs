//! Arbitrary messages of the protocol, as a mirror, and the codecs' input that must produce them.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use throng::parts::base::payload::PayloadRef;
use throng::parts::proto::centrifuge::message::{
    ChannelRef, ClientInfo, ConnectResult, Data, Publication, Push, SubscribeResult,
};

use crate::mirror;

/// An empty publication.
pub(crate) const PUBLICATION: Publication<'static> = Publication {
    data: Data::Json(b"null"),
    info: None,
    offset: 0,
    tags: &[],
    delta: false,
    takes_deltas: false,
    epoch: "",
    version: 0,
};

/// Lists for values that borrow: the tests' process does not live long.
pub(crate) fn keep<'a, T: 'a>(list: Vec<T>) -> &'a [T] {
    list.leak()
}

fn word() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,4}",
        "[\"\\\\\n\r\té€\u{1f600}\u{0}/<\u{2028}]{1,3}",
        "[a-z]{128}"
    ]
    .boxed()
}

fn json() -> BoxedStrategy<Vec<u8>> {
    const TEXTS: &[&str] =
        &["{}", "null", "0", "-1.50e3", "{\"a\" : [1, \"\\u00e9\\n\"]}", "\"é\"", "[[[]]]"];
    let long = "[ -~]{200}".prop_map(|text| serde_json::to_vec(&text).unwrap());
    prop_oneof![4 => prop::sample::select(TEXTS).prop_map(|text| text.as_bytes().to_vec()), 1 => long].boxed()
}

/// JSON, or nothing.
fn payload() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![Just(Vec::new()), json()].boxed()
}

fn number() -> BoxedStrategy<u64> {
    prop_oneof![Just(0), 1..300u64, any::<u64>()].boxed()
}

fn small() -> BoxedStrategy<u32> {
    prop_oneof![Just(0), 1..300u32, any::<u32>()].boxed()
}

fn signed() -> BoxedStrategy<i64> {
    prop_oneof![Just(0), 1..300i64, any::<i64>()].boxed()
}

fn names() -> BoxedStrategy<BTreeMap<String, String>> {
    btree_map(word(), word(), 0..3).boxed()
}

fn node() -> BoxedStrategy<mirror::FilterNode> {
    let cmp = prop::sample::select(
        &["eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "lt", "lte", "gt", "gte", "", "like"][..],
    );
    let leaf = (cmp, word(), word(), vec(word(), 0..3)).prop_map(|(cmp, key, val, vals)| {
        let (val, vals) = match cmp {
            "in" | "nin" => (String::new(), vals),
            "ex" | "nex" => Default::default(),
            _ => (val, Vec::new()),
        };
        mirror::FilterNode { cmp: cmp.to_owned(), key, val, vals, ..Default::default() }
    });
    leaf.prop_recursive(17, 40, 3, |inner| {
        let op = prop::sample::select(&["and", "or", "not", "xor"][..]);
        (op, vec(inner, 0..3)).prop_map(|(op, nodes)| mirror::FilterNode {
            op: op.to_owned(),
            nodes,
            ..Default::default()
        })
    })
    .boxed()
}

fn subscribe() -> BoxedStrategy<mirror::SubscribeRequest> {
    let texts = (word(), word(), word(), payload(), word());
    let flags = any::<[bool; 4]>();
    (texts, flags, number(), option::of(node()), signed(), any::<i32>())
        .prop_map(|((channel, token, epoch, data, delta), flags, offset, tf, flag, r#type)| {
            let [recover, positioned, recoverable, join_leave] = flags;
            mirror::SubscribeRequest {
                channel,
                token,
                recover,
                epoch,
                offset,
                data,
                positioned,
                recoverable,
                join_leave,
                delta,
                tf,
                flag,
                r#type,
            }
        })
        .boxed()
}

fn connect() -> BoxedStrategy<mirror::ConnectRequest> {
    let subs = btree_map(word(), subscribe(), 0..3);
    (word(), payload(), subs, word(), word(), names(), signed())
        .prop_map(|(token, data, subs, name, version, headers, flag)| mirror::ConnectRequest {
            token,
            data,
            subs,
            name,
            version,
            headers,
            flag,
        })
        .boxed()
}

fn history() -> BoxedStrategy<mirror::HistoryRequest> {
    let since = option::of((number(), word()))
        .prop_map(|since| since.map(|(offset, epoch)| mirror::StreamPosition { offset, epoch }));
    (word(), any::<i32>(), since, any::<bool>())
        .prop_map(|(channel, limit, since, reverse)| mirror::HistoryRequest {
            channel,
            limit,
            since,
            reverse,
        })
        .boxed()
}

/// Mostly with one request, some with several or none.
pub(crate) fn command() -> BoxedStrategy<mirror::Command> {
    let of_channel = || word().prop_map(|channel| mirror::OfChannel { channel });
    // Missing data is a message in Protobuf only, where it equals an empty one.
    let publish = (word(), json()).prop_map(|(channel, data)| mirror::PublishRequest { channel, data });
    let rpc = (payload(), word()).prop_map(|(data, method)| mirror::RpcRequest { data, method });
    let refresh = word().prop_map(|token| mirror::RefreshRequest { token });
    let sub_refresh =
        (word(), word()).prop_map(|(channel, token)| mirror::SubRefreshRequest { channel, token });
    let rare = (
        option::weighted(0.1, connect()),
        option::weighted(0.2, subscribe()),
        option::weighted(0.2, of_channel()),
        option::weighted(0.2, publish),
        option::weighted(0.2, of_channel()),
        option::weighted(0.2, of_channel()),
    );
    let others = (
        option::weighted(0.2, history()),
        option::weighted(0.2, Just(mirror::Empty {})),
        option::weighted(0.2, payload().prop_map(|data| mirror::Payload { data })),
        option::weighted(0.3, rpc),
        option::weighted(0.4, refresh),
        option::weighted(0.5, sub_refresh),
    );
    (small(), rare, others)
        .prop_map(|(id, rare, others)| {
            let (connect, subscribe, unsubscribe, publish, presence, presence_stats) = rare;
            let (history, ping, send, rpc, refresh, sub_refresh) = others;
            mirror::Command {
                id,
                connect,
                subscribe,
                unsubscribe,
                publish,
                presence,
                presence_stats,
                history,
                ping,
                send,
                rpc,
                refresh,
                sub_refresh,
            }
        })
        .boxed()
}

fn info() -> BoxedStrategy<mirror::ClientInfo> {
    (word(), word(), payload(), payload())
        .prop_map(|(user, client, conn_info, chan_info)| mirror::ClientInfo {
            user,
            client,
            conn_info,
            chan_info,
        })
        .boxed()
}

pub(crate) fn publication() -> BoxedStrategy<mirror::Publication> {
    (json(), option::of(info()), number(), names(), word(), number())
        .prop_map(|(data, info, offset, tags, epoch, version)| mirror::Publication {
            data,
            info,
            offset,
            tags,
            delta: false,
            epoch,
            version,
        })
        .boxed()
}

fn sub_result() -> BoxedStrategy<mirror::SubscribeResult> {
    let publications = vec(publication(), 0..3);
    (any::<[bool; 6]>(), small(), word(), publications, number(), payload(), signed())
        .prop_map(|(flags, ttl, epoch, publications, offset, data, id)| {
            let [expires, recoverable, recovered, positioned, was_recovering, delta] = flags;
            mirror::SubscribeResult {
                expires,
                ttl,
                recoverable,
                epoch,
                publications,
                recovered,
                offset,
                positioned,
                data,
                was_recovering,
                delta,
                id,
            }
        })
        .boxed()
}

fn connect_result() -> BoxedStrategy<mirror::ConnectResult> {
    let subs = btree_map(word(), sub_result(), 0..3);
    let texts = (word(), word(), word(), word());
    (texts, any::<[bool; 2]>(), small(), payload(), subs, small(), signed())
        .prop_map(|((client, version, session, node), [expires, pong], ttl, data, subs, ping, time)| {
            mirror::ConnectResult {
                client,
                version,
                expires,
                ttl,
                data,
                subs,
                ping,
                pong,
                session,
                node,
                time,
            }
        })
        .boxed()
}

fn expiry() -> BoxedStrategy<mirror::Expiry> {
    (any::<bool>(), small()).prop_map(|(expires, ttl)| mirror::Expiry { expires, ttl }).boxed()
}

fn push() -> BoxedStrategy<mirror::Push> {
    let join = || info().prop_map(|info| Some(mirror::Join { info: Some(info) }));
    let none = mirror::Push::default;
    let subscribe = (any::<[bool; 2]>(), word(), number(), payload());
    let of = prop_oneof![
        3 => publication().prop_map(move |p| mirror::Push { publication: Some(p), ..none() }),
        1 => join().prop_map(move |join| mirror::Push { join, ..none() }),
        1 => join().prop_map(move |leave| mirror::Push { leave, ..none() }),
        1 => (small(), word()).prop_map(move |(code, reason)| {
            mirror::Push { unsubscribe: Some(mirror::Unsubscribe { code, reason }), ..none() }
        }),
        1 => json().prop_map(move |data| mirror::Push { message: Some(mirror::Payload { data }), ..none() }),
        1 => subscribe.prop_map(move |([recoverable, positioned], epoch, offset, data)| {
            let subscribe = mirror::Subscribe { recoverable, epoch, offset, positioned, data };
            mirror::Push { subscribe: Some(subscribe), ..none() }
        }),
        1 => connect_result().prop_map(move |result| {
            let mirror::ConnectResult { client, version, expires, ttl, data, subs, ping, pong, session, node, time } =
                result;
            let connect =
                mirror::Connect { client, version, data, subs, expires, ttl, ping, pong, session, node, time };
            mirror::Push { connect: Some(connect), ..none() }
        }),
        1 => (any::<u16>(), word(), any::<bool>()).prop_map(move |(code, reason, reconnect)| {
            let disconnect = mirror::Disconnect { code: code.into(), reason, reconnect };
            mirror::Push { disconnect: Some(disconnect), ..none() }
        }),
        1 => expiry().prop_map(move |expiry| mirror::Push { refresh: Some(expiry), ..none() }),
    ];
    (
        of,
        prop_oneof![
            Just((0, String::new())),
            word().prop_map(|name| (0, name)),
            signed().prop_map(|id| (id, String::new()))
        ],
    )
        .prop_map(|(push, (id, channel))| mirror::Push { id, channel, ..push })
        .boxed()
}

pub(crate) fn reply() -> BoxedStrategy<mirror::Reply> {
    let none = mirror::Reply::default;
    let empty = Some(mirror::Empty {});
    let error = (small(), word(), any::<bool>());
    let presence = vec(info(), 0..3).prop_map(|all| all.into_iter().map(|i| (i.client.clone(), i)).collect());
    let history = (vec(publication(), 0..3), word(), number());
    let refresh = (any::<bool>(), small());
    let answer = prop_oneof![
        error.prop_map(move |(code, message, temporary)| {
            mirror::Reply { error: Some(mirror::Error { code, message, temporary }), ..none() }
        }),
        connect_result().prop_map(move |result| mirror::Reply { connect: Some(result), ..none() }),
        sub_result().prop_map(move |result| mirror::Reply { subscribe: Some(result), ..none() }),
        Just(mirror::Reply { unsubscribe: empty.clone(), ..none() }),
        Just(mirror::Reply { publish: empty.clone(), ..none() }),
        presence.prop_map(move |presence| {
            mirror::Reply { presence: Some(mirror::PresenceResult { presence }), ..none() }
        }),
        (small(), small()).prop_map(move |(num_clients, num_users)| {
            let stats = mirror::PresenceStatsResult { num_clients, num_users };
            mirror::Reply { presence_stats: Some(stats), ..none() }
        }),
        history.prop_map(move |(publications, epoch, offset)| {
            let history = mirror::HistoryResult { publications, epoch, offset };
            mirror::Reply { history: Some(history), ..none() }
        }),
        Just(mirror::Reply { ping: empty.clone(), ..none() }),
        payload().prop_map(move |data| mirror::Reply { rpc: Some(mirror::Payload { data }), ..none() }),
        refresh.prop_map(move |(expires, ttl)| {
            let refresh = mirror::RefreshResult { expires, ttl };
            mirror::Reply { refresh: Some(refresh), ..none() }
        }),
        expiry().prop_map(move |expiry| mirror::Reply { sub_refresh: Some(expiry), ..none() }),
    ];
    let answer = (answer, small()).prop_map(|(reply, id)| mirror::Reply { id, ..reply });
    prop_oneof![
        answer,
        push().prop_map(|push| mirror::Reply { push: Some(push), ..mirror::Reply::default() })
    ]
    .boxed()
}

pub(crate) fn info_of(info: &mirror::ClientInfo) -> ClientInfo<'_> {
    let mirror::ClientInfo { user, client, conn_info, chan_info } = info;
    let (conn_info, chan_info) = (PayloadRef::of(conn_info), PayloadRef::of(chan_info));
    ClientInfo { user, client, conn_info, chan_info }
}

pub(crate) fn publications_of(publications: &[mirror::Publication]) -> &[Publication<'_>] {
    keep(publications.iter().map(publication_of).collect())
}

pub(crate) fn publication_of(publication: &mirror::Publication) -> Publication<'_> {
    let tags = publication.tags.iter().map(|(name, value)| (Box::from(&**name), Box::from(&**value)));
    Publication {
        data: Data::Json(&publication.data),
        info: publication.info.as_ref().map(info_of),
        offset: publication.offset,
        tags: keep(tags.collect()),
        epoch: &publication.epoch,
        version: publication.version,
        ..PUBLICATION
    }
}

pub(crate) fn sub_of(result: &mirror::SubscribeResult) -> SubscribeResult<'_> {
    SubscribeResult {
        expires: result.expires,
        ttl_s: result.ttl,
        recoverable: result.recoverable,
        positioned: result.positioned,
        epoch: &result.epoch,
        offset: result.offset,
        recovered: result.recovered,
        was_recovering: result.was_recovering,
        publications: publications_of(&result.publications),
        data: PayloadRef::of(&result.data),
        delta: result.delta,
        id: result.id,
    }
}

fn subs_of(subs: &BTreeMap<String, mirror::SubscribeResult>) -> &[(&str, SubscribeResult<'_>)] {
    keep(subs.iter().map(|(channel, result)| (channel.as_str(), sub_of(result))).collect())
}

pub(crate) fn result_of(result: &mirror::ConnectResult) -> ConnectResult<'_> {
    ConnectResult {
        client: &result.client,
        version: &result.version,
        expires: result.expires,
        ttl_s: result.ttl,
        data: PayloadRef::of(&result.data),
        subs: subs_of(&result.subs),
        ping_s: result.ping,
        pong: result.pong,
        session: &result.session,
        node: &result.node,
        time_ms: result.time,
    }
}

pub(crate) fn push_of(push: &mirror::Push) -> (ChannelRef<'_>, Push<'_>) {
    let channel = match (push.id, &*push.channel) {
        (0, "") => ChannelRef::None,
        (0, name) => ChannelRef::Name(name),
        (id, _) => ChannelRef::Id(id),
    };
    let info = |join: &'_ Option<mirror::Join>| join.as_ref().and_then(|join| join.info.clone());
    let said = if let Some(publication) = &push.publication {
        Push::Publication(publication_of(publication))
    } else if let Some(info) = info(&push.join) {
        Push::Join(info_of(&keep(vec![info])[0]))
    } else if let Some(info) = info(&push.leave) {
        Push::Leave(info_of(&keep(vec![info])[0]))
    } else if let Some(unsubscribe) = &push.unsubscribe {
        Push::Unsubscribe { code: unsubscribe.code, reason: &unsubscribe.reason }
    } else if let Some(message) = &push.message {
        Push::Message(PayloadRef::of(&message.data))
    } else if let Some(subscribe) = &push.subscribe {
        Push::Subscribe(SubscribeResult {
            recoverable: subscribe.recoverable,
            positioned: subscribe.positioned,
            epoch: &subscribe.epoch,
            offset: subscribe.offset,
            data: PayloadRef::of(&subscribe.data),
            ..SubscribeResult::default()
        })
    } else if let Some(connect) = &push.connect {
        Push::Connect(ConnectResult {
            client: &connect.client,
            version: &connect.version,
            expires: connect.expires,
            ttl_s: connect.ttl,
            data: PayloadRef::of(&connect.data),
            subs: subs_of(&connect.subs),
            ping_s: connect.ping,
            pong: connect.pong,
            session: &connect.session,
            node: &connect.node,
            time_ms: connect.time,
        })
    } else if let Some(disconnect) = &push.disconnect {
        let (code, reason) = (u16::try_from(disconnect.code).unwrap(), &*disconnect.reason);
        Push::Disconnect { code, reason, reconnect: disconnect.reconnect }
    } else {
        let refresh = push.refresh.as_ref().unwrap();
        Push::Refresh { expires: refresh.expires, ttl_s: refresh.ttl }
    };
    (channel, said)
}
