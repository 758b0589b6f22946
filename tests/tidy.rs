//! Style as an ordinary test: layers, circles of imports, sizes, unique names, the place of `unsafe`, unfinished
//! work, words of comments.
//!
//! Every rule has a test that plants a violation and sees it caught, so that a rule cannot die silently.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

#[path = "tidy/breaches.rs"]
mod breaches;
#[path = "tidy/check.rs"]
mod check;
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

use check::{FILE_LINES_MAX, FUNCTION_LINES_MAX, Used, check, dependencies};
use circles::Imports;
use rules::LAYERS;
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
    let (mut findings, mut used) = (Vec::new(), Used::default());
    let (mut imports, mut types) = (Imports::default(), Types::default());
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        findings.extend(check(path, &text, &dependencies).iter().map(ToString::to_string));
        used.add(path, &text);
        imports.add(path, &text);
        types.add(path, &text);
        findings.extend(clauses(path, &text));
    }
    findings.extend(used.needless(&LAYERS.iter().collect::<Vec<_>>()));
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
fn a_file_that_the_package_does_not_hold_is_found() {
    let expected = ["2: the package does not hold `fuzz/`: its tests would not compile"];
    let modules = "#[path = \"../fuzz/src/lib.rs\"]\nmod targets;\n";
    assert_eq!(found("tests/corpus.rs", modules), expected);
    let text = "const A: &str = include_str!(\"../../fuzz/Cargo.toml\");\n";
    assert_eq!(found("tests/it/main.rs", text), expected);
    assert_eq!(found("fuzz/a.rs", modules), [""; 0]);
    assert_eq!(found("tests/corpus.rs", "#[path = \"targets/mod.rs\"]\nmod targets;\n"), [""; 0]);
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
