//! Names of a protocol that the layer of sessions passes on.

use crate::source::Token;

/// Names that `session` passes on from a protocol: by them a shard could name the protocol in other words.
pub(crate) fn passed_on(tokens: &[Token<'_>]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_part = tokens.get(at + 1).is_some_and(|next| next.text == "centrifuge");
        let is_public = at > 0 && ["pub", ")"].contains(&tokens[at - 1].text);
        if token.text == "use" && is_part && is_public {
            found.push((token.line, "`session` must not pass on names of a protocol".to_owned()));
        }
    }
    found
}

/// A name that the layer passes on from a protocol would be in the shard's reach.
#[test]
fn a_name_that_the_sessions_pass_on_is_found() {
    let wanted = ["2: `session` must not pass on names of a protocol"];
    for body in ["pub use centrifuge::A;\n", "pub(crate) use centrifuge::{A, B};\n"] {
        assert_eq!(crate::found("src/session/mod.rs", body), wanted, "{body}");
    }
    assert_eq!(crate::found("src/session/mod.rs", "use centrifuge::A;\npub use raw::B;\n"), [""; 0]);
}
