//! Style as an ordinary test: layers, circles of imports, sizes, unique names, the place of `unsafe`, unfinished
//! work, words of comments.
//!
//! Every rule has a test that plants a violation and sees it caught, so that a rule cannot die silently.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/relay.rs"]
mod relay;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/sentences.rs"]
mod sentences;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/width.rs"]
mod width;
#[path = "tidy/words.rs"]
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use circles::Imports;
use rules::{FILE_LINES_MAX, FUNCTION_LINES_MAX, LAYERS, Layer, check, dependencies};
use sentences::clauses;
use width::{PROSE_WIDTH_MAX, wide_lines};
use words::{TWICE, Types};

/// Folders with this project's Rust files. Missing ones count as empty.
const FOLDERS: [&str; 5] = ["src", "tests", "benches", "examples", "fuzz"];
const NOT_OURS: [&str; 5] = ["target", "node_modules", "artifacts", "coverage", "corpus"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !NOT_OURS.contains(&name) {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn manifest_dependencies() -> Vec<String> {
    dependencies(&fs::read_to_string(root().join("Cargo.toml")).unwrap())
}

#[test]
fn every_file_keeps_the_rules() {
    let mut files = Vec::new();
    for folder in FOLDERS {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 10, "only {} files seen: the walk is broken", files.len());
    files.sort();
    let dependencies = manifest_dependencies();
    let (mut findings, mut imports, mut types) = (Vec::new(), Imports::default(), Types::default());
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        findings.extend(check(path, &text, &dependencies).iter().map(ToString::to_string));
        imports.add(path, &text);
        types.add(path, &text);
        findings.extend(clauses(path, &text));
    }
    findings.extend(imports.circles());
    findings.extend(types.twice(TWICE));
    let list: String = findings.iter().map(|finding| format!("  {finding}\n")).collect();
    assert!(findings.is_empty(), "{} rules broken:\n{list}", findings.len());
}

/// Findings of a file with a proper head and this body, as `line: finding`. The body starts on line 2.
fn found(path: &str, body: &str) -> Vec<String> {
    let text = format!("//! A planted file.\n{body}");
    check(path, &text, &manifest_dependencies())
        .into_iter()
        .map(|f| format!("{}: {}", f.line, f.what))
        .collect()
}

#[test]
fn the_manifest_is_understood() {
    let names = manifest_dependencies();
    for name in ["mio", "tracing_subscriber", "serde_json"] {
        assert!(names.iter().any(|known| known == name), "{name} is missing from {names:?}");
    }
    assert!(!names.iter().any(|known| known == "proptest"), "tests may use what only tests can use");
}

#[test]
fn a_missing_head_is_found() {
    let findings = check("src/hub/home.rs", "use std::mem;\n", &[]);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].what.contains("opens with `//!`"));
    assert_eq!(found("src/hub/home.rs", "use std::mem;\n"), [""; 0]);
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let full = "\n".repeat(FILE_LINES_MAX - 1);
    assert_eq!(found("src/hub/home.rs", &full), [""; 0]);
    assert_eq!(
        found("src/hub/home.rs", &format!("{full}\n")),
        ["1: 501 lines before the tests, at most 500"]
    );
    let tests = "#[cfg(test)]\nmod tests {\n\n\n}\n";
    assert_eq!(found("src/hub/home.rs", &format!("{full}{tests}")), [""; 0]);
    let comment = "// #[cfg(test)] mod tests {\n";
    assert_eq!(found("src/hub/home.rs", &format!("{comment}{full}")).len(), 1);
}

#[test]
fn a_long_function_is_found() {
    let body = |lines: usize| {
        format!("impl A {{\n    fn long(&self, _: [u8; 4]) -> u8 {{\n{}    }}\n}}\n", "a;\n".repeat(lines))
    };
    assert_eq!(found("src/hub/home.rs", &body(FUNCTION_LINES_MAX - 2)), [""; 0]);
    assert_eq!(
        found("src/hub/home.rs", &body(FUNCTION_LINES_MAX - 1)),
        ["3: fn long has 71 lines, at most 70"]
    );
    let declared = format!("trait T {{\n    fn declared(&self);\n{}}}\n", "\n".repeat(80));
    assert_eq!(found("tests/it/main.rs", &declared), [""; 0]);
    let braces =
        format!("fn short() {{ let _ = ('{{', \"{{\", r#\"{{\"#, b'{{'); }}\n{}", "// {\n".repeat(80));
    assert_eq!(found("tests/it/main.rs", &braces), [""; 0]);
}

#[test]
fn hashes_that_no_other_process_repeats_are_found() {
    let body = "use std::hash::RandomState;\n";
    assert_eq!(found("src/hub/once.rs", body), ["2: `RandomState`: names follow from a `base::seed::Seed`"]);
    assert_eq!(found("src/hub/presence.rs", body), [""; 0]);
    assert_eq!(found("tests/it/main.rs", body), [""; 0]);
}

#[test]
fn unsafe_is_found_outside_of_its_file() {
    let body = "fn f() {\n    unsafe { g() }\n}\n";
    let expected = ["3: `unsafe` belongs in src/net/sys.rs and nowhere else"];
    assert_eq!(found("src/net/listener.rs", body), expected);
    assert_eq!(found("benches/bare.rs", body), expected);
    assert_eq!(found("src/net/sys.rs", body), [""; 0]);
    let said = "// unsafe\n/* unsafe /* unsafe */ unsafe */\nconst A: &str = \"unsafe \\\" unsafe\";\n#![deny(unsafe_code)]\n";
    assert_eq!(found("src/net/listener.rs", said), [""; 0]);
}

#[test]
fn unfinished_work_is_found() {
    for name in ["todo", "unimplemented", "dbg"] {
        let body = format!("fn f() {{ {name}!(); }}\n");
        assert_eq!(found("src/hub/home.rs", &body), [format!("2: `{name}!` is unfinished work")]);
        assert_eq!(found("tests/it/main.rs", &body).len(), 1);
        assert_eq!(
            found("src/hub/home.rs", &format!("fn f(a: u8) {{ let {name} = a; }} // {name}!\n")),
            [""; 0]
        );
    }
}

/// For every layer but the binary's: the first module, one import that it may make, and all that it must not.
#[test]
fn an_import_against_the_layers_is_found() {
    let planted = [
        ("base", "base", "proto tls hub session net shard outside config node control server bin"),
        ("proto", "base", "tls hub session net shard outside config node control server bin"),
        ("tls", "base", "proto hub session net shard outside config node control server bin"),
        ("hub", "base", "proto tls session net shard outside config node control server bin"),
        ("session", "hub", "tls net shard outside config node control server bin"),
        ("net", "base", "proto tls hub session shard outside config node control server bin"),
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

#[test]
fn a_comment_that_begins_with_a_clause_is_found() {
    let planted = "//! Whoever reads this.\n\n/// A noun.\n/// What goes on is no beginning.\nfn f() {}\n\n";
    let rest = "    /// What, then?\nfn g() {}\n// Who may.\n/// Whole.\n";
    let expected = [
        "src/d.rs:1: a doc comment begins with \"Whoever\"",
        "src/d.rs:7: a doc comment begins with \"What\"",
    ];
    assert_eq!(clauses("src/d.rs", &format!("{planted}{rest}")), expected);
}

/// The circles among these files, each a path and its text.
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let mut imports = Imports::default();
    files.iter().for_each(|(path, text)| imports.add(path, text));
    imports.circles()
}

#[test]
fn a_circle_among_modules_is_found_however_long_it_is() {
    let (a, b) = (("src/node/a.rs", "\nuse crate::server::A;"), ("src/server/mod.rs", "use crate::node::B;"));
    assert_eq!(
        circles(&[a, b]),
        [
            "node and server import each other: node → server (src/node/a.rs:2); server → node (src/server/mod.rs:1)"
        ]
    );
    // The table alone would permit this circle of three modules, no two of which import each other.
    let outside = ("src/outside/a.rs", "use crate::{base::X, shard::mailbox::A};");
    let config = ("src/config/mod.rs", "fn f(a: crate::outside::A) {}");
    let shard = ("src/shard/door/accept.rs", "use super::super::super::config::A;");
    assert_eq!(circles(&[outside, config]), [""; 0]);
    let found = circles(&[outside, config, shard]);
    let pairs: Vec<_> = found.iter().map(|found| found.split(" import").next().unwrap()).collect();
    assert_eq!(pairs, ["config and outside", "config and shard", "outside and shard"]);
    assert!(found[0].contains("outside → shard (src/outside/a.rs:1) → config (src/shard/door/accept.rs:1)"));
}

#[test]
fn what_tests_import_and_what_the_binary_names_its_modules_make_no_circle() {
    let config = ("src/config/mod.rs", "use crate::shard::A; use crate::config::B;");
    for other in [
        ("src/shard/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::config::A;\n}"),
        ("src/shard/a/tests.rs", "use crate::config::A;"),
        ("src/shard/tests/a.rs", "use crate::config::A;"),
        ("src/bin/throng/shard.rs", "use crate::config::A;"),
        ("src/shard/a.rs", "/// See [`crate::config::A`].\nuse super::b::C;"),
    ] {
        assert_eq!(circles(&[config, other]), [""; 0], "{other:?}");
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

/// The binary's tools: their permitted parts of the library, and none of another tool.
#[test]
fn an_import_that_a_tool_may_not_make_is_found() {
    for (tool, allowed, forbidden) in [
        ("bench", "throng::parts::net::sys::descriptor_limit", "throng::parts::net::MioNet"),
        ("bench", "throng::parts::control::console", "throng::parts::proto::ws::Decoder"),
        ("bench", "crate::bench::args::Args", "crate::doctor::Args"),
        ("doctor", "throng::parts::config::Config", "throng::parts::shard::Shard"),
        ("doctor", "crate::doctor::facts::Facts", "crate::token::Args"),
        ("token", "throng::parts::outside::mint", "throng::Server"),
    ] {
        let path = format!("src/bin/throng/{tool}/a.rs");
        assert_eq!(found(&path, &format!("use {allowed};\nuse super::b::B;\n")), [""; 0]);
        let expected = [format!("2: the layer {tool} must not import `{forbidden}`")];
        assert_eq!(found(&path, &format!("use {forbidden};\n")), expected);
    }
    assert_eq!(found("src/bin/throng/main.rs", "use throng::Server;\nuse crate::bench::Args;\n"), [""; 0]);
    assert_eq!(
        found("src/bin/throng/token.rs", "use mio::Poll;\n"),
        ["2: the layer token must not use the crate `mio`"]
    );
    assert_eq!(
        found("src/bin/throng/repair.rs", ""),
        ["1: `bin/throng/repair` belongs to no layer: give it a place in the table of layers"]
    );
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
        ("src/session/raw.rs", "use serde_json as json;\n", "session", "serde_json"),
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
    let body = "use mio::{Poll, Token};\nuse crate::base::{slab::Slots};\nfn f(tokio: T) { tokio.serde(); a::serde::b(); }\n";
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

#[test]
fn prose_keeps_its_width() {
    let mut documents: Vec<_> = [root().to_owned(), root().join("docs")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    assert!(documents.len() > 15, "only {} documents seen: the walk is broken", documents.len());
    documents.sort();
    let found: Vec<_> = documents
        .iter()
        .flat_map(|path| {
            let lines = wide_lines(&fs::read_to_string(path).unwrap());
            lines.into_iter().map(move |line| format!("{}:{line}", path.display()))
        })
        .collect();
    assert!(found.is_empty(), "prose of more than {PROSE_WIDTH_MAX} characters: {found:#?}");
}

#[test]
fn a_wide_line_of_prose_is_found() {
    let (full, long) = ("é ".repeat(PROSE_WIDTH_MAX / 2), "x".repeat(PROSE_WIDTH_MAX));
    assert_eq!(wide_lines(&full), [0; 0]);
    assert_eq!(wide_lines(&format!("a\n{full}bc\n- {full}\n# {full}b")), [2, 3, 4]);
    assert_eq!(wide_lines(&format!("```sh\n{full}bc\n```\n{full}bc")), [4]);
    assert_eq!(wide_lines(&format!("| {full} |\n<!-- {full} -->\n- {long}\n{long}y")), [0; 0]);
}

#[test]
fn a_name_of_two_types_of_one_module_is_found() {
    let mut types = Types::default();
    types.add("src/hub/a.rs", "pub struct Kind;\nstruct Own;\npub(in crate::hub) enum Word {}\n");
    types
        .add("src/hub/b/mod.rs", "pub(super) trait Kind {}\npub struct Own;\npub fn of() {}\nstruct Word;\n");
    types.add("src/shard/b.rs", "pub enum Word {}\n#[cfg(test)]\nmod tests {\n    pub struct Kind;\n}\n");
    let kind = "Kind is two things in hub: src/hub/a.rs, src/hub/b/mod.rs";
    assert_eq!(types.twice(&[]), [kind]);
    assert_eq!(types.twice(&[("hub", "Kind", "a reason")]), [""; 0]);
    types.add("src/hub/c.rs", "pub(crate) type Word = u8;\n");
    types.add("tests/sim/a.rs", "struct Own;\nimpl A for Own {\n    type State = u8;\n}\n");
    types.add("tests/sim/b/c.rs", "pub(super) enum Own {}\nimpl A for B {\n    type State = u8;\n}\n");
    types.add("tests/it/d.rs", "struct Own;\n");
    let own = "Own is two things in tests/sim/: tests/sim/a.rs, tests/sim/b/c.rs";
    let word = "Word is two things in hub: src/hub/a.rs, src/hub/c.rs";
    assert_eq!(types.twice(&[("hub", "Kind", "a reason")]), [word, own]);
    let stale = "Own is one thing in hub: its row in tests/tidy/words.rs can go";
    assert_eq!(types.twice(&[("hub", "Own", "a reason")]), [kind, word, own, stale]);
}
