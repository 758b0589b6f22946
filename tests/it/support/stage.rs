//! Plays a transcript: a server of its own, clients by name, and a comparison of their input with the text.
//!
//! Frames of one group may arrive in any order; no others may arrive. Each step is printed, so that a failure shows
//! the conversation up to it.

use std::collections::BTreeMap;

use throng::parts::outside::mint;
use toml::Table;

use super::centrifuge::PATH;
use super::peer::{CLOSE, TEXT};
use super::transcript::{Act, Transcript};
use super::{Peer, Server};

/// The documents' placeholder of a key, which throng refuses; and its replacement here.
const PLACEHOLDER: &str = "replace it";
const KEY: &str = "key of the tests";

/// A configuration of the documents, with keys.
pub(crate) fn with_keys(toml: &str) -> String {
    toml.replace(PLACEHOLDER, KEY)
}

/// Between messages of one frame.
const NEWLINE: char = '⏎';

/// Values from frames, by their names in the transcript.
pub(crate) type Names = BTreeMap<String, String>;

/// A server, its clients, and the frames that they still expect.
struct Stage<'t> {
    server: Server,
    config: Table,
    peers: BTreeMap<&'t str, Peer>,
    /// Line, client, pattern.
    expected: Vec<(usize, &'t str, String)>,
    names: Names,
}

/// Panics at the first difference from the transcript.
pub(crate) fn play(transcript: &Transcript) {
    let flags = ["--ping-interval-ms", "25000"];
    let config = transcript.config.map(with_keys);
    let mut stage = Stage {
        server: match &config {
            Some(toml) => Server::configured(toml, &flags),
            None => Server::start(&flags),
        },
        config: config.unwrap_or_default().parse().unwrap(),
        peers: BTreeMap::new(),
        expected: Vec::new(),
        names: Names::new(),
    };
    for step in &transcript.steps {
        println!("line {}", step.line);
        if let Act::Expect { who, pattern } = step.act {
            stage.expected.push((step.line, who, pattern.replace(NEWLINE, "\n")));
        } else {
            stage.settle();
            stage.act(&step.act);
        }
    }
    stage.settle();
    stage.end();
}

impl<'t> Stage<'t> {
    fn act(&mut self, act: &Act<'t>) {
        match act {
            Act::Send { who, frame } => {
                let frame = self.written(frame);
                let address = self.server.address;
                let peer = self.peers.entry(who).or_insert_with(|| Peer::open(address, PATH));
                peer.send(TEXT, frame.replace(NEWLINE, "\n"));
            }
            Act::Lose { who } => drop(self.peers.remove(who).expect("it has a connection")),
            Act::Call { path, body, answer } => {
                let body = self.written(body);
                let told = self.call(path, &body);
                assert!(is_like(answer, &told, &mut self.names), "expected {answer}\nbut got {told}");
            }
            Act::Expect { .. } => unreachable!("collected"),
        }
    }

    /// Asks the server API; status and body of the answer.
    fn call(&self, path: &str, body: &str) -> String {
        let key = self.setting(&["http_api", "key"]);
        let response = Peer::request(
            self.server.control,
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        let answer = format!("{} {}", response.status, String::from_utf8(response.body).unwrap().trim_end());
        println!("    {answer}");
        answer
    }

    /// The value of the server's configuration at this path; empty when it is missing.
    fn setting(&self, path: &[&str]) -> &str {
        let (last, tables) = path.split_last().unwrap();
        let table = tables.iter().try_fold(&self.config, |table, name| table.get(*name)?.as_table());
        table.and_then(|table| table.get(*last)?.as_str()).unwrap_or_default()
    }

    /// The text that a client or a backend sends, with values and tokens inserted.
    fn written(&self, text: &str) -> String {
        let mut parts = text.split('«');
        let mut written = parts.next().unwrap().to_owned();
        for part in parts {
            let (inside, rest) = part.split_once('»').expect("a closing »");
            if inside.starts_with('{') {
                let secret = self.setting(&["client", "token", "hmac_secret_key"]);
                assert!(!secret.is_empty(), "no secret to sign a token with");
                written.push_str(&mint(secret.as_bytes(), inside.as_bytes()));
            } else {
                let value = self.names.get(inside);
                written.push_str(value.unwrap_or_else(|| panic!("nobody told yet what «{inside}» is")));
            }
            written.push_str(rest);
        }
        written
    }

    /// Receives the expected frames: each client as many as there are patterns.
    fn settle(&mut self) {
        let expected = std::mem::take(&mut self.expected);
        let mut frames: Vec<(&str, String)> =
            expected.iter().map(|(_, who, _)| (*who, self.receive(who))).collect();
        for (line, who, pattern) in expected {
            let of_it =
                |(whose, frame): &(&str, String)| *whose == who && is_like(&pattern, frame, &mut self.names);
            let at = frames.iter().position(of_it);
            frames.remove(
                at.unwrap_or_else(|| panic!("line {line}: expected {who}< {pattern}\nin {frames:#?}")),
            );
        }
    }

    /// The next frame that a client gets, as a transcript writes it. One that is closed is gone.
    fn receive(&mut self, who: &'t str) -> String {
        let peer = self.peers.get_mut(who).expect("it has a connection");
        let frame = peer.frame();
        let text = if frame.opcode == CLOSE {
            let reason = std::str::from_utf8(frame.payload.get(2..).unwrap_or_default()).unwrap();
            let text = format!("close {} {reason}", frame.close_code().unwrap_or_default());
            peer.expect_end();
            self.peers.remove(who);
            text
        } else {
            assert!(frame.fin && frame.opcode == TEXT, "no message: {frame:?}");
            String::from_utf8(frame.payload).unwrap()
        };
        println!("    {who}< {text}");
        text
    }

    /// Checks that every connected client has received all expected frames: a ping is answered, with nothing before
    /// it.
    fn end(mut self) {
        for who in self.peers.keys().copied().collect::<Vec<_>>() {
            self.peers.get_mut(who).unwrap().send(TEXT, r#"{"id":4000000000,"ping":{}}"#);
            let last = self.receive(who);
            // One that never got past connect is sent away for it.
            assert!(
                last == r#"{"id":4000000000,"ping":{}}"# || last.starts_with("close 3501"),
                "{who} is told more: {last}"
            );
        }
    }
}

/// Whether `text` matches the pattern, in which `…` stands for anything and `«name»` for the name's value; a name
/// without a value matches anything without quotes, and gets that value.
pub(crate) fn is_like(pattern: &str, text: &str, names: &mut Names) -> bool {
    let Some(at) = pattern.find(['…', '«']) else { return pattern == text };
    let Some(rest) = text.strip_prefix(&pattern[..at]) else { return false };
    let ends = |rest: &str| rest.char_indices().map(|(at, _)| at).chain([rest.len()]).collect::<Vec<_>>();
    if let Some(behind) = pattern[at..].strip_prefix('…') {
        return ends(rest).into_iter().any(|end| is_like(behind, &rest[end..], names));
    }
    let (name, behind) = pattern[at + '«'.len_utf8()..].split_once('»').expect("a closing »");
    if let Some(value) = names.get(name) {
        let Some(rest) = rest.strip_prefix(value.as_str()) else { return false };
        return is_like(behind, rest, names);
    }
    let value = rest.split('"').next().unwrap_or_default();
    ends(value).into_iter().skip(1).any(|end| {
        let mut learned = names.clone();
        learned.insert(name.to_owned(), rest[..end].to_owned());
        let is_it = is_like(behind, &rest[end..], &mut learned);
        if is_it {
            *names = learned;
        }
        is_it
    })
}
