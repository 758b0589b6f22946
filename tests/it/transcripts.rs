//! The examples of the documents, run against a server each, and the notation of these examples.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::stage::{Names, is_like, play, with_keys};
use crate::support::transcript::{Act, transcripts};
use crate::support::{Peer, Server};

/// The pages that have transcripts. Each has a test.
const PAGES: [&str; 4] = ["AUTH.md", "CHANNELS.md", "HISTORY.md", "PROTOCOL.md"];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn document(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap()
}

fn play_page(name: &str) {
    assert!(PAGES.contains(&name));
    let text = document(name);
    let transcripts = transcripts(&text).unwrap_or_else(|error| panic!("docs/{name}: {error}"));
    for transcript in transcripts {
        println!("docs/{name}:{}", transcript.steps[0].line);
        play(&transcript);
    }
}

#[test]
fn the_protocol_is_spoken_as_its_page_tells() {
    play_page("PROTOCOL.md");
}

#[test]
fn history_is_kept_and_recovered_as_its_page_tells() {
    play_page("HISTORY.md");
}

#[test]
fn channels_do_what_their_page_tells() {
    play_page("CHANNELS.md");
}

#[test]
fn tokens_allow_what_their_page_tells() {
    play_page("AUTH.md");
}

#[test]
fn every_page_with_a_transcript_is_run() {
    let mut pages: Vec<String> = fs::read_dir(docs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && document(name).contains("```transcript"))
        .collect();
    pages.sort();
    assert_eq!(pages, PAGES);
}

#[test]
fn the_configuration_on_the_page_of_channels_is_one() {
    let text = document("CHANNELS.md");
    let configurations: Vec<_> = transcripts(&text).unwrap().iter().map(|example| example.config).collect();
    let toml = configurations[0].expect("it stands above the examples");
    assert!(configurations.iter().all(|config| *config == Some(toml)), "one configuration stands there");
    let server = Server::configured(&with_keys(toml), &[]);
    // It requires tokens: a client without one is refused.
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    peer.expect_close(3501);
}

fn page(lines: &[&str]) -> String {
    format!("# Page\n\n```transcript\n{}\n```\n", lines.join("\n"))
}

#[test]
fn a_transcript_is_read_line_by_line() {
    let text = format!(
        "{}\n```toml\na = 1\n\nb = 2\n```\n\n```sh\n> no transcript\n```\n{}",
        page(&["> {}", "< {…}", "-- connection lost"]),
        page(&["ann> {}", "ben< {}", "ann-- connection lost", "POST /api/info {}", "200 {…}", "> {}"]),
    );
    let read = transcripts(&text).unwrap();
    assert_eq!(read.iter().map(|example| example.config).collect::<Vec<_>>(), [None, Some("a = 1\n\nb = 2")]);
    let acts = |at: usize| read[at].steps.iter().map(|step| &step.act).collect::<Vec<_>>();
    assert_eq!(
        acts(0),
        [
            &Act::Send { who: "", frame: "{}" },
            &Act::Expect { who: "", pattern: "{…}" },
            &Act::Lose { who: "" }
        ]
    );
    assert_eq!(
        acts(1),
        [
            &Act::Send { who: "ann", frame: "{}" },
            &Act::Expect { who: "ben", pattern: "{}" },
            &Act::Lose { who: "ann" },
            &Act::Call { path: "/api/info", body: "{}", answer: "200 {…}" },
            &Act::Send { who: "", frame: "{}" },
        ]
    );
    let lines: Vec<_> = read.iter().flat_map(|example| &example.steps).map(|step| step.line).collect();
    assert_eq!(lines, [4, 5, 6, 21, 22, 23, 24, 26]);
}

#[test]
fn what_is_no_transcript_is_an_error() {
    for (text, error) in [
        ("# Page\n".to_owned(), "no transcripts"),
        ("```sh\nls\n```\n".to_owned(), "no transcripts"),
        ("```transcripts\n> {}\n```\n".to_owned(), "line 1: a block of transcripts"),
        ("```transcript\n> {}\n".to_owned(), "line 1: a block without an end"),
        ("```transcript\n> {}\n```sh\n```\n".to_owned(), "line 1: a block without an end"),
        ("```transcript\n```\n".to_owned(), "line 1: an empty transcript"),
        (page(&["> {}", "", "< {}"]), "line 5 means nothing: "),
        (page(&["> {}", "# and then"]), "line 5 means nothing: # and then"),
        (page(&["> "]), "line 4 means nothing: > "),
        (page(&[">{}"]), "line 4 means nothing: >{}"),
        (page(&["Ann> {}"]), "line 4 means nothing: Ann> {}"),
        (page(&["-- connection found"]), "line 4 means nothing: -- connection found"),
        (page(&["GET /api/info {}"]), "line 4 means nothing: GET /api/info {}"),
        (page(&["POST /api/info"]), "line 4 means nothing: POST /api/info"),
        (page(&["POST /api/info {}"]), "line 4: no answer"),
        (page(&["POST /api/info {}", "< {}"]), "line 5 is no answer: < {}"),
        (page(&["> {}", "200 {}"]), "line 5 means nothing: 200 {}"),
    ] {
        assert_eq!(transcripts(&text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn a_name_means_what_it_stood_for_at_first() {
    let mut names = Names::new();
    for (pattern, text, expected) in [
        ("{}", "{}", true),
        ("{}", "{} ", false),
        ("{…}", "{}", true),
        ("{…}", "{…", false),
        ("…a…b", "xaxbab", true),
        ("…a…b", "xaxba", false),
        // A failed match assigns no values, also when it fails late.
        (r#""«epoch»",1"#, r#""one",2"#, false),
        (r#""«epoch»""#, r#""""#, false),
        (r#""«epoch»""#, r#""on"e""#, false),
        (r#"…"«epoch»","«offset»"…"#, r#"{"one","2"}"#, true),
        (r#""«epoch»""#, r#""one""#, true),
        (r#""«epoch»""#, r#""two""#, false),
        ("«offset» «n»", "2 34", true),
    ] {
        assert_eq!(is_like(pattern, text, &mut names), expected, "{pattern} {text}");
    }
    let known: Vec<_> = names.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(known, [("epoch", "one"), ("n", "34"), ("offset", "2")]);
}
