//! Memory by use, and the responses to short memory that keep it below `memory_max`.

use std::cell::Cell;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, TEXT, upgrade};
use crate::support::{Client, Frame, Peer, Server, until};

fn memory(server: &Server) -> Value {
    let response = server.ask("/debug/memory");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).unwrap()
}

fn bytes(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

#[test]
fn what_is_used_is_told_by_kind_and_adds_up() {
    let server = Server::start(&["--echo", "/echo"]);
    let before = memory(&server);
    let _raw: Vec<_> = (0..150).map(|_| Peer::open(server.address, "/echo")).collect();
    let _clients: Vec<_> = (0..50).map(|n| Client::subscribed(server.address, &[&format!("c{n}")])).collect();
    let mut hoarder = Peer::open(server.address, "/echo");
    hoarder.send_bytes(&Frame::new(BINARY, vec![0; 60_000]).bytes()[..50_000]);
    until("the half message is counted", || {
        (memory(&server)["kinds"]["partial_messages"].as_u64()? >= 49_000).then_some(())
    });
    let after = memory(&server);
    let kinds = after["kinds"].as_object().unwrap();
    let sum: u64 = kinds.values().map(|value| value.as_u64().unwrap()).sum();
    assert_eq!(sum, bytes(&after, "resident_bytes"));
    assert_eq!(bytes(&after, "connections"), 201);
    let of = |value: &Value, kind| bytes(&value["kinds"], kind);
    let each = of(&after, "connections") / 201;
    assert!((100..=256).contains(&each) && of(&after, "connections") % 201 == 0, "{each} per connection");
    assert_eq!(of(&before, "connections"), 0);
    assert_eq!(of(&after, "subscriptions") % 50, 0);
    for kind in ["subscriptions", "channels"] {
        assert!(of(&after, kind) > of(&before, kind), "{kind}");
    }
    // All but the allocator's part and the program is known.
    let known: u64 = kinds
        .iter()
        .filter(|(name, _)| !["rest", "program", "vacant"].contains(&name.as_str()))
        .map(|(_, value)| value.as_u64().unwrap())
        .sum();
    assert_eq!(known, bytes(&after, "known_bytes"));
    assert!(of(&after, "rest") > 0 && of(&after, "program") > 0);
    assert!(bytes(&after["kernel"], "tcp_sockets") >= 201, "{after:#}");
    assert!(bytes(&after["kernel"], "slab_bytes") > 0);
    assert_eq!((&after["memory_max"], &after["allowed_known_bytes"]), (&0.into(), &Value::Null));
    assert_eq!(server.metric_with("throng_memory_bytes", "kind=\"connections\""), of(&after, "connections"));
    drop((_raw, _clients, hoarder));
    server.await_metric("throng_connections", 0);
    until("the places are vacant", || {
        let value = memory(&server);
        (of(&value, "connections") == 0 && of(&value, "vacant") == 201 * each).then_some(())
    });
}

/// A server whose limit is so many bytes above the memory of an idle one.
fn server_with(bytes_more: u64, flags: &[&str]) -> Server {
    configured_with(bytes_more, "shards = 1\n", flags)
}

/// A server with that much memory and a configuration file of this text.
fn configured_with(bytes_more: u64, toml: &str, flags: &[&str]) -> Server {
    let flags = [&["--echo", "/echo", "--shards", "1"], flags].concat();
    let idle = memory(&Server::configured(toml, &flags));
    let base = bytes(&idle, "resident_bytes") - bytes(&idle["kinds"], "program");
    let max = (base + bytes_more).to_string();
    let server = Server::configured(toml, &[&flags[..], &["--memory-max", &max]].concat());
    until("the limit is known", || memory(&server)["allowed_known_bytes"].as_u64());
    server
}

const MIB: u64 = 1 << 20;

#[test]
fn newcomers_are_refused_first_then_those_that_hold_most_are_let_go() {
    let server = server_with(6 * MIB, &["--message-bytes-max", "4MiB", "--linger-ms", "500"]);
    let mut bystander = Peer::open(server.address, "/echo");
    let mut hoarder = Peer::open(server.address, "/echo");
    let mut hoarders: Vec<Peer> = (0..240).map(|_| Peer::open(server.address, "/echo")).collect();
    // Small beside a rung of the ladder.
    let piece = 25_000;
    let begin = |peer: &mut Peer| {
        let frame = Frame::new(BINARY, vec![0; 3_000_000]).bytes();
        peer.send_bytes(&frame[..piece]);
    };
    // One holds more than all others.
    begin(&mut hoarder);
    hoarder.send_bytes(&vec![0; 40 * piece]);
    let mut begun = 0;
    while server.metric("throng_memory_step") == 0 {
        assert!(begun < hoarders.len(), "newcomers are never refused: {:#}", memory(&server));
        begin(&mut hoarders[begun]);
        begun += 1;
        let known = 40 * piece + begun * piece;
        until("it is counted, and looked at", || {
            bystander.send(TEXT, "look");
            bystander.message();
            (bytes(&memory(&server)["kinds"], "partial_messages") >= known as u64
                || server.metric("throng_memory_step") > 0)
                .then_some(())
        });
    }
    let refusal = Peer::request(server.address, upgrade("/echo", "").as_bytes());
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(server.metric_with("throng_refused_total", "reason=\"memory\"") >= 1);
    while server.metric_with("throng_memory_shed_total", "slow") == 0 {
        assert!(begun < hoarders.len(), "nobody is let go: {:#}", memory(&server));
        begin(&mut hoarders[begun]);
        begun += 1;
        bystander.send(TEXT, "served");
        assert_eq!(bystander.message(), (TEXT, b"served".to_vec()));
    }
    hoarder.expect_close(3008);
    assert_eq!(server.metric_with("throng_memory_shed_total", "newest"), 0);
    // The remaining memory suffices: the step falls again, and new clients are admitted.
    drop((hoarder, hoarders));
    server.await_metric("throng_memory_step", 0);
    Peer::open(server.address, "/echo");
}

#[test]
fn when_nothing_else_helps_the_newest_are_sent_away() {
    // Its publish hook never answers; closing slow consumers would not free the waiting publications.
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hook.local_addr().unwrap();
    let toml = format!(
        "[client]\ninsecure = true\nconcurrency = 64\n[channel.without_namespace]\npublish_proxy_enabled = true\n\
         [channel.proxy.publish]\nendpoint = \"http://{address}/\"\ntimeout = \"60s\"\n"
    );
    let server = configured_with(3 * MIB, &toml, &["--linger-ms", "300"]);
    let mut first = Peer::open(server.address, "/echo");
    let mut others: Vec<Client> = (0..12).map(|_| Client::open(server.address)).collect();
    let data = "x".repeat(10_000);
    let mut count = 0;
    let mut add = || {
        // The same for each, so that nobody has more to lose than others.
        count += 1;
        assert!(count < 12 * 30, "memory is never short: {:#}", memory(&server));
        let command = format!(r#"{{"id":{},"publish":{{"channel":"c","data":"{data}"}}}}"#, count + 1);
        others[count % 12].send(&command);
        until("it is counted", || {
            let counted = bytes(&memory(&server)["kinds"], "clients") >= count as u64 * 10_000;
            (counted || server.metric_with("throng_memory_shed_total", "newest") > 0).then_some(())
        });
    };
    while server.metric("throng_memory_step") == 0 {
        add();
        first.send(TEXT, "look");
        first.message();
    }
    let refusal = Peer::request(server.address, upgrade(PATH, "").as_bytes());
    assert_eq!(refusal.status, 503, "{refusal:?}");
    while server.metric_with("throng_memory_shed_total", "newest") == 0 {
        add();
    }
    others.pop().unwrap().expect_close(3011);
    // Earlier clients continue.
    first.send(TEXT, "served");
    assert_eq!(first.message(), (TEXT, b"served".to_vec()));
    until("there is room again", || (server.metric("throng_memory_step") < 3).then_some(()));
}

/// Memory that a server may use beyond `memory_max` for a moment: the allocator's pages, tables that are copied as
/// they grow, and the input of one turn of each shard between two checks.
const SLACK: u64 = 8 * MIB;

/// Waits for a condition that may take half a minute.
fn patiently(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("never happened: {what}");
}

/// Resident memory that is no file's.
fn anonymous(server: &Server) -> u64 {
    let told = memory(server);
    bytes(&told, "resident_bytes") - bytes(&told["kinds"], "program")
}

/// Subscribes to as many channels with long names as a connection may have; returns the number of subscriptions, and
/// of those refused because memory was short.
fn fill(client: &mut Client, from: usize, count: usize) -> (usize, usize) {
    let name = "x".repeat(3000);
    let ids: Vec<u32> = (0..count).map(|n| u32::try_from(1000 + n).unwrap()).collect();
    for some in ids.chunks(16) {
        let commands: Vec<String> = some
            .iter()
            .map(|id| format!(r#"{{"id":{id},"subscribe":{{"channel":"{}-{id}-{name}"}}}}"#, from))
            .collect();
        client.send(&commands.join("\n"));
    }
    let codes: Vec<Option<u64>> = ids.iter().map(|&id| client.reply(id)["error"]["code"].as_u64()).collect();
    assert!(codes.iter().all(|code| code.is_none_or(|code| code == 111)), "{codes:?}");
    let refused = codes.iter().flatten().count();
    (count - refused, refused)
}

#[test]
fn a_flood_of_subscriptions_stays_within_the_limit_and_leaves_nothing_behind() {
    let more = 32 * MIB;
    let server = server_with(more, &["--channel-name-bytes-max", "4096"]);
    let (base, max) = (anonymous(&server), bytes(&memory(&server), "memory_max"));
    let allowed = bytes(&memory(&server), "allowed_known_bytes");
    assert!(allowed > more - 2 * MIB && base < max - allowed + 2 * MIB);
    // 45 MiB of names alone.
    let mut clients: Vec<Client> = (0..120).map(|_| Client::open(server.address)).collect();
    let (mut taken, mut refused, mut highest) = (0, 0, 0);
    for (n, client) in clients.iter_mut().enumerate() {
        let (some_taken, some_refused) = fill(client, n, 128);
        (taken, refused) = (taken + some_taken, refused + some_refused);
        highest = highest.max(anonymous(&server));
    }
    assert!(taken > 4000 && refused > 1000, "{taken} taken, {refused} refused: {:#}", memory(&server));
    assert!(highest <= max + SLACK, "{highest} of {max}: {:#}", memory(&server));
    let told = memory(&server);
    let known = bytes(&told, "known_bytes");
    let held = anonymous(&server).saturating_sub(base);
    assert!(known > held / 10 * 7, "what it costs is known: {known} of {held}: {told:#}");
    assert!(server.metric_with("throng_limit_exceeded_total", "limit=\"memory\"") >= refused as u64);
    // Connected clients stay and keep their subscriptions.
    assert_eq!(server.metric_with("throng_memory_shed_total", "newest"), 0);
    assert!(server.metric("throng_memory_step") > 0);
    let mut first = clients.remove(0);
    first.sync();
    let own = format!("0-1000-{}", "x".repeat(3000));
    first.publish(&own, 7.into()).unwrap();
    assert_eq!(first.publication().1, 7);
    first.unsubscribe(&own).unwrap();
    // Leaving clients make room again, for channels as well as for new clients.
    drop(clients);
    server.await_metric("throng_memory_step", 0);
    assert_eq!(first.subscribe(&own), Ok(()));
    drop(first);
    server.await_metric("throng_connections", 0);
    // Freed memory is returned, and the limit is restored. That happens seldom, and only once the server is quiet.
    patiently("freed memory is given back", || anonymous(&server) < base + 6 * MIB);
    patiently("as much is allowed as before", || {
        bytes(&memory(&server), "allowed_known_bytes") >= allowed / 10 * 9
    });
    let mut next = Client::open(server.address);
    assert_eq!(fill(&mut next, 1, 128), (128, 0));
}

#[test]
fn a_history_gives_way_before_newcomers_are_refused_for_good() {
    let toml = "[client]\ninsecure = true\n[channel.without_namespace]\nhistory_size = 10000\nhistory_ttl = \"1h\"\n";
    let server = configured_with(24 * MIB, toml, &[]);
    let mut client = Client::open(server.address);
    let data = serde_json::Value::from("x".repeat(60_000));
    // 41 MiB, of which 24 are allowed.
    let mut kept = 0;
    for _ in 0..700 {
        match client.publish_if_let("log", data.clone()) {
            Some(Ok(())) => kept += 1,
            Some(Err(code)) => assert_eq!(code, 111),
            // On a busy machine memory gets short faster than the limit is adjusted: then the newest is closed.
            None => {
                patiently("newcomers get in", || server.metric("throng_memory_step") == 0);
                client = Client::open(server.address);
            }
        }
    }
    assert!(kept > 300, "{kept}");
    drop(client);
    // The limit is computed once a second: memory may get short once more, but not permanently.
    let calm = Cell::new(0);
    patiently("histories give way", || {
        calm.set(if server.metric("throng_memory_step") == 0 { calm.get() + 1 } else { 0 });
        calm.get() >= 50
    });
    assert!(server.metric("throng_memory_shed_publications_total") > 0);
    let mut next = Client::open(server.address);
    assert_eq!(next.subscribe("log"), Ok(()));
}
