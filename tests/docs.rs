//! Statements of the documents that a machine can check: links have targets, named files and tests exist, the table
//! of layers is that of `tests/tidy.rs`, the README's first command works, and the short example is short.
//!
//! Whether a sentence is true is for its reader; the tables of the manual are checked by `tests/cli.rs`, the Rust in
//! the documents by the doctests.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use throng::parts::config::{Args, OUTSIDE_VARIABLES, examine};
use throng::parts::control::metrics::families;
use throng::{Config, NoHandler, Outcome, Server};

const DOCUMENTS: [&str; 22] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/ARCHITECTURE.md",
    "docs/AUTH.md",
    "docs/BENCHMARKS.md",
    "docs/CHANNELS.md",
    "docs/CONFIGURATION.md",
    "docs/EMBEDDING.md",
    "docs/FROM_CENTRIFUGO.md",
    "docs/HISTORY.md",
    "docs/LEXICON.md",
    "docs/LIFE_OF_A_MESSAGE.md",
    "docs/OPERATING.md",
    "docs/PROTOCOL.md",
    "docs/PROXIES.md",
    "docs/SERVER_API.md",
    "docs/SOCKETIO.md",
    "docs/SOAK.md",
    "docs/TLS.md",
    "docs/TUNING.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The existing documents, with their text; links to missing ones are found elsewhere.
fn documents() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS.into_iter().filter(|path| root().join(path).exists()).map(|path| (path, read(path)))
}

/// The texts between two marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
}

/// The texts in quotes of this kind, whose opening and closing marks are equal.
fn quoted<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(mark).skip(1).step_by(2)
}

/// The text without its fenced blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The lines of the table between `<!-- name` and `<!-- name: end -->`, without its head, cells trimmed.
fn table(text: &str, name: &str) -> Vec<Vec<String>> {
    let (_, rest) = text.split_once(&format!("<!-- {name}:")).unwrap();
    let (table, _) = rest.split_once(&format!("<!-- {name}: end -->")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let (mut checked, mut broken) = (0, Vec::new());
    for (document, text) in documents() {
        let folder = root().join(document).parent().unwrap().to_owned();
        for link in between(&prose(&text), "](", ")").filter(|link| !link.contains("://")) {
            checked += 1;
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(checked > 20, "only {checked} links seen: the search is broken");
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let readme = read("README.md");
    for document in DOCUMENTS.iter().skip(1) {
        assert!(readme.contains(&format!("({document})")), "README.md does not link to {document}");
    }
    let mut written: Vec<_> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    written.retain(|name| name != "img" && !DOCUMENTS.contains(&format!("docs/{}", name.display()).as_str()));
    assert!(written.is_empty(), "give these a place in the list of documents: {written:?}");
}

#[test]
fn files_that_are_named_exist() {
    const FOLDERS: [&str; 7] = ["src/", "tests/", "scripts/", "examples/", "benches/", "docs/", "tuning/"];
    let (mut checked, mut missing) = (0, Vec::new());
    for (document, text) in documents() {
        let is_file = |named: &&str| FOLDERS.iter().any(|folder| named.starts_with(folder));
        for named in quoted(&prose(&text), "`").filter(is_file) {
            checked += 1;
            // A command is named by its first word, a part of a file by the text before the colon.
            let file = named.split([' ', '\n', ':']).next().unwrap();
            if !root().join(file).exists() {
                missing.push(format!("{document}: {named}"));
            }
        }
    }
    assert!(checked > 50, "only {checked} names seen: the search is broken");
    assert!(missing.is_empty(), "files that are named and do not exist: {missing:#?}");
}

/// Names in backticks, each with the file in `src/` that stands right behind it, after at most `gap_max` characters:
/// "`name` ([`file`]".
fn names_beside_files(text: &str, gap_max: usize) -> Vec<(&str, &str)> {
    let parts: Vec<_> = text.split('`').collect();
    let inside = (1..parts.len()).step_by(2);
    inside
        .filter_map(|at| {
            let (name, gap, file) = (parts[at], parts.get(at + 1)?, parts.get(at + 2)?);
            let is_name = name.starts_with(char::is_alphabetic) && !name.contains(['/', ' ', '.', '=', '-']);
            let is_beside = gap.len() <= gap_max && file.starts_with("src/") && file.ends_with(".rs");
            (is_name && is_beside).then_some((name, *file))
        })
        .collect()
}

#[test]
fn names_are_defined_in_the_files_beside_them() {
    let (life, lexicon) = (read("docs/LIFE_OF_A_MESSAGE.md"), read("docs/LEXICON.md"));
    let (life, mut checked) = (prose(&life), 0);
    let of_lexicon = lexicon.lines().filter(|line| line.starts_with("| **")).flat_map(|line| {
        let file = line.trim_end_matches([' ', '|', '`']).rsplit('`').next().unwrap();
        let term = line.split('|').nth(1).unwrap();
        quoted(term, "`").map(move |name| (name, file))
    });
    for (name, file) in names_beside_files(&life, 4).into_iter().chain(of_lexicon) {
        let name = name.rsplit("::").next().unwrap();
        let code = read(file);
        let is_defined = ["fn", "struct", "enum", "trait", "type", "const"].into_iter().any(|kind| {
            let definition = format!("{kind} {name}");
            code.match_indices(&definition).any(|(at, _)| {
                !code[at + definition.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        });
        assert!(is_defined, "{file} defines no {name}");
        checked += 1;
    }
    assert!(checked > 12, "only {checked} names seen: the search is broken");
    let text = "`act` ([`src/a.rs`](../src/a.rs)) of `Home::b`, `src/c.rs`; `d` is far from `src/e.rs`";
    assert_eq!(names_beside_files(text, 4), [("act", "src/a.rs"), ("Home::b", "src/c.rs")]);
}

#[test]
fn every_invariant_has_its_test() {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let tests: BTreeSet<_> = between(&code, "fn ", "(").collect();
    let invariants = table(&read("docs/ARCHITECTURE.md"), "invariants");
    assert!(invariants.len() > 10);
    for row in &invariants {
        let named: Vec<_> = quoted(&row[2], "`").collect();
        assert!(!named.is_empty(), "no test is named for: {}", row[0]);
        for test in named {
            assert!(tests.contains(test), "no test is called {test}, named for: {}", row[0]);
        }
    }
}

/// The folders of the code map: those under `src/`, and the wings of a shard.
fn mapped_folders() -> Vec<String> {
    let mut folders = Vec::new();
    for parent in ["src", "src/shard"] {
        let entries = fs::read_dir(root().join(parent)).unwrap().map(|entry| entry.unwrap());
        let names =
            entries.filter(|entry| entry.path().join("mod.rs").exists()).map(|entry| entry.file_name());
        folders.extend(names.map(|name| format!("{parent}/{}", name.display())));
    }
    folders.sort();
    folders
}

#[test]
fn the_code_map_has_every_folder_and_fits_one_screen() {
    let map = table(&read("docs/ARCHITECTURE.md"), "map");
    assert!(map.len() <= 30, "{} rows do not fit one screen: list files in the head of a mod.rs", map.len());
    let rows: BTreeSet<_> = map.iter().flat_map(|row| quoted(&row[0], "`")).collect();
    let folders = mapped_folders();
    assert!(folders.len() > 12, "only {folders:?} seen: the walk is broken");
    let missing: Vec<_> = folders.iter().filter(|folder| !rows.contains(&*format!("{folder}/"))).collect();
    assert!(missing.is_empty(), "folders without a row in the code map: {missing:?}");
}

/// The modules that this text declares, each in a file of its own, but for those of tests.
fn declared(module: &str) -> Vec<&str> {
    let mut before = "";
    let mut found = Vec::new();
    for line in module.lines() {
        let name = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")).map(|(_, name)| name);
        if let Some(name) = name.filter(|_| !line.starts_with([' ', '/']) && before != "#[cfg(test)]") {
            found.push(name);
        }
        before = line;
    }
    found
}

#[test]
fn the_head_of_a_folder_names_its_files() {
    let (mut checked, mut missing) = (0, Vec::new());
    for folder in mapped_folders() {
        let module = read(&format!("{folder}/mod.rs"));
        let head: String = module.lines().take_while(|line| line.starts_with("//!")).collect();
        for name in declared(&module) {
            checked += 1;
            if !["`]", "`", "()`]", "/"].iter().any(|end| head.contains(&format!("`{name}{end}"))) {
                missing.push(format!("{folder}/mod.rs: {name}"));
            }
        }
    }
    assert!(checked > 100, "only {checked} modules seen: the search is broken");
    assert!(missing.is_empty(), "modules that the head of their folder does not name: {missing:#?}");
    assert_eq!(
        declared("mod a;\n#[cfg(test)]\nmod b;\npub(in crate::a) mod c;\nmod d {\n    mod e;\n}"),
        ["a", "c"]
    );
}

/// Strings of a field of one layer in `tests/tidy/rules.rs`.
fn field(layer: &str, name: &str) -> String {
    let (_, rest) = layer.split_once(&format!("{name}: ")).unwrap();
    let list = if rest.starts_with('"') { rest.split(',').next() } else { rest.split(']').next() }.unwrap();
    let words: Vec<_> = quoted(list, "\"").collect();
    if words.is_empty() { "–".to_owned() } else { words.join(", ") }
}

#[test]
fn the_table_of_layers_is_the_one_that_is_enforced() {
    let rules = read("tests/tidy/rules.rs");
    let (_, layers) = rules.split_once("const LAYERS").unwrap();
    let enforced: Vec<_> = layers
        .split("    Layer {")
        .skip(1)
        .map(|layer| ["name", "modules", "may_import", "crates"].map(|name| field(layer, name)).to_vec())
        .collect();
    assert!(enforced.len() > 5);
    assert_eq!(table(&read("docs/ARCHITECTURE.md"), "layers"), enforced);
}

/// Metrics that Centrifugo 6.9.1 registers under its own name.
const OF_CENTRIFUGO: usize = 74;

/// Numbers of the code that the documents repeat: where, as it is written there, and in which words it is told.
const REPEATED: [(&str, &str, &str, &str); 11] = [
    ("src/shard/carry/conn.rs", "BEAT_MS: u64 = 128;", "docs/LEXICON.md", "| **beat** | 128 ms,"),
    ("src/shard/carry/conn.rs", "BEAT_MS: u64 = 128;", "docs/ARCHITECTURE.md", "the beat of 128 ms"),
    ("src/shard/carry/conn.rs", "assert!(size <= 104,", "docs/ARCHITECTURE.md", "at most 104 bytes"),
    ("src/shard/carry/conn.rs", "assert!(size <= 104,", "docs/EMBEDDING.md", "at most 104 bytes"),
    (
        "src/shard/mod.rs",
        "INPUT_BYTES: usize = 128 << 10;",
        "docs/LIFE_OF_A_MESSAGE.md",
        "input buffer of 128 KiB",
    ),
    (
        "src/shard/door/accept.rs",
        "PAUSE_MS: u64 = 100;",
        "docs/LIFE_OF_A_MESSAGE.md",
        "accepting pauses for 100 ms",
    ),
    ("src/proto/centrifuge/filter.rs", "DEPTH_MAX: usize = 16;", "docs/CHANNELS.md", "at most 16 levels"),
    ("src/proto/centrifuge/filter.rs", "NODES_MAX: usize = 256;", "docs/CHANNELS.md", "256 nodes"),
    ("src/proto/centrifuge/filter.rs", "BYTES_MAX: usize = 16 << 10;", "docs/CHANNELS.md", "and 16 KiB"),
    ("src/proto/centrifuge/filter.rs", "VALUES_MAX: usize = 256;", "docs/CHANNELS.md", "at most 256 values"),
    ("src/base/outbox.rs", "SLICES_MAX: usize = 32;", "docs/LIFE_OF_A_MESSAGE.md", "up to 32 segments"),
];

#[test]
fn numbers_that_are_repeated_are_those_of_the_code() {
    let one_line = |path: &str| read(path).split_whitespace().collect::<Vec<_>>().join(" ");
    for (source, written, document, told) in REPEATED {
        assert!(
            one_line(source).contains(written),
            "{source} no longer says {written}: adapt {document}, too"
        );
        assert!(one_line(document).contains(told), "{document} does not say: {told}");
    }
}

/// Every variable in scripts and tests must be known, because it may be set for a throng that they start.
#[test]
fn variables_of_scripts_and_tests_are_known() {
    let mut files: Vec<_> = ["scripts", "tests/clients", "tuning"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.is_file())
        .collect();
    for folder in ["tests/sim", "tests/it/support"] {
        rust_files(&root().join(folder), &mut files);
    }
    files.push(root().join("tests/corpus.rs"));
    let mut names = BTreeSet::new();
    for text in files.iter().filter_map(|file| fs::read_to_string(file).ok()) {
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        for behind in text.split("THRONG_").skip(1) {
            let name: String = behind.chars().take_while(|c| is_of_name(*c)).collect();
            names.insert(format!("THRONG_{name}"));
        }
    }
    names.remove("THRONG_");
    assert!(names.len() > 5, "only {names:?} seen: the search is broken");
    let (_, errors) = examine(&Args::default(), &names.iter().map(|name| (name, "?")).collect());
    let unknown: Vec<_> = errors.iter().filter(|error| error.complaint.starts_with("unknown")).collect();
    assert!(unknown.is_empty(), "give these a place in OUTSIDE_VARIABLES: {unknown:?}");
    let needless: Vec<_> = OUTSIDE_VARIABLES.iter().filter(|known| !names.contains(**known)).collect();
    // This one is read by a test of a library's own.
    assert_eq!(needless, [&"THRONG_TEST_PANICS"]);
}

/// Every intended difference between both servers' answers has a row in the page for users who switch, and no other
/// has.
#[test]
fn every_known_difference_from_centrifugo_has_its_row() {
    let known = read("tests/differential/known.py");
    let rows_of_conversations: BTreeSet<_> = between(&known, "    (r\"", "\"),\n")
        .map(|line| line.rsplit_once("\", \"").unwrap().1.to_owned())
        .collect();
    let rows: BTreeSet<_> = table(&read("docs/FROM_CENTRIFUGO.md"), "differences")
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    assert!(rows.len() > 5);
    assert_eq!(rows, rows_of_conversations);
}

/// Every metric of Centrifugo has an exported counterpart, or a reason for having none.
#[test]
fn every_metric_of_centrifugo_has_its_like_or_a_reason() {
    let exported: BTreeSet<_> = families().map(|family| family.name).collect();
    let rows = table(&read("docs/OPERATING.md"), "metrics-there");
    let mut there = BTreeSet::new();
    for row in &rows {
        let [names, here, note] = &row[..] else { panic!("{row:?}") };
        for name in quoted(names, "`") {
            assert!(there.insert(name.to_owned()), "{name} stands there twice");
            assert!(here != "the same" || exported.contains(name), "{name} is not exported");
        }
        match here.as_str() {
            "the same" => {}
            "not here" => assert!(!note.is_empty(), "no reason is told for {names}"),
            named => {
                let named: Vec<_> = quoted(named, "`").collect();
                assert!(!named.is_empty(), "{row:?}");
                for name in named {
                    assert!(exported.contains(name), "{name}, named for {names}, is not exported");
                }
            }
        }
        let metrics = quoted(note, "`").filter(|word| word.starts_with("throng_"));
        metrics
            .for_each(|name| assert!(exported.contains(name), "{name}, named for {names}, is not exported"));
    }
    // The metrics of version 6.9.1, without the families of Go and of the process.
    let own = there.iter().filter(|name| name.starts_with("centrifugo_")).count();
    assert_eq!(own, OF_CENTRIFUGO, "metrics of Centrifugo");
}

/// As a shell would send it, to a server without a configuration.
#[test]
fn what_the_readme_publishes_is_taken() {
    let readme = read("README.md");
    let command = between(&readme, "curl http://127.0.0.1:9000", "\n```").next().unwrap();
    let path = command.split_whitespace().next().unwrap();
    let [header, body] = quoted(command, "'").collect::<Vec<_>>()[..] else { panic!("{command}") };
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config =
        Config { listen: vec![any.into()], control: Some(any), shards: 1, pin: false, ..Config::default() };
    let server = Server::start(&config, |_shard| NoHandler).unwrap();
    let (address, drain) = (server.control_address().unwrap(), server.drainer());
    let server = thread::spawn(|| server.wait().unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\nConnection: close\r\n").unwrap();
    write!(stream, "Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("{\"result\":{\"offset\":1,"), "{answer}");
    drain();
    assert_eq!(server.join().unwrap(), Outcome::Drained);
}

#[test]
fn the_chat_for_socketio_has_less_than_eighty_lines() {
    let lines = read("examples/socketio_chat.rs").lines().count();
    assert!(lines < 80, "{lines} lines");
}

#[test]
fn the_backends_for_socketio_have_less_than_sixty_lines() {
    for name in ["socketio_backend.mjs", "socketio_backend.py"] {
        let lines = read(&format!("examples/{name}")).lines().count();
        assert!(lines < 60, "{name}: {lines} lines");
    }
}

#[test]
fn the_room_has_less_than_sixty_lines() {
    let lines = read("examples/room.rs").lines().count();
    assert!(lines < 60, "{lines} lines");
}
