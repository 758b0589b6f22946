//! The transcripts of docs/PROTOCOL.md, run against a server, and the configuration of docs/CHANNELS.md, read.

use std::fs;
use std::path::Path;

use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

const PATH: &str = "/connection/websocket";

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The blocks of a document that are fenced with this word.
fn blocks<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let fence = format!("```{word}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Whether `text` is the pattern, in which `…` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Receives as many frames as there are patterns; each pattern is one of them, in whatever order they came.
fn expect(peer: &mut Peer, patterns: &mut Vec<String>) {
    let mut frames: Vec<String> =
        patterns.iter().map(|_| String::from_utf8(peer.message().1).unwrap()).collect();
    for pattern in patterns.drain(..) {
        let at = frames.iter().position(|frame| is_like(&pattern, frame));
        let at = at.unwrap_or_else(|| panic!("expected {pattern}\nin {frames:#?}"));
        frames.remove(at);
    }
}

#[test]
fn the_protocol_is_spoken_as_its_page_tells() {
    let text = document("PROTOCOL.md");
    let transcripts = blocks(&text, "transcript");
    assert!(transcripts.len() > 5);
    for transcript in transcripts {
        let server = Server::start(&["--ping-interval-ms", "25000"]);
        let mut peer = Peer::open(server.address, PATH);
        let mut patterns = Vec::new();
        for line in transcript.lines() {
            match line.split_at(2) {
                ("> ", command) => {
                    expect(&mut peer, &mut patterns);
                    peer.send(TEXT, command.replace("\\n", "\n"));
                }
                ("< ", pattern) => patterns.push(pattern.replace("\\n", "\n")),
                _ => panic!("{line}"),
            }
        }
        expect(&mut peer, &mut patterns);
    }
}

#[test]
fn the_configuration_on_the_page_of_channels_is_one() {
    let text = document("CHANNELS.md");
    let [toml] = blocks(&text, "toml")[..] else { panic!("one configuration stands there") };
    let path = std::env::temp_dir().join(format!("throng-channels-{}.toml", std::process::id()));
    fs::write(&path, toml).unwrap();
    let server = Server::start(&["--config", path.to_str().unwrap()]);
    fs::remove_file(&path).unwrap();
    // It asks for tokens: who has none is not let in.
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    peer.expect_close(3501);
}
