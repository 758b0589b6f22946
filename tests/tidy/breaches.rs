//! Planted breaches of the table of layers.

use crate::check::Used;
use crate::found;
use crate::rules::{LAYERS, Layer};

/// For every layer but the binary's: the first module, one import that it may make, and all that it must not.
#[test]
fn an_import_against_the_layers_is_found() {
    let planted = [
        ("base", "base", "proto tls hub session net shard outside config node control server bin"),
        ("proto", "base", "tls hub session net shard outside config node control server bin"),
        ("tls", "tls", "base proto hub session net shard outside config node control server bin"),
        ("hub", "base", "proto tls session net shard outside config node control server bin"),
        ("session", "hub", "tls net shard outside config node control server bin"),
        ("net", "net", "base proto tls hub session shard outside config node control server bin"),
        ("shard", "net", "outside config node control server bin"),
        ("outside", "shard", "session config node control server bin"),
        ("config", "outside", "node control server bin"),
        ("node", "config", "session control server bin"),
        ("control", "node", "server bin"),
        ("server", "control", "proto tls hub bin"),
        ("lib", "server", "bin"),
    ];
    let is_library = |layer: &&Layer| !layer.modules[0].starts_with("bin/");
    let names: Vec<_> = LAYERS.iter().filter(is_library).map(|layer| layer.name).collect();
    assert_eq!(planted.map(|(module, ..)| module)[..], names, "every layer has its planted breaches");
    for (module, allowed, forbidden) in planted {
        let path = format!("src/{module}/a.rs");
        assert_eq!(found(&path, &format!("use crate::{allowed}::A;\nuse super::b::B;\n")), [""; 0]);
        for other in forbidden.split(' ') {
            let expected = [format!("2: the layer {module} must not import `crate::{other}::A`")];
            assert_eq!(found(&path, &format!("use crate::{other}::A;\n")), expected);
        }
    }
}

/// Protocols belong to sessions; shards use the protocol-independent words.
#[test]
fn a_protocol_that_a_shard_names_is_found() {
    for (path, part, allowed) in [
        ("src/shard/channels/batch.rs", "proto::centrifuge", "proto::ws::Press"),
        ("src/shard/channels/batch.rs", "session::centrifuge", "session::Format"),
        ("src/session/raw.rs", "hub::local", "hub::words::Ask"),
    ] {
        let layer = path.split('/').nth(1).unwrap();
        let (outer, inner) = part.split_once("::").unwrap();
        for body in [
            format!("use crate::{part}::codes::Error;\n"),
            format!("use crate::{part} as wire;\n"),
            format!("use crate::{outer}::{{{inner}::A, B}};\n"),
            format!("use crate::{outer}::*;\n"),
            format!("use crate::{outer};\n"),
            format!("fn f(a: crate::{part}::A) {{}}\n"),
            format!("#[cfg(test)]\nmod tests {{\n    use crate::{part}::A;\n}}\n"),
        ] {
            let wanted = format!("the layer {layer} must not name `{part}`");
            assert!(found(path, &body).iter().any(|f| f.ends_with(&wanted)), "{body}");
        }
        assert_eq!(found(path, &format!("use crate::{allowed};\n")), [""; 0]);
    }
}

/// Calls between the wings of a shard go down only.
#[test]
fn a_wing_that_names_one_above_it_is_found() {
    const WINGS: [&str; 4] = ["carry", "channels", "clients", "door"];
    for (at, wing) in WINGS.iter().enumerate() {
        let path = format!("src/shard/{wing}/a.rs");
        for (of, other) in WINGS.iter().enumerate() {
            for body in [
                format!("use crate::shard::{other}::b::C;\n"),
                format!("use crate::shard::{{World, {other}}};\n"),
                format!("use super::super::{other}::b::C;\n"),
                format!("fn f(a: crate::shard::{other}::b::C) {{}}\n"),
                format!("#[cfg(test)]\nmod tests {{\n    use crate::shard::{other}::b::C;\n}}\n"),
            ] {
                let is_found =
                    found(&path, &body).iter().any(|f| f.contains(&format!("the wing {wing} must not name")));
                assert_eq!(is_found, of > at, "{path}: {body}");
            }
        }
        for part in ["", "::*", "::{World, Shard}", "::Shard as Whole"] {
            for holder in ["crate::shard", "super::super"] {
                let body = format!("use {holder}{part};\n");
                assert_eq!(found(&path, &body).len(), 1, "{path}: {body}");
            }
        }
        let own =
            "use crate::shard::World;\nuse crate::shard::mailbox::Letter;\npub(in crate::shard) mod b;\n";
        assert_eq!(found(&path, own), [""; 0]);
    }
    let root = "use super::door::Door;\nuse super::carry::Carry;\n";
    assert_eq!(found("src/shard/letters.rs", root), [""; 0], "the shard joins them");
}

/// For every layer of the binary: permitted and refused parts of the library, tools, and outside crates.
#[test]
fn an_import_that_a_tool_may_not_make_is_found() {
    let planted = [
        ("bench", "throng::parts::net::sys::descriptor_limit", "throng::parts::net::MioNet"),
        ("bench", "throng::parts::control::console", "throng::parts::proto::ws::Decoder"),
        ("bench", "crate::bench::args::Args", "crate::doctor::Args"),
        ("doctor", "throng::parts::config::Config", "throng::parts::shard::Shard"),
        ("doctor", "crate::doctor::facts::Facts", "crate::token::Args"),
        ("names", "crate::names::translated", "crate::token::Args"),
        ("names", "std::ffi::OsString", "throng::parts::config::Variables"),
        ("stray", "clap::Error", "crate::names::translated"),
        ("stray", "std::ffi::OsString", "throng::parts::control::console"),
        ("convert", "throng::parts::config::convert::Converted", "throng::parts::outside::mint"),
        ("convert", "crate::yaml::write", "crate::token::Args"),
        ("token", "throng::parts::outside::mint", "throng::Server"),
        ("main", "throng::parts::server::Server", "throng::Server"),
        ("main", "crate::bench::Args", "crate::yaml::write"),
        ("main", "throng::parts::control::logs", "throng::parts::control::metrics"),
    ];
    let mut tools: Vec<_> = planted.iter().map(|(tool, ..)| *tool).collect();
    tools.dedup();
    let is_tool = |layer: &&Layer| layer.modules[0].starts_with("bin/");
    let names: Vec<_> = LAYERS.iter().filter(is_tool).map(|layer| layer.name).collect();
    assert_eq!(tools, names, "every tool has its planted breaches");
    for (tool, allowed, forbidden) in planted {
        let path = format!("src/bin/throng/{tool}/a.rs");
        assert_eq!(found(&path, &format!("use {allowed};\nuse super::b::B;\n")), [""; 0]);
        let expected = [format!("2: the layer {tool} must not import `{forbidden}`")];
        assert_eq!(found(&path, &format!("use {forbidden};\n")), expected);
    }
    for (tool, name) in tools.into_iter().zip(["axum", "mio", "clap", "mio", "clap", "mio", "mio"]) {
        let expected = [format!("2: the layer {tool} must not use the crate `{name}`")];
        assert_eq!(found(&format!("src/bin/throng/{tool}.rs"), &format!("use {name}::A;\n")), expected);
    }
    let relative = "mod yaml;\nmod bench;\nfn f() -> bench::Args { yaml::write() }\n";
    assert_eq!(
        found("src/bin/throng/main.rs", relative),
        ["4: the layer main must not import `crate::yaml::write`"]
    );
    assert_eq!(
        found("src/bin/throng/repair.rs", ""),
        ["1: `bin/throng/repair` belongs to no layer: give it a place in the table of layers"]
    );
}

#[test]
fn a_permission_that_no_file_uses_is_found() {
    let of = |name: &str, files: &[(&str, &str)]| {
        let mut used = Used::default();
        files.iter().for_each(|(path, text)| used.add(path, text));
        let layers: Vec<_> = LAYERS.iter().filter(|layer| layer.name == name).collect();
        used.needless(&layers)
    };
    let needless =
        |layer: &str, name: &str| format!("the layer {layer} does not use `{name}`, which it may use");
    assert_eq!(of("hub", &[]), ["base", "smallvec", "regex"].map(|name| needless("hub", name)));
    let files = [
        ("src/hub/a.rs", "use super::super::base::A;\n// smallvec::SmallVec\n"),
        ("src/hub/b/tests.rs", "fn f(of: regex::Regex) {}\n"),
        ("src/base/c.rs", "use smallvec::SmallVec;\n"),
    ];
    assert_eq!(of("hub", &files), [needless("hub", "smallvec")]);
    let text = "use throng::parts::{config, outside::mint};\nuse clap::Args;\nuse serde_json::Value;\nuse data_encoding::HEXLOWER;\n";
    let unused = ["throng::parts::control::console", "throng::parts::shard::outside"];
    assert_eq!(of("token", &[("src/bin/throng/token.rs", text)]), unused.map(|name| needless("token", name)));
    let text = "mod bench;\nfn f() -> bench::Args {}\n";
    assert!(!of("main", &[("src/bin/throng/main.rs", text)]).contains(&needless("main", "bench")));
}

#[test]
fn an_import_is_found_in_every_spelling() {
    for body in [
        "fn f(a: crate::hub::Home) {}\n",
        "use crate::{base::Shared, hub::{Home, Local}};\n",
        "use super::super::hub::Home;\n",
        "use super::super::{hub::Home};\n",
        "mod inner {\n    use super::super::super::hub::Home;\n}\n",
        "fn f() { a::<crate::hub::Home>() }\n",
        "pub(in crate::hub) fn f() {}\n",
        "use self::super::super::hub;\n",
        "use crate::hub::*;\n",
        "#[cfg(test)]\nmod tests {\n    use crate::hub::Home;\n}\n",
    ] {
        let findings = found("src/proto/ws.rs", body);
        assert!(
            !findings.is_empty() && findings.iter().all(|f| f.contains("must not import `crate::hub")),
            "{body}"
        );
    }
    for body in [
        "use super::super::base::Shared;\n",
        "mod inner {\n    use super::super::super::base::Shared;\n    use super::super::http::Head;\n}\n",
        "mod inner {}\nuse super::http::Head;\nuse crate::{base::{self, Shared}, proto::http::Head};\n",
        "/// See [`crate::hub::Home`].\nfn f() { println!(\"crate::hub\"); }\n",
        "pub(crate) fn f<'a>(hub: &'a Hub) -> Hub { hub::new('c') }\n",
    ] {
        assert_eq!(found("src/proto/ws.rs", body), [""; 0], "{body}");
    }
}

#[test]
fn an_outside_crate_of_another_layer_is_found() {
    let expected = |layer: &str, name: &str| format!("2: the layer {layer} must not use the crate `{name}`");
    for (path, body, layer, name) in [
        ("src/base/wheel.rs", "use mio::Poll;\n", "base", "mio"),
        ("src/base/wheel.rs", "use {tokio::spawn};\n", "base", "tokio"),
        ("src/proto/http.rs", "fn f() -> tokio::net::TcpListener {}\n", "proto", "tokio"),
        ("src/hub/home.rs", "use ::tungstenite;\n", "hub", "tungstenite"),
        ("src/session/raw.rs", "use memchr as search;\n", "session", "memchr"),
        ("src/net/mod.rs", "use std::io; use axum;\n", "net", "axum"),
        ("src/shard/turn.rs", "fn f() { g(httparse::Status::Partial) }\n", "shard", "httparse"),
        ("src/outside/http.rs", "use axum::Router;\n", "outside", "axum"),
        ("src/config/mod.rs", "use tokio::net;\n", "config", "tokio"),
        ("src/node/handle.rs", "use hyper::Request;\n", "node", "hyper"),
        ("src/control/http.rs", "use mio::Poll;\n", "control", "mio"),
        ("src/server/mod.rs", "use tokio::net;\n", "server", "tokio"),
        ("src/lib.rs", "pub use mio::Poll;\n", "lib", "mio"),
    ] {
        assert!(found(path, body).contains(&expected(layer, name)), "{body} gave {:?}", found(path, body));
    }
    let body = "use mio::{Poll, Token};\nuse crate::net::{slab::Slots};\nfn f(tokio: T) { tokio.serde(); a::serde::b(); }\n";
    assert_eq!(found("src/net/mod.rs", body), [""; 0]);
    assert_eq!(found("src/control/api.rs", "use axum::Router;\n"), [""; 0]);
}

#[test]
fn sockets_and_clocks_are_found_in_pure_layers() {
    for layer in ["base", "proto", "hub", "session"] {
        for world in [
            "net::TcpStream",
            "time::Instant",
            "time::SystemTime",
            "thread::sleep",
            "fs::File",
            "os::fd::AsRawFd",
        ] {
            let findings = found(&format!("src/{layer}/a.rs"), &format!("use std::{world};\n"));
            assert!(
                findings.iter().any(|f| f.contains(&format!("the layer {layer} must not know `std::"))),
                "{world}"
            );
        }
        let body =
            "use std::time::Duration;\nuse std::{io, mem};\n#[cfg(test)]\nmod tests { use std::thread; }\n";
        assert_eq!(found(&format!("src/{layer}/a.rs"), body), [""; 0]);
    }
    assert_eq!(found("src/shard/turn.rs", "use std::time::{Duration, Instant};\n").len(), 1);
    assert_eq!(found("src/net/mio.rs", "use std::time::Instant;\n"), [""; 0]);
}

#[test]
fn words_of_other_layers_are_found() {
    let expected = ["2: `ConnId` is no word of the layer proto"];
    assert_eq!(found("src/proto/http.rs", "fn f(of: ConnId) {}\n"), expected);
    assert_eq!(found("src/shard/carry/conn.rs", "fn f(of: ConnId) {}\n"), [""; 0]);
    let counter = "pub struct Counters {\n    pub channels: Counter,\n}\n";
    assert_eq!(found("src/base/counters.rs", counter), ["3: `channels` is no word of the layer base"]);
    assert_eq!(found("src/shard/counters.rs", counter), [""; 0]);
}

#[test]
fn a_module_without_a_layer_is_found() {
    for path in ["src/utils.rs", "src/utils/strings.rs"] {
        assert_eq!(
            found(path, ""),
            ["1: `utils` belongs to no layer: give it a place in the table of layers"]
        );
    }
    let mut modules: Vec<_> = LAYERS.iter().flat_map(|layer| layer.modules).collect();
    let count = modules.len();
    modules.sort();
    modules.dedup();
    assert_eq!(modules.len(), count, "a module belongs to one layer");
}
